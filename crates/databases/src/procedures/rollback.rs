//! Takes tables back to an instant, under new names. The tables themselves are
//! only read.
//!
//! | step | do | undo |
//! |---|---|---|
//! | copy | undo road: copy the present pages (or, where the server's files are not reached, the present rows into a hidden database) while it works; restore road: take the pages out of a base backup | remove the copy |
//! | scratch | start a server of our own on the pages | stop it |
//! | reduce | read what happened between the copy and the instant, and write down its net effect; meanwhile compute the digest of the copy | remove that |
//! | apply | bring the copy to the instant | none: the copy goes as a whole |
//! | stage | put its tables into a hidden database of the instance | drop that |
//! | prove | compare each with what history says it must be | none |
//! | publish | give all of them their new names, by one statement | take the names away |
//! | clear | remove the copy, the scratch server and the hidden database | none: from its intent on the job goes forward only |

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use backout_core::code::Code;
use backout_core::ids::DatabaseId;
use backout_core::outcome::Outcome;
use backout_history::archive::Archive;
use backout_history::change::StatementKind;
use backout_history::digest::RowDigest;
use backout_history::net::{Direction, Key, NetFiles, NetTable};
use backout_history::synth::{Phase, Synth, SynthOptions};
use backout_history::value::RowCodec;
use backout_history::{Position, TableName};
use backout_jobs::{Commit, Done, Procedure, Step, StepContext, StepError, Undo};
use backout_mariadb::catalog::{self, TableDef};
use backout_mariadb::session::{ident, quoted};
use backout_mariadb::{Endpoint, Session};
use serde::{Deserialize, Serialize};

use super::{database_error, history_error, instance, refusal_error, settle_task, under_lock};
use crate::model::{Copying, Instance, Proof, Renamed, Road};
use crate::reduction::{self, Stretch};
use crate::runtime::{Runtime, SESSIONS};

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
        does: "give all tables their new names, by one statement",
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
