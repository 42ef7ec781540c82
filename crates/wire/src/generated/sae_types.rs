// Made by `cargo run -p xtask -- codegen`, do not edit.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// `AbortAndRollbackChangeOrderResponseBodyData` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AbortAndRollbackChangeOrderData {
    /// change order id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_order_id: Option<String>,
}

/// `AbortChangeOrderResponseBodyData` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AbortChangeOrderData {
    /// change order id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_order_id: Option<String>,
}

/// `BatchRestartApplicationsResponseBodyData` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct BatchRestartApplicationsData {
    /// change order id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_order_id: Option<String>,
}

/// `BatchStartApplicationsResponseBodyData` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct BatchStartApplicationsData {
    /// change order id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_order_id: Option<String>,
}

/// `BatchStopApplicationsResponseBodyData` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct BatchStopApplicationsData {
    /// change order id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_order_id: Option<String>,
}

/// `ConfirmPipelineBatchResponseBodyData` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ConfirmPipelineBatchData {
    /// batch id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline_id: Option<String>,
}

/// `CreateApplicationRequestRaspConfig` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateApplicationRequestRaspConfig {
    /// RASP on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_rasp: Option<bool>,
    /// RASP key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rasp_app_key: Option<String>,
    /// RASP name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rasp_app_name: Option<String>,
}

/// `CreateApplicationResponseBodyData` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateApplicationData {
    /// application id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_id: Option<String>,
    /// change order id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_order_id: Option<String>,
}

/// `CreateApplicationScalingRuleResponseBodyData` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateApplicationScalingRuleData {
    /// application id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_id: Option<String>,
    /// creation time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create_time: Option<i64>,
    /// idle mode on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_idle: Option<bool>,
    /// last switched off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_disable_time: Option<i64>,
    /// metric rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<CreateApplicationScalingRuleDataMetric>,
    /// scaling rule on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_rule_enabled: Option<bool>,
    /// rule name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_rule_name: Option<String>,
    /// rule kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_rule_type: Option<String>,
    /// timed rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timer: Option<CreateApplicationScalingRuleDataTimer>,
    /// last change time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_time: Option<i64>,
}

/// `CreateApplicationScalingRuleResponseBodyDataMetric` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateApplicationScalingRuleDataMetric {
    /// most instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_replicas: Option<i64>,
    /// metric targets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Vec<CreateApplicationScalingRuleDataMetricMetrics>>,
    /// fewest instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_replicas: Option<i64>,
}

/// `CreateApplicationScalingRuleResponseBodyDataMetricMetrics` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateApplicationScalingRuleDataMetricMetrics {
    /// target value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric_target_average_utilization: Option<i64>,
    /// metric kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric_type: Option<String>,
    /// SLB id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slb_id: Option<String>,
    /// SLB log store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slb_logstore: Option<String>,
    /// SLB log project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slb_project: Option<String>,
    /// SLB port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vport: Option<String>,
}

/// `CreateApplicationScalingRuleResponseBodyDataTimer` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateApplicationScalingRuleDataTimer {
    /// first day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begin_date: Option<String>,
    /// last day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_date: Option<String>,
    /// recurrence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<String>,
    /// trigger times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedules: Option<Vec<CreateApplicationScalingRuleDataTimerSchedules>>,
}

/// `CreateApplicationScalingRuleResponseBodyDataTimerSchedules` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateApplicationScalingRuleDataTimerSchedules {
    /// HH:mm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_time: Option<String>,
    /// most instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_replicas: Option<i64>,
    /// fewest instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_replicas: Option<i64>,
    /// instances to set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_replicas: Option<i64>,
}

/// `CreateNamespaceResponseBodyData` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateNamespaceData {
    /// built-in registry on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_micro_registration: Option<bool>,
    /// namespace short id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_space_short_id: Option<String>,
    /// namespace text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_description: Option<String>,
    /// namespace id, region\[:short\].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_id: Option<String>,
    /// namespace name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_name: Option<String>,
    /// region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region_id: Option<String>,
}

/// `DeleteApplicationResponseBodyData` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteApplicationData {
    /// change order id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_order_id: Option<String>,
}

/// `DeleteInstancesResponseBodyData` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteInstancesData {
    /// change order id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_order_id: Option<String>,
}

/// `DeployApplicationRequestRaspConfig` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeployApplicationRequestRaspConfig {
    /// RASP on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_rasp: Option<bool>,
    /// RASP key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rasp_app_key: Option<String>,
    /// RASP name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rasp_app_name: Option<String>,
}

/// `DeployApplicationResponseBodyData` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeployApplicationData {
    /// application id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_id: Option<String>,
    /// change order id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_order_id: Option<String>,
    /// a RAM user's release must be approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_need_approval: Option<bool>,
}

/// `DescribeApplicationConfigResponseBodyData` of the contract.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeApplicationConfigData {
    /// role for cross-account image pulls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acr_assume_role_arn: Option<String>,
    /// ACR enterprise instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acr_instance_id: Option<String>,
    /// agent version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_version: Option<String>,
    /// ALB readiness gate setup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alb_ingress_readiness_gate: Option<String>,
    /// application text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_description: Option<String>,
    /// application id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_id: Option<String>,
    /// application name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_name: Option<String>,
    /// application kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_source: Option<String>,
    /// give each instance an EIP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub associate_eip: Option<bool>,
    /// baseline application (swimlanes).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_app_id: Option<String>,
    /// seconds between batches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_wait_time: Option<i64>,
    /// cluster id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<String>,
    /// monitor service id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cms_service_id: Option<String>,
    /// start command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// start arguments, JSON text array.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command_args: Option<String>,
    /// config map mounts, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_mount_desc: Option<Vec<DescribeApplicationConfigDataConfigMapMountDesc>>,
    /// CPU in millicores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<i64>,
    /// hosts file lines, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_host_alias: Option<String>,
    /// internet or intranet image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_image_network_type: Option<String>,
    /// deployment name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment_name: Option<String>,
    /// ephemeral disk GB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_size: Option<i64>,
    /// .NET version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dotnet: Option<String>,
    /// HSF runtime version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edas_container_version: Option<String>,
    /// shared scratch space.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub empty_dir_desc: Option<Vec<DescribeApplicationConfigDataEmptyDirDesc>>,
    /// AHAS on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_ahas: Option<String>,
    /// CPU burst on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_cpu_burst: Option<String>,
    /// gray tag routing on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_grey_tag_route: Option<bool>,
    /// idle mode on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_idle: Option<bool>,
    /// take the namespace's agent version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_namespace_agent_version: Option<bool>,
    /// new ARMS on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_new_arms: Option<bool>,
    /// Prometheus collection on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_prometheus: Option<bool>,
    /// environment, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envs: Option<String>,
    /// GPUs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu_count: Option<String>,
    /// GPU type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu_type: Option<String>,
    /// headless service discovery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headless_pvtz_discovery: Option<String>,
    /// nginx version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub html: Option<String>,
    /// idle hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_hour: Option<String>,
    /// registry secret id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pull_secrets: Option<String>,
    /// image address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_url: Option<String>,
    /// init containers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init_containers_config: Option<Vec<DescribeApplicationConfigDataInitContainersConfig>>,
    /// stateful application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_stateful: Option<bool>,
    /// jar arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jar_start_args: Option<String>,
    /// jar options.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jar_start_options: Option<String>,
    /// JDK.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jdk: Option<String>,
    /// Kafka log setup, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kafka_configs: Option<String>,
    /// labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// liveness probe, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub liveness: Option<String>,
    /// Loki setup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loki_configs: Option<String>,
    /// same as a percentage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_surge_instance_ratio: Option<i64>,
    /// extra instances while releasing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_surge_instances: Option<i64>,
    /// memory in MB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<i64>,
    /// registry kind (0 built in, 1 own, 2 MSE).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub micro_registration: Option<String>,
    /// registry setup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub micro_registration_config: Option<String>,
    /// governance setup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub microservice_engine_config: Option<String>,
    /// same as a percentage; -1 off; wins over MinReadyInstances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_ready_instance_ratio: Option<i64>,
    /// fewest instances kept ready; see SEMANTICS.md.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_ready_instances: Option<i64>,
    /// NAS mounts (old).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount_desc: Option<Vec<DescribeApplicationConfigDataMountDesc>>,
    /// NAS address (old).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount_host: Option<String>,
    /// MSE application id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mse_application_id: Option<String>,
    /// MSE application name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mse_application_name: Option<String>,
    /// namespace id, region\[:short\].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_id: Option<String>,
    /// NAS mounts, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nas_configs: Option<String>,
    /// NAS id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nas_id: Option<String>,
    /// edition: lite, std, pro.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_sae_version: Option<String>,
    /// RAM role for pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oidc_role_name: Option<String>,
    /// OSS key id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oss_ak_id: Option<String>,
    /// OSS key secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oss_ak_secret: Option<String>,
    /// OSS mounts, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oss_mount_descs: Option<Vec<DescribeApplicationConfigDataOssMountDescs>>,
    /// package kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package_type: Option<String>,
    /// package address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package_url: Option<String>,
    /// package version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package_version: Option<String>,
    /// PHP version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub php: Option<String>,
    /// PHP monitoring config path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub php_arms_config_location: Option<String>,
    /// php.ini text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub php_config: Option<String>,
    /// php.ini path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub php_config_location: Option<String>,
    /// hook after start, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub post_start: Option<String>,
    /// hook before stop, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pre_stop: Option<String>,
    /// language.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub programming_language: Option<String>,
    /// service discovery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pvtz_discovery: Option<String>,
    /// Python version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub python: Option<String>,
    /// extra modules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub python_modules: Option<String>,
    /// RASP setup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rasp_config: Option<Vec<DescribeApplicationConfigDataRaspConfig>>,
    /// readiness probe, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readiness: Option<String>,
    /// region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region_id: Option<String>,
    /// instances wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i64>,
    /// always application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_type: Option<String>,
    /// secret mounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_mount_desc: Option<Vec<DescribeApplicationConfigDataSecretMountDesc>>,
    /// security group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_group_id: Option<String>,
    /// gray tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_tags: Option<BTreeMap<String, String>>,
    /// sidecars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sidecar_containers_config:
        Option<Vec<DescribeApplicationConfigDataSidecarContainersConfig>>,
    /// log setup, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sls_configs: Option<String>,
    /// log tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sls_log_env_tags: Option<String>,
    /// startup probe, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub startup_probe: Option<String>,
    /// swimlane discovery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swimlane_pvtz_discovery: Option<String>,
    /// tags to bind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<DescribeApplicationConfigDataTags>>,
    /// seconds allowed for graceful stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub termination_grace_period_seconds: Option<i64>,
    /// time zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// Tomcat setup, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tomcat_config: Option<String>,
    /// release plan, JSON text; see SEMANTICS.md.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_strategy: Option<String>,
    /// vSwitch id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub v_switch_id: Option<String>,
    /// VPC id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vpc_id: Option<String>,
    /// war options.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub war_start_options: Option<String>,
    /// Tomcat version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web_container: Option<String>,
}

impl std::fmt::Debug for DescribeApplicationConfigData {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Holds a secret, so none of its members is shown.
        f.debug_struct("DescribeApplicationConfigData")
            .finish_non_exhaustive()
    }
}

/// `DescribeApplicationConfigResponseBodyDataConfigMapMountDesc` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeApplicationConfigDataConfigMapMountDesc {
    /// config map id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_id: Option<i64>,
    /// config map name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_name: Option<String>,
    /// search word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// path inside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount_path: Option<String>,
}

/// `DescribeApplicationConfigResponseBodyDataEmptyDirDesc` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeApplicationConfigDataEmptyDirDesc {
    /// path inside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount_path: Option<String>,
    /// name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// `DescribeApplicationConfigResponseBodyDataInitContainersConfig` of the contract.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeApplicationConfigDataInitContainersConfig {
    /// start command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// start arguments, JSON text array.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command_args: Option<String>,
    /// config map mounts, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_mount_desc:
        Option<Vec<DescribeApplicationConfigDataInitContainersConfigConfigMapMountDesc>>,
    /// shared scratch space.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub empty_dir_desc: Option<Vec<DescribeApplicationConfigDataInitContainersConfigEmptyDirDesc>>,
    /// environment, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envs: Option<String>,
    /// image address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_url: Option<String>,
    /// name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// secret mounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_mount_desc:
        Option<Vec<DescribeApplicationConfigDataInitContainersConfigSecretMountDesc>>,
}

impl std::fmt::Debug for DescribeApplicationConfigDataInitContainersConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Holds a secret, so none of its members is shown.
        f.debug_struct("DescribeApplicationConfigDataInitContainersConfig")
            .finish_non_exhaustive()
    }
}

/// `DescribeApplicationConfigResponseBodyDataInitContainersConfigConfigMapMountDesc` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeApplicationConfigDataInitContainersConfigConfigMapMountDesc {
    /// config map id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_id: Option<i64>,
    /// config map name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_name: Option<String>,
    /// search word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// path inside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount_path: Option<String>,
}

/// `DescribeApplicationConfigResponseBodyDataInitContainersConfigEmptyDirDesc` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeApplicationConfigDataInitContainersConfigEmptyDirDesc {
    /// path inside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount_path: Option<String>,
    /// name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// `DescribeApplicationConfigResponseBodyDataInitContainersConfigSecretMountDesc` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeApplicationConfigDataInitContainersConfigSecretMountDesc {
    /// search word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// path inside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount_path: Option<String>,
    /// secret id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_id: Option<i64>,
    /// secret name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_name: Option<String>,
}

/// `DescribeApplicationConfigResponseBodyDataMountDesc` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeApplicationConfigDataMountDesc {
    /// path inside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount_path: Option<String>,
    /// path on NAS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nas_path: Option<String>,
}

/// `DescribeApplicationConfigResponseBodyDataOssMountDescs` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeApplicationConfigDataOssMountDescs {
    /// bucket.
    #[serde(
        rename = "bucketName",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub bucket_name: Option<String>,
    /// object path.
    #[serde(
        rename = "bucketPath",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub bucket_path: Option<String>,
    /// path inside.
    #[serde(rename = "mountPath", default, skip_serializing_if = "Option::is_none")]
    pub mount_path: Option<String>,
    /// read only.
    #[serde(rename = "readOnly", default, skip_serializing_if = "Option::is_none")]
    pub read_only: Option<bool>,
}

/// `DescribeApplicationConfigResponseBodyDataRaspConfig` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeApplicationConfigDataRaspConfig {
    /// RASP on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_rasp: Option<bool>,
    /// RASP key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rasp_app_key: Option<String>,
    /// RASP name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rasp_app_name: Option<String>,
}

/// `DescribeApplicationConfigResponseBodyDataSecretMountDesc` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeApplicationConfigDataSecretMountDesc {
    /// search word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// path inside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount_path: Option<String>,
    /// secret id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_id: Option<i64>,
    /// secret name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_name: Option<String>,
}

/// `DescribeApplicationConfigResponseBodyDataSidecarContainersConfig` of the contract.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeApplicationConfigDataSidecarContainersConfig {
    /// ACR enterprise instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acr_instance_id: Option<String>,
    /// start command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// start arguments, JSON text array.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command_args: Option<String>,
    /// config map mounts, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_mount_desc:
        Option<Vec<DescribeApplicationConfigDataSidecarContainersConfigConfigMapMountDesc>>,
    /// CPU in millicores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<i64>,
    /// shared scratch space.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub empty_dir_desc:
        Option<Vec<DescribeApplicationConfigDataSidecarContainersConfigEmptyDirDesc>>,
    /// environment, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envs: Option<String>,
    /// image address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_url: Option<String>,
    /// liveness probe, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub liveness: Option<String>,
    /// memory in MB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<i64>,
    /// name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// hook after start, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub post_start: Option<String>,
    /// hook before stop, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pre_stop: Option<String>,
    /// readiness probe, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readiness: Option<String>,
    /// secret mounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_mount_desc:
        Option<Vec<DescribeApplicationConfigDataSidecarContainersConfigSecretMountDesc>>,
}

impl std::fmt::Debug for DescribeApplicationConfigDataSidecarContainersConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Holds a secret, so none of its members is shown.
        f.debug_struct("DescribeApplicationConfigDataSidecarContainersConfig")
            .finish_non_exhaustive()
    }
}

/// `DescribeApplicationConfigResponseBodyDataSidecarContainersConfigConfigMapMountDesc` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeApplicationConfigDataSidecarContainersConfigConfigMapMountDesc {
    /// config map id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_id: Option<i64>,
    /// config map name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_name: Option<String>,
    /// search word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// path inside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount_path: Option<String>,
}

/// `DescribeApplicationConfigResponseBodyDataSidecarContainersConfigEmptyDirDesc` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeApplicationConfigDataSidecarContainersConfigEmptyDirDesc {
    /// path inside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount_path: Option<String>,
    /// name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// `DescribeApplicationConfigResponseBodyDataSidecarContainersConfigSecretMountDesc` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeApplicationConfigDataSidecarContainersConfigSecretMountDesc {
    /// search word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// path inside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount_path: Option<String>,
    /// secret id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_id: Option<i64>,
    /// secret name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_name: Option<String>,
}

/// `DescribeApplicationConfigResponseBodyDataTags` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeApplicationConfigDataTags {
    /// search word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// `DescribeApplicationGroupsResponseBodyData` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeApplicationGroupsData {
    /// HSF runtime version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edas_container_version: Option<String>,
    /// instance group id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_id: Option<String>,
    /// group name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_name: Option<String>,
    /// group kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_type: Option<i64>,
    /// image address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_url: Option<String>,
    /// JDK.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jdk: Option<String>,
    /// package kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package_type: Option<String>,
    /// package address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package_url: Option<String>,
    /// package version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package_version: Option<String>,
    /// package version id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package_version_id: Option<String>,
    /// instances wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i64>,
    /// running instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running_instances: Option<i64>,
    /// Tomcat version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web_container: Option<String>,
}

/// `DescribeApplicationImageResponseBodyData` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeApplicationImageData {
    /// reserved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cr_url: Option<String>,
    /// reserved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logo: Option<String>,
    /// region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region_id: Option<String>,
    /// repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo_name: Option<String>,
    /// repository namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo_namespace: Option<String>,
    /// registry kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo_origin_type: Option<String>,
    /// image tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo_tag: Option<String>,
    /// reserved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo_type: Option<String>,
}

/// `DescribeApplicationInstancesResponseBodyData` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeApplicationInstancesData {
    /// page number, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_page: Option<i64>,
    /// instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instances: Option<Vec<DescribeApplicationInstancesDataInstances>>,
    /// page size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_size: Option<i64>,
    /// rows in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_size: Option<i64>,
}

/// `DescribeApplicationInstancesResponseBodyDataInstances` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeApplicationInstancesDataInstances {
    /// creation began, epoch ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create_time_stamp: Option<i64>,
    /// being debugged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub debug_status: Option<bool>,
    /// elastic IP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eip: Option<String>,
    /// creation done, epoch ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_time_stamp: Option<i64>,
    /// instance group id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_id: Option<String>,
    /// image address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_url: Option<String>,
    /// private IP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_container_ip: Option<String>,
    /// container restarts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_container_restarts: Option<i64>,
    /// container state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_container_status: Option<String>,
    /// health state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_health_status: Option<String>,
    /// instance id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// main container state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub main_container_status: Option<String>,
    /// package version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package_version: Option<String>,
    /// sidecar states.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sidecar_containers_status:
        Option<Vec<DescribeApplicationInstancesDataInstancesSidecarContainersStatus>>,
    /// tags to bind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<DescribeApplicationInstancesDataInstancesTags>>,
    /// timestamp.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<i64>,
    /// traffic state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic_status: Option<String>,
    /// health error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unhealthy_message: Option<String>,
    /// vSwitch id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub v_switch_id: Option<String>,
}

/// `DescribeApplicationInstancesResponseBodyDataInstancesSidecarContainersStatus` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeApplicationInstancesDataInstancesSidecarContainersStatus {
    /// container id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_id: Option<String>,
    /// container state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_status: Option<String>,
    /// image address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_url: Option<String>,
}

/// `DescribeApplicationInstancesResponseBodyDataInstancesTags` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeApplicationInstancesDataInstancesTags {
    /// search word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// `DescribeApplicationScalingRuleResponseBodyData` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeApplicationScalingRuleData {
    /// application id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_id: Option<String>,
    /// creation time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create_time: Option<i64>,
    /// last switched off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_disable_time: Option<i64>,
    /// metric rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<DescribeApplicationScalingRuleDataMetric>,
    /// same as a percentage; -1 off; wins over MinReadyInstances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_ready_instance_ratio: Option<i64>,
    /// fewest instances kept ready; see SEMANTICS.md.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_ready_instances: Option<i64>,
    /// scaling rule on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_rule_enabled: Option<bool>,
    /// rule name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_rule_name: Option<String>,
    /// rule kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_rule_type: Option<String>,
    /// timed rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timer: Option<DescribeApplicationScalingRuleDataTimer>,
    /// last change time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_time: Option<i64>,
}

/// `DescribeApplicationScalingRuleResponseBodyDataMetric` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeApplicationScalingRuleDataMetric {
    /// most instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_replicas: Option<i64>,
    /// metric targets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Vec<DescribeApplicationScalingRuleDataMetricMetrics>>,
    /// metric rule state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics_status: Option<DescribeApplicationScalingRuleDataMetricMetricsStatus>,
    /// fewest instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_replicas: Option<i64>,
    /// scale-in limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_down_rules: Option<DescribeApplicationScalingRuleDataMetricScaleDownRules>,
    /// scale-out limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_up_rules: Option<DescribeApplicationScalingRuleDataMetricScaleUpRules>,
}

/// `DescribeApplicationScalingRuleResponseBodyDataMetricMetrics` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeApplicationScalingRuleDataMetricMetrics {
    /// target value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric_target_average_utilization: Option<i64>,
    /// metric kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric_type: Option<String>,
    /// SLB id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slb_id: Option<String>,
    /// SLB log store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slb_logstore: Option<String>,
    /// SLB log project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slb_project: Option<String>,
    /// SLB port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vport: Option<String>,
}

/// `DescribeApplicationScalingRuleResponseBodyDataMetricMetricsStatus` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeApplicationScalingRuleDataMetricMetricsStatus {
    /// metric values now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_metrics:
        Option<Vec<DescribeApplicationScalingRuleDataMetricMetricsStatusCurrentMetrics>>,
    /// instances now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_replicas: Option<i64>,
    /// instances aimed at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired_replicas: Option<i64>,
    /// last scaling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_scale_time: Option<String>,
    /// next scaling points.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_scale_metrics:
        Option<Vec<DescribeApplicationScalingRuleDataMetricMetricsStatusNextScaleMetrics>>,
    /// next period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_scale_time_period: Option<i64>,
}

/// `DescribeApplicationScalingRuleResponseBodyDataMetricMetricsStatusCurrentMetrics` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeApplicationScalingRuleDataMetricMetricsStatusCurrentMetrics {
    /// value now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_value: Option<i64>,
    /// name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub type_: Option<String>,
}

/// `DescribeApplicationScalingRuleResponseBodyDataMetricMetricsStatusNextScaleMetrics` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeApplicationScalingRuleDataMetricMetricsStatusNextScaleMetrics {
    /// name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// next scale-in point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_scale_in_average_utilization: Option<i64>,
    /// next scale-out point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_scale_out_average_utilization: Option<i64>,
}

/// `DescribeApplicationScalingRuleResponseBodyDataMetricScaleDownRules` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeApplicationScalingRuleDataMetricScaleDownRules {
    /// direction switched off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
    /// cool-down, 0..3600 s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stabilization_window_seconds: Option<i64>,
    /// instances per step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<i64>,
}

/// `DescribeApplicationScalingRuleResponseBodyDataMetricScaleUpRules` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeApplicationScalingRuleDataMetricScaleUpRules {
    /// direction switched off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
    /// cool-down, 0..3600 s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stabilization_window_seconds: Option<i64>,
    /// instances per step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<i64>,
}

/// `DescribeApplicationScalingRuleResponseBodyDataTimer` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeApplicationScalingRuleDataTimer {
    /// first day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begin_date: Option<String>,
    /// last day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_date: Option<String>,
    /// recurrence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<String>,
    /// trigger times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedules: Option<Vec<DescribeApplicationScalingRuleDataTimerSchedules>>,
}

/// `DescribeApplicationScalingRuleResponseBodyDataTimerSchedules` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeApplicationScalingRuleDataTimerSchedules {
    /// HH:mm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_time: Option<String>,
    /// most instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_replicas: Option<i64>,
    /// fewest instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_replicas: Option<i64>,
    /// instances to set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_replicas: Option<i64>,
}

/// `DescribeApplicationScalingRulesResponseBodyData` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeApplicationScalingRulesData {
    /// scaling rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application_scaling_rules:
        Option<Vec<DescribeApplicationScalingRulesDataApplicationScalingRules>>,
    /// page number, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_page: Option<i64>,
    /// page size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_size: Option<i64>,
    /// rows in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_size: Option<i64>,
}

/// `DescribeApplicationScalingRulesResponseBodyDataApplicationScalingRules` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeApplicationScalingRulesDataApplicationScalingRules {
    /// application id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_id: Option<String>,
    /// creation time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create_time: Option<i64>,
    /// last switched off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_disable_time: Option<i64>,
    /// metric rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<DescribeApplicationScalingRulesDataApplicationScalingRulesMetric>,
    /// same as a percentage; -1 off; wins over MinReadyInstances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_ready_instance_ratio: Option<i64>,
    /// fewest instances kept ready; see SEMANTICS.md.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_ready_instances: Option<i64>,
    /// scaling rule on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_rule_enabled: Option<bool>,
    /// rule name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_rule_name: Option<String>,
    /// rule kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_rule_type: Option<String>,
    /// timed rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timer: Option<DescribeApplicationScalingRulesDataApplicationScalingRulesTimer>,
    /// last change time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_time: Option<i64>,
}

/// `DescribeApplicationScalingRulesResponseBodyDataApplicationScalingRulesMetric` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeApplicationScalingRulesDataApplicationScalingRulesMetric {
    /// most instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_replicas: Option<i64>,
    /// metric source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric_source: Option<String>,
    /// metric targets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics:
        Option<Vec<DescribeApplicationScalingRulesDataApplicationScalingRulesMetricMetrics>>,
    /// metric rule state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics_status:
        Option<DescribeApplicationScalingRulesDataApplicationScalingRulesMetricMetricsStatus>,
    /// fewest instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_replicas: Option<i64>,
    /// Prometheus metrics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus_metrics: Option<
        Vec<DescribeApplicationScalingRulesDataApplicationScalingRulesMetricPrometheusMetrics>,
    >,
    /// token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus_token: Option<String>,
    /// address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus_url: Option<String>,
    /// scale-in limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_down_rules:
        Option<DescribeApplicationScalingRulesDataApplicationScalingRulesMetricScaleDownRules>,
    /// scale-out limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_up_rules:
        Option<DescribeApplicationScalingRulesDataApplicationScalingRulesMetricScaleUpRules>,
}

/// `DescribeApplicationScalingRulesResponseBodyDataApplicationScalingRulesMetricMetrics` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeApplicationScalingRulesDataApplicationScalingRulesMetricMetrics {
    /// target value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric_target_average_utilization: Option<i64>,
    /// metric kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric_type: Option<String>,
    /// SLB id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slb_id: Option<String>,
    /// SLB log store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slb_logstore: Option<String>,
    /// SLB log project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slb_project: Option<String>,
    /// SLB port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vport: Option<String>,
}

/// `DescribeApplicationScalingRulesResponseBodyDataApplicationScalingRulesMetricMetricsStatus` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeApplicationScalingRulesDataApplicationScalingRulesMetricMetricsStatus {
/// metric values now.
#[serde(default, skip_serializing_if = "Option::is_none")]
pub current_metrics: Option<Vec<DescribeApplicationScalingRulesDataApplicationScalingRulesMetricMetricsStatusCurrentMetrics>>,
/// instances now.
#[serde(default, skip_serializing_if = "Option::is_none")]
pub current_replicas: Option<i64>,
/// instances aimed at.
#[serde(default, skip_serializing_if = "Option::is_none")]
pub desired_replicas: Option<i64>,
/// last scaling.
#[serde(default, skip_serializing_if = "Option::is_none")]
pub last_scale_time: Option<String>,
/// most instances.
#[serde(default, skip_serializing_if = "Option::is_none")]
pub max_replicas: Option<i64>,
/// fewest instances.
#[serde(default, skip_serializing_if = "Option::is_none")]
pub min_replicas: Option<i64>,
/// next scaling points.
#[serde(default, skip_serializing_if = "Option::is_none")]
pub next_scale_metrics: Option<Vec<DescribeApplicationScalingRulesDataApplicationScalingRulesMetricMetricsStatusNextScaleMetrics>>,
/// next period.
#[serde(default, skip_serializing_if = "Option::is_none")]
pub next_scale_time_period: Option<i64>,
}

/// `DescribeApplicationScalingRulesResponseBodyDataApplicationScalingRulesMetricMetricsStatusCurrentMetrics` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeApplicationScalingRulesDataApplicationScalingRulesMetricMetricsStatusCurrentMetrics
{
    /// value now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_value: Option<i64>,
    /// name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub type_: Option<String>,
}

/// `DescribeApplicationScalingRulesResponseBodyDataApplicationScalingRulesMetricMetricsStatusNextScaleMetrics` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeApplicationScalingRulesDataApplicationScalingRulesMetricMetricsStatusNextScaleMetrics
{
    /// name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// next scale-in point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_scale_in_average_utilization: Option<i64>,
    /// next scale-out point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_scale_out_average_utilization: Option<i64>,
}

/// `DescribeApplicationScalingRulesResponseBodyDataApplicationScalingRulesMetricPrometheusMetrics` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeApplicationScalingRulesDataApplicationScalingRulesMetricPrometheusMetrics {
    /// query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus_query: Option<String>,
    /// target value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_metric_value: Option<String>,
}

/// `DescribeApplicationScalingRulesResponseBodyDataApplicationScalingRulesMetricScaleDownRules` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeApplicationScalingRulesDataApplicationScalingRulesMetricScaleDownRules {
    /// direction switched off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
    /// cool-down, 0..3600 s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stabilization_window_seconds: Option<i64>,
    /// instances per step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<i64>,
}

/// `DescribeApplicationScalingRulesResponseBodyDataApplicationScalingRulesMetricScaleUpRules` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeApplicationScalingRulesDataApplicationScalingRulesMetricScaleUpRules {
    /// direction switched off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
    /// cool-down, 0..3600 s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stabilization_window_seconds: Option<i64>,
    /// instances per step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<i64>,
}

/// `DescribeApplicationScalingRulesResponseBodyDataApplicationScalingRulesTimer` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeApplicationScalingRulesDataApplicationScalingRulesTimer {
    /// first day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begin_date: Option<String>,
    /// last day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_date: Option<String>,
    /// recurrence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<String>,
    /// trigger times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedules:
        Option<Vec<DescribeApplicationScalingRulesDataApplicationScalingRulesTimerSchedules>>,
    /// time zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
}

/// `DescribeApplicationScalingRulesResponseBodyDataApplicationScalingRulesTimerSchedules` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeApplicationScalingRulesDataApplicationScalingRulesTimerSchedules {
    /// HH:mm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_time: Option<String>,
    /// most instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_replicas: Option<i64>,
    /// fewest instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_replicas: Option<i64>,
    /// instances to set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_replicas: Option<i64>,
}

/// `DescribeApplicationStatusResponseBodyData` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeApplicationStatusData {
    /// application id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_id: Option<String>,
    /// ARMS advanced on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arms_advanced_enabled: Option<String>,
    /// ARMS facts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arms_apm_info: Option<String>,
    /// creation time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create_time: Option<String>,
    /// application state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_status: Option<String>,
    /// agent on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_agent: Option<bool>,
    /// file cap, KB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_size_limit: Option<i64>,
    /// latest change order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_change_order_id: Option<String>,
    /// latest change order still runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_change_order_running: Option<bool>,
    /// latest change order state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_change_order_status: Option<String>,
    /// running instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running_instances: Option<i64>,
    /// abnormal sub state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub_status: Option<String>,
}

/// `DescribeChangeOrderResponseBodyData` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeChangeOrderData {
    /// application id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_id: Option<String>,
    /// application name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_name: Option<String>,
    /// gray tag routing on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application_enable_grey_tag_route: Option<bool>,
    /// strategy in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application_update_strategy: Option<String>,
    /// approval id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_id: Option<String>,
    /// batches release by themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto: Option<bool>,
    /// batches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_count: Option<i64>,
    /// batch mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_type: Option<String>,
    /// wait between batches (docs say minutes here, seconds in requests).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_wait_time: Option<i64>,
    /// change order id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_order_id: Option<String>,
    /// change type, words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub co_type: Option<String>,
    /// change type, code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub co_type_code: Option<String>,
    /// creation time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create_time: Option<String>,
    /// batch now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_pipeline_id: Option<String>,
    /// free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// error text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// batches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipelines: Option<Vec<DescribeChangeOrderDataPipelines>>,
    /// status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<i64>,
    /// abnormal sub state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub_status: Option<i64>,
    /// can be rolled back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub support_rollback: Option<bool>,
}

/// `DescribeChangeOrderResponseBodyDataPipelines` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeChangeOrderDataPipelines {
    /// batch mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_type: Option<i64>,
    /// instances per batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallel_count: Option<i64>,
    /// batch id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline_id: Option<String>,
    /// batch name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline_name: Option<String>,
    /// start time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<i64>,
    /// status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<i64>,
    /// last change time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_time: Option<i64>,
}

/// `DescribeNamespaceListResponseBodyData` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeNamespaceListData {
    /// agent install command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_install: Option<String>,
    /// dead field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<bool>,
    /// is custom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom: Option<bool>,
    /// hybrid cloud.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hybrid_cloud_enable: Option<bool>,
    /// namespace short id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_space_short_id: Option<String>,
    /// namespace id, region\[:short\].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_id: Option<String>,
    /// namespace name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_name: Option<String>,
    /// region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region_id: Option<String>,
    /// security group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_group_id: Option<String>,
    /// vSwitch id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub v_switch_id: Option<String>,
    /// VPC id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vpc_id: Option<String>,
}

/// `DescribeNamespaceResourcesResponseBodyData` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeNamespaceResourcesData {
    /// APM agent version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apm_java_agent_version: Option<String>,
    /// applications.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_count: Option<i64>,
    /// region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub belong_region: Option<String>,
    /// free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// jump host application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jump_server_app_id: Option<String>,
    /// jump host IP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jump_server_ip: Option<String>,
    /// latest change order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_change_order_id: Option<String>,
    /// latest change order still runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_change_order_running: Option<bool>,
    /// latest change order state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_change_order_status: Option<String>,
    /// namespace short id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_space_short_id: Option<String>,
    /// namespace id, region\[:short\].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_id: Option<String>,
    /// namespace name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_name: Option<String>,
    /// notice expired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notification_expired: Option<bool>,
    /// security group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_group_id: Option<String>,
    /// log setup, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sls_configs: Option<String>,
    /// tenant id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
    /// user id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// vSwitch id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub v_switch_id: Option<String>,
    /// vSwitch name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub v_switch_name: Option<String>,
    /// VPC id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vpc_id: Option<String>,
    /// VPC name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vpc_name: Option<String>,
}

/// `DescribeNamespaceResponseBodyData` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeNamespaceData {
    /// built-in registry on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_micro_registration: Option<bool>,
    /// namespace short id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_space_short_id: Option<String>,
    /// namespace text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_description: Option<String>,
    /// namespace id, region\[:short\].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_id: Option<String>,
    /// namespace name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_name: Option<String>,
    /// region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region_id: Option<String>,
}

/// `DescribeNamespacesResponseBodyData` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeNamespacesData {
    /// page number, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_page: Option<i64>,
    /// namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<Vec<DescribeNamespacesDataNamespaces>>,
    /// page size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_size: Option<i64>,
    /// rows in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_size: Option<i64>,
}

/// `DescribeNamespacesResponseBodyDataNamespaces` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeNamespacesDataNamespaces {
    /// ACM access key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_key: Option<String>,
    /// address server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address_server_host: Option<String>,
    /// namespace short id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_space_short_id: Option<String>,
    /// namespace text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_description: Option<String>,
    /// namespace id, region\[:short\].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_id: Option<String>,
    /// namespace name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_name: Option<String>,
    /// region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region_id: Option<String>,
    /// ACM secret key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key: Option<String>,
    /// tenant id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
}

/// `DescribePipelineResponseBodyData` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribePipelineData {
    /// change order state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub co_status: Option<String>,
    /// stage now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_stage_id: Option<String>,
    /// next batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_pipeline_id: Option<String>,
    /// batch id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline_id: Option<String>,
    /// batch name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline_name: Option<String>,
    /// batch state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline_status: Option<i64>,
    /// next batch may start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub show_batch: Option<bool>,
    /// stages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage_list: Option<Vec<DescribePipelineDataStageList>>,
}

/// `DescribePipelineResponseBodyDataStageList` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribePipelineDataStageList {
    /// serial or parallel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executor_type: Option<i64>,
    /// stage id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage_id: Option<String>,
    /// stage name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage_name: Option<String>,
    /// status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<i64>,
    /// tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_list: Option<Vec<DescribePipelineDataStageListTaskList>>,
}

/// `DescribePipelineResponseBodyDataStageListTaskList` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribePipelineDataStageListTaskList {
    /// error code, absent on success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
    /// later tasks may go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_ignore: Option<i64>,
    /// error text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// message, success on success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// may be skipped by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub show_manual_ignore: Option<bool>,
    /// stage id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage_id: Option<String>,
    /// status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<i64>,
    /// task id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<String>,
    /// task name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_name: Option<String>,
}

/// `DescribeRegionsResponseBodyRegions` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeRegionsRegions {
    /// region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Vec<DescribeRegionsRegionsRegion>>,
}

/// `DescribeRegionsResponseBodyRegionsRegion` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeRegionsRegionsRegion {
    /// region display name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_name: Option<String>,
    /// zones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recommend_zones: Option<DescribeRegionsRegionsRegionRecommendZones>,
    /// endpoint host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region_endpoint: Option<String>,
    /// region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region_id: Option<String>,
}

/// `DescribeRegionsResponseBodyRegionsRegionRecommendZones` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeRegionsRegionsRegionRecommendZones {
    /// zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recommend_zone: Option<Vec<String>>,
}

/// `GetApplicationResponseBodyApplication` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetApplicationApplication {
    /// application text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_description: Option<String>,
    /// application id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_id: Option<String>,
    /// application name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_name: Option<String>,
    /// baseline application (swimlanes).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_app_id: Option<String>,
    /// CPU in millicores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<i64>,
    /// instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instances: Option<i64>,
    /// stateful application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_stateful: Option<bool>,
    /// memory in MB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mem: Option<i64>,
    /// MSE on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mse_enabled: Option<bool>,
    /// MSE namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mse_namespace_id: Option<String>,
    /// namespace id, region\[:short\].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_id: Option<String>,
    /// language.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub programming_language: Option<String>,
    /// running instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running_instances: Option<i64>,
    /// scaling rule on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_rule_enabled: Option<String>,
    /// rule kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_rule_type: Option<String>,
}

/// `GetChangeOrderMetricResponseBodyData` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetChangeOrderMetricData {
    /// application id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_id: Option<String>,
    /// mean duration, ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avg_time_cost_ms: Option<f64>,
    /// failed count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<i64>,
    /// failed share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_percent: Option<f64>,
    /// longest duration, ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_time_cost_ms: Option<f64>,
    /// name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// advice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optimize_suggestions: Option<String>,
    /// region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region_id: Option<String>,
    /// mean task time, ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_time_cost_ms_avg: Option<String>,
    /// count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<i64>,
}

/// `InitContainerConfig` of the contract.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct InitContainerConfig {
    /// start command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// start arguments, JSON text array.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command_args: Option<String>,
    /// config map mounts, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_mount_desc: Option<String>,
    /// shared scratch space.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub empty_dir_desc: Option<String>,
    /// environment, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envs: Option<String>,
    /// image address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_url: Option<String>,
    /// name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// secret mounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_mount_desc: Option<String>,
}

impl std::fmt::Debug for InitContainerConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Holds a secret, so none of its members is shown.
        f.debug_struct("InitContainerConfig")
            .finish_non_exhaustive()
    }
}

/// `ListAppEventsResponseBodyData` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListAppEventsData {
    /// event rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_event_entity: Option<Vec<ListAppEventsDataAppEventEntity>>,
    /// page number, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_page: Option<i64>,
    /// page size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_size: Option<i64>,
    /// rows in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_size: Option<i64>,
}

/// `ListAppEventsResponseBodyDataAppEventEntity` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListAppEventsDataAppEventEntity {
    /// likely cause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause_analysis: Option<String>,
    /// Warning or Normal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_type: Option<String>,
    /// first seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_timestamp: Option<String>,
    /// last seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_timestamp: Option<String>,
    /// message, success on success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// object kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_kind: Option<String>,
    /// object name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_name: Option<String>,
    /// reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// `ListAppVersionsResponseBodyData` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListAppVersionsData {
    /// package address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build_package_url: Option<String>,
    /// creation time, epoch ms as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create_time: Option<String>,
    /// version id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// version kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub type_: Option<String>,
    /// image or package address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub war_url: Option<String>,
}

/// `ListApplicationsResponseBodyData` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListApplicationsData {
    /// applications.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applications: Option<Vec<ListApplicationsDataApplications>>,
    /// page number, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_page: Option<i64>,
    /// page size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_size: Option<i64>,
    /// rows in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_size: Option<i64>,
}

/// `ListApplicationsResponseBodyDataApplications` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListApplicationsDataApplications {
    /// being deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_deleting_status: Option<bool>,
    /// application text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_description: Option<String>,
    /// application id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_id: Option<String>,
    /// application name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_name: Option<String>,
    /// application kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_type: Option<String>,
    /// baseline application (swimlanes).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_app_id: Option<String>,
    /// child rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub children: Option<Vec<ListApplicationsDataApplicationsChildren>>,
    /// CPU in millicores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<i64>,
    /// ephemeral disk GB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_size: Option<i64>,
    /// idle mode on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_idle: Option<String>,
    /// image address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_url: Option<String>,
    /// instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instances: Option<i64>,
    /// stateful application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_stateful: Option<bool>,
    /// labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// memory in MB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mem: Option<i64>,
    /// MSE on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mse_enabled: Option<bool>,
    /// MSE namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mse_namespace_id: Option<String>,
    /// namespace id, region\[:short\].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_id: Option<String>,
    /// namespace name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_name: Option<String>,
    /// edition: lite, std, pro.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_sae_version: Option<String>,
    /// package address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package_url: Option<String>,
    /// language.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub programming_language: Option<String>,
    /// RASP on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rasp_enabled: Option<bool>,
    /// region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region_id: Option<String>,
    /// always application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_type: Option<String>,
    /// running instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running_instances: Option<i64>,
    /// tags to bind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<ListApplicationsDataApplicationsTags>>,
    /// VPC id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vpc_id: Option<String>,
}

/// `ListApplicationsResponseBodyDataApplicationsChildren` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListApplicationsDataApplicationsChildren {
    /// being deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_deleting_status: Option<bool>,
    /// application text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_description: Option<String>,
    /// application id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_id: Option<String>,
    /// application name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_name: Option<String>,
    /// application kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_type: Option<String>,
    /// baseline application (swimlanes).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_app_id: Option<String>,
    /// CPU in millicores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<i64>,
    /// idle mode on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_idle: Option<String>,
    /// instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instances: Option<i64>,
    /// stateful application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_stateful: Option<bool>,
    /// memory in MB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mem: Option<i64>,
    /// MSE on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mse_enabled: Option<bool>,
    /// namespace id, region\[:short\].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_id: Option<String>,
    /// namespace name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_name: Option<String>,
    /// edition: lite, std, pro.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_sae_version: Option<String>,
    /// language.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub programming_language: Option<String>,
    /// region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region_id: Option<String>,
    /// always application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_type: Option<String>,
    /// running instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running_instances: Option<i64>,
    /// scaling rule on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_rule_enabled: Option<bool>,
    /// rule kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_rule_type: Option<String>,
    /// tags to bind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<ListApplicationsDataApplicationsChildrenTags>>,
}

/// `ListApplicationsResponseBodyDataApplicationsChildrenTags` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListApplicationsDataApplicationsChildrenTags {
    /// search word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// `ListApplicationsResponseBodyDataApplicationsTags` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListApplicationsDataApplicationsTags {
    /// search word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// `ListChangeOrdersResponseBodyData` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListChangeOrdersData {
    /// change orders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_order_list: Option<Vec<ListChangeOrdersDataChangeOrderList>>,
    /// page number, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_page: Option<i64>,
    /// page size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_size: Option<i64>,
    /// rows in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_size: Option<i64>,
}

/// `ListChangeOrdersResponseBodyDataChangeOrderList` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListChangeOrdersDataChangeOrderList {
    /// application id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_id: Option<String>,
    /// batches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_count: Option<i64>,
    /// batch mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_type: Option<String>,
    /// change order id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_order_id: Option<String>,
    /// change type, words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub co_type: Option<String>,
    /// change type, code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub co_type_code: Option<String>,
    /// creation time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create_time: Option<String>,
    /// who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create_user_id: Option<String>,
    /// free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// finish time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_time: Option<String>,
    /// instance group id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_id: Option<String>,
    /// who began it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<i64>,
    /// user id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
}

/// `ListNamespaceChangeOrdersResponseBodyData` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListNamespaceChangeOrdersData {
    /// change orders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_order_list: Option<Vec<ListNamespaceChangeOrdersDataChangeOrderList>>,
    /// page number, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_page: Option<i64>,
    /// page size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_size: Option<i64>,
    /// rows in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_size: Option<i64>,
}

/// `ListNamespaceChangeOrdersResponseBodyDataChangeOrderList` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListNamespaceChangeOrdersDataChangeOrderList {
    /// batches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_count: Option<i64>,
    /// batch mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_type: Option<String>,
    /// change order id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_order_id: Option<String>,
    /// change type, words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub co_type: Option<String>,
    /// change type, code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub co_type_code: Option<String>,
    /// creation time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create_time: Option<String>,
    /// who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create_user_id: Option<String>,
    /// free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// finish time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_time: Option<String>,
    /// instance group id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_id: Option<String>,
    /// namespace id, region\[:short\].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_id: Option<String>,
    /// batches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipelines: Option<String>,
    /// who began it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<i64>,
    /// user id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
}

/// `ListTagResourcesResponseBodyData` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListTagResourcesData {
    /// paging token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
    /// tagged resources.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag_resources: Option<Vec<ListTagResourcesDataTagResources>>,
}

/// `ListTagResourcesResponseBodyDataTagResources` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListTagResourcesDataTagResources {
    /// resource id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_id: Option<String>,
    /// always application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_type: Option<String>,
    /// tag key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag_key: Option<String>,
    /// tag value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag_value: Option<String>,
}

/// `QueryResourceStaticsResponseBodyData` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct QueryResourceStaticsData {
    /// use now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub real_time_res: Option<QueryResourceStaticsDataRealTimeRes>,
    /// use this month.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<QueryResourceStaticsDataSummary>,
}

/// `QueryResourceStaticsResponseBodyDataRealTimeRes` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct QueryResourceStaticsDataRealTimeRes {
    /// CPU in millicores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<f64>,
    /// scratch storage use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ephemeral_storage: Option<f64>,
    /// memory in MB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<f64>,
}

/// `QueryResourceStaticsResponseBodyDataSummary` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct QueryResourceStaticsDataSummary {
    /// busy vCPU use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_cpu: Option<f64>,
    /// CPU in millicores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<f64>,
    /// CU used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cu: Option<f64>,
    /// scratch storage use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ephemeral_storage: Option<f64>,
    /// A10 use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu_a10: Option<f64>,
    /// PPU use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu_ppu810e: Option<f64>,
    /// idle vCPU use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_cpu: Option<f64>,
    /// memory in MB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<f64>,
}

/// `ReduceApplicationCapacityByInstanceIdsResponseBodyData` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ReduceApplicationCapacityByInstanceIdsData {
    /// change order id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_order_id: Option<String>,
}

/// `RescaleApplicationResponseBodyData` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RescaleApplicationData {
    /// change order id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_order_id: Option<String>,
}

/// `RescaleApplicationVerticallyResponseBodyData` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RescaleApplicationVerticallyData {
    /// change order id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_order_id: Option<String>,
}

/// `RestartApplicationResponseBodyData` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RestartApplicationData {
    /// change order id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_order_id: Option<String>,
}

/// `RestartInstancesResponseBodyData` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RestartInstancesData {
    /// change order id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_order_id: Option<String>,
}

/// `RollbackApplicationResponseBodyData` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RollbackApplicationData {
    /// change order id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_order_id: Option<String>,
    /// a RAM user's release must be approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_need_approval: Option<bool>,
}

/// `SidecarContainerConfig` of the contract.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SidecarContainerConfig {
    /// ACR enterprise instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acr_instance_id: Option<String>,
    /// start command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// start arguments, JSON text array.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command_args: Option<String>,
    /// config map mounts, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_mount_desc: Option<String>,
    /// CPU in millicores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<i64>,
    /// shared scratch space.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub empty_dir_desc: Option<String>,
    /// environment, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envs: Option<String>,
    /// image address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_url: Option<String>,
    /// liveness probe, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub liveness: Option<String>,
    /// memory in MB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<i64>,
    /// name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// hook after start, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub post_start: Option<String>,
    /// hook before stop, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pre_stop: Option<String>,
    /// readiness probe, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readiness: Option<String>,
    /// secret mounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_mount_desc: Option<String>,
}

impl std::fmt::Debug for SidecarContainerConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Holds a secret, so none of its members is shown.
        f.debug_struct("SidecarContainerConfig")
            .finish_non_exhaustive()
    }
}

/// `StartApplicationResponseBodyData` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StartApplicationData {
    /// change order id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_order_id: Option<String>,
}

/// `StopApplicationResponseBodyData` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StopApplicationData {
    /// change order id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_order_id: Option<String>,
}

/// `UpdateApplicationScalingRuleResponseBodyData` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateApplicationScalingRuleData {
    /// application id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_id: Option<String>,
    /// creation time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create_time: Option<i64>,
    /// idle mode on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_idle: Option<bool>,
    /// last switched off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_disable_time: Option<i64>,
    /// metric rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<UpdateApplicationScalingRuleDataMetric>,
    /// scaling rule on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_rule_enabled: Option<bool>,
    /// rule name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_rule_name: Option<String>,
    /// rule kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_rule_type: Option<String>,
    /// timed rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timer: Option<UpdateApplicationScalingRuleDataTimer>,
    /// last change time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_time: Option<i64>,
}

/// `UpdateApplicationScalingRuleResponseBodyDataMetric` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateApplicationScalingRuleDataMetric {
    /// most instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_replicas: Option<i64>,
    /// metric targets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Vec<UpdateApplicationScalingRuleDataMetricMetrics>>,
    /// fewest instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_replicas: Option<i64>,
}

/// `UpdateApplicationScalingRuleResponseBodyDataMetricMetrics` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateApplicationScalingRuleDataMetricMetrics {
    /// target value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric_target_average_utilization: Option<i64>,
    /// metric kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric_type: Option<String>,
    /// SLB id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slb_id: Option<String>,
    /// SLB log store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slb_logstore: Option<String>,
    /// SLB log project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slb_project: Option<String>,
    /// SLB port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vport: Option<String>,
}

/// `UpdateApplicationScalingRuleResponseBodyDataTimer` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateApplicationScalingRuleDataTimer {
    /// first day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begin_date: Option<String>,
    /// last day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_date: Option<String>,
    /// recurrence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<String>,
    /// trigger times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedules: Option<Vec<UpdateApplicationScalingRuleDataTimerSchedules>>,
}

/// `UpdateApplicationScalingRuleResponseBodyDataTimerSchedules` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateApplicationScalingRuleDataTimerSchedules {
    /// HH:mm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_time: Option<String>,
    /// most instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_replicas: Option<i64>,
    /// fewest instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_replicas: Option<i64>,
    /// instances to set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_replicas: Option<i64>,
}

/// `UpdateNamespaceResponseBodyData` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateNamespaceData {
    /// built-in registry on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_micro_registration: Option<bool>,
    /// namespace short id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_space_short_id: Option<String>,
    /// namespace text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_description: Option<String>,
    /// namespace id, region\[:short\].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_id: Option<String>,
    /// namespace name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_name: Option<String>,
    /// region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region_id: Option<String>,
}

/// Parameters of `AbortAndRollbackChangeOrder`: abort a change order and roll the application back.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AbortAndRollbackChangeOrderRequest {
    /// change order id.
    pub change_order_id: String,
}

/// Result of `AbortAndRollbackChangeOrder`; the envelope adds what all answers have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AbortAndRollbackChangeOrderResponse {
    /// payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<AbortAndRollbackChangeOrderData>,
}

/// Parameters of `AbortChangeOrder`: abort a change order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AbortChangeOrderRequest {
    /// change order id.
    pub change_order_id: String,
    /// also roll back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<bool>,
}

/// Result of `AbortChangeOrder`; the envelope adds what all answers have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AbortChangeOrderResponse {
    /// payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<AbortChangeOrderData>,
}

/// Parameters of `BatchRestartApplications`: restart several applications.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct BatchRestartApplicationsRequest {
    /// application ids, comma separated.
    pub app_ids: String,
    /// namespace id, region\[:short\].
    pub namespace_id: String,
}

/// Result of `BatchRestartApplications`; the envelope adds what all answers have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct BatchRestartApplicationsResponse {
    /// payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<BatchRestartApplicationsData>,
}

/// Parameters of `BatchStartApplications`: start several applications.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct BatchStartApplicationsRequest {
    /// application ids, comma separated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_ids: Option<String>,
    /// namespace id, region\[:short\].
    pub namespace_id: String,
    /// version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// Result of `BatchStartApplications`; the envelope adds what all answers have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct BatchStartApplicationsResponse {
    /// payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<BatchStartApplicationsData>,
}

/// Parameters of `BatchStopApplications`: stop several applications.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct BatchStopApplicationsRequest {
    /// application ids, comma separated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_ids: Option<String>,
    /// namespace id, region\[:short\].
    pub namespace_id: String,
    /// version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// Result of `BatchStopApplications`; the envelope adds what all answers have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct BatchStopApplicationsResponse {
    /// payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<BatchStopApplicationsData>,
}

/// Parameters of `ConfirmPipelineBatch`: let the next batch start, or end the release.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ConfirmPipelineBatchRequest {
    /// go on (true) or end (false).
    pub confirm: bool,
    /// batch id.
    pub pipeline_id: String,
}

/// Result of `ConfirmPipelineBatch`; the envelope adds what all answers have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ConfirmPipelineBatchResponse {
    /// payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<ConfirmPipelineBatchData>,
}

/// Parameters of `CreateApplication`: create an application.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateApplicationRequest {
    /// role for cross-account image pulls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acr_assume_role_arn: Option<String>,
    /// ACR enterprise instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acr_instance_id: Option<String>,
    /// agent version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_version: Option<String>,
    /// application text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_description: Option<String>,
    /// application name.
    pub app_name: String,
    /// application kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_source: Option<String>,
    /// give each instance an EIP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub associate_eip: Option<bool>,
    /// let SAE set up the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_config: Option<bool>,
    /// baseline application (swimlanes).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_app_id: Option<String>,
    /// start command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// start arguments, JSON text array.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command_args: Option<String>,
    /// config map mounts, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_mount_desc: Option<String>,
    /// CPU in millicores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<i64>,
    /// hosts file lines, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_host_alias: Option<String>,
    /// internet or intranet image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_image_network_type: Option<String>,
    /// deploy at once (create: start now).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deploy: Option<bool>,
    /// ephemeral disk GB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_size: Option<i64>,
    /// .NET version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dotnet: Option<String>,
    /// HSF runtime version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edas_container_version: Option<String>,
    /// shared scratch space.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub empty_dir_desc: Option<String>,
    /// CPU burst on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_cpu_burst: Option<bool>,
    /// eBPF monitoring on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_ebpf: Option<String>,
    /// take the namespace's agent version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_namespace_agent_version: Option<bool>,
    /// take the namespace's log setup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_namespace_sls_config: Option<bool>,
    /// new ARMS on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_new_arms: Option<bool>,
    /// Prometheus collection on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_prometheus: Option<bool>,
    /// isolate sidecar resources.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_sidecar_resource_isolated: Option<bool>,
    /// environment, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envs: Option<String>,
    /// GPU setup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu_config: Option<String>,
    /// headless service discovery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headless_pvtz_discovery_svc: Option<String>,
    /// nginx version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub html: Option<String>,
    /// registry secret id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pull_secrets: Option<String>,
    /// image address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_url: Option<String>,
    /// init containers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub init_containers_config: Vec<InitContainerConfig>,
    /// stateful application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_stateful: Option<bool>,
    /// jar arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jar_start_args: Option<String>,
    /// jar options.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jar_start_options: Option<String>,
    /// JDK.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jdk: Option<String>,
    /// Kafka log setup, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kafka_configs: Option<String>,
    /// labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// liveness probe, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub liveness: Option<String>,
    /// Loki setup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loki_configs: Option<String>,
    /// memory in MB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<i64>,
    /// registry kind (0 built in, 1 own, 2 MSE).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub micro_registration: Option<String>,
    /// registry setup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub micro_registration_config: Option<String>,
    /// governance setup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub microservice_engine_config: Option<String>,
    /// NAS mounts (old).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount_desc: Option<String>,
    /// NAS address (old).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount_host: Option<String>,
    /// namespace id, region\[:short\].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_id: Option<String>,
    /// NAS mounts, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nas_configs: Option<String>,
    /// NAS id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nas_id: Option<String>,
    /// edition: lite, std, pro.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_sae_version: Option<String>,
    /// RAM role for pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oidc_role_name: Option<String>,
    /// OSS key id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oss_ak_id: Option<String>,
    /// OSS key secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oss_ak_secret: Option<String>,
    /// OSS mounts, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oss_mount_descs: Option<String>,
    /// package kind.
    pub package_type: String,
    /// package address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package_url: Option<String>,
    /// package version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package_version: Option<String>,
    /// PHP version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub php: Option<String>,
    /// PHP monitoring config path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub php_arms_config_location: Option<String>,
    /// php.ini text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub php_config: Option<String>,
    /// php.ini path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub php_config_location: Option<String>,
    /// hook after start, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub post_start: Option<String>,
    /// hook before stop, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pre_stop: Option<String>,
    /// language.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub programming_language: Option<String>,
    /// service discovery setup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pvtz_discovery_svc: Option<String>,
    /// Python version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub python: Option<String>,
    /// extra modules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub python_modules: Option<String>,
    /// RASP setup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rasp_config: Option<CreateApplicationRequestRaspConfig>,
    /// readiness probe, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readiness: Option<String>,
    /// instances wanted.
    pub replicas: i64,
    /// always application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_type: Option<String>,
    /// edition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sae_version: Option<String>,
    /// secret mounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_mount_desc: Option<String>,
    /// security group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_group_id: Option<String>,
    /// gray tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_tags: Option<String>,
    /// sidecars.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sidecar_containers_config: Vec<SidecarContainerConfig>,
    /// log setup, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sls_configs: Option<String>,
    /// log tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sls_log_env_tags: Option<String>,
    /// startup probe, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub startup_probe: Option<String>,
    /// seconds allowed for graceful stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub termination_grace_period_seconds: Option<i64>,
    /// time zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// Tomcat setup, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tomcat_config: Option<String>,
    /// vSwitch id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub v_switch_id: Option<String>,
    /// VPC id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vpc_id: Option<String>,
    /// war options.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub war_start_options: Option<String>,
    /// Tomcat version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web_container: Option<String>,
}

impl std::fmt::Debug for CreateApplicationRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Holds a secret, so none of its members is shown.
        f.debug_struct("CreateApplicationRequest")
            .finish_non_exhaustive()
    }
}

/// Result of `CreateApplication`; the envelope adds what all answers have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateApplicationResponse {
    /// payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<CreateApplicationData>,
}

/// Parameters of `CreateApplicationScalingRule`: create a scaling rule.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateApplicationScalingRuleRequest {
    /// application id.
    pub app_id: String,
    /// idle mode on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_idle: Option<bool>,
    /// same as a percentage; -1 off; wins over MinReadyInstances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_ready_instance_ratio: Option<i64>,
    /// fewest instances kept ready; see SEMANTICS.md.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_ready_instances: Option<i64>,
    /// rule on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaling_rule_enable: Option<bool>,
    /// metric rule, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaling_rule_metric: Option<String>,
    /// rule name.
    pub scaling_rule_name: String,
    /// timed rule, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaling_rule_timer: Option<String>,
    /// rule kind.
    pub scaling_rule_type: String,
}

/// Result of `CreateApplicationScalingRule`; the envelope adds what all answers have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateApplicationScalingRuleResponse {
    /// payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<CreateApplicationScalingRuleData>,
}

/// Parameters of `CreateNamespace`: create a namespace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateNamespaceRequest {
    /// built-in registry on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_micro_registration: Option<bool>,
    /// namespace short id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_space_short_id: Option<String>,
    /// namespace text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_description: Option<String>,
    /// namespace id, region\[:short\].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_id: Option<String>,
    /// namespace name.
    pub namespace_name: String,
}

/// Result of `CreateNamespace`; the envelope adds what all answers have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateNamespaceResponse {
    /// payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<CreateNamespaceData>,
}

/// Parameters of `DeleteApplication`: delete an application.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteApplicationRequest {
    /// application id.
    pub app_id: String,
}

/// Result of `DeleteApplication`; the envelope adds what all answers have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteApplicationResponse {
    /// payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<DeleteApplicationData>,
}

/// Parameters of `DeleteApplicationScalingRule`: delete a scaling rule.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteApplicationScalingRuleRequest {
    /// application id.
    pub app_id: String,
    /// rule name.
    pub scaling_rule_name: String,
}

/// Result of `DeleteApplicationScalingRule`; the envelope adds what all answers have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteApplicationScalingRuleResponse {}

/// Parameters of `DeleteInstances`: delete chosen instances.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteInstancesRequest {
    /// application id.
    pub app_id: String,
    /// instance ids, comma separated.
    pub instance_ids: String,
}

/// Result of `DeleteInstances`; the envelope adds what all answers have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteInstancesResponse {
    /// payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<DeleteInstancesData>,
}

/// Parameters of `DeleteNamespace`: delete a namespace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteNamespaceRequest {
    /// namespace short id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_space_short_id: Option<String>,
    /// namespace id, region\[:short\].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_id: Option<String>,
}

/// Result of `DeleteNamespace`; the envelope adds what all answers have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteNamespaceResponse {}

/// Parameters of `DeployApplication`: deploy a new version.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeployApplicationRequest {
    /// role for cross-account image pulls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acr_assume_role_arn: Option<String>,
    /// ACR enterprise instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acr_instance_id: Option<String>,
    /// agent version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_version: Option<String>,
    /// ALB readiness gate setup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alb_ingress_readiness_gate: Option<String>,
    /// application id.
    pub app_id: String,
    /// give each instance an EIP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub associate_eip: Option<bool>,
    /// turn the scaling rule back on afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_enable_application_scaling_rule: Option<bool>,
    /// seconds between batches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_wait_time: Option<i64>,
    /// change order text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_order_desc: Option<String>,
    /// start command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// start arguments, JSON text array.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command_args: Option<String>,
    /// config map mounts, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_mount_desc: Option<String>,
    /// CPU in millicores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<i64>,
    /// hosts file lines, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_host_alias: Option<String>,
    /// internet or intranet image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_image_network_type: Option<String>,
    /// deploy at once (create: start now).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deploy: Option<String>,
    /// .NET version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dotnet: Option<String>,
    /// HSF runtime version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edas_container_version: Option<String>,
    /// shared scratch space.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub empty_dir_desc: Option<String>,
    /// AHAS on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_ahas: Option<String>,
    /// CPU burst on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_cpu_burst: Option<bool>,
    /// gray tag routing on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_grey_tag_route: Option<bool>,
    /// take the namespace's agent version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_namespace_agent_version: Option<bool>,
    /// new ARMS on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_new_arms: Option<bool>,
    /// Prometheus collection on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_prometheus: Option<bool>,
    /// isolate sidecar resources.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_sidecar_resource_isolated: Option<bool>,
    /// environment, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envs: Option<String>,
    /// GPU setup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu_config: Option<String>,
    /// nginx version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub html: Option<String>,
    /// registry secret id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pull_secrets: Option<String>,
    /// image address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_url: Option<String>,
    /// init containers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub init_containers_config: Vec<InitContainerConfig>,
    /// jar arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jar_start_args: Option<String>,
    /// jar options.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jar_start_options: Option<String>,
    /// JDK.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jdk: Option<String>,
    /// Kafka log setup, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kafka_configs: Option<String>,
    /// labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// liveness probe, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub liveness: Option<String>,
    /// Loki setup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loki_configs: Option<String>,
    /// same as a percentage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_surge_instance_ratio: Option<i64>,
    /// extra instances while releasing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_surge_instances: Option<i64>,
    /// memory in MB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<i64>,
    /// registry kind (0 built in, 1 own, 2 MSE).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub micro_registration: Option<String>,
    /// registry setup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub micro_registration_config: Option<String>,
    /// governance setup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub microservice_engine_config: Option<String>,
    /// same as a percentage; -1 off; wins over MinReadyInstances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_ready_instance_ratio: Option<i64>,
    /// fewest instances kept ready; see SEMANTICS.md.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_ready_instances: Option<i64>,
    /// NAS mounts (old).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount_desc: Option<String>,
    /// NAS address (old).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount_host: Option<String>,
    /// NAS mounts, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nas_configs: Option<String>,
    /// NAS id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nas_id: Option<String>,
    /// edition: lite, std, pro.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_sae_version: Option<String>,
    /// RAM role for pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oidc_role_name: Option<String>,
    /// OSS key id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oss_ak_id: Option<String>,
    /// OSS key secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oss_ak_secret: Option<String>,
    /// OSS mounts, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oss_mount_descs: Option<String>,
    /// package kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package_type: Option<String>,
    /// package address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package_url: Option<String>,
    /// package version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package_version: Option<String>,
    /// PHP version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub php: Option<String>,
    /// PHP monitoring config path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub php_arms_config_location: Option<String>,
    /// php.ini text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub php_config: Option<String>,
    /// php.ini path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub php_config_location: Option<String>,
    /// hook after start, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub post_start: Option<String>,
    /// hook before stop, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pre_stop: Option<String>,
    /// service discovery setup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pvtz_discovery_svc: Option<String>,
    /// Python version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub python: Option<String>,
    /// extra modules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub python_modules: Option<String>,
    /// RASP setup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rasp_config: Option<DeployApplicationRequestRaspConfig>,
    /// readiness probe, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readiness: Option<String>,
    /// instances wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i64>,
    /// secret mounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_mount_desc: Option<String>,
    /// security group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_group_id: Option<String>,
    /// gray tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_tags: Option<String>,
    /// sidecars.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sidecar_containers_config: Vec<SidecarContainerConfig>,
    /// log setup, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sls_configs: Option<String>,
    /// log tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sls_log_env_tags: Option<String>,
    /// startup probe, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub startup_probe: Option<String>,
    /// swimlane discovery setup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swimlane_pvtz_discovery_svc: Option<String>,
    /// seconds allowed for graceful stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub termination_grace_period_seconds: Option<i64>,
    /// time zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// Tomcat setup, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tomcat_config: Option<String>,
    /// release plan, JSON text; see SEMANTICS.md.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_strategy: Option<String>,
    /// vSwitch id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub v_switch_id: Option<String>,
    /// war options.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub war_start_options: Option<String>,
    /// Tomcat version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web_container: Option<String>,
}

impl std::fmt::Debug for DeployApplicationRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Holds a secret, so none of its members is shown.
        f.debug_struct("DeployApplicationRequest")
            .finish_non_exhaustive()
    }
}

/// Result of `DeployApplication`; the envelope adds what all answers have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeployApplicationResponse {
    /// payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<DeployApplicationData>,
}

/// Parameters of `DescribeApplicationConfig`: configuration, of the live or a named version.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeApplicationConfigRequest {
    /// application id.
    pub app_id: String,
    /// version to use, from ListAppVersions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
}

/// Result of `DescribeApplicationConfig`; the envelope adds what all answers have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeApplicationConfigResponse {
    /// payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<DescribeApplicationConfigData>,
}

/// Parameters of `DescribeApplicationGroups`: instance groups.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeApplicationGroupsRequest {
    /// application id.
    pub app_id: String,
    /// page number, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_page: Option<i64>,
    /// page size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_size: Option<i64>,
}

/// Result of `DescribeApplicationGroups`; the envelope adds what all answers have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeApplicationGroupsResponse {
    /// payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Vec<DescribeApplicationGroupsData>>,
}

/// Parameters of `DescribeApplicationImage`: image facts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeApplicationImageRequest {
    /// application id.
    pub app_id: String,
    /// image address.
    pub image_url: String,
}

/// Result of `DescribeApplicationImage`; the envelope adds what all answers have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeApplicationImageResponse {
    /// payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<DescribeApplicationImageData>,
}

/// Parameters of `DescribeApplicationInstances`: instances of a group.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeApplicationInstancesRequest {
    /// application id.
    pub app_id: String,
    /// page number, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_page: Option<i64>,
    /// instance group id.
    pub group_id: String,
    /// instance id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// page size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_size: Option<i64>,
    /// batch id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline_id: Option<String>,
    /// descending if true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reverse: Option<bool>,
}

/// Result of `DescribeApplicationInstances`; the envelope adds what all answers have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeApplicationInstancesResponse {
    /// payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<DescribeApplicationInstancesData>,
}

/// Parameters of `DescribeApplicationScalingRule`: one scaling rule.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeApplicationScalingRuleRequest {
    /// application id.
    pub app_id: String,
    /// rule name.
    pub scaling_rule_name: String,
}

/// Result of `DescribeApplicationScalingRule`; the envelope adds what all answers have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeApplicationScalingRuleResponse {
    /// payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<DescribeApplicationScalingRuleData>,
}

/// Parameters of `DescribeApplicationScalingRules`: scaling rules.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeApplicationScalingRulesRequest {
    /// application id.
    pub app_id: String,
}

/// Result of `DescribeApplicationScalingRules`; the envelope adds what all answers have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeApplicationScalingRulesResponse {
    /// payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<DescribeApplicationScalingRulesData>,
}

/// Parameters of `DescribeApplicationStatus`: state of an application.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeApplicationStatusRequest {
    /// application id.
    pub app_id: String,
}

/// Result of `DescribeApplicationStatus`; the envelope adds what all answers have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeApplicationStatusResponse {
    /// payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<DescribeApplicationStatusData>,
}

/// Parameters of `DescribeChangeOrder`: one change order with its batches.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeChangeOrderRequest {
    /// change order id.
    pub change_order_id: String,
}

/// Result of `DescribeChangeOrder`; the envelope adds what all answers have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeChangeOrderResponse {
    /// payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<DescribeChangeOrderData>,
}

/// Parameters of `DescribeNamespace`: one namespace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeNamespaceRequest {
    /// namespace short id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_space_short_id: Option<String>,
    /// namespace id, region\[:short\].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_id: Option<String>,
}

/// Result of `DescribeNamespace`; the envelope adds what all answers have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeNamespaceResponse {
    /// payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<DescribeNamespaceData>,
}

/// Parameters of `DescribeNamespaceList`: all namespaces.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeNamespaceListRequest {
    /// include custom namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contain_custom: Option<bool>,
    /// leave hybrid cloud out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hybrid_cloud_exclude: Option<bool>,
}

/// Result of `DescribeNamespaceList`; the envelope adds what all answers have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeNamespaceListResponse {
    /// payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Vec<DescribeNamespaceListData>>,
}

/// Parameters of `DescribeNamespaceResources`: resources of a namespace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeNamespaceResourcesRequest {
    /// namespace short id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_space_short_id: Option<String>,
    /// namespace id, region\[:short\].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_id: Option<String>,
}

/// Result of `DescribeNamespaceResources`; the envelope adds what all answers have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeNamespaceResourcesResponse {
    /// payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<DescribeNamespaceResourcesData>,
}

/// Parameters of `DescribeNamespaces`: namespaces, paged.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeNamespacesRequest {
    /// page number, from 1.
    pub current_page: i64,
    /// page size.
    pub page_size: i64,
}

/// Result of `DescribeNamespaces`; the envelope adds what all answers have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeNamespacesResponse {
    /// payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<DescribeNamespacesData>,
}

/// Parameters of `DescribePipeline`: one batch with stages and tasks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribePipelineRequest {
    /// batch id.
    pub pipeline_id: String,
}

/// Result of `DescribePipeline`; the envelope adds what all answers have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribePipelineResponse {
    /// payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<DescribePipelineData>,
}

/// Parameters of `DescribeRegions`: list regions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeRegionsRequest {}

/// Result of `DescribeRegions`; the envelope adds what all answers have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeRegionsResponse {
    /// regions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regions: Option<DescribeRegionsRegions>,
}

/// Parameters of `DisableApplicationScalingRule`: switch a scaling rule off.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DisableApplicationScalingRuleRequest {
    /// application id.
    pub app_id: String,
    /// rule name.
    pub scaling_rule_name: String,
}

/// Result of `DisableApplicationScalingRule`; the envelope adds what all answers have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DisableApplicationScalingRuleResponse {}

/// Parameters of `EnableApplicationScalingRule`: switch a scaling rule on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct EnableApplicationScalingRuleRequest {
    /// application id.
    pub app_id: String,
    /// rule name.
    pub scaling_rule_name: String,
}

/// Result of `EnableApplicationScalingRule`; the envelope adds what all answers have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct EnableApplicationScalingRuleResponse {}

/// Parameters of `GetApplication`: one application.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetApplicationRequest {
    /// application id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_id: Option<String>,
    /// application name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_name: Option<String>,
    /// namespace id, region\[:short\].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_id: Option<String>,
}

/// Result of `GetApplication`; the envelope adds what all answers have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetApplicationResponse {
    /// application row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<GetApplicationApplication>,
}

/// Parameters of `GetChangeOrderMetric`: change order statistics.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetChangeOrderMetricRequest {
    /// application id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_id: Option<String>,
    /// application kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_source: Option<String>,
    /// change type, words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub co_type: Option<String>,
    /// CPU allocation rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_strategy: Option<String>,
    /// creation time.
    pub create_time: String,
    /// page size.
    pub limit: i64,
    /// sort field.
    pub order_by: String,
    /// region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region_id: Option<String>,
}

/// Result of `GetChangeOrderMetric`; the envelope adds what all answers have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetChangeOrderMetricResponse {
    /// payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Vec<GetChangeOrderMetricData>>,
}

/// Parameters of `ListAppEvents`: events.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListAppEventsRequest {
    /// application id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_id: Option<String>,
    /// page number, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_page: Option<i64>,
    /// Warning or Normal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_type: Option<String>,
    /// namespace.
    pub namespace: String,
    /// object kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_kind: Option<String>,
    /// object name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_name: Option<String>,
    /// page size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_size: Option<i64>,
    /// reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Result of `ListAppEvents`; the envelope adds what all answers have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListAppEventsResponse {
    /// payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<ListAppEventsData>,
}

/// Parameters of `ListAppVersions`: versions of an application.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListAppVersionsRequest {
    /// application id.
    pub app_id: String,
}

/// Result of `ListAppVersions`; the envelope adds what all answers have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListAppVersionsResponse {
    /// payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Vec<ListAppVersionsData>>,
}

/// Parameters of `ListApplications`: list applications.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListApplicationsRequest {
    /// application name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_name: Option<String>,
    /// application kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_source: Option<String>,
    /// page number, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_page: Option<i64>,
    /// field to filter by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field_type: Option<String>,
    /// filter value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field_value: Option<String>,
    /// stateful application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_stateful: Option<String>,
    /// namespace id, region\[:short\].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_id: Option<String>,
    /// edition: lite, std, pro.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_sae_version: Option<String>,
    /// sort field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_by: Option<String>,
    /// page size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_size: Option<i64>,
    /// language.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub programming_language: Option<String>,
    /// ascending if true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reverse: Option<bool>,
    /// tags to bind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<String>,
}

/// Result of `ListApplications`; the envelope adds what all answers have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListApplicationsResponse {
    /// page number, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_page: Option<i64>,
    /// payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<ListApplicationsData>,
    /// page size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_size: Option<i64>,
    /// rows in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_size: Option<i64>,
}

/// Parameters of `ListChangeOrders`: change orders of an application.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListChangeOrdersRequest {
    /// application id.
    pub app_id: String,
    /// change order state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub co_status: Option<String>,
    /// change type, words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub co_type: Option<String>,
    /// page number, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_page: Option<i64>,
    /// word in the description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// sort field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_by: Option<String>,
    /// page size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_size: Option<i64>,
    /// ascending if true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reverse: Option<bool>,
}

/// Result of `ListChangeOrders`; the envelope adds what all answers have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListChangeOrdersResponse {
    /// payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<ListChangeOrdersData>,
}

/// Parameters of `ListNamespaceChangeOrders`: batch start/stop orders.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListNamespaceChangeOrdersRequest {
    /// change order state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub co_status: Option<String>,
    /// change type, words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub co_type: Option<String>,
    /// page number, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_page: Option<i64>,
    /// search word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// namespace id, region\[:short\].
    pub namespace_id: String,
    /// page size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_size: Option<i64>,
}

/// Result of `ListNamespaceChangeOrders`; the envelope adds what all answers have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListNamespaceChangeOrdersResponse {
    /// payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<ListNamespaceChangeOrdersData>,
}

/// Parameters of `ListTagResources`: tags on resources.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListTagResourcesRequest {
    /// paging token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
    /// region.
    pub region_id: String,
    /// resource ids, JSON text array.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_ids: Option<String>,
    /// always application.
    pub resource_type: String,
    /// tags to bind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<String>,
}

/// Result of `ListTagResources`; the envelope adds what all answers have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListTagResourcesResponse {
    /// payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<ListTagResourcesData>,
}

/// Parameters of `QueryResourceStatics`: resource use.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct QueryResourceStaticsRequest {
    /// application id.
    pub app_id: String,
}

/// Result of `QueryResourceStatics`; the envelope adds what all answers have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct QueryResourceStaticsResponse {
    /// payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<QueryResourceStaticsData>,
}

/// Parameters of `ReduceApplicationCapacityByInstanceIds`: scale in by naming instances.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ReduceApplicationCapacityByInstanceIdsRequest {
    /// application id.
    pub app_id: String,
    /// instance ids, comma separated.
    pub instance_ids: String,
}

/// Result of `ReduceApplicationCapacityByInstanceIds`; the envelope adds what all answers have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ReduceApplicationCapacityByInstanceIdsResponse {
    /// payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<ReduceApplicationCapacityByInstanceIdsData>,
}

/// Parameters of `RescaleApplication`: set the number of instances.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RescaleApplicationRequest {
    /// application id.
    pub app_id: String,
    /// turn the scaling rule back on afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_enable_application_scaling_rule: Option<bool>,
    /// same as a percentage; -1 off; wins over MinReadyInstances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_ready_instance_ratio: Option<i64>,
    /// fewest instances kept ready; see SEMANTICS.md.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_ready_instances: Option<i64>,
    /// instances wanted.
    pub replicas: i64,
}

/// Result of `RescaleApplication`; the envelope adds what all answers have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RescaleApplicationResponse {
    /// payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<RescaleApplicationData>,
}

/// Parameters of `RescaleApplicationVertically`: change the instance size.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RescaleApplicationVerticallyRequest {
    /// application id.
    pub app_id: String,
    /// CPU in millicores.
    pub cpu: String,
    /// deploy at once (create: start now).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deploy: Option<bool>,
    /// ephemeral disk GB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_size: Option<String>,
    /// memory in MB.
    pub memory: String,
    /// always application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_type: Option<String>,
    /// vSwitch id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub v_switch_id: Option<String>,
    /// lower-case spelling on this operation.
    #[serde(
        rename = "autoEnableApplicationScalingRule",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub auto_enable_application_scaling_rule: Option<bool>,
    /// lower-case spelling on this operation.
    #[serde(
        rename = "minReadyInstanceRatio",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub min_ready_instance_ratio: Option<i64>,
    /// lower-case spelling on this operation.
    #[serde(
        rename = "minReadyInstances",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub min_ready_instances: Option<i64>,
}

/// Result of `RescaleApplicationVertically`; the envelope adds what all answers have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RescaleApplicationVerticallyResponse {
    /// payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<RescaleApplicationVerticallyData>,
}

/// Parameters of `RestartApplication`: restart an application.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RestartApplicationRequest {
    /// application id.
    pub app_id: String,
    /// turn the scaling rule back on afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_enable_application_scaling_rule: Option<bool>,
    /// same as a percentage; -1 off; wins over MinReadyInstances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_ready_instance_ratio: Option<i64>,
    /// fewest instances kept ready; see SEMANTICS.md.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_ready_instances: Option<i64>,
}

/// Result of `RestartApplication`; the envelope adds what all answers have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RestartApplicationResponse {
    /// payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<RestartApplicationData>,
}

/// Parameters of `RestartInstances`: restart chosen instances.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RestartInstancesRequest {
    /// application id.
    pub app_id: String,
    /// instance ids, comma separated.
    pub instance_ids: String,
}

/// Result of `RestartInstances`; the envelope adds what all answers have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RestartInstancesResponse {
    /// payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<RestartInstancesData>,
}

/// Parameters of `RollbackApplication`: roll an application back to an earlier version.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RollbackApplicationRequest {
    /// application id.
    pub app_id: String,
    /// turn the scaling rule back on afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_enable_application_scaling_rule: Option<String>,
    /// seconds between batches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_wait_time: Option<i64>,
    /// same as a percentage; -1 off; wins over MinReadyInstances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_ready_instance_ratio: Option<i64>,
    /// fewest instances kept ready; see SEMANTICS.md.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_ready_instances: Option<i64>,
    /// release plan, JSON text; see SEMANTICS.md.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_strategy: Option<String>,
    /// version to use, from ListAppVersions.
    pub version_id: String,
}

/// Result of `RollbackApplication`; the envelope adds what all answers have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RollbackApplicationResponse {
    /// payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<RollbackApplicationData>,
}

/// Parameters of `StartApplication`: start an application.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StartApplicationRequest {
    /// application id.
    pub app_id: String,
}

/// Result of `StartApplication`; the envelope adds what all answers have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StartApplicationResponse {
    /// payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<StartApplicationData>,
}

/// Parameters of `StopApplication`: stop an application.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StopApplicationRequest {
    /// application id.
    pub app_id: String,
}

/// Result of `StopApplication`; the envelope adds what all answers have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StopApplicationResponse {
    /// payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<StopApplicationData>,
}

/// Parameters of `TagResources`: add tags.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TagResourcesRequest {
    /// region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region_id: Option<String>,
    /// resource ids, JSON text array.
    pub resource_ids: String,
    /// always application.
    pub resource_type: String,
    /// tags to bind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<String>,
}

/// Result of `TagResources`; the envelope adds what all answers have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TagResourcesResponse {
    /// payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<bool>,
}

/// Parameters of `UntagResources`: remove tags.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UntagResourcesRequest {
    /// drop all tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete_all: Option<bool>,
    /// region.
    pub region_id: String,
    /// resource ids, JSON text array.
    pub resource_ids: String,
    /// always application.
    pub resource_type: String,
    /// tag keys, JSON text array.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag_keys: Option<String>,
}

/// Result of `UntagResources`; the envelope adds what all answers have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UntagResourcesResponse {
    /// payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<bool>,
}

/// Parameters of `UpdateAppMode`: switch idle mode.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateAppModeRequest {
    /// application id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_id: Option<String>,
    /// application ids, comma separated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_ids: Option<String>,
    /// idle mode on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_idle: Option<bool>,
    /// idle hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_hour: Option<String>,
    /// namespace id, region\[:short\].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_id: Option<String>,
}

/// Result of `UpdateAppMode`; the envelope adds what all answers have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateAppModeResponse {}

/// Parameters of `UpdateApplicationDescription`: change the text.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateApplicationDescriptionRequest {
    /// application text.
    pub app_description: String,
    /// application id.
    pub app_id: String,
}

/// Result of `UpdateApplicationDescription`; the envelope adds what all answers have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateApplicationDescriptionResponse {}

/// Parameters of `UpdateApplicationScalingRule`: change a scaling rule.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateApplicationScalingRuleRequest {
    /// application id.
    pub app_id: String,
    /// idle mode on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_idle: Option<bool>,
    /// same as a percentage; -1 off; wins over MinReadyInstances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_ready_instance_ratio: Option<i64>,
    /// fewest instances kept ready; see SEMANTICS.md.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_ready_instances: Option<i64>,
    /// metric rule, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaling_rule_metric: Option<String>,
    /// rule name.
    pub scaling_rule_name: String,
    /// timed rule, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaling_rule_timer: Option<String>,
    /// rule kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaling_rule_type: Option<String>,
}

/// Result of `UpdateApplicationScalingRule`; the envelope adds what all answers have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateApplicationScalingRuleResponse {
    /// payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<UpdateApplicationScalingRuleData>,
}

/// Parameters of `UpdateNamespace`: change a namespace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateNamespaceRequest {
    /// built-in registry on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_micro_registration: Option<bool>,
    /// namespace short id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_space_short_id: Option<String>,
    /// namespace text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_description: Option<String>,
    /// namespace id, region\[:short\].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_id: Option<String>,
    /// namespace name.
    pub namespace_name: String,
}

/// Result of `UpdateNamespace`; the envelope adds what all answers have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateNamespaceResponse {
    /// payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<UpdateNamespaceData>,
}
