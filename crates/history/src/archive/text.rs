//! Statements that change rows by their text.

use std::ops::ControlFlow;

use super::Archive;
use super::source::events;
use crate::body::{Query, Word};
use crate::change::{Position, Statement, StatementKind};
use crate::error::{Error, Result};
use crate::event::{Event, Kind, split};

impl Archive {
    /// The first statement between two positions that changes rows by its text,
    /// as servers log it whose `binlog_format` is not `ROW`: which rows it
    /// changed is not told.
    ///
    /// # Errors
    /// As [`Archive::source`]; [`Error::Cancelled`].
    pub fn first_text(
        &self,
        from: &Position,
        to: &Position,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Option<Statement>> {
        // Also says when not all of it is there.
        drop(self.source(from, to, None)?);
        let (core, incarnation) = (self.core(), self.incarnation()?);
        let mut first = None;
        let mut raw = Vec::new();
        core.walk(incarnation, Some(from), |entry, _| {
            if entry.at() >= *to {
                return Ok(ControlFlow::Break(()));
            }
            if cancelled() {
                return Err(Error::Cancelled);
            }
            if !entry.notes.text {
                return Ok(ControlFlow::Continue(()));
            }
            core.fetch(incarnation, entry, &mut raw)?;
            for (offset, event) in events(entry.start, &raw) {
                let at = || Position {
                    file: entry.file.clone(),
                    offset,
                };
                if at() < *from || at() >= *to {
                    continue;
                }
                let Some(event) = split(event, entry.checksum(), at)? else {
                    continue;
                };
                first = changes_by_text(&event, at())?;
                if first.is_some() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(first)
    }
}

/// The statement of an event, when it changes rows by its text.
fn changes_by_text(event: &Event<'_>, at: Position) -> Result<Option<Statement>> {
    let kind = event.header.kind;
    let loads = kind == Kind::EXECUTE_LOAD_QUERY;
    if !loads && kind != Kind::QUERY && kind != Kind::QUERY_COMPRESSED {
        return Ok(None);
    }
    let query = Query::read(kind, event.body).map_err(|what| Error::Damaged {
        at: at.clone(),
        what: what.to_owned(),
    })?;
    // BEGIN, COMMIT and the like change none.
    let marks = Word::read(&query.text).is_some();
    let says = super::scan::classify(&query);
    if !loads && (marks || says != StatementKind::Rows) {
        return Ok(None);
    }
    Ok(Some(Statement {
        kind: StatementKind::Rows,
        schema: String::from_utf8_lossy(query.schema).into_owned(),
        text: query.text.into_owned(),
        at,
    }))
}
