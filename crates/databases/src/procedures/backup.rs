//! Takes a base backup of an instance whose files are on this host, while its
//! server works.
//!
//! | step | do | undo |
//! |---|---|---|
//! | take | copy the server's files, or what changed in them since the backup that this one builds on | remove the copy |
//! | verify | read the copy whole, and compare it with its checksums | none: it only reads |
//!
//! The row of the backup is there from the call on. It becomes usable with the
//! outcome; of one that failed the row stays, to be seen, and of one that was
//! stopped nothing does.

use backout_core::code::Code;
use backout_core::ids::DatabaseId;
use backout_core::outcome::Outcome;
use backout_core::time::{Clock as _, SystemClock};
use backout_jobs::{Commit, Done, Procedure, Step, StepContext, StepError, Undo};
use backout_mariadb::backup::{self, Kind, Options};
use serde::{Deserialize, Serialize};

use super::{database_error, instance, refusal_error, settle_task, under_lock, yielding};
use crate::files;
use crate::model::{Backup, BackupState, Method, Way};
use crate::persistence::{self, Made};
use crate::runtime::Runtime;

/// How many threads copy and compress: writers of the instance want some too.
const THREADS: usize = 2;

/// After how many backups that build on one another a whole one is taken again:
/// each adds to what has to be read for a way back.
pub const CHAIN_LENGTH: usize = 7;

/// The procedure.
#[derive(Clone, Debug)]
pub struct TakeBackup(pub Runtime);

/// What it is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BackupInput {
    /// The instance.
    pub instance: DatabaseId,
}

const STEPS: &[Step<TakeBackup>] = &[
    Step {
        name: "take",
        does: "copy the server's files while it works",
        run: |p, ctx| Box::pin(take(p, ctx)),
        undo: Undo::By {
            does: "remove the copy",
            run: |p, ctx| Box::pin(untake(p, ctx)),
        },
    },
    Step {
        name: "verify",
        does: "read the copy whole, and compare it with its checksums",
        run: |p, ctx| Box::pin(verify(p, ctx)),
        undo: Undo::Nothing,
    },
];

/// What the first step left.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Taken {
    /// Up to where in history it goes.
    position: Option<backout_history::Position>,
    /// The same as a transaction id.
    gtid: Option<String>,
    /// Bytes on disk.
    bytes: u64,
    /// A moment, in milliseconds since 1970, not before the state that it
    /// holds: the copy was complete.
    as_of_ms: i64,
    /// What it became.
    method: Method,
    /// The backup that it builds on.
    base: Option<u64>,
}

impl Procedure for TakeBackup {
    fn name(&self) -> &'static str {
        "databases.backup"
    }

    fn steps(&self) -> &[Step<Self>] {
        STEPS
    }

    fn settle(&self, ctx: &StepContext, outcome: Outcome, failure: Option<&StepError>) -> Commit {
        let taken = ctx.output::<Taken>("take").ok().flatten();
        let cancelled = matches!(failure, Some(StepError::Cancelled));
        let now = SystemClock.now();
        let job = ctx.job.clone();
        let task = settle_task(ctx, outcome, failure, |_| {});
        Box::new(move |tx| {
            // By the job: a row that was made usable is no job's any more.
            if let Some(row) = persistence::backup_of_job(tx, &job)? {
                let number = row.number;
                match (outcome, taken) {
                    (Outcome::Applied, Some(taken)) => {
                        persistence::set_backup_method(tx, number, taken.method, taken.base)?;
                        let made = Made {
                            position: taken.position,
                            gtid: taken.gtid,
                            bytes: taken.bytes,
                            finished: now,
                            as_of: Some(backout_core::time::Timestamp(taken.as_of_ms)),
                        };
                        persistence::set_backup_made(tx, number, &made)?;
                        persistence::set_backup_state(tx, number, BackupState::Ready, None)?;
                    }
                    (Outcome::Held, _) => {}
                    _ if cancelled => persistence::delete_backup(tx, number)?,
                    _ => {
                        persistence::set_backup_finished(tx, number, now)?;
                        persistence::set_backup_state(tx, number, BackupState::Failed, None)?;
                    }
                }
            }
            task(tx)
        })
    }
}

/// The row of the backup that this job makes.
async fn row(ctx: &StepContext) -> Result<Backup, StepError> {
    let job = ctx.job.clone();
    let found = ctx
        .store
        .read(move |tx| persistence::backup_of_job(tx, &job))
        .await?;
    found.ok_or_else(|| {
        StepError::failed(
            Code::NotFound,
            "find the backup of this job: its row is gone",
        )
    })
}

/// The backup that an incremental one goes on from.
async fn base_of(ctx: &StepContext, row: &Backup) -> Result<Option<Backup>, StepError> {
    if row.method != Method::Incremental {
        return Ok(None);
    }
    let (id, by_itself) = (row.instance.clone(), row.way == Way::Automatic);
    // Nobody deletes it meanwhile: that job would want the instance too.
    let found = ctx
        .store
        .read(move |tx| {
            let newest = persistence::newest_base(tx, &id)?;
            let Some(newest) = newest else {
                return Ok(None);
            };
            let chain = persistence::chain_of(tx, newest.number)?;
            let long = by_itself && chain.len() >= CHAIN_LENGTH;
            Ok::<_, backout_store::Error>((!long).then_some(newest))
        })
        .await?;
    // It may have been removed by somebody's hand: then this one is whole.
    Ok(found.filter(|base| matches!(backup::read(&base.folder), Ok(Some(_)))))
}

async fn take(procedure: &TakeBackup, ctx: &StepContext) -> Result<Done, StepError> {
    let input: BackupInput = ctx.input()?;
    let runtime = procedure.0.clone();
    let (instance, row) = (instance(ctx, &input.instance).await?, row(ctx).await?);
    let base = base_of(ctx, &row).await?;
    let taken = under_lock(ctx, &procedure.0, &input.instance, move |ctx| {
        let endpoint = runtime.endpoint(&instance).map_err(refusal_error)?;
        let to = std::path::absolute(&row.folder).unwrap_or_else(|_| row.folder.clone());
        if let Some(above) = to.parent() {
            files::make_folder(above)?;
        }
        ctx.progress(0, "copying files");
        // What a crash left whole counts.
        let manifest = yielding(|| {
            let cancelled = || ctx.cancel.requested();
            let options = Options {
                threads: THREADS,
                beside: None,
                cancelled: &cancelled,
            };
            match (row.method, &base) {
                (Method::Partial, _) => backup::tables(&endpoint, &row.tables, &to, &options),
                (_, Some(base)) => backup::incremental(&endpoint, &to, &base.folder, &options),
                (_, None) => backup::full(&endpoint, &to, &options),
            }
            .map_err(database_error)
        })?;
        Ok(Taken {
            position: manifest.position.clone(),
            gtid: Some(manifest.gtid.clone()).filter(|gtid| !gtid.is_empty()),
            bytes: manifest.stored_bytes(),
            as_of_ms: SystemClock.now().0,
            base: base
                .filter(|_| manifest.kind == Kind::Incremental)
                .map(|base| base.number),
            method: match manifest.kind {
                Kind::Tables => Method::Partial,
                Kind::Incremental => Method::Incremental,
                Kind::Full => Method::Full,
            },
        })
    })
    .await?;
    Done::remember(&taken)
}

async fn untake(procedure: &TakeBackup, ctx: &StepContext) -> Result<Done, StepError> {
    let input: BackupInput = ctx.input()?;
    let row = row(ctx).await?;
    under_lock(ctx, &procedure.0, &input.instance, move |_| {
        backup::discard(&row.folder).map_err(database_error)
    })
    .await?;
    Ok(Done::nothing())
}

async fn verify(procedure: &TakeBackup, ctx: &StepContext) -> Result<Done, StepError> {
    let input: BackupInput = ctx.input()?;
    let row = row(ctx).await?;
    under_lock(ctx, &procedure.0, &input.instance, move |ctx| {
        ctx.progress(0, "reading the copy");
        let cancelled = || ctx.cancel.requested();
        let options = Options {
            threads: THREADS,
            beside: None,
            cancelled: &cancelled,
        };
        backup::verify(&row.folder, &options).map_err(database_error)
    })
    .await?;
    Ok(Done::nothing())
}
