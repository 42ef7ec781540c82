//! A gateway of one's own, backends whose every step a test decides, and a
//! client that sends just the bytes it is told to.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use backout_core::fence::Fence;
use backout_gateway::{Backend, Client, Desired, Drained, Error, Host, Settings, Status};
use backout_shim::{Shim, State};

/// Far more than anything here takes.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A port that is free now, below those that the kernel hands out: nobody gets
/// it by chance meanwhile.
pub fn free_port() -> u16 {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let start = std::process::id() as usize * 37;
    loop {
        let n = NEXT.fetch_add(1, Ordering::SeqCst);
        let port = u16::try_from(12_000 + (start + n) % 20_000).unwrap();
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

pub fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// A gateway with one listener, which ends with the test.
pub struct Gate {
    runtime: tokio::runtime::Runtime,
    pub place: tempfile::TempDir,
    pub client: Client,
    pub address: SocketAddr,
    generation: AtomicUsize,
    settings: Settings,
}

impl Gate {
    pub fn new() -> Self {
        Self::with(Settings::default())
    }

    pub fn with(settings: Settings) -> Self {
        let place = tempfile::tempdir().unwrap();
        let dir = place.path().join("gate");
        Self::build(place, &dir, settings)
    }

    pub fn at(dir: &Path) -> Self {
        Self::build(tempfile::tempdir().unwrap(), dir, Settings::default())
    }

    fn build(place: tempfile::TempDir, dir: &Path, mut settings: Settings) -> Self {
        settings.threads = 2;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let client = Client::new(dir).unwrap();
        let this = Self {
            runtime,
            client,
            address: local(free_port()),
            place,
            generation: AtomicUsize::new(0),
            settings,
        };
        this.start().unwrap();
        this
    }

    pub fn start(&self) -> Result<Status, Error> {
        self.start_with(&self.settings)
    }

    pub fn start_with(&self, settings: &Settings) -> Result<Status, Error> {
        let program = PathBuf::from(env!("CARGO_BIN_EXE_backout-gateway"));
        let host = Host {
            shim: Shim {
                program,
                args: vec!["shim".into()],
            },
            ..Host::own(&[], &["gateway", "--dir"])
        };
        let start = self.client.ensure_running(&host, settings);
        self.runtime.block_on(start)
    }

    pub fn apply(&self, desired: &Desired) -> Result<Status, Error> {
        self.runtime.block_on(self.client.apply(desired))
    }

    /// The next generation, with these backends.
    pub fn desired(&self, backends: Vec<Backend>) -> Desired {
        let generation = self.generation.fetch_add(1, Ordering::SeqCst) + 1;
        Desired {
            fence: Fence(1),
            generation: generation as u64,
            listen: vec![self.address],
            backends,
        }
    }

    pub fn edit(&self, fence: i64, change: impl Fn(&mut Desired)) -> Result<Status, Error> {
        self.runtime
            .block_on(self.client.edit(Fence(fence), change))
    }

    pub fn set(&self, backends: Vec<Backend>) -> Status {
        self.apply(&self.desired(backends)).unwrap()
    }

    pub fn status(&self) -> Status {
        self.runtime.block_on(self.client.status()).unwrap()
    }

    pub fn ask_status(&self) -> Result<Status, Error> {
        self.runtime.block_on(self.client.status())
    }

    pub fn told(&self) -> Desired {
        self.runtime.block_on(self.client.desired()).unwrap()
    }

    pub fn wait_drained(&self, ids: &[&str], patience: Duration) -> Drained {
        let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
        self.runtime
            .block_on(self.client.wait_drained(&ids, patience))
            .unwrap()
    }

    pub fn stop(&self, patience: Duration) {
        self.runtime.block_on(self.client.stop(patience)).unwrap();
    }

    pub fn pid(&self) -> u32 {
        match self.client.look().unwrap() {
            State::On { pid, .. } => pid,
            other => unreachable!("{other:?}"),
        }
    }

    pub fn connect(&self) -> Wire {
        Wire::connect(self.address)
    }

    /// The status and the body of the answer to one request over a connection
    /// of its own.
    pub fn get(&self, target: &str) -> (u16, String) {
        self.connect().get(target)
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = self.runtime.block_on(self.client.stop(Duration::ZERO));
    }
}

/// A message as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The first line.
    pub start: String,
    /// Names in lower case.
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Message {
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut found = self.fields.iter().filter(|(n, _)| n == name);
        found.next().map(|(_, value)| value.as_str())
    }

    pub fn count(&self, name: &str) -> usize {
        self.fields.iter().filter(|(n, _)| n == name).count()
    }

    pub fn status(&self) -> u16 {
        self.start.split(' ').nth(1).unwrap().parse().unwrap()
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}

/// A connection, of a client or at a backend.
pub struct Wire {
    reader: BufReader<TcpStream>,
}

impl Wire {
    pub fn connect(to: SocketAddr) -> Self {
        Self::new(TcpStream::connect(to).unwrap())
    }

    pub fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            reader: BufReader::new(stream),
        }
    }

    pub fn stream(&self) -> &TcpStream {
        self.reader.get_ref()
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.reader.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.reader.get_mut().write_all(bytes.as_ref())
    }

    /// A head; `None` when the other side closed before it.
    pub fn head(&mut self) -> Option<Message> {
        let mut message = Message::default();
        loop {
            let mut line = String::new();
            match self.reader.read_line(&mut line) {
                Ok(0) => {
                    assert!(message.start.is_empty(), "cut: {message:?}");
                    return None;
                }
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::ConnectionReset => return None,
                Err(e) => unreachable!("{e} after {message:?}"),
            }
            let line = line.trim_end();
            if message.start.is_empty() {
                line.clone_into(&mut message.start);
            } else if line.is_empty() {
                return Some(message);
            } else {
                let (name, value) = line.split_once(':').unwrap();
                message
                    .fields
                    .push((name.to_lowercase(), value.trim().to_owned()));
            }
        }
    }

    pub fn exactly(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.reader.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// What comes until the other side closes.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self.reader.read_to_end(&mut bytes) {
            Ok(_) => {}
            Err(e) => assert_eq!(e.kind(), io::ErrorKind::ConnectionReset),
        }
        bytes
    }

    /// One chunk of a chunked body; empty at its end.
    pub fn chunk(&mut self) -> Vec<u8> {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        let count = usize::from_str_radix(line.trim_end(), 16).unwrap();
        let bytes = self.exactly(count);
        assert_eq!(self.exactly(2), b"\r\n");
        bytes
    }

    /// The body that a head says.
    pub fn body(&mut self, head: &Message) -> Vec<u8> {
        if head.field("transfer-encoding") == Some("chunked") {
            let mut body = Vec::new();
            loop {
                let chunk = self.chunk();
                if chunk.is_empty() {
                    return body;
                }
                body.extend(chunk);
            }
        }
        match head.field("content-length") {
            Some(length) => self.exactly(length.parse().unwrap()),
            None if head.start.starts_with("HTTP/") => self.rest(),
            None => Vec::new(),
        }
    }

    /// A whole message; `None` when the other side closed before it.
    pub fn message(&mut self) -> Option<Message> {
        let mut message = self.head()?;
        message.body = self.body(&message);
        Some(message)
    }

    pub fn get(&mut self, target: &str) -> (u16, String) {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n"));
        let answer = self.message().unwrap();
        (answer.status(), answer.text())
    }

    pub fn reply(&mut self, text: &str) {
        self.send(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}",
            text.len()
        ));
    }
}

/// A backend in this process: each connection is for the test to take.
pub struct Manual {
    pub listener: TcpListener,
    pub address: SocketAddr,
}

impl Manual {
    pub fn new() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        Self { listener, address }
    }

    pub fn accept(&self) -> Wire {
        Wire::new(self.listener.accept().unwrap().0)
    }
}

/// A backend in this process that answers by a function; it sees all requests.
pub struct Auto {
    pub address: SocketAddr,
    pub seen: Arc<Mutex<Vec<Message>>>,
    pub connections: Arc<AtomicUsize>,
}

impl Auto {
    /// `answer` gets each request, and the connection to answer on; when it
    /// says false, that is closed.
    pub fn new(answer: impl Fn(&Message, &mut Wire) -> bool + Send + Sync + 'static) -> Self {
        let manual = Manual::new();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(AtomicUsize::new(0));
        let this = Self {
            address: manual.address,
            seen: seen.clone(),
            connections: connections.clone(),
        };
        let answer = Arc::new(answer);
        std::thread::spawn(move || {
            loop {
                let mut wire = manual.accept();
                connections.fetch_add(1, Ordering::SeqCst);
                let (answer, seen) = (answer.clone(), seen.clone());
                std::thread::spawn(move || {
                    while let Some(message) = wire.message() {
                        seen.lock().unwrap().push(message.clone());
                        if !answer(&message, &mut wire) {
                            return;
                        }
                    }
                });
            }
        });
        this
    }

    /// Answers every request with its name.
    pub fn named(name: &'static str) -> Self {
        Self::new(move |_, wire| {
            wire.reply(name);
            true
        })
    }

    pub fn seen(&self) -> Vec<Message> {
        self.seen.lock().unwrap().clone()
    }
}

/// A backend that can be killed.
pub struct Process {
    child: Child,
    pub address: SocketAddr,
    pub log: PathBuf,
}

impl Process {
    pub fn start(gate: &Gate, name: &str) -> Self {
        let address = local(free_port());
        let log = gate.place.path().join(format!("{name}.log"));
        let child = Command::new(env!("CARGO_BIN_EXE_gateway-backend"))
            .args([&address.to_string(), name])
            .arg(&log)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        until("the backend listens", || TcpStream::connect(address).ok());
        Self {
            child,
            address,
            log,
        }
    }

    /// `SIGKILL`, and its end.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// The ids of the requests that it began with.
    pub fn ids(&self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn kill(pid: u32) {
    let status = Command::new("kill").args(["-9", &pid.to_string()]).status();
    assert!(status.unwrap().success());
}
