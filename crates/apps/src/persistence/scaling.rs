//! The rows of scaling rules: what holds for an application now. A version has
//! the rules it was deployed with in itself.

use backout_core::ids::ApplicationId;
use backout_core::time::Timestamp;
use backout_store::rows::{json_text, optional, read_json};
use backout_store::{Error, Row, Tx, params};

use super::{among, one, several};
use crate::model::{Order, OrderKind, Release, Standing};
use crate::scaling::{RuleRow, ScalingRule};

const COLUMNS: &str = "rule, enabled, created_ms, updated_ms, disabled_ms, scaled_ms";

/// The scaling rules of an application, by name: as many as it may have.
pub fn scaling_rules(tx: &mut dyn Tx, application: &ApplicationId) -> Result<Vec<RuleRow>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM app_scaling_rules WHERE app = $1 ORDER BY name");
    several(tx, &sql, params![application.as_str()], read_rule)
}

/// The scaling rules of several applications, each with whose it is, by name.
pub fn scaling_rules_of_all(
    tx: &mut dyn Tx,
    ids: &[ApplicationId],
) -> Result<Vec<(ApplicationId, RuleRow)>, Error> {
    let Some(w) = among("app", ids.iter().map(ApplicationId::as_str)) else {
        return Ok(Vec::new());
    };
    let sql = format!(
        "SELECT {COLUMNS}, app FROM app_scaling_rules WHERE {} ORDER BY name",
        w.sql
    );
    several(tx, &sql, &w.params, |row| {
        Ok((row.parse(6, |t| t.parse().ok())?, read_rule(row)?))
    })
}

/// A scaling rule of an application.
pub fn scaling_rule(
    tx: &mut dyn Tx,
    application: &ApplicationId,
    name: &str,
) -> Result<Option<RuleRow>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM app_scaling_rules WHERE app = $1 AND name = $2");
    one(tx, &sql, params![application.as_str(), name], read_rule)
}

/// Adds a scaling rule, or gives it these contents; whether it is on comes from
/// the rule itself.
pub fn put_scaling_rule(
    tx: &mut dyn Tx,
    application: &ApplicationId,
    rule: &ScalingRule,
    now: Timestamp,
) -> Result<(), Error> {
    tx.execute(
        "INSERT INTO app_scaling_rules (app, name, rule, enabled, created_ms, updated_ms, \
         disabled_ms, scaled_ms) VALUES ($1, $2, $3, $4, $5, $5, NULL, NULL) \
         ON CONFLICT (app, name) DO UPDATE SET rule = $3, enabled = $4, updated_ms = $5",
        params![
            application.as_str(),
            &rule.name,
            json_text("rule", rule)?,
            i64::from(rule.enabled),
            now.0
        ],
    )?;
    Ok(())
}

/// Switches a scaling rule on or off. Returns false when there is none of that
/// name.
pub fn switch_scaling_rule(
    tx: &mut dyn Tx,
    application: &ApplicationId,
    name: &str,
    on: bool,
    now: Timestamp,
) -> Result<bool, Error> {
    let disabled = match on {
        true => "disabled_ms",
        false => "$4",
    };
    let changed = tx.execute(
        &format!(
            "UPDATE app_scaling_rules SET enabled = $3, updated_ms = $4, disabled_ms = {disabled} \
             WHERE app = $1 AND name = $2"
        ),
        params![application.as_str(), name, i64::from(on), now.0],
    )?;
    Ok(changed > 0)
}

/// Forgets a scaling rule. Returns false when there is none of that name.
pub fn delete_scaling_rule(
    tx: &mut dyn Tx,
    application: &ApplicationId,
    name: &str,
) -> Result<bool, Error> {
    let gone = tx.execute(
        "DELETE FROM app_scaling_rules WHERE app = $1 AND name = $2",
        params![application.as_str(), name],
    )?;
    Ok(gone > 0)
}

/// Writes down that an application was scaled by its rules just now.
pub fn set_scaled(
    tx: &mut dyn Tx,
    application: &ApplicationId,
    now: Timestamp,
) -> Result<(), Error> {
    tx.execute(
        "UPDATE app_scaling_rules SET scaled_ms = $2 WHERE app = $1 AND enabled = 1",
        params![application.as_str(), now.0],
    )?;
    Ok(())
}

/// Puts the scaling rules of an application into the order that an order left
/// behind: a rollback that succeeded brings back the rule of the version that it
/// went to; then rules are switched as the order's terms say. Belongs into the
/// transaction that ends the order.
pub fn settle_scaling(
    tx: &mut dyn Tx,
    order: &Order,
    standing: Standing,
    release: &Release,
    now: Timestamp,
) -> Result<(), Error> {
    if standing != Standing::Succeeded {
        return Ok(());
    }
    if let (OrderKind::Rollback, Some(rule)) = (order.kind, &release.scaling) {
        put_scaling_rule(tx, &order.application, rule, now)?;
    }
    let Some(on) = order.terms.scaling_on else {
        return Ok(());
    };
    for row in scaling_rules(tx, &order.application)? {
        if row.rule.enabled != on {
            switch_scaling_rule(tx, &order.application, &row.rule.name, on, now)?;
        }
    }
    Ok(())
}

fn read_rule(row: &Row) -> Result<RuleRow, Error> {
    let mut rule: ScalingRule = read_json("rule", row, 0)?;
    rule.enabled = row.get(1)?;
    Ok(RuleRow {
        rule,
        created: Timestamp(row.get(2)?),
        updated: Timestamp(row.get(3)?),
        disabled: optional(row, 4, |row, at| row.get(at))?.map(Timestamp),
        scaled: optional(row, 5, |row, at| row.get(at))?.map(Timestamp),
    })
}
