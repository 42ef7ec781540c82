//! One page of restore points among a thousand and among a million, on both
//! databases.
//!
//! What is measured is `Servers::snapshots`: rows, total and progress of a page
//! of 20. No answer is kept there, unlike in front of it.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use backout_core::ids::{AccountId, OsEntropy};
use backout_core::time::SystemClock;
use backout_jobs::Jobs;
use backout_servers::model::Usage;
use backout_servers::persistence::{Page, SnapshotFilter};
use backout_servers::{Runtime, Servers};
use backout_shim::Shim;
use backout_store::{Dialect, Migration, Store};
use tokio::runtime::Runtime as Tokio;

use crate::child;
use crate::table::{self, Rounds, Table};

const FEW: u64 = 1_000;
const MANY: u64 = 1_000_000;
/// Servers that they are of, in turn.
const SERVERS: u64 = 10;
const OWNER: &str = "acct_aaaaaaaaaaaa";
const ROUNDS: usize = 15;
/// Pages read in a round.
const PAGES: u32 = 200;
/// How much more a page among many may cost.
const AT_MOST: f64 = 1.5;

pub(crate) fn run() -> anyhow::Result<bool> {
    table::title(
        "One page of 20 among 1,000 and among 1,000,000 restore points: Servers::snapshots",
        "listing",
    );
    let folder = child::scratch()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let migrations = [backout_jobs::MIGRATIONS, backout_servers::MIGRATIONS].concat();
    let mut reached = true;
    let sqlite = |name: &str| -> anyhow::Result<Store> {
        let file = folder.path().join(name);
        Ok(Store::open_sqlite(&file, &migrations)?)
    };
    reached &= both(
        "SQLite",
        &runtime,
        folder.path(),
        sqlite("few.db")?,
        sqlite("many.db")?,
    )?;
    match Postgres::start()? {
        Some(server) => {
            let few = server.store("few", &migrations)?;
            let many = server.store("many", &migrations)?;
            reached &= both("PostgreSQL", &runtime, folder.path(), few, many)?;
        }
        None => println!("  PostgreSQL: not measured, it needs root and PostgreSQL's own programs"),
    }
    Ok(reached)
}

/// Fills two stores and measures the three pages of each.
fn both(
    what: &str,
    runtime: &Tokio,
    folder: &Path,
    few: Store,
    many: Store,
) -> anyhow::Result<bool> {
    let mut sides = Vec::new();
    for (store, count) in [(few, FEW), (many, MANY)] {
        runtime
            .block_on(fill(&store, count))
            .with_context(|| format!("put {count} restore points into {what}"))?;
        let jobs = Jobs::new(store.clone(), Arc::new(SystemClock), Arc::new(OsEntropy));
        let servers = Servers::new(
            store,
            jobs,
            Arc::new(SystemClock),
            Arc::new(OsEntropy),
            "here".into(),
            Runtime::new(folder, Shim::own(&["shim"])),
        );
        sides.push((servers, count));
    }
    let owner: AccountId = OWNER.parse().ok().context("name an account")?;
    let all = SnapshotFilter {
        usage: Some(Usage::System),
        safety: Some(false),
        ..SnapshotFilter::default()
    };
    let of_one = SnapshotFilter {
        subjects: vec![server_id(3)],
        ..all.clone()
    };
    let mut table = Table::new(&[what, "1,000 us", "1,000,000 us", "ratio"]);
    let mut ratios = Vec::new();
    for (name, filter, last) in [
        ("first page", &all, false),
        ("last page", &all, true),
        ("first page of one server", &of_one, false),
    ] {
        let mut rounds = [Rounds::default(), Rounds::default()];
        for _ in 0..ROUNDS {
            for ((servers, count), rounds) in sides.iter().zip(&mut rounds) {
                let offset = if last { count - 20 } else { 0 };
                let page = Page { offset, limit: 20 };
                let began = Instant::now();
                runtime.block_on(async {
                    for _ in 0..PAGES {
                        let (total, found) =
                            servers.snapshots(&owner, filter.clone(), page).await?;
                        anyhow::ensure!(
                            found.len() == 20 && total >= count / SERVERS,
                            "list restore points: {} of {total} came",
                            found.len()
                        );
                    }
                    Ok(())
                })?;
                rounds.push(began.elapsed().as_secs_f64() * 1e6 / f64::from(PAGES));
            }
        }
        let [few, many] = rounds;
        let ratio = many.ratio(&few);
        table.row(vec![
            name.to_owned(),
            format!("{} ({})", table::number(few.median()), few.spread()),
            format!("{} ({})", table::number(many.median()), many.spread()),
            format!("{ratio:.2}"),
        ]);
        ratios.push((format!("{what}, {name}"), ratio));
    }
    table.print();
    let mut reached = true;
    for (name, ratio) in ratios {
        reached &= table::at_most(&name, ratio, "", AT_MOST);
    }
    println!();
    Ok(reached)
}

fn server_id(n: u64) -> String {
    format!("lhins-{}", 10_000_000 + n)
}

/// Rows as the product writes them, by the database itself: a million
/// transactions would take an hour.
async fn fill(store: &Store, count: u64) -> anyhow::Result<()> {
    let numbers = format!(
        "WITH RECURSIVE n (i) AS (SELECT CAST(0 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {count})"
    );
    let points = format!(
        "{numbers} INSERT INTO snapshots (id, owner, usage, subject, disk, kind, safety, name, state, \
         point_file, point_format, size_bytes, op_kind, op_state, op_request, op_started_ms, tags, created_ms) \
         SELECT 'lhsnap-' || CAST(10000000 + i AS TEXT), '{OWNER}', 'system', \
         'lhins-' || CAST(10000000 + i % {SERVERS} AS TEXT), 'lhdisk-' || CAST(10000000 + i % {SERVERS} AS TEXT), \
         'user', 0, 'snapshot ' || CAST(i AS TEXT), 'normal', \
         'point-lhsnap-' || CAST(10000000 + i AS TEXT) || '.raw', 'raw', 42949672960, \
         'create_snapshot', 'success', 'request', 1600000000000 + i, '[]', 1600000000000 + i * 7919 % 1000003 FROM n"
    );
    let counts = |scope: &str, group: &str| {
        format!(
            "INSERT INTO snapshot_counts (owner, scope, usage, shard, points, safety) \
             SELECT owner, {scope}, usage, 0, COUNT(*), 0 FROM snapshots GROUP BY owner, {group}usage"
        )
    };
    let statements = [
        points,
        counts("subject", "subject, "),
        counts("disk", "disk, "),
        counts("''", ""),
    ];
    store
        .write::<_, backout_store::Error>(move |tx| {
            for statement in &statements {
                tx.execute(statement, &[])?;
            }
            Ok(())
        })
        .await?;
    if store.dialect() == Dialect::Postgres {
        // What its own keeper does after so many rows.
        store
            .write::<_, backout_store::Error>(|tx| tx.execute("ANALYZE", &[]).map(drop))
            .await?;
    }
    Ok(())
}

/// A PostgreSQL server of this bench's own.
struct Postgres {
    bin: PathBuf,
    data: PathBuf,
    port: u16,
}

impl Postgres {
    fn start() -> anyhow::Result<Option<Self>> {
        let bin = std::fs::read_dir("/usr/lib/postgresql")
            .ok()
            .and_then(|mut all| {
                all.find_map(|entry| {
                    let bin = entry.ok()?.path().join("bin");
                    bin.join("initdb").exists().then_some(bin)
                })
            });
        let (Some(bin), true) = (bin, rustix::process::geteuid().is_root()) else {
            return Ok(None);
        };
        // It does not run as root: it has a folder of its own where it may go.
        let data = PathBuf::from(format!("/tmp/backout-bench-pg.{}", std::process::id()));
        std::fs::create_dir(&data).with_context(|| format!("make {}", data.display()))?;
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let server = Self { bin, data, port };
        child::done(Command::new("chown").arg("nobody").arg(&server.data))?;
        child::done(server.program("initdb").args([
            "-U",
            "backout",
            "-A",
            "trust",
            "--no-sync",
            "-E",
            "UTF8",
            "--locale=C",
        ]))?;
        child::done(
            server
                .program("pg_ctl")
                .args(["-w", "-l"])
                .arg(server.data.join("log"))
                .arg("-o")
                .arg(format!(
                    "-p {port} -k {} -c listen_addresses=127.0.0.1",
                    server.data.display()
                ))
                .arg("start"),
        )?;
        Ok(Some(server))
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new("runuser");
        command
            .args(["-u", "nobody", "--"])
            .arg(self.bin.join(name))
            .arg("-D")
            .arg(&self.data)
            .current_dir("/")
            .stdin(Stdio::null());
        command
    }

    fn store(&self, name: &str, migrations: &[Migration]) -> anyhow::Result<Store> {
        let port = self.port.to_string();
        child::done(
            Command::new("runuser")
                .args(["-u", "nobody", "--"])
                .arg(self.bin.join("createdb"))
                .args(["-h", "127.0.0.1", "-p", &port, "-U", "backout", name])
                .current_dir("/"),
        )?;
        let url = format!("postgres://backout@127.0.0.1:{port}/{name}");
        Ok(Store::open_postgres(&url, 2, migrations)?)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // What is left shows in the folder, which then stays.
        let stopped = self
            .program("pg_ctl")
            .args(["-m", "immediate", "-w", "stop"])
            .stdout(Stdio::null())
            .status();
        if stopped.is_ok_and(|status| status.success()) {
            let _ = std::fs::remove_dir_all(&self.data);
        }
    }
}
