//! Whether a specification can be run, and what becomes of it.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};

use crate::error::{Error, Result};
use crate::model::{Ask, InstanceSpec, PortWish, Probe, Source, Task};
use crate::process::groups::{CPU_MIN_MILLIS, MEMORY_MIN_BYTES};

/// The most words of a command.
const ARGS_MAX: usize = 1024;

/// The longest single argument, variable, or path; the kernel takes 128 KiB.
const TEXT_MAX_BYTES: usize = 120 << 10;

/// The most that arguments and environment take together, in bytes: a quarter
/// of what the kernel takes with the usual stack.
const ALL_MAX_BYTES: usize = 512 << 10;

/// The most mounted files: some config maps.
const FILES_MAX: usize = 256;

/// The most that those hold together, in bytes: as much as sixteen config maps.
const FILES_MAX_BYTES: usize = 16 << 20;

/// The longest of any time here, in milliseconds: a day.
const TIME_MAX_MS: u64 = 24 * 3600 * 1000;

/// How many log files are kept at most.
const LOGS_MAX: u32 = 100;

/// Variables whose names begin so are the driver's.
const OURS: &str = "BACKOUT_";

fn refused(what: &'static str, why: impl Into<String>) -> Error {
    Error::BadSpec {
        what,
        why: why.into(),
    }
}

/// Refuses what could not be run, or not as it says.
pub(crate) fn check(spec: &InstanceSpec) -> Result<()> {
    // An image may bring its own.
    if !(spec.command.is_empty() && matches!(spec.source, Source::Image { .. })) {
        words("the command", &spec.command)?;
    }
    let mut size: usize = spec.command.iter().map(String::len).sum();
    for (name, value) in spec.env.iter().chain(&spec.secrets.0) {
        variable(name, value)?;
        size += name.len() + value.len();
    }
    if size > ALL_MAX_BYTES {
        let why = format!("command and environment are longer than {ALL_MAX_BYTES} bytes together");
        return Err(refused("the environment", why));
    }
    if let Some(twice) = spec.secrets.0.keys().find(|n| spec.env.contains_key(*n)) {
        let why = format!("{twice} is set as a secret and not as one; leave one of the two out");
        return Err(refused("the environment", why));
    }
    if spec.port == (PortWish::Fixed { number: 0 }) {
        return Err(refused("the port", "0 is none; name one from 1 to 65535"));
    }
    files(spec)?;
    limits(spec)?;
    for (what, probe) in [
        ("the liveness probe", &spec.liveness),
        ("the readiness probe", &spec.readiness),
    ] {
        if let Some(probe) = probe {
            check_probe(what, probe, spec.port)?;
        }
    }
    for (what, task) in [
        ("the command after the start", &spec.after_start),
        ("the command before the stop", &spec.before_stop),
    ] {
        if let Some(task) = task {
            words(what, &task.argv)?;
            time(what, task.timeout_ms)?;
        }
    }
    time("the grace period", spec.grace_ms)?;
    time("the restart policy", spec.restart.wait_ms)?;
    time("the restart policy", spec.restart.wait_max_ms)?;
    // Twice nothing is nothing: it would be started again without end or rest.
    if spec.restart.wait_ms == 0 || spec.restart.wait_max_ms < spec.restart.wait_ms {
        let why = "the first wait is at least 1 ms, and no longer than the longest";
        return Err(refused("the restart policy", why));
    }
    if !(1..=LOGS_MAX).contains(&spec.log.older_files) || spec.log.file_max_bytes < 64 << 10 {
        let why = format!("keep 1 to {LOGS_MAX} files of at least 64 KiB");
        return Err(refused("the log limits", why));
    }
    Ok(())
}

fn words(what: &'static str, words: &[String]) -> Result<()> {
    if words.first().is_none_or(String::is_empty) {
        return Err(refused(what, "it names no program; name one"));
    }
    if words.len() > ARGS_MAX {
        return Err(refused(what, format!("it has more than {ARGS_MAX} words")));
    }
    if words
        .iter()
        .any(|w| w.contains('\0') || w.len() > TEXT_MAX_BYTES)
    {
        let why = format!("a word has a zero byte in it, or is longer than {TEXT_MAX_BYTES} bytes");
        return Err(refused(what, why));
    }
    Ok(())
}

fn variable(name: &str, value: &str) -> Result<()> {
    let what = "the environment";
    if name.is_empty() || name.contains(['=', '\0']) {
        return Err(refused(what, format!("{name:?} is no name of a variable")));
    }
    if name.starts_with(OURS) {
        let why = format!("names that begin with {OURS} are set by the driver; rename {name}");
        return Err(refused(what, why));
    }
    // Not shown: it may be a secret.
    if value.contains('\0') || name.len() + value.len() > TEXT_MAX_BYTES {
        let why = format!(
            "the value of {name} has a zero byte in it, or is longer than {TEXT_MAX_BYTES} bytes"
        );
        return Err(refused(what, why));
    }
    Ok(())
}

fn files(spec: &InstanceSpec) -> Result<()> {
    let what = "the mounted files";
    let size: usize = spec.files.iter().map(|f| f.content.len()).sum();
    if spec.files.len() > FILES_MAX || size > FILES_MAX_BYTES {
        let why = format!("use at most {FILES_MAX} with {FILES_MAX_BYTES} bytes together");
        return Err(refused(what, why));
    }
    let mut paths: Vec<PathBuf> = Vec::new();
    for file in &spec.files {
        let path = place(&file.path).ok_or_else(|| {
            refused(
                what,
                format!(
                    "{:?} is no path of a file: leave out \"..\" and what is empty",
                    file.path
                ),
            )
        })?;
        if let Some(other) = paths
            .iter()
            .find(|p| p.starts_with(&path) || path.starts_with(p))
        {
            let why = format!("{path:?} and {other:?} cannot both be files");
            return Err(refused(what, why));
        }
        paths.push(path);
    }
    Ok(())
}

/// Where a mounted file lies below its folder; `None` when that is no place.
pub(crate) fn place(path: &str) -> Option<PathBuf> {
    if path.contains('\0') || path.len() > 1024 || path.ends_with('/') {
        return None;
    }
    let mut out = PathBuf::new();
    for part in Path::new(path).components() {
        match part {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) if name.len() <= 255 => out.push(name),
            _ => return None,
        }
    }
    (!out.as_os_str().is_empty()).then_some(out)
}

fn limits(spec: &InstanceSpec) -> Result<()> {
    let limits = &spec.limits;
    if limits.cpu_millis.is_some_and(|n| n < CPU_MIN_MILLIS) {
        let why = format!("the least is {CPU_MIN_MILLIS} thousandths of a processor");
        return Err(refused("the processor limit", why));
    }
    if limits.memory_bytes.is_some_and(|n| n < MEMORY_MIN_BYTES) {
        let why = format!("the least is {MEMORY_MIN_BYTES} bytes");
        return Err(refused("the memory limit", why));
    }
    if limits.tasks == Some(0) {
        return Err(refused("the limit of processes", "the least is 1"));
    }
    Ok(())
}

fn check_probe(what: &'static str, probe: &Probe, port: PortWish) -> Result<()> {
    for ms in [probe.delay_ms, probe.period_ms, probe.timeout_ms] {
        time(what, ms)?;
    }
    if probe.period_ms == 0 || probe.timeout_ms == 0 || probe.failures == 0 || probe.successes == 0
    {
        let why = "period, timeout and both thresholds are at least 1";
        return Err(refused(what, why));
    }
    match &probe.ask {
        Ask::Http {
            port: asked,
            path,
            headers,
        } => {
            own_port(what, *asked, port)?;
            let fine = |b: u8| b.is_ascii_graphic();
            if !path.starts_with('/') || !path.bytes().all(fine) || path.len() > 2048 {
                let why = format!(
                    "{path:?} is no path of a request: begin with \"/\" and escape what is not \
                     printable ASCII"
                );
                return Err(refused(what, why));
            }
            for (name, value) in headers {
                let token = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
                let text = |b: u8| b == b' ' || b.is_ascii_graphic();
                if name.is_empty() || !name.bytes().all(token) || !value.bytes().all(text) {
                    let why = format!("{name:?} is no header, or its value is no text in ASCII");
                    return Err(refused(what, why));
                }
            }
            Ok(())
        }
        Ask::Tcp { port: asked } => own_port(what, *asked, port),
        Ask::Exec { argv } => words(what, argv),
    }
}

fn own_port(what: &'static str, asked: u16, port: PortWish) -> Result<()> {
    if asked == 0 && port == PortWish::None {
        return Err(refused(
            what,
            "it asks at the port of the instance, which has none; give it one, or name a port",
        ));
    }
    Ok(())
}

fn time(what: &'static str, ms: u64) -> Result<()> {
    if ms > TIME_MAX_MS {
        return Err(refused(what, "no time in it may be longer than a day"));
    }
    Ok(())
}

/// A probe as the shim asks it: at real ports, with programs found.
pub(crate) fn probe(probe: &Probe, port: Option<u16>, finder: &Finder<'_>) -> Result<Probe> {
    let mut probe = probe.clone();
    match &mut probe.ask {
        Ask::Http { port: asked, .. } | Ask::Tcp { port: asked } => {
            if let (0, Some(port)) = (*asked, port) {
                *asked = port;
            }
        }
        Ask::Exec { argv } => *argv = finder.found(argv)?,
    }
    Ok(probe)
}

/// Finds programs as a shell in the folder of the instance would.
pub(crate) struct Finder<'a> {
    pub cwd: &'a Path,
    pub env: &'a BTreeMap<String, String>,
}

impl Finder<'_> {
    /// The same command with the whole path of its program.
    pub(crate) fn found(&self, argv: &[String]) -> Result<Vec<String>> {
        let Some((name, args)) = argv.split_first() else {
            return Err(refused("the command", "it names no program; name one"));
        };
        let program = self.find(name)?;
        let program = program
            .into_os_string()
            .into_string()
            .map_err(|path| refused("the command", format!("the path {path:?} is not in UTF-8")))?;
        let mut found = vec![program];
        found.extend(args.iter().cloned());
        Ok(found)
    }

    pub(crate) fn task(&self, task: &Task) -> Result<Task> {
        Ok(Task {
            argv: self.found(&task.argv)?,
            timeout_ms: task.timeout_ms,
        })
    }

    fn find(&self, name: &str) -> Result<PathBuf> {
        if name.contains('/') {
            let path = self.cwd.join(name);
            return match runnable(&path) {
                Ok(()) => Ok(path),
                Err(why) => Err(refused("the command", format!("{name}: {why}"))),
            };
        }
        let path = self.env.get("PATH").map_or("", String::as_str);
        let found = path
            .split(':')
            .filter(|folder| folder.starts_with('/'))
            .map(|folder| Path::new(folder).join(name))
            .find(|program| runnable(program).is_ok());
        if let Some(found) = found {
            return Ok(found);
        }
        let hint = match runnable(&self.cwd.join(name)) {
            Ok(()) => format!("; to run the one in the package say ./{name}"),
            Err(_) => "; install it, or name the whole path".to_owned(),
        };
        let why = format!("{name} is in no folder of PATH ({path}){hint}");
        Err(refused("the command", why))
    }
}

fn runnable(path: &Path) -> Result<(), String> {
    let facts = path.metadata().map_err(|e| e.to_string())?;
    if !facts.is_file() {
        return Err("it is no file".to_owned());
    }
    if facts.permissions().mode() & 0o111 == 0 {
        return Err("it is not executable; set that in the package".to_owned());
    }
    Ok(())
}
