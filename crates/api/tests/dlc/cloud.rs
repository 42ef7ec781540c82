//! A server process without its listener, with small real processes for engines.

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use backout_accounts::KeyPair;
use backout_core::fence::Fence;
use backout_core::ids::{EngineId, ImageId, JobId, OsEntropy, RecordId};
use backout_core::time::{Clock as _, SystemClock, Timestamp};
use backout_engines::model::{Config, Engine, EngineState, Kind, Mode, Operation, Record, Uses};
use backout_engines::persistence;
use backout_engines::{Engines, Runtime};
use backout_gateway::Host;
use backout_jobs::Registry;
use backout_shim::Shim;
use backout_store::Error as StoreError;
use backout_wire::Service;
use backout_workloads::process::{Config as ProcessesConfig, Processes};
use serde_json::{Value, json};

use crate::common::house::{self, Ground, House, NODE, V3, in_house, tries};
pub use crate::common::house::{text, with};
use crate::common::shape::Contract;

pub const VERSION: &str = "2021-01-25";
pub const REGION: &str = "ap-guangzhou";
/// An id that nothing has.
pub const UNKNOWN: &str = "DataEngine-00000000";

/// Between two looks at what is about to change.
const PAUSE: Duration = Duration::from_millis(15);

/// The light engine of this house is none of the vendor's.
static CONTRACT: LazyLock<Contract> = LazyLock::new(|| {
    let mut contract = Contract::read("dlc");
    contract.more_words = &[
        ("DescribeDataEngine", ".EngineType", "duckdb"),
        ("DescribeDataEngine", ".EngineType", "DuckDB"),
        ("DescribeDataEngine", ".ClusterType", "duckdb_cu"),
    ];
    contract
});

pub struct Cloud {
    house: House,
    pub engines: Engines,
    runtime: Runtime,
}

in_house!(Cloud, house);

/// Two versions, and an engine on record that was moved from the first to the
/// second; nothing of it runs.
pub struct Moved {
    pub engine: String,
    pub before: String,
    pub now: String,
}

impl Cloud {
    /// One whose jobs stand still.
    pub async fn still() -> Self {
        let ground = Ground::open(Arc::new(SystemClock), &house::nothing_runs()).await;
        let runtime = runtime(&ground);
        let engines = Engines::new(
            ground.store.clone(),
            ground.jobs.clone(),
            ground.clock.clone(),
            ground.entropy.clone(),
            NODE.to_owned(),
            runtime.clone(),
        );
        let registry = engines.register(ground.registry());
        let join = |front: backout_api::front::Front| front.with_engines(engines.clone());
        let house = House::open(ground, &registry, house::plenty(), join).await;
        Self {
            house,
            engines,
            runtime,
        }
    }

    /// One that does what is asked.
    pub async fn start() -> Self {
        let mut cloud = Self::still().await;
        cloud.go_on().await;
        cloud
    }

    pub async fn go_on(&mut self) {
        let registry = self.engines.register(Registry::new());
        self.work(registry).await;
    }

    /// Adds an entry to the catalogue, or replaces the one of that version, and
    /// gives the id of the version.
    pub async fn entry(&self, version: &str, kind: &str, more: &str) -> String {
        let text = entry(version, kind, more);
        let added = self.engines.add_image(&self.caller(), &text).await;
        added.unwrap().listed.id.to_string()
    }

    /// An engine on record, of which nothing runs, and which nothing has been
    /// done to.
    pub async fn record(
        &self,
        name: &str,
        image: &str,
        change: impl FnOnce(&mut Engine),
    ) -> String {
        let now = SystemClock.now();
        let mut engine = Engine {
            id: EngineId::random(&OsEntropy),
            owner: self.owner().clone(),
            creator: self.owner().clone(),
            name: name.to_owned(),
            node: NODE.to_owned(),
            kind: Kind::SparkSql,
            exec_type: "SQL".to_owned(),
            mode: Mode::PayAsYouGo,
            pay_mode: 0,
            state: EngineState::Running,
            description: String::new(),
            size: 1,
            clusters: (1, 1),
            port: 1,
            instance: None,
            changes: 0,
            tags: Vec::new(),
            kept: std::collections::BTreeMap::new(),
            created: now,
            updated: now,
        };
        change(&mut engine);
        let id = engine.id.to_string();
        let uses = uses(image);
        let first = self.record_of(&engine, Operation::InitImage, &uses, engine.created);
        self.store
            .write::<_, StoreError>(move |tx| {
                persistence::insert_engine(tx, &engine, &uses, &Config::default())?;
                persistence::append_record(tx, first)
            })
            .await
            .unwrap();
        id
    }

    fn record_of(
        &self,
        engine: &Engine,
        operation: Operation,
        uses: &Uses,
        at: Timestamp,
    ) -> Record {
        Record {
            id: RecordId::random(&OsEntropy),
            engine: engine.id.clone(),
            number: 0,
            operation,
            before: None,
            restored: None,
            uses: uses.clone(),
            config: Config::default(),
            size: engine.size,
            job: JobId::random(&OsEntropy),
            at,
        }
    }

    /// Writes down that an engine on record was given another version, or
    /// another size.
    pub async fn moved_to(&self, engine: &str, operation: Operation, image: &str, size: u32) {
        let mut engine = self.engines.get(self.owner(), engine).await.unwrap();
        engine.size = size;
        let uses = uses(image);
        let record = self.record_of(&engine, operation, &uses, SystemClock.now());
        self.store
            .write::<_, StoreError>(move |tx| {
                persistence::set_uses(tx, &engine.id, &uses)?;
                persistence::update_engine(tx, &engine)?;
                persistence::append_record(tx, record)
            })
            .await
            .unwrap();
    }

    /// An engine of that name with two versions of its own.
    pub async fn moved(&self, name: &str) -> Moved {
        let before = self.entry(&format!("{name}-1"), "SparkSQL", "").await;
        let now = self.entry(&format!("{name}-2"), "SparkSQL", "").await;
        let engine = self.record(name, &before, |_| {}).await;
        self.moved_to(&engine, Operation::SwitchImage, &now, 1)
            .await;
        Moved {
            engine,
            before,
            now,
        }
    }

    /// Changes rows of the store.
    pub async fn rows(&self, sql: &'static str, id: &str) {
        let id = id.to_owned();
        self.store
            .write::<_, StoreError>(move |tx| {
                assert!(tx.execute(sql, &[id.as_str().into()])? > 0, "{sql}");
                Ok(())
            })
            .await
            .unwrap();
    }

    /// The answer of a call.
    pub async fn call_by(
        &self,
        key: &KeyPair,
        action: &str,
        region: Option<&str>,
        params: &Value,
    ) -> Value {
        let body = params.to_string();
        let call = V3 {
            service: Service::Dlc,
            contract: &CONTRACT,
            key,
            action,
            version: VERSION,
            region,
            body: &body,
        };
        self.v3(&call).await.0
    }

    pub async fn call(&self, action: &str, params: &Value) -> Value {
        self.call_by(&self.key, action, Some(REGION), params).await
    }

    /// A call that must succeed.
    pub async fn ok(&self, action: &str, params: Value) -> Value {
        let answer = self.call(action, &params).await;
        assert!(answer.get("Error").is_none(), "{action} {params}: {answer}");
        answer
    }

    /// Calls that must be refused, each with its code.
    pub async fn refused(&self, calls: &[(&str, Value, &str)]) {
        for (action, params, code) in calls {
            let answer = self.call(action, params).await;
            assert_eq!(code_of(&answer), *code, "{action} {params}: {answer}");
        }
    }

    /// An engine by name.
    pub async fn look(&self, name: &str) -> Value {
        let params = json!({"DataEngineName": name});
        self.ok("DescribeDataEngine", params).await["DataEngine"].take()
    }

    /// Waits until no job works on an engine.
    pub async fn settled(&self, name: &str) -> Value {
        let mut seen = Value::Null;
        for _ in tries() {
            seen = self.look(name).await;
            if seen["State"] != 0 {
                return seen;
            }
            tokio::time::sleep(PAUSE).await;
        }
        panic!("{name} does not settle: {seen}");
    }

    /// Waits until an engine is gone.
    pub async fn gone(&self, name: &str) {
        let params = json!({"DataEngineName": name});
        for _ in tries() {
            let answer = self.call("DescribeDataEngine", &params).await;
            if answer["Error"]["Code"] == "ResourceNotFound.DataEngineNotFound" {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
        panic!("{name} is still there");
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        // A test that fails leaves no engine behind.
        self.house.abandon();
        let processes = &self.runtime.processes;
        for id in processes.list(None, 100).unwrap_or_default() {
            let _ = processes.stop(Fence(i64::MAX), &id, Duration::ZERO);
        }
        house::end_all(&self.runtime.folder.join("gateways"));
    }
}

/// The code of a refusal.
pub fn code_of(answer: &Value) -> &str {
    answer["Error"]["Code"].as_str().unwrap_or("none")
}

/// An entry of the catalogue for a small process that answers with its version;
/// one of the version `broken` never says that it is well.
fn entry(version: &str, kind: &str, more: &str) -> String {
    let program = program().to_string_lossy().into_owned();
    let usual = |line: &'static str| {
        let name = line.split(' ').next().unwrap_or_default();
        let given = more.lines().any(|l| l.starts_with(&format!("{name} =")));
        if given { "" } else { line }
    };
    let broken = match version {
        "broken" => ", \"broken\"",
        _ => "",
    };
    format!(
        "version = {version:?}\nkind = {kind:?}\ndriver = \"http\"\nhealth_http = \"/health\"\n\
         {}{}command = [{program:?}, \"engine\", \"{{port}}\", {version:?}{broken}]\n{more}",
        usual("state = \"online\"\n"),
        usual("start_s = 20\n"),
    )
}

fn uses(image: &str) -> Uses {
    let parent: ImageId = image.parse().unwrap();
    Uses {
        parent,
        child: None,
        python: None,
    }
}

/// What the tests of engines run.
fn program() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    own.ancestors()
        .skip(1)
        .map(|folder| folder.join("engines-testing"))
        .find(|program| program.is_file())
        .expect("build it with cargo build -p backout-engines --all-features")
}

fn runtime(ground: &Ground) -> Runtime {
    let shim = Shim {
        program: program(),
        args: vec!["shim".into()],
    };
    let config = ProcessesConfig::new(ground.path("processes"), shim.clone());
    let gateways = Host {
        shim,
        program: program(),
        args: vec!["gateway".to_owned()],
    };
    let processes = Arc::new(Processes::open(config).unwrap());
    let mut runtime = Runtime::open(&ground.path("engines"), processes, gateways).unwrap();
    runtime.drain_ms = 20_000;
    runtime.grace_ms = 2000;
    runtime.settle_ms = 50;
    runtime
}
