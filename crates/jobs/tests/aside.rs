//! Steps that wait for long: they take nobody's place, are left at any instant,
//! and write in the middle only while the job is theirs. On both databases.

#![allow(
    clippy::unwrap_used,
    reason = "tests and benches may stop at the first surprise"
)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use backout_core::ids::JobId;
use backout_core::outcome::Outcome;
use backout_core::time::{ManualClock, Timestamp};
use backout_jobs::{
    Commit, Done, Jobs, NewJob, Procedure, Step, StepContext, StepError, Undo, Worker, WorkerConfig,
};
use backout_store::testing::on_both;
use backout_store::{Error as StoreError, Store, Tx, params};
use common::*;
use tokio::sync::Semaphore;

/// Waits aside until it is let go, then has something to do.
#[derive(Clone)]
struct Patient {
    /// One that waits is let go with each permit.
    go: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    busy: Arc<AtomicUsize>,
    busiest: Arc<AtomicUsize>,
    /// Whether it heeds that it shall leave.
    deaf: Arc<AtomicBool>,
    /// Of its undo: likewise.
    undoing: Arc<AtomicUsize>,
    fails: Arc<AtomicBool>,
}

impl Default for Patient {
    fn default() -> Self {
        Self {
            go: Arc::new(Semaphore::new(0)),
            waiting: Arc::default(),
            busy: Arc::default(),
            busiest: Arc::default(),
            deaf: Arc::default(),
            undoing: Arc::default(),
            fails: Arc::default(),
        }
    }
}

static STEPS: &[Step<Patient>] = &[Step {
    name: "wait",
    does: "waits for a word",
    run: |p, ctx| Box::pin(p.wait(ctx)),
    undo: Undo::By {
        does: "waits for a word",
        run: |p, ctx| Box::pin(p.wait_back(ctx)),
    },
}];

impl Procedure for Patient {
    fn name(&self) -> &'static str {
        "test.patient"
    }

    fn steps(&self) -> &[Step<Self>] {
        STEPS
    }

    fn settle(&self, _: &StepContext, _: Outcome, _: Option<&StepError>) -> Commit {
        Box::new(|_| Ok(()))
    }
}

fn note(tx: &mut dyn Tx, job: &JobId, text: &str) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO notes (id, note, times) VALUES ($1, $2, 1) \
         ON CONFLICT (id) DO UPDATE SET times = notes.times + 1",
        params![format!("{job}/{text}"), text],
    )?;
    Ok(())
}

impl Patient {
    async fn wait(&self, ctx: &StepContext) -> Result<Done, StepError> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let left = ctx
            .aside(async {
                tokio::select! {
                    permit = self.go.acquire() => { permit.unwrap().forget(); false }
                    () = ctx.leave.wait(), if !self.deaf.load(Ordering::SeqCst) => true,
                    () = ctx.cancel.wait(), if !self.deaf.load(Ordering::SeqCst) => true,
                }
            })
            .await;
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        if left {
            return Err(match ctx.is_cancelled().await? {
                true => StepError::Cancelled,
                false => StepError::Stale,
            });
        }
        let busy = self.busy.fetch_add(1, Ordering::SeqCst) + 1;
        self.busiest.fetch_max(busy, Ordering::SeqCst);
        // Long enough that another would be seen beside it.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let job = ctx.job.clone();
        let written = ctx.write(move |tx| note(tx, &job, "middle")).await;
        self.busy.fetch_sub(1, Ordering::SeqCst);
        written?;
        if self.fails.load(Ordering::SeqCst) {
            return Err(StepError::failed(
                backout_core::code::Code::DiskIo,
                "wait: as told",
            ));
        }
        Ok(Done::nothing())
    }

    async fn wait_back(&self, ctx: &StepContext) -> Result<Done, StepError> {
        self.undoing.fetch_add(1, Ordering::SeqCst);
        let left = ctx
            .aside(async {
                tokio::select! {
                    permit = self.go.acquire() => { permit.unwrap().forget(); false }
                    () = ctx.leave.wait() => true,
                }
            })
            .await;
        match left {
            true => Err(StepError::Stale),
            false => Ok(Done::nothing()),
        }
    }

    fn job(&self, jobs: &Jobs, claim: &str) -> NewJob {
        let mut new = Scripted::new().job(jobs, "aside", &[claim], &Told::default());
        new.procedure = self.name().to_owned();
        new
    }
}

async fn start(jobs: &Jobs, patient: &Patient, others: &Scripted, places: usize) -> Worker {
    let config = WorkerConfig {
        concurrency: places,
        // Whoever waits for steps that wait would wait in vain.
        stop_wait: PATIENCE,
        ..config("aside")
    };
    let registry = others.registry().with(patient.clone());
    Worker::start(jobs, registry, config).await.unwrap()
}

#[test]
fn aside() {
    on_both(&migrations(), |store| {
        runtime().block_on(async {
            who_waits_takes_nobodys_place(&store).await;
            a_worker_that_stops_does_not_wait(&store).await;
            a_cancel_reaches_who_waits(&store).await;
            an_undo_is_left_too(&store).await;
            nothing_is_written_about_a_lost_job(&store).await;
        });
    });
}

async fn who_waits_takes_nobodys_place(store: &Store) {
    const PATIENTS: usize = 6;
    let jobs = jobs_on(store);
    let (patient, others) = (Patient::default(), Scripted::new());
    let worker = start(&jobs, &patient, &others, 1).await;
    let mut waiting = Vec::new();
    for n in 0..PATIENTS {
        let new = patient.job(&jobs, &format!("place/{n}"));
        waiting.push(jobs.submit(new).await.unwrap().id);
    }
    until("all wait, with one place for them", async || {
        patient.waiting.load(Ordering::SeqCst) == PATIENTS
    })
    .await;
    for n in 0..3 {
        let told = Told::default();
        let new = others.job(&jobs, "aside", &[&format!("other/{n}")], &told);
        let id = jobs.submit(new).await.unwrap().id;
        assert_eq!(done(&jobs, &id).await.outcome, Some(Outcome::Applied));
    }
    // One holds the place, and the others that are let go wait for it.
    let told = Told {
        wait_deaf: "b".into(),
        ..Told::default()
    };
    let new = others.job(&jobs, "aside", &["other/holder"], &told);
    let holder = jobs.submit(new).await.unwrap().id;
    until("the place is taken", async || {
        others.log_of(&holder).contains(&"do b".into())
    })
    .await;
    patient.go.add_permits(PATIENTS);
    until("all have heard", async || {
        patient.go.available_permits() == 0
    })
    .await;
    assert_eq!(patient.busiest.load(Ordering::SeqCst), 0);
    others.open.store(true, Ordering::SeqCst);
    for id in waiting.iter().chain([&holder]) {
        assert_eq!(done(&jobs, id).await.outcome, Some(Outcome::Applied));
    }
    assert_eq!(patient.busiest.load(Ordering::SeqCst), 1);
    for id in &waiting {
        assert_eq!(notes_of(&jobs, id).await.len(), 1);
    }
    worker.stop().await;
}

async fn a_worker_that_stops_does_not_wait(store: &Store) {
    let jobs = jobs_on(store);
    let (patient, others) = (Patient::default(), Scripted::new());
    let new = patient.job(&jobs, "stop/a");
    let id = jobs.submit(new).await.unwrap().id;
    // More often than a step may be begun in vain.
    for _ in 0..backout_jobs::MAX_TRIES + 5 {
        let worker = start(&jobs, &patient, &others, 1).await;
        until("it waits", async || {
            patient.waiting.load(Ordering::SeqCst) == 1
        })
        .await;
        assert_eq!(worker.stop().await.left_running, 0);
        let view = jobs.get(&id).await.unwrap();
        assert_eq!(view.state, backout_jobs::State::Queued, "{view:?}");
    }
    patient.go.add_permits(1);
    let worker = start(&jobs, &patient, &others, 1).await;
    assert_eq!(done(&jobs, &id).await.outcome, Some(Outcome::Applied));
    worker.stop().await;
}

async fn a_cancel_reaches_who_waits(store: &Store) {
    let jobs = jobs_on(store);
    let (patient, others) = (Patient::default(), Scripted::new());
    let worker = start(&jobs, &patient, &others, 1).await;
    let id = jobs
        .submit(patient.job(&jobs, "cancel/a"))
        .await
        .unwrap()
        .id;
    until("it waits", async || {
        patient.waiting.load(Ordering::SeqCst) == 1
    })
    .await;
    jobs.request_cancel(&id).await.unwrap();
    until("it goes back", async || {
        patient.undoing.load(Ordering::SeqCst) == 1
    })
    .await;
    patient.go.add_permits(1);
    assert_eq!(done(&jobs, &id).await.outcome, Some(Outcome::Reverted));
    worker.stop().await;
}

async fn an_undo_is_left_too(store: &Store) {
    let jobs = jobs_on(store);
    let (patient, others) = (Patient::default(), Scripted::new());
    patient.fails.store(true, Ordering::SeqCst);
    let id = jobs.submit(patient.job(&jobs, "undo/a")).await.unwrap().id;
    patient.go.add_permits(1);
    for round in 1..=2 {
        let worker = start(&jobs, &patient, &others, 1).await;
        until("its undo waits", async || {
            patient.undoing.load(Ordering::SeqCst) == round
        })
        .await;
        assert_eq!(worker.stop().await.left_running, 0);
    }
    patient.go.add_permits(1);
    let worker = start(&jobs, &patient, &others, 1).await;
    assert_eq!(done(&jobs, &id).await.outcome, Some(Outcome::Reverted));
    worker.stop().await;
}

async fn nothing_is_written_about_a_lost_job(store: &Store) {
    let clock = ManualClock::at(Timestamp(1_900_000_000_000));
    let jobs = jobs_with(store, Arc::new(clock.clone()));
    let (first, next) = (Patient::default(), Patient::default());
    first.deaf.store(true, Ordering::SeqCst);
    let others = Scripted::new();
    let slow = WorkerConfig {
        // Its heartbeat would come in real time, far too late to save it here.
        lease_ms: 3_600_000,
        concurrency: 1,
        ..config("aside")
    };
    let registry = others.registry().with(first.clone());
    let loser = Worker::start(&jobs, registry, slow).await.unwrap();
    let id = jobs.submit(first.job(&jobs, "lost/a")).await.unwrap().id;
    until("it waits", async || {
        first.waiting.load(Ordering::SeqCst) == 1
    })
    .await;
    clock.advance_ms(3_600_001);
    let winner = start(&jobs, &next, &others, 1).await;
    until("another has it", async || {
        next.waiting.load(Ordering::SeqCst) == 1
    })
    .await;
    first.go.add_permits(1);
    until("the first one has dropped it", async || {
        first.busy.load(Ordering::SeqCst) == 0 && loser.running() == 0
    })
    .await;
    assert_eq!(notes_of(&jobs, &id).await, []);
    next.go.add_permits(1);
    assert_eq!(done(&jobs, &id).await.outcome, Some(Outcome::Applied));
    assert_eq!(notes_of(&jobs, &id).await.len(), 1);
    winner.stop().await;
    loser.stop().await;
}
