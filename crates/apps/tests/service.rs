//! What can be asked of applications, up to the moment in which a job takes an
//! order over: through a real store, on both databases, with real packages.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use backout_apps::components::{Components, JDK};
use backout_apps::model::{
    AccountSettings, ApplicationState, ApprovalFor, Artifact, Order, OrderKind, PackageKind,
    Replica, ServiceSettings, Size, Standing, Tag, Version,
};
use backout_apps::persistence::{self as rows, ApplicationFilter, OrderFilter, Page, TagFilter};
use backout_apps::planning::Settings;
use backout_apps::scaling::{Days, ScalingRule, Schedule, Timer, Wish};
use backout_apps::{
    Apps, Asked, Caller, DEFAULT_NAMESPACE, How, NewApplication, NewArtifact, NewFile, NewRelease,
    QuotaOf, Refusal, Runtime, Secrets, Wanted,
};
use backout_core::code::Code;
use backout_core::ids::{AccountId, JobId, OsEntropy, ReplicaId, RequestId};
use backout_core::time::{Clock as _, ManualClock, Timestamp};
use backout_gateway::Host;
use backout_jobs::{Idempotency, Jobs};
use backout_rollout::{Event, Go, Limits, Strategy};
use backout_shim::Shim;
use backout_store::testing::on_both;
use backout_store::{Error, Store, Tx, params};
use backout_workloads::packages::{Origin, PackageLimits, Packages};
use backout_workloads::process::{Config, Processes};

const ALL: Page = Page {
    offset: 0,
    limit: 100,
};

const OWNER: &str = "acct_aaaaaaaaaaaa";
const SUB: &str = "acct_bbbbbbbbbbbb";

/// Seals by turning round, so that it is seen whether somebody opened.
struct Turned;

impl Secrets for Turned {
    fn seal(&self, bound_to: &str, secret: &str) -> Result<Vec<u8>, String> {
        let turned: String = secret.chars().rev().collect();
        Ok(format!("{bound_to}:{turned}").into_bytes())
    }

    fn open(&self, bound_to: &str, sealed: &[u8]) -> Result<String, String> {
        let text = String::from_utf8_lossy(sealed);
        let turned = text
            .strip_prefix(&format!("{bound_to}:"))
            .ok_or("it is bound to something else")?;
        Ok(turned.chars().rev().collect())
    }
}

struct House {
    apps: Apps,
    store: Store,
    clock: ManualClock,
    folder: tempfile::TempDir,
}

impl House {
    fn new(store: Store) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::at(Timestamp(1_700_000_000_000));
        let shim = Shim::own(&[]);
        let processes = Processes::open(Config::new(folder.path().join("run"), shim)).unwrap();
        let packages = folder.path().join("packages");
        let mut runtime = Runtime::new(
            folder.path(),
            Arc::new(processes),
            Packages::open(packages, PackageLimits::default()).unwrap(),
            Host::own(&[], &[]),
            Arc::new(Turned),
        );
        let mut components = Components::default();
        components.add(JDK, "java-17-openjdk", PathBuf::from("/x/java"));
        runtime.components = Arc::new(components);
        let entropy = Arc::new(OsEntropy);
        let clocked = Arc::new(clock.clone());
        let jobs = Jobs::new(store.clone(), clocked.clone(), entropy.clone());
        let apps = Apps::new(
            store.clone(),
            jobs,
            clocked,
            entropy,
            "here".to_owned(),
            runtime,
        );
        Self {
            apps,
            store,
            clock,
            folder,
        }
    }

    /// A package of one file with this content.
    fn package(&self, content: &str) -> NewArtifact {
        let path = self.folder.path().join("source");
        std::fs::create_dir_all(&path).unwrap();
        std::fs::write(path.join("serve"), content).unwrap();
        NewArtifact::Package {
            kind: PackageKind::Plain,
            from: Origin::Path(path),
            version: String::new(),
        }
    }

    fn release(&self, content: &str) -> NewRelease {
        let mut release = NewRelease::new(self.package(content));
        release.command = vec!["./serve".to_owned()];
        release.replicas = 4;
        release
    }

    /// A second later.
    fn later(&self) -> Timestamp {
        self.clock.advance_ms(1000);
        self.clock.now()
    }

    fn kept(&self) -> usize {
        let all = self.apps.runtime().packages.list(None, 100).unwrap();
        all.len()
    }

    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn Tx) -> Result<T, Error> + Send + 'static,
    ) -> T {
        self.store.write(work).await.unwrap()
    }

    /// An application with its first version, deployed.
    async fn deployed(&self, name: &str) -> Asked {
        let asked = self
            .apps
            .create(
                &caller(),
                new(name, Some(self.release("one"))),
                &How::default(),
            )
            .await
            .unwrap()
            .asked
            .unwrap();
        self.settled(&asked, Standing::Succeeded).await;
        asked
    }

    /// What the job of an order does in the end, as far as rows are concerned.
    async fn settled(&self, asked: &Asked, standing: Standing) {
        let (asked, now) = (asked.clone(), self.later());
        self.write(move |tx| {
            let order = rows::order_by_id(tx, &asked.order)?.unwrap();
            rows::end_order(tx, &order.id, standing, None, now)?;
            if let Some(job) = &order.job {
                tx.execute("DELETE FROM claims WHERE job = $1", params![job.as_str()])?;
                let outcome = match standing {
                    Standing::Succeeded => "applied",
                    _ => "reverted",
                };
                tx.execute(
                    "UPDATE jobs SET state = 'done', outcome = $2, ended_ms = $3 WHERE id = $1",
                    params![job.as_str(), outcome, now.0],
                )?;
            }
            if standing != Standing::Succeeded {
                return Ok(());
            }
            let id = &order.application;
            if let Some(to) = &order.to {
                rows::set_application_version(tx, id, to)?;
            }
            let (state, replicas) = match order.kind {
                OrderKind::Stop => (ApplicationState::Stopped, order.replicas_before),
                _ => (ApplicationState::Running, order.replicas_after),
            };
            rows::set_application_state(tx, id, state, replicas)?;
            let there = rows::replicas_of(tx, id)?;
            for replica in &there {
                rows::delete_replica(tx, &replica.id)?;
            }
            for slot in 0..order.replicas_after {
                let replica = Replica {
                    id: ReplicaId::random(&OsEntropy),
                    application: id.clone(),
                    version: order.to.clone().unwrap(),
                    order: order.id.clone(),
                    slot,
                    created: now.plus_ms(slot.into()),
                };
                rows::insert_replica(tx, &replica)?;
            }
            Ok(())
        })
        .await;
    }

    async fn ordered(&self, app: &str, wanted: Wanted) -> Asked {
        self.apps
            .order(&caller(), app, wanted, &How::default())
            .await
            .unwrap()
    }

    async fn refused(&self, app: &str, wanted: Wanted) -> Refusal {
        self.apps
            .order(&caller(), app, wanted, &How::default())
            .await
            .unwrap_err()
    }

    async fn order(&self, asked: &Asked) -> Order {
        let view = self.apps.order_view(&owner(), asked.order.as_str()).await;
        view.unwrap().order
    }
}

/// Runs a test on both databases.
fn with_house<F: Future<Output = ()>>(test: impl Fn(House) -> F) {
    let migrations: Vec<_> = backout_jobs::MIGRATIONS
        .iter()
        .chain(backout_apps::MIGRATIONS)
        .cloned()
        .collect();
    on_both(&migrations, |store| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap()
            .block_on(test(House::new(store)));
    });
}

fn owner() -> AccountId {
    OWNER.parse().unwrap()
}

fn caller() -> Caller {
    Caller {
        account: owner(),
        owner: owner(),
        request: RequestId::random(&OsEntropy),
        idempotency: None,
        approval: None,
    }
}

fn sub() -> Caller {
    Caller {
        account: SUB.parse().unwrap(),
        ..caller()
    }
}

fn new(name: &str, release: Option<NewRelease>) -> NewApplication {
    NewApplication {
        name: name.to_owned(),
        namespace: None,
        description: "sells".to_owned(),
        tags: vec![],
        release,
        label: "first".to_owned(),
    }
}

fn deploy(release: NewRelease) -> Wanted {
    Wanted::Deploy {
        release: Box::new(release),
        label: "next".to_owned(),
    }
}

fn back(to: Option<&str>) -> Wanted {
    Wanted::Rollback {
        to: to.map(str::to_owned),
    }
}

fn in_batches(batches: i64) -> How {
    How {
        settings: Settings {
            least_ready: Some(1),
            strategy: Strategy::Gray {
                gray: 1,
                batches,
                go: Go::Manual,
            },
            ..Settings::default()
        },
        description: "carefully".to_owned(),
        scaling_on: Some(false),
    }
}

fn kept_of(version: &Version) -> String {
    match &version.release.artifact {
        Artifact::Package { hash, .. } => hash.to_string(),
        Artifact::Image { name, .. } => name.clone(),
    }
}

#[test]
fn an_application_is_made_deployed_and_taken_back() {
    with_house(|house| async move {
        let apps = &house.apps;
        let made = apps
            .create(
                &caller(),
                new("shop", Some(house.release("one"))),
                &in_batches(2),
            )
            .await
            .unwrap();
        let asked = made.asked.unwrap();
        assert_eq!(asked.application, made.application);
        assert!(asked.job.is_some() && !asked.repeated && !asked.needs_approval);
        let order = house.order(&asked).await;
        assert_eq!(order.kind, OrderKind::Create);
        assert_eq!((order.from, order.to), (None, asked.version.clone()));
        assert_eq!((order.replicas_before, order.replicas_after), (0, 4));
        assert_eq!(order.standing, Standing::Preparing);
        assert_eq!(order.terms.scaling_on, Some(false));
        assert_eq!(order.terms.settings, in_batches(2).settings);
        assert_eq!(order.job, asked.job);
        let view = apps.order_view(&owner(), order.id.as_str()).await.unwrap();
        assert_eq!(view.batches.len(), order.plan.batches.len());
        assert_eq!(view.application_name.as_deref(), Some("shop"));
        assert_eq!(view.to.unwrap().label, "first");
        let claimed = Jobs::new(
            house.store.clone(),
            Arc::new(house.clock.clone()),
            Arc::new(OsEntropy),
        )
        .holder_of(&format!("application/{}", made.application))
        .await
        .unwrap();
        assert_eq!(claimed, asked.job);

        // One order at a time, whatever it is.
        for wanted in [deploy(house.release("two")), Wanted::Stop, back(None)] {
            let refusal = house.refused("shop", wanted).await;
            let first = refusal.first();
            assert!(
                matches!(
                    first,
                    Refusal::OrderRunning { .. } | Refusal::NotDeployed(_)
                ),
                "{refusal:?}"
            );
        }
        house.settled(&asked, Standing::Succeeded).await;

        // A second version; the source may go.
        let second = house.ordered("shop", deploy(house.release("two"))).await;
        house.settled(&second, Standing::Succeeded).await;
        std::fs::remove_dir_all(house.folder.path().join("source")).unwrap();
        let (count, versions) = apps.versions(&owner(), "shop", ALL).await.unwrap();
        assert_eq!((count, versions[0].number, versions[1].number), (2, 2, 1));
        assert_eq!(house.kept(), 2);

        // Back: by nothing, by number, by label.
        let first = asked.version.clone();
        for to in [None, Some("1"), Some("v1"), Some("first")] {
            let proposal = apps
                .propose(&caller(), "shop", back(to), &How::default())
                .await
                .unwrap();
            assert!(proposal.preflight.passed(), "{to:?}: {proposal:?}");
            assert_eq!(proposal.to.map(|v| v.id), first, "{to:?}");
        }
        let rolled = house.ordered("shop", back(None)).await;
        assert_eq!(rolled.version, first);
        let order = house.order(&rolled).await;
        assert_eq!(
            (order.kind, order.from),
            (OrderKind::Rollback, second.version)
        );
        house.settled(&rolled, Standing::Succeeded).await;
        let now = apps.get(&owner(), "shop").await.unwrap();
        assert_eq!(now.version, first);
        // There is none before the first.
        let refusal = house.refused("shop", back(None)).await;
        assert!(matches!(refusal, Refusal::VersionNotFound(_)));
        let refusal = house.refused("shop", back(Some("9"))).await;
        assert!(matches!(refusal, Refusal::VersionNotFound(_)));
    });
}

#[test]
fn what_stands_in_the_way_is_told_and_nothing_is_written() {
    with_house(|house| async move {
        let apps = &house.apps;
        // Of an application that has nothing yet.
        apps.create(&caller(), new("bare", None), &How::default())
            .await
            .unwrap();
        for wanted in [
            Wanted::Start,
            Wanted::Restart,
            Wanted::Rescale(3),
            back(None),
        ] {
            let refusal = house.refused("bare", wanted).await;
            assert!(
                matches!(refusal.first(), Refusal::NotDeployed(_)),
                "{refusal:?}"
            );
        }
        let refusal = house.refused("none", Wanted::Stop).await;
        assert!(matches!(refusal, Refusal::ApplicationNotFound(_)));
        let refusal = apps
            .create(&caller(), new("bare", None), &How::default())
            .await
            .unwrap_err();
        assert!(matches!(refusal, Refusal::Taken(..)));
        let mut lost = new("lost", None);
        lost.namespace = Some("nowhere".into());
        let refusal = apps.create(&caller(), lost, &How::default()).await;
        assert!(matches!(refusal, Err(Refusal::NamespaceNotFound(_))));
        for name in ["", "a b", "-a", &"a".repeat(64)] {
            let refusal = apps
                .create(&caller(), new(name, None), &How::default())
                .await;
            assert!(
                matches!(
                    refusal,
                    Err(Refusal::Empty("name") | Refusal::Parameter { name: "name", .. })
                ),
                "{name:?}"
            );
        }

        house.deployed("shop").await;
        let (before, _) = apps
            .orders(&owner(), OrderFilter::default(), ALL)
            .await
            .unwrap();
        let floor = |least| How {
            settings: Settings {
                least_ready: least,
                ..Settings::default()
            },
            ..How::default()
        };
        let refusal = apps
            .order(&caller(), "shop", Wanted::Restart, &floor(Some(4)))
            .await
            .unwrap_err();
        assert!(matches!(
            refusal,
            Refusal::Plan(backout_rollout::Refusal::FloorNotSmaller {
                floor: 4,
                instances: 4
            })
        ));
        for (wanted, expected) in [
            (Wanted::Start, Code::ApplicationState),
            (Wanted::Rescale(1001), Code::Quota),
            (Wanted::RestartReplicas(vec![]), Code::BadRequest),
            (
                Wanted::RestartReplicas(vec!["nonsense".into()]),
                Code::NotFound,
            ),
            (
                Wanted::RemoveReplicas(vec!["inst-aaaaaaaaaaaaaaaa".into()]),
                Code::NotFound,
            ),
            (
                Wanted::Resize {
                    cpu_millis: Some(0),
                    memory_bytes: None,
                },
                Code::BadRequest,
            ),
        ] {
            let refusal = house.refused("shop", wanted.clone()).await;
            assert_eq!(refusal.code(), expected, "{wanted:?}: {refusal:?}");
        }
        // A version that must not be gone back to, and one whose package is gone.
        let second = house.ordered("shop", deploy(house.release("two"))).await;
        house.settled(&second, Standing::Succeeded).await;
        apps.bar(&caller(), "shop", "1", Some("it loses orders"))
            .await
            .unwrap();
        let refusal = house.refused("shop", back(Some("1"))).await;
        assert!(matches!(refusal, Refusal::Barred { .. }));
        assert!(matches!(
            house.refused("shop", back(None)).await,
            Refusal::VersionNotFound(_)
        ));
        apps.bar(&caller(), "shop", "1", None).await.unwrap();
        let packages = apps.runtime().packages.clone();
        tokio::task::spawn_blocking(move || {
            packages
                .retain(
                    &std::collections::BTreeSet::new(),
                    std::time::Duration::ZERO,
                )
                .unwrap()
        })
        .await
        .unwrap();
        let refusal = house.refused("shop", back(Some("1"))).await;
        assert!(matches!(refusal, Refusal::PackageGone(_)));
        let (after, _) = apps
            .orders(&owner(), OrderFilter::default(), ALL)
            .await
            .unwrap();
        assert_eq!(after, before + 1, "only what was accepted");
        let (versions, _) = apps.versions(&owner(), "shop", ALL).await.unwrap();
        assert_eq!(versions, 2);
    });
}

#[test]
fn what_operators_say_holds() {
    with_house(|house| async move {
        let apps = &house.apps;
        let first = house.deployed("shop").await;
        let account = AccountSettings {
            replicas_of_application: 5,
            replicas_of_account: 6,
            ..AccountSettings::default()
        };
        apps.set_account_settings(&owner(), account.clone())
            .await
            .unwrap();
        let quota = |refusal: &Refusal| match refusal.first() {
            Refusal::Quota { of, most } => Some((*of, *most)),
            _ => None,
        };
        let refusal = house.refused("shop", Wanted::Rescale(6)).await;
        assert_eq!(quota(&refusal), Some((QuotaOf::ReplicasOfApplication, 5)));
        // The other application counts from the moment its order is there.
        let mut small = house.release("one");
        small.replicas = 2;
        let other = apps
            .create(
                &caller(),
                new("other", Some(small.clone())),
                &How::default(),
            )
            .await
            .unwrap();
        let refusal = house.refused("shop", Wanted::Rescale(5)).await;
        assert_eq!(quota(&refusal), Some((QuotaOf::ReplicasOfAccount, 6)));
        let refusal = apps
            .create(&caller(), new("third", Some(small)), &How::default())
            .await
            .unwrap_err();
        assert_eq!(quota(&refusal), Some((QuotaOf::ReplicasOfAccount, 6)));
        assert_eq!(house.kept(), 1, "the same content is kept once");
        house
            .settled(&other.asked.unwrap(), Standing::Succeeded)
            .await;

        let mut debt = account.clone();
        debt.in_debt = true;
        apps.set_account_settings(&owner(), debt).await.unwrap();
        for wanted in [
            back(Some("1")),
            Wanted::Restart,
            deploy(house.release("two")),
        ] {
            let refusal = house.refused("shop", wanted).await;
            assert!(matches!(refusal.first(), Refusal::InDebt), "{refusal:?}");
        }
        apps.set_account_settings(&owner(), AccountSettings::default())
            .await
            .unwrap();

        let mut service = ServiceSettings {
            upgrading: true,
            ..ServiceSettings::default()
        };
        apps.set_service_settings(service.clone()).await.unwrap();
        let refusal = house.refused("shop", Wanted::Restart).await;
        assert!(matches!(refusal, Refusal::Upgrading));
        service.upgrading = false;
        service.sizes = vec![Size {
            cpu_millis: 500,
            memory_bytes: 1 << 30,
        }];
        service.cpu_millis = Some(3000);
        apps.set_service_settings(service).await.unwrap();
        let resize = |cpu_millis, memory_bytes| Wanted::Resize {
            cpu_millis: Some(cpu_millis),
            memory_bytes: Some(memory_bytes),
        };
        let refusal = house.refused("shop", resize(600, 1 << 30)).await;
        assert!(matches!(refusal, Refusal::SizeUnsupported { .. }));
        let resized = house.ordered("shop", resize(500, 1 << 30)).await;
        let order = house.order(&resized).await;
        assert_eq!(
            (order.kind, &order.from),
            (OrderKind::Resize, &first.version)
        );
        assert_ne!(order.to, first.version);
        house.settled(&resized, Standing::Succeeded).await;
        let version = apps.version_of(&owner(), "shop", None).await.unwrap();
        assert_eq!(version.release.cpu_millis, Some(500));
        assert_eq!(version.release.command, ["./serve"]);
        let refusal = house.refused("shop", Wanted::Rescale(7)).await;
        assert_eq!(quota(&refusal), Some((QuotaOf::Processor, 3000)));
        house.ordered("shop", Wanted::Rescale(6)).await;
    });
}

#[test]
fn orders_wait_for_somebody_else() {
    with_house(|house| async move {
        let apps = &house.apps;
        house.deployed("shop").await;
        let mut asking = sub();
        asking.approval = Some("statement 2".to_owned());
        let asked = apps
            .order(&asking, "shop", Wanted::Restart, &How::default())
            .await
            .unwrap();
        assert!(asked.needs_approval);
        assert_eq!(asked.job, None);
        let order = house.order(&asked).await;
        assert_eq!(order.standing, Standing::WaitsForApproval);
        assert_eq!(order.approval.unwrap().rule, "statement 2");
        // It stands in the way of others, and cannot be told anything but to end.
        let refusal = house.refused("shop", Wanted::Stop).await;
        assert!(matches!(refusal, Refusal::OrderRunning { .. }));
        for refusal in [
            apps.retry(&caller(), asked.order.as_str()).await,
            apps.confirm_order(&caller(), asked.order.as_str(), true)
                .await,
            apps.abort_and_back(&caller(), asked.order.as_str()).await,
        ] {
            assert!(
                matches!(refusal, Err(Refusal::OrderState { .. })),
                "{refusal:?}"
            );
        }
        let refusal = apps.approve(&sub(), asked.order.as_str()).await;
        assert!(matches!(refusal, Err(Refusal::OwnOrder(_))));
        let mut stranger = caller();
        stranger.owner = SUB.parse().unwrap();
        let refusal = apps.approve(&stranger, asked.order.as_str()).await;
        assert!(matches!(refusal, Err(Refusal::OrderNotFound(_))));
        let approved = apps.approve(&caller(), asked.order.as_str()).await.unwrap();
        assert!(approved.job.is_some());
        let order = house.order(&asked).await;
        assert_eq!(order.standing, Standing::Approved);
        assert_eq!(order.approval.unwrap().by.unwrap().0, owner());
        let refusal = apps.approve(&caller(), asked.order.as_str()).await;
        assert!(matches!(refusal, Err(Refusal::OrderState { .. })));
        house.settled(&approved, Standing::Succeeded).await;

        // By the account's settings, and withdrawn.
        let settings = AccountSettings {
            approval: ApprovalFor::SubAccounts,
            ..AccountSettings::default()
        };
        apps.set_account_settings(&owner(), settings).await.unwrap();
        let asked = apps
            .order(&sub(), "shop", Wanted::Restart, &How::default())
            .await
            .unwrap();
        assert!(asked.needs_approval);
        apps.abort(&sub(), asked.order.as_str()).await.unwrap();
        assert_eq!(house.order(&asked).await.standing, Standing::Aborted);
        let refusal = apps.abort(&sub(), asked.order.as_str()).await;
        assert!(matches!(refusal, Err(Refusal::OrderState { .. })));
        assert!(house.ordered("shop", Wanted::Restart).await.job.is_some());
    });
}

#[test]
fn a_call_that_is_repeated_asks_for_nothing_more() {
    with_house(|house| async move {
        let apps = &house.apps;
        let keyed = |key: &str, hash: &str, caller: Caller| Caller {
            idempotency: Some(Idempotency {
                key: key.to_owned(),
                hash: hash.to_owned(),
            }),
            ..caller
        };
        let fresh = new("shop", Some(house.release("one")));
        let first = apps
            .create(&keyed("a", "1", caller()), fresh.clone(), &How::default())
            .await
            .unwrap();
        let again = apps
            .create(&keyed("a", "1", caller()), fresh.clone(), &How::default())
            .await
            .unwrap();
        assert_eq!(again.application, first.application);
        let (asked, repeated) = (first.asked.unwrap(), again.asked.unwrap());
        assert!(repeated.repeated && repeated.order == asked.order && repeated.job == asked.job);
        let refusal = apps
            .create(&keyed("a", "2", caller()), fresh, &How::default())
            .await;
        assert!(matches!(refusal, Err(Refusal::IdempotencyMismatch)));
        house.settled(&asked, Standing::Succeeded).await;

        // Also one that has no job yet.
        let mut waiting = keyed("b", "1", sub());
        waiting.approval = Some("rule".into());
        let how = How::default();
        let one = apps
            .order(&waiting, "shop", Wanted::Stop, &how)
            .await
            .unwrap();
        let two = apps
            .order(&waiting, "shop", Wanted::Stop, &how)
            .await
            .unwrap();
        assert_eq!(one.order, two.order);
        assert!(two.repeated && two.needs_approval);
        let other = keyed("b", "3", sub());
        let refusal = apps.order(&other, "shop", Wanted::Start, &how).await;
        assert!(matches!(refusal, Err(Refusal::IdempotencyMismatch)));
        // Another owner's keys are its own.
        let mut elsewhere = keyed("b", "3", caller());
        elsewhere.owner = SUB.parse().unwrap();
        let refusal = apps.order(&elsewhere, "shop", Wanted::Start, &how).await;
        assert!(matches!(refusal, Err(Refusal::ApplicationNotFound(_))));
    });
}

#[test]
fn words_are_taken_only_where_they_fit() {
    with_house(|house| async move {
        let apps = &house.apps;
        house.deployed("shop").await;
        let asked = apps
            .order(&caller(), "shop", Wanted::Restart, &in_batches(2))
            .await
            .unwrap();
        let id = asked.order.as_str();
        // Before it begins it can be ended, and nothing else.
        for refusal in [
            apps.retry(&caller(), id).await,
            apps.confirm_order(&caller(), id, true).await,
        ] {
            assert!(
                matches!(refusal, Err(Refusal::OrderState { .. })),
                "{refusal:?}"
            );
        }
        // Its job brings it to where the second batch waits for a word.
        let (order, now) = (house.order(&asked).await, house.later());
        let saved = order.clone();
        house
            .write(move |tx| {
                let limits = Limits {
                    ready_ms: 1000,
                    drain_ms: 1000,
                    stop_ms: 1000,
                };
                let world = backout_apps::world::World::of_order(tx, &saved, &BTreeMap::new())?;
                let world = world.unwrap();
                let mut replicas = world.replicas.clone();
                for present in &mut replicas {
                    present.ready = true;
                }
                let proposal = world.propose_order(&saved, None, true);
                assert!(proposal.blockers.is_empty(), "{proposal:?}");
                let mut machine = proposal.machine(&replicas, limits).unwrap();
                let mut waiting = machine.apply(Event::Begin, now).unwrap();
                // Each command is answered at once.
                while let Some(command) = waiting.pop() {
                    use backout_rollout::Command;
                    let event = match command {
                        Command::Start { slot, .. } => Event::Ready(slot),
                        Command::Drain { slot } => Event::Drained(slot),
                        Command::Stop { slot, .. } => Event::Ended(slot),
                        Command::Undrain { slot, .. } => Event::Ready(slot),
                    };
                    waiting.extend(machine.apply(event, now).unwrap());
                }
                let standing = backout_apps::orders::standing(&machine, false);
                assert_eq!(standing, Standing::WaitsForConfirm);
                rows::set_progress(tx, &saved.id, &machine, standing)
            })
            .await;
        let view = apps.order_view(&owner(), id).await.unwrap();
        let batch = |n: usize| view.batches[n].0.id.to_string();
        assert!(view.batches[0].1.is_some());
        for refusal in [
            apps.confirm(&caller(), &batch(0), true).await,
            apps.confirm(&caller(), &batch(2), true).await,
            apps.retry(&caller(), id).await,
        ] {
            assert!(matches!(refusal, Err(Refusal::NotNow(_))), "{refusal:?}");
        }
        for wrong in ["", "nonsense", &order.id.to_string()] {
            let refusal = apps.confirm(&caller(), wrong, true).await;
            assert!(matches!(refusal, Err(Refusal::BatchNotFound(_))), "{wrong}");
        }
        apps.confirm(&caller(), &batch(1), true).await.unwrap();
        apps.confirm_order(&caller(), id, false).await.unwrap();
        apps.abort(&caller(), id).await.unwrap();
        let back = apps.abort_and_back(&caller(), id).await.unwrap();
        let order_id = order.id.clone();
        let said = house.write(move |tx| rows::words_of(tx, &order_id)).await;
        let words: Vec<rows::Word> = said.into_iter().map(|s| s.word).collect();
        assert_eq!(words[0], rows::Word::Confirm { batch: 1 });
        assert_eq!(words[1], rows::Word::End { batch: 1 });
        assert_eq!(words[2], rows::Word::Abort);
        assert!(matches!(&words[3], rows::Word::AbortAndBack { order, .. } if *order == back));
        let (found, view, detail) = apps.batch(&owner(), &batch(1)).await.unwrap();
        assert_eq!((found.number, view.order.id), (1, order.id));
        assert!(detail.is_some());
    });
}

#[test]
fn what_a_job_did_is_taken_back_by_an_order() {
    with_house(|house| async move {
        let apps = &house.apps;
        let first = house.deployed("shop").await;
        let how = How::default();
        let undo = |asked: &Asked| {
            let job = asked.job.clone().unwrap();
            let apps = apps.clone();
            async move { apps.undo(&caller(), &job, &How::default()).await }
        };
        let refusal = undo(&first).await;
        assert!(
            matches!(refusal, Err(Refusal::NotReversible { .. })),
            "{refusal:?}"
        );
        let second = house.ordered("shop", deploy(house.release("two"))).await;
        let refusal = undo(&second).await;
        assert!(
            matches!(refusal, Err(Refusal::NotReversible { .. })),
            "not applied"
        );
        house.settled(&second, Standing::Succeeded).await;
        let proposal = apps
            .propose_undo(&caller(), second.job.as_ref().unwrap(), &how)
            .await
            .unwrap();
        assert_eq!(proposal.to.map(|v| v.id), first.version);
        let undone = undo(&second).await.unwrap();
        let order = house.order(&undone).await;
        assert_eq!(
            (order.kind, &order.to),
            (OrderKind::Rollback, &first.version)
        );
        assert_eq!(order.terms.undo_of, second.job);
        house.settled(&undone, Standing::Succeeded).await;

        let more = house.ordered("shop", Wanted::Rescale(6)).await;
        house.settled(&more, Standing::Succeeded).await;
        let fewer = undo(&more).await.unwrap();
        assert_eq!(house.order(&fewer).await.replicas_after, 4);
        house.settled(&fewer, Standing::Succeeded).await;
        let stopped = house.ordered("shop", Wanted::Stop).await;
        house.settled(&stopped, Standing::Succeeded).await;
        let started = undo(&stopped).await.unwrap();
        let order = house.order(&started).await;
        assert_eq!((order.kind, order.replicas_after), (OrderKind::Start, 4));
        house.settled(&started, Standing::Succeeded).await;
        let restarted = house.ordered("shop", Wanted::Restart).await;
        house.settled(&restarted, Standing::Succeeded).await;
        let refusal = undo(&restarted).await;
        assert!(matches!(refusal, Err(Refusal::NotReversible { .. })));
        let refusal = apps.undo(&caller(), &JobId::random(&OsEntropy), &how).await;
        assert!(matches!(refusal, Err(Refusal::NotReversible { .. })));
    });
}

/// Spoils a release that may mount the config map of that number.
type Spoil = fn(&mut NewRelease, u64);
type Is = fn(&Refusal) -> bool;

#[test]
fn releases_find_their_files_and_secrets_as_they_were() {
    with_house(|house| async move {
        let apps = &house.apps;
        let entries = |text: &str| {
            BTreeMap::from([
                ("shop.conf".to_owned(), text.to_owned()),
                ("b.conf".to_owned(), "b".to_owned()),
            ])
        };
        let map = apps
            .create_config_map(&caller(), DEFAULT_NAMESPACE, "conf", entries("old"))
            .await
            .unwrap();
        let refusal = apps
            .create_config_map(&caller(), DEFAULT_NAMESPACE, "conf", entries("x"))
            .await;
        assert!(matches!(refusal, Err(Refusal::Taken(..))));
        for revision in 1..=2 {
            let value = format!("value {revision}");
            let set = apps
                .set_secret(&caller(), DEFAULT_NAMESPACE, "token", &value)
                .await;
            assert_eq!(set.unwrap(), revision);
        }
        let with = |change: fn(&mut NewRelease, u64)| {
            let mut release = house.release("one");
            change(&mut release, map.number);
            new("shop", Some(release))
        };
        let mounted = |r: &mut NewRelease, number| {
            r.files.push(NewFile::ConfigMap {
                path: "/etc/shop.conf".into(),
                number,
                key: Some("shop.conf".into()),
            });
        };
        let broken: [(Spoil, Is); 5] = [
            (
                |r, n| {
                    r.files.push(NewFile::ConfigMap {
                        path: "/etc/x".into(),
                        number: n + 1,
                        key: Some("shop.conf".into()),
                    });
                },
                |e| matches!(e, Refusal::ConfigMapNotFound(_)),
            ),
            (
                |r, n| {
                    r.files.push(NewFile::ConfigMap {
                        path: "/etc/x".into(),
                        number: n,
                        key: Some("none".into()),
                    });
                },
                |e| matches!(e, Refusal::ConfigMapKeyNotFound { .. }),
            ),
            (
                |r, n| {
                    for key in ["shop.conf", "b.conf"] {
                        r.files.push(NewFile::ConfigMap {
                            path: "/etc/shop.conf".into(),
                            number: n,
                            key: Some(key.into()),
                        });
                    }
                },
                |e| matches!(e, Refusal::MountConflict(_)),
            ),
            (
                |r, _| {
                    r.secrets.insert("TOKEN".into(), ("none".into(), None));
                },
                |e| matches!(e, Refusal::SecretNotFound(_)),
            ),
            (
                |r, _| {
                    r.secrets.insert("TOKEN".into(), ("token".into(), Some(9)));
                },
                |e| matches!(e, Refusal::SecretNotFound(_)),
            ),
        ];
        for (number, (spoil, expected)) in broken.into_iter().enumerate() {
            let refusal = apps.create(&caller(), with(spoil), &How::default()).await;
            assert!(expected(&refusal.unwrap_err()), "{number}");
        }
        let mut release = house.release("one");
        mounted(&mut release, map.number);
        release.files.push(NewFile::ConfigMap {
            path: "/etc/all/".into(),
            number: map.number,
            key: None,
        });
        release
            .secrets
            .insert("TOKEN".into(), ("token".into(), None));
        apps.create(&caller(), new("shop", Some(release)), &How::default())
            .await
            .unwrap();
        // What is set later changes no version.
        apps.set_config_map(&caller(), map.number, entries("new"))
            .await
            .unwrap();
        apps.set_secret(&caller(), DEFAULT_NAMESPACE, "token", "value 3")
            .await
            .unwrap();
        let version = apps.version_of(&owner(), "shop", Some("1")).await.unwrap();
        let files: Vec<(&str, &str)> = version
            .release
            .files
            .iter()
            .map(|f| (f.path.as_str(), f.content.as_str()))
            .collect();
        assert_eq!(
            files,
            [
                ("/etc/shop.conf", "old"),
                ("/etc/all/b.conf", "b"),
                ("/etc/all/shop.conf", "old")
            ]
        );
        assert_eq!(version.release.secrets[0].revision, 2);
        let sealed = house
            .write(|tx| rows::secret(tx, &owner(), DEFAULT_NAMESPACE, "token", 2))
            .await
            .unwrap();
        let bound_to =
            backout_apps::model::SealedSecret::bound_to(&owner(), DEFAULT_NAMESPACE, "token", 2);
        assert_eq!(Turned.open(&bound_to, &sealed.sealed).unwrap(), "value 2");
        assert!(!format!("{sealed:?}").contains("eulav"));
        let refusal = apps
            .delete_secret(&caller(), DEFAULT_NAMESPACE, "token")
            .await;
        assert!(matches!(refusal, Err(Refusal::SecretUsed { .. })));
        let (count, listed) = apps
            .secrets(&owner(), DEFAULT_NAMESPACE, ALL)
            .await
            .unwrap();
        assert_eq!((count, listed[0].revision), (1, 3));
        apps.delete_config_map(&caller(), map.number).await.unwrap();
        assert!(matches!(
            apps.config_map(&owner(), map.number).await,
            Err(Refusal::ConfigMapNotFound(_))
        ));
    });
}

#[test]
fn ports_and_names_of_packages_are_ones_own() {
    with_house(|house| async move {
        let apps = &house.apps;
        let on = |port| {
            let mut release = house.release("one");
            release.port = Some(port);
            release
        };
        let one = apps
            .create(&caller(), new("one", Some(on(8080))), &How::default())
            .await
            .unwrap();
        // From the moment its order is there.
        let refusal = apps
            .create(&caller(), new("two", Some(on(8080))), &How::default())
            .await;
        assert!(matches!(
            refusal,
            Err(Refusal::PortTaken { port: 8080, .. })
        ));
        house
            .settled(&one.asked.unwrap(), Standing::Succeeded)
            .await;
        let refusal = apps
            .create(&caller(), new("two", Some(on(8080))), &How::default())
            .await;
        assert!(matches!(
            refusal,
            Err(Refusal::PortTaken { port: 8080, .. })
        ));
        // Its own stays its own.
        let again = house.ordered("one", deploy(on(8080))).await;
        house.settled(&again, Standing::Succeeded).await;

        let called = |name: &str| {
            let mut release = house.release("one");
            let NewArtifact::Package { version, .. } = &mut release.artifact else {
                unreachable!()
            };
            *version = name.to_owned();
            release
        };
        let named = house.ordered("one", deploy(called("1.0"))).await;
        house.settled(&named, Standing::Succeeded).await;
        let refusal = house.refused("one", deploy(called("1.0"))).await;
        assert!(matches!(refusal, Refusal::PackageVersionTaken(_)));
        let version = apps.version_of(&owner(), "one", None).await.unwrap();
        // What is deployed once more as it is, with another label, may be.
        let same = house
            .ordered("one", deploy(NewRelease::of(&version.release)))
            .await;
        house.settled(&same, Standing::Succeeded).await;
        let latest = apps.version_of(&owner(), "one", None).await.unwrap();
        assert_eq!(kept_of(&latest), kept_of(&version));
        assert_eq!(house.kept(), 1);
        let gone = NewRelease::new(NewArtifact::Package {
            kind: PackageKind::Plain,
            from: Origin::Path(Path::new("/nowhere/at/all").to_owned()),
            version: String::new(),
        });
        let refusal = house.refused("one", deploy(gone)).await;
        assert_eq!(refusal.code(), Code::PackageUnreachable);
        let image = NewRelease::new(NewArtifact::Image {
            name: "shop".into(),
        });
        let refusal = house.refused("one", deploy(image)).await;
        assert!(
            matches!(refusal, Refusal::Invalid(_)),
            "nothing runs images here"
        );
    });
}

#[test]
fn namespaces_labels_and_lists() {
    with_house(|house| async move {
        let apps = &house.apps;
        let (count, all) = apps.namespaces(&owner(), ALL).await.unwrap();
        assert_eq!((count, all[0].id.as_str()), (1, DEFAULT_NAMESPACE));
        apps.create_namespace(&caller(), "live", "Live", "")
            .await
            .unwrap();
        let refusal = apps.create_namespace(&caller(), "live", "x", "").await;
        assert!(matches!(refusal, Err(Refusal::Taken(..))));
        let refusal = apps.create_namespace(&caller(), "a/b", "x", "").await;
        assert!(matches!(
            refusal,
            Err(Refusal::Parameter {
                name: "namespace",
                ..
            })
        ));
        let renamed = apps
            .update_namespace(&caller(), "live", None, Some("sells".into()))
            .await
            .unwrap();
        assert_eq!(
            (renamed.name.as_str(), renamed.description.as_str()),
            ("Live", "sells")
        );
        let mut live = new("shop", None);
        live.namespace = Some("live".into());
        live.tags = vec![Tag {
            key: "team".into(),
            value: "a".into(),
        }];
        let made = apps.create(&caller(), live, &How::default()).await.unwrap();
        apps.create(&caller(), new("shop", None), &How::default())
            .await
            .unwrap();
        // A name that is in two namespaces needs its namespace.
        let refusal = apps.get(&owner(), "shop").await;
        assert!(matches!(
            refusal,
            Err(Refusal::Parameter {
                name: "application",
                ..
            })
        ));
        let found = apps.get(&owner(), "live/shop").await.unwrap();
        assert_eq!(found.id, made.application);
        assert!(matches!(
            apps.get(&SUB.parse().unwrap(), "live/shop").await,
            Err(Refusal::ApplicationNotFound(_))
        ));
        let resources = apps.namespace_resources(&owner(), "live").await.unwrap();
        assert_eq!((resources.applications, resources.last_order), (1, None));
        assert!(matches!(
            apps.delete_namespace(&caller(), "live").await,
            Err(Refusal::NamespaceUsed(_))
        ));
        for (id, expected) in [
            (DEFAULT_NAMESPACE, Code::BadRequest),
            ("none", Code::NotFound),
        ] {
            let refusal = apps.delete_namespace(&caller(), id).await.unwrap_err();
            assert_eq!(refusal.code(), expected, "{id}");
        }

        let tag = |key: &str| Tag {
            key: key.into(),
            value: "b".into(),
        };
        let ids = [made.application.to_string()];
        apps.tag(&caller(), &ids, &[tag("team"), tag("cost")])
            .await
            .unwrap();
        let of = |key: &str, value: &str| ApplicationFilter {
            tags: vec![TagFilter::Pair(key.into(), vec![value.into()])],
            ..ApplicationFilter::default()
        };
        for (filter, count) in [
            (of("team", "a"), 0),
            (of("team", "b"), 1),
            (of("cost", "b"), 1),
        ] {
            assert_eq!(apps.list(&owner(), filter, ALL).await.unwrap().0, count);
        }
        apps.untag(&caller(), &ids, Some(&["cost".to_owned()]))
            .await
            .unwrap();
        assert_eq!(
            apps.get(&owner(), &ids[0]).await.unwrap().tags,
            [tag("team")]
        );
        apps.untag(&caller(), &ids, None).await.unwrap();
        assert!(apps.get(&owner(), &ids[0]).await.unwrap().tags.is_empty());
        let many: Vec<Tag> = (0..21).map(|n| tag(&n.to_string())).collect();
        assert!(matches!(
            apps.tag(&caller(), &ids, &many).await,
            Err(Refusal::Quota {
                of: QuotaOf::Tags,
                ..
            })
        ));
        let unknown = [ids[0].clone(), "none".to_owned()];
        assert!(apps.tag(&caller(), &unknown, &[tag("x")]).await.is_err());
        assert!(
            apps.get(&owner(), &ids[0]).await.unwrap().tags.is_empty(),
            "all or none"
        );
        let described = apps.describe(&caller(), &ids[0], "anew").await.unwrap();
        assert_eq!(described.description, "anew");
    });
}

#[test]
fn rules_scale_by_themselves_and_come_back() {
    with_house(|house| async move {
        let apps = &house.apps;
        let rule = |name: &str, replicas| ScalingRule {
            name: name.into(),
            enabled: true,
            timer: Some(Timer {
                begin: None,
                end: None,
                days: Days::Every,
                zone: "UTC".into(),
                schedules: vec![Schedule {
                    at_minute: 0,
                    replicas: Some(replicas),
                    least: None,
                    most: None,
                }],
            }),
            metric: None,
            least_ready: Some(2),
            least_ready_percent: None,
        };
        house.deployed("shop").await;
        apps.create_scaling_rule(&caller(), "shop", rule("day", 6))
            .await
            .unwrap();
        let refusal = apps
            .create_scaling_rule(&caller(), "shop", rule("day", 6))
            .await;
        assert!(matches!(refusal, Err(Refusal::Taken(..))));
        let refusal = apps
            .create_scaling_rule(&caller(), "shop", rule("day2", 1001))
            .await;
        assert!(matches!(refusal, Err(Refusal::Parameter { .. })));
        for refusal in [
            apps.update_scaling_rule(&caller(), "shop", rule("none", 6))
                .await
                .map(drop),
            apps.switch_scaling_rule(&caller(), "shop", "none", true)
                .await
                .map(drop),
            apps.delete_scaling_rule(&caller(), "shop", "none").await,
            apps.scaling_rule(&owner(), "shop", "none").await.map(drop),
        ] {
            assert!(matches!(refusal, Err(Refusal::RuleNotFound(_))));
        }
        // A version has the rule that was on.
        let second = house.ordered("shop", deploy(house.release("two"))).await;
        house.settled(&second, Standing::Succeeded).await;
        let version = apps.version_of(&owner(), "shop", None).await.unwrap();
        assert_eq!(version.release.scaling, Some(rule("day", 6)));
        let off = apps
            .switch_scaling_rule(&caller(), "shop", "day", false)
            .await
            .unwrap();
        assert!(!off.rule.enabled && off.disabled.is_some());
        let updated = apps
            .update_scaling_rule(&caller(), "shop", rule("day", 7))
            .await
            .unwrap();
        assert!(!updated.rule.enabled, "it stays off");
        apps.switch_scaling_rule(&caller(), "shop", "day", true)
            .await
            .unwrap();

        // Backout scales by itself, and waits for nobody.
        let settings = AccountSettings {
            approval: ApprovalFor::Everybody,
            ..AccountSettings::default()
        };
        apps.set_account_settings(&owner(), settings).await.unwrap();
        let application = apps.get(&owner(), "shop").await.unwrap();
        let wish = Wish {
            rule: "day".into(),
            replicas: 7,
            why: "so many from 00:00 on".into(),
        };
        let scaled = apps.scale_by_rule(&application, &wish).await.unwrap();
        assert!(scaled.job.is_some());
        let order = house.order(&scaled).await;
        assert_eq!((order.kind, order.replicas_after), (OrderKind::Rescale, 7));
        assert_eq!(order.terms.settings.least_ready, Some(2));
        let row = apps.scaling_rule(&owner(), "shop", "day").await.unwrap();
        assert!(row.scaled.is_some());
        assert_eq!(apps.scaling_rules(&owner(), "shop").await.unwrap().len(), 1);
        apps.delete_scaling_rule(&caller(), "shop", "day")
            .await
            .unwrap();
    });
}

#[test]
fn several_applications_at_once_each_for_itself() {
    with_house(|house| async move {
        let apps = &house.apps;
        house.deployed("one").await;
        house.deployed("two").await;
        let names = ["one".to_owned(), "two".to_owned(), "none".to_owned()];
        let mut keyed = caller();
        keyed.idempotency = Some(Idempotency {
            key: "k".into(),
            hash: "h".into(),
        });
        let stop = |caller: Caller| {
            let (apps, names) = (apps.clone(), names.clone());
            async move {
                apps.order_many(&caller, &names, &Wanted::Stop, &How::default())
                    .await
                    .unwrap()
            }
        };
        let first = stop(keyed.clone()).await;
        assert!(first[0].1.is_ok() && first[1].1.is_ok());
        assert!(matches!(first[2].1, Err(Refusal::ApplicationNotFound(_))));
        let again = stop(keyed).await;
        for (first, again) in first.iter().zip(&again).take(2) {
            let (first, again) = (first.1.as_ref().unwrap(), again.1.as_ref().unwrap());
            assert!(again.repeated && again.order == first.order);
        }
        let many: Vec<String> = (0..101).map(|n| n.to_string()).collect();
        let refusal = apps
            .order_many(&caller(), &many, &Wanted::Stop, &How::default())
            .await;
        assert!(matches!(
            refusal,
            Err(Refusal::Parameter {
                name: "applications",
                ..
            })
        ));
        // Replicas, groups and the order of a call.
        let replicas = apps.replicas(&owner(), "one").await.unwrap();
        assert_eq!(replicas.len(), 4);
        assert!(
            replicas
                .iter()
                .all(|r| r.version == 1 && r.status.is_none())
        );
        let groups = apps.groups(&owner(), "one").await.unwrap();
        assert_eq!(
            (groups.len(), groups[0].wanted, groups[0].running),
            (1, 4, 0)
        );
        let (_, orders) = apps
            .orders(&owner(), OrderFilter::default(), ALL)
            .await
            .unwrap();
        let newest = apps.last_order(&owner(), "two").await.unwrap().unwrap();
        let of_call = apps
            .order_of_request(&owner(), &newest.request)
            .await
            .unwrap();
        assert!(of_call.is_some_and(|o| o.request == newest.request));
        assert_eq!(orders.len(), 4);
        let grows = OrderFilter {
            grows: Some(true),
            ..OrderFilter::default()
        };
        assert_eq!(apps.orders(&owner(), grows, ALL).await.unwrap().0, 2);
        let metrics = apps
            .order_metrics(&owner(), Some("one"), vec![])
            .await
            .unwrap();
        assert_eq!((metrics[0].total, metrics[0].failed), (1, 0));
        assert!(!apps.doctor().await.unwrap().is_empty());
        let removed = replicas[1].replica.id.to_string();
        let stopped = first[0].1.as_ref().unwrap();
        house.settled(stopped, Standing::Aborted).await;
        let asked = house
            .ordered("one", Wanted::RemoveReplicas(vec![removed]))
            .await;
        let order = house.order(&asked).await;
        assert_eq!(
            (order.kind, order.replicas_after),
            (OrderKind::RemoveReplicas, 3)
        );
        assert_eq!(order.terms.these, [replicas[1].replica.id.clone()]);
    });
}
