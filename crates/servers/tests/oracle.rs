//! Random moves on one server, by the service and a worker, against a model that
//! knows what the disk and each of its restore points hold.
//!
//! `BACKOUT_SOAK=N` makes N times as many moves, `BACKOUT_SOAK_SEED=N` repeats a
//! run: each prints its seed.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::print_stdout, reason = "a failure is repeated by its seed")]

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use backout_core::ids::{AccountId, JobId, OsEntropy, RequestId};
use backout_core::outcome::Outcome;
use backout_core::time::{Clock as _, ManualClock, SystemClock};
use backout_disks::{DriverKind, Format};
use backout_jobs::{Jobs, Registry, Worker, WorkerConfig};
use backout_servers::model::{PowerCommands, Snapshot, SnapshotKind, SnapshotState, Volume};
use backout_servers::persistence::{Page, SnapshotFilter};
use backout_servers::retention::{DAY_MS, SCHEDULE_MIN_MS};
use backout_servers::{AskedBy, Caller, DiskRef, NewServer, Runtime, Servers};
use backout_shim::Shim;
use backout_store::Store;

const OWNER: &str = "acct_aaaaaaaaaaaa";
const BLOCK: usize = 4096;
const BLOCKS: usize = 32;
/// Moves of a run of the whole test.
const MOVES: u64 = 250;
/// A schedule keeps as many.
const KEEP: u32 = 2;
/// The most restore points of each kind that a user keeps.
const POINTS: usize = 6;
/// After so many moves every restore point is read.
const LOOK_EVERY: u64 = 10;

/// What a disk holds: a number for each block.
type Contents = [u8; BLOCKS];

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides as u64).unwrap()
    }
}

struct Oracle {
    folder: PathBuf,
    scratch: PathBuf,
    jobs: Jobs,
    servers: Servers,
    clock: ManualClock,
    safety_keep_ms: i64,
    head: Contents,
    /// By id.
    points: BTreeMap<String, (SnapshotKind, Contents)>,
    /// Applied rollbacks that nobody undid, and the safety point of each.
    undoable: Vec<(JobId, String)>,
    done: BTreeMap<&'static str, u64>,
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

impl Oracle {
    async fn new(kind: DriverKind, folder: &Path, scratch: &Path) -> (Self, Worker) {
        let migrations = [backout_jobs::MIGRATIONS, backout_servers::MIGRATIONS].concat();
        let store = Store::open_sqlite(&scratch.join("state.db"), &migrations).unwrap();
        // Jobs go by the real clock: theirs must not be of the future.
        let clock = ManualClock::at(SystemClock.now().plus_ms(-10_000 * DAY_MS));
        let jobs = Jobs::new(store.clone(), Arc::new(SystemClock), Arc::new(OsEntropy));
        let runtime = Runtime::new(scratch, Shim::own(&["shim"])).keeping_safety_points(3);
        let safety_keep_ms = runtime.safety_keep_ms;
        let servers = Servers::new(
            store,
            jobs.clone(),
            Arc::new(clock.clone()),
            Arc::new(OsEntropy),
            "here".to_owned(),
            runtime,
        );
        let registry = servers.register(Registry::new());
        let worker = Worker::start(&jobs, registry, WorkerConfig::new("here"))
            .await
            .unwrap();
        let disk = folder.join("web.img");
        std::fs::write(&disk, vec![0; BLOCK * BLOCKS]).unwrap();
        let new = NewServer {
            format: None,
            name: "web".to_owned(),
            disk,
            driver: Some(kind),
            commands: PowerCommands::default(),
            machine: None,
            running: false,
            tags: Vec::new(),
        };
        let (_, job) = servers.add(&caller(), new).await.unwrap();
        let oracle = Self {
            folder: folder.to_owned(),
            scratch: scratch.to_owned(),
            jobs,
            servers,
            clock,
            safety_keep_ms,
            head: [0; BLOCKS],
            points: BTreeMap::new(),
            undoable: Vec::new(),
            done: BTreeMap::new(),
        };
        oracle.finish(&job).await;
        let schedule = Some((SCHEDULE_MIN_MS, KEEP));
        oracle
            .servers
            .set_schedule(&caller(), "web", schedule)
            .await
            .unwrap();
        (oracle, worker)
    }

    async fn finish(&self, job: &JobId) {
        let ended = self.jobs.wait(job, Duration::from_secs(60)).await.unwrap();
        assert_eq!(ended.outcome, Some(Outcome::Applied), "{ended:?}");
    }

    async fn volume(&self) -> Volume {
        self.servers.get(&owner(), "web").await.unwrap().disk
    }

    async fn rows(&self) -> Vec<Snapshot> {
        let page = Page {
            offset: 0,
            limit: 100,
        };
        let found = self
            .servers
            .snapshots(&owner(), SnapshotFilter::default(), page)
            .await
            .unwrap();
        assert_eq!(found.0, found.1.len() as u64);
        found.1.into_iter().map(|(s, _)| s).collect()
    }

    fn ids_of(&self, kind: SnapshotKind) -> Vec<String> {
        let of_kind = self.points.iter().filter(|(_, (k, _))| *k == kind);
        of_kind.map(|(id, _)| id.clone()).collect()
    }

    fn some_point(&self, dice: &mut Dice) -> Option<String> {
        let at = dice.roll(self.points.len().max(1));
        self.points.keys().nth(at).cloned()
    }

    async fn write(&mut self, dice: &mut Dice) {
        let volume = self.volume().await;
        for _ in 0..=dice.roll(3) {
            let (block, byte) = (dice.roll(BLOCKS), u8::try_from(dice.roll(256)).unwrap());
            let at = block * BLOCK;
            match volume.format {
                Format::Raw => File::options()
                    .write(true)
                    .open(&volume.head)
                    .unwrap()
                    .write_all_at(&[byte; BLOCK], at as u64)
                    .unwrap(),
                Format::Qcow2 => {
                    let command = format!("write -q -P {byte} {at} {BLOCK}");
                    let head = volume.head.to_str().unwrap();
                    tool("qemu-io", &["-f", "qcow2", "-c", &command, head]);
                }
            }
            self.head[block] = byte;
        }
    }

    async fn snapshot(&mut self) {
        if self.ids_of(SnapshotKind::User).len() >= POINTS {
            return;
        }
        let made = self
            .servers
            .create_snapshot(&caller(), web(), None, Vec::new(), AskedBy::Caller)
            .await;
        let (id, job) = made.unwrap();
        self.finish(&job).await;
        self.points
            .insert(id.to_string(), (SnapshotKind::User, self.head));
    }

    /// What a rollback to `to` leaves.
    async fn went_back(&mut self, job: JobId, to: &str) {
        self.finish(&job).await;
        let new: Vec<Snapshot> = self
            .rows()
            .await
            .into_iter()
            .filter(|s| !self.points.contains_key(s.id.as_str()))
            .collect();
        assert_eq!(new.len(), 1, "{new:?}");
        assert_eq!(new[0].kind, SnapshotKind::Safety);
        let safety = new[0].id.to_string();
        self.points
            .insert(safety.clone(), (SnapshotKind::Safety, self.head));
        self.undoable.push((job, safety));
        self.head = self.points[to].1;
    }

    async fn roll_back(&mut self, dice: &mut Dice) {
        let Some(to) = self.some_point(dice) else {
            return;
        };
        let job = self
            .servers
            .apply_snapshot(&caller(), web(), &to)
            .await
            .unwrap();
        self.went_back(job, &to).await;
    }

    async fn undo(&mut self, dice: &mut Dice) {
        if self.undoable.is_empty() {
            return;
        }
        let at = dice.roll(self.undoable.len());
        let (job, safety) = self.undoable.swap_remove(at);
        let undo = self.servers.undo(&caller(), &job).await;
        if !self.points.contains_key(&safety) {
            assert!(undo.unwrap_err().to_string().contains("is gone"));
            return;
        }
        self.went_back(undo.unwrap(), &safety).await;
    }

    async fn delete(&mut self, dice: &mut Dice) {
        let mut ids = Vec::new();
        for _ in 0..=dice.roll(3) {
            ids.extend(self.some_point(dice));
        }
        ids.sort();
        ids.dedup();
        if ids.is_empty() {
            return;
        }
        let jobs = self
            .servers
            .delete_snapshots(&caller(), &ids)
            .await
            .unwrap();
        self.finish(&jobs[0]).await;
        for id in &ids {
            self.points.remove(id);
        }
    }

    async fn compact(&mut self) {
        match self.servers.compact(&caller(), web()).await {
            Ok(job) => self.finish(&job).await,
            Err(e) => assert!(e.to_string().contains("there is nothing to do"), "{e}"),
        }
    }

    /// Time passes, and the keeper does what is due, until nothing is left of it.
    async fn wait(&mut self, ms: i64) {
        self.clock.advance_ms(ms);
        loop {
            let tended = self.servers.tend().await.unwrap();
            assert!(tended.put_off.is_empty(), "{tended:?}");
            let jobs = [&tended.taken, &tended.deleted, &tended.compacted];
            for job in jobs.into_iter().flatten() {
                let ended = self.jobs.wait(job, Duration::from_secs(60)).await.unwrap();
                assert_eq!(ended.outcome, Some(Outcome::Applied), "{ended:?}");
            }
            for new in self.rows().await {
                if new.kind == SnapshotKind::Scheduled && !self.points.contains_key(new.id.as_str())
                {
                    self.points
                        .insert(new.id.to_string(), (SnapshotKind::Scheduled, self.head));
                }
            }
            if jobs.iter().all(|jobs| jobs.is_empty()) {
                break;
            }
            // The keeper leaves a disk alone for a minute after a deletion.
            self.clock.advance_ms(61_000);
        }
        // What was to go by itself is gone: nothing of the user's.
        let (now, rows) = (self.clock.now(), self.rows().await);
        let there = |id: &str| rows.iter().any(|s| s.id.as_str() == id);
        self.points.retain(|id, (kind, _)| {
            assert!(*kind != SnapshotKind::User || there(id), "{id}");
            there(id)
        });
        assert!(rows.iter().all(|s| s.expires.is_none_or(|t| t > now)));
        assert!(self.ids_of(SnapshotKind::Scheduled).len() <= KEEP as usize);
    }

    fn read(&self, path: &Path, format: Format) -> Contents {
        let raw = match format {
            Format::Raw => path.to_owned(),
            Format::Qcow2 => {
                let raw = self.scratch.join("contents.raw");
                let (from, to) = (path.to_str().unwrap(), raw.to_str().unwrap());
                tool(
                    "qemu-img",
                    &["convert", "-f", "qcow2", "-O", "raw", from, to],
                );
                raw
            }
        };
        let whole = std::fs::read(raw).unwrap();
        assert_eq!(whole.len(), BLOCK * BLOCKS);
        let mut contents = [0; BLOCKS];
        for (block, bytes) in whole.chunks(BLOCK).enumerate() {
            assert!(bytes.iter().all(|b| *b == bytes[0]), "block {block}");
            contents[block] = bytes[0];
        }
        contents
    }

    async fn check(&self, all: bool, words: &str) {
        let volume = self.volume().await;
        let head = self.read(&volume.head, volume.format);
        assert_eq!(head, self.head, "the disk, {words}");
        let rows = self.rows().await;
        let ids: Vec<&str> = rows.iter().map(|s| s.id.as_str()).collect();
        let mut sorted = ids.clone();
        sorted.sort_unstable();
        let known: Vec<&str> = self.points.keys().map(String::as_str).collect();
        assert_eq!(sorted, known, "{words}");
        if !all {
            return;
        }
        let spec = volume.spec();
        for row in rows {
            assert_eq!(row.state, SnapshotState::Normal);
            let point = row.point.unwrap();
            let path = spec.point_path(&point).unwrap();
            let (kind, contents) = self.points[row.id.as_str()];
            assert_eq!(kind, row.kind);
            assert_eq!(
                self.read(&path, point.format),
                contents,
                "{} {}, {words}",
                row.kind.as_str(),
                row.id
            );
        }
        // Nothing half made is left.
        for entry in std::fs::read_dir(spec.folder()).unwrap() {
            let file = entry.unwrap().file_name().into_string().unwrap();
            let half = ["tmp", "stage", "trash"].iter().any(|w| file.contains(w));
            assert!(!half, "{file}, {words}");
        }
    }

    async fn play(&mut self, dice: &mut Dice, moves: u64) {
        for number in 0..moves {
            let name = match dice.roll(20) {
                0..=5 => "write",
                6..=9 => "snapshot",
                10..=12 => "roll back",
                13 | 14 => "undo",
                15..=17 => "delete",
                18 => "compact",
                _ if dice.roll(4) == 0 => "days",
                _ => "minutes",
            };
            match name {
                "write" => self.write(dice).await,
                "snapshot" => self.snapshot().await,
                "roll back" => self.roll_back(dice).await,
                "undo" => self.undo(dice).await,
                "delete" => self.delete(dice).await,
                "compact" => self.compact().await,
                "days" => self.wait(self.safety_keep_ms).await,
                _ => self.wait(SCHEDULE_MIN_MS).await,
            }
            *self.done.entry(name).or_default() += 1;
            let last = number + 1 == moves;
            let words = format!("after move {number}: {name}");
            self.check(last || number % LOOK_EVERY == 0, &words).await;
        }
    }
}

fn play(kind: DriverKind, folder: &Path) {
    let number = |name: &str| -> Option<u64> { std::env::var(name).ok()?.parse().ok() };
    let moves = MOVES * number("BACKOUT_SOAK").unwrap_or(1).max(1);
    let now = u64::try_from(SystemClock.now().0).unwrap();
    let seed = number("BACKOUT_SOAK_SEED").unwrap_or(now) | 1;
    println!("{kind}: BACKOUT_SOAK_SEED={seed}, {moves} moves");
    let scratch = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (mut oracle, worker) = Oracle::new(kind, folder, scratch.path()).await;
        oracle.play(&mut Dice(seed), moves).await;
        println!("{kind}: {:?} in {}", oracle.done, oracle.folder.display());
        worker.stop().await;
    });
}

#[test]
fn copy() {
    let folder = tempfile::tempdir().unwrap();
    play(DriverKind::Copy, folder.path());
}

#[test]
fn qcow2() {
    let folder = tempfile::tempdir().unwrap();
    play(DriverKind::Qcow2, folder.path());
}

/// An XFS of the test's own, in a file.
struct Volumes {
    at: PathBuf,
}

impl Volumes {
    fn mount(folder: &Path) -> Self {
        let image = folder.join("xfs.img");
        File::create(&image).unwrap().set_len(400 << 20).unwrap();
        tool(
            "mkfs.xfs",
            &["-q", "-m", "reflink=1", image.to_str().unwrap()],
        );
        let at = folder.join("xfs");
        std::fs::create_dir(&at).unwrap();
        tool(
            "mount",
            &["-o", "loop", image.to_str().unwrap(), at.to_str().unwrap()],
        );
        Self { at }
    }
}

impl Drop for Volumes {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.at).status();
    }
}

#[test]
fn reflink() {
    if !rustix::process::geteuid().is_root() {
        println!("reflink: not tried, only root may mount a file system");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let volume = Volumes::mount(folder.path());
    play(DriverKind::Reflink, &volume.at);
}
