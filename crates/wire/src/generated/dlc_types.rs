// Made by `cargo run -p xtask -- codegen`, do not edit.

use serde::{Deserialize, Serialize};

/// `AccessInfo` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AccessInfo {
    /// access method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_type: Option<String>,
    /// connection strings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_connection_infos: Option<Vec<String>>,
}

/// `CrontabResumeSuspendStrategy` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CrontabResumeSuspendStrategy {
    /// timed start, weekday bits then clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume_time: Option<String>,
    /// timed stop, weekday bits then clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend_time: Option<String>,
    /// wait for tasks or force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend_strategy: Option<i64>,
}

/// `DataEngineBasicInfo` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DataEngineBasicInfo {
    /// engine (virtual cluster) name.
    pub data_engine_name: String,
    /// state.
    pub state: i64,
    /// creation time.
    pub create_time: i64,
    /// last change time.
    pub update_time: i64,
    /// free text or error text.
    pub message: String,
    /// engine id.
    pub data_engine_id: String,
    /// engine kind.
    pub data_engine_type: String,
    /// owner app id.
    pub app_id: i64,
    /// owner account.
    pub user_uin: String,
}

/// `DataEngineConfigInstanceInfo` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DataEngineConfigInstanceInfo {
    /// engine id.
    pub data_engine_id: String,
    /// user settings, full replacement list.
    pub data_engine_config_pairs: Vec<DataEngineConfigPair>,
    /// Spark session resource template.
    pub session_resource_template: SessionResourceTemplate,
}

/// `DataEngineConfigPair` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DataEngineConfigPair {
    /// setting key.
    pub config_item: String,
    /// setting value.
    pub config_value: String,
}

/// `DataEngineImageSessionParameter` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DataEngineImageSessionParameter {
    /// parameter id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameter_id: Option<String>,
    /// minor (child) image version id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub child_image_version_id: Option<String>,
    /// engine kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine_type: Option<String>,
    /// parameter key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_name: Option<String>,
    /// parameter description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_description: Option<String>,
    /// value kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_type: Option<String>,
    /// longest value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_length_limit: Option<String>,
    /// value pattern.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_regexp_limit: Option<String>,
    /// default value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_default: Option<String>,
    /// public or private version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_public: Option<u64>,
    /// scope of the parameter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameter_type: Option<u64>,
    /// who submits it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub submit_method: Option<String>,
    /// who changed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<String>,
    /// insert time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub insert_time: Option<String>,
    /// last change time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_time: Option<String>,
}

/// `DataEngineImageVersion` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DataEngineImageVersion {
    /// major (parent) image version id.
    pub image_version_id: String,
    /// major version name.
    pub image_version: String,
    /// free text.
    pub description: String,
    /// public or private version.
    pub is_public: u64,
    /// engine kind.
    pub engine_type: String,
    /// whether the version is for the shared engine.
    pub is_shared_engine: u64,
    /// state.
    pub state: u64,
    /// insert time.
    pub insert_time: String,
    /// last change time.
    pub update_time: String,
}

/// `DataEngineInfo` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DataEngineInfo {
    /// engine (virtual cluster) name.
    pub data_engine_name: String,
    /// engine kind.
    pub engine_type: String,
    /// resource kind of the cluster.
    pub cluster_type: String,
    /// quota reference.
    pub quota_id: String,
    /// state.
    pub state: i64,
    /// creation time.
    pub create_time: i64,
    /// last change time.
    pub update_time: i64,
    /// size in CU.
    pub size: Option<i64>,
    /// billing mode.
    pub mode: i64,
    /// fewest clusters.
    pub min_clusters: Option<i64>,
    /// most clusters.
    pub max_clusters: Option<i64>,
    /// start by itself when work arrives.
    pub auto_resume: Option<bool>,
    /// time until auto resume.
    pub spend_after: Option<i64>,
    /// cluster network range.
    pub cidr_block: Option<String>,
    /// is the default engine.
    pub default_data_engine: Option<bool>,
    /// free text or error text.
    pub message: Option<String>,
    /// engine id.
    pub data_engine_id: String,
    /// acting sub account.
    pub sub_account_uin: String,
    /// expiry time.
    pub expire_time: String,
    /// isolation time.
    pub isolated_time: String,
    /// reversal (write-off) time.
    pub reversal_time: String,
    /// user display name.
    pub user_alias: Option<String>,
    /// bound tags.
    pub tag_list: Option<Vec<TagInfo>>,
    /// permissions held on the engine.
    pub permissions: Option<Vec<String>>,
    /// suspend by itself when idle.
    pub auto_suspend: Option<bool>,
    /// timed start/stop switch; excludes auto suspend.
    pub crontab_resume_suspend: Option<i64>,
    /// timed start/stop plan.
    pub crontab_resume_suspend_strategy: Option<CrontabResumeSuspendStrategy>,
    /// what the engine runs.
    pub engine_exec_type: Option<String>,
    /// renewal flag.
    pub renew_flag: Option<i64>,
    /// idle minutes before auto suspend.
    pub auto_suspend_time: Option<i64>,
    /// network links.
    pub network_connection_set: Option<Vec<NetworkConnection>>,
    /// console address.
    #[serde(rename = "UiURL")]
    pub ui_url: Option<String>,
    /// resource flavour.
    pub resource_type: Option<String>,
    /// major (parent) image version id.
    pub image_version_id: Option<String>,
    /// minor (child) image version id.
    pub child_image_version_id: Option<String>,
    /// image version name.
    pub image_version_name: Option<String>,
    /// standby cluster on.
    pub start_standby_cluster: Option<bool>,
    /// elastic burst on (monthly Spark jar clusters).
    pub elastic_switch: Option<bool>,
    /// elastic burst ceiling.
    pub elastic_limit: Option<i64>,
    /// is the default engine.
    pub default_house: Option<bool>,
    /// parallel tasks per cluster.
    pub max_concurrency: Option<i64>,
    /// queueing time tolerated before scale-out.
    pub tolerable_queue_time: Option<i64>,
    /// owner app id.
    pub user_app_id: Option<i64>,
    /// owner account.
    pub user_uin: Option<String>,
    /// Spark session resource template.
    pub session_resource_template: Option<SessionResourceTemplate>,
    /// automatic grant switch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_authorization: Option<bool>,
    /// engine generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine_generation: Option<String>,
    /// precise engine kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine_type_detail: Option<String>,
    /// engine network id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine_network_id: Option<String>,
    /// resource groups on a standard engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine_resource_group_count: Option<i64>,
    /// CU in use.
    #[serde(
        rename = "EngineResourceUsedCU",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub engine_resource_used_cu: Option<i64>,
    /// how to reach the engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_infos: Option<Vec<AccessInfo>>,
    /// engine network name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine_network_name: Option<String>,
    /// uses the reserved pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_pool_mode: Option<String>,
    /// supports AI work.
    #[serde(
        rename = "IsSupportAI",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub is_support_ai: Option<bool>,
    /// gateway id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway_id: Option<String>,
    /// gateway state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway_state: Option<i64>,
    /// gateway can run AI work.
    #[serde(
        rename = "IsAIGateway",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub is_ai_gateway: Option<bool>,
    /// is an AI engine.
    #[serde(
        rename = "IsAIEngine",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub is_ai_engine: Option<i64>,
    /// timed elasticity plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule_elasticity_conf: Option<ScheduleElasticityConf>,
    /// GPU facts.
    #[serde(rename = "GPUInfo", default, skip_serializing_if = "Option::is_none")]
    pub gpu_info: Option<GPUInfo>,
    /// GPUs in use.
    #[serde(
        rename = "EngineResourceUsedGPU",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub engine_resource_used_gpu: Option<i64>,
    /// GPU total.
    #[serde(
        rename = "GPUTotalSize",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub gpu_total_size: Option<i64>,
    /// GPU machine model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_model: Option<String>,
    /// node count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_num: Option<i64>,
    /// size including elastic part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_with_elastic: Option<u64>,
    /// largest elastic size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_elastic_size: Option<u64>,
}

/// `DataEngineScaleInfo` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DataEngineScaleInfo {
    /// engine id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_engine_id: Option<String>,
    /// engine (virtual cluster) name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_engine_name: Option<String>,
    /// size history rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_detail: Option<Vec<DataEngineScaleInfoDetail>>,
}

/// `DataEngineScaleInfoDetail` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DataEngineScaleInfoDetail {
    /// start time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<String>,
    /// end time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time: Option<String>,
    /// CU.
    #[serde(rename = "CU", default, skip_serializing_if = "Option::is_none")]
    pub cu: Option<i64>,
}

/// `ElasticPlan` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ElasticPlan {
    /// fewest clusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_elastic_clusters: Option<i64>,
    /// most clusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_elastic_clusters: Option<i64>,
    /// queueing time tolerated before scale-out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerable_queue_time: Option<i64>,
    /// start time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<String>,
    /// end time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time: Option<String>,
    /// elastic burst ceiling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elastic_limit: Option<i64>,
}

/// `EngineSessionImage` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct EngineSessionImage {
    /// Spark image id.
    pub spark_image_id: Option<String>,
    /// Spark image name.
    pub spark_image_version: Option<String>,
    /// image kind (1 TensorFlow, 2 PyTorch, 3 SK-learn).
    pub spark_image_type: Option<i64>,
    /// image address.
    pub spark_image_tag: Option<String>,
}

/// `Filter` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Filter {
    /// name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// comparison operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<String>,
    /// accepted values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

/// `GPUInfo` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GPUInfo {
    /// billing item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub billing_item: Option<String>,
    /// model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// CU.
    #[serde(rename = "CU", default, skip_serializing_if = "Option::is_none")]
    pub cu: Option<i64>,
    /// GPU type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub type_: Option<String>,
    /// count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub num: Option<i64>,
    /// GPU memory.
    #[serde(rename = "GPUMemory", default, skip_serializing_if = "Option::is_none")]
    pub gpu_memory: Option<i64>,
    /// machine type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_type: Option<String>,
    /// stock level.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sale_status: Option<i64>,
}

/// `HouseEventsInfo` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HouseEventsInfo {
    /// event times.
    pub time: Option<Vec<String>>,
    /// event kinds.
    pub events_action: Option<Vec<String>>,
    /// cluster facts at the event.
    pub cluster_info: Option<Vec<String>>,
}

/// `NetworkConnection` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct NetworkConnection {
    /// numeric id.
    pub id: i64,
    /// unique mark.
    pub associate_id: String,
    /// engine id.
    pub house_id: String,
    /// data source id (dead).
    pub datasource_connection_id: String,
    /// state.
    pub state: Option<i64>,
    /// creation time.
    pub create_time: i64,
    /// last change time.
    pub update_time: Option<i64>,
    /// owner app id.
    pub appid: Option<i64>,
    /// engine name.
    pub house_name: String,
    /// network configuration name (old filter).
    pub datasource_connection_name: String,
    /// link kind.
    pub network_connection_type: Option<i64>,
    /// owner account.
    pub uin: Option<String>,
    /// acting sub account.
    pub sub_account_uin: Option<String>,
    /// link description.
    pub network_connection_desc: Option<String>,
    /// VPC of the source.
    pub datasource_connection_vpc_id: Option<String>,
    /// subnet of the source.
    pub datasource_connection_subnet_id: Option<String>,
    /// address range of the source.
    pub datasource_connection_cidr_block: Option<String>,
    /// subnet range of the source.
    pub datasource_connection_subnet_cidr_block: Option<String>,
    /// EG support flag.
    #[serde(rename = "EGSupport")]
    pub eg_support: i64,
}

/// `PythonSparkImage` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PythonSparkImage {
    /// Spark image id.
    pub spark_image_id: String,
    /// minor (child) image version id.
    pub child_image_version_id: String,
    /// Spark image name.
    pub spark_image_version: String,
    /// free text.
    pub description: String,
    /// creation time.
    pub create_time: String,
    /// last change time.
    pub update_time: String,
}

/// `ScheduleElasticityConf` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ScheduleElasticityConf {
    /// timed elasticity on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled_elasticity_enabled: Option<bool>,
    /// recurrence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule_type: Option<String>,
    /// weekdays 1-7 or month days 1-31.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schedule_days: Vec<i64>,
    /// time zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// elastic plans.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub elastic_plans: Vec<ElasticPlan>,
}

/// `SessionResourceTemplate` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SessionResourceTemplate {
    /// driver size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver_size: Option<String>,
    /// executor size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executor_size: Option<String>,
    /// executors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executor_nums: Option<u64>,
    /// executor ceiling with dynamic allocation (raised to ExecutorNums when lower).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executor_max_numbers: Option<u64>,
    /// runtime parameters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub running_time_parameters: Vec<DataEngineConfigPair>,
}

/// `TagInfo` of the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TagInfo {
    /// tag key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag_key: Option<String>,
    /// tag value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag_value: Option<String>,
}

/// Parameters of `CheckDataEngineConfigPairsValidity`: check user settings against a version.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CheckDataEngineConfigPairsValidityRequest {
    /// minor (child) image version id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub child_image_version_id: Option<String>,
    /// user settings, full replacement list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub data_engine_config_pairs: Vec<DataEngineConfigPair>,
    /// major (parent) image version id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_version_id: Option<String>,
}

/// Result of `CheckDataEngineConfigPairsValidity`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CheckDataEngineConfigPairsValidityResponse {
    /// all settings valid.
    pub is_available: bool,
    /// invalid keys.
    pub unavailable_config: Vec<String>,
}

/// Parameters of `CheckDataEngineImageCanBeRollback`: say whether an engine's image can be rolled back and between which log records.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CheckDataEngineImageCanBeRollbackRequest {
    /// engine id.
    pub data_engine_id: String,
}

/// Result of `CheckDataEngineImageCanBeRollback`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CheckDataEngineImageCanBeRollbackResponse {
    /// log record after the rollback (value handed out by the check call).
    pub to_record_id: String,
    /// log record before the rollback (value handed out by the check call).
    pub from_record_id: String,
    /// whether a rollback is possible now.
    pub is_rollback: bool,
}

/// Parameters of `CheckDataEngineImageCanBeUpgrade`: say whether a newer minor image exists for the engine's major version.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CheckDataEngineImageCanBeUpgradeRequest {
    /// engine id.
    pub data_engine_id: String,
}

/// Result of `CheckDataEngineImageCanBeUpgrade`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CheckDataEngineImageCanBeUpgradeResponse {
    /// minor (child) image version id.
    pub child_image_version_id: String,
    /// whether a newer minor version exists.
    pub is_upgrade: bool,
}

/// Parameters of `CreateDataEngine`: create an engine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateDataEngineRequest {
    /// engine kind.
    pub engine_type: String,
    /// engine (virtual cluster) name.
    pub data_engine_name: String,
    /// resource kind of the cluster.
    pub cluster_type: String,
    /// billing mode.
    pub mode: i64,
    /// start by itself when work arrives.
    pub auto_resume: bool,
    /// fewest clusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_clusters: Option<i64>,
    /// most clusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_clusters: Option<i64>,
    /// is the default engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_data_engine: Option<bool>,
    /// cluster network range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cidr_block: Option<String>,
    /// description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// size in CU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<i64>,
    /// pay mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pay_mode: Option<i64>,
    /// purchase length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_span: Option<i64>,
    /// unit of purchase length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_unit: Option<String>,
    /// renewal flag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_renew: Option<i64>,
    /// tags to bind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<TagInfo>,
    /// suspend by itself when idle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_suspend: Option<bool>,
    /// timed start/stop switch; excludes auto suspend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crontab_resume_suspend: Option<i64>,
    /// timed start/stop plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crontab_resume_suspend_strategy: Option<CrontabResumeSuspendStrategy>,
    /// what the engine runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine_exec_type: Option<String>,
    /// parallel tasks per cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_concurrency: Option<i64>,
    /// queueing time tolerated before scale-out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerable_queue_time: Option<i64>,
    /// idle minutes before auto suspend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_suspend_time: Option<i64>,
    /// resource flavour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_type: Option<String>,
    /// user settings, full replacement list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub data_engine_config_pairs: Vec<DataEngineConfigPair>,
    /// image version name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_version_name: Option<String>,
    /// main cluster, when creating a standby.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub main_cluster_name: Option<String>,
    /// elastic burst on (monthly Spark jar clusters).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elastic_switch: Option<bool>,
    /// elastic burst ceiling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elastic_limit: Option<i64>,
    /// Spark session resource template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_resource_template: Option<SessionResourceTemplate>,
    /// automatic grant switch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_authorization: Option<bool>,
    /// engine network id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine_network_id: Option<String>,
    /// engine generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine_generation: Option<String>,
}

/// Result of `CreateDataEngine`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateDataEngineResponse {
    /// engine id.
    pub data_engine_id: String,
}

/// Parameters of `DeleteDataEngine`: delete engines by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteDataEngineRequest {
    /// engine names.
    pub data_engine_names: Vec<String>,
}

/// Result of `DeleteDataEngine`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteDataEngineResponse {}

/// Parameters of `DescribeDataEngine`: one engine by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeDataEngineRequest {
    /// engine name (house name).
    pub data_engine_name: String,
}

/// Result of `DescribeDataEngine`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeDataEngineResponse {
    /// engine.
    pub data_engine: DataEngineInfo,
}

/// Parameters of `DescribeDataEngineEvents`: event rows of an engine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeDataEngineEventsRequest {
    /// engine (virtual cluster) name.
    pub data_engine_name: String,
    /// page size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<i64>,
    /// rows to skip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<i64>,
    /// resource group id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// start time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<String>,
    /// end time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time: Option<String>,
}

/// Result of `DescribeDataEngineEvents`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeDataEngineEventsResponse {
    /// event rows.
    pub events: Option<Vec<HouseEventsInfo>>,
    /// page number.
    pub page: i64,
    /// page size.
    pub size: i64,
    /// pages.
    pub total_pages: i64,
    /// matching rows before paging.
    pub total_count: i64,
}

/// Parameters of `DescribeDataEngineImageVersions`: list major image versions for an engine kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeDataEngineImageVersionsRequest {
    /// engine kind.
    pub engine_type: String,
    /// sort field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sort: Option<String>,
    /// ascending if true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asc: Option<bool>,
}

/// Result of `DescribeDataEngineImageVersions`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeDataEngineImageVersionsResponse {
    /// major (parent) image versions.
    pub image_parent_versions: Vec<DataEngineImageVersion>,
    /// number of rows.
    pub total: u64,
}

/// Parameters of `DescribeDataEnginePythonSparkImages`: PySpark images of a minor version.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeDataEnginePythonSparkImagesRequest {
    /// minor (child) image version id.
    pub child_image_version_id: String,
}

/// Result of `DescribeDataEnginePythonSparkImages`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeDataEnginePythonSparkImagesResponse {
    /// PySpark images.
    pub python_spark_images: Vec<PythonSparkImage>,
}

/// Parameters of `DescribeDataEngineSessionParameters`: session parameters of an engine's minor version.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeDataEngineSessionParametersRequest {
    /// engine id.
    pub data_engine_id: String,
    /// engine (virtual cluster) name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_engine_name: Option<String>,
}

/// Result of `DescribeDataEngineSessionParameters`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeDataEngineSessionParametersResponse {
    /// session parameters.
    pub data_engine_parameters: Vec<DataEngineImageSessionParameter>,
}

/// Parameters of `DescribeDataEngines`: list engines.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeDataEnginesRequest {
    /// rows to skip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<i64>,
    /// name/values filters, AND between filters, OR inside Values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
    /// sort field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sort_by: Option<String>,
    /// sort direction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sorting: Option<String>,
    /// page size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<i64>,
    /// network configuration name (old filter).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datasource_connection_name: Option<String>,
    /// leave shared engines out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exclude_public_engine: Option<bool>,
    /// permissions the caller must hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub access_types: Vec<String>,
    /// what the engine runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine_exec_type: Option<String>,
    /// engine kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine_type: Option<String>,
    /// network configurations to filter by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub datasource_connection_name_set: Vec<String>,
    /// engine generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine_generation: Option<String>,
    /// precise engine kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine_type_detail: Option<String>,
    /// only engines that have the insight listener.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list_has_listener: Option<bool>,
}

/// Result of `DescribeDataEngines`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeDataEnginesResponse {
    /// engines.
    pub data_engines: Option<Vec<DataEngineInfo>>,
    /// matching rows before paging.
    pub total_count: i64,
}

/// Parameters of `DescribeDataEnginesScaleDetail`: size history of engines.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeDataEnginesScaleDetailRequest {
    /// engine names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub data_engine_names: Vec<String>,
    /// start time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<String>,
    /// end time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time: Option<String>,
}

/// Result of `DescribeDataEnginesScaleDetail`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeDataEnginesScaleDetailResponse {
    /// size history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scales: Option<Vec<DataEngineScaleInfo>>,
}

/// Parameters of `DescribeEngineUsageInfo`: CU use of an engine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeEngineUsageInfoRequest {
    /// engine id.
    pub data_engine_id: String,
}

/// Result of `DescribeEngineUsageInfo`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeEngineUsageInfoResponse {
    /// CU total.
    pub total: i64,
    /// CU taken.
    pub used: i64,
    /// CU left.
    pub available: i64,
    /// CU left in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avail_percent: Option<i64>,
}

/// Parameters of `DescribeSessionImageVersion`: built-in images for a framework.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeSessionImageVersionRequest {
    /// engine id.
    pub data_engine_id: String,
    /// framework.
    pub framework_type: String,
}

/// Result of `DescribeSessionImageVersion`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeSessionImageVersionResponse {
    /// built-in images.
    pub engine_session_images: Option<Vec<EngineSessionImage>>,
}

/// Parameters of `DescribeUpdatableDataEngines`: engines a bulk change would apply to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeUpdatableDataEnginesRequest {
    /// which bulk configuration change.
    pub data_engine_config_command: String,
    /// store results in managed storage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_lake_fs: Option<bool>,
    /// own result path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_result_path: Option<String>,
}

/// Result of `DescribeUpdatableDataEngines`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeUpdatableDataEnginesResponse {
    /// engine basics.
    pub data_engine_basic_infos: Vec<DataEngineBasicInfo>,
    /// matching rows before paging.
    pub total_count: i64,
}

/// Parameters of `DescribeUserDataEngineConfig`: list engines' user settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeUserDataEngineConfigRequest {
    /// sort direction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sorting: Option<String>,
    /// page size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<i64>,
    /// rows to skip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<i64>,
    /// sort field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sort_by: Option<String>,
    /// name/values filters, AND between filters, OR inside Values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
}

/// Result of `DescribeUserDataEngineConfig`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeUserDataEngineConfigResponse {
    /// per-engine settings.
    pub data_engine_config_instance_infos: Vec<DataEngineConfigInstanceInfo>,
    /// matching rows before paging.
    pub total_count: u64,
}

/// Parameters of `ModifyDataEngineDescription`: change an engine's description.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ModifyDataEngineDescriptionRequest {
    /// engine (virtual cluster) name.
    pub data_engine_name: String,
    /// new description, at most 250 characters.
    pub message: String,
}

/// Result of `ModifyDataEngineDescription`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ModifyDataEngineDescriptionResponse {}

/// Parameters of `RenewDataEngine`: renew a monthly engine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RenewDataEngineRequest {
    /// engine (virtual cluster) name.
    pub data_engine_name: String,
    /// purchase length.
    pub time_span: i64,
    /// pay mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pay_mode: Option<i64>,
    /// unit of purchase length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_unit: Option<String>,
    /// renewal flag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renew_flag: Option<i64>,
}

/// Result of `RenewDataEngine`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RenewDataEngineResponse {}

/// Parameters of `RestartDataEngine`: restart an engine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RestartDataEngineRequest {
    /// engine id.
    pub data_engine_id: String,
    /// restart even while tasks run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forced_operation: Option<bool>,
}

/// Result of `RestartDataEngine`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RestartDataEngineResponse {}

/// Parameters of `RollbackDataEngineImage`: roll an engine's image back to the earlier record.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RollbackDataEngineImageRequest {
    /// engine id.
    pub data_engine_id: String,
    /// log record before the rollback (value handed out by the check call).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_record_id: Option<String>,
    /// log record after the rollback (value handed out by the check call).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_record_id: Option<String>,
}

/// Result of `RollbackDataEngineImage`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RollbackDataEngineImageResponse {}

/// Parameters of `SuspendResumeDataEngine`: suspend or resume an engine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SuspendResumeDataEngineRequest {
    /// engine (virtual cluster) name.
    pub data_engine_name: String,
    /// suspend or resume.
    pub operate: String,
}

/// Result of `SuspendResumeDataEngine`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SuspendResumeDataEngineResponse {
    /// engine name.
    pub data_engine_name: String,
}

/// Parameters of `SwitchDataEngine`: switch between main and standby cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SwitchDataEngineRequest {
    /// engine (virtual cluster) name.
    pub data_engine_name: String,
    /// standby cluster on.
    pub start_standby_cluster: bool,
}

/// Result of `SwitchDataEngine`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SwitchDataEngineResponse {}

/// Parameters of `SwitchDataEngineImage`: move an engine to another image version.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SwitchDataEngineImageRequest {
    /// engine id.
    pub data_engine_id: String,
    /// image version to switch to.
    pub new_image_version_id: String,
}

/// Result of `SwitchDataEngineImage`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SwitchDataEngineImageResponse {}

/// Parameters of `UpdateDataEngine`: change an engine's size and timing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateDataEngineRequest {
    /// size in CU.
    pub size: i64,
    /// fewest clusters.
    pub min_clusters: i64,
    /// most clusters.
    pub max_clusters: i64,
    /// start by itself when work arrives.
    pub auto_resume: bool,
    /// engine (virtual cluster) name.
    pub data_engine_name: String,
    /// description.
    pub message: String,
    /// suspend by itself when idle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_suspend: Option<bool>,
    /// timed start/stop switch; excludes auto suspend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crontab_resume_suspend: Option<i64>,
    /// timed start/stop plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crontab_resume_suspend_strategy: Option<CrontabResumeSuspendStrategy>,
    /// parallel tasks per cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_concurrency: Option<i64>,
    /// queueing time tolerated before scale-out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerable_queue_time: Option<i64>,
    /// idle minutes before auto suspend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_suspend_time: Option<i64>,
    /// elastic burst on (monthly Spark jar clusters).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elastic_switch: Option<bool>,
    /// elastic burst ceiling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elastic_limit: Option<i64>,
    /// Spark session resource template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_resource_template: Option<SessionResourceTemplate>,
    /// timed elasticity plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule_elasticity_conf: Option<ScheduleElasticityConf>,
}

/// Result of `UpdateDataEngine`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateDataEngineResponse {}

/// Parameters of `UpdateDataEngineConfig`: bulk change of a storage setting on engines.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateDataEngineConfigRequest {
    /// engine ids.
    pub data_engine_ids: Vec<String>,
    /// which bulk configuration change.
    pub data_engine_config_command: String,
    /// store results in managed storage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_lake_fs: Option<bool>,
    /// own result path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_result_path: Option<String>,
}

/// Result of `UpdateDataEngineConfig`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateDataEngineConfigResponse {}

/// Parameters of `UpdateUserDataEngineConfig`: replace an engine's user settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateUserDataEngineConfigRequest {
    /// engine id.
    pub data_engine_id: String,
    /// user settings, full replacement list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub data_engine_config_pairs: Vec<DataEngineConfigPair>,
    /// Spark session resource template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_resource_template: Option<SessionResourceTemplate>,
}

/// Result of `UpdateUserDataEngineConfig`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateUserDataEngineConfigResponse {}

/// Parameters of `UpgradeDataEngineImage`: move an engine to the newest minor image of its major version.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpgradeDataEngineImageRequest {
    /// engine id.
    pub data_engine_id: String,
}

/// Result of `UpgradeDataEngineImage`; the envelope adds the RequestId.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpgradeDataEngineImageResponse {}
