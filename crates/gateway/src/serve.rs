//! The process: listeners, threads, the control socket, and its end.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::Resource;
use serde::Serialize;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Mutex, Notify, Semaphore, mpsc};
use tokio::task::JoinHandle;

use crate::control::{ASK_MAX_BYTES, Ask, Op, Reply, VERSION};
use crate::error::{Error, Refusal, Result};
use crate::folder::Folder;
use crate::model::{Desired, Drained, Settings, Status, Totals};
use crate::worker::{Arrived, Counted, HANDOVER_MAX, Shared, Worker};

/// The most threads that are taken by themselves: by then the network is what
/// is full.
const THREADS_MAX: usize = 8;

/// Connections that wait to be accepted: some tenths of a second of a rush.
const BACKLOG: u32 = 4096;

/// How long nothing is accepted after that failed, which it does when there are
/// no more files: until others are closed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Questions on the control socket at one time; a product has one or two.
const ASKERS_MAX: usize = 32;

/// A silent asker is let go after this.
const ASKER_IDLE: Duration = Duration::from_secs(600);

/// Files that are open beside those of connections, and some.
const FILES_OF_OURS: u64 = 64;

/// Where the gateway of the folder `dir` lives. Returns when it was told to end
/// by `SIGTERM` or `SIGINT`, and the requests under way are answered; a second
/// signal ends them.
#[must_use]
pub fn main(dir: &Path) -> ExitCode {
    match run(dir) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            say(&format!("error: failed to {}", chain(&e)));
            ExitCode::FAILURE
        }
    }
}

/// A line for the log.
fn say(line: &str) {
    use std::io::Write as _;
    let _ = writeln!(io::stdout(), "{line}");
}

fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    text
}

fn run(dir: &Path) -> Result<()> {
    let dir = std::path::absolute(dir).map_err(|e| Error::io("find", dir, e))?;
    let folder = Folder(dir);
    folder.make()?;
    let _lock = folder.lock()?;
    let settings = folder.settings()?;
    let desired = folder.desired()?;
    let threads = match settings.threads {
        0 => std::thread::available_parallelism().map_or(1, |n| n.get().min(THREADS_MAX)),
        n => n.into(),
    };
    let shared = Arc::new(Shared::new(settings, threads, connections_max(&settings)));
    let failed = |e: io::Error| Error::io("start threads for", &folder.0, e);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    let mut workers = Vec::new();
    for number in 0..threads {
        workers.push(start_worker(number, &shared).map_err(failed)?);
    }
    runtime.block_on(serve(folder, desired, shared, workers))
}

/// How many connections there can be at one time: each has an open file, and one
/// to a backend.
fn connections_max(settings: &Settings) -> u32 {
    let mut limit = rustix::process::getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where it may not be raised, it stays.
    let _ = rustix::process::setrlimit(Resource::Nofile, limit);
    let files = rustix::process::getrlimit(Resource::Nofile).current;
    let most = files.map_or(u64::MAX, |files| files.saturating_sub(FILES_OF_OURS) / 2);
    let most = u32::try_from(most).unwrap_or(u32::MAX);
    settings.connections_max.min(most.max(1))
}

/// A thread, and the way to hand it connections.
type Carrier = (Arc<Worker>, mpsc::Sender<Arrived>);

fn start_worker(number: usize, shared: &Arc<Shared>) -> io::Result<Carrier> {
    let seed = RandomState::new().hash_one(number);
    let worker = Arc::new(Worker::new(number, shared.clone(), seed));
    let (sender, arrivals) = mpsc::channel(HANDOVER_MAX);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let run = worker.clone().run(arrivals);
    std::thread::Builder::new()
        .name(format!("carrier-{number}"))
        .spawn(move || runtime.block_on(run))?;
    Ok((worker, sender))
}

async fn serve(
    folder: Folder,
    desired: Desired,
    shared: Arc<Shared>,
    workers: Vec<Carrier>,
) -> Result<()> {
    let failed = |e: io::Error| Error::io("wait for signals of", &folder.0, e);
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut state = State {
        desired: Desired::default(),
        listeners: BTreeMap::new(),
    };
    let gateway = Arc::new(Gateway {
        folder,
        shared,
        workers,
        since_ms: now_ms(),
        state: Mutex::new(State {
            desired: Desired::default(),
            listeners: BTreeMap::new(),
        }),
    });
    gateway.shared.backends.set(&desired.backends);
    gateway.listen(&mut state, &desired.listen).await?;
    state.desired = desired;
    *gateway.state.lock().await = state;
    let socket = gateway.folder.listen()?;
    let control = tokio::spawn(control(gateway.clone(), socket));
    say(&format!(
        "process {}: the gateway serves",
        std::process::id()
    ));
    either(&mut terminate, &mut interrupt).await;
    say("it ends: no new connections");
    gateway
        .listen(&mut *gateway.state.lock().await, &[])
        .await?;
    for (worker, _) in &gateway.workers {
        worker.close();
    }
    tokio::select! {
        () = gateway.empty() => {}
        () = either(&mut terminate, &mut interrupt) => {}
    }
    control.abort();
    Ok(())
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}

/// The gateway, as it is told and asked.
struct Gateway {
    folder: Folder,
    shared: Arc<Shared>,
    workers: Vec<Carrier>,
    since_ms: u64,
    state: Mutex<State>,
}

struct State {
    desired: Desired,
    listeners: BTreeMap<SocketAddr, Listener>,
}

/// A task that accepts connections.
struct Listener {
    task: JoinHandle<()>,
    close: Arc<Notify>,
}

impl Listener {
    /// Takes what has connected already, and no more.
    async fn close(self) {
        self.close.notify_one();
        // It ends by itself, and there is nothing in it that panics.
        let _ = self.task.await;
    }
}

impl Gateway {
    /// Listens on just these addresses. When one cannot be had, nothing is
    /// changed.
    async fn listen(self: &Arc<Self>, state: &mut State, wanted: &[SocketAddr]) -> Result<()> {
        let mut new = Vec::new();
        for address in wanted {
            if !state.listeners.contains_key(address) {
                new.push((*address, bind(*address)?));
            }
        }
        for (address, socket) in new {
            let close = Arc::new(Notify::new());
            let accept = accept(self.clone(), socket, address.port(), close.clone());
            let task = tokio::spawn(accept);
            state.listeners.insert(address, Listener { task, close });
        }
        let gone = |address: &SocketAddr| !wanted.contains(address);
        for (_, listener) in state.listeners.extract_if(.., |address, _| gone(address)) {
            listener.close().await;
        }
        Ok(())
    }

    async fn apply(self: &Arc<Self>, desired: Desired) -> Result<Status> {
        desired.check()?;
        let mut state = self.state.lock().await;
        let order = |desired: &Desired| (desired.fence, desired.generation);
        let old = &state.desired;
        if order(&desired) < order(old) || (order(&desired) == order(old) && desired != *old) {
            return Err(Error::Stale {
                fence: old.fence,
                generation: old.generation,
            });
        }
        if desired != *old {
            // What cannot be done is not written down, and what is not written
            // down is not done: a port that was bound is closed again.
            let listen = old.listen.clone();
            let mut both = listen.clone();
            both.extend(desired.listen.iter().filter(|a| !listen.contains(a)));
            self.listen(&mut state, &both).await?;
            if let Err(e) = self.write_down(&desired).await {
                self.listen(&mut state, &listen).await?;
                return Err(e);
            }
            self.listen(&mut state, &desired.listen).await?;
            self.shared.backends.set(&desired.backends);
            state.desired = desired;
        }
        Ok(self.status(&state))
    }

    /// Connections are accepted while a slow disk is waited for.
    async fn write_down(&self, desired: &Desired) -> Result<()> {
        let (folder, desired) = (self.folder.clone(), desired.clone());
        let written = tokio::task::spawn_blocking(move || folder.write_desired(&desired));
        written
            .await
            .unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic()))
    }

    fn status(&self, state: &State) -> Status {
        let mut totals = Totals::default();
        for (worker, _) in &self.workers {
            worker.counts.add_to(&mut totals);
        }
        Status {
            pid: std::process::id(),
            since_ms: self.since_ms,
            fence: state.desired.fence,
            generation: state.desired.generation,
            listen: state.desired.listen.clone(),
            settings: self.shared.settings,
            connections_max: self.shared.connections_max,
            clients: self.shared.clients(),
            totals,
            backends: self.shared.backends.status(),
        }
    }

    /// Waits until no client is connected.
    async fn empty(&self) {
        self.at_most(0).await;
    }

    /// Waits until no more than so many clients are connected.
    async fn at_most(&self, count: u64) {
        loop {
            let fewer = self.shared.fewer.notified();
            tokio::pin!(fewer);
            fewer.as_mut().enable();
            if self.shared.clients() <= count {
                return;
            }
            fewer.await;
        }
    }

    async fn answer(self: &Arc<Self>, op: Op) -> Result<Value> {
        match op {
            Op::Apply { desired } => value(&self.apply(desired).await?),
            Op::Status => value(&self.status(&*self.state.lock().await)),
            Op::Desired => value(&self.state.lock().await.desired),
            Op::WaitDrained { ids, patience_ms } => {
                let patience = Duration::from_millis(patience_ms);
                let backends = &self.shared.backends;
                let left = match tokio::time::timeout(patience, backends.drained(&ids)).await {
                    Ok(()) => Vec::new(),
                    Err(_) => backends.left(&ids),
                };
                value(&Drained { left })
            }
        }
    }
}

fn value(of: &impl Serialize) -> Result<Value> {
    serde_json::to_value(of).map_err(|e| Error::BadRequest {
        why: format!("the answer cannot be written: {e}"),
    })
}

fn bind(address: SocketAddr) -> Result<TcpListener> {
    let socket = || -> io::Result<TcpListener> {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        // Connections of a predecessor that are just closing are in nobody's way.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    socket().map_err(|e| Error::Bind {
        address,
        why: match e.kind() {
            io::ErrorKind::AddrInUse => format!("{e}: see who has that port, or choose another"),
            io::ErrorKind::PermissionDenied => {
                format!("{e}: choose a port above 1023, or let the program have lower ones")
            }
            _ => format!("{e}: see whether this host has that address"),
        },
    })
}

/// Accepts connections, and hands each to the thread that has the fewest, until
/// it is told to close.
async fn accept(gateway: Arc<Gateway>, socket: TcpListener, port: u16, close: Arc<Notify>) {
    let most = u64::from(gateway.shared.connections_max);
    let one = async || {
        gateway.at_most(most - 1).await;
        socket.accept().await
    };
    loop {
        let accepted = tokio::select! {
            accepted = one() => accepted,
            () = close.notified() => break,
        };
        hand_over(&gateway, accepted, port).await;
    }
    // Those that have connected by now were not told that nobody is there.
    loop {
        let accepted = tokio::select! {
            biased;
            accepted = one() => accepted,
            () = std::future::ready(()) => return,
        };
        hand_over(&gateway, accepted, port).await;
    }
}

async fn hand_over(gateway: &Gateway, accepted: io::Result<(TcpStream, SocketAddr)>, port: u16) {
    // The thread that gets it has a reactor of its own.
    let accepted = accepted.and_then(|(stream, peer)| Ok((stream.into_std()?, peer)));
    let (stream, peer) = match accepted {
        Ok(accepted) => accepted,
        // It was closed again meanwhile, or a signal came.
        Err(e) if is_passing(&e) => return,
        Err(_) => return tokio::time::sleep(ACCEPT_PAUSE).await,
    };
    let fewest = gateway.workers.iter().min_by_key(|(w, _)| w.clients());
    if let Some((worker, arrivals)) = fewest {
        let counted = Counted::new(worker);
        let arrived = Arrived {
            stream,
            peer,
            port,
            counted,
        };
        // A thread ends only with the process.
        let _ = arrivals.send(arrived).await;
    }
}

fn is_passing(e: &io::Error) -> bool {
    matches!(
        e.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted
    )
}

/// Answers on the control socket.
async fn control(gateway: Arc<Gateway>, socket: UnixListener) {
    let askers = Arc::new(Semaphore::new(ASKERS_MAX));
    loop {
        let Ok(place) = askers.clone().acquire_owned().await else {
            return;
        };
        match socket.accept().await {
            Ok((stream, _)) => {
                let gateway = gateway.clone();
                tokio::spawn(async move {
                    // Whoever hangs up is not waiting for anything.
                    let _ = asked(&gateway, stream).await;
                    drop(place);
                });
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// Answers one asker until that hangs up.
async fn asked(gateway: &Arc<Gateway>, stream: UnixStream) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = Vec::new();
        let mut limited = (&mut reader).take(ASK_MAX_BYTES);
        let read = limited.read_until(b'\n', &mut line);
        let read = tokio::time::timeout(ASKER_IDLE, read).await??;
        if read == 0 {
            return Ok(());
        }
        let whole = line.last() == Some(&b'\n');
        let reply = match parse(&line, whole) {
            Ok(op) => gateway.answer(op).await,
            Err(e) => Err(e),
        };
        let reply = match reply {
            Ok(ok) => Reply::Ok { ok },
            Err(e) => Reply::Error {
                error: Refusal::from(e),
            },
        };
        let mut text = serde_json::to_vec(&reply)?;
        text.push(b'\n');
        writer.write_all(&text).await?;
        if !whole {
            return Ok(());
        }
    }
}

fn parse(line: &[u8], whole: bool) -> Result<Op> {
    let bad = |why: String| Error::BadRequest { why };
    if !whole {
        let why = format!("a question is a line of at most {ASK_MAX_BYTES} bytes");
        return Err(bad(why));
    }
    let ask: Ask =
        serde_json::from_slice(line).map_err(|e| bad(format!("it is no question: {e}")))?;
    if ask.v != VERSION {
        return Err(bad(format!(
            "this gateway speaks version {VERSION}, not {}: start it again with the program that asks",
            ask.v
        )));
    }
    Ok(ask.op)
}

fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        })
}
