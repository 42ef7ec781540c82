//! The vendor's words and numbers for how things stand (SEMANTICS sections 1
//! and 5).

use backout_apps::model::{ApplicationState, Order, OrderKind, Standing};
use backout_apps::orders::StageStatus;
use backout_core::time::Timestamp;
use backout_rollout::{BatchStatus, Gate};

/// The vendor's times without a zone are those of its own country.
const ZONE_MS: i64 = 8 * 3600 * 1000;

/// A time without a zone, `YYYY-MM-DD hh:mm:ss`.
pub fn local_time(at: Timestamp) -> String {
    at.plus_ms(ZONE_MS)
        .iso8601()
        .replace('T', " ")
        .trim_end_matches('Z')
        .to_owned()
}

/// A time as milliseconds since 1970, as text.
pub fn epoch_text(at: Timestamp) -> String {
    at.0.to_string()
}

/// What stands for a state in lists and in what is shown of an application.
struct Words {
    standing: Standing,
    number: i64,
    word: &'static str,
}

const STANDINGS: [Words; 11] = {
    const fn row(standing: Standing, number: i64, word: &'static str) -> Words {
        Words {
            standing,
            number,
            word,
        }
    }
    [
        row(Standing::Preparing, 0, "READY"),
        row(Standing::Running, 1, "RUNNING"),
        // The order stands still in it, and its second number tells that.
        row(Standing::Stuck, 1, "RUNNING"),
        row(Standing::Succeeded, 2, "SUCCESS"),
        row(Standing::Failed, 3, "FAIL"),
        row(Standing::Aborted, 6, "ABORT"),
        row(Standing::WaitsForConfirm, 8, "WAIT_BATCH_CONFIRM"),
        row(Standing::WaitsForAuto, 9, "AUTO_BATCH_WAIT"),
        row(Standing::Broken, 10, "SYSTEM_FAIL"),
        row(Standing::WaitsForApproval, 11, "WAIT_APPROVAL"),
        row(Standing::Approved, 12, "APPROVED"),
    ]
};

fn words(standing: Standing) -> &'static Words {
    STANDINGS
        .iter()
        .find(|row| row.standing == standing)
        .unwrap_or(&STANDINGS[0])
}

/// The number of a state of an order.
pub fn number(standing: Standing) -> i64 {
    words(standing).number
}

/// The word of a state of an order.
pub fn word(standing: Standing) -> &'static str {
    words(standing).word
}

/// The states that a number stands for; none where it is no state's.
pub fn standings(number: i64) -> Vec<Standing> {
    let of = STANDINGS.iter().filter(|row| row.number == number);
    of.map(|row| row.standing).collect()
}

/// The second number of a state: 1 where a batch failed and the order waits for
/// a person.
pub const fn sub_number(standing: Standing) -> i64 {
    match standing {
        Standing::Stuck => 1,
        _ => 0,
    }
}

/// The word of that.
pub const fn sub_word(standing: Option<Standing>) -> &'static str {
    match standing {
        Some(Standing::Stuck) => "RUNNING_BUT_HAS_ERROR",
        _ => "NORMAL",
    }
}

/// The number of a state of a batch within the order.
pub const fn batch_number(status: BatchStatus) -> i64 {
    match status {
        BatchStatus::Preparing => 0,
        BatchStatus::Running => 1,
        BatchStatus::Succeeded => 2,
        BatchStatus::Failed => 3,
        BatchStatus::Aborted => 6,
        BatchStatus::WaitsForConfirm => 8,
        BatchStatus::WaitsForAuto => 9,
    }
}

/// The same where a batch is shown by itself, which has no numbers for waiting.
pub const fn pipeline_number(status: BatchStatus) -> i64 {
    match status {
        BatchStatus::WaitsForConfirm | BatchStatus::WaitsForAuto => 0,
        other => batch_number(other),
    }
}

/// The number of a state of a stage or a task.
pub const fn stage_number(status: StageStatus) -> i64 {
    match status {
        StageStatus::Preparing => 0,
        StageStatus::Running => 1,
        StageStatus::Succeeded => 2,
        StageStatus::Failed => 3,
        StageStatus::Aborted => 6,
    }
}

/// How batches follow each other, as a word.
pub const fn batch_type(gate: Gate) -> &'static str {
    match gate {
        Gate::Auto { .. } => "auto",
        Gate::Manual => "manual",
    }
}

/// The same as a number.
pub const fn batch_type_number(gate: Gate) -> i64 {
    match gate {
        Gate::Auto { .. } => 0,
        Gate::Manual => 1,
    }
}

/// A kind of order as the vendor tells it.
pub struct Kind {
    /// The vendor's code.
    pub code: &'static str,
    /// What people read.
    pub text: &'static str,
    /// What it is here.
    pub kind: OrderKind,
    /// Whether there are more replicas afterwards; absent where that is no
    /// matter.
    pub grows: Option<bool>,
}

const KINDS: [Kind; 12] = {
    const fn row(
        code: &'static str,
        text: &'static str,
        kind: OrderKind,
        grows: Option<bool>,
    ) -> Kind {
        Kind {
            code,
            text,
            kind,
            grows,
        }
    }
    [
        row("CoCreateApp", "Create application", OrderKind::Create, None),
        row("CoDeploy", "Deploy application", OrderKind::Deploy, None),
        row(
            "CoRollback",
            "Roll back application",
            OrderKind::Rollback,
            None,
        ),
        row("CoStart", "Start application", OrderKind::Start, None),
        row("CoStop", "Stop application", OrderKind::Stop, None),
        row(
            "CoRestartApplication",
            "Restart application",
            OrderKind::Restart,
            None,
        ),
        row(
            "CoRestartInstances",
            "Restart instances",
            OrderKind::RestartReplicas,
            None,
        ),
        row(
            "CoScaleOut",
            "Scale out application",
            OrderKind::Rescale,
            Some(true),
        ),
        row(
            "CoScaleIn",
            "Scale in application",
            OrderKind::Rescale,
            Some(false),
        ),
        row(
            "CoScaleInAppWithInstances",
            "Scale in by instances",
            OrderKind::RemoveReplicas,
            None,
        ),
        row(
            "CoRescaleApplicationVertically",
            "Change instance specifications",
            OrderKind::Resize,
            None,
        ),
        row("CoDeleteApp", "Delete application", OrderKind::Delete, None),
    ]
};

/// The codes of what is never done here, by which lists may be asked all the
/// same: they find nothing.
const NEVER: [&str; 8] = [
    "CoBindSlb",
    "CoUnbindSlb",
    "CoDeployHistroy",
    "CoBindNas",
    "CoUnbindNas",
    "CoBatchStartApplication",
    "CoBatchStopApplication",
    "CoDeleteInstances",
];

/// The vendor's kind of an order.
pub fn kind(order: &Order) -> &'static Kind {
    let grows = order.replicas_after >= order.replicas_before;
    KINDS
        .iter()
        .find(|row| row.kind == order.kind && row.grows.is_none_or(|g| g == grows))
        .unwrap_or(&KINDS[0])
}

/// What a code of a kind stands for: `None` where it is no code, an empty list
/// where no order is of that kind.
pub fn kinds(code: &str) -> Option<Vec<&'static Kind>> {
    let found: Vec<&Kind> = KINDS.iter().filter(|row| row.code == code).collect();
    match found.is_empty() && !NEVER.contains(&code) {
        true => None,
        false => Some(found),
    }
}

/// What an application does.
pub const fn state(state: ApplicationState, running: u32) -> &'static str {
    match (state, running) {
        (ApplicationState::Stopped, _) => "STOPPED",
        (ApplicationState::Running | ApplicationState::Deleting, 0) => "UNKNOWN",
        (ApplicationState::Running | ApplicationState::Deleting, _) => "RUNNING",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_its_number() {
        for standing in Standing::ALL {
            assert_eq!(words(*standing).standing, *standing);
            assert!(standings(number(*standing)).contains(standing));
        }
        let mut numbers: Vec<i64> = Standing::ALL.iter().map(|s| number(*s)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers, [0, 1, 2, 3, 6, 8, 9, 10, 11, 12]);
        assert!(standings(4).is_empty());
        assert_eq!(standings(1), [Standing::Running, Standing::Stuck]);
    }

    #[test]
    fn every_kind_has_its_code() {
        for kind in OrderKind::ALL {
            assert!(KINDS.iter().any(|row| row.kind == *kind), "{kind:?}");
        }
        for (code, expect) in [
            ("CoScaleIn", Some(1)),
            ("CoBindSlb", Some(0)),
            ("coDeploy", None),
        ] {
            assert_eq!(kinds(code).map(|k| k.len()), expect, "{code}");
        }
    }

    #[test]
    fn times() {
        let at = Timestamp(1_562_847_178_007);
        assert_eq!(local_time(at), "2019-07-11 20:12:58");
        assert_eq!(epoch_text(at), "1562847178007");
    }
}
