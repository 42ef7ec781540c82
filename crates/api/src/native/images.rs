//! Images that servers are made of.

use std::path::PathBuf;

use backout_servers::NewBlueprint;
use backout_servers::persistence::BlueprintFilter;

use super::dto::{Accepted, AddImage, CreateImage, CreatedImage, Image, List, boot_of};
use super::names::if_there;
use super::servers::format_of;
use super::{Call, Native, PageOf, Result, action, listed};

impl Native {
    /// `GET /v1/images`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn images(&self, call: &Call, page: &PageOf) -> Result<List<Image>> {
        self.admit(call, action::DESCRIBE_IMAGES)?;
        let page = page.rows()?;
        let (total, found) = self
            .parts
            .servers
            .blueprints(&call.principal.owner, BlueprintFilter::default(), page)
            .await?;
        Ok(listed(page, (total, found), Into::into))
    }

    /// `GET /v1/images/{image}`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn image(&self, call: &Call, image: &str) -> Result<Image> {
        self.limit(call, action::DESCRIBE_IMAGES)?;
        Ok(self
            .allowed_image(call, action::DESCRIBE_IMAGES, image)
            .await?
            .into())
    }

    /// `POST /v1/images`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn add_image(&self, call: &Call, new: AddImage) -> Result<Image> {
        let resource = format!("image/{}", new.name);
        self.audited(call, action::ADD_IMAGE, &resource, async {
            Self::allow(call, action::ADD_IMAGE, &[vec![resource.clone()]])?;
            let added = self
                .parts
                .servers
                .add_blueprint(
                    &Self::caller(call),
                    NewBlueprint {
                        format: format_of(new.format)?,
                        name: new.name,
                        description: new.description,
                        file: PathBuf::from(new.file),
                        boot: boot_of(new.boot),
                        tags: new.tags.into_iter().map(Into::into).collect(),
                    },
                )
                .await?;
            Ok(added.into())
        })
        .await
    }

    /// `POST /v1/servers/{server}/images`.
    ///
    /// # Errors
    /// The first blocker of the preflight, or another refusal.
    pub async fn create_image(
        &self,
        call: &Call,
        server: &str,
        new: CreateImage,
    ) -> Result<CreatedImage> {
        let about = format!("image/{} of server/{server}", new.name);
        self.audited(call, action::CREATE_IMAGE, &about, async {
            let named = vec![format!("image/{}", new.name)];
            Self::allow(call, action::CREATE_IMAGE, &[named])?;
            let server = self
                .allowed_server(call, action::CREATE_IMAGE, server)
                .await?;
            let (image, job) = self
                .parts
                .servers
                .create_blueprint(
                    &Self::caller(call),
                    &new.name,
                    &new.description,
                    server.id.as_str(),
                    new.force_stop,
                    new.tags.into_iter().map(Into::into).collect(),
                )
                .await?;
            Ok(CreatedImage {
                image_id: image.to_string(),
                job: job.to_string(),
            })
        })
        .await
    }

    /// `DELETE /v1/images/{image}`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn delete_image(&self, call: &Call, image: &str) -> Result<Accepted> {
        let about = format!("image/{image}");
        self.audited(call, action::DELETE_IMAGE, &about, async {
            let known = self.allowed_image(call, action::DELETE_IMAGE, image).await;
            // As with servers.
            let id = if_there(known)?.map_or_else(|| image.to_owned(), |i| i.id.to_string());
            let job = self
                .parts
                .servers
                .delete_blueprint(&Self::caller(call), &id)
                .await?;
            Ok(job.into())
        })
        .await
    }
}
