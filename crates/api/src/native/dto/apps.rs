//! Applications, their versions, their replicas and the orders that change
//! them, as JSON.

use std::collections::BTreeMap;

use backout_apps::model::{self, ApprovalFor, Artifact, Size};
use backout_apps::scaling::ScalingRule;
use backout_rollout::{BatchStatus, Gate, Leg, Status as Machine, Why};
use backout_workloads::{Ask, Phase, Status as Running};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::{NativeError, Result as NativeResult};
use super::{Note, Tag};

/// A version in a few words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct VersionBrief {
    /// Its id.
    pub id: String,
    /// From 1 on, in the order in which they were made; null for one that is
    /// forgotten.
    #[schema(required)]
    pub number: Option<u64>,
    /// What who deployed it called it.
    pub label: String,
}

impl VersionBrief {
    /// A version that is there.
    #[must_use]
    pub fn of(version: &model::Version) -> Self {
        Self {
            id: version.id.to_string(),
            number: Some(version.number),
            label: version.label.clone(),
        }
    }

    /// One of which only the id is known any more.
    #[must_use]
    pub fn forgotten(id: &backout_core::ids::VersionId) -> Self {
        Self {
            id: id.to_string(),
            number: None,
            label: String::new(),
        }
    }
}

/// An order in a few words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct OrderBrief {
    /// Its id.
    pub id: String,
    /// What it does.
    pub kind: String,
    /// How it stands.
    pub standing: String,
}

impl From<&model::Order> for OrderBrief {
    fn from(o: &model::Order) -> Self {
        Self {
            id: o.id.to_string(),
            kind: o.kind.as_str().into(),
            standing: o.standing.as_str().into(),
        }
    }
}

/// An application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct App {
    /// Its id, the one that the clouds' calls take.
    #[schema(example = "017f39b8-dfa4-4e16-a84b-1dcee4b10000")]
    pub id: String,
    /// Its name, unique within its namespace.
    pub name: String,
    /// The namespace it is in.
    pub namespace: String,
    /// Free text.
    pub description: String,
    /// `running`, `stopped` or `deleting`: what it is meant to be doing.
    pub state: String,
    /// How many replicas it is to have when it runs.
    pub replicas: u32,
    /// How many of them can serve; null where that was not looked at.
    #[schema(required)]
    pub ready: Option<u32>,
    /// The version it was deployed or taken back to last; null before the first.
    #[schema(required)]
    pub version: Option<VersionBrief>,
    /// The port on which it is reached; null where it is not, or that was not
    /// looked at.
    #[schema(required)]
    pub port: Option<u16>,
    /// The order that changes it; null when none does.
    #[schema(required)]
    pub order: Option<OrderBrief>,
    /// The host that it runs on.
    pub node: String,
    /// Labels.
    pub tags: Vec<Tag>,
    /// When it was made.
    pub created: String,
}

impl App {
    /// An application; what else is known of it is null.
    #[must_use]
    pub fn of(a: model::Application) -> Self {
        Self {
            id: a.id.to_string(),
            name: a.name,
            namespace: a.namespace,
            description: a.description,
            state: a.state.as_str().into(),
            replicas: a.replicas,
            ready: None,
            version: a.version.as_ref().map(VersionBrief::forgotten),
            port: None,
            order: None,
            node: a.node,
            tags: a.tags.into_iter().map(tag).collect(),
            created: a.created.iso8601(),
        }
    }
}

fn tag(t: model::Tag) -> Tag {
    Tag {
        key: t.key,
        value: t.value,
    }
}

/// A version: a release as it was deployed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AppVersion {
    /// Its id.
    pub id: String,
    /// From 1 on, in the order in which they were made.
    pub number: u64,
    /// What who deployed it called it.
    pub label: String,
    /// Whether it is the one that the application was brought to last.
    pub current: bool,
    /// Why it must not be gone back to; null when it may be.
    #[schema(required)]
    pub barred: Option<String>,
    /// All that it is.
    pub release: ReleaseView,
    /// When it was made.
    pub created: String,
}

impl AppVersion {
    /// A version of an application whose present one is `current`.
    #[must_use]
    pub fn of(v: model::Version, current: Option<&backout_core::ids::VersionId>) -> Self {
        Self {
            current: current == Some(&v.id),
            id: v.id.to_string(),
            number: v.number,
            label: v.label,
            barred: v.barred,
            release: v.release.into(),
            created: v.created.iso8601(),
        }
    }
}

/// All that a version is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReleaseView {
    /// The package; null for an image.
    #[schema(required)]
    pub package: Option<PackageView>,
    /// The container image; null for a package.
    #[schema(required)]
    pub image: Option<String>,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// What else it is started with, and which version of that.
    pub components: BTreeMap<String, String>,
    /// The environment, but the secrets.
    pub env: BTreeMap<String, String>,
    /// Variables, and which secret each is.
    pub secrets: Vec<SecretUse>,
    /// Files that a replica finds.
    pub files: Vec<FileView>,
    /// How many replicas.
    pub replicas: u32,
    /// Processor time of each, in thousandths of one processor.
    #[schema(required)]
    pub cpu_millis: Option<u32>,
    /// Memory of each, in bytes.
    #[schema(required)]
    pub memory_bytes: Option<u64>,
    /// Whether it can serve.
    #[schema(required)]
    pub readiness: Option<ProbeDto>,
    /// Whether it lives.
    #[schema(required)]
    pub liveness: Option<ProbeDto>,
    /// Run after each start.
    #[schema(required)]
    pub after_start: Option<TaskDto>,
    /// Run before each stop.
    #[schema(required)]
    pub before_stop: Option<TaskDto>,
    /// How long a replica may take to stop, in milliseconds.
    pub grace_ms: u64,
    /// The port on which the application is reached.
    #[schema(required)]
    pub port: Option<u16>,
    /// How the number of replicas follows the load.
    #[schema(required)]
    pub scaling: Option<ScalingRuleView>,
}

impl From<model::Release> for ReleaseView {
    fn from(r: model::Release) -> Self {
        let (package, image) = match r.artifact {
            Artifact::Package {
                kind,
                origin,
                version,
                hash,
            } => {
                let package = PackageView {
                    kind: kind.as_str().into(),
                    origin,
                    version,
                    hash: hash.to_string(),
                };
                (Some(package), None)
            }
            Artifact::Image { name, .. } => (None, Some(name)),
        };
        let secrets = r.secrets.into_iter().map(|s| SecretUse {
            variable: s.variable,
            secret: s.secret,
            revision: s.revision,
        });
        let files = r.files.into_iter().map(|f| FileView {
            path: f.path,
            content: f.content,
            of: f
                .of
                .map(|(config_map, key)| ConfigMapKey { config_map, key }),
        });
        Self {
            package,
            image,
            command: r.command,
            components: r.components,
            env: r.env,
            secrets: secrets.collect(),
            files: files.collect(),
            replicas: r.replicas,
            cpu_millis: r.cpu_millis,
            memory_bytes: r.memory_bytes,
            readiness: r.readiness.map(Into::into),
            liveness: r.liveness.map(Into::into),
            after_start: r.after_start.map(Into::into),
            before_stop: r.before_stop.map(Into::into),
            grace_ms: r.grace_ms,
            port: r.port,
            scaling: r.scaling.map(Into::into),
        }
    }
}

/// A package that a version runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PackageView {
    /// `fat_jar`, `war`, `python_zip`, `php_zip` or `plain`.
    pub kind: String,
    /// Where it came from; it may be gone.
    pub origin: String,
    /// What it is called by those who build it.
    pub version: String,
    /// What is in it, as a SHA-256.
    pub hash: String,
}

/// A variable that is a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SecretUse {
    /// The variable.
    pub variable: String,
    /// The name of the secret.
    pub secret: String,
    /// Which of its values.
    pub revision: u64,
}

/// A file that a replica finds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FileView {
    /// Where.
    pub path: String,
    /// What is in it.
    pub content: String,
    /// The text of a config map that it was taken from.
    #[schema(required)]
    pub of: Option<ConfigMapKey>,
}

/// A text of a config map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfigMapKey {
    /// The number of the config map.
    pub config_map: u64,
    /// The key there.
    pub key: String,
}

/// A question that is asked of a replica again and again. One of `http`, `tcp`
/// and `exec`; port 0, or none, is the one that the replica listens on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProbeDto {
    /// The path that is to answer 200 to 399.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,
    /// Whether it takes a connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<bool>,
    /// A program that is to end with 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec: Option<Vec<String>>,
    /// The port that is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// How long to wait before the first one, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    /// From one to the next, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period_ms: Option<u64>,
    /// How long an answer may take, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// So many in a row must go wrong to count as failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failures: Option<u32>,
    /// So many in a row must go well to count as well again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successes: Option<u32>,
}

impl From<backout_workloads::Probe> for ProbeDto {
    fn from(p: backout_workloads::Probe) -> Self {
        let mut out = Self {
            delay_ms: Some(p.delay_ms),
            period_ms: Some(p.period_ms),
            timeout_ms: Some(p.timeout_ms),
            failures: Some(p.failures),
            successes: Some(p.successes),
            ..Self::default()
        };
        match p.ask {
            Ask::Http { port, path, .. } => {
                out.http = Some(path);
                out.port = Some(port);
            }
            Ask::Tcp { port } => {
                out.tcp = Some(true);
                out.port = Some(port);
            }
            Ask::Exec { argv } => out.exec = Some(argv),
        }
        out
    }
}

/// A small program that is run beside a replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskDto {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// When it is killed, in milliseconds.
    #[serde(default = "task_timeout_ms")]
    pub timeout_ms: u64,
}

/// As long as a replica has to stop when nothing is said.
const fn task_timeout_ms() -> u64 {
    30_000
}

impl From<backout_workloads::Task> for TaskDto {
    fn from(t: backout_workloads::Task) -> Self {
        Self {
            argv: t.argv,
            timeout_ms: t.timeout_ms,
        }
    }
}

impl From<TaskDto> for backout_workloads::Task {
    fn from(t: TaskDto) -> Self {
        Self {
            argv: t.argv,
            timeout_ms: t.timeout_ms,
        }
    }
}

/// A rule by which the number of replicas follows the clock or the load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ScalingRuleView {
    /// Its name, unique within the application.
    pub name: String,
    /// Whether it is on.
    pub enabled: bool,
    /// The rule as it was given: `timer`, `metric`, `least_ready`,
    /// `least_ready_percent`.
    #[schema(value_type = Object)]
    pub rule: serde_json::Value,
}

impl From<ScalingRule> for ScalingRuleView {
    fn from(r: ScalingRule) -> Self {
        // Flat texts and numbers: this does not fail.
        let mut rule = serde_json::to_value(&r).unwrap_or_default();
        if let Some(members) = rule.as_object_mut() {
            members.remove("name");
            members.remove("enabled");
            members.retain(|_, value| !value.is_null());
        }
        Self {
            name: r.name,
            enabled: r.enabled,
            rule,
        }
    }
}

/// One replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReplicaView {
    /// Its id.
    #[schema(example = "inst-0a1b2c3d4e5f6g7h")]
    pub id: String,
    /// What it runs.
    pub version: VersionBrief,
    /// `starting`, `ready`, `unready`, `waits`, `stopping`, `ended`, `lost`, or
    /// `unknown` when nobody can tell.
    pub phase: String,
    /// Why it is not ready, or how it ended, where that is known.
    #[schema(required)]
    pub why: Option<String>,
    /// Where it listens.
    #[schema(required)]
    pub address: Option<String>,
    /// Its process.
    #[schema(required)]
    pub pid: Option<u32>,
    /// Since when that runs.
    #[schema(required)]
    pub since: Option<String>,
    /// How often it was started again by itself.
    pub restarts: u64,
    /// What it takes now, in bytes.
    #[schema(required)]
    pub memory_bytes: Option<u64>,
    /// How often it was killed for want of memory.
    pub memory_kills: u64,
    /// Why its limits do not hold; null when they do, or there are none.
    #[schema(required)]
    pub limits_missing: Option<String>,
    /// When it was started first.
    pub created: String,
}

impl ReplicaView {
    /// A replica with what its driver tells of it.
    #[must_use]
    pub fn of(replica: &model::Replica, version: VersionBrief, status: Option<&Running>) -> Self {
        let mut out = Self {
            id: replica.id.to_string(),
            version,
            phase: "unknown".into(),
            why: None,
            address: None,
            pid: None,
            since: None,
            restarts: 0,
            memory_bytes: None,
            memory_kills: 0,
            limits_missing: None,
            created: replica.created.iso8601(),
        };
        let Some(s) = status else {
            return out;
        };
        let exit = match &s.phase {
            Phase::Waits { exit } | Phase::Ended { exit } => exit.as_ref().map(exit_text),
            _ => None,
        };
        out.phase = phase_word(&s.phase).into();
        out.why = s.why.clone().or(exit);
        out.address = s.address.map(|a| a.to_string());
        out.pid = s.pid;
        out.since = s.since_ms.map(instant);
        out.restarts = s.restarts;
        out.memory_bytes = s.memory_bytes;
        out.memory_kills = s.memory_kills;
        if let backout_workloads::Enforced::No { why } = &s.limits {
            out.limits_missing = Some(why.clone());
        }
        out
    }
}

fn instant(at_ms: u64) -> String {
    backout_core::time::Timestamp(at_ms.cast_signed()).iso8601()
}

const fn phase_word(phase: &Phase) -> &'static str {
    match phase {
        Phase::Starting => "starting",
        Phase::Ready => "ready",
        Phase::Unready => "unready",
        Phase::Waits { .. } => "waits",
        Phase::Stopping => "stopping",
        Phase::Ended { .. } => "ended",
        Phase::Lost => "lost",
    }
}

fn exit_text(exit: &backout_workloads::Exit) -> String {
    use backout_workloads::Exit;
    match exit {
        Exit::Code { code } => format!("it ended with exit code {code}"),
        Exit::Signal { signal } => format!("it was ended by signal {signal}"),
        Exit::NotStarted { why } => format!("it could not be started: {why}"),
    }
}

/// A change order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct OrderView {
    /// Its id, the one that the clouds' calls take.
    pub id: String,
    /// The application it changes.
    pub app: AppBrief,
    /// `create`, `deploy`, `rollback`, `start`, `stop`, `restart`,
    /// `restart_replicas`, `rescale`, `resize` or `delete`.
    pub kind: String,
    /// `waits_for_approval`, `approved`, `preparing`, `running`, `stuck`,
    /// `waits_for_confirm`, `waits_for_auto`, `succeeded`, `failed`, `aborted` or
    /// `broken`.
    pub standing: String,
    /// Whether it is over.
    pub over: bool,
    /// The version before.
    #[schema(required)]
    pub from: Option<VersionBrief>,
    /// The version after; null where that is no matter.
    #[schema(required)]
    pub to: Option<VersionBrief>,
    /// How many replicas there were to be before.
    pub replicas_before: u32,
    /// How many there are to be afterwards.
    pub replicas_after: u32,
    /// Free text.
    pub description: String,
    /// How many replicas stay ready the whole time.
    pub floor: u32,
    /// How many may run beyond the usual number.
    pub surge: u32,
    /// What stands between two batches.
    pub gate: GateView,
    /// Its batches: those of the way forward, then that of the way back.
    pub batches: Vec<BatchView>,
    /// How far it is; null before it begins.
    #[schema(required)]
    pub progress: Option<OrderProgress>,
    /// What it is stuck on.
    #[schema(required)]
    pub failure: Option<OrderFailure>,
    /// What it waits for.
    #[schema(required)]
    pub waits: Option<Waits>,
    /// That somebody must approve it, and who has.
    #[schema(required)]
    pub approval: Option<ApprovalView>,
    /// Why it failed.
    #[schema(required)]
    pub error: Option<Note>,
    /// The job that does it; null before it is approved.
    #[schema(required)]
    pub job: Option<String>,
    /// The order that it takes back.
    #[schema(required)]
    pub takes_back: Option<String>,
    /// The order that takes it back.
    #[schema(required)]
    pub taken_back_by: Option<String>,
    /// What can be said now: commands to copy.
    pub next_commands: Vec<String>,
    /// Id of the account that asked for it.
    pub operator: String,
    /// The call that asked for it.
    pub request_id: String,
    /// When it was asked for.
    pub created: String,
    /// When it was over.
    #[schema(required)]
    pub ended: Option<String>,
}

/// An application in a few words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AppBrief {
    /// Its id.
    pub id: String,
    /// Its name; null for one that is gone.
    #[schema(required)]
    pub name: Option<String>,
    /// The namespace it is in.
    pub namespace: String,
}

/// What stands between two batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct GateView {
    /// Whether each batch waits for a person's word.
    pub manual: bool,
    /// How long it waits otherwise, in seconds.
    pub wait_s: u32,
}

impl From<Gate> for GateView {
    fn from(g: Gate) -> Self {
        match g {
            Gate::Manual => Self {
                manual: true,
                wait_s: 0,
            },
            Gate::Auto { wait_s } => Self {
                manual: false,
                wait_s,
            },
        }
    }
}

/// One batch of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct BatchView {
    /// From 1 on, over the batches of its order.
    pub number: u32,
    /// The id under which the clouds' calls ask for it; null before the order
    /// begins.
    #[schema(required)]
    pub id: Option<String>,
    /// Whether it is the way back.
    pub back: bool,
    /// How many replicas it changes.
    pub replicas: u32,
    /// Whether it is the first, small one.
    pub gray: bool,
    /// `preparing`, `running`, `succeeded`, `failed`, `aborted`,
    /// `waits_for_confirm` or `waits_for_auto`.
    pub status: String,
    /// When it began.
    #[schema(required)]
    pub started: Option<String>,
    /// When it ended.
    #[schema(required)]
    pub ended: Option<String>,
    /// What becomes of its replicas.
    pub changes: Vec<ReplicaChange>,
}

/// What becomes of one replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReplicaChange {
    /// What goes.
    #[schema(required)]
    pub old: Option<String>,
    /// What comes.
    #[schema(required)]
    pub new: Option<String>,
    /// `preparing`, `running`, `succeeded`, `failed` or `aborted`.
    pub status: String,
}

/// The word for how a batch stands.
#[must_use]
pub const fn batch_word(status: BatchStatus) -> &'static str {
    match status {
        BatchStatus::Preparing => "preparing",
        BatchStatus::Running => "running",
        BatchStatus::Succeeded => "succeeded",
        BatchStatus::Failed => "failed",
        BatchStatus::Aborted => "aborted",
        BatchStatus::WaitsForConfirm => "waits_for_confirm",
        BatchStatus::WaitsForAuto => "waits_for_auto",
    }
}

/// How far an order is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct OrderProgress {
    /// The batch it is in, from 1 on.
    pub batch: u32,
    /// How many replicas can serve now.
    pub ready: u32,
    /// How many must.
    pub floor: u32,
    /// How many replicas are changed.
    pub done: u32,
    /// How many there are to change.
    pub total: u32,
    /// How many replicas were stopped before their requests were finished.
    pub cut_off: u32,
    /// Whether it goes back.
    pub back: bool,
    /// Whether it was told to end, and finishes what was begun.
    pub ending: bool,
}

impl From<&backout_rollout::Progress> for OrderProgress {
    fn from(p: &backout_rollout::Progress) -> Self {
        let most = u32::try_from(p.batches.len()).unwrap_or(u32::MAX);
        Self {
            batch: p.current.saturating_add(1).min(most),
            ready: p.ready,
            floor: p.floor,
            done: p.done,
            total: p.total,
            cut_off: p.cut_off,
            back: p.leg == Leg::Back,
            ending: p.status == Machine::Aborting,
        }
    }
}

/// What an order is stuck on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct OrderFailure {
    /// The replica; null where nothing moved any more.
    #[schema(required)]
    pub replica: Option<String>,
    /// `ended`, `not_ready`, `not_stopped` or `floor`.
    pub why: String,
    /// The same for people.
    pub message: String,
}

/// The word for why a batch failed, and the same for people.
#[must_use]
pub const fn why_words(why: Why) -> (&'static str, &'static str) {
    match why {
        Why::Ended => (
            "ended",
            "it ended again and again, and is not started any more",
        ),
        Why::NotReady => ("not_ready", "it was not ready in time"),
        Why::NotStopped => ("not_stopped", "it could not be stopped in time"),
        Why::Floor => (
            "floor",
            "too few replicas are ready to take another one away, and they do not come back",
        ),
    }
}

/// What an order waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Waits {
    /// `approval`, `confirm`, `time` or `word`: a batch failed, and a person must
    /// say how to go on.
    pub on: String,
    /// Until when, where that is known.
    #[schema(required)]
    pub until: Option<String>,
}

/// That an order must be approved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ApprovalView {
    /// The rule that asks for it.
    pub rule: String,
    /// Id of the account that approved it; null while it waits.
    #[schema(required)]
    pub by: Option<String>,
    /// When that was.
    #[schema(required)]
    pub at: Option<String>,
}

impl From<&model::Approval> for ApprovalView {
    fn from(a: &model::Approval) -> Self {
        Self {
            rule: a.rule.clone(),
            by: a.by.as_ref().map(|(who, _)| who.to_string()),
            at: a.by.as_ref().map(|(_, at)| at.iso8601()),
        }
    }
}

/// An order that was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AcceptedOrder {
    /// The order; null when an application was made without a version.
    #[schema(required)]
    pub order: Option<String>,
    /// The application.
    pub app: String,
    /// The version that was made, or gone back to; null where that is no matter.
    #[schema(required)]
    pub version: Option<String>,
    /// The job that does it; null while it waits for approval.
    #[schema(required)]
    pub job: Option<String>,
    /// Whether somebody must approve it first.
    pub needs_approval: bool,
}

/// Whether an order may run, and how it would be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PlannedOrder {
    /// Whether nothing stands in the way.
    pub passed: bool,
    /// What does, and what to know.
    pub preflight: OrderJudgement,
    /// The rule by which it would wait for approval; null when it would not.
    #[schema(required)]
    pub needs_approval: Option<String>,
    /// How it would be done; null when that cannot be told.
    #[schema(required)]
    pub plan: Option<OrderPlan>,
    /// The version that would run.
    #[schema(required)]
    pub to: Option<VersionBrief>,
    /// The version that runs.
    #[schema(required)]
    pub from: Option<VersionBrief>,
    /// What is another in the version that would run: `{what, from, to}`.
    pub differences: Vec<Difference>,
}

/// Every reason why an order cannot run, and what is worth knowing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct OrderJudgement {
    /// What stands in the way; empty when it may run.
    pub blockers: Vec<Note>,
    /// What does not, but should be known.
    pub warnings: Vec<Note>,
}

/// How an order would be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct OrderPlan {
    /// How many replicas there are to be afterwards.
    pub replicas: u32,
    /// How many stay ready the whole time.
    pub floor: u32,
    /// How many may run beyond the usual number.
    pub surge: u32,
    /// `quick`: all at once; or `paced`.
    pub road: String,
    /// What stands between two batches.
    pub gate: GateView,
    /// How many replicas each batch changes, and whether it is the gray one.
    pub batches: Vec<PlannedBatch>,
}

/// A batch of an order that would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PlannedBatch {
    /// How many replicas it changes.
    pub replicas: u32,
    /// Whether it is the first, small one.
    pub gray: bool,
}

/// One thing that is another in another version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Difference {
    /// What: `package`, `command`, `env PATH`, ...
    pub what: String,
    /// How it is now; null when it is not there.
    #[schema(required)]
    pub from: Option<String>,
    /// How it would be; null when it would not be there.
    #[schema(required)]
    pub to: Option<String>,
}

/// Something that happened to an application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AppEvent {
    /// From 1 on, in their order.
    pub number: u64,
    /// Id of the application.
    pub app: String,
    /// Whether somebody should look.
    pub warning: bool,
    /// `application`, `replica` or `order`.
    pub object: String,
    /// The id of that.
    pub name: String,
    /// What happened, in one word.
    pub reason: String,
    /// What happened, for people.
    pub message: String,
    /// How often.
    pub count: u64,
    /// When first.
    pub first: String,
    /// When last.
    pub last: String,
}

impl From<model::Event> for AppEvent {
    fn from(e: model::Event) -> Self {
        Self {
            number: e.number,
            app: e.application.to_string(),
            warning: e.warning,
            object: e.object,
            name: e.name,
            reason: e.reason,
            message: e.message,
            count: e.count,
            first: e.first.iso8601(),
            last: e.last.iso8601(),
        }
    }
}

/// A piece of a replica's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct LogPiece {
    /// The replica.
    pub replica: String,
    /// What was written. Bytes that are no UTF-8 are replaced.
    pub text: String,
    /// Whether something before this is gone.
    pub gap: bool,
}

/// A room for applications.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct NamespaceView {
    /// Its id.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Free text.
    pub description: String,
    /// When it was made.
    pub created: String,
}

impl From<model::Namespace> for NamespaceView {
    fn from(n: model::Namespace) -> Self {
        Self {
            id: n.id,
            name: n.name,
            description: n.description,
            created: n.created.iso8601(),
        }
    }
}

/// Makes a namespace.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateNamespace {
    /// Its id.
    pub id: String,
    /// What people call it; its id when it is left out.
    pub name: Option<String>,
    /// Free text.
    #[serde(default)]
    pub description: String,
}

/// Changes a namespace; what is left out stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeNamespace {
    /// What people call it.
    pub name: Option<String>,
    /// Free text.
    pub description: Option<String>,
}

/// Texts by key, of which releases mount files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ConfigMapView {
    /// Its number.
    pub number: u64,
    /// The namespace it is in.
    pub namespace: String,
    /// What people call it.
    pub name: String,
    /// The texts.
    pub entries: BTreeMap<String, String>,
    /// When it was made.
    pub created: String,
    /// When its texts were changed last.
    pub updated: String,
}

impl From<model::ConfigMap> for ConfigMapView {
    fn from(m: model::ConfigMap) -> Self {
        Self {
            number: m.number,
            namespace: m.namespace,
            name: m.name,
            entries: m.entries,
            created: m.created.iso8601(),
            updated: m.updated.iso8601(),
        }
    }
}

/// Makes a config map.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateConfigMap {
    /// What to call it.
    pub name: String,
    /// The texts.
    pub entries: BTreeMap<String, String>,
}

/// Gives a config map other texts.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetConfigMap {
    /// The texts: all of them.
    pub entries: BTreeMap<String, String>,
}

/// What is known of a secret; what it is, is not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SecretView {
    /// Its name.
    pub name: String,
    /// The namespace it is in.
    pub namespace: String,
    /// How often it was set.
    pub revision: u64,
    /// When it was set last.
    pub updated: String,
}

/// Sets a secret.
#[derive(Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetSecret {
    /// What it is.
    pub value: String,
}

impl std::fmt::Debug for SetSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SetSecret").finish_non_exhaustive()
    }
}

/// Switches a scaling rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SwitchScalingRule {
    /// Whether it is on.
    pub enabled: bool,
}

/// Marks a version as one not to go back to, or takes that off.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BarVersion {
    /// Why; null takes the mark off.
    pub barred: Option<String>,
}

/// Changes what is said about an application; what is left out stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeApp {
    /// Free text.
    pub description: Option<String>,
    /// Labels: all of them.
    pub tags: Option<Vec<Tag>>,
}

/// Where a package comes from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PackageAsk {
    /// An absolute path of this host, or an `http://` or `https://` URL.
    pub from: String,
    /// `fat_jar`, `war`, `python_zip`, `php_zip` or `plain`; left out, what its
    /// name says, else plain.
    pub kind: Option<String>,
    /// What it is called by those who build it; left out, a name is made.
    pub version: Option<String>,
}

/// What is in a file that a replica finds: `content`, or a text of a config map.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FileAsk {
    /// The text itself.
    pub content: Option<String>,
    /// A text of a config map, as it is now.
    pub of: Option<ConfigMapKey>,
}

/// A release. For the first version what is left out is not there; for a further
/// one it is as in the version before, a null takes it away, and in maps only
/// what is named is changed (RFC 7396, as far as it goes).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReleaseAsk {
    /// The package.
    pub package: Option<PackageAsk>,
    /// A container image, instead of a package.
    pub image: Option<String>,
    /// What is run: split as a shell would, run without one.
    pub command: Option<String>,
    /// The program and its arguments, instead of `command`.
    pub argv: Option<Vec<String>>,
    /// What else it is started with, e.g. `jdk`.
    #[serde(default)]
    pub components: BTreeMap<String, Option<String>>,
    /// Variables of its environment.
    #[serde(default)]
    pub env: BTreeMap<String, Option<String>>,
    /// Variables, and the name of the secret that each is.
    #[serde(default)]
    pub secrets: BTreeMap<String, Option<String>>,
    /// Files, by their paths.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, FileAsk>)]
    pub files: BTreeMap<String, Option<FileAsk>>,
    /// How many replicas; 1 when it was never said.
    pub replicas: Option<u32>,
    /// Processor time of each, in thousandths of one processor.
    #[serde(default, deserialize_with = "said")]
    #[schema(value_type = Option<u32>)]
    pub cpu_millis: Option<Option<u32>>,
    /// Memory of each, in bytes.
    #[serde(default, deserialize_with = "said")]
    #[schema(value_type = Option<u64>)]
    pub memory_bytes: Option<Option<u64>>,
    /// Whether it can serve. When it was never said and there is a port: whether
    /// it takes a connection.
    #[serde(default, deserialize_with = "said")]
    #[schema(value_type = Option<ProbeDto>)]
    pub readiness: Option<Option<ProbeDto>>,
    /// Whether it lives; one that does not is started anew.
    #[serde(default, deserialize_with = "said")]
    #[schema(value_type = Option<ProbeDto>)]
    pub liveness: Option<Option<ProbeDto>>,
    /// Run after each start.
    #[serde(default, deserialize_with = "said")]
    #[schema(value_type = Option<TaskDto>)]
    pub after_start: Option<Option<TaskDto>>,
    /// Run before each stop.
    #[serde(default, deserialize_with = "said")]
    #[schema(value_type = Option<TaskDto>)]
    pub before_stop: Option<Option<TaskDto>>,
    /// How long a replica may take to stop, in milliseconds.
    pub grace_ms: Option<u64>,
    /// The port of this host on which the application is reached.
    #[serde(default, deserialize_with = "said")]
    #[schema(value_type = Option<u16>)]
    pub port: Option<Option<u16>>,
    /// What to call this version.
    #[serde(default)]
    pub label: String,
}

/// A member that is there is `Some`, also when it is null.
fn said<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(
    d: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(d).map(Some)
}

/// How replicas are changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HowAsk {
    /// In so many batches, one after the other.
    pub batches: Option<i64>,
    /// So many replicas first, to be looked at; then the batches.
    pub gray: Option<i64>,
    /// Whether each batch but the first waits for a person's word.
    #[serde(default)]
    pub manual: bool,
    /// How long to wait between two batches, in seconds.
    pub wait_between_s: Option<i64>,
    /// How many replicas must stay ready; 0 interrupts service; left out, a
    /// quarter.
    pub min_ready: Option<i64>,
    /// The same in per cent; wins over `min_ready`.
    pub min_ready_percent: Option<i64>,
    /// How many may run beyond the usual number.
    pub surge: Option<u32>,
    /// The same in per cent.
    pub surge_percent: Option<u8>,
    /// Free text.
    #[serde(default)]
    pub description: String,
}

/// Makes an application.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateApp {
    /// What to call it.
    pub name: String,
    /// The namespace it is in; left out, the usual one.
    pub namespace: Option<String>,
    /// Free text.
    #[serde(default)]
    pub description: String,
    /// Labels.
    #[serde(default)]
    pub tags: Vec<Tag>,
    /// Its first version; left out, it is deployed later.
    pub release: Option<ReleaseAsk>,
    /// How its replicas are started.
    #[serde(default)]
    pub how: HowAsk,
}

/// What is to be done to an application. `do` is one of `deploy` (with
/// `release`), `rollback` (with `to?` and `scaling_off?`), `start`, `stop`,
/// `restart` (with `replica_ids?`), `rescale` (with `replicas`),
/// `remove_replicas` (with `replica_ids`), `resize` (with `cpu_millis?`,
/// `memory_bytes?`) and `delete`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderAsk {
    /// What.
    #[serde(rename = "do")]
    pub kind: String,
    /// For `deploy`: the version.
    pub release: Option<ReleaseAsk>,
    /// For `rollback`: id, number or label of the version; left out, the newest
    /// before the present one that may be gone back to.
    pub to: Option<String>,
    /// For `rollback`: whether the scaling rule that comes back stays off.
    #[serde(default)]
    pub scaling_off: bool,
    /// For `rescale`: how many.
    pub replicas: Option<u32>,
    /// For `restart`: only these replicas, by id; for `remove_replicas`: which.
    #[serde(default)]
    pub replica_ids: Vec<String>,
    /// For `resize`: processor time of each, in thousandths of one processor.
    pub cpu_millis: Option<u32>,
    /// For `resize`: memory of each, in bytes.
    pub memory_bytes: Option<u64>,
    /// How replicas are changed.
    #[serde(default)]
    pub how: HowAsk,
}

/// A person's word on the batch that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfirmOrder {
    /// The number of the batch, from 1 on; left out, the one that waits.
    pub batch: Option<u32>,
    /// Whether the order ends here, with what was changed as it is.
    #[serde(default)]
    pub end: bool,
}

/// Ends an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AbortOrder {
    /// Whether what was changed is taken back, too.
    #[serde(default)]
    pub back: bool,
}

/// The settings of an account, and of the service as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AppSettings {
    /// Those of the account.
    #[schema(required)]
    pub account: Option<AccountSettings>,
    /// Those of the service.
    #[schema(required)]
    pub service: Option<ServiceSettings>,
}

/// What an operator says of one account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AccountSettings {
    /// It owes money: nothing is started for it.
    pub in_debt: bool,
    /// How many replicas one of its applications may have.
    pub replicas_of_application: u32,
    /// How many replicas its applications may have together.
    pub replicas_of_account: u32,
    /// Whose orders wait for approval, beside those of whom a policy asks it:
    /// `nobody`, `sub_accounts` or `everybody`.
    pub approval: String,
}

impl From<model::AccountSettings> for AccountSettings {
    fn from(s: model::AccountSettings) -> Self {
        Self {
            in_debt: s.in_debt,
            replicas_of_application: s.replicas_of_application,
            replicas_of_account: s.replicas_of_account,
            approval: match s.approval {
                ApprovalFor::Nobody => "nobody",
                ApprovalFor::SubAccounts => "sub_accounts",
                ApprovalFor::Everybody => "everybody",
            }
            .into(),
        }
    }
}

/// Changes the settings of an account; what is left out stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeAccountSettings {
    /// It owes money: nothing is started for it.
    pub in_debt: Option<bool>,
    /// How many replicas one of its applications may have.
    pub replicas_of_application: Option<u32>,
    /// How many replicas its applications may have together.
    pub replicas_of_account: Option<u32>,
    /// `nobody`, `sub_accounts` or `everybody`.
    pub approval: Option<String>,
}

impl ChangeAccountSettings {
    /// Changes what was said.
    ///
    /// # Errors
    /// Malformed: a word for `approval` that is none.
    pub fn change(&self, settings: &mut model::AccountSettings) -> NativeResult<()> {
        settings.in_debt = self.in_debt.unwrap_or(settings.in_debt);
        settings.replicas_of_application = self
            .replicas_of_application
            .unwrap_or(settings.replicas_of_application);
        settings.replicas_of_account = self
            .replicas_of_account
            .unwrap_or(settings.replicas_of_account);
        settings.approval = match self.approval.as_deref() {
            None => settings.approval,
            Some("nobody") => ApprovalFor::Nobody,
            Some("sub_accounts") => ApprovalFor::SubAccounts,
            Some("everybody") => ApprovalFor::Everybody,
            Some(_) => {
                return Err(NativeError::malformed(
                    "say whose orders wait for approval: give nobody, sub_accounts or everybody",
                ));
            }
        };
        Ok(())
    }
}

/// What holds for the service as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ServiceSettings {
    /// It is being upgraded and takes no orders.
    pub upgrading: bool,
    /// How much processor time all replicas may have together, in thousandths of
    /// one processor; null, no bound.
    #[schema(required)]
    pub cpu_millis: Option<u64>,
    /// How much memory all replicas may have together, in bytes; null, no bound.
    #[schema(required)]
    pub memory_bytes: Option<u64>,
    /// The sizes that a replica may have; empty, any.
    pub sizes: Vec<ReplicaSize>,
}

/// How much one replica may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplicaSize {
    /// Processor time, in thousandths of one processor.
    pub cpu_millis: u32,
    /// Memory, in bytes.
    pub memory_bytes: u64,
}

impl From<model::ServiceSettings> for ServiceSettings {
    fn from(s: model::ServiceSettings) -> Self {
        let sizes = s.sizes.into_iter().map(|size| ReplicaSize {
            cpu_millis: size.cpu_millis,
            memory_bytes: size.memory_bytes,
        });
        Self {
            upgrading: s.upgrading,
            cpu_millis: s.cpu_millis,
            memory_bytes: s.memory_bytes,
            sizes: sizes.collect(),
        }
    }
}

/// Changes what holds for the service; what is left out stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeServiceSettings {
    /// It is being upgraded and takes no orders.
    pub upgrading: Option<bool>,
    /// How much processor time all replicas may have together, in thousandths of
    /// one processor; null, no bound.
    #[serde(default, deserialize_with = "said")]
    #[schema(value_type = Option<u64>)]
    pub cpu_millis: Option<Option<u64>>,
    /// How much memory all replicas may have together, in bytes; null, no bound.
    #[serde(default, deserialize_with = "said")]
    #[schema(value_type = Option<u64>)]
    pub memory_bytes: Option<Option<u64>>,
    /// The sizes that a replica may have; empty, any.
    pub sizes: Option<Vec<ReplicaSize>>,
}

impl ChangeServiceSettings {
    /// Changes what was said.
    pub fn change(&self, settings: &mut model::ServiceSettings) {
        settings.upgrading = self.upgrading.unwrap_or(settings.upgrading);
        settings.cpu_millis = self.cpu_millis.unwrap_or(settings.cpu_millis);
        settings.memory_bytes = self.memory_bytes.unwrap_or(settings.memory_bytes);
        if let Some(sizes) = &self.sizes {
            settings.sizes = sizes
                .iter()
                .map(|size| Size {
                    cpu_millis: size.cpu_millis,
                    memory_bytes: size.memory_bytes,
                })
                .collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_told_from_what_is_taken_away() {
        let read = |text: &str| serde_json::from_str::<ReleaseAsk>(text).unwrap();
        assert_eq!(read("{}").port, None);
        assert_eq!(read(r#"{"port":null}"#).port, Some(None));
        assert_eq!(read(r#"{"port":80}"#).port, Some(Some(80)));
        assert_eq!(
            read(r#"{"env":{"A":null}}"#).env,
            [("A".to_owned(), None)].into()
        );
        assert!(serde_json::from_str::<ReleaseAsk>(r#"{"prot":80}"#).is_err());
    }
}
