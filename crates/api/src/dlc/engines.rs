//! Engines are made, shown, changed, suspended, and go.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use backout_engines::Refusal;
use backout_engines::catalogue::Level;
use backout_engines::model::{Config, Engine, Kind, Tag, Wanted};
use backout_engines::service::{EngineView, ImageFilter, ImageOrder, NewEngine, SIZE_MAX, Update};
use backout_wire::types::dlc as wire;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::asked::{Ask, filled};
use super::settings::{given_pairs, shown_template, template};
use super::{Dlc, codes, spellings, words};
use crate::cdb::words::uin;
use crate::front::Refused;

/// What of an engine is only kept to be shown again, and under which name. The
/// renewal flag has two names in calls and one in answers.
const KEPT: [&str; 15] = [
    "AutoAuthorization",
    "AutoResume",
    "AutoSuspend",
    "AutoSuspendTime",
    "CidrBlock",
    "ClusterType",
    "CrontabResumeSuspend",
    "CrontabResumeSuspendStrategy",
    "ElasticLimit",
    "ElasticSwitch",
    "EngineNetworkId",
    "MaxConcurrency",
    "ResourceType",
    "ScheduleElasticityConf",
    "TolerableQueueTime",
];

/// The name under which the renewal flag is kept.
const RENEW: &str = "RenewFlag";

/// How many labels a new engine may have, and how long their parts may be.
const TAGS_MAX: usize = 50;
const TAG_KEY_MAX_CHARS: usize = 127;
const TAG_VALUE_MAX_CHARS: usize = 255;

/// The longest purchase, in its unit: as the vendor's console has it for months,
/// and far more than anybody means in hours.
const TIME_SPAN_MAX: i64 = 8760;

/// What a caller may do to an engine, and the operation that asks for it.
pub(super) const ACCESS: [(&str, &str); 5] = [
    ("USE", "dlc:SwitchDataEngineImage"),
    ("MODIFY", "dlc:UpdateDataEngine"),
    ("OPERATE", "dlc:SuspendResumeDataEngine"),
    ("MONITOR", "dlc:DescribeDataEngineEvents"),
    ("DELETE", "dlc:DeleteDataEngine"),
];

impl Dlc {
    pub(super) async fn create_data_engine(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::CreateDataEngineResponse, Refused> {
        let asked: wire::CreateDataEngineRequest = ask.params()?;
        let name = ask.engine("DataEngineName", &asked.data_engine_name)?;
        let kind = new_kind(ask, &asked)?;
        let mut new = NewEngine::new(name, kind);
        new.exec_type = filled(asked.engine_exec_type.as_deref()).map(str::to_owned);
        (new.mode, new.pay_mode) = paid(ask, &asked)?;
        new.size = size(ask, asked.size.unwrap_or(1))?;
        new.clusters = clusters(ask, asked.min_clusters, asked.max_clusters)?;
        new.description = ask.message(asked.message.unwrap_or_default())?;
        new.tags = tags(ask, asked.tags)?;
        check_timing(
            ask,
            asked.crontab_resume_suspend,
            [
                asked.max_concurrency,
                asked.tolerable_queue_time,
                asked.auto_suspend_time,
                asked.elastic_limit,
            ],
        )?;
        let flavours = [("Standard_CU", ()), ("Memory_CU", ())];
        ask.word(
            "ResourceType",
            asked.resource_type.as_deref(),
            &flavours,
            (),
        )?;
        if let Some(range) = filled(asked.cidr_block.as_deref())
            && !is_range(range)
        {
            return Err(ask.error(
                codes::CIDR,
                format!("CidrBlock is {range:?}, which is no range of addresses like 10.10.0.0/16"),
            ));
        }
        ask.not_here(
            filled(asked.main_cluster_name.as_deref()).is_some(),
            "MainClusterName: no engine here stands by for another",
        )?;
        new.kept = kept(ask);
        if let Some(flag) = renewal(ask, "AutoRenew", asked.auto_renew)? {
            new.kept.insert(RENEW.to_owned(), flag.into());
        }
        if let Some(version) = filled(asked.image_version_name.as_deref()) {
            new.image = Some(ask.image("ImageVersionName", version)?.to_owned());
        }
        if !asked.data_engine_config_pairs.is_empty() {
            let image = match new.image.take() {
                Some(image) => image,
                None => self.newest(ask, kind).await?,
            };
            let pairs = given_pairs(asked.data_engine_config_pairs);
            let config = self.engines.config_of_pairs(ask.owner(), &image, &pairs);
            new.config = config.await.map_err(|e| ask.refused(e))?;
            new.image = Some(image);
        }
        if let Some(given) = &asked.session_resource_template {
            new.config.template = Some(template(ask, kind, given)?);
        }
        let done = self.engines.create(&ask.caller(), new).await;
        let done = done.map_err(|e| ask.refused(e))?;
        ask.did([&done]);
        Ok(wire::CreateDataEngineResponse {
            data_engine_id: done.engine.to_string(),
        })
    }

    /// The newest major version of a kind that is online: what a new engine gets
    /// where nothing is said.
    async fn newest(&self, ask: Ask<'_>, kind: Kind) -> Result<String, Refused> {
        let filter = ImageFilter {
            level: Some(Level::Parent),
            kind: Some(kind),
            parent: None,
        };
        let order = (ImageOrder::Inserted, false);
        let listed = self.engines.images(ask.owner(), filter, order).await;
        listed
            .map_err(|e| ask.refused(e))?
            .into_iter()
            .filter_map(|listed| listed.image.ok())
            .find(|image| image.online().is_ok())
            .map(|image| image.id.to_string())
            .ok_or_else(|| {
                let newest = format!("the newest for {}", kind.as_str());
                ask.refused(Refusal::ImageNotFound(newest))
            })
    }

    pub(super) async fn delete_data_engine(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::DeleteDataEngineResponse, Refused> {
        let asked: wire::DeleteDataEngineRequest = ask.params()?;
        let names = ask.engines("DataEngineNames", &asked.data_engine_names)?;
        let done = self.engines.delete(&ask.caller(), &names).await;
        ask.did(&done.map_err(|e| ask.refused(e))?);
        Ok(wire::DeleteDataEngineResponse {})
    }

    pub(super) async fn describe_data_engine(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::DescribeDataEngineResponse, Refused> {
        let asked: wire::DescribeDataEngineRequest = ask.params()?;
        let name = ask.engine("DataEngineName", &asked.data_engine_name)?;
        let view = self.engines.show(ask.owner(), name).await;
        let view = view.map_err(|e| ask.refused(e))?;
        let shown = self.infos(ask, vec![view]).await?.pop();
        Ok(wire::DescribeDataEngineResponse {
            // One was asked for.
            data_engine: shown.unwrap_or_default(),
        })
    }

    pub(super) async fn update_data_engine(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::UpdateDataEngineResponse, Refused> {
        let asked: wire::UpdateDataEngineRequest = ask.params()?;
        let name = ask.engine("DataEngineName", &asked.data_engine_name)?;
        let size = size(ask, asked.size)?;
        let clusters = clusters(ask, Some(asked.min_clusters), Some(asked.max_clusters))?;
        let description = ask.message(asked.message)?;
        check_timing(
            ask,
            asked.crontab_resume_suspend,
            [
                asked.max_concurrency,
                asked.tolerable_queue_time,
                asked.auto_suspend_time,
                asked.elastic_limit,
            ],
        )?;
        for plan in asked
            .schedule_elasticity_conf
            .iter()
            .flat_map(|c| &c.elastic_plans)
        {
            let (least, most) = (plan.min_elastic_clusters, plan.max_elastic_clusters);
            if least.is_some_and(|n| n < 0) || most.is_some_and(|m| m < least.unwrap_or(0)) {
                return Err(ask.error(
                    codes::ELASTIC_CLUSTERS,
                    "a plan of ScheduleElasticityConf has fewer clusters than none, or more than its most",
                ));
            }
        }
        let (owner, caller) = (ask.owner(), ask.caller());
        let engine = self.engines.get(owner, name).await;
        let engine = engine.map_err(|e| ask.refused(e))?;
        // Settings and size are one change: nothing of the call is done when it
        // is refused.
        let config = match &asked.session_resource_template {
            None => None,
            Some(given) => {
                let template = Some(template(ask, engine.kind, given)?);
                let now = self.config_of(ask, &engine).await?;
                Some(Config { template, ..now })
            }
        };
        if config.is_some() {
            let wanted = Wanted::Modify {
                config,
                size: Some(size).filter(|size| *size != engine.size),
            };
            let done = self
                .engines
                .change(&caller, engine.id.as_str(), wanted)
                .await;
            ask.did([&done.map_err(|e| ask.refused(e))?]);
        }
        let update = Update {
            // The job above has it.
            size: Some(size).filter(|_| asked.session_resource_template.is_none()),
            clusters: Some(clusters),
            description: Some(description),
            kept: kept(ask),
        };
        let done = self
            .engines
            .update(&caller, engine.id.as_str(), update)
            .await;
        ask.did(&done.map_err(|e| ask.refused(e))?);
        Ok(wire::UpdateDataEngineResponse {})
    }

    pub(super) async fn modify_data_engine_description(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::ModifyDataEngineDescriptionResponse, Refused> {
        let asked: wire::ModifyDataEngineDescriptionRequest = ask.params()?;
        let name = ask.engine("DataEngineName", &asked.data_engine_name)?;
        let message = ask.message(asked.message)?;
        let done = self.engines.set_description(ask.owner(), name, &message);
        done.await.map_err(|e| ask.refused(e))?;
        Ok(wire::ModifyDataEngineDescriptionResponse {})
    }

    pub(super) async fn suspend_resume_data_engine(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::SuspendResumeDataEngineResponse, Refused> {
        let asked: wire::SuspendResumeDataEngineRequest = ask.params()?;
        let name = ask.engine("DataEngineName", &asked.data_engine_name)?;
        let operate = ask.must("Operate", &asked.operate)?;
        let words = [("suspend", false), ("resume", true)];
        let resume = ask.word("Operate", Some(operate), &words, false)?;
        let (engines, caller) = (&self.engines, ask.caller());
        let done = match resume {
            true => engines.resume(&caller, name).await,
            false => engines.suspend(&caller, name).await,
        };
        ask.did([&done.map_err(|e| ask.refused(e))?]);
        Ok(wire::SuspendResumeDataEngineResponse {
            data_engine_name: name.to_owned(),
        })
    }

    pub(super) async fn restart_data_engine(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::RestartDataEngineResponse, Refused> {
        let asked: wire::RestartDataEngineRequest = ask.params()?;
        let id = ask.engine("DataEngineId", &asked.data_engine_id)?;
        let forced = asked.forced_operation.unwrap_or(false);
        let done = self.engines.restart(&ask.caller(), id, forced).await;
        ask.did([&done.map_err(|e| ask.refused(e))?]);
        Ok(wire::RestartDataEngineResponse {})
    }

    /// There is one cluster of each engine: it is the main one, and stays it.
    pub(super) async fn switch_data_engine(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::SwitchDataEngineResponse, Refused> {
        let asked: wire::SwitchDataEngineRequest = ask.params()?;
        let name = ask.engine("DataEngineName", &asked.data_engine_name)?;
        let engine = self.engines.get(ask.owner(), name).await;
        engine.map_err(|e| ask.refused(e))?;
        ask.not_here(
            asked.start_standby_cluster,
            "StartStandbyCluster: no engine here stands by for another",
        )?;
        Ok(wire::SwitchDataEngineResponse {})
    }

    /// Nothing is billed here, and no engine expires: of a renewal the flag is
    /// noted.
    pub(super) async fn renew_data_engine(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::RenewDataEngineResponse, Refused> {
        let asked: wire::RenewDataEngineRequest = ask.params()?;
        let name = ask.engine("DataEngineName", &asked.data_engine_name)?;
        let view = self.engines.show(ask.owner(), name).await;
        let view = view.map_err(|e| ask.refused(e))?;
        ask.not_here(
            words::mode(view.engine.mode) != 2 || asked.pay_mode.is_some_and(|mode| mode != 1),
            "only engines that are paid by the month are renewed, beforehand",
        )?;
        if !(1..=TIME_SPAN_MAX).contains(&asked.time_span) {
            return Err(ask.error(codes::VALUE, "TimeSpan is no number of months"));
        }
        ask.word("TimeUnit", asked.time_unit.as_deref(), &[("m", ())], ())?;
        if let Some(holding) = &view.holding {
            return Err(ask.error(
                codes::BUSY,
                format!("job {} works on data engine {name:?}", holding.job),
            ));
        }
        let mut update = Update::default();
        if let Some(flag) = renewal(ask, "RenewFlag", asked.renew_flag)? {
            update.kept.insert(RENEW.to_owned(), flag.into());
        }
        let id = view.engine.id.as_str();
        let done = self.engines.update(&ask.caller(), id, update).await;
        done.map_err(|e| ask.refused(e))?;
        Ok(wire::RenewDataEngineResponse {})
    }

    /// Engines with what is shown beside their rows. One whose rows are damaged
    /// is shown without.
    pub(super) async fn views(
        &self,
        ask: Ask<'_>,
        engines: Vec<Engine>,
    ) -> Result<Vec<EngineView>, Refused> {
        match self.engines.views(engines.clone()).await {
            Ok(views) => return Ok(views),
            Err(Refusal::Record { .. }) => {}
            Err(e) => return Err(ask.refused(e)),
        }
        let mut out = Vec::with_capacity(engines.len());
        for engine in engines {
            match self.engines.views(vec![engine.clone()]).await {
                Ok(views) => out.extend(views),
                Err(Refusal::Record { .. }) => out.push(EngineView {
                    endpoint: engine.endpoint(engine.kind.usual_driver()),
                    parent: (String::new(), String::new()),
                    child: None,
                    python: None,
                    holding: None,
                    engine,
                }),
                Err(e) => return Err(ask.refused(e)),
            }
        }
        Ok(out)
    }

    /// Engines as they are shown.
    pub(super) async fn infos(
        &self,
        ask: Ask<'_>,
        views: Vec<EngineView>,
    ) -> Result<Vec<wire::DataEngineInfo>, Refused> {
        let mut out = Vec::with_capacity(views.len());
        let mut templates = self.templates(ask, &views).await?;
        for view in views {
            let template = templates.remove(view.engine.id.as_str());
            out.push(info(ask, view, template));
        }
        Ok(out)
    }

    /// How the sessions of engines are sized, by the ids of those that say so.
    /// Settings that cannot be read are met where they are asked for.
    async fn templates(
        &self,
        ask: Ask<'_>,
        views: &[EngineView],
    ) -> Result<BTreeMap<String, wire::SessionResourceTemplate>, Refused> {
        let ids: Vec<String> = views.iter().map(|v| v.engine.id.to_string()).collect();
        let mut out = BTreeMap::new();
        if ids.is_empty() {
            return Ok(out);
        }
        let found = match self.configs_of(ask, ids.clone()).await {
            Ok(found) => found,
            Err(Refusal::Record { .. }) => {
                let mut found = Vec::new();
                for id in ids {
                    match self.configs_of(ask, vec![id]).await {
                        Ok(one) => found.extend(one),
                        Err(Refusal::Record { .. }) => {}
                        Err(e) => return Err(ask.refused(e)),
                    }
                }
                found
            }
            Err(e) => return Err(ask.refused(e)),
        };
        for of in found {
            if let Some(template) = shown_template(&of.config) {
                out.insert(of.engine.to_string(), template);
            }
        }
        Ok(out)
    }
}

/// What of the parameters is only kept.
fn kept(ask: Ask<'_>) -> BTreeMap<String, Value> {
    let params = &ask.0.call.params;
    KEPT.iter()
        .filter_map(|name| Some(((*name).to_owned(), params.get(*name)?.clone())))
        .collect()
}

fn info(
    ask: Ask<'_>,
    view: EngineView,
    template: Option<wire::SessionResourceTemplate>,
) -> wire::DataEngineInfo {
    let state = words::state(&view);
    let engine = view.engine;
    let kind = engine.kind;
    let named = |(id, version): (String, String)| match id.is_empty() {
        true => (None, None),
        false => (Some(id), Some(version)),
    };
    let (image_version_id, image_version_name) = named(view.parent);
    let tag = |tag: &Tag| wire::TagInfo {
        tag_key: Some(tag.key.clone()),
        tag_value: Some(tag.value.clone()),
    };
    wire::DataEngineInfo {
        engine_type: words::engine_type(kind).to_owned(),
        cluster_type: shown(&engine, "ClusterType").unwrap_or_else(|| words::cluster_type(kind)),
        quota_id: String::new(),
        state,
        create_time: engine.created.unix_s(),
        update_time: engine.updated.unix_s(),
        size: Some(engine.size.into()),
        mode: words::mode(engine.mode),
        min_clusters: Some(engine.clusters.0.into()),
        max_clusters: Some(engine.clusters.1.into()),
        auto_resume: shown(&engine, "AutoResume"),
        spend_after: None,
        cidr_block: shown(&engine, "CidrBlock"),
        default_data_engine: Some(false),
        message: Some(engine.description.clone()),
        data_engine_id: engine.id.to_string(),
        sub_account_uin: uin(&engine.creator),
        // Nothing expires here.
        expire_time: String::new(),
        isolated_time: String::new(),
        reversal_time: String::new(),
        user_alias: None,
        tag_list: Some(engine.tags.iter().map(tag).collect()),
        permissions: Some(permissions(ask, &engine)),
        auto_suspend: shown(&engine, "AutoSuspend"),
        crontab_resume_suspend: shown(&engine, "CrontabResumeSuspend"),
        crontab_resume_suspend_strategy: shown(&engine, "CrontabResumeSuspendStrategy"),
        engine_exec_type: Some(engine.exec_type.clone()),
        renew_flag: shown(&engine, RENEW),
        auto_suspend_time: shown(&engine, "AutoSuspendTime"),
        network_connection_set: None,
        ui_url: None,
        resource_type: shown(&engine, "ResourceType"),
        image_version_id,
        child_image_version_id: view.child.map(|(id, _)| id),
        image_version_name,
        start_standby_cluster: Some(false),
        elastic_switch: shown(&engine, "ElasticSwitch"),
        elastic_limit: shown(&engine, "ElasticLimit"),
        default_house: Some(false),
        max_concurrency: shown(&engine, "MaxConcurrency"),
        tolerable_queue_time: shown(&engine, "TolerableQueueTime"),
        user_app_id: Some(words::app_id(&engine.owner)),
        user_uin: Some(uin(&engine.owner)),
        session_resource_template: template,
        auto_authorization: shown(&engine, "AutoAuthorization"),
        engine_generation: Some(words::generation(kind).to_owned()),
        engine_type_detail: Some(kind.as_str().to_owned()),
        engine_network_id: shown(&engine, "EngineNetworkId"),
        access_infos: Some(vec![wire::AccessInfo {
            access_type: Some(words::access_type(&view.endpoint).to_owned()),
            access_connection_infos: Some(vec![view.endpoint]),
        }]),
        schedule_elasticity_conf: shown(&engine, "ScheduleElasticityConf"),
        data_engine_name: engine.name,
        ..wire::DataEngineInfo::default()
    }
}

/// What was given and is only kept; none where nothing was.
fn shown<T: DeserializeOwned>(engine: &Engine, name: &str) -> Option<T> {
    let value = engine.kept.get(name)?.clone();
    serde_json::from_value(value).ok()
}

/// What the caller may do to an engine.
pub(super) fn permissions(ask: Ask<'_>, engine: &Engine) -> Vec<String> {
    let principal = &ask.0.principal;
    let region = ask.0.call.region.as_deref().unwrap_or("");
    let resources = match principal.is_limited() {
        false => Vec::new(),
        true => vec![
            [engine.id.as_str(), &engine.name]
                .iter()
                .flat_map(|name| spellings(region, ask.owner(), name))
                .collect(),
        ],
    };
    ACCESS
        .iter()
        .filter(|(_, action)| principal.allows(action, &resources))
        .map(|(word, _)| (*word).to_owned())
        .collect()
}

// ---- what a new engine is ----

fn new_kind(ask: Ask<'_>, asked: &wire::CreateDataEngineRequest) -> Result<Kind, Refused> {
    let engine_type = ask.must("EngineType", &asked.engine_type)?;
    let known = [words::SPARK, words::PRESTO, words::DUCKDB];
    if !known.contains(&engine_type) {
        return Err(ask.error(
            codes::ENGINE_TYPE,
            format!(
                "EngineType is {engine_type:?}, none of {}",
                known.join(", ")
            ),
        ));
    }
    let generations = [(words::SUPER, words::SUPER), (words::NATIVE, words::NATIVE)];
    let generation = filled(asked.engine_generation.as_deref());
    // The vendor's own example begins with a small letter.
    let generation = generation.map(|g| match g {
        "superSQL" => words::SUPER,
        other => other,
    });
    let generation = ask.word("EngineGeneration", generation, &generations, words::SUPER)?;
    let executes = [("SQL", false), ("BATCH", true)];
    let given = asked.engine_exec_type.as_deref();
    let batch = ask.word("EngineExecType", given, &executes, false)?;
    let kind = words::kind_of(engine_type, generation, batch).ok_or_else(|| {
        ask.error(
            codes::ENGINE_TYPE,
            format!("there are no engines of {engine_type} that execute that, in {generation}"),
        )
    })?;
    let cluster = ask.must("ClusterType", &asked.cluster_type)?;
    if !words::fits_cluster(cluster, engine_type) {
        return Err(ask.error(
            codes::SPECS,
            format!(
                "ClusterType is {cluster:?}, neither {engine_type}_cu nor {engine_type}_private"
            ),
        ));
    }
    Ok(kind)
}

/// How a new engine is shared and paid for.
fn paid(
    ask: Ask<'_>,
    asked: &wire::CreateDataEngineRequest,
) -> Result<(backout_engines::model::Mode, Option<i64>), Refused> {
    let mode = words::mode_of(asked.mode).ok_or_else(|| {
        ask.error(
            codes::MODE,
            format!("Mode is {}, none of 0, 1 and 2", asked.mode),
        )
    })?;
    let by_month = asked.mode == 2;
    match asked.pay_mode {
        None | Some(0 | 1) => {}
        Some(other) => {
            return Err(ask.error(
                codes::PAY_MODE,
                format!("PayMode is {other}, neither 0 (afterwards) nor 1 (beforehand)"),
            ));
        }
    }
    let units = [("h", false), ("m", true)];
    let unit = filled(asked.time_unit.as_deref());
    let months = ask.word_or("TimeUnit", unit, &units, by_month, codes::TIME_UNIT)?;
    if asked.pay_mode.is_some_and(|pay| (pay == 1) != by_month) || months != by_month {
        return Err(ask.error(
            codes::MODES,
            "what is paid beforehand (PayMode 1) is paid by the month (Mode 2, TimeUnit m), and nothing else is",
        ));
    }
    if !(1..=TIME_SPAN_MAX).contains(&asked.time_span.unwrap_or(1)) {
        return Err(ask.error(
            codes::TIME_SPAN,
            format!("TimeSpan is not in 1 to {TIME_SPAN_MAX}"),
        ));
    }
    Ok((mode, asked.pay_mode))
}

fn size(ask: Ask<'_>, given: i64) -> Result<u32, Refused> {
    u32::try_from(given)
        .ok()
        .filter(|size| (1..=SIZE_MAX).contains(size))
        .ok_or_else(|| {
            ask.error(
                codes::SIZE,
                format!("Size is {given}, not in 1 to {SIZE_MAX}"),
            )
        })
}

/// The fewest and the most clusters.
fn clusters(ask: Ask<'_>, least: Option<i64>, most: Option<i64>) -> Result<(u32, u32), Refused> {
    let number = |n: i64| u32::try_from(n).ok().filter(|n| *n <= SIZE_MAX);
    let least = least.unwrap_or(1);
    let most = most.unwrap_or(least.max(1));
    match (number(least), number(most)) {
        (Some(least), Some(most)) if least <= most => Ok((least, most)),
        _ => Err(ask.error(
            codes::CLUSTERS,
            format!(
                "MinClusters {least} and MaxClusters {most} are no range within 0 and {SIZE_MAX}"
            ),
        )),
    }
}

/// Numbers that have no effect here, and the least that each may be.
const TIMING: [(&str, i64); 4] = [
    ("MaxConcurrency", 1),
    ("TolerableQueueTime", 0),
    ("AutoSuspendTime", 0),
    ("ElasticLimit", 0),
];

/// What has no effect here still has its values: `timing` in the order of
/// [`TIMING`].
fn check_timing(
    ask: Ask<'_>,
    crontab: Option<i64>,
    timing: [Option<i64>; TIMING.len()],
) -> Result<(), Refused> {
    if !matches!(crontab, None | Some(0 | 1)) {
        return Err(ask.error(codes::VALUE, "CrontabResumeSuspend takes 0 or 1"));
    }
    for ((parameter, least), given) in TIMING.into_iter().zip(timing) {
        ask.at_least(parameter, given, least)?;
    }
    Ok(())
}

fn renewal(ask: Ask<'_>, parameter: &str, given: Option<i64>) -> Result<Option<i64>, Refused> {
    match given {
        None | Some(0..=2) => Ok(given),
        Some(other) => Err(ask.error(
            codes::VALUE,
            format!("{parameter} is {other}, none of 0, 1 and 2"),
        )),
    }
}

/// Labels on a new engine.
fn tags(ask: Ask<'_>, given: Vec<wire::TagInfo>) -> Result<Vec<Tag>, Refused> {
    if given.len() > TAGS_MAX {
        return Err(ask.error(codes::TAGS, format!("more than {TAGS_MAX} tags")));
    }
    let mut keys = BTreeSet::new();
    let mut out = Vec::with_capacity(given.len());
    for tag in given {
        let tag = Tag {
            key: tag.tag_key.unwrap_or_default(),
            value: tag.tag_value.unwrap_or_default(),
        };
        let wrong = if tag.key.trim().is_empty() || tag.key.chars().any(char::is_control) {
            Some((codes::TAG_KEY, "has no key, or one with control characters"))
        } else if tag.value.chars().any(char::is_control) {
            Some((codes::TAG_VALUE, "has a value with control characters"))
        } else if tag.key.chars().count() > TAG_KEY_MAX_CHARS {
            Some((
                codes::TAG_KEY_LENGTH,
                "has a key of more than 127 characters",
            ))
        } else if tag.value.chars().count() > TAG_VALUE_MAX_CHARS {
            Some((
                codes::TAG_VALUE_LENGTH,
                "has a value of more than 255 characters",
            ))
        } else if !keys.insert(tag.key.clone()) {
            Some((codes::TAG_TWICE, "is there twice"))
        } else {
            None
        };
        if let Some((cause, why)) = wrong {
            return Err(ask.error(cause, format!("the tag {:?} {why}", tag.key)));
        }
        out.push(tag);
    }
    Ok(out)
}

/// Whether a text is a range of addresses, e.g. `10.10.0.0/16`.
fn is_range(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else {
        return false;
    };
    address.parse::<Ipv4Addr>().is_ok() && bits.parse::<u8>().is_ok_and(|bits| bits <= 32)
}
