//! Runs a program of the server's packages: it ends when we do, when nobody
//! wants it any longer, and its last words become the error.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::error::{Error, Result};
use crate::files;
use crate::others::{self, Others, PIECE, PIECE_MAX, REST};
use crate::process::{Account, program};

/// How often it is looked at.
const TICK: Duration = Duration::from_millis(20);

/// Most that is read of what a program said last, in bytes.
const SAID_MAX_BYTES: u64 = 16 << 10;

/// Most lines of that in a message.
const SAID_MAX_LINES: usize = 4;

/// A program that runs.
#[derive(Debug)]
pub(crate) struct Tool<'a> {
    name: &'static str,
    doing: String,
    log: &'a Path,
    child: Child,
}

impl<'a> Tool<'a> {
    /// Starts `name` with `args`; what it says goes into the file `log`, and
    /// its output there as well unless it is `piped`.
    pub(crate) fn start(
        name: &'static str,
        doing: impl Into<String>,
        args: &[String],
        log: &'a Path,
        piped: bool,
    ) -> Result<Self> {
        let doing = doing.into();
        let failed = |why: String| Error::Tool {
            tool: name,
            doing: doing.clone(),
            why,
            passing: false,
        };
        let path = program(name).map_err(|e| failed(e.to_string()))?;
        // The thread that starts it waits for it, so that the two end together.
        let (path, first) = Account::OWN.command(&path, true);
        let said = File::create(log).map_err(Error::io("write", log))?;
        let out = said.try_clone().map_err(Error::io("write", log))?;
        let child = Command::new(path)
            .args(first)
            .args(args)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::null())
            .stdout(if piped { Stdio::piped() } else { out.into() })
            .stderr(said)
            .process_group(0)
            .spawn()
            .map_err(|e| failed(format!("it cannot be run: {e}")))?;
        Ok(Self {
            name,
            doing,
            log,
            child,
        })
    }

    /// What it writes.
    pub(crate) fn output(&mut self) -> Option<std::process::ChildStdout> {
        self.child.stdout.take()
    }

    /// Waits for its end; ends it when it is not wanted any longer.
    ///
    /// # Errors
    /// [`Error::Cancelled`]; [`Error::Tool`] when it did not end well, or an
    /// [`Error::Io`] when a full file system is why.
    pub(crate) fn wait(&mut self, cancelled: &dyn Fn() -> bool) -> Result<()> {
        let status = loop {
            match self.child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) if cancelled() => {
                    self.end();
                    return Err(Error::Cancelled);
                }
                Ok(None) => std::thread::sleep(TICK),
                Err(e) => return Err(self.failed(format!("it is lost: {e}"))),
            }
        };
        if status.success() {
            return Ok(());
        }
        Err(self.why(status))
    }

    /// Ends it, if it has not.
    pub(crate) fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// As [`Tool::wait`], making way for others: it stands still now and then,
    /// while `may_stand` says so of its log.
    ///
    /// # Errors
    /// As [`Tool::wait`].
    pub(crate) fn wait_beside(
        &mut self,
        others: Option<&Others>,
        may_stand: fn(&str) -> bool,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<()> {
        if let Some(others) = others {
            let log = self.log;
            let may = || std::fs::read_to_string(log).is_ok_and(|said| may_stand(&said));
            let pid = Pid::from_child(&self.child);
            let mut worked = Instant::now();
            while matches!(self.child.try_wait(), Ok(None)) && !cancelled() {
                std::thread::sleep(TICK);
                if worked.elapsed() < PIECE || !others.are_at_work() || !may() {
                    continue;
                }
                let span = worked.elapsed().min(PIECE_MAX) * REST;
                let standing = Standing::still(pid);
                // It may have gone on just before.
                if may() {
                    others::rest(span, cancelled);
                }
                drop(standing);
                worked = Instant::now();
            }
        }
        self.wait(cancelled)
    }

    fn failed(&self, why: String) -> Error {
        Error::Tool {
            tool: self.name,
            doing: self.doing.clone(),
            passing: [
                "Lost connection",
                "Can't connect",
                "gone away",
                "DDL operation",
            ]
            .iter()
            .any(|words| why.contains(words)),
            why,
        }
    }

    /// The error out of how it ended and what it said.
    fn why(&self, status: ExitStatus) -> Error {
        let said = last_words(self.log);
        if said.contains("No space left on device")
            || said.contains("Errcode: 28")
            || files::has_no_room(self.log)
        {
            return Error::Io {
                doing: "write beside",
                path: self.log.to_owned(),
                source: ErrorKind::StorageFull.into(),
            };
        }
        let mut lines: Vec<_> = said
            .lines()
            .map(undated)
            .filter(|line| !line.is_empty() && !line.contains("Skipping ./"))
            .collect();
        // What comes after the first complaint follows from it.
        let is_complaint = |line: &&str| {
            line.contains("rror") || line.contains("failed") || line.contains("FATAL")
        };
        if let Some(first) = lines.iter().position(is_complaint) {
            lines.drain(..first);
            lines.truncate(SAID_MAX_LINES);
        } else {
            lines.drain(..lines.len().saturating_sub(SAID_MAX_LINES));
        }
        let said = lines.join("; ");
        self.failed(if said.is_empty() {
            format!("it ended with {status}; see {}", self.log.display())
        } else {
            format!("{said} ({status}); see {}", self.log.display())
        })
    }
}

/// A process that stands still until this is dropped.
struct Standing(Pid);

impl Standing {
    fn still(pid: Pid) -> Self {
        // One that has ended does not mind.
        let _ = kill_process(pid, Signal::STOP);
        Self(pid)
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::CONT);
    }
}

impl Drop for Tool<'_> {
    fn drop(&mut self) {
        self.end();
    }
}

/// The end of a log.
pub(crate) fn last_words(log: &Path) -> String {
    let mut text = Vec::new();
    if let Ok(mut file) = File::open(log) {
        let len = file.metadata().map_or(0, |facts| facts.len());
        let _ = file.seek(SeekFrom::Start(len.saturating_sub(SAID_MAX_BYTES)));
        let _ = file.take(SAID_MAX_BYTES).read_to_end(&mut text);
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// A line without the thread and the time that it begins with.
fn undated(line: &str) -> &str {
    let line = line.trim();
    let line = line
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("] "))
        .filter(|(thread, _)| thread.bytes().all(|b| b.is_ascii_digit()))
        .map_or(line, |(_, rest)| rest);
    let bytes = line.as_bytes();
    if bytes.len() > 20 && bytes.get(4) == Some(&b'-') && bytes.get(13) == Some(&b':') {
        line.get(19..).unwrap_or(line).trim_start()
    } else {
        line
    }
}
