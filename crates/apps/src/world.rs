//! What an order meets: an application with all that its plan depends on, read
//! in one transaction. The call, its dry run and the job read it the same way.

use std::collections::BTreeMap;

use backout_core::ids::{ApplicationId, JobId, OrderId, ReplicaId, VersionId};
use backout_store::{Error, Tx};

use crate::model::{Application, Artifact, Order, OrderKind, Release, Replica, Version};
use crate::persistence;
use crate::planning::{
    Change, Compute, Facts, Present, Proposal, Quotas, Settings, arranged, propose,
};
use crate::refusal::Refusal;

/// Which replicas take requests, by their ids; those that are not there take
/// none.
pub type Ready = BTreeMap<ReplicaId, bool>;

/// What an order meets.
#[derive(Clone, Debug)]
pub struct World {
    /// The application.
    pub application: Application,
    /// The version it was deployed or taken back to last.
    pub version: Option<Version>,
    /// Its replicas, in the order in which they are numbered.
    pub replicas: Vec<Present>,
    /// Its order that is not over.
    pub open_order: Option<OrderId>,
    /// The job that holds it, and does not make room when it is asked to.
    pub held_by: Option<JobId>,
    replicas_elsewhere: u64,
    compute_elsewhere: Compute,
    quotas: Quotas,
    in_debt: bool,
    upgrading: bool,
    port_taken: Option<(u16, ApplicationId)>,
}

impl World {
    /// Reads what an order meets that takes the replicas `leaving` away, or none
    /// in particular.
    ///
    /// # Errors
    /// The store's.
    pub fn read(
        tx: &mut dyn Tx,
        application: Application,
        leaving: &[ReplicaId],
        ready: &Ready,
    ) -> Result<Self, Error> {
        let service = persistence::service_settings(tx)?;
        let account = persistence::account_settings(tx, &application.owner)?;
        let id = &application.id;
        let version = match &application.version {
            Some(version) => persistence::version(tx, id, version.as_str())?,
            None => None,
        };
        let mut numbers: BTreeMap<VersionId, u64> = BTreeMap::new();
        let mut replicas = Vec::new();
        for replica in arranged(persistence::replicas_of(tx, id)?, leaving) {
            let number = match numbers.get(&replica.version) {
                Some(number) => *number,
                None => {
                    let found = persistence::version(tx, id, replica.version.as_str())?;
                    let number = found.map_or(0, |v| v.number);
                    numbers.insert(replica.version.clone(), number);
                    number
                }
            };
            replicas.push(Present {
                version: number,
                ready: ready.get(&replica.id).copied().unwrap_or(false),
                replica,
            });
        }
        let (cpu_millis, memory_bytes) = persistence::compute_wanted(tx, Some(id))?;
        Ok(Self {
            version,
            replicas,
            open_order: persistence::open_order_of(tx, id)?.map(|order| order.id),
            held_by: backout_jobs::busy_with(tx, &application.resource())?.map(|job| job.id),
            replicas_elsewhere: persistence::count_replicas_wanted(
                tx,
                &application.owner,
                Some(id),
            )?,
            compute_elsewhere: Compute {
                cpu_millis,
                memory_bytes,
            },
            quotas: Quotas {
                of_application: account.replicas_of_application,
                of_account: account.replicas_of_account,
                cpu_millis: service.cpu_millis,
                memory_bytes: service.memory_bytes,
            },
            in_debt: account.in_debt,
            upgrading: service.upgrading,
            port_taken: None,
            application,
        })
    }

    /// What `order` meets whose job asks: that order and its job do not stand in
    /// their own way. None when its application is gone.
    ///
    /// # Errors
    /// The store's.
    pub fn of_order(tx: &mut dyn Tx, order: &Order, ready: &Ready) -> Result<Option<Self>, Error> {
        let Some(application) = persistence::application_by_id(tx, &order.application)? else {
            return Ok(None);
        };
        let mut world = Self::read(tx, application, leaving(order), ready)?;
        world.open_order = world.open_order.filter(|id| *id != order.id);
        world.held_by = world.held_by.filter(|job| Some(job) != order.job.as_ref());
        Ok(Some(world))
    }

    /// Looks whether another application is reached on the port of `release`,
    /// which is then in the way of whatever goes to it.
    ///
    /// # Errors
    /// The store's.
    pub fn look_at_port(&mut self, tx: &mut dyn Tx, release: &Release) -> Result<(), Error> {
        let Application { id, node, .. } = &self.application;
        self.port_taken = match release.port {
            Some(port) => {
                persistence::application_on_port(tx, node, port, id)?.map(|by| (port, by))
            }
            None => None,
        };
        Ok(())
    }

    /// Says what an order would do, with all that stands in its way.
    #[must_use]
    pub fn propose(&self, change: Change<'_>, settings: &Settings) -> Proposal {
        let release = match change {
            Change::Deploy(version) | Change::Rollback { to: version, .. } => {
                Some(&version.release)
            }
            _ => self.version.as_ref().map(|v| &v.release),
        };
        let facts = Facts {
            application: &self.application,
            version: self.version.as_ref().map(|v| v.number),
            replicas: &self.replicas,
            open_order: self.open_order.as_ref(),
            held_by: self.held_by.as_ref(),
            replicas_elsewhere: self.replicas_elsewhere,
            quotas: self.quotas,
            compute_elsewhere: self.compute_elsewhere,
            size: release.map_or_else(Compute::default, size),
            in_debt: self.in_debt,
            upgrading: self.upgrading,
        };
        let mut proposal = propose(&facts, change, settings);
        if let Some((port, by)) = &self.port_taken {
            let (port, by) = (*port, by.clone());
            proposal.blockers.push(Refusal::PortTaken { port, by });
        }
        proposal
    }

    /// Says what an order does, as its job finds it now. `to` is the version
    /// that it goes to.
    #[must_use]
    pub fn propose_order(
        &self,
        order: &Order,
        to: Option<&Version>,
        package_is_kept: bool,
    ) -> Proposal {
        let change = change(order, to, package_is_kept);
        self.propose(change, &order.terms.settings)
    }

    /// The replicas with what each runs, for whoever asks how they are.
    ///
    /// # Errors
    /// The store's.
    pub fn artifacts(
        tx: &mut dyn Tx,
        application: &Application,
    ) -> Result<Vec<(Replica, u64, Artifact)>, Error> {
        let mut known: BTreeMap<VersionId, (u64, Artifact)> = BTreeMap::new();
        let mut found = Vec::new();
        for replica in persistence::replicas_of(tx, &application.id)? {
            if !known.contains_key(&replica.version) {
                let version = persistence::version(tx, &application.id, replica.version.as_str())?;
                if let Some(version) = version {
                    let runs = (version.number, version.release.artifact);
                    known.insert(replica.version.clone(), runs);
                }
            }
            if let Some((number, artifact)) = known.get(&replica.version) {
                found.push((replica, *number, artifact.clone()));
            }
        }
        Ok(found)
    }
}

/// The replicas that an order takes away in particular.
#[must_use]
pub fn leaving(order: &Order) -> &[ReplicaId] {
    match order.kind {
        OrderKind::RemoveReplicas => &order.terms.these,
        _ => &[],
    }
}

/// What an order makes of the replicas. `to` is the version that it goes to;
/// without one where it needs one it changes nothing.
fn change<'a>(order: &'a Order, to: Option<&'a Version>, package_is_kept: bool) -> Change<'a> {
    let these = order.terms.these.as_slice();
    match (order.kind, to) {
        (OrderKind::Rollback, Some(to)) => Change::Rollback {
            to,
            package_is_kept,
            scaling_on: order.terms.scaling_on != Some(false),
        },
        (OrderKind::Create | OrderKind::Deploy | OrderKind::Resize, Some(to)) => Change::Deploy(to),
        (OrderKind::Start, _) => Change::Start,
        (OrderKind::Stop, _) => Change::Stop,
        (OrderKind::Restart, _) => Change::Restart,
        (OrderKind::RemoveReplicas, _) => Change::Remove(these),
        (OrderKind::Delete, _) => Change::Delete,
        (OrderKind::Rescale, _) => Change::Rescale(order.replicas_after),
        (OrderKind::RestartReplicas, _) | (_, None) => Change::RestartThese(these),
    }
}

fn size(release: &Release) -> Compute {
    Compute {
        cpu_millis: release.cpu_millis.unwrap_or(0).into(),
        memory_bytes: release.memory_bytes.unwrap_or(0),
    }
}
