//! The paths of the applications.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use backout_api::native::dto::{self, ErrorEnvelope, List};
use backout_api::native::{LogTails, LogsWanted, NativeError, OrdersWanted, PageOf, action};
use futures_util::stream;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use hyper::body::Bytes;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, watch};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{
    Action, App, EVENT_STREAM, Json, Nothing, PageQuery, Shared, Who, done, no_content, refuse,
};
use crate::listener::Phase;
use crate::stream::STREAMS_MAX;

/// How long logs are followed in one stream; who wants more asks again.
const LIFETIME: Duration = Duration::from_secs(30 * 60);

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct AppsQuery {
    /// At most so many items: 1 to 100, 50 when it is left out.
    limit: Option<usize>,
    /// The `next` of the page before.
    cursor: Option<String>,
    /// Only those of this namespace.
    namespace: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct OrdersQuery {
    /// At most so many items: 1 to 100, 50 when it is left out.
    limit: Option<usize>,
    /// The `next` of the page before.
    cursor: Option<String>,
    /// Only those of this application.
    app: Option<String>,
    /// Only those of this namespace.
    namespace: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct EventsQuery {
    /// At most so many items: 1 to 100, 50 when it is left out.
    limit: Option<usize>,
    /// The `next` of the page before.
    cursor: Option<String>,
    /// Whether only what somebody should look at is listed.
    warnings: Option<bool>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct NamespaceQuery {
    /// The namespace; `default` when it is left out.
    namespace: Option<String>,
}

/// A list of what a namespace has.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct InNamespaceQuery {
    /// At most so many items: 1 to 100, 50 when it is left out.
    limit: Option<usize>,
    /// The `next` of the page before.
    cursor: Option<String>,
    /// The namespace; `default` when it is left out.
    namespace: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct LogsQuery {
    /// Only this replica's.
    replica: Option<String>,
    /// How many of the last lines of each: 0 to 10,000, 50 when it is left out.
    lines: Option<usize>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct SettingsQuery {
    /// An account by name or id; the caller's own when it is left out.
    account: Option<String>,
}

const fn page_of(limit: Option<usize>, cursor: Option<String>) -> PageOf {
    PageOf { limit, cursor }
}

/// The action of an order, for the request log.
fn action_of(ask: &dto::OrderAsk) -> &'static str {
    match ask.kind.as_str() {
        "deploy" => action::DEPLOY_APP,
        "rollback" => action::ROLLBACK,
        "start" => action::START_APPS,
        "stop" => action::STOP_APPS,
        "restart" => action::RESTART_APPS,
        "delete" => action::DELETE_APP,
        _ => action::SCALE_APPS,
    }
}

/// The paths of the applications.
pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list_apps, create_app))
        .routes(routes!(plan_app))
        .routes(routes!(get_app, change_app))
        .routes(routes!(list_app_versions))
        .routes(routes!(get_app_version, bar_app_version))
        .routes(routes!(order_app))
        .routes(routes!(plan_app_order))
        .routes(routes!(list_app_replicas))
        .routes(routes!(app_logs))
        .routes(routes!(list_app_events))
        .routes(routes!(list_scaling_rules))
        .routes(routes!(
            set_scaling_rule,
            switch_scaling_rule,
            delete_scaling_rule
        ))
        .routes(routes!(list_orders))
        .routes(routes!(get_order))
        .routes(routes!(confirm_order))
        .routes(routes!(abort_order))
        .routes(routes!(retry_order))
        .routes(routes!(approve_order))
        .routes(routes!(list_namespaces, create_namespace))
        .routes(routes!(change_namespace, delete_namespace))
        .routes(routes!(list_secrets))
        .routes(routes!(set_secret, delete_secret))
        .routes(routes!(list_config_maps, create_config_map))
        .routes(routes!(get_config_map, set_config_map, delete_config_map))
        .routes(routes!(get_app_settings))
        .routes(routes!(set_account_app_settings))
        .routes(routes!(set_service_app_settings))
}

/// Lists the applications, newest first.
#[utoipa::path(
    get,
    path = "/v1/apps",
    tag = "apps",
    params(AppsQuery),
    responses((status = 200, description = "Done", body = List<dto::App>), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn list_apps(State(app): App, Extension(call): Who, Query(q): Query<AppsQuery>) -> Response {
    done(
        action::DESCRIBE_APPS,
        StatusCode::OK,
        app.native
            .apps(&call, q.namespace, &page_of(q.limit, q.cursor))
            .await,
    )
}

/// Makes an application, and deploys its first version where one is given.
#[utoipa::path(
    post,
    path = "/v1/apps",
    tag = "apps",
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key with the same request answers with the first one's order")),
    request_body = dto::CreateApp,
    responses((status = 202, description = "Done", body = dto::AcceptedOrder), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn create_app(
    State(app): App,
    Extension(call): Who,
    Json(ask): Json<dto::CreateApp>,
) -> Response {
    done(
        action::CREATE_APP,
        StatusCode::ACCEPTED,
        app.native.create_app(&call, ask).await,
    )
}

/// What making an application would do, and what stands in its way.
#[utoipa::path(
    post,
    path = "/v1/plan/apps",
    tag = "apps",
    request_body = dto::CreateApp,
    responses((status = 200, description = "Done", body = dto::PlannedOrder), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn plan_app(
    State(app): App,
    Extension(call): Who,
    Json(ask): Json<dto::CreateApp>,
) -> Response {
    done(
        action::CHECK,
        StatusCode::OK,
        app.native.plan_app(&call, ask).await,
    )
}

/// One application.
#[utoipa::path(
    get,
    path = "/v1/apps/{app}",
    tag = "apps",
    params(("app" = String, Path, description = "Its id, its name, or NAMESPACE/NAME with the slash written as %2F")),
    responses((status = 200, description = "Done", body = dto::App), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn get_app(State(app): App, Extension(call): Who, Path(name): Path<String>) -> Response {
    done(
        action::DESCRIBE_APPS,
        StatusCode::OK,
        app.native.app(&call, &name).await,
    )
}

/// Describes and labels an application anew.
#[utoipa::path(
    patch,
    path = "/v1/apps/{app}",
    tag = "apps",
    params(("app" = String, Path, description = "Its id, its name, or NAMESPACE/NAME with the slash written as %2F")),
    request_body = dto::ChangeApp,
    responses((status = 200, description = "Done", body = dto::App), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn change_app(
    State(app): App,
    Extension(call): Who,
    Path(name): Path<String>,
    Json(ask): Json<dto::ChangeApp>,
) -> Response {
    done(
        action::CHANGE_APP,
        StatusCode::OK,
        app.native.change_app(&call, &name, ask).await,
    )
}

/// The versions of an application, newest first.
#[utoipa::path(
    get,
    path = "/v1/apps/{app}/versions",
    tag = "apps",
    params(("app" = String, Path, description = "Its id, its name, or NAMESPACE/NAME with the slash written as %2F"), PageQuery),
    responses((status = 200, description = "Done", body = List<dto::AppVersion>), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn list_app_versions(
    State(app): App,
    Extension(call): Who,
    Path(name): Path<String>,
    Query(page): Query<PageQuery>,
) -> Response {
    done(
        action::DESCRIBE_APPS,
        StatusCode::OK,
        app.native.app_versions(&call, &name, &page.into()).await,
    )
}

/// One version, with all that it is.
#[utoipa::path(
    get,
    path = "/v1/apps/{app}/versions/{version}",
    tag = "apps",
    params(("app" = String, Path, description = "Its id, its name, or NAMESPACE/NAME with the slash written as %2F"), ("version" = String, Path, description = "Its id, its number or its label")),
    responses((status = 200, description = "Done", body = dto::AppVersion), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn get_app_version(
    State(app): App,
    Extension(call): Who,
    Path((name, version)): Path<(String, String)>,
) -> Response {
    done(
        action::DESCRIBE_APPS,
        StatusCode::OK,
        app.native.app_version(&call, &name, &version).await,
    )
}

/// Marks a version as one not to go back to, or takes that off.
#[utoipa::path(
    patch,
    path = "/v1/apps/{app}/versions/{version}",
    tag = "apps",
    params(("app" = String, Path, description = "Its id, its name, or NAMESPACE/NAME with the slash written as %2F"), ("version" = String, Path, description = "Its id, its number or its label")),
    request_body = dto::BarVersion,
    responses((status = 200, description = "Done", body = dto::AppVersion), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn bar_app_version(
    State(app): App,
    Extension(call): Who,
    Path((name, version)): Path<(String, String)>,
    Json(ask): Json<dto::BarVersion>,
) -> Response {
    done(
        action::BAR_VERSION,
        StatusCode::OK,
        app.native.bar_version(&call, &name, &version, ask).await,
    )
}

/// Deploys, takes back, starts, stops, restarts, scales or deletes an application:
/// asks for a change order.
#[utoipa::path(
    post,
    path = "/v1/apps/{app}/orders",
    tag = "apps",
    params(("app" = String, Path, description = "Its id, its name, or NAMESPACE/NAME with the slash written as %2F"), ("Idempotency-Key" = Option<String>, Header, description = "The same key with the same request answers with the first one's order")),
    request_body = dto::OrderAsk,
    responses((status = 202, description = "Done", body = dto::AcceptedOrder), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn order_app(
    State(app): App,
    Extension(call): Who,
    Path(name): Path<String>,
    Json(ask): Json<dto::OrderAsk>,
) -> Response {
    let action = action_of(&ask);
    done(
        action,
        StatusCode::ACCEPTED,
        app.native.order_app(&call, &name, ask).await,
    )
}

/// What a change order would do, and what stands in its way.
#[utoipa::path(
    post,
    path = "/v1/apps/{app}/orders/plan",
    tag = "apps",
    params(("app" = String, Path, description = "Its id, its name, or NAMESPACE/NAME with the slash written as %2F")),
    request_body = dto::OrderAsk,
    responses((status = 200, description = "Done", body = dto::PlannedOrder), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn plan_app_order(
    State(app): App,
    Extension(call): Who,
    Path(name): Path<String>,
    Json(ask): Json<dto::OrderAsk>,
) -> Response {
    done(
        action::CHECK,
        StatusCode::OK,
        app.native.plan_order(&call, &name, ask).await,
    )
}

/// The replicas of an application, oldest first, with how they are.
#[utoipa::path(
    get,
    path = "/v1/apps/{app}/replicas",
    tag = "apps",
    params(("app" = String, Path, description = "Its id, its name, or NAMESPACE/NAME with the slash written as %2F"), PageQuery),
    responses((status = 200, description = "Done", body = List<dto::ReplicaView>), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn list_app_replicas(
    State(app): App,
    Extension(call): Who,
    Path(name): Path<String>,
    Query(page): Query<PageQuery>,
) -> Response {
    done(
        action::DESCRIBE_APPS,
        StatusCode::OK,
        app.native.app_replicas(&call, &name, &page.into()).await,
    )
}

/// What replicas write: their last lines; with `Accept: text/event-stream` also
/// what they write from then on, for half an hour.
#[utoipa::path(
    get,
    path = "/v1/apps/{app}/logs",
    tag = "apps",
    params(("app" = String, Path, description = "Its id, its name, or NAMESPACE/NAME with the slash written as %2F"), LogsQuery),
    responses((status = 200, description = "Done", content((List<dto::LogPiece> = "application/json"), (String = "text/event-stream"))), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn app_logs(
    State(app): App,
    Extension(call): Who,
    Path(name): Path<String>,
    Query(q): Query<LogsQuery>,
    headers: HeaderMap,
) -> Response {
    let wanted = LogsWanted {
        replica: q.replica,
        lines: q.lines,
    };
    let wants_stream = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.contains(EVENT_STREAM));
    if !wants_stream {
        return done(
            action::READ_APP_LOGS,
            StatusCode::OK,
            app.native.app_logs(&call, &name, &wanted).await,
        );
    }
    let tails = match app.native.tail_app(&call, &name, &wanted).await {
        Ok(tails) => tails,
        Err(error) => return refuse(error, Some(action::READ_APP_LOGS)),
    };
    let Ok(permit) = Arc::clone(&app.streams).try_acquire_owned() else {
        let error = NativeError::new(
            backout_core::code::Code::Throttled,
            format!(
                "follow logs: {STREAMS_MAX} streams are open, the most there may be; ask for the last lines instead"
            ),
        );
        return refuse(error, Some(action::READ_APP_LOGS));
    };
    let follow = Follow {
        tails,
        until: Instant::now() + LIFETIME,
        phase: app.phase.clone(),
        _permit: permit,
    };
    let body = Body::from_stream(stream::unfold(follow, |mut follow| async move {
        let chunk = follow.next().await?;
        Some((Ok::<_, Infallible>(chunk), follow))
    }));
    let mut response = Response::new(body);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(EVENT_STREAM));
    response
        .extensions_mut()
        .insert(Action(action::READ_APP_LOGS));
    response
}

/// Logs as server-sent events.
struct Follow {
    tails: LogTails,
    until: Instant,
    phase: watch::Receiver<Phase>,
    /// Given back when the client goes, or the stream ends.
    _permit: OwnedSemaphorePermit,
}

impl Follow {
    async fn next(&mut self) -> Option<Bytes> {
        if Instant::now() >= self.until {
            return None;
        }
        let pieces = tokio::select! {
            biased;
            _ = self.phase.wait_for(|p| *p > Phase::Serving) => return None,
            pieces = self.tails.next() => pieces,
        };
        match pieces {
            Ok(Some(pieces)) if pieces.is_empty() => Some(Bytes::from_static(b": still here\n\n")),
            Ok(Some(pieces)) => {
                let mut text = String::new();
                for piece in pieces {
                    // Neither fails: a String grows, and the piece is flat.
                    let data = serde_json::to_string(&piece).unwrap_or_default();
                    let _ = write!(text, "event: log\ndata: {data}\n\n");
                }
                Some(text.into())
            }
            Ok(None) => None,
            // The client comes back and is told.
            Err(e) => {
                tracing::warn!(error = %e.message, "a stream of logs ends early");
                None
            }
        }
    }
}

/// What happened to an application, newest first.
#[utoipa::path(
    get,
    path = "/v1/apps/{app}/events",
    tag = "apps",
    params(("app" = String, Path, description = "Its id, its name, or NAMESPACE/NAME with the slash written as %2F"), EventsQuery),
    responses((status = 200, description = "Done", body = List<dto::AppEvent>), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn list_app_events(
    State(app): App,
    Extension(call): Who,
    Path(name): Path<String>,
    Query(q): Query<EventsQuery>,
) -> Response {
    done(
        action::DESCRIBE_APPS,
        StatusCode::OK,
        app.native
            .app_events(
                &call,
                &name,
                q.warnings.unwrap_or(false),
                &page_of(q.limit, q.cursor),
            )
            .await,
    )
}

/// The scaling rules of an application, by name.
#[utoipa::path(
    get,
    path = "/v1/apps/{app}/scaling-rules",
    tag = "apps",
    params(("app" = String, Path, description = "Its id, its name, or NAMESPACE/NAME with the slash written as %2F")),
    responses((status = 200, description = "Done", body = List<dto::ScalingRuleView>), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn list_scaling_rules(
    State(app): App,
    Extension(call): Who,
    Path(name): Path<String>,
    Query(_page): Query<PageQuery>,
) -> Response {
    done(
        action::DESCRIBE_APPS,
        StatusCode::OK,
        app.native.scaling_rules(&call, &name).await,
    )
}

/// Makes a scaling rule, or gives one other contents: `{timer?, metric?, least_ready?,
/// least_ready_percent?, enabled?}`.
#[utoipa::path(
    put,
    path = "/v1/apps/{app}/scaling-rules/{rule}",
    tag = "apps",
    params(("app" = String, Path, description = "Its id, its name, or NAMESPACE/NAME with the slash written as %2F"), ("rule" = String, Path, description = "Its name")),
    request_body = serde_json::Value,
    responses((status = 200, description = "Done", body = dto::ScalingRuleView), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn set_scaling_rule(
    State(app): App,
    Extension(call): Who,
    Path((name, rule)): Path<(String, String)>,
    Json(given): Json<serde_json::Value>,
) -> Response {
    done(
        action::SCALE_APPS,
        StatusCode::OK,
        app.native
            .set_scaling_rule(&call, &name, &rule, given)
            .await,
    )
}

/// Switches a scaling rule on or off.
#[utoipa::path(
    patch,
    path = "/v1/apps/{app}/scaling-rules/{rule}",
    tag = "apps",
    params(("app" = String, Path, description = "Its id, its name, or NAMESPACE/NAME with the slash written as %2F"), ("rule" = String, Path, description = "Its name")),
    request_body = dto::SwitchScalingRule,
    responses((status = 200, description = "Done", body = dto::ScalingRuleView), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn switch_scaling_rule(
    State(app): App,
    Extension(call): Who,
    Path((name, rule)): Path<(String, String)>,
    Json(ask): Json<dto::SwitchScalingRule>,
) -> Response {
    done(
        action::SCALE_APPS,
        StatusCode::OK,
        app.native
            .switch_scaling_rule(&call, &name, &rule, ask.enabled)
            .await,
    )
}

/// Deletes a scaling rule.
#[utoipa::path(
    delete,
    path = "/v1/apps/{app}/scaling-rules/{rule}",
    tag = "apps",
    params(("app" = String, Path, description = "Its id, its name, or NAMESPACE/NAME with the slash written as %2F"), ("rule" = String, Path, description = "Its name")),
    responses((status = 204, description = "Done"), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn delete_scaling_rule(
    State(app): App,
    Extension(call): Who,
    Path((name, rule)): Path<(String, String)>,
    Json(Nothing {}): Json<Nothing>,
) -> Response {
    no_content(
        action::SCALE_APPS,
        app.native.delete_scaling_rule(&call, &name, &rule).await,
    )
}

/// Lists change orders, newest first.
#[utoipa::path(
    get,
    path = "/v1/orders",
    tag = "apps",
    params(OrdersQuery),
    responses((status = 200, description = "Done", body = List<dto::OrderView>), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn list_orders(
    State(app): App,
    Extension(call): Who,
    Query(q): Query<OrdersQuery>,
) -> Response {
    let wanted = OrdersWanted {
        app: q.app,
        namespace: q.namespace,
    };
    done(
        action::DESCRIBE_APPS,
        StatusCode::OK,
        app.native
            .orders(&call, wanted, &page_of(q.limit, q.cursor))
            .await,
    )
}

/// One change order: how it stands, its batches, what it waits for, and what can be
/// said now.
#[utoipa::path(
    get,
    path = "/v1/orders/{order}",
    tag = "apps",
    params(("order" = String, Path, description = "Its id")),
    responses((status = 200, description = "Done", body = dto::OrderView), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn get_order(State(app): App, Extension(call): Who, Path(order): Path<String>) -> Response {
    done(
        action::DESCRIBE_APPS,
        StatusCode::OK,
        app.native.order(&call, &order).await,
    )
}

/// Lets the batch go that waits for a word, or ends the order there.
#[utoipa::path(
    post,
    path = "/v1/orders/{order}/confirm",
    tag = "apps",
    params(("order" = String, Path, description = "Its id")),
    request_body = dto::ConfirmOrder,
    responses((status = 200, description = "Done", body = dto::OrderView), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn confirm_order(
    State(app): App,
    Extension(call): Who,
    Path(order): Path<String>,
    Json(ask): Json<dto::ConfirmOrder>,
) -> Response {
    done(
        action::CONFIRM_ORDER,
        StatusCode::OK,
        app.native.confirm_order(&call, &order, ask).await,
    )
}

/// Ends an order, with what was changed as it is, or taken back.
#[utoipa::path(
    post,
    path = "/v1/orders/{order}/abort",
    tag = "apps",
    params(("order" = String, Path, description = "Its id")),
    request_body = dto::AbortOrder,
    responses((status = 200, description = "Done", body = dto::OrderView), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn abort_order(
    State(app): App,
    Extension(call): Who,
    Path(order): Path<String>,
    Json(ask): Json<dto::AbortOrder>,
) -> Response {
    done(
        action::ABORT_ORDER,
        StatusCode::OK,
        app.native.abort_order(&call, &order, ask).await,
    )
}

/// Tries again what an order is stuck on.
#[utoipa::path(
    post,
    path = "/v1/orders/{order}/retry",
    tag = "apps",
    params(("order" = String, Path, description = "Its id")),
    responses((status = 200, description = "Done", body = dto::OrderView), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn retry_order(
    State(app): App,
    Extension(call): Who,
    Path(order): Path<String>,
    Json(Nothing {}): Json<Nothing>,
) -> Response {
    done(
        action::RETRY_ORDER,
        StatusCode::OK,
        app.native.retry_order(&call, &order).await,
    )
}

/// Approves an order that somebody else asked for.
#[utoipa::path(
    post,
    path = "/v1/orders/{order}/approve",
    tag = "apps",
    params(("order" = String, Path, description = "Its id")),
    responses((status = 200, description = "Done", body = dto::OrderView), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn approve_order(
    State(app): App,
    Extension(call): Who,
    Path(order): Path<String>,
    Json(Nothing {}): Json<Nothing>,
) -> Response {
    done(
        action::APPROVE_ORDER,
        StatusCode::OK,
        app.native.approve_order(&call, &order).await,
    )
}

/// Lists the namespaces, by id.
#[utoipa::path(
    get,
    path = "/v1/namespaces",
    tag = "apps",
    params(PageQuery),
    responses((status = 200, description = "Done", body = List<dto::NamespaceView>), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn list_namespaces(
    State(app): App,
    Extension(call): Who,
    Query(page): Query<PageQuery>,
) -> Response {
    done(
        action::DESCRIBE_APPS,
        StatusCode::OK,
        app.native.namespaces(&call, &page.into()).await,
    )
}

/// Makes a namespace.
#[utoipa::path(
    post,
    path = "/v1/namespaces",
    tag = "apps",
    request_body = dto::CreateNamespace,
    responses((status = 201, description = "Done", body = dto::NamespaceView), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn create_namespace(
    State(app): App,
    Extension(call): Who,
    Json(ask): Json<dto::CreateNamespace>,
) -> Response {
    done(
        action::MANAGE_NAMESPACES,
        StatusCode::CREATED,
        app.native.create_namespace(&call, ask).await,
    )
}

/// Gives a namespace another name or description.
#[utoipa::path(
    patch,
    path = "/v1/namespaces/{namespace}",
    tag = "apps",
    params(("namespace" = String, Path, description = "Its id")),
    request_body = dto::ChangeNamespace,
    responses((status = 200, description = "Done", body = dto::NamespaceView), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn change_namespace(
    State(app): App,
    Extension(call): Who,
    Path(namespace): Path<String>,
    Json(ask): Json<dto::ChangeNamespace>,
) -> Response {
    done(
        action::MANAGE_NAMESPACES,
        StatusCode::OK,
        app.native.change_namespace(&call, &namespace, ask).await,
    )
}

/// Takes a namespace away in which no application is.
#[utoipa::path(
    delete,
    path = "/v1/namespaces/{namespace}",
    tag = "apps",
    params(("namespace" = String, Path, description = "Its id")),
    responses((status = 204, description = "Done"), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn delete_namespace(
    State(app): App,
    Extension(call): Who,
    Path(namespace): Path<String>,
    Json(Nothing {}): Json<Nothing>,
) -> Response {
    no_content(
        action::MANAGE_NAMESPACES,
        app.native.delete_namespace(&call, &namespace).await,
    )
}

/// Lists the secrets of a namespace, by name; what they are is shown to nobody.
#[utoipa::path(
    get,
    path = "/v1/secrets",
    tag = "apps",
    params(InNamespaceQuery),
    responses((status = 200, description = "Done", body = List<dto::SecretView>), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn list_secrets(
    State(app): App,
    Extension(call): Who,
    Query(q): Query<InNamespaceQuery>,
) -> Response {
    done(
        action::DESCRIBE_APPS,
        StatusCode::OK,
        app.native
            .secrets(&call, q.namespace.as_deref(), &page_of(q.limit, q.cursor))
            .await,
    )
}

/// Gives a secret a new value. Versions keep the value they were deployed with.
#[utoipa::path(
    put,
    path = "/v1/secrets/{secret}",
    tag = "apps",
    params(("secret" = String, Path, description = "Its name"), NamespaceQuery),
    request_body = dto::SetSecret,
    responses((status = 200, description = "Done", body = dto::SecretView), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn set_secret(
    State(app): App,
    Extension(call): Who,
    Path(secret): Path<String>,
    Query(q): Query<NamespaceQuery>,
    Json(ask): Json<dto::SetSecret>,
) -> Response {
    done(
        action::MANAGE_SECRETS,
        StatusCode::OK,
        app.native
            .set_secret(&call, &secret, q.namespace.as_deref(), ask)
            .await,
    )
}

/// Deletes a secret that no version needs.
#[utoipa::path(
    delete,
    path = "/v1/secrets/{secret}",
    tag = "apps",
    params(("secret" = String, Path, description = "Its name"), NamespaceQuery),
    responses((status = 204, description = "Done"), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn delete_secret(
    State(app): App,
    Extension(call): Who,
    Path(secret): Path<String>,
    Query(q): Query<NamespaceQuery>,
    Json(Nothing {}): Json<Nothing>,
) -> Response {
    no_content(
        action::MANAGE_SECRETS,
        app.native
            .delete_secret(&call, &secret, q.namespace.as_deref())
            .await,
    )
}

/// Lists the config maps of a namespace, by name.
#[utoipa::path(
    get,
    path = "/v1/config-maps",
    tag = "apps",
    params(InNamespaceQuery),
    responses((status = 200, description = "Done", body = List<dto::ConfigMapView>), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn list_config_maps(
    State(app): App,
    Extension(call): Who,
    Query(q): Query<InNamespaceQuery>,
) -> Response {
    done(
        action::DESCRIBE_APPS,
        StatusCode::OK,
        app.native
            .config_maps(&call, q.namespace.as_deref(), &page_of(q.limit, q.cursor))
            .await,
    )
}

/// Makes a config map.
#[utoipa::path(
    post,
    path = "/v1/config-maps",
    tag = "apps",
    params(NamespaceQuery),
    request_body = dto::CreateConfigMap,
    responses((status = 201, description = "Done", body = dto::ConfigMapView), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn create_config_map(
    State(app): App,
    Extension(call): Who,
    Query(q): Query<NamespaceQuery>,
    Json(ask): Json<dto::CreateConfigMap>,
) -> Response {
    done(
        action::MANAGE_CONFIG_MAPS,
        StatusCode::CREATED,
        app.native
            .create_config_map(&call, q.namespace.as_deref(), ask)
            .await,
    )
}

/// One config map.
#[utoipa::path(
    get,
    path = "/v1/config-maps/{number}",
    tag = "apps",
    params(("number" = u64, Path, description = "Its number")),
    responses((status = 200, description = "Done", body = dto::ConfigMapView), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn get_config_map(
    State(app): App,
    Extension(call): Who,
    Path(number): Path<u64>,
) -> Response {
    done(
        action::DESCRIBE_APPS,
        StatusCode::OK,
        app.native.config_map(&call, number).await,
    )
}

/// Gives a config map other texts. Versions keep those they were deployed with.
#[utoipa::path(
    put,
    path = "/v1/config-maps/{number}",
    tag = "apps",
    params(("number" = u64, Path, description = "Its number")),
    request_body = dto::SetConfigMap,
    responses((status = 200, description = "Done", body = dto::ConfigMapView), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn set_config_map(
    State(app): App,
    Extension(call): Who,
    Path(number): Path<u64>,
    Json(ask): Json<dto::SetConfigMap>,
) -> Response {
    done(
        action::MANAGE_CONFIG_MAPS,
        StatusCode::OK,
        app.native.set_config_map(&call, number, ask).await,
    )
}

/// Deletes a config map.
#[utoipa::path(
    delete,
    path = "/v1/config-maps/{number}",
    tag = "apps",
    params(("number" = u64, Path, description = "Its number")),
    responses((status = 204, description = "Done"), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn delete_config_map(
    State(app): App,
    Extension(call): Who,
    Path(number): Path<u64>,
    Json(Nothing {}): Json<Nothing>,
) -> Response {
    no_content(
        action::MANAGE_CONFIG_MAPS,
        app.native.delete_config_map(&call, number).await,
    )
}

/// The settings of an account and of the service, for applications.
#[utoipa::path(
    get,
    path = "/v1/settings/apps",
    tag = "apps",
    params(SettingsQuery),
    responses((status = 200, description = "Done", body = dto::AppSettings), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn get_app_settings(
    State(app): App,
    Extension(call): Who,
    Query(q): Query<SettingsQuery>,
) -> Response {
    done(
        action::DESCRIBE_APPS,
        StatusCode::OK,
        app.native.app_settings(&call, q.account.as_deref()).await,
    )
}

/// Changes the settings of an account; for `admin`.
#[utoipa::path(
    patch,
    path = "/v1/settings/apps/accounts/{account}",
    tag = "apps",
    params(("account" = String, Path, description = "Its id or its name")),
    request_body = dto::ChangeAccountSettings,
    responses((status = 200, description = "Done", body = dto::AccountSettings), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn set_account_app_settings(
    State(app): App,
    Extension(call): Who,
    Path(account): Path<String>,
    Json(ask): Json<dto::ChangeAccountSettings>,
) -> Response {
    done(
        action::MANAGE_APP_SETTINGS,
        StatusCode::OK,
        app.native.set_account_settings(&call, &account, ask).await,
    )
}

/// Changes the settings of the service; for `admin`.
#[utoipa::path(
    patch,
    path = "/v1/settings/apps/service",
    tag = "apps",
    request_body = dto::ChangeServiceSettings,
    responses((status = 200, description = "Done", body = dto::ServiceSettings), (status = "default", description = "Refused", body = ErrorEnvelope))
)]
async fn set_service_app_settings(
    State(app): App,
    Extension(call): Who,
    Json(ask): Json<dto::ChangeServiceSettings>,
) -> Response {
    done(
        action::MANAGE_APP_SETTINGS,
        StatusCode::OK,
        app.native.set_service_settings(&call, ask).await,
    )
}
