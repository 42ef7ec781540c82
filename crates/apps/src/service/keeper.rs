//! What is done without being asked for: what should run is made to run, what
//! happened to replicas is written down, scaling rules are followed, and what no
//! rollback may need any more is forgotten.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use backout_core::ids::{ApplicationId, JobId, ReplicaId, RequestId};
use backout_core::plan::{Plan, PlannedStep};
use backout_core::time::Timestamp;
use backout_jobs::{NewJob, Registry, SubmitError};
use backout_store::{Error as StoreError, Tx};
use backout_workloads::{EventKind, Status};

use super::{Apps, blocking};
use crate::model::{Application, ApplicationState, Standing};
use crate::persistence::{self, EventFilter, Happened, Page};
use crate::procedures::mend::{self, MendInput, Statuses, Whole};
use crate::procedures::{self, Work};
use crate::refusal::Refusal;
use crate::retention;
use crate::scaling::{self, Load};

/// How many applications are read in one transaction.
const AT_ONCE: u64 = 100;

/// The pause before an application is mended again that was not mended; each
/// further one is twice as long, up to [`AGAIN_MAX_MS`].
const AGAIN_MS: i64 = 2_000;

/// The longest such pause: what is in the way is for a person to see.
const AGAIN_MAX_MS: i64 = 5 * 60_000;

/// How long a package that nobody uses is kept: a call that fetched it, and has
/// not written down yet that it is in use, takes minutes.
const UNUSED: Duration = Duration::from_secs(24 * 3600);

/// How long orders that are over are kept: a quarter, as jobs are.
const ORDERS_KEEP_MS: i64 = backout_jobs::KEEP_MS;

/// How many orders are forgotten in one transaction.
const FORGET_AT_ONCE: u64 = 200;

/// Over how long it is measured what replicas take of the processor: in less,
/// one garbage collection looks like load.
const PROCESSOR_MS: i64 = 15_000;

/// How many versions are looked at in one page.
const VERSIONS_AT_ONCE: u64 = 100;

/// What a host's keeper remembers from one pass to the next. Nothing is lost
/// with it: a fresh one begins at the beginning.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// Of each replica, when what was written down last happened, in
    /// milliseconds, and how often it was killed for want of memory.
    told: BTreeMap<ReplicaId, (u64, u64)>,
    /// Of each replica, what it took of the processor.
    processor: BTreeMap<ReplicaId, Processor>,
    /// When an application may be mended again, and how long the pause was.
    pauses: BTreeMap<ApplicationId, (Timestamp, i64)>,
    /// Why something was not done, as it was told last.
    put_off: BTreeMap<ApplicationId, String>,
}

/// What a replica took of the processor.
#[derive(Clone, Copy, Debug)]
struct Processor {
    /// When it was looked at.
    at: Timestamp,
    /// What it had taken by then, in milliseconds.
    taken_ms: u64,
    /// What it took of what it may, in per cent, in the [`PROCESSOR_MS`] or more
    /// before that; none after the first look.
    percent: Option<u32>,
}

impl Processor {
    /// What is known after another look, at a replica that may take
    /// `limit_millis` thousandths of a processor.
    fn after(last: Option<Self>, now: Timestamp, taken_ms: u64, limit_millis: u32) -> Self {
        let fresh = Self {
            at: now,
            taken_ms,
            percent: None,
        };
        let Some(last) = last else { return fresh };
        let elapsed = now.since_ms(last.at);
        if elapsed < PROCESSOR_MS {
            return last;
        }
        let taken = [(last.taken_ms, taken_ms)];
        Self {
            percent: scaling::cpu_percent(&taken, limit_millis, elapsed.unsigned_abs()),
            ..fresh
        }
    }
}

/// What one pass of the keeper has begun.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tended {
    /// Jobs that mend applications of which something that should run did not.
    pub mending: Vec<JobId>,
    /// Applications that are scaled by their rules.
    pub scaled: Vec<ApplicationId>,
    /// Applications that something should have been done for, and why it was
    /// not; an application again only when the reason is another one.
    pub put_off: Vec<(ApplicationId, String)>,
}

/// What one sweep has removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Versions that no rollback may need.
    pub versions: usize,
    /// Packages that no version needs.
    pub packages: usize,
    /// Orders whose time is over.
    pub orders: u64,
}

/// One application as the keeper finds it.
struct Look {
    whole: Whole,
    /// Whether an order, or a job, has it in hand. An order that waits for
    /// approval has not: what is lost until then is started again.
    taken: bool,
    /// Whether there is an order that is not over.
    ordered: bool,
    rules: Vec<scaling::RuleRow>,
}

impl Apps {
    /// Adds the procedures of applications to what a worker knows.
    #[must_use]
    pub fn register(&self, registry: Registry) -> Registry {
        procedures::register(registry, &self.work())
    }

    fn work(&self) -> Work {
        Work {
            runtime: self.runtime.clone(),
            clock: self.clock.clone(),
            entropy: self.entropy.clone(),
        }
    }

    /// Looks after all applications of this host once.
    ///
    /// # Errors
    /// [`Refusal::Store`].
    pub async fn tend(&self) -> Result<Tended, Refusal> {
        let mut tended = Tended::default();
        let mut replicas = BTreeSet::new();
        let mut applications = BTreeSet::new();
        let mut after: Option<ApplicationId> = None;
        loop {
            let (node, from) = (self.node.clone(), after.clone());
            let page = self
                .store
                .read::<_, StoreError>(move |tx| {
                    persistence::applications_of_node(tx, &node, from.as_ref(), AT_ONCE)
                })
                .await?;
            let Some(last) = page.last() else {
                break;
            };
            after = Some(last.id.clone());
            for application in page {
                if application.state == ApplicationState::Deleting {
                    continue;
                }
                let id = application.id.clone();
                applications.insert(id.clone());
                let before = tended.put_off.len();
                if let Err(e) = self.tend_one(&id, &mut tended, &mut replicas).await {
                    match e {
                        Refusal::Store(e) => return Err(e.into()),
                        other => tended.put_off.push((id.clone(), other.to_string())),
                    }
                }
                if tended.put_off.len() == before {
                    self.memory().put_off.remove(&id);
                }
            }
        }
        let mut memory = self.memory();
        memory.told.retain(|id, _| replicas.contains(id));
        memory.processor.retain(|id, _| replicas.contains(id));
        memory.pauses.retain(|id, _| applications.contains(id));
        memory.put_off.retain(|id, _| applications.contains(id));
        tended.put_off.retain(|(id, why)| {
            let before = memory.put_off.insert(id.clone(), why.clone());
            before.as_ref() != Some(why)
        });
        drop(memory);
        Ok(tended)
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        let locked = self.runtime.memory.lock();
        locked.unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    async fn tend_one(
        &self,
        id: &ApplicationId,
        tended: &mut Tended,
        seen: &mut BTreeSet<ReplicaId>,
    ) -> Result<(), Refusal> {
        let wanted = id.clone();
        let found = self
            .store
            .read::<_, StoreError>(move |tx| look(tx, &wanted))
            .await?;
        let Some(look) = found else {
            return Ok(());
        };
        let replicas = look
            .whole
            .replicas
            .iter()
            .map(|k| {
                let artifact = k.version.release.artifact.clone();
                (k.replica.id.clone(), artifact)
            })
            .collect();
        seen.extend(look.whole.replicas.iter().map(|k| k.replica.id.clone()));
        let looked = self.runtime.look(replicas).await;
        let mut statuses = Statuses::new();
        let mut lost = false;
        for (replica, status) in looked {
            // One that cannot be looked at is not known to be lost.
            let Ok(status) = status else {
                continue;
            };
            lost |= mend::is_lost(status.as_ref());
            if let Some(status) = status {
                statuses.insert(replica, status);
            }
        }
        self.write_events(&look.whole.application, &statuses)
            .await?;
        if look.taken {
            return Ok(());
        }
        if lost || self.gateway_differs(&look.whole, &statuses).await {
            return self.mend(&look.whole.application, tended).await;
        }
        self.memory().pauses.remove(id);
        // While there is an order the rules rest.
        if look.ordered {
            return Ok(());
        }
        self.scale(&look, &statuses, tended).await
    }

    /// Whether the gateway does not run, or does something else than it should.
    async fn gateway_differs(&self, whole: &Whole, statuses: &Statuses) -> bool {
        let Some(port) = whole.port() else {
            return false;
        };
        let Ok(client) = self.runtime.gateway(&whole.application.id) else {
            return false;
        };
        let Ok(desired) = client.desired().await else {
            return true;
        };
        let listens = desired.listen.iter().map(|address| address.port());
        let backends = whole.backends(statuses);
        !listens.eq([port])
            || backends.len() != desired.backends.len()
            || backends.iter().any(|b| !desired.backends.contains(b))
    }

    /// Submits a job that mends an application, unless one has just failed.
    async fn mend(&self, application: &Application, tended: &mut Tended) -> Result<(), Refusal> {
        let now = self.clock.now();
        {
            let mut memory = self.memory();
            let (at, pause) = memory
                .pauses
                .get(&application.id)
                .copied()
                .unwrap_or((now, 0));
            if now < at {
                return Ok(());
            }
            let pause = (pause * 2).clamp(AGAIN_MS, AGAIN_MAX_MS);
            let next = (now.plus_ms(pause), pause);
            memory.pauses.insert(application.id.clone(), next);
        }
        let input = MendInput {
            application: application.id.clone(),
        };
        let title = format!("mend application {}", application.name);
        let steps = mend::STEPS.iter().map(|step| PlannedStep {
            name: step.name.to_owned(),
            does: step.does.to_owned(),
            undo: None,
        });
        let new = NewJob {
            id: self.jobs.new_id(),
            procedure: mend::NAME.to_owned(),
            title: title.clone(),
            account: application.owner.clone(),
            request: RequestId::random(self.entropy.as_ref()),
            node: application.node.clone(),
            resource: application.resource(),
            claims: vec![application.resource()],
            input: serde_json::to_value(&input)
                .map_err(|e| StoreError::corrupt(format!("job input: {e}")))?,
            plan: Plan {
                procedure: mend::NAME.to_owned(),
                title,
                claims: vec![application.resource()],
                steps: steps.collect(),
            },
            undo_of: None,
            idempotency: None,
            background: true,
            now,
        };
        match self.jobs.submit(new).await {
            Ok(submitted) => tended.mending.push(submitted.id),
            // Somebody changes it now.
            Err(SubmitError::Busy { .. }) => {}
            Err(SubmitError::Store(e)) => return Err(e.into()),
            Err(e) => tended.put_off.push((application.id.clone(), e.to_string())),
        }
        Ok(())
    }

    /// Follows the scaling rules of an application.
    async fn scale(
        &self,
        look: &Look,
        statuses: &Statuses,
        tended: &mut Tended,
    ) -> Result<(), Refusal> {
        let application = &look.whole.application;
        if application.state != ApplicationState::Running || look.rules.is_empty() {
            return Ok(());
        }
        let rules: Vec<_> = look.rules.iter().map(|row| row.rule.clone()).collect();
        let load = Load {
            now: self.clock.now(),
            replicas: application.replicas,
            cpu_percent: self.cpu_percent(&look.whole, statuses),
            memory_percent: memory_percent(&look.whole, statuses),
            scaled: look.rules.iter().filter_map(|row| row.scaled).max(),
        };
        let Some(wish) = scaling::wish(&rules, &load) else {
            return Ok(());
        };
        match self.scale_by_rule(application, &wish).await {
            Ok(_) => tended.scaled.push(application.id.clone()),
            Err(Refusal::Store(e)) => return Err(e.into()),
            Err(e) => tended.put_off.push((application.id.clone(), e.to_string())),
        }
        Ok(())
    }

    /// The mean of what replicas take of the processor time they may, in per cent.
    fn cpu_percent(&self, whole: &Whole, statuses: &Statuses) -> Option<u32> {
        let now = self.clock.now();
        let mut memory = self.memory();
        let mut shares: Vec<u64> = Vec::new();
        for kept in &whole.replicas {
            let id = &kept.replica.id;
            let taken = statuses.get(id).and_then(|status| status.cpu_ms);
            let (Some(taken), Some(limit)) = (taken, kept.version.release.cpu_millis) else {
                continue;
            };
            let last = memory.processor.get(id).copied();
            let seen = Processor::after(last, now, taken, limit);
            shares.extend(seen.percent.map(u64::from));
            memory.processor.insert(id.clone(), seen);
        }
        let count = u64::try_from(shares.len()).ok().filter(|n| *n > 0)?;
        u32::try_from(shares.iter().sum::<u64>() / count).ok()
    }

    /// Writes down what happened to replicas since the last time.
    async fn write_events(
        &self,
        application: &Application,
        statuses: &Statuses,
    ) -> Result<(), Refusal> {
        let mut news = Vec::new();
        for (id, status) in statuses {
            let known = self.memory().told.get(id).copied();
            let (since_ms, kills) = match known {
                Some(known) => known,
                None => (self.told_last(application, id).await?, status.memory_kills),
            };
            let mut last = since_ms;
            for event in status.events.iter().filter(|e| e.at_ms > since_ms) {
                last = last.max(event.at_ms);
                let (reason, warning) = told(event.kind);
                let at = Timestamp(event.at_ms.cast_signed());
                news.push((id.clone(), reason, warning, event.text.clone(), at));
            }
            if status.memory_kills > kills {
                let text = format!(
                    "killed for want of memory, {} times by now; give it more, or find what takes it",
                    status.memory_kills
                );
                news.push((id.clone(), "OutOfMemory", true, text, self.clock.now()));
            }
            let told = (last, status.memory_kills);
            self.memory().told.insert(id.clone(), told);
        }
        if news.is_empty() {
            return Ok(());
        }
        let application = application.clone();
        self.store
            .write::<_, StoreError>(move |tx| {
                for (id, reason, warning, text, at) in &news {
                    let happened = Happened {
                        owner: &application.owner,
                        application: &application.id,
                        namespace: &application.namespace,
                        warning: *warning,
                        object: "replica",
                        name: id.as_str(),
                        reason,
                        message: text,
                        at: *at,
                    };
                    persistence::record_event(tx, &happened)?;
                }
                Ok(())
            })
            .await?;
        Ok(())
    }

    /// When what was written down last of a replica happened.
    async fn told_last(
        &self,
        application: &Application,
        replica: &ReplicaId,
    ) -> Result<u64, Refusal> {
        let owner = application.owner.clone();
        let filter = EventFilter {
            application: Some(application.id.clone()),
            object: Some("replica".to_owned()),
            name: Some(replica.to_string()),
            ..EventFilter::default()
        };
        let newest = Page {
            offset: 0,
            limit: 1,
        };
        let (_, events) = self
            .store
            .read(move |tx| persistence::list_events(tx, &owner, &filter, newest))
            .await
            .map_err(Refusal::Store)?;
        Ok(events
            .first()
            .map_or(0, |event| u64::try_from(event.last.0).unwrap_or(0)))
    }

    /// Forgets what no rollback may need any more: old versions, packages that
    /// no version has, orders whose time is over.
    ///
    /// # Errors
    /// [`Refusal::Store`], [`Refusal::Workload`].
    pub async fn sweep(&self) -> Result<Swept, Refusal> {
        let mut swept = Swept::default();
        let mut after: Option<ApplicationId> = None;
        loop {
            let (node, from) = (self.node.clone(), after.clone());
            let page = self
                .store
                .read::<_, StoreError>(move |tx| {
                    persistence::applications_of_node(tx, &node, from.as_ref(), AT_ONCE)
                })
                .await?;
            let Some(last) = page.last() else {
                break;
            };
            after = Some(last.id.clone());
            for application in page {
                swept.versions += self
                    .store
                    .write::<_, StoreError>(move |tx| forget_versions(tx, &application.id))
                    .await?;
            }
        }
        let before = self.clock.now().plus_ms(-ORDERS_KEEP_MS);
        swept.orders = self
            .store
            .write(move |tx| persistence::forget_orders(tx, before, FORGET_AT_ONCE))
            .await
            .map_err(Refusal::Store)?;
        let used = self.packages_in_use().await?;
        let packages = self.runtime.packages.clone();
        let removed = blocking(move || packages.retain(&used, UNUSED).map_err(Refusal::Workload));
        swept.packages = removed.await?.len();
        Ok(swept)
    }

    async fn packages_in_use(&self) -> Result<BTreeSet<backout_workloads::PackageHash>, Refusal> {
        let mut used = BTreeSet::new();
        loop {
            let (node, after) = (self.node.clone(), used.last().cloned());
            let page = self
                .store
                .read(move |tx| persistence::packages_in_use(tx, &node, after.as_ref(), AT_ONCE))
                .await
                .map_err(Refusal::Store)?;
            if page.is_empty() {
                return Ok(used);
            }
            used.extend(page);
        }
    }
}

fn look(tx: &mut dyn Tx, id: &ApplicationId) -> Result<Option<Look>, StoreError> {
    let Some(whole) = mend::whole(tx, id)? else {
        return Ok(None);
    };
    let open = persistence::open_order_of(tx, id)?.map(|order| order.standing);
    let begun = open.is_some_and(|standing| standing != Standing::WaitsForApproval);
    let held = backout_jobs::holder_of(tx, &whole.application.resource())?.is_some();
    Ok(Some(Look {
        rules: persistence::scaling_rules(tx, id)?,
        taken: begun || held,
        ordered: open.is_some(),
        whole,
    }))
}

/// The mean of what replicas take of the memory they may, in per cent.
fn memory_percent(whole: &Whole, statuses: &Statuses) -> Option<u32> {
    let mut shares = Vec::new();
    for kept in &whole.replicas {
        let taken = |status: &Status| status.memory_bytes;
        let taken = statuses.get(&kept.replica.id).and_then(taken);
        let most = kept.version.release.memory_bytes.filter(|most| *most > 0);
        if let (Some(taken), Some(most)) = (taken, most) {
            shares.push(taken.saturating_mul(100) / most);
        }
    }
    let count = u64::try_from(shares.len()).ok().filter(|n| *n > 0)?;
    u32::try_from(shares.iter().sum::<u64>() / count).ok()
}

/// What happened to a replica, in a word, and whether somebody should look.
const fn told(kind: EventKind) -> (&'static str, bool) {
    match kind {
        EventKind::Started => ("Started", false),
        EventKind::Ended => ("Ended", true),
        EventKind::Waits => ("BackOff", true),
        EventKind::Ready => ("Ready", false),
        EventKind::Unready => ("Unready", true),
        EventKind::NotAlive => ("NotAlive", true),
        EventKind::TaskFailed => ("HookFailed", true),
        EventKind::Stopping => ("Stopping", false),
        EventKind::Killed => ("Killed", true),
    }
}

/// Forgets the versions of an application that no rollback may need.
fn forget_versions(tx: &mut dyn Tx, id: &ApplicationId) -> Result<usize, StoreError> {
    let mut versions = Vec::new();
    loop {
        let page = Page {
            offset: u64::try_from(versions.len()).unwrap_or(u64::MAX),
            limit: VERSIONS_AT_ONCE,
        };
        let (_, more) = persistence::list_versions(tx, id, page)?;
        if more.is_empty() {
            break;
        }
        versions.extend(more);
    }
    let used = persistence::versions_in_use(tx, id)?;
    let removable = retention::removable(&versions, &used, retention::VERSIONS_KEPT);
    for version in &removable {
        persistence::delete_version(tx, &version.id)?;
    }
    Ok(removable.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_replica_takes_of_the_processor_is_measured_over_a_while() {
        let mut seen = None;
        for (at, taken_ms, percent) in [
            (0, 100, None),
            (5_000, 5_000, None),
            // Half a processor, of which it may take all.
            (15_000, 7_600, Some(50)),
            (20_000, 99_000, Some(50)),
            (35_000, 7_600, Some(0)),
        ] {
            let now = Processor::after(seen, Timestamp(at), taken_ms, 1000);
            assert_eq!(now.percent, percent, "at {at}");
            seen = Some(now);
        }
    }
}
