//! Change orders, their batches, and what is said to them.

use std::collections::BTreeSet;

use backout_apps::model::{Application, Order, Standing};
use backout_apps::orders::{BatchDetail, StageTask, supports_rollback};
use backout_apps::persistence::OrderFilter;
use backout_apps::{OrderView, Refusal};
use backout_core::ids::{ApplicationId, BatchId, OrderId, ReplicaId};
use backout_rollout::Gate;
use backout_wire::types::sae as wire;

use super::asked::{Ask, required, some};
use super::{Sae, codes, how, words};
use crate::front::{Refused, count};

/// Who is shown to have begun an order.
const SOURCE: &str = "console";

/// What stands between two batches, in the vendor's unit there.
const SECONDS_A_MINUTE: u32 = 60;

/// The tasks of a stage are done at the same time.
const PARALLEL: i64 = 1;

/// What lists of orders are asked by.
#[derive(Clone, Copy, Default)]
struct Filters<'a> {
    kind: Option<&'a str>,
    standing: Option<&'a str>,
    key: Option<&'a str>,
}

impl Filters<'_> {
    /// The filter; none where it can find nothing.
    fn read(self) -> Result<Option<OrderFilter>, Refused> {
        let mut filter = OrderFilter {
            text: some(self.key).map(str::to_owned),
            ..OrderFilter::default()
        };
        if let Some(code) = some(self.kind) {
            let why = "there is no such type of change order";
            let kinds = words::kinds(code).ok_or_else(|| codes::value("CoType", why))?;
            let Some(first) = kinds.first() else {
                return Ok(None);
            };
            filter.kinds = kinds.iter().map(|kind| kind.kind).collect();
            filter.grows = first.grows;
        }
        if let Some(number) = some(self.standing) {
            let why = "there is no such status";
            filter.standings = number
                .parse()
                .map(words::standings)
                .ok()
                .filter(|standings| !standings.is_empty())
                .ok_or_else(|| codes::value("CoStatus", why))?;
        }
        Ok(Some(filter))
    }
}

/// How many batches an order has.
fn batch_count(order: &Order) -> i64 {
    match &order.rollout {
        Some(rollout) => count(rollout.progress().batches.len() as u64),
        None => count(order.plan.batches.len() as u64),
    }
}

/// The name of a batch: from 1 on.
fn batch_name(number: u32, gray: bool) -> String {
    match gray {
        true => format!("Batch {} (gray)", number + 1),
        false => format!("Batch {}", number + 1),
    }
}

impl Sae {
    /// The newest order of an application.
    pub(super) async fn last_order(
        &self,
        ask: Ask<'_>,
        application: &ApplicationId,
    ) -> Result<Option<Order>, Refused> {
        self.apps
            .last_order(ask.owner(), application.as_str())
            .await
            .map_err(|e| ask.refused(e))
    }

    async fn the_order(&self, ask: Ask<'_>, id: &str) -> Result<OrderView, Refused> {
        let id = required("ChangeOrderId", id)?;
        let none = || Refusal::OrderNotFound(id.chars().take(100).collect());
        let known: OrderId = id.parse().map_err(|_| ask.refused(none()))?;
        self.apps
            .order_view(ask.owner(), known.as_str())
            .await
            .map_err(|e| ask.refused(e))
    }

    async fn the_batch(
        &self,
        ask: Ask<'_>,
        id: &str,
    ) -> Result<(backout_apps::model::Batch, OrderView, Option<BatchDetail>), Refused> {
        let id = required("PipelineId", id)?;
        let none = || Refusal::BatchNotFound(id.chars().take(100).collect());
        let known: BatchId = id.parse().map_err(|_| ask.refused(none()))?;
        self.apps
            .batch(ask.owner(), known.as_str())
            .await
            .map_err(|e| ask.refused(e))
    }

    /// The namespace and the application that an id of anything is about.
    pub(super) async fn place_of(
        &self,
        owner: &backout_core::ids::AccountId,
        id: &str,
    ) -> Option<(String, String)> {
        if let Ok(known) = id.parse::<ApplicationId>()
            && let Ok(found) = self.apps.get(owner, known.as_str()).await
        {
            return Some((found.namespace, found.id.to_string()));
        }
        let order = match self.apps.order_view(owner, id).await {
            Ok(view) => Some(view.order),
            Err(_) => self
                .apps
                .batch(owner, id)
                .await
                .ok()
                .map(|(_, v, _)| v.order),
        };
        order.map(|order| (order.namespace, order.application.to_string()))
    }

    /// The replicas that a batch changes.
    pub(super) async fn replicas_of_batch(
        &self,
        ask: Ask<'_>,
        application: &Application,
        id: &str,
    ) -> Result<BTreeSet<ReplicaId>, Refused> {
        let (_, view, detail) = self.the_batch(ask, id).await?;
        if view.order.application != application.id {
            let why = "it is a batch of another application";
            return Err(codes::value("PipelineId", why));
        }
        let tasks = detail
            .into_iter()
            .flat_map(|d| d.stages)
            .flat_map(|s| s.tasks);
        Ok(tasks
            .flat_map(|task| [task.old, task.new])
            .flatten()
            .filter_map(|slot| view.replica(slot).cloned())
            .collect())
    }

    pub(super) async fn describe_change_order(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::DescribeChangeOrderResponse, Refused> {
        let asked: wire::DescribeChangeOrderRequest = ask.params()?;
        let view = self.the_order(ask, &asked.change_order_id).await?;
        Ok(wire::DescribeChangeOrderResponse {
            data: Some(shown(&view)),
        })
    }

    pub(super) async fn list_change_orders(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::ListChangeOrdersResponse, Refused> {
        let asked: wire::ListChangeOrdersRequest = ask.params()?;
        let paging = ask.paging(asked.current_page, asked.page_size)?;
        if let Some(order) = some(asked.order_by.as_deref())
            && !["createTime", "CreateTime"].contains(&order)
        {
            return Err(codes::value("OrderBy", "give createTime"));
        }
        let filter = Filters {
            kind: asked.co_type.as_deref(),
            standing: asked.co_status.as_deref(),
            key: asked.key.as_deref(),
        };
        let application = self.application(ask, &asked.app_id).await?;
        let (total, found) = match filter.read()? {
            None => (0, Vec::new()),
            Some(filter) => self
                .apps
                .orders(
                    ask.owner(),
                    OrderFilter {
                        application: Some(application.id.clone()),
                        // The contract: ascending if true.
                        oldest_first: asked.reverse.unwrap_or(false),
                        ..filter
                    },
                    paging.page(),
                )
                .await
                .map_err(|e| ask.refused(e))?,
        };
        let rows = found
            .iter()
            .map(|order| {
                let kind = words::kind(order);
                wire::ListChangeOrdersDataChangeOrderList {
                    app_id: Some(order.application.to_string()),
                    batch_count: Some(batch_count(order)),
                    batch_type: Some(words::batch_type(order.plan.gate).to_owned()),
                    change_order_id: Some(order.id.to_string()),
                    co_type: Some(kind.text.to_owned()),
                    co_type_code: Some(kind.code.to_owned()),
                    create_time: Some(words::local_time(order.created)),
                    create_user_id: Some(order.operator.to_string()),
                    description: Some(order.description.clone()),
                    finish_time: Some(order.ended.map(words::local_time).unwrap_or_default()),
                    group_id: Some(order.application.to_string()),
                    source: Some(SOURCE.to_owned()),
                    status: Some(words::number(order.standing)),
                    user_id: Some(order.owner.to_string()),
                }
            })
            .collect();
        Ok(wire::ListChangeOrdersResponse {
            data: Some(wire::ListChangeOrdersData {
                change_order_list: Some(rows),
                current_page: Some(paging.current),
                page_size: Some(paging.size),
                total_size: Some(count(total)),
            }),
        })
    }

    pub(super) async fn list_namespace_change_orders(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::ListNamespaceChangeOrdersResponse, Refused> {
        let asked: wire::ListNamespaceChangeOrdersRequest = ask.params()?;
        let paging = ask.paging(asked.current_page, asked.page_size)?;
        let filter = Filters {
            kind: asked.co_type.as_deref(),
            standing: asked.co_status.as_deref(),
            key: asked.key.as_deref(),
        };
        let namespace = ask.namespace(required("NamespaceId", &asked.namespace_id)?);
        self.apps
            .namespace(ask.owner(), &namespace)
            .await
            .map_err(|e| ask.refused(e))?;
        let (total, found) = match filter.read()? {
            None => (0, Vec::new()),
            Some(filter) => self
                .apps
                .orders(
                    ask.owner(),
                    OrderFilter {
                        namespace: Some(namespace),
                        ..filter
                    },
                    paging.page(),
                )
                .await
                .map_err(|e| ask.refused(e))?,
        };
        let rows = found
            .iter()
            .map(|order| {
                let kind = words::kind(order);
                wire::ListNamespaceChangeOrdersDataChangeOrderList {
                    batch_count: Some(batch_count(order)),
                    batch_type: Some(words::batch_type(order.plan.gate).to_owned()),
                    change_order_id: Some(order.id.to_string()),
                    co_type: Some(kind.text.to_owned()),
                    co_type_code: Some(kind.code.to_owned()),
                    create_time: Some(words::local_time(order.created)),
                    create_user_id: Some(order.operator.to_string()),
                    description: Some(order.description.clone()),
                    finish_time: Some(order.ended.map(words::local_time).unwrap_or_default()),
                    group_id: Some(order.application.to_string()),
                    namespace_id: Some(ask.namespace_id(&order.namespace)),
                    pipelines: None,
                    source: Some(SOURCE.to_owned()),
                    status: Some(words::number(order.standing)),
                    user_id: Some(order.owner.to_string()),
                }
            })
            .collect();
        Ok(wire::ListNamespaceChangeOrdersResponse {
            data: Some(wire::ListNamespaceChangeOrdersData {
                change_order_list: Some(rows),
                current_page: Some(paging.current),
                page_size: Some(paging.size),
                total_size: Some(count(total)),
            }),
        })
    }

    pub(super) async fn describe_pipeline(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::DescribePipelineResponse, Refused> {
        let asked: wire::DescribePipelineRequest = ask.params()?;
        let (batch, view, detail) = self.the_batch(ask, &asked.pipeline_id).await?;
        let next = view
            .batches
            .iter()
            .map(|(known, _)| known)
            .filter(|known| known.leg == batch.leg && known.number > batch.number)
            .min_by_key(|known| known.number);
        let gray = gray(&view, batch.number);
        let waits = detail.as_ref().is_some_and(|d| {
            matches!(
                d.status,
                backout_rollout::BatchStatus::WaitsForConfirm
                    | backout_rollout::BatchStatus::WaitsForAuto
            )
        });
        let id = batch.id.to_string();
        let current = detail.as_ref().and_then(|d| d.current);
        let failed = view.order.error.as_ref();
        let stages = detail.iter().flat_map(|d| &d.stages).enumerate();
        let list = stages
            .map(|(at, stage)| {
                let stage_id = format!("{id}-{at}");
                let tasks = stage.tasks.iter().enumerate();
                wire::DescribePipelineDataStageList {
                    executor_type: Some(PARALLEL),
                    stage_id: Some(stage_id.clone()),
                    stage_name: Some(stage.name.to_owned()),
                    status: Some(words::stage_number(stage.status)),
                    task_list: Some(
                        tasks
                            .map(|(number, task)| {
                                task_shown(&view, &stage_id, number, task, failed.map(|e| &*e.1))
                            })
                            .collect(),
                    ),
                }
            })
            .collect();
        Ok(wire::DescribePipelineResponse {
            data: Some(wire::DescribePipelineData {
                co_status: Some(words::number(view.order.standing).to_string()),
                current_stage_id: current.map(|at| format!("{id}-{at}")),
                next_pipeline_id: Some(next.map(|b| b.id.to_string()).unwrap_or_default()),
                pipeline_id: Some(id.clone()),
                pipeline_name: Some(batch_name(batch.number, gray)),
                pipeline_status: Some(
                    detail
                        .as_ref()
                        .map_or(0, |d| words::pipeline_number(d.status)),
                ),
                show_batch: Some(waits),
                stage_list: Some(list),
            }),
        })
    }

    pub(super) async fn confirm_pipeline_batch(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::ConfirmPipelineBatchResponse, Refused> {
        let asked: wire::ConfirmPipelineBatchRequest = ask.params()?;
        let (batch, view, _) = self.the_batch(ask, &asked.pipeline_id).await?;
        self.apps
            .confirm(&ask.caller(), batch.id.as_str(), asked.confirm)
            .await
            .map_err(|e| ask.refused(e))?;
        acted(ask, &view.order);
        Ok(wire::ConfirmPipelineBatchResponse {
            data: Some(wire::ConfirmPipelineBatchData {
                pipeline_id: Some(batch.id.to_string()),
            }),
        })
    }

    pub(super) async fn abort_change_order(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::AbortChangeOrderResponse, Refused> {
        let asked: wire::AbortChangeOrderRequest = ask.params()?;
        let back = asked.rollback.unwrap_or(false);
        let order = self.abort(ask, &asked.change_order_id, back).await?;
        Ok(wire::AbortChangeOrderResponse {
            data: Some(wire::AbortChangeOrderData {
                change_order_id: Some(order),
            }),
        })
    }

    pub(super) async fn abort_and_rollback_change_order(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::AbortAndRollbackChangeOrderResponse, Refused> {
        let asked: wire::AbortAndRollbackChangeOrderRequest = ask.params()?;
        let order = self.abort(ask, &asked.change_order_id, true).await?;
        Ok(wire::AbortAndRollbackChangeOrderResponse {
            data: Some(wire::AbortAndRollbackChangeOrderData {
                change_order_id: Some(order),
            }),
        })
    }

    /// Ends an order; with `back`, what it changed is taken back by an order of
    /// its own, whose id is answered.
    async fn abort(&self, ask: Ask<'_>, id: &str, back: bool) -> Result<String, Refused> {
        let view = self.the_order(ask, id).await?;
        let (caller, id) = (ask.caller(), view.order.id.as_str());
        let order = match back {
            true => self.apps.abort_and_back(&caller, id).await,
            false => self.apps.abort(&caller, id).await,
        };
        let order = order.map_err(|e| aborting(ask, e))?;
        acted(ask, &view.order);
        Ok(order.to_string())
    }
}

/// The job that a word was said to.
fn acted(ask: Ask<'_>, order: &Order) {
    if let Some(job) = &order.job {
        // A call acts on one.
        let _ = ask.admitted.job.set(job.clone());
    }
}

/// What does not fit an order that is to be ended is about the order, not one
/// of its batches.
fn aborting(ask: Ask<'_>, refusal: Refusal) -> Refused {
    match &refusal {
        Refusal::NotNow(_) => codes::value("ChangeOrderId", &codes::told(&refusal)),
        _ => ask.refused(refusal),
    }
}

/// Whether a batch is the first, small one.
fn gray(view: &OrderView, number: u32) -> bool {
    let rollout = view.order.rollout.as_ref();
    rollout
        .and_then(|r| r.progress().batches.get(number as usize).map(|b| b.gray))
        .unwrap_or(false)
}

/// An order with its batches.
fn shown(view: &OrderView) -> wire::DescribeChangeOrderData {
    let order = &view.order;
    let kind = words::kind(order);
    let progress = order
        .rollout
        .as_ref()
        .map(backout_rollout::Rollout::progress);
    let gate = order.plan.gate;
    let current = progress.as_ref().and_then(|p| {
        let at = view.batches.iter().find(|(b, _)| b.number == p.current);
        at.map(|(batch, _)| batch.id.to_string())
    });
    let pipelines = view
        .batches
        .iter()
        .map(|(batch, detail)| {
            let seen = progress
                .as_ref()
                .and_then(|p| p.batches.get(batch.number as usize));
            let status = detail.as_ref().map_or(0, |d| words::batch_number(d.status));
            wire::DescribeChangeOrderDataPipelines {
                batch_type: Some(words::batch_type_number(gate)),
                parallel_count: seen.map(|s| i64::from(s.instances)),
                pipeline_id: Some(batch.id.to_string()),
                pipeline_name: Some(batch_name(batch.number, seen.is_some_and(|s| s.gray))),
                start_time: seen.and_then(|s| s.started).map(|at| at.0),
                status: Some(status),
                update_time: seen.and_then(|s| s.ended.or(s.started)).map(|at| at.0),
            }
        })
        .collect();
    wire::DescribeChangeOrderData {
        app_id: Some(order.application.to_string()),
        app_name: view.application_name.clone(),
        application_enable_grey_tag_route: Some(false),
        application_update_strategy: Some(how::strategy_text(&order.terms.settings.strategy)),
        // The order is what is approved.
        approval_id: order.approval.as_ref().map(|_| order.id.to_string()),
        auto: Some(matches!(gate, Gate::Auto { .. })),
        batch_count: Some(batch_count(order)),
        batch_type: Some(words::batch_type(gate).to_owned()),
        batch_wait_time: Some(match gate {
            Gate::Auto { wait_s } => i64::from(wait_s.div_ceil(SECONDS_A_MINUTE)),
            Gate::Manual => 0,
        }),
        change_order_id: Some(order.id.to_string()),
        co_type: Some(kind.text.to_owned()),
        co_type_code: Some(kind.code.to_owned()),
        create_time: Some(words::local_time(order.created)),
        current_pipeline_id: Some(current.unwrap_or_default()),
        description: Some(order.description.clone()),
        error_message: Some(error_text(view)),
        pipelines: Some(pipelines),
        status: Some(words::number(order.standing)),
        sub_status: Some(words::sub_number(order.standing)),
        support_rollback: Some(supports_rollback(order)),
    }
}

/// Why an order failed, or stands still.
fn error_text(view: &OrderView) -> String {
    if let Some((code, message)) = &view.order.error {
        return format!("failed to {message} ({code})");
    }
    let failure = view
        .order
        .rollout
        .as_ref()
        .and_then(|r| r.progress().failure);
    let (Some(failure), Standing::Stuck) = (failure, view.order.standing) else {
        return String::new();
    };
    let why = match failure.why {
        backout_rollout::Why::Ended => "ended and is not started again",
        backout_rollout::Why::NotReady => "was not ready in time",
        backout_rollout::Why::NotStopped => "could not be stopped in time",
        backout_rollout::Why::Floor => "too few instances are ready to go on",
    };
    match failure.slot.and_then(|slot| view.replica(slot)) {
        Some(replica) => format!("instance {replica} {why}"),
        None => why.to_owned(),
    }
}

fn task_shown(
    view: &OrderView,
    stage: &str,
    number: usize,
    task: &StageTask,
    error: Option<&str>,
) -> wire::DescribePipelineDataStageListTaskList {
    use backout_apps::orders::StageStatus;
    let named = |slot: Option<backout_rollout::Slot>| {
        slot.and_then(|slot| view.replica(slot))
            .map_or_else(|| "an instance".to_owned(), ToString::to_string)
    };
    let name = match (task.old, task.new) {
        (Some(old), Some(new)) => format!("replace {} by {}", named(Some(old)), named(Some(new))),
        (None, Some(new)) => format!("start {}", named(Some(new))),
        (Some(old), None) => format!("stop {}", named(Some(old))),
        (None, None) => "nothing".to_owned(),
    };
    let failed = task.status == StageStatus::Failed;
    let why = match error {
        Some(error) => error.to_owned(),
        None => error_text(view),
    };
    wire::DescribePipelineDataStageListTaskList {
        error_code: None,
        error_ignore: Some(0),
        error_message: Some(match failed {
            true => why,
            false => String::new(),
        }),
        message: Some(
            match task.status {
                StageStatus::Succeeded => "success",
                _ => "",
            }
            .to_owned(),
        ),
        show_manual_ignore: Some(false),
        stage_id: Some(stage.to_owned()),
        status: Some(words::stage_number(task.status)),
        task_id: Some(format!("{stage}-{number}")),
        task_name: Some(name),
    }
}
