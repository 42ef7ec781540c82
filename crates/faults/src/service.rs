//! What is asked of the fault switch.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use backout_core::code::Code;
use backout_core::ids::{AccountId, Entropy, FaultId};
use backout_core::time::{Clock, Timestamp};
use backout_jobs::{Point, Probe, ProbeAction, ProbeFuture, Registry, StepError, StepLine};
use backout_store::{Error as StoreError, Store};

use crate::error::Error;
use crate::model::{
    ACTION_BYTES_MAX, CODE_BYTES_MAX, COUNT_MAX, Hit, LASTS_S_MAX, NewRule, RESOURCE_BYTES_MAX,
    RULES_MAX, Rule, What, check_message, check_name, last_part, quote,
};
use crate::persistence;

/// For how long a rule that another process added or removed may go unnoticed
/// here, in milliseconds. A test that adds one and calls another process waits
/// no longer than this.
pub const LOOK_MS: i64 = 500;

/// What a caller is told when the rule says nothing.
const CALL_MESSAGE: &str = "the fault switch answers this call (BO0036)";
/// What a job is told when the rule says nothing.
const STEP_MESSAGE: &str = "do this step, the fault switch is against it; see: backout faults list";

/// The fault switch. Cheap to clone; clones are one.
#[derive(Clone)]
pub struct Faults {
    shared: Arc<Shared>,
}

struct Shared {
    store: Store,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    /// The step tables that a rule may name.
    procedures: BTreeMap<&'static str, Vec<StepLine>>,
    /// Whether the copy holds any rule.
    any: AtomicBool,
    /// When the store is looked at again, in milliseconds.
    look_at: AtomicI64,
    copy: RwLock<Copied>,
}

/// This process's copy of the rules.
#[derive(Default)]
struct Copied {
    /// [`persistence::version`] when it was read.
    version: i64,
    /// [`Store::version`] before it was read.
    store_version: Option<u64>,
    rules: Arc<[Rule]>,
}

impl std::fmt::Debug for Faults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Faults").finish_non_exhaustive()
    }
}

impl Faults {
    /// The fault switch over the rules in `store`. `registry` tells which steps
    /// there are.
    ///
    /// # Errors
    /// The store's.
    pub async fn open(
        store: Store,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        registry: &Registry,
    ) -> Result<Self, StoreError> {
        let procedures = registry
            .names()
            .map(|name| (name, registry.steps(name).unwrap_or_default().to_vec()))
            .collect();
        let look_at = AtomicI64::new(clock.now().plus_ms(LOOK_MS).0);
        let faults = Self {
            shared: Arc::new(Shared {
                store,
                clock,
                entropy,
                procedures,
                any: AtomicBool::new(false),
                look_at,
                copy: RwLock::default(),
            }),
        };
        faults.look(Look::Whole).await?;
        Ok(faults)
    }

    /// Adds a rule for the calls and jobs of `owner`. Whether a code is one
    /// that the action may answer is not known here.
    ///
    /// # Errors
    /// [`Error`]: a text or a number out of bounds, a step that there is not,
    /// or [`RULES_MAX`] rules.
    pub async fn add(&self, owner: &AccountId, new: NewRule) -> Result<Rule, Error> {
        let rule = self.checked(owner, new)?;
        let added = rule.clone();
        self.shared
            .store
            .write(move |tx| {
                persistence::raise_version(tx)?;
                persistence::sweep(tx, added.created)?;
                if persistence::count(tx, &added.owner)? >= RULES_MAX {
                    persistence::delete_used_up(tx, &added.owner)?;
                }
                if persistence::count(tx, &added.owner)? >= RULES_MAX {
                    return Err(Error::TooMany);
                }
                persistence::insert(tx, &added)?;
                Ok(())
            })
            .await?;
        self.look(Look::Whole).await?;
        Ok(rule)
    }

    /// The owner's rules, those that do nothing any more included, oldest
    /// first: the order in which they are tried. Also says how many there are.
    ///
    /// # Errors
    /// The store's.
    pub async fn list(
        &self,
        owner: &AccountId,
        offset: u64,
        limit: usize,
    ) -> Result<(u64, Vec<Rule>), StoreError> {
        let owner = owner.clone();
        let offset = i64::try_from(offset).unwrap_or(i64::MAX);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.shared
            .store
            .read(move |tx| {
                let total = persistence::count(tx, &owner)?;
                let rules = persistence::list(tx, &owner, offset, limit)?;
                Ok((u64::try_from(total).unwrap_or(0), rules))
            })
            .await
    }

    /// The owner's rule of this id.
    ///
    /// # Errors
    /// [`Error::NotFound`], or the store's.
    pub async fn get(&self, owner: &AccountId, id: &FaultId) -> Result<Rule, Error> {
        let (owner, wanted) = (owner.clone(), id.clone());
        self.shared
            .store
            .read::<_, StoreError>(move |tx| persistence::find(tx, &owner, &wanted))
            .await?
            .ok_or_else(|| Error::NotFound(id.clone()))
    }

    /// Removes a rule of the owner's.
    ///
    /// # Errors
    /// [`Error::NotFound`], or the store's.
    pub async fn remove(&self, owner: &AccountId, id: &FaultId) -> Result<(), Error> {
        let (owner, gone) = (owner.clone(), id.clone());
        let found = self
            .shared
            .store
            .write::<_, StoreError>(move |tx| {
                persistence::raise_version(tx)?;
                persistence::delete(tx, &owner, &gone)
            })
            .await?;
        self.look(Look::Whole).await?;
        if found {
            Ok(())
        } else {
            Err(Error::NotFound(id.clone()))
        }
    }

    /// Removes all rules of the owner; says how many there were.
    ///
    /// # Errors
    /// The store's.
    pub async fn clear(&self, owner: &AccountId) -> Result<u64, StoreError> {
        let owner = owner.clone();
        let gone = self
            .shared
            .store
            .write::<_, StoreError>(move |tx| persistence::forget_owner(tx, &owner))
            .await?;
        self.look(Look::Whole).await?;
        Ok(gone)
    }

    /// Removes rules of any owner whose time is over, some of them at once;
    /// says how many.
    ///
    /// # Errors
    /// The store's.
    pub async fn sweep(&self) -> Result<u64, StoreError> {
        let now = self.shared.clock.now();
        self.shared
            .store
            .write(move |tx| {
                persistence::raise_version(tx)?;
                persistence::sweep(tx, now)
            })
            .await
    }

    /// What a call of `owner` for `action`, which names `resources`, is to be
    /// answered with, if it is to fail. The oldest rule wins; its use is
    /// counted.
    ///
    /// # Errors
    /// The store's: then it is not known whether the call may go on.
    pub async fn on_call(
        &self,
        owner: &AccountId,
        action: &str,
        resources: &[String],
    ) -> Result<Option<Hit>, StoreError> {
        let used = self
            .used(owner, |rule| rule.is_about_call(action, resources))
            .await?;
        let Some(rule) = used else { return Ok(None) };
        let What::Call { code, .. } = rule.what else {
            return Ok(None);
        };
        tracing::info!(fault = %rule.id, owner = %owner, action, code, "a call is answered by the fault switch");
        Ok(Some(Hit {
            rule: rule.id,
            code,
            message: rule.message,
        }))
    }

    /// What the step at `point` is to fail with, if it is to fail.
    async fn on_point(&self, point: &Point<'_>) -> Result<Option<StepError>, StoreError> {
        let used = self
            .used(point.account, |rule| rule.is_about_point(point))
            .await?;
        let Some(rule) = used else { return Ok(None) };
        tracing::info!(
            fault = %rule.id, owner = %point.account, procedure = point.procedure, step = point.step,
            undo = point.undo, "a step fails by the fault switch"
        );
        Ok(Some(StepError::failed(Code::FaultInjected, rule.message)))
    }

    /// The oldest rule of `owner` that is about it and may still be used, with
    /// its use counted.
    async fn used(
        &self,
        owner: &AccountId,
        is_about: impl Fn(&Rule) -> bool,
    ) -> Result<Option<Rule>, StoreError> {
        let now = self.shared.clock.now();
        self.keep_up(now).await?;
        if !self.shared.any.load(Ordering::Acquire) {
            return Ok(None);
        }
        let rules = Arc::clone(&self.shared.copied().rules);
        for rule in rules.iter() {
            if rule.owner != *owner || !is_about(rule) {
                continue;
            }
            let id = rule.id.clone();
            let left = self
                .shared
                .store
                .write::<_, StoreError>(move |tx| persistence::consume(tx, &id, now))
                .await?;
            if matches!(left, None | Some(Some(0))) {
                // Gone, expired or used up: not to be tried again.
                self.look(Look::Whole).await?;
            }
            if left.is_some() {
                return Ok(Some(rule.clone()));
            }
        }
        Ok(None)
    }

    /// Looks at the store when it is time to.
    async fn keep_up(&self, now: Timestamp) -> Result<(), StoreError> {
        let due = self.shared.look_at.load(Ordering::Relaxed);
        // A clock that was set back must not leave us blind until it has caught
        // up.
        if now.0 < due && due - now.0 <= LOOK_MS {
            return Ok(());
        }
        let next = now.plus_ms(LOOK_MS).0;
        let mine =
            self.shared
                .look_at
                .compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed);
        if mine.is_err() {
            // Another call looks.
            return Ok(());
        }
        let looked = self.look(Look::News).await;
        if looked.is_err() {
            self.shared.look_at.store(now.0, Ordering::Relaxed);
        }
        looked
    }

    /// Brings the copy up to date.
    async fn look(&self, how: Look) -> Result<(), StoreError> {
        let shared = &self.shared;
        // Before the rows are read: the copy may be newer than its version,
        // never older.
        let store_version = shared.store.version();
        let mut known = None;
        if how == Look::News {
            let copy = shared.copied();
            if store_version.is_some() && store_version == copy.store_version {
                return Ok(());
            }
            known = Some(copy.version);
        }
        let now = shared.clock.now();
        let (version, rules) = shared
            .store
            .read::<_, StoreError>(move |tx| {
                let version = persistence::version(tx)?;
                let rules = match known == Some(version) {
                    true => None,
                    false => Some(persistence::live(tx, now)?),
                };
                Ok((version, rules))
            })
            .await?;
        let mut copy = shared.copy.write().unwrap_or_else(PoisonError::into_inner);
        // Somebody who began later may have ended sooner.
        if version < copy.version {
            return Ok(());
        }
        copy.store_version = store_version;
        if let Some(rules) = rules {
            copy.version = version;
            copy.rules = rules.into();
            shared.any.store(!copy.rules.is_empty(), Ordering::Release);
        }
        Ok(())
    }

    /// The rule that is asked for, if it may be.
    fn checked(&self, owner: &AccountId, new: NewRule) -> Result<Rule, Error> {
        let default = match &new.what {
            What::Call { action, code } => {
                check_name("action", action, ACTION_BYTES_MAX)?;
                check_name("code", code, CODE_BYTES_MAX)?;
                CALL_MESSAGE
            }
            What::Step {
                procedure,
                step,
                undo,
                ..
            } => {
                self.check_step(procedure, step, *undo)?;
                STEP_MESSAGE
            }
        };
        if let Some(message) = &new.message {
            check_message(message)?;
        }
        let resource = new.resource.as_deref().map(last_part);
        if let Some(resource) = resource {
            check_name("resource", resource, RESOURCE_BYTES_MAX)?;
        }
        if let Some(count) = new.count.filter(|n| !(1..=COUNT_MAX).contains(n)) {
            return Err(Error::Count { count });
        }
        if let Some(lasts_s) = new.lasts_s.filter(|s| !(1..=LASTS_S_MAX).contains(s)) {
            return Err(Error::Lasts { lasts_s });
        }
        let now = self.shared.clock.now();
        Ok(Rule {
            id: FaultId::random(self.shared.entropy.as_ref()),
            owner: owner.clone(),
            resource: resource.map(str::to_owned),
            message: new.message.unwrap_or_else(|| default.to_owned()),
            remaining: new.count,
            until: new.lasts_s.map(|s| now.plus_ms(i64::from(s) * 1000)),
            created: now,
            hits: 0,
            what: new.what,
        })
    }

    fn check_step(&self, procedure: &str, step: &str, undo: bool) -> Result<(), Error> {
        let procedures = &self.shared.procedures;
        let steps = procedures
            .get(procedure)
            .ok_or_else(|| Error::UnknownProcedure {
                procedure: quote(procedure),
                known: procedures.keys().copied().collect::<Vec<_>>().join(", "),
            })?;
        let line =
            steps
                .iter()
                .find(|line| line.name == step)
                .ok_or_else(|| Error::UnknownStep {
                    procedure: procedure.to_owned(),
                    step: quote(step),
                    known: steps.iter().map(|s| s.name).collect::<Vec<_>>().join(", "),
                })?;
        if undo && line.undo.is_none() {
            return Err(Error::NoUndo {
                procedure: procedure.to_owned(),
                step: step.to_owned(),
            });
        }
        Ok(())
    }
}

/// How the copy is brought up to date.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    /// Only when rules were added or removed.
    News,
    /// In any case: what is used up is left out.
    Whole,
}

impl Shared {
    fn copied(&self) -> std::sync::RwLockReadGuard<'_, Copied> {
        self.copy.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Probe for Faults {
    fn at<'a>(&'a self, point: Point<'a>) -> ProbeFuture<'a> {
        Box::pin(async move {
            match self.on_point(&point).await {
                Ok(None) => ProbeAction::GoOn,
                Ok(Some(error)) => ProbeAction::Fail(error),
                Err(e) => ProbeAction::Fail(e.into()),
            }
        })
    }
}
