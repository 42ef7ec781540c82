//! Snapshots of a server's system disk (seed 004).

use backout_core::ids::{InstanceId, PointId, SnapshotId};
use backout_servers::model::{
    OperationKind, Snapshot, SnapshotKind, SnapshotState, Usage, size_gib,
};
use backout_servers::persistence::{Page, SnapshotFilter};
use backout_servers::{AskedBy, Denied, DiskRef, NAME_MAX_CHARS, Refusal};
use backout_wire::SurfaceError;
use backout_wire::types::lighthouse as wire;

use super::asked::{Ask, FILTER_VALUES_MAX};
use super::{Lighthouse, codes, denials, latest, server_operation, tags};
use crate::front::Refused;

impl Lighthouse {
    pub(super) async fn apply_instance_snapshot(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::ApplyInstanceSnapshotResponse, Refused> {
        let asked: wire::ApplyInstanceSnapshotRequest = ask.params()?;
        let instance = ask.instance(&asked.instance_id)?;
        let snapshot = ask.snapshot(&asked.snapshot_id)?;
        self.user_snapshot(ask, &instance, &snapshot).await?;
        self.servers
            .apply_snapshot(
                &ask.caller(),
                DiskRef::Of(instance.to_string()),
                snapshot.as_str(),
            )
            .await
            .map_err(|e| ask.refused(e))?;
        Ok(wire::ApplyInstanceSnapshotResponse {})
    }

    /// Safety points are our own: to the vendor's clients they do not exist.
    async fn user_snapshot(
        &self,
        ask: Ask<'_>,
        instance: &InstanceId,
        snapshot: &SnapshotId,
    ) -> Result<(), SurfaceError> {
        // The instance first: the vendor's message is about what comes first.
        self.servers
            .get(ask.owner(), instance.as_str())
            .await
            .map_err(|e| ask.refused(e))?;
        self.point(ask, snapshot.as_str()).await.map(drop)
    }

    /// A restore point that is no safety point.
    pub(super) async fn point(&self, ask: Ask<'_>, id: &str) -> Result<Snapshot, SurfaceError> {
        let found = self
            .servers
            .snapshot(ask.owner(), None, id)
            .await
            .map_err(|e| ask.refused(e))?;
        match found.kind {
            SnapshotKind::User | SnapshotKind::Scheduled => Ok(found),
            SnapshotKind::Safety => Err(ask.refused(Refusal::SnapshotNotFound(id.to_owned()))),
        }
    }

    /// One page of restore points of disks for `usage`, without safety points,
    /// each with the progress of its job; and how many match.
    pub(super) async fn points(
        &self,
        ask: Ask<'_>,
        usage: Usage,
        ids: Vec<String>,
        filter: SnapshotFilter,
        page: Page,
    ) -> Result<(i64, Vec<(Snapshot, u8)>), SurfaceError> {
        let filter = SnapshotFilter {
            ids: if ids.is_empty() { filter.ids } else { ids },
            usage: Some(usage),
            safety: Some(false),
            ..filter
        };
        let (total, found) = self
            .servers
            .snapshots(ask.owner(), filter, page)
            .await
            .map_err(|e| ask.refused(e))?;
        Ok((total.cast_signed(), found))
    }

    /// What is refused now of each of these, none of them a safety point.
    pub(super) async fn denied_of_points(
        &self,
        ask: Ask<'_>,
        ids: &[String],
    ) -> Result<Vec<(PointId, Vec<Denied>)>, SurfaceError> {
        for id in ids {
            self.point(ask, id).await?;
        }
        self.servers
            .denied_on_snapshots(ask.owner(), ids)
            .await
            .map_err(|e| ask.refused(e))
    }

    pub(super) async fn create_instance_snapshot(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::CreateInstanceSnapshotResponse, Refused> {
        let asked: wire::CreateInstanceSnapshotRequest = ask.params()?;
        let instance = ask.instance(&asked.instance_id)?;
        let name = ask.name("SnapshotName", asked.snapshot_name, NAME_MAX_CHARS)?;
        let tags = ask.tags(asked.tags)?;
        let (snapshot, _job) = self
            .servers
            .create_snapshot(
                &ask.caller(),
                DiskRef::Of(instance.to_string()),
                name,
                tags,
                AskedBy::Caller,
            )
            .await
            .map_err(|e| ask.refused(e))?;
        Ok(wire::CreateInstanceSnapshotResponse {
            snapshot_id: snapshot.to_string(),
        })
    }

    pub(super) async fn delete_snapshots(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::DeleteSnapshotsResponse, Refused> {
        let asked: wire::DeleteSnapshotsRequest = ask.params()?;
        let ids = ask.named("SnapshotIds", &asked.snapshot_ids, |id| ask.snapshot(id))?;
        for id in &ids {
            self.point(ask, id).await?;
        }
        self.servers
            .delete_snapshots(&ask.caller(), &ids)
            .await
            .map_err(|e| ask.refused(e))?;
        Ok(wire::DeleteSnapshotsResponse {})
    }

    pub(super) async fn modify_snapshot_attribute(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::ModifySnapshotAttributeResponse, Refused> {
        let asked: wire::ModifySnapshotAttributeRequest = ask.params()?;
        let id = ask.snapshot(&asked.snapshot_id)?;
        let name = ask.new_name("SnapshotName", asked.snapshot_name, NAME_MAX_CHARS)?;
        let found = self.point(ask, id.as_str()).await?;
        self.servers
            .rename_snapshots(ask.owner(), &[found.id.to_string()], &name)
            .await
            .map_err(|e| ask.refused(e))?;
        Ok(wire::ModifySnapshotAttributeResponse {})
    }

    pub(super) async fn describe_snapshots(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::DescribeSnapshotsResponse, Refused> {
        let asked: wire::DescribeSnapshotsRequest = ask.params()?;
        let page = ask.page(asked.offset, asked.limit)?;
        let ids = ask.listed("SnapshotIds", &asked.snapshot_ids, |id| ask.snapshot(id))?;
        ask.exclusive(&ids, &asked.filters)?;
        let filter = snapshot_filter(ask, &asked.filters)?;
        let (total_count, found) = self.points(ask, Usage::System, ids, filter, page).await?;
        Ok(wire::DescribeSnapshotsResponse {
            total_count,
            snapshot_set: found
                .iter()
                .map(|(s, percent)| snapshot(s, *percent))
                .collect(),
        })
    }

    pub(super) async fn describe_snapshots_denied_actions(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::DescribeSnapshotsDeniedActionsResponse, Refused> {
        let asked: wire::DescribeSnapshotsDeniedActionsRequest = ask.params()?;
        let ids = ask.named("SnapshotIds", &asked.snapshot_ids, |id| ask.snapshot(id))?;
        let found = self.denied_of_points(ask, &ids).await?;
        let set = found
            .iter()
            .map(|(id, denied)| wire::SnapshotDeniedActions {
                snapshot_id: id.to_string(),
                denied_actions: denials(denied, |denied| {
                    let code = match (denied.action, &denied.refusal) {
                        // The vendor's sample of a rollback under way has the
                        // disk's code here, not the instance's (SEMANTICS
                        // section 4).
                        (
                            OperationKind::ApplySnapshot,
                            Refusal::ServerBusy {
                                kind: Some(OperationKind::ApplySnapshot),
                                held: false,
                                ..
                            },
                        ) => "UnsupportedOperation.DiskLatestOperationUnfinished",
                        (action, refusal) => codes::code_in(server_operation(action), refusal)?,
                    };
                    Some((snapshot_operation(denied.action), code))
                }),
            })
            .collect();
        Ok(wire::DescribeSnapshotsDeniedActionsResponse {
            snapshot_denied_action_set: set,
        })
    }
}

fn snapshot_filter(ask: Ask<'_>, filters: &[wire::Filter]) -> Result<SnapshotFilter, SurfaceError> {
    ask.filters(filters, FILTER_VALUES_MAX)?;
    let mut out = SnapshotFilter::default();
    for filter in filters {
        let values = filter.values.clone();
        match filter.name.as_str() {
            "snapshot-id" => {
                values.iter().try_for_each(|v| ask.snapshot(v).map(drop))?;
                out.ids = values;
            }
            "disk-id" => {
                values.iter().try_for_each(|v| ask.disk(v).map(drop))?;
                out.disks = values;
            }
            "instance-id" => {
                values.iter().try_for_each(|v| ask.instance(v).map(drop))?;
                out.subjects = values;
            }
            "snapshot-name" => out.names = values,
            _ => out.tags.push(ask.tag_filter(filter)?),
        }
    }
    Ok(out)
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

/// On a snapshot: not the name of the call (SEMANTICS section 4).
const fn snapshot_operation(kind: OperationKind) -> &'static str {
    match kind {
        OperationKind::ApplySnapshot => "RollbackInstanceSnapshot",
        other => server_operation(other),
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
