//! Whether the image of an engine can be rolled back, asked of engines chosen at
//! random, among a hundred engines and among a hundred thousand.
//!
//! What is measured is `Engines::check_rollback`: the engine, the versions it
//! uses, the last record of its log, the record before, and that one's version.
//! No answer is kept.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use backout_core::ids::AccountId;
use backout_engines::Engines;
use backout_store::Store;
use tokio::runtime::Runtime as Tokio;

use super::{House, OWNER, caller};
use crate::child;
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

/// What the engines were switched to and fro between.
const ENTRIES: [&str; 2] = [
    "version = \"one\"\nkind = \"DuckDB\"\ncommand = [\"true\"]\n[cluster_parameters]\nthreads = { type = \"integer\", default = 1 }\n",
    "version = \"two\"\nkind = \"DuckDB\"\ncommand = [\"true\"]\n[cluster_parameters]\nthreads = { type = \"integer\", default = 2 }\n",
];

pub(super) fn run() -> anyhow::Result<bool> {
    let title = format!(
        "A check among {FEW} engines and {} records, and among {MANY} and {}: Engines::check_rollback",
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
        let place = folder.path().join(count.to_string());
        let house = House::open(&place).context("open a store")?;
        runtime
            .block_on(fill((&house.engines, &house.store), count))
            .with_context(|| format!("put {count} engines into a store"))?;
        sides.push((house.engines, count));
    }
    let owner: AccountId = OWNER.parse().ok().context("name an account")?;
    let mut medians = [Rounds::default(), Rounds::default()];
    let mut p99s = [Rounds::default(), Rounds::default()];
    let mut dice = 1;
    for _ in 0..ROUNDS {
        for (n, (engines, count)) in sides.iter().enumerate() {
            let mut took = checks(&runtime, engines, &owner, *count, &mut dice)?;
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

/// How long each of some checks took.
fn checks(
    runtime: &Tokio,
    engines: &Engines,
    owner: &AccountId,
    count: u64,
    dice: &mut u64,
) -> anyhow::Result<Vec<Duration>> {
    runtime.block_on(async {
        let mut took = Vec::new();
        for _ in 0..CHECKS {
            // A generator by multiplication: any spread over the engines does.
            *dice = dice
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let id = engine_id((*dice >> 33) % count);
            let began = Instant::now();
            let check = engines.check_rollback(owner, &id).await?;
            took.push(began.elapsed());
            anyhow::ensure!(check.possible, "check {id}: {check:?}");
        }
        Ok(took)
    })
}

fn engine_id(n: u64) -> String {
    format!("DataEngine-{}", 10_000_000 + n)
}

/// Rows as the product writes them, by the database itself: ten million
/// transactions would take a day.
async fn fill((engines, store): (&Engines, &Store), count: u64) -> anyhow::Result<()> {
    let mut ids = Vec::new();
    for entry in ENTRIES {
        let added = engines.add_image(&caller()?, entry).await?;
        ids.push(added.listed.id.to_string());
    }
    let (one, two) = (ids.first().context("one")?, ids.get(1).context("two")?);
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
             kept, created_ms, updated_ms) SELECT {id}, '{OWNER}', '{OWNER}', 'engine ' || CAST(i AS TEXT), \
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
             size, job, at_ms) SELECT {}, 'DataEngine-' || CAST(10000000 + {i} / {RECORDS} AS TEXT), \
             {i} % {RECORDS} + 1, CASE {i} % {RECORDS} WHEN 0 THEN 'InitImage' ELSE 'SwitchImage' END, \
             CASE {i} % {RECORDS} WHEN 0 THEN NULL ELSE {} END, NULL, \
             '{{\"parent\":\"' || CASE {i} % 2 WHEN 0 THEN '{one}' ELSE '{two}' END || '\",\"child\":null,\"python\":null}}', \
             '{{\"cluster\":{{\"threads\":\"2\"}},\"session\":{{}},\"template\":null}}', 1, \
             'job_' || substr('0000000000000000' || CAST({i} AS TEXT), -16), 1600000000000 + {i} FROM n",
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
