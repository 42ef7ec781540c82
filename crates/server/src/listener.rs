//! Binding, accepting, and draining.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use crate::App;
use crate::dispatch::{Dispatch, Peer};

/// How many connections there may be: with the store, the disks and the logs
/// they fit into the usual limit of 1024 open files. More wait in the backlog.
const CONNECTIONS_MAX: usize = 800;
/// How many connections may wait to be accepted.
const BACKLOG: u32 = 1024;
/// How long the head of a request may take, and how long a connection may be
/// idle. Clients reuse connections for longer than most other servers keep
/// them, so they cope with its end.
const HEAD_WAIT: Duration = Duration::from_secs(30);
/// How large a head may be: twice the longest query of a vendor's call, which
/// is 64 KB.
const HEAD_BYTES_MAX: usize = 128 << 10;
/// How long a TLS handshake may take.
const HANDSHAKE_WAIT: Duration = Duration::from_secs(10);
/// How long to wait when no connection can be accepted, e.g. because there are
/// too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where to listen.
#[derive(Clone, Debug)]
pub struct Config {
    /// The plain listener; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The TLS listener.
    pub tls: Option<Tls>,
    /// How long requests in flight may take to finish when the server stops.
    pub drain: Duration,
}

/// A TLS listener.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Where.
    pub listen: SocketAddr,
    /// The certificate and its chain, as PEM.
    pub cert: PathBuf,
    /// Its key, as PEM.
    pub key: PathBuf,
}

/// Why the server cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is taken, not ours, or not allowed.
    #[error("listen on {address}: {source}; choose another address or stop what uses it")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The certificate or the key cannot be used.
    #[error("use {what} {}: {why}", path.display())]
    Certificate {
        /// "the certificate" or "the key".
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not; never a part of the file.
        why: String,
    },
}

/// Where the server listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The plain listener.
    pub plain: SocketAddr,
    /// The TLS listener.
    pub tls: Option<SocketAddr>,
}

/// Addresses that are ours, but not yet open: a client is still refused. So
/// that what tells the address (`admin.json`) is there before the port opens.
pub struct Bound {
    plain: (TcpSocket, SocketAddr),
    tls: Option<(TcpSocket, SocketAddr, TlsAcceptor)>,
    drain: Duration,
}

impl std::fmt::Debug for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Bound").field(&self.addresses()).finish()
    }
}

impl Bound {
    /// Where the server will listen.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        Addresses {
            plain: self.plain.1,
            tls: self.tls.as_ref().map(|(_, address, _)| *address),
        }
    }

    /// Opens the ports: from now on clients are let in, and are answered by
    /// [`Server::run`]. To be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`Error::Listen`].
    pub fn open(self, app: App) -> Result<Server, Error> {
        let addresses = self.addresses();
        let (socket, address) = self.plain;
        let plain = listen(socket, address)?;
        let tls = match self.tls {
            None => None,
            Some((socket, address, acceptor)) => Some((listen(socket, address)?, acceptor)),
        };
        Ok(Server {
            addresses,
            plain,
            tls,
            drain: self.drain,
            app,
        })
    }
}

/// A server with open ports.
pub struct Server {
    addresses: Addresses,
    plain: TcpListener,
    tls: Option<(TcpListener, TlsAcceptor)>,
    drain: Duration,
    app: App,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Server").field(&self.addresses).finish()
    }
}

/// How far the server is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// It serves.
    Serving,
    /// Nothing new is accepted, what is in flight finishes.
    Draining,
    /// The deadline is over: connections are cut.
    Closing,
}

impl Server {
    /// Takes the addresses, and reads certificate and key.
    ///
    /// # Errors
    /// [`Error`].
    pub fn bind(config: &Config) -> Result<Bound, Error> {
        let tls = match &config.tls {
            None => None,
            Some(tls) => {
                let acceptor = acceptor(&tls.cert, &tls.key)?;
                let (socket, address) = bind(tls.listen)?;
                Some((socket, address, acceptor))
            }
        };
        Ok(Bound {
            plain: bind(config.listen)?,
            tls,
            drain: config.drain,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Serves until `stop` is done; then finishes what is in flight, writes the
    /// request log out and returns. Says how many connections had to be cut at
    /// the deadline.
    pub async fn run(self, stop: impl Future<Output = ()>) -> usize {
        let (phase, watch) = watch::channel(Phase::Serving);
        let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let log = self.app.log.clone();
        let shared = Arc::new(Shared {
            dispatch: Dispatch::new(self.app, watch.clone()),
            http: http(),
            room: Arc::clone(&room),
            phase: watch,
        });
        let mut loops = vec![tokio::spawn(accept(self.plain, None, Arc::clone(&shared)))];
        if let Some((listener, acceptor)) = self.tls {
            loops.push(tokio::spawn(accept(
                listener,
                Some(acceptor),
                Arc::clone(&shared),
            )));
        }
        stop.await;
        phase.send_replace(Phase::Draining);
        for accepting in loops {
            // It ends by itself at once; a panic in it has nothing to say here.
            let _ = accepting.await;
        }
        let all = u32::try_from(CONNECTIONS_MAX).unwrap_or(u32::MAX);
        let done = tokio::time::timeout(self.drain, room.acquire_many(all)).await;
        let cut = match done {
            Ok(_) => 0,
            Err(_) => CONNECTIONS_MAX - room.available_permits(),
        };
        phase.send_replace(Phase::Closing);
        if cut > 0 {
            tracing::warn!(
                connections = cut,
                "requests in flight were cut at the deadline"
            );
        }
        log.close().await;
        cut
    }
}

struct Shared {
    dispatch: Dispatch,
    http: http1::Builder,
    room: Arc<Semaphore>,
    phase: watch::Receiver<Phase>,
}

fn http() -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_WAIT)
        // How many headers there may be is left at 100: to say so would cost an
        // allocation for each request.
        // Not `pipeline_flush`: with it the refusal of a malformed head is never
        // sent (hyper 1.12).
        .max_buf_size(HEAD_BYTES_MAX);
    http
}

fn bind(address: SocketAddr) -> Result<(TcpSocket, SocketAddr), Error> {
    let failed = |source| Error::Listen { address, source };
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }
    .map_err(failed)?;
    // So that a restart need not wait for old connections to be forgotten.
    socket.set_reuseaddr(true).map_err(failed)?;
    socket.bind(address).map_err(failed)?;
    let bound = socket.local_addr().map_err(failed)?;
    Ok((socket, bound))
}

fn listen(socket: TcpSocket, address: SocketAddr) -> Result<TcpListener, Error> {
    socket
        .listen(BACKLOG)
        .map_err(|source| Error::Listen { address, source })
}

fn acceptor(cert: &Path, key: &Path) -> Result<TlsAcceptor, Error> {
    let unusable = |what, path: &Path, why: String| Error::Certificate {
        what,
        path: path.to_owned(),
        why,
    };
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| unusable("the certificate", cert, e.to_string()))?;
    if chain.is_empty() {
        return Err(unusable(
            "the certificate",
            cert,
            "there is none in it, give a PEM file".into(),
        ));
    }
    let secret =
        PrivateKeyDer::from_pem_file(key).map_err(|e| unusable("the key", key, e.to_string()))?;
    // The provider is named: another crate may have switched one on, too.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|e| unusable("the certificate", cert, e.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(|e| unusable("the key", key, e.to_string()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    let mut phase = shared.phase.clone();
    let mut failing = false;
    loop {
        let next = async {
            let permit = Arc::clone(&shared.room).acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            biased;
            _ = phase.wait_for(|p| *p > Phase::Serving) => return,
            next = next => next,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(e) => {
                // One line for a row of failures.
                if !failing {
                    tracing::warn!(error = %e, "a connection could not be accepted");
                }
                failing = true;
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        failing = false;
        let shared = Arc::clone(&shared);
        let tls = tls.clone();
        tokio::spawn(async move {
            connection(stream, address, tls, &shared).await;
            // Given back when the connection is closed, for run() to see.
            drop(permit);
        });
    }
}

async fn connection(
    stream: TcpStream,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
    shared: &Arc<Shared>,
) {
    // Answers are written whole; waiting for more would only delay them. A
    // socket that refuses this is closed already, which reading will tell.
    let _ = stream.set_nodelay(true);
    let peer = Peer {
        ip: address.ip().to_canonical(),
        tls: tls.is_some(),
    };
    match tls {
        None => serve(stream, peer, shared).await,
        Some(acceptor) => {
            let mut phase = shared.phase.clone();
            let handshake = tokio::time::timeout(HANDSHAKE_WAIT, acceptor.accept(stream));
            let stream = tokio::select! {
                _ = phase.wait_for(|p| *p > Phase::Serving) => return,
                done = handshake => done,
            };
            // A client that cannot agree on TLS is told so by TLS itself.
            if let Ok(Ok(stream)) = stream {
                serve(stream, peer, shared).await;
            }
        }
    }
}

async fn serve<IO>(io: IO, peer: Peer, shared: &Arc<Shared>)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let called = Arc::new(AtomicBool::new(false));
    let service = service_fn({
        let shared = Arc::clone(shared);
        let called = Arc::clone(&called);
        move |request| {
            let shared = Arc::clone(&shared);
            called.store(true, Ordering::Relaxed);
            async move { Ok::<_, Infallible>(shared.dispatch.answer(request, peer).await) }
        }
    });
    let mut phase = shared.phase.clone();
    let connection = shared.http.serve_connection(TokioIo::new(io), service);
    tokio::pin!(connection);
    tokio::select! {
        biased;
        // What went wrong is between the client and its network: a reset, a
        // head that is too large (answered by hyper), a time-out.
        _ = connection.as_mut() => return,
        _ = phase.wait_for(|p| *p > Phase::Serving) => {}
    }
    if !called.load(Ordering::Relaxed) {
        // It never asked for anything: there is nothing to finish.
        return;
    }
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        _ = connection => {}
        _ = phase.wait_for(|p| *p == Phase::Closing) => {}
    }
}
