//! What native calls say and are told, as JSON.
//!
//! Instants are `YYYY-MM-DDThh:mm:ssZ`, sizes are bytes, unknown members of a
//! request are refused.

use backout_core::code::Code;
use backout_core::ids::JobId;
use backout_core::plan::{Estimate, Finding, Plan, Preflight};
use backout_core::time::Timestamp;
use backout_jobs::{EventView, JobError, JobView, StepView};
use backout_servers::model;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

mod apps;
mod databases;
mod engines;
mod servers;

pub use apps::*;
pub use databases::*;
pub use engines::*;
pub use servers::*;

/// The one page of a list.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct List<T> {
    /// What there is on this page.
    pub items: Vec<T>,
    /// Where the next page begins; null on the last one.
    #[schema(required)]
    pub next: Option<String>,
}

/// A free label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Tag {
    /// Its key, unique for a resource.
    pub key: String,
    /// Its value.
    pub value: String,
}

impl From<model::Tag> for Tag {
    fn from(t: model::Tag) -> Self {
        Self {
            key: t.key,
            value: t.value,
        }
    }
}

impl From<Tag> for model::Tag {
    fn from(t: Tag) -> Self {
        Self {
            key: t.key,
            value: t.value,
        }
    }
}

/// A job that was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Accepted {
    /// Its id.
    #[schema(example = "job_0a1b2c3d4e5f6g7h")]
    pub job: String,
}

impl From<JobId> for Accepted {
    fn from(job: JobId) -> Self {
        Self {
            job: job.to_string(),
        }
    }
}

/// What to take back, and to where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RollbackTo {
    /// `server/NAME`, `disk/NAME`, one of the two with an id, or just the name
    /// of a server.
    #[schema(example = "server/web")]
    pub resource: String,
    /// The id or the name of a snapshot.
    pub to: String,
}

/// One reason why not, or one thing to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Note {
    /// Our stable code.
    #[schema(example = "BO0021")]
    pub code: String,
    /// What the code means.
    pub title: String,
    /// A fragment that fits "failed to ...", with what to do next.
    pub message: String,
}

impl Note {
    pub(super) fn of(code: Code, message: String) -> Self {
        Self {
            code: code.as_str().into(),
            title: code.title().into(),
            message,
        }
    }
}

impl From<Finding> for Note {
    fn from(f: Finding) -> Self {
        Self::of(f.code, f.message)
    }
}

impl From<JobError> for Note {
    fn from(e: JobError) -> Self {
        Self::of(e.code, e.message)
    }
}

/// What an operation will cost; null is unknown, never zero.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Cost {
    /// Bytes that will be copied.
    #[schema(required)]
    pub copy_bytes: Option<u64>,
    /// Bytes of disk space it will take.
    #[schema(required)]
    pub space_bytes: Option<u64>,
    /// Whether its time is independent of the size of what is rolled back.
    pub constant_time: bool,
}

impl From<Estimate> for Cost {
    fn from(e: Estimate) -> Self {
        Self {
            copy_bytes: e.copy_bytes,
            space_bytes: e.space_bytes,
            constant_time: e.constant_time,
        }
    }
}

/// Every reason why an operation cannot run, and what is worth knowing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Judgement {
    /// What stands in the way; empty when it may run.
    pub blockers: Vec<Note>,
    /// What does not, but should be known.
    pub warnings: Vec<Note>,
    /// What it will cost.
    pub estimate: Cost,
}

impl From<Preflight> for Judgement {
    fn from(p: Preflight) -> Self {
        Self {
            blockers: p.blockers.into_iter().map(Into::into).collect(),
            warnings: p.warnings.into_iter().map(Into::into).collect(),
            estimate: p.estimate.into(),
        }
    }
}

/// One step that would run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PlannedStep {
    /// Its name.
    pub name: String,
    /// What it will do.
    pub does: String,
    /// How it is taken back; null where nothing need be.
    #[schema(required)]
    pub undo: Option<String>,
}

/// The steps that would run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PlanView {
    /// The kind of job.
    pub procedure: String,
    /// One line for people.
    pub title: String,
    /// What it will hold while it runs.
    pub claims: Vec<String>,
    /// The steps, in order.
    pub steps: Vec<PlannedStep>,
}

impl From<Plan> for PlanView {
    fn from(p: Plan) -> Self {
        Self {
            procedure: p.procedure,
            title: p.title,
            claims: p.claims,
            steps: p
                .steps
                .into_iter()
                .map(|s| PlannedStep {
                    name: s.name,
                    does: s.does,
                    undo: s.undo,
                })
                .collect(),
        }
    }
}

/// Whether a rollback may run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Checked {
    /// Whether nothing stands in the way.
    pub passed: bool,
    /// What does, and what to know.
    pub preflight: Judgement,
}

/// Whether a rollback may run, and what it would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Planned {
    /// Whether nothing stands in the way.
    pub passed: bool,
    /// What does, and what to know.
    pub preflight: Judgement,
    /// The steps.
    pub plan: PlanView,
}

/// A job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Job {
    /// Its id.
    pub id: String,
    /// The kind of job.
    pub procedure: String,
    /// One line for people.
    pub title: String,
    /// What it works on.
    pub resource: String,
    /// `queued`, `running` or `done`.
    pub state: String,
    /// `applied`, `reverted` or `held`; null while it is not done.
    #[schema(required)]
    pub outcome: Option<String>,
    /// `forward` or `undoing`.
    pub direction: String,
    /// Whether somebody asked to cancel it.
    pub cancel_requested: bool,
    /// How far it is, 0 to 100; falls while it is undone.
    pub percent: u8,
    /// The step it is in, or ended in.
    #[schema(required)]
    pub step: Option<String>,
    /// What it is doing, in a few words.
    pub words: String,
    /// Failed attempts at the present step.
    pub attempts: i64,
    /// Why it failed or was cancelled.
    #[schema(required)]
    pub error: Option<Note>,
    /// Why it is held.
    #[schema(required)]
    pub held: Option<Note>,
    /// What to type next, when it is held.
    #[schema(required)]
    pub next_command: Option<String>,
    /// The job that this one takes back.
    #[schema(required)]
    pub undo_of: Option<String>,
    /// The job that takes this one back.
    #[schema(required)]
    pub undone_by: Option<String>,
    /// On whose resources it works.
    pub account: String,
    /// The call that made it.
    pub request_id: String,
    /// The host whose workers run it.
    pub node: String,
    /// When it was submitted.
    pub created: String,
    /// When a worker first took it.
    #[schema(required)]
    pub started: Option<String>,
    /// When it ended.
    #[schema(required)]
    pub ended: Option<String>,
    /// Its steps; only where a single job is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<Vec<Step>>,
}

fn instant(t: Option<Timestamp>) -> Option<String> {
    t.map(Timestamp::iso8601)
}

impl From<JobView> for Job {
    fn from(j: JobView) -> Self {
        Self {
            id: j.id.to_string(),
            procedure: j.procedure,
            title: j.title,
            resource: j.resource,
            state: j.state.as_str().into(),
            outcome: j.outcome.map(|o| o.as_str().into()),
            direction: j.direction.as_str().into(),
            cancel_requested: j.cancel_requested,
            percent: j.percent,
            step: j.step,
            words: j.words,
            attempts: j.attempts,
            error: j.error.map(Into::into),
            held: j.held.map(Into::into),
            next_command: j.next_command,
            undo_of: j.undo_of.map(|id| id.to_string()),
            undone_by: j.undone_by.map(|id| id.to_string()),
            account: j.account.to_string(),
            request_id: j.request.0,
            node: j.node,
            created: j.created.iso8601(),
            started: instant(j.started),
            ended: instant(j.ended),
            steps: None,
        }
    }
}

/// One step of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// What it does.
    pub does: String,
    /// How it is taken back.
    #[schema(required)]
    pub undo: Option<String>,
    /// `pending`, `running`, `done`, `undoing` or `undone`.
    pub state: String,
    /// When it was first begun.
    #[schema(required)]
    pub started: Option<String>,
    /// When it was done.
    #[schema(required)]
    pub ended: Option<String>,
    /// When its undo was first begun.
    #[schema(required)]
    pub undo_started: Option<String>,
    /// When its undo was done.
    #[schema(required)]
    pub undo_ended: Option<String>,
    /// How often it was begun, its undo included.
    pub tries: i64,
}

impl From<StepView> for Step {
    fn from(s: StepView) -> Self {
        use backout_jobs::StepState;
        Self {
            name: s.name,
            does: s.does,
            undo: s.undo,
            state: match s.state {
                StepState::Pending => "pending",
                StepState::Running => "running",
                StepState::Done => "done",
                StepState::Undoing => "undoing",
                StepState::Undone => "undone",
            }
            .into(),
            started: instant(s.started),
            ended: instant(s.ended),
            undo_started: instant(s.undo_started),
            undo_ended: instant(s.undo_ended),
            tries: s.tries,
        }
    }
}

/// One thing that happened to a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Event {
    /// Grows within a job; there may be gaps.
    pub seq: i64,
    /// When.
    pub at: String,
    /// `queued`, `started`, `resumed`, `step_started`, `step_finished`,
    /// `progress`, `retrying`, `cancel_requested`, `undoing`, `applied`,
    /// `reverted`, `held` or `retry_requested`.
    pub kind: String,
    /// In which step.
    #[schema(required)]
    pub step: Option<String>,
    /// Whether it is about the step's undo.
    pub undo: bool,
    /// How far the step is.
    #[schema(required)]
    pub percent: Option<u8>,
    /// A few words.
    pub words: String,
}

impl From<EventView> for Event {
    fn from(e: EventView) -> Self {
        Self {
            seq: e.seq,
            at: e.at.iso8601(),
            kind: e.kind.as_str().into(),
            step: e.step,
            undo: e.undo,
            percent: e.percent,
            words: e.words,
        }
    }
}

/// An account.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Account {
    /// Its id.
    #[schema(example = "acct_0a1b2c3d4e5f")]
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whose resources it acts on, when these are not its own.
    #[schema(required)]
    pub parent: Option<String>,
    /// Its policy; null where it has full rights over its own resources.
    #[schema(required, value_type = Option<Object>)]
    pub policy: Option<serde_json::Value>,
    /// Whether it manages all accounts.
    pub is_admin: bool,
    /// Whether none of its keys is accepted.
    pub disabled: bool,
    /// When it was created.
    pub created: String,
    /// Its keys; only where a single account is asked for, and the caller may
    /// list them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys: Option<Vec<Key>>,
}

impl From<backout_accounts::Account> for Account {
    fn from(a: backout_accounts::Account) -> Self {
        Self {
            id: a.id.to_string(),
            name: a.name,
            parent: a.parent.map(|p| p.to_string()),
            // What is stored was parsed as a policy, so it is JSON.
            policy: a.policy.and_then(|text| serde_json::from_str(&text).ok()),
            is_admin: a.is_admin,
            disabled: a.disabled,
            created: a.created.iso8601(),
            keys: None,
        }
    }
}

/// A key, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Key {
    /// Its public id.
    pub secret_id: String,
    /// `permanent` or `temporary`.
    pub kind: String,
    /// `active` or `disabled`.
    pub status: String,
    /// When a temporary key expires.
    #[schema(required)]
    pub expires: Option<String>,
    /// When it was made.
    pub created: String,
}

impl From<backout_accounts::KeyInfo> for Key {
    fn from(k: backout_accounts::KeyInfo) -> Self {
        use backout_accounts::{KeyKind, KeyStatus};
        Self {
            secret_id: k.secret_id,
            kind: match k.kind {
                KeyKind::Permanent => "permanent",
                KeyKind::Temporary => "temporary",
            }
            .into(),
            status: match k.status {
                KeyStatus::Active => "active",
                KeyStatus::Disabled => "disabled",
            }
            .into(),
            expires: instant(k.expires),
            created: k.created.iso8601(),
        }
    }
}

/// A new key. Its secrets are shown this once.
#[derive(Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct NewKey {
    /// The public id.
    pub secret_id: String,
    /// What requests are signed with.
    pub secret_key: String,
    /// What a temporary key must be sent with, as `X-TC-Token`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// When a temporary key expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
}

impl std::fmt::Debug for NewKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewKey")
            .field("secret_id", &self.secret_id)
            .finish_non_exhaustive()
    }
}

impl From<backout_accounts::KeyPair> for NewKey {
    fn from(k: backout_accounts::KeyPair) -> Self {
        Self {
            secret_id: k.secret_id,
            secret_key: k.secret_key.expose().to_owned(),
            token: k.token.map(|t| t.expose().to_owned()),
            expires: instant(k.expires),
        }
    }
}

/// An account to create.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateAccount {
    /// Its name, unique among all accounts.
    pub name: String,
    /// What bounds it: then it is a sub-account of the caller. Without one it
    /// has resources of its own, and only `admin` may create it.
    // Kept as it was written: a member that comes twice must not be lost before
    // the policy is judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub policy: Option<Box<RawValue>>,
}

/// A new account with its first key.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct CreatedAccount {
    /// The account.
    pub account: Account,
    /// Its key, shown this once.
    pub key: NewKey,
}

/// What to do with a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetKeyStatus {
    /// `active` or `disabled`.
    pub status: Status,
}

/// What to do with an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetAccountStatus {
    /// `active`, or `disabled`: none of its keys is accepted, nor those of its
    /// sub-accounts.
    pub status: Status,
}

/// Whether a key, or an account, is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It is accepted.
    Active,
    /// It is not.
    Disabled,
}

/// A temporary key to issue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IssueToken {
    /// How long it lives: 900 to 129600.
    pub seconds: i64,
}

/// What one call wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AuditLine {
    /// When it was decided.
    pub at: String,
    /// Who called.
    pub account: String,
    /// The action, as policies name it.
    pub action: String,
    /// What it was about.
    pub resource: String,
    /// The code of the refusal; null when it was let through.
    #[schema(required)]
    pub refused: Option<String>,
    /// The job that it made.
    #[schema(required)]
    pub job: Option<String>,
}

impl From<crate::audit::Line> for AuditLine {
    fn from(l: crate::audit::Line) -> Self {
        Self {
            at: l.at.iso8601(),
            account: l.account.to_string(),
            action: l.action,
            resource: l.resource,
            refused: l.refused,
            job: l.job.map(|j| j.to_string()),
        }
    }
}

/// One answer, in the request log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RequestLine {
    /// When it was answered.
    pub at: String,
    /// The id that the answer carried.
    pub request_id: String,
    /// Who called, once that is certain.
    #[schema(required)]
    pub account: Option<String>,
    /// The protocol: `native`, `tc3`, ...
    pub surface: String,
    /// What was asked, once it is known.
    #[schema(required)]
    pub action: Option<String>,
    /// The code of the refusal; null when it succeeded.
    #[schema(required)]
    pub code: Option<String>,
    /// The HTTP status.
    pub status: u16,
    /// How long it took, in microseconds.
    pub duration_us: u64,
    /// The address it came from.
    pub peer: String,
}

/// What is known of a request id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct RequestView {
    /// The id.
    pub request_id: String,
    /// The job that the call made.
    #[schema(required)]
    pub job: Option<Job>,
    /// What it wanted to change.
    pub audit: Vec<AuditLine>,
    /// How it was answered; null when the log no longer has it.
    #[schema(required)]
    pub answer: Option<RequestLine>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Check {
    /// What.
    pub name: String,
    /// How it is.
    pub status: Health,
    /// What was found.
    pub message: String,
    /// What to do, unless it is well.
    #[schema(required)]
    pub fix: Option<String>,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Well.
    Ok,
    /// It works, but could be better.
    Warn,
    /// It does not work.
    Fail,
}

/// What this host can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Doctor {
    /// The version of Backout.
    pub version: String,
    /// The name of this host.
    pub node: String,
    /// Whether nothing failed.
    pub healthy: bool,
    /// What was looked at.
    pub checks: Vec<Check>,
}

/// A fault to ask for: of a call (`action` and `code`), or of a step (`step`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddFault {
    /// Which calls: an action as policies name it, with `*` and `?`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "lighthouse:ApplyInstanceSnapshot")]
    pub action: Option<String>,
    /// The code that those calls answer; one that their service has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "UnsupportedOperation.SystemBusy")]
    pub code: Option<String>,
    /// Which step, as PROCEDURE/STEP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "servers.apply_snapshot/swap")]
    pub step: Option<String>,
    /// The undo of the step rather than the step.
    #[serde(default)]
    pub undo: bool,
    /// Where in the step: `before_intent`, `after_intent`, `after_effect` or
    /// `after_record`; `after_intent`, where nothing is done yet, when it is
    /// left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moment: Option<String>,
    /// What the caller, or the job, is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Only calls that name this, or jobs on it: `server/NAME`, a name or an
    /// id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// How often, 1 to 1000000; without a limit when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// For how many seconds, 1 to 604800; without a limit when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u32>,
}

/// A fault that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Fault {
    /// Its id.
    pub id: String,
    /// `active`, `used_up` or `expired`.
    pub state: String,
    /// Which calls; null for a step.
    #[schema(required)]
    pub action: Option<String>,
    /// What they answer; null for a step.
    #[schema(required)]
    pub code: Option<String>,
    /// Which step, as PROCEDURE/STEP; null for calls.
    #[schema(required)]
    pub step: Option<String>,
    /// Whether it is the undo of the step that fails.
    pub undo: bool,
    /// Where in the step; null for calls.
    #[schema(required)]
    pub moment: Option<String>,
    /// What the caller, or the job, is told.
    pub message: String,
    /// The id that a call must name, or that a job must be on; null for any.
    #[schema(required)]
    pub resource: Option<String>,
    /// How often more; null without a limit.
    #[schema(required)]
    pub remaining: Option<u32>,
    /// Until when; null without a limit.
    #[schema(required)]
    pub until: Option<String>,
    /// How often it was used.
    pub hits: u64,
    /// When it was added.
    pub created: String,
}

impl Fault {
    /// The view of a rule at `now`.
    #[must_use]
    pub fn of(rule: backout_faults::Rule, now: Timestamp) -> Self {
        let state = rule.state(now).as_str().into();
        let (mut action, mut code, mut step, mut undo, mut moment) =
            (None, None, None, false, None);
        match rule.what {
            backout_faults::What::Call { action: a, code: c } => {
                action = Some(a);
                code = Some(c);
            }
            backout_faults::What::Step {
                procedure,
                step: name,
                undo: taken_back,
                moment: at,
            } => {
                step = Some(format!("{procedure}/{name}"));
                undo = taken_back;
                moment = Some(at.as_str().into());
            }
        }
        Self {
            id: rule.id.to_string(),
            state,
            action,
            code,
            step,
            undo,
            moment,
            message: rule.message,
            resource: rule.resource,
            remaining: rule.remaining,
            until: rule.until.map(Timestamp::iso8601),
            hits: rule.hits,
            created: rule.created.iso8601(),
        }
    }
}

/// What was taken away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ClearedFaults {
    /// How many faults.
    pub removed: u64,
}

/// Which Backout this is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Version {
    /// `backout`.
    pub name: String,
    /// The version.
    pub version: String,
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ErrorEnvelope {
    /// What was refused.
    pub error: ErrorView,
}

/// What was refused, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ErrorView {
    /// Our stable code.
    #[schema(example = "BO0006")]
    pub code: String,
    /// What the code means.
    #[schema(example = "no such resource")]
    pub title: String,
    /// A fragment that fits "failed to ...", with what to do next.
    pub message: String,
    /// The id of this call.
    pub request_id: String,
}
