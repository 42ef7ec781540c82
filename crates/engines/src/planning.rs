//! What a change would do, and all that stands in its way. Pure: the call, its
//! dry run and the job ask the same function.

use backout_core::code::Code;
use backout_core::ids::{JobId, RecordId};
use backout_core::plan::{Finding, Preflight};
use backout_rollout::plan::plan;
use backout_rollout::{
    Floor, Limits, Plan, Release, Request, Rollout, Scope, Standing, Strategy, Surge,
};
use serde::Serialize;

use crate::catalogue::Image;
use crate::log::{self, WayBack};
use crate::model::{
    ChangeKind, Config, Engine, EngineState, Head, Mode, Operation, Record, Setup, Uses, Wanted,
};
use crate::parameters::{self, Fate, Migration, PAIRS_MAX_BYTES};
use crate::refusal::{Damage, Refusal};

/// The release that runs before a change.
pub const BEFORE: Release = Release(0);

/// The release that runs after it.
pub const AFTER: Release = Release(1);

/// Memory that stays free beside a new instance, in bytes: what the page cache
/// and this house need.
const MEMORY_SPARE_BYTES: u64 = 256 << 20;

/// The longest template of sessions, in bytes: it is kept with each record.
const TEMPLATE_MAX_BYTES: usize = 16 << 10;

/// A version that an engine is to run, with what it is under.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// The versions.
    pub uses: Uses,
    /// The one that is run.
    pub image: Image,
}

/// What a rollback would restore.
#[derive(Clone, Debug, PartialEq)]
pub struct Restored {
    /// The record.
    pub record: Record,
    /// Its version.
    pub target: Target,
}

/// All that the answer depends on. What was looked for and not found is there
/// as the refusal.
#[derive(Debug)]
pub struct Facts<'a> {
    /// The engine.
    pub engine: &'a Engine,
    /// The job that holds it, other than the one that asks.
    pub held_by: Option<&'a JobId>,
    /// What runs now, or ran last.
    pub setup: Option<&'a Setup>,
    /// Its settings.
    pub config: &'a Config,
    /// The version that it runs.
    pub image: &'a Image,
    /// The versions that it uses.
    pub uses: &'a Uses,
    /// The last record of its log.
    pub last: Option<&'a Record>,
    /// The version that is asked for, of a switch or an upgrade.
    pub target: Option<Target>,
    /// What would be restored, of a rollback or an undo.
    pub restored: Option<Restored>,
    /// The instance that answers, and whether it is ready.
    pub standing: Option<bool>,
    /// Memory that is free on this host, in bytes; none when it is not known.
    pub memory_free_bytes: Option<u64>,
    /// What is missing here for the version that would be run.
    pub unavailable: Option<String>,
}

/// What a change would do.
#[derive(Debug)]
pub struct Proposal {
    /// All that stands in the way. Empty: it may run.
    pub blockers: Vec<Refusal>,
    /// What should be known before.
    pub warnings: Vec<Finding>,
    /// What becomes of cluster parameters.
    pub cluster: Migration,
    /// What becomes of session parameters.
    pub session: Migration,
    /// What is to run; none when nothing is.
    pub to: Option<Setup>,
    /// The record that is gone back to.
    pub restores: Option<RecordId>,
    /// Whether the new instance is started beside the old one; else the old one is
    /// stopped first. None where none takes the place of another.
    pub beside: Option<bool>,
    /// How it is done.
    pub plan: Option<Plan>,
    /// Whether the instance is replaced although nothing of it changes.
    pub anew: bool,
}

impl Proposal {
    /// As it is shown.
    #[must_use]
    pub fn preflight(&self) -> Preflight {
        Preflight {
            blockers: self.blockers.iter().map(Refusal::finding).collect(),
            warnings: self.warnings.clone(),
            ..Preflight::default()
        }
    }

    /// The machine that does it; `standing` is the instance that is there.
    #[must_use]
    pub fn machine(&self, standing: Option<bool>, same: bool, limits: Limits) -> Option<Rollout> {
        let plan = self.plan.clone().filter(|_| self.blockers.is_empty())?;
        let standing: Vec<Standing> = standing
            .into_iter()
            .map(|ready| Standing {
                release: BEFORE,
                ready,
            })
            .collect();
        let (target, scope) = match (same, self.anew) {
            (_, true) => (AFTER, Scope::All),
            (true, false) => (BEFORE, Scope::Others),
            (false, false) => (AFTER, Scope::Others),
        };
        let wanted = u32::from(self.to.is_some());
        Some(Rollout::new(
            plan, limits, &standing, target, wanted, &scope,
        ))
    }
}

/// What a check of whether the image can be rolled back answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RollbackCheck {
    /// Whether it can be.
    pub possible: bool,
    /// The record that would be gone back to.
    pub from: Option<RecordId>,
    /// The record that would be undone.
    pub to: Option<RecordId>,
    /// Why not, for people.
    pub why: Option<String>,
}

impl RollbackCheck {
    /// By the last record.
    #[must_use]
    pub fn of(last: Option<&Head>) -> Self {
        match log::way_back(last) {
            Ok(WayBack { from, to }) => Self {
                possible: true,
                from: Some(from),
                to: Some(to),
                why: None,
            },
            Err(no) => Self {
                possible: false,
                from: None,
                to: None,
                why: Some(no.why().to_owned()),
            },
        }
    }
}

impl RollbackCheck {
    /// It cannot be, for this reason.
    #[must_use]
    pub fn no(why: &str) -> Self {
        Self {
            possible: false,
            from: None,
            to: None,
            why: Some(why.to_owned()),
        }
    }
}

/// Says what a change would do, with all that stands in its way, the reasons
/// that matter most first.
#[must_use]
pub fn propose(facts: &Facts<'_>, wanted: &Wanted) -> Proposal {
    let mut blockers = Vec::new();
    let kind = wanted.kind();
    busy(facts, &mut blockers);
    if changes_image(wanted) {
        versioned(facts.engine, &mut blockers);
    }
    state(facts.engine, wanted, &mut blockers);
    if changes_image(wanted)
        && let Err(refusal) = sound(facts.engine)
    {
        blockers.push(refusal);
    }
    let mut out = Proposal {
        blockers,
        warnings: Vec::new(),
        cluster: Migration::default(),
        session: Migration::default(),
        to: None,
        restores: None,
        beside: None,
        plan: None,
        anew: match wanted {
            Wanted::Mend => facts.standing == Some(false),
            _ => kind == ChangeKind::Restart,
        },
    };
    course(facts, wanted, &mut out);
    if let Some(why) = &facts.unavailable {
        unavailable(why.clone(), &mut out);
    }
    layout(facts, wanted, &mut out);
    out
}

/// What is to run cannot run here.
fn unavailable(why: String, out: &mut Proposal) {
    if let Some(to) = &out.to {
        let version = to.launch.version.clone();
        out.blockers.push(Refusal::Unavailable { version, why });
    }
}

/// Whether it changes which version runs.
const fn changes_image(wanted: &Wanted) -> bool {
    matches!(
        wanted,
        Wanted::Switch { .. } | Wanted::Upgrade | Wanted::Rollback { .. } | Wanted::Undo { .. }
    )
}

fn busy(facts: &Facts<'_>, blockers: &mut Vec<Refusal>) {
    if let Some(job) = facts.held_by {
        blockers.push(Refusal::Busy {
            engine: facts.engine.id.clone(),
            job: job.clone(),
        });
    }
}

fn versioned(engine: &Engine, blockers: &mut Vec<Refusal>) {
    if let Err(refusal) = has_versions(engine) {
        blockers.push(refusal);
    }
}

/// Refuses an engine whose version is not its user's to change.
///
/// # Errors
/// [`Refusal::Fixed`].
pub fn has_versions(engine: &Engine) -> Result<(), Refusal> {
    let why = match (engine.kind.has_versions(), engine.mode) {
        (true, Mode::PayAsYouGo | Mode::Monthly) => return Ok(()),
        (false, _) => "engines of its kind have one version only",
        (true, Mode::Shared) => "it is shared by all",
    };
    Err(Refusal::Fixed {
        engine: engine.id.clone(),
        why,
    })
}

fn state(engine: &Engine, wanted: &Wanted, blockers: &mut Vec<Refusal>) {
    let (action, fine, hint) = match (wanted.kind(), engine.state) {
        (ChangeKind::Create, state) => (
            "make",
            state == EngineState::Initializing,
            "it is made already",
        ),
        (ChangeKind::Delete, state) => (
            "delete",
            !matches!(state, EngineState::Initializing | EngineState::Deleting),
            "wait until it is made, or gone",
        ),
        (ChangeKind::Resume, state) => (
            "resume",
            state == EngineState::Suspended,
            "only one that is suspended can be resumed",
        ),
        (kind, state) => (
            verb(kind),
            state == EngineState::Running,
            needs_running(state),
        ),
    };
    if !fine {
        blockers.push(Refusal::State {
            action,
            engine: engine.id.clone(),
            state: engine.state,
            hint,
        });
    }
}

const fn verb(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Create => "make",
        ChangeKind::Delete => "delete",
        ChangeKind::Switch => "switch",
        ChangeKind::Upgrade => "upgrade",
        ChangeKind::Rollback => "roll back",
        ChangeKind::Modify => "modify",
        ChangeKind::Suspend => "suspend",
        ChangeKind::Resume => "resume",
        ChangeKind::Restart => "restart",
    }
}

const fn needs_running(state: EngineState) -> &'static str {
    match state {
        EngineState::Suspended => "resume it first",
        EngineState::Initializing => "wait until it is made",
        EngineState::Deleting => "it will not be there much longer",
        EngineState::Failed => "see its events for the next command",
        EngineState::Running => "try again",
    }
}

/// What is recorded of how it is paid and what it executes must make sense
/// before anything is changed on the strength of it.
///
/// # Errors
/// [`Refusal::Record`].
pub fn sound(engine: &Engine) -> Result<(), Refusal> {
    let damage = if engine.executes().is_none() {
        Damage::EngineExecType(engine.exec_type.clone())
    } else if engine.pays().is_none() {
        Damage::EnginePayMode(engine.pay_mode)
    } else {
        return Ok(());
    };
    Err(Refusal::Record {
        engine: engine.id.clone(),
        damage,
    })
}

/// What is to run afterwards.
fn course(facts: &Facts<'_>, wanted: &Wanted, out: &mut Proposal) {
    match wanted {
        Wanted::Delete | Wanted::Suspend => {}
        Wanted::Create | Wanted::Resume => {
            out.to = Some(setup(
                facts.uses,
                facts.image,
                facts.config,
                facts.engine.size,
            ));
            takes(facts.image, facts.config, &mut out.blockers);
        }
        Wanted::Restart { .. } | Wanted::Mend => {
            out.to = match facts.setup {
                Some(setup) => Some(setup.clone()),
                None => Some(setup(
                    facts.uses,
                    facts.image,
                    facts.config,
                    facts.engine.size,
                )),
            };
        }
        Wanted::Modify { config, size } => {
            let config = config.as_ref().unwrap_or(facts.config);
            let size = size.unwrap_or(facts.engine.size);
            out.to = Some(setup(facts.uses, facts.image, config, size));
            takes(facts.image, config, &mut out.blockers);
        }
        Wanted::Switch { .. } | Wanted::Upgrade => {
            let Some(target) = &facts.target else {
                if *wanted == Wanted::Upgrade {
                    out.blockers
                        .push(Refusal::NothingNewer(facts.engine.id.clone()));
                }
                return;
            };
            out.blockers.extend(fits(facts.engine, &target.image));
            if target.uses.runs() == facts.uses.runs() {
                out.blockers.push(match wanted {
                    Wanted::Upgrade => Refusal::NothingNewer(facts.engine.id.clone()),
                    _ => Refusal::SameImage {
                        engine: facts.engine.id.clone(),
                        version: target.image.version.clone(),
                    },
                });
            }
            if let (Some(python), None) = (&facts.uses.python, &target.uses.python) {
                out.warnings.push(Finding {
                    code: Code::ParametersChanged,
                    message: format!(
                        "keep the image for Python programs {python}: there is none of that name under {}; the engine runs without",
                        target.image.version
                    ),
                });
            }
            migrate(facts, target, out);
        }
        Wanted::Rollback { from, to } => {
            let way = match log::way_back(facts.last.map(Record::head).as_ref()) {
                Ok(way) => way,
                Err(no) => {
                    out.blockers.push(no.refusal(&facts.engine.id));
                    return;
                }
            };
            let given = log::given_match(&facts.engine.id, &way, from.as_deref(), to.as_deref());
            if let Err(refusal) = given {
                out.blockers.push(refusal);
            }
            restore(facts, out);
        }
        Wanted::Undo { job } => {
            let undone = facts.last.filter(|last| {
                last.job == *job && last.operation != Operation::InitImage && last.before.is_some()
            });
            if undone.is_none() {
                out.blockers.push(Refusal::NoWayBack {
                    engine: facts.engine.id.clone(),
                    why: "that job is not the last that changed its image; undo the later ones first",
                });
                return;
            }
            restore(facts, out);
        }
    }
}

/// Puts versions and settings back as a record has them.
fn restore(facts: &Facts<'_>, out: &mut Proposal) {
    let Some(Restored { record, target }) = &facts.restored else {
        out.blockers.push(Refusal::NoWayBack {
            engine: facts.engine.id.clone(),
            why: "the record that it would go back to is gone; switch to the version instead",
        });
        return;
    };
    out.blockers.extend(fits(facts.engine, &target.image));
    out.to = Some(setup(
        &target.uses,
        &target.image,
        &record.config,
        record.size,
    ));
    out.restores = Some(record.id.clone());
    takes(&target.image, &record.config, &mut out.blockers);
}

/// Why an engine cannot run a version; nothing when it can.
pub(crate) fn fits(engine: &Engine, image: &Image) -> Option<Refusal> {
    if let Err(refusal) = image.online() {
        return Some(refusal);
    }
    let executes = engine.executes().is_none_or(|e| e == image.exec_type);
    (image.kind != engine.kind || !executes).then(|| Refusal::ImageKind {
        version: image.version.clone(),
        kind: engine.kind,
        other: format!("{} {}", image.kind.as_str(), image.exec_type.as_str()),
    })
}

fn migrate(facts: &Facts<'_>, target: &Target, out: &mut Proposal) {
    let (old, new) = (facts.image, &target.image);
    out.cluster = parameters::migrate(&facts.config.cluster, &old.cluster, &new.cluster);
    out.session = parameters::migrate(&facts.config.session, &old.session, &new.session);
    for (what, migration) in [("cluster", &out.cluster), ("session", &out.session)] {
        for line in &migration.lines {
            let Some(before) = &line.before else { continue };
            let message = match line.fate {
                Fate::Kept => continue,
                Fate::Dropped => format!(
                    "keep {what} parameter {:?} = {before:?}: {} does not know it; it is dropped",
                    line.name, new.version
                ),
                Fate::Defaulted => format!(
                    "keep {what} parameter {:?} = {before:?}: {} does not take that; {} holds",
                    line.name,
                    new.version,
                    line.after.as_ref().map_or_else(
                        || "nothing".to_owned(),
                        |after| format!("its default {after:?}")
                    )
                ),
            };
            out.warnings.push(Finding {
                code: Code::ParametersChanged,
                message,
            });
        }
    }
    let config = Config {
        cluster: out.cluster.set.clone(),
        session: out.session.set.clone(),
        template: facts.config.template.clone(),
    };
    takes(new, &config, &mut out.blockers);
    out.to = Some(setup(&target.uses, new, &config, facts.engine.size));
}

/// What of some settings a version does not take, and whether it can be run at
/// all.
pub(crate) fn takes(image: &Image, config: &Config, blockers: &mut Vec<Refusal>) {
    for (specs, set) in [
        (&image.cluster, &config.cluster),
        (&image.session, &config.session),
    ] {
        for bad in parameters::check_all(specs, set) {
            blockers.push(bad.into());
        }
        for (name, spec) in specs {
            if spec.default.is_none() && !set.contains_key(name) {
                blockers.push(parameters::BadValue::Missing(name.clone()).into());
            }
        }
    }
    let launch = image.launch(config);
    let bytes = parameters::bytes(&launch.cluster) + parameters::bytes(&launch.session);
    if bytes > PAIRS_MAX_BYTES {
        blockers.push(Refusal::Invalid(format!(
            "set parameters of {bytes} bytes: an engine takes {PAIRS_MAX_BYTES}; set fewer"
        )));
    }
    let template = config.template.as_ref().map_or(0, |t| t.to_string().len());
    if template > TEMPLATE_MAX_BYTES {
        blockers.push(Refusal::Invalid(format!(
            "keep a template of {template} bytes: give at most {TEMPLATE_MAX_BYTES}"
        )));
    }
    if image.command.is_empty() {
        blockers.push(Refusal::Image {
            version: image.version.clone(),
            damage: Damage::ImageOther(
                "it has no command, and no minor version that is online".to_owned(),
            ),
        });
    }
}

fn setup(uses: &Uses, image: &Image, config: &Config, size: u32) -> Setup {
    Setup {
        uses: uses.clone(),
        config: config.clone(),
        size,
        launch: image.launch(config),
    }
}

/// How it is done: the new instance beside the old one where there is memory for
/// both.
fn layout(facts: &Facts<'_>, wanted: &Wanted, out: &mut Proposal) {
    let now = u32::from(facts.standing.is_some());
    let to = u32::from(out.to.is_some());
    let same = is_same(facts.setup, out.to.as_ref()) && !out.anew;
    let replaces = now == 1 && to == 1 && !same;
    let starts = to == 1 && (now == 0 || replaces);
    let room = room(facts, out);
    let forced = matches!(wanted, Wanted::Restart { forced: true });
    let beside = replaces && room == Room::Both && !forced;
    if starts && let Room::None { needs, has } = room {
        unavailable(
            format!(
                "it needs {} MiB of memory, and there are {} MiB for it; stop something else, or correct memory_mb of the version",
                needs >> 20,
                has >> 20
            ),
            out,
        );
    } else if replaces && room == Room::One {
        out.warnings.push(Finding {
            code: Code::Interruption,
            message: "run the new instance beside the old one: there is no memory for both; the old one is stopped first, and no statement is answered meanwhile".to_owned(),
        });
    }
    if replaces && !speaks_alike(facts.setup, out.to.as_ref()) {
        out.warnings.push(Finding {
            code: Code::Interruption,
            message: "finish statements that run: the new version is spoken to in another way; those that run when the endpoint is moved are broken off".to_owned(),
        });
    }
    out.beside = replaces.then_some(beside);
    let request = Request {
        now,
        wanted: to,
        replaced: u32::from(replaces),
        floor: match beside {
            true => Floor::System,
            false => Floor::Interrupt,
        },
        strategy: Strategy::AllAtOnce,
        batch_wait_s: None,
        surge: match beside {
            true => Surge::Count(1),
            false => Surge::Count(0),
        },
    };
    match plan(&request) {
        Ok(planned) => out.plan = Some(planned.plan),
        Err(e) => out.blockers.push(e.into()),
    }
}

/// Whether what runs is what is to run.
#[must_use]
pub fn is_same(from: Option<&Setup>, to: Option<&Setup>) -> bool {
    match (from, to) {
        (Some(from), Some(to)) => from.launch == to.launch,
        (None, None) => true,
        _ => false,
    }
}

/// Whether both are spoken to over requests, or both over connections.
fn speaks_alike(from: Option<&Setup>, to: Option<&Setup>) -> bool {
    match (from, to) {
        (Some(from), Some(to)) => {
            from.launch.driver.by_requests() == to.launch.driver.by_requests()
        }
        _ => true,
    }
}

/// For which instances there is memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    /// For the new one beside the old one; also when nobody knows.
    Both,
    /// For the new one, once the old one is gone.
    One,
    /// Not even then.
    None {
        /// What the new one needs, in bytes.
        needs: u64,
        /// What there would be, in bytes.
        has: u64,
    },
}

fn room(facts: &Facts<'_>, out: &Proposal) -> Room {
    let needs = out.to.as_ref().and_then(|to| to.launch.memory_bytes);
    let (Some(needs), Some(free)) = (needs, facts.memory_free_bytes) else {
        return Room::Both;
    };
    if needs.saturating_add(MEMORY_SPARE_BYTES) <= free {
        return Room::Both;
    }
    let has = match (facts.standing, facts.setup) {
        (None, _) => free,
        (Some(_), setup) => match setup.and_then(|s| s.launch.memory_bytes) {
            Some(old) => free.saturating_add(old),
            None => return Room::One,
        },
    };
    match needs <= has {
        true => Room::One,
        false => Room::None { needs, has },
    }
}
