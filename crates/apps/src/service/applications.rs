//! Applications come, are found, described and labelled; their versions.

use backout_core::ids::{AccountId, ApplicationId};
use backout_store::rows::Page;
use backout_workloads::{Phase, Status};

use super::namespaces::namespace_of;
use super::{
    Apps, Asked, Caller, How, NewRelease, Proposal, Wanted, application_of, check_name, check_text,
    not_leaving, version_of,
};
use crate::model::{Application, ApplicationState, Artifact, Namespace, Tag, Version};
use crate::persistence::{self, ApplicationFilter};
use crate::refusal::{QuotaOf, Refusal};
use crate::service::DEFAULT_NAMESPACE;

/// How many applications an owner may have: each is looked at every some
/// seconds.
pub const APPLICATIONS_MAX: u64 = 1000;

/// The longest name of an application, in characters.
pub const NAME_MAX_CHARS: usize = 63;

/// The longest description of anything, in characters.
pub const DESCRIPTION_MAX_CHARS: usize = 1024;

/// How many labels an application may have.
pub const TAGS_MAX: usize = 20;

/// The longest key and value of a label, in characters.
const TAG_MAX_CHARS: usize = 128;

/// How many applications one call labels.
const TAGGED_MAX: usize = 50;

/// An application to be.
#[derive(Clone, Debug, PartialEq)]
pub struct NewApplication {
    /// What people call it.
    pub name: String,
    /// The namespace it is in; none, the one that everybody has.
    pub namespace: Option<String>,
    /// Free text.
    pub description: String,
    /// Labels.
    pub tags: Vec<Tag>,
    /// What is deployed to it at once; none, nothing yet.
    pub release: Option<NewRelease>,
    /// Free text of the first version.
    pub label: String,
}

/// An application that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// Its id.
    pub application: ApplicationId,
    /// The order of its first version; none where there is none.
    pub asked: Option<Asked>,
}

/// The replicas of an application that run one version.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// The version.
    pub version: Version,
    /// How many there are to be.
    pub wanted: u32,
    /// How many run.
    pub running: u32,
}

/// What the replicas of an application take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The processor time they may take together, in thousandths of one
    /// processor.
    pub cpu_millis: u64,
    /// The memory they take together now, in bytes.
    pub memory_bytes: u64,
}

impl Apps {
    /// Makes an application, and deploys its first version where one is given.
    ///
    /// # Errors
    /// [`Refusal::NamespaceNotFound`], [`Refusal::Taken`], [`Refusal::Quota`];
    /// as [`Apps::order`] for a deploy.
    pub async fn create(
        &self,
        caller: &Caller,
        new: NewApplication,
        how: &How,
    ) -> Result<Created, Refusal> {
        if let Some(asked) = self.asked_before(caller).await? {
            return Ok(Created {
                application: asked.application.clone(),
                asked: Some(asked),
            });
        }
        let application = self.application_row(caller, &new)?;
        let id = application.id.clone();
        let Some(release) = new.release else {
            self.store.write(move |tx| insert(tx, &application)).await?;
            return Ok(Created {
                application: id,
                asked: None,
            });
        };
        let wanted = Wanted::Deploy {
            release: Box::new(release),
            label: new.label,
        };
        let asked = self.first_order(caller, application, wanted, how).await?;
        Ok(Created {
            application: id,
            asked: Some(asked),
        })
    }

    /// What making an application would do.
    ///
    /// # Errors
    /// What made it impossible to look; what stands in the way is in the
    /// proposal.
    pub async fn propose_create(
        &self,
        caller: &Caller,
        new: NewApplication,
        how: &How,
    ) -> Result<Proposal, Refusal> {
        let application = self.application_row(caller, &new)?;
        let release = new.release.ok_or(Refusal::Empty("release"))?;
        let wanted = Wanted::Deploy {
            release: Box::new(release),
            label: new.label,
        };
        self.propose_first(caller, application, wanted, how).await
    }

    fn application_row(
        &self,
        caller: &Caller,
        new: &NewApplication,
    ) -> Result<Application, Refusal> {
        check_name("name", &new.name, NAME_MAX_CHARS)?;
        check_text("description", &new.description, DESCRIPTION_MAX_CHARS)?;
        check_tags(&new.tags)?;
        let namespace = new.namespace.clone();
        Ok(Application {
            id: ApplicationId::random(self.entropy.as_ref()),
            owner: caller.owner.clone(),
            namespace: namespace.unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned()),
            name: new.name.clone(),
            description: new.description.clone(),
            node: self.node.clone(),
            state: ApplicationState::Stopped,
            replicas: 0,
            version: None,
            tags: new.tags.clone(),
            created: self.clock.now(),
        })
    }

    /// An application by its id, its name where that is the owner's only one of
    /// that name, or `NAMESPACE/NAME`.
    ///
    /// # Errors
    /// [`Refusal::ApplicationNotFound`], [`Refusal::Parameter`],
    /// [`Refusal::Store`].
    pub async fn get(&self, owner: &AccountId, application: &str) -> Result<Application, Refusal> {
        let (owner, wanted) = (owner.clone(), application.to_owned());
        self.store
            .read(move |tx| application_of(tx, &owner, &wanted))
            .await
    }

    /// One page of applications, newest first, and how many match.
    ///
    /// # Errors
    /// [`Refusal::Store`].
    pub async fn list(
        &self,
        owner: &AccountId,
        filter: ApplicationFilter,
        page: Page,
    ) -> Result<(u64, Vec<Application>), Refusal> {
        let owner = owner.clone();
        self.store
            .read(move |tx| Ok(persistence::list_applications(tx, &owner, &filter, page)?))
            .await
    }

    /// Describes an application anew.
    ///
    /// # Errors
    /// [`Refusal::ApplicationNotFound`], [`Refusal::Parameter`],
    /// [`Refusal::Store`].
    pub async fn describe(
        &self,
        caller: &Caller,
        application: &str,
        description: &str,
    ) -> Result<Application, Refusal> {
        check_text("description", description, DESCRIPTION_MAX_CHARS)?;
        let (owner, wanted) = (caller.owner.clone(), application.to_owned());
        let description = description.to_owned();
        self.store
            .write(move |tx| {
                let mut application = application_of(tx, &owner, &wanted)?;
                not_leaving(&application, "describe")?;
                persistence::set_application_description(tx, &application.id, &description)?;
                application.description = description;
                Ok(application)
            })
            .await
    }

    /// Gives applications these labels, beside those they have; a label of the
    /// same key is replaced. All are labelled, or none.
    ///
    /// # Errors
    /// [`Refusal::ApplicationNotFound`], [`Refusal::Quota`],
    /// [`Refusal::Parameter`], [`Refusal::Store`].
    pub async fn tag(
        &self,
        caller: &Caller,
        applications: &[String],
        tags: &[Tag],
    ) -> Result<(), Refusal> {
        check_tags(tags)?;
        if tags.is_empty() {
            return Err(Refusal::Empty("labels"));
        }
        let tags = tags.to_vec();
        self.retag(caller, applications, move |has| {
            has.retain(|tag| tags.iter().all(|new| new.key != tag.key));
            has.extend(tags.iter().cloned());
        })
        .await
    }

    /// Takes the labels of these keys from applications; all of them without
    /// keys.
    ///
    /// # Errors
    /// As [`Apps::tag`].
    pub async fn untag(
        &self,
        caller: &Caller,
        applications: &[String],
        keys: Option<&[String]>,
    ) -> Result<(), Refusal> {
        let keys = keys.map(<[String]>::to_vec);
        self.retag(caller, applications, move |has| match &keys {
            Some(keys) => has.retain(|tag| !keys.contains(&tag.key)),
            None => has.clear(),
        })
        .await
    }

    async fn retag(
        &self,
        caller: &Caller,
        applications: &[String],
        change: impl Fn(&mut Vec<Tag>) + Send + 'static,
    ) -> Result<(), Refusal> {
        if applications.is_empty() {
            return Err(Refusal::Empty("applications"));
        }
        if applications.len() > TAGGED_MAX {
            return Err(Refusal::Parameter {
                name: "applications",
                why: format!("give at most {TAGGED_MAX} at once"),
            });
        }
        let (owner, wanted) = (caller.owner.clone(), applications.to_vec());
        self.store
            .write(move |tx| {
                for wanted in &wanted {
                    let application = application_of(tx, &owner, wanted)?;
                    let mut tags = application.tags;
                    change(&mut tags);
                    if tags.len() > TAGS_MAX {
                        return Err(Refusal::Quota {
                            of: QuotaOf::Tags,
                            most: TAGS_MAX as u64,
                        });
                    }
                    persistence::set_application_tags(tx, &application.id, &tags)?;
                }
                Ok(())
            })
            .await
    }

    /// One page of an application's versions, newest first, and how many there
    /// are.
    ///
    /// # Errors
    /// [`Refusal::ApplicationNotFound`], [`Refusal::Store`].
    pub async fn versions(
        &self,
        owner: &AccountId,
        application: &str,
        page: Page,
    ) -> Result<(u64, Vec<Version>), Refusal> {
        let (owner, wanted) = (owner.clone(), application.to_owned());
        self.store
            .read(move |tx| {
                let application = application_of(tx, &owner, &wanted)?;
                Ok(persistence::list_versions(tx, &application.id, page)?)
            })
            .await
    }

    /// A version of an application by its id, its number (`3`, `v3`) or its
    /// label; without any, the one it was deployed or taken back to last.
    ///
    /// # Errors
    /// [`Refusal::ApplicationNotFound`], [`Refusal::VersionNotFound`],
    /// [`Refusal::NotDeployed`], [`Refusal::Store`].
    pub async fn version_of(
        &self,
        owner: &AccountId,
        application: &str,
        version: Option<&str>,
    ) -> Result<Version, Refusal> {
        let (owner, wanted) = (owner.clone(), application.to_owned());
        let version = version.map(str::to_owned);
        self.store
            .read(move |tx| {
                let application = application_of(tx, &owner, &wanted)?;
                let present = application.version.map(|v| v.as_str().to_owned());
                let wanted = version
                    .or(present)
                    .ok_or_else(|| Refusal::NotDeployed(application.id.clone()))?;
                version_of(tx, &application.id, &wanted)
            })
            .await
    }

    /// Marks a version as one not to go back to, with the reason, or takes that
    /// off.
    ///
    /// # Errors
    /// [`Refusal::ApplicationNotFound`], [`Refusal::VersionNotFound`],
    /// [`Refusal::Parameter`], [`Refusal::Store`].
    pub async fn bar(
        &self,
        caller: &Caller,
        application: &str,
        version: &str,
        why: Option<&str>,
    ) -> Result<Version, Refusal> {
        if let Some(why) = why {
            check_text("reason", why, DESCRIPTION_MAX_CHARS)?;
            if why.trim().is_empty() {
                return Err(Refusal::Empty("reason"));
            }
        }
        let (owner, wanted) = (caller.owner.clone(), application.to_owned());
        let (version, why) = (version.to_owned(), why.map(str::to_owned));
        self.store
            .write(move |tx| {
                let application = application_of(tx, &owner, &wanted)?;
                let mut version = version_of(tx, &application.id, &version)?;
                persistence::set_barred(tx, &application.id, &version.id, why.as_deref())?;
                version.barred = why;
                Ok(version)
            })
            .await
    }

    /// The images of an application's versions that are kept, newest first,
    /// each with the newest version that has it.
    ///
    /// # Errors
    /// [`Refusal::ApplicationNotFound`], [`Refusal::Store`].
    pub async fn images(
        &self,
        owner: &AccountId,
        application: &str,
    ) -> Result<Vec<(String, Version)>, Refusal> {
        let all = Page {
            offset: 0,
            limit: crate::retention::VERSIONS_KEPT as u64,
        };
        let (_, versions) = self.versions(owner, application, all).await?;
        let mut found: Vec<(String, Version)> = Vec::new();
        for version in versions {
            let Artifact::Image { name, .. } = &version.release.artifact else {
                continue;
            };
            if found.iter().all(|(known, _)| known != name) {
                found.push((name.clone(), version));
            }
        }
        Ok(found)
    }

    /// The replicas of an application by the version that they run, the present
    /// version first.
    ///
    /// # Errors
    /// [`Refusal::ApplicationNotFound`], [`Refusal::Store`].
    pub async fn groups(
        &self,
        owner: &AccountId,
        application: &str,
    ) -> Result<Vec<Group>, Refusal> {
        let application = self.get(owner, application).await?;
        let replicas = self.replicas(owner, application.id.as_str()).await?;
        let mut groups: Vec<Group> = Vec::new();
        if let Some(version) = &application.version {
            groups.push(Group {
                version: self
                    .version_of(owner, application.id.as_str(), Some(version.as_str()))
                    .await?,
                wanted: match application.state {
                    ApplicationState::Running => application.replicas,
                    ApplicationState::Stopped | ApplicationState::Deleting => 0,
                },
                running: 0,
            });
        }
        for replica in replicas {
            let runs = replica.status.as_ref().is_some_and(|s| s.phase.runs());
            let known = groups
                .iter_mut()
                .find(|g| g.version.id == replica.replica.version);
            match known {
                Some(group) => group.running += u32::from(runs),
                None => groups.push(Group {
                    version: self
                        .version_of(
                            owner,
                            application.id.as_str(),
                            Some(replica.replica.version.as_str()),
                        )
                        .await?,
                    wanted: 0,
                    running: u32::from(runs),
                }),
            }
        }
        Ok(groups)
    }

    /// What the replicas of an application take, as far as their driver counts
    /// it.
    ///
    /// # Errors
    /// [`Refusal::ApplicationNotFound`], [`Refusal::Store`].
    pub async fn usage(&self, owner: &AccountId, application: &str) -> Result<Usage, Refusal> {
        let groups = self.groups(owner, application).await?;
        let replicas = self.replicas(owner, application).await?;
        let memory = |s: &Status| s.memory_bytes.unwrap_or(0);
        Ok(Usage {
            cpu_millis: groups
                .iter()
                .map(|g| {
                    u64::from(g.version.release.cpu_millis.unwrap_or(0)) * u64::from(g.running)
                })
                .sum(),
            memory_bytes: replicas
                .iter()
                .filter_map(|r| r.status.as_ref())
                .map(memory)
                .sum(),
        })
    }
}

/// Whether a replica takes requests, by its status.
pub(crate) fn takes_requests(status: &Status) -> bool {
    status.phase == Phase::Ready
}

/// Adds an application to a namespace that is there.
pub(super) fn insert(
    tx: &mut dyn backout_store::Tx,
    application: &Application,
) -> Result<(), Refusal> {
    room_for(tx, application)?;
    let namespace = namespace_of(tx, &application.owner, &application.namespace)?;
    // The one that everybody has is written down when it is used first.
    persistence::insert_namespace(
        tx,
        &Namespace {
            created: application.created,
            ..namespace
        },
    )?;
    match persistence::insert_application(tx, application)? {
        true => Ok(()),
        false => Err(taken(application)),
    }
}

/// Refuses an application whose name is taken, whose namespace is not there, or
/// that would be one too many.
pub(super) fn room_for(
    tx: &mut dyn backout_store::Tx,
    application: &Application,
) -> Result<(), Refusal> {
    let Application {
        owner,
        namespace,
        name,
        ..
    } = application;
    namespace_of(tx, owner, namespace)?;
    if persistence::application_in(tx, owner, namespace, name)?.is_some() {
        return Err(taken(application));
    }
    if persistence::count_applications(tx, owner)? >= APPLICATIONS_MAX {
        return Err(Refusal::Quota {
            of: QuotaOf::Applications,
            most: APPLICATIONS_MAX,
        });
    }
    Ok(())
}

fn taken(application: &Application) -> Refusal {
    Refusal::Taken(application.name.clone(), "application of that namespace")
}

fn check_tags(tags: &[Tag]) -> Result<(), Refusal> {
    if tags.len() > TAGS_MAX {
        return Err(Refusal::Quota {
            of: QuotaOf::Tags,
            most: TAGS_MAX as u64,
        });
    }
    for (index, tag) in tags.iter().enumerate() {
        if tag.key.is_empty() {
            return Err(Refusal::Empty("key of a label"));
        }
        check_text("key of a label", &tag.key, TAG_MAX_CHARS)?;
        check_text("value of a label", &tag.value, TAG_MAX_CHARS)?;
        if tags.iter().take(index).any(|other| other.key == tag.key) {
            return Err(Refusal::Parameter {
                name: "labels",
                why: format!("{:?} is there twice; give it once", tag.key),
            });
        }
    }
    Ok(())
}
