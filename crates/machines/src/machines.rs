//! What can be done with machines.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use backout_disks::{Guard, Progress};
use backout_shim::{Shim, Signal};
use qapi::qmp;

use crate::command_line::{self, ACT, LOOK};
use crate::error::{Error, Result};
use crate::model::{Capabilities, Machine, State, Stop, Volume, check_id, check_name};
use crate::plug;
use crate::qemu;
use crate::qmp::Monitor;

/// The machine as it was started, in its run folder.
const MACHINE: &str = "machine.json";

/// How long QEMU may take until its monitor answers. It opens images, and on a
/// busy host loads its firmware, before that.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// How long one who acts waits for an answer: to pause is to flush the disks.
const ACT_PATIENCE: Duration = Duration::from_secs(60);

/// How long one who looks does; a listing must not stand still.
const LOOK_PATIENCE: Duration = Duration::from_secs(5);

/// How long a guest may take to switch off: services have 90 s by default on
/// the usual distributions.
const GUEST_PATIENCE: Duration = Duration::from_secs(120);

/// How long a process may be there after its sockets are closed: the kernel
/// takes back its memory.
const DYING_PATIENCE: Duration = Duration::from_secs(2);

/// How long QEMU may take to write back what it has, and to end.
const QUIT_PATIENCE: Duration = Duration::from_secs(20);

/// How often the power button is pressed: a guest that is just booting does not
/// hear the first.
const PRESS_EVERY: Duration = Duration::from_secs(5);

/// How often a wait looks whether it was cancelled.
const TICK: Duration = Duration::from_millis(100);

/// Most that is read of what QEMU said before it ended, in bytes.
const SAID_MAX_BYTES: u64 = 8 << 10;

/// Most lines of that in a message.
const SAID_MAX_LINES: usize = 3;

/// The machines of this host. Cheap to clone; several, in several processes,
/// may look after the same runtime folder.
#[derive(Clone, Debug)]
pub struct Machines {
    runtime: PathBuf,
    shim: Shim,
    guest_patience: Duration,
    found: Arc<Mutex<Option<Capabilities>>>,
}

impl Machines {
    /// Machines whose run folders lie in `runtime`, which is made when it is
    /// needed, kept by `shim`.
    #[must_use]
    pub fn new(runtime: PathBuf, shim: Shim) -> Self {
        Self {
            runtime,
            shim,
            guest_patience: GUEST_PATIENCE,
            found: Arc::default(),
        }
    }

    /// Waits this long for a guest that is asked to switch off or to let go of
    /// a disk, instead of two minutes.
    #[must_use]
    pub fn with_guest_patience(mut self, patience: Duration) -> Self {
        self.guest_patience = patience;
        self
    }

    /// What this host can do. The first call since the host started takes a
    /// few seconds.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        // Held meanwhile: one trial is enough.
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = &*found {
            return found.clone();
        }
        let now = qemu::capabilities(Some(&self.runtime));
        if now.qemu.is_some() {
            *found = Some(now.clone());
        }
        now
    }

    /// Whether the machine runs. One that never ran does not.
    ///
    /// # Errors
    /// [`Error::Unanswered`] when its process is there but does not answer.
    pub fn state(&self, id: &str) -> Result<State> {
        let Some(pid) = self.pid(id)? else {
            return Ok(State::Off);
        };
        let status = Monitor::connect(&self.folder(id), LOOK, id, pid, LOOK_PATIENCE)
            .and_then(|mut monitor| monitor.run("look at", &qmp::query_status {}));
        match status {
            Ok(status) => Ok(State::On {
                pid,
                paused: !status.running,
            }),
            Err(e) => {
                if self.has_ended(id, pid)? {
                    return Ok(State::Off);
                }
                Err(e)
            }
        }
    }

    /// Starts it, and returns when its monitor answers. One that runs is only
    /// woken, when it is paused: another specification holds from the next
    /// start on.
    ///
    /// # Errors
    /// [`Error::BadMachine`], [`Error::WrongLock`], [`Error::NoQemu`],
    /// [`Error::NotStarted`], [`Error::ImageLocked`], [`Error::Unanswered`].
    pub fn start(&self, guard: &Guard, machine: &Machine) -> Result<()> {
        machine.check()?;
        let id = &machine.id;
        check_lock(guard, machine)?;
        let folder = self.folder(id);
        let mut log_before = 0;
        if self.pid(id)?.is_none() {
            let can = self.capabilities();
            let program = match (&can.qemu, qemu::program()) {
                (Some(_), Some(program)) => program,
                _ => {
                    return Err(Error::NoQemu {
                        why: can.qemu_why.unwrap_or_default(),
                    });
                }
            };
            let args = command_line::arguments(machine, &can)?;
            make_folder(&folder)?;
            self.remember(machine)?;
            log_before = self
                .serial_log(id)
                .metadata()
                .map_or(0, |facts| facts.len());
            backout_shim::start(&folder, &self.shim, &backout_shim::Spec::new(program, args))
                .map_err(|e| of_shim(id, e))?;
        }
        let until = Instant::now() + START_PATIENCE;
        loop {
            let Some(pid) = self.pid(id)? else {
                return Err(self.why_not_started(id, log_before));
            };
            let woken =
                Monitor::connect(&folder, ACT, id, pid, LOOK_PATIENCE).and_then(|mut monitor| {
                    let status = monitor.run("start", &qmp::query_status {})?;
                    if !status.running {
                        monitor.run("start", &qmp::cont {})?;
                    }
                    Ok(())
                });
            match woken {
                Ok(()) => return Ok(()),
                Err(e) if Instant::now() >= until && self.pid(id)?.is_some() => return Err(e),
                Err(e @ Error::Refused { .. }) => return Err(e),
                Err(_) => {}
            }
        }
    }

    /// Switches it off; returns when its process is gone, and with that its
    /// disks let go. Fine when it is off.
    ///
    /// # Errors
    /// [`Error::Disobeyed`] ([`Stop::Soft`] only), [`Error::Cancelled`] (while
    /// the guest is waited for), [`Error::WrongLock`], [`Error::Shim`].
    pub fn stop(&self, guard: &Guard, id: &str, how: Stop, progress: &dyn Progress) -> Result<()> {
        self.check(guard, id)?;
        if self.pid(id)?.is_none() {
            return Ok(());
        }
        match how {
            Stop::Hard => self.cut_power(id),
            Stop::Soft => self.press_button(id, progress),
            Stop::SoftFirst => match self.press_button(id, progress) {
                Err(e @ (Error::Cancelled { .. } | Error::Io { .. })) => Err(e),
                Err(_) => self.cut_power(id),
                Ok(()) => Ok(()),
            },
        }
    }

    /// Switches it off and on, as it was started and with the disks it has now.
    /// After a crash in the middle, the same call again ends with a machine
    /// that was started anew.
    ///
    /// # Errors
    /// As [`Machines::stop`] and [`Machines::start`]; [`Error::State`] when it
    /// never ran here.
    pub fn reboot(
        &self,
        guard: &Guard,
        id: &str,
        how: Stop,
        progress: &dyn Progress,
    ) -> Result<()> {
        let machine = self.check(guard, id)?.ok_or_else(|| Error::State {
            id: id.to_owned(),
            what: "reboot",
            why: "it never ran on this host; start it".to_owned(),
        })?;
        self.stop(guard, id, how, progress)?;
        self.start(guard, &machine)
    }

    /// Holds the guest still, with all that it wrote on its disks: what is in
    /// their files then is what it would find after a power cut. Whether there
    /// is a machine at all, which is to be resumed. Fine when it is paused
    /// already.
    ///
    /// It also lets go of what it has open without using it, such as a new head
    /// that it was not yet told to write into when a worker crashed: so the one
    /// file it has open writable afterwards is the one that it writes to.
    ///
    /// # Errors
    /// [`Error::WrongLock`], [`Error::Unanswered`], [`Error::Refused`].
    pub fn pause(&self, guard: &Guard, id: &str) -> Result<bool> {
        self.check(guard, id)?;
        let on = self.act(id, |monitor| {
            // Waits for requests under way and flushes.
            monitor.run("pause", &qmp::stop {})?;
            plug::sweep(monitor)
        })?;
        Ok(on.is_some())
    }

    /// Lets a paused guest go on. Fine when it runs, or is off.
    ///
    /// # Errors
    /// [`Error::WrongLock`], [`Error::Unanswered`], [`Error::Refused`].
    pub fn resume(&self, guard: &Guard, id: &str) -> Result<()> {
        self.check(guard, id)?;
        self.act(id, |monitor| monitor.run("resume", &qmp::cont {}).map(drop))?;
        Ok(())
    }

    /// Makes a paused machine write into another file: the image that it wrote
    /// to was renamed to `layer`, and an empty overlay on that lies at
    /// `volume.path`. Fine when it does so already, or is off.
    ///
    /// # Errors
    /// [`Error::State`] when it is not paused, or writes to neither of the two;
    /// [`Error::WrongLock`], [`Error::Unanswered`], [`Error::Refused`],
    /// [`Error::Io`].
    pub fn switch_head(
        &self,
        guard: &Guard,
        id: &str,
        volume: &Volume,
        layer: &Path,
    ) -> Result<()> {
        volume.check()?;
        self.check(guard, id)?;
        self.act(id, |monitor| plug::switch_head(monitor, id, volume, layer))?;
        Ok(())
    }

    /// Pulls all that lies below a volume's head into it, while the machine
    /// runs; then it is built on nothing else. Stopped in the middle, it is as
    /// good a chain as before. Fine when there is nothing below, and takes up
    /// what a crashed worker began.
    ///
    /// # Errors
    /// [`Error::State`] when the machine is off, also when that happens in
    /// the middle; [`Error::Cancelled`], [`Error::WrongLock`],
    /// [`Error::Unanswered`], [`Error::Refused`], [`Error::Io`] with
    /// `StorageFull`.
    pub fn stream(
        &self,
        guard: &Guard,
        id: &str,
        volume: &Volume,
        progress: &dyn Progress,
    ) -> Result<()> {
        volume.check()?;
        self.check(guard, id)?;
        self.act(id, |monitor| plug::stream(monitor, id, volume, progress))?
            .ok_or_else(|| Error::State {
                id: id.to_owned(),
                what: "shorten the chain of a disk of",
                why: "it is off; the chain is as good as before".to_owned(),
            })
    }

    /// Plugs a volume in. Fine when it is. For one that is off, it is there
    /// from the next reboot on. One that was lost to a [`Machines::detach`]
    /// which failed, and came true later, is plugged in again.
    ///
    /// # Errors
    /// [`Error::BadMachine`], [`Error::State`] when all slots are taken or the
    /// name is; [`Error::WrongLock`], [`Error::Unanswered`],
    /// [`Error::Refused`], [`Error::Io`].
    pub fn attach(&self, guard: &Guard, id: &str, volume: &Volume) -> Result<()> {
        volume.check()?;
        let machine = self.check(guard, id)?;
        let system = machine.as_ref().and_then(|m| m.volumes.first());
        if system.is_some_and(|system| system.name == volume.name) {
            return Err(Error::State {
                id: id.to_owned(),
                what: "plug a disk into",
                why: format!("{} is its system disk; use another name", volume.name),
            });
        }
        let with = machine.map(|mut machine| {
            machine.volumes.retain(|v| v.name != volume.name);
            machine.volumes.push(volume.clone());
            machine
        });
        if let Some(with) = &with {
            with.check()?;
        }
        self.act(id, |monitor| plug::attach(monitor, id, volume))?;
        with.map_or(Ok(()), |with| self.remember(&with))
    }

    /// Unplugs a volume, and returns when its file is let go. Fine when it is
    /// not there, or the machine is off.
    ///
    /// A guest that did not let go in time may still do so, and its reset does
    /// so for it: QEMU cannot be asked to forget. Until then the volume is
    /// plugged in; where QEMU is run anew, as by [`Machines::reboot`], it stays.
    ///
    /// # Errors
    /// [`Error::Disobeyed`] when the guest does not let go; [`Error::State`]
    /// for the system disk; [`Error::WrongLock`], [`Error::Unanswered`],
    /// [`Error::Refused`].
    pub fn detach(&self, guard: &Guard, id: &str, name: &str) -> Result<()> {
        check_name(name)?;
        let machine = self.check(guard, id)?;
        let system = machine.as_ref().and_then(|m| m.volumes.first());
        if system.is_some_and(|system| system.name == name) {
            return Err(Error::State {
                id: id.to_owned(),
                what: "unplug the disk of",
                why: format!("{name} is its system disk, which stays"),
            });
        }
        let patience = self.guest_patience;
        let volume = machine
            .as_ref()
            .and_then(|m| m.volumes.iter().find(|v| v.name == name));
        let image = volume.map(|volume| volume.path.as_path());
        self.act(id, |monitor| {
            plug::detach(monitor, id, name, image, patience)
        })?;
        let without = machine.map(|mut machine| {
            machine.volumes.retain(|v| v.name != name);
            machine
        });
        without.map_or(Ok(()), |without| self.remember(&without))
    }

    /// Removes all that is kept of a machine that is off; its disks are not
    /// among it.
    ///
    /// # Errors
    /// [`Error::State`] when it is on; [`Error::WrongLock`], [`Error::Io`].
    pub fn forget(&self, guard: &Guard, id: &str) -> Result<()> {
        self.check(guard, id)?;
        if let Some(pid) = self.pid(id)? {
            return Err(Error::State {
                id: id.to_owned(),
                what: "forget",
                why: format!("it runs, as process {pid}; stop it first"),
            });
        }
        let folder = self.folder(id);
        match std::fs::remove_dir_all(&folder) {
            Ok(()) => Ok(()),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
            Err(e) => Err(Error::io("remove", &folder, e)),
        }
    }

    /// The file that has what its serial console showed last, and what QEMU
    /// said; what was there before that is in the same with `.1` at its end.
    #[must_use]
    pub fn serial_log(&self, id: &str) -> PathBuf {
        backout_shim::log_path(&self.folder(id))
    }

    /// The run folder. An id that is none names one that is never made.
    fn folder(&self, id: &str) -> PathBuf {
        match check_id(id) {
            Ok(()) => self.runtime.join(id),
            Err(_) => self.runtime.join("no.machine"),
        }
    }

    /// Pid of its process, when it has one.
    fn pid(&self, id: &str) -> Result<Option<u32>> {
        check_id(id)?;
        match backout_shim::look(&self.folder(id)).map_err(|e| of_shim(id, e))? {
            backout_shim::State::On { pid, .. } => Ok(Some(pid)),
            backout_shim::State::Off { .. } | backout_shim::State::Waits { .. } => Ok(None),
        }
    }

    /// The machine as it was started, once it was; its lock is checked.
    fn check(&self, guard: &Guard, id: &str) -> Result<Option<Machine>> {
        check_id(id)?;
        let path = self.folder(id).join(MACHINE);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io("read", &path, e)),
        };
        let machine: Machine =
            serde_json::from_slice(&text).map_err(|e| Error::io("read", &path, e))?;
        check_lock(guard, &machine)?;
        Ok(Some(machine))
    }

    fn remember(&self, machine: &Machine) -> Result<()> {
        let folder = self.folder(&machine.id);
        let path = folder.join(MACHINE);
        let write = || -> std::io::Result<()> {
            let mut out = tempfile::NamedTempFile::new_in(&folder)?;
            out.write_all(&serde_json::to_vec_pretty(machine)?)?;
            out.as_file().sync_all()?;
            out.persist(&path)?;
            File::open(&folder)?.sync_all()
        };
        write().map_err(|e| Error::io("write", &path, e))
    }

    /// Does something over the monitor; `None` when the machine is off, or went
    /// off meanwhile.
    fn act<T>(&self, id: &str, what: impl FnOnce(&mut Monitor) -> Result<T>) -> Result<Option<T>> {
        let Some(pid) = self.pid(id)? else {
            return Ok(None);
        };
        let result = Monitor::connect(&self.folder(id), ACT, id, pid, ACT_PATIENCE)
            .and_then(|mut monitor| what(&mut monitor));
        match result {
            Ok(done) => Ok(Some(done)),
            Err(Error::Unanswered { .. }) if self.has_ended(id, pid)? => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Whether process `pid`, whose monitor fell silent, is about to end: its
    /// sockets are closed before it is gone.
    fn has_ended(&self, id: &str, pid: u32) -> Result<bool> {
        match backout_shim::wait_ended(&self.folder(id), DYING_PATIENCE) {
            Ok(_) => Ok(true),
            Err(backout_shim::Error::GoesOn { pid: now, .. }) => Ok(now != pid),
            Err(e) => Err(of_shim(id, e)),
        }
    }

    /// Asks the guest to switch off, and waits until it has.
    fn press_button(&self, id: &str, progress: &dyn Progress) -> Result<()> {
        let until = Instant::now() + self.guest_patience;
        let folder = self.folder(id);
        let mut press_at = Instant::now();
        loop {
            let now = Instant::now();
            if now >= press_at {
                press_at = now + PRESS_EVERY;
                self.act(id, |monitor| {
                    // One that stands still hears nothing.
                    let status = monitor.run("switch off", &qmp::query_status {})?;
                    if !status.running {
                        monitor.run("switch off", &qmp::cont {})?;
                    }
                    monitor.run("switch off", &qmp::system_powerdown {})
                })?;
            }
            let left = until.saturating_duration_since(Instant::now());
            match backout_shim::wait_ended(&folder, TICK.min(left)) {
                Ok(_) => return Ok(()),
                Err(backout_shim::Error::GoesOn { .. }) => {}
                Err(e) => return Err(of_shim(id, e)),
            }
            if progress.cancelled() {
                return Err(Error::Cancelled { id: id.to_owned() });
            }
            if left.is_zero() {
                return Err(Error::Disobeyed {
                    id: id.to_owned(),
                    what: "switch off",
                    why: format!(
                        "the guest did not act on its power button within {} s; stop it by force, \
                         or see why",
                        self.guest_patience.as_secs()
                    ),
                });
            }
        }
    }

    /// Ends the process: asked to, so that it writes back what it has, or else
    /// killed.
    fn cut_power(&self, id: &str) -> Result<()> {
        let folder = self.folder(id);
        if let Some(pid) = self.pid(id)? {
            let asked = Monitor::connect(&folder, ACT, id, pid, LOOK_PATIENCE)
                .and_then(|mut monitor| monitor.run("stop", &qmp::quit {}));
            // It may end before it answers.
            if asked.is_ok() || self.pid(id)?.is_none() {
                match backout_shim::wait_ended(&folder, QUIT_PATIENCE) {
                    Ok(_) => return Ok(()),
                    Err(backout_shim::Error::GoesOn { .. }) => {}
                    Err(e) => return Err(of_shim(id, e)),
                }
            }
        }
        backout_shim::stop(&folder, Signal::Kill, QUIT_PATIENCE)
            .map(drop)
            .map_err(|e| of_shim(id, e))
    }

    /// Why QEMU ended at once: by its own words in the log.
    fn why_not_started(&self, id: &str, log_before: u64) -> Error {
        let log = self.serial_log(id);
        let said = read_since(&log, log_before).unwrap_or_default();
        let mut lines: Vec<&str> = said
            .lines()
            // It calls itself by its short name, too.
            .filter_map(|line| line.strip_prefix("qemu"))
            .filter_map(|line| Some(line.split_once(": ")?.1))
            .filter(|line| !line.starts_with("warning:"))
            .collect();
        lines.drain(..lines.len().saturating_sub(SAID_MAX_LINES));
        let why = lines.join("; ");
        let id = id.to_owned();
        // QEMU's words for an image that another process has open.
        if why.contains("Failed to get") && why.contains("lock") {
            return Error::ImageLocked { id, why };
        }
        let why = if why.is_empty() {
            format!("it ended at once without a word; see {log:?}")
        } else {
            format!("QEMU said: {why}; see {log:?}")
        };
        Error::NotStarted { id, why }
    }
}

/// What was written to a log after its first `before` bytes, the end of that.
fn read_since(log: &Path, before: u64) -> std::io::Result<String> {
    let mut file = File::open(log)?;
    let size = file.metadata()?.len();
    // Shorter than before: it was moved aside meanwhile.
    let from = if before <= size { before } else { 0 };
    file.seek(SeekFrom::Start(
        from.max(size.saturating_sub(SAID_MAX_BYTES)),
    ))?;
    let mut said = Vec::new();
    file.take(SAID_MAX_BYTES).read_to_end(&mut said)?;
    Ok(String::from_utf8_lossy(&said).into_owned())
}

/// What runs can be told from what is in there, so it is for its owner alone.
fn make_folder(folder: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|e| Error::io("create the folder", folder, e))
}

fn check_lock(guard: &Guard, machine: &Machine) -> Result<()> {
    let wanted = machine.volumes.first().map(|system| &system.path);
    match wanted {
        Some(wanted) if wanted != guard.head() => Err(Error::WrongLock {
            id: machine.id.clone(),
            locked: guard.head().to_owned(),
            wanted: wanted.clone(),
        }),
        _ => Ok(()),
    }
}

fn of_shim(id: &str, source: backout_shim::Error) -> Error {
    Error::Shim {
        id: id.to_owned(),
        source,
    }
}
