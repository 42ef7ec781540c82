//! Scaling rules.

use backout_apps::scaling::ScalingRule;
use backout_wire::types::sae as wire;
use serde::Serialize;

use super::asked::{Ask, required, some};
use super::{Sae, codes, rules};
use crate::front::{Refused, count};

/// An answer with one thing in it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Data<T> {
    data: T,
}

/// The rules of an application.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Listed {
    application_scaling_rules: Vec<rules::Shown>,
    current_page: i64,
    page_size: i64,
    total_size: i64,
}

/// That a rule has what its kind says.
fn checked(rule: ScalingRule, kind: Option<&str>) -> Result<ScalingRule, Refused> {
    let Some(kind) = some(kind) else {
        return Ok(rule);
    };
    let (timer, metric) = match kind {
        "timing" => (true, false),
        "metric" => (false, true),
        "mix" => (true, true),
        _ => {
            return Err(codes::value(
                "ScalingRuleType",
                "give timing, metric or mix",
            ));
        }
    };
    for (wanted, there, name) in [
        (timer, rule.timer.is_some(), "ScalingRuleTimer"),
        (metric, rule.metric.is_some(), "ScalingRuleMetric"),
    ] {
        if wanted && !there {
            return Err(codes::empty(name));
        }
        if there && !wanted {
            let why = format!("a rule of type {kind} has none");
            return Err(codes::value(name, &why));
        }
    }
    Ok(rule)
}

impl Sae {
    pub(super) async fn create_application_scaling_rule(
        &self,
        ask: Ask<'_>,
    ) -> Result<Data<rules::Shown>, Refused> {
        let asked: wire::CreateApplicationScalingRuleRequest = ask.params()?;
        no_idle(asked.enable_idle)?;
        let application = self.application(ask, &asked.app_id).await?;
        let rule = ScalingRule {
            name: required("ScalingRuleName", &asked.scaling_rule_name)?.to_owned(),
            enabled: asked.scaling_rule_enable.unwrap_or(true),
            timer: rules::timer(asked.scaling_rule_timer.as_deref())?,
            metric: rules::metric(asked.scaling_rule_metric.as_deref())?,
            least_ready: asked.min_ready_instances,
            least_ready_percent: asked.min_ready_instance_ratio,
        };
        let kind = required("ScalingRuleType", &asked.scaling_rule_type)?;
        let rule = checked(rule, Some(kind))?;
        let id = application.id.as_str();
        let row = self
            .apps
            .create_scaling_rule(&ask.caller(), id, rule)
            .await
            .map_err(|e| ask.refused(e))?;
        Ok(Data {
            data: rules::Shown::changed(id, &row),
        })
    }

    pub(super) async fn update_application_scaling_rule(
        &self,
        ask: Ask<'_>,
    ) -> Result<Data<rules::Shown>, Refused> {
        let asked: wire::UpdateApplicationScalingRuleRequest = ask.params()?;
        no_idle(asked.enable_idle)?;
        let application = self.application(ask, &asked.app_id).await?;
        let (id, name) = (
            application.id.as_str(),
            required("ScalingRuleName", &asked.scaling_rule_name)?,
        );
        let present = self
            .apps
            .scaling_rule(ask.owner(), id, name)
            .await
            .map_err(|e| ask.refused(e))?
            .rule;
        let (timer, metric) = (
            rules::timer(asked.scaling_rule_timer.as_deref())?,
            rules::metric(asked.scaling_rule_metric.as_deref())?,
        );
        // Of a rule whose kind is given anew, what the kind does not have goes.
        let kind = some(asked.scaling_rule_type.as_deref());
        let keeps = |kinds: [&str; 2]| kind.is_none_or(|kind| kinds.contains(&kind));
        let rule = ScalingRule {
            timer: timer.or(present.timer.filter(|_| keeps(["timing", "mix"]))),
            metric: metric.or(present.metric.filter(|_| keeps(["metric", "mix"]))),
            least_ready: asked.min_ready_instances.or(present.least_ready),
            least_ready_percent: asked
                .min_ready_instance_ratio
                .or(present.least_ready_percent),
            ..present
        };
        let rule = checked(rule, kind)?;
        let row = self
            .apps
            .update_scaling_rule(&ask.caller(), id, rule)
            .await
            .map_err(|e| ask.refused(e))?;
        Ok(Data {
            data: rules::Shown::changed(id, &row),
        })
    }

    pub(super) async fn enable_application_scaling_rule(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::EnableApplicationScalingRuleResponse, Refused> {
        let asked: wire::EnableApplicationScalingRuleRequest = ask.params()?;
        self.switch_rule(ask, &asked.app_id, &asked.scaling_rule_name, true)
            .await?;
        Ok(wire::EnableApplicationScalingRuleResponse {})
    }

    pub(super) async fn disable_application_scaling_rule(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::DisableApplicationScalingRuleResponse, Refused> {
        let asked: wire::DisableApplicationScalingRuleRequest = ask.params()?;
        self.switch_rule(ask, &asked.app_id, &asked.scaling_rule_name, false)
            .await?;
        Ok(wire::DisableApplicationScalingRuleResponse {})
    }

    async fn switch_rule(
        &self,
        ask: Ask<'_>,
        application: &str,
        name: &str,
        on: bool,
    ) -> Result<(), Refused> {
        let application = self.application(ask, application).await?;
        let name = required("ScalingRuleName", name)?;
        self.apps
            .switch_scaling_rule(&ask.caller(), application.id.as_str(), name, on)
            .await
            .map_err(|e| ask.refused(e))?;
        Ok(())
    }

    pub(super) async fn delete_application_scaling_rule(
        &self,
        ask: Ask<'_>,
    ) -> Result<wire::DeleteApplicationScalingRuleResponse, Refused> {
        let asked: wire::DeleteApplicationScalingRuleRequest = ask.params()?;
        let application = self.application(ask, &asked.app_id).await?;
        let name = required("ScalingRuleName", &asked.scaling_rule_name)?;
        self.apps
            .delete_scaling_rule(&ask.caller(), application.id.as_str(), name)
            .await
            .map_err(|e| ask.refused(e))?;
        Ok(wire::DeleteApplicationScalingRuleResponse {})
    }

    pub(super) async fn describe_application_scaling_rule(
        &self,
        ask: Ask<'_>,
    ) -> Result<Data<rules::Shown>, Refused> {
        let asked: wire::DescribeApplicationScalingRuleRequest = ask.params()?;
        let application = self.application(ask, &asked.app_id).await?;
        let name = required("ScalingRuleName", &asked.scaling_rule_name)?;
        let row = self
            .apps
            .scaling_rule(ask.owner(), application.id.as_str(), name)
            .await
            .map_err(|e| ask.refused(e))?;
        Ok(Data {
            data: rules::Shown::listed(application.id.as_str(), &row),
        })
    }

    pub(super) async fn describe_application_scaling_rules(
        &self,
        ask: Ask<'_>,
    ) -> Result<Data<Listed>, Refused> {
        let asked: wire::DescribeApplicationScalingRulesRequest = ask.params()?;
        let application = self.application(ask, &asked.app_id).await?;
        let rows = self
            .apps
            .scaling_rules(ask.owner(), application.id.as_str())
            .await
            .map_err(|e| ask.refused(e))?;
        let total = count(rows.len() as u64);
        Ok(Data {
            data: Listed {
                application_scaling_rules: rows
                    .iter()
                    .map(|row| rules::Shown::listed(application.id.as_str(), row))
                    .collect(),
                current_page: 1,
                page_size: total,
                total_size: total,
            },
        })
    }
}

/// Refuses that replicas sleep: there is no such thing here.
fn no_idle(asked: Option<bool>) -> Result<(), Refused> {
    match asked {
        Some(true) => Err(codes::value("EnableIdle", super::applications::NO_IDLE)),
        _ => Ok(()),
    }
}
