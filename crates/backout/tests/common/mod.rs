//! A real `backout serve` process on a free port, in a folder of its own.
#![allow(
    dead_code,
    clippy::allow_attributes,
    clippy::panic,
    clippy::unwrap_used,
    reason = "each test binary uses its own part of this, and nothing but tests does"
)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use backout_shim::Signal;
use serde_json::Value;

/// The binary under test.
pub const BIN: &str = env!("CARGO_BIN_EXE_backout");

/// The variables that would tell a command of another server.
const VARIABLES: [&str; 7] = [
    "BACKOUT_DATA",
    "BACKOUT_URL",
    "BACKOUT_SECRET_ID",
    "BACKOUT_SECRET_KEY",
    "BACKOUT_TOKEN",
    "BACKOUT_CA_FILE",
    "RUST_LOG",
];

/// How long anything may take: generous, since machines that run tests are
/// busy. It bounds a hang; it measures nothing.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// Waits until there is what was looked for.
pub fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The binary, without what the environment says of another server.
pub fn backout() -> Command {
    let mut command = Command::new(BIN);
    for name in VARIABLES {
        command.env_remove(name);
    }
    command
}

/// A server process, ended when dropped.
pub struct Running {
    folder: tempfile::TempDir,
    child: Child,
    pub url: String,
    pub secret_id: String,
    pub secret_key: String,
    more: Vec<String>,
    env: Vec<(String, String)>,
}

impl Running {
    pub fn start(more: &[&str]) -> Self {
        Self::start_with(more, &[])
    }

    /// The same, with variables of its own.
    pub fn start_with(more: &[&str], env: &[(&str, &str)]) -> Self {
        let mut running = Self::bare(more, env);
        let text = std::fs::read_to_string(running.data().join("admin.json")).unwrap();
        let file: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(file["Url"], running.url.as_str());
        running.secret_id = file["SecretId"].as_str().unwrap().to_owned();
        running.secret_key = file["SecretKey"].as_str().unwrap().to_owned();
        running
    }

    fn bare(more: &[&str], env: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let more: Vec<String> = more.iter().map(|s| (*s).to_owned()).collect();
        let env: Vec<(String, String)> = env
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let (child, url) = spawn(folder.path(), &more, &env);
        Self {
            folder,
            child,
            url,
            secret_id: String::new(),
            secret_key: String::new(),
            more,
            env,
        }
    }

    /// Another process on the store of `first`, whose key pair it is asked
    /// with.
    pub fn start_as(more: &[&str], env: &[(&str, &str)], first: &Self) -> Self {
        let mut running = Self::bare(more, env);
        assert!(!running.data().join("admin.json").exists());
        running.secret_id.clone_from(&first.secret_id);
        running.secret_key.clone_from(&first.secret_key);
        running
    }

    /// What a server that must not start says.
    pub fn refused(more: &[&str], env: &[(&str, &str)]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let out = backout()
            .arg("serve")
            .arg("--data")
            .arg(folder.path().join("data"))
            .args(["--listen", "127.0.0.1:0"])
            .args(more)
            .envs(env.iter().copied())
            .output()
            .unwrap();
        assert!(!out.status.success(), "{out:?}");
        String::from_utf8(out.stderr).unwrap()
    }

    /// With a server `name` whose raw disk has `mib` MiB.
    pub fn with_server(name: &str, mib: usize) -> Self {
        let running = Self::start(&[]);
        running.make_disk(name, mib);
        let disk = running.disk(name);
        let out = running.cli(&["servers", "add", name, "--disk", disk.to_str().unwrap()]);
        assert!(out.status.success(), "{out:?}\n{}", running.log());
        running
    }

    /// A disk with contents that differ in every block.
    pub fn make_disk(&self, name: &str, mib: usize) {
        self.fill(name, mib, 0x9e37_79b9_7f4a_7c15);
    }

    /// Other contents in the same file.
    pub fn make_other(&self, name: &str, mib: usize) {
        self.fill(name, mib, 0x2545_f491_4f6c_dd1d);
    }

    fn fill(&self, name: &str, mib: usize, seed: u64) {
        let mut state = seed;
        let mut bytes = Vec::with_capacity(mib << 20);
        while bytes.len() < mib << 20 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.extend_from_slice(&state.to_le_bytes());
        }
        std::fs::write(self.disk(name), bytes).unwrap();
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn data(&self) -> PathBuf {
        self.folder().join("data")
    }

    pub fn disk(&self, name: &str) -> PathBuf {
        self.folder().join(format!("{name}.img"))
    }

    pub fn addr(&self) -> &str {
        self.url.strip_prefix("http://").unwrap()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder().join("stderr")).unwrap_or_default()
    }

    pub fn tls_addr(&self) -> String {
        let log = self.log();
        let (_, rest) = log
            .split_once("https://")
            .expect("the log names the TLS address");
        rest.split_whitespace().next().unwrap().to_owned()
    }

    /// Runs a command of the command line against this server.
    pub fn cli(&self, args: &[&str]) -> Output {
        let mut command = backout();
        command.args(args);
        if self.data().join("admin.json").exists() {
            command.arg("--data").arg(self.data());
        } else {
            command
                .env("BACKOUT_URL", &self.url)
                .env("BACKOUT_SECRET_ID", &self.secret_id)
                .env("BACKOUT_SECRET_KEY", &self.secret_key);
        }
        command.output().unwrap()
    }

    /// The one JSON value that a command prints, and its exit code.
    pub fn json(&self, args: &[&str]) -> (Value, i32) {
        let out = self.cli(&[args, &["--json"]].concat());
        let text = String::from_utf8(out.stdout).unwrap();
        let value = serde_json::from_str(&text)
            .unwrap_or_else(|e| panic!("{args:?} printed {text:?}: {e}\n{}", self.log()));
        (value, out.status.code().unwrap())
    }

    /// The same, for a command that must do well.
    pub fn ok(&self, args: &[&str]) -> Value {
        let (value, code) = self.json(args);
        assert_eq!(code, 0, "{args:?}: {value}\n{}", self.log());
        value
    }

    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", name, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Waits for the process to end; its exit code.
    pub fn wait(&mut self) -> Option<i32> {
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(30) {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the server does not end\n{}", self.log());
    }

    /// Ends it, and all that would outlive it and must not outlive a test.
    pub fn end_all(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let mut open = vec![self.data()];
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    continue;
                }
                if entry.file_name() == "run" {
                    let _ = backout_shim::stop(&entry.path(), Signal::Kill, Duration::ZERO);
                } else {
                    open.push(entry.path());
                }
            }
        }
    }

    /// Starts it again on the same folder.
    pub fn restart(&mut self) {
        let (child, url) = spawn(self.folder.path(), &self.more, &self.env);
        self.child = child;
        self.url = url;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(folder: &Path, more: &[String], env: &[(String, String)]) -> (Child, String) {
    let log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.join("stderr"))
        .unwrap();
    let mut child = backout()
        .arg("serve")
        .arg("--data")
        .arg(folder.join("data"))
        .args(["--listen", "127.0.0.1:0"])
        .args(more)
        .envs(env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let log = std::fs::read_to_string(folder.join("stderr")).unwrap_or_default();
    let url = line
        .trim_end()
        .strip_prefix("ready ")
        .unwrap_or_else(|| panic!("not ready: {line:?}\n{log}"));
    let addr: SocketAddr = url.strip_prefix("http://").unwrap().parse().unwrap();
    assert_ne!(addr.port(), 0);
    (child, url.to_owned())
}

/// A certificate for 127.0.0.1 and the authority that signed it, by openssl.
pub struct TlsFiles {
    folder: tempfile::TempDir,
    paths: [String; 3],
}

impl TlsFiles {
    pub fn make() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let paths = [path("ca.pem"), path("server.pem"), path("server.key")];
        let openssl = |args: &[&str]| {
            let out = Command::new("openssl")
                .args(args)
                .output()
                .expect("openssl is installed");
            assert!(out.status.success(), "{args:?} {out:?}");
        };
        let extensions = path("ext");
        std::fs::File::create(&extensions)
            .unwrap()
            .write_all(b"subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth\n")
            .unwrap();
        let (ca_key, request) = (path("ca.key"), path("csr"));
        let [ca, cert, key] = &paths;
        openssl(&[
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=backout test CA",
            "-keyout",
            &ca_key,
            "-out",
            ca,
        ]);
        openssl(&[
            "req",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-subj",
            "/CN=127.0.0.1",
            "-keyout",
            key,
            "-out",
            &request,
        ]);
        openssl(&[
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            ca,
            "-CAkey",
            &ca_key,
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            &extensions,
            "-out",
            cert,
        ]);
        Self { folder, paths }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn ca(&self) -> &str {
        &self.paths[0]
    }

    pub fn cert(&self) -> &str {
        &self.paths[1]
    }

    pub fn key(&self) -> &str {
        &self.paths[2]
    }
}

/// Where `./run test` installs the vendors' clients.
pub fn cache() -> PathBuf {
    std::env::var_os("BACKOUT_CLIENTS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cache"),
        PathBuf::from,
    )
}

/// A script that uses one of them.
pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/clients")
        .join(name)
}

/// Runs such a script against `server` and expects it to end well; what it
/// printed.
pub fn run(server: &Running, mut command: Command) -> String {
    let program = PathBuf::from(command.get_program());
    assert!(
        program.exists() || !program.is_absolute(),
        "{} is missing: ./run test installs the clients",
        program.display()
    );
    for name in [
        "http_proxy",
        "https_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "all_proxy",
        "ALL_PROXY",
    ] {
        command.env_remove(name);
    }
    let out = command
        .env("HOME", server.folder())
        .env("BO_URL", &server.url)
        .env("BO_ADDR", server.addr())
        .env("BO_ID", &server.secret_id)
        .env("BO_KEY", &server.secret_key)
        .env("BO_DATA", server.data())
        .env("BO_BIN", BIN)
        .output()
        .expect("the client can be started");
    let printed = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(
        out.status.success(),
        "{:?}\n{printed}\n{}\nserver's log:\n{}",
        command.get_args().collect::<Vec<_>>(),
        String::from_utf8_lossy(&out.stderr),
        server.log()
    );
    printed
}

/// A script for the vendors' Python clients.
pub fn python(name: &str) -> Command {
    let mut command = Command::new(cache().join("venv/bin/python"));
    command.arg(script(name));
    command
}

/// A script for the vendors' Node clients.
pub fn node(name: &str) -> Command {
    let mut command = Command::new("node");
    command
        .arg(script(name))
        .env("NODE_PATH", cache().join("node/node_modules"));
    assert!(
        cache().join("node/node_modules").exists(),
        "the Node clients are missing: ./run test installs them"
    );
    command
}

/// The vendor's Python SDK, kept running: one call a line.
pub struct Sdk {
    child: Child,
    asks: std::process::ChildStdin,
    answers: BufReader<std::process::ChildStdout>,
}

impl Sdk {
    pub fn start(secret_id: &str, secret_key: &str) -> Self {
        let mut command = Command::new(cache().join("venv/bin/python"));
        command.arg(script("tencent_calls.py"));
        for name in ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"] {
            command.env_remove(name);
        }
        let mut child = command
            .env("BO_ID", secret_id)
            .env("BO_KEY", secret_key)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("./run test installs the clients");
        Self {
            asks: child.stdin.take().unwrap(),
            answers: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    /// The answer of servers, or the code of the refusal.
    pub fn call(&mut self, url: &str, action: &str, parameters: &Value) -> Result<Value, String> {
        self.ask(url, "lighthouse", action, parameters)
    }

    /// The same, of data engines.
    pub fn dlc(&mut self, url: &str, action: &str, parameters: &Value) -> Result<Value, String> {
        self.ask(url, "dlc", action, parameters)
    }

    fn ask(
        &mut self,
        url: &str,
        service: &str,
        action: &str,
        parameters: &Value,
    ) -> Result<Value, String> {
        let addr = url.strip_prefix("http://").unwrap();
        let ask = serde_json::json!([addr, service, action, parameters]);
        writeln!(self.asks, "{ask}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        let said: Value =
            serde_json::from_str(&line).unwrap_or_else(|e| panic!("{action}: {line:?}: {e}"));
        match said["code"].as_str() {
            Some(code) => Err(code.to_owned()),
            None => Ok(said["answer"].clone()),
        }
    }
}

impl Drop for Sdk {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A file system in a file, unmounted when dropped. Needs root.
pub struct Volume {
    folder: tempfile::TempDir,
}

/// The least that mkfs.xfs makes is 300 MiB.
const VOLUME_BYTES: u64 = 512 << 20;

impl Volume {
    pub fn xfs() -> Self {
        Self::made("mkfs.xfs", &["-q", "-m", "reflink=1"], VOLUME_BYTES)
    }

    /// An ext4 of this many bytes.
    pub fn ext4(bytes: u64) -> Self {
        Self::made("mkfs.ext4", &["-q", "-m", "0"], bytes)
    }

    fn made(mkfs: &str, args: &[&str], bytes: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("volume");
        let at = folder.path().join("at");
        std::fs::create_dir(&at).unwrap();
        let file = std::fs::File::create(&image).unwrap();
        file.set_len(bytes).unwrap();
        let run = |program: &str, args: &[&std::ffi::OsStr]| {
            let out = Command::new(program).args(args).output().unwrap();
            assert!(out.status.success(), "{program}: {out:?}");
        };
        let mut all: Vec<&std::ffi::OsStr> = args.iter().map(|a| (*a).as_ref()).collect();
        all.push(image.as_ref());
        run(mkfs, &all);
        run(
            "mount",
            &["-o".as_ref(), "loop".as_ref(), image.as_ref(), at.as_ref()],
        );
        Self { folder }
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("at")
    }

    /// Mounts it anew with this option, e.g. `ro`.
    pub fn remount(&self, option: &str) {
        let out = Command::new("mount")
            .args(["-o", &format!("remount,{option}")])
            .arg(self.path())
            .output()
            .unwrap();
        assert!(out.status.success(), "remount {option}: {out:?}");
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        // Lazily: a guest of a test that failed may still be there.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

/// The line that `sha256sum` prints for this content on its stdin.
pub fn sha256_line(path: &Path) -> String {
    let out = Command::new("sha256sum")
        .stdin(std::fs::File::open(path).unwrap())
        .output()
        .unwrap();
    String::from_utf8(out.stdout).unwrap().trim_end().to_owned()
}
