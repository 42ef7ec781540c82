//! The rows of orders and their batches.
//!
//! An application has at most one order that is not over; the index
//! `app_orders_open` holds that, also while an order waits for approval and has
//! no job yet.

use backout_core::code::Code;
use backout_core::ids::{AccountId, ApplicationId, BatchId, JobId, OrderId, RequestId};
use backout_core::time::Timestamp;
use backout_rollout::{Leg, Rollout};
use backout_store::rows::{Conditions, Page, json_text, optional, paged, read_json};
use backout_store::{Error, Row, Tx, Value, params};

use super::{among, one, read_u32, several};
use crate::model::{Approval, Batch, Order, OrderKind, Standing};

const COLUMNS: &str = "id, owner, operator, request, app, namespace, kind, job, takes_back, \
     version_from, version_to, replicas_before, replicas_after, description, plan, rollout, \
     standing, approval, error_code, error_message, created_ms, ended_ms, terms";

/// Which orders. Empty lists leave a condition out; conditions are joined by
/// AND, the values inside one by OR.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrderFilter {
    /// Of this application.
    pub application: Option<ApplicationId>,
    /// Of applications in this namespace.
    pub namespace: Option<String>,
    /// Of one of these kinds.
    pub kinds: Vec<OrderKind>,
    /// Standing like one of these.
    pub standings: Vec<Standing>,
    /// Only those after which there are more replicas than before, or only the
    /// others.
    pub grows: Option<bool>,
    /// With this in their description, whatever the case.
    pub text: Option<String>,
    /// Oldest first.
    pub oldest_first: bool,
}

/// Adds an order. Returns false when its application has one that is not over.
pub fn insert_order(tx: &mut dyn Tx, order: &Order) -> Result<bool, Error> {
    let [code, message] = error_values(order.error.as_ref());
    let added = tx.execute(
        "INSERT INTO app_orders (id, owner, operator, request, app, namespace, kind, job, \
         takes_back, version_from, version_to, replicas_before, replicas_after, description, \
         plan, rollout, standing, approval, error_code, error_message, created_ms, ended_ms, terms) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, \
         $18, $19, $20, $21, $22, $23) ON CONFLICT DO NOTHING",
        params![
            order.id.as_str(),
            order.owner.as_str(),
            order.operator.as_str(),
            &order.request.0,
            order.application.as_str(),
            &order.namespace,
            order.kind.as_str(),
            order.job.as_ref().map(JobId::as_str),
            order.takes_back.as_ref().map(OrderId::as_str),
            order.from.as_ref().map(|v| v.as_str()),
            order.to.as_ref().map(|v| v.as_str()),
            i64::from(order.replicas_before),
            i64::from(order.replicas_after),
            &order.description,
            json_text("plan", &order.plan)?,
            order.rollout.as_ref().map(machine_text).transpose()?,
            order.standing.as_str(),
            approval_text(order.approval.as_ref())?,
            code,
            message,
            order.created.0,
            order.ended.map(|t| t.0),
            json_text("terms", &order.terms)?
        ],
    )?;
    Ok(added > 0)
}

/// An order by its id.
pub fn order(tx: &mut dyn Tx, owner: &AccountId, id: &str) -> Result<Option<Order>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM app_orders WHERE owner = $1 AND id = $2");
    one(tx, &sql, params![owner.as_str(), id], read_order)
}

/// An order by its id, whoever owns it.
pub fn order_by_id(tx: &mut dyn Tx, id: &OrderId) -> Result<Option<Order>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM app_orders WHERE id = $1");
    one(tx, &sql, params![id.as_str()], read_order)
}

/// The order that a call asked for; the first of several.
pub fn order_of_request(
    tx: &mut dyn Tx,
    owner: &AccountId,
    request: &RequestId,
) -> Result<Option<Order>, Error> {
    let sql = format!(
        "SELECT {COLUMNS} FROM app_orders WHERE owner = $1 AND request = $2 \
         ORDER BY created_ms, id LIMIT 1"
    );
    one(tx, &sql, params![owner.as_str(), &request.0], read_order)
}

/// The order that a job does now: of one that is taken back, the way back.
pub fn order_of_job(tx: &mut dyn Tx, job: &JobId) -> Result<Option<Order>, Error> {
    let sql = format!(
        "SELECT {COLUMNS} FROM app_orders WHERE job = $1 \
         ORDER BY CASE WHEN takes_back IS NULL THEN 1 ELSE 0 END LIMIT 1"
    );
    one(tx, &sql, params![job.as_str()], read_order)
}

/// The order of an application that is not over.
pub fn open_order_of(tx: &mut dyn Tx, application: &ApplicationId) -> Result<Option<Order>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM app_orders WHERE app = $1 AND ended_ms IS NULL");
    one(tx, &sql, params![application.as_str()], read_order)
}

/// The orders of several applications that are not over.
pub fn open_orders_of_all(tx: &mut dyn Tx, ids: &[ApplicationId]) -> Result<Vec<Order>, Error> {
    let Some(w) = among("app", ids.iter().map(ApplicationId::as_str)) else {
        return Ok(Vec::new());
    };
    let sql = format!(
        "SELECT {COLUMNS} FROM app_orders WHERE {} AND ended_ms IS NULL",
        w.sql
    );
    several(tx, &sql, &w.params, read_order)
}

/// The newest order of an application.
pub fn last_order_of(tx: &mut dyn Tx, application: &ApplicationId) -> Result<Option<Order>, Error> {
    // Of an order and its way back, which may be of one instant, the way back
    // is the newer.
    let sql = format!(
        "SELECT {COLUMNS} FROM app_orders WHERE app = $1 ORDER BY created_ms DESC, \
         CASE WHEN takes_back IS NULL THEN 1 ELSE 0 END, id LIMIT 1"
    );
    one(tx, &sql, params![application.as_str()], read_order)
}

/// One page of an owner's orders, newest first unless asked otherwise, and how
/// many match.
pub fn list_orders(
    tx: &mut dyn Tx,
    owner: &AccountId,
    filter: &OrderFilter,
    page: Page,
) -> Result<(u64, Vec<Order>), Error> {
    let mut w = Conditions::new("owner", owner.as_str());
    w.is(
        "app",
        filter.application.as_ref().map(ApplicationId::as_str),
    );
    w.is("namespace", filter.namespace.as_deref());
    w.one_of("kind", filter.kinds.iter().map(|k| k.as_str()));
    w.one_of("standing", filter.standings.iter().map(|s| s.as_str()));
    w.sql.push_str(match filter.grows {
        Some(true) => " AND replicas_after > replicas_before",
        Some(false) => " AND replicas_after <= replicas_before",
        None => "",
    });
    w.contains(&["description"], filter.text.as_deref());
    let order = match filter.oldest_first {
        true => "created_ms, id",
        false => "created_ms DESC, id",
    };
    paged(tx, COLUMNS, "app_orders", w, order, page, read_order)
}

/// Hands an order that was approved to a job. Returns false when it does not
/// wait, or was handed to one before.
pub fn give_to_job(
    tx: &mut dyn Tx,
    id: &OrderId,
    job: &JobId,
    standing: Standing,
) -> Result<bool, Error> {
    let changed = tx.execute(
        "UPDATE app_orders SET job = $2, standing = $3 \
         WHERE id = $1 AND job IS NULL AND ended_ms IS NULL",
        params![id.as_str(), job.as_str(), standing.as_str()],
    )?;
    Ok(changed > 0)
}

/// Records who approved an order, if it waits for that. Returns whether it did.
pub fn approve_order(tx: &mut dyn Tx, id: &OrderId, approval: &Approval) -> Result<bool, Error> {
    let changed = tx.execute(
        "UPDATE app_orders SET approval = $2, standing = $3 WHERE id = $1 AND standing = $4",
        params![
            id.as_str(),
            approval_text(Some(approval))?,
            Standing::Approved.as_str(),
            Standing::WaitsForApproval.as_str()
        ],
    )?;
    Ok(changed > 0)
}

/// Records how far an order is. Says how things are: may be said again.
pub fn set_progress(
    tx: &mut dyn Tx,
    id: &OrderId,
    rollout: &Rollout,
    standing: Standing,
) -> Result<(), Error> {
    tx.execute(
        "UPDATE app_orders SET rollout = $2, standing = $3 WHERE id = $1",
        params![id.as_str(), machine_text(rollout)?, standing.as_str()],
    )?;
    Ok(())
}

/// Records how an order stands that is not over. Says how things are: may be
/// said again.
pub fn set_standing(tx: &mut dyn Tx, id: &OrderId, standing: Standing) -> Result<(), Error> {
    tx.execute(
        "UPDATE app_orders SET standing = $2 WHERE id = $1 AND ended_ms IS NULL",
        params![id.as_str(), standing.as_str()],
    )?;
    Ok(())
}

/// Records how an order ended. One that has ended stays as it is.
pub fn end_order(
    tx: &mut dyn Tx,
    id: &OrderId,
    standing: Standing,
    error: Option<&(Code, String)>,
    at: Timestamp,
) -> Result<(), Error> {
    let [code, message] = error_values(error);
    tx.execute(
        "UPDATE app_orders SET standing = $2, error_code = $3, error_message = $4, ended_ms = $5 \
         WHERE id = $1 AND ended_ms IS NULL",
        params![id.as_str(), standing.as_str(), code, message, at.0],
    )?;
    Ok(())
}

/// Ends `order` as it is taken back, and adds the order that takes it back,
/// which goes on with its job, its machine and its replicas.
pub fn turn_order(
    tx: &mut dyn Tx,
    order: &OrderId,
    back: &Order,
    at: Timestamp,
) -> Result<bool, Error> {
    end_order(tx, order, Standing::Aborted, None, at)?;
    if !insert_order(tx, back)? {
        return Ok(false);
    }
    super::hand_replicas_over(tx, order, &back.id)?;
    Ok(true)
}

/// Adds the batches of an order. May be said again.
pub fn insert_batches(tx: &mut dyn Tx, batches: &[Batch]) -> Result<(), Error> {
    for batch in batches {
        tx.execute(
            "INSERT INTO app_batches (id, order_id, number, leg) VALUES ($1, $2, $3, $4) \
             ON CONFLICT DO NOTHING",
            params![
                batch.id.as_str(),
                batch.order.as_str(),
                i64::from(batch.number),
                leg_word(batch.leg)
            ],
        )?;
    }
    Ok(())
}

/// The batches of an order, in their order: at most one a replica.
pub fn batches_of(tx: &mut dyn Tx, order: &OrderId) -> Result<Vec<Batch>, Error> {
    let sql =
        "SELECT id, order_id, number, leg FROM app_batches WHERE order_id = $1 ORDER BY number";
    several(tx, sql, params![order.as_str()], read_batch)
}

/// A batch by its id, with its order.
pub fn find_batch(
    tx: &mut dyn Tx,
    owner: &AccountId,
    id: &BatchId,
) -> Result<Option<(Batch, Order)>, Error> {
    let sql = "SELECT id, order_id, number, leg FROM app_batches WHERE id = $1";
    let Some(batch) = one(tx, sql, params![id.as_str()], read_batch)? else {
        return Ok(None);
    };
    let found = order(tx, owner, batch.order.as_str())?;
    Ok(found.map(|order| (batch, order)))
}

/// Forgets at most `limit` orders that ended before `before`, the oldest first,
/// and with them what happened to applications that are gone. Returns how many
/// orders.
pub fn forget_orders(tx: &mut dyn Tx, before: Timestamp, limit: u64) -> Result<u64, Error> {
    let sql = "SELECT id, app FROM app_orders WHERE ended_ms < $1 ORDER BY ended_ms, id LIMIT $2";
    let values = params![before.0, limit.cast_signed()];
    let old: Vec<(String, String)> =
        several(tx, sql, values, |row| Ok((row.get(0)?, row.get(1)?)))?;
    for (id, app) in &old {
        // The last order of one that is gone took it away.
        tx.execute(
            "DELETE FROM app_events WHERE app = $1 \
             AND NOT EXISTS (SELECT 1 FROM apps a WHERE a.id = $1)",
            params![app],
        )?;
        tx.execute("DELETE FROM app_batches WHERE order_id = $1", params![id])?;
        tx.execute("DELETE FROM app_asked WHERE order_id = $1", params![id])?;
        tx.execute("DELETE FROM app_orders WHERE id = $1", params![id])?;
    }
    Ok(old.len() as u64)
}

fn error_values(error: Option<&(Code, String)>) -> [Value; 2] {
    [
        error.map(|(code, _)| code.as_str()).into(),
        error.map(|(_, message)| message.clone()).into(),
    ]
}

fn machine_text(rollout: &Rollout) -> Result<String, Error> {
    json_text("rollout", rollout)
}

fn approval_text(approval: Option<&Approval>) -> Result<Option<String>, Error> {
    approval.map(|a| json_text("approval", a)).transpose()
}

const fn leg_word(leg: Leg) -> &'static str {
    match leg {
        Leg::Forward => "forward",
        Leg::Back => "back",
    }
}

fn read_order(row: &Row) -> Result<Order, Error> {
    Ok(Order {
        id: row.parse(0, |t| t.parse().ok())?,
        owner: row.parse(1, |t| t.parse().ok())?,
        operator: row.parse(2, |t| t.parse().ok())?,
        request: RequestId(row.get(3)?),
        application: row.parse(4, |t| t.parse().ok())?,
        namespace: row.get(5)?,
        kind: row.parse(6, OrderKind::parse)?,
        job: optional(row, 7, |row, at| row.parse(at, |t| t.parse().ok()))?,
        takes_back: optional(row, 8, |row, at| row.parse(at, |t| t.parse().ok()))?,
        from: optional(row, 9, |row, at| row.parse(at, |t| t.parse().ok()))?,
        to: optional(row, 10, |row, at| row.parse(at, |t| t.parse().ok()))?,
        replicas_before: read_u32(row, 11)?,
        replicas_after: read_u32(row, 12)?,
        description: row.get(13)?,
        plan: read_json("plan", row, 14)?,
        rollout: optional(row, 15, |row, at| read_json("rollout", row, at))?,
        standing: row.parse(16, Standing::parse)?,
        approval: optional(row, 17, |row, at| read_json("approval", row, at))?,
        error: optional(row, 18, |row, at| {
            let code = row.parse(at, |text| {
                Code::ALL.iter().copied().find(|c| c.as_str() == text)
            })?;
            Ok((code, row.get(at + 1)?))
        })?,
        created: Timestamp(row.get(20)?),
        ended: optional(row, 21, |row, at| row.get(at))?.map(Timestamp),
        terms: read_json("terms", row, 22)?,
    })
}

fn read_batch(row: &Row) -> Result<Batch, Error> {
    Ok(Batch {
        id: row.parse(0, |t| t.parse().ok())?,
        order: row.parse(1, |t| t.parse().ok())?,
        number: read_u32(row, 2)?,
        leg: row.parse(3, |text| match text {
            "forward" => Some(Leg::Forward),
            "back" => Some(Leg::Back),
            _ => None,
        })?,
    })
}
