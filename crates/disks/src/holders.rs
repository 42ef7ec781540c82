//! Who holds a file open.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::fsx;
use crate::model::clip;

/// At most this many holders are reported; one is enough to refuse.
const MAX_HOLDERS: usize = 64;

/// How often, and how long apart, we look before we say that a file is held: a
/// process that another thread of ours is just starting has copies of our own
/// descriptors until it executes.
const LOOKS: u32 = 3;
const BETWEEN_LOOKS: Duration = Duration::from_millis(30);

/// A process or loop device that holds a file open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Process id; `None` for a loop device, and for a process that this one
    /// may not look at.
    pub pid: Option<u32>,
    /// The process's short name, that of the loop device, or how it is known
    /// that there is somebody.
    pub comm: String,
    /// Whether it can write to the file.
    pub writable: bool,
}

/// Who holds `head` open: other processes, whatever name they opened it by, and
/// loop devices. Without root the processes of other users are not seen, but of
/// QEMU's the lock that it takes on an image it writes to. Takes a tenth of a
/// second when somebody does.
///
/// # Errors
/// [`Error::Missing`] when `head` is not there, [`Error::Io`].
pub fn holders(head: &Path) -> Result<Vec<Holder>> {
    let file = fsx::head(head)?;
    let mut found = look(&file);
    for _ in 1..LOOKS {
        if found.is_empty() {
            break;
        }
        thread::sleep(BETWEEN_LOOKS);
        let before: Vec<_> = found.iter().map(|holder| holder.pid).collect();
        found = look(&file);
        found.retain(|holder| before.contains(&holder.pid));
    }
    Ok(found)
}

fn look(file: &Metadata) -> Vec<Holder> {
    let mut found = Vec::new();
    processes(file, &mut found);
    loop_devices(file, &mut found);
    if !found.iter().any(|holder| holder.writable) && is_locked_by_qemu(file) {
        found.push(Holder {
            pid: None,
            comm: "a machine that has locked it".to_owned(),
            writable: true,
        });
    }
    found
}

/// The byte of an image that QEMU has locked while it may write: 100, and the
/// number of that permission (`RAW_LOCK_PERM_BASE`, `BLK_PERM_WRITE` in its
/// sources).
const QEMU_WRITES_BYTE: u64 = 101;

/// Whether a QEMU that can write has `file` open, whoever's it is. Not known on
/// file systems whose device numbers are not those of their locks (btrfs,
/// overlayfs).
fn is_locked_by_qemu(file: &Metadata) -> bool {
    let (major, minor) = (rustix::fs::major(file.dev()), rustix::fs::minor(file.dev()));
    let inode = format!("{major:02x}:{minor:02x}:{}", file.ino());
    let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
    locks.lines().any(|line| locks_byte(line, &inode))
}

/// Whether a line such as `1: OFDLCK ADVISORY READ -1 fe:00:1234 100 101` is of
/// the byte that a QEMU has locked that writes to `inode`.
fn locks_byte(line: &str, inode: &str) -> bool {
    let mut words = line.split_ascii_whitespace().skip(1);
    if words.next() != Some("OFDLCK") || words.nth(3) != Some(inode) {
        return false;
    }
    let mut bound = || words.next().and_then(|word| word.parse().ok());
    // A lock to the end of the file has no number there.
    let (first, last) = (bound().unwrap_or(u64::MAX), bound().unwrap_or(u64::MAX));
    (first..=last).contains(&QEMU_WRITES_BYTE)
}

/// How many writers an error names.
const MAX_NAMED: usize = 4;

/// Refuses when a process or loop device can write to `path`. Readers (a backup)
/// do no harm: they go on to read the file they opened.
///
/// # Errors
/// [`Error::InUse`], [`Error::Missing`], [`Error::Io`].
pub(crate) fn refuse_writers(path: &Path) -> Result<()> {
    let writers: Vec<String> = holders(path)?
        .into_iter()
        .filter(|holder| holder.writable)
        .take(MAX_NAMED)
        .map(|holder| match holder.pid {
            Some(pid) => format!("{} (pid {pid})", holder.comm),
            None => holder.comm,
        })
        .collect();
    if writers.is_empty() {
        return Ok(());
    }
    Err(Error::InUse {
        path: path.to_owned(),
        holders: writers.join(", "),
    })
}

fn is(file: &Metadata, other: &Metadata) -> bool {
    file.dev() == other.dev() && file.ino() == other.ino()
}

/// Processes come and go while we look, and some may not be looked at: whatever
/// cannot be read is passed over.
fn processes(file: &Metadata, found: &mut Vec<Holder>) {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return;
    };
    for entry in entries.flatten() {
        let pid: Option<u32> = entry.file_name().to_str().and_then(|n| n.parse().ok());
        let Some(pid) = pid.filter(|pid| *pid != std::process::id()) else {
            continue;
        };
        if found.len() >= MAX_HOLDERS {
            return;
        }
        if let Some(writable) = held_by(&entry.path(), file) {
            let comm = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            found.push(Holder {
                pid: Some(pid),
                comm: clip(comm.trim_end()),
                writable,
            });
        }
    }
}

/// Whether the process holds the file open, and can write to it.
fn held_by(process: &Path, file: &Metadata) -> Option<bool> {
    let mut held = None;
    for fd in std::fs::read_dir(process.join("fd")).ok()?.flatten() {
        // Sockets and pipes have no path; asking further would cost much on a
        // busy host.
        let is_path = std::fs::read_link(fd.path())
            .is_ok_and(|target| target.as_os_str().as_encoded_bytes().starts_with(b"/"));
        if !is_path || !std::fs::metadata(fd.path()).is_ok_and(|other| is(file, &other)) {
            continue;
        }
        let info = process.join("fdinfo").join(fd.file_name());
        if can_write(&std::fs::read_to_string(info).unwrap_or_default()) {
            return Some(true);
        }
        held = Some(false);
    }
    held
}

/// Reads the access mode out of `/proc/PID/fdinfo/FD`. What cannot be read is
/// taken to be writable.
fn can_write(info: &str) -> bool {
    const ACCESS_MODE: u32 = 0o3;
    info.lines()
        .find_map(|line| line.strip_prefix("flags:"))
        .and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok())
        .is_none_or(|flags| flags & ACCESS_MODE != 0)
}

fn loop_devices(file: &Metadata, found: &mut Vec<Holder>) {
    let Ok(entries) = std::fs::read_dir("/sys/block") else {
        return;
    };
    for entry in entries.flatten() {
        let backing = entry.path().join("loop/backing_file");
        let Ok(backing) = std::fs::read_to_string(backing) else {
            continue;
        };
        let backing = backing.strip_suffix('\n').unwrap_or(&backing);
        if !std::fs::metadata(backing).is_ok_and(|other| is(file, &other)) {
            continue;
        }
        let read_only = std::fs::read_to_string(entry.path().join("ro"));
        found.push(Holder {
            pid: None,
            comm: clip(&entry.file_name().to_string_lossy()),
            writable: read_only.map_or(true, |text| text.trim() != "1"),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::wait_until;
    use std::fs::File;
    use std::process::{Command, Stdio};

    #[test]
    fn a_reader_and_a_writer_are_told_apart_and_we_do_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk with\nnew line");
        let own = File::create(&path).unwrap();
        assert_eq!(holders(&path).unwrap(), []);
        drop(own);
        for writable in [false, true] {
            let file = File::options()
                .read(true)
                .write(writable)
                .open(&path)
                .unwrap();
            let mut child = Command::new("sleep")
                .arg("60")
                .stdin(Stdio::from(file))
                .spawn()
                .unwrap();
            let found = holders(&path).unwrap();
            assert_eq!(found.len(), 1, "{found:?}");
            assert_eq!(found[0].pid, Some(child.id()));
            assert_eq!(found[0].writable, writable);
            assert_eq!(refuse_writers(&path).is_err(), writable);
            child.kill().unwrap();
            child.wait().unwrap();
        }
        assert_eq!(holders(&path).unwrap(), []);
    }

    #[test]
    fn a_loop_device_is_a_holder() {
        struct Device(String);
        impl Drop for Device {
            fn drop(&mut self) {
                drop(Command::new("losetup").args(["-d", &self.0]).status());
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk with space");
        File::create(&path).unwrap().set_len(1 << 20).unwrap();
        for read_only in [true, false] {
            let mut command = Command::new("losetup");
            command.args(["--find", "--show"]);
            if read_only {
                command.arg("--read-only");
            }
            let output = command.arg(&path).output().unwrap();
            assert!(output.status.success(), "this test needs root: {output:?}");
            let device = Device(String::from_utf8(output.stdout).unwrap().trim().to_owned());
            let found = holders(&path).unwrap();
            assert_eq!(found.len(), 1, "{found:?}");
            assert_eq!(format!("/dev/{}", found[0].comm), device.0);
            assert_eq!((found[0].pid, found[0].writable), (None, !read_only));
        }
    }

    #[test]
    fn the_lock_of_a_qemu_that_writes_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        File::create(&path).unwrap().set_len(1 << 20).unwrap();
        let file = path.metadata().unwrap();
        for (option, writes) in [("-r", false), ("-n", true)] {
            let mut child = Command::new("qemu-io")
                .args(["-f", "raw", option])
                .arg(&path)
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .spawn()
                .unwrap();
            let inode = format!(":{} ", file.ino());
            wait_until("qemu-io has its locks", || {
                let locks = std::fs::read_to_string("/proc/locks").unwrap();
                locks.lines().any(|line| line.contains(&inode))
            });
            assert_eq!(is_locked_by_qemu(&file), writes);
            child.kill().unwrap();
            child.wait().unwrap();
            assert!(!is_locked_by_qemu(&file));
        }
        #[rustfmt::skip]
        let table = [
            ("1: OFDLCK  ADVISORY  READ -1 fe:00:12 101 101", true),
            ("1: OFDLCK  ADVISORY  READ -1 fe:00:12 100 EOF", true),
            ("1: OFDLCK  ADVISORY  READ -1 fe:00:12 100 100", false),
            ("1: OFDLCK  ADVISORY  READ -1 fe:00:123 101 101", false),
            ("1: FLOCK  ADVISORY  WRITE 7 fe:00:12 0 EOF", false),
            ("1: -> OFDLCK ADVISORY READ -1 fe:00:12 101 101", false),
            ("", false),
        ];
        for (line, want) in table {
            assert_eq!(locks_byte(line, "fe:00:12"), want, "{line}");
        }
    }

    #[test]
    fn the_access_mode_is_read_as_octal() {
        assert!(!can_write("pos:\t0\nflags:\t0100000\n"));
        assert!(can_write("pos:\t0\nflags:\t0100001\n"));
        assert!(can_write("pos:\t0\nflags:\t02100002\n"));
        assert!(can_write("nonsense"));
    }
}
