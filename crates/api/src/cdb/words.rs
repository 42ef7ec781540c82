//! The vendor's words for what there is: states, kinds, times and people
//! (SEMANTICS sections 3 and 5).

use backout_core::ids::AccountId;
use backout_core::time::Timestamp;
use backout_databases::Holding;
use backout_databases::model::{Instance, InstanceState, RollbackDetail, Standing, Task, TaskKind};
use backout_databases::persistence::Told;
use backout_databases::zone::Zone;
use sha2::{Digest as _, Sha256};

/// What stands where a time is not known yet.
pub const NO_TIME: &str = "0000-00-00 00:00:00";

/// The kinds of task that the vendor's lists of rollbacks show: the ways back,
/// and the way back from one, which changes tables as well, holds the instance
/// as well, and can be stopped as well.
pub const ROLLBACKS: [TaskKind; 3] = [TaskKind::Rollback, TaskKind::Rewind, TaskKind::Undo];

/// The zone of an instance.
pub fn zone(instance: &Instance) -> Zone {
    // What was never looked at has said nothing of its zone.
    instance.facts.zone.parse().unwrap_or(Zone::UTC)
}

/// The zone of an instance that may be gone.
pub fn zone_told(told: &Told) -> Zone {
    told.zone.parse().unwrap_or(Zone::UTC)
}

/// A time, or what stands where there is none.
pub fn time(zone: &Zone, at: Option<Timestamp>) -> String {
    at.map_or_else(|| NO_TIME.to_owned(), |at| zone.local(at))
}

/// The number of an account: the vendor shows twelve digits that begin with
/// `1000`. Derived from the id, so that an account always has the same.
pub fn uin(account: &AccountId) -> String {
    /// Eight digits follow.
    const DIGITS: u64 = 100_000_000;
    let digest = Sha256::digest(account.as_str().as_bytes());
    let number = digest
        .iter()
        .take(8)
        .fold(0_u64, |n, byte| (n << 8) | u64::from(*byte));
    format!("1000{:08}", number % DIGITS)
}

// ---- how a task stands ----

/// A state in the words of one kind of call.
struct Words {
    /// `DescribeAsyncRequestInfo` and `DescribeRollbackTaskDetail`.
    asynchronous: &'static str,
    /// Rows of `DescribeTasks`.
    row: &'static str,
    /// The filter of `DescribeTasks`.
    filter: i64,
    /// The legacy API.
    legacy: i64,
}

const fn words(standing: Standing) -> Words {
    let (asynchronous, row, filter, legacy) = match standing {
        Standing::Waiting => ("INITIAL", "INITIAL", 0, 0),
        Standing::Running => ("RUNNING", "RUNNING", 1, 0),
        Standing::Applied => ("SUCCESS", "SUCCEED", 2, 2),
        // A held one has failed as far as the vendor's words go; its message
        // names the next command.
        Standing::Failed | Standing::Held => ("FAILED", "FAILED", 3, 3),
        Standing::Stopped => ("KILLED", "KILLED", 4, 4),
        Standing::Stopping => ("PAUSED", "PAUSED", 6, 6),
    };
    Words {
        asynchronous,
        row,
        filter,
        legacy,
    }
}

/// In `DescribeAsyncRequestInfo` and `DescribeRollbackTaskDetail`.
pub const fn async_state(standing: Standing) -> &'static str {
    words(standing).asynchronous
}

/// In a row of `DescribeTasks`.
pub const fn task_state(standing: Standing) -> &'static str {
    words(standing).row
}

/// In the legacy API.
pub const fn legacy_state(standing: Standing) -> i64 {
    words(standing).legacy
}

/// The states that a number of the filter of `DescribeTasks` means: none for
/// those that no task here is ever in; `None` for a number that is no state.
pub fn filtered_states(number: i64) -> Option<Vec<Standing>> {
    matching(number, &[-1, 5], |standing| words(standing).filter)
}

/// As [`filtered_states`], of the legacy API.
pub fn legacy_filtered_states(number: i64) -> Option<Vec<Standing>> {
    matching(number, &[5], legacy_state)
}

fn matching(number: i64, never: &[i64], of: impl Fn(Standing) -> i64) -> Option<Vec<Standing>> {
    let found: Vec<Standing> = Standing::ALL
        .iter()
        .copied()
        .filter(|standing| of(*standing) == number)
        .collect();
    (!found.is_empty() || never.contains(&number)).then_some(found)
}

/// How the tasks of one call stand together: what still moves comes first, then
/// what somebody must look at.
pub fn together(tasks: &[Task]) -> Standing {
    let any = |standing| tasks.iter().any(|t| t.standing == standing);
    for standing in [Standing::Stopping, Standing::Running] {
        if any(standing) {
            return standing;
        }
    }
    if any(Standing::Waiting) {
        // Some have ended, and others are next.
        return match tasks.iter().all(|t| t.standing == Standing::Waiting) {
            true => Standing::Waiting,
            false => Standing::Running,
        };
    }
    for standing in [Standing::Held, Standing::Failed, Standing::Stopped] {
        if any(standing) {
            return standing;
        }
    }
    Standing::Applied
}

/// The progress of the tasks of one call: their mean.
pub fn percent_together(tasks: &[Task]) -> i64 {
    let sum: i64 = tasks.iter().map(|t| i64::from(t.percent)).sum();
    let count = i64::try_from(tasks.len()).unwrap_or(i64::MAX).max(1);
    sum / count
}

/// What a task is doing, or how it ended.
pub fn told(task: &Task) -> String {
    let error = error_of(task);
    match (task.standing, error.is_empty()) {
        (Standing::Applied, _) if task.kind == TaskKind::Undo => "Rollback is undone".to_owned(),
        (Standing::Applied, _) if ROLLBACKS.contains(&task.kind) => {
            "Rollback is successful".to_owned()
        }
        (_, false) => error,
        (_, true) => task.words.clone(),
    }
}

/// Why a task failed; of a held one also the command that comes next.
pub fn error_of(task: &Task) -> String {
    let Some((code, message)) = &task.error else {
        return String::new();
    };
    match task.standing {
        Standing::Held => format!("failed to {message} ({code}); {}", task.words),
        _ => format!("failed to {message} ({code})"),
    }
}

// ---- what kind of task ----

/// A kind of task, by its number in filters and its word in rows.
pub struct Type {
    /// The number.
    pub number: i64,
    /// The word.
    pub word: &'static str,
}

/// One whole database, and nothing else.
pub const ROLLBACK: Type = Type {
    number: 1,
    word: "ROLLBACK",
};
/// Several databases, or tables.
pub const BATCH_ROLLBACK: Type = Type {
    number: 10,
    word: "BATCH ROLLBACK",
};
const INITIAL: Type = Type {
    number: 6,
    word: "INITIAL",
};
const REBOOT: Type = Type {
    number: 7,
    word: "REBOOT",
};

/// The numbers of all kinds that the vendor has (SEMANTICS section 3).
pub const TYPE_NUMBERS: [i64; 12] = [1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13];

/// The kinds of task that the vendor's lists of tasks show: it has no type for
/// the others, backups among them.
pub const LISTED: [TaskKind; 6] = [
    TaskKind::Adopt,
    TaskKind::Create,
    TaskKind::Restart,
    TaskKind::Rollback,
    TaskKind::Rewind,
    TaskKind::Undo,
];

/// The type of a task; `None` for one that is not [`LISTED`].
pub fn type_of(task: &Task) -> Option<Type> {
    Some(match task.kind {
        TaskKind::Adopt | TaskKind::Create => INITIAL,
        TaskKind::Restart => REBOOT,
        TaskKind::Rollback | TaskKind::Rewind | TaskKind::Undo => {
            rollback_type(task.detail.rollback.as_ref())
        }
        _ => return None,
    })
}

/// One database is a rollback; more, or tables, are a batch.
pub fn rollback_type(detail: Option<&RollbackDetail>) -> Type {
    match detail {
        Some(d) if d.is_of_one_database() => ROLLBACK,
        _ => BATCH_ROLLBACK,
    }
}

/// The kinds of task of these types; and of the ways back among them only those
/// of one whole database, or only the others, when just one of the two types is
/// there.
pub fn kinds_of(types: &[i64]) -> (Vec<TaskKind>, Option<bool>) {
    let has = |kind: &Type| types.contains(&kind.number);
    let kinds = LISTED
        .into_iter()
        .filter(|kind| match kind {
            TaskKind::Adopt | TaskKind::Create => has(&INITIAL),
            TaskKind::Restart => has(&REBOOT),
            _ => has(&ROLLBACK) || has(&BATCH_ROLLBACK),
        })
        .collect();
    let whole = (has(&ROLLBACK) != has(&BATCH_ROLLBACK)).then(|| has(&ROLLBACK));
    (kinds, whole)
}

// ---- instances ----

/// An instance's state; what is removed is no longer there (SEMANTICS section
/// 3: 6, going offline).
pub const fn instance_state(state: InstanceState) -> i64 {
    match state {
        InstanceState::Creating => 0,
        InstanceState::Running => 1,
        InstanceState::Isolating => 4,
        InstanceState::Isolated => 5,
        InstanceState::Removing => 6,
    }
}

/// The state that a number of a filter means; `None` for a number that is none.
pub fn filtered_instance_state(number: i64) -> Option<InstanceState> {
    InstanceState::ALL
        .iter()
        .copied()
        .find(|state| instance_state(*state) == number)
}

/// What works on an instance.
pub fn instance_task(holding: Option<&Holding>) -> i64 {
    const ROLLING_BACK: i64 = 6;
    const RESTARTING: i64 = 10;
    match holding.and_then(|h| h.kind) {
        Some(TaskKind::Rollback | TaskKind::Rewind | TaskKind::Undo | TaskKind::Stop) => {
            ROLLING_BACK
        }
        Some(TaskKind::Restart) => RESTARTING,
        _ => 0,
    }
}

/// The version of a server, without what packagers add: `10.11` of
/// `10.11.6-MariaDB-log`.
pub fn engine_version(version: &str) -> String {
    version
        .split(|c: char| !c.is_ascii_digit() && c != '.')
        .next()
        .unwrap_or_default()
        .splitn(3, '.')
        .take(2)
        .collect::<Vec<_>>()
        .join(".")
}

// ---- names ----

/// What is taken back, by its names now and then: databases, then tables.
pub fn names(detail: &RollbackDetail) -> (Vec<String>, Vec<String>) {
    let databases = detail
        .databases
        .iter()
        .map(|r| (r.from.clone(), r.to.clone()));
    let tables = detail
        .tables
        .iter()
        .map(|r| (r.from.to_string(), r.to.to_string()));
    databases.chain(tables).unzip()
}

/// The instant that was asked for, in the zone of its instance; what was given
/// in its place when it was not an instant.
pub fn rollback_time(zone: &Zone, detail: &RollbackDetail) -> String {
    detail.until_us.map_or_else(
        || detail.asked.clone(),
        |us| zone.local(Timestamp(us.div_euclid(1000))),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_accounts_are_digits_and_stay() {
        let id: AccountId = "acct_0123456789ab".parse().unwrap();
        let number = uin(&id);
        assert_eq!(number, uin(&id));
        assert_eq!(number.len(), 12);
        assert!(number.bytes().all(|b| b.is_ascii_digit()) && number.starts_with("1000"));
        let other: AccountId = "acct_0123456789ac".parse().unwrap();
        assert_ne!(number, uin(&other));
    }

    #[test]
    fn states_have_the_words_of_each_call() {
        for (standing, asynchronous, row, legacy) in [
            (Standing::Waiting, "INITIAL", "INITIAL", 0),
            (Standing::Running, "RUNNING", "RUNNING", 0),
            (Standing::Stopping, "PAUSED", "PAUSED", 6),
            (Standing::Applied, "SUCCESS", "SUCCEED", 2),
            (Standing::Failed, "FAILED", "FAILED", 3),
            (Standing::Held, "FAILED", "FAILED", 3),
            (Standing::Stopped, "KILLED", "KILLED", 4),
        ] {
            assert_eq!(async_state(standing), asynchronous);
            assert_eq!(task_state(standing), row);
            assert_eq!(legacy_state(standing), legacy);
        }
        assert_eq!(filtered_states(2), Some(vec![Standing::Applied]));
        assert_eq!(
            filtered_states(3),
            Some(vec![Standing::Failed, Standing::Held])
        );
        assert_eq!(filtered_states(-1), Some(vec![]));
        assert_eq!(filtered_states(7), None);
        assert_eq!(
            legacy_filtered_states(0),
            Some(vec![Standing::Waiting, Standing::Running])
        );
        assert_eq!(legacy_filtered_states(1), None, "there is no 1 in it");
    }

    #[test]
    fn versions() {
        for (full, short) in [
            ("10.11.6-MariaDB-log", "10.11"),
            ("8.0.36", "8.0"),
            ("11.4", "11.4"),
            ("", ""),
        ] {
            assert_eq!(engine_version(full), short);
        }
    }

    #[test]
    fn types_by_number() {
        let back = vec![TaskKind::Rollback, TaskKind::Rewind, TaskKind::Undo];
        for (types, kinds, whole) in [
            (&[7][..], vec![TaskKind::Restart], None),
            (&[1], back.clone(), Some(true)),
            (&[10], back.clone(), Some(false)),
            (&[10, 1], back, None),
            (&[2, 3], vec![], None),
        ] {
            assert_eq!(kinds_of(types), (kinds, whole), "{types:?}");
        }
    }
}
