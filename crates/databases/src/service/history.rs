//! What happened when, and what there is.

use std::collections::{BTreeMap, HashMap};

use backout_core::ids::AccountId;
use backout_history::archive::{ArchivedFile, Txn, Window};
use backout_history::{Micros, Position, TableName};
use backout_mariadb::doctor::{self, Finding};
use backout_mariadb::{Endpoint, Session, catalog};
use serde::{Deserialize, Serialize};

use super::{Databases, blocking};
use crate::model::{Instance, InstanceState};
use crate::persistence::Page;
use crate::refusal::Refusal;

/// How many transactions one look at history shows.
pub const TRANSACTIONS_MAX: usize = 1_000;

/// A binary log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogFile {
    /// Its name.
    pub name: String,
    /// Which life of the server's logs it is of: after a reset names come again.
    pub incarnation: u32,
    /// Its bytes, as the server tells; of one that the server does not have:
    /// those up to which the archive has it.
    pub bytes: u64,
    /// How many of them the archive has.
    pub archived_bytes: u64,
    /// How many transactions, and statements that commit by themselves, begin in
    /// what the archive has of it.
    pub transactions: u64,
    /// When its first transaction committed, microseconds since 1970; of one
    /// without any: when it was begun. `None` for what the archive does not have.
    pub first_us: Option<i64>,
    /// When its last did.
    pub last_us: Option<i64>,
    /// Whether the server still has it; `None` when the server did not say.
    pub on_server: Option<bool>,
    /// Whether the archive has all of it, as far as the server has written it.
    pub archived: bool,
}

/// One page of binary logs, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogFiles {
    /// How many match.
    pub total: u64,
    /// Those on the page.
    pub files: Vec<LogFile>,
    /// Why the server did not say which it has, a fragment that fits "failed to
    /// ..."; then only what the archive has is told.
    pub unreached: Option<String>,
}

/// Which binary logs. Those without a time (the archive does not have them)
/// match only when nothing is asked of times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogFilter {
    /// Begun in this second or later, in seconds since 1970.
    pub from_s: Option<i64>,
    /// Begun in this second or earlier.
    pub to_s: Option<i64>,
    /// Whether one that was begun before `from_s` and ends behind it matches.
    pub spanning: bool,
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

    /// The binary logs that the server or the archive has, newest first. A server
    /// that does not answer is left out.
    ///
    /// # Errors
    /// [`Refusal::InstanceNotFound`], [`Refusal::Elsewhere`],
    /// [`Refusal::History`], [`Refusal::Store`].
    pub async fn binlogs(
        &self,
        owner: &AccountId,
        id_or_name: &str,
        filter: LogFilter,
        page: Page,
    ) -> Result<LogFiles, Refusal> {
        let instance = self.get(owner, id_or_name).await?;
        self.here(&instance)?;
        let (runtime, id) = (self.runtime.clone(), instance.id.clone());
        let asked = match instance.state {
            InstanceState::Running => {
                self.ask(instance, |session| {
                    session.query("list the binary logs", "SHOW BINARY LOGS")
                })
                .await
            }
            state => Err(Refusal::State {
                action: "ask",
                instance: id.clone(),
                state,
                hint: "its server is not looked at",
            }),
        };
        let (here, unreached) = match asked {
            Ok(here) => (Some(here), None),
            Err(e @ (Refusal::Database(_) | Refusal::State { .. })) => (None, Some(e.to_string())),
            Err(e) => return Err(e),
        };
        blocking(move || {
            let archived = runtime.archive(&id)?.files().map_err(Refusal::History)?;
            let mut files = log_files(here, archived);
            files.retain(|file| filter.has(file));
            let total = files.len() as u64;
            let at = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
            let files = files
                .into_iter()
                .rev()
                .skip(at(page.offset))
                .take(at(page.limit))
                .collect();
            Ok(LogFiles {
                total,
                files,
                unreached,
            })
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

impl LogFilter {
    fn has(self, file: &LogFile) -> bool {
        let seconds = |us: Option<i64>| us.map(|us| us.div_euclid(1_000_000));
        let (first, last) = (seconds(file.first_us), seconds(file.last_us));
        let after = self
            .from_s
            .is_none_or(|from| first >= Some(from) || (self.spanning && last >= Some(from)));
        after
            && self
                .to_s
                .is_none_or(|to| first.is_some_and(|first| first <= to))
    }
}

/// The logs that the server has (`here`), and those that the archive has, oldest
/// first.
fn log_files(here: Option<Vec<(String, u64)>>, archived: Vec<ArchivedFile>) -> Vec<LogFile> {
    let number = |name: &str| {
        let at = Position {
            file: name.to_owned(),
            offset: 0,
        };
        at.number()
    };
    let newest = archived.last().map_or(0, |file| file.incarnation);
    let unknown = here.is_none();
    let here: HashMap<String, u64> = here.unwrap_or_default().into_iter().collect();
    // The server's logs were reset since the archive was last written: its names
    // are those of another life, which the archive does not know yet.
    let ahead = here.keys().map(|name| number(name)).max();
    let was_reset = !here.is_empty()
        && archived.iter().any(|file| {
            file.incarnation == newest
                && (here.get(&file.name).is_some_and(|bytes| *bytes < file.end)
                    || ahead < Some(number(&file.name)))
        });
    let current = newest + u32::from(was_reset);
    let mut files = BTreeMap::new();
    for (name, bytes) in &here {
        let file = LogFile {
            name: name.clone(),
            incarnation: current,
            bytes: *bytes,
            archived_bytes: 0,
            transactions: 0,
            first_us: None,
            last_us: None,
            on_server: Some(true),
            archived: false,
        };
        files.insert((current, number(name), name.clone()), file);
    }
    for file in archived {
        let bytes = here
            .get(&file.name)
            .filter(|_| file.incarnation == current)
            .copied();
        let known = LogFile {
            incarnation: file.incarnation,
            bytes: bytes.unwrap_or(file.end),
            archived_bytes: file.bytes,
            transactions: file.transactions,
            first_us: file
                .time
                .map(|(first, _)| first)
                .or(file.created)
                .map(|t| t.0),
            last_us: file
                .time
                .map(|(_, last)| last)
                .or(file.created)
                .map(|t| t.0),
            on_server: (!unknown).then_some(bytes.is_some()),
            archived: file.is_whole() && bytes.is_none_or(|bytes| file.end >= bytes),
            name: file.name,
        };
        let key = (known.incarnation, number(&known.name), known.name.clone());
        files.insert(key, known);
    }
    files.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archived(incarnation: u32, number: u32, begin: u64, end: u64) -> ArchivedFile {
        let second = |s: u32| Micros(i64::from(s) * 1_000_000);
        ArchivedFile {
            incarnation,
            name: format!("bin.{number:06}"),
            created: Some(second(number * 100)),
            begin,
            end,
            bytes: end - begin,
            transactions: u64::from(number),
            time: (number > 1).then(|| (second(number * 100 + 1), second(number * 100 + 99))),
        }
    }

    /// Each file as its incarnation, name, bytes on the server or archived,
    /// whether the server has it, and whether the archive has it whole.
    fn told(files: &[LogFile]) -> Vec<String> {
        files
            .iter()
            .map(|f| {
                let on_server = match f.on_server {
                    Some(true) => "on the server",
                    Some(false) => "purged there",
                    None => "unknown",
                };
                let whole = if f.archived { "archived" } else { "not whole" };
                format!(
                    "{} {} {} {on_server} {whole}",
                    f.incarnation, f.name, f.bytes
                )
            })
            .collect()
    }

    #[test]
    fn what_the_server_and_the_archive_have_is_one_list() {
        let archive = vec![
            // A life before the logs were reset, with names that come again.
            archived(0, 1, 0, 500),
            archived(0, 2, 0, 700),
            archived(1, 2, 300, 900),
            archived(1, 3, 0, 1000),
            archived(1, 4, 0, 250),
        ];
        let here = |files: &[(u32, u64)]| {
            let name = |(n, bytes): &(u32, u64)| (format!("bin.{n:06}"), *bytes);
            Some(files.iter().map(name).collect::<Vec<_>>())
        };
        let all = log_files(
            here(&[(1, 800), (3, 1000), (4, 400), (5, 200)]),
            archive.clone(),
        );
        assert_eq!(
            told(&all),
            [
                "0 bin.000001 500 purged there archived",
                "0 bin.000002 700 purged there archived",
                "1 bin.000001 800 on the server not whole",
                "1 bin.000002 900 purged there not whole",
                "1 bin.000003 1000 on the server archived",
                "1 bin.000004 400 on the server not whole",
                "1 bin.000005 200 on the server not whole",
            ]
        );
        assert_eq!(
            all.iter().map(|f| f.transactions).collect::<Vec<_>>(),
            [1, 2, 0, 2, 3, 4, 0]
        );
        // Each has times of its own.
        assert_eq!(
            all[0].first_us,
            Some(100_000_000),
            "begun, and nothing in it"
        );
        assert_eq!(all[4].first_us, Some(301_000_000));
        assert_eq!(all[4].last_us, Some(399_000_000));
        assert_eq!(all[6].first_us, None);
        // The server does not answer.
        let alone = log_files(None, archive.clone());
        assert_eq!(alone.len(), 5);
        assert_eq!(told(&alone)[4], "1 bin.000004 250 unknown archived");
        // It was reset, and the archive does not know that yet.
        let reset = log_files(here(&[(1, 400)]), archive.clone());
        assert_eq!(told(&reset)[5], "2 bin.000001 400 on the server not whole");
        assert_eq!(told(&reset)[4], "1 bin.000004 250 purged there archived");
        let shorter = log_files(here(&[(4, 100)]), archive);
        assert_eq!(
            told(&shorter)[5],
            "2 bin.000004 100 on the server not whole"
        );
        assert_eq!(log_files(None, Vec::new()), []);
    }

    #[test]
    fn files_are_found_by_when_they_were_begun() {
        let all = log_files(None, (1..=4).map(|n| archived(0, n, 0, 10)).collect());
        let found = |filter: LogFilter| -> Vec<i64> {
            let found = all.iter().filter(|f| filter.has(f));
            found
                .filter_map(|f| f.first_us.map(|us| us / 1_000_000))
                .collect()
        };
        let from = |s: i64| LogFilter {
            from_s: Some(s),
            ..LogFilter::default()
        };
        assert_eq!(found(LogFilter::default()), [100, 201, 301, 401]);
        assert_eq!(found(from(202)), [301, 401]);
        let spanning = LogFilter {
            spanning: true,
            ..from(202)
        };
        assert_eq!(found(spanning), [201, 301, 401]);
        let to = LogFilter {
            to_s: Some(301),
            ..LogFilter::default()
        };
        assert_eq!(found(to), [100, 201, 301]);
    }
}
