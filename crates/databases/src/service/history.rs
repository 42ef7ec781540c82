//! What happened when, and what there is.

use backout_core::ids::AccountId;
use backout_history::archive::{Txn, Window};
use backout_history::{Micros, Position, TableName};
use backout_mariadb::doctor::{self, Finding};
use backout_mariadb::{Endpoint, Session, catalog};
use serde::{Deserialize, Serialize};

use super::{Databases, blocking};
use crate::model::Instance;
use crate::refusal::Refusal;

/// How many transactions one look at history shows.
pub const TRANSACTIONS_MAX: usize = 1_000;

/// A binary log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogFile {
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub bytes: u64,
    /// When its first transaction committed, microseconds since 1970.
    pub first_us: Option<i64>,
    /// When its last did.
    pub last_us: Option<i64>,
    /// Whether the server still has it.
    pub on_server: bool,
    /// Whether the archive has it, whole or in part.
    pub archived: bool,
}

impl Databases {
    /// The stretches of history without a gap, oldest first: every instant in
    /// one can be gone back to.
    ///
    /// # Errors
    /// [`Refusal::InstanceNotFound`], [`Refusal::History`], [`Refusal::Store`].
    pub async fn windows(
        &self,
        owner: &AccountId,
        id_or_name: &str,
    ) -> Result<Vec<Window>, Refusal> {
        let instance = self.get(owner, id_or_name).await?;
        self.here(&instance)?;
        let runtime = self.runtime.clone();
        blocking(move || {
            runtime
                .archive(&instance.id)?
                .windows()
                .map_err(Refusal::History)
        })
        .await
    }

    /// Transactions around an instant, oldest first: `limit` on each side, of
    /// one table or of all.
    ///
    /// # Errors
    /// As [`Databases::windows`].
    pub async fn transactions(
        &self,
        owner: &AccountId,
        id_or_name: &str,
        table: Option<TableName>,
        around_us: i64,
        limit: usize,
    ) -> Result<Vec<Txn>, Refusal> {
        let instance = self.get(owner, id_or_name).await?;
        self.here(&instance)?;
        let runtime = self.runtime.clone();
        let limit = limit.min(TRANSACTIONS_MAX);
        blocking(move || {
            runtime
                .archive(&instance.id)?
                .transactions(table.as_ref(), Micros(around_us), limit, limit)
                .map_err(Refusal::History)
        })
        .await
    }

    /// The databases on an instance, but the server's own.
    ///
    /// # Errors
    /// [`Refusal::InstanceNotFound`], [`Refusal::Database`], [`Refusal::Store`].
    pub async fn schemas(
        &self,
        owner: &AccountId,
        id_or_name: &str,
    ) -> Result<Vec<String>, Refusal> {
        let instance = self.get(owner, id_or_name).await?;
        self.ask(instance, catalog::databases).await
    }

    /// The databases on an instance, but the server's own, each with the
    /// character set that its tables get.
    ///
    /// # Errors
    /// As [`Databases::schemas`].
    pub async fn schemas_with_charsets(
        &self,
        owner: &AccountId,
        id_or_name: &str,
    ) -> Result<Vec<(String, String)>, Refusal> {
        let instance = self.get(owner, id_or_name).await?;
        self.ask(instance, |session| {
            let mut rows: Vec<(String, String)> = session.query(
                "list the databases",
                "SELECT SCHEMA_NAME, DEFAULT_CHARACTER_SET_NAME FROM information_schema.SCHEMATA ORDER BY SCHEMA_NAME",
            )?;
            rows.retain(|(name, _)| !catalog::is_system(name));
            Ok(rows)
        })
        .await
    }

    /// The tables of a database, by name.
    ///
    /// # Errors
    /// As [`Databases::schemas`].
    pub async fn tables(
        &self,
        owner: &AccountId,
        id_or_name: &str,
        schema: &str,
    ) -> Result<Vec<String>, Refusal> {
        let instance = self.get(owner, id_or_name).await?;
        let schema = schema.to_owned();
        self.ask(instance, move |session| {
            Ok(catalog::tables(session, &schema)?
                .into_iter()
                .map(|t| t.name)
                .collect())
        })
        .await
    }

    /// What stands in the way of taking an instance back, and what mends it.
    ///
    /// # Errors
    /// As [`Databases::schemas`].
    pub async fn doctor(
        &self,
        owner: &AccountId,
        id_or_name: &str,
    ) -> Result<Vec<Finding>, Refusal> {
        let instance = self.get(owner, id_or_name).await?;
        self.ask(instance, doctor::examine).await
    }

    /// The same of a server that is not managed, at a `mysql://` URL.
    ///
    /// # Errors
    /// [`Refusal::Database`] when it does not answer, or the URL is none.
    pub async fn examine(&self, url: &str) -> Result<Vec<Finding>, Refusal> {
        let endpoint = Endpoint::parse(url).map_err(Refusal::Database)?;
        blocking(move || {
            let mut session = Session::open(&endpoint).map_err(Refusal::Database)?;
            doctor::examine(&mut session).map_err(Refusal::Database)
        })
        .await
    }

    /// The binary logs that the server or the archive has, oldest first.
    ///
    /// # Errors
    /// As [`Databases::schemas`]; [`Refusal::History`].
    pub async fn binlogs(
        &self,
        owner: &AccountId,
        id_or_name: &str,
    ) -> Result<Vec<LogFile>, Refusal> {
        let instance = self.get(owner, id_or_name).await?;
        let (runtime, id) = (self.runtime.clone(), instance.id.clone());
        let here: Vec<(String, u64)> = self
            .ask(instance, |session| {
                session.query("list the binary logs", "SHOW BINARY LOGS")
            })
            .await?;
        blocking(move || {
            let windows = runtime.archive(&id)?.windows().map_err(Refusal::History)?;
            Ok(log_files(here, &windows))
        })
        .await
    }

    /// Asks an instance's server something.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        instance: Instance,
        question: impl FnOnce(&mut Session) -> backout_mariadb::Result<T> + Send + 'static,
    ) -> Result<T, Refusal> {
        self.here(&instance)?;
        let runtime = self.runtime.clone();
        blocking(move || {
            let endpoint = runtime.endpoint(&instance)?;
            let mut session = Session::open(&endpoint).map_err(Refusal::Database)?;
            question(&mut session).map_err(Refusal::Database)
        })
        .await
    }
}

/// The logs that the server has, and those that only the archive has.
fn log_files(here: Vec<(String, u64)>, windows: &[Window]) -> Vec<LogFile> {
    let archived = |name: &str| {
        let at = |offset| Position {
            file: name.to_owned(),
            offset,
        };
        windows
            .iter()
            .find(|w| w.from.position <= at(u64::MAX) && at(0) < w.to.position)
    };
    here.into_iter()
        .map(|(name, bytes)| {
            let window = archived(&name);
            LogFile {
                first_us: window.map(|w| w.from.time.0),
                last_us: window.map(|w| w.to.time.0),
                archived: window.is_some(),
                on_server: true,
                name,
                bytes,
            }
        })
        .collect()
}
