//! Data disks and their backups.

use backout_servers::model::{
    DiskState, LatestOperation, ManagedDisk, OperationKind, Snapshot, SnapshotState, Usage,
    size_gib,
};
use backout_servers::persistence::{DiskFilter, Page, SnapshotFilter};
use backout_servers::preflight::BACKUPS_PER_DISK_MAX;
use backout_servers::{AskedBy, BACKUP_NAME_MAX_CHARS, DiskRef, Refusal};
use backout_wire::SurfaceError;
use backout_wire::types::lighthouse as wire;

use super::asked::{Ask, FILTER_VALUES_MAX};
use super::catalog::zone;
use super::{Lighthouse, codes, denials, latest, server_operation, tags};
use crate::front::Refused;

/// How the disks of a list are sorted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OrderField {
    Created,
    Size,
}

const ORDER_FIELDS: [(&str, OrderField); 3] = [
    ("CREATED_TIME", OrderField::Created),
    // Nothing expires here, so every order by that is as good.
    ("EXPIRED_TIME", OrderField::Created),
    ("DISK_SIZE", OrderField::Size),
];
const USAGES: [(&str, Usage); 2] = [("SYSTEM_DISK", Usage::System), ("DATA_DISK", Usage::Data)];
const STATES: [(&str, SnapshotState); 4] = [
    ("NORMAL", SnapshotState::Normal),
    ("CREATING", SnapshotState::Creating),
    ("ROLLBACKING", SnapshotState::RollingBack),
    ("DELETING", SnapshotState::Deleting),
];

impl Lighthouse {
    pub(super) async fn describe_disks(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::DescribeDisksResponse, Refused> {
        let asked: wire::DescribeDisksRequest = ask.params()?;
        let page = ask.page(asked.offset, asked.limit)?;
        let region = self.region(ask);
        let ids = ask.distinct("DiskIds", &asked.disk_ids, |id| ask.disk(id))?;
        ask.exclusive(&ids, &asked.filters)?;
        let field = asked.order_field.as_deref();
        let field = ask.word("OrderField", field, &ORDER_FIELDS, OrderField::Created)?;
        let order = asked.order.as_deref();
        let ascending = ask.word("Order", order, &[("ASC", true), ("DESC", false)], false)?;
        let mut filter = disk_filter(ask, &asked.filters, region)?;
        let wanted = ids.len() as u64;
        if wanted > 0 {
            filter.ids = ids;
        }
        filter.by_size = field == OrderField::Size;
        filter.ascending = ascending;
        let (total, found) = self
            .servers
            .disks(ask.owner(), filter.clone(), page)
            .await
            .map_err(|e| ask.refused(e))?;
        if wanted > 0 && total < wanted {
            let missing = filter
                .ids
                .iter()
                .find(|id| found.iter().all(|d| d.volume.id.as_str() != *id));
            let missing = missing.cloned().unwrap_or_default();
            return Err(ask.refused(Refusal::DiskNotFound(missing)).into());
        }
        let data: Vec<_> = found
            .iter()
            .filter(|d| d.usage == Usage::Data)
            .map(|d| d.volume.id.clone())
            .collect();
        let backups = self
            .servers
            .backup_counts(&data)
            .await
            .map_err(|e| ask.refused(e))?;
        Ok(wire::DescribeDisksResponse {
            total_count: total.cast_signed(),
            disk_set: found
                .iter()
                .map(|d| {
                    let count = backups.iter().find(|(id, _)| *id == d.volume.id);
                    disk(d, region, count.map_or(0, |(_, count)| *count))
                })
                .collect(),
        })
    }

    pub(super) async fn describe_disks_denied_actions(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::DescribeDisksDeniedActionsResponse, Refused> {
        let asked: wire::DescribeDisksDeniedActionsRequest = ask.params()?;
        let ids = ask.named("DiskIds", &asked.disk_ids, |id| ask.disk(id))?;
        let found = self
            .servers
            .denied_on_disks(ask.owner(), &ids)
            .await
            .map_err(|e| ask.refused(e))?;
        let set = found
            .iter()
            .map(|(id, denied)| wire::DiskDeniedActions {
                disk_id: Some(id.to_string()),
                denied_actions: Some(denials(denied, |denied| {
                    let action = disk_operation(denied.action);
                    Some((action, codes::code_in(action, &denied.refusal)?))
                })),
            })
            .collect();
        Ok(wire::DescribeDisksDeniedActionsResponse {
            disk_denied_action_set: set,
        })
    }

    pub(super) async fn attach_disks(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::AttachDisksResponse, Refused> {
        // How a disk is paid for means nothing here: RenewFlag is not looked at.
        let asked: wire::AttachDisksRequest = ask.params()?;
        let ids = ask.named("DiskIds", &asked.disk_ids, |id| ask.disk(id))?;
        let instance = ask.instance(&asked.instance_id)?;
        self.servers
            .attach(&ask.caller(), &ids, instance.as_str())
            .await
            .map_err(|e| ask.refused(e))?;
        Ok(wire::AttachDisksResponse {})
    }

    pub(super) async fn detach_disks(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::DetachDisksResponse, Refused> {
        let asked: wire::DetachDisksRequest = ask.params()?;
        let ids = ask.named("DiskIds", &asked.disk_ids, |id| ask.disk(id))?;
        let filter = DiskFilter {
            ids: ids.clone(),
            ..DiskFilter::default()
        };
        let page = Page {
            offset: 0,
            limit: ids.len() as u64,
        };
        let (_, found) = self
            .servers
            .disks(ask.owner(), filter, page)
            .await
            .map_err(|e| ask.refused(e))?;
        for instance in found.iter().filter_map(|disk| disk.server.as_ref()) {
            ask.allowed_on(instance)?;
        }
        self.servers
            .detach(&ask.caller(), &ids)
            .await
            .map_err(|e| ask.refused(e))?;
        Ok(wire::DetachDisksResponse {})
    }

    /// A data disk: only those have backups of this kind. What is done with them
    /// stops the instance that uses it, or holds that up.
    async fn data_disk(
        &self,
        ask: Ask<'_>,
        action: &'static str,
        id: &str,
    ) -> Result<DiskRef, Refused> {
        let disk = self
            .servers
            .disk(ask.owner(), id)
            .await
            .map_err(|e| ask.refused(e))?;
        if disk.usage == Usage::System {
            return Err(ask
                .refused(Refusal::DiskUsage {
                    action,
                    disk: disk.volume.id,
                    why: "it is a system disk: use the snapshots of its instance",
                })
                .into());
        }
        if let Some(instance) = &disk.server {
            ask.allowed_on(instance)?;
        }
        Ok(DiskRef::Disk(disk.volume.id.to_string()))
    }

    pub(super) async fn create_disk_backup(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::CreateDiskBackupResponse, Refused> {
        let asked: wire::CreateDiskBackupRequest = ask.params()?;
        let id = ask.disk(&asked.disk_id)?;
        let name = ask.name(
            "DiskBackupName",
            asked.disk_backup_name,
            BACKUP_NAME_MAX_CHARS,
        )?;
        let tags = ask.tags(asked.tags)?;
        let disk = self.data_disk(ask, "back up", id.as_str()).await?;
        let (backup, _job) = self
            .servers
            .create_snapshot(&ask.caller(), disk, name, tags, AskedBy::Caller)
            .await
            .map_err(|e| ask.refused(e))?;
        Ok(wire::CreateDiskBackupResponse {
            disk_backup_id: backup.to_string(),
        })
    }

    pub(super) async fn apply_disk_backup(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::ApplyDiskBackupResponse, Refused> {
        let asked: wire::ApplyDiskBackupRequest = ask.params()?;
        let id = ask.disk(&asked.disk_id)?;
        let backup = ask.backup(&asked.disk_backup_id)?;
        let disk = self.data_disk(ask, "roll back", id.as_str()).await?;
        let backup = self.point(ask, backup.as_str()).await?;
        self.servers
            .apply_snapshot(&ask.caller(), disk, backup.id.as_str())
            .await
            .map_err(|e| ask.refused(e))?;
        Ok(wire::ApplyDiskBackupResponse {})
    }

    pub(super) async fn delete_disk_backups(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::DeleteDiskBackupsResponse, Refused> {
        let asked: wire::DeleteDiskBackupsRequest = ask.params()?;
        let ids = ask.named("DiskBackupIds", &asked.disk_backup_ids, |id| ask.backup(id))?;
        for id in &ids {
            self.point(ask, id).await?;
        }
        self.servers
            .delete_snapshots(&ask.caller(), &ids)
            .await
            .map_err(|e| ask.refused(e))?;
        Ok(wire::DeleteDiskBackupsResponse {})
    }

    pub(super) async fn modify_disk_backups_attribute(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::ModifyDiskBackupsAttributeResponse, Refused> {
        let asked: wire::ModifyDiskBackupsAttributeRequest = ask.params()?;
        let ids = ask.named("DiskBackupIds", &asked.disk_backup_ids, |id| ask.backup(id))?;
        let name = ask.new_name(
            "DiskBackupName",
            asked.disk_backup_name,
            BACKUP_NAME_MAX_CHARS,
        )?;
        for id in &ids {
            self.point(ask, id).await?;
        }
        self.servers
            .rename_snapshots(ask.owner(), &ids, &name)
            .await
            .map_err(|e| ask.refused(e))?;
        Ok(wire::ModifyDiskBackupsAttributeResponse {})
    }

    pub(super) async fn describe_disk_backups(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::DescribeDiskBackupsResponse, Refused> {
        let asked: wire::DescribeDiskBackupsRequest = ask.params()?;
        let page = ask.page(asked.offset, asked.limit)?;
        let ids = ask.listed("DiskBackupIds", &asked.disk_backup_ids, |id| ask.backup(id))?;
        ask.exclusive(&ids, &asked.filters)?;
        let filter = backup_filter(ask, &asked.filters)?;
        let (total_count, found) = self.points(ask, Usage::Data, ids, filter, page).await?;
        Ok(wire::DescribeDiskBackupsResponse {
            total_count,
            disk_backup_set: found
                .iter()
                .map(|(b, percent)| backup(b, *percent))
                .collect(),
        })
    }

    pub(super) async fn describe_disk_backups_denied_actions(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::DescribeDiskBackupsDeniedActionsResponse, Refused> {
        let asked: wire::DescribeDiskBackupsDeniedActionsRequest = ask.params()?;
        let ids = ask.named("DiskBackupIds", &asked.disk_backup_ids, |id| ask.backup(id))?;
        let found = self.denied_of_points(ask, &ids).await?;
        let set = found
            .iter()
            .map(|(id, denied)| wire::DiskBackupDeniedActions {
                disk_backup_id: Some(id.to_string()),
                denied_actions: Some(denials(denied, |denied| {
                    let action = disk_operation(denied.action);
                    Some((action, codes::code_in(action, &denied.refusal)?))
                })),
            })
            .collect();
        Ok(wire::DescribeDiskBackupsDeniedActionsResponse {
            disk_backup_denied_action_set: set,
        })
    }
}

fn disk_filter(
    ask: Ask<'_>,
    filters: &[wire::Filter],
    region: &str,
) -> Result<DiskFilter, SurfaceError> {
    ask.filters(filters, FILTER_VALUES_MAX)?;
    let mut out = DiskFilter::default();
    for filter in filters {
        let values = filter.values.clone();
        match filter.name.as_str() {
            "disk-id" => {
                values.iter().try_for_each(|v| ask.disk(v).map(drop))?;
                out.ids = values;
            }
            "instance-id" => {
                values.iter().try_for_each(|v| ask.instance(v).map(drop))?;
                out.servers = values;
            }
            "disk-name" => out.names = values,
            "zone" => out.nothing |= !values.contains(&zone(region)),
            "disk-usage" => {
                let usages = usages(ask, &values)?;
                out.usage = match usages.as_slice() {
                    [only] => Some(*only),
                    _ => None,
                };
            }
            "disk-state" => {
                out.states = DiskState::ALL
                    .iter()
                    .copied()
                    .filter(|s| values.iter().any(|v| v == disk_state(*s)))
                    .collect();
                out.nothing |= out.states.is_empty();
            }
            _ => out.tags.push(ask.tag_filter(filter)?),
        }
    }
    Ok(out)
}

/// What is meant, each once.
fn usages(ask: Ask<'_>, values: &[String]) -> Result<Vec<Usage>, SurfaceError> {
    let mut out = Vec::new();
    for value in values {
        let usage = ask.word("disk-usage", Some(value), &USAGES, Usage::Data)?;
        if !out.contains(&usage) {
            out.push(usage);
        }
    }
    Ok(out)
}

fn backup_filter(ask: Ask<'_>, filters: &[wire::Filter]) -> Result<SnapshotFilter, SurfaceError> {
    ask.filters(filters, FILTER_VALUES_MAX)?;
    let mut out = SnapshotFilter::default();
    for filter in filters {
        let values = filter.values.clone();
        match filter.name.as_str() {
            "disk-backup-id" => {
                out.ids = values
                    .iter()
                    .map(|v| ask.backup(v).map(|id| id.to_string()))
                    .collect::<Result<_, _>>()?;
            }
            "disk-id" => {
                values.iter().try_for_each(|v| ask.disk(v).map(drop))?;
                out.disks = values;
            }
            "disk-backup-state" => {
                out.states = values
                    .iter()
                    .map(|v| ask.word("disk-backup-state", Some(v), &STATES, SnapshotState::Normal))
                    .collect::<Result<_, _>>()?;
            }
            "disk-usage" => out.nothing |= !usages(ask, &values)?.contains(&Usage::Data),
            _ => out.tags.push(ask.tag_filter(filter)?),
        }
    }
    Ok(out)
}

fn disk(disk: &ManagedDisk, region: &str, backups: u64) -> wire::Disk {
    let (operation, state, request, _) = match disk.usage {
        Usage::System => latest(disk.latest.as_ref(), server_operation),
        Usage::Data => latest(disk.latest.as_ref(), disk_operation),
    };
    wire::Disk {
        disk_id: disk.volume.id.to_string(),
        instance_id: disk
            .server
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        zone: zone(region),
        disk_name: disk.name.clone(),
        disk_usage: match disk.usage {
            Usage::System => "SYSTEM_DISK",
            Usage::Data => "DATA_DISK",
        }
        .to_owned(),
        // A disk is a file on the host, whatever that is made of.
        disk_type: "CLOUD_BASIC".to_owned(),
        disk_charge_type: "PREPAID".to_owned(),
        disk_size: size_gib(disk.volume.size_bytes).cast_signed(),
        renew_flag: "NOTIFY_AND_MANUAL_RENEW".to_owned(),
        disk_state: disk_state(disk.state).to_owned(),
        attached: disk.state == DiskState::Attached,
        delete_with_instance: disk.usage == Usage::System && disk.made,
        latest_operation: operation,
        latest_operation_state: state,
        latest_operation_request_id: request,
        created_time: Some(disk.created.iso8601()),
        disk_backup_count: backups.cast_signed(),
        disk_backup_quota: match disk.usage {
            Usage::System => 0,
            Usage::Data => BACKUPS_PER_DISK_MAX.cast_signed(),
        },
        tags: Some(tags(&disk.tags)),
        ..Default::default()
    }
}

fn backup(backup: &Snapshot, percent: u8) -> wire::DiskBackup {
    let latest_operation: Option<&LatestOperation> = backup.latest.as_ref();
    let (operation, state, request, _) = latest(latest_operation, disk_operation);
    let shown = STATES.iter().find(|(_, state)| *state == backup.state);
    wire::DiskBackup {
        disk_backup_id: backup.id.to_string(),
        disk_usage: "DATA_DISK".to_owned(),
        disk_id: backup.disk.to_string(),
        disk_size: size_gib(backup.size_bytes).cast_signed(),
        disk_backup_name: backup.name.clone(),
        disk_backup_state: shown.map_or("", |(word, _)| *word).to_owned(),
        percent: percent.into(),
        latest_operation: operation,
        latest_operation_state: state,
        latest_operation_request_id: request,
        created_time: backup.created.iso8601(),
        tags: Some(tags(&backup.tags)),
    }
}

/// On a data disk and its backups: the name of the call.
const fn disk_operation(kind: OperationKind) -> &'static str {
    match kind {
        OperationKind::Adopt | OperationKind::Create => "CreateDisks",
        OperationKind::CreateSnapshot => "CreateDiskBackup",
        OperationKind::ApplySnapshot => "ApplyDiskBackup",
        OperationKind::DeleteSnapshot => "DeleteDiskBackups",
        OperationKind::Terminate | OperationKind::Release => "TerminateDisks",
        other => server_operation(other),
    }
}

const fn disk_state(state: DiskState) -> &'static str {
    match state {
        DiskState::Creating => "PENDING",
        DiskState::Unattached => "UNATTACHED",
        DiskState::Attaching => "ATTACHING",
        DiskState::Attached => "ATTACHED",
        DiskState::Detaching => "DETACHING",
    }
}
