//! Servers that we run on this host: making, starting, stopping, removing.

use std::path::PathBuf;

use backout_core::ids::DatabaseId;
use backout_jobs::{StepContext, StepError};
use backout_mariadb::local::{Inherited, Options, Server};
use backout_mariadb::session::{Session, text};
use backout_mariadb::{Endpoint, Password};

use super::{database_error, instance, refusal_error, under_lock};
use crate::model::{Instance, LocalLogs};
use crate::refusal::Refusal;
use crate::runtime::Runtime;

/// The account that is made for us on servers that we run.
pub(crate) const USER: &str = "backout";

/// Where servers that we run listen: this host alone.
pub(crate) const BIND: &str = "127.0.0.1";

/// The least memory for pages that a server starts with, in bytes.
const POOL_BYTES_MIN: u64 = 16 << 20;

const HOUR_S: u64 = 3600;

/// What the sealed password of `root` of an instance is bound to.
pub(crate) fn root_binding(id: &DatabaseId) -> String {
    format!("backout database root\n{id}")
}

/// Numbers that tell the server of an instance, and us as its follower, apart
/// from other servers: odd for the server, even for us.
pub(crate) fn replication_ids(id: &DatabaseId) -> (u32, u32) {
    // FNV-1a; far from the small numbers that people choose.
    let hash = id.as_str().bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    let follower = (hash & 0x3fff_fffe) | 0x4000_0000;
    (follower | 1, follower)
}

/// The server of an instance that we run.
pub(crate) fn server(runtime: &Runtime, id: &DatabaseId) -> Server {
    let folder: PathBuf = runtime.server_folder(id);
    Server::new(
        std::path::absolute(&folder).unwrap_or(folder),
        runtime.shim.clone(),
    )
}

/// How we will reach the server of an instance, by the account that is made for
/// us.
pub(crate) fn endpoint(
    runtime: &Runtime,
    id: &DatabaseId,
    port: u16,
    password: Password,
) -> Endpoint {
    Endpoint {
        host: BIND.to_owned(),
        ..server(runtime, id).endpoint(port, USER, password)
    }
}

/// Lets the server keep its logs for so long, in a session that may say so.
pub(crate) fn keep_logs(session: &mut Session, logs: LocalLogs) -> backout_mariadb::Result<()> {
    let seconds = u64::from(logs.hours) * HOUR_S;
    session
        .exec(
            "set how long the server keeps its binary logs",
            format!("SET GLOBAL binlog_expire_logs_seconds={seconds}"),
        )
        .map(drop)
}

/// Makes the files of the server of an instance.
pub(super) async fn make(
    runtime: &Runtime,
    ctx: &StepContext,
    id: &DatabaseId,
    root: Vec<u8>,
) -> Result<(), StepError> {
    let row = instance(ctx, id).await?;
    let work = runtime.clone();
    under_lock(ctx, runtime, id, move |_| {
        server(&work, &row.id)
            .create(&options(&row), &root_password(&work, &row.id, &root)?)
            .map_err(database_error)
    })
    .await
}

/// With what the server of an instance is made.
pub(super) fn options(row: &Instance) -> Options {
    Options {
        port: row.address.port,
        bind: BIND.to_owned(),
        server_id: replication_ids(&row.id).0,
        pool_bytes: (u64::from(row.shape.memory_mb) << 19).max(POOL_BYTES_MIN),
        time_zone: String::new(),
        binlog_expire_s: u64::from(row.local_logs.hours) * HOUR_S,
        character_set: "utf8mb4".to_owned(),
        inherited: Inherited::default(),
    }
}

fn root_password(runtime: &Runtime, id: &DatabaseId, sealed: &[u8]) -> Result<Password, StepError> {
    runtime
        .secrets
        .open(&root_binding(id), sealed)
        .map(Password::new)
        .map_err(|why| refusal_error(Refusal::Secret(why)))
}

/// Starts it for the first time, and makes our account.
pub(super) async fn first_start(
    runtime: &Runtime,
    ctx: &StepContext,
    id: &DatabaseId,
    root: Vec<u8>,
) -> Result<(), StepError> {
    let row = instance(ctx, id).await?;
    let work = runtime.clone();
    under_lock(ctx, runtime, id, move |ctx| {
        let root = root_password(&work, &row.id, &root)?;
        let cancelled = || ctx.cancel.requested();
        let as_root = server(&work, &row.id)
            .start(&root, &cancelled)
            .map_err(database_error)?;
        let ours = work.endpoint(&row).map_err(refusal_error)?;
        make_account(&as_root, &ours).map_err(database_error)
    })
    .await
}

/// Makes our account, or gives it its password again.
pub(super) fn make_account(as_root: &Endpoint, ours: &Endpoint) -> backout_mariadb::Result<()> {
    let doing = "make an account for ourselves";
    let mut session = Session::open(as_root)?;
    // No part of what users may want back.
    session.exec(doing, "SET SESSION sql_log_bin=0")?;
    let (user, password) = (text(&ours.user), text(ours.password.expose()));
    for host in ["localhost", BIND] {
        session.exec(
            doing,
            format!("CREATE OR REPLACE USER {user}@'{host}' IDENTIFIED BY {password}"),
        )?;
        session.exec(
            doing,
            format!("GRANT ALL PRIVILEGES ON *.* TO {user}@'{host}' WITH GRANT OPTION"),
        )?;
    }
    Ok(())
}

/// Starts it; fine when it runs.
pub(super) async fn start(
    runtime: &Runtime,
    ctx: &StepContext,
    id: &DatabaseId,
) -> Result<(), StepError> {
    let row = instance(ctx, id).await?;
    let work = runtime.clone();
    under_lock(ctx, runtime, id, move |ctx| {
        start_row(&work, &row, &|| ctx.cancel.requested()).map_err(refusal_error)
    })
    .await
}

fn start_row(
    runtime: &Runtime,
    row: &Instance,
    cancelled: &dyn Fn() -> bool,
) -> Result<(), Refusal> {
    let ours = runtime.endpoint(row)?;
    server(runtime, &row.id)
        .start_as(&ours.user, &ours.password, cancelled)
        .and_then(|endpoint| {
            // What was set since it was made is not in its settings file.
            keep_logs(&mut Session::open(&endpoint)?, row.local_logs)
        })
        .map_err(Refusal::Database)
}

/// Stops it in an orderly way; fine when it does not run.
pub(super) async fn stop(
    runtime: &Runtime,
    ctx: &StepContext,
    id: &DatabaseId,
) -> Result<(), StepError> {
    let server = server(runtime, id);
    under_lock(ctx, runtime, id, move |_| {
        server.stop().map_err(database_error)
    })
    .await
}

/// Ends it, and removes its files for good; fine when there are none.
pub(super) async fn destroy(
    runtime: &Runtime,
    ctx: &StepContext,
    id: &DatabaseId,
) -> Result<(), StepError> {
    let server = server(runtime, id);
    under_lock(ctx, runtime, id, move |_| {
        server.remove().map_err(database_error)
    })
    .await
}
