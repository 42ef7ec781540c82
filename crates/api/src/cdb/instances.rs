//! Instances, and what they are made of.

use std::cmp::Ordering;

use backout_core::ids::DatabaseId;
use backout_databases::model::{Instance, InstanceState, Shape, Standing, Task, TaskKind};
use backout_databases::persistence::{BackupFilter, InstanceFilter, Page, TagFilter, TaskFilter};
use backout_databases::{
    Caller, CloneRequest, CloneTo, Holding, MADE_MAX, NewManaged, Refusal, Until, Zone,
};
use backout_wire::types::cdb as wire;

use super::asked::{Ask, PAGE_DEFAULT};
use super::backups::backup_number;
use super::{Cdb, codes, find, words};
use crate::front::{Refused, count};

/// Instances that one call makes.
const GOODS: std::ops::RangeInclusive<u32> = 1..=MADE_MAX;
/// Memory in MB, disk in GB, processors: no more than what no host has.
const MEMORY_MB: std::ops::RangeInclusive<u32> = 1..=16_000_000;
const VOLUME_GB: std::ops::RangeInclusive<u32> = 1..=1_000_000;
const CPUS: std::ops::RangeInclusive<u32> = 1..=4096;
/// Ports that need no privilege.
const PORTS: std::ops::RangeInclusive<u32> = 1024..=65_535;
/// What a runbook may call the engine (contract: `EngineVersion`). The server
/// that is installed here speaks the protocol of all of them, and
/// `DescribeDBInstances` says which it is.
const ENGINES: [&str; 4] = ["5.5", "5.6", "5.7", "8.0"];
/// The numbers of roles, ways to pay, states of locks and storage engines that
/// instances here have.
const PRIMARY: u64 = 1;
const HOURLY: u64 = 1;
const NOT_LOCKED: i64 = 0;
const ENGINE_TYPE: &str = "InnoDB";

/// What a list is sorted by.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Id,
    Name,
    /// Nothing expires here, so every order by the end is the one of making.
    Created,
}

const ORDERS: [(&str, By); 4] = [
    ("instanceId", By::Id),
    ("instanceName", By::Name),
    ("createTime", By::Created),
    ("deadlineTime", By::Created),
];

/// What is looked at in the rows, which the store does not know.
struct Rest {
    tasks: Vec<u64>,
    versions: Vec<String>,
    by: By,
    descending: bool,
}

impl Rest {
    /// Whether the store's own order and conditions are all there is.
    const fn is_nothing(&self) -> bool {
        self.tasks.is_empty()
            && self.versions.is_empty()
            && matches!(self.by, By::Created)
            && self.descending
    }

    fn has(&self, instance: &Instance, holding: Option<&Holding>) -> bool {
        let task = words::instance_task(holding).unsigned_abs();
        let version = words::engine_version(&instance.facts.version);
        (self.tasks.is_empty() || self.tasks.contains(&task))
            && (self.versions.is_empty() || self.versions.contains(&version))
    }

    fn compare(&self, a: &Instance, b: &Instance) -> Ordering {
        let order = match self.by {
            By::Id => a.id.cmp(&b.id),
            By::Name => a.name.cmp(&b.name),
            By::Created => a.created.cmp(&b.created),
        };
        // The id decides what the order leaves open, so that pages do not
        // overlap.
        let order = order.then_with(|| a.id.cmp(&b.id));
        match self.descending {
            true => order.reverse(),
            false => order,
        }
    }
}

impl Cdb {
    pub(super) async fn describe_db_instances(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::DescribeDBInstancesResponse, Refused> {
        let asked: wire::DescribeDBInstancesRequest = ask.params()?;
        let number = |n: Option<u64>| n.map(|n| i64::try_from(n).unwrap_or(i64::MAX));
        let page = ask.page(number(asked.offset), number(asked.limit), PAGE_DEFAULT)?;
        let ids = ask.some_ids("InstanceIds", &asked.instance_ids)?;
        let (filter, rest) = conditions(ask, asked, &ids)?;
        find::instances(&self.databases, ask, &ids).await?;
        let (total, found) = self.list(ask, filter, &rest, page).await?;
        Ok(wire::DescribeDBInstancesResponse {
            total_count: count(total),
            items: found
                .iter()
                .map(|(i, holding)| instance(ask, i, holding.as_ref()))
                .collect(),
        })
    }

    /// One page of instances with what holds them, and how many match.
    async fn list(
        &self,
        ask: Ask<'_>,
        filter: InstanceFilter,
        rest: &Rest,
        page: Page,
    ) -> Result<(u64, Vec<(Instance, Option<Holding>)>), Refused> {
        let (total, found) = match rest.is_nothing() {
            true => {
                let found = self.databases.list(ask.owner(), filter, page).await;
                let (total, found) = found.map_err(|e| ask.refused(e))?;
                (Some(total), found)
            }
            false => {
                let found = self.databases.list_all(ask.owner(), filter).await;
                let mut found = found.map_err(|e| ask.refused(e))?;
                found.sort_by(|a, b| rest.compare(a, b));
                (None, found)
            }
        };
        let ids: Vec<DatabaseId> = found.iter().map(|i| i.id.clone()).collect();
        let holdings = self
            .databases
            .holdings(&ids)
            .await
            .map_err(|e| ask.tasks_refused(e))?;
        let rows: Vec<_> = found.into_iter().zip(holdings).collect();
        if let Some(total) = total {
            return Ok((total, rows));
        }
        let rows: Vec<_> = rows
            .into_iter()
            .filter(|(instance, holding)| rest.has(instance, holding.as_ref()))
            .collect();
        let total = rows.len() as u64;
        let at = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let rows = rows
            .into_iter()
            .skip(at(page.offset))
            .take(at(page.limit))
            .collect();
        Ok((total, rows))
    }

    /// What a self-hosted server cannot do is refused, where it would be a
    /// promise about the instance that is made. Where it is placed and how it
    /// is paid for are not: there is one host, and nothing to pay.
    pub(super) async fn create_db_instance_hour(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::CreateDBInstanceHourResponse, Refused> {
        let asked: wire::CreateDBInstanceHourRequest = ask.params()?;
        let dry_run = asked.dry_run.unwrap_or(false);
        let caller = Caller {
            idempotency: ask.idempotency(asked.client_token.as_deref())?,
            ..ask.caller()
        };
        let new = new_managed(ask, asked)?;
        if dry_run {
            self.databases
                .check_create(&caller, new)
                .await
                .map_err(|e| ask.refused(e))?;
            return Ok(wire::CreateDBInstanceHourResponse {
                deal_ids: Vec::new(),
                instance_ids: Vec::new(),
            });
        }
        let made = self
            .databases
            .create(&caller, new)
            .await
            .map_err(|e| ask.refused(e))?;
        ask.did(&made);
        // There are no orders here; what an order would be looked up for, the
        // state of the making, is found by this.
        let mut deal_ids: Vec<String> = made.iter().map(|a| a.asked.clone()).collect();
        deal_ids.dedup();
        Ok(wire::CreateDBInstanceHourResponse {
            deal_ids,
            instance_ids: made.iter().map(|a| a.instance.to_string()).collect(),
        })
    }

    pub(super) async fn restart_db_instances(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::RestartDBInstancesResponse, Refused> {
        let asked: wire::RestartDBInstancesRequest = ask.params()?;
        let ids = self.known(ask, &asked.instance_ids).await?;
        let made = self
            .databases
            .restart_all(&ask.caller(), &ids)
            .await
            .map_err(|e| ask.tasks_refused(e))?;
        ask.did(&made);
        Ok(wire::RestartDBInstancesResponse {
            async_request_id: made.into_iter().next().map(|a| a.asked).unwrap_or_default(),
        })
    }

    pub(super) async fn isolate_db_instance(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::IsolateDBInstanceResponse, Refused> {
        let asked: wire::IsolateDBInstanceRequest = ask.params()?;
        let id = ask.id(&asked.instance_id)?;
        find::instance(&self.databases, ask, &id).await?;
        let made = self
            .databases
            .isolate(&ask.caller(), id.as_str())
            .await
            .map_err(|e| ask.tasks_refused(e))?;
        ask.did([&made]);
        Ok(wire::IsolateDBInstanceResponse {
            async_request_id: Some(made.asked),
        })
    }

    pub(super) async fn offline_isolated_instances(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::OfflineIsolatedInstancesResponse, Refused> {
        let asked: wire::OfflineIsolatedInstancesRequest = ask.params()?;
        let ids = self.known(ask, &asked.instance_ids).await?;
        let made = self
            .databases
            .remove_all(&ask.caller(), &ids)
            .await
            .map_err(|e| ask.tasks_refused(e))?;
        ask.did(&made);
        Ok(wire::OfflineIsolatedInstancesResponse {})
    }

    /// Instances that are there, by id.
    async fn known(&self, ask: Ask<'_>, ids: &[String]) -> Result<Vec<String>, Refused> {
        let ids = ask.ids("InstanceIds", ids)?;
        find::instances(&self.databases, ask, &ids).await?;
        Ok(ids.iter().map(DatabaseId::to_string).collect())
    }

    pub(super) async fn create_clone_instance(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::CreateCloneInstanceResponse, Refused> {
        let asked: wire::CreateCloneInstanceRequest = ask.params()?;
        let id = ask.id(&asked.instance_id)?;
        let time = asked
            .specified_rollback_time
            .as_deref()
            .filter(|t| !t.is_empty());
        let to = match (time, asked.specified_backup_id) {
            (Some(time), None) => {
                CloneTo::Until(Until::Written(ask.written("SpecifiedRollbackTime", time)?))
            }
            (None, Some(number)) => {
                CloneTo::Backup(backup_number(ask, "SpecifiedBackupId", number)?)
            }
            _ => {
                return Err(ask.error(
                    codes::PARAMETER,
                    "give exactly one of SpecifiedRollbackTime and SpecifiedBackupId",
                ));
            }
        };
        let name = ask.name("InstanceName", asked.instance_name)?;
        ask.not_here(
            asked.specified_sub_backup_id.is_some(),
            "there are no backups in other regions here",
        )?;
        ask.not_here(
            !asked.resource_tags.is_empty(),
            "a clone gets no tags of its own; set them when it is there",
        )?;
        promises(
            ask,
            &Promises {
                protect_mode: asked.protect_mode,
                nodes: asked.instance_nodes,
                topology: asked.cluster_topology.is_some(),
                groups: &asked.security_group,
                project: asked.project_id.is_some_and(|id| id != 0),
            },
        )?;
        let source = find::instance(&self.databases, ask, &id).await?;
        let shape = shape(ask, &source.shape, asked.memory, asked.volume, asked.cpu)?;
        if shape.memory_mb < source.shape.memory_mb {
            return Err(ask.error(
                codes::VALUE,
                format!(
                    "Memory {} is less than the {} of the source",
                    shape.memory_mb, source.shape.memory_mb
                ),
            ));
        }
        let request = CloneRequest {
            source: source.id.to_string(),
            to,
            name: name.unwrap_or_default(),
            shape: Some(shape),
            port: None,
        };
        let databases = &self.databases;
        if asked.dry_run.unwrap_or(false) {
            let (proposal, _) = databases
                .propose_clone(ask.owner(), &request)
                .await
                .map_err(|e| ask.refused(e))?;
            let blockers = proposal.preflight.blockers;
            if !blockers.is_empty() {
                return Err(ask.refused(Refusal::Blocked(blockers)));
            }
            return Ok(wire::CreateCloneInstanceResponse {
                async_request_id: String::new(),
            });
        }
        let (made, _) = databases
            .clone_instance(&ask.caller(), request)
            .await
            .map_err(|e| ask.refused(e))?;
        Ok(wire::CreateCloneInstanceResponse {
            async_request_id: made.asked,
        })
    }

    pub(super) async fn describe_clone_list(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::DescribeCloneListResponse, Refused> {
        let asked: wire::DescribeCloneListRequest = ask.params()?;
        let page = ask.page(asked.offset, asked.limit, PAGE_DEFAULT)?;
        let id = ask.id(&asked.instance_id)?;
        let source = find::instance(&self.databases, ask, &id).await?;
        let filter = TaskFilter {
            instance: Some(id.clone()),
            kinds: vec![TaskKind::Clone],
            ..TaskFilter::default()
        };
        let (total, found) = self
            .databases
            .tasks(ask.owner(), filter, page)
            .await
            .map_err(|e| ask.tasks_refused(e))?;
        let zone = words::zone(&source);
        let mut items = Vec::with_capacity(found.len());
        for task in &found {
            items.push(self.clone_item(ask, &zone, task).await?);
        }
        Ok(wire::DescribeCloneListResponse {
            total_count: count(total),
            items,
        })
    }

    async fn clone_item(
        &self,
        ask: Ask<'_>,
        zone: &Zone,
        task: &Task,
    ) -> Result<wire::CloneItem, Refused> {
        let (strategy, target) = match (task.detail.backup, &task.detail.rollback) {
            (None, Some(detail)) => ("timepoint", words::rollback_time(zone, detail)),
            (Some(number), _) => {
                let filter = BackupFilter {
                    numbers: vec![number],
                    ..BackupFilter::default()
                };
                let page = Page {
                    offset: 0,
                    limit: 1,
                };
                let (_, found) = self
                    .databases
                    .backups(ask.owner(), task.instance.as_str(), filter, page)
                    .await
                    .map_err(|e| ask.refused(e))?;
                // It may be gone by now.
                let at = found.first().and_then(|b| b.as_of);
                ("backupset", words::time(zone, at))
            }
            (None, None) => ("timepoint", words::NO_TIME.to_owned()),
        };
        Ok(wire::CloneItem {
            src_instance_id: task.instance.to_string(),
            dst_instance_id: task
                .detail
                .made
                .as_ref()
                .map(DatabaseId::to_string)
                .unwrap_or_default(),
            clone_job_id: count(task.number),
            rollback_strategy: strategy.to_owned(),
            rollback_target_time: target,
            start_time: words::time(zone, Some(task.created)),
            end_time: words::time(zone, task.ended),
            task_status: match task.standing {
                Standing::Waiting => "initial",
                Standing::Running | Standing::Stopping => "running",
                Standing::Applied => "success",
                Standing::Failed | Standing::Stopped | Standing::Held => "failed",
            }
            .to_owned(),
            new_region_id: 0,
            src_region_id: 0,
        })
    }
}

/// The conditions of a list: what the store looks at, and the rest.
fn conditions(
    ask: Ask<'_>,
    asked: wire::DescribeDBInstancesRequest,
    ids: &[DatabaseId],
) -> Result<(InstanceFilter, Rest), Refused> {
    let by = ask.word("OrderBy", asked.order_by.as_deref(), &ORDERS, By::Created)?;
    let descending = ask.word(
        "OrderDirection",
        // The vendor's own sample has quotes around the word.
        asked
            .order_direction
            .as_deref()
            .map(|d| d.trim_matches('"')),
        &[
            ("ASC", false),
            ("DESC", true),
            ("asc", false),
            ("desc", true),
        ],
        true,
    )?;
    let mut states: Vec<InstanceState> = Vec::new();
    for number in &asked.status {
        let state = i64::try_from(*number)
            .ok()
            .and_then(words::filtered_instance_state);
        states.push(
            state
                .ok_or_else(|| ask.error(codes::VALUE, format!("Status has no state {number}")))?,
        );
    }
    // What these would add to the rows is not there, so there is nothing to leave
    // out either.
    for (parameter, given) in [
        ("WithSecurityGroup", asked.with_security_group),
        ("WithExCluster", asked.with_ex_cluster),
        ("WithDr", asked.with_dr),
        ("WithRo", asked.with_ro),
        ("WithMaster", asked.with_master),
    ] {
        ask.switch(parameter, given)?;
    }
    let mut nothing = false;
    if let Some(made) = ask.switch("InitFlag", asked.init_flag)? {
        let meant = |state: &InstanceState| (*state != InstanceState::Creating) == made;
        let asked_for = match states.is_empty() {
            true => InstanceState::ALL.to_vec(),
            false => states,
        };
        states = asked_for.into_iter().filter(meant).collect();
        nothing = states.is_empty();
    }
    // Nothing here has any of these, or has another than this one.
    let lacks = [
        &asked.deploy_group_ids,
        &asked.cage_ids,
        &asked.unique_vpc_ids,
        &asked.uniq_subnet_ids,
        &asked.proxy_vips,
        &asked.proxy_ids,
    ];
    let other = |given: &[u64], own: u64| !given.is_empty() && !given.contains(&own);
    let set = |text: &Option<String>| text.as_ref().is_some_and(|t| !t.is_empty());
    let nothing = nothing
        || lacks.iter().any(|given| !given.is_empty())
        || other(&asked.instance_types, PRIMARY)
        || other(&asked.pay_types, HOURLY)
        || [&asked.vpc_ids, &asked.subnet_ids, &asked.zone_ids]
            .iter()
            .any(|given| other(given, 0))
        || asked.project_id.is_some_and(|id| id != 0)
        || set(&asked.security_group_id)
        || set(&asked.ex_cluster_id)
        || (!asked.cdb_errors.is_empty() && !asked.cdb_errors.contains(&NOT_LOCKED))
        || (!asked.engine_types.is_empty()
            && !asked
                .engine_types
                .iter()
                .any(|e| e.eq_ignore_ascii_case(ENGINE_TYPE)));
    let mut tags: Vec<TagFilter> = asked
        .tags
        .into_iter()
        .map(|t| TagFilter::Pair(t.key, vec![t.value]))
        .collect();
    if !asked.tag_keys_for_search.is_empty() {
        tags.push(TagFilter::Keys(asked.tag_keys_for_search));
    }
    if !asked.tag_values.is_empty() {
        tags.push(TagFilter::Values(asked.tag_values));
    }
    let filter = InstanceFilter {
        ids: ids.iter().map(DatabaseId::to_string).collect(),
        names: asked.instance_names,
        states,
        hosts: asked.vips,
        tags,
        nothing,
        ..InstanceFilter::default()
    };
    let rest = Rest {
        tasks: asked.task_status,
        versions: asked.engine_versions,
        by,
        descending,
    };
    Ok((filter, rest))
}

fn new_managed(
    ask: Ask<'_>,
    asked: wire::CreateDBInstanceHourRequest,
) -> Result<NewManaged, Refused> {
    let primary = ask.word(
        "InstanceRole",
        asked.instance_role.as_deref(),
        &[("master", true), ("dr", false), ("ro", false)],
        true,
    )?;
    let master = asked.master_instance_id.is_some_and(|id| !id.is_empty());
    ask.not_here(
        !primary || master || asked.ro_group.is_some(),
        "there are no replicas here; clone an instance instead",
    )?;
    promises(
        ask,
        &Promises {
            protect_mode: asked.protect_mode,
            nodes: asked.instance_nodes,
            topology: asked.cluster_topology.is_some(),
            groups: &asked.security_group,
            project: asked.project_id.is_some_and(|id| id != 0),
        },
    )?;
    ask.not_here(
        !asked.param_list.is_empty() || asked.param_template_id.is_some_and(|id| id != 0),
        "parameters are not set through this call; set them in the server when it is there",
    )?;
    for (parameter, given) in [
        ("DiskEncryption", &asked.disk_encryption),
        ("DestroyProtect", &asked.destroy_protect),
    ] {
        let words = [("on", true), ("off", false)];
        ask.not_here(
            ask.word(parameter, given.as_deref(), &words, false)?,
            &format!("{parameter} cannot be on: it is not here"),
        )?;
    }
    ask.not_here(
        asked.data_protect_volume.is_some_and(|gb| gb != 0),
        "there is no volume for the protection of data here; keep backups on another disk",
    )?;
    ask.not_here(
        asked.auto_strategy.is_some(),
        "processors are not added by themselves here",
    )?;
    ask.not_here(
        !asked.vips.is_empty(),
        "an instance here has the address of its host",
    )?;
    ask.word(
        "EngineType",
        asked.engine_type.as_deref(),
        &[(ENGINE_TYPE, ())],
        (),
    )?;
    let version = asked
        .engine_version
        .filter(|v| !v.is_empty() && !ENGINES.contains(&v.as_str()));
    let count = ask.number("GoodsNum", asked.goods_num, GOODS)?;
    let port = asked
        .port
        .map(|port| ask.number("Port", port, PORTS))
        .transpose()?
        .map(|port| u16::try_from(port).unwrap_or(u16::MAX));
    let shape = shape(
        ask,
        &Shape::default(),
        Some(asked.memory),
        Some(asked.volume),
        asked.cpu,
    )?;
    let name = ask.name("InstanceName", asked.instance_name)?;
    let names = match (name, count) {
        (None, _) => Vec::new(),
        (Some(name), 1) => vec![name],
        // Names are unique here.
        (Some(name), count) => (1..=count).map(|n| format!("{name}-{n}")).collect(),
    };
    Ok(NewManaged {
        names,
        count,
        shape,
        port,
        password: asked.password.filter(|p| !p.is_empty()),
        version,
        tags: ask.tags(asked.resource_tags)?,
    })
}

/// What an instance is promised to have.
struct Promises<'a> {
    protect_mode: Option<i64>,
    nodes: Option<i64>,
    topology: bool,
    groups: &'a [String],
    project: bool,
}

fn promises(ask: Ask<'_>, asked: &Promises<'_>) -> Result<(), Refused> {
    ask.not_here(asked.project, "there are no projects here but 0; use tags")?;
    ask.not_here(
        asked.protect_mode.is_some_and(|mode| mode != 0)
            || asked.nodes.is_some_and(|nodes| nodes > 1)
            || asked.topology,
        "an instance here has one node, and no replication",
    )?;
    ask.not_here(
        !asked.groups.is_empty(),
        "there are no security groups here; guard the port on the host",
    )
}

/// A size, in the place of what is not given that of `base`.
fn shape(
    ask: Ask<'_>,
    base: &Shape,
    memory: Option<i64>,
    volume: Option<i64>,
    cpu: Option<i64>,
) -> Result<Shape, Refused> {
    let or = |parameter, given: Option<i64>, range, absent| {
        given.map_or(Ok(absent), |n| ask.number(parameter, n, range))
    };
    Ok(Shape {
        memory_mb: or("Memory", memory, MEMORY_MB, base.memory_mb)?,
        volume_gb: or("Volume", volume, VOLUME_GB, base.volume_gb)?,
        cpu: or("Cpu", cpu, CPUS, base.cpu)?,
    })
}

fn instance(ask: Ask<'_>, instance: &Instance, holding: Option<&Holding>) -> wire::InstanceInfo {
    let zone = words::zone(instance);
    // The only one of a region: there is no more than one host to choose.
    let place = format!("{}-1", ask.region());
    wire::InstanceInfo {
        wan_status: 0,
        zone: place.clone(),
        init_flag: i64::from(instance.state != InstanceState::Creating),
        memory: instance.shape.memory_mb.into(),
        status: words::instance_state(instance.state),
        instance_id: instance.id.to_string(),
        volume: instance.shape.volume_gb.into(),
        instance_type: 1,
        region: ask.region().to_owned(),
        deadline_time: words::NO_TIME.to_owned(),
        task_status: words::instance_task(holding),
        device_type: "UNIVERSAL".to_owned(),
        engine_version: words::engine_version(&instance.facts.version),
        instance_name: instance.name.clone(),
        pay_type: 1,
        create_time: zone.local(instance.created),
        vip: instance.address.host.clone(),
        vport: instance.address.port.into(),
        physical_id: instance.id.to_string(),
        cpu: instance.shape.cpu.into(),
        zone_name: place,
        instance_nodes: 1,
        tag_list: instance
            .tags
            .iter()
            .map(|t| wire::TagInfoItem {
                tag_key: t.key.clone(),
                tag_value: t.value.clone(),
            })
            .collect(),
        engine_type: ENGINE_TYPE.to_owned(),
        // No network, replica, group or order of its own: all of that is empty.
        ..wire::InstanceInfo::default()
    }
}
