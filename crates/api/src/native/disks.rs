//! Data disks.

use std::path::PathBuf;

use backout_servers::model::Usage;
use backout_servers::persistence::DiskFilter;
use backout_servers::{NewDisk, Source};

use super::dto::{
    Accepted, AcceptedJobs, AddDisk, AddedDisk, AttachDisks, DetachDisks, List, ManagedDisk,
};
use super::names::{Touches, if_there};
use super::servers::{accepted_all, driver_of, format_of};
use super::{Call, Native, NativeError, PageOf, Result, action, listed};

/// Which disks to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DisksWanted {
    /// `system` or `data`.
    pub usage: Option<String>,
    /// Those of this server: its name or id.
    pub server: Option<String>,
}

impl Native {
    /// `GET /v1/disks`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn disks(
        &self,
        call: &Call,
        wanted: &DisksWanted,
        page: &PageOf,
    ) -> Result<List<ManagedDisk>> {
        self.admit(call, action::DESCRIBE_DISKS)?;
        let page = page.rows()?;
        let usage = match wanted.usage.as_deref() {
            None => None,
            Some(word) => Some(Usage::parse(word).ok_or_else(|| {
                NativeError::malformed("list the disks of this usage: give system or data")
            })?),
        };
        let owner = &call.principal.owner;
        let mut servers = Vec::new();
        if let Some(server) = &wanted.server {
            servers.push(self.parts.servers.get(owner, server).await?.id.to_string());
        }
        let filter = DiskFilter {
            usage,
            servers,
            ..DiskFilter::default()
        };
        let (total, found) = self.parts.servers.disks(owner, filter, page).await?;
        Ok(listed(page, (total, found), Into::into))
    }

    /// `GET /v1/disks/{disk}`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn disk(&self, call: &Call, disk: &str) -> Result<ManagedDisk> {
        self.limit(call, action::DESCRIBE_DISKS)?;
        let found = self
            .allowed_disk(call, action::DESCRIBE_DISKS, disk, Touches::Disk)
            .await?;
        Ok(found.into())
    }

    /// `POST /v1/disks`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn add_disk(&self, call: &Call, new: AddDisk) -> Result<AddedDisk> {
        let resource = format!("disk/{}", new.name);
        self.audited(call, action::ADD_DISK, &resource, async {
            Self::allow(call, action::ADD_DISK, &[vec![resource.clone()]])?;
            let source = match (new.file, new.size_bytes) {
                (Some(file), None) => Source::File(PathBuf::from(file)),
                (None, Some(size_bytes)) => Source::Blank { size_bytes },
                _ => {
                    return Err(NativeError::malformed(
                        "add a disk: give either file, an image that is there, or size_bytes, for a blank one",
                    ));
                }
            };
            let (disk, job) = self
                .parts
                .servers
                .add_disk(
                    &Self::caller(call),
                    NewDisk {
                        format: format_of(new.format)?,
                        name: new.name,
                        source,
                        driver: driver_of(new.driver)?,
                        tags: new.tags.into_iter().map(Into::into).collect(),
                    },
                )
                .await?;
            Ok(AddedDisk {
                disk: disk.into(),
                job: job.to_string(),
            })
        })
        .await
    }

    /// `DELETE /v1/disks/{disk}`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn remove_disk(&self, call: &Call, disk: &str) -> Result<Accepted> {
        let about = format!("disk/{disk}");
        self.audited(call, action::REMOVE_DISK, &about, async {
            let disk = self.disk_id(call, action::REMOVE_DISK, disk).await?;
            let job = self
                .parts
                .servers
                .remove_disk(&Self::caller(call), &disk)
                .await?;
            Ok(job.into())
        })
        .await
    }

    /// `POST /v1/attach`.
    ///
    /// # Errors
    /// The first blocker of the preflight, or another refusal.
    pub async fn attach_disks(&self, call: &Call, ask: &AttachDisks) -> Result<AcceptedJobs> {
        let about = format!("{} to server/{}", all(&ask.disks), ask.server);
        self.audited(call, action::ATTACH_DISKS, &about, async {
            let disks = self
                .allowed_disks(call, action::ATTACH_DISKS, &ask.disks)
                .await?;
            let server = self
                .allowed_server(call, action::ATTACH_DISKS, &ask.server)
                .await?;
            let jobs = self
                .parts
                .servers
                .attach(&Self::caller(call), &disks, server.id.as_str())
                .await?;
            accepted_all(jobs)
        })
        .await
    }

    /// `POST /v1/detach`.
    ///
    /// # Errors
    /// The first blocker of the preflight, or another refusal.
    pub async fn detach_disks(&self, call: &Call, ask: &DetachDisks) -> Result<AcceptedJobs> {
        self.audited(call, action::DETACH_DISKS, &all(&ask.disks), async {
            let disks = self
                .allowed_disks(call, action::DETACH_DISKS, &ask.disks)
                .await?;
            let jobs = self
                .parts
                .servers
                .detach(&Self::caller(call), &disks)
                .await?;
            accepted_all(jobs)
        })
        .await
    }

    /// The ids of disks, if the caller's policy allows `action` on each, and on
    /// the servers that use them.
    async fn allowed_disks(
        &self,
        call: &Call,
        action: &str,
        disks: &[String],
    ) -> Result<Vec<String>> {
        if disks.len() > backout_servers::BATCH_MAX {
            return Err(NativeError::malformed(format!(
                "name {} disks at once: give 1 to {}",
                disks.len(),
                backout_servers::BATCH_MAX
            )));
        }
        let mut ids = Vec::with_capacity(disks.len());
        for name in disks {
            ids.push(self.disk_id(call, action, name).await?);
        }
        Ok(ids)
    }

    /// The id of a disk; the name itself when there is none, as with servers.
    async fn disk_id(&self, call: &Call, action: &str, disk: &str) -> Result<String> {
        let found = self
            .allowed_disk(call, action, disk, Touches::ServerToo)
            .await;
        Ok(if_there(found)?.map_or_else(|| disk.to_owned(), |d| d.volume.id.to_string()))
    }
}

/// Several disks in an audit line.
fn all(disks: &[String]) -> String {
    let named: Vec<String> = disks.iter().map(|d| format!("disk/{d}")).collect();
    named.join(" ")
}
