//! Runs `qemu-img`.

use std::ffi::OsStr;
use std::io::{ErrorKind, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::fsx::{self, Op};
use crate::lock::Guard;
use crate::model::{Progress, clip, clip_to};

const PROGRAM: &str = "qemu-img";

/// How much of what the tool complains about is kept: its end.
const STDERR_BYTES: usize = 2 << 10;

/// A run is looked at after the first of these, then ever later up to the
/// second: most take a few milliseconds, and a person who cancels does not mind
/// the longer one.
const LOOK_FIRST: Duration = Duration::from_millis(2);
const LOOK_LAST: Duration = Duration::from_millis(50);

/// The version of `qemu-img`, when there is one that runs.
pub(crate) fn version() -> Option<String> {
    let output = Command::new(PROGRAM)
        .arg("--version")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text
        .strip_prefix("qemu-img version ")?
        .split_whitespace()
        .next()?;
    Some(clip(version))
}

/// Runs the tool to write `target`, and tells the progress as far as `total`
/// bytes allocated in it.
///
/// Every path among the arguments must be absolute: what begins with `/` is
/// neither an option nor a protocol to QEMU, whatever else is in it.
///
/// # Errors
/// [`Error::Tool`], [`Error::Cancelled`], [`Error::InUse`] when a process has
/// locked an image.
pub(crate) fn write(
    guard: &Guard,
    arguments: &[&OsStr],
    target: &Path,
    total: u64,
    progress: &dyn Progress,
) -> Result<()> {
    run(guard, PROGRAM, arguments, target, total, progress)
}

fn run(
    guard: &Guard,
    program: &str,
    arguments: &[&OsStr],
    target: &Path,
    total: u64,
    progress: &dyn Progress,
) -> Result<()> {
    if progress.cancelled() {
        return Err(Error::Cancelled {
            path: target.to_owned(),
        });
    }
    fsx::before(Op::Tool(target))?;
    let fail = |why: String| Error::Tool {
        path: target.to_owned(),
        why,
    };
    let mut child = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C")
        // Nothing is read from it. It makes the tool hold the disk's lock: when
        // this process is killed, nobody else touches the disk before the tool
        // has ended as well.
        .stdin(Stdio::from(guard.share()?))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| match e.kind() {
            ErrorKind::NotFound => fail("it is not installed: install qemu-utils".to_owned()),
            _ => fail(format!("it does not start: {e}")),
        })?;
    let stderr = child.stderr.take();
    let (ended, complaint) = thread::scope(|scope| {
        let reader = scope.spawn(|| stderr.map(last_words).unwrap_or_default());
        let ended = wait(&mut child, target, total, progress);
        (ended, reader.join().unwrap_or_default())
    });
    match ended {
        Err(e) => Err(fail(format!("it cannot be watched: {e}"))),
        Ok(None) => Err(Error::Cancelled {
            path: target.to_owned(),
        }),
        Ok(Some(status)) if status.success() => {
            progress.at(total, total);
            Ok(())
        }
        Ok(Some(status)) => Err(match status.signal() {
            Some(signal) => fail(format!("it was killed by signal {signal}: try again")),
            // The tool writes the system's words, not its number.
            None if complaint.contains("No space left on device")
                || complaint.contains("Disk quota exceeded") =>
            {
                Error::NoSpace {
                    path: target.to_owned(),
                    op: "write",
                }
            }
            None if complaint.contains("Read-only file system") => Error::ReadOnly {
                path: target.to_owned(),
                op: "write",
            },
            // Others may hold it whom this process cannot see.
            None if complaint.contains("Is another process using the image") => Error::InUse {
                path: locked_image(&complaint).unwrap_or(target).to_owned(),
                holders: "a process that has locked it".to_owned(),
            },
            None => fail(format!(
                "it says: {}",
                clip_to(STDERR_BYTES, complaint.trim())
            )),
        }),
    }
}

/// The image that the tool could not lock, as its complaint names it.
fn locked_image(complaint: &str) -> Option<&Path> {
    let (_, rest) = complaint.split_once("using the image [")?;
    let (path, _) = rest.split_once("]?")?;
    Some(Path::new(path))
}

/// Waits for the end; `None` when it was killed on request. The child has
/// ended in every case.
fn wait(
    child: &mut Child,
    target: &Path,
    total: u64,
    progress: &dyn Progress,
) -> std::io::Result<Option<ExitStatus>> {
    let mut pause = LOOK_FIRST;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(Some(status)),
            Ok(None) if !progress.cancelled() => {}
            other => {
                child.kill()?;
                child.wait()?;
                return other.map(|_| None);
            }
        }
        if let Ok(metadata) = std::fs::symlink_metadata(target) {
            progress.at(fsx::allocated(&metadata).min(total), total);
        }
        thread::sleep(pause);
        pause = (pause * 2).min(LOOK_LAST);
    }
}

/// Reads to the end, so that the tool never waits for us, and keeps the last
/// part.
fn last_words(mut stderr: ChildStderr) -> String {
    let mut kept = Vec::new();
    let mut buffer = [0_u8; 1024];
    while let Ok(read) = stderr.read(&mut buffer) {
        if read == 0 {
            break;
        }
        kept.extend_from_slice(buffer.get(..read).unwrap_or_default());
        let excess = kept.len().saturating_sub(STDERR_BYTES);
        kept.drain(..excess);
    }
    String::from_utf8_lossy(&kept).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Disk, DriverKind, Format, NoProgress};
    use crate::{DiskLock, Progress};
    use backout_core::fence::Fence;

    struct Impatient;

    impl Progress for Impatient {
        fn at(&self, _done: u64, _total: u64) {}
        fn cancelled(&self) -> bool {
            true
        }
    }

    #[test]
    fn every_bad_end_of_the_tool_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk {
            head: folder.path().join("disk"),
            format: Format::Raw,
            driver: DriverKind::Qcow2,
        };
        let guard = DiskLock::acquire(&disk, Fence(1)).unwrap();
        let shell = |script: &str, progress: &dyn Progress| {
            let arguments: [&OsStr; 2] = ["-c".as_ref(), script.as_ref()];
            run(&guard, "sh", &arguments, &disk.head, 0, progress)
        };
        shell("exit 0", &NoProgress).unwrap();
        #[rustfmt::skip]
        let table = [
            ("kill -9 $$", "killed by signal 9"),
            ("echo wrong >&2; exit 1", "it says: wrong"),
            ("yes no | head -c 999999 >&2; exit 1", "it says: "),
        ];
        for (script, want) in table {
            let e = shell(script, &NoProgress).unwrap_err();
            assert!(matches!(e, Error::Tool { .. }), "{script}");
            let text = e.to_string();
            assert!(text.contains(want) && text.len() < 8000, "{text}");
        }
        let e = shell("echo 'x: No space left on device' >&2; exit 1", &NoProgress);
        assert!(matches!(e, Err(Error::NoSpace { .. })));
        let e = shell("exec sleep 600", &Impatient);
        assert!(matches!(e, Err(Error::Cancelled { .. })));
        let e = run(&guard, "no-such-tool", &[], &disk.head, 0, &NoProgress);
        assert!(e.unwrap_err().to_string().contains("not installed"));
    }
}
