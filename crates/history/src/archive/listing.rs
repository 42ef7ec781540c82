//! Windows, transactions around a time, crossings, definition statements.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;

use super::chunk::Mark;
use super::core::{Core, Summed, place_of};
use super::index::{Entry, PageId};
use super::locate::commit_time;
use super::source::{ArchiveSource, Names, events};
use super::summary::{self, Windows};
use super::{Archive, Instant, TableCount, Txn, Window};
use crate::body::Query;
use crate::change::{
    Group, GroupEnd, Gtid, Item, Micros, Position, Statement, StatementKind, TableName,
};
use crate::error::{Error, Result};
use crate::event::{Header, split};
use crate::reader::{Reader, ReaderOptions};

/// How much of a definition statement is shown.
const DDL_BYTES: usize = 1024;

/// How many chunks (of about 4 MiB) are read to find transactions on each side
/// of an instant: some seconds' worth. Chunks that do not concern the table are
/// not read and do not count.
const CHUNKS_A_SIDE: usize = 256;

/// What prepared XA transactions may take in memory while transactions are
/// listed.
const XA_BYTES: u64 = 16 << 20;

impl Core {
    /// Where the last group of an incarnation ends that has ended.
    pub(super) fn whole_end(&self, incarnation: u32) -> Result<Option<Position>> {
        let Some(end) = self.end(incarnation)? else {
            return Ok(None);
        };
        let mut whole = end.clone();
        self.walk_back(incarnation, &end, |entry| {
            whole = entry.whole_end();
            Ok(ControlFlow::Break(()))
        })?;
        Ok(Some(whole))
    }
}

/// Whether what begins at `begin` follows what ends at `end` in the server's
/// history; `gap` is why what is before it is missing.
pub(super) fn joins(end: &Position, begin: &Position, gap: Option<&str>) -> bool {
    gap.is_none() && (end == begin || (begin.offset == 0 && begin.number() == end.number() + 1))
}

/// Whether a transaction is in ranges of ids: of whom, the least, the greatest.
pub(super) fn has_id(ids: &[(String, u64, u64)], gtid: &Gtid) -> bool {
    let (of, number) = match gtid {
        Gtid::Triple {
            domain,
            server,
            sequence,
        } => (format!("{domain}-{server}"), *sequence),
        Gtid::Source { number, .. } => {
            let text = gtid.to_string();
            let of = text.split(':').next().unwrap_or_default().to_owned();
            (of, *number)
        }
    };
    ids.iter()
        .any(|(known, least, greatest)| *known == of && (*least..=*greatest).contains(&number))
}

impl Archive {
    /// The windows of an incarnation, of which `pages` are all.
    fn windows_of(
        &self,
        incarnation: u32,
        pages: &[Summed],
        damaged: &HashSet<String>,
        into: &mut Vec<Window>,
    ) -> Result<()> {
        let core = self.core();
        // Only a page with a damaged chunk must be read.
        let mut hurt: BTreeSet<PageId> = BTreeSet::new();
        for place in damaged.iter().filter_map(|key| place_of(key)) {
            let at = pages.partition_point(|(id, ..)| *id <= place);
            hurt.extend(at.checked_sub(1).map(|at| pages[at].0));
        }
        let mut windows = Windows::new(incarnation);
        for (id, version, summary) in pages {
            let page = match hurt.contains(id) {
                true => core.page(id, *version)?,
                false => None,
            };
            let Some(page) = page else {
                for piece in summary.pieces() {
                    windows.take_in(piece, into);
                }
                continue;
            };
            let mut failed = None;
            let pieces = summary::pieces(&page.entries, |entry| {
                if !damaged.contains(&entry.key(incarnation)) {
                    return None;
                }
                core.still_damaged(incarnation, entry)
                    .unwrap_or_else(|error| {
                        failed = Some(error);
                        None
                    })
            });
            if let Some(error) = failed {
                return Err(error);
            }
            for piece in pieces {
                windows.take_in(piece, into);
            }
        }
        windows.end(into);
        Ok(())
    }

    pub(super) fn all_windows(&self) -> Result<Vec<Window>> {
        let pages = self.core().summaries(None)?;
        let damaged = self.core().damaged()?;
        let mut windows = Vec::new();
        for pages in pages.chunk_by(|(a, ..), (b, ..)| a.incarnation == b.incarnation) {
            self.windows_of(pages[0].0.incarnation, pages, &damaged, &mut windows)?;
        }
        // Nothing happened since, where we know that we have all.
        let caught_up = Micros(self.core().caught_up.load(Ordering::Acquire));
        if let Some(last) = windows.last_mut() {
            last.to.time = last.to.time.max(caught_up);
        }
        Ok(windows)
    }

    pub(super) fn names_between(
        &self,
        from: &Position,
        to: &Position,
        tables: &HashSet<TableName>,
    ) -> Result<HashSet<TableName>> {
        let mut renames = Vec::new();
        self.core().walk_some(
            self.incarnation()?,
            Some(from),
            |summary| Ok(!summary.renamed),
            |entry| {
                if entry.at() >= *to {
                    return Ok(ControlFlow::Break(()));
                }
                for ddl in &entry.notes.ddl {
                    renames.extend(ddl.renamed.iter().cloned());
                }
                Ok(ControlFlow::Continue(()))
            },
        )?;
        let mut all = tables.clone();
        let mut names = Names::new(tables);
        loop {
            let known = all.len();
            for (from, to) in &renames {
                if names.has(from) != names.has(to) {
                    names.add(from);
                    names.add(to);
                    all.insert(from.clone());
                    all.insert(to.clone());
                }
            }
            if all.len() == known {
                return Ok(all);
            }
        }
    }

    /// The events between, after a look at whether all of them are there.
    pub(super) fn source_between(
        &self,
        from: &Position,
        to: &Position,
        tables: Option<&HashSet<TableName>>,
    ) -> Result<ArchiveSource> {
        let incarnation = self.incarnation()?;
        let missing = |why: String| Error::Gap {
            what: format!("read history from {from} to {to}: {why}"),
        };
        if from > to {
            return Err(missing("it ends before it begins".to_owned()));
        }
        let end = self.core().end(incarnation)?;
        if end.as_ref().is_none_or(|end| to > end) {
            return Err(missing(match end {
                Some(end) => format!("the archive ends at {end}"),
                None => "the archive is empty".to_owned(),
            }));
        }
        if let Some(end) = &end
            && from < end
        {
            self.without_gap(incarnation, from, to, &missing)?;
        }
        let names = match tables {
            Some(tables) => Some(Names::new(&self.names_between(from, to, tables)?)),
            None => None,
        };
        Ok(ArchiveSource::new(self, incarnation, from, to, names))
    }

    /// Looks whether all is there between two positions.
    fn without_gap(
        &self,
        incarnation: u32,
        from: &Position,
        to: &Position,
        missing: &dyn Fn(String) -> Error,
    ) -> Result<()> {
        // What the first chunk follows, where it begins behind `from`.
        let mut before: Option<Position> = None;
        self.core().walk_back(incarnation, from, |entry| {
            before = (entry.end() <= *from).then(|| entry.end());
            Ok(ControlFlow::Break(()))
        })?;
        let before = std::cell::RefCell::new(before);
        let follows = |begin: &Position, end: &Position, gap: Option<&str>| {
            let mut before = before.borrow_mut();
            let there = match &*before {
                Some(last) => joins(last, begin, gap) && last >= from || begin == from,
                None => begin <= from,
            };
            if !there {
                let begins = || format!("the archive begins at {begin} there");
                return Err(missing(gap.map_or_else(begins, str::to_owned)));
            }
            *before = Some(end.clone());
            Ok(())
        };
        self.core().walk_some(
            incarnation,
            Some(from),
            |summary| match summary.runs.as_slice() {
                [run] if run.begin >= *from && run.end <= *to => {
                    follows(&run.begin, &run.end, run.gap.as_deref())?;
                    Ok(true)
                }
                _ => Ok(false),
            },
            |entry| {
                if entry.at() >= *to {
                    return Ok(ControlFlow::Break(()));
                }
                follows(&entry.at(), &entry.end(), entry.gap.as_deref())?;
                Ok(ControlFlow::Continue(()))
            },
        )
    }

    /// Where the group ends that begins at a position, or one soon after it.
    fn behind_group(&self, position: &Position) -> Result<Option<Position>> {
        let mut end = None;
        self.core()
            .walk(self.incarnation()?, Some(position), |entry, _| {
                let whole = entry.whole_end();
                if whole <= *position {
                    return Ok(ControlFlow::Continue(()));
                }
                end = Some(whole);
                Ok(ControlFlow::Break(()))
            })?;
        Ok(end)
    }

    /// The last transaction that took effect before `to`, where the last group
    /// before that begins at `begin`.
    pub(super) fn last_txn(&self, begin: &Position, to: &Position) -> Result<Option<Txn>> {
        let mut found = self.last_between(begin, to)?;
        if found.is_some() {
            return Ok(found);
        }
        // That group had no effect: those before it, a chunk at a time.
        let mut upper = begin.clone();
        let mut chunks = 0;
        self.core().walk_back(self.incarnation()?, begin, |entry| {
            if let Some(first) = entry.notes.first {
                let lower = Position {
                    file: entry.file.clone(),
                    offset: first,
                };
                if lower < upper {
                    found = self.last_between(&lower, &upper)?;
                    upper = lower;
                    chunks += 1;
                }
            }
            Ok(
                if found.is_some() || entry.gap.is_some() || chunks >= CHUNKS_A_SIDE {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                },
            )
        })?;
        Ok(found)
    }

    fn last_between(&self, from: &Position, to: &Position) -> Result<Option<Txn>> {
        let mut last = None;
        self.read_txns(from, to, None, |txn, _| {
            last = Some(txn);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(last)
    }

    /// The transaction that begins at a position.
    pub(super) fn txn_at(&self, position: &Position) -> Result<Option<Txn>> {
        let mut found = None;
        let Some(end) = self.core().whole_end(self.incarnation()?)? else {
            return Ok(None);
        };
        if *position >= end {
            return Ok(None);
        }
        let mut from = position.clone();
        while found.is_none() && from < end {
            let to = self
                .behind_group(&from)?
                .map_or(end.clone(), |to| to.min(end.clone()));
            self.read_txns(&from, &to, None, |txn, _| {
                found = Some(txn);
                Ok(ControlFlow::Break(()))
            })?;
            from = to;
        }
        Ok(found)
    }

    /// Calls `with` for each transaction between two positions that took effect
    /// (with `tables`, at least for those that concern them), and with whether
    /// a definition statement in it is about one of the tables.
    fn read_txns(
        &self,
        from: &Position,
        to: &Position,
        tables: Option<&HashSet<TableName>>,
        mut with: impl FnMut(Txn, bool) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let spill = tempfile::tempdir().map_err(|source| Error::Io {
            doing: "make a folder in",
            path: std::env::temp_dir(),
            source,
        })?;
        let options = ReaderOptions {
            wanted: None,
            spill: spill.path().to_owned(),
            xa_memory: XA_BYTES,
            lower_case_names: false,
        };
        let mut clock = Clock::new(self.incarnation()?);
        let mut reader = Reader::new(self.source_between(from, to, tables)?, options);
        let mut gathered = Gathered {
            names: tables.map(Names::new),
            ..Gathered::default()
        };
        while let Some(item) = reader.next()? {
            if let Item::End(end) = item {
                if let Some(txn) = gathered.end(self.core(), &mut clock, end)?
                    && with(txn, gathered.defines)?.is_break()
                {
                    break;
                }
            } else {
                gathered.take_in(&item);
            }
        }
        Ok(())
    }

    pub(super) fn transactions_around(
        &self,
        table: Option<&TableName>,
        around: Micros,
        before: usize,
        after: usize,
    ) -> Result<Vec<Txn>> {
        let incarnation = self.incarnation()?;
        let core = self.core();
        let Some(end) = core.whole_end(incarnation)? else {
            return Ok(Vec::new());
        };
        let cut = core.cut(
            incarnation,
            |page| page.is_earlier(around),
            |entry| entry.time.is_some_and(|(_, latest)| latest < around),
            |place| place.time < around,
        )?;
        let middle = cut.undone.map_or(end.clone(), |place| place.position);
        let tables: Option<HashSet<TableName>> = match table {
            Some(table) => {
                let one = HashSet::from([table.clone()]);
                let pages = core.summaries(Some(incarnation))?;
                let first = pages.iter().find_map(|(_, _, summary)| summary.span());
                Some(match first {
                    Some((first, _)) => self.names_between(first, &end, &one)?,
                    None => one,
                })
            }
            None => None,
        };
        let wanted = tables.as_ref().map(Names::new);
        let is_wanted = |txn: &Txn, defines: bool| {
            wanted
                .as_ref()
                .is_none_or(|names| defines || txn.tables.iter().any(|t| names.has(&t.name)))
        };
        // Backwards, a chunk's groups at a time.
        let mut back: Vec<Txn> = Vec::new();
        let mut upper = middle.clone();
        let mut chunks = 0;
        let mut needed_behind = false;
        if before > 0 {
            core.walk_back(incarnation, &middle, |entry| {
                let needed = needed_behind
                    || wanted
                        .as_ref()
                        .is_none_or(|names| names.concerns(&entry.notes));
                let gap = entry.gap.is_some();
                needed_behind = needed && entry.notes.inside.is_some();
                if let Some(first) = entry.notes.first {
                    let lower = Position {
                        file: entry.file.clone(),
                        offset: first,
                    };
                    if lower < upper {
                        if needed {
                            chunks += 1;
                            let mut here = Vec::new();
                            self.read_txns(&lower, &upper, tables.as_ref(), |txn, defines| {
                                if is_wanted(&txn, defines) {
                                    here.push(txn);
                                }
                                Ok(ControlFlow::Continue(()))
                            })?;
                            here.append(&mut back);
                            back = here;
                        }
                        upper = lower;
                    }
                }
                Ok(if gap || back.len() >= before || chunks >= CHUNKS_A_SIDE {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                })
            })?;
            back.drain(..back.len().saturating_sub(before));
        }
        // Forwards, up to the next gap.
        let mut forth = Vec::new();
        let mut to = middle.clone();
        let mut chunks = 0;
        core.walk(incarnation, Some(&middle), |entry, _| {
            if entry.gap.is_some() && entry.at() > middle || chunks >= CHUNKS_A_SIDE {
                return Ok(ControlFlow::Break(()));
            }
            to = entry.end();
            let counts = wanted
                .as_ref()
                .is_none_or(|names| names.concerns(&entry.notes));
            chunks += usize::from(counts);
            Ok(ControlFlow::Continue(()))
        })?;
        let to = to.min(end);
        if after > 0 && middle < to {
            self.read_txns(&middle, &to, tables.as_ref(), |txn, defines| {
                if is_wanted(&txn, defines) {
                    forth.push(txn);
                }
                Ok(if forth.len() >= after {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                })
            })?;
        }
        back.append(&mut forth);
        Ok(back)
    }

    pub(super) fn first_crossing(
        &self,
        from: &Position,
        to: &Position,
        chosen: &HashSet<TableName>,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Option<Txn>> {
        let names = Names::new(&self.names_between(from, to, chosen)?);
        let mut found = None;
        self.read_txns(from, to, Some(chosen), |txn, _| {
            if cancelled() {
                return Err(Error::Cancelled);
            }
            let touched = txn.tables.iter().filter(|t| names.has(&t.name)).count();
            if touched > 0 && touched < txn.tables.len() {
                found = Some(txn);
                return Ok(ControlFlow::Break(()));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(found)
    }

    pub(super) fn ddl_between(
        &self,
        from: &Position,
        to: &Position,
        tables: Option<&HashSet<TableName>>,
    ) -> Result<Vec<Statement>> {
        let incarnation = self.incarnation()?;
        // Also says when not all of it is there.
        drop(self.source_between(from, to, None)?);
        let names = match tables {
            Some(tables) => Some(Names::new(&self.names_between(from, to, tables)?)),
            None => None,
        };
        let core = self.core();
        let mut statements = Vec::new();
        let mut raw = Vec::new();
        core.walk_some(
            incarnation,
            Some(from),
            |page| Ok(!page.ddl),
            |entry| {
                if entry.at() >= *to {
                    return Ok(ControlFlow::Break(()));
                }
                let at = |offset| Position {
                    file: entry.file.clone(),
                    offset,
                };
                let wanted: HashSet<u64> = entry
                    .notes
                    .ddl
                    .iter()
                    .filter(|ddl| at(ddl.at) >= *from && at(ddl.at) < *to)
                    .filter(|ddl| names.as_ref().is_none_or(|names| names.defined_by(ddl)))
                    .map(|ddl| ddl.at)
                    .collect();
                if wanted.is_empty() {
                    return Ok(ControlFlow::Continue(()));
                }
                core.fetch(incarnation, entry, &mut raw)?;
                for (offset, event) in events(entry.start, &raw) {
                    if !wanted.contains(&offset) {
                        continue;
                    }
                    let Some(event) = split(event, entry.checksum(), || at(offset))? else {
                        continue;
                    };
                    let query = Query::read(event.header.kind, event.body).map_err(|what| {
                        Error::Damaged {
                            at: at(offset),
                            what: what.to_owned(),
                        }
                    })?;
                    statements.push(Statement {
                        kind: super::scan::classify(&query),
                        schema: String::from_utf8_lossy(query.schema).into_owned(),
                        text: query.text.into_owned(),
                        at: at(offset),
                    });
                }
                Ok(ControlFlow::Continue(()))
            },
        )?;
        Ok(statements)
    }
}

/// Extends a window, from and to, by a chunk, or begins one.
pub(super) fn extend(window: &mut Option<(Instant, Instant)>, entry: &Entry) {
    let notes = &entry.notes;
    let at = |offset| Position {
        file: entry.file.clone(),
        offset,
    };
    let until = entry.whole_end();
    let last_id = notes.last_id.clone();
    if let Some((_, to)) = window {
        // A group that is not over yet does not count.
        to.position = until.max(to.position.clone());
        if let Some((_, latest)) = entry.time {
            to.time = to.time.max(latest);
        }
        to.gtid = last_id.or(to.gtid.take());
        return;
    }
    // A chunk that begins within a group: history begins with the next one.
    let first = match (notes.inside, notes.first) {
        (Some(_), Some(first)) => at(first),
        (Some(_), None) => return,
        (None, _) => entry.at(),
    };
    // The state at the begin of a file is known from when it was made.
    let made = notes
        .format
        .as_deref()
        .and_then(Header::read)
        .map(|header| Micros::from_s(header.time_s));
    let Some(time) = made.or(entry.time.map(|(first, _)| first)) else {
        return;
    };
    let to = Instant {
        time: entry.time.map_or(time, |(_, latest)| latest).max(time),
        position: until.max(first.clone()),
        gtid: last_id,
    };
    let from = Instant {
        time,
        position: first,
        gtid: None,
    };
    *window = Some((from, to));
}

/// Looks up when groups arrived.
struct Clock {
    incarnation: u32,
    entry: Option<Entry>,
    marks: Vec<Mark>,
    raw: Vec<u8>,
}

impl Clock {
    const fn new(incarnation: u32) -> Self {
        Self {
            incarnation,
            entry: None,
            marks: Vec::new(),
            raw: Vec::new(),
        }
    }

    fn time(&mut self, core: &Core, group: &Group) -> Result<(Micros, bool)> {
        let at = &group.start;
        let holds = |entry: &Entry| {
            entry.file == at.file && entry.start <= at.offset && at.offset < entry.end
        };
        if !self.entry.as_ref().is_some_and(holds) {
            self.entry = None;
            self.marks.clear();
            let (raw, marks, incarnation) = (&mut self.raw, &mut self.marks, self.incarnation);
            let mut found = None;
            core.walk(incarnation, Some(at), |entry, _| {
                if holds(entry) {
                    *marks = core.fetch(incarnation, entry, raw)?;
                    found = Some(entry.clone());
                }
                Ok(ControlFlow::Break(()))
            })?;
            self.entry = found;
        }
        let arrived = self
            .marks
            .binary_search_by_key(&at.offset, |mark| mark.offset)
            .ok()
            .map(|i| self.marks[i].clock);
        Ok(commit_time(group.time_s, arrived))
    }
}

/// A transaction while it is read.
#[derive(Debug, Default)]
struct Gathered {
    group: Option<Group>,
    tables: BTreeMap<TableName, (u64, u64, u64)>,
    ddl: Vec<String>,
    names: Option<Names>,
    /// Whether a definition statement is about one of the names.
    defines: bool,
}

impl Gathered {
    fn take_in(&mut self, item: &Item<'_>) {
        match item {
            Item::Begin(group) => {
                self.group = Some((*group).clone());
                self.tables.clear();
                self.ddl.clear();
                self.defines = false;
            }
            Item::Change(change) => {
                let name = &change.table.name;
                let count = match self.tables.get_mut(name) {
                    Some(count) => count,
                    None => self.tables.entry(name.clone()).or_default(),
                };
                match (change.before, change.after) {
                    (None, _) => count.0 += 1,
                    (Some(_), Some(_)) => count.1 += 1,
                    (Some(_), None) => count.2 += 1,
                }
            }
            Item::Statement(statement) => {
                if let StatementKind::Ddl(ddl) = &statement.kind {
                    let note = super::scan::note(statement.at.offset, ddl);
                    self.defines |= self.names.as_ref().is_some_and(|n| n.defined_by(&note));
                    let text = statement.text.get(..DDL_BYTES).unwrap_or(&statement.text);
                    self.ddl.push(String::from_utf8_lossy(text).into_owned());
                }
            }
            Item::End(_) => {}
        }
    }

    fn end(&mut self, core: &Core, clock: &mut Clock, end: &GroupEnd) -> Result<Option<Txn>> {
        let Some(group) = self.group.take() else {
            return Ok(None);
        };
        let tables = std::mem::take(&mut self.tables);
        if !end.committed && tables.is_empty() {
            return Ok(None);
        }
        let (time, exact) = clock.time(core, &group)?;
        Ok(Some(Txn {
            gtid: group.gtid,
            position: group.start,
            end: end.end.clone(),
            time,
            exact,
            tables: tables
                .into_iter()
                .map(|(name, (inserts, updates, deletes))| TableCount {
                    name,
                    inserts,
                    updates,
                    deletes,
                })
                .collect(),
            ddl: std::mem::take(&mut self.ddl),
        }))
    }
}
