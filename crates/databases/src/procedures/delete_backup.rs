//! Deletes backups of one instance: those that were asked for, or whose time is
//! over.
//!
//! | step | do | undo |
//! |---|---|---|
//! | retire | move them out of the way | move them back |
//! | purge | remove them for good | none: from its intent on the job goes forward only |

use std::path::{Path, PathBuf};

use backout_core::code::Code;
use backout_core::ids::DatabaseId;
use backout_core::outcome::Outcome;
use backout_jobs::{Commit, Done, Procedure, Step, StepContext, StepError, Undo};
use backout_mariadb::backup;
use serde::{Deserialize, Serialize};

use super::{database_error, settle_task, under_lock};
use crate::model::BackupState;
use crate::persistence;
use crate::runtime::Runtime;

/// The procedure.
#[derive(Clone, Debug)]
pub struct DeleteBackup(pub Runtime);

/// What it is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeleteBackupInput {
    /// The instance.
    pub instance: DatabaseId,
    /// The backups, those that build on others first.
    pub backups: Vec<Going>,
}

/// A backup that goes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Going {
    /// Its number.
    pub number: u64,
    /// Its folder.
    pub folder: PathBuf,
    /// What its state was, to go back to.
    pub was: String,
}

impl Going {
    /// What its folder is called until it is removed.
    fn retired(&self) -> PathBuf {
        let mut name = self.folder.clone().into_os_string();
        name.push(".gone");
        name.into()
    }
}

const STEPS: &[Step<DeleteBackup>] = &[
    Step {
        name: "retire",
        does: "move the backups out of the way",
        run: |p, ctx| Box::pin(retire(p, ctx)),
        undo: Undo::By {
            does: "move the backups back",
            run: |p, ctx| Box::pin(unretire(p, ctx)),
        },
    },
    Step {
        name: "purge",
        does: "remove them for good",
        run: |p, ctx| Box::pin(purge(p, ctx)),
        undo: Undo::Never,
    },
];

impl Procedure for DeleteBackup {
    fn name(&self) -> &'static str {
        "databases.delete_backup"
    }

    fn steps(&self) -> &[Step<Self>] {
        STEPS
    }

    fn settle(&self, ctx: &StepContext, outcome: Outcome, failure: Option<&StepError>) -> Commit {
        let input = ctx.input::<DeleteBackupInput>();
        let task = settle_task(ctx, outcome, failure, |_| {});
        Box::new(move |tx| {
            for going in input.map_or_else(|_| Vec::new(), |input| input.backups) {
                match outcome {
                    Outcome::Applied => persistence::delete_backup(tx, going.number)?,
                    Outcome::Reverted => {
                        let was = BackupState::parse(&going.was).unwrap_or(BackupState::Ready);
                        persistence::set_backup_state(tx, going.number, was, None)?;
                    }
                    Outcome::Held => {}
                }
            }
            task(tx)
        })
    }
}

async fn on_all(
    procedure: &DeleteBackup,
    ctx: &StepContext,
    work: impl Fn(&Going) -> Result<(), StepError> + Send + 'static,
) -> Result<Done, StepError> {
    let input: DeleteBackupInput = ctx.input()?;
    let id = input.instance.clone();
    under_lock(ctx, &procedure.0, &id, move |_| {
        input.backups.iter().try_for_each(work)
    })
    .await?;
    Ok(Done::nothing())
}

async fn retire(procedure: &DeleteBackup, ctx: &StepContext) -> Result<Done, StepError> {
    on_all(procedure, ctx, |going| {
        moved(&going.folder, &going.retired())
    })
    .await
}

async fn unretire(procedure: &DeleteBackup, ctx: &StepContext) -> Result<Done, StepError> {
    on_all(procedure, ctx, |going| {
        moved(&going.retired(), &going.folder)
    })
    .await
}

async fn purge(procedure: &DeleteBackup, ctx: &StepContext) -> Result<Done, StepError> {
    on_all(procedure, ctx, |going| {
        backup::discard(&going.retired()).map_err(database_error)
    })
    .await
}

/// Renames a folder; fine when that was done, or there is none.
fn moved(from: &Path, to: &Path) -> Result<(), StepError> {
    let failed = |e: std::io::Error| {
        let message = format!("move {} to {}: {e}", from.display(), to.display());
        StepError::failed(Code::ArchiveIo, message)
    };
    match std::fs::rename(from, to) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(failed(e)),
        Ok(()) => match from.parent() {
            Some(folder) => std::fs::File::open(folder)
                .and_then(|folder| folder.sync_all())
                .map_err(failed),
            None => Ok(()),
        },
    }
}
