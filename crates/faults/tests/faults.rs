//! The fault switch on both databases.
#![expect(clippy::unwrap_used, reason = "a helper that fails must fail its test")]

use std::future::Future;
use std::sync::Arc;

use backout_core::code::Code;
use backout_core::ids::{AccountId, FaultId, OsEntropy};
use backout_core::outcome::Outcome;
use backout_core::time::{ManualClock, Timestamp};
use backout_faults::{Error, Faults, LOOK_MS, NewRule, RULES_MAX, Rule, State, What};
use backout_jobs::{
    Commit, Done, Moment, Point, Probe, ProbeAction, Procedure, Registry, Step, StepContext,
    StepError, Undo,
};
use backout_store::testing::on_both;
use backout_store::{Error as StoreError, Migration, Store, Value, params};

/// A procedure, for its step table.
struct Toy;

const STEPS: &[Step<Toy>] = &[
    Step {
        name: "look",
        does: "look",
        run: |_, _| Box::pin(async { Ok(Done::nothing()) }),
        undo: Undo::Nothing,
    },
    Step {
        name: "act",
        does: "act",
        run: |_, _| Box::pin(async { Ok(Done::nothing()) }),
        undo: Undo::By {
            does: "take it back",
            run: |_, _| Box::pin(async { Ok(Done::nothing()) }),
        },
    },
];

impl Procedure for Toy {
    fn name(&self) -> &'static str {
        "toy"
    }

    fn steps(&self) -> &[Step<Self>] {
        STEPS
    }

    fn settle(&self, _: &StepContext, _: Outcome, _: Option<&StepError>) -> Commit {
        Box::new(|_| Ok(()))
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

fn migrations() -> Vec<Migration> {
    backout_faults::MIGRATIONS.to_vec()
}

fn clock() -> ManualClock {
    ManualClock::at(Timestamp(1_700_000_000_000))
}

/// One process's fault switch.
async fn open(store: &Store, clock: &ManualClock) -> Faults {
    Faults::open(
        store.clone(),
        Arc::new(clock.clone()),
        Arc::new(OsEntropy),
        &Registry::new().with(Toy),
    )
    .await
    .unwrap()
}

fn call(action: &str, code: &str) -> NewRule {
    NewRule {
        what: What::Call {
            action: action.into(),
            code: code.into(),
        },
        message: None,
        resource: None,
        count: None,
        lasts_s: None,
    }
}

fn step(name: &str, undo: bool, moment: Moment) -> NewRule {
    NewRule {
        what: What::Step {
            procedure: "toy".into(),
            step: name.into(),
            undo,
            moment,
        },
        ..call("", "")
    }
}

/// The code that a call is answered with.
async fn code(
    faults: &Faults,
    owner: &AccountId,
    action: &str,
    resources: &[&str],
) -> Option<String> {
    let resources: Vec<String> = resources.iter().map(|r| (*r).to_owned()).collect();
    let hit = faults.on_call(owner, action, &resources).await.unwrap();
    hit.map(|hit| hit.code)
}

async fn rules(faults: &Faults, owner: &AccountId) -> Vec<Rule> {
    faults.list(owner, 0, 1000).await.unwrap().1
}

#[test]
fn a_rule_answers_its_owner_s_calls_only() {
    on_both(&migrations(), |store| {
        block_on(async {
            let faults = open(&store, &clock()).await;
            let (mine, yours) = (AccountId::random(&OsEntropy), AccountId::random(&OsEntropy));
            assert_eq!(code(&faults, &mine, "s:Apply", &["a"]).await, None);
            let rule = faults
                .add(
                    &mine,
                    NewRule {
                        message: Some("as asked".into()),
                        resource: Some("kind/a".into()),
                        ..call("s:A*", "Busy")
                    },
                )
                .await
                .unwrap();
            assert_eq!(rule.resource.as_deref(), Some("a"));
            let hit = faults
                .on_call(&mine, "s:Apply", &["b".into(), "a".into()])
                .await
                .unwrap()
                .unwrap();
            assert_eq!(
                (hit.rule, hit.code.as_str(), hit.message.as_str()),
                (rule.id.clone(), "Busy", "as asked")
            );
            for (owner, action, resources) in [
                (&yours, "s:Apply", &["a"][..]),
                (&mine, "s:Delete", &["a"]),
                (&mine, "s:Apply", &["b"]),
                (&mine, "s:Apply", &[]),
            ] {
                assert_eq!(code(&faults, owner, action, resources).await, None);
            }
            assert_eq!(rules(&faults, &mine).await[0].hits, 1);
            assert!(rules(&faults, &yours).await.is_empty());
            // Nor can it be removed by another.
            assert!(matches!(
                faults.remove(&yours, &rule.id).await,
                Err(Error::NotFound(_))
            ));
            assert!(matches!(
                faults.get(&yours, &rule.id).await,
                Err(Error::NotFound(_))
            ));
            faults.remove(&mine, &rule.id).await.unwrap();
            assert_eq!(code(&faults, &mine, "s:Apply", &["a"]).await, None);
            faults.add(&yours, call("s:*", "Busy")).await.unwrap();
            faults.add(&mine, call("s:*", "Busy")).await.unwrap();
            assert_eq!(faults.clear(&mine).await.unwrap(), 1);
            assert_eq!(code(&faults, &mine, "s:Apply", &[]).await, None);
            assert_eq!(
                code(&faults, &yours, "s:Apply", &[]).await.as_deref(),
                Some("Busy")
            );
        });
    });
}

#[test]
fn the_oldest_rule_that_is_left_wins() {
    on_both(&migrations(), |store| {
        block_on(async {
            let clock = clock();
            let faults = open(&store, &clock).await;
            let owner = AccountId::random(&OsEntropy);
            for (text, count) in [("First", Some(2)), ("Second", Some(1)), ("Third", None)] {
                let new = NewRule {
                    count,
                    ..call("s:Apply", text)
                };
                faults.add(&owner, new).await.unwrap();
                clock.advance_ms(1);
            }
            for expect in ["First", "First", "Second", "Third", "Third"] {
                assert_eq!(
                    code(&faults, &owner, "s:Apply", &[]).await.as_deref(),
                    Some(expect)
                );
            }
            let left: Vec<_> = rules(&faults, &owner)
                .await
                .iter()
                .map(|r| (r.remaining, r.hits, r.state(clock.at())))
                .collect();
            assert_eq!(
                left,
                [
                    (Some(0), 2, State::UsedUp),
                    (Some(0), 1, State::UsedUp),
                    (None, 2, State::Active)
                ]
            );
        });
    });
}

#[test]
fn time_exhausts_a_rule() {
    on_both(&migrations(), |store| {
        block_on(async {
            let clock = clock();
            let faults = open(&store, &clock).await;
            let owner = AccountId::random(&OsEntropy);
            let new = NewRule {
                lasts_s: Some(60),
                ..call("s:Apply", "Busy")
            };
            let rule = faults.add(&owner, new).await.unwrap();
            assert_eq!(rule.until, Some(rule.created.plus_ms(60_000)));
            clock.advance_ms(59_999);
            assert!(code(&faults, &owner, "s:Apply", &[]).await.is_some());
            clock.advance_ms(1);
            assert_eq!(code(&faults, &owner, "s:Apply", &[]).await, None);
            let found = faults.get(&owner, &rule.id).await.unwrap();
            assert_eq!((found.state(clock.at()), found.hits), (State::Expired, 1));
            assert_eq!(faults.sweep().await.unwrap(), 1);
            assert!(rules(&faults, &owner).await.is_empty());
            // So does the next one that is added.
            let short = NewRule {
                lasts_s: Some(1),
                ..call("s:Apply", "Busy")
            };
            faults.add(&owner, short).await.unwrap();
            clock.advance_ms(1000);
            faults.add(&owner, call("s:Other", "Busy")).await.unwrap();
            assert_eq!(rules(&faults, &owner).await.len(), 1);
        });
    });
}

#[test]
fn a_count_holds_over_all_processes() {
    on_both(&migrations(), |store| {
        block_on(async {
            const COUNT: u32 = 7;
            let clock = clock();
            let [one, other] = [open(&store, &clock).await, open(&store, &clock).await];
            let owner = AccountId::random(&OsEntropy);
            let new = NewRule {
                count: Some(COUNT),
                ..call("s:*", "Busy")
            };
            one.add(&owner, new).await.unwrap();
            clock.advance_ms(LOOK_MS);
            let mut calls = Vec::new();
            for n in 0..4 * COUNT {
                let faults = if n % 2 == 0 { &one } else { &other }.clone();
                let owner = owner.clone();
                calls.push(tokio::spawn(async move {
                    code(&faults, &owner, "s:Apply", &[]).await.is_some()
                }));
            }
            let mut hits = 0;
            for call in calls {
                hits += u32::from(call.await.unwrap());
            }
            // A call that found the other process's look under way has missed
            // the rule; what is left is used by the next ones.
            while hits < COUNT {
                assert!(code(&other, &owner, "s:Apply", &[]).await.is_some());
                hits += 1;
            }
            assert_eq!(hits, COUNT);
            for faults in [&one, &other] {
                assert_eq!(code(faults, &owner, "s:Apply", &[]).await, None);
            }
            let rule = rules(&one, &owner).await.remove(0);
            assert_eq!((rule.remaining, rule.hits), (Some(0), u64::from(COUNT)));
        });
    });
}

#[test]
fn other_processes_learn_of_rules_in_time() {
    on_both(&migrations(), |store| {
        block_on(async {
            let clock = clock();
            let [one, other] = [open(&store, &clock).await, open(&store, &clock).await];
            let owner = AccountId::random(&OsEntropy);
            let rule = one.add(&owner, call("s:*", "Busy")).await.unwrap();
            // At once here, and elsewhere when its clock says so.
            assert!(code(&one, &owner, "s:Apply", &[]).await.is_some());
            assert_eq!(code(&other, &owner, "s:Apply", &[]).await, None);
            clock.advance_ms(LOOK_MS);
            assert!(code(&other, &owner, "s:Apply", &[]).await.is_some());
            one.remove(&owner, &rule.id).await.unwrap();
            assert_eq!(code(&one, &owner, "s:Apply", &[]).await, None);
            // What is gone is not honoured, looked at or not: its use cannot be
            // counted.
            assert_eq!(code(&other, &owner, "s:Apply", &[]).await, None);
            one.add(&owner, call("s:*", "Busy")).await.unwrap();
            // A clock that was set back does not blind us.
            clock.advance_ms(-3_600_000);
            assert!(code(&other, &owner, "s:Apply", &[]).await.is_some());
            // A process that starts knows at once.
            let third = open(&store, &clock).await;
            assert!(code(&third, &owner, "s:Apply", &[]).await.is_some());
        });
    });
}

#[test]
fn steps_fail_where_a_rule_says() {
    on_both(&migrations(), |store| {
        block_on(async {
            let faults = open(&store, &clock()).await;
            let (mine, yours) = (AccountId::random(&OsEntropy), AccountId::random(&OsEntropy));
            let new = NewRule {
                message: Some("do it, as asked".into()),
                resource: Some("kind/a".into()),
                count: Some(1),
                ..step("act", true, Moment::AfterEffect)
            };
            faults.add(&mine, new).await.unwrap();
            let here = Point {
                account: &mine,
                resource: "kind/a",
                procedure: "toy",
                step: "act",
                undo: true,
                moment: Moment::AfterEffect,
            };
            for elsewhere in [
                Point {
                    account: &yours,
                    ..here
                },
                Point {
                    resource: "kind/b",
                    ..here
                },
                Point {
                    undo: false,
                    ..here
                },
                Point {
                    moment: Moment::AfterIntent,
                    ..here
                },
            ] {
                assert_eq!(faults.at(elsewhere).await, ProbeAction::GoOn);
            }
            assert_eq!(
                faults.at(here).await,
                ProbeAction::Fail(StepError::failed(Code::FaultInjected, "do it, as asked"))
            );
            assert_eq!(faults.at(here).await, ProbeAction::GoOn);
        });
    });
}

#[test]
fn what_cannot_be_is_refused() {
    on_both(&migrations(), |store| {
        block_on(async {
            let faults = open(&store, &clock()).await;
            let owner = AccountId::random(&OsEntropy);
            let good = call("s:*", "Busy");
            for (new, words) in [
                (call("", "Busy"), "action"),
                (call("s:*", ""), "code"),
                (call("s:*", "Bu\nsy"), "code"),
                (
                    NewRule {
                        message: Some(String::new()),
                        ..good.clone()
                    },
                    "message",
                ),
                (
                    NewRule {
                        resource: Some("kind/".into()),
                        ..good.clone()
                    },
                    "resource",
                ),
                (
                    NewRule {
                        count: Some(0),
                        ..good.clone()
                    },
                    "0 times",
                ),
                (
                    NewRule {
                        lasts_s: Some(u32::MAX),
                        ..good.clone()
                    },
                    "seconds",
                ),
                (step("jump", false, Moment::AfterIntent), "look, act"),
                (step("look", true, Moment::AfterIntent), "has none"),
                (
                    NewRule {
                        what: What::Step {
                            procedure: "play".into(),
                            step: "act".into(),
                            undo: false,
                            moment: Moment::AfterIntent,
                        },
                        ..good.clone()
                    },
                    "give one of toy",
                ),
            ] {
                let error = faults.add(&owner, new).await.unwrap_err();
                assert_eq!(error.code(), Code::BadRequest);
                assert!(error.to_string().contains(words), "{error}");
            }
            assert!(rules(&faults, &owner).await.is_empty());
            let nothing = FaultId::random(&OsEntropy);
            let error = faults.remove(&owner, &nothing).await.unwrap_err();
            assert_eq!(error.code(), Code::NotFound);
        });
    });
}

#[test]
fn an_owner_has_only_so_many() {
    on_both(&migrations(), |store| {
        block_on(async {
            let faults = open(&store, &clock()).await;
            let owner = AccountId::random(&OsEntropy);
            let once = NewRule {
                count: Some(1),
                ..call("s:Once", "Busy")
            };
            faults.add(&owner, once).await.unwrap();
            for _ in 1..RULES_MAX {
                faults.add(&owner, call("s:Apply", "Busy")).await.unwrap();
            }
            let one_more = || call("s:Apply", "Busy");
            assert!(matches!(
                faults.add(&owner, one_more()).await,
                Err(Error::TooMany)
            ));
            // Not anybody's else.
            let other = AccountId::random(&OsEntropy);
            faults.add(&other, one_more()).await.unwrap();
            // One that is used up makes room.
            assert!(code(&faults, &owner, "s:Once", &[]).await.is_some());
            faults.add(&owner, one_more()).await.unwrap();
            let (total, page) = faults.list(&owner, 90, 50).await.unwrap();
            assert_eq!((total, page.len()), (100, 10));
        });
    });
}

#[test]
fn a_store_that_fails_is_not_taken_for_no_rule() {
    on_both(&migrations(), |store| {
        block_on(async {
            let faults = open(&store, &clock()).await;
            let owner = AccountId::random(&OsEntropy);
            faults.add(&owner, call("s:*", "Busy")).await.unwrap();
            store
                .write::<_, StoreError>(|tx| tx.execute("DROP TABLE faults", params![]))
                .await
                .unwrap();
            assert!(faults.on_call(&owner, "s:Apply", &[]).await.is_err());
        });
    });
}

#[test]
fn a_row_that_does_not_decode_is_told_and_the_others_are_honoured() {
    on_both(&migrations(), |store| {
        block_on(async {
            let clock = clock();
            let faults = open(&store, &clock).await;
            let owner = AccountId::random(&OsEntropy);
            let rule = faults
                .add(&owner, step("act", false, Moment::AfterIntent))
                .await
                .unwrap();
            let id = Value::from(rule.id.as_str());
            store
                .write::<_, StoreError>(move |tx| {
                    tx.execute("UPDATE faults SET moment = 'later' WHERE id = $1", &[id])
                })
                .await
                .unwrap();
            assert!(matches!(
                faults.list(&owner, 0, 1).await,
                Err(StoreError::Corrupt(_))
            ));
            faults.add(&owner, call("s:*", "Busy")).await.unwrap();
            let another = open(&store, &clock).await;
            assert!(code(&another, &owner, "s:Apply", &[]).await.is_some());
        });
    });
}

/// The instant of a clock, in few letters.
trait At {
    fn at(&self) -> Timestamp;
}

impl At for ManualClock {
    fn at(&self) -> Timestamp {
        backout_core::time::Clock::now(self)
    }
}
