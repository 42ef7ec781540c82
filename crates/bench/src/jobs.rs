//! Durable job creations a second, beside what the disk can sync.
//!
//! Twice: the engine alone (`jobs::submit` in `Store::write`), and the whole
//! call of the product (`Servers::create_snapshot`: find the server, look at
//! its disk and who holds it, preflight, then job, claim and rows in one
//! transaction). Every creation is on a resource of its own, and no worker runs.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use backout_core::ids::{AccountId, DiskId, InstanceId, OsEntropy, RequestId};
use backout_core::plan::{Plan, PlannedStep};
use backout_core::time::{Clock as _, SystemClock};
use backout_disks::{DriverKind, Format};
use backout_jobs::{Jobs, NewJob, SubmitError};
use backout_servers::model::{Power, PowerCommands, Server, Volume};
use backout_servers::{AskedBy, Caller, DiskRef, Runtime, Servers, persistence};
use backout_shim::Shim;
use backout_store::Store;

use crate::child;
use crate::table::{self, Rounds, Table};

const CALLERS: usize = 16;
const ROUNDS: usize = 5;
const LONG: Duration = Duration::from_millis(1500);
/// Creations by the product in a round: each needs a server that is free.
const CREATIONS: usize = 800;
const NODE: &str = "here";
/// What must be reached.
const OF_SYNCS: f64 = 0.2;

pub(crate) fn run() -> anyhow::Result<bool> {
    table::title(
        "Durable job creations: 16 callers, SQLite, beside fdatasync of the same disk",
        "jobs",
    );
    let folder = child::scratch()?;
    let migrations = [backout_jobs::MIGRATIONS, backout_servers::MIGRATIONS].concat();
    let store = Store::open_sqlite(&folder.path().join("state.db"), &migrations)?;
    let jobs = Jobs::new(store.clone(), Arc::new(SystemClock), Arc::new(OsEntropy));
    let servers = Servers::new(
        store.clone(),
        jobs.clone(),
        Arc::new(SystemClock),
        Arc::new(OsEntropy),
        NODE.into(),
        Runtime::new(folder.path(), Shim::own(&["shim"])),
    );
    let owner = AccountId::random(&OsEntropy);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let mut syncs = Rounds::default();
    let mut submits = Rounds::default();
    let mut products = Rounds::default();
    for round in 0..ROUNDS {
        syncs.push(sync_rate(&folder.path().join("syncs"))?);
        submits.push(runtime.block_on(submit_rate(&jobs, &owner))?);
        let ready = runtime.block_on(add_servers(&store, &owner, folder.path(), round))?;
        products.push(runtime.block_on(product_rate(&servers, &owner, ready))?);
    }
    let mut table = Table::new(&["", "per second", "rounds"]);
    table.rounds("append 4 KiB + fdatasync, one thread", &syncs);
    table.rounds("jobs::submit in Store::write", &submits);
    table.rounds("Servers::create_snapshot", &products);
    table.print();
    let mut reached = table::at_least("jobs::submit / fdatasync", submits.ratio(&syncs), OF_SYNCS);
    reached &= table::at_least(
        "create_snapshot / fdatasync",
        products.ratio(&syncs),
        OF_SYNCS,
    );
    println!();
    Ok(reached)
}

fn sync_rate(path: &Path) -> anyhow::Result<f64> {
    let mut file = File::create(path)?;
    let block = [7_u8; 4096];
    let began = Instant::now();
    let mut count = 0_u32;
    while began.elapsed() < LONG {
        file.write_all(&block)?;
        file.sync_data()?;
        count += 1;
    }
    Ok(f64::from(count) / began.elapsed().as_secs_f64())
}

/// A job of the usual size: five steps, one claim.
pub(crate) fn new_job(jobs: &Jobs, owner: &AccountId, procedure: &str, steps: usize) -> NewJob {
    let resource = format!("server/{}", InstanceId::random(&OsEntropy));
    let title = format!("take a snapshot of {resource}");
    NewJob {
        id: jobs.new_id(),
        procedure: procedure.into(),
        title: title.clone(),
        account: owner.clone(),
        request: RequestId::random(&OsEntropy),
        node: NODE.into(),
        resource: resource.clone(),
        claims: vec![resource.clone()],
        input: serde_json::json!({
            "server": resource,
            "disk": {"head": "/srv/images/web.img", "format": "raw", "driver": "copy"},
        }),
        plan: Plan {
            procedure: procedure.into(),
            title,
            claims: vec![resource],
            steps: (0..steps)
                .map(|n| PlannedStep {
                    name: format!("step-{n}"),
                    does: "what a step of a snapshot does, in some words".into(),
                    undo: Some("how it is taken back".into()),
                })
                .collect(),
        },
        undo_of: None,
        idempotency: None,
        background: false,
        now: jobs.now(),
    }
}

async fn submit_rate(jobs: &Jobs, owner: &AccountId) -> anyhow::Result<f64> {
    let began = Instant::now();
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (jobs, owner) = (jobs.clone(), owner.clone());
            tokio::spawn(async move {
                let mut count = 0_u32;
                while began.elapsed() < LONG {
                    let new = new_job(&jobs, &owner, "bench.none", 5);
                    jobs.store()
                        .write::<_, SubmitError>(move |tx| backout_jobs::submit(tx, &new))
                        .await?;
                    count += 1;
                }
                Ok::<_, SubmitError>(count)
            })
        })
        .collect();
    let mut count = 0;
    for caller in callers {
        count += caller.await??;
    }
    Ok(f64::from(count) / began.elapsed().as_secs_f64())
}

/// Servers that nothing was asked of yet, each with a disk file.
async fn add_servers(
    store: &Store,
    owner: &AccountId,
    folder: &Path,
    round: usize,
) -> anyhow::Result<Vec<String>> {
    let folder = folder.join(format!("disks-{round}"));
    std::fs::create_dir(&folder)?;
    let mut all = Vec::with_capacity(CREATIONS);
    for n in 0..CREATIONS {
        let head = folder.join(format!("{n}.img"));
        std::fs::write(&head, [1; 512])?;
        all.push(Server {
            id: InstanceId::random(&OsEntropy),
            owner: owner.clone(),
            name: format!("web-{round}-{n}"),
            node: NODE.into(),
            power: Power::Stopped,
            commands: PowerCommands {
                start: None,
                stop: None,
            },
            disk: Volume {
                id: DiskId::random(&OsEntropy),
                head,
                format: Format::Raw,
                driver: DriverKind::Copy,
                size_bytes: 512,
            },
            machine: None,
            made: false,
            bundle: None,
            blueprint: None,
            isolated: None,
            schedule: None,
            latest: None,
            created: SystemClock.now(),
            tags: Vec::new(),
        });
    }
    let names = all.iter().map(|s| s.id.to_string()).collect();
    store
        .write::<_, backout_store::Error>(move |tx| {
            all.iter()
                .try_for_each(|server| persistence::insert_server(tx, server).map(drop))
        })
        .await?;
    Ok(names)
}

async fn product_rate(
    servers: &Servers,
    owner: &AccountId,
    ready: Vec<String>,
) -> anyhow::Result<f64> {
    let (ready, next) = (Arc::new(ready), Arc::new(AtomicUsize::new(0)));
    let began = Instant::now();
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (servers, owner) = (servers.clone(), owner.clone());
            let (ready, next) = (Arc::clone(&ready), Arc::clone(&next));
            tokio::spawn(async move {
                while let Some(server) = ready.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let caller = Caller {
                        account: owner.clone(),
                        owner: owner.clone(),
                        request: RequestId::random(&OsEntropy),
                        idempotency: None,
                    };
                    servers
                        .create_snapshot(
                            &caller,
                            DiskRef::Of(server.clone()),
                            None,
                            Vec::new(),
                            AskedBy::Caller,
                        )
                        .await
                        .context("create a snapshot")?;
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for caller in callers {
        caller.await??;
    }
    Ok(ready.len() as f64 / began.elapsed().as_secs_f64())
}
