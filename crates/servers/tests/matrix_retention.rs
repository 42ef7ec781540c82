//! What happens by itself, and compaction, failed, repeated, cancelled and
//! killed at every step.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use backout_core::ids::{AccountId, JobId, OsEntropy, RequestId};
use backout_core::outcome::Outcome;
use backout_core::time::{Clock, ManualClock, SystemClock, Timestamp};
use backout_disks::{DriverKind, Format};
use backout_jobs::harness::{Ended, Matrix, Scenario, World};
use backout_jobs::{Jobs, Registry, Worker, WorkerConfig};
use backout_servers::model::{PowerCommands, Server, SnapshotKind, Subject};
use backout_servers::persistence::{self, Page, SnapshotFilter};
use backout_servers::procedures::{Adopt, ApplySnapshot, Compact, CreateSnapshot, DeleteSnapshot};
use backout_servers::retention::{DAY_MS, SCHEDULE_MIN_MS};
use backout_servers::{AskedBy, Caller, DiskRef, NewServer, Runtime, Servers};
use backout_shim::Shim;
use backout_store::Store;

const NODE: &str = "harness";
const OWNER: &str = "acct_aaaaaaaaaaaa";
const SIZE: usize = 1 << 20;

/// A store and a disk under the qcow2 driver, in one folder. Its clock stands
/// where the file `clock` says.
struct Host {
    folder: PathBuf,
    store: Store,
    jobs: Jobs,
    servers: Servers,
    runtime: Runtime,
    clock: ManualClock,
}

impl World for Host {
    async fn open(folder: &Path) -> Self {
        let migrations = [backout_jobs::MIGRATIONS, backout_servers::MIGRATIONS].concat();
        let store = Store::open_sqlite(&folder.join("state.db"), &migrations).unwrap();
        let saved = std::fs::read_to_string(folder.join("clock"));
        // Jobs go by the real clock: theirs must not be of the future.
        let now = saved.map_or(SystemClock.now().0 - 30 * DAY_MS, |text| {
            text.parse().unwrap()
        });
        let clock = ManualClock::at(Timestamp(now));
        let runtime = Runtime::new(folder, Shim::own(&["shim"]));
        let jobs = Jobs::new(store.clone(), Arc::new(SystemClock), Arc::new(OsEntropy));
        let servers = Servers::new(
            store.clone(),
            jobs.clone(),
            Arc::new(clock.clone()),
            Arc::new(OsEntropy),
            NODE.to_owned(),
            runtime.clone(),
        );
        Self {
            folder: folder.to_owned(),
            store,
            jobs,
            servers,
            runtime,
            clock,
        }
    }

    fn jobs(&self) -> &Jobs {
        &self.jobs
    }

    fn registry(&self) -> Registry {
        Registry::new()
            .with(Adopt)
            .with(CreateSnapshot(self.runtime.clone()))
            .with(ApplySnapshot(self.runtime.clone()))
            .with(DeleteSnapshot)
            .with(Compact(self.runtime.clone()))
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

fn web() -> DiskRef {
    DiskRef::Of("web".into())
}

fn tool(program: &str, arguments: &[&str]) {
    let done = Command::new(program).args(arguments).output().unwrap();
    assert!(
        done.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
}

/// The image's contents, as a machine sees them.
fn contents(image: &Path, format: Format, scratch: &Path) -> Vec<u8> {
    let raw = scratch.join("contents.raw");
    tool(
        "qemu-img",
        &[
            "convert",
            "-f",
            format.as_str(),
            "-O",
            "raw",
            image.to_str().unwrap(),
            raw.to_str().unwrap(),
        ],
    );
    std::fs::read(raw).unwrap()
}

impl Host {
    fn disk(&self) -> PathBuf {
        self.folder.join("disk.img")
    }

    fn turn_clock(&self, ms: i64) {
        let now = self.clock.now().plus_ms(ms);
        self.clock.advance_ms(ms);
        std::fs::write(self.folder.join("clock"), now.0.to_string()).unwrap();
    }

    async fn finish(&self, job: &JobId) {
        let worker = Worker::start(&self.jobs, self.registry(), WorkerConfig::new(NODE))
            .await
            .unwrap();
        let ended = self.jobs.wait(job, Duration::from_secs(60)).await.unwrap();
        worker.stop().await;
        assert_eq!(ended.outcome, Some(Outcome::Applied), "{ended:?}");
    }

    /// Block `n` of the disk reads `n + 1` from now on.
    fn write(&self, n: usize) {
        let write = format!("write -q -P {} {} 4096", n + 1, n * 4096);
        let disk = self.disk();
        tool(
            "qemu-io",
            &["-f", "qcow2", "-c", &write, disk.to_str().unwrap()],
        );
    }

    /// What the disk reads after the first `n` writes.
    fn expected(n: usize) -> Vec<u8> {
        let mut whole = vec![0; SIZE];
        for block in 0..n {
            whole[block * 4096..(block + 1) * 4096].fill(u8::try_from(block + 1).unwrap());
        }
        whole
    }

    async fn server(&self) -> Server {
        self.servers.get(&owner(), "web").await.unwrap()
    }

    /// A managed disk with one write.
    async fn managed(&self) {
        std::fs::write(self.disk(), vec![0; SIZE]).unwrap();
        let new = NewServer {
            format: None,
            name: "web".to_owned(),
            disk: self.disk(),
            driver: Some(DriverKind::Qcow2),
            commands: PowerCommands::default(),
            machine: None,
            running: false,
            tags: Vec::new(),
        };
        let (_, job) = self.servers.add(&caller(), new).await.unwrap();
        self.finish(&job).await;
        self.write(0);
    }

    async fn snapshot(&self, name: &str) {
        let (_, job) = self
            .servers
            .create_snapshot(
                &caller(),
                web(),
                Some(name.to_owned()),
                Vec::new(),
                AskedBy::Caller,
            )
            .await
            .unwrap();
        self.finish(&job).await;
    }

    async fn points(&self) -> Vec<(String, SnapshotKind)> {
        let page = Page {
            offset: 0,
            limit: 100,
        };
        let (_, found) = self
            .servers
            .snapshots(&owner(), SnapshotFilter::default(), page)
            .await
            .unwrap();
        found.into_iter().map(|(s, _)| (s.name, s.kind)).collect()
    }

    /// Every restore point that a row names is whole, and reads as it did; no
    /// file is there that nothing needs.
    async fn whole(&self, writes: usize, points: &[(&str, usize)]) {
        let server = self.server().await;
        let spec = server.disk.spec();
        assert_eq!(
            contents(&spec.head, Format::Qcow2, &self.folder),
            Self::expected(writes)
        );
        let subject = Subject::Server(server.id.clone());
        for (name, writes) in points {
            let snapshot = self
                .servers
                .snapshot(&owner(), Some(&subject), name)
                .await
                .unwrap();
            let point = snapshot.point.unwrap();
            backout_disks::driver(spec.driver)
                .verify_point(&spec, &point)
                .unwrap();
            let path = spec.point_path(&point).unwrap();
            assert_eq!(
                contents(&path, point.format, &self.folder),
                Self::expected(*writes),
                "{name}"
            );
        }
    }

    async fn layers(&self) -> u32 {
        let spec = self.server().await.disk.spec();
        backout_disks::driver(spec.driver)
            .inspect(&spec)
            .unwrap()
            .layers
    }

    async fn files(&self) -> BTreeSet<String> {
        std::fs::read_dir(self.server().await.disk.spec().folder())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect()
    }
}

/// A chain of four: two points that stay, and one that was given up below.
struct Compacting;

impl Scenario<Host> for Compacting {
    fn procedure(&self) -> &'static str {
        "servers.compact"
    }

    async fn set_up(&self, host: &Host) {
        host.managed().await;
        host.snapshot("one").await;
        host.write(1);
        host.snapshot("two").await;
        host.write(2);
        host.snapshot("three").await;
        host.write(3);
        let gone = host
            .servers
            .delete_snapshots(
                &caller(),
                &[host
                    .servers
                    .snapshot(
                        &owner(),
                        Some(&Subject::Server(host.server().await.id)),
                        "three",
                    )
                    .await
                    .unwrap()
                    .id
                    .to_string()],
            )
            .await
            .unwrap();
        host.finish(&gone[0]).await;
        assert!(host.layers().await > 3);
    }

    async fn submit(&self, host: &Host) -> JobId {
        host.servers.compact(&caller(), web()).await.unwrap()
    }

    async fn check(&self, host: &Host, ended: &Ended) {
        let kept = [("one", 1), ("two", 2)];
        host.whole(4, &kept).await;
        let layers = host.layers().await;
        if ended.outcome == Outcome::Applied {
            assert_eq!(layers, 1);
            let mut wanted: BTreeSet<String> = ["lock".to_owned()].into();
            let subject = Subject::Server(host.server().await.id);
            let rows = host
                .store
                .read(move |tx| persistence::points_of(tx, &subject))
                .await
                .unwrap();
            wanted.extend(rows.into_iter().map(|(_, point)| point.file));
            let files = host.files().await;
            let base: Vec<&String> = files
                .iter()
                .filter(|f| !wanted.contains(*f) && !f.contains("base-"))
                .collect();
            assert!(base.is_empty(), "{base:?}");
        }
        for file in host.files().await {
            let left = ["tmp", "stage", "trash"].iter().any(|w| file.contains(w));
            assert!(!left && !file.contains("job_"), "{file}: {}", ended.case);
        }
        // It goes on from there.
        host.write(4);
        host.snapshot("after").await;
        host.whole(5, &[("one", 1), ("two", 2), ("after", 5)]).await;
    }
}

/// A snapshot that a schedule takes.
struct Scheduled;

impl Scenario<Host> for Scheduled {
    fn procedure(&self) -> &'static str {
        "servers.create_snapshot"
    }

    async fn set_up(&self, host: &Host) {
        host.managed().await;
        host.servers
            .set_schedule(&caller(), "web", Some((SCHEDULE_MIN_MS, 1)))
            .await
            .unwrap();
        host.turn_clock(SCHEDULE_MIN_MS);
    }

    async fn submit(&self, host: &Host) -> JobId {
        host.servers.tend().await.unwrap().taken.remove(0)
    }

    async fn check(&self, host: &Host, ended: &Ended) {
        let kinds: Vec<SnapshotKind> = host.points().await.into_iter().map(|p| p.1).collect();
        let want = match ended.outcome {
            Outcome::Applied => vec![SnapshotKind::Scheduled],
            _ => Vec::new(),
        };
        assert_eq!(kinds, want);
        host.whole(1, &[]).await;
        // Nobody asked anything of the server.
        let latest = host.server().await.latest.unwrap();
        assert_eq!(latest.kind.as_str(), "adopt");
        // In either case not at once again, but the next time.
        assert!(host.servers.tend().await.unwrap().taken.is_empty());
        host.turn_clock(SCHEDULE_MIN_MS);
        let next = host.servers.tend().await.unwrap().taken.remove(0);
        host.finish(&next).await;
    }
}

/// A scheduled snapshot that goes because there is a newer one.
struct Superseded;

impl Scenario<Host> for Superseded {
    fn procedure(&self) -> &'static str {
        "servers.delete_snapshot"
    }

    async fn set_up(&self, host: &Host) {
        Scheduled.set_up(host).await;
        host.snapshot("mine").await;
        for _ in 0..2 {
            let job = host.servers.tend().await.unwrap().taken.remove(0);
            host.finish(&job).await;
            host.turn_clock(SCHEDULE_MIN_MS);
        }
    }

    async fn submit(&self, host: &Host) -> JobId {
        // The third is due by now: what goes is asked for after it.
        host.servers
            .set_schedule(&caller(), "web", Some((SCHEDULE_MIN_MS, 1)))
            .await
            .unwrap();
        host.servers.tend().await.unwrap().deleted.remove(0)
    }

    async fn check(&self, host: &Host, ended: &Ended) {
        let mut kinds: Vec<&str> = Vec::new();
        for (_, kind) in host.points().await {
            kinds.push(kind.as_str());
        }
        kinds.sort_unstable();
        let want: &[&str] = match ended.outcome {
            Outcome::Applied => &["scheduled", "user"],
            _ => &["scheduled", "scheduled", "user"],
        };
        assert_eq!(kinds, want);
        host.whole(1, &[("mine", 1)]).await;
    }
}

/// A safety point whose time is over.
struct Expired;

impl Scenario<Host> for Expired {
    fn procedure(&self) -> &'static str {
        "servers.delete_snapshot"
    }

    async fn set_up(&self, host: &Host) {
        host.managed().await;
        host.snapshot("mine").await;
        host.write(1);
        let job = host
            .servers
            .apply_snapshot(&caller(), web(), "mine")
            .await
            .unwrap();
        host.finish(&job).await;
        std::fs::write(host.folder.join("rollback"), job.as_str()).unwrap();
        host.turn_clock(host.runtime.safety_keep_ms - 1);
        assert!(host.servers.tend().await.unwrap().deleted.is_empty());
        host.turn_clock(1);
    }

    async fn submit(&self, host: &Host) -> JobId {
        host.servers.tend().await.unwrap().deleted.remove(0)
    }

    async fn check(&self, host: &Host, ended: &Ended) {
        let text = std::fs::read_to_string(host.folder.join("rollback")).unwrap();
        let rollback: JobId = text.parse().unwrap();
        host.whole(1, &[("mine", 1)]).await;
        if ended.outcome == Outcome::Applied {
            assert_eq!(
                host.points().await,
                [("mine".to_owned(), SnapshotKind::User)]
            );
            let refused = host.servers.undo(&caller(), &rollback).await.unwrap_err();
            assert!(refused.to_string().contains("that is gone"), "{refused}");
        } else {
            let undo = host.servers.undo(&caller(), &rollback).await.unwrap();
            host.finish(&undo).await;
            host.whole(2, &[("mine", 1)]).await;
        }
    }
}

/// A rollback to a disk whose chain was shortened.
struct RollingBack;

impl Scenario<Host> for RollingBack {
    fn procedure(&self) -> &'static str {
        "servers.apply_snapshot"
    }

    async fn set_up(&self, host: &Host) {
        host.managed().await;
        host.snapshot("one").await;
        host.write(1);
        host.snapshot("two").await;
        host.write(2);
        let job = host.servers.compact(&caller(), web()).await.unwrap();
        host.finish(&job).await;
        host.write(3);
    }

    async fn submit(&self, host: &Host) -> JobId {
        host.servers
            .apply_snapshot(&caller(), web(), "one")
            .await
            .unwrap()
    }

    async fn check(&self, host: &Host, ended: &Ended) {
        let writes = if ended.outcome == Outcome::Applied {
            1
        } else {
            4
        };
        host.whole(writes, &[("one", 1), ("two", 2)]).await;
    }
}

/// What every other test of it begins with.
struct Adopting;

impl Scenario<Host> for Adopting {
    fn procedure(&self) -> &'static str {
        "servers.adopt"
    }

    async fn set_up(&self, host: &Host) {
        std::fs::write(host.disk(), vec![0; SIZE]).unwrap();
    }

    async fn submit(&self, host: &Host) -> JobId {
        let new = NewServer {
            format: None,
            name: "web".to_owned(),
            disk: host.disk(),
            driver: Some(DriverKind::Qcow2),
            commands: PowerCommands::default(),
            machine: None,
            running: false,
            tags: Vec::new(),
        };
        host.servers.add(&caller(), new).await.unwrap().1
    }

    async fn check(&self, host: &Host, ended: &Ended) {
        let format = match ended.outcome {
            Outcome::Applied => Format::Qcow2,
            _ => Format::Raw,
        };
        assert_eq!(
            contents(&host.disk(), format, &host.folder),
            Host::expected(0)
        );
    }
}

#[test]
fn what_happens_by_itself_survives_everything() {
    Matrix::<Host>::new("what_happens_by_itself_survives_everything")
        .scenario(Adopting)
        .scenario(Compacting)
        .scenario(Scheduled)
        .scenario(Superseded)
        .scenario(Expired)
        .scenario(RollingBack)
        .run();
}
