//! Data engines, the versions of their images, and what is done to them, as JSON.

use std::collections::BTreeMap;

use backout_engines::catalogue::Image;
use backout_engines::model;
use backout_engines::parameters::{Fate, Migrated, Spec};
use backout_engines::planning::RollbackCheck;
use backout_engines::service::{Asked, EngineView, Holding, Listed};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{OrderJudgement, PlanView, Tag};

/// The job that holds an engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct EngineJob {
    /// Its id.
    pub job: String,
    /// What it does: `create`, `switch`, `upgrade`, `rollback`, `modify`,
    /// `suspend`, `resume`, `restart` or `delete`.
    #[schema(required)]
    pub does: Option<String>,
    /// Whether it is held: nothing moves until somebody acts.
    pub held: bool,
}

impl From<Holding> for EngineJob {
    fn from(h: Holding) -> Self {
        Self {
            job: h.job.to_string(),
            does: h.kind.map(|kind| kind.as_str().into()),
            held: h.held,
        }
    }
}

/// A data engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct DataEngine {
    /// Its id, the one that the clouds' calls take.
    #[schema(example = "DataEngine-k31c771o")]
    pub id: String,
    /// Its name, unique among its owner's.
    pub name: String,
    /// What kind: `SparkSQL`, `PrestoSQL`, `SparkBatch`, `DuckDB`, ...
    pub kind: String,
    /// What it executes: `SQL` or `BATCH`.
    pub exec_type: String,
    /// `initializing`, `running`, `suspended`, `failed` (a job is held) or
    /// `deleting`.
    pub state: String,
    /// The major version that it has; its id where the catalogue has it no more.
    pub image: String,
    /// The id of that.
    pub image_id: String,
    /// The minor version that it runs; null where the major one has none.
    #[schema(required)]
    pub child: Option<String>,
    /// The id of that.
    #[schema(required)]
    pub child_id: Option<String>,
    /// The image for Python programs.
    #[schema(required)]
    pub python: Option<String>,
    /// The id of that.
    #[schema(required)]
    pub python_id: Option<String>,
    /// Where it answers. It stays the same through every change.
    #[schema(example = "http://127.0.0.1:15000")]
    pub endpoint: String,
    /// The folder that it keeps, where its kind has one: it outlives every change of
    /// version. Null when the engine is on another host.
    #[schema(required)]
    pub data: Option<String>,
    /// Free text.
    pub description: String,
    /// Its size, in compute units of one processor and 4 GiB.
    pub size: u32,
    /// How it is shared and paid for: `shared`, `pay_as_you_go` or `monthly`.
    pub mode: String,
    /// The job that holds it; null when none does.
    #[schema(required)]
    pub held_by: Option<EngineJob>,
    /// The host that it runs on.
    pub node: String,
    /// Labels.
    pub tags: Vec<Tag>,
    /// When it was made.
    pub created: String,
    /// When it was changed last.
    pub updated: String,
}

impl DataEngine {
    /// An engine, and the folder that it keeps.
    #[must_use]
    pub fn of(v: EngineView, data: Option<String>) -> Self {
        let named = |(id, name): (String, String)| match name.is_empty() {
            true => (id.clone(), id),
            false => (name, id),
        };
        let (image, image_id) = named(v.parent);
        let (child, child_id) = v.child.map(named).unzip();
        let (python, python_id) = v.python.map(named).unzip();
        let e = v.engine;
        let tags = e.tags.into_iter().map(|t| Tag {
            key: t.key,
            value: t.value,
        });
        Self {
            id: e.id.to_string(),
            name: e.name,
            kind: e.kind.as_str().into(),
            exec_type: e.exec_type,
            state: e.state.as_str().into(),
            image,
            image_id,
            child,
            child_id,
            python,
            python_id,
            endpoint: v.endpoint,
            data,
            description: e.description,
            size: e.size,
            mode: e.mode.as_str().into(),
            held_by: v.holding.map(Into::into),
            node: e.node,
            tags: tags.collect(),
            created: e.created.iso8601(),
            updated: e.updated.iso8601(),
        }
    }
}

/// Makes an engine.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateEngine {
    /// What to call it.
    pub name: String,
    /// What kind: `SparkSQL`, `PrestoSQL`, `SparkBatch`, `StandardSpark`,
    /// `StandardPresto` or `DuckDB`.
    pub kind: String,
    /// Its version, by name or id; left out, the newest of its kind that is
    /// online.
    pub image: Option<String>,
    /// What it executes, `SQL` or `BATCH`; left out, what is usual for its kind.
    pub exec_type: Option<String>,
    /// How it is shared and paid for: `shared`, `pay_as_you_go` or `monthly`;
    /// left out, `pay_as_you_go`.
    pub mode: Option<String>,
    /// Its size, in compute units of one processor and 4 GiB; left out, 1.
    pub size: Option<u32>,
    /// The port of its endpoint on this host; left out, a free one.
    pub port: Option<u16>,
    /// Free text.
    #[serde(default)]
    pub description: String,
    /// Parameters of its version, by name. They want an `image`.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
    /// Labels.
    #[serde(default)]
    pub tags: Vec<Tag>,
}

/// Changes what is said about an engine.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DescribeEngine {
    /// Free text.
    pub description: String,
}

/// What is to be done to an engine. `do` is one of `switch` (with `image`),
/// `upgrade`, `rollback` (with `from?` and `to?`), `set` (with `parameters`),
/// `resize` (with `size`), `suspend`, `resume`, `restart` (with `forced?`) and
/// `delete`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EngineChangeAsk {
    /// What.
    #[serde(rename = "do")]
    pub kind: String,
    /// For `switch`: the version, by name or id; of a major one the newest minor
    /// one that is online.
    pub image: Option<String>,
    /// For `rollback`: the record that is gone back to, as the check told it.
    pub from: Option<String>,
    /// For `rollback`: the record that is undone, as the check told it.
    pub to: Option<String>,
    /// For `set`: parameters by name; null takes one off, so that the default of
    /// the version holds. What is not named stays as it is.
    #[serde(default)]
    pub parameters: BTreeMap<String, Option<String>>,
    /// For `resize`: compute units of one processor and 4 GiB.
    pub size: Option<u32>,
    /// For `restart`: without waiting for statements that run.
    #[serde(default)]
    pub forced: bool,
}

/// A change that was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AcceptedEngine {
    /// The job that makes it.
    #[schema(example = "job_0a1b2c3d4e5f6g7h")]
    pub job: String,
    /// The id of the engine.
    pub engine: String,
}

impl From<Asked> for AcceptedEngine {
    fn from(a: Asked) -> Self {
        Self {
            job: a.job.to_string(),
            engine: a.engine.to_string(),
        }
    }
}

/// What becomes of a parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ParameterFate {
    /// Its name.
    pub name: String,
    /// `cluster` or `session`.
    pub of: String,
    /// `kept`: its value stays; `changed`: another value was set; `defaulted`:
    /// the default of the version holds; `dropped`: the version does not know it.
    pub fate: String,
    /// What was set, or held, before; null when nothing was.
    #[schema(required)]
    pub before: Option<String>,
    /// What holds afterwards; null when nothing does.
    #[schema(required)]
    pub after: Option<String>,
}

impl ParameterFate {
    /// A line of a migration.
    #[must_use]
    pub fn of(m: Migrated, of: &str) -> Self {
        let fate = match m.fate {
            Fate::Kept => "kept",
            Fate::Defaulted => "defaulted",
            Fate::Dropped => "dropped",
        };
        Self {
            name: m.name,
            of: of.into(),
            fate: fate.into(),
            before: m.before,
            after: m.after,
        }
    }
}

/// Whether a change may run, and what it would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PlannedEngine {
    /// Whether nothing stands in the way.
    pub passed: bool,
    /// What does, and what to know.
    pub preflight: OrderJudgement,
    /// The steps.
    pub plan: PlanView,
    /// The version that runs; null when none does.
    #[schema(required)]
    pub from: Option<String>,
    /// The version that is to run; null when none is.
    #[schema(required)]
    pub to: Option<String>,
    /// Whether the new instance is started beside the old one, which answers
    /// meanwhile; null when nothing is replaced.
    #[schema(required)]
    pub beside: Option<bool>,
    /// The record of the log that is gone back to.
    #[schema(required)]
    pub restores: Option<String>,
    /// What becomes of parameters that were set, and of those that are new.
    pub parameters: Vec<ParameterFate>,
}

/// Whether the image of an engine can be rolled back, or upgraded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct EngineCheck {
    /// Whether it can be rolled back.
    pub possible: bool,
    /// The record of the log that a rollback goes back to.
    #[schema(required)]
    pub from: Option<String>,
    /// The record that a rollback undoes.
    #[schema(required)]
    pub to: Option<String>,
    /// Why it cannot be, and what to do; null when it can.
    #[schema(required)]
    pub why: Option<String>,
    /// The newer minor version that an upgrade leads to; null when there is none.
    #[schema(required)]
    pub upgrade: Option<String>,
    /// Why that could not be found out; null when it could.
    #[schema(required)]
    pub upgrade_why: Option<String>,
}

impl EngineCheck {
    /// What the check found, and the version that an upgrade leads to, or why that
    /// is not known.
    #[must_use]
    pub fn of(check: RollbackCheck, upgrade: Result<Option<String>, String>) -> Self {
        let (upgrade, upgrade_why) = match upgrade {
            Ok(upgrade) => (upgrade, None),
            Err(why) => (None, Some(why)),
        };
        Self {
            possible: check.possible,
            from: check.from.map(|id| id.to_string()),
            to: check.to.map(|id| id.to_string()),
            why: check.why,
            upgrade,
            upgrade_why,
        }
    }
}

/// A record of the log of an engine's image, with what the engine was afterwards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct EngineRecord {
    /// Its id.
    pub id: String,
    /// From 1 on, over the records of its engine.
    pub number: u64,
    /// `InitImage`, `UpgradeImage`, `SwitchImage`, `RollbackImage` or
    /// `ModifyResource`.
    pub operation: String,
    /// The major version; its id where the catalogue has it no more.
    pub image: String,
    /// The minor version likewise.
    #[schema(required)]
    pub child: Option<String>,
    /// The image for Python programs likewise.
    #[schema(required)]
    pub python: Option<String>,
    /// Cluster parameters that were set.
    pub cluster_parameters: BTreeMap<String, String>,
    /// Session parameters that were set.
    pub session_parameters: BTreeMap<String, String>,
    /// The size, in compute units.
    pub size: u32,
    /// The record before it.
    #[schema(required)]
    pub before: Option<String>,
    /// The record that was gone back to, of a rollback.
    #[schema(required)]
    pub restored: Option<String>,
    /// The job that did it.
    pub job: String,
    /// When it was done.
    pub at: String,
}

impl EngineRecord {
    /// A record, with the names that `named` finds for versions.
    #[must_use]
    pub fn of(r: model::Record, named: impl Fn(&backout_core::ids::ImageId) -> String) -> Self {
        Self {
            id: r.id.to_string(),
            number: r.number,
            operation: r.operation.as_str().into(),
            image: named(&r.uses.parent),
            child: r.uses.child.as_ref().map(&named),
            python: r.uses.python.as_ref().map(&named),
            cluster_parameters: r.config.cluster,
            session_parameters: r.config.session,
            size: r.size,
            before: r.before.map(|id| id.to_string()),
            restored: r.restored.map(|id| id.to_string()),
            job: r.job.to_string(),
            at: r.at.iso8601(),
        }
    }
}

/// Something that happened to an engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct EngineEvent {
    /// From 1 on, over all engines.
    pub number: u64,
    /// What happened, in one word.
    pub action: String,
    /// What happened, for people.
    pub message: String,
    /// When.
    pub at: String,
}

impl From<model::Event> for EngineEvent {
    fn from(e: model::Event) -> Self {
        Self {
            number: e.number,
            action: e.action,
            message: e.message,
            at: e.at.iso8601(),
        }
    }
}

/// What the instance of an engine wrote last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct EngineOutput {
    /// Its last lines; empty when there is no instance. Bytes that are no UTF-8
    /// are replaced.
    pub text: String,
}

/// A parameter of a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ParameterView {
    /// Its name.
    pub name: String,
    /// `cluster` or `session`.
    pub of: String,
    /// What its values are: `string`, `integer`, `number` or `boolean`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What holds where none is set; null when a value must be set.
    #[schema(required)]
    pub default: Option<String>,
    /// The values that it takes; empty when any of its type is fine.
    pub allowed: Vec<String>,
    /// What is set on the engine; null when nothing is.
    #[schema(required)]
    pub value: Option<String>,
    /// What it does.
    pub description: String,
    /// Whether it is not the user's to set.
    pub internal: bool,
}

impl ParameterView {
    /// A parameter, and what is set.
    #[must_use]
    pub fn of(name: String, spec: Spec, cluster: bool, value: Option<String>) -> Self {
        Self {
            name,
            of: match cluster {
                true => "cluster".into(),
                false => "session".into(),
            },
            kind: spec.kind.as_str().into(),
            default: spec.default.map(|d| d.0),
            allowed: spec.allowed.into_iter().map(|a| a.0).collect(),
            value,
            description: spec.description,
            internal: spec.internal,
        }
    }
}

/// The parameters of an engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct EngineConfig {
    /// The id of the engine.
    pub engine: String,
    /// The version that it runs.
    pub image: String,
    /// Its parameters, with what is set.
    pub parameters: Vec<ParameterView>,
}

/// A version of an image, as its catalogue entry says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct EngineImage {
    /// Its id.
    pub id: String,
    /// What people call it.
    pub version: String,
    /// `parent` (a major version), `child` (a minor one), or `pyspark`.
    pub level: String,
    /// The version that it is under; null for a major one.
    #[schema(required)]
    pub parent: Option<String>,
    /// The kind of engine that it is for.
    pub kind: String,
    /// How it is spoken to: `http`, `thrift`, `connect` or `trino`.
    pub driver: String,
    /// `initializing`, `online` or `offline`.
    pub state: String,
    /// What is wrong with its entry; null when nothing is.
    #[schema(required)]
    pub wrong: Option<String>,
}

impl From<Listed> for EngineImage {
    fn from(l: Listed) -> Self {
        Self {
            id: l.id.to_string(),
            version: l.version,
            level: l.level.as_str().into(),
            parent: l.parent,
            kind: l.kind,
            driver: l.driver,
            state: l.state,
            wrong: l.image.err().map(|damage| damage.to_string()),
        }
    }
}

/// A version of an image whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct EngineImageWhole {
    /// In a few words.
    #[serde(flatten)]
    pub image: EngineImage,
    /// What it executes: `SQL` or `BATCH`.
    pub exec_type: String,
    /// Whether all may use it.
    pub public: bool,
    /// Free text.
    pub description: String,
    /// Its parameters.
    pub parameters: Vec<ParameterView>,
    /// The TOML that was added.
    pub entry: String,
    /// When it was added.
    pub created: String,
    /// When it was changed last.
    pub updated: String,
}

impl EngineImageWhole {
    /// A version, with the text of its entry.
    #[must_use]
    pub fn of(i: Image, entry: String) -> Self {
        let view = |specs: backout_engines::parameters::Specs, cluster| {
            specs
                .into_iter()
                .map(move |(name, spec)| ParameterView::of(name, spec, cluster, None))
        };
        Self {
            image: EngineImage {
                id: i.id.to_string(),
                version: i.version,
                level: i.level.as_str().into(),
                parent: i.parent.map(|(_, version)| version),
                kind: i.kind.as_str().into(),
                driver: i.driver.as_str().into(),
                state: i.state.as_str().into(),
                wrong: None,
            },
            exec_type: i.exec_type.as_str().into(),
            public: i.public,
            description: i.description,
            parameters: view(i.cluster, true)
                .chain(view(i.session, false))
                .collect(),
            entry,
            created: i.created.iso8601(),
            updated: i.updated.iso8601(),
        }
    }
}

/// Adds a version to the catalogue.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddEngineImage {
    /// The entry, in TOML.
    pub entry: String,
}

/// What became of an entry that was added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AddedEngineImage {
    /// The version.
    #[serde(flatten)]
    pub image: EngineImage,
    /// Whether it is new; else it took the place of one of the same name.
    pub new: bool,
}
