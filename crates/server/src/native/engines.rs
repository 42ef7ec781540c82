//! The paths of the data engines.

use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use backout_api::native::dto::{self, ErrorEnvelope, List};
use backout_api::native::{EngineImagesWanted, PageOf, action, engine_action};
use http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{App, Json, PageQuery, Shared, Who, done};

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct EnginesQuery {
    /// At most so many items: 1 to 100, 50 when it is left out.
    limit: Option<usize>,
    /// The `next` of the page before.
    cursor: Option<String>,
    /// Only those of this kind.
    kind: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ImagesQuery {
    /// At most so many items: 1 to 100, 50 when it is left out.
    limit: Option<usize>,
    /// The `next` of the page before.
    cursor: Option<String>,
    /// Only those at this level: `parent`, `child` or `pyspark`.
    level: Option<String>,
    /// Only those for engines of this kind.
    kind: Option<String>,
    /// Only those under this version.
    parent: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct OutputQuery {
    /// How many of the last lines: 0 to 10,000, 50 when it is left out.
    lines: Option<usize>,
}

/// The action of a change, for the request log; one that is none is refused as a
/// change of parameters.
fn action_of(ask: &dto::EngineChangeAsk) -> &'static str {
    engine_action(&ask.kind).unwrap_or(action::CONFIGURE_ENGINE)
}

/// The paths of the data engines.
pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list_engines, create_engine))
        .routes(routes!(plan_engine))
        .routes(routes!(get_engine, describe_engine))
        .routes(routes!(change_engine))
        .routes(routes!(plan_engine_change))
        .routes(routes!(check_engine))
        .routes(routes!(engine_config))
        .routes(routes!(engine_log))
        .routes(routes!(list_engine_events))
        .routes(routes!(engine_output))
        .routes(routes!(list_engine_images, add_engine_image))
        .routes(routes!(get_engine_image))
}

/// Lists the data engines, newest first.
#[utoipa::path(
    get,
    path = "/v1/engines",
    tag = "engines",
    params(EnginesQuery),
    responses((status = 200, description = "Done", body = List<dto::DataEngine>), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn list_engines(
    State(app): App,
    Extension(call): Who,
    Query(q): Query<EnginesQuery>,
) -> Response {
    done(
        action::DESCRIBE_ENGINES,
        StatusCode::OK,
        app.native
            .engines(
                &call,
                q.kind.as_deref(),
                &PageOf {
                    limit: q.limit,
                    cursor: q.cursor,
                },
            )
            .await,
    )
}

/// Makes a data engine, and starts it.
#[utoipa::path(
    post,
    path = "/v1/engines",
    tag = "engines",
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key with the same request answers with the first one's job")),
    request_body = dto::CreateEngine,
    responses((status = 202, description = "Done", body = dto::AcceptedEngine), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn create_engine(
    State(app): App,
    Extension(call): Who,
    Json(ask): Json<dto::CreateEngine>,
) -> Response {
    done(
        action::CREATE_ENGINE,
        StatusCode::ACCEPTED,
        app.native.create_engine(&call, ask).await,
    )
}

/// What making a data engine would do, and what stands in its way.
#[utoipa::path(
    post,
    path = "/v1/plan/engines",
    tag = "engines",
    request_body = dto::CreateEngine,
    responses((status = 200, description = "Done", body = dto::PlannedEngine), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn plan_engine(
    State(app): App,
    Extension(call): Who,
    Json(ask): Json<dto::CreateEngine>,
) -> Response {
    done(
        action::CHECK,
        StatusCode::OK,
        app.native.plan_engine(&call, ask).await,
    )
}

/// One data engine.
#[utoipa::path(
    get,
    path = "/v1/engines/{engine}",
    tag = "engines",
    params(("engine" = String, Path, description = "Its id or its name")),
    responses((status = 200, description = "Done", body = dto::DataEngine), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn get_engine(State(app): App, Extension(call): Who, Path(name): Path<String>) -> Response {
    done(
        action::DESCRIBE_ENGINES,
        StatusCode::OK,
        app.native.engine(&call, &name).await,
    )
}

/// Describes a data engine anew.
#[utoipa::path(
    patch,
    path = "/v1/engines/{engine}",
    tag = "engines",
    params(("engine" = String, Path, description = "Its id or its name")),
    request_body = dto::DescribeEngine,
    responses((status = 200, description = "Done", body = dto::DataEngine), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn describe_engine(
    State(app): App,
    Extension(call): Who,
    Path(name): Path<String>,
    Json(ask): Json<dto::DescribeEngine>,
) -> Response {
    done(
        action::CHANGE_ENGINE,
        StatusCode::OK,
        app.native.describe_engine(&call, &name, ask).await,
    )
}

/// Changes a data engine: its version, its parameters, whether it runs.
#[utoipa::path(
    post,
    path = "/v1/engines/{engine}/changes",
    tag = "engines",
    params(("engine" = String, Path, description = "Its id or its name"), ("Idempotency-Key" = Option<String>, Header, description = "The same key with the same request answers with the first one's job")),
    request_body = dto::EngineChangeAsk,
    responses((status = 202, description = "Done", body = dto::AcceptedEngine), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn change_engine(
    State(app): App,
    Extension(call): Who,
    Path(name): Path<String>,
    Json(ask): Json<dto::EngineChangeAsk>,
) -> Response {
    let action = action_of(&ask);
    done(
        action,
        StatusCode::ACCEPTED,
        app.native.change_engine(&call, &name, ask).await,
    )
}

/// What a change would do, and what stands in its way.
#[utoipa::path(
    post,
    path = "/v1/engines/{engine}/changes/plan",
    tag = "engines",
    params(("engine" = String, Path, description = "Its id or its name")),
    request_body = dto::EngineChangeAsk,
    responses((status = 200, description = "Done", body = dto::PlannedEngine), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn plan_engine_change(
    State(app): App,
    Extension(call): Who,
    Path(name): Path<String>,
    Json(ask): Json<dto::EngineChangeAsk>,
) -> Response {
    done(
        action::CHECK,
        StatusCode::OK,
        app.native.plan_engine_change(&call, &name, ask).await,
    )
}

/// Whether the image of a data engine can be rolled back, between which records of its log, and whether it can be upgraded.
#[utoipa::path(
    get,
    path = "/v1/engines/{engine}/check",
    tag = "engines",
    params(("engine" = String, Path, description = "Its id or its name")),
    responses((status = 200, description = "Done", body = dto::EngineCheck), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn check_engine(State(app): App, Extension(call): Who, Path(name): Path<String>) -> Response {
    done(
        action::CHECK,
        StatusCode::OK,
        app.native.check_engine(&call, &name).await,
    )
}

/// The parameters of a data engine, with what is set.
#[utoipa::path(
    get,
    path = "/v1/engines/{engine}/config",
    tag = "engines",
    params(("engine" = String, Path, description = "Its id or its name")),
    responses((status = 200, description = "Done", body = dto::EngineConfig), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn engine_config(
    State(app): App,
    Extension(call): Who,
    Path(name): Path<String>,
) -> Response {
    done(
        action::DESCRIBE_ENGINES,
        StatusCode::OK,
        app.native.engine_config(&call, &name).await,
    )
}

/// What was done to the image of a data engine, newest first.
#[utoipa::path(
    get,
    path = "/v1/engines/{engine}/log",
    tag = "engines",
    params(("engine" = String, Path, description = "Its id or its name"), PageQuery),
    responses((status = 200, description = "Done", body = List<dto::EngineRecord>), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn engine_log(
    State(app): App,
    Extension(call): Who,
    Path(name): Path<String>,
    Query(q): Query<PageQuery>,
) -> Response {
    done(
        action::DESCRIBE_ENGINES,
        StatusCode::OK,
        app.native.engine_log(&call, &name, &q.into()).await,
    )
}

/// What happened to a data engine, newest first.
#[utoipa::path(
    get,
    path = "/v1/engines/{engine}/events",
    tag = "engines",
    params(("engine" = String, Path, description = "Its id or its name"), PageQuery),
    responses((status = 200, description = "Done", body = List<dto::EngineEvent>), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn list_engine_events(
    State(app): App,
    Extension(call): Who,
    Path(name): Path<String>,
    Query(q): Query<PageQuery>,
) -> Response {
    done(
        action::DESCRIBE_ENGINES,
        StatusCode::OK,
        app.native.engine_events(&call, &name, &q.into()).await,
    )
}

/// The last lines that the instance of a data engine wrote.
#[utoipa::path(
    get,
    path = "/v1/engines/{engine}/output",
    tag = "engines",
    params(("engine" = String, Path, description = "Its id or its name"), OutputQuery),
    responses((status = 200, description = "Done", body = dto::EngineOutput), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn engine_output(
    State(app): App,
    Extension(call): Who,
    Path(name): Path<String>,
    Query(q): Query<OutputQuery>,
) -> Response {
    done(
        action::READ_ENGINE_OUTPUT,
        StatusCode::OK,
        app.native.engine_output(&call, &name, q.lines).await,
    )
}

/// Lists the versions of images, oldest first, also those with something wrong.
#[utoipa::path(
    get,
    path = "/v1/engine-images",
    tag = "engines",
    params(ImagesQuery),
    responses((status = 200, description = "Done", body = List<dto::EngineImage>), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn list_engine_images(
    State(app): App,
    Extension(call): Who,
    Query(q): Query<ImagesQuery>,
) -> Response {
    done(
        action::DESCRIBE_ENGINE_IMAGES,
        StatusCode::OK,
        app.native
            .engine_images(
                &call,
                &EngineImagesWanted {
                    level: q.level,
                    kind: q.kind,
                    parent: q.parent,
                },
                &PageOf {
                    limit: q.limit,
                    cursor: q.cursor,
                },
            )
            .await,
    )
}

/// Adds a version to the catalogue, or replaces the one of the same name.
#[utoipa::path(
    post,
    path = "/v1/engine-images",
    tag = "engines",
    request_body = dto::AddEngineImage,
    responses((status = 201, description = "Done", body = dto::AddedEngineImage), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn add_engine_image(
    State(app): App,
    Extension(call): Who,
    Json(ask): Json<dto::AddEngineImage>,
) -> Response {
    done(
        action::ADD_ENGINE_IMAGE,
        StatusCode::CREATED,
        app.native.add_engine_image(&call, ask).await,
    )
}

/// One version of an image, with its parameters and its entry.
#[utoipa::path(
    get,
    path = "/v1/engine-images/{image}",
    tag = "engines",
    params(("image" = String, Path, description = "Its id or its name")),
    responses((status = 200, description = "Done", body = dto::EngineImageWhole), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn get_engine_image(
    State(app): App,
    Extension(call): Who,
    Path(name): Path<String>,
) -> Response {
    done(
        action::DESCRIBE_ENGINE_IMAGES,
        StatusCode::OK,
        app.native.engine_image(&call, &name).await,
    )
}
