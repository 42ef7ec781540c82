//! What the tests of sessions, copies and rollbacks share.

#![expect(dead_code, reason = "not every test uses all of it")]

use std::path::{Path, PathBuf};

use backout_history::reader::{Reader, ReaderOptions};
use backout_history::source::FileSource;
use backout_history::{Item, Key, NetFiles, NetTable, Position, Reducer, TableName};
use backout_mariadb::testing::PrivateServer;
use backout_mariadb::{Endpoint, Session, TableDef, catalog};

pub const NEVER: fn() -> bool = || false;

pub fn endpoint(server: &PrivateServer) -> Endpoint {
    Endpoint::parse(&server.socket_url()).unwrap()
}

pub fn session(server: &PrivateServer) -> Session {
    Session::open(&endpoint(server)).unwrap()
}

pub fn name(text: &str) -> TableName {
    let (schema, table) = text.split_once('.').unwrap();
    TableName::new(schema, table)
}

pub fn def(session: &mut Session, table: &str) -> TableDef {
    catalog::table(session, &name(table)).unwrap()
}

pub fn end(server: &PrivateServer) -> Position {
    catalog::binlog_end(&mut session(server)).unwrap().unwrap()
}

/// Reads the server's log files, from one place to another.
pub struct Files {
    pub datadir: PathBuf,
}

impl Files {
    pub fn of(server: &PrivateServer) -> Self {
        Self {
            datadir: server.datadir(),
        }
    }

    pub fn read(
        &self,
        from: &Position,
        to: &Position,
        each: &mut dyn FnMut(Item<'_>) -> backout_mariadb::Result<()>,
    ) -> backout_mariadb::Result<()> {
        if from == to {
            return Ok(());
        }
        assert_eq!(from.file, to.file, "the tests stay within a file");
        let folder = tempfile::tempdir().unwrap();
        let source = FileSource::open_at(&self.datadir.join(&from.file), from.offset)?;
        let options = ReaderOptions {
            wanted: None,
            spill: folder.path().to_owned(),
            xa_memory: 1 << 20,
            lower_case_names: false,
        };
        let mut reader = Reader::new(source, options);
        while let Some(item) = reader.next()? {
            match &item {
                Item::Begin(group) if group.start >= *to => break,
                _ => each(item)?,
            }
        }
        Ok(())
    }
}

/// The net effect of a stretch of the server's log on some tables.
pub fn reduce(
    server: &PrivateServer,
    folder: &Path,
    defs: &[&TableDef],
    from: &Position,
    to: &Position,
) -> NetFiles {
    let tables = defs
        .iter()
        .map(|def| NetTable {
            name: def.name.clone(),
            key: def.key.clone().map_or(Key::WholeRow, Key::Columns),
            signedness: def.columns.iter().map(|c| c.unsigned).collect(),
            computed: def.computed(),
        })
        .collect();
    let mut reducer = Reducer::new(folder, 16 << 20, tables).unwrap();
    Files::of(server)
        .read(from, to, &mut |item| {
            if let Item::Change(change) = item {
                reducer.change(&change)?;
            }
            Ok(())
        })
        .unwrap();
    reducer.finish(&NEVER).unwrap();
    NetFiles::open(folder).unwrap().unwrap()
}

/// All rows of a query, as text.
pub fn rows(server: &PrivateServer, sql: &str) -> Vec<Vec<String>> {
    server.query(sql)
}
