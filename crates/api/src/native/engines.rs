//! Data engines: coming and going, versions of their images, parameters, their
//! log.

use std::collections::BTreeMap;

use backout_core::ids::{EngineId, ImageId, JobId};
use backout_engines::Refusal;
use backout_engines::catalogue::{self, Level};
use backout_engines::model::{Config, Engine, Kind, Mode, Pairs, Setup, Wanted};
use backout_engines::persistence::{EngineFilter, EngineOrder};
use backout_engines::service::{
    ConfigOf, EngineView, ImageFilter, ImageOrder, NewEngine, Proposal, SIZE_MAX,
};
use backout_store::rows::Page;

use super::dto::{
    AcceptedEngine, AddEngineImage, AddedEngineImage, CreateEngine, DataEngine, DescribeEngine,
    EngineChangeAsk, EngineCheck, EngineConfig, EngineEvent, EngineImage, EngineImageWhole,
    EngineOutput, EngineRecord, List, Note, OrderJudgement, ParameterFate, ParameterView,
    PlannedEngine, Resource,
};
use super::names::{if_there, vendor_spellings};
use super::{Call, Native, NativeError, ONE, PageOf, Result, action, cut, listed};

/// The most lines of what an instance wrote in one answer.
pub const OUTPUT_LINES_MAX: usize = 10_000;
/// How many are shown when nothing is said: a screen.
const OUTPUT_LINES: usize = 50;
/// How many parameters a request may name: a version has a hundred.
const PARAMETERS_MAX: usize = 1000;
/// What engines are in, in the vendor's ways.
const SERVICE: &str = "dlc";

/// Which versions to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineImagesWanted {
    /// At this level: `parent`, `child` or `pyspark`.
    pub level: Option<String>,
    /// For engines of this kind.
    pub kind: Option<String>,
    /// Under this version.
    pub parent: Option<String>,
}

impl Native {
    // ---- engines ----

    /// The engines of a list of everything, counted after all else; and how many
    /// there are.
    pub(super) async fn engine_resources(
        &self,
        call: &Call,
        page: Page,
    ) -> Result<(u64, Vec<Resource>)> {
        let (owner, engines) = (&call.principal.owner, &self.parts.engines);
        let (all, newest) = (EngineFilter::default(), (EngineOrder::Created, false));
        let (total, found) = engines.list(owner, all, newest, page).await?;
        let items = found.into_iter().map(|e| Resource {
            resource: format!("engine/{}", e.name),
            kind: "engine".into(),
            id: e.id.to_string(),
            name: e.name,
            state: e.state.as_str().into(),
        });
        Ok((total, items.collect()))
    }

    /// `GET /v1/engines`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn engines(
        &self,
        call: &Call,
        kind: Option<&str>,
        page: &PageOf,
    ) -> Result<List<DataEngine>> {
        self.admit(call, action::DESCRIBE_ENGINES)?;
        let page = page.rows()?;
        let filter = EngineFilter {
            kinds: kind.map(kind_of).transpose()?.into_iter().collect(),
            ..EngineFilter::default()
        };
        let (total, found) = self
            .parts
            .engines
            .list(
                &call.principal.owner,
                filter,
                (EngineOrder::Created, false),
                page,
            )
            .await?;
        let views = self.parts.engines.views(found).await?;
        Ok(listed(page, (total, views), |v| self.engine_dto(v)))
    }

    /// `GET /v1/engines/{engine}`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn engine(&self, call: &Call, engine: &str) -> Result<DataEngine> {
        self.limit(call, action::DESCRIBE_ENGINES)?;
        let found = self
            .allowed_engine(call, action::DESCRIBE_ENGINES, engine)
            .await?;
        self.shown_engine(call, &found).await
    }

    async fn shown_engine(&self, call: &Call, engine: &Engine) -> Result<DataEngine> {
        let owner = &call.principal.owner;
        let view = self.parts.engines.show(owner, engine.id.as_str()).await?;
        Ok(self.engine_dto(view))
    }

    fn engine_dto(&self, view: EngineView) -> DataEngine {
        let data = (view.engine.node == self.parts.node).then(|| {
            let folder = self.parts.engines.runtime().data(&view.engine.id);
            folder.to_string_lossy().into_owned()
        });
        DataEngine::of(view, data)
    }

    /// `POST /v1/engines`.
    ///
    /// # Errors
    /// The first blocker, or another refusal.
    pub async fn create_engine(&self, call: &Call, ask: CreateEngine) -> Result<AcceptedEngine> {
        let about = format!("engine/{}", ask.name);
        self.audited(call, action::CREATE_ENGINE, &about, async {
            Self::allow(call, action::CREATE_ENGINE, &[vec![about.clone()]])?;
            let new = self.new_engine(call, ask).await?;
            let caller = Self::caller(call);
            Ok(self.parts.engines.create(&caller, new).await?.into())
        })
        .await
    }

    /// `POST /v1/plan/engines`.
    ///
    /// # Errors
    /// The first reason why it cannot be made.
    pub async fn plan_engine(&self, call: &Call, ask: CreateEngine) -> Result<PlannedEngine> {
        self.limit(call, action::CHECK)?;
        Self::allow(call, action::CHECK, &[vec![format!("engine/{}", ask.name)]])?;
        let new = self.new_engine(call, ask).await?;
        let caller = Self::caller(call);
        let found = self.parts.engines.propose_create(&caller, new).await?;
        Ok(planned(found))
    }

    async fn new_engine(&self, call: &Call, ask: CreateEngine) -> Result<NewEngine> {
        let pairs: Vec<(String, String)> = ask.parameters.into_iter().collect();
        let config = match (&ask.image, pairs.is_empty()) {
            (_, true) => Config::default(),
            (Some(image), false) => {
                named_parameters(pairs.len())?;
                let owner = &call.principal.owner;
                let engines = &self.parts.engines;
                engines.config_of_pairs(owner, image, &pairs).await?
            }
            (None, false) => {
                return Err(NativeError::malformed(
                    "set parameters of a data engine to be: give image with them, the version that they are of",
                ));
            }
        };
        let mode = match ask.mode.as_deref() {
            None => Mode::PayAsYouGo,
            Some(word) => Mode::parse(word).ok_or_else(|| {
                NativeError::malformed(format!(
                    "read the mode of a data engine: give {}",
                    alternatives(Mode::ALL.iter().map(|m| m.as_str()))
                ))
            })?,
        };
        Ok(NewEngine {
            exec_type: ask.exec_type,
            image: ask.image,
            mode,
            size: ask.size.unwrap_or(1),
            description: ask.description,
            config,
            port: ask.port,
            tags: ask
                .tags
                .into_iter()
                .map(|t| backout_engines::model::Tag {
                    key: t.key,
                    value: t.value,
                })
                .collect(),
            ..NewEngine::new(ask.name, kind_of(&ask.kind)?)
        })
    }

    /// `PATCH /v1/engines/{engine}`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn describe_engine(
        &self,
        call: &Call,
        engine: &str,
        ask: DescribeEngine,
    ) -> Result<DataEngine> {
        let about = format!("engine/{engine}");
        self.audited(call, action::CHANGE_ENGINE, &about, async {
            let found = self
                .allowed_engine(call, action::CHANGE_ENGINE, engine)
                .await?;
            let owner = &call.principal.owner;
            self.parts
                .engines
                .set_description(owner, found.id.as_str(), &ask.description)
                .await?;
            self.shown_engine(call, &found).await
        })
        .await
    }

    // ---- changes ----

    /// `POST /v1/engines/{engine}/changes`.
    ///
    /// # Errors
    /// The first blocker, or another refusal.
    pub async fn change_engine(
        &self,
        call: &Call,
        engine: &str,
        ask: EngineChangeAsk,
    ) -> Result<AcceptedEngine> {
        let action = engine_action(&ask.kind)?;
        let about = format!("engine/{engine}: {}", ask.kind);
        self.audited(call, action, &about, async {
            let found = if_there(self.allowed_engine(call, action, engine).await)?;
            // An earlier call with the same idempotency key may have taken it away
            // by now. The product knows.
            let id = found.map_or_else(|| engine.to_owned(), |e| e.id.to_string());
            let wanted = self.wanted_of_engine(call, &id, ask).await?;
            let caller = Self::caller(call);
            Ok(self
                .parts
                .engines
                .change(&caller, &id, wanted)
                .await?
                .into())
        })
        .await
    }

    /// `POST /v1/engines/{engine}/changes/plan`.
    ///
    /// # Errors
    /// A refusal. What the preflight finds is no refusal.
    pub async fn plan_engine_change(
        &self,
        call: &Call,
        engine: &str,
        ask: EngineChangeAsk,
    ) -> Result<PlannedEngine> {
        self.limit(call, action::CHECK)?;
        engine_action(&ask.kind)?;
        let found = self.allowed_engine(call, action::CHECK, engine).await?;
        let id = found.id.as_str();
        let wanted = self.wanted_of_engine(call, id, ask).await?;
        let owner = &call.principal.owner;
        Ok(planned(
            self.parts.engines.propose(owner, id, wanted).await?,
        ))
    }

    /// What is asked for, in the product's words.
    async fn wanted_of_engine(
        &self,
        call: &Call,
        engine: &str,
        ask: EngineChangeAsk,
    ) -> Result<Wanted> {
        let missing =
            |what: &str| NativeError::malformed(format!("{} a data engine: give {what}", ask.kind));
        Ok(match ask.kind.as_str() {
            "switch" => Wanted::Switch {
                image: ask
                    .image
                    .ok_or_else(|| missing("image, the name or id of the version"))?,
            },
            "upgrade" => Wanted::Upgrade,
            "rollback" => Wanted::Rollback {
                from: ask.from,
                to: ask.to,
            },
            "set" => {
                if ask.parameters.is_empty() {
                    return Err(missing("parameters, by name; null takes one off"));
                }
                named_parameters(ask.parameters.len())?;
                let config = self.merged_config(call, engine, ask.parameters).await?;
                Wanted::Modify {
                    config: Some(config),
                    size: None,
                }
            }
            "resize" => {
                let size = ask
                    .size
                    .filter(|size| (1..=SIZE_MAX).contains(size))
                    .ok_or_else(|| missing(&format!("size, 1 to {SIZE_MAX} compute units")))?;
                Wanted::Modify {
                    config: None,
                    size: Some(size),
                }
            }
            "suspend" => Wanted::Suspend,
            "resume" => Wanted::Resume,
            "restart" => Wanted::Restart { forced: ask.forced },
            _ => Wanted::Delete,
        })
    }

    /// The settings of an engine with some parameters set or taken off. What its
    /// version does not know is kept for the product to refuse by name.
    async fn merged_config(
        &self,
        call: &Call,
        engine: &str,
        parameters: BTreeMap<String, Option<String>>,
    ) -> Result<Config> {
        let owner = &call.principal.owner;
        let (engine, image, _) = self.parts.engines.parameters(owner, engine).await?;
        let mut config = self.config_of_engine(call, &engine.id).await?;
        for (name, value) in parameters {
            let of_session =
                image.session.contains_key(&name) && !image.cluster.contains_key(&name);
            config.cluster.remove(&name);
            config.session.remove(&name);
            if let Some(value) = value {
                let set: &mut Pairs = match of_session {
                    true => &mut config.session,
                    false => &mut config.cluster,
                };
                set.insert(name, value);
            }
        }
        Ok(config)
    }

    async fn config_of_engine(&self, call: &Call, id: &EngineId) -> Result<Config> {
        let filter = EngineFilter {
            ids: vec![id.to_string()],
            ..EngineFilter::default()
        };
        let order = (EngineOrder::Created, false);
        let owner = &call.principal.owner;
        let (_, mut found) = self
            .parts
            .engines
            .configs(owner, filter, order, ONE)
            .await?;
        let found: Option<ConfigOf> = found.pop();
        found
            .map(|found| found.config)
            .ok_or_else(|| Refusal::EngineNotFound(id.to_string()).into())
    }

    /// `POST /v1/jobs/{job}/undo`, for jobs of engines.
    pub(super) async fn undo_engine_job(
        &self,
        call: &Call,
        resource: &str,
        job: &JobId,
    ) -> Result<super::dto::Accepted> {
        let engine = resource.strip_prefix("engine/").unwrap_or(resource);
        let caller = Self::caller(call);
        Ok(self
            .parts
            .engines
            .undo(&caller, engine, job)
            .await?
            .job
            .into())
    }

    // ---- what is known of one ----

    /// `GET /v1/engines/{engine}/check`.
    ///
    /// # Errors
    /// A refusal; that there is no way back is none.
    pub async fn check_engine(&self, call: &Call, engine: &str) -> Result<EngineCheck> {
        self.limit(call, action::CHECK)?;
        let found = self.allowed_engine(call, action::CHECK, engine).await?;
        let (owner, id) = (&call.principal.owner, found.id.as_str());
        let check = self.parts.engines.check_rollback(owner, id).await?;
        let upgrade = match self.parts.engines.check_upgrade(owner, id).await {
            Ok(upgrade) => Ok(upgrade.child.filter(|_| upgrade.possible)),
            Err(e @ Refusal::Store(_)) => return Err(e.into()),
            Err(e) => Err(e.to_string()),
        };
        let upgrade = match upgrade {
            Ok(Some(id)) => match self.parts.engines.image(owner, id.as_str()).await {
                Ok(image) => Ok(Some(image.version)),
                Err(e @ Refusal::Store(_)) => return Err(e.into()),
                Err(e) => Err(e.to_string()),
            },
            Ok(None) => Ok(None),
            Err(why) => Err(why),
        };
        Ok(EngineCheck::of(check, upgrade))
    }

    /// `GET /v1/engines/{engine}/config`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn engine_config(&self, call: &Call, engine: &str) -> Result<EngineConfig> {
        self.limit(call, action::DESCRIBE_ENGINES)?;
        let found = self
            .allowed_engine(call, action::DESCRIBE_ENGINES, engine)
            .await?;
        let (engine, image, parameters) = self
            .parts
            .engines
            .parameters(&call.principal.owner, found.id.as_str())
            .await?;
        let mut config = self.config_of_engine(call, &engine.id).await?;
        let parameters = parameters.into_iter().map(|p| {
            let set = match p.cluster {
                true => &mut config.cluster,
                false => &mut config.session,
            };
            let value = set.remove(&p.name);
            ParameterView::of(p.name, p.spec, p.cluster, value)
        });
        Ok(EngineConfig {
            engine: engine.id.to_string(),
            image: image.version,
            parameters: parameters.collect(),
        })
    }

    /// `GET /v1/engines/{engine}/log`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn engine_log(
        &self,
        call: &Call,
        engine: &str,
        page: &PageOf,
    ) -> Result<List<EngineRecord>> {
        self.limit(call, action::DESCRIBE_ENGINES)?;
        let found = self
            .allowed_engine(call, action::DESCRIBE_ENGINES, engine)
            .await?;
        let page = page.rows()?;
        let (owner, engines) = (&call.principal.owner, &self.parts.engines);
        let (total, records) = engines.log(owner, found.id.as_str(), page).await?;
        let all = engines
            .images(owner, ImageFilter::default(), (ImageOrder::Inserted, true))
            .await?;
        let names: BTreeMap<ImageId, String> = all.into_iter().map(|i| (i.id, i.version)).collect();
        let named = |id: &ImageId| names.get(id).cloned().unwrap_or_else(|| id.to_string());
        Ok(listed(page, (total, records), |r| {
            EngineRecord::of(r, named)
        }))
    }

    /// `GET /v1/engines/{engine}/events`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn engine_events(
        &self,
        call: &Call,
        engine: &str,
        page: &PageOf,
    ) -> Result<List<EngineEvent>> {
        self.limit(call, action::DESCRIBE_ENGINES)?;
        let found = self
            .allowed_engine(call, action::DESCRIBE_ENGINES, engine)
            .await?;
        let page = page.rows()?;
        let (total, events) = self
            .parts
            .engines
            .events(&call.principal.owner, found.id.as_str(), (None, None), page)
            .await?;
        Ok(listed(page, (total, events), Into::into))
    }

    /// `GET /v1/engines/{engine}/output`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn engine_output(
        &self,
        call: &Call,
        engine: &str,
        lines: Option<usize>,
    ) -> Result<EngineOutput> {
        self.limit(call, action::READ_ENGINE_OUTPUT)?;
        let found = self
            .allowed_engine(call, action::READ_ENGINE_OUTPUT, engine)
            .await?;
        let lines = lines.unwrap_or(OUTPUT_LINES);
        if lines > OUTPUT_LINES_MAX {
            return Err(NativeError::malformed(format!(
                "show {lines} lines: give at most {OUTPUT_LINES_MAX}"
            )));
        }
        let text = self
            .parts
            .engines
            .output(&call.principal.owner, found.id.as_str(), lines)
            .await?;
        Ok(EngineOutput { text })
    }

    // ---- the catalogue ----

    /// `GET /v1/engine-images`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn engine_images(
        &self,
        call: &Call,
        wanted: &EngineImagesWanted,
        page: &PageOf,
    ) -> Result<List<EngineImage>> {
        self.admit(call, action::DESCRIBE_ENGINE_IMAGES)?;
        let page = page.rows()?;
        let level = wanted.level.as_deref().map(|word| {
            Level::parse(word).ok_or_else(|| {
                NativeError::malformed("list versions at this level: give parent, child or pyspark")
            })
        });
        let filter = ImageFilter {
            level: level.transpose()?,
            kind: wanted.kind.as_deref().map(kind_of).transpose()?,
            parent: wanted.parent.clone(),
        };
        let found = self
            .parts
            .engines
            .images(&call.principal.owner, filter, (ImageOrder::Inserted, true))
            .await?;
        Ok(listed(page, cut(page, found), Into::into))
    }

    /// `GET /v1/engine-images/{image}`.
    ///
    /// # Errors
    /// A refusal.
    pub async fn engine_image(&self, call: &Call, image: &str) -> Result<EngineImageWhole> {
        self.limit(call, action::DESCRIBE_ENGINE_IMAGES)?;
        let about = [vec![format!("engine-image/{image}")]];
        Self::allow(call, action::DESCRIBE_ENGINE_IMAGES, &about)?;
        let (owner, engines) = (&call.principal.owner, &self.parts.engines);
        let found = engines.image(owner, image).await?;
        let text = engines.image_text(owner, found.id.as_str()).await?;
        Ok(EngineImageWhole::of(found, text))
    }

    /// `POST /v1/engine-images`.
    ///
    /// # Errors
    /// A refusal; what is wrong with an entry is told, and is none.
    pub async fn add_engine_image(
        &self,
        call: &Call,
        ask: AddEngineImage,
    ) -> Result<AddedEngineImage> {
        let name = catalogue::name(&ask.entry);
        let about = match &name {
            Ok(name) => format!("engine-image/{}", name.version),
            Err(_) => "engine-image/?".to_owned(),
        };
        self.audited(call, action::ADD_ENGINE_IMAGE, &about, async {
            Self::allow(call, action::ADD_ENGINE_IMAGE, &[vec![about.clone()]])?;
            let caller = Self::caller(call);
            let added = self.parts.engines.add_image(&caller, &ask.entry).await?;
            Ok(AddedEngineImage {
                new: added.new,
                image: added.listed.into(),
            })
        })
        .await
    }

    // ---- who may ----

    /// An engine of the caller's owner, if its policy allows `action` on it.
    pub(super) async fn allowed_engine(
        &self,
        call: &Call,
        action: &str,
        engine: &str,
    ) -> Result<Engine> {
        let found = self.parts.engines.get(&call.principal.owner, engine).await;
        Self::allowed(call, action, found, spellings, format!("engine/{engine}"))
    }

    /// Every way in which a policy may name an engine; just the id for one that
    /// is gone.
    pub(super) async fn engine_spellings(&self, call: &Call, id: &str) -> Result<Vec<String>> {
        let found = if_there(self.parts.engines.get(&call.principal.owner, id).await)?;
        let gone = || vec![format!("engine/{id}")];
        Ok(found.as_ref().map_or_else(gone, spellings))
    }

    /// The resource of jobs on an engine; it may be gone, its jobs are kept.
    pub(super) async fn engine_resource(&self, call: &Call, name: &str) -> Result<String> {
        let found = if_there(self.parts.engines.get(&call.principal.owner, name).await)?;
        Ok(found.map_or_else(|| format!("engine/{name}"), |e| e.resource()))
    }
}

/// Every way in which a policy may name an engine.
fn spellings(e: &Engine) -> Vec<String> {
    let mut out = vec![format!("engine/{}", e.name), e.resource()];
    for named in [e.id.as_str(), &e.name] {
        out.extend(vendor_spellings(SERVICE, &e.owner, "dataEngine", named));
    }
    out
}

/// The action of a change, as policies name it.
///
/// # Errors
/// Malformed: a word that is none.
pub fn engine_action(kind: &str) -> Result<&'static str> {
    Ok(match kind {
        "switch" | "upgrade" => action::SWITCH_ENGINE,
        "rollback" => action::ROLLBACK,
        "set" | "resize" => action::CONFIGURE_ENGINE,
        "suspend" => action::SUSPEND_ENGINES,
        "resume" => action::RESUME_ENGINES,
        "restart" => action::RESTART_ENGINES,
        "delete" => action::DELETE_ENGINE,
        other => {
            return Err(NativeError::malformed(format!(
                "do {:?} to a data engine: give switch, upgrade, rollback, set, resize, suspend, resume, restart or delete",
                other.chars().take(40).collect::<String>()
            )));
        }
    })
}

fn kind_of(word: &str) -> Result<Kind> {
    Kind::parse(word).ok_or_else(|| {
        NativeError::malformed(format!(
            "read the kind of data engine {:?}: give {}",
            word.chars().take(40).collect::<String>(),
            alternatives(Kind::ALL.iter().map(|k| k.as_str()))
        ))
    })
}

/// `a, b or c`.
fn alternatives<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let words: Vec<&str> = words.collect();
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => words.concat(),
    }
}

fn named_parameters(count: usize) -> Result<()> {
    match count <= PARAMETERS_MAX {
        true => Ok(()),
        false => Err(NativeError::malformed(format!(
            "set {count} parameters: give at most {PARAMETERS_MAX}"
        ))),
    }
}

fn planned(p: Proposal) -> PlannedEngine {
    let migrated = !p.cluster_parameters.lines.is_empty() || !p.session_parameters.lines.is_empty();
    let parameters = match (&p.from, &p.to) {
        (Some(from), Some(to)) if !migrated => differences(from, to),
        _ => {
            let lines = |lines: Vec<_>, of| {
                lines
                    .into_iter()
                    .map(move |line| ParameterFate::of(line, of))
            };
            lines(p.cluster_parameters.lines, "cluster")
                .chain(lines(p.session_parameters.lines, "session"))
                .collect()
        }
    };
    PlannedEngine {
        passed: p.preflight.passed(),
        preflight: OrderJudgement {
            blockers: p.preflight.blockers.into_iter().map(Note::from).collect(),
            warnings: p.preflight.warnings.into_iter().map(Note::from).collect(),
        },
        plan: p.plan.into(),
        from: p.from.map(|setup| setup.launch.version),
        to: p.to.map(|setup| setup.launch.version),
        beside: p.beside,
        restores: p.restores.map(|id| id.to_string()),
        parameters,
    }
}

/// What becomes of parameters where they are replaced as a whole: by a rollback,
/// or by the user.
fn differences(from: &Setup, to: &Setup) -> Vec<ParameterFate> {
    let mut out = Vec::new();
    for (of, before, after, in_force) in [
        (
            "cluster",
            &from.config.cluster,
            &to.config.cluster,
            &to.launch.cluster,
        ),
        (
            "session",
            &from.config.session,
            &to.config.session,
            &to.launch.session,
        ),
    ] {
        let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
        names.sort();
        names.dedup();
        for name in names {
            let (was, is) = (before.get(name), after.get(name));
            let fate = match (was, is) {
                (Some(was), Some(is)) if was == is => "kept",
                (_, Some(_)) => "changed",
                (_, None) if in_force.contains_key(name) => "defaulted",
                (_, None) => "dropped",
            };
            out.push(ParameterFate {
                name: name.clone(),
                of: of.to_owned(),
                fate: fate.to_owned(),
                before: was.cloned(),
                after: in_force.get(name).cloned(),
            });
        }
    }
    out
}
