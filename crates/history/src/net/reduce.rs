//! Takes changes, spills, finishes.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::files::Output;
use super::key::KeyPlan;
use super::pool::{BUDGET_MAX, Pool, Taken};
use super::runs::{self, Record, Run, RunWriter, failed};
use super::{Key, NetSummary, NetTable};
use crate::change::{Change, Table, TableName};
use crate::error::{Error, Result};
use crate::layout::Layout;

/// Less memory than this is taken for this: with less, runs would be too many
/// and their buffers too small.
pub const MEMORY_MIN: u64 = 64 << 10;

/// A cancellation is asked for once in so many records of a merge.
const ASKED_EVERY: u64 = 4096;

/// Reduces changes to their net effect, in bounded memory.
///
/// It uses what it is given, and beyond that a few times the longest row, and a
/// few hundred bytes a table.
#[derive(Debug)]
pub struct Reducer {
    /// Whether every touched key is kept: see [`Reducer::keep_touched`].
    touched: bool,
    folder: PathBuf,
    memory: usize,
    tables: Vec<Reduced>,
    /// Whether the rows of each table are counted, since it has no key.
    counted: Vec<bool>,
    /// By the name that each table has now.
    names: HashMap<TableName, u32>,
    /// The table of the last change, and which of ours it is.
    last: Option<(Arc<Table>, Option<u32>)>,
    pool: Pool,
    /// In the order they were made in.
    runs: Vec<Run>,
    runs_made: u64,
    spilled: u64,
    /// The key of a row, before and after.
    keys: [Vec<u8>; 2],
}

/// A table, and what is known of it so far.
#[derive(Debug)]
struct Reduced {
    table: NetTable,
    renamed: TableName,
    /// Once it was changed.
    shape: Option<(Layout, Option<KeyPlan>)>,
    changes: u64,
    broken: u64,
}

impl Reducer {
    /// An empty one. The folder is its own: what is there of an earlier
    /// reduction is removed. `memory_bytes` is what it may use, at least
    /// [`MEMORY_MIN`] and at most 16 GiB.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn new(folder: &Path, memory_bytes: u64, tables: Vec<NetTable>) -> Result<Self> {
        fs::create_dir_all(folder).map_err(failed("create", folder))?;
        super::files::clear(folder)?;
        let memory = usize::try_from(memory_bytes.max(MEMORY_MIN))
            .unwrap_or(BUDGET_MAX)
            .min(BUDGET_MAX);
        let mut names = HashMap::with_capacity(tables.len());
        for (i, table) in (0..).zip(&tables) {
            names.insert(table.name.clone(), i);
        }
        Ok(Self {
            folder: folder.to_owned(),
            memory,
            counted: tables.iter().map(|t| t.key == Key::WholeRow).collect(),
            tables: tables
                .into_iter()
                .map(|table| Reduced {
                    renamed: table.name.clone(),
                    table,
                    shape: None,
                    changes: 0,
                    broken: 0,
                })
                .collect(),
            names,
            last: None,
            touched: false,
            // What is left is for the buffer of a run that is written.
            pool: Pool::new(memory - memory / 16),
            runs: Vec::new(),
            runs_made: 0,
            spilled: 0,
            keys: [Vec::new(), Vec::new()],
        })
    }

    /// Every key that was touched is kept, also where nothing changed in the end;
    /// of a row that went, what it was last stands for what it is. So it must be
    /// for a copy that was made meanwhile, and may have any of the states that
    /// its rows had. Only for tables with a key, and towards their beginning.
    #[must_use]
    pub const fn keep_touched(mut self) -> Self {
        self.touched = true;
        self
    }

    /// Takes in the next change, in the order of the history. Changes of other
    /// tables are passed over.
    ///
    /// # Errors
    /// [`Error::Net`] when the columns of the table changed within the window;
    /// [`Error::Io`].
    pub fn change(&mut self, change: &Change<'_>) -> Result<()> {
        let index = match &self.last {
            Some((table, index)) if Arc::ptr_eq(table, change.table) => *index,
            _ => self.enter(change.table)?,
        };
        let Some(index) = index else {
            return Ok(());
        };
        let reduced = &mut self.tables[index as usize];
        reduced.changes += 1;
        let Some((_, Some(plan))) = &mut reduced.shape else {
            if let Some(before) = change.before {
                self.count(index, before, -1)?;
            }
            if let Some(after) = change.after {
                self.count(index, after, 1)?;
            }
            return Ok(());
        };
        let mut keys = std::mem::take(&mut self.keys);
        for (image, key) in [change.before, change.after].into_iter().zip(&mut keys) {
            key.clear();
            if let Some(image) = image
                && plan.encode(image, key).is_none()
            {
                return Err(misfit(&change.table.name));
            }
        }
        let result = match (change.before, change.after) {
            (Some(_), Some(_)) if keys[0] != keys[1] => self
                .take(index, &keys[0], change.before, None)
                .and_then(|()| self.take(index, &keys[1], None, change.after)),
            (Some(_), _) => self.take(index, &keys[0], change.before, change.after),
            (None, Some(_)) => self.take(index, &keys[1], None, change.after),
            (None, None) => Ok(()),
        };
        self.keys = keys;
        result
    }

    /// From here on the table `from` is called `to`. A `RENAME TABLE` of many
    /// is told one by one, in its order.
    pub fn rename(&mut self, from: &TableName, to: &TableName) {
        self.last = None;
        // Whatever had that name before does not have it any longer.
        self.names.remove(to);
        if let Some(index) = self.names.remove(from) {
            self.names.insert(to.clone(), index);
            self.tables[index as usize].renamed = to.clone();
        }
    }

    /// Bytes that were written to runs so far.
    #[must_use]
    pub const fn spilled_bytes(&self) -> u64 {
        self.spilled
    }

    /// Writes the result, durably: it is complete or absent, across a crash.
    /// `cancelled` is asked every few MB.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Cancelled`].
    pub fn finish(mut self, cancelled: &dyn Fn() -> bool) -> Result<Vec<NetSummary>> {
        let summaries = self
            .tables
            .iter()
            .map(|reduced| NetSummary {
                table: reduced.table.name.clone(),
                renamed: reduced.renamed.clone(),
                key: reduced.table.key.clone(),
                rows: 0,
                inserted: 0,
                updated: 0,
                deleted: 0,
                changes: reduced.changes,
                broken: reduced.broken,
                bytes: 0,
                layout: reduced.shape.as_ref().map(|(layout, _)| layout.clone()),
            })
            .collect();
        let mut output = Output::new(&self.folder, summaries, self.memory, self.touched);
        let mut asked = 0;
        let mut asking = move || {
            asked += 1;
            if asked % ASKED_EVERY == 1 && cancelled() {
                return Err(Error::Cancelled);
            }
            Ok(())
        };
        if self.runs.is_empty() {
            for place in self.pool.sorted() {
                asking()?;
                output.write(&self.pool.record(&place, &self.counted), 0)?;
            }
            drop(self.pool);
            return output.finish();
        }
        self.spill()?;
        // The runs need the memory.
        self.pool = Pool::new(0);
        loop {
            let at_once = runs::fan_in(&self.runs, self.memory);
            if self.runs.len() <= at_once {
                break;
            }
            // The oldest ones first, and always neighbours: their order says
            // which part of a key is the earlier one.
            let mut merged = Vec::with_capacity(self.runs.len().div_ceil(at_once));
            let mut rest = std::mem::take(&mut self.runs).into_iter().peekable();
            while rest.peek().is_some() {
                let some: Vec<Run> = rest.by_ref().take(at_once).collect();
                let mut writer = RunWriter::create(self.next_run(), self.memory)?;
                runs::merge(
                    &some,
                    &self.counted,
                    self.touched,
                    &same(&self.tables),
                    self.memory,
                    |record, broken| {
                        asking()?;
                        output.add_broken(record.table, broken);
                        writer.write(record)
                    },
                )?;
                merged.push(writer.finish()?);
            }
            self.runs = merged;
        }
        runs::merge(
            &self.runs,
            &self.counted,
            self.touched,
            &same(&self.tables),
            self.memory,
            |record: &Record<'_>, broken| {
                asking()?;
                output.write(record, broken)
            },
        )?;
        self.runs.clear();
        output.finish()
    }

    /// Which of our tables it is, and whether its shape is still the same.
    fn enter(&mut self, table: &Arc<Table>) -> Result<Option<u32>> {
        let index = self.names.get(&table.name).copied();
        if let Some(reduced) = index.and_then(|i| self.tables.get_mut(i as usize)) {
            reduced.enter(&table.layout)?;
        }
        self.last = Some((Arc::clone(table), index));
        Ok(index)
    }

    fn take(
        &mut self,
        table: u32,
        key: &[u8],
        before: Option<&[u8]>,
        after: Option<&[u8]>,
    ) -> Result<()> {
        let after = match self.touched {
            true => after.or(before),
            false => after,
        };
        let mut taken = self
            .pool
            .change(table, key, before, after, &same(&self.tables));
        if taken == Taken::Full {
            self.spill()?;
            taken = self
                .pool
                .change(table, key, before, after, &same(&self.tables));
        }
        if self.touched && before.is_none() && taken == Taken::Broken {
            // It came again, where what it was last is kept.
            taken = Taken::Whole;
        }
        self.taken(table, taken)
    }

    fn count(&mut self, table: u32, image: &[u8], by: i64) -> Result<()> {
        let mut taken = self.pool.count(table, image, by);
        if taken == Taken::Full {
            self.spill()?;
            taken = self.pool.count(table, image, by);
        }
        self.taken(table, taken)
    }

    fn taken(&mut self, table: u32, taken: Taken) -> Result<()> {
        match taken {
            Taken::Whole => Ok(()),
            Taken::Broken => {
                self.tables[table as usize].broken += 1;
                Ok(())
            }
            // Only addresses could have run out, which the budget prevents.
            Taken::Full => Err(Error::Net {
                doing: "reduce a row".to_owned(),
                what: "it is too long".to_owned(),
                unsupported: true,
            }),
        }
    }

    fn next_run(&mut self) -> PathBuf {
        self.runs_made += 1;
        self.folder.join(format!("{:06}.run", self.runs_made))
    }

    fn spill(&mut self) -> Result<()> {
        if self.pool.is_empty() {
            return Ok(());
        }
        let mut writer = RunWriter::create(self.next_run(), self.memory)?;
        for place in self.pool.sorted() {
            writer.write(&self.pool.record(&place, &self.counted))?;
        }
        let run = writer.finish()?;
        self.spilled += run.bytes;
        self.runs.push(run);
        self.pool.clear();
        Ok(())
    }
}

/// Tells whether two images of a row are of one state, by what is known of the
/// tables.
fn same(tables: &[Reduced]) -> impl Fn(u32, Option<&[u8]>, Option<&[u8]>) -> bool {
    |table, one, other| {
        one == other
            || one
                .zip(other)
                .zip(tables.get(table as usize))
                .is_some_and(|((one, other), table)| table.same_but_computed(one, other))
    }
}

impl Reduced {
    /// Whether two images differ in nothing but columns that are computed when
    /// rows are read.
    fn same_but_computed(&self, one: &[u8], other: &[u8]) -> bool {
        let Some((layout, _)) = self
            .shape
            .as_ref()
            .filter(|_| !self.table.computed.is_empty())
        else {
            return false;
        };
        let (mut left, mut right) = (Vec::new(), Vec::new());
        let fit = layout
            .take_apart(one, &mut left)
            .and_then(|()| layout.take_apart(other, &mut right));
        fit.is_some()
            && left.into_iter().zip(right).enumerate().all(|(i, (a, b))| {
                self.table.computed.contains(&i)
                    || a.map(|range| &one[range]) == b.map(|range| &other[range])
            })
    }

    fn enter(&mut self, layout: &Layout) -> Result<()> {
        let refused = |what: &str| Error::Net {
            doing: format!("reduce the changes of {}", self.table.name),
            what: what.to_owned(),
            unsupported: true,
        };
        if let Some((known, _)) = &self.shape {
            return if known.same_shape(layout) {
                Ok(())
            } else {
                Err(refused(
                    "its columns changed within the window; take the road that restores a backup",
                ))
            };
        }
        let plan = match &self.table.key {
            Key::WholeRow => None,
            Key::Columns(columns) => Some(
                KeyPlan::new(layout, columns, &self.table.signedness).ok_or_else(|| {
                    refused(
                        "it did not have the columns of its key; take the road that restores a \
                         backup",
                    )
                })?,
            ),
        };
        self.shape = Some((layout.clone(), plan));
        Ok(())
    }
}

fn misfit(table: &TableName) -> Error {
    Error::Net {
        doing: format!("reduce the changes of {table}"),
        what: "a row does not fit the table's columns, or its key is null".to_owned(),
        unsupported: false,
    }
}
