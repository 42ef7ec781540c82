//! From a time, an id or a position to where history is cut.
//!
//! A group committed within the second that its first event's header tells. The
//! journal has the microsecond at which it arrived, shortly after it committed,
//! for what was received live. A group is kept when it surely committed before
//! the instant; the first that is not, in the order of the log, is the first
//! that is undone, and so is all that comes after it.

use std::cell::RefCell;
use std::ops::ControlFlow;

use super::chunk::Mark;
use super::core::Core;
use super::index::Entry;
use super::listing::has_id;
use super::scan::{Open, Scanner, Seen};
use super::summary::Summary;
use super::{Archive, Located, Until};
use crate::change::{Gtid, Micros, Position};
use crate::error::{Error, Result};

/// A second, less the last microsecond.
const REST_OF_SECOND: i64 = 999_999;

/// How much later than it committed a group may arrive live: a header's second
/// that lies further back was told by `SET timestamp`, or by a source far away.
const LATE_S: i64 = 2;

/// When a group committed, at the latest, and whether that is known below one
/// second. `time_s` is what its header tells, `arrived` what the journal has.
pub(super) fn commit_time(time_s: u32, arrived: Option<Micros>) -> (Micros, bool) {
    let begin = Micros::from_s(time_s);
    let end = Micros(begin.0 + REST_OF_SECOND);
    let Some(arrived) = arrived else {
        return (end, false);
    };
    match arrived.second() - begin.second() {
        0 => (arrived, true),
        1..=LATE_S => (end, false),
        // The header's clock is not ours; ours is the one that is asked about.
        _ => (arrived, false),
    }
}

/// A group as the archive's index knows it.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) position: Position,
    pub(super) gtid: Option<Gtid>,
    /// When it committed, at the latest.
    pub(super) time: Micros,
    /// When it committed, at the earliest.
    pub(super) earliest: Micros,
}

impl Place {
    fn new(file: &str, group: &Open, marks: &[Mark]) -> Self {
        let arrived = marks
            .binary_search_by_key(&group.start, |mark| mark.offset)
            .ok()
            .map(|at| marks[at].clock);
        let (time, exact) = commit_time(group.time_s, arrived);
        Self {
            position: Position {
                file: file.to_owned(),
                offset: group.start,
            },
            gtid: group.gtid.clone(),
            time,
            earliest: if exact {
                time
            } else {
                Micros::from_s(group.time_s).min(time)
            },
        }
    }
}

/// The groups on both sides of a cut.
#[derive(Debug, Default)]
pub(super) struct Cut {
    /// Where the last group begins that is kept.
    pub(super) kept: Option<Position>,
    /// The first group that is not.
    pub(super) undone: Option<Place>,
}

impl Core {
    /// The first group that `keep` does not want to keep. Pages and chunks of
    /// which `page_kept` and `all_kept` say so are not read.
    pub(super) fn cut(
        &self,
        incarnation: u32,
        page_kept: impl Fn(&Summary) -> bool,
        mut all_kept: impl FnMut(&Entry) -> bool,
        mut keep: impl FnMut(&Place) -> bool,
    ) -> Result<Cut> {
        let cut = RefCell::new(Cut::default());
        let mut raw = Vec::new();
        let skip = |page: &Summary| {
            let is_kept = page_kept(page);
            if is_kept {
                let mut cut = cut.borrow_mut();
                let before = cut.kept.take().filter(|_| !page.gap);
                cut.kept = page.last.clone().or(before);
            }
            Ok(is_kept)
        };
        self.walk_some(incarnation, None, skip, |entry| {
            let mut cut = cut.borrow_mut();
            if entry.gap.is_some() {
                cut.kept = None;
            }
            let Some(last) = entry.notes.last else {
                return Ok(ControlFlow::Continue(()));
            };
            if all_kept(entry) {
                cut.kept = Some(Position {
                    file: entry.file.clone(),
                    offset: last,
                });
                return Ok(ControlFlow::Continue(()));
            }
            for place in self.places(incarnation, entry, &mut raw)? {
                if !keep(&place) {
                    cut.undone = Some(place);
                    return Ok(ControlFlow::Break(()));
                }
                cut.kept = Some(place.position);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(cut.into_inner())
    }

    /// The groups that begin in a chunk.
    pub(super) fn places(
        &self,
        incarnation: u32,
        entry: &Entry,
        raw: &mut Vec<u8>,
    ) -> Result<Vec<Place>> {
        let marks = self.fetch(incarnation, entry, raw)?;
        let mut scanner = Scanner::resume(&entry.file, entry.checksum(), &entry.notes);
        let mut places = Vec::new();
        for (offset, event) in super::source::events(entry.start, raw) {
            let seen = scanner.event(offset, event)?;
            if seen == Seen::Begin {
                match scanner.group() {
                    Some(group) => places.push(Place::new(&entry.file, group, &marks)),
                    // One statement without an id: it is over already.
                    None => {
                        places.push(Place::new(&entry.file, &Open::alone(offset, event), &marks))
                    }
                }
            }
        }
        // A group committed before all that follow it.
        let mut known = None;
        for place in places.iter_mut().rev() {
            if place.earliest == place.time {
                known = Some(place.time);
            } else if let Some(known) = known {
                place.time = place.time.min(known);
                place.earliest = place.earliest.min(known);
            }
        }
        Ok(places)
    }
}

impl Archive {
    /// What [`Archive::locate`] does.
    pub(super) fn locate_in(&self, until: &Until) -> Result<Located> {
        let missing = |what: String| Err(Error::Gap { what });
        let windows = self.windows()?;
        if windows.is_empty() {
            return missing(format!("find {until}: the archive is empty"));
        }
        let (incarnation, cut, exact) = match until {
            Until::Time(at) => {
                // The windows of all incarnations, in order: the last one that
                // began by then.
                let Some(window) = windows.iter().rev().find(|w| w.from.time <= *at) else {
                    return missing(format!(
                        "find {until}: history begins at {}",
                        windows[0].from.time
                    ));
                };
                if window.to.time < *at && windows.last() != Some(window) {
                    return missing(format!(
                        "find {until}: history ends at {} and goes on later",
                        window.to.time
                    ));
                }
                let begin = &window.from.position;
                let cut = self.core().cut(
                    window.incarnation,
                    |page| page.is_before(begin) || page.is_earlier(*at),
                    |entry| {
                        entry.end() <= *begin || entry.time.is_some_and(|(_, latest)| latest < *at)
                    },
                    |place| place.position < *begin || place.time < *at,
                )?;
                let exact = cut
                    .undone
                    .as_ref()
                    .is_none_or(|place| place.earliest >= *at);
                (window.incarnation, cut, exact)
            }
            Until::Gtid(gtid) => {
                let mut incarnations: Vec<u32> = windows.iter().map(|w| w.incarnation).collect();
                incarnations.dedup();
                let mut hit = None;
                for incarnation in incarnations.into_iter().rev() {
                    let found = std::cell::Cell::new(false);
                    let cut = self.core().cut(
                        incarnation,
                        |page| !found.get() && !page.has_id(gtid),
                        |entry| !found.get() && !has_id(&entry.notes.ids, gtid),
                        |place| {
                            let is_behind = found.get();
                            found.set(is_behind || place.gtid.as_ref() == Some(gtid));
                            !is_behind
                        },
                    )?;
                    if found.get() {
                        hit = Some((incarnation, cut, true));
                        break;
                    }
                }
                match hit {
                    Some(hit) => hit,
                    None => return missing(format!("find {until}: it is not in the archive")),
                }
            }
            Until::Position(at) => {
                let incarnation = self.incarnation()?;
                if !windows.iter().any(|w| {
                    w.incarnation == incarnation && w.from.position <= *at && *at <= w.to.position
                }) {
                    return missing(format!("find {until}: it is not in the archive"));
                }
                let cut = self.core().cut(
                    incarnation,
                    |page| page.is_before(at),
                    |entry| entry.end() <= *at,
                    |place| place.position < *at,
                )?;
                // The last one may go on behind the position.
                return self.whole(incarnation, cut, at);
            }
        };
        self.located(incarnation, cut, exact)
    }

    /// Undoes the last group that is kept, too, when it does not end before
    /// `at`.
    fn whole(&self, incarnation: u32, cut: Cut, at: &Position) -> Result<Located> {
        let located = self.located(incarnation, cut, true)?;
        match &located.kept {
            Some(kept) if kept.end > *at => {
                let begin = kept.position.clone();
                let cut = self.core().cut(
                    incarnation,
                    |page| page.is_before(&begin),
                    |entry| entry.end() <= begin,
                    |place| place.position < begin,
                )?;
                self.located(incarnation, cut, false)
            }
            _ => Ok(located),
        }
    }

    fn located(&self, incarnation: u32, cut: Cut, exact: bool) -> Result<Located> {
        let archive = self.at_incarnation(incarnation);
        let position = match (&cut.undone, self.core().whole_end(incarnation)?) {
            (Some(place), _) => place.position.clone(),
            (None, Some(end)) => end,
            (None, None) => {
                return Err(Error::Gap {
                    what: "find an end: the archive is empty".to_owned(),
                });
            }
        };
        let undone = match &cut.undone {
            Some(place) => archive.txn_at(&place.position)?,
            None => None,
        };
        let kept = match &cut.kept {
            Some(begin) => archive.last_txn(begin, &position)?,
            None => None,
        };
        Ok(Located {
            incarnation,
            position,
            kept,
            undone,
            exact,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_tells_a_time_within_the_second_of_the_header() {
        let s = 1_700_000_000_u32;
        let at = |us: i64| Micros(i64::from(s) * 1_000_000 + us);
        for (arrived, expected) in [
            (None, (at(999_999), false)),
            (Some(at(0)), (at(0), true)),
            (Some(at(412_000)), (at(412_000), true)),
            (Some(at(1_000_001)), (at(999_999), false)),
            (Some(at(2_900_000)), (at(999_999), false)),
            (Some(at(90_000_000)), (at(90_000_000), false)),
            (Some(at(-1)), (at(-1), false)),
        ] {
            assert_eq!(commit_time(s, arrived), expected, "{arrived:?}");
        }
    }
}
