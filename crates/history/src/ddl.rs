//! What a statement does, told from its words.
//!
//! Not a parser of SQL: just enough to know which tables a definition statement
//! concerns, and whether it leaves their rows alone. Comments are skipped, but
//! those that servers execute (`/*! ... */`, `/*M! ... */`) are read, whatever
//! version they ask for. What is not understood is taken for a statement that
//! changes rows, since those are refused by whoever needs the rows.

use crate::change::{Ddl, Defined, StatementKind, TableName};

/// How a statement's text is to be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dialect {
    /// `sql_mode`, as servers number its parts.
    pub sql_mode: u64,
    /// The number of the collation of the text's character set.
    pub charset: u16,
    /// Whether names are folded to lower case.
    pub lower_case_names: bool,
}

const ANSI_QUOTES: u64 = 4;
const NO_BACKSLASH_ESCAPES: u64 = 1 << 20;

/// The collations of the character set in which each byte is a character, and
/// which was the default of servers for a long time.
const LATIN1: [u16; 8] = [5, 8, 15, 31, 47, 48, 49, 94];

/// What the statement does, with `schema` the database that was current.
#[must_use]
pub fn classify(schema: &str, text: &[u8]) -> StatementKind {
    classify_in(Dialect::default(), schema, text)
}

/// The same, in a dialect.
#[must_use]
pub fn classify_in(dialect: Dialect, schema: &str, text: &[u8]) -> StatementKind {
    let mut words = Words {
        text,
        executed: false,
        dialect,
        schema,
    };
    statement(&mut words)
}

fn statement(words: &mut Words<'_>) -> StatementKind {
    let Some(first) = words.keyword() else {
        // Nothing but comments.
        return if words.peek().is_none() {
            StatementKind::Other
        } else {
            StatementKind::Rows
        };
    };
    // A statement about tables that is not understood.
    let or_rows = |ddl: Option<Ddl>| ddl.map_or(StatementKind::Rows, StatementKind::Ddl);
    match first.as_str() {
        "CREATE" => create(words),
        "ALTER" => alter(words),
        "DROP" => drop_statement(words),
        "RENAME" if words.any(&["TABLE", "TABLES"]) => or_rows(rename(words)),
        "TRUNCATE" => {
            words.any(&["TABLE"]);
            or_rows(words.table().map(Ddl::Truncate))
        }
        "OPTIMIZE" | "ANALYZE" | "REPAIR" | "CHECK" => maintain(&first, words),
        "SET" if words.any(&["STATEMENT"]) => {
            while let Some(token) = words.outer() {
                if token.is("FOR") {
                    return statement(words);
                }
            }
            StatementKind::Rows
        }
        "BEGIN" | "START" => {
            if words.any(&["NOT"]) {
                StatementKind::Rows
            } else {
                StatementKind::Other
            }
        }
        "RENAME" | "SET" | "GRANT" | "REVOKE" | "FLUSH" | "INSTALL" | "UNINSTALL" | "COMMIT"
        | "ROLLBACK" | "SAVEPOINT" | "RELEASE" | "XA" | "SHOW" | "USE" | "STOP" | "RESET"
        | "PURGE" | "CHANGE" | "KILL" | "LOCK" | "UNLOCK" | "CACHE" | "SHUTDOWN" => {
            StatementKind::Other
        }
        _ => StatementKind::Rows,
    }
}

fn create(words: &mut Words<'_>) -> StatementKind {
    let replace = words.any(&["OR"]) && words.any(&["REPLACE"]);
    if words.any(&["TEMPORARY"]) {
        return StatementKind::Other;
    }
    let or_rows = |ddl: Option<Ddl>| ddl.map_or(StatementKind::Rows, StatementKind::Ddl);
    let Some(what) = words.keyword() else {
        return StatementKind::Rows;
    };
    match what.as_str() {
        "TABLE" | "SEQUENCE" => {
            let unless_exists = words.if_exists();
            or_rows(words.table().map(|table| Ddl::Create {
                table,
                unless_exists,
            }))
        }
        "DATABASE" | "SCHEMA" => {
            words.if_exists();
            // The tables of the one that is replaced are gone.
            let ddl = |name| {
                if replace {
                    Ddl::DropDatabase(name)
                } else {
                    Ddl::CreateDatabase(name)
                }
            };
            or_rows(words.name().map(ddl))
        }
        "UNIQUE" | "FULLTEXT" | "SPATIAL" | "VECTOR" | "ONLINE" | "OFFLINE" | "INDEX" => {
            let mut keeps_rows = true;
            let mut what = what;
            while what != "INDEX" {
                keeps_rows &= what != "UNIQUE";
                match words.keyword() {
                    Some(next) => what = next,
                    None => return StatementKind::Rows,
                }
            }
            or_rows(index(words, keeps_rows))
        }
        _ => define(words, what),
    }
}

/// What follows `CREATE`, `CREATE OR REPLACE` or `ALTER` where that is no table,
/// from the word `what` on.
fn define(words: &mut Words<'_>, mut what: String) -> StatementKind {
    let kind = loop {
        match what.as_str() {
            "VIEW" => break Defined::View,
            "TRIGGER" => break Defined::Trigger,
            "PROCEDURE" => break Defined::Procedure,
            "FUNCTION" => break Defined::Function,
            "EVENT" => break Defined::Event,
            "PACKAGE" => {
                words.any(&["BODY"]);
                break Defined::Package;
            }
            "AGGREGATE" => {}
            "ALGORITHM" => {
                words.symbol(b'=');
                words.next();
            }
            "DEFINER" => {
                words.symbol(b'=');
                words.next();
                if words.symbol(b'@') {
                    words.next();
                } else if words.symbol(b'(') {
                    words.symbol(b')');
                }
            }
            "SQL" => {
                words.any(&["SECURITY"]);
                words.next();
            }
            _ => return StatementKind::Other,
        }
        match words.keyword() {
            Some(next) => what = next,
            None => return StatementKind::Other,
        }
    };
    words.if_exists();
    let Some(name) = words.table() else {
        return StatementKind::Other;
    };
    let mut named = vec![(kind, name)];
    if kind == Defined::Event {
        while let Some(token) = words.outer() {
            if token.is("DO") {
                break;
            }
            if token.is("RENAME") && words.any(&["TO"]) {
                named.extend(words.table().map(|to| (kind, to)));
                break;
            }
        }
    }
    StatementKind::Ddl(Ddl::Define(named))
}

/// What follows `DROP` where that is no table.
fn undefine(words: &mut Words<'_>, what: &str) -> StatementKind {
    let kind = match what {
        "VIEW" => Defined::View,
        "TRIGGER" => Defined::Trigger,
        "PROCEDURE" => Defined::Procedure,
        "FUNCTION" => Defined::Function,
        "EVENT" => Defined::Event,
        "PACKAGE" => Defined::Package,
        _ => return StatementKind::Other,
    };
    words.any(&["BODY"]);
    words.if_exists();
    words.tables().map_or(StatementKind::Other, |names| {
        StatementKind::Ddl(Ddl::Define(
            names.into_iter().map(|name| (kind, name)).collect(),
        ))
    })
}

/// What follows `INDEX` in `CREATE INDEX` and `DROP INDEX`.
fn index(words: &mut Words<'_>, keeps_rows: bool) -> Option<Ddl> {
    words.if_exists();
    words.name()?;
    while !words.any(&["ON"]) {
        words.outer()?;
    }
    Some(altered(words.table()?, keeps_rows))
}

const fn altered(table: TableName, keeps_rows: bool) -> Ddl {
    Ddl::Alter {
        table,
        renamed: None,
        keeps_rows,
        others: Vec::new(),
    }
}

fn drop_statement(words: &mut Words<'_>) -> StatementKind {
    let or_rows = |ddl: Option<Ddl>| ddl.map_or(StatementKind::Rows, StatementKind::Ddl);
    let Some(what) = words.keyword() else {
        return StatementKind::Rows;
    };
    match what.as_str() {
        "TABLE" | "TABLES" | "SEQUENCE" => {
            words.if_exists();
            or_rows(words.tables().map(Ddl::Drop))
        }
        "DATABASE" | "SCHEMA" => {
            words.if_exists();
            or_rows(words.name().map(Ddl::DropDatabase))
        }
        // It may have been what told the rows apart.
        "INDEX" | "ONLINE" | "OFFLINE" => {
            if what != "INDEX" {
                words.any(&["INDEX"]);
            }
            or_rows(index(words, false))
        }
        what => undefine(words, what),
    }
}

fn rename(words: &mut Words<'_>) -> Option<Ddl> {
    words.if_exists();
    let mut renamed = Vec::new();
    loop {
        let from = words.table()?;
        words.wait();
        if !words.any(&["TO"]) {
            return None;
        }
        renamed.push((from, words.table()?));
        if !words.symbol(b',') {
            return Some(Ddl::Rename(renamed));
        }
    }
}

fn maintain(verb: &str, words: &mut Words<'_>) -> StatementKind {
    words.any(&["NO_WRITE_TO_BINLOG", "LOCAL"]);
    if words.any(&["VIEW"]) {
        return StatementKind::Other;
    }
    // `ANALYZE UPDATE ...` does what it analyzes.
    if !words.any(&["TABLE", "TABLES"]) {
        return StatementKind::Rows;
    }
    let Some(mut tables) = words.tables() else {
        return StatementKind::Rows;
    };
    let others = tables.split_off(1);
    let Some(table) = tables.pop() else {
        return StatementKind::Rows;
    };
    StatementKind::Ddl(Ddl::Alter {
        table,
        renamed: None,
        // A repair leaves out what it cannot read.
        keeps_rows: verb != "REPAIR",
        others,
    })
}

fn alter(words: &mut Words<'_>) -> StatementKind {
    while words.any(&["ONLINE", "OFFLINE"]) {}
    let ignore = words.any(&["IGNORE"]);
    let or_rows = |ddl: Option<Ddl>| ddl.map_or(StatementKind::Rows, StatementKind::Ddl);
    let Some(what) = words.keyword() else {
        return StatementKind::Rows;
    };
    match what.as_str() {
        "TABLE" => or_rows(alter_table(words, !ignore)),
        "SEQUENCE" => {
            words.if_exists();
            or_rows(words.table().map(|table| altered(table, false)))
        }
        "DATABASE" | "SCHEMA" => {
            const OPTIONS: [&str; 9] = [
                "DEFAULT",
                "CHARACTER",
                "CHARSET",
                "COLLATE",
                "COMMENT",
                "READ",
                "ENCRYPTION",
                "UPGRADE",
                "=",
            ];
            let mut ahead = *words;
            let name = if ahead.any(&OPTIONS) {
                Some(words.fold(words.schema.to_owned()))
            } else {
                words.name()
            };
            or_rows(name.map(Ddl::AlterDatabase))
        }
        _ => define(words, what),
    }
}

fn alter_table(words: &mut Words<'_>, mut keeps_rows: bool) -> Option<Ddl> {
    words.if_exists();
    let table = words.table()?;
    words.wait();
    let (mut renamed, mut others) = (None, Vec::new());
    loop {
        keeps_rows &= change_of_table(words, &mut renamed, &mut others)?;
        // To the next comma that is not within parentheses.
        loop {
            match words.outer() {
                Some(Token::Symbol(b',')) => break,
                Some(_) => {}
                None => {
                    return Some(Ddl::Alter {
                        table,
                        renamed,
                        keeps_rows,
                        others,
                    });
                }
            }
        }
    }
}

/// Reads the first words of one of the changes that an `ALTER TABLE` lists, and
/// whether it keeps the rows and what tells them apart.
fn change_of_table(
    words: &mut Words<'_>,
    renamed: &mut Option<TableName>,
    others: &mut Vec<TableName>,
) -> Option<bool> {
    let Some(verb) = words.keyword() else {
        return Some(words.peek().is_none());
    };
    Some(match verb.as_str() {
        "RENAME" => {
            if words.any(&["COLUMN", "INDEX", "KEY"]) {
                return Some(true);
            }
            if !words.any(&["TO", "AS"]) {
                words.symbol(b'=');
            }
            *renamed = Some(words.table()?);
            true
        }
        "ADD" => {
            if words.any(&["CONSTRAINT"]) {
                // A name may stand in between, or IF NOT EXISTS and a name.
                for _ in 0..5 {
                    if words.any(&["FOREIGN", "CHECK"]) {
                        return Some(true);
                    }
                    if words.any(&["UNIQUE", "PRIMARY"]) {
                        return Some(false);
                    }
                    words.next();
                }
                return Some(false);
            }
            words.any(&[
                "INDEX",
                "KEY",
                "FULLTEXT",
                "SPATIAL",
                "VECTOR",
                "FOREIGN",
                "CHECK",
                "PARTITION",
            ])
        }
        "DROP" => words.any(&["FOREIGN", "CHECK"]),
        "ALTER" | "ENABLE" | "DISABLE" | "FORCE" | "ORDER" | "ALGORITHM" | "LOCK"
        | "REORGANIZE" | "REBUILD" | "COALESCE" | "OPTIMIZE" | "ANALYZE" | "CHECK" | "REMOVE"
        | "PARTITION" => true,
        "COMMENT"
        | "AUTO_INCREMENT"
        | "ROW_FORMAT"
        | "KEY_BLOCK_SIZE"
        | "AVG_ROW_LENGTH"
        | "CHECKSUM"
        | "DELAY_KEY_WRITE"
        | "MAX_ROWS"
        | "MIN_ROWS"
        | "PACK_KEYS"
        | "PAGE_CHECKSUM"
        | "PAGE_COMPRESSED"
        | "PAGE_COMPRESSION_LEVEL"
        | "STATS_PERSISTENT"
        | "STATS_AUTO_RECALC"
        | "STATS_SAMPLE_PAGES"
        | "ENCRYPTED"
        | "ENCRYPTION_KEY_ID"
        | "DEFAULT"
        | "CHARACTER"
        | "CHARSET"
        | "COLLATE" => {
            // Another option may follow without a comma.
            let mut ahead = *words;
            loop {
                match ahead.outer() {
                    None | Some(Token::Symbol(b',')) => break true,
                    Some(token) if token.is("ENGINE") || token.is("TYPE") => {
                        break ahead.engine_keeps_rows();
                    }
                    Some(_) => {}
                }
            }
        }
        "ENGINE" | "TYPE" => words.engine_keeps_rows(),
        // Rows move between this table and another.
        "EXCHANGE" | "CONVERT" => {
            let mut ahead = *words;
            loop {
                match ahead.outer() {
                    None | Some(Token::Symbol(b',')) => break,
                    Some(token) if token.is("TABLE") => {
                        others.push(ahead.table()?);
                        break;
                    }
                    Some(_) => {}
                }
            }
            false
        }
        _ => false,
    })
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token<'a> {
    /// A keyword, a name, a number.
    Word(&'a [u8]),
    /// A name in quotes, without them.
    Quoted(Vec<u8>),
    /// A text.
    Text,
    /// Anything else.
    Symbol(u8),
}

impl Token<'_> {
    fn is(&self, keyword: &str) -> bool {
        matches!(self, Token::Word(word) if word.eq_ignore_ascii_case(keyword.as_bytes()))
    }
}

/// Takes a statement apart, from the front.
#[derive(Clone, Copy, Debug)]
struct Words<'a> {
    text: &'a [u8],
    /// Within a comment that is executed.
    executed: bool,
    dialect: Dialect,
    schema: &'a str,
}

impl<'a> Words<'a> {
    fn next(&mut self) -> Option<Token<'a>> {
        self.skip();
        let (first, rest) = self.text.split_first()?;
        let is_word = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'$' | 0x80..);
        Some(match first {
            b'`' => Token::Quoted(self.quoted(false)),
            b'"' if self.dialect.sql_mode & ANSI_QUOTES != 0 => Token::Quoted(self.quoted(false)),
            b'\'' | b'"' => {
                self.quoted(self.dialect.sql_mode & NO_BACKSLASH_ESCAPES == 0);
                Token::Text
            }
            b if is_word(b) => {
                let end = rest.iter().position(|b| !is_word(b));
                let (word, rest) = self.text.split_at(end.map_or(self.text.len(), |n| n + 1));
                self.text = rest;
                Token::Word(word)
            }
            b => {
                self.text = rest;
                Token::Symbol(*b)
            }
        })
    }

    /// The next token outside of parentheses, behind those that come first.
    fn outer(&mut self) -> Option<Token<'a>> {
        let mut depth = 0_usize;
        loop {
            match self.next()? {
                Token::Symbol(b'(') => depth += 1,
                Token::Symbol(b')') => depth = depth.saturating_sub(1),
                token if depth == 0 => return Some(token),
                _ => {}
            }
        }
    }

    fn peek(&self) -> Option<Token<'a>> {
        let mut ahead = *self;
        ahead.next()
    }

    /// Goes behind white space and comments.
    fn skip(&mut self) {
        loop {
            self.text = self.text.trim_ascii_start();
            let text = self.text;
            let line = text.starts_with(b"#")
                || (text.starts_with(b"--") && text.get(2).is_none_or(u8::is_ascii_whitespace));
            if self.executed && text.starts_with(b"*/") {
                self.executed = false;
                self.text = &text[2..];
            } else if text.starts_with(b"/*!") || text.starts_with(b"/*M!") {
                self.executed = true;
                let text = &text[if text[2] == b'!' { 3 } else { 4 }..];
                let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
                self.text = &text[digits..];
            } else if text.starts_with(b"/*") {
                let end = text[2..].windows(2).position(|w| w == b"*/");
                self.text = end.map_or(&[], |end| &text[end + 4..]);
            } else if line {
                let end = text.iter().position(|b| *b == b'\n');
                self.text = end.map_or(&[], |end| &text[end + 1..]);
            } else {
                return;
            }
        }
    }

    /// What is between the quotes that come first.
    fn quoted(&mut self, escapes: bool) -> Vec<u8> {
        let quote = self.text.first().copied().unwrap_or_default();
        let mut out = Vec::new();
        let mut at = 1;
        while let Some(byte) = self.text.get(at) {
            at += 1;
            if escapes && *byte == b'\\' {
                at += 1;
            } else if *byte == quote {
                if self.text.get(at) != Some(&quote) {
                    break;
                }
                out.push(quote);
                at += 1;
            } else {
                out.push(*byte);
            }
        }
        self.text = self.text.get(at..).unwrap_or_default();
        out
    }

    /// The next word in upper case, unless it is something else.
    fn keyword(&mut self) -> Option<String> {
        let mut ahead = *self;
        let Some(Token::Word(word)) = ahead.next() else {
            return None;
        };
        *self = ahead;
        Some(String::from_utf8_lossy(word).to_ascii_uppercase())
    }

    /// Goes behind the next word, if it is one of these.
    fn any(&mut self, keywords: &[&str]) -> bool {
        let mut ahead = *self;
        let token = ahead.next();
        let found = token.is_some_and(|t| keywords.iter().any(|k| t.is(k)));
        if found {
            *self = ahead;
        }
        found
    }

    fn symbol(&mut self, symbol: u8) -> bool {
        let mut ahead = *self;
        let found = ahead.next() == Some(Token::Symbol(symbol));
        if found {
            *self = ahead;
        }
        found
    }

    /// Goes behind `IF EXISTS` or `IF NOT EXISTS`.
    fn if_exists(&mut self) -> bool {
        let mut ahead = *self;
        let found = ahead.any(&["IF"]) && {
            ahead.any(&["NOT"]);
            ahead.any(&["EXISTS"])
        };
        if found {
            *self = ahead;
        }
        found
    }

    /// Goes behind `WAIT n` or `NOWAIT`.
    fn wait(&mut self) {
        if self.any(&["WAIT"]) {
            self.next();
        } else {
            self.any(&["NOWAIT"]);
        }
    }

    fn name(&mut self) -> Option<String> {
        let mut ahead = *self;
        let name = match ahead.next()? {
            Token::Word(word) => word.to_vec(),
            Token::Quoted(name) => name,
            Token::Text | Token::Symbol(_) => return None,
        };
        *self = ahead;
        let name = String::from_utf8(name).unwrap_or_else(|e| {
            if LATIN1.contains(&self.dialect.charset) {
                e.as_bytes().iter().map(|b| char::from(*b)).collect()
            } else {
                String::from_utf8_lossy(e.as_bytes()).into_owned()
            }
        });
        Some(self.fold(name))
    }

    fn fold(&self, name: String) -> String {
        if self.dialect.lower_case_names {
            name.to_lowercase()
        } else {
            name
        }
    }

    fn table(&mut self) -> Option<TableName> {
        let first = self.name()?;
        Some(if self.symbol(b'.') {
            TableName::new(first, self.name()?)
        } else {
            TableName::new(self.fold(self.schema.to_owned()), first)
        })
    }

    fn tables(&mut self) -> Option<Vec<TableName>> {
        let mut tables = vec![self.table()?];
        while self.symbol(b',') {
            tables.push(self.table()?);
        }
        Some(tables)
    }

    /// Whether rows stay what they are in the storage engine that comes next.
    fn engine_keeps_rows(&mut self) -> bool {
        self.symbol(b'=');
        let name = self.name().unwrap_or_default();
        ["innodb", "myisam", "aria"].contains(&name.to_lowercase().as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn t(name: &str) -> TableName {
        let (schema, table) = name.split_once('.').unwrap_or(("cur", name));
        TableName::new(schema, table)
    }

    fn create(name: &str) -> StatementKind {
        StatementKind::Ddl(Ddl::Create {
            table: t(name),
            unless_exists: false,
        })
    }

    fn alter(name: &str, keeps_rows: bool) -> StatementKind {
        StatementKind::Ddl(altered(t(name), keeps_rows))
    }

    fn drop(names: &[&str]) -> StatementKind {
        StatementKind::Ddl(Ddl::Drop(names.iter().map(|n| t(n)).collect()))
    }

    #[test]
    fn tables_that_come_and_go() {
        let cases = [
            ("CREATE TABLE t (a INT)", create("t")),
            ("create table d.t like u", create("d.t")),
            ("CREATE TABLE`d`.`a``b`(a INT)", create("d.a`b")),
            ("CREATE OR REPLACE TABLE t SELECT 1", create("t")),
            ("/* x */ CREATE -- y\n TABLE # z\n t (a INT)", create("t")),
            ("/*!40101 CREATE TABLE */ t (a INT)", create("t")),
            ("/*M!100301 CREATE */ TABLE t (a INT)", create("t")),
            ("CREATE SEQUENCE s", create("s")),
            ("CREATE TABLE größe (a INT)", create("größe")),
            ("CREATE TEMPORARY TABLE t (a INT)", StatementKind::Other),
            (
                "CREATE /*!40005 TEMPORARY */ TABLE t (a INT)",
                StatementKind::Other,
            ),
            (
                "DROP TABLE `s`,`m` /* generated by server */",
                drop(&["s", "m"]),
            ),
            ("DROP TABLES IF EXISTS a.b, c RESTRICT", drop(&["a.b", "c"])),
            (
                "DROP /*!40005 TEMPORARY */ TABLE IF EXISTS `t`",
                StatementKind::Other,
            ),
            ("DROP SEQUENCE s", drop(&["s"])),
            ("TRUNCATE t", StatementKind::Ddl(Ddl::Truncate(t("t")))),
            (
                "TRUNCATE TABLE `d` . `t` WAIT 5",
                StatementKind::Ddl(Ddl::Truncate(t("d.t"))),
            ),
            (
                "TRUNCATE TABLE `table`",
                StatementKind::Ddl(Ddl::Truncate(t("table"))),
            ),
            ("DROP TABLE", StatementKind::Rows),
        ];
        for (text, kind) in cases {
            assert_eq!(classify("cur", text.as_bytes()), kind, "{text}");
        }
        assert_eq!(
            classify("cur", b"CREATE TABLE IF NOT EXISTS t (a INT)"),
            StatementKind::Ddl(Ddl::Create {
                table: t("t"),
                unless_exists: true
            })
        );
    }

    #[test]
    fn databases() {
        let ddl = StatementKind::Ddl;
        let d = || "d".to_owned();
        for (text, kind) in [
            (
                "create database if not exists d",
                ddl(Ddl::CreateDatabase(d())),
            ),
            (
                "CREATE SCHEMA `d` CHARSET utf8",
                ddl(Ddl::CreateDatabase(d())),
            ),
            ("CREATE OR REPLACE DATABASE d", ddl(Ddl::DropDatabase(d()))),
            ("DROP DATABASE IF EXISTS d", ddl(Ddl::DropDatabase(d()))),
            ("DROP SCHEMA d", ddl(Ddl::DropDatabase(d()))),
            ("ALTER DATABASE d COLLATE x", ddl(Ddl::AlterDatabase(d()))),
            (
                "ALTER DATABASE COLLATE x",
                ddl(Ddl::AlterDatabase("cur".into())),
            ),
        ] {
            assert_eq!(classify("cur", text.as_bytes()), kind, "{text}");
        }
    }

    #[test]
    fn renames_are_told_in_order() {
        let renamed = |pairs: &[(&str, &str)]| {
            StatementKind::Ddl(Ddl::Rename(
                pairs.iter().map(|(a, b)| (t(a), t(b))).collect(),
            ))
        };
        for (text, kind) in [
            (
                "RENAME TABLE a TO b, d.c TO `d`.`e`",
                renamed(&[("a", "b"), ("d.c", "d.e")]),
            ),
            (
                "rename tables if exists a wait 10 to b",
                renamed(&[("a", "b")]),
            ),
            ("RENAME TABLE a NOWAIT TO b", renamed(&[("a", "b")])),
            ("RENAME USER a TO b", StatementKind::Other),
            ("RENAME TABLE a", StatementKind::Rows),
        ] {
            assert_eq!(classify("cur", text.as_bytes()), kind, "{text}");
        }
        for (text, keeps_rows) in [
            ("ALTER TABLE a RENAME TO b", true),
            ("ALTER TABLE a RENAME AS b", true),
            ("ALTER TABLE a RENAME = b", true),
            ("ALTER TABLE a RENAME b", true),
            ("ALTER TABLE a ADD c INT DEFAULT (1,2), RENAME b", false),
            ("ALTER TABLE a COMMENT 'x, RENAME c', RENAME b", true),
            (r"ALTER TABLE a COMMENT 'it\', RENAME c', RENAME b", true),
            ("ALTER TABLE a COMMENT 'it'', RENAME c', RENAME b", true),
            ("SET STATEMENT a=(1), b=2 FOR ALTER TABLE a RENAME b", true),
        ] {
            assert_eq!(
                classify("cur", text.as_bytes()),
                StatementKind::Ddl(Ddl::Alter {
                    table: t("a"),
                    renamed: Some(t("b")),
                    keeps_rows,
                    others: Vec::new(),
                }),
                "{text}"
            );
        }
    }

    #[test]
    fn what_keeps_the_rows_and_what_does_not() {
        for (change, keeps) in [
            ("ADD INDEX i (a)", true),
            ("ADD KEY (a), ADD FULLTEXT (b)", true),
            ("ADD UNIQUE i (a)", false),
            ("ADD PRIMARY KEY (a)", false),
            ("ADD CONSTRAINT `x` FOREIGN KEY (a) REFERENCES u (a)", true),
            ("ADD CONSTRAINT FOREIGN KEY (a) REFERENCES u (a)", true),
            ("ADD CONSTRAINT x UNIQUE (a)", false),
            ("ADD CONSTRAINT IF NOT EXISTS x CHECK (a > 1)", true),
            ("ADD COLUMN b INT", false),
            ("ADD `index` INT", false),
            ("ADD (b INT, c INT)", false),
            ("DROP COLUMN b", false),
            ("DROP b", false),
            ("DROP FOREIGN KEY x", true),
            ("DROP INDEX x", false),
            ("DROP PARTITION p1, p2", false),
            ("TRUNCATE PARTITION p1", false),
            ("ADD PARTITION (PARTITION p VALUES LESS THAN (5))", true),
            (
                "REORGANIZE PARTITION p INTO (PARTITION q VALUES LESS THAN (5))",
                true,
            ),
            ("MODIFY a BIGINT", false),
            ("CHANGE a b INT", false),
            ("RENAME COLUMN a TO b", true),
            ("RENAME INDEX a TO b", true),
            ("ALTER COLUMN a SET DEFAULT 5", true),
            ("CONVERT TO CHARACTER SET utf8mb4", false),
            ("DEFAULT CHARSET utf8mb4", true),
            ("ENGINE=InnoDB", true),
            ("ENGINE = 'blackhole'", false),
            ("ENGINE=BLACKHOLE", false),
            ("COMMENT 'x' ENGINE BLACKHOLE", false),
            ("COMMENT 'ENGINE BLACKHOLE'", true),
            ("AUTO_INCREMENT=5, ROW_FORMAT=COMPACT", true),
            ("FORCE", true),
            ("DISCARD TABLESPACE", false),
            ("ADD SYSTEM VERSIONING", false),
            ("", true),
            ("WAIT 5 ADD INDEX i (a)", true),
        ] {
            let text = format!("ALTER TABLE IF EXISTS t {change}");
            assert_eq!(
                classify("cur", text.as_bytes()),
                alter("t", keeps),
                "{text}"
            );
        }
        for (text, kind) in [
            ("ALTER ONLINE TABLE d.t FORCE", alter("d.t", true)),
            ("ALTER ONLINE IGNORE TABLE t FORCE", alter("t", false)),
            ("CREATE INDEX i ON t (a)", alter("t", true)),
            (
                "CREATE OR REPLACE FULLTEXT INDEX IF NOT EXISTS i USING BTREE ON d.t (a)",
                alter("d.t", true),
            ),
            ("CREATE UNIQUE INDEX `on` ON t (a)", alter("t", false)),
            ("DROP INDEX i ON t", alter("t", false)),
            ("OPTIMIZE TABLE t", alter("t", true)),
            ("REPAIR NO_WRITE_TO_BINLOG TABLE t QUICK", alter("t", false)),
            ("ANALYZE TABLE t PERSISTENT FOR ALL", alter("t", true)),
            ("ALTER SEQUENCE s RESTART 5", alter("s", false)),
        ] {
            assert_eq!(classify("cur", text.as_bytes()), kind, "{text}");
        }
    }

    #[test]
    fn tables_between_which_rows_move() {
        for (text, others) in [
            (
                "ALTER TABLE t EXCHANGE PARTITION p WITH TABLE d.u",
                vec![t("d.u")],
            ),
            ("ALTER TABLE t CONVERT PARTITION p TO TABLE u", vec![t("u")]),
            (
                "ALTER TABLE t CONVERT TABLE u TO PARTITION p VALUES LESS THAN (5)",
                vec![t("u")],
            ),
            ("REPAIR TABLE t, u, d.v", vec![t("u"), t("d.v")]),
        ] {
            assert_eq!(
                classify("cur", text.as_bytes()),
                StatementKind::Ddl(Ddl::Alter {
                    table: t("t"),
                    renamed: None,
                    keeps_rows: false,
                    others,
                }),
                "{text}"
            );
        }
    }

    #[test]
    fn statements_that_change_rows_and_such_that_do_not() {
        for text in [
            "INSERT INTO t VALUES (1)",
            "update t set a = 1",
            "DELETE t FROM t JOIN u",
            "REPLACE t VALUES (1)",
            "LOAD DATA INFILE 'x' INTO TABLE t",
            "CALL p()",
            "SELECT `d`.`f`(1)",
            "WITH x AS (SELECT 1) DELETE FROM t",
            "(SELECT 1)",
            "ANALYZE FORMAT=JSON UPDATE t SET a = 1",
            "BEGIN NOT ATOMIC DELETE FROM t; END",
            "SET STATEMENT a=1 FOR INSERT INTO t VALUES (1)",
            "FROBNICATE t",
        ] {
            let kind = classify("cur", text.as_bytes());
            assert_eq!(kind, StatementKind::Rows, "{text}");
        }
        for text in [
            "",
            " -- nothing",
            "GRANT ALL ON *.* TO x",
            "CREATE OR REPLACE USER x",
            "ALTER USER view IDENTIFIED BY 'x'",
            "DROP USER event",
            "FLUSH TABLES",
            "SET PASSWORD FOR x = 'y'",
            "BEGIN",
        ] {
            let kind = classify("cur", text.as_bytes());
            assert_eq!(kind, StatementKind::Other, "{text}");
        }
    }

    #[test]
    fn what_is_defined_beside_tables() {
        use Defined::{Event, Function, Package, Procedure, Trigger, View};
        for (text, named) in [
            (
                "CREATE ALGORITHM=UNDEFINED DEFINER=`view`@`%` SQL SECURITY INVOKER VIEW `v` AS select 1",
                vec![(View, "v")],
            ),
            (
                "CREATE OR REPLACE DEFINER=event@localhost VIEW d.v AS SELECT 1",
                vec![(View, "d.v")],
            ),
            ("ALTER DEFINER=x VIEW v AS SELECT 1", vec![(View, "v")]),
            (
                "DROP VIEW IF EXISTS v, d.w",
                vec![(View, "v"), (View, "d.w")],
            ),
            (
                "CREATE DEFINER=`root`@`localhost` TRIGGER x BEFORE INSERT ON t FOR EACH ROW SET @a=1",
                vec![(Trigger, "x")],
            ),
            ("DROP TRIGGER d.x", vec![(Trigger, "d.x")]),
            (
                "CREATE DEFINER=CURRENT_USER() PROCEDURE IF NOT EXISTS p() DELETE FROM t",
                vec![(Procedure, "p")],
            ),
            ("ALTER PROCEDURE p COMMENT 'x'", vec![(Procedure, "p")]),
            (
                "CREATE AGGREGATE FUNCTION f(x INT) RETURNS INT RETURN 1",
                vec![(Function, "f")],
            ),
            ("DROP FUNCTION f", vec![(Function, "f")]),
            ("CREATE PACKAGE BODY d.k AS END", vec![(Package, "d.k")]),
            ("DROP PACKAGE BODY k", vec![(Package, "k")]),
            ("ALTER EVENT e DISABLE", vec![(Event, "e")]),
            (
                "ALTER DEFINER=u EVENT e ON SCHEDULE EVERY 1 DAY RENAME TO d.f DO DELETE FROM t",
                vec![(Event, "e"), (Event, "d.f")],
            ),
            (
                "CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO RENAME TABLE a TO b",
                vec![(Event, "e")],
            ),
        ] {
            let named = named.iter().map(|(kind, name)| (*kind, t(name))).collect();
            assert_eq!(
                classify("cur", text.as_bytes()),
                StatementKind::Ddl(Ddl::Define(named)),
                "{text}"
            );
        }
    }

    #[test]
    fn the_dialect_matters() {
        let dialect = |sql_mode, charset, lower_case_names| Dialect {
            sql_mode,
            charset,
            lower_case_names,
        };
        let ansi = dialect(ANSI_QUOTES, 33, false);
        assert_eq!(
            classify_in(ansi, "cur", br#"TRUNCATE "d"."a""b""#),
            StatementKind::Ddl(Ddl::Truncate(t("d.a\"b")))
        );
        let plain = dialect(NO_BACKSLASH_ESCAPES, 33, false);
        let text = br"ALTER TABLE a COMMENT 'x\', RENAME b";
        assert!(matches!(
            classify_in(plain, "cur", text),
            StatementKind::Ddl(Ddl::Alter {
                renamed: Some(_),
                ..
            })
        ));
        assert_eq!(
            classify_in(dialect(0, 8, false), "cur", b"TRUNCATE gr\xf6\xdfe"),
            StatementKind::Ddl(Ddl::Truncate(t("größe")))
        );
        assert_eq!(
            classify_in(dialect(0, 33, true), "CUR", b"DROP TABLE A.B, C"),
            drop(&["a.b", "c"])
        );
    }
}
