//! What is in a table, compared with what should be: by key, in batches, as
//! hashes that the server computes and we do as well.

use std::collections::HashMap;

use backout_history::layout::Layout;
use backout_history::value::{RowCodec, ValueError, row_hash_expression};
use backout_history::{Direction, NetRow, NetRows};

use crate::catalog::TableDef;
use crate::error::{Error, Result};
use crate::session::{Session, ident, quoted};

use super::{Batch, text_limit};

/// The most rows that one statement names by key. The server makes a range of
/// each.
pub(super) const KEYS_MAX: u64 = 500;

/// Rows that were not expected are remembered until all that is expected is
/// known: two keys may be one for the server, and be asked for in two
/// statements. More than this many are no such coincidence.
const EXTRAS_MAX: usize = 10_000;

/// Runs a query that locks the rows that it finds, and answers with its numbers.
pub(crate) type Lock<'a> = dyn Fn(&mut Session, &str) -> Result<Vec<u64>> + 'a;

/// Which image of a row is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Image {
    /// As the row is, seen from the direction.
    Now,
    /// As it shall be.
    Wanted,
}

impl Image {
    fn of<'a>(self, row: &NetRow<'a>, direction: Direction) -> Option<&'a [u8]> {
        let (now, wanted) = row.step(direction);
        match self {
            Self::Now => now,
            Self::Wanted => wanted,
        }
    }
}

/// How a comparison ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Compared {
    /// How many keys were looked at.
    pub(crate) keys: u64,
    /// How many rows are not as told: missing, different, or there though none
    /// should be.
    pub(crate) different: u64,
}

/// Compares rows of the table with one image of each: those with an image must
/// be there and be equal, those without must not be there. When there is a
/// `lock`, it runs the queries. `each` is called for each batch, with the rows that were done
/// so far, and may end it.
///
/// # Errors
/// [`Error::Table`] without a key, or when values cannot be told; as
/// [`Session::exec`]; what `each` returns.
#[expect(clippy::too_many_arguments, reason = "each says one thing")]
pub(crate) fn check(
    session: &mut Session,
    def: &TableDef,
    layout: &Layout,
    mut rows: NetRows,
    direction: Direction,
    image: Image,
    lock: Option<&Lock<'_>>,
    each: &mut dyn FnMut(u64) -> Result<()>,
) -> Result<Compared> {
    let odd = |e: &ValueError| Error::Table {
        doing: "compare rows of",
        table: def.name.clone(),
        why: e.to_string(),
    };
    let Some(key) = &def.key else {
        return Err(Error::Table {
            doing: "compare rows of",
            table: def.name.clone(),
            why: "its rows cannot be told apart; add a primary key".to_owned(),
        });
    };
    let mut codec = RowCodec::new(layout, &def.columns).map_err(|e| odd(&e))?;
    let hash = row_hash_expression(&def.columns).map_err(|e| odd(&e))?;
    let index = def.key_name.as_deref().unwrap_or("PRIMARY");
    let head = format!(
        "SELECT {hash} FROM {} FORCE INDEX ({}) WHERE ",
        quoted(&def.name),
        ident(index),
    );
    let doing = format!("compare rows of {}", def.name);
    let limit = text_limit(session.packet_bytes());
    let mut compared = Compared::default();
    let mut expected: HashMap<u64, i64> = HashMap::new();
    let mut missing: HashMap<u64, i64> = HashMap::new();
    let mut extras: HashMap<u64, i64> = HashMap::new();
    let mut batch = Batch::default();
    let mut all_expected: Vec<u64> = Vec::new();
    loop {
        let row = rows.next()?;
        let full = batch.bytes > limit || batch.rows == KEYS_MAX;
        if batch.rows > 0 && (full || row.is_none()) {
            let sql = format!(
                "{head}{}",
                keys_condition(def, key, &std::mem::take(&mut batch.text))
            );
            let found = match lock {
                Some(lock) => lock(session, &sql)?,
                None => session.query::<u64>(&doing, &sql)?,
            };
            for hash in found {
                *expected.entry(hash).or_insert(0) -= 1;
            }
            for (hash, count) in expected.drain() {
                match count {
                    0 => {}
                    1.. => *missing.entry(hash).or_insert(0) += count,
                    _ => *extras.entry(hash).or_insert(0) -= count,
                }
            }
            compared.keys += batch.rows;
            each(compared.keys)?;
            if extras.len() > EXTRAS_MAX || missing.len() > EXTRAS_MAX {
                break;
            }
            batch = Batch::default();
        }
        let Some(row) = row else { break };
        let shown = image.of(&row, direction);
        let Some(by) = shown.or(row.first_before).or(row.last_after) else {
            continue;
        };
        let mut text = String::from("(");
        codec.literals(by, key, &mut text).map_err(|e| odd(&e))?;
        text.push(')');
        batch.add(text);
        if let Some(shown) = shown {
            let hash = codec.hash(shown).map_err(|e| odd(&e))?;
            *expected.entry(hash).or_insert(0) += 1;
            all_expected.push(hash);
        }
    }
    if !extras.is_empty() {
        // A row that another batch expects was found here as well, by a key
        // that is the same for the server.
        all_expected.sort_unstable();
        extras.retain(|hash, _| all_expected.binary_search(hash).is_err());
    }
    let different = missing.values().chain(extras.values()).sum::<i64>();
    compared.different = different.unsigned_abs();
    Ok(compared)
}

/// The condition for rows with these keys, each a list of literals between
/// parentheses.
pub(super) fn keys_condition(def: &TableDef, key: &[usize], keys: &[String]) -> String {
    let names: Vec<String> = key
        .iter()
        .filter_map(|i| def.columns.get(*i))
        .map(|c| c.quoted())
        .collect();
    format!("({}) IN ({})", names.join(","), keys.join(","))
}
