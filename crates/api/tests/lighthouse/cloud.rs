//! A server process without its listener.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};

use backout_accounts::{KeyPair, Limits};
use backout_core::outcome::Outcome;
use backout_core::time::{Clock, SystemClock};
use backout_disks::DriverKind;
use backout_jobs::Registry;
use backout_machines::Boot;
use backout_servers::model::PowerCommands;
use backout_servers::{NewBlueprint, NewDisk, NewServer, Source};
use backout_shim::Shim;
use backout_wire::Service;
use serde_json::{Value, json};

use crate::common::house::{self, House, PAUSE, V3, in_house, tries};
pub use crate::common::house::{HOST, sorted};
use crate::common::shape::Contract;

pub const VERSION: &str = "2020-03-24";
pub const UNKNOWN_INSTANCE: &str = "lhins-00000000";
pub const UNKNOWN_SNAPSHOT: &str = "lhsnap-00000000";
pub const UNKNOWN_DISK: &str = "lhdisk-00000000";
pub const UNKNOWN_BACKUP: &str = "lhbak-00000000";
pub const UNKNOWN_BLUEPRINT: &str = "lhbp-00000000";
pub const MIB: u64 = 1 << 20;

static CONTRACT: LazyLock<Contract> = LazyLock::new(|| Contract::read("lighthouse"));

pub struct Cloud {
    house: House,
    /// Every refusal: by which operation, with which code.
    seen: Mutex<BTreeSet<(String, String)>>,
}

in_house!(Cloud, house);

/// Well-formed ids.
pub fn many(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|i| format!("{prefix}{i:08}")).collect()
}

pub fn filter(name: &str, values: &Value) -> Value {
    json!({"Filters": [{"Name": name, "Values": values}]})
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
        Self::with(Arc::new(SystemClock), house::plenty()).await
    }

    pub async fn with(clock: Arc<dyn Clock>, limits: Limits) -> Self {
        // No machine is started there, so nothing is supervised.
        Self::open(clock, limits, &house::nothing_runs()).await
    }

    /// One that can run machines.
    pub async fn with_machines() -> Self {
        let shim = backout_machines::testing::shim().unwrap();
        Self::open(Arc::new(SystemClock), house::plenty(), &shim).await
    }

    async fn open(clock: Arc<dyn Clock>, limits: Limits, shim: &Shim) -> Self {
        let mut cloud = Self {
            house: House::plain(clock, limits, shim).await,
            seen: Mutex::default(),
        };
        cloud.go_on().await;
        cloud
    }

    pub async fn go_on(&mut self) {
        let registry = self.servers.register(Registry::new());
        self.work(registry).await;
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
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
        if self.works() {
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
        if self.works() {
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

    /// A signed call, as the Python SDK makes it.
    pub async fn raw(
        &self,
        key: &KeyPair,
        action: &str,
        version: &str,
        region: Option<&str>,
        body: &str,
    ) -> Value {
        let (answer, _) = self
            .v3(&V3 {
                service: Service::Lighthouse,
                contract: &CONTRACT,
                key,
                action,
                version,
                region,
                body,
            })
            .await;
        if let Some(code) = answer["Error"]["Code"].as_str() {
            let refused = (action.to_owned(), code.to_owned());
            self.seen.lock().unwrap().insert(refused);
        }
        answer
    }

    /// The answer to bytes.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        query: &str,
        headers: &[(String, String)],
        body: &[u8],
    ) -> Value {
        let sent = self.house.send(method, path, query, headers, body);
        let (reply, _) = sent.await;
        assert_eq!(reply.status, 200, "always, for this vendor");
        let mut body: Value = serde_json::from_slice(&reply.body).unwrap();
        body["Response"].take()
    }

    /// The codes that an operation answered so far.
    pub fn seen(&self, action: &str) -> BTreeSet<String> {
        let seen = self.seen.lock().unwrap();
        seen.iter()
            .filter(|(a, _)| a == action)
            .map(|(_, code)| code.clone())
            .collect()
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

    /// How the job ended that a call has made.
    pub async fn outcome_of(&self, answer: &Value) -> Outcome {
        self.job_of(answer).await.outcome.expect("it is over")
    }

    /// A call whose job must be applied.
    pub async fn done(&self, action: &str, params: Value) -> Value {
        let answer = self.ok(action, params).await;
        assert_eq!(self.outcome_of(&answer).await, Outcome::Applied, "{action}");
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
        if self.works() {
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
        for _ in tries() {
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
        if self.works() {
            assert_eq!(self.outcome_of(&made).await, Outcome::Applied);
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
        for _ in tries() {
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
        for _ in tries() {
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
        self.abandon();
        house::end_all(&self.path("machines"));
    }
}
