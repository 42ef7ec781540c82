//! What operators say of the service and of accounts. Who may say it is for the
//! surface to check.

use backout_core::ids::AccountId;

use super::Apps;
use crate::model::{AccountSettings, ServiceSettings};
use crate::persistence;
use crate::refusal::Refusal;

/// How many sizes of replicas there may be.
const SIZES_MAX: usize = 100;

impl Apps {
    /// What holds for the service as a whole.
    ///
    /// # Errors
    /// [`Refusal::Store`].
    pub async fn service_settings(&self) -> Result<ServiceSettings, Refusal> {
        self.store
            .read(|tx| Ok(persistence::service_settings(tx)?))
            .await
    }

    /// Says what holds for the service as a whole.
    ///
    /// # Errors
    /// [`Refusal::Parameter`], [`Refusal::Store`].
    pub async fn set_service_settings(&self, settings: ServiceSettings) -> Result<(), Refusal> {
        if settings.sizes.len() > SIZES_MAX {
            return Err(Refusal::Parameter {
                name: "sizes",
                why: format!("give at most {SIZES_MAX}"),
            });
        }
        self.store
            .write(move |tx| Ok(persistence::set_service_settings(tx, &settings)?))
            .await
    }

    /// What holds for an account.
    ///
    /// # Errors
    /// [`Refusal::Store`].
    pub async fn account_settings(&self, owner: &AccountId) -> Result<AccountSettings, Refusal> {
        let owner = owner.clone();
        self.store
            .read(move |tx| Ok(persistence::account_settings(tx, &owner)?))
            .await
    }

    /// Says what holds for an account.
    ///
    /// # Errors
    /// [`Refusal::Store`].
    pub async fn set_account_settings(
        &self,
        owner: &AccountId,
        settings: AccountSettings,
    ) -> Result<(), Refusal> {
        let owner = owner.clone();
        self.store
            .write(move |tx| Ok(persistence::set_account_settings(tx, &owner, &settings)?))
            .await
    }
}
