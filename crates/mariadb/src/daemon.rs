//! What scratch servers and managed ones have in common: a server under a shim.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use backout_shim::{Exit, Restart, Shim, Signal, Spec, State};

use crate::error::{Error, Result};
use crate::files;
use crate::process::{Account, program};
use crate::session::Session;
use crate::tool::last_words;
use crate::{Endpoint, Password, Tls};

/// How long a server may take until it answers: it may have redo log to apply.
const START_PATIENCE: Duration = Duration::from_secs(600);

/// How often it is looked at meanwhile.
const TICK: Duration = Duration::from_millis(10);

/// How long a killed process may be there: the kernel takes back its memory.
const KILL_PATIENCE: Duration = Duration::from_secs(30);

/// The longest path of a socket, in bytes (`sun_path` and its end).
const SOCKET_MAX: usize = 107;

/// Most lines of a log in a message.
const SAID_MAX_LINES: usize = 4;

/// A server under a shim.
pub(crate) struct Daemon<'a> {
    /// What it is, for messages: `the scratch server`.
    pub what: &'static str,
    /// Its run folder.
    pub run: &'a Path,
    pub shim: &'a Shim,
    /// Where its error log is.
    pub log: PathBuf,
}

impl Daemon<'_> {
    fn process<T>(&self, verb: &str, result: backout_shim::Result<T>) -> Result<T> {
        result.map_err(|source| Error::Process {
            doing: format!("{verb} {}", self.what),
            source,
        })
    }

    /// Starts it unless it runs, and waits until it answers.
    pub(crate) fn start(
        &self,
        account: Account,
        args: Vec<String>,
        restart: Restart,
        endpoint: &Endpoint,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<()> {
        let doing = || format!("start {}", self.what);
        if let Some(socket) = &endpoint.socket
            && socket.as_os_str().len() > SOCKET_MAX
        {
            return Err(Error::State {
                what: doing(),
                why: format!(
                    "the path of its socket {} is longer than {SOCKET_MAX} bytes; use a data \
                     folder with a shorter path",
                    socket.display()
                ),
            });
        }
        let daemon = program("mariadbd").map_err(|e| Error::State {
            what: doing(),
            why: e.to_string(),
        })?;
        // It is to end with its shim.
        let (program, mut all) = account.command(&daemon, true);
        // Must be the first.
        let (first, rest): (Vec<_>, Vec<_>) = args
            .into_iter()
            .partition(|arg| arg == "--no-defaults" || arg.starts_with("--defaults-file="));
        all.extend(first);
        all.extend(account.argument().map(str::to_owned));
        all.extend(rest);
        let mut spec = Spec::new(program, all);
        spec.restart = restart;
        spec.env.insert(
            "PATH".to_owned(),
            "/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
        );
        let had = self.log.metadata().map_or(0, |facts| facts.len());
        self.process("start", backout_shim::start(self.run, self.shim, &spec))?;
        let until = Instant::now() + START_PATIENCE;
        loop {
            let failed = match Session::open(endpoint) {
                Ok(_) => return Ok(()),
                Err(e) => e,
            };
            if let State::Off { exit } = self.state()? {
                let why = self.why(exit, had);
                if self.is_full(had) {
                    return Err(Error::Io {
                        doing: "write beside",
                        path: self.log.clone(),
                        source: std::io::ErrorKind::StorageFull.into(),
                    });
                }
                return Err(Error::State { what: doing(), why });
            }
            if Instant::now() >= until {
                return Err(failed);
            }
            if cancelled() {
                return Err(Error::Cancelled);
            }
            std::thread::sleep(TICK);
        }
    }

    pub(crate) fn state(&self) -> Result<State> {
        self.process("look at", backout_shim::look(self.run))
    }

    /// Ends it for good, and at once.
    pub(crate) fn kill(&self) -> Result<()> {
        self.stop(Signal::Kill, KILL_PATIENCE)
    }

    /// Ends it for good.
    pub(crate) fn stop(&self, signal: Signal, patience: Duration) -> Result<()> {
        self.process("stop", backout_shim::stop(self.run, signal, patience))
            .map(drop)
    }

    /// Whether it ended because its disk is full, which it says in its log,
    /// unless there is no room even for that.
    fn is_full(&self, had: u64) -> bool {
        const FULL: [&str; 4] = [
            "no space left on device",
            "errcode: 28",
            "error number 28",
            "error 28",
        ];
        let here = self.log.metadata().map_or(0, |facts| facts.len()) > had;
        let said = if here {
            last_words(&self.log)
        } else {
            String::new()
        };
        FULL.iter().any(|words| said.contains(words)) || files::has_no_room(&self.log)
    }

    /// What it said of why it ended.
    fn why(&self, exit: Option<Exit>, had: u64) -> String {
        let said = if self.log.metadata().map_or(0, |facts| facts.len()) > had {
            last_words(&self.log)
        } else {
            last_words(&backout_shim::log_path(self.run))
        };
        let lines: Vec<_> = said
            .lines()
            .filter(|line| line.contains("[ERROR]") || !line.contains(" 0 ["))
            .filter_map(|line| {
                line.split_once("] ")
                    .map_or(Some(line), |(_, rest)| Some(rest))
            })
            .collect();
        let last = lines
            .get(lines.len().saturating_sub(SAID_MAX_LINES)..)
            .unwrap_or_default();
        let how = match exit {
            Some(Exit::Code { code }) => format!("it ended with code {code}"),
            Some(Exit::Signal { signal }) => format!("it was ended by signal {signal}"),
            Some(Exit::NotStarted { why }) => why,
            None => "it has ended".to_owned(),
        };
        format!("{how}: {}; see {}", last.join("; "), self.log.display())
    }
}

/// The endpoint of a server of ours, over its socket.
pub(crate) fn endpoint(socket: PathBuf, port: u16, user: &str, password: Password) -> Endpoint {
    Endpoint {
        host: "127.0.0.1".to_owned(),
        port,
        socket: Some(socket),
        user: user.to_owned(),
        password,
        tls: Tls::Off,
    }
}

/// Gives a folder and all that is in it to an account.
pub(crate) fn give(folder: &Path, account: Account) -> Result<()> {
    account
        .own(folder)
        .map_err(Error::io("give away", folder))?;
    for entry in std::fs::read_dir(folder).map_err(Error::io("list", folder))? {
        let entry = entry.map_err(Error::io("list", folder))?;
        let path = entry.path();
        if entry
            .file_type()
            .map_err(Error::io("look at", &path))?
            .is_dir()
        {
            give(&path, account)?;
        } else {
            account.own(&path).map_err(Error::io("give away", &path))?;
        }
    }
    Ok(())
}
