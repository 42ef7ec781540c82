//! Restore points of servers and data disks, and the way back to them.

use backout_core::ids::PointId;
use backout_servers::model::{Subject, Usage};
use backout_servers::persistence::SnapshotFilter;
use backout_servers::{AskedBy, DiskRef, Proposal, Refusal};

use super::dto::{
    Accepted, Checked, CreateSnapshot, CreatedSnapshot, List, OneResource, Planned, Rename,
    RollbackTo, Snapshot,
};
use super::names::{Touches, if_there};
use super::{Call, Native, NativeError, ONE, PageOf, Result, action, listed};

impl Native {
    /// `GET /v1/servers/{server}/snapshots`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn snapshots(
        &self,
        call: &Call,
        server: &str,
        page: &PageOf,
    ) -> Result<List<Snapshot>> {
        self.limit(call, action::DESCRIBE_SNAPSHOTS)?;
        let server = self
            .allowed_server(call, action::DESCRIBE_SNAPSHOTS, server)
            .await?;
        self.points_of(call, &Subject::Server(server.id), page)
            .await
    }

    /// `GET /v1/disks/{disk}/snapshots`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn disk_snapshots(
        &self,
        call: &Call,
        disk: &str,
        page: &PageOf,
    ) -> Result<List<Snapshot>> {
        self.limit(call, action::DESCRIBE_SNAPSHOTS)?;
        let disk = self
            .allowed_disk(call, action::DESCRIBE_SNAPSHOTS, disk, Touches::Disk)
            .await?;
        self.points_of(call, &disk.subject(), page).await
    }

    async fn points_of(
        &self,
        call: &Call,
        subject: &Subject,
        page: &PageOf,
    ) -> Result<List<Snapshot>> {
        let page = page.rows()?;
        let id = match subject {
            Subject::Server(id) => id.to_string(),
            Subject::Disk(id) => id.to_string(),
        };
        let filter = SnapshotFilter {
            subjects: vec![id],
            usage: Some(match subject {
                Subject::Server(_) => Usage::System,
                Subject::Disk(_) => Usage::Data,
            }),
            ..SnapshotFilter::default()
        };
        let (total, snapshots) = self
            .parts
            .servers
            .snapshots(&call.principal.owner, filter, page)
            .await?;
        Ok(listed(page, (total, snapshots), Into::into))
    }

    /// `POST /v1/servers/{server}/snapshots`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn create_snapshot(
        &self,
        call: &Call,
        server: &str,
        new: CreateSnapshot,
    ) -> Result<CreatedSnapshot> {
        let about = format!("server/{server}");
        self.audited(call, action::CREATE_SNAPSHOT, &about, async {
            let server = self
                .allowed_server(call, action::CREATE_SNAPSHOT, server)
                .await?;
            self.take(call, DiskRef::Of(server.id.to_string()), new)
                .await
        })
        .await
    }

    /// `POST /v1/disks/{disk}/snapshots`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn create_disk_snapshot(
        &self,
        call: &Call,
        disk: &str,
        new: CreateSnapshot,
    ) -> Result<CreatedSnapshot> {
        let about = format!("disk/{disk}");
        self.audited(call, action::CREATE_SNAPSHOT, &about, async {
            // Its machine stands still for it.
            let disk = self
                .allowed_disk(call, action::CREATE_SNAPSHOT, disk, Touches::ServerToo)
                .await?;
            self.take(call, DiskRef::from(&disk.subject()), new).await
        })
        .await
    }

    async fn take(
        &self,
        call: &Call,
        disk: DiskRef,
        new: CreateSnapshot,
    ) -> Result<CreatedSnapshot> {
        let tags = new.tags.into_iter().map(Into::into).collect();
        let (snapshot, job) = self
            .parts
            .servers
            .create_snapshot(&Self::caller(call), disk, new.name, tags, AskedBy::Caller)
            .await?;
        Ok(CreatedSnapshot {
            snapshot_id: snapshot.to_string(),
            job: job.to_string(),
        })
    }

    /// `PATCH /v1/snapshots/{snapshot}`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn rename_snapshot(
        &self,
        call: &Call,
        snapshot: &str,
        ask: &Rename,
    ) -> Result<Snapshot> {
        let about = format!("snapshot/{snapshot} to {}", ask.name);
        self.audited(call, action::RENAME_SNAPSHOT, &about, async {
            let id = self
                .allowed_point(call, action::RENAME_SNAPSHOT, snapshot)
                .await?;
            let owner = &call.principal.owner;
            self.parts
                .servers
                .rename_snapshot(owner, &id, &ask.name)
                .await?;
            let filter = SnapshotFilter {
                ids: vec![id.clone()],
                ..SnapshotFilter::default()
            };
            let (_, found) = self.parts.servers.snapshots(owner, filter, ONE).await?;
            let renamed = found.into_iter().next();
            Ok(renamed.ok_or(Refusal::SnapshotNotFound(id))?.into())
        })
        .await
    }

    /// `DELETE /v1/snapshots/{snapshot}`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn delete_snapshot(&self, call: &Call, snapshot: &str) -> Result<Accepted> {
        let named = format!("snapshot/{snapshot}");
        self.audited(call, action::DELETE_SNAPSHOT, &named, async {
            let known = self
                .allowed_point(call, action::DELETE_SNAPSHOT, snapshot)
                .await;
            // The job of an earlier call with the same idempotency key may have
            // deleted it by now: the product knows.
            let id = if_there(known)?.unwrap_or_else(|| snapshot.chars().take(80).collect());
            let jobs = self
                .parts
                .servers
                .delete_snapshots(&Self::caller(call), &[id])
                .await?;
            let job = jobs.into_iter().next();
            job.map(Into::into)
                .ok_or_else(|| NativeError::internal("start a job: none was made"))
        })
        .await
    }

    /// The id of a restore point, if the caller's policy allows `action` on it.
    /// By id alone: names of different servers may be equal.
    async fn allowed_point(&self, call: &Call, action: &str, snapshot: &str) -> Result<String> {
        let found = match snapshot.parse::<PointId>() {
            Ok(_) => {
                self.parts
                    .servers
                    .snapshot(&call.principal.owner, None, snapshot)
                    .await
            }
            Err(_) => Err(Refusal::SnapshotNotFound(
                snapshot.chars().take(80).collect(),
            )),
        };
        match found {
            Ok(point) => {
                let all = self.point_spellings(call, &point).await?;
                Self::allow(call, action, &[all])?;
                Ok(point.id.to_string())
            }
            Err(e @ Refusal::SnapshotNotFound(_)) => {
                Self::allow(call, action, &[vec![format!("snapshot/{snapshot}")]])?;
                Err(e.into())
            }
            Err(e) => Err(e.into()),
        }
    }

    /// `POST /v1/check`.
    ///
    /// # Errors
    /// A refusal. What the preflight finds is no refusal.
    pub async fn check(&self, call: &Call, ask: &RollbackTo) -> Result<Checked> {
        let Planned {
            passed,
            preflight,
            plan: _,
        } = self.plan(call, ask).await?;
        Ok(Checked { passed, preflight })
    }

    /// `POST /v1/plan`.
    ///
    /// # Errors
    /// A refusal. What the preflight finds is no refusal.
    pub async fn plan(&self, call: &Call, ask: &RollbackTo) -> Result<Planned> {
        self.limit(call, action::CHECK)?;
        let target = self
            .allowed_target(call, action::CHECK, &ask.resource, Touches::ServerToo)
            .await?;
        let proposal = self
            .parts
            .servers
            .propose_rollback(&call.principal.owner, DiskRef::from(&target), &ask.to)
            .await?;
        Ok(proposal.into())
    }

    /// `POST /v1/rollback`.
    ///
    /// # Errors
    /// The first blocker of the preflight, or another refusal.
    pub async fn rollback(&self, call: &Call, ask: &RollbackTo) -> Result<Accepted> {
        let about = format!("{} to {}", ask.resource, ask.to);
        self.audited(call, action::ROLLBACK, &about, async {
            let target = self
                .allowed_target(call, action::ROLLBACK, &ask.resource, Touches::ServerToo)
                .await?;
            let job = self
                .parts
                .servers
                .apply_snapshot(&Self::caller(call), DiskRef::from(&target), &ask.to)
                .await?;
            Ok(job.into())
        })
        .await
    }

    /// `POST /v1/compact/plan`.
    ///
    /// # Errors
    /// A refusal. What the preflight finds is no refusal.
    pub async fn plan_compact(&self, call: &Call, ask: &OneResource) -> Result<Planned> {
        self.limit(call, action::COMPACT)?;
        let target = self
            .allowed_target(call, action::COMPACT, &ask.resource, Touches::Disk)
            .await?;
        let proposal = self
            .parts
            .servers
            .propose_compact(&call.principal.owner, DiskRef::from(&target))
            .await?;
        Ok(proposal.into())
    }

    /// `POST /v1/compact`.
    ///
    /// # Errors
    /// The first blocker of the preflight, or another refusal.
    pub async fn compact(&self, call: &Call, ask: &OneResource) -> Result<Accepted> {
        self.audited(call, action::COMPACT, &ask.resource, async {
            let target = self
                .allowed_target(call, action::COMPACT, &ask.resource, Touches::Disk)
                .await?;
            let job = self
                .parts
                .servers
                .compact(&Self::caller(call), DiskRef::from(&target))
                .await?;
            Ok(job.into())
        })
        .await
    }
}

impl From<Proposal> for Planned {
    fn from(p: Proposal) -> Self {
        Self {
            passed: p.preflight.passed(),
            preflight: p.preflight.into(),
            plan: p.plan.into(),
        }
    }
}
