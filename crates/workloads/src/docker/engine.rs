//! What is asked of the engine.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::errors::Error as Failure;
use bollard::models::{ContainerCreateBody, ContainerInspectResponse};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, CreateImageOptionsBuilder, InspectContainerOptions,
    KillContainerOptionsBuilder, RemoveContainerOptionsBuilder, StartContainerOptions,
    UploadToContainerOptionsBuilder, WaitContainerOptionsBuilder,
};
use bollard::{API_DEFAULT_VERSION, Docker};
use futures_util::StreamExt as _;

use crate::error::{Error, Result};

/// How long the engine may take for the head of an answer, in seconds: it
/// removes what a container wrote, and writes out images, on a slow disk.
const ANSWER_S: u64 = 120;

/// How long nothing may come while an image is fetched.
const FETCH_SILENCE: Duration = Duration::from_secs(120);

/// How long a container that is being removed, or was killed, may be there.
const GONE_PATIENCE: Duration = Duration::from_secs(30);

/// How often it is looked at meanwhile.
const TICK: Duration = Duration::from_millis(20);

/// The longest of what the engine says that is passed on, in bytes.
const SAID_MAX_BYTES: usize = 2000;

/// A container engine of this host. Nothing is kept between two uses, so none
/// has to be taken up again after the engine was started anew.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    socket: PathBuf,
}

/// A connection to it.
pub(crate) struct Client {
    pub docker: Docker,
    socket: PathBuf,
}

/// An image that the engine has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Image {
    pub id: String,
    /// The TCP ports that it says it listens on.
    pub ports: Vec<u16>,
}

/// A container that the engine has.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub id: String,
    pub running: bool,
    pub pid: Option<u32>,
    pub exit_code: i64,
    /// One of its processes was killed for want of memory.
    pub out_of_memory: bool,
    /// Where the host reaches it.
    pub ip: Option<String>,
    pub labels: HashMap<String, String>,
    /// How it wants to be asked to end.
    pub stop_signal: String,
}

impl Engine {
    pub(crate) fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Does `work` over a connection, and waits for it.
    pub(crate) fn run<T>(&self, work: impl AsyncFnOnce(&Client) -> Result<T>) -> Result<T> {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| Error::io("reach the container engine at", &self.socket, e))?
            .block_on(async {
                let client = self.connect().await?;
                work(&client).await
            })
    }

    /// Connects, and agrees on a version of the protocol.
    pub(crate) async fn connect(&self) -> Result<Client> {
        let away = |e: Failure| self.away(&e);
        let path = self.socket.to_str().ok_or_else(|| Error::BadSpec {
            what: "the socket of the container engine",
            why: format!("{:?} is not in UTF-8", self.socket),
        })?;
        let docker =
            Docker::connect_with_unix(path, ANSWER_S, API_DEFAULT_VERSION).map_err(away)?;
        let docker = docker.negotiate_version().await.map_err(away)?;
        Ok(Client {
            docker,
            socket: self.socket.clone(),
        })
    }

    fn away(&self, failure: &Failure) -> Error {
        Error::EngineAway {
            socket: self.socket.clone(),
            why: chain(failure),
        }
    }
}

/// What the engine says of itself.
#[derive(Clone, Debug)]
pub(crate) struct Info {
    pub version: String,
    /// Why it cannot limit what containers take.
    pub missing: Option<String>,
}

impl Client {
    pub(crate) async fn info(&self) -> Result<Info> {
        let info = self.docker.info().await;
        let info = info.map_err(|e| self.failed("look at", "the engine", &e))?;
        let limits = [
            ("memory", info.memory_limit),
            ("processor time", info.cpu_cfs_quota),
            ("processes", info.pids_limit),
        ];
        let missing = limits.iter().find(|(_, there)| *there != Some(true));
        Ok(Info {
            version: info.server_version.unwrap_or_default(),
            missing: missing.map(|(what, _)| {
                format!(
                    "the container engine cannot limit {what} on this host; give it the control \
                     groups for that"
                )
            }),
        })
    }

    /// An image; `None` when the engine has not got it.
    pub(crate) async fn image(&self, name: &str) -> Result<Option<Image>> {
        match self.docker.inspect_image(name).await {
            Ok(image) => {
                let ports = image.config.and_then(|c| c.exposed_ports);
                Ok(Some(Image {
                    id: image.id.unwrap_or_else(|| name.to_owned()),
                    ports: tcp_ports(&ports.unwrap_or_default()),
                }))
            }
            Err(e) if status(&e) == 404 => Ok(None),
            Err(e) => Err(self.failed("look at image", name, &e)),
        }
    }

    /// Fetches an image from its registry.
    pub(crate) async fn fetch(&self, name: &str) -> Result<()> {
        let missing = |why: String| Error::NoImage {
            name: name.to_owned(),
            why: format!(
                "the engine has none of this name, and could not fetch it: {why}; see whether the \
                 name is right, or load the image into the engine"
            ),
        };
        // Without a tag, the engine would fetch all there are.
        let options = CreateImageOptionsBuilder::default()
            .from_image(&with_tag(name))
            .build();
        let mut said = self.docker.create_image(Some(options), None, None);
        loop {
            let Ok(next) = tokio::time::timeout(FETCH_SILENCE, said.next()).await else {
                return Err(missing("its registry went silent".to_owned()));
            };
            match next {
                None => return Ok(()),
                Some(Ok(info)) => {
                    if let Some(why) = info.error_detail.and_then(|e| e.message) {
                        return Err(missing(cut(why)));
                    }
                }
                Some(Err(e)) => {
                    return Err(match self.failed("fetch image", name, &e) {
                        Error::Engine { why, .. } => missing(why),
                        away => away,
                    });
                }
            }
        }
    }

    /// A container, by its name or id; `None` when there is none.
    pub(crate) async fn find(&self, name: &str) -> Result<Option<Found>> {
        let options = None::<InspectContainerOptions>;
        match self.docker.inspect_container(name, options).await {
            Ok(facts) => Ok(Some(found(name, facts))),
            Err(e) if status(&e) == 404 => Ok(None),
            Err(e) => Err(self.failed("look at container", name, &e)),
        }
    }

    /// Makes a container, and returns its id.
    pub(crate) async fn create(&self, name: &str, body: ContainerCreateBody) -> Result<String> {
        let options = CreateContainerOptionsBuilder::default().name(name).build();
        self.docker
            .create_container(Some(options), body)
            .await
            .map(|made| made.id)
            .map_err(|e| self.failed("create container", name, &e))
    }

    /// Unpacks an archive below the root of a container.
    pub(crate) async fn put(&self, id: &str, archive: Vec<u8>) -> Result<()> {
        let options = UploadToContainerOptionsBuilder::default()
            .path("/")
            .no_overwrite_dir_non_dir("true")
            .build();
        let body = bollard::body_full(archive.into());
        self.docker
            .upload_to_container(id, Some(options), body)
            .await
            .map_err(|e| self.failed("put files into container", id, &e))
    }

    /// Starts a container; fine when it runs.
    pub(crate) async fn start(&self, id: &str) -> Result<()> {
        self.docker
            .start_container(id, None::<StartContainerOptions>)
            .await
            .map_err(|e| self.failed("start container", id, &e))
    }

    /// Sends a signal to the first process of a container; fine when none runs.
    pub(crate) async fn kill(&self, id: &str, signal: &str) -> Result<()> {
        let options = KillContainerOptionsBuilder::default()
            .signal(signal)
            .build();
        match self.docker.kill_container(id, Some(options)).await {
            Err(e) if !matches!(status(&e), 404 | 409) => {
                Err(self.failed("signal container", id, &e))
            }
            _ => Ok(()),
        }
    }

    /// Waits until a container has ended, or the engine has.
    pub(crate) async fn wait(&self, id: &str) {
        let options = WaitContainerOptionsBuilder::default()
            .condition("not-running")
            .build();
        // What comes is not looked at: the container itself is, afterwards.
        let _ = self.docker.wait_container(id, Some(options)).next().await;
    }

    /// Kills a container, and waits until it has ended. Fine when it does not
    /// run.
    pub(crate) async fn end(&self, id: &str) -> Result<()> {
        let until = tokio::time::Instant::now() + GONE_PATIENCE;
        while self.find(id).await?.is_some_and(|found| found.running) {
            if tokio::time::Instant::now() >= until {
                return Err(self.survived("end container", id));
            }
            self.kill(id, "KILL").await?;
            let _ = tokio::time::timeout(TICK * 10, self.wait(id)).await;
        }
        Ok(())
    }

    /// Removes a container with all it wrote, also one that runs; waits until it
    /// is gone. Fine when there is none.
    pub(crate) async fn remove(&self, name: &str) -> Result<()> {
        let until = tokio::time::Instant::now() + GONE_PATIENCE;
        let options = RemoveContainerOptionsBuilder::default()
            .force(true)
            .v(true)
            .build();
        loop {
            let removed = self
                .docker
                .remove_container(name, Some(options.clone()))
                .await;
            match removed {
                Ok(()) => return Ok(()),
                Err(e) if status(&e) == 404 => return Ok(()),
                // Somebody else is at it.
                Err(e) if status(&e) == 409 => {}
                Err(e) => return Err(self.failed("remove container", name, &e)),
            }
            if tokio::time::Instant::now() >= until {
                return Err(self.survived("remove container", name));
            }
            tokio::time::sleep(TICK).await;
        }
    }

    fn survived(&self, op: &'static str, what: &str) -> Error {
        Error::Engine {
            op,
            what: what.to_owned(),
            status: 500,
            why: "it is still there".to_owned(),
        }
    }

    pub(crate) fn failed(&self, op: &'static str, what: &str, failure: &Failure) -> Error {
        match failure {
            Failure::DockerResponseServerError {
                status_code,
                message,
            } => Error::Engine {
                op,
                what: what.to_owned(),
                status: *status_code,
                why: cut(message.clone()),
            },
            Failure::DockerStreamError { error } => Error::Engine {
                op,
                what: what.to_owned(),
                status: 0,
                why: cut(error.clone()),
            },
            Failure::JsonDataError { .. } | Failure::JsonSerdeError { .. } => Error::Engine {
                op,
                what: what.to_owned(),
                status: 0,
                why: format!("something that is not understood ({failure})"),
            },
            _ => Error::EngineAway {
                socket: self.socket.clone(),
                why: chain(failure),
            },
        }
    }
}

fn found(name: &str, facts: ContainerInspectResponse) -> Found {
    let state = facts.state.unwrap_or_default();
    let (labels, stop_signal) = facts
        .config
        .map(|config| (config.labels, config.stop_signal))
        .unwrap_or_default();
    let networks = facts.network_settings.and_then(|n| n.networks);
    Found {
        id: facts.id.unwrap_or_else(|| name.to_owned()),
        running: state.running.unwrap_or_default(),
        pid: state
            .pid
            .and_then(|pid| u32::try_from(pid).ok())
            .filter(|pid| *pid > 0),
        exit_code: state.exit_code.unwrap_or_default(),
        out_of_memory: state.oom_killed.unwrap_or_default(),
        ip: networks
            .unwrap_or_default()
            .into_values()
            .filter_map(|network| network.ip_address)
            .find(|ip| !ip.is_empty()),
        labels: labels.unwrap_or_default(),
        stop_signal: stop_signal.unwrap_or_else(|| "TERM".to_owned()),
    }
}

fn status(failure: &Failure) -> u16 {
    match failure {
        Failure::DockerResponseServerError { status_code, .. } => *status_code,
        _ => 0,
    }
}

/// A failure with its causes, since its own text may not say them.
fn chain(failure: &Failure) -> String {
    let mut text = failure.to_string();
    let mut cause = std::error::Error::source(failure);
    while let Some(e) = cause {
        let said = e.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = e.source();
    }
    cut(text)
}

fn cut(mut text: String) -> String {
    let end = (0..=SAID_MAX_BYTES)
        .rev()
        .find(|n| text.is_char_boundary(*n));
    text.truncate(end.unwrap_or_default());
    text.trim().to_owned()
}

/// The name of an image with the tag that it has when none is named.
fn with_tag(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or(name);
    match last.contains([':', '@']) {
        true => name.to_owned(),
        false => format!("{name}:latest"),
    }
}

/// The TCP ports in the list of an image: `8080/tcp`.
fn tcp_ports(ports: &[String]) -> Vec<u16> {
    let tcp = ports.iter().filter_map(|port| {
        let number = port.strip_suffix("/tcp").unwrap_or(port);
        number.parse().ok()
    });
    tcp.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_fetched_by_one_tag() {
        let cases = [
            ("app", "app:latest"),
            ("app:2", "app:2"),
            ("127.0.0.1:5000/app", "127.0.0.1:5000/app:latest"),
            ("127.0.0.1:5000/app:2", "127.0.0.1:5000/app:2"),
            ("a/b@sha256:00", "a/b@sha256:00"),
        ];
        for (name, wanted) in cases {
            assert_eq!(with_tag(name), wanted);
        }
    }

    #[test]
    fn only_tcp_ports_count() {
        let ports = ["80/tcp", "53/udp", "8080", "x/tcp"].map(str::to_owned);
        assert_eq!(tcp_ports(&ports), [80, 8080]);
    }

    #[test]
    fn what_the_engine_says_is_cut_between_letters() {
        assert_eq!(cut(" short\n".to_owned()), "short");
        let long = "é".repeat(SAID_MAX_BYTES);
        assert_eq!(cut(long).len(), SAID_MAX_BYTES);
    }
}
