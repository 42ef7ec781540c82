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
    /// Process id; `None` for a loop device.
    pub pid: Option<u32>,
    /// The process's short name, or that of the loop device.
    pub comm: String,
    /// Whether it can write to the file.
    pub writable: bool,
}

/// Who holds `head` open: other processes, whatever name they opened it by, and
/// loop devices. What this process is not allowed to see, it does not see:
/// without root these are the processes of other users. Takes a tenth of a
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
    found
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
    fn the_access_mode_is_read_as_octal() {
        assert!(!can_write("pos:\t0\nflags:\t0100000\n"));
        assert!(can_write("pos:\t0\nflags:\t0100001\n"));
        assert!(can_write("pos:\t0\nflags:\t02100002\n"));
        assert!(can_write("nonsense"));
    }
}
