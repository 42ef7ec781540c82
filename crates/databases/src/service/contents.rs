//! What is in several instances: each is asked on a thread of its own, some at
//! a time, and who does not answer in time does not hold up the others.

use std::sync::Arc;

use backout_core::ids::{AccountId, DatabaseId};
use backout_history::archive::Window;
use backout_mariadb::{Session, catalog};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::{Databases, LOOKS_OF_CALL, in_use};
use crate::model::Instance;
use crate::refusal::Refusal;

impl Databases {
    /// An instance whose server can be asked something.
    ///
    /// # Errors
    /// [`Refusal::State`] when it is not running; [`Refusal::InstanceNotFound`],
    /// [`Refusal::Store`].
    pub async fn running(
        &self,
        owner: &AccountId,
        id_or_name: &str,
        action: &'static str,
    ) -> Result<Instance, Refusal> {
        let instance = self.get(owner, id_or_name).await?;
        in_use(&instance, action)?;
        Ok(instance)
    }

    /// The databases of several instances but the servers' own, in their order:
    /// what is wrong with one does not hide the others.
    pub async fn schemas_of(
        &self,
        owner: &AccountId,
        ids: &[DatabaseId],
    ) -> Vec<Result<Vec<String>, Refusal>> {
        let owner = owner.clone();
        self.look_at_each(ids, move |databases, id| {
            let owner = owner.clone();
            async move {
                let instance = databases
                    .running(&owner, id.as_str(), "list the databases of")
                    .await?;
                databases.ask(instance, catalog::databases).await
            }
        })
        .await
    }

    /// As [`Databases::schemas_with_charsets`], within the time that one call
    /// looks at servers.
    ///
    /// # Errors
    /// [`Refusal::State`] when the instance is not running; as there.
    pub async fn charsets_of(
        &self,
        owner: &AccountId,
        id: &DatabaseId,
    ) -> Result<Vec<(String, String)>, Refusal> {
        let owner = owner.clone();
        let looked = self.look_at_each(std::slice::from_ref(id), move |databases, id| {
            let owner = owner.clone();
            async move {
                let action = "list the databases of";
                databases.running(&owner, id.as_str(), action).await?;
                databases.schemas_with_charsets(&owner, id.as_str()).await
            }
        });
        let looked = looked.await.into_iter().next();
        looked.unwrap_or_else(|| Ok(Vec::new()))
    }

    /// The windows of several instances, as [`Databases::windows`], in their
    /// order.
    pub async fn windows_of(
        &self,
        owner: &AccountId,
        ids: &[DatabaseId],
    ) -> Vec<Result<Vec<Window>, Refusal>> {
        let owner = owner.clone();
        self.look_at_each(ids, move |databases, id| {
            let owner = owner.clone();
            async move { databases.windows(&owner, id.as_str()).await }
        })
        .await
    }

    /// The tables of several databases of one instance, by name, in the order of
    /// the databases; `None` for a database that is not there.
    ///
    /// # Errors
    /// [`Refusal::State`] when the instance is not running;
    /// [`Refusal::Database`] also when it takes too long;
    /// [`Refusal::InstanceNotFound`], [`Refusal::Store`].
    pub async fn tables_of(
        &self,
        owner: &AccountId,
        id: &DatabaseId,
        schemas: Vec<String>,
    ) -> Result<Vec<Option<Vec<String>>>, Refusal> {
        let owner = owner.clone();
        // Who waits hears of the time that is over before.
        let until = std::time::Instant::now() + 2 * self.look_max;
        let looked = self.look_at_each(std::slice::from_ref(id), move |databases, id| {
            let (owner, schemas) = (owner.clone(), schemas.clone());
            async move {
                let instance = databases
                    .running(&owner, id.as_str(), "list the tables of")
                    .await?;
                databases
                    .ask(instance, move |session| tables(session, &schemas, until))
                    .await
            }
        });
        let looked = looked.await.into_iter().next();
        looked.unwrap_or_else(|| Ok(Vec::new()))
    }

    /// Does `look` for each of `items`, some at a time, and gives the answers in
    /// their order. Whatever is not done in time is refused; what is under way
    /// then ends by itself, and nobody hears of it.
    pub(super) async fn look_at_each<I, T, F, L>(
        &self,
        items: &[I],
        look: F,
    ) -> Vec<Result<T, Refusal>>
    where
        I: Clone + std::fmt::Display + Send + 'static,
        T: Send + 'static,
        F: Fn(Self, I) -> L + Clone + Send + 'static,
        L: Future<Output = Result<T, Refusal>> + Send,
    {
        let deadline = Instant::now() + self.look_max;
        let of_call = Arc::new(Semaphore::new(LOOKS_OF_CALL));
        let mut looks = JoinSet::new();
        for (index, item) in items.iter().cloned().enumerate() {
            let (databases, look, of_call) = (self.clone(), look.clone(), of_call.clone());
            looks.spawn(async move {
                let room = databases.looks.clone();
                let permits = async { (of_call.acquire_owned().await, room.acquire_owned().await) };
                // They are held until the thread is free again, however late.
                let _permits = timeout_at(deadline, permits).await.ok()?;
                Some((index, look(databases, item).await))
            });
        }
        let mut done: Vec<Option<Result<T, Refusal>>> = items.iter().map(|_| None).collect();
        loop {
            match timeout_at(deadline, looks.join_next()).await {
                Ok(Some(Ok(Some((index, result))))) => {
                    if let Some(slot) = done.get_mut(index) {
                        *slot = Some(result);
                    }
                }
                // One that came too late, or that panicked.
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_late) => {
                    looks.detach_all();
                    break;
                }
            }
        }
        let late = |item: &I| {
            Refusal::Database(backout_mariadb::Error::Unreachable {
                server: item.to_string(),
                why: format!(
                    "it did not answer within {} s; see whether its server hangs, or ask about fewer at a time",
                    self.look_max.as_secs()
                ),
                passing: true,
            })
        };
        done.into_iter()
            .zip(items)
            .map(|(result, item)| result.unwrap_or_else(|| Err(late(item))))
            .collect()
    }
}

/// The tables of each of `schemas`; also of the server's own. Ends when nobody
/// waits for it any more.
fn tables(
    session: &mut Session,
    schemas: &[String],
    until: std::time::Instant,
) -> backout_mariadb::Result<Vec<Option<Vec<String>>>> {
    let known: Vec<String> = session.query(
        "list the databases",
        "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA",
    )?;
    let folded: Option<u64> = session.first("read settings", "SELECT @@lower_case_table_names")?;
    let is_there = |schema: &String| {
        let same = |name: &&String| match folded {
            Some(0) | None => *name == schema,
            Some(_) => name.to_lowercase() == schema.to_lowercase(),
        };
        known.iter().any(|name| same(&name))
    };
    schemas
        .iter()
        .map(|schema| {
            if std::time::Instant::now() > until {
                return Err(backout_mariadb::Error::Cancelled);
            }
            if !is_there(schema) {
                return Ok(None);
            }
            let found = catalog::tables(session, schema)?;
            Ok(Some(found.into_iter().map(|t| t.name).collect()))
        })
        .collect()
}
