//! Images that disks are made of.

use std::path::PathBuf;

use backout_core::ids::{AccountId, BlueprintId, JobId};
use backout_disks::Format;
use backout_machines::Boot;
use backout_store::Tx;

use super::lifecycle::{blueprints_of, existing, resolved, unchanged, users_of};
use super::points::still_there;
use super::{
    Caller, DiskRef, NAMED_ALIKE, Servers, blocking, check_name, check_tags, insert_blueprint,
    not_ambiguous,
};
use crate::model::{Blueprint, BlueprintState, Holding, OperationKind, Tag, blueprint_resource};
use crate::persistence::{self, BlueprintFilter, Page};
use crate::plan::plan;
use crate::preflight::{self, BLUEPRINTS_MAX, Checked, Target};
use crate::procedures::{
    CreateBlueprint, CreateBlueprintInput, DeleteBlueprint, DeleteBlueprintInput,
};
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
    /// The format of the file, raw or qcow2; when it is left out, the one that it
    /// looks like, unless a guest may have made it look so.
    pub format: Option<Format>,
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
    /// [`Refusal::BlueprintNotFound`], [`Refusal::Ambiguous`],
    /// [`Refusal::Store`].
    pub async fn blueprint(
        &self,
        owner: &AccountId,
        id_or_name: &str,
    ) -> Result<Blueprint, Refusal> {
        let (owner, wanted) = (owner.clone(), id_or_name.to_owned());
        self.store
            .read(move |tx| {
                let Some(found) = persistence::find_blueprint(tx, &owner, &wanted)? else {
                    return Err(Refusal::BlueprintNotFound(wanted));
                };
                if found.id.as_str() != wanted {
                    let all = persistence::blueprints_named(tx, &owner, &wanted, NAMED_ALIKE)?;
                    not_ambiguous("image", &wanted, &all)?;
                }
                Ok(found)
            })
            .await
    }

    /// Refers to an existing image file, in place. Nobody may write to it any
    /// more.
    ///
    /// # Errors
    /// [`Refusal::Invalid`], [`Refusal::Disk`] for a file that is no image or is
    /// built on another, [`Refusal::NoDiskFile`], [`Refusal::FileTaken`],
    /// [`Refusal::Quota`],
    /// [`Refusal::Store`].
    pub async fn add_blueprint(
        &self,
        caller: &Caller,
        new: NewBlueprint,
    ) -> Result<Blueprint, Refusal> {
        check_name("image", &new.name)?;
        check_description(&new.description)?;
        check_tags(&new.tags)?;
        check_boot(&new.boot)?;
        let (path, format) = (new.file.clone(), new.format);
        let (file, format, size_bytes) = blocking(move || {
            let file = backout_disks::canonical_head(&path)?;
            let format = backout_disks::format_of(&file, format)?;
            let size_bytes = backout_disks::image_size(&file, format)?;
            Ok((file, format, size_bytes))
        })
        .await
        .map_err(|e| match e {
            Refusal::Disk(backout_disks::Error::Missing { path }) => {
                Refusal::NoDiskFile(path.display().to_string())
            }
            other => other,
        })?;
        let blueprint = Blueprint {
            id: BlueprintId::random(self.entropy.as_ref()),
            owner: caller.owner.clone(),
            name: new.name,
            description: new.description,
            node: self.node.clone(),
            state: BlueprintState::Normal,
            file,
            format,
            size_bytes,
            boot: new.boot,
            made: false,
            created: self.clock.now(),
            tags: new.tags,
        };
        let added = blueprint.clone();
        self.store
            .write(move |tx| {
                room_for_blueprint(tx, &added.owner)?;
                insert_blueprint(tx, &added)
            })
            .await?;
        Ok(blueprint)
    }

    /// Makes an image of a server's system disk. The server must be stopped;
    /// `force_stop` stops one that runs, and starts it again after.
    ///
    /// # Errors
    /// The first blocker of the preflight.
    pub async fn create_blueprint(
        &self,
        caller: &Caller,
        name: &str,
        description: &str,
        server: &str,
        force_stop: bool,
        tags: Vec<Tag>,
    ) -> Result<(BlueprintId, JobId), Refusal> {
        check_name("image", name)?;
        check_description(description)?;
        check_tags(&tags)?;
        if let Some(job) = self.earlier(caller).await? {
            let first: CreateBlueprintInput = self.input_of(&job).await?;
            return Ok((first.blueprint, job));
        }
        let target = self
            .target(&caller.owner, DiskRef::Of(server.to_owned()))
            .await?;
        let Some(host) = target.host.clone() else {
            return Err(Refusal::ServerNotFound(server.to_owned()));
        };
        let facts = self.look(&target, None).await?;
        let stop = preflight::must_stop(&target, &facts);
        let cleared = self
            .judge_image(&caller.owner, &target, force_stop)
            .await?
            .clear()?;
        let now = self.clock.now();
        let id = BlueprintId::random(self.entropy.as_ref());
        let format = target.volume.format;
        let blueprint = Blueprint {
            id: id.clone(),
            owner: caller.owner.clone(),
            name: name.to_owned(),
            description: description.to_owned(),
            node: target.node.clone(),
            state: BlueprintState::Creating,
            file: self.images().join(format!("{id}.{format}")),
            format,
            size_bytes: target.volume.size_bytes,
            boot: host
                .machine
                .as_ref()
                .map_or(Boot::Disk, |spec| spec.boot.clone()),
            made: true,
            created: now,
            tags,
        };
        let input = CreateBlueprintInput {
            server: host.id.clone(),
            disk: target.volume.clone(),
            blueprint: id.clone(),
            file: blueprint.file.clone(),
            format,
            stop,
        };
        let mut claims = target.claims();
        claims.push(blueprint_resource(&id));
        let new_job = self.cleared_job(
            cleared,
            caller,
            JobId::random(self.entropy.as_ref()),
            plan(
                &CreateBlueprint(self.runtime.clone()),
                format!("make image {name} of {}", target.name()),
                claims,
            ),
            &target.node,
            &input,
        )?;
        let operation = self.operation(OperationKind::CreateBlueprint, caller, now);
        let submitted = self
            .submit(new_job, move |tx| {
                room_for_blueprint(tx, &blueprint.owner)?;
                still_there(tx, &target)?;
                unchanged(tx, "make an image of", &host)?;
                insert_blueprint(tx, &blueprint)?;
                Ok(persistence::set_subject_operation(
                    tx,
                    &target.subject(),
                    &operation,
                )?)
            })
            .await?;
        if submitted.repeated {
            // The same call came twice at once, and the other was first.
            let first: CreateBlueprintInput = self.input_of(&submitted.id).await?;
            return Ok((first.blueprint, submitted.id));
        }
        Ok((id, submitted.id))
    }

    /// The folder for images that Backout makes.
    fn images(&self) -> PathBuf {
        resolved(&self.runtime.pool).join("images")
    }

    /// The judgement on making an image of a system disk.
    pub(super) async fn judge_image(
        &self,
        owner: &AccountId,
        target: &Target,
        force_stop: bool,
    ) -> Result<Checked, Refusal> {
        let facts = self.look(target, None).await?;
        let whose = owner.clone();
        let used = self
            .store
            .read::<_, Refusal>(move |tx| Ok(blueprints_of(tx, &whose)?))
            .await?;
        let folder = self.images();
        let room = if target.node == self.node {
            let (volume, to) = (target.volume.clone(), folder.clone());
            let looked = blocking(move || {
                let driver = backout_disks::driver(volume.driver);
                let file = to.join("image");
                let needed = driver.space_needed_export(&volume.spec(), &file, volume.format);
                Ok(needed.and_then(|n| Ok((n, backout_disks::free_bytes(existing(&to))?))))
            });
            Some(looked.await?)
        } else {
            None
        };
        Ok(preflight::create_blueprint(
            target, force_stop, used, facts, room, &folder,
        ))
    }

    /// Forgets an image. A file that Backout made is removed, a user's stays.
    ///
    /// # Errors
    /// [`Refusal::BlueprintNotFound`], [`Refusal::BlueprintState`],
    /// [`Refusal::BlueprintUsed`], [`Refusal::Store`].
    pub async fn delete_blueprint(&self, caller: &Caller, id: &str) -> Result<JobId, Refusal> {
        if let Some(job) = self.earlier(caller).await? {
            return Ok(job);
        }
        let found = self.blueprint(&caller.owner, id).await?;
        let judged = found.clone();
        let cleared = self
            .store
            .read(move |tx| {
                let user = user_of(tx, &judged.id)?;
                preflight::delete_blueprint(&judged, user.as_ref()).clear()
            })
            .await?;
        let input = DeleteBlueprintInput {
            blueprint: found.id.clone(),
            file: found.made.then(|| found.file.clone()),
            was: found.state,
            size_bytes: found.size_bytes,
        };
        let new_job = self.cleared_job(
            cleared,
            caller,
            JobId::random(self.entropy.as_ref()),
            plan(
                &DeleteBlueprint,
                format!("delete image {}", found.name),
                vec![blueprint_resource(&found.id)],
            ),
            &found.node,
            &input,
        )?;
        let submitted = self
            .submit(new_job, move |tx| {
                // Judged again: from here on nobody begins to use it.
                let now = persistence::lock_blueprint(tx, &found.id)?
                    .ok_or_else(|| Refusal::BlueprintNotFound(found.id.to_string()))?;
                let user = user_of(tx, &now.id)?;
                preflight::delete_blueprint(&now, user.as_ref()).clear()?;
                Ok(persistence::set_blueprint_state(
                    tx,
                    &now.id,
                    BlueprintState::Deleting,
                    now.size_bytes,
                )?)
            })
            .await?;
        Ok(submitted.id)
    }
}

/// The longest description of an image, in characters: a paragraph.
const DESCRIPTION_MAX_CHARS: usize = 1_000;

fn check_description(text: &str) -> Result<(), Refusal> {
    if text.chars().count() > DESCRIPTION_MAX_CHARS {
        return Err(Refusal::Invalid(format!(
            "describe an image in so many words: give at most {DESCRIPTION_MAX_CHARS} characters"
        )));
    }
    Ok(())
}

/// A machine would refuse these only when it starts.
pub(super) fn check_boot(boot: &Boot) -> Result<(), Refusal> {
    boot.check().map_err(Refusal::Machine)?;
    let Boot::Kernel { kernel, initrd, .. } = boot else {
        return Ok(());
    };
    for path in std::iter::once(kernel).chain(initrd) {
        if !path.is_file() {
            return Err(Refusal::Invalid(format!(
                "boot a machine by {}: give the absolute path of a file",
                path.display()
            )));
        }
    }
    Ok(())
}

/// Refuses one image more than there may be.
fn room_for_blueprint(tx: &mut dyn Tx, owner: &AccountId) -> Result<(), Refusal> {
    let used = blueprints_of(tx, owner)?;
    preflight::quota("images", used, 1, BLUEPRINTS_MAX).map_or(Ok(()), Err)
}

/// A job that makes a disk of the image.
fn user_of(tx: &mut dyn Tx, id: &BlueprintId) -> Result<Option<Holding>, Refusal> {
    let job = backout_jobs::holder_below(tx, &users_of(id))?;
    Ok(job.map(|job| Holding {
        job,
        kind: None,
        held: false,
    }))
}
