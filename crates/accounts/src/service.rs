//! What can be done with accounts and keys.

use std::fmt;
use std::io;
use std::sync::Arc;

use backout_core::ids::{AccountId, Entropy};
use backout_core::policy::Policy;
use backout_core::time::Clock;
use backout_store::{Store, Tx};

use crate::cache::{Cache, Entry, Freshness};
use crate::error::{Error, KeyError};
use crate::master::MasterKey;
use crate::model::{
    Account, KeyInfo, KeyKind, KeyMaterial, KeyPair, KeyStatus, LIFETIME_S_MAX, LIFETIME_S_MIN,
    PAGE_MAX, PERMANENT_KEYS_MAX, Principal, SUB_ACCOUNTS_MAX, TEMPORARY_KEYS_MAX, check_name, cut,
};
use crate::persistence::{self, Sealed};
use crate::secret::{
    CannotOpen, Sealer, key_binding, may_be_secret_id, random_secret_id, random_secret_key,
    random_token, token_hash,
};

/// The name of the account that manages all others.
pub const ADMIN: &str = "admin";

/// What is sealed to tell a right master key from a wrong one.
const KEY_CHECK: &str = "this opens with the right master key";
const KEY_CHECK_BINDING: &str = "backout key check";

/// The accounts and their keys. Cheap to clone; clones share one cache.
///
/// Who may do what: `admin` everything. An independent account manages its own
/// keys, its sub-accounts, and their keys. A sub-account sees itself and
/// manages its own keys, as far as its policy allows the `accounts:` actions
/// named at each function on the resource `account/ID` or `account/NAME`. To
/// whom an account is not visible it does not exist.
#[derive(Clone)]
pub struct Accounts {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    sealer: Sealer,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    cache: Cache,
}

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accounts")
            .field("store", &self.inner.store)
            .finish_non_exhaustive()
    }
}

/// A new key before it is stored.
struct NewKey {
    pair: KeyPair,
    info: KeyInfo,
    sealed: Sealed,
}

impl Accounts {
    /// Opens the accounts in `store`, which has this crate's
    /// [`MIGRATIONS`](crate::MIGRATIONS).
    ///
    /// # Errors
    /// [`Error::WrongMasterKey`] when the store was made with another one.
    pub async fn open(
        store: Store,
        master: &MasterKey,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, Error> {
        let sealer = Sealer::new(master);
        let mut check = store.read(|tx| persistence::key_check(tx)).await?;
        if check.is_none() {
            let ours = sealer
                .seal(entropy.as_ref(), KEY_CHECK_BINDING, KEY_CHECK)
                .map_err(|CannotOpen| Error::Seal)?;
            check = store
                .write(move |tx| {
                    persistence::lock(tx)?;
                    // Another process may have been faster.
                    if let Some(theirs) = persistence::key_check(tx)? {
                        return Ok(Some(theirs));
                    }
                    if persistence::any_key(tx)? {
                        return Err(Error::KeyCheckMissing);
                    }
                    persistence::insert_key_check(tx, ours)?;
                    Ok(None)
                })
                .await?;
        }
        if let Some(check) = check {
            sealer
                .open(KEY_CHECK_BINDING, &check)
                .map_err(|CannotOpen| Error::WrongMasterKey)?;
        }
        Ok(Self {
            inner: Arc::new(Inner {
                store,
                sealer,
                clock,
                entropy,
                cache: Cache::new(),
            }),
        })
    }

    /// Makes the account [`ADMIN`] when there is none, and hands its first key
    /// to `hand_over`, which must keep it durably (write `admin.json`). Says
    /// whether it did.
    ///
    /// `hand_over` runs before the account is committed: when it fails, or the
    /// process dies at any instant, the next start makes the account with
    /// another key and hands that over. Of several processes that start at once
    /// one makes the account.
    ///
    /// # Errors
    /// [`Error::HandOver`] or [`Error::Store`]; nothing is stored then.
    pub async fn bootstrap(
        &self,
        hand_over: impl FnOnce(&KeyPair) -> io::Result<()> + Send + 'static,
    ) -> Result<bool, Error> {
        let inner = &self.inner;
        let exists = |tx: &mut dyn Tx| Ok::<_, Error>(persistence::find_admin(tx)?.is_some());
        // Every start after the first: nothing to wait for.
        if inner.store.read(exists).await? {
            return Ok(false);
        }
        let account = inner.new_account(ADMIN, None, None, true);
        let key = inner.new_key(&account.id, None)?;
        inner
            .store
            .write(move |tx| {
                persistence::lock(tx)?;
                if exists(tx)? {
                    return Ok(false);
                }
                if persistence::find_account(tx, ADMIN)?.is_some() {
                    return Err(Error::NameTaken { name: ADMIN.into() });
                }
                persistence::insert_account(tx, &account)?;
                persistence::insert_key(tx, &key.info, key.sealed)?;
                hand_over(&key.pair).map_err(Error::HandOver)?;
                Ok(true)
            })
            .await
    }

    /// The principal of the account [`ADMIN`], for what is done on the machine
    /// itself without a key.
    ///
    /// # Errors
    /// [`Error::NotFound`] before [`Accounts::bootstrap`].
    pub async fn admin(&self) -> Result<Principal, Error> {
        self.inner
            .store
            .read(|tx| {
                let admin = persistence::find_admin(tx)?
                    .ok_or_else(|| Error::NotFound { who: ADMIN.into() })?;
                Ok(Principal::of(&admin)?)
            })
            .await
    }

    /// The key `secret_id`, if it is accepted with `token` now. Call it for
    /// every signed request, before its signature is checked: the answer comes
    /// from memory, save for the first call of a key and one query a second.
    ///
    /// A change made through this process is seen at once, one made by another
    /// process within about a second. When the store cannot be reached, keys in
    /// memory are good for five more seconds.
    ///
    /// # Errors
    /// [`KeyError`]. An absent token and an empty one are the same.
    pub async fn authenticate_key(
        &self,
        secret_id: &str,
        token: Option<&str>,
    ) -> Result<KeyMaterial, KeyError> {
        if !may_be_secret_id(secret_id) {
            return Err(KeyError::NotFound);
        }
        let inner = &self.inner;
        let now = inner.clock.now();
        let freshness = inner.cache.freshness(now);
        if freshness != Freshness::Fresh {
            match inner.store.read(|tx| persistence::version(tx)).await {
                Ok(version) => inner.cache.refreshed(version, now),
                Err(e) if freshness == Freshness::Expired => return Err(KeyError::Store(e)),
                Err(e) => tracing::warn!(
                    error = %e,
                    "failed to re-read the version of the accounts; keys in memory are believed a little longer"
                ),
            }
        }
        let entry = match inner.cache.get(secret_id) {
            Some(entry) => entry,
            None => inner.load(secret_id).await?,
        };
        entry.admit(token, now)
    }

    /// The principal of an account, for work that goes on without a call.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn principal(&self, id: &AccountId) -> Result<Principal, Error> {
        let id = id.clone();
        self.inner
            .store
            .read(move |tx| {
                let account =
                    persistence::find_account(tx, id.as_str())?.ok_or_else(|| Error::NotFound {
                        who: id.to_string(),
                    })?;
                Ok(Principal::of(&account)?)
            })
            .await
    }

    /// Creates an account and its first key. Without a policy it is an
    /// independent one, which only `admin` may create; with a policy it is a
    /// sub-account of the caller.
    ///
    /// # Errors
    /// [`Error::Denied`], [`Error::BadName`], [`Error::NameTaken`],
    /// [`Error::Policy`], [`Error::TooManySubAccounts`].
    pub async fn create(
        &self,
        by: &Principal,
        name: &str,
        policy: Option<&str>,
    ) -> Result<(Account, KeyPair), Error> {
        check_name(name)?;
        let denied = |instead| Error::Denied {
            what: "create an account",
            who: by.name.clone(),
            instead,
        };
        if by.is_sub_account() {
            return Err(denied("ask who manages it: a sub-account has none itself"));
        }
        if policy.is_none() && !by.is_admin {
            return Err(denied("give a policy to create a sub-account"));
        }
        if let Some(text) = policy {
            Policy::parse(text)?;
        }
        let parent = policy.is_some().then(|| by.account.clone());
        let inner = &self.inner;
        let account = inner.new_account(name, parent, policy.map(str::to_owned), false);
        let key = inner.new_key(&account.id, None)?;
        inner
            .store
            .write(move |tx| {
                persistence::lock(tx)?;
                if persistence::find_account(tx, &account.name)?.is_some() {
                    return Err(Error::NameTaken { name: account.name });
                }
                if let Some(parent) = &account.parent {
                    // The caller may have been deleted a moment ago.
                    let who = || parent.to_string();
                    let parent = persistence::find_account(tx, parent.as_str())?
                        .ok_or_else(|| Error::NotFound { who: who() })?;
                    if persistence::count_sub_accounts(tx, &parent.id)? >= SUB_ACCOUNTS_MAX {
                        return Err(Error::TooManySubAccounts { who: parent.name });
                    }
                }
                persistence::insert_account(tx, &account)?;
                persistence::insert_key(tx, &key.info, key.sealed)?;
                Ok((account, key.pair))
            })
            .await
    }

    /// The accounts the caller may see, in the order of names, after the name
    /// `after`: at most `limit`, and at most [`PAGE_MAX`].
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn list(
        &self,
        by: &Principal,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Account>, Error> {
        let of = (!by.is_admin).then(|| by.account.clone());
        let after = after.unwrap_or_default().to_owned();
        let limit = limit.min(PAGE_MAX);
        self.inner
            .store
            .read(move |tx| Ok(persistence::list_accounts(tx, of.as_ref(), &after, limit)?))
            .await
    }

    /// The account of this id or name.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn get(&self, by: &Principal, who: &str) -> Result<Account, Error> {
        let (by, who) = (by.clone(), who.to_owned());
        self.inner
            .store
            .read(move |tx| visible(tx, &by, &who))
            .await
    }

    /// Replaces the policy of a sub-account.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Denied`], [`Error::Policy`],
    /// [`Error::NotASubAccount`].
    pub async fn set_policy(
        &self,
        by: &Principal,
        who: &str,
        policy: &str,
    ) -> Result<Account, Error> {
        Policy::parse(policy)?;
        let policy = policy.to_owned();
        self.change_account(by, who, "set a policy", move |tx, account| {
            if account.parent.is_none() {
                return Err(Error::NotASubAccount {
                    who: account.name.clone(),
                });
            }
            persistence::set_policy(tx, &account.id, &policy)?;
            account.policy = Some(policy);
            Ok(())
        })
        .await
    }

    /// Disables an account, and with it all its keys and its sub-accounts'; or
    /// enables it again.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Denied`]; [`Error::LockOut`] for `admin`
    /// and for the caller's own account.
    pub async fn set_disabled(
        &self,
        by: &Principal,
        who: &str,
        disabled: bool,
    ) -> Result<Account, Error> {
        let own = by.account.clone();
        self.change_account(
            by,
            who,
            "disable or enable an account",
            move |tx, account| {
                if disabled && (account.is_admin || account.id == own) {
                    return Err(Error::LockOut {
                        what: "disable this account",
                        instead: "disable single keys instead",
                    });
                }
                persistence::set_disabled(tx, &account.id, disabled)?;
                account.disabled = disabled;
                Ok(())
            },
        )
        .await
    }

    /// Deletes an account and its keys. `owns_resources` is asked, inside the
    /// transaction, whether any product has resources of the account: this
    /// crate cannot know.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Denied`], [`Error::LockOut`],
    /// [`Error::HasSubAccounts`], [`Error::OwnsResources`].
    pub async fn delete(
        &self,
        by: &Principal,
        who: &str,
        owns_resources: impl FnOnce(&mut dyn Tx, &AccountId) -> Result<bool, backout_store::Error>
        + Send
        + 'static,
    ) -> Result<(), Error> {
        let own = by.account.clone();
        self.change_account(by, who, "delete an account", move |tx, account| {
            if account.is_admin || account.id == own {
                return Err(Error::LockOut {
                    what: "delete this account",
                    instead: "have another account do it",
                });
            }
            let who = account.name.clone();
            if persistence::count_sub_accounts(tx, &account.id)? > 0 {
                return Err(Error::HasSubAccounts { who });
            }
            if owns_resources(tx, &account.id)? {
                return Err(Error::OwnsResources { who });
            }
            Ok(persistence::delete_account(tx, &account.id)?)
        })
        .await
        .map(drop)
    }

    /// Adds a permanent key; action `accounts:AddKey`.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Denied`], [`Error::Disabled`],
    /// [`Error::TooManyKeys`].
    pub async fn add_key(&self, by: &Principal, who: &str) -> Result<KeyPair, Error> {
        self.make_key(by, who, "accounts:AddKey", None).await
    }

    /// Issues a temporary key for an account, with the account's rights;
    /// action `accounts:IssueTemporaryKey`.
    ///
    /// # Errors
    /// As [`Accounts::add_key`], and [`Error::Lifetime`],
    /// [`Error::TooManyTemporaryKeys`].
    pub async fn issue_temporary(
        &self,
        by: &Principal,
        who: &str,
        lifetime_s: i64,
    ) -> Result<KeyPair, Error> {
        if !(LIFETIME_S_MIN..=LIFETIME_S_MAX).contains(&lifetime_s) {
            return Err(Error::Lifetime { lifetime_s });
        }
        self.make_key(by, who, "accounts:IssueTemporaryKey", Some(lifetime_s))
            .await
    }

    /// The keys of an account that have not expired; action
    /// `accounts:ListKeys`. Their number is bounded by [`PERMANENT_KEYS_MAX`]
    /// and [`TEMPORARY_KEYS_MAX`].
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Denied`].
    pub async fn list_keys(&self, by: &Principal, who: &str) -> Result<Vec<KeyInfo>, Error> {
        let (by, who, now) = (by.clone(), who.to_owned(), self.inner.clock.now());
        self.inner
            .store
            .read(move |tx| {
                let account = visible(tx, &by, &who)?;
                may_manage_keys(&by, &account, "accounts:ListKeys")?;
                let most = PERMANENT_KEYS_MAX + TEMPORARY_KEYS_MAX;
                Ok(persistence::list_keys(tx, &account.id, now, most)?)
            })
            .await
    }

    /// Disables a key; action `accounts:DisableKey`.
    ///
    /// # Errors
    /// [`Error::KeyNotFound`], [`Error::Denied`]; [`Error::LockOut`] for the
    /// last active permanent key of `admin`.
    pub async fn disable_key(&self, by: &Principal, secret_id: &str) -> Result<(), Error> {
        self.change_key(by, secret_id, "accounts:DisableKey", |tx, id| {
            persistence::set_key_status(tx, id, KeyStatus::Disabled)
        })
        .await
    }

    /// Enables a key again; action `accounts:EnableKey`.
    ///
    /// # Errors
    /// [`Error::KeyNotFound`], [`Error::Denied`].
    pub async fn enable_key(&self, by: &Principal, secret_id: &str) -> Result<(), Error> {
        self.change_key(by, secret_id, ENABLE_KEY, |tx, id| {
            persistence::set_key_status(tx, id, KeyStatus::Active)
        })
        .await
    }

    /// Deletes a key and its secret; action `accounts:DeleteKey`. Ends a
    /// temporary one before its time.
    ///
    /// # Errors
    /// As [`Accounts::disable_key`].
    pub async fn delete_key(&self, by: &Principal, secret_id: &str) -> Result<(), Error> {
        self.change_key(by, secret_id, "accounts:DeleteKey", persistence::delete_key)
            .await?;
        self.inner.cache.forget(secret_id);
        Ok(())
    }

    /// Adds a permanent key to `admin` without a key of its own: for whoever
    /// has the machine, but lost `admin.json`. Deletes the oldest key when
    /// there is no room.
    ///
    /// # Errors
    /// [`Error::NotFound`] before [`Accounts::bootstrap`].
    pub async fn recover_admin(&self) -> Result<KeyPair, Error> {
        let admin = self.admin().await?;
        let permanent: Vec<_> = self
            .list_keys(&admin, ADMIN)
            .await?
            .into_iter()
            .filter(|k| k.kind == KeyKind::Permanent)
            .collect();
        // Oldest first, and disabled ones before others.
        if let Some(oldest) = permanent
            .iter()
            .min_by_key(|k| (k.status == KeyStatus::Active, k.created))
            && i64::try_from(permanent.len()).is_ok_and(|n| n >= PERMANENT_KEYS_MAX)
        {
            self.delete_key(&admin, &oldest.secret_id).await?;
        }
        self.add_key(&admin, ADMIN).await
    }

    /// Changes an account of which the caller is the parent, or any as admin.
    async fn change_account(
        &self,
        by: &Principal,
        who: &str,
        what: &'static str,
        change: impl FnOnce(&mut dyn Tx, &mut Account) -> Result<(), Error> + Send + 'static,
    ) -> Result<Account, Error> {
        let (by, who) = (by.clone(), who.to_owned());
        let (account, version) = self
            .inner
            .store
            .write(move |tx| {
                persistence::lock(tx)?;
                let mut account = visible(tx, &by, &who)?;
                if by.is_sub_account() {
                    return Err(Error::Denied {
                        what,
                        who: by.name,
                        instead: "ask who manages it",
                    });
                }
                change(tx, &mut account)?;
                Ok((account, persistence::bump_version(tx)?))
            })
            .await?;
        self.inner.cache.raise(version);
        Ok(account)
    }

    async fn make_key(
        &self,
        by: &Principal,
        who: &str,
        action: &'static str,
        lifetime_s: Option<i64>,
    ) -> Result<KeyPair, Error> {
        // Sealing binds the key to its account's id, so the name is resolved
        // first, and nothing about the account is believed before the lock.
        let id = self.get(by, who).await?.id;
        let inner = &self.inner;
        let key = inner.new_key(&id, lifetime_s)?;
        let (by, now) = (by.clone(), inner.clock.now());
        inner
            .store
            .write(move |tx| {
                persistence::lock(tx)?;
                let account = visible(tx, &by, id.as_str())?;
                may_manage_keys(&by, &account, action)?;
                let who = account.name;
                if account.disabled {
                    return Err(Error::Disabled { who });
                }
                if lifetime_s.is_some() {
                    persistence::purge_expired_keys(tx, now)?;
                    if persistence::count_temporary_keys(tx, &id, now)? >= TEMPORARY_KEYS_MAX {
                        return Err(Error::TooManyTemporaryKeys { who });
                    }
                } else if persistence::count_permanent_keys(tx, &id, false)? >= PERMANENT_KEYS_MAX {
                    return Err(Error::TooManyKeys { who });
                }
                persistence::insert_key(tx, &key.info, key.sealed)?;
                Ok(key.pair)
            })
            .await
    }

    async fn change_key(
        &self,
        by: &Principal,
        secret_id: &str,
        action: &'static str,
        change: impl FnOnce(&mut dyn Tx, &str) -> Result<(), backout_store::Error> + Send + 'static,
    ) -> Result<(), Error> {
        let (by, secret_id) = (by.clone(), secret_id.to_owned());
        let version = self
            .inner
            .store
            .write(move |tx| {
                let not_found = |secret_id: &str| Error::KeyNotFound {
                    secret_id: cut(secret_id),
                };
                persistence::lock(tx)?;
                let key =
                    persistence::find_key(tx, &secret_id)?.ok_or_else(|| not_found(&secret_id))?;
                let account = match visible(tx, &by, key.account.as_str()) {
                    Err(Error::NotFound { .. }) => return Err(not_found(&secret_id)),
                    other => other?,
                };
                may_manage_keys(&by, &account, action)?;
                let is_last = account.is_admin
                    && action != ENABLE_KEY
                    && key.kind == KeyKind::Permanent
                    && key.status == KeyStatus::Active
                    && persistence::count_permanent_keys(tx, &account.id, true)? <= 1;
                if is_last {
                    return Err(Error::LockOut {
                        what: "take the last active key from admin",
                        instead: "add another key first",
                    });
                }
                change(tx, &secret_id)?;
                Ok(persistence::bump_version(tx)?)
            })
            .await?;
        self.inner.cache.raise(version);
        Ok(())
    }
}

const ENABLE_KEY: &str = "accounts:EnableKey";

impl Inner {
    fn new_account(
        &self,
        name: &str,
        parent: Option<AccountId>,
        policy: Option<String>,
        is_admin: bool,
    ) -> Account {
        Account {
            id: AccountId::random(self.entropy.as_ref()),
            name: name.to_owned(),
            parent,
            policy,
            is_admin,
            disabled: false,
            created: self.clock.now(),
        }
    }

    /// Draws a key; temporary when it has a lifetime.
    fn new_key(&self, account: &AccountId, lifetime_s: Option<i64>) -> Result<NewKey, Error> {
        let entropy = self.entropy.as_ref();
        let secret_id = random_secret_id(entropy);
        let secret_key = random_secret_key(entropy);
        let sealed = self
            .sealer
            .seal(
                entropy,
                &key_binding(&secret_id, account.as_str()),
                secret_key.expose(),
            )
            .map_err(|CannotOpen| Error::Seal)?;
        let created = self.clock.now();
        let expires = lifetime_s.map(|s| created.plus_ms(s.saturating_mul(1000)));
        let token = lifetime_s.map(|_| random_token(entropy));
        Ok(NewKey {
            info: KeyInfo {
                secret_id: secret_id.clone(),
                account: account.clone(),
                kind: if token.is_some() {
                    KeyKind::Temporary
                } else {
                    KeyKind::Permanent
                },
                status: KeyStatus::Active,
                expires,
                created,
            },
            sealed: Sealed {
                secret: sealed,
                token_hash: token.as_ref().map(|t| token_hash(t.expose()).to_vec()),
            },
            pair: KeyPair {
                secret_id,
                secret_key,
                token,
                expires,
            },
        })
    }

    async fn load(&self, secret_id: &str) -> Result<Arc<Entry>, KeyError> {
        let wanted = secret_id.to_owned();
        let (version, row) = self
            .store
            .read(move |tx| {
                // The version first: the row is at least as new as it.
                let version = persistence::version(tx)?;
                Ok::<_, backout_store::Error>((version, persistence::key_row(tx, &wanted)?))
            })
            .await?;
        // Not remembered: keys that do not exist are without number.
        let row = row.ok_or(KeyError::NotFound)?;
        let secret = self
            .sealer
            .open(
                &key_binding(secret_id, row.account.id.as_str()),
                &row.sealed.secret,
            )
            .map_err(|CannotOpen| {
                backout_store::Error::corrupt(format!(
                    "the sealed secret of the key {secret_id} does not open: its row was changed outside Backout"
                ))
            })?;
        let temporary = match (row.key.kind, row.sealed.token_hash, row.key.expires) {
            (KeyKind::Permanent, None, None) => None,
            (KeyKind::Temporary, Some(hash), Some(expires)) => Some((hash, expires)),
            _ => {
                return Err(KeyError::Store(backout_store::Error::corrupt(format!(
                    "the key {secret_id} is half permanent and half temporary"
                ))));
            }
        };
        let entry = Arc::new(Entry {
            version,
            material: KeyMaterial {
                secret,
                principal: Arc::new(Principal::of(&row.account)?),
            },
            status: row.key.status,
            account_disabled: row.account.disabled || row.parent_disabled,
            temporary,
        });
        self.cache.put(secret_id, Arc::clone(&entry));
        Ok(entry)
    }
}

/// The account of this id or name, if the caller may see it.
fn visible(tx: &mut dyn Tx, by: &Principal, who: &str) -> Result<Account, Error> {
    persistence::find_account(tx, who)?
        .filter(|account| {
            by.is_admin || account.id == by.account || account.parent.as_ref() == Some(&by.account)
        })
        .ok_or_else(|| Error::NotFound { who: cut(who) })
}

/// Whether the caller, who sees the account, may manage its keys.
fn may_manage_keys(by: &Principal, account: &Account, action: &str) -> Result<(), Error> {
    let spellings = vec![
        format!("account/{}", account.id),
        format!("account/{}", account.name),
    ];
    if by.allows(action, &[spellings]) {
        return Ok(());
    }
    Err(Error::Denied {
        what: "manage keys",
        who: by.name.clone(),
        instead: "ask who manages its policy",
    })
}
