//! Applications: coming and going, versions, orders, what replicas write.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use backout_accounts::Permission;
use backout_apps::model::{
    Application, Artifact, Order, OrderKind, PackageKind, Release, Standing, Version,
};
use backout_apps::orders::StageStatus;
use backout_apps::persistence::{ApplicationFilter, EventFilter, OrderFilter, Page};
use backout_apps::planning::Settings;
use backout_apps::scaling::ScalingRule;
use backout_apps::{
    ApplicationView, Apps, Asked, Caller, DEFAULT_NAMESPACE, How, NewApplication, NewArtifact,
    NewFile, NewRelease, OrderView, Proposal, Refusal, Wanted,
};
use backout_core::code::Code;
use backout_core::ids::{AccountId, ApplicationId, ReplicaId, VersionId};
use backout_rollout::plan::Road;
use backout_rollout::{Go, Leg, Status as Machine, Strategy, Surge};
use backout_workloads::packages::Origin;
use backout_workloads::{Ask, LogFrom, LogPosition, Probe, split_command};
use serde_json::Value;

use super::dto::{
    AbortOrder, AcceptedOrder, App, AppBrief, AppEvent, AppSettings, AppVersion, ApprovalView,
    BarVersion, BatchView, ChangeAccountSettings, ChangeApp, ChangeNamespace,
    ChangeServiceSettings, ConfigMapView, ConfirmOrder, CreateApp, CreateConfigMap,
    CreateNamespace, Difference, FileAsk, HowAsk, List, LogPiece, NamespaceView, Note, OrderAsk,
    OrderBrief, OrderFailure, OrderJudgement, OrderPlan, PlannedBatch, PlannedOrder, ProbeDto,
    ReleaseAsk, ReplicaChange, ReplicaView, Resource, ScalingRuleView, SecretView, SetConfigMap,
    SetSecret, VersionBrief, Waits, batch_word, why_words,
};
use super::names::if_there;
use super::{Call, Native, NativeError, PageOf, Result, action, cut, listed};

/// How often a replica is asked whether it can serve, in milliseconds: a batch
/// waits for the answer.
const READINESS_PERIOD_MS: u64 = 500;
/// How many wrong answers in a row count: one may be a slip of a busy host.
const READINESS_FAILURES: u32 = 2;
/// How long a word to an order is waited for to be heard, so that the answer
/// tells what came of it.
const HEARD_WAIT: Duration = Duration::from_secs(2);
/// How often it is looked whether it was heard, where nobody tells.
const HEARD_TICK: Duration = Duration::from_millis(100);
/// The most that one answer holds of logs, in bytes.
const LOGS_BYTES_MAX: usize = 8 << 20;
/// The most lines of one log in an answer.
pub const LOG_LINES_MAX: usize = 10_000;
/// How many lines of a log are shown when nothing is said: a screen.
const LOG_LINES: usize = 50;
/// How often logs are looked at that are followed: a person reads along.
const TAIL_TICK: Duration = Duration::from_millis(250);
/// After how many looks it is asked again which replicas there are.
const TAIL_REPLICAS_EVERY: u32 = 8;
/// After how many looks in which nothing was written the follower is told that
/// it is still followed: 15 s.
const TAIL_SILENT: u32 = 60;
/// How far back it is looked for the order that took another back.
const WAY_BACK_WITHIN: u64 = 20;

/// Which logs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogsWanted {
    /// Only this replica's.
    pub replica: Option<String>,
    /// How many of the last lines of each.
    pub lines: Option<usize>,
}

/// Which orders to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrdersWanted {
    /// Of this application.
    pub app: Option<String>,
    /// Of this namespace.
    pub namespace: Option<String>,
}

impl Native {
    // ---- applications ----

    /// The applications of a list of everything, counted after all else; and how
    /// many there are.
    pub(super) async fn app_resources(
        &self,
        call: &Call,
        page: Page,
    ) -> Result<(u64, Vec<Resource>)> {
        let (owner, apps) = (&call.principal.owner, &self.parts.apps);
        let all = ApplicationFilter::default();
        let (total, found) = apps.list(owner, all, page).await?;
        let items = found.into_iter().map(|a| Resource {
            resource: format!("app/{}", name_in_commands(&a)),
            kind: "app".into(),
            id: a.id.to_string(),
            name: a.name,
            state: a.state.as_str().into(),
        });
        Ok((total, items.collect()))
    }

    /// `GET /v1/apps`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn apps(
        &self,
        call: &Call,
        namespace: Option<String>,
        page: &PageOf,
    ) -> Result<List<App>> {
        self.admit(call, action::DESCRIBE_APPS)?;
        let page = page.rows()?;
        let owner = &call.principal.owner;
        let filter = ApplicationFilter {
            namespace,
            ..ApplicationFilter::default()
        };
        let (total, found) = self.parts.apps.list(owner, filter, page).await?;
        let views = self.parts.apps.views(found).await?;
        let shown = |view| shown_app(view, &self.parts.node);
        Ok(listed(page, (total, views), shown))
    }

    /// `GET /v1/apps/{app}`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn app(&self, call: &Call, app: &str) -> Result<App> {
        self.limit(call, action::DESCRIBE_APPS)?;
        let found = self.allowed_app(call, action::DESCRIBE_APPS, app).await?;
        self.app_shown(found).await
    }

    /// An application with what is known of it beside its row.
    async fn app_shown(&self, application: Application) -> Result<App> {
        let id = application.id.clone();
        let views = self.parts.apps.views(vec![application]).await?;
        let view = views.into_iter().next();
        let view = view.ok_or_else(|| Refusal::ApplicationNotFound(id.to_string()))?;
        Ok(shown_app(view, &self.parts.node))
    }

    /// `POST /v1/apps`.
    ///
    /// # Errors
    /// The first blocker, or another refusal.
    pub async fn create_app(&self, call: &Call, ask: CreateApp) -> Result<AcceptedOrder> {
        let about = app_asked(&ask);
        self.audited(call, action::CREATE_APP, &about, async {
            let caller = Self::asking(call, action::CREATE_APP, &[vec![about.clone()]])?;
            let how = how(&ask.how)?;
            let made = self
                .parts
                .apps
                .create(&caller, new_application(ask)?, &how)
                .await?;
            Ok(match made.asked {
                Some(asked) => asked.into(),
                None => AcceptedOrder {
                    order: None,
                    app: made.application.to_string(),
                    version: None,
                    job: None,
                    needs_approval: false,
                },
            })
        })
        .await
    }

    /// `POST /v1/plan/apps`.
    ///
    /// # Errors
    /// A refusal. What the preflight finds is no refusal.
    pub async fn plan_app(&self, call: &Call, ask: CreateApp) -> Result<PlannedOrder> {
        self.limit(call, action::CHECK)?;
        let about = [vec![app_asked(&ask)]];
        Self::allow(call, action::CHECK, &about)?;
        let caller = Caller {
            approval: call
                .principal
                .permission(action::CREATE_APP, &about)
                .approval(),
            ..Self::app_caller(call)
        };
        let how = how(&ask.how)?;
        let found = self
            .parts
            .apps
            .propose_create(&caller, new_application(ask)?, &how)
            .await?;
        Ok(planned(found))
    }

    /// `PATCH /v1/apps/{app}`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn change_app(&self, call: &Call, app: &str, ask: ChangeApp) -> Result<App> {
        let about = format!("app/{app}");
        self.audited(call, action::CHANGE_APP, &about, async {
            let found = self.allowed_app(call, action::CHANGE_APP, app).await?;
            let caller = Self::app_caller(call);
            let (id, apps) = (found.id.to_string(), &self.parts.apps);
            if let Some(tags) = ask.tags {
                let tags: Vec<_> = tags
                    .into_iter()
                    .map(|t| backout_apps::model::Tag {
                        key: t.key,
                        value: t.value,
                    })
                    .collect();
                let one = std::slice::from_ref(&id);
                // What is refused is refused before anything is taken away.
                if !tags.is_empty() {
                    apps.tag(&caller, one, &tags).await?;
                }
                let gone: Vec<String> = found
                    .tags
                    .iter()
                    .filter(|old| tags.iter().all(|new| new.key != old.key))
                    .map(|old| old.key.clone())
                    .collect();
                if !gone.is_empty() {
                    apps.untag(&caller, one, Some(&gone)).await?;
                }
            }
            if let Some(description) = ask.description {
                apps.describe(&caller, &id, &description).await?;
            }
            let owner = &call.principal.owner;
            let now = apps.get(owner, &id).await?;
            self.app_shown(now).await
        })
        .await
    }

    // ---- versions ----

    /// `GET /v1/apps/{app}/versions`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn app_versions(
        &self,
        call: &Call,
        app: &str,
        page: &PageOf,
    ) -> Result<List<AppVersion>> {
        self.limit(call, action::DESCRIBE_APPS)?;
        let found = self.allowed_app(call, action::DESCRIBE_APPS, app).await?;
        let page = page.rows()?;
        let (total, versions) = self
            .parts
            .apps
            .versions(&call.principal.owner, found.id.as_str(), page)
            .await?;
        let current = found.version.as_ref();
        Ok(listed(page, (total, versions), |v| {
            AppVersion::of(v, current)
        }))
    }

    /// `GET /v1/apps/{app}/versions/{version}`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn app_version(&self, call: &Call, app: &str, version: &str) -> Result<AppVersion> {
        self.limit(call, action::DESCRIBE_APPS)?;
        let found = self.allowed_app(call, action::DESCRIBE_APPS, app).await?;
        let shown = self
            .parts
            .apps
            .version_of(&call.principal.owner, found.id.as_str(), Some(version))
            .await?;
        Ok(AppVersion::of(shown, found.version.as_ref()))
    }

    /// `PATCH /v1/apps/{app}/versions/{version}`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn bar_version(
        &self,
        call: &Call,
        app: &str,
        version: &str,
        ask: BarVersion,
    ) -> Result<AppVersion> {
        let about = format!("app/{app} version {version}");
        self.audited(call, action::BAR_VERSION, &about, async {
            let found = self.allowed_app(call, action::BAR_VERSION, app).await?;
            let caller = Self::app_caller(call);
            let shown = self
                .parts
                .apps
                .bar(&caller, found.id.as_str(), version, ask.barred.as_deref())
                .await?;
            Ok(AppVersion::of(shown, found.version.as_ref()))
        })
        .await
    }

    // ---- orders ----

    /// `POST /v1/apps/{app}/orders`.
    ///
    /// # Errors
    /// The first blocker, or another refusal.
    pub async fn order_app(&self, call: &Call, app: &str, ask: OrderAsk) -> Result<AcceptedOrder> {
        let action = action_of(&ask)?;
        let about = format!("app/{app}: {}", ask.kind);
        self.audited(call, action, &about, async {
            let owner = &call.principal.owner;
            let (id, resources) = match if_there(self.parts.apps.get(owner, app).await)? {
                Some(found) => (found.id.to_string(), spellings(&found)),
                // An earlier call with the same idempotency key may have taken it
                // away by now. The product knows.
                None => (app.to_owned(), vec![format!("app/{app}")]),
            };
            let caller = Self::asking(call, action, &[resources])?;
            let how = how_of(&ask)?;
            let wanted = self.wanted(&call.principal.owner, &id, ask).await?;
            Ok(self
                .parts
                .apps
                .order(&caller, &id, wanted, &how)
                .await?
                .into())
        })
        .await
    }

    /// `POST /v1/apps/{app}/orders/plan`.
    ///
    /// # Errors
    /// A refusal. What the preflight finds is no refusal.
    pub async fn plan_order(&self, call: &Call, app: &str, ask: OrderAsk) -> Result<PlannedOrder> {
        self.limit(call, action::CHECK)?;
        let action = action_of(&ask)?;
        let found = self.allowed_app(call, action::CHECK, app).await?;
        let about = [spellings(&found)];
        let caller = Caller {
            approval: call.principal.permission(action, &about).approval(),
            ..Self::app_caller(call)
        };
        let how = how_of(&ask)?;
        let id = found.id.to_string();
        let wanted = self.wanted(&call.principal.owner, &id, ask).await?;
        let proposed = self.parts.apps.propose(&caller, &id, wanted, &how).await?;
        Ok(planned(proposed))
    }

    /// What is asked for, in the product's words. A release begins with what runs.
    async fn wanted(&self, owner: &AccountId, app: &str, ask: OrderAsk) -> Result<Wanted> {
        let missing = |what: &str| {
            NativeError::malformed(format!("{} an application: give {what}", ask.kind))
        };
        Ok(match ask.kind.as_str() {
            "deploy" => {
                let given = ask.release.clone().ok_or_else(|| missing("release"))?;
                let label = given.label.clone();
                let base = match if_there(self.parts.apps.get(owner, app).await)? {
                    Some(application) => self.present(owner, &application).await?,
                    None => None,
                };
                Wanted::Deploy {
                    release: Box::new(release(given, base.as_ref())?),
                    label,
                }
            }
            "rollback" => Wanted::Rollback { to: ask.to },
            "start" => Wanted::Start,
            "stop" => Wanted::Stop,
            "restart" if ask.replica_ids.is_empty() => Wanted::Restart,
            "restart" => Wanted::RestartReplicas(ask.replica_ids),
            "rescale" => Wanted::Rescale(ask.replicas.ok_or_else(|| missing("replicas"))?),
            "remove_replicas" if ask.replica_ids.is_empty() => {
                return Err(missing("replica_ids"));
            }
            "remove_replicas" => Wanted::RemoveReplicas(ask.replica_ids),
            "resize" if ask.cpu_millis.is_none() && ask.memory_bytes.is_none() => {
                return Err(missing("cpu_millis or memory_bytes"));
            }
            "resize" => Wanted::Resize {
                cpu_millis: ask.cpu_millis,
                memory_bytes: ask.memory_bytes,
            },
            // `action_of` has let only these in.
            _ => Wanted::Delete,
        })
    }

    /// The release that runs, with as many replicas as there are to be now.
    async fn present(
        &self,
        owner: &AccountId,
        application: &Application,
    ) -> Result<Option<Release>> {
        if application.version.is_none() {
            return Ok(None);
        }
        let version = self
            .parts
            .apps
            .version_of(owner, application.id.as_str(), None)
            .await?;
        Ok(Some(Release {
            replicas: application.replicas,
            ..version.release
        }))
    }

    /// `GET /v1/orders`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn orders(
        &self,
        call: &Call,
        wanted: OrdersWanted,
        page: &PageOf,
    ) -> Result<List<super::dto::OrderView>> {
        let page = page.rows()?;
        let application = match &wanted.app {
            None => {
                self.admit(call, action::DESCRIBE_APPS)?;
                None
            }
            Some(app) => {
                self.limit(call, action::DESCRIBE_APPS)?;
                Some(self.allowed_app(call, action::DESCRIBE_APPS, app).await?.id)
            }
        };
        let filter = OrderFilter {
            application,
            namespace: wanted.namespace,
            ..OrderFilter::default()
        };
        let (owner, apps) = (&call.principal.owner, &self.parts.apps);
        let (total, found) = apps.orders(owner, filter, page).await?;
        let mut views = Vec::with_capacity(found.len());
        for order in found {
            views.push(apps.order_view(owner, order.id.as_str()).await?);
        }
        Ok(listed(page, (total, views), |view| order_dto(&view, None)))
    }

    /// `GET /v1/orders/{order}`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn order(&self, call: &Call, order: &str) -> Result<super::dto::OrderView> {
        self.limit(call, action::DESCRIBE_APPS)?;
        let view = self
            .allowed_order(call, action::DESCRIBE_APPS, order)
            .await?;
        self.shown_order(call, &view).await
    }

    async fn shown_order(&self, call: &Call, view: &OrderView) -> Result<super::dto::OrderView> {
        let order = &view.order;
        let mut back = None;
        if order.standing == Standing::Aborted {
            let filter = OrderFilter {
                application: Some(order.application.clone()),
                ..OrderFilter::default()
            };
            let newest = Page {
                offset: 0,
                limit: WAY_BACK_WITHIN,
            };
            let (_, found) = self
                .parts
                .apps
                .orders(&call.principal.owner, filter, newest)
                .await?;
            back = found
                .into_iter()
                .find(|o| o.takes_back.as_ref() == Some(&order.id))
                .map(|o| o.id.to_string());
        }
        Ok(order_dto(view, back))
    }

    /// `POST /v1/orders/{order}/confirm`.
    ///
    /// # Errors
    /// A refusal: 409 when no batch, or another one, waits for a word.
    pub async fn confirm_order(
        &self,
        call: &Call,
        order: &str,
        ask: ConfirmOrder,
    ) -> Result<super::dto::OrderView> {
        let about = format!("order/{order}");
        self.audited(call, action::CONFIRM_ORDER, &about, async {
            let view = self
                .allowed_order(call, action::CONFIRM_ORDER, order)
                .await?;
            let waits = view
                .order
                .rollout
                .as_ref()
                .map_or(0, |r| r.progress().current.saturating_add(1));
            let number = match ask.batch {
                None => waits,
                Some(number) => number.checked_sub(1).ok_or_else(|| {
                    NativeError::malformed("find batch 0: batches are counted from 1 on")
                })?,
            };
            let batch = view.batches.iter().find(|(b, _)| b.number == number);
            let Some((batch, _)) = batch else {
                return Err(not_waiting(&view));
            };
            let caller = Self::app_caller(call);
            let id = batch.id.to_string();
            self.parts.apps.confirm(&caller, &id, !ask.end).await?;
            self.heard(call, &view).await
        })
        .await
    }

    /// `POST /v1/orders/{order}/abort`.
    ///
    /// # Errors
    /// A refusal: 409 when it is over, or cannot be taken back.
    pub async fn abort_order(
        &self,
        call: &Call,
        order: &str,
        ask: AbortOrder,
    ) -> Result<super::dto::OrderView> {
        let about = format!("order/{order}");
        self.audited(call, action::ABORT_ORDER, &about, async {
            let view = self.allowed_order(call, action::ABORT_ORDER, order).await?;
            let caller = Self::app_caller(call);
            let (id, apps) = (view.order.id.to_string(), &self.parts.apps);
            match ask.back {
                false => apps.abort(&caller, &id).await?,
                true => apps.abort_and_back(&caller, &id).await?,
            };
            self.heard(call, &view).await
        })
        .await
    }

    /// `POST /v1/orders/{order}/retry`.
    ///
    /// # Errors
    /// A refusal: 409 when nothing failed.
    pub async fn retry_order(&self, call: &Call, order: &str) -> Result<super::dto::OrderView> {
        let about = format!("order/{order}");
        self.audited(call, action::RETRY_ORDER, &about, async {
            let view = self.allowed_order(call, action::RETRY_ORDER, order).await?;
            let caller = Self::app_caller(call);
            let id = view.order.id.to_string();
            self.parts.apps.retry(&caller, &id).await?;
            self.heard(call, &view).await
        })
        .await
    }

    /// `POST /v1/orders/{order}/approve`.
    ///
    /// # Errors
    /// A refusal: 403 when it is the caller's own, 409 when it does not wait.
    pub async fn approve_order(&self, call: &Call, order: &str) -> Result<super::dto::OrderView> {
        let about = format!("order/{order}");
        self.audited(call, action::APPROVE_ORDER, &about, async {
            let view = self
                .allowed_order(call, action::APPROVE_ORDER, order)
                .await?;
            let caller = Self::app_caller(call);
            let (id, apps) = (view.order.id.to_string(), &self.parts.apps);
            apps.approve(&caller, &id).await?;
            let view = apps.order_view(&call.principal.owner, &id).await?;
            self.shown_order(call, &view).await
        })
        .await
    }

    /// An order after something was said to it: as it is once its job has heard
    /// that, or as it still is after a while.
    async fn heard(&self, call: &Call, before: &OrderView) -> Result<super::dto::OrderView> {
        let (owner, apps) = (&call.principal.owner, &self.parts.apps);
        let mut heard = apps.runtime().heard.listen();
        let until = tokio::time::Instant::now() + HEARD_WAIT;
        loop {
            let view = apps.order_view(owner, before.order.id.as_str()).await?;
            let moved = view.order.standing != before.order.standing
                || view.order.rollout != before.order.rollout;
            if moved || tokio::time::Instant::now() >= until {
                return self.shown_order(call, &view).await;
            }
            // Another process may have heard it: then nobody tells.
            let _ = tokio::time::timeout(HEARD_TICK, heard.changed()).await;
        }
    }

    // ---- what replicas are and write ----

    /// `GET /v1/apps/{app}/replicas`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn app_replicas(
        &self,
        call: &Call,
        app: &str,
        page: &PageOf,
    ) -> Result<List<ReplicaView>> {
        self.limit(call, action::DESCRIBE_APPS)?;
        let found = self.allowed_app(call, action::DESCRIBE_APPS, app).await?;
        let page = page.rows()?;
        let (owner, apps) = (&call.principal.owner, &self.parts.apps);
        let replicas = apps.replicas(owner, found.id.as_str()).await?;
        let (total, replicas) = cut(page, replicas);
        let mut briefs: BTreeMap<VersionId, VersionBrief> = BTreeMap::new();
        let mut items = Vec::new();
        for r in replicas {
            let id = &r.replica.version;
            let brief = match briefs.get(id) {
                Some(known) => known.clone(),
                None => {
                    let version = apps
                        .version_of(owner, found.id.as_str(), Some(id.as_str()))
                        .await;
                    let brief = match version {
                        Ok(version) => VersionBrief::of(&version),
                        Err(Refusal::VersionNotFound(_)) => VersionBrief::forgotten(id),
                        Err(e) => return Err(e.into()),
                    };
                    briefs.insert(id.clone(), brief.clone());
                    brief
                }
            };
            items.push(ReplicaView::of(&r.replica, brief, r.status.as_ref()));
        }
        Ok(listed(page, (total, items), |r| r))
    }

    /// `GET /v1/apps/{app}/logs`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn app_logs(
        &self,
        call: &Call,
        app: &str,
        wanted: &LogsWanted,
    ) -> Result<List<LogPiece>> {
        let mut tails = self.tail_app(call, app, wanted).await?;
        let items = tails.look().await?;
        Ok(List { items, next: None })
    }

    /// Lets a caller in who wants to follow logs.
    ///
    /// # Errors
    /// A refusal.
    pub async fn tail_app(&self, call: &Call, app: &str, wanted: &LogsWanted) -> Result<LogTails> {
        self.limit(call, action::READ_APP_LOGS)?;
        let lines = wanted.lines.unwrap_or(LOG_LINES);
        if lines > LOG_LINES_MAX {
            return Err(NativeError::malformed(format!(
                "show {lines} lines: give at most {LOG_LINES_MAX}"
            )));
        }
        let found = self.allowed_app(call, action::READ_APP_LOGS, app).await?;
        let mut tails = LogTails {
            apps: self.parts.apps.clone(),
            owner: call.principal.owner.clone(),
            application: found.id,
            only: wanted.replica.clone(),
            lines,
            logs: BTreeMap::new(),
            looks: 0,
        };
        tails.refresh().await?;
        if let Some(replica) = wanted.replica.as_ref().filter(|_| tails.logs.is_empty()) {
            return Err(Refusal::ReplicaNotFound(replica.chars().take(100).collect()).into());
        }
        Ok(tails)
    }

    /// `GET /v1/apps/{app}/events`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn app_events(
        &self,
        call: &Call,
        app: &str,
        warnings: bool,
        page: &PageOf,
    ) -> Result<List<AppEvent>> {
        self.limit(call, action::DESCRIBE_APPS)?;
        let found = self.allowed_app(call, action::DESCRIBE_APPS, app).await?;
        let page = page.rows()?;
        let filter = EventFilter {
            application: Some(found.id),
            warning: warnings.then_some(true),
            ..EventFilter::default()
        };
        let (total, events) = self
            .parts
            .apps
            .events(&call.principal.owner, filter, page)
            .await?;
        Ok(listed(page, (total, events), Into::into))
    }

    // ---- namespaces, secrets, config maps ----

    /// `GET /v1/namespaces`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn namespaces(&self, call: &Call, page: &PageOf) -> Result<List<NamespaceView>> {
        self.admit(call, action::DESCRIBE_APPS)?;
        let page = page.rows()?;
        let (total, found) = self
            .parts
            .apps
            .namespaces(&call.principal.owner, page)
            .await?;
        Ok(listed(page, (total, found), Into::into))
    }

    /// `POST /v1/namespaces`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn create_namespace(
        &self,
        call: &Call,
        ask: CreateNamespace,
    ) -> Result<NamespaceView> {
        let about = format!("namespace/{}", ask.id);
        self.audited(call, action::MANAGE_NAMESPACES, &about, async {
            let caller = Self::in_namespace(call, action::MANAGE_NAMESPACES, &ask.id)?;
            let name = ask.name.as_deref().unwrap_or(&ask.id);
            let made = self
                .parts
                .apps
                .create_namespace(&caller, &ask.id, name, &ask.description)
                .await?;
            Ok(made.into())
        })
        .await
    }

    /// `PATCH /v1/namespaces/{namespace}`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn change_namespace(
        &self,
        call: &Call,
        namespace: &str,
        ask: ChangeNamespace,
    ) -> Result<NamespaceView> {
        let about = format!("namespace/{namespace}");
        self.audited(call, action::MANAGE_NAMESPACES, &about, async {
            let caller = Self::in_namespace(call, action::MANAGE_NAMESPACES, namespace)?;
            let apps = &self.parts.apps;
            let changed = apps
                .update_namespace(&caller, namespace, ask.name, ask.description)
                .await?;
            Ok(changed.into())
        })
        .await
    }

    /// `DELETE /v1/namespaces/{namespace}`.
    ///
    /// # Errors
    /// A refusal: 409 while applications are in it.
    pub async fn delete_namespace(&self, call: &Call, namespace: &str) -> Result<()> {
        let about = format!("namespace/{namespace}");
        self.audited(call, action::MANAGE_NAMESPACES, &about, async {
            let caller = Self::in_namespace(call, action::MANAGE_NAMESPACES, namespace)?;
            Ok(self.parts.apps.delete_namespace(&caller, namespace).await?)
        })
        .await
    }

    /// `GET /v1/secrets`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn secrets(
        &self,
        call: &Call,
        namespace: Option<&str>,
        page: &PageOf,
    ) -> Result<List<SecretView>> {
        self.limit(call, action::DESCRIBE_APPS)?;
        let namespace = namespace.unwrap_or(DEFAULT_NAMESPACE);
        Self::in_namespace(call, action::DESCRIBE_APPS, namespace)?;
        let page = page.rows()?;
        let (owner, apps) = (&call.principal.owner, &self.parts.apps);
        let (total, found) = apps.secrets(owner, namespace, page).await?;
        Ok(listed(page, (total, found), |s| SecretView {
            name: s.name,
            namespace: s.namespace,
            revision: s.revision,
            updated: s.created.iso8601(),
        }))
    }

    /// `PUT /v1/secrets/{secret}`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn set_secret(
        &self,
        call: &Call,
        secret: &str,
        namespace: Option<&str>,
        ask: SetSecret,
    ) -> Result<SecretView> {
        let namespace = namespace.unwrap_or(DEFAULT_NAMESPACE);
        let about = format!("namespace/{namespace} secret {secret}");
        self.audited(call, action::MANAGE_SECRETS, &about, async {
            let caller = Self::in_namespace(call, action::MANAGE_SECRETS, namespace)?;
            let revision = self
                .parts
                .apps
                .set_secret(&caller, namespace, secret, &ask.value)
                .await?;
            Ok(SecretView {
                name: secret.to_owned(),
                namespace: namespace.to_owned(),
                revision,
                updated: self.parts.clock.now().iso8601(),
            })
        })
        .await
    }

    /// `DELETE /v1/secrets/{secret}`.
    ///
    /// # Errors
    /// A refusal: 409 while a version needs it.
    pub async fn delete_secret(
        &self,
        call: &Call,
        secret: &str,
        namespace: Option<&str>,
    ) -> Result<()> {
        let namespace = namespace.unwrap_or(DEFAULT_NAMESPACE);
        let about = format!("namespace/{namespace} secret {secret}");
        self.audited(call, action::MANAGE_SECRETS, &about, async {
            let caller = Self::in_namespace(call, action::MANAGE_SECRETS, namespace)?;
            let apps = &self.parts.apps;
            Ok(apps.delete_secret(&caller, namespace, secret).await?)
        })
        .await
    }

    /// `GET /v1/config-maps`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn config_maps(
        &self,
        call: &Call,
        namespace: Option<&str>,
        page: &PageOf,
    ) -> Result<List<ConfigMapView>> {
        self.limit(call, action::DESCRIBE_APPS)?;
        let namespace = namespace.unwrap_or(DEFAULT_NAMESPACE);
        Self::in_namespace(call, action::DESCRIBE_APPS, namespace)?;
        let page = page.rows()?;
        let (owner, apps) = (&call.principal.owner, &self.parts.apps);
        let (total, found) = apps.config_maps(owner, namespace, page).await?;
        Ok(listed(page, (total, found), Into::into))
    }

    /// `GET /v1/config-maps/{number}`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn config_map(&self, call: &Call, number: u64) -> Result<ConfigMapView> {
        self.limit(call, action::DESCRIBE_APPS)?;
        let owner = &call.principal.owner;
        let found = self.parts.apps.config_map(owner, number).await?;
        Self::in_namespace(call, action::DESCRIBE_APPS, &found.namespace)?;
        Ok(found.into())
    }

    /// `POST /v1/config-maps`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn create_config_map(
        &self,
        call: &Call,
        namespace: Option<&str>,
        ask: CreateConfigMap,
    ) -> Result<ConfigMapView> {
        let namespace = namespace.unwrap_or(DEFAULT_NAMESPACE);
        let about = format!("namespace/{namespace} config map {}", ask.name);
        self.audited(call, action::MANAGE_CONFIG_MAPS, &about, async {
            let caller = Self::in_namespace(call, action::MANAGE_CONFIG_MAPS, namespace)?;
            let made = self
                .parts
                .apps
                .create_config_map(&caller, namespace, &ask.name, ask.entries)
                .await?;
            Ok(made.into())
        })
        .await
    }

    /// `PUT /v1/config-maps/{number}`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn set_config_map(
        &self,
        call: &Call,
        number: u64,
        ask: SetConfigMap,
    ) -> Result<ConfigMapView> {
        let about = format!("config map {number}");
        self.audited(call, action::MANAGE_CONFIG_MAPS, &about, async {
            let (owner, apps) = (&call.principal.owner, &self.parts.apps);
            let namespace = apps.config_map(owner, number).await?.namespace;
            let caller = Self::in_namespace(call, action::MANAGE_CONFIG_MAPS, &namespace)?;
            let changed = apps.set_config_map(&caller, number, ask.entries).await?;
            Ok(changed.into())
        })
        .await
    }

    /// `DELETE /v1/config-maps/{number}`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn delete_config_map(&self, call: &Call, number: u64) -> Result<()> {
        let about = format!("config map {number}");
        self.audited(call, action::MANAGE_CONFIG_MAPS, &about, async {
            let (owner, apps) = (&call.principal.owner, &self.parts.apps);
            let namespace = apps.config_map(owner, number).await?.namespace;
            let caller = Self::in_namespace(call, action::MANAGE_CONFIG_MAPS, &namespace)?;
            Ok(apps.delete_config_map(&caller, number).await?)
        })
        .await
    }

    /// Who calls, when its policy allows `action` in a namespace.
    fn in_namespace(call: &Call, action: &str, namespace: &str) -> Result<Caller> {
        let resources = [vec![format!("namespace/{namespace}")]];
        Self::allow(call, action, &resources)?;
        Ok(Self::app_caller(call))
    }

    // ---- scaling rules ----

    /// `GET /v1/apps/{app}/scaling-rules`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn scaling_rules(&self, call: &Call, app: &str) -> Result<List<ScalingRuleView>> {
        self.limit(call, action::DESCRIBE_APPS)?;
        let found = self.allowed_app(call, action::DESCRIBE_APPS, app).await?;
        let owner = &call.principal.owner;
        let rules = self
            .parts
            .apps
            .scaling_rules(owner, found.id.as_str())
            .await?;
        Ok(List {
            items: rules
                .into_iter()
                .map(|row| ScalingRuleView::from(row.rule))
                .collect(),
            next: None,
        })
    }

    /// `PUT /v1/apps/{app}/scaling-rules/{rule}`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn set_scaling_rule(
        &self,
        call: &Call,
        app: &str,
        name: &str,
        given: Value,
    ) -> Result<ScalingRuleView> {
        let about = format!("app/{app} scaling rule {name}");
        self.audited(call, action::SCALE_APPS, &about, async {
            let found = self.allowed_app(call, action::SCALE_APPS, app).await?;
            let caller = Self::app_caller(call);
            let rule = scaling_rule(name, given)?;
            let (id, apps) = (found.id.to_string(), &self.parts.apps);
            let row = match apps.update_scaling_rule(&caller, &id, rule.clone()).await {
                Err(Refusal::RuleNotFound(_)) => {
                    apps.create_scaling_rule(&caller, &id, rule).await?
                }
                other => other?,
            };
            Ok(row.rule.into())
        })
        .await
    }

    /// `PATCH /v1/apps/{app}/scaling-rules/{rule}`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn switch_scaling_rule(
        &self,
        call: &Call,
        app: &str,
        name: &str,
        on: bool,
    ) -> Result<ScalingRuleView> {
        let about = format!("app/{app} scaling rule {name}");
        self.audited(call, action::SCALE_APPS, &about, async {
            let found = self.allowed_app(call, action::SCALE_APPS, app).await?;
            let caller = Self::app_caller(call);
            let apps = &self.parts.apps;
            let row = apps
                .switch_scaling_rule(&caller, found.id.as_str(), name, on)
                .await?;
            Ok(row.rule.into())
        })
        .await
    }

    /// `DELETE /v1/apps/{app}/scaling-rules/{rule}`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn delete_scaling_rule(&self, call: &Call, app: &str, name: &str) -> Result<()> {
        let about = format!("app/{app} scaling rule {name}");
        self.audited(call, action::SCALE_APPS, &about, async {
            let found = self.allowed_app(call, action::SCALE_APPS, app).await?;
            let caller = Self::app_caller(call);
            let apps = &self.parts.apps;
            Ok(apps
                .delete_scaling_rule(&caller, found.id.as_str(), name)
                .await?)
        })
        .await
    }

    // ---- settings ----

    /// `GET /v1/settings/apps`.
    ///
    /// # Errors
    /// A refusal: 403 for another account's, unless `admin` asks.
    pub async fn app_settings(&self, call: &Call, account: Option<&str>) -> Result<AppSettings> {
        self.admit(call, action::DESCRIBE_APPS)?;
        let owner = match account {
            None => call.principal.owner.clone(),
            Some(account) => {
                let found = self.parts.accounts.get(&call.principal, account).await?;
                let owner = found.parent.unwrap_or(found.id);
                if owner != call.principal.owner {
                    Self::only_admin(call)?;
                }
                owner
            }
        };
        let apps = &self.parts.apps;
        Ok(AppSettings {
            account: Some(apps.account_settings(&owner).await?.into()),
            service: Some(apps.service_settings().await?.into()),
        })
    }

    /// `PATCH /v1/settings/apps/accounts/{account}`.
    ///
    /// # Errors
    /// A refusal: 403 unless `admin` asks.
    pub async fn set_account_settings(
        &self,
        call: &Call,
        account: &str,
        ask: ChangeAccountSettings,
    ) -> Result<super::dto::AccountSettings> {
        let about = format!("account/{account}");
        self.audited(call, action::MANAGE_APP_SETTINGS, &about, async {
            Self::only_admin(call)?;
            let found = self.parts.accounts.get(&call.principal, account).await?;
            let owner = found.parent.unwrap_or(found.id);
            let apps = &self.parts.apps;
            let mut settings = apps.account_settings(&owner).await?;
            ask.change(&mut settings)?;
            apps.set_account_settings(&owner, settings.clone()).await?;
            Ok(settings.into())
        })
        .await
    }

    /// `PATCH /v1/settings/apps/service`.
    ///
    /// # Errors
    /// A refusal: 403 unless `admin` asks.
    pub async fn set_service_settings(
        &self,
        call: &Call,
        ask: ChangeServiceSettings,
    ) -> Result<super::dto::ServiceSettings> {
        self.audited(call, action::MANAGE_APP_SETTINGS, "service", async {
            Self::only_admin(call)?;
            let apps = &self.parts.apps;
            let mut settings = apps.service_settings().await?;
            ask.change(&mut settings);
            apps.set_service_settings(settings.clone()).await?;
            Ok(settings.into())
        })
        .await
    }

    fn only_admin(call: &Call) -> Result<()> {
        match call.principal.is_admin {
            true => Ok(()),
            false => Err(NativeError::denied(
                "look at or change settings of the service or of another account: only admin may; ask who manages this Backout",
            )),
        }
    }

    // ---- who may ----

    /// `POST /v1/jobs/{job}/undo`, of a job of the applications.
    pub(super) async fn undo_app_job(
        &self,
        call: &Call,
        job: &backout_core::ids::JobId,
    ) -> Result<super::dto::Accepted> {
        let caller = Self::app_caller(call);
        let apps = &self.parts.apps;
        let asked = apps.undo(&caller, job, &How::default()).await?;
        match asked.job {
            Some(job) => Ok(job.into()),
            None => Err(NativeError::new(
                Code::JobState,
                format!(
                    "see the job of the undo: order {0} waits for approval first; somebody else approves it with: backout approve {0}",
                    asked.order
                ),
            )),
        }
    }

    /// An application of the caller's owner, if its policy allows `action` on it.
    pub(super) async fn allowed_app(
        &self,
        call: &Call,
        action: &str,
        app: &str,
    ) -> Result<Application> {
        let found = self.parts.apps.get(&call.principal.owner, app).await;
        Self::allowed(call, action, found, spellings, format!("app/{app}"))
    }

    /// An order of an application of the caller's owner, if its policy allows
    /// `action` on that.
    async fn allowed_order(&self, call: &Call, action: &str, order: &str) -> Result<OrderView> {
        let owner = &call.principal.owner;
        match self.parts.apps.order_view(owner, order).await {
            Ok(view) => {
                let about = self.app_spellings(call, &view.order.application).await?;
                Self::allow(call, action, &[about])?;
                Ok(view)
            }
            Err(e @ Refusal::OrderNotFound(_)) => {
                Self::allow(call, action, &[vec![format!("order/{order}")]])?;
                Err(e.into())
            }
            Err(e) => Err(e.into()),
        }
    }

    /// Every way in which a policy may name an application; just the id for one
    /// that is gone.
    pub(super) async fn app_spellings(
        &self,
        call: &Call,
        id: &ApplicationId,
    ) -> Result<Vec<String>> {
        let (owner, apps) = (&call.principal.owner, &self.parts.apps);
        let found = if_there(apps.get(owner, id.as_str()).await)?;
        let gone = || vec![backout_apps::model::resource(id)];
        Ok(found.as_ref().map_or_else(gone, spellings))
    }

    /// The resource of jobs on an application; it may be gone, its jobs are kept.
    pub(super) async fn app_resource(&self, call: &Call, name: &str) -> Result<String> {
        let found = if_there(self.parts.apps.get(&call.principal.owner, name).await)?;
        Ok(found.map_or_else(|| format!("application/{name}"), |a| a.resource()))
    }

    fn app_caller(call: &Call) -> Caller {
        Caller {
            account: call.principal.account.clone(),
            owner: call.principal.owner.clone(),
            request: call.request.clone(),
            idempotency: call.idempotency.clone(),
            approval: None,
        }
    }

    /// Who calls for an order, when its policy allows `action`, at once or after
    /// approval.
    fn asking(call: &Call, action: &str, resources: &[Vec<String>]) -> Result<Caller> {
        match call.principal.permission(action, resources) {
            // It says why.
            Permission::Denied => Self::allow(call, action, resources)?,
            Permission::Granted => {}
            Permission::AfterApproval(rule) => {
                return Ok(Caller {
                    approval: Some(rule),
                    ..Self::app_caller(call)
                });
            }
        }
        Ok(Self::app_caller(call))
    }
}

/// Logs that are followed.
pub struct LogTails {
    apps: Apps,
    owner: AccountId,
    application: ApplicationId,
    only: Option<String>,
    lines: usize,
    /// Where each log was read to last.
    logs: BTreeMap<String, Tail>,
    looks: u32,
}

struct Tail {
    replica: ReplicaId,
    artifact: Artifact,
    end: Option<LogPosition>,
    /// Whether it was looked at before.
    begun: bool,
    /// What came of a character that was cut in two.
    cut: Vec<u8>,
}

impl std::fmt::Debug for LogTails {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogTails")
            .field("application", &self.application)
            .finish_non_exhaustive()
    }
}

impl LogTails {
    /// Waits until something was written, and returns it; nothing after a
    /// silence, so that who listens is told that it is still followed. None when
    /// the application is gone.
    ///
    /// # Errors
    /// A refusal.
    pub async fn next(&mut self) -> Result<Option<Vec<LogPiece>>> {
        for look in 0..TAIL_SILENT {
            if self.looks > 0 {
                tokio::time::sleep(TAIL_TICK).await;
            }
            let stale = self.looks.is_multiple_of(TAIL_REPLICAS_EVERY) && self.looks > 0;
            if stale && !self.refresh().await? {
                return Ok(None);
            }
            self.looks = self.looks.wrapping_add(1).max(1);
            let pieces: Vec<LogPiece> = self
                .look()
                .await?
                .into_iter()
                .filter(|p| !p.text.is_empty() || p.gap)
                .collect();
            if !pieces.is_empty() || look + 1 == TAIL_SILENT {
                return Ok(Some(pieces));
            }
        }
        Ok(Some(Vec::new()))
    }

    /// Finds out which replicas there are. False when the application is gone.
    async fn refresh(&mut self) -> Result<bool> {
        let id = self.application.to_string();
        let replicas = match self.apps.replicas(&self.owner, &id).await {
            Ok(replicas) => replicas,
            Err(Refusal::ApplicationNotFound(_)) => return Ok(false),
            Err(e) => return Err(e.into()),
        };
        let mut artifacts: BTreeMap<VersionId, Artifact> = BTreeMap::new();
        let mut known = std::mem::take(&mut self.logs);
        for r in replicas {
            let name = r.replica.id.to_string();
            if self.only.as_ref().is_some_and(|only| *only != name) {
                continue;
            }
            if let Some(tail) = known.remove(&name) {
                self.logs.insert(name, tail);
                continue;
            }
            let version = r.replica.version.clone();
            if !artifacts.contains_key(&version) {
                let found = self
                    .apps
                    .version_of(&self.owner, &id, Some(version.as_str()))
                    .await;
                match found {
                    Ok(found) => artifacts.insert(version.clone(), found.release.artifact),
                    Err(Refusal::VersionNotFound(_)) => None,
                    Err(e) => return Err(e.into()),
                };
            }
            if let Some(artifact) = artifacts.get(&version) {
                let tail = Tail {
                    replica: r.replica.id,
                    artifact: artifact.clone(),
                    end: None,
                    // One that came since is shown from its beginning.
                    begun: self.looks > 0,
                    cut: Vec::new(),
                };
                self.logs.insert(name, tail);
            }
        }
        Ok(true)
    }

    /// What was written since the last look, of each log.
    async fn look(&mut self) -> Result<Vec<LogPiece>> {
        let mut pieces = Vec::with_capacity(self.logs.len());
        let mut bytes = 0;
        for tail in self.logs.values_mut() {
            if bytes >= LOGS_BYTES_MAX {
                break;
            }
            let from = match tail.end {
                Some(end) => LogFrom::After(end),
                None if tail.begun => LogFrom::LastLines(LOG_LINES_MAX),
                None => LogFrom::LastLines(self.lines),
            };
            tail.begun = true;
            let runtime = self.apps.runtime();
            let chunk = match runtime.logs(&tail.replica, &tail.artifact, from).await {
                Ok(chunk) => chunk,
                // It was not started yet, or is gone by now.
                Err(Refusal::Workload(backout_workloads::Error::NoInstance { .. })) => continue,
                Err(e) => return Err(e.into()),
            };
            bytes += chunk.bytes.len();
            tail.end = chunk.end.or(tail.end);
            pieces.push(LogPiece {
                replica: tail.replica.to_string(),
                text: whole_text(&mut tail.cut, chunk.bytes),
                gap: chunk.gap,
            });
        }
        Ok(pieces)
    }
}

/// The text of bytes, with a character that was cut in two put together from
/// what came before and what comes after.
fn whole_text(cut: &mut Vec<u8>, bytes: Vec<u8>) -> String {
    let mut all = std::mem::take(cut);
    all.extend(bytes);
    if let Err(e) = std::str::from_utf8(&all)
        && e.error_len().is_none()
    {
        *cut = all.split_off(e.valid_up_to());
    }
    String::from_utf8_lossy(&all).into_owned()
}

/// An application with what is known of it beside its row. How replicas on
/// another host than `node` are is not known here.
fn shown_app(view: ApplicationView, node: &str) -> App {
    let here = view.application.node == node;
    let ready = view
        .replicas
        .iter()
        .filter_map(|r| r.status.as_ref())
        .filter(|s| s.phase == backout_workloads::Phase::Ready)
        .count();
    App {
        version: view.version.as_ref().map(VersionBrief::of),
        port: view.version.as_ref().and_then(|v| v.release.port),
        ready: u32::try_from(ready).ok().filter(|_| here),
        order: view.order.as_ref().map(OrderBrief::from),
        ..App::of(view.application)
    }
}

/// The name by which commands find an application.
fn name_in_commands(a: &Application) -> String {
    named(&a.namespace, &a.name)
}

fn named(namespace: &str, name: &str) -> String {
    match namespace {
        DEFAULT_NAMESPACE => name.to_owned(),
        _ => format!("{namespace}/{name}"),
    }
}

/// Every way in which a policy of our own may name an application.
fn spellings(a: &Application) -> Vec<String> {
    let mut out = vec![
        format!("app/{}/{}", a.namespace, a.name),
        format!("app/{}", a.id),
        a.resource(),
    ];
    if a.namespace == DEFAULT_NAMESPACE {
        out.push(format!("app/{}", a.name));
    }
    out
}

fn app_asked(ask: &CreateApp) -> String {
    let namespace = ask.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE);
    format!("app/{}", named(namespace, &ask.name))
}

/// The action of an order, as policies name it.
fn action_of(ask: &OrderAsk) -> Result<&'static str> {
    Ok(match ask.kind.as_str() {
        "deploy" => action::DEPLOY_APP,
        "rollback" => action::ROLLBACK,
        "start" => action::START_APPS,
        "stop" => action::STOP_APPS,
        "restart" => action::RESTART_APPS,
        "rescale" | "remove_replicas" | "resize" => action::SCALE_APPS,
        "delete" => action::DELETE_APP,
        other => {
            return Err(NativeError::malformed(format!(
                "do {:?} to an application: give deploy, rollback, start, stop, restart, rescale, remove_replicas, resize or delete",
                other.chars().take(40).collect::<String>()
            )));
        }
    })
}

fn new_application(ask: CreateApp) -> Result<NewApplication> {
    let label = ask
        .release
        .as_ref()
        .map(|r| r.label.clone())
        .unwrap_or_default();
    Ok(NewApplication {
        name: ask.name,
        namespace: ask.namespace,
        description: ask.description,
        tags: ask
            .tags
            .into_iter()
            .map(|t| backout_apps::model::Tag {
                key: t.key,
                value: t.value,
            })
            .collect(),
        release: ask.release.map(|r| release(r, None)).transpose()?,
        label,
    })
}

fn how_of(ask: &OrderAsk) -> Result<How> {
    Ok(How {
        scaling_on: ask.scaling_off.then_some(false),
        ..how(&ask.how)?
    })
}

fn how(ask: &HowAsk) -> Result<How> {
    let go = match ask.manual {
        true => Go::Manual,
        false => Go::Auto {
            wait_s: ask.wait_between_s,
        },
    };
    let strategy = match (ask.gray, ask.batches) {
        (Some(gray), batches) => Strategy::Gray {
            gray,
            batches: batches.unwrap_or(1),
            go,
        },
        (None, Some(batches)) => Strategy::Batches { batches, go },
        (None, None) if ask.manual => {
            return Err(NativeError::malformed(
                "let batches wait for a word: say in how many, with batches or gray",
            ));
        }
        (None, None) => Strategy::AllAtOnce,
    };
    let surge = match (ask.surge, ask.surge_percent) {
        (None, None) => Surge::Least,
        (Some(count), None) => Surge::Count(count),
        (None, Some(percent)) => Surge::Percent(percent),
        (Some(_), Some(_)) => {
            return Err(NativeError::malformed(
                "read the surge: give a number or a share of the replicas, not both",
            ));
        }
    };
    Ok(How {
        settings: Settings {
            least_ready: ask.min_ready,
            least_ready_percent: ask.min_ready_percent,
            strategy,
            batch_wait_s: ask.wait_between_s,
            surge,
        },
        description: ask.description.clone(),
        scaling_on: None,
    })
}

/// A release, beginning with the one that runs.
fn release(ask: ReleaseAsk, base: Option<&Release>) -> Result<NewRelease> {
    let artifact = match (ask.package, ask.image) {
        (Some(_), Some(_)) => {
            return Err(NativeError::malformed(
                "deploy a release: give package or image, not both",
            ));
        }
        (Some(package), None) => NewArtifact::Package {
            kind: kind_of(package.kind.as_deref(), &package.from)?,
            from: origin(&package.from)?,
            version: package.version.unwrap_or_default(),
        },
        (None, Some(name)) => NewArtifact::Image { name },
        (None, None) => match base {
            Some(base) => NewArtifact::Kept(base.artifact.clone()),
            None => {
                return Err(NativeError::malformed(
                    "deploy a first version: give package or image",
                ));
            }
        },
    };
    let mut out = match base {
        None => NewRelease::new(artifact),
        Some(base) => NewRelease {
            artifact,
            ..NewRelease::of(base)
        },
    };
    match (ask.command, ask.argv) {
        (Some(_), Some(_)) => {
            return Err(NativeError::malformed(
                "run a release: give command or argv, not both",
            ));
        }
        (Some(line), None) => {
            out.command = split_command(&line)
                .map_err(|e| NativeError::malformed(format!("read the command: {e}")))?;
        }
        (None, Some(argv)) => out.command = argv,
        (None, None) => {}
    }
    merge(&mut out.components, ask.components, Ok)?;
    merge(&mut out.env, ask.env, Ok)?;
    merge(&mut out.secrets, ask.secrets, |name| Ok((name, None)))?;
    for (path, file) in ask.files {
        out.files.retain(|known| file_path(known) != path);
        if let Some(file) = file {
            out.files.push(new_file(path, file)?);
        }
    }
    out.replicas = ask.replicas.unwrap_or(out.replicas);
    out.cpu_millis = ask.cpu_millis.unwrap_or(out.cpu_millis);
    out.memory_bytes = ask.memory_bytes.unwrap_or(out.memory_bytes);
    out.grace_ms = ask.grace_ms.unwrap_or(out.grace_ms);
    let had_port = out.port.is_some();
    out.port = ask.port.unwrap_or(out.port);
    match ask.readiness {
        Some(None) => out.readiness = None,
        Some(Some(given)) => out.readiness = Some(probe(given, true)?),
        // Without a question a process counts as ready before it listens.
        None if out.readiness.is_none() && out.port.is_some() && !had_port => {
            let given = ProbeDto {
                tcp: Some(true),
                ..ProbeDto::default()
            };
            out.readiness = Some(probe(given, true)?);
        }
        None => {}
    }
    match ask.liveness {
        Some(None) => out.liveness = None,
        Some(Some(given)) => out.liveness = Some(probe(given, false)?),
        None => {}
    }
    if let Some(task) = ask.after_start {
        out.after_start = task.map(Into::into);
    }
    if let Some(task) = ask.before_stop {
        out.before_stop = task.map(Into::into);
    }
    Ok(out)
}

/// Sets what has a value, and takes away what has none.
fn merge<T>(
    into: &mut BTreeMap<String, T>,
    given: BTreeMap<String, Option<String>>,
    of: impl Fn(String) -> Result<T>,
) -> Result<()> {
    for (name, value) in given {
        match value {
            Some(value) => {
                into.insert(name, of(value)?);
            }
            None => {
                into.remove(&name);
            }
        }
    }
    Ok(())
}

fn file_path(file: &NewFile) -> &str {
    match file {
        NewFile::Text { path, .. } | NewFile::ConfigMap { path, .. } => path,
        NewFile::Kept(file) => &file.path,
    }
}

fn new_file(path: String, ask: FileAsk) -> Result<NewFile> {
    match (ask.content, ask.of) {
        (Some(content), None) => Ok(NewFile::Text { path, content }),
        (None, Some(of)) => Ok(NewFile::ConfigMap {
            path,
            number: of.config_map,
            key: Some(of.key),
        }),
        _ => Err(NativeError::malformed(format!(
            "mount {path:?}: give either content or of, a text of a config map"
        ))),
    }
}

fn origin(from: &str) -> Result<Origin> {
    if from.starts_with("http://") || from.starts_with("https://") {
        return Ok(Origin::Url(from.to_owned()));
    }
    let path = PathBuf::from(from);
    match path.is_absolute() {
        true => Ok(Origin::Path(path)),
        false => Err(NativeError::malformed(format!(
            "fetch the package {:?}: give an absolute path of this host, or an http:// or https:// URL",
            from.chars().take(200).collect::<String>()
        ))),
    }
}

/// What kind a package is: as was said, else as its name says.
fn kind_of(word: Option<&str>, from: &str) -> Result<PackageKind> {
    if let Some(word) = word {
        return PackageKind::parse(word).ok_or_else(|| {
            NativeError::malformed(
                "read the kind of the package: give fat_jar, war, python_zip, php_zip or plain",
            )
        });
    }
    let path = from.split(['?', '#']).next().unwrap_or(from);
    let last = path.rsplit('/').next().unwrap_or(path);
    Ok(match last.rsplit_once('.').map(|(_, end)| end) {
        Some(end) if end.eq_ignore_ascii_case("jar") => PackageKind::FatJar,
        Some(end) if end.eq_ignore_ascii_case("war") => PackageKind::War,
        _ => PackageKind::Plain,
    })
}

/// A question, with what is usual where nothing was said.
fn probe(given: ProbeDto, readiness: bool) -> Result<Probe> {
    let port = given.port.unwrap_or(0);
    let tcp = given.tcp.unwrap_or(false);
    let ask = match (given.http, tcp, given.exec) {
        (Some(path), false, None) => Ask::Http {
            port,
            path,
            headers: BTreeMap::new(),
        },
        (None, true, None) => Ask::Tcp { port },
        (None, false, Some(argv)) => Ask::Exec { argv },
        _ => {
            return Err(NativeError::malformed(
                "ask how a replica is: give one of http, tcp and exec",
            ));
        }
    };
    let usual = Probe::new(ask);
    let (period_ms, failures) = match readiness {
        true => (READINESS_PERIOD_MS, READINESS_FAILURES),
        false => (usual.period_ms, usual.failures),
    };
    Ok(Probe {
        delay_ms: given.delay_ms.unwrap_or(usual.delay_ms),
        period_ms: given.period_ms.unwrap_or(period_ms),
        timeout_ms: given.timeout_ms.unwrap_or(usual.timeout_ms),
        failures: given.failures.unwrap_or(failures),
        successes: given.successes.unwrap_or(usual.successes),
        ..usual
    })
}

/// A scaling rule from the document that says when there are to be how many.
fn scaling_rule(name: &str, given: Value) -> Result<ScalingRule> {
    const MEMBERS: [&str; 5] = [
        "enabled",
        "timer",
        "metric",
        "least_ready",
        "least_ready_percent",
    ];
    let Value::Object(mut members) = given else {
        return Err(NativeError::malformed(
            "read the scaling rule: give an object with timer or metric",
        ));
    };
    if let Some(unknown) = members.keys().find(|k| !MEMBERS.contains(&k.as_str())) {
        return Err(NativeError::malformed(format!(
            "read the scaling rule: {:?} is unknown; it has {}",
            unknown.chars().take(64).collect::<String>(),
            MEMBERS.join(", ")
        )));
    }
    members.insert("name".into(), name.into());
    members.entry("enabled").or_insert(Value::Bool(true));
    serde_json::from_value(Value::Object(members))
        .map_err(|e| NativeError::malformed(format!("read the scaling rule: {e}")))
}

fn not_waiting(view: &OrderView) -> NativeError {
    NativeError::new(
        Code::JobState,
        format!(
            "let a batch of order {0} go: none of that number waits for a word; see it with: backout apps order {0}",
            view.order.id
        ),
    )
}

impl From<Asked> for AcceptedOrder {
    fn from(asked: Asked) -> Self {
        Self {
            order: Some(asked.order.to_string()),
            app: asked.application.to_string(),
            version: asked.version.map(|v| v.to_string()),
            job: asked.job.map(|j| j.to_string()),
            needs_approval: asked.needs_approval,
        }
    }
}

fn planned(p: Proposal) -> PlannedOrder {
    let plan = p.planned.as_ref().map(|planned| OrderPlan {
        replicas: p.replicas_after,
        floor: planned.plan.floor,
        surge: planned.plan.surge,
        road: match planned.road {
            Road::Quick => "quick".into(),
            Road::Paced => "paced".into(),
        },
        gate: planned.plan.gate.into(),
        batches: planned
            .plan
            .batches
            .iter()
            .map(|b| PlannedBatch {
                replicas: b.instances,
                gray: b.gray,
            })
            .collect(),
    });
    let differences = match (&p.from, &p.to) {
        (Some(from), Some(to)) if from.id != to.id => differences(&from.release, &to.release),
        _ => Vec::new(),
    };
    PlannedOrder {
        passed: p.preflight.passed(),
        preflight: OrderJudgement {
            blockers: p.preflight.blockers.into_iter().map(Note::from).collect(),
            warnings: p.preflight.warnings.into_iter().map(Note::from).collect(),
        },
        plan,
        needs_approval: p.needs_approval,
        from: p.from.as_ref().map(VersionBrief::of),
        to: p.to.as_ref().map(VersionBrief::of),
        differences,
    }
}

/// What is another in another release, each as it is shown to people.
fn differences(from: &Release, to: &Release) -> Vec<Difference> {
    let (from, to) = (facets(from), facets(to));
    let mut names: Vec<&String> = from.keys().chain(to.keys()).collect();
    names.sort();
    names.dedup();
    names
        .into_iter()
        .filter(|name| from.get(*name) != to.get(*name))
        .map(|name| Difference {
            what: name.clone(),
            from: from.get(name).cloned(),
            to: to.get(name).cloned(),
        })
        .collect()
}

/// All that can differ, by name.
fn facets(r: &Release) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            out.insert(name.to_owned(), value);
        }
    };
    match &r.artifact {
        Artifact::Package {
            kind, origin, hash, ..
        } => {
            let short: String = hash.as_str().chars().take(12).collect();
            let short = match short.bytes().all(|b| b == b'0') {
                true => "not fetched yet".to_owned(),
                false => short,
            };
            add("package", Some(format!("{origin} ({short})")));
            add("kind", Some(kind.as_str().to_owned()));
        }
        Artifact::Image { name, id } => {
            add("image", Some(name.clone()));
            add("image id", id.clone());
        }
    }
    add("command", Some(r.command.join(" ")));
    add("replicas", Some(r.replicas.to_string()));
    add(
        "cpu",
        r.cpu_millis
            .map(|m| format!("{m} thousandths of a processor")),
    );
    add("memory", r.memory_bytes.map(|m| format!("{m} bytes")));
    add("port", r.port.map(|p| p.to_string()));
    add("grace", Some(format!("{} ms", r.grace_ms)));
    for (name, probe) in [("readiness", &r.readiness), ("liveness", &r.liveness)] {
        let text = probe
            .as_ref()
            .and_then(|p| serde_json::to_string(&ProbeDto::from(p.clone())).ok());
        add(name, text);
    }
    for (name, task) in [
        ("after start", &r.after_start),
        ("before stop", &r.before_stop),
    ] {
        add(name, task.as_ref().map(|t| t.argv.join(" ")));
    }
    add(
        "scaling rule",
        r.scaling.as_ref().map(|rule| rule.name.clone()),
    );
    for (name, value) in &r.components {
        add(&format!("with {name}"), Some(value.clone()));
    }
    for (name, value) in &r.env {
        add(&format!("env {name}"), Some(value.clone()));
    }
    for s in &r.secrets {
        let value = format!("secret {}, value {}", s.secret, s.revision);
        add(&format!("env {}", s.variable), Some(value));
    }
    for f in &r.files {
        // What is in it may be long: that it is another is told.
        let digest = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(&f.content));
        let short: String = digest.chars().take(12).collect();
        let bytes = f.content.len();
        add(
            &format!("file {}", f.path),
            Some(format!("{bytes} bytes ({short})")),
        );
    }
    out
}

fn brief(version: Option<&Version>, id: Option<&VersionId>) -> Option<VersionBrief> {
    match (version, id) {
        (Some(version), _) => Some(VersionBrief::of(version)),
        (None, Some(id)) => Some(VersionBrief::forgotten(id)),
        (None, None) => None,
    }
}

fn order_dto(view: &OrderView, taken_back_by: Option<String>) -> super::dto::OrderView {
    let o = &view.order;
    let progress = o.rollout.as_ref().map(backout_rollout::Rollout::progress);
    let failure = progress
        .as_ref()
        .and_then(|p| p.failure)
        .filter(|_| o.standing == Standing::Stuck)
        .map(|f| {
            let (why, message) = why_words(f.why);
            OrderFailure {
                replica: f
                    .slot
                    .and_then(|slot| view.replica(slot))
                    .map(ToString::to_string),
                why: why.into(),
                message: message.into(),
            }
        });
    super::dto::OrderView {
        id: o.id.to_string(),
        app: AppBrief {
            id: o.application.to_string(),
            name: view.application_name.clone(),
            namespace: o.namespace.clone(),
        },
        kind: o.kind.as_str().into(),
        standing: o.standing.as_str().into(),
        over: o.standing.is_over(),
        from: brief(view.from.as_ref(), o.from.as_ref()),
        to: brief(view.to.as_ref(), o.to.as_ref()),
        replicas_before: o.replicas_before,
        replicas_after: o.replicas_after,
        description: o.description.clone(),
        floor: o.plan.floor,
        surge: o.plan.surge,
        gate: o.plan.gate.into(),
        batches: batches(view),
        waits: waits(o),
        next_commands: next_commands(view, failure.as_ref().and_then(|f| f.replica.as_deref())),
        progress: progress.as_ref().map(Into::into),
        failure,
        approval: o.approval.as_ref().map(ApprovalView::from),
        error: o
            .error
            .as_ref()
            .map(|(code, message)| Note::of(*code, message.clone())),
        job: o.job.as_ref().map(ToString::to_string),
        takes_back: o.takes_back.as_ref().map(ToString::to_string),
        taken_back_by,
        operator: o.operator.to_string(),
        request_id: o.request.0.clone(),
        created: o.created.iso8601(),
        ended: o.ended.map(|t| t.iso8601()),
    }
}

/// The batches as they run, or, before the order begins, as they are planned.
fn batches(view: &OrderView) -> Vec<BatchView> {
    let o = &view.order;
    let known = |number: u32| view.batches.iter().find(|(b, _)| b.number == number);
    let Some(rollout) = &o.rollout else {
        return o
            .plan
            .batches
            .iter()
            .zip(0u32..)
            .map(|(b, number)| BatchView {
                number: number + 1,
                id: known(number).map(|(b, _)| b.id.to_string()),
                back: false,
                replicas: b.instances,
                gray: b.gray,
                status: "preparing".into(),
                started: None,
                ended: None,
                changes: Vec::new(),
            })
            .collect();
    };
    let replica = |slot: Option<backout_rollout::Slot>| {
        slot.and_then(|slot| view.replica(slot))
            .map(ToString::to_string)
    };
    rollout
        .progress()
        .batches
        .iter()
        .zip(0u32..)
        .map(|(b, number)| {
            let there = known(number);
            let changes = there
                .and_then(|(_, detail)| detail.as_ref())
                .into_iter()
                .flat_map(|detail| detail.stages.iter())
                .flat_map(|stage| stage.tasks.iter())
                .map(|task| ReplicaChange {
                    old: replica(task.old),
                    new: replica(task.new),
                    status: stage_word(task.status).into(),
                });
            BatchView {
                number: number + 1,
                id: there.map(|(b, _)| b.id.to_string()),
                back: b.leg == Leg::Back,
                replicas: b.instances,
                gray: b.gray,
                status: batch_word(b.status).into(),
                started: b.started.map(|t| t.iso8601()),
                ended: b.ended.map(|t| t.iso8601()),
                changes: changes.collect(),
            }
        })
        .collect()
}

const fn stage_word(status: StageStatus) -> &'static str {
    match status {
        StageStatus::Preparing => "preparing",
        StageStatus::Running => "running",
        StageStatus::Succeeded => "succeeded",
        StageStatus::Failed => "failed",
        StageStatus::Aborted => "aborted",
    }
}

fn waits(o: &Order) -> Option<Waits> {
    let (on, until) = match o.standing {
        Standing::WaitsForApproval => ("approval", None),
        Standing::WaitsForConfirm => ("confirm", None),
        Standing::Stuck => ("word", None),
        Standing::WaitsForAuto => {
            let until = match o.rollout.as_ref().map(backout_rollout::Rollout::status) {
                Some(Machine::WaitsForAuto { until }) => Some(until.iso8601()),
                _ => None,
            };
            ("time", until)
        }
        _ => return None,
    };
    Some(Waits {
        on: on.into(),
        until,
    })
}

/// What can be said now, the most useful first.
fn next_commands(view: &OrderView, failed: Option<&str>) -> Vec<String> {
    let o = &view.order;
    let name = match &view.application_name {
        Some(name) => named(&o.namespace, name),
        None => o.application.to_string(),
    };
    let back = match backout_apps::orders::supports_rollback(o) {
        true => Some(format!("backout apps abort {name} --back")),
        false => None,
    };
    let abort = Some(format!("backout apps abort {name}"));
    let logs = failed.map(|replica| format!("backout apps logs {name} --replica {replica}"));
    let commands = match o.standing {
        Standing::WaitsForApproval => vec![Some(format!("backout approve {}", o.id)), abort],
        Standing::WaitsForConfirm => {
            vec![Some(format!("backout apps confirm {name}")), back, abort]
        }
        Standing::Stuck => vec![
            Some(format!("backout apps retry {name}")),
            back,
            abort,
            logs,
        ],
        Standing::Running | Standing::WaitsForAuto => vec![back, abort],
        Standing::Approved | Standing::Preparing => vec![abort],
        Standing::Succeeded if matches!(o.kind, OrderKind::Deploy | OrderKind::Resize) => {
            vec![Some(format!("backout apps rollback {name}"))]
        }
        Standing::Failed | Standing::Broken => {
            vec![Some(format!("backout apps events {name}"))]
        }
        Standing::Succeeded | Standing::Aborted => Vec::new(),
    };
    commands.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(text: &str) -> ReleaseAsk {
        serde_json::from_str(text).unwrap()
    }

    fn base() -> Release {
        serde_json::from_value(serde_json::json!({
            "artifact": {"from": "image", "name": "shop:1"}, "command": ["./shop"],
            "env": {"A": "1", "B": "2"}, "replicas": 3, "cpu_millis": null, "memory_bytes": 1 << 26,
            "files": [{"path": "/a", "content": "x", "of": null}],
            "liveness": null, "readiness": null, "after_start": null, "before_stop": null,
            "grace_ms": 5000, "port": null, "scaling": null,
        }))
        .unwrap()
    }

    #[test]
    fn a_release_begins_with_what_runs() {
        let same = release(ask("{}"), Some(&base())).unwrap();
        assert_eq!(same, NewRelease::of(&base()));
        let other = release(
            ask(
                r#"{"env":{"A":null,"C":"3"},"port":80,"memory_bytes":null,"replicas":5,
                    "files":{"/a":null,"/b":{"content":"y"}},"command":"./shop --new 'a b'"}"#,
            ),
            Some(&base()),
        )
        .unwrap();
        assert_eq!(
            other.env,
            [("B".into(), "2".into()), ("C".into(), "3".into())].into()
        );
        assert_eq!(
            (other.port, other.memory_bytes, other.replicas),
            (Some(80), None, 5)
        );
        assert_eq!(other.command, ["./shop", "--new", "a b"]);
        assert_eq!(other.files.len(), 1);
        assert_eq!(file_path(&other.files[0]), "/b");
        // One that is reached is ready once it listens, unless something else
        // was said.
        let probe = other.readiness.unwrap();
        assert_eq!(
            (probe.ask, probe.period_ms),
            (Ask::Tcp { port: 0 }, READINESS_PERIOD_MS)
        );
        let without = release(ask(r#"{"port":80,"readiness":null}"#), Some(&base())).unwrap();
        assert_eq!(without.readiness, None);
    }

    #[test]
    fn what_no_release_can_be() {
        for bad in [
            "{}",
            r#"{"image":"a","package":{"from":"/a"}}"#,
            r#"{"package":{"from":"a"}}"#,
            r#"{"package":{"from":"/a","kind":"deb"}}"#,
            r#"{"image":"a","command":"'"}"#,
            r#"{"image":"a","command":"a","argv":["a"]}"#,
            r#"{"image":"a","readiness":{}}"#,
            r#"{"image":"a","readiness":{"http":"/","tcp":true}}"#,
            r#"{"image":"a","files":{"/a":{}}}"#,
        ] {
            let e = release(ask(bad), None).unwrap_err();
            assert_eq!(e.code, Code::BadRequest, "{bad}");
        }
    }

    #[test]
    fn kinds_by_name() {
        for (from, kind) in [
            ("/srv/a.jar", PackageKind::FatJar),
            ("https://host/a.WAR?x=1.jar", PackageKind::War),
            ("/srv/a.tar.gz", PackageKind::Plain),
            ("/srv/a", PackageKind::Plain),
        ] {
            assert_eq!(kind_of(None, from), Ok(kind), "{from}");
        }
        assert_eq!(
            kind_of(Some("python_zip"), "/a.jar"),
            Ok(PackageKind::PythonZip)
        );
    }

    #[test]
    fn how_replicas_are_changed() {
        let read = |text: &str| how(&serde_json::from_str(text).unwrap());
        assert_eq!(read("{}").unwrap(), How::default());
        let gray = read(r#"{"gray":2,"batches":3,"manual":true,"min_ready_percent":50}"#).unwrap();
        assert_eq!(
            gray.settings.strategy,
            Strategy::Gray {
                gray: 2,
                batches: 3,
                go: Go::Manual
            }
        );
        assert_eq!(gray.settings.least_ready_percent, Some(50));
        assert!(read(r#"{"manual":true}"#).is_err());
        assert!(read(r#"{"surge":1,"surge_percent":1}"#).is_err());
    }

    #[test]
    fn releases_are_compared() {
        let mut to = base();
        to.env.remove("A");
        to.env.insert("C".into(), "3".into());
        to.command = vec!["./other".into()];
        let found: Vec<(String, Option<String>, Option<String>)> = differences(&base(), &to)
            .into_iter()
            .map(|d| (d.what, d.from, d.to))
            .collect();
        assert_eq!(
            found,
            [
                (
                    "command".into(),
                    Some("./shop".into()),
                    Some("./other".into())
                ),
                ("env A".into(), Some("1".into()), None),
                ("env C".into(), None, Some("3".into())),
            ]
        );
        assert_eq!(differences(&base(), &base()), []);
    }

    #[test]
    fn characters_that_are_cut_in_two() {
        let mut cut = Vec::new();
        assert_eq!(whole_text(&mut cut, vec![b'a', 0xc3]), "a");
        assert_eq!(whole_text(&mut cut, vec![0xa4, b'b']), "äb");
        assert_eq!(whole_text(&mut cut, vec![0xff, b'c']), "\u{fffd}c");
        assert!(cut.is_empty());
    }

    #[test]
    fn scaling_rules_are_read_whole() {
        let timer = serde_json::json!({"timer": {"days": "every", "zone": "UTC", "schedules": [{"at_minute": 60, "replicas": 2}]}});
        let rule = scaling_rule("day", timer).unwrap();
        assert!(rule.enabled && rule.timer.is_some());
        for bad in [
            serde_json::json!([]),
            serde_json::json!({"timre": {}}),
            serde_json::json!({"timer": 1}),
        ] {
            assert!(scaling_rule("day", bad).is_err());
        }
    }
}
