//! Windows, transactions around a time, crossings, definition statements.

use std::collections::{BTreeMap, HashSet};
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;

use super::chunk::Mark;
use super::core::Core;
use super::index::Entry;
use super::locate::commit_time;
use super::source::{ArchiveSource, Names, events};
use super::{Archive, Instant, TableCount, Txn, Window};
use crate::body::Query;
use crate::change::{Group, GroupEnd, Item, Micros, Position, Statement, StatementKind, TableName};
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
            if entry.notes.open
                && let Some(offset) = entry.notes.last.or(entry.notes.inside)
            {
                whole = Position {
                    file: entry.file.clone(),
                    offset,
                };
            }
            Ok(ControlFlow::Break(()))
        })?;
        Ok(Some(whole))
    }
}

/// Whether `b` follows `a` in the server's history.
pub(super) fn follows(a: &Entry, b: &Entry) -> bool {
    b.gap.is_none()
        && ((a.file == b.file && a.end == b.start)
            || (b.start == 0 && b.at().number() == a.at().number() + 1))
}

impl Archive {
    pub(super) fn windows_of(&self, incarnation: u32, into: &mut Vec<Window>) -> Result<()> {
        let core = self.core();
        let damaged = core.damaged()?;
        let mut raw = Vec::new();
        let mut before: Option<Entry> = None;
        let mut why = None;
        let mut window: Option<Window> = None;
        core.walk(incarnation, None, |entry, _| {
            if damaged.contains(&entry.key(incarnation)) {
                match core.fetch(incarnation, entry, &mut raw) {
                    Ok(_) => core.mended(incarnation, entry)?,
                    Err(Error::Damaged { what, .. }) => {
                        into.extend(window.take());
                        why = Some(what);
                        before = None;
                        return Ok(ControlFlow::Continue(()));
                    }
                    Err(error) => return Err(error),
                }
            }
            if let Some(last) = before.as_ref()
                && !follows(last, entry)
            {
                into.extend(window.take());
                why = entry
                    .gap
                    .clone()
                    .or_else(|| Some(format!("the archive lacks what follows {}", last.end())));
            } else if before.is_none() && entry.gap.is_some() {
                why.clone_from(&entry.gap);
            }
            before = Some(entry.clone());
            extend(&mut window, incarnation, entry, &mut why);
            Ok(ControlFlow::Continue(()))
        })?;
        into.extend(window);
        Ok(())
    }

    pub(super) fn all_windows(&self) -> Result<Vec<Window>> {
        let mut incarnations: Vec<u32> = Vec::new();
        for id in self.core().pages()?.keys() {
            if incarnations.last() != Some(&id.incarnation) {
                incarnations.push(id.incarnation);
            }
        }
        let mut windows = Vec::new();
        for incarnation in incarnations {
            self.windows_of(incarnation, &mut windows)?;
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
        self.core()
            .walk(self.incarnation()?, Some(from), |entry, _| {
                if entry.at() >= *to {
                    return Ok(ControlFlow::Break(()));
                }
                for ddl in &entry.notes.ddl {
                    renames.extend(ddl.renamed.iter().cloned());
                }
                Ok(ControlFlow::Continue(()))
            })?;
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
        let mut before: Option<Entry> = None;
        if let Some(end) = &end
            && from < end
        {
            // What the first chunk follows, where it begins behind `from`.
            self.core().walk_back(incarnation, from, |entry| {
                before = (entry.end() <= *from).then(|| entry.clone());
                Ok(ControlFlow::Break(()))
            })?;
            self.core().walk(incarnation, Some(from), |entry, _| {
                if entry.at() >= *to {
                    return Ok(ControlFlow::Break(()));
                }
                let there = match &before {
                    Some(last) => {
                        follows(last, entry) && (last.end() > *from || last.end() == *from)
                            || entry.at() == *from
                    }
                    None => entry.at() <= *from,
                };
                if !there {
                    return Err(missing(entry.gap.clone().unwrap_or_else(|| {
                        format!("the archive begins at {} there", entry.at())
                    })));
                }
                before = Some(entry.clone());
                Ok(ControlFlow::Continue(()))
            })?;
        }
        let names = match tables {
            Some(tables) => Some(Names::new(&self.names_between(from, to, tables)?)),
            None => None,
        };
        Ok(ArchiveSource::new(self, incarnation, from, to, names))
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
        self.read_txns(position, &end, None, |txn, _| {
            found = Some(txn);
            Ok(ControlFlow::Break(()))
        })?;
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
            |entry| entry.time.is_some_and(|(_, latest)| latest < around),
            |place| place.time < around,
        )?;
        let middle = cut.undone.map_or(end.clone(), |place| place.position);
        let tables: Option<HashSet<TableName>> = match table {
            Some(table) => {
                let one = HashSet::from([table.clone()]);
                let mut first = None;
                core.walk(incarnation, None, |entry, _| {
                    first = Some(entry.at());
                    Ok(ControlFlow::Break(()))
                })?;
                Some(match first {
                    Some(first) => self.names_between(&first, &end, &one)?,
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
        core.walk(incarnation, Some(from), |entry, _| {
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
                let query =
                    Query::read(event.header.kind, event.body).map_err(|what| Error::Damaged {
                        at: at(offset),
                        what: what.to_owned(),
                    })?;
                statements.push(Statement {
                    kind: super::scan::classify(&query),
                    schema: String::from_utf8_lossy(query.schema).into_owned(),
                    text: query.text.into_owned(),
                    at: at(offset),
                });
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(statements)
    }
}

/// Extends a window by a chunk, or begins one.
fn extend(window: &mut Option<Window>, incarnation: u32, entry: &Entry, why: &mut Option<String>) {
    let notes = &entry.notes;
    let at = |offset| Position {
        file: entry.file.clone(),
        offset,
    };
    let until = if notes.open {
        notes.last.or(notes.inside).map_or(entry.end(), at)
    } else {
        entry.end()
    };
    let last_id = notes.last_id.clone();
    if let Some(window) = window {
        // A group that is not over yet does not count.
        window.to.position = until.max(window.to.position.clone());
        if let Some((_, latest)) = entry.time {
            window.to.time = window.to.time.max(latest);
        }
        window.to.gtid = last_id.or(window.to.gtid.take());
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
    *window = Some(Window {
        incarnation,
        to: Instant {
            time: entry.time.map_or(time, |(_, latest)| latest).max(time),
            position: until.max(first.clone()),
            gtid: last_id,
        },
        from: Instant {
            time,
            position: first,
            gtid: None,
        },
        gap_before: why.take(),
    });
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
