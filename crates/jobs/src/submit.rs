//! Submitting a job, inside a product's own transaction.

use backout_core::code::Code;
use backout_core::ids::{AccountId, JobId, RequestId};
use backout_core::plan::Plan;
use backout_core::time::Timestamp;
use backout_store::{Error as StoreError, Tx, params, query_one};

use crate::model::EventKind;
use crate::persistence::{NEVER_MS, NewEvent, add_event, cut, for_update, request_cancel};
use crate::procedure::Input;

/// How many resources one job may claim. A rollback set of a whole system has
/// some dozens; each costs a statement in the transaction of the call.
pub const MAX_CLAIMS: usize = 1_024;

/// How often a claim is tried while its holder changes under our eyes. Each
/// time is one job that ended in that very instant.
const CLAIM_TRIES: usize = 8;

/// What makes two submissions the same call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// Chosen by the caller, unique within its account.
    pub key: String,
    /// A digest of what was asked, as text.
    pub hash: String,
}

/// Who calls a product, on whose resources, under which request id.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The account that signed the call.
    pub account: AccountId,
    /// The account whose resources it works on.
    pub owner: AccountId,
    /// The id of the call.
    pub request: RequestId,
    /// The caller's idempotency key and a hash of its request.
    pub idempotency: Option<Idempotency>,
}

/// A job to be.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// Its id, drawn by the product (which may store it in its own rows).
    pub id: JobId,
    /// The name of a registered procedure.
    pub procedure: String,
    /// One line for people.
    pub title: String,
    /// On whose behalf it runs.
    pub account: AccountId,
    /// The call that makes it.
    pub request: RequestId,
    /// The node whose workers run it.
    pub node: String,
    /// The resource it is listed under, e.g. `server/lhins-k31c771o`.
    pub resource: String,
    /// The resources it holds until it ends. Order and repetition do not
    /// matter.
    pub claims: Vec<String>,
    /// What its steps are told.
    pub input: Input,
    /// What it will do.
    pub plan: Plan,
    /// The job that this one takes back.
    pub undo_of: Option<JobId>,
    /// When the call may be repeated without making a second job.
    pub idempotency: Option<Idempotency>,
    /// Whether its claims yield to jobs that are not background.
    pub background: bool,
    /// The present instant.
    pub now: Timestamp,
}

/// A job that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// Its id: that of the earlier job when the call was a repetition.
    pub id: JobId,
    /// Whether an earlier call with the same idempotency key had made it.
    /// Nothing was written then, and the product should write nothing either.
    pub repeated: bool,
    /// The background jobs that were asked to yield to it.
    pub waits_for: Vec<JobId>,
}

/// Why a job was not accepted. The transaction must end with an error.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// Another job holds one of the resources.
    #[error(
        "claim {resource}: job {job} holds it; wait for it, see \"backout jobs show {job}\", or cancel it"
    )]
    Busy {
        /// The resource.
        resource: String,
        /// The job that holds it, or is next to hold it.
        job: JobId,
    },
    /// The same idempotency key came with another request.
    #[error(
        "repeat a call: the idempotency key was used for another request, which made job {job}; use a new key"
    )]
    IdempotencyMismatch {
        /// The job that the earlier call made.
        job: JobId,
    },
    /// More resources than one job may claim.
    #[error("claim {given} resources: one job may claim {MAX_CLAIMS}; split the request")]
    TooManyClaims {
        /// How many were asked for.
        given: usize,
    },
    /// The store could not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl SubmitError {
    /// Our stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Busy { .. } => Code::ResourceBusy,
            Self::IdempotencyMismatch { .. } => Code::IdempotencyMismatch,
            Self::TooManyClaims { .. } => Code::BadRequest,
            Self::Store(_) => Code::Store,
        }
    }
}

/// Writes the job, its claims and its first event. After the transaction is
/// durable, call [`Jobs::wake`](crate::Jobs::wake) so that a worker in this
/// process takes it at once; others find it when they poll.
///
/// # Errors
/// [`SubmitError`]. Part of the job may be written then: the whole unit of work
/// must return `Err`.
pub fn submit(tx: &mut dyn Tx, new: &NewJob) -> Result<Submitted, SubmitError> {
    let mut claims = new.claims.clone();
    // One order for all, so that two jobs cannot wait for each other.
    claims.sort_unstable();
    claims.dedup();
    if claims.len() > MAX_CLAIMS {
        return Err(SubmitError::TooManyClaims {
            given: claims.len(),
        });
    }
    if let Some(earlier) = find_repeated(tx, new)? {
        return Ok(earlier);
    }
    if !insert(tx, new)? {
        // Somebody was faster with the same key; their job is visible now.
        return find_repeated(tx, new)?.ok_or_else(|| {
            StoreError::Contended("a call with the same idempotency key is under way".into()).into()
        });
    }
    let mut waits_for = Vec::new();
    for resource in &claims {
        if let Some(holder) = claim(tx, new, resource)? {
            waits_for.push(holder);
        }
    }
    waits_for.sort_unstable();
    waits_for.dedup();
    let words = if waits_for.is_empty() {
        "queued"
    } else {
        tx.execute(
            "UPDATE jobs SET next_run_ms = $2, words = 'waits for background work to yield' WHERE id = $1",
            params![new.id.as_str(), NEVER_MS],
        )?;
        "queued behind background work, which was asked to yield"
    };
    add_event(
        tx,
        &new.id,
        1,
        new.now,
        &NewEvent::of(EventKind::Queued, words),
    )?;
    Ok(Submitted {
        id: new.id.clone(),
        repeated: false,
        waits_for,
    })
}

/// The job that an earlier call with the same key made. A product asks before
/// its preflight, which would find the earlier job in the way.
///
/// # Errors
/// [`SubmitError::IdempotencyMismatch`] when that call asked for something else.
pub fn earlier(
    tx: &mut dyn Tx,
    account: &AccountId,
    idempotency: &Idempotency,
) -> Result<Option<JobId>, SubmitError> {
    let Some(row) = query_one(
        tx,
        "SELECT id, idem_hash FROM jobs WHERE account = $1 AND idem_key = $2",
        params![account.as_str(), idempotency.key.as_str()],
    )?
    else {
        return Ok(None);
    };
    let job: JobId = row.parse(0, |t| t.parse().ok())?;
    if row.get::<Option<String>>(1)?.as_deref() != Some(idempotency.hash.as_str()) {
        return Err(SubmitError::IdempotencyMismatch { job });
    }
    Ok(Some(job))
}

/// The first job that the call `request` made, of those that there are at this
/// moment.
///
/// # Errors
/// The store's.
pub fn of_request(tx: &mut dyn Tx, request: &RequestId) -> Result<Option<JobId>, StoreError> {
    query_one(
        tx,
        "SELECT id FROM jobs WHERE request_id = $1 ORDER BY created_ms, id LIMIT 1",
        params![request.0.as_str()],
    )?
    .map(|row| row.parse(0, |t| t.parse().ok()))
    .transpose()
}

fn find_repeated(tx: &mut dyn Tx, new: &NewJob) -> Result<Option<Submitted>, SubmitError> {
    let Some(idempotency) = &new.idempotency else {
        return Ok(None);
    };
    let found = earlier(tx, &new.account, idempotency)?;
    Ok(found.map(|id| Submitted {
        id,
        repeated: true,
        waits_for: Vec::new(),
    }))
}

/// `false` when the idempotency key was taken in the meantime.
fn insert(tx: &mut dyn Tx, new: &NewJob) -> Result<bool, StoreError> {
    let input = new.input.to_string();
    let plan = serde_json::to_string(&new.plan)
        .map_err(|e| StoreError::Statement(format!("write a plan as JSON: {e}")))?;
    let inserted = tx.execute(
        "INSERT INTO jobs (id, procedure, title, account, request_id, node, resource, input, plan, \
           background, undo_of, idem_key, idem_hash, state, direction, cancel_requested, no_return, fence, \
           next_run_ms, attempts, percent, words, event_seq, created_ms) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 'queued', 'forward', 0, 0, 0, \
           $14, 0, 0, 'queued', 1, $14) \
         ON CONFLICT (account, idem_key) DO NOTHING",
        params![
            new.id.as_str(),
            new.procedure.as_str(),
            cut(&new.title),
            new.account.as_str(),
            new.request.0.as_str(),
            new.node.as_str(),
            new.resource.as_str(),
            input,
            plan,
            new.background,
            new.undo_of.as_ref().map(|j| j.as_str().to_owned()),
            new.idempotency.as_ref().map(|i| i.key.clone()),
            new.idempotency.as_ref().map(|i| i.hash.clone()),
            new.now.0
        ],
    )?;
    Ok(inserted == 1)
}

/// Takes one claim, or a place behind the background job that has it: then that
/// job is returned.
fn claim(tx: &mut dyn Tx, new: &NewJob, resource: &str) -> Result<Option<JobId>, SubmitError> {
    for _ in 0..CLAIM_TRIES {
        // Not a plain INSERT: when that fails, PostgreSQL gives up the whole
        // transaction, and the holder could not be told.
        if tx.execute(
            "INSERT INTO claims (resource, job, background) VALUES ($1, $2, $3) \
             ON CONFLICT (resource) DO NOTHING",
            params![resource, new.id.as_str(), new.background],
        )? == 1
        {
            return Ok(None);
        }
        let lock = for_update(tx.dialect());
        let Some(row) = query_one(
            tx,
            &format!("SELECT job, background, successor FROM claims WHERE resource = $1{lock}"),
            params![resource],
        )?
        else {
            // Released between the two statements.
            continue;
        };
        let holder: JobId = row.parse(0, |t| t.parse().ok())?;
        let yields: bool = row.get(1)?;
        let successor = crate::persistence::optional(&row, 2, |t| t.parse::<JobId>().ok())?;
        let busy = |job: JobId| SubmitError::Busy {
            resource: resource.to_owned(),
            job,
        };
        if let Some(successor) = successor {
            return Err(busy(successor));
        }
        if new.background || !yields || is_held(tx, &holder)? {
            return Err(busy(holder));
        }
        tx.execute(
            "UPDATE claims SET successor = $2 WHERE resource = $1",
            params![resource, new.id.as_str()],
        )?;
        request_cancel(tx, &holder, new.now, "yields to a job that was asked for")?;
        return Ok(Some(holder));
    }
    Err(StoreError::Contended(format!("the claim on {resource} keeps changing hands")).into())
}

/// A Held job moves only when a person acts: waiting for it would be silent and
/// without end.
fn is_held(tx: &mut dyn Tx, job: &JobId) -> Result<bool, StoreError> {
    let row = query_one(
        tx,
        "SELECT 1 FROM jobs WHERE id = $1 AND outcome = 'held'",
        params![job.as_str()],
    )?;
    Ok(row.is_some())
}
