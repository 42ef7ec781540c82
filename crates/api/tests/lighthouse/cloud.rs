//! A server process without its listener.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use backout_accounts::{
    Accounts, KeyPair, Limiter, Limits, MasterKey, NONCES_MAX, Nonces, Principal, Vault,
};
use backout_api::audit;
use backout_api::front::{Front, Parts, Settings};
use backout_api::secrets::Sealed;
use backout_core::ids::{JobId, OsEntropy, RequestId};
use backout_core::outcome::Outcome;
use backout_core::time::{Clock, SystemClock};
use backout_databases::Databases;
use backout_disks::DriverKind;
use backout_faults::{Faults, NewRule, What};
use backout_jobs::{Jobs, Moment, Registry, Worker, WorkerConfig};
use backout_machines::Boot;
use backout_servers::model::PowerCommands;
use backout_servers::{Caller, NewBlueprint, NewDisk, NewServer, Runtime, Servers, Source};
use backout_shim::{Shim, Signal};
use backout_store::{Error as StoreError, Store};
use backout_wire::{Protocol, RawRequest, Service, find, sign};
use serde_json::{Value, json};

pub const NODE: &str = "test";
pub const HOST: &str = "127.0.0.1:7780";
pub const VERSION: &str = "2020-03-24";
pub const UNKNOWN_INSTANCE: &str = "lhins-00000000";
pub const UNKNOWN_SNAPSHOT: &str = "lhsnap-00000000";
pub const UNKNOWN_DISK: &str = "lhdisk-00000000";
pub const UNKNOWN_BACKUP: &str = "lhbak-00000000";
pub const UNKNOWN_BLUEPRINT: &str = "lhbp-00000000";
pub const MIB: u64 = 1 << 20;

/// How often is looked whether something came about, and after which pause: a
/// minute and more, for a host with other work.
const LOOKS: u32 = 1800;
const PAUSE: Duration = Duration::from_millis(50);

pub struct Cloud {
    folder: tempfile::TempDir,
    pub front: Front,
    pub accounts: Accounts,
    pub admin: Principal,
    pub key: KeyPair,
    pub store: Store,
    pub servers: Servers,
    pub jobs: Jobs,
    pub faults: Faults,
    pub worker: Option<Worker>,
    pub clock: Arc<dyn Clock>,
    /// Every refusal: by which operation, with which code.
    seen: Mutex<BTreeSet<(String, String)>>,
}

/// Well-formed ids.
pub fn many(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|i| format!("{prefix}{i:08}")).collect()
}

pub fn filter(name: &str, values: &Value) -> Value {
    json!({"Filters": [{"Name": name, "Values": values}]})
}

/// The texts `set[..].member`, sorted.
pub fn sorted(answer: &Value, set: &str, member: &str) -> Vec<String> {
    let mut out: Vec<String> = answer[set]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row[member].as_str().unwrap().to_owned())
        .collect();
    out.sort();
    out
}

/// The denied actions of one resource, with their codes.
pub fn denied(row: &Value) -> Vec<(String, String)> {
    row["DeniedActions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|d| {
            assert_ne!(d["Message"], "", "{d}");
            (
                d["Action"].as_str().unwrap().to_owned(),
                d["Code"].as_str().unwrap().to_owned(),
            )
        })
        .collect()
}

impl Cloud {
    pub async fn start() -> Self {
        let plenty = NonZeroU32::new(1000).unwrap();
        Self::with(
            Arc::new(SystemClock),
            Limits {
                default: plenty,
                ..Limits::default()
            },
        )
        .await
    }

    pub async fn with(clock: Arc<dyn Clock>, limits: Limits) -> Self {
        // No machine is started there, so nothing is supervised.
        Self::open(clock, limits, Shim::own(&["shim"])).await
    }

    /// One that can run machines.
    pub async fn with_machines() -> Self {
        let plenty = NonZeroU32::new(1000).unwrap();
        let limits = Limits {
            default: plenty,
            ..Limits::default()
        };
        let shim = backout_machines::testing::shim().unwrap();
        Self::open(Arc::new(SystemClock), limits, shim).await
    }

    async fn open(clock: Arc<dyn Clock>, limits: Limits, shim: Shim) -> Self {
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
        let entropy = Arc::new(OsEntropy);
        let accounts = Accounts::open(
            store.clone(),
            &MasterKey::from_bytes([7; 32]),
            clock.clone(),
            entropy.clone(),
        )
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
            Runtime::new(folder.path(), shim),
        );
        let registry = servers.register(Registry::new());
        let faults = Faults::open(store.clone(), clock.clone(), entropy.clone(), &registry)
            .await
            .unwrap();
        // None is in any of these tests.
        let sealed = Sealed::new(Vault::new(&MasterKey::from_bytes([7; 32])), entropy.clone());
        let databases = Databases::new(
            store.clone(),
            jobs.clone(),
            clock.clone(),
            entropy.clone(),
            NODE.to_owned(),
            backout_databases::Runtime::new(
                &folder.path().join("databases"),
                Shim::own(&["shim"]),
                Arc::new(sealed),
            ),
        );
        let front = Front::new(Parts {
            accounts: accounts.clone(),
            limiter: Arc::new(Limiter::new(clock.clone(), limits)),
            nonces: Arc::new(Nonces::new(clock.clone(), NONCES_MAX)),
            store: store.clone(),
            servers: servers.clone(),
            databases,
            faults: Some(faults.clone()),
            clock: clock.clone(),
            entropy,
            settings: Settings::default(),
        });
        let mut cloud = Self {
            folder,
            front,
            accounts,
            admin,
            key,
            store,
            servers,
            jobs,
            faults,
            worker: None,
            clock,
            seen: Mutex::default(),
        };
        cloud.go_on().await;
        cloud
    }

    pub async fn go_on(&mut self) {
        let registry = self.servers.register(Registry::new());
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

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub async fn add(&self, name: &str, commands: PowerCommands) -> String {
        let path = self.path(&format!("{name}.img"));
        std::fs::write(&path, vec![1_u8; 1 << 20]).unwrap();
        self.add_disk_of(name, path, DriverKind::Copy, commands)
            .await
    }

    pub async fn add_disk_of(
        &self,
        name: &str,
        disk: PathBuf,
        driver: DriverKind,
        commands: PowerCommands,
    ) -> String {
        let (server, job) = self
            .servers
            .add(
                &self.caller(),
                NewServer {
                    format: None,
                    name: name.to_owned(),
                    disk,
                    driver: Some(driver),
                    machine: None,
                    running: commands.stop.is_some(),
                    commands,
                    tags: Vec::new(),
                },
            )
            .await
            .unwrap();
        if self.worker.is_some() {
            self.ended(&job).await;
        }
        server.id.to_string()
    }

    /// The user's own commands of a server, which say what they did in
    /// `NAME.power`.
    pub fn commands(&self, name: &str) -> PowerCommands {
        let file = self.path(&format!("{name}.power"));
        let turn = |word: &str| Some(format!("echo {word} >> '{}'", file.display()));
        PowerCommands {
            start: turn("on"),
            stop: turn("off"),
        }
    }

    /// What the commands of a server did.
    pub fn switched(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(&format!("{name}.power")))
            .unwrap_or_default()
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// A data disk of 1 MiB, full of ones.
    pub async fn add_data_disk(&self, name: &str) -> String {
        let path = self.path(&format!("{name}.img"));
        std::fs::write(&path, vec![1_u8; 1 << 20]).unwrap();
        let (disk, job) = self
            .servers
            .add_disk(
                &self.caller(),
                NewDisk {
                    format: None,
                    name: name.to_owned(),
                    source: Source::File(path),
                    driver: Some(DriverKind::Copy),
                    tags: Vec::new(),
                },
            )
            .await
            .unwrap();
        if self.worker.is_some() {
            self.ended(&job).await;
        }
        disk.volume.id.to_string()
    }

    /// An image with nothing in it.
    pub async fn add_image(&self, name: &str, size_bytes: u64) -> String {
        let file = self.path(&format!("{name}.image"));
        std::fs::File::create(&file)
            .unwrap()
            .set_len(size_bytes)
            .unwrap();
        let new = NewBlueprint {
            format: None,
            name: name.to_owned(),
            description: "nothing to boot".to_owned(),
            file,
            boot: Boot::Disk,
            tags: Vec::new(),
        };
        let made = self.servers.add_blueprint(&self.caller(), new).await;
        made.unwrap().id.to_string()
    }

    pub fn caller(&self) -> Caller {
        Caller {
            account: self.admin.account.clone(),
            owner: self.admin.owner.clone(),
            request: RequestId::random(&OsEntropy),
            idempotency: None,
        }
    }

    pub async fn ended(&self, job: &JobId) -> Outcome {
        self.jobs
            .wait(job, Duration::from_secs(60))
            .await
            .unwrap()
            .outcome
            .expect("it ends")
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

    /// Lets a step of a job fail once, or its undo.
    pub async fn let_step_fail(&self, procedure: &str, step: &str, undo: bool) {
        let rule = NewRule {
            what: What::Step {
                procedure: procedure.to_owned(),
                step: step.to_owned(),
                undo,
                moment: Moment::AfterIntent,
            },
            message: None,
            resource: None,
            count: None,
            lasts_s: None,
        };
        self.faults.add(&self.admin.owner, rule).await.unwrap();
    }

    /// Damages the store: one statement, on one row.
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

    /// A signed call, as the Python SDK makes it.
    pub async fn raw(
        &self,
        key: &KeyPair,
        action: &str,
        version: &str,
        region: Option<&str>,
        body: &str,
    ) -> Value {
        let mut headers = sign::tc3(
            &key.secret_id,
            key.secret_key.expose(),
            key.token.as_ref().map(|t| t.expose()),
            "POST",
            "/",
            "",
            HOST,
            "application/json",
            body.as_bytes(),
            "lighthouse",
            self.clock.now(),
        );
        headers.push(("X-TC-Action".into(), action.into()));
        headers.push(("X-TC-Version".into(), version.into()));
        if let Some(region) = region {
            headers.push(("X-TC-Region".into(), region.into()));
        }
        let answer = self.send("POST", "/", "", &headers, body.as_bytes()).await;
        if let Some(operation) = find(Service::Lighthouse, action)
            && version == VERSION
        {
            if let Some(code) = answer["Error"]["Code"].as_str() {
                assert!(
                    operation.may_answer(code),
                    "{action} must not answer {code}: {answer}"
                );
                let refused = (action.to_owned(), code.to_owned());
                self.seen.lock().unwrap().insert(refused);
            } else {
                for member in operation.response.iter().filter(|m| m.always_present) {
                    assert!(
                        answer.get(member.name).is_some(),
                        "{action} answers {}: {answer}",
                        member.name
                    );
                }
            }
        }
        answer
    }

    /// The codes that an operation answered so far.
    pub fn seen(&self, action: &str) -> BTreeSet<String> {
        let seen = self.seen.lock().unwrap();
        seen.iter()
            .filter(|(a, _)| a == action)
            .map(|(_, code)| code.clone())
            .collect()
    }

    pub async fn send(
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
        let (reply, log) = self.front.handle(protocol, raw, false).await;
        assert_eq!(reply.status, 200, "always, for this vendor");
        let body: Value = serde_json::from_slice(&reply.body).unwrap();
        let response = body["Response"].clone();
        assert_eq!(response["RequestId"], log.request.0);
        response
    }

    pub async fn call(&self, action: &str, params: Value) -> Value {
        self.raw(
            &self.key,
            action,
            VERSION,
            Some("ap-guangzhou"),
            &params.to_string(),
        )
        .await
    }

    /// A call that must succeed.
    pub async fn ok(&self, action: &str, params: Value) -> Value {
        let answer = self.call(action, params).await;
        assert!(answer.get("Error").is_none(), "{action}: {answer}");
        answer
    }

    /// The code of a call that must be refused.
    pub async fn code(&self, action: &str, params: Value) -> String {
        let answer = self.call(action, params).await;
        answer["Error"]["Code"]
            .as_str()
            .unwrap_or_else(|| panic!("{action} was not refused: {answer}"))
            .to_owned()
    }

    /// Calls that must be refused, each with its code.
    pub async fn refused(&self, calls: &[(&str, Value, &str)]) {
        for (action, params, expect) in calls {
            assert_eq!(
                self.code(action, params.clone()).await,
                *expect,
                "{action} {params}"
            );
        }
    }

    /// The ended job that a call has made.
    pub async fn job_of(&self, answer: &Value) -> Outcome {
        let request = RequestId(answer["RequestId"].as_str().unwrap().to_owned());
        let found = self.jobs.find_by_request(&request).await.unwrap();
        self.ended(&found.expect("the call has made a job").id)
            .await
    }

    /// A call whose job must be applied.
    pub async fn done(&self, action: &str, params: Value) -> Value {
        let answer = self.ok(action, params).await;
        assert_eq!(self.job_of(&answer).await, Outcome::Applied, "{action}");
        answer
    }

    pub async fn snapshot(&self, instance: &str, name: &str) -> String {
        let made = self
            .ok(
                "CreateInstanceSnapshot",
                json!({"InstanceId": instance, "SnapshotName": name}),
            )
            .await;
        let id = made["SnapshotId"].as_str().unwrap().to_owned();
        if self.worker.is_some() {
            self.settled(&id).await;
        }
        id
    }

    pub async fn look(&self, snapshot: &str) -> Value {
        self.ok("DescribeSnapshots", json!({"SnapshotIds": [snapshot]}))
            .await["SnapshotSet"][0]
            .clone()
    }

    pub async fn settled(&self, snapshot: &str) -> Value {
        for _ in 0..LOOKS {
            let seen = self.look(snapshot).await;
            if seen["LatestOperationState"] != "OPERATING" {
                return seen;
            }
            tokio::time::sleep(PAUSE).await;
        }
        panic!("snapshot {snapshot} did not settle");
    }

    pub async fn backup(&self, disk: &str, name: &str) -> String {
        let params = json!({"DiskId": disk, "DiskBackupName": name});
        let made = self.ok("CreateDiskBackup", params).await;
        if self.worker.is_some() {
            assert_eq!(self.job_of(&made).await, Outcome::Applied);
        }
        made["DiskBackupId"].as_str().unwrap().to_owned()
    }

    pub async fn instance(&self, id: &str) -> Value {
        let seen = self
            .ok("DescribeInstances", json!({"InstanceIds": [id]}))
            .await;
        seen["InstanceSet"][0].clone()
    }

    /// Waits until an instance is in a state, and nobody works on it. A call on
    /// several has one job each, which end one after the other.
    pub async fn until(&self, id: &str, state: &str) -> Value {
        let mut seen = Value::Null;
        for _ in 0..LOOKS {
            seen = self.instance(id).await;
            if seen["InstanceState"] == state && seen["LatestOperationState"] != "OPERATING" {
                return seen;
            }
            tokio::time::sleep(PAUSE).await;
        }
        panic!("instance {id} is not {state}: {seen}");
    }

    pub async fn disk(&self, id: &str) -> Value {
        let seen = self.ok("DescribeDisks", json!({"DiskIds": [id]})).await;
        seen["DiskSet"][0].clone()
    }

    /// Waits until nobody works on a data disk.
    pub async fn disk_settled(&self, id: &str) {
        for _ in 0..LOOKS {
            if self.disk(id).await["LatestOperationState"] != "OPERATING" {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
        panic!("disk {id} did not settle");
    }

    pub async fn look_at_backup(&self, id: &str) -> Value {
        let params = json!({"DiskBackupIds": [id]});
        self.ok("DescribeDiskBackups", params).await["DiskBackupSet"][0].clone()
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        // A test that fails leaves no machine behind.
        let Ok(machines) = std::fs::read_dir(self.folder.path().join("machines")) else {
            return;
        };
        for machine in machines.flatten() {
            let _ = backout_shim::stop(&machine.path(), Signal::Kill, Duration::ZERO);
        }
    }
}
