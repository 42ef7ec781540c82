//! How an order stands, and what it shows of its batches. Pure: all is read off
//! the order's machine.

use backout_core::ids::OrderId;
use backout_rollout::{BatchStatus, ChangeState, End, Leg, Rollout, Slot, Status};

use crate::model::{Order, Standing};

/// How an order with this machine stands.
///
/// One that is on its way back is over: what takes it back is an order of its
/// own ([`Order::takes_back`]), which stands as the machine does.
#[must_use]
pub fn standing(rollout: &Rollout, is_way_back: bool) -> Standing {
    if rollout.leg() == Leg::Back && !is_way_back {
        return Standing::Aborted;
    }
    match rollout.status() {
        Status::Preparing => Standing::Preparing,
        Status::Running | Status::Aborting => Standing::Running,
        Status::Stuck => Standing::Stuck,
        Status::WaitsForConfirm => Standing::WaitsForConfirm,
        Status::WaitsForAuto { .. } => Standing::WaitsForAuto,
        Status::Ended(End::Succeeded | End::RolledBack) => Standing::Succeeded,
        Status::Ended(End::Aborted) => Standing::Aborted,
    }
}

/// What is shown of one batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchDetail {
    /// How it stands.
    pub status: BatchStatus,
    /// The stage it is in, from 0; none before it begins.
    pub current: Option<usize>,
    /// Its stages, one after the other.
    pub stages: Vec<Stage>,
}

/// One stage of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// What is done in it.
    pub name: &'static str,
    /// How it stands.
    pub status: StageStatus,
    /// Its tasks, at the same time.
    pub tasks: Vec<StageTask>,
}

/// What becomes of one replica, as a task of a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageTask {
    /// What goes.
    pub old: Option<Slot>,
    /// What comes.
    pub new: Option<Slot>,
    /// How it stands.
    pub status: StageStatus,
}

/// How a stage or a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StageStatus {
    /// Its turn has not come.
    Preparing,
    /// It is being done.
    Running,
    /// It is done.
    Succeeded,
    /// It failed.
    Failed,
    /// It was ended before it was done.
    Aborted,
}

impl StageStatus {
    const fn of_batch(status: BatchStatus) -> Self {
        match status {
            BatchStatus::Preparing | BatchStatus::WaitsForConfirm | BatchStatus::WaitsForAuto => {
                Self::Preparing
            }
            BatchStatus::Running => Self::Running,
            BatchStatus::Succeeded => Self::Succeeded,
            BatchStatus::Failed => Self::Failed,
            BatchStatus::Aborted => Self::Aborted,
        }
    }

    const fn of_change(state: ChangeState) -> Self {
        match state {
            ChangeState::Waiting => Self::Preparing,
            ChangeState::Leaving | ChangeState::Coming => Self::Running,
            ChangeState::Failed => Self::Failed,
            ChangeState::Done => Self::Succeeded,
        }
    }
}

/// What is shown of batch `number` of an order, counted over all its batches
/// from 0. None when it has no such batch.
#[must_use]
pub fn batch(rollout: &Rollout, number: u32) -> Option<BatchDetail> {
    let progress = rollout.progress();
    let view = *progress.batches.get(number as usize)?;
    // The changes of the way forward are over once it goes back.
    let of_this_leg = view.leg == rollout.leg();
    let within = match view.leg {
        Leg::Forward => number,
        Leg::Back => 0,
    };
    let tasks: Vec<StageTask> = rollout
        .changes()
        .filter(|change| of_this_leg && change.batch == Some(within))
        .map(|change| StageTask {
            old: change.old,
            new: change.new,
            status: StageStatus::of_change(change.state),
        })
        .collect();
    let status = StageStatus::of_batch(view.status);
    Some(BatchDetail {
        status: view.status,
        current: view.started.map(|_| 0),
        stages: vec![Stage {
            name: "change replicas",
            status,
            tasks,
        }],
    })
}

/// Whether an order can be taken back: it is under way, forward, and changes
/// which version runs.
#[must_use]
pub fn supports_rollback(order: &Order) -> bool {
    let forward = order
        .rollout
        .as_ref()
        .is_none_or(|rollout| rollout.leg() == Leg::Forward);
    !order.standing.is_over() && order.takes_back.is_none() && forward
}

/// The order that is over when `order` is taken back, and the one that stands
/// for the way back from then on.
#[must_use]
pub fn way_back(order: &Order, id: OrderId) -> Order {
    Order {
        id,
        kind: crate::model::OrderKind::Rollback,
        takes_back: Some(order.id.clone()),
        from: order.to.clone(),
        to: order.from.clone(),
        replicas_before: order.replicas_after,
        replicas_after: order.replicas_before,
        approval: None,
        error: None,
        ended: None,
        ..order.clone()
    }
}
