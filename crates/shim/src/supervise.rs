//! What the shim process does.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{PipeWriter, Read as _, Write as _};
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::care::{self, Carer};
use crate::control::SECRETS_MAX_BYTES;
use crate::folder::{Ask, Exit, Folder, LOCK, LOG, Record, SPEC, STATE, Spec, When, try_lock};
use crate::health::{EventKind, Journal};
use crate::identity::{Identity, boot_id};
use crate::log::pump;

/// Says which link of the chain a process is. Never reaches the program: its
/// environment is its own.
pub(crate) const STAGE: &str = "BACKOUT_SHIM_STAGE";
const WATCH: &str = "watch";
const BECOME: &str = "become";

/// Says to the first two links that secrets come through stdin.
pub(crate) const SECRETS: &str = "BACKOUT_SHIM_SECRETS";

/// Says what the last link becomes.
const ROLE: &str = "BACKOUT_SHIM_ROLE";

/// Environment that no file may hold.
pub(crate) type Secrets = BTreeMap<String, String>;

/// What of a [`Spec`] a link becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Program,
    Liveness,
    Readiness,
    AfterStart,
    BeforeStop,
    AfterEnd,
}

impl Role {
    const ALL: [Self; 6] = [
        Self::Program,
        Self::Liveness,
        Self::Readiness,
        Self::AfterStart,
        Self::BeforeStop,
        Self::AfterEnd,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Program => "program",
            Self::Liveness => "liveness",
            Self::Readiness => "readiness",
            Self::AfterStart => "after_start",
            Self::BeforeStop => "before_stop",
            Self::AfterEnd => "after_end",
        }
    }

    /// The program and its arguments.
    fn argv(self, spec: &Spec) -> Option<(PathBuf, Vec<String>)> {
        let care = spec.care.as_ref();
        let asked = |probe: &crate::Probe| match &probe.ask {
            Ask::Exec { argv } => Some(argv.clone()),
            Ask::Http { .. } | Ask::Tcp { .. } => None,
        };
        let argv = match self {
            Self::Program => return Some((spec.program.clone(), spec.args.clone())),
            Self::Liveness => care?.liveness.as_ref().and_then(asked)?,
            Self::Readiness => care?.readiness.as_ref().and_then(asked)?,
            Self::AfterStart => care?.after_start.as_ref()?.argv.clone(),
            Self::BeforeStop => care?.before_stop.as_ref()?.argv.clone(),
            Self::AfterEnd => care?.after_end.as_ref()?.argv.clone(),
        };
        let (program, args) = argv.split_first()?;
        Some((program.into(), args.to_vec()))
    }
}

/// The one who runs the shim hears one of these, or a line that says what is
/// wrong.
pub(crate) const READY: &str = "ready";
pub(crate) const TAKEN: &str = "taken";

/// Those who look at the lock hold it for an instant; another shim holds it for
/// as long as it lives.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// What the process wrote last is in the pipe; what its own children write
/// after its end is not waited for longer than this.
const LOG_PATIENCE: Duration = Duration::from_secs(2);

/// How long killed processes may take to leave a control group: the kernel takes
/// back their memory. Then the next start goes ahead beside them.
const EMPTY_PATIENCE: Duration = Duration::from_secs(5);

/// How often a waiting shim looks whether it is still wanted.
const TICK: Duration = Duration::from_millis(50);

/// The main function of a shim for the run folder `folder`. Nothing else may
/// run in the process: no thread, no open file.
#[must_use]
pub fn main(folder: &Path) -> ExitCode {
    let result = match std::env::var_os(STAGE) {
        None => detach(),
        Some(stage) if stage == WATCH => watch(folder),
        Some(stage) if stage == BECOME => become_program(folder),
        Some(_) => Err(format!("{STAGE} is set: unset it")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            // The reader is whoever started this link, through a pipe.
            let _ = writeln!(std::io::stdout(), "{}", why.replace('\n', " "));
            ExitCode::FAILURE
        }
    }
}

/// This program with its arguments, as another link of the chain. By the
/// kernel's own link, so that it is the same program even when its file was
/// replaced since.
fn link(stage: &str) -> Command {
    let mut command = Command::new("/proc/self/exe");
    let mut args = std::env::args_os();
    command
        .arg0(
            args.next()
                .unwrap_or_else(|| OsString::from("backout-shim")),
        )
        .args(args)
        .env_clear()
        .env(STAGE, stage);
    command
}

/// The last link, in a group of its own: a signal for the shim's is not one for
/// it.
pub(crate) fn again(role: Role) -> Command {
    let mut command = link(BECOME);
    command.env(ROLE, role.name()).process_group(0);
    command
}

/// Leaves the session, and the family, of whoever called.
fn detach() -> Result<(), String> {
    close_inherited()?;
    rustix::process::setsid().map_err(|e| format!("leave the session: {e}"))?;
    let mut next = link(WATCH);
    if std::env::var_os(SECRETS).is_some() {
        next.env(SECRETS, "1").stdin(Stdio::inherit());
    } else {
        next.stdin(Stdio::null());
    }
    next.stderr(Stdio::null())
        .spawn()
        .map(drop)
        .map_err(|e| format!("run itself again: {e}"))
}

/// Closes what the caller left open by mistake: a lock or a listener in the
/// hands of a process that outlives it would never be free again.
fn close_inherited() -> Result<(), String> {
    let entries = std::fs::read_dir("/proc/self/fd").map_err(|e| format!("read /proc: {e}"))?;
    let open: Vec<RawFd> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|fd| *fd > 2)
        .collect();
    for fd in open {
        // The one that listed the others is closed by now, which is no fault.
        let _ = nix::unistd::close(fd);
    }
    Ok(())
}

/// The shim proper.
fn watch(folder: &Path) -> Result<(), String> {
    let folder = Folder(folder.to_owned());
    std::env::set_current_dir(&folder.0).map_err(|e| format!("enter {:?}: {e}", folder.0))?;
    let said = |e: crate::Error| e.to_string();
    let lock = folder.lock_file(LOCK).map_err(said)?;
    let until = Instant::now() + LOCK_PATIENCE;
    while !try_lock(&lock, &folder.path(LOCK)).map_err(said)? {
        if Instant::now() >= until {
            return Err(TAKEN.to_owned());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let secrets = Arc::new(read_secrets()?);
    let spec: Spec = folder
        .read(SPEC)
        .map_err(said)?
        .ok_or_else(|| format!("{:?} has no {SPEC}", folder.0))?;
    let mut shim = Watch {
        record: Record {
            boot_id: boot_id().map_err(|e| format!("read the boot id: {e}"))?,
            shim: Identity::own().ok_or("read /proc/self/stat")?,
            child: None,
            since_ms: now_ms(),
            exit: None,
            waits: false,
            pending: false,
        },
        journal: spec
            .care
            .is_some()
            .then(|| Arc::new(Journal::open(folder.clone()))),
        spec,
        secrets,
        folder,
        heard: true,
    };
    shim.run()
}

/// What whoever started the shim sent, where that is anything.
fn read_secrets() -> Result<Secrets, String> {
    if std::env::var_os(SECRETS).is_none() {
        return Ok(Secrets::new());
    }
    let mut text = Vec::new();
    std::io::stdin()
        .take(SECRETS_MAX_BYTES as u64 + 1)
        .read_to_end(&mut text)
        .map_err(|e| format!("hear the secrets: {e}"))?;
    if let Ok(null) = std::fs::File::open("/dev/null") {
        let _ = rustix::stdio::dup2_stdin(null);
    }
    serde_json::from_slice(&text).map_err(|_| "hear the secrets: they are not whole".to_owned())
}

struct Watch {
    folder: Folder,
    spec: Spec,
    secrets: Arc<Secrets>,
    record: Record,
    /// Where there is care.
    journal: Option<Arc<Journal>>,
    /// Whoever started the shim still listens.
    heard: bool,
}

impl Watch {
    fn run(&mut self) -> Result<(), String> {
        let fault = |e: std::io::Error| format!("make a pipe for the log: {e}");
        let (reader, writer) = std::io::pipe().map_err(fault)?;
        let ended = pump(
            reader,
            self.folder.path(LOG),
            self.spec.log_max_bytes,
            self.spec.log_older,
        );
        let mut wait_ms = self.spec.restart.wait_ms;
        let exit = loop {
            let began = Instant::now();
            let exit = self.run_once(&writer)?;
            let again = match self.spec.restart.when {
                When::Never => false,
                When::Failed => exit != Exit::Code { code: 0 },
                When::Always => true,
            };
            if !again || self.folder.wanted_down() {
                break exit;
            }
            self.record.exit = Some(exit.clone());
            self.record.waits = true;
            self.save()?;
            let longest = self.spec.restart.wait_max_ms;
            if began.elapsed() > Duration::from_millis(longest) {
                wait_ms = self.spec.restart.wait_ms;
            }
            let text = format!("{} ms", wait_ms.min(longest));
            self.note(EventKind::Waits, text);
            if !self.sleep(Duration::from_millis(wait_ms.min(longest))) {
                break exit;
            }
            wait_ms = wait_ms.saturating_mul(2).min(longest);
        };
        // Whoever reads that it ended finds its last words in the log.
        drop(writer);
        let _ = ended.recv_timeout(LOG_PATIENCE);
        self.record.child = None;
        self.record.waits = false;
        self.record.exit = Some(exit);
        self.save()
    }

    /// Whether the process is still wanted after `pause`.
    fn sleep(&self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        loop {
            if self.folder.wanted_down() {
                return false;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            std::thread::sleep(left.min(TICK));
        }
    }

    fn note(&self, kind: EventKind, text: String) {
        if let Some(journal) = &self.journal {
            journal.note(None, kind, text);
        }
    }

    fn save(&self) -> Result<(), String> {
        self.folder
            .write(STATE, &self.record)
            .map_err(|e| e.to_string())
    }

    /// Runs the program to its end.
    fn run_once(&mut self, log: &PipeWriter) -> Result<Exit, String> {
        let fault = |what: &str, e: std::io::Error| format!("{what}: {e}");
        let (mut ours, theirs) =
            UnixStream::pair().map_err(|e| fault("make a pair of sockets", e))?;
        let copy = || log.try_clone().map_err(|e| fault("copy a pipe", e));
        let mut child = again(Role::Program)
            .stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)))
            .stdout(copy()?)
            .stderr(copy()?)
            .spawn()
            .map_err(|e| fault("run itself again", e))?;
        self.record.child = Identity::of(child.id());
        self.record.since_ms = now_ms();
        self.record.exit = None;
        self.record.waits = false;
        self.record.pending = self.heard;
        if let Err(why) = self.save() {
            // Not on record, so it must not run. It ends with this pair.
            drop(ours);
            let _ = child.wait();
            return Err(why);
        }
        // Whoever looked before it was on record was told that nothing runs,
        // and may have acted on that once the starter was gone. Whoever looks
        // from now on hears of it.
        let failed = if self.heard && starter_is_gone() {
            Some("whoever started it is gone: start it again".to_owned())
        } else {
            go(&mut ours, &self.secrets)
        };
        drop(ours);
        if failed.is_none() && self.heard {
            self.record.pending = false;
            if let Err(why) = self.save() {
                let _ = child.kill();
                let _ = child.wait();
                return Err(why);
            }
            self.tell_ready();
        }
        let carer = match (&failed, self.record.child) {
            (None, Some(identity)) => self.take_care(identity, log),
            _ => None,
        };
        let status = self
            .see_end(&mut child, log)
            .map_err(|e| fault("wait for the process", e))?;
        drop(carer);
        if failed.is_none() {
            self.note(EventKind::Ended, status.to_string());
        }
        self.record.child = None;
        self.record.pending = false;
        match failed {
            None => Ok(exit_of(status)),
            Some(why) if self.heard => {
                let exit = Exit::NotStarted { why: why.clone() };
                self.record.exit = Some(exit);
                self.save()?;
                Err(why)
            }
            Some(why) => Ok(Exit::NotStarted { why }),
        }
    }

    /// Begins what is done for the process beside its log.
    fn take_care(&self, child: Identity, log: &PipeWriter) -> Option<Carer> {
        let (care, journal) = (self.spec.care.as_ref()?, self.journal.as_ref()?);
        journal.began(child);
        let started = log
            .try_clone()
            .and_then(|log| Carer::start(&self.folder, care, &self.secrets, child, journal, log));
        match started {
            Ok(carer) => Some(carer),
            // It goes on without, and is never ready.
            Err(e) => {
                let text = format!("the shim cannot look after it: {e}");
                journal.note(None, EventKind::TaskFailed, text);
                None
            }
        }
    }

    /// Waits for the end of the process, and where there is care ends what is
    /// left of its group, which is its own as long as it is not waited for, of
    /// its control groups, and elsewhere.
    fn see_end(&self, child: &mut Child, log: &PipeWriter) -> std::io::Result<ExitStatus> {
        use rustix::process::{Pid, WaitId, WaitIdOptions, kill_process_group, waitid};
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        if let (Some(pid), true) = (pid, self.spec.care.is_some()) {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            while let Err(e) = waitid(WaitId::Pid(pid), options) {
                if e != rustix::io::Errno::INTR {
                    return Err(e.into());
                }
            }
            let _ = kill_process_group(pid, rustix::process::Signal::KILL);
            let status = child.wait();
            empty(&self.spec.join);
            if let Some(care) = &self.spec.care
                && let Err(why) = care::after_end(care, &self.secrets, log)
            {
                let text = format!("after its end: {why}");
                self.note(EventKind::TaskFailed, text);
            }
            return status;
        }
        child.wait()
    }

    /// Tells whoever started the shim, and lets go of the pipe to it.
    fn tell_ready(&mut self) {
        self.heard = false;
        let mut stdout = std::io::stdout();
        let _ = writeln!(stdout, "{READY}");
        let _ = stdout.flush();
        if let Ok(null) = std::fs::File::options().write(true).open("/dev/null") {
            let _ = rustix::stdio::dup2_stdout(null);
        }
    }
}

/// Kills what is left in control groups, also what is started there meanwhile.
fn empty(groups: &[PathBuf]) {
    use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
    let members = |group: &Path| -> Vec<i32> {
        let text = std::fs::read_to_string(group).unwrap_or_default();
        text.lines().filter_map(|pid| pid.parse().ok()).collect()
    };
    let until = Instant::now() + EMPTY_PATIENCE;
    while Instant::now() < until {
        let mut left = false;
        for group in groups {
            for pid in members(group) {
                left = true;
                let handle =
                    Pid::from_raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
                // Looked at once more with the handle in hand: it is of no
                // other.
                if let Some(handle) = handle
                    && members(group).contains(&pid)
                {
                    let _ = pidfd_send_signal(&handle, Signal::KILL);
                }
            }
        }
        if !left {
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Whether nobody can hear what is said any more: the starter holds the other
/// end of stdout until it was told, and loses it when it dies or gives up.
fn starter_is_gone() -> bool {
    let stdout = std::io::stdout();
    let mut polled = [PollFd::new(&stdout, PollFlags::empty())];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    loop {
        match poll(&mut polled, Some(&now)) {
            Ok(_) => {
                let [polled] = polled;
                let gone = PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL;
                return polled.revents().intersects(gone);
            }
            Err(rustix::io::Errno::INTR) => {}
            // Better one start that fails than one that nobody knows of.
            Err(_) => return true,
        }
    }
}

/// Tells the last link that it is on record. `None` when it then became the
/// program, else what kept it from that.
pub(crate) fn go(pair: &mut UnixStream, secrets: &Secrets) -> Option<String> {
    let mut text = match serde_json::to_vec(secrets) {
        Ok(text) => text,
        Err(e) => return Some(format!("write the secrets: {e}")),
    };
    text.push(b'\n');
    // A write to one that has died fails, and then the read says nothing.
    if let Err(e) = pair.write_all(&text) {
        return Some(format!("reach the new process: {e}"));
    }
    let mut said = Vec::new();
    match pair.read_to_end(&mut said) {
        Ok(_) if said.is_empty() => None,
        Ok(_) => Some(String::from_utf8_lossy(&said).into_owned()),
        Err(e) => Some(format!("hear of the new process: {e}")),
    }
}

fn exit_of(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code { code },
        (None, signal) => Exit::Signal {
            signal: signal.unwrap_or_default(),
        },
    }
}

/// The last link: waits until it is on record, and becomes the program.
fn become_program(folder: &Path) -> Result<(), String> {
    // When the shim dies before this, then the read below ends.
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .map_err(|e| format!("ask for a signal at the parent's death: {e}"))?;
    let secrets = hear_go()?;
    // The pair is closed when the program runs, which says that it does.
    let pair = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)
        .map_err(|e| format!("keep the pair: {e}"))?;
    let why = exec(folder, &secrets);
    let _ = UnixStream::from(pair).write_all(why.as_bytes());
    Ok(())
}

/// Waits for the line that says to go on: what is secret of the environment.
fn hear_go() -> Result<Secrets, String> {
    let died = || "hear from the shim: it has died".to_owned();
    let mut line = Vec::new();
    let limit = SECRETS_MAX_BYTES as u64 + 1;
    // No more than the line is there, so nothing is lost in a buffer.
    std::io::BufRead::read_until(&mut std::io::stdin().lock().take(limit), b'\n', &mut line)
        .map_err(|_| died())?;
    if !line.ends_with(b"\n") {
        return Err(died());
    }
    serde_json::from_slice(&line).map_err(|e| format!("hear from the shim: {e}"))
}

/// Only returns when that failed, with why.
fn exec(folder: &Path, secrets: &Secrets) -> String {
    let spec: Spec = match Folder(folder.to_owned()).read(SPEC) {
        Ok(Some(spec)) => spec,
        Ok(None) => return format!("{folder:?} has no {SPEC}"),
        Err(e) => return e.to_string(),
    };
    let name = std::env::var_os(ROLE);
    let role = Role::ALL
        .into_iter()
        .find(|role| name.as_deref() == Some(role.name().as_ref()));
    let Some((program, args)) = role.and_then(|role| role.argv(&spec)) else {
        return format!("{ROLE} names no program of {SPEC}: unset it");
    };
    for path in &spec.join {
        // 0 is whoever writes it. None is made: a control group that is gone is
        // no folder to write to.
        let joined = std::fs::File::options()
            .write(true)
            .open(path)
            .and_then(|mut file| file.write_all(b"0"));
        if let Err(e) = joined {
            return format!("join {path:?}: {e}");
        }
    }
    let cwd: PathBuf = spec.cwd.unwrap_or_else(|| folder.to_owned());
    if let Err(e) = std::env::set_current_dir(&cwd) {
        return format!("enter {cwd:?}: {e}");
    }
    let error = Command::new(&program)
        .args(&args)
        .env_clear()
        .envs(&spec.env)
        .envs(secrets)
        .stdin(Stdio::null())
        .exec();
    let program = String::from_utf8_lossy(program.as_os_str().as_bytes()).into_owned();
    format!("run {program}: {error}")
}

pub(crate) fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        })
}
