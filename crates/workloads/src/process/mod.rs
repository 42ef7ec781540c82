//! The driver for processes of this host.
//!
//! Below its root folder (mode 0700) there are
//!
//! | place | what it is |
//! |---|---|
//! | `instances/<id>/instance.json` | the specification as it was started, and what it was given |
//! | `instances/<id>/run/` | the run folder of its shim: its state, its log |
//! | `instances/<id>/files/` | its mounted files |
//! | `instances/<id>/scratch/` | `HOME` and `TMPDIR`; where it runs when it has no package |
//! | `locks/<id>` | the lock, with the newest fence; outlives the instance |
//! | `ports/<number>` | whose port that is |
//! | `groups.lock` | held while control groups are made or removed |
//! | `packages/` | see [`crate::packages`] |
//!
//! An instance is the process of one shim, and what that starts. It runs with
//! the rights of Backout, in no file system of its own: a package is trusted as
//! far as whoever may deploy it is.

pub(crate) mod groups;
mod stragglers;

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::ops::RangeInclusive;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use backout_core::fence::Fence;
use backout_shim::{Care, Shim, Spec, State};
use serde::{Deserialize, Serialize};

use crate::check::{self, Finder};
use crate::driver::{Watch, Workloads};
use crate::error::{Error, Result};
use crate::model::{
    Enforced, Finding, InstanceId, InstanceSpec, LogChunk, LogFrom, MountedFile, Source, Started,
    Status,
};
use crate::packages::{PackageLimits, Packages};
use crate::root::ports::Ports;
use crate::root::{
    PROCESSES, Root, address, digest, make_folder, of_shim, phase, runs_otherwise, without_contents,
};
use groups::{Group, Groups};

/// Where programs are looked for when the specification does not say.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Ports below those that the kernel gives to connections by default.
pub const PORTS: RangeInclusive<u16> = 20_000..=29_999;

/// Where the driver works, and with what.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its folder; made when it is missing.
    pub root: PathBuf,
    /// What keeps the processes.
    pub shim: Shim,
    /// The ports that it gives out.
    pub ports: RangeInclusive<u16>,
    /// What a package may take.
    pub package_limits: PackageLimits,
}

impl Config {
    /// In `root`, with the usual ports and limits.
    #[must_use]
    pub fn new(root: PathBuf, shim: Shim) -> Self {
        Self {
            root,
            shim,
            ports: PORTS,
            package_limits: PackageLimits::default(),
        }
    }
}

/// Instances that are processes of this host. Several, in several processes,
/// may look after the same root folder.
#[derive(Debug)]
pub struct Processes {
    root: Root,
    shim: Shim,
    packages: Packages,
    ports: Ports,
    groups: Groups,
}

/// What is known of an instance, on disk.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Kept {
    /// As it was started; what is in its files is left out.
    spec: InstanceSpec,
    /// The SHA-256 of the whole of it.
    digest: String,
    port: Option<u16>,
    groups: Vec<Group>,
    enforced: Enforced,
    /// In the environment of all its processes.
    token: String,
}

impl Processes {
    /// Opens, or makes, a driver's folder.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn open(config: Config) -> Result<Self> {
        let root = Root::open(&config.root, PROCESSES)?;
        Ok(Self {
            packages: Packages::open(root.join("packages"), config.package_limits)?,
            ports: Ports::new(root.join("ports"), config.ports),
            groups: Groups::new(format!("backout-{}", root.mark()), root.join("groups.lock")),
            shim: config.shim,
            root,
        })
    }

    /// The packages that instances are made of.
    #[must_use]
    pub fn packages(&self) -> &Packages {
        &self.packages
    }

    /// Ends what is left of an instance: processes that its own has started,
    /// and that went on after its shim was killed.
    fn end_stragglers(&self, kept: &Kept) -> Result<()> {
        let gone = match kept.groups.is_empty() {
            false => groups::kill_all(&kept.groups),
            true => stragglers::kill_all(&kept.token),
        };
        match gone {
            true => Ok(()),
            false => Err(Error::State {
                id: kept.spec.id.clone(),
                what: "end",
                why: "some of its processes do not go even when they are killed; see what they \
                      wait for, then try again"
                    .to_owned(),
            }),
        }
    }

    /// Makes all that an instance needs, and writes down what it was given.
    fn prepare(&self, spec: &InstanceSpec, before: Option<&Kept>) -> Result<(Kept, PathBuf)> {
        let id = &spec.id;
        let home = self.root.home(id);
        for folder in [home.clone(), home.join("scratch")] {
            make_folder(&folder)?;
        }
        let cwd = match &spec.source {
            Source::Host => home.join("scratch"),
            Source::Package { hash } => self.packages.unpacked(hash)?,
            Source::Image { name } => {
                return Err(Error::BadSpec {
                    what: "an image",
                    why: format!("{name:?} needs a container engine; this driver runs processes"),
                });
            }
        };
        write_files(&home, &spec.files)?;
        let port = self
            .ports
            .give(id, spec.port, before.and_then(|k| k.port))?;
        let (groups, missing) = self.groups.make(id.as_str(), &spec.limits);
        let enforced = match missing {
            None if spec.limits.any() => Enforced::Yes,
            None => Enforced::NotAsked,
            Some(why) if spec.limits.or_without => Enforced::No { why },
            Some(why) => {
                let _ = self.groups.forget(&groups);
                return Err(Error::NoLimits {
                    id: id.clone(),
                    why,
                });
            }
        };
        let uuid = Path::new("/proc/sys/kernel/random/uuid");
        let token = std::fs::read_to_string(uuid).map_err(|e| Error::io("read", uuid, e))?;
        let kept = Kept {
            spec: without_contents(spec),
            digest: digest(spec),
            port,
            groups,
            enforced,
            token: token.trim().to_owned(),
        };
        self.root.keep(id, &kept)?;
        Ok((kept, cwd))
    }

    /// What its shim is to do.
    fn shim_spec(&self, kept: &Kept, cwd: PathBuf) -> Result<Spec> {
        let spec = &kept.spec;
        let home = self.root.home(&spec.id);
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        let scratch = text(home.join("scratch"));
        let mut env = BTreeMap::from([
            ("PATH".to_owned(), PATH.to_owned()),
            ("HOME".to_owned(), scratch.clone()),
            ("TMPDIR".to_owned(), scratch),
        ]);
        env.extend(spec.env.clone());
        env.extend([
            ("BACKOUT_INSTANCE".to_owned(), spec.id.to_string()),
            ("BACKOUT_FILES".to_owned(), text(home.join("files"))),
            (stragglers::TOKEN.to_owned(), kept.token.clone()),
        ]);
        if let Some(port) = kept.port {
            env.insert("PORT".to_owned(), port.to_string());
        }
        let finder = Finder {
            cwd: &cwd,
            env: &env,
        };
        let command = finder.found(&spec.command)?;
        let probe = |probe: &Option<crate::model::Probe>| {
            let found = probe.as_ref().map(|p| check::probe(p, kept.port, &finder));
            found.transpose()
        };
        let task = |task: &Option<crate::model::Task>| {
            task.as_ref().map(|task| finder.task(task)).transpose()
        };
        let care = Care {
            liveness: probe(&spec.liveness)?,
            readiness: probe(&spec.readiness)?,
            after_start: task(&spec.after_start)?,
            before_stop: task(&spec.before_stop)?,
            after_end: None,
            address: None,
            grace_ms: spec.grace_ms,
        };
        let mut command = command.into_iter();
        let program = command.next().unwrap_or_default();
        Ok(Spec {
            args: command.collect(),
            cwd: Some(cwd),
            log_max_bytes: spec.log.file_max_bytes,
            log_older: spec.log.older_files,
            restart: spec.restart,
            join: groups::joins(&kept.groups),
            care: Some(care),
            env,
            ..Spec::new(program, Vec::new())
        })
    }
}

impl Workloads for Processes {
    fn start(&self, fence: Fence, spec: &InstanceSpec) -> Result<Started> {
        check::check(spec)?;
        let id = &spec.id;
        let _guard = self.root.lock(id, fence)?;
        let before: Option<Kept> = self.root.kept(id)?;
        if let Some(kept) = &before {
            let report = self.root.report(id)?;
            let off = matches!(report.state, State::Off { .. });
            if !off && !report.down {
                if kept.digest != digest(spec) {
                    return Err(runs_otherwise(id));
                }
                return Ok(Started {
                    fresh: false,
                    address: address(kept.port),
                });
            }
            if !off {
                // A stop that was not finished.
                backout_shim::end(&self.root.run(id), Duration::from_millis(spec.grace_ms))
                    .map_err(|e| of_shim(id, "stop", e))?;
            }
            self.end_stragglers(kept)?;
        }
        let (kept, cwd) = self.prepare(spec, before.as_ref())?;
        let shim_spec = self.shim_spec(&kept, cwd)?;
        let started =
            backout_shim::start_with(&self.root.run(id), &self.shim, &shim_spec, &spec.secrets.0);
        match started {
            Ok(run) => Ok(Started {
                fresh: run.fresh,
                address: address(kept.port),
            }),
            Err(backout_shim::Error::NotStarted { why, .. }) => Err(Error::NotStarted {
                id: id.clone(),
                why,
            }),
            Err(e) => Err(of_shim(id, "start", e)),
        }
    }

    fn stop(&self, fence: Fence, id: &InstanceId, grace: Duration) -> Result<()> {
        let _guard = self.root.lock(id, fence)?;
        let Some(kept) = self.root.kept::<Kept>(id)? else {
            return Ok(());
        };
        backout_shim::end(&self.root.run(id), grace).map_err(|e| of_shim(id, "stop", e))?;
        self.end_stragglers(&kept)
    }

    fn remove(&self, fence: Fence, id: &InstanceId) -> Result<()> {
        let _guard = self.root.lock(id, fence)?;
        if let Some(kept) = self.root.kept::<Kept>(id)? {
            if !matches!(self.root.report(id)?.state, State::Off { .. }) {
                return Err(Error::State {
                    id: id.clone(),
                    what: "remove",
                    why: "it runs; stop it first".to_owned(),
                });
            }
            self.end_stragglers(&kept)?;
            self.groups
                .forget(&kept.groups)
                .map_err(|why| Error::State {
                    id: id.clone(),
                    what: "remove the control groups of",
                    why,
                })?;
        }
        self.ports.free(id)?;
        self.root.forget(id)
    }

    fn status(&self, id: &InstanceId) -> Result<Option<Status>> {
        let Some(kept) = self.root.kept::<Kept>(id)? else {
            return Ok(None);
        };
        let report = self.root.report(id)?;
        let (pid, since_ms) = match report.state {
            State::On { pid, since_ms } => (Some(pid), Some(since_ms)),
            State::Off { .. } | State::Waits { .. } => (None, None),
        };
        let phase = phase(&report);
        let health = report.health.unwrap_or_default();
        Ok(Some(Status {
            id: id.clone(),
            phase,
            source: kept.spec.source,
            pid,
            since_ms,
            address: address(kept.port),
            restarts: health.runs.saturating_sub(1),
            why: health.why,
            limits: kept.enforced,
            memory_bytes: pid.and_then(|_| groups::memory_bytes(&kept.groups)),
            cpu_ms: pid.and_then(|_| groups::cpu_ms(&kept.groups)),
            memory_kills: groups::memory_kills(&kept.groups),
            events: health.events.into(),
        }))
    }

    fn list(&self, after: Option<&InstanceId>, limit: usize) -> Result<Vec<InstanceId>> {
        self.root.list(after, limit)
    }

    fn watch(&self, ids: &[InstanceId]) -> Result<Box<dyn Watch>> {
        Ok(self.root.watch(ids))
    }

    fn logs(&self, id: &InstanceId, from: LogFrom) -> Result<LogChunk> {
        let kept = self.root.kept::<Kept>(id)?;
        let kept = kept.ok_or_else(|| Error::NoInstance { id: id.clone() })?;
        self.root.logs(&kept.spec, from)
    }

    fn doctor(&self) -> Vec<Finding> {
        let mut findings: Vec<Finding> = self
            .groups
            .describe()
            .into_iter()
            .map(|(controller, how)| Finding {
                what: match controller {
                    "memory" => "limits of memory",
                    "cpu" => "limits of processor time",
                    _ => "limits of processes",
                },
                fine: how.is_ok(),
                text: how.unwrap_or_else(|why| why),
            })
            .collect();
        let root = rustix::process::geteuid().is_root();
        findings.push(Finding {
            what: "rights of instances",
            fine: !root,
            text: match root {
                true => "instances run as root, as Backout does: deploy only what you trust, or \
                         run Backout as a user of its own with delegated control groups"
                    .to_owned(),
                false => "instances run as the user that Backout runs as".to_owned(),
            },
        });
        findings
    }

    fn limits_missing(&self) -> Option<String> {
        self.groups.missing()
    }
}

/// Puts the mounted files in their places, instead of those of an earlier start.
fn write_files(home: &Path, files: &[MountedFile]) -> Result<()> {
    let folder = home.join("files");
    match std::fs::remove_dir_all(&folder) {
        Err(e) if e.kind() != ErrorKind::NotFound => {
            return Err(Error::io("remove", &folder, e));
        }
        _ => {}
    }
    make_folder(&folder)?;
    for file in files {
        let Some(place) = check::place(&file.path) else {
            continue;
        };
        let path = folder.join(place);
        if let Some(above) = path.parent() {
            make_folder(above)?;
        }
        let mode = if file.executable { 0o700 } else { 0o600 };
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&path)
            .and_then(|mut out| out.write_all(&file.content))
            .map_err(|e| Error::io("write", &path, e))?;
    }
    Ok(())
}
