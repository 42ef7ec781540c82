//! The same by `docker service rollback`, on an engine of our own: one node, the
//! network of the host, no ingress.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::instances::{self, script};
use super::{AT_ONCE, NEW, OLD, REPLICAS};
use crate::child::{self, Owned};

const IMAGE: &str = "bench:1";
const SERVICE: &str = "bench";

/// The first digits of the ports of instances; the number of the instance
/// follows.
const PREFIXES: RangeInclusive<u16> = 120..=199;

/// How often it is looked whether a change is over.
const TICK: Duration = Duration::from_millis(50);

/// How long a change may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// Why it cannot be measured here.
pub(super) fn missing() -> Option<&'static str> {
    if !child::has("dockerd") || !child::has("docker") {
        return Some("there is no docker (apt-get install docker.io)");
    }
    if !rustix::process::geteuid().is_root() {
        return Some("an engine of our own needs root");
    }
    None
}

pub(super) struct Swarm {
    folder: PathBuf,
    ports: Vec<u16>,
    engine: Option<Owned>,
}

impl Swarm {
    /// Starts an engine, with the service at its first version.
    pub(super) fn start(folder: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir(folder)?;
        let prefix = PREFIXES
            .into_iter()
            .find(|prefix| ports(*prefix).iter().all(is_free))
            .context("find free ports")?;
        let config = serde_json::json!({
            "data-root": folder.join("data"),
            "exec-root": folder.join("exec"),
            "pidfile": folder.join("pid"),
            "hosts": [format!("unix://{}", folder.join("sock").display())],
            "storage-driver": "overlay2",
            "bridge": "none",
            "iptables": false,
            "ip-forward": false,
        });
        let file = folder.join("daemon.json");
        std::fs::write(&file, config.to_string())?;
        let log = std::fs::File::create(folder.join("log"))?;
        // In namespaces of its own: its containers and mounts end with it.
        let engine = Owned::start(
            Command::new("unshare")
                .args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"])
                .args(["dockerd", "--config-file"])
                .arg(&file)
                .stdout(Stdio::from(log.try_clone()?))
                .stderr(log),
        )?;
        let swarm = Self {
            folder: folder.to_owned(),
            ports: ports(prefix),
            engine: Some(engine),
        };
        child::until("the engine answers", TICK, || {
            Ok(swarm.docker(&["version"]).is_ok())
        })?;
        swarm.import()?;
        swarm.docker(&["swarm", "init", "--advertise-addr", "127.0.0.1"])?;
        swarm.create(prefix)?;
        Ok(swarm)
    }

    /// Deploys the new version, and takes it back; returns how long that took.
    pub(super) fn back(&self) -> anyhow::Result<Duration> {
        let name = format!("NAME={NEW}");
        let update = ["service", "update", "--detach", "--no-resolve-image"];
        self.docker(&[&update[..], &["--env-add", &name, SERVICE]].concat())?;
        self.wait("completed")?;
        instances::ports_are(&self.ports, REPLICAS, NEW)?;
        let began = Instant::now();
        self.docker(&["service", "rollback", "--detach", SERVICE])?;
        self.wait("rollback_completed")?;
        let took = began.elapsed();
        instances::ports_are(&self.ports, REPLICAS, OLD)?;
        Ok(took)
    }

    /// An image of busybox alone.
    fn import(&self) -> anyhow::Result<()> {
        let root = self.folder.join("image");
        std::fs::create_dir_all(root.join("bin"))?;
        std::fs::create_dir_all(root.join("tmp"))?;
        let paths = std::env::var_os("PATH").context("find busybox")?;
        let busybox = std::env::split_paths(&paths)
            .map(|folder| folder.join("busybox"))
            .find(|path| path.exists())
            .context("find busybox")?;
        std::fs::copy(busybox, root.join("bin/busybox"))?;
        std::os::unix::fs::symlink("busybox", root.join("bin/sh"))?;
        let tar = self.folder.join("image.tar");
        let mut pack = Command::new("tar");
        child::done(pack.arg("-C").arg(&root).arg("-cf").arg(&tar).arg("."))?;
        let tar = tar.to_str().context("name a file")?;
        self.docker(&["import", tar, IMAGE])?;
        Ok(())
    }

    fn create(&self, prefix: u16) -> anyhow::Result<()> {
        let (replicas, at_once) = (REPLICAS.to_string(), AT_ONCE.to_string());
        let port = format!("PORT={prefix}{{{{.Task.Slot}}}}");
        let (name, script) = (format!("NAME={OLD}"), script());
        let words = [
            &["service", "create", "--detach", "--no-resolve-image"][..],
            &[
                "--name",
                SERVICE,
                "--network",
                "host",
                "--replicas",
                &replicas,
            ],
            &["--env", &port, "--env", &name, "--env", "PLACE=/tmp"],
            &[
                "--health-cmd",
                "busybox wget -q -O - http://127.0.0.1:$PORT/",
            ],
            &["--health-interval", "250ms", "--health-start-period", "60s"],
            &["--restart-delay", "0s"],
            // What it watches for after a task is started is no part of it.
            &["--update-parallelism", &at_once, "--update-monitor", "1ms"],
            &[
                "--rollback-parallelism",
                &at_once,
                "--rollback-monitor",
                "1ms",
            ],
            // As the first process of a container it hears no request to end.
            &["--stop-signal", "KILL"],
            &[IMAGE, "busybox", "sh", "-c", &script],
        ];
        self.docker(&words.concat())?;
        let until = Instant::now() + PATIENCE;
        while instances::ports_are(&self.ports, REPLICAS, OLD).is_err() {
            if Instant::now() > until {
                bail!("start the service: it takes more than {PATIENCE:?}");
            }
            std::thread::sleep(TICK);
        }
        Ok(())
    }

    fn wait(&self, word: &str) -> anyhow::Result<()> {
        let until = Instant::now() + PATIENCE;
        let format = "{{.UpdateStatus.State}}";
        loop {
            let state = self.docker(&["service", "inspect", "--format", format, SERVICE])?;
            if state == word {
                return Ok(());
            }
            if Instant::now() > until || state.contains("paused") {
                bail!("change the service: it is {state}");
            }
            std::thread::sleep(TICK);
        }
    }

    fn docker(&self, words: &[&str]) -> anyhow::Result<String> {
        let output = Command::new("docker")
            .arg("--host")
            .arg(format!("unix://{}", self.folder.join("sock").display()))
            .args(words)
            .env_remove("DOCKER_CONTEXT")
            .stdin(Stdio::null())
            .output()
            .context("start docker")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("run docker {words:?}: {}", said.trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

impl Drop for Swarm {
    fn drop(&mut self) {
        let _ = self.docker(&["swarm", "leave", "--force"]);
        // Its engine is killed with it, and all that this runs.
        self.engine.take();
        let pid = self.folder.join("pid");
        let _ = child::until("the engine ends", TICK, || Ok(!pid.exists()));
    }
}

/// The ports of all instances.
fn ports(prefix: u16) -> Vec<u16> {
    let all = (1..=REPLICAS).map(|slot| format!("{prefix}{slot}").parse());
    all.filter_map(Result::ok).collect()
}

fn is_free(port: &u16) -> bool {
    std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok()
}
