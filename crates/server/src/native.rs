//! The paths of the native API, and the document that describes them.

mod apps;
mod databases;
mod engines;

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{FromRequest, Path, Query, Request, State};
use axum::response::{IntoResponse, Response};
use backout_api::native::dto::{self, ErrorEnvelope, ErrorView, List};
use backout_api::native::{
    Call, DisksWanted, EventsAfter, JobFilter, Native, NativeError, PageOf, action,
};
use backout_core::ids::RequestId;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, StatusCode};
use hyper::body::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, watch};
use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::{IntoParams, OpenApi as _};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::listener::Phase;
use crate::stream::{STREAMS_MAX, follow};

/// How many events one answer holds when they are asked for as a list.
const EVENTS_PAGE: usize = 500;
const EVENT_STREAM: &str = "text/event-stream";
const JSON: &str = "application/json";

/// The action of a call, for the request log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Action(pub(crate) &'static str);

#[derive(Clone)]
struct Shared {
    native: Arc<Native>,
    streams: Arc<Semaphore>,
    phase: watch::Receiver<Phase>,
}

type App = State<Shared>;
type Who = Extension<Call>;

/// Whether a path is the native API's.
pub(crate) fn is_path(path: &str) -> bool {
    match path.strip_prefix("/v1") {
        Some(rest) => rest.is_empty() || rest.starts_with('/'),
        None => matches!(path, "/healthz" | "/readyz" | "/openapi.json"),
    }
}

/// Whether a path is answered to anybody.
pub(crate) fn is_public(path: &str) -> bool {
    matches!(
        path,
        "/healthz" | "/readyz" | "/openapi.json" | "/v1/version"
    )
}

/// Whether an answer is a stream that must not be collected.
pub(crate) fn is_stream<B>(response: &http::Response<B>) -> bool {
    response
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind == EVENT_STREAM)
}

/// A refusal as JSON.
pub(crate) fn render(request: &RequestId, error: &NativeError) -> Bytes {
    let envelope = ErrorEnvelope {
        error: ErrorView {
            code: error.code.as_str().into(),
            title: error.code.title().into(),
            message: error.message.clone(),
            request_id: request.0.clone(),
        },
    };
    // Flat texts: this does not fail.
    serde_json::to_vec(&envelope).unwrap_or_default().into()
}

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Backout",
        description = "Take anything back: servers, databases, applications, data engines, and the jobs that roll back. \
                       The rules are in docs/native-api.md."
    ),
    tags(
        (name = "servers", description = "What is managed, and its restore points"),
        (name = "disks", description = "Data disks, and their restore points"),
        (name = "images", description = "What servers are made of"),
        (name = "databases", description = "Databases: their history, the ways back, their backups"),
        (name = "apps", description = "Applications: their versions, orders, replicas and logs"),
        (name = "engines", description = "Data engines: the versions of their images, their parameters, their log"),
        (name = "rollback", description = "Judge, plan and roll back"),
        (name = "jobs", description = "What runs, and what ran"),
        (name = "accounts", description = "Who may call"),
        (name = "faults", description = "Faults on demand, on servers for tests"),
        (name = "host", description = "This Backout itself")
    )
)]
struct Document;

fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(list_resources))
        .routes(routes!(list_servers, add_server))
        .routes(routes!(get_server, change_server, release_server))
        .routes(routes!(reset_server))
        .routes(routes!(set_schedule, end_schedule))
        .routes(routes!(create_image))
        .routes(routes!(start_servers))
        .routes(routes!(stop_servers))
        .routes(routes!(reboot_servers))
        .routes(routes!(isolate_servers))
        .routes(routes!(terminate_servers))
        .routes(routes!(list_sizes))
        .routes(routes!(list_snapshots, create_snapshot))
        .routes(routes!(rename_snapshot, delete_snapshot))
        .routes(routes!(list_disks, add_disk))
        .routes(routes!(get_disk, remove_disk))
        .routes(routes!(list_disk_snapshots, create_disk_snapshot))
        .routes(routes!(attach_disks))
        .routes(routes!(detach_disks))
        .routes(routes!(list_images, add_image))
        .routes(routes!(get_image, delete_image))
        .routes(routes!(create_servers))
        .routes(routes!(plan_servers))
        .routes(routes!(check))
        .routes(routes!(plan))
        .routes(routes!(rollback))
        .routes(routes!(compact))
        .routes(routes!(plan_compact))
        .merge(databases::routes())
        .merge(apps::routes())
        .merge(engines::routes())
        .routes(routes!(list_jobs))
        .routes(routes!(get_job))
        .routes(routes!(job_events))
        .routes(routes!(cancel_job))
        .routes(routes!(retry_job))
        .routes(routes!(undo_job))
        .routes(routes!(list_accounts, create_account))
        .routes(routes!(get_account, set_account_status, delete_account))
        .routes(routes!(set_policy))
        .routes(routes!(add_key))
        .routes(routes!(set_key_status, delete_key))
        .routes(routes!(issue_token))
        .routes(routes!(list_faults, add_fault, clear_faults))
        .routes(routes!(remove_fault))
        .routes(routes!(get_request))
        .routes(routes!(doctor))
        .routes(routes!(version))
        .routes(routes!(healthz))
        .routes(routes!(readyz))
        .routes(routes!(document))
}

/// The document that describes the native API.
#[must_use]
pub fn openapi() -> OpenApi {
    let mut document = routes().into_openapi();
    let basic = Http::builder()
        .scheme(HttpAuthScheme::Basic)
        .description(Some(
            "SecretId and SecretKey; over TLS and from loopback only. Other callers sign with \
             TC3-HMAC-SHA256, service backout, see docs/native-api.md.",
        ))
        .build();
    document
        .components
        .get_or_insert_default()
        .add_security_scheme("basic", SecurityScheme::Http(basic));
    document.security = Some(vec![SecurityRequirement::new(
        "basic",
        Vec::<String>::new(),
    )]);
    document
}

pub(crate) fn router(native: Arc<Native>, phase: watch::Receiver<Phase>) -> axum::Router {
    let text = openapi().to_json().unwrap_or_else(|e| {
        tracing::error!(error = %e, "the OpenAPI document could not be written");
        "{}".to_owned()
    });
    let (router, _) = routes().split_for_parts();
    router
        .layer(Extension(DocumentText(text.into())))
        .with_state(Shared {
            native,
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            phase,
        })
}

#[derive(Clone)]
struct DocumentText(Bytes);

// ---- what handlers take and give ----

/// A JSON body. An empty one is an empty object; any other must say that it is
/// JSON.
struct Json<T>(T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let headers = request.headers().clone();
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(IntoResponse::into_response)?;
        read_json(&headers, &bytes)
            .map(Self)
            .map_err(|e| refuse(e, None))
    }
}

fn read_json<T: DeserializeOwned>(headers: &HeaderMap, bytes: &[u8]) -> Result<T, NativeError> {
    let bytes = check_json(headers, bytes)?;
    serde_json::from_slice(bytes)
        .map_err(|e| NativeError::malformed(format!("read the body as JSON: {e}")))
}

fn check_json<'a>(headers: &HeaderMap, bytes: &'a [u8]) -> Result<&'a [u8], NativeError> {
    if bytes.is_empty() {
        return Ok(b"{}");
    }
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .unwrap_or("");
    if kind.trim().eq_ignore_ascii_case(JSON) {
        Ok(bytes)
    } else {
        Err(NativeError::malformed(
            "read the body: its Content-Type must be application/json",
        ))
    }
}

/// No body, or an empty object.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct PageQuery {
    /// At most so many items: 1 to 100, 50 when it is left out.
    limit: Option<usize>,
    /// The `next` of the page before.
    cursor: Option<String>,
}

impl From<PageQuery> for PageOf {
    fn from(q: PageQuery) -> Self {
        Self {
            limit: q.limit,
            cursor: q.cursor,
        }
    }
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct JobsQuery {
    /// At most so many items: 1 to 100, 50 when it is left out.
    limit: Option<usize>,
    /// The `next` of the page before.
    cursor: Option<String>,
    /// `queued`, `running` or `done`; or how they ended: `applied`, `reverted` or
    /// `held`.
    state: Option<String>,
    /// `server/NAME`, `disk/NAME`, `database/NAME`, `app/NAME`, `engine/NAME`, one of
    /// them with an id, or just the name of a server.
    resource: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct DisksQuery {
    /// At most so many items: 1 to 100, 50 when it is left out.
    limit: Option<usize>,
    /// The `next` of the page before.
    cursor: Option<String>,
    /// `system` or `data`.
    usage: Option<String>,
    /// The name or id of the server that uses them.
    server: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct DoctorQuery {
    /// An absolute path of a folder to look at as well; for `admin` only.
    folder: Option<String>,
}

/// An answer, or a refusal that [`crate::dispatch`] writes out: it knows the
/// request id.
fn done<T: Serialize>(
    action: &'static str,
    status: StatusCode,
    result: Result<T, NativeError>,
) -> Response {
    let value = match result {
        Ok(value) => value,
        Err(error) => return refuse(error, Some(action)),
    };
    let mut response = match serde_json::to_vec(&value) {
        Ok(bytes) => {
            let mut response = Response::new(Body::from(bytes));
            *response.status_mut() = status;
            response
                .headers_mut()
                .insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
            response
        }
        Err(e) => {
            tracing::error!(action, error = %e, "an answer could not be written as JSON");
            return refuse(
                NativeError::internal("answer: a fault inside; report this request id"),
                Some(action),
            );
        }
    };
    response.extensions_mut().insert(Action(action));
    response
}

fn refuse(error: NativeError, action: Option<&'static str>) -> Response {
    let mut response = Response::new(Body::empty());
    response.extensions_mut().insert(error);
    if let Some(action) = action {
        response.extensions_mut().insert(Action(action));
    }
    response
}

fn no_content(action: &'static str, result: Result<(), NativeError>) -> Response {
    if let Err(error) = result {
        return refuse(error, Some(action));
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.extensions_mut().insert(Action(action));
    response
}

// ---- the paths ----

/// Lists everything that is managed, newest first.
#[utoipa::path(
    get,
    path = "/v1/resources",
    tag = "servers",
    params(PageQuery),
    responses((status = 200, description = "Done", body = List<dto::Resource>), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn list_resources(
    State(app): App,
    Extension(call): Who,
    Query(page): Query<PageQuery>,
) -> Response {
    done(
        action::LIST_RESOURCES,
        StatusCode::OK,
        app.native.resources(&call, &page.into()).await,
    )
}

/// Lists the servers, newest first.
#[utoipa::path(
    get,
    path = "/v1/servers",
    tag = "servers",
    params(PageQuery),
    responses((status = 200, description = "Done", body = List<dto::Server>), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn list_servers(
    State(app): App,
    Extension(call): Who,
    Query(page): Query<PageQuery>,
) -> Response {
    done(
        action::DESCRIBE_SERVERS,
        StatusCode::OK,
        app.native.servers(&call, &page.into()).await,
    )
}

/// Takes a disk under management, in place.
#[utoipa::path(
    post,
    path = "/v1/servers",
    tag = "servers",
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key with the same request answers with the first one's job")),
    request_body = dto::AddServer,
    responses((status = 202, description = "Done", body = dto::AddedServer), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn add_server(
    State(app): App,
    Extension(call): Who,
    Json(new): Json<dto::AddServer>,
) -> Response {
    done(
        action::ADD_SERVER,
        StatusCode::ACCEPTED,
        app.native.add_server(&call, new).await,
    )
}

/// One server.
#[utoipa::path(
    get,
    path = "/v1/servers/{server}",
    tag = "servers",
    params(("server" = String, Path, description = "Its id or its name")),
    responses((status = 200, description = "Done", body = dto::Server), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn get_server(State(app): App, Extension(call): Who, Path(server): Path<String>) -> Response {
    done(
        action::DESCRIBE_SERVERS,
        StatusCode::OK,
        app.native.server(&call, &server).await,
    )
}

/// Takes a server out of management. Its disk stays as it is, and its restore
/// points stay in their folder.
#[utoipa::path(
    delete,
    path = "/v1/servers/{server}",
    tag = "servers",
    params(("server" = String, Path, description = "Its id or its name"), ("Idempotency-Key" = Option<String>, Header, description = "The same key with the same request answers with the first one's job")),
    responses((status = 202, description = "Done", body = dto::Accepted), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn release_server(
    State(app): App,
    Extension(call): Who,
    Path(server): Path<String>,
    Json(Nothing {}): Json<Nothing>,
) -> Response {
    done(
        action::RELEASE_SERVER,
        StatusCode::ACCEPTED,
        app.native.release_server(&call, &server).await,
    )
}

/// Gives a server another name, or other commands. Its commands can be changed at
/// any time, also while a job is held for a wrong one: retry the job then.
#[utoipa::path(
    patch,
    path = "/v1/servers/{server}",
    tag = "servers",
    params(("server" = String, Path, description = "Its id or its name")),
    request_body = dto::ChangeServer,
    responses((status = 200, description = "Done", body = dto::Server), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn change_server(
    State(app): App,
    Extension(call): Who,
    Path(server): Path<String>,
    Json(ask): Json<dto::ChangeServer>,
) -> Response {
    done(
        action::RENAME_SERVER,
        StatusCode::OK,
        app.native.change_server(&call, &server, ask).await,
    )
}

/// Makes a server's system disk anew of an image. Its old disk is kept as a
/// safety point, to which the job can be undone.
#[utoipa::path(
    post,
    path = "/v1/servers/{server}/reset",
    tag = "servers",
    params(("server" = String, Path, description = "Its id or its name"), ("Idempotency-Key" = Option<String>, Header, description = "The same key with the same request answers with the first one's job")),
    request_body = dto::ResetServer,
    responses((status = 202, description = "Done", body = dto::Accepted), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn reset_server(
    State(app): App,
    Extension(call): Who,
    Path(server): Path<String>,
    Json(ask): Json<dto::ResetServer>,
) -> Response {
    done(
        action::RESET_SERVER,
        StatusCode::ACCEPTED,
        app.native.reset_server(&call, &server, &ask).await,
    )
}

/// Has snapshots of a server taken by themselves.
#[utoipa::path(
    put,
    path = "/v1/servers/{server}/schedule",
    tag = "servers",
    params(("server" = String, Path, description = "Its id or its name")),
    request_body = dto::SetSchedule,
    responses((status = 200, description = "Done", body = dto::Server), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn set_schedule(
    State(app): App,
    Extension(call): Who,
    Path(server): Path<String>,
    Json(ask): Json<dto::SetSchedule>,
) -> Response {
    done(
        action::SCHEDULE_SNAPSHOTS,
        StatusCode::OK,
        app.native.set_schedule(&call, &server, Some(ask)).await,
    )
}

/// Ends the schedule of a server's snapshots; those that it took stay.
#[utoipa::path(
    delete,
    path = "/v1/servers/{server}/schedule",
    tag = "servers",
    params(("server" = String, Path, description = "Its id or its name")),
    responses((status = 200, description = "Done", body = dto::Server), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn end_schedule(
    State(app): App,
    Extension(call): Who,
    Path(server): Path<String>,
    Json(Nothing {}): Json<Nothing>,
) -> Response {
    done(
        action::SCHEDULE_SNAPSHOTS,
        StatusCode::OK,
        app.native.set_schedule(&call, &server, None).await,
    )
}

/// Makes an image of a server's system disk.
#[utoipa::path(
    post,
    path = "/v1/servers/{server}/images",
    tag = "images",
    params(("server" = String, Path, description = "Its id or its name"), ("Idempotency-Key" = Option<String>, Header, description = "The same key with the same request answers with the first one's job")),
    request_body = dto::CreateImage,
    responses((status = 202, description = "Done", body = dto::CreatedImage), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn create_image(
    State(app): App,
    Extension(call): Who,
    Path(server): Path<String>,
    Json(ask): Json<dto::CreateImage>,
) -> Response {
    done(
        action::CREATE_IMAGE,
        StatusCode::ACCEPTED,
        app.native.create_image(&call, &server, ask).await,
    )
}

/// Starts servers that are stopped. All of them, or none:
/// a job each, that are submitted together.
#[utoipa::path(
    post,
    path = "/v1/start",
    tag = "servers",
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key with the same request answers with the first one's jobs")),
    request_body = dto::OnServers,
    responses((status = 202, description = "Done", body = dto::AcceptedJobs), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn start_servers(
    State(app): App,
    Extension(call): Who,
    Json(ask): Json<dto::OnServers>,
) -> Response {
    done(
        action::START_SERVERS,
        StatusCode::ACCEPTED,
        app.native.start_servers(&call, &ask).await,
    )
}

/// Stops servers that run. All of them, or none:
/// a job each, that are submitted together.
#[utoipa::path(
    post,
    path = "/v1/stop",
    tag = "servers",
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key with the same request answers with the first one's jobs")),
    request_body = dto::StopServers,
    responses((status = 202, description = "Done", body = dto::AcceptedJobs), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn stop_servers(
    State(app): App,
    Extension(call): Who,
    Json(ask): Json<dto::StopServers>,
) -> Response {
    done(
        action::STOP_SERVERS,
        StatusCode::ACCEPTED,
        app.native.stop_servers(&call, &ask).await,
    )
}

/// Stops servers that run, and starts them again. All of them, or none:
/// a job each, that are submitted together.
#[utoipa::path(
    post,
    path = "/v1/reboot",
    tag = "servers",
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key with the same request answers with the first one's jobs")),
    request_body = dto::StopServers,
    responses((status = 202, description = "Done", body = dto::AcceptedJobs), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn reboot_servers(
    State(app): App,
    Extension(call): Who,
    Json(ask): Json<dto::StopServers>,
) -> Response {
    done(
        action::REBOOT_SERVERS,
        StatusCode::ACCEPTED,
        app.native.reboot_servers(&call, &ask).await,
    )
}

/// Gives servers back: they are stopped, and wait to be terminated. All of them, or none:
/// a job each, that are submitted together.
#[utoipa::path(
    post,
    path = "/v1/isolate",
    tag = "servers",
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key with the same request answers with the first one's jobs")),
    request_body = dto::IsolateServers,
    responses((status = 202, description = "Done", body = dto::AcceptedJobs), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn isolate_servers(
    State(app): App,
    Extension(call): Who,
    Json(ask): Json<dto::IsolateServers>,
) -> Response {
    done(
        action::ISOLATE_SERVERS,
        StatusCode::ACCEPTED,
        app.native.isolate_servers(&call, &ask).await,
    )
}

/// Removes servers that were given back, or could not be made. A disk that
/// Backout made goes with its restore points; a user's file stays. All of them, or none:
/// a job each, that are submitted together.
#[utoipa::path(
    post,
    path = "/v1/terminate",
    tag = "servers",
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key with the same request answers with the first one's jobs")),
    request_body = dto::OnServers,
    responses((status = 202, description = "Done", body = dto::AcceptedJobs), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn terminate_servers(
    State(app): App,
    Extension(call): Who,
    Json(ask): Json<dto::OnServers>,
) -> Response {
    done(
        action::TERMINATE_SERVERS,
        StatusCode::ACCEPTED,
        app.native.terminate_servers(&call, &ask).await,
    )
}

/// The sizes that servers are made in, the smallest first.
#[utoipa::path(
    get,
    path = "/v1/sizes",
    tag = "servers",
    responses((status = 200, description = "Done", body = dto::ServerSizes), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn list_sizes(State(app): App, Extension(call): Who) -> Response {
    done(
        action::DESCRIBE_SIZES,
        StatusCode::OK,
        app.native.sizes(&call),
    )
}

/// The restore points of a server, safety points included, newest first.
#[utoipa::path(
    get,
    path = "/v1/servers/{server}/snapshots",
    tag = "servers",
    params(("server" = String, Path, description = "Its id or its name"), PageQuery),
    responses((status = 200, description = "Done", body = List<dto::Snapshot>), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn list_snapshots(
    State(app): App,
    Extension(call): Who,
    Path(server): Path<String>,
    Query(page): Query<PageQuery>,
) -> Response {
    done(
        action::DESCRIBE_SNAPSHOTS,
        StatusCode::OK,
        app.native.snapshots(&call, &server, &page.into()).await,
    )
}

/// Takes a snapshot of a server.
#[utoipa::path(
    post,
    path = "/v1/servers/{server}/snapshots",
    tag = "servers",
    params(("server" = String, Path, description = "Its id or its name"), ("Idempotency-Key" = Option<String>, Header, description = "The same key with the same request answers with the first one's job")),
    request_body = dto::CreateSnapshot,
    responses((status = 202, description = "Done", body = dto::CreatedSnapshot), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn create_snapshot(
    State(app): App,
    Extension(call): Who,
    Path(server): Path<String>,
    Json(new): Json<dto::CreateSnapshot>,
) -> Response {
    done(
        action::CREATE_SNAPSHOT,
        StatusCode::ACCEPTED,
        app.native.create_snapshot(&call, &server, new).await,
    )
}

/// Gives a snapshot another name.
#[utoipa::path(
    patch,
    path = "/v1/snapshots/{snapshot}",
    tag = "servers",
    params(("snapshot" = String, Path, description = "Its id")),
    request_body = dto::Rename,
    responses((status = 200, description = "Done", body = dto::Snapshot), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn rename_snapshot(
    State(app): App,
    Extension(call): Who,
    Path(snapshot): Path<String>,
    Json(ask): Json<dto::Rename>,
) -> Response {
    done(
        action::RENAME_SNAPSHOT,
        StatusCode::OK,
        app.native.rename_snapshot(&call, &snapshot, &ask).await,
    )
}

/// Deletes a snapshot.
#[utoipa::path(
    delete,
    path = "/v1/snapshots/{snapshot}",
    tag = "servers",
    params(("snapshot" = String, Path, description = "Its id"), ("Idempotency-Key" = Option<String>, Header, description = "The same key with the same request answers with the first one's job")),
    responses((status = 202, description = "Done", body = dto::Accepted), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn delete_snapshot(
    State(app): App,
    Extension(call): Who,
    Path(snapshot): Path<String>,
    Json(Nothing {}): Json<Nothing>,
) -> Response {
    done(
        action::DELETE_SNAPSHOT,
        StatusCode::ACCEPTED,
        app.native.delete_snapshot(&call, &snapshot).await,
    )
}

/// Lists the disks, newest first.
#[utoipa::path(
    get,
    path = "/v1/disks",
    tag = "disks",
    params(DisksQuery),
    responses((status = 200, description = "Done", body = List<dto::ManagedDisk>), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn list_disks(
    State(app): App,
    Extension(call): Who,
    Query(q): Query<DisksQuery>,
) -> Response {
    let page = PageOf {
        limit: q.limit,
        cursor: q.cursor,
    };
    let wanted = DisksWanted {
        usage: q.usage,
        server: q.server,
    };
    done(
        action::DESCRIBE_DISKS,
        StatusCode::OK,
        app.native.disks(&call, &wanted, &page).await,
    )
}

/// Makes a blank data disk, or takes an existing image under management.
#[utoipa::path(
    post,
    path = "/v1/disks",
    tag = "disks",
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key with the same request answers with the first one's job")),
    request_body = dto::AddDisk,
    responses((status = 202, description = "Done", body = dto::AddedDisk), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn add_disk(
    State(app): App,
    Extension(call): Who,
    Json(ask): Json<dto::AddDisk>,
) -> Response {
    done(
        action::ADD_DISK,
        StatusCode::ACCEPTED,
        app.native.add_disk(&call, ask).await,
    )
}

/// One disk.
#[utoipa::path(
    get,
    path = "/v1/disks/{disk}",
    tag = "disks",
    params(("disk" = String, Path, description = "Its id or its name")),
    responses((status = 200, description = "Done", body = dto::ManagedDisk), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn get_disk(State(app): App, Extension(call): Who, Path(disk): Path<String>) -> Response {
    done(
        action::DESCRIBE_DISKS,
        StatusCode::OK,
        app.native.disk(&call, &disk).await,
    )
}

/// Takes a data disk out of management. A file that Backout made is removed
/// with its restore points, a user's stays.
#[utoipa::path(
    delete,
    path = "/v1/disks/{disk}",
    tag = "disks",
    params(("disk" = String, Path, description = "Its id or its name"), ("Idempotency-Key" = Option<String>, Header, description = "The same key with the same request answers with the first one's job")),
    responses((status = 202, description = "Done", body = dto::Accepted), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn remove_disk(
    State(app): App,
    Extension(call): Who,
    Path(disk): Path<String>,
    Json(Nothing {}): Json<Nothing>,
) -> Response {
    done(
        action::REMOVE_DISK,
        StatusCode::ACCEPTED,
        app.native.remove_disk(&call, &disk).await,
    )
}

/// The restore points of a data disk, safety points included, newest first.
#[utoipa::path(
    get,
    path = "/v1/disks/{disk}/snapshots",
    tag = "disks",
    params(("disk" = String, Path, description = "Its id or its name"), PageQuery),
    responses((status = 200, description = "Done", body = List<dto::Snapshot>), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn list_disk_snapshots(
    State(app): App,
    Extension(call): Who,
    Path(disk): Path<String>,
    Query(page): Query<PageQuery>,
) -> Response {
    done(
        action::DESCRIBE_SNAPSHOTS,
        StatusCode::OK,
        app.native.disk_snapshots(&call, &disk, &page.into()).await,
    )
}

/// Takes a restore point of a data disk.
#[utoipa::path(
    post,
    path = "/v1/disks/{disk}/snapshots",
    tag = "disks",
    params(("disk" = String, Path, description = "Its id or its name"), ("Idempotency-Key" = Option<String>, Header, description = "The same key with the same request answers with the first one's job")),
    request_body = dto::CreateSnapshot,
    responses((status = 202, description = "Done", body = dto::CreatedSnapshot), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn create_disk_snapshot(
    State(app): App,
    Extension(call): Who,
    Path(disk): Path<String>,
    Json(ask): Json<dto::CreateSnapshot>,
) -> Response {
    done(
        action::CREATE_SNAPSHOT,
        StatusCode::ACCEPTED,
        app.native.create_disk_snapshot(&call, &disk, ask).await,
    )
}

/// Gives data disks to a server, in one job.
#[utoipa::path(
    post,
    path = "/v1/attach",
    tag = "disks",
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key with the same request answers with the first one's jobs")),
    request_body = dto::AttachDisks,
    responses((status = 202, description = "Done", body = dto::AcceptedJobs), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn attach_disks(
    State(app): App,
    Extension(call): Who,
    Json(ask): Json<dto::AttachDisks>,
) -> Response {
    done(
        action::ATTACH_DISKS,
        StatusCode::ACCEPTED,
        app.native.attach_disks(&call, &ask).await,
    )
}

/// Takes data disks from their servers. All of them, or none: a job for each
/// server.
#[utoipa::path(
    post,
    path = "/v1/detach",
    tag = "disks",
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key with the same request answers with the first one's jobs")),
    request_body = dto::DetachDisks,
    responses((status = 202, description = "Done", body = dto::AcceptedJobs), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn detach_disks(
    State(app): App,
    Extension(call): Who,
    Json(ask): Json<dto::DetachDisks>,
) -> Response {
    done(
        action::DETACH_DISKS,
        StatusCode::ACCEPTED,
        app.native.detach_disks(&call, &ask).await,
    )
}

/// Lists the images, newest first.
#[utoipa::path(
    get,
    path = "/v1/images",
    tag = "images",
    params(PageQuery),
    responses((status = 200, description = "Done", body = List<dto::Image>), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn list_images(
    State(app): App,
    Extension(call): Who,
    Query(page): Query<PageQuery>,
) -> Response {
    done(
        action::DESCRIBE_IMAGES,
        StatusCode::OK,
        app.native.images(&call, &page.into()).await,
    )
}

/// Refers to an existing image file, in place.
#[utoipa::path(
    post,
    path = "/v1/images",
    tag = "images",
    request_body = dto::AddImage,
    responses((status = 201, description = "Done", body = dto::Image), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn add_image(
    State(app): App,
    Extension(call): Who,
    Json(ask): Json<dto::AddImage>,
) -> Response {
    done(
        action::ADD_IMAGE,
        StatusCode::CREATED,
        app.native.add_image(&call, ask).await,
    )
}

/// One image.
#[utoipa::path(
    get,
    path = "/v1/images/{image}",
    tag = "images",
    params(("image" = String, Path, description = "Its id or its name")),
    responses((status = 200, description = "Done", body = dto::Image), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn get_image(State(app): App, Extension(call): Who, Path(image): Path<String>) -> Response {
    done(
        action::DESCRIBE_IMAGES,
        StatusCode::OK,
        app.native.image(&call, &image).await,
    )
}

/// Forgets an image. A file that Backout made is removed, a user's stays.
#[utoipa::path(
    delete,
    path = "/v1/images/{image}",
    tag = "images",
    params(("image" = String, Path, description = "Its id or its name"), ("Idempotency-Key" = Option<String>, Header, description = "The same key with the same request answers with the first one's job")),
    responses((status = 202, description = "Done", body = dto::Accepted), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn delete_image(
    State(app): App,
    Extension(call): Who,
    Path(image): Path<String>,
    Json(Nothing {}): Json<Nothing>,
) -> Response {
    done(
        action::DELETE_IMAGE,
        StatusCode::ACCEPTED,
        app.native.delete_image(&call, &image).await,
    )
}

/// Makes servers of an image. All of them, or none: a job each, that are
/// submitted together.
#[utoipa::path(
    post,
    path = "/v1/images/{image}/servers",
    tag = "images",
    params(("image" = String, Path, description = "Its id or its name"), ("Idempotency-Key" = Option<String>, Header, description = "The same key with the same request answers with the first one's jobs")),
    request_body = dto::CreateServers,
    responses((status = 202, description = "Done", body = dto::CreatedServers), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn create_servers(
    State(app): App,
    Extension(call): Who,
    Path(image): Path<String>,
    Json(ask): Json<dto::CreateServers>,
) -> Response {
    done(
        action::CREATE_SERVERS,
        StatusCode::ACCEPTED,
        app.native.create_servers(&call, &image, ask).await,
    )
}

/// Judges and plans the making of servers; the plan is of the first.
#[utoipa::path(
    post,
    path = "/v1/images/{image}/servers/plan",
    tag = "images",
    params(("image" = String, Path, description = "Its id or its name")),
    request_body = dto::CreateServers,
    responses((status = 200, description = "Done", body = dto::Planned), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn plan_servers(
    State(app): App,
    Extension(call): Who,
    Path(image): Path<String>,
    Json(ask): Json<dto::CreateServers>,
) -> Response {
    done(
        action::CREATE_SERVERS,
        StatusCode::OK,
        app.native.plan_servers(&call, &image, ask).await,
    )
}

/// Tells whether a rollback may run, and what stands in its way.
#[utoipa::path(
    post,
    path = "/v1/check",
    tag = "rollback",
    request_body = dto::RollbackTo,
    responses((status = 200, description = "Done", body = dto::Checked), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn check(
    State(app): App,
    Extension(call): Who,
    Json(ask): Json<dto::RollbackTo>,
) -> Response {
    done(
        action::CHECK,
        StatusCode::OK,
        app.native.check(&call, &ask).await,
    )
}

/// As check, with the steps that would run.
#[utoipa::path(
    post,
    path = "/v1/plan",
    tag = "rollback",
    request_body = dto::RollbackTo,
    responses((status = 200, description = "Done", body = dto::Planned), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn plan(State(app): App, Extension(call): Who, Json(ask): Json<dto::RollbackTo>) -> Response {
    done(
        action::CHECK,
        StatusCode::OK,
        app.native.plan(&call, &ask).await,
    )
}

/// Rolls a resource back to a restore point.
#[utoipa::path(
    post,
    path = "/v1/rollback",
    tag = "rollback",
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key with the same request answers with the first one's job")),
    request_body = dto::RollbackTo,
    responses((status = 202, description = "Done", body = dto::Accepted), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn rollback(
    State(app): App,
    Extension(call): Who,
    Json(ask): Json<dto::RollbackTo>,
) -> Response {
    done(
        action::ROLLBACK,
        StatusCode::ACCEPTED,
        app.native.rollback(&call, &ask).await,
    )
}

/// Shortens the chain of layers under a disk, whether its machine runs or not.
/// Restore points stay as they are.
#[utoipa::path(
    post,
    path = "/v1/compact",
    tag = "rollback",
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key with the same request answers with the first one's job")),
    request_body = dto::OneResource,
    responses((status = 202, description = "Done", body = dto::Accepted), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn compact(
    State(app): App,
    Extension(call): Who,
    Json(ask): Json<dto::OneResource>,
) -> Response {
    done(
        action::COMPACT,
        StatusCode::ACCEPTED,
        app.native.compact(&call, &ask).await,
    )
}

/// Judges and plans the shortening of a chain of layers.
#[utoipa::path(
    post,
    path = "/v1/compact/plan",
    tag = "rollback",
    request_body = dto::OneResource,
    responses((status = 200, description = "Done", body = dto::Planned), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn plan_compact(
    State(app): App,
    Extension(call): Who,
    Json(ask): Json<dto::OneResource>,
) -> Response {
    done(
        action::COMPACT,
        StatusCode::OK,
        app.native.plan_compact(&call, &ask).await,
    )
}

/// Lists the jobs, newest first.
#[utoipa::path(
    get,
    path = "/v1/jobs",
    tag = "jobs",
    params(JobsQuery),
    responses((status = 200, description = "Done", body = List<dto::Job>), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn list_jobs(State(app): App, Extension(call): Who, Query(q): Query<JobsQuery>) -> Response {
    let page = PageOf {
        limit: q.limit,
        cursor: q.cursor,
    };
    let filter = JobFilter {
        state: q.state,
        resource: q.resource,
    };
    let result = app.native.list_jobs(&call, &filter, &page).await;
    done(action::DESCRIBE_JOBS, StatusCode::OK, result)
}

/// One job, with its steps.
#[utoipa::path(
    get,
    path = "/v1/jobs/{job}",
    tag = "jobs",
    params(("job" = String, Path, description = "Its id")),
    responses((status = 200, description = "Done", body = dto::Job), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn get_job(State(app): App, Extension(call): Who, Path(job): Path<String>) -> Response {
    done(
        action::DESCRIBE_JOBS,
        StatusCode::OK,
        app.native.job(&call, &job).await,
    )
}

/// What happened to a job: server-sent events until it ends when `text/event-stream` is accepted, a list otherwise.
#[utoipa::path(
    get,
    path = "/v1/jobs/{job}/events",
    tag = "jobs",
    params(("job" = String, Path, description = "Its id"), ("Last-Event-ID" = Option<i64>, Header, description = "Only events after this sequence number")),
    responses((status = 200, description = "Done", content((Vec<dto::Event> = "application/json"), (String = "text/event-stream"))), (status = 204, description = "The job has ended and has no more events: a stream need not come back"), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn job_events(
    State(app): App,
    Extension(call): Who,
    Path(job): Path<String>,
    headers: HeaderMap,
) -> Response {
    let after = match last_event(&headers) {
        Ok(after) => after,
        Err(error) => return refuse(error, Some(action::DESCRIBE_JOBS)),
    };
    let wants_stream = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.contains(EVENT_STREAM));
    if !wants_stream {
        let after = EventsAfter {
            seq: after.unwrap_or(0),
            limit: EVENTS_PAGE,
        };
        let result = app.native.events(&call, &job, after).await;
        return done(action::DESCRIBE_JOBS, StatusCode::OK, result);
    }
    match stream_events(&app, &call, &job, after).await {
        Ok(response) => response,
        Err(error) => refuse(error, Some(action::DESCRIBE_JOBS)),
    }
}

/// The sequence number that a client has seen.
fn last_event(headers: &HeaderMap) -> Result<Option<i64>, NativeError> {
    let Some(value) = headers.get(HeaderName::from_static("last-event-id")) else {
        return Ok(None);
    };
    value
        .to_str()
        .ok()
        .map(str::trim)
        .filter(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))
        .and_then(|text| text.parse().ok())
        .map(Some)
        .ok_or_else(|| NativeError::malformed("read Last-Event-ID: give the id of an event"))
}

async fn stream_events(
    app: &Shared,
    call: &Call,
    job: &str,
    after: Option<i64>,
) -> Result<Response, NativeError> {
    let id = app.native.watch_job(call, job).await?;
    if let Some(after) = after {
        // The state first: an event between the two reads is not missed.
        let is_done = app.native.jobs().get(&id).await?.is_done();
        if is_done && app.native.jobs().events(&id, after, 1).await?.is_empty() {
            // What browsers take as: do not connect again.
            return Ok(no_content(action::DESCRIBE_JOBS, Ok(())));
        }
    }
    let permit = Arc::clone(&app.streams).try_acquire_owned().map_err(|_| {
        NativeError::new(
            backout_core::code::Code::Throttled,
            format!("follow the job: {STREAMS_MAX} streams are open, the most there may be; ask for the list of events instead"),
        )
    })?;
    let body = follow(
        Arc::clone(&app.native),
        id,
        after.unwrap_or(0),
        app.phase.clone(),
        permit,
    );
    let mut response = Response::new(body);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(EVENT_STREAM));
    response
        .extensions_mut()
        .insert(Action(action::DESCRIBE_JOBS));
    Ok(response)
}

/// Asks to cancel a job: it ends reverted, unless its last step finishes first.
#[utoipa::path(
    post,
    path = "/v1/jobs/{job}/cancel",
    tag = "jobs",
    params(("job" = String, Path, description = "Its id")),
    responses((status = 202, description = "Done", body = dto::Accepted), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn cancel_job(
    State(app): App,
    Extension(call): Who,
    Path(job): Path<String>,
    Json(Nothing {}): Json<Nothing>,
) -> Response {
    done(
        action::CANCEL_JOB,
        StatusCode::ACCEPTED,
        app.native.cancel_job(&call, &job).await,
    )
}

/// Goes on with a held job.
#[utoipa::path(
    post,
    path = "/v1/jobs/{job}/retry",
    tag = "jobs",
    params(("job" = String, Path, description = "Its id")),
    responses((status = 202, description = "Done", body = dto::Accepted), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn retry_job(
    State(app): App,
    Extension(call): Who,
    Path(job): Path<String>,
    Json(Nothing {}): Json<Nothing>,
) -> Response {
    done(
        action::RETRY_JOB,
        StatusCode::ACCEPTED,
        app.native.retry_job(&call, &job).await,
    )
}

/// Takes an applied rollback back.
#[utoipa::path(
    post,
    path = "/v1/jobs/{job}/undo",
    tag = "jobs",
    params(("job" = String, Path, description = "Its id"), ("Idempotency-Key" = Option<String>, Header, description = "The same key with the same request answers with the first one's job")),
    responses((status = 202, description = "Done", body = dto::Accepted), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn undo_job(
    State(app): App,
    Extension(call): Who,
    Path(job): Path<String>,
    Json(Nothing {}): Json<Nothing>,
) -> Response {
    done(
        action::ROLLBACK,
        StatusCode::ACCEPTED,
        app.native.undo_job(&call, &job).await,
    )
}

/// Lists the accounts that the caller sees, by name.
#[utoipa::path(
    get,
    path = "/v1/accounts",
    tag = "accounts",
    params(PageQuery),
    responses((status = 200, description = "Done", body = List<dto::Account>), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn list_accounts(
    State(app): App,
    Extension(call): Who,
    Query(page): Query<PageQuery>,
) -> Response {
    done(
        action::MANAGE_ACCOUNTS,
        StatusCode::OK,
        app.native.accounts(&call, &page.into()).await,
    )
}

/// Creates an account and its first key.
#[utoipa::path(
    post,
    path = "/v1/accounts",
    tag = "accounts",
    request_body = dto::CreateAccount,
    responses((status = 201, description = "Done", body = dto::CreatedAccount), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn create_account(
    State(app): App,
    Extension(call): Who,
    Json(new): Json<dto::CreateAccount>,
) -> Response {
    done(
        action::MANAGE_ACCOUNTS,
        StatusCode::CREATED,
        app.native.create_account(&call, &new).await,
    )
}

/// One account, with its keys.
#[utoipa::path(
    get,
    path = "/v1/accounts/{account}",
    tag = "accounts",
    params(("account" = String, Path, description = "Its id or its name")),
    responses((status = 200, description = "Done", body = dto::Account), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn get_account(
    State(app): App,
    Extension(call): Who,
    Path(account): Path<String>,
) -> Response {
    done(
        action::MANAGE_ACCOUNTS,
        StatusCode::OK,
        app.native.account(&call, &account).await,
    )
}

/// Deletes an account that has neither resources nor sub-accounts, and its keys.
#[utoipa::path(
    delete,
    path = "/v1/accounts/{account}",
    tag = "accounts",
    params(("account" = String, Path, description = "Its id or its name")),
    responses((status = 204, description = "Done"), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn delete_account(
    State(app): App,
    Extension(call): Who,
    Path(account): Path<String>,
    Json(Nothing {}): Json<Nothing>,
) -> Response {
    no_content(
        action::MANAGE_ACCOUNTS,
        app.native.delete_account(&call, &account).await,
    )
}

/// Disables an account with its sub-accounts, or enables it again.
#[utoipa::path(
    patch,
    path = "/v1/accounts/{account}",
    tag = "accounts",
    params(("account" = String, Path, description = "Its id or its name")),
    request_body = dto::SetAccountStatus,
    responses((status = 200, description = "Done", body = dto::Account), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn set_account_status(
    State(app): App,
    Extension(call): Who,
    Path(account): Path<String>,
    Json(ask): Json<dto::SetAccountStatus>,
) -> Response {
    done(
        action::MANAGE_ACCOUNTS,
        StatusCode::OK,
        app.native.set_account_status(&call, &account, &ask).await,
    )
}

/// Replaces the policy of a sub-account.
#[utoipa::path(
    put,
    path = "/v1/accounts/{account}/policy",
    tag = "accounts",
    params(("account" = String, Path, description = "Its id or its name")),
    request_body = Object,
    responses((status = 200, description = "Done", body = dto::Account), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn set_policy(
    State(app): App,
    Extension(call): Who,
    Path(account): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    // Kept as it was written: a member that comes twice must not be lost before
    // the policy is judged.
    let text = check_json(&headers, &body).and_then(|bytes| {
        std::str::from_utf8(bytes)
            .map_err(|_| NativeError::malformed("read the policy: it is not UTF-8"))
    });
    let result = match text {
        Ok(text) => app.native.set_policy(&call, &account, text).await,
        Err(error) => Err(error),
    };
    done(action::MANAGE_ACCOUNTS, StatusCode::OK, result)
}

/// Adds a key.
#[utoipa::path(
    post,
    path = "/v1/accounts/{account}/keys",
    tag = "accounts",
    params(("account" = String, Path, description = "Its id or its name")),
    responses((status = 201, description = "Done", body = dto::NewKey), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn add_key(
    State(app): App,
    Extension(call): Who,
    Path(account): Path<String>,
    Json(Nothing {}): Json<Nothing>,
) -> Response {
    done(
        action::MANAGE_ACCOUNTS,
        StatusCode::CREATED,
        app.native.add_key(&call, &account).await,
    )
}

/// Switches a key off, or on again.
#[utoipa::path(
    patch,
    path = "/v1/accounts/{account}/keys/{key}",
    tag = "accounts",
    params(("account" = String, Path, description = "Its id or its name"), ("key" = String, Path, description = "Its SecretId")),
    request_body = dto::SetKeyStatus,
    responses((status = 204, description = "Done"), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn set_key_status(
    State(app): App,
    Extension(call): Who,
    Path((account, key)): Path<(String, String)>,
    Json(ask): Json<dto::SetKeyStatus>,
) -> Response {
    no_content(
        action::MANAGE_ACCOUNTS,
        app.native.set_key_status(&call, &account, &key, &ask).await,
    )
}

/// Deletes a key.
#[utoipa::path(
    delete,
    path = "/v1/accounts/{account}/keys/{key}",
    tag = "accounts",
    params(("account" = String, Path, description = "Its id or its name"), ("key" = String, Path, description = "Its SecretId")),
    responses((status = 204, description = "Done"), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn delete_key(
    State(app): App,
    Extension(call): Who,
    Path((account, key)): Path<(String, String)>,
    Json(Nothing {}): Json<Nothing>,
) -> Response {
    no_content(
        action::MANAGE_ACCOUNTS,
        app.native.delete_key(&call, &account, &key).await,
    )
}

/// Issues a temporary key, which is sent with its token.
#[utoipa::path(
    post,
    path = "/v1/accounts/{account}/tokens",
    tag = "accounts",
    params(("account" = String, Path, description = "Its id or its name")),
    request_body = dto::IssueToken,
    responses((status = 201, description = "Done", body = dto::NewKey), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn issue_token(
    State(app): App,
    Extension(call): Who,
    Path(account): Path<String>,
    Json(ask): Json<dto::IssueToken>,
) -> Response {
    done(
        action::MANAGE_ACCOUNTS,
        StatusCode::CREATED,
        app.native.issue_token(&call, &account, &ask).await,
    )
}

/// Lists the faults that were asked for, oldest first: the order in which they
/// are tried. Refused with 409 unless the server was started with `--faults`,
/// as the other calls of this kind.
#[utoipa::path(
    get,
    path = "/v1/faults",
    tag = "faults",
    params(PageQuery),
    responses((status = 200, description = "Done", body = List<dto::Fault>), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn list_faults(
    State(app): App,
    Extension(call): Who,
    Query(page): Query<PageQuery>,
) -> Response {
    done(
        action::DESCRIBE_FAULTS,
        StatusCode::OK,
        app.native.faults(&call, &page.into()).await,
    )
}

/// Lets calls be answered with an error, or a step of jobs fail, on the
/// caller's resources.
#[utoipa::path(
    post,
    path = "/v1/faults",
    tag = "faults",
    request_body = dto::AddFault,
    responses((status = 201, description = "Done", body = dto::Fault), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn add_fault(
    State(app): App,
    Extension(call): Who,
    Json(new): Json<dto::AddFault>,
) -> Response {
    done(
        action::MANAGE_FAULTS,
        StatusCode::CREATED,
        app.native.add_fault(&call, new).await,
    )
}

/// Takes all faults of the caller's resources away.
#[utoipa::path(
    delete,
    path = "/v1/faults",
    tag = "faults",
    responses((status = 200, description = "Done", body = dto::ClearedFaults), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn clear_faults(
    State(app): App,
    Extension(call): Who,
    Json(Nothing {}): Json<Nothing>,
) -> Response {
    done(
        action::MANAGE_FAULTS,
        StatusCode::OK,
        app.native.clear_faults(&call).await,
    )
}

/// Takes a fault away.
#[utoipa::path(
    delete,
    path = "/v1/faults/{fault}",
    tag = "faults",
    params(("fault" = String, Path, description = "Its id")),
    responses((status = 204, description = "Done"), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn remove_fault(
    State(app): App,
    Extension(call): Who,
    Path(fault): Path<String>,
    Json(Nothing {}): Json<Nothing>,
) -> Response {
    no_content(
        action::MANAGE_FAULTS,
        app.native.remove_fault(&call, &fault).await,
    )
}

/// What a request id was.
#[utoipa::path(
    get,
    path = "/v1/requests/{request}",
    tag = "host",
    params(("request" = String, Path, description = "The X-Request-Id, or RequestId, of an answer")),
    responses((status = 200, description = "Done", body = dto::RequestView), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn get_request(
    State(app): App,
    Extension(call): Who,
    Path(request): Path<String>,
) -> Response {
    done(
        action::DESCRIBE_REQUESTS,
        StatusCode::OK,
        app.native.request(&call, &request).await,
    )
}

/// What this host can do, and what is missing.
#[utoipa::path(
    get,
    path = "/v1/doctor",
    tag = "host",
    params(DoctorQuery),
    responses((status = 200, description = "Done", body = dto::Doctor), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn doctor(State(app): App, Extension(call): Who, Query(q): Query<DoctorQuery>) -> Response {
    let folders: Vec<String> = q.folder.into_iter().collect();
    done(
        action::DOCTOR,
        StatusCode::OK,
        app.native.doctor(&call, &folders).await,
    )
}

/// Which Backout this is.
#[utoipa::path(
    get,
    path = "/v1/version",
    security(()),
    tag = "host",
    responses((status = 200, description = "Done", body = dto::Version), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn version(State(app): App) -> Response {
    done("backout:Version", StatusCode::OK, Ok(app.native.version()))
}

/// Answers as long as the process does.
#[utoipa::path(
    get,
    path = "/healthz",
    security(()),
    tag = "host",
    responses((status = 200, description = "Done", body = Health), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn healthz() -> Response {
    done(
        "backout:Health",
        StatusCode::OK,
        Ok(Health { status: "ok" }),
    )
}

/// Answers 200 when the store does, too.
#[utoipa::path(
    get,
    path = "/readyz",
    security(()),
    tag = "host",
    responses((status = 200, description = "Done", body = Health), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn readyz(State(app): App) -> Response {
    let result = app.native.ready().await;
    done(
        "backout:Ready",
        StatusCode::OK,
        result.map(|()| Health { status: "ready" }),
    )
}

/// This document.
#[utoipa::path(
    get,
    path = "/openapi.json",
    security(()),
    tag = "host",
    responses((status = 200, description = "Done", body = Object), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn document(Extension(DocumentText(text)): Extension<DocumentText>) -> Response {
    let mut response = Response::new(Body::from(text));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    response.extensions_mut().insert(Action("backout:OpenApi"));
    response
}

/// How it is.
#[derive(Serialize, utoipa::ToSchema)]
struct Health {
    /// `ok` or `ready`.
    status: &'static str,
}
