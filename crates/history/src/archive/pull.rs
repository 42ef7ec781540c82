//! Follows a server: its binary logs are pulled over the replication protocol.
//!
//! Two threads work on it. One receives: it puts events back into the form that
//! they have in the server's file and notes when they came. The other cuts them
//! into chunks and writes. Between them is a bounded buffer.
//!
//! Where it continues is decided anew with each connection:
//!
//! | the server has | then |
//! |---|---|
//! | the file we ended in, and our last event in it | it continues behind that event |
//! | the file, with another event there | its logs were reset: a new incarnation |
//! | the file, shorter, and later ones | it lost the end of the file: a gap, the next file |
//! | only later files | they were purged while we were away: a gap, the first it has |
//! | only earlier files | its logs were reset: a new incarnation |

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mysql::prelude::Queryable;
use mysql::{Conn, OptsBuilder, SslOpts};

use super::Archive;
use super::chunk::Mark;
use super::core::{CHUNK_BYTES, Core, Run, Writing};
use super::index::Entry;
use super::locate::commit_time;
use super::scan::{Prepared, Scanner, Seen};
use super::stream::Stream;
use crate::change::{Micros, Position};
use crate::error::{Error, Result};
use crate::event::{CHECKSUM_BYTES, Checksum, FLAG_ARTIFICIAL, HEADER_BYTES, Header, Kind, MAGIC};

/// Whom to pull from.
#[derive(Clone)]
pub struct PullFrom {
    /// The host; unused with a socket.
    pub host: String,
    /// The TCP port; unused with a socket.
    pub port: u16,
    /// A unix socket, preferred when there is one.
    pub socket: Option<PathBuf>,
    /// The user: needs REPLICATION SLAVE and (to list the logs) BINLOG MONITOR.
    pub user: String,
    /// The password.
    pub password: String,
    /// The number we register with; must differ from that of every server and
    /// replica, or the server ends the other's connection.
    pub server_id: u32,
    /// How to speak TLS, over TCP.
    pub tls: Option<SslOpts>,
}

impl std::fmt::Debug for PullFrom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PullFrom")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("socket", &self.socket)
            .field("user", &self.user)
            .field("server_id", &self.server_id)
            .finish_non_exhaustive()
    }
}

/// What was received is in the archive after this long, also when it does not
/// fill a chunk: five small writes a second are little, and a second is what
/// others wait for.
const FLUSH: Duration = Duration::from_millis(200);

/// How often an idle server says that it is there: bounds how long it takes
/// until we notice that we should stop.
const HEARTBEAT: Duration = Duration::from_millis(200);

/// How long a server may be silent. Between heartbeats it may sync and scan,
/// which takes seconds on slow disks.
const SILENCE: Duration = Duration::from_secs(30);

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);

/// What may be received ahead: four chunks, so that neither thread waits for
/// the other's hiccups. One event may be more.
const AHEAD_BYTES: usize = 4 * CHUNK_BYTES;

/// While we catch up, the index is written once for so many chunks.
const CHUNKS_A_SAVE: usize = 8;

/// How much of what we have last is compared with what the server has there.
const COMPARED_BYTES: u64 = 64 << 10;

/// The format description and the start of encryption are within.
const HEAD_BYTES: u64 = 1 << 10;

/// A hole that is filled is at most as large as the text of a statement.
const HOLE_BYTES: u32 = 1 << 30;

/// The flag of an event that may be ignored.
const FLAG_IGNORABLE: u16 = 0x80;

/// A chunk with as many notes (tables, statements) is cut, so that no entry of
/// the index becomes large.
const NOTES: usize = 4096;

const UNKNOWN_XA: &str =
    "an XA transaction that was prepared before the archive began was committed";

/// Pulls until `stop` says so (then `Ok`) or something fails. Continues at the
/// exact byte where the archive ends; begins with the oldest log that the
/// server still has. Purged logs, reset logs and rotation are dealt with. Call
/// it again, after a pause, when the error [is passing](Error::is_passing).
/// `stop` is asked about every 50 ms.
///
/// # Errors
/// [`Error::Server`], [`Error::Archive`], [`Error::Damaged`].
pub fn pull(
    archive: &Archive,
    from: &PullFrom,
    clock: &(dyn Fn() -> Micros + Sync),
    stop: &dyn Fn() -> bool,
) -> Result<()> {
    let core = archive.core();
    let writing = core.begin()?;
    let mut reset = false;
    loop {
        if stop() {
            return Ok(());
        }
        match follow(core, &writing, from, reset, clock, stop)? {
            Ended::Stopped => return Ok(()),
            Ended::Reset => reset = true,
        }
    }
}

enum Ended {
    Stopped,
    /// The server has another history under the same names.
    Reset,
}

/// Where to continue.
struct Begin {
    incarnation: u32,
    file: String,
    /// The last events that we have: where they begin, and their bytes. `None`
    /// at the begin of a file.
    last: Option<(u64, Vec<u8>)>,
    /// What to say of the history before.
    gap: Option<String>,
    scanner: Scanner,
    offset: u64,
}

/// One connection's worth.
fn follow(
    core: &Core,
    writing: &Writing<'_>,
    from: &PullFrom,
    reset: bool,
    clock: &(dyn Fn() -> Micros + Sync),
    stop: &dyn Fn() -> bool,
) -> Result<Ended> {
    let mut conn = connect(from)?;
    let logs = logs(&mut conn)?;
    let end = server_end(&mut conn, &logs)?;
    let begin = begin(core, writing, &logs, reset)?;
    for set in [
        // Without it, ids of transactions come as statements.
        "SET @mariadb_slave_capability=4".to_owned(),
        // Events come as they are in the file, with a checksum or without.
        // (Each server knows the names of its family.)
        "SET @master_binlog_checksum='CRC32'".to_owned(),
        "SET @source_binlog_checksum='CRC32'".to_owned(),
        format!("SET @master_heartbeat_period={}", HEARTBEAT.as_nanos()),
        format!("SET @source_heartbeat_period={}", HEARTBEAT.as_nanos()),
    ] {
        conn.query_drop(set).map_err(server)?;
    }
    let at = begin
        .last
        .as_ref()
        .map_or(MAGIC.len() as u64, |(offset, events)| {
            sent_from(*offset, events)
        });
    tracing::debug!(file = begin.file, offset = at, "following the binary log");
    let stream = Stream::begin(conn, from, &begin.file, at)?;
    let queue = Queue::default();
    std::thread::scope(|scope| {
        let receiver = scope.spawn(|| {
            let received = receive(stream, &queue, &end, clock);
            queue.close(received);
        });
        let ended = Cutter::new(core, begin, at).run(&queue, stop);
        queue.hang_up();
        let joined = receiver.join();
        match ended {
            Err(Error::Server { .. }) if joined.is_err() => Err(Error::Server {
                why: "the server sent what the client library cannot take apart".to_owned(),
                passing: true,
            }),
            ended => ended,
        }
    })
}

fn connect(from: &PullFrom) -> Result<Conn> {
    let options = OptsBuilder::new()
        .ip_or_hostname(Some(from.host.clone()))
        .tcp_port(from.port)
        .socket(from.socket.as_ref().map(|s| s.to_string_lossy()))
        .user(Some(from.user.clone()))
        .pass(Some(from.password.clone()))
        // Else the client leaves TCP for a socket that the server names.
        .prefer_socket(false)
        .ssl_opts(from.socket.is_none().then(|| from.tls.clone()).flatten())
        .tcp_connect_timeout(Some(CONNECT))
        .read_timeout(Some(SILENCE))
        .write_timeout(Some(SILENCE));
    Conn::new(options).map_err(server)
}

pub(super) fn server(error: mysql::Error) -> Error {
    let passing = match &error {
        // A missing privilege, a wrong password; replication switched off.
        mysql::Error::MySqlError(e) => !matches!(e.code, 1044 | 1045 | 1227 | 1381 | 1698),
        _ => true,
    };
    Error::Server {
        why: error.to_string(),
        passing,
    }
}

/// The names of the server's logs and their lengths, oldest first.
fn logs(conn: &mut Conn) -> Result<Vec<(String, u64)>> {
    let rows: Vec<mysql::Row> = conn.query("SHOW BINARY LOGS").map_err(server)?;
    let logs: Vec<(String, u64)> = rows
        .into_iter()
        .filter_map(|mut row| Some((row.take_opt(0)?.ok()?, row.take_opt(1)?.ok()?)))
        .collect();
    if logs.is_empty() {
        return Err(Error::Server {
            why: "it has no binary logs; switch them on (log_bin)".to_owned(),
            passing: true,
        });
    }
    Ok(logs)
}

/// Where the server's history ends now.
fn server_end(conn: &mut Conn, logs: &[(String, u64)]) -> Result<Position> {
    let row: Option<mysql::Row> = match conn.query_first("SHOW MASTER STATUS") {
        Ok(row) => row,
        // A server that names it otherwise: what was listed is as good.
        Err(mysql::Error::MySqlError(_)) => None,
        Err(error) => return Err(server(error)),
    };
    let status = row.and_then(|mut row| {
        Some(Position {
            file: row.take_opt(0)?.ok()?,
            offset: row.take_opt(1)?.ok()?,
        })
    });
    let listed = || {
        logs.last().map(|(file, offset)| Position {
            file: file.clone(),
            offset: *offset,
        })
    };
    status.or_else(listed).ok_or_else(|| Error::Server {
        why: "it does not tell where its history ends".to_owned(),
        passing: true,
    })
}

fn number(file: &str) -> u64 {
    let at = Position {
        file: file.to_owned(),
        offset: 0,
    };
    at.number()
}

/// Decides where to continue, by the table above.
fn begin(core: &Core, writing: &Writing<'_>, logs: &[(String, u64)], reset: bool) -> Result<Begin> {
    let fresh = |file: &str, incarnation, gap| Begin {
        incarnation,
        file: file.to_owned(),
        last: None,
        gap,
        scanner: Scanner::new(file, Checksum::None),
        offset: 0,
    };
    let oldest = logs.first().map_or("", |(file, _)| file.as_str());
    let Some(resumed) = core.resume(writing)? else {
        return Ok(fresh(oldest, 0, None));
    };
    let (incarnation, entry) = (resumed.incarnation, resumed.entry);
    let known = logs.iter().find(|(file, _)| *file == entry.file);
    let later = logs
        .iter()
        .find(|(file, _)| number(file) > number(&entry.file));
    let gap = match (known, later) {
        (Some((_, bytes)), _) if *bytes >= entry.end && !reset => {
            let (at, events) = last_events(&entry, &resumed.raw);
            let scanner = rebuild(core, incarnation, &entry, resumed.prepared)?;
            return Ok(Begin {
                incarnation,
                file: entry.file.clone(),
                last: Some((at, events)),
                gap: entry.notes.unknown_xa.then(|| UNKNOWN_XA.to_owned()),
                scanner,
                offset: entry.end,
            });
        }
        (Some(_), Some((next, _))) if !reset => {
            let gap = format!(
                "the server lost the end of {}, from a byte before {} on",
                entry.file, entry.end
            );
            tracing::warn!(gap, "history has a gap");
            return Ok(fresh(next, incarnation, Some(gap)));
        }
        (None, Some((next, _))) if !reset => {
            let gap = format!(
                "the server purged its logs between {}:{} and {next} before they were archived",
                entry.file, entry.end
            );
            tracing::warn!(gap, "history has a gap");
            return Ok(fresh(next, incarnation, Some(gap)));
        }
        _ => "the server's binary logs were reset".to_owned(),
    };
    tracing::warn!(gap, "history begins anew");
    Ok(fresh(oldest, incarnation.saturating_add(1), Some(gap)))
}

/// The last events of a chunk: where they begin, and their bytes. One alone may
/// be the same in another history: a server that was just reset writes the same
/// checkpoint at the same place.
fn last_events(entry: &Entry, raw: &[u8]) -> (u64, Vec<u8>) {
    let from = entry.end.saturating_sub(COMPARED_BYTES);
    let mut at = entry.end;
    for (offset, event) in super::source::events(entry.start, raw) {
        if offset >= from || offset + event.len() as u64 == entry.end {
            at = offset;
            break;
        }
    }
    let index = usize::try_from(at - entry.start).unwrap_or(usize::MAX);
    (at, raw.get(index..).unwrap_or_default().to_vec())
}

/// From where the server is asked to send, so that `last`, which begin at
/// `offset`, come again.
fn sent_from(offset: u64, last: &[u8]) -> u64 {
    // The protocol has 32 bits for the offset.
    let too_far = offset > u64::from(u32::MAX);
    // A server that is asked to begin with the start of encryption takes that,
    // which is plain in its file, for encrypted, and sends what comes of it.
    let maybe_encryption =
        offset < HEAD_BYTES && Header::read(last).is_some_and(|it| it.kind == Kind::IGNORABLE);
    if too_far || maybe_encryption {
        MAGIC.len() as u64
    } else {
        offset
    }
}

/// What the scanner knew behind a chunk: it reads the open group again.
fn rebuild(
    core: &Core,
    incarnation: u32,
    entry: &Entry,
    prepared: Vec<Prepared>,
) -> Result<Scanner> {
    let mut scanner = Scanner::new(&entry.file, entry.checksum());
    if entry.notes.open
        && let Some(start) = entry.notes.last.or(entry.notes.inside)
    {
        let from = Position {
            file: entry.file.clone(),
            offset: start,
        };
        let mut raw = Vec::new();
        core.walk(incarnation, Some(&from), |entry, _| {
            core.fetch(incarnation, entry, &mut raw)?;
            for (offset, event) in super::source::events(entry.start, &raw) {
                if offset >= start {
                    scanner.event(offset, event)?;
                }
            }
            Ok(std::ops::ControlFlow::Continue(()))
        })?;
        scanner.take_notes();
    }
    scanner.prepared = prepared;
    Ok(scanner)
}

/// What was received.
#[derive(Debug)]
enum Came {
    /// So many bytes of an event; when it came, if that tells when it happened.
    Event(usize, Option<Micros>),
    /// What follows is of this file.
    File(String),
    /// The server has nothing more at this time.
    Idle(Micros),
}

#[derive(Debug, Default)]
struct Queue {
    held: Mutex<Held>,
    /// Signals both sides.
    moved: Condvar,
}

#[derive(Debug, Default)]
struct Held {
    bytes: Vec<u8>,
    came: Vec<Came>,
    closed: Option<Result<()>>,
    hung_up: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self, how: Result<()>) {
        self.lock().closed = Some(how);
        self.moved.notify_all();
    }

    fn hang_up(&self) {
        self.lock().hung_up = true;
        self.moved.notify_all();
    }

    /// Adds; waits for room before. `None` when nobody listens; otherwise
    /// whether it had to wait.
    fn push(&self, raw: &[u8], came: Came) -> Option<bool> {
        let mut held = self.lock();
        let mut waited = false;
        while !held.hung_up && held.bytes.len() >= AHEAD_BYTES {
            waited = true;
            held = self
                .moved
                .wait(held)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if held.hung_up {
            return None;
        }
        let was_empty = held.came.is_empty();
        held.bytes.extend_from_slice(raw);
        held.came.push(came);
        if was_empty {
            self.moved.notify_all();
        }
        Some(waited)
    }

    /// Takes everything, waiting a moment for something. The buffers that are
    /// handed in are used for what comes next.
    fn take(&self, moment: Duration, into: &mut (Vec<u8>, Vec<Came>)) -> Option<Result<()>> {
        into.0.clear();
        into.1.clear();
        let mut held = self.lock();
        if held.came.is_empty() && held.closed.is_none() {
            held = self
                .moved
                .wait_timeout(held, moment)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        std::mem::swap(&mut held.bytes, &mut into.0);
        std::mem::swap(&mut held.came, &mut into.1);
        self.moved.notify_all();
        if into.1.is_empty() {
            held.closed.take()
        } else {
            None
        }
    }
}

/// Receives until the connection ends or nobody listens.
fn receive(
    mut stream: Stream,
    queue: &Queue,
    end: &Position,
    clock: &(dyn Fn() -> Micros + Sync),
) -> Result<()> {
    let mut at = Position {
        file: String::new(),
        offset: 0,
    };
    // What comes before the point where the server was when we connected came
    // late; so did what waited for us.
    let mut live = false;
    let mut late = false;
    let mut raw = Vec::new();
    while stream.next(&mut raw)? {
        let arrived = clock();
        let header = Header::read(&raw).ok_or_else(|| malformed("a header"))?;
        let came = match header.kind {
            Kind::ROTATE if header.flags & FLAG_ARTIFICIAL != 0 || header.next == 0 => {
                let (name, offset) = rotation(&raw).ok_or_else(|| malformed("a rotation"))?;
                at = Position {
                    file: name.clone(),
                    offset,
                };
                raw.clear();
                Came::File(name)
            }
            Kind::HEARTBEAT | Kind::HEARTBEAT_V2 => {
                (live, late) = (true, false);
                raw.clear();
                Came::Idle(arrived)
            }
            _ if header.flags & FLAG_ARTIFICIAL != 0 || header.next == 0 => {
                // The format description again, since we began in the middle.
                continue;
            }
            _ => {
                at.offset += raw.len() as u64;
                live |= at > *end;
                let told = (live && !late).then_some(arrived);
                Came::Event(raw.len(), told)
            }
        };
        match queue.push(&raw, came) {
            None => return Ok(()),
            Some(waited) => late |= waited,
        }
        if late && queue.lock().came.len() <= 1 {
            late = false;
        }
    }
    Err(Error::Server {
        why: "the server ended the connection".to_owned(),
        passing: true,
    })
}

/// The file that an artificial rotation names, and the offset. It may have a
/// checksum whatever the log around it has, and the client library goes by that.
fn rotation(raw: &[u8]) -> Option<(String, u64)> {
    let body = match raw.split_last_chunk() {
        Some((covered, sum)) if crc32fast::hash(covered).to_le_bytes() == *sum => covered,
        _ => raw,
    };
    let (offset, name) = body.get(HEADER_BYTES..)?.split_first_chunk()?;
    let name = std::str::from_utf8(name).ok()?;
    let sound = !name.is_empty()
        && name.len() <= 512
        && !name.contains(|c: char| c == '/' || c.is_control());
    sound.then(|| (name.to_owned(), u64::from_le_bytes(*offset)))
}

pub(super) fn malformed(what: &str) -> Error {
    Error::Server {
        why: format!("it sent {what} that is malformed"),
        passing: true,
    }
}

/// Cuts what was received into chunks.
struct Cutter<'a> {
    core: &'a Core,
    begin: Begin,
    /// What is not in a chunk yet, from byte `start` of the file on.
    raw: Vec<u8>,
    start: u64,
    marks: Vec<Mark>,
    time: Option<(Micros, Micros)>,
    /// What was prepared at `start`.
    prepared: Vec<Prepared>,
    /// Since when something waits.
    since: Option<Instant>,
    /// When what was taken in last came.
    came: Option<Micros>,
    named: bool,
    /// How far what we have was sent again.
    replayed: u64,
}

impl<'a> Cutter<'a> {
    fn new(core: &'a Core, begin: Begin, replayed: u64) -> Self {
        Self {
            core,
            start: begin.offset,
            prepared: begin.scanner.prepared.clone(),
            begin,
            raw: Vec::with_capacity(CHUNK_BYTES),
            marks: Vec::new(),
            time: None,
            since: None,
            came: None,
            named: false,
            replayed,
        }
    }

    fn run(mut self, queue: &Queue, stop: &dyn Fn() -> bool) -> Result<Ended> {
        const MOMENT: Duration = Duration::from_millis(50);
        let mut got = (Vec::new(), Vec::new());
        loop {
            let closed = queue.take(MOMENT, &mut got);
            let mut rest = got.0.as_slice();
            let mut idle = None;
            for came in &got.1 {
                match came {
                    Came::Event(bytes, clock) => {
                        let Some((raw, more)) = rest.split_at_checked(*bytes) else {
                            break;
                        };
                        rest = more;
                        idle = None;
                        if let Some(ended) = self.event(raw, *clock)? {
                            return Ok(ended);
                        }
                    }
                    Came::File(name) => {
                        if let Some(ended) = self.file(name)? {
                            return Ok(ended);
                        }
                    }
                    Came::Idle(clock) => idle = Some(*clock),
                }
            }
            let hurry = self.core.hurry.swap(false, Ordering::AcqRel);
            let stopping = stop();
            let due = self.since.is_some_and(|since| since.elapsed() >= FLUSH);
            if due || hurry || stopping || closed.is_some() || idle.is_some() {
                self.flush()?;
                self.core.save()?;
                if let Some(clock) = idle.or(self.came.take()) {
                    self.core.caught_up.store(clock.0, Ordering::Release);
                }
            }
            if stopping {
                return Ok(Ended::Stopped);
            }
            if let Some(closed) = closed {
                closed?;
            }
        }
    }

    /// What follows is of this file.
    fn file(&mut self, name: &str) -> Result<Option<Ended>> {
        if !self.named {
            // The first thing that is said: where we asked to begin.
            self.named = true;
            return if name == self.begin.file {
                Ok(None)
            } else {
                Err(Error::Server {
                    why: format!("it sent {name} where {} was asked for", self.begin.file),
                    passing: true,
                })
            };
        }
        if name == self.begin.file {
            return Ok(None);
        }
        if number(name) <= number(&self.begin.file) {
            self.flush()?;
            self.core.save()?;
            return Ok(Some(Ended::Reset));
        }
        self.flush()?;
        name.clone_into(&mut self.begin.file);
        self.begin.scanner.turn_over(name);
        self.begin.offset = 0;
        self.start = 0;
        Ok(None)
    }

    fn event(&mut self, raw: &[u8], clock: Option<Micros>) -> Result<Option<Ended>> {
        let header = Header::read(raw).ok_or_else(|| malformed("an event"))?;
        if header.kind == Kind::START_ENCRYPTION {
            // What follows comes plain, whatever it is on the server's disk.
            let bytes = header.bytes;
            let raw = filler(&header, bytes, header.next, self.begin.scanner.checksum());
            return self.known_or_new(&raw, &header, clock);
        }
        self.known_or_new(raw, &header, clock)
    }

    /// Skips what we have already, up to the event that tells that it is the
    /// same history; takes in what is new.
    fn known_or_new(
        &mut self,
        raw: &[u8],
        header: &Header,
        clock: Option<Micros>,
    ) -> Result<Option<Ended>> {
        let Some((at, last)) = &self.begin.last else {
            return self.new_event(raw, header, clock);
        };
        if self.replayed < *at {
            // What is not sent leaves a hole here as well.
            let bytes = u32::try_from(raw.len()).unwrap_or(0);
            let begins = header.next.wrapping_sub(bytes);
            let hole = begins.wrapping_sub((self.replayed & u64::from(u32::MAX)) as u32);
            self.replayed += u64::from(hole);
            if self.replayed < *at {
                self.replayed += u64::from(bytes);
                return Ok(None);
            }
            self.replayed = *at;
        }
        let behind = usize::try_from(self.replayed - at).unwrap_or(usize::MAX);
        let ours = last.get(behind..).unwrap_or_default();
        let Some(known) = known(ours, raw) else {
            return Ok(Some(Ended::Reset));
        };
        self.replayed += known.skipped as u64;
        let is_new = known.skipped == ours.len();
        if !is_new {
            self.replayed += raw.len() as u64;
        }
        if is_new || known.skipped + raw.len() == ours.len() {
            self.begin.last = None;
        }
        if is_new {
            return self.new_event(raw, header, clock);
        }
        Ok(None)
    }

    fn new_event(
        &mut self,
        raw: &[u8],
        header: &Header,
        clock: Option<Micros>,
    ) -> Result<Option<Ended>> {
        if self.begin.offset == 0 {
            if header.kind != Kind::FORMAT_DESCRIPTION {
                return Err(malformed("a log without its first event"));
            }
            self.raw.extend_from_slice(&MAGIC);
            self.begin.offset = MAGIC.len() as u64;
        }
        self.fill(header, raw.len())?;
        let offset = self.begin.offset;
        let end = offset + raw.len() as u64;
        let full = self.raw.len() + raw.len() > CHUNK_BYTES;
        let between = self.begin.scanner.group().is_none();
        if !self.raw.is_empty()
            && ((full && between)
                || self.raw.len() + raw.len() > 2 * CHUNK_BYTES
                || self.begin.scanner.weight() > NOTES)
        {
            self.flush()?;
            if self.core.unsaved() >= CHUNKS_A_SAVE {
                self.core.save()?;
            }
        }
        let seen = self.begin.scanner.event(offset, raw)?;
        self.since.get_or_insert_with(Instant::now);
        self.raw.extend_from_slice(raw);
        self.begin.offset = end;
        self.came = clock.or(self.came);
        match seen {
            Seen::Begin => {
                if let Some(clock) = clock {
                    self.marks.push(Mark { offset, clock });
                }
                let time = commit_time(header.time_s, clock).0;
                self.time = Some(
                    self.time
                        .map_or((time, time), |(first, latest)| (first, latest.max(time))),
                );
            }
            Seen::UnknownXa => {
                self.flush()?;
                self.begin.gap = Some(UNKNOWN_XA.to_owned());
            }
            Seen::Other => {}
        }
        Ok(None)
    }

    /// Checks that the event is the one that comes next. A server that does
    /// not send some events (the texts of statements whose rows follow, the
    /// start of encryption in a file that it decrypts) leaves a hole, which is
    /// filled with an event that readers ignore, so that all positions hold.
    fn fill(&mut self, header: &Header, bytes: usize) -> Result<()> {
        let offset = self.begin.offset;
        let begins = header.next.wrapping_sub(u32::try_from(bytes).unwrap_or(0));
        let hole = begins.wrapping_sub((offset & u64::from(u32::MAX)) as u32);
        if hole == 0 {
            return Ok(());
        }
        let told = header.kind == Kind::TABLE_MAP
            || (self.encrypted_hole(offset) && hole as usize >= HEADER_BYTES);
        let crc = self.begin.scanner.checksum() == Checksum::Crc32;
        let sum = if crc { CHECKSUM_BYTES } else { 0 };
        if !told || (hole as usize) < HEADER_BYTES + sum || hole > HOLE_BYTES {
            return Err(Error::Server {
                why: format!(
                    "after byte {offset} of {} it sent an event that ends at {} and has {bytes} \
                     bytes",
                    self.begin.file, header.next,
                ),
                passing: true,
            });
        }
        let filler = filler(header, hole, begins, self.begin.scanner.checksum());
        self.begin.scanner.event(offset, &filler)?;
        self.raw.extend_from_slice(&filler);
        self.begin.offset += u64::from(hole);
        Ok(())
    }

    /// Whether only the format description of the file is here.
    fn encrypted_hole(&self, offset: u64) -> bool {
        self.start == 0 && offset == self.raw.len() as u64 && {
            let first = self.raw.get(MAGIC.len()..).and_then(Header::read);
            first.is_some_and(|first| u64::from(first.next) == offset)
        }
    }

    /// Writes what was taken in as a chunk.
    fn flush(&mut self) -> Result<()> {
        self.since = None;
        if self.raw.is_empty() {
            return Ok(());
        }
        let scanner = &mut self.begin.scanner;
        let crc = scanner.checksum() == Checksum::Crc32;
        let run = Run {
            file: &self.begin.file,
            start: self.start,
            raw: &self.raw,
            marks: &self.marks,
            crc,
            gap: self.begin.gap.take(),
            time: self.time.take(),
            notes: scanner.take_notes(),
        };
        self.core
            .append(self.begin.incarnation, run, &self.prepared)?;
        self.start = self.begin.offset;
        self.raw.clear();
        // After an event larger than a chunk.
        self.raw.shrink_to(2 * CHUNK_BYTES + HEADER_BYTES);
        self.marks.clear();
        self.prepared.clone_from(&self.begin.scanner.prepared);
        Ok(())
    }
}

/// An event that readers ignore.
fn filler(like: &Header, bytes: u32, next: u32, checksum: Checksum) -> Vec<u8> {
    let sum = if checksum == Checksum::Crc32 {
        CHECKSUM_BYTES
    } else {
        0
    };
    let mut filler = Vec::with_capacity(bytes as usize);
    filler.extend_from_slice(&like.time_s.to_le_bytes());
    filler.push(Kind::IGNORABLE.0);
    filler.extend_from_slice(&like.server.to_le_bytes());
    filler.extend_from_slice(&bytes.to_le_bytes());
    filler.extend_from_slice(&next.to_le_bytes());
    filler.extend_from_slice(&FLAG_IGNORABLE.to_le_bytes());
    filler.resize((bytes as usize).saturating_sub(sum), 0);
    if sum > 0 {
        let crc = crc32fast::hash(&filler);
        filler.extend_from_slice(&crc.to_le_bytes());
    }
    filler
}

/// An event that we have.
struct Known {
    /// What of ours comes before it and is not sent this time.
    skipped: usize,
}

/// Finds `raw` in what we have; `None` when that is another history. The texts
/// of statements may be there on one side and filled on the other. All of ours
/// is skipped when `raw` comes behind it.
fn known(ours: &[u8], raw: &[u8]) -> Option<Known> {
    let header = Header::read(raw)?;
    let is_text = |kind| matches!(kind, Kind::IGNORABLE | Kind::ANNOTATE_ROWS);
    let mut skipped = 0;
    loop {
        let rest = &ours[skipped..];
        if rest.is_empty() || rest.starts_with(raw) || same_format(rest, raw) {
            return Some(Known { skipped });
        }
        let our = Header::read(rest)?;
        if !is_text(our.kind) || our.bytes as usize > rest.len() {
            return None;
        }
        if is_text(header.kind) && our.bytes == header.bytes && our.next == header.next {
            return Some(Known { skipped });
        }
        if header.next.wrapping_sub(header.bytes) < our.next {
            return None;
        }
        skipped += our.bytes as usize;
    }
}

/// Whether `ours` begins with the same format description. Sent once more, it
/// may lack the flag that the file is in use.
fn same_format(ours: &[u8], raw: &[u8]) -> bool {
    raw.get(4) == Some(&Kind::FORMAT_DESCRIPTION.0)
        && ours.get(..17) == raw.get(..17)
        && ours.get(19..raw.len()) == raw.get(19..)
}
