//! Counts the ready instances, again and again, by asking each of them on its own
//! port. Where they are it learns from the files that they leave
//! (`src/bin/sample-app.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// From one count to the next.
const EVERY: Duration = Duration::from_millis(25);

/// What should lie between two counts at most.
const GAP: Duration = Duration::from_millis(50);

/// How long an instance may take to answer: one that is not ready refuses the
/// connection, so this is for a busy machine.
const ANSWER_WAIT: Duration = Duration::from_secs(20);

/// How many counts below the floor are kept word for word.
const KEPT_MAX: usize = 20;

const ASK: &[u8] = b"GET /ready HTTP/1.1\r\nHost: a\r\n\r\n";
const READY: &[u8] = b"HTTP/1.1 200 Sample\r\nContent-Length: 5\r\n\r\nready";

/// What was seen.
#[derive(Debug, Default)]
pub struct Watched {
    /// How often it was counted.
    pub counts: u64,
    /// The fewest that were ready.
    pub least: usize,
    /// The most that were ready.
    pub most: usize,
    /// Of which release how many were ready at last.
    pub last: BTreeMap<String, usize>,
    /// How many crashed by themselves.
    pub crashed: usize,
    /// How often there were fewer than the floor, beside those that had crashed.
    pub below: u64,
    /// The first of those: when, and how it was.
    pub told: Vec<(Duration, String)>,
    /// How many counts came later than [`GAP`] after the one before: a busy
    /// machine.
    pub late: u64,
    /// The longest from the end of one count to the end of the next.
    pub widest_gap: Duration,
}

/// Counts until it is stopped.
pub struct Watcher {
    over: Arc<AtomicBool>,
    counts: Arc<AtomicU64>,
    thread: std::thread::JoinHandle<Watched>,
}

impl Watcher {
    /// Counts the instances that leave their files in `registry`, of which `floor`
    /// must be ready at each instant, and `all` are when nothing is changed.
    pub fn start(registry: &Path, floor: usize, all: usize) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let counts = Arc::new(AtomicU64::new(0));
        let mut watch = Watch {
            registry: registry.to_owned(),
            floor,
            all,
            connections: BTreeMap::new(),
            forgiven: BTreeSet::new(),
            seen: Watched {
                least: usize::MAX,
                ..Watched::default()
            },
        };
        let (stop, count) = (Arc::clone(&over), Arc::clone(&counts));
        let thread = std::thread::spawn(move || {
            let began = Instant::now();
            let mut last = began;
            while !stop.load(Ordering::SeqCst) {
                let start = Instant::now();
                watch.count(began);
                let gap = last.elapsed();
                last = Instant::now();
                watch.seen.widest_gap = watch.seen.widest_gap.max(gap);
                watch.seen.late += u64::from(gap > GAP);
                count.fetch_add(1, Ordering::SeqCst);
                std::thread::sleep(EVERY.saturating_sub(start.elapsed()));
            }
            watch.seen
        });
        Self {
            over,
            counts,
            thread,
        }
    }

    /// Waits until it has counted once more, from now on.
    pub fn wait(&self) {
        let mark = self.counts.load(Ordering::SeqCst) + 2;
        super::until("the instances are counted", || {
            (self.counts.load(Ordering::SeqCst) >= mark || self.thread.is_finished()).then_some(())
        });
    }

    pub fn stop(self) -> Watched {
        self.over.store(true, Ordering::SeqCst);
        self.thread.join().unwrap()
    }
}

/// An instance, by its file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    port: u16,
    pid: u32,
    name: String,
}

/// A crash, by the mark that it left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Crash {
    port: u16,
    pid: u32,
}

struct Watch {
    registry: PathBuf,
    floor: usize,
    all: usize,
    connections: BTreeMap<Entry, TcpStream>,
    /// The crashes that are made good: the instance is ready again, or all are.
    /// Until then there may be one less, since nobody can foresee a crash.
    forgiven: BTreeSet<Crash>,
    seen: Watched,
}

impl Watch {
    fn count(&mut self, began: Instant) {
        let (entries, crashed_before) = self.look();
        let ready = self.ask(&entries);
        // Who crashed meanwhile told so before it did.
        let (_, crashed) = self.look();
        let seen = &mut self.seen;
        seen.counts += 1;
        seen.crashed = crashed.len();
        seen.least = seen.least.min(ready.len());
        seen.most = seen.most.max(ready.len());
        for crash in crashed_before {
            let again = |entry: &Entry| entry.port == crash.port && entry.pid != crash.pid;
            if ready.len() >= self.all || ready.iter().any(again) {
                self.forgiven.insert(crash);
            }
        }
        let excused = crashed.len() - self.forgiven.len();
        if ready.len() + excused < self.floor {
            seen.below += 1;
            if seen.told.len() < KEPT_MAX {
                let text = format!(
                    "{} ready of {}, {excused} crashed: {ready:?}",
                    ready.len(),
                    entries.len(),
                );
                seen.told.push((began.elapsed(), text));
            }
        }
        seen.last.clear();
        for entry in &ready {
            *seen.last.entry(entry.name.clone()).or_default() += 1;
        }
    }

    /// The instances that are there, and the crashes so far.
    fn look(&self) -> (BTreeSet<Entry>, BTreeSet<Crash>) {
        let (mut entries, mut crashed) = (BTreeSet::new(), BTreeSet::new());
        for file in std::fs::read_dir(&self.registry).unwrap() {
            let path = file.unwrap().path();
            let text = path.file_name().unwrap().to_str().unwrap().to_owned();
            if let Some(mark) = text.strip_prefix("crashed-") {
                let (port, pid) = mark.split_once('-').unwrap();
                crashed.insert(Crash {
                    port: port.parse().unwrap(),
                    pid: pid.parse().unwrap(),
                });
                continue;
            }
            let parts: Vec<&str> = text.splitn(3, '-').collect();
            let [port, pid, name] = parts[..] else {
                continue;
            };
            let entry = Entry {
                port: port.parse().unwrap(),
                pid: pid.parse().unwrap(),
                name: name.to_owned(),
            };
            if Path::new(&format!("/proc/{pid}")).exists() {
                entries.insert(entry);
            } else {
                let _ = std::fs::remove_file(path);
            }
        }
        (entries, crashed)
    }

    /// Those that say that they are ready.
    fn ask(&mut self, entries: &BTreeSet<Entry>) -> BTreeSet<Entry> {
        self.connections.retain(|entry, _| entries.contains(entry));
        // All are asked before the first answer is read.
        for entry in entries {
            let asked = match self.connections.get_mut(entry) {
                Some(stream) => stream.write_all(ASK).is_ok(),
                None => self.connect(entry).is_some(),
            };
            if !asked {
                self.connections.remove(entry);
            }
        }
        let mut answer = [0; READY.len()];
        self.connections
            .retain(|_, stream| stream.read_exact(&mut answer).is_ok() && answer == *READY);
        self.connections.keys().cloned().collect()
    }

    fn connect(&mut self, entry: &Entry) -> Option<()> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, entry.port)).ok()?;
        stream.set_nodelay(true).ok()?;
        stream.set_read_timeout(Some(ANSWER_WAIT)).ok()?;
        stream.write_all(ASK).ok()?;
        self.connections.insert(entry.clone(), stream);
        Some(())
    }
}
