//! The rows of what operators say of the service and of accounts, and of which
//! calls were made before.

use backout_core::ids::{AccountId, ApplicationId, OrderId};
use backout_store::rows::{json_text, read_json};
use backout_store::{Error, Tx, params, query_one};

use super::one;
use crate::model::{AccountSettings, ServiceSettings};

/// The row of the service as a whole; no account has this id.
const SERVICE: &str = "";

/// What holds for the service as a whole.
pub fn service_settings(tx: &mut dyn Tx) -> Result<ServiceSettings, Error> {
    Ok(settings(tx, SERVICE)?.unwrap_or_default())
}

/// Writes down what holds for the service as a whole.
pub fn set_service_settings(tx: &mut dyn Tx, settings: &ServiceSettings) -> Result<(), Error> {
    set_settings(tx, SERVICE, &json_text("settings", settings)?)
}

/// What holds for an account.
pub fn account_settings(tx: &mut dyn Tx, owner: &AccountId) -> Result<AccountSettings, Error> {
    Ok(settings(tx, owner.as_str())?.unwrap_or_default())
}

/// Writes down what holds for an account.
pub fn set_account_settings(
    tx: &mut dyn Tx,
    owner: &AccountId,
    settings: &AccountSettings,
) -> Result<(), Error> {
    set_settings(tx, owner.as_str(), &json_text("settings", settings)?)
}

fn settings<T: serde::de::DeserializeOwned>(
    tx: &mut dyn Tx,
    owner: &str,
) -> Result<Option<T>, Error> {
    let sql = "SELECT settings FROM app_settings WHERE owner = $1";
    one(tx, sql, params![owner], |row| read_json("settings", row, 0))
}

fn set_settings(tx: &mut dyn Tx, owner: &str, text: &str) -> Result<(), Error> {
    tx.execute(
        "INSERT INTO app_settings (owner, settings) VALUES ($1, $2) \
         ON CONFLICT (owner) DO UPDATE SET settings = $2",
        params![owner, text],
    )?;
    Ok(())
}

/// How much all replicas may take together as they are meant to run, of the
/// applications other than `but`: processor time in thousandths of one
/// processor, and memory in bytes. What an open order will start counts.
pub fn compute_wanted(tx: &mut dyn Tx, but: Option<&ApplicationId>) -> Result<(u64, u64), Error> {
    let sql = "SELECT CAST(COALESCE(SUM(n * cpu), 0) AS BIGINT), \
         CAST(COALESCE(SUM(n * memory), 0) AS BIGINT) FROM ( \
         SELECT CASE WHEN o.replicas_after > a.replicas THEN o.replicas_after ELSE a.replicas END AS n, \
         COALESCE(v.cpu_millis, 0) AS cpu, COALESCE(v.memory_bytes, 0) AS memory \
         FROM apps a LEFT JOIN app_orders o ON o.app = a.id AND o.ended_ms IS NULL \
         LEFT JOIN app_versions v ON v.id = COALESCE(o.version_to, a.version) \
         WHERE a.id <> $1) AS wanted";
    let row = query_one(tx, sql, params![but.map_or("", ApplicationId::as_str)])?
        .ok_or_else(|| Error::corrupt("a sum gave no row"))?;
    Ok((
        row.get::<i64>(0)?.cast_unsigned(),
        row.get::<i64>(1)?.cast_unsigned(),
    ))
}

/// The order that an earlier call with that key asked for, and the digest of
/// what that call was.
pub fn asked_before(
    tx: &mut dyn Tx,
    owner: &AccountId,
    key: &str,
) -> Result<Option<(OrderId, String)>, Error> {
    let sql = "SELECT order_id, idem_hash FROM app_asked WHERE owner = $1 AND idem_key = $2";
    one(tx, sql, params![owner.as_str(), key], |row| {
        Ok((row.parse(0, |t| t.parse().ok())?, row.get(1)?))
    })
}

/// Writes down which order a call with a key asked for. Returns false when
/// another call with that key was faster.
pub fn remember_asked(
    tx: &mut dyn Tx,
    owner: &AccountId,
    key: &str,
    hash: &str,
    order: &OrderId,
) -> Result<bool, Error> {
    let added = tx.execute(
        "INSERT INTO app_asked (owner, idem_key, idem_hash, order_id) VALUES ($1, $2, $3, $4) \
         ON CONFLICT DO NOTHING",
        params![owner.as_str(), key, hash, order.as_str()],
    )?;
    Ok(added > 0)
}
