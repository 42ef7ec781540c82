//! Applications, their versions and replicas.

use std::collections::BTreeMap;

use backout_apps::model::{Application, ApplicationState, Version};
use backout_apps::persistence::ApplicationFilter;
use backout_apps::{Refusal, ReplicaView};
use backout_core::ids::ApplicationId;
use backout_wire::types::sae as wire;
use backout_workloads::Phase;

use super::asked::{Ask, Paging, required, some};
use super::{Sae, catalog, codes, how, release, rules, words};
use crate::front::{Refused, count};

/// The only kind of what has tags, and of what is listed.
const RESOURCE_TYPE: &str = "application";

/// The kind of every application here.
const APP_TYPE: &str = "micro_service";

/// The name of the only group of an application.
const GROUP_NAME: &str = "_DEFAULT_GROUP";

/// Why replicas do not sleep.
pub const NO_IDLE: &str = "replicas run, or are stopped; there is no idle mode here";

/// How many versions a list has: all that are kept, and those in use besides.
const VERSIONS: Paging = Paging {
    current: 1,
    size: 1000,
};

/// The id of the only group of an application.
fn group_id(application: &ApplicationId) -> String {
    application.to_string()
}

/// What is shown of an application besides its row.
struct Beside {
    /// The version it was deployed or taken back to last.
    version: Option<Version>,
    /// How many replicas run.
    running: u32,
    /// The scaling rule that is on, or else any: whether it is on, and its
    /// kind.
    rule: Option<(bool, &'static str)>,
}

impl Beside {
    fn cpu(&self) -> i64 {
        let release = self.version.as_ref().map(|v| &v.release);
        release.map_or(0, |r| i64::from(r.cpu_millis.unwrap_or(0)))
    }

    fn memory(&self) -> i64 {
        let release = self.version.as_ref().map(|v| &v.release);
        release.map_or(0, |r| release::mebibytes(r.memory_bytes))
    }

    fn language(&self) -> Option<String> {
        let release = &self.version.as_ref()?.release;
        Some(release::language(&release.artifact).to_owned())
    }
}

/// Whether the process of a replica is there.
fn runs(replica: &ReplicaView) -> bool {
    replica.status.as_ref().is_some_and(|s| s.phase.runs())
}

/// The vendor's word for how the process of a replica is.
fn container_word(replica: &ReplicaView) -> &'static str {
    match replica.status.as_ref().map(|s| &s.phase) {
        None => "Pending",
        Some(Phase::Starting | Phase::Ready | Phase::Unready) => "Running",
        Some(Phase::Stopping) => "Terminating",
        Some(Phase::Waits { .. }) => "CrashLoopBackOff",
        Some(Phase::Ended { .. }) => "Error",
        Some(Phase::Lost) => "NotFound",
    }
}

/// The vendor's word for whether a replica is well.
fn health_word(replica: &ReplicaView, version: Option<&Version>) -> &'static str {
    let release = version.map(|v| &v.release);
    let (liveness, readiness) = (
        release.is_some_and(|r| r.liveness.is_some()),
        release.is_some_and(|r| r.readiness.is_some()),
    );
    match (
        replica.status.as_ref().map(|s| &s.phase),
        liveness,
        readiness,
    ) {
        (Some(Phase::Ready), false, false) => "WithoutHealthCheckConfig",
        (Some(Phase::Ready), false, true) => "WithoutLivenessConfig",
        (Some(Phase::Ready), true, false) => "WithoutReadinessConfig",
        (Some(Phase::Ready), true, true) => "Healthy",
        (None | Some(Phase::Starting), _, _) => "NotCheckedYet",
        (Some(Phase::Unready), _, true) => "ReadinessUnhealthy",
        (Some(Phase::Waits { .. }), true, _) => "LivenessUnhealthy",
        _ => "Unhealthy",
    }
}

impl Sae {
    /// The application that is meant. Its name is none of its ids.
    pub(super) async fn application(&self, ask: Ask<'_>, id: &str) -> Result<Application, Refused> {
        let id = required("AppId", id)?;
        let none = || Refusal::ApplicationNotFound(id.chars().take(100).collect());
        let known: ApplicationId = id.parse().map_err(|_| ask.refused(none()))?;
        self.apps
            .get(ask.owner(), known.as_str())
            .await
            .map_err(|e| ask.refused(e))
    }

    /// What is shown of applications besides their rows, of each.
    async fn all_beside(
        &self,
        ask: Ask<'_>,
        found: Vec<Application>,
    ) -> Result<Vec<(Application, Beside)>, Refused> {
        let views = self.apps.views(found).await.map_err(|e| ask.refused(e))?;
        let beside = views.into_iter().map(|view| {
            let rule = view.rules.iter().max_by_key(|row| row.rule.enabled);
            let running = view.replicas.iter().filter(|r| runs(r)).count();
            let beside = Beside {
                version: view.version,
                running: u32::try_from(running).unwrap_or(u32::MAX),
                rule: rule.map(|row| (row.rule.enabled, rules::kind(&row.rule))),
            };
            (view.application, beside)
        });
        Ok(beside.collect())
    }

    async fn beside(&self, ask: Ask<'_>, application: &Application) -> Result<Beside, Refused> {
        let found = self.all_beside(ask, vec![application.clone()]).await?;
        let none = || Refusal::ApplicationNotFound(application.id.to_string());
        let (_, beside) = found
            .into_iter()
            .next()
            .ok_or_else(|| ask.refused(none()))?;
        Ok(beside)
    }

    /// The version an application was deployed or taken back to last.
    pub(super) async fn present_version(
        &self,
        ask: Ask<'_>,
        application: &Application,
    ) -> Result<Option<Version>, Refused> {
        if application.version.is_none() {
            return Ok(None);
        }
        let found = self
            .apps
            .version_of(ask.owner(), application.id.as_str(), None)
            .await;
        found.map(Some).map_err(|e| ask.refused(e))
    }

    pub(super) async fn get_application(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::GetApplicationResponse, Refused> {
        let asked: wire::GetApplicationRequest = ask.params()?;
        let application = match (
            some(asked.app_id.as_deref()),
            some(asked.app_name.as_deref()),
        ) {
            (Some(id), _) => self.application(ask, id).await?,
            (None, None) => return Err(codes::empty("AppId")),
            (None, Some(name)) => {
                let namespace = asked.namespace_id.as_deref().unwrap_or_default();
                let namespace = match some(Some(namespace)) {
                    Some(text) => ask.namespace(text),
                    None => super::DEFAULT_NAMESPACE.to_owned(),
                };
                self.apps
                    .get(ask.owner(), &format!("{namespace}/{name}"))
                    .await
                    .map_err(|e| ask.refused(e))?
            }
        };
        let beside = self.beside(ask, &application).await?;
        Ok(wire::GetApplicationResponse {
            application: Some(wire::GetApplicationApplication {
                app_description: Some(application.description.clone()),
                app_id: Some(application.id.to_string()),
                app_name: Some(application.name.clone()),
                base_app_id: None,
                cpu: Some(beside.cpu()),
                instances: Some(i64::from(application.replicas)),
                is_stateful: Some(false),
                mem: Some(beside.memory()),
                mse_enabled: Some(false),
                mse_namespace_id: None,
                namespace_id: Some(ask.namespace_id(&application.namespace)),
                programming_language: beside.language(),
                running_instances: Some(i64::from(beside.running)),
                scale_rule_enabled: beside.rule.map(|(on, _)| on.to_string()),
                scale_rule_type: beside.rule.map(|(_, kind)| kind.to_owned()),
            }),
        })
    }

    pub(super) async fn list_applications(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::ListApplicationsResponse, Refused> {
        let asked: wire::ListApplicationsRequest = ask.params()?;
        let paging = ask.paging(asked.current_page, asked.page_size)?;
        let mut filter = ApplicationFilter {
            namespace: ask.some_namespace(asked.namespace_id.as_deref()),
            text: some(asked.app_name.as_deref()).map(str::to_owned),
            tags: catalog::tag_filters(asked.tags.as_deref())?,
            ..ApplicationFilter::default()
        };
        let mut nothing = fields(
            asked.field_type.as_deref(),
            asked.field_value.as_deref(),
            &mut filter,
        )?;
        // What no application here is finds nothing.
        let source = some(asked.app_source.as_deref());
        nothing |= source.is_some_and(|source| source != APP_TYPE);
        nothing |= how::switch("IsStateful", asked.is_stateful.as_deref())? == Some(true);
        let language = some(asked.programming_language.as_deref());
        let edition = some(asked.new_sae_version.as_deref());
        if let Some(order) = some(asked.order_by.as_deref())
            && !["runningInstances", "instances"].contains(&order)
        {
            return Err(codes::value(
                "OrderBy",
                "give runningInstances or instances",
            ));
        }
        let (total, found) = match nothing {
            true => (0, Vec::new()),
            false => self
                .apps
                .list(ask.owner(), filter, paging.page())
                .await
                .map_err(|e| ask.refused(e))?,
        };
        let mut rows = Vec::with_capacity(found.len());
        for (application, beside) in self.all_beside(ask, found).await? {
            let shown = self.listed(ask, &application, &beside);
            let told = |wanted: Option<&str>, is: Option<&str>| {
                wanted.is_none_or(|wanted| is == Some(wanted))
            };
            if told(language, shown.programming_language.as_deref())
                && told(edition, shown.new_sae_version.as_deref())
            {
                rows.push(shown);
            }
        }
        let reverse = asked.reverse.unwrap_or(false);
        match some(asked.order_by.as_deref()) {
            Some("runningInstances") => rows.sort_by_key(|row| row.running_instances),
            Some(_) => rows.sort_by_key(|row| row.instances),
            // As found: newest first.
            None if reverse => rows.reverse(),
            None => {}
        }
        if !reverse && some(asked.order_by.as_deref()).is_some() {
            rows.reverse();
        }
        let total = count(total);
        Ok(wire::ListApplicationsResponse {
            current_page: Some(paging.current),
            data: Some(wire::ListApplicationsData {
                applications: Some(rows),
                current_page: Some(paging.current),
                page_size: Some(paging.size),
                total_size: Some(total),
            }),
            page_size: Some(paging.size),
            total_size: Some(total),
        })
    }

    fn listed(
        &self,
        ask: Ask<'_>,
        application: &Application,
        beside: &Beside,
    ) -> wire::ListApplicationsDataApplications {
        let release = beside.version.as_ref().map(|v| &v.release);
        let kept = |name: &str| release.and_then(|r| r.kept.get(name).cloned());
        wire::ListApplicationsDataApplications {
            app_deleting_status: Some(application.state == ApplicationState::Deleting),
            app_description: Some(application.description.clone()),
            app_id: Some(application.id.to_string()),
            app_name: Some(application.name.clone()),
            app_type: Some(APP_TYPE.to_owned()),
            base_app_id: kept("BaseAppId"),
            children: None,
            cpu: Some(beside.cpu()),
            disk_size: None,
            enable_idle: Some("false".to_owned()),
            image_url: release.and_then(|r| release::image(&r.artifact)),
            instances: Some(i64::from(application.replicas)),
            is_stateful: Some(false),
            labels: kept("Labels").and_then(|text| serde_json::from_str(&text).ok()),
            mem: Some(beside.memory()),
            mse_enabled: Some(false),
            mse_namespace_id: None,
            namespace_id: Some(ask.namespace_id(&application.namespace)),
            namespace_name: Some(application.namespace.clone()),
            new_sae_version: Some(kept("NewSaeVersion").unwrap_or_else(|| "std".to_owned())),
            package_url: release
                .and_then(|r| release::package(&r.artifact))
                .map(|(address, _)| address.to_owned()),
            programming_language: beside.language(),
            rasp_enabled: Some(false),
            region_id: Some(ask.region().to_owned()),
            resource_type: Some(RESOURCE_TYPE.to_owned()),
            running_instances: Some(i64::from(beside.running)),
            tags: Some(
                application
                    .tags
                    .iter()
                    .map(|tag| wire::ListApplicationsDataApplicationsTags {
                        key: Some(tag.key.clone()),
                        value: Some(tag.value.clone()),
                    })
                    .collect(),
            ),
            vpc_id: kept("VpcId"),
        }
    }

    pub(super) async fn update_application_description(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::UpdateApplicationDescriptionResponse, Refused> {
        let asked: wire::UpdateApplicationDescriptionRequest = ask.params()?;
        let application = self.application(ask, &asked.app_id).await?;
        self.apps
            .describe(
                &ask.caller(),
                application.id.as_str(),
                &asked.app_description,
            )
            .await
            .map_err(|e| ask.refused(e))?;
        Ok(wire::UpdateApplicationDescriptionResponse {})
    }

    /// There is no idle mode; to switch it off is fine.
    pub(super) async fn update_app_mode(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::UpdateAppModeResponse, Refused> {
        let asked: wire::UpdateAppModeRequest = ask.params()?;
        let hours = some(asked.idle_hour.as_deref()).is_some();
        if asked.enable_idle == Some(true) || hours {
            return Err(codes::value("EnableIdle", NO_IDLE));
        }
        let mut named: Vec<&str> = some(asked.app_id.as_deref()).into_iter().collect();
        if let Some(ids) = some(asked.app_ids.as_deref()) {
            named.extend(ids.split(',').map(str::trim).filter(|id| !id.is_empty()));
        }
        if let Some(namespace) = ask.some_namespace(asked.namespace_id.as_deref()) {
            self.apps
                .namespace(ask.owner(), &namespace)
                .await
                .map_err(|e| ask.refused(e))?;
        } else if named.is_empty() {
            return Err(codes::empty("AppId"));
        }
        for id in named {
            self.application(ask, id).await?;
        }
        Ok(wire::UpdateAppModeResponse {})
    }

    pub(super) async fn list_app_versions(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::ListAppVersionsResponse, Refused> {
        let asked: wire::ListAppVersionsRequest = ask.params()?;
        let application = self.application(ask, &asked.app_id).await?;
        let (_, found) = self
            .apps
            .versions(ask.owner(), application.id.as_str(), VERSIONS.page())
            .await
            .map_err(|e| ask.refused(e))?;
        let data = found
            .iter()
            .map(|version| {
                let artifact = &version.release.artifact;
                let address = release::package(artifact).map(|(address, _)| address.to_owned());
                let image = release::image(artifact);
                wire::ListAppVersionsData {
                    build_package_url: Some(address.clone().unwrap_or_default()),
                    create_time: Some(words::epoch_text(version.created)),
                    id: Some(version.id.to_string()),
                    type_: Some(
                        match image {
                            Some(_) => "image",
                            None => "url",
                        }
                        .to_owned(),
                    ),
                    war_url: Some(image.or(address).unwrap_or_default()),
                }
            })
            .collect();
        Ok(wire::ListAppVersionsResponse { data: Some(data) })
    }

    pub(super) async fn describe_application_status(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::DescribeApplicationStatusResponse, Refused> {
        let asked: wire::DescribeApplicationStatusRequest = ask.params()?;
        let application = self.application(ask, &asked.app_id).await?;
        let beside = self.beside(ask, &application).await?;
        let last = self.last_order(ask, &application.id).await?;
        let standing = last.as_ref().map(|order| order.standing);
        Ok(wire::DescribeApplicationStatusResponse {
            data: Some(wire::DescribeApplicationStatusData {
                app_id: Some(application.id.to_string()),
                arms_advanced_enabled: Some("false".to_owned()),
                arms_apm_info: None,
                create_time: Some(words::epoch_text(application.created)),
                current_status: Some(words::state(application.state, beside.running).to_owned()),
                enable_agent: Some(false),
                file_size_limit: None,
                last_change_order_id: last.as_ref().map(|order| order.id.to_string()),
                last_change_order_running: Some(standing.is_some_and(|s| !s.is_over())),
                last_change_order_status: standing.map(|s| words::word(s).to_owned()),
                running_instances: Some(i64::from(beside.running)),
                sub_status: Some(words::sub_word(standing).to_owned()),
            }),
        })
    }

    pub(super) async fn describe_application_config(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::DescribeApplicationConfigResponse, Refused> {
        let asked: wire::DescribeApplicationConfigRequest = ask.params()?;
        let application = self.application(ask, &asked.app_id).await?;
        let version = match some(asked.version_id.as_deref()) {
            Some(id) => Some(self.version(ask, &application, id).await?),
            None => self.present_version(ask, &application).await?,
        };
        let present = some(asked.version_id.as_deref()).is_none();
        let mut shown = match &version {
            Some(version) => release::config(&version.release),
            None => wire::DescribeApplicationConfigData::default(),
        };
        shown.app_description = Some(application.description.clone());
        shown.app_id = Some(application.id.to_string());
        shown.app_name = Some(application.name.clone());
        shown.namespace_id = Some(ask.namespace_id(&application.namespace));
        shown.region_id = Some(ask.region().to_owned());
        shown.resource_type = Some(RESOURCE_TYPE.to_owned());
        shown.tags = Some(
            application
                .tags
                .iter()
                .map(|tag| wire::DescribeApplicationConfigDataTags {
                    key: Some(tag.key.clone()),
                    value: Some(tag.value.clone()),
                })
                .collect(),
        );
        if present {
            shown.replicas = Some(i64::from(application.replicas));
        }
        // How it was changed last is how it is changed until somebody says
        // otherwise.
        if let Some(order) = self.last_order(ask, &application.id).await? {
            let settings = order.terms.settings;
            shown.batch_wait_time = settings.batch_wait_s;
            shown.min_ready_instances = Some(settings.least_ready.unwrap_or(-1));
            shown.min_ready_instance_ratio = Some(settings.least_ready_percent.unwrap_or(-1));
            shown.update_strategy = Some(how::strategy_text(&settings.strategy));
            let (count, ratio) = how::surge_numbers(settings.surge);
            shown.max_surge_instances = Some(count);
            shown.max_surge_instance_ratio = Some(ratio);
        }
        Ok(wire::DescribeApplicationConfigResponse { data: Some(shown) })
    }

    /// A version of an application by its id.
    pub(super) async fn version(
        &self,
        ask: Ask<'_>,
        application: &Application,
        id: &str,
    ) -> Result<Version, Refused> {
        let known: backout_core::ids::VersionId = id
            .parse()
            .map_err(|_| ask.refused(Refusal::VersionNotFound(id.chars().take(100).collect())))?;
        self.apps
            .version_of(ask.owner(), application.id.as_str(), Some(known.as_str()))
            .await
            .map_err(|e| ask.refused(e))
    }

    pub(super) async fn describe_application_groups(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::DescribeApplicationGroupsResponse, Refused> {
        let asked: wire::DescribeApplicationGroupsRequest = ask.params()?;
        let paging = ask.paging(asked.current_page, asked.page_size)?;
        let application = self.application(ask, &asked.app_id).await?;
        let beside = self.beside(ask, &application).await?;
        let release = beside.version.as_ref().map(|v| &v.release);
        let package = release.and_then(|r| release::package(&r.artifact));
        let component = |kind: &str| release.and_then(|r| r.components.get(kind).cloned());
        let group = wire::DescribeApplicationGroupsData {
            edas_container_version: component("edas_container"),
            group_id: Some(group_id(&application.id)),
            group_name: Some(GROUP_NAME.to_owned()),
            group_type: Some(0),
            image_url: release.and_then(|r| release::image(&r.artifact)),
            jdk: component(backout_apps::components::JDK),
            package_type: release.map(|r| release::package_type(&r.artifact).to_owned()),
            package_url: package.map(|(address, _)| address.to_owned()),
            package_version: package.map(|(_, version)| version.to_owned()),
            package_version_id: application.version.as_ref().map(ToString::to_string),
            replicas: Some(i64::from(application.replicas)),
            running_instances: Some(i64::from(beside.running)),
            web_container: component(backout_apps::components::WEB_CONTAINER),
        };
        let data = match paging.current {
            1 => vec![group],
            _ => Vec::new(),
        };
        Ok(wire::DescribeApplicationGroupsResponse { data: Some(data) })
    }

    pub(super) async fn describe_application_instances(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::DescribeApplicationInstancesResponse, Refused> {
        let asked: wire::DescribeApplicationInstancesRequest = ask.params()?;
        let paging = ask.paging(asked.current_page, asked.page_size)?;
        let application = self.application(ask, &asked.app_id).await?;
        if required("GroupId", &asked.group_id)? != group_id(&application.id) {
            let why = "list the groups of the application to see which there are";
            return Err(codes::value("GroupId", why));
        }
        let mut replicas = self
            .apps
            .replicas(ask.owner(), application.id.as_str())
            .await
            .map_err(|e| ask.refused(e))?;
        if let Some(id) = some(asked.instance_id.as_deref()) {
            replicas.retain(|replica| replica.replica.id.as_str() == id);
        }
        if let Some(pipeline) = some(asked.pipeline_id.as_deref()) {
            let of_batch = self.replicas_of_batch(ask, &application, pipeline).await?;
            replicas.retain(|replica| of_batch.contains(&replica.replica.id));
        }
        if asked.reverse.unwrap_or(false) {
            replicas.reverse();
        }
        let total = replicas.len();
        let page = paging.page();
        let from = usize::try_from(page.offset).unwrap_or(usize::MAX);
        let shown: Vec<ReplicaView> = replicas
            .into_iter()
            .skip(from)
            .take(usize::try_from(page.limit).unwrap_or(usize::MAX))
            .collect();
        let mut versions: BTreeMap<String, Version> = BTreeMap::new();
        let mut rows = Vec::with_capacity(shown.len());
        for replica in &shown {
            let id = replica.replica.version.to_string();
            if !versions.contains_key(&id) {
                let version = self
                    .apps
                    .version_of(ask.owner(), application.id.as_str(), Some(&id))
                    .await
                    .map_err(|e| ask.refused(e))?;
                versions.insert(id.clone(), version);
            }
            rows.push(instance(&application, replica, versions.get(&id)));
        }
        Ok(wire::DescribeApplicationInstancesResponse {
            data: Some(wire::DescribeApplicationInstancesData {
                current_page: Some(paging.current),
                instances: Some(rows),
                page_size: Some(paging.size),
                total_size: Some(count(total as u64)),
            }),
        })
    }

    pub(super) async fn describe_application_image(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::DescribeApplicationImageResponse, Refused> {
        let asked: wire::DescribeApplicationImageRequest = ask.params()?;
        let application = self.application(ask, &asked.app_id).await?;
        let name = required("ImageUrl", &asked.image_url)?;
        let images = self
            .apps
            .images(ask.owner(), application.id.as_str())
            .await
            .map_err(|e| ask.refused(e))?;
        if images.iter().all(|(known, _)| known != name) {
            return Err(codes::value(
                "ImageUrl",
                "no version of the application has it",
            ));
        }
        let (path, tag) = match name.rsplit_once(':') {
            // A colon before the last slash is that of a port.
            Some((path, tag)) if !tag.contains('/') => (path, tag),
            _ => (name, "latest"),
        };
        let mut parts = path.rsplit('/');
        let repository = parts.next().unwrap_or_default();
        let namespace = parts.next().filter(|part| !part.contains(['.', ':']));
        Ok(wire::DescribeApplicationImageResponse {
            data: Some(wire::DescribeApplicationImageData {
                cr_url: Some(String::new()),
                logo: Some(String::new()),
                region_id: Some(ask.region().to_owned()),
                repo_name: Some(repository.to_owned()),
                repo_namespace: namespace.map(str::to_owned),
                repo_origin_type: None,
                repo_tag: Some(tag.to_owned()),
                repo_type: Some(String::new()),
            }),
        })
    }

    pub(super) async fn query_resource_statics(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::QueryResourceStaticsResponse, Refused> {
        let asked: wire::QueryResourceStaticsRequest = ask.params()?;
        let application = self.application(ask, &asked.app_id).await?;
        let usage = self
            .apps
            .usage(ask.owner(), application.id.as_str())
            .await
            .map_err(|e| ask.refused(e))?;
        #[expect(
            clippy::cast_precision_loss,
            reason = "the contract has numbers with fractions, and these are far from where they lose any"
        )]
        let number = |n: u64| Some(n as f64);
        Ok(wire::QueryResourceStaticsResponse {
            data: Some(wire::QueryResourceStaticsData {
                real_time_res: Some(wire::QueryResourceStaticsDataRealTimeRes {
                    cpu: number(usage.cpu_millis),
                    ephemeral_storage: None,
                    memory: number(usage.memory_bytes / codes::MEBIBYTE),
                }),
                // What was used over time is not counted: nothing is billed.
                summary: Some(wire::QueryResourceStaticsDataSummary::default()),
            }),
        })
    }
}

/// The filter that two parameters make together. Returns whether it can find
/// nothing.
fn fields(
    kind: Option<&str>,
    value: Option<&str>,
    filter: &mut ApplicationFilter,
) -> Result<bool, Refused> {
    let (Some(kind), Some(value)) = (some(kind), some(value)) else {
        return match some(kind) {
            Some(_) => Err(codes::empty("FieldValue")),
            None => Ok(false),
        };
    };
    match kind {
        "appName" => filter.text = Some(value.to_owned()),
        "appIds" => filter.ids = super::asked::ids("FieldValue", value)?,
        // No application here has an address of that kind.
        "slbIps" | "instanceIps" => return Ok(true),
        _ => {
            let why = "give appName, appIds, slbIps or instanceIps";
            return Err(codes::value("FieldType", why));
        }
    }
    Ok(false)
}

fn instance(
    application: &Application,
    replica: &ReplicaView,
    version: Option<&Version>,
) -> wire::DescribeApplicationInstancesDataInstances {
    let status = replica.status.as_ref();
    let ready = status.is_some_and(|s| s.phase == Phase::Ready);
    let release = version.map(|v| &v.release);
    let word = container_word(replica);
    let since = status
        .and_then(|s| s.since_ms)
        .and_then(|ms| i64::try_from(ms).ok());
    wire::DescribeApplicationInstancesDataInstances {
        create_time_stamp: Some(replica.replica.created.0),
        debug_status: Some(false),
        eip: None,
        finish_time_stamp: since,
        group_id: Some(group_id(&application.id)),
        image_url: release.and_then(|r| release::image(&r.artifact)),
        instance_container_ip: status
            .and_then(|s| s.address)
            .map(|address| address.to_string()),
        instance_container_restarts: status.map(|s| count(s.restarts)),
        instance_container_status: Some(word.to_owned()),
        instance_health_status: Some(health_word(replica, version).to_owned()),
        instance_id: Some(replica.replica.id.to_string()),
        main_container_status: Some(word.to_owned()),
        package_version: release
            .and_then(|r| release::package(&r.artifact))
            .map(|(_, version)| version.to_owned()),
        sidecar_containers_status: Some(Vec::new()),
        tags: Some(Vec::new()),
        timestamp: since,
        traffic_status: Some(
            match ready {
                true => "Enabled",
                false => "Disabled",
            }
            .to_owned(),
        ),
        unhealthy_message: Some(status.and_then(|s| s.why.clone()).unwrap_or_default()),
        v_switch_id: None,
    }
}
