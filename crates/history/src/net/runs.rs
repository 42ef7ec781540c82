//! Sorted runs in files, and the merge that combines the parts of one key.
//!
//! A run is what a full pool held, in order of table and key. The same key may
//! be in many runs: merged in the order the runs were made in, the first part
//! says how the row was and the last one how it is.
//!
//! Runs live as long as the reducer that made them, and carry no checksums.

use std::cmp::Ordering;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use super::pool::prefix;
use crate::error::{Error, Result};

/// Bytes of a record before its key: table, length of the key, and either the
/// lengths of both images or the count.
const HEAD_BYTES: usize = 16;

/// What a length says of an image that is not there.
const NONE: u32 = u32::MAX;

/// Buffers are as long as this, unless the memory is small: long enough that
/// reading many runs in turn is not a matter of seeking.
const BUFFER_BYTES_MAX: usize = 1 << 20;
/// And not shorter.
const BUFFER_BYTES_MIN: usize = 4 << 10;

/// Runs that are merged at once, at most: each is an open file.
const FAN_IN_MAX: usize = 256;

/// Tells whether two images of a row of a table, by its place, are of one state.
pub(super) type Same<'a> = &'a dyn Fn(u32, Option<&[u8]>, Option<&[u8]>) -> bool;

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// Of a row with a key.
    Ends {
        before: Option<&'a [u8]>,
        after: Option<&'a [u8]>,
    },
    /// Of equal rows without a key, which are the key themselves: how many
    /// came, less those that went.
    Count(i64),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    pub table: u32,
    pub key: &'a [u8],
    pub value: Value<'a>,
}

impl Record<'_> {
    fn bytes(&self) -> usize {
        HEAD_BYTES
            + self.key.len()
            + match self.value {
                Value::Ends { before, after } => {
                    before.map_or(0, <[u8]>::len) + after.map_or(0, <[u8]>::len)
                }
                Value::Count(_) => 0,
            }
    }
}

/// A sorted run.
#[derive(Debug)]
pub(super) struct Run {
    pub path: PathBuf,
    /// Bytes of its longest record.
    pub longest: usize,
    pub bytes: u64,
}

/// Removes the file when it is no longer needed.
impl Drop for Run {
    fn drop(&mut self) {
        // What is left is removed when the folder is used the next time.
        let _ = std::fs::remove_file(&self.path);
    }
}

pub(super) fn failed(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io {
        doing,
        path,
        source,
    }
}

/// Writes a run.
pub(super) struct RunWriter {
    file: File,
    buffer: Vec<u8>,
    full: usize,
    run: Run,
}

impl RunWriter {
    pub(super) fn create(path: PathBuf, memory: usize) -> Result<Self> {
        let file = File::create(&path).map_err(failed("create", &path))?;
        let full = (memory / 32).clamp(BUFFER_BYTES_MIN, BUFFER_BYTES_MAX);
        Ok(Self {
            file,
            buffer: Vec::with_capacity(full),
            full,
            run: Run {
                path,
                longest: 0,
                bytes: 0,
            },
        })
    }

    pub(super) fn write(&mut self, record: &Record<'_>) -> Result<()> {
        let bytes = record.bytes();
        if self.buffer.len() + bytes > self.full {
            self.flush()?;
        }
        let length =
            |part: Option<&[u8]>| part.map_or(NONE, |p| u32::try_from(p.len()).unwrap_or(NONE - 1));
        let mut head = [0; HEAD_BYTES];
        head[..4].copy_from_slice(&record.table.to_le_bytes());
        head[4..8].copy_from_slice(&length(Some(record.key)).to_le_bytes());
        let parts = match record.value {
            Value::Ends { before, after } => {
                head[8..12].copy_from_slice(&length(before).to_le_bytes());
                head[12..].copy_from_slice(&length(after).to_le_bytes());
                [before, after]
            }
            Value::Count(count) => {
                head[8..].copy_from_slice(&count.to_le_bytes());
                [None, None]
            }
        };
        for part in [Some(&head[..]), Some(record.key)]
            .into_iter()
            .chain(parts)
            .flatten()
        {
            // A long row goes past the buffer, which then does not grow.
            if self.buffer.len() + part.len() > self.full {
                self.flush()?;
            }
            if part.len() > self.full {
                self.file
                    .write_all(part)
                    .map_err(failed("write", &self.run.path))?;
            } else {
                self.buffer.extend_from_slice(part);
            }
        }
        self.run.longest = self.run.longest.max(bytes);
        self.run.bytes += bytes as u64;
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.file
            .write_all(&self.buffer)
            .map_err(failed("write", &self.run.path))?;
        self.buffer.clear();
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Run> {
        self.flush()?;
        Ok(self.run)
    }
}

/// Reads a run.
struct RunReader<'a> {
    file: File,
    path: &'a Path,
    counted: &'a [bool],
    buffer: Vec<u8>,
    /// What of the buffer is filled, and from where on it is not yet used up.
    filled: usize,
    at: usize,
    /// What the head record's parts end at, from `at`: key, before, after.
    ends: [usize; 3],
    prefix: u64,
}

impl<'a> RunReader<'a> {
    /// A reader that stands before its first record.
    fn open(path: &'a Path, counted: &'a [bool], buffer: usize) -> Result<Self> {
        Ok(Self {
            file: File::open(path).map_err(failed("open", path))?,
            path,
            counted,
            buffer: vec![0; buffer],
            filled: 0,
            at: 0,
            ends: [0; 3],
            prefix: 0,
        })
    }

    /// Goes to the next record; false at the end.
    fn advance(&mut self) -> Result<bool> {
        self.at += self.ends[2];
        self.ends = [0; 3];
        if !self.have(HEAD_BYTES)? {
            return Ok(false);
        }
        let head = &self.buffer[self.at..self.at + HEAD_BYTES];
        let get =
            |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let counted = self.is_counted(get(0))?;
        let of = |length: u32| match length {
            NONE => 0,
            _ if counted => 0,
            n => n as usize,
        };
        let key = HEAD_BYTES + get(4) as usize;
        let before = key + of(get(8));
        let ends = [key, before, before + of(get(12))];
        if !self.have(ends[2])? {
            return Err(self.torn());
        }
        self.ends = ends;
        self.prefix = prefix(&self.buffer[self.at + HEAD_BYTES..self.at + ends[0]]);
        Ok(true)
    }

    fn is_counted(&self, table: u32) -> Result<bool> {
        self.counted
            .get(table as usize)
            .copied()
            .ok_or_else(|| self.torn())
    }

    fn torn(&self) -> Error {
        Error::Net {
            doing: format!("read {}", self.path.display()),
            what: "a file that only this process writes is torn; try again".to_owned(),
            unsupported: false,
        }
    }

    /// Makes so many bytes be in the buffer; false when the file ends before.
    fn have(&mut self, bytes: usize) -> Result<bool> {
        if self.filled - self.at >= bytes {
            return Ok(true);
        }
        self.buffer.copy_within(self.at..self.filled, 0);
        self.filled -= self.at;
        self.at = 0;
        if bytes > self.buffer.len() {
            self.buffer.resize(bytes, 0);
        }
        while self.filled < bytes {
            let read = self
                .file
                .read(&mut self.buffer[self.filled..])
                .map_err(failed("read", self.path))?;
            if read == 0 {
                return match self.filled {
                    0 => Ok(false),
                    _ => Err(self.torn()),
                };
            }
            self.filled += read;
        }
        Ok(true)
    }

    fn record(&self) -> Record<'_> {
        let raw = &self.buffer[self.at..self.at + self.ends[2]];
        let get = |at: usize| u32::from_le_bytes([raw[at], raw[at + 1], raw[at + 2], raw[at + 3]]);
        let table = get(0);
        let [key, before, after] = self.ends;
        let value = if self.counted[table as usize] {
            Value::Count(raw[8..].first_chunk().map_or(0, |b| i64::from_le_bytes(*b)))
        } else {
            Value::Ends {
                before: (get(8) != NONE).then(|| &raw[key..before]),
                after: (get(12) != NONE).then(|| &raw[before..after]),
            }
        };
        Record {
            table,
            key: &raw[HEAD_BYTES..key],
            value,
        }
    }

    fn cmp(&self, other: &Self) -> Ordering {
        let (a, b) = (self.record(), other.record());
        (a.table, self.prefix)
            .cmp(&(b.table, other.prefix))
            .then_with(|| a.key.cmp(b.key))
    }
}

/// How many runs may be merged at once in so much memory.
pub(super) fn fan_in(runs: &[Run], memory: usize) -> usize {
    let longest = runs.iter().map(|r| r.longest).max().unwrap_or(0);
    // Half of the memory is left to what is written, and to what is combined.
    (memory / 2 / longest.max(BUFFER_BYTES_MIN)).clamp(2, FAN_IN_MAX)
}

/// Merges runs, the parts of one key combined in the order of the runs.
/// `each` takes the records in order, and how many of the joints between their
/// parts do not fit: the row was not at the start of one as it was at the end
/// of the other, by `same`. `touched`: see [`super::Reducer::keep_touched`].
pub(super) fn merge(
    runs: &[Run],
    counted: &[bool],
    touched: bool,
    same: Same<'_>,
    memory: usize,
    mut each: impl FnMut(&Record<'_>, u64) -> Result<()>,
) -> Result<()> {
    let buffer = (memory / 2 / runs.len().max(1)).clamp(BUFFER_BYTES_MIN, BUFFER_BYTES_MAX);
    let mut readers = Vec::with_capacity(runs.len());
    for run in runs {
        readers.push(RunReader::open(&run.path, counted, buffer)?);
    }
    let mut heap = Heap::default();
    for i in 0..readers.len() {
        if readers[i].advance()? {
            heap.push(i, &readers);
        }
    }
    let mut joined = Joined::default();
    while let Some(first) = heap.first() {
        // Most keys are in one run only, and need not be copied.
        if heap.alone(&readers) {
            each(&readers[first].record(), 0)?;
            heap.advance(&mut readers)?;
            continue;
        }
        joined.begin(&readers[first].record());
        heap.advance(&mut readers)?;
        while let Some(next) = heap.first() {
            let record = readers[next].record();
            if (record.table, record.key) != (joined.table, &joined.key[..]) {
                break;
            }
            joined.add(&record, touched, same);
            heap.advance(&mut readers)?;
        }
        each(&joined.record(), joined.broken)?;
    }
    Ok(())
}

/// The parts of one key, put together.
#[derive(Default)]
struct Joined {
    table: u32,
    key: Vec<u8>,
    before: Option<Vec<u8>>,
    after: Option<Vec<u8>>,
    count: Option<i64>,
    broken: u64,
}

impl Joined {
    fn begin(&mut self, record: &Record<'_>) {
        self.table = record.table;
        self.key.clear();
        self.key.extend_from_slice(record.key);
        self.broken = 0;
        (self.before, self.after, self.count) = match record.value {
            Value::Ends { before, after } => {
                (before.map(<[u8]>::to_vec), after.map(<[u8]>::to_vec), None)
            }
            Value::Count(n) => (None, None, Some(n)),
        };
    }

    fn add(&mut self, record: &Record<'_>, touched: bool, same: Same<'_>) {
        match record.value {
            Value::Ends { before, after } => {
                let again = touched && before.is_none();
                let whole = same(record.table, self.after.as_deref(), before);
                self.broken += u64::from(!whole && !again);
                self.after = after.map(<[u8]>::to_vec);
            }
            Value::Count(n) => self.count = Some(self.count.unwrap_or(0) + n),
        }
    }

    fn record(&self) -> Record<'_> {
        Record {
            table: self.table,
            key: &self.key,
            value: match self.count {
                Some(n) => Value::Count(n),
                None => Value::Ends {
                    before: self.before.as_deref(),
                    after: self.after.as_deref(),
                },
            },
        }
    }
}

/// A binary heap of readers, the one with the least record first; of equal
/// records that of the oldest run.
#[derive(Default)]
struct Heap {
    of: Vec<usize>,
}

impl Heap {
    fn first(&self) -> Option<usize> {
        self.of.first().copied()
    }

    fn less(a: usize, b: usize, readers: &[RunReader<'_>]) -> bool {
        readers[a].cmp(&readers[b]).then(a.cmp(&b)).is_lt()
    }

    fn push(&mut self, reader: usize, readers: &[RunReader<'_>]) {
        self.of.push(reader);
        let mut i = self.of.len() - 1;
        while i > 0 && Self::less(self.of[i], self.of[(i - 1) / 2], readers) {
            self.of.swap(i, (i - 1) / 2);
            i = (i - 1) / 2;
        }
    }

    /// Whether no other reader has the key of the first: it would be right
    /// below it.
    fn alone(&self, readers: &[RunReader<'_>]) -> bool {
        self.of
            .iter()
            .skip(1)
            .take(2)
            .all(|i| readers[*i].cmp(&readers[self.of[0]]).is_ne())
    }

    /// The first reader goes to its next record, or leaves.
    fn advance(&mut self, readers: &mut [RunReader<'_>]) -> Result<()> {
        let Some(first) = self.first() else {
            return Ok(());
        };
        if !readers[first].advance()? {
            self.of.swap_remove(0);
        }
        let mut i = 0;
        loop {
            let mut least = i;
            for child in [2 * i + 1, 2 * i + 2] {
                if child < self.of.len() && Self::less(self.of[child], self.of[least], readers) {
                    least = child;
                }
            }
            if least == i {
                return Ok(());
            }
            self.of.swap(i, least);
            i = least;
        }
    }
}
