//! 10,000 jobs in flight when their worker is killed: how long until all are
//! claimed or queued again.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use backout_core::ids::{AccountId, OsEntropy};
use backout_core::outcome::Outcome;
use backout_core::time::SystemClock;
use backout_jobs::{
    Commit, Jobs, Procedure, Registry, Step, StepContext, StepError, SubmitError, Undo, Worker,
    WorkerConfig, submit,
};
use backout_store::{Dialect, Error as StoreError, Store, params, query_one};

use crate::child::{self, Owned, until};
use crate::jobs::new_job;
use crate::table::{self, Rounds, Table};

/// The word that makes this program a worker.
pub(crate) const CHILD: &str = "child-worker";

const JOBS: i64 = 10_000;
const BATCH: usize = 500;
const ROUNDS: usize = 3;
/// On PostgreSQL, where the first start writes 10,000 intents in as many
/// transactions.
const POSTGRES_ROUNDS: usize = 2;
const LOOK_EVERY: Duration = Duration::from_millis(10);
const NODE: &str = "here";
const PROCEDURE: &str = "bench.wait";
/// What must be reached, in seconds.
const SECONDS: f64 = 5.0;

/// One step that waits until it is told to stop.
struct Wait;

static STEPS: &[Step<Wait>] = &[Step {
    name: "wait",
    does: "wait",
    run: |_, job| {
        Box::pin(async move {
            while !job.cancel.requested() {
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
            Err(StepError::Cancelled)
        })
    },
    undo: Undo::Nothing,
}];

impl Procedure for Wait {
    fn name(&self) -> &'static str {
        PROCEDURE
    }

    fn steps(&self) -> &[Step<Self>] {
        STEPS
    }

    fn settle(&self, _: &StepContext, _: Outcome, _: Option<&StepError>) -> Commit {
        Box::new(|_| Ok(()))
    }
}

fn open(store: &str) -> anyhow::Result<Jobs> {
    let store = if store.starts_with("postgres://") {
        Store::open_postgres(store, 8, backout_jobs::MIGRATIONS)?
    } else {
        Store::open_sqlite(Path::new(store), backout_jobs::MIGRATIONS)?
    };
    Ok(Jobs::new(store, Arc::new(SystemClock), Arc::new(OsEntropy)))
}

/// A child: works until it is killed, or its parent has gone.
pub(crate) fn work(store: &str) -> anyhow::Result<bool> {
    let jobs = open(store)?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(async {
            let mut config = WorkerConfig::new(NODE);
            config.concurrency = usize::try_from(JOBS)?;
            let _worker = Worker::start(&jobs, Registry::new().with(Wait), config).await?;
            let parent = std::os::unix::process::parent_id();
            while std::os::unix::process::parent_id() == parent {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            // Not the end of the runtime: that would wait for the worker.
            std::process::exit(0);
        })
}

pub(crate) fn run() -> anyhow::Result<bool> {
    table::title(
        "Recovery: 10,000 jobs in flight at kill -9 of their worker",
        "recovery",
    );
    let mut reached = true;
    let folder = child::scratch()?;
    let mut table = Table::new(&["seconds, median (rounds)", "SQLite", "PostgreSQL"]);
    let sqlite = measure(ROUNDS, |round| {
        let file = folder.path().join(format!("state-{round}.db"));
        Ok(file.to_string_lossy().into_owned())
    })?;
    let postgres = match Postgres::start()? {
        Some(server) => Some(measure(POSTGRES_ROUNDS, |round| server.database(round))?),
        None => None,
    };
    for (name, get) in [
        (
            "restart until all claimed or queued",
            (|m| &m.back) as fn(&Measured) -> &Rounds,
        ),
        ("restart until all run again", |m| &m.running),
        ("first start until all run, for comparison", |m| &m.first),
    ] {
        let show = |m: &Measured| match get(m).spread() {
            spread if spread.is_empty() => "not measured".to_owned(),
            spread => format!("{} ({spread})", table::number(get(m).median())),
        };
        table.row(vec![
            name.to_owned(),
            show(&sqlite),
            postgres
                .as_ref()
                .map_or_else(|| "not installed".to_owned(), show),
        ]);
    }
    table.print();
    reached &= table::at_most("SQLite", sqlite.back.median(), " s", SECONDS);
    if let Some(postgres) = &postgres {
        reached &= table::at_most("PostgreSQL", postgres.back.median(), " s", SECONDS);
    }
    println!(
        "  restart / first start, until all run (SQLite): {}",
        table::number(sqlite.running.ratio(&sqlite.first))
    );
    println!();
    Ok(reached)
}

#[derive(Default)]
struct Measured {
    first: Rounds,
    back: Rounds,
    running: Rounds,
}

fn measure(
    rounds: usize,
    store_of: impl Fn(usize) -> anyhow::Result<String>,
) -> anyhow::Result<Measured> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let mut measured = Measured::default();
    for round in 0..rounds {
        let store = store_of(round)?;
        let jobs = open(&store)?;
        runtime.block_on(fill(&jobs))?;
        let count = |wanted: &'static str, owner: &str| -> anyhow::Result<i64> {
            let owner = owner.to_owned();
            Ok(
                runtime.block_on(jobs.store().read::<_, StoreError>(move |tx| {
                    // The owner stands in all of them, to be one statement's form.
                    let sql = format!(
                        "SELECT COUNT(*) FROM jobs WHERE COALESCE(owner, '') <> $1 AND {wanted}"
                    );
                    query_one(tx, &sql, params![owner])?
                        .ok_or_else(|| StoreError::corrupt("COUNT(*) gave no row"))?
                        .get(0)
                }))?,
            )
        };
        let all_run =
            |owner: &str| Ok(count("state = 'running' AND step = 'wait'", owner)? == JOBS);

        let began = Instant::now();
        let first = worker(&store)?;
        until("all jobs run", LOOK_EVERY, || all_run(""))?;
        measured.first.push(began.elapsed().as_secs_f64());
        let dead: String = runtime.block_on(jobs.store().read::<_, StoreError>(|tx| {
            query_one(
                tx,
                "SELECT owner FROM jobs WHERE state = 'running' LIMIT 1",
                &[],
            )?
            .ok_or_else(|| StoreError::corrupt("no job has an owner"))?
            .get(0)
        }))?;
        first.kill()?;

        let began = Instant::now();
        let second = worker(&store)?;
        until("all jobs are claimed or queued", LOOK_EVERY, || {
            Ok(count("state IN ('running', 'queued')", &dead)? == JOBS)
        })?;
        measured.back.push(began.elapsed().as_secs_f64());
        if jobs.store().dialect() == Dialect::Sqlite {
            until("all jobs run again", LOOK_EVERY, || all_run(&dead))?;
            measured.running.push(began.elapsed().as_secs_f64());
        }
        second.kill()?;
    }
    Ok(measured)
}

fn worker(store: &str) -> anyhow::Result<Owned> {
    Owned::start(child::this(CHILD)?.arg(store).stdout(Stdio::null()))
}

async fn fill(jobs: &Jobs) -> anyhow::Result<()> {
    let owner = AccountId::random(&OsEntropy);
    let mut left = usize::try_from(JOBS)?;
    while left > 0 {
        let new: Vec<_> = (0..BATCH.min(left))
            .map(|_| new_job(jobs, &owner, PROCEDURE, 1))
            .collect();
        left -= new.len();
        jobs.store()
            .write::<_, SubmitError>(move |tx| {
                new.iter().try_for_each(|new| submit(tx, new).map(drop))
            })
            .await?;
    }
    Ok(())
}

/// A PostgreSQL of our own, stopped when dropped. As `store::testing`, which is
/// behind a feature that the shipped binary does not have.
struct Postgres {
    folder: tempfile::TempDir,
    bin: PathBuf,
    port: u16,
}

impl Postgres {
    fn start() -> anyhow::Result<Option<Self>> {
        let Some(bin) = std::fs::read_dir("/usr/lib/postgresql")
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok().map(|e| e.path().join("bin")))
            .find(|bin| bin.join("initdb").exists())
        else {
            return Ok(None);
        };
        // Not in the scratch folder: another user must reach it.
        let folder = tempfile::Builder::new()
            .prefix("backout-bench-pg")
            .tempdir()?;
        let data = folder.path().join("data");
        std::fs::create_dir(&data)?;
        if rustix::process::geteuid().is_root() {
            child::done(
                Command::new("chown")
                    .args(["-R", "nobody"])
                    .arg(folder.path()),
            )?;
        }
        child::done(
            as_nobody(&bin.join("initdb"))
                .args([
                    "-U",
                    "backout",
                    "-A",
                    "trust",
                    "-E",
                    "UTF8",
                    "--locale=C",
                    "-D",
                ])
                .arg(&data),
        )?;
        let port = std::net::TcpListener::bind(("127.0.0.1", 0))?
            .local_addr()?
            .port();
        let server = Self { folder, bin, port };
        child::done(
            as_nobody(&server.bin.join("pg_ctl"))
                .args(["-w", "-D"])
                .arg(&data)
                .arg("-l")
                .arg(server.folder.path().join("log"))
                .arg("-o")
                .arg(format!(
                    "-p {port} -k {} -c listen_addresses=127.0.0.1",
                    server.folder.path().display()
                ))
                .arg("start"),
        )
        .context("start PostgreSQL")?;
        Ok(Some(server))
    }

    fn database(&self, round: usize) -> anyhow::Result<String> {
        let name = format!("bench{round}");
        child::done(
            Command::new(self.bin.join("createdb"))
                .args([
                    "-h",
                    "127.0.0.1",
                    "-U",
                    "backout",
                    "-p",
                    &self.port.to_string(),
                ])
                .arg(&name),
        )?;
        Ok(format!("postgres://backout@127.0.0.1:{}/{name}", self.port))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // The folder goes with it, whether it stopped well or not.
        let _ = as_nobody(&self.bin.join("pg_ctl"))
            .args(["-m", "immediate", "-w", "-D"])
            .arg(self.folder.path().join("data"))
            .arg("stop")
            .stdout(Stdio::null())
            .status();
    }
}

/// PostgreSQL refuses to run as root.
fn as_nobody(program: &Path) -> Command {
    let mut command = if rustix::process::geteuid().is_root() {
        let mut command = Command::new("runuser");
        command.args(["-u", "nobody", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.current_dir("/").stdin(Stdio::null());
    command
}
