//! Namespaces.

use backout_apps::model::Namespace;
use backout_wire::types::sae as wire;

use super::asked::{Ask, DEFAULT_NAMESPACE, Paging, some};
use super::{Sae, codes, words};
use crate::front::{Refused, count};

/// The region of a namespace's id, and the short id where it has one.
fn short(id: &str) -> Option<String> {
    (id != DEFAULT_NAMESPACE).then(|| id.to_owned())
}

/// A namespace as the calls that make or change it show it.
struct Shown {
    id: String,
    short: Option<String>,
    name: String,
    description: String,
    region: String,
}

impl Shown {
    fn of(ask: Ask<'_>, namespace: Namespace) -> Self {
        Self {
            id: ask.namespace_id(&namespace.id),
            short: short(&namespace.id),
            name: namespace.name,
            description: namespace.description,
            region: ask.region().to_owned(),
        }
    }
}

/// Which namespace is meant: by its id, or by the short one alone. None where
/// neither is there.
fn named(
    ask: Ask<'_>,
    id: Option<&str>,
    short_id: Option<&str>,
) -> Result<Option<String>, Refused> {
    let (id, short_id) = (ask.some_namespace(id), some(short_id).map(str::to_owned));
    match (id, short_id) {
        (Some(id), Some(short)) if id != short => Err(codes::value(
            "NameSpaceShortId",
            "it contradicts NamespaceId",
        )),
        (Some(id), _) | (None, Some(id)) => Ok(Some(id)),
        (None, None) => Ok(None),
    }
}

/// As [`named`], where one must be.
fn the_named(ask: Ask<'_>, id: Option<&str>, short_id: Option<&str>) -> Result<String, Refused> {
    named(ask, id, short_id)?.ok_or_else(|| codes::empty("NamespaceId"))
}

impl Sae {
    pub(super) async fn create_namespace(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::CreateNamespaceResponse, Refused> {
        let asked: wire::CreateNamespaceRequest = ask.params()?;
        let id = the_named(
            ask,
            asked.namespace_id.as_deref(),
            asked.name_space_short_id.as_deref(),
        )?;
        let name = super::asked::required("NamespaceName", &asked.namespace_name)?;
        let description = asked.namespace_description.unwrap_or_default();
        let made = self
            .apps
            .create_namespace(&ask.caller(), &id, name, &description)
            .await
            .map_err(|e| ask.refused(e))?;
        let shown = Shown::of(ask, made);
        Ok(wire::CreateNamespaceResponse {
            data: Some(wire::CreateNamespaceData {
                enable_micro_registration: Some(false),
                name_space_short_id: shown.short,
                namespace_description: Some(shown.description),
                namespace_id: Some(shown.id),
                namespace_name: Some(shown.name),
                region_id: Some(shown.region),
            }),
        })
    }

    pub(super) async fn update_namespace(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::UpdateNamespaceResponse, Refused> {
        let asked: wire::UpdateNamespaceRequest = ask.params()?;
        let id = the_named(
            ask,
            asked.namespace_id.as_deref(),
            asked.name_space_short_id.as_deref(),
        )?;
        let name = super::asked::required("NamespaceName", &asked.namespace_name)?;
        let changed = self
            .apps
            .update_namespace(
                &ask.caller(),
                &id,
                Some(name.to_owned()),
                asked.namespace_description,
            )
            .await
            .map_err(|e| ask.refused(e))?;
        let shown = Shown::of(ask, changed);
        Ok(wire::UpdateNamespaceResponse {
            data: Some(wire::UpdateNamespaceData {
                enable_micro_registration: Some(false),
                name_space_short_id: shown.short,
                namespace_description: Some(shown.description),
                namespace_id: Some(shown.id),
                namespace_name: Some(shown.name),
                region_id: Some(shown.region),
            }),
        })
    }

    pub(super) async fn delete_namespace(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::DeleteNamespaceResponse, Refused> {
        let asked: wire::DeleteNamespaceRequest = ask.params()?;
        let id = the_named(
            ask,
            asked.namespace_id.as_deref(),
            asked.name_space_short_id.as_deref(),
        )?;
        self.apps
            .delete_namespace(&ask.caller(), &id)
            .await
            .map_err(|e| ask.refused(e))?;
        Ok(wire::DeleteNamespaceResponse {})
    }

    pub(super) async fn describe_namespace(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::DescribeNamespaceResponse, Refused> {
        let asked: wire::DescribeNamespaceRequest = ask.params()?;
        let id = the_named(
            ask,
            asked.namespace_id.as_deref(),
            asked.name_space_short_id.as_deref(),
        )?;
        let found = self
            .apps
            .namespace(ask.owner(), &id)
            .await
            .map_err(|e| ask.refused(e))?;
        let shown = Shown::of(ask, found);
        Ok(wire::DescribeNamespaceResponse {
            data: Some(wire::DescribeNamespaceData {
                enable_micro_registration: Some(false),
                name_space_short_id: shown.short,
                namespace_description: Some(shown.description),
                namespace_id: Some(shown.id),
                namespace_name: Some(shown.name),
                region_id: Some(shown.region),
            }),
        })
    }

    pub(super) async fn describe_namespace_list(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::DescribeNamespaceListResponse, Refused> {
        let asked: wire::DescribeNamespaceListRequest = ask.params()?;
        // What the vendor calls custom is all but the one that everybody has.
        let custom = asked.contain_custom.unwrap_or(false);
        let all = Paging {
            current: 1,
            size: super::asked::PAGE_MAX,
        };
        let (_, found) = self
            .apps
            .namespaces(ask.owner(), all.page())
            .await
            .map_err(|e| ask.refused(e))?;
        let data = found
            .into_iter()
            .filter(|namespace| custom || namespace.id == DEFAULT_NAMESPACE)
            .map(|namespace| {
                let own = namespace.id != DEFAULT_NAMESPACE;
                let shown = Shown::of(ask, namespace);
                wire::DescribeNamespaceListData {
                    custom: Some(own),
                    hybrid_cloud_enable: Some(false),
                    name_space_short_id: shown.short,
                    namespace_id: Some(shown.id),
                    namespace_name: Some(shown.name),
                    region_id: Some(shown.region),
                    ..Default::default()
                }
            })
            .collect();
        Ok(wire::DescribeNamespaceListResponse { data: Some(data) })
    }

    pub(super) async fn describe_namespaces(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::DescribeNamespacesResponse, Refused> {
        let asked: wire::DescribeNamespacesRequest = ask.params()?;
        let paging = ask.paging(Some(asked.current_page), Some(asked.page_size))?;
        let (total, found) = self
            .apps
            .namespaces(ask.owner(), paging.page())
            .await
            .map_err(|e| ask.refused(e))?;
        let namespaces = found
            .into_iter()
            .map(|namespace| {
                let shown = Shown::of(ask, namespace);
                wire::DescribeNamespacesDataNamespaces {
                    name_space_short_id: shown.short,
                    namespace_description: Some(shown.description),
                    namespace_id: Some(shown.id),
                    namespace_name: Some(shown.name),
                    region_id: Some(shown.region),
                    ..Default::default()
                }
            })
            .collect();
        Ok(wire::DescribeNamespacesResponse {
            data: Some(wire::DescribeNamespacesData {
                current_page: Some(paging.current),
                namespaces: Some(namespaces),
                page_size: Some(paging.size),
                total_size: Some(count(total)),
            }),
        })
    }

    pub(super) async fn describe_namespace_resources(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::DescribeNamespaceResourcesResponse, Refused> {
        let asked: wire::DescribeNamespaceResourcesRequest = ask.params()?;
        let id = the_named(
            ask,
            asked.namespace_id.as_deref(),
            asked.name_space_short_id.as_deref(),
        )?;
        let found = self
            .apps
            .namespace_resources(ask.owner(), &id)
            .await
            .map_err(|e| ask.refused(e))?;
        let last = found.last_order;
        let shown = Shown::of(ask, found.namespace);
        Ok(wire::DescribeNamespaceResourcesResponse {
            data: Some(wire::DescribeNamespaceResourcesData {
                app_count: Some(count(found.applications)),
                belong_region: Some(shown.region),
                description: Some(shown.description),
                last_change_order_id: last.as_ref().map(|order| order.id.to_string()),
                last_change_order_running: Some(
                    last.as_ref().is_some_and(|order| !order.standing.is_over()),
                ),
                last_change_order_status: last
                    .as_ref()
                    .map(|order| words::word(order.standing).to_owned()),
                name_space_short_id: shown.short,
                namespace_id: Some(shown.id),
                namespace_name: Some(shown.name),
                user_id: Some(ask.owner().to_string()),
                ..Default::default()
            }),
        })
    }
}
