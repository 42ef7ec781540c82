//! The batch planner: what was asked for becomes a floor, a surge and batches.

use backout_core::code::Code;
use serde::{Deserialize, Serialize};

/// The most instances of one set. The work of the machine for one event grows
/// with their number, and they are processes of few hosts.
pub const INSTANCES_MAX: u32 = 1000;

/// The longest wait between two batches, in seconds: a day. Who wants longer
/// lets the batches go by hand.
pub const WAIT_MAX_S: u32 = 86_400;

/// How many instances may run beyond the usual number where nobody said, in per
/// cent of that number. More would let a high floor double the memory in use.
pub const SURGE_PERCENT: u32 = 25;

/// How many instances must stay ready while others are changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Floor {
    /// That many. Must be smaller than the number of instances.
    Count(u32),
    /// A quarter of the present instances, rounded up.
    System,
    /// None: service is interrupted.
    Interrupt,
    /// Per cent of the present instances, rounded up; 0 to 100.
    Percent(u8),
}

impl Floor {
    /// Reads the two numbers by which a floor is told (SEMANTICS section 1): a
    /// percentage other than -1 wins over the count; a count of -1 is the
    /// system's choice, and 0 an interruption.
    ///
    /// # Errors
    /// [`Refusal::Percent`] and [`Refusal::Count`].
    pub fn from_numbers(count: Option<i64>, percent: Option<i64>) -> Result<Self, Refusal> {
        match (percent.unwrap_or(-1), count.unwrap_or(-1)) {
            (-1, -1) => Ok(Self::System),
            (-1, 0) => Ok(Self::Interrupt),
            (-1, count @ 1..) => Ok(Self::Count(u32::try_from(count).unwrap_or(u32::MAX))),
            (-1, count) => Err(Refusal::Count(count)),
            (percent, _) => match u8::try_from(percent) {
                Ok(p) if p <= 100 => Ok(Self::Percent(p)),
                _ => Err(Refusal::Percent(percent)),
            },
        }
    }

    /// The number of instances, of `now` present ones.
    fn instances(self, now: u32) -> u32 {
        match self {
            Self::Count(n) => n,
            Self::System => now.div_ceil(4),
            Self::Interrupt => 0,
            Self::Percent(p) => percent_of(now, u32::from(p)),
        }
    }
}

/// In how many batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Nothing was said: at once, or, where a wait between batches was given, in
    /// as few batches as the floor allows.
    AllAtOnce,
    /// In `batches` batches.
    Batches {
        /// How many; at least 1, and no more than there are instances.
        batches: i64,
        /// What lets the next batch go.
        go: Go,
    },
    /// First `gray` instances, then the rest in `batches` batches.
    Gray {
        /// How many come first; at least 1, and not all.
        gray: i64,
        /// In how many batches the rest follows.
        batches: i64,
        /// What lets the next batch go.
        go: Go,
    },
}

/// What lets the next batch go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Go {
    /// Time.
    Auto {
        /// Seconds to wait; absent, [`Request::batch_wait_s`] holds.
        wait_s: Option<i64>,
    },
    /// A person.
    Manual,
}

/// How many instances may run beyond the usual number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Surge {
    /// As few as let each batch go in one wave, and no more than
    /// [`SURGE_PERCENT`].
    Least,
    /// That many.
    Count(u32),
    /// Per cent of the present instances, rounded up.
    Percent(u8),
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// How many instances there are to be now, running or not.
    pub now: u32,
    /// How many there are to be afterwards.
    pub wanted: u32,
    /// How many of those that stay get another release (or a restart).
    pub replaced: u32,
    /// How many must stay ready.
    pub floor: Floor,
    /// In how many batches.
    pub strategy: Strategy,
    /// Seconds between batches, where the strategy says nothing.
    pub batch_wait_s: Option<i64>,
    /// How many may run beyond the usual number.
    pub surge: Surge,
}

/// Which road is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Road {
    /// One batch, in which all instances are on their way at the same time.
    Quick,
    /// Several batches, or several waves in one.
    Paced,
}

/// One batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Batch {
    /// How many instances it changes (replaces, adds or removes).
    pub instances: u32,
    /// Whether it is the first, small one, to be looked at.
    pub gray: bool,
}

/// What stands between two batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// So many seconds.
    Auto {
        /// The wait, in seconds.
        wait_s: u32,
    },
    /// A person's word.
    Manual,
}

/// How it will be done.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Plan {
    /// How many instances stay ready at every instant.
    pub floor: u32,
    /// How many may run beyond the larger of the old and the new number.
    pub surge: u32,
    /// The batches in their order; none when there is nothing to change.
    pub batches: Vec<Batch>,
    /// What stands between two batches.
    pub gate: Gate,
}

/// A plan, and what is worth knowing about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// How it will be done.
    pub plan: Plan,
    /// Which road that is.
    pub road: Road,
    /// What should be known before it is done.
    pub warnings: Vec<Warning>,
}

/// What should be known before a plan is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Warning {
    /// Service is interrupted, since no instance need stay ready.
    Interrupts,
    /// Batches were asked for though one instance only stays ready: plans are
    /// for more than one. They are followed all the same.
    StrategyAtFloorOne,
    /// There will be fewer instances than were asked to stay ready: what is held
    /// is the new number.
    FloorLowered {
        /// What was asked for.
        asked: u32,
        /// What is held.
        held: u32,
    },
    /// So many instances may run beyond the usual number for a while.
    Surges {
        /// How many.
        instances: u32,
    },
}

/// Why it cannot be planned. The message is a lower-case fragment that fits
/// "failed to ..." and ends with what to do next.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The count is below -1.
    #[error(
        "keep {0} instances ready: give a number of instances, 0 for an interruption, or -1 for a quarter"
    )]
    Count(i64),
    /// The percentage is outside 0 to 100, and not -1.
    #[error("keep {0} per cent of the instances ready: give 0 to 100, or -1 for none")]
    Percent(i64),
    /// As many must stay ready as there are, or more.
    #[error(
        "keep {floor} of {instances} instances ready while they are changed: give a smaller number"
    )]
    FloorNotSmaller {
        /// What was asked for.
        floor: u32,
        /// How many instances there are.
        instances: u32,
    },
    /// Fewer than one batch, or more than there are instances.
    #[error("make {asked} batches of {instances} instances: give 1 to {instances}")]
    Batches {
        /// What was asked for.
        asked: i64,
        /// How many instances are left for batches.
        instances: u32,
    },
    /// Fewer than one, or not at least one left for the batches.
    #[error("change {asked} of {instances} instances first: give at least 1, and leave at least 1")]
    Gray {
        /// What was asked for.
        asked: i64,
        /// How many instances there are.
        instances: u32,
    },
    /// A wait outside 0 to [`WAIT_MAX_S`].
    #[error("wait {0} s between batches: give 0 to {WAIT_MAX_S} s, or let them go by hand")]
    Wait(i64),
    /// All must stay ready, and none may run beyond the usual number.
    #[error(
        "change any of {0} instances: all must stay ready, and none may run beside them; lower the one or raise the other"
    )]
    NoRoom(u32),
    /// More than [`INSTANCES_MAX`].
    #[error("run {0} instances: the most of one set are {INSTANCES_MAX}")]
    TooMany(u32),
}

impl Refusal {
    /// Our stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::TooMany(_) => Code::Quota,
            _ => Code::BadRequest,
        }
    }
}

/// Plans what was asked for.
///
/// The rules (SEMANTICS section 1):
/// * A floor that was told as a count must be smaller than the number of
///   instances. A derived one may equal it: then a new instance is ready before
///   an old one leaves.
/// * No floor is above the number of instances there are to be afterwards.
/// * Batches are of equal size; where that does not come out even the smaller
///   come first, so that a fault meets fewer; so do the vendors.
/// * Where less is to be changed than there are instances (a set of which some
///   have the release already), late batches that would be empty are left out.
///
/// # Errors
/// Every [`Refusal`].
pub fn plan(request: &Request) -> Result<Planned, Refusal> {
    let Request { now, wanted, .. } = *request;
    let most = now.max(wanted);
    if most > INSTANCES_MAX {
        return Err(Refusal::TooMany(most));
    }
    let asked = asked_floor(request)?;
    let floor = asked.min(wanted);
    let replaced = request.replaced.min(now).min(wanted);
    let changes = replaced + now.abs_diff(wanted);
    let layout = match layout(&request.strategy, most)? {
        Some(layout) => layout,
        None => Layout {
            gray: 0,
            batches: changes.div_ceil(step(request, most, floor)?),
        },
    };
    let batches = layout.over(changes);
    let gate = gate(request)?;
    let surge = surge(request, most - floor, &batches);
    if surge == 0 && most == floor && replaced > 0 {
        return Err(Refusal::NoRoom(most));
    }
    let waves = batches.iter().all(|b| b.instances <= most - floor + surge);
    let road = match batches.len() <= 1 && waves {
        true => Road::Quick,
        false => Road::Paced,
    };
    let mut warnings = Vec::new();
    if floor == 0 && now > 0 && replaced > 0 {
        warnings.push(Warning::Interrupts);
    }
    if floor == 1 && request.strategy != Strategy::AllAtOnce {
        warnings.push(Warning::StrategyAtFloorOne);
    }
    if asked > floor {
        warnings.push(Warning::FloorLowered { asked, held: floor });
    }
    if surge > 0 {
        warnings.push(Warning::Surges { instances: surge });
    }
    Ok(Planned {
        plan: Plan {
            floor,
            surge,
            batches,
            gate,
        },
        road,
        warnings,
    })
}

/// The floor by the present instances.
fn asked_floor(request: &Request) -> Result<u32, Refusal> {
    // A set that is to have its first instances is measured by those.
    let instances = match request.now {
        0 => request.wanted,
        now => now,
    };
    match request.floor {
        Floor::Count(floor) if floor >= instances => {
            Err(Refusal::FloorNotSmaller { floor, instances })
        }
        floor => Ok(floor.instances(request.now)),
    }
}

/// How instances are spread over batches.
struct Layout {
    gray: u32,
    batches: u32,
}

impl Layout {
    /// The batches of `changes` changes.
    fn over(&self, changes: u32) -> Vec<Batch> {
        let gray = self.gray.min(changes);
        let rest = changes - gray;
        let count = self.batches.min(rest);
        let mut out = Vec::new();
        if gray > 0 {
            out.push(Batch {
                instances: gray,
                gray: true,
            });
        }
        // The first ones get the whole part, the last `rest % count` one more.
        for i in 0..count {
            out.push(Batch {
                instances: rest / count + u32::from(i >= count - rest % count),
                gray: false,
            });
        }
        out
    }
}

/// Checks the numbers of a strategy against `instances` instances.
fn layout(strategy: &Strategy, instances: u32) -> Result<Option<Layout>, Refusal> {
    let (gray, batches) = match *strategy {
        Strategy::AllAtOnce => return Ok(None),
        Strategy::Batches { batches, .. } => (0, batches),
        Strategy::Gray { gray, batches, .. } => match u32::try_from(gray) {
            Ok(gray) if gray >= 1 && gray < instances => (gray, batches),
            _ => {
                return Err(Refusal::Gray {
                    asked: gray,
                    instances,
                });
            }
        },
    };
    match u32::try_from(batches) {
        Ok(batches) if batches >= 1 && batches <= instances - gray => {
            Ok(Some(Layout { gray, batches }))
        }
        _ => Err(Refusal::Batches {
            asked: batches,
            instances: instances - gray,
        }),
    }
}

/// How many are changed in a batch where no batches were asked for: all, or, to
/// wait in between, as many as the floor lets be away.
fn step(request: &Request, most: u32, floor: u32) -> Result<u32, Refusal> {
    Ok(match wait(request.batch_wait_s)? {
        0 => most,
        _ => most - floor,
    }
    .max(1))
}

fn gate(request: &Request) -> Result<Gate, Refusal> {
    let outer = wait(request.batch_wait_s)?;
    let go = match request.strategy {
        Strategy::AllAtOnce => Go::Auto { wait_s: None },
        Strategy::Batches { go, .. } | Strategy::Gray { go, .. } => go,
    };
    Ok(match go {
        Go::Manual => Gate::Manual,
        Go::Auto { wait_s: None } => Gate::Auto { wait_s: outer },
        Go::Auto { wait_s } => Gate::Auto {
            wait_s: wait(wait_s)?,
        },
    })
}

fn wait(asked: Option<i64>) -> Result<u32, Refusal> {
    let asked = asked.unwrap_or(0);
    u32::try_from(asked)
        .ok()
        .filter(|s| *s <= WAIT_MAX_S)
        .ok_or(Refusal::Wait(asked))
}

/// How many may run beyond the usual number, where `spare` may be away.
fn surge(request: &Request, spare: u32, batches: &[Batch]) -> u32 {
    match request.surge {
        Surge::Count(n) => n.min(INSTANCES_MAX),
        Surge::Percent(p) => percent_of(request.now, u32::from(p)),
        Surge::Least => {
            let largest = batches.iter().map(|b| b.instances).max().unwrap_or(0);
            let replaced = largest.min(request.replaced);
            replaced
                .saturating_sub(spare)
                .min(percent_of(request.now, SURGE_PERCENT))
        }
    }
}

/// `percent` per cent of `of`, rounded up.
const fn percent_of(of: u32, percent: u32) -> u32 {
    (of * percent).div_ceil(100)
}
