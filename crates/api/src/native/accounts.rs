//! Accounts, their keys and their policies.

use backout_accounts::Error as AccountsError;
use backout_core::ids::AccountId;
use backout_servers::persistence::{
    BlueprintFilter, DiskFilter, Page, ServerFilter, list_blueprints, list_disks, list_servers,
};
use backout_store::{Error as StoreError, Tx};

use super::dto::{
    Account, CreateAccount, CreatedAccount, IssueToken, List, NewKey, SetAccountStatus,
    SetKeyStatus, Status,
};
use super::{Call, Native, NativeError, PageOf, Result, action};

const MANAGE: &str = action::MANAGE_ACCOUNTS;

/// Whether any product has something of an owner's.
fn owns_resources(tx: &mut dyn Tx, owner: &AccountId) -> std::result::Result<bool, StoreError> {
    // How many there are is told without any.
    let none = Page {
        offset: 0,
        limit: 0,
    };
    Ok(
        list_servers(tx, owner, &ServerFilter::default(), none)?.0 > 0
            || list_disks(tx, owner, &DiskFilter::default(), none)?.0 > 0
            || list_blueprints(tx, owner, &BlueprintFilter::default(), none)?.0 > 0
            || backout_databases::persistence::count_instances(tx, owner)? > 0
            || backout_apps::persistence::owns_anything(tx, owner)?
            || backout_engines::persistence::count_engines(tx, owner)? > 0,
    )
}

impl Native {
    /// `GET /v1/accounts`, in the order of names.
    ///
    /// # Errors
    /// A refusal.
    pub async fn accounts(&self, call: &Call, page: &PageOf) -> Result<List<Account>> {
        self.admit(call, MANAGE)?;
        let limit = page.limit()?;
        // One more than asked for tells whether there is a next page.
        let wanted = u32::try_from(limit + 1).unwrap_or(u32::MAX);
        let mut found = self
            .parts
            .accounts
            .list(&call.principal, page.cursor.as_deref(), wanted)
            .await?;
        let more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| more).map(|a| a.name.clone());
        Ok(List {
            items: found.into_iter().map(Into::into).collect(),
            next,
        })
    }

    /// `GET /v1/accounts/{account}`, with its keys.
    ///
    /// # Errors
    /// A refusal.
    pub async fn account(&self, call: &Call, account: &str) -> Result<Account> {
        self.limit(call, MANAGE)?;
        let found = self.allowed_account(call, account).await?;
        let keys = match self
            .parts
            .accounts
            .list_keys(&call.principal, found.id.as_str())
            .await
        {
            Ok(keys) => Some(keys.into_iter().map(Into::into).collect()),
            Err(AccountsError::Denied { .. }) => None,
            Err(e) => return Err(e.into()),
        };
        Ok(Account {
            keys,
            ..found.into()
        })
    }

    /// An account that the caller sees, if its policy allows managing it.
    async fn allowed_account(
        &self,
        call: &Call,
        account: &str,
    ) -> Result<backout_accounts::Account> {
        match self.parts.accounts.get(&call.principal, account).await {
            Ok(found) => {
                let all = vec![
                    format!("account/{}", found.name),
                    format!("account/{}", found.id),
                ];
                Self::allow(call, MANAGE, &[all])?;
                Ok(found)
            }
            Err(e) => {
                Self::allow(call, MANAGE, &[vec![format!("account/{account}")]])?;
                Err(e.into())
            }
        }
    }

    /// `POST /v1/accounts`. Without a policy the account has resources of its
    /// own, which only `admin` may create; with one it is a sub-account of the
    /// caller.
    ///
    /// # Errors
    /// A refusal.
    pub async fn create_account(&self, call: &Call, new: &CreateAccount) -> Result<CreatedAccount> {
        let named = format!("account/{}", new.name);
        self.audited(call, MANAGE, &named, async {
            Self::allow(call, MANAGE, &[vec![named.clone()]])?;
            // `null` and nothing are the same.
            let policy = new
                .policy
                .as_ref()
                .map(|p| p.get())
                .filter(|text| *text != "null");
            let (account, key) = self
                .parts
                .accounts
                .create(&call.principal, &new.name, policy)
                .await?;
            Ok(CreatedAccount {
                account: account.into(),
                key: key.into(),
            })
        })
        .await
    }

    /// `DELETE /v1/accounts/{account}`, with its keys.
    ///
    /// # Errors
    /// A refusal: also when it has resources or sub-accounts.
    pub async fn delete_account(&self, call: &Call, account: &str) -> Result<()> {
        self.audited(call, MANAGE, &format!("account/{account}"), async {
            let found = self.allowed_account(call, account).await?;
            self.parts
                .accounts
                .delete(&call.principal, found.id.as_str(), |tx, owner| {
                    let owns = owns_resources(tx, owner)?;
                    if !owns {
                        backout_faults::forget_owner(tx, owner)?;
                    }
                    Ok(owns)
                })
                .await?;
            Ok(())
        })
        .await
    }

    /// `PATCH /v1/accounts/{account}`: with an account, its sub-accounts are
    /// disabled.
    ///
    /// # Errors
    /// A refusal: also for `admin`, and for the caller's own account.
    pub async fn set_account_status(
        &self,
        call: &Call,
        account: &str,
        ask: &SetAccountStatus,
    ) -> Result<Account> {
        self.audited(call, MANAGE, &format!("account/{account}"), async {
            let found = self.allowed_account(call, account).await?;
            let disabled = ask.status == Status::Disabled;
            let changed = self
                .parts
                .accounts
                .set_disabled(&call.principal, found.id.as_str(), disabled)
                .await?;
            Ok(changed.into())
        })
        .await
    }

    /// `PUT /v1/accounts/{account}/policy`; `policy` is the text of a policy
    /// document.
    ///
    /// # Errors
    /// A refusal.
    pub async fn set_policy(&self, call: &Call, account: &str, policy: &str) -> Result<Account> {
        self.audited(call, MANAGE, &format!("account/{account}"), async {
            let found = self.allowed_account(call, account).await?;
            if policy.trim() == "null" {
                return Err(NativeError::malformed(
                    "take the policy away: a sub-account always has one; give a policy document, or delete the account",
                ));
            }
            Ok(self.parts.accounts.set_policy(&call.principal, found.id.as_str(), policy).await?.into())
        })
        .await
    }

    /// `POST /v1/accounts/{account}/keys`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn add_key(&self, call: &Call, account: &str) -> Result<NewKey> {
        self.audited(call, MANAGE, &format!("account/{account}"), async {
            let found = self.allowed_account(call, account).await?;
            Ok(self
                .parts
                .accounts
                .add_key(&call.principal, found.id.as_str())
                .await?
                .into())
        })
        .await
    }

    /// `PATCH /v1/accounts/{account}/keys/{key}`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn set_key_status(
        &self,
        call: &Call,
        account: &str,
        key: &str,
        ask: &SetKeyStatus,
    ) -> Result<()> {
        self.audited(
            call,
            MANAGE,
            &format!("account/{account}/key/{key}"),
            async {
                self.key_of(call, account, key).await?;
                let accounts = &self.parts.accounts;
                match ask.status {
                    Status::Active => accounts.enable_key(&call.principal, key).await?,
                    Status::Disabled => accounts.disable_key(&call.principal, key).await?,
                }
                Ok(())
            },
        )
        .await
    }

    /// `DELETE /v1/accounts/{account}/keys/{key}`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn delete_key(&self, call: &Call, account: &str, key: &str) -> Result<()> {
        self.audited(
            call,
            MANAGE,
            &format!("account/{account}/key/{key}"),
            async {
                self.key_of(call, account, key).await?;
                Ok(self.parts.accounts.delete_key(&call.principal, key).await?)
            },
        )
        .await
    }

    /// `POST /v1/accounts/{account}/tokens`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn issue_token(
        &self,
        call: &Call,
        account: &str,
        ask: &IssueToken,
    ) -> Result<NewKey> {
        self.audited(call, MANAGE, &format!("account/{account}"), async {
            let found = self.allowed_account(call, account).await?;
            Ok(self
                .parts
                .accounts
                .issue_temporary(&call.principal, found.id.as_str(), ask.seconds)
                .await?
                .into())
        })
        .await
    }

    /// Refuses a key that is not one of this account: the policy was asked
    /// about the account in the path.
    async fn key_of(&self, call: &Call, account: &str, key: &str) -> Result<()> {
        let found = self.allowed_account(call, account).await?;
        let keys = self
            .parts
            .accounts
            .list_keys(&call.principal, found.id.as_str())
            .await?;
        if keys.iter().any(|k| k.secret_id == key) {
            return Ok(());
        }
        Err(AccountsError::KeyNotFound {
            secret_id: key.chars().take(64).collect(),
        }
        .into())
    }
}
