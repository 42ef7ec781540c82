//! The procedures of a disk that is managed in place, failed, repeated,
//! cancelled and killed at every step. Those of a server's life, of data disks
//! and of upkeep have a matrix each.
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
    OperationState, Power, PowerCommands, Server, SnapshotKind, SnapshotState, Subject,
};
use backout_servers::persistence::{self, Page, SnapshotFilter};
use backout_servers::procedures::{Adopt, ApplySnapshot, CreateSnapshot, DeleteSnapshot, Release};
use backout_servers::{AskedBy, Caller, DiskRef, NewServer, Runtime, Servers};
use backout_shim::Shim;
use backout_store::Store;

const NODE: &str = "harness";
const OWNER: &str = "acct_aaaaaaaaaaaa";
const OLD: &[u8] = b"as it was";
const NEW: &[u8] = b"as it became";

/// A store and a disk in one folder.
struct Host {
    folder: PathBuf,
    store: Store,
    jobs: Jobs,
    servers: Servers,
}

impl World for Host {
    async fn open(folder: &Path) -> Self {
        let migrations = [backout_jobs::MIGRATIONS, backout_servers::MIGRATIONS].concat();
        let store = Store::open_sqlite(&folder.join("state.db"), &migrations).unwrap();
        let (clock, entropy) = (Arc::new(SystemClock), Arc::new(OsEntropy));
        let jobs = Jobs::new(store.clone(), clock.clone(), entropy.clone());
        let servers = Servers::new(
            store.clone(),
            jobs.clone(),
            clock,
            entropy,
            NODE.to_owned(),
            Runtime::new(folder, Shim::own(&["shim"])),
        );
        Self {
            folder: folder.to_owned(),
            store,
            jobs,
            servers,
        }
    }

    fn jobs(&self) -> &Jobs {
        &self.jobs
    }

    fn registry(&self) -> Registry {
        let runtime = Runtime::new(&self.folder, Shim::own(&["shim"]));
        Registry::new()
            .with(Adopt)
            .with(CreateSnapshot(runtime.clone()))
            .with(ApplySnapshot(runtime))
            .with(DeleteSnapshot)
            .with(Release)
    }
}

impl Host {
    fn disk(&self) -> PathBuf {
        self.folder.join("disk.img")
    }

    /// Whether the server's own commands left it running.
    fn runs(&self) -> bool {
        std::fs::read_to_string(self.folder.join("power")).is_ok_and(|p| p.trim() == "on")
    }

    fn write(&self, contents: &[u8]) {
        // 1 MiB with the text in its middle, the rest a hole.
        let mut whole = vec![0_u8; 1 << 20];
        whole[4096..4096 + contents.len()].copy_from_slice(contents);
        std::fs::write(self.disk(), whole).unwrap();
    }

    fn contents(&self) -> Vec<u8> {
        let whole = std::fs::read(self.disk()).unwrap();
        assert_eq!(whole.len(), 1 << 20);
        whole[4096..]
            .iter()
            .copied()
            .take_while(|b| *b != 0)
            .collect()
    }

    fn caller() -> Caller {
        Caller {
            account: OWNER.parse().unwrap(),
            owner: OWNER.parse().unwrap(),
            request: RequestId::random(&OsEntropy),
            idempotency: None,
        }
    }

    async fn finish(&self, job: &JobId) {
        let worker = Worker::start(&self.jobs, self.registry(), WorkerConfig::new(NODE))
            .await
            .unwrap();
        let ended = self.jobs.wait(job, Duration::from_secs(60)).await.unwrap();
        worker.stop().await;
        assert_eq!(ended.outcome, Some(Outcome::Applied), "{ended:?}");
    }

    async fn add(&self) -> JobId {
        let power = |word: &str| {
            Some(format!(
                "echo {word} > '{}'",
                self.folder.join("power").display()
            ))
        };
        let new = NewServer {
            format: None,
            name: "web".to_owned(),
            disk: self.disk(),
            driver: Some(DriverKind::Copy),
            commands: PowerCommands {
                start: power("on"),
                stop: power("off"),
            },
            machine: None,
            running: true,
            tags: Vec::new(),
        };
        self.servers.add(&Self::caller(), new).await.unwrap().1
    }

    /// A running server whose disk reads OLD.
    async fn managed(&self) {
        self.write(OLD);
        std::fs::write(self.folder.join("power"), "on").unwrap();
        let job = self.add().await;
        self.finish(&job).await;
    }

    async fn snapshot(&self, name: &str) {
        let (_, job) = self
            .servers
            .create_snapshot(
                &Self::caller(),
                DiskRef::Of("web".into()),
                Some(name.to_owned()),
                Vec::new(),
                AskedBy::Caller,
            )
            .await
            .unwrap();
        self.finish(&job).await;
    }

    async fn server(&self) -> Server {
        self.servers
            .get(&OWNER.parse().unwrap(), "web")
            .await
            .unwrap()
    }

    /// Names and kinds of the snapshots there are, each of them usable.
    async fn snapshots(&self) -> Vec<(String, SnapshotKind)> {
        let owner: AccountId = OWNER.parse().unwrap();
        let page = Page {
            offset: 0,
            limit: 100,
        };
        let (_, found) = self
            .servers
            .snapshots(&owner, SnapshotFilter::default(), page)
            .await
            .unwrap();
        let mut all: Vec<_> = found
            .into_iter()
            .map(|(s, percent)| {
                assert_eq!(
                    (s.state, percent),
                    (SnapshotState::Normal, 100),
                    "{}",
                    s.name
                );
                (s.name, s.kind)
            })
            .collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }

    /// The folder of restore points holds what the rows name, and nothing else;
    /// each of them is whole.
    async fn clean_slate(&self) {
        let server = self.server().await;
        let subject = Subject::Server(server.id.clone());
        let rows = self
            .store
            .read(move |tx| persistence::points_of(tx, &subject))
            .await
            .unwrap();
        let spec = server.disk.spec();
        for (_, point) in &rows {
            backout_disks::driver(spec.driver)
                .verify_point(&spec, point)
                .unwrap();
        }
        let mut expected: BTreeSet<String> = rows.into_iter().map(|(_, p)| p.file).collect();
        expected.insert("lock".to_owned());
        assert_eq!(files(&spec.folder()), expected);
    }

    async fn latest(&self) -> OperationState {
        self.server().await.latest.unwrap().state
    }
}

fn files(folder: &Path) -> BTreeSet<String> {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect()
}

fn told(outcome: Outcome) -> OperationState {
    if outcome == Outcome::Applied {
        OperationState::Success
    } else {
        OperationState::Failed
    }
}

struct Adopting;

impl Scenario<Host> for Adopting {
    fn procedure(&self) -> &'static str {
        "servers.adopt"
    }

    async fn set_up(&self, host: &Host) {
        host.write(OLD);
    }

    async fn submit(&self, host: &Host) -> JobId {
        host.add().await
    }

    async fn check(&self, host: &Host, ended: &Ended) {
        assert_eq!(host.contents(), OLD);
        if ended.outcome == Outcome::Applied {
            assert_eq!(host.server().await.power, Power::Running);
            host.clean_slate().await;
        } else {
            assert!(
                host.servers
                    .get(&OWNER.parse().unwrap(), "web")
                    .await
                    .is_err()
            );
            // The same disk can be added again under the same name.
            let job = host.add().await;
            host.finish(&job).await;
        }
    }
}

struct Creating;

impl Scenario<Host> for Creating {
    fn procedure(&self) -> &'static str {
        "servers.create_snapshot"
    }

    async fn set_up(&self, host: &Host) {
        host.managed().await;
        host.snapshot("earlier").await;
    }

    async fn submit(&self, host: &Host) -> JobId {
        let name = Some("wanted".to_owned());
        host.servers
            .create_snapshot(
                &Host::caller(),
                DiskRef::Of("web".into()),
                name,
                Vec::new(),
                AskedBy::Caller,
            )
            .await
            .unwrap()
            .1
    }

    async fn check(&self, host: &Host, ended: &Ended) {
        assert_eq!(host.contents(), OLD);
        let mut expected = vec![("earlier".to_owned(), SnapshotKind::User)];
        if ended.outcome == Outcome::Applied {
            expected.push(("wanted".to_owned(), SnapshotKind::User));
        }
        assert_eq!(host.snapshots().await, expected);
        assert_eq!(host.latest().await, told(ended.outcome));
        host.clean_slate().await;
    }
}

struct Applying;

impl Scenario<Host> for Applying {
    fn procedure(&self) -> &'static str {
        "servers.apply_snapshot"
    }

    async fn set_up(&self, host: &Host) {
        host.managed().await;
        host.snapshot("good").await;
        host.write(NEW);
        host.snapshot("newer").await;
    }

    async fn submit(&self, host: &Host) -> JobId {
        host.servers
            .apply_snapshot(&Host::caller(), DiskRef::Of("web".into()), "good")
            .await
            .unwrap()
    }

    async fn check(&self, host: &Host, ended: &Ended) {
        let user = |name: &str| (name.to_owned(), SnapshotKind::User);
        let mut expected = vec![user("good"), user("newer")];
        if ended.outcome == Outcome::Applied {
            assert_eq!(host.contents(), OLD);
            expected.insert(
                0,
                ("before going back to good".to_owned(), SnapshotKind::Safety),
            );
        } else {
            assert_eq!(host.contents(), NEW);
        }
        assert_eq!(host.snapshots().await, expected, "newer snapshots survive");
        assert_eq!(host.latest().await, told(ended.outcome));
        assert!(host.runs(), "it ran before, so it runs again");
        assert_eq!(host.server().await.power, Power::Running);
        host.clean_slate().await;
    }

    async fn check_held(&self, host: &Host, job: &JobView) {
        assert!(
            job.next_command
                .as_ref()
                .is_some_and(|c| c.contains("backout jobs retry")),
            "{job:?}"
        );
        // One of the two, whole.
        assert!([OLD, NEW].contains(&host.contents().as_slice()));
        assert_eq!(host.latest().await, OperationState::Failed);
    }
}

struct Deleting;

impl Scenario<Host> for Deleting {
    fn procedure(&self) -> &'static str {
        "servers.delete_snapshot"
    }

    async fn set_up(&self, host: &Host) {
        host.managed().await;
        for name in ["a", "b", "c"] {
            host.snapshot(name).await;
        }
    }

    async fn submit(&self, host: &Host) -> JobId {
        let owner: AccountId = OWNER.parse().unwrap();
        let mut ids = Vec::new();
        for name in ["a", "c"] {
            let server = host.server().await;
            ids.push(
                host.servers
                    .snapshot(&owner, Some(&Subject::Server(server.id.clone())), name)
                    .await
                    .unwrap()
                    .id
                    .to_string(),
            );
        }
        host.servers
            .delete_snapshots(&Host::caller(), &ids)
            .await
            .unwrap()
            .remove(0)
    }

    async fn check(&self, host: &Host, ended: &Ended) {
        assert_eq!(host.contents(), OLD);
        let left: &[&str] = if ended.outcome == Outcome::Applied {
            &["b"]
        } else {
            &["a", "b", "c"]
        };
        let expected: Vec<_> = left
            .iter()
            .map(|n| ((*n).to_owned(), SnapshotKind::User))
            .collect();
        assert_eq!(host.snapshots().await, expected);
        host.clean_slate().await;
    }
}

struct Releasing;

impl Scenario<Host> for Releasing {
    fn procedure(&self) -> &'static str {
        "servers.release"
    }

    async fn set_up(&self, host: &Host) {
        host.managed().await;
        host.snapshot("kept").await;
    }

    async fn submit(&self, host: &Host) -> JobId {
        host.servers.release(&Host::caller(), "web").await.unwrap()
    }

    async fn check(&self, host: &Host, ended: &Ended) {
        assert_eq!(host.contents(), OLD);
        if ended.outcome == Outcome::Applied {
            assert!(
                host.servers
                    .get(&OWNER.parse().unwrap(), "web")
                    .await
                    .is_err()
            );
            // The restore point's file stays, and the disk can be added again.
            let left = files(&host.folder.join("disk.img.backout"));
            assert!(left.iter().any(|f| f.starts_with("point-")), "{left:?}");
            let job = host.add().await;
            host.finish(&job).await;
        } else {
            host.clean_slate().await;
        }
    }
}

#[test]
fn survives_everything() {
    let report = Matrix::<Host>::new("survives_everything")
        .scenario(Adopting)
        .scenario(Creating)
        .scenario(Applying)
        .scenario(Deleting)
        .scenario(Releasing)
        .run();
    // 9 steps, 8 undos: that each point was reached the matrix checks itself.
    assert!(report.kills >= 4 * 16, "{report:?}");
}
