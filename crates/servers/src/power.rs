//! Starts and stops servers: virtual machines by their driver, others by the
//! user's own commands.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use backout_core::code::Code;
use backout_core::ids::InstanceId;
use backout_disks::Guard;
use backout_jobs::{StepContext, StepError};
use backout_machines::{Machine, Machines, State, Stop};

use crate::model::{ManagedDisk, Server, Volume};
use crate::persistence;
use crate::preflight::{holder_names, writers};
use crate::procedures::{Runtime, disk_error, lock, machine_error, under_lock};

/// How long a command may take. A guest that is asked to stop needs a minute;
/// five leave room for a slow one.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(300);

/// How much of a failed command's output is told.
const TAIL_BYTES: usize = 400;

/// How large a server's command log grows before it is begun anew.
const LOG_MAX_BYTES: u64 = 1 << 20;

/// How often it is looked whether a stopped server has let its disk go.
const LET_GO_TRIES: u32 = 100;

/// The pause between two looks.
const LET_GO_PAUSE: Duration = Duration::from_millis(100);

/// Stops a server, and waits until nothing has its disk open: its contents must
/// not change any more. Does nothing to a server that does not run.
///
/// The folder of its disk may be gone, and with it the lock: then a machine that
/// is off stays so, and a stop command has nothing left that it could harm.
///
/// # Errors
/// [`StepError::Failed`] when it does not stop.
pub(crate) async fn stop(
    runtime: &Runtime,
    ctx: &StepContext,
    server: &Server,
    how: Stop,
) -> Result<(), StepError> {
    let gone = is_folder_gone(&server.disk);
    if server.machine.is_some() {
        let (machines, id) = (runtime.machines.clone(), server.id.clone());
        if gone {
            let (machines, id) = (machines.clone(), id.clone());
            let state = ctx
                .blocking(move || machines.state(id.as_str()).map_err(machine_error))
                .await?;
            if state == State::Off {
                return Ok(());
            }
        }
        return under_lock(ctx, &server.disk, move |guard, _, progress| {
            machines
                .stop(guard, id.as_str(), how, progress)
                .map_err(machine_error)
        })
        .await;
    }
    if let Some(command) = &server.commands.stop {
        let guard = if gone {
            None
        } else {
            Some(lock_for_command(ctx, &server.disk).await?)
        };
        run("stop", command, server, &runtime.logs, ctx).await?;
        drop(guard);
    }
    wait_until_let_go(ctx, server, &server.disk).await
}

/// Starts a server. Says whether it has a way to be started; does nothing to
/// one that runs.
///
/// # Errors
/// [`StepError::Failed`] when it does not start.
pub(crate) async fn start(
    runtime: &Runtime,
    ctx: &StepContext,
    server: &Server,
) -> Result<bool, StepError> {
    if let Some(machine) = machine(ctx, server).await? {
        let machines = runtime.machines.clone();
        under_lock(ctx, &server.disk, move |guard, _, _| {
            machines.start(guard, &machine).map_err(machine_error)
        })
        .await?;
        return Ok(true);
    }
    let Some(command) = &server.commands.start else {
        return Ok(false);
    };
    let guard = lock_for_command(ctx, &server.disk).await?;
    run("start", command, server, &runtime.logs, ctx).await?;
    drop(guard);
    Ok(true)
}

/// The lock of a disk, for as long as a command works on its server: so a worker
/// that lost its job starts and stops nothing. It is this process's alone, since
/// what the command leaves behind would keep it for ever.
async fn lock_for_command(ctx: &StepContext, disk: &Volume) -> Result<Guard, StepError> {
    let (inside, spec) = (ctx.clone(), disk.spec());
    ctx.blocking(move || lock(&inside, &spec)).await
}

/// Whether the folder that a disk lies in is not there any more.
fn is_folder_gone(disk: &Volume) -> bool {
    let folder = disk.head.parent();
    folder.is_some_and(|f| matches!(f.try_exists(), Ok(false)))
}

/// The virtual machine that a server is, with the disks it has now.
pub(crate) async fn machine(
    ctx: &StepContext,
    server: &Server,
) -> Result<Option<Machine>, StepError> {
    let Some(spec) = server.machine.clone() else {
        return Ok(None);
    };
    let volumes = std::iter::once(&server.disk)
        .chain(data_disks(ctx, server).await?.iter().map(|d| &d.volume))
        .map(of_machine)
        .collect();
    Ok(Some(Machine {
        id: server.id.to_string(),
        spec,
        volumes,
    }))
}

async fn data_disks(ctx: &StepContext, server: &Server) -> Result<Vec<ManagedDisk>, StepError> {
    let id = server.id.clone();
    Ok(ctx
        .store
        .read(move |tx| persistence::data_disks_of(tx, &id))
        .await?)
}

/// A disk as its machine sees it.
pub(crate) fn of_machine(volume: &Volume) -> backout_machines::Volume {
    backout_machines::Volume {
        name: volume.id.to_string(),
        path: volume.head.clone(),
        format: volume.format,
    }
}

/// A machine that stands still while a restore point of one of its disks is
/// taken. It goes on when this is dropped, however that comes.
pub(crate) struct Running<'a> {
    machines: &'a Machines,
    id: InstanceId,
    guard: Held<'a>,
    /// Whether it ran before.
    resume: bool,
}

/// The lock of a machine's system disk: the one that is held anyway, or one
/// more.
enum Held<'a> {
    Already(&'a Guard),
    Own(Guard),
}

impl Held<'_> {
    fn guard(&self) -> &Guard {
        match self {
            Held::Already(guard) => guard,
            Held::Own(guard) => guard,
        }
    }
}

impl<'a> Running<'a> {
    /// Makes `server` stand still; `None` when it does not run. `guard` is the
    /// lock of `disk`, one of its disks.
    pub(crate) fn pause(
        machines: &'a Machines,
        ctx: &StepContext,
        server: &Server,
        guard: &'a Guard,
        disk: &Volume,
    ) -> Result<Option<Self>, StepError> {
        let guard = if disk.id == server.disk.id {
            Held::Already(guard)
        } else {
            Held::Own(lock(ctx, &server.disk.spec())?)
        };
        // A machine that was paused by a step that crashed goes on as well.
        let is_on = machines
            .pause(guard.guard(), server.id.as_str())
            .map_err(machine_error)?;
        Ok(is_on.then(|| Self {
            machines,
            id: server.id.clone(),
            guard,
            resume: true,
        }))
    }

    /// Makes it write into the new head that a capture left.
    pub(crate) fn follow(
        &self,
        disk: &Volume,
        captured: &backout_disks::Captured,
    ) -> Result<(), StepError> {
        if captured.point.format != backout_disks::Format::Qcow2 {
            return Ok(());
        }
        let layer = disk
            .spec()
            .point_path(&captured.point)
            .map_err(disk_error)?;
        self.machines
            .switch_head(
                self.guard.guard(),
                self.id.as_str(),
                &of_machine(disk),
                &layer,
            )
            .map_err(machine_error)
    }

    /// Lets it go on.
    pub(crate) fn resume(mut self) -> Result<(), StepError> {
        self.resume = false;
        self.machines
            .resume(self.guard.guard(), self.id.as_str())
            .map_err(machine_error)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        // After a failure. If this fails too, the undo tries again.
        if self.resume {
            let _ = self.machines.resume(self.guard.guard(), self.id.as_str());
        }
    }
}

/// Waits until nothing has `disk`, one of a stopped server's, open any more. A
/// file that is gone is not waited for.
pub(crate) async fn wait_until_let_go(
    ctx: &StepContext,
    server: &Server,
    disk: &Volume,
) -> Result<(), StepError> {
    let head = disk.head.clone();
    let name = server.name.clone();
    ctx.blocking(move || {
        for _ in 0..LET_GO_TRIES {
            match writers(&head) {
                Ok(found) if found.is_empty() => return Ok(()),
                Err(backout_disks::Error::Missing { .. }) => return Ok(()),
                Ok(_) => {}
                Err(e) => return Err(disk_error(e)),
            }
            std::thread::sleep(LET_GO_PAUSE);
        }
        let holders = holder_names(&writers(&head).map_err(disk_error)?);
        Err(StepError::failed(
            Code::DiskInUse,
            format!("stop server {name}: its stop command returned, but the disk is still open in {holders}"),
        ))
    })
    .await
}

/// Runs `command` by `sh -c` and waits for it, while the caller holds the lock
/// of the server's disk. Its environment names the disks:
/// `BACKOUT_DISK` the system disk's file, `BACKOUT_DATA_DISKS` those of the data
/// disks, one a line.
///
/// Its output goes to a log file in `logs`, not to a pipe: what it starts in
/// the background may keep the output open for as long as it lives. It runs in
/// a process group of its own, so that what it starts outlives Backout.
///
/// # Errors
/// [`StepError::Failed`] with [`Code::PowerCommand`] when it cannot be started,
/// exits with a failure, or takes longer than five minutes.
async fn run(
    verb: &str,
    command: &str,
    server: &Server,
    logs: &Path,
    ctx: &StepContext,
) -> Result<(), StepError> {
    let mut data = std::ffi::OsString::new();
    for disk in data_disks(ctx, server).await? {
        data.push(disk.volume.head);
        data.push("\n");
    }
    let log = log_path(logs, server);
    let failed = |why: String| {
        StepError::failed(
            Code::PowerCommand,
            format!(
                "{verb} server {} by its command: {why}; see {}",
                server.name,
                log.display()
            ),
        )
    };
    let open = || -> std::io::Result<std::fs::File> {
        std::fs::create_dir_all(logs)?;
        let fresh = std::fs::metadata(&log).is_ok_and(|m| m.len() > LOG_MAX_BYTES);
        OpenOptions::new()
            .create(true)
            .write(true)
            .append(!fresh)
            .truncate(fresh)
            .open(&log)
    };
    let out = open().map_err(|e| failed(e.to_string()))?;
    let begins_at = out.metadata().map_or(0, |m| m.len());
    let err = out.try_clone().map_err(|e| failed(e.to_string()))?;
    let mut child = tokio::process::Command::new("sh")
        .arg("-c")
        .arg(command)
        .env("BACKOUT_SERVER", &server.name)
        .env("BACKOUT_SERVER_ID", server.id.as_str())
        .env("BACKOUT_DISK", &server.disk.head)
        .env("BACKOUT_DATA_DISKS", data)
        .env_remove("BACKOUT_MASTER_KEY")
        .env_remove("BACKOUT_SECRET_KEY")
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .process_group(0)
        .spawn()
        .map_err(|e| failed(e.to_string()))?;
    let group = child.id();
    match tokio::time::timeout(COMMAND_TIMEOUT, child.wait()).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(failed(format!("{status}{}", tail(&log, begins_at)))),
        Ok(Err(e)) => Err(failed(e.to_string())),
        Err(_) => {
            if let Some(pid) = group.and_then(|p| rustix::process::Pid::from_raw(p.cast_signed())) {
                // It may have ended in this very moment.
                let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
            }
            Err(failed(format!(
                "it did not return within {} s",
                COMMAND_TIMEOUT.as_secs()
            )))
        }
    }
}

fn log_path(logs: &Path, server: &Server) -> PathBuf {
    logs.join(format!("{}.log", server.id))
}

/// The last that was said in `log` after its first `begins_at` bytes, which are
/// of earlier commands.
fn tail(log: &Path, begins_at: u64) -> String {
    let Ok(bytes) = std::fs::read(log) else {
        return String::new();
    };
    let own = bytes
        .get(usize::try_from(begins_at).unwrap_or(usize::MAX)..)
        .unwrap_or_default();
    let from = own.len().saturating_sub(TAIL_BYTES);
    let text = String::from_utf8_lossy(&own[from..]);
    let text = text.trim();
    if text.is_empty() {
        String::new()
    } else {
        format!(", its last words: {text}")
    }
}
