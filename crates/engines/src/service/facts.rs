//! What a change depends on, read off the store and this host. The call, its dry
//! run and the job gather the same.

use std::sync::Arc;

use backout_core::ids::{AccountId, EngineId, ImageId, JobId};
use backout_store::Tx;
use backout_workloads::{Phase, Workloads};

use super::{engine_of, holding_of};
use crate::catalogue::{self, Entry, Image, Level};
use crate::log;
use crate::model::{Config, Engine, Launch, Record, Setup, Uses, Wanted};
use crate::persistence;
use crate::planning::{self, Facts, Proposal, Restored, RollbackCheck, Target};
use crate::refusal::Refusal;
use crate::runtime;

/// [`Facts`], owned.
#[derive(Debug)]
pub(crate) struct Gathered {
    pub(crate) engine: Engine,
    pub(crate) held_by: Option<JobId>,
    pub(crate) setup: Option<Setup>,
    pub(crate) config: Config,
    pub(crate) image: Image,
    pub(crate) uses: Uses,
    pub(crate) last: Option<Record>,
    pub(crate) target: Option<Target>,
    pub(crate) restored: Option<Restored>,
    pub(crate) standing: Option<bool>,
    memory_free_bytes: Option<u64>,
    unavailable: Option<String>,
}

impl Gathered {
    /// Looks at this host as well. Blocking.
    pub(crate) fn look(
        mut self,
        processes: &Arc<dyn Workloads>,
        wanted: &Wanted,
    ) -> Result<Self, Refusal> {
        self.memory_free_bytes = runtime::memory_free_bytes();
        self.unavailable = self.launch(wanted).and_then(|l| runtime::missing(&l));
        self.standing = match &self.engine.instance {
            None => None,
            Some(id) => {
                let id = id.parse().map_err(super::host)?;
                let status = processes.status(&id).map_err(super::host)?;
                status.map(|status| status.phase == Phase::Ready)
            }
        };
        Ok(self)
    }

    /// How what would be run is run.
    fn launch(&self, wanted: &Wanted) -> Option<Launch> {
        let image = match wanted {
            Wanted::Delete | Wanted::Suspend => return None,
            Wanted::Switch { .. } | Wanted::Upgrade => &self.target.as_ref()?.image,
            Wanted::Rollback { .. } | Wanted::Undo { .. } => &self.restored.as_ref()?.target.image,
            Wanted::Restart { .. } | Wanted::Mend if self.setup.is_some() => {
                return self.setup.as_ref().map(|setup| setup.launch.clone());
            }
            _ => &self.image,
        };
        Some(image.launch(&self.config))
    }

    /// What the change would do.
    pub(crate) fn propose(&self, wanted: &Wanted) -> Proposal {
        let facts = Facts {
            engine: &self.engine,
            held_by: self.held_by.as_ref(),
            setup: self.setup.as_ref(),
            config: &self.config,
            image: &self.image,
            uses: &self.uses,
            last: self.last.as_ref(),
            target: self.target.clone(),
            restored: self.restored.clone(),
            standing: self.standing,
            memory_free_bytes: self.memory_free_bytes,
            unavailable: self.unavailable.clone(),
        };
        planning::propose(&facts, wanted)
    }
}

/// Reads all that is in the store. `own` is the job that asks, which does not
/// stand in its own way.
pub(crate) fn gather(
    tx: &mut dyn Tx,
    engine: Engine,
    wanted: &Wanted,
    own: Option<&JobId>,
) -> Result<Gathered, Refusal> {
    let held_by = holding_of(tx, &engine.resource())?.map(|h| h.job);
    let uses = persistence::uses(tx, &engine.id)?;
    let config = persistence::config(tx, &engine.id)?;
    let image = running_image(tx, &engine, &uses, wanted)?;
    let (last, before) = persistence::last_records(tx, &engine.id)?;
    let target = match wanted {
        Wanted::Switch { image } => {
            // What cannot be changed is told before what it should change to.
            planning::has_versions(&engine)?;
            Some(target_of(tx, &engine.owner, image)?)
        }
        Wanted::Upgrade => {
            planning::has_versions(&engine)?;
            newest_of(tx, &engine, &uses)?
        }
        _ => None,
    };
    let restored = match wanted {
        Wanted::Rollback { .. } | Wanted::Undo { .. } => {
            planning::has_versions(&engine)?;
            restored(tx, &engine, last.as_ref(), before)?
        }
        _ => None,
    };
    Ok(Gathered {
        held_by: held_by.filter(|job| own != Some(job)),
        setup: persistence::setup(tx, &engine.id)?,
        config,
        image,
        uses,
        last,
        target,
        restored,
        standing: None,
        memory_free_bytes: None,
        unavailable: None,
        engine,
    })
}

/// The version that an engine runs. One that is taken away, or only stopped,
/// need not make sense for that.
fn running_image(
    tx: &mut dyn Tx,
    engine: &Engine,
    uses: &Uses,
    wanted: &Wanted,
) -> Result<Image, Refusal> {
    let found = image_by_id(tx, &engine.owner, uses.runs());
    match (found, wanted) {
        (Ok(image), _) => Ok(image),
        (Err(e @ Refusal::Store(_)), _) => Err(e),
        (Err(e), Wanted::Create | Wanted::Resume | Wanted::Modify { .. }) => Err(e),
        // What gives way is only looked at for the parameters that it had.
        (Err(_), _) => Ok(Image::gone(uses.runs(), engine.kind)),
    }
}

/// What a rollback would restore, by the last record; `neighbour` is the one with
/// the number before. None where there is no
/// record to go back to; that is told by [`log::way_back`].
fn restored(
    tx: &mut dyn Tx,
    engine: &Engine,
    last: Option<&Record>,
    neighbour: Option<Record>,
) -> Result<Option<Restored>, Refusal> {
    let Some(before) = last.and_then(|last| last.before.as_ref()) else {
        return Ok(None);
    };
    let record = match neighbour.filter(|record| record.id == *before) {
        Some(record) => Some(record),
        None => persistence::record(tx, &engine.id, before)?,
    };
    let Some(record) = record else {
        return Ok(None);
    };
    let image = image_by_id(tx, &engine.owner, record.uses.runs())?;
    let uses = record.uses.clone();
    Ok(Some(Restored {
        record,
        target: Target { uses, image },
    }))
}

/// As [`super::Engines::check_rollback`].
pub(crate) fn check_rollback(
    tx: &mut dyn Tx,
    owner: &AccountId,
    wanted: &str,
) -> Result<RollbackCheck, Refusal> {
    let engine = engine_of(tx, owner, wanted)?;
    persistence::uses(tx, &engine.id)?;
    let (last, before) = persistence::last_heads(tx, &engine.id)?;
    let mut check = RollbackCheck::of(last.as_ref());
    if let Err(e) = planning::has_versions(&engine) {
        return Ok(RollbackCheck::no(&e.to_string()));
    }
    if log::way_back(last.as_ref()).is_ok() {
        let wanted = last.and_then(|last| last.before);
        let uses = match (wanted, before) {
            (Some(wanted), Some(before)) if before.id == wanted => Some(before.uses),
            (Some(wanted), _) => persistence::record(tx, &engine.id, &wanted)?.map(|r| r.uses),
            (None, _) => None,
        };
        match uses {
            Some(uses) => {
                let image = image_by_id(tx, &engine.owner, uses.runs())?;
                if let Some(refusal) = planning::fits(&engine, &image) {
                    return Err(refusal);
                }
            }
            None => check = RollbackCheck::no("the record before is gone"),
        }
    }
    Ok(check)
}

/// A version by its id, as far as `owner` may use it.
pub(crate) fn image_by_id(
    tx: &mut dyn Tx,
    owner: &AccountId,
    id: &ImageId,
) -> Result<Image, Refusal> {
    let entry =
        persistence::entry(tx, id)?.ok_or_else(|| Refusal::ImageNotFound(id.to_string()))?;
    let image = image_of(tx, &entry)?;
    if !image.public && entry.owner != *owner {
        return Err(Refusal::ImageNotFound(id.to_string()));
    }
    // Who reads its name must know which one is meant.
    let twins = persistence::entries_named(tx, &entry.version)?
        .into_iter()
        .filter(|e| e.level == entry.level && e.parent == entry.parent && e.id != entry.id)
        .filter(|e| is_visible(e, owner))
        .count();
    match twins {
        0 => Ok(image),
        _ => Err(Refusal::ImageNotUnique(entry.version)),
    }
}

/// A version by its id or its name.
pub(crate) fn find_image(
    tx: &mut dyn Tx,
    owner: &AccountId,
    wanted: &str,
) -> Result<Image, Refusal> {
    if let Ok(id) = wanted.parse::<ImageId>() {
        return image_by_id(tx, owner, &id);
    }
    let mut named: Vec<Entry> = persistence::entries_named(tx, wanted)?
        .into_iter()
        .filter(|e| is_visible(e, owner))
        .collect();
    match (named.pop(), named.is_empty()) {
        (Some(entry), true) => image_of(tx, &entry),
        (Some(_), false) => Err(Refusal::ImageNotUnique(wanted.to_owned())),
        (None, _) => Err(Refusal::ImageNotFound(wanted.to_owned())),
    }
}

/// Whether an account may use an entry: its own, or one that says that it is
/// public. One that says neither is its owner's to correct.
pub(crate) fn is_visible(entry: &Entry, owner: &AccountId) -> bool {
    entry.owner == *owner || catalogue::says_public(entry)
}

/// A version, read off its entry and those that it is under.
pub(crate) fn image_of(tx: &mut dyn Tx, entry: &Entry) -> Result<Image, Refusal> {
    let above = above(tx, entry)?;
    catalogue::read(entry, &above).map_err(|damage| Refusal::Image {
        version: entry.version.clone(),
        damage,
    })
}

/// The entries that another is under, the nearest first.
pub(crate) fn above(tx: &mut dyn Tx, entry: &Entry) -> Result<Vec<Entry>, Refusal> {
    let mut above: Vec<Entry> = Vec::new();
    // Each is of a higher level than the one before: there are two at most.
    while let Some(parent) = parent_of(tx, above.last().unwrap_or(entry))? {
        above.push(parent);
    }
    Ok(above)
}

/// The entry that another is under: of the same account, if there is one.
pub(crate) fn parent_of(tx: &mut dyn Tx, entry: &Entry) -> Result<Option<Entry>, Refusal> {
    let level = match entry.level {
        Level::Pyspark => Level::Child,
        Level::Child => Level::Parent,
        Level::Parent => return Ok(None),
    };
    let Some(name) = &entry.parent else {
        return Ok(None);
    };
    let mut found: Vec<Entry> = persistence::entries_named(tx, name)?
        .into_iter()
        .filter(|e| e.level == level && is_visible(e, &entry.owner))
        .collect();
    found.sort_by_key(|e| (e.owner != entry.owner, e.number));
    Ok(found.into_iter().next())
}

/// The minor versions under a major one that `owner` may use, newest first.
pub(crate) fn children_of(
    tx: &mut dyn Tx,
    owner: &AccountId,
    parent: &Image,
) -> Result<Vec<Entry>, Refusal> {
    let mut under: Vec<Entry> = Vec::new();
    for entry in persistence::entries_under(tx, &parent.version)? {
        if entry.level != Level::Child || !is_visible(&entry, owner) {
            continue;
        }
        if parent_of(tx, &entry)?.is_some_and(|p| p.id == parent.id) {
            under.push(entry);
        }
    }
    under.sort_by_key(|e| std::cmp::Reverse(e.number));
    Ok(under)
}

/// What an engine that is to run this version runs.
pub(crate) fn target_of(
    tx: &mut dyn Tx,
    owner: &AccountId,
    wanted: &str,
) -> Result<Target, Refusal> {
    let image = find_image(tx, owner, wanted)?;
    let above = match &image.parent {
        None => None,
        Some((id, _)) => Some(image_by_id(tx, owner, id)?),
    };
    match (image.level, above) {
        (Level::Child, Some(parent)) => {
            parent.online()?;
            image.online()?;
            Ok(Target {
                uses: Uses {
                    parent: parent.id,
                    child: Some(image.id.clone()),
                    python: None,
                },
                image,
            })
        }
        (Level::Pyspark, Some(child)) => {
            image.online()?;
            let mut target = target_of(tx, owner, child.id.as_str())?;
            target.uses.python = Some(image.id.clone());
            Ok(Target { image, ..target })
        }
        _ => {
            image.online()?;
            let child = newest_under(tx, owner, &image)?;
            Ok(Target {
                uses: Uses {
                    parent: image.id.clone(),
                    child: child.as_ref().map(|c| c.id.clone()),
                    python: None,
                },
                image: child.unwrap_or(image),
            })
        }
    }
}

/// The newest minor version that is online; none where there are none at all.
/// One that cannot be read is met when no newer one is online.
fn newest_under(
    tx: &mut dyn Tx,
    owner: &AccountId,
    parent: &Image,
) -> Result<Option<Image>, Refusal> {
    let mut offline = None;
    for entry in children_of(tx, owner, parent)? {
        let image = image_of(tx, &entry)?;
        match image.online() {
            Ok(()) => return Ok(Some(image)),
            Err(e) => offline = offline.or(Some(e)),
        }
    }
    match offline {
        Some(e) => Err(e),
        None => Ok(None),
    }
}

/// What an upgrade would lead to; none where the engine has the newest.
pub(crate) fn newest_of(
    tx: &mut dyn Tx,
    engine: &Engine,
    uses: &Uses,
) -> Result<Option<Target>, Refusal> {
    let python = uses.python.clone();
    let parent = image_by_id(tx, &engine.owner, &uses.parent)?;
    let newest = match newest_under(tx, &engine.owner, &parent) {
        Ok(newest) => newest,
        Err(Refusal::ImageNotOnline { .. }) => None,
        Err(e) => return Err(e),
    };
    let now = match &uses.child {
        None => 0,
        Some(id) => persistence::entry(tx, id)?.map_or(0, |e| e.number),
    };
    let Some(child) = newest.filter(|n| n.number > now) else {
        return Ok(None);
    };
    let uses = |python| Uses {
        parent: uses.parent.clone(),
        child: Some(child.id.clone()),
        python,
    };
    let python = match &python {
        None => None,
        Some(id) => namesake(tx, &engine.owner, id, &child)?,
    };
    Ok(Some(match python {
        Some(image) => Target {
            uses: uses(Some(image.id.clone())),
            image,
        },
        None => Target {
            uses: uses(None),
            image: child,
        },
    }))
}

/// The image for Python programs under a minor version that has the name of the
/// one that is in use, if it is online.
fn namesake(
    tx: &mut dyn Tx,
    owner: &AccountId,
    used: &ImageId,
    child: &Image,
) -> Result<Option<Image>, Refusal> {
    let Some(used) = persistence::entry(tx, used)? else {
        return Ok(None);
    };
    for entry in persistence::entries_named(tx, &used.version)? {
        if entry.level != Level::Pyspark || !is_visible(&entry, owner) {
            continue;
        }
        if parent_of(tx, &entry)?.is_some_and(|p| p.id == child.id) {
            let image = image_of(tx, &entry)?;
            return Ok(image.online().is_ok().then_some(image));
        }
    }
    Ok(None)
}

/// The engine of a job's change.
pub(crate) fn engine_by_id(tx: &mut dyn Tx, id: &EngineId) -> Result<Engine, Refusal> {
    persistence::engine_by_id(tx, id)?.ok_or_else(|| Refusal::EngineNotFound(id.to_string()))
}
