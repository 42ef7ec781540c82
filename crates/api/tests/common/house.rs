//! A server process without its listener, for calls of any family: what they
//! have in common. Each family's `cloud` adds what it is about.

use std::num::NonZeroU32;
use std::ops::{Deref, Range};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use backout_accounts::{
    Accounts, KeyPair, Limiter, Limits, MasterKey, NONCES_MAX, Nonces, Principal, Vault,
};
use backout_api::audit;
use backout_api::front::{CallLog, Front, Parts, Settings};
use backout_api::secrets::Sealed;
use backout_core::ids::{AccountId, JobId, OsEntropy, RequestId};
use backout_core::outcome::Outcome;
use backout_core::time::Clock;
use backout_databases::Databases;
use backout_faults::{Faults, NewRule, What};
use backout_jobs::{Caller, JobView, Jobs, Moment, Registry, Worker, WorkerConfig};
use backout_servers::Servers;
use backout_shim::Shim;
use backout_store::{Error as StoreError, Store};
use backout_wire::{Protocol, RawRequest, Reply, Service, find, sign};
use serde_json::Value;

use super::shape::Contract;

pub const NODE: &str = "test";
pub const HOST: &str = "127.0.0.1:7780";

/// Lets a cloud be used as the house in its field `$house`.
macro_rules! in_house {
    ($cloud:ty, $house:tt) => {
        impl std::ops::Deref for $cloud {
            type Target = House;

            fn deref(&self) -> &House {
                &self.$house
            }
        }

        impl std::ops::DerefMut for $cloud {
            fn deref_mut(&mut self) -> &mut House {
                &mut self.$house
            }
        }
    };
}
pub(crate) use in_house;

/// How often is looked whether something came about, and after which pause: two
/// minutes, for a host with other work.
const LOOKS: u32 = 2400;
pub const PAUSE: Duration = Duration::from_millis(50);

/// How long a job may take: as long as is looked.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long servers of databases are looked at: longer than any test takes.
const LOOKING: Duration = Duration::from_secs(600);

/// As many as may be needed, with [`PAUSE`] between them.
pub fn tries() -> Range<u32> {
    0..LOOKS
}

/// Limits that no test meets.
pub fn plenty() -> Limits {
    calls_a_second(1000)
}

/// So many calls of one action a second.
pub fn calls_a_second(calls: u32) -> Limits {
    Limits {
        default: NonZeroU32::new(calls).unwrap(),
        ..Limits::default()
    }
}

/// A shim for what is never started.
pub fn nothing_runs() -> Shim {
    Shim::own(&["shim"])
}

/// What products stand on, and those that are always there.
pub struct Ground {
    pub folder: tempfile::TempDir,
    pub store: Store,
    pub accounts: Accounts,
    pub admin: Principal,
    pub key: KeyPair,
    pub jobs: Jobs,
    pub sealed: Sealed,
    pub servers: Servers,
    /// What databases are run by.
    pub runtime: backout_databases::Runtime,
    pub databases: Databases,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<OsEntropy>,
}

impl Ground {
    /// One on which `shim` supervises what runs.
    pub async fn open(clock: Arc<dyn Clock>, shim: &Shim) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let migrations = [
            backout_accounts::MIGRATIONS,
            backout_jobs::MIGRATIONS,
            backout_servers::MIGRATIONS,
            audit::MIGRATIONS,
            backout_faults::MIGRATIONS,
            backout_databases::MIGRATIONS,
            backout_apps::MIGRATIONS,
            backout_engines::MIGRATIONS,
        ]
        .concat();
        let store = Store::open_sqlite(&folder.path().join("state.db"), &migrations).unwrap();
        let entropy = Arc::new(OsEntropy);
        let master = MasterKey::from_bytes([7; 32]);
        let accounts = Accounts::open(store.clone(), &master, clock.clone(), entropy.clone())
            .await
            .unwrap();
        accounts.bootstrap(|_| Ok(())).await.unwrap();
        let admin = accounts.admin().await.unwrap();
        let key = accounts.add_key(&admin, "admin").await.unwrap();
        let jobs = Jobs::new(store.clone(), clock.clone(), entropy.clone());
        let servers = Servers::new(
            store.clone(),
            jobs.clone(),
            clock.clone(),
            entropy.clone(),
            NODE.to_owned(),
            backout_servers::Runtime::new(folder.path(), shim.clone()),
        );
        let sealed = Sealed::new(Vault::new(&master), entropy.clone());
        let runtime = backout_databases::Runtime::new(
            &folder.path().join("databases"),
            shim.clone(),
            Arc::new(sealed.clone()),
        );
        let databases = Databases::new(
            store.clone(),
            jobs.clone(),
            clock.clone(),
            entropy.clone(),
            NODE.to_owned(),
            runtime.clone(),
        )
        .looking_for(LOOKING);
        Self {
            folder,
            store,
            accounts,
            admin,
            key,
            jobs,
            sealed,
            servers,
            runtime,
            databases,
            clock,
            entropy,
        }
    }

    /// What those products do.
    pub fn registry(&self) -> Registry {
        let registry = self.servers.register(Registry::new());
        self.databases.register(registry)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The account whose resources all of this is.
    pub fn owner(&self) -> &AccountId {
        &self.admin.owner
    }

    /// Its owner, who asks a product without a call.
    pub fn caller(&self) -> Caller {
        Caller {
            account: self.admin.account.clone(),
            owner: self.admin.owner.clone(),
            request: Self::request(),
            idempotency: None,
        }
    }

    /// The id of a call that nobody made.
    pub fn request() -> RequestId {
        RequestId::random(&OsEntropy)
    }

    /// A job that is over.
    pub async fn over(&self, job: &JobId) -> JobView {
        let job = self.jobs.wait(job, PATIENCE).await.unwrap();
        assert!(job.outcome.is_some(), "it ends: {job:?}");
        job
    }

    pub async fn ended(&self, job: &JobId) -> Outcome {
        self.over(job).await.outcome.expect("it is over")
    }

    /// The job that a call has made, when it is over.
    pub async fn job_of(&self, answer: &Value) -> JobView {
        let found = self.jobs.find_by_request(&request_of(answer)).await;
        let job = found.unwrap().expect("the call has made a job");
        self.over(&job.id).await
    }

    /// The audit lines of the call that an answer is of.
    pub async fn audited(&self, answer: &Value) -> Vec<audit::Line> {
        let lines = audit::find_by_request(&self.store, &request_of(answer)).await;
        lines.unwrap()
    }

    /// A key of a new account of the owner, which may do what a policy says.
    pub async fn limited(&self, name: &str, policy: &Value) -> KeyPair {
        let policy = policy.to_string();
        let made = self.accounts.create(&self.admin, name, Some(&policy)).await;
        made.unwrap().1
    }

    /// Changes the store: one statement, on one row.
    pub async fn damage(&self, sql: &'static str, id: &str) {
        let id = id.to_owned();
        self.store
            .write::<_, StoreError>(move |tx| {
                assert_eq!(tx.execute(sql, &[id.as_str().into()])?, 1);
                Ok(())
            })
            .await
            .unwrap();
    }
}

fn request_of(answer: &Value) -> RequestId {
    let request = answer["RequestId"].as_str().expect("an answer has an id");
    RequestId(request.to_owned())
}

/// A ground with all that answers calls, and may work.
pub struct House {
    pub ground: Ground,
    pub front: Front,
    pub faults: Faults,
    worker: Option<Worker>,
}

impl Deref for House {
    type Target = Ground;

    fn deref(&self) -> &Ground {
        &self.ground
    }
}

impl House {
    /// One whose jobs stand still. `registry` has all that there may be faults
    /// in; `join` adds the products that are not always there.
    pub async fn open(
        ground: Ground,
        registry: &Registry,
        limits: Limits,
        join: impl FnOnce(Front) -> Front,
    ) -> Self {
        let (clock, entropy) = (ground.clock.clone(), ground.entropy.clone());
        let faults = Faults::open(
            ground.store.clone(),
            clock.clone(),
            entropy.clone(),
            registry,
        )
        .await
        .unwrap();
        let front = join(Front::new(Parts {
            accounts: ground.accounts.clone(),
            limiter: Arc::new(Limiter::new(clock.clone(), limits)),
            nonces: Arc::new(Nonces::new(clock.clone(), NONCES_MAX)),
            store: ground.store.clone(),
            servers: ground.servers.clone(),
            databases: ground.databases.clone(),
            faults: Some(faults.clone()),
            clock,
            entropy,
            settings: Settings::default(),
        }));
        Self {
            ground,
            front,
            faults,
            worker: None,
        }
    }

    /// One with servers and databases only.
    pub async fn plain(clock: Arc<dyn Clock>, limits: Limits, shim: &Shim) -> Self {
        let ground = Ground::open(clock, shim).await;
        let registry = ground.registry();
        Self::open(ground, &registry, limits, |front| front).await
    }

    /// Does from here what is asked, as far as the registry goes.
    pub async fn work(&mut self, registry: Registry) {
        let mut config = WorkerConfig::new(NODE);
        config.probe = Arc::new(self.faults.clone());
        self.worker = Some(Worker::start(&self.jobs, registry, config).await.unwrap());
    }

    /// Whether jobs go on.
    pub fn works(&self) -> bool {
        self.worker.is_some()
    }

    /// No job goes on from here, and none is waited for.
    pub fn abandon(&mut self) {
        self.worker = None;
    }

    /// No job goes on from here.
    pub async fn hold_still(&mut self) {
        if let Some(worker) = self.worker.take() {
            worker.stop().await;
        }
    }

    /// Lets calls be answered by the fault switch.
    pub async fn let_fail(&self, action: &str, code: &str) {
        self.add_rule(call(action, code), None).await;
    }

    /// Lets one call be answered by the fault switch.
    pub async fn let_fail_once(&self, action: &str, code: &str) {
        self.add_rule(call(action, code), Some(1)).await;
    }

    /// Lets a step of a job fail, or its undo.
    pub async fn let_step_fail(&self, procedure: &str, step: &str, undo: bool) {
        self.add_rule(
            What::Step {
                procedure: procedure.to_owned(),
                step: step.to_owned(),
                undo,
                moment: Moment::AfterIntent,
            },
            None,
        )
        .await;
    }

    async fn add_rule(&self, what: What, count: Option<u32>) {
        let rule = NewRule {
            what,
            message: None,
            resource: None,
            count,
            lasts_s: None,
        };
        self.faults.add(self.owner(), rule).await.unwrap();
    }

    /// What is answered to bytes, and what is logged of it.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        query: &str,
        headers: &[(String, String)],
        body: &[u8],
    ) -> (Reply, CallLog) {
        let headers: Vec<(&str, &[u8])> = headers
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_bytes()))
            .collect();
        let raw = RawRequest {
            method,
            path,
            query,
            headers: &headers,
            body,
        };
        let protocol = Protocol::detect(&raw).expect("a vendor's call");
        // A test makes many calls: kept within it they would take its whole stack.
        Box::pin(self.front.handle(protocol, raw, false)).await
    }

    /// A signed call of API 3.0, as the Python SDK makes it: its answer, and what
    /// is logged of it. The answer is held against the contract, when it is of
    /// the version that there is one of.
    pub async fn v3(&self, call: &V3<'_>) -> (Value, CallLog) {
        let mut headers = sign::tc3(
            &call.key.secret_id,
            call.key.secret_key.expose(),
            call.key.token.as_ref().map(|t| t.expose()),
            "POST",
            "/",
            "",
            HOST,
            "application/json",
            call.body.as_bytes(),
            &call.service.to_string(),
            self.clock.now(),
        );
        headers.push(("X-TC-Action".into(), call.action.into()));
        headers.push(("X-TC-Version".into(), call.version.into()));
        if let Some(region) = call.region {
            headers.push(("X-TC-Region".into(), region.into()));
        }
        let body = call.body.as_bytes();
        let (reply, log) = self.send("POST", "/", "", &headers, body).await;
        assert_eq!(reply.status, 200, "always, for this vendor");
        let mut body: Value = serde_json::from_slice(&reply.body).unwrap();
        let answer = body["Response"].take();
        assert_eq!(answer["RequestId"], log.request.0);
        let Some(operation) = find(call.service, call.action) else {
            return (answer, log);
        };
        if operation.version != call.version {
            return (answer, log);
        }
        let action = call.action;
        match answer["Error"]["Code"].as_str() {
            Some(code) => assert!(
                operation.may_answer(code),
                "{action} must not answer {code}: {answer}"
            ),
            None => {
                let wrong = call.contract.wrong(action, &answer);
                assert!(wrong.is_empty(), "{action}: {wrong:#?} in {answer}");
            }
        }
        (answer, log)
    }
}

fn call(action: &str, code: &str) -> What {
    What::Call {
        action: action.to_owned(),
        code: code.to_owned(),
    }
}

/// A call of API 3.0.
pub struct V3<'a> {
    pub service: Service,
    pub contract: &'a Contract,
    pub key: &'a KeyPair,
    pub action: &'a str,
    pub version: &'a str,
    pub region: Option<&'a str>,
    pub body: &'a str,
}

/// Ends, without a word to it, all that is supervised in the folders of `place`:
/// in `run` of each, or in itself. For tests that fail.
pub fn end_all(place: &Path) {
    for entry in std::fs::read_dir(place).into_iter().flatten().flatten() {
        let run = entry.path().join("run");
        let folder = if run.is_dir() { run } else { entry.path() };
        let _ = backout_shim::stop(&folder, backout_shim::Signal::Kill, Duration::ZERO);
    }
}

/// The texts `set[..].member`, sorted.
pub fn sorted(answer: &Value, set: &str, member: &str) -> Vec<String> {
    let rows = answer[set].as_array().unwrap();
    let mut out: Vec<String> = rows.iter().map(|row| text(&row[member])).collect();
    out.sort();
    out
}

/// A member that is text.
pub fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// Parameters with a change: what is null in it is taken away.
pub fn with(mut params: Value, change: &Value) -> Value {
    let members = params.as_object_mut().expect("parameters");
    for (name, value) in change.as_object().expect("a change") {
        match value {
            Value::Null => members.remove(name),
            value => members.insert(name.clone(), value.clone()),
        };
    }
    params
}
