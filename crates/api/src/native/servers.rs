//! Servers, snapshots, and the rollback of one to the other.

use std::path::PathBuf;

use backout_core::ids::{AccountId, JobId, PointId};
use backout_servers::model;
use backout_servers::persistence::{Page, ServerFilter, SnapshotFilter};
use backout_servers::{AskedBy, DiskRef, NewServer, Refusal};

use super::Kind;
use super::dto::{
    Accepted, AddServer, AddedServer, Checked, CreateSnapshot, CreatedSnapshot, List, Planned,
    Resource, RollbackTo, Server, Snapshot,
};
use super::{Call, Native, NativeError, PageOf, Result, action, next_offset, server_of};
use crate::front::REGIONS;

/// Every way in which a policy may name a server.
#[must_use]
pub(super) fn spellings(server: &model::Server) -> Vec<String> {
    let mut out = vec![format!("server/{}", server.name), server.resource()];
    out.extend(vendor_spellings(
        &server.owner,
        "instance",
        server.id.as_str(),
    ));
    out
}

/// The vendor's ways. All regions lead to the same resources, and a call of our
/// own names none: what is denied in one of them is denied here.
fn vendor_spellings(owner: &AccountId, kind: &str, id: &str) -> impl Iterator<Item = String> {
    std::iter::once("")
        .chain(REGIONS.iter().copied())
        .map(move |region| format!("qcs::lighthouse:{region}:uin/{owner}:{kind}/{id}"))
}

impl Native {
    /// `GET /v1/resources`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn resources(&self, call: &Call, page: &PageOf) -> Result<List<Resource>> {
        self.admit(call, action::LIST_RESOURCES)?;
        let list = self.server_page(call, page).await?;
        Ok(List {
            items: list
                .items
                .into_iter()
                .map(|s| Resource {
                    resource: s.resource,
                    kind: "server".into(),
                    id: s.id,
                    name: s.name,
                    state: s.state,
                })
                .collect(),
            next: list.next,
        })
    }

    /// `GET /v1/servers`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn servers(&self, call: &Call, page: &PageOf) -> Result<List<Server>> {
        self.admit(call, action::DESCRIBE_SERVERS)?;
        self.server_page(call, page).await
    }

    async fn server_page(&self, call: &Call, page: &PageOf) -> Result<List<Server>> {
        let (limit, offset) = (page.limit()?, page.offset()?);
        let (total, servers) = self
            .parts
            .servers
            .list(
                &call.principal.owner,
                ServerFilter::default(),
                Page {
                    offset,
                    limit: u64::try_from(limit).unwrap_or(u64::MAX),
                },
            )
            .await?;
        let next = next_offset(offset, servers.len(), total);
        Ok(List {
            items: servers.into_iter().map(Into::into).collect(),
            next,
        })
    }

    /// `GET /v1/servers/{server}`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn server(&self, call: &Call, server: &str) -> Result<Server> {
        self.limit(call, action::DESCRIBE_SERVERS)?;
        Ok(self
            .allowed_server(call, action::DESCRIBE_SERVERS, server)
            .await?
            .into())
    }

    /// A server of the caller's owner, if its policy allows `action` on it. A
    /// caller who may not is not told whether it exists.
    async fn allowed_server(
        &self,
        call: &Call,
        action: &str,
        server: &str,
    ) -> Result<model::Server> {
        match self.parts.servers.get(&call.principal.owner, server).await {
            Ok(server) => {
                Self::allow(call, action, &[spellings(&server)])?;
                Ok(server)
            }
            Err(e @ Refusal::ServerNotFound(_)) => {
                Self::allow(call, action, &[vec![format!("server/{server}")]])?;
                Err(e.into())
            }
            Err(e) => Err(e.into()),
        }
    }

    /// `POST /v1/servers`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn add_server(&self, call: &Call, new: AddServer) -> Result<AddedServer> {
        let resource = format!("server/{}", new.name);
        self.audited(call, action::ADD_SERVER, &resource, async {
            Self::allow(call, action::ADD_SERVER, &[vec![resource.clone()]])?;
            let driver = new
                .driver
                .map(|text| text.parse())
                .transpose()
                .map_err(|e: backout_disks::Error| NativeError::malformed(e.to_string()))?;
            let (server, job) = self
                .parts
                .servers
                .add(
                    &Self::caller(call),
                    NewServer {
                        name: new.name,
                        disk: PathBuf::from(new.disk),
                        driver,
                        commands: model::PowerCommands {
                            start: new.start_cmd,
                            stop: new.stop_cmd,
                        },
                        machine: None,
                        running: new.running,
                        tags: new.tags.into_iter().map(Into::into).collect(),
                    },
                )
                .await?;
            Ok(AddedServer {
                server: server.into(),
                job: job.to_string(),
            })
        })
        .await
    }

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
        let (limit, offset) = (page.limit()?, page.offset()?);
        let server = self
            .allowed_server(call, action::DESCRIBE_SNAPSHOTS, server)
            .await?;
        let filter = SnapshotFilter {
            subjects: vec![server.id.to_string()],
            ..SnapshotFilter::default()
        };
        let page = Page {
            offset,
            limit: u64::try_from(limit).unwrap_or(u64::MAX),
        };
        let (total, snapshots) = self
            .parts
            .servers
            .snapshots(&call.principal.owner, filter, page)
            .await?;
        let next = next_offset(offset, snapshots.len(), total);
        Ok(List {
            items: snapshots.into_iter().map(Into::into).collect(),
            next,
        })
    }

    /// `DELETE /v1/servers/{server}`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn release_server(&self, call: &Call, server: &str) -> Result<Accepted> {
        let named = format!("server/{server}");
        self.audited(call, action::RELEASE_SERVER, &named, async {
            let known = match self
                .allowed_server(call, action::RELEASE_SERVER, server)
                .await
            {
                Ok(server) => server.id.to_string(),
                // An earlier call with the same idempotency key may have
                // released it by now: the product knows.
                Err(e) if e.kind == Kind::NotFound => server.to_owned(),
                Err(e) => return Err(e),
            };
            let job = self
                .parts
                .servers
                .release(&Self::caller(call), &known)
                .await?;
            Ok(Accepted {
                job: job.to_string(),
            })
        })
        .await
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
        self.audited(
            call,
            action::CREATE_SNAPSHOT,
            &format!("server/{server}"),
            async {
                let server = self
                    .allowed_server(call, action::CREATE_SNAPSHOT, server)
                    .await?;
                let tags = new.tags.into_iter().map(Into::into).collect();
                let (snapshot, job) = self
                    .parts
                    .servers
                    .create_snapshot(
                        &Self::caller(call),
                        DiskRef::Of(server.id.to_string()),
                        new.name,
                        tags,
                        AskedBy::Caller,
                    )
                    .await?;
                Ok(CreatedSnapshot {
                    snapshot_id: snapshot.to_string(),
                    job: job.to_string(),
                })
            },
        )
        .await
    }

    /// `DELETE /v1/snapshots/{snapshot}`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn delete_snapshot(&self, call: &Call, snapshot: &str) -> Result<Accepted> {
        let named = format!("snapshot/{snapshot}");
        self.audited(call, action::DELETE_SNAPSHOT, &named, async {
            // By id alone: names of different servers may be equal.
            let known = match snapshot.parse::<PointId>() {
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
            let known = match known {
                Err(Refusal::SnapshotNotFound(name)) => {
                    Self::allow(call, action::DELETE_SNAPSHOT, &[vec![named.clone()]])?;
                    // The job of an earlier call with the same idempotency key may
                    // have deleted it by now.
                    let jobs = self
                        .parts
                        .servers
                        .delete_snapshots(&Self::caller(call), &[name])
                        .await?;
                    return accepted(jobs.first());
                }
                other => other?,
            };
            let mut all = vec![named.clone(), known.subject.resource()];
            if let Some(server) = known.server() {
                let server = self
                    .parts
                    .servers
                    .get(&call.principal.owner, server.as_str())
                    .await?;
                all.extend(spellings(&server));
            }
            all.extend(vendor_spellings(
                &known.owner,
                "snapshot",
                known.id.as_str(),
            ));
            Self::allow(call, action::DELETE_SNAPSHOT, &[all])?;
            let jobs = self
                .parts
                .servers
                .delete_snapshots(&Self::caller(call), &[known.id.to_string()])
                .await?;
            accepted(jobs.first())
        })
        .await
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
        let server = self
            .allowed_server(call, action::CHECK, server_of(&ask.resource)?)
            .await?;
        let proposal = self
            .parts
            .servers
            .propose_rollback(
                &call.principal.owner,
                DiskRef::Of(server.id.to_string()),
                &ask.to,
            )
            .await?;
        Ok(Planned {
            passed: proposal.preflight.passed(),
            preflight: proposal.preflight.into(),
            plan: proposal.plan.into(),
        })
    }

    /// `POST /v1/rollback`.
    ///
    /// # Errors
    /// The first blocker of the preflight, or another refusal.
    pub async fn rollback(&self, call: &Call, ask: &RollbackTo) -> Result<Accepted> {
        self.audited(
            call,
            action::ROLLBACK,
            &format!("{} to {}", ask.resource, ask.to),
            async {
                let server = self
                    .allowed_server(call, action::ROLLBACK, server_of(&ask.resource)?)
                    .await?;
                let job = self
                    .parts
                    .servers
                    .apply_snapshot(
                        &Self::caller(call),
                        DiskRef::Of(server.id.to_string()),
                        &ask.to,
                    )
                    .await?;
                Ok(Accepted {
                    job: job.to_string(),
                })
            },
        )
        .await
    }
}

fn accepted(job: Option<&JobId>) -> Result<Accepted> {
    job.map(|job| Accepted {
        job: job.to_string(),
    })
    .ok_or_else(|| NativeError::internal("start a job: none was made"))
}
