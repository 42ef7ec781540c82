//! Accounts, keys and principals.

use std::sync::Arc;

use backout_core::ids::AccountId;
use backout_core::policy::{Decision, Policy};
use backout_core::time::Timestamp;
use serde::Serialize;

use crate::error::Error;
use crate::secret::Secret;

/// The longest account name: the vendors' bound for user names.
pub const NAME_CHARS_MAX: usize = 64;
/// How many permanent keys an account may have. Rotation needs two; the others
/// are for one key a place where it is used.
pub const PERMANENT_KEYS_MAX: i64 = 5;
/// How many unexpired temporary keys an account may have: one for each of a
/// thousand jobs of a build farm.
pub const TEMPORARY_KEYS_MAX: i64 = 1000;
/// How many sub-accounts an account may have: the vendors' bound.
pub const SUB_ACCOUNTS_MAX: i64 = 1000;
/// The shortest lifetime of a temporary key: 15 minutes, as the vendors have.
pub const LIFETIME_S_MIN: i64 = 15 * 60;
/// The longest lifetime of a temporary key: 36 hours, as the vendors have.
pub const LIFETIME_S_MAX: i64 = 36 * 3600;
/// How many accounts one page of a list holds at most.
pub const PAGE_MAX: u32 = 1000;

/// An account as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Account {
    /// Its id; never reused.
    pub id: AccountId,
    /// Its name; unique among all accounts.
    pub name: String,
    /// Whose resources it acts on, when these are not its own.
    pub parent: Option<AccountId>,
    /// The text of its policy; present exactly when `parent` is.
    pub policy: Option<String>,
    /// Whether it manages all accounts. There is one such account.
    pub is_admin: bool,
    /// Whether none of its keys is accepted.
    pub disabled: bool,
    /// When it was created.
    pub created: Timestamp,
}

/// How long a key lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyKind {
    /// Until it is deleted.
    Permanent,
    /// For a set time, and only together with its token.
    Temporary,
}

impl KeyKind {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Permanent => "permanent",
            Self::Temporary => "temporary",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        match word {
            "permanent" => Some(Self::Permanent),
            "temporary" => Some(Self::Temporary),
            _ => None,
        }
    }
}

/// Whether a key is accepted. A deleted one is gone, its secret with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyStatus {
    /// It is accepted.
    Active,
    /// It is not accepted until it is enabled again.
    Disabled,
}

impl KeyStatus {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        match word {
            "active" => Some(Self::Active),
            "disabled" => Some(Self::Disabled),
            _ => None,
        }
    }
}

/// A key as it is listed: without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyInfo {
    /// Its public id.
    pub secret_id: String,
    /// Whose it is.
    pub account: AccountId,
    /// Permanent or temporary.
    pub kind: KeyKind,
    /// Whether it is accepted.
    pub status: KeyStatus,
    /// When a temporary key expires.
    pub expires: Option<Timestamp>,
    /// When it was made.
    pub created: Timestamp,
}

/// A new key, with the secrets that are shown this once.
#[derive(Clone, Debug)]
pub struct KeyPair {
    /// The public id.
    pub secret_id: String,
    /// The secret that requests are signed with.
    pub secret_key: Secret,
    /// What a temporary key must be accompanied by.
    pub token: Option<Secret>,
    /// When a temporary key expires.
    pub expires: Option<Timestamp>,
}

/// What is needed to verify a call and to know who made it.
#[derive(Clone, Debug)]
pub struct KeyMaterial {
    /// The secret that the request must be signed with.
    pub secret: Secret,
    /// Who signed it, if the signature is right.
    pub principal: Arc<Principal>,
}

/// Who calls, and on whose behalf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Who.
    pub account: AccountId,
    /// Whose resources: the account itself, or the parent of a sub-account.
    pub owner: AccountId,
    /// The account's name.
    pub name: String,
    /// Whether it manages all accounts.
    pub is_admin: bool,
    /// What bounds a sub-account; absent where there is no bound.
    pub policy: Option<Arc<Policy>>,
}

impl Principal {
    /// Whether it may do `action` to `resources` *of its owner* at once; see
    /// [`Policy::evaluate`] for their form. Whose the resources are is for the
    /// caller to check.
    #[must_use]
    pub fn allows(&self, action: &str, resources: &[Vec<String>]) -> bool {
        self.policy
            .as_ref()
            .is_none_or(|policy| policy.evaluate(action, resources).is_allowed())
    }

    /// Whether it may do `action` to `resources` of its owner, and whether it
    /// waits for approval: for what has a state in which it can wait. All else
    /// asks [`Principal::allows`], which does not let in what should wait.
    #[must_use]
    pub fn permission(&self, action: &str, resources: &[Vec<String>]) -> Permission {
        let Some(policy) = &self.policy else {
            return Permission::Granted;
        };
        match policy.evaluate(action, resources) {
            Decision::Allow => Permission::Granted,
            Decision::Approve(number) => Permission::AfterApproval(format!(
                "statement {} of the policy of account {}",
                number + 1,
                self.name
            )),
            Decision::Deny(_) => Permission::Denied,
        }
    }

    /// As [`Principal::allows`], for an action that a policy must spell out; see
    /// [`Policy::evaluate_named`].
    #[must_use]
    pub fn allows_named(&self, action: &str, resources: &[Vec<String>]) -> bool {
        self.policy
            .as_ref()
            .is_none_or(|policy| policy.evaluate_named(action, resources).is_allowed())
    }

    /// Whether a policy says what it may do; without one it may do everything
    /// on its own resources.
    #[must_use]
    pub const fn is_limited(&self) -> bool {
        self.policy.is_some()
    }

    /// Whether it acts on the resources of another account.
    #[must_use]
    pub fn is_sub_account(&self) -> bool {
        self.account != self.owner
    }

    pub(crate) fn of(account: &Account) -> Result<Self, backout_store::Error> {
        let corrupt =
            |why: &str| backout_store::Error::corrupt(format!("account {}: {why}", account.id));
        let policy = match (&account.parent, &account.policy) {
            (None, None) => None,
            (Some(_), Some(text)) if !account.is_admin => Some(Arc::new(
                Policy::parse(text).map_err(|e| corrupt(&format!("policy: {e}")))?,
            )),
            // To guess here could only give away rights.
            _ => return Err(corrupt("its parent and its policy do not fit together")),
        };
        Ok(Self {
            account: account.id.clone(),
            owner: account.parent.as_ref().unwrap_or(&account.id).clone(),
            name: account.name.clone(),
            is_admin: account.is_admin,
            policy,
        })
    }
}

/// What a principal may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Permission {
    /// It may.
    Granted,
    /// It may, once somebody else has approved it; the rule that says so.
    AfterApproval(String),
    /// It may not.
    Denied,
}

impl Permission {
    /// Whether it may, at once or after approval.
    #[must_use]
    pub const fn is_granted(&self) -> bool {
        !matches!(self, Self::Denied)
    }

    /// The rule by which it waits for approval; none when it does not.
    #[must_use]
    pub fn approval(self) -> Option<String> {
        match self {
            Self::AfterApproval(rule) => Some(rule),
            Self::Granted | Self::Denied => None,
        }
    }
}

/// Checks the form of an account's name.
pub(crate) fn check_name(name: &str) -> Result<(), Error> {
    let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    let good = name.len() <= NAME_CHARS_MAX
        && name.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
        && name.bytes().all(known)
        // A name that looks like an id could be mistaken for another account.
        && !name.starts_with(AccountId::PREFIX);
    if good {
        Ok(())
    } else {
        Err(Error::BadName { name: cut(name) })
    }
}

/// As much of a foreign text as an error repeats.
pub(crate) fn cut(text: &str) -> String {
    text.chars().take(NAME_CHARS_MAX).collect()
}
