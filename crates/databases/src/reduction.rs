//! Reads a stretch of history and writes down its net effect on some tables.

use std::collections::HashSet;
use std::path::Path;

use backout_history::archive::{Archive, ArchiveSource};
use backout_history::change::{Ddl, StatementKind};
use backout_history::net::{NetSummary, NetTable, Reducer};
use backout_history::reader::{Reader, ReaderOptions};
use backout_history::source::{Block, Source};
use backout_history::{Error, Gtid, Item, Position, Result, Statement, TableName};

/// What is reduced.
pub(crate) struct Stretch<'a> {
    /// Where it begins: between two groups.
    pub(crate) from: &'a Position,
    /// Where it ends: between two groups.
    pub(crate) to: &'a Position,
    /// The tables, by their names at its beginning.
    pub(crate) tables: Vec<NetTable>,
    /// Only these transactions; all when `None`.
    pub(crate) only: Option<&'a HashSet<Gtid>>,
    /// What a definition statement about one of these tables does: with names
    /// here, the stretch ends before it; without, it is refused.
    pub(crate) until_altered: Option<&'a HashSet<TableName>>,
    /// Whether it is for a copy that is of no one instant: see
    /// [`Reducer::keep_touched`].
    pub(crate) fuzzy: bool,
    /// Whether the server folds names to lower case.
    pub(crate) lower_case_names: bool,
}

/// A stretch that was reduced.
pub(crate) struct Reduced {
    /// Its net effect, as it was written down.
    pub(crate) summaries: Vec<NetSummary>,
    /// The definition statement before which it ended, and where to go on
    /// after it.
    pub(crate) altered: Option<(Statement, Position)>,
}

/// History up to a place, and then up to another.
struct Growing<'a, 'o> {
    archive: &'a Archive,
    names: &'a HashSet<TableName>,
    source: ArchiveSource,
    /// Where that ends.
    end: Position,
    onward: Option<Onward<'o>>,
    /// Whether a block was handed out that told what was prepared before it.
    has_told: bool,
}

impl Source for Growing<'_, '_> {
    fn next_block(&mut self, block: &mut Block) -> Result<bool> {
        while !self.source.next_block(block)? {
            let Some(onward) = self.onward.take() else {
                return Ok(false);
            };
            let end = onward()?;
            self.source = self.archive.source(&self.end, &end, Some(self.names))?;
        }
        if std::mem::replace(&mut self.has_told, true) {
            // The reader knows what is prepared: it has read that.
            block.carry.clear();
        }
        Ok(true)
    }
}

/// How often it is asked whether to go on, in items of history.
const ASK_EVERY: u32 = 4096;

/// Tells how far history is read that was read up to its end: to where on.
pub(crate) type Onward<'a> = &'a mut dyn FnMut() -> Result<Position>;

/// Reduces a stretch into `folder`; what was begun there by an attempt that
/// died is begun anew. `progress` is told where it is.
///
/// # Errors
/// Those of the archive; [`Error::Unsupported`] for what cannot be taken back
/// row by row, by name; [`Error::Cancelled`].
pub(crate) fn reduce(
    archive: &Archive,
    stretch: Stretch<'_>,
    folder: &Path,
    memory_bytes: u64,
    progress: &dyn Fn(&Position),
    cancelled: &dyn Fn() -> bool,
) -> Result<Reduced> {
    reduce_onward(
        archive,
        stretch,
        None,
        folder,
        memory_bytes,
        progress,
        cancelled,
    )
}

/// As [`reduce`], but what ends the stretch may be known only when `onward`
/// tells, which is asked once, at the end of the stretch.
///
/// # Errors
/// As [`reduce`]; those of `onward`.
pub(crate) fn reduce_onward(
    archive: &Archive,
    stretch: Stretch<'_>,
    onward: Option<Onward<'_>>,
    folder: &Path,
    memory_bytes: u64,
    progress: &dyn Fn(&Position),
    cancelled: &dyn Fn() -> bool,
) -> Result<Reduced> {
    let mut names: HashSet<TableName> = stretch.tables.iter().map(|t| t.name.clone()).collect();
    names.extend(stretch.until_altered.into_iter().flatten().cloned());
    let source = Growing {
        archive,
        names: &names,
        source: archive.source(stretch.from, stretch.to, Some(&names))?,
        end: stretch.to.clone(),
        onward,
        has_told: false,
    };
    // A part is for what is read ahead, and for what an allocator holds beyond what
    // was asked of it.
    let (prepared, around) = (memory_bytes / 8, memory_bytes / 4);
    let options = ReaderOptions {
        wanted: Some(names.clone()),
        spill: folder.join("xa"),
        xa_memory: prepared,
        lower_case_names: stretch.lower_case_names,
    };
    let mut reader = Reader::new(source, options);
    let mut reducer = Reducer::new(folder, memory_bytes - prepared - around, stretch.tables)?;
    if stretch.fuzzy {
        reducer = reducer.keep_touched();
    }
    let mut chosen = true;
    let mut altered: Option<Statement> = None;
    let mut until_asked = 0;
    while let Some(item) = reader.next()? {
        until_asked += 1;
        if until_asked == ASK_EVERY {
            until_asked = 0;
            if cancelled() {
                return Err(Error::Cancelled);
            }
        }
        match item {
            Item::Begin(group) => {
                progress(&group.start);
                chosen = stretch
                    .only
                    .is_none_or(|only| group.gtid.as_ref().is_some_and(|gtid| only.contains(gtid)));
            }
            Item::Change(change) => {
                if let Some(statement) = &altered {
                    return refuse(statement, "a statement made a table and filled it at once");
                }
                if chosen {
                    reducer.change(&change)?;
                }
            }
            Item::Statement(statement) => match &statement.kind {
                StatementKind::Other => {}
                StatementKind::Rows => {
                    if mentioned(statement, &names) {
                        return refuse(
                            statement,
                            "a statement changed rows that are not in the history",
                        );
                    }
                }
                StatementKind::Ddl(ddl) => match stretch.until_altered {
                    Some(_) if concerns(ddl, &names) => altered = Some(statement.clone()),
                    None if changes(ddl, &names) => {
                        return refuse(statement, "a table was altered");
                    }
                    _ => {}
                },
            },
            Item::End(end) => {
                if let Some(statement) = altered.take() {
                    return Ok(Reduced {
                        summaries: reducer.finish(cancelled)?,
                        altered: Some((statement, end.end.clone())),
                    });
                }
            }
        }
    }
    if cancelled() {
        return Err(Error::Cancelled);
    }
    Ok(Reduced {
        summaries: reducer.finish(cancelled)?,
        altered: None,
    })
}

fn refuse<T>(statement: &Statement, what: &str) -> Result<T> {
    let text = String::from_utf8_lossy(&statement.text);
    let shown: String = text.chars().take(120).collect();
    Err(Error::Unsupported {
        at: statement.at.clone(),
        what: format!("{what}, so rows cannot be taken back one by one: {shown}"),
    })
}

/// Whether a statement that was logged as text may have changed one of the
/// tables: it names one, or calls what may.
fn mentioned(statement: &Statement, present: &HashSet<TableName>) -> bool {
    let text = String::from_utf8_lossy(&statement.text).to_lowercase();
    text.trim_start().starts_with("call")
        || present
            .iter()
            .any(|name| text.contains(&name.table.to_lowercase()))
}

/// Whether after this definition statement rows of one of the tables cannot be
/// taken back one by one. (That a table gets another name does not hinder that.)
pub(crate) fn changes(ddl: &Ddl, tables: &HashSet<TableName>) -> bool {
    match ddl {
        Ddl::Alter {
            table,
            renamed: None,
            keeps_rows: true,
            others,
        } => tables.contains(table) && others.iter().any(|t| tables.contains(t)),
        Ddl::Rename(_) => false,
        ddl => concerns(ddl, tables),
    }
}

/// Whether a statement gives one of the tables another name, or its name to
/// another.
pub(crate) fn renames(statement: &Statement, tables: &HashSet<TableName>) -> bool {
    match &statement.kind {
        StatementKind::Ddl(ddl @ Ddl::Rename(_))
        | StatementKind::Ddl(
            ddl @ Ddl::Alter {
                renamed: Some(_), ..
            },
        ) => concerns(ddl, tables),
        _ => false,
    }
}

/// Whether a definition statement is about one of the tables.
pub(crate) fn concerns(ddl: &Ddl, tables: &HashSet<TableName>) -> bool {
    match ddl {
        Ddl::Create { table, .. } | Ddl::Truncate(table) => tables.contains(table),
        Ddl::Alter {
            table,
            renamed,
            others,
            ..
        } => [table]
            .into_iter()
            .chain(renamed)
            .chain(others)
            .any(|t| tables.contains(t)),
        Ddl::Rename(pairs) => pairs
            .iter()
            .any(|(from, to)| tables.contains(from) || tables.contains(to)),
        Ddl::Drop(dropped) => dropped.iter().any(|t| tables.contains(t)),
        Ddl::CreateDatabase(_) | Ddl::AlterDatabase(_) | Ddl::Define(_) => false,
        Ddl::DropDatabase(schema) => tables.iter().any(|t| t.schema == *schema),
    }
}
