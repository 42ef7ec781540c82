//! The result of a reduction: complete or absent.
//!
//! `<n>.net` holds the rows of table n in blocks, each with a CRC-32, and
//! `manifest.json` what is known of all tables. The manifest is renamed into
//! place when all else is on the disk: where there is none, there is no result.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::runs::{Record, Value, failed};
use super::{NetRow, NetSummary};
use crate::error::{Error, Result};

const MANIFEST: &str = "manifest.json";
const UNFINISHED: &str = "manifest.json.new";

/// The version of both formats.
const VERSION: u32 = 1;

/// Bytes of a block's header: the length of what follows, the count of its
/// rows, and the CRC-32 of both and of what follows.
const HEAD_BYTES: usize = 12;

/// Blocks are about as long as this, unless the memory is small or one row is
/// longer.
const BLOCK_BYTES_MAX: usize = 256 << 10;
/// And not shorter, one row excepted.
const BLOCK_BYTES_MIN: usize = 4 << 10;

/// Places in a file where a part may begin: a part is right within a
/// thousandth.
const MARKS_MAX: usize = 1024;

/// Which images a row has.
const BEFORE: u8 = 1;
const AFTER: u8 = 2;
/// And whether there is a count other than 1.
const COUNT: u8 = 4;

#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    version: u32,
    tables: Vec<TableFile>,
}

#[derive(Debug, Serialize, Deserialize)]
struct TableFile {
    summary: NetSummary,
    /// The length of its file; 0 when there is none.
    file_bytes: u64,
    /// Where some of its blocks begin, ascending; the first is 0.
    marks: Vec<u64>,
}

/// Removes whatever a reduction left in the folder, the manifest first.
pub(super) fn clear(folder: &Path) -> Result<()> {
    for name in [MANIFEST, UNFINISHED] {
        remove(&folder.join(name))?;
    }
    for entry in fs::read_dir(folder).map_err(failed("read", folder))? {
        let path = entry.map_err(failed("read", folder))?.path();
        if path.extension().is_some_and(|e| e == "net" || e == "run") {
            remove(&path)?;
        }
    }
    sync_folder(folder)
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(failed("remove", path)(e)),
        _ => Ok(()),
    }
}

fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder)
        .and_then(|f| f.sync_all())
        .map_err(failed("sync", folder))
}

fn torn(path: &Path, what: &str) -> Error {
    Error::Net {
        doing: format!("read {}", path.display()),
        what: format!("{what}; reduce the history again"),
        unsupported: false,
    }
}

fn file_of(folder: &Path, table: usize) -> PathBuf {
    folder.join(format!("{table}.net"))
}

/// Writes the result.
pub(super) struct Output {
    folder: PathBuf,
    tables: Vec<TableFile>,
    block: usize,
    /// See [`super::Reducer::keep_touched`].
    touched: bool,
    /// The file of the table whose records come now.
    open: Option<(usize, TableWriter)>,
}

impl Output {
    pub(super) fn new(
        folder: &Path,
        summaries: Vec<NetSummary>,
        memory: usize,
        touched: bool,
    ) -> Self {
        Self {
            folder: folder.to_owned(),
            tables: summaries
                .into_iter()
                .map(|summary| TableFile {
                    summary,
                    file_bytes: 0,
                    marks: Vec::new(),
                })
                .collect(),
            block: (memory / 16).clamp(BLOCK_BYTES_MIN, BLOCK_BYTES_MAX),
            touched,
            open: None,
        }
    }

    pub(super) fn add_broken(&mut self, table: u32, broken: u64) {
        self.tables[table as usize].summary.broken += broken;
    }

    /// The next record, in order of table and key.
    pub(super) fn write(&mut self, record: &Record<'_>, broken: u64) -> Result<()> {
        self.add_broken(record.table, broken);
        let row = match record.value {
            Value::Ends { before, after } => NetRow {
                first_before: before,
                last_after: after,
                count: 1,
            },
            Value::Count(n) => NetRow {
                first_before: (n < 0).then_some(record.key),
                last_after: (n > 0).then_some(record.key),
                count: n.unsigned_abs(),
            },
        };
        if row.first_before == row.last_after && !self.touched {
            return Ok(());
        }
        let table = record.table as usize;
        if self.open.as_ref().is_none_or(|(open, _)| *open != table) {
            self.close()?;
            let writer = TableWriter::create(file_of(&self.folder, table), self.block)?;
            self.open = Some((table, writer));
        }
        let Some((_, writer)) = &mut self.open else {
            return Ok(());
        };
        let bytes = writer.write(&row)?;
        let summary = &mut self.tables[table].summary;
        summary.rows += row.count;
        summary.bytes += bytes;
        *match (row.first_before, row.last_after) {
            (None, _) => &mut summary.inserted,
            (_, None) => &mut summary.deleted,
            _ => &mut summary.updated,
        } += row.count;
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        if let Some((table, writer)) = self.open.take() {
            let file = &mut self.tables[table];
            (file.file_bytes, file.marks) = writer.finish()?;
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Vec<NetSummary>> {
        self.close()?;
        let manifest = Manifest {
            version: VERSION,
            tables: self.tables,
        };
        let path = self.folder.join(UNFINISHED);
        let mut text = serde_json::to_string(&manifest).map_err(|e| Error::Net {
            doing: format!("write {}", path.display()),
            what: e.to_string(),
            unsupported: false,
        })?;
        let sum = crc32fast::hash(text.as_bytes());
        text.push_str(&format!("\n{sum:08x}\n"));
        File::create(&path)
            .and_then(|mut f| {
                f.write_all(text.as_bytes())?;
                f.sync_all()
            })
            .map_err(failed("write", &path))?;
        // The names of the other files, before that of the manifest.
        sync_folder(&self.folder)?;
        fs::rename(&path, self.folder.join(MANIFEST)).map_err(failed("rename", &path))?;
        sync_folder(&self.folder)?;
        Ok(manifest.tables.into_iter().map(|t| t.summary).collect())
    }
}

struct TableWriter {
    file: File,
    path: PathBuf,
    full: usize,
    /// The block that is being filled, from its header on.
    block: Vec<u8>,
    rows: u32,
    /// Bytes of finished blocks.
    at: u64,
    marks: Vec<u64>,
    /// Blocks from one mark to the next, and since the last one.
    stride: u64,
    since: u64,
}

impl TableWriter {
    fn create(path: PathBuf, full: usize) -> Result<Self> {
        let file = File::create(&path).map_err(failed("create", &path))?;
        Ok(Self {
            file,
            path,
            full,
            block: vec![0; HEAD_BYTES],
            rows: 0,
            at: 0,
            marks: Vec::new(),
            stride: 1,
            since: 0,
        })
    }

    /// Returns the bytes of the images.
    fn write(&mut self, row: &NetRow<'_>) -> Result<u64> {
        let parts = [row.first_before, row.last_after];
        let bytes: usize = parts.iter().flatten().map(|p| p.len()).sum();
        if self.rows > 0 && self.block.len() + bytes > self.full {
            self.flush()?;
        }
        let tag = parts[0].map_or(0, |_| BEFORE)
            | parts[1].map_or(0, |_| AFTER)
            | if row.count == 1 { 0 } else { COUNT };
        self.block.push(tag);
        if row.count != 1 {
            self.block.extend_from_slice(&row.count.to_le_bytes());
        }
        for part in parts.into_iter().flatten() {
            let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
            self.block.extend_from_slice(&length.to_le_bytes());
            self.block.extend_from_slice(part);
        }
        self.rows += 1;
        Ok(bytes as u64)
    }

    fn flush(&mut self) -> Result<()> {
        let length = self.block.len() - HEAD_BYTES;
        let Ok(length) = u32::try_from(length) else {
            return Err(Error::Net {
                doing: format!("write {}", self.path.display()),
                what: "a row is longer than 4 GiB".to_owned(),
                unsupported: true,
            });
        };
        self.block[..4].copy_from_slice(&length.to_le_bytes());
        self.block[4..8].copy_from_slice(&self.rows.to_le_bytes());
        let sum = checksum(&self.block);
        self.block[8..12].copy_from_slice(&sum.to_le_bytes());
        self.file
            .write_all(&self.block)
            .map_err(failed("write", &self.path))?;
        if self.since == 0 {
            if self.marks.len() == MARKS_MAX {
                let mut keep = false;
                self.marks.retain(|_| {
                    keep = !keep;
                    keep
                });
                self.stride *= 2;
            }
            self.marks.push(self.at);
        }
        self.since = (self.since + 1) % self.stride;
        self.at += self.block.len() as u64;
        self.block.truncate(HEAD_BYTES);
        // One long row does not keep its memory.
        self.block.shrink_to(2 * self.full);
        self.rows = 0;
        Ok(())
    }

    fn finish(mut self) -> Result<(u64, Vec<u64>)> {
        if self.rows > 0 {
            self.flush()?;
        }
        self.file.sync_all().map_err(failed("sync", &self.path))?;
        Ok((self.at, self.marks))
    }
}

/// Of a whole block, its own place left out.
fn checksum(block: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&block[..8]);
    hasher.update(&block[HEAD_BYTES..]);
    hasher.finalize()
}

/// The files of a finished reduction.
#[derive(Debug)]
pub struct NetFiles {
    folder: PathBuf,
    summaries: Vec<NetSummary>,
    /// For each table the length of its file, and where parts may begin.
    files: Vec<(u64, Vec<u64>)>,
}

impl NetFiles {
    /// What a finished [`Reducer`](super::Reducer) left in the folder; `None`
    /// when there is none, or it never finished.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Net`] when it is damaged.
    pub fn open(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(MANIFEST);
        let text = match fs::read_to_string(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            text => text.map_err(failed("read", &path))?,
        };
        let json = text
            .trim_end()
            .rsplit_once('\n')
            .filter(|(json, sum)| {
                u32::from_str_radix(sum, 16) == Ok(crc32fast::hash(json.as_bytes()))
            })
            .map(|(json, _)| json)
            .ok_or_else(|| torn(&path, "it does not have its checksum"))?;
        let manifest: Manifest =
            serde_json::from_str(json).map_err(|e| torn(&path, &e.to_string()))?;
        if manifest.version != VERSION {
            return Err(torn(&path, "it is of another version"));
        }
        for (i, table) in manifest.tables.iter().enumerate() {
            let path = file_of(folder, i);
            let bytes = match table.file_bytes {
                0 => 0,
                _ => fs::metadata(&path).map_err(failed("read", &path))?.len(),
            };
            if bytes != table.file_bytes {
                return Err(torn(&path, "it is not as long as it was"));
            }
        }
        let (summaries, files) = manifest
            .tables
            .into_iter()
            .map(|t| (t.summary, (t.file_bytes, t.marks)))
            .unzip();
        Ok(Some(Self {
            folder: folder.to_owned(),
            summaries,
            files,
        }))
    }

    /// One for each table, in the order they were given in.
    #[must_use]
    pub fn summaries(&self) -> &[NetSummary] {
        &self.summaries
    }

    /// The rows of a table, by its place in [`Self::summaries`], in the order
    /// of the key.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn rows(&self, table: usize) -> Result<NetRows> {
        NetRows::open(
            file_of(&self.folder, table),
            0,
            self.files.get(table).map_or(0, |f| f.0),
        )
    }

    /// The same rows in at most `n` parts, each a range of keys, of about equal
    /// size; fewer when there is little.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn parts(&self, table: usize, n: usize) -> Result<Vec<NetRows>> {
        let Some((bytes, marks)) = self.files.get(table) else {
            return Ok(Vec::new());
        };
        let n = n.max(1) as u64;
        let mut starts: Vec<u64> = (0..n)
            .filter_map(|i| {
                let wanted = u128::from(*bytes) * u128::from(i) / u128::from(n);
                marks
                    .iter()
                    .copied()
                    .min_by_key(|mark| u128::from(*mark).abs_diff(wanted))
            })
            .collect();
        starts.dedup();
        let ends: Vec<u64> = starts.iter().skip(1).copied().chain([*bytes]).collect();
        starts
            .into_iter()
            .zip(ends)
            .map(|(start, end)| NetRows::open(file_of(&self.folder, table), start, end))
            .collect()
    }
}

/// Rows, one after another.
#[derive(Debug)]
pub struct NetRows {
    /// `None` when there are no rows.
    file: Option<File>,
    path: PathBuf,
    /// Where the next block begins, and where the last one ends.
    next: u64,
    end: u64,
    block: Vec<u8>,
    /// Where the next row of the block begins, and how many are left.
    at: usize,
    left: u32,
}

impl NetRows {
    fn open(path: PathBuf, start: u64, end: u64) -> Result<Self> {
        let file = if start < end {
            let mut file = File::open(&path).map_err(failed("open", &path))?;
            file.seek(SeekFrom::Start(start))
                .map_err(failed("read", &path))?;
            Some(file)
        } else {
            None
        };
        Ok(Self {
            file,
            path,
            next: start,
            end,
            block: Vec::new(),
            at: 0,
            left: 0,
        })
    }

    /// The next row.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Net`] when the file is damaged.
    #[expect(
        clippy::should_implement_trait,
        reason = "a row borrows from the reader, which an Iterator cannot say"
    )]
    pub fn next(&mut self) -> Result<Option<NetRow<'_>>> {
        while self.left == 0 {
            if self.next >= self.end {
                return Ok(None);
            }
            self.read_block()?;
        }
        self.left -= 1;
        let mut at = self.at;
        let row = take_row(&self.block, &mut at).ok_or_else(|| torn(&self.path, "it is torn"))?;
        self.at = at;
        Ok(Some(row))
    }

    fn read_block(&mut self) -> Result<()> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        let left = self.end - self.next;
        let mut head = [0; HEAD_BYTES];
        file.read_exact(&mut head)
            .map_err(failed("read", &self.path))?;
        let get =
            |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let bytes = HEAD_BYTES + get(0) as usize;
        if bytes as u64 > left {
            return Err(torn(&self.path, "it is torn"));
        }
        self.block.clear();
        self.block.extend_from_slice(&head);
        self.block.resize(bytes, 0);
        file.read_exact(&mut self.block[HEAD_BYTES..])
            .map_err(failed("read", &self.path))?;
        if checksum(&self.block) != get(8) {
            return Err(torn(&self.path, "it does not have its checksum"));
        }
        self.next += bytes as u64;
        self.at = HEAD_BYTES;
        self.left = get(4);
        Ok(())
    }
}

fn take_row<'a>(block: &'a [u8], at: &mut usize) -> Option<NetRow<'a>> {
    let mut rest = block.get(*at..)?;
    let mut take = |n: usize| {
        let (taken, after) = rest.split_at_checked(n)?;
        rest = after;
        Some(taken)
    };
    let tag = take(1)?[0];
    let count = if tag & COUNT == 0 {
        1
    } else {
        u64::from_le_bytes(*take(8)?.first_chunk()?)
    };
    let mut image = |present: bool| -> Option<Option<&'a [u8]>> {
        if !present {
            return Some(None);
        }
        let length = u32::from_le_bytes(*take(4)?.first_chunk()?);
        Some(Some(take(length as usize)?))
    };
    let row = NetRow {
        first_before: image(tag & BEFORE != 0)?,
        last_after: image(tag & AFTER != 0)?,
        count,
    };
    *at = block.len() - rest.len();
    Some(row)
}
