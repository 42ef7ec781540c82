//! What databases have beside their tables, and what becomes of it when they
//! come back under other names.
//!
//! | what | of a database | of single tables |
//! |---|---|---|
//! | views, procedures, functions, packages | made in the new database | stay where they are |
//! | events | made, and do not run | stay where they are |
//! | triggers | made, once the rows are there | left out: a name is a schema's |
//! | foreign keys among the tables | made, where all rows satisfy them | left out: a copy must not hinder its parent |
//! | sequences, rights of accounts | left out, by name | left out, by name |
//!
//! Definitions are as they are now. One that was made, altered or dropped since
//! the cut, or that cannot be told with certainty what it says of its database,
//! is left out, by name.

use std::collections::{BTreeMap, HashMap, HashSet};

use backout_core::code::Code;
use backout_core::plan::Finding;
use backout_history::archive::Archive;
use backout_history::change::{Ddl, Defined, StatementKind};
use backout_history::{Position, Statement, TableName};
use backout_mariadb::catalog::{self, Definition, Kind, TableDef};
use backout_mariadb::definitions::{definer, moved};
use backout_mariadb::session::text;
use backout_mariadb::{Error, Session};
use serde::{Deserialize, Serialize};

use crate::model::Renamed;
use crate::refusal::Refusal;
use crate::runtime::CATCH_UP;

/// How much text of definitions a job carries: it is a part of the job's row.
const CARRIED_BYTES_MAX: usize = 1 << 20;

/// How many of what is left out are told one by one.
const TOLD_MAX: usize = 50;

/// How much of a statement is shown.
const SHOWN_CHARS: usize = 80;

/// Something that is made in a database that comes back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// The database that it is made in.
    pub database: String,
    /// What is made.
    pub definition: Definition,
    /// A view that does not work now, as of a table that is gone: it is made
    /// where it works.
    pub doubtful: bool,
}

/// What is looked at.
pub(crate) struct Look<'a> {
    pub(crate) session: &'a mut Session,
    pub(crate) archive: &'a Archive,
    /// The first byte of history that is taken back.
    pub(crate) cut: &'a Position,
    /// Whether the server folds names to lower case.
    pub(crate) fold: bool,
    /// Whether our account may make what runs as others.
    pub(crate) as_others: bool,
}

/// What was changed of definitions and of tables' names since the cut.
#[derive(Default)]
struct Changed {
    /// The last statement about each definition.
    defined: BTreeMap<(Defined, TableName), Statement>,
    /// Tables that were made, dropped or renamed.
    tables: HashSet<TableName>,
}

/// What is made beside the tables of databases, and, by name, what is not.
///
/// # Errors
/// What made it impossible to look.
pub(crate) fn look(
    look: &mut Look<'_>,
    databases: &[Renamed<String>],
    tables: &[Renamed<TableName>],
) -> Result<(Vec<Placed>, Vec<Finding>), Refusal> {
    let mut placed = Vec::new();
    let mut findings = Vec::new();
    if databases.is_empty() {
        return Ok((placed, findings));
    }
    let mut found = Vec::with_capacity(databases.len());
    for database in databases {
        found.push(read(look, &database.from)?);
    }
    // After they were read: what was changed meanwhile is seen.
    let changed = changed(look)?;
    for (database, read) in databases.iter().zip(found) {
        let mut left = Vec::new();
        let mut events = false;
        let there: HashSet<(Defined, TableName)> = read
            .definitions
            .iter()
            .filter_map(|d| Some((defined(d.kind)?, TableName::new(&database.from, &d.name))))
            .collect();
        for definition in &read.definitions {
            let why = hinders(look, &changed, &read, database, tables, definition);
            match why.map_or_else(
                || moved(definition, &database.from, &database.to, look.fold),
                Err,
            ) {
                Ok(definition) => {
                    events |= definition.kind == Kind::Event;
                    placed.push(Placed {
                        database: database.to.clone(),
                        doubtful: read.broken.contains(&definition.name)
                            && definition.kind == Kind::View,
                        definition,
                    });
                }
                Err(why) => left.push(format!(
                    "{} {}: {why}",
                    definition.kind.as_str(),
                    definition.name
                )),
            }
        }
        for ((kind, name), statement) in &changed.defined {
            if name.schema == database.from && !there.contains(&(*kind, name.clone())) {
                left.push(format!(
                    "{} {}: {}",
                    word(*kind),
                    name.table,
                    since(statement)
                ));
            }
        }
        findings.extend(told(database, left));
        if events {
            findings.push(warning(format!(
                "the events of {} will be there and not run: see whether they should, then ALTER EVENT ... ENABLE",
                database.to
            )));
        }
        for view in &read.broken {
            findings.push(warning(format!(
                "view {view} of {} does not work now; it will be in {} if it works there",
                database.from, database.to
            )));
        }
        findings.extend(rights(look.session, database)?);
    }
    let bytes: usize = placed
        .iter()
        .filter_map(|p| p.definition.sql.as_ref())
        .map(String::len)
        .sum();
    if bytes > CARRIED_BYTES_MAX {
        placed.clear();
        findings.push(warning(format!(
            "views, routines, triggers and events stay behind: their definitions have {bytes} bytes, and {CARRIED_BYTES_MAX} can be carried; make them yourself"
        )));
    }
    Ok((placed, findings))
}

fn warning(message: String) -> Finding {
    Finding {
        code: Code::TableUnsupported,
        message,
    }
}

/// What is left out, one by one, as long as that can be read.
fn told(database: &Renamed<String>, left: Vec<String>) -> Vec<Finding> {
    let more = left.len().saturating_sub(TOLD_MAX);
    let mut findings: Vec<Finding> = left
        .into_iter()
        .take(TOLD_MAX)
        .map(|what| {
            warning(format!(
                "{} will be without {what}; make it there yourself",
                database.to
            ))
        })
        .collect();
    if more > 0 {
        findings.push(warning(format!(
            "{} will be without {more} more; make them there yourself",
            database.to
        )));
    }
    findings
}

/// What a database has now.
struct Read {
    definitions: Vec<Definition>,
    /// Views that do not work.
    broken: HashSet<String>,
    /// Functions that the server lets nobody make as it is set.
    unsafe_functions: HashSet<String>,
    collation: String,
}

fn read(look: &Look<'_>, database: &str) -> Result<Read, Refusal> {
    let refused = Refusal::Database;
    let mut session = look.session.another().map_err(refused)?;
    let doing = "look at a database";
    let collation: Option<String> = session
        .first(
            doing,
            format!(
                "SELECT DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {}",
                text(database)
            ),
        )
        .map_err(refused)?;
    let Some(collation) = collation else {
        // Dropped since: the tables tell that.
        return Ok(Read {
            definitions: Vec::new(),
            broken: HashSet::new(),
            unsafe_functions: HashSet::new(),
            collation: String::new(),
        });
    };
    let mut definitions = catalog::definitions(&mut session, database).map_err(refused)?;
    let mut broken = HashSet::new();
    for view in definitions.iter_mut().filter(|d| d.kind == Kind::View) {
        match session.exec(
            doing,
            format!(
                "SHOW FIELDS FROM {}",
                backout_mariadb::session::ident(&view.name)
            ),
        ) {
            Ok(_) => {}
            Err(Error::Refused { .. }) => {
                broken.insert(view.name.clone());
            }
            Err(e) => return Err(refused(e)),
        }
    }
    if !broken.is_empty() {
        // What does not work is told whole only from elsewhere.
        session
            .exec(doing, "USE information_schema")
            .map_err(refused)?;
        for view in definitions
            .iter_mut()
            .filter(|d| d.kind == Kind::View && broken.contains(&d.name))
        {
            *view = catalog::definition(&mut session, database, Kind::View, view.name.clone())
                .map_err(refused)?;
        }
    }
    let unsafe_functions: Vec<String> = session
        .query(
            doing,
            format!(
                "SELECT ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = {} \
                 AND ROUTINE_TYPE = 'FUNCTION' AND IS_DETERMINISTIC = 'NO' \
                 AND SQL_DATA_ACCESS IN ('CONTAINS SQL', 'MODIFIES SQL DATA') \
                 AND @@global.log_bin_trust_function_creators = 0",
                text(database)
            ),
        )
        .map_err(refused)?;
    Ok(Read {
        definitions,
        broken,
        unsafe_functions: unsafe_functions.into_iter().collect(),
        collation,
    })
}

/// What history tells since the cut, up to now.
fn changed(look: &mut Look<'_>) -> Result<Changed, Refusal> {
    let mut changed = Changed::default();
    let Some(end) = catalog::binlog_end(look.session).map_err(Refusal::Database)? else {
        return Ok(changed);
    };
    look.archive
        .wait_until(&end, CATCH_UP, &|| false)
        .map_err(Refusal::History)?;
    let statements = look
        .archive
        .ddl(look.cut, &end, None)
        .map_err(Refusal::History)?;
    for statement in statements {
        let StatementKind::Ddl(ddl) = &statement.kind else {
            continue;
        };
        match ddl {
            Ddl::Define(named) => {
                for one in named {
                    changed.defined.insert(one.clone(), statement.clone());
                }
            }
            Ddl::Create { table, .. } => {
                changed.tables.insert(table.clone());
            }
            Ddl::Drop(tables) => changed.tables.extend(tables.iter().cloned()),
            Ddl::Rename(pairs) => {
                for (from, to) in pairs {
                    changed.tables.extend([from.clone(), to.clone()]);
                }
            }
            Ddl::Alter {
                table,
                renamed: Some(to),
                ..
            } => changed.tables.extend([table.clone(), to.clone()]),
            _ => {}
        }
    }
    Ok(changed)
}

/// Why a definition cannot be made as it was at the cut; `None` when its words
/// decide.
fn hinders(
    look: &mut Look<'_>,
    changed: &Changed,
    read: &Read,
    database: &Renamed<String>,
    tables: &[Renamed<TableName>],
    definition: &Definition,
) -> Option<String> {
    let name = TableName::new(&database.from, &definition.name);
    let Some(kind) = defined(definition.kind) else {
        return Some("which numbers it had given is not known".to_owned());
    };
    if let Some(statement) = changed.defined.get(&(kind, name.clone())) {
        return Some(since(statement));
    }
    // A view is renamed as a table is.
    if kind == Defined::View && changed.tables.contains(&name) {
        return Some("it was renamed since".to_owned());
    }
    if let Some(table) = &definition.table {
        let table = TableName::new(&database.from, table);
        if changed.tables.contains(&table) {
            return Some(format!("table {table} was made, dropped or renamed since"));
        }
        if !tables.iter().any(|t| t.from == table) {
            return Some(format!("table {table} was not there"));
        }
    }
    if kind == Defined::Function && read.unsafe_functions.contains(&definition.name) {
        return Some(
            "the server lets nobody make it (SET GLOBAL log_bin_trust_function_creators=1)"
                .to_owned(),
        );
    }
    let made_with = &definition.database_collation;
    if !made_with.is_empty() && *made_with != read.collation {
        return Some(format!(
            "it was made when the texts of {} were compared by {made_with}",
            database.from
        ));
    }
    if let Some((user, host)) = definer(definition).filter(|_| !look.as_others) {
        let ours = format!("{user}@{host}");
        let current: Option<String> = look
            .session
            .first("ask who we are", "SELECT CURRENT_USER()")
            .ok()
            .flatten();
        if current.as_deref() != Some(ours.as_str()) {
            return Some(format!(
                "it runs as {ours}, and our account may not make that (SET USER)"
            ));
        }
    }
    None
}

/// What a statement did, and where.
fn since(statement: &Statement) -> String {
    let shown: String = String::from_utf8_lossy(&statement.text)
        .chars()
        .take(SHOWN_CHARS)
        .collect();
    format!("it was changed since, at {}: {shown}", statement.at)
}

const fn defined(kind: Kind) -> Option<Defined> {
    Some(match kind {
        Kind::View => Defined::View,
        Kind::Trigger => Defined::Trigger,
        Kind::Procedure => Defined::Procedure,
        Kind::Function => Defined::Function,
        Kind::Event => Defined::Event,
        Kind::Package | Kind::PackageBody => Defined::Package,
        Kind::Sequence => return None,
    })
}

const fn word(kind: Defined) -> &'static str {
    match kind {
        Defined::View => "view",
        Defined::Trigger => "trigger",
        Defined::Procedure => "procedure",
        Defined::Function => "function",
        Defined::Event => "event",
        Defined::Package => "package",
    }
}

/// Who may do something by the name of a database, that nobody may by the new
/// one.
fn rights(session: &mut Session, database: &Renamed<String>) -> Result<Option<Finding>, Refusal> {
    let at = text(&database.from);
    let grantees: Vec<String> = session
        .query(
            "list who has rights",
            format!(
                "SELECT GRANTEE FROM information_schema.SCHEMA_PRIVILEGES WHERE TABLE_SCHEMA = {at} \
                 UNION SELECT GRANTEE FROM information_schema.TABLE_PRIVILEGES WHERE TABLE_SCHEMA = {at} \
                 UNION SELECT GRANTEE FROM information_schema.COLUMN_PRIVILEGES WHERE TABLE_SCHEMA = {at} \
                 ORDER BY 1 LIMIT {TOLD_MAX}"
            ),
        )
        .map_err(Refusal::Database)?;
    Ok((!grantees.is_empty()).then(|| {
        warning(format!(
            "{} have rights in {} by its name, and none in {}: GRANT what they shall have",
            grantees.join(", "),
            database.from,
            database.to
        ))
    }))
}

/// What a copy of a table of its own does not have of what the table has.
pub(crate) fn left_of_table(
    session: &mut Session,
    table: &Renamed<TableName>,
    def: &TableDef,
) -> Result<Vec<Finding>, Refusal> {
    let mut left: Vec<String> = def
        .triggers
        .iter()
        .map(|t| format!("trigger {}", t.name))
        .collect();
    left.extend(
        def.foreign_keys
            .iter()
            .map(|k| format!("foreign key {}", k.name)),
    );
    let mut findings = Vec::new();
    if !left.is_empty() {
        findings.push(warning(format!(
            "{} will be without {} of {}: copies must not act on other tables",
            table.to,
            left.join(", "),
            table.from
        )));
    }
    let grants: Vec<String> = catalog::grants(session, &table.from)
        .map_err(Refusal::Database)?
        .iter()
        .take(TOLD_MAX)
        .map(|grant| grant.statement(&table.to))
        .collect();
    if !grants.is_empty() {
        findings.push(warning(format!(
            "{} will be without what accounts may do with {}: {}",
            table.to,
            table.from,
            grants.join("; ")
        )));
    }
    Ok(findings)
}

/// What a table that comes back with its database does not have: keys to tables
/// that do not come with it, and sequences of its own.
pub(crate) fn left_of_member(
    tables: &HashMap<TableName, TableName>,
    table: &Renamed<TableName>,
    def: &TableDef,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    if def.create_sql.contains(" nextval(") {
        findings.push(warning(format!(
            "{} will take its numbers from the sequence of {}: ALTER TABLE it to use another",
            table.to, table.from
        )));
    }
    let left: Vec<String> = def
        .foreign_keys
        .iter()
        .filter(|k| !tables.contains_key(&k.parent))
        .map(|k| format!("foreign key {} to {}", k.name, k.parent))
        .collect();
    if !left.is_empty() {
        findings.push(warning(format!(
            "{} will be without {} of {}: that table does not come with it",
            table.to,
            left.join(", "),
            table.from
        )));
    }
    findings
}
