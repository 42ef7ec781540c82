//! A whole server on a free port, with real state, real disks and a real
//! worker; and a client that writes its bytes by hand.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use backout_accounts::{Accounts, KeyPair, Limiter, Limits, MasterKey, NONCES_MAX, Nonces, Vault};
use backout_api::audit;
use backout_api::front::{self, CallLog, Front, Settings};
use backout_api::native::{Native, Parts};
use backout_api::secrets::Sealed;
use backout_apps::Apps;
use backout_core::ids::{OsEntropy, RequestId};
use backout_core::time::{Clock as _, ManualClock, SystemClock};
use backout_databases::Databases;
use backout_engines::Engines;
use backout_faults::Faults;
use backout_gateway::Host;
use backout_jobs::{Jobs, Registry, Worker, WorkerConfig};
use backout_server::{
    Addresses, App, Config, RequestLog, Server, Tls, VendorFuture, VendorHandler,
};
use backout_servers::Servers;
use backout_shim::Shim;
use backout_store::Store;
use backout_wire::{RawRequest, Reply, sign};
use backout_workloads::process::{self, Processes};
use base64::Engine as _;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

const NODE: &str = "test";
/// Longer than any answer of a healthy server takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a test wants to be different.
#[derive(Default)]
pub struct Wish {
    pub limit: Option<u32>,
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Vendors' calls are told back instead of answered.
    pub echo: bool,
    /// With the fault switch.
    pub faults: bool,
    pub drain: Option<Duration>,
}

/// What works on applications; nothing is run here.
fn application_work(
    folder: &Path,
    master: &MasterKey,
    entropy: Arc<OsEntropy>,
) -> backout_apps::Runtime {
    let config = process::Config::new(folder.join("apps"), Shim::own(&["shim"]));
    let processes = Processes::open(config).unwrap();
    let packages = processes.packages().clone();
    backout_apps::Runtime::new(
        &folder.join("apps"),
        Arc::new(processes),
        packages,
        Host::own(&["shim"], &["gateway", "--dir"]),
        Arc::new(Sealed::new(Vault::new(master), entropy)),
    )
}

fn engine_work(folder: &Path) -> backout_engines::Runtime {
    let folder = folder.join("engines");
    let config = process::Config::new(folder.clone(), Shim::own(&["shim"]));
    let processes = Arc::new(Processes::open(config).unwrap());
    let gateways = Host::own(&["shim"], &["gateway", "--dir"]);
    backout_engines::Runtime::open(&folder, processes, gateways).unwrap()
}

pub struct House {
    pub folder: tempfile::TempDir,
    pub addresses: Addresses,
    pub key: KeyPair,
    pub jobs: Jobs,
    pub store: Store,
    runtime: Runtime,
    worker: Option<Worker>,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<tokio::task::JoinHandle<usize>>,
}

impl House {
    pub fn start() -> Self {
        Self::with(Wish::default())
    }

    pub fn with(wish: Wish) -> Self {
        let runtime = Runtime::new().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        let (house, worker) = runtime.block_on(async {
            let bound = Server::bind(&Config {
                listen: "127.0.0.1:0".parse().unwrap(),
                tls: wish.tls.map(|(cert, key)| Tls {
                    listen: "127.0.0.1:0".parse().unwrap(),
                    cert,
                    key,
                }),
                drain: wish.drain.unwrap_or(Duration::from_secs(10)),
            })
            .unwrap();
            // Not open yet.
            assert!(TcpStream::connect(bound.addresses().plain).is_err());
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
            let store = Store::open_sqlite(&path.join("state.db"), &migrations).unwrap();
            let clock = Arc::new(SystemClock);
            let entropy = Arc::new(OsEntropy);
            let master = MasterKey::from_bytes([7; 32]);
            let accounts = Accounts::open(store.clone(), &master, clock.clone(), entropy.clone())
                .await
                .unwrap();
            accounts.bootstrap(|_| Ok(())).await.unwrap();
            let admin = accounts.admin().await.unwrap();
            let key = accounts.add_key(&admin, "admin").await.unwrap();
            let limits = Limits {
                default: NonZeroU32::new(wish.limit.unwrap_or(10_000)).unwrap(),
                ..Limits::default()
            };
            // Stands still where a test counts calls.
            let limiter = Arc::new(match wish.limit {
                Some(_) => Limiter::new(Arc::new(ManualClock::default()), limits),
                None => Limiter::new(clock.clone(), limits),
            });
            let jobs = Jobs::new(store.clone(), clock.clone(), entropy.clone());
            let servers = Servers::new(
                store.clone(),
                jobs.clone(),
                clock.clone(),
                entropy.clone(),
                NODE.into(),
                backout_servers::Runtime::new(&path, Shim::own(&["shim"])),
            );
            let databases = Databases::new(
                store.clone(),
                jobs.clone(),
                clock.clone(),
                entropy.clone(),
                NODE.into(),
                backout_databases::Runtime::new(
                    &path.join("databases"),
                    Shim::own(&["shim"]),
                    Arc::new(Sealed::new(Vault::new(&master), entropy.clone())),
                ),
            );
            let apps = Apps::new(
                store.clone(),
                jobs.clone(),
                clock.clone(),
                entropy.clone(),
                NODE.into(),
                application_work(&path, &master, entropy.clone()),
            );
            let engines = Engines::new(
                store.clone(),
                jobs.clone(),
                clock.clone(),
                entropy.clone(),
                NODE.into(),
                engine_work(&path),
            );
            let registry = databases.register(servers.register(Registry::new()));
            let registry = engines.register(registry);
            let faults = if wish.faults {
                let opened =
                    Faults::open(store.clone(), clock.clone(), entropy.clone(), &registry).await;
                Some(opened.unwrap())
            } else {
                None
            };
            let log = RequestLog::open(&path.join("requests")).unwrap();
            let vendor: Arc<dyn VendorHandler> = if wish.echo {
                Arc::new(Echo)
            } else {
                Arc::new(
                    Front::new(front::Parts {
                        accounts: accounts.clone(),
                        limiter: limiter.clone(),
                        nonces: Arc::new(Nonces::new(clock.clone(), NONCES_MAX)),
                        store: store.clone(),
                        servers: servers.clone(),
                        databases: databases.clone(),
                        faults: faults.clone(),
                        clock: clock.clone(),
                        entropy: entropy.clone(),
                        settings: Settings::default(),
                    })
                    .with_apps(apps.clone())
                    .with_engines(engines.clone()),
                )
            };
            let native = Native::new(Parts {
                store: store.clone(),
                accounts: accounts.clone(),
                limiter,
                servers: servers.clone(),
                databases,
                apps,
                engines,
                jobs: jobs.clone(),
                faults: faults.clone(),
                requests: Arc::new(log.clone()),
                clock,
                entropy,
                node: NODE.into(),
                data: path.clone(),
                public_hosts: Vec::new(),
                version: "0.0.0-test".into(),
            });
            std::fs::create_dir_all(path.join("logs")).unwrap();
            let mut config = WorkerConfig::new(NODE);
            if let Some(faults) = faults {
                config.probe = Arc::new(faults);
            }
            let worker = Worker::start(&jobs, registry, config).await.unwrap();
            let server = bound
                .open(App {
                    native: Arc::new(native),
                    vendor,
                    log,
                })
                .unwrap();
            let addresses = server.addresses();
            let (stop, stopped) = oneshot::channel::<()>();
            let serving = tokio::spawn(server.run(async {
                let _ = stopped.await;
            }));
            ((addresses, key, jobs, store, stop, serving), worker)
        });
        let (addresses, key, jobs, store, stop, serving) = house;
        Self {
            folder,
            addresses,
            key,
            jobs,
            store,
            runtime,
            worker: Some(worker),
            stop: Some(stop),
            serving: Some(serving),
        }
    }

    pub fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Asks the server to stop, and goes on.
    pub fn ask_to_stop(&mut self) {
        drop(self.stop.take());
    }

    /// Waits until it has; says how many connections were cut.
    pub fn stopped(&mut self) -> usize {
        self.ask_to_stop();
        let serving = self.serving.take().unwrap();
        self.runtime.block_on(serving).unwrap()
    }

    pub fn connect(&self) -> Client {
        Client::to(self.addresses.plain)
    }

    pub fn basic(&self) -> String {
        basic(&self.key.secret_id, self.key.secret_key.expose())
    }

    /// One call as `admin`.
    pub fn call(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        self.call_as(&self.basic(), method, path, body, &[])
    }

    pub fn call_as(
        &self,
        authorization: &str,
        method: &str,
        path: &str,
        body: Option<Value>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut all = vec![("Authorization", authorization)];
        all.extend_from_slice(headers);
        let body = body.map(|b| b.to_string()).unwrap_or_default();
        if !body.is_empty() {
            all.push(("Content-Type", "application/json"));
        }
        self.connect().request(method, path, &all, body.as_bytes())
    }

    /// One call, signed.
    pub fn signed(&self, method: &str, path: &str, query: &str, body: &str) -> Answer {
        let host = self.addresses.plain.to_string();
        let headers = sign::tc3(
            &self.key.secret_id,
            self.key.secret_key.expose(),
            None,
            method,
            path,
            query,
            &host,
            "application/json",
            body.as_bytes(),
            "backout",
            SystemClock.now(),
        );
        let headers: Vec<(&str, &str)> = headers
            .iter()
            .filter(|(name, _)| name != "Host")
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect();
        let target = if query.is_empty() {
            path.to_owned()
        } else {
            format!("{path}?{query}")
        };
        self.connect()
            .request(method, &target, &headers, body.as_bytes())
    }

    /// A raw image with something in it.
    pub fn image(&self, name: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        let bytes: Vec<u8> = (0..300_000_u32).map(|i| (i % 251) as u8).collect();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// A managed disk; returns when its job is done.
    pub fn server(&self, name: &str) -> PathBuf {
        let disk = self.image(&format!("{name}.img"));
        let body = json!({ "name": name, "disk": disk, "driver": "copy" });
        let added = self.call("POST", "/v1/servers", Some(body)).expect(202);
        self.applied(&added["job"]);
        disk
    }

    pub fn applied(&self, job: &Value) {
        let id = job.as_str().unwrap().parse().unwrap();
        let job = self.block_on(self.jobs.wait(&id, PATIENCE)).unwrap();
        assert_eq!(job.outcome.map(|o| o.as_str()), Some("applied"), "{job:#?}");
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if self.serving.is_some() {
            self.stopped();
        }
        if let Some(worker) = self.worker.take() {
            self.runtime.block_on(worker.stop());
        }
    }
}

pub fn basic(id: &str, key: &str) -> String {
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("{id}:{key}"));
    format!("Basic {pair}")
}

/// Tells what it was given.
struct Echo;

pub const ECHO_BODY_MAX: usize = 1000;

impl VendorHandler for Echo {
    fn body_limit(&self, _: RawRequest<'_>) -> usize {
        ECHO_BODY_MAX
    }

    fn handle<'a>(&'a self, raw: RawRequest<'a>, too_large: bool) -> VendorFuture<'a> {
        Box::pin(async move {
            match raw.path {
                "/nobody" => return None,
                "/panic" => panic!("on purpose"),
                "/slow" => tokio::time::sleep(Duration::from_millis(700)).await,
                "/stuck" => std::future::pending().await,
                _ => {}
            }
            let headers: Vec<_> = raw
                .headers
                .iter()
                .map(|(n, v)| json!([n, String::from_utf8_lossy(v)]))
                .collect();
            let told = json!({
                "method": raw.method,
                "path": raw.path,
                "query": raw.query,
                "headers": headers,
                "body": String::from_utf8_lossy(raw.body),
                "too_large": too_large,
            });
            let reply = Reply {
                status: 200,
                headers: vec![("content-type", "application/json".into())],
                body: told.to_string().into_bytes(),
            };
            let log = CallLog {
                request: RequestId("echo-1".into()),
                account: None,
                protocol: "tc3",
                action: Some("test:Echo".into()),
                code: None,
            };
            Some((reply, log))
        })
    }
}

/// A connection whose bytes are written by hand.
pub struct Client {
    pub stream: Box<dyn Both>,
    host: String,
    seen: Vec<u8>,
}

pub trait Both: std::io::Read + std::io::Write {}
impl<T: std::io::Read + std::io::Write> Both for T {}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.body)))
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(
            self.status,
            status,
            "{}",
            String::from_utf8_lossy(&self.body)
        );
        if self.body.is_empty() {
            Value::Null
        } else {
            self.json()
        }
    }

    /// A refusal in its envelope.
    #[track_caller]
    pub fn refused(self, status: u16, code: &str) -> String {
        let id = self.header("x-request-id").map(str::to_owned);
        let error = &self.expect(status)["error"];
        assert_eq!(error["code"], code, "{error}");
        assert_eq!(error["request_id"].as_str(), id.as_deref(), "{error}");
        assert!(!error["title"].as_str().unwrap().is_empty());
        error["message"].as_str().unwrap().to_owned()
    }
}

impl Client {
    pub fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self::over(stream, address)
    }

    pub fn over(stream: impl Both + 'static, address: SocketAddr) -> Self {
        Self {
            stream: Box::new(stream),
            host: address.to_string(),
            seen: Vec::new(),
        }
    }

    pub fn request(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut text = format!("{method} {target} HTTP/1.1\r\nHost: {}\r\n", self.host);
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() || matches!(method, "POST" | "PUT" | "PATCH") {
            text.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        text.push_str("\r\n");
        self.send(text.as_bytes());
        self.send(body);
        self.answer()
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
        self.stream.flush().unwrap();
    }

    /// False at the end of the connection.
    fn more(&mut self) -> bool {
        let mut buffer = [0; 16 << 10];
        match self.stream.read(&mut buffer) {
            Ok(0) => false,
            Ok(n) => {
                self.seen.extend_from_slice(&buffer[..n]);
                true
            }
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => false,
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => false,
            Err(e) => panic!("{e}"),
        }
    }

    /// The head of the next answer; `None` at the end of the connection.
    pub fn head(&mut self) -> Option<Answer> {
        let end = loop {
            if let Some(at) = self.seen.windows(4).position(|w| w == b"\r\n\r\n") {
                break at;
            }
            if !self.more() {
                assert!(self.seen.is_empty(), "half a head");
                return None;
            }
        };
        let text = String::from_utf8(self.seen.drain(..end + 4).collect()).unwrap();
        let mut lines = text.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap();
        let headers = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(n, v)| (n.to_ascii_lowercase(), v.to_owned()))
            .collect();
        Some(Answer {
            status: status.parse().unwrap(),
            headers,
            body: Vec::new(),
        })
    }

    pub fn answer(&mut self) -> Answer {
        let mut answer = self.head().expect("an answer");
        let length = answer
            .header("content-length")
            .map_or(0, |v| v.parse().unwrap());
        while self.seen.len() < length {
            assert!(self.more(), "half a body");
        }
        answer.body = self.seen.drain(..length).collect();
        answer
    }

    /// All that comes until the connection, or a chunked body, ends.
    pub fn chunks(&mut self) -> String {
        let mut out = Vec::new();
        loop {
            let Some(at) = self.seen.windows(2).position(|w| w == b"\r\n") else {
                assert!(self.more(), "half a chunk");
                continue;
            };
            let size = std::str::from_utf8(&self.seen[..at]).unwrap();
            let size = usize::from_str_radix(size, 16).unwrap();
            while self.seen.len() < at + 2 + size + 2 {
                assert!(self.more(), "half a chunk");
            }
            out.extend_from_slice(&self.seen[at + 2..at + 2 + size]);
            self.seen.drain(..at + 2 + size + 2);
            if size == 0 {
                return String::from_utf8(out).unwrap();
            }
        }
    }

    /// Whether the server has closed the connection.
    pub fn is_closed(&mut self) -> bool {
        self.seen.is_empty() && !self.more()
    }
}

/// The events of a stream: their fields.
pub fn events(text: &str) -> Vec<HashMap<String, String>> {
    text.split("\n\n")
        .filter(|block| block.contains("data: "))
        .map(|block| {
            block
                .lines()
                .filter_map(|line| line.split_once(": "))
                .map(|(n, v)| (n.to_owned(), v.to_owned()))
                .collect()
        })
        .collect()
}

pub fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}
