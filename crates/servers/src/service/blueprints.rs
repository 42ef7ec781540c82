//! Images that disks are made of.

use std::path::PathBuf;

use backout_core::ids::{AccountId, BlueprintId, JobId};
use backout_machines::Boot;

use super::{Caller, Servers};
use crate::model::{Blueprint, Tag};
use crate::persistence::{self, BlueprintFilter, Page};
use crate::refusal::Refusal;

/// An existing image file to refer to.
#[derive(Clone, Debug)]
pub struct NewBlueprint {
    /// The image's name.
    pub name: String,
    /// Free text.
    pub description: String,
    /// The file; it stays where it is.
    pub file: PathBuf,
    /// How a machine made of it starts.
    pub boot: Boot,
    /// Free labels.
    pub tags: Vec<Tag>,
}

impl Servers {
    /// One page of images, newest first, and how many match.
    ///
    /// # Errors
    /// [`Refusal::Store`].
    pub async fn blueprints(
        &self,
        owner: &AccountId,
        filter: BlueprintFilter,
        page: Page,
    ) -> Result<(u64, Vec<Blueprint>), Refusal> {
        let owner = owner.clone();
        self.store
            .read(move |tx| Ok(persistence::list_blueprints(tx, &owner, &filter, page)?))
            .await
    }

    /// An image by id, or by name, the newest when several have it.
    ///
    /// # Errors
    /// [`Refusal::BlueprintNotFound`], [`Refusal::Store`].
    pub async fn blueprint(
        &self,
        owner: &AccountId,
        id_or_name: &str,
    ) -> Result<Blueprint, Refusal> {
        let (owner, wanted) = (owner.clone(), id_or_name.to_owned());
        self.store
            .read(move |tx| {
                persistence::find_blueprint(tx, &owner, &wanted)?
                    .ok_or(Refusal::BlueprintNotFound(wanted))
            })
            .await
    }

    /// Refers to an existing image file, in place. Nobody may write to it any
    /// more.
    ///
    /// # Errors
    /// [`Refusal::Invalid`], [`Refusal::Disk`] for a file that is no image,
    /// [`Refusal::NoDiskFile`], [`Refusal::Quota`], [`Refusal::Store`].
    pub async fn add_blueprint(
        &self,
        _caller: &Caller,
        _new: NewBlueprint,
    ) -> Result<Blueprint, Refusal> {
        Err(soon())
    }

    /// Makes an image of a server's system disk. The server must be stopped;
    /// `force_stop` stops one that runs, and starts it again after.
    ///
    /// # Errors
    /// The first blocker of the preflight.
    pub async fn create_blueprint(
        &self,
        _caller: &Caller,
        _name: &str,
        _description: &str,
        _server: &str,
        _force_stop: bool,
        _tags: Vec<Tag>,
    ) -> Result<(BlueprintId, JobId), Refusal> {
        Err(soon())
    }

    /// Forgets an image. A file that Backout made is removed, a user's stays.
    ///
    /// # Errors
    /// [`Refusal::BlueprintNotFound`], [`Refusal::BlueprintState`],
    /// [`Refusal::BlueprintUsed`], [`Refusal::Store`].
    pub async fn delete_blueprint(&self, _caller: &Caller, _id: &str) -> Result<JobId, Refusal> {
        Err(soon())
    }
}

fn soon() -> Refusal {
    Refusal::Invalid("use images: they are being built".to_owned())
}
