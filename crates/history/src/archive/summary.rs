//! What a page of the index says as a whole, so that most pages need not be
//! read: where its stretches begin and end, until when its groups committed,
//! which ids they have, which files they are of.
//!
//! Summaries are made from pages, kept in memory, and written down together in
//! one object whenever a page is full, for the next process:
//!
//! ```text
//! BOSUMS01 | zstd(json of Kept, one a page) | crc32 of all before
//! ```
//!
//! A summary is of one version of its page. One of another version, one that is
//! missing, and all of them when the object is damaged, are made again.

use std::io::Read as _;

use serde::{Deserialize, Serialize};

use super::core::Core;
use super::index::{Entry, Page, PageId};
use super::listing::{extend, has_id, joins};
use super::{ArchivedFile, Instant, Window};
use crate::change::{Gtid, Micros, Position};
use crate::error::{Error, Result};
use crate::event::Header;

const MAGIC: [u8; 8] = *b"BOSUMS01";

/// The one object.
pub(super) const KEY: &str = "summaries/pages";

/// Room for the summaries of 100,000 pages, which are 100 TiB of log.
pub(super) const BYTES_MAX: u64 = 256 << 20;

/// What one page says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Summary {
    /// Its stretches without a gap, in order.
    pub(super) runs: Vec<Run>,
    /// The latest commit of groups that begin in it; `None` when none does.
    pub(super) latest: Option<Micros>,
    /// Where the last group begins that has no gap behind it.
    pub(super) last: Option<Position>,
    /// Whether history before one of its chunks is missing.
    pub(super) gap: bool,
    /// Ids, as ranges: of whom, the least, the greatest.
    pub(super) ids: Vec<(String, u64, u64)>,
    /// Whether it has definition statements.
    pub(super) ddl: bool,
    /// Whether one of them renames tables.
    pub(super) renamed: bool,
    /// What it has of each file, in order.
    pub(super) files: Vec<FilePart>,
}

/// A stretch without a gap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Run {
    /// Its first byte.
    pub(super) begin: Position,
    /// The byte after its last.
    pub(super) end: Position,
    /// Why history before it is missing.
    pub(super) gap: Option<String>,
    /// Where its last group ends that has ended.
    whole: Position,
    /// The latest commit.
    latest: Option<Micros>,
    /// The id of its last group.
    last_id: Option<Gtid>,
    /// The window that it is when nothing comes before it: none when no group
    /// begins in it.
    window: Option<(Instant, Instant)>,
}

/// What a page has of one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FilePart {
    name: String,
    /// When the file was begun.
    created: Option<Micros>,
    /// Its first byte here.
    begin: u64,
    /// The byte after its last here.
    end: u64,
    /// How many bytes between are here.
    bytes: u64,
    /// How many groups begin here.
    groups: u64,
    /// When the first of them committed, and the last.
    time: Option<(Micros, Micros)>,
}

/// A stretch, or a chunk between two that cannot be read.
pub(super) enum Piece {
    Run(Box<Run>),
    /// Why not.
    Damaged(String),
}

/// A summary as it is written down.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    incarnation: u32,
    number: u64,
    start: u64,
    version: u64,
    summary: Summary,
}

impl Summary {
    pub(super) fn of(page: &Page) -> Self {
        let mut summary = Self {
            runs: Vec::new(),
            latest: None,
            last: None,
            gap: false,
            ids: Vec::new(),
            ddl: false,
            renamed: false,
            files: Vec::new(),
        };
        for piece in pieces(&page.entries, |_| None) {
            if let Piece::Run(run) = piece {
                summary.runs.push(*run);
            }
        }
        for entry in &page.entries {
            summary.take_in(entry);
        }
        summary
    }

    fn take_in(&mut self, entry: &Entry) {
        let notes = &entry.notes;
        if entry.gap.is_some() {
            self.gap = true;
            self.last = None;
        }
        if let Some(last) = notes.last {
            self.last = Some(Position {
                file: entry.file.clone(),
                offset: last,
            });
            // A time that is not known keeps the page from being left out.
            let latest = entry.time.map_or(Micros(i64::MAX), |(_, latest)| latest);
            self.latest = self.latest.max(Some(latest));
        }
        for (of, least, greatest) in &notes.ids {
            match self.ids.iter_mut().find(|(known, _, _)| known == of) {
                Some(range) => {
                    range.1 = range.1.min(*least);
                    range.2 = range.2.max(*greatest);
                }
                None => self.ids.push((of.clone(), *least, *greatest)),
            }
        }
        self.ddl |= !notes.ddl.is_empty();
        self.renamed |= notes.ddl.iter().any(|ddl| !ddl.renamed.is_empty());
        let part = FilePart {
            name: entry.file.clone(),
            created: notes
                .format
                .as_deref()
                .and_then(Header::read)
                .map(|header| Micros::from_s(header.time_s)),
            begin: entry.start,
            end: entry.end,
            bytes: entry.bytes(),
            groups: notes.groups,
            time: entry.time,
        };
        match self.files.last_mut() {
            Some(known) if known.name == part.name => known.join(&part),
            _ => self.files.push(part),
        }
    }

    /// Its first byte, and the one after its last.
    pub(super) fn span(&self) -> Option<(&Position, &Position)> {
        Some((&self.runs.first()?.begin, &self.runs.last()?.end))
    }

    /// Whether all of it lies before a position.
    pub(super) fn is_before(&self, at: &Position) -> bool {
        self.span().is_none_or(|(_, end)| end <= at)
    }

    /// Whether all its groups committed before an instant.
    pub(super) fn is_earlier(&self, at: Micros) -> bool {
        self.latest.is_none_or(|latest| latest < at)
    }

    /// Whether it may have a transaction.
    pub(super) fn has_id(&self, gtid: &Gtid) -> bool {
        has_id(&self.ids, gtid)
    }

    pub(super) fn pieces(&self) -> impl Iterator<Item = Piece> + '_ {
        self.runs.iter().cloned().map(Box::new).map(Piece::Run)
    }
}

impl FilePart {
    fn join(&mut self, more: &Self) {
        self.end = more.end;
        self.bytes += more.bytes;
        self.groups += more.groups;
        self.created = self.created.or(more.created);
        self.time = match (self.time, more.time) {
            (Some((first, last)), Some((_, other))) => Some((first, last.max(other))),
            (one, other) => one.or(other),
        };
    }
}

/// The stretches in entries, and what is `damaged` between them.
pub(super) fn pieces(
    entries: &[Entry],
    mut damaged: impl FnMut(&Entry) -> Option<String>,
) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut run: Option<Box<Run>> = None;
    for entry in entries {
        if let Some(why) = damaged(entry) {
            pieces.extend(run.take().map(Piece::Run));
            pieces.push(Piece::Damaged(why));
            continue;
        }
        match &mut run {
            Some(run) if joins(&run.end, &entry.at(), entry.gap.as_deref()) => run.join(entry),
            _ => {
                pieces.extend(run.take().map(Piece::Run));
                run = Some(Box::new(Run::begin(entry)));
            }
        }
    }
    pieces.extend(run.map(Piece::Run));
    pieces
}

impl Run {
    fn begin(entry: &Entry) -> Self {
        let mut run = Self {
            begin: entry.at(),
            end: entry.at(),
            gap: entry.gap.clone(),
            whole: entry.at(),
            latest: None,
            last_id: None,
            window: None,
        };
        run.join(entry);
        run
    }

    fn join(&mut self, entry: &Entry) {
        self.end = entry.end();
        self.whole = entry.whole_end().max(self.whole.clone());
        self.latest = self.latest.max(entry.time.map(|(_, latest)| latest));
        self.last_id = entry.notes.last_id.clone().or(self.last_id.take());
        extend(&mut self.window, entry);
    }
}

/// Puts the windows of an incarnation together.
#[derive(Default)]
pub(super) struct Windows {
    incarnation: u32,
    window: Option<Window>,
    /// Where the stretch before ends.
    before: Option<Position>,
    /// Why what comes next is the first after a gap.
    why: Option<String>,
}

impl Windows {
    pub(super) fn new(incarnation: u32) -> Self {
        Self {
            incarnation,
            ..Self::default()
        }
    }

    /// Takes in what follows, and puts a window that has ended into `done`.
    pub(super) fn take_in(&mut self, piece: Piece, done: &mut Vec<Window>) {
        let run = match piece {
            Piece::Run(run) => run,
            Piece::Damaged(why) => {
                done.extend(self.window.take());
                self.why = Some(why);
                self.before = None;
                return;
            }
        };
        match &self.before {
            Some(last) if !joins(last, &run.begin, run.gap.as_deref()) => {
                done.extend(self.window.take());
                let lacks = || format!("the archive lacks what follows {last}");
                self.why = Some(run.gap.unwrap_or_else(lacks));
            }
            None if run.gap.is_some() => self.why = run.gap,
            _ => {}
        }
        self.before = Some(run.end);
        if let Some(window) = &mut self.window {
            window.to.position = run.whole.max(window.to.position.clone());
            window.to.time = window.to.time.max(run.latest.unwrap_or(window.to.time));
            window.to.gtid = run.last_id.or(window.to.gtid.take());
        } else if let Some((from, to)) = run.window {
            self.window = Some(Window {
                incarnation: self.incarnation,
                from,
                to,
                gap_before: self.why.take(),
            });
        }
    }

    pub(super) fn end(self, done: &mut Vec<Window>) {
        done.extend(self.window);
    }
}

/// The files that pages are of, each once.
pub(super) fn files<'a>(
    pages: impl IntoIterator<Item = (&'a PageId, &'a Summary)>,
) -> Vec<ArchivedFile> {
    let mut files: Vec<ArchivedFile> = Vec::new();
    for (id, summary) in pages {
        for part in &summary.files {
            let known = files
                .last_mut()
                .filter(|f| f.incarnation == id.incarnation && f.name == part.name);
            let Some(known) = known else {
                files.push(ArchivedFile {
                    incarnation: id.incarnation,
                    name: part.name.clone(),
                    created: part.created,
                    begin: part.begin,
                    end: part.end,
                    bytes: part.bytes,
                    transactions: part.groups,
                    time: part.time,
                });
                continue;
            };
            known.end = part.end;
            known.bytes += part.bytes;
            known.transactions += part.groups;
            known.time = match (known.time, part.time) {
                (Some((first, last)), Some((_, other))) => Some((first, last.max(other))),
                (one, other) => one.or(other),
            };
        }
    }
    files
}

fn encode<'a>(
    all: impl IntoIterator<Item = (&'a PageId, u64, &'a Summary)>,
) -> std::io::Result<Vec<u8>> {
    let kept: Vec<Kept> = all
        .into_iter()
        .map(|(id, version, summary)| Kept {
            incarnation: id.incarnation,
            number: id.number,
            start: id.start,
            version,
            summary: summary.clone(),
        })
        .collect();
    let mut encoder = zstd::Encoder::new(MAGIC.to_vec(), 1)?;
    serde_json::to_writer(&mut encoder, &kept)?;
    let mut out = encoder.finish()?;
    let sum = crc32fast::hash(&out);
    out.extend_from_slice(&sum.to_le_bytes());
    Ok(out)
}

/// `None` when it is damaged.
fn decode(stored: &[u8]) -> Option<Vec<(PageId, u64, Summary)>> {
    let (covered, sum) = stored.split_at_checked(stored.len().checked_sub(4)?)?;
    if crc32fast::hash(covered).to_le_bytes() != *sum {
        return None;
    }
    let decoder = zstd::Decoder::new(covered.strip_prefix(&MAGIC)?).ok()?;
    let kept: Vec<Kept> =
        serde_json::from_reader(std::io::BufReader::new(decoder.take(BYTES_MAX))).ok()?;
    let all = kept.into_iter().map(|kept| {
        let id = PageId {
            incarnation: kept.incarnation,
            number: kept.number,
            start: kept.start,
        };
        (id, kept.version, kept.summary)
    });
    Some(all.collect())
}

impl Core {
    /// What was written down by whoever wrote the archive. Nothing when it is
    /// not there, or damaged: it can be made again.
    pub(super) fn read_summaries(&self) -> Result<Vec<(PageId, u64, Summary)>> {
        let Some(stored) = self.objects.get(KEY, BYTES_MAX)? else {
            return Ok(Vec::new());
        };
        Ok(decode(&stored).unwrap_or_else(|| {
            tracing::warn!(
                object = KEY,
                "the summaries of an archive are damaged; they are made again"
            );
            Vec::new()
        }))
    }

    /// Writes down what all pages say.
    pub(super) fn write_summaries(&self) -> Result<()> {
        let all = self.summaries(None)?;
        let bytes =
            encode(all.iter().map(|(id, version, s)| (id, *version, &**s))).map_err(|error| {
                Error::Archive {
                    doing: "compress the summaries of the archive".to_owned(),
                    why: error.to_string(),
                    passing: false,
                }
            })?;
        self.objects.put(KEY, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_come_back_as_they_were_and_never_otherwise() {
        let id = PageId {
            incarnation: 2,
            number: 7,
            start: 4711,
        };
        let summary = Summary {
            latest: Some(Micros(5)),
            ids: vec![("0-1".to_owned(), 1, 9)],
            ..Summary::of(&Page::default())
        };
        let stored = encode([(&id, 3, &summary)]).unwrap();
        assert_eq!(decode(&stored), Some(vec![(id, 3, summary)]));
        for at in 0..stored.len() {
            let mut bad = stored.clone();
            bad[at] ^= 1;
            assert_eq!(decode(&bad), None, "{at}");
            assert_eq!(decode(&stored[..at]), None, "{at}");
        }
    }
}
