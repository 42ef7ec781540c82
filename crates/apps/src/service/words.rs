//! What a person says to an order that is under way. It is written down, and the
//! order's job takes it up; what the order could not take at this moment is
//! refused at once.

use std::time::Duration;

use backout_core::ids::OrderId;
use backout_core::time::Timestamp;
use backout_rollout::{Event, NotNow};
use backout_store::Tx;

use super::orders::order_of;
use super::{Apps, Caller};
use crate::model::{Order, Standing};
use crate::orders::supports_rollback;
use crate::persistence::{self, Word};
use crate::refusal::Refusal;

/// How long a call waits for what was said to be taken up: a job that runs takes
/// it up at once.
const HEARD_MAX: Duration = Duration::from_secs(2);

impl Apps {
    /// Lets the batch with this id go that waits for a word, or, without
    /// `go_on`, ends its order as it is. Returns the order.
    ///
    /// # Errors
    /// [`Refusal::BatchNotFound`], [`Refusal::NotNow`],
    /// [`Refusal::OrderState`], [`Refusal::Unheard`], [`Refusal::Store`].
    pub async fn confirm(
        &self,
        caller: &Caller,
        batch: &str,
        go_on: bool,
    ) -> Result<OrderId, Refusal> {
        let wanted = batch.to_owned();
        self.say(caller, move |tx, caller| {
            let none = || Refusal::BatchNotFound(wanted.chars().take(100).collect());
            let id = wanted.parse().map_err(|_| none())?;
            let (batch, order) =
                persistence::find_batch(tx, &caller.owner, &id)?.ok_or_else(none)?;
            Ok((order, confirming(batch.number, go_on)))
        })
        .await
    }

    /// As [`Apps::confirm`], for the batch of this order that waits, whichever
    /// it is.
    ///
    /// # Errors
    /// [`Refusal::OrderNotFound`]; as [`Apps::confirm`].
    pub async fn confirm_order(
        &self,
        caller: &Caller,
        order: &str,
        go_on: bool,
    ) -> Result<OrderId, Refusal> {
        let wanted = order.to_owned();
        self.say(caller, move |tx, caller| {
            let order = order_of(tx, &caller.owner, &wanted)?;
            // The one that waits follows the one that is done.
            let current = order.rollout.as_ref().map(|r| r.progress().current);
            let next = current.map_or(0, |current| current + 1);
            Ok((order, confirming(next, go_on)))
        })
        .await
    }

    /// Ends an order; what it has changed stays changed. One that waits for
    /// approval is over at once.
    ///
    /// # Errors
    /// [`Refusal::OrderNotFound`], [`Refusal::OrderState`],
    /// [`Refusal::NotNow`], [`Refusal::Unheard`], [`Refusal::Store`].
    pub async fn abort(&self, caller: &Caller, order: &str) -> Result<OrderId, Refusal> {
        let (wanted, now) = (order.to_owned(), self.clock.now());
        let owner = caller.owner.clone();
        let withdrawn = self
            .store
            .write(move |tx| {
                let order = order_of(tx, &owner, &wanted)?;
                if order.job.is_some() || order.standing.is_over() {
                    return Ok::<_, Refusal>(None);
                }
                persistence::end_order(tx, &order.id, Standing::Aborted, None, now)?;
                Ok(Some(order.id))
            })
            .await?;
        if let Some(order) = withdrawn {
            return Ok(order);
        }
        let wanted = order.to_owned();
        self.say(caller, move |tx, caller| {
            Ok((order_of(tx, &caller.owner, &wanted)?, Word::Abort))
        })
        .await
    }

    /// Ends an order and takes back what it has changed; returns the order that
    /// stands for the way back.
    ///
    /// # Errors
    /// As [`Apps::abort`]; [`Refusal::OrderState`] for one that changes no
    /// version, or is a way back itself.
    pub async fn abort_and_back(&self, caller: &Caller, order: &str) -> Result<OrderId, Refusal> {
        let wanted = order.to_owned();
        let back = OrderId::random(self.entropy.as_ref());
        let word = Word::AbortAndBack {
            order: back.clone(),
            request: caller.request.clone(),
        };
        self.say(caller, move |tx, caller| {
            let order = order_of(tx, &caller.owner, &wanted)?;
            if !order.standing.is_over() && !supports_rollback(&order) {
                return Err(Refusal::NotNow(NotNow::OnItsWayBack));
            }
            if !order.standing.is_over() && order.job.is_none() {
                return Err(Refusal::OrderState {
                    action: "take back",
                    standing: order.standing,
                    order: order.id,
                    hint: "it has changed nothing yet; abort it",
                });
            }
            Ok((order, word))
        })
        .await?;
        Ok(back)
    }

    /// Tries again what an order is stuck on.
    ///
    /// # Errors
    /// As [`Apps::abort`].
    pub async fn retry(&self, caller: &Caller, order: &str) -> Result<OrderId, Refusal> {
        let wanted = order.to_owned();
        self.say(caller, move |tx, caller| {
            Ok((order_of(tx, &caller.owner, &wanted)?, Word::Retry))
        })
        .await
    }

    /// Finds an order, sees that it takes the word now, and says it.
    async fn say(
        &self,
        caller: &Caller,
        find: impl FnOnce(&mut dyn Tx, &Caller) -> Result<(Order, Word), Refusal> + Send + 'static,
    ) -> Result<OrderId, Refusal> {
        let (caller, now) = (caller.clone(), self.clock.now());
        let mut heard = self.runtime.heard.listen();
        let (order, number) = self
            .store
            .write(move |tx| {
                let (order, word) = find(tx, &caller)?;
                takes(&order, &word, now)?;
                let said = persistence::speak(tx, &order.id, &word, &caller.account, now)?;
                match said {
                    Some(number) => Ok((order.id, number)),
                    None => Err(Refusal::Unheard(order.id)),
                }
            })
            .await?;
        self.runtime.spoken.wake();
        // Whoever looks at the order next should find it as it was told to be.
        let taken = async { while self.waits(number).await && heard.changed().await.is_ok() {} };
        // Not a fault when it takes longer: the word is written down.
        let _elapsed = tokio::time::timeout(HEARD_MAX, taken).await;
        Ok(order)
    }

    /// Whether a word still waits to be taken up.
    async fn waits(&self, number: u64) -> bool {
        self.store
            .read(move |tx| Ok::<_, Refusal>(persistence::waits(tx, number)?))
            .await
            .unwrap_or(false)
    }
}

const fn confirming(batch: u32, go_on: bool) -> Word {
    match go_on {
        true => Word::Confirm { batch },
        false => Word::End { batch },
    }
}

/// Refuses a word that the order does not take now, as its machine would.
fn takes(order: &Order, word: &Word, now: Timestamp) -> Result<(), Refusal> {
    let action = match word {
        Word::Confirm { .. } => "go on with",
        Word::End { .. } | Word::Abort => "abort",
        Word::AbortAndBack { .. } => "take back",
        Word::Retry => "try again",
    };
    let refuse = |hint| {
        Err(Refusal::OrderState {
            action,
            order: order.id.clone(),
            standing: order.standing,
            hint,
        })
    };
    if order.standing.is_over() {
        return refuse("it is over; ask for another order");
    }
    let event = match word {
        Word::Confirm { batch } => Event::Confirm {
            batch: *batch,
            go_on: true,
        },
        Word::End { batch } => Event::Confirm {
            batch: *batch,
            go_on: false,
        },
        Word::Abort => Event::Abort { rollback: false },
        Word::AbortAndBack { .. } => Event::Abort { rollback: true },
        Word::Retry => Event::Retry,
    };
    match &order.rollout {
        Some(machine) => machine
            .clone()
            .apply(event, now)
            .map(drop)
            .map_err(Refusal::NotNow),
        // Its job takes an end before it begins.
        None if matches!(event, Event::Abort { .. }) => Ok(()),
        None => refuse("it has not begun; wait until it does"),
    }
}
