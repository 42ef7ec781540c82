//! Parameters, the settings of sessions, and where results are kept.

use backout_engines::Refusal;
use backout_engines::catalogue::{Image, Level};
use backout_engines::model::{Config, Engine, Kind, Pairs};
use backout_engines::parameters::Spec;
use backout_engines::persistence::{EngineFilter, EngineOrder, Page};
use backout_engines::service::{ConfigOf, Parameter, Storage};
use backout_wire::types::dlc as wire;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::asked::{Ask, filled};
use super::{Dlc, codes, words};
use crate::cdb::words::uin;
use crate::front::{Refused, count};

/// The sizes of the processes of a session (contract).
const SIZES: [&str; 8] = [
    "small", "medium", "large", "xlarge", "m.small", "m.medium", "m.large", "m.xlarge",
];

/// The largest number of executors that is taken.
const EXECUTORS_MAX: u64 = 10_000;

impl Dlc {
    pub(super) async fn update_user_data_engine_config(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::UpdateUserDataEngineConfigResponse, Refused> {
        let asked: wire::UpdateUserDataEngineConfigRequest = ask.params()?;
        let id = ask.engine("DataEngineId", &asked.data_engine_id)?;
        let pairs = ask.has("DataEngineConfigPairs");
        if !pairs && asked.session_resource_template.is_none() {
            return Err(ask.error(
                codes::MISSING,
                "neither DataEngineConfigPairs nor SessionResourceTemplate is given",
            ));
        }
        let engine = self.engines.get(ask.owner(), id).await;
        let engine = engine.map_err(|e| ask.refused(e))?;
        let now = self.config_of(ask, &engine).await?;
        let template = match &asked.session_resource_template {
            None => now.template.clone(),
            Some(given) => Some(template(ask, engine.kind, given)?),
        };
        let (caller, id) = (ask.caller(), engine.id.as_str());
        let done = match pairs {
            // The list replaces what was there.
            true => {
                let pairs = given_pairs(asked.data_engine_config_pairs);
                self.engines.set_pairs(&caller, id, &pairs, template).await
            }
            false => {
                let config = Config { template, ..now };
                self.engines.set_config(&caller, id, config).await
            }
        };
        ask.did([&done.map_err(|e| ask.refused(e))?]);
        Ok(wire::UpdateUserDataEngineConfigResponse {})
    }

    /// The settings of an engine.
    pub(super) async fn config_of(&self, ask: Ask<'_>, engine: &Engine) -> Result<Config, Refused> {
        let found = self.configs_of(ask, vec![engine.id.to_string()]).await;
        let mut found = found.map_err(|e| ask.refused(e))?;
        // One that has gone meanwhile has no settings.
        Ok(found.pop().map(|of| of.config).unwrap_or_default())
    }

    /// The settings of the engines of these ids: a page of them.
    pub(super) async fn configs_of(
        &self,
        ask: Ask<'_>,
        ids: Vec<String>,
    ) -> Result<Vec<ConfigOf>, Refusal> {
        let page = Page {
            offset: 0,
            limit: ids.len() as u64,
        };
        let filter = EngineFilter {
            ids,
            ..EngineFilter::default()
        };
        let order = (EngineOrder::Created, false);
        let found = self.engines.configs(ask.owner(), filter, order, page).await;
        Ok(found?.1)
    }

    pub(super) async fn describe_user_data_engine_config(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::DescribeUserDataEngineConfigResponse, Refused> {
        let asked: wire::DescribeUserDataEngineConfigRequest = ask.params()?;
        let page = ask.page(asked.offset, asked.limit)?;
        let orders = [("create-time", EngineOrder::Created)];
        let order = ask.word_or(
            "SortBy",
            asked.sort_by.as_deref(),
            &orders,
            EngineOrder::Created,
            codes::SORT,
        )?;
        let ascending = ask.ascending(asked.sorting.as_deref(), false)?;
        let mut filter = EngineFilter::default();
        for one in asked.filters {
            let operator = filled(one.operator.as_deref()).unwrap_or("IN");
            if !["IN", "EQ"].contains(&operator) || one.values.is_empty() {
                return Err(ask.error(
                    codes::VALUE,
                    "a filter takes the operators EQ and IN here, and at least one value",
                ));
            }
            let mut values = one.values;
            for value in &values {
                ask.sound("a filter", value)?;
            }
            if operator == "EQ" {
                values.truncate(1);
            }
            match filled(one.name.as_deref()) {
                Some("app-id") => {
                    let own = words::app_id(ask.owner()).to_string();
                    filter.nothing |= !values.contains(&own);
                }
                // Two conditions are joined by AND.
                Some("engine-id") if filter.ids.is_empty() => filter.ids = values,
                Some("engine-id") => {
                    filter.ids.retain(|id| values.contains(id));
                    filter.nothing |= filter.ids.is_empty();
                }
                name => {
                    return Err(ask.error(
                        codes::VALUE,
                        format!("there is no filter {:?} here", name.unwrap_or_default()),
                    ));
                }
            }
        }
        let order = (order, ascending);
        let found = self.engines.configs(ask.owner(), filter, order, page).await;
        let (total, found) = found.map_err(|e| ask.refused(e))?;
        let rows = found
            .into_iter()
            .map(|of| wire::DataEngineConfigInstanceInfo {
                data_engine_id: of.engine.to_string(),
                data_engine_config_pairs: shown_pairs(&of.config),
                session_resource_template: shown_template(&of.config).unwrap_or_default(),
            })
            .collect();
        Ok(wire::DescribeUserDataEngineConfigResponse {
            data_engine_config_instance_infos: rows,
            total_count: total,
        })
    }

    /// A version that may be absent, which must be at that level of the catalogue.
    async fn given_version(
        &self,
        ask: Ask<'_>,
        parameter: &str,
        given: Option<&str>,
        level: Level,
    ) -> Result<Option<Image>, Refused> {
        let Some(text) = filled(given) else {
            return Ok(None);
        };
        let text = ask.image(parameter, text)?;
        self.version_at(ask, parameter, text, level).await.map(Some)
    }

    pub(super) async fn check_data_engine_config_pairs_validity(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::CheckDataEngineConfigPairsValidityResponse, Refused> {
        let asked: wire::CheckDataEngineConfigPairsValidityRequest = ask.params()?;
        let given = asked.child_image_version_id.as_deref();
        let child = self.given_version(ask, "ChildImageVersionId", given, Level::Child);
        let child = child.await?;
        let given = asked.image_version_id.as_deref();
        let parent = self.given_version(ask, "ImageVersionId", given, Level::Parent);
        let parent = parent.await?;
        let image = match (child, parent) {
            (None, None) => {
                return Err(ask.error(
                    codes::MISSING,
                    "neither ChildImageVersionId nor ImageVersionId is given",
                ));
            }
            (Some(child), Some(parent))
                if child.parent.as_ref().is_none_or(|(id, _)| *id != parent.id) =>
            {
                return Err(ask.error(
                    codes::IMAGE_LEVEL,
                    format!("{:?} is no version of {:?}", child.version, parent.version),
                ));
            }
            (Some(image), _) | (None, Some(image)) => image.id,
        };
        let pairs = given_pairs(asked.data_engine_config_pairs);
        let bad = self
            .engines
            .check_pairs(ask.owner(), image.as_str(), &pairs)
            .await
            .map_err(|e| ask.refused(e))?;
        Ok(wire::CheckDataEngineConfigPairsValidityResponse {
            is_available: bad.is_empty(),
            unavailable_config: bad.iter().map(|b| b.name().to_owned()).collect(),
        })
    }

    pub(super) async fn describe_data_engine_session_parameters(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::DescribeDataEngineSessionParametersResponse, Refused> {
        let asked: wire::DescribeDataEngineSessionParametersRequest = ask.params()?;
        let id = ask.engine("DataEngineId", &asked.data_engine_id)?;
        if let Some(name) = filled(asked.data_engine_name.as_deref()) {
            let name = ask.engine("DataEngineName", name)?;
            let (owner, engines) = (ask.owner(), &self.engines);
            let by_id = engines.get(owner, id).await.map_err(|e| ask.refused(e))?;
            let by_name = engines.get(owner, name).await.map_err(|e| ask.refused(e))?;
            if by_id.id != by_name.id {
                return Err(ask.error(
                    codes::FORM,
                    format!("{id} is not the engine {name:?}: leave one of them out"),
                ));
            }
        }
        let found = self.engines.parameters(ask.owner(), id).await;
        let (engine, image, parameters) = found.map_err(|e| ask.refused(e))?;
        let row = |Parameter {
                       name,
                       spec,
                       cluster,
                   }: Parameter| {
            wire::DataEngineImageSessionParameter {
                parameter_id: Some(parameter_id(image.id.as_str(), &name, cluster)),
                child_image_version_id: Some(image.id.to_string()),
                engine_type: Some(engine.kind.as_str().to_owned()),
                key_description: Some(spec.description.clone()),
                value_type: Some(spec.kind.as_str().to_owned()),
                value_length_limit: spec.max_length.map(|most| most.to_string()),
                value_regexp_limit: pattern(&spec),
                value_default: spec.default.as_ref().map(|d| d.0.clone()),
                is_public: Some(words::is_public(&image)),
                parameter_type: Some(match cluster {
                    false => 1,
                    true => 3,
                }),
                submit_method: Some(
                    match spec.internal {
                        false => "User",
                        true => "BackGround",
                    }
                    .to_owned(),
                ),
                operator: None,
                insert_time: Some(words::local_time(image.created)),
                update_time: Some(words::local_time(image.updated)),
                key_name: Some(name),
            }
        };
        Ok(wire::DescribeDataEngineSessionParametersResponse {
            data_engine_parameters: parameters.into_iter().map(row).collect(),
        })
    }

    pub(super) async fn update_data_engine_config(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::UpdateDataEngineConfigResponse, Refused> {
        let asked: wire::UpdateDataEngineConfigRequest = ask.params()?;
        let ids = ask.engines("DataEngineIds", &asked.data_engine_ids)?;
        let storage = storage(
            ask,
            &asked.data_engine_config_command,
            asked.use_lake_fs,
            asked.custom_result_path,
        )?;
        let done = self.engines.set_storage(ask.owner(), &ids, &storage).await;
        done.map_err(|e| ask.refused(e))?;
        Ok(wire::UpdateDataEngineConfigResponse {})
    }

    pub(super) async fn describe_updatable_data_engines(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::DescribeUpdatableDataEnginesResponse, Refused> {
        let asked: wire::DescribeUpdatableDataEnginesRequest = ask.params()?;
        let storage = storage(
            ask,
            &asked.data_engine_config_command,
            asked.use_lake_fs,
            asked.custom_result_path,
        )?;
        let engines = self.engines.updatable(ask.owner(), &storage).await;
        let engines = engines.map_err(|e| ask.refused(e))?;
        let rows: Vec<_> = self
            .views(ask, engines)
            .await?
            .into_iter()
            .map(|view| wire::DataEngineBasicInfo {
                state: words::state(&view),
                data_engine_name: view.engine.name,
                create_time: view.engine.created.unix_s(),
                update_time: view.engine.updated.unix_s(),
                message: view.engine.description,
                data_engine_id: view.engine.id.to_string(),
                data_engine_type: view.engine.kind.as_str().to_owned(),
                app_id: words::app_id(&view.engine.owner),
                user_uin: uin(&view.engine.owner),
            })
            .collect();
        Ok(wire::DescribeUpdatableDataEnginesResponse {
            total_count: count(rows.len() as u64),
            data_engine_basic_infos: rows,
        })
    }
}

/// Settings as they are given.
pub(super) fn given_pairs(pairs: Vec<wire::DataEngineConfigPair>) -> Vec<(String, String)> {
    pairs
        .into_iter()
        .map(|pair| (pair.config_item.trim().to_owned(), pair.config_value))
        .collect()
}

/// Settings as they are shown: those of the cluster, then those of sessions.
fn shown_pairs(config: &Config) -> Vec<wire::DataEngineConfigPair> {
    let one = |(name, value): (&String, &String)| wire::DataEngineConfigPair {
        config_item: name.clone(),
        config_value: value.clone(),
    };
    let all = |pairs: &Pairs| pairs.iter().map(one).collect::<Vec<_>>();
    let mut out = all(&config.cluster);
    out.extend(all(&config.session));
    out
}

/// How sessions are sized, as it was given; none where nothing was.
pub(super) fn shown_template(config: &Config) -> Option<wire::SessionResourceTemplate> {
    let template = config.template.clone()?;
    serde_json::from_value(template).ok()
}

/// How sessions are to be sized, checked: only engines of Spark have any.
pub(super) fn template(
    ask: Ask<'_>,
    kind: Kind,
    given: &wire::SessionResourceTemplate,
) -> Result<Value, Refused> {
    if words::engine_type(kind) != words::SPARK {
        return Err(ask.error(
            codes::TEMPLATE_KIND,
            format!(
                "SessionResourceTemplate is for engines of Spark, and this one is for {}",
                kind.as_str()
            ),
        ));
    }
    for size in [&given.driver_size, &given.executor_size] {
        let size = filled(size.as_deref());
        if size.is_some_and(|size| !SIZES.contains(&size)) {
            return Err(ask.error(
                codes::TEMPLATE,
                format!("a size is one of {}", SIZES.join(", ")),
            ));
        }
    }
    let (nums, most) = (given.executor_nums, given.executor_max_numbers);
    if nums.max(most).unwrap_or(0) > EXECUTORS_MAX {
        return Err(ask.error(
            codes::TEMPLATE,
            format!("at most {EXECUTORS_MAX} executors are taken"),
        ));
    }
    let template = wire::SessionResourceTemplate {
        // The contract: raised to the first where it is lower.
        executor_max_numbers: most.map(|most| most.max(nums.unwrap_or(0))),
        running_time_parameters: given.running_time_parameters.clone(),
        ..given.clone()
    };
    serde_json::to_value(&template).map_err(|e| {
        ask.error(
            codes::TEMPLATE,
            format!("SessionResourceTemplate cannot be kept: {e}"),
        )
    })
}

/// Where results are to be kept.
fn storage(
    ask: Ask<'_>,
    command: &str,
    use_lake_fs: Option<bool>,
    path: Option<String>,
) -> Result<Storage, Refused> {
    let path = filled(path.as_deref()).map(str::to_owned);
    let commands = [
        ("UpdateSparkSQLLakefsPath", true),
        ("UpdateSparkSQLResultPath", false),
    ];
    let command = ask.must("DataEngineConfigCommand", command)?;
    let lake = ask.word("DataEngineConfigCommand", Some(command), &commands, false)?;
    let missing = match (lake, use_lake_fs, &path) {
        (true, None, _) => "UseLakeFs",
        (false, _, None) => "CustomResultPath",
        _ => {
            return Ok(Storage {
                managed: use_lake_fs.unwrap_or(false),
                path: path.unwrap_or_default(),
            });
        }
    };
    Err(ask.error(codes::MISSING, format!("{missing} goes with {command}")))
}

/// The id of a parameter: derived from what it is, so that it stays the same.
fn parameter_id(image: &str, name: &str, cluster: bool) -> String {
    let digest = Sha256::digest(format!("{image}\n{cluster}\n{name}"));
    let hex = hex::encode(digest);
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    [
        part(0, 8),
        part(8, 12),
        part(12, 16),
        part(16, 20),
        part(20, 32),
    ]
    .join("-")
}

/// The values that a parameter takes, as a pattern; none where any will do.
fn pattern(spec: &Spec) -> Option<String> {
    if spec.allowed.is_empty() {
        return None;
    }
    let values: Vec<String> = spec.allowed.iter().map(|a| regex::escape(&a.0)).collect();
    Some(format!("^({})$", values.join("|")))
}
