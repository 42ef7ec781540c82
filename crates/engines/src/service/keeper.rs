//! What is started again by itself: engines that should answer and have no
//! instance, since the host was restarted, or since it was given up.

use std::sync::Arc;

use backout_core::ids::{EngineId, OsEntropy, RequestId};
use backout_workloads::Phase;

use super::{Caller, Engines, holding_of};
use crate::model::{Engine, EngineState, Wanted};
use crate::persistence;
use crate::refusal::Refusal;

/// How many engines are looked at in one page.
const PAGE: u64 = 100;

/// An engine is not started again earlier than this after somebody, or this,
/// changed it last, in milliseconds: one that does not come up must not keep a
/// host busy.
const PAUSE_MS: i64 = 60_000;

/// How long what was asked for is kept, in milliseconds: a month.
const CHANGES_KEEP_MS: i64 = 30 * 24 * 3_600_000;

/// How many rows are forgotten at a time: some tens of milliseconds of the only
/// writer.
const FORGET_BATCH: u64 = 500;

/// What was done.
#[derive(Debug, Default)]
pub struct Tended {
    /// Engines that are started again.
    pub restarted: Vec<EngineId>,
    /// Engines that could not be looked at, or started.
    pub troubles: Vec<Trouble>,
}

/// An engine that could not be tended.
#[derive(Debug)]
pub struct Trouble {
    /// Which.
    pub engine: EngineId,
    /// Why.
    pub why: Refusal,
}

impl Engines {
    /// Looks at the engines of this host, and starts those again that should
    /// answer and cannot. To be called every now and then.
    ///
    /// # Errors
    /// [`Refusal::Store`].
    pub async fn tend(&self) -> Result<Tended, Refusal> {
        let mut tended = Tended::default();
        let mut after: Option<EngineId> = None;
        loop {
            let (node, from) = (self.node.clone(), after.clone());
            let page = self
                .store
                .read(move |tx| {
                    Ok::<_, Refusal>(persistence::engines_of_node(
                        tx,
                        &node,
                        from.as_ref(),
                        PAGE,
                    )?)
                })
                .await?;
            let Some(last) = page.last() else { break };
            after = Some(last.id.clone());
            for engine in page {
                let id = engine.id.clone();
                match self.tend_one(engine).await {
                    Ok(true) => tended.restarted.push(id),
                    Ok(false) => {}
                    Err(why) => tended.troubles.push(Trouble { engine: id, why }),
                }
            }
        }
        let before = self.clock.now().plus_ms(-CHANGES_KEEP_MS);
        self.store
            .write(move |tx| {
                Ok::<_, Refusal>(persistence::forget_changes(tx, before, FORGET_BATCH)?)
            })
            .await?;
        Ok(tended)
    }

    /// Whether it was started again.
    async fn tend_one(&self, engine: Engine) -> Result<bool, Refusal> {
        if engine.state != EngineState::Running || self.answers(&engine).await? {
            return Ok(false);
        }
        let (id, now) = (engine.id.clone(), self.clock.now());
        let left_alone = self
            .store
            .read(move |tx| {
                let held = holding_of(tx, &crate::model::resource(&id))?.is_some();
                let asked = persistence::last_asked(tx, &id)?;
                let lately = asked.is_some_and(|at| now.since_ms(at) < PAUSE_MS);
                Ok::<_, Refusal>(held || lately)
            })
            .await?;
        if left_alone {
            return Ok(false);
        }
        let caller = Caller {
            account: engine.owner.clone(),
            owner: engine.owner.clone(),
            request: RequestId::random(&OsEntropy),
            idempotency: None,
        };
        self.change(&caller, engine.id.as_str(), Wanted::Mend)
            .await?;
        Ok(true)
    }

    /// Whether an engine has an instance that its shim looks after, and a
    /// process on its endpoint.
    ///
    /// # Errors
    /// [`Refusal::Host`].
    pub async fn answers(&self, engine: &Engine) -> Result<bool, Refusal> {
        let Some(instance) = engine.instance.clone() else {
            return Ok(false);
        };
        let client = self
            .runtime
            .gateway(&engine.id)
            .map_err(|e| Refusal::Host(super::with_cause(&e)))?;
        let processes = Arc::clone(&self.runtime.processes);
        let look = move || {
            let id = instance.parse().map_err(super::host)?;
            let status = processes.status(&id).map_err(super::host)?;
            let kept =
                status.is_some_and(|s| !matches!(s.phase, Phase::Ended { .. } | Phase::Lost));
            let endpoint = client
                .is_kept()
                .map_err(|e| Refusal::Host(super::with_cause(&e)))?;
            Ok(kept && endpoint)
        };
        tokio::task::spawn_blocking(look)
            .await
            .unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic()))
    }
}
