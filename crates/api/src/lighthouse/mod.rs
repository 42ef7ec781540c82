//! Tencent Lighthouse, API version 2020-03-24: snapshots of a server's system
//! disk (seed 004).
//!
//! Everything that the vendor names is named here and nowhere below. What the
//! documentation leaves open is decided in SEMANTICS section 4.

use backout_core::ids::{AccountId, DiskId, InstanceId, SnapshotId};
use backout_core::time::Timestamp;
use backout_servers::model::{
    LatestOperation, OperationKind, OperationState, Power, Server, Snapshot, SnapshotKind,
    SnapshotState, Tag, Usage, size_gib,
};
use backout_servers::persistence::{Page, ServerFilter, SnapshotFilter, TagFilter};
use backout_servers::{AskedBy, Caller, DiskRef, NAME_MAX_CHARS, Refusal, Servers};
use backout_wire::types::lighthouse as wire;
use backout_wire::{Call, Fault, Rejection, SurfaceError};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::front::{Admitted, Refused};
use crate::kept::{Body, Kept};

/// The operations that are served.
const SERVED: [&str; 6] = [
    "ApplyInstanceSnapshot",
    "CreateInstanceSnapshot",
    "DeleteSnapshots",
    "DescribeInstances",
    "DescribeSnapshots",
    "DescribeSnapshotsDeniedActions",
];

/// The longest page (contract: `Limit.max`).
const PAGE_MAX: i64 = 100;
/// A page when none is asked for (contract: `Limit.default`).
const PAGE_DEFAULT: i64 = 20;
/// Filters in one call (SEMANTICS section 4).
const FILTERS_MAX: usize = 10;
/// Values of one filter (SEMANTICS section 4).
const FILTER_VALUES_MAX: usize = 5;
/// Values of one filter of `DescribeInstances` (SEMANTICS section 4).
const INSTANCE_FILTER_VALUES_MAX: usize = 100;
/// Ids in one call (contract: `InstanceIds.max`, `SnapshotIds.max`).
const IDS_MAX: usize = 100;
/// Snapshots in one call that deletes them (SEMANTICS section 4).
const DELETE_MAX: usize = 10;
/// Tags on a new snapshot (contract: `Tags`).
const TAGS_MAX: usize = 10;
/// The region of a call that names none.
const DEFAULT_REGION: &str = "ap-guangzhou";
/// What a self-hosted server has in the place of a plan and an image.
const BUNDLE_ID: &str = "bundle_self_hosted";
const BLUEPRINT_ID: &str = "lhbp-selfhost";

/// Whether the operation `name` of this family is served.
#[must_use]
pub fn serves(name: &str) -> bool {
    SERVED.contains(&name)
}

/// The ids that a call names, for the audit trail.
#[must_use]
pub fn named_ids(call: &Call) -> Vec<String> {
    ["InstanceId", "InstanceIds", "SnapshotId", "SnapshotIds"]
        .iter()
        .filter_map(|name| call.params.get(*name))
        .flat_map(|value| match value {
            serde_json::Value::String(id) => vec![id.clone()],
            serde_json::Value::Array(ids) => ids
                .iter()
                .filter_map(|id| id.as_str().map(str::to_owned))
                .collect(),
            _ => Vec::new(),
        })
        .collect()
}

/// The resources that a policy is asked about, each in its spellings. A call
/// that names an instance is judged by that; one that names none is judged as
/// one on all resources.
#[must_use]
pub fn policy_resources(call: &Call, owner: &AccountId) -> Vec<Vec<String>> {
    let region = call.region.as_deref().unwrap_or("");
    let ids = named_ids(call);
    let of_kind = |prefix: &str| {
        ids.iter()
            .filter(|id| id.starts_with(prefix))
            .collect::<Vec<_>>()
    };
    let (kind, native, ids) = match (of_kind(InstanceId::PREFIX), of_kind(SnapshotId::PREFIX)) {
        (instances, _) if !instances.is_empty() => ("instance", "server", instances),
        (_, snapshots) => ("snapshot", "snapshot", snapshots),
    };
    if ids.is_empty() {
        return vec![vec![format!("qcs::lighthouse:{region}:uin/{owner}:*")]];
    }
    ids.into_iter()
        .map(|id| {
            vec![
                format!("qcs::lighthouse:{region}:uin/{owner}:{kind}/{id}"),
                format!("qcs::lighthouse::uin/{owner}:{kind}/{id}"),
                format!("{native}/{id}"),
            ]
        })
        .collect()
}

/// Any answer of this family.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// Of `ApplyInstanceSnapshot`.
    Applied(wire::ApplyInstanceSnapshotResponse),
    /// Of `CreateInstanceSnapshot`.
    Created(wire::CreateInstanceSnapshotResponse),
    /// Of `DeleteSnapshots`.
    Deleted(wire::DeleteSnapshotsResponse),
    /// Of `DescribeInstances`.
    Instances(wire::DescribeInstancesResponse),
    /// Of `DescribeSnapshots`.
    Snapshots(wire::DescribeSnapshotsResponse),
    /// Of `DescribeSnapshotsDeniedActions`.
    Denied(wire::DescribeSnapshotsDeniedActionsResponse),
    /// Of a list, written before.
    Kept(Body),
}

/// The family.
pub struct Lighthouse {
    servers: Servers,
    kept: Kept,
}

impl Lighthouse {
    /// The family, over `servers`.
    #[must_use]
    pub fn new(servers: Servers) -> Self {
        Self {
            servers,
            kept: Kept::default(),
        }
    }

    /// Does what an admitted call asks.
    ///
    /// # Errors
    /// The operation's own code, or a common one.
    pub async fn act(&self, admitted: &Admitted) -> Result<Answer, Refused> {
        match admitted.call.operation.name {
            "ApplyInstanceSnapshot" => self.apply(admitted).await,
            "CreateInstanceSnapshot" => self.create(admitted).await,
            "DeleteSnapshots" => self.delete(admitted).await,
            // These two tell nothing but what the store holds.
            "DescribeInstances" | "DescribeSnapshots" => self.list(admitted).await,
            "DescribeSnapshotsDeniedActions" => self.denied(admitted).await,
            other => Err(Rejection::new(Fault::NotServed, format!("{other} is not served")).into()),
        }
    }

    async fn list(&self, admitted: &Admitted) -> Result<Answer, Refused> {
        // Before the rows are read: what is kept may be newer than its version,
        // never older.
        let version = self.servers.version();
        let asked = asked(admitted);
        if let Some(body) = version.and_then(|version| self.kept.get(&asked, version)) {
            return Ok(Answer::Kept(body));
        }
        let answer = match admitted.call.operation.name {
            "DescribeInstances" => self.instances(admitted).await?,
            _ => self.snapshots(admitted).await?,
        };
        let Some((version, body)) = version.zip(Body::of(&answer)) else {
            return Ok(answer);
        };
        self.kept.put(asked, version, &body);
        Ok(Answer::Kept(body))
    }

    async fn apply(&self, admitted: &Admitted) -> Result<Answer, Refused> {
        let asked: wire::ApplyInstanceSnapshotRequest = request(&admitted.call)?;
        let instance = instance_id(&asked.instance_id)?;
        let snapshot = snapshot_id(&asked.snapshot_id)?;
        self.user_snapshot(admitted, &instance, &snapshot).await?;
        self.servers
            .apply_snapshot(
                &caller(admitted),
                DiskRef::Of(instance.to_string()),
                snapshot.as_str(),
            )
            .await
            .map_err(|e| refused(&e))?;
        Ok(Answer::Applied(wire::ApplyInstanceSnapshotResponse {}))
    }

    /// Safety points are our own: to the vendor's clients they do not exist.
    async fn user_snapshot(
        &self,
        admitted: &Admitted,
        instance: &InstanceId,
        snapshot: &SnapshotId,
    ) -> Result<(), SurfaceError> {
        let owner = &admitted.principal.owner;
        // The instance first: the vendor's message is about what comes first.
        self.servers
            .get(owner, instance.as_str())
            .await
            .map_err(|e| refused(&e))?;
        let found = self
            .servers
            .snapshot(owner, None, snapshot.as_str())
            .await
            .map_err(|e| refused(&e))?;
        match found.kind {
            SnapshotKind::User | SnapshotKind::Scheduled => Ok(()),
            SnapshotKind::Safety => Err(refused(&Refusal::SnapshotNotFound(snapshot.to_string()))),
        }
    }

    async fn create(&self, admitted: &Admitted) -> Result<Answer, Refused> {
        let asked: wire::CreateInstanceSnapshotRequest = request(&admitted.call)?;
        let instance = instance_id(&asked.instance_id)?;
        // An empty name counts as none, as in the vendor's console.
        let name = asked.snapshot_name.filter(|n| !n.is_empty());
        if name
            .as_ref()
            .is_some_and(|n| n.chars().count() > NAME_MAX_CHARS)
        {
            return Err(error(
                "InvalidParameterValue.SnapshotNameTooLong",
                format!("the snapshot name has more than {NAME_MAX_CHARS} characters"),
            )
            .into());
        }
        let tags = asked.tags;
        if tags.len() > TAGS_MAX {
            return Err(error(
                "InvalidParameterValue",
                format!("more than {TAGS_MAX} tags"),
            )
            .into());
        }
        let tags = tags
            .into_iter()
            .map(|t| Tag {
                key: t.key,
                value: t.value,
            })
            .collect();
        let (snapshot, _job) = self
            .servers
            .create_snapshot(
                &caller(admitted),
                DiskRef::Of(instance.to_string()),
                name,
                tags,
                AskedBy::Caller,
            )
            .await
            .map_err(|e| refused(&e))?;
        Ok(Answer::Created(wire::CreateInstanceSnapshotResponse {
            snapshot_id: snapshot.to_string(),
        }))
    }

    async fn delete(&self, admitted: &Admitted) -> Result<Answer, Refused> {
        let asked: wire::DeleteSnapshotsRequest = request(&admitted.call)?;
        let ids = distinct(asked.snapshot_ids, DELETE_MAX, snapshot_id)?;
        for id in &ids {
            let found = self
                .servers
                .snapshot(&admitted.principal.owner, None, id)
                .await
                .map_err(|e| refused(&e))?;
            if found.kind == SnapshotKind::Safety {
                return Err(refused(&Refusal::SnapshotNotFound(id.clone())).into());
            }
        }
        self.servers
            .delete_snapshots(&caller(admitted), &ids)
            .await
            .map_err(|e| match e {
                // This operation has a code of its own for a disk that is busy.
                Refusal::ServerBusy { .. } => error("UnsupportedOperation.SnapshotBusy", told(&e)),
                e => refused(&e),
            })?;
        Ok(Answer::Deleted(wire::DeleteSnapshotsResponse {}))
    }

    async fn instances(&self, admitted: &Admitted) -> Result<Answer, Refused> {
        let asked: wire::DescribeInstancesRequest = request(&admitted.call)?;
        let page = page(asked.offset, asked.limit)?;
        let region = admitted.call.region.as_deref().unwrap_or(DEFAULT_REGION);
        let filters = asked.filters;
        let ids = distinct(asked.instance_ids, IDS_MAX, instance_id)?;
        exclusive(&ids, &filters)?;
        if asked.order.is_some() && asked.order_field.is_none() {
            return Err(error(
                "MissingParameter.OrderFieldRequired",
                "Order is given without OrderField",
            )
            .into());
        }
        if asked.order_field.is_some_and(|f| f != "EXPIRED_TIME")
            || asked.order.is_some_and(|o| o != "ASC" && o != "DESC")
        {
            return Err(error(
                "InvalidParameterValue",
                "OrderField takes EXPIRED_TIME, Order takes ASC or DESC",
            )
            .into());
        }
        let mut filter = instance_filter(&filters, region)?;
        let wanted = ids.len() as u64;
        filter.ids = ids;
        let owner = &admitted.principal.owner;
        let (total, found) = self
            .servers
            .list(owner, filter.clone(), page)
            .await
            .map_err(|e| refused(&e))?;
        if wanted > 0 && total < wanted {
            let missing = filter
                .ids
                .iter()
                .find(|id| found.iter().all(|s| s.id.as_str() != *id));
            return Err(refused(&Refusal::ServerNotFound(
                missing.cloned().unwrap_or_default(),
            ))
            .into());
        }
        Ok(Answer::Instances(wire::DescribeInstancesResponse {
            total_count: total.cast_signed(),
            instance_set: found.iter().map(|s| instance(s, region)).collect(),
        }))
    }

    async fn snapshots(&self, admitted: &Admitted) -> Result<Answer, Refused> {
        let asked: wire::DescribeSnapshotsRequest = request(&admitted.call)?;
        let page = page(asked.offset, asked.limit)?;
        let filters = asked.filters;
        let ids = asked.snapshot_ids;
        at_most(ids.len(), IDS_MAX)?;
        for id in &ids {
            snapshot_id(id)?;
        }
        exclusive(&ids, &filters)?;
        let mut filter = snapshot_filter(&filters)?;
        if !ids.is_empty() {
            filter.ids = ids;
        }
        filter.usage = Some(Usage::System);
        filter.safety = Some(false);
        let (total, found) = self
            .servers
            .snapshots(&admitted.principal.owner, filter, page)
            .await
            .map_err(|e| refused(&e))?;
        Ok(Answer::Snapshots(wire::DescribeSnapshotsResponse {
            total_count: total.cast_signed(),
            snapshot_set: found
                .iter()
                .map(|(s, percent)| snapshot(s, *percent))
                .collect(),
        }))
    }

    async fn denied(&self, admitted: &Admitted) -> Result<Answer, Refused> {
        let asked: wire::DescribeSnapshotsDeniedActionsRequest = request(&admitted.call)?;
        let ids = distinct(asked.snapshot_ids, IDS_MAX, snapshot_id)?;
        let found = self
            .servers
            .denied_on_snapshots(&admitted.principal.owner, &ids)
            .await
            .map_err(|e| refused(&e))?;
        let set = found
            .into_iter()
            .map(|(id, denied)| wire::SnapshotDeniedActions {
                snapshot_id: id.to_string(),
                denied_actions: denied
                    .iter()
                    .map(|d| wire::DeniedAction {
                        action: snapshot_operation(d.action).to_owned(),
                        // The vendor's sample of a rollback under way has the
                        // disk's code here, not the instance's (SEMANTICS
                        // section 4).
                        code: match &d.refusal {
                            Refusal::ServerBusy { .. } => {
                                "UnsupportedOperation.DiskLatestOperationUnfinished"
                            }
                            other => code(other),
                        }
                        .to_owned(),
                        message: told(&d.refusal),
                    })
                    .collect(),
            })
            .collect();
        Ok(Answer::Denied(
            wire::DescribeSnapshotsDeniedActionsResponse {
                snapshot_denied_action_set: set,
            },
        ))
    }
}

// ---- what is asked ----

/// All that the answer to a list call depends on, besides the store.
fn asked(admitted: &Admitted) -> String {
    let call = &admitted.call;
    let params = serde_json::to_string(&call.params).unwrap_or_default();
    let region = call.region.as_deref().unwrap_or("");
    format!(
        "{} {} {region} {params}",
        admitted.principal.owner, call.operation.name
    )
}

fn request<T: DeserializeOwned>(call: &Call) -> Result<T, Rejection> {
    // The parameters were checked against the contract, which the type was made
    // from; what still fails is a value that no contract type has.
    T::deserialize(serde::de::value::MapDeserializer::new(
        call.params.clone().into_iter(),
    ))
    .map_err(|e| {
        Rejection::new(
            Fault::InvalidParameter,
            format!("the parameters do not fit: {e}"),
        )
    })
}

fn caller(admitted: &Admitted) -> Caller {
    Caller {
        account: admitted.principal.account.clone(),
        owner: admitted.principal.owner.clone(),
        request: admitted.request.clone(),
        idempotency: None,
    }
}

fn instance_id(text: &str) -> Result<InstanceId, SurfaceError> {
    text.parse()
        .map_err(|e| error("InvalidParameterValue.InstanceIdMalformed", format!("{e}")))
}

fn snapshot_id(text: &str) -> Result<SnapshotId, SurfaceError> {
    text.parse()
        .map_err(|e| error("InvalidParameterValue.SnapshotIdMalformed", format!("{e}")))
}

fn disk_id(text: &str) -> Result<DiskId, SurfaceError> {
    text.parse().map_err(|e| {
        error(
            "InvalidParameterValue.InvalidDiskIdMalformed",
            format!("{e}"),
        )
    })
}

fn at_most(given: usize, max: usize) -> Result<(), SurfaceError> {
    if given > max {
        return Err(error(
            "InvalidParameterValue.LimitExceeded",
            format!("{given} values are given, at most {max} are taken"),
        ));
    }
    Ok(())
}

/// Ids that are well-formed, not too many, and named once each.
fn distinct<T>(
    ids: Vec<String>,
    max: usize,
    check: impl Fn(&str) -> Result<T, SurfaceError>,
) -> Result<Vec<String>, SurfaceError> {
    at_most(ids.len(), max)?;
    for (index, id) in ids.iter().enumerate() {
        check(id)?;
        if ids[..index].contains(id) {
            return Err(error(
                "InvalidParameterValue.Duplicated",
                format!("{id} is named twice"),
            ));
        }
    }
    Ok(ids)
}

fn exclusive(ids: &[String], filters: &[wire::Filter]) -> Result<(), SurfaceError> {
    if !ids.is_empty() && !filters.is_empty() {
        return Err(error(
            "InvalidParameter.ParameterConflict",
            "ids and Filters exclude each other",
        ));
    }
    Ok(())
}

fn page(offset: Option<i64>, limit: Option<i64>) -> Result<Page, SurfaceError> {
    let (offset, limit) = (offset.unwrap_or(0), limit.unwrap_or(PAGE_DEFAULT));
    if offset < 0 || limit < 0 {
        return Err(error(
            "InvalidParameterValue.Negative",
            "Offset and Limit cannot be negative",
        ));
    }
    if limit == 0 || limit > PAGE_MAX {
        return Err(error(
            "InvalidParameterValue.OutOfRange",
            format!("Limit {limit} is not in 1 to {PAGE_MAX}"),
        ));
    }
    Ok(Page {
        offset: offset.unsigned_abs(),
        limit: limit.unsigned_abs(),
    })
}

fn check_filters(filters: &[wire::Filter], values_max: usize) -> Result<(), SurfaceError> {
    if filters.len() > FILTERS_MAX {
        return Err(error(
            "InvalidParameter.InvalidFilter",
            format!("more than {FILTERS_MAX} filters"),
        ));
    }
    for filter in filters {
        if filter.values.len() > values_max {
            return Err(error(
                "InvalidParameter.FilterValueLimitExceeded",
                format!("filter {:?} has more than {values_max} values", filter.name),
            ));
        }
        if filter.values.is_empty() {
            return Err(error(
                "InvalidParameter.InvalidFilter",
                format!("filter {:?} has no values", filter.name),
            ));
        }
    }
    Ok(())
}

/// The conditions on tags, which both lists share.
fn tag_filter(filter: &wire::Filter) -> Option<TagFilter> {
    match filter.name.as_str() {
        "tag-key" => Some(TagFilter::Keys(filter.values.clone())),
        "tag-value" => Some(TagFilter::Values(filter.values.clone())),
        name => name
            .strip_prefix("tag:")
            .map(|key| TagFilter::Pair(key.to_owned(), filter.values.clone())),
    }
}

fn not_supported(name: &str) -> SurfaceError {
    error(
        "InvalidParameter.InvalidFilterNotSupportedName",
        format!("there is no filter {name:?} here"),
    )
}

fn instance_filter(filters: &[wire::Filter], region: &str) -> Result<ServerFilter, SurfaceError> {
    check_filters(filters, INSTANCE_FILTER_VALUES_MAX)?;
    let mut out = ServerFilter::default();
    for filter in filters {
        let values = filter.values.clone();
        match filter.name.as_str() {
            "instance-name" => out.names = values,
            "instance-state" => {
                out.powers = Power::ALL
                    .iter()
                    .copied()
                    .filter(|p| values.iter().any(|v| v == instance_state(*p)))
                    .collect();
                out.nothing |= out.powers.is_empty();
            }
            "zone" => out.nothing |= !values.contains(&zone(region)),
            "bundle-id" => out.nothing |= !values.iter().any(|v| v == BUNDLE_ID),
            // A self-hosted server has no address that Backout knows of.
            "private-ip-address" | "public-ip-address" => out.nothing = true,
            name => out
                .tags
                .push(tag_filter(filter).ok_or_else(|| not_supported(name))?),
        }
    }
    Ok(out)
}

fn snapshot_filter(filters: &[wire::Filter]) -> Result<SnapshotFilter, SurfaceError> {
    check_filters(filters, FILTER_VALUES_MAX)?;
    let mut out = SnapshotFilter::default();
    for filter in filters {
        let values = filter.values.clone();
        match filter.name.as_str() {
            "snapshot-id" => {
                values.iter().try_for_each(|v| snapshot_id(v).map(drop))?;
                out.ids = values;
            }
            "disk-id" => {
                values.iter().try_for_each(|v| disk_id(v).map(drop))?;
                out.disks = values;
            }
            "instance-id" => {
                values.iter().try_for_each(|v| instance_id(v).map(drop))?;
                out.subjects = values;
            }
            "snapshot-name" => out.names = values,
            name => out
                .tags
                .push(tag_filter(filter).ok_or_else(|| not_supported(name))?),
        }
    }
    Ok(out)
}

// ---- what is answered ----

fn instance(server: &Server, region: &str) -> wire::Instance {
    let (operation, state, request, started) = latest(server.latest.as_ref(), server_operation);
    wire::Instance {
        instance_id: server.id.to_string(),
        bundle_id: BUNDLE_ID.to_owned(),
        blueprint_id: BLUEPRINT_ID.to_owned(),
        instance_name: server.name.clone(),
        instance_charge_type: "PREPAID".to_owned(),
        system_disk: wire::SystemDisk {
            disk_type: "LOCAL_BASIC".to_owned(),
            disk_size: size_gib(server.disk.size_bytes).cast_signed(),
            disk_id: Some(server.disk.id.to_string()),
        },
        internet_accessible: wire::InternetAccessible {
            internet_charge_type: "TRAFFIC_POSTPAID_BY_HOUR".to_owned(),
            ..Default::default()
        },
        renew_flag: "NOTIFY_AND_MANUAL_RENEW".to_owned(),
        instance_state: instance_state(server.power).to_owned(),
        uuid: uuid_of(&server.id),
        latest_operation: operation,
        latest_operation_state: state,
        latest_operation_request_id: request,
        latest_operation_started_time: started.map(Timestamp::iso8601),
        created_time: Some(server.created.iso8601()),
        platform_type: "LINUX_UNIX".to_owned(),
        platform: "SELF_HOSTED".to_owned(),
        os_name: "self-hosted".to_owned(),
        zone: zone(region),
        tags: tags(&server.tags),
        instance_restrict_state: "NORMAL".to_owned(),
        ..Default::default()
    }
}

fn snapshot(snapshot: &Snapshot, percent: u8) -> wire::Snapshot {
    let (operation, state, request, _) = latest(snapshot.latest.as_ref(), snapshot_operation);
    wire::Snapshot {
        snapshot_id: snapshot.id.to_string(),
        disk_usage: "SYSTEM_DISK".to_owned(),
        disk_id: snapshot.disk.to_string(),
        disk_size: size_gib(snapshot.size_bytes).cast_signed(),
        snapshot_name: snapshot.name.clone(),
        snapshot_state: snapshot_state(snapshot.state).to_owned(),
        percent: percent.into(),
        latest_operation: operation,
        latest_operation_state: state,
        latest_operation_request_id: request,
        created_time: snapshot.created.iso8601(),
        tags: Some(tags(&snapshot.tags)),
    }
}

fn latest(
    operation: Option<&LatestOperation>,
    name: fn(OperationKind) -> &'static str,
) -> (String, String, String, Option<Timestamp>) {
    operation.map_or_else(Default::default, |o| {
        (
            name(o.kind).to_owned(),
            operation_state(o.state).to_owned(),
            o.request.0.clone(),
            Some(o.started),
        )
    })
}

/// On an instance: the name of the call (SEMANTICS section 4).
const fn server_operation(kind: OperationKind) -> &'static str {
    match kind {
        OperationKind::Adopt | OperationKind::Create => "CreateInstances",
        OperationKind::Start => "StartInstances",
        OperationKind::Stop => "StopInstances",
        OperationKind::Reboot => "RebootInstances",
        OperationKind::Isolate => "IsolateInstances",
        OperationKind::Reset => "ResetInstance",
        OperationKind::Rename => "ModifyInstancesAttribute",
        OperationKind::CreateBlueprint => "CreateBlueprint",
        OperationKind::DeleteBlueprint => "DeleteBlueprints",
        OperationKind::AddDisk => "CreateDisks",
        OperationKind::RemoveDisk => "TerminateDisks",
        OperationKind::Attach => "AttachDisks",
        OperationKind::Detach => "DetachDisks",
        // Never shown: background work is nobody's latest operation.
        OperationKind::Compact => "",
        OperationKind::CreateSnapshot => "CreateInstanceSnapshot",
        OperationKind::ApplySnapshot => "ApplyInstanceSnapshot",
        OperationKind::DeleteSnapshot => "DeleteSnapshots",
        OperationKind::Terminate | OperationKind::Release => "TerminateInstances",
    }
}

/// On a snapshot: not the name of the call (SEMANTICS section 4).
const fn snapshot_operation(kind: OperationKind) -> &'static str {
    match kind {
        OperationKind::ApplySnapshot => "RollbackInstanceSnapshot",
        other => server_operation(other),
    }
}

const fn operation_state(state: OperationState) -> &'static str {
    match state {
        OperationState::Operating => "OPERATING",
        OperationState::Success => "SUCCESS",
        OperationState::Failed => "FAILED",
    }
}

const fn snapshot_state(state: SnapshotState) -> &'static str {
    match state {
        SnapshotState::Creating => "CREATING",
        // One that is being deleted is in no list; asked for by name it is as
        // it was.
        SnapshotState::Normal | SnapshotState::Deleting => "NORMAL",
        SnapshotState::RollingBack => "ROLLBACKING",
    }
}

const fn instance_state(power: Power) -> &'static str {
    match power {
        Power::Creating => "PENDING",
        Power::LaunchFailed => "LAUNCH_FAILED",
        Power::Running => "RUNNING",
        Power::Stopped => "STOPPED",
        Power::Starting => "STARTING",
        Power::Stopping => "STOPPING",
        Power::Rebooting => "REBOOTING",
        Power::Isolated => "SHUTDOWN",
        Power::Terminating => "TERMINATING",
    }
}

fn zone(region: &str) -> String {
    format!("{region}-1")
}

fn tags(tags: &[Tag]) -> Vec<wire::Tag> {
    tags.iter()
        .map(|t| wire::Tag {
            key: t.key.clone(),
            value: t.value.clone(),
        })
        .collect()
}

/// The same for the same server, ever; a version 8 UUID (custom) made of its
/// id.
fn uuid_of(id: &InstanceId) -> String {
    let tail = &id.as_str().as_bytes()[InstanceId::PREFIX.len()..];
    let n = tail.iter().fold(0_u64, |n, b| (n << 8) | u64::from(*b));
    format!(
        "{:08x}-{:04x}-8000-8000-{:012x}",
        n >> 32,
        n & 0xffff,
        n & 0xffff_ffff_ffff
    )
}

fn error(code: &str, message: impl Into<String>) -> SurfaceError {
    SurfaceError {
        code: code.to_owned(),
        message: message.into(),
        status: None,
    }
}

fn refused(refusal: &Refusal) -> SurfaceError {
    error(code(refusal), told(refusal))
}

/// Our fragments fit "failed to ..."; the vendor's clients show whole sentences.
fn told(refusal: &Refusal) -> String {
    format!("failed to {refusal} ({})", refusal.code())
}

/// Which of the vendor's codes a refusal is (SEMANTICS section 4, "which error
/// when").
fn code(refusal: &Refusal) -> &'static str {
    use backout_disks::Error as Disk;
    match refusal {
        Refusal::ServerNotFound(_) => "ResourceNotFound.InstanceIdNotFound",
        Refusal::DiskNotFound(_) => "ResourceNotFound.DiskIdNotFound",
        Refusal::BlueprintNotFound(_) => "ResourceNotFound.BlueprintIdNotFound",
        Refusal::ServerState { .. } => "UnsupportedOperation.InvalidInstanceState",
        Refusal::DiskBusy { .. } => "UnsupportedOperation.DiskLatestOperationUnfinished",
        Refusal::DiskState { .. } => "UnsupportedOperation.InvalidDiskState",
        Refusal::DiskUsage { .. } => "OperationDenied.DiskUsageNotSupportOperation",
        Refusal::BundleNotFound(_) => "InvalidParameter.BundleIdNotFound",
        Refusal::BlueprintState { .. } | Refusal::BlueprintUsed { .. } => {
            "ResourceUnavailable.BlueprintUnavailable"
        }
        Refusal::Quota { .. } => "LimitExceeded",
        Refusal::Machine(_) => "FailedOperation.DescribeInstanceStatus",
        Refusal::SnapshotNotFound(_) => "ResourceNotFound.SnapshotIdNotFound",
        Refusal::OtherDisk { .. } | Refusal::Disk(Disk::PointMissing { .. }) => {
            "ResourceNotFound.SnapshotNotFound"
        }
        Refusal::ServerCreating(_) => "OperationDenied.InstanceCreating",
        Refusal::ServerBusy { .. } => "UnsupportedOperation.LatestOperationUnfinished",
        // Being deleted is no state that the vendor's snapshots have.
        Refusal::SnapshotState {
            state: SnapshotState::Deleting,
            ..
        } => "UnsupportedOperation.SnapshotBusy",
        Refusal::SnapshotState { .. } => "UnsupportedOperation.InvalidSnapshotState",
        Refusal::SizeChanged { .. } => "InvalidParameterValue.DiskSizeNotMatch",
        Refusal::InUse { .. } | Refusal::Disk(Disk::InUse { .. } | Disk::Busy { .. }) => {
            "UnsupportedOperation.DiskBusy"
        }
        Refusal::Disk(Disk::Missing { .. }) | Refusal::NoDiskFile(_) => {
            "ResourceNotFound.DiskNotFound"
        }
        Refusal::ChainFull { .. } => "LimitExceeded.SnapshotQuotaLimitExceeded",
        Refusal::NoSpace { .. } | Refusal::Disk(_) => "FailedOperation.SnapshotOperationFailed",
        Refusal::Invalid(_) | Refusal::Taken(_) => "InvalidParameterValue",
        Refusal::IdempotencyMismatch => "InvalidParameter",
        Refusal::NotReversible { .. } => "UnsupportedOperation",
        Refusal::Store(_) => "InternalError",
    }
}
