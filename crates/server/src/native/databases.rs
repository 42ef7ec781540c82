//! The paths of the databases.

use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use backout_api::native::dto::{self, ErrorEnvelope, List};
use backout_api::native::{LifeStep, TransactionsWanted, action};
use http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{App, Json, Nothing, PageQuery, Shared, Who, done};

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct TransactionsQuery {
    /// Around when: a time; now when it is left out.
    around: Option<String>,
    /// Only those that changed this table, `database.table`.
    table: Option<String>,
    /// At most so many on each side: 1 to 1000, 10 when it is left out.
    limit: Option<usize>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct RemoveQuery {
    /// Whether the files of its history and its backups stay.
    keep_history: Option<bool>,
}

/// The paths of the databases.
pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list_databases, add_database))
        .routes(routes!(get_database, change_database, remove_database))
        .routes(routes!(examine_server))
        .routes(routes!(database_doctor))
        .routes(routes!(restart_database))
        .routes(routes!(isolate_database))
        .routes(routes!(bring_database_back))
        .routes(routes!(list_database_schemas))
        .routes(routes!(list_database_tables))
        .routes(routes!(list_database_binlogs))
        .routes(routes!(database_windows))
        .routes(routes!(database_transactions))
        .routes(routes!(rollback_database))
        .routes(routes!(plan_database_rollback))
        .routes(routes!(clone_database))
        .routes(routes!(plan_database_clone))
        .routes(routes!(rewind_database))
        .routes(routes!(plan_database_rewind))
        .routes(routes!(preview_database_rewind))
        .routes(routes!(stop_database_rollback))
        .routes(routes!(list_database_tasks))
        .routes(routes!(get_database_task))
        .routes(routes!(list_database_backups, take_database_backup))
        .routes(routes!(delete_database_backup))
}

/// Lists the databases, newest first.
#[utoipa::path(
    get,
    path = "/v1/databases",
    tag = "databases",
    params(PageQuery),
    responses((status = 200, description = "Done", body = List<dto::Database>), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn list_databases(
    State(app): App,
    Extension(call): Who,
    Query(page): Query<PageQuery>,
) -> Response {
    done(
        action::DESCRIBE_DATABASES,
        StatusCode::OK,
        app.native.databases(&call, &page.into()).await,
    )
}

/// Takes a database server under management, or makes one.
#[utoipa::path(
    post,
    path = "/v1/databases",
    tag = "databases",
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key with the same request answers with the first one's job")),
    request_body = dto::AddDatabase,
    responses((status = 202, description = "Done", body = dto::AddedDatabase), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn add_database(
    State(app): App,
    Extension(call): Who,
    Json(new): Json<dto::AddDatabase>,
) -> Response {
    let action = match new.managed {
        Some(_) => action::CREATE_DATABASE,
        None => action::ADD_DATABASE,
    };
    done(
        action,
        StatusCode::ACCEPTED,
        app.native.add_database(&call, new).await,
    )
}

/// One database.
#[utoipa::path(
    get,
    path = "/v1/databases/{database}",
    tag = "databases",
    params(("database" = String, Path, description = "Its id or its name")),
    responses((status = 200, description = "Done", body = dto::Database), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn get_database(
    State(app): App,
    Extension(call): Who,
    Path(database): Path<String>,
) -> Response {
    done(
        action::DESCRIBE_DATABASES,
        StatusCode::OK,
        app.native.database(&call, &database).await,
    )
}

/// Gives a database another name, another way to be reached, another schedule of
/// base backups, or another time for which its server keeps its binary logs.
#[utoipa::path(
    patch,
    path = "/v1/databases/{database}",
    tag = "databases",
    params(("database" = String, Path, description = "Its id or its name")),
    request_body = dto::ChangeDatabase,
    responses((status = 200, description = "Done", body = dto::Database), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn change_database(
    State(app): App,
    Extension(call): Who,
    Path(database): Path<String>,
    Json(ask): Json<dto::ChangeDatabase>,
) -> Response {
    done(
        action::CHANGE_DATABASE,
        StatusCode::OK,
        app.native.change_database(&call, &database, ask).await,
    )
}

/// Removes an isolated database, with its history and its backups. A server that
/// others run stays as it is.
#[utoipa::path(
    delete,
    path = "/v1/databases/{database}",
    tag = "databases",
    params(("database" = String, Path, description = "Its id or its name"), RemoveQuery, ("Idempotency-Key" = Option<String>, Header, description = "The same key with the same request answers with the first one's job")),
    responses((status = 202, description = "Done", body = dto::AcceptedTask), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn remove_database(
    State(app): App,
    Extension(call): Who,
    Path(database): Path<String>,
    Query(how): Query<RemoveQuery>,
    Json(Nothing {}): Json<Nothing>,
) -> Response {
    done(
        action::REMOVE_DATABASE,
        StatusCode::ACCEPTED,
        app.native
            .remove_database(&call, &database, how.keep_history.unwrap_or(false))
            .await,
    )
}

/// Says what stands in the way of taking the server at a URL back, and what mends
/// it. Nothing is kept.
#[utoipa::path(
    post,
    path = "/v1/examine",
    tag = "databases",
    request_body = dto::ExamineServer,
    responses((status = 200, description = "Done", body = dto::DatabaseDoctor), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn examine_server(
    State(app): App,
    Extension(call): Who,
    Json(ask): Json<dto::ExamineServer>,
) -> Response {
    done(
        action::ADD_DATABASE,
        StatusCode::OK,
        app.native.examine_server(&call, &ask).await,
    )
}

/// Says what stands in the way of taking a database back, and what mends it.
#[utoipa::path(
    get,
    path = "/v1/databases/{database}/doctor",
    tag = "databases",
    params(("database" = String, Path, description = "Its id or its name")),
    responses((status = 200, description = "Done", body = dto::DatabaseDoctor), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn database_doctor(
    State(app): App,
    Extension(call): Who,
    Path(database): Path<String>,
) -> Response {
    done(
        action::DESCRIBE_DATABASES,
        StatusCode::OK,
        app.native.database_doctor(&call, &database).await,
    )
}

/// Restarts a database that Backout runs.
#[utoipa::path(
    post,
    path = "/v1/databases/{database}/restart",
    tag = "databases",
    params(("database" = String, Path, description = "Its id or its name"), ("Idempotency-Key" = Option<String>, Header, description = "The same key with the same request answers with the first one's job")),
    responses((status = 202, description = "Done", body = dto::AcceptedTask), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn restart_database(
    State(app): App,
    Extension(call): Who,
    Path(database): Path<String>,
    Json(Nothing {}): Json<Nothing>,
) -> Response {
    done(
        LifeStep::Restart.action(),
        StatusCode::ACCEPTED,
        app.native
            .move_database(&call, &database, LifeStep::Restart)
            .await,
    )
}

/// Isolates a database: a server that Backout runs is stopped, one that others run
/// is left alone and not followed any more.
#[utoipa::path(
    post,
    path = "/v1/databases/{database}/isolate",
    tag = "databases",
    params(("database" = String, Path, description = "Its id or its name"), ("Idempotency-Key" = Option<String>, Header, description = "The same key with the same request answers with the first one's job")),
    responses((status = 202, description = "Done", body = dto::AcceptedTask), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn isolate_database(
    State(app): App,
    Extension(call): Who,
    Path(database): Path<String>,
    Json(Nothing {}): Json<Nothing>,
) -> Response {
    done(
        LifeStep::Isolate.action(),
        StatusCode::ACCEPTED,
        app.native
            .move_database(&call, &database, LifeStep::Isolate)
            .await,
    )
}

/// Brings an isolated database back.
#[utoipa::path(
    post,
    path = "/v1/databases/{database}/release",
    tag = "databases",
    params(("database" = String, Path, description = "Its id or its name"), ("Idempotency-Key" = Option<String>, Header, description = "The same key with the same request answers with the first one's job")),
    responses((status = 202, description = "Done", body = dto::AcceptedTask), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn bring_database_back(
    State(app): App,
    Extension(call): Who,
    Path(database): Path<String>,
    Json(Nothing {}): Json<Nothing>,
) -> Response {
    done(
        LifeStep::Release.action(),
        StatusCode::ACCEPTED,
        app.native
            .move_database(&call, &database, LifeStep::Release)
            .await,
    )
}

/// The databases on an instance, but the server's own, by name.
#[utoipa::path(
    get,
    path = "/v1/databases/{database}/schemas",
    tag = "databases",
    params(("database" = String, Path, description = "Its id or its name"), PageQuery),
    responses((status = 200, description = "Done", body = List<dto::Schema>), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn list_database_schemas(
    State(app): App,
    Extension(call): Who,
    Path(database): Path<String>,
    Query(page): Query<PageQuery>,
) -> Response {
    done(
        action::DESCRIBE_DATABASES,
        StatusCode::OK,
        app.native
            .database_schemas(&call, &database, &page.into())
            .await,
    )
}

/// The tables of a database on an instance, by name.
#[utoipa::path(
    get,
    path = "/v1/databases/{database}/schemas/{schema}/tables",
    tag = "databases",
    params(("database" = String, Path, description = "Its id or its name"), ("schema" = String, Path, description = "The name of the database on it"), PageQuery),
    responses((status = 200, description = "Done", body = List<dto::SchemaTable>), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn list_database_tables(
    State(app): App,
    Extension(call): Who,
    Path((database, schema)): Path<(String, String)>,
    Query(page): Query<PageQuery>,
) -> Response {
    done(
        action::DESCRIBE_DATABASES,
        StatusCode::OK,
        app.native
            .database_tables(&call, &database, &schema, &page.into())
            .await,
    )
}

/// The binary logs that the server or the archive has, newest first.
#[utoipa::path(
    get,
    path = "/v1/databases/{database}/binlogs",
    tag = "databases",
    params(("database" = String, Path, description = "Its id or its name"), PageQuery),
    responses((status = 200, description = "Done", body = dto::Binlogs), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn list_database_binlogs(
    State(app): App,
    Extension(call): Who,
    Path(database): Path<String>,
    Query(page): Query<PageQuery>,
) -> Response {
    done(
        action::DESCRIBE_DATABASES,
        StatusCode::OK,
        app.native
            .database_binlogs(&call, &database, &page.into())
            .await,
    )
}

/// The stretches of history without a gap, oldest first: every instant in one can
/// be gone back to.
#[utoipa::path(
    get,
    path = "/v1/databases/{database}/windows",
    tag = "databases",
    params(("database" = String, Path, description = "Its id or its name")),
    responses((status = 200, description = "Done", body = List<dto::HistoryWindow>), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn database_windows(
    State(app): App,
    Extension(call): Who,
    Path(database): Path<String>,
) -> Response {
    done(
        action::DESCRIBE_DATABASES,
        StatusCode::OK,
        app.native.database_windows(&call, &database).await,
    )
}

/// Transactions around an instant, oldest first, with what they changed.
#[utoipa::path(
    get,
    path = "/v1/databases/{database}/transactions",
    tag = "databases",
    params(("database" = String, Path, description = "Its id or its name"), TransactionsQuery),
    responses((status = 200, description = "Done", body = dto::Transactions), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn database_transactions(
    State(app): App,
    Extension(call): Who,
    Path(database): Path<String>,
    Query(q): Query<TransactionsQuery>,
) -> Response {
    done(
        action::DESCRIBE_DATABASES,
        StatusCode::OK,
        app.native
            .database_transactions(
                &call,
                &database,
                &TransactionsWanted {
                    around: q.around,
                    table: q.table,
                    limit: q.limit,
                },
            )
            .await,
    )
}

/// Takes tables or databases back, under new names. What is there stays as it is.
#[utoipa::path(
    post,
    path = "/v1/databases/{database}/rollback",
    tag = "databases",
    params(("database" = String, Path, description = "Its id or its name"), ("Idempotency-Key" = Option<String>, Header, description = "The same key with the same request answers with the first one's job")),
    request_body = dto::RollbackDatabase,
    responses((status = 202, description = "Done", body = dto::AcceptedRollback), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn rollback_database(
    State(app): App,
    Extension(call): Who,
    Path(database): Path<String>,
    Json(ask): Json<dto::RollbackDatabase>,
) -> Response {
    done(
        action::ROLLBACK,
        StatusCode::ACCEPTED,
        app.native.rollback_database(&call, &database, &ask).await,
    )
}

/// What a rollback would do, and what stands in its way.
#[utoipa::path(
    post,
    path = "/v1/databases/{database}/rollback/plan",
    tag = "databases",
    params(("database" = String, Path, description = "Its id or its name")),
    request_body = dto::RollbackDatabase,
    responses((status = 200, description = "Done", body = dto::PlannedRollback), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn plan_database_rollback(
    State(app): App,
    Extension(call): Who,
    Path(database): Path<String>,
    Json(ask): Json<dto::RollbackDatabase>,
) -> Response {
    done(
        action::CHECK,
        StatusCode::OK,
        app.native
            .plan_database_rollback(&call, &database, &ask)
            .await,
    )
}

/// Makes an instance of a database's past, on the host of Backout.
#[utoipa::path(
    post,
    path = "/v1/databases/{database}/clone",
    tag = "databases",
    params(("database" = String, Path, description = "Its id or its name"), ("Idempotency-Key" = Option<String>, Header, description = "The same key with the same request answers with the first one's job")),
    request_body = dto::CloneDatabase,
    responses((status = 202, description = "Done", body = dto::AcceptedClone), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn clone_database(
    State(app): App,
    Extension(call): Who,
    Path(database): Path<String>,
    Json(ask): Json<dto::CloneDatabase>,
) -> Response {
    done(
        action::CREATE_DATABASE,
        StatusCode::ACCEPTED,
        app.native.clone_database(&call, &database, &ask).await,
    )
}

/// What a clone would be, and what stands in its way.
#[utoipa::path(
    post,
    path = "/v1/databases/{database}/clone/plan",
    tag = "databases",
    params(("database" = String, Path, description = "Its id or its name")),
    request_body = dto::CloneDatabase,
    responses((status = 200, description = "Done", body = dto::PlannedClone), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn plan_database_clone(
    State(app): App,
    Extension(call): Who,
    Path(database): Path<String>,
    Json(ask): Json<dto::CloneDatabase>,
) -> Response {
    done(
        action::CHECK,
        StatusCode::OK,
        app.native.plan_database_clone(&call, &database, &ask).await,
    )
}

/// Takes tables back in place, or undoes transactions.
#[utoipa::path(
    post,
    path = "/v1/databases/{database}/rewind",
    tag = "databases",
    params(("database" = String, Path, description = "Its id or its name"), ("Idempotency-Key" = Option<String>, Header, description = "The same key with the same request answers with the first one's job")),
    request_body = dto::RewindDatabase,
    responses((status = 202, description = "Done", body = dto::AcceptedRollback), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn rewind_database(
    State(app): App,
    Extension(call): Who,
    Path(database): Path<String>,
    Json(ask): Json<dto::RewindDatabase>,
) -> Response {
    done(
        action::ROLLBACK,
        StatusCode::ACCEPTED,
        app.native.rewind_database(&call, &database, &ask).await,
    )
}

/// What taking back in place would do, and what stands in its way.
#[utoipa::path(
    post,
    path = "/v1/databases/{database}/rewind/plan",
    tag = "databases",
    params(("database" = String, Path, description = "Its id or its name")),
    request_body = dto::RewindDatabase,
    responses((status = 200, description = "Done", body = dto::PlannedRollback), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn plan_database_rewind(
    State(app): App,
    Extension(call): Who,
    Path(database): Path<String>,
    Json(ask): Json<dto::RewindDatabase>,
) -> Response {
    done(
        action::CHECK,
        StatusCode::OK,
        app.native
            .plan_database_rewind(&call, &database, &ask)
            .await,
    )
}

/// Shows rows that taking back in place would change, as they are and as they
/// would be.
#[utoipa::path(
    post,
    path = "/v1/databases/{database}/rewind/preview",
    tag = "databases",
    params(("database" = String, Path, description = "Its id or its name")),
    request_body = dto::RewindDatabase,
    responses((status = 200, description = "Done", body = dto::RowsPreview), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn preview_database_rewind(
    State(app): App,
    Extension(call): Who,
    Path(database): Path<String>,
    Json(ask): Json<dto::RewindDatabase>,
) -> Response {
    done(
        action::PREVIEW_ROWS,
        StatusCode::OK,
        app.native
            .preview_database_rewind(&call, &database, &ask)
            .await,
    )
}

/// Stops the rollback that runs on a database; all will be as before.
#[utoipa::path(
    post,
    path = "/v1/databases/{database}/stop",
    tag = "databases",
    params(("database" = String, Path, description = "Its id or its name")),
    responses((status = 202, description = "Done", body = dto::AcceptedTask), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn stop_database_rollback(
    State(app): App,
    Extension(call): Who,
    Path(database): Path<String>,
    Json(Nothing {}): Json<Nothing>,
) -> Response {
    done(
        action::CANCEL_JOB,
        StatusCode::ACCEPTED,
        app.native.stop_database_rollback(&call, &database).await,
    )
}

/// Lists what was asked of a database, newest first.
#[utoipa::path(
    get,
    path = "/v1/databases/{database}/tasks",
    tag = "databases",
    params(("database" = String, Path, description = "Its id or its name"), PageQuery),
    responses((status = 200, description = "Done", body = List<dto::Task>), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn list_database_tasks(
    State(app): App,
    Extension(call): Who,
    Path(database): Path<String>,
    Query(page): Query<PageQuery>,
) -> Response {
    done(
        action::DESCRIBE_DATABASES,
        StatusCode::OK,
        app.native
            .database_tasks(&call, &database, &page.into())
            .await,
    )
}

/// One task, with what a rollback found and how it was proved.
#[utoipa::path(
    get,
    path = "/v1/databases/{database}/tasks/{task}",
    tag = "databases",
    params(("database" = String, Path, description = "Its id or its name"), ("task" = u64, Path, description = "Its number")),
    responses((status = 200, description = "Done", body = dto::Task), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn get_database_task(
    State(app): App,
    Extension(call): Who,
    Path((database, task)): Path<(String, u64)>,
) -> Response {
    done(
        action::DESCRIBE_DATABASES,
        StatusCode::OK,
        app.native.database_task(&call, &database, task).await,
    )
}

/// Lists the base backups of a database, newest first.
#[utoipa::path(
    get,
    path = "/v1/databases/{database}/backups",
    tag = "databases",
    params(("database" = String, Path, description = "Its id or its name"), PageQuery),
    responses((status = 200, description = "Done", body = List<dto::Backup>), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn list_database_backups(
    State(app): App,
    Extension(call): Who,
    Path(database): Path<String>,
    Query(page): Query<PageQuery>,
) -> Response {
    done(
        action::DESCRIBE_DATABASES,
        StatusCode::OK,
        app.native
            .database_backups(&call, &database, &page.into())
            .await,
    )
}

/// Takes a base backup of a database.
#[utoipa::path(
    post,
    path = "/v1/databases/{database}/backups",
    tag = "databases",
    params(("database" = String, Path, description = "Its id or its name"), ("Idempotency-Key" = Option<String>, Header, description = "The same key with the same request answers with the first one's job")),
    request_body = dto::TakeBackup,
    responses((status = 202, description = "Done", body = dto::TakenBackup), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn take_database_backup(
    State(app): App,
    Extension(call): Who,
    Path(database): Path<String>,
    Json(ask): Json<dto::TakeBackup>,
) -> Response {
    done(
        action::CREATE_BACKUP,
        StatusCode::ACCEPTED,
        app.native.take_database_backup(&call, &database, ask).await,
    )
}

/// Deletes a base backup.
#[utoipa::path(
    delete,
    path = "/v1/databases/{database}/backups/{backup}",
    tag = "databases",
    params(("database" = String, Path, description = "Its id or its name"), ("backup" = u64, Path, description = "Its number"), ("Idempotency-Key" = Option<String>, Header, description = "The same key with the same request answers with the first one's job")),
    responses((status = 202, description = "Done", body = dto::AcceptedTask), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn delete_database_backup(
    State(app): App,
    Extension(call): Who,
    Path((database, backup)): Path<(String, u64)>,
    Json(Nothing {}): Json<Nothing>,
) -> Response {
    done(
        action::DELETE_BACKUP,
        StatusCode::ACCEPTED,
        app.native
            .delete_database_backup(&call, &database, backup)
            .await,
    )
}
