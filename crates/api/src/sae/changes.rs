//! Calls that change applications.

use backout_apps::{Asked, How, NewApplication, Refusal, Wanted};
use backout_wire::types::sae as wire;

use super::asked::{self, Ask, required, some};
use super::{Sae, codes, how, release};
use crate::front::Refused;

/// The text of a strategy with what else says how an order is done.
fn how_of(given: how::Given<'_>, scaling_on: Option<bool>) -> Result<How, Refused> {
    Ok(How {
        settings: given.settings()?,
        description: String::new(),
        scaling_on,
    })
}

impl Sae {
    /// Asks for an order of one application.
    async fn order(
        &self,
        ask: Ask<'_>,
        application: &str,
        wanted: Wanted,
        how: &How,
    ) -> Result<Asked, Refused> {
        let application = self.application(ask, application).await?;
        let asked = self
            .apps
            .order(&ask.caller(), application.id.as_str(), wanted, how)
            .await
            .map_err(|e| ask.refused(e))?;
        ask.did(&asked);
        Ok(asked)
    }

    pub(super) async fn rollback_application(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::RollbackApplicationResponse, Refused> {
        let asked: wire::RollbackApplicationRequest = ask.params()?;
        let how = how_of(
            how::Given {
                min_ready_instances: asked.min_ready_instances,
                min_ready_instance_ratio: asked.min_ready_instance_ratio,
                update_strategy: asked.update_strategy.as_deref(),
                batch_wait_time: asked.batch_wait_time,
                ..how::Given::default()
            },
            how::switch(
                "AutoEnableApplicationScalingRule",
                asked.auto_enable_application_scaling_rule.as_deref(),
            )?,
        )?;
        let application = self.application(ask, &asked.app_id).await?;
        let version = required("VersionId", &asked.version_id)?;
        // Of no id is a version of what was never deployed.
        if application.version.is_none() {
            return Err(ask.refused(Refusal::NotDeployed(application.id)));
        }
        self.version(ask, &application, version).await?;
        let wanted = Wanted::Rollback {
            to: Some(version.to_owned()),
        };
        let order = self
            .order(ask, application.id.as_str(), wanted, &how)
            .await?;
        Ok(wire::RollbackApplicationResponse {
            data: Some(wire::RollbackApplicationData {
                change_order_id: Some(order.order.to_string()),
                is_need_approval: Some(order.needs_approval),
            }),
        })
    }

    /// The texts of the config maps that variables are taken from.
    async fn config_maps(
        &self,
        ask: Ask<'_>,
        namespace: &str,
        given: &release::Given,
    ) -> Result<release::ConfigMaps, Refused> {
        let mut found = release::ConfigMaps::new();
        for number in release::config_maps_of(given)? {
            let map = self
                .apps
                .config_map(ask.owner(), number)
                .await
                .map_err(|e| ask.refused(e))?;
            if map.namespace == namespace {
                found.insert(number, map.entries);
            }
        }
        Ok(found)
    }

    pub(super) async fn create_application(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::CreateApplicationResponse, Refused> {
        let asked: wire::CreateApplicationRequest = ask.params()?;
        let params = &ask.admitted.call.params;
        let namespace = ask.some_namespace(asked.namespace_id.as_deref());
        let room = namespace.as_deref().unwrap_or(super::DEFAULT_NAMESPACE);
        // Told before anything of the release is, which may be of it.
        self.apps
            .namespace(ask.owner(), room)
            .await
            .map_err(|e| ask.refused(e))?;
        let name = required("AppName", &asked.app_name)?;
        required("PackageType", &asked.package_type)?;
        let given = release::of_create(params)?;
        let maps = self.config_maps(ask, room, &given).await?;
        let new = release::new_release(&given, params, None, &maps)?;
        // Without it there is an application, and nothing is run.
        let deployed = asked.deploy.unwrap_or(true);
        let created = self
            .apps
            .create(
                &ask.caller(),
                NewApplication {
                    name: name.to_owned(),
                    namespace,
                    description: asked.app_description.clone().unwrap_or_default(),
                    tags: Vec::new(),
                    release: deployed.then_some(new),
                    label: String::new(),
                },
                &How::default(),
            )
            .await
            .map_err(|e| ask.refused(e))?;
        if let Some(asked) = &created.asked {
            ask.did(asked);
        }
        Ok(wire::CreateApplicationResponse {
            data: Some(wire::CreateApplicationData {
                app_id: Some(created.application.to_string()),
                change_order_id: created.asked.map(|asked| asked.order.to_string()),
            }),
        })
    }

    pub(super) async fn deploy_application(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::DeployApplicationResponse, Refused> {
        let given: release::Given = ask.params()?;
        if how::switch("Deploy", given.deploy.as_deref())? == Some(false) {
            let why = "a version is written down when it is deployed; leave it out";
            return Err(codes::value("Deploy", why));
        }
        let application = self.application(ask, &given.app_id).await?;
        let present = self.present_version(ask, &application).await?;
        let maps = self
            .config_maps(ask, &application.namespace, &given)
            .await?;
        let release = present.as_ref().map(|version| &version.release);
        let mut new = release::new_release(&given, &ask.admitted.call.params, release, &maps)?;
        // As many as there are to be now, which may be others than were deployed.
        if given.replicas.is_none() && application.replicas > 0 {
            new.replicas = application.replicas;
        }
        let mut how = how_of(
            how::Given {
                min_ready_instances: given.min_ready_instances,
                min_ready_instance_ratio: given.min_ready_instance_ratio,
                update_strategy: given.update_strategy.as_deref(),
                batch_wait_time: given.batch_wait_time,
                max_surge_instances: given.max_surge_instances,
                max_surge_instance_ratio: given.max_surge_instance_ratio,
            },
            given.auto_enable_application_scaling_rule,
        )?;
        how.description = given.change_order_desc.clone().unwrap_or_default();
        let wanted = Wanted::Deploy {
            release: Box::new(new),
            label: how
                .description
                .chars()
                .take(backout_apps::LABEL_MAX_CHARS)
                .collect(),
        };
        let order = self
            .order(ask, application.id.as_str(), wanted, &how)
            .await?;
        Ok(wire::DeployApplicationResponse {
            data: Some(wire::DeployApplicationData {
                app_id: Some(order.application.to_string()),
                change_order_id: Some(order.order.to_string()),
                is_need_approval: Some(order.needs_approval),
            }),
        })
    }

    pub(super) async fn delete_application(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::DeleteApplicationResponse, Refused> {
        let asked: wire::DeleteApplicationRequest = ask.params()?;
        let order = self
            .order(ask, &asked.app_id, Wanted::Delete, &How::default())
            .await?;
        Ok(wire::DeleteApplicationResponse {
            data: Some(wire::DeleteApplicationData {
                change_order_id: Some(order.order.to_string()),
            }),
        })
    }

    pub(super) async fn start_application(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::StartApplicationResponse, Refused> {
        let asked: wire::StartApplicationRequest = ask.params()?;
        let order = self
            .order(ask, &asked.app_id, Wanted::Start, &How::default())
            .await?;
        Ok(wire::StartApplicationResponse {
            data: Some(wire::StartApplicationData {
                change_order_id: Some(order.order.to_string()),
            }),
        })
    }

    pub(super) async fn stop_application(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::StopApplicationResponse, Refused> {
        let asked: wire::StopApplicationRequest = ask.params()?;
        let order = self
            .order(ask, &asked.app_id, Wanted::Stop, &How::default())
            .await?;
        Ok(wire::StopApplicationResponse {
            data: Some(wire::StopApplicationData {
                change_order_id: Some(order.order.to_string()),
            }),
        })
    }

    pub(super) async fn restart_application(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::RestartApplicationResponse, Refused> {
        let asked: wire::RestartApplicationRequest = ask.params()?;
        let how = how_of(
            how::Given {
                min_ready_instances: asked.min_ready_instances,
                min_ready_instance_ratio: asked.min_ready_instance_ratio,
                ..how::Given::default()
            },
            asked.auto_enable_application_scaling_rule,
        )?;
        let order = self
            .order(ask, &asked.app_id, Wanted::Restart, &how)
            .await?;
        Ok(wire::RestartApplicationResponse {
            data: Some(wire::RestartApplicationData {
                change_order_id: Some(order.order.to_string()),
            }),
        })
    }

    /// Asks for an order about some instances of an application.
    async fn of_instances(
        &self,
        ask: Ask<'_>,
        application: &str,
        ids: &str,
        wanted: fn(Vec<String>) -> Wanted,
    ) -> Result<Asked, Refused> {
        let these = asked::ids("InstanceIds", ids)?;
        self.order(ask, application, wanted(these), &How::default())
            .await
    }

    pub(super) async fn restart_instances(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::RestartInstancesResponse, Refused> {
        let asked: wire::RestartInstancesRequest = ask.params()?;
        let order = self
            .of_instances(
                ask,
                &asked.app_id,
                &asked.instance_ids,
                Wanted::RestartReplicas,
            )
            .await?;
        Ok(wire::RestartInstancesResponse {
            data: Some(wire::RestartInstancesData {
                change_order_id: Some(order.order.to_string()),
            }),
        })
    }

    pub(super) async fn delete_instances(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::DeleteInstancesResponse, Refused> {
        let asked: wire::DeleteInstancesRequest = ask.params()?;
        // Others come in their place: the number of replicas stays.
        let order = self
            .of_instances(
                ask,
                &asked.app_id,
                &asked.instance_ids,
                Wanted::RestartReplicas,
            )
            .await?;
        Ok(wire::DeleteInstancesResponse {
            data: Some(wire::DeleteInstancesData {
                change_order_id: Some(order.order.to_string()),
            }),
        })
    }

    pub(super) async fn reduce_application_capacity_by_instance_ids(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::ReduceApplicationCapacityByInstanceIdsResponse, Refused> {
        let asked: wire::ReduceApplicationCapacityByInstanceIdsRequest = ask.params()?;
        let order = self
            .of_instances(
                ask,
                &asked.app_id,
                &asked.instance_ids,
                Wanted::RemoveReplicas,
            )
            .await?;
        Ok(wire::ReduceApplicationCapacityByInstanceIdsResponse {
            data: Some(wire::ReduceApplicationCapacityByInstanceIdsData {
                change_order_id: Some(order.order.to_string()),
            }),
        })
    }

    pub(super) async fn rescale_application(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::RescaleApplicationResponse, Refused> {
        let asked: wire::RescaleApplicationRequest = ask.params()?;
        let how = how_of(
            how::Given {
                min_ready_instances: asked.min_ready_instances,
                min_ready_instance_ratio: asked.min_ready_instance_ratio,
                ..how::Given::default()
            },
            asked.auto_enable_application_scaling_rule,
        )?;
        let wanted = Wanted::Rescale(release::replica_count(asked.replicas)?);
        let order = self.order(ask, &asked.app_id, wanted, &how).await?;
        Ok(wire::RescaleApplicationResponse {
            data: Some(wire::RescaleApplicationData {
                change_order_id: Some(order.order.to_string()),
            }),
        })
    }

    pub(super) async fn rescale_application_vertically(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::RescaleApplicationVerticallyResponse, Refused> {
        let asked: wire::RescaleApplicationVerticallyRequest = ask.params()?;
        if asked.deploy == Some(false) {
            let why = "the size is that of replicas, which get it when it is asked for";
            return Err(codes::value("Deploy", why));
        }
        let number = |name: &str, text: &str| -> Result<i64, Refused> {
            required(name, text)?
                .parse()
                .map_err(|_| codes::form(name, "It is no number."))
        };
        let (cpu, memory) = (number("Cpu", &asked.cpu)?, number("Memory", &asked.memory)?);
        let settings = how::Given {
            min_ready_instances: asked.min_ready_instances,
            min_ready_instance_ratio: asked.min_ready_instance_ratio,
            ..how::Given::default()
        };
        let how = how_of(settings, asked.auto_enable_application_scaling_rule)?;
        let wanted = Wanted::Resize {
            cpu_millis: release::cpu_millis(cpu, Some(memory))?,
            memory_bytes: release::memory_bytes(Some(cpu), memory)?,
        };
        let order = self.order(ask, &asked.app_id, wanted, &how).await?;
        Ok(wire::RescaleApplicationVerticallyResponse {
            data: Some(wire::RescaleApplicationVerticallyData {
                change_order_id: Some(order.order.to_string()),
            }),
        })
    }

    pub(super) async fn batch_start_applications(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::BatchStartApplicationsResponse, Refused> {
        let asked: wire::BatchStartApplicationsRequest = ask.params()?;
        let order = self
            .of_several(
                ask,
                asked.app_ids.as_deref(),
                &asked.namespace_id,
                &Wanted::Start,
            )
            .await?;
        Ok(wire::BatchStartApplicationsResponse {
            data: Some(wire::BatchStartApplicationsData {
                change_order_id: Some(order),
            }),
        })
    }

    pub(super) async fn batch_stop_applications(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::BatchStopApplicationsResponse, Refused> {
        let asked: wire::BatchStopApplicationsRequest = ask.params()?;
        let order = self
            .of_several(
                ask,
                asked.app_ids.as_deref(),
                &asked.namespace_id,
                &Wanted::Stop,
            )
            .await?;
        Ok(wire::BatchStopApplicationsResponse {
            data: Some(wire::BatchStopApplicationsData {
                change_order_id: Some(order),
            }),
        })
    }

    pub(super) async fn batch_restart_applications(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::BatchRestartApplicationsResponse, Refused> {
        let asked: wire::BatchRestartApplicationsRequest = ask.params()?;
        let ids = required("AppIds", &asked.app_ids)?;
        let order = self
            .of_several(ask, Some(ids), &asked.namespace_id, &Wanted::Restart)
            .await?;
        Ok(wire::BatchRestartApplicationsResponse {
            data: Some(wire::BatchRestartApplicationsData {
                change_order_id: Some(order),
            }),
        })
    }

    /// Asks for the same of several applications of a namespace; without ids, of
    /// all of it. The order of the first that took it is answered: here each
    /// has its own.
    async fn of_several(
        &self,
        ask: Ask<'_>,
        ids: Option<&str>,
        namespace: &str,
        wanted: &Wanted,
    ) -> Result<String, Refused> {
        let namespace = ask.namespace(required("NamespaceId", namespace)?);
        self.apps
            .namespace(ask.owner(), &namespace)
            .await
            .map_err(|e| ask.refused(e))?;
        let ids = match some(ids) {
            Some(ids) => asked::ids("AppIds", ids)?,
            None => self.all_of(ask, &namespace).await?,
        };
        for id in &ids {
            let application = self.application(ask, id).await?;
            if application.namespace != namespace {
                let why = format!("{id} is not of that namespace");
                return Err(codes::value("AppIds", &why));
            }
        }
        let orders = self
            .apps
            .order_many(&ask.caller(), &ids, wanted, &How::default())
            .await
            .map_err(|e| ask.refused(e))?;
        let mut refused = None;
        for (_, order) in orders {
            match order {
                Ok(order) => {
                    ask.did(&order);
                    return Ok(order.order.to_string());
                }
                Err(e) => refused = refused.or(Some(e)),
            }
        }
        Err(match refused {
            Some(refused) => ask.refused(refused),
            None => codes::empty("AppIds"),
        })
    }

    /// The applications of a namespace, as many as one call changes.
    async fn all_of(&self, ask: Ask<'_>, namespace: &str) -> Result<Vec<String>, Refused> {
        let filter = backout_apps::persistence::ApplicationFilter {
            namespace: Some(namespace.to_owned()),
            ..Default::default()
        };
        let page = backout_apps::persistence::Page {
            offset: 0,
            limit: backout_apps::BATCH_MAX as u64,
        };
        let (total, found) = self
            .apps
            .list(ask.owner(), filter, page)
            .await
            .map_err(|e| ask.refused(e))?;
        if total > page.limit {
            let why = format!("the namespace has {total} applications: name some of them");
            return Err(codes::value("AppIds", &why));
        }
        Ok(found.iter().map(|a| a.id.to_string()).collect())
    }
}

#[cfg(test)]
mod tests {
    use backout_apps::planning::Settings;

    use super::*;

    #[test]
    fn nothing_said_is_the_product_s_choice() {
        let how = how_of(how::Given::default(), None).unwrap();
        assert_eq!(how.settings, Settings::default());
        assert_eq!(how.scaling_on, None);
    }
}
