//! The load: blocking keep-alive connections, several to a thread, each with
//! one request under way. It does as little as it can, because it shares the
//! processors with what it measures.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use memchr::memmem;

/// How many threads make load.
const THREADS: usize = 2;
/// How long one answer may take.
const ANSWER_WAIT: Duration = Duration::from_secs(30);
/// How large an answer may be.
const ANSWER_MAX: usize = 1 << 20;

/// A request, ready to be written.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) request: Vec<u8>,
    /// What an answer must not have in it.
    pub(crate) never: &'static str,
}

/// One answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

/// What a load saw.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// Answers a second.
    pub(crate) rate: f64,
    /// What all but one of a hundred answers took at most, in microseconds, from
    /// before the request was written until the answer was read.
    pub(crate) p99_us: f64,
}

/// Sends requests for as long as `long` and returns the answers a second.
pub(crate) fn rate(target: &Target, connections: usize, long: Duration) -> anyhow::Result<f64> {
    Ok(measure(target, connections, long)?.rate)
}

/// Sends requests for as long as `long`.
pub(crate) fn measure(target: &Target, connections: usize, long: Duration) -> anyhow::Result<Seen> {
    let each = connections.div_ceil(THREADS);
    let threads = connections.div_ceil(each);
    let began = Instant::now();
    let mut took = std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads)
            .map(|_| scope.spawn(|| one_thread(target, each, began + long)))
            .collect();
        all.into_iter()
            .map(|thread| match thread.join() {
                Ok(took) => took,
                Err(_) => bail!("make load: a thread panicked"),
            })
            .collect::<anyhow::Result<Vec<Vec<u32>>>>()
    })?
    .concat();
    let rate = took.len() as f64 / began.elapsed().as_secs_f64();
    let at = took.len() * 99 / 100;
    let p99_us = if took.is_empty() {
        f64::NAN
    } else {
        f64::from(*took.select_nth_unstable(at).1)
    };
    Ok(Seen { rate, p99_us })
}

/// One request, for a look at its answer.
pub(crate) fn once(target: &Target) -> anyhow::Result<Answer> {
    let mut connection = Connection::open(target.address)?;
    connection.send(&target.request)?;
    let (head, body) = connection.answer()?;
    Ok(Answer {
        head: String::from_utf8_lossy(&connection.buffer[..head]).into_owned(),
        body: connection.buffer[head..head + body].to_vec(),
    })
}

/// One client, which sends one request after another over one connection.
pub(crate) struct Client(Connection);

impl Client {
    pub(crate) fn open(address: SocketAddr) -> anyhow::Result<Self> {
        Connection::open(address).map(Self)
    }

    /// The body of the answer, and how long it took, from before the request was
    /// written until the answer was read.
    pub(crate) fn call(&mut self, request: &[u8]) -> anyhow::Result<(&[u8], Duration)> {
        let Self(connection) = self;
        connection.used = 0;
        connection.send(request)?;
        let (head, body) = connection.answer()?;
        let took = connection.sent.elapsed();
        let answer = &connection.buffer[..head + body];
        if !is_success(answer) || connection.closes {
            bail!("call: {}", String::from_utf8_lossy(answer));
        }
        Ok((&answer[head..], took))
    }
}

/// Makes load until `end`; returns what each answer took, in microseconds.
fn one_thread(target: &Target, connections: usize, end: Instant) -> anyhow::Result<Vec<u32>> {
    let never = memmem::Finder::new(target.never);
    let mut all = (0..connections)
        .map(|_| Connection::open(target.address))
        .collect::<anyhow::Result<Vec<_>>>()?;
    for connection in &mut all {
        connection.send(&target.request)?;
    }
    let mut took = Vec::new();
    loop {
        let going_on = Instant::now() < end;
        for connection in &mut all {
            let (head, body) = connection.answer()?;
            let answer = &connection.buffer[..head + body];
            if !is_success(answer) || never.find(&answer[head..]).is_some() {
                bail!(
                    "make load: an answer is not as it should be: {}",
                    String::from_utf8_lossy(&answer[..answer.len().min(500)])
                );
            }
            if !going_on {
                // What is still on its way is not counted.
                continue;
            }
            let us = connection.sent.elapsed().as_micros();
            took.push(u32::try_from(us).unwrap_or(u32::MAX));
            if connection.closes {
                *connection = Connection::open(target.address)?;
            } else {
                connection.used = 0;
            }
            connection.send(&target.request)?;
        }
        if !going_on {
            return Ok(took);
        }
    }
}

fn is_success(answer: &[u8]) -> bool {
    answer.get(8..13) == Some(b" 200 ")
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    used: usize,
    closes: bool,
    /// When the last request was.
    sent: Instant,
}

impl Connection {
    fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).context("connect to a child")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_WAIT))?;
        Ok(Self {
            stream,
            buffer: vec![0; 64 << 10],
            used: 0,
            closes: false,
            sent: Instant::now(),
        })
    }

    fn send(&mut self, request: &[u8]) -> anyhow::Result<()> {
        self.sent = Instant::now();
        self.stream.write_all(request).context("send a request")
    }

    /// Reads one answer; returns the lengths of its head and body.
    fn answer(&mut self) -> anyhow::Result<(usize, usize)> {
        let mut head = None;
        loop {
            if head.is_none()
                && let Some(at) = memmem::find(&self.buffer[..self.used], b"\r\n\r\n")
            {
                let (length, closes) = read_head(&self.buffer[..at])?;
                self.closes = closes;
                head = Some((at + 4, length));
            }
            if let Some((start, Some(length))) = head
                && self.used >= start + length
            {
                if self.used > start + length {
                    bail!("read an answer: more came than was said");
                }
                return Ok((start, length));
            }
            if self.used == self.buffer.len() {
                if self.used >= ANSWER_MAX {
                    bail!("read an answer: it is larger than {ANSWER_MAX} bytes");
                }
                self.buffer.resize(self.used * 2, 0);
            }
            match self.stream.read(&mut self.buffer[self.used..]) {
                Ok(0) => match head {
                    Some((start, None)) => return Ok((start, self.used - start)),
                    _ => bail!("read an answer: the connection was closed before its end"),
                },
                Ok(read) => self.used += read,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e).context("read an answer"),
            }
        }
    }
}

/// The length of the body, when it is said, and whether the connection ends
/// with it.
fn read_head(head: &[u8]) -> anyhow::Result<(Option<usize>, bool)> {
    let mut length = None;
    let mut closes = head.starts_with(b"HTTP/1.0");
    for line in head.split(|b| *b == b'\n').skip(1) {
        let Some(colon) = memchr::memchr(b':', line) else {
            continue;
        };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            let text = std::str::from_utf8(value).unwrap_or_default();
            length = Some(text.parse().context("read Content-Length")?);
        } else if name.eq_ignore_ascii_case(b"connection") {
            closes = value.eq_ignore_ascii_case(b"close");
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            bail!("read an answer: it comes in chunks");
        }
    }
    if length.is_none() && !closes {
        bail!("read an answer: its length is not said");
    }
    Ok((length, closes))
}
