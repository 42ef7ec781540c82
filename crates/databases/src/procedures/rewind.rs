//! Takes rows back in the tables themselves, while others use them.
//!
//! | step | do | undo |
//! |---|---|---|
//! | reduce | read what happened to the tables since (or what the chosen transactions did), and write down its net effect | remove that |
//! | apply | in one transaction: lock the touched rows, read on until nobody else touched them, take them back, compare | take that transaction back, by its own history |
//! | clear | remove what was written down | none: from its intent on the job goes forward only |
//!
//! Its safety point is history itself: what it did is one transaction, which
//! can be taken back as any other.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use backout_core::code::Code;
use backout_core::ids::DatabaseId;
use backout_core::outcome::Outcome;
use backout_history::archive::{Archive, Txn, Until};
use backout_history::net::{NetFiles, NetSummary};
use backout_history::reader::{Reader, ReaderOptions};
use backout_history::{Gtid, Item, Position, TableName};
use backout_jobs::{Commit, Done, Procedure, Step, StepContext, StepError, Undo};
use backout_mariadb::apply::{self, Follow, InPlace, InPlaceOptions};
use backout_mariadb::catalog::{self, TableDef};
use backout_mariadb::{Error, Session};
use serde::{Deserialize, Serialize};

use super::rollback::{definition, missing, net_table, open_net};
use super::{database_error, history_error, instance, refusal_error, settle_task, under_lock};
use crate::files;
use crate::model::{Instance, Proof};
use crate::reduction::{self, Stretch};
use crate::runtime::{CATCH_UP, Runtime};

/// How many transactions are looked at for our own, after a crash in the very
/// moment of its commit.
const OWN_MAX: usize = 1_000;

/// The procedure.
#[derive(Clone, Debug)]
pub struct Rewind(pub Runtime);

/// What it is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RewindInput {
    /// The instance.
    pub instance: DatabaseId,
    /// Which life of the server's logs the cut is of.
    pub incarnation: u32,
    /// The first byte of history that is taken back.
    pub cut: Position,
    /// Only these transactions; everything since when `None`.
    pub only: Option<Vec<Gtid>>,
    /// The tables.
    pub tables: Vec<TableName>,
    /// Whether the server folds names to lower case.
    pub lower_case_names: bool,
}

const STEPS: &[Step<Rewind>] = &[
    Step {
        name: "reduce",
        does: "read what happened to the tables, and write down its net effect",
        run: |p, ctx| Box::pin(reduce(p, ctx)),
        undo: Undo::By {
            does: "remove what was written down",
            run: |p, ctx| Box::pin(clear(p, ctx)),
        },
    },
    Step {
        name: "apply",
        does: "take the rows back and compare them, in one transaction",
        run: |p, ctx| Box::pin(apply(p, ctx)),
        undo: Undo::By {
            does: "take that transaction back",
            run: |p, ctx| Box::pin(unapply(p, ctx)),
        },
    },
    Step {
        name: "clear",
        does: "remove what was written down",
        run: |p, ctx| Box::pin(clear(p, ctx)),
        undo: Undo::Never,
    },
];

impl Procedure for Rewind {
    fn name(&self) -> &'static str {
        "databases.rewind"
    }

    fn steps(&self) -> &[Step<Self>] {
        STEPS
    }

    fn settle(&self, ctx: &StepContext, outcome: Outcome, failure: Option<&StepError>) -> Commit {
        let applied = ctx.output::<Applied>("apply").ok().flatten();
        settle_task(ctx, outcome, failure, move |detail| {
            if let (Some(rollback), Some(applied)) = (&mut detail.rollback, applied) {
                rollback.made = applied.made;
                rollback.proofs = applied.proofs;
            }
        })
    }
}

/// What the first step left.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Reduced {
    /// Where the history that was read ends.
    until: Position,
}

/// What the second step left.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Applied {
    /// The transaction that took the rows back.
    made: Option<Gtid>,
    proofs: Vec<Proof>,
}

struct Bench {
    runtime: Runtime,
    instance: Instance,
    input: RewindInput,
    folder: PathBuf,
}

impl Bench {
    fn archive(&self) -> Result<Archive, StepError> {
        let archive = self
            .runtime
            .archive(&self.instance.id)
            .map_err(refusal_error)?;
        Ok(archive.at_incarnation(self.input.incarnation))
    }

    fn net(&self) -> PathBuf {
        self.folder.join("net")
    }

    fn definitions(&self, session: &mut Session) -> Result<Vec<TableDef>, StepError> {
        self.input
            .tables
            .iter()
            .map(|name| definition(session, name))
            .collect()
    }

    /// Reduces a stretch of history of the tables into `folder`.
    fn reduce(
        &self,
        ctx: &StepContext,
        session: &mut Session,
        from: &Position,
        to: &Position,
        only: Option<&HashSet<Gtid>>,
        folder: &Path,
    ) -> Result<Vec<NetSummary>, StepError> {
        let defs = self.definitions(session)?;
        files::remove_folder(folder)?;
        let stretch = Stretch {
            from,
            to,
            tables: self
                .input
                .tables
                .iter()
                .zip(&defs)
                .map(|(name, def)| net_table(name, def))
                .collect(),
            only,
            until_altered: None,
            fuzzy: false,
            lower_case_names: self.input.lower_case_names,
        };
        let cancel = ctx.cancel.clone();
        let reduced = reduction::reduce(
            &self.archive()?,
            stretch,
            folder,
            self.runtime.memory_bytes,
            &|at| ctx.progress(50, format!("reading history at {at}")),
            &|| cancel.requested(),
        )
        .map_err(history_error)?;
        if only.is_none()
            && let Some(broken) = reduced.summaries.iter().find(|s| s.broken > 0)
        {
            return Err(StepError::failed(
                Code::HistoryUnsupported,
                format!(
                    "take {} back row by row: {} of its changes do not follow from one another, so something changed it that is not in the history",
                    broken.table, broken.broken
                ),
            ));
        }
        Ok(reduced.summaries)
    }
}

async fn at_work<T: Send + 'static>(
    procedure: &Rewind,
    ctx: &StepContext,
    work: impl FnOnce(&Bench, &StepContext) -> Result<T, StepError> + Send + 'static,
) -> Result<T, StepError> {
    let input: RewindInput = ctx.input()?;
    let instance = instance(ctx, &input.instance).await?;
    let (runtime, id) = (procedure.0.clone(), input.instance.clone());
    let bench = Bench {
        folder: runtime.job_folder(&id, &ctx.job),
        runtime,
        instance,
        input,
    };
    under_lock(ctx, &procedure.0, &id, move |ctx| work(&bench, ctx)).await
}

async fn reduce(procedure: &Rewind, ctx: &StepContext) -> Result<Done, StepError> {
    let reduced = at_work(procedure, ctx, |bench, ctx| {
        let mut session = super::session(&bench.runtime, &bench.instance)?;
        files::make_folder(&bench.folder)?;
        let until = caught_up(&bench.archive()?, &mut session, &ctx.cancel)?;
        let only: Option<HashSet<Gtid>> = bench
            .input
            .only
            .clone()
            .map(|only| only.into_iter().collect());
        bench.reduce(
            ctx,
            &mut session,
            &bench.input.cut,
            &until,
            only.as_ref(),
            &bench.net(),
        )?;
        Ok(Reduced { until })
    })
    .await?;
    Done::remember(&reduced)
}

/// Where the server's log ends; the archive has it until there.
fn caught_up(
    archive: &Archive,
    session: &mut Session,
    cancel: &backout_jobs::Cancel,
) -> Result<Position, StepError> {
    let end = catalog::binlog_end(session)
        .map_err(database_error)?
        .ok_or_else(|| {
            StepError::failed(
                Code::DatabaseSettings,
                "read history up to now: the server keeps no binary log",
            )
        })?;
    match archive
        .wait_until(&end, CATCH_UP, &|| cancel.requested())
        .map_err(history_error)?
    {
        true => Ok(end),
        false => Err(StepError::again(
            Code::HistoryGap,
            format!("read history up to {end}: the archive is not that far"),
        )),
    }
}

/// Reads on in the archive.
struct Following<'a> {
    archive: &'a Archive,
    names: HashSet<TableName>,
    folder: PathBuf,
    lower_case_names: bool,
    cancelled: &'a dyn Fn() -> bool,
}

impl Follow for Following<'_> {
    fn follow(
        &mut self,
        from: &Position,
        to: &Position,
        each: &mut dyn FnMut(Item<'_>) -> backout_mariadb::Result<()>,
    ) -> backout_mariadb::Result<()> {
        let there = self
            .archive
            .wait_until(to, FOLLOW, self.cancelled)
            .map_err(Error::from)?;
        if !there {
            return Err(Error::State {
                what: format!("read history up to {to}"),
                why: "the archive is not that far; try again".to_owned(),
            });
        }
        let source = self.archive.source(from, to, Some(&self.names))?;
        let options = ReaderOptions {
            wanted: Some(self.names.clone()),
            spill: self.folder.join("xa"),
            xa_memory: 16 << 20,
            lower_case_names: self.lower_case_names,
        };
        let mut reader = Reader::new(source, options);
        while let Some(item) = reader.next()? {
            each(item)?;
        }
        Ok(())
    }
}

/// How long history is waited for while rows are locked.
const FOLLOW: Duration = Duration::from_secs(5);

async fn apply(procedure: &Rewind, ctx: &StepContext) -> Result<Done, StepError> {
    let applied = at_work(procedure, ctx, |bench, ctx| {
        let reduced: Reduced = ctx.output("reduce")?.ok_or_else(|| missing("reduce"))?;
        let mut session = super::session(&bench.runtime, &bench.instance)?;
        let defs = bench.definitions(&mut session)?;
        let net = open_net(&bench.net())?;
        let archive = bench.archive()?;
        let cancel = ctx.cancel.clone();
        let stop = move || cancel.requested();
        let mut following = Following {
            archive: &archive,
            names: bench.input.tables.iter().cloned().collect(),
            folder: bench.folder.clone(),
            lower_case_names: bench.input.lower_case_names,
            cancelled: &stop,
        };
        let until = match bench.input.only {
            Some(_) => apply::Until::Part,
            None => apply::Until::Now {
                position: reduced.until.clone(),
                follow: &mut following,
            },
        };
        let done = take_back(bench, ctx, &mut session, &net, &defs, until, "more")?;
        let made = match &done.gtid {
            Some(gtid) => gtid.parse().ok(),
            // The commit came through, and then we died: that shows as rows
            // that are as wanted, or as a history in which nothing is left to
            // do.
            None => own(bench, &mut session, ctx, &reduced.until, &net)?,
        };
        Ok(Applied {
            made,
            proofs: proofs(bench, &net, &done),
        })
    })
    .await?;
    Done::remember(&applied)
}

fn take_back(
    bench: &Bench,
    ctx: &StepContext,
    session: &mut Session,
    net: &NetFiles,
    defs: &[TableDef],
    until: apply::Until<'_>,
    folder: &str,
) -> Result<apply::Done, StepError> {
    let tables: Vec<(usize, &TableDef)> = defs.iter().enumerate().collect();
    let folder = bench.folder.join(folder);
    files::remove_folder(&folder)?;
    files::make_folder(&folder)?;
    let cancel = ctx.cancel.clone();
    apply::in_place(
        session,
        &InPlace {
            net,
            tables: &tables,
            folder: &folder,
        },
        until,
        &InPlaceOptions::default(),
        &mut |done, of| {
            let percent = done.saturating_mul(100).checked_div(of).unwrap_or(100);
            ctx.progress(
                u8::try_from(percent.min(100)).unwrap_or(100),
                format!("{done} of {of} rows"),
            );
        },
        &|| cancel.requested(),
    )
    .map_err(database_error)
}

fn proofs(bench: &Bench, net: &NetFiles, done: &apply::Done) -> Vec<Proof> {
    bench
        .input
        .tables
        .iter()
        .enumerate()
        .map(|(i, table)| Proof {
            table: table.clone(),
            rows: net.summaries().get(i).map_or(0, |s| s.rows),
            touched: match done.rows {
                // An attempt that died had done it.
                0 => net.summaries().get(i).map_or(0, |s| s.rows),
                rows => rows,
            },
            digest: String::new(),
            by: "every touched row was read back and compared with the history, before the commit"
                .to_owned(),
        })
        .collect()
}

/// The transaction that took the rows back, when it cannot be told by who
/// committed it: the only one since that changed just as many rows of just
/// these tables.
fn own(
    bench: &Bench,
    session: &mut Session,
    ctx: &StepContext,
    since: &Position,
    net: &NetFiles,
) -> Result<Option<Gtid>, StepError> {
    let archive = bench.archive()?;
    let end = caught_up(&archive, session, &ctx.cancel)?;
    let touched: u64 = net.summaries().iter().map(|s| s.rows).sum();
    let tables: HashSet<&TableName> = bench.input.tables.iter().collect();
    let Some(table) = bench.input.tables.first() else {
        return Ok(None);
    };
    let last = archive
        .locate(&Until::Position(end))
        .map_err(history_error)?
        .kept;
    let Some(last) = last else { return Ok(None) };
    let fits = |txn: &Txn| {
        let changed: u64 = txn
            .tables
            .iter()
            .map(|t| t.inserts + t.updates + t.deletes)
            .sum();
        txn.position >= *since
            && txn.tables.iter().all(|t| tables.contains(&t.name))
            && changed >= touched
            && touched > 0
    };
    let fitting: Vec<Gtid> = archive
        .transactions(Some(table), last.time, OWN_MAX, OWN_MAX)
        .map_err(history_error)?
        .into_iter()
        .filter(fits)
        .filter_map(|txn| txn.gtid)
        .collect();
    let end = caught_up(&archive, session, &ctx.cancel)?;
    for gtid in fitting {
        let folder = bench.folder.join("net-own");
        let only = HashSet::from([gtid.clone()]);
        bench.reduce(ctx, session, since, &end, Some(&only), &folder)?;
        if wrote(net, &open_net(&folder)?)? {
            return Ok(Some(gtid));
        }
    }
    Ok(None)
}

/// Whether a transaction left every row of a net effect as it was wanted.
fn wrote(wanted: &NetFiles, transaction: &NetFiles) -> Result<bool, StepError> {
    for table in 0..wanted.summaries().len() {
        let mut wanted = wanted.rows(table).map_err(history_error)?;
        let mut wrote = transaction.rows(table).map_err(history_error)?;
        // Both in the order of the key.
        while let Some(row) = wanted.next().map_err(history_error)? {
            loop {
                match wrote.next().map_err(history_error)? {
                    None => return Ok(false),
                    Some(own) if own.last_after == row.first_before => break,
                    Some(_) => {}
                }
            }
        }
    }
    Ok(true)
}

async fn unapply(procedure: &Rewind, ctx: &StepContext) -> Result<Done, StepError> {
    at_work(procedure, ctx, |bench, ctx| {
        let Some(reduced) = ctx.output::<Reduced>("reduce")? else {
            return Ok(());
        };
        let mut session = super::session(&bench.runtime, &bench.instance)?;
        let made = match ctx.output::<Applied>("apply")? {
            Some(applied) => applied.made,
            // It may have come through or not.
            None => match NetFiles::open(&bench.net()).map_err(history_error)? {
                Some(net) => own(bench, &mut session, ctx, &reduced.until, &net)?,
                None => None,
            },
        };
        let Some(made) = made else { return Ok(()) };
        let defs = bench.definitions(&mut session)?;
        let end = caught_up(&bench.archive()?, &mut session, &ctx.cancel)?;
        let folder = bench.folder.join("net-undo");
        let only = HashSet::from([made]);
        bench.reduce(
            ctx,
            &mut session,
            &reduced.until,
            &end,
            Some(&only),
            &folder,
        )?;
        let net = open_net(&folder)?;
        take_back(
            bench,
            ctx,
            &mut session,
            &net,
            &defs,
            apply::Until::Part,
            "more-undo",
        )?;
        Ok(())
    })
    .await?;
    Ok(Done::nothing())
}

async fn clear(procedure: &Rewind, ctx: &StepContext) -> Result<Done, StepError> {
    at_work(procedure, ctx, |bench, _| {
        files::remove_folder(&bench.folder)
    })
    .await?;
    Ok(Done::nothing())
}
