//! What the engine promises, on both databases.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests and benches may stop at the first surprise"
)]

mod common;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use backout_core::code::Code;
use backout_core::ids::{JobId, OsEntropy};
use backout_core::outcome::Outcome;
use backout_core::time::{ManualClock, Timestamp};
use backout_jobs::{
    CancelAnswer, Cursor, EventKind, Filter, Idempotency, Jobs, JobsError, Registry, State,
    StepState, SubmitError, WorkerConfig,
};
use backout_store::testing::on_both;
use backout_store::{Error as StoreError, Store, params, query_one};
use common::*;

#[test]
fn submitting_and_looking() {
    on_both(&migrations(), |store| {
        runtime().block_on(async {
            claims_are_exclusive(&store).await;
            a_refused_job_leaves_no_trace(&store).await;
            repeated_calls_make_one_job(&store).await;
            lists_are_paged_newest_first(&store).await;
            unknown_jobs_are_told(&store).await;
            lists_use_an_index(&store).await;
        });
    });
}

#[test]
fn running() {
    on_both(&migrations(), |store| {
        runtime().block_on(async {
            a_job_is_applied(&store).await;
            failures_are_taken_back(&store).await;
            panics_are_failures(&store).await;
            steps_are_tried_again(&store).await;
            commits_that_fail_are_failures(&store).await;
            a_failed_undo_holds_the_job(&store).await;
            a_failed_settlement_holds_the_job(&store).await;
            cancels_at_every_step(&store).await;
            a_point_of_no_return(&store).await;
            a_lost_effect_is_begun_anew(&store).await;
            background_work_yields(&store).await;
            held_background_work_does_not_yield(&store).await;
        });
    });
}

#[test]
fn lasting() {
    on_both(&migrations(), |store| {
        runtime().block_on(async {
            bad_jobs_do_not_stop_others(&store).await;
            jobs_of_unknown_procedures_wait(&store).await;
            pauses_follow_the_clock(&store).await;
            a_lost_lease_changes_nothing(&store).await;
            a_lease_is_long_while_there_are_no_jobs(&store).await;
            stopping_hands_over(&store).await;
            stopping_asks_long_steps(&store).await;
            steps_that_never_end_are_given_up(&store).await;
            events_are_bounded_and_followed(&store).await;
            old_jobs_are_removed(&store).await;
        });
    });
}

async fn claims_are_exclusive(store: &Store) {
    let jobs = jobs_on(store);
    let script = Scripted::new();
    for round in 0..8 {
        let (a, b, c) = (
            format!("x{round}/a"),
            format!("x{round}/b"),
            format!("x{round}/c"),
        );
        // Overlapping sets, in different orders.
        let sets = [
            vec![a.as_str(), b.as_str()],
            vec![b.as_str(), a.as_str(), b.as_str()],
            vec![c.as_str(), b.as_str()],
            vec![b.as_str()],
        ];
        let tries: Vec<_> = (0..16)
            .map(|i| {
                let new = script.job(&jobs, "nobody", &sets[i % sets.len()], &Told::default());
                let jobs = jobs.clone();
                tokio::spawn(async move { jobs.submit(new).await })
            })
            .collect();
        let mut won = Vec::new();
        let mut holders = Vec::new();
        for one in tries {
            match one.await.unwrap() {
                Ok(submitted) => won.push(submitted.id),
                Err(SubmitError::Busy { resource, job }) => {
                    assert!([&a, &b, &c].contains(&&resource), "{resource}");
                    holders.push(job);
                }
                Err(e) => panic!("{e}"),
            }
        }
        // All sets share b.
        assert_eq!(won.len(), 1);
        assert_eq!(holders.len(), 15);
        assert!(holders.iter().all(|h| *h == won[0]));
        assert_eq!(jobs.holder_of(&b).await.unwrap(), Some(won[0].clone()));
        let page = jobs.list(Filter::default(), None, 100).await.unwrap();
        assert_eq!(page.jobs.len(), round + 1, "losers left no row");
    }
}

async fn a_refused_job_leaves_no_trace(store: &Store) {
    let jobs = jobs_on(store);
    let script = Scripted::new();
    let first = script.job(&jobs, "nobody", &["busy/m"], &Told::default());
    jobs.submit(first.clone()).await.unwrap();
    let second = script.job(
        &jobs,
        "nobody",
        &["busy/z", "busy/m", "busy/a"],
        &Told::default(),
    );
    let refused = jobs.submit(second.clone()).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceBusy);
    assert!(refused.to_string().contains(first.id.as_str()), "{refused}");
    assert!(matches!(
        jobs.get(&second.id).await,
        Err(JobsError::NotFound(_))
    ));
    for free in ["busy/a", "busy/z"] {
        assert_eq!(jobs.holder_of(free).await.unwrap(), None);
    }
    let mut greedy = script.job(&jobs, "nobody", &[], &Told::default());
    greedy.claims = (0..=backout_jobs::MAX_CLAIMS)
        .map(|n| format!("g/{n}"))
        .collect();
    assert!(matches!(
        jobs.submit(greedy).await,
        Err(SubmitError::TooManyClaims { .. })
    ));
}

async fn repeated_calls_make_one_job(store: &Store) {
    let jobs = jobs_on(store);
    let script = Scripted::new();
    let call = |hash: &str| {
        let mut new = script.job(&jobs, "nobody", &["idem/a"], &Told::default());
        new.idempotency = Some(Idempotency {
            key: "key".into(),
            hash: hash.into(),
        });
        new
    };
    let tries: Vec<_> = (0..16)
        .map(|_| {
            let (jobs, new) = (jobs.clone(), call("same"));
            tokio::spawn(async move {
                loop {
                    match jobs.submit(new.clone()).await {
                        Err(SubmitError::Store(StoreError::Contended(_))) => {}
                        other => return other,
                    }
                }
            })
        })
        .collect();
    let mut fresh = 0;
    let mut ids = Vec::new();
    for one in tries {
        let submitted = one.await.unwrap().unwrap();
        fresh += usize::from(!submitted.repeated);
        ids.push(submitted.id);
    }
    ids.dedup();
    assert_eq!((fresh, ids.len()), (1, 1));
    let other = jobs.submit(call("other")).await.unwrap_err();
    assert_eq!(other.code(), Code::IdempotencyMismatch);
    // Another account's key is another key.
    let mut new = call("other");
    new.account = "acct_bbbbbbbbbbbb".parse().unwrap();
    new.claims = vec!["idem/b".into()];
    assert!(!jobs.submit(new).await.unwrap().repeated);
}

async fn lists_are_paged_newest_first(store: &Store) {
    let clock = ManualClock::at(Timestamp(2_000_000_000_000));
    let jobs = jobs_with(store, Arc::new(clock.clone()));
    let script = Scripted::new();
    let mut ids = Vec::new();
    for n in 0..25 {
        let mut new = script.job(&jobs, "nobody", &[], &Told::default());
        new.account = format!("acct_listlistlis{}", if n % 5 == 0 { "y" } else { "x" })
            .parse()
            .unwrap();
        new.resource = format!("list/{}", n % 2);
        ids.push(jobs.submit(new.clone()).await.unwrap().id);
        let found = jobs.find_by_request(&new.request).await.unwrap().unwrap();
        assert_eq!(found.id, new.id);
        // Several in one millisecond, too.
        clock.advance_ms(n % 2);
    }
    let mut seen: Vec<JobId> = Vec::new();
    let mut cursor = None;
    loop {
        let page = jobs.list(Filter::default(), cursor, 7).await.unwrap();
        assert!(page.jobs.len() <= 7);
        let times: Vec<_> = page.jobs.iter().map(|j| j.created).collect();
        assert!(times.windows(2).all(|w| w[0] >= w[1]));
        seen.extend(page.jobs.into_iter().map(|j| j.id));
        let Some(next) = page.next else { break };
        cursor = Some(next.to_string().parse::<Cursor>().unwrap());
    }
    let mut unique = seen.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), seen.len(), "no job twice");
    assert!(ids.iter().all(|id| seen.contains(id)));
    let count = async |filter: Filter| jobs.list(filter, None, 100).await.unwrap().jobs.len();
    let account = Some("acct_listlistlisy".parse().unwrap());
    assert_eq!(
        count(Filter {
            account: account.clone(),
            ..Filter::default()
        })
        .await,
        5
    );
    assert_eq!(
        count(Filter {
            account: account.clone(),
            resource: Some("list/0".into()),
            state: Some(State::Queued),
            outcome: None,
        })
        .await,
        3
    );
    assert_eq!(
        count(Filter {
            account,
            state: Some(State::Done),
            ..Filter::default()
        })
        .await,
        0
    );
    for bad in [
        "",
        "1",
        "1.",
        ".job_aaaaaaaaaaaaaaaa",
        "x.job_aaaaaaaaaaaaaaaa",
    ] {
        assert!(bad.parse::<Cursor>().is_err(), "{bad:?}");
    }
}

async fn unknown_jobs_are_told(store: &Store) {
    let jobs = jobs_on(store);
    let id = JobId::random(&OsEntropy);
    let errors = [
        jobs.get(&id).await.err(),
        jobs.steps(&id).await.err(),
        jobs.events(&id, 0, 10).await.err(),
        jobs.request_cancel(&id).await.err(),
        jobs.retry(&id).await.err(),
        jobs.wait(&id, Duration::ZERO).await.err(),
    ];
    for e in errors {
        assert_eq!(e.unwrap().code(), Code::NotFound);
    }
}

/// The cost of a page must not grow with the table.
async fn lists_use_an_index(store: &Store) {
    if store.dialect() != backout_store::Dialect::Sqlite {
        // PostgreSQL scans small tables whatever their indexes.
        return;
    }
    for wanted in [
        "1 = 1",
        "account = 'a'",
        "resource = 'a'",
        "state = 'done'",
        "account = 'a' AND state = 'done'",
        "account = 'a' AND (created_ms, id) < (1, 'b')",
        "(created_ms, id) < (1, 'b')",
    ] {
        let plan = store
            .read::<_, StoreError>(move |tx| {
                tx.query(
                    &format!("EXPLAIN QUERY PLAN SELECT id FROM jobs WHERE {wanted} ORDER BY created_ms DESC, id DESC LIMIT 21"),
                    &[],
                )
            })
            .await
            .unwrap();
        let text = format!("{plan:?}");
        assert!(
            text.contains("INDEX") && !text.contains("TEMP B-TREE"),
            "{wanted}: {text}"
        );
    }
}

async fn a_job_is_applied(store: &Store) {
    let jobs = jobs_on(store);
    let script = Scripted::new();
    let w = worker(&jobs, script.registry(), "applied").await;
    let new = script.job(&jobs, "applied", &["ok/a", "ok/b"], &Told::default());
    let id = jobs.submit(new).await.unwrap().id;
    let view = done(&jobs, &id).await;
    assert_eq!(view.outcome, Some(Outcome::Applied));
    assert_eq!(
        (
            view.percent,
            view.error.clone(),
            view.held.clone(),
            view.next_command.clone()
        ),
        (100, None, None, None)
    );
    assert!(view.started.is_some() && view.ended.is_some());
    assert_eq!(script.log_of(&id), ["do a", "do b", "do c"]);
    assert!(jobs.claims_of(&id).await.unwrap().is_empty());
    let notes = notes_of(&jobs, &id).await;
    assert_eq!(
        notes,
        [
            ("a", "done"),
            ("b", "done"),
            ("c", "done"),
            ("outcome", "applied")
        ]
        .map(|(id, note)| (id.to_owned(), note.to_owned(), 1))
    );
    let steps = jobs.steps(&id).await.unwrap();
    assert!(
        steps
            .iter()
            .all(|s| s.state == StepState::Done && s.tries == 1)
    );
    assert_eq!(steps[1].undo.as_deref(), Some("undoes b"));
    assert_eq!(
        jobs.request_cancel(&id).await.unwrap(),
        CancelAnswer::TooLate
    );
    assert!(matches!(
        jobs.retry(&id).await,
        Err(JobsError::NotHeld { is: "applied", .. })
    ));
    // A job that takes it back is found, unless it came to nothing.
    for (told, found) in [
        (
            Told {
                fail: "a".into(),
                ..Told::default()
            },
            false,
        ),
        (Told::default(), true),
    ] {
        let mut undo = script.job(&jobs, "applied", &["ok/a"], &told);
        undo.undo_of = Some(id.clone());
        let undo = jobs.submit(undo).await.unwrap().id;
        let view = done(&jobs, &undo).await;
        assert_eq!(view.undo_of.as_ref(), Some(&id));
        assert_eq!(
            jobs.get(&id).await.unwrap().undone_by,
            found.then_some(undo)
        );
    }
    assert_eq!(w.stop().await.left_running, 0);
}

async fn failures_are_taken_back(store: &Store) {
    let jobs = jobs_on(store);
    let script = Scripted::new();
    let w = worker(&jobs, script.registry(), "failing").await;
    for (step, log) in [
        ("a", vec!["do a", "undo a"]),
        ("b", vec!["do a", "do b", "undo b", "undo a"]),
        (
            "c",
            vec!["do a", "do b", "do c", "undo c", "undo b", "undo a"],
        ),
    ] {
        let told = Told {
            fail: step.into(),
            ..Told::default()
        };
        let id = jobs
            .submit(script.job(&jobs, "failing", &["fail/a"], &told))
            .await
            .unwrap()
            .id;
        let view = done(&jobs, &id).await;
        assert_eq!(view.outcome, Some(Outcome::Reverted));
        assert_eq!(script.log_of(&id), log);
        let error = view.error.unwrap();
        assert_eq!(error.code, Code::DiskIo);
        assert_eq!(error.message, format!("do {step}: as told"));
        assert_eq!(view.percent, 0);
        let outcome = format!("reverted: do {step}: as told");
        assert_eq!(
            notes_of(&jobs, &id).await,
            [("outcome".to_owned(), outcome, 1)]
        );
        assert_eq!(jobs.holder_of("fail/a").await.unwrap(), None);
    }
    w.stop().await;
}

async fn panics_are_failures(store: &Store) {
    let jobs = jobs_on(store);
    let script = Scripted::new();
    let w = worker(&jobs, script.registry(), "panicking").await;
    let told = Told {
        panic: "b".into(),
        ..Told::default()
    };
    let id = jobs
        .submit(script.job(&jobs, "panicking", &["panic/a"], &told))
        .await
        .unwrap()
        .id;
    let view = done(&jobs, &id).await;
    assert_eq!(view.outcome, Some(Outcome::Reverted));
    let error = view.error.unwrap();
    assert_eq!(error.code, Code::Internal);
    assert!(
        error.message.contains("panicked: on purpose in b"),
        "{error:?}"
    );

    let told = Told {
        fail: "c".into(),
        panic_undo: "b".into(),
        ..Told::default()
    };
    let id = jobs
        .submit(script.job(&jobs, "panicking", &["panic/b"], &told))
        .await
        .unwrap()
        .id;
    let view = done(&jobs, &id).await;
    let ended = async |outcome| {
        let filter = Filter {
            outcome: Some(outcome),
            ..Filter::default()
        };
        let found = jobs.list(filter, None, 100).await.unwrap().jobs;
        found.iter().any(|job| job.id == view.id)
    };
    assert!(ended(Outcome::Held).await);
    assert!(!ended(Outcome::Applied).await);
    assert_eq!(view.outcome, Some(Outcome::Held));
    assert_eq!(view.held.unwrap().code, Code::UndoFailed);
    w.stop().await;
}

async fn steps_are_tried_again(store: &Store) {
    // The clock is moved on by hand, or the pauses would be waited for.
    let clock = ManualClock::at(Timestamp(1_900_000_000_000));
    let jobs = jobs_with(store, Arc::new(clock.clone()));
    let script = Scripted::new();
    let w = worker(&jobs, script.registry(), "again").await;
    let most = backout_jobs::MAX_ATTEMPTS as u32;
    for (times, outcome, dos) in [
        (1, Outcome::Applied, 2),
        (most - 1, Outcome::Applied, most),
        (most, Outcome::Reverted, most),
    ] {
        let told = Told {
            again: ("b".into(), times),
            ..Told::default()
        };
        let id = jobs
            .submit(script.job(&jobs, "again", &["again/a"], &told))
            .await
            .unwrap()
            .id;
        until("the job has ended", async || {
            clock.advance_ms(500);
            jobs.get(&id).await.unwrap().is_done()
        })
        .await;
        let view = jobs.get(&id).await.unwrap();
        assert_eq!(view.outcome, Some(outcome), "{view:?}");
        let log = script.log_of(&id);
        assert_eq!(log.iter().filter(|l| *l == "do b").count(), dos as usize);
        assert_eq!(log.iter().filter(|l| *l == "do a").count(), 1);
        if outcome == Outcome::Reverted {
            let message = view.error.unwrap().message;
            assert_eq!(message, format!("do b: not yet ({most} attempts)"));
        }
    }
    // Undos have attempts of their own; the last one holds the job.
    for (times, outcome) in [(most - 1, Outcome::Reverted), (most, Outcome::Held)] {
        let told = Told {
            fail: "c".into(),
            again_undo: ("b".into(), times),
            ..Told::default()
        };
        let id = jobs
            .submit(script.job(&jobs, "again", &["again/b"], &told))
            .await
            .unwrap()
            .id;
        until("the job has ended", async || {
            clock.advance_ms(500);
            jobs.get(&id).await.unwrap().is_done()
        })
        .await;
        assert_eq!(jobs.get(&id).await.unwrap().outcome, Some(outcome));
    }
    w.stop().await;
}

async fn commits_that_fail_are_failures(store: &Store) {
    let jobs = jobs_on(store);
    let script = Scripted::new();
    let w = worker(&jobs, script.registry(), "commits").await;
    for told in [
        Told {
            bad_commit: "b".into(),
            ..Told::default()
        },
        Told {
            panic_commit: "b".into(),
            ..Told::default()
        },
    ] {
        let id = jobs
            .submit(script.job(&jobs, "commits", &["commits/a"], &told))
            .await
            .unwrap()
            .id;
        let view = done(&jobs, &id).await;
        assert_eq!(view.outcome, Some(Outcome::Reverted), "{view:?}");
        assert_eq!(view.error.unwrap().code, Code::Store);
        assert_eq!(script.log_of(&id), ["do a", "do b", "undo b", "undo a"]);
    }
    w.stop().await;
}

async fn a_failed_undo_holds_the_job(store: &Store) {
    let jobs = jobs_on(store);
    let script = Scripted::new();
    let w = worker(&jobs, script.registry(), "held").await;
    let told = Told {
        fail: "c".into(),
        fail_undo: "b".into(),
        ..Told::default()
    };
    let id = jobs
        .submit(script.job(&jobs, "held", &["held/a", "held/b"], &told))
        .await
        .unwrap()
        .id;
    let log = ["do a", "do b", "do c", "undo c", "undo b"];
    for round in 0..2 {
        let view = done(&jobs, &id).await;
        assert_eq!(view.outcome, Some(Outcome::Held));
        assert_eq!(view.next_command, Some(format!("backout jobs retry {id}")));
        assert_eq!(view.error.unwrap().message, "do c: as told");
        let held = view.held.unwrap();
        assert_eq!(held.code, Code::UndoFailed);
        assert!(held.message.contains("undo b: as told"), "{held:?}");
        assert_eq!(jobs.claims_of(&id).await.unwrap(), ["held/a", "held/b"]);
        assert_eq!(
            notes_of(&jobs, &id).await.last().unwrap().1,
            "held: undo b: as told"
        );
        assert_eq!(
            jobs.request_cancel(&id).await.unwrap(),
            CancelAnswer::TooLate
        );
        let mut expected = log.to_vec();
        // Nothing moves by itself; a retry begins where it was held.
        expected.extend((0..round).map(|_| "undo b"));
        assert_eq!(script.log_of(&id), expected);
        if round == 1 {
            script.mended.store(true, Ordering::SeqCst);
        }
        jobs.retry(&id).await.unwrap();
    }
    let view = done(&jobs, &id).await;
    assert_eq!(view.outcome, Some(Outcome::Reverted));
    assert_eq!(view.error.unwrap().message, "do c: as told");
    assert_eq!((view.held, view.next_command), (None, None));
    assert!(jobs.claims_of(&id).await.unwrap().is_empty());
    assert_eq!(
        notes_of(&jobs, &id).await,
        [("outcome".into(), "reverted: do c: as told".into(), 3)]
    );
    w.stop().await;
}

async fn a_failed_settlement_holds_the_job(store: &Store) {
    let jobs = jobs_on(store);
    for (how, fail, then) in [
        ("panic", "", Outcome::Applied),
        ("refused", "", Outcome::Applied),
        ("refused", "b", Outcome::Reverted),
    ] {
        let script = Scripted::new();
        let w = worker(&jobs, script.registry(), "settle").await;
        let told = Told {
            settle: how.into(),
            fail: fail.into(),
            ..Told::default()
        };
        let id = jobs
            .submit(script.job(&jobs, "settle", &["settle/a"], &told))
            .await
            .unwrap()
            .id;
        let view = done(&jobs, &id).await;
        assert_eq!(view.outcome, Some(Outcome::Held), "{view:?}");
        assert!(view.held.unwrap().message.contains("on purpose"));
        assert_eq!(jobs.claims_of(&id).await.unwrap(), ["settle/a"]);
        let before = script.log_of(&id);
        script.mended.store(true, Ordering::SeqCst);
        jobs.retry(&id).await.unwrap();
        assert_eq!(done(&jobs, &id).await.outcome, Some(then));
        assert_eq!(script.log_of(&id), before, "no step ran again");
        w.stop().await;
    }
}

async fn cancels_at_every_step(store: &Store) {
    let jobs = jobs_on(store);
    // Through the handle that the worker shares, and through another one, as
    // another process has.
    let elsewhere = jobs_on(store);
    for asked in [&jobs, &elsewhere] {
        for (step, log) in [
            ("a", vec!["do a", "undo a"]),
            ("b", vec!["do a", "do b", "undo b", "undo a"]),
            (
                "c",
                vec!["do a", "do b", "do c", "undo c", "undo b", "undo a"],
            ),
        ] {
            let script = Scripted::new();
            let w = worker(&jobs, script.registry(), "cancel").await;
            let told = Told {
                wait: step.into(),
                ..Told::default()
            };
            let id = jobs
                .submit(script.job(&jobs, "cancel", &["cancel/a"], &told))
                .await
                .unwrap()
                .id;
            until("the step runs", async || {
                script.log_of(&id).contains(&format!("do {step}"))
            })
            .await;
            assert_eq!(
                asked.request_cancel(&id).await.unwrap(),
                CancelAnswer::Requested
            );
            let view = done(&jobs, &id).await;
            assert_eq!(view.outcome, Some(Outcome::Reverted));
            assert_eq!(view.error.unwrap().code, Code::Cancelled);
            assert_eq!(script.log_of(&id), log);
            assert_eq!(notes_of(&jobs, &id).await[0].1, "reverted: stop on request");
            w.stop().await;
        }
    }
    // A step that does not listen is waited for; the next one is not begun.
    for (step, outcome) in [("b", Outcome::Reverted), ("c", Outcome::Applied)] {
        let script = Scripted::new();
        let w = worker(&jobs, script.registry(), "cancel").await;
        let told = Told {
            wait_deaf: step.into(),
            ..Told::default()
        };
        let id = jobs
            .submit(script.job(&jobs, "cancel", &["cancel/a"], &told))
            .await
            .unwrap()
            .id;
        until("the step runs", async || {
            script.log_of(&id).contains(&format!("do {step}"))
        })
        .await;
        assert_eq!(
            jobs.request_cancel(&id).await.unwrap(),
            CancelAnswer::Requested
        );
        assert_eq!(
            jobs.request_cancel(&id).await.unwrap(),
            CancelAnswer::AlreadyRequested
        );
        script.open.store(true, Ordering::SeqCst);
        // After its last step a job is applied, whoever asks.
        assert_eq!(done(&jobs, &id).await.outcome, Some(outcome));
        w.stop().await;
    }
    // Before any worker has it.
    let script = Scripted::new();
    let id = jobs
        .submit(script.job(&jobs, "cancel", &["cancel/a"], &Told::default()))
        .await
        .unwrap()
        .id;
    assert_eq!(
        jobs.request_cancel(&id).await.unwrap(),
        CancelAnswer::Requested
    );
    let w = worker(&jobs, script.registry(), "cancel").await;
    assert_eq!(done(&jobs, &id).await.outcome, Some(Outcome::Reverted));
    assert!(script.log_of(&id).is_empty(), "it never ran");
    assert_eq!(jobs.holder_of("cancel/a").await.unwrap(), None);
    w.stop().await;
}

async fn a_point_of_no_return(store: &Store) {
    let jobs = jobs_on(store);
    let script = Scripted::without_return();
    let w = worker(&jobs, script.registry(), "no_return").await;
    let told = Told {
        wait: "b".into(),
        ..Told::default()
    };
    let id = jobs
        .submit(script.job(&jobs, "no_return", &["no_return/a"], &told))
        .await
        .unwrap()
        .id;
    until("the step runs", async || {
        script.log_of(&id).contains(&"do b".into())
    })
    .await;
    assert_eq!(
        jobs.request_cancel(&id).await.unwrap(),
        CancelAnswer::TooLate
    );
    assert!(jobs.get(&id).await.unwrap().no_return);
    script.open.store(true, Ordering::SeqCst);
    assert_eq!(done(&jobs, &id).await.outcome, Some(Outcome::Applied));
    // A failure behind it holds the job, in the direction it had.
    let told = Told {
        again: ("c".into(), 0),
        fail: "c".into(),
        ..Told::default()
    };
    let id = jobs
        .submit(script.job(&jobs, "no_return", &["no_return/b"], &told))
        .await
        .unwrap()
        .id;
    let view = done(&jobs, &id).await;
    assert_eq!(view.outcome, Some(Outcome::Held));
    assert_eq!(view.direction, backout_jobs::Direction::Forward);
    jobs.retry(&id).await.unwrap();
    done(&jobs, &id).await;
    assert_eq!(script.log_of(&id), ["do a", "do b", "do c", "do c"]);
    w.stop().await;
}

async fn a_lost_effect_is_begun_anew(store: &Store) {
    let clock = ManualClock::at(Timestamp(1_900_000_000_000));
    let jobs = jobs_with(store, Arc::new(clock.clone()));
    let script = Scripted::new();
    let w = worker(&jobs, script.registry(), "stale").await;
    let told = Told {
        stale: "b".into(),
        ..Told::default()
    };
    let id = jobs
        .submit(script.job(&jobs, "stale", &["stale/a"], &told))
        .await
        .unwrap()
        .id;
    until("the job has ended", async || {
        clock.advance_ms(500);
        jobs.get(&id).await.unwrap().is_done()
    })
    .await;
    assert_eq!(script.log_of(&id), ["do a", "do b", "do b", "do c"]);
    w.stop().await;
}

async fn background_work_yields(store: &Store) {
    let jobs = jobs_on(store);
    let script = Scripted::new();
    let w = worker(&jobs, script.registry(), "background").await;
    let waiting = Told {
        wait: "b".into(),
        ..Told::default()
    };
    let mut back = script.job(&jobs, "background", &["bg/a", "bg/b"], &waiting);
    back.background = true;
    let back = jobs.submit(back).await.unwrap().id;
    until("the background step runs", async || {
        script.log_of(&back).contains(&"do b".into())
    })
    .await;
    // Background does not displace background.
    let mut other = script.job(&jobs, "background", &["bg/a"], &Told::default());
    other.background = true;
    assert!(matches!(jobs.submit(other).await, Err(SubmitError::Busy { job, .. }) if job == back));
    assert_eq!(jobs.holder_of("bg/a").await.unwrap(), Some(back.clone()));
    assert_eq!(busy_with(store, "bg/a").await, None, "it makes room");

    let new = script.job(&jobs, "background", &["bg/a", "bg/c"], &Told::default());
    let submitted = jobs.submit(new).await.unwrap();
    assert_eq!(submitted.waits_for, std::slice::from_ref(&back));
    // The place behind it is exclusive as well.
    let third = script.job(&jobs, "background", &["bg/a"], &Told::default());
    match jobs.submit(third).await {
        Err(SubmitError::Busy { job, .. }) => assert_eq!(job, submitted.id),
        // It may be over already.
        Ok(third) => {
            done(&jobs, &third.id).await;
        }
        Err(e) => panic!("{e}"),
    }
    assert_eq!(done(&jobs, &back).await.outcome, Some(Outcome::Reverted));
    assert_eq!(
        done(&jobs, &submitted.id).await.outcome,
        Some(Outcome::Applied)
    );
    for free in ["bg/a", "bg/b", "bg/c"] {
        assert_eq!(jobs.holder_of(free).await.unwrap(), None, "{free}");
    }
    w.stop().await;

    // One that is cancelled while it waits leaves no claim behind.
    let mut back = script.job(&jobs, "background", &["bg/a"], &Told::default());
    back.background = true;
    let back = jobs.submit(back).await.unwrap().id;
    let new = script.job(&jobs, "background", &["bg/a", "bg/c"], &Told::default());
    let new = jobs.submit(new).await.unwrap().id;
    // Who asks what has the resource is told of the work that was asked for, not
    // of the background that makes room for it.
    assert_eq!(jobs.holder_of("bg/a").await.unwrap(), Some(new.clone()));
    assert_eq!(busy_with(store, "bg/a").await, Some(new.clone()));
    assert_eq!(
        jobs.request_cancel(&new).await.unwrap(),
        CancelAnswer::Requested
    );
    let w = worker(&jobs, script.registry(), "background").await;
    assert_eq!(done(&jobs, &back).await.outcome, Some(Outcome::Reverted));
    assert_eq!(done(&jobs, &new).await.outcome, Some(Outcome::Reverted));
    assert!(script.log_of(&new).is_empty());
    for free in ["bg/a", "bg/c"] {
        assert_eq!(jobs.holder_of(free).await.unwrap(), None, "{free}");
    }
    w.stop().await;
}

async fn held_background_work_does_not_yield(store: &Store) {
    let jobs = jobs_on(store);
    let script = Scripted::new();
    let w = worker(&jobs, script.registry(), "bgheld").await;
    let told = Told {
        wait: "b".into(),
        fail_undo: "a".into(),
        ..Told::default()
    };
    let mut back = script.job(&jobs, "bgheld", &["bgheld/a"], &told);
    back.background = true;
    let back = jobs.submit(back).await.unwrap().id;
    until("the background step runs", async || {
        script.log_of(&back).contains(&"do b".into())
    })
    .await;
    let new = script.job(&jobs, "bgheld", &["bgheld/a"], &Told::default());
    let new = jobs.submit(new).await.unwrap().id;
    assert_eq!(done(&jobs, &back).await.outcome, Some(Outcome::Held));
    let view = done(&jobs, &new).await;
    assert_eq!(view.outcome, Some(Outcome::Reverted));
    let error = view.error.unwrap();
    assert_eq!(error.code, Code::ResourceBusy);
    assert!(error.message.contains(back.as_str()));
    assert!(script.log_of(&new).is_empty());
    assert_eq!(
        jobs.holder_of("bgheld/a").await.unwrap(),
        Some(back.clone())
    );
    assert_eq!(busy_with(store, "bgheld/a").await, Some(back.clone()));
    let third = script.job(&jobs, "bgheld", &["bgheld/a"], &Told::default());
    assert!(matches!(jobs.submit(third).await, Err(SubmitError::Busy { job, .. }) if job == back));
    script.mended.store(true, Ordering::SeqCst);
    jobs.retry(&back).await.unwrap();
    assert_eq!(done(&jobs, &back).await.outcome, Some(Outcome::Reverted));
    assert_eq!(jobs.holder_of("bgheld/a").await.unwrap(), None);
    w.stop().await;
}

/// The job that keeps new work from a resource.
async fn busy_with(store: &Store, resource: &'static str) -> Option<JobId> {
    let job = store.read(move |tx| backout_jobs::busy_with(tx, resource));
    job.await.unwrap().map(|job| job.id)
}

async fn sql(jobs: &Jobs, sql: &'static str, job: &JobId) {
    let job = job.clone();
    let changed = jobs
        .store()
        .write::<_, StoreError>(move |tx| tx.execute(sql, params![job.as_str()]))
        .await
        .unwrap();
    assert_eq!(changed, 1, "{sql}");
}

async fn bad_jobs_do_not_stop_others(store: &Store) {
    let jobs = jobs_on(store);
    let script = Scripted::new();
    let ways = [
        "UPDATE jobs SET input = '{' WHERE id = $1",
        "UPDATE jobs SET account = 'nobody' WHERE id = $1",
        "UPDATE jobs SET direction = 'sideways' WHERE id = $1",
        "UPDATE jobs SET error_code = 'BO9999' WHERE id = $1",
        "INSERT INTO job_steps (job, step, undo, intent_ms, tries) VALUES ($1, 'gone', 0, 1, 1)",
        "INSERT INTO job_steps (job, step, undo, intent_ms, record_ms, tries, output) VALUES ($1, 'a', 0, 1, 1, 1, '{')",
    ];
    let mut bad = Vec::new();
    let mut good = Vec::new();
    for (n, way) in ways.into_iter().enumerate() {
        let claim = format!("bad/{n}");
        let new = script.job(&jobs, "bad", &[&claim], &Told::default());
        let id = jobs.submit(new).await.unwrap().id;
        sql(&jobs, way, &id).await;
        bad.push((id, claim, way));
        let new = script.job(&jobs, "bad", &[], &Told::default());
        good.push(jobs.submit(new).await.unwrap().id);
    }
    let w = worker(&jobs, script.registry(), "bad").await;
    for id in &good {
        assert_eq!(done(&jobs, id).await.outcome, Some(Outcome::Applied));
    }
    for (id, claim, way) in &bad {
        let (job, holds) = (id.clone(), claim.clone());
        until("the bad job is held", async || {
            let job = job.clone();
            let outcome = jobs
                .store()
                .read::<_, StoreError>(move |tx| {
                    tx.query(
                        "SELECT outcome, held_message, next_command FROM jobs WHERE id = $1",
                        params![job.as_str()],
                    )
                })
                .await
                .unwrap();
            let row = &outcome[0];
            if row.get::<Option<String>>(0).unwrap().as_deref() != Some("held") {
                return false;
            }
            let message: String = row.get(1).unwrap();
            assert!(message.contains("does not decode"), "{way}: {message}");
            true
        })
        .await;
        assert_eq!(jobs.holder_of(&holds).await.unwrap().as_ref(), Some(id));
        assert!(script.log_of(id).is_empty(), "nothing of it ran");
    }
    // Mended, it goes on.
    sql(
        &jobs,
        "UPDATE jobs SET input = '{}' WHERE id = $1",
        &bad[0].0,
    )
    .await;
    jobs.retry(&bad[0].0).await.unwrap();
    assert_eq!(done(&jobs, &bad[0].0).await.outcome, Some(Outcome::Applied));
    // Lists go on without the unreadable ones.
    let page = jobs.list(Filter::default(), None, 100).await.unwrap();
    assert!(good.iter().all(|id| page.jobs.iter().any(|j| j.id == *id)));
    w.stop().await;
}

async fn jobs_of_unknown_procedures_wait(store: &Store) {
    let jobs = jobs_on(store);
    let script = Scripted::new();
    let newer = Scripted::without_return();
    let id = jobs
        .submit(newer.job(&jobs, "unknown", &[], &Told::default()))
        .await
        .unwrap()
        .id;
    let old = worker(&jobs, script.registry(), "unknown").await;
    let known = jobs
        .submit(script.job(&jobs, "unknown", &[], &Told::default()))
        .await
        .unwrap()
        .id;
    assert_eq!(done(&jobs, &known).await.outcome, Some(Outcome::Applied));
    assert_eq!(jobs.get(&id).await.unwrap().state, State::Queued);
    // A worker that knows nothing does no harm either.
    let empty = worker(&jobs, Registry::new(), "unknown").await;
    let both = worker(&jobs, newer.registry(), "unknown").await;
    assert_eq!(done(&jobs, &id).await.outcome, Some(Outcome::Applied));
    for w in [old, empty, both] {
        w.stop().await;
    }
}

async fn pauses_follow_the_clock(store: &Store) {
    let clock = ManualClock::at(Timestamp(1_900_000_000_000));
    let jobs = jobs_with(store, Arc::new(clock.clone()));
    let script = Scripted::new();
    let w = worker(&jobs, script.registry(), "pauses").await;
    let told = Told {
        again: ("b".into(), 1),
        ..Told::default()
    };
    let id = jobs
        .submit(script.job(&jobs, "pauses", &[], &told))
        .await
        .unwrap()
        .id;
    until("it pauses", async || {
        jobs.get(&id).await.unwrap().attempts == 1
    })
    .await;
    let view = jobs.get(&id).await.unwrap();
    assert_eq!(view.state, State::Queued);
    assert!(view.started.is_some());
    assert!(view.words.contains("not yet"), "{}", view.words);
    // Another worker, as after a crash: the count and the pause are stored.
    w.stop().await;
    let w = worker(&jobs, script.registry(), "pauses").await;
    // Others are served meanwhile, and it is not.
    let other = jobs
        .submit(script.job(&jobs, "pauses", &[], &Told::default()))
        .await
        .unwrap()
        .id;
    done(&jobs, &other).await;
    assert_eq!(jobs.get(&id).await.unwrap().attempts, 1);
    assert_eq!(script.log_of(&id), ["do a", "do b"]);
    clock.advance_ms(500);
    assert_eq!(done(&jobs, &id).await.outcome, Some(Outcome::Applied));
    w.stop().await;
}

/// A job in its step b, which hears of nothing.
async fn in_step_b(jobs: &Jobs, script: &Scripted, name: &str) -> JobId {
    let told = Told {
        wait_deaf: "b".into(),
        ..Told::default()
    };
    let id = jobs
        .submit(script.job(jobs, name, &[&format!("{name}/a")], &told))
        .await
        .unwrap()
        .id;
    until("the step runs", async || {
        script.log_of(&id).contains(&"do b".into())
    })
    .await;
    id
}

async fn a_lost_lease_changes_nothing(store: &Store) {
    let clock = ManualClock::at(Timestamp(1_900_000_000_000));
    let jobs = jobs_with(store, Arc::new(clock.clone()));
    let script = Scripted::new();
    // Its heartbeat would come in real time, far too late to save it here.
    let slow = WorkerConfig {
        lease_ms: 3_600_000,
        // No room to take its own job back.
        concurrency: 1,
        ..config("lease")
    };
    let first = backout_jobs::Worker::start(&jobs, script.registry(), slow)
        .await
        .unwrap();
    let id = in_step_b(&jobs, &script, "lease").await;
    let name = first.owner();
    clock.advance_ms(3_600_001);
    let next = Scripted::new();
    next.open.store(true, Ordering::SeqCst);
    let second = worker(&jobs, next.registry(), "lease").await;
    let view = done(&jobs, &id).await;
    assert_eq!(view.outcome, Some(Outcome::Applied));
    assert_eq!(next.log_of(&id), ["do b", "do c"]);
    let events = jobs.events(&id, 0, 500).await.unwrap();
    // Now the first one goes on, and finds that the job is not its own.
    script.open.store(true, Ordering::SeqCst);
    until("the first one has dropped it", async || {
        first.running() == 0
    })
    .await;
    assert_eq!(script.log_of(&id), ["do a", "do b"], "it went no further");
    assert_eq!(jobs.get(&id).await.unwrap(), view);
    assert_eq!(jobs.events(&id, 0, 500).await.unwrap(), events);
    let notes = notes_of(&jobs, &id).await;
    assert!(notes.iter().all(|(_, _, times)| *times == 1), "{notes:?}");
    // And works again, under another name.
    second.stop().await;
    let other = jobs
        .submit(script.job(&jobs, "lease", &["lease/a"], &Told::default()))
        .await
        .unwrap()
        .id;
    assert_eq!(done(&jobs, &other).await.outcome, Some(Outcome::Applied));
    assert_ne!(first.owner(), name);
    first.stop().await;
}

async fn a_lease_is_long_while_there_are_no_jobs(store: &Store) {
    const NOW_MS: i64 = 1_900_000_000_000;
    let jobs = jobs_with(store, Arc::new(ManualClock::at(Timestamp(NOW_MS))));
    let script = Scripted::new();
    let quick = WorkerConfig {
        lease_ms: 300,
        ..config("idle")
    };
    let w = backout_jobs::Worker::start(&jobs, script.registry(), quick)
        .await
        .unwrap();
    let left = async || {
        let owner = w.owner();
        let sql = "SELECT lease_until_ms FROM job_workers WHERE owner = $1";
        let row = store
            .read::<_, StoreError>(move |tx| query_one(tx, sql, params![owner]))
            .await
            .unwrap();
        row.unwrap().get::<i64>(0).unwrap() - NOW_MS
    };
    until("the lease is long", async || left().await > 300).await;
    let id = in_step_b(&jobs, &script, "idle").await;
    assert_eq!(left().await, 300, "others go on soon if this one dies");
    script.open.store(true, Ordering::SeqCst);
    assert_eq!(done(&jobs, &id).await.outcome, Some(Outcome::Applied));
    until("the lease is long again", async || left().await > 300).await;
    w.stop().await;
}

async fn stopping_hands_over(store: &Store) {
    let jobs = jobs_on(store);
    let script = Scripted::new();
    let first = worker(&jobs, script.registry(), "stop").await;
    let id = in_step_b(&jobs, &script, "stop").await;
    let stopping = tokio::spawn(first.stop());
    // It takes no more, and ends the step that it is in.
    let other = jobs
        .submit(script.job(&jobs, "stop", &[], &Told::default()))
        .await
        .unwrap()
        .id;
    script.open.store(true, Ordering::SeqCst);
    assert_eq!(stopping.await.unwrap().left_running, 0);
    let view = jobs.get(&id).await.unwrap();
    assert_eq!((view.state, view.cancel_requested), (State::Queued, false));
    assert_eq!(script.log_of(&id), ["do a", "do b"]);
    let second = worker(&jobs, script.registry(), "stop").await;
    assert_eq!(done(&jobs, &id).await.outcome, Some(Outcome::Applied));
    assert_eq!(script.log_of(&id), ["do a", "do b", "do c"]);
    assert_eq!(done(&jobs, &other).await.outcome, Some(Outcome::Applied));
    second.stop().await;
}

async fn stopping_asks_long_steps(store: &Store) {
    let jobs = jobs_on(store);
    // One that listens when it is asked to stop; one that does not.
    for listens in [true, false] {
        let script = Scripted::new();
        let impatient = WorkerConfig {
            stop_wait: Duration::ZERO,
            ..config("ask")
        };
        let first = backout_jobs::Worker::start(&jobs, script.registry(), impatient)
            .await
            .unwrap();
        let (wait, wait_deaf) = if listens { ("b", "") } else { ("", "b") };
        let told = Told {
            wait: wait.into(),
            wait_deaf: wait_deaf.into(),
            ..Told::default()
        };
        let id = jobs
            .submit(script.job(&jobs, "ask", &["ask/a"], &told))
            .await
            .unwrap()
            .id;
        until("the step runs", async || {
            script.log_of(&id).contains(&"do b".into())
        })
        .await;
        let stopped = first.stop().await;
        assert_eq!(stopped.left_running, usize::from(!listens));
        let view = jobs.get(&id).await.unwrap();
        if listens {
            assert_eq!(view.state, State::Queued, "{view:?}");
        } else {
            // Nobody may repeat a step that still runs.
            assert_eq!(view.state, State::Running);
        }
        script.open.store(true, Ordering::SeqCst);
        let second = worker(&jobs, script.registry(), "ask").await;
        assert_eq!(done(&jobs, &id).await.outcome, Some(Outcome::Applied));
        second.stop().await;
    }
}

/// A step that kills its worker each time is given up in the end.
async fn steps_that_never_end_are_given_up(store: &Store) {
    let jobs = jobs_on(store);
    let script = Scripted::new();
    let id = jobs
        .submit(script.job(&jobs, "tries", &[], &Told::default()))
        .await
        .unwrap()
        .id;
    // As so many crashes would have left it.
    let job = id.clone();
    jobs.store()
        .write::<_, StoreError>(move |tx| {
            tx.execute(
                "INSERT INTO job_steps (job, step, undo, intent_ms, tries) VALUES ($1, 'a', 0, 1, $2)",
                params![job.as_str(), backout_jobs::MAX_TRIES],
            )
        })
        .await
        .unwrap();
    let w = worker(&jobs, script.registry(), "tries").await;
    let view = done(&jobs, &id).await;
    assert_eq!(view.outcome, Some(Outcome::Reverted));
    assert!(
        view.error
            .unwrap()
            .message
            .contains("interrupted each time")
    );
    assert_eq!(script.log_of(&id), ["undo a"]);
    w.stop().await;
}

async fn events_are_bounded_and_followed(store: &Store) {
    let jobs = jobs_on(store);
    let script = Scripted::new();
    let w = worker(&jobs, script.registry(), "events").await;
    let told = Told {
        wait: "b".into(),
        ..Told::default()
    };
    let id = jobs
        .submit(script.job(&jobs, "events", &[], &told))
        .await
        .unwrap()
        .id;
    let follower = {
        let (jobs, id) = (jobs_on(store), id.clone());
        tokio::spawn(async move {
            let mut seen = Vec::new();
            let mut after = 0;
            loop {
                let news = jobs.next_events(&id, after, 3, PATIENCE).await.unwrap();
                let Some(last) = news.last() else { return seen };
                after = last.seq;
                seen.extend(news);
            }
        })
    };
    until("progress is written", async || {
        jobs.get(&id).await.unwrap().words == "waits"
    })
    .await;
    assert_eq!(jobs.get(&id).await.unwrap().percent, 50);
    jobs.request_cancel(&id).await.unwrap();
    done(&jobs, &id).await;
    let seen = follower.await.unwrap();
    assert!(seen.windows(2).all(|w| w[0].seq < w[1].seq));
    let kinds: Vec<_> = seen
        .iter()
        .map(|e| (e.kind, e.step.as_deref().unwrap_or("")))
        .filter(|(kind, _)| *kind != EventKind::Progress)
        .collect();
    assert_eq!(
        kinds,
        [
            (EventKind::Queued, ""),
            (EventKind::Started, ""),
            (EventKind::StepStarted, "a"),
            (EventKind::StepFinished, "a"),
            (EventKind::StepStarted, "b"),
            (EventKind::CancelRequested, ""),
            (EventKind::Undoing, "b"),
            (EventKind::StepStarted, "b"),
            (EventKind::StepFinished, "b"),
            (EventKind::StepStarted, "a"),
            (EventKind::StepFinished, "a"),
            (EventKind::Reverted, ""),
        ]
    );
    let stored = jobs.events(&id, 0, 500).await.unwrap();
    let progress: Vec<_> = stored
        .iter()
        .filter(|e| e.kind == EventKind::Progress)
        .collect();
    assert_eq!(progress.len(), 1, "only the latest is kept");
    assert_eq!(
        (progress[0].percent, progress[0].words.as_str()),
        (Some(50), "waits")
    );
    w.stop().await;

    // However often a job is retried, its history is bounded.
    let w = worker(&jobs, script.registry(), "events").await;
    let told = Told {
        fail: "a".into(),
        fail_undo: "a".into(),
        ..Told::default()
    };
    let id = jobs
        .submit(script.job(&jobs, "events", &[], &told))
        .await
        .unwrap()
        .id;
    done(&jobs, &id).await;
    sql(&jobs, "UPDATE jobs SET event_seq = 999 WHERE id = $1", &id).await;
    let before = jobs.events(&id, 0, 500).await.unwrap().len();
    for _ in 0..3 {
        jobs.retry(&id).await.unwrap();
        done(&jobs, &id).await;
    }
    let after = jobs.events(&id, 0, 500).await.unwrap();
    assert!(after.len() < before + 12, "{}", after.len());
    assert!(after[0].seq > 1);
    w.stop().await;
}

async fn old_jobs_are_removed(store: &Store) {
    let clock = ManualClock::at(Timestamp(1_800_000_000_000));
    let jobs = jobs_with(store, Arc::new(clock.clone()));
    let script = Scripted::new();
    let w = worker(&jobs, script.registry(), "retain").await;
    let mut ended = Vec::new();
    for _ in 0..5 {
        let new = script.job(&jobs, "retain", &["retain/a"], &Told::default());
        let id = jobs.submit(new).await.unwrap().id;
        done(&jobs, &id).await;
        ended.push(id);
    }
    let told = Told {
        fail: "a".into(),
        fail_undo: "a".into(),
        ..Told::default()
    };
    let held = jobs
        .submit(script.job(&jobs, "retain", &["retain/a"], &told))
        .await
        .unwrap()
        .id;
    done(&jobs, &held).await;
    w.stop().await;
    let queued = jobs
        .submit(script.job(&jobs, "retain", &[], &Told::default()))
        .await
        .unwrap()
        .id;
    clock.advance_ms(10_000);
    let young = jobs
        .submit(script.job(&jobs, "retain", &[], &Told::default()))
        .await
        .unwrap()
        .id;
    let now = jobs.now();
    // Those of other tests first.
    while jobs.retain(now, 10_001, 100).await.unwrap() > 0 {}
    for id in &ended {
        jobs.get(id).await.unwrap();
    }
    assert_eq!(jobs.retain(now, 5_000, 3).await.unwrap(), 3);
    assert_eq!(jobs.retain(now, 5_000, 3).await.unwrap(), 2);
    assert_eq!(jobs.retain(now, 5_000, 3).await.unwrap(), 0);
    for id in &ended {
        assert!(matches!(jobs.get(id).await, Err(JobsError::NotFound(_))));
    }
    for id in [&held, &queued, &young] {
        jobs.get(id).await.unwrap();
    }
    let left = jobs
        .store()
        .read::<_, StoreError>(|tx| {
            tx.query(
                "SELECT job FROM job_steps UNION SELECT job FROM job_events",
                &[],
            )
        })
        .await
        .unwrap();
    for row in left {
        let job: String = row.get(0).unwrap();
        assert!(ended.iter().all(|id| id.as_str() != job));
    }
    // The worker does so by itself.
    clock.advance_ms(10_000);
    let keeps = WorkerConfig {
        keep_ms: Some(5_000),
        ..config("retain")
    };
    let w = backout_jobs::Worker::start(&jobs, script.registry(), keeps)
        .await
        .unwrap();
    done(&jobs, &queued).await;
    w.stop().await;
    clock.advance_ms(10_000);
    let keeps = WorkerConfig {
        keep_ms: Some(5_000),
        ..config("retain")
    };
    let w = backout_jobs::Worker::start(&jobs, script.registry(), keeps)
        .await
        .unwrap();
    until("the old one is gone", async || {
        matches!(jobs.get(&queued).await, Err(JobsError::NotFound(_)))
    })
    .await;
    w.stop().await;
}
