//! Whether the image of an engine can be rolled back, asked of engines chosen at
//! random, among a hundred engines and among a hundred thousand.
//!
//! What is measured is the signed call `CheckDataEngineImageCanBeRollback`, by
//! one client over one connection, against the real server: the engine, the
//! versions it uses, the last record of its log, the record before, and that
//! one's version. No answer is kept. Each engine was asked about once before.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};
use backout_store::Store;
use serde_json::Value;

use crate::calls::{self, Admin, Call};
use crate::child::{self, Owned};
use crate::load::Client;
use crate::table::{self, Rounds, Table};

const FEW: u64 = 100;
const MANY: u64 = 100_000;
/// Records of each engine.
const RECORDS: u64 = 100;
const ROUNDS: usize = 9;
/// Checks in a round: 1 in a hundred is slower than its p99.
const CHECKS: u64 = 2_000;
/// How much more a check among many may cost.
const AT_MOST: f64 = 1.5;
/// The slowest of a hundred, in milliseconds.
const P99_MS: f64 = 2.0;
/// The limiter is on, and never says no.
const RATE_LIMIT: &str = "100000000";

pub(super) fn run() -> anyhow::Result<bool> {
    let title = format!(
        "A check among {FEW} engines and {} records, and among {MANY} and {}: signed calls",
        FEW * RECORDS,
        MANY * RECORDS
    );
    table::title(&title, "engines");
    let folder = child::scratch()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let mut sides = Vec::new();
    for count in [FEW, MANY] {
        let data = folder.path().join(count.to_string());
        let side = Side::make(&runtime, &data, count)
            .with_context(|| format!("put {count} engines into a store"))?;
        sides.push(side);
    }
    let mut medians = [Rounds::default(), Rounds::default()];
    let mut p99s = [Rounds::default(), Rounds::default()];
    let mut dice = Dice(1);
    for side in &sides {
        side.ask(0..side.count)?;
    }
    for _ in 0..ROUNDS {
        for (n, side) in sides.iter().enumerate() {
            let mut took = side.ask((0..CHECKS).map(|_| dice.next(side.count)))?;
            took.sort_unstable();
            let at = |part: usize| took.get(took.len() * part / 100).copied();
            if let (Some(rounds), Some(median)) = (medians.get_mut(n), at(50)) {
                rounds.time(median);
            }
            if let (Some(rounds), Some(p99)) = (p99s.get_mut(n), at(99)) {
                rounds.time(p99);
            }
        }
    }
    let [few, many] = &p99s;
    let mut table = Table::new(&["SQLite", "few ms", "many ms", "ratio"]);
    for (name, [few, many]) in [("median", &medians), ("p99", &p99s)] {
        table.row(vec![
            name.to_owned(),
            format!("{} ({})", table::number(few.median()), few.spread()),
            format!("{} ({})", table::number(many.median()), many.spread()),
            format!("{:.2}", many.ratio(few)),
        ]);
    }
    table.print();
    let mut reached = table::at_most("p99 among many", many.median(), " ms", P99_MS);
    reached &= table::at_most("p99, many to few", many.ratio(few), "", AT_MOST);
    println!();
    Ok(reached)
}

/// A generator by multiplication: any spread over the engines does.
struct Dice(u64);

impl Dice {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

/// A server with so many engines.
struct Side {
    /// Ends with this.
    _server: Owned,
    address: SocketAddr,
    admin: Admin,
    count: u64,
}

impl Side {
    fn make(runtime: &tokio::runtime::Runtime, data: &Path, count: u64) -> anyhow::Result<Self> {
        let (server, _) = serve(data)?;
        let said = |words: &[&str]| told(data, words);
        let accounts = said(&["accounts", "list"])?;
        let owner = accounts[0]["id"].as_str().context("name an account")?;
        let mut images = Vec::new();
        for (version, threads) in [("one", 1), ("two", 2)] {
            // What the engines were switched to and fro between.
            let mut file = tempfile::NamedTempFile::new()?;
            writeln!(
                file,
                "version = \"{version}\"\nkind = \"DuckDB\"\ncommand = [\"true\"]\n\
                 [cluster_parameters]\nthreads = {{ type = \"integer\", default = {threads} }}"
            )?;
            let path = file.path().to_str().context("name a file")?;
            let added = said(&["engines", "image", "add", path])?;
            images.push(added["id"].as_str().context("name a version")?.to_owned());
        }
        server.kill()?;
        let [one, two] = images.as_slice() else {
            bail!("add two versions: {images:?}");
        };
        let store = Store::open_sqlite(&data.join("state.db"), &backout::compose::migrations())?;
        runtime.block_on(fill(&store, owner, (one, two), count))?;
        drop(store);
        let (server, address) = serve(data)?;
        Ok(Self {
            _server: server,
            address,
            admin: Admin::read(data)?,
            count,
        })
    }

    /// How long it took to check each of these engines.
    fn ask(&self, engines: impl IntoIterator<Item = u64>) -> anyhow::Result<Vec<Duration>> {
        let mut client = Client::open(self.address)?;
        let mut took = Vec::new();
        for n in engines {
            let body = format!("{{\"DataEngineId\":\"DataEngine-{}\"}}", 10_000_000 + n);
            let call = Call {
                service: "dlc",
                version: "2021-01-25",
                action: "CheckDataEngineImageCanBeRollback",
                body: &body,
            };
            let request = calls::request(&self.admin, self.address, &call);
            let (answer, time) = client.call(&request)?;
            let answer: Value = serde_json::from_slice(answer)?;
            if answer["Response"]["IsRollback"] != true {
                bail!("check {body}: {answer}");
            }
            took.push(time);
        }
        Ok(took)
    }
}

fn serve(data: &Path) -> anyhow::Result<(Owned, SocketAddr)> {
    let backout: PathBuf = child::backout()?;
    let (server, address) = Owned::ready(
        Command::new(backout)
            .args(["serve", "--listen", "127.0.0.1:0", "--log", "warn"])
            .args(["--rate-limit", RATE_LIMIT, "--data"])
            .arg(data),
        "ready http://",
    )?;
    let address = address.parse().context("read the address of the server")?;
    Ok((server, address))
}

/// What the command line says, as JSON.
fn told(data: &Path, words: &[&str]) -> anyhow::Result<Value> {
    let mut command = Command::new(child::backout()?);
    let output = command
        .arg("--data")
        .arg(data)
        .args(words)
        .arg("--json")
        .output()?;
    if !output.status.success() {
        bail!(
            "run {command:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Rows as the product writes them, by the database itself: ten million
/// transactions would take a day.
async fn fill(
    store: &Store,
    owner: &str,
    (one, two): (&str, &str),
    count: u64,
) -> anyhow::Result<()> {
    let numbers = |count: u64| {
        format!(
            "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {count})"
        )
    };
    let id = "'DataEngine-' || CAST(10000000 + i AS TEXT)";
    let mut statements = vec![
        format!(
            "{} INSERT INTO engines (id, owner, creator, name, node, kind, exec_type, mode, pay_mode, \
             state, description, size, clusters_min, clusters_max, port, instance, setup, changes, tags, \
             kept, created_ms, updated_ms) SELECT {id}, '{owner}', '{owner}', 'engine ' || CAST(i AS TEXT), \
             'here', 'DuckDB', 'SQL', 'pay_as_you_go', 0, 'running', '', 1, 1, 1, 15000, NULL, NULL, \
             {RECORDS}, '[]', '{{}}', 1600000000000 + i, 1600000000000 + i FROM n",
            numbers(count)
        ),
        format!(
            "INSERT INTO engine_uses (engine, type, image) SELECT id, 1, '{two}' FROM engines"
        ),
        "INSERT INTO engine_configs (engine, cluster) SELECT id, '{\"threads\":\"2\"}' FROM engines".to_owned(),
        "INSERT INTO engine_session_configs (engine, session) SELECT id, '{}' FROM engines".to_owned(),
    ];
    let record = |i: &str| format!("printf('%08x-0000-4000-8000-%012x', {i}, {i})");
    // A piece of it each: the log of what is not committed is kept twice.
    let piece = 1_000_000;
    let total = count * RECORDS;
    for from in (0..total).step_by(piece) {
        let some = (total - from).min(piece as u64);
        let i = format!("(i + {from})");
        statements.push(format!(
            "{} INSERT INTO engine_log (id, engine, number, operation, before, restored, uses, config, \
             size, job, at_ms, recent) SELECT {}, 'DataEngine-' || CAST(10000000 + {i} / {RECORDS} AS TEXT), \
             {i} % {RECORDS} + 1, CASE {i} % {RECORDS} WHEN 0 THEN 'InitImage' ELSE 'SwitchImage' END, \
             CASE {i} % {RECORDS} WHEN 0 THEN NULL ELSE {} END, NULL, \
             '{{\"parent\":\"' || CASE {i} % 2 WHEN 0 THEN '{one}' ELSE '{two}' END || '\",\"child\":null,\"python\":null}}', \
             '{{\"cluster\":{{\"threads\":\"2\"}},\"session\":{{}},\"template\":null}}', 1, \
             'job_' || substr('0000000000000000' || CAST({i} AS TEXT), -16), 1600000000000 + {i}, {i} % {RECORDS} >= {RECORDS} - 2 FROM n",
            numbers(some),
            record(&i),
            record(&format!("({i} - 1)")),
        ));
    }
    for statement in statements {
        store
            .write::<_, backout_store::Error>(move |tx| tx.execute(&statement, &[]).map(drop))
            .await?;
    }
    Ok(())
}
