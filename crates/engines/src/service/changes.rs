//! Engines are made, switched, rolled back, suspended, and go.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::ops::RangeInclusive;
use std::sync::Arc;

use backout_core::ids::{AccountId, EngineId, JobId};
use backout_core::plan::{Plan, Preflight};
use backout_jobs::{NewJob, Procedure, planned_steps};
use backout_store::Tx;

use super::facts::{self, Gathered, engine_by_id, gather, target_of};
use super::{
    Asked, Caller, DESCRIPTION_MAX_CHARS, Engines, NAME_MAX_CHARS, Proposal, engine_of, refused,
};
use crate::model::{
    Change, ChangeKind, Config, Engine, EngineState, Kind, Mode, Setup, Tag, Wanted,
};
use crate::parameters::{self, Specs};
use crate::persistence;
use crate::planning;
use crate::procedures::ChangeInput;
use crate::procedures::change::ChangeEngine;
use crate::procedures::delete::DeleteEngine;
use crate::refusal::Refusal;
use crate::runtime;

/// How many engines an account may have: each is at least one process.
pub const ENGINES_MAX: u64 = 200;

/// The ports of endpoints: below those that the kernel gives to connections, so
/// that nobody gets one by chance while its process is away, and below those of
/// instances.
const PORTS: RangeInclusive<u16> = 15_000..=19_999;

/// How many labels an engine may have.
pub const TAGS_MAX: usize = 50;

/// The longest key and the longest value of a label, in characters.
const TAG_MAX_CHARS: usize = 256;

/// The largest size, in compute units.
pub const SIZE_MAX: u32 = 4096;

/// The most bytes of what is only kept to be shown again.
const KEPT_MAX_BYTES: usize = 64 << 10;

/// An engine to be.
#[derive(Clone, Debug)]
pub struct NewEngine {
    /// What people will call it.
    pub name: String,
    /// What kind.
    pub kind: Kind,
    /// What it executes; what is usual for its kind where nothing is said.
    pub exec_type: Option<String>,
    /// Its version, by id or name; the newest online one of its kind where
    /// nothing is said.
    pub image: Option<String>,
    /// How it is shared and paid for.
    pub mode: Mode,
    /// When it is paid, 0 or 1; as its mode has it where nothing is said.
    pub pay_mode: Option<i64>,
    /// Its size, in compute units.
    pub size: u32,
    /// The fewest and the most clusters.
    pub clusters: (u32, u32),
    /// Free text.
    pub description: String,
    /// Its settings.
    pub config: Config,
    /// The port of its endpoint; a free one when there is none.
    pub port: Option<u16>,
    /// Labels.
    pub tags: Vec<Tag>,
    /// What was given and has no effect here.
    pub kept: BTreeMap<String, serde_json::Value>,
}

impl NewEngine {
    /// An engine of this name and kind, with what is usual.
    #[must_use]
    pub fn new(name: impl Into<String>, kind: Kind) -> Self {
        Self {
            name: name.into(),
            kind,
            exec_type: None,
            image: None,
            mode: Mode::PayAsYouGo,
            pay_mode: None,
            size: 1,
            clusters: (1, 1),
            description: String::new(),
            config: Config::default(),
            port: None,
            tags: Vec::new(),
            kept: BTreeMap::new(),
        }
    }
}

/// What of an engine is changed beside its version.
#[derive(Clone, Debug, Default)]
pub struct Update {
    /// Its size, in compute units.
    pub size: Option<u32>,
    /// The fewest and the most clusters.
    pub clusters: Option<(u32, u32)>,
    /// Free text.
    pub description: Option<String>,
    /// What has no effect here: replaced name by name.
    pub kept: BTreeMap<String, serde_json::Value>,
}

impl Engines {
    /// Makes an engine, and starts it.
    ///
    /// # Errors
    /// [`Refusal::Invalid`], [`Refusal::Taken`], [`Refusal::Quota`],
    /// [`Refusal::ImageNotFound`] and the other refusals about versions,
    /// [`Refusal::Parameter`], [`Refusal::Store`].
    pub async fn create(&self, caller: &Caller, new: NewEngine) -> Result<Asked, Refusal> {
        if let Some(asked) = self.asked_before(caller).await?.pop() {
            return Ok(asked);
        }
        let (
            engine,
            NewEngine {
                image,
                config,
                port,
                ..
            },
        ) = self.engine(caller, new)?;
        let now = engine.created;
        let job = self.job(caller, &engine, &Wanted::Create)?;
        let request = caller.request.clone();
        let asked = self
            .store
            .write(move |tx| {
                let submitted = backout_jobs::submit(tx, &job).map_err(refused)?;
                if submitted.repeated {
                    return asked_by(tx, &submitted.id, true);
                }
                check_place(tx, &engine)?;
                let mut engine = engine;
                engine.port = port_for(tx, &engine.node, &engine.id, port)?;
                let target = first_target(tx, &engine, image.as_deref(), &config)?;
                engine.changes = 1;
                persistence::insert_engine(tx, &engine, &target.uses, &config)?;
                let change = Change {
                    job: submitted.id.clone(),
                    engine: engine.id.clone(),
                    number: 1,
                    wanted: Wanted::Create,
                    request,
                    state_before: EngineState::Initializing,
                    from: None,
                    to: None,
                    restores: None,
                    drive: None,
                    created: now,
                    ended: None,
                };
                persistence::insert_change(tx, &change)?;
                asked_by(tx, &submitted.id, false)
            })
            .await?;
        self.jobs.wake();
        Ok(asked)
    }

    /// What [`Engines::create`] would do.
    ///
    /// # Errors
    /// As [`Engines::create`].
    pub async fn propose_create(
        &self,
        caller: &Caller,
        new: NewEngine,
    ) -> Result<Proposal, Refusal> {
        let (engine, NewEngine { image, config, .. }) = self.engine(caller, new)?;
        let plan = self.plan(&engine, &Wanted::Create);
        self.store
            .read(move |tx| {
                check_place(tx, &engine)?;
                let target = first_target(tx, &engine, image.as_deref(), &config)?;
                let migrate = |set, specs| parameters::migrate(set, &Specs::new(), specs);
                Ok(Proposal {
                    preflight: Preflight::default(),
                    plan,
                    cluster_parameters: migrate(&config.cluster, &target.image.cluster),
                    session_parameters: migrate(&config.session, &target.image.session),
                    from: None,
                    restores: None,
                    beside: None,
                    to: Some(Setup {
                        launch: target.image.launch(&config),
                        uses: target.uses,
                        size: engine.size,
                        config,
                    }),
                })
            })
            .await
    }

    /// The engine that is asked for, as far as that needs nobody else; and what
    /// was asked for.
    fn engine(&self, caller: &Caller, new: NewEngine) -> Result<(Engine, NewEngine), Refusal> {
        check(&new)?;
        let now = self.clock.now();
        let exec_type = new.exec_type.clone();
        let engine = Engine {
            id: EngineId::random(self.entropy.as_ref()),
            owner: caller.owner.clone(),
            creator: caller.account.clone(),
            name: new.name.clone(),
            node: self.node.clone(),
            kind: new.kind,
            exec_type: exec_type.unwrap_or_else(|| new.kind.usual_exec_type().as_str().to_owned()),
            mode: new.mode,
            pay_mode: new.pay_mode.unwrap_or(i64::from(new.mode == Mode::Monthly)),
            state: EngineState::Initializing,
            description: new.description.clone(),
            size: new.size,
            clusters: new.clusters,
            port: 0,
            instance: None,
            changes: 0,
            tags: new.tags.clone(),
            kept: new.kept.clone(),
            created: now,
            updated: now,
        };
        check_terms(&engine)?;
        Ok((engine, new))
    }

    /// Takes engines away, with all that is recorded of them and the data that
    /// they keep: one job each, all of them accepted or none.
    ///
    /// # Errors
    /// As [`Engines::change`].
    pub async fn delete(&self, caller: &Caller, ids: &[String]) -> Result<Vec<Asked>, Refusal> {
        let mut seen = BTreeSet::new();
        let work = ids
            .iter()
            .filter(|id| seen.insert(id.as_str()))
            .map(|id| (id.clone(), Wanted::Delete))
            .collect();
        self.change_all(caller, work).await
    }

    /// Gives an engine another version, by id or name: of a major one, the
    /// newest minor one that is online.
    ///
    /// # Errors
    /// As [`Engines::change`].
    pub async fn switch(&self, caller: &Caller, id: &str, image: &str) -> Result<Asked, Refusal> {
        let image = image.to_owned();
        self.change(caller, id, Wanted::Switch { image }).await
    }

    /// Gives an engine the newest minor version of its major version.
    ///
    /// # Errors
    /// As [`Engines::change`]; [`Refusal::NothingNewer`].
    pub async fn upgrade(&self, caller: &Caller, id: &str) -> Result<Asked, Refusal> {
        self.change(caller, id, Wanted::Upgrade).await
    }

    /// Takes back the last change of an engine's image. The records may be
    /// given, as [`Engines::check_rollback`] told them; empty text counts as not
    /// given.
    ///
    /// # Errors
    /// As [`Engines::change`]; [`Refusal::NoWayBack`], [`Refusal::OtherRecords`].
    pub async fn rollback(
        &self,
        caller: &Caller,
        id: &str,
        from: Option<&str>,
        to: Option<&str>,
    ) -> Result<Asked, Refusal> {
        let wanted = Wanted::Rollback {
            from: from.map(str::to_owned),
            to: to.map(str::to_owned),
        };
        self.change(caller, id, wanted).await
    }

    /// Takes back what a job did to an engine's image, also a rollback: the
    /// record before its own is restored.
    ///
    /// # Errors
    /// As [`Engines::change`]; [`Refusal::NoWayBack`].
    pub async fn undo(&self, caller: &Caller, id: &str, job: &JobId) -> Result<Asked, Refusal> {
        let job = job.clone();
        self.change(caller, id, Wanted::Undo { job }).await
    }

    /// Stops an engine; its endpoint answers that nobody is there.
    ///
    /// # Errors
    /// As [`Engines::change`].
    pub async fn suspend(&self, caller: &Caller, id: &str) -> Result<Asked, Refusal> {
        self.change(caller, id, Wanted::Suspend).await
    }

    /// Starts an engine that is suspended.
    ///
    /// # Errors
    /// As [`Engines::change`].
    pub async fn resume(&self, caller: &Caller, id: &str) -> Result<Asked, Refusal> {
        self.change(caller, id, Wanted::Resume).await
    }

    /// Starts an engine anew; `forced`, without waiting for statements that run.
    ///
    /// # Errors
    /// As [`Engines::change`].
    pub async fn restart(&self, caller: &Caller, id: &str, forced: bool) -> Result<Asked, Refusal> {
        self.change(caller, id, Wanted::Restart { forced }).await
    }

    /// Changes an engine.
    ///
    /// # Errors
    /// The first reason that stands in the way: [`Refusal::EngineNotFound`],
    /// [`Refusal::EngineNotUnique`], [`Refusal::Elsewhere`], [`Refusal::Busy`],
    /// [`Refusal::Fixed`], [`Refusal::State`], [`Refusal::Record`],
    /// [`Refusal::Image`], [`Refusal::ImageNotFound`],
    /// [`Refusal::ImageNotUnique`], [`Refusal::ImageNotOnline`],
    /// [`Refusal::ImageKind`], [`Refusal::SameImage`], [`Refusal::Parameter`],
    /// [`Refusal::Unavailable`], [`Refusal::Store`].
    pub async fn change(
        &self,
        caller: &Caller,
        id_or_name: &str,
        wanted: Wanted,
    ) -> Result<Asked, Refusal> {
        let work = vec![(id_or_name.to_owned(), wanted)];
        let asked = self.change_all(caller, work).await?.pop();
        asked.ok_or_else(|| Refusal::EngineNotFound(id_or_name.to_owned()))
    }

    /// What [`Engines::change`] would do, and all that stands in its way.
    ///
    /// # Errors
    /// As [`Engines::change`] for what must be there to be looked at.
    pub async fn propose(
        &self,
        owner: &AccountId,
        id_or_name: &str,
        wanted: Wanted,
    ) -> Result<Proposal, Refusal> {
        let gathered = self.look(owner, id_or_name, &wanted).await?;
        let proposal = gathered.propose(&wanted);
        Ok(Proposal {
            preflight: proposal.preflight(),
            plan: self.plan(&gathered.engine, &wanted),
            cluster_parameters: proposal.cluster,
            session_parameters: proposal.session,
            from: gathered.setup,
            to: proposal.to,
            restores: proposal.restores,
            beside: proposal.beside,
        })
    }

    /// All that a change depends on.
    async fn look(
        &self,
        owner: &AccountId,
        id_or_name: &str,
        wanted: &Wanted,
    ) -> Result<Gathered, Refusal> {
        let (owner, id, asked) = (owner.clone(), id_or_name.to_owned(), wanted.clone());
        let node = self.node.clone();
        let gathered = self
            .store
            .read(move |tx| {
                let engine = engine_of(tx, &owner, &id)?;
                if engine.node != node {
                    return Err(Refusal::Elsewhere {
                        engine: engine.id,
                        node: engine.node,
                    });
                }
                gather(tx, engine, &asked, None)
            })
            .await?;
        let (processes, wanted) = (Arc::clone(&self.runtime.processes), wanted.clone());
        tokio::task::spawn_blocking(move || gathered.look(&processes, &wanted))
            .await
            .unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic()))
    }

    /// Changes engines: one job each, all of them accepted or none.
    async fn change_all(
        &self,
        caller: &Caller,
        work: Vec<(String, Wanted)>,
    ) -> Result<Vec<Asked>, Refusal> {
        let before = self.asked_before(caller).await?;
        if !before.is_empty() {
            return Ok(before);
        }
        let mut jobs = Vec::with_capacity(work.len());
        for (id, wanted) in work {
            let gathered = self.look(&caller.owner, &id, &wanted).await?;
            let mut proposal = gathered.propose(&wanted);
            if !proposal.blockers.is_empty() {
                return Err(proposal.blockers.swap_remove(0));
            }
            let mut job = self.job(caller, &gathered.engine, &wanted)?;
            // The first stands for the call.
            if !jobs.is_empty() {
                job.idempotency = None;
            }
            jobs.push((job, gathered.engine.id, wanted));
        }
        let (request, now) = (caller.request.clone(), self.clock.now());
        let asked = self
            .store
            .write(move |tx| {
                let mut asked = Vec::with_capacity(jobs.len());
                for (job, id, wanted) in jobs {
                    let submitted = backout_jobs::submit(tx, &job).map_err(refused)?;
                    if submitted.repeated {
                        return asked_of_call(tx, &submitted.id);
                    }
                    let mut engine = engine_by_id(tx, &id)?;
                    engine.changes += 1;
                    persistence::insert_change(
                        tx,
                        &Change {
                            job: submitted.id.clone(),
                            engine: id,
                            number: engine.changes,
                            state_before: engine.state,
                            from: None,
                            to: None,
                            restores: None,
                            drive: None,
                            request: request.clone(),
                            created: now,
                            ended: None,
                            wanted: wanted.clone(),
                        },
                    )?;
                    if wanted.kind() == ChangeKind::Delete {
                        engine.state = EngineState::Deleting;
                    }
                    engine.updated = now;
                    persistence::update_engine(tx, &engine)?;
                    asked.push(asked_by(tx, &submitted.id, false)?);
                }
                Ok::<_, Refusal>(asked)
            })
            .await?;
        self.jobs.wake();
        Ok(asked)
    }

    /// Changes what of an engine is neither its version nor its parameters.
    /// There is a job only where its size changes.
    ///
    /// # Errors
    /// As [`Engines::change`]; [`Refusal::Invalid`].
    pub async fn update(
        &self,
        caller: &Caller,
        id_or_name: &str,
        update: Update,
    ) -> Result<Option<Asked>, Refusal> {
        let engine = self.get(&caller.owner, id_or_name).await?;
        check_numbers(
            update.size.unwrap_or(engine.size),
            update.clusters.unwrap_or(engine.clusters),
        )?;
        let mut kept = engine.kept.clone();
        kept.extend(update.kept.clone());
        check_kept(&kept)?;
        if let Some(text) = &update.description {
            check_description(text)?;
        }
        let asked = match update.size.filter(|size| *size != engine.size) {
            None => None,
            Some(size) => {
                let wanted = Wanted::Modify {
                    config: None,
                    size: Some(size),
                };
                Some(self.change(caller, engine.id.as_str(), wanted).await?)
            }
        };
        let now = self.clock.now();
        self.store
            .write(move |tx| {
                let mut engine = engine_by_id(tx, &engine.id)?;
                engine.clusters = update.clusters.unwrap_or(engine.clusters);
                engine.description = update.description.unwrap_or(engine.description);
                engine.kept.extend(update.kept);
                engine.updated = now;
                Ok::<_, Refusal>(persistence::update_engine(tx, &engine)?)
            })
            .await?;
        Ok(asked)
    }

    /// What an earlier call with the same idempotency key had asked for. Asked
    /// before the preflight, which would find that very job in the way.
    async fn asked_before(&self, caller: &Caller) -> Result<Vec<Asked>, Refusal> {
        let Some(idempotency) = caller.idempotency.clone() else {
            return Ok(Vec::new());
        };
        let owner = caller.owner.clone();
        self.store
            .read(move |tx| {
                match backout_jobs::earlier(tx, &owner, &idempotency).map_err(refused)? {
                    Some(job) => asked_of_call(tx, &job),
                    None => Ok(Vec::new()),
                }
            })
            .await
    }

    fn plan(&self, engine: &Engine, wanted: &Wanted) -> Plan {
        let (procedure, steps) = match wanted {
            Wanted::Delete => {
                let delete = DeleteEngine(self.runtime.clone());
                (delete.name(), planned_steps(&delete))
            }
            _ => {
                let change = ChangeEngine(self.runtime.clone());
                (change.name(), planned_steps(&change))
            }
        };
        Plan {
            procedure: procedure.to_owned(),
            title: format!("{} data engine {}", wanted.kind().as_str(), engine.name),
            claims: vec![engine.resource()],
            steps,
        }
    }

    fn job(&self, caller: &Caller, engine: &Engine, wanted: &Wanted) -> Result<NewJob, Refusal> {
        let plan = self.plan(engine, wanted);
        let input = ChangeInput {
            engine: engine.id.clone(),
        };
        Ok(NewJob {
            id: JobId::random(self.entropy.as_ref()),
            procedure: plan.procedure.clone(),
            title: plan.title.clone(),
            account: caller.owner.clone(),
            request: caller.request.clone(),
            node: engine.node.clone(),
            resource: engine.resource(),
            claims: plan.claims.clone(),
            input: serde_json::to_value(input).map_err(|e| {
                Refusal::Store(backout_store::Error::corrupt(format!("job input: {e}")))
            })?,
            undo_of: match wanted {
                Wanted::Undo { job } => Some(job.clone()),
                _ => None,
            },
            idempotency: caller.idempotency.clone(),
            background: false,
            now: self.clock.now(),
            plan,
        })
    }
}

fn asked_by(tx: &mut dyn Tx, job: &JobId, repeated: bool) -> Result<Asked, Refusal> {
    let change = persistence::change(tx, job)?
        .ok_or_else(|| Refusal::Invalid(format!("find the change of job {job}: it is gone")))?;
    Ok(Asked {
        job: change.job,
        engine: change.engine,
        repeated,
    })
}

/// All that the call had asked for whose first job this was.
fn asked_of_call(tx: &mut dyn Tx, job: &JobId) -> Result<Vec<Asked>, Refusal> {
    let first = asked_by(tx, job, true)?;
    let request = persistence::change(tx, job)?.map(|c| c.request);
    let mut all = vec![first];
    if let Some(request) = request {
        for change in persistence::changes_of_request(tx, &request)? {
            if change.job != *job {
                all.push(Asked {
                    job: change.job,
                    engine: change.engine,
                    repeated: true,
                });
            }
        }
    }
    Ok(all)
}

/// Whether there is a place for an engine that is made, and its name is free.
fn check_place(tx: &mut dyn Tx, engine: &Engine) -> Result<(), Refusal> {
    if persistence::count_engines(tx, &engine.owner)? >= ENGINES_MAX {
        return Err(Refusal::Quota {
            what: "data engines",
            most: ENGINES_MAX,
        });
    }
    let named = persistence::find_engines(tx, &engine.owner, &engine.name)?;
    match named.into_iter().find(|e| e.name == engine.name) {
        Some(other) => Err(Refusal::Taken(other.name)),
        None => Ok(()),
    }
}

/// The versions of an engine that is made, all that stands in the way met.
fn first_target(
    tx: &mut dyn Tx,
    engine: &Engine,
    wanted: Option<&str>,
    config: &Config,
) -> Result<planning::Target, Refusal> {
    let target = match wanted {
        Some(wanted) => target_of(tx, &engine.owner, wanted)?,
        None => newest_of_kind(tx, engine)?,
    };
    let image = &target.image;
    let mut blockers: Vec<Refusal> = planning::fits(engine, image).into_iter().collect();
    planning::takes(image, config, &mut blockers);
    if !blockers.is_empty() {
        return Err(blockers.swap_remove(0));
    }
    if let Some(why) = runtime::missing(&image.launch(config)) {
        return Err(Refusal::Unavailable {
            version: image.version.clone(),
            why,
        });
    }
    Ok(target)
}

/// The newest major version of the engine's kind that is online.
fn newest_of_kind(tx: &mut dyn Tx, engine: &Engine) -> Result<planning::Target, Refusal> {
    for entry in persistence::entries(tx)? {
        if entry.level != crate::catalogue::Level::Parent
            || !facts::is_visible(&entry, &engine.owner)
        {
            continue;
        }
        // Others' damaged entries, and those of other kinds, are not in the way.
        let Ok(image) = facts::image_of(tx, &entry) else {
            continue;
        };
        if image.kind == engine.kind && image.online().is_ok() {
            return target_of(tx, &engine.owner, image.id.as_str());
        }
    }
    Err(Refusal::ImageNotFound(format!(
        "the newest for {}",
        engine.kind.as_str()
    )))
}

/// The port of a new endpoint.
fn port_for(
    tx: &mut dyn Tx,
    node: &str,
    id: &EngineId,
    wanted: Option<u16>,
) -> Result<u16, Refusal> {
    let id = id.as_str();
    let taken = persistence::ports_of_node(tx, node)?;
    if let Some(port) = wanted {
        return match port == 0 || taken.contains(&port) {
            true => Err(Refusal::Invalid(format!(
                "listen on port {port}: another data engine has it, or it is none; choose another"
            ))),
            false => Ok(port),
        };
    }
    // Two that are made at once look at different places first.
    let from = id
        .bytes()
        .fold(0_u16, |sum, b| sum.wrapping_mul(31).wrapping_add(b.into()));
    let count = PORTS.end() - PORTS.start() + 1;
    (0..count)
        .map(|n| PORTS.start() + from.wrapping_add(n) % count)
        .find(|port| !taken.contains(port) && TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .ok_or_else(|| {
            Refusal::Host(format!(
                "find a free port within {} and {}: all are taken; give one",
                PORTS.start(),
                PORTS.end()
            ))
        })
}

fn check(new: &NewEngine) -> Result<(), Refusal> {
    let name = &new.name;
    let fine = !name.trim().is_empty()
        && name.chars().count() <= NAME_MAX_CHARS
        && !name.chars().any(char::is_control);
    if !fine {
        return Err(Refusal::Invalid(format!(
            "name a data engine {name:?}: give 1 to {NAME_MAX_CHARS} characters, none of them a control character"
        )));
    }
    check_numbers(new.size, new.clusters)?;
    check_description(&new.description)?;
    check_kept(&new.kept)?;
    let keys: BTreeSet<&str> = new.tags.iter().map(|t| t.key.as_str()).collect();
    let short = |text: &str| text.chars().count() <= TAG_MAX_CHARS;
    let fine = |tag: &Tag| !tag.key.is_empty() && short(&tag.key) && short(&tag.value);
    let many = new.tags.len() > TAGS_MAX || keys.len() < new.tags.len();
    if many || !new.tags.iter().all(fine) {
        return Err(Refusal::Invalid(format!(
            "label a data engine: give at most {TAGS_MAX} labels of at most {TAG_MAX_CHARS} characters, each key once"
        )));
    }
    Ok(())
}

/// Nothing is made that contradicts itself: see [`planning::sound`].
fn check_terms(engine: &Engine) -> Result<(), Refusal> {
    match planning::sound(engine) {
        Err(Refusal::Record { damage, .. }) => Err(Refusal::Invalid(format!(
            "make a data engine: {damage}; correct that"
        ))),
        other => other,
    }
}

fn check_numbers(size: u32, (least, most): (u32, u32)) -> Result<(), Refusal> {
    if size == 0 || size > SIZE_MAX {
        return Err(Refusal::Invalid(format!(
            "give a data engine {size} compute units: give 1 to {SIZE_MAX}"
        )));
    }
    if least > most {
        return Err(Refusal::Invalid(format!(
            "give a data engine {least} to {most} clusters: the fewest must be no more than the most"
        )));
    }
    Ok(())
}

pub(super) fn check_description(text: &str) -> Result<(), Refusal> {
    if text.chars().count() > DESCRIPTION_MAX_CHARS {
        return Err(Refusal::Invalid(format!(
            "describe a data engine: give at most {DESCRIPTION_MAX_CHARS} characters"
        )));
    }
    Ok(())
}

fn check_kept(kept: &BTreeMap<String, serde_json::Value>) -> Result<(), Refusal> {
    let bytes = serde_json::to_string(kept).map_or(usize::MAX, |text| text.len());
    if bytes > KEPT_MAX_BYTES {
        return Err(Refusal::Invalid(format!(
            "keep {bytes} bytes of settings of a data engine: give at most {KEPT_MAX_BYTES}"
        )));
    }
    Ok(())
}
