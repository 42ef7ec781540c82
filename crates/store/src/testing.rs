//! Stores for tests: a fresh SQLite file, and a private PostgreSQL server on a
//! free port in a temporary folder.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::rows::Page;
use crate::{Error, Migration, Store, Tx};

/// A running PostgreSQL server of this test's own, stopped when dropped.
#[derive(Debug)]
pub struct PrivatePostgres {
    folder: tempfile::TempDir,
    bin: PathBuf,
    port: u16,
}

impl PrivatePostgres {
    /// Makes and starts one.
    ///
    /// # Panics
    /// When PostgreSQL is not installed or does not start: a test that needs
    /// it must fail, not pass silently.
    #[must_use]
    pub fn start() -> Self {
        let bin = std::fs::read_dir("/usr/lib/postgresql")
            .expect("PostgreSQL is installed (package postgresql)")
            .filter_map(|entry| entry.ok().map(|e| e.path().join("bin")))
            .find(|bin| bin.join("initdb").exists())
            .expect("PostgreSQL has initdb");
        let folder = tempfile::Builder::new()
            .prefix("backout-pg")
            .tempdir()
            .expect("temporary folder");
        let data = folder.path().join("data");
        std::fs::create_dir(&data).expect("data folder");
        run(Command::new("chown")
            .arg("-R")
            .arg("nobody")
            .arg(folder.path()));
        run(as_nobody(&bin.join("initdb"))
            .args([
                "-U",
                "backout",
                "-A",
                "trust",
                "--no-sync",
                "-E",
                "UTF8",
                "--locale=C",
                "-D",
            ])
            .arg(&data));
        let port = free_port();
        let server = Self { folder, bin, port };
        run(as_nobody(&server.bin.join("pg_ctl"))
            .args(["-w", "-D"])
            .arg(&data)
            .arg("-l")
            .arg(server.folder.path().join("log"))
            .arg("-o")
            .arg(format!(
                "-p {port} -k {} -c listen_addresses=127.0.0.1 -c max_connections=200",
                server.folder.path().display()
            ))
            .arg("start"));
        server
    }

    /// Makes an empty database and returns its address.
    ///
    /// # Panics
    /// When the server refuses it.
    #[must_use]
    pub fn database(&self, name: &str) -> String {
        let admin = format!("postgres://backout@127.0.0.1:{}/postgres", self.port);
        let mut client = postgres::Client::connect(&admin, postgres::NoTls).expect("connects");
        client
            .batch_execute(&format!("CREATE DATABASE {name}"))
            .expect("creates the database");
        format!("postgres://backout@127.0.0.1:{}/{name}", self.port)
    }
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        let stopped = as_nobody(&self.bin.join("pg_ctl"))
            .args(["-m", "immediate", "-w", "-D"])
            .arg(self.folder.path().join("data"))
            .arg("stop")
            .status();
        drop(stopped);
    }
}

/// Runs `test` on a fresh SQLite store and on a fresh PostgreSQL store.
///
/// # Panics
/// When either store cannot be made, or `test` panics.
pub fn on_both(migrations: &[Migration], test: impl Fn(Store)) {
    let folder = tempfile::tempdir().expect("temporary folder");
    test(Store::open_sqlite(&folder.path().join("state.db"), migrations).expect("SQLite opens"));
    let server = PrivatePostgres::start();
    test(
        Store::open_postgres(&server.database("conformance"), 4, migrations)
            .expect("PostgreSQL opens"),
    );
}

/// All rows of a list that a test looks at.
pub const ALL: Page = Page {
    offset: 0,
    limit: 100,
};

/// Runs a unit of work on `store`, for a test without a runtime.
///
/// # Panics
/// When it fails.
pub fn write<T: Send + 'static>(
    store: &Store,
    work: impl FnOnce(&mut dyn Tx) -> Result<T, Error> + Send + 'static,
) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime")
        .block_on(store.write(work))
        .expect("the unit of work is done")
}

fn as_nobody(program: &Path) -> Command {
    let mut command = Command::new("runuser");
    command.args(["-u", "nobody", "--"]).arg(program);
    // initdb and pg_ctl start in the caller's folder, which nobody may not read.
    command.current_dir("/");
    command.stdin(Stdio::null());
    command
}

fn run(command: &mut Command) {
    let output = command.output().expect("the program starts");
    assert!(
        output.status.success(),
        "{command:?} failed: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A port that was free a moment ago.
#[must_use]
fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port()
}
