//! Takes tables back to an instant, under new names. The tables themselves are
//! only read.
//!
//! | step | do | undo |
//! |---|---|---|
//! | copy | undo road: copy the present pages (or, where the server's files are not reached, the present rows into a hidden database) while it works, and read history beside (`rollback/ahead.rs`); restore road: take the pages out of a base backup | remove the copy |
//! | scratch | start a server of our own on the pages | stop it |
//! | reduce | read what happened between the copy and the instant, unless that was done beside the copy, and write down its net effect; meanwhile compute the digest of the copy | remove that |
//! | apply | bring the copy to the instant; where foreign keys changed rows: replay history in the scratch server instead | none: the copy goes as a whole |
//! | stage | put its tables into a hidden database of the instance | drop that |
//! | prove | compare each with what history says it must be; meanwhile see to it that they survive a crash of the server | none |
//! | publish | give all of them their new names, by one statement, and whole databases what they have beside tables | take that and the names away |
//! | clear | remove the copy, the scratch server and the hidden database | none: from its intent on the job goes forward only |

mod ahead;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use backout_core::code::Code;
use backout_core::ids::DatabaseId;
use backout_core::outcome::Outcome;
use backout_history::archive::Archive;
use backout_history::digest::RowDigest;
use backout_history::net::{Direction, Key, NetFiles, NetTable};
use backout_history::{Position, TableName};
use backout_jobs::{Commit, Done, Procedure, Step, StepContext, StepError, Undo};
use backout_mariadb::apply::{self, ApplyOptions};
use backout_mariadb::catalog::{self, TableDef};
use backout_mariadb::definitions::KeyClause;
use backout_mariadb::digest::{self, Pace};
use backout_mariadb::error::number;
use backout_mariadb::others::Others;
use backout_mariadb::scratch::{Options as ScratchOptions, Scratch, free_memory};
use backout_mariadb::session::{ident, quoted, text};
use backout_mariadb::transport::{self, Live, Place};
use backout_mariadb::{Endpoint, Session, backup, copy, guard, replay};
use serde::{Deserialize, Serialize};

use self::ahead::Ahead;
use super::beside::{self, Key as ForeignKey};
use super::{
    database_error, found, history_error, instance, refusal_error, settle_task, under_lock,
    yielding,
};
use crate::beside::Placed;
use crate::cascade::Replay;
use crate::files;
use crate::model::{Copying, Instance, Proof, Renamed, Road};
use crate::reduction::{self, Reduced, Stretch};
use crate::runtime::{CATCH_UP, Runtime, SESSIONS};

/// How many sessions read the result: they wait for the server's disk, which
/// answers several faster than one after another.
const PROVERS: usize = 2 * SESSIONS;

/// The procedure.
#[derive(Clone, Debug)]
pub struct Rollback(pub Runtime);

/// What it is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RollbackInput {
    /// The instance.
    pub instance: DatabaseId,
    /// Which life of the server's logs the cut is of.
    pub incarnation: u32,
    /// The first byte of history that is taken back.
    pub cut: Position,
    /// The way.
    pub road: Road,
    /// How rows are copied.
    pub copying: Copying,
    /// The folders of the base backup, the full one first.
    pub base: Vec<PathBuf>,
    /// The tables.
    pub tables: Vec<Renamed<TableName>>,
    /// Databases that are made for them.
    pub databases: Vec<Renamed<String>>,
    /// What is made in these beside the tables.
    #[serde(default)]
    pub placed: Vec<Placed>,
    /// The replay that takes the place of the net effect on the restore road.
    #[serde(default)]
    pub replay: Option<Replay>,
    /// Whether the server folds names to lower case.
    pub lower_case_names: bool,
}

const STEPS: &[Step<Rollback>] = &[
    Step {
        name: "copy",
        does: "copy the tables while the server works, or take them out of a base backup",
        run: |p, ctx| Box::pin(copy(p, ctx)),
        undo: Undo::By {
            does: "remove the copy",
            run: |p, ctx| Box::pin(uncopy(p, ctx)),
        },
    },
    Step {
        name: "scratch",
        does: "start a server of our own on the copied pages",
        run: |p, ctx| Box::pin(scratch(p, ctx)),
        undo: Undo::By {
            does: "stop it",
            run: |p, ctx| Box::pin(unscratch(p, ctx)),
        },
    },
    Step {
        name: "reduce",
        does: "read what happened in between, write down its net effect, compute the digest of the copy",
        run: |p, ctx| Box::pin(reduce(p, ctx)),
        undo: Undo::By {
            does: "remove what was written",
            run: |p, ctx| Box::pin(unreduce(p, ctx)),
        },
    },
    Step {
        name: "apply",
        does: "bring the copy to the instant",
        run: |p, ctx| Box::pin(apply(p, ctx)),
        undo: Undo::Nothing,
    },
    Step {
        name: "stage",
        does: "put its tables into a hidden database of the instance",
        run: |p, ctx| Box::pin(stage(p, ctx)),
        undo: Undo::By {
            does: "drop the hidden database",
            run: |p, ctx| Box::pin(unstage(p, ctx)),
        },
    },
    Step {
        name: "prove",
        does: "compare each table with what history says it must be",
        run: |p, ctx| Box::pin(prove(p, ctx)),
        undo: Undo::Nothing,
    },
    Step {
        name: "publish",
        does: "give all tables their new names, by one statement, and databases what they have beside",
        run: |p, ctx| Box::pin(publish(p, ctx)),
        undo: Undo::By {
            does: "take the new names away",
            run: |p, ctx| Box::pin(unpublish(p, ctx)),
        },
    },
    Step {
        name: "clear",
        does: "remove the copy, the scratch server and the hidden database",
        run: |p, ctx| Box::pin(clear(p, ctx)),
        undo: Undo::Never,
    },
];

impl Procedure for Rollback {
    fn name(&self) -> &'static str {
        "databases.rollback"
    }

    fn steps(&self) -> &[Step<Self>] {
        STEPS
    }

    fn settle(&self, ctx: &StepContext, outcome: Outcome, failure: Option<&StepError>) -> Commit {
        let proofs = ctx.output::<Vec<Proof>>("prove").ok().flatten();
        settle_task(ctx, outcome, failure, move |detail| {
            if let (Some(rollback), Some(proofs)) = (&mut detail.rollback, proofs) {
                rollback.proofs = proofs;
            }
        })
    }
}

/// What the first step left.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Copied {
    /// Where in history the copy is. Of rows that were copied while others
    /// wrote: a place after the copy, up to which every touched row is written
    /// again.
    at: Position,
    /// What was reduced beside the copy.
    #[serde(default)]
    ahead: Option<Ahead>,
}

/// What a stretch of history, up to the next definition statement, does to the
/// copy.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Segment {
    /// Its number, from 0.
    number: usize,
    /// The tables in the copy, in the order of its net files.
    tables: Vec<Worked>,
    /// The definition statement after it, the database that was current, and
    /// where history goes on.
    then: Option<(String, String, Position)>,
}

/// A table of a copy, with what is known of it before its rows change.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Worked {
    /// What it is called.
    name: TableName,
    /// Its digest as it is; `None` where the copy is of no one instant.
    digest: Option<RowDigest>,
    /// What its net effect does to that.
    #[serde(default)]
    change: Option<RowDigest>,
}

/// What the fourth step left.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Applied {
    /// Of each table that is taken back.
    tables: Vec<AppliedTable>,
    /// The number of the last segment, whose net files tell what was written.
    last: usize,
}

/// What a table must be.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct AppliedTable {
    /// Its digest; `None` where that could not be told beforehand.
    digest: Option<RowDigest>,
    /// How many rows were changed.
    touched: u64,
    /// How it was made, when not by the net effect.
    #[serde(default)]
    replayed: Option<ReplayedTable>,
}

/// What was seen of a table after a replay.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct ReplayedTable {
    /// How many transactions and statements were replayed.
    groups: u64,
    /// How many foreign keys it has.
    keys: usize,
    /// Those that not all of its rows satisfy.
    broken: Vec<String>,
}

impl ReplayedTable {
    fn words(&self) -> String {
        let keys = match self.broken.as_slice() {
            [] => format!("all rows satisfy its {} foreign keys", self.keys),
            broken => format!("some rows do not satisfy foreign key {}", broken.join(", ")),
        };
        format!(
            "the digest of all rows is the one after {} transactions were replayed with the foreign keys, whose changes no history has; {keys}",
            self.groups
        )
    }
}

impl RollbackInput {
    fn direction(&self) -> Direction {
        match self.road {
            Road::Restore => Direction::Forward,
            Road::Undo | Road::InPlace => Direction::Backward,
        }
    }

    fn names(&self) -> Vec<TableName> {
        self.tables.iter().map(|t| t.from.clone()).collect()
    }

    /// The hidden database of a job.
    fn staging(&self, ctx: &StepContext) -> String {
        staging(ctx)
    }

    /// The table of place `i` in the hidden database.
    fn staged(&self, ctx: &StepContext, i: usize) -> TableName {
        TableName::new(self.staging(ctx), format!("t{i}"))
    }

    /// The hidden table that is made of the one of this name.
    fn staged_of(&self, ctx: &StepContext, name: &TableName) -> Result<TableName, StepError> {
        let place = self.tables.iter().position(|t| t.from == *name);
        Ok(self.staged(ctx, place.ok_or_else(|| missing("plan"))?))
    }

    /// Where the table of place `i` is worked on: in the copy, or, when rows
    /// were copied, in the hidden database.
    fn worked_on(&self, ctx: &StepContext, i: usize) -> TableName {
        match self.copying {
            Copying::Files => self.tables[i].from.clone(),
            Copying::Rows => self.staged(ctx, i),
        }
    }
}

/// The hidden database of a job.
pub(crate) fn staging(ctx: &StepContext) -> String {
    let id = ctx.job.as_str();
    format!("backout_{}", id.strip_prefix("job_").unwrap_or(id))
}

/// What every step works with.
struct Bench {
    runtime: Runtime,
    instance: Instance,
    input: RollbackInput,
    folder: PathBuf,
    /// Those whom the instance is there for, where we work beside it.
    others: Option<Others>,
}

impl Bench {
    /// Whether a step is not wanted any longer, asked by what makes way for others.
    fn stop(&self, ctx: &StepContext) -> impl Fn() -> bool + Sync {
        let cancelled = cancelled(ctx);
        move || {
            if let Some(others) = &self.others {
                others.make_way(&cancelled);
            }
            cancelled()
        }
    }

    fn copy_folder(&self) -> PathBuf {
        self.folder.join("copy")
    }

    /// The server on the copied pages.
    fn scratch(&self) -> Scratch {
        Scratch::new(
            self.folder.join("run"),
            backup::datadir(&self.copy_folder()),
            self.runtime.shim.clone(),
        )
    }

    fn export_folder(&self) -> PathBuf {
        self.folder.join("export")
    }

    /// Where in history the base backup is.
    fn base_position(&self) -> Result<Position, StepError> {
        let last = self.input.base.last().ok_or_else(|| missing("plan"))?;
        backup::read(last)
            .map_err(database_error)?
            .and_then(|manifest| manifest.position)
            .ok_or_else(|| {
                StepError::failed(
                    Code::BackupState,
                    format!("read the backup in {}: it is not complete", last.display()),
                )
            })
    }

    /// A session with the instance that writes what a replica, which does not
    /// have the files, must not read.
    fn unlogged(&self) -> Result<(Session, bool), StepError> {
        let mut session = self.live()?;
        let logged = match self.input.copying {
            Copying::Rows => true,
            Copying::Files => unlogged(&mut session),
        };
        Ok((session, logged))
    }

    fn net_folder(&self, segment: usize) -> PathBuf {
        self.folder.join(format!("net-{segment}"))
    }

    fn live(&self) -> Result<Session, StepError> {
        super::session(&self.runtime, &self.instance)
    }

    fn endpoint(&self) -> Result<Endpoint, StepError> {
        self.runtime.endpoint(&self.instance).map_err(refusal_error)
    }

    /// The history, in the life of the server's logs that the cut is of.
    fn archive(&self) -> Result<Archive, StepError> {
        let archive = self
            .runtime
            .archive(&self.instance.id)
            .map_err(refusal_error)?;
        Ok(archive.at_incarnation(self.input.incarnation))
    }

    /// The server whose tables are brought to the instant.
    fn workplace(&self) -> Result<Endpoint, StepError> {
        match self.input.copying {
            Copying::Files => Ok(self.scratch().endpoint()),
            Copying::Rows => self.endpoint(),
        }
    }
}

/// Lets a session write without a log where it may: that needs a privilege that
/// is of use, but not asked for. Returns whether it logs still.
pub(crate) fn unlogged(session: &mut Session) -> bool {
    session
        .exec("write without a log", "SET SESSION sql_log_bin=0")
        .is_err()
}

/// Does blocking work of a step, with all it needs, under the instance's lock.
async fn at_work<T: Send + 'static>(
    procedure: &Rollback,
    ctx: &StepContext,
    work: impl FnOnce(&Bench, &StepContext) -> Result<T, StepError> + Send + 'static,
) -> Result<T, StepError> {
    let input: RollbackInput = ctx.input()?;
    let instance = instance(ctx, &input.instance).await?;
    let runtime = procedure.0.clone();
    let folder = runtime.job_folder(&input.instance, &ctx.job);
    let id = input.instance.clone();
    let others = match input.copying {
        Copying::Files => runtime.endpoint(&instance).ok().map(Others::of),
        // Our sessions are like those of others there.
        Copying::Rows => None,
    };
    let bench = Bench {
        runtime: runtime.clone(),
        instance,
        input,
        folder,
        others,
    };
    under_lock(ctx, &runtime, &id, move |ctx| {
        yielding(|| work(&bench, ctx))
    })
    .await
}

fn cancelled(ctx: &StepContext) -> impl Fn() -> bool + Sync {
    let cancel = ctx.cancel.clone();
    move || cancel.requested()
}

async fn copy(procedure: &Rollback, ctx: &StepContext) -> Result<Done, StepError> {
    let copied = at_work(procedure, ctx, make_copy).await?;
    Done::remember(&copied)
}

fn make_copy(bench: &Bench, ctx: &StepContext) -> Result<Copied, StepError> {
    let stop = cancelled(ctx);
    let options = backup::Options {
        threads: SESSIONS,
        beside: bench.others.as_ref(),
        cancelled: &stop,
    };
    let to = bench.copy_folder();
    files::make_folder(&bench.folder)?;
    let mut ahead = None;
    let at = match (bench.input.road, bench.input.copying) {
        (Road::Restore, _) => {
            ctx.progress(0, "taking the tables out of the base backup");
            let base = bench.base_position()?;
            // Tables that were created later come by their statement.
            let there = needed_of(bench, &base)?;
            backup::extract(&bench.input.base, Some(&there), &to, &options)
                .map_err(database_error)?
                .position
        }
        (_, Copying::Files) => {
            ctx.progress(0, "copying pages, reading history");
            let endpoint = bench.endpoint()?;
            let copy = || {
                backup::tables(&endpoint, &bench.input.names(), &to, &options)
                    .map_err(database_error)
            };
            let copied;
            (copied, ahead) = ahead::beside(bench, ctx, copy, |copied| copied.position.clone())?;
            copied.position
        }
        (_, Copying::Rows) => Some(copy_rows(bench, ctx, &stop)?),
    };
    let at = at.ok_or_else(|| {
        StepError::failed(
            Code::HistoryGap,
            "tell where in history the copy is: the server keeps no binary log",
        )
    })?;
    Ok(Copied { at, ahead })
}

/// Copies the present rows into the hidden database. What an attempt that died
/// left there is dropped first.
fn copy_rows(
    bench: &Bench,
    ctx: &StepContext,
    stop: &dyn Fn() -> bool,
) -> Result<Position, StepError> {
    let mut session = bench.live()?;
    hide(&mut session, &bench.input.staging(ctx))?;
    for (i, table) in bench.input.tables.iter().enumerate() {
        let def = definition(&mut session, &table.from)?;
        let to = bench.input.staged(ctx, i);
        session
            .exec(
                "make a hidden table",
                format!("CREATE TABLE {} LIKE {}", quoted(&to), quoted(&table.from)),
            )
            .map_err(database_error)?;
        let total = def.rows.max(1);
        let copied = copy::chunked(
            &mut session,
            &table.from,
            &to,
            &def,
            &copy::CopyOptions::default(),
            &mut |rows| {
                let percent = u8::try_from((rows * 100 / total).min(99)).unwrap_or(99);
                ctx.progress(percent, format!("{rows} rows of {} copied", table.from));
            },
            stop,
        )
        .map_err(database_error)?;
        if copied.at.is_some() {
            return Err(StepError::failed(
                Code::TableUnsupported,
                format!(
                    "copy the rows of {}: without a key they are taken back only where the server's files are reached",
                    table.from
                ),
            ));
        }
    }
    catalog::binlog_end(&mut session)
        .map_err(database_error)?
        .ok_or_else(|| {
            StepError::failed(
                Code::DatabaseSettings,
                "tell where in history the copy is: the server keeps no binary log",
            )
        })
}

/// Makes the hidden database anew.
pub(crate) fn hide(session: &mut Session, staging: &str) -> Result<(), StepError> {
    drop_hidden(session, staging)?;
    session
        .exec(
            "make the hidden database",
            format!("CREATE DATABASE {}", ident(staging)),
        )
        .map_err(database_error)?;
    Ok(())
}

pub(crate) fn drop_hidden(session: &mut Session, staging: &str) -> Result<(), StepError> {
    session
        .exec(
            "drop the hidden database",
            format!("DROP DATABASE IF EXISTS {}", ident(staging)),
        )
        .map_err(database_error)?;
    Ok(())
}

pub(crate) fn definition(session: &mut Session, name: &TableName) -> Result<TableDef, StepError> {
    found(session, name)
        .map_err(database_error)?
        .ok_or_else(|| {
            StepError::failed(
                Code::NotFound,
                format!("find table {name}: it was dropped or renamed meanwhile"),
            )
        })
}

async fn uncopy(procedure: &Rollback, ctx: &StepContext) -> Result<Done, StepError> {
    at_work(procedure, ctx, |bench, ctx| {
        if bench.input.copying == Copying::Rows {
            drop_hidden(&mut bench.live()?, &bench.input.staging(ctx))?;
        }
        backup::discard(&bench.copy_folder()).map_err(database_error)?;
        files::remove_folder(&bench.folder)
    })
    .await?;
    Ok(Done::nothing())
}

pub(crate) fn missing(step: &str) -> StepError {
    StepError::failed(
        Code::Internal,
        format!("read the record of step {step}: it is missing"),
    )
}

/// Which of the tables a base backup has, under the names they had then.
fn present_in(
    bench: &Bench,
    base: &Position,
) -> Result<(HashSet<TableName>, Vec<TableName>), StepError> {
    let chosen: HashSet<TableName> = bench.input.names().into_iter().collect();
    let names = bench
        .archive()?
        .names(base, &bench.input.cut, &chosen)
        .map_err(history_error)?;
    let last = bench.input.base.last().ok_or_else(|| missing("plan"))?;
    let manifest = backup::read(last).map_err(database_error)?.ok_or_else(|| {
        StepError::failed(
            Code::BackupState,
            format!("read the backup in {}: it is not complete", last.display()),
        )
    })?;
    let there = manifest
        .tables
        .into_iter()
        .map(|t| t.name)
        .filter(|name| names.contains(name))
        .collect();
    Ok((names, there))
}

/// Which tables are taken out of the base backup.
fn needed_of(bench: &Bench, base: &Position) -> Result<Vec<TableName>, StepError> {
    let (_, mut there) = present_in(bench, base)?;
    let (Some(replay), Some(last)) = (&bench.input.replay, bench.input.base.last()) else {
        return Ok(there);
    };
    let manifest = backup::read(last).map_err(database_error)?;
    let known: HashSet<TableName> = there.iter().cloned().collect();
    let has = |name: &TableName| {
        let mut tables = manifest.iter().flat_map(|m| &m.tables);
        tables.any(|t| t.name == *name)
    };
    there.extend(
        (replay.tables.iter())
            .filter(|name| !known.contains(name) && has(name))
            .cloned(),
    );
    Ok(there)
}

async fn scratch(procedure: &Rollback, ctx: &StepContext) -> Result<Done, StepError> {
    let copied = at_work(procedure, ctx, |bench, ctx| {
        let copied: Copied = ctx.output("copy")?.ok_or_else(|| missing("copy"))?;
        start_scratch(bench, ctx, copied)
    })
    .await?;
    Done::remember(&copied)
}

/// Starts a server on the copied pages. Where one ended that was started on
/// them, they are copied anew.
fn start_scratch(bench: &Bench, ctx: &StepContext, copied: Copied) -> Result<Copied, StepError> {
    if bench.input.copying == Copying::Rows {
        return Ok(copied);
    }
    let stop = cancelled(ctx);
    let options = ScratchOptions {
        pool_bytes: pool_bytes(bench)?,
        lower_case_table_names: u8::from(bench.input.lower_case_names),
        ..ScratchOptions::default()
    };
    let copied = match bench.scratch().start(&options, &stop) {
        Ok(_) => copied,
        Err(backout_mariadb::Error::Interrupted { .. }) => {
            let copied = copy_anew(bench, ctx)?;
            bench
                .scratch()
                .start(&options, &stop)
                .map_err(database_error)?;
            copied
        }
        Err(e) => return Err(database_error(e)),
    };
    // On the restore road definitions may change on the way: there it is done
    // when the tables are taken out.
    if bench.input.road == Road::Undo {
        transport::make_ready(&bench.scratch(), &bench.input.names()).map_err(database_error)?;
    }
    Ok(copied)
}

/// Memory for the pages of the copy: all of them, and the keys that grow, where
/// a quarter of what is free now allows. Rows are changed in the order of the
/// primary key; those of other keys lie anywhere.
fn pool_bytes(bench: &Bench) -> Result<u64, StepError> {
    let copied: u64 = backup::read(&bench.copy_folder())
        .map_err(database_error)?
        .map_or(0, |manifest| manifest.tables.iter().map(|t| t.bytes).sum());
    let free = free_memory();
    let least = ScratchOptions::default().pool_bytes;
    Ok((copied + copied / 4).min(free / 4).max(least))
}

fn copy_anew(bench: &Bench, ctx: &StepContext) -> Result<Copied, StepError> {
    ctx.progress(0, "beginning anew with another copy");
    bench.scratch().discard().map_err(database_error)?;
    backup::discard(&bench.copy_folder()).map_err(database_error)?;
    make_copy(bench, ctx)
}

async fn unscratch(procedure: &Rollback, ctx: &StepContext) -> Result<Done, StepError> {
    at_work(procedure, ctx, |bench, _| stop_scratch(bench)).await?;
    Ok(Done::nothing())
}

fn stop_scratch(bench: &Bench) -> Result<(), StepError> {
    match bench.input.copying {
        Copying::Rows => Ok(()),
        Copying::Files => bench.scratch().discard().map_err(database_error),
    }
}

async fn reduce(procedure: &Rollback, ctx: &StepContext) -> Result<Done, StepError> {
    let segment = at_work(procedure, ctx, |bench, ctx| {
        let copied: Copied = ctx.output("scratch")?.ok_or_else(|| missing("scratch"))?;
        first_segment(bench, ctx, &copied)
    })
    .await?;
    Done::remember(&segment)
}

async fn unreduce(procedure: &Rollback, ctx: &StepContext) -> Result<Done, StepError> {
    at_work(procedure, ctx, |bench, _| {
        files::remove_folder(&bench.net_folder(0))
    })
    .await?;
    Ok(Done::nothing())
}

/// Reduces what happened between the copy and the cut, up to the first
/// definition statement on the restore road.
fn first_segment(bench: &Bench, ctx: &StepContext, copied: &Copied) -> Result<Segment, StepError> {
    let archive = bench.archive()?;
    let there = archive
        .wait_until(&copied.at, CATCH_UP, &cancelled(ctx))
        .map_err(history_error)?;
    if !there {
        return Err(StepError::again(
            Code::HistoryGap,
            format!(
                "read history up to {}: the archive is not that far",
                copied.at
            ),
        ));
    }
    if bench.input.replay.is_some() {
        // Nothing is reduced: each event is applied as it is.
        return Ok(Segment {
            number: 0,
            tables: Vec::new(),
            then: None,
        });
    }
    match bench.input.direction() {
        Direction::Backward => segment(
            bench,
            ctx,
            0,
            &bench.input.cut.clone(),
            &copied.at,
            None,
            copied.ahead.as_ref(),
        ),
        Direction::Forward => {
            let (names, _) = present_in(bench, &copied.at)?;
            segment(
                bench,
                ctx,
                0,
                &copied.at,
                &bench.input.cut.clone(),
                Some(&names),
                None,
            )
        }
    }
}

/// Reduces one segment, unless that was done ahead, and computes the digests of
/// the tables meanwhile.
fn segment(
    bench: &Bench,
    ctx: &StepContext,
    number: usize,
    from: &Position,
    to: &Position,
    names: Option<&HashSet<TableName>>,
    ahead: Option<&Ahead>,
) -> Result<Segment, StepError> {
    let endpoint = bench.workplace()?;
    let mut session = Session::open(&endpoint).map_err(database_error)?;
    // The tables as they are in the copy, with the names they have in history.
    let mut defs = Vec::new();
    match names {
        None => {
            for (i, table) in bench.input.tables.iter().enumerate() {
                let def = definition(&mut session, &bench.input.worked_on(ctx, i))?;
                defs.push((table.from.clone(), def));
            }
        }
        Some(names) => {
            for name in names {
                if let Some(def) = found(&mut session, name).map_err(database_error)? {
                    defs.push((name.clone(), def));
                }
            }
        }
    }
    defs.sort_by(|a, b| a.0.cmp(&b.0));
    let folder = bench.net_folder(number);
    let tables: Vec<NetTable> = defs
        .iter()
        .map(|(name, def)| net_table(name, def))
        .collect();
    let defined: Vec<&TableDef> = defs.iter().map(|(_, def)| def).collect();
    let known = ahead.and_then(|ahead| ahead.of(&tables, &defined));
    let left = match &known {
        Some(_) => ahead::left(&folder)?,
        None => None,
    };
    if left.is_none() {
        files::remove_folder(&folder)?;
    }
    let archive = bench.archive()?;
    let stop = bench.stop(ctx);
    let stretch = Stretch {
        from,
        to,
        tables,
        only: None,
        until_altered: names,
        fuzzy: bench.input.copying == Copying::Rows,
        lower_case_names: bench.input.lower_case_names,
    };
    let digestible = bench.input.copying == Copying::Files;
    let digested = AtomicBool::new(false);
    // The one reads files here, the other asks the server: side by side.
    let (reduced, digests) = std::thread::scope(|scope| {
        if digestible && number == 0 {
            scope.spawn(|| {
                // Without it, the server reads the same more slowly.
                let enough = || digested.load(Ordering::Relaxed) || stop();
                let _ = bench.scratch().read_ahead(&enough);
            });
        }
        let digests = scope.spawn(|| -> Result<Vec<Option<RowDigest>>, StepError> {
            let digests = defs
                .iter()
                .map(|(_, def)| match digestible {
                    false => Ok(None),
                    true => digest::digest(&endpoint, def, SESSIONS, Pace::Own, &stop)
                        .map(Some)
                        .map_err(database_error),
                })
                .collect();
            digested.store(true, Ordering::Relaxed);
            digests
        });
        let reduced = match (left, known) {
            (Some(net), Some(changes)) => {
                let reduced = Reduced {
                    summaries: net.summaries().to_vec(),
                    altered: None,
                };
                Ok((reduced, changes))
            }
            _ => reduction::reduce(
                &archive,
                stretch,
                &folder,
                bench.runtime.memory_bytes,
                &|at| ctx.progress(50, format!("reading history at {at}")),
                &stop,
            )
            .map(|reduced| {
                let changes = match digestible {
                    true => ahead::changes(&folder, &defined, bench.input.direction(), &stop),
                    false => vec![None; defined.len()],
                };
                (reduced, changes)
            }),
        };
        (reduced, digests.join())
    });
    let (reduced, changes) = reduced.map_err(history_error)?;
    let digests = digests.map_err(|_| {
        StepError::failed(
            Code::Internal,
            "compute the digests of the copy: it panicked",
        )
    })??;
    if let Some(broken) = reduced.summaries.iter().find(|s| s.broken > 0) {
        return Err(StepError::failed(
            Code::HistoryUnsupported,
            format!(
                "take {} back row by row: {} of its changes do not follow from one another, so something changed it that is not in the history (a cascade of a foreign key, a session that did not log)",
                broken.table, broken.broken
            ),
        ));
    }
    Ok(Segment {
        number,
        tables: defs
            .into_iter()
            .zip(digests)
            .zip(changes)
            .map(|(((name, _), digest), change)| Worked {
                name,
                digest,
                change,
            })
            .collect(),
        then: reduced.altered.map(|(statement, next)| {
            (
                statement.schema,
                String::from_utf8_lossy(&statement.text).into_owned(),
                next,
            )
        }),
    })
}

pub(crate) fn net_table(name: &TableName, def: &TableDef) -> NetTable {
    NetTable {
        name: name.clone(),
        key: match &def.key {
            Some(columns) => Key::Columns(columns.clone()),
            None => Key::WholeRow,
        },
        signedness: def.columns.iter().map(|c| c.unsigned).collect(),
        computed: def.computed(),
    }
}

async fn apply(procedure: &Rollback, ctx: &StepContext) -> Result<Done, StepError> {
    let applied = at_work(procedure, ctx, |bench, ctx| {
        let copied: Copied = ctx.output("scratch")?.ok_or_else(|| missing("scratch"))?;
        let segment: Segment = ctx.output("reduce")?.ok_or_else(|| missing("reduce"))?;
        // Rows are applied in pieces: after a crash nobody knows how many. The
        // copy is made anew then; rows in the hidden database can be written
        // again as they are.
        let mark = bench.folder.join("applying");
        if mark.exists() && bench.input.copying == Copying::Files {
            return build_anew(bench, ctx);
        }
        files::mark(&mark)?;
        bring(bench, ctx, &copied, segment)
    })
    .await?;
    Done::remember(&applied)
}

/// From the copy on, all over again.
fn build_anew(bench: &Bench, ctx: &StepContext) -> Result<Applied, StepError> {
    let copied = copy_anew(bench, ctx)?;
    let copied = start_scratch(bench, ctx, copied)?;
    let segment = first_segment(bench, ctx, &copied)?;
    bring(bench, ctx, &copied, segment)
}

/// Brings the copy to the instant, segment by segment.
fn bring(
    bench: &Bench,
    ctx: &StepContext,
    copied: &Copied,
    mut segment: Segment,
) -> Result<Applied, StepError> {
    if let Some(replay) = &bench.input.replay {
        return replayed(bench, ctx, copied, replay);
    }
    if bench.input.copying == Copying::Files {
        bench.scratch().write_along().map_err(database_error)?;
    }
    loop {
        let done = apply_segment(bench, ctx, &segment)?;
        let Some((schema, statement, next)) = segment.then.clone() else {
            return finish(bench, &segment, &done);
        };
        let mut session = Session::open(&bench.workplace()?).map_err(database_error)?;
        define(&mut session, &schema, &statement)?;
        let (names, _) = present_in(bench, &copied.at)?;
        let cut = bench.input.cut.clone();
        segment = self::segment(
            bench,
            ctx,
            segment.number + 1,
            &next,
            &cut,
            Some(&names),
            None,
        )?;
    }
}

/// Brings the copy to the cut as a replica goes, with its foreign keys.
fn replayed(
    bench: &Bench,
    ctx: &StepContext,
    copied: &Copied,
    replay: &Replay,
) -> Result<Applied, StepError> {
    let endpoint = bench.workplace()?;
    let scratch = bench.scratch();
    let mut session = Session::open(&endpoint).map_err(database_error)?;
    movable_definitions(&mut session)?;
    let stop = cancelled(ctx);
    let mut options = replay::Options {
        tables: Some(&replay.tables),
        cancelled: &stop,
        progress: &mut |bytes| ctx.progress(50, format!("{bytes} bytes of history replayed")),
    };
    let target = replay::Target {
        endpoint: &endpoint,
        datadir: scratch.datadir(),
    };
    let archive = bench.archive()?;
    let done = replay::replay(
        &target,
        &archive,
        &copied.at,
        &bench.input.cut,
        &mut options,
    )
    .map_err(database_error)?;
    let mut tables = Vec::with_capacity(bench.input.tables.len());
    for table in &bench.input.tables {
        ctx.progress(80, format!("computing the digest of {}", table.from));
        let def = definition(&mut session, &table.from)?;
        let digest =
            digest::digest(&endpoint, &def, SESSIONS, Pace::Own, &stop).map_err(database_error)?;
        let keys = transport::Definition::parse(&def.create_sql)
            .map(|parts| parts.foreign_keys)
            .unwrap_or_default();
        let mut broken = Vec::new();
        for clause in &keys {
            let key =
                KeyClause::parse(clause, &table.from.schema).ok_or_else(|| missing("plan"))?;
            let holds = key.holds(&mut session, &table.from, &key.parent);
            if !holds.map_err(database_error)? {
                broken.push(key.name);
            }
        }
        tables.push(AppliedTable {
            digest: Some(digest),
            touched: 0,
            replayed: Some(ReplayedTable {
                groups: done.groups,
                keys: keys.len(),
                broken,
            }),
        });
    }
    Ok(Applied { tables, last: 0 })
}

/// A column that was added in an instant is not where it is defined, and then
/// the table's file cannot be moved.
fn movable_definitions(session: &mut Session) -> Result<(), StepError> {
    session
        .exec(
            "run a definition statement of history in the scratch server",
            "SET GLOBAL innodb_instant_alter_column_allowed=never",
        )
        .map_err(database_error)?;
    Ok(())
}

/// Runs a definition statement of history in the scratch server.
fn define(session: &mut Session, schema: &str, statement: &str) -> Result<(), StepError> {
    let doing = "run a definition statement of history in the scratch server";
    if !schema.is_empty() {
        session
            .exec(
                doing,
                format!("CREATE DATABASE IF NOT EXISTS {}", ident(schema)),
            )
            .map_err(database_error)?;
        session
            .exec(doing, format!("USE {}", ident(schema)))
            .map_err(database_error)?;
    }
    session
        .exec(doing, "SET SESSION foreign_key_checks=0")
        .map_err(database_error)?;
    movable_definitions(session)?;
    session.exec(doing, statement).map_err(database_error)?;
    Ok(())
}

/// Brings the tables of the copy to the end of a segment. Returns how many rows
/// of each were touched, and the digest that each must have then.
fn apply_segment(
    bench: &Bench,
    ctx: &StepContext,
    segment: &Segment,
) -> Result<Vec<AppliedTable>, StepError> {
    let endpoint = bench.workplace()?;
    let net = open_net(&bench.net_folder(segment.number))?;
    let direction = bench.input.direction();
    let mut session = Session::open(&endpoint).map_err(database_error)?;
    let mut done = Vec::with_capacity(segment.tables.len());
    for (i, worked) in segment.tables.iter().enumerate() {
        let place = match bench.input.copying {
            Copying::Files => worked.name.clone(),
            Copying::Rows => bench.input.staged_of(ctx, &worked.name)?,
        };
        let def = definition(&mut session, &place)?;
        let summary = &net.summaries()[i];
        ctx.progress(
            u8::try_from(i * 100 / segment.tables.len()).unwrap_or(0),
            format!("bringing {} rows of {} back", summary.rows, worked.name),
        );
        let digest = match (worked.digest, worked.change) {
            (Some(mut now), Some(change)) => {
                now.add(&change);
                Some(now)
            }
            (Some(now), None) => Some(
                digest::predicted(&net, i, &def.columns, direction, now, &cancelled(ctx))
                    .map_err(database_error)?,
            ),
            (None, _) => None,
        };
        let work = apply::Work {
            net: &net,
            table: i,
            direction,
            target: &place,
            def: &def,
        };
        let options = ApplyOptions {
            sessions: SESSIONS,
            setup: Vec::new(),
            beside: bench.others.as_ref(),
        };
        let stop = cancelled(ctx);
        let mut told = |rows: u64| {
            let percent = rows.saturating_mul(100).checked_div(summary.rows);
            ctx.progress(
                u8::try_from(percent.unwrap_or(100).min(100)).unwrap_or(100),
                format!("{rows} of {} rows of {}", summary.rows, worked.name),
            );
        };
        match bench.input.copying {
            Copying::Files => apply::events(&endpoint, &work, &options, &mut told, &stop),
            Copying::Rows => apply::upserts(&endpoint, &work, &options, &mut told, &stop),
        }
        .map_err(database_error)?;
        done.push(AppliedTable {
            digest,
            touched: summary.rows,
            replayed: None,
        });
    }
    Ok(done)
}

pub(crate) fn open_net(folder: &Path) -> Result<NetFiles, StepError> {
    NetFiles::open(folder)
        .map_err(history_error)?
        .ok_or_else(|| {
            StepError::failed(
                Code::HistoryDamaged,
                format!(
                    "open the net effect in {}: it is not complete",
                    folder.display()
                ),
            )
        })
}

/// What the tables that are taken back must be, in their order.
fn finish(bench: &Bench, segment: &Segment, done: &[AppliedTable]) -> Result<Applied, StepError> {
    let tables = bench
        .input
        .tables
        .iter()
        .map(|wanted| {
            segment
                .tables
                .iter()
                .position(|t| t.name == wanted.from)
                .and_then(|i| done.get(i).cloned())
                .ok_or_else(|| {
                    StepError::failed(
                        Code::NotFound,
                        format!(
                            "find table {} at that instant: it was not there",
                            wanted.from
                        ),
                    )
                })
        })
        .collect::<Result<_, _>>()?;
    Ok(Applied {
        tables,
        last: segment.number,
    })
}

async fn stage(procedure: &Rollback, ctx: &StepContext) -> Result<Done, StepError> {
    let applied = at_work(procedure, ctx, |bench, ctx| {
        let applied: Applied = ctx.output("apply")?.ok_or_else(|| missing("apply"))?;
        if bench.input.copying == Copying::Rows {
            return Ok(applied);
        }
        let endpoint = bench.endpoint()?;
        match carry(bench, ctx, &endpoint) {
            Ok(()) => Ok(applied),
            Err(backout_mariadb::Error::Interrupted { .. }) => {
                // The server had begun to take the files in, or the scratch
                // server has ended: what is there now is not whole.
                unstaged(bench, ctx)?;
                let applied = build_anew(bench, ctx)?;
                carry(bench, ctx, &endpoint).map_err(database_error)?;
                Ok(applied)
            }
            Err(e) => Err(database_error(e)),
        }
    })
    .await?;
    Done::remember(&applied)
}

/// Moves the tables out of the scratch server, into the hidden database.
fn carry(
    bench: &Bench,
    ctx: &StepContext,
    endpoint: &Endpoint,
) -> Result<(), backout_mariadb::Error> {
    let stop = cancelled(ctx);
    let datadir = bench.instance.facts.datadir.clone();
    let datadir = datadir.ok_or_else(|| backout_mariadb::Error::State {
        what: "move tables into the server".to_owned(),
        why: "its files are not reached from here".to_owned(),
    })?;
    ctx.progress(0, "moving tables out of the scratch server");
    let exported = transport::export(
        &bench.scratch(),
        &bench.input.names(),
        &bench.export_folder(),
        &stop,
    )?;
    let mut session = Session::open(endpoint)?;
    let logged = unlogged(&mut session);
    session.exec(
        "make the hidden database",
        format!(
            "CREATE DATABASE IF NOT EXISTS {}",
            ident(&bench.input.staging(ctx))
        ),
    )?;
    for (i, table) in bench.input.tables.iter().enumerate() {
        ctx.progress(
            u8::try_from(i * 100 / bench.input.tables.len()).unwrap_or(0),
            format!("the server takes {} in", table.from),
        );
        let Some(exported) = exported.iter().find(|e| e.name == table.from) else {
            return Err(backout_mariadb::Error::NoTable {
                table: table.from.clone(),
            });
        };
        transport::import(
            &mut Live {
                session: &mut session,
                datadir: &datadir,
                logged,
            },
            &bench.export_folder(),
            exported,
            &bench.input.staged(ctx, i),
            Place::Move,
            &stop,
        )?;
    }
    Ok(())
}

/// Sees to it, in a thread of its own, that tables which the server has taken in
/// survive a crash of it.
struct Settling {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<(), backout_mariadb::Error>>>,
}

impl Settling {
    fn start(bench: &Bench, ctx: &StepContext) -> Result<Self, StepError> {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = match bench.input.copying {
            Copying::Rows => None,
            Copying::Files => {
                let (endpoint, stop) = (bench.endpoint()?, Arc::clone(&stop));
                let cancel = ctx.cancel.clone();
                Some(std::thread::spawn(move || {
                    let unwanted = || stop.load(Ordering::Relaxed) || cancel.requested();
                    transport::settle(&endpoint, &unwanted)
                }))
            }
        };
        Ok(Self { stop, thread })
    }

    fn join(mut self) -> Result<(), StepError> {
        match self.thread.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(settled)) => settled.map_err(database_error),
            Some(Err(_)) => Err(StepError::failed(
                Code::Internal,
                "make the tables safe from a crash of the server: it panicked",
            )),
        }
    }
}

impl Drop for Settling {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Whatever else failed is why.
            let _ = thread.join();
        }
    }
}

async fn unstage(procedure: &Rollback, ctx: &StepContext) -> Result<Done, StepError> {
    at_work(procedure, ctx, |bench, ctx| match bench.input.copying {
        // The first step's, in this case.
        Copying::Rows => Ok(()),
        Copying::Files => unstaged(bench, ctx),
    })
    .await?;
    Ok(Done::nothing())
}

/// Removes the hidden database, and what an import left.
fn unstaged(bench: &Bench, ctx: &StepContext) -> Result<(), StepError> {
    let (mut session, logged) = bench.unlogged()?;
    let folder = bench.export_folder();
    if let (Some(datadir), Some(exported)) = (
        bench.instance.facts.datadir.clone(),
        transport::exported(&folder).map_err(database_error)?,
    ) {
        for exported in &exported {
            let mut live = Live {
                session: &mut session,
                datadir: &datadir,
                logged,
            };
            transport::undo_import(&mut live, &folder, exported).map_err(database_error)?;
        }
    }
    drop_hidden(&mut session, &bench.input.staging(ctx))?;
    files::remove_folder(&folder)
}

async fn prove(procedure: &Rollback, ctx: &StepContext) -> Result<Done, StepError> {
    let proofs = at_work(procedure, ctx, |bench, ctx| {
        let applied: Applied = ctx.output("stage")?.ok_or_else(|| missing("stage"))?;
        let settling = Settling::start(bench, ctx)?;
        let endpoint = bench.endpoint()?;
        let mut live = bench.live()?;
        let keys = keys(bench, &mut live)?;
        let mut proofs = Vec::with_capacity(applied.tables.len());
        for (i, (table, must)) in bench.input.tables.iter().zip(&applied.tables).enumerate() {
            ctx.progress(
                u8::try_from(i * 100 / applied.tables.len()).unwrap_or(0),
                format!("comparing {}", table.from),
            );
            let place = bench.input.staged(ctx, i);
            let def = definition(&mut live, &place)?;
            let digest = digest::digest(&endpoint, &def, PROVERS, Pace::Beside, &cancelled(ctx))
                .map_err(database_error)?;
            let by = match must.digest {
                Some(wanted) if wanted == digest => {
                    "the digest of all rows is the one that was computed from the copy and the history"
                }
                Some(wanted) => return Err(differs(&table.from, &wanted, &digest)),
                None => {
                    let net = open_net(&bench.net_folder(applied.last))?;
                    read_back(bench, ctx, &net, &table.from, &mut live, &def)?;
                    "every touched row was read back and compared with the history"
                }
            };
            let without = unsatisfied(bench, ctx, &mut live, &keys, table)?;
            let mut by = match &must.replayed {
                Some(replayed) => replayed.words(),
                None => by.to_owned(),
            };
            if !without.is_empty() {
                by.push_str(&format!(
                    "; it is without foreign key {}, which some of its rows do not satisfy",
                    without.join(", ")
                ));
            }
            proofs.push(Proof {
                table: table.from.clone(),
                rows: digest.rows(),
                touched: must.touched,
                digest: digest.to_string(),
                by,
            });
        }
        settling.join()?;
        Ok(proofs)
    })
    .await?;
    Done::remember(&proofs)
}

/// The foreign keys among tables that come back with their databases.
fn keys(bench: &Bench, live: &mut Session) -> Result<Vec<ForeignKey>, StepError> {
    let input = &bench.input;
    let members = || {
        input
            .tables
            .iter()
            .filter(|t| input.databases.iter().any(|d| d.from == t.from.schema))
    };
    let names: HashMap<TableName, TableName> =
        members().map(|t| (t.from.clone(), t.to.clone())).collect();
    let exported = match input.copying {
        Copying::Files => transport::exported(&bench.export_folder())
            .map_err(database_error)?
            .unwrap_or_default(),
        Copying::Rows => Vec::new(),
    };
    let mut keys = Vec::new();
    for table in members() {
        let defined = match exported.iter().find(|e| e.name == table.from) {
            Some(exported) => Some(exported.definition.clone()),
            None => transport::Definition::parse(&definition(live, &table.from)?.create_sql),
        };
        let clauses = defined.map(|d| d.foreign_keys).unwrap_or_default();
        keys.extend(beside::keys_of(
            &clauses,
            &table.from.schema,
            &table.to,
            &names,
        ));
    }
    Ok(keys)
}

/// The foreign keys that published tables have.
fn published_keys(bench: &Bench, live: &mut Session) -> Result<Vec<ForeignKey>, StepError> {
    let names = (bench.input.tables.iter())
        .map(|t| (t.to.clone(), t.to.clone()))
        .collect();
    let mut keys = Vec::new();
    for table in &bench.input.tables {
        let def = found(live, &table.to).map_err(database_error)?;
        let parts = def.and_then(|def| transport::Definition::parse(&def.create_sql));
        let clauses = parts.map(|parts| parts.foreign_keys).unwrap_or_default();
        keys.extend(beside::keys_of(
            &clauses,
            &table.to.schema,
            &table.to,
            &names,
        ));
    }
    Ok(keys)
}

/// The names of a table's foreign keys that some of its rows do not satisfy.
fn unsatisfied(
    bench: &Bench,
    ctx: &StepContext,
    live: &mut Session,
    keys: &[ForeignKey],
    table: &Renamed<TableName>,
) -> Result<Vec<String>, StepError> {
    let mut names = Vec::new();
    let hidden = |name: &TableName| {
        let place = bench.input.tables.iter().position(|t| t.to == *name);
        Ok::<_, StepError>(
            bench
                .input
                .staged(ctx, place.ok_or_else(|| missing("plan"))?),
        )
    };
    for key in keys.iter().filter(|k| k.child == table.to) {
        let clause = key.read()?;
        let holds = clause
            .holds(live, &hidden(&key.child)?, &hidden(&key.parent)?)
            .map_err(database_error)?;
        if !holds {
            names.push(clause.name);
        }
    }
    Ok(names)
}

/// Reads every touched row of a table back, and compares it with what history
/// wants.
fn read_back(
    bench: &Bench,
    ctx: &StepContext,
    net: &NetFiles,
    table: &TableName,
    live: &mut Session,
    def: &TableDef,
) -> Result<(), StepError> {
    let place = net.summaries().iter().position(|s| s.table == *table);
    let place = place.ok_or_else(|| missing("reduce"))?;
    let summary = &net.summaries()[place];
    let Some(layout) = &summary.layout else {
        return Ok(());
    };
    digest::verify(
        live,
        def,
        layout,
        net.rows(place).map_err(history_error)?,
        bench.input.direction(),
        &mut |rows| ctx.progress(50, format!("{rows} of {} rows compared", summary.rows)),
        &cancelled(ctx),
    )
    .map_err(database_error)?;
    Ok(())
}

fn differs(table: &TableName, wanted: &RowDigest, is: &RowDigest) -> StepError {
    StepError::failed(
        Code::ProofFailed,
        format!(
            "prove {table}: its digest must be {wanted} and is {is}; nothing was published. Take the other way, and report this as a fault of Backout"
        ),
    )
}

async fn publish(procedure: &Rollback, ctx: &StepContext) -> Result<Done, StepError> {
    at_work(procedure, ctx, |bench, ctx| {
        let (mut live, logged) = bench.unlogged()?;
        fenced(bench, ctx, &mut live)?;
        for database in &bench.input.databases {
            make_database(&mut live, ctx, database)?;
        }
        let placed = &bench.input.placed;
        beside::make_early(&live, placed, logged)?;
        if !published(&mut live, bench, ctx)? {
            let pairs: Vec<String> = bench
                .input
                .tables
                .iter()
                .enumerate()
                .map(|(i, t)| {
                    format!(
                        "{} TO {}",
                        quoted(&bench.input.staged(ctx, i)),
                        quoted(&t.to)
                    )
                })
                .collect();
            live.exec(
                "give the tables their new names",
                format!("RENAME TABLE {}", pairs.join(", ")),
            )
            .map_err(database_error)?;
        }
        let mut satisfied = Vec::new();
        for key in keys(bench, &mut live)? {
            let holds = key.read()?.holds(&mut live, &key.child, &key.parent);
            if holds.map_err(database_error)? {
                satisfied.push(key);
            }
        }
        let told = |what: String| ctx.progress(90, what);
        beside::make_late(&live, &satisfied, placed, logged, &told)
    })
    .await?;
    Ok(Done::nothing())
}

/// Whether the tables have their new names: the statement that gives them does
/// so for all or none.
fn published(live: &mut Session, bench: &Bench, ctx: &StepContext) -> Result<bool, StepError> {
    let hidden = catalog::exists(live, &bench.input.staged(ctx, 0)).map_err(database_error)?;
    Ok(!hidden)
}

/// What tells that a database was made by a job.
fn made_by(ctx: &StepContext) -> String {
    format!("backout {}", ctx.job)
}

/// Makes a database as the one it is a copy of.
fn make_database(
    live: &mut Session,
    ctx: &StepContext,
    database: &Renamed<String>,
) -> Result<(), StepError> {
    let doing = format!("make database {}", database.to);
    let comment = database_comment(live, &database.to)?;
    match comment {
        Some(comment) if comment == made_by(ctx) => return Ok(()),
        Some(_) => {
            return Err(StepError::failed(
                Code::TargetExists,
                format!("{doing}: somebody made one of that name meanwhile; choose another"),
            ));
        }
        None => {}
    }
    let like: Option<(String, String)> = live
        .first(
            &doing,
            format!(
                "SELECT DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {}",
                text(&database.from)
            ),
        )
        .map_err(database_error)?;
    let charset = like.map_or_else(String::new, |(charset, collation)| {
        format!(" CHARACTER SET {charset} COLLATE {collation}")
    });
    live.exec(
        &doing,
        format!(
            "CREATE DATABASE {}{charset} COMMENT {}",
            ident(&database.to),
            text(&made_by(ctx))
        ),
    )
    .map_err(database_error)?;
    Ok(())
}

fn database_comment(live: &mut Session, name: &str) -> Result<Option<String>, StepError> {
    live.first(
        "look whether a database is there",
        format!(
            "SELECT SCHEMA_COMMENT FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {}",
            text(name)
        ),
    )
    .map_err(database_error)
}

/// Sees to it that no other worker's statement has its effect on the instance
/// from now on, until the session is dropped.
fn fenced(bench: &Bench, ctx: &StepContext, live: &mut Session) -> Result<(), StepError> {
    let fence = u64::try_from(ctx.fence.0).unwrap_or(0);
    guard::hold(live, bench.instance.id.as_str(), fence).map_err(database_error)
}

/// Gives the published tables their hidden names back. One that somebody has
/// dropped meanwhile is gone, as it should be.
fn take_names_away(bench: &Bench, ctx: &StepContext, live: &mut Session) -> Result<(), StepError> {
    // Each time that one was dropped since it was looked for, fewer are left.
    for _ in 0..=bench.input.tables.len() {
        let mut pairs = Vec::new();
        for (i, table) in bench.input.tables.iter().enumerate() {
            if catalog::exists(live, &table.to).map_err(database_error)? {
                let staged = quoted(&bench.input.staged(ctx, i));
                pairs.push(format!("{} TO {staged}", quoted(&table.to)));
            }
        }
        if pairs.is_empty() {
            return Ok(());
        }
        let renamed = live.exec(
            "take the new names away",
            format!("RENAME TABLE {}", pairs.join(", ")),
        );
        match renamed {
            Err(e) if e.number() == Some(number::NO_SUCH_TABLE) => {}
            renamed => return renamed.map(drop).map_err(database_error),
        }
    }
    Err(StepError::again(
        Code::DatabaseRefused,
        "take the new names away: tables come and go under them",
    ))
}

async fn unpublish(procedure: &Rollback, ctx: &StepContext) -> Result<Done, StepError> {
    at_work(procedure, ctx, |bench, ctx| {
        let (mut live, logged) = bench.unlogged()?;
        fenced(bench, ctx, &mut live)?;
        // With triggers a table does not move to another database.
        let mut placed = Vec::new();
        for one in &bench.input.placed {
            let comment = database_comment(&mut live, &one.database)?;
            if comment.is_some_and(|comment| comment == made_by(ctx)) {
                placed.push(one.clone());
            }
        }
        beside::unmake(&live, &[], &placed, logged)?;
        let hidden: Option<String> = live
            .first(
                "look whether the hidden database is there",
                format!(
                    "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {}",
                    text(&bench.input.staging(ctx))
                ),
            )
            .map_err(database_error)?;
        if hidden.is_some() && published(&mut live, bench, ctx)? {
            // Two databases may have keys of one name; in one they cannot be.
            let keys = published_keys(bench, &mut live)?;
            beside::unmake(&live, &keys, &[], logged)?;
            take_names_away(bench, ctx, &mut live)?;
        }
        for database in &bench.input.databases {
            let ours = database_comment(&mut live, &database.to)?
                .is_some_and(|comment| comment == made_by(ctx));
            let empty = catalog::tables(&mut live, &database.to)
                .map_err(database_error)?
                .is_empty();
            if ours && empty {
                drop_hidden(&mut live, &database.to)?;
            }
        }
        Ok(())
    })
    .await?;
    Ok(Done::nothing())
}

async fn clear(procedure: &Rollback, ctx: &StepContext) -> Result<Done, StepError> {
    at_work(procedure, ctx, |bench, ctx| {
        stop_scratch(bench)?;
        let (mut live, _) = bench.unlogged()?;
        drop_hidden(&mut live, &bench.input.staging(ctx))?;
        for database in &bench.input.databases {
            // It may have been dropped meanwhile: it is its owner's by now.
            let comment = database_comment(&mut live, &database.to)?;
            if comment.is_some_and(|comment| comment == made_by(ctx)) {
                live.exec(
                    "take the mark off a database",
                    format!("ALTER DATABASE {} COMMENT ''", ident(&database.to)),
                )
                .map_err(database_error)?;
            }
        }
        backup::discard(&bench.copy_folder()).map_err(database_error)?;
        files::remove_folder(&bench.folder)
    })
    .await?;
    Ok(Done::nothing())
}
