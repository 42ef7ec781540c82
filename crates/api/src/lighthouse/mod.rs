//! Tencent Lighthouse, API version 2020-03-24 (seed 004).
//!
//! Everything that the vendor names is named here and nowhere below. What the
//! documentation leaves open is decided in SEMANTICS section 4.
//!
//! | file | what is there |
//! |---|---|
//! | `mod` | the family: which operations, on what, and what all share |
//! | `asked` | ids, pages, filters and labels of a call, checked |
//! | `codes` | which code a refusal is |
//! | `snapshots` | snapshots of system disks, and the way back to them |
//! | `instances` | instances |
//! | `disks` | data disks and their backups |
//! | `blueprints` | images |
//! | `catalog` | regions, zones, plans, quotas |

mod asked;
mod blueprints;
mod catalog;
mod codes;
mod disks;
mod instances;
mod snapshots;

use backout_core::ids::{AccountId, BackupId, BlueprintId, DiskId, InstanceId, SnapshotId};
use backout_core::time::Timestamp;
use backout_servers::model::{LatestOperation, OperationKind, OperationState, Tag};
use backout_servers::{Denied, Servers};
use backout_wire::types::lighthouse as wire;
use backout_wire::{Call, Fault, Rejection};

use self::asked::Ask;
use crate::front::{Admitted, Refused, spelled_regions};
use crate::kept::{Body, Kept, body};

/// The operations that are served.
const SERVED: [&str; 32] = [
    "ApplyDiskBackup",
    "ApplyInstanceSnapshot",
    "AttachDisks",
    "CreateBlueprint",
    "CreateDiskBackup",
    "CreateInstanceSnapshot",
    "CreateInstances",
    "DeleteDiskBackups",
    "DeleteSnapshots",
    "DescribeBlueprints",
    "DescribeBundles",
    "DescribeDiskBackups",
    "DescribeDiskBackupsDeniedActions",
    "DescribeDisks",
    "DescribeDisksDeniedActions",
    "DescribeGeneralResourceQuotas",
    "DescribeInstances",
    "DescribeInstancesDeniedActions",
    "DescribeRegions",
    "DescribeSnapshots",
    "DescribeSnapshotsDeniedActions",
    "DescribeZones",
    "DetachDisks",
    "IsolateInstances",
    "ModifyDiskBackupsAttribute",
    "ModifyInstancesAttribute",
    "ModifySnapshotAttribute",
    "RebootInstances",
    "ResetInstance",
    "StartInstances",
    "StopInstances",
    "TerminateInstances",
];

/// The parameters that name resources.
const NAMING: [&str; 10] = [
    "InstanceId",
    "InstanceIds",
    "SnapshotId",
    "SnapshotIds",
    "DiskId",
    "DiskIds",
    "DiskBackupId",
    "DiskBackupIds",
    "BlueprintId",
    "BlueprintIds",
];

/// A kind of resource as policies name it.
struct Kind {
    /// What its ids begin with.
    prefix: &'static str,
    /// The vendor's word.
    word: &'static str,
    /// Our own words.
    own: &'static [&'static str],
}

const INSTANCE: Kind = Kind {
    prefix: InstanceId::PREFIX,
    word: "instance",
    own: &["server"],
};
/// What is whole in itself.
const WHOLES: &[Kind] = &[
    INSTANCE,
    Kind {
        prefix: DiskId::PREFIX,
        word: "disk",
        own: &["disk"],
    },
];
/// What hangs on a whole.
const PARTS: &[Kind] = &[
    Kind {
        prefix: SnapshotId::PREFIX,
        word: "snapshot",
        own: &["snapshot"],
    },
    Kind {
        prefix: BackupId::PREFIX,
        word: "diskBackup",
        own: &["snapshot", "backup"],
    },
];
const IMAGES: &[Kind] = &[Kind {
    prefix: BlueprintId::PREFIX,
    word: "blueprint",
    own: &["blueprint", "image"],
}];

impl Kind {
    /// Every way in which a policy may name the resource `id`. All regions lead
    /// to the same resources, so what is denied in one is denied in all.
    fn spellings(&self, region: &str, owner: &AccountId, id: &str) -> Vec<String> {
        let word = self.word;
        spelled_regions(region)
            .map(|region| format!("qcs::lighthouse:{region}:uin/{owner}:{word}/{id}"))
            .chain(self.own.iter().map(|own| format!("{own}/{id}")))
            .collect()
    }
}

/// Whether the operation `name` of this family is served.
#[must_use]
pub fn serves(name: &str) -> bool {
    SERVED.contains(&name)
}

/// The ids that a call names, for the audit trail.
#[must_use]
pub fn named_ids(call: &Call) -> Vec<String> {
    NAMING
        .iter()
        .filter_map(|name| call.params.get(*name))
        .flat_map(|value| match value {
            // Without the blanks that are forgiven: what a policy, a fault and
            // the audit trail see is what the operation works on.
            serde_json::Value::String(id) => vec![id.trim().to_owned()],
            serde_json::Value::Array(ids) => ids
                .iter()
                .filter_map(|id| id.as_str().map(|id| id.trim().to_owned()))
                .collect(),
            _ => Vec::new(),
        })
        .collect()
}

/// The resources that a policy is asked about, each in its spellings. A call
/// that names instances or disks is judged by those; what hangs on them
/// (snapshots, backups) counts where it alone is named, an image always. A call
/// that names nothing, or makes an instance, is judged as one on all resources.
/// What is found to touch an instance beside is judged by that as well, later.
#[must_use]
pub fn policy_resources(call: &Call, owner: &AccountId) -> Vec<Vec<String>> {
    let region = call.region.as_deref().unwrap_or("");
    let ids = named_ids(call);
    let of = |kinds: &[Kind]| -> Vec<Vec<String>> {
        ids.iter()
            .filter_map(|id| {
                let kind = kinds.iter().find(|kind| id.starts_with(kind.prefix))?;
                Some(kind.spellings(region, owner, id))
            })
            .collect()
    };
    let mut named = of(WHOLES);
    if named.is_empty() {
        named = of(PARTS);
    }
    // Whoever makes a disk of an image reads all that is in it.
    named.extend(of(IMAGES));
    if named.is_empty() || call.operation.name == "CreateInstances" {
        named.push(
            spelled_regions(region)
                .map(|region| format!("qcs::lighthouse:{region}:uin/{owner}:*"))
                .collect(),
        );
    }
    named
}

/// The family.
pub struct Lighthouse {
    servers: Servers,
    /// The regions that this family shows.
    regions: Vec<String>,
    kept: Kept,
}

impl Lighthouse {
    /// The family, over `servers`, in those of the served regions that are its
    /// own.
    #[must_use]
    pub fn new(servers: Servers, served_regions: &[String]) -> Self {
        Self {
            servers,
            regions: catalog::own_regions(served_regions),
            kept: Kept::default(),
        }
    }

    /// Does what an admitted call asks, and gives the members of its answer.
    ///
    /// # Errors
    /// The operation's own code, or a common one.
    pub async fn act(&self, admitted: &Admitted) -> Result<Body, Refused> {
        let ask = Ask(admitted);
        let kept = self.kept.at(admitted, self.servers.version());
        match admitted.call.operation.name {
            "ApplyDiskBackup" => body(&self.apply_disk_backup(ask).await?),
            "ApplyInstanceSnapshot" => body(&self.apply_instance_snapshot(ask).await?),
            "AttachDisks" => body(&self.attach_disks(ask).await?),
            "CreateBlueprint" => body(&self.create_blueprint(ask).await?),
            "CreateDiskBackup" => body(&self.create_disk_backup(ask).await?),
            "CreateInstanceSnapshot" => body(&self.create_instance_snapshot(ask).await?),
            "CreateInstances" => body(&self.create_instances(ask).await?),
            "DeleteDiskBackups" => body(&self.delete_disk_backups(ask).await?),
            "DeleteSnapshots" => body(&self.delete_snapshots(ask).await?),
            // These lists tell nothing but what the store holds.
            "DescribeBlueprints" => kept.or(self.describe_blueprints(ask)).await,
            "DescribeDiskBackups" => kept.or(self.describe_disk_backups(ask)).await,
            "DescribeDisks" => kept.or(self.describe_disks(ask)).await,
            "DescribeInstances" => kept.or(self.describe_instances(ask)).await,
            "DescribeSnapshots" => kept.or(self.describe_snapshots(ask)).await,
            "DescribeGeneralResourceQuotas" => {
                kept.or(self.describe_general_resource_quotas(ask)).await
            }
            "DescribeBundles" => body(&self.describe_bundles(ask).await?),
            "DescribeDiskBackupsDeniedActions" => {
                body(&self.describe_disk_backups_denied_actions(ask).await?)
            }
            "DescribeDisksDeniedActions" => body(&self.describe_disks_denied_actions(ask).await?),
            "DescribeInstancesDeniedActions" => {
                body(&self.describe_instances_denied_actions(ask).await?)
            }
            "DescribeRegions" => body(&self.describe_regions()),
            "DescribeSnapshotsDeniedActions" => {
                body(&self.describe_snapshots_denied_actions(ask).await?)
            }
            "DescribeZones" => body(&self.describe_zones(ask)?),
            "DetachDisks" => body(&self.detach_disks(ask).await?),
            "IsolateInstances" => body(&self.isolate_instances(ask).await?),
            "ModifyDiskBackupsAttribute" => body(&self.modify_disk_backups_attribute(ask).await?),
            "ModifyInstancesAttribute" => body(&self.modify_instances_attribute(ask).await?),
            "ModifySnapshotAttribute" => body(&self.modify_snapshot_attribute(ask).await?),
            "RebootInstances" => body(&self.reboot_instances(ask).await?),
            "ResetInstance" => body(&self.reset_instance(ask).await?),
            "StartInstances" => body(&self.start_instances(ask).await?),
            "StopInstances" => body(&self.stop_instances(ask).await?),
            "TerminateInstances" => body(&self.terminate_instances(ask).await?),
            other => Err(Rejection::new(Fault::NotServed, format!("{other} is not served")).into()),
        }
    }
}

// ---- what all answers share ----

/// What is refused, by the vendor's name of it and the code of why; what the
/// vendor has no name for is left out.
fn denials(
    denied: &[Denied],
    named: impl Fn(&Denied) -> Option<(&'static str, &'static str)>,
) -> Vec<wire::DeniedAction> {
    denied
        .iter()
        .filter_map(|denied| {
            let (action, code) = named(denied)?;
            Some(wire::DeniedAction {
                action: action.to_owned(),
                code: code.to_owned(),
                message: codes::told(&denied.refusal),
            })
        })
        .collect()
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

const fn operation_state(state: OperationState) -> &'static str {
    match state {
        OperationState::Operating => "OPERATING",
        OperationState::Success => "SUCCESS",
        OperationState::Failed => "FAILED",
    }
}

fn tags(tags: &[Tag]) -> Vec<wire::Tag> {
    tags.iter()
        .map(|t| wire::Tag {
            key: t.key.clone(),
            value: t.value.clone(),
        })
        .collect()
}
