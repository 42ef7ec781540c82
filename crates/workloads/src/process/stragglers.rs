//! Finding the processes of an instance where it has no control group: by a
//! word that nobody else has in the environment.

use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// The variable with that word.
pub(crate) const TOKEN: &str = "BACKOUT_TOKEN";

/// How long killed processes may be there: the kernel takes back their memory.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often it is looked meanwhile.
const TICK: Duration = Duration::from_millis(10);

/// Kills every process with the word. Whether none is left. One that threw its
/// environment away is not found.
pub(crate) fn kill_all(token: &str) -> bool {
    let until = Instant::now() + PATIENCE;
    loop {
        let left = marked(token);
        if left.is_empty() {
            return true;
        }
        if Instant::now() >= until {
            return false;
        }
        for pid in left {
            let handle = Pid::from_raw(pid).and_then(|p| pidfd_open(p, PidfdFlags::empty()).ok());
            // Looked at once more with the handle in hand: it is of no other.
            if let Some(handle) = handle
                && has(pid, token)
            {
                let _ = pidfd_send_signal(&handle, Signal::KILL);
            }
        }
        std::thread::sleep(TICK);
    }
}

fn marked(token: &str) -> Vec<i32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| has(*pid, token))
        .collect()
}

/// Zombies have no environment any more.
fn has(pid: i32, token: &str) -> bool {
    let wanted = format!("{TOKEN}={token}");
    std::fs::read(format!("/proc/{pid}/environ"))
        .is_ok_and(|env| env.split(|b| *b == 0).any(|v| v == wanted.as_bytes()))
}
