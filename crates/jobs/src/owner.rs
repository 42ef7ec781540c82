//! Who a worker is, and whether another one still lives.
//!
//! On one machine a dead worker is known by its process: the boot id differs,
//! the process is gone, or its id belongs to a process that started at another
//! time. That needs no waiting. Of a worker on another machine, or in another
//! space of process ids (a container), only its lease tells.

use backout_core::ids::{Entropy, random_base36};
use backout_store::{Error as StoreError, Row};

/// A process, told apart from every other that had or will have its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) boot_id: String,
    /// The namespace that `pid` is a number of.
    pub(crate) pid_space: String,
    pub(crate) pid: i64,
    /// Clock ticks from boot to its start.
    pub(crate) start: i64,
}

/// A worker: its process, and randomness, since a process may have several one
/// after another.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// `NODE/BOOT/PID/START/RANDOM`. Names the worker in every fenced write.
    pub(crate) owner: String,
    pub(crate) node: String,
    pub(crate) process: Process,
}

impl Identity {
    pub(crate) fn new(node: &str, entropy: &dyn Entropy) -> Self {
        let process = Process::this();
        // Eight characters tell two boots of one machine apart for a reader.
        let boot: String = process.boot_id.chars().take(8).collect();
        Self {
            owner: format!(
                "{node}/{boot}/{}/{}/{}",
                process.pid,
                process.start,
                random_base36(entropy, 8)
            ),
            node: node.to_owned(),
            process,
        }
    }
}

impl Process {
    /// This one. What cannot be read is empty, and then nobody is declared dead
    /// by it.
    fn this() -> Self {
        let pid = std::process::id();
        Self {
            boot_id: read("/proc/sys/kernel/random/boot_id"),
            pid_space: std::fs::read_link("/proc/self/ns/pid")
                .map(|link| link.to_string_lossy().into_owned())
                .unwrap_or_default(),
            pid: i64::from(pid),
            start: stat(i64::from(pid)).map_or(0, |s| s.start),
        }
    }

    /// Reads a row of `boot_id, pid_space, pid, pid_start` from column `at` on.
    pub(crate) fn read(row: &Row, at: usize) -> Result<Self, StoreError> {
        Ok(Self {
            boot_id: row.get(at)?,
            pid_space: row.get(at + 1)?,
            pid: row.get(at + 2)?,
            start: row.get(at + 3)?,
        })
    }

    /// Whether this process, of the same machine as `me`, is certainly dead.
    pub(crate) fn is_dead(&self, me: &Self) -> bool {
        if self.boot_id.is_empty() || me.boot_id.is_empty() {
            return false;
        }
        if self.boot_id != me.boot_id {
            return true;
        }
        if self.pid_space.is_empty() || self.pid_space != me.pid_space || self.start == 0 {
            return false;
        }
        match stat(self.pid) {
            Some(stat) => stat.start != self.start || stat.ended,
            // Only a missing entry counts: one that cannot be read may live.
            None => !std::path::Path::new(&format!("/proc/{}", self.pid)).exists(),
        }
    }
}

struct Stat {
    start: i64,
    ended: bool,
}

fn stat(pid: i64) -> Option<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may itself hold spaces and parentheses.
    let rest = text.get(text.rfind(')')? + 1..)?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    // Field 22 of the whole line; the state is field 3.
    let start = fields.nth(18)?.parse().ok()?;
    // A killed process that its parent has not waited for is still listed. So
    // is one whose first thread has ended while others go on, which lives.
    let ended = matches!(state, "Z" | "X" | "x")
        && std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count) <= 1;
    Some(Stat { start, ended })
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path)
        .map(|text| text.trim().to_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dead_are_told_from_the_living() {
        let me = Process::this();
        assert!(me.start > 0 && !me.boot_id.is_empty() && !me.pid_space.is_empty());
        assert!(!me.is_dead(&me));

        let with = |change: &dyn Fn(&mut Process)| {
            let mut other = me.clone();
            change(&mut other);
            other
        };
        let dead = [
            with(&|p| p.boot_id = "another boot".into()),
            with(&|p| p.start += 1),
            // Beyond the largest process id Linux gives out.
            with(&|p| p.pid = 1 << 30),
        ];
        for other in dead {
            assert!(other.is_dead(&me), "{other:?}");
        }
        let unknown = [
            with(&|p| p.boot_id = String::new()),
            with(&|p| {
                p.pid_space = "pid:[1]".into();
                p.pid = 1 << 30;
            }),
            with(&|p| {
                p.start = 0;
                p.pid = 1 << 30;
            }),
        ];
        for other in unknown {
            assert!(!other.is_dead(&me), "{other:?}");
        }
    }

    #[test]
    fn a_killed_child_is_dead_before_it_is_waited_for() {
        let mut child = std::process::Command::new("sleep")
            .arg("600")
            .spawn()
            .expect("sleep starts");
        let mut other = Process::this();
        other.pid = i64::from(child.id());
        other.start = stat(other.pid).expect("the child runs").start;
        let me = Process::this();
        assert!(!other.is_dead(&me));
        child.kill().expect("the child is killed");
        let until = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while !other.is_dead(&me) {
            assert!(std::time::Instant::now() < until, "still not dead");
            std::thread::yield_now();
        }
        child.wait().expect("the child is waited for");
        assert!(other.is_dead(&me));
    }
}
