//! What can go wrong with accounts and keys.

use backout_core::code::Code;
use backout_core::policy::PolicyError;

use crate::model::{
    LIFETIME_S_MAX, LIFETIME_S_MIN, NAME_CHARS_MAX, PERMANENT_KEYS_MAX, SUB_ACCOUNTS_MAX,
    TEMPORARY_KEYS_MAX,
};

/// Why a key is not accepted. Every protocol's own conditions can be told from
/// these.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// No such secret id, or it was deleted.
    #[error("find the key: no such secret id, check it or make a new one")]
    NotFound,
    /// The key is disabled.
    #[error("use the key: it is disabled, enable it or use another one")]
    Inactive,
    /// The account, or the account whose resources it acts on, is disabled.
    #[error("use the key: its account is disabled, ask who manages it")]
    AccountDisabled,
    /// A temporary key without its token.
    #[error("use the temporary key: its token is missing, send it with the request")]
    TokenMissing,
    /// The token does not have the form of a token.
    #[error("use the temporary key: its token is malformed, send it as it was issued")]
    TokenMalformed,
    /// The token is another one's, or the key is permanent and has none.
    #[error("use the key: the token does not belong to it, send the one issued with it")]
    TokenInvalid,
    /// The lifetime is over.
    #[error("use the temporary key: it has expired, issue a new one")]
    TokenExpired,
    /// The store did not answer, or holds something unexpected.
    #[error("look up the key: the store did not answer, try again")]
    Store(#[from] backout_store::Error),
}

impl KeyError {
    /// Our stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Store(_) => Code::Store,
            _ => Code::Unauthenticated,
        }
    }
}

/// Why an account or a key cannot be managed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store did not answer, or holds something unexpected.
    #[error("reach the accounts in the store; try again")]
    Store(#[from] backout_store::Error),
    /// What is sealed in the store does not open.
    #[error(
        "open the secrets in the store: they are sealed with another master key, start with the key file or the BACKOUT_MASTER_KEY that this store was made with"
    )]
    WrongMasterKey,
    /// There are keys in the store, but not the value that tells whether the
    /// master key is right.
    #[error(
        "check the master key: its check value is gone from the store, restore the store from a backup"
    )]
    KeyCheckMissing,
    /// A secret could not be sealed.
    #[error("seal a secret; report this as a fault of Backout")]
    Seal,
    /// The first key could not be handed over.
    #[error("hand over the first key of the account admin; check the data folder and start again")]
    HandOver(#[source] std::io::Error),
    /// The name is not one.
    #[error(
        "use the account name {name:?}: give 1 to {NAME_CHARS_MAX} letters, digits, '.', '_' or '-', beginning with a letter or digit and not with \"acct_\""
    )]
    BadName {
        /// The name, cut.
        name: String,
    },
    /// The name is in use.
    #[error("create the account {name:?}: the name is in use, choose another one")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// No such account among those the caller manages.
    #[error("find the account {who:?}: there is none of this name or id, list the accounts")]
    NotFound {
        /// What was asked for, cut.
        who: String,
    },
    /// No such key among those the caller manages.
    #[error("find the key {secret_id:?}: there is none of this id, list the account's keys")]
    KeyNotFound {
        /// What was asked for, cut.
        secret_id: String,
    },
    /// The caller may not do this.
    #[error("{what}: {who:?} may not, {instead}")]
    Denied {
        /// What was to be done.
        what: &'static str,
        /// Who wanted it.
        who: String,
        /// What to do instead.
        instead: &'static str,
    },
    /// The account cannot be used now.
    #[error("issue a key for {who:?}: the account is disabled, enable it first")]
    Disabled {
        /// The account.
        who: String,
    },
    /// The policy text is refused.
    #[error("accept the policy")]
    Policy(#[from] PolicyError),
    /// Only sub-accounts have a policy.
    #[error(
        "set a policy for {who:?}: it acts on its own resources, create a sub-account with this policy instead"
    )]
    NotASubAccount {
        /// The account.
        who: String,
    },
    /// Too many permanent keys.
    #[error(
        "add a key to {who:?}: it has {PERMANENT_KEYS_MAX}, the most there may be, delete one first"
    )]
    TooManyKeys {
        /// The account.
        who: String,
    },
    /// Too many temporary keys.
    #[error(
        "issue a temporary key for {who:?}: it has {TEMPORARY_KEYS_MAX} that have not expired, use or delete one of them"
    )]
    TooManyTemporaryKeys {
        /// The account.
        who: String,
    },
    /// Too many sub-accounts.
    #[error(
        "create a sub-account of {who:?}: it has {SUB_ACCOUNTS_MAX}, the most there may be, delete one first"
    )]
    TooManySubAccounts {
        /// The account.
        who: String,
    },
    /// The lifetime is out of bounds.
    #[error(
        "issue a temporary key for {lifetime_s} s: give {LIFETIME_S_MIN} to {LIFETIME_S_MAX} seconds"
    )]
    Lifetime {
        /// What was asked for.
        lifetime_s: i64,
    },
    /// It would lock out whoever is to undo it.
    #[error("{what}: nobody could undo it, {instead}")]
    LockOut {
        /// What was to be done.
        what: &'static str,
        /// What to do instead.
        instead: &'static str,
    },
    /// The account has sub-accounts.
    #[error("delete the account {who:?}: it has sub-accounts, delete them first")]
    HasSubAccounts {
        /// The account.
        who: String,
    },
    /// The account has resources.
    #[error(
        "delete the account {who:?}: resources belong to it, release them first or disable the account"
    )]
    OwnsResources {
        /// The account.
        who: String,
    },
}

impl Error {
    /// Our stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Store(_) => Code::Store,
            Self::WrongMasterKey | Self::KeyCheckMissing | Self::Seal | Self::HandOver(_) => {
                Code::Internal
            }
            Self::NameTaken { .. } => Code::NameTaken,
            Self::NotFound { .. } | Self::KeyNotFound { .. } => Code::NotFound,
            Self::Denied { .. } | Self::Disabled { .. } => Code::Denied,
            Self::BadName { .. }
            | Self::Policy(_)
            | Self::NotASubAccount { .. }
            | Self::TooManyKeys { .. }
            | Self::TooManyTemporaryKeys { .. }
            | Self::TooManySubAccounts { .. }
            | Self::Lifetime { .. }
            | Self::LockOut { .. }
            | Self::HasSubAccounts { .. }
            | Self::OwnsResources { .. } => Code::BadRequest,
        }
    }
}
