//! What goes, and what is taken, by itself: the rules.

use backout_core::time::Timestamp;

use crate::refusal::Refusal;

/// Milliseconds in a day.
pub const DAY_MS: i64 = 24 * 3_600_000;

/// How long the safety point of a rollback is kept, in milliseconds: a week,
/// so that what was broken on a Friday can be undone after the holidays.
pub const SAFETY_KEEP_MS: i64 = 7 * DAY_MS;

/// The shortest interval of a schedule, in milliseconds: five minutes. What is
/// wanted more often is not a snapshot but replication.
pub const SCHEDULE_MIN_MS: i64 = 5 * 60_000;

/// The longest interval of a schedule, in milliseconds: a year and a day, so
/// that a yearly one fits into any year.
pub const SCHEDULE_MAX_MS: i64 = 367 * DAY_MS;

/// The most snapshots that a schedule keeps: under the qcow2 driver each is a
/// layer, and a chain of 128 is the longest there may be.
pub const SCHEDULE_KEEP_MAX: u32 = 64;

/// How many files the chain under a disk may have before it is shortened in the
/// background: a quarter of the longest, so that there is room for the snapshots
/// that come while it cannot be. Each shortening copies what the disk holds, so
/// it is not done for a few.
pub const COMPACT_LAYERS: u32 = 32;

/// How long the keeper leaves a disk alone whose chain it began to shorten, in
/// milliseconds: an hour, since each try may copy a whole disk.
pub const COMPACT_RETRY_MS: i64 = 3_600_000;

/// How long the keeper leaves a disk alone after it began to delete some of its
/// restore points, in milliseconds: long enough for that job to end, and what
/// cannot be deleted is not tried at every turn.
pub const AGAIN_MS: i64 = 60_000;

/// Refuses a schedule out of range.
pub(crate) fn check_schedule(every_ms: i64, keep: u32) -> Result<(), Refusal> {
    if !(SCHEDULE_MIN_MS..=SCHEDULE_MAX_MS).contains(&every_ms) {
        return Err(Refusal::Invalid(format!(
            "take snapshots every {} s: give {} s to {} days",
            every_ms / 1000,
            SCHEDULE_MIN_MS / 1000,
            SCHEDULE_MAX_MS / DAY_MS
        )));
    }
    if !(1..=SCHEDULE_KEEP_MAX).contains(&keep) {
        return Err(Refusal::Invalid(format!(
            "keep {keep} scheduled snapshots: give 1 to {SCHEDULE_KEEP_MAX}"
        )));
    }
    Ok(())
}

/// The first instant after `now` that lies whole intervals after `due`: so a
/// schedule neither drifts with the time that its work takes, nor catches up in
/// a burst on what it missed.
pub(crate) fn next_due(due: Timestamp, every_ms: i64, now: Timestamp) -> Timestamp {
    let every_ms = every_ms.max(1);
    let late_ms = now.since_ms(due).max(0);
    due.plus_ms((late_ms / every_ms + 1).saturating_mul(every_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_keeps_its_beat() {
        let at = Timestamp;
        for (due, now, next) in [
            (1_000, 1_000, 1_100),
            (1_000, 1_099, 1_100),
            (1_000, 1_100, 1_200),
            (1_000, 5_432, 5_500),
            // A clock that was set back.
            (1_000, 10, 1_100),
        ] {
            assert_eq!(next_due(at(due), 100, at(now)), at(next), "{due} {now}");
        }
    }

    #[test]
    fn a_schedule_has_bounds() {
        assert!(check_schedule(SCHEDULE_MIN_MS, 1).is_ok());
        assert!(check_schedule(SCHEDULE_MAX_MS, SCHEDULE_KEEP_MAX).is_ok());
        for (every_ms, keep) in [
            (SCHEDULE_MIN_MS - 1, 1),
            (SCHEDULE_MAX_MS + 1, 1),
            (SCHEDULE_MIN_MS, 0),
            (SCHEDULE_MIN_MS, SCHEDULE_KEEP_MAX + 1),
        ] {
            assert!(check_schedule(every_ms, keep).is_err());
        }
    }
}
