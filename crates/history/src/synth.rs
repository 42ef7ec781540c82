//! Synthesised events: `BINLOG` statements that bring rows to another state.

use crate::change::TableName;
use crate::error::Result;
use crate::layout::Layout;
use crate::net::{Direction, NetRows};

/// What is asked of the statements.
#[derive(Clone, Debug)]
pub struct SynthOptions {
    /// Which end of the window is wanted.
    pub direction: Direction,
    /// The columns of every unique key of the target beside the one that rows
    /// are told apart by: indices in the layout, from 0.
    pub unique: Vec<Vec<usize>>,
    /// Text that a statement shall not exceed unless one row alone does, in
    /// bytes; below the server's `max_allowed_packet`.
    pub text_bytes: usize,
    /// Whether foreign keys are checked (never cascaded).
    pub foreign_key_checks: bool,
}

/// The two halves of bringing a table to another state. All of the first is
/// done, by all sessions, before any of the second begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Rows go: those that shall not be there, and those that change in a
    /// unique key.
    Remove,
    /// Rows come, or change in other columns.
    Write,
}

/// Makes statements for one table.
#[derive(Clone, Debug)]
pub struct Synth {}

impl Synth {
    /// For rows of that layout, to be written to `target`.
    #[must_use]
    pub fn new(layout: &Layout, target: &TableName, options: SynthOptions) -> Self {
        let _ = (layout, target, options);
        Self {}
    }

    /// The statement that a session needs once, before all others.
    #[must_use]
    pub fn format_description() -> String {
        String::new()
    }

    /// The statements of one phase for these rows.
    #[must_use]
    pub fn statements(&self, rows: NetRows, phase: Phase) -> Statements<'_> {
        Statements {
            synth: self,
            rows,
            phase,
        }
    }
}

/// Statements, one after another.
#[derive(Debug)]
pub struct Statements<'a> {
    synth: &'a Synth,
    rows: NetRows,
    phase: Phase,
}

/// A statement.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// Its text: `BINLOG '...'`.
    pub sql: &'a str,
    /// How many rows it changes.
    pub rows: u64,
}

impl Statements<'_> {
    /// The next statement.
    ///
    /// # Errors
    /// As [`NetRows::next`].
    #[expect(
        clippy::should_implement_trait,
        reason = "a batch borrows from the maker, which an Iterator cannot say"
    )]
    pub fn next(&mut self) -> Result<Option<Batch<'_>>> {
        let _ = (self.synth, &self.rows, self.phase);
        Ok(None)
    }
}
