//! Data disks and their backups, on real images.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use backout_core::code::Code;
use backout_core::ids::{AccountId, JobId, OsEntropy, PointId, RequestId};
use backout_core::outcome::Outcome;
use backout_core::time::SystemClock;
use backout_disks::DriverKind;
use backout_jobs::{Idempotency, JobView, Jobs, Registry, Worker, WorkerConfig};
use backout_machines::testing::{Console, Guest, shim};
use backout_machines::{Boot, Machines, Spec, State};
use backout_servers::model::{
    DiskState, ManagedDisk, OperationKind, Power, PowerCommands, Server, Snapshot, SnapshotKind,
    SnapshotState, Subject, Tag,
};
use backout_servers::persistence::{self, Page, SnapshotFilter};
use backout_servers::preflight::{BACKUPS_PER_DISK_MAX, DISKS_PER_SERVER_MAX};
use backout_servers::{
    AskedBy, BLANK_MIN_BYTES, Caller, DiskRef, NewDisk, NewServer, Refusal, Runtime, Servers,
    Source,
};
use backout_shim::Shim;
use backout_store::Store;

const NODE: &str = "here";
const OWNER: &str = "acct_aaaaaaaaaaaa";
const SIZE_BYTES: u64 = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(60);

/// Where in a disk the tests write, in bytes, and how much.
const AT: u64 = 64 << 10;
const MANY: usize = 512;

fn owner() -> AccountId {
    OWNER.parse().unwrap()
}

fn caller() -> Caller {
    Caller {
        account: owner(),
        owner: owner(),
        request: RequestId::random(&OsEntropy),
        idempotency: None,
    }
}

fn disk_ref(name: &str) -> DiskRef {
    DiskRef::Disk(name.to_owned())
}

/// Servers with a worker, in a folder of their own.
struct Lab {
    folder: tempfile::TempDir,
    store: Store,
    jobs: Jobs,
    servers: Servers,
    machines: Machines,
    worker: Option<Worker>,
}

impl Lab {
    async fn new() -> Self {
        Self::with(Shim::own(&["shim"]), PATIENCE).await
    }

    /// With machines; a guest has so long to let a disk go.
    async fn with(shim: Shim, guest_patience: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let migrations = [backout_jobs::MIGRATIONS, backout_servers::MIGRATIONS].concat();
        let store = Store::open_sqlite(&folder.path().join("state.db"), &migrations).unwrap();
        let jobs = Jobs::new(store.clone(), Arc::new(SystemClock), Arc::new(OsEntropy));
        let mut runtime = Runtime::new(folder.path(), shim);
        let machines = runtime.machines.with_guest_patience(guest_patience);
        runtime.machines = machines.clone();
        let servers = Servers::new(
            store.clone(),
            jobs.clone(),
            Arc::new(SystemClock),
            Arc::new(OsEntropy),
            NODE.to_owned(),
            runtime,
        );
        let mut lab = Self {
            folder,
            store,
            jobs,
            servers,
            machines,
            worker: None,
        };
        lab.work().await;
        lab
    }

    async fn work(&mut self) {
        let registry = self.servers.register(Registry::new());
        let worker = Worker::start(&self.jobs, registry, WorkerConfig::new(NODE))
            .await
            .unwrap();
        self.worker = Some(worker);
    }

    /// Jobs that are submitted from now on stay as they are.
    async fn rest(&mut self) {
        self.worker.take().unwrap().stop().await;
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    async fn ended(&self, job: &JobId) -> JobView {
        self.jobs.wait(job, PATIENCE).await.unwrap()
    }

    async fn applied(&self, job: &JobId) {
        let ended = self.ended(job).await;
        assert_eq!(ended.outcome, Some(Outcome::Applied), "{ended:?}");
    }

    /// A server whose commands keep its data disks open while it runs.
    async fn server(&self, name: &str, running: bool) -> Server {
        let disk = self.path(&format!("{name}.img"));
        std::fs::write(&disk, vec![0_u8; 1 << 20]).unwrap();
        let new = NewServer {
            format: None,
            name: name.to_owned(),
            disk,
            driver: Some(DriverKind::Copy),
            commands: PowerCommands {
                start: Some(self.start_command(name)),
                stop: Some(format!(
                    "for p in $(cat '{0}'); do kill $p; done; : > '{0}'",
                    self.pids(name).display()
                )),
            },
            machine: None,
            running,
            tags: Vec::new(),
        };
        std::fs::write(self.pids(name), "").unwrap();
        let (server, job) = self.servers.add(&caller(), new).await.unwrap();
        self.applied(&job).await;
        server
    }

    fn pids(&self, name: &str) -> PathBuf {
        self.path(&format!("{name}.pids"))
    }

    fn start_command(&self, name: &str) -> String {
        format!(
            "printf %s \"$BACKOUT_DATA_DISKS\" | while IFS= read -r disk; do \
             sleep 600 3<>\"$disk\" & echo $! >> '{}'; done",
            self.pids(name).display()
        )
    }

    /// As if the server had run before it came under management.
    async fn run_by_hand(&self, name: &str, disk: &ManagedDisk) {
        let mut disks = disk.volume.head.clone().into_os_string();
        disks.push("\n");
        let done = Command::new("sh")
            .arg("-c")
            .arg(self.start_command(name))
            .env("BACKOUT_DATA_DISKS", disks)
            .status()
            .unwrap();
        assert!(done.success());
        self.held(&disk.volume.head).await;
    }

    /// Waits until something has `head` open.
    async fn held(&self, head: &Path) {
        let until = tokio::time::Instant::now() + PATIENCE;
        while backout_disks::holders(head).unwrap().is_empty() {
            assert!(tokio::time::Instant::now() < until, "nobody opens {head:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn add(&self, new: NewDisk) -> Result<ManagedDisk, Refusal> {
        let name = new.name.clone();
        let (disk, job) = self.servers.add_disk(&caller(), new).await?;
        assert_eq!(disk.state, DiskState::Creating);
        self.applied(&job).await;
        Ok(self.disk(&name).await)
    }

    /// A data disk on a raw file of the user's.
    async fn brought(&self, name: &str, driver: DriverKind) -> ManagedDisk {
        let file = self.path(&format!("{name}.raw"));
        std::fs::write(&file, vec![0_u8; 1 << 20]).unwrap();
        let new = NewDisk {
            format: None,
            name: name.to_owned(),
            source: Source::File(file),
            driver: Some(driver),
            tags: Vec::new(),
        };
        self.add(new).await.unwrap()
    }

    async fn blank(&self, name: &str, driver: DriverKind) -> ManagedDisk {
        let new = NewDisk {
            format: None,
            name: name.to_owned(),
            source: Source::Blank {
                size_bytes: SIZE_BYTES,
            },
            driver: Some(driver),
            tags: Vec::new(),
        };
        self.add(new).await.unwrap()
    }

    async fn disk(&self, name: &str) -> ManagedDisk {
        self.servers.disk(&owner(), name).await.unwrap()
    }

    async fn attach(&self, disk: &str, server: &str) -> Result<(), Refusal> {
        let disks = [disk.to_owned()];
        for job in self.servers.attach(&caller(), &disks, server).await? {
            self.applied(&job).await;
        }
        Ok(())
    }

    async fn detach(&self, disk: &str) -> Result<(), Refusal> {
        for job in self.servers.detach(&caller(), &[disk.to_owned()]).await? {
            self.applied(&job).await;
        }
        Ok(())
    }

    async fn back_up(&self, disk: &str, name: &str) -> Result<PointId, Refusal> {
        let (id, job) = self
            .servers
            .create_snapshot(
                &caller(),
                disk_ref(disk),
                Some(name.to_owned()),
                Vec::new(),
                AskedBy::Caller,
            )
            .await?;
        self.applied(&job).await;
        Ok(id)
    }

    async fn go_back(&self, disk: &str, backup: &str) -> Result<JobId, Refusal> {
        let job = self
            .servers
            .apply_snapshot(&caller(), disk_ref(disk), backup)
            .await?;
        self.applied(&job).await;
        Ok(job)
    }

    async fn undo(&self, job: &JobId) {
        let undo = self.servers.undo(&caller(), job).await.unwrap();
        self.applied(&undo).await;
    }

    async fn backups(&self, disk: &ManagedDisk, safety: bool) -> Vec<Snapshot> {
        let filter = SnapshotFilter {
            disks: vec![disk.volume.id.to_string()],
            safety: Some(safety),
            ..SnapshotFilter::default()
        };
        let page = Page {
            offset: 0,
            limit: 100,
        };
        let (_, found) = self
            .servers
            .snapshots(&owner(), filter, page)
            .await
            .unwrap();
        found.into_iter().map(|(s, _)| s).collect()
    }

    /// What these disks refuse: the actions, and with which codes.
    async fn denied(&self, disk: &str) -> Vec<(OperationKind, Code)> {
        let (owner, disks) = (owner(), [disk.to_owned()]);
        let denied = self.servers.denied_on_disks(&owner, &disks).await;
        let (_, denied) = denied.unwrap().remove(0);
        denied
            .into_iter()
            .map(|d| (d.action, d.refusal.code()))
            .collect()
    }

    async fn set_power(&self, server: &Server, power: Power) {
        let id = server.id.clone();
        self.store
            .write(move |tx| persistence::set_power(tx, &id, power))
            .await
            .unwrap();
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for entry in std::fs::read_dir(self.path("machines"))
            .into_iter()
            .flatten()
        {
            let id = entry.unwrap().file_name().into_string().unwrap();
            if let Ok(State::On { pid, .. }) = self.machines.state(&id) {
                let _ = Command::new("kill")
                    .args(["-KILL", &pid.to_string()])
                    .status();
            }
        }
        for entry in std::fs::read_dir(self.folder.path()).unwrap().flatten() {
            if entry.path().extension().is_some_and(|e| e == "pids") {
                for pid in std::fs::read_to_string(entry.path()).unwrap().lines() {
                    let _ = Command::new("kill").arg(pid).status();
                }
            }
        }
    }
}

fn code<T: std::fmt::Debug>(result: Result<T, Refusal>) -> Code {
    result.unwrap_err().code()
}

fn write(disk: &ManagedDisk, byte: u8) {
    let command = format!("write -P {byte} {AT} {MANY}");
    let done = Command::new("qemu-io")
        .args(["-f", disk.volume.format.as_str(), "-c", &command])
        .arg(&disk.volume.head)
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
}

fn read(disk: &ManagedDisk) -> u8 {
    let folder = tempfile::tempdir().unwrap();
    let raw = folder.path().join("raw");
    let done = Command::new("qemu-img")
        .args([
            "convert",
            "-U",
            "-f",
            disk.volume.format.as_str(),
            "-O",
            "raw",
        ])
        .args([&disk.volume.head, &raw])
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
    let file = std::fs::File::open(raw).unwrap();
    let mut found = [0_u8; MANY];
    file.read_exact_at(&mut found, AT).unwrap();
    assert!(found.iter().all(|b| *b == found[0]));
    found[0]
}

async fn goes_back_and_forth(driver: DriverKind) {
    let lab = Lab::new().await;
    let disk = lab.brought("data", driver).await;
    assert_eq!(
        (disk.state, disk.made, &disk.server),
        (DiskState::Unattached, false, &None)
    );
    let (idle, busy) = (
        lab.server("idle", false).await,
        lab.server("busy", true).await,
    );
    // It stands alone, is attached to a server that is stopped, and to one
    // that runs and has it open.
    for (backup, server) in [
        ("alone", None),
        ("stopped", Some(&idle)),
        ("running", Some(&busy)),
    ] {
        if let Some(server) = server {
            lab.attach("data", &server.name).await.unwrap();
            let disk = lab.disk("data").await;
            assert_eq!(
                (disk.state, disk.server.as_ref()),
                (DiskState::Attached, Some(&server.id))
            );
        }
        write(&disk, 1);
        lab.back_up("data", backup).await.unwrap();
        write(&disk, 2);
        let runs = backup == "running";
        if runs {
            lab.run_by_hand("busy", &disk).await;
            // What it writes meanwhile would be lost, or torn.
            assert_eq!(code(lab.back_up("data", "torn").await), Code::DiskInUse);
            assert_eq!(code(lab.detach("data").await), Code::DiskInUse);
            let proposal = lab
                .servers
                .propose_rollback(&owner(), disk_ref("data"), backup)
                .await
                .unwrap();
            assert!(proposal.preflight.passed());
            assert!(
                proposal
                    .preflight
                    .warnings
                    .iter()
                    .any(|w| w.code == Code::ForcedStop)
            );
        }
        let job = lab.go_back("data", backup).await.unwrap();
        if runs {
            // It was started again, and told where its disk is.
            lab.held(&disk.volume.head).await;
        }
        assert_eq!(read(&disk), 1, "{backup}");
        let kept = lab.backups(&disk, true).await;
        assert_eq!(kept[0].name, format!("before going back to {backup}"));
        assert_eq!(kept[0].subject, Subject::Disk(disk.volume.id.clone()));
        assert!(kept[0].id.as_str().starts_with("lhbak-"));
        assert!(kept[0].expires.is_some());
        lab.undo(&job).await;
        assert_eq!(read(&disk), 2, "{backup}");
        if runs {
            lab.held(&disk.volume.head).await;
            let server = lab.servers.get(&owner(), "busy").await.unwrap();
            assert_eq!(server.power, Power::Running);
        } else if server.is_some() {
            lab.detach("data").await.unwrap();
            let server = lab.servers.get(&owner(), "idle").await.unwrap();
            assert_eq!(server.power, Power::Stopped);
        }
    }
    // Each is there still, and one that is not the newest can go.
    let names: Vec<String> = lab
        .backups(&disk, false)
        .await
        .into_iter()
        .map(|s| s.name)
        .collect();
    assert_eq!(names, ["running", "stopped", "alone"]);
    let stopped = lab.backups(&disk, false).await.remove(1);
    let jobs = lab
        .servers
        .delete_snapshots(&caller(), &[stopped.id.to_string()])
        .await
        .unwrap();
    lab.applied(&jobs[0]).await;
    lab.go_back("data", "alone").await.unwrap();
    assert_eq!(read(&disk), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copied_disk_goes_back_and_forth() {
    goes_back_and_forth(DriverKind::Copy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layered_disk_goes_back_and_forth() {
    goes_back_and_forth(DriverKind::Qcow2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_stands_alone_but_is_open_stays_as_it_is() {
    let lab = Lab::new().await;
    for driver in [DriverKind::Copy, DriverKind::Qcow2] {
        let name = driver.as_str();
        let disk = lab.blank(name, driver).await;
        write(&disk, 1);
        lab.back_up(name, "good").await.unwrap();
        write(&disk, 2);
        let open = std::fs::OpenOptions::new()
            .write(true)
            .open(&disk.volume.head)
            .unwrap();
        let mut holder = Command::new("sleep")
            .arg("600")
            .stdin(open)
            .spawn()
            .unwrap();
        lab.held(&disk.volume.head).await;
        assert_eq!(code(lab.back_up(name, "torn").await), Code::DiskInUse);
        assert_eq!(code(lab.go_back(name, "good").await), Code::DiskInUse);
        assert_eq!(
            code(lab.servers.remove_disk(&caller(), name).await),
            Code::DiskInUse
        );
        assert_eq!(
            lab.denied(name).await,
            [
                (OperationKind::Detach, Code::DiskState),
                (OperationKind::CreateSnapshot, Code::DiskInUse)
            ]
        );
        holder.kill().unwrap();
        holder.wait().unwrap();
        lab.go_back(name, "good").await.unwrap();
        assert_eq!(read(&disk), 1);
        // It was made here, so it goes with all that lies beside it.
        let job = lab.servers.remove_disk(&caller(), name).await.unwrap();
        lab.applied(&job).await;
        assert!(!disk.volume.head.parent().unwrap().exists());
        assert!(matches!(
            lab.servers.disk(&owner(), name).await,
            Err(Refusal::DiskNotFound(_))
        ));
        assert!(lab.backups(&disk, false).await.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_brought_stays() {
    let lab = Lab::new().await;
    let disk = lab.brought("data", DriverKind::Copy).await;
    write(&disk, 7);
    lab.back_up("data", "good").await.unwrap();
    lab.server("web", false).await;
    lab.attach("data", "web").await.unwrap();
    assert_eq!(
        code(lab.servers.remove_disk(&caller(), "data").await),
        Code::DiskState
    );
    // A server that goes leaves its data disks behind.
    let job = lab.servers.release(&caller(), "web").await.unwrap();
    lab.applied(&job).await;
    let left = lab.disk("data").await;
    assert_eq!((left.state, left.server), (DiskState::Unattached, None));
    assert_eq!(lab.backups(&disk, false).await.len(), 1);
    let job = lab.servers.remove_disk(&caller(), "data").await.unwrap();
    lab.applied(&job).await;
    assert_eq!(read(&disk), 7);
    let beside = disk.volume.spec().folder();
    let points = std::fs::read_dir(beside)
        .unwrap()
        .flatten()
        .filter(|e| e.file_name().to_string_lossy().starts_with("point-"));
    assert_eq!(points.count(), 1);
    // And it can come again.
    let new = NewDisk {
        format: None,
        name: "again".into(),
        source: Source::File(disk.volume.head.clone()),
        driver: None,
        tags: Vec::new(),
    };
    lab.add(new).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_new_disk_must_be() {
    let lab = Lab::new().await;
    let blank = |name: &str, size_bytes| NewDisk {
        format: None,
        name: name.to_owned(),
        source: Source::Blank { size_bytes },
        driver: Some(DriverKind::Copy),
        tags: vec![Tag {
            key: "for".into(),
            value: "tests".into(),
        }],
    };
    for bad in [0, 512, BLANK_MIN_BYTES + 1, u64::MAX - 511] {
        assert_eq!(code(lab.add(blank("d", bad)).await), Code::BadRequest);
    }
    for bad in ["", "a\nb", &"x".repeat(61)] {
        assert_eq!(
            code(lab.add(blank(bad, SIZE_BYTES)).await),
            Code::BadRequest
        );
    }
    let disk = lab.add(blank("d", SIZE_BYTES)).await.unwrap();
    assert_eq!(disk.volume.size_bytes, SIZE_BYTES);
    assert_eq!(disk.tags.len(), 1);
    assert_eq!(
        code(lab.add(blank("d", SIZE_BYTES)).await),
        Code::NameTaken,
        "its name"
    );
    let of_file = |file: PathBuf| NewDisk {
        format: None,
        name: "e".into(),
        source: Source::File(file),
        driver: None,
        tags: Vec::new(),
    };
    assert_eq!(
        code(lab.add(of_file(disk.volume.head.clone())).await),
        Code::NameTaken,
        "its file"
    );
    let server = lab.server("web", false).await;
    assert_eq!(
        code(lab.add(of_file(server.disk.head.clone())).await),
        Code::NameTaken,
        "a system disk's file"
    );
    assert_eq!(
        code(lab.add(of_file(lab.path("nothing"))).await),
        Code::DiskMissing
    );
    // The same call twice is one disk.
    let caller = Caller {
        idempotency: Some(Idempotency {
            key: "once".into(),
            hash: "same".into(),
        }),
        ..caller()
    };
    let first = lab.servers.add_disk(&caller, blank("once", SIZE_BYTES));
    let (first, job) = first.await.unwrap();
    let second = lab.servers.add_disk(&caller, blank("once", SIZE_BYTES));
    let (second, same) = second.await.unwrap();
    assert_eq!((first.volume.id, &job), (second.volume.id, &same));
    lab.applied(&job).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_be_attached_and_detached() {
    let mut lab = Lab::new().await;
    let server = lab.server("web", false).await;
    let system = server.disk.id.to_string();
    lab.blank("a", DriverKind::Copy).await;
    lab.blank("b", DriverKind::Copy).await;
    // A system disk goes nowhere, and has no backups.
    assert_eq!(code(lab.attach(&system, "web").await), Code::DiskState);
    assert_eq!(code(lab.detach(&system).await), Code::DiskState);
    assert_eq!(code(lab.back_up(&system, "x").await), Code::DiskState);
    assert!(matches!(
        lab.servers.remove_disk(&caller(), &system).await,
        Err(Refusal::DiskUsage { .. })
    ));
    let usage = [
        OperationKind::Attach,
        OperationKind::Detach,
        OperationKind::CreateSnapshot,
    ]
    .map(|action| (action, Code::DiskState));
    assert_eq!(lab.denied(&system).await, usage);
    // What is not attached cannot be detached, and the other way round.
    assert_eq!(code(lab.detach("a").await), Code::DiskState);
    assert_eq!(
        lab.denied("a").await,
        [(OperationKind::Detach, Code::DiskState)]
    );
    lab.attach("a", "web").await.unwrap();
    assert_eq!(code(lab.attach("a", "web").await), Code::DiskState);
    assert_eq!(
        lab.denied("a").await,
        [(OperationKind::Attach, Code::DiskState)]
    );
    // All or none.
    let both = ["b".to_owned(), "a".to_owned()];
    let refused = lab.servers.attach(&caller(), &both, "web").await;
    assert_eq!(code(refused), Code::DiskState);
    assert_eq!(lab.disk("b").await.state, DiskState::Unattached);
    assert_eq!(
        code(lab.servers.attach(&caller(), &[], "web").await),
        Code::BadRequest
    );
    assert_eq!(code(lab.attach("c", "web").await), Code::NotFound);
    assert_eq!(code(lab.attach("b", "nobody").await), Code::NotFound);
    for power in [Power::Isolated, Power::Starting, Power::Creating] {
        lab.set_power(&server, power).await;
        assert_eq!(code(lab.attach("b", "web").await), Code::ServerState);
        assert_eq!(code(lab.detach("a").await), Code::ServerState);
        assert_eq!(code(lab.back_up("a", "x").await), Code::ServerState);
    }
    lab.set_power(&server, Power::Stopped).await;
    // Those of two servers leave by two jobs, which stand or fall together.
    lab.server("other", false).await;
    lab.attach("b", "other").await.unwrap();
    let jobs = lab.servers.detach(&caller(), &both).await.unwrap();
    assert_eq!(jobs.len(), 2);
    for job in &jobs {
        lab.applied(job).await;
    }
    // While a job is at it, nobody else is.
    lab.rest().await;
    let jobs = lab.servers.attach(&caller(), &both, "web").await.unwrap();
    assert_eq!(jobs.len(), 1);
    assert_eq!(lab.disk("a").await.state, DiskState::Attaching);
    assert!(matches!(
        lab.servers.detach(&caller(), &both).await,
        Err(Refusal::DiskBusy {
            kind: Some(OperationKind::Attach),
            ..
        })
    ));
    assert_eq!(code(lab.back_up("a", "x").await), Code::ResourceBusy);
    lab.blank_waits("c").await;
    assert!(matches!(
        lab.attach("c", "web").await,
        Err(Refusal::DiskBusy {
            kind: Some(OperationKind::AddDisk),
            ..
        })
    ));
    lab.work().await;
    lab.applied(&jobs[0]).await;
}

impl Lab {
    /// Submits, with no worker there, the making of a disk.
    async fn blank_waits(&self, name: &str) {
        let new = NewDisk {
            format: None,
            name: name.to_owned(),
            source: Source::Blank {
                size_bytes: SIZE_BYTES,
            },
            driver: Some(DriverKind::Copy),
            tags: Vec::new(),
        };
        self.servers.add_disk(&caller(), new).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_has_so_many_disks_and_no_more() {
    let lab = Lab::new().await;
    lab.server("web", false).await;
    let mut names = Vec::new();
    for n in 0..=DISKS_PER_SERVER_MAX {
        let name = format!("d{n}");
        lab.blank(&name, DriverKind::Copy).await;
        names.push(name);
    }
    let refused = lab.servers.attach(&caller(), &names, "web").await;
    assert_eq!(code(refused), Code::Quota);
    let last = names.pop().unwrap();
    // One that is named twice counts once.
    names.push(names[0].clone());
    let jobs = lab.servers.attach(&caller(), &names, "web").await.unwrap();
    lab.applied(&jobs[0]).await;
    assert_eq!(code(lab.attach(&last, "web").await), Code::Quota);
    lab.detach("d3").await.unwrap();
    lab.attach(&last, "web").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_backup_must_be() {
    let lab = Lab::new().await;
    let (a, _) = (
        lab.blank("a", DriverKind::Copy).await,
        lab.blank("b", DriverKind::Copy).await,
    );
    let long = "x".repeat(90);
    let id = lab.back_up("a", &long).await.unwrap();
    assert_eq!(
        code(lab.back_up("a", &"x".repeat(91)).await),
        Code::BadRequest
    );
    lab.servers
        .rename_snapshot(&owner(), id.as_str(), &"y".repeat(90))
        .await
        .unwrap();
    let name = lab.servers.snapshot(&owner(), None, id.as_str()).await;
    assert_eq!(name.unwrap().name, "y".repeat(90));
    // Only the disk that it was taken of goes back to it.
    assert!(matches!(
        lab.go_back("b", id.as_str()).await,
        Err(Refusal::OtherDisk { .. })
    ));
    let denied = lab
        .servers
        .denied_on_snapshots(&owner(), &[id.to_string()])
        .await
        .unwrap();
    assert!(denied[0].1.is_empty());
    lab.go_back("a", id.as_str()).await.unwrap();
    let kept = lab.backups(&a, true).await;
    assert_eq!(kept[0].name.chars().count(), 90);
    // So many there may be; the safety point is not one of them.
    let one = lab.servers.snapshot(&owner(), None, id.as_str()).await;
    let one = one.unwrap();
    let more = BACKUPS_PER_DISK_MAX - 1;
    lab.store
        .write(move |tx| {
            for n in 0..more {
                let point = Snapshot {
                    id: format!("lhbak-{n:08}").parse().unwrap(),
                    kind: SnapshotKind::User,
                    state: SnapshotState::Normal,
                    name: format!("n{n}"),
                    ..one.clone()
                };
                persistence::insert_snapshot(tx, &point)?;
            }
            Ok::<_, backout_store::Error>(())
        })
        .await
        .unwrap();
    assert!(matches!(
        lab.back_up("a", "one too many").await,
        Err(Refusal::Quota {
            max: BACKUPS_PER_DISK_MAX,
            ..
        })
    ));
    let quota = (OperationKind::CreateSnapshot, Code::Quota);
    assert!(lab.denied("a").await.contains(&quota));
    // Going back leaves a safety point, and is not a backup.
    lab.go_back("a", id.as_str()).await.unwrap();
}

impl Lab {
    /// A machine that runs, and what its guest says from its start on.
    async fn machine(&self, spec: Spec) -> (Server, Console) {
        let disk = self.path("web.img");
        std::fs::write(&disk, vec![0_u8; 1 << 20]).unwrap();
        let new = NewServer {
            format: None,
            name: "web".to_owned(),
            disk,
            driver: Some(DriverKind::Copy),
            commands: PowerCommands::default(),
            machine: Some(spec),
            running: false,
            tags: Vec::new(),
        };
        let (server, job) = self.servers.add(&caller(), new).await.unwrap();
        self.applied(&job).await;
        let console = Console::from_now(&self.machines.serial_log(server.id.as_str()));
        let started = self.servers.start(&caller(), &["web".to_owned()]).await;
        for job in started.unwrap() {
            self.applied(&job).await;
        }
        (server, console)
    }

    fn runs(&self, server: &Server) -> bool {
        matches!(
            self.machines.state(server.id.as_str()).unwrap(),
            State::On { paused: false, .. }
        )
    }
}

async fn a_guest_sees_the_old_counter(driver: DriverKind) {
    let lab = Lab::with(shim().unwrap(), PATIENCE).await;
    let spec = Guest::prepare().unwrap().spec("data still");
    let (server, mut console) = lab.machine(spec).await;
    console.wait("COUNTER ").unwrap();
    let disk = lab.blank("data", driver).await;
    lab.attach("data", "web").await.unwrap();
    assert_eq!(console.number("FOUND ").unwrap(), 0);
    let before = console.number("WROTE ").unwrap();
    lab.back_up("data", "good").await.unwrap();
    assert!(lab.runs(&server), "it goes on");
    let told = console.number("WROTE ").unwrap();
    let mut after = told;
    while after < told + 10 {
        after = console.number("WROTE ").unwrap();
    }
    let job = lab.go_back("data", "good").await.unwrap();
    assert!(lab.runs(&server), "it ran before, so it runs again");
    let found = console.number("FOUND ").unwrap();
    assert!(
        (before..after).contains(&found),
        "{before} <= {found} < {after}"
    );
    console.number("WROTE ").unwrap();
    lab.undo(&job).await;
    let found = console.number("FOUND ").unwrap();
    assert!(found >= after, "{found} >= {after}");
    // The guest lets it go, and it can be worked on alone.
    lab.detach("data").await.unwrap();
    assert!(
        backout_disks::holders(&disk.volume.head)
            .unwrap()
            .is_empty()
    );
    assert!(lab.runs(&server));
    lab.go_back("data", "good").await.unwrap();
    // A machine that is off has it from its next start on.
    let stop = backout_machines::Stop::Hard;
    let stopped = lab.servers.stop(&caller(), &["web".to_owned()], stop).await;
    lab.applied(&stopped.unwrap()[0]).await;
    lab.attach("data", "web").await.unwrap();
    lab.go_back("data", "good").await.unwrap();
    assert!(!lab.runs(&server), "it did not run before");
    let started = lab.servers.start(&caller(), &["web".to_owned()]).await;
    lab.applied(&started.unwrap()[0]).await;
    let found = console.number("FOUND ").unwrap();
    assert!((before..after).contains(&found));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_sees_the_old_counter_of_a_layered_disk() {
    a_guest_sees_the_old_counter(DriverKind::Qcow2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_sees_the_old_counter_of_a_copied_disk() {
    a_guest_sees_the_old_counter(DriverKind::Copy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_does_not_let_go_keeps_its_disk() {
    let lab = Lab::with(shim().unwrap(), Duration::from_secs(2)).await;
    let mut spec = Guest::prepare().unwrap().spec("");
    // There is nothing to boot, so nobody answers.
    spec.boot = Boot::Disk;
    let (server, _) = lab.machine(spec).await;
    let disk = lab.blank("data", DriverKind::Qcow2).await;
    lab.attach("data", "web").await.unwrap();
    let jobs = lab.servers.detach(&caller(), &["data".to_owned()]).await;
    let ended = lab.ended(&jobs.unwrap()[0]).await;
    assert_eq!(ended.outcome, Some(Outcome::Reverted), "{ended:?}");
    let kept = lab.disk("data").await;
    assert_eq!(
        (kept.state, kept.server.as_ref()),
        (DiskState::Attached, Some(&server.id))
    );
    assert!(
        !backout_disks::holders(&disk.volume.head)
            .unwrap()
            .is_empty()
    );
}
