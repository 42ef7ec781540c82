//! Private database servers for tests.
//!
//! Each has a data folder of its own, copied from a template that is made once
//! for each version of the server, listens on a free port and on a socket, lets
//! `root` in without a password, and writes a row-format binary log. It ends
//! with its [`PrivateServer`], and at the latest with the process of the test.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use backout_shim::Shim;
use mysql::prelude::Queryable as _;
use tempfile::TempDir;

use crate::process::{Account, program};

/// Far more than anything of a small server takes, on a host with other work.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// How often something is looked at that cannot be waited for.
const TICK: Duration = Duration::from_millis(10);

/// How often a start is tried again with another port: whoever asks for a free
/// one may lose it to another process before the server has it.
const START_TRIES: u32 = 5;

/// What a small server for tests is started with, before the caller's own.
const ARGS: &[&str] = &[
    "--innodb-buffer-pool-size=64M",
    "--innodb-log-file-size=16M",
    "--performance-schema=0",
    "--skip-slave-start",
    "--bind-address=127.0.0.1",
    "--log-bin=mysql-bin",
    "--binlog-format=ROW",
    "--server-id=1",
    "--character-set-server=utf8mb4",
    // Tests are about processes that die, not about power cuts.
    "--innodb-flush-log-at-trx-commit=2",
];

/// A server of a test's own.
#[derive(Debug)]
pub struct PrivateServer {
    folder: TempDir,
    args: Vec<String>,
    port: u16,
    child: Mutex<Option<Child>>,
}

impl PrivateServer {
    /// Starts one; `args` are put behind the usual ones, so that they win, e.g.
    /// `&["--log-bin-compress=1"]`.
    ///
    /// # Panics
    /// When it does not start, with the end of its log: a test cannot go on.
    #[must_use]
    #[expect(clippy::panic, reason = "a test that has no server has failed")]
    pub fn start(args: &[&str]) -> Self {
        match Self::try_start(args) {
            Ok(server) => server,
            Err(why) => panic!("failed to {why}"),
        }
    }

    fn try_start(args: &[&str]) -> Result<Self, String> {
        let folder = tempfile::Builder::new()
            .prefix("backout-db-")
            .tempdir()
            .map_err(|e| format!("make a folder for a server: {e}"))?;
        let account = Account::of_servers();
        account
            .own(folder.path())
            .map_err(|e| format!("give away the server's folder: {e}"))?;
        copy(&template()?, &folder.path().join("data"), &account)
            .map_err(|e| format!("copy the template of a server: {e}"))?;
        let mut server = Self {
            folder,
            args: args.iter().map(|&arg| arg.to_owned()).collect(),
            port: 0,
            child: Mutex::new(None),
        };
        server.launch()?;
        Ok(server)
    }

    /// Its socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// How it is reached over TCP, as `root` without a password.
    #[must_use]
    pub fn url(&self) -> String {
        format!("mysql://root@127.0.0.1:{}", self.port)
    }

    /// How it is reached over its socket.
    #[must_use]
    pub fn socket_url(&self) -> String {
        format!("{}/?socket={}", self.url(), self.socket().display())
    }

    /// Its data folder.
    #[must_use]
    pub fn datadir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Its error log.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.folder.path().join("log.err")
    }

    /// Its pid; `None` after [`PrivateServer::kill`].
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        let child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        child.as_ref().map(Child::id)
    }

    /// A new connection, over the socket.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    #[expect(clippy::panic, reason = "a test that has no server has failed")]
    pub fn connect(&self) -> mysql::Conn {
        match self.try_connect() {
            Ok(conn) => conn,
            Err(e) => panic!("failed to connect to the server of the test: {e}"),
        }
    }

    fn try_connect(&self) -> mysql::Result<mysql::Conn> {
        let options = mysql::OptsBuilder::new()
            .user(Some("root"))
            .prefer_socket(false)
            .socket(Some(self.socket().to_string_lossy()))
            .tcp_connect_timeout(Some(PATIENCE));
        mysql::Conn::new(options)
    }

    /// Runs one statement in a connection of its own; rows with each value as
    /// text, and `NULL` as that.
    ///
    /// # Panics
    /// When the server refuses it.
    #[expect(clippy::panic, reason = "a test whose statement is refused has failed")]
    pub fn query(&self, sql: &str) -> Vec<Vec<String>> {
        let rows: mysql::Result<Vec<mysql::Row>> = self.connect().query(sql);
        match rows {
            Ok(rows) => rows.into_iter().map(texts).collect(),
            Err(e) => panic!("failed to run {sql:.200}: {e}"),
        }
    }

    /// Runs the statements of a script, separated by `;` at the end of a line,
    /// in one connection.
    ///
    /// # Panics
    /// When the server refuses one.
    #[expect(clippy::panic, reason = "a test whose statement is refused has failed")]
    pub fn script(&self, sql: &str) {
        let mut conn = self.connect();
        for statement in sql.split(";\n").filter(|s| !s.trim().is_empty()) {
            if let Err(e) = conn.query_drop(statement) {
                panic!("failed to run {statement:.200}: {e}");
            }
        }
    }

    /// The first value of the first row.
    ///
    /// # Panics
    /// When the server refuses it, or there is none.
    #[expect(clippy::panic, reason = "a test whose statement is refused has failed")]
    pub fn value(&self, sql: &str) -> String {
        match self
            .query(sql)
            .into_iter()
            .next()
            .map(|row| row.into_iter().next())
        {
            Some(Some(value)) => value,
            _ => panic!("failed to find a row in the answer to {sql:.200}"),
        }
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Ends it in an orderly way.
    pub fn stop(&mut self) {
        let Some(mut child) = self.take() else {
            return;
        };
        let pid = i32::try_from(child.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let until = Instant::now() + PATIENCE;
        while matches!(child.try_wait(), Ok(None)) {
            if Instant::now() >= until {
                let _ = child.kill();
            }
            std::thread::sleep(TICK);
        }
    }

    /// Ends it in an orderly way if it runs, and starts it again on the same
    /// data, with the same arguments; its port may be another.
    ///
    /// # Panics
    /// When it does not start.
    #[expect(clippy::panic, reason = "a test that has no server has failed")]
    pub fn restart(&mut self) {
        self.stop();
        if let Err(why) = self.launch() {
            panic!("failed to {why}");
        }
    }

    /// As [`PrivateServer::restart`], with other arguments.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart_with(&mut self, args: &[&str]) {
        self.args = args.iter().map(|&arg| arg.to_owned()).collect();
        self.restart();
    }

    fn take(&self) -> Option<Child> {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        child.take()
    }

    fn launch(&mut self) -> Result<(), String> {
        let mut why = String::new();
        for _ in 0..START_TRIES {
            self.port = free_port().map_err(|e| format!("find a free port: {e}"))?;
            let child = spawn(self.command()?)?;
            *self.child.lock().unwrap_or_else(PoisonError::into_inner) = Some(child);
            match self.wait() {
                Ok(()) => return Ok(()),
                Err(said) => {
                    self.kill();
                    let port_is_taken = said.contains("Can't start server: Bind on");
                    why = said;
                    if !port_is_taken {
                        break;
                    }
                }
            }
        }
        Err(why)
    }

    fn command(&self) -> Result<Command, String> {
        let daemon = program("mariadbd").map_err(|e| e.to_string())?;
        let (program, mut args) = Account::of_servers().command(&daemon, true);
        args.push("--no-defaults".to_owned());
        args.push(format!("--datadir={}", self.datadir().display()));
        args.push(format!("--socket={}", self.socket().display()));
        args.push(format!(
            "--pid-file={}",
            self.folder.path().join("pid").display()
        ));
        args.push(format!("--log-error={}", self.log().display()));
        // Not one that it shares: a server that starts removes what others
        // have there, and they end of it.
        args.push(format!("--tmpdir={}", self.datadir().display()));
        args.push(format!("--port={}", self.port));
        args.extend(Account::of_servers().argument().map(str::to_owned));
        args.extend(ARGS.iter().map(|&arg| arg.to_owned()));
        args.extend(self.args.iter().cloned());
        let mut command = Command::new(program);
        command
            .args(args)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Ok(command)
    }

    /// Waits until it answers.
    fn wait(&self) -> Result<(), String> {
        let until = Instant::now() + PATIENCE;
        loop {
            if self.try_connect().is_ok() {
                return Ok(());
            }
            let ended = match &mut *self.child.lock().unwrap_or_else(PoisonError::into_inner) {
                Some(child) => !matches!(child.try_wait(), Ok(None)),
                None => true,
            };
            if ended || Instant::now() >= until {
                let log = std::fs::read(self.log()).unwrap_or_default();
                let log = String::from_utf8_lossy(&log);
                let lines: Vec<_> = log.lines().collect();
                let last = lines
                    .get(lines.len().saturating_sub(30)..)
                    .unwrap_or_default();
                return Err(format!(
                    "start a server for a test; it said:\n{}",
                    last.join("\n")
                ));
            }
            std::thread::sleep(TICK);
        }
    }
}

impl Drop for PrivateServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The supervisor for tests of this crate: `mariadb-shim`, beside the test's
/// own program, or `backout-shim` where a build of the workspace has put that.
///
/// # Errors
/// When it was not built: how to do that.
pub fn shim() -> Result<Shim, String> {
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    let program = own
        .ancestors()
        .skip(1)
        .flat_map(|folder| [folder.join("mariadb-shim"), folder.join("backout-shim")])
        .find(|program| program.is_file())
        .ok_or("find backout-shim: build it with cargo build -p backout-shim")?;
    Ok(Shim {
        program,
        args: Vec::new(),
    })
}

/// A row with each value as text.
fn texts(row: mysql::Row) -> Vec<String> {
    row.unwrap()
        .into_iter()
        .map(|value| match value {
            mysql::Value::NULL => "NULL".to_owned(),
            mysql::Value::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            other => other.as_sql(true).trim_matches('\'').to_owned(),
        })
        .collect()
}

fn free_port() -> std::io::Result<u16> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    Ok(listener.local_addr()?.port())
}

/// A data folder with nothing but the server's own tables, made once for each
/// version of the server and each user, and kept for later runs.
fn template() -> Result<PathBuf, String> {
    let io = |doing: &str, e: std::io::Error| format!("{doing} the template of a server: {e}");
    let daemon = program("mariadbd").map_err(|e| e.to_string())?;
    let facts = daemon.metadata().map_err(|e| io("look at", e))?;
    let name = format!(
        "backout-db-template-{}-{:x}-{:x}",
        rustix::process::geteuid().as_raw(),
        facts.mtime(),
        facts.size()
    );
    let made = std::env::temp_dir().join(name);
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(made.with_extension("lock"))
        .map_err(|e| io("lock", e))?;
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive)
        .map_err(|e| io("lock", e.into()))?;
    if made.is_dir() {
        return Ok(made);
    }
    let fresh = tempfile::Builder::new()
        .prefix("backout-db-template-")
        .tempdir()
        .map_err(|e| io("make", e))?;
    let datadir = fresh.path().join("data");
    let mut command = Command::new(program("mariadb-install-db").map_err(|e| e.to_string())?);
    command
        .args([
            "--no-defaults",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        ])
        .args([
            "--innodb-log-file-size=16M",
            "--innodb-buffer-pool-size=32M",
        ])
        .arg(format!("--datadir={}", datadir.display()))
        .arg(format!("--tmpdir={}", datadir.display()));
    if rustix::process::geteuid().is_root() {
        command.arg("--user=root");
    }
    let out = command.output().map_err(|e| io("make", e))?;
    if !out.status.success() {
        return Err(format!(
            "make the template of a server: {}{}",
            String::from_utf8_lossy(&out.stdout),
            String::from_utf8_lossy(&out.stderr)
        ));
    }
    std::fs::rename(&datadir, &made).map_err(|e| io("keep", e))?;
    Ok(made)
}

fn copy(from: &Path, to: &Path, account: &Account) -> std::io::Result<()> {
    std::fs::create_dir(to)?;
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(0o700))?;
    account.own(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target, account)?;
        } else {
            std::io::copy(
                &mut File::open(entry.path())?,
                &mut File::create_new(&target)?,
            )?;
            account.own(&target)?;
        }
    }
    Ok(())
}

type Spawned = std::io::Result<Child>;
type Wish = (Command, Sender<Spawned>);

/// The thread that all servers are children of: they are to end with the
/// process, and the kernel goes by the thread that made them.
static PARENT: LazyLock<Mutex<Sender<Wish>>> = LazyLock::new(|| {
    let (sender, receiver) = channel::<Wish>();
    std::thread::spawn(move || {
        for (mut command, reply) in receiver {
            let _ = reply.send(command.spawn());
        }
    });
    Mutex::new(sender)
});

fn spawn(command: Command) -> Result<Child, String> {
    let (reply, answer) = channel();
    let sender = PARENT
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    sender
        .send((command, reply))
        .map_err(|e| format!("start a server: {e}"))?;
    match answer.recv() {
        Ok(spawned) => spawned.map_err(|e| format!("start a server: {e}")),
        Err(e) => Err(format!("start a server: {e}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_answers_survives_a_kill_and_ends_with_its_handle() {
        let mut server = PrivateServer::start(&["--max-connections=17"]);
        assert_eq!(server.value("SELECT @@max_connections"), "17");
        server.script("CREATE DATABASE a;\nCREATE TABLE a.t (i INT PRIMARY KEY);\nINSERT INTO a.t VALUES (7);\n");
        server.kill();
        server.restart();
        assert_eq!(server.query("SELECT i, NULL FROM a.t"), [["7", "NULL"]]);
        assert_eq!(server.value("SELECT @@binlog_format"), "ROW");
        let tcp = mysql::Conn::new(mysql::Opts::from_url(&server.url()).unwrap());
        assert!(tcp.is_ok());
        let pid = server.pid().unwrap();
        drop(server);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }
}
