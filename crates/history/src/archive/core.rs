//! What the clones of an archive share: the pages, the page that is being
//! written, and the chunks.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::chunk::{self, Mark};
use super::index::{self, Entry, Page, PageId, Pages};
use super::objects::Objects;
use super::scan::{Notes, Prepared};
use super::summary::Summary;
use crate::change::{Micros, Position};
use crate::error::{Error, Result};
use crate::event::HEADER_BYTES;

/// What a chunk should hold: large enough that what belongs to each (an entry,
/// a request) costs little, small enough that skipping one is worth it, and
/// that three of them (read, decompressed, parsed) take little memory.
pub(super) const CHUNK_BYTES: usize = 4 << 20;

/// Chunks of less are merged.
const SMALL_BYTES: u64 = CHUNK_BYTES as u64 / 2;

/// As many small chunks are merged into one. Each byte is so written about
/// log16(chunks) times, and a page never has many small ones.
const MERGE: usize = 16;

/// The level of a chunk that is not merged any more.
const DONE: u8 = 255;

/// No chunk is larger when stored: events have at most 1 GiB, and little is
/// added to what cannot be compressed.
const STORED_BYTES: u64 = 3 << 30;

/// Pages that are kept in memory: walks read them in order, so few are enough.
const CACHED: usize = 4;

#[derive(Debug)]
pub(super) struct Core {
    pub(super) objects: Objects,
    state: Mutex<State>,
    changed: Condvar,
    /// Whether somebody waits for what was not written yet.
    pub(super) hurry: AtomicBool,
    /// Whether a follower of this process writes: then nothing must be listed
    /// to know the pages.
    writing: AtomicBool,
    /// Until when it is known that nothing is missing; 0 is never.
    pub(super) caught_up: AtomicI64,
}

#[derive(Debug, Default)]
struct State {
    pages: Pages,
    tail: Option<Tail>,
    cache: VecDeque<(PageId, u64, Arc<Page>)>,
    /// What pages say, each with the version of which it does: some hundred
    /// bytes for each GiB of log.
    summaries: BTreeMap<PageId, (u64, Arc<Summary>)>,
    /// Whether those were read that were written down.
    summaries_read: bool,
}

/// A page, its version, and what it says.
pub(super) type Summed = (PageId, u64, Arc<Summary>);

/// The page that is being written.
#[derive(Debug)]
struct Tail {
    id: PageId,
    /// The version that was written last.
    version: Option<u64>,
    page: Page,
    /// Entries that are not written yet.
    unsaved: usize,
    /// Chunks that no version names after the next was written.
    replaced: Vec<String>,
}

/// A run of a log, to be added.
pub(super) struct Run<'a> {
    pub(super) file: &'a str,
    pub(super) start: u64,
    pub(super) raw: &'a [u8],
    pub(super) marks: &'a [Mark],
    pub(super) crc: bool,
    pub(super) gap: Option<String>,
    pub(super) time: Option<(Micros, Micros)>,
    pub(super) notes: Notes,
}

/// Where an archive ends.
pub(super) struct Resumed {
    pub(super) incarnation: u32,
    /// The last entry.
    pub(super) entry: Entry,
    /// The bytes of its chunk.
    pub(super) raw: Vec<u8>,
    /// XA transactions that are prepared behind it.
    pub(super) prepared: Vec<Prepared>,
}

/// Lets one follower at a time write.
pub(super) struct Writing<'a>(&'a Core);

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.0.lock().tail = None;
        self.0.writing.store(false, Ordering::Release);
    }
}

impl Core {
    pub(super) fn new(objects: Objects) -> Self {
        Self {
            objects,
            state: Mutex::default(),
            changed: Condvar::new(),
            hurry: AtomicBool::new(false),
            writing: AtomicBool::new(false),
            caught_up: AtomicI64::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // What is under the lock is written in steps that leave it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pages that there are.
    pub(super) fn pages(&self) -> Result<Pages> {
        if !self.writing.load(Ordering::Acquire) {
            let (pages, _) = index::list(&self.objects)?;
            self.lock().pages = pages;
        }
        Ok(self.lock().pages.clone())
    }

    /// A page in its newest version; `None` when it was deleted.
    pub(super) fn page(&self, id: &PageId, mut version: u64) -> Result<Option<Arc<Page>>> {
        loop {
            let cached = self
                .lock()
                .cache
                .iter()
                .find(|(known, v, _)| known == id && *v == version)
                .map(|(_, _, page)| Arc::clone(page));
            if cached.is_some() {
                return Ok(cached);
            }
            if let Some(page) = index::read(&self.objects, id, version)? {
                self.remember(*id, version, &page);
                return Ok(Some(page));
            }
            // Replaced since it was listed.
            let (pages, _) = index::list(&self.objects)?;
            match pages.get(id) {
                Some(newer) if *newer > version => version = *newer,
                _ => return Ok(None),
            }
        }
    }

    /// What the pages say, in order: of one incarnation, or all. Only pages that
    /// have changed since are read.
    pub(super) fn summaries(&self, incarnation: Option<u32>) -> Result<Vec<Summed>> {
        let pages = self.pages()?;
        if !self.lock().summaries_read {
            // A single page is read as fast as they are.
            let kept = match pages.len() {
                0 | 1 => Vec::new(),
                _ => self.read_summaries()?,
            };
            let mut state = self.lock();
            state.summaries_read = pages.len() > 1;
            for (id, version, summary) in kept {
                state
                    .summaries
                    .entry(id)
                    .or_insert_with(|| (version, Arc::new(summary)));
            }
        }
        self.lock().summaries.retain(|id, _| pages.contains_key(id));
        let mut all = Vec::new();
        for (id, version) in &pages {
            if incarnation.is_some_and(|wanted| wanted != id.incarnation) {
                continue;
            }
            let known = self.lock().summaries.get(id).cloned();
            let summary = match known {
                Some((of, summary)) if of == *version => summary,
                _ => {
                    let Some(page) = self.page(id, *version)? else {
                        continue;
                    };
                    let summary = Arc::new(Summary::of(&page));
                    let known = (*version, Arc::clone(&summary));
                    self.lock().summaries.insert(*id, known);
                    summary
                }
            };
            all.push((*id, *version, summary));
        }
        Ok(all)
    }

    fn remember(&self, id: PageId, version: u64, page: &Arc<Page>) {
        let mut state = self.lock();
        state.cache.retain(|(known, _, _)| *known != id);
        state.cache.push_back((id, version, Arc::clone(page)));
        while state.cache.len() > CACHED {
            state.cache.pop_front();
        }
    }

    /// The newest incarnation; `None` in an empty archive.
    pub(super) fn newest(&self) -> Result<Option<u32>> {
        Ok(self.pages()?.keys().next_back().map(|id| id.incarnation))
    }

    /// Where an incarnation ends.
    pub(super) fn end(&self, incarnation: u32) -> Result<Option<Position>> {
        Ok(self.last(incarnation)?.map(|entry| entry.end()))
    }

    fn last(&self, incarnation: u32) -> Result<Option<Entry>> {
        let pages = self.pages()?;
        for (id, version) in pages.range(range(incarnation)).rev() {
            if let Some(page) = self.page(id, *version)?
                && let Some(entry) = page.entries.last()
            {
                return Ok(Some(entry.clone()));
            }
        }
        Ok(None)
    }

    /// Waits a moment, less when something was written.
    pub(super) fn wait(&self, moment: std::time::Duration) {
        let _ = self.changed.wait_timeout(self.lock(), moment);
    }

    /// Calls `with` for each entry that ends behind `from`, in order, and with
    /// the XA transactions that are prepared where the first of them begins.
    pub(super) fn walk(
        &self,
        incarnation: u32,
        from: Option<&Position>,
        mut with: impl FnMut(&Entry, &[Prepared]) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let pages = self.pages()?;
        let mut first = PageId {
            incarnation,
            number: 0,
            start: 0,
        };
        if let Some(from) = from {
            let at = PageId {
                incarnation,
                number: from.number(),
                start: from.offset,
            };
            if let Some((id, _)) = pages.range(first..=at).next_back() {
                first = *id;
            }
        }
        let last = *range(incarnation).end();
        for (id, version) in pages.range(first..=last) {
            let Some(page) = self.page(id, *version)? else {
                continue;
            };
            let mut prepared = page.prepared.clone();
            for entry in &page.entries {
                if from.is_none_or(|from| entry.end() > *from) {
                    if entry.gap.is_some() {
                        prepared.clear();
                    }
                    if with(entry, &prepared)?.is_break() {
                        return Ok(());
                    }
                }
                Page::follow(&mut prepared, [entry]);
            }
        }
        Ok(())
    }

    /// As [`Core::walk`], without the pages of which `skip` says so by what they
    /// say.
    pub(super) fn walk_some(
        &self,
        incarnation: u32,
        from: Option<&Position>,
        mut skip: impl FnMut(&Summary) -> Result<bool>,
        mut with: impl FnMut(&Entry) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        for (id, version, summary) in self.summaries(Some(incarnation))? {
            if from.is_some_and(|from| summary.is_before(from)) || skip(&summary)? {
                continue;
            }
            let Some(page) = self.page(&id, version)? else {
                continue;
            };
            for entry in &page.entries {
                if from.is_none_or(|from| entry.end() > *from) && with(entry)?.is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// As [`Core::walk`], from the last entry that begins before `from`
    /// backwards.
    pub(super) fn walk_back(
        &self,
        incarnation: u32,
        from: &Position,
        mut with: impl FnMut(&Entry) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let pages = self.pages()?;
        for (id, version) in pages.range(range(incarnation)).rev() {
            if (id.number, id.start) > (from.number(), from.offset) {
                continue;
            }
            let Some(page) = self.page(id, *version)? else {
                continue;
            };
            for entry in page.entries.iter().rev() {
                if entry.at() < *from && with(entry)?.is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Reads a chunk into `raw`.
    ///
    /// # Errors
    /// [`Error::Damaged`], which is also written down, so that windows are
    /// shortened.
    pub(super) fn fetch(
        &self,
        incarnation: u32,
        entry: &Entry,
        raw: &mut Vec<u8>,
    ) -> Result<Vec<Mark>> {
        let key = entry.key(incarnation);
        let why = match self.objects.get(&key, STORED_BYTES)? {
            Some(stored) => match chunk::decode(entry.start, entry.bytes(), &stored, raw) {
                Ok(marks) => match check(entry, raw) {
                    Ok(()) => return Ok(marks),
                    Err(why) => why,
                },
                Err(why) => why,
            },
            None => {
                if let Some(marks) = self.fetch_merged(incarnation, entry, raw)? {
                    return Ok(marks);
                }
                "it is missing"
            }
        };
        // That it is damaged is worth more than that it cannot be noted.
        let note = damage_key(incarnation, entry);
        if let Err(error) = self.objects.put(&note, why.as_bytes().to_vec()) {
            tracing::warn!(%error, chunk = key, "failed to note a damaged chunk");
        }
        Err(Error::Damaged {
            at: entry.at(),
            what: format!(
                "chunk {key} of the archive is damaged: {why}; restore it from a copy of the \
                 archive, or use history on one side of it"
            ),
        })
    }

    /// The chunk is not there: perhaps it was merged since its page was read.
    fn fetch_merged(
        &self,
        incarnation: u32,
        entry: &Entry,
        raw: &mut Vec<u8>,
    ) -> Result<Option<Vec<Mark>>> {
        let mut whole = None;
        self.walk(incarnation, Some(&entry.at()), |merged, _| {
            if merged.file == entry.file
                && merged.start <= entry.start
                && merged.end >= entry.end
                && merged.bytes() > entry.bytes()
            {
                whole = Some(merged.clone());
            }
            Ok(ControlFlow::Break(()))
        })?;
        let Some(whole) = whole else {
            return Ok(None);
        };
        let mut marks = self.fetch(incarnation, &whole, raw)?;
        let from = usize::try_from(entry.start - whole.start).unwrap_or(usize::MAX);
        let bytes = usize::try_from(entry.bytes()).unwrap_or(usize::MAX);
        raw.drain(..from.min(raw.len()));
        raw.truncate(bytes);
        marks.retain(|mark| (entry.start..entry.end).contains(&mark.offset));
        Ok(Some(marks))
    }

    /// Which chunks are known to be damaged, by their keys.
    pub(super) fn damaged(&self) -> Result<HashSet<String>> {
        let names = self.objects.list("damage")?;
        Ok(names.iter().map(|name| format!("chunks/{name}")).collect())
    }

    /// Why a chunk that was found damaged cannot be read; `None` when it can,
    /// now, which is noted.
    pub(super) fn still_damaged(&self, incarnation: u32, entry: &Entry) -> Result<Option<String>> {
        match self.fetch(incarnation, entry, &mut Vec::new()) {
            Ok(_) => self.mended(incarnation, entry).map(|()| None),
            Err(Error::Damaged { what, .. }) => Ok(Some(what)),
            Err(error) => Err(error),
        }
    }

    /// Forgets that a chunk was damaged.
    pub(super) fn mended(&self, incarnation: u32, entry: &Entry) -> Result<()> {
        self.objects.delete(&damage_key(incarnation, entry))
    }

    /// Begins to write.
    ///
    /// # Errors
    /// Somebody in this process does already.
    pub(super) fn begin(&self) -> Result<Writing<'_>> {
        if self.writing.swap(true, Ordering::AcqRel) {
            return Err(Error::Archive {
                doing: "write to the archive".to_owned(),
                why: "another follower of this process does".to_owned(),
                passing: true,
            });
        }
        let writing = Writing(self);
        let (pages, replaced) = index::list(&self.objects)?;
        for key in replaced {
            self.objects.delete(&key)?;
        }
        let mut state = self.lock();
        state.pages = pages;
        state.tail = None;
        drop(state);
        Ok(writing)
    }

    /// Takes the last page up again, without chunks at its end that cannot be
    /// read: those of a machine that lost its power.
    pub(super) fn resume(&self, writing: &Writing<'_>) -> Result<Option<Resumed>> {
        let pages = writing.0.lock().pages.clone();
        let mut last = None;
        for (id, version) in pages.iter().rev() {
            let Some(page) = self.page(id, *version)? else {
                continue;
            };
            if last.is_some_and(|last: PageId| last.incarnation != id.incarnation) {
                break;
            }
            last = Some(*id);
            let mut page = (*page).clone();
            let whole = page.entries.len();
            let mut raw = Vec::new();
            while let Some(entry) = page.entries.last() {
                match self.fetch(id.incarnation, entry, &mut raw) {
                    Ok(_) => break,
                    Err(Error::Damaged { .. }) => {
                        self.mended(id.incarnation, entry)?;
                        page.entries.pop();
                    }
                    Err(error) => return Err(error),
                }
            }
            let entry = page.entries.last().cloned();
            let mut prepared = page.prepared.clone();
            Page::follow(&mut prepared, &page.entries);
            let changed = whole != page.entries.len();
            self.lock().tail = Some(Tail {
                id: *id,
                version: Some(*version),
                page,
                unsaved: usize::from(changed),
                replaced: Vec::new(),
            });
            if changed {
                tracing::warn!(
                    chunks = whole,
                    "the end of the archive was lost; it is pulled again"
                );
                self.save()?;
            }
            if let Some(entry) = entry {
                return Ok(Some(Resumed {
                    incarnation: id.incarnation,
                    entry,
                    raw,
                    prepared,
                }));
            }
        }
        Ok(None)
    }

    /// Writes a chunk. Its entry is written by the next [`Core::save`].
    pub(super) fn append(
        &self,
        incarnation: u32,
        run: Run<'_>,
        prepared: &[Prepared],
    ) -> Result<()> {
        let entry = Entry {
            file: run.file.to_owned(),
            start: run.start,
            end: run.start + run.raw.len() as u64,
            crc: run.crc,
            level: if run.raw.len() as u64 >= SMALL_BYTES {
                DONE
            } else {
                0
            },
            gap: run.gap,
            time: run.time,
            notes: run.notes,
        };
        let stored = chunk::encode(run.start, run.raw, run.marks).map_err(compress)?;
        self.objects.put(&entry.key(incarnation), stored)?;
        let mut state = self.lock();
        let begins_new = state
            .tail
            .as_ref()
            .is_none_or(|tail| tail.id.incarnation != incarnation || tail.page.is_full());
        if begins_new {
            drop(state);
            self.save()?;
            state = self.lock();
            let id = PageId {
                incarnation,
                number: entry.at().number(),
                start: entry.start,
            };
            state.tail = Some(Tail {
                id,
                // There may be one, emptied because its chunks were lost.
                version: state.pages.get(&id).copied(),
                page: Page {
                    prepared: prepared.to_vec(),
                    entries: Vec::new(),
                },
                unsaved: 0,
                replaced: Vec::new(),
            });
        }
        if let Some(tail) = &mut state.tail {
            tail.page.entries.push(entry);
            tail.unsaved += 1;
        }
        Ok(())
    }

    /// How many entries wait for [`Core::save`].
    pub(super) fn unsaved(&self) -> usize {
        self.lock().tail.as_ref().map_or(0, |tail| tail.unsaved)
    }

    /// Merges small chunks at the end, and writes the page.
    pub(super) fn save(&self) -> Result<()> {
        let Some(mut tail) = self.lock().tail.take() else {
            return Ok(());
        };
        let saved = self.save_tail(&mut tail);
        self.lock().tail = Some(tail);
        self.changed.notify_all();
        saved
    }

    fn save_tail(&self, tail: &mut Tail) -> Result<()> {
        if tail.unsaved == 0 {
            return Ok(());
        }
        while let Some(from) = to_merge(&tail.page.entries) {
            self.merge(tail, from..tail.page.entries.len())?;
        }
        if tail.page.is_full() {
            // The rests of files, and what levels left apart.
            let mut from = 0;
            while from < tail.page.entries.len() {
                let to = from + neighbours(&tail.page.entries[from..]);
                if to - from > 1 {
                    self.merge(tail, from..to)?;
                }
                from += 1;
            }
        }
        self.write(tail)?;
        if tail.page.is_full()
            && let Err(error) = self.write_summaries()
        {
            // Whoever opens the archive next reads more of it, that is all.
            tracing::warn!(%error, "failed to write down what the pages of an archive say");
        }
        Ok(())
    }

    /// Writes a new version of the page, and deletes what it replaces.
    fn write(&self, tail: &mut Tail) -> Result<()> {
        let version = tail.version.map_or(0, |version| version + 1);
        let bytes = tail.page.encode().map_err(compress)?;
        if !self.objects.create(&tail.id.key(version), bytes)? {
            return Err(Error::Archive {
                doing: format!("write {} of the archive", tail.id.key(version)),
                why: "another process writes to this archive".to_owned(),
                passing: true,
            });
        }
        let old = tail.version.replace(version);
        tail.unsaved = 0;
        self.remember(tail.id, version, &Arc::new(tail.page.clone()));
        self.lock().pages.insert(tail.id, version);
        if let Some(old) = old {
            self.objects.delete(&tail.id.key(old))?;
        }
        for key in std::mem::take(&mut tail.replaced) {
            self.objects.delete(&key)?;
        }
        Ok(())
    }

    fn merge(&self, tail: &mut Tail, range: std::ops::Range<usize>) -> Result<()> {
        let incarnation = tail.id.incarnation;
        let entries = &tail.page.entries[range.clone()];
        let (mut raw, mut one, mut marks) = (Vec::new(), Vec::new(), Vec::new());
        let mut merged: Option<Entry> = None;
        for entry in entries {
            match self.fetch(incarnation, entry, &mut one) {
                Ok(more) => marks.extend(more),
                Err(Error::Damaged { .. }) => {
                    // Stays as it is, and is told of by whoever needs it.
                    for entry in &mut tail.page.entries[range] {
                        entry.level = DONE;
                    }
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
            raw.extend_from_slice(&one);
            match &mut merged {
                None => merged = Some(entry.clone()),
                Some(merged) => join(merged, entry),
            }
        }
        let Some(mut merged) = merged else {
            return Ok(());
        };
        merged.level = if merged.bytes() >= SMALL_BYTES {
            DONE
        } else {
            merged.level.saturating_add(1)
        };
        let stored = chunk::encode(merged.start, &raw, &marks).map_err(compress)?;
        self.objects.put(&merged.key(incarnation), stored)?;
        let gone = tail.page.entries.splice(range, [merged]);
        let gone: Vec<String> = gone.map(|entry| entry.key(incarnation)).collect();
        tail.replaced.extend(gone);
        Ok(())
    }

    /// Deletes what lies before `position`.
    pub(super) fn purge_before(&self, incarnation: u32, position: &Position) -> Result<()> {
        // What is needed to read from there on: XA transactions prepared before.
        let mut keep = position.clone();
        self.walk(incarnation, Some(position), |entry, prepared| {
            for p in prepared {
                let at = Position {
                    file: p.file.clone(),
                    offset: p.start,
                };
                keep = keep.clone().min(at);
            }
            if let Some(inside) = entry.notes.inside {
                let at = Position {
                    file: entry.file.clone(),
                    offset: inside,
                };
                if at < *position {
                    keep = keep.clone().min(at);
                }
            }
            Ok(ControlFlow::Break(()))
        })?;
        // The last page stays, so that it is known where the archive ends.
        let mut all = self.summaries(None)?;
        if all.pop().is_none() {
            return Ok(());
        }
        let is_left = |(id, _, summary): &Summed| {
            id.incarnation < incarnation
                || (id.incarnation == incarnation && summary.is_before(&keep))
        };
        let left: Vec<Summed> = all.into_iter().take_while(is_left).collect();
        let Some(first) = left.last().map(|(id, ..)| *id) else {
            return Ok(());
        };
        for (id, version, _) in &left {
            self.objects.delete(&id.key(*version))?;
            self.lock().pages.remove(id);
        }
        let Some(first) = self.pages()?.range(first..).next().map(|(id, _)| *id) else {
            return Ok(());
        };
        // No page names what begins before the first one: what those named that
        // went, and what crashes left behind.
        for folder in ["chunks", "damage"] {
            for name in self.objects.list(folder)? {
                if chunk_place(&name).is_some_and(|place| place < first) {
                    self.objects.delete(&format!("{folder}/{name}"))?;
                }
            }
        }
        Ok(())
    }
}

/// The pages of an incarnation.
pub(super) fn range(incarnation: u32) -> std::ops::RangeInclusive<PageId> {
    let of = |number, start| PageId {
        incarnation,
        number,
        start,
    };
    of(0, 0)..=of(u64::MAX, u64::MAX)
}

fn damage_key(incarnation: u32, entry: &Entry) -> String {
    entry.key(incarnation).replacen("chunks/", "damage/", 1)
}

/// Where a chunk begins, by its key.
pub(super) fn place_of(key: &str) -> Option<PageId> {
    chunk_place(key.strip_prefix("chunks/")?)
}

/// Where a chunk begins, by its name below `chunks`.
fn chunk_place(name: &str) -> Option<PageId> {
    let (incarnation, name) = name.split_once('/')?;
    let mut parts = name.split('-');
    Some(PageId {
        incarnation: incarnation.parse().ok()?,
        number: parts.next()?.parse().ok()?,
        start: parts.next()?.parse().ok()?,
    })
}

/// Whether the events of a chunk are whole and fill it.
fn check(entry: &Entry, raw: &[u8]) -> Result<(), &'static str> {
    let mut rest = raw;
    if entry.start == 0 {
        rest = rest
            .strip_prefix(&crate::event::MAGIC)
            .ok_or("it does not begin as a log does")?;
    }
    while !rest.is_empty() {
        let header = crate::event::Header::read(rest).ok_or("its events are malformed")?;
        rest = rest
            .get((header.bytes as usize).max(HEADER_BYTES)..)
            .ok_or("its events are malformed")?;
    }
    Ok(())
}

/// Whether `b` follows `a` in one file without a gap.
fn touch(a: &Entry, b: &Entry) -> bool {
    a.file == b.file && a.end == b.start && b.gap.is_none() && a.crc == b.crc && !a.notes.unknown_xa
}

/// From where on small chunks at the end are to be merged.
fn to_merge(entries: &[Entry]) -> Option<usize> {
    let level = entries.last()?.level;
    let from = entries.len().checked_sub(MERGE)?;
    let run = &entries[from..];
    let same = run.iter().all(|entry| entry.level == level);
    (level != DONE && same && run.windows(2).all(|pair| touch(&pair[0], &pair[1]))).then_some(from)
}

/// How many entries from the first on can become one chunk.
fn neighbours(entries: &[Entry]) -> usize {
    let mut bytes = 0;
    let mut count = 0;
    for (i, entry) in entries.iter().enumerate() {
        bytes += entry.bytes();
        if bytes > CHUNK_BYTES as u64 || (i > 0 && !touch(&entries[i - 1], entry)) {
            break;
        }
        count += 1;
    }
    count.max(1)
}

/// Extends an entry by the one that follows it.
fn join(into: &mut Entry, more: &Entry) {
    into.end = more.end;
    into.level = into.level.max(more.level);
    into.time = match (into.time, more.time) {
        (Some((first, latest)), Some((_, other))) => Some((first, latest.max(other))),
        (one, other) => one.or(other),
    };
    let (notes, more) = (&mut into.notes, &more.notes);
    if notes.inside.is_some() && notes.first.is_none() {
        notes.head_prepared |= more.head_prepared;
        for name in &more.head {
            if !notes.head.contains(name) {
                notes.head.push(name.clone());
            }
        }
    }
    notes.groups += more.groups;
    notes.first = notes.first.or(more.first);
    notes.last = more.last.or(notes.last);
    notes.open = more.open;
    notes.unknown_xa = more.unknown_xa;
    if more.last.is_some() {
        notes.last_id.clone_from(&more.last_id);
    }
    for (of, least, greatest) in &more.ids {
        match notes.ids.iter_mut().find(|(known, _, _)| known == of) {
            Some(range) => {
                range.1 = range.1.min(*least);
                range.2 = range.2.max(*greatest);
            }
            None => notes.ids.push((of.clone(), *least, *greatest)),
        }
    }
    for (name, events, bytes) in &more.tables {
        match notes
            .tables
            .binary_search_by(|(known, _, _)| known.cmp(name))
        {
            Ok(at) => {
                notes.tables[at].1 += events;
                notes.tables[at].2 += bytes;
            }
            Err(at) => notes.tables.insert(at, (name.clone(), *events, *bytes)),
        }
    }
    notes.ddl.extend(more.ddl.iter().cloned());
    notes.text |= more.text;
    notes.opaque |= more.opaque;
    for xid in &more.ended {
        match notes.prepared.iter().position(|p| p.xid == *xid) {
            Some(at) => {
                notes.prepared.swap_remove(at);
            }
            None => notes.ended.push(xid.clone()),
        }
    }
    notes.prepared.extend(more.prepared.iter().cloned());
    notes.format = notes.format.take().or_else(|| more.format.clone());
}

fn compress(error: std::io::Error) -> Error {
    Error::Archive {
        doing: "compress a chunk of the archive".to_owned(),
        why: error.to_string(),
        passing: false,
    }
}
