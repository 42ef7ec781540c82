//! A server process without its listener, with real processes for replicas.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use backout_accounts::{KeyPair, Limits};
use backout_api::secrets::Sealed;
use backout_apps::components::{Components, JDK, PYTHON};
use backout_apps::model::Standing;
use backout_apps::procedures::Work;
use backout_apps::{Apps, Caller};
use backout_core::code::Code;
use backout_core::fence::Fence;
use backout_core::ids::OsEntropy;
use backout_core::time::{Clock as _, SystemClock};
use backout_gateway::Host;
use backout_jobs::Registry;
use backout_store::Error as StoreError;
use backout_wire::sign::{self, AlibabaCall};
use backout_wire::{Service, find};
use backout_workloads::packages::{PackageLimits, Packages};
use backout_workloads::process::{Config, Processes};
use serde_json::{Value, json};

use crate::common::house::{self, Ground, HOST, House, NODE, in_house};
pub use crate::common::house::{PAUSE, text, tries};
use crate::contract;

pub const VERSION: &str = "2019-05-06";
/// A well-formed id that nothing has.
pub const UNKNOWN: &str = "017f39b8-dfa4-4e16-a84b-1dcee4b10000";

/// The secrets of applications, sealed as the composition does it.
struct Keeper(Sealed);

impl backout_apps::Secrets for Keeper {
    fn seal(&self, bound_to: &str, secret: &str) -> Result<Vec<u8>, String> {
        backout_databases::Secrets::seal(&self.0, bound_to, secret)
    }

    fn open(&self, bound_to: &str, sealed: &[u8]) -> Result<String, String> {
        backout_databases::Secrets::open(&self.0, bound_to, sealed)
    }
}

/// How a client signs, and where it puts what it asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// ACS3, everything in the query.
    Acs3,
    /// ACS3, everything in a form, where the operation takes a body.
    Acs3Form,
    /// ROA v1, everything in the query.
    Roa,
}

pub struct Cloud {
    house: House,
    pub apps: Apps,
}

in_house!(Cloud, house);

impl Cloud {
    /// One whose jobs stand still.
    pub async fn still() -> Self {
        Self::open(house::plenty()).await
    }

    /// One in which an account makes so many calls of one action a second.
    pub async fn slow(calls: u32) -> Self {
        Self::open(house::calls_a_second(calls)).await
    }

    /// One that does what is asked.
    pub async fn start() -> Self {
        let mut cloud = Self::still().await;
        cloud.go_on().await;
        cloud
    }

    pub async fn go_on(&mut self) {
        let registry = register(Registry::new(), &self.apps);
        self.work(registry).await;
    }

    async fn open(limits: Limits) -> Self {
        let ground = Ground::open(Arc::new(SystemClock), &house::nothing_runs()).await;
        let apps = Apps::new(
            ground.store.clone(),
            ground.jobs.clone(),
            ground.clock.clone(),
            ground.entropy.clone(),
            NODE.to_owned(),
            runtime(&ground),
        );
        let registry = register(ground.registry(), &apps);
        let with_apps = |front: backout_api::front::Front| front.with_apps(apps.clone());
        let house = House::open(ground, &registry, limits, with_apps).await;
        Self { house, apps }
    }

    pub fn caller(&self) -> Caller {
        Caller {
            account: self.admin.account.clone(),
            owner: self.admin.owner.clone(),
            request: Ground::request(),
            idempotency: None,
            approval: None,
        }
    }

    /// A package of Python sources whose program answers with `word` on its
    /// port, or ends at once when that is empty.
    pub fn package(&self, word: &str) -> String {
        let name = match word.is_empty() {
            true => "broken",
            false => word,
        };
        let path = self.folder.path().join(format!("{name}.zip"));
        let source = match word.is_empty() {
            true => "raise SystemExit(1)\n".to_owned(),
            false => format!(
                "import http.server, os\n\
                 class H(http.server.BaseHTTPRequestHandler):\n\
                 \x20   protocol_version = 'HTTP/1.1'\n\
                 \x20   def do_GET(self):\n\
                 \x20       b = b'{word}'\n\
                 \x20       self.send_response(200)\n\
                 \x20       self.send_header('Content-Length', str(len(b)))\n\
                 \x20       self.end_headers()\n\
                 \x20       self.wfile.write(b)\n\
                 \x20   def log_message(self, *a):\n\
                 \x20       pass\n\
                 http.server.ThreadingHTTPServer(('127.0.0.1', int(os.environ.get('PORT', 0))), H).serve_forever()\n"
            ),
        };
        let folder = self.folder.path().join(format!("source-{name}"));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("main.py"), source).unwrap();
        // `zip` need not be there, Python is.
        let made = std::process::Command::new("/usr/bin/python3")
            .args(["-m", "zipfile", "-c"])
            .arg(&path)
            .arg(folder.join("main.py"))
            .status()
            .unwrap();
        assert!(made.success());
        path.display().to_string()
    }

    /// What is needed to make an application of that package.
    pub fn new_application(&self, name: &str, replicas: u32, package: &str) -> Value {
        json!({
            "AppName": name, "PackageType": "PythonZip", "PackageUrl": package,
            "Replicas": replicas, "Command": "python main.py", "Readiness": READINESS,
        })
    }

    /// An application that is made, and runs.
    pub async fn running(&self, name: &str, replicas: u32) -> String {
        let params = self.new_application(name, replicas, &self.package("one"));
        let made = self.ok("CreateApplication", params).await;
        let order = text(&made["Data"]["ChangeOrderId"]);
        assert_eq!(self.settled(&order).await, 2, "it runs");
        text(&made["Data"]["AppId"])
    }

    /// An application without a version.
    pub async fn bare(&self, name: &str) -> String {
        let mut params = self.new_application(name, 1, &self.package("one"));
        params["Deploy"] = json!(false);
        let made = self.ok("CreateApplication", params).await;
        text(&made["Data"]["AppId"])
    }

    /// Waits until an order is over, and says how.
    pub async fn settled(&self, order: &str) -> i64 {
        let mut seen = Value::Null;
        for _ in tries() {
            seen = self
                .ok("DescribeChangeOrder", json!({"ChangeOrderId": order}))
                .await;
            let status = seen["Data"]["Status"].as_i64().unwrap();
            if [2, 3, 6, 10].contains(&status) {
                return status;
            }
            if seen["Data"]["SubStatus"] == 1 {
                let events = json!({"Namespace": "cn-beijing"});
                let events = self.ok("ListAppEvents", events).await;
                panic!("{order} stands still: {seen} {events}");
            }
            tokio::time::sleep(PAUSE).await;
        }
        panic!("{order} did not settle: {seen}");
    }

    /// Waits until an order has that number, and shows it.
    pub async fn until(&self, order: &str, status: i64) -> Value {
        let mut seen = Value::Null;
        for _ in tries() {
            seen = self
                .ok("DescribeChangeOrder", json!({"ChangeOrderId": order}))
                .await;
            if seen["Data"]["Status"] == status {
                return seen["Data"].take();
            }
            tokio::time::sleep(PAUSE).await;
        }
        panic!("{order} does not come to {status}: {seen}");
    }

    /// Ends an order as one that a fault of ours ended.
    pub async fn break_order(&self, order: &str) {
        let order = order.parse().unwrap();
        let error = (Code::Internal, "keep its promise".to_owned());
        self.store
            .write::<_, StoreError>(move |tx| {
                let now = SystemClock.now();
                backout_apps::persistence::end_order(
                    tx,
                    &order,
                    Standing::Broken,
                    Some(&error),
                    now,
                )
            })
            .await
            .unwrap();
    }

    /// Takes all packages away.
    pub fn lose_packages(&self) {
        std::fs::remove_dir_all(self.folder.path().join("run/packages")).unwrap();
    }

    /// A key of an account of the owner, which may do what `statements` say.
    pub async fn limited(&self, name: &str, statements: &Value) -> KeyPair {
        let policy = json!({"Version": "1", "Statement": statements});
        self.house.limited(name, &policy).await
    }

    /// A signed call, and its status and answer.
    pub async fn raw(
        &self,
        key: &KeyPair,
        client: Client,
        action: &str,
        params: &Value,
    ) -> (u16, Value) {
        let operation = find(Service::Sae, action).expect("an operation of the contract");
        let pairs: Vec<(String, String)> = params
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| {
                let value = match value {
                    Value::String(text) => text.clone(),
                    // As the Python client writes it.
                    Value::Bool(true) => "True".to_owned(),
                    Value::Bool(false) => "False".to_owned(),
                    other => other.to_string(),
                };
                (name.clone(), value)
            })
            .collect();
        let pairs: Vec<(&str, &str)> = pairs
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let form = client == Client::Acs3Form && operation.method == "POST";
        let (query, body) = match form {
            true => (Vec::new(), encoded(&pairs)),
            false => (pairs, String::new()),
        };
        let nonce = Ground::request().0;
        let call = AlibabaCall {
            key_id: &key.secret_id,
            secret: key.secret_key.expose(),
            token: None,
            method: operation.method,
            path: operation.path,
            host: HOST,
            action,
            version: VERSION,
            query: &query,
            content_type: form.then_some("application/x-www-form-urlencoded"),
            body: body.as_bytes(),
            nonce: &nonce,
            now: SystemClock.now(),
        };
        let (query, headers) = match client {
            Client::Roa => sign::roa(&call),
            Client::Acs3 | Client::Acs3Form => sign::acs3(&call),
        };
        let (reply, _) = self
            .send(
                operation.method,
                operation.path,
                &query,
                &headers,
                body.as_bytes(),
            )
            .await;
        let answer: Value = serde_json::from_slice(&reply.body).unwrap();
        if reply.status == 200 {
            let wrong = contract::wrong(action, &answer);
            assert!(wrong.is_empty(), "{action}: {wrong:#?} in {answer}");
        } else {
            let code = answer["Code"].as_str().unwrap();
            assert!(
                operation.may_answer(code),
                "{action} must not answer {code}: {answer}"
            );
            for member in ["RequestId", "HostId", "Message", "Recommend"] {
                assert!(answer[member].is_string(), "{member}: {answer}");
            }
        }
        (reply.status, answer)
    }

    pub async fn call(&self, action: &str, params: Value) -> (u16, Value) {
        self.raw(&self.key, Client::Acs3, action, &params).await
    }

    /// A call that must succeed.
    pub async fn ok(&self, action: &str, params: Value) -> Value {
        let (status, answer) = self.call(action, params).await;
        assert_eq!(status, 200, "{action}: {answer}");
        answer
    }

    /// Calls that must be refused, each with its code.
    pub async fn refused(&self, calls: &[(&str, Value, &str)]) {
        for (action, params, expect) in calls {
            let (_, answer) = self.call(action, params.clone()).await;
            assert_eq!(answer["Code"], *expect, "{action} {params}: {answer}");
        }
    }

    /// Takes everything away that runs, and stops what works.
    pub async fn stop(mut self) {
        if self.works() {
            self.clear().await;
        }
        self.hold_still().await;
    }

    async fn clear(&self) {
        let listed = self.ok("ListApplications", json!({"PageSize": 100})).await;
        for row in listed["Data"]["Applications"].as_array().unwrap() {
            let id = &row["AppId"];
            let state = self
                .ok("DescribeApplicationStatus", json!({"AppId": id}))
                .await;
            let state = &state["Data"];
            if state["LastChangeOrderRunning"] == true {
                let order = text(&state["LastChangeOrderId"]);
                self.call("AbortChangeOrder", json!({"ChangeOrderId": order}))
                    .await;
                self.settled(&order).await;
            }
            let gone = self.ok("DeleteApplication", json!({"AppId": id})).await;
            self.settled(&text(&gone["Data"]["ChangeOrderId"])).await;
        }
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        // A test that fails leaves no replica behind, and no gateway.
        self.abandon();
        let runtime = self.apps.runtime();
        for id in runtime.processes.list(None, 1000).unwrap_or_default() {
            let _ = runtime.processes.stop(Fence(i64::MAX), &id, Duration::ZERO);
        }
        house::end_all(&runtime.folder.join("gateways"));
    }
}

/// Asked every second: a kubelet would wait ten.
pub const READINESS: &str = r#"{"exec":{"command":["true"]},"periodSeconds":1}"#;

fn register(registry: Registry, apps: &Apps) -> Registry {
    let work = Work {
        runtime: apps.runtime().clone(),
        clock: Arc::new(SystemClock),
        entropy: Arc::new(OsEntropy),
    };
    backout_apps::procedures::register(registry, &work)
}

fn runtime(ground: &Ground) -> backout_apps::Runtime {
    let path = ground.folder.path();
    let shim = backout_mariadb::testing::shim().unwrap();
    let processes = Processes::open(Config::new(path.join("run"), shim)).unwrap();
    let mut runtime = backout_apps::Runtime::new(
        path,
        Arc::new(processes),
        Packages::open(path.join("run/packages"), PackageLimits::default()).unwrap(),
        Host::own(&[], &[]),
        Arc::new(Keeper(ground.sealed.clone())),
    );
    let mut components = Components::default();
    components.add(JDK, "Open JDK 17", PathBuf::from("/usr/bin/java"));
    components.add(PYTHON, "3", PathBuf::from("/usr/bin/python3"));
    runtime.components = Arc::new(components);
    runtime.without_limits = true;
    // Ours are ready within a second; a host with other work has its time.
    runtime.limits.ready_ms = 15_000;
    runtime
}

fn encoded(pairs: &[(&str, &str)]) -> String {
    let text = |t: &str| -> String {
        t.bytes()
            .map(|b| match b {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                    char::from(b).to_string()
                }
                b' ' => "+".to_owned(),
                other => format!("%{other:02X}"),
            })
            .collect()
    };
    let parts: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{}={}", text(name), text(value)))
        .collect();
    parts.join("&")
}
