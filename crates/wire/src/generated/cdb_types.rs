// Made by `cargo run -p xtask -- codegen`, do not edit.

use serde::{Deserialize, Serialize};

/// `AnalysisNodeInfo` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AnalysisNodeInfo {
    /// node id.
    pub node_id: String,
    /// status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// load state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_status: Option<String>,
    /// CPU cores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<u64>,
    /// memory size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// disk GB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<u64>,
    /// availability zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// free text or error text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// `AutoStrategy` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AutoStrategy {
    /// CPU percent that expands.
    pub expand_threshold: i64,
    /// CPU percent that shrinks.
    pub shrink_threshold: i64,
    /// minutes watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expand_period: Option<i64>,
    /// minutes watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shrink_period: Option<i64>,
    /// seconds watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expand_second_period: Option<i64>,
    /// seconds watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shrink_second_period: Option<i64>,
}

/// `BackupInfo` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct BackupInfo {
    /// name.
    pub name: String,
    /// file size in bytes.
    pub size: i64,
    /// snapshot time.
    pub date: String,
    /// download address (inside).
    pub intranet_url: String,
    /// download address (outside).
    pub internet_url: String,
    /// kind.
    pub type_: String,
    /// backup task id.
    pub backup_id: i64,
    /// status.
    pub status: String,
    /// finish time.
    pub finish_time: String,
    /// who made it (deprecated).
    pub creator: String,
    /// start time.
    pub start_time: String,
    /// full or partial.
    pub method: String,
    /// manual or automatic.
    pub way: String,
    /// alias of a manual backup, at most 60 characters.
    pub manual_backup_name: String,
    /// retention kind.
    pub save_mode: String,
    /// region.
    pub region: String,
    /// copies in other regions.
    pub remote_info: Vec<RemoteBackupInfo>,
    /// storage tier.
    pub cos_storage_type: i64,
    /// instance id.
    pub instance_id: String,
    /// percent done.
    pub progress: i64,
    /// encrypt physical backups.
    pub encryption_flag: String,
    /// GTID position.
    #[serde(
        rename = "ExecutedGTIDSet",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub executed_gtid_set: Option<String>,
    /// file MD5.
    #[serde(rename = "MD5", default, skip_serializing_if = "Option::is_none")]
    pub md5: Option<String>,
}

/// `BackupItem` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct BackupItem {
    /// database.
    pub db: String,
    /// table; whole database when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
}

/// `BackupLimitVpcItem` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct BackupLimitVpcItem {
    /// region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// VPC ids.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vpc_list: Option<Vec<String>>,
}

/// `BackupSummaryItem` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct BackupSummaryItem {
    /// instance id.
    pub instance_id: String,
    /// automatic backups.
    pub auto_backup_count: i64,
    /// bytes of automatic backups.
    pub auto_backup_volume: i64,
    /// manual backups.
    pub manual_backup_count: i64,
    /// manual backup bytes.
    pub manual_backup_volume: i64,
    /// data backups.
    pub data_backup_count: i64,
    /// data backup bytes.
    pub data_backup_volume: i64,
    /// binlog backups.
    pub binlog_backup_count: i64,
    /// binlog bytes.
    pub binlog_backup_volume: i64,
    /// bytes of backups.
    pub backup_volume: i64,
}

/// `BinlogInfo` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct BinlogInfo {
    /// name.
    pub name: String,
    /// file size in bytes.
    pub size: i64,
    /// snapshot time.
    pub date: String,
    /// download address (inside).
    pub intranet_url: String,
    /// download address (outside).
    pub internet_url: String,
    /// kind.
    pub type_: String,
    /// first event time.
    pub binlog_start_time: String,
    /// last event time.
    pub binlog_finish_time: String,
    /// region.
    pub region: String,
    /// status.
    pub status: String,
    /// copies in other regions.
    pub remote_info: Vec<RemoteBackupInfo>,
    /// storage tier.
    pub cos_storage_type: i64,
    /// instance id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// percent done.
    pub progress: i64,
}

/// `CloneItem` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CloneItem {
    /// source instance.
    pub src_instance_id: String,
    /// new instance.
    pub dst_instance_id: String,
    /// job id.
    pub clone_job_id: i64,
    /// how the clone point was given.
    pub rollback_strategy: String,
    /// clone point.
    pub rollback_target_time: String,
    /// start time.
    pub start_time: String,
    /// end time.
    pub end_time: String,
    /// task state.
    pub task_status: String,
    /// new region id.
    pub new_region_id: i64,
    /// source region id.
    pub src_region_id: i64,
}

/// `ClusterInfo` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ClusterInfo {
    /// node id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_id: Option<String>,
    /// node role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// availability zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
}

/// `ClusterTopology` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ClusterTopology {
    /// read-write node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_write_node: Option<ReadWriteNode>,
    /// read-only nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub read_only_nodes: Vec<ReadonlyNode>,
}

/// `CommonTimeWindow` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CommonTimeWindow {
    /// window on Monday, HH:MM-HH:MM or empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monday: Option<String>,
    /// window on Tuesday.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tuesday: Option<String>,
    /// window on Wednesday.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wednesday: Option<String>,
    /// window on Thursday.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thursday: Option<String>,
    /// window on Friday.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub friday: Option<String>,
    /// window on Saturday.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saturday: Option<String>,
    /// window on Sunday.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sunday: Option<String>,
    /// weekly or monthly plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_period_strategy: Option<String>,
    /// days of month for the monthly plan.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<i64>,
    /// window for the monthly plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_period_time: Option<String>,
}

/// `DBSwitchInfo` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DBSwitchInfo {
    /// time of the switch.
    pub switch_time: String,
    /// kind of switch.
    pub switch_type: String,
}

/// `DatabasesWithCharacterLists` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DatabasesWithCharacterLists {
    /// database name now.
    pub database_name: String,
    /// character set.
    pub character_set: String,
}

/// `DrInfo` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DrInfo {
    /// status.
    pub status: i64,
    /// availability zone.
    pub zone: String,
    /// instance id.
    pub instance_id: String,
    /// region.
    pub region: String,
    /// sync state.
    pub sync_status: i64,
    /// display name.
    pub instance_name: String,
    /// instance role.
    pub instance_type: i64,
}

/// `InstanceInfo` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct InstanceInfo {
    /// public access state.
    pub wan_status: i64,
    /// availability zone.
    pub zone: String,
    /// initialised.
    pub init_flag: i64,
    /// read-only VIP.
    pub ro_vip_info: RoVipInfo,
    /// memory in MB.
    pub memory: i64,
    /// status.
    pub status: i64,
    /// numeric VPC id.
    pub vpc_id: i64,
    /// replicas.
    pub slave_info: SlaveInfo,
    /// instance id.
    pub instance_id: String,
    /// disk GB.
    pub volume: i64,
    /// renewal flag.
    pub auto_renew: i64,
    /// replication mode.
    pub protect_mode: i64,
    /// read-only groups.
    pub ro_groups: Vec<RoGroup>,
    /// numeric subnet id.
    pub subnet_id: i64,
    /// instance role.
    pub instance_type: i64,
    /// project id.
    pub project_id: i64,
    /// region.
    pub region: String,
    /// expiry.
    pub deadline_time: String,
    /// zone layout.
    pub deploy_mode: i64,
    /// task state.
    pub task_status: i64,
    /// primary.
    pub master_info: MasterInfo,
    /// isolation type.
    pub device_type: String,
    /// MySQL version.
    pub engine_version: String,
    /// display name.
    pub instance_name: String,
    /// standbys.
    pub dr_info: Vec<DrInfo>,
    /// public host.
    pub wan_domain: String,
    /// public port.
    pub wan_port: i64,
    /// billing mode.
    pub pay_type: i64,
    /// creation time.
    pub create_time: String,
    /// private IP.
    pub vip: String,
    /// port.
    pub vport: i64,
    /// disk locked.
    pub cdb_error: i64,
    /// VPC id.
    pub uniq_vpc_id: String,
    /// subnet id.
    pub uniq_subnet_id: String,
    /// physical id.
    pub physical_id: String,
    /// CPU cores.
    pub cpu: i64,
    /// queries per second cap.
    pub qps: i64,
    /// zone name.
    pub zone_name: String,
    /// hardware class.
    pub device_class: String,
    /// placement group.
    pub deploy_group_id: String,
    /// zone id.
    pub zone_id: i64,
    /// node count.
    pub instance_nodes: i64,
    /// tags.
    pub tag_list: Vec<TagInfoItem>,
    /// storage engine.
    pub engine_type: String,
    /// replication lag allowed, seconds.
    pub max_delay_time: i64,
    /// disk kind.
    pub disk_type: String,
    /// extra cores now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expand_cpu: Option<i64>,
    /// node facts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_info: Option<Vec<ClusterInfo>>,
    /// analysis nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub analysis_node_infos: Option<Vec<AnalysisNodeInfo>>,
    /// bandwidth, Gbit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_bandwidth: Option<u64>,
    /// destroy protection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destroy_protect: Option<String>,
    /// disk encryption.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_encryption: Option<String>,
    /// engine parameter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_model: Option<String>,
    /// analysis upgrade facts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub analysis_upgrade_version_info: Option<UpgradeAnalysisInstanceVersionInfo>,
}

/// `InstanceRollbackRangeTime` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct InstanceRollbackRangeTime {
    /// per-row result code.
    pub code: i64,
    /// free text or error text.
    pub message: String,
    /// instance id.
    pub instance_id: String,
    /// usable time ranges.
    pub times: Vec<RollbackTimeRange>,
}

/// `LocalBinlogConfig` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct LocalBinlogConfig {
    /// hours kept locally.
    pub save_hours: i64,
    /// percent of disk binlogs may use.
    pub max_usage: i64,
}

/// `LocalBinlogConfigDefault` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct LocalBinlogConfigDefault {
    /// hours kept locally.
    pub save_hours: i64,
    /// percent of disk binlogs may use.
    pub max_usage: i64,
}

/// `MasterInfo` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct MasterInfo {
    /// region.
    pub region: String,
    /// region number.
    pub region_id: i64,
    /// zone id.
    pub zone_id: i64,
    /// availability zone.
    pub zone: String,
    /// instance id.
    pub instance_id: String,
    /// long id.
    pub resource_id: String,
    /// status.
    pub status: i64,
    /// display name.
    pub instance_name: String,
    /// instance role.
    pub instance_type: i64,
    /// task state.
    pub task_status: i64,
    /// memory size.
    pub memory: i64,
    /// disk GB.
    pub volume: i64,
    /// isolation type.
    pub device_type: String,
    /// queries per second cap.
    pub qps: i64,
    /// numeric VPC id.
    pub vpc_id: i64,
    /// numeric subnet id.
    pub subnet_id: i64,
    /// exclusive cluster.
    pub ex_cluster_id: String,
    /// exclusive cluster name.
    pub ex_cluster_name: String,
}

/// `ParamInfo` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ParamInfo {
    /// name.
    pub name: String,
    /// value.
    pub value: String,
}

/// `ReadWriteNode` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ReadWriteNode {
    /// availability zone.
    pub zone: String,
    /// node id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_id: Option<String>,
}

/// `ReadonlyNode` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ReadonlyNode {
    /// YES for any zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_random_zone: Option<String>,
    /// availability zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// node id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_id: Option<String>,
}

/// `ReleaseResult` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ReleaseResult {
    /// instance id.
    pub instance_id: String,
    /// 0 is success.
    pub code: i64,
    /// free text or error text.
    pub message: String,
}

/// `RemoteBackupInfo` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RemoteBackupInfo {
    /// remote copy id.
    pub sub_backup_id: i64,
    /// region.
    pub region: String,
    /// status.
    pub status: String,
    /// start time.
    pub start_time: String,
    /// finish time.
    pub finish_time: String,
    /// download address.
    pub url: String,
}

/// `RoGroup` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RoGroup {
    /// read-only group mode.
    pub ro_group_mode: String,
    /// read-only group id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ro_group_id: Option<String>,
    /// read-only group name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ro_group_name: Option<String>,
    /// drop laggards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ro_offline_delay: Option<i64>,
    /// lag limit, s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ro_max_delay_time: Option<i64>,
    /// fewest kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_ro_in_group: Option<i64>,
    /// weight mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_mode: Option<String>,
    /// weight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<i64>,
    /// members.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ro_instances: Vec<RoInstanceInfo>,
    /// private IP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vip: Option<String>,
    /// port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vport: Option<i64>,
    /// VPC id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uniq_vpc_id: Option<String>,
    /// subnet id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uniq_subnet_id: Option<String>,
    /// region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ro_group_region: Option<String>,
    /// zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ro_group_zone: Option<String>,
    /// delayed replication, s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_replication_time: Option<i64>,
    /// group type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ro_group_type: Option<String>,
}

/// `RoInstanceInfo` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RoInstanceInfo {
    /// primary, for ro/dr.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master_instance_id: Option<String>,
    /// online or offline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ro_status: Option<String>,
    /// last offline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offline_time: Option<String>,
    /// weight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<i64>,
    /// region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// availability zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// instance id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<i64>,
    /// instance role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_type: Option<i64>,
    /// display name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_name: Option<String>,
    /// arrears state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hour_fee_status: Option<i64>,
    /// task state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_status: Option<i64>,
    /// memory size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<i64>,
    /// disk GB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<i64>,
    /// queries per second cap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qps: Option<i64>,
    /// private IP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vip: Option<String>,
    /// port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vport: Option<i64>,
    /// numeric VPC id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vpc_id: Option<i64>,
    /// numeric subnet id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnet_id: Option<i64>,
    /// isolation type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_type: Option<String>,
    /// MySQL version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine_version: Option<String>,
    /// expiry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_time: Option<String>,
    /// billing mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pay_type: Option<i64>,
    /// delayed replication state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replication_status: Option<String>,
}

/// `RoVipInfo` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RoVipInfo {
    /// VIP state.
    pub ro_vip_status: i64,
    /// subnet.
    pub ro_subnet_id: i64,
    /// VPC.
    pub ro_vpc_id: i64,
    /// port.
    pub ro_vport: i64,
    /// VIP.
    pub ro_vip: String,
}

/// `RollbackDBName` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RollbackDBName {
    /// database name now.
    pub database_name: String,
    /// name for the rolled back copy.
    pub new_database_name: String,
}

/// `RollbackInstancesInfo` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RollbackInstancesInfo {
    /// instance id.
    pub instance_id: String,
    /// rollback mode.
    pub strategy: String,
    /// point in time, yyyy-mm-dd hh:mm:ss.
    pub rollback_time: String,
    /// whole databases to roll back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub databases: Vec<RollbackDBName>,
    /// tables to roll back, grouped by database.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<RollbackTables>,
}

/// `RollbackTableName` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RollbackTableName {
    /// table name now.
    pub table_name: String,
    /// name for the rolled back copy.
    pub new_table_name: String,
}

/// `RollbackTables` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RollbackTables {
    /// database name.
    pub database: String,
    /// tables.
    pub table: Vec<RollbackTableName>,
}

/// `RollbackTask` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RollbackTask {
    /// what happened, text.
    pub info: String,
    /// status.
    pub status: String,
    /// percent done.
    pub progress: i64,
    /// start time.
    pub start_time: String,
    /// end time.
    pub end_time: String,
    /// what was asked.
    pub detail: Vec<RollbackInstancesInfo>,
}

/// `RollbackTimeRange` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RollbackTimeRange {
    /// range start.
    pub begin: String,
    /// range end.
    pub end: String,
}

/// `SlaveInfo` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SlaveInfo {
    /// replica 1.
    pub first: SlaveInstanceInfo,
    /// replica 2.
    pub second: SlaveInstanceInfo,
    /// replica 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub third: Option<SlaveInstanceInfo>,
}

/// `SlaveInstanceInfo` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SlaveInstanceInfo {
    /// port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vport: Option<i64>,
    /// region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// private IP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vip: Option<String>,
    /// availability zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
}

/// `Tag` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Tag {
    /// key.
    pub key: String,
    /// value.
    pub value: String,
}

/// `TagInfo` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TagInfo {
    /// tag key.
    pub tag_key: String,
    /// tag value.
    pub tag_value: Vec<String>,
}

/// `TagInfoItem` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TagInfoItem {
    /// tag key.
    pub tag_key: String,
    /// tag value.
    pub tag_value: String,
}

/// `TaskAttachInfo` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TaskAttachInfo {
    /// key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attach_key: Option<String>,
    /// value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attach_value: Option<String>,
}

/// `TaskDetail` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TaskDetail {
    /// 0 is success.
    pub code: i64,
    /// free text or error text.
    pub message: String,
    /// task id.
    pub job_id: i64,
    /// percent done.
    pub progress: i64,
    /// task state.
    pub task_status: String,
    /// task kind.
    pub task_type: String,
    /// start time.
    pub start_time: String,
    /// end time.
    pub end_time: String,
    /// instance ids.
    pub instance_ids: Vec<String>,
    /// async job id to poll with DescribeAsyncRequestInfo.
    pub async_request_id: String,
    /// extra facts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_attach_info: Option<Vec<TaskAttachInfo>>,
}

/// `UpgradeAnalysisInstanceVersionInfo` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpgradeAnalysisInstanceVersionInfo {
    /// private IP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vip: Option<String>,
    /// port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vport: Option<i64>,
    /// MySQL version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine_version: Option<String>,
    /// days left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expire_time: Option<i64>,
}

/// Parameters of `CreateBackup`: start a manual backup.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateBackupRequest {
    /// instance id.
    pub instance_id: String,
    /// backup method.
    pub backup_method: String,
    /// only these databases/tables (logical backups).
    #[serde(
        rename = "BackupDBTableList",
        default,
        skip_serializing_if = "Vec::is_empty"
    )]
    pub backup_db_table_list: Vec<BackupItem>,
    /// alias of a manual backup, at most 60 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manual_backup_name: Option<String>,
    /// encrypt physical backups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption_flag: Option<String>,
}

/// Result of `CreateBackup`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateBackupResponse {
    /// backup task id.
    pub backup_id: u64,
}

/// Parameters of `CreateCloneInstance`: new instance from a time or a backup.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateCloneInstanceRequest {
    /// instance id.
    pub instance_id: String,
    /// clone to this time; exactly one of time and backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub specified_rollback_time: Option<String>,
    /// clone from this backup; exactly one of time and backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub specified_backup_id: Option<i64>,
    /// VPC id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uniq_vpc_id: Option<String>,
    /// subnet id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uniq_subnet_id: Option<String>,
    /// memory in MB, not below the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<i64>,
    /// disk GB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<i64>,
    /// display name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_name: Option<String>,
    /// security groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub security_group: Vec<String>,
    /// tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resource_tags: Vec<TagInfo>,
    /// CPU cores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<i64>,
    /// replication mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protect_mode: Option<i64>,
    /// zone layout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deploy_mode: Option<i64>,
    /// zone of replica 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slave_zone: Option<String>,
    /// zone of replica 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_zone: Option<String>,
    /// isolation type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_type: Option<String>,
    /// node count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_nodes: Option<i64>,
    /// placement group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deploy_group_id: Option<String>,
    /// check only, change nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
    /// finance cage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cage_id: Option<String>,
    /// project id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<u64>,
    /// billing mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pay_type: Option<String>,
    /// months.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<i64>,
    /// node layout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_topology: Option<ClusterTopology>,
    /// source region, with a remote backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub src_region: Option<String>,
    /// remote backup id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub specified_sub_backup_id: Option<i64>,
    /// zone of the new primary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master_zone: Option<String>,
    /// availability zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// zone of replica 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fourth_zone: Option<String>,
}

/// Result of `CreateCloneInstance`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateCloneInstanceResponse {
    /// async job id to poll with DescribeAsyncRequestInfo.
    pub async_request_id: String,
}

/// Parameters of `CreateDBInstanceHour`: buy hourly instances.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateDBInstanceHourRequest {
    /// how many.
    pub goods_num: i64,
    /// memory in MB.
    pub memory: i64,
    /// disk GB.
    pub volume: i64,
    /// MySQL version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine_version: Option<String>,
    /// VPC id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uniq_vpc_id: Option<String>,
    /// subnet id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uniq_subnet_id: Option<String>,
    /// project id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<i64>,
    /// availability zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// primary, for ro/dr.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master_instance_id: Option<String>,
    /// role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_role: Option<String>,
    /// region of the primary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master_region: Option<String>,
    /// port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<i64>,
    /// root/login password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// initial parameters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub param_list: Vec<ParamInfo>,
    /// replication mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protect_mode: Option<i64>,
    /// zone layout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deploy_mode: Option<i64>,
    /// zone of replica 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slave_zone: Option<String>,
    /// zone of replica 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_zone: Option<String>,
    /// security groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub security_group: Vec<String>,
    /// read-only group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ro_group: Option<RoGroup>,
    /// meaningless here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_renew_flag: Option<i64>,
    /// display name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_name: Option<String>,
    /// tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resource_tags: Vec<TagInfo>,
    /// placement group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deploy_group_id: Option<String>,
    /// idempotency key, at most 64 ASCII characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_token: Option<String>,
    /// isolation type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_type: Option<String>,
    /// parameter template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub param_template_id: Option<i64>,
    /// alarm policies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alarm_policy_list: Vec<i64>,
    /// node count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_nodes: Option<i64>,
    /// CPU cores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<i64>,
    /// start standby sync by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_sync_flag: Option<i64>,
    /// finance cage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cage_id: Option<String>,
    /// default template kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub param_template_type: Option<String>,
    /// alarm policy names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alarm_policy_id_list: Vec<String>,
    /// check only, change nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
    /// storage engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine_type: Option<String>,
    /// private IPs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vips: Vec<String>,
    /// data protection GB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_protect_volume: Option<i64>,
    /// node layout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_topology: Option<ClusterTopology>,
    /// disk kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_type: Option<String>,
    /// CDC cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cdc_id: Option<String>,
    /// cluster kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_type: Option<String>,
    /// disk encryption.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_encryption: Option<String>,
    /// destroy protection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destroy_protect: Option<String>,
    /// zone of replica 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fourth_zone: Option<String>,
    /// elastic CPU plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_strategy: Option<AutoStrategy>,
}

impl std::fmt::Debug for CreateDBInstanceHourRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Holds a secret, so none of its members is shown.
        f.debug_struct("CreateDBInstanceHourRequest")
            .finish_non_exhaustive()
    }
}

/// Result of `CreateDBInstanceHour`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateDBInstanceHourResponse {
    /// order ids.
    pub deal_ids: Vec<String>,
    /// instance ids.
    pub instance_ids: Vec<String>,
}

/// Parameters of `DeleteBackup`: delete a manual backup.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteBackupRequest {
    /// instance id.
    pub instance_id: String,
    /// backup task id.
    pub backup_id: i64,
}

/// Result of `DeleteBackup`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteBackupResponse {}

/// Parameters of `DescribeAsyncRequestInfo`: state of an async job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeAsyncRequestInfoRequest {
    /// async job id to poll with DescribeAsyncRequestInfo.
    pub async_request_id: String,
}

/// Result of `DescribeAsyncRequestInfo`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeAsyncRequestInfoResponse {
    /// status.
    pub status: String,
    /// what happened, text.
    pub info: String,
}

/// Parameters of `DescribeBackupConfig`: backup plan.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeBackupConfigRequest {
    /// instance id.
    pub instance_id: String,
}

/// Result of `DescribeBackupConfig`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeBackupConfigResponse {
    /// earliest hour (deprecated).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time_min: Option<i64>,
    /// latest hour (deprecated).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time_max: Option<i64>,
    /// days data backups are kept.
    pub backup_expire_days: i64,
    /// backup method.
    pub backup_method: String,
    /// days binlogs are kept.
    pub binlog_expire_days: i64,
    /// backup window per weekday.
    pub backup_time_window: CommonTimeWindow,
    /// long retention on.
    pub enable_backup_period_save: String,
    /// longest long-retention days.
    pub backup_period_save_days: i64,
    /// long-retention cycle.
    pub backup_period_save_interval: String,
    /// copies kept per cycle.
    pub backup_period_save_count: i64,
    /// cycle start.
    pub start_backup_period_save_date: String,
    /// archive data backups.
    pub enable_backup_archive: String,
    /// days before archiving data backups.
    pub backup_archive_days: i64,
    /// archive binlogs.
    pub enable_binlog_archive: String,
    /// days before archiving binlogs.
    pub binlog_archive_days: i64,
    /// move data backups to standard storage.
    pub enable_backup_standby: String,
    /// days before that.
    pub backup_standby_days: i64,
    /// move binlogs to standard storage.
    pub enable_binlog_standby: String,
    /// days before that.
    pub binlog_standby_days: i64,
}

/// Parameters of `DescribeBackupDownloadRestriction`: download limits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeBackupDownloadRestrictionRequest {}

/// Result of `DescribeBackupDownloadRestriction`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeBackupDownloadRestrictionResponse {
    /// download limit kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_type: Option<String>,
    /// VPC rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vpc_comparison_symbol: Option<String>,
    /// IP rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_comparison_symbol: Option<String>,
    /// VPCs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_vpc: Option<Vec<BackupLimitVpcItem>>,
    /// IPs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_ip: Option<Vec<String>>,
}

/// Parameters of `DescribeBackupEncryptionStatus`: default backup encryption.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeBackupEncryptionStatusRequest {
    /// instance id.
    pub instance_id: String,
}

/// Result of `DescribeBackupEncryptionStatus`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeBackupEncryptionStatusResponse {
    /// default encryption of physical backups.
    pub encryption_status: String,
}

/// Parameters of `DescribeBackupOverview`: backup totals.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeBackupOverviewRequest {
    /// product line.
    pub product: String,
}

/// Result of `DescribeBackupOverview`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeBackupOverviewResponse {
    /// number of backups.
    pub backup_count: i64,
    /// bytes of backups.
    pub backup_volume: i64,
    /// billed bytes.
    pub billing_volume: i64,
    /// free bytes.
    pub free_volume: i64,
    /// bytes in other regions.
    pub remote_backup_volume: i64,
    /// archived bytes.
    pub backup_archive_volume: i64,
    /// standard-storage bytes.
    pub backup_standby_volume: i64,
}

/// Parameters of `DescribeBackupSummaries`: backup totals per instance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeBackupSummariesRequest {
    /// product line.
    pub product: String,
    /// rows to skip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<i64>,
    /// page size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<i64>,
    /// sort field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_by: Option<String>,
    /// sort direction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_direction: Option<String>,
}

/// Result of `DescribeBackupSummaries`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeBackupSummariesResponse {
    /// result rows.
    pub items: Vec<BackupSummaryItem>,
    /// matching rows before paging.
    pub total_count: i64,
}

/// Parameters of `DescribeBackups`: list backups.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeBackupsRequest {
    /// instance id.
    pub instance_id: String,
    /// rows to skip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<i64>,
    /// page size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<i64>,
    /// earliest start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_start_time: Option<String>,
    /// latest start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_start_time: Option<String>,
}

/// Result of `DescribeBackups`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeBackupsResponse {
    /// matching rows before paging.
    pub total_count: i64,
    /// result rows.
    pub items: Vec<BackupInfo>,
}

/// Parameters of `DescribeBinlogBackupOverview`: binlog totals.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeBinlogBackupOverviewRequest {
    /// product line.
    pub product: String,
}

/// Result of `DescribeBinlogBackupOverview`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeBinlogBackupOverviewResponse {
    /// binlog bytes.
    pub binlog_backup_volume: i64,
    /// binlog backups.
    pub binlog_backup_count: i64,
    /// binlog bytes in other regions.
    pub remote_binlog_volume: i64,
    /// binlogs in other regions.
    pub remote_binlog_count: i64,
    /// archived binlog bytes.
    pub binlog_archive_volume: i64,
    /// archived binlogs.
    pub binlog_archive_count: i64,
    /// standard-storage binlog bytes.
    pub binlog_standby_volume: i64,
    /// standard-storage binlogs.
    pub binlog_standby_count: i64,
}

/// Parameters of `DescribeBinlogs`: list binlogs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeBinlogsRequest {
    /// instance id.
    pub instance_id: String,
    /// rows to skip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<i64>,
    /// page size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<i64>,
    /// earliest start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_start_time: Option<String>,
    /// latest start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_start_time: Option<String>,
    /// include the file that spans MinStartTime.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains_min_start_time: Option<bool>,
}

/// Result of `DescribeBinlogs`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeBinlogsResponse {
    /// matching rows before paging.
    pub total_count: i64,
    /// result rows.
    pub items: Vec<BinlogInfo>,
}

/// Parameters of `DescribeCloneList`: clone jobs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeCloneListRequest {
    /// instance id.
    pub instance_id: String,
    /// rows to skip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<i64>,
    /// page size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<i64>,
}

/// Result of `DescribeCloneList`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeCloneListResponse {
    /// matching rows before paging.
    pub total_count: i64,
    /// result rows.
    pub items: Vec<CloneItem>,
}

/// Parameters of `DescribeDBInstanceInfo`: basic facts and encryption of a primary.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeDBInstanceInfoRequest {
    /// instance id.
    pub instance_id: String,
}

/// Result of `DescribeDBInstanceInfo`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeDBInstanceInfoResponse {
    /// instance id.
    pub instance_id: String,
    /// display name.
    pub instance_name: String,
    /// encrypted.
    pub encryption: String,
    /// key id.
    pub key_id: String,
    /// key region.
    pub key_region: String,
    /// default key region.
    pub default_kms_region: String,
}

/// Parameters of `DescribeDBInstances`: list instances.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeDBInstancesRequest {
    /// project id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<i64>,
    /// instance roles.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub instance_types: Vec<u64>,
    /// private IPs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vips: Vec<String>,
    /// instance states to list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub status: Vec<u64>,
    /// rows to skip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// page size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// security group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_group_id: Option<String>,
    /// billing modes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pay_types: Vec<u64>,
    /// names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub instance_names: Vec<String>,
    /// task states to list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub task_status: Vec<u64>,
    /// MySQL versions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub engine_versions: Vec<String>,
    /// numeric VPC ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vpc_ids: Vec<u64>,
    /// zone ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub zone_ids: Vec<u64>,
    /// numeric subnet ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subnet_ids: Vec<u64>,
    /// locked flag.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cdb_errors: Vec<i64>,
    /// sort field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_by: Option<String>,
    /// sort direction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_direction: Option<String>,
    /// filter by security group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with_security_group: Option<i64>,
    /// include exclusive-cluster facts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with_ex_cluster: Option<i64>,
    /// exclusive cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ex_cluster_id: Option<String>,
    /// instance ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub instance_ids: Vec<String>,
    /// initialised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init_flag: Option<i64>,
    /// include standby facts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with_dr: Option<i64>,
    /// include read-only instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with_ro: Option<i64>,
    /// include primaries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with_master: Option<i64>,
    /// placement groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deploy_group_ids: Vec<String>,
    /// tag keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tag_keys_for_search: Vec<String>,
    /// finance cage ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cage_ids: Vec<String>,
    /// tag values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tag_values: Vec<String>,
    /// VPC ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unique_vpc_ids: Vec<String>,
    /// subnet ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uniq_subnet_ids: Vec<String>,
    /// tags to bind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
    /// proxy IPs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proxy_vips: Vec<String>,
    /// proxy ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proxy_ids: Vec<String>,
    /// storage engines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub engine_types: Vec<String>,
    /// include node facts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query_cluster_info: Option<bool>,
}

/// Result of `DescribeDBInstances`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeDBInstancesResponse {
    /// matching rows before paging.
    pub total_count: i64,
    /// result rows.
    pub items: Vec<InstanceInfo>,
}

/// Parameters of `DescribeDBSwitchRecords`: switch history.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeDBSwitchRecordsRequest {
    /// instance id.
    pub instance_id: String,
    /// rows to skip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<i64>,
    /// page size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<i64>,
}

/// Result of `DescribeDBSwitchRecords`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeDBSwitchRecordsResponse {
    /// matching rows before paging.
    pub total_count: i64,
    /// result rows.
    pub items: Vec<DBSwitchInfo>,
}

/// Parameters of `DescribeDataBackupOverview`: data backup totals.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeDataBackupOverviewRequest {
    /// product line.
    pub product: String,
}

/// Result of `DescribeDataBackupOverview`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeDataBackupOverviewResponse {
    /// data backup bytes.
    pub data_backup_volume: i64,
    /// data backups.
    pub data_backup_count: i64,
    /// bytes of automatic backups.
    pub auto_backup_volume: i64,
    /// automatic backups.
    pub auto_backup_count: i64,
    /// manual backup bytes.
    pub manual_backup_volume: i64,
    /// manual backups.
    pub manual_backup_count: i64,
    /// bytes in other regions.
    pub remote_backup_volume: i64,
    /// backups in other regions.
    pub remote_backup_count: i64,
    /// archived data bytes.
    pub data_backup_archive_volume: i64,
    /// archived data backups.
    pub data_backup_archive_count: i64,
    /// standard-storage data bytes.
    pub data_backup_standby_volume: i64,
    /// standard-storage data backups.
    pub data_backup_standby_count: i64,
}

/// Parameters of `DescribeDatabases`: list databases.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeDatabasesRequest {
    /// instance id.
    pub instance_id: String,
    /// rows to skip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<i64>,
    /// page size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<i64>,
    /// name pattern.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database_regexp: Option<String>,
}

/// Result of `DescribeDatabases`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeDatabasesResponse {
    /// matching rows before paging.
    pub total_count: i64,
    /// result rows.
    pub items: Vec<String>,
    /// names with character sets.
    pub database_list: Vec<DatabasesWithCharacterLists>,
}

/// Parameters of `DescribeLocalBinlogConfig`: local binlog retention.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeLocalBinlogConfigRequest {
    /// instance id.
    pub instance_id: String,
}

/// Result of `DescribeLocalBinlogConfig`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeLocalBinlogConfigResponse {
    /// local binlog retention.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_binlog_config: Option<LocalBinlogConfig>,
    /// regional default retention.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_binlog_config_default: Option<LocalBinlogConfigDefault>,
}

/// Parameters of `DescribeRemoteBackupConfig`: remote backup plan.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeRemoteBackupConfigRequest {
    /// instance id.
    pub instance_id: String,
}

/// Result of `DescribeRemoteBackupConfig`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeRemoteBackupConfigResponse {
    /// days kept.
    pub expire_days: i64,
    /// remote data backup switch.
    pub remote_backup_save: String,
    /// remote binlog switch.
    pub remote_binlog_save: String,
    /// remote regions chosen.
    pub remote_region: Vec<String>,
    /// remote regions on offer.
    pub region_list: Vec<String>,
}

/// Parameters of `DescribeRollbackRangeTime`: time ranges instances can be rolled back to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeRollbackRangeTimeRequest {
    /// instance ids.
    pub instance_ids: Vec<String>,
    /// clone target is in another zone, "true" or "false" as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_remote_zone: Option<String>,
    /// region of the clone target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_region: Option<String>,
}

/// Result of `DescribeRollbackRangeTime`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeRollbackRangeTimeResponse {
    /// matching rows before paging.
    pub total_count: i64,
    /// result rows.
    pub items: Vec<InstanceRollbackRangeTime>,
}

/// Parameters of `DescribeRollbackTaskDetail`: rollback jobs of an instance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeRollbackTaskDetailRequest {
    /// instance id.
    pub instance_id: String,
    /// async job id to poll with DescribeAsyncRequestInfo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub async_request_id: Option<String>,
    /// page size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<i64>,
    /// rows to skip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<i64>,
}

/// Result of `DescribeRollbackTaskDetail`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeRollbackTaskDetailResponse {
    /// matching rows before paging.
    pub total_count: i64,
    /// result rows.
    pub items: Vec<RollbackTask>,
}

/// Parameters of `DescribeTableColumns`: list columns.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeTableColumnsRequest {
    /// instance id.
    pub instance_id: String,
    /// database name.
    pub database: String,
    /// table name.
    pub table: String,
}

/// Result of `DescribeTableColumns`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeTableColumnsResponse {
    /// matching rows before paging.
    pub total_count: i64,
    /// result rows.
    pub items: Vec<String>,
}

/// Parameters of `DescribeTables`: list tables.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeTablesRequest {
    /// instance id.
    pub instance_id: String,
    /// database name.
    pub database: String,
    /// rows to skip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<i64>,
    /// page size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<i64>,
    /// name pattern.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table_regexp: Option<String>,
}

/// Result of `DescribeTables`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeTablesResponse {
    /// matching rows before paging.
    pub total_count: i64,
    /// result rows.
    pub items: Vec<String>,
}

/// Parameters of `DescribeTasks`: task list.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeTasksRequest {
    /// instance id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// async job id to poll with DescribeAsyncRequestInfo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub async_request_id: Option<String>,
    /// task kinds to list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub task_types: Vec<i64>,
    /// task states to list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub task_status: Vec<i64>,
    /// start time from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time_begin: Option<String>,
    /// start time to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time_end: Option<String>,
    /// rows to skip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<i64>,
    /// page size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<i64>,
}

/// Result of `DescribeTasks`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeTasksResponse {
    /// matching rows before paging.
    pub total_count: i64,
    /// result rows.
    pub items: Vec<TaskDetail>,
}

/// Parameters of `DescribeTimeWindow`: maintenance windows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeTimeWindowRequest {
    /// instance id.
    pub instance_id: String,
}

/// Result of `DescribeTimeWindow`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeTimeWindowResponse {
    /// window on Monday, HH:MM-HH:MM or empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monday: Option<Vec<String>>,
    /// window on Tuesday.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tuesday: Option<Vec<String>>,
    /// window on Wednesday.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wednesday: Option<Vec<String>>,
    /// window on Thursday.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thursday: Option<Vec<String>>,
    /// window on Friday.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub friday: Option<Vec<String>>,
    /// window on Saturday.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saturday: Option<Vec<String>>,
    /// window on Sunday.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sunday: Option<Vec<String>>,
    /// replication lag allowed, seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_delay_time: Option<u64>,
}

/// Parameters of `IsolateDBInstance`: isolate an instance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct IsolateDBInstanceRequest {
    /// instance id.
    pub instance_id: String,
}

/// Result of `IsolateDBInstance`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct IsolateDBInstanceResponse {
    /// async job id to poll with DescribeAsyncRequestInfo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub async_request_id: Option<String>,
}

/// Parameters of `ModifyBackupConfig`: change the backup plan.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ModifyBackupConfigRequest {
    /// instance id.
    pub instance_id: String,
    /// days kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expire_days: Option<i64>,
    /// old-style window, use BackupTimeWindow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<String>,
    /// backup method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_method: Option<String>,
    /// days binlogs are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binlog_expire_days: Option<i64>,
    /// backup window per weekday.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_time_window: Option<CommonTimeWindow>,
    /// long retention on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_backup_period_save: Option<String>,
    /// long-term switch, not live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_backup_period_long_term_save: Option<String>,
    /// longest long-retention days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_period_save_days: Option<i64>,
    /// long-retention cycle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_period_save_interval: Option<String>,
    /// copies kept per cycle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_period_save_count: Option<i64>,
    /// cycle start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_backup_period_save_date: Option<String>,
    /// archive data backups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_backup_archive: Option<String>,
    /// days before archiving data backups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_archive_days: Option<i64>,
    /// days before archiving binlogs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binlog_archive_days: Option<i64>,
    /// archive binlogs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_binlog_archive: Option<String>,
    /// move data backups to standard storage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_backup_standby: Option<String>,
    /// days before that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_standby_days: Option<i64>,
    /// move binlogs to standard storage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_binlog_standby: Option<String>,
    /// days before that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binlog_standby_days: Option<i64>,
}

/// Result of `ModifyBackupConfig`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ModifyBackupConfigResponse {}

/// Parameters of `ModifyBackupEncryptionStatus`: change default backup encryption.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ModifyBackupEncryptionStatusRequest {
    /// instance id.
    pub instance_id: String,
    /// default encryption of physical backups.
    pub encryption_status: String,
    /// default encryption of binlogs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binlog_encryption_status: Option<String>,
}

/// Result of `ModifyBackupEncryptionStatus`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ModifyBackupEncryptionStatusResponse {}

/// Parameters of `ModifyLocalBinlogConfig`: change local binlog retention.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ModifyLocalBinlogConfigRequest {
    /// instance id.
    pub instance_id: String,
    /// hours kept locally.
    pub save_hours: i64,
    /// percent of disk binlogs may use.
    pub max_usage: i64,
}

/// Result of `ModifyLocalBinlogConfig`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ModifyLocalBinlogConfigResponse {}

/// Parameters of `ModifyRemoteBackupConfig`: change the remote backup plan.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ModifyRemoteBackupConfigRequest {
    /// instance id.
    pub instance_id: String,
    /// remote data backup switch.
    pub remote_backup_save: String,
    /// remote binlog switch.
    pub remote_binlog_save: String,
    /// remote regions chosen.
    pub remote_region: Vec<String>,
    /// days kept.
    pub expire_days: i64,
}

/// Result of `ModifyRemoteBackupConfig`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ModifyRemoteBackupConfigResponse {}

/// Parameters of `ModifyTimeWindow`: change maintenance windows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ModifyTimeWindowRequest {
    /// instance id.
    pub instance_id: String,
    /// windows, half-hour steps, 30 minutes to 3 hours, at most two.
    pub time_ranges: Vec<String>,
    /// days to change, all when absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weekdays: Vec<String>,
    /// replication lag allowed, seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_delay_time: Option<u64>,
}

/// Result of `ModifyTimeWindow`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ModifyTimeWindowResponse {}

/// Parameters of `OfflineIsolatedInstances`: release isolated instances for good.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct OfflineIsolatedInstancesRequest {
    /// instance ids.
    pub instance_ids: Vec<String>,
}

/// Result of `OfflineIsolatedInstances`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct OfflineIsolatedInstancesResponse {}

/// Parameters of `ReleaseIsolatedDBInstances`: bring isolated hourly instances back.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ReleaseIsolatedDBInstancesRequest {
    /// instance ids.
    pub instance_ids: Vec<String>,
}

/// Result of `ReleaseIsolatedDBInstances`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ReleaseIsolatedDBInstancesResponse {
    /// result rows.
    pub items: Vec<ReleaseResult>,
}

/// Parameters of `RestartDBInstances`: restart instances.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RestartDBInstancesRequest {
    /// instance ids.
    pub instance_ids: Vec<String>,
}

/// Result of `RestartDBInstances`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RestartDBInstancesResponse {
    /// async job id to poll with DescribeAsyncRequestInfo.
    pub async_request_id: String,
}

/// Parameters of `StartBatchRollback`: roll databases or tables back to a time, as an async job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StartBatchRollbackRequest {
    /// instances to roll back.
    pub instances: Vec<RollbackInstancesInfo>,
}

/// Result of `StartBatchRollback`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StartBatchRollbackResponse {
    /// async job id to poll with DescribeAsyncRequestInfo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub async_request_id: Option<String>,
}

/// Parameters of `StopRollback`: withdraw the running rollback of an instance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StopRollbackRequest {
    /// instance id.
    pub instance_id: String,
}

/// Result of `StopRollback`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StopRollbackResponse {
    /// async job id to poll with DescribeAsyncRequestInfo.
    pub async_request_id: String,
}

/// Parameters of `SwitchForUpgrade`: switch to the upgraded instance now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SwitchForUpgradeRequest {
    /// instance id.
    pub instance_id: String,
    /// switch related instances too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_related_switch: Option<bool>,
}

/// Result of `SwitchForUpgrade`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SwitchForUpgradeResponse {}
