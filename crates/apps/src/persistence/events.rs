//! The rows of what happened.

use backout_core::ids::{AccountId, ApplicationId};
use backout_core::time::Timestamp;
use backout_store::rows::{Conditions, Page, paged};
use backout_store::{Error, Row, Tx, params, query_one};

use super::{next_number, read_u64};
use crate::model::Event;

/// How many events of an application are kept, the newest ones: of a hundred
/// replicas that restart again and again each is told of ten times.
pub const EVENTS_KEPT: u64 = 1000;

const COLUMNS: &str =
    "number, app, namespace, warning, object, name, reason, message, times, first_ms, last_ms";

/// What is to be written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happened<'a> {
    /// Whose application.
    pub owner: &'a AccountId,
    /// Which.
    pub application: &'a ApplicationId,
    /// The namespace of that.
    pub namespace: &'a str,
    /// Whether somebody should look.
    pub warning: bool,
    /// What kind of thing it happened to.
    pub object: &'a str,
    /// The id of that.
    pub name: &'a str,
    /// What happened, in one word.
    pub reason: &'a str,
    /// What happened, for people.
    pub message: &'a str,
    /// When.
    pub at: Timestamp,
}

/// Which events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// In this namespace.
    pub namespace: Option<String>,
    /// Of this application.
    pub application: Option<ApplicationId>,
    /// Only those somebody should look at, or only the others.
    pub warning: Option<bool>,
    /// Of this kind of thing.
    pub object: Option<String>,
    /// Of the thing with this id.
    pub name: Option<String>,
    /// With this reason.
    pub reason: Option<String>,
}

/// Writes down what happened. When the same happened last to the same thing, it
/// is counted; the oldest beyond [`EVENTS_KEPT`] is forgotten.
pub fn record_event(tx: &mut dyn Tx, happened: &Happened<'_>) -> Result<(), Error> {
    let last = query_one(
        tx,
        "SELECT number, object, name, reason, message FROM app_events WHERE app = $1 \
         ORDER BY number DESC LIMIT 1",
        params![happened.application.as_str()],
    )?;
    if let Some(row) = last {
        let told = [
            happened.object,
            happened.name,
            happened.reason,
            happened.message,
        ];
        let mut same = true;
        for (column, text) in (1..).zip(told) {
            same &= row.text(column)? == text;
        }
        if same {
            tx.execute(
                "UPDATE app_events SET times = times + 1, last_ms = $2 WHERE number = $1",
                params![row.get::<i64>(0)?, happened.at.0],
            )?;
            return Ok(());
        }
    }
    let number = next_number(tx, "event")?;
    tx.execute(
        "INSERT INTO app_events (number, owner, app, namespace, warning, object, name, reason, \
         message, times, first_ms, last_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 1, $10, $10)",
        params![
            number.cast_signed(),
            happened.owner.as_str(),
            happened.application.as_str(),
            happened.namespace,
            i64::from(happened.warning),
            happened.object,
            happened.name,
            happened.reason,
            happened.message,
            happened.at.0
        ],
    )?;
    tx.execute(
        "DELETE FROM app_events WHERE app = $1 AND number <= (SELECT e.number FROM app_events e \
         WHERE e.app = $1 ORDER BY e.number DESC LIMIT 1 OFFSET $2)",
        params![happened.application.as_str(), EVENTS_KEPT.cast_signed()],
    )?;
    Ok(())
}

/// One page of what happened to an owner's applications, newest first, and how
/// many match.
pub fn list_events(
    tx: &mut dyn Tx,
    owner: &AccountId,
    filter: &EventFilter,
    page: Page,
) -> Result<(u64, Vec<Event>), Error> {
    let mut w = Conditions::new("owner", owner.as_str());
    w.is("namespace", filter.namespace.as_deref());
    w.is(
        "app",
        filter.application.as_ref().map(ApplicationId::as_str),
    );
    w.is("warning", filter.warning.map(i64::from));
    w.is("object", filter.object.as_deref());
    w.is("name", filter.name.as_deref());
    w.is("reason", filter.reason.as_deref());
    paged(
        tx,
        COLUMNS,
        "app_events",
        w,
        "number DESC",
        page,
        read_event,
    )
}

fn read_event(row: &Row) -> Result<Event, Error> {
    Ok(Event {
        number: read_u64(row, 0)?,
        application: row.parse(1, |t| t.parse().ok())?,
        namespace: row.get(2)?,
        warning: row.get(3)?,
        object: row.get(4)?,
        name: row.get(5)?,
        reason: row.get(6)?,
        message: row.get(7)?,
        count: read_u64(row, 8)?,
        first: Timestamp(row.get(9)?),
        last: Timestamp(row.get(10)?),
    })
}
