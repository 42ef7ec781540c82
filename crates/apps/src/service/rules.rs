//! How the number of replicas follows the hour and the load. Rules are of the
//! application as it is now; a version has the one that was on when it was
//! deployed in itself, and a rollback brings that back.

use backout_core::ids::AccountId;
use backout_rollout::plan::INSTANCES_MAX;
use backout_store::Tx;

use super::{Apps, Caller, application_of, not_leaving};
use crate::model::Application;
use crate::persistence;
use crate::refusal::{QuotaOf, Refusal};
use crate::scaling::{self, RULES_MAX, RuleRow, ScalingRule};

impl Apps {
    /// Makes a scaling rule.
    ///
    /// # Errors
    /// [`Refusal::ApplicationNotFound`], [`Refusal::Taken`],
    /// [`Refusal::Quota`], [`Refusal::Parameter`], [`Refusal::Store`].
    pub async fn create_scaling_rule(
        &self,
        caller: &Caller,
        application: &str,
        rule: ScalingRule,
    ) -> Result<RuleRow, Refusal> {
        let now = self.clock.now();
        self.with_application(caller, application, move |tx, application| {
            check_rule(tx, application, &rule)?;
            let known = persistence::scaling_rules(tx, &application.id)?;
            if known.iter().any(|row| row.rule.name == rule.name) {
                return Err(Refusal::Taken(
                    rule.name,
                    "scaling rule of that application",
                ));
            }
            if known.len() >= RULES_MAX {
                return Err(Refusal::Quota {
                    of: QuotaOf::Rules,
                    most: RULES_MAX as u64,
                });
            }
            persistence::put_scaling_rule(tx, &application.id, &rule, now)?;
            rule_of(tx, application, &rule.name)
        })
        .await
    }

    /// Gives a scaling rule other contents; it stays on or off.
    ///
    /// # Errors
    /// [`Refusal::ApplicationNotFound`], [`Refusal::RuleNotFound`],
    /// [`Refusal::Parameter`], [`Refusal::Store`].
    pub async fn update_scaling_rule(
        &self,
        caller: &Caller,
        application: &str,
        mut rule: ScalingRule,
    ) -> Result<RuleRow, Refusal> {
        let now = self.clock.now();
        self.with_application(caller, application, move |tx, application| {
            rule.enabled = rule_of(tx, application, &rule.name)?.rule.enabled;
            check_rule(tx, application, &rule)?;
            persistence::put_scaling_rule(tx, &application.id, &rule, now)?;
            rule_of(tx, application, &rule.name)
        })
        .await
    }

    /// Switches a scaling rule on or off. Fine when it is so already.
    ///
    /// # Errors
    /// [`Refusal::ApplicationNotFound`], [`Refusal::RuleNotFound`],
    /// [`Refusal::Store`].
    pub async fn switch_scaling_rule(
        &self,
        caller: &Caller,
        application: &str,
        name: &str,
        on: bool,
    ) -> Result<RuleRow, Refusal> {
        let (name, now) = (name.to_owned(), self.clock.now());
        self.with_application(caller, application, move |tx, application| {
            let found = rule_of(tx, application, &name)?;
            if found.rule.enabled == on {
                return Ok(found);
            }
            persistence::switch_scaling_rule(tx, &application.id, &name, on, now)?;
            rule_of(tx, application, &name)
        })
        .await
    }

    /// Forgets a scaling rule.
    ///
    /// # Errors
    /// [`Refusal::ApplicationNotFound`], [`Refusal::RuleNotFound`],
    /// [`Refusal::Store`].
    pub async fn delete_scaling_rule(
        &self,
        caller: &Caller,
        application: &str,
        name: &str,
    ) -> Result<(), Refusal> {
        let name = name.to_owned();
        self.with_application(caller, application, move |tx, application| {
            rule_of(tx, application, &name)?;
            persistence::delete_scaling_rule(tx, &application.id, &name)?;
            Ok(())
        })
        .await
    }

    /// A scaling rule of an application.
    ///
    /// # Errors
    /// [`Refusal::ApplicationNotFound`], [`Refusal::RuleNotFound`],
    /// [`Refusal::Store`].
    pub async fn scaling_rule(
        &self,
        owner: &AccountId,
        application: &str,
        name: &str,
    ) -> Result<RuleRow, Refusal> {
        let (owner, wanted) = (owner.clone(), application.to_owned());
        let name = name.to_owned();
        self.store
            .read(move |tx| {
                let application = application_of(tx, &owner, &wanted)?;
                rule_of(tx, &application, &name)
            })
            .await
    }

    /// The scaling rules of an application, by name.
    ///
    /// # Errors
    /// [`Refusal::ApplicationNotFound`], [`Refusal::Store`].
    pub async fn scaling_rules(
        &self,
        owner: &AccountId,
        application: &str,
    ) -> Result<Vec<RuleRow>, Refusal> {
        let (owner, wanted) = (owner.clone(), application.to_owned());
        self.store
            .read(move |tx| {
                let application = application_of(tx, &owner, &wanted)?;
                Ok(persistence::scaling_rules(tx, &application.id)?)
            })
            .await
    }

    async fn with_application<T: Send + 'static>(
        &self,
        caller: &Caller,
        application: &str,
        work: impl FnOnce(&mut dyn Tx, &Application) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let (owner, wanted) = (caller.owner.clone(), application.to_owned());
        self.store
            .write(move |tx| {
                let application = application_of(tx, &owner, &wanted)?;
                not_leaving(&application, "scale")?;
                work(tx, &application)
            })
            .await
    }
}

/// A rule may ask for as many replicas as its application may have.
fn check_rule(
    tx: &mut dyn Tx,
    application: &Application,
    rule: &ScalingRule,
) -> Result<(), Refusal> {
    let settings = persistence::account_settings(tx, &application.owner)?;
    scaling::check(rule, settings.replicas_of_application.min(INSTANCES_MAX))
}

fn rule_of(tx: &mut dyn Tx, application: &Application, name: &str) -> Result<RuleRow, Refusal> {
    persistence::scaling_rule(tx, &application.id, name)?
        .ok_or_else(|| Refusal::RuleNotFound(name.chars().take(100).collect()))
}
