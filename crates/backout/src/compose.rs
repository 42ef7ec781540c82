//! The one place where all parts of a server are put together, for the binary
//! and for tests.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use backout_accounts::{
    Accounts, KeyPair, Limiter, Limits, MasterKey, NONCES_MAX, Nonces, Vault, holds_secrets,
};
use backout_api::audit;
use backout_api::front::{self, Front};
use backout_api::native::{Native, Parts};
use backout_api::secrets::Sealed;
use backout_apps::components::{Components, WEB_CONTAINER};
use backout_apps::{Apps, Swept};
use backout_core::ids::{Entropy, OsEntropy};
use backout_core::time::{Clock, SystemClock};
use backout_databases::Databases;
use backout_engines::Engines;
use backout_faults::Faults;
use backout_gateway::Host;
use backout_jobs::{
    Jobs, NoProbe, Point, Probe, ProbeAction, ProbeFuture, Registry, Stopped, Worker, WorkerConfig,
};
use backout_server::{Addresses, App, Config, RequestLog, Server};
use backout_servers::{Runtime, Servers};
use backout_shim::Shim;
use backout_store::{Migration, Store};
use backout_workloads::docker::{self, Containers};
use backout_workloads::process::{self, Processes};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Interval, MissedTickBehavior};

use crate::client::AdminFile;
use crate::folder::{self, Folder};
use crate::settings::Settings;

/// Connections to PostgreSQL: more than the jobs that write at one instant, and
/// few enough that a dozen replicas fit into its usual hundred.
const POSTGRES_CONNECTIONS: usize = 8;
/// How long requests in flight may take when the server stops.
const DRAIN: Duration = Duration::from_secs(10);
/// How long audit lines are kept: a year, so that a yearly review finds them.
const AUDIT_KEEP_MS: i64 = 366 * 24 * 3_600_000;
/// How often old audit lines, and expired faults, are removed.
const AUDIT_RETAIN_EVERY: Duration = Duration::from_secs(3600);
/// How often it is looked for snapshots and backups that are due, points that
/// are over, chains that are long and histories that nobody follows: often enough that a machine that was switched off from
/// the inside shows soon, and a schedule is kept by the minute.
const TEND_EVERY: Duration = Duration::from_secs(15);
/// How often it is looked whether the replicas and gateways run that should: one
/// that was lost serves nobody until then.
const TEND_APPS_EVERY: Duration = Duration::from_secs(2);
/// How often what no rollback of an application may need is forgotten.
const SWEEP_APPS_EVERY: Duration = Duration::from_secs(3600);
/// How often it is looked for databases whose history is not followed yet: what
/// happens before is known to the second only.
const FOLLOW_EVERY: Duration = Duration::from_secs(1);
/// A day.
const DAY_MS: i64 = 24 * 3_600_000;
/// How many old audit lines are removed in one transaction.
const AUDIT_RETAIN_BATCH: usize = 1000;

/// Every table of every crate. The order is fixed: a later one may refer to an
/// earlier one, and what was released is only ever added to.
#[must_use]
pub fn migrations() -> Vec<Migration> {
    [
        backout_accounts::MIGRATIONS,
        backout_jobs::MIGRATIONS,
        backout_servers::MIGRATIONS,
        audit::MIGRATIONS,
        backout_faults::MIGRATIONS,
        backout_databases::MIGRATIONS,
        backout_apps::MIGRATIONS,
        backout_engines::MIGRATIONS,
    ]
    .concat()
}

/// What tests replace; [`World::default`] is the real thing.
#[derive(Clone)]
pub struct World {
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
    /// Where randomness comes from.
    pub entropy: Arc<dyn Entropy>,
    /// Called at every point of every step.
    pub probe: Arc<dyn Probe>,
    /// What keeps the processes that Backout runs.
    pub shim: Shim,
    /// How the gateways of applications are run.
    pub gateways: Host,
    /// What works for a container, as its shim runs it.
    pub hand: Shim,
    /// How long a job's lease lasts, when not as usual.
    pub lease_ms: Option<i64>,
    /// The text of `BACKOUT_MASTER_KEY`.
    pub master_key: Option<String>,
}

impl Default for World {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            entropy: Arc::new(OsEntropy),
            probe: Arc::new(NoProbe),
            shim: Shim::own(&["shim"]),
            gateways: Host::own(&["shim"], &["gateway", "--dir"]),
            hand: Shim::own(&["container"]),
            lease_ms: None,
            master_key: None,
        }
    }
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").finish_non_exhaustive()
    }
}

/// The fault switch, and what is asked when it has nothing to say.
struct Then(Faults, Arc<dyn Probe>);

impl Probe for Then {
    fn at<'a>(&'a self, point: Point<'a>) -> ProbeFuture<'a> {
        Box::pin(async move {
            match self.0.at(point).await {
                ProbeAction::GoOn => self.1.at(point).await,
                action => action,
            }
        })
    }
}

/// A server that serves.
#[derive(Debug)]
pub struct Backout {
    addresses: Addresses,
    jobs: Jobs,
    accounts: Accounts,
    worker: Worker,
    databases: Databases,
    serving: JoinHandle<usize>,
    stop: oneshot::Sender<()>,
    chores: JoinHandle<()>,
    // The last to go: the folder is ours until all else has ended.
    folder: Folder,
}

/// What [`Backout::stop`] left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeftBehind {
    /// Connections that were cut at the deadline.
    pub cut: usize,
    /// Jobs whose step was still running; they go on with the next start.
    pub running: usize,
}

impl Backout {
    /// Starts everything. When it returns the ports are open and `admin.json`
    /// tells the address.
    ///
    /// # Errors
    /// A fragment that fits "failed to ..." for whatever is in the way.
    pub async fn start(settings: Settings, world: World) -> anyhow::Result<Self> {
        let folder = Folder::open(&settings.data)?;
        let path = folder.path().to_owned();
        // Before anything is made: an address that is taken must cost nothing.
        let bound = Server::bind(&Config {
            listen: settings.listen,
            tls: settings.tls.as_ref().map(|tls| backout_server::Tls {
                listen: tls.listen,
                cert: tls.cert.clone(),
                key: tls.key.clone(),
            }),
            drain: DRAIN,
        })?;
        let addresses = bound.addresses();
        let url = url_of(addresses.plain);

        let store = open_store(settings.store.as_deref(), &path).await?;
        let master = MasterKey::load(
            world.master_key.as_deref(),
            &path.join("master.key"),
            holds_secrets(&store).await?,
            world.entropy.as_ref(),
        )?;
        let accounts = Accounts::open(
            store.clone(),
            &master,
            Arc::clone(&world.clock),
            Arc::clone(&world.entropy),
        )
        .await?;
        let sealed = Sealed::new(Vault::new(&master), Arc::clone(&world.entropy));
        drop(master);
        hand_over_admin(&accounts, &path, &url, settings.new_admin_key).await?;

        let limits = match settings.rate_limit {
            Some(default) => Limits {
                default,
                ..Limits::default()
            },
            None => Limits::default(),
        };
        let limiter = Arc::new(Limiter::new(Arc::clone(&world.clock), limits));
        let nonces = Arc::new(Nonces::new(Arc::clone(&world.clock), NONCES_MAX));
        let jobs = Jobs::new(
            store.clone(),
            Arc::clone(&world.clock),
            Arc::clone(&world.entropy),
        );
        let mut runtime = Runtime::new(&path, world.shim.clone());
        if let Some(days) = settings.safety_days {
            runtime = runtime.keeping_safety_points(days);
        }
        let servers = Servers::new(
            store.clone(),
            jobs.clone(),
            Arc::clone(&world.clock),
            Arc::clone(&world.entropy),
            settings.node.clone(),
            runtime,
        );
        let sealed = Arc::new(sealed);
        let work = ApplicationWork {
            folder: path.join("apps"),
            shim: world.shim.clone(),
            gateways: world.gateways.clone(),
            hand: world.hand.clone(),
            engine: settings.container_engine.clone(),
            listen: settings.apps_listen,
            web_containers: settings.web_containers.clone(),
            without_limits: settings.without_limits,
            secrets: Arc::clone(&sealed),
        };
        let mut runtime =
            backout_databases::Runtime::new(&path.join("databases"), world.shim.clone(), sealed);
        if let Some(days) = settings.safety_days {
            runtime.safety_keep_ms = i64::from(days) * DAY_MS;
        }
        let databases = Databases::new(
            store.clone(),
            jobs.clone(),
            Arc::clone(&world.clock),
            Arc::clone(&world.entropy),
            settings.node.clone(),
            runtime,
        );
        let apps = Apps::new(
            store.clone(),
            jobs.clone(),
            Arc::clone(&world.clock),
            Arc::clone(&world.entropy),
            settings.node.clone(),
            work.open().await?,
        );
        let work = engine_work(
            path.join("engines"),
            world.shim.clone(),
            world.gateways.clone(),
            &settings,
        );
        let engines = Engines::new(
            store.clone(),
            jobs.clone(),
            Arc::clone(&world.clock),
            Arc::clone(&world.entropy),
            settings.node.clone(),
            work.await?,
        );
        let log = RequestLog::open(&path.join("requests"))?;
        let mut vendors = front::Settings {
            public_hosts: settings.public_hosts.clone(),
            ..front::Settings::default()
        };
        if !settings.regions.is_empty() {
            vendors.regions.clone_from(&settings.regions);
        }
        let registry = databases.register(servers.register(Registry::new()));
        let registry = engines.register(apps.register(registry));
        let faults = match settings.faults {
            false => None,
            true => {
                tracing::info!(
                    "the fault switch is there: calls and steps fail when somebody says so"
                );
                let opened = Faults::open(
                    store.clone(),
                    Arc::clone(&world.clock),
                    Arc::clone(&world.entropy),
                    &registry,
                );
                Some(opened.await.context("open the fault switch")?)
            }
        };
        let front = Front::new(front::Parts {
            accounts: accounts.clone(),
            limiter: Arc::clone(&limiter),
            nonces,
            store: store.clone(),
            servers: servers.clone(),
            databases: databases.clone(),
            faults: faults.clone(),
            clock: Arc::clone(&world.clock),
            entropy: Arc::clone(&world.entropy),
            settings: vendors,
        })
        .with_apps(apps.clone())
        .with_engines(engines.clone());
        let native = Native::new(Parts {
            store: store.clone(),
            accounts: accounts.clone(),
            limiter,
            servers: servers.clone(),
            databases: databases.clone(),
            apps: apps.clone(),
            engines: engines.clone(),
            jobs: jobs.clone(),
            faults: faults.clone(),
            requests: Arc::new(log.clone()),
            clock: Arc::clone(&world.clock),
            entropy: Arc::clone(&world.entropy),
            node: settings.node.clone(),
            data: path.clone(),
            public_hosts: settings.public_hosts.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        });

        let mut config = WorkerConfig::new(settings.node.clone());
        config.probe = match faults.clone() {
            None => Arc::clone(&world.probe),
            Some(faults) => Arc::new(Then(faults, Arc::clone(&world.probe))),
        };
        if let Some(workers) = settings.workers {
            config.concurrency = workers.get();
        }
        if let Some(lease_ms) = world.lease_ms {
            config.lease_ms = lease_ms;
        }
        let worker = Worker::start(&jobs, registry, config)
            .await
            .context("start the worker")?;

        let server = bound.open(App {
            native: Arc::new(native),
            vendor: Arc::new(front),
            log,
        })?;
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(server.run(async {
            // A sender that is gone means the same.
            let _ = stopped.await;
        }));
        let chores = tokio::spawn(chores(
            store,
            Arc::clone(&world.clock),
            faults,
            servers,
            databases.clone(),
            apps,
            engines,
        ));
        Ok(Self {
            addresses,
            jobs,
            accounts,
            worker,
            databases,
            serving,
            stop,
            chores,
            folder,
        })
    }

    /// The address of the plain listener, e.g. `http://127.0.0.1:7780`.
    #[must_use]
    pub fn url(&self) -> String {
        url_of(self.addresses.plain)
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Its jobs, for tests.
    #[must_use]
    pub fn jobs(&self) -> &Jobs {
        &self.jobs
    }

    /// Its accounts, for tests.
    #[must_use]
    pub fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// Lets nothing new in, finishes what is in flight, lets each job finish
    /// its step, and gives the folder back.
    pub async fn stop(self) -> LeftBehind {
        // The receiver is gone only when serving has ended by itself.
        let _ = self.stop.send(());
        let cut = self.serving.await.unwrap_or_else(|e| {
            tracing::error!(error = %e, "the listener panicked");
            0
        });
        let Stopped { left_running } = self.worker.stop().await;
        self.chores.abort();
        // Nobody may begin to follow another history from here on.
        let _ = self.chores.await;
        self.databases.stop_following().await;
        drop(self.folder);
        LeftBehind {
            cut,
            running: left_running,
        }
    }
}

/// What the work on applications is made of.
struct ApplicationWork {
    /// Where instances, packages and gateways have their files.
    folder: PathBuf,
    shim: Shim,
    gateways: Host,
    hand: Shim,
    /// The socket of the container engine, where it is not the usual one.
    engine: Option<PathBuf>,
    /// The address that gateways listen on, where it is not the usual one.
    listen: Option<IpAddr>,
    /// What runs Java web archives.
    web_containers: Vec<(String, PathBuf)>,
    /// Whether replicas run without limits that cannot be enforced.
    without_limits: bool,
    secrets: Arc<Sealed>,
}

impl ApplicationWork {
    /// Opens the folders, and looks what there is on this host.
    async fn open(self) -> anyhow::Result<backout_apps::Runtime> {
        let looked = tokio::task::spawn_blocking(move || {
            let config = docker::Config::new(
                self.folder.clone(),
                self.engine,
                self.shim.clone(),
                self.hand,
            );
            // An engine may come, and go, at any time.
            let containers = Containers::open(config)?;
            let config = process::Config::new(self.folder.clone(), self.shim);
            let processes = Processes::open(config)?;
            let packages = processes.packages().clone();
            let mut runtime = backout_apps::Runtime::new(
                &self.folder,
                Arc::new(processes),
                packages,
                self.gateways,
                self.secrets,
            );
            runtime.containers = Some(Arc::new(containers));
            let mut components = Components::find();
            for (name, program) in self.web_containers {
                components.add(WEB_CONTAINER, &name, program);
            }
            runtime.components = Arc::new(components);
            runtime.without_limits = self.without_limits;
            if let Some(listen) = self.listen {
                runtime.listen = listen;
            }
            Ok::<_, backout_workloads::Error>(runtime)
        });
        Ok(looked
            .await
            .map_err(|e| anyhow!("look what runs applications here: {e}"))??)
    }
}

/// What the work on data engines is done with.
async fn engine_work(
    folder: PathBuf,
    shim: Shim,
    gateways: Host,
    settings: &Settings,
) -> anyhow::Result<backout_engines::Runtime> {
    let (listen, drain_s) = (settings.engines_listen, settings.engines_drain);
    let opened = tokio::task::spawn_blocking(move || {
        let processes = Processes::open(process::Config::new(folder.clone(), shim))?;
        let mut runtime = backout_engines::Runtime::open(&folder, Arc::new(processes), gateways)
            .with_context(|| format!("open {}", folder.display()))?;
        if let Some(listen) = listen {
            runtime.listen = listen;
        }
        if let Some(seconds) = drain_s {
            runtime.drain_ms = seconds.saturating_mul(1000);
        }
        Ok::<_, anyhow::Error>(runtime)
    });
    opened
        .await
        .map_err(|e| anyhow!("look what runs data engines here: {e}"))?
}

/// What a client on this machine calls.
fn url_of(address: SocketAddr) -> String {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, address.port()))
}

async fn open_store(url: Option<&str>, folder: &Path) -> anyhow::Result<Store> {
    let default = folder.join("state.db");
    let url = url.map(str::to_owned);
    // Both databases are opened by blocking calls.
    tokio::task::spawn_blocking(move || {
        let migrations = migrations();
        Ok(match url.as_deref() {
            None => Store::open_sqlite(&default, &migrations)?,
            Some(url) if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
                Store::open_postgres(url, POSTGRES_CONNECTIONS, &migrations)?
            }
            Some(url) => match url.strip_prefix("sqlite://") {
                Some(file) if !file.is_empty() => Store::open_sqlite(Path::new(file), &migrations)?,
                // Not repeated: it may hold a password.
                _ => bail!(
                    "use this store: give sqlite://FILE or postgres://USER:PASSWORD@HOST:PORT/DB"
                ),
            },
        })
    })
    .await
    .map_err(|e| anyhow!("open the store: {e}"))?
}

/// Makes `admin` at the first start, and sees to it that `admin.json` tells the
/// address.
async fn hand_over_admin(
    accounts: &Accounts,
    folder: &Path,
    url: &str,
    new_key: bool,
) -> anyhow::Result<()> {
    let file = |pair: &KeyPair, url: &str| AdminFile {
        secret_id: pair.secret_id.clone(),
        secret_key: pair.secret_key.expose().to_owned(),
        url: url.to_owned(),
    };
    let (at, address) = (folder.to_owned(), url.to_owned());
    let made = accounts
        .bootstrap(move |pair| folder::write_admin_file(&at, &file(pair, &address)))
        .await?;
    if made {
        tracing::info!(file = %folder.join("admin.json").display(), "made the account admin");
        return Ok(());
    }
    if new_key {
        let pair = accounts.recover_admin().await?;
        folder::write_admin_file(folder, &file(&pair, url))
            .with_context(|| format!("write {}", folder.join("admin.json").display()))?;
        tracing::info!(secret_id = pair.secret_id, "gave admin another key");
        return Ok(());
    }
    if !folder::refresh_url(folder, url)? {
        tracing::warn!(
            folder = %folder.display(),
            "there is no admin.json here; for another key of admin start once with --new-admin-key"
        );
    }
    Ok(())
}

/// Ticks at once, and then again and again. After a pause of the machine there is
/// nothing to catch up on.
fn every(period: Duration) -> Interval {
    let mut tick = tokio::time::interval(period);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick
}

/// What is done now and then.
async fn chores(
    store: Store,
    clock: Arc<dyn Clock>,
    faults: Option<Faults>,
    servers: Servers,
    databases: Databases,
    apps: Apps,
    engines: Engines,
) {
    tokio::join!(
        sweep(store, clock, faults),
        tend(servers),
        tend_databases(databases),
        tend_apps(apps.clone()),
        sweep_apps(apps),
        tend_engines(engines)
    );
}

/// What applications need by themselves: see [`Apps::tend`].
async fn tend_apps(apps: Apps) {
    let mut tick = every(TEND_APPS_EVERY);
    loop {
        tick.tick().await;
        match apps.tend().await {
            Ok(tended) => {
                for job in tended.mending {
                    tracing::info!(%job, "an application is mended: something that should run did not");
                }
                for (application, why) in tended.put_off {
                    tracing::info!(%application, "put off what was due by itself: failed to {why}");
                }
            }
            Err(e) => {
                tracing::warn!(error = %e, "what applications need by themselves could not be looked at");
            }
        }
    }
}

/// What of applications is kept for a time only: see [`Apps::sweep`].
async fn sweep_apps(apps: Apps) {
    let mut tick = every(SWEEP_APPS_EVERY);
    loop {
        tick.tick().await;
        match apps.sweep().await {
            Ok(swept) if swept == Swept::default() => {}
            Ok(swept) => tracing::info!(
                versions = swept.versions,
                packages = swept.packages,
                orders = swept.orders,
                "removed what no rollback of an application may need any more"
            ),
            Err(e) => {
                tracing::warn!(error = %e, "old versions of applications could not be removed");
            }
        }
    }
}

/// What data engines need by themselves: see [`Engines::tend`].
async fn tend_engines(engines: Engines) {
    let mut tick = every(TEND_EVERY);
    loop {
        tick.tick().await;
        match engines.tend().await {
            Ok(tended) => {
                for engine in tended.restarted {
                    tracing::info!(%engine, "a data engine is started again: it should answer and did not");
                }
                for trouble in tended.troubles {
                    tracing::warn!(engine = %trouble.engine, "a data engine cannot be tended: failed to {}", trouble.why);
                }
            }
            Err(e) => {
                tracing::warn!(error = %e, "what data engines need by themselves could not be looked at");
            }
        }
    }
}

/// What databases need by themselves: see [`Databases::tend`].
async fn tend_databases(databases: Databases) {
    let mut tick = every(TEND_EVERY);
    let mut often = every(FOLLOW_EVERY);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            _ = often.tick() => {
                if let Err(e) = databases.follow_new().await {
                    tracing::warn!(error = %e, "it could not be seen which databases are to be followed");
                }
                continue;
            }
        }
        match databases.tend().await {
            Ok(tended) => {
                for (database, why) in tended.put_off {
                    tracing::info!(%database, "put off what was due by itself: failed to {why}");
                }
            }
            Err(e) => {
                tracing::warn!(error = %e, "what databases need by themselves could not be looked at");
            }
        }
    }
}

/// What servers need by themselves: see [`Servers::tend`].
async fn tend(servers: Servers) {
    let mut tick = every(TEND_EVERY);
    loop {
        tick.tick().await;
        match servers.tend().await {
            Ok(tended) => {
                if tended.reconciled > 0 {
                    tracing::warn!(
                        servers = tended.reconciled,
                        "the power of servers was not what was on record: what runs was stopped, or started, from outside"
                    );
                }
                for (disk, why) in tended.put_off {
                    tracing::info!(%disk, "put off what was due by itself: failed to {why}");
                }
            }
            Err(e) => {
                tracing::warn!(error = %e, "what servers need by themselves could not be looked at");
            }
        }
    }
}

/// What is kept for a time only.
async fn sweep(store: Store, clock: Arc<dyn Clock>, faults: Option<Faults>) {
    let mut tick = every(AUDIT_RETAIN_EVERY);
    loop {
        tick.tick().await;
        if let Some(faults) = &faults
            && let Err(e) = faults.sweep().await
        {
            tracing::warn!(error = %e, "expired faults could not be removed");
        }
        loop {
            let before = clock.now().plus_ms(-AUDIT_KEEP_MS);
            match audit::retain(&store, before, AUDIT_RETAIN_BATCH).await {
                Ok(0) => break,
                Ok(_) => {}
                Err(e) => {
                    tracing::warn!(error = %e, "old audit lines could not be removed");
                    break;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_a_client_can_call() {
        for (address, want) in [
            ("127.0.0.1:1", "http://127.0.0.1:1"),
            ("0.0.0.0:1", "http://127.0.0.1:1"),
            ("[::]:1", "http://[::1]:1"),
        ] {
            assert_eq!(url_of(address.parse().unwrap()), want);
        }
    }

    #[test]
    fn migrations_have_different_names() {
        let mut names: Vec<_> = migrations().iter().map(|m| m.name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
