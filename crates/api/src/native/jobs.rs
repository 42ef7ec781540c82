//! Jobs and what happens to them.

use backout_core::code::Code;
use backout_core::ids::JobId;
use backout_core::outcome::Outcome;
use backout_jobs::{CancelAnswer, Filter, JobView, State};
use backout_servers::model::Subject;

use super::dto::{Accepted, Event, Job, List};
use super::names::{Named, Touches, if_there, named};
use super::{Call, Native, NativeError, PageOf, Result, action, bad_cursor};

/// Which jobs to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// `queued`, `running` or `done`; or how they ended: `applied`, `reverted` or
    /// `held`.
    pub state: Option<String>,
    /// `server/NAME`, `disk/NAME`, `database/NAME`, `app/NAME`, `engine/NAME`, one of
    /// them with an id, or just the name of a server.
    pub resource: Option<String>,
}

/// Which events of a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventsAfter {
    /// Those with a greater sequence number.
    pub seq: i64,
    /// At most so many.
    pub limit: usize,
}

impl Native {
    /// `GET /v1/jobs`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn list_jobs(
        &self,
        call: &Call,
        wanted: &JobFilter,
        page: &PageOf,
    ) -> Result<List<Job>> {
        self.admit(call, action::DESCRIBE_JOBS)?;
        let limit = page.limit()?;
        let cursor = page
            .cursor
            .as_deref()
            .map(str::parse)
            .transpose()
            .map_err(|_| bad_cursor())?;
        let (state, outcome) = match wanted.state.as_deref() {
            None => (None, None),
            Some(word) => match (State::parse(word), Outcome::parse(word)) {
                (None, None) => {
                    return Err(NativeError::malformed(
                        "list the jobs in this state: give queued, running, done, applied, reverted or held",
                    ));
                }
                found => found,
            },
        };
        let resource = match wanted.resource.as_deref() {
            None => None,
            Some(text) => Some(self.resource_of(call, text).await?),
        };
        let filter = Filter {
            account: Some(call.principal.owner.clone()),
            resource,
            state,
            outcome,
        };
        let found = self.parts.jobs.list(filter, cursor, limit).await?;
        Ok(List {
            items: found.jobs.into_iter().map(Into::into).collect(),
            next: found.next.map(|c| c.to_string()),
        })
    }

    /// The resource of jobs on what is named. It may be gone, its jobs are kept.
    async fn resource_of(&self, call: &Call, text: &str) -> Result<String> {
        let (owner, servers) = (&call.principal.owner, &self.parts.servers);
        match named(text)? {
            Named::Server(name) => {
                let found = if_there(servers.get(owner, name).await)?;
                Ok(found.map_or_else(|| format!("server/{name}"), |s| s.resource()))
            }
            Named::Disk(name) => {
                let found = if_there(servers.disk(owner, name).await)?;
                Ok(found.map_or_else(|| format!("disk/{name}"), |d| d.subject().resource()))
            }
            Named::Database(name) => self.database_resource(call, name).await,
            Named::App(name) => self.app_resource(call, name).await,
            Named::Engine(name) => self.engine_resource(call, name).await,
        }
    }

    /// `GET /v1/jobs/{job}`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn job(&self, call: &Call, job: &str) -> Result<Job> {
        self.limit(call, action::DESCRIBE_JOBS)?;
        let view = self.allowed_job(call, action::DESCRIBE_JOBS, job).await?;
        let steps = self.parts.jobs.steps(&view.id).await?;
        let mut out = Job::from(view);
        out.steps = Some(steps.into_iter().map(Into::into).collect());
        Ok(out)
    }

    /// `GET /v1/jobs/{job}/events`, as a list.
    ///
    /// # Errors
    /// A refusal.
    pub async fn events(&self, call: &Call, job: &str, after: EventsAfter) -> Result<Vec<Event>> {
        let id = self.watch_job(call, job).await?;
        let events = self.parts.jobs.events(&id, after.seq, after.limit).await?;
        Ok(events.into_iter().map(Into::into).collect())
    }

    /// Lets a caller in who wants to follow a job through [`Native::jobs`].
    ///
    /// # Errors
    /// A refusal.
    pub async fn watch_job(&self, call: &Call, job: &str) -> Result<JobId> {
        self.limit(call, action::DESCRIBE_JOBS)?;
        Ok(self.allowed_job(call, action::DESCRIBE_JOBS, job).await?.id)
    }

    /// `POST /v1/jobs/{job}/cancel`.
    ///
    /// # Errors
    /// A refusal: 409 when it comes too late.
    pub async fn cancel_job(&self, call: &Call, job: &str) -> Result<Accepted> {
        self.audited(call, action::CANCEL_JOB, &format!("job/{job}"), async {
            let view = self.allowed_job(call, action::CANCEL_JOB, job).await?;
            match self.parts.jobs.request_cancel(&view.id).await? {
                CancelAnswer::Requested | CancelAnswer::AlreadyRequested | CancelAnswer::AlreadyUndoing => {
                    Ok(Accepted { job: view.id.to_string() })
                }
                CancelAnswer::TooLate => Err(NativeError::new(
                    Code::JobState,
                    match view.outcome {
                        Some(Outcome::Held) => format!(
                            "cancel job {0}: it is held; put right what it names, then: backout jobs retry {0}",
                            view.id
                        ),
                        Some(Outcome::Reverted) => format!(
                            "cancel job {}: it has been taken back already, everything is as before",
                            view.id
                        ),
                        Some(Outcome::Applied) | None => format!(
                            "cancel job {0}: it has ended, or is past its last step that can be taken back; \
                             a rollback that ended as applied can be undone: backout undo {0}",
                            view.id
                        ),
                    },
                )),
            }
        })
        .await
    }

    /// `POST /v1/jobs/{job}/retry`.
    ///
    /// # Errors
    /// A refusal: 409 when it is not held.
    pub async fn retry_job(&self, call: &Call, job: &str) -> Result<Accepted> {
        self.audited(call, action::RETRY_JOB, &format!("job/{job}"), async {
            let view = self.allowed_job(call, action::RETRY_JOB, job).await?;
            self.parts.jobs.retry(&view.id).await?;
            Ok(Accepted {
                job: view.id.to_string(),
            })
        })
        .await
    }

    /// `POST /v1/jobs/{job}/undo`.
    ///
    /// # Errors
    /// A refusal: 409 when there is nothing to undo, or it is gone.
    pub async fn undo_job(&self, call: &Call, job: &str) -> Result<Accepted> {
        self.audited(call, action::ROLLBACK, &format!("job/{job}"), async {
            let view = self.allowed_job(call, action::ROLLBACK, job).await?;
            if let Some(Subject::Disk(id)) = subject_of(&view) {
                // A data disk's server is stopped for it.
                let disk = self
                    .allowed_disk(call, action::ROLLBACK, id.as_str(), Touches::ServerToo)
                    .await;
                if_there(disk)?;
            }
            if view.procedure.starts_with("apps.") {
                return self.undo_app_job(call, &view.id).await;
            }
            if view.procedure.starts_with("engines.") {
                return self.undo_engine_job(call, &view.resource, &view.id).await;
            }
            if view.procedure.starts_with("databases.") {
                return self.undo_database_job(call, &view.id).await;
            }
            let undo = self
                .parts
                .servers
                .undo(&Self::caller(call), &view.id)
                .await?;
            Ok(undo.into())
        })
        .await
    }

    /// A job of the caller's owner, if its policy allows `action` on what the
    /// job is about.
    async fn allowed_job(&self, call: &Call, action: &str, job: &str) -> Result<JobView> {
        let id: JobId = job
            .parse()
            .map_err(|e| NativeError::malformed(format!("read the job's id: {e}")))?;
        let view = match self.parts.jobs.get(&id).await {
            Ok(view) if view.account == call.principal.owner => view,
            // To whom a job is not visible it does not exist.
            Ok(_) => return Err(backout_jobs::JobsError::NotFound(id).into()),
            Err(e) => return Err(e.into()),
        };
        Self::allow(call, action, &[self.job_spellings(call, &view).await?])?;
        Ok(view)
    }

    /// Every way in which a policy may name what a job is about.
    async fn job_spellings(&self, call: &Call, job: &JobView) -> Result<Vec<String>> {
        // Without a policy there is nothing to compare with.
        if call.principal.policy.is_none() {
            return Ok(vec![job.resource.clone()]);
        }
        if let Some(id) = job.resource.strip_prefix("database/")
            && let Ok(id) = id.parse()
        {
            return self.database_spellings(call, &id).await;
        }
        if let Some(id) = job.resource.strip_prefix("application/")
            && let Ok(id) = id.parse()
        {
            return self.app_spellings(call, &id).await;
        }
        if let Some(id) = job.resource.strip_prefix("engine/") {
            return self.engine_spellings(call, id).await;
        }
        match subject_of(job) {
            Some(subject) => self.subject_spellings(call, &subject).await,
            None => Ok(vec![job.resource.clone()]),
        }
    }
}

/// The server or the disk that a job is about.
fn subject_of(job: &JobView) -> Option<Subject> {
    match job.resource.split_once('/')? {
        ("server", id) => id.parse().ok().map(Subject::Server),
        ("disk", id) => id.parse().ok().map(Subject::Disk),
        _ => None,
    }
}
