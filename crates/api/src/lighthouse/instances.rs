//! Instances: made of an image, started, stopped, made anew and given back.

use std::net::IpAddr;

use backout_core::ids::InstanceId;
use backout_core::time::Timestamp;
use backout_machines::Stop;
use backout_servers::model::{Power, Server, Usage, size_gib};
use backout_servers::persistence::{DiskFilter, Page, ServerFilter};
use backout_servers::{BATCH_MAX, Caller, NAME_MAX_CHARS, NewInstances, Refusal};
use backout_wire::SurfaceError;
use backout_wire::types::lighthouse as wire;

use super::asked::Ask;
use super::catalog::zone;
use super::{Lighthouse, codes, denials, latest, server_operation, tags};
use crate::front::Refused;

/// Values of one filter of `DescribeInstances` (SEMANTICS section 4).
const FILTER_VALUES_MAX: usize = 100;
/// Resources that one call isolates (SEMANTICS section 4).
const ISOLATE_MAX: u64 = 20;
/// Months that can be paid for (contract: `InstanceChargePrepaid.Period`).
const PERIODS: [i64; 16] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 24, 36, 48, 60];
/// What a server that was not made of a plan and an image has in their place.
const BUNDLE_ID: &str = "bundle_self_hosted";
const BLUEPRINT_ID: &str = "lhbp-selfhost";

const STOP_TYPES: [(&str, Stop); 3] = [
    ("SOFT", Stop::Soft),
    ("HARD", Stop::Hard),
    ("SOFT_FIRST", Stop::SoftFirst),
];
const RENEW_FLAGS: [(&str, ()); 3] = [
    ("NOTIFY_AND_AUTO_RENEW", ()),
    ("NOTIFY_AND_MANUAL_RENEW", ()),
    ("DISABLE_NOTIFY_AND_MANUAL_RENEW", ()),
];

impl Lighthouse {
    pub(super) async fn describe_instances(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::DescribeInstancesResponse, Refused> {
        let asked: wire::DescribeInstancesRequest = ask.params()?;
        let page = ask.page(asked.offset, asked.limit)?;
        let region = self.region(ask);
        let ids = ask.distinct("InstanceIds", &asked.instance_ids, |id| ask.instance(id))?;
        ask.exclusive(&ids, &asked.filters)?;
        if asked.order.is_some() && asked.order_field.is_none() {
            return Err(ask
                .error(codes::ORDER_FIELD, "Order is given without OrderField")
                .into());
        }
        // Nothing expires here, so every order by that is the same.
        ask.word(
            "OrderField",
            asked.order_field.as_deref(),
            &[("EXPIRED_TIME", ())],
            (),
        )?;
        ask.word(
            "Order",
            asked.order.as_deref(),
            &[("ASC", ()), ("DESC", ())],
            (),
        )?;
        let mut filter = instance_filter(ask, &asked.filters, region)?;
        let wanted = ids.len() as u64;
        filter.ids = ids;
        let (total, found) = self
            .servers
            .list(ask.owner(), filter.clone(), page)
            .await
            .map_err(|e| ask.refused(e))?;
        if wanted > 0 && total < wanted {
            let missing = filter
                .ids
                .iter()
                .find(|id| found.iter().all(|s| s.id.as_str() != *id));
            let missing = missing.cloned().unwrap_or_default();
            return Err(ask.refused(Refusal::ServerNotFound(missing)).into());
        }
        Ok(wire::DescribeInstancesResponse {
            total_count: total.cast_signed(),
            instance_set: found.iter().map(|s| instance(s, region)).collect(),
        })
    }

    pub(super) async fn describe_instances_denied_actions(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::DescribeInstancesDeniedActionsResponse, Refused> {
        let asked: wire::DescribeInstancesDeniedActionsRequest = ask.params()?;
        let ids = ask.named("InstanceIds", &asked.instance_ids, |id| ask.instance(id))?;
        let found = self
            .servers
            .denied_on_servers(ask.owner(), &ids)
            .await
            .map_err(|e| ask.refused(e))?;
        let set = found
            .iter()
            .map(|(id, denied)| wire::InstanceDeniedActions {
                instance_id: id.to_string(),
                denied_actions: denials(denied, |denied| {
                    let action = server_operation(denied.action);
                    Some((action, codes::code_in(action, &denied.refusal)?))
                }),
            })
            .collect();
        Ok(wire::DescribeInstancesDeniedActionsResponse {
            instance_denied_action_set: set,
        })
    }

    pub(super) async fn start_instances(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::StartInstancesResponse, Refused> {
        let asked: wire::StartInstancesRequest = ask.params()?;
        let ids = ask.named("InstanceIds", &asked.instance_ids, |id| ask.instance(id))?;
        self.servers
            .start(&ask.caller(), &ids)
            .await
            .map_err(|e| ask.refused(e))?;
        Ok(wire::StartInstancesResponse {})
    }

    pub(super) async fn stop_instances(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::StopInstancesResponse, Refused> {
        let asked: wire::StopInstancesRequest = ask.params()?;
        let ids = ask.named("InstanceIds", &asked.instance_ids, |id| ask.instance(id))?;
        let how = stop_type(ask, asked.stop_type.as_deref())?;
        self.servers
            .stop(&ask.caller(), &ids, how)
            .await
            .map_err(|e| ask.refused(e))?;
        Ok(wire::StopInstancesResponse {})
    }

    pub(super) async fn reboot_instances(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::RebootInstancesResponse, Refused> {
        let asked: wire::RebootInstancesRequest = ask.params()?;
        let ids = ask.named("InstanceIds", &asked.instance_ids, |id| ask.instance(id))?;
        let how = stop_type(ask, asked.stop_type.as_deref())?;
        self.servers
            .reboot(&ask.caller(), &ids, how)
            .await
            .map_err(|e| ask.refused(e))?;
        Ok(wire::RebootInstancesResponse {})
    }

    pub(super) async fn isolate_instances(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::IsolateInstancesResponse, Refused> {
        let asked: wire::IsolateInstancesRequest = ask.params()?;
        let ids = ask.named("InstanceIds", &asked.instance_ids, |id| ask.instance(id))?;
        // The vendor's default.
        let with_disks = asked.isolate_data_disk.unwrap_or(true);
        if with_disks {
            self.at_most_isolated(ask, &ids).await?;
        }
        self.servers
            .isolate(&ask.caller(), &ids, with_disks)
            .await
            .map_err(|e| ask.refused(e))?;
        Ok(wire::IsolateInstancesResponse {})
    }

    /// Data disks count as well.
    async fn at_most_isolated(&self, ask: Ask<'_>, ids: &[String]) -> Result<(), SurfaceError> {
        let filter = DiskFilter {
            servers: ids.to_vec(),
            usage: Some(Usage::Data),
            ..DiskFilter::default()
        };
        let page = Page {
            offset: 0,
            limit: 1,
        };
        let (disks, _) = self
            .servers
            .disks(ask.owner(), filter, page)
            .await
            .map_err(|e| ask.refused(e))?;
        let resources = ids.len() as u64 + disks;
        if resources > ISOLATE_MAX {
            return Err(ask.error(
                codes::ISOLATE_LIMIT,
                format!(
                    "{} instances and {disks} data disks are {resources} resources, at most {ISOLATE_MAX} are isolated at once",
                    ids.len()
                ),
            ));
        }
        Ok(())
    }

    pub(super) async fn terminate_instances(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::TerminateInstancesResponse, Refused> {
        let asked: wire::TerminateInstancesRequest = ask.params()?;
        let ids = ask.named("InstanceIds", &asked.instance_ids, |id| ask.instance(id))?;
        self.servers
            .terminate(&ask.caller(), &ids)
            .await
            .map_err(|e| ask.refused(e))?;
        Ok(wire::TerminateInstancesResponse {})
    }

    pub(super) async fn modify_instances_attribute(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::ModifyInstancesAttributeResponse, Refused> {
        let asked: wire::ModifyInstancesAttributeRequest = ask.params()?;
        let ids = ask.named("InstanceIds", &asked.instance_ids, |id| ask.instance(id))?;
        let name = ask.new_name("InstanceName", asked.instance_name, NAME_MAX_CHARS)?;
        self.servers
            .rename(&ask.caller(), &ids, &name)
            .await
            .map_err(|e| ask.refused(e))?;
        Ok(wire::ModifyInstancesAttributeResponse {})
    }

    pub(super) async fn reset_instance(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::ResetInstanceResponse, Refused> {
        let asked: wire::ResetInstanceRequest = ask.params()?;
        let id = ask.instance(&asked.instance_id)?;
        let blueprint = asked.blueprint_id.filter(|id| !id.is_empty());
        if let Some(blueprint) = &blueprint {
            ask.blueprint(blueprint)?;
        }
        containers(ask, &asked.containers)?;
        login(ask, asked.login_configuration.as_ref())?;
        self.servers
            .reset(&ask.caller(), id.as_str(), blueprint.as_deref())
            .await
            .map_err(|e| ask.refused(e))?;
        Ok(wire::ResetInstanceResponse {})
    }

    pub(super) async fn create_instances(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::CreateInstancesResponse, Refused> {
        let asked: wire::CreateInstancesRequest = ask.params()?;
        let dry_run = asked.dry_run.unwrap_or(false);
        let caller = Caller {
            idempotency: ask.idempotency(asked.client_token.as_deref())?,
            ..ask.caller()
        };
        let new = self.new_instances(ask, asked)?;
        if dry_run {
            self.servers
                .check_create(ask.owner(), &new)
                .await
                .map_err(|e| ask.refused(e))?;
            return Ok(wire::CreateInstancesResponse {
                instance_id_set: Vec::new(),
            });
        }
        let made = self
            .servers
            .create(&caller, new)
            .await
            .map_err(|e| ask.refused(e))?;
        Ok(wire::CreateInstancesResponse {
            instance_id_set: made.iter().map(|(id, _job)| id.to_string()).collect(),
        })
    }

    /// What a self-hosted server cannot do is refused, unless it changes nothing
    /// about the server that is made: terms of payment.
    fn new_instances(
        &self,
        ask: Ask<'_>,
        asked: wire::CreateInstancesRequest,
    ) -> Result<NewInstances, SurfaceError> {
        let prepaid = &asked.instance_charge_prepaid;
        if !PERIODS.contains(&prepaid.period) {
            return Err(ask.error(
                codes::OUT_OF_RANGE,
                format!("a Period of {} months is not offered", prepaid.period),
            ));
        }
        ask.word("RenewFlag", prepaid.renew_flag.as_deref(), &RENEW_FLAGS, ())?;
        let blueprint = ask.blueprint(&asked.blueprint_id)?;
        let name = ask.name("InstanceName", asked.instance_name, NAME_MAX_CHARS)?;
        let count = asked.instance_count.unwrap_or(1);
        let count = u32::try_from(count)
            .ok()
            .filter(|n| (1..=BATCH_MAX).contains(&(*n as usize)))
            .ok_or_else(|| {
                ask.error(
                    codes::OUT_OF_RANGE,
                    format!("InstanceCount {count} is not in 1 to {BATCH_MAX}"),
                )
            })?;
        self.check_zones(ask, &asked.zones)?;
        containers(ask, &asked.containers)?;
        login(ask, asked.login_configuration.as_ref())?;
        if let Some(id) = asked.firewall_template_id.filter(|id| !id.is_empty()) {
            template(ask, &id)?;
        }
        if asked.init_command.is_some() {
            return Err(ask.error(
                codes::NOT_HERE,
                "InitCommand is not run here: nothing inside a guest takes commands; put it into the image",
            ));
        }
        for (parameter, given) in [
            ("DomainName", &asked.domain_name),
            ("Subdomain", &asked.subdomain),
        ] {
            if given.as_ref().is_some_and(|name| !name.is_empty()) {
                return Err(ask.error(
                    codes::NOT_HERE,
                    format!("{parameter} cannot be bound: Backout registers no domains"),
                ));
            }
        }
        Ok(NewInstances {
            name,
            count,
            bundle: asked.bundle_id,
            blueprint: blueprint.to_string(),
            tags: ask.tags(asked.tags)?,
            forwards: Vec::new(),
        })
    }
}

fn stop_type(ask: Ask<'_>, given: Option<&str>) -> Result<Stop, SurfaceError> {
    ask.word("StopType", given, &STOP_TYPES, Stop::SoftFirst)
}

fn containers(
    ask: Ask<'_>,
    containers: &[wire::DockerContainerConfiguration],
) -> Result<(), SurfaceError> {
    if containers.is_empty() {
        return Ok(());
    }
    Err(ask.error(
        codes::NOT_HERE,
        "Containers are not run here: nothing inside a guest takes commands; put them into the image",
    ))
}

fn login(ask: Ask<'_>, login: Option<&wire::LoginConfiguration>) -> Result<(), SurfaceError> {
    let Some(login) = login else {
        return Ok(());
    };
    if login.password.as_ref().is_some_and(|p| !p.is_empty()) {
        return Err(ask.error(
            codes::PASSWORD,
            "a password cannot be set from outside a guest; put the logins into the image",
        ));
    }
    let made = ask.word(
        "AutoGeneratePassword",
        login.auto_generate_password.as_deref(),
        &[("YES", true), ("NO", false)],
        false,
    )?;
    if made {
        return Err(ask.error(
            codes::MADE_PASSWORD,
            "a password cannot be set from outside a guest; put the logins into the image",
        ));
    }
    let Some(key) = login.key_ids.first() else {
        return Ok(());
    };
    if !is_id(key, "lhkp-") {
        return Err(ask.error(
            codes::KEY_PAIR_ID,
            format!("{key:?} is no id of a key pair"),
        ));
    }
    Err(ask.error(
        codes::KEY_PAIR,
        format!("there is no key pair {key}: Backout keeps none; put the keys into the image"),
    ))
}

fn template(ask: Ask<'_>, id: &str) -> Result<(), SurfaceError> {
    if !is_id(id, "lhft-") {
        return Err(ask.error(
            codes::FIREWALL_ID,
            format!("{id:?} is no id of a firewall template"),
        ));
    }
    Err(ask.error(
        codes::FIREWALL,
        format!("there is no firewall template {id}: Backout keeps none"),
    ))
}

/// Ids of what Backout does not have are opaque to it but for their form.
fn is_id(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|rest| {
        rest.len() == 8
            && rest
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    })
}

fn instance_filter(
    ask: Ask<'_>,
    filters: &[wire::Filter],
    region: &str,
) -> Result<ServerFilter, SurfaceError> {
    ask.filters(filters, FILTER_VALUES_MAX)?;
    let mut out = ServerFilter::default();
    for filter in filters {
        let values = filter.values.clone();
        match filter.name.as_str() {
            "instance-name" => out.names = values,
            "instance-state" => {
                out.powers = Power::ALL
                    .iter()
                    .copied()
                    .filter(|p| values.iter().any(|v| v == instance_state(*p)))
                    .collect();
                out.nothing |= out.powers.is_empty();
            }
            "zone" => out.nothing |= !values.contains(&zone(region)),
            "bundle-id" => {
                out.bundles = values
                    .into_iter()
                    .map(|v| if v == BUNDLE_ID { String::new() } else { v })
                    .collect();
            }
            "private-ip-address" | "public-ip-address" => {
                for value in &values {
                    value.parse::<IpAddr>().map_err(|_| {
                        ask.error(codes::IP_FORMAT, format!("{value:?} is no IP address"))
                    })?;
                }
                // A self-hosted server has no address that Backout knows of.
                out.nothing = true;
            }
            _ => out.tags.push(ask.tag_filter(filter)?),
        }
    }
    Ok(out)
}

fn instance(server: &Server, region: &str) -> wire::Instance {
    let (operation, state, request, started) = latest(server.latest.as_ref(), server_operation);
    let machine = server.machine.as_ref();
    wire::Instance {
        instance_id: server.id.to_string(),
        bundle_id: server
            .bundle
            .clone()
            .unwrap_or_else(|| BUNDLE_ID.to_owned()),
        blueprint_id: server
            .blueprint
            .as_ref()
            .map_or_else(|| BLUEPRINT_ID.to_owned(), ToString::to_string),
        cpu: machine.map_or(0, |m| m.cpus.into()),
        memory: machine.map_or(0, |m| size_gib(m.memory_bytes).cast_signed()),
        instance_name: server.name.clone(),
        instance_charge_type: "PREPAID".to_owned(),
        system_disk: wire::SystemDisk {
            disk_type: "LOCAL_BASIC".to_owned(),
            disk_size: size_gib(server.disk.size_bytes).cast_signed(),
            disk_id: Some(server.disk.id.to_string()),
        },
        internet_accessible: wire::InternetAccessible {
            internet_charge_type: "TRAFFIC_POSTPAID_BY_HOUR".to_owned(),
            ..Default::default()
        },
        renew_flag: "NOTIFY_AND_MANUAL_RENEW".to_owned(),
        instance_state: instance_state(server.power).to_owned(),
        uuid: uuid_of(&server.id),
        latest_operation: operation,
        latest_operation_state: state,
        latest_operation_request_id: request,
        latest_operation_started_time: started.map(Timestamp::iso8601),
        isolated_time: server.isolated.map(Timestamp::iso8601),
        created_time: Some(server.created.iso8601()),
        platform_type: "LINUX_UNIX".to_owned(),
        platform: "SELF_HOSTED".to_owned(),
        os_name: "self-hosted".to_owned(),
        zone: zone(region),
        tags: tags(&server.tags),
        instance_restrict_state: "NORMAL".to_owned(),
        ..Default::default()
    }
}

const fn instance_state(power: Power) -> &'static str {
    match power {
        Power::Creating => "PENDING",
        Power::LaunchFailed => "LAUNCH_FAILED",
        Power::Running => "RUNNING",
        Power::Stopped => "STOPPED",
        Power::Starting => "STARTING",
        Power::Stopping => "STOPPING",
        Power::Rebooting => "REBOOTING",
        Power::Isolated => "SHUTDOWN",
        Power::Terminating => "TERMINATING",
    }
}

/// The same for the same server, ever; a version 8 UUID (custom) made of its
/// id.
fn uuid_of(id: &InstanceId) -> String {
    let tail = &id.as_str().as_bytes()[InstanceId::PREFIX.len()..];
    let n = tail.iter().fold(0_u64, |n, b| (n << 8) | u64::from(*b));
    format!(
        "{:08x}-{:04x}-8000-8000-{:012x}",
        n >> 32,
        n & 0xffff,
        n & 0xffff_ffff_ffff
    )
}
