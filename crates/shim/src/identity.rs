//! Which process it is: a pid alone is given to others later.

use std::os::fd::OwnedFd;

use rustix::process::{Pid, PidfdFlags};
use serde::{Deserialize, Serialize};

/// One process, among all that this boot of the host has or will have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// Its pid.
    pub pid: u32,
    /// When it started, in clock ticks since the host did: field 22 of
    /// `/proc/PID/stat`.
    pub started_ticks: u64,
}

impl Identity {
    /// The process that has `pid` now; `None` when nobody has, or only a zombie.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (state, threads, started_ticks) = parse(&stat)?;
        // What is dead and only waits for its parent runs no more; unless its
        // first thread is, and others have yet to let go of its files.
        let dead = matches!(state, 'Z' | 'X' | 'x') && threads <= 1;
        (!dead).then_some(Self { pid, started_ticks })
    }

    /// This very process.
    pub(crate) fn own() -> Option<Self> {
        Self::of(std::process::id())
    }

    /// Whether it still runs. Only for an identity of this boot.
    pub(crate) fn lives(&self) -> bool {
        Self::of(self.pid) == Some(*self)
    }

    /// A handle of the process, and of no other; `None` when it has ended.
    pub(crate) fn open(&self) -> Option<OwnedFd> {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw)?;
        let fd = rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok()?;
        // Looked at after the handle was made: if it is still the one, then
        // the handle is of it.
        self.lives().then_some(fd)
    }
}

/// State, threads and start time out of `/proc/PID/stat`. The name in it may
/// hold anything, parentheses and spaces as well.
fn parse(stat: &str) -> Option<(char, u64, u64)> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?.chars().next()?;
    // The state is field 3, the threads are field 20, the start time field 22.
    let threads = fields.nth(16)?.parse().ok()?;
    let started = fields.nth(1)?.parse().ok()?;
    Some((state, threads, started))
}

/// The id of this boot of the host.
///
/// # Errors
/// When `/proc` is not mounted.
pub fn boot_id() -> std::io::Result<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_confuse() {
        let rest = (4..22).map(|n| n.to_string()).collect::<Vec<_>>().join(" ");
        let stat = format!("7 (a) Z (b) R {rest} 12345 99");
        assert_eq!(parse(&stat), Some(('R', 20, 12345)));
        assert_eq!(parse("7 (a"), None);
    }

    #[test]
    fn a_process_is_told_from_a_later_one_with_its_pid() {
        let own = Identity::own().unwrap();
        assert!(own.lives() && own.open().is_some());
        let other = Identity {
            started_ticks: own.started_ticks + 1,
            ..own
        };
        assert!(!other.lives() && other.open().is_none());
    }

    #[test]
    fn a_zombie_does_not_run() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = i32::try_from(child.id())
            .ok()
            .and_then(Pid::from_raw)
            .unwrap();
        let fd = rustix::process::pidfd_open(pid, PidfdFlags::empty()).unwrap();
        let mut polled = [rustix::event::PollFd::new(
            &fd,
            rustix::event::PollFlags::IN,
        )];
        rustix::event::poll(&mut polled, None).unwrap();
        assert_eq!(Identity::of(child.id()), None);
        child.wait().unwrap();
    }
}
