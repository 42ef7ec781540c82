// Made by `cargo run -p xtask -- codegen`, do not edit.

use serde::{Deserialize, Serialize};

/// `Blueprint` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Blueprint {
    /// image id.
    pub blueprint_id: String,
    /// shown title.
    pub display_title: String,
    /// shown version.
    pub display_version: String,
    /// free text.
    pub description: Option<String>,
    /// OS name.
    pub os_name: String,
    /// OS platform.
    pub platform: String,
    /// OS family.
    pub platform_type: String,
    /// image kind.
    pub blueprint_type: String,
    /// icon address.
    pub image_url: String,
    /// system disk needed, GB.
    pub required_system_disk_size: i64,
    /// image state.
    pub blueprint_state: String,
    /// creation time (ISO 8601 UTC).
    pub created_time: Option<String>,
    /// image name.
    pub blueprint_name: String,
    /// automation agent supported.
    pub support_automation_tools: bool,
    /// memory needed, GB.
    pub required_memory_size: i64,
    /// CVM image id.
    pub image_id: String,
    /// project site.
    pub community_url: String,
    /// guide.
    pub guide_url: String,
    /// scenes.
    pub scene_id_set: Vec<String>,
    /// Docker version.
    pub docker_version: Option<String>,
    /// is shared.
    pub blueprint_shared: bool,
    /// tags to bind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<Tag>>,
}

/// `Bundle` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Bundle {
    /// plan id.
    pub bundle_id: String,
    /// memory in GB.
    pub memory: i64,
    /// system disk medium.
    pub system_disk_type: String,
    /// system disk GB.
    pub system_disk_size: i64,
    /// traffic per month, GB.
    pub monthly_traffic: i64,
    /// Linux/Unix allowed.
    pub support_linux_unix_platform: bool,
    /// Windows allowed.
    pub support_windows_platform: bool,
    /// price.
    pub price: Price,
    /// CPU cores.
    #[serde(rename = "CPU")]
    pub cpu: i64,
    /// outbound cap in Mbps.
    pub internet_max_bandwidth_out: u64,
    /// traffic billing.
    pub internet_charge_type: String,
    /// sales state.
    pub bundle_sales_state: String,
    /// plan kind.
    pub bundle_type: String,
    /// plan kind text.
    pub bundle_type_description: String,
    /// shown label.
    pub bundle_display_label: String,
    /// no traffic cap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic_unlimited: Option<bool>,
}

/// `Command` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Command {
    /// command text, base64.
    pub content: String,
    /// seconds allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<i64>,
    /// working directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_directory: Option<String>,
    /// run as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
}

/// `ContainerEnv` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ContainerEnv {
    /// key.
    pub key: String,
    /// value.
    pub value: String,
}

/// `DeniedAction` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeniedAction {
    /// denied action name.
    pub action: String,
    /// reason code.
    pub code: String,
    /// reason text.
    pub message: String,
}

/// `DetailPrice` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DetailPrice {
    /// price line name.
    pub price_name: String,
    /// unit price.
    pub origin_unit_price: f64,
    /// list price.
    pub original_price: f64,
    /// discount.
    pub discount: f64,
    /// price after discount.
    pub discount_price: f64,
}

/// `Disk` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Disk {
    /// disk id.
    pub disk_id: String,
    /// instance id.
    pub instance_id: String,
    /// availability zone.
    pub zone: String,
    /// disk name.
    pub disk_name: String,
    /// system or data disk.
    pub disk_usage: String,
    /// disk medium.
    pub disk_type: String,
    /// disk billing.
    pub disk_charge_type: String,
    /// disk size in GB.
    pub disk_size: i64,
    /// renewal flag.
    pub renew_flag: String,
    /// disk state.
    pub disk_state: String,
    /// is attached.
    pub attached: bool,
    /// released with the instance.
    pub delete_with_instance: bool,
    /// last action taken.
    pub latest_operation: String,
    /// how the last action stands.
    pub latest_operation_state: String,
    /// RequestId of the call that began the last action.
    pub latest_operation_request_id: String,
    /// creation time (ISO 8601 UTC).
    pub created_time: Option<String>,
    /// expiry time (ISO 8601 UTC).
    pub expired_time: Option<String>,
    /// isolation time (ISO 8601 UTC).
    pub isolated_time: Option<String>,
    /// backup points kept.
    pub disk_backup_count: i64,
    /// backup point quota.
    pub disk_backup_quota: i64,
    /// tags to bind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<Tag>>,
}

/// `DiskBackup` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DiskBackup {
    /// backup point id.
    pub disk_backup_id: String,
    /// system or data disk.
    pub disk_usage: String,
    /// disk id.
    pub disk_id: String,
    /// disk size in GB.
    pub disk_size: i64,
    /// backup point name, at most 90 characters.
    pub disk_backup_name: String,
    /// backup point state.
    pub disk_backup_state: String,
    /// create/rollback progress, 100 when done.
    pub percent: i64,
    /// last action taken.
    pub latest_operation: String,
    /// how the last action stands.
    pub latest_operation_state: String,
    /// RequestId of the call that began the last action.
    pub latest_operation_request_id: String,
    /// creation time (ISO 8601 UTC).
    pub created_time: String,
    /// tags to bind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<Tag>>,
}

/// `DiskBackupDeniedActions` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DiskBackupDeniedActions {
    /// backup point id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_backup_id: Option<String>,
    /// actions that would be refused now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denied_actions: Option<Vec<DeniedAction>>,
}

/// `DiskDeniedActions` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DiskDeniedActions {
    /// disk id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_id: Option<String>,
    /// actions that would be refused now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denied_actions: Option<Vec<DeniedAction>>,
}

/// `DockerContainerConfiguration` of the contract.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DockerContainerConfiguration {
    /// container image.
    pub container_image: String,
    /// container name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_name: Option<String>,
    /// environment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub envs: Vec<ContainerEnv>,
    /// port mappings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub publish_ports: Vec<DockerContainerPublishPort>,
    /// volume mounts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<DockerContainerVolume>,
    /// command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// restart policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_policy: Option<String>,
}

impl std::fmt::Debug for DockerContainerConfiguration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Holds a secret, so none of its members is shown.
        f.debug_struct("DockerContainerConfiguration")
            .finish_non_exhaustive()
    }
}

/// `DockerContainerPublishPort` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DockerContainerPublishPort {
    /// host port.
    pub host_port: i64,
    /// container port.
    pub container_port: i64,
    /// bind address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
}

/// `DockerContainerVolume` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DockerContainerVolume {
    /// path inside.
    pub container_path: String,
    /// path on host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_path: Option<String>,
}

/// `Filter` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Filter {
    /// name.
    pub name: String,
    /// accepted values.
    pub values: Vec<String>,
}

/// `GeneralResourceQuota` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GeneralResourceQuota {
    /// quota name.
    pub resource_name: String,
    /// left.
    pub resource_quota_available: i64,
    /// total.
    pub resource_quota_total: i64,
}

/// `Instance` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Instance {
    /// instance id.
    pub instance_id: String,
    /// plan id.
    pub bundle_id: String,
    /// image id.
    pub blueprint_id: String,
    /// CPU cores.
    #[serde(rename = "CPU")]
    pub cpu: i64,
    /// memory in GB.
    pub memory: i64,
    /// display name.
    pub instance_name: String,
    /// billing mode.
    pub instance_charge_type: String,
    /// system disk.
    pub system_disk: SystemDisk,
    /// private IPs.
    pub private_addresses: Vec<String>,
    /// public IPs.
    pub public_addresses: Vec<String>,
    /// bandwidth facts.
    pub internet_accessible: InternetAccessible,
    /// renewal flag.
    pub renew_flag: String,
    /// login keys.
    pub login_settings: LoginSettings,
    /// instance state.
    pub instance_state: String,
    /// global unique id.
    pub uuid: String,
    /// last action taken.
    pub latest_operation: String,
    /// how the last action stands.
    pub latest_operation_state: String,
    /// RequestId of the call that began the last action.
    pub latest_operation_request_id: String,
    /// when the last action began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest_operation_started_time: Option<String>,
    /// isolation time (ISO 8601 UTC).
    pub isolated_time: Option<String>,
    /// creation time (ISO 8601 UTC).
    pub created_time: Option<String>,
    /// expiry time (ISO 8601 UTC).
    pub expired_time: Option<String>,
    /// OS family.
    pub platform_type: String,
    /// OS platform.
    pub platform: String,
    /// OS name.
    pub os_name: String,
    /// availability zone.
    pub zone: String,
    /// tags to bind.
    pub tags: Vec<Tag>,
    /// restriction state.
    pub instance_restrict_state: String,
    /// IPv6 support facts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub support_ipv6_detail: Option<SupportIpv6Detail>,
    /// public IPv6 addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_ipv6_addresses: Option<Vec<String>>,
    /// id of the first-boot command run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init_invocation_id: Option<String>,
    /// violation facts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_violation_detail: Option<InstanceViolationDetail>,
}

/// `InstanceChargePrepaid` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct InstanceChargePrepaid {
    /// months.
    pub period: i64,
    /// renewal flag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renew_flag: Option<String>,
}

/// `InstanceDeniedActions` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct InstanceDeniedActions {
    /// instance id.
    pub instance_id: String,
    /// actions that would be refused now.
    pub denied_actions: Vec<DeniedAction>,
}

/// `InstancePrice` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct InstancePrice {
    /// list unit price.
    pub original_bundle_price: f64,
    /// list price.
    pub original_price: f64,
    /// discount.
    pub discount: f64,
    /// price after discount.
    pub discount_price: f64,
    /// currency.
    pub currency: String,
    /// price lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail_prices: Option<Vec<DetailPrice>>,
}

/// `InstanceViolationDetail` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct InstanceViolationDetail {
    /// source of the restriction.
    pub source: String,
    /// whether self-service unblock is allowed.
    pub state: String,
    /// violation kind.
    pub reason: String,
    /// offending content.
    pub content: String,
}

/// `InternetAccessible` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct InternetAccessible {
    /// traffic billing.
    pub internet_charge_type: String,
    /// outbound cap in Mbps.
    pub internet_max_bandwidth_out: i64,
    /// has a public IP.
    pub public_ip_assigned: bool,
}

/// `LoginConfiguration` of the contract.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct LoginConfiguration {
    /// make a password (YES/NO).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_generate_password: Option<String>,
    /// root/login password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// key pair ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key_ids: Vec<String>,
}

impl std::fmt::Debug for LoginConfiguration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Holds a secret, so none of its members is shown.
        f.debug_struct("LoginConfiguration").finish_non_exhaustive()
    }
}

/// `LoginSettings` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct LoginSettings {
    /// key pair ids.
    pub key_ids: Vec<String>,
}

/// `Price` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Price {
    /// instance price.
    pub instance_price: InstancePrice,
}

/// `RegionInfo` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RegionInfo {
    /// region.
    pub region: String,
    /// region display name.
    pub region_name: String,
    /// region state.
    pub region_state: String,
    /// in mainland China.
    pub is_china_mainland: bool,
}

/// `Snapshot` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Snapshot {
    /// snapshot id.
    pub snapshot_id: String,
    /// system or data disk.
    pub disk_usage: String,
    /// disk id.
    pub disk_id: String,
    /// disk size in GB.
    pub disk_size: i64,
    /// snapshot name, at most 60 characters.
    pub snapshot_name: String,
    /// snapshot state.
    pub snapshot_state: String,
    /// create/rollback progress, 100 when done.
    pub percent: i64,
    /// last action taken.
    pub latest_operation: String,
    /// how the last action stands.
    pub latest_operation_state: String,
    /// RequestId of the call that began the last action.
    pub latest_operation_request_id: String,
    /// creation time (ISO 8601 UTC).
    pub created_time: String,
    /// tags to bind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<Tag>>,
}

/// `SnapshotDeniedActions` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SnapshotDeniedActions {
    /// snapshot id.
    pub snapshot_id: String,
    /// actions that would be refused now.
    pub denied_actions: Vec<DeniedAction>,
}

/// `SupportIpv6Detail` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SupportIpv6Detail {
    /// supported.
    pub is_support: bool,
    /// detail code.
    pub detail: String,
    /// free text or error text.
    pub message: String,
}

/// `SystemDisk` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SystemDisk {
    /// disk medium.
    pub disk_type: String,
    /// disk size in GB.
    pub disk_size: i64,
    /// disk id.
    pub disk_id: Option<String>,
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

/// `ZoneInfo` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ZoneInfo {
    /// availability zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// zone display name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone_name: Option<String>,
    /// zone label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_display_label: Option<String>,
}

/// Parameters of `ApplyDiskBackup`: roll a data disk back to a backup point.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ApplyDiskBackupRequest {
    /// disk id.
    pub disk_id: String,
    /// backup point id.
    pub disk_backup_id: String,
}

/// Result of `ApplyDiskBackup`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ApplyDiskBackupResponse {}

/// Parameters of `ApplyInstanceSnapshot`: roll an instance's system disk back to a snapshot.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ApplyInstanceSnapshotRequest {
    /// instance id.
    pub instance_id: String,
    /// snapshot id.
    pub snapshot_id: String,
}

/// Result of `ApplyInstanceSnapshot`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ApplyInstanceSnapshotResponse {}

/// Parameters of `AttachDisks`: attach disks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AttachDisksRequest {
    /// disk ids.
    pub disk_ids: Vec<String>,
    /// instance id.
    pub instance_id: String,
    /// renewal flag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renew_flag: Option<String>,
}

/// Result of `AttachDisks`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AttachDisksResponse {}

/// Parameters of `CreateBlueprint`: make an image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateBlueprintRequest {
    /// image name.
    pub blueprint_name: String,
    /// free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// instance id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// shut down while imaging.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub force_power_off: Option<bool>,
    /// tags to bind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
}

/// Result of `CreateBlueprint`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateBlueprintResponse {
    /// image id.
    pub blueprint_id: String,
}

/// Parameters of `CreateDiskBackup`: make a backup point.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateDiskBackupRequest {
    /// disk id.
    pub disk_id: String,
    /// backup point name, at most 90 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_backup_name: Option<String>,
    /// tags to bind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
}

/// Result of `CreateDiskBackup`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateDiskBackupResponse {
    /// backup point id.
    pub disk_backup_id: String,
}

/// Parameters of `CreateInstanceSnapshot`: snapshot an instance's system disk.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateInstanceSnapshotRequest {
    /// instance id.
    pub instance_id: String,
    /// snapshot name, at most 60 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_name: Option<String>,
    /// tags to bind, at most 10.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
}

/// Result of `CreateInstanceSnapshot`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateInstanceSnapshotResponse {
    /// snapshot id.
    pub snapshot_id: String,
}

/// Parameters of `CreateInstances`: buy instances.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateInstancesRequest {
    /// plan id.
    pub bundle_id: String,
    /// image id.
    pub blueprint_id: String,
    /// prepaid terms.
    pub instance_charge_prepaid: InstanceChargePrepaid,
    /// display name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_name: Option<String>,
    /// how many to buy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_count: Option<u64>,
    /// zones to place in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub zones: Vec<String>,
    /// check only, change nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
    /// idempotency key, at most 64 ASCII characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_token: Option<String>,
    /// first login setup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login_configuration: Option<LoginConfiguration>,
    /// containers to run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub containers: Vec<DockerContainerConfiguration>,
    /// use vouchers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_voucher: Option<bool>,
    /// firewall template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firewall_template_id: Option<String>,
    /// tags to bind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
    /// first-boot command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init_command: Option<Command>,
    /// main domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain_name: Option<String>,
    /// sub domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subdomain: Option<String>,
}

/// Result of `CreateInstances`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateInstancesResponse {
    /// ids of the new instances.
    pub instance_id_set: Vec<String>,
}

/// Parameters of `DeleteDiskBackups`: delete backup points.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteDiskBackupsRequest {
    /// backup point ids.
    pub disk_backup_ids: Vec<String>,
}

/// Result of `DeleteDiskBackups`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteDiskBackupsResponse {}

/// Parameters of `DeleteSnapshots`: delete snapshots.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteSnapshotsRequest {
    /// snapshot ids.
    pub snapshot_ids: Vec<String>,
}

/// Result of `DeleteSnapshots`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteSnapshotsResponse {}

/// Parameters of `DescribeBlueprints`: list images.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeBlueprintsRequest {
    /// image ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blueprint_ids: Vec<String>,
    /// rows to skip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<i64>,
    /// page size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<i64>,
    /// name/values filters, AND between filters, OR inside Values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
}

/// Result of `DescribeBlueprints`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeBlueprintsResponse {
    /// matching rows before paging.
    pub total_count: i64,
    /// images.
    pub blueprint_set: Vec<Blueprint>,
}

/// Parameters of `DescribeBundles`: list plans.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeBundlesRequest {
    /// plan ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bundle_ids: Vec<String>,
    /// rows to skip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<i64>,
    /// page size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<i64>,
    /// name/values filters, AND between filters, OR inside Values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
    /// zones to place in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub zones: Vec<String>,
    /// image id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blueprint_id: Option<String>,
}

/// Result of `DescribeBundles`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeBundlesResponse {
    /// plans.
    pub bundle_set: Vec<Bundle>,
    /// matching rows before paging.
    pub total_count: i64,
}

/// Parameters of `DescribeDiskBackups`: list data disk backup points.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeDiskBackupsRequest {
    /// backup point ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disk_backup_ids: Vec<String>,
    /// name/values filters, AND between filters, OR inside Values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
    /// rows to skip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<i64>,
    /// page size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<i64>,
}

/// Result of `DescribeDiskBackups`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeDiskBackupsResponse {
    /// matching rows before paging.
    pub total_count: i64,
    /// backup points.
    pub disk_backup_set: Vec<DiskBackup>,
}

/// Parameters of `DescribeDiskBackupsDeniedActions`: what may not be done to backup points now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeDiskBackupsDeniedActionsRequest {
    /// backup point ids.
    pub disk_backup_ids: Vec<String>,
}

/// Result of `DescribeDiskBackupsDeniedActions`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeDiskBackupsDeniedActionsResponse {
    /// per-backup denied actions.
    pub disk_backup_denied_action_set: Vec<DiskBackupDeniedActions>,
}

/// Parameters of `DescribeDisks`: list disks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeDisksRequest {
    /// disk ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disk_ids: Vec<String>,
    /// name/values filters, AND between filters, OR inside Values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
    /// page size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<i64>,
    /// rows to skip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<i64>,
    /// sort field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_field: Option<String>,
    /// sort direction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<String>,
}

/// Result of `DescribeDisks`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeDisksResponse {
    /// disks.
    pub disk_set: Vec<Disk>,
    /// matching rows before paging.
    pub total_count: i64,
}

/// Parameters of `DescribeDisksDeniedActions`: what may not be done to disks now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeDisksDeniedActionsRequest {
    /// disk ids.
    pub disk_ids: Vec<String>,
}

/// Result of `DescribeDisksDeniedActions`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeDisksDeniedActionsResponse {
    /// per-disk denied actions.
    pub disk_denied_action_set: Vec<DiskDeniedActions>,
}

/// Parameters of `DescribeGeneralResourceQuotas`: quotas.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeGeneralResourceQuotasRequest {
    /// quota names.
    pub resource_names: Vec<String>,
}

/// Result of `DescribeGeneralResourceQuotas`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeGeneralResourceQuotasResponse {
    /// quotas.
    pub general_resource_quota_set: Vec<GeneralResourceQuota>,
}

/// Parameters of `DescribeInstances`: list instances.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeInstancesRequest {
    /// instance ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub instance_ids: Vec<String>,
    /// name/values filters, AND between filters, OR inside Values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
    /// rows to skip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<i64>,
    /// page size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<i64>,
    /// sort field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_field: Option<String>,
    /// sort direction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<String>,
}

/// Result of `DescribeInstances`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeInstancesResponse {
    /// matching rows before paging.
    pub total_count: i64,
    /// instances.
    pub instance_set: Vec<Instance>,
}

/// Parameters of `DescribeInstancesDeniedActions`: what may not be done to instances now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeInstancesDeniedActionsRequest {
    /// instance ids.
    pub instance_ids: Vec<String>,
}

/// Result of `DescribeInstancesDeniedActions`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeInstancesDeniedActionsResponse {
    /// per-instance denied actions.
    pub instance_denied_action_set: Vec<InstanceDeniedActions>,
}

/// Parameters of `DescribeRegions`: list regions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeRegionsRequest {}

/// Result of `DescribeRegions`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeRegionsResponse {
    /// matching rows before paging.
    pub total_count: i64,
    /// regions.
    pub region_set: Vec<RegionInfo>,
}

/// Parameters of `DescribeSnapshots`: list snapshots.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeSnapshotsRequest {
    /// snapshot ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub snapshot_ids: Vec<String>,
    /// name/values filters, AND between filters, OR inside Values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
    /// rows to skip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<i64>,
    /// page size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<i64>,
}

/// Result of `DescribeSnapshots`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeSnapshotsResponse {
    /// matching rows before paging.
    pub total_count: i64,
    /// snapshots.
    pub snapshot_set: Vec<Snapshot>,
}

/// Parameters of `DescribeSnapshotsDeniedActions`: what may not be done to snapshots now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeSnapshotsDeniedActionsRequest {
    /// snapshot ids.
    pub snapshot_ids: Vec<String>,
}

/// Result of `DescribeSnapshotsDeniedActions`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeSnapshotsDeniedActionsResponse {
    /// per-snapshot denied actions.
    pub snapshot_denied_action_set: Vec<SnapshotDeniedActions>,
}

/// Parameters of `DescribeZones`: list zones.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeZonesRequest {
    /// sort field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_field: Option<String>,
    /// sort direction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<String>,
}

/// Result of `DescribeZones`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeZonesResponse {
    /// matching rows before paging.
    pub total_count: i64,
    /// zones.
    pub zone_info_set: Vec<ZoneInfo>,
}

/// Parameters of `DetachDisks`: detach disks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DetachDisksRequest {
    /// disk ids.
    pub disk_ids: Vec<String>,
}

/// Result of `DetachDisks`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DetachDisksResponse {}

/// Parameters of `IsolateInstances`: return instances (isolate).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct IsolateInstancesRequest {
    /// instance ids.
    pub instance_ids: Vec<String>,
    /// also return attached data disks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolate_data_disk: Option<bool>,
}

/// Result of `IsolateInstances`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct IsolateInstancesResponse {}

/// Parameters of `ModifyDiskBackupsAttribute`: rename backup points.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ModifyDiskBackupsAttributeRequest {
    /// backup point ids.
    pub disk_backup_ids: Vec<String>,
    /// backup point name, at most 90 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_backup_name: Option<String>,
}

/// Result of `ModifyDiskBackupsAttribute`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ModifyDiskBackupsAttributeResponse {}

/// Parameters of `ModifyInstancesAttribute`: rename instances.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ModifyInstancesAttributeRequest {
    /// instance ids.
    pub instance_ids: Vec<String>,
    /// display name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_name: Option<String>,
}

/// Result of `ModifyInstancesAttribute`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ModifyInstancesAttributeResponse {}

/// Parameters of `ModifySnapshotAttribute`: rename a snapshot.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ModifySnapshotAttributeRequest {
    /// snapshot id.
    pub snapshot_id: String,
    /// snapshot name, at most 60 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_name: Option<String>,
}

/// Result of `ModifySnapshotAttribute`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ModifySnapshotAttributeResponse {}

/// Parameters of `RebootInstances`: reboot instances.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RebootInstancesRequest {
    /// instance ids.
    pub instance_ids: Vec<String>,
    /// how to stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_type: Option<String>,
}

/// Result of `RebootInstances`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RebootInstancesResponse {}

/// Parameters of `ResetInstance`: reinstall an instance from an image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ResetInstanceRequest {
    /// instance id.
    pub instance_id: String,
    /// image id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blueprint_id: Option<String>,
    /// containers to run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub containers: Vec<DockerContainerConfiguration>,
    /// first login setup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login_configuration: Option<LoginConfiguration>,
}

/// Result of `ResetInstance`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ResetInstanceResponse {}

/// Parameters of `StartInstances`: start instances.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StartInstancesRequest {
    /// instance ids.
    pub instance_ids: Vec<String>,
}

/// Result of `StartInstances`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StartInstancesResponse {}

/// Parameters of `StopInstances`: stop instances.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StopInstancesRequest {
    /// instance ids.
    pub instance_ids: Vec<String>,
    /// how to stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_type: Option<String>,
}

/// Result of `StopInstances`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StopInstancesResponse {}

/// Parameters of `TerminateInstances`: destroy isolated instances.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TerminateInstancesRequest {
    /// instance ids.
    pub instance_ids: Vec<String>,
}

/// Result of `TerminateInstances`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TerminateInstancesResponse {}
