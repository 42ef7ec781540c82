//! Makes an instance of another's past: a server, run by us on this host, with
//! all that the source had at an instant. The source is not touched, nor even
//! reached: its backups and its history are here.
//!
//! | step | do | undo |
//! |---|---|---|
//! | files | take all files out of the base backup | remove them |
//! | replay | bring them to the instant: a server that nobody else reaches applies the archived history to its end there, and ends | end that server |
//! | start | give the files to a server of the new instance, start it, and look at it | stop it |
//! | prove | read each table whole, and note its rows and its digest | none |
//! | history | make the archive of the new instance's history, remove what was only for the job | remove the archive |
//!
//! When all is taken back the row goes: nothing was there before.
//!
//! What is not as it was: the accounts of the source are there as they were,
//! but for ours, which is made; transactions that were prepared and had not
//! ended are rolled back; scheduled events that were defined since the backup
//! are disabled; ids of transactions begin anew.

use std::path::PathBuf;

use backout_core::ids::DatabaseId;
use backout_core::outcome::Outcome;
use backout_core::time::{Clock as _, SystemClock};
use backout_history::{Position, TableName};
use backout_jobs::{Commit, Done, Procedure, Step, StepContext, StepError, Undo};
use backout_mariadb::digest::{self, Pace};
use backout_mariadb::local::{Inherited, Options as ServerOptions};
use backout_mariadb::replay::{self, Target};
use backout_mariadb::scratch::{Options as ScratchOptions, Scratch};
use backout_mariadb::session::{quoted, text};
use backout_mariadb::{Endpoint, Session, backup, catalog};
use serde::{Deserialize, Serialize};

use super::adopt::{begin_history, made, remove_home};
use super::rollback::staging;
use super::{database_error, instance, managed, refusal_error, session, settle_task, under_lock};
use crate::model::{Instance, Proof};
use crate::preflight::TABLES_MAX;
use crate::runtime::{Runtime, SESSIONS};
use crate::{facts, files, persistence};

/// The procedure.
#[derive(Clone, Debug)]
pub struct Clone(pub Runtime);

/// What it is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CloneInput {
    /// The instance, whose row is there already: its address is the one that
    /// the server gets, its account the one that is made for us.
    pub instance: DatabaseId,
    /// The instance whose past it is.
    pub source: DatabaseId,
    /// Which life of the source's logs the cut is of.
    pub incarnation: u32,
    /// The folders of the base backup, the full one first.
    pub base: Vec<PathBuf>,
    /// The first byte of history that is left out; `None`: none is read.
    pub cut: Option<Position>,
    /// `time_zone` of the source; empty for that of the host.
    pub zone: String,
    /// `character_set_server` of the source.
    pub charset: String,
    /// `collation_server` of the source; empty when it was not told.
    pub collation: String,
    /// `lower_case_table_names` of the source.
    pub lower_case: u8,
}

const STEPS: &[Step<Clone>] = &[
    Step {
        name: "files",
        does: "take all files out of the base backup",
        run: |p, ctx| Box::pin(take_files(p, ctx)),
        undo: Undo::By {
            does: "remove them",
            run: |p, ctx| Box::pin(remove_files(p, ctx)),
        },
    },
    Step {
        name: "replay",
        does: "bring them to the instant, in a server that nobody else reaches",
        run: |p, ctx| Box::pin(bring(p, ctx)),
        undo: Undo::By {
            does: "end that server",
            run: |p, ctx| Box::pin(unbring(p, ctx)),
        },
    },
    Step {
        name: "start",
        does: "start the server of the new instance on them, and look at it",
        run: |p, ctx| Box::pin(start(p, ctx)),
        undo: Undo::By {
            does: "stop the server",
            run: |p, ctx| Box::pin(stop(p, ctx)),
        },
    },
    Step {
        name: "prove",
        does: "read each table whole, and note its rows and its digest",
        run: |p, ctx| Box::pin(prove(p, ctx)),
        undo: Undo::Nothing,
    },
    Step {
        name: "history",
        does: "make the archive of its history",
        run: |p, ctx| Box::pin(history(p, ctx)),
        undo: Undo::By {
            does: "remove the archive",
            run: |p, ctx| Box::pin(unhistory(p, ctx)),
        },
    },
];

impl Procedure for Clone {
    fn name(&self) -> &'static str {
        "databases.clone"
    }

    fn steps(&self) -> &[Step<Self>] {
        STEPS
    }

    fn settle(&self, ctx: &StepContext, outcome: Outcome, failure: Option<&StepError>) -> Commit {
        let input = ctx.input::<CloneInput>();
        let proofs = ctx.output::<Vec<Proof>>("prove").ok().flatten();
        let task = settle_task(ctx, outcome, failure, move |detail| {
            if let (Some(rollback), Some(proofs)) = (&mut detail.rollback, proofs) {
                rollback.proofs = proofs;
            }
        });
        Box::new(move |tx| {
            if let Ok(input) = input {
                made(tx, &input.instance, outcome)?;
            }
            task(tx)
        })
    }
}

/// What the second step left.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Brought {
    /// How many transactions were replayed.
    groups: u64,
    /// Bytes of history.
    bytes: u64,
    /// How the files are laid out.
    layout: Vec<(String, String)>,
}

/// What every step works with.
struct Bench {
    runtime: Runtime,
    row: Instance,
    input: CloneInput,
    folder: PathBuf,
}

impl Bench {
    fn copy(&self) -> PathBuf {
        self.folder.join("copy")
    }

    /// The server in which history is replayed.
    fn scratch(&self) -> Scratch {
        Scratch::new(
            self.folder.join("run"),
            backup::datadir(&self.copy()),
            self.runtime.shim.clone(),
        )
    }

    /// Tells that the files are brought to the instant.
    fn mark(&self) -> PathBuf {
        self.folder.join("replayed")
    }
}

/// Does blocking work of a step under the lock of the new instance.
async fn at_work<T: Send + 'static>(
    procedure: &Clone,
    ctx: &StepContext,
    work: impl FnOnce(&Bench, &StepContext) -> Result<T, StepError> + Send + 'static,
) -> Result<T, StepError> {
    let input: CloneInput = ctx.input()?;
    let row = instance(ctx, &input.instance).await?;
    let (runtime, id) = (procedure.0.clone(), input.instance.clone());
    let folder = runtime.job_folder(&id, &ctx.job);
    let bench = Bench {
        folder: std::path::absolute(&folder).unwrap_or(folder),
        runtime,
        row,
        input,
    };
    under_lock(ctx, &procedure.0, &id, move |ctx| work(&bench, ctx)).await
}

async fn take_files(procedure: &Clone, ctx: &StepContext) -> Result<Done, StepError> {
    at_work(procedure, ctx, extract).await?;
    Ok(Done::nothing())
}

/// Takes all out of the base backup; fine when that was done. Returns where in
/// history it is.
fn extract(bench: &Bench, ctx: &StepContext) -> Result<Option<Position>, StepError> {
    files::make_folder(&bench.folder)?;
    ctx.progress(0, "taking the files out of the base backup");
    let cancelled = || ctx.cancel.requested();
    let options = backup::Options {
        threads: SESSIONS,
        beside: None,
        cancelled: &cancelled,
    };
    backup::extract(&bench.input.base, None, &bench.copy(), &options)
        .map(|manifest| manifest.position)
        .map_err(database_error)
}

async fn remove_files(procedure: &Clone, ctx: &StepContext) -> Result<Done, StepError> {
    let input: CloneInput = ctx.input()?;
    managed::destroy(&procedure.0, ctx, &input.instance).await?;
    remove_home(&procedure.0, ctx, &input.instance).await?;
    Ok(Done::nothing())
}

async fn bring(procedure: &Clone, ctx: &StepContext) -> Result<Done, StepError> {
    let brought = at_work(procedure, ctx, bring_forward).await?;
    Done::remember(&brought)
}

/// Brings the files to the instant. What was cut off in the middle is begun
/// anew, on files that are taken out of the backup again.
fn bring_forward(bench: &Bench, ctx: &StepContext) -> Result<Brought, StepError> {
    let scratch = bench.scratch();
    if !bench.mark().exists() && scratch.was_started() {
        scratch.kill().map_err(database_error)?;
        backup::discard(&bench.copy()).map_err(database_error)?;
    }
    let from = extract(bench, ctx)?;
    let mut brought = Brought {
        layout: scratch.layout().map_err(database_error)?,
        ..Brought::default()
    };
    if bench.mark().exists() {
        return Ok(brought);
    }
    let options = ScratchOptions {
        pool_bytes: managed::options(&bench.row).pool_bytes,
        lower_case_table_names: bench.input.lower_case,
        ..ScratchOptions::default()
    };
    let ours = bench.runtime.endpoint(&bench.row).map_err(refusal_error)?;
    // There until the server is made our own.
    let guest = scratch
        .start_whole(&staging(ctx), &ours.password, &options, &|| {
            ctx.cancel.requested()
        })
        .map_err(database_error)?;
    if let (Some(from), Some(cut)) = (from, &bench.input.cut) {
        let replayed = replay_history(bench, ctx, &scratch, &guest, &from, cut)?;
        (brought.groups, brought.bytes) = (replayed.groups, replayed.bytes);
    }
    make_own(&guest, &ours).map_err(database_error)?;
    scratch.finish().map_err(database_error)?;
    files::mark(&bench.mark())?;
    Ok(brought)
}

fn replay_history(
    bench: &Bench,
    ctx: &StepContext,
    scratch: &Scratch,
    guest: &Endpoint,
    from: &Position,
    cut: &Position,
) -> Result<replay::Replayed, StepError> {
    const MIB: u64 = 1 << 20;
    let archive = bench
        .runtime
        .archive(&bench.input.source)
        .map_err(refusal_error)?
        .at_incarnation(bench.input.incarnation);
    ctx.progress(0, "replaying history");
    replay::replay(
        &Target {
            endpoint: guest,
            datadir: scratch.datadir(),
        },
        &archive,
        from,
        cut,
        &mut replay::Options {
            tables: None,
            cancelled: &|| ctx.cancel.requested(),
            progress: &mut |bytes| {
                ctx.progress(0, format!("{} MiB of history replayed", bytes / MIB));
            },
        },
    )
    .map_err(database_error)
}

/// Makes a server our own that was another's.
fn make_own(guest: &Endpoint, ours: &Endpoint) -> backout_mariadb::Result<()> {
    let doing = "make the server our own";
    let mut session = Session::open(guest)?;
    // Nobody would end them here, and they hold their locks.
    let prepared: Vec<(i64, i64, i64, String)> = session.query(doing, "XA RECOVER FORMAT='SQL'")?;
    for (.., xid) in prepared {
        session.exec(doing, format!("XA ROLLBACK {xid}"))?;
    }
    // It is nobody's replica.
    session.exec(doing, "SET GLOBAL gtid_slave_pos=''")?;
    session.exec(
        doing,
        "UPDATE mysql.event SET status = 'DISABLED' WHERE status = 'SLAVESIDE_DISABLED'",
    )?;
    managed::make_account(guest, ours)?;
    session.exec(doing, format!("DROP USER {}@localhost", text(&guest.user)))?;
    Ok(())
}

async fn unbring(procedure: &Clone, ctx: &StepContext) -> Result<Done, StepError> {
    at_work(procedure, ctx, |bench, _| {
        bench.scratch().kill().map_err(database_error)
    })
    .await?;
    Ok(Done::nothing())
}

async fn start(procedure: &Clone, ctx: &StepContext) -> Result<Done, StepError> {
    let input: CloneInput = ctx.input()?;
    let brought: Brought = ctx.output("replay")?.unwrap_or_default();
    at_work(procedure, ctx, move |bench, _| {
        let usual = managed::options(&bench.row);
        let options = ServerOptions {
            time_zone: bench.input.zone.clone(),
            character_set: match bench.input.charset.is_empty() {
                true => usual.character_set.clone(),
                false => bench.input.charset.clone(),
            },
            inherited: Inherited {
                lower_case_table_names: bench.input.lower_case,
                collation: bench.input.collation.clone(),
                layout: brought.layout,
            },
            ..usual
        };
        managed::server(&bench.runtime, &bench.row.id)
            .adopt(&backup::datadir(&bench.copy()), &options)
            .map_err(database_error)
    })
    .await?;
    managed::start(&procedure.0, ctx, &input.instance).await?;
    let (runtime, row) = (procedure.0.clone(), instance(ctx, &input.instance).await?);
    let facts = ctx
        .blocking(move || {
            let mut session = session(&runtime, &row)?;
            facts::look(&mut session, SystemClock.now()).map_err(database_error)
        })
        .await?;
    Ok(Done::nothing().with(move |tx| persistence::set_facts(tx, &input.instance, &facts)))
}

async fn stop(procedure: &Clone, ctx: &StepContext) -> Result<Done, StepError> {
    let input: CloneInput = ctx.input()?;
    managed::stop(&procedure.0, ctx, &input.instance).await?;
    Ok(Done::nothing())
}

async fn prove(procedure: &Clone, ctx: &StepContext) -> Result<Done, StepError> {
    let proofs = at_work(procedure, ctx, read_all).await?;
    Done::remember(&proofs)
}

/// Engines whose tables have their rows in the files of the server.
const READ: [&str; 3] = ["InnoDB", "Aria", "MyISAM"];

/// Reads every table whole that has its rows in the server's own files. The
/// rows of as many as one job may tell about are noted, with their digests.
fn read_all(bench: &Bench, ctx: &StepContext) -> Result<Vec<Proof>, StepError> {
    let endpoint = bench.runtime.endpoint(&bench.row).map_err(refusal_error)?;
    let mut session = Session::open(&endpoint).map_err(database_error)?;
    let mut proofs = Vec::new();
    for database in catalog::databases(&mut session).map_err(database_error)? {
        for table in catalog::tables(&mut session, &database).map_err(database_error)? {
            // A sequence is a row that any look may change.
            let reads = READ.iter().any(|e| e.eq_ignore_ascii_case(&table.engine));
            if !reads || table.kind == "SEQUENCE" {
                continue;
            }
            if ctx.cancel.requested() {
                return Err(StepError::Cancelled);
            }
            let name = TableName::new(&database, &table.name);
            ctx.progress(0, format!("reading {name}"));
            let (rows, digest) =
                read_whole(&mut session, &endpoint, &name, ctx).map_err(database_error)?;
            if proofs.len() < TABLES_MAX {
                proofs.push(Proof {
                    table: name,
                    rows,
                    touched: 0,
                    digest,
                    by: "history was replayed to its last transaction before the cut, and the table read whole".to_owned(),
                });
            }
        }
    }
    Ok(proofs)
}

/// How many rows a table has, and their digest; empty where values are of a
/// type that cannot be told.
fn read_whole(
    session: &mut Session,
    endpoint: &Endpoint,
    name: &TableName,
    ctx: &StepContext,
) -> backout_mariadb::Result<(u64, String)> {
    let cancel = ctx.cancel.clone();
    let def = catalog::table(session, name)?;
    match digest::digest(endpoint, &def, SESSIONS, Pace::Own, &|| cancel.requested()) {
        Ok(digest) => return Ok((digest.rows(), digest.to_string())),
        Err(backout_mariadb::Error::Table { .. }) => {}
        Err(e) => return Err(e),
    }
    let rows: Option<u64> = session.first(
        "count the rows of a table",
        format!("SELECT COUNT(*) FROM {}", quoted(name)),
    )?;
    Ok((rows.unwrap_or(0), String::new()))
}

async fn history(procedure: &Clone, ctx: &StepContext) -> Result<Done, StepError> {
    let input: CloneInput = ctx.input()?;
    begin_history(&procedure.0, ctx, &input.instance).await?;
    at_work(procedure, ctx, |bench, _| {
        files::remove_folder(&bench.folder)
    })
    .await?;
    Ok(Done::nothing())
}

async fn unhistory(procedure: &Clone, ctx: &StepContext) -> Result<Done, StepError> {
    let input: CloneInput = ctx.input()?;
    let (work, id) = (procedure.0.clone(), input.instance.clone());
    under_lock(ctx, &procedure.0, &input.instance, move |_| {
        work.forget_archive(&id);
        files::remove_folder(&work.history_folder(&id))
    })
    .await?;
    Ok(Done::nothing())
}
