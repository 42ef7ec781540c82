//! Config maps and secrets: what releases find in files and variables. A version
//! has what it mounts in itself, and names the value of a secret; so neither a
//! new text nor a new value changes a version.

use std::collections::BTreeMap;

use backout_core::ids::AccountId;
use backout_store::Tx;
use backout_store::rows::Page;

use super::namespaces::namespace_of;
use super::{Apps, Caller, check_name};
use crate::model::{ConfigMap, SealedSecret};
use crate::persistence;
use crate::refusal::{QuotaOf, Refusal};

/// How many config maps a namespace may have.
pub const CONFIG_MAPS_MAX: u64 = 1000;

/// How long the keys and texts of a config map are together, in bytes.
pub const ENTRIES_MAX_BYTES: usize = 1 << 20;

/// How many secrets a namespace may have.
pub const SECRETS_MAX: u64 = 1000;

/// The longest value of a secret, in bytes: a chain of certificates.
pub const SECRET_MAX_BYTES: usize = 64 << 10;

/// The longest name and key of either, in characters.
const NAME_MAX_CHARS: usize = 128;

impl Apps {
    /// Makes a config map.
    ///
    /// # Errors
    /// [`Refusal::NamespaceNotFound`], [`Refusal::Taken`], [`Refusal::Quota`],
    /// [`Refusal::Parameter`], [`Refusal::Store`].
    pub async fn create_config_map(
        &self,
        caller: &Caller,
        namespace: &str,
        name: &str,
        entries: BTreeMap<String, String>,
    ) -> Result<ConfigMap, Refusal> {
        check_name("name", name, NAME_MAX_CHARS)?;
        check_entries(&entries)?;
        let (owner, now) = (caller.owner.clone(), self.clock.now());
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        self.store
            .write(move |tx| {
                namespace_of(tx, &owner, &namespace)?;
                let (count, _) = persistence::list_config_maps(tx, &owner, &namespace, NONE)?;
                if count >= CONFIG_MAPS_MAX {
                    return Err(Refusal::Quota {
                        of: QuotaOf::ConfigMaps,
                        most: CONFIG_MAPS_MAX,
                    });
                }
                let number = persistence::insert_config_map(
                    tx, &owner, &namespace, &name, &entries, now,
                )?
                .ok_or_else(|| Refusal::Taken(name.clone(), "config map of that namespace"))?;
                config_map_of(tx, &owner, number)
            })
            .await
    }

    /// Gives a config map these texts, and no others. Versions keep what they
    /// were deployed with.
    ///
    /// # Errors
    /// [`Refusal::ConfigMapNotFound`], [`Refusal::Parameter`],
    /// [`Refusal::Store`].
    pub async fn set_config_map(
        &self,
        caller: &Caller,
        number: u64,
        entries: BTreeMap<String, String>,
    ) -> Result<ConfigMap, Refusal> {
        check_entries(&entries)?;
        let (owner, now) = (caller.owner.clone(), self.clock.now());
        self.store
            .write(move |tx| {
                persistence::set_config_map(tx, &owner, number, &entries, now)?;
                config_map_of(tx, &owner, number)
            })
            .await
    }

    /// A config map by its number.
    ///
    /// # Errors
    /// [`Refusal::ConfigMapNotFound`], [`Refusal::Store`].
    pub async fn config_map(&self, owner: &AccountId, number: u64) -> Result<ConfigMap, Refusal> {
        let owner = owner.clone();
        self.store
            .read(move |tx| config_map_of(tx, &owner, number))
            .await
    }

    /// One page of the config maps of a namespace, by name, and how many there
    /// are.
    ///
    /// # Errors
    /// [`Refusal::NamespaceNotFound`], [`Refusal::Store`].
    pub async fn config_maps(
        &self,
        owner: &AccountId,
        namespace: &str,
        page: Page,
    ) -> Result<(u64, Vec<ConfigMap>), Refusal> {
        let (owner, namespace) = (owner.clone(), namespace.to_owned());
        self.store
            .read(move |tx| {
                namespace_of(tx, &owner, &namespace)?;
                Ok(persistence::list_config_maps(tx, &owner, &namespace, page)?)
            })
            .await
    }

    /// Forgets a config map. Versions keep what they were deployed with.
    ///
    /// # Errors
    /// [`Refusal::ConfigMapNotFound`], [`Refusal::Store`].
    pub async fn delete_config_map(&self, caller: &Caller, number: u64) -> Result<(), Refusal> {
        let owner = caller.owner.clone();
        self.store
            .write(
                move |tx| match persistence::delete_config_map(tx, &owner, number)? {
                    true => Ok(()),
                    false => Err(Refusal::ConfigMapNotFound(number)),
                },
            )
            .await
    }

    /// Gives a secret a new value, and returns its revision. Versions keep the
    /// value they were deployed with.
    ///
    /// # Errors
    /// [`Refusal::NamespaceNotFound`], [`Refusal::Quota`],
    /// [`Refusal::Parameter`], [`Refusal::Secret`], [`Refusal::Store`].
    pub async fn set_secret(
        &self,
        caller: &Caller,
        namespace: &str,
        name: &str,
        value: &str,
    ) -> Result<u64, Refusal> {
        check_name("name", name, NAME_MAX_CHARS)?;
        if value.is_empty() {
            return Err(Refusal::Empty("value"));
        }
        if value.len() > SECRET_MAX_BYTES || value.contains('\0') {
            return Err(Refusal::Parameter {
                name: "value",
                why: format!("give at most {SECRET_MAX_BYTES} bytes, and no zero byte"),
            });
        }
        let owner = caller.owner.clone();
        let (space, secret) = (namespace.to_owned(), name.to_owned());
        let revision = self
            .store
            .read(move |tx| {
                namespace_of(tx, &owner, &space)?;
                let last = persistence::secret_revision(tx, &owner, &space, &secret)?;
                let (count, _) = persistence::list_secrets(tx, &owner, &space, NONE)?;
                if last == 0 && count >= SECRETS_MAX {
                    return Err(Refusal::Quota {
                        of: QuotaOf::Secrets,
                        most: SECRETS_MAX,
                    });
                }
                Ok(last + 1)
            })
            .await?;
        let bound_to = SealedSecret::bound_to(&caller.owner, namespace, name, revision);
        let sealed = self.runtime.secrets.seal(&bound_to, value);
        let secret = SealedSecret {
            owner: caller.owner.clone(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            revision,
            sealed: sealed.map_err(Refusal::Secret)?,
            created: self.clock.now(),
        };
        self.store
            .write(move |tx| {
                if !persistence::insert_secret(tx, &secret)? {
                    return Err(Refusal::Parameter {
                        name: "secret",
                        why: "somebody else sets it at this moment; look, then try again"
                            .to_owned(),
                    });
                }
                let SealedSecret {
                    owner,
                    namespace,
                    name,
                    ..
                } = &secret;
                persistence::forget_old_values(tx, owner, namespace, name)?;
                Ok(revision)
            })
            .await
    }

    /// One page of the secrets of a namespace, by name, each with its newest
    /// revision, and how many there are. Values are not shown to anybody.
    ///
    /// # Errors
    /// [`Refusal::NamespaceNotFound`], [`Refusal::Store`].
    pub async fn secrets(
        &self,
        owner: &AccountId,
        namespace: &str,
        page: Page,
    ) -> Result<(u64, Vec<SealedSecret>), Refusal> {
        let (owner, namespace) = (owner.clone(), namespace.to_owned());
        self.store
            .read(move |tx| {
                namespace_of(tx, &owner, &namespace)?;
                Ok(persistence::list_secrets(tx, &owner, &namespace, page)?)
            })
            .await
    }

    /// Forgets a secret with all its values, unless a version has one: it may be
    /// gone back to.
    ///
    /// # Errors
    /// [`Refusal::SecretNotFound`], [`Refusal::SecretUsed`],
    /// [`Refusal::NamespaceNotFound`], [`Refusal::Store`].
    pub async fn delete_secret(
        &self,
        caller: &Caller,
        namespace: &str,
        name: &str,
    ) -> Result<(), Refusal> {
        let owner = caller.owner.clone();
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        self.store
            .write(move |tx| {
                namespace_of(tx, &owner, &namespace)?;
                let used = persistence::version_with_secret(tx, &owner, &namespace, &name)?;
                if let Some(version) = used {
                    return Err(Refusal::SecretUsed { name, version });
                }
                match persistence::delete_secret(tx, &owner, &namespace, &name)? {
                    true => Ok(()),
                    false => Err(Refusal::SecretNotFound(name.chars().take(100).collect())),
                }
            })
            .await
    }
}

/// No rows: who only counts.
const NONE: Page = Page {
    offset: 0,
    limit: 0,
};

fn config_map_of(tx: &mut dyn Tx, owner: &AccountId, number: u64) -> Result<ConfigMap, Refusal> {
    persistence::config_map(tx, owner, number)?.ok_or(Refusal::ConfigMapNotFound(number))
}

fn check_entries(entries: &BTreeMap<String, String>) -> Result<(), Refusal> {
    for key in entries.keys() {
        check_name("key", key, NAME_MAX_CHARS)?;
    }
    let bytes: usize = entries.iter().map(|(k, v)| k.len() + v.len()).sum();
    match bytes <= ENTRIES_MAX_BYTES {
        true => Ok(()),
        false => Err(Refusal::Parameter {
            name: "texts",
            why: format!(
                "{bytes} bytes are too much; give at most {ENTRIES_MAX_BYTES} in one config map"
            ),
        }),
    }
}
