//! Runs the user's own start and stop commands.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use backout_core::code::Code;
use backout_jobs::StepError;

use crate::model::Server;

/// How long a command may take. A guest that is asked to stop needs a minute;
/// five leave room for a slow one.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(300);

/// How much of a failed command's output is told.
const TAIL_BYTES: usize = 400;

/// How large a server's command log grows before it is begun anew.
const LOG_MAX_BYTES: u64 = 1 << 20;

/// Runs `command` by `sh -c` and waits for it.
///
/// Its output goes to a log file in `logs`, not to a pipe: what it starts in
/// the background may keep the output open for as long as it lives. It runs in
/// a process group of its own, so that what it starts outlives Backout.
///
/// # Errors
/// [`StepError::Failed`] with [`Code::PowerCommand`] when it cannot be started,
/// exits with a failure, or takes longer than five minutes.
pub async fn run(verb: &str, command: &str, server: &Server, logs: &Path) -> Result<(), StepError> {
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
    let err = out.try_clone().map_err(|e| failed(e.to_string()))?;
    let mut child = tokio::process::Command::new("sh")
        .arg("-c")
        .arg(command)
        .env("BACKOUT_SERVER", &server.name)
        .env("BACKOUT_SERVER_ID", server.id.as_str())
        .env("BACKOUT_DISK", &server.disk.head)
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
        Ok(Ok(status)) => Err(failed(format!("{status}{}", tail(&log)))),
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

fn tail(log: &Path) -> String {
    let Ok(bytes) = std::fs::read(log) else {
        return String::new();
    };
    let from = bytes.len().saturating_sub(TAIL_BYTES);
    let text = String::from_utf8_lossy(&bytes[from..]);
    let text = text.trim();
    if text.is_empty() {
        String::new()
    } else {
        format!(", its last words: {text}")
    }
}
