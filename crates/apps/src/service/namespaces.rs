//! Rooms for applications.

use backout_core::ids::AccountId;
use backout_store::Tx;
use backout_store::rows::Page;

use super::{Apps, Caller, DESCRIPTION_MAX_CHARS, check_name, check_text};
use crate::model::{Namespace, Order};
use crate::persistence::{self, OrderFilter};
use crate::refusal::{QuotaOf, Refusal};

/// The namespace that every owner has: applications of which nothing else is
/// said are in it.
pub const DEFAULT_NAMESPACE: &str = "default";

/// How many namespaces an owner may have: each environment of each team one.
pub const NAMESPACES_MAX: u64 = 1000;

/// The longest id and name of one, in characters.
const NAME_MAX_CHARS: usize = 64;

/// What is in a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceResources {
    /// The namespace.
    pub namespace: Namespace,
    /// How many applications.
    pub applications: u64,
    /// Its newest order.
    pub last_order: Option<Order>,
}

impl Apps {
    /// Makes a namespace.
    ///
    /// # Errors
    /// [`Refusal::Taken`], [`Refusal::Quota`], [`Refusal::Parameter`],
    /// [`Refusal::Empty`], [`Refusal::Store`].
    pub async fn create_namespace(
        &self,
        caller: &Caller,
        id: &str,
        name: &str,
        description: &str,
    ) -> Result<Namespace, Refusal> {
        check_name("namespace", id, NAME_MAX_CHARS)?;
        check_described(name, description)?;
        let namespace = Namespace {
            owner: caller.owner.clone(),
            id: id.to_owned(),
            name: name.to_owned(),
            description: description.to_owned(),
            created: self.clock.now(),
        };
        self.store
            .write(move |tx| {
                let page = Page {
                    offset: 0,
                    limit: 0,
                };
                let (count, _) = persistence::list_namespaces(tx, &namespace.owner, page)?;
                let taken = namespace.id == DEFAULT_NAMESPACE
                    || persistence::namespace(tx, &namespace.owner, &namespace.id)?.is_some();
                if taken {
                    return Err(Refusal::Taken(namespace.id, "namespace"));
                }
                if count >= NAMESPACES_MAX {
                    return Err(Refusal::Quota {
                        of: QuotaOf::Namespaces,
                        most: NAMESPACES_MAX,
                    });
                }
                match persistence::insert_namespace(tx, &namespace)? {
                    true => Ok(namespace),
                    false => Err(Refusal::Taken(namespace.id, "namespace")),
                }
            })
            .await
    }

    /// Renames and redescribes a namespace; what is not given stays.
    ///
    /// # Errors
    /// [`Refusal::NamespaceNotFound`], [`Refusal::Parameter`],
    /// [`Refusal::Store`].
    pub async fn update_namespace(
        &self,
        caller: &Caller,
        id: &str,
        name: Option<String>,
        description: Option<String>,
    ) -> Result<Namespace, Refusal> {
        check_described(
            name.as_deref().unwrap_or_default(),
            description.as_deref().unwrap_or_default(),
        )?;
        let (owner, id, now) = (caller.owner.clone(), id.to_owned(), self.clock.now());
        self.store
            .write(move |tx| {
                let mut namespace = namespace_of(tx, &owner, &id)?;
                // The one that everybody has may not be written down yet.
                namespace.created = now;
                persistence::insert_namespace(tx, &namespace)?;
                namespace = namespace_of(tx, &owner, &id)?;
                namespace.name = name.unwrap_or(namespace.name);
                namespace.description = description.unwrap_or(namespace.description);
                persistence::update_namespace(tx, &namespace)?;
                Ok(namespace)
            })
            .await
    }

    /// Forgets a namespace in which no application is.
    ///
    /// # Errors
    /// [`Refusal::NamespaceNotFound`], [`Refusal::NamespaceUsed`],
    /// [`Refusal::Parameter`] for the one that everybody has,
    /// [`Refusal::Store`].
    pub async fn delete_namespace(&self, caller: &Caller, id: &str) -> Result<(), Refusal> {
        if id == DEFAULT_NAMESPACE {
            return Err(Refusal::Parameter {
                name: "namespace",
                why: format!("{DEFAULT_NAMESPACE:?} is always there; take another away"),
            });
        }
        let (owner, id) = (caller.owner.clone(), id.to_owned());
        self.store
            .write(move |tx| {
                namespace_of(tx, &owner, &id)?;
                match persistence::delete_namespace(tx, &owner, &id)? {
                    true => Ok(()),
                    false => Err(Refusal::NamespaceUsed(id)),
                }
            })
            .await
    }

    /// A namespace by its id.
    ///
    /// # Errors
    /// [`Refusal::NamespaceNotFound`], [`Refusal::Store`].
    pub async fn namespace(&self, owner: &AccountId, id: &str) -> Result<Namespace, Refusal> {
        let (owner, id) = (owner.clone(), id.to_owned());
        self.store
            .read(move |tx| namespace_of(tx, &owner, &id))
            .await
    }

    /// One page of an owner's namespaces, by id, and how many there are. The one
    /// that everybody has is among them.
    ///
    /// # Errors
    /// [`Refusal::Store`].
    pub async fn namespaces(
        &self,
        owner: &AccountId,
        page: Page,
    ) -> Result<(u64, Vec<Namespace>), Refusal> {
        let (asked, now) = (owner.clone(), self.clock.now());
        let known = self
            .store
            .read(move |tx| {
                Ok::<_, Refusal>(persistence::namespace(tx, &asked, DEFAULT_NAMESPACE)?.is_some())
            })
            .await?;
        let owner = owner.clone();
        if known {
            return self
                .store
                .read(move |tx| Ok(persistence::list_namespaces(tx, &owner, page)?))
                .await;
        }
        self.store
            .write(move |tx| {
                let mut namespace = namespace_of(tx, &owner, DEFAULT_NAMESPACE)?;
                namespace.created = now;
                persistence::insert_namespace(tx, &namespace)?;
                Ok(persistence::list_namespaces(tx, &owner, page)?)
            })
            .await
    }

    /// What is in a namespace.
    ///
    /// # Errors
    /// [`Refusal::NamespaceNotFound`], [`Refusal::Store`].
    pub async fn namespace_resources(
        &self,
        owner: &AccountId,
        id: &str,
    ) -> Result<NamespaceResources, Refusal> {
        let (owner, id) = (owner.clone(), id.to_owned());
        self.store
            .read(move |tx| {
                let namespace = namespace_of(tx, &owner, &id)?;
                let filter = persistence::ApplicationFilter {
                    namespace: Some(id.clone()),
                    ..Default::default()
                };
                let none = Page {
                    offset: 0,
                    limit: 0,
                };
                let (applications, _) = persistence::list_applications(tx, &owner, &filter, none)?;
                let filter = OrderFilter {
                    namespace: Some(id),
                    ..OrderFilter::default()
                };
                let newest = Page {
                    offset: 0,
                    limit: 1,
                };
                let (_, mut orders) = persistence::list_orders(tx, &owner, &filter, newest)?;
                Ok(NamespaceResources {
                    namespace,
                    applications,
                    last_order: orders.pop(),
                })
            })
            .await
    }
}

/// A namespace by its id. The one that everybody has is always found.
pub(super) fn namespace_of(
    tx: &mut dyn Tx,
    owner: &AccountId,
    id: &str,
) -> Result<Namespace, Refusal> {
    if id.is_empty() {
        return Err(Refusal::Empty("namespace"));
    }
    match persistence::namespace(tx, owner, id)? {
        Some(namespace) => Ok(namespace),
        None if id == DEFAULT_NAMESPACE => Ok(Namespace {
            owner: owner.clone(),
            id: DEFAULT_NAMESPACE.to_owned(),
            name: DEFAULT_NAMESPACE.to_owned(),
            description: String::new(),
            created: backout_core::time::Timestamp(0),
        }),
        None => Err(Refusal::NamespaceNotFound(id.chars().take(100).collect())),
    }
}

fn check_described(name: &str, description: &str) -> Result<(), Refusal> {
    check_text("name of the namespace", name, NAME_MAX_CHARS)?;
    check_text("description", description, DESCRIPTION_MAX_CHARS)
}
