//! Parameters, descriptions, and the settings that are only kept.

use backout_core::ids::{AccountId, EngineId};

use super::facts::{engine_by_id, find_image, image_by_id};
use super::{Asked, Caller, Engines, changes::check_description, engine_of};
use crate::catalogue::Image;
use crate::model::{Config, Engine, EngineState, Pairs, Wanted};
use crate::parameters::{self, BadValue, Spec};
use crate::persistence::{self, EngineFilter, EngineOrder, Page};
use crate::planning;
use crate::refusal::Refusal;

/// The settings of one engine.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigOf {
    /// The engine.
    pub engine: EngineId,
    /// Its settings.
    pub config: Config,
}

/// A parameter of a version.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// What it is.
    pub spec: Spec,
    /// Whether it is a cluster parameter; else it is of sessions.
    pub cluster: bool,
}

/// Where results of statements are kept: only noted here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// Whether they are kept by the house.
    pub managed: bool,
    /// Where else.
    pub path: String,
}

/// The names under which a [`Storage`] is kept.
const STORAGE: (&str, &str) = ("storage.managed", "storage.path");

/// The longest path of results, in bytes.
const PATH_MAX_BYTES: usize = 1024;

impl Engines {
    /// Replaces the settings of an engine; it is started anew with them, beside
    /// the instance that answers.
    ///
    /// # Errors
    /// As [`Engines::change`]; [`Refusal::Parameter`].
    pub async fn set_config(
        &self,
        caller: &Caller,
        id_or_name: &str,
        config: Config,
    ) -> Result<Asked, Refusal> {
        let wanted = Wanted::Modify {
            config: Some(config),
            size: None,
        };
        self.change(caller, id_or_name, wanted).await
    }

    /// As [`Engines::set_config`], with pairs that are cluster or session
    /// parameters as the engine's version has them; those that are not among
    /// them are not set any more.
    ///
    /// # Errors
    /// As [`Engines::set_config`]; [`Refusal::ParameterTwice`].
    pub async fn set_pairs(
        &self,
        caller: &Caller,
        id_or_name: &str,
        pairs: &[(String, String)],
        template: Option<serde_json::Value>,
    ) -> Result<Asked, Refusal> {
        let (owner, id) = (caller.owner.clone(), id_or_name.to_owned());
        let image = self
            .store
            .read(move |tx| {
                let engine = engine_of(tx, &owner, &id)?;
                planning::has_versions(&engine)?;
                persistence::config(tx, &engine.id)?;
                let uses = persistence::uses(tx, &engine.id)?;
                image_by_id(tx, &owner, uses.runs())
            })
            .await?;
        let mut config = split(&image, pairs)?;
        config.template = template;
        self.set_config(caller, id_or_name, config).await
    }

    /// Reads pairs as settings for a version that is not in use yet: see
    /// [`Engines::set_pairs`].
    ///
    /// # Errors
    /// [`Refusal::ParameterTwice`], [`Refusal::ImageNotFound`] and the other
    /// refusals about versions.
    pub async fn config_of_pairs(
        &self,
        owner: &AccountId,
        image: &str,
        pairs: &[(String, String)],
    ) -> Result<Config, Refusal> {
        let (owner, image) = (owner.clone(), image.to_owned());
        let target = self
            .store
            .read(move |tx| super::facts::target_of(tx, &owner, &image))
            .await?;
        split(&target.image, pairs)
    }

    /// Which of these pairs a version does not take, and why; empty when all are
    /// fine.
    ///
    /// # Errors
    /// [`Refusal::ParameterTwice`], [`Refusal::ImageNotFound`],
    /// [`Refusal::Image`] and the other refusals about versions.
    pub async fn check_pairs(
        &self,
        owner: &AccountId,
        image: &str,
        pairs: &[(String, String)],
    ) -> Result<Vec<BadValue>, Refusal> {
        let (owner, image) = (owner.clone(), image.to_owned());
        let image = self
            .store
            .read(move |tx| find_image(tx, &owner, &image))
            .await?;
        let config = split(&image, pairs)?;
        let mut bad = parameters::check_all(&image.cluster, &config.cluster);
        bad.extend(parameters::check_all(&image.session, &config.session));
        Ok(bad)
    }

    /// One page of the settings of engines, and how many match.
    ///
    /// # Errors
    /// [`Refusal::Record`], [`Refusal::Store`].
    pub async fn configs(
        &self,
        owner: &AccountId,
        filter: EngineFilter,
        order: (EngineOrder, bool),
        page: Page,
    ) -> Result<(u64, Vec<ConfigOf>), Refusal> {
        let owner = owner.clone();
        self.store
            .read(move |tx| {
                let (total, engines) = persistence::list_engines(tx, &owner, &filter, order, page)?;
                let configs = engines
                    .into_iter()
                    .map(|engine| {
                        Ok(ConfigOf {
                            config: persistence::config(tx, &engine.id)?,
                            engine: engine.id,
                        })
                    })
                    .collect::<Result<_, Refusal>>()?;
                Ok((total, configs))
            })
            .await
    }

    /// The version that an engine runs, and its parameters: those of sessions,
    /// then those of the cluster.
    ///
    /// # Errors
    /// [`Refusal::EngineNotFound`], [`Refusal::EngineNotUnique`],
    /// [`Refusal::Record`], [`Refusal::Image`], [`Refusal::Store`].
    pub async fn parameters(
        &self,
        owner: &AccountId,
        id_or_name: &str,
    ) -> Result<(Engine, Image, Vec<Parameter>), Refusal> {
        let (owner, id) = (owner.clone(), id_or_name.to_owned());
        self.store
            .read(move |tx| {
                let engine = engine_of(tx, &owner, &id)?;
                let uses = persistence::uses(tx, &engine.id)?;
                let image = image_by_id(tx, &owner, uses.runs())?;
                let of = |specs: &parameters::Specs, cluster| {
                    let one = move |(name, spec): (&String, &Spec)| Parameter {
                        name: name.clone(),
                        spec: spec.clone(),
                        cluster,
                    };
                    specs.iter().map(one).collect::<Vec<_>>()
                };
                let mut all = of(&image.session, false);
                all.extend(of(&image.cluster, true));
                Ok((engine, image, all))
            })
            .await
    }

    /// Changes the description of an engine.
    ///
    /// # Errors
    /// [`Refusal::EngineNotFound`], [`Refusal::EngineNotUnique`],
    /// [`Refusal::Invalid`], [`Refusal::Store`].
    pub async fn set_description(
        &self,
        owner: &AccountId,
        id_or_name: &str,
        text: &str,
    ) -> Result<(), Refusal> {
        check_description(text)?;
        let (owner, id, text) = (owner.clone(), id_or_name.to_owned(), text.to_owned());
        let now = self.clock.now();
        self.store
            .write(move |tx| {
                let mut engine = engine_of(tx, &owner, &id)?;
                engine.description = text;
                engine.updated = now;
                Ok(persistence::update_engine(tx, &engine)?)
            })
            .await
    }

    /// The engines whose storage of results would change: those that run, have
    /// versions, and have it otherwise now.
    ///
    /// # Errors
    /// [`Refusal::Invalid`], [`Refusal::Store`].
    pub async fn updatable(
        &self,
        owner: &AccountId,
        storage: &Storage,
    ) -> Result<Vec<Engine>, Refusal> {
        check_storage(storage)?;
        let filter = EngineFilter {
            states: vec![EngineState::Running],
            ..EngineFilter::default()
        };
        // As many as an account may have.
        let page = Page {
            offset: 0,
            limit: super::ENGINES_MAX,
        };
        let order = (EngineOrder::Created, false);
        let (_, mut engines) = self.list(owner, filter, order, page).await?;
        engines.retain(|e| planning::has_versions(e).is_ok() && storage_of(e) != *storage);
        Ok(engines)
    }

    /// Notes where engines keep the results of statements: all of them, or none.
    ///
    /// # Errors
    /// [`Refusal::Invalid`], [`Refusal::EngineNotFound`], [`Refusal::Fixed`],
    /// [`Refusal::State`], [`Refusal::Record`], [`Refusal::Store`].
    pub async fn set_storage(
        &self,
        owner: &AccountId,
        ids: &[String],
        storage: &Storage,
    ) -> Result<(), Refusal> {
        check_storage(storage)?;
        let (owner, ids, storage) = (owner.clone(), ids.to_vec(), storage.clone());
        let now = self.clock.now();
        self.store
            .write(move |tx| {
                for id in &ids {
                    let found = engine_of(tx, &owner, id)?;
                    planning::has_versions(&found)?;
                    planning::sound(&found)?;
                    persistence::config(tx, &found.id)?;
                    if found.state != EngineState::Running {
                        return Err(Refusal::State {
                            action: "modify",
                            engine: found.id,
                            state: found.state,
                            hint: "it must run",
                        });
                    }
                    let mut engine = engine_by_id(tx, &found.id)?;
                    engine
                        .kept
                        .insert(STORAGE.0.to_owned(), storage.managed.into());
                    engine
                        .kept
                        .insert(STORAGE.1.to_owned(), storage.path.clone().into());
                    engine.updated = now;
                    persistence::update_engine(tx, &engine)?;
                }
                Ok::<_, Refusal>(())
            })
            .await
    }
}

/// Where an engine keeps the results of statements.
#[must_use]
pub fn storage_of(engine: &Engine) -> Storage {
    let text = |v: &serde_json::Value| v.as_str().map(str::to_owned);
    Storage {
        managed: engine
            .kept
            .get(STORAGE.0)
            .and_then(serde_json::Value::as_bool)
            .unwrap_or(false),
        path: engine
            .kept
            .get(STORAGE.1)
            .and_then(text)
            .unwrap_or_default(),
    }
}

fn check_storage(storage: &Storage) -> Result<(), Refusal> {
    let path = &storage.path;
    if path.len() > PATH_MAX_BYTES || path.chars().any(char::is_control) {
        return Err(Refusal::Invalid(format!(
            "keep results at {path:?}: give at most {PATH_MAX_BYTES} bytes, and no control characters"
        )));
    }
    Ok(())
}

/// Pairs as settings: what the version knows as a session parameter is one, and
/// all else is of the cluster, where it is met when it is none.
fn split(image: &Image, pairs: &[(String, String)]) -> Result<Config, Refusal> {
    let mut config = Config::default();
    for (name, value) in pairs {
        let of_session = image.session.contains_key(name) && !image.cluster.contains_key(name);
        let set: &mut Pairs = match of_session {
            true => &mut config.session,
            false => &mut config.cluster,
        };
        if set.insert(name.clone(), value.clone()).is_some() {
            return Err(Refusal::ParameterTwice(name.clone()));
        }
    }
    Ok(config)
}
