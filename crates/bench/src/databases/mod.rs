//! Tables of a MariaDB taken back, beside what an operator has today.
//!
//! Two tables, of 1M and 5M rows; a base backup and a dump; some changes; the
//! instant; and then a window of 2M operations on each. What the tables were at
//! the instant is kept as digests, which every result is compared with.

mod load;
mod others;
mod ours;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use self::load::Server;
use self::ours::{Ours, Way};
use crate::child;
use crate::table::{self, Rounds, Table, number};

/// The tables: name, rows.
const TABLES: [(&str, u64); 2] = [("bench.t1", 1_000_000), ("bench.t5", 5_000_000)];
/// A table that is hardly written to, and its rows.
const QUIET: (&str, u64) = ("quiet.t", 100_000);
/// Operations on each table in the window, between the base and the instant
/// (which is half-way between the base and now), and on the quiet table.
const WINDOW: u64 = 2_000_000;
const BEFORE: u64 = WINDOW;
const FEW: u64 = 20_000;
/// How much log a long window has, in bytes.
const LONG_BYTES: u64 = 3_100_000_000;
/// How many rows are touched for the rollback in place.
const IN_PLACE: u64 = 10_000;
/// How often what is fast is measured.
const ROUNDS: usize = 3;

pub(crate) fn run() -> anyhow::Result<bool> {
    table::title(
        "Databases: tables back to an instant, beside flashback, restore and replay, and the floor",
        "databases",
    );
    let scale = scale()?;
    let folder = child::scratch()?;
    let server = Server::start(&folder.path().join("db"))?;
    let ours = Ours::start(&folder.path().join("ours"), &server)?;
    println!("  making tables, a base backup, a dump and a window (scale 1/{scale})");
    let mut bench = Bench {
        scale,
        folder: folder.path(),
        server: &server,
        ours: &ours,
        truth: HashMap::new(),
        memory: 0,
        reached: true,
    };
    let scene = bench.scene()?;
    if wanted("roads") || wanted("replay") {
        bench.roads(&scene)?;
    }
    if std::env::var_os("BACKOUT_BENCH_LONG").is_some() {
        bench.long(&scene)?;
    }
    if wanted("quiet") {
        bench.quiet(&scene)?;
    }
    if wanted("in-place") {
        bench.in_place()?;
    }
    if wanted("writers") {
        bench.writers(&scene)?;
    }
    bench.reached &= table::at_most(
        "memory of a rollback at its most",
        bench.memory as f64 / f64::from(1 << 20),
        " MiB",
        256.0 + 64.0,
    );
    println!();
    Ok(bench.reached)
}

struct Bench<'a> {
    scale: u64,
    folder: &'a std::path::Path,
    server: &'a Server,
    ours: &'a Ours,
    /// What tables were at the instant.
    truth: HashMap<String, Digest>,
    /// The most that a rollback of ours took, in bytes.
    memory: u64,
    reached: bool,
}

/// What there is before anything is taken back.
struct Scene {
    base: others::Base,
    dump: Option<others::Dump>,
    instant: Moment,
}

impl Bench<'_> {
    /// Makes the tables, the backups and the window.
    fn scene(&mut self) -> anyhow::Result<Scene> {
        let (server, scale) = (self.server, self.scale);
        // What makes the scene need not survive a crash.
        server.run("SET GLOBAL sync_binlog=0, GLOBAL innodb_flush_log_at_trx_commit=0")?;
        for database in ["bench", "quiet", "flash", "floor", "replay"] {
            server.run(&format!("CREATE DATABASE {database}"))?;
        }
        for (name, rows) in TABLES.into_iter().chain([QUIET]) {
            server.fill(name, rows / scale)?;
        }
        self.ours.back_up()?;
        let base = others::base(server, self.folder)?;
        let dump = others::dump(server, self.folder)?;
        for (name, rows) in TABLES {
            server.work(name, rows / scale, BEFORE / scale)?;
        }
        for (name, _) in TABLES.into_iter().chain([QUIET]) {
            self.keep(name)?;
        }
        let instant = moment(server)?;
        server.work(QUIET.0, QUIET.1 / scale, FEW / scale)?;
        for (name, rows) in TABLES {
            server.work(name, rows / scale, WINDOW / scale)?;
        }
        server.run("SET GLOBAL sync_binlog=1, GLOBAL innodb_flush_log_at_trx_commit=1")?;
        self.ours.catch_up(server)?;
        println!(
            "  the window has {} MB of log, from the base to the instant there are {} MB\n",
            bytes_between(server, &instant.position, &server.end()?)? >> 20,
            bytes_between(server, &base.position, &instant.position)? >> 20
        );
        Ok(Scene {
            base,
            dump,
            instant,
        })
    }

    /// Tables under new names, beside all that others do.
    fn roads(&mut self, scene: &Scene) -> anyhow::Result<()> {
        let instant = &scene.instant;
        let mut undo = [Rounds::default(), Rounds::default()];
        let mut floor = [Rounds::default(), Rounds::default()];
        let (mut both_back, mut restore) = (Rounds::default(), Rounds::default());
        for _ in 0..ROUNDS {
            for (i, (name, _)) in TABLES.iter().enumerate() {
                undo[i].seconds(self.back(&[name], instant, Way::Undo)?);
                floor[i].seconds(others::floor(self.server, name, self.folder)?);
            }
        }
        let both = TABLES.map(|t| t.0);
        for _ in 1..ROUNDS {
            both_back.seconds(self.back(&both, instant, Way::Chosen)?);
            restore.seconds(self.back(&both, instant, Way::Restore)?);
        }
        let mut table = Table::new(&["seconds", "median", "spread"]);
        let name = ["1M rows", "5M rows"];
        for (i, name) in name.iter().enumerate() {
            table.rounds(&format!("ours, undo road, {name}"), &undo[i]);
            table.rounds(
                &format!("partial backup, export, import, {name}"),
                &floor[i],
            );
        }
        table.rounds("ours, as it chooses, both in one job", &both_back);
        table.rounds("ours, restore road, both in one job", &restore);
        table.print();
        for i in 0..2 {
            self.reached &= table::at_most_of(
                &format!("ours / floor, {}", name[i]),
                &undo[i],
                &floor[i],
                4.0,
            );
        }

        if wanted("replay") {
            self.replays(scene, &both_back)?;
        }
        for (i, (name, _)) in TABLES.iter().enumerate() {
            let took = others::flashback(self.server, name, instant, self.folder)?;
            self.same(name, &others::flashed(name))?;
            self.server
                .run(&format!("DROP TABLE {}", others::flashed(name)))?;
            let rows = ["1M rows", "5M rows"][i];
            let target = [20.0, 12.0][i];
            self.beside(
                &format!("copy and flashback, {rows}"),
                took,
                &undo[i],
                target,
            );
        }
        Ok(())
    }

    /// The base backup and the dump, with all that was logged since replayed.
    fn replays(&mut self, scene: &Scene, ours: &Rounds) -> anyhow::Result<()> {
        let instant = &scene.instant;
        let both = TABLES.map(|t| t.0);
        let replay = others::replay(self.server, &scene.base, instant, &both, self.folder)?;
        for name in both {
            self.same(name, &others::replayed(name))?;
            self.server
                .run(&format!("DROP TABLE {}", others::replayed(name)))?;
        }
        self.beside("restore, replay and move, both", replay, ours, 4.0);
        match &scene.dump {
            Some(dump) => {
                let wanted: Vec<(&str, Digest)> =
                    both.map(|name| (name, self.truth[name])).to_vec();
                let load = others::load(self.server, dump, instant, &wanted, self.folder)?;
                self.beside("myloader and replay, both", load, ours, 6.0);
            }
            None => println!("  myloader and replay: left out, mydumper is not installed"),
        }
        Ok(())
    }

    /// A window so long that flashback takes eight minutes: with
    /// `BACKOUT_BENCH_LONG=1` only.
    fn long(&mut self, scene: &Scene) -> anyhow::Result<()> {
        let (name, rows) = TABLES[0];
        let (server, scale) = (self.server, self.scale);
        let window = || bytes_between(server, &scene.instant.position, &server.end()?);
        server.run("SET GLOBAL sync_binlog=0, GLOBAL innodb_flush_log_at_trx_commit=0")?;
        while window()? < LONG_BYTES / scale {
            server.work(name, rows / scale, WINDOW / 10 / scale)?;
        }
        server.run("SET GLOBAL sync_binlog=1, GLOBAL innodb_flush_log_at_trx_commit=1")?;
        self.ours.catch_up(server)?;
        let mut ours = Rounds::default();
        for _ in 0..ROUNDS {
            ours.seconds(self.back(&[name], &scene.instant, Way::Undo)?);
        }
        let took = others::flashback(server, name, &scene.instant, self.folder)?;
        self.same(name, &others::flashed(name))?;
        server.run(&format!("DROP TABLE {}", others::flashed(name)))?;
        let what = format!("copy and flashback, 1M rows, {} MB", window()? >> 20);
        self.beside(&what, took, &ours, 25.0);
        Ok(())
    }

    /// What others took, beside what we did.
    fn beside(&mut self, what: &str, took: Duration, ours: &Rounds, target: f64) {
        let theirs = took.as_secs_f64();
        println!("  {what}: {} s", number(theirs));
        self.reached &= table::at_least_of(&format!("{what} / ours"), theirs, ours, target);
    }

    /// Takes tables back under new names, compares them, and drops them.
    fn back(&mut self, names: &[&str], then: &Moment, way: Way) -> anyhow::Result<Duration> {
        let new: Vec<String> = names.iter().map(|name| format!("{name}_back")).collect();
        let pairs: Vec<(&str, &str)> = names
            .iter()
            .zip(&new)
            .map(|(name, new)| (*name, new.as_str()))
            .collect();
        let (took, memory) = self.ours.rollback(&pairs, then.us, way)?;
        self.memory = self.memory.max(memory);
        for (name, new) in pairs {
            self.same(name, new)?;
            self.server.run(&format!("DROP TABLE {new}"))?;
        }
        Ok(took)
    }

    /// A quiet table beside all that, and without it.
    fn quiet(&mut self, scene: &Scene) -> anyhow::Result<()> {
        let (name, rows) = QUIET;
        let (mut beside, mut without) = (Rounds::default(), Rounds::default());
        for _ in 0..ROUNDS {
            beside.seconds(self.back(&[name], &scene.instant, Way::Undo)?);
        }
        self.keep(name)?;
        let alone = moment(self.server)?;
        self.server
            .work(name, rows / self.scale, FEW / self.scale)?;
        self.ours.catch_up(self.server)?;
        for _ in 0..ROUNDS {
            without.seconds(self.back(&[name], &alone, Way::Undo)?);
        }
        let mut table = Table::new(&["a quiet table, seconds", "median", "spread"]);
        table.rounds("beside the others' log", &beside);
        table.rounds("without", &without);
        table.print();
        self.reached &= table::at_most_of("beside / without", &beside, &without, 1.5);
        Ok(())
    }

    fn in_place(&mut self) -> anyhow::Result<()> {
        let mut took = [Rounds::default(), Rounds::default()];
        for (i, (name, rows)) in TABLES.iter().enumerate() {
            self.keep(name)?;
            for _ in 0..ROUNDS {
                let then = moment(self.server)?;
                self.server.run(&format!(
                    "UPDATE {name} SET c = 'bad' WHERE MOD(id, {}) = 0",
                    (rows / IN_PLACE).max(1)
                ))?;
                self.ours.catch_up(self.server)?;
                took[i].seconds(self.ours.rewind(name, then.us)?);
                self.same(name, name)?;
            }
        }
        let mut table = Table::new(&["in place, seconds", "median", "spread"]);
        table.rounds("10,000 of 1M rows", &took[0]);
        table.rounds("10,000 of 5M rows", &took[1]);
        table.print();
        self.reached &= table::at_most("in place, 5M rows", took[1].median(), " s", 2.0);
        self.reached &= table::at_most(
            "in place, 5M / 1M",
            took[1].median() / took[0].median(),
            "",
            1.5,
        );
        Ok(())
    }

    /// What writers of another table get done meanwhile, beside what they get
    /// done before and after each rollback.
    fn writers(&mut self, scene: &Scene) -> anyhow::Result<()> {
        let [(name, rows), (other, _)] = TABLES;
        // What the window left to be written is no matter of theirs.
        self.server.run("SET GLOBAL innodb_log_checkpoint_now=ON")?;
        let writers = self.server.writers(name, rows / self.scale)?;
        let rate = |span: Duration| -> f64 {
            let (from, began) = (writers.done(), Instant::now());
            std::thread::sleep(span);
            (writers.done() - from) as f64 / began.elapsed().as_secs_f64()
        };
        let back = format!("{other}_back");
        let (mut with, mut without) = (Rounds::default(), Rounds::default());
        rate(Duration::from_secs(5));
        let mut before = rate(Duration::from_secs(8));
        for _ in 0..ROUNDS {
            let (from, began) = (writers.done(), Instant::now());
            self.ours
                .rollback(&[(other, &back)], scene.instant.us, Way::Undo)?;
            let took = began.elapsed().as_secs_f64();
            with.push((writers.done() - from) as f64 / took);
            self.server.run(&format!("DROP TABLE {back}"))?;
            rate(Duration::from_secs(2));
            let after = rate(Duration::from_secs(8));
            without.push(f64::midpoint(before, after));
            before = after;
        }
        writers.stop()?;
        let mut table = Table::new(&["writers, transactions a second", "median", "spread"]);
        table.rounds("during a rollback", &with);
        table.rounds("without", &without);
        table.print();
        let kept = with.ratios(&without);
        let name = format!("writers during / without ({})", kept.spread());
        self.reached &= table::at_least(&name, kept.median(), 0.9);
        Ok(())
    }

    /// Keeps what a table is now.
    fn keep(&mut self, name: &str) -> anyhow::Result<()> {
        let digest = Digest::of(self.server, name)?;
        self.truth.insert(name.to_owned(), digest);
        Ok(())
    }

    /// Whether a table is what another was when it was kept.
    fn same(&self, kept: &str, now: &str) -> anyhow::Result<()> {
        let is = Digest::of(self.server, now)?;
        anyhow::ensure!(
            self.truth.get(kept) == Some(&is),
            "compare {now} with what {kept} was: they differ"
        );
        Ok(())
    }
}

/// What all rows of a table come to: how many, and two sums over them. It is
/// computed in another way than ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Digest(u64, u64, u64);

impl Digest {
    pub(crate) fn of(server: &Server, name: &str) -> anyhow::Result<Self> {
        let row: Option<(u64, u64, u64)> = server.session()?.first(
            "bench",
            format!(
                "SELECT COUNT(*), CAST(SUM(CRC32(CONCAT_WS('#', id, k, c, pad))) AS UNSIGNED), \
                 CAST(SUM(CRC32C(CONCAT_WS('#', pad, c, k, id))) AS UNSIGNED) \
                 FROM {name} FORCE INDEX (PRIMARY)"
            ),
        )?;
        let (rows, one, other) = row.context("compute a digest")?;
        Ok(Self(rows, one, other))
    }
}

/// `BACKOUT_BENCH_ONLY=writers` leaves the other parts out.
fn wanted(part: &str) -> bool {
    std::env::var("BACKOUT_BENCH_ONLY").map_or(true, |only| only.split(',').any(|p| p == part))
}

/// `BACKOUT_BENCH_SCALE=10` makes everything a tenth, to try the bench itself.
fn scale() -> anyhow::Result<u64> {
    match std::env::var("BACKOUT_BENCH_SCALE") {
        Ok(text) => text
            .parse()
            .context("read BACKOUT_BENCH_SCALE: give a number"),
        Err(_) => Ok(1),
    }
}

/// A place between what was committed before and what comes after.
pub(crate) struct Moment {
    us: i64,
    position: (String, u64),
}

fn moment(server: &Server) -> anyhow::Result<Moment> {
    std::thread::sleep(Duration::from_millis(1500));
    let us = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)?
        .as_micros();
    let position = server.end()?;
    std::thread::sleep(Duration::from_millis(1500));
    Ok(Moment {
        us: i64::try_from(us)?,
        position,
    })
}

fn bytes_between(server: &Server, from: &(String, u64), to: &(String, u64)) -> anyhow::Result<u64> {
    let total: u64 = server
        .logs()?
        .iter()
        .filter(|(name, _)| *name >= from.0 && *name <= to.0)
        .map(|(name, bytes)| if *name == to.0 { to.1 } else { *bytes })
        .sum();
    Ok(total.saturating_sub(from.1))
}
