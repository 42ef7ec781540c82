//! A MariaDB server of a test's own, in a temporary folder, reached by socket
//! only, and ended with the test.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests may panic"
)]
#![allow(dead_code, reason = "each test file uses what it needs")]
#![allow(
    clippy::allow_attributes,
    reason = "which helpers are unused differs from one test file to another"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mysql::prelude::Queryable;
use mysql::{Conn, OptsBuilder};
use tempfile::TempDir;

/// Small enough for many servers side by side.
const ARGS: [&str; 13] = [
    "--innodb-buffer-pool-size=64M",
    "--innodb-log-file-size=16M",
    "--innodb-flush-log-at-trx-commit=0",
    "--performance-schema=0",
    "--skip-networking",
    "--skip-slave-start",
    "--server-id=1",
    "--log-bin=bin",
    "--binlog-format=ROW",
    "--binlog-row-image=FULL",
    "--sync-binlog=0",
    "--max-connections=40",
    "--max-allowed-packet=64M",
];

/// How long a server may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(90);

/// A server of the test's own.
pub struct Server {
    folder: TempDir,
    args: Vec<String>,
    child: Option<Child>,
}

impl Server {
    /// Starts one with a binary log in row format; later arguments win.
    pub fn start(args: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("bo").tempdir().unwrap();
        copy(&template(), &folder.path().join("data"));
        let mut server = Self {
            folder,
            args: args.iter().map(|a| (*a).to_owned()).collect(),
            child: None,
        };
        server.run();
        server
    }

    fn run(&mut self) {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))
            .unwrap();
        let child = Command::new("mariadbd")
            .arg("--no-defaults")
            .args(as_root())
            .arg(format!("--datadir={}", self.datadir().display()))
            .arg(format!("--socket={}", self.socket().display()))
            .arg("--pid-file=pid")
            // Not one that it shares: a server that starts removes what others
            // have there, and they end of it.
            .arg(format!("--tmpdir={}", self.datadir().display()))
            .args(ARGS)
            .args(&self.args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
        let start = Instant::now();
        while Conn::new(self.opts()).is_err() {
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            if ended.is_some() || start.elapsed() > PATIENCE {
                let log = fs::read_to_string(self.folder.path().join("log")).unwrap();
                panic!("the server did not start: {log}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn opts(&self) -> OptsBuilder {
        OptsBuilder::new()
            .socket(Some(self.socket().to_string_lossy()))
            .user(Some("root"))
            .prefer_socket(true)
    }

    /// A new session.
    pub fn conn(&self) -> Conn {
        Conn::new(self.opts()).unwrap()
    }

    /// Runs statements, each in the same new session.
    pub fn run_all(&self, statements: &[&str]) {
        let mut conn = self.conn();
        for sql in statements {
            if let Err(e) = conn.query_drop(sql) {
                panic!("{sql}: {e}");
            }
        }
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("s")
    }

    pub fn datadir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The binary logs, oldest first.
    pub fn binlogs(&self) -> Vec<PathBuf> {
        let index = fs::read_to_string(self.datadir().join("bin.index")).unwrap();
        index.lines().map(|l| self.datadir().join(l)).collect()
    }

    /// Ends it in good order and starts it again.
    pub fn restart(&mut self) {
        self.end("SHUTDOWN");
        self.run();
    }

    /// Kills it and starts it again.
    pub fn crash(&mut self) {
        self.kill();
        self.run();
    }

    /// Ends it in good order.
    pub fn stop(&mut self) {
        self.end("SHUTDOWN");
    }

    fn end(&mut self, sql: &str) {
        let _ = self.conn().query_drop(sql);
        if let Some(mut child) = self.child.take() {
            child.wait().unwrap();
        }
    }

    /// Kills it.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn as_root() -> &'static [&'static str] {
    if rustix::process::geteuid().is_root() {
        &["--user=root"]
    } else {
        &[]
    }
}

/// A data folder that was never used, made once for each version of the server.
fn template() -> PathBuf {
    let version = Command::new("mariadbd").arg("--version").output().unwrap();
    let version: String = String::from_utf8_lossy(&version.stdout)
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .collect();
    let parent = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let made = parent.join(format!("data-{version}"));
    if !made.exists() {
        fs::create_dir_all(parent).unwrap();
        let work = tempfile::Builder::new().tempdir_in(parent).unwrap();
        let data = work.path().join("data");
        let output = Command::new("mariadb-install-db")
            .args(["--no-defaults", "--auth-root-authentication-method=normal"])
            .args(["--skip-test-db", "--innodb-log-file-size=16M"])
            .args(as_root())
            .arg(format!("--datadir={}", data.display()))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        // Whoever is first wins; the others' is as good.
        let _ = fs::rename(&data, &made);
    }
    made
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}
