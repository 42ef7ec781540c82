//! Reads history while pages are copied: up to where the server's log ends when
//! the copy begins, and then up to where the copy turns out to be. The tool that
//! copies waits for disks most of the time, and reading is the work of one
//! processor.
//!
//! What cannot be done so is left to the step that follows, which then also
//! tells why.

use std::path::Path;
use std::sync::mpsc::sync_channel;

use backout_history::archive::Archive;
use backout_history::digest::RowDigest;
use backout_history::net::{Direction, NetFiles, NetTable};
use backout_history::value::row_hash_expression;
use backout_history::{Error, Position};
use backout_jobs::{StepContext, StepError};
use backout_mariadb::catalog::{self, TableDef};
use backout_mariadb::digest;
use serde::{Deserialize, Serialize};

use super::{Bench, definition, net_table};
use crate::files;
use crate::procedures::{database_error, history_error};
use crate::reduction::{self, Stretch};
use crate::runtime::CATCH_UP;

/// What was reduced beside the copy.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Ahead {
    tables: Vec<AheadTable>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct AheadTable {
    /// What it was reduced as.
    table: NetTable,
    /// How its rows were hashed.
    hash: Option<String>,
    /// What the net effect does to its digest.
    change: Option<RowDigest>,
}

impl Ahead {
    /// What the net effect does to the digest of each table, when it is that of
    /// tables that are defined so.
    pub(super) fn of(
        &self,
        tables: &[NetTable],
        defs: &[&TableDef],
    ) -> Option<Vec<Option<RowDigest>>> {
        let same = self.tables.len() == tables.len()
            && self
                .tables
                .iter()
                .zip(tables)
                .all(|(ahead, table)| ahead.table == *table);
        same.then(|| {
            self.tables
                .iter()
                .zip(defs)
                .map(|(ahead, def)| ahead.change.filter(|_| ahead.hash == hash(def)))
                .collect()
        })
    }
}

fn hash(def: &TableDef) -> Option<String> {
    row_hash_expression(&def.columns).ok()
}

/// Runs `copy`, which tells where in history the copy is, and reads history
/// beside it.
pub(super) fn beside<T>(
    bench: &Bench,
    ctx: &StepContext,
    copy: impl FnOnce() -> Result<T, StepError>,
    place: impl FnOnce(&T) -> Option<Position>,
) -> Result<(T, Option<Ahead>), StepError> {
    let mut session = bench.live()?;
    let mut defs: Vec<TableDef> = bench
        .input
        .tables
        .iter()
        .map(|table| definition(&mut session, &table.from))
        .collect::<Result<_, _>>()?;
    defs.sort_by(|a, b| a.name.cmp(&b.name));
    let begin = catalog::binlog_end(&mut session).map_err(database_error)?;
    drop(session);
    let archive = bench.archive()?;
    let folder = bench.net_folder(0);
    files::remove_folder(&folder)?;
    let stop = bench.stop(ctx);
    let (tell, told) = sync_channel(1);
    let (archive, folder, stop, defs) = (&archive, &*folder, &stop, &defs);
    let (copied, ahead) = std::thread::scope(|scope| {
        let reading = scope.spawn(move || {
            let mut onward = || {
                // Nothing comes when the copy failed, and nobody wants this then.
                let at: Position = told.recv().map_err(|_| Error::Cancelled)?;
                caught_up(archive, &at, stop)?;
                Ok(at)
            };
            let begin = match begin {
                Some(begin) if begin > bench.input.cut => begin,
                _ => bench.input.cut.clone(),
            };
            caught_up(archive, &begin, stop)?;
            let tables: Vec<NetTable> = defs.iter().map(|def| net_table(&def.name, def)).collect();
            let stretch = Stretch {
                from: &bench.input.cut,
                to: &begin,
                tables: tables.clone(),
                only: None,
                until_altered: None,
                fuzzy: false,
                lower_case_names: bench.input.lower_case_names,
            };
            let memory = bench.runtime.memory_bytes;
            reduction::reduce_onward(
                archive,
                stretch,
                Some(&mut onward),
                folder,
                memory,
                &|_| {},
                stop,
            )?;
            let defs: Vec<&TableDef> = defs.iter().collect();
            let changes = changes(folder, &defs, Direction::Backward, stop);
            Ok(Ahead {
                tables: tables
                    .into_iter()
                    .zip(defs)
                    .zip(changes)
                    .map(|((table, def), change)| AheadTable {
                        table,
                        hash: hash(def),
                        change,
                    })
                    .collect(),
            })
        });
        let copied = copy();
        if let Some(at) = copied.as_ref().ok().and_then(place) {
            // It takes one, whoever listens.
            let _ = tell.send(at);
        }
        drop(tell);
        let ahead: Result<Ahead, Error> = reading.join().unwrap_or(Err(Error::Cancelled));
        (copied, ahead)
    });
    let copied = copied?;
    if stop() {
        return Err(StepError::Cancelled);
    }
    if ahead.is_err() {
        files::remove_folder(folder)?;
    }
    Ok((copied, ahead.ok()))
}

/// What a net effect does to the digests of its tables, as digests to be added;
/// `None` where that cannot be told.
pub(super) fn changes(
    folder: &Path,
    defs: &[&TableDef],
    direction: Direction,
    stop: &dyn Fn() -> bool,
) -> Vec<Option<RowDigest>> {
    let net = NetFiles::open(folder).ok().flatten();
    defs.iter()
        .enumerate()
        .map(|(i, def)| {
            let nothing = RowDigest::default();
            digest::predicted(net.as_ref()?, i, &def.columns, direction, nothing, stop).ok()
        })
        .collect()
}

/// Waits until the archive has everything before a place.
fn caught_up(archive: &Archive, at: &Position, stop: &dyn Fn() -> bool) -> Result<(), Error> {
    match archive.wait_until(at, CATCH_UP, stop)? {
        true => Ok(()),
        false => Err(Error::Archive {
            doing: format!("read history up to {at}"),
            why: "it is not that far".to_owned(),
            passing: true,
        }),
    }
}

/// The net effect that [`beside`] left, where that is whole.
pub(super) fn left(folder: &Path) -> Result<Option<NetFiles>, StepError> {
    match NetFiles::open(folder) {
        Ok(net) => Ok(net),
        Err(Error::Net { .. }) => Ok(None),
        Err(e) => Err(history_error(e)),
    }
}
