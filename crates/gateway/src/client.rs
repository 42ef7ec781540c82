//! What others do with a gateway: start it, tell it something, look at it.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use backout_core::fence::Fence;
use backout_shim::{Restart, Shim, Signal, Spec, State, When};
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};

use crate::control::{ANSWER_MAX_BYTES, Ask, Op, Reply, VERSION};
use crate::error::{Error, Result};
use crate::folder::{Folder, RUN};
use crate::model::{Desired, Drained, Settings, Status};

/// How long a gateway may take to answer something that it need not wait for.
const ANSWER_PATIENCE: Duration = Duration::from_secs(15);

/// How long a start may take: a port that a killed predecessor held is waited
/// for by its restarts.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// How often a gateway that is starting is looked at.
const TICK: Duration = Duration::from_millis(10);

/// How often a change is made again because of others: those under one fence are
/// few.
const EDITS_MAX: u32 = 16;

/// A gateway that ended by itself is started again at once, and after further
/// ends of it no later than this, in milliseconds: its port is not served
/// meanwhile.
const RESTART_MS: (u64, u64) = (20, 2_000);

/// How a gateway is run: a program that calls [`crate::main`] with the folder,
/// and a shim for it.
#[derive(Clone, Debug)]
pub struct Host {
    /// What keeps it.
    pub shim: Shim,
    /// The program: an absolute path.
    pub program: PathBuf,
    /// What comes before the folder, e.g. `["gateway", "--dir"]`.
    pub args: Vec<String>,
}

impl Host {
    /// This very program, which is the supervisor with the arguments `shim`, and
    /// the gateway with `gateway`; the folder comes after them.
    #[must_use]
    pub fn own(shim: &[&str], gateway: &[&str]) -> Self {
        Self {
            shim: Shim::own(shim),
            // Of the supervisor, which is this program too.
            program: PathBuf::from("/proc/self/exe"),
            args: gateway.iter().map(|arg| (*arg).to_owned()).collect(),
        }
    }
}

/// A gateway, told by its folder.
#[derive(Clone, Debug)]
pub struct Client {
    folder: Folder,
}

impl Client {
    /// The gateway of the folder `dir`, whether it runs or not.
    ///
    /// # Errors
    /// [`Error::Io`] when there is no current folder that `dir` could be in.
    pub fn new(dir: &Path) -> Result<Self> {
        let dir = std::path::absolute(dir).map_err(|e| Error::io("find", dir, e))?;
        Ok(Self {
            folder: Folder(dir),
        })
    }

    /// Its folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.folder.0
    }

    /// Starts the gateway under a shim, unless it runs. It does what it was told
    /// last, and in a new folder nothing, until [`Self::apply`]. Returns when it
    /// answers.
    ///
    /// # Errors
    /// [`Error::OtherSettings`], [`Error::BadSettings`], [`Error::Shim`],
    /// [`Error::Unreachable`] with what it wrote last.
    pub async fn ensure_running(&self, host: &Host, settings: &Settings) -> Result<Status> {
        settings.check()?;
        let run = self.folder.path(RUN);
        let mut args = host.args.clone();
        args.push(self.folder.0.to_string_lossy().into_owned());
        let mut spec = Spec::new(&host.program, args);
        spec.restart = Restart {
            when: When::Failed,
            wait_ms: RESTART_MS.0,
            wait_max_ms: RESTART_MS.1,
        };
        let (folder, shim, settings) = (self.folder.clone(), host.shim.clone(), *settings);
        blocking(move || {
            folder.make()?;
            if matches!(backout_shim::look(&run)?, State::Off { .. }) {
                folder.write_settings(&settings)?;
            }
            Ok(backout_shim::start(&run, &shim, &spec)?)
        })
        .await?;
        let until = Instant::now() + START_PATIENCE;
        loop {
            match self.status().await {
                Ok(status) if status.settings == settings => return Ok(status),
                Ok(_) => {
                    return Err(Error::OtherSettings {
                        dir: self.folder.0.clone(),
                    });
                }
                Err(Error::Unreachable { why, dir }) if Instant::now() >= until => {
                    let said = self.last_words();
                    let why = format!("{why}; its log ends with {said:?}");
                    return Err(Error::Unreachable { dir, why });
                }
                Err(Error::Unreachable { .. }) => tokio::time::sleep(TICK).await,
                Err(e) => return Err(e),
            }
        }
    }

    /// Whether its process runs.
    ///
    /// # Errors
    /// [`Error::Shim`].
    pub fn look(&self) -> Result<State> {
        Ok(backout_shim::look(&self.folder.path(RUN))?)
    }

    /// Whether its process runs, or its shim is about to start it again.
    ///
    /// # Errors
    /// [`Error::Shim`].
    pub fn is_kept(&self) -> Result<bool> {
        Ok(!matches!(self.look()?, State::Off { .. }))
    }

    /// Tells it the whole of what it should do. When this returns, that is kept
    /// over a restart, the listeners are there, and no backend that drains gets
    /// a request any more. Repeatable.
    ///
    /// # Errors
    /// [`Error::Stale`], [`Error::BadDesired`], [`Error::Bind`], [`Error::Io`],
    /// [`Error::Unreachable`].
    pub async fn apply(&self, desired: &Desired) -> Result<Status> {
        desired.check()?;
        let op = Op::Apply {
            desired: desired.clone(),
        };
        self.ask(op, ANSWER_PATIENCE).await
    }

    /// Tells it a change of what it was told last, under `fence`. When somebody
    /// else changes something at the same time, `change` is called again, with
    /// what is then there. Returns when it is done, as [`Self::apply`] does.
    ///
    /// # Errors
    /// [`Error::Stale`] when a larger fence was there, or others change it all
    /// the time; and those of [`Self::apply`].
    pub async fn edit(&self, fence: Fence, change: impl Fn(&mut Desired)) -> Result<Status> {
        let mut tries = EDITS_MAX;
        loop {
            let old = self.desired().await?;
            if old.fence > fence {
                return Err(Error::Stale {
                    fence: old.fence,
                    generation: old.generation,
                });
            }
            let mut new = old.clone();
            change(&mut new);
            (new.fence, new.generation) = (old.fence, old.generation);
            if new == old && fence == old.fence {
                return self.status().await;
            }
            new.fence = fence;
            new.generation = old.generation.saturating_add(1);
            tries -= 1;
            match self.apply(&new).await {
                Err(Error::Stale { fence: theirs, .. }) if theirs <= fence && tries > 0 => {}
                other => return other,
            }
        }
    }

    /// What it does.
    ///
    /// # Errors
    /// [`Error::Unreachable`].
    pub async fn status(&self) -> Result<Status> {
        self.ask(Op::Status, ANSWER_PATIENCE).await
    }

    /// What it was told last.
    ///
    /// # Errors
    /// [`Error::Unreachable`].
    pub async fn desired(&self) -> Result<Desired> {
        self.ask(Op::Desired, ANSWER_PATIENCE).await
    }

    /// Waits until none of the backends with these ids has a request under way
    /// or a connection, no longer than `patience`. Those that take new requests
    /// are waited for in vain; those that are not there are done.
    ///
    /// # Errors
    /// [`Error::Unreachable`].
    pub async fn wait_drained(&self, ids: &[String], patience: Duration) -> Result<Drained> {
        let op = Op::WaitDrained {
            ids: ids.to_vec(),
            patience_ms: u64::try_from(patience.as_millis()).unwrap_or(u64::MAX),
        };
        self.ask(op, patience.saturating_add(ANSWER_PATIENCE)).await
    }

    /// Ends the gateway for good: no new connections, requests under way finish
    /// within `patience`. Repeatable; fine when nothing runs.
    ///
    /// # Errors
    /// [`Error::Shim`].
    pub async fn stop(&self, patience: Duration) -> Result<()> {
        let run = self.folder.path(RUN);
        blocking(move || {
            backout_shim::stop(&run, Signal::Term, patience)?;
            Ok(())
        })
        .await
    }

    /// The end of its log.
    fn last_words(&self) -> String {
        let log = backout_shim::log_path(&self.folder.path(RUN));
        let text = std::fs::read(log).unwrap_or_default();
        let from = text.len().saturating_sub(500);
        String::from_utf8_lossy(text.get(from..).unwrap_or_default())
            .trim()
            .to_owned()
    }

    async fn ask<T: DeserializeOwned>(&self, op: Op, patience: Duration) -> Result<T> {
        let unreachable = |e: io::Error| Error::Unreachable {
            dir: self.folder.0.clone(),
            why: match e.kind() {
                ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
                    "it does not run: start it first".to_owned()
                }
                ErrorKind::TimedOut => "it does not answer: see whether it is stopped".to_owned(),
                _ => format!("{e}: see whether it runs"),
            },
        };
        let answer = tokio::time::timeout(patience, self.exchange(&op))
            .await
            .unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
            .map_err(unreachable)?;
        match serde_json::from_slice(&answer) {
            Ok(Reply::Ok { ok }) => serde_json::from_value(ok)
                .map_err(|e| unreachable(ErrorKind::InvalidData.into_io(e))),
            Ok(Reply::Error { error }) => Err(error.into_error(&self.folder.0)),
            Err(e) => Err(unreachable(ErrorKind::InvalidData.into_io(e))),
        }
    }

    async fn exchange(&self, op: &Op) -> io::Result<Vec<u8>> {
        let mut stream = self.folder.connect().await?;
        let ask = Ask {
            v: VERSION,
            op: op.clone(),
        };
        let mut line = serde_json::to_vec(&ask)?;
        line.push(b'\n');
        stream.write_all(&line).await?;
        let mut answer = Vec::new();
        let mut reader = BufReader::new(stream).take(ANSWER_MAX_BYTES);
        reader.read_until(b'\n', &mut answer).await?;
        if answer.last() != Some(&b'\n') {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(answer)
    }
}

/// An error of this kind with another as its cause.
trait IntoIo {
    fn into_io(self, cause: serde_json::Error) -> io::Error;
}

impl IntoIo for ErrorKind {
    fn into_io(self, cause: serde_json::Error) -> io::Error {
        io::Error::new(self, cause)
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic()))
}
