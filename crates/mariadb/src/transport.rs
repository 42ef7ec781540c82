//! Moves InnoDB tables as files: out of a scratch server, into a live one of
//! this host.
//!
//! `FLUSH TABLES ... FOR EXPORT` blocks writers, so it is only ever run on a
//! scratch server, which ends with it. The live server sees a table being made,
//! losing its file, and taking in another.
//!
//! | file of an export's folder | what it is |
//! |---|---|
//! | `export.json` | what was exported; written last |
//! | `N.ibd`, `N.cfg` | the files of piece N: a table, or a partition |
//! | `N.import` | import N has begun, and how far it may have come |
//!
//! Architecture invariants:
//! - a file lies under the name of a live table's only between its DISCARD and
//!   the end of its IMPORT: backups of the server refuse a file whose number
//!   another has;
//! - nothing that was there before an import began is ever removed by it;
//! - a table that was taken in gets another name only after a checkpoint
//!   ([`settle`]): until then a crash of the server would leave it empty;
//! - full-text indexes never travel: a live server has crashed on what comes of
//!   it (10.11). Nor do spatial ones: an import takes what a scratch server
//!   changed of them for corrupt. They are dropped there, and made anew.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use backout_history::TableName;
use serde::{Deserialize, Serialize};

use crate::catalog;
use crate::endpoint::Endpoint;
use crate::error::{Error, Result};
use crate::files;
use crate::scratch::Scratch;
use crate::session::{self, Session, ident, quoted};

const EXPORT: &str = "export.json";

/// How the names of tables begin by which [`reachable`] looks.
const PROBE: &str = "backout_probe_";

/// In the scratch server's data folder: the definitions before they were
/// changed.
const READY: &str = "backout-ready.json";

/// What was exported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exported {
    /// The table, as the scratch server had it.
    pub name: TableName,
    /// Its definition, without foreign keys.
    pub definition: Definition,
    /// Its row format, e.g. `Dynamic`.
    pub row_format: String,
    /// Its files: one, or one for each partition.
    pub pieces: Vec<ExportedPiece>,
}

/// A file of an exported table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportedPiece {
    /// Its number in the folder.
    pub number: usize,
    /// The partition that it is, or the subpartition; `None` for a table
    /// without.
    pub partition: Option<String>,
    /// Its length, in bytes.
    pub bytes: u64,
}

/// How the indexes begin that are dropped before a table is exported, and made
/// anew where it is imported.
const MADE_ANEW: [&str; 2] = ["FULLTEXT KEY ", "SPATIAL KEY "];

/// A definition taken apart: `SHOW CREATE TABLE` has each part in lines of its
/// own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// What follows the name: columns, keys and options, without partitions.
    pub body: String,
    /// The partitions, as `PARTITION BY ...`.
    pub partitions: Option<String>,
    /// Foreign keys, as `CONSTRAINT ... FOREIGN KEY ...`.
    pub foreign_keys: Vec<String>,
    /// Indexes that do not come along as files, as `FULLTEXT KEY ...` and
    /// `SPATIAL KEY ...`: the server loses the former, and takes some of the
    /// latter for corrupt (its error 1034).
    pub made_anew: Vec<String>,
}

impl Definition {
    /// Takes the answer of `SHOW CREATE TABLE` apart; `None` when it is not
    /// one.
    #[must_use]
    pub fn parse(create_sql: &str) -> Option<Self> {
        // The name may have a parenthesis or a newline in it.
        let rest = create_sql.strip_prefix("CREATE TABLE `")?;
        let bytes = rest.as_bytes();
        let mut at = 0;
        let end = loop {
            match (bytes.get(at)?, bytes.get(at + 1)) {
                (b'`', Some(b'`')) => at += 2,
                (b'`', _) => break at + 1,
                _ => at += 1,
            }
        };
        let rest = rest.get(end..)?;
        let mut foreign_keys = Vec::new();
        let mut made_anew = Vec::new();
        let mut kept: Vec<&str> = Vec::new();
        let mut options = String::new();
        let mut partitions: Option<String> = None;
        let mut in_columns = true;
        for line in rest.split('\n') {
            if let Some(partitions) = &mut partitions {
                partitions.push('\n');
                partitions.push_str(line);
            } else if !in_columns {
                // MariaDB puts a blank before it, or a comment for versions.
                if line.trim_start().starts_with("PARTITION BY ")
                    || line.starts_with("/*!") && line.contains("PARTITION BY ")
                {
                    partitions = Some(line.trim_start().to_owned());
                } else {
                    options.push('\n');
                    options.push_str(line);
                }
            } else if line.starts_with(')') {
                in_columns = false;
                options.push_str(line);
            } else {
                let part = line.trim_start().trim_end_matches(',');
                if part.starts_with("CONSTRAINT `")
                    && after_name(part, "CONSTRAINT ").starts_with(" FOREIGN KEY ")
                {
                    foreign_keys.push(part.to_owned());
                } else if MADE_ANEW.iter().any(|kind| part.starts_with(kind)) {
                    made_anew.push(part.to_owned());
                } else {
                    kept.push(line);
                }
            }
        }
        if in_columns {
            return None;
        }
        // Whatever is last now has no comma.
        let body = format!("{}\n{options}", kept.join("\n").trim_end_matches(','));
        Some(Self {
            body,
            partitions,
            foreign_keys,
            made_anew,
        })
    }

    /// The statement that makes such a table of the name `table`.
    #[must_use]
    pub fn create(&self, table: &TableName, with_partitions: bool) -> String {
        let partitions = self.partitions.as_deref().filter(|_| with_partitions);
        format!(
            "CREATE TABLE {}{}{}{}",
            quoted(table),
            self.body,
            if partitions.is_some() { "\n" } else { "" },
            partitions.unwrap_or_default()
        )
    }
}

/// What follows a quoted name behind `before`.
fn after_name<'a>(text: &'a str, before: &str) -> &'a str {
    let Some(rest) = text
        .strip_prefix(before)
        .and_then(|rest| rest.strip_prefix('`'))
    else {
        return "";
    };
    let bytes = rest.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        if *byte == b'`' {
            if bytes.get(at + 1) != Some(&b'`') {
                return rest.get(at + 1..).unwrap_or_default();
            }
            at += 1;
        }
        at += 1;
    }
    ""
}

/// The data folder of a server, when it is on this host and its files can be
/// written: a table is made in `database` (and dropped again) to see whether
/// its file appears here.
///
/// # Errors
/// [`Error::Refused`], [`Error::Lost`].
pub fn reachable(session: &mut Session, database: &str) -> Result<Option<PathBuf>> {
    let doing = "see whether the files of the server are in reach";
    let row: Option<(String, String, u64)> = session.first(
        doing,
        format!(
            "SELECT @@datadir, CONVERT(CONVERT({} USING filename) USING binary), CONNECTION_ID()",
            session::text(database)
        ),
    )?;
    let Some((datadir, folder, number)) = row else {
        return Ok(None);
    };
    let datadir = PathBuf::from(datadir);
    if !datadir.is_absolute() || !datadir.join("ibdata1").exists() {
        return Ok(None);
    }
    // What a crash left here of another look.
    let left: Vec<String> = session.query(
        doing,
        format!(
            "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND \
             LEFT(TABLE_NAME, {}) = '{PROBE}' AND CREATE_TIME < NOW() - INTERVAL 1 HOUR",
            session::text(database),
            PROBE.len()
        ),
    )?;
    let probe = TableName::new(database, format!("{PROBE}{number}_{}", std::process::id()));
    let log = without_log(session, doing)?;
    for table in left {
        let table = TableName::new(database, table);
        session.exec(doing, format!("DROP TABLE IF EXISTS {}", quoted(&table)))?;
    }
    let made = session.exec(
        doing,
        format!(
            "CREATE TABLE {} (i INT PRIMARY KEY) ENGINE=InnoDB",
            quoted(&probe)
        ),
    );
    let path = datadir.join(folder).join(format!("{}.ibd", probe.table));
    let found = made.is_ok()
        && path.is_file()
        && rustix::fs::access(
            &path,
            rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK,
        )
        .is_ok()
        && path.parent().is_some_and(|folder| {
            rustix::fs::access(
                folder,
                rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK,
            )
            .is_ok()
        });
    session.exec(doing, format!("DROP TABLE IF EXISTS {}", quoted(&probe)))?;
    log.restore(session, doing)?;
    made?;
    // A file of that name that stays is not the server's.
    Ok((found && !path.exists()).then_some(datadir))
}

/// Whether the session logs what it does.
struct Logs(bool);

/// Lets what follows not be logged, where the account may say so: a replica
/// does not have the files.
fn without_log(session: &mut Session, doing: &str) -> Result<Logs> {
    let logs: Option<bool> = session.first(doing, "SELECT @@SESSION.sql_log_bin")?;
    let logs = logs.unwrap_or_default() && session.exec(doing, "SET SESSION sql_log_bin=0").is_ok();
    Ok(Logs(logs))
}

impl Logs {
    fn restore(self, session: &mut Session, doing: &str) -> Result<()> {
        if self.0 {
            session.exec(doing, "SET SESSION sql_log_bin=1")?;
        }
        Ok(())
    }
}

/// Makes tables of a scratch server ready to be changed and exported: those
/// with full-text or spatial indexes, or what is left of the former, are rebuilt
/// without. To be
/// done before rows are changed, and fine when it was; [`export`] does it
/// otherwise. Returns the definitions as they were before.
///
/// # Errors
/// [`Error::Refused`], [`Error::Lost`], [`Error::Table`], [`Error::Io`].
pub fn make_ready(scratch: &Scratch, tables: &[TableName]) -> Result<Vec<Definition>> {
    let mut session = Session::open(&scratch.endpoint())?;
    let session = &mut session;
    let doing = "make a table ready to be moved";
    session.exec(
        doing,
        "SET SESSION foreign_key_checks=0, SESSION system_versioning_alter_history=KEEP",
    )?;
    // What is dropped is on record before it is.
    let path = scratch.datadir().join(READY);
    let mut known: Vec<(TableName, Definition)> = files::read_json(&path)?.unwrap_or_default();
    let mut now = Vec::new();
    for table in tables {
        let definition = definition(session, table)?;
        if !known.iter().any(|(name, _)| name == table) {
            known.push((table.clone(), definition.clone()));
        }
        now.push(definition);
    }
    files::write_json(&path, &known)?;
    for (table, definition) in tables.iter().zip(now) {
        let hidden: Option<u64> = session.first(
            doing,
            format!(
                "SELECT COUNT(*) FROM information_schema.INNODB_SYS_COLUMNS c JOIN \
                 information_schema.INNODB_SYS_TABLES t USING (TABLE_ID) WHERE c.NAME = \
                 'FTS_DOC_ID' AND (t.NAME = {0} OR LEFT(t.NAME, CHAR_LENGTH({0}) + 3) = CONCAT({0}, \
                 '#P#')) AND NOT EXISTS (SELECT 1 FROM information_schema.COLUMNS WHERE \
                 TABLE_SCHEMA = {1} AND TABLE_NAME = {2} AND COLUMN_NAME = 'FTS_DOC_ID')",
                stem_expression(table),
                session::text(&table.schema),
                session::text(&table.table)
            ),
        )?;
        if definition.made_anew.is_empty() && hidden.unwrap_or_default() == 0 {
            continue;
        }
        let mut changes: Vec<String> = definition
            .made_anew
            .iter()
            .filter_map(|index| name_of_index(index))
            .map(|name| format!("DROP KEY {name}"))
            .collect();
        changes.push("FORCE".to_owned());
        session.exec(
            doing,
            format!(
                "ALTER TABLE {} {}, ALGORITHM=COPY",
                quoted(table),
                changes.join(", ")
            ),
        )?;
    }
    let of = |table: &TableName| {
        known
            .iter()
            .find(|(name, _)| name == table)
            .map(|(_, definition)| definition.clone())
            .ok_or_else(|| Error::NoTable {
                table: table.clone(),
            })
    };
    tables.iter().map(of).collect()
}

/// The quoted name in `FULLTEXT KEY `name` (...)`.
fn name_of_index(clause: &str) -> Option<&str> {
    let before = MADE_ANEW.iter().find(|kind| clause.starts_with(*kind))?;
    let rest = after_name(clause, before);
    let end = clause.len().checked_sub(rest.len())?;
    clause
        .get(before.len()..end)
        .filter(|name| name.starts_with('`'))
}

fn definition(session: &mut Session, table: &TableName) -> Result<Definition> {
    let sql: Option<(String, String)> = session.first(
        "read the definition of a table",
        format!("SHOW CREATE TABLE {}", quoted(table)),
    )?;
    sql.and_then(|(_, sql)| Definition::parse(&sql))
        .ok_or_else(|| Error::Table {
            doing: "read the definition of",
            table: table.clone(),
            why: "it is not as expected; is it a view or a sequence?".to_owned(),
        })
}

/// The SQL expression for folder and begin of the names of a table's files.
fn stem_expression(table: &TableName) -> String {
    format!(
        "CONVERT(CONCAT(CONVERT(CONVERT({} USING filename) USING binary), '/', \
         CONVERT(CONVERT({} USING filename) USING binary)) USING utf8mb4)",
        session::text(&table.schema),
        session::text(&table.table)
    )
}

fn stem(session: &mut Session, table: &TableName) -> Result<String> {
    let stem: Option<String> = session.first(
        "find the files of a table",
        format!("SELECT {}", stem_expression(table)),
    )?;
    Ok(stem.unwrap_or_default())
}

/// Takes tables out of a scratch server, into the folder `to`, on the same file
/// system best; the server is ended. Returns what is there when that is
/// complete.
///
/// # Errors
/// [`Error::Interrupted`] when the server has ended before; [`Error::Table`]
/// when a table has no file of its own; [`Error::Refused`], [`Error::Lost`],
/// [`Error::Io`], [`Error::Cancelled`].
pub fn export(
    scratch: &Scratch,
    tables: &[TableName],
    to: &Path,
    cancelled: &dyn Fn() -> bool,
) -> Result<Vec<Exported>> {
    if let Some(done) = exported(to)? {
        scratch.kill()?;
        return Ok(done);
    }
    files::remove_tree(to)?;
    files::make_folder(to)?;
    if !scratch.is_on()? {
        return Err(Error::Interrupted {
            what: "export tables of the scratch server".to_owned(),
            why: "it has ended".to_owned(),
        });
    }
    let mut session = Session::open(&scratch.endpoint())?;
    let mut all = Vec::new();
    let mut number = 0;
    for (table, definition) in tables.iter().zip(make_ready(scratch, tables)?) {
        let row_format: Option<String> = session.first(
            "read the row format of a table",
            format!(
                "SELECT ROW_FORMAT FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND \
                 TABLE_NAME = {}",
                session::text(&table.schema),
                session::text(&table.table)
            ),
        )?;
        let pieces = pieces(&mut session, table, &mut number)?;
        all.push((
            pieces,
            Exported {
                name: table.clone(),
                definition,
                row_format: row_format.unwrap_or_default(),
                pieces: Vec::new(),
            },
        ));
    }
    purged(&mut session, cancelled)?;
    let names: Vec<_> = tables.iter().map(quoted).collect();
    session.exec(
        "export tables of the scratch server",
        format!("FLUSH TABLES {} FOR EXPORT", names.join(", ")),
    )?;
    for (pieces, exported) in &mut all {
        for (mut piece, stem) in std::mem::take(pieces) {
            for end in ["ibd", "cfg"] {
                let from = scratch.datadir().join(format!("{stem}.{end}"));
                let path = to.join(format!("{}.{end}", piece.number));
                let taken = std::fs::hard_link(&from, &path);
                if let Err(e) = taken {
                    if e.kind() == std::io::ErrorKind::NotFound {
                        return Err(Error::Table {
                            doing: "export",
                            table: exported.name.clone(),
                            why: format!(
                                "its file {stem}.{end} is not there; does it lie in a DATA \
                                 DIRECTORY? Copy its rows over SQL"
                            ),
                        });
                    }
                    files::copy(&from, &path, &|| false)?;
                }
                if end == "ibd" {
                    piece.bytes = path.metadata().map_err(Error::io("look at", &path))?.len();
                }
            }
            exported.pieces.push(piece);
        }
    }
    // While the tables are still locked: what a server writes to them later
    // would not be in the files.
    scratch.kill()?;
    let all: Vec<_> = all.into_iter().map(|(_, exported)| exported).collect();
    files::write_json(&to.join(EXPORT), &all)?;
    Ok(all)
}

/// How long a purge is waited for at most, from one that it got on to the next.
const PURGE: Duration = Duration::from_secs(2);

/// Waits until rows that were deleted are gone for good, as long as that gets on.
/// Where one is only marked as deleted, a server that takes the table in reads
/// each index once more, a page at a time, to remove it.
fn purged(session: &mut Session, cancelled: &dyn Fn() -> bool) -> Result<()> {
    let (mut least, mut since) = (u64::MAX, Instant::now());
    loop {
        let Some(left) = status(session, "INNODB_HISTORY_LIST_LENGTH")? else {
            return Ok(());
        };
        if left < least {
            (least, since) = (left, Instant::now());
        }
        if left == 0 || since.elapsed() > PURGE {
            return Ok(());
        }
        if cancelled() {
            return Err(Error::Cancelled);
        }
        std::thread::sleep(TICK);
    }
}

/// What was exported into a folder; `None` when that is not complete.
///
/// # Errors
/// [`Error::Io`].
pub fn exported(folder: &Path) -> Result<Option<Vec<Exported>>> {
    files::read_json(&folder.join(EXPORT))
}

/// The files of a table, without their ends.
fn pieces(
    session: &mut Session,
    table: &TableName,
    number: &mut usize,
) -> Result<Vec<(ExportedPiece, String)>> {
    let stem = stem(session, table)?;
    type Part = (
        Option<String>,
        Option<String>,
        Option<String>,
        Option<String>,
    );
    let encoded = |column: &str| {
        format!("CONVERT(CONVERT(CONVERT({column} USING filename) USING binary) USING utf8mb4)")
    };
    let rows: Vec<Part> = session.query(
        "list the partitions of a table",
        format!(
            "SELECT PARTITION_NAME, SUBPARTITION_NAME, {}, {} FROM information_schema.PARTITIONS \
             WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {} ORDER BY PARTITION_ORDINAL_POSITION, \
             SUBPARTITION_ORDINAL_POSITION",
            encoded("PARTITION_NAME"),
            encoded("SUBPARTITION_NAME"),
            session::text(&table.schema),
            session::text(&table.table)
        ),
    )?;
    if rows.is_empty() {
        return Err(Error::NoTable {
            table: table.clone(),
        });
    }
    let mut pieces = Vec::new();
    for (part, sub, part_file, sub_file) in rows {
        let file = match (part_file, sub_file) {
            (None, _) => stem.clone(),
            (Some(part), None) => format!("{stem}#P#{part}"),
            (Some(part), Some(sub)) => format!("{stem}#P#{part}#SP#{sub}"),
        };
        let piece = ExportedPiece {
            number: *number,
            partition: sub.or(part),
            bytes: 0,
        };
        *number += 1;
        pieces.push((piece, file));
    }
    Ok(pieces)
}

/// How files get into the live server's folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// As they are, without a copy, where both are on one file system. The
    /// server changes them while it takes them in, so an import that is cut off
    /// there cannot be done again: [`Error::Interrupted`].
    Move,
    /// Copied first, by reference where the file system can: an import can be
    /// done again until it is complete.
    Copy,
}

/// How far an import may have come.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Begun {
    target: TableName,
    /// The server may have changed the exported files.
    consumed: bool,
    done: bool,
}

/// Where tables are imported.
#[derive(Debug)]
pub struct Live<'a> {
    /// A session of an account that may create, alter and drop there.
    pub session: &'a mut Session,
    /// The server's data folder, as [`reachable`] found it.
    pub datadir: &'a Path,
    /// Whether the statements go into the binary log. A replica that reads them
    /// there does not have the files, and stops.
    pub logged: bool,
}

/// Makes the table `target` on a live server out of what was exported into
/// `folder`, without foreign keys; then adds the indexes that did not come along.
/// Fine when that was done before. What a crash left of an earlier try is
/// removed first.
///
/// # Errors
/// [`Error::TargetExists`]; [`Error::Interrupted`] (see [`Place::Move`]);
/// [`Error::Refused`] when the server does not take it; [`Error::Lost`],
/// [`Error::Io`], [`Error::Cancelled`]. Nothing is left behind unless the
/// connection is lost: then [`undo_import`] removes it.
pub fn import(
    live: &mut Live<'_>,
    folder: &Path,
    exported: &Exported,
    target: &TableName,
    place: Place,
    cancelled: &dyn Fn() -> bool,
) -> Result<()> {
    let Some(first) = exported.pieces.first() else {
        return Err(Error::NoTable {
            table: exported.name.clone(),
        });
    };
    let record = folder.join(format!("{}.import", first.number));
    let begun: Option<Begun> = files::read_json(&record)?;
    if let Some(begun) = &begun {
        if begun.done && begun.target == *target {
            return Ok(());
        }
        if begun.target != *target {
            return Err(Error::State {
                what: format!("import {target}"),
                why: format!("these files went into {}; undo that first", begun.target),
            });
        }
        remove(live, exported, target)?;
        if begun.consumed {
            return Err(Error::Interrupted {
                what: format!("import {target}"),
                why: "its files were being taken in".to_owned(),
            });
        }
    } else if catalog::exists(live.session, target)? {
        return Err(Error::TargetExists {
            table: target.clone(),
        });
    }
    let mut state = Begun {
        target: target.clone(),
        consumed: false,
        done: false,
    };
    files::write_json(&record, &state)?;
    let doing = format!("import {target}");
    let logs = if live.logged {
        Logs(false)
    } else {
        let logs = without_log(live.session, &doing)?;
        let still: Option<bool> = live.session.first(&doing, "SELECT @@SESSION.sql_log_bin")?;
        if still == Some(true) {
            return Err(Error::Settings {
                why: format!(
                    "{doing}: the account may not leave the binary log out; run GRANT BINLOG ADMIN \
                     ON *.* TO it"
                ),
            });
        }
        logs
    };
    let result = take_in(
        live,
        folder,
        exported,
        target,
        place,
        cancelled,
        &mut |consumed| {
            state.consumed = consumed;
            files::write_json(&record, &state)
        },
    );
    match result {
        Ok(()) => {
            logs.restore(live.session, &doing)?;
            state.done = true;
            files::write_json(&record, &state)
        }
        Err(e) => {
            // Whatever this fails with, the cause is what matters.
            let _ = remove(live, exported, target);
            let _ = logs.restore(live.session, &doing);
            Err(e)
        }
    }
}

/// How many changed pages a server writes at once while its writers hardly notice
/// (1 GiB of the usual 16 KiB, a few seconds of a disk's time): a checkpoint is
/// asked for then, and otherwise given some time to come by itself.
const FEW_PAGES: u64 = 65_536;

/// How long it is given: a server that has a moment of rest writes its pages.
const BY_ITSELF: Duration = Duration::from_secs(5);

/// How long a checkpoint is waited for in all, where we may not ask for one.
const CHECKPOINT: Duration = Duration::from_secs(60);

/// How often it is looked at.
const TICK: Duration = Duration::from_millis(20);

/// What is done by [`settle`].
const SETTLING: &str = "make the tables safe from a crash of the server";

/// How much longer than to the checkpoint that we need the server may take by
/// itself to end what it was asked for. It goes on writing pages at full speed
/// until the log stands still for a moment, which beside busy writers it never
/// does (10.11).
const UNASKED: Duration = Duration::from_millis(100);

/// How long commits are held back at most, so that the log stands still.
const HELD: Duration = Duration::from_millis(500);

/// How long that waits for a statement that is in its way, in seconds.
const HELD_LOCK_S: u32 = 1;

/// What the log holds at least when all is written: the record of the
/// checkpoint itself, in bytes.
const CHECKPOINT_BYTES: u64 = 64;

/// Sees to it that tables which were taken in survive a crash of the server
/// after they got another name. Its log still tells how they were made, empty;
/// a recovery (10.11) that also finds the other name in it plays that back into
/// the files that were taken in, and the tables are empty again. So the log is
/// to begin behind that: at a checkpoint.
///
/// # Errors
/// [`Error::Settings`] when none comes and we may not ask for one;
/// [`Error::Refused`], [`Error::Lost`], [`Error::Cancelled`].
pub fn settle(endpoint: &Endpoint, cancelled: &dyn Fn() -> bool) -> Result<()> {
    let mut session = Session::open(endpoint)?;
    let written = status(&mut session, "INNODB_LSN_CURRENT")?;
    let dirty = status(&mut session, "INNODB_BUFFER_POOL_PAGES_DIRTY")?;
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let mut asked = None;
        let mut refused = false;
        let mut passed_at: Option<Instant> = None;
        loop {
            let checkpoint = status(&mut session, "INNODB_LSN_LAST_CHECKPOINT")?;
            let passed = written
                .zip(checkpoint)
                .is_some_and(|(written, checkpoint)| checkpoint + CHECKPOINT_BYTES >= written);
            match &asked {
                None if passed => return Ok(()),
                Some(asking) if ScopedJoinHandle::is_finished(asking) => {
                    match asked.take().map(ScopedJoinHandle::join) {
                        // Where it does not tell, what it says counts.
                        Some(Ok(Ok(_))) if written.is_none() || checkpoint.is_none() => {
                            return Ok(());
                        }
                        // It may come by itself.
                        Some(Ok(Ok(_) | Err(Error::Refused { .. }))) | None => refused = true,
                        Some(Ok(Err(e))) => return Err(e),
                        Some(Err(_)) => return Err(panicked()),
                    }
                    continue;
                }
                Some(_) if passed => {
                    // The server goes on until nothing was written for a moment.
                    let since = *passed_at.get_or_insert_with(Instant::now);
                    if since.elapsed() > UNASKED {
                        passed_at = None;
                        // Who may not, or meets a long statement, tries later.
                        let _ = hold_commits(&mut session, &|| {
                            asked.as_ref().is_none_or(ScopedJoinHandle::is_finished)
                        });
                    }
                }
                _ => {}
            }
            // What was asked for cannot be taken back: it is waited for.
            if asked.is_none() {
                if cancelled() {
                    return Err(Error::Cancelled);
                }
                let few = dirty.is_some_and(|pages| pages <= FEW_PAGES);
                if !refused && (few || begun.elapsed() > BY_ITSELF) {
                    asked = Some(scope.spawn(|| {
                        Session::open(endpoint)?
                            .exec(SETTLING, "SET GLOBAL innodb_log_checkpoint_now=ON")
                    }));
                }
                if begun.elapsed() > CHECKPOINT {
                    return Err(Error::Settings {
                        why: format!(
                            "{SETTLING}: its log has come to no checkpoint, and the account may \
                             not ask for one; run GRANT SUPER ON *.* TO it, or SET GLOBAL \
                             innodb_log_checkpoint_now=ON as root, and try again"
                        ),
                    });
                }
            }
            std::thread::sleep(TICK);
        }
    })
}

/// Holds commits back for a moment, as a backup does, until `done` says that it
/// was long enough.
fn hold_commits(session: &mut Session, done: &dyn Fn() -> bool) -> Result<()> {
    session.exec(
        SETTLING,
        format!("SET SESSION lock_wait_timeout={HELD_LOCK_S}"),
    )?;
    let held = session
        .exec(SETTLING, "BACKUP STAGE START")
        .and_then(|_| session.exec(SETTLING, "BACKUP STAGE BLOCK_COMMIT"));
    let until = Instant::now() + HELD;
    while held.is_ok() && !done() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(1));
    }
    // Its end, or that of the session, lets them go.
    session.exec(SETTLING, "BACKUP STAGE END").map(drop)
}

fn panicked() -> Error {
    Error::State {
        what: SETTLING.to_owned(),
        why: "a thread panicked; report it".to_owned(),
    }
}

fn status(session: &mut Session, name: &str) -> Result<Option<u64>> {
    let value: Option<String> = session.first(
        "look at the state of the server",
        format!(
            "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = \
             '{name}'"
        ),
    )?;
    Ok(value.and_then(|value| value.parse().ok()))
}

/// Removes what [`import`] made of an export, whole or not. Fine when there is
/// nothing; a table that was there before is never touched.
///
/// # Errors
/// [`Error::Refused`], [`Error::Lost`], [`Error::Io`].
pub fn undo_import(live: &mut Live<'_>, folder: &Path, exported: &Exported) -> Result<()> {
    let Some(first) = exported.pieces.first() else {
        return Ok(());
    };
    let record = folder.join(format!("{}.import", first.number));
    let begun: Option<Begun> = files::read_json(&record)?;
    let Some(begun) = begun else {
        return Ok(());
    };
    let doing = format!("remove {}", begun.target);
    let logs = if live.logged {
        Logs(false)
    } else {
        without_log(live.session, &doing)?
    };
    remove(live, exported, &begun.target)?;
    logs.restore(live.session, &doing)?;
    // What was consumed stays so.
    if begun.consumed {
        return Ok(());
    }
    files::remove_file(&record)
}

/// The table that a piece is imported as, when it is a partition.
fn name_of_piece(target: &TableName, piece: &ExportedPiece) -> TableName {
    let mut hash = crc32fast::Hasher::new();
    hash.update(target.table.as_bytes());
    let table = format!("backout_part_{:08x}_{}", hash.finalize(), piece.number);
    TableName::new(target.schema.clone(), table)
}

/// Removes the tables of an import, and files that no table has.
fn remove(live: &mut Live<'_>, exported: &Exported, target: &TableName) -> Result<()> {
    let doing = format!("remove {target}");
    let mut names = vec![target.clone()];
    names.extend(
        exported
            .pieces
            .iter()
            .filter(|piece| piece.partition.is_some())
            .map(|piece| name_of_piece(target, piece)),
    );
    for name in names {
        let stem = stem(live.session, &name)?;
        live.session
            .exec(&doing, format!("DROP TABLE IF EXISTS {}", quoted(&name)))?;
        if !catalog::exists(live.session, &name)? {
            for end in ["ibd", "cfg", "ibd.backout", "cfg.backout"] {
                files::remove_file(&live.datadir.join(format!("{stem}.{end}")))?;
            }
        }
    }
    Ok(())
}

fn take_in(
    live: &mut Live<'_>,
    folder: &Path,
    exported: &Exported,
    target: &TableName,
    place: Place,
    cancelled: &dyn Fn() -> bool,
    consume: &mut dyn FnMut(bool) -> Result<()>,
) -> Result<()> {
    let doing = format!("import {target}");
    live.session.exec(
        &doing,
        "SET SESSION foreign_key_checks=0, SESSION innodb_strict_mode=0, SESSION \
         system_versioning_alter_history=KEEP",
    )?;
    let definition = fitted(live, exported, &doing)?;
    live.session.exec(&doing, definition.create(target, true))?;
    for piece in &exported.pieces {
        if cancelled() {
            return Err(Error::Cancelled);
        }
        let Some(partition) = &piece.partition else {
            take_in_piece(live, folder, piece, target, place, cancelled, consume)?;
            continue;
        };
        let name = name_of_piece(target, piece);
        live.session.exec(&doing, definition.create(&name, false))?;
        take_in_piece(live, folder, piece, &name, place, cancelled, consume)?;
        live.session.exec(
            &doing,
            format!(
                "ALTER TABLE {} EXCHANGE PARTITION {} WITH TABLE {}",
                quoted(target),
                ident(partition),
                quoted(&name)
            ),
        )?;
        live.session
            .exec(&doing, format!("DROP TABLE {}", quoted(&name)))?;
    }
    for index in &definition.made_anew {
        if cancelled() {
            return Err(Error::Cancelled);
        }
        // One at a time: servers refuse several at once.
        live.session.exec(
            &doing,
            format!("ALTER TABLE {} ADD {index}", quoted(target)),
        )?;
    }
    Ok(())
}

/// The definition with its row format named where the live server would choose
/// another.
fn fitted(live: &mut Live<'_>, exported: &Exported, doing: &str) -> Result<Definition> {
    let mut definition = exported.definition.clone();
    let default: Option<String> = live
        .session
        .first(doing, "SELECT @@innodb_default_row_format")?;
    let is_named = definition.body.contains(" ROW_FORMAT=");
    if !is_named
        && !exported.row_format.is_empty()
        && default.is_some_and(|default| !default.eq_ignore_ascii_case(&exported.row_format))
        && !definition.body.contains(" KEY_BLOCK_SIZE=")
    {
        definition.body.push_str(" ROW_FORMAT=");
        definition
            .body
            .push_str(&exported.row_format.to_uppercase());
    }
    Ok(definition)
}

fn take_in_piece(
    live: &mut Live<'_>,
    folder: &Path,
    piece: &ExportedPiece,
    table: &TableName,
    place: Place,
    cancelled: &dyn Fn() -> bool,
    consume: &mut dyn FnMut(bool) -> Result<()>,
) -> Result<()> {
    let doing = format!("import {table}");
    let stem = stem(live.session, table)?;
    let path = |end: &str| live.datadir.join(format!("{stem}.{end}"));
    // As the server makes its files, so are these to be.
    let own = path("ibd");
    let model = own.metadata().map_err(Error::io("look at", &own))?;
    let mut is_same = false;
    for end in ["ibd", "cfg"] {
        let from = folder.join(format!("{}.{end}", piece.number));
        let ready = path(&format!("{end}.backout"));
        files::remove_file(&ready)?;
        let linked = place == Place::Move && std::fs::hard_link(&from, &ready).is_ok();
        is_same |= linked;
        if !linked {
            files::copy(&from, &ready, cancelled)?;
        }
        let failed = || Error::io("make ready", &ready);
        let file = File::open(&ready).map_err(failed())?;
        std::os::unix::fs::fchown(&file, Some(model.uid()), Some(model.gid())).map_err(failed())?;
        file.set_permissions(model.permissions())
            .map_err(failed())?;
        // What the server writes anew page by page, and syncs, is not synced
        // before: where it is cut off, the files are worth nothing anyway.
        if !linked || end == "cfg" {
            file.sync_all().map_err(failed())?;
        }
    }
    live.session.exec(
        &doing,
        format!("ALTER TABLE {} DISCARD TABLESPACE", quoted(table)),
    )?;
    consume(is_same)?;
    for end in ["cfg", "ibd"] {
        let to = path(end);
        std::fs::rename(path(&format!("{end}.backout")), &to).map_err(Error::io("place", &to))?;
    }
    if let Some(folder) = own.parent() {
        files::sync_folder(folder)?;
    }
    let taken = live.session.exec(
        &doing,
        format!("ALTER TABLE {} IMPORT TABLESPACE", quoted(table)),
    );
    files::remove_file(&path("cfg"))?;
    taken.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_is_taken_apart() {
        let sql = "CREATE TABLE `we``ird (\n` (\n  `id` int(11) NOT NULL COMMENT 'a,\\n) x',\n  \
                   `t` text DEFAULT NULL,\n  PRIMARY KEY (`id`),\n  KEY `CONSTRAINT` (`t`),\n  \
                   SPATIAL KEY `s` (`p`),\n  FULLTEXT KEY `f``t` (`t`),\n  CONSTRAINT `c` FOREIGN KEY (`id`) REFERENCES `p` \
                   (`id`),\n  CONSTRAINT `k` CHECK (`id` > 0),\n  FULLTEXT KEY `g` (`t`)\n) \
                   ENGINE=InnoDB COMMENT='\\n PARTITION BY x'\n PARTITION BY HASH (`id`)\nPARTITIONS 4";
        let definition = Definition::parse(sql).unwrap();
        assert_eq!(
            definition.create(&TableName::new("d", "n"), false),
            "CREATE TABLE `d`.`n` (\n  `id` int(11) NOT NULL COMMENT 'a,\\n) x',\n  `t` text \
             DEFAULT NULL,\n  PRIMARY KEY (`id`),\n  KEY `CONSTRAINT` (`t`),\n  CONSTRAINT `k` \
             CHECK (`id` > 0)\n) ENGINE=InnoDB COMMENT='\\n PARTITION BY x'"
        );
        assert!(
            definition
                .create(&TableName::new("d", "n"), true)
                .ends_with("\nPARTITION BY HASH (`id`)\nPARTITIONS 4")
        );
        assert_eq!(
            definition.foreign_keys,
            ["CONSTRAINT `c` FOREIGN KEY (`id`) REFERENCES `p` (`id`)"]
        );
        assert_eq!(
            definition.made_anew,
            [
                "SPATIAL KEY `s` (`p`)",
                "FULLTEXT KEY `f``t` (`t`)",
                "FULLTEXT KEY `g` (`t`)"
            ]
        );
        let names: Vec<_> = definition
            .made_anew
            .iter()
            .map(|index| name_of_index(index))
            .collect();
        assert_eq!(names, [Some("`s`"), Some("`f``t`"), Some("`g`")]);
        assert_eq!(Definition::parse("CREATE VIEW `v` AS SELECT 1"), None);
    }
}
