//! A switch between two versions of DuckDB, from the call to the first answer of
//! the new version at the engine's endpoint, less what the same program takes
//! from its bare start to its first answer.
//!
//! The endpoint is asked again and again, by a thread of its own, for the
//! version that answers. The job goes on after that: the old instance is kept
//! for a second and stopped. That is waited for, and not counted.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use backout_core::outcome::Outcome;
use backout_engines::model::Kind;
use backout_engines::service::{Asked, NewEngine};
use backout_jobs::{Jobs, Registry, Worker, WorkerConfig};

use super::{House, NODE, OWNER, caller};
use crate::child::{self, Owned};
use crate::table::{self, Rounds, Table};

/// Two real versions.
const VERSIONS: [&str; 2] = ["1.3.2", "1.4.4"];
/// Rounds of each direction.
const ROUNDS: usize = 8;
/// More than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a switch may take beside the engine's own start, in milliseconds.
const BESIDE_MS: f64 = 300.0;
/// The pause between two questions.
const TICK: Duration = Duration::from_millis(1);

pub(super) fn run() -> anyhow::Result<bool> {
    table::title(
        "A switch between two versions of DuckDB, from the call to the first answer, beside a bare start",
        "engines",
    );
    let folder = child::scratch()?;
    let house = House::open(folder.path())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let rounds = runtime.block_on(measure(&house));
    // Also when that failed.
    let swept = sweep(&house);
    let rounds = rounds?;
    swept?;
    let mut table = Table::new(&["", "median ms", "spread"]);
    table.rounds("call to first answer", &rounds.switch);
    table.rounds("bare start to first answer", &rounds.bare);
    table.rounds("of its own", &rounds.own);
    table.print();
    let reached = table::at_most("of its own", rounds.own.median(), " ms", BESIDE_MS);
    println!();
    Ok(reached)
}

#[derive(Default)]
struct Measured {
    switch: Rounds,
    bare: Rounds,
    own: Rounds,
}

async fn measure(house: &House) -> anyhow::Result<Measured> {
    let engines = &house.engines;
    for version in VERSIONS {
        engines.add_image(&caller()?, &entry(version)?).await?;
    }
    let registry = engines.register(Registry::new());
    let worker = Worker::start(&house.jobs, registry, WorkerConfig::new(NODE)).await?;
    let mut new = NewEngine::new("light", Kind::DuckDb);
    new.image = VERSIONS.first().map(|v| (*v).to_owned());
    over(&house.jobs, &engines.create(&caller()?, new).await?).await?;
    let engine = engines.get(&OWNER.parse()?, "light").await?;
    let mut measured = Measured::default();
    for round in 0..ROUNDS * 2 {
        let version = VERSIONS
            .get((round + 1) % VERSIONS.len())
            .context("choose a version")?;
        let (port, text) = (engine.port, (*version).to_owned());
        let bare = {
            let text = text.clone();
            tokio::task::spawn_blocking(move || bare(&text)).await??
        };
        let (called, waiting) = std::sync::mpsc::channel();
        let heard = tokio::task::spawn_blocking(move || {
            let began: Instant = waiting.recv()?;
            answered(port, &text, began)
        });
        called.send(Instant::now())?;
        let asked = engines.switch(&caller()?, "light", version).await?;
        let took = heard.await??;
        over(&house.jobs, &asked).await?;
        measured.switch.time(took);
        measured.bare.time(bare);
        // Less than nothing, where the bare start was the slower one.
        measured
            .own
            .push((took.as_secs_f64() - bare.as_secs_f64()) * 1e3);
    }
    worker.stop().await;
    Ok(measured)
}

async fn over(jobs: &Jobs, asked: &Asked) -> anyhow::Result<()> {
    let view = jobs.wait(&asked.job, PATIENCE).await?;
    anyhow::ensure!(view.outcome == Some(Outcome::Applied), "{view:?}");
    Ok(())
}

/// The Python of a version's virtual environment.
fn python(version: &str) -> anyhow::Result<PathBuf> {
    let cache = std::env::var_os("BACKOUT_BENCH_DIR").unwrap_or_else(|| ".cache".into());
    let path = Path::new(&cache)
        .join("engines")
        .join(format!("duckdb-{version}/bin/python"));
    let path = std::path::absolute(path)?;
    if !path.exists() {
        bail!("find {}: ./run demo engines puts it there", path.display());
    }
    Ok(path)
}

fn entry(version: &str) -> anyhow::Result<String> {
    let python = python(version)?;
    Ok(format!(
        "version = \"{version}\"\nkind = \"DuckDB\"\nhealth_sql = \"SELECT 1\"\n\
         command = [{python:?}, \"{{assets}}/duckdb/server.py\", \"--port\", \"{{port}}\", \"--data\", \"{{data}}\"]\n"
    ))
}

/// How long the same program takes that nobody looks after.
fn bare(version: &str) -> anyhow::Result<Duration> {
    let server = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../engines/assets/duckdb/server.py"
    );
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    drop(listener);
    let mut command = Command::new(python(version)?);
    command
        .arg(server)
        .args(["--port", &port.to_string()])
        .stdout(Stdio::null());
    let began = Instant::now();
    let owned = Owned::start(&mut command)?;
    let took = answered(port, version, began)?;
    owned.kill()?;
    Ok(took)
}

/// How long it took from `began` until this version answers at a port.
fn answered(port: u16, version: &str, began: Instant) -> anyhow::Result<Duration> {
    let wanted = format!("v{version}");
    while began.elapsed() < PATIENCE {
        if ask(port).is_ok_and(|text| text.contains(&wanted)) {
            return Ok(began.elapsed());
        }
        std::thread::sleep(TICK);
    }
    bail!("wait for DuckDB {version} at port {port}: it did not answer")
}

fn ask(port: u16) -> std::io::Result<String> {
    let sql = "SELECT version()";
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "POST /sql HTTP/1.1\r\nHost: light\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{sql}",
        sql.len()
    )?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

/// Ends what runs.
fn sweep(house: &House) -> anyhow::Result<()> {
    let fence = backout_core::fence::Fence(i64::MAX);
    let processes = &house.runtime.processes;
    for id in processes.list(None, backout_workloads::PAGE_MAX)? {
        processes.stop(fence, &id, Duration::ZERO)?;
    }
    let gateways = house.runtime.folder.join("gateways");
    for entry in std::fs::read_dir(gateways).into_iter().flatten() {
        let run = entry?.path().join("run");
        backout_shim::stop(&run, backout_shim::Signal::Kill, Duration::ZERO)?;
    }
    Ok(())
}
