//! Every answer's request id, so that it can be found again.
//!
//! A folder of segments `requests-00000001.jsonl`, each line one answer as
//! JSON, appended by one thread. Lines wait in memory for a fifth of a second
//! at most, and are not synced: what a crash of the machine may lose is the
//! last moment of a log, never a change. Local to its host: of several
//! replicas each has its own.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use backout_api::native::dto::RequestLine;
use backout_api::native::{LineFuture, RequestLog as Lookup};
use backout_core::ids::RequestId;
use tokio::sync::{Notify, Semaphore, watch};

/// When a segment is closed and the next one begun.
const SEGMENT_BYTES_MAX: u64 = 64 << 20;
/// How many segments are kept: half a gigabyte is about two million answers.
const SEGMENTS_MAX: usize = 8;
/// For how long lines wait to be written together.
const FLUSH_EVERY: Duration = Duration::from_millis(200);
/// How many bytes of lines are written at once when they come faster.
const FLUSH_BYTES: usize = 256 << 10;
/// How many bytes of lines may wait; beyond, answers wait.
const WAITING_BYTES_MAX: usize = 4 << 20;
/// For how long a disk that refuses lines is waited for. After it they are
/// lost: to take something back matters more on a full disk than this log.
const GIVE_UP_AFTER: Duration = Duration::from_secs(5);
/// Between two tries.
const RETRY_EVERY: Duration = Duration::from_millis(200);
/// How many searches run at once: each reads up to half a gigabyte.
const SEARCHES_MAX: usize = 2;
/// How long a search waits for lines that are still in memory.
const SETTLE_WAIT: Duration = Duration::from_secs(2);

const PREFIX: &str = "requests-";
const SUFFIX: &str = ".jsonl";

/// Why the log cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("open the request log in {}: {source}; make the folder, or give Backout the right to write there", folder.display())]
pub struct LogError {
    folder: PathBuf,
    source: io::Error,
}

/// The request log. Cheap to clone.
#[derive(Clone)]
pub struct RequestLog {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for RequestLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RequestLog")
            .field("folder", &self.inner.folder)
            .finish_non_exhaustive()
    }
}

struct Inner {
    folder: PathBuf,
    waiting: Mutex<Waiting>,
    /// Told when there is something to do.
    work: Condvar,
    /// Told when there is room again.
    room: Notify,
    /// How many bytes have been written, or given up.
    settled: watch::Sender<u64>,
    searches: Semaphore,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Waiting {
    lines: Vec<u8>,
    /// How many bytes were ever taken in.
    taken: u64,
    at_once: bool,
    closing: bool,
}

/// The numbers that tests make smaller.
#[derive(Clone, Copy)]
struct Limits {
    segment_bytes: u64,
    segments: usize,
}

impl RequestLog {
    /// Opens, and makes when missing, the log in `folder`.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn open(folder: &Path) -> Result<Self, LogError> {
        let limits = Limits {
            segment_bytes: SEGMENT_BYTES_MAX,
            segments: SEGMENTS_MAX,
        };
        Self::open_with(folder, limits).map_err(|source| LogError {
            folder: folder.to_owned(),
            source,
        })
    }

    fn open_with(folder: &Path, limits: Limits) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let mut writer = Writer::open(folder, limits)?;
        let inner = Arc::new(Inner {
            folder: folder.to_owned(),
            waiting: Mutex::default(),
            work: Condvar::new(),
            room: Notify::new(),
            settled: watch::Sender::new(0),
            searches: Semaphore::new(SEARCHES_MAX),
            thread: Mutex::new(None),
        });
        let shared = Arc::clone(&inner);
        let thread = std::thread::Builder::new()
            .name("request-log".into())
            .spawn(move || shared.write_all(&mut writer))?;
        *lock(&inner.thread) = Some(thread);
        Ok(Self { inner })
    }

    /// Takes a line in; waits when too many are waiting to be written.
    pub(crate) async fn append(&self, line: &RequestLine) {
        let mut text = Vec::with_capacity(256);
        if let Err(e) = serde_json::to_writer(&mut text, line) {
            // Cannot be: it is a flat object of texts and numbers.
            tracing::error!(error = %e, "a line of the request log could not be written as JSON");
            return;
        }
        text.push(b'\n');
        loop {
            if self.inner.take_in(&text) {
                return;
            }
            let room = self.inner.room.notified();
            tokio::pin!(room);
            // Registered before the second look, so that no call is missed.
            room.as_mut().enable();
            if self.inner.take_in(&text) {
                return;
            }
            room.await;
        }
    }

    /// Writes out what is waiting and stops. Lines that come later are lost.
    pub async fn close(&self) {
        lock(&self.inner.waiting).closing = true;
        self.inner.work.notify_all();
        let thread = lock(&self.inner.thread).take();
        if let Some(thread) = thread {
            let joined = tokio::task::spawn_blocking(move || thread.join()).await;
            if !matches!(joined, Ok(Ok(()))) {
                tracing::error!("the thread of the request log panicked");
            }
        }
    }

    /// Waits until what was taken in so far is in the files.
    async fn settle(&self) {
        let target = {
            let mut waiting = lock(&self.inner.waiting);
            waiting.at_once = true;
            waiting.taken
        };
        self.inner.work.notify_all();
        let mut settled = self.inner.settled.subscribe();
        // When it takes too long, the search sees what there is.
        let _ = tokio::time::timeout(SETTLE_WAIT, settled.wait_for(|bytes| *bytes >= target)).await;
    }
}

impl Lookup for RequestLog {
    fn find<'a>(&'a self, request: &'a RequestId) -> LineFuture<'a> {
        Box::pin(async move {
            let _permit = self
                .inner
                .searches
                .acquire()
                .await
                .map_err(|e| e.to_string())?;
            self.settle().await;
            let (folder, id) = (self.inner.folder.clone(), request.0.clone());
            tokio::task::spawn_blocking(move || search(&folder, &id))
                .await
                .map_err(|e| e.to_string())?
                .map_err(|e| e.to_string())
        })
    }
}

impl Inner {
    /// False when there is no room.
    fn take_in(&self, line: &[u8]) -> bool {
        let mut waiting = lock(&self.waiting);
        if waiting.closing {
            return true;
        }
        if waiting.lines.len() + line.len() > WAITING_BYTES_MAX {
            return false;
        }
        let was = waiting.lines.len();
        waiting.lines.extend_from_slice(line);
        waiting.taken += line.len() as u64;
        let now = waiting.lines.len();
        drop(waiting);
        // Otherwise the thread is awake, or has set its alarm.
        if was == 0 || (was < FLUSH_BYTES && now >= FLUSH_BYTES) {
            self.work.notify_one();
        }
        true
    }

    fn write_all(&self, writer: &mut Writer) {
        let mut chunk = Vec::new();
        loop {
            let closing = self.next_chunk(&mut chunk);
            self.room.notify_waiters();
            if !chunk.is_empty() {
                self.write_chunk(writer, &chunk);
            }
            self.settled
                .send_modify(|bytes| *bytes += chunk.len() as u64);
            if closing && chunk.is_empty() {
                return;
            }
            chunk.clear();
        }
    }

    /// Waits for lines and takes them. Says whether the log is being closed.
    fn next_chunk(&self, chunk: &mut Vec<u8>) -> bool {
        let mut waiting = lock(&self.waiting);
        while waiting.lines.is_empty() && !waiting.closing {
            // Nothing waits, so nobody needs it at once.
            waiting.at_once = false;
            waiting = self
                .work
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let until = Instant::now() + FLUSH_EVERY;
        while waiting.lines.len() < FLUSH_BYTES && !waiting.at_once && !waiting.closing {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            waiting = self
                .work
                .wait_timeout(waiting, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        waiting.at_once = false;
        std::mem::swap(chunk, &mut waiting.lines);
        waiting.closing
    }

    fn write_chunk(&self, writer: &mut Writer, chunk: &[u8]) {
        let began = Instant::now();
        let mut failed = false;
        loop {
            let Err(e) = writer.write(chunk) else {
                return;
            };
            if !failed {
                tracing::error!(
                    folder = %self.folder.display(),
                    error = %e,
                    "the request log cannot be written; make room"
                );
            }
            failed = true;
            if began.elapsed() >= GIVE_UP_AFTER {
                tracing::error!(
                    bytes = chunk.len(),
                    "lines of the request log are lost: its disk refuses them"
                );
                return;
            }
            std::thread::sleep(RETRY_EVERY);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The one who appends.
struct Writer {
    folder: PathBuf,
    limits: Limits,
    number: u64,
    file: File,
    bytes: u64,
}

impl Writer {
    fn open(folder: &Path, limits: Limits) -> io::Result<Self> {
        let newest = segments(folder)?.last().map_or(1, |(number, _)| *number);
        let mut file = create(folder, newest)?;
        // A crash may have left half a line.
        file.write_all(b"\n")?;
        let bytes = file.metadata()?.len();
        let writer = Self {
            folder: folder.to_owned(),
            limits,
            number: newest,
            file,
            bytes,
        };
        writer.remove_old()?;
        Ok(writer)
    }

    fn write(&mut self, chunk: &[u8]) -> io::Result<()> {
        if self.bytes >= self.limits.segment_bytes {
            self.turn()?;
        }
        match self.file.write_all(chunk) {
            Ok(()) => {
                self.bytes += chunk.len() as u64;
                Ok(())
            }
            Err(e) => {
                // Part of it may be there, and the next try writes it all.
                self.file.set_len(self.bytes)?;
                Err(e)
            }
        }
    }

    fn turn(&mut self) -> io::Result<()> {
        self.file = create(&self.folder, self.number + 1)?;
        self.number += 1;
        self.bytes = 0;
        self.remove_old()
    }

    fn remove_old(&self) -> io::Result<()> {
        let all = segments(&self.folder)?;
        let surplus = all.len().saturating_sub(self.limits.segments);
        for (_, path) in all.iter().take(surplus) {
            std::fs::remove_file(path)?;
        }
        Ok(())
    }
}

fn create(folder: &Path, number: u64) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .open(folder.join(format!("{PREFIX}{number:08}{SUFFIX}")))
}

/// The segments, oldest first.
fn segments(folder: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let number = path
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| {
                name.strip_prefix(PREFIX)?
                    .strip_suffix(SUFFIX)?
                    .parse()
                    .ok()
            });
        if let Some(number) = number {
            all.push((number, path));
        }
    }
    all.sort_unstable();
    Ok(all)
}

/// Looks for a line, newest segment first.
fn search(folder: &Path, id: &str) -> io::Result<Option<RequestLine>> {
    let needle = format!(
        "\"request_id\":{}",
        serde_json::to_string(id).map_err(io::Error::other)?
    );
    let finder = memchr::memmem::Finder::new(&needle);
    let mut line = Vec::new();
    for (_, path) in segments(folder)?.into_iter().rev() {
        let file = match File::open(&path) {
            Ok(file) => file,
            // Removed as the oldest a moment ago.
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(e),
        };
        let mut reader = BufReader::with_capacity(256 << 10, file);
        loop {
            line.clear();
            if reader.read_until(b'\n', &mut line)? == 0 {
                break;
            }
            if finder.find(&line).is_none() {
                continue;
            }
            // A line that was cut by a crash does not decode.
            if let Ok(found) = serde_json::from_slice::<RequestLine>(&line)
                && found.request_id == id
            {
                return Ok(Some(found));
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(id: &str) -> RequestLine {
        RequestLine {
            at: "2026-01-01T00:00:00Z".into(),
            request_id: id.into(),
            account: None,
            surface: "native".into(),
            action: Some("backout:Check".into()),
            code: None,
            status: 200,
            duration_us: 12,
            peer: "127.0.0.1".into(),
        }
    }

    async fn find(log: &RequestLog, id: &str) -> Option<RequestLine> {
        log.find(&RequestId(id.into())).await.unwrap()
    }

    #[tokio::test]
    async fn a_line_is_found_at_once_and_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let log = RequestLog::open(folder.path()).unwrap();
        log.append(&line("a-1")).await;
        assert_eq!(find(&log, "a-1").await, Some(line("a-1")));
        assert_eq!(find(&log, "a-").await, None);
        assert_eq!(find(&log, "\"").await, None);
        log.append(&line("a-2")).await;
        log.close().await;
        // A crash in the middle of a line.
        let (_, path) = segments(folder.path()).unwrap().pop().unwrap();
        let mut file = OpenOptions::new().append(true).open(path).unwrap();
        file.write_all(b"{\"at\":\"2026\",\"request_id\":\"a-3\",")
            .unwrap();
        let log = RequestLog::open(folder.path()).unwrap();
        log.append(&line("a-4")).await;
        for (id, there) in [("a-1", true), ("a-2", true), ("a-3", false), ("a-4", true)] {
            assert_eq!(find(&log, id).await.is_some(), there, "{id}");
        }
        log.close().await;
    }

    #[tokio::test]
    async fn segments_turn_and_the_oldest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let limits = Limits {
            segment_bytes: 1000,
            segments: 3,
        };
        let log = RequestLog::open_with(folder.path(), limits).unwrap();
        for i in 0..60 {
            log.append(&line(&format!("id-{i}"))).await;
            // Each in a write of its own.
            log.settle().await;
        }
        assert_eq!(segments(folder.path()).unwrap().len(), 3);
        assert!(find(&log, "id-59").await.is_some());
        assert!(find(&log, "id-0").await.is_none());
        log.close().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_line_is_lost_when_they_come_faster_than_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let log = RequestLog::open(folder.path()).unwrap();
        let tasks: Vec<_> = (0..16)
            .map(|t| {
                let log = log.clone();
                tokio::spawn(async move {
                    for i in 0..2000 {
                        log.append(&line(&format!("{t}-{i}"))).await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        log.close().await;
        let lines: usize = segments(folder.path())
            .unwrap()
            .into_iter()
            .flat_map(|(_, path)| {
                let text = std::fs::read_to_string(path).unwrap();
                text.lines().map(str::len).collect::<Vec<_>>()
            })
            .filter(|len| *len > 0)
            .count();
        assert_eq!(lines, 16 * 2000);
    }
}
