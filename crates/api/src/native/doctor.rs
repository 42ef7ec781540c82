//! What this host can do, and what is missing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use backout_apps::model::ApplicationState;
use backout_apps::persistence::ApplicationFilter;
use backout_core::outcome::Outcome;
use backout_core::size::Size;
use backout_disks::Capabilities;
use backout_engines::model::{Config, Engine, EngineState, Kind, Launch};
use backout_engines::persistence::{EngineFilter, EngineOrder};
use backout_engines::runtime;
use backout_engines::service::{ImageFilter, ImageOrder};
use backout_jobs::Filter;
use backout_servers::persistence::{Page, ServerFilter};
use backout_store::Dialect;

use super::dto::{Check, Doctor, Health};
use super::{Call, Native, NativeError, Result, action};

/// How many folders are tried: each costs a few small files.
const FOLDERS_MAX: usize = 16;
/// How many servers' folders are looked at to find those.
const SERVERS_MAX: u64 = 100;
/// How many applications' gateways are looked at.
const APPS_MAX: u64 = 100;
/// How many data engines are looked at.
const ENGINES_MAX: u64 = 200;
/// How many held jobs are named.
const HELD_SHOWN: usize = 5;
/// Less free space than this part of a file system is worth a warning: a
/// rollback by copy needs room for a second disk.
const LOW_SPACE_PERCENT: u64 = 10;

impl Native {
    /// `GET /v1/doctor`. Looks at the data folder and the folders of the
    /// caller's disks; `folders` that are asked for come on top, for `admin`
    /// only: to look is to write a small file there.
    ///
    /// # Errors
    /// A refusal.
    pub async fn doctor(&self, call: &Call, folders: &[String]) -> Result<Doctor> {
        self.admit(call, action::DOCTOR)?;
        if !folders.is_empty() && !call.principal.is_admin {
            return Err(NativeError::denied(
                "look at a folder: only admin may name one, leave it out",
            ));
        }
        if folders.len() > FOLDERS_MAX {
            return Err(NativeError::malformed(format!(
                "look at {} folders: give at most {FOLDERS_MAX}",
                folders.len()
            )));
        }
        let mut wanted: BTreeSet<PathBuf> = folders.iter().map(PathBuf::from).collect();
        if let Some(relative) = wanted.iter().find(|f| !f.is_absolute()) {
            return Err(NativeError::malformed(format!(
                "look at {}: give an absolute path",
                relative.display()
            )));
        }
        let (_, servers) = self
            .parts
            .servers
            .list(
                &call.principal.owner,
                ServerFilter::default(),
                Page {
                    offset: 0,
                    limit: SERVERS_MAX,
                },
            )
            .await?;
        for server in servers.iter().filter(|s| s.node == self.parts.node) {
            if let Some(folder) = server.disk.head.parent()
                && wanted.len() < FOLDERS_MAX
            {
                wanted.insert(folder.to_owned());
            }
        }
        let data = self.parts.data.clone();
        let mut checks = vec![
            self.check_store().await,
            check_kernel(),
            check_node(&self.parts.node),
        ];
        let looked = tokio::task::spawn_blocking(move || {
            let mut out = Vec::new();
            let mut qemu_img = None;
            out.extend(check_machines(&backout_machines::capabilities(Some(
                &data.join("machines"),
            ))));
            wanted.insert(data);
            for folder in wanted {
                match backout_disks::probe(&folder) {
                    Ok(found) => {
                        qemu_img = qemu_img.or_else(|| found.qemu_img.clone());
                        out.push(check_folder(&folder, &found));
                        out.extend(check_space(&folder, &found));
                    }
                    Err(e) => out.push(Check {
                        name: format!("folder {}", folder.display()),
                        status: Health::Fail,
                        message: e.to_string(),
                        fix: Some(
                            "make the folder, or give Backout the right to write there".into(),
                        ),
                    }),
                }
            }
            out.push(check_qemu_img(qemu_img));
            out
        })
        .await
        .map_err(|e| {
            tracing::error!(error = %e, "looking at folders panicked");
            NativeError::internal("look at the folders")
        })?;
        checks.extend(looked);
        checks.push(self.check_held(call).await?);
        checks.extend(self.check_databases(call).await?);
        checks.extend(self.check_apps(call).await?);
        checks.extend(self.check_engine_images(call).await?);
        checks.extend(self.check_engines(call).await?);
        Ok(Doctor {
            version: self.parts.version.clone(),
            node: self.parts.node.clone(),
            healthy: checks.iter().all(|c| c.status != Health::Fail),
            checks,
        })
    }

    /// Whether jobs of the caller wait for somebody.
    async fn check_held(&self, call: &Call) -> Result<Check> {
        let filter = Filter {
            account: Some(call.principal.owner.clone()),
            outcome: Some(Outcome::Held),
            ..Filter::default()
        };
        let found = self.parts.jobs.list(filter, None, HELD_SHOWN).await?;
        let Some(first) = found.jobs.first() else {
            return Ok(ok("held jobs", "none".to_owned()));
        };
        let ids: Vec<String> = found.jobs.iter().map(|j| j.id.to_string()).collect();
        let more = if found.next.is_some() { ", ..." } else { "" };
        Ok(Check {
            name: "held jobs".into(),
            status: Health::Warn,
            message: format!(
                "{}{more}: they keep what they work on until somebody acts",
                ids.join(", ")
            ),
            fix: Some(format!(
                "see what each waits for with: backout jobs show {}; list them with: backout jobs list --state held",
                first.id
            )),
        })
    }

    /// What cannot be done by itself for databases of the caller on this host,
    /// above all: follow their history.
    async fn check_databases(&self, call: &Call) -> Result<Vec<Check>> {
        let troubles = self.parts.databases.troubles(&call.principal.owner).await?;
        let checks = troubles.into_iter().map(|t| Check {
            name: format!("database {}: {}", t.database, t.what),
            status: Health::Warn,
            message: format!("failed to {}", t.why),
            fix: Some(format!(
                "see what stands in the way with: backout databases doctor {}",
                t.database
            )),
        });
        Ok(checks.collect())
    }

    /// What runs applications on this host, and which gateways of the caller's
    /// applications do not run though they should.
    async fn check_apps(&self, call: &Call) -> Result<Vec<Check>> {
        let apps = &self.parts.apps;
        let mut checks: Vec<Check> = apps
            .doctor()
            .await?
            .into_iter()
            .map(|found| Check {
                name: format!("applications: {}", found.what),
                status: match found.fine {
                    true => Health::Ok,
                    false => Health::Warn,
                },
                message: found.text,
                fix: None,
            })
            .collect();
        let filter = ApplicationFilter {
            states: vec![ApplicationState::Running],
            ..ApplicationFilter::default()
        };
        let page = Page {
            offset: 0,
            limit: APPS_MAX,
        };
        let (_, running) = apps.list(&call.principal.owner, filter, page).await?;
        let mut reached = 0;
        for app in running.iter().filter(|a| a.node == self.parts.node) {
            let version = apps
                .version_of(&call.principal.owner, app.id.as_str(), None)
                .await;
            if !version.is_ok_and(|v| v.release.port.is_some()) {
                continue;
            }
            reached += 1;
            let (runtime, id) = (apps.runtime().clone(), app.id.clone());
            let kept = tokio::task::spawn_blocking(move || runtime.gateway(&id)?.is_kept());
            let why = match kept.await {
                Ok(Ok(true)) => continue,
                Ok(Ok(false)) => "its process does not run".to_owned(),
                Ok(Err(e)) => e.to_string(),
                Err(e) => format!("to look at it panicked ({e})"),
            };
            checks.push(Check {
                name: format!("gateway of application {}", app.name),
                status: Health::Warn,
                message: format!("{why}: nobody reaches the application on its port"),
                fix: Some(format!(
                    "it is started again within a minute; if it is not, see: backout apps events {}",
                    app.name
                )),
            });
        }
        if reached > 0 && checks.iter().all(|c| !c.name.starts_with("gateway")) {
            checks.push(ok("gateways", format!("all {reached} run")));
        }
        Ok(checks)
    }

    /// Which versions of data engines cannot run on this host, and what they need.
    async fn check_engine_images(&self, call: &Call) -> Result<Vec<Check>> {
        let order = (ImageOrder::Inserted, true);
        let listed = self
            .parts
            .engines
            .images(&call.principal.owner, ImageFilter::default(), order)
            .await?;
        let mut checks = Vec::new();
        let mut launches = Vec::new();
        for version in listed {
            match version.image {
                Ok(image) if image.command.is_empty() || image.online().is_err() => {}
                Ok(image) => launches.push((image.kind, image.launch(&Config::default()))),
                Err(damage) => checks.push(Check {
                    name: format!("engine image {}", version.version),
                    status: Health::Warn,
                    message: format!("no engine can run it: {damage}"),
                    fix: Some(
                        "correct the entry, and add it again with: backout engines image add FILE"
                            .into(),
                    ),
                }),
            }
        }
        if launches.is_empty() {
            return Ok(checks);
        }
        let looked = tokio::task::spawn_blocking(move || check_launches(&launches)).await;
        checks.extend(looked.map_err(|e| {
            tracing::error!(error = %e, "looking at programs of engines panicked");
            NativeError::internal("look at the programs of data engines")
        })?);
        Ok(checks)
    }

    /// Which endpoints of the caller's engines do not answer though they should.
    async fn check_engines(&self, call: &Call) -> Result<Vec<Check>> {
        let filter = EngineFilter {
            states: vec![EngineState::Running],
            ..EngineFilter::default()
        };
        let page = Page {
            offset: 0,
            limit: ENGINES_MAX,
        };
        let order = (EngineOrder::Created, false);
        let engines = &self.parts.engines;
        let (_, running) = engines
            .list(&call.principal.owner, filter, order, page)
            .await?;
        let here: Vec<_> = running
            .into_iter()
            .filter(|e| e.node == self.parts.node)
            .collect();
        if here.is_empty() {
            return Ok(Vec::new());
        }
        let (count, runtime) = (here.len(), engines.runtime().clone());
        let looked = tokio::task::spawn_blocking(move || {
            let away = |engine: &Engine| {
                let why = match runtime.gateway(&engine.id).and_then(|g| g.is_kept()) {
                    Ok(true) if engine.instance.is_some() => return None,
                    Ok(true) => "it has no instance".to_owned(),
                    Ok(false) => "the process on its endpoint does not run".to_owned(),
                    Err(e) => e.to_string(),
                };
                Some(Check {
                    name: format!("endpoint of engine {}", engine.name),
                    status: Health::Warn,
                    message: format!("{why}: nobody is answered on port {}", engine.port),
                    fix: Some(format!(
                        "it is started again within minutes; if it is not: backout engines restart {}",
                        engine.name
                    )),
                })
            };
            here.iter().filter_map(away).collect::<Vec<_>>()
        });
        let mut checks = looked.await.map_err(|e| {
            tracing::error!(error = %e, "looking at endpoints panicked");
            NativeError::internal("look at the endpoints of data engines")
        })?;
        if checks.is_empty() {
            checks.push(ok("endpoints of engines", format!("all {count} are kept")));
        }
        Ok(checks)
    }

    async fn check_store(&self) -> Check {
        let kind = match self.parts.store.dialect() {
            Dialect::Sqlite => "SQLite, on this host",
            Dialect::Postgres => "PostgreSQL",
        };
        match self.ready().await {
            Ok(()) => ok("store", format!("{kind}; it answers")),
            Err(_) => Check {
                name: "store".into(),
                status: Health::Fail,
                message: format!("{kind}; it does not answer"),
                fix: Some("see the log of the server for what the database says".into()),
            },
        }
    }
}

fn ok(name: &str, message: String) -> Check {
    Check {
        name: name.into(),
        status: Health::Ok,
        message,
        fix: None,
    }
}

/// What versions of data engines need on this host.
fn check_launches(launches: &[(Kind, Launch)]) -> Vec<Check> {
    let mut checks = Vec::new();
    for (_, launch) in launches {
        if let Some(why) = runtime::missing(launch) {
            checks.push(Check {
                name: format!("engine image {}", launch.version),
                status: Health::Warn,
                message: format!("no engine can run it here: {why}"),
                fix: None,
            });
        }
    }
    if let Some(check) = check_java(launches) {
        checks.push(check);
    }
    if checks.iter().all(|c| c.status == Health::Ok) {
        let all = format!("{} versions can run here", launches.len());
        checks.push(ok("engine images", all));
    }
    checks
}

/// Whether there is the Java that Spark and Trino run on; none when no version is
/// one of theirs, or each brings its own.
fn check_java(launches: &[(Kind, Launch)]) -> Option<Check> {
    let (_, launch) = launches.iter().find(|(kind, launch)| {
        let brings = |word: &String| word.starts_with("JAVA_HOME=");
        *kind != Kind::DuckDb && !launch.command.iter().any(brings)
    })?;
    let java = Launch {
        command: vec!["java".to_owned()],
        ..launch.clone()
    };
    Some(match runtime::missing(&java) {
        None => ok("java", "there is one, for Spark and Trino".to_owned()),
        Some(_) => Check {
            name: "java".into(),
            status: Health::Warn,
            message: format!("not installed, and {} runs on it", launch.version),
            fix: Some(
                "install default-jre-headless, or put JAVA_HOME=FOLDER into the command of the version, after env"
                    .into(),
            ),
        },
    })
}

fn check_node(node: &str) -> Check {
    ok(
        "node",
        format!("{node}; only its own workers act on its disks"),
    )
}

/// What of the kernel is relied on.
fn check_kernel() -> Check {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let release = read("/proc/sys/kernel/osrelease").trim().to_owned();
    if release.is_empty() {
        return Check {
            name: "kernel".into(),
            status: Health::Fail,
            message: "/proc is not mounted, so nobody can tell who holds a disk open, or whether a worker lives".into(),
            fix: Some("mount /proc".into()),
        };
    }
    // With hidepid, the processes of other users cannot be seen.
    let hidden = read("/proc/self/mountinfo").lines().any(|line| {
        line.contains(" /proc ")
            && (line.contains("hidepid=2") || line.contains("hidepid=invisible"))
    });
    if hidden {
        return Check {
            name: "kernel".into(),
            status: Health::Warn,
            message: format!(
                "Linux {release}; /proc hides other users' processes, so a disk held open may go unseen"
            ),
            fix: Some("run Backout as root, or mount /proc without hidepid".into()),
        };
    }
    ok(
        "kernel",
        format!("Linux {release}; open files of processes can be seen"),
    )
}

fn check_folder(folder: &Path, found: &Capabilities) -> Check {
    let name = format!("folder {}", folder.display());
    let fs = &found.filesystem;
    if found.reflink {
        return ok(
            &name,
            format!("{fs} with reflink: snapshots and rollbacks take constant time"),
        );
    }
    let (message, fix) = if found.qemu_img.is_some() {
        (
            format!(
                "{fs} without reflink: raw disks are copied, which takes time with their data; qcow2 takes constant time"
            ),
            "for constant time keep disks on XFS (made with reflink=1) or btrfs, or add them with --driver qcow2",
        )
    } else {
        (
            format!(
                "{fs} without reflink, and no qemu-img: disks are copied, which takes time with their data"
            ),
            "for constant time keep disks on XFS (made with reflink=1) or btrfs, or install qemu-utils and use --driver qcow2",
        )
    };
    Check {
        name,
        status: Health::Warn,
        message,
        fix: Some(fix.into()),
    }
}

fn check_space(folder: &Path, found: &Capabilities) -> Option<Check> {
    let low = found.free_bytes < found.total_bytes / 100 * LOW_SPACE_PERCENT;
    low.then(|| Check {
        name: format!("space in {}", folder.display()),
        status: Health::Warn,
        message: format!(
            "{} of {} are free",
            Size(found.free_bytes),
            Size(found.total_bytes)
        ),
        fix: Some("make room, or delete snapshots that are no longer needed".into()),
    })
}

fn check_qemu_img(version: Option<String>) -> Check {
    match version {
        Some(version) => ok("qemu-img", version),
        None => Check {
            name: "qemu-img".into(),
            status: Health::Warn,
            message: "not installed: the driver qcow2 cannot be used".into(),
            fix: Some("install qemu-utils".into()),
        },
    }
}

/// Which QEMU there is, and whether its guests run at the processor's speed.
fn check_machines(found: &backout_machines::Capabilities) -> Vec<Check> {
    let Some(version) = &found.qemu else {
        return vec![Check {
            name: "machines".into(),
            status: Health::Warn,
            message: found.qemu_why.clone().unwrap_or_default(),
            fix: Some(
                "servers with a machine of their own need QEMU: install qemu-system-x86".into(),
            ),
        }];
    };
    let acceleration = match &found.kvm_why {
        None => ok("acceleration", "KVM; a trial guest ran on it".into()),
        Some(why) => Check {
            name: "acceleration".into(),
            status: Health::Warn,
            message: format!("machines are emulated by software: {why}"),
            fix: Some(
                "machines are much faster on a host with hardware virtualisation whose /dev/kvm works"
                    .into(),
            ),
        },
    };
    let qemu = if found.sandbox {
        ok(
            "machines",
            format!("QEMU {version}, confined by its sandbox"),
        )
    } else {
        Check {
            name: "machines".into(),
            status: Health::Warn,
            message: format!("QEMU {version}, which has no sandbox here"),
            fix: Some("use a build of QEMU with seccomp".into()),
        }
    };
    vec![qemu, acceleration]
}
