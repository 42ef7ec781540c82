//! Tencent CDB, API version 2017-03-20, and what its legacy generation
//! ([`crate::cdb_v2`]) shares with it.
//!
//! Everything that the vendor names is named here and nowhere below. What the
//! documentation leaves open is decided in SEMANTICS section 3.
//!
//! | file | what is there |
//! |---|---|
//! | `mod` | the family: which operations, on what |
//! | `asked` | ids, pages, times and labels of a call, checked |
//! | `find` | looking for instances and tasks |
//! | `codes` | which code a refusal is |
//! | `words` | the vendor's words for states, kinds, times and people |
//! | `rollbacks` | the ways back |
//! | `tasks` | what was asked, and how it stands |
//! | `instances` | instances, and what they are made of |
//! | `backups` | base backups and their plan |
//! | `contents` | databases, tables, and logs |

pub(crate) mod asked;
mod backups;
pub(crate) mod codes;
mod contents;
pub(crate) mod find;
mod instances;
pub(crate) mod rollbacks;
pub(crate) mod tasks;
pub(crate) mod words;

use backout_core::ids::{AccountId, DatabaseId};
use backout_databases::Databases;
use backout_wire::{Call, Fault, Rejection};
use serde_json::Value;

use self::asked::Ask;
use crate::front::{Admitted, Refused, spelled_regions};
use crate::kept::{Body, Kept, body};

/// The region that is shown where a call names none.
const DEFAULT_REGION: &str = "ap-guangzhou";

/// The operations that are served.
const SERVED: [&str; 23] = [
    "CreateBackup",
    "CreateCloneInstance",
    "CreateDBInstanceHour",
    "DeleteBackup",
    "DescribeAsyncRequestInfo",
    "DescribeBackupConfig",
    "DescribeBackups",
    "DescribeBinlogs",
    "DescribeCloneList",
    "DescribeDBInstances",
    "DescribeDatabases",
    "DescribeLocalBinlogConfig",
    "DescribeRollbackRangeTime",
    "DescribeRollbackTaskDetail",
    "DescribeTables",
    "DescribeTasks",
    "IsolateDBInstance",
    "ModifyBackupConfig",
    "ModifyLocalBinlogConfig",
    "OfflineIsolatedInstances",
    "RestartDBInstances",
    "StartBatchRollback",
    "StopRollback",
];

/// The parameters that name instances, of both generations, at any depth.
const NAMING: [&str; 4] = [
    "InstanceId",
    "InstanceIds",
    "cdbInstanceId",
    "cdbInstanceIds",
];

/// The operations that make an instance: what they touch is not there yet.
const MAKING: [&str; 2] = ["CreateCloneInstance", "CreateDBInstanceHour"];

/// Whether the operation `name` of this family is served.
#[must_use]
pub fn serves(name: &str) -> bool {
    SERVED.contains(&name)
}

/// The ids that a call names, for the audit trail.
#[must_use]
pub fn named_ids(call: &Call) -> Vec<String> {
    fn walk(name: &str, value: &Value, out: &mut Vec<String>) {
        match value {
            Value::String(id) if NAMING.contains(&name) => out.push(id.trim().to_owned()),
            // The entries of a list have the name of the list.
            Value::Array(entries) => entries.iter().for_each(|v| walk(name, v, out)),
            Value::Object(members) => members.iter().for_each(|(n, v)| walk(n, v, out)),
            _ => {}
        }
    }
    let mut out = Vec::new();
    for (name, value) in &call.params {
        walk(name, value, &mut out);
    }
    out
}

/// Every way in which a policy may name an instance.
fn spellings(region: &str, owner: &AccountId, id: &str) -> Vec<String> {
    spelled_regions(region)
        .map(|region| format!("qcs::cdb:{region}:uin/{owner}:instanceId/{id}"))
        .chain([format!("database/{id}")])
        .collect()
}

/// Every way in which a policy may name all resources.
fn everything(region: &str, owner: &AccountId) -> Vec<String> {
    spelled_regions(region)
        .map(|region| format!("qcs::cdb:{region}:uin/{owner}:*"))
        .collect()
}

/// The operations that name work instead of instances, and the parameter that
/// names it.
const REACHING: [(&str, &str); 4] = [
    ("DescribeAsyncRequestInfo", "AsyncRequestId"),
    ("DescribeTasks", "AsyncRequestId"),
    ("GetCdbJobList", "jobId"),
    ("GetCdbRollbackJobTask", "jobId"),
];

/// Whether a call names work, whose instances are known once it is found: the
/// operation then asks the policy about them (`Ask::allowed_on`).
fn reaches(call: &Call) -> bool {
    REACHING.iter().any(|(operation, parameter)| {
        call.operation.name == *operation
            && call
                .params
                .get(*parameter)
                .is_some_and(|value| value.as_str().is_none_or(|text| !text.trim().is_empty()))
    })
}

/// The resources that a policy is asked about, each in its spellings. A call
/// that names no instance (the lists of tasks), or makes one, is judged as one
/// on all resources; for one that names work see [`reaches`], which leaves
/// nothing to ask about before the work is found.
#[must_use]
pub fn policy_resources(call: &Call, owner: &AccountId) -> Option<Vec<Vec<String>>> {
    let region = call.region.as_deref().unwrap_or("");
    let mut named: Vec<Vec<String>> = named_ids(call)
        .iter()
        .filter(|id| id.starts_with(DatabaseId::PREFIX))
        .map(|id| spellings(region, owner, id))
        .collect();
    if named.is_empty() && reaches(call) {
        return None;
    }
    if named.is_empty() || MAKING.contains(&call.operation.name) {
        named.push(everything(region, owner));
    }
    Some(named)
}

/// The family.
pub struct Cdb {
    databases: Databases,
    kept: Kept,
}

impl Cdb {
    /// The family, over `databases`.
    #[must_use]
    pub fn new(databases: Databases) -> Self {
        Self {
            databases,
            kept: Kept::default(),
        }
    }

    /// Does what an admitted call asks, and gives the members of its answer.
    ///
    /// # Errors
    /// The operation's own code, or a common one.
    pub async fn act(&self, admitted: &Admitted) -> Result<Body, Refused> {
        let ask = Ask(admitted);
        let kept = self.kept.at_unlimited(admitted, self.databases.version());
        match admitted.call.operation.name {
            "CreateBackup" => body(&self.create_backup(ask).await?),
            "CreateCloneInstance" => body(&self.create_clone_instance(ask).await?),
            "CreateDBInstanceHour" => body(&self.create_db_instance_hour(ask).await?),
            "DeleteBackup" => body(&self.delete_backup(ask).await?),
            "DescribeAsyncRequestInfo" => kept.or(self.describe_async_request_info(ask)).await,
            "DescribeBackupConfig" => kept.or(self.describe_backup_config(ask)).await,
            "DescribeBackups" => kept.or(self.describe_backups(ask)).await,
            "DescribeBinlogs" => body(&self.describe_binlogs(ask).await?),
            "DescribeCloneList" => body(&self.describe_clone_list(ask).await?),
            "DescribeDBInstances" => kept.or(self.describe_db_instances(ask)).await,
            "DescribeDatabases" => body(&self.describe_databases(ask).await?),
            "DescribeLocalBinlogConfig" => kept.or(self.describe_local_binlog_config(ask)).await,
            "DescribeRollbackRangeTime" => body(&self.describe_rollback_range_time(ask).await?),
            "DescribeRollbackTaskDetail" => kept.or(self.describe_rollback_task_detail(ask)).await,
            "DescribeTables" => body(&self.describe_tables(ask).await?),
            "DescribeTasks" => kept.or(self.describe_tasks(ask)).await,
            "IsolateDBInstance" => body(&self.isolate_db_instance(ask).await?),
            "ModifyBackupConfig" => body(&self.modify_backup_config(ask).await?),
            "ModifyLocalBinlogConfig" => body(&self.modify_local_binlog_config(ask).await?),
            "OfflineIsolatedInstances" => body(&self.offline_isolated_instances(ask).await?),
            "RestartDBInstances" => body(&self.restart_db_instances(ask).await?),
            "StartBatchRollback" => body(&self.start_batch_rollback(ask).await?),
            "StopRollback" => body(&self.stop_rollback(ask).await?),
            other => Err(Rejection::new(Fault::NotServed, format!("{other} is not served")).into()),
        }
    }
}
