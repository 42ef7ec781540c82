//! A server process without its listener.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use backout_accounts::KeyPair;
use backout_core::ids::{DatabaseId, JobId, OsEntropy};
use backout_core::outcome::Outcome;
use backout_core::time::{Clock as _, SystemClock, Timestamp};
use backout_databases::NewInstance;
use backout_databases::model::{
    Address, BackupConfig, Detail, Facts, Instance, InstanceState, Kind, LocalLogs, Shape,
    Standing, Task, TaskKind,
};
use backout_databases::persistence;
use backout_jobs::Registry;
use backout_mariadb::testing::PrivateServer;
use backout_shim::Shim;
use backout_store::Error as StoreError;
use backout_wire::sign::{self, ParamCall};
use backout_wire::{Service, find};
use serde_json::{Value, json};

use crate::common::house::{self, Ground, HOST, House, NODE, V3, in_house};
pub use crate::common::house::{PAUSE, tries};
use crate::contract;

pub const VERSION: &str = "2017-03-20";
pub const UNKNOWN: &str = "cdb-00000000";
/// A well-formed id of work that nobody asked for.
pub const UNKNOWN_ASKED: &str = "00000000-00000000-00000000-00000000";

/// A call of the legacy API with its parameters, and the number that refuses it.
pub type LegacyCall<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);

pub struct Cloud {
    house: House,
    nonce: AtomicU64,
}

in_house!(Cloud, house);

impl Cloud {
    /// One whose jobs stand still.
    pub async fn still() -> Self {
        // Nothing is run there, so nothing is supervised.
        Self::open(&house::nothing_runs()).await
    }

    /// As [`Cloud::still`], which looks at servers for a moment only.
    pub async fn hurried() -> Self {
        let mut ground = Ground::open(Arc::new(SystemClock), &house::nothing_runs()).await;
        ground.databases = ground.databases.looking_for(PAUSE);
        let registry = ground.registry();
        Self::of(House::open(ground, &registry, house::plenty(), |front| front).await)
    }

    /// One that does what is asked.
    pub async fn start() -> Self {
        let mut cloud = Self::open(&backout_mariadb::testing::shim().unwrap()).await;
        cloud.go_on().await;
        cloud
    }

    pub async fn go_on(&mut self) {
        let registry = self.databases.register(Registry::new());
        self.work(registry).await;
    }

    async fn open(shim: &Shim) -> Self {
        let clock = Arc::new(SystemClock);
        Self::of(House::plain(clock, house::plenty(), shim).await)
    }

    fn of(house: House) -> Self {
        Self {
            house,
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
            request: Ground::request(),
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
        for _ in tries() {
            let tended = self.databases.tend().await.unwrap();
            if tended.following > 0 {
                return asked.instance.to_string();
            }
            tokio::time::sleep(PAUSE).await;
        }
        panic!("the history of {name} is not followed");
    }

    /// A key of an account of the owner, which may do what `statements` say.
    pub async fn limited(&self, name: &str, statements: &Value) -> KeyPair {
        let policy = json!({"version": "2.0", "statement": statements});
        self.house.limited(name, &policy).await
    }

    /// A signed call of API 3.0.
    pub async fn raw(
        &self,
        key: &KeyPair,
        action: &str,
        region: Option<&str>,
        params: &Value,
    ) -> Value {
        self.v3(&V3 {
            service: Service::Cdb,
            contract: &contract::V3,
            key,
            action,
            version: VERSION,
            region,
            body: &params.to_string(),
        })
        .await
        .0
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
        let path = "/v2/index.php";
        let (reply, _) = self.send("GET", path, &query, &headers, b"").await;
        assert_eq!(reply.status, 200, "always, for this vendor");
        let answer: Value = serde_json::from_slice(&reply.body).unwrap();
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
        for _ in tries() {
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
    }
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
