//! A conversation with a machine's monitor.

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, ErrorKind};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use qapi::{Any, Command, ExecuteError, Qmp, Stream};
use rustix::fs::OFlags;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use serde::Serialize;

use crate::error::{Error, Result};

/// How often a monitor that is not there yet is tried.
const TICK: Duration = Duration::from_millis(10);

/// Events that this version of the library does not know may come between a
/// command and its answer; more than this is no monitor.
const STRANGE_MAX: u32 = 64;

/// A command whose arguments, and answer, are JSON: for what has too many forms
/// in too many versions of QEMU to be worth a type.
macro_rules! commands {
    ($($type:ident = $name:literal,)*) => {
        $(
            #[derive(Serialize)]
            #[serde(transparent)]
            pub(crate) struct $type(pub Any);

            impl Command for $type {
                type Ok = Any;
                const NAME: &'static str = $name;
                const ALLOW_OOB: bool = false;
            }
        )*
    };
}

commands! {
    BlockdevAdd = "blockdev-add",
    BlockdevReopen = "blockdev-reopen",
    DeviceAdd = "device_add",
    QueryBlock = "query-block",
    QueryNamedBlockNodes = "query-named-block-nodes",
    QueryPci = "query-pci",
}

/// A connection to the monitor of one machine.
pub(crate) struct Monitor {
    qmp: Qmp<Stream<BufReader<UnixStream>, UnixStream>>,
    id: String,
    pid: u32,
}

impl Monitor {
    /// Connects to the socket `name` in the run folder of machine `id`, whose
    /// process is `pid`, and waits for its greeting. Each answer after that may
    /// take `patience` again.
    ///
    /// # Errors
    /// [`Error::Unanswered`].
    pub(crate) fn connect(
        folder: &Path,
        name: &str,
        id: &str,
        pid: u32,
        patience: Duration,
    ) -> Result<Self> {
        let until = Instant::now() + patience;
        let silent = |why: String| Error::Unanswered {
            id: id.to_owned(),
            pid,
            why,
        };
        let socket = loop {
            match connect(folder, name) {
                Ok(socket) => break socket,
                Err(_) if Instant::now() < until => std::thread::sleep(TICK),
                Err(e) => return Err(silent(format!("its monitor cannot be reached: {e}"))),
            }
        };
        let failed = |e: std::io::Error| silent(format!("its monitor did not greet: {e}"));
        socket.set_nonblocking(false).map_err(failed)?;
        socket.set_write_timeout(Some(patience)).map_err(failed)?;
        let left = until.saturating_duration_since(Instant::now());
        socket
            .set_read_timeout(Some(left.max(TICK)))
            .map_err(failed)?;
        let reader = BufReader::new(socket.try_clone().map_err(failed)?);
        let mut qmp = Qmp::new(Stream::new(reader, socket));
        // The library panics when the monitor closes without a greeting.
        if qmp.inner_mut().fill_buf().map_err(failed)?.is_empty() {
            return Err(failed(ErrorKind::UnexpectedEof.into()));
        }
        qmp.handshake().map_err(|e| failed(e.into()))?;
        qmp.inner()
            .get_ref_write()
            .set_read_timeout(Some(patience))
            .map_err(failed)?;
        Ok(Self {
            qmp,
            id: id.to_owned(),
            pid,
        })
    }

    /// Runs a command; `what` fits "failed to WHAT the machine".
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Unanswered`].
    pub(crate) fn run<C: Command>(&mut self, what: &'static str, command: &C) -> Result<C::Ok> {
        let mut answer = self.qmp.execute(command);
        for _ in 0..STRANGE_MAX {
            match answer {
                // A line that is no answer, and no event that is known.
                Err(ExecuteError::Io(e)) if e.kind() == ErrorKind::InvalidData => {
                    answer = self.qmp.read_response::<C>();
                }
                _ => break,
            }
        }
        // Nobody waits for events: what they tell can be asked as well, also
        // after a crash that lost them.
        drop(self.qmp.events());
        answer.map_err(|e| match e {
            ExecuteError::Qapi(e) => Error::Refused {
                id: self.id.clone(),
                what,
                why: e.desc,
            },
            ExecuteError::Io(e) => Error::Unanswered {
                id: self.id.clone(),
                pid: self.pid,
                why: format!("{}: {e}", C::NAME),
            },
        })
    }
}

/// Connects without waiting. The path may be longer than the 107 bytes that an
/// address can hold, so it goes by a handle of the folder.
fn connect(folder: &Path, name: &str) -> std::io::Result<UnixStream> {
    let folder = OpenOptions::new()
        .read(true)
        .custom_flags((OFlags::PATH | OFlags::DIRECTORY).bits().cast_signed())
        .open(folder)?;
    let address = SocketAddrUnix::new(format!("/proc/self/fd/{}/{name}", folder.as_raw_fd()))?;
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        // A monitor that has a client queues one or two more; then a blocking
        // connect would wait for ever.
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )?;
    rustix::net::connect(&socket, &address)?;
    Ok(UnixStream::from(socket))
}
