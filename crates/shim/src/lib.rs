//! A small supervisor for one managed process.
//!
//! Backout may die at any time, and what it manages must go on: so between the
//! two there is one *shim* for each managed process, in a session of its own.
//! It keeps the process's log within bounds, records how it ended, and starts
//! it again where that is wanted. Nobody needs to remember a shim: all that is
//! known of it lies in its *run folder* (mode 0700).
//!
//! | file | what it is |
//! |---|---|
//! | `spec.json` | the [`Spec`]: what to run |
//! | `state.json` | who runs, since when, or how it ended; replaced atomically |
//! | `lock` | locked by the shim while it lives: the surest sign of life |
//! | `start.lock` | locked by whoever starts, so that two starts make one process |
//! | `log`, `log.1`, ... | what the process wrote to stdout and stderr, and what it wrote before |
//! | `down` | is there when the process is not to be started again; what stands in it is how the shim is to end it |
//! | `health.json` | where there is [`Care`]: whether it can serve, and what happened to it |
//! | `bell` | a pipe at which a shim with [`Care`] is told to look at `down` |
//!
//! A start is a chain of processes of the same binary, told apart by an
//! environment variable: [`start`] runs the first, which leaves the session of
//! its parent and runs the second, the shim; that runs the third, which waits
//! until its pid is on record and then becomes the program.
//!
//! Architecture invariants:
//! 1. Nothing here knows what it runs: no machine, database, job or vendor.
//! 2. A process is told by pid, start time and boot id together, and signalled
//!    by a pidfd that was compared with these: no other process is ever taken
//!    for it, or hit.
//! 3. The program runs only after its pid is on record, and not without its
//!    shim: the kernel kills it when the shim dies (`PR_SET_PDEATHSIG`), because
//!    nobody could tell how an unwatched process ended, and its log would block
//!    it. The kernel forgets that wish when the program changes its user, gains
//!    capabilities or is set-user-id; such an orphan is still found
//!    ([`State::On`]), and the next [`start`] kills it before it starts anew.
//!    Processes that the program starts are its own affair; where there is
//!    [`Care`], what is left of its group, and of its control groups, is killed
//!    when it ends.
//!    Nor does it run when, by the time it is on record, whoever started it has
//!    died or given up: so nobody is told that nothing runs by a start that was
//!    on its way. Who looks while a shim is starting waits for what becomes of it.
//! 4. What is secret of the environment ([`start_with`]) is in no file: it goes
//!    from link to link through pipes, and stays in the memory of the shim.
//! 5. A full or broken file system under the log loses lines of the log, and
//!    never blocks the process.

mod care;
mod control;
mod error;
mod folder;
mod health;
mod identity;
mod log;
mod supervise;

pub use care::AFTER_END_MAX_MS;
pub use control::{
    Report, Run, SECRETS_MAX_BYTES, Shim, State, end, log_path, look, report, signal, start,
    start_with, stop, wait_ended,
};
pub use error::{Error, Result};
pub use folder::{Ask, Care, Exit, Probe, Restart, Spec, Task, When};
pub use health::{EVENTS_MAX, Event, EventKind, Health, Readiness};
pub use identity::boot_id;
pub use supervise::main;

/// What a process can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// `SIGTERM`: please end.
    Term,
    /// `SIGINT`.
    Int,
    /// `SIGQUIT`.
    Quit,
    /// `SIGHUP`: often, read your settings again.
    Hup,
    /// `SIGKILL`: it ends at once.
    Kill,
}

impl Signal {
    const fn raw(self) -> rustix::process::Signal {
        use rustix::process::Signal as S;
        match self {
            Self::Term => S::TERM,
            Self::Int => S::INT,
            Self::Quit => S::QUIT,
            Self::Hup => S::HUP,
            Self::Kill => S::KILL,
        }
    }
}
