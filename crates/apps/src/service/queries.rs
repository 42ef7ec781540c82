//! Orders, batches, replicas, logs and events.

use std::collections::{BTreeMap, BTreeSet};

use backout_core::ids::{AccountId, ApplicationId, ReplicaId, RequestId, VersionId};
use backout_rollout::Slot;
use backout_store::rows::Page;
use backout_store::{Error, Tx};
use backout_workloads::{Finding, LogChunk, LogFrom, Status};

use super::orders::order_of;
use super::{Apps, application_of, blocking};
use crate::components::{Component, JDK, PHP, PYTHON, WEB_CONTAINER};
use crate::model::{Application, Artifact, Batch, Event, Order, OrderKind, Replica, Version};
use crate::orders::{self, BatchDetail};
use crate::persistence::{self, EventFilter, OrderFilter};
use crate::refusal::Refusal;
use crate::scaling::RuleRow;
use crate::world::World;

/// How many orders are looked at for how long orders take: the newest.
const MEASURED_MAX: u64 = 100;

/// An order with all that a person needs to follow it.
#[derive(Clone, Debug, PartialEq)]
pub struct OrderView {
    /// The order.
    pub order: Order,
    /// The name of its application; none when that is gone.
    pub application_name: Option<String>,
    /// Its batches, each with what is shown of it; that is none before the
    /// order begins.
    pub batches: Vec<(Batch, Option<BatchDetail>)>,
    /// Its replicas, by their numbers within the order.
    pub replicas: BTreeMap<u32, ReplicaId>,
    /// The version before.
    pub from: Option<Version>,
    /// The version after.
    pub to: Option<Version>,
}

impl OrderView {
    /// The replica that has a number within the order.
    #[must_use]
    pub fn replica(&self, slot: Slot) -> Option<&ReplicaId> {
        self.replicas.get(&slot.0)
    }
}

/// A replica, with how it is.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplicaView {
    /// The replica.
    pub replica: Replica,
    /// The number of the version that it runs.
    pub version: u64,
    /// How it is; none when its driver does not know it.
    pub status: Option<Status>,
}

/// An application, with what is known of it beside its row.
#[derive(Clone, Debug, PartialEq)]
pub struct ApplicationView {
    /// The application.
    pub application: Application,
    /// The version that it was deployed or taken back to last.
    pub version: Option<Version>,
    /// Its replicas, oldest first, with how they are.
    pub replicas: Vec<ReplicaView>,
    /// Its order that is not over.
    pub order: Option<Order>,
    /// Its scaling rules, by name.
    pub rules: Vec<RuleRow>,
}

/// What of several applications is in the store beside their rows.
#[derive(Default)]
struct Beside {
    versions: BTreeMap<VersionId, Version>,
    replicas: Vec<Replica>,
    orders: Vec<Order>,
    rules: Vec<(ApplicationId, RuleRow)>,
}

impl Beside {
    fn read(tx: &mut dyn Tx, found: &[Application]) -> Result<Self, Error> {
        let ids: Vec<ApplicationId> = found.iter().map(|a| a.id.clone()).collect();
        let replicas = persistence::replicas_of_all(tx, &ids)?;
        let present = found.iter().filter_map(|a| a.version.clone());
        let run = replicas.iter().map(|r| r.version.clone());
        let versions: BTreeSet<VersionId> = present.chain(run).collect();
        Ok(Self {
            versions: persistence::versions_by_id(tx, &versions)?,
            replicas,
            orders: persistence::open_orders_of_all(tx, &ids)?,
            rules: persistence::scaling_rules_of_all(tx, &ids)?,
        })
    }

    /// The replicas with what each runs, to ask how they are.
    fn artifacts(&self) -> Vec<(ReplicaId, Artifact)> {
        let artifact = |r: &Replica| {
            let version = self.versions.get(&r.version)?;
            Some((r.id.clone(), version.release.artifact.clone()))
        };
        self.replicas.iter().filter_map(artifact).collect()
    }
}

/// How orders of one kind went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderMetric {
    /// The application.
    pub application: ApplicationId,
    /// Its name; empty when it is gone.
    pub name: String,
    /// How many ended.
    pub total: u64,
    /// How many of them not as they should.
    pub failed: u64,
    /// How long they took on average, in milliseconds.
    pub mean_ms: i64,
    /// How long the longest took, in milliseconds.
    pub longest_ms: i64,
}

impl Apps {
    /// An order with all that a person needs to follow it.
    ///
    /// # Errors
    /// [`Refusal::OrderNotFound`], [`Refusal::Store`].
    pub async fn order_view(&self, owner: &AccountId, order: &str) -> Result<OrderView, Refusal> {
        let (owner, wanted) = (owner.clone(), order.to_owned());
        self.store
            .read(move |tx| {
                let order = order_of(tx, &owner, &wanted)?;
                view(tx, order)
            })
            .await
    }

    /// The newest order of an application; none before the first.
    ///
    /// # Errors
    /// [`Refusal::ApplicationNotFound`], [`Refusal::Store`].
    pub async fn last_order(
        &self,
        owner: &AccountId,
        application: &str,
    ) -> Result<Option<Order>, Refusal> {
        let (owner, wanted) = (owner.clone(), application.to_owned());
        self.store
            .read(move |tx| {
                let application = application_of(tx, &owner, &wanted)?;
                Ok(persistence::last_order_of(tx, &application.id)?)
            })
            .await
    }

    /// The order that a call asked for, if it is one of that owner's.
    ///
    /// # Errors
    /// [`Refusal::Store`].
    pub async fn order_of_request(
        &self,
        owner: &AccountId,
        request: &RequestId,
    ) -> Result<Option<Order>, Refusal> {
        let (owner, request) = (owner.clone(), request.clone());
        self.store
            .read(move |tx| Ok(persistence::order_of_request(tx, &owner, &request)?))
            .await
    }

    /// One page of orders, newest first unless asked otherwise, and how many
    /// match.
    ///
    /// # Errors
    /// [`Refusal::Store`].
    pub async fn orders(
        &self,
        owner: &AccountId,
        filter: OrderFilter,
        page: Page,
    ) -> Result<(u64, Vec<Order>), Refusal> {
        let owner = owner.clone();
        self.store
            .read(move |tx| Ok(persistence::list_orders(tx, &owner, &filter, page)?))
            .await
    }

    /// A batch by its id, with its order and what is shown of it; that is none
    /// before the order begins.
    ///
    /// # Errors
    /// [`Refusal::BatchNotFound`], [`Refusal::Store`].
    pub async fn batch(
        &self,
        owner: &AccountId,
        batch: &str,
    ) -> Result<(Batch, OrderView, Option<BatchDetail>), Refusal> {
        let (owner, wanted) = (owner.clone(), batch.to_owned());
        self.store
            .read(move |tx| {
                let none = || Refusal::BatchNotFound(wanted.chars().take(100).collect());
                let id = wanted.parse().map_err(|_| none())?;
                let (batch, order) = persistence::find_batch(tx, &owner, &id)?.ok_or_else(none)?;
                let machine = order.rollout.as_ref();
                let detail = machine.and_then(|m| orders::batch(m, batch.number));
                Ok((batch, view(tx, order)?, detail))
            })
            .await
    }

    /// How the newest orders that ended went, by application; of one
    /// application, or of one kind, where that is given.
    ///
    /// # Errors
    /// [`Refusal::ApplicationNotFound`], [`Refusal::Store`].
    pub async fn order_metrics(
        &self,
        owner: &AccountId,
        application: Option<&str>,
        kinds: Vec<OrderKind>,
    ) -> Result<Vec<OrderMetric>, Refusal> {
        let owner = owner.clone();
        let wanted = application.map(str::to_owned);
        self.store
            .read(move |tx| {
                let application = wanted
                    .map(|wanted| application_of(tx, &owner, &wanted))
                    .transpose()?;
                let filter = OrderFilter {
                    application: application.map(|a| a.id),
                    kinds,
                    ..OrderFilter::default()
                };
                let newest = Page {
                    offset: 0,
                    limit: MEASURED_MAX,
                };
                let (_, orders) = persistence::list_orders(tx, &owner, &filter, newest)?;
                let mut metrics = measured(&orders);
                for metric in &mut metrics {
                    let found = persistence::application_by_id(tx, &metric.application)?;
                    metric.name = found.map(|a| a.name).unwrap_or_default();
                }
                Ok(metrics)
            })
            .await
    }

    /// The replicas of an application, oldest first, with how they are.
    ///
    /// # Errors
    /// [`Refusal::ApplicationNotFound`], [`Refusal::Store`].
    pub async fn replicas(
        &self,
        owner: &AccountId,
        application: &str,
    ) -> Result<Vec<ReplicaView>, Refusal> {
        let (owner, wanted) = (owner.clone(), application.to_owned());
        let found = self
            .store
            .read(move |tx| {
                let application = application_of(tx, &owner, &wanted)?;
                Ok::<_, Refusal>(World::artifacts(tx, &application)?)
            })
            .await?;
        let asked = found
            .iter()
            .map(|(replica, _, artifact)| (replica.id.clone(), artifact.clone()))
            .collect();
        let mut statuses = self.runtime.statuses(asked).await;
        Ok(found
            .into_iter()
            .map(|(replica, version, _)| ReplicaView {
                status: statuses.remove(&replica.id),
                version,
                replica,
            })
            .collect())
    }

    /// Applications with what is known of them beside their rows, for lists: it
    /// is read at once for all of them. One that is gone meanwhile has nothing
    /// beside its row.
    ///
    /// # Errors
    /// [`Refusal::Store`].
    pub async fn views(&self, found: Vec<Application>) -> Result<Vec<ApplicationView>, Refusal> {
        let (found, beside) = self
            .store
            .read(move |tx| {
                let beside = Beside::read(tx, &found)?;
                Ok::<_, Refusal>((found, beside))
            })
            .await?;
        let mut statuses = self.runtime.statuses(beside.artifacts()).await;
        let mut views: BTreeMap<ApplicationId, ApplicationView> = BTreeMap::new();
        let mut ids = Vec::with_capacity(found.len());
        for application in found {
            ids.push(application.id.clone());
            let version = application.version.as_ref();
            let view = ApplicationView {
                version: version.and_then(|id| beside.versions.get(id).cloned()),
                replicas: Vec::new(),
                order: None,
                rules: Vec::new(),
                application,
            };
            views.insert(view.application.id.clone(), view);
        }
        for replica in beside.replicas {
            let version = beside.versions.get(&replica.version);
            if let (Some(view), Some(version)) = (views.get_mut(&replica.application), version) {
                view.replicas.push(ReplicaView {
                    version: version.number,
                    status: statuses.remove(&replica.id),
                    replica,
                });
            }
        }
        for order in beside.orders {
            if let Some(view) = views.get_mut(&order.application) {
                view.order = Some(order);
            }
        }
        for (application, rule) in beside.rules {
            if let Some(view) = views.get_mut(&application) {
                view.rules.push(rule);
            }
        }
        Ok(ids.iter().filter_map(|id| views.remove(id)).collect())
    }

    /// Reads from the log of a replica of an application.
    ///
    /// # Errors
    /// [`Refusal::ApplicationNotFound`], [`Refusal::ReplicaNotFound`],
    /// [`Refusal::Elsewhere`], [`Refusal::Workload`], [`Refusal::Store`].
    pub async fn logs(
        &self,
        owner: &AccountId,
        application: &str,
        replica: &str,
        from: LogFrom,
    ) -> Result<LogChunk, Refusal> {
        let (owner, wanted) = (owner.clone(), application.to_owned());
        let asked = replica.to_owned();
        let (application, replica, artifact) = self
            .store
            .read(move |tx| {
                let application = application_of(tx, &owner, &wanted)?;
                let found = World::artifacts(tx, &application)?
                    .into_iter()
                    .find(|(replica, _, _)| replica.id.as_str() == asked);
                let (replica, _, artifact) = found
                    .ok_or_else(|| Refusal::ReplicaNotFound(asked.chars().take(100).collect()))?;
                Ok::<_, Refusal>((application, replica.id, artifact))
            })
            .await?;
        self.here(&application)?;
        self.runtime.logs(&replica, &artifact, from).await
    }

    /// One page of what happened, newest first, and how many match.
    ///
    /// # Errors
    /// [`Refusal::Store`].
    pub async fn events(
        &self,
        owner: &AccountId,
        filter: EventFilter,
        page: Page,
    ) -> Result<(u64, Vec<Event>), Refusal> {
        let owner = owner.clone();
        self.store
            .read(move |tx| Ok(persistence::list_events(tx, &owner, &filter, page)?))
            .await
    }

    /// What this host has for running applications, and lacks.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] when the look fails.
    pub async fn doctor(&self) -> Result<Vec<Finding>, Refusal> {
        let runtime = self.runtime.clone();
        blocking(move || {
            let mut found = runtime.processes.doctor();
            if let Some(containers) = &runtime.containers {
                found.extend(containers.doctor());
            }
            for kind in [JDK, WEB_CONTAINER, PYTHON, PHP] {
                found.push(component(kind, runtime.components.of(kind)));
            }
            Ok(found)
        })
        .await
    }
}

/// What there is of one kind that releases are started with. A host without it is
/// as it should be, until a release asks for it.
fn component(kind: &'static str, found: &[Component]) -> Finding {
    let listed: Vec<String> = found
        .iter()
        .map(|c| format!("{} ({})", c.version, c.program.display()))
        .collect();
    Finding {
        what: kind,
        fine: true,
        text: match listed.is_empty() {
            true => "none; releases that need one are refused".to_owned(),
            false => listed.join(", "),
        },
    }
}

fn view(tx: &mut dyn Tx, order: Order) -> Result<OrderView, Refusal> {
    let machine = order.rollout.as_ref();
    let batches = persistence::batches_of(tx, &order.id)?
        .into_iter()
        .map(|batch| {
            let detail = machine.and_then(|m| orders::batch(m, batch.number));
            (batch, detail)
        })
        .collect();
    let replicas = persistence::replicas_of(tx, &order.application)?
        .into_iter()
        .filter(|replica| replica.order == order.id)
        .map(|replica| (replica.slot, replica.id))
        .collect();
    let mut version = |id: &Option<VersionId>| match id {
        Some(id) => persistence::version(tx, &order.application, id.as_str()),
        None => Ok(None),
    };
    let (from, to) = (version(&order.from)?, version(&order.to)?);
    let application = persistence::application_by_id(tx, &order.application)?;
    Ok(OrderView {
        application_name: application.map(|a| a.name),
        batches,
        replicas,
        from,
        to,
        order,
    })
}

/// How orders went, by application, in the order in which these come first.
fn measured(orders: &[Order]) -> Vec<OrderMetric> {
    let mut metrics: Vec<OrderMetric> = Vec::new();
    for order in orders {
        let Some(ended) = order.ended else { continue };
        let took_ms = ended.since_ms(order.created).max(0);
        let failed = order.standing != crate::model::Standing::Succeeded;
        let known = metrics
            .iter_mut()
            .find(|m| m.application == order.application);
        let metric = match known {
            Some(metric) => metric,
            None => {
                metrics.push(OrderMetric {
                    application: order.application.clone(),
                    name: String::new(),
                    total: 0,
                    failed: 0,
                    mean_ms: 0,
                    longest_ms: 0,
                });
                let Some(metric) = metrics.last_mut() else {
                    continue;
                };
                metric
            }
        };
        metric.total += 1;
        metric.failed += u64::from(failed);
        // A sum, until all are there.
        metric.mean_ms = metric.mean_ms.saturating_add(took_ms);
        metric.longest_ms = metric.longest_ms.max(took_ms);
    }
    for metric in &mut metrics {
        metric.mean_ms /= i64::try_from(metric.total).unwrap_or(1).max(1);
    }
    metrics
}
