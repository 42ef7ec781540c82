//! What is run for a container, under its shim. Each is called with what to do,
//! the folder of the instance, and how long it may take in milliseconds.
//!
//! | what | run as | does |
//! |---|---|---|
//! | `keep` | the program of the shim | starts the container, passes on its output, ends as it ends |
//! | `opened ARGV...` | after the start | waits until the container runs, then runs `ARGV` in it |
//! | `exec ARGV...` | probe, before the stop | runs `ARGV` in the container |
//! | `clear` | after the end | ends a container that outlived its keeper |

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::ExitCode;
use std::time::Duration;

use backout_shim::State;
use bollard::container::LogOutput;
use bollard::exec::{StartExecOptions, StartExecResults};
use bollard::models::ExecConfig;
use bollard::query_parameters::{AttachContainerOptionsBuilder, LogsOptionsBuilder};
use futures_util::{Stream, StreamExt as _};
use jiff::Timestamp;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::docker::Kept;
use crate::docker::engine::{Client, Engine, Found};
use crate::docker::seen::{Run, Seen};
use crate::error::{Error, Result};
use crate::root::{kept, run_folder};

/// The file in the run folder with the address at which the host reaches the
/// container.
pub(crate) const ADDRESS: &str = "address";

/// The exit code of a keeper that could not start its container: as `docker run`
/// has it.
const NOT_STARTED: u8 = 125;

/// The exit code of one that was told to end before that.
const TOLD_TO_END: u8 = 143;

/// How often an engine that is away is looked for, at first and at last.
const AWAY_TICK: Duration = Duration::from_millis(50);
const AWAY_TICK_MAX: Duration = Duration::from_secs(2);

/// How long the last output of a container that has ended is waited for.
const OUTPUT_PATIENCE: Duration = Duration::from_secs(2);

/// How long after the end of its output a container is seen to have ended, when
/// it is not the engine that has.
const END_PATIENCE: Duration = Duration::from_millis(200);

/// How long a program that is to be ended may take to be there, and one that has
/// ended to be seen so: less than the shim waits to hear of it.
const END_EXEC_PATIENCE: Duration = Duration::from_millis(800);

/// How often is looked whether the container runs.
const TICK: Duration = Duration::from_millis(10);

type Output = Pin<Box<dyn Stream<Item = Result<LogOutput, bollard::errors::Error>> + Send>>;

/// The main function of what is run for a container: what comes after the
/// arguments of [`crate::docker::Config::hand`].
#[must_use]
pub fn main(args: &[OsString]) -> ExitCode {
    let [what, home, limit_ms, rest @ ..] = args else {
        return failed("it is run by the driver for containers, nobody else should");
    };
    let texts = rest.iter().map(|arg| arg.to_str().map(str::to_owned));
    let limit_ms = limit_ms.to_str().and_then(|text| text.parse().ok());
    let (Some(what), Some(rest), Some(limit_ms)) =
        (what.to_str(), texts.collect::<Option<Vec<_>>>(), limit_ms)
    else {
        return failed("its arguments are not in UTF-8, or no time is among them");
    };
    let limit = Duration::from_millis(limit_ms);
    let hand = match Hand::open(Path::new(home)) {
        Ok(hand) => hand,
        Err(e) => return failed(&e.to_string()),
    };
    let done = match (what, rest.as_slice()) {
        ("keep", []) => return hand.keep(),
        ("opened", argv) => hand.opened(limit, argv),
        ("exec", argv) if !argv.is_empty() => hand.exec(limit, argv),
        ("clear", []) => hand.clear(),
        _ => Err(format!("{what:?} is nothing that it does")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => failed(&why),
    }
}

/// To the log of the instance.
fn failed(why: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "backout: {why}");
    ExitCode::from(NOT_STARTED)
}

/// What is known to whoever works for a container.
struct Hand {
    engine: Engine,
    /// The id of the container.
    id: String,
    run: PathBuf,
}

impl Hand {
    fn open(home: &Path) -> Result<Self> {
        let missing = || Error::Io {
            path: home.to_owned(),
            op: "find a container in",
            source: std::io::ErrorKind::NotFound.into(),
        };
        let kept: Kept = kept(home)?.ok_or_else(missing)?;
        Ok(Self {
            engine: Engine::new(kept.socket),
            id: kept.container.ok_or_else(missing)?,
            run: run_folder(home),
        })
    }

    /// Whether the present keeper says that the container runs.
    fn runs(&self) -> bool {
        let Ok(State::On { pid, .. }) = backout_shim::look(&self.run) else {
            return false;
        };
        let seen = Seen::read(&self.run).ok().flatten();
        seen.is_some_and(|seen| seen.keeper == pid && matches!(seen.run, Run::Runs { .. }))
    }

    /// Waits until the container runs, however long that takes: the shim ends
    /// this with the keeper. Then runs what is to run first.
    fn opened(&self, limit: Duration, argv: &[String]) -> Result<(), String> {
        while !self.runs() {
            std::thread::sleep(TICK);
        }
        match argv {
            [] => Ok(()),
            argv => self.exec(limit, argv),
        }
    }

    fn exec(&self, limit: Duration, argv: &[String]) -> Result<(), String> {
        let code = self
            .engine
            .run(async |client| exec(client, &self.id, limit, argv).await)
            .map_err(|e| e.to_string())?;
        match code {
            Some(0) => Ok(()),
            Some(code) => Err(format!("{}: exit code {code}", argv.join(" "))),
            None => Err(format!(
                "{}: not done within {} ms",
                argv.join(" "),
                limit.as_millis()
            )),
        }
    }

    /// Ends a container that outlived its keeper.
    fn clear(&self) -> Result<(), String> {
        self.engine
            .run(async |client| client.end(&self.id).await)
            .map_err(|e| e.to_string())
    }

    fn keep(&self) -> ExitCode {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        match runtime {
            Ok(runtime) => runtime.block_on(Keeper::new(self).keep()),
            Err(e) => failed(&e.to_string()),
        }
    }
}

/// Runs a program in a container, with its output on stdout. Its exit code;
/// `None` when it was killed after `limit`.
async fn exec(client: &Client, id: &str, limit: Duration, argv: &[String]) -> Result<Option<i64>> {
    let said = |e: bollard::errors::Error| client.failed("run a program in container", id, &e);
    let config = ExecConfig {
        cmd: Some(argv.to_vec()),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        ..ExecConfig::default()
    };
    let made = client.docker.create_exec(id, config).await.map_err(said)?;
    let options = None::<StartExecOptions>;
    let started = client.docker.start_exec(&made.id, options).await;
    if let StartExecResults::Attached { output, .. } = started.map_err(said)? {
        let mut output: Output = output;
        let written = tokio::time::timeout(limit, async {
            while let Some(Ok(piece)) = output.next().await {
                write_out(piece.as_ref());
            }
        });
        if written.await.is_err() {
            end_exec(client, id, &made.id).await;
            return Ok(None);
        }
    }
    // Its output may end a moment before it is seen to have ended.
    let until = tokio::time::Instant::now() + END_EXEC_PATIENCE;
    loop {
        let facts = client.docker.inspect_exec(&made.id).await.map_err(said)?;
        match facts.exit_code {
            Some(code) => return Ok(Some(code)),
            None if tokio::time::Instant::now() >= until => return Ok(None),
            None => tokio::time::sleep(TICK).await,
        }
    }
}

/// Ends a program that was run in a container: the engine has no word for that.
/// One that is just being started is waited for.
async fn end_exec(client: &Client, id: &str, exec: &str) {
    let until = tokio::time::Instant::now() + END_EXEC_PATIENCE;
    while let Ok(facts) = client.docker.inspect_exec(exec).await {
        let pid = facts.pid.filter(|pid| *pid > 0);
        match (facts.running, pid, facts.exit_code) {
            (Some(true), Some(pid), _) => return kill_in(id, pid),
            (Some(false), _, Some(_)) => return,
            _ if tokio::time::Instant::now() >= until => return,
            _ => tokio::time::sleep(TICK).await,
        }
    }
}

/// Kills a process of a container, by its number on the host.
fn kill_in(id: &str, pid: i64) {
    let handle = i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    // Looked at with the handle in hand: it is of no other.
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    if let (Some(handle), true) = (handle, groups.contains(id)) {
        let _ = pidfd_send_signal(&handle, Signal::KILL);
    }
}

/// A reader that went away is nobody's failure here.
fn write_out(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(bytes);
    let _ = out.flush();
}

/// Keeps one run of a container.
struct Keeper<'a> {
    hand: &'a Hand,
    memory_kills: u64,
}

/// What became of a start.
enum Begun {
    Runs(Output),
    Ends(ExitCode),
}

impl<'a> Keeper<'a> {
    fn new(hand: &'a Hand) -> Self {
        let before = Seen::read(&hand.run).ok().flatten();
        Self {
            hand,
            memory_kills: before.map_or(0, |seen| seen.memory_kills),
        }
    }

    fn say(&self, run: Run) {
        let seen = Seen {
            keeper: std::process::id(),
            run,
            memory_kills: self.memory_kills,
        };
        if let Err(e) = seen.write(&self.hand.run) {
            let _ = writeln!(std::io::stderr(), "backout: failed to {e}");
        }
    }

    async fn keep(mut self) -> ExitCode {
        let mut told = match signal(SignalKind::terminate()) {
            Ok(told) => told,
            Err(e) => return failed(&e.to_string()),
        };
        let begun = tokio::select! {
            _ = told.recv() => return ExitCode::from(TOLD_TO_END),
            begun = self.begin() => begun,
        };
        let output = match begun {
            Begun::Runs(output) => output,
            Begun::Ends(code) => return code,
        };
        let (over, ended) = watch::channel(false);
        let engine = self.hand.engine.clone();
        let passing = tokio::spawn(pass_on(engine, self.hand.id.clone(), output, ended));
        let end = {
            let told = async {
                told.recv().await;
                self.ask_to_end().await;
                // Whoever told it waits, and kills this when that takes too long.
                std::future::pending::<()>().await;
            };
            tokio::select! {
                end = self.see_end() => end,
                () = told => None,
            }
        };
        let _ = over.send(true);
        let _ = tokio::time::timeout(OUTPUT_PATIENCE, passing).await;
        match end {
            Some(found) => {
                if found.out_of_memory {
                    self.memory_kills += 1;
                    self.say(Run::Runs { pid: None });
                }
                ExitCode::from(u8::try_from(found.exit_code).unwrap_or(u8::MAX))
            }
            None => self.gone(),
        }
    }

    fn gone(&self) -> ExitCode {
        self.say(Run::Gone);
        failed("somebody has removed the container")
    }

    /// Starts the container, however long the engine is away.
    async fn begin(&self) -> Begun {
        let mut pause = AWAY_TICK;
        loop {
            match self.try_begin().await {
                Ok(begun) => return begun,
                Err(Error::EngineAway { .. }) => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(AWAY_TICK_MAX);
                }
                Err(e) => {
                    let why = match e {
                        Error::Engine { why, .. } => why,
                        other => other.to_string(),
                    };
                    self.say(Run::Failed { why: why.clone() });
                    return Begun::Ends(failed(&why));
                }
            }
        }
    }

    async fn try_begin(&self) -> Result<Begun> {
        let id = &self.hand.id;
        let client = self.hand.engine.connect().await?;
        match client.find(id).await? {
            None => return Ok(Begun::Ends(self.gone())),
            // That of a keeper that was killed, or of the last try.
            Some(found) if found.running => client.end(id).await?,
            Some(_) => {}
        }
        let options = AttachContainerOptionsBuilder::default()
            .stream(true)
            .stdout(true)
            .stderr(true)
            .build();
        let attached = client.docker.attach_container(id, Some(options)).await;
        let attached = attached.map_err(|e| client.failed("read the output of", id, &e))?;
        client.start(id).await?;
        match client.find(id).await? {
            None => return Ok(Begun::Ends(self.gone())),
            Some(found) => {
                let path = self.hand.run.join(ADDRESS);
                let ip = found.ip.unwrap_or_default();
                std::fs::write(&path, ip).map_err(|e| Error::io("write", &path, e))?;
                self.say(Run::Runs { pid: found.pid });
            }
        }
        Ok(Begun::Runs(attached.output))
    }

    /// Asks the container to end, as its image says.
    async fn ask_to_end(&self) {
        let ask = async || -> Result<()> {
            let client = self.hand.engine.connect().await?;
            match client.find(&self.hand.id).await? {
                Some(found) => client.kill(&found.id, &found.stop_signal).await,
                None => Ok(()),
            }
        };
        while ask().await.is_err() {
            tokio::time::sleep(AWAY_TICK).await;
        }
    }

    /// Waits for the end of the container, over those of the engine. `None` when
    /// it was removed.
    async fn see_end(&self) -> Option<Found> {
        let mut pause = AWAY_TICK;
        loop {
            let look = async {
                let client = self.hand.engine.connect().await?;
                let found = client.find(&self.hand.id).await?;
                if found.as_ref().is_some_and(|found| found.running) {
                    client.wait(&self.hand.id).await;
                    return Ok::<_, Error>(Err(()));
                }
                Ok(Ok(found))
            };
            match look.await {
                Ok(Ok(found)) => return found,
                // It has ended, or the engine has; which, is looked at next.
                Ok(Err(())) => pause = AWAY_TICK,
                Err(_) => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(AWAY_TICK_MAX);
                }
            }
        }
    }
}

/// Passes the output of a container on until it has ended. When the engine lets
/// go of it before that, goes on with what the engine has kept since.
async fn pass_on(engine: Engine, id: String, mut output: Output, mut ended: watch::Receiver<bool>) {
    let mut last = Timestamp::now();
    loop {
        while let Some(Ok(piece)) = output.next().await {
            write_out(piece.as_ref());
            last = Timestamp::now();
        }
        let over = ended.wait_for(|over| *over);
        if tokio::time::timeout(END_PATIENCE, over).await.is_ok() {
            return;
        }
        if let Ok(client) = engine.connect().await {
            output = read_on(&client, &id, last);
        }
    }
}

/// What the engine has kept of the output since, and what comes.
fn read_on(client: &Client, id: &str, since: Timestamp) -> Output {
    let options = LogsOptionsBuilder::default()
        .follow(true)
        .stdout(true)
        .stderr(true)
        // It is asked by the second, and says by the nanosecond.
        .since(i32::try_from(since.as_second()).unwrap_or(i32::MAX))
        .timestamps(true)
        .build();
    let pieces = client.docker.logs(id, Some(options));
    let pieces = pieces.filter_map(move |piece| {
        std::future::ready(match piece {
            Ok(piece) => unseen(piece, since).map(Ok),
            Err(e) => Some(Err(e)),
        })
    });
    Box::pin(pieces)
}

/// A line without the time that stands before it, when that is after `since`.
fn unseen(piece: LogOutput, since: Timestamp) -> Option<LogOutput> {
    let bytes = piece.into_bytes();
    let end = bytes.iter().position(|b| *b == b' ')?;
    let stamp = std::str::from_utf8(bytes.get(..end)?).ok()?;
    let at: Timestamp = stamp.parse().ok()?;
    (at > since).then(|| LogOutput::StdOut {
        message: bytes.slice(end + 1..),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_not_seen_is_read_again() {
        let since: Timestamp = "2026-01-02T03:04:05.5Z".parse().unwrap();
        let line = |text: &str| LogOutput::StdErr {
            message: text.as_bytes().to_vec().into(),
        };
        let read = |text| unseen(line(text), since).map(|p| p.to_string());
        let later = "2026-01-02T03:04:05.500000001Z a b\n";
        assert_eq!(read(later).as_deref(), Some("a b\n"));
        assert_eq!(read("2026-01-02T03:04:05.500000000Z a\n"), None);
        assert_eq!(read("no time\n"), None);
    }
}
