//! A store, servers of the user's own commands, and images, in one folder.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use backout_core::ids::{AccountId, DiskId, InstanceId, JobId, OsEntropy, RequestId};
use backout_core::outcome::Outcome;
use backout_core::time::{SystemClock, Timestamp};
use backout_disks::{DriverKind, Format};
use backout_jobs::{Idempotency, JobView, Jobs, NewJob, Registry, Worker, WorkerConfig};
use backout_machines::Boot;
use backout_servers::model::{
    Blueprint, DiskState, ManagedDisk, Power, PowerCommands, Server, Usage, Volume, resource,
};
use backout_servers::persistence;
use backout_servers::plan::plan;
use backout_servers::procedures::{CreateServer, CreateServerInput, ImageFile};
use backout_servers::{
    AskedBy, Caller, DiskRef, NewBlueprint, NewServer, Refusal, Runtime, Servers,
};
use backout_shim::Shim;
use backout_store::Store;

pub(crate) const NODE: &str = "harness";
pub(crate) const OWNER: &str = "acct_aaaaaaaaaaaa";
/// What a disk says.
pub(crate) const OLD: &[u8] = b"as it was";
/// What an image says.
pub(crate) const IMAGE: &[u8] = b"as it came";
pub(crate) const SIZE_BYTES: u64 = 1 << 20;
/// How long safety points are kept; not what it is by default.
pub(crate) const SAFETY_DAYS: u32 = 3;
/// Where it says so.
const AT: usize = 4096;

pub(crate) struct Stage {
    pub(crate) folder: PathBuf,
    pub(crate) store: Store,
    pub(crate) jobs: Jobs,
    pub(crate) servers: Servers,
    pub(crate) runtime: Runtime,
}

pub(crate) fn owner() -> AccountId {
    OWNER.parse().unwrap()
}

pub(crate) fn caller() -> Caller {
    Caller {
        account: owner(),
        owner: owner(),
        request: RequestId::random(&OsEntropy),
        idempotency: None,
    }
}

/// A call that can be repeated.
pub(crate) fn keyed(key: &str, hash: &str) -> Caller {
    Caller {
        idempotency: Some(Idempotency {
            key: key.to_owned(),
            hash: hash.to_owned(),
        }),
        ..caller()
    }
}

/// 1 MiB with the text in its middle, the rest nothing.
pub(crate) fn write(path: &Path, contents: &[u8]) {
    let mut whole = vec![0_u8; usize::try_from(SIZE_BYTES).unwrap()];
    whole[AT..AT + contents.len()].copy_from_slice(contents);
    std::fs::write(path, whole).unwrap();
}

/// The text in the middle of a raw image.
pub(crate) fn read(path: &Path) -> Vec<u8> {
    let whole = std::fs::read(path).unwrap();
    whole[AT..]
        .iter()
        .copied()
        .take_while(|b| *b != 0)
        .collect()
}

impl Stage {
    pub(crate) fn open(folder: &Path, shim: Shim) -> Self {
        let migrations = [backout_jobs::MIGRATIONS, backout_servers::MIGRATIONS].concat();
        let store = Store::open_sqlite(&folder.join("state.db"), &migrations).unwrap();
        let (clock, entropy) = (Arc::new(SystemClock), Arc::new(OsEntropy));
        let jobs = Jobs::new(store.clone(), clock.clone(), entropy.clone());
        let runtime = Runtime::new(folder, shim).keeping_safety_points(SAFETY_DAYS);
        let servers = Servers::new(
            store.clone(),
            jobs.clone(),
            clock,
            entropy,
            NODE.to_owned(),
            runtime.clone(),
        );
        Self {
            folder: folder.to_owned(),
            store,
            jobs,
            servers,
            runtime,
        }
    }

    /// For servers of the user's own commands: nothing is to be supervised.
    pub(crate) fn plain(folder: &Path) -> Self {
        Self::open(folder, Shim::own(&["shim"]))
    }

    pub(crate) async fn worker(&self) -> Worker {
        let registry = self.servers.register(Registry::new());
        Worker::start(&self.jobs, registry, WorkerConfig::new(NODE))
            .await
            .unwrap()
    }

    pub(crate) async fn ended(&self, job: &JobId) -> JobView {
        self.jobs.wait(job, Duration::from_secs(120)).await.unwrap()
    }

    /// Runs a worker until the job is applied.
    pub(crate) async fn finish(&self, job: &JobId) {
        let worker = self.worker().await;
        let ended = self.ended(job).await;
        worker.stop().await;
        assert_eq!(ended.outcome, Some(Outcome::Applied), "{ended:?}");
    }

    pub(crate) fn disk(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.img"))
    }

    fn switch(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.power"))
    }

    /// Whether the server's own commands left it running.
    pub(crate) fn runs(&self, name: &str) -> bool {
        std::fs::read_to_string(self.switch(name)).is_ok_and(|p| p.trim() == "on")
    }

    pub(crate) fn commands(&self, name: &str) -> PowerCommands {
        let turn = |word: &str| Some(format!("echo {word} > '{}'", self.switch(name).display()));
        PowerCommands {
            start: turn("on"),
            stop: turn("off"),
        }
    }

    /// A server whose disk is the user's file and reads OLD.
    pub(crate) async fn add(&self, name: &str, running: bool) -> Server {
        write(&self.disk(name), OLD);
        std::fs::write(self.switch(name), if running { "on" } else { "off" }).unwrap();
        let new = NewServer {
            format: None,
            name: name.to_owned(),
            disk: self.disk(name),
            driver: Some(DriverKind::Copy),
            commands: self.commands(name),
            machine: None,
            running,
            tags: Vec::new(),
        };
        let (_, job) = self.servers.add(&caller(), new).await.unwrap();
        self.finish(&job).await;
        let server = self.server(name).await;
        let expected = if running {
            Power::Running
        } else {
            Power::Stopped
        };
        assert_eq!(server.power, expected);
        server
    }

    pub(crate) async fn server(&self, name: &str) -> Server {
        self.servers.get(&owner(), name).await.unwrap()
    }

    pub(crate) async fn is_gone(&self, name: &str) -> bool {
        matches!(
            self.servers.get(&owner(), name).await,
            Err(Refusal::ServerNotFound(_))
        )
    }

    pub(crate) async fn snapshot(&self, server: &str, name: &str) {
        let (_, job) = self
            .servers
            .create_snapshot(
                &caller(),
                DiskRef::Of(server.to_owned()),
                Some(name.to_owned()),
                Vec::new(),
                AskedBy::Caller,
            )
            .await
            .unwrap();
        self.finish(&job).await;
    }

    /// An image that reads IMAGE.
    pub(crate) async fn image(&self, name: &str) -> Blueprint {
        let file = self.folder.join(format!("{name}.image"));
        write(&file, IMAGE);
        let new = NewBlueprint {
            format: None,
            name: name.to_owned(),
            description: String::new(),
            file,
            boot: Boot::Disk,
            tags: Vec::new(),
        };
        self.servers.add_blueprint(&caller(), new).await.unwrap()
    }

    /// A data disk that server `server` uses.
    pub(crate) async fn data_disk(&self, name: &str, server: &Server) -> DiskId {
        write(&self.disk(name), OLD);
        let id = DiskId::random(&OsEntropy);
        let disk = ManagedDisk {
            volume: Volume {
                id: id.clone(),
                head: self.disk(name),
                format: Format::Raw,
                driver: DriverKind::Copy,
                size_bytes: SIZE_BYTES,
            },
            owner: owner(),
            node: NODE.to_owned(),
            name: name.to_owned(),
            usage: Usage::Data,
            server: Some(server.id.clone()),
            state: DiskState::Attached,
            made: false,
            latest: None,
            created: Timestamp(1),
            tags: Vec::new(),
        };
        let added = self
            .store
            .write(move |tx| persistence::insert_disk(tx, &disk))
            .await
            .unwrap();
        assert!(added);
        id
    }

    /// Submits the making of a server that is run by commands: what the service
    /// makes are machines.
    pub(crate) async fn submit_create(&self, name: &str, image: &Blueprint) -> JobId {
        let (id, job) = (InstanceId::random(&OsEntropy), JobId::random(&OsEntropy));
        let server = Server {
            id: id.clone(),
            owner: owner(),
            name: name.to_owned(),
            node: NODE.to_owned(),
            power: Power::Creating,
            commands: self.commands(name),
            machine: None,
            disk: Volume {
                id: DiskId::random(&OsEntropy),
                head: self.runtime.pool.join(id.as_str()).join("disk.raw"),
                format: Format::Raw,
                driver: DriverKind::Copy,
                size_bytes: 2 * SIZE_BYTES,
            },
            made: true,
            bundle: None,
            blueprint: Some(image.id.clone()),
            isolated: None,
            schedule: None,
            latest: None,
            created: Timestamp(1),
            tags: Vec::new(),
        };
        let input = CreateServerInput {
            server: id.clone(),
            disk: server.disk.clone(),
            image: ImageFile {
                file: image.file.clone(),
                format: image.format,
            },
            batch: Vec::new(),
        };
        let plan = plan(
            &CreateServer(self.runtime.clone()),
            "make a server".to_owned(),
            vec![resource(&id), format!("blueprint/{}/{id}", image.id)],
        );
        let new_job = NewJob {
            id: job.clone(),
            procedure: plan.procedure.clone(),
            title: plan.title.clone(),
            account: owner(),
            request: RequestId::random(&OsEntropy),
            node: NODE.to_owned(),
            resource: resource(&id),
            claims: plan.claims.clone(),
            input: serde_json::to_value(&input).unwrap(),
            plan,
            undo_of: None,
            idempotency: None,
            background: false,
            now: Timestamp(1),
        };
        self.store
            .write(move |tx| {
                assert!(persistence::insert_server(tx, &server)?);
                backout_jobs::submit(tx, &new_job).unwrap();
                Ok::<_, backout_store::Error>(())
            })
            .await
            .unwrap();
        job
    }

    /// What lies in the pool, by path.
    pub(crate) fn pool(&self) -> Vec<String> {
        fn walk(folder: &Path, out: &mut Vec<String>) {
            for entry in std::fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(&path, out);
                }
                out.push(path.display().to_string());
            }
        }
        let mut out = Vec::new();
        walk(&self.runtime.pool, &mut out);
        out
    }
}
