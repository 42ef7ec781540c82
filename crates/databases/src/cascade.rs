//! Whether rows of tables were changed by foreign keys of the engine. Such
//! changes are in no history of rows: tables that saw them come back by a
//! replay of history in a server that has the keys, and the tables they refer
//! to.

use std::collections::HashSet;

use backout_history::archive::Archive;
use backout_history::change::{Ddl, StatementKind};
use backout_history::{Position, Statement, TableName};
use backout_mariadb::backup::Manifest;
use backout_mariadb::catalog::{self, Reference};
use serde::{Deserialize, Serialize};

/// A replay that a restore needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replay {
    /// The tables whose history is replayed, by all names that they had: those
    /// that are taken back, and all that they refer to.
    pub tables: Vec<TableName>,
    /// The key because of which.
    pub because: String,
}

/// Whether a definition statement says something about foreign keys.
pub(crate) fn is_about_keys(statement: &Statement) -> bool {
    let text = statement.text.to_ascii_uppercase();
    ["FOREIGN", "REFERENCES"]
        .iter()
        .any(|word| text.windows(word.len()).any(|w| w == word.as_bytes()))
}

/// Whether it may define a key that changes rows, or end one that did.
fn may_cascade(statement: &Statement) -> bool {
    let text = statement.text.to_ascii_uppercase();
    let has = |word: &str| text.windows(word.len()).any(|w| w == word.as_bytes());
    has("REFERENCES") && (has("CASCADE") || has("SET")) || has("DROP") && has("FOREIGN")
}

/// The replay that the tables need from a base backup to the cut; `None` when
/// the net effect of their history tells all.
///
/// # Errors
/// Those of the archive.
pub(crate) fn needed(
    archive: &Archive,
    base: &Manifest,
    cut: &Position,
    chosen: &HashSet<TableName>,
) -> backout_history::Result<Option<Replay>> {
    let Some(from) = &base.position else {
        return Ok(None);
    };
    let names = archive.names(from, cut, chosen)?;
    let statements = archive.ddl(from, cut, None)?;
    let defines = |names: &HashSet<TableName>, statement: &Statement| match &statement.kind {
        StatementKind::Ddl(Ddl::Create { table, .. } | Ddl::Alter { table, .. }) => {
            names.contains(table)
        }
        _ => false,
    };
    let known = base.references.as_deref();
    let because = known
        .unwrap_or_default()
        .iter()
        .find(|r| r.cascades && names.contains(&r.child))
        .map(|r| format!("a foreign key of {} to {} cascades", r.child, r.parent))
        .or_else(|| {
            statements
                .iter()
                .find(|s| defines(&names, s) && may_cascade(s))
                .map(|s| format!("a foreign key came or went at {}", s.at))
        })
        .or_else(|| {
            known
                .is_none()
                .then(|| "the base backup does not tell which foreign keys there were".to_owned())
        });
    let Some(because) = because else {
        return Ok(None);
    };
    let connected = known.map(|known| ancestors(&names, known));
    // Where keys or names changed on the way, all tables are taken.
    let plain = |name: &TableName| {
        let odd = |text: &str| text.contains(['.', ',']) || text.trim() != text;
        !odd(&name.schema) && !odd(&name.table)
    };
    let tables = match connected {
        Some(connected)
            if connected.iter().all(plain)
                && !statements
                    .iter()
                    .any(|s| is_about_keys(s) || crate::reduction::renames(s, &connected)) =>
        {
            connected
        }
        _ => all(base, &statements),
    };
    let mut tables: Vec<TableName> = tables.into_iter().collect();
    tables.sort();
    Ok(Some(Replay { tables, because }))
}

/// The tables, and all that they refer to, and so on.
fn ancestors(tables: &HashSet<TableName>, references: &[Reference]) -> HashSet<TableName> {
    let mut all = tables.clone();
    loop {
        let more: Vec<TableName> = references
            .iter()
            .filter(|r| all.contains(&r.child) && !all.contains(&r.parent))
            .map(|r| r.parent.clone())
            .collect();
        if more.is_empty() {
            return all;
        }
        all.extend(more);
    }
}

/// All tables that there were, by all names.
fn all(base: &Manifest, statements: &[Statement]) -> HashSet<TableName> {
    let mut all: HashSet<TableName> = base.tables.iter().map(|t| t.name.clone()).collect();
    for statement in statements {
        let StatementKind::Ddl(ddl) = &statement.kind else {
            continue;
        };
        match ddl {
            Ddl::Create { table, .. } => {
                all.insert(table.clone());
            }
            Ddl::Alter {
                table,
                renamed,
                others,
                ..
            } => {
                all.insert(table.clone());
                all.extend(renamed.iter().chain(others).cloned());
            }
            Ddl::Rename(pairs) => all.extend(pairs.iter().map(|(_, to)| to.clone())),
            _ => {}
        }
    }
    all.retain(|name| !catalog::is_system(&name.schema));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn t(name: &str) -> TableName {
        TableName::new("d", name)
    }

    #[test]
    fn what_tables_refer_to_is_found_through_others() {
        let refers = |child: &str, parent: &str| Reference {
            child: t(child),
            parent: t(parent),
            cascades: false,
        };
        let references = [
            refers("a", "b"),
            refers("b", "c"),
            refers("c", "a"),
            refers("x", "a"),
        ];
        let found = ancestors(&HashSet::from([t("a")]), &references);
        assert_eq!(found, HashSet::from([t("a"), t("b"), t("c")]));
    }

    #[test]
    fn keys_in_statements_are_noticed() {
        let statement = |text: &str| Statement {
            schema: "d".to_owned(),
            text: text.as_bytes().to_vec(),
            kind: StatementKind::Other,
            at: "b.000001:4".parse().unwrap(),
        };
        for (text, about, cascades) in [
            ("ALTER TABLE t ADD INDEX (a)", false, false),
            ("alter table t drop foreign key x", true, true),
            ("CREATE TABLE t (a INT REFERENCES u (a))", true, false),
            (
                "CREATE TABLE t (a INT REFERENCES u (a) on delete cascade)",
                true,
                true,
            ),
        ] {
            assert_eq!(is_about_keys(&statement(text)), about, "{text}");
            assert_eq!(may_cascade(&statement(text)), cascades, "{text}");
        }
    }
}
