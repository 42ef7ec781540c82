//! A rollback by Backout, by its command line.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::instances::{Instances, script};
use super::{AT_ONCE, BATCHES, NEW, OLD, REPLICAS};
use crate::child::{self, Owned};

const APP: &str = "bench";

pub(super) struct Ours<'a> {
    data: PathBuf,
    package: PathBuf,
    port: u16,
    instances: &'a Instances,
    _server: Owned,
}

impl<'a> Ours<'a> {
    /// Starts a server, with the application at its first version.
    pub(super) fn start(folder: &Path, instances: &'a Instances) -> anyhow::Result<Self> {
        let (data, package) = (folder.join("data"), folder.join("package"));
        std::fs::create_dir(&package)?;
        std::fs::write(package.join("README"), "What it runs is on the host.\n")?;
        let (server, _) = Owned::ready(
            Command::new(child::backout()?)
                .args(["serve", "--listen", "127.0.0.1:0", "--data"])
                .arg(&data)
                .stderr(std::fs::File::create(folder.join("server.log"))?),
            "ready ",
        )?;
        let ours = Self {
            data,
            package,
            port: super::gateway::free()?.port(),
            instances,
            _server: server,
        };
        ours.deploy(OLD)?;
        Ok(ours)
    }

    /// Deploys the new version, and takes it back; returns how long that took.
    pub(super) fn back(&self) -> anyhow::Result<Duration> {
        self.deploy(NEW)?;
        self.instances.all_are(REPLICAS, NEW)?;
        let began = Instant::now();
        self.run(&["rollback", APP, "--to", OLD, "--yes"], true)?;
        let took = began.elapsed();
        self.instances.all_are(REPLICAS, OLD)?;
        Ok(took)
    }

    fn deploy(&self, name: &str) -> anyhow::Result<()> {
        let place = self.instances.place().to_str().context("name a folder")?;
        let package = self.package.to_str().context("name a folder")?;
        let (command, port) = (format!("busybox sh -c '{}'", script()), self.port);
        let words = [
            &["deploy", APP, "--from", package, "--command", &command][..],
            &["--replicas", &REPLICAS.to_string()],
            &["--port", &port.to_string(), "--health", "/"],
            &["--env", &format!("NAME={name}")],
            &["--env", &format!("PLACE={place}"), "--label", name],
        ];
        // The first one finds no instances.
        self.run(&words.concat(), name == NEW)
    }

    fn run(&self, words: &[&str], in_batches: bool) -> anyhow::Result<()> {
        let mut command = Command::new(child::backout()?);
        command.arg("apps").args(words);
        if in_batches {
            let floor = (REPLICAS - AT_ONCE).to_string();
            command.args(["--batches", &BATCHES.to_string(), "--min-ready", &floor]);
        }
        child::done(command.arg("--data").arg(&self.data))
    }
}

impl Drop for Ours<'_> {
    fn drop(&mut self) {
        // Instances outlive the server: they end with the application.
        if let Err(e) = self.run(&["delete", APP, "--yes"], false) {
            println!("  failed to {e:#}");
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_script_can_be_quoted() {
        assert!(!super::script().contains('\''));
    }
}
