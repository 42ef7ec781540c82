//! What the way from the socket to a vendor's handler costs: the same bytes
//! through a bare hyper service and through [`Server`], both over loopback with
//! keep-alive, in turns.
//!
//! `cargo bench -p backout-server`

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench prints its figures, and cannot go on without its parts"
)]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backout_accounts::{Accounts, Limiter, Limits, MasterKey, Vault};
use backout_api::front::CallLog;
use backout_api::native::{Native, Parts};
use backout_api::secrets::Sealed;
use backout_apps::Apps;
use backout_core::ids::{OsEntropy, RequestId};
use backout_core::time::SystemClock;
use backout_databases::Databases;
use backout_engines::Engines;
use backout_gateway::Host;
use backout_jobs::Jobs;
use backout_server::{App, Config, RequestLog, Server, VendorFuture, VendorHandler};
use backout_servers::{Runtime, Servers};
use backout_shim::Shim;
use backout_store::Store;
use backout_wire::{RawRequest, Reply};
use backout_workloads::process::{self, Processes};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// As the answer to a page of twenty snapshots.
const ANSWER_BYTES: usize = 8 << 10;
const CONNECTIONS: usize = 16;
const ROUND: Duration = Duration::from_secs(3);

struct Fixed(Vec<u8>);

impl VendorHandler for Fixed {
    fn body_limit(&self, _: RawRequest<'_>) -> usize {
        10 << 20
    }

    fn handle<'a>(&'a self, _: RawRequest<'a>, _: bool) -> VendorFuture<'a> {
        Box::pin(async move {
            let reply = Reply {
                status: 200,
                headers: vec![("content-type", "application/json".into())],
                body: self.0.clone(),
            };
            let log = CallLog {
                request: RequestId::random(&OsEntropy),
                account: Some("acct_000000000000".into()),
                protocol: "tc3",
                action: Some("lighthouse:DescribeSnapshots".into()),
                code: None,
            };
            Some((reply, log))
        })
    }
}

async fn ours(folder: &std::path::Path) -> SocketAddr {
    let migrations = [
        backout_accounts::MIGRATIONS,
        backout_jobs::MIGRATIONS,
        backout_servers::MIGRATIONS,
        backout_databases::MIGRATIONS,
        backout_apps::MIGRATIONS,
    ]
    .concat();
    let store = Store::open_sqlite(&folder.join("state.db"), &migrations).unwrap();
    let (clock, entropy) = (Arc::new(SystemClock), Arc::new(OsEntropy));
    let master = MasterKey::from_bytes([7; 32]);
    let accounts = Accounts::open(store.clone(), &master, clock.clone(), entropy.clone())
        .await
        .unwrap();
    let jobs = Jobs::new(store.clone(), clock.clone(), entropy.clone());
    let servers = Servers::new(
        store.clone(),
        jobs.clone(),
        clock.clone(),
        entropy.clone(),
        "bench".into(),
        Runtime::new(folder, Shim::own(&["shim"])),
    );
    let databases = Databases::new(
        store.clone(),
        jobs.clone(),
        clock.clone(),
        entropy.clone(),
        "bench".into(),
        backout_databases::Runtime::new(
            &folder.join("databases"),
            Shim::own(&["shim"]),
            Arc::new(Sealed::new(Vault::new(&master), entropy.clone())),
        ),
    );
    let processes = Processes::open(process::Config::new(
        folder.join("apps"),
        Shim::own(&["shim"]),
    ))
    .unwrap();
    let packages = processes.packages().clone();
    let apps = Apps::new(
        store.clone(),
        jobs.clone(),
        clock.clone(),
        entropy.clone(),
        "bench".into(),
        backout_apps::Runtime::new(
            &folder.join("apps"),
            Arc::new(processes),
            packages,
            Host::own(&["shim"], &["gateway", "--dir"]),
            Arc::new(Sealed::new(Vault::new(&master), entropy.clone())),
        ),
    );
    let config = process::Config::new(folder.join("engines"), Shim::own(&["shim"]));
    let engines = Engines::new(
        store.clone(),
        jobs.clone(),
        clock.clone(),
        entropy.clone(),
        "bench".into(),
        backout_engines::Runtime::open(
            &folder.join("engines"),
            Arc::new(Processes::open(config).unwrap()),
            Host::own(&["shim"], &["gateway", "--dir"]),
        )
        .unwrap(),
    );
    let log = RequestLog::open(&folder.join("requests")).unwrap();
    let native = Native::new(Parts {
        store,
        accounts,
        limiter: Arc::new(Limiter::new(clock.clone(), Limits::default())),
        servers,
        databases,
        apps,
        engines,
        jobs,
        faults: None,
        requests: Arc::new(log.clone()),
        clock,
        entropy,
        node: "bench".into(),
        data: folder.to_owned(),
        public_hosts: Vec::new(),
        version: "bench".into(),
    });
    let config = Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        tls: None,
        drain: Duration::from_secs(1),
    };
    let server = Server::bind(&config)
        .unwrap()
        .open(App {
            native: Arc::new(native),
            vendor: Arc::new(Fixed(vec![b'x'; ANSWER_BYTES])),
            log,
        })
        .unwrap();
    let address = server.addresses().plain;
    tokio::spawn(server.run(std::future::pending()));
    address
}

async fn bare() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let body = Bytes::from(vec![b'x'; ANSWER_BYTES]);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let body = body.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request: hyper::Request<Incoming>| {
                    let body = body.clone();
                    async move {
                        let _ = request.into_body().collect().await;
                        Ok::<_, Infallible>(hyper::Response::new(Full::new(body)))
                    }
                });
                let _ = http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    address
}

/// Calls a second.
async fn load(address: SocketAddr) -> f64 {
    let body = r#"{"Offset": 0, "Limit": 20}"#;
    let request: Arc<[u8]> = format!(
        "POST / HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nX-TC-Action: DescribeSnapshots\r\n\
         X-TC-Version: 2020-03-24\r\nX-TC-Timestamp: 1700000000\r\nX-TC-Region: ap-guangzhou\r\nX-TC-Language: en-US\r\n\
         Authorization: TC3-HMAC-SHA256 Credential=AKIDEXAMPLEXXXXXXXXXXXXXXXXXXXXXXXX/2023-11-14/lighthouse/tc3_request, \
         SignedHeaders=content-type;host, Signature={}\r\nContent-Length: {}\r\n\r\n{body}",
        "0".repeat(64),
        body.len()
    )
    .into_bytes()
    .into();
    let until = Instant::now() + ROUND;
    let tasks: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let request = Arc::clone(&request);
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(address).await.unwrap();
                stream.set_nodelay(true).unwrap();
                let mut buffer = vec![0; 64 << 10];
                let mut calls = 0_u32;
                while Instant::now() < until {
                    stream.write_all(&request).await.unwrap();
                    let mut have = 0;
                    loop {
                        have += stream.read(&mut buffer[have..]).await.unwrap();
                        let head = buffer[..have].windows(4).position(|w| w == b"\r\n\r\n");
                        if head.is_some_and(|at| have >= at + 4 + ANSWER_BYTES) {
                            break;
                        }
                    }
                    calls += 1;
                }
                calls
            })
        })
        .collect();
    let mut calls = 0;
    for task in tasks {
        calls += task.await.unwrap();
    }
    f64::from(calls) / ROUND.as_secs_f64()
}

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, bare) = (ours(folder.path()).await, bare().await);
    for _ in 0..3 {
        let (bare, ours) = (load(bare).await, load(ours).await);
        println!(
            "bare {bare:>8.0}/s   backout {ours:>8.0}/s   ratio {:.2}",
            ours / bare
        );
    }
}
