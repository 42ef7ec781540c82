//! What a run of events holds, as far as the index needs it: where groups
//! begin, which tables have row events, which statements were logged as text,
//! which XA transactions are prepared and ended. Rows are not decoded.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::body::{GtidEvent, Query, Word, XaPhase, XaPrepare};
use crate::change::{Ddl, Gtid, Position, StatementKind, TableName};
use crate::ddl;
use crate::error::{Error, Result};
use crate::event::{Checksum, Event, Format, HEADER_BYTES, Header, Kind, split};

/// What a chunk holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Notes {
    /// How many groups begin in it.
    pub(super) groups: u64,
    /// Where the first of them begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) first: Option<u64>,
    /// Where the last of them begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last: Option<u64>,
    /// Where the group begins that it begins within.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) inside: Option<u64>,
    /// Whether that group ends with the statement that comes next.
    #[serde(skip_serializing_if = "is_default")]
    pub(super) ending: bool,
    /// Whether it ends within a group.
    #[serde(skip_serializing_if = "is_default")]
    pub(super) open: bool,
    /// Ids, as ranges: of whom, the least, the greatest.
    #[serde(skip_serializing_if = "is_default")]
    pub(super) ids: Vec<(String, u64, u64)>,
    /// The id of the last group that begins in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_id: Option<Gtid>,
    /// Row events and their bytes, by schema and table.
    #[serde(skip_serializing_if = "is_default")]
    pub(super) tables: Vec<(TableName, u64, u64)>,
    /// Which tables the group has row events of here that it begins within.
    #[serde(skip_serializing_if = "is_default")]
    pub(super) head: Vec<TableName>,
    /// Whether that group is an XA transaction that is prepared here. (It may be
    /// ended here as well, and is in neither list below then.)
    #[serde(skip_serializing_if = "is_default")]
    pub(super) head_prepared: bool,
    /// Definition statements.
    #[serde(skip_serializing_if = "is_default")]
    pub(super) ddl: Vec<DdlNote>,
    /// Whether a statement changes rows by its text.
    #[serde(skip_serializing_if = "is_default")]
    pub(super) text: bool,
    /// Whether there is something whose tables are unknown.
    #[serde(skip_serializing_if = "is_default")]
    pub(super) opaque: bool,
    /// XA transactions that are prepared in it and not ended in it.
    #[serde(skip_serializing_if = "is_default")]
    pub(super) prepared: Vec<Prepared>,
    /// XA transactions that are ended in it and were prepared before it.
    #[serde(skip_serializing_if = "is_default")]
    pub(super) ended: Vec<String>,
    /// Whether its last group commits an XA transaction that is not in the
    /// archive.
    #[serde(skip_serializing_if = "is_default")]
    pub(super) unknown_xa: bool,
    /// The format description at the begin of a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) format: Option<Vec<u8>>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A definition statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DdlNote {
    /// Where the statement's event is.
    pub(super) at: u64,
    /// Which tables it is about.
    pub(super) tables: Vec<TableName>,
    /// From and to.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) renamed: Vec<(TableName, TableName)>,
    /// Which database it is about as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) database: Option<String>,
}

/// A prepared XA transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Prepared {
    /// Its name, as the server shows it.
    pub(super) xid: String,
    /// The file that its group is in.
    pub(super) file: String,
    /// Where its group begins.
    pub(super) start: u64,
    /// Where its group ends.
    pub(super) end: u64,
}

/// A group that has begun.
#[derive(Clone, Debug)]
pub(super) struct Open {
    /// Where.
    pub(super) start: u64,
    /// Its header's time.
    pub(super) time_s: u32,
    /// Its id.
    pub(super) gtid: Option<Gtid>,
    /// Whether it ends with its first statement, where that is known before.
    standalone: Option<bool>,
    /// Whether any statement of it was seen.
    any: bool,
}

impl Open {
    /// A group that is one event.
    pub(super) fn alone(offset: u64, event: &[u8]) -> Self {
        Self {
            start: offset,
            time_s: Header::read(event).map_or(0, |header| header.time_s),
            gtid: None,
            standalone: Some(true),
            any: true,
        }
    }

    /// Whether it ends with its next statement, unless that is BEGIN. Where no
    /// flag tells, a group that does not start so is one statement.
    fn ends_next(&self) -> bool {
        self.standalone.unwrap_or(!self.any)
    }
}

/// What an event was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// Nothing of interest.
    Other,
    /// A group began with it.
    Begin,
    /// The commit of an XA transaction whose rows are not in the archive.
    UnknownXa,
}

/// Follows the events of logs, one after another.
#[derive(Debug)]
pub(super) struct Scanner {
    file: String,
    checksum: Checksum,
    group: Option<Open>,
    /// XA transactions that are prepared, of all files.
    pub(super) prepared: Vec<Prepared>,
    tables: HashMap<u64, Arc<TableName>>,
    notes: Gathered,
}

/// What will become the [`Notes`] of a chunk.
#[derive(Debug, Default)]
struct Gathered {
    notes: Notes,
    tables: HashMap<Arc<TableName>, (u64, u64)>,
    ids: BTreeMap<String, (u64, u64)>,
    ended: HashSet<String>,
}

impl Scanner {
    /// Begins at the begin of a file.
    pub(super) fn new(file: &str, checksum: Checksum) -> Self {
        Self {
            file: file.to_owned(),
            checksum,
            group: None,
            prepared: Vec::new(),
            tables: HashMap::new(),
            notes: Gathered::default(),
        }
    }

    /// Begins where a chunk of `file` begins, with what its notes tell of what
    /// came before.
    pub(super) fn resume(file: &str, checksum: Checksum, notes: &Notes) -> Self {
        let mut scanner = Self::new(file, checksum);
        scanner.group = notes.inside.map(|start| Open {
            start,
            time_s: 0,
            gtid: None,
            standalone: None,
            any: !notes.ending,
        });
        scanner.notes.notes.inside = notes.inside;
        scanner.notes.notes.ending = notes.ending;
        scanner
    }

    /// Another file begins; a group that was not ended never will be.
    pub(super) fn turn_over(&mut self, file: &str) {
        file.clone_into(&mut self.file);
        self.group = None;
        self.checksum = Checksum::None;
        self.tables.clear();
        self.notes = Gathered::default();
    }

    pub(super) const fn checksum(&self) -> Checksum {
        self.checksum
    }

    pub(super) const fn group(&self) -> Option<&Open> {
        self.group.as_ref()
    }

    /// How many notes there are; a chunk is cut when they become many.
    pub(super) fn weight(&self) -> usize {
        let notes = &self.notes;
        notes.tables.len() + notes.notes.ddl.len() + notes.notes.prepared.len() + notes.ended.len()
    }

    /// The notes about the events since the last call.
    pub(super) fn take_notes(&mut self) -> Notes {
        let inside = self.group.as_ref().map(|group| group.start);
        let mut gathered = std::mem::take(&mut self.notes);
        self.notes.notes.inside = inside;
        self.notes.notes.ending = self.group.as_ref().is_some_and(Open::ends_next);
        let notes = &mut gathered.notes;
        notes.open = inside.is_some();
        notes.tables = gathered
            .tables
            .into_iter()
            .map(|(name, (events, bytes))| ((*name).clone(), events, bytes))
            .collect();
        notes.tables.sort();
        notes.ids = gathered
            .ids
            .into_iter()
            .map(|(of, (least, greatest))| (of, least, greatest))
            .collect();
        notes.ended = gathered.ended.into_iter().collect();
        notes.ended.sort();
        gathered.notes
    }

    /// Takes in the event at byte `offset`: `raw` is exactly that event.
    pub(super) fn event(&mut self, offset: u64, raw: &[u8]) -> Result<Seen> {
        let file = &self.file;
        let at = || Position {
            file: file.clone(),
            offset,
        };
        let damaged = |what: &str| Error::Damaged {
            at: at(),
            what: what.to_owned(),
        };
        if raw.get(4) == Some(&Kind::FORMAT_DESCRIPTION.0) {
            let format = raw
                .get(HEADER_BYTES..)
                .and_then(Format::read)
                .ok_or_else(|| damaged("its format description is malformed"))?;
            self.checksum = format.checksum;
            self.notes.notes.format = Some(raw.to_vec());
        }
        let event = split(raw, self.checksum, at)?
            .filter(|event| event.raw.len() == raw.len())
            .ok_or_else(|| damaged("an event is cut off"))?;
        self.take_in(offset, &event).ok_or_else(|| Error::Damaged {
            at: Position {
                file: self.file.clone(),
                offset,
            },
            what: format!("an event of kind {} is malformed", event.header.kind.0),
        })
    }

    fn take_in(&mut self, offset: u64, event: &Event<'_>) -> Option<Seen> {
        let end = offset + event.raw.len() as u64;
        let mut seen = Seen::Other;
        match event.header.kind {
            Kind::GTID | Kind::SOURCE_GTID | Kind::ANONYMOUS_GTID => {
                let id = GtidEvent::read(&event.header, event.body)?;
                match &id.gtid {
                    Some(Gtid::Triple {
                        domain,
                        server,
                        sequence,
                    }) => self.id(format!("{domain}-{server}"), *sequence),
                    Some(gtid @ Gtid::Source { number, .. }) => {
                        let text = gtid.to_string();
                        self.id(text.split(':').next()?.to_owned(), *number);
                    }
                    None => {}
                }
                let completes = matches!(id.xa, Some(XaPhase::Completed(_)));
                let standalone = id.standalone.map(|alone| alone || completes);
                self.begin(offset, event, id.gtid, standalone);
                seen = Seen::Begin;
            }
            Kind::TAGGED_GTID => {
                self.begin(offset, event, None, None);
                seen = Seen::Begin;
            }
            Kind::TABLE_MAP => {
                let (id, name) = table(event.body)?;
                self.tables.insert(id, Arc::new(name));
            }
            kind if is_rows(kind) => {
                let id = u48_at(event.body, 0)?;
                let flags = u16::from_le_bytes(*event.body.get(6..)?.first_chunk()?);
                if let Some(name) = self.tables.get(&id) {
                    let count = match self.notes.tables.get_mut(name) {
                        Some(count) => count,
                        None => self.notes.tables.entry(Arc::clone(name)).or_default(),
                    };
                    count.0 += 1;
                    count.1 += event.raw.len() as u64;
                    let notes = &mut self.notes.notes;
                    if notes.inside.is_some()
                        && notes.first.is_none()
                        && notes.head.last() != Some(&**name)
                        && !notes.head.contains(name)
                    {
                        notes.head.push((**name).clone());
                    }
                } else if id != 0x00ff_ffff {
                    // That number ends a statement without rows.
                    self.notes.notes.opaque = true;
                }
                // STMT_END_F: table maps are of one statement.
                if flags & 1 != 0 {
                    self.tables.clear();
                }
            }
            Kind::QUERY | Kind::QUERY_COMPRESSED => {
                seen = self.query(offset, event)?;
            }
            Kind::EXECUTE_LOAD_QUERY => self.notes.notes.text = true,
            Kind::XID => self.group = None,
            Kind::XA_PREPARE => {
                let prepare = XaPrepare::read(event.body)?;
                if let Some(group) = self.group.take()
                    && !prepare.one_phase
                {
                    let notes = &mut self.notes.notes;
                    notes.head_prepared |= notes.inside == Some(group.start);
                    let prepared = Prepared {
                        xid: prepare.xid.to_string(),
                        file: self.file.clone(),
                        start: group.start,
                        end,
                    };
                    self.notes.notes.prepared.push(prepared.clone());
                    self.prepared.push(prepared);
                }
            }
            Kind::TRANSACTION_PAYLOAD => {
                self.notes.notes.opaque = true;
                self.group = None;
            }
            Kind::INCIDENT | Kind::PARTIAL_UPDATE_ROWS | Kind::START_ENCRYPTION => {
                self.notes.notes.opaque = true;
            }
            _ => {}
        }
        Some(seen)
    }

    fn begin(
        &mut self,
        offset: u64,
        event: &Event<'_>,
        gtid: Option<Gtid>,
        standalone: Option<bool>,
    ) {
        let notes = &mut self.notes.notes;
        notes.groups += 1;
        notes.first.get_or_insert(offset);
        notes.last = Some(offset);
        notes.last_id.clone_from(&gtid);
        self.tables.clear();
        self.group = Some(Open {
            start: offset,
            time_s: event.header.time_s,
            gtid,
            standalone,
            any: false,
        });
    }

    fn id(&mut self, of: String, number: u64) {
        let range = self.notes.ids.entry(of).or_insert((number, number));
        range.0 = range.0.min(number);
        range.1 = range.1.max(number);
    }

    fn query(&mut self, offset: u64, event: &Event<'_>) -> Option<Seen> {
        let query = Query::read(event.header.kind, event.body).ok()?;
        let mut seen = Seen::Other;
        let word = Word::read(&query.text);
        if self.group.is_none() {
            // A log without ids of transactions.
            let alone = !matches!(word, Some(Word::Begin | Word::XaStart(_)));
            self.begin(offset, event, None, Some(alone));
            seen = Seen::Begin;
        }
        match word {
            Some(Word::Commit | Word::Rollback) => self.group = None,
            Some(Word::XaCommit(xid)) => {
                if !self.ends(&xid.to_string()) {
                    seen = Seen::UnknownXa;
                    self.notes.notes.unknown_xa = true;
                }
                self.group = None;
            }
            Some(Word::XaRollback(xid)) => {
                self.ends(&xid.to_string());
                self.group = None;
            }
            Some(_) => self.notice(),
            None => {
                match classify(&query) {
                    StatementKind::Ddl(ddl) => self.notes.notes.ddl.push(note(offset, &ddl)),
                    StatementKind::Rows => self.notes.notes.text = true,
                    StatementKind::Other => {}
                }
                if self.group.as_ref().is_some_and(Open::ends_next) {
                    self.group = None;
                } else {
                    self.notice();
                }
            }
        }
        Some(seen)
    }

    fn notice(&mut self) {
        if let Some(group) = &mut self.group {
            group.any = true;
        }
    }

    /// Ends an XA transaction; `false` when it is unknown.
    fn ends(&mut self, xid: &str) -> bool {
        let Some(known) = self.prepared.iter().position(|p| p.xid == xid) else {
            return false;
        };
        self.prepared.swap_remove(known);
        let prepared = &mut self.notes.notes.prepared;
        match prepared.iter().position(|p| p.xid == xid) {
            Some(here) => {
                prepared.swap_remove(here);
            }
            None => {
                self.notes.ended.insert(xid.to_owned());
            }
        }
        true
    }
}

/// What a statement does.
pub(super) fn classify(query: &Query<'_>) -> StatementKind {
    let dialect = ddl::Dialect {
        sql_mode: query.sql_mode,
        charset: query.charset,
        // Names are compared without case.
        lower_case_names: false,
    };
    let schema = String::from_utf8_lossy(query.schema);
    ddl::classify_in(dialect, &schema, &query.text)
}

pub(super) fn note(at: u64, ddl: &Ddl) -> DdlNote {
    let mut note = DdlNote {
        at,
        tables: Vec::new(),
        renamed: Vec::new(),
        database: None,
    };
    match ddl {
        Ddl::Create { table, .. } | Ddl::Truncate(table) => note.tables.push(table.clone()),
        Ddl::Alter {
            table,
            renamed,
            others,
            ..
        } => {
            note.tables.push(table.clone());
            note.tables.extend(others.iter().cloned());
            if let Some(to) = renamed {
                note.tables.push(to.clone());
                note.renamed.push((table.clone(), to.clone()));
            }
        }
        Ddl::Rename(names) => {
            for (from, to) in names {
                note.tables.push(from.clone());
                note.tables.push(to.clone());
            }
            note.renamed.clone_from(names);
        }
        Ddl::Drop(tables) => note.tables.clone_from(tables),
        Ddl::CreateDatabase(name) | Ddl::AlterDatabase(name) | Ddl::DropDatabase(name) => {
            note.database = Some(name.clone());
        }
        // Found by who asks for all statements; the rows of no table need it.
        Ddl::Define(_) => {}
    }
    note
}

pub(super) fn is_rows(kind: Kind) -> bool {
    matches!(kind.0, 23..=25 | 30..=32 | 39 | 166..=171)
}

/// The id and the name in a table map.
fn table(body: &[u8]) -> Option<(u64, TableName)> {
    let id = u48_at(body, 0)?;
    let schema_bytes = usize::from(*body.get(8)?);
    let schema = body.get(9..)?.get(..schema_bytes)?;
    let table_bytes = usize::from(*body.get(9 + schema_bytes + 1)?);
    let table = body.get(9 + schema_bytes + 2..)?.get(..table_bytes)?;
    Some((
        id,
        TableName::new(
            String::from_utf8_lossy(schema),
            String::from_utf8_lossy(table),
        ),
    ))
}

fn u32_at(body: &[u8], at: usize) -> Option<u32> {
    body.get(at..)?
        .first_chunk()
        .map(|b| u32::from_le_bytes(*b))
}

fn u48_at(body: &[u8], at: usize) -> Option<u64> {
    let low = u64::from(u32_at(body, at)?);
    let high: &[u8; 2] = body.get(at + 4..)?.first_chunk()?;
    Some(low | u64::from(u16::from_le_bytes(*high)) << 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GTID_STANDALONE: u8 = 1;

    fn event(kind: Kind, next: u64, body: &[u8]) -> Vec<u8> {
        let bytes = u32::try_from(HEADER_BYTES + body.len()).unwrap();
        let mut raw = vec![0; 4];
        raw.push(kind.0);
        raw.extend_from_slice(&1_u32.to_le_bytes());
        raw.extend_from_slice(&bytes.to_le_bytes());
        raw.extend_from_slice(&u32::try_from(next).unwrap().to_le_bytes());
        raw.extend_from_slice(&[0, 0]);
        raw.extend_from_slice(body);
        raw
    }

    fn gtid(flags: u8) -> Vec<u8> {
        let mut body = 7_u64.to_le_bytes().to_vec();
        body.extend_from_slice(&0_u32.to_le_bytes());
        body.push(flags);
        body.extend_from_slice(&[0; 6]);
        event(Kind::GTID, 138, &body)
    }

    fn query(text: &str) -> Vec<u8> {
        // Thread, seconds, length of the schema's name, error, length of the
        // status; then the status, the name and its end, the text.
        let mut body = vec![0; 8];
        body.push(1);
        body.extend_from_slice(&[0; 4]);
        body.extend_from_slice(b"s\0");
        body.extend_from_slice(text.as_bytes());
        event(Kind::QUERY, 200, &body)
    }

    /// Whether a group with these flags is open behind its first statement, with
    /// the chunk cut before that or not.
    fn is_open(flags: u8, cut: bool) -> bool {
        let mut scanner = Scanner::new("f", Checksum::None);
        assert_eq!(scanner.event(100, &gtid(flags)).unwrap(), Seen::Begin);
        if cut {
            scanner.take_notes();
            let first = scanner.take_notes();
            assert_eq!(first.inside, Some(100));
            scanner = Scanner::resume("f", Checksum::None, &first);
            assert_eq!(scanner.take_notes(), first);
            scanner = Scanner::resume("f", Checksum::None, &first);
        }
        scanner
            .event(
                138,
                &query("CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO SELECT 1"),
            )
            .unwrap();
        scanner.group().is_some()
    }

    fn xa_prepare() -> Vec<u8> {
        let mut body = vec![0];
        for number in [1_i32, 1, 0] {
            body.extend_from_slice(&number.to_le_bytes());
        }
        body.push(b'x');
        event(Kind::XA_PREPARE, 300, &body)
    }

    #[test]
    fn an_xa_transaction_of_two_chunks_that_ends_in_the_second_is_told() {
        let mut scanner = Scanner::new("f", Checksum::None);
        scanner.event(100, &gtid(0)).unwrap();
        scanner.event(138, &query("XA START X'78',X'',1")).unwrap();
        let first = scanner.take_notes();
        assert!(first.open && !first.head_prepared);
        scanner.event(200, &xa_prepare()).unwrap();
        scanner.event(300, &gtid(GTID_STANDALONE)).unwrap();
        scanner.event(338, &query("XA COMMIT X'78',X'',1")).unwrap();
        let second = scanner.take_notes();
        assert!(second.prepared.is_empty() && second.ended.is_empty());
        assert!(second.head_prepared);
        // Of tables that nobody asked for, it must be read all the same: its
        // commit is.
        assert!(super::super::source::Names::default().concerns_head(&second));
    }

    #[test]
    fn a_group_of_one_statement_ends_with_it_also_in_the_next_chunk() {
        for cut in [false, true] {
            assert!(!is_open(GTID_STANDALONE, cut));
            assert!(is_open(0, cut));
        }
    }
}
