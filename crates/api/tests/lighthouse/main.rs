//! Lighthouse through the whole way of a vendor's call: bytes in, bytes out.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use backout_accounts::{
    Accounts, KeyPair, Limiter, Limits, MasterKey, NONCES_MAX, Nonces, Principal,
};
use backout_api::audit;
use backout_api::front::{Front, Parts, Settings};
use backout_core::ids::OsEntropy;
use backout_core::outcome::Outcome;
use backout_core::time::{Clock, ManualClock, SystemClock, Timestamp};
use backout_disks::DriverKind;
use backout_jobs::{Jobs, Registry, Worker, WorkerConfig};
use backout_servers::model::PowerCommands;
use backout_servers::{Caller, NewServer, Runtime, Servers};
use backout_shim::Shim;
use backout_store::Store;
use backout_wire::sign::{self, ParamCall};
use backout_wire::{Protocol, RawRequest, Service, operations_of};
use serde_json::{Value, json};

const NODE: &str = "test";
const HOST: &str = "127.0.0.1:7780";
const VERSION: &str = "2020-03-24";

/// A server process without its listener.
struct Cloud {
    folder: tempfile::TempDir,
    front: Front,
    accounts: Accounts,
    admin: Principal,
    key: KeyPair,
    servers: Servers,
    jobs: Jobs,
    worker: Option<Worker>,
    clock: Arc<dyn Clock>,
}

impl Cloud {
    async fn start() -> Self {
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

    async fn with(clock: Arc<dyn Clock>, limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let migrations = [
            backout_accounts::MIGRATIONS,
            backout_jobs::MIGRATIONS,
            backout_servers::MIGRATIONS,
            audit::MIGRATIONS,
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
            Runtime::new(folder.path(), Shim::own(&["shim"])),
        );
        let front = Front::new(Parts {
            accounts: accounts.clone(),
            limiter: Arc::new(Limiter::new(clock.clone(), limits)),
            nonces: Arc::new(Nonces::new(clock.clone(), NONCES_MAX)),
            store,
            servers: servers.clone(),
            faults: None,
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
            servers,
            jobs,
            worker: None,
            clock,
        };
        cloud.go_on().await;
        cloud
    }

    async fn go_on(&mut self) {
        let registry = self.servers.register(Registry::new());
        self.worker = Some(
            Worker::start(&self.jobs, registry, WorkerConfig::new(NODE))
                .await
                .unwrap(),
        );
    }

    /// No job goes on from here.
    async fn hold_still(&mut self) {
        if let Some(worker) = self.worker.take() {
            worker.stop().await;
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn add(&self, name: &str, commands: PowerCommands) -> String {
        let path = self.path(&format!("{name}.img"));
        std::fs::write(&path, vec![1_u8; 1 << 20]).unwrap();
        let (server, job) = self
            .servers
            .add(
                &self.caller(),
                NewServer {
                    name: name.to_owned(),
                    disk: path,
                    driver: Some(DriverKind::Copy),
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

    fn caller(&self) -> Caller {
        Caller {
            account: self.admin.account.clone(),
            owner: self.admin.owner.clone(),
            request: backout_core::ids::RequestId::random(&OsEntropy),
            idempotency: None,
        }
    }

    async fn ended(&self, job: &backout_core::ids::JobId) -> Outcome {
        self.jobs
            .wait(job, Duration::from_secs(60))
            .await
            .unwrap()
            .outcome
            .expect("it ends")
    }

    /// A signed call, as the Python SDK makes it.
    async fn raw(
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
        self.send("POST", "/", "", &headers, body.as_bytes()).await
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
        let (reply, log) = self.front.handle(protocol, raw, false).await;
        assert_eq!(reply.status, 200, "always, for this vendor");
        let body: Value = serde_json::from_slice(&reply.body).unwrap();
        let response = body["Response"].clone();
        assert_eq!(response["RequestId"], log.request.0);
        response
    }

    async fn call(&self, action: &str, params: Value) -> Value {
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
    async fn ok(&self, action: &str, params: Value) -> Value {
        let answer = self.call(action, params).await;
        assert!(answer.get("Error").is_none(), "{action}: {answer}");
        answer
    }

    /// The code of a call that must be refused.
    async fn code(&self, action: &str, params: Value) -> String {
        let answer = self.call(action, params).await;
        answer["Error"]["Code"]
            .as_str()
            .unwrap_or_else(|| panic!("{action} was not refused: {answer}"))
            .to_owned()
    }

    async fn snapshot(&self, instance: &str, name: &str) -> String {
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

    async fn look(&self, snapshot: &str) -> Value {
        self.ok("DescribeSnapshots", json!({"SnapshotIds": [snapshot]}))
            .await["SnapshotSet"][0]
            .clone()
    }

    async fn settled(&self, snapshot: &str) -> Value {
        for _ in 0..600 {
            let seen = self.look(snapshot).await;
            if seen["LatestOperationState"] != "OPERATING" {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("snapshot {snapshot} did not settle");
    }
}

const UNKNOWN_INSTANCE: &str = "lhins-00000000";
const UNKNOWN_SNAPSHOT: &str = "lhsnap-00000000";

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_goes_back_and_forth() {
    let cloud = Cloud::start().await;
    let web = cloud.add("web", PowerCommands::default()).await;
    let disk = cloud.path("web.img");
    let first = cloud.snapshot(&web, "first").await;
    std::fs::write(&disk, vec![2_u8; 1 << 20]).unwrap();
    let second = cloud.snapshot(&web, "second").await;
    std::fs::write(&disk, vec![3_u8; 1 << 20]).unwrap();

    let applied = cloud
        .ok(
            "ApplyInstanceSnapshot",
            json!({"InstanceId": web, "SnapshotId": first}),
        )
        .await;
    let seen = cloud.settled(&first).await;
    assert_eq!(std::fs::read(&disk).unwrap(), vec![1_u8; 1 << 20]);
    assert_eq!(seen["LatestOperation"], "RollbackInstanceSnapshot");
    assert_eq!(seen["LatestOperationState"], "SUCCESS");
    assert_eq!(seen["LatestOperationRequestId"], applied["RequestId"]);
    assert_eq!(
        (&seen["SnapshotState"], &seen["Percent"]),
        (&json!("NORMAL"), &json!(100))
    );
    assert_eq!(
        (&seen["DiskUsage"], &seen["DiskSize"]),
        (&json!("SYSTEM_DISK"), &json!(1))
    );

    let instance = cloud
        .ok("DescribeInstances", json!({"InstanceIds": [web]}))
        .await["InstanceSet"][0]
        .clone();
    assert_eq!(instance["LatestOperation"], "ApplyInstanceSnapshot");
    assert_eq!(instance["LatestOperationRequestId"], applied["RequestId"]);
    assert_eq!(
        instance["InstanceState"], "STOPPED",
        "a disk that stands alone"
    );
    assert_eq!(instance["SystemDisk"]["DiskId"], seen["DiskId"]);

    // The newer snapshot survived, and the safety point is not a vendor's.
    let list = cloud.ok("DescribeSnapshots", json!({})).await;
    assert_eq!(list["TotalCount"], 2);
    cloud
        .ok(
            "ApplyInstanceSnapshot",
            json!({"InstanceId": web, "SnapshotId": second}),
        )
        .await;
    cloud.settled(&second).await;
    assert_eq!(std::fs::read(&disk).unwrap(), vec![2_u8; 1 << 20]);

    // And the first rollback can be taken back, to what it replaced.
    let request = backout_core::ids::RequestId(applied["RequestId"].as_str().unwrap().to_owned());
    let job = cloud
        .jobs
        .find_by_request(&request)
        .await
        .unwrap()
        .expect("the call's job is found by its id");
    let undo = cloud.servers.undo(&cloud.caller(), &job.id).await.unwrap();
    assert_eq!(cloud.ended(&undo).await, Outcome::Applied);
    assert_eq!(std::fs::read(&disk).unwrap(), vec![3_u8; 1 << 20]);

    cloud
        .ok("DeleteSnapshots", json!({"SnapshotIds": [first, second]}))
        .await;
    assert_eq!(
        cloud.ok("DescribeSnapshots", json!({})).await["TotalCount"],
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_seed_s_own_example_works() {
    let cloud = Cloud::start().await;
    let web = cloud.add("web", PowerCommands::default()).await;
    let snapshot = cloud.snapshot(&web, "first").await;
    // A signed GET, without Region, in both digests.
    for (nonce, sha256) in [(1, false), (2, true)] {
        let call = ParamCall {
            key_id: &cloud.key.secret_id,
            secret: cloud.key.secret_key.expose(),
            token: None,
            sha256,
            method: "GET",
            host: HOST,
            nonce,
            now: cloud.clock.now(),
            params: &[
                ("Action", "ApplyInstanceSnapshot"),
                ("Version", VERSION),
                ("InstanceId", &web),
                ("SnapshotId", &snapshot),
            ],
        };
        let query = sign::v1(&call);
        let headers = [("Host".to_owned(), HOST.to_owned())];
        let answer = cloud.send("GET", "/", &query, &headers, b"").await;
        assert!(answer.get("Error").is_none(), "{answer}");
        cloud.settled(&snapshot).await;
        // The very same request again is a replay.
        let again = cloud.send("GET", "/", &query, &headers, b"").await;
        assert_eq!(again["Error"]["Code"], "AuthFailure.SignatureExpire");
    }
}

/// SEMANTICS section 4, "which error when".
#[tokio::test(flavor = "multi_thread")]
async fn refusals_have_their_codes() {
    let mut cloud = Cloud::start().await;
    let web = cloud.add("web", PowerCommands::default()).await;
    let other = cloud.add("other", PowerCommands::default()).await;
    let good = cloud.snapshot(&web, "good").await;
    let foreign = cloud.snapshot(&other, "foreign").await;
    let apply =
        |instance: &str, snapshot: &str| json!({"InstanceId": instance, "SnapshotId": snapshot});

    for (params, expect) in [
        (
            apply("web", &good),
            "InvalidParameterValue.InstanceIdMalformed",
        ),
        (
            apply("lhins-K31C771O", &good),
            "InvalidParameterValue.InstanceIdMalformed",
        ),
        (
            apply(&web, "lhsnap-"),
            "InvalidParameterValue.SnapshotIdMalformed",
        ),
        (apply(&web, ""), "InvalidParameterValue.SnapshotIdMalformed"),
        (
            apply(UNKNOWN_INSTANCE, &good),
            "ResourceNotFound.InstanceIdNotFound",
        ),
        (
            apply(&web, UNKNOWN_SNAPSHOT),
            "ResourceNotFound.SnapshotIdNotFound",
        ),
        (apply(&web, &foreign), "ResourceNotFound.SnapshotNotFound"),
        (json!({"InstanceId": web}), "MissingParameter"),
        (
            json!({"InstanceId": web, "SnapshotId": null}),
            "MissingParameter",
        ),
        (
            json!({"InstanceId": [web], "SnapshotId": good}),
            "InvalidParameter",
        ),
        (
            json!({"InstanceId": web, "SnapshotId": good, "Force": true}),
            "UnknownParameter",
        ),
    ] {
        assert_eq!(
            cloud.code("ApplyInstanceSnapshot", params.clone()).await,
            expect,
            "{params}"
        );
    }

    // The disk itself.
    let disk = cloud.path("web.img");
    std::fs::write(&disk, vec![1_u8; 2 << 20]).unwrap();
    assert_eq!(
        cloud
            .code("ApplyInstanceSnapshot", apply(&web, &good))
            .await,
        "InvalidParameterValue.DiskSizeNotMatch"
    );
    std::fs::write(&disk, vec![1_u8; 1 << 20]).unwrap();
    let elsewhere = cloud.path("elsewhere.img");
    std::fs::rename(&disk, &elsewhere).unwrap();
    assert_eq!(
        cloud
            .code("ApplyInstanceSnapshot", apply(&web, &good))
            .await,
        "ResourceNotFound.DiskNotFound"
    );
    std::fs::rename(&elsewhere, &disk).unwrap();
    let mut holder = std::process::Command::new("sleep")
        .arg("600")
        .stdout(
            std::fs::OpenOptions::new()
                .append(true)
                .open(&disk)
                .unwrap(),
        )
        .spawn()
        .unwrap();
    assert_eq!(
        cloud
            .code("ApplyInstanceSnapshot", apply(&web, &good))
            .await,
        "UnsupportedOperation.DiskBusy"
    );
    holder.kill().unwrap();
    holder.wait().unwrap();
    let points = cloud.path("web.img.backout");
    let hidden = cloud.path("hidden");
    std::fs::rename(&points, &hidden).unwrap();
    assert_eq!(
        cloud
            .code("ApplyInstanceSnapshot", apply(&web, &good))
            .await,
        "ResourceNotFound.SnapshotNotFound"
    );
    std::fs::rename(&hidden, &points).unwrap();

    // While a job is under way.
    cloud.hold_still().await;
    let making = cloud.snapshot(&web, "making").await;
    assert_eq!(cloud.look(&making).await["SnapshotState"], "CREATING");
    assert_eq!(
        cloud
            .code("ApplyInstanceSnapshot", apply(&web, &good))
            .await,
        "UnsupportedOperation.LatestOperationUnfinished"
    );
    assert_eq!(
        cloud
            .code("CreateInstanceSnapshot", json!({"InstanceId": web}))
            .await,
        "UnsupportedOperation.LatestOperationUnfinished"
    );
    assert_eq!(
        cloud
            .code("DeleteSnapshots", json!({"SnapshotIds": [making]}))
            .await,
        "UnsupportedOperation.InvalidSnapshotState"
    );
    assert_eq!(
        cloud
            .code("DeleteSnapshots", json!({"SnapshotIds": [good]}))
            .await,
        "UnsupportedOperation.SnapshotBusy"
    );
    cloud.go_on().await;
    cloud.settled(&making).await;

    // A rollback under way, as the vendor's sample of denied actions has it.
    cloud.hold_still().await;
    cloud.ok("ApplyInstanceSnapshot", apply(&web, &good)).await;
    assert_eq!(cloud.look(&good).await["SnapshotState"], "ROLLBACKING");
    let denied = cloud
        .ok(
            "DescribeSnapshotsDeniedActions",
            json!({"SnapshotIds": [good]}),
        )
        .await;
    let actions = denied["SnapshotDeniedActionSet"][0]["DeniedActions"]
        .as_array()
        .unwrap();
    let codes: Vec<_> = actions
        .iter()
        .map(|a| (a["Action"].as_str().unwrap(), a["Code"].as_str().unwrap()))
        .collect();
    assert_eq!(
        codes,
        [
            (
                "RollbackInstanceSnapshot",
                "UnsupportedOperation.DiskLatestOperationUnfinished"
            ),
            (
                "DeleteSnapshots",
                "UnsupportedOperation.InvalidSnapshotState"
            ),
        ]
    );
    // A snapshot of another server refuses nothing.
    let denied = cloud
        .ok(
            "DescribeSnapshotsDeniedActions",
            json!({"SnapshotIds": [foreign]}),
        )
        .await;
    assert_eq!(
        denied["SnapshotDeniedActionSet"][0]["DeniedActions"],
        json!([])
    );
    let new = cloud.add("new", PowerCommands::default()).await;
    assert_eq!(
        cloud
            .code("CreateInstanceSnapshot", json!({"InstanceId": new}))
            .await,
        "OperationDenied.InstanceCreating"
    );
    let pending = cloud
        .ok("DescribeInstances", json!({"InstanceIds": [new]}))
        .await;
    assert_eq!(pending["InstanceSet"][0]["InstanceState"], "PENDING");
    cloud.go_on().await;
    cloud.settled(&good).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_filtered_and_paged() {
    let cloud = Cloud::start().await;
    let web = cloud.add("web", PowerCommands::default()).await;
    let db = cloud.add("db", PowerCommands::default()).await;
    let a = cloud.snapshot(&web, "a").await;
    let b = cloud.snapshot(&web, "b").await;
    let c = cloud.snapshot(&db, "c").await;
    let tagged = cloud
        .ok(
            "CreateInstanceSnapshot",
            json!({"InstanceId": db, "Tags": [{"Key": "env", "Value": "prod"}]}),
        )
        .await["SnapshotId"]
        .as_str()
        .unwrap()
        .to_owned();
    let seen = cloud.settled(&tagged).await;
    assert!(
        seen["SnapshotName"].as_str().unwrap().starts_with("db-"),
        "{seen}"
    );
    let disk = cloud.look(&a).await["DiskId"].clone();

    let ids = |answer: &Value| -> Vec<String> {
        let mut ids: Vec<_> = answer["SnapshotSet"]
            .as_array()
            .unwrap()
            .iter()
            .map(|s| s["SnapshotId"].as_str().unwrap().to_owned())
            .collect();
        ids.sort();
        ids
    };
    let sorted = |list: &[&String]| {
        let mut list: Vec<String> = list.iter().map(|s| (*s).clone()).collect();
        list.sort();
        list
    };
    let filter = |name: &str, values: Value| json!({"Filters": [{"Name": name, "Values": values}]});
    for (params, expect) in [
        (json!({}), sorted(&[&a, &b, &c, &tagged])),
        (json!({"SnapshotIds": [a, c]}), sorted(&[&a, &c])),
        (json!({"SnapshotIds": [UNKNOWN_SNAPSHOT]}), vec![]),
        (filter("instance-id", json!([web])), sorted(&[&a, &b])),
        (filter("disk-id", json!([disk])), sorted(&[&a, &b])),
        (
            filter("snapshot-name", json!(["a", "c", "z"])),
            sorted(&[&a, &c]),
        ),
        (filter("snapshot-id", json!([b])), sorted(&[&b])),
        (
            filter("tag:env", json!(["prod", "test"])),
            sorted(&[&tagged]),
        ),
        (filter("tag-key", json!(["env"])), sorted(&[&tagged])),
        (filter("tag-value", json!(["test"])), vec![]),
        (
            json!({"Filters": [{"Name": "instance-id", "Values": [web]}, {"Name": "snapshot-name", "Values": ["b"]}]}),
            sorted(&[&b]),
        ),
    ] {
        let answer = cloud.ok("DescribeSnapshots", params.clone()).await;
        assert_eq!(ids(&answer), expect, "{params}");
        assert_eq!(answer["TotalCount"], expect.len(), "{params}");
    }

    // Pages: the total is of all, newest first, text numbers are numbers.
    let mut paged = Vec::new();
    for offset in 0..5 {
        let answer = cloud
            .ok(
                "DescribeSnapshots",
                json!({"Offset": offset.to_string(), "Limit": "1"}),
            )
            .await;
        assert_eq!(answer["TotalCount"], 4);
        paged.extend(ids(&answer));
    }
    assert_eq!(paged, [tagged.clone(), c.clone(), b.clone(), a.clone()]);

    let many = |n: usize| -> Vec<String> { (0..n).map(|i| format!("lhsnap-{i:08}")).collect() };
    for (action, params, expect) in [
        (
            "DescribeSnapshots",
            json!({"Limit": 0}),
            "InvalidParameterValue.OutOfRange",
        ),
        (
            "DescribeSnapshots",
            json!({"Limit": 101}),
            "InvalidParameterValue.OutOfRange",
        ),
        (
            "DescribeSnapshots",
            json!({"Offset": -1}),
            "InvalidParameterValue.Negative",
        ),
        (
            "DescribeSnapshots",
            json!({"Limit": "many"}),
            "InvalidParameter",
        ),
        (
            "DescribeSnapshots",
            json!({"SnapshotIds": ["x"]}),
            "InvalidParameterValue.SnapshotIdMalformed",
        ),
        (
            "DescribeSnapshots",
            json!({"SnapshotIds": many(101)}),
            "InvalidParameterValue.LimitExceeded",
        ),
        (
            "DescribeSnapshots",
            json!({"SnapshotIds": [a], "Filters": [{"Name": "disk-id", "Values": [disk]}]}),
            "InvalidParameter.ParameterConflict",
        ),
        (
            "DescribeSnapshots",
            filter("colour", json!(["red"])),
            "InvalidParameter.InvalidFilterNotSupportedName",
        ),
        (
            "DescribeSnapshots",
            filter("disk-id", json!(["red"])),
            "InvalidParameterValue.InvalidDiskIdMalformed",
        ),
        (
            "DescribeSnapshots",
            filter("snapshot-name", json!(["1", "2", "3", "4", "5", "6"])),
            "InvalidParameter.FilterValueLimitExceeded",
        ),
        (
            "DeleteSnapshots",
            json!({"SnapshotIds": [a, a]}),
            "InvalidParameterValue.Duplicated",
        ),
        (
            "DeleteSnapshots",
            json!({"SnapshotIds": many(11)}),
            "InvalidParameterValue.LimitExceeded",
        ),
        (
            "DeleteSnapshots",
            json!({"SnapshotIds": [a, UNKNOWN_SNAPSHOT]}),
            "ResourceNotFound.SnapshotIdNotFound",
        ),
        (
            "DescribeInstances",
            json!({"InstanceIds": [UNKNOWN_INSTANCE]}),
            "ResourceNotFound.InstanceIdNotFound",
        ),
        (
            "DescribeInstances",
            json!({"Order": "ASC"}),
            "MissingParameter.OrderFieldRequired",
        ),
        (
            "CreateInstanceSnapshot",
            json!({"InstanceId": web, "SnapshotName": "n".repeat(61)}),
            "InvalidParameterValue.SnapshotNameTooLong",
        ),
    ] {
        assert_eq!(
            cloud.code(action, params.clone()).await,
            expect,
            "{action} {params}"
        );
    }
    // What was refused changed nothing: not even the snapshot that was there.
    assert_eq!(
        cloud.ok("DescribeSnapshots", json!({})).await["TotalCount"],
        4
    );

    let names = |answer: &Value| answer["InstanceSet"].as_array().unwrap().len();
    for (params, expect) in [
        (json!({}), 2),
        (filter("instance-name", json!(["web"])), 1),
        (filter("instance-state", json!(["STOPPED"])), 2),
        (filter("instance-state", json!(["RUNNING", "REBOOTING"])), 0),
        (filter("zone", json!(["ap-guangzhou-1"])), 2),
        (filter("zone", json!(["ap-guangzhou-7"])), 0),
        (filter("private-ip-address", json!(["10.0.0.1"])), 0),
    ] {
        let answer = cloud.ok("DescribeInstances", params.clone()).await;
        assert_eq!(names(&answer), expect, "{params}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_front_door() {
    let cloud = Cloud::start().await;
    let refused = |answer: Value| answer["Error"]["Code"].as_str().unwrap_or("").to_owned();
    let key = &cloud.key;
    for (action, version, region, body, expect) in [
        ("DescribeSnapshots", VERSION, None, "{}", ""),
        (
            "DescribeSnapshots",
            VERSION,
            Some("ap-nowhere"),
            "{}",
            "UnsupportedRegion",
        ),
        ("NoSuchThing", VERSION, None, "{}", "InvalidAction"),
        (
            "DescribeSnapshots",
            "2001-01-01",
            None,
            "{}",
            "NoSuchVersion",
        ),
        ("DescribeSnapshots", VERSION, None, "{", "InvalidParameter"),
        ("DescribeSnapshots", VERSION, None, "[]", "InvalidParameter"),
        (
            "DescribeSnapshots",
            VERSION,
            None,
            r#"{"Limit":1,"Limit":2}"#,
            "InvalidParameter",
        ),
    ] {
        assert_eq!(
            refused(cloud.raw(key, action, version, region, body).await),
            expect,
            "{action} {version} {body}"
        );
    }
    // Every other operation of the contract is known, and not served.
    for operation in operations_of(Service::Lighthouse) {
        if Front::serves(operation) || operation.params.iter().any(|p| p.required) {
            continue;
        }
        assert_eq!(
            cloud.code(operation.name, json!({})).await,
            "InvalidAction",
            "{}",
            operation.name
        );
    }

    // Keys.
    let wrong = KeyPair {
        secret_id: key.secret_id.clone(),
        secret_key: backout_accounts::Secret::new("x".repeat(32)),
        token: None,
        expires: None,
    };
    assert_eq!(
        refused(
            cloud
                .raw(&wrong, "DescribeSnapshots", VERSION, None, "{}")
                .await
        ),
        "AuthFailure.SignatureFailure"
    );
    let temporary = cloud
        .accounts
        .issue_temporary(&cloud.admin, "admin", 3600)
        .await
        .unwrap();
    assert_eq!(
        refused(
            cloud
                .raw(&temporary, "DescribeSnapshots", VERSION, None, "{}")
                .await
        ),
        ""
    );
    let bare = KeyPair {
        token: None,
        ..temporary
    };
    assert_eq!(
        refused(
            cloud
                .raw(&bare, "DescribeSnapshots", VERSION, None, "{}")
                .await
        ),
        "AuthFailure.TokenFailure"
    );
    let second = cloud.accounts.add_key(&cloud.admin, "admin").await.unwrap();
    cloud
        .accounts
        .disable_key(&cloud.admin, &second.secret_id)
        .await
        .unwrap();
    assert_eq!(
        refused(
            cloud
                .raw(&second, "DescribeSnapshots", VERSION, None, "{}")
                .await
        ),
        "AuthFailure.SecretIdNotFound"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_bound_what_a_sub_account_may_do() {
    let cloud = Cloud::start().await;
    let web = cloud.add("web", PowerCommands::default()).await;
    let db = cloud.add("db", PowerCommands::default()).await;
    let of_db = cloud.snapshot(&db, "s").await;
    let policy = json!({"version": "2.0", "statement": [
        {"effect": "allow", "action": ["lighthouse:CreateInstanceSnapshot", "lighthouse:ApplyInstanceSnapshot"],
         "resource": [format!("qcs::lighthouse:*:*:instance/{web}")]},
        {"effect": "allow", "action": "lighthouse:Describe*", "resource": "*"},
        {"effect": "deny", "action": "lighthouse:DescribeInstances", "resource": "*"},
    ]})
    .to_string();
    let (_, key) = cloud
        .accounts
        .create(&cloud.admin, "operator", Some(&policy))
        .await
        .unwrap();
    let code = async |action: &str, params: Value| {
        let answer = cloud
            .raw(&key, action, VERSION, None, &params.to_string())
            .await;
        answer["Error"]["Code"].as_str().unwrap_or("").to_owned()
    };
    assert_eq!(
        code("CreateInstanceSnapshot", json!({"InstanceId": web})).await,
        ""
    );
    let denied = "UnauthorizedOperation.NoPermission";
    assert_eq!(
        code("CreateInstanceSnapshot", json!({"InstanceId": db})).await,
        denied
    );
    assert_eq!(
        code(
            "ApplyInstanceSnapshot",
            json!({"InstanceId": db, "SnapshotId": of_db})
        )
        .await,
        denied
    );
    assert_eq!(
        code("DeleteSnapshots", json!({"SnapshotIds": [of_db]})).await,
        denied
    );
    assert_eq!(
        code("DescribeInstances", json!({})).await,
        denied,
        "deny wins"
    );
    assert_eq!(code("DescribeSnapshots", json!({})).await, "");

    // Another account has its own resources.
    let (_, stranger) = cloud
        .accounts
        .create(&cloud.admin, "stranger", None)
        .await
        .unwrap();
    let seen = cloud
        .raw(&stranger, "DescribeSnapshots", VERSION, None, "{}")
        .await;
    assert_eq!(seen["TotalCount"], 0);
    let params = json!({"InstanceId": db, "SnapshotId": of_db}).to_string();
    let answer = cloud
        .raw(&stranger, "ApplyInstanceSnapshot", VERSION, None, &params)
        .await;
    assert_eq!(
        answer["Error"]["Code"],
        "ResourceNotFound.InstanceIdNotFound"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_21st_call_of_a_second_waits() {
    let clock = ManualClock::at(Timestamp(1_800_000_000_000));
    let cloud = Cloud::with(Arc::new(clock.clone()), Limits::default()).await;
    let code = async |action: &str| {
        let answer = cloud.raw(&cloud.key, action, VERSION, None, "{}").await;
        answer["Error"]["Code"].as_str().unwrap_or("").to_owned()
    };
    for _ in 0..20 {
        assert_eq!(code("DescribeSnapshots").await, "");
    }
    assert_eq!(code("DescribeSnapshots").await, "RequestLimitExceeded");
    assert_eq!(
        code("DescribeInstances").await,
        "",
        "each action has its own"
    );
    clock.advance_ms(1000);
    assert_eq!(
        code("DescribeSnapshots").await,
        "",
        "a second later it recovers"
    );
}
