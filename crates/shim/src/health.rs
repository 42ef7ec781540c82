//! What a shim knows of how its process is, and what happened to it.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::folder::{Folder, HEALTH};
use crate::identity::Identity;
use crate::supervise::now_ms;

/// The most events that are kept of a process: some hours of one that fails
/// every minute or two.
pub const EVENTS_MAX: usize = 64;

/// The longest text of an event, in bytes.
const TEXT_MAX_BYTES: usize = 300;

/// Whether a process can serve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Readiness {
    /// It never could since it started.
    #[default]
    Starting,
    /// It can.
    Ready,
    /// It could.
    Unready,
}

/// What is known of a process that has [`crate::Care`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Whether it can serve.
    pub readiness: Readiness,
    /// Why not, where that is known.
    pub why: Option<String>,
    /// It is being ended: it is not made ready any more.
    #[serde(default)]
    pub stopping: bool,
    /// How often its shim started it.
    pub runs: u64,
    /// What happened last, oldest first; at most [`EVENTS_MAX`].
    pub events: VecDeque<Event>,
    /// The process that the first two are of.
    pub(crate) child: Option<Identity>,
}

/// Something that happened to a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// What.
    pub kind: EventKind,
    /// The details.
    pub text: String,
}

/// What can happen to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// It was started.
    Started,
    /// It ended.
    Ended,
    /// It is to be started again after a while.
    Waits,
    /// It can serve.
    Ready,
    /// It cannot serve any more.
    Unready,
    /// It did not answer, and is ended.
    NotAlive,
    /// A program that is run beside it failed.
    TaskFailed,
    /// It was asked to end.
    Stopping,
    /// It did not end when it was asked to, and is killed.
    Killed,
}

/// The health of one process, in memory and in its file. A file that cannot be
/// written is tried again with whatever is said next; until then, who reads it
/// sees of which process it is.
pub(crate) struct Journal {
    folder: Folder,
    inner: Mutex<Inner>,
}

struct Inner {
    health: Health,
    /// The file says the same.
    saved: bool,
}

impl Journal {
    /// Takes up what an earlier shim has left.
    pub(crate) fn open(folder: Folder) -> Self {
        let events = match folder.read::<Health>(HEALTH) {
            Ok(Some(health)) => health.events,
            _ => VecDeque::new(),
        };
        Self {
            folder,
            inner: Mutex::new(Inner {
                health: Health {
                    events,
                    ..Health::default()
                },
                saved: false,
            }),
        }
    }

    /// A new run: what is said of an older one from now on is not heard.
    pub(crate) fn began(&self, child: Identity) {
        self.change(|health| {
            health.child = Some(child);
            health.readiness = Readiness::Starting;
            health.why = None;
            health.stopping = false;
            health.runs += 1;
            let text = match health.runs {
                1 => format!("process {}", child.pid),
                n => format!("process {}, start {n}", child.pid),
            };
            push(health, EventKind::Started, text);
        });
    }

    /// Something happened to `child`, or between two runs.
    pub(crate) fn note(&self, child: Option<Identity>, kind: EventKind, text: String) {
        self.change(|health| {
            if child.is_none() || child == health.child {
                health.stopping |= kind == EventKind::Stopping;
                push(health, kind, text);
            }
        });
    }

    /// Whether `child` can serve.
    pub(crate) fn set(&self, child: Identity, readiness: Readiness, why: Option<String>) {
        self.change(|health| {
            if health.child != Some(child) || health.stopping {
                return;
            }
            if health.readiness != readiness {
                let kind = match readiness {
                    Readiness::Ready => EventKind::Ready,
                    Readiness::Starting | Readiness::Unready => EventKind::Unready,
                };
                push(health, kind, why.clone().unwrap_or_default());
            }
            health.readiness = readiness;
            health.why = why;
        });
    }

    fn change(&self, change: impl FnOnce(&mut Health)) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let before = inner.health.clone();
        change(&mut inner.health);
        if inner.health != before || !inner.saved {
            inner.saved = self.folder.write(HEALTH, &inner.health).is_ok();
        }
    }
}

fn push(health: &mut Health, kind: EventKind, mut text: String) {
    if text.len() > TEXT_MAX_BYTES {
        let end = (0..=TEXT_MAX_BYTES)
            .rev()
            .find(|n| text.is_char_boundary(*n));
        text.truncate(end.unwrap_or_default());
    }
    while health.events.len() >= EVENTS_MAX {
        health.events.pop_front();
    }
    health.events.push_back(Event {
        at_ms: now_ms(),
        kind,
        text,
    });
}
