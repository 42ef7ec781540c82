//! What a database has beside its tables, made again in another database:
//! views, triggers, routines, packages, events.
//!
//! A definition may name the database that it is in. It is made elsewhere only
//! when it is certain, from its words alone, what each such name means:
//! [`moved`] rewrites `a.t` to `b.t`, and refuses a definition in which `a` is
//! anything else, or stands in a text that may be run as a statement.
//!
//! What was made is read back and compared: [`make`].

use std::ops::Range;

use backout_history::TableName;
use backout_history::value::quote_name;

use crate::catalog::{self, Definition, Kind};
use crate::error::{Error, Result, number};
use crate::session::{Session, ident, quoted, text};

/// A word of a statement, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Word {
    /// A keyword, a name or a number.
    Plain(String),
    /// A name in quotes, without them.
    Quoted(String),
    /// A text, with its quotes.
    Text(String),
    /// Any other character.
    Symbol(char),
}

impl Word {
    fn name(&self) -> Option<&str> {
        match self {
            Self::Plain(name) | Self::Quoted(name) => Some(name),
            Self::Text(_) | Self::Symbol(_) => None,
        }
    }

    fn is(&self, keyword: &str) -> bool {
        matches!(self, Self::Plain(word) if word.eq_ignore_ascii_case(keyword))
    }
}

/// How texts and names are quoted.
#[derive(Clone, Copy, Debug)]
struct Quoting {
    /// Whether `"` begins a name.
    ansi: bool,
    /// Whether `\` has no meaning in texts.
    plain_backslash: bool,
}

impl Quoting {
    fn of(sql_mode: &str) -> Self {
        let has = |mode: &str| sql_mode.split(',').any(|m| m.eq_ignore_ascii_case(mode));
        Self {
            ansi: has("ANSI_QUOTES"),
            plain_backslash: has("NO_BACKSLASH_ESCAPES"),
        }
    }
}

fn is_of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '$') || !c.is_ascii()
}

/// The words of a statement, without comments; those in comments that servers
/// execute are read. `None` when a quote or a comment does not end.
fn words(sql: &str, quoting: Quoting) -> Option<Vec<(Word, Range<usize>)>> {
    let mut words = Vec::new();
    let mut at = 0;
    while let Some(first) = sql.get(at..)?.chars().next() {
        let rest = &sql[at..];
        let start = at;
        if first.is_whitespace() {
            at += first.len_utf8();
        } else if rest.starts_with('#') || is_line_comment(rest) {
            at += rest.find('\n').unwrap_or(rest.len());
        } else if let Some(inner) = rest
            .strip_prefix("/*M!")
            .or_else(|| rest.strip_prefix("/*!"))
        {
            let digits = inner.bytes().take_while(u8::is_ascii_digit).count();
            at = sql.len() - inner.len() + digits;
        } else if rest.starts_with("/*") {
            at += rest.get(2..)?.find("*/")? + 4;
        } else if rest.starts_with("*/") {
            at += 2;
        } else if first == '`' || first == '"' || first == '\'' {
            let is_name = first == '`' || (first == '"' && quoting.ansi);
            let (value, length) = unquoted(rest, first, !is_name && !quoting.plain_backslash)?;
            at += length;
            let word = match is_name {
                true => Word::Quoted(value),
                false => Word::Text(value),
            };
            words.push((word, start..at));
        } else if is_of_word(first) {
            at += rest.find(|c| !is_of_word(c)).unwrap_or(rest.len());
            words.push((Word::Plain(sql[start..at].to_owned()), start..at));
        } else {
            at += first.len_utf8();
            words.push((Word::Symbol(first), start..at));
        }
    }
    Some(words)
}

fn is_line_comment(rest: &str) -> bool {
    rest.strip_prefix("--").is_some_and(|after| {
        after
            .chars()
            .next()
            .is_none_or(|c| c.is_whitespace() || c.is_control())
    })
}

/// What is between the quotes that come first, and how many bytes it is with
/// them.
fn unquoted(rest: &str, quote: char, escapes: bool) -> Option<(String, usize)> {
    let mut value = String::new();
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if escapes && c == '\\' {
            value.push(chars.next()?.1);
        } else if c == quote {
            if chars.next_if(|(_, next)| *next == quote).is_none() {
                return Some((value, at + quote.len_utf8()));
            }
            value.push(quote);
        } else {
            value.push(c);
        }
    }
    None
}

/// Whether a name is in a text as a word.
fn mentions(text: &str, name: &str) -> bool {
    let (text, name) = (text.to_lowercase(), name.to_lowercase());
    text.match_indices(&name).any(|(at, found)| {
        let before = text[..at].chars().next_back();
        let after = text[at + found.len()..].chars().next();
        !before.is_some_and(is_of_word) && !after.is_some_and(is_of_word)
    })
}

/// The definition as it is to be in database `to`, where it is certain what it
/// says of its database `from`; events do not run. `fold`: the server does not
/// tell names by their case.
///
/// # Errors
/// Why it is not certain, in a few words.
pub fn moved(
    definition: &Definition,
    from: &str,
    to: &str,
    fold: bool,
) -> std::result::Result<Definition, String> {
    let Some(sql) = &definition.sql else {
        return Err("our user may not read it".to_owned());
    };
    let Some(words) = words(sql, Quoting::of(&definition.sql_mode)) else {
        return Err("its words cannot be told apart".to_owned());
    };
    let is_from = |name: &str| match fold {
        true => name.to_lowercase() == from.to_lowercase(),
        false => name == from,
    };
    let symbol = |at: Option<usize>, wanted: char| {
        at.and_then(|at| words.get(at))
            .is_some_and(|(word, _)| *word == Word::Symbol(wanted))
    };
    let mut changes: Vec<(Range<usize>, String)> = Vec::new();
    for (i, (word, range)) in words.iter().enumerate() {
        if let Word::Text(text) = word
            // What a view says is never run as a statement.
            && definition.kind != Kind::View
            && mentions(text, from)
        {
            return Err(format!("a text in it has the name {from}"));
        }
        if !word.name().is_some_and(is_from) {
            continue;
        }
        let (before, after) = (i.checked_sub(1), Some(i + 1));
        // The name of an account, its host, a variable.
        if symbol(before, '@') || symbol(after, '@') {
            continue;
        }
        if symbol(before, '.') || !symbol(after, '.') {
            return Err(format!("something else in it is called {from} as well"));
        }
        changes.push((range.clone(), quote_name(to)));
    }
    if definition.kind == Kind::Event {
        changes.extend(disabled(&words)?);
    }
    changes.sort_by_key(|(range, _)| range.start);
    let mut rewritten = String::with_capacity(sql.len());
    let mut at = 0;
    for (range, by) in changes {
        rewritten.push_str(&sql[at..range.start]);
        rewritten.push_str(&by);
        at = range.end;
    }
    rewritten.push_str(&sql[at..]);
    Ok(Definition {
        sql: Some(rewritten),
        ..definition.clone()
    })
}

/// What makes the statement of an event that of one that does not run: the
/// server writes `ON COMPLETION [NOT] PRESERVE ENABLE` before what it does.
fn disabled(
    words: &[(Word, Range<usize>)],
) -> std::result::Result<Option<(Range<usize>, String)>, String> {
    let state = words
        .iter()
        .position(|(word, _)| word.is("PRESERVE"))
        .and_then(|at| words.get(at + 1));
    match state {
        Some((word, range)) if word.is("ENABLE") => Ok(Some((range.clone(), "DISABLE".to_owned()))),
        Some((word, _)) if word.is("DISABLE") => Ok(None),
        _ => Err("it cannot be told whether it runs".to_owned()),
    }
}

/// As whom it runs, name and host; `None` when it does not say.
#[must_use]
pub fn definer(definition: &Definition) -> Option<(String, String)> {
    let sql = definition.sql.as_deref()?;
    let words = words(sql, Quoting::of(&definition.sql_mode))?;
    let at = words.iter().position(|(word, _)| word.is("DEFINER"))?;
    let word = |i: usize| words.get(at + i).map(|(word, _)| word);
    let name = word(2)?.name()?.to_owned();
    let host = match word(3) {
        Some(Word::Symbol('@')) => word(4)?.name()?.to_owned(),
        _ => String::new(),
    };
    Some((name, host))
}

/// What is set in a session that makes a definition.
fn settings(definition: &Definition) -> String {
    let sql = definition.sql.as_deref().unwrap_or_default();
    let mut set = vec![format!("sql_mode={}", text(&definition.sql_mode))];
    let client = &definition.character_set_client;
    // The statement is sent as UTF-8; letters of ASCII are the same in what
    // clients may use.
    if !client.is_empty() {
        let client = match sql.is_ascii() || client.starts_with("utf8") {
            true => client,
            false => "utf8mb4",
        };
        set.push(format!("character_set_client={}", text(client)));
    }
    if !definition.collation_connection.is_empty() {
        set.push(format!(
            "collation_connection={}",
            text(&definition.collation_connection)
        ));
    }
    if !definition.time_zone.is_empty() {
        set.push(format!("time_zone={}", text(&definition.time_zone)));
    }
    format!("SET SESSION {}", set.join(", "))
}

/// Makes what is defined, in place of what has its name, and reads it back.
/// The session is left with other settings and another current database.
///
/// # Errors
/// [`Error::State`] when the server has made something else of it; as
/// [`Session::exec`].
pub fn make(session: &mut Session, database: &str, definition: &Definition) -> Result<()> {
    let doing = format!(
        "make {} {}.{}",
        definition.kind.as_str(),
        database,
        definition.name
    );
    let Some(sql) = &definition.sql else {
        return Err(Error::State {
            what: doing,
            why: "its definition is not known".to_owned(),
        });
    };
    unmake(session, database, definition)?;
    session.exec(&doing, format!("USE {}", ident(database)))?;
    session.exec(&doing, settings(definition))?;
    let made = session.exec(&doing, sql);
    session.exec(&doing, "SET NAMES utf8mb4")?;
    made?;
    match is_made(session, database, definition)? {
        true => Ok(()),
        false => Err(Error::State {
            what: doing,
            why: "the server made something else of it; make it yourself".to_owned(),
        }),
    }
}

/// Removes what is defined, if it is there.
///
/// # Errors
/// As [`Session::exec`].
pub fn unmake(session: &mut Session, database: &str, definition: &Definition) -> Result<()> {
    let doing = format!(
        "remove {} {}.{}",
        definition.kind.as_str(),
        database,
        definition.name
    );
    // Packages are known by that name in one mode only.
    session.exec(
        &doing,
        format!("SET SESSION sql_mode={}", text(&definition.sql_mode)),
    )?;
    session.exec(
        &doing,
        format!(
            "DROP {} IF EXISTS {}.{}",
            definition.kind.keyword(),
            ident(database),
            ident(&definition.name)
        ),
    )?;
    Ok(())
}

/// Whether a database has exactly this. The session is left with another
/// current database.
///
/// # Errors
/// As [`Session::exec`].
pub fn is_made(session: &mut Session, database: &str, definition: &Definition) -> Result<bool> {
    let doing = "read a definition back";
    session.exec(doing, "SET SESSION sql_mode=''")?;
    let mut forms = vec![];
    // The server tells a view with and without the names of its database.
    for current in [database, "information_schema"] {
        session.exec(doing, format!("USE {}", ident(current)))?;
        match catalog::definition(session, database, definition.kind, definition.name.clone()) {
            Ok(now) => forms.push(now),
            Err(e) if e.number().is_some_and(is_missing) => return Ok(false),
            Err(e) => return Err(e),
        }
    }
    Ok(forms.iter().any(|now| {
        now.sql == definition.sql
            && now.sql_mode == definition.sql_mode
            && now.time_zone == definition.time_zone
            && now.collation_connection == definition.collation_connection
    }))
}

/// Whether the server says that something is not there.
const fn is_missing(error: u16) -> bool {
    matches!(
        error,
        number::NO_SUCH_TABLE
            | number::BAD_DB
            | number::NO_SUCH_TRIGGER
            | number::NO_SUCH_ROUTINE
            | number::NO_SUCH_EVENT
    )
}

/// Whether a definition could not be made since what it names is not there, as
/// a view of a table that was dropped long ago.
#[must_use]
pub fn lacks_something(error: &Error) -> bool {
    error.number().is_some_and(|number| {
        is_missing(number) || matches!(number, number::BAD_FIELD | number::VIEW_INVALID)
    })
}

/// A foreign key, as a definition of a table has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyClause {
    /// Its name.
    pub name: String,
    /// Its columns.
    pub columns: Vec<String>,
    /// The table that it refers to.
    pub parent: TableName,
    /// The columns that it refers to.
    pub parent_columns: Vec<String>,
    /// What it does, e.g. `ON DELETE CASCADE`.
    actions: String,
}

impl KeyClause {
    /// Reads `CONSTRAINT ... FOREIGN KEY ... REFERENCES ...` of a table in
    /// database `schema`; `None` when it is not one.
    #[must_use]
    pub fn parse(clause: &str, schema: &str) -> Option<Self> {
        let words = words(clause, Quoting::of(""))?;
        let mut at = 0;
        let keyword = |at: &mut usize, keyword: &str| {
            *at += 1;
            words.get(*at - 1)?.0.is(keyword).then_some(())
        };
        let symbol = |at: &mut usize, symbol: char| {
            *at += 1;
            (words.get(*at - 1)?.0 == Word::Symbol(symbol)).then_some(())
        };
        let name = |at: &mut usize| {
            *at += 1;
            Some(words.get(*at - 1)?.0.name()?.to_owned())
        };
        let list = |at: &mut usize| {
            symbol(at, '(')?;
            let mut names = vec![name(at)?];
            while words.get(*at)?.0 == Word::Symbol(',') {
                *at += 1;
                names.push(name(at)?);
            }
            symbol(at, ')')?;
            Some(names)
        };
        keyword(&mut at, "CONSTRAINT")?;
        let key = name(&mut at)?;
        keyword(&mut at, "FOREIGN")?;
        keyword(&mut at, "KEY")?;
        let columns = list(&mut at)?;
        keyword(&mut at, "REFERENCES")?;
        let first = name(&mut at)?;
        let parent = match words.get(at)?.0 {
            Word::Symbol('.') => {
                at += 1;
                TableName::new(first, name(&mut at)?)
            }
            _ => TableName::new(schema, first),
        };
        let parent_columns = list(&mut at)?;
        let end = words.get(at - 1)?.1.end;
        (columns.len() == parent_columns.len()).then(|| Self {
            name: key,
            columns,
            parent,
            parent_columns,
            actions: clause[end..].to_owned(),
        })
    }

    /// The statement that gives the key to a table, unless it has it.
    #[must_use]
    pub fn add(&self, child: &TableName, parent: &TableName) -> String {
        let list = |names: &[String]| {
            let names: Vec<String> = names.iter().map(|name| ident(name)).collect();
            names.join(", ")
        };
        format!(
            "ALTER TABLE {} ADD CONSTRAINT {} FOREIGN KEY IF NOT EXISTS ({}) REFERENCES {} ({}){}",
            quoted(child),
            ident(&self.name),
            list(&self.columns),
            quoted(parent),
            list(&self.parent_columns),
            self.actions
        )
    }

    /// The statement that takes the key from a table, if it has it.
    #[must_use]
    pub fn drop(&self, child: &TableName) -> String {
        format!(
            "ALTER TABLE {} DROP FOREIGN KEY IF EXISTS {}",
            quoted(child),
            ident(&self.name)
        )
    }

    /// Whether all rows of a table satisfy the key.
    ///
    /// # Errors
    /// As [`Session::exec`].
    pub fn holds(
        &self,
        session: &mut Session,
        child: &TableName,
        parent: &TableName,
    ) -> Result<bool> {
        let pairs = || self.columns.iter().zip(&self.parent_columns);
        let same: Vec<String> = pairs()
            .map(|(a, b)| format!("c.{} = p.{}", ident(a), ident(b)))
            .collect();
        let whole: Vec<String> = pairs()
            .map(|(a, _)| format!("c.{} IS NOT NULL", ident(a)))
            .collect();
        let orphan: Option<u8> = session.first(
            "look for rows without a parent",
            format!(
                "SELECT 1 FROM {} c LEFT JOIN {} p ON {} WHERE {} AND p.{} IS NULL LIMIT 1",
                quoted(child),
                quoted(parent),
                same.join(" AND "),
                whole.join(" AND "),
                ident(self.parent_columns.first().map_or("", String::as_str)),
            ),
        )?;
        Ok(orphan.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(kind: Kind, sql_mode: &str, sql: &str) -> Definition {
        Definition {
            kind,
            name: "x".to_owned(),
            sql: Some(sql.to_owned()),
            sql_mode: sql_mode.to_owned(),
            table: None,
            character_set_client: String::new(),
            collation_connection: String::new(),
            database_collation: String::new(),
            time_zone: String::new(),
        }
    }

    #[test]
    fn a_name_is_rewritten_where_it_is_certain() {
        let same = "";
        for (kind, mode, sql, wanted) in [
            (
                Kind::View,
                "",
                "CREATE DEFINER=`a`@`a` VIEW `v` AS select `t`.`id` AS `id` from `t`",
                Some(same),
            ),
            (
                Kind::View,
                "",
                "VIEW `v` AS select `a`.`t`.`id` AS `x`,'a',`a`.`f`(1) from (`a`.`t` join `o`.`u`)",
                Some(
                    "VIEW `v` AS select `b`.`t`.`id` AS `x`,'a',`b`.`f`(1) from (`b`.`t` join `o`.`u`)",
                ),
            ),
            (
                Kind::View,
                "",
                "VIEW `v` AS select `a`.`t`.`id` AS `a` from `a`.`t`",
                None,
            ),
            (
                Kind::View,
                "",
                "VIEW `v` AS select `a`.`id` AS `id` from `o`.`a`",
                None,
            ),
            (
                Kind::Procedure,
                "",
                "PROCEDURE `p`() /* a.t */ SELECT a . t.x, @a, A.y FROM a.t -- a\n WHERE 'apple'",
                Some(
                    "PROCEDURE `p`() /* a.t */ SELECT `b` . t.x, @a, A.y FROM `b`.t -- a\n WHERE 'apple'",
                ),
            ),
            (
                Kind::Procedure,
                "",
                "PROCEDURE `p`() PREPARE s FROM 'SELECT 1 FROM a.t'",
                None,
            ),
            (
                Kind::Procedure,
                "",
                "PROCEDURE `p`() SELECT a.x FROM t a",
                None,
            ),
            (Kind::Procedure, "", "PROCEDURE `p`(a INT) SELECT a", None),
            (Kind::Procedure, "", "PROCEDURE `p`() SELECT 'open", None),
            (
                Kind::Procedure,
                "ANSI_QUOTES,NO_BACKSLASH_ESCAPES",
                r#"PROCEDURE "p"() SELECT '\', "a"."t"."x" FROM "a"."t""#,
                Some(r#"PROCEDURE "p"() SELECT '\', `b`."t"."x" FROM `b`."t""#),
            ),
            (
                Kind::Procedure,
                "",
                r#"PROCEDURE `p`() SELECT 'it\'s', "a" FROM a.t"#,
                None,
            ),
            (
                Kind::Trigger,
                "",
                "CREATE DEFINER=`r`@`%` TRIGGER a.x BEFORE INSERT ON a.t FOR EACH ROW /*!50003 SET @n = a.f(1) */",
                Some(
                    "CREATE DEFINER=`r`@`%` TRIGGER `b`.x BEFORE INSERT ON `b`.t FOR EACH ROW /*!50003 SET @n = `b`.f(1) */",
                ),
            ),
            (
                Kind::Event,
                "",
                "EVENT `e` ON SCHEDULE EVERY 1 DAY ON COMPLETION NOT PRESERVE ENABLE COMMENT 'ENABLE' DO DELETE FROM a.t",
                Some(
                    "EVENT `e` ON SCHEDULE EVERY 1 DAY ON COMPLETION NOT PRESERVE DISABLE COMMENT 'ENABLE' DO DELETE FROM `b`.t",
                ),
            ),
            (
                Kind::Event,
                "",
                "EVENT `e` ON SCHEDULE EVERY 1 DAY ON COMPLETION PRESERVE DISABLE ON SLAVE DO DELETE FROM t",
                Some(same),
            ),
        ] {
            let made = moved(&definition(kind, mode, sql), "a", "b", false);
            let wanted = match wanted {
                Some("") => Some(sql.to_owned()),
                other => other.map(str::to_owned),
            };
            assert_eq!(made.ok().and_then(|m| m.sql), wanted, "{sql}");
        }
        let folded = definition(Kind::Procedure, "", "PROCEDURE `p`() SELECT * FROM A.t");
        let made = moved(&folded, "a", "b", true).unwrap();
        assert_eq!(made.sql.unwrap(), "PROCEDURE `p`() SELECT * FROM `b`.t");
    }

    #[test]
    fn foreign_keys_are_given_to_other_tables() {
        let clause = "CONSTRAINT `a REFERENCES``b` FOREIGN KEY (`x`, `y`) REFERENCES `p` (`q`, `r`) ON DELETE CASCADE";
        let key = KeyClause::parse(clause, "d").unwrap();
        assert_eq!(key.name, "a REFERENCES`b");
        assert_eq!(key.parent, TableName::new("d", "p"));
        let (child, parent) = (TableName::new("e", "c"), TableName::new("e", "p"));
        assert_eq!(
            key.add(&child, &parent),
            "ALTER TABLE `e`.`c` ADD CONSTRAINT `a REFERENCES``b` FOREIGN KEY IF NOT EXISTS \
             (`x`, `y`) REFERENCES `e`.`p` (`q`, `r`) ON DELETE CASCADE"
        );
        let other = "CONSTRAINT `k` FOREIGN KEY (`x`) REFERENCES `o`.`p` (`q`)";
        let other = KeyClause::parse(other, "d").unwrap();
        assert_eq!(other.parent, TableName::new("o", "p"));
        for odd in [
            "CONSTRAINT `k` CHECK (`x` > 0)",
            "CONSTRAINT `k` FOREIGN KEY (`x`",
        ] {
            assert_eq!(KeyClause::parse(odd, "d"), None, "{odd}");
        }
    }

    #[test]
    fn whoever_it_runs_as_is_told() {
        for (sql, wanted) in [
            ("CREATE DEFINER=`a b`@`%` VIEW", Some(("a b", "%"))),
            ("CREATE DEFINER=`role` VIEW", Some(("role", ""))),
            ("CREATE VIEW", None),
        ] {
            let wanted = wanted.map(|(name, host)| (name.to_owned(), host.to_owned()));
            assert_eq!(definer(&definition(Kind::View, "", sql)), wanted);
        }
    }
}
