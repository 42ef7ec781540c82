//! Tables of a MariaDB taken back, beside what an operator has today.
//!
//! Two tables, of 1M and 5M rows; a base backup; some changes; the instant; and
//! then a window of 2M operations on each. A copy of each table as it was at the
//! instant is the truth that every result is compared with.

mod load;
mod others;
mod ours;

use std::time::{Duration, Instant};

use anyhow::Context as _;

use self::load::Server;
use self::ours::Ours;
use crate::child;
use crate::table::{self, Table, number};

/// The tables: name, rows.
const TABLES: [(&str, u64); 2] = [("bench.t1", 1_000_000), ("bench.t5", 5_000_000)];
/// Operations on each table in the window, and between the base and the instant.
const WINDOW: u64 = 2_000_000;
const BEFORE: u64 = 150_000;
/// How many rows are touched for the rollback in place.
const IN_PLACE: u64 = 10_000;

pub(crate) fn run() -> anyhow::Result<bool> {
    table::title(
        "Databases: tables back to an instant, beside flashback, restore and replay, and the floor",
        "databases",
    );
    let scale = scale()?;
    let folder = child::scratch()?;
    let server = Server::start(&folder.path().join("db"))?;
    let mut ours = Ours::start(&folder.path().join("ours"), &server)?;
    let mut reached = true;

    println!("  making tables, a base backup and a window (scale 1/{scale})");
    server.run("CREATE DATABASE bench")?;
    server.run("CREATE DATABASE truth")?;
    server.run("CREATE DATABASE quiet")?;
    for (name, rows) in TABLES {
        server.fill(name, rows / scale)?;
    }
    server.fill("quiet.t", 100_000 / scale)?;
    ours.back_up()?;
    let base = others::base(&server, folder.path())?;
    for (name, rows) in TABLES {
        server.work(name, rows / scale, BEFORE / scale)?;
    }
    for (name, _) in TABLES {
        keep_truth(&server, name)?;
    }
    keep_truth(&server, "quiet.t")?;
    let instant = moment(&server)?;
    server.work("quiet.t", 100_000 / scale, 20_000 / scale)?;
    for (name, rows) in TABLES {
        server.work(name, rows / scale, WINDOW / scale)?;
    }
    let window: u64 = bytes_since(&server, &instant.position)?;
    let base_window = bytes_between(&server, &base.position, &instant.position)?;
    ours.catch_up(&server)?;
    println!(
        "  the window has {} MB of log, from the base to the instant there are {} MB",
        window >> 20,
        base_window >> 20
    );

    let mut table = Table::new(&["", "t1 s", "t5 s"]);
    let mut times: Vec<(&str, [f64; 2])> = Vec::new();
    for (label, road) in [
        ("ours, undo road", ours::Way::Undo),
        ("ours, restore road", ours::Way::Restore),
    ] {
        let mut took = [f64::NAN; 2];
        for (i, (name, _)) in TABLES.iter().enumerate() {
            let back = format!("{name}_back");
            took[i] = ours
                .rollback(&[(name, &back)], instant.us, road)?
                .as_secs_f64();
            same(&server, &truth_of(name), &back)?;
            server.run(&format!("DROP TABLE {back}"))?;
        }
        times.push((label, took));
    }
    let [(a, _), (b, _)] = TABLES;
    let (a_back, b_back) = (format!("{a}_back"), format!("{b}_back"));
    let both = ours
        .rollback(
            &[(a, &a_back), (b, &b_back)],
            instant.us,
            ours::Way::Restore,
        )?
        .as_secs_f64();
    for (name, back) in [(a, &a_back), (b, &b_back)] {
        same(&server, &truth_of(name), back)?;
        server.run(&format!("DROP TABLE {back}"))?;
    }
    let mut floor = [f64::NAN; 2];
    let mut flashback = [f64::NAN; 2];
    for (i, (name, _)) in TABLES.iter().enumerate() {
        floor[i] = others::floor(&server, name, folder.path())?.as_secs_f64();
        flashback[i] = others::flashback(&server, name, &instant, folder.path())?.as_secs_f64();
        same(&server, &truth_of(name), &others::flashed(name))?;
        server.run(&format!("DROP TABLE {}", others::flashed(name)))?;
    }
    times.push(("flashback onto a copy", flashback));
    times.push(("floor: partial backup, export, import", floor));
    for (label, took) in &times {
        table.row(vec![(*label).to_owned(), number(took[0]), number(took[1])]);
    }
    let replay = others::replay(
        &server,
        &base,
        &instant,
        &TABLES.map(|t| t.0),
        folder.path(),
    )?
    .as_secs_f64();
    for (name, _) in TABLES {
        same(&server, &truth_of(name), &others::replayed(name))?;
    }
    table.row(vec![
        "ours, restore road, both in one job".to_owned(),
        String::new(),
        number(both),
    ]);
    table.row(vec![
        "restore, replay, move, both".to_owned(),
        String::new(),
        number(replay),
    ]);
    table.print();
    let undo = times.first().map_or([f64::NAN; 2], |t| t.1);
    reached &= table::at_least("flashback / ours, 1M rows", flashback[0] / undo[0], 20.0);
    reached &= table::at_least("flashback / ours, 5M rows", flashback[1] / undo[1], 12.0);
    reached &= table::at_least("restore and replay / ours, both", replay / both, 4.0);
    reached &= table::at_most("ours / floor, 1M rows", undo[0] / floor[0], "", 4.0);
    reached &= table::at_most("ours / floor, 5M rows", undo[1] / floor[1], "", 4.0);

    // A quiet table beside all that, and without it.
    let quiet = ours.rollback(&[("quiet.t", "quiet.t_back")], instant.us, ours::Way::Undo)?;
    same(&server, &truth_of("quiet.t"), "quiet.t_back")?;
    server
        .run("DROP TABLE quiet.t_back; ")
        .or_else(|_| server.run("DROP TABLE quiet.t_back"))?;
    let alone = moment(&server)?;
    server.work("quiet.t", 100_000 / scale, 20_000 / scale)?;
    ours.catch_up(&server)?;
    let without = ours.rollback(&[("quiet.t", "quiet.t_back")], alone.us, ours::Way::Undo)?;
    server.run("DROP TABLE quiet.t_back")?;
    println!(
        "  a quiet table: {} s beside the window, {} s without",
        number(quiet.as_secs_f64()),
        number(without.as_secs_f64())
    );
    reached &= table::at_most(
        "quiet table beside others' log / without",
        quiet.as_secs_f64() / without.as_secs_f64(),
        "",
        1.5,
    );

    // In place.
    let mut in_place = [f64::NAN; 2];
    for (i, (name, rows)) in TABLES.iter().enumerate() {
        keep_truth(&server, name)?;
        let then = moment(&server)?;
        server.run(&format!(
            "UPDATE {name} SET c = 'bad' WHERE MOD(id, {}) = 0",
            (rows / IN_PLACE).max(1)
        ))?;
        ours.catch_up(&server)?;
        in_place[i] = ours.rewind(name, then.us)?.as_secs_f64();
        same(&server, &truth_of(name), name)?;
    }
    println!(
        "  in place, {IN_PLACE} rows: {} s in 1M, {} s in 5M",
        number(in_place[0]),
        number(in_place[1])
    );
    reached &= table::at_most("in place, 5M rows", in_place[1], " s", 2.0);
    reached &= table::at_most("in place, 5M / 1M", in_place[1] / in_place[0], "", 1.5);

    // Writers meanwhile.
    let (name, rows) = TABLES[0];
    let writers = server.writers(name, rows / scale)?;
    let rate = |span: Duration| -> f64 {
        let (from, began) = (writers.done(), Instant::now());
        std::thread::sleep(span);
        (writers.done() - from) as f64 / began.elapsed().as_secs_f64()
    };
    rate(Duration::from_secs(3));
    let before = rate(Duration::from_secs(8));
    let (from, began) = (writers.done(), Instant::now());
    ours.rollback(
        &[(TABLES[1].0, "bench.t5_back")],
        instant.us,
        ours::Way::Undo,
    )?;
    let during = (writers.done() - from) as f64 / began.elapsed().as_secs_f64();
    let after = rate(Duration::from_secs(8));
    writers.stop()?;
    println!(
        "  writers, transactions a second: {} before, {} during, {} after",
        number(before),
        number(during),
        number(after)
    );
    reached &= table::at_least(
        "writers during / without",
        during / f64::midpoint(before, after),
        0.9,
    );
    reached &= table::at_most(
        "memory at its most, beyond what it was",
        ours.grown()? as f64 / f64::from(1 << 20),
        " MiB",
        256.0 + 64.0,
    );
    println!();
    Ok(reached)
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

fn truth_of(name: &str) -> String {
    format!("truth.{}", name.replace('.', "_"))
}

/// Keeps a copy of a table as it is now.
fn keep_truth(server: &Server, name: &str) -> anyhow::Result<()> {
    let truth = truth_of(name);
    server.run(&format!("DROP TABLE IF EXISTS {truth}"))?;
    server.run(&format!("CREATE TABLE {truth} LIKE {name}"))?;
    let mut session = server.session()?;
    session.exec("bench", "SET SESSION sql_log_bin=0")?;
    session.exec("bench", format!("INSERT INTO {truth} SELECT * FROM {name}"))?;
    Ok(())
}

/// Whether two tables have the same rows.
fn same(server: &Server, one: &str, other: &str) -> anyhow::Result<()> {
    let mut session = server.session()?;
    let mut sum = |table: &str| -> anyhow::Result<(String, u64)> {
        session
            .first("bench", format!("CHECKSUM TABLE {table}"))?
            .context("compute a checksum")
    };
    let (a, b) = (sum(one)?.1, sum(other)?.1);
    anyhow::ensure!(a == b, "compare {one} with {other}: they differ");
    Ok(())
}

fn bytes_since(server: &Server, from: &(String, u64)) -> anyhow::Result<u64> {
    let end = server.end()?;
    bytes_between(server, from, &end)
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
