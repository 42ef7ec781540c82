//! A server process without its listener.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use backout_accounts::{
    Accounts, KeyPair, Limiter, Limits, MasterKey, NONCES_MAX, Nonces, Principal, Vault,
};
use backout_api::audit;
use backout_api::front::{Front, Parts, Settings};
use backout_api::secrets::Sealed;
use backout_core::ids::{AccountId, DatabaseId, JobId, OsEntropy, RequestId};
use backout_core::outcome::Outcome;
use backout_core::time::{Clock as _, SystemClock, Timestamp};
use backout_databases::model::{
    Address, BackupConfig, Detail, Facts, Instance, InstanceState, Kind, LocalLogs, Shape,
    Standing, Task, TaskKind,
};
use backout_databases::persistence;
use backout_databases::{Caller, Databases, NewInstance, Runtime};
use backout_faults::{Faults, NewRule, What};
use backout_jobs::{Jobs, Registry, Worker, WorkerConfig};
use backout_mariadb::testing::PrivateServer;
use backout_servers::Servers;
use backout_shim::Shim;
use backout_store::{Error as StoreError, Store};
use backout_wire::sign::{self, ParamCall};
use backout_wire::{Protocol, RawRequest, Service, find};
use serde_json::{Value, json};

use crate::contract;

pub const NODE: &str = "test";
pub const HOST: &str = "127.0.0.1:7780";
pub const VERSION: &str = "2017-03-20";
pub const UNKNOWN: &str = "cdb-00000000";
/// A well-formed id of work that nobody asked for.
pub const UNKNOWN_ASKED: &str = "00000000-00000000-00000000-00000000";

/// How often is looked whether something came about, and after which pause: two
/// minutes, for a host with other work.
const LOOKS: u32 = 2400;
pub const PAUSE: Duration = Duration::from_millis(50);

/// How long servers are looked at: longer than any test takes.
const PATIENCE: Duration = Duration::from_secs(600);

/// A call of the legacy API with its parameters, and the number that refuses it.
pub type LegacyCall<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);

pub struct Cloud {
    folder: tempfile::TempDir,
    pub front: Front,
    pub accounts: Accounts,
    pub admin: Principal,
    pub key: KeyPair,
    pub store: Store,
    pub databases: Databases,
    pub runtime: Runtime,
    pub jobs: Jobs,
    pub faults: Faults,
    worker: Option<Worker>,
    nonce: AtomicU64,
}

impl Cloud {
    /// One whose jobs stand still.
    pub async fn still() -> Self {
        // Nothing is run there, so nothing is supervised.
        Self::open(Shim::own(&["shim"]), PATIENCE).await
    }

    /// As [`Cloud::still`], which looks at servers for a moment only.
    pub async fn hurried() -> Self {
        Self::open(Shim::own(&["shim"]), PAUSE).await
    }

    /// One that does what is asked.
    pub async fn start() -> Self {
        let mut cloud = Self::open(backout_mariadb::testing::shim().unwrap(), PATIENCE).await;
        cloud.go_on().await;
        cloud
    }

    pub async fn go_on(&mut self) {
        let registry = self.databases.register(Registry::new());
        let mut config = WorkerConfig::new(NODE);
        config.probe = Arc::new(self.faults.clone());
        self.worker = Some(Worker::start(&self.jobs, registry, config).await.unwrap());
    }

    /// No job goes on from here.
    pub async fn hold_still(&mut self) {
        if let Some(worker) = self.worker.take() {
            worker.stop().await;
        }
    }

    async fn open(shim: Shim, patience: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let migrations = [
            backout_accounts::MIGRATIONS,
            backout_jobs::MIGRATIONS,
            backout_servers::MIGRATIONS,
            audit::MIGRATIONS,
            backout_faults::MIGRATIONS,
            backout_databases::MIGRATIONS,
        ]
        .concat();
        let store = Store::open_sqlite(&folder.path().join("state.db"), &migrations).unwrap();
        let (clock, entropy) = (Arc::new(SystemClock), Arc::new(OsEntropy));
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
            backout_servers::Runtime::new(folder.path(), Shim::own(&["shim"])),
        );
        let sealed = Sealed::new(Vault::new(&master), entropy.clone());
        let runtime = Runtime::new(&folder.path().join("databases"), shim, Arc::new(sealed));
        let databases = Databases::new(
            store.clone(),
            jobs.clone(),
            clock.clone(),
            entropy.clone(),
            NODE.to_owned(),
            runtime.clone(),
        )
        .looking_for(patience);
        let registry = databases.register(servers.register(Registry::new()));
        let faults = Faults::open(store.clone(), clock.clone(), entropy.clone(), &registry)
            .await
            .unwrap();
        let plenty = Limits {
            default: NonZeroU32::new(1000).unwrap(),
            ..Limits::default()
        };
        let front = Front::new(Parts {
            accounts: accounts.clone(),
            limiter: Arc::new(Limiter::new(clock.clone(), plenty)),
            nonces: Arc::new(Nonces::new(clock.clone(), NONCES_MAX)),
            store: store.clone(),
            servers,
            databases: databases.clone(),
            faults: Some(faults.clone()),
            clock,
            entropy,
            settings: Settings::default(),
        });
        Self {
            folder,
            front,
            accounts,
            admin,
            key,
            store,
            databases,
            runtime,
            jobs,
            faults,
            worker: None,
            nonce: AtomicU64::new(1),
        }
    }

    /// An instance on record, whose server nobody answers for.
    pub async fn record(&self, name: &str, state: InstanceState) -> String {
        // Port 1 is no database's.
        self.record_with(name, state, 1, |_| {}).await
    }

    /// As [`Cloud::record`], with something at that port, or with something else
    /// changed.
    pub async fn record_with(
        &self,
        name: &str,
        state: InstanceState,
        port: u16,
        change: impl FnOnce(&mut Instance),
    ) -> String {
        let id = DatabaseId::random(&OsEntropy);
        let mut instance = Instance {
            id: id.clone(),
            owner: self.admin.owner.clone(),
            name: name.to_owned(),
            node: NODE.to_owned(),
            kind: Kind::Reached,
            state,
            address: Address {
                host: "127.0.0.1".to_owned(),
                port,
                user: "root".to_owned(),
            },
            sealed: Vec::new(),
            facts: Facts {
                version: "10.11.6-MariaDB-log".to_owned(),
                zone: "+08:00".to_owned(),
                ..Facts::default()
            },
            shape: Shape::default(),
            backups: BackupConfig::default(),
            local_logs: LocalLogs::default(),
            tags: Vec::new(),
            created: SystemClock.now(),
            isolated: None,
        };
        change(&mut instance);
        let address = &instance.address;
        let url = format!(
            "mysql://{}:secret@{}:{}",
            address.user, address.host, address.port
        );
        instance.sealed = self.runtime.seal(&id, &url).unwrap();
        self.store
            .write::<_, StoreError>(move |tx| {
                assert!(persistence::insert_instance(tx, &instance)?);
                Ok(())
            })
            .await
            .unwrap();
        id.to_string()
    }

    /// A task on record, as one that was over long ago.
    pub async fn task(
        &self,
        instance: &str,
        kind: TaskKind,
        standing: Standing,
        detail: Detail,
    ) -> Task {
        let mut task = Task {
            number: 0,
            asked: format!("{:08x}-0-0-0", self.nonce.fetch_add(1, Ordering::Relaxed)),
            owner: self.admin.owner.clone(),
            operator: self.admin.account.clone(),
            request: RequestId::random(&OsEntropy),
            instance: instance.parse().unwrap(),
            kind,
            detail,
            job: JobId::random(&OsEntropy),
            standing,
            percent: 100,
            words: String::new(),
            error: None,
            // The seed's own times, in its zone.
            created: Timestamp(1_453_714_379_000),
            ended: Some(Timestamp(1_453_714_502_000)),
        };
        self.store
            .write::<_, StoreError>(move |tx| {
                task.number = persistence::next_task_number(tx)?;
                persistence::insert_task(tx, &task)?;
                Ok(task)
            })
            .await
            .unwrap()
    }

    /// Takes a real server under management, and follows its history.
    pub async fn manage(&self, name: &str, server: &PrivateServer) -> String {
        let asked = self
            .databases
            .add(
                &self.caller(),
                NewInstance {
                    name: name.to_owned(),
                    url: server.url(),
                    tags: Vec::new(),
                },
            )
            .await
            .unwrap();
        assert_eq!(self.ended(&asked.job).await, Outcome::Applied);
        for _ in 0..LOOKS {
            let tended = self.databases.tend().await.unwrap();
            if tended.following > 0 {
                return asked.instance.to_string();
            }
            tokio::time::sleep(PAUSE).await;
        }
        panic!("the history of {name} is not followed");
    }

    pub fn caller(&self) -> Caller {
        Caller {
            account: self.admin.account.clone(),
            owner: self.admin.owner.clone(),
            request: RequestId::random(&OsEntropy),
            idempotency: None,
        }
    }

    pub fn owner(&self) -> &AccountId {
        &self.admin.owner
    }

    pub async fn ended(&self, job: &JobId) -> Outcome {
        let ended = self.jobs.wait(job, Duration::from_secs(120)).await.unwrap();
        ended.outcome.expect("it ends")
    }

    /// Lets calls be answered by the fault switch.
    pub async fn let_fail(&self, action: &str, code: &str) {
        let rule = NewRule {
            what: What::Call {
                action: action.to_owned(),
                code: code.to_owned(),
            },
            message: None,
            resource: None,
            count: None,
            lasts_s: None,
        };
        self.faults.add(&self.admin.owner, rule).await.unwrap();
    }

    /// The audit lines of the call that an answer is of.
    pub async fn audited(&self, answer: &Value) -> Vec<audit::Line> {
        let request = answer["RequestId"].as_str().expect("an answer has an id");
        audit::find_by_request(&self.store, &RequestId(request.to_owned()))
            .await
            .unwrap()
    }

    /// A key of an account of the owner, which may do what `statements` say.
    pub async fn limited(&self, name: &str, statements: &Value) -> KeyPair {
        let policy = json!({"version": "2.0", "statement": statements}).to_string();
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

    async fn send(
        &self,
        method: &str,
        path: &str,
        query: &str,
        headers: &[(String, String)],
        body: &[u8],
    ) -> Value {
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
        let (reply, _) = self.front.handle(protocol, raw, false).await;
        assert_eq!(reply.status, 200, "always, for this vendor");
        serde_json::from_slice(&reply.body).unwrap()
    }

    /// A signed call of API 3.0, as the Python SDK makes it.
    pub async fn raw(
        &self,
        key: &KeyPair,
        action: &str,
        region: Option<&str>,
        params: &Value,
    ) -> Value {
        let body = params.to_string();
        let mut headers = sign::tc3(
            &key.secret_id,
            key.secret_key.expose(),
            None,
            "POST",
            "/",
            "",
            HOST,
            "application/json",
            body.as_bytes(),
            "cdb",
            SystemClock.now(),
        );
        headers.push(("X-TC-Action".into(), action.into()));
        headers.push(("X-TC-Version".into(), VERSION.into()));
        if let Some(region) = region {
            headers.push(("X-TC-Region".into(), region.into()));
        }
        let answer = self.send("POST", "/", "", &headers, body.as_bytes()).await["Response"].take();
        let operation = find(Service::Cdb, action).expect("an operation of the contract");
        match answer["Error"]["Code"].as_str() {
            Some(code) => assert!(
                operation.may_answer(code),
                "{action} must not answer {code}: {answer}"
            ),
            None => {
                let wrong = contract::of_v3(action, &answer);
                assert!(wrong.is_empty(), "{action}: {wrong:#?} in {answer}");
            }
        }
        answer
    }

    pub async fn call(&self, action: &str, params: Value) -> Value {
        self.raw(&self.key, action, Some("ap-guangzhou"), &params)
            .await
    }

    /// A call that must succeed.
    pub async fn ok(&self, action: &str, params: Value) -> Value {
        let answer = self.call(action, params).await;
        assert!(answer.get("Error").is_none(), "{action}: {answer}");
        answer
    }

    /// Calls that must be refused, each with its code.
    pub async fn refused(&self, calls: &[(&str, Value, &str)]) {
        for (action, params, expect) in calls {
            let answer = self.call(action, params.clone()).await;
            assert_eq!(
                answer["Error"]["Code"], *expect,
                "{action} {params}: {answer}"
            );
        }
    }

    /// A signed call of the legacy API, as its SDK makes it.
    pub async fn legacy_by(&self, key: &KeyPair, action: &str, params: &[(&str, &str)]) -> Value {
        let all: Vec<(&str, &str)> = [("Action", action), ("Region", "gz")]
            .into_iter()
            .chain(params.iter().copied())
            .collect();
        let query = sign::qcloud(&ParamCall {
            key_id: &key.secret_id,
            secret: key.secret_key.expose(),
            token: None,
            sha256: false,
            method: "GET",
            host: HOST,
            nonce: self.nonce.fetch_add(1, Ordering::Relaxed),
            now: SystemClock.now(),
            params: &all,
        });
        let headers = [("Host".to_owned(), HOST.to_owned())];
        let answer = self
            .send("GET", "/v2/index.php", &query, &headers, b"")
            .await;
        for member in ["code", "message", "codeDesc"] {
            assert!(answer.get(member).is_some(), "{action}: {answer}");
        }
        if answer["codeDesc"] == "Success" {
            let wrong = contract::of_legacy(action, &answer);
            assert!(wrong.is_empty(), "{action}: {wrong:#?} in {answer}");
        }
        if let Some(number) = number(&answer) {
            let operation = find(Service::CdbV2, action).expect("an operation of the contract");
            assert!(
                operation.may_answer(number),
                "{action} must not answer {number}: {answer}"
            );
            assert_eq!(
                answer["codeDesc"].as_str(),
                operation.module_word(number),
                "{answer}"
            );
        }
        answer
    }

    pub async fn legacy(&self, action: &str, params: &[(&str, &str)]) -> Value {
        self.legacy_by(&self.key, action, params).await
    }

    /// A legacy call that must succeed.
    pub async fn legacy_ok(&self, action: &str, params: &[(&str, &str)]) -> Value {
        let answer = self.legacy(action, params).await;
        assert_eq!(answer["codeDesc"], "Success", "{action}: {answer}");
        answer
    }

    /// Legacy calls that must be refused, each with its number.
    pub async fn legacy_refused(&self, calls: &[LegacyCall<'_>]) {
        for (action, params, expect) in calls {
            let answer = self.legacy(action, params).await;
            assert_eq!(
                number(&answer),
                Some(*expect),
                "{action} {params:?}: {answer}"
            );
        }
    }

    /// Waits until what a call asked for is over, and says how it ended.
    pub async fn settled(&self, asked: &str) -> Value {
        let mut seen = Value::Null;
        for _ in 0..LOOKS {
            let params = json!({"AsyncRequestId": asked});
            seen = self.ok("DescribeAsyncRequestInfo", params).await;
            let moving = ["INITIAL", "RUNNING", "PAUSED"];
            if !moving.iter().any(|state| seen["Status"] == *state) {
                return seen;
            }
            tokio::time::sleep(PAUSE).await;
        }
        panic!("{asked} did not settle: {seen}");
    }

    /// Stops what works, and what follows.
    pub async fn stop(mut self) {
        self.hold_still().await;
        self.databases.stop_following().await;
        drop(self.folder);
    }
}

/// As many as may be needed, with [`PAUSE`] between them.
pub fn tries() -> std::ops::Range<u32> {
    0..LOOKS
}

/// The module's number in the message of a legacy refusal.
pub fn number(answer: &Value) -> Option<&str> {
    let message = answer["message"].as_str()?;
    message.strip_prefix('(')?.split_once(')').map(|(n, _)| n)
}

/// The first second of a server's clock in which nothing has been committed
/// yet, as the server writes it. What is committed from now on is after it.
pub fn moment(server: &PrivateServer) -> String {
    let at = |sql: &str| server.value(sql);
    let before = at("SELECT UNIX_TIMESTAMP()");
    loop {
        let row = server.query("SELECT UNIX_TIMESTAMP(), DATE_FORMAT(NOW(), '%Y-%m-%d %H:%i:%s')");
        let [now, text] = row[0].as_slice() else {
            panic!("a row of two");
        };
        if *now != before {
            return text.clone();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// All rows of a table, as text.
pub fn rows(server: &PrivateServer, table: &str) -> Vec<Vec<String>> {
    server.query(&format!("SELECT * FROM {table} ORDER BY id"))
}
