//! Processes that a bench starts, and ends.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// How long a child may take to begin.
pub(crate) const START_WAIT: Duration = Duration::from_secs(60);

/// A process that does not outlive us.
#[derive(Debug)]
pub(crate) struct Owned(Child);

impl Owned {
    pub(crate) fn start(command: &mut Command) -> anyhow::Result<Self> {
        let child = command
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| format!("start {}", command.get_program().display()))?;
        Ok(Self(child))
    }

    /// Starts it and returns the rest of the first line that begins with
    /// `word`.
    pub(crate) fn ready(command: &mut Command, word: &str) -> anyhow::Result<(Self, String)> {
        let mut owned = Self::start(command.stdout(Stdio::piped()))?;
        let stdout = owned.0.stdout.take().context("read what a child says")?;
        let mut lines = BufReader::new(stdout);
        let mut line = String::new();
        while lines.read_line(&mut line)? > 0 {
            if let Some(rest) = line.strip_prefix(word) {
                let rest = rest.trim().to_owned();
                // Closing the pipe might end it at its next word.
                std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
                return Ok((owned, rest));
            }
            line.clear();
        }
        bail!("start {}: it ended", command.get_program().display())
    }

    pub(crate) fn kill(mut self) -> anyhow::Result<()> {
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }

    /// The processor time it has used so far, in seconds.
    pub(crate) fn cpu(&self) -> f64 {
        cpu_of(self.0.id()).unwrap_or(f64::NAN)
    }

    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// User and system time of a process and all its threads.
fn cpu_of(pid: u32) -> Option<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let rest = text.get(text.rfind(')')? + 2..)?;
    let mut fields = rest.split(' ').skip(11);
    let ticks: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    // USER_HZ is 100 on every Linux that Rust runs on.
    Some((ticks + system) as f64 / 100.0)
}

/// A folder for scratch files, gone when dropped.
pub(crate) fn scratch() -> anyhow::Result<tempfile::TempDir> {
    let parent =
        std::env::var_os("BACKOUT_BENCH_DIR").map_or_else(|| ".cache".into(), PathBuf::from);
    std::fs::create_dir_all(&parent)?;
    // Drivers and children want absolute paths.
    let parent = parent.canonicalize()?;
    tempfile::Builder::new()
        .prefix("bench-")
        .tempdir_in(&parent)
        .with_context(|| format!("make a folder in {}", parent.display()))
}

/// The `backout` to measure.
pub(crate) fn backout() -> anyhow::Result<PathBuf> {
    let path = match std::env::var_os("BACKOUT_BIN") {
        Some(path) => PathBuf::from(path),
        None => std::env::current_exe()?.with_file_name("backout"),
    };
    if !path.exists() {
        bail!(
            "find {}: build it with cargo build --release -p backout, or set BACKOUT_BIN",
            path.display()
        );
    }
    Ok(path)
}

/// This program, to be started again as a child.
pub(crate) fn this(mode: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(mode);
    Ok(command)
}

/// Whether a program can be found.
pub(crate) fn has(program: &str) -> bool {
    let found = |folder: PathBuf| folder.join(program).exists();
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(found))
        || found(Path::new("/usr/sbin").to_owned())
        || found(Path::new("/sbin").to_owned())
}

/// Runs a program to its end.
pub(crate) fn done(command: &mut Command) -> anyhow::Result<()> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("start {}", command.get_program().display()))?;
    if !output.status.success() {
        bail!(
            "run {command:?}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

/// Waits until `what` holds; returns how long it took.
pub(crate) fn until(
    why: &str,
    every: Duration,
    mut what: impl FnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<Duration> {
    let began = Instant::now();
    while !what()? {
        if began.elapsed() > START_WAIT {
            bail!("wait until {why}: it takes more than {START_WAIT:?}");
        }
        std::thread::sleep(every);
    }
    Ok(began.elapsed())
}
