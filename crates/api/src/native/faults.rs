//! The fault switch, for tests of runbooks.
//!
//! Two keys turn it on. The server must have been started with it; without
//! that there is nothing here to call. And a policy must spell out
//! `backout:ManageFaults`: a `*` that was meant for something else does not
//! allow it. Accounts without a policy act on resources of their own, and may.

use backout_core::code::Code;
use backout_core::ids::{
    BackupId, BlueprintId, DatabaseId, DiskId, FaultId, InstanceId, SnapshotId,
};
use backout_core::policy::action_matches;
use backout_faults::{Faults, NewRule, Rule, What};
use backout_jobs::Moment;
use backout_servers::Refusal;
use backout_wire::{Operation, Service, operations};

use super::dto::{AddFault, ClearedFaults, Fault, List};
use super::names::spellings;
use super::{Call, Native, NativeError, PageOf, Result, action, listed};
use crate::front::Front;

/// The resource that a rule names, and every way in which a policy may name it.
struct Named {
    id: String,
    spellings: Vec<String>,
}

impl Native {
    /// The fault switch, if this server has one.
    fn fault_switch(&self) -> Result<&Faults> {
        self.parts.faults.as_ref().ok_or_else(|| {
            NativeError::new(
                Code::FaultsOff,
                "use the fault switch: it is off; a server for tests is started with: backout serve --faults",
            )
        })
    }

    /// As [`Native::allow`], for an action that a policy must spell out.
    fn allow_named(call: &Call, action: &str, resources: &[Vec<String>]) -> Result<()> {
        if call.principal.allows_named(action, resources) {
            return Ok(());
        }
        let on = resources
            .first()
            .and_then(|r| r.first())
            .map_or("everything", String::as_str);
        Err(NativeError::denied(format!(
            "let account {} do {action} on {on}: its policy does not allow it, and a wildcard is not enough; ask who manages the account to spell it out",
            call.principal.name
        )))
    }

    /// `GET /v1/faults`, oldest first: the order in which they are tried.
    ///
    /// # Errors
    /// A refusal: 409 when the switch is off.
    pub async fn faults(&self, call: &Call, page: &PageOf) -> Result<List<Fault>> {
        self.limit(call, action::DESCRIBE_FAULTS)?;
        let faults = self.fault_switch()?;
        Self::allow(call, action::DESCRIBE_FAULTS, &[])?;
        let (limit, page) = (page.limit()?, page.rows()?);
        let (total, rules) = faults
            .list(&call.principal.owner, page.offset, limit)
            .await?;
        let now = self.parts.clock.now();
        Ok(listed(page, (total, rules), |r| Fault::of(r, now)))
    }

    /// `POST /v1/faults`.
    ///
    /// # Errors
    /// A refusal: 409 when the switch is off, 400 for a code that the called
    /// service does not have, or a step that there is not.
    pub async fn add_fault(&self, call: &Call, new: AddFault) -> Result<Fault> {
        let about = new.action.as_ref().or(new.step.as_ref());
        let about = format!(
            "fault/{} {}",
            about.map_or("", String::as_str),
            new.resource.as_deref().unwrap_or("*")
        );
        self.audited(call, action::MANAGE_FAULTS, &about, async {
            let faults = self.fault_switch()?;
            let named = match &new.resource {
                Some(text) => Some(self.named_resource(call, text).await?),
                None => None,
            };
            let spellings: Vec<_> = named.iter().map(|n| n.spellings.clone()).collect();
            Self::allow_named(call, action::MANAGE_FAULTS, &spellings)?;
            let rule = faults
                .add(
                    &call.principal.owner,
                    NewRule {
                        what: what(&new)?,
                        message: new.message,
                        resource: named.map(|n| n.id),
                        count: new.count,
                        lasts_s: new.seconds,
                    },
                )
                .await?;
            Ok(Fault::of(rule, self.parts.clock.now()))
        })
        .await
    }

    /// `DELETE /v1/faults/{fault}`.
    ///
    /// # Errors
    /// A refusal: 409 when the switch is off.
    pub async fn remove_fault(&self, call: &Call, fault: &str) -> Result<()> {
        self.audited(
            call,
            action::MANAGE_FAULTS,
            &format!("fault/{fault}"),
            async {
                let faults = self.fault_switch()?;
                let id: FaultId = fault
                    .parse()
                    .map_err(|e| NativeError::malformed(format!("read the fault's id: {e}")))?;
                let owner = &call.principal.owner;
                match faults.get(owner, &id).await {
                    Ok(rule) => {
                        let spellings = self.rule_spellings(call, &rule).await?;
                        Self::allow_named(call, action::MANAGE_FAULTS, &spellings)?;
                    }
                    Err(e) => {
                        Self::allow_named(call, action::MANAGE_FAULTS, &[])?;
                        return Err(e.into());
                    }
                }
                Ok(faults.remove(owner, &id).await?)
            },
        )
        .await
    }

    /// `DELETE /v1/faults`: all of the owner's.
    ///
    /// # Errors
    /// A refusal: 409 when the switch is off.
    pub async fn clear_faults(&self, call: &Call) -> Result<ClearedFaults> {
        self.audited(call, action::MANAGE_FAULTS, "fault/*", async {
            let faults = self.fault_switch()?;
            Self::allow_named(call, action::MANAGE_FAULTS, &[])?;
            let removed = faults.clear(&call.principal.owner).await?;
            Ok(ClearedFaults { removed })
        })
        .await
    }

    /// The resource that a caller names: a server of the owner's by name or id,
    /// or the id of anything, be it there or not.
    async fn named_resource(&self, call: &Call, text: &str) -> Result<Named> {
        let server = text.strip_prefix("server/");
        match self
            .parts
            .servers
            .get(&call.principal.owner, server.unwrap_or(text))
            .await
        {
            Ok(found) => Ok(Named {
                id: found.id.to_string(),
                spellings: spellings(&found),
            }),
            Err(e @ Refusal::ServerNotFound(_)) => match of_id(text) {
                Some(named) => Ok(named),
                None => {
                    // Whoever may not is not told whether it exists.
                    let given = format!("server/{}", server.unwrap_or(text));
                    Self::allow_named(call, action::MANAGE_FAULTS, &[vec![given]])?;
                    Err(e.into())
                }
            },
            Err(e) => Err(e.into()),
        }
    }

    /// What a policy is asked about a rule that is there.
    async fn rule_spellings(&self, call: &Call, rule: &Rule) -> Result<Vec<Vec<String>>> {
        Ok(match &rule.resource {
            Some(id) => vec![self.named_resource(call, id).await?.spellings],
            None => Vec::new(),
        })
    }
}

/// What names an id, whatever it is of.
fn of_id(text: &str) -> Option<Named> {
    let id = text.rsplit_once('/').map_or(text, |(_, id)| id);
    let kind = if id.parse::<InstanceId>().is_ok() {
        "server"
    } else if id.parse::<SnapshotId>().is_ok() {
        "snapshot"
    } else if id.parse::<DiskId>().is_ok() {
        "disk"
    } else if id.parse::<BackupId>().is_ok() {
        "backup"
    } else if id.parse::<BlueprintId>().is_ok() {
        "blueprint"
    } else if id.parse::<DatabaseId>().is_ok() {
        "database"
    } else {
        return None;
    };
    let full = format!("{kind}/{id}");
    // `disk/ID` is not what a snapshot's id is called.
    (text == id || text == full).then(|| Named {
        id: id.to_owned(),
        spellings: vec![full],
    })
}

/// What is to fail, if it can.
fn what(new: &AddFault) -> Result<What> {
    match (&new.action, &new.code, &new.step) {
        (Some(action), Some(code), None) if !new.undo && new.moment.is_none() => {
            check_call(action, code)?;
            Ok(What::Call {
                action: action.clone(),
                code: code.clone(),
            })
        }
        (None, None, Some(step)) => {
            let (procedure, name) = step.rsplit_once('/').ok_or_else(|| {
                NativeError::malformed(
                    "read the step: give PROCEDURE/STEP, e.g. servers.apply_snapshot/swap",
                )
            })?;
            let moment = match new.moment.as_deref() {
                None => Moment::AfterIntent,
                Some(word) => Moment::parse(word).ok_or_else(|| {
                    NativeError::malformed(format!(
                        "read the moment {:?}: give one of {}",
                        quote(word),
                        Moment::ALL.map(Moment::as_str).join(", ")
                    ))
                })?,
            };
            Ok(What::Step {
                procedure: procedure.to_owned(),
                step: name.to_owned(),
                undo: new.undo,
                moment,
            })
        }
        _ => Err(NativeError::malformed(
            "add a fault: give action and code for calls, or step (with undo and moment) for a step of a job",
        )),
    }
}

/// Refuses an action that is never called here, and a code that clients of the
/// called services do not know.
fn check_call(action: &str, code: &str) -> Result<()> {
    let mut about: Vec<&Operation> = operations()
        .filter(|o| Front::serves(o) && action_matches(action, &o.policy_action()))
        .collect();
    if about.is_empty() {
        return Err(NativeError::malformed(format!(
            "let {:?} fail: no operation that is served here has this name; docs/operations.md lists them",
            quote(action)
        )));
    }
    about.dedup_by_key(|o| o.service);
    // Where several vendors are meant, each answers its own code for the
    // condition that this one names.
    if about.iter().any(|o| o.service.has_code(code)) && backout_wire::Fault::named(code).is_some()
    {
        return Ok(());
    }
    // The codes of this one are numbers: it has one of its own for whatever is
    // meant for others.
    if about.len() > 1 {
        about.retain(|o| o.service != Service::CdbV2);
    }
    for operation in about {
        if !operation.service.has_code(code) {
            return Err(NativeError::malformed(format!(
                "answer {} with {:?}: the contract of {} has no such code; give one of its own, such as {}",
                quote(action),
                quote(code),
                operation.service,
                operation.errors.first().unwrap_or(&"InternalError")
            )));
        }
    }
    Ok(())
}

/// As much of a foreign text as an error repeats.
fn quote(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_contract() {
        for (action, code, words) in [
            (
                "lighthouse:ApplyInstanceSnapshot",
                "UnsupportedOperation.SystemBusy",
                "",
            ),
            ("LightHouse:apply*", "InternalError", ""),
            ("*", "RequestLimitExceeded", ""),
            ("cdb:GetCdbRollbackJob", "9016", ""),
            ("cdb:GetCdbRollbackJob", "InternalError", "no such code"),
            ("cdb:StartBatchRollback", "OverQuota", ""),
            ("cdb:*", "9016", "no such code"),
            ("lighthouse:*", "NoSuchCode", "no such code"),
            ("lighthouse:Apply*", "Throttling.User", "no such code"),
            ("lighthouse:Burn", "InternalError", "no operation"),
            // Known, but not served: it would never answer.
            ("cdb:SwitchForUpgrade", "InternalError", "no operation"),
            ("dlc:*", "InternalError", ""),
            ("", "InternalError", "no operation"),
        ] {
            match check_call(action, code) {
                Ok(()) => assert_eq!(words, "", "{action} {code}"),
                Err(e) => assert!(
                    !words.is_empty() && e.message.contains(words),
                    "{action} {code}: {e}"
                ),
            }
        }
    }

    #[test]
    fn ids_are_told_by_their_form() {
        for (text, want) in [
            ("lhsnap-00000000", Some("snapshot/lhsnap-00000000")),
            ("snapshot/lhsnap-00000000", Some("snapshot/lhsnap-00000000")),
            ("lhins-00000000", Some("server/lhins-00000000")),
            ("disk/lhsnap-00000000", None),
            ("web", None),
            ("server/web", None),
        ] {
            let got = of_id(text).map(|n| n.spellings);
            assert_eq!(got, want.map(|w| vec![w.to_owned()]), "{text}");
        }
    }

    #[test]
    fn it_is_either_a_call_or_a_step() {
        let call = AddFault {
            action: Some("lighthouse:*".into()),
            code: Some("InternalError".into()),
            ..AddFault::default()
        };
        let step = AddFault {
            step: Some("servers.apply_snapshot/swap".into()),
            ..AddFault::default()
        };
        assert!(what(&call).is_ok());
        assert!(matches!(
            what(&step),
            Ok(What::Step {
                moment: Moment::AfterIntent,
                undo: false,
                ..
            })
        ));
        for bad in [
            AddFault::default(),
            AddFault {
                step: step.step.clone(),
                ..call.clone()
            },
            AddFault {
                undo: true,
                ..call.clone()
            },
            AddFault {
                code: None,
                ..call.clone()
            },
            AddFault {
                step: Some("swap".into()),
                ..step.clone()
            },
            AddFault {
                moment: Some("later".into()),
                ..step
            },
        ] {
            assert_eq!(what(&bad).unwrap_err().code, Code::BadRequest, "{bad:?}");
        }
    }
}
