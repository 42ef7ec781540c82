//! How soon 10,000 running jobs are back after a `kill -9`, and how fast jobs
//! are made durable, beside the fsync rate of the same disk.
//!
//! `cargo bench -p backout-jobs --bench recovery`
#![expect(clippy::print_stdout, reason = "a bench tells its figures")]

#[path = "../tests/common/mod.rs"]
mod common;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use backout_jobs::{Jobs, State, SubmitError, Worker, WorkerConfig, submit};
use backout_store::{Error as StoreError, Store, query_one};
use common::*;

const CHILD: &str = "BACKOUT_BENCH_CHILD";
const JOBS: i64 = 10_000;
const CALLERS: usize = 16;

fn main() {
    if let Ok(folder) = std::env::var(CHILD) {
        runtime().block_on(async {
            let jobs = open(Path::new(&folder));
            let _worker = start(&jobs, 10_000).await;
            std::future::pending::<()>().await;
        });
    }
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    runtime().block_on(async {
        recovery(folder.path()).await;
        creations(folder.path()).await;
    });
}

fn open(folder: &Path) -> Jobs {
    let store = Store::open_sqlite(&folder.join("state.db"), &migrations());
    jobs_on(&store.expect("the store opens"))
}

async fn start(jobs: &Jobs, concurrency: usize) -> Worker {
    let config = WorkerConfig {
        concurrency,
        ..WorkerConfig::new("here")
    };
    Worker::start(jobs, Scripted::new().registry(), config)
        .await
        .expect("a worker starts")
}

async fn count(jobs: &Jobs, wanted: &'static str) -> i64 {
    jobs.store()
        .read::<_, StoreError>(move |tx| {
            query_one(
                tx,
                &format!("SELECT COUNT(*) FROM jobs WHERE {wanted}"),
                &[],
            )?
            .expect("a count is a row")
            .get(0)
        })
        .await
        .expect("jobs can be counted")
}

async fn recovery(folder: &Path) {
    let jobs = open(folder);
    let script = Scripted::new();
    let told = Told {
        wait: "a".into(),
        ..Told::default()
    };
    for batch in 0..JOBS / 500 {
        let new: Vec<_> = (0..500)
            .map(|n| script.job(&jobs, "here", &[&format!("thing/{batch}/{n}")], &told))
            .collect();
        jobs.store()
            .write::<_, SubmitError>(move |tx| {
                new.iter().try_for_each(|new| submit(tx, new).map(drop))
            })
            .await
            .expect("jobs are accepted");
    }
    let mut child = Command::new(std::env::current_exe().expect("this bench has a path"))
        .env(CHILD, folder)
        .stdin(Stdio::null())
        .spawn()
        .expect("a child starts");
    until("all run", async || {
        count(&jobs, "state = 'running' AND step = 'a'").await == JOBS
    })
    .await;
    drop(jobs);
    child.kill().expect("the child is killed");
    child.wait().expect("the child is waited for");

    let began = Instant::now();
    let jobs = open(folder);
    let worker = start(&jobs, 10_000).await;
    let put_back = began.elapsed();
    until("all are claimed again", async || {
        worker.running() as i64 == JOBS
    })
    .await;
    let claimed = began.elapsed();
    assert_eq!(count(&jobs, "state = 'done'").await, 0);
    println!(
        "10,000 jobs after kill -9: queued again in {put_back:.2?}, claimed again in {claimed:.2?}"
    );
    // Stopping would wait for the sleepers.
    script.open.store(true, std::sync::atomic::Ordering::SeqCst);
    std::mem::forget(worker);
}

async fn creations(folder: &Path) {
    let folder = folder.join("creations");
    std::fs::create_dir(&folder).expect("a folder can be made");
    let jobs = open(&folder);
    let script = Scripted::new();
    let time = Duration::from_secs(3);
    let began = Instant::now();
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let (jobs, script) = (jobs.clone(), script.clone());
            tokio::spawn(async move {
                let mut made = 0;
                while began.elapsed() < time {
                    let claim = format!("thing/{caller}/{made}");
                    let new = script.job(&jobs, "nobody", &[&claim], &Told::default());
                    jobs.submit(new).await.expect("a job is accepted");
                    made += 1;
                }
                made
            })
        })
        .collect();
    let mut made = 0;
    for caller in callers {
        made += caller.await.expect("a caller does not panic");
    }
    let creations = f64::from(made) / began.elapsed().as_secs_f64();
    let queued = jobs
        .list(Default::default(), None, 1)
        .await
        .expect("jobs can be listed");
    assert_eq!(queued.jobs[0].state, State::Queued);

    let mut file = std::fs::File::create(folder.join("fsync")).expect("a file can be made");
    let began = Instant::now();
    let mut syncs = 0;
    while began.elapsed() < time {
        file.write_all(&[0; 4096])
            .and_then(|()| file.sync_data())
            .expect("a file can be written");
        syncs += 1;
    }
    let syncs = f64::from(syncs) / began.elapsed().as_secs_f64();
    println!(
        "durable job creations with {CALLERS} callers: {creations:.0}/s; fdatasync of 4 KiB: {syncs:.0}/s; ratio {:.2}",
        creations / syncs
    );
    drop(Arc::new(jobs));
}
