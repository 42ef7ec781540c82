//! Takes rows back in the table itself, while others use it: one transaction.
//!
//! # Why the result is that of some serial order
//!
//! The rows that the net effect names are locked, and then history is read up to
//! where the binary log ends. A transaction gives up its locks only after it
//! has been logged, so that whoever changed one of these rows before we had its
//! lock is in that history.
//! - If nobody did since the net effect was taken, at E, then everything that
//!   was committed after E touches other rows than we do: it commutes with us,
//!   and the result is as if we had run at E, alone.
//! - If somebody did, E moves to the end of the last such transaction, the net
//!   effect is extended to it, the rows that it adds are locked, and history is
//!   read again. Rows cannot be changed again once they are locked, so that this
//!   ends as soon as the rows that are added no longer are those of others.
//!
//! Rows that are to come back are not there and cannot be locked. So history is
//! read once more when they are in place, before the commit: had somebody used
//! one of these keys meanwhile, all is rolled back and begins anew.
//!
//! We never wait for a lock while we hold others (`innodb_lock_wait_timeout` is
//! 0, and we try again): a cycle of waits cannot go through us, and no writer
//! is made the victim of a deadlock by us. Writers that want our rows wait.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hasher};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backout_history::change::{Ddl, StatementKind, Table};
use backout_history::layout::Layout;
use backout_history::{
    Change, Direction, Item, Key, NetFiles, NetTable, Phase, Position, Reducer, Statement, Synth,
    TableName,
};

use super::rows::{Compared, Image, Lock, check};
use super::{not_as_told, synth_options};
use crate::catalog::{TableDef, binlog_end};
use crate::error::{Error, Result, number};
use crate::session::Session;

/// The most rows that are taken back in place: each costs a lock, an entry in
/// the undo log and 16 bytes here, and holds others up. Beyond it a table under
/// a new name is the better way.
pub const ROWS_MAX: u64 = 5_000_000;

/// How often it begins anew when others were in the way.
const ATTEMPTS: u32 = 6;

/// How often history is read anew, within an attempt, because others changed
/// the rows before they were locked.
const ROUNDS: u32 = 20;

/// How long a locked row is tried for before all locks are given up: whoever
/// holds it may wait for one of ours.
const LOCK_PATIENCE: Duration = Duration::from_secs(3);

/// The first and the longest rest between two tries.
const LOCK_REST: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(50));

/// The rest between two attempts, so that those who waited for us get through.
const ATTEMPT_REST: Duration = Duration::from_millis(200);

/// Memory for extending the net effect, in bytes: more goes to files.
const REDUCER_BYTES: u64 = 64 << 20;

/// Which history the net effect is of.
pub enum Until<'a> {
    /// All up to now, that is: up to `position` when it was taken, and what
    /// `follow` tells of since. Whatever was done to the table in the window is
    /// taken back.
    Now {
        /// Where the window ended so far.
        position: Position,
        /// Reads on.
        follow: &'a mut dyn Follow,
    },
    /// A part of it (a transaction, a stretch of time). The rows must still be
    /// as they were left by it.
    Part,
}

/// Reads the history of the server, up to what was committed just now.
pub trait Follow {
    /// Hands on every item in `from..to` that concerns the tables: groups,
    /// changes of rows, statements, in the order of commit. Waits until the
    /// history reaches to `to`.
    ///
    /// # Errors
    /// As the history has them, and what `each` returns.
    fn follow(
        &mut self,
        from: &Position,
        to: &Position,
        each: &mut dyn FnMut(Item<'_>) -> Result<()>,
    ) -> Result<()>;
}

/// What is taken back.
pub struct InPlace<'a> {
    /// The net effect, whose beginning is wanted.
    pub net: &'a NetFiles,
    /// The tables: the place of each in the net effect, and its definition now.
    pub tables: &'a [(usize, &'a TableDef)],
    /// A folder of ours alone, for what the net effect is extended to.
    pub folder: &'a Path,
}

/// How it is taken back.
#[derive(Clone, Debug)]
pub struct InPlaceOptions {
    /// Whether foreign keys are checked, row by row. They never cascade.
    pub foreign_key_checks: bool,
}

impl Default for InPlaceOptions {
    fn default() -> Self {
        Self {
            foreign_key_checks: true,
        }
    }
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Rows that were taken back, and compared with what they must be.
    pub rows: u64,
    /// The transaction that did it; `None` when there was nothing to do, or the
    /// server has no such names.
    pub gtid: Option<String>,
    /// Where the history that was taken back ends; `None` for a part.
    pub until: Option<Position>,
    /// Whether all rows were as wanted already: an earlier try came through.
    pub already: bool,
}

/// Takes rows back in the tables themselves, all or none, in one transaction.
/// `progress` hears of rows looked at, written or compared, of all that is to
/// be done. Repeating it does nothing more.
///
/// # Errors
/// [`Error::Table`] when a table has no key, too many rows are concerned, or
/// its triggers would fire; [`Error::RowsChanged`] when rows are not as history
/// left them, or the definition was changed meanwhile; a passing
/// [`Error::State`] is told as [`Error::Refused`] with the number of the lock
/// wait; [`Error::Proof`] when the result is not as computed;
/// [`Error::Cancelled`]; [`Error::Lost`]. Nothing is left of it then, except
/// that a connection that is lost during the commit leaves open whether it
/// was done: do it again.
pub fn in_place(
    session: &mut Session,
    what: &InPlace<'_>,
    mut until: Until<'_>,
    options: &InPlaceOptions,
    progress: &mut dyn FnMut(u64, u64),
    cancelled: &dyn Fn() -> bool,
) -> Result<Done> {
    for (_, def) in what.tables {
        preflight(session, def)?;
    }
    let mut run = Run {
        what,
        options,
        progress,
        cancelled,
        net: Net::Given,
        position: match &until {
            Until::Now { position, .. } => Some(position.clone()),
            Until::Part => None,
        },
        extended: 0,
    };
    let mut attempt = 1;
    loop {
        let error = match run.attempt(session, &mut until) {
            Ok(done) => return Ok(done),
            Err(e) => e,
        };
        // Ends the transaction when the connection still stands; when not, the
        // server does.
        let rolled_back = session.exec("take back in place: roll back", "ROLLBACK");
        let locked = matches!(
            error.number(),
            Some(number::LOCK_WAIT_TIMEOUT | number::LOCK_DEADLOCK)
        );
        if !locked || attempt == ATTEMPTS || rolled_back.is_err() {
            return Err(error);
        }
        attempt += 1;
        std::thread::sleep(ATTEMPT_REST * attempt);
        if cancelled() {
            return Err(Error::Cancelled);
        }
    }
}

/// What can be told before anything is locked.
fn preflight(session: &mut Session, def: &TableDef) -> Result<()> {
    let refuse = |why: String| {
        Err(Error::Table {
            doing: "take back in place",
            table: def.name.clone(),
            why,
        })
    };
    if def.key.is_none() {
        return refuse(
            "its rows cannot be told apart; add a primary key, or take it back under a new name"
                .to_owned(),
        );
    }
    if !def.engine.eq_ignore_ascii_case("InnoDB") {
        return refuse(format!(
            "its engine {} has no transactions; take it back under a new name",
            def.engine
        ));
    }
    if def.system_versioned {
        return refuse(
            "it keeps old versions of its rows, which would be written over; take it back under \
             a new name"
                .to_owned(),
        );
    }
    if !def.triggers.is_empty() {
        let runs: Option<String> = session.first(
            "look at the settings",
            "SELECT @@global.slave_run_triggers_for_rbr",
        )?;
        if runs.is_some_and(|runs| runs != "NO") {
            return refuse(
                "its triggers would fire; `SET GLOBAL slave_run_triggers_for_rbr='NO'`".to_owned(),
            );
        }
    }
    Ok(())
}

/// The net effect that is being applied.
enum Net {
    Given,
    Extended(NetFiles),
}

struct Run<'a> {
    what: &'a InPlace<'a>,
    options: &'a InPlaceOptions,
    progress: &'a mut dyn FnMut(u64, u64),
    cancelled: &'a dyn Fn() -> bool,
    net: Net,
    /// Where the net effect's window ends, when it is to end now.
    position: Option<Position>,
    /// How often it was extended: names folders.
    extended: u32,
}

/// The rows that are concerned, by hashes of table and key. Two keys of one
/// hash only make us believe that others changed what they did not.
type Keys = HashSet<u64>;

const DOING: &str = "take back in place";

impl Run<'_> {
    fn files(&self) -> &NetFiles {
        match &self.net {
            Net::Given => self.what.net,
            Net::Extended(net) => net,
        }
    }

    /// Rows of all tables.
    fn rows(&self) -> u64 {
        self.what
            .tables
            .iter()
            .filter_map(|(table, _)| self.files().summaries().get(*table))
            .map(|summary| summary.rows)
            .sum()
    }

    fn layout(&self, table: usize) -> Option<Layout> {
        self.files().summaries().get(table)?.layout.clone()
    }

    fn attempt(&mut self, session: &mut Session, until: &mut Until<'_>) -> Result<Done> {
        session.exec(
            DOING,
            "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
        )?;
        session.exec(DOING, "SET SESSION innodb_lock_wait_timeout=0")?;
        // Before the transaction: it may end one.
        session.exec(DOING, Synth::format_description())?;
        session.exec(DOING, "START TRANSACTION")?;
        let mut keys;
        let mut round = 1;
        loop {
            self.bounded()?;
            keys = self.keys()?;
            let different = self.compare(session, Image::Now, true)?;
            let extended = match until {
                Until::Now { follow, .. } => self.extend(session, &mut **follow, &mut keys)?,
                Until::Part => false,
            };
            if !extended {
                match different {
                    None => break,
                    Some((table, n)) => return self.changed(session, table, n, until),
                }
            }
            round += 1;
            if round > ROUNDS {
                return Err(busy(
                    "others keep changing the rows that are to be taken back",
                ));
            }
        }
        let rows = self.rows();
        if rows > 0 {
            self.write(session)?;
            if let Some((table, n)) = self.compare(session, Image::Wanted, false)? {
                return Err(Error::Proof {
                    table: table.clone(),
                    why: format!("{n} rows are not as they must be; nothing was changed"),
                });
            }
        }
        if let Until::Now { follow, .. } = until
            && rows > 0
            && self.interfered(session, &mut **follow, &keys)?
        {
            return Err(busy("others used keys that were to come back"));
        }
        if (self.cancelled)() {
            return Err(Error::Cancelled);
        }
        session.exec("commit what was taken back", "COMMIT")?;
        let gtid = if rows > 0 {
            // It is done; not to know its name is no failure.
            session
                .first::<Option<String>>(DOING, "SELECT @@last_gtid")
                .ok()
                .flatten()
                .flatten()
                .filter(|gtid| !gtid.is_empty())
        } else {
            None
        };
        Ok(Done {
            rows,
            gtid,
            until: self.position.clone(),
            already: false,
        })
    }

    fn bounded(&self) -> Result<()> {
        let rows = self.rows();
        if rows <= ROWS_MAX {
            return Ok(());
        }
        Err(Error::Table {
            doing: DOING,
            table: self
                .what
                .tables
                .first()
                .map_or_else(|| TableName::new("", ""), |(_, def)| def.name.clone()),
            why: format!(
                "{rows} rows were touched, and at most {ROWS_MAX} are taken back in place; take it \
                 back under a new name"
            ),
        })
    }

    /// Hashes of the keys of all rows.
    fn keys(&self) -> Result<Keys> {
        let mut keys = Keys::new();
        for (table, def) in self.what.tables {
            let Some(layout) = self.layout(*table) else {
                continue;
            };
            let mut hasher = KeyHasher::new(def, &layout);
            let mut rows = self.files().rows(*table)?;
            while let Some(row) = rows.next()? {
                for image in [row.first_before, row.last_after].into_iter().flatten() {
                    keys.insert(hasher.hash(image));
                }
            }
        }
        Ok(keys)
    }

    /// Compares all rows with one image of each, and locks them if asked to.
    /// Tells the first table that differs, and in how many rows.
    fn compare(
        &mut self,
        session: &mut Session,
        image: Image,
        lock: bool,
    ) -> Result<Option<(TableName, u64)>> {
        let cancelled = self.cancelled;
        let locking = move |session: &mut Session, sql: &str| lock_rows(session, sql, cancelled);
        let locking: &Lock<'_> = &locking;
        let all = self.rows();
        let mut before = 0;
        let mut different = None;
        for (table, def) in self.what.tables {
            let Some(layout) = self.layout(*table) else {
                continue;
            };
            let rows = self.files().rows(*table)?;
            let progress = &mut *self.progress;
            let Compared { keys, different: n } = check(
                session,
                def,
                &layout,
                rows,
                Direction::Backward,
                image,
                lock.then_some(locking),
                &mut |keys| {
                    progress(before + keys, all);
                    if cancelled() {
                        Err(Error::Cancelled)
                    } else {
                        Ok(())
                    }
                },
            )?;
            before += keys;
            if n > 0 && different.is_none() {
                different = Some((def.name.clone(), n));
            }
        }
        Ok(different)
    }

    /// What it means that rows are not as history left them.
    fn changed(
        &mut self,
        session: &mut Session,
        table: TableName,
        n: u64,
        until: &Until<'_>,
    ) -> Result<Done> {
        let why = match until {
            Until::Part => {
                if self.compare(session, Image::Wanted, true)?.is_none() {
                    session.exec(DOING, "ROLLBACK")?;
                    return Ok(Done {
                        already: true,
                        ..Done::default()
                    });
                }
                format!(
                    "{n} of them were changed again since; take back all that was done since, or \
                     choose a later instant"
                )
            }
            Until::Now { .. } => format!(
                "{n} of them are not as history left them: something changed them without a trace \
                 in the binary log (a cascade, a session with sql_log_bin=0); take the table back \
                 under a new name"
            ),
        };
        Err(Error::RowsChanged { table, why })
    }

    /// Reads history up to now. When others changed rows that are concerned,
    /// extends the net effect to the last of these and returns `true`.
    fn extend(
        &mut self,
        session: &mut Session,
        follow: &mut dyn Follow,
        keys: &mut Keys,
    ) -> Result<bool> {
        let (Some(from), Some(to)) = (self.position.clone(), binlog_end(session)?) else {
            return Err(no_log());
        };
        let Some(end) = self.last_touch(follow, &from, &to, keys)? else {
            return Ok(false);
        };
        let folder = self
            .what
            .folder
            .join(format!("extended-{}", self.extended % 2));
        self.extended += 1;
        let tables = self
            .files()
            .summaries()
            .iter()
            .map(|summary| NetTable {
                name: summary.renamed.clone(),
                key: summary.key.clone(),
                // The order is of no matter here but for speed.
                signedness: Vec::new(),
                computed: Vec::new(),
            })
            .collect::<Vec<_>>();
        let tables = with_columns(tables, self.what.tables);
        let mut reducer = Reducer::new(&folder, REDUCER_BYTES, tables)?;
        // What was known first, as if it were one change of each row ...
        for (i, summary) in self.files().summaries().iter().enumerate() {
            let Some(layout) = &summary.layout else {
                continue;
            };
            let table = Arc::new(Table {
                name: summary.renamed.clone(),
                layout: layout.clone(),
            });
            let mut rows = self.files().rows(i)?;
            while let Some(row) = rows.next()? {
                for _ in 0..row.count {
                    reducer.change(&Change {
                        table: &table,
                        before: row.first_before,
                        after: row.last_after,
                        ends_statement: true,
                    })?;
                }
            }
        }
        // ... and then what happened since.
        follow.follow(&from, &end, &mut |item| {
            if let Item::Change(change) = item {
                reducer.change(&change)?;
            }
            Ok(())
        })?;
        reducer.finish(self.cancelled)?;
        let net = NetFiles::open(&folder)?.ok_or_else(|| Error::State {
            what: DOING.to_owned(),
            why: "the extended net effect vanished from its folder".to_owned(),
        })?;
        self.net = Net::Extended(net);
        self.position = Some(end);
        Ok(true)
    }

    /// The end of the last transaction that changed one of the rows. The rows
    /// of all transactions before it count as well from then on.
    fn last_touch(
        &self,
        follow: &mut dyn Follow,
        from: &Position,
        to: &Position,
        keys: &mut Keys,
    ) -> Result<Option<Position>> {
        let mut hashers: Vec<(TableName, Option<(Layout, KeyHasher)>)> = self
            .what
            .tables
            .iter()
            .map(|(_, def)| (def.name.clone(), None))
            .collect();
        let mut last = None;
        let mut pending: Vec<u64> = Vec::new();
        let mut touched = false;
        follow.follow(from, to, &mut |item| {
            match item {
                Item::Begin(_) => touched = false,
                Item::Change(change) => {
                    let Some(i) = hashers
                        .iter()
                        .position(|(name, _)| *name == change.table.name)
                    else {
                        return Ok(());
                    };
                    let def = self.what.tables[i].1;
                    let cached = &mut hashers[i].1;
                    if cached
                        .as_ref()
                        .is_none_or(|(layout, _)| !layout.same_shape(&change.table.layout))
                    {
                        let layout = change.table.layout.clone();
                        let hasher = KeyHasher::new(def, &layout);
                        *cached = Some((layout, hasher));
                    }
                    if let Some((_, hasher)) = cached {
                        for image in [change.before, change.after].into_iter().flatten() {
                            let hash = hasher.hash(image);
                            touched |= keys.contains(&hash);
                            pending.push(hash);
                        }
                    }
                    if pending.len() as u64 > 2 * ROWS_MAX {
                        return Err(busy("more is written to the table than can be followed"));
                    }
                }
                Item::Statement(statement) => self.refuse_statement(statement)?,
                Item::End(end) => {
                    if touched && end.committed {
                        last = Some(end.end.clone());
                        keys.extend(pending.drain(..));
                    }
                }
            }
            Ok(())
        })?;
        Ok(last)
    }

    /// Whether others changed any of the rows since.
    fn interfered(
        &self,
        session: &mut Session,
        follow: &mut dyn Follow,
        keys: &Keys,
    ) -> Result<bool> {
        let (Some(from), Some(to)) = (&self.position, binlog_end(session)?) else {
            return Err(no_log());
        };
        Ok(self
            .last_touch(follow, from, &to, &mut keys.clone())?
            .is_some())
    }

    /// Statements that change more than rows, or rows that are not told.
    fn refuse_statement(&self, statement: &Statement) -> Result<()> {
        let ours = |table: &TableName| self.what.tables.iter().find(|(_, def)| def.name == *table);
        let concerned = match &statement.kind {
            StatementKind::Other => None,
            StatementKind::Rows => self.what.tables.first(),
            StatementKind::Ddl(ddl) => match ddl {
                Ddl::Create { table, .. } | Ddl::Truncate(table) => ours(table),
                Ddl::Alter {
                    table,
                    others,
                    renamed,
                    ..
                } => std::iter::once(table)
                    .chain(others)
                    .chain(renamed)
                    .find_map(ours),
                Ddl::Rename(pairs) => pairs.iter().flat_map(|(a, b)| [a, b]).find_map(ours),
                Ddl::Drop(tables) => tables.iter().find_map(ours),
                Ddl::CreateDatabase(_) | Ddl::AlterDatabase(_) | Ddl::Define(_) => None,
                Ddl::DropDatabase(database) => self
                    .what
                    .tables
                    .iter()
                    .find(|(_, def)| def.name.schema == *database),
            },
        };
        match concerned {
            None => Ok(()),
            Some((_, def)) => Err(Error::RowsChanged {
                table: def.name.clone(),
                why: format!(
                    "a statement at {} changed its definition, or rows without telling which; \
                     begin anew",
                    statement.at
                ),
            }),
        }
    }

    fn write(&mut self, session: &mut Session) -> Result<()> {
        let all = self.rows();
        for phase in [Phase::Remove, Phase::Write] {
            let mut done = 0;
            for (table, def) in self.what.tables {
                let Some(layout) = self.layout(*table) else {
                    continue;
                };
                let options = synth_options(
                    def,
                    Direction::Backward,
                    session.packet_bytes(),
                    self.options.foreign_key_checks,
                );
                let synth = Synth::new(&layout, &def.name, options);
                let mut statements = synth.statements(self.files().rows(*table)?, phase);
                while let Some(batch) = statements.next()? {
                    done += batch.rows;
                    session
                        .exec(DOING, batch.sql)
                        .map_err(|e| match e.number() {
                            // Somebody used a key that was free when we looked.
                            Some(number::DUP_ENTRY) => {
                                busy("others used keys that were to come back")
                            }
                            _ => not_as_told(e, &def.name),
                        })?;
                    (self.progress)(done, all);
                    if (self.cancelled)() {
                        return Err(Error::Cancelled);
                    }
                }
            }
        }
        Ok(())
    }
}

fn with_columns(mut tables: Vec<NetTable>, defs: &[(usize, &TableDef)]) -> Vec<NetTable> {
    for (place, def) in defs {
        if let Some(table) = tables.get_mut(*place) {
            table.signedness = def.columns.iter().map(|c| c.unsigned).collect();
            table.computed = def.computed();
            debug_assert!(matches!(table.key, Key::Columns(_)), "preflight saw a key");
        }
    }
    tables
}

/// Others are in the way: the same as a lock that was waited for in vain.
fn busy(why: &str) -> Error {
    Error::Refused {
        doing: DOING.to_owned(),
        number: number::LOCK_WAIT_TIMEOUT,
        why: format!("{why}; try again"),
    }
}

fn no_log() -> Error {
    Error::Settings {
        why: "take back in place: the server writes no binary log, or our user may not ask where \
              it ends; set log_bin, and `GRANT BINLOG MONITOR ON *.* TO` our user"
            .to_owned(),
    }
}

/// Locks the rows that a query finds, trying again while others have one of
/// them: what was locked by an earlier try stays locked.
fn lock_rows(session: &mut Session, sql: &str, cancelled: &dyn Fn() -> bool) -> Result<Vec<u64>> {
    let end = Instant::now() + LOCK_PATIENCE;
    let sql = format!("{sql} FOR UPDATE");
    let mut rest = LOCK_REST.0;
    loop {
        match session.query(DOING, &sql) {
            Err(e) if e.number() == Some(number::LOCK_WAIT_TIMEOUT) && Instant::now() < end => {
                if cancelled() {
                    return Err(Error::Cancelled);
                }
                std::thread::sleep(rest);
                rest = (rest * 2).min(LOCK_REST.1);
            }
            result => return result,
        }
    }
}

/// Hashes keys, of one table.
struct KeyHasher {
    seed: DefaultHasher,
    layout: Layout,
    key: Vec<usize>,
    ranges: Vec<Option<std::ops::Range<usize>>>,
}

impl KeyHasher {
    fn new(def: &TableDef, layout: &Layout) -> Self {
        let mut seed = DefaultHasher::new();
        for name in [&def.name.schema, &def.name.table] {
            seed.write_usize(name.len());
            seed.write(name.as_bytes());
        }
        Self {
            seed,
            layout: layout.clone(),
            key: def.key.clone().unwrap_or_default(),
            ranges: Vec::new(),
        }
    }

    fn hash(&mut self, image: &[u8]) -> u64 {
        let ranges = &mut self.ranges;
        let mut hasher = self.seed.clone();
        if self.layout.take_apart(image, ranges).is_none() {
            // The reader has taken it apart before; of no layout of ours, it
            // counts as one row.
            return hasher.finish();
        }
        for i in &self.key {
            let value = ranges
                .get(*i)
                .and_then(|range| range.as_ref())
                .and_then(|range| image.get(range.clone()))
                .unwrap_or_default();
            hasher.write_usize(value.len());
            hasher.write(value);
        }
        hasher.finish()
    }
}
