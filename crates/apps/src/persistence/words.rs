//! What people say to an order while it runs. Its job takes it up, in the order
//! in which it was said; until then it lies here, whether a job runs or not.

use backout_core::ids::{AccountId, OrderId, RequestId};
use backout_core::time::Timestamp;
use backout_store::rows::{json_text, read_json};
use backout_store::{Error, Migration, Row, Tx, params, query_one};
use serde::{Deserialize, Serialize};

use super::{next_number, read_u64, several};

/// How much may be said to an order before it is taken up: a person and a script
/// that says all there is to say twice.
pub const WORDS_MAX: u64 = 16;

/// The tables of words.
pub(super) const WORDS: Migration = Migration {
    name: "apps-0002",
    sql: "
CREATE TABLE app_words (
  number BIGINT PRIMARY KEY,
  order_id TEXT NOT NULL,
  word TEXT NOT NULL,
  account TEXT NOT NULL,
  said_ms BIGINT NOT NULL
);
CREATE INDEX app_words_of_order ON app_words (order_id, number);
INSERT INTO app_numbers (kind, last) VALUES ('word', 0);",
};

/// What can be said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "word", rename_all = "snake_case")]
pub enum Word {
    /// Let the batch that waits go.
    Confirm {
        /// Its number, from 0 on.
        batch: u32,
    },
    /// Do not let the batch that waits go, and end the order as it is.
    End {
        /// Its number, from 0 on.
        batch: u32,
    },
    /// End the order; what is changed stays changed.
    Abort,
    /// End the order, and take back what it has changed.
    AbortAndBack {
        /// The id of the order that stands for the way back.
        order: OrderId,
        /// The call that said so.
        request: RequestId,
    },
    /// Try again what failed.
    Retry,
}

/// A word that was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Its number: words of one order are taken up in this order.
    pub number: u64,
    /// What was said.
    pub word: Word,
    /// By whom.
    pub by: AccountId,
    /// When.
    pub at: Timestamp,
}

/// Says something to an order. After the transaction call
/// [`crate::runtime::Wake::wake`] of [`crate::Runtime::spoken`]. Returns the
/// number of the word; none when [`WORDS_MAX`] of them wait.
pub fn speak(
    tx: &mut dyn Tx,
    order: &OrderId,
    word: &Word,
    by: &AccountId,
    now: Timestamp,
) -> Result<Option<u64>, Error> {
    let row = query_one(
        tx,
        "SELECT COUNT(*) FROM app_words WHERE order_id = $1",
        params![order.as_str()],
    )?
    .ok_or_else(|| Error::corrupt("COUNT() gave no row"))?;
    if read_u64(&row, 0)? >= WORDS_MAX {
        return Ok(None);
    }
    let number = next_number(tx, "word")?;
    tx.execute(
        "INSERT INTO app_words (number, order_id, word, account, said_ms) \
         VALUES ($1, $2, $3, $4, $5)",
        params![
            number.cast_signed(),
            order.as_str(),
            json_text("word", word)?,
            by.as_str(),
            now.0
        ],
    )?;
    Ok(Some(number))
}

/// What was said to an order and not taken up yet, oldest first.
pub fn words_of(tx: &mut dyn Tx, order: &OrderId) -> Result<Vec<Said>, Error> {
    let sql = "SELECT number, word, account, said_ms FROM app_words WHERE order_id = $1 \
         ORDER BY number LIMIT $2";
    let values = params![order.as_str(), WORDS_MAX.cast_signed()];
    several(tx, sql, values, read_said)
}

/// Whether a word still waits to be taken up.
pub fn waits(tx: &mut dyn Tx, number: u64) -> Result<bool, Error> {
    let sql = "SELECT 1 FROM app_words WHERE number = $1";
    Ok(query_one(tx, sql, params![number.cast_signed()])?.is_some())
}

/// Takes words up, in the transaction that writes what they changed.
pub fn take_words(tx: &mut dyn Tx, numbers: &[u64]) -> Result<(), Error> {
    for number in numbers {
        let sql = "DELETE FROM app_words WHERE number = $1";
        tx.execute(sql, params![number.cast_signed()])?;
    }
    Ok(())
}

/// Forgets what was said to an order that is over.
pub fn forget_words(tx: &mut dyn Tx, order: &OrderId) -> Result<(), Error> {
    let sql = "DELETE FROM app_words WHERE order_id = $1";
    tx.execute(sql, params![order.as_str()])?;
    Ok(())
}

fn read_said(row: &Row) -> Result<Said, Error> {
    Ok(Said {
        number: read_u64(row, 0)?,
        word: read_json("word", row, 1)?,
        by: row.parse(2, |t| t.parse().ok())?,
        at: Timestamp(row.get(3)?),
    })
}
