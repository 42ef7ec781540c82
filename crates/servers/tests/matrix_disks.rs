//! The procedures of data disks, and those of restore points on a data disk
//! whose server is run by the user's commands, failed, repeated, cancelled and
//! killed at every step.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use backout_core::ids::{AccountId, JobId, OsEntropy, RequestId};
use backout_core::outcome::Outcome;
use backout_core::time::SystemClock;
use backout_disks::DriverKind;
use backout_jobs::harness::{Ended, Matrix, Scenario, World};
use backout_jobs::{JobView, Jobs, Registry, Worker, WorkerConfig};
use backout_servers::model::{
    DiskState, ManagedDisk, OperationState, Power, PowerCommands, SnapshotKind, SnapshotState,
    Subject,
};
use backout_servers::persistence::{self, Page, SnapshotFilter};
use backout_servers::procedures::{
    AddDisk, ApplySnapshot, Attach, CreateSnapshot, DeleteSnapshot, Detach, RemoveDisk,
};
use backout_servers::{
    AskedBy, Caller, DiskRef, NewDisk, NewServer, Refusal, Runtime, Servers, Source,
};
use backout_shim::Shim;
use backout_store::Store;

const NODE: &str = "harness";
const OWNER: &str = "acct_aaaaaaaaaaaa";
const OLD: &[u8] = b"as it was";
const NEW: &[u8] = b"as it became";
const SIZE_BYTES: usize = 1 << 20;

/// A store, a server and its data disks in one folder.
struct Host {
    folder: PathBuf,
    store: Store,
    jobs: Jobs,
    servers: Servers,
    runtime: Runtime,
}

impl World for Host {
    async fn open(folder: &Path) -> Self {
        let migrations = [backout_jobs::MIGRATIONS, backout_servers::MIGRATIONS].concat();
        let store = Store::open_sqlite(&folder.join("state.db"), &migrations).unwrap();
        let (clock, entropy) = (Arc::new(SystemClock), Arc::new(OsEntropy));
        let jobs = Jobs::new(store.clone(), clock.clone(), entropy.clone());
        let runtime = Runtime::new(folder, Shim::own(&["shim"]));
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

    fn jobs(&self) -> &Jobs {
        &self.jobs
    }

    fn registry(&self) -> Registry {
        Registry::new()
            .with(AddDisk)
            .with(RemoveDisk)
            .with(Attach(self.runtime.clone()))
            .with(Detach(self.runtime.clone()))
            .with(CreateSnapshot(self.runtime.clone()))
            .with(ApplySnapshot(self.runtime.clone()))
            .with(DeleteSnapshot)
    }
}

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

fn data() -> DiskRef {
    DiskRef::Disk("data".into())
}

impl Host {
    fn image(&self) -> PathBuf {
        self.folder.join("data.img")
    }

    /// Whether the server's own commands left it running.
    fn runs(&self) -> bool {
        std::fs::read_to_string(self.folder.join("power")).is_ok_and(|p| p.trim() == "on")
    }

    fn write(path: &Path, contents: &[u8]) {
        // The text in the middle, the rest a hole.
        let mut whole = vec![0_u8; SIZE_BYTES];
        whole[4096..4096 + contents.len()].copy_from_slice(contents);
        std::fs::write(path, whole).unwrap();
    }

    fn contents(&self) -> Vec<u8> {
        let whole = std::fs::read(self.image()).unwrap();
        assert_eq!(whole.len(), SIZE_BYTES);
        whole[4096..]
            .iter()
            .copied()
            .take_while(|b| *b != 0)
            .collect()
    }

    async fn finish(&self, job: &JobId) {
        // What sets the scene need not be on trial.
        let registry = self.servers.register(Registry::new());
        let worker = Worker::start(&self.jobs, registry, WorkerConfig::new(NODE))
            .await
            .unwrap();
        let ended = self.jobs.wait(job, Duration::from_secs(60)).await.unwrap();
        worker.stop().await;
        assert_eq!(ended.outcome, Some(Outcome::Applied), "{ended:?}");
    }

    /// A running server, by the user's commands.
    async fn server(&self) {
        let power = |word: &str| {
            Some(format!(
                "echo {word} > '{}'",
                self.folder.join("power").display()
            ))
        };
        Self::write(&self.folder.join("web.img"), OLD);
        std::fs::write(self.folder.join("power"), "on").unwrap();
        let new = NewServer {
            format: None,
            name: "web".to_owned(),
            disk: self.folder.join("web.img"),
            driver: Some(DriverKind::Copy),
            commands: PowerCommands {
                start: power("on"),
                stop: power("off"),
            },
            machine: None,
            running: true,
            tags: Vec::new(),
        };
        let (_, job) = self.servers.add(&caller(), new).await.unwrap();
        self.finish(&job).await;
    }

    async fn add(&self, name: &str, source: Source) -> JobId {
        let new = NewDisk {
            format: None,
            name: name.to_owned(),
            source,
            driver: Some(DriverKind::Copy),
            tags: Vec::new(),
        };
        self.servers.add_disk(&caller(), new).await.unwrap().1
    }

    /// The data disk `data`, the user's file, which reads OLD.
    async fn disk_added(&self) {
        Self::write(&self.image(), OLD);
        let job = self.add("data", Source::File(self.image())).await;
        self.finish(&job).await;
    }

    async fn blank_added(&self, name: &str) {
        let size_bytes = SIZE_BYTES as u64;
        let job = self.add(name, Source::Blank { size_bytes }).await;
        self.finish(&job).await;
    }

    async fn attach(&self, disks: &[&str]) -> JobId {
        let disks: Vec<String> = disks.iter().map(|d| (*d).to_owned()).collect();
        let jobs = self.servers.attach(&caller(), &disks, "web").await.unwrap();
        assert_eq!(jobs.len(), 1);
        jobs[0].clone()
    }

    /// A running server with the data disk `data`, which reads OLD.
    async fn attached(&self) {
        self.server().await;
        self.disk_added().await;
        let job = self.attach(&["data"]).await;
        self.finish(&job).await;
    }

    async fn back_up(&self, disk: DiskRef, name: &str) -> JobId {
        let name = Some(name.to_owned());
        self.servers
            .create_snapshot(&caller(), disk, name, Vec::new(), AskedBy::Caller)
            .await
            .unwrap()
            .1
    }

    async fn backed_up(&self, disk: DiskRef, name: &str) {
        let job = self.back_up(disk, name).await;
        self.finish(&job).await;
    }

    async fn disk(&self, name: &str) -> ManagedDisk {
        self.servers.disk(&owner(), name).await.unwrap()
    }

    async fn is_gone(&self, name: &str) -> bool {
        matches!(
            self.servers.disk(&owner(), name).await,
            Err(Refusal::DiskNotFound(_))
        )
    }

    /// Names and kinds of the restore points of a disk, each of them usable.
    async fn backups(&self, disk: &str) -> Vec<(String, SnapshotKind)> {
        let filter = SnapshotFilter {
            subjects: vec![self.disk(disk).await.volume.id.to_string()],
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
        let mut all: Vec<_> = found
            .into_iter()
            .map(|(s, percent)| {
                assert_eq!((s.state, percent), (SnapshotState::Normal, 100), "{s:?}");
                (s.name, s.kind)
            })
            .collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }

    /// The folder of restore points holds what the rows name, and nothing else;
    /// each of them is whole.
    async fn clean_slate(&self, disk: &str) {
        let disk = self.disk(disk).await;
        let subject = Subject::Disk(disk.volume.id.clone());
        let rows = self
            .store
            .read(move |tx| persistence::points_of(tx, &subject))
            .await
            .unwrap();
        let spec = disk.volume.spec();
        for (_, point) in &rows {
            backout_disks::driver(spec.driver)
                .verify_point(&spec, point)
                .unwrap();
        }
        let mut expected: BTreeSet<String> = rows.into_iter().map(|(_, p)| p.file).collect();
        expected.insert("lock".to_owned());
        let mut there = files(&spec.folder());
        // That the head was made here.
        there.retain(|file| !file.starts_with("made-"));
        assert_eq!(there, expected);
    }

    /// Where it is, and how its latest operation ended.
    async fn assert_disk(&self, name: &str, state: DiskState, ended: &Ended) {
        let disk = self.disk(name).await;
        assert_eq!(disk.state, state, "{name}");
        assert_eq!(
            disk.server.is_some(),
            state == DiskState::Attached,
            "{name}: {:?}",
            disk.server
        );
        let told = match ended.outcome {
            Outcome::Applied => OperationState::Success,
            _ => OperationState::Failed,
        };
        assert_eq!(disk.latest.unwrap().state, told, "{name}");
    }
}

fn files(folder: &Path) -> BTreeSet<String> {
    match std::fs::read_dir(folder) {
        Ok(entries) => entries
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect(),
        Err(_) => BTreeSet::new(),
    }
}

fn user(name: &str) -> (String, SnapshotKind) {
    (name.to_owned(), SnapshotKind::User)
}

/// An existing file.
struct Adding;

impl Scenario<Host> for Adding {
    fn procedure(&self) -> &'static str {
        "servers.add_disk"
    }

    async fn set_up(&self, host: &Host) {
        Host::write(&host.image(), OLD);
    }

    async fn submit(&self, host: &Host) -> JobId {
        host.add("data", Source::File(host.image())).await
    }

    async fn check(&self, host: &Host, ended: &Ended) {
        assert_eq!(host.contents(), OLD);
        if ended.outcome == Outcome::Applied {
            host.assert_disk("data", DiskState::Unattached, ended).await;
            host.clean_slate("data").await;
        } else {
            assert!(host.is_gone("data").await);
            // The same file can be added again under the same name.
            let job = host.add("data", Source::File(host.image())).await;
            host.finish(&job).await;
        }
    }

    async fn check_held(&self, host: &Host, _job: &JobView) {
        assert_eq!(host.disk("data").await.state, DiskState::Creating);
        assert_eq!(host.contents(), OLD);
    }
}

/// A blank one.
struct Making;

impl Scenario<Host> for Making {
    fn procedure(&self) -> &'static str {
        "servers.add_disk"
    }

    async fn set_up(&self, _host: &Host) {}

    async fn submit(&self, host: &Host) -> JobId {
        let size_bytes = SIZE_BYTES as u64;
        host.add("blank", Source::Blank { size_bytes }).await
    }

    async fn check(&self, host: &Host, ended: &Ended) {
        let made = host.folder.join("pool").join("disks");
        if ended.outcome == Outcome::Applied {
            host.assert_disk("blank", DiskState::Unattached, ended)
                .await;
            let disk = host.disk("blank").await;
            assert!(disk.made);
            assert_eq!(disk.volume.size_bytes, SIZE_BYTES as u64);
            let contents = std::fs::read(&disk.volume.head).unwrap();
            assert_eq!(contents, vec![0_u8; SIZE_BYTES]);
            host.clean_slate("blank").await;
        } else {
            assert!(host.is_gone("blank").await);
            assert_eq!(files(&made), BTreeSet::new(), "nothing is left");
        }
    }
}

/// Two at once.
struct Attaching;

impl Scenario<Host> for Attaching {
    fn procedure(&self) -> &'static str {
        "servers.attach"
    }

    async fn set_up(&self, host: &Host) {
        host.server().await;
        host.disk_added().await;
        host.blank_added("blank").await;
    }

    async fn submit(&self, host: &Host) -> JobId {
        host.attach(&["data", "blank"]).await
    }

    async fn check(&self, host: &Host, ended: &Ended) {
        let state = match ended.outcome {
            Outcome::Applied => DiskState::Attached,
            _ => DiskState::Unattached,
        };
        host.assert_disk("data", state, ended).await;
        host.assert_disk("blank", state, ended).await;
        assert_eq!(host.contents(), OLD);
    }

    async fn check_held(&self, host: &Host, _job: &JobView) {
        let disk = host.disk("data").await;
        assert_eq!(disk.state, DiskState::Attaching);
        assert_eq!(disk.latest.unwrap().state, OperationState::Failed);
    }
}

struct Detaching;

impl Scenario<Host> for Detaching {
    fn procedure(&self) -> &'static str {
        "servers.detach"
    }

    async fn set_up(&self, host: &Host) {
        host.attached().await;
    }

    async fn submit(&self, host: &Host) -> JobId {
        let disks = ["data".to_owned()];
        let jobs = host.servers.detach(&caller(), &disks).await.unwrap();
        jobs[0].clone()
    }

    async fn check(&self, host: &Host, ended: &Ended) {
        let state = match ended.outcome {
            Outcome::Applied => DiskState::Unattached,
            _ => DiskState::Attached,
        };
        host.assert_disk("data", state, ended).await;
        assert_eq!(host.contents(), OLD);
        assert!(host.runs());
    }

    async fn check_held(&self, host: &Host, _job: &JobView) {
        assert_eq!(host.disk("data").await.state, DiskState::Detaching);
    }
}

struct Removing;

impl Scenario<Host> for Removing {
    fn procedure(&self) -> &'static str {
        "servers.remove_disk"
    }

    async fn set_up(&self, host: &Host) {
        host.blank_added("blank").await;
        host.backed_up(DiskRef::Disk("blank".into()), "kept").await;
    }

    async fn submit(&self, host: &Host) -> JobId {
        host.servers.remove_disk(&caller(), "blank").await.unwrap()
    }

    async fn check(&self, host: &Host, ended: &Ended) {
        if ended.outcome == Outcome::Applied {
            assert!(host.is_gone("blank").await);
            let made = host.folder.join("pool").join("disks");
            assert_eq!(files(&made), BTreeSet::new(), "nothing is left");
        } else {
            host.assert_disk("blank", DiskState::Unattached, ended)
                .await;
            assert_eq!(host.backups("blank").await, [user("kept")]);
            host.clean_slate("blank").await;
        }
    }
}

struct BackingUp;

impl Scenario<Host> for BackingUp {
    fn procedure(&self) -> &'static str {
        "servers.create_snapshot"
    }

    async fn set_up(&self, host: &Host) {
        host.attached().await;
        host.backed_up(data(), "earlier").await;
    }

    async fn submit(&self, host: &Host) -> JobId {
        host.back_up(data(), "wanted").await
    }

    async fn check(&self, host: &Host, ended: &Ended) {
        assert_eq!(host.contents(), OLD);
        let mut expected = vec![user("earlier")];
        if ended.outcome == Outcome::Applied {
            expected.push(user("wanted"));
        }
        assert_eq!(host.backups("data").await, expected);
        host.assert_disk("data", DiskState::Attached, ended).await;
        host.clean_slate("data").await;
        assert!(host.runs());
    }
}

struct GoingBack;

impl Scenario<Host> for GoingBack {
    fn procedure(&self) -> &'static str {
        "servers.apply_snapshot"
    }

    async fn set_up(&self, host: &Host) {
        host.attached().await;
        host.backed_up(data(), "good").await;
        Host::write(&host.image(), NEW);
        host.backed_up(data(), "newer").await;
    }

    async fn submit(&self, host: &Host) -> JobId {
        host.servers
            .apply_snapshot(&caller(), data(), "good")
            .await
            .unwrap()
    }

    async fn check(&self, host: &Host, ended: &Ended) {
        let mut expected = vec![user("good"), user("newer")];
        if ended.outcome == Outcome::Applied {
            assert_eq!(host.contents(), OLD);
            let safety = "before going back to good".to_owned();
            expected.insert(0, (safety, SnapshotKind::Safety));
        } else {
            assert_eq!(host.contents(), NEW);
        }
        assert_eq!(host.backups("data").await, expected);
        host.assert_disk("data", DiskState::Attached, ended).await;
        host.clean_slate("data").await;
        assert!(host.runs(), "it ran before, so it runs again");
        let server = host.servers.get(&owner(), "web").await.unwrap();
        assert_eq!(server.power, Power::Running);
    }

    async fn check_held(&self, host: &Host, _job: &JobView) {
        // One of the two, whole.
        assert!([OLD, NEW].contains(&host.contents().as_slice()));
        assert_eq!(host.disk("data").await.state, DiskState::Attached);
    }
}

struct Deleting;

impl Scenario<Host> for Deleting {
    fn procedure(&self) -> &'static str {
        "servers.delete_snapshot"
    }

    async fn set_up(&self, host: &Host) {
        host.attached().await;
        for name in ["a", "b", "c"] {
            host.backed_up(data(), name).await;
        }
    }

    async fn submit(&self, host: &Host) -> JobId {
        let subject = Subject::Disk(host.disk("data").await.volume.id);
        let mut ids = Vec::new();
        for name in ["a", "c"] {
            let found = host.servers.snapshot(&owner(), Some(&subject), name).await;
            ids.push(found.unwrap().id.to_string());
        }
        let jobs = host.servers.delete_snapshots(&caller(), &ids).await;
        jobs.unwrap().remove(0)
    }

    async fn check(&self, host: &Host, ended: &Ended) {
        assert_eq!(host.contents(), OLD);
        let left: &[&str] = if ended.outcome == Outcome::Applied {
            &["b"]
        } else {
            &["a", "b", "c"]
        };
        let expected: Vec<_> = left.iter().map(|n| user(n)).collect();
        assert_eq!(host.backups("data").await, expected);
        host.clean_slate("data").await;
    }
}

#[test]
fn survives_everything() {
    let report = Matrix::<Host>::new("survives_everything")
        .scenario(Adding)
        .scenario(Making)
        .scenario(Attaching)
        .scenario(Detaching)
        .scenario(Removing)
        .scenario(BackingUp)
        .scenario(GoingBack)
        .scenario(Deleting)
        .run();
    // 15 steps and 12 undos, each at four moments; that each point was reached
    // the matrix checks itself.
    assert!(report.kills >= 4 * 24, "{report:?}");
}
