//! Servers, from the first day to the last.

use std::path::PathBuf;

use backout_core::ids::JobId;
use backout_servers::persistence::{DiskFilter, Page, ServerFilter};
use backout_servers::{NewInstances, NewServer, model};

use super::dto::{
    Accepted, AcceptedJobs, AddServer, AddedServer, ChangeServer, CreateServers, CreatedServer,
    CreatedServers, IsolateServers, List, OnServers, Planned, ResetServer, Resource, Server,
    ServerSizes, SetSchedule, StopServers,
};
use super::names::if_there;
use super::{Call, Native, NativeError, PageOf, Result, action, listed};

/// How many disks are read at a time to be shown beside their servers.
const DISKS_PAGE: u64 = 100;

impl Native {
    /// `GET /v1/resources`: the servers, after them the data disks, and after
    /// those the databases, the applications and the data engines.
    ///
    /// # Errors
    /// A refusal.
    pub async fn resources(&self, call: &Call, page: &PageOf) -> Result<List<Resource>> {
        self.admit(call, action::LIST_RESOURCES)?;
        let page = page.rows()?;
        let mut all = Joined {
            page,
            total: 0,
            items: Vec::new(),
        };
        all.add(self.server_resources(call, all.rest()).await?);
        all.add(self.disk_resources(call, all.rest()).await?);
        all.add(self.database_resources(call, all.rest()).await?);
        all.add(self.app_resources(call, all.rest()).await?);
        all.add(self.engine_resources(call, all.rest()).await?);
        Ok(listed(page, (all.total, all.items), |r| r))
    }

    async fn server_resources(&self, call: &Call, page: Page) -> Result<(u64, Vec<Resource>)> {
        let (owner, servers) = (&call.principal.owner, &self.parts.servers);
        let (total, found) = servers.list(owner, ServerFilter::default(), page).await?;
        let items = found.into_iter().map(|s| Resource {
            resource: format!("server/{}", s.name),
            kind: "server".into(),
            id: s.id.to_string(),
            name: s.name,
            state: s.power.as_str().into(),
        });
        Ok((total, items.collect()))
    }

    async fn disk_resources(&self, call: &Call, page: Page) -> Result<(u64, Vec<Resource>)> {
        let data = DiskFilter {
            usage: Some(model::Usage::Data),
            ..DiskFilter::default()
        };
        let (owner, servers) = (&call.principal.owner, &self.parts.servers);
        let (total, found) = servers.disks(owner, data, page).await?;
        let items = found.into_iter().map(|d| Resource {
            resource: format!("disk/{}", d.name),
            kind: "disk".into(),
            id: d.volume.id.to_string(),
            name: d.name,
            state: d.state.as_str().into(),
        });
        Ok((total, items.collect()))
    }

    /// `GET /v1/servers`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn servers(&self, call: &Call, page: &PageOf) -> Result<List<Server>> {
        self.admit(call, action::DESCRIBE_SERVERS)?;
        let page = page.rows()?;
        let (total, found) = self
            .parts
            .servers
            .list(&call.principal.owner, ServerFilter::default(), page)
            .await?;
        let shown = self.shown(call, found).await?;
        Ok(listed(page, (total, shown), |s| s))
    }

    /// `GET /v1/servers/{server}`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn server(&self, call: &Call, server: &str) -> Result<Server> {
        self.limit(call, action::DESCRIBE_SERVERS)?;
        let server = self
            .allowed_server(call, action::DESCRIBE_SERVERS, server)
            .await?;
        self.shown_one(call, server).await
    }

    async fn shown_one(&self, call: &Call, server: model::Server) -> Result<Server> {
        let mut shown = self.shown(call, vec![server]).await?;
        shown
            .pop()
            .ok_or_else(|| NativeError::internal("show a server: a fault inside"))
    }

    /// Servers with the data disks that they use.
    async fn shown(&self, call: &Call, servers: Vec<model::Server>) -> Result<Vec<Server>> {
        let mut disks = Vec::new();
        let filter = DiskFilter {
            servers: servers.iter().map(|s| s.id.to_string()).collect(),
            usage: Some(model::Usage::Data),
            ascending: true,
            nothing: servers.is_empty(),
            ..DiskFilter::default()
        };
        loop {
            let page = Page {
                offset: u64::try_from(disks.len()).unwrap_or(u64::MAX),
                limit: DISKS_PAGE,
            };
            let (total, found) = self
                .parts
                .servers
                .disks(&call.principal.owner, filter.clone(), page)
                .await?;
            let none = found.is_empty();
            disks.extend(found);
            if none || u64::try_from(disks.len()).unwrap_or(u64::MAX) >= total {
                break;
            }
        }
        Ok(servers.into_iter().map(|s| Server::of(s, &disks)).collect())
    }

    /// `POST /v1/servers`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn add_server(&self, call: &Call, new: AddServer) -> Result<AddedServer> {
        let resource = format!("server/{}", new.name);
        self.audited(call, action::ADD_SERVER, &resource, async {
            Self::allow(call, action::ADD_SERVER, &[vec![resource.clone()]])?;
            let (server, job) = self
                .parts
                .servers
                .add(
                    &Self::caller(call),
                    NewServer {
                        format: format_of(new.format)?,
                        name: new.name,
                        disk: PathBuf::from(new.disk),
                        driver: driver_of(new.driver)?,
                        commands: model::PowerCommands {
                            start: new.start_cmd,
                            stop: new.stop_cmd,
                        },
                        machine: new.machine.map(Into::into),
                        running: new.running,
                        tags: new.tags.into_iter().map(Into::into).collect(),
                    },
                )
                .await?;
            Ok(AddedServer {
                server: self.shown_one(call, server).await?,
                job: job.to_string(),
            })
        })
        .await
    }

    /// `GET /v1/sizes`.
    ///
    /// # Errors
    /// A refusal.
    pub fn sizes(&self, call: &Call) -> Result<ServerSizes> {
        self.admit(call, action::DESCRIBE_SIZES)?;
        let items = self.parts.servers.bundles();
        Ok(ServerSizes {
            items: items.iter().map(Into::into).collect(),
        })
    }

    /// `POST /v1/images/{image}/servers/plan`: of the first of them.
    ///
    /// # Errors
    /// A refusal. What the preflight finds is no refusal.
    pub async fn plan_servers(
        &self,
        call: &Call,
        image: &str,
        new: CreateServers,
    ) -> Result<Planned> {
        self.limit(call, action::CREATE_SERVERS)?;
        let new = self.new_instances(call, image, new).await?;
        let proposal = self
            .parts
            .servers
            .propose_create(&call.principal.owner, &new)
            .await?;
        Ok(proposal.into())
    }

    /// `POST /v1/images/{image}/servers`.
    ///
    /// # Errors
    /// The first blocker of the preflight, or another refusal.
    pub async fn create_servers(
        &self,
        call: &Call,
        image: &str,
        new: CreateServers,
    ) -> Result<CreatedServers> {
        let about = format!(
            "server/{} of image/{image}",
            new.name.as_deref().unwrap_or("*")
        );
        self.audited(call, action::CREATE_SERVERS, &about, async {
            let new = self.new_instances(call, image, new).await?;
            let made = self.parts.servers.create(&Self::caller(call), new).await?;
            let servers = made.into_iter().map(|(id, job)| CreatedServer {
                id: id.to_string(),
                job: job.to_string(),
            });
            Ok(CreatedServers {
                servers: servers.collect(),
            })
        })
        .await
    }

    /// What is asked of the product, if the caller's policy allows it: on the
    /// servers that there will be, and on the image.
    async fn new_instances(
        &self,
        call: &Call,
        image: &str,
        new: CreateServers,
    ) -> Result<NewInstances> {
        let will_be = match &new.name {
            Some(name) if new.count <= 1 => vec![vec![format!("server/{name}")]],
            Some(name) => (1..=new.count.min(SERVERS_JUDGED_MAX))
                .map(|n| vec![format!("server/{name}-{n}")])
                .collect(),
            None => Vec::new(),
        };
        Self::allow(call, action::CREATE_SERVERS, &will_be)?;
        let known = self
            .allowed_image(call, action::CREATE_SERVERS, image)
            .await;
        // An earlier call with the same idempotency key may have used it before it
        // was deleted: the product knows.
        let blueprint = if_there(known)?.map_or_else(|| image.to_owned(), |i| i.id.to_string());
        Ok(NewInstances {
            name: new.name,
            count: new.count,
            bundle: new.size,
            blueprint,
            tags: new.tags.into_iter().map(Into::into).collect(),
            forwards: new.forwards.into_iter().map(Into::into).collect(),
        })
    }

    /// `POST /v1/start`.
    ///
    /// # Errors
    /// The first blocker of the preflight, or another refusal.
    pub async fn start_servers(&self, call: &Call, ask: &OnServers) -> Result<AcceptedJobs> {
        self.audited(call, action::START_SERVERS, &all(&ask.servers), async {
            let servers = self
                .allowed_servers(call, action::START_SERVERS, &ask.servers)
                .await?;
            let jobs = self
                .parts
                .servers
                .start(&Self::caller(call), &servers)
                .await?;
            accepted_all(jobs)
        })
        .await
    }

    /// `POST /v1/stop`.
    ///
    /// # Errors
    /// The first blocker of the preflight, or another refusal.
    pub async fn stop_servers(&self, call: &Call, ask: &StopServers) -> Result<AcceptedJobs> {
        self.audited(call, action::STOP_SERVERS, &all(&ask.servers), async {
            let servers = self
                .allowed_servers(call, action::STOP_SERVERS, &ask.servers)
                .await?;
            let how = ask.how.into();
            let jobs = self
                .parts
                .servers
                .stop(&Self::caller(call), &servers, how)
                .await?;
            accepted_all(jobs)
        })
        .await
    }

    /// `POST /v1/reboot`.
    ///
    /// # Errors
    /// The first blocker of the preflight, or another refusal.
    pub async fn reboot_servers(&self, call: &Call, ask: &StopServers) -> Result<AcceptedJobs> {
        self.audited(call, action::REBOOT_SERVERS, &all(&ask.servers), async {
            let servers = self
                .allowed_servers(call, action::REBOOT_SERVERS, &ask.servers)
                .await?;
            let how = ask.how.into();
            let jobs = self
                .parts
                .servers
                .reboot(&Self::caller(call), &servers, how)
                .await?;
            accepted_all(jobs)
        })
        .await
    }

    /// `POST /v1/isolate`.
    ///
    /// # Errors
    /// The first blocker of the preflight, or another refusal.
    pub async fn isolate_servers(&self, call: &Call, ask: &IsolateServers) -> Result<AcceptedJobs> {
        self.audited(call, action::ISOLATE_SERVERS, &all(&ask.servers), async {
            let servers = self
                .allowed_servers(call, action::ISOLATE_SERVERS, &ask.servers)
                .await?;
            let jobs = self
                .parts
                .servers
                .isolate(&Self::caller(call), &servers, ask.with_disks)
                .await?;
            accepted_all(jobs)
        })
        .await
    }

    /// `POST /v1/terminate`.
    ///
    /// # Errors
    /// The first blocker of the preflight, or another refusal.
    pub async fn terminate_servers(&self, call: &Call, ask: &OnServers) -> Result<AcceptedJobs> {
        self.audited(call, action::TERMINATE_SERVERS, &all(&ask.servers), async {
            let servers = self
                .allowed_servers(call, action::TERMINATE_SERVERS, &ask.servers)
                .await?;
            let jobs = self
                .parts
                .servers
                .terminate(&Self::caller(call), &servers)
                .await?;
            accepted_all(jobs)
        })
        .await
    }

    /// The ids of servers, if the caller's policy allows `action` on each.
    async fn allowed_servers(
        &self,
        call: &Call,
        action: &str,
        servers: &[String],
    ) -> Result<Vec<String>> {
        if servers.len() > backout_servers::BATCH_MAX {
            return Err(NativeError::malformed(format!(
                "name {} servers at once: give 1 to {}",
                servers.len(),
                backout_servers::BATCH_MAX
            )));
        }
        let mut ids = Vec::with_capacity(servers.len());
        for name in servers {
            ids.push(self.server_id(call, action, name).await?);
        }
        Ok(ids)
    }

    /// The id of a server, if the caller's policy allows `action` on it; the
    /// name itself when there is none: an earlier call with the same
    /// idempotency key may have removed or renamed it by now. The product knows.
    async fn server_id(&self, call: &Call, action: &str, server: &str) -> Result<String> {
        let found = if_there(self.allowed_server(call, action, server).await)?;
        Ok(found.map_or_else(|| server.to_owned(), |s| s.id.to_string()))
    }

    /// `POST /v1/servers/{server}/reset`.
    ///
    /// # Errors
    /// The first blocker of the preflight, or another refusal.
    pub async fn reset_server(
        &self,
        call: &Call,
        server: &str,
        ask: &ResetServer,
    ) -> Result<Accepted> {
        let about = format!("server/{server}");
        self.audited(call, action::RESET_SERVER, &about, async {
            let server = self.server_id(call, action::RESET_SERVER, server).await?;
            if let Some(image) = &ask.image {
                self.allowed_image(call, action::RESET_SERVER, image)
                    .await?;
            }
            let job = self
                .parts
                .servers
                .reset(&Self::caller(call), &server, ask.image.as_deref())
                .await?;
            Ok(job.into())
        })
        .await
    }

    /// `PATCH /v1/servers/{server}`: another name, or other commands.
    ///
    /// # Errors
    /// A refusal.
    pub async fn change_server(
        &self,
        call: &Call,
        server: &str,
        ask: ChangeServer,
    ) -> Result<Server> {
        match ask {
            ChangeServer {
                name: Some(name),
                start_cmd: None,
                stop_cmd: None,
            } => self.rename_server(call, server, &name).await,
            ChangeServer {
                name: None,
                start_cmd,
                stop_cmd,
            } if start_cmd.is_some() || stop_cmd.is_some() => {
                self.set_commands(call, server, start_cmd, stop_cmd).await
            }
            // One change would be made, and the other perhaps refused.
            _ => Err(NativeError::malformed(
                "change a server: give either name, or start_cmd, stop_cmd or both",
            )),
        }
    }

    async fn rename_server(&self, call: &Call, server: &str, name: &str) -> Result<Server> {
        let about = format!("server/{server} to {name}");
        self.audited(call, action::RENAME_SERVER, &about, async {
            let known = self
                .allowed_server(call, action::RENAME_SERVER, server)
                .await?;
            // What it is called decides what policies say of it.
            Self::allow(
                call,
                action::RENAME_SERVER,
                &[vec![format!("server/{name}")]],
            )?;
            let id = known.id.to_string();
            self.parts
                .servers
                .rename(&Self::caller(call), std::slice::from_ref(&id), name)
                .await?;
            let renamed = self.parts.servers.get(&call.principal.owner, &id).await?;
            self.shown_one(call, renamed).await
        })
        .await
    }

    /// The texts themselves are not audited: they may hold secrets.
    async fn set_commands(
        &self,
        call: &Call,
        server: &str,
        start: Option<String>,
        stop: Option<String>,
    ) -> Result<Server> {
        let which = match (&start, &stop) {
            (Some(_), Some(_)) => "start and stop command",
            (Some(_), None) => "start command",
            _ => "stop command",
        };
        let about = format!("server/{server}: its {which}");
        self.audited(call, action::RENAME_SERVER, &about, async {
            let known = self
                .allowed_server(call, action::RENAME_SERVER, server)
                .await?;
            // A command runs on this host: who may give a server one is who may
            // add a server with one, and not all who may rename it.
            Self::allow(
                call,
                action::ADD_SERVER,
                &[vec![format!("server/{}", known.name)]],
            )?;
            let given = |text: String| (!text.is_empty()).then_some(text);
            let changed = self
                .parts
                .servers
                .set_commands(
                    &Self::caller(call),
                    known.id.as_str(),
                    start.map(given),
                    stop.map(given),
                )
                .await?;
            self.shown_one(call, changed).await
        })
        .await
    }

    /// `PUT /v1/servers/{server}/schedule`, and `DELETE` with none.
    ///
    /// # Errors
    /// A refusal.
    pub async fn set_schedule(
        &self,
        call: &Call,
        server: &str,
        ask: Option<SetSchedule>,
    ) -> Result<Server> {
        let about = format!("server/{server}");
        self.audited(call, action::SCHEDULE_SNAPSHOTS, &about, async {
            let known = self
                .allowed_server(call, action::SCHEDULE_SNAPSHOTS, server)
                .await?;
            let schedule = ask.map(|s| (s.every_seconds.saturating_mul(1000), s.keep));
            let server = self
                .parts
                .servers
                .set_schedule(&Self::caller(call), known.id.as_str(), schedule)
                .await?;
            self.shown_one(call, server).await
        })
        .await
    }

    /// `DELETE /v1/servers/{server}`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn release_server(&self, call: &Call, server: &str) -> Result<Accepted> {
        let named = format!("server/{server}");
        self.audited(call, action::RELEASE_SERVER, &named, async {
            let server = self.server_id(call, action::RELEASE_SERVER, server).await?;
            let job = self
                .parts
                .servers
                .release(&Self::caller(call), &server)
                .await?;
            Ok(job.into())
        })
        .await
    }
}

/// How many servers that are to be made are judged one by one: more than one
/// call may make, so what is beyond is refused by the product.
const SERVERS_JUDGED_MAX: u32 = 101;

/// A page of several lists, one after the other.
struct Joined {
    page: Page,
    total: u64,
    items: Vec<Resource>,
}

impl Joined {
    /// The page of the list that follows; one without room still has to know how
    /// many there are.
    fn rest(&self) -> Page {
        let got = u64::try_from(self.items.len()).unwrap_or(u64::MAX);
        Page {
            offset: self.page.offset.saturating_sub(self.total),
            limit: self.page.limit.saturating_sub(got),
        }
    }

    fn add(&mut self, (total, items): (u64, Vec<Resource>)) {
        self.total += total;
        self.items.extend(items);
    }
}

/// A driver by its word.
pub(super) fn driver_of(word: Option<String>) -> Result<Option<backout_disks::DriverKind>> {
    word.map(|text| text.parse())
        .transpose()
        .map_err(|e: backout_disks::Error| NativeError::malformed(e.to_string()))
}

/// A format by its word.
pub(super) fn format_of(word: Option<String>) -> Result<Option<backout_disks::Format>> {
    word.map(|text| text.parse())
        .transpose()
        .map_err(|e: backout_disks::Error| NativeError::malformed(e.to_string()))
}

/// Several servers in an audit line.
fn all(servers: &[String]) -> String {
    let named: Vec<String> = servers.iter().map(|s| format!("server/{s}")).collect();
    named.join(" ")
}

/// The jobs of one call.
pub(super) fn accepted_all(jobs: Vec<JobId>) -> Result<AcceptedJobs> {
    if jobs.is_empty() {
        return Err(NativeError::internal("start jobs: none was made"));
    }
    Ok(AcceptedJobs {
        jobs: jobs.iter().map(ToString::to_string).collect(),
    })
}
