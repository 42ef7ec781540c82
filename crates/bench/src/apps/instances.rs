//! What is run: busybox's HTTP server behind a wait, the same by ourselves, by
//! Swarm, and by hand.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::child::{self, Owned};
use crate::load::{self, Target};

/// How long an instance takes until it listens, in seconds, beside what the
/// machine takes.
pub(super) const START_S: u32 = 2;

/// How often one that starts is asked.
const TICK: Duration = Duration::from_millis(5);

/// What an instance runs. It needs `PORT`, `NAME`, which it answers with, and
/// `PLACE`, a folder where it leaves one that is called as its port.
pub(super) fn script() -> String {
    format!(
        "busybox mkdir -p \"$PLACE/$PORT\" && echo \"$NAME\" >\"$PLACE/$PORT/index.html\" && \
         busybox sleep {START_S} && exec busybox httpd -f -p \"127.0.0.1:$PORT\" -h \"$PLACE/$PORT\""
    )
}

/// Instances of this host, by the folders that they leave.
pub(super) struct Instances {
    place: PathBuf,
}

impl Instances {
    pub(super) fn new(place: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(place)?;
        Ok(Self {
            place: place.to_owned(),
        })
    }

    pub(super) fn place(&self) -> &Path {
        &self.place
    }

    /// Asks all that there are; fails unless `count` answer with `name`, and no
    /// other answers.
    pub(super) fn all_are(&self, count: usize, name: &str) -> anyhow::Result<()> {
        let mut ports = Vec::new();
        for entry in std::fs::read_dir(&self.place)? {
            let text = entry?.file_name();
            ports.push(text.to_string_lossy().parse().context("read a port")?);
        }
        ports_are(&ports, count, name)
    }

    /// Starts `at_once` of them without anybody's help, `times` one after the
    /// other; returns how long the slowest took until it answered.
    pub(super) fn slowest_start(&self, at_once: usize, times: usize) -> anyhow::Result<Duration> {
        // Of their own: they are nobody's instances.
        let place = tempfile::tempdir_in(self.place.parent().context("find the place")?)?;
        let mut slowest = Duration::ZERO;
        for _ in 0..times {
            let mut waits = Vec::new();
            for _ in 0..at_once {
                let address = super::gateway::free()?;
                let began = Instant::now();
                let instance = Owned::start(
                    Command::new("busybox")
                        .args(["sh", "-c", &script()])
                        .env("PORT", address.port().to_string())
                        .env("NAME", "by hand")
                        .env("PLACE", place.path())
                        .stdout(Stdio::null())
                        .stderr(Stdio::null()),
                )?;
                waits.push((instance, address, began));
            }
            for (_instance, address, began) in &waits {
                child::until("an instance answers", TICK, || Ok(ask(*address).is_ok()))?;
                slowest = slowest.max(began.elapsed());
            }
        }
        Ok(slowest)
    }
}

/// Asks at each of these ports; fails unless `count` answer with `name`, and no
/// other answers.
pub(super) fn ports_are(ports: &[u16], count: usize, name: &str) -> anyhow::Result<()> {
    let mut same = 0;
    for port in ports {
        match ask((Ipv4Addr::LOCALHOST, *port).into()) {
            Ok(answer) if answer == name => same += 1,
            Ok(answer) => bail!("take all back: the instance at {port} answers {answer:?}"),
            // One that is gone.
            Err(_) => {}
        }
    }
    if same != count {
        bail!("take all back: {same} of {count} instances answer {name:?}");
    }
    Ok(())
}

/// What an instance answers.
fn ask(address: SocketAddr) -> anyhow::Result<String> {
    let answer = load::once(&Target {
        address,
        request: b"GET / HTTP/1.0\r\n\r\n".to_vec(),
        never: "no instance",
    })?;
    if !answer.head.contains(" 200 ") {
        bail!("ask an instance: it answers {:?}", answer.head);
    }
    Ok(String::from_utf8_lossy(&answer.body).trim().to_owned())
}
