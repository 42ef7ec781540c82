//! The driver for containers of a Docker Engine on this host.
//!
//! Below the root folder, which it shares with [`crate::process`], there are
//!
//! | place | what it is |
//! |---|---|
//! | `containers/<id>/instance.json` | the specification as it was started, and what it was given |
//! | `containers/<id>/run/` | the run folder of its shim: its state, its log |
//! | `containers/<id>/run/container.json` | what its keeper has seen |
//! | `containers/<id>/run/address` | where its ports are asked |
//! | `locks/<id>`, `ports/<number>` | as for processes, and the same ones |
//!
//! An instance is one container, called `backout-<root>-<id>`, and one *keeper*:
//! a process under a shim that starts the container, passes its output to the
//! log, tells it to end when it is told itself, and ends as it has ended. So
//! the shim asks, restarts, and keeps the log as it does for a process, while
//! Backout is dead; the engine restarts nothing. What the shim runs beside it
//! is run in the container by the same program (see [`main`]).
//!
//! | who | changes |
//! |---|---|
//! | [`Containers`], under the instance's lock | which container there is |
//! | the keeper, in its shim | whether that one runs |
//!
//! A keeper knows its container by the id that the engine gave: it never starts
//! another. One that was killed leaves its container running; the shim ends it
//! (`after_end`), and where the shim was killed too, the next start or stop does.
//!
//! The engine keeps the environment of a container, secrets too, in its own
//! files, and shows it to everyone who may talk to it.

mod body;
mod engine;
mod hand;
mod seen;

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use backout_core::fence::Fence;
use backout_shim::{AFTER_END_MAX_MS, Care, Shim, Spec, State};
use serde::{Deserialize, Serialize};

use crate::driver::{Watch, Workloads};
use crate::error::{Error, Result};
use crate::model::{
    Ask, Enforced, Fetched, Finding, InstanceId, InstanceSpec, LogChunk, LogFrom, Phase, Probe,
    Source, Started, Status, Task,
};
use crate::process::{PORTS, groups};
use crate::root::ports::Ports;
use crate::root::{
    CONTAINERS, Root, address, digest, make_folder, of_shim, phase, runs_otherwise,
    without_contents,
};
use body::Wanted;
use engine::{Client, Engine, Image};
use seen::{Run, Seen};

pub use hand::main;

/// Where the engine listens when nobody says.
pub const SOCKET: &str = "/var/run/docker.sock";

/// How long the engine may take to start a container: it makes a network for
/// it, on a host that has no time.
const BEGIN_PATIENCE: Duration = Duration::from_secs(120);

/// How long after its end in the container a question, or a small program, may
/// take to be heard of.
const HEAR_MS: u64 = 1000;

/// How long the shim waits for the program after a start, which says itself how
/// long it waits, in milliseconds.
const AFTER_START_MS: u64 = 24 * 3600 * 1000;

/// How long a name is waited for that another container has: one of ours, whose
/// maker died before it was done. A busy engine keeps the name for seconds before
/// it shows the container.
const NAME_PATIENCE: Duration = Duration::from_secs(30);

/// How often it is tried meanwhile.
const NAME_TICK: Duration = Duration::from_millis(100);

/// Where the driver works, and with what.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its folder, the same as that of the driver for processes; made when it is
    /// missing.
    pub root: PathBuf,
    /// Where the engine listens.
    pub socket: PathBuf,
    /// What keeps the keepers.
    pub shim: Shim,
    /// How to run [`main`].
    pub hand: Shim,
    /// The ports that it gives out; the same as for processes.
    pub ports: RangeInclusive<u16>,
}

impl Config {
    /// In `root`, with the engine at `socket`, or at [`SOCKET`]. `hand` is a
    /// program that calls [`main`] with what comes after its own arguments.
    #[must_use]
    pub fn new(root: PathBuf, socket: Option<PathBuf>, shim: Shim, hand: Shim) -> Self {
        Self {
            root,
            socket: socket.unwrap_or_else(|| PathBuf::from(SOCKET)),
            shim,
            hand,
            ports: PORTS,
        }
    }
}

/// Instances that are containers. Several, in several processes, may look after
/// the same root folder. None of its functions may be called from an
/// asynchronous task.
#[derive(Debug)]
pub struct Containers {
    root: Root,
    engine: Engine,
    shim: Shim,
    hand: Shim,
    ports: Ports,
}

/// What is known of an instance, on disk.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Kept {
    /// As it was started; what is in its files is left out.
    spec: InstanceSpec,
    /// The SHA-256 of the whole of it.
    digest: String,
    ports: Option<body::Ports>,
    enforced: Enforced,
    /// Where its engine listens.
    socket: PathBuf,
    /// The id of its image.
    image: String,
    /// The id of its container, once that is made.
    container: Option<String>,
}

impl Containers {
    /// Opens, or makes, a driver's folder. The engine need not be there.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn open(config: Config) -> Result<Self> {
        let root = Root::open(&config.root, CONTAINERS)?;
        Ok(Self {
            engine: Engine::new(config.socket),
            ports: Ports::new(root.join("ports"), config.ports),
            shim: config.shim,
            hand: config.hand,
            root,
        })
    }

    /// The name of the container of an instance.
    fn name(&self, id: &InstanceId) -> String {
        format!("backout-{}-{id}", self.root.mark())
    }

    /// Whether a container is that of an instance.
    fn owns(&self, id: &InstanceId, found: &engine::Found) -> bool {
        let says = |label, wanted: &str| found.labels.get(label).is_some_and(|l| l == wanted);
        says(body::INSTALLATION, &self.root.mark()) && says(body::INSTANCE, id.as_str())
    }

    /// Removes the container of an instance, also one that runs.
    async fn remove_container(&self, client: &Client, id: &InstanceId) -> Result<()> {
        let name = self.name(id);
        match client.find(&name).await? {
            None => Ok(()),
            // By its id: the name may be another's by then.
            Some(found) if self.owns(id, &found) => client.remove(&found.id).await,
            Some(_) => Err(Error::State {
                id: id.clone(),
                what: "change the container of",
                why: format!("the container {name} is none of this installation; remove it"),
            }),
        }
    }

    /// Makes the container, with its files in it.
    async fn make_container(&self, client: &Client, wanted: &Wanted<'_>) -> Result<String> {
        let id = &wanted.spec.id;
        let archive = body::archive(&wanted.spec.files)
            .map_err(|e| Error::io("pack the mounted files for", &self.root.home(id), e))?;
        let began = Instant::now();
        let container = loop {
            match client.create(&self.name(id), body::container(wanted)).await {
                // What a worker that was killed had asked for is done now.
                Err(Error::Engine { status: 409, .. }) if began.elapsed() < NAME_PATIENCE => {
                    self.remove_container(client, id).await?;
                    tokio::time::sleep(NAME_TICK).await;
                }
                other => break other?,
            }
        };
        if let Some(archive) = archive {
            client.put(&container, archive).await?;
        }
        Ok(container)
    }

    /// Gives an instance all that it needs but the container, and writes that
    /// down.
    fn prepare(
        &self,
        spec: &InstanceSpec,
        image: &Image,
        missing: Option<String>,
        before: Option<&Kept>,
    ) -> Result<Kept> {
        let id = &spec.id;
        make_folder(&self.root.home(id))?;
        let enforced = match missing {
            _ if !spec.limits.any() => Enforced::NotAsked,
            None => Enforced::Yes,
            Some(why) if spec.limits.or_without => Enforced::No { why },
            Some(why) => {
                return Err(Error::NoLimits {
                    id: id.clone(),
                    why,
                });
            }
        };
        let had = before.and_then(|kept| kept.ports).map(|p| p.outside);
        let outside = self.ports.give(id, spec.port, had)?;
        let kept = Kept {
            spec: without_contents(spec),
            digest: digest(spec),
            ports: outside.map(|outside| body::Ports {
                outside,
                inside: body::inside(spec, image, outside),
            }),
            enforced,
            socket: self.engine.socket().to_owned(),
            image: image.id.clone(),
            container: None,
        };
        self.root.keep(id, &kept)?;
        Ok(kept)
    }

    /// What its shim is to do.
    fn shim_spec(&self, kept: &Kept) -> Result<Spec> {
        let spec = &kept.spec;
        let home = self.root.home(&spec.id);
        let hand = Hand {
            program: &self.hand,
            home: &home,
        };
        let probe = |probe: &Option<Probe>| {
            let told = probe.as_ref().map(|p| hand.probe(p, kept.ports));
            told.transpose()
        };
        let run = |task: &Task| hand.argv("exec", task.timeout_ms, &task.argv);
        let opened = match &spec.after_start {
            None => hand.argv("opened", 0, &[]),
            Some(task) => hand.argv("opened", task.timeout_ms, &task.argv),
        };
        let care = Care {
            liveness: probe(&spec.liveness)?,
            readiness: probe(&spec.readiness)?,
            // It is not ready before the container runs.
            after_start: Some(Task {
                argv: opened?,
                timeout_ms: AFTER_START_MS,
            }),
            before_stop: match &spec.before_stop {
                None => None,
                Some(task) => Some(Task {
                    argv: run(task)?,
                    timeout_ms: task.timeout_ms + HEAR_MS,
                }),
            },
            after_end: Some(Task {
                argv: hand.argv("clear", AFTER_END_MAX_MS, &[])?,
                timeout_ms: AFTER_END_MAX_MS,
            }),
            address: Some(self.root.run(&spec.id).join(hand::ADDRESS)),
            grace_ms: spec.grace_ms,
        };
        let mut keep = hand.argv("keep", 0, &[])?.into_iter();
        let program = keep.next().unwrap_or_default();
        Ok(Spec {
            log_max_bytes: spec.log.file_max_bytes,
            log_older: spec.log.older_files,
            restart: spec.restart,
            care: Some(care),
            ..Spec::new(program, keep.collect())
        })
    }

    /// Waits until the keeper has started the container.
    fn await_begin(&self, id: &InstanceId) -> Result<()> {
        let run = self.root.run(id);
        let until = Instant::now() + BEGIN_PATIENCE;
        let refused = |why: String| Error::NotStarted {
            id: id.clone(),
            why,
        };
        let mut watch = self.root.watch(std::slice::from_ref(id));
        loop {
            // Looked at before what was seen: a keeper says that first.
            let off = matches!(self.root.report(id)?.state, State::Off { .. });
            match Seen::read(&run)?.map(|seen| seen.run) {
                Some(Run::Runs { .. }) => return Ok(()),
                Some(Run::Failed { why }) => return Err(refused(why)),
                Some(Run::Gone) => {
                    let why = "somebody has removed its container; try again";
                    return Err(refused(why.to_owned()));
                }
                None if off => {
                    let why = "what keeps its container ended without a word; see its log";
                    return Err(refused(why.to_owned()));
                }
                None => {}
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let why = "the engine took too long; see how it is, then try again";
                return Err(refused(why.to_owned()));
            }
            watch.wait(left)?;
        }
    }

    /// Starts the keeper of a container that was made.
    fn begin(&self, kept: &Kept) -> Result<bool> {
        let id = &kept.spec.id;
        let shim_spec = self.shim_spec(kept)?;
        let run = self.root.run(id);
        let started = match backout_shim::start(&run, &self.shim, &shim_spec) {
            Err(backout_shim::Error::NotStarted { why, .. }) => Err(Error::NotStarted {
                id: id.clone(),
                why,
            }),
            other => other.map_err(|e| of_shim(id, "start", e)),
        };
        let begun = started.and_then(|run| self.await_begin(id).map(|()| run.fresh));
        if begun.is_err() {
            // As far as that can be: the next call does the same.
            let _ = backout_shim::end(&run, Duration::ZERO);
            let _ = self
                .engine
                .run(async |client| self.remove_container(client, id).await);
        }
        begun
    }
}

impl Workloads for Containers {
    fn fetch(&self, source: &Source) -> Result<Fetched> {
        let Source::Image { name } = source else {
            return Ok(Fetched::default());
        };
        body::check_image(name)?;
        self.engine.run(async |client| {
            if let Some(image) = client.image(name).await? {
                return Ok(Fetched {
                    fresh: false,
                    id: Some(image.id),
                });
            }
            client.fetch(name).await?;
            match client.image(name).await? {
                Some(image) => Ok(Fetched {
                    fresh: true,
                    id: Some(image.id),
                }),
                None => Err(no_image(name)),
            }
        })
    }

    fn start(&self, fence: Fence, spec: &InstanceSpec) -> Result<Started> {
        let image_name = body::check(spec)?;
        let id = &spec.id;
        let _guard = self.root.lock(id, fence)?;
        let before: Option<Kept> = self.root.kept(id)?;
        let run = self.root.run(id);
        if let Some(kept) = &before {
            let report = self.root.report(id)?;
            let off = matches!(report.state, State::Off { .. });
            if !off && !report.down && !is_gone(&run)? {
                if kept.digest != digest(spec) {
                    return Err(runs_otherwise(id));
                }
                return Ok(Started {
                    fresh: false,
                    address: address(kept.ports.map(|p| p.outside)),
                });
            }
            if !off {
                // A stop that was not finished, or nothing left to keep.
                backout_shim::end(&run, Duration::from_millis(spec.grace_ms))
                    .map_err(|e| of_shim(id, "stop", e))?;
            }
        }
        let (image, missing) = self.engine.run(async |client| {
            self.remove_container(client, id).await?;
            let image = client.image(image_name).await?;
            let image = image.ok_or_else(|| no_image(image_name))?;
            let missing = match spec.limits.any() {
                true => missing(client).await?,
                false => None,
            };
            Ok((image, missing))
        })?;
        let mut kept = self.prepare(spec, &image, missing, before.as_ref())?;
        let wanted = Wanted {
            spec,
            digest: &kept.digest,
            image: &image,
            installation: &self.root.mark(),
            fence,
            ports: kept.ports,
        };
        let container = self
            .engine
            .run(async |client| self.make_container(client, &wanted).await)?;
        kept.container = Some(container);
        self.root.keep(id, &kept)?;
        Seen::clear(&run)?;
        let fresh = self.begin(&kept)?;
        Ok(Started {
            fresh,
            address: address(kept.ports.map(|p| p.outside)),
        })
    }

    fn stop(&self, fence: Fence, id: &InstanceId, grace: Duration) -> Result<()> {
        let _guard = self.root.lock(id, fence)?;
        if self.root.kept::<Kept>(id)?.is_none() {
            return Ok(());
        }
        backout_shim::end(&self.root.run(id), grace).map_err(|e| of_shim(id, "stop", e))?;
        self.engine
            .run(async |client| self.remove_container(client, id).await)
    }

    fn remove(&self, fence: Fence, id: &InstanceId) -> Result<()> {
        let _guard = self.root.lock(id, fence)?;
        if self.root.kept::<Kept>(id)?.is_some() {
            if !matches!(self.root.report(id)?.state, State::Off { .. }) {
                return Err(Error::State {
                    id: id.clone(),
                    what: "remove",
                    why: "it runs; stop it first".to_owned(),
                });
            }
            self.engine
                .run(async |client| self.remove_container(client, id).await)?;
        }
        self.ports.free(id)?;
        self.root.forget(id)
    }

    fn status(&self, id: &InstanceId) -> Result<Option<Status>> {
        let Some(kept) = self.root.kept::<Kept>(id)? else {
            return Ok(None);
        };
        let report = self.root.report(id)?;
        let seen = Seen::read(&self.root.run(id))?;
        let gone = seen.as_ref().is_some_and(|s| matches!(s.run, Run::Gone));
        let phase = match phase(&report) {
            Phase::Waits { .. } | Phase::Ended { .. } if gone && !report.down => Phase::Lost,
            other => other,
        };
        let keeper = match report.state {
            State::On { pid, since_ms } => Some((pid, since_ms)),
            State::Off { .. } | State::Waits { .. } => None,
        };
        let run = seen.as_ref().map(|s| (s.keeper, &s.run));
        let (pid, since_ms) = match (keeper, run) {
            (Some((keeper, since)), Some((by, Run::Runs { pid, .. }))) if keeper == by => {
                (*pid, Some(since))
            }
            _ => (None, None),
        };
        let failed = match run {
            Some((_, Run::Failed { why })) => Some(why.clone()),
            _ => None,
        };
        let health = report.health.unwrap_or_default();
        let groups = pid.map(groups::of_process).unwrap_or_default();
        Ok(Some(Status {
            id: id.clone(),
            phase,
            source: kept.spec.source,
            pid,
            since_ms,
            address: address(kept.ports.map(|p| p.outside)),
            restarts: health.runs.saturating_sub(1),
            why: health.why.or(failed),
            limits: kept.enforced,
            memory_bytes: groups::memory_bytes(&groups),
            cpu_ms: groups::cpu_ms(&groups),
            memory_kills: seen.map_or(0, |seen| seen.memory_kills),
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
        let asked = self.engine.run(async |client| {
            let info = client.info().await?;
            Ok((info, client.docker.client_version()))
        });
        let (info, version) = match asked {
            Ok(asked) => asked,
            // Nobody has to have one.
            Err(_) if self.engine.socket() == Path::new(SOCKET) && !Path::new(SOCKET).exists() => {
                return vec![Finding {
                    what: "container engine",
                    fine: true,
                    text: format!("there is none at {SOCKET}, so no images can be run"),
                }];
            }
            Err(e) => {
                return vec![Finding {
                    what: "container engine",
                    fine: false,
                    text: format!("cannot {e}; without one, no images can be run"),
                }];
            }
        };
        let missing = info.missing.clone();
        vec![
            Finding {
                what: "container engine",
                fine: true,
                text: format!(
                    "version {} at {}, spoken to by version {version} of its protocol",
                    info.version,
                    self.engine.socket().display()
                ),
            },
            Finding {
                what: "limits of containers",
                fine: missing.is_none(),
                text: missing.unwrap_or_else(|| "the engine keeps them".to_owned()),
            },
            Finding {
                what: "secrets of containers",
                fine: true,
                text: "the engine keeps the environment of a container, and shows it to everyone \
                       who may talk to it: let nobody do that whom you would not tell"
                    .to_owned(),
            },
        ]
    }

    fn limits_missing(&self) -> Option<String> {
        let asked = self.engine.run(async |client| missing(client).await);
        asked.unwrap_or_else(|e| Some(e.to_string()))
    }
}

/// Why the engine cannot limit what containers take.
async fn missing(client: &Client) -> Result<Option<String>> {
    Ok(client.info().await?.missing)
}

fn no_image(name: &str) -> Error {
    Error::NoImage {
        name: name.to_owned(),
        why: "the engine has none of this name; fetch it, or load it into the engine".to_owned(),
    }
}

/// Whether the keeper of an instance has found its container removed.
fn is_gone(run: &Path) -> Result<bool> {
    Ok(Seen::read(run)?.is_some_and(|seen| matches!(seen.run, Run::Gone)))
}

/// How the program is called that works in the container of an instance.
struct Hand<'a> {
    program: &'a Shim,
    home: &'a Path,
}

impl Hand<'_> {
    /// The command for one thing to do, with how long it may take.
    fn argv(&self, what: &str, limit_ms: u64, argv: &[String]) -> Result<Vec<String>> {
        let own = std::iter::once(self.program.program.as_os_str())
            .chain(self.program.args.iter().map(std::ffi::OsString::as_os_str))
            .chain([what.as_ref(), self.home.as_os_str()]);
        let mut words = Vec::new();
        for word in own {
            let text = word.to_str().ok_or_else(|| Error::BadSpec {
                what: "the folder of an instance",
                why: format!("{word:?} is not in UTF-8"),
            })?;
            words.push(text.to_owned());
        }
        words.push(limit_ms.to_string());
        words.extend(argv.iter().cloned());
        Ok(words)
    }

    /// A probe as the shim asks it, in the container's own network. At the
    /// published port is somebody who takes every connection, whether or not the
    /// container does.
    fn probe(&self, probe: &Probe, ports: Option<body::Ports>) -> Result<Probe> {
        let mut probe = probe.clone();
        match &mut probe.ask {
            Ask::Http { port, .. } | Ask::Tcp { port } => {
                if let (0, Some(ports)) = (*port, ports) {
                    *port = ports.inside;
                }
            }
            Ask::Exec { argv } => {
                *argv = self.argv("exec", probe.timeout_ms, argv)?;
                probe.timeout_ms += HEAR_MS;
            }
        }
        Ok(probe)
    }
}
