//! The catalogue: what there is, and what is added.

use backout_core::ids::{AccountId, ImageId};
use serde::Serialize;

use super::facts::{self, find_image, is_visible};
use super::{Caller, Engines, engine_of};
use crate::catalogue::{self, Entry, Image, Level};
use crate::model::Kind;
use crate::persistence::{self, ENTRIES_MAX};
use crate::refusal::{Damage, Refusal};

/// Which versions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageFilter {
    /// At this level.
    pub level: Option<Level>,
    /// For engines of this kind.
    pub kind: Option<Kind>,
    /// Under this version.
    pub parent: Option<String>,
}

/// By what a list of versions is ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ImageOrder {
    /// When they were added.
    #[default]
    Inserted,
    /// When they were changed last.
    Updated,
    /// Their names.
    Version,
}

/// A version in a list: what its entry says, however wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// Its id.
    pub id: ImageId,
    /// Who added it.
    pub owner: AccountId,
    /// What people call it.
    pub version: String,
    /// At which level it is.
    pub level: Level,
    /// The version that it is under.
    pub parent: Option<String>,
    /// The kind that its entry says.
    pub kind: String,
    /// The driver that its entry says.
    pub driver: String,
    /// The state that its entry says.
    pub state: String,
    /// The version; what is wrong with its entry.
    pub image: Result<Image, Damage>,
}

/// What became of an entry that was added.
#[derive(Clone, Debug, PartialEq)]
pub struct Added {
    /// The version.
    pub listed: Listed,
    /// Whether it is new; else it took the place of one of the same name.
    pub new: bool,
}

/// Whether there is a newer minor version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UpgradeCheck {
    /// Whether there is.
    pub possible: bool,
    /// The newest minor version; the present one when there is no newer.
    pub child: Option<ImageId>,
}

impl Engines {
    /// Adds an entry to the catalogue, or replaces the one of the same level,
    /// version and parent that the same account added. What is wrong with it is
    /// told, and does not keep it from being added.
    ///
    /// # Errors
    /// [`Refusal::NoEntry`], [`Refusal::Quota`], [`Refusal::Store`].
    pub async fn add_image(&self, caller: &Caller, text: &str) -> Result<Added, Refusal> {
        let name = catalogue::name(text)?;
        let now = self.clock.now();
        let entry = Entry {
            id: ImageId::random(self.entropy.as_ref()),
            owner: caller.owner.clone(),
            level: name.level,
            version: name.version,
            parent: name.parent,
            text: text.to_owned(),
            number: 0,
            created: now,
            updated: now,
        };
        self.store
            .write(move |tx| {
                let (entry, new) = persistence::put_entry(tx, &entry)?;
                if new && persistence::count_entries(tx)? > ENTRIES_MAX {
                    return Err(Refusal::Quota {
                        what: "image versions",
                        most: ENTRIES_MAX,
                    });
                }
                let listed = listed(tx, entry)?;
                Ok(Added { listed, new })
            })
            .await
    }

    /// The versions that an account may use, oldest first. A kind is matched by
    /// what entries say; one that cannot be read is listed as such.
    ///
    /// # Errors
    /// [`Refusal::Store`].
    pub async fn images(
        &self,
        owner: &AccountId,
        filter: ImageFilter,
        (order, ascending): (ImageOrder, bool),
    ) -> Result<Vec<Listed>, Refusal> {
        let owner = owner.clone();
        self.store
            .read(move |tx| {
                let mut out = Vec::new();
                for entry in persistence::entries(tx)? {
                    let fits = is_visible(&entry, &owner)
                        && filter.level.is_none_or(|level| level == entry.level)
                        && filter
                            .parent
                            .as_ref()
                            .is_none_or(|p| entry.parent.as_ref() == Some(p));
                    if fits {
                        out.push((entry.number, entry.updated, listed(tx, entry)?));
                    }
                }
                if let Some(kind) = filter.kind {
                    out.retain(|(_, _, l)| l.kind == kind.as_str());
                }
                out.sort_by(|(number, updated, one), (n, u, other)| {
                    let ordering = match order {
                        ImageOrder::Inserted => number.cmp(n),
                        ImageOrder::Updated => updated.cmp(u),
                        ImageOrder::Version => one.version.cmp(&other.version),
                    };
                    let ordering = ordering.then(number.cmp(n));
                    match ascending {
                        true => ordering,
                        false => ordering.reverse(),
                    }
                });
                Ok::<_, Refusal>(out.into_iter().map(|(_, _, listed)| listed).collect())
            })
            .await
    }

    /// A version by id or name.
    ///
    /// # Errors
    /// [`Refusal::ImageNotFound`], [`Refusal::ImageNotUnique`],
    /// [`Refusal::Image`], [`Refusal::Store`].
    pub async fn image(&self, owner: &AccountId, wanted: &str) -> Result<Image, Refusal> {
        let (owner, wanted) = (owner.clone(), wanted.to_owned());
        self.store
            .read(move |tx| find_image(tx, &owner, &wanted))
            .await
    }

    /// The text of a version's entry.
    ///
    /// # Errors
    /// [`Refusal::ImageNotFound`], [`Refusal::ImageNotUnique`],
    /// [`Refusal::Store`].
    pub async fn image_text(&self, owner: &AccountId, wanted: &str) -> Result<String, Refusal> {
        let (owner, wanted) = (owner.clone(), wanted.to_owned());
        self.store
            .read(move |tx| {
                let mut found = match wanted.parse::<ImageId>() {
                    Ok(id) => persistence::entry(tx, &id)?.into_iter().collect(),
                    Err(_) => persistence::entries_named(tx, &wanted)?,
                };
                found.retain(|e| is_visible(e, &owner));
                match (found.pop(), found.is_empty()) {
                    (Some(entry), true) => Ok(entry.text),
                    (Some(_), false) => Err(Refusal::ImageNotUnique(wanted)),
                    (None, _) => Err(Refusal::ImageNotFound(wanted)),
                }
            })
            .await
    }

    /// The images for Python programs under a minor version, oldest first.
    ///
    /// # Errors
    /// [`Refusal::ImageNotFound`], [`Refusal::Image`], [`Refusal::Store`].
    pub async fn python_images(
        &self,
        owner: &AccountId,
        child: &ImageId,
    ) -> Result<Vec<Image>, Refusal> {
        let (owner, child) = (owner.clone(), child.clone());
        self.store
            .read(move |tx| {
                let above = facts::image_by_id(tx, &owner, &child)?;
                let mut out = Vec::new();
                for entry in persistence::entries_under(tx, &above.version)? {
                    if entry.level != Level::Pyspark || !is_visible(&entry, &owner) {
                        continue;
                    }
                    if facts::parent_of(tx, &entry)?.is_some_and(|p| p.id == child) {
                        out.push(facts::image_of(tx, &entry)?);
                    }
                }
                Ok::<_, Refusal>(out)
            })
            .await
    }

    /// Whether there is a newer minor version for an engine.
    ///
    /// # Errors
    /// [`Refusal::EngineNotFound`], [`Refusal::EngineNotUnique`],
    /// [`Refusal::Record`], [`Refusal::Image`], [`Refusal::ImageNotFound`],
    /// [`Refusal::Store`].
    pub async fn check_upgrade(
        &self,
        owner: &AccountId,
        id_or_name: &str,
    ) -> Result<UpgradeCheck, Refusal> {
        let (owner, wanted) = (owner.clone(), id_or_name.to_owned());
        self.store
            .read(move |tx| {
                let engine = engine_of(tx, &owner, &wanted)?;
                let uses = persistence::uses(tx, &engine.id)?;
                let newest = match crate::planning::has_versions(&engine) {
                    Ok(()) => facts::newest_of(tx, &engine, &uses)?,
                    Err(_) => None,
                };
                Ok(match newest {
                    Some(target) => UpgradeCheck {
                        possible: true,
                        child: target.uses.child,
                    },
                    None => UpgradeCheck {
                        possible: false,
                        child: uses.child,
                    },
                })
            })
            .await
    }
}

fn listed(tx: &mut dyn backout_store::Tx, entry: Entry) -> Result<Listed, Refusal> {
    let above = facts::above(tx, &entry)?;
    let words = catalogue::words(&entry, &above);
    let image = catalogue::read(&entry, &above);
    Ok(Listed {
        id: entry.id,
        owner: entry.owner,
        version: entry.version,
        level: entry.level,
        parent: entry.parent,
        kind: words.kind,
        driver: words.driver,
        state: words.state,
        image,
    })
}
