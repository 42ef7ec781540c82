//! Every reason why something cannot be done to a data engine now.

use backout_core::code::Code;
use backout_core::ids::{EngineId, JobId, RecordId};
use backout_core::plan::Finding;

use crate::model::{EngineState, Kind};
use crate::parameters::BadValue;

/// What is wrong with a catalogue entry or a record, met when it is read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// A version says a kind of engine that there is not, or another than its
    /// parent.
    #[error("its kind is {0}")]
    ImageKind(String),
    /// A version says neither public nor private.
    #[error("its mark \"public\" is {0}, neither public (1) nor private (2)")]
    ImagePublic(String),
    /// A version is in a state that there is not.
    #[error("its state is {0}, neither initializing (1) nor online (2) nor offline (3)")]
    ImageState(String),
    /// A version says that it executes what there is not.
    #[error("it executes {0}, neither SQL nor BATCH")]
    ImageExecType(String),
    /// The cluster parameters of a version cannot be read.
    #[error("its cluster parameters cannot be read: {0}")]
    ClusterParameters(String),
    /// The session parameters of a version cannot be read.
    #[error("its session parameters cannot be read: {0}")]
    SessionParameters(String),
    /// A version cannot be run, or contradicts itself otherwise.
    #[error("{0}")]
    ImageOther(String),
    /// An engine executes what there is not.
    #[error("it executes {0:?}, neither SQL nor BATCH")]
    EngineExecType(String),
    /// An engine is paid as nothing is.
    #[error("it is paid by {0}, which is neither 0 (postpaid) nor 1 (prepaid, by the month)")]
    EnginePayMode(i64),
    /// A row about the versions that an engine uses is of no kind.
    #[error("a row about the versions that it uses is of type {0}, none of 1, 2 and 3")]
    UseKind(i64),
    /// An engine uses no version of that kind, or several.
    #[error("the rows about the versions that it uses are not whole: {0}")]
    Uses(&'static str),
    /// A record of the log tells an operation that there is not.
    #[error("its log tells of {0:?}, which is no operation on an image")]
    Operation(String),
    /// The settings of an engine are not there.
    #[error("the row of its settings is missing")]
    ConfigMissing,
    /// The settings of an engine are there several times.
    #[error("there are several rows of its settings")]
    ConfigTwice,
    /// The session settings of an engine are not there.
    #[error("the row of its session settings is missing")]
    SessionConfigMissing,
    /// The session settings of an engine are there several times.
    #[error("there are several rows of its session settings")]
    SessionConfigTwice,
    /// Settings cannot be read.
    #[error("its settings cannot be read: {0}")]
    Config(String),
}

impl Damage {
    /// Whether it is of a catalogue entry; else it is of an engine's records.
    #[must_use]
    pub const fn is_of_image(&self) -> bool {
        matches!(
            self,
            Self::ImageKind(_)
                | Self::ImagePublic(_)
                | Self::ImageState(_)
                | Self::ImageExecType(_)
                | Self::ClusterParameters(_)
                | Self::SessionParameters(_)
                | Self::ImageOther(_)
        )
    }
}

/// Why not. The message is a lower-case fragment that fits "failed to ..." and
/// ends with what to do next.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// No engine has this id or name.
    #[error("find data engine {0:?}: list the engines to see which there are")]
    EngineNotFound(String),
    /// One engine has this id, and another this name.
    #[error("find data engine {0:?}: one has that id and another that name; rename one")]
    EngineNotUnique(String),
    /// No version has this id or name.
    #[error("find image version {0:?}: list the images to see which there are")]
    ImageNotFound(String),
    /// Several versions have this name.
    #[error("find image version {0:?}: several have that name; use the id")]
    ImageNotUnique(String),
    /// The name is taken.
    #[error("use the name {0:?}: another data engine has it; choose another")]
    Taken(String),
    /// The engine is in a state that does not allow this.
    #[error("{action} data engine {engine} while it is {}: {hint}", state.as_str())]
    State {
        /// What was to be done, as a verb.
        action: &'static str,
        /// The engine.
        engine: EngineId,
        /// Its state.
        state: EngineState,
        /// What to do instead.
        hint: &'static str,
    },
    /// A job works on the engine, or is held on it.
    #[error(
        "change data engine {engine}: job {job} holds it; follow it with: backout jobs show {job}"
    )]
    Busy {
        /// The engine.
        engine: EngineId,
        /// The job.
        job: JobId,
    },
    /// Engines like this one have no versions that could be changed.
    #[error("change the version of data engine {engine}: {why}; make a new engine instead")]
    Fixed {
        /// The engine.
        engine: EngineId,
        /// Why not.
        why: &'static str,
    },
    /// The version is not online.
    #[error("use image version {version:?}: it is {state}; choose one that is online")]
    ImageNotOnline {
        /// The version.
        version: String,
        /// Its state.
        state: &'static str,
    },
    /// The version is for another kind of engine, or executes something else.
    #[error("run image version {version:?} on a {} engine: it is for {other}; choose another", kind.as_str())]
    ImageKind {
        /// The version.
        version: String,
        /// The kind of the engine.
        kind: Kind,
        /// What the version is for.
        other: String,
    },
    /// The engine runs that version already.
    #[error("change the version of data engine {engine}: it runs {version:?} already")]
    SameImage {
        /// The engine.
        engine: EngineId,
        /// The version.
        version: String,
    },
    /// There is no newer minor version.
    #[error("upgrade data engine {0}: it has the newest minor version of its major version")]
    NothingNewer(EngineId),
    /// The image cannot be rolled back.
    #[error("roll back data engine {engine}: {why}")]
    NoWayBack {
        /// The engine.
        engine: EngineId,
        /// Why not, and what to do.
        why: &'static str,
    },
    /// The records that were given are not those of the rollback.
    #[error(
        "roll back data engine {engine} between records {given}: a rollback goes back to {from}, undoing {to}; check again"
    )]
    OtherRecords {
        /// The engine.
        engine: EngineId,
        /// What was given.
        given: String,
        /// The record that is gone back to.
        from: RecordId,
        /// The record that is undone.
        to: RecordId,
    },
    /// A value is not accepted.
    #[error(transparent)]
    Parameter(#[from] BadValue),
    /// A parameter was given twice.
    #[error("set parameter {0:?} twice: give it once")]
    ParameterTwice(String),
    /// A catalogue entry is damaged.
    #[error("use image version {version:?}: {damage}; correct the entry and add it again")]
    Image {
        /// The version.
        version: String,
        /// What is wrong.
        damage: Damage,
    },
    /// What is recorded of an engine is damaged.
    #[error("use data engine {engine}: {damage}; restore the store, or make the engine anew")]
    Record {
        /// The engine.
        engine: EngineId,
        /// What is wrong.
        damage: Damage,
    },
    /// A catalogue entry is none.
    #[error("read a catalogue entry: {0}")]
    NoEntry(String),
    /// What a version needs is not here.
    #[error("run image version {version:?} here: {why}")]
    Unavailable {
        /// The version.
        version: String,
        /// What is missing, and what to do.
        why: String,
    },
    /// There are as many as there may be.
    #[error("have more than {most} {what}: take some away, or ask for more")]
    Quota {
        /// Of what, in the plural.
        what: &'static str,
        /// How many there may be.
        most: u64,
    },
    /// The request itself is wrong.
    #[error("{0}")]
    Invalid(String),
    /// The engine's jobs run on another host.
    #[error("use data engine {engine} here: it belongs to node {node}; call the Backout there")]
    Elsewhere {
        /// The engine.
        engine: EngineId,
        /// Its node.
        node: String,
    },
    /// The same idempotency key came with another request.
    #[error("repeat a call: the idempotency key was used for another request; use a new key")]
    IdempotencyMismatch,
    /// What was asked for cannot be laid out.
    #[error(transparent)]
    Plan(#[from] backout_rollout::Refusal),
    /// Something of this host failed.
    #[error("{0}")]
    Host(String),
    /// The store could not do it.
    #[error(transparent)]
    Store(#[from] backout_store::Error),
}

impl Refusal {
    /// Our stable code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::EngineNotFound(_) | Self::ImageNotFound(_) => Code::NotFound,
            Self::EngineNotUnique(_) | Self::ImageNotUnique(_) => Code::Ambiguous,
            Self::Taken(_) => Code::NameTaken,
            Self::State { .. } | Self::SameImage { .. } | Self::NothingNewer(_) => {
                Code::EngineState
            }
            Self::Busy { .. } => Code::ResourceBusy,
            Self::Fixed { .. } => Code::EngineFixed,
            Self::ImageNotOnline { .. } => Code::ImageState,
            Self::ImageKind { .. } => Code::ImageMismatch,
            Self::NoWayBack { .. } | Self::OtherRecords { .. } => Code::NoWayBack,
            Self::Parameter(_) | Self::ParameterTwice(_) => Code::ParameterRefused,
            Self::Image { .. } | Self::NoEntry(_) => Code::ImageDamaged,
            Self::Record { .. } => Code::EngineRecordDamaged,
            Self::Unavailable { .. } => Code::EngineUnavailable,
            Self::Quota { .. } => Code::Quota,
            Self::Invalid(_) => Code::BadRequest,
            Self::Elsewhere { .. } => Code::Elsewhere,
            Self::IdempotencyMismatch => Code::IdempotencyMismatch,
            Self::Plan(e) => e.code(),
            Self::Host(_) => Code::ProcessStart,
            Self::Store(_) => Code::Store,
        }
    }

    /// As a line of a preflight.
    #[must_use]
    pub fn finding(&self) -> Finding {
        Finding {
            code: self.code(),
            message: self.to_string(),
        }
    }
}
