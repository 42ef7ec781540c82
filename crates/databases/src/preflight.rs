//! Whether tables can be taken back, and by which way. The call, its dry run
//! and the windows that are shown ask this one room.

mod clone;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;

use backout_core::code::Code;
use backout_core::plan::{Estimate, Finding, Preflight};
use backout_core::time::Timestamp;
use backout_history::archive::{self, Archive, Located, Txn};
use backout_history::{Gtid, Position, TableName};
use backout_mariadb::Session;
use backout_mariadb::catalog::{self, TableDef};
use backout_mariadb::doctor::{self, Level};

use crate::beside::{self, Placed};
use crate::cascade::{self, Replay};
use crate::model::{Backup, BackupState, Copying, Instance, Method, Renamed, Road, Strategy};
use crate::procedures::found;
use crate::reduction;
use crate::refusal::Refusal;
use crate::request::{Found, FoundTable, RewindRequest, RewindWhat, RollbackRequest, Until};
use crate::runtime::{CATCH_UP, Runtime};
use crate::zone::Zone;

pub(crate) use self::clone::{CheckedClone, CloneChoice, clone};

/// How many tables one job may take back. Each is a file, a scratch table and
/// a line of the statement that publishes all at once.
pub const TABLES_MAX: usize = 1_000;

/// By how much the clocks of the server and of this host may differ, in
/// milliseconds, for the question which life of its logs a backup is of.
const CLOCKS_MS: i64 = 3_600_000;

/// The longest name of a table or a database, in characters (the server's).
const IDENTIFIER_MAX_CHARS: usize = 64;

/// A table that is taken back.
#[derive(Clone, Debug)]
pub(crate) struct Chosen {
    /// What it is called now, and what its earlier state will be called.
    pub(crate) name: Renamed<TableName>,
    /// How it is defined now; `None` when it is not there any more.
    pub(crate) def: Option<TableDef>,
}

/// What a passed preflight leads to.
#[derive(Clone, Debug)]
pub(crate) struct Choice {
    pub(crate) incarnation: u32,
    pub(crate) located: Located,
    pub(crate) road: Road,
    pub(crate) copying: Copying,
    /// The base backup, on the restore road.
    pub(crate) base: Option<u64>,
    pub(crate) tables: Vec<Chosen>,
    pub(crate) databases: Vec<Renamed<String>>,
    /// What is made in these databases beside the tables.
    pub(crate) placed: Vec<Placed>,
    /// The replay that a restore needs.
    pub(crate) replay: Option<Replay>,
    pub(crate) lower_case_names: bool,
    /// In place: only these transactions.
    pub(crate) only: Option<Vec<Gtid>>,
}

/// What was found.
#[derive(Clone, Debug)]
pub(crate) struct Checked {
    pub(crate) preflight: Preflight,
    pub(crate) found: Option<Found>,
    /// There when nothing stands in the way.
    pub(crate) choice: Option<Choice>,
}

/// Collects what stands in the way and what to know.
#[derive(Default)]
struct Findings {
    blockers: Vec<Finding>,
    warnings: Vec<Finding>,
}

impl Findings {
    fn block(&mut self, code: Code, message: impl Into<String>) {
        self.blockers.push(Finding {
            code,
            message: message.into(),
        });
    }

    fn warn(&mut self, code: Code, message: impl Into<String>) {
        self.warnings.push(Finding {
            code,
            message: message.into(),
        });
    }

    fn blocked(self) -> Checked {
        Checked {
            preflight: Preflight {
                blockers: self.blockers,
                warnings: self.warnings,
                estimate: Estimate::default(),
            },
            found: None,
            choice: None,
        }
    }
}

/// What is looked at.
pub(crate) struct Sight<'a> {
    pub(crate) runtime: &'a Runtime,
    pub(crate) instance: &'a Instance,
    /// Base backups that can be used, with the chain of each.
    pub(crate) backups: &'a [Backup],
}

/// What a rollback made, or its undo took away.
pub(crate) struct Made {
    /// Whether it was taken away.
    pub(crate) taken_away: bool,
    /// Tables.
    pub(crate) tables: Vec<TableName>,
    /// Databases.
    pub(crate) databases: Vec<String>,
    /// When it ended.
    pub(crate) at: Timestamp,
}

/// What is open while one looks.
struct View {
    session: Session,
    archive: Archive,
    zone: Zone,
    end: Position,
    lower_case_names: bool,
    datadir: Option<PathBuf>,
    /// Whether our account may have the server write a checkpoint: tables that
    /// come back as files are safe from then on.
    checkpoints: bool,
    /// Whether our account may make what runs as others.
    as_others: bool,
    /// Whether the server's logs were reset since the cut.
    reset: bool,
}

impl Sight<'_> {
    /// Opens a session and the archive; sees to it that the archive has what
    /// the server has written until now.
    fn open(&self, findings: &mut Findings) -> Result<View, Refusal> {
        let endpoint = self.runtime.endpoint(self.instance)?;
        let mut session = Session::open(&endpoint).map_err(Refusal::Database)?;
        let mut checkpoints = true;
        let mut as_others = false;
        for finding in doctor::examine(&mut session).map_err(Refusal::Database)? {
            checkpoints &= finding.level == Level::Ok || finding.check != "privilege SUPER";
            as_others |= finding.level == Level::Ok
                && ["privilege SUPER", "privilege SET USER"].contains(&finding.check.as_str());
            let message = format!("{}: {}", finding.why, finding.fix);
            match finding.level {
                Level::Blocker => findings.block(Code::DatabaseSettings, message),
                Level::Warning => findings.warn(Code::DatabaseSettings, message),
                Level::Ok => {}
            }
        }
        let archive = (*self.runtime.archive(&self.instance.id)?).clone();
        let end = catalog::binlog_end(&mut session)
            .map_err(Refusal::Database)?
            .ok_or_else(|| {
                Refusal::Blocked(vec![Finding {
                    code: Code::DatabaseSettings,
                    message: format!(
                        "read the history of database {}: its server keeps no binary log (log_bin)",
                        self.instance.id
                    ),
                }])
            })?;
        let there = archive
            .wait_until(&end, CATCH_UP, &|| false)
            .map_err(Refusal::History)?;
        if !there {
            findings.block(
                Code::HistoryGap,
                format!(
                    "read the history up to now: the archive is behind the server's {end}; see \"backout databases range {}\" and try again",
                    self.instance.name
                ),
            );
        }
        let zone = self
            .instance
            .facts
            .zone
            .parse()
            .map_err(|e| Refusal::Failed(format!("use the zone of the database: {e}")))?;
        let lower: Option<u8> = session
            .first(
                "ask how names are compared",
                "SELECT @@lower_case_table_names",
            )
            .map_err(Refusal::Database)?;
        // Found out when it came under management, by a table made for that.
        let datadir = self.instance.facts.datadir.clone().filter(|d| d.is_dir());
        Ok(View {
            session,
            archive,
            zone,
            end,
            lower_case_names: lower.is_some_and(|l| l != 0),
            datadir,
            checkpoints,
            as_others,
            reset: false,
        })
    }
}

impl View {
    /// Looks at the life of the server's logs that the cut is of. Says whether
    /// they were reset since: then what changed since is not known.
    fn go_to(&mut self, located: &Located) -> Result<bool, Refusal> {
        let newest = self.archive.incarnation().map_err(Refusal::History)?;
        if located.incarnation == newest {
            return Ok(false);
        }
        self.archive = self.archive.at_incarnation(located.incarnation);
        let windows = self.archive.windows().map_err(Refusal::History)?;
        if let Some(last) = windows
            .iter()
            .rfind(|w| w.incarnation == located.incarnation)
        {
            self.end = last.to.position.clone();
        }
        self.reset = true;
        Ok(true)
    }
}

/// The instant, as history understands it, and as it is shown.
pub(crate) fn meant(
    until: &Until,
    zone: &Zone,
) -> Result<(archive::Until, Option<i64>, String), Refusal> {
    Ok(match until {
        Until::Written(written) => {
            let us = zone.instant(written)?;
            let until = archive::Until::Time(backout_history::Micros(us));
            (until, Some(us), zone.explicit(us))
        }
        Until::Gtid(gtid) => (archive::Until::Gtid(gtid.clone()), None, gtid.to_string()),
        Until::Position(at) => (archive::Until::Position(at.clone()), None, at.to_string()),
    })
}

/// Looks whether tables or databases can be taken back under new names.
///
/// # Errors
/// What made it impossible to look; what stands in the way is found instead.
pub(crate) fn rollback(
    sight: &Sight<'_>,
    request: &RollbackRequest,
    made: &[Made],
) -> Result<Checked, Refusal> {
    gaps_block(look_at_tables(sight, request, made))
}

/// History that is not there stands in the way, whatever it was read for.
fn gaps_block(checked: Result<Checked, Refusal>) -> Result<Checked, Refusal> {
    match checked {
        Err(Refusal::History(e @ backout_history::Error::Gap { .. })) => {
            let mut findings = Findings::default();
            findings.block(e.code(), e.to_string());
            Ok(findings.blocked())
        }
        checked => checked,
    }
}

fn look_at_tables(
    sight: &Sight<'_>,
    request: &RollbackRequest,
    made: &[Made],
) -> Result<Checked, Refusal> {
    let mut findings = Findings::default();
    shape(request)?;
    let mut view = sight.open(&mut findings)?;
    let (until, until_us, until_text) = meant(&request.until, &view.zone)?;
    let located = view.archive.locate(&until).map_err(Refusal::History)?;
    let reset = view.go_to(&located)?;
    if reset && !request.databases.is_empty() {
        findings.block(
            Code::TableUnsupported,
            format!(
                "tell which tables the databases had at {until_text}: the server's logs were reset since; name the tables one by one"
            ),
        );
        return Ok(findings.blocked());
    }
    if let (Some(us), true) = (until_us, located.undone.is_none())
        && us > now_us()
    {
        findings.block(
            Code::HistoryGap,
            format!("take tables back to {until_text}: that is in the future"),
        );
    }
    let later: Vec<&Made> = made
        .iter()
        .filter(|made| {
            let kept_us = located.kept.as_ref().map_or(i64::MIN, |kept| kept.time.0);
            made.at.0.saturating_mul(1000) > until_us.unwrap_or(kept_us)
        })
        .collect();
    let chosen = choose(&mut view, request, &located, &later, &mut findings)?;
    if chosen.len() > TABLES_MAX {
        findings.block(
            Code::Quota,
            format!(
                "take back {} tables in one job: at most {TABLES_MAX}; split the request",
                chosen.len()
            ),
        );
    }
    targets(&mut view, request, &chosen, &mut findings)?;
    for table in chosen.iter().filter(|_| view.datadir.is_none()) {
        if let Some(def) = &table.def
            && !backout_mariadb::copy::follows_key(def)
        {
            findings.block(
                Code::TableUnsupported,
                format!(
                    "copy the rows of {} while others write: it has no primary or unique key of columns that are never null and order as they compare (ENUM, SET and BIT do not); add one, or run Backout where it reaches the server's files",
                    table.name.from
                ),
            );
        }
    }
    let names: HashSet<TableName> = chosen.iter().map(|c| c.name.from.clone()).collect();
    torn(&view, request, &located, &names, &mut findings)?;
    let road = roads(sight, &mut view, request, &located, &chosen, &mut findings)?;
    let Some((road, why, base)) = road else {
        return Ok(findings.blocked());
    };
    let by_rows_too = road == Road::Undo
        && chosen
            .iter()
            .filter_map(|c| c.def.as_ref())
            .all(backout_mariadb::copy::follows_key);
    let replicas = catalog::replicas(&mut view.session).map_err(Refusal::Database)?;
    let by_files = view.checkpoints && replicas.is_empty() || !by_rows_too;
    let copying = match view.datadir.is_some() && by_files {
        true => Copying::Files,
        false => Copying::Rows,
    };
    replicated(&mut view, copying, &replicas, &mut findings)?;
    if road == Road::Restore && copying == Copying::Rows {
        // The scratch server is on this host, the instance is not: rows travel.
        findings.warn(
            Code::NotConstantTime,
            "the files of the server are not reached from here: rows are copied by statements",
        );
    }
    let placed = beside(&mut view, request, &located, &chosen, &mut findings)?;
    let replay = match base {
        Some(number) => replay(sight, &view, &located, &names, number, &mut findings)?,
        None => None,
    };
    let why = match &replay {
        Some(replay) => format!(
            "{why}; history is replayed event by event, as {}",
            replay.because
        ),
        None => why,
    };
    let bytes: u64 = chosen
        .iter()
        .filter_map(|c| c.def.as_ref())
        .map(|d| d.data_bytes + d.index_bytes)
        .sum();
    let shown = Found {
        instance: sight.instance.id.clone(),
        until_us,
        until: until_text,
        cut: located.position.clone(),
        kept: located.kept.clone(),
        undone: located.undone.clone(),
        exact: located.exact,
        road,
        why,
        copying,
        tables: chosen.iter().map(found_table).collect(),
    };
    let choice = findings.blockers.is_empty().then(|| Choice {
        incarnation: located.incarnation,
        located,
        road,
        copying,
        base,
        tables: chosen,
        databases: request.databases.clone(),
        placed,
        replay,
        lower_case_names: view.lower_case_names,

        only: None,
    });
    Ok(Checked {
        preflight: Preflight {
            blockers: findings.blockers,
            warnings: findings.warnings,
            estimate: Estimate {
                copy_bytes: Some(bytes),
                space_bytes: Some(bytes * 2),
                constant_time: false,
            },
        },
        found: Some(shown),
        choice,
    })
}

fn found_table(chosen: &Chosen) -> FoundTable {
    FoundTable {
        from: chosen.name.from.clone(),
        to: chosen.name.to.clone(),
        rows_now: chosen.def.as_ref().map_or(0, |d| d.rows),
        bytes: chosen
            .def
            .as_ref()
            .map_or(0, |d| d.data_bytes + d.index_bytes),
    }
}

fn now_us() -> i64 {
    use std::time::{SystemTime, UNIX_EPOCH};
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| i64::try_from(d.as_micros()).unwrap_or(i64::MAX))
}

/// Refuses what is wrong in the request by itself.
fn shape(request: &RollbackRequest) -> Result<(), Refusal> {
    let invalid = |message: String| Err(Refusal::Invalid(message));
    if request.tables.is_empty() && request.databases.is_empty() {
        return invalid("take tables back: name at least one table or database".to_owned());
    }
    if request.strategy == Strategy::Table && !request.databases.is_empty() {
        return invalid(
            "take databases back with the strategy table: it takes tables only; use db or full"
                .to_owned(),
        );
    }
    let names = request
        .databases
        .iter()
        .flat_map(|d| [&d.from, &d.to])
        .chain(
            request
                .tables
                .iter()
                .flat_map(|t| [&t.from.schema, &t.from.table, &t.to.schema, &t.to.table]),
        );
    for name in names {
        let chars = name.chars().count();
        if chars == 0
            || chars > IDENTIFIER_MAX_CHARS
            || name.ends_with(' ')
            || name.chars().any(|c| c == '\0' || u32::from(c) > 0xffff)
        {
            return invalid(format!(
                "use the name {name:?}: a name has 1 to {IDENTIFIER_MAX_CHARS} characters and does not end with a space"
            ));
        }
    }
    for schema in request
        .databases
        .iter()
        .flat_map(|d| [&d.from, &d.to])
        .chain(
            request
                .tables
                .iter()
                .flat_map(|t| [&t.from.schema, &t.to.schema]),
        )
    {
        if catalog::is_system(schema) {
            return invalid(format!("use database {schema:?}: it is the server's own"));
        }
    }
    let mut from = HashSet::new();
    let mut to = HashSet::new();
    for table in &request.tables {
        if !from.insert(&table.from) {
            return invalid(format!("take {} back: it is named twice", table.from));
        }
        if request
            .databases
            .iter()
            .any(|d| d.from == table.from.schema)
        {
            return invalid(format!(
                "take {} back: its whole database is named as well",
                table.from
            ));
        }
        if !to.insert(&table.to) {
            return Err(Refusal::Blocked(vec![Finding {
                code: Code::TargetExists,
                message: format!(
                    "use the name {} for two tables: choose another for one",
                    table.to
                ),
            }]));
        }
    }
    let (mut from, mut to) = (HashSet::new(), HashSet::new());
    for database in &request.databases {
        if !from.insert(&database.from) {
            return invalid(format!("take {} back: it is named twice", database.from));
        }
        if !to.insert(&database.to) {
            return Err(Refusal::Blocked(vec![Finding {
                code: Code::TargetExists,
                message: format!(
                    "use the name {} for two databases: choose another for one",
                    database.to
                ),
            }]));
        }
    }
    Ok(())
}

/// The tables that are to be taken back, by the names they had at the cut.
fn choose(
    view: &mut View,
    request: &RollbackRequest,
    located: &Located,
    later: &[&Made],
    findings: &mut Findings,
) -> Result<Vec<Chosen>, Refusal> {
    for table in &request.tables {
        if !was_there(view, located, later, &table.from)? {
            findings.block(
                Code::NotFound,
                format!(
                    "find table {} at that instant: a rollback made it later; take back the one that it was made of",
                    table.from
                ),
            );
        }
    }
    let mut wanted: BTreeMap<TableName, TableName> = request
        .tables
        .iter()
        .map(|t| (t.from.clone(), t.to.clone()))
        .collect();
    for database in &request.databases {
        let there = tables_then(view, located, later, &database.from, findings)?;
        if there.is_empty() {
            findings.block(
                Code::NotFound,
                format!(
                    "find database {}: it has no tables, then or now; list the databases",
                    database.from
                ),
            );
        }
        for table in there {
            wanted.insert(
                TableName::new(&database.from, &table),
                TableName::new(&database.to, &table),
            );
        }
    }
    let mut chosen = Vec::with_capacity(wanted.len());
    for (from, to) in wanted {
        let def = found(&mut view.session, &from).map_err(Refusal::Database)?;
        chosen.push(Chosen {
            name: Renamed { from, to },
            def,
        });
    }
    Ok(chosen)
}

/// How many tables of a name, or databases with all their tables, rollbacks made
/// since and did not take away.
fn made_later(later: &[&Made], table: &TableName) -> i64 {
    later
        .iter()
        .filter(|made| made.tables.contains(table) || made.databases.contains(&table.schema))
        .map(|made| if made.taken_away { -1 } else { 1 })
        .sum()
}

/// Whether a table that a rollback may have made since was there at the cut.
/// Others are looked for on the way back.
fn was_there(
    view: &mut View,
    located: &Located,
    later: &[&Made],
    table: &TableName,
) -> Result<bool, Refusal> {
    if made_later(later, table) <= 0 {
        return Ok(true);
    }
    let mut unsure = Findings::default();
    let there = tables_then(view, located, later, &table.schema, &mut unsure)?;
    // Of a database that was dropped since nothing is known.
    Ok(there.contains(&table.table) || !unsure.blockers.is_empty())
}

/// The tables that a database had at the cut: what was dropped since was there,
/// what was created was not.
fn tables_then(
    view: &mut View,
    located: &Located,
    later: &[&Made],
    schema: &str,
    findings: &mut Findings,
) -> Result<HashSet<String>, Refusal> {
    let mut then = Then {
        schema,
        there: catalog::tables(&mut view.session, schema)
            .map_err(Refusal::Database)?
            .into_iter()
            .filter(|t| t.kind != "SEQUENCE")
            .map(|t| t.name)
            .collect(),
        later,
        met: HashMap::new(),
    };
    let now: Vec<String> = then.there.iter().cloned().collect();
    for table in now {
        if then.is_made(&table) {
            then.there.remove(&table);
        }
    }
    let statements = view
        .archive
        .ddl(&located.position, &view.end, None)
        .map_err(Refusal::History)?;
    for statement in statements.iter().rev() {
        if let backout_history::change::StatementKind::Ddl(ddl) = &statement.kind {
            then.go_back(ddl, findings);
        }
    }
    Ok(then.there)
}

/// A database while one goes back in time.
struct Then<'a> {
    schema: &'a str,
    /// The tables that it has.
    there: HashSet<String>,
    later: &'a [&'a Made],
    /// How many tables of a name were met that rollbacks had made.
    met: HashMap<String, i64>,
}

impl Then<'_> {
    /// Whether the table of this name that one meets now is one that a rollback
    /// made: these are met first, since they are the newest.
    fn is_made(&mut self, table: &str) -> bool {
        let made = made_later(self.later, &TableName::new(self.schema, table));
        let met = self.met.entry(table.to_owned()).or_insert(0);
        *met += 1;
        *met <= made
    }

    fn insert(&mut self, table: &TableName) {
        if table.schema == self.schema && !self.is_made(&table.table) {
            self.there.insert(table.table.clone());
        }
    }

    fn remove(&mut self, table: &TableName) {
        if table.schema == self.schema {
            self.there.remove(&table.table);
        }
    }

    /// Goes one definition statement back in time.
    fn go_back(&mut self, ddl: &backout_history::change::Ddl, findings: &mut Findings) {
        use backout_history::change::Ddl;
        match ddl {
            Ddl::Create {
                table,
                unless_exists: false,
            } => self.remove(table),
            Ddl::Drop(tables) => {
                for table in tables {
                    self.insert(table);
                }
            }
            Ddl::Rename(pairs) => {
                for (from, to) in pairs.iter().rev() {
                    self.remove(to);
                    self.insert(from);
                }
            }
            Ddl::Alter {
                table,
                renamed: Some(to),
                ..
            } => {
                self.remove(to);
                self.insert(table);
            }
            Ddl::DropDatabase(dropped) if dropped == self.schema => findings.block(
                Code::TableUnsupported,
                format!(
                    "tell which tables database {} had: it was dropped since; name its tables one by one",
                    self.schema
                ),
            ),
            _ => {}
        }
    }
}

/// Refuses names that are taken.
fn targets(
    view: &mut View,
    request: &RollbackRequest,
    chosen: &[Chosen],
    findings: &mut Findings,
) -> Result<(), Refusal> {
    let there: HashSet<String> = catalog::databases(&mut view.session)
        .map_err(Refusal::Database)?
        .into_iter()
        .collect();
    for database in &request.databases {
        if there.contains(&database.to) {
            findings.block(
                Code::TargetExists,
                format!(
                    "use the name {}: a database has it; choose another",
                    database.to
                ),
            );
        }
    }
    for table in chosen
        .iter()
        .filter(|c| request.databases.iter().all(|d| d.to != c.name.to.schema))
    {
        let to = &table.name.to;
        if !there.contains(&to.schema) {
            findings.block(
                Code::NotFound,
                format!(
                    "put a table into database {}: there is none of that name; create it, or choose another",
                    to.schema
                ),
            );
        } else if catalog::exists(&mut view.session, to).map_err(Refusal::Database)? {
            findings.block(
                Code::TargetExists,
                format!("use the name {to}: a table or view has it; choose another"),
            );
        }
    }
    Ok(())
}

/// Refuses to tear transactions, unless that was accepted.
fn torn(
    view: &View,
    request: &RollbackRequest,
    located: &Located,
    names: &HashSet<TableName>,
    findings: &mut Findings,
) -> Result<(), Refusal> {
    if request.strategy == Strategy::Full {
        return Ok(());
    }
    if request.torn {
        // To find one, all the history of the tables would have to be read.
        findings.warn(
            Code::TornTransaction,
            "keep transactions whole that changed other tables as well: it is not looked for them, since halves may go back, as was asked",
        );
        return Ok(());
    }
    let crossing = view
        .archive
        .crossings(&located.position, &view.end, names, &|| false)
        .map_err(Refusal::History)?;
    if let Some(crossing) = crossing {
        let (chosen, other) = sides(&crossing, names);
        let refusal = Refusal::Torn {
            chosen,
            other,
            transaction: crossing
                .gtid
                .map_or_else(|| crossing.position.to_string(), |gtid| gtid.to_string()),
        };
        findings.blockers.push(refusal.finding());
    }
    Ok(())
}

fn sides(crossing: &Txn, names: &HashSet<TableName>) -> (TableName, TableName) {
    let one = |wanted: bool| {
        crossing
            .tables
            .iter()
            .map(|t| &t.name)
            .find(|name| names.contains(*name) == wanted)
            .cloned()
            .unwrap_or_else(|| TableName::new("?", "?"))
    };
    (one(true), one(false))
}

type RoadChoice = Option<(Road, String, Option<u64>)>;

/// Which way, and why. What stands in the way of each is a blocker when no way
/// is left.
fn roads(
    sight: &Sight<'_>,
    view: &mut View,
    request: &RollbackRequest,
    located: &Located,
    chosen: &[Chosen],
    findings: &mut Findings,
) -> Result<RoadChoice, Refusal> {
    let undo = hinders_undo(view, located, chosen)?;
    let restore = base_for(sight, view, located, chosen)?;
    let redefined = match undo {
        None => redefined(view, located, chosen)?,
        Some(_) => None,
    };
    let weigh = || -> Result<(Road, String, Option<u64>), Vec<Finding>> {
        match (request.road, &undo, &restore) {
            (Some(Road::InPlace), ..) => Err(vec![Finding {
                code: Code::BadRequest,
                message: "take tables back in place under new names: choose one of the two"
                    .to_owned(),
            }]),
            (Some(Road::Undo), None, _) => Ok((Road::Undo, "it was asked for".to_owned(), None)),
            (Some(Road::Undo), Some(hindrance), _) => Err(vec![hindrance.clone()]),
            (Some(Road::Restore), _, Ok(base)) => {
                Ok((Road::Restore, "it was asked for".to_owned(), Some(*base)))
            }
            (Some(Road::Restore), _, Err(hindrance)) => Err(vec![hindrance.clone()]),
            (None, None, Ok(base)) if redefined.is_some() => Ok((
                Road::Restore,
                "definitions have changed since, and come back with a backup".to_owned(),
                Some(*base),
            )),
            (None, None, _) => Ok((
                Road::Undo,
                "all that changed since is in the history, so no backup is needed".to_owned(),
                None,
            )),
            (None, Some(hindrance), Ok(base)) => Ok((
                Road::Restore,
                format!("the other way cannot be taken: {}", hindrance.message),
                Some(*base),
            )),
            (None, Some(one), Err(other)) => Err(vec![one.clone(), other.clone()]),
        }
    };
    match weigh() {
        Ok(choice) => {
            if let (Road::Undo, Some(change)) = (choice.0, redefined) {
                findings.warn(
                    Code::TableUnsupported,
                    format!(
                        "take definitions back: rows come back as they were, in tables as they are defined now, since {change}; a base backup before it takes both back"
                    ),
                );
            }
            Ok(Some(choice))
        }
        Err(hindrances) => {
            findings.blockers.extend(hindrances);
            Ok(None)
        }
    }
}

/// What stands in the way of taking back what changed since in a copy of the
/// present rows.
fn hinders_undo(
    view: &mut View,
    located: &Located,
    chosen: &[Chosen],
) -> Result<Option<Finding>, Refusal> {
    let unsupported = |message: String| {
        Ok(Some(Finding {
            code: Code::TableUnsupported,
            message,
        }))
    };
    if view.reset {
        return Ok(Some(Finding {
            code: Code::HistoryGap,
            message: "tell what changed since: the server's logs were reset in between".to_owned(),
        }));
    }
    for table in chosen {
        let name = &table.name.from;
        let Some(def) = &table.def else {
            return unsupported(format!(
                "copy the present rows of {name}: it is not there any more"
            ));
        };
        if let Some(why) = hinders_rows(def) {
            return unsupported(format!("take rows of {name} back: {why}"));
        }
    }
    let names: HashSet<TableName> = chosen.iter().map(|c| c.name.from.clone()).collect();
    let statements = view
        .archive
        .ddl(&located.position, &view.end, Some(&names))
        .map_err(Refusal::History)?;
    for statement in &statements {
        if let backout_history::change::StatementKind::Ddl(ddl) = &statement.kind
            && (reduction::changes(ddl, &names) || reduction::concerns(ddl, &names))
            // What a foreign key did before it went is not in the history.
            && (cascade::is_about_keys(statement)
                || !matches!(
                    ddl,
                    backout_history::change::Ddl::Alter {
                        keeps_rows: true,
                        renamed: None,
                        ..
                    }
                ))
        {
            let text: String = String::from_utf8_lossy(&statement.text)
                .chars()
                .take(120)
                .collect();
            return unsupported(format!(
                "take rows back one by one: the tables were altered since, at {}: {text}",
                statement.at
            ));
        }
    }
    Ok(None)
}

/// The first statement since the cut that changed how a chosen table is defined
/// and left its rows as they are: an index, a default, an option.
fn redefined(view: &View, located: &Located, chosen: &[Chosen]) -> Result<Option<String>, Refusal> {
    let names: HashSet<TableName> = chosen.iter().map(|c| c.name.from.clone()).collect();
    let statements = view
        .archive
        .ddl(&located.position, &view.end, Some(&names))
        .map_err(Refusal::History)?;
    let first = statements.into_iter().find(|statement| {
        let text = statement.text.trim_ascii_start();
        let is = |verb: &[u8]| {
            let head = text.get(..verb.len());
            head.is_some_and(|head| head.eq_ignore_ascii_case(verb))
        };
        // These write the table anew, or look at it, and leave its definition.
        let alters = matches!(
            statement.kind,
            backout_history::change::StatementKind::Ddl(backout_history::change::Ddl::Alter { .. })
        );
        alters && !is(b"OPTIMIZE") && !is(b"ANALYZE")
    });
    Ok(first.map(|statement| {
        let text: String = String::from_utf8_lossy(&statement.text)
            .chars()
            .take(120)
            .collect();
        format!("at {}: {text}", statement.at)
    }))
}

/// Why the rows of a table cannot be taken back one by one; `None` when they
/// can.
pub(crate) fn hinders_rows(def: &TableDef) -> Option<String> {
    if !def.engine.eq_ignore_ascii_case("innodb") {
        return Some(format!(
            "its engine {} has no transactions; convert it to InnoDB",
            def.engine
        ));
    }
    if def.system_versioned {
        return Some(
            "it keeps old versions of its rows (WITH SYSTEM VERSIONING), which the server writes by itself and does not log as they are; ask the table itself (FOR SYSTEM_TIME AS OF)"
                .to_owned(),
        );
    }
    if let Some(key) = def.foreign_keys.iter().find(|k| k.cascades()) {
        return Some(format!(
            "its foreign key {} cascades from {}, and what a cascade changes is not in the binary log",
            key.name, key.parent
        ));
    }
    None
}

/// The base backup that a restore begins with, or why there is none.
fn base_for(
    sight: &Sight<'_>,
    view: &View,
    located: &Located,
    chosen: &[Chosen],
) -> Result<Result<u64, Finding>, Refusal> {
    for def in chosen.iter().filter_map(|c| c.def.as_ref()) {
        if def.system_versioned
            && let Some(why) = hinders_rows(def)
        {
            return Ok(Err(Finding {
                code: Code::TableUnsupported,
                message: format!("take rows of {} back: {why}", def.name),
            }));
        }
    }
    if view.datadir.is_none() {
        return Ok(Err(Finding {
            code: Code::BackupState,
            message: "restore from a base backup: the files of the server are not reached from here, and that is how its tables would come back".to_owned(),
        }));
    }
    let fits = |b: &Backup| {
        b.method != Method::Partial
            || chosen.iter().all(|c| {
                b.tables.iter().any(|t| {
                    t.schema == c.name.from.schema
                        && (t.table.is_empty() || t.table == c.name.from.table)
                })
            })
    };
    Ok(newest_base(sight, &view.archive, located, fits)?.map(|b| b.number))
}

/// The newest base backup that fits and that history goes on from, without a
/// gap, to the cut.
fn newest_base<'a>(
    sight: &Sight<'a>,
    archive: &Archive,
    located: &Located,
    fits: impl Fn(&Backup) -> bool,
) -> Result<Result<&'a Backup, Finding>, Refusal> {
    let windows = archive.windows().map_err(Refusal::History)?;
    let window = windows
        .iter()
        .filter(|w| w.incarnation == located.incarnation)
        .find(|w| w.from.position <= located.position && located.position <= w.to.position);
    let usable = sight.backups.iter().filter(|b| {
        b.state == BackupState::Ready
            && fits(b)
            // Positions of different lives of the logs look alike; times do not.
            && window.is_some_and(|w| {
                let next = windows.iter().find(|n| n.incarnation > w.incarnation);
                let within = |at: Timestamp| {
                    w.from.time.0 / 1000 - CLOCKS_MS <= at.0
                        && next.is_none_or(|n| at.0 <= n.from.time.0 / 1000)
                };
                b.as_of.is_none_or(within)
                    && b.position
                        .as_ref()
                        .is_some_and(|at| w.from.position <= *at && *at <= located.position)
            })
    });
    Ok(usable
        .max_by(|a, b| a.position.cmp(&b.position))
        .ok_or_else(|| Finding {
            code: Code::HistoryGap,
            message: format!(
                "restore from a base backup: none was taken before {} within the history that is kept; take one now for the next time (backout databases backup {})",
                located.position, sight.instance.name
            ),
        }))
}

/// Tells what becomes of replicas: rows that are copied by statements reach
/// them, files do not.
fn replicated(
    view: &mut View,
    copying: Copying,
    replicas: &[String],
    findings: &mut Findings,
) -> Result<(), Refusal> {
    let names = replicas.join(", ");
    match copying {
        _ if replicas.is_empty() => {}
        Copying::Rows => findings.warn(
            Code::NotConstantTime,
            format!("the server has replicas, {names}: rows are copied by statements, so that they come there, too"),
        ),
        Copying::Files => findings.warn(
            Code::DatabaseSettings,
            format!(
                "the server has replicas, {names}: what comes back as files is not logged and does not come there, so a replica stops at the first change of it; copy it there before anybody writes to it, or set replicate_ignore_table there"
            ),
        ),
    }
    if let Some(source) = catalog::follows(&mut view.session).map_err(Refusal::Database)? {
        findings.warn(
            Code::DatabaseSettings,
            format!("the server is a replica of {source}: what comes back is on this server only"),
        );
    }
    Ok(())
}

/// The replay that a restore needs, where keys of the engine changed rows.
fn replay(
    sight: &Sight<'_>,
    view: &View,
    located: &Located,
    names: &HashSet<TableName>,
    base: u64,
    findings: &mut Findings,
) -> Result<Option<Replay>, Refusal> {
    let Some(backup) = sight.backups.iter().find(|b| b.number == base) else {
        return Ok(None);
    };
    let manifest = backout_mariadb::backup::read(&backup.folder).map_err(Refusal::Database)?;
    let Some(manifest) = manifest else {
        findings.block(
            Code::BackupState,
            format!("read backup {base}: it is not complete; verify it"),
        );
        return Ok(None);
    };
    let replay = cascade::needed(&view.archive, &manifest, &located.position, names)
        .map_err(Refusal::History)?;
    if let (Some(replay), Method::Partial) = (&replay, backup.method) {
        let has = |name: &TableName| manifest.tables.iter().any(|t| t.name == *name);
        if let Some(lacking) = replay.tables.iter().find(|name| !has(name)) {
            findings.block(
                Code::BackupState,
                format!(
                    "restore from backup {base}: it does not have {lacking}, which is needed as {}; take a full one for the next time",
                    replay.because
                ),
            );
        }
    }
    Ok(replay)
}

/// Tells what comes along with the tables and what does not; returns what is made
/// beside the tables of whole databases.
fn beside(
    view: &mut View,
    request: &RollbackRequest,
    located: &Located,
    chosen: &[Chosen],
    findings: &mut Findings,
) -> Result<Vec<Placed>, Refusal> {
    let names: HashMap<TableName, TableName> = chosen
        .iter()
        .map(|c| (c.name.from.clone(), c.name.to.clone()))
        .collect();
    let is_of_database = |name: &TableName| request.databases.iter().any(|d| d.from == name.schema);
    for (name, def) in chosen
        .iter()
        .filter_map(|c| Some((&c.name, c.def.as_ref()?)))
    {
        match is_of_database(&name.from) {
            true => findings
                .warnings
                .extend(beside::left_of_member(&names, name, def)),
            false => findings
                .warnings
                .extend(beside::left_of_table(&mut view.session, name, def)?),
        }
    }
    let tables: Vec<Renamed<TableName>> = chosen.iter().map(|c| c.name.clone()).collect();
    let mut look = beside::Look {
        session: &mut view.session,
        archive: &view.archive,
        cut: &located.position,
        fold: view.lower_case_names,
        as_others: view.as_others,
    };
    let (placed, warnings) = beside::look(&mut look, &request.databases, &tables)?;
    findings.warnings.extend(warnings);
    Ok(placed)
}

/// Looks whether tables can be taken back in place.
///
/// # Errors
/// As [`rollback`].
pub(crate) fn rewind(sight: &Sight<'_>, request: &RewindRequest) -> Result<Checked, Refusal> {
    gaps_block(look_in_place(sight, request))
}

fn look_in_place(sight: &Sight<'_>, request: &RewindRequest) -> Result<Checked, Refusal> {
    let mut findings = Findings::default();
    let mut view = sight.open(&mut findings)?;
    let (until, only, mut tables) = match &request.what {
        RewindWhat::Until { until, tables } => (until.clone(), None, tables.clone()),
        RewindWhat::Transactions { gtids, tables } => {
            let Some(first) = gtids.first() else {
                return Err(Refusal::Invalid(
                    "undo transactions: name at least one".to_owned(),
                ));
            };
            (
                Until::Gtid(first.clone()),
                Some(gtids.clone()),
                tables.clone(),
            )
        }
    };
    let (asked, until_us, until_text) = meant(&until, &view.zone)?;
    let mut located = view.archive.locate(&asked).map_err(Refusal::History)?;
    view.go_to(&located)?;
    if let Some(only) = &only {
        // Each of them, the first byte of the earliest.
        for gtid in only {
            let one = view
                .archive
                .locate(&archive::Until::Gtid(gtid.clone()))
                .map_err(Refusal::History)?;
            let Some(kept) = one.kept.filter(|t| t.gtid.as_ref() == Some(gtid)) else {
                findings.block(
                    Code::NotFound,
                    format!("find transaction {gtid}: it is not in the history"),
                );
                return Ok(findings.blocked());
            };
            if request_is_all(&request.what) {
                for table in &kept.tables {
                    if !tables.contains(&table.name) {
                        tables.push(table.name.clone());
                    }
                }
            }
            if kept.position < located.position {
                located.position = kept.position.clone();
            }
            located.undone = Some(kept);
        }
    }
    let mut distinct = HashSet::new();
    tables.retain(|t| distinct.insert(t.clone()));
    if tables.is_empty() {
        return Err(Refusal::Invalid(
            "take tables back in place: name at least one".to_owned(),
        ));
    }
    let mut chosen = Vec::with_capacity(tables.len());
    for name in tables {
        let def = found(&mut view.session, &name).map_err(Refusal::Database)?;
        if def.is_none() {
            findings.block(
                Code::NotFound,
                format!("find table {name}: list the tables to see which there are"),
            );
        }
        chosen.push(Chosen {
            name: Renamed {
                from: name.clone(),
                to: name,
            },
            def,
        });
    }
    if let Some(hindrance) = hinders_undo(&mut view, &located, &chosen)? {
        findings.blockers.push(hindrance);
    }
    if let Some(source) = catalog::follows(&mut view.session).map_err(Refusal::Database)? {
        findings.block(
            Code::DatabaseSettings,
            format!(
                "take back in place: the server is a replica of {source}, which would stop at rows that differ; do it there, or STOP ALL SLAVES first if this server shall take its place"
            ),
        );
    }
    for def in chosen.iter().filter_map(|c| c.def.as_ref()) {
        if def.key.is_none() {
            findings.block(
                Code::TableUnsupported,
                format!(
                    "take {} back in place: its rows cannot be told apart; add a primary key, or take it back under a new name",
                    def.name
                ),
            );
        }
        if let Some(key) = def.referenced_by.iter().find(|k| k.cascades()) {
            findings.block(
                Code::TableUnsupported,
                format!(
                    "take {} back in place: foreign key {} of {} would cascade; take it back under a new name",
                    def.name, key.name, key.child
                ),
            );
        }
    }
    let names: HashSet<TableName> = distinct;
    if only.is_none() {
        let as_rollback = RollbackRequest {
            instance: request.instance.clone(),
            until,
            strategy: Strategy::Table,
            databases: Vec::new(),
            tables: Vec::new(),
            torn: request.torn,
            road: None,
        };
        torn(&view, &as_rollback, &located, &names, &mut findings)?;
    }
    let shown = Found {
        instance: sight.instance.id.clone(),
        until_us,
        until: until_text,
        cut: located.position.clone(),
        kept: located.kept.clone(),
        undone: located.undone.clone(),
        exact: located.exact,
        road: Road::InPlace,
        why: "it was asked for".to_owned(),
        copying: Copying::Rows,
        tables: chosen.iter().map(found_table).collect(),
    };
    let choice = findings.blockers.is_empty().then(|| Choice {
        incarnation: located.incarnation,
        located,
        road: Road::InPlace,
        copying: Copying::Rows,
        base: None,
        tables: chosen,
        databases: Vec::new(),
        placed: Vec::new(),
        replay: None,
        lower_case_names: view.lower_case_names,

        only,
    });
    Ok(Checked {
        preflight: Preflight {
            blockers: findings.blockers,
            warnings: findings.warnings,
            estimate: Estimate {
                copy_bytes: Some(0),
                space_bytes: None,
                constant_time: false,
            },
        },
        found: Some(shown),
        choice,
    })
}

fn request_is_all(what: &RewindWhat) -> bool {
    matches!(what, RewindWhat::Transactions { tables, .. } if tables.is_empty())
}
