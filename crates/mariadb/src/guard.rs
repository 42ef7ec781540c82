//! One worker at a time for an instance, as the server itself sees it: locks of
//! the server's by name, held by the connection that makes the effect, gone with
//! it.
//!
//! A worker that died may leave a statement behind that still waits in the
//! server, and would have its effect after its successor has looked. Whoever
//! makes an effect that others see holds these locks on the same connection, so
//! that the successor first cuts that connection off.
//!
//! Nothing is kept on the server. The holder's fence is told by locks as well:
//! one for each bit that is set, so that a worker that was fenced off and still
//! has its connection loses it to its successor, and never the other way round.

use std::time::{Duration, Instant};

use crate::error::{Error, Result, number};
use crate::session::{Session, text};

/// Bits of a fence.
const BITS: u32 = 64;

/// The longest id: the server's names of locks have 64 characters.
const ID_CHARS_MAX: usize = 40;

/// How long a connection that was ended may take to let go, and a new holder to
/// tell its fence.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often that is looked at.
const TICK: Duration = Duration::from_millis(20);

/// Takes the lock for `id` with a fence, until the session is dropped or lost. A
/// holder with a lesser fence is cut off, and so is one with the same: that is a
/// connection that this worker has lost.
///
/// # Errors
/// [`Error::State`] when another holds it with a greater fence, or the id is too
/// long; [`Error::Refused`] when the holder is another user whom ours may not
/// end; as [`Session::exec`].
pub fn hold(session: &mut Session, id: &str, fence: u64) -> Result<()> {
    let what = format!("take the lock of {id}");
    if id.chars().count() > ID_CHARS_MAX {
        return Err(Error::State {
            what,
            why: format!("an id has at most {ID_CHARS_MAX} characters"),
        });
    }
    let name = format!("backout/{id}");
    let end = Instant::now() + PATIENCE;
    loop {
        if session.first::<Option<i64>>(&what, taking(&name, fence))? == Some(Some(1)) {
            return Ok(());
        }
        match holder(session, &what, &name)? {
            Some((_, Some(other))) if other > fence => {
                return Err(Error::State {
                    what,
                    why: format!(
                        "another worker holds it with fence {other}; see the jobs that run"
                    ),
                });
            }
            Some((connection, Some(_))) => {
                match session.exec(&what, format!("KILL {connection}")) {
                    Err(e) if e.number() == Some(number::NO_SUCH_THREAD) => {}
                    done => {
                        done?;
                    }
                }
            }
            // Let go, or not told yet.
            Some((_, None)) | None => {}
        }
        if Instant::now() > end {
            return Err(Error::State {
                what,
                why: "its holder does not let go; see SHOW PROCESSLIST".to_owned(),
            });
        }
        std::thread::sleep(TICK);
    }
}

fn bit(name: &str, i: u32) -> String {
    text(&format!("{name}/{i}"))
}

fn told(name: &str) -> String {
    text(&format!("{name}/told"))
}

/// Takes the lock, and only then those of the fence's bits, and last the one
/// that says that all bits are there.
fn taking(name: &str, fence: u64) -> String {
    let bits: String = (0..BITS)
        .filter(|i| fence >> i & 1 == 1)
        .map(|i| format!("GET_LOCK({}, 1) = 1 AND ", bit(name, i)))
        .collect();
    format!(
        "SELECT IF(GET_LOCK({}, 0) = 1, {bits}GET_LOCK({}, 1) = 1, 0)",
        text(name),
        told(name)
    )
}

/// Who holds the lock, with the fence where it is told.
fn holder(session: &mut Session, doing: &str, name: &str) -> Result<Option<(u64, Option<u64>)>> {
    // Who holds it before, who told, what, and who holds it after.
    type Row = (Option<u64>, Option<u64>, u64, Option<u64>);
    let bits: Vec<String> = (0..BITS)
        .map(|i| format!("(IS_USED_LOCK({}) IS NOT NULL) << {i}", bit(name, i)))
        .collect();
    let row: Option<Row> = session.first(
        doing,
        format!(
            "SELECT IS_USED_LOCK({main}), IS_USED_LOCK({told}), {}, IS_USED_LOCK({main})",
            bits.join(" | "),
            main = text(name),
            told = told(name),
        ),
    )?;
    Ok(row.and_then(|(before, told, fence, after)| {
        let holder = before.filter(|holder| Some(*holder) == after)?;
        Some((holder, told.filter(|told| *told == holder).map(|_| fence)))
    }))
}
