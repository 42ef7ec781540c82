//! What goes, and what is taken, by itself.

use backout_core::time::Timestamp;

/// How long the safety point of a rollback is kept, in milliseconds: a week,
/// so that what was broken on a Friday can be undone after the holidays.
pub const SAFETY_KEEP_MS: i64 = 7 * 24 * 3_600_000;

/// When the safety point of a rollback that was asked for at `asked` goes.
#[must_use]
pub const fn safety_expiry(asked: Timestamp) -> Timestamp {
    asked.plus_ms(SAFETY_KEEP_MS)
}
