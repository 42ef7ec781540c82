//! Images that instances are made of. All of them are the owner's own.

use backout_servers::NAME_MAX_CHARS;
use backout_servers::model::{Blueprint, BlueprintState, size_gib};
use backout_servers::persistence::BlueprintFilter;
use backout_wire::SurfaceError;
use backout_wire::types::lighthouse as wire;

use super::asked::{Ask, FILTER_VALUES_MAX};
use super::{Lighthouse, codes, tags};
use crate::front::Refused;

/// The vendor's kinds of image, and whether those here are of it.
const TYPES: [(&str, bool); 6] = [
    ("APP_OS", false),
    ("PURE_OS", false),
    ("DOCKER", false),
    ("PRIVATE", true),
    ("SHARED", false),
    ("GAME_PORTAL", false),
];
/// The vendor's platforms, and whether the images here are shown as of it: what
/// a guest is made of is not looked at.
pub(super) const PLATFORM_TYPES: [(&str, bool); 2] = [("LINUX_UNIX", true), ("WINDOWS", false)];
/// The vendor's states of an image (contract: `Blueprint.BlueprintState`).
const STATES: [&str; 9] = [
    "NORMAL",
    "SYNCING",
    "OFFLINE",
    "CREATEFAILED",
    "SYNCING_FAILED",
    "ISOLATING",
    "ISOLATED",
    "DELETING",
    "DESTROYING",
];

impl Lighthouse {
    pub(super) async fn describe_blueprints(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::DescribeBlueprintsResponse, Refused> {
        let asked: wire::DescribeBlueprintsRequest = ask.params()?;
        let page = ask.page(asked.offset, asked.limit)?;
        let ids = ask.distinct("BlueprintIds", &asked.blueprint_ids, |id| ask.blueprint(id))?;
        ask.exclusive(&ids, &asked.filters)?;
        let mut filter = blueprint_filter(ask, &asked.filters)?;
        if !ids.is_empty() {
            filter.ids = ids;
        }
        let (total, found) = self
            .servers
            .blueprints(ask.owner(), filter, page)
            .await
            .map_err(|e| ask.refused(e))?;
        Ok(wire::DescribeBlueprintsResponse {
            total_count: total.cast_signed(),
            blueprint_set: found.iter().map(blueprint).collect(),
        })
    }

    pub(super) async fn create_blueprint(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::CreateBlueprintResponse, Refused> {
        let asked: wire::CreateBlueprintRequest = ask.params()?;
        let name = ask.new_name("BlueprintName", Some(asked.blueprint_name), NAME_MAX_CHARS)?;
        let description = asked.description.unwrap_or_default();
        // The contract lets it be absent; then there is nothing to make an image
        // of.
        let Some(instance) = asked.instance_id else {
            return Err(ask.error(codes::MISSING, "InstanceId is not given").into());
        };
        let instance = ask.instance(&instance)?;
        let tags = ask.tags(asked.tags)?;
        let (id, _job) = self
            .servers
            .create_blueprint(
                &ask.caller(),
                &name,
                &description,
                instance.as_str(),
                // The vendor's default.
                asked.force_power_off.unwrap_or(true),
                tags,
            )
            .await
            .map_err(|e| ask.refused(e))?;
        Ok(wire::CreateBlueprintResponse {
            blueprint_id: id.to_string(),
        })
    }
}

fn blueprint_filter(
    ask: Ask<'_>,
    filters: &[wire::Filter],
) -> Result<BlueprintFilter, SurfaceError> {
    ask.filters(filters, FILTER_VALUES_MAX)?;
    let mut out = BlueprintFilter::default();
    for filter in filters {
        let values = filter.values.clone();
        match filter.name.as_str() {
            "blueprint-id" => {
                values.iter().try_for_each(|v| ask.blueprint(v).map(drop))?;
                out.ids = values;
            }
            "blueprint-name" => out.names = values,
            "blueprint-type" => {
                out.nothing |= !any_of(ask, &values, &TYPES, codes::BLUEPRINT_TYPE)?
            }
            "platform-type" => {
                out.nothing |= !any_of(ask, &values, &PLATFORM_TYPES, codes::PLATFORM_TYPE)?;
            }
            "blueprint-state" => {
                if let Some(odd) = values.iter().find(|v| !STATES.contains(&v.as_str())) {
                    return Err(ask.error(
                        codes::BLUEPRINT_STATE,
                        format!("{odd:?} is no state of an image"),
                    ));
                }
                out.states = BlueprintState::ALL
                    .iter()
                    .copied()
                    .filter(|s| values.iter().any(|v| v == state(*s)))
                    .collect();
                out.nothing |= out.states.is_empty();
            }
            // Images here are for no scene of the vendor's.
            "scene-id" => out.nothing = true,
            _ => out.tags.push(ask.tag_filter(filter)?),
        }
    }
    Ok(out)
}

/// Whether one of the words stands for what there is here.
pub(super) fn any_of(
    ask: Ask<'_>,
    values: &[String],
    words: &[(&str, bool)],
    cause: codes::Cause,
) -> Result<bool, SurfaceError> {
    let mut any = false;
    for value in values {
        let (_, here) = words
            .iter()
            .find(|(word, _)| word == value)
            .ok_or_else(|| ask.error(cause, format!("{value:?} is not known")))?;
        any |= here;
    }
    Ok(any)
}

fn blueprint(blueprint: &Blueprint) -> wire::Blueprint {
    let size = size_gib(blueprint.size_bytes).cast_signed();
    wire::Blueprint {
        blueprint_id: blueprint.id.to_string(),
        display_title: blueprint.name.clone(),
        display_version: "1".to_owned(),
        description: Some(blueprint.description.clone()),
        os_name: "self-hosted".to_owned(),
        platform: "SELF_HOSTED".to_owned(),
        platform_type: "LINUX_UNIX".to_owned(),
        blueprint_type: "PRIVATE".to_owned(),
        required_system_disk_size: size,
        blueprint_state: state(blueprint.state).to_owned(),
        created_time: Some(blueprint.created.iso8601()),
        blueprint_name: blueprint.name.clone(),
        tags: Some(tags(&blueprint.tags)),
        ..Default::default()
    }
}

/// The vendor has no word for an image in the making but the one for a copy that
/// comes from elsewhere.
const fn state(state: BlueprintState) -> &'static str {
    match state {
        BlueprintState::Creating => "SYNCING",
        BlueprintState::Normal => "NORMAL",
        BlueprintState::Failed => "CREATEFAILED",
        BlueprintState::Deleting => "DELETING",
    }
}
