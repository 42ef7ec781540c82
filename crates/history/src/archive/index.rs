//! The index: pages of entries, one entry a chunk.
//!
//! ```text
//! BOPAGE01 | zstd(json of a Page) | crc32 of all before
//! ```

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::objects::Objects;
use super::scan::{Notes, Prepared};
use crate::change::{Micros, Position};
use crate::error::{Error, Result};
use crate::event::Checksum;

const MAGIC: [u8; 8] = *b"BOPAGE01";

/// A page is rewritten whenever a chunk is added to it: few entries keep that
/// cheap. Many keep the number of pages small: 256 chunks are about 1 GiB.
pub(super) const PAGE_ENTRIES: usize = 256;

/// A page with more notes than this (tables, statements) is full.
pub(super) const PAGE_NOTES: usize = 16 * 1024;

/// No page that we wrote is larger: a chunk is cut when it has 4,096 notes, each
/// of less than 2 KiB.
const PAGE_BYTES: u64 = 128 << 20;

/// One chunk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// The log's file.
    pub(super) file: String,
    /// Its first byte there; 0 includes the four bytes that a file begins with.
    pub(super) start: u64,
    /// The byte after its last.
    pub(super) end: u64,
    /// Whether its events have checksums.
    pub(super) crc: bool,
    /// How often it was merged; 255 when it is large enough.
    pub(super) level: u8,
    /// Why history before it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) gap: Option<String>,
    /// When the groups in it committed: of the first, and the latest of all, as
    /// exactly as it is known, in microseconds.
    pub(super) time: Option<(Micros, Micros)>,
    /// What it holds.
    pub(super) notes: Notes,
}

impl Entry {
    pub(super) fn at(&self) -> Position {
        Position {
            file: self.file.clone(),
            offset: self.start,
        }
    }

    pub(super) fn end(&self) -> Position {
        Position {
            file: self.file.clone(),
            offset: self.end,
        }
    }

    /// Where the last group ends in it that has ended.
    pub(super) fn whole_end(&self) -> Position {
        let notes = &self.notes;
        let open = notes.open.then(|| notes.last.or(notes.inside)).flatten();
        Position {
            file: self.file.clone(),
            offset: open.unwrap_or(self.end),
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.end - self.start
    }

    pub(super) const fn checksum(&self) -> Checksum {
        if self.crc {
            Checksum::Crc32
        } else {
            Checksum::None
        }
    }

    pub(super) fn key(&self, incarnation: u32) -> String {
        format!(
            "chunks/{incarnation:06}/{:010}-{:020}-{}",
            self.at().number(),
            self.start,
            self.bytes()
        )
    }

    /// What a page says is not trusted: nothing else computes with it before.
    fn is_sound(&self) -> bool {
        let inside = |at: &u64| (self.start..self.end).contains(at);
        let notes = &self.notes;
        self.start < self.end
            && !self.file.is_empty()
            && self.file.len() <= 512
            && !self.file.contains('/')
            && notes.first.iter().chain(&notes.last).all(inside)
            && notes.first.is_some() == notes.last.is_some()
            && notes.inside.is_none_or(|at| at < self.start)
            && notes.prepared.iter().all(|p| p.start < p.end)
    }

    /// Weight in [`PAGE_NOTES`].
    fn notes(&self) -> usize {
        let notes = &self.notes;
        notes.tables.len() + notes.ddl.len() + notes.prepared.len() + notes.ended.len()
    }
}

/// Consecutive entries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    /// XA transactions that are prepared where it begins.
    pub(super) prepared: Vec<Prepared>,
    /// In order; without a gap unless an entry says so.
    pub(super) entries: Vec<Entry>,
}

impl Page {
    pub(super) fn is_full(&self) -> bool {
        self.entries.len() >= PAGE_ENTRIES
            || self.entries.iter().map(Entry::notes).sum::<usize>() >= PAGE_NOTES
    }

    /// Takes the XA transactions of a run of entries into account.
    pub(super) fn follow<'a>(
        prepared: &mut Vec<Prepared>,
        entries: impl IntoIterator<Item = &'a Entry>,
    ) {
        for entry in entries {
            if entry.gap.is_some() {
                prepared.clear();
            }
            prepared.retain(|p| !entry.notes.ended.contains(&p.xid));
            prepared.extend(entry.notes.prepared.iter().cloned());
        }
    }

    pub(super) fn encode(&self) -> std::io::Result<Vec<u8>> {
        let mut encoder = zstd::Encoder::new(MAGIC.to_vec(), 1)?;
        serde_json::to_writer(&mut encoder, self)?;
        let mut out = encoder.finish()?;
        let sum = crc32fast::hash(&out);
        out.extend_from_slice(&sum.to_le_bytes());
        Ok(out)
    }

    /// `None` when it is damaged.
    pub(super) fn decode(stored: &[u8]) -> Option<Self> {
        let (covered, sum) = stored.split_at_checked(stored.len().checked_sub(4)?)?;
        if crc32fast::hash(covered).to_le_bytes() != *sum {
            return None;
        }
        let packed = covered.strip_prefix(&MAGIC)?;
        let decoder = zstd::Decoder::new(packed).ok()?;
        let page: Self =
            serde_json::from_reader(std::io::BufReader::new(decoder.take(PAGE_BYTES))).ok()?;
        let in_order = page.entries.is_sorted_by(|a, b| a.end() <= b.at());
        (in_order && page.entries.iter().all(Entry::is_sound)).then_some(page)
    }
}

/// Which page: by where its first entry began when it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PageId {
    pub(super) incarnation: u32,
    pub(super) number: u64,
    pub(super) start: u64,
}

impl PageId {
    pub(super) fn key(&self, version: u64) -> String {
        format!(
            "index/{:06}/{:010}-{:020}.{version:010}",
            self.incarnation, self.number, self.start
        )
    }

    /// From a name below `index`.
    fn parse(name: &str) -> Option<(Self, u64)> {
        let (incarnation, name) = name.split_once('/')?;
        let (place, version) = name.split_once('.')?;
        let (number, start) = place.split_once('-')?;
        let id = Self {
            incarnation: incarnation.parse().ok()?,
            number: number.parse().ok()?,
            start: start.parse().ok()?,
        };
        Some((id, version.parse().ok()?))
    }
}

/// The pages that there are: each with its highest version.
pub(super) type Pages = BTreeMap<PageId, u64>;

/// Lists the pages, and names of pages that were replaced.
pub(super) fn list(objects: &Objects) -> Result<(Pages, Vec<String>)> {
    let mut pages = Pages::new();
    let mut replaced = Vec::new();
    for name in objects.list("index")? {
        let Some((id, version)) = PageId::parse(&name) else {
            continue;
        };
        let old = match pages.get_mut(&id) {
            None => {
                pages.insert(id, version);
                continue;
            }
            Some(known) if *known < version => std::mem::replace(known, version),
            Some(_) => version,
        };
        replaced.push(id.key(old));
    }
    Ok((pages, replaced))
}

/// Reads a page; `None` when that version is gone.
pub(super) fn read(objects: &Objects, id: &PageId, version: u64) -> Result<Option<Arc<Page>>> {
    let key = id.key(version);
    let Some(stored) = objects.get(&key, PAGE_BYTES)? else {
        return Ok(None);
    };
    match Page::decode(&stored) {
        Some(page) => Ok(Some(Arc::new(page))),
        None => Err(Error::Archive {
            doing: format!("read {key} of the archive"),
            why: "it is damaged; restore it from a copy of the archive, or delete it to go \
                  without the history it names"
                .to_owned(),
            passing: false,
        }),
    }
}
