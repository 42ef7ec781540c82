//! Every procedure of a server's life, failed, repeated, cancelled and killed
//! at every step.

use std::path::Path;

use backout_core::ids::JobId;
use backout_core::outcome::Outcome;
use backout_jobs::harness::{Ended, Matrix, Scenario, World};
use backout_jobs::{JobView, Jobs, Registry};
use backout_machines::Stop;
use backout_servers::DiskRef;
use backout_servers::model::{BlueprintState, DiskState, OperationState, Power, SnapshotKind};
use backout_servers::persistence::{self, Page, SnapshotFilter};
use backout_servers::procedures::{
    ApplySnapshot, CreateBlueprint, CreateServer, DeleteBlueprint, IsolateServer, RebootServer,
    ResetServer, StartServer, StopServer, TerminateServer,
};

use crate::stage::{IMAGE, NODE, OLD, Stage, caller, owner, read};

/// The procedures on power.
const POWER: u8 = 0;
/// Those that make things, and remove them.
const MAKING: u8 = 1;
/// The reset, and its undo.
const RESET: u8 = 2;

/// A stage, and what is tried on it: a matrix has to have a scenario for each
/// procedure that is registered.
struct Host<const PART: u8>(Stage);

impl<const PART: u8> World for Host<PART> {
    async fn open(folder: &Path) -> Self {
        Self(Stage::plain(folder))
    }

    fn jobs(&self) -> &Jobs {
        &self.0.jobs
    }

    fn registry(&self) -> Registry {
        let runtime = &self.0.runtime;
        match PART {
            POWER => Registry::new()
                .with(StartServer(runtime.clone()))
                .with(StopServer(runtime.clone()))
                .with(RebootServer(runtime.clone()))
                .with(IsolateServer(runtime.clone())),
            MAKING => Registry::new()
                .with(CreateServer(runtime.clone()))
                .with(TerminateServer(runtime.clone()))
                .with(CreateBlueprint(runtime.clone()))
                .with(DeleteBlueprint),
            _ => Registry::new()
                .with(ResetServer(runtime.clone()))
                .with(ApplySnapshot(runtime.clone())),
        }
    }

    fn node(&self) -> &str {
        NODE
    }
}

fn web() -> Vec<String> {
    vec!["web".to_owned()]
}

fn told(outcome: Outcome) -> OperationState {
    if outcome == Outcome::Applied {
        OperationState::Success
    } else {
        OperationState::Failed
    }
}

impl Stage {
    /// The server is in this state, and its commands left it so.
    async fn is(&self, power: Power, ended: &Ended) {
        let server = self.server("web").await;
        assert_eq!(server.power, power, "{ended:?}");
        assert_eq!(self.runs("web"), power == Power::Running, "{ended:?}");
        assert_eq!(server.latest.unwrap().state, told(ended.outcome));
    }

    /// A held job leaves the server on its way, and says what to do.
    async fn is_held(&self, job: &JobView, passing: Power) {
        let server = self.server("web").await;
        assert_eq!(server.power, passing, "{job:?}");
        assert_eq!(server.latest.unwrap().state, OperationState::Failed);
    }
}

struct Starting;

impl Scenario<Host<POWER>> for Starting {
    fn procedure(&self) -> &'static str {
        "servers.start"
    }

    async fn set_up(&self, host: &Host<POWER>) {
        host.0.add("web", false).await;
    }

    async fn submit(&self, host: &Host<POWER>) -> JobId {
        let jobs = host.0.servers.start(&caller(), &web()).await.unwrap();
        assert_eq!(host.0.server("web").await.power, Power::Starting);
        jobs.into_iter().next().unwrap()
    }

    async fn check(&self, host: &Host<POWER>, ended: &Ended) {
        let power = match ended.outcome {
            Outcome::Applied => Power::Running,
            _ => Power::Stopped,
        };
        host.0.is(power, ended).await;
    }

    async fn check_held(&self, host: &Host<POWER>, job: &JobView) {
        host.0.is_held(job, Power::Starting).await;
    }
}

struct Stopping;

impl Scenario<Host<POWER>> for Stopping {
    fn procedure(&self) -> &'static str {
        "servers.stop"
    }

    async fn set_up(&self, host: &Host<POWER>) {
        host.0.add("web", true).await;
    }

    async fn submit(&self, host: &Host<POWER>) -> JobId {
        let servers = &host.0.servers;
        let jobs = servers
            .stop(&caller(), &web(), Stop::SoftFirst)
            .await
            .unwrap();
        assert_eq!(host.0.server("web").await.power, Power::Stopping);
        jobs.into_iter().next().unwrap()
    }

    async fn check(&self, host: &Host<POWER>, ended: &Ended) {
        let power = match ended.outcome {
            Outcome::Applied => Power::Stopped,
            _ => Power::Running,
        };
        host.0.is(power, ended).await;
    }

    async fn check_held(&self, host: &Host<POWER>, job: &JobView) {
        host.0.is_held(job, Power::Stopping).await;
    }
}

struct Rebooting;

impl Scenario<Host<POWER>> for Rebooting {
    fn procedure(&self) -> &'static str {
        "servers.reboot"
    }

    async fn set_up(&self, host: &Host<POWER>) {
        host.0.add("web", true).await;
    }

    async fn submit(&self, host: &Host<POWER>) -> JobId {
        let servers = &host.0.servers;
        let jobs = servers.reboot(&caller(), &web(), Stop::Hard).await.unwrap();
        assert_eq!(host.0.server("web").await.power, Power::Rebooting);
        jobs.into_iter().next().unwrap()
    }

    async fn check(&self, host: &Host<POWER>, ended: &Ended) {
        host.0.is(Power::Running, ended).await;
    }

    async fn check_held(&self, host: &Host<POWER>, job: &JobView) {
        host.0.is_held(job, Power::Rebooting).await;
    }
}

struct Isolating;

impl Scenario<Host<POWER>> for Isolating {
    fn procedure(&self) -> &'static str {
        "servers.isolate"
    }

    async fn set_up(&self, host: &Host<POWER>) {
        let server = host.0.add("web", true).await;
        host.0.data_disk("data", &server).await;
    }

    async fn submit(&self, host: &Host<POWER>) -> JobId {
        let jobs = host.0.servers.isolate(&caller(), &web(), true).await;
        jobs.unwrap().into_iter().next().unwrap()
    }

    async fn check(&self, host: &Host<POWER>, ended: &Ended) {
        let disk = host.0.servers.disk(&owner(), "data").await.unwrap();
        let server = host.0.server("web").await;
        if ended.outcome == Outcome::Applied {
            host.0.is(Power::Isolated, ended).await;
            assert!(server.isolated.is_some());
            assert_eq!((disk.server, disk.state), (None, DiskState::Unattached));
        } else {
            host.0.is(Power::Running, ended).await;
            assert_eq!(server.isolated, None);
            assert_eq!(disk.server, Some(server.id));
            assert_eq!(disk.state, DiskState::Attached);
        }
    }

    async fn check_held(&self, host: &Host<POWER>, job: &JobView) {
        host.0.is_held(job, Power::Stopping).await;
    }
}

#[test]
fn power_survives_everything() {
    let report = Matrix::<Host<POWER>>::new("matrix::power_survives_everything")
        .scenario(Starting)
        .scenario(Stopping)
        .scenario(Rebooting)
        .scenario(Isolating)
        .run();
    // 5 steps, 4 undos.
    assert!(report.kills >= 4 * 9, "{report:?}");
}

struct Creating;

impl Scenario<Host<MAKING>> for Creating {
    fn procedure(&self) -> &'static str {
        "servers.create"
    }

    async fn set_up(&self, host: &Host<MAKING>) {
        host.0.image("base").await;
    }

    async fn submit(&self, host: &Host<MAKING>) -> JobId {
        let image = host.0.servers.blueprint(&owner(), "base").await.unwrap();
        host.0.submit_create("web", &image).await
    }

    async fn check(&self, host: &Host<MAKING>, ended: &Ended) {
        let server = host.0.server("web").await;
        if ended.outcome == Outcome::Applied {
            assert_eq!(server.power, Power::Running);
            assert!(host.0.runs("web"));
            assert_eq!(read(&server.disk.head), IMAGE);
            let size_bytes = std::fs::metadata(&server.disk.head).unwrap().len();
            assert_eq!(size_bytes, server.disk.size_bytes);
            // It is a disk as any other.
            host.0.snapshot("web", "first").await;
        } else {
            assert_eq!(server.power, Power::LaunchFailed);
            assert!(!host.0.runs("web"));
            assert_eq!(host.0.pool(), Vec::<String>::new());
            // The row goes when it is terminated.
            let jobs = host.0.servers.terminate(&caller(), &web()).await.unwrap();
            host.0.finish(&jobs[0]).await;
            assert!(host.0.is_gone("web").await);
        }
    }

    async fn check_held(&self, host: &Host<MAKING>, _job: &JobView) {
        assert_eq!(host.0.server("web").await.power, Power::Creating);
    }
}

struct Terminating;

impl Scenario<Host<MAKING>> for Terminating {
    fn procedure(&self) -> &'static str {
        "servers.terminate"
    }

    async fn set_up(&self, host: &Host<MAKING>) {
        let image = host.0.image("base").await;
        let job = host.0.submit_create("web", &image).await;
        host.0.finish(&job).await;
        host.0.snapshot("web", "kept").await;
        let server = host.0.server("web").await;
        host.0.data_disk("data", &server).await;
        let jobs = host.0.servers.isolate(&caller(), &web(), false).await;
        host.0.finish(&jobs.unwrap()[0]).await;
    }

    async fn submit(&self, host: &Host<MAKING>) -> JobId {
        let jobs = host.0.servers.terminate(&caller(), &web()).await;
        assert_eq!(host.0.server("web").await.power, Power::Terminating);
        jobs.unwrap().into_iter().next().unwrap()
    }

    async fn check(&self, host: &Host<MAKING>, ended: &Ended) {
        let disk = host.0.servers.disk(&owner(), "data").await.unwrap();
        assert_eq!(read(&disk.volume.head), OLD, "data disks stay");
        if ended.outcome == Outcome::Applied {
            assert!(host.0.is_gone("web").await);
            assert_eq!(host.0.pool(), Vec::<String>::new());
            assert_eq!((disk.server, disk.state), (None, DiskState::Unattached));
        } else {
            host.0.is(Power::Isolated, ended).await;
            let server = host.0.server("web").await;
            assert_eq!(read(&server.disk.head), IMAGE);
            assert_eq!(disk.server, Some(server.id));
        }
    }

    async fn check_held(&self, host: &Host<MAKING>, job: &JobView) {
        host.0.is_held(job, Power::Terminating).await;
    }
}

struct Imaging;

impl Scenario<Host<MAKING>> for Imaging {
    fn procedure(&self) -> &'static str {
        "servers.create_blueprint"
    }

    async fn set_up(&self, host: &Host<MAKING>) {
        host.0.add("web", true).await;
    }

    async fn submit(&self, host: &Host<MAKING>) -> JobId {
        let made = host
            .0
            .servers
            .create_blueprint(&caller(), "golden", "", "web", true, Vec::new())
            .await;
        made.unwrap().1
    }

    async fn check(&self, host: &Host<MAKING>, ended: &Ended) {
        host.0.is(Power::Running, ended).await;
        let image = host.0.servers.blueprint(&owner(), "golden").await.unwrap();
        if ended.outcome == Outcome::Applied {
            assert_eq!(image.state, BlueprintState::Normal);
            assert_eq!(read(&image.file), OLD);
            assert!(
                host.0
                    .pool()
                    .iter()
                    .any(|f| f == image.file.to_str().unwrap())
            );
        } else {
            assert_eq!(image.state, BlueprintState::Failed);
            assert!(!image.file.exists());
            assert!(host.0.pool().iter().all(|f| f.ends_with("/images")));
        }
    }

    async fn check_held(&self, host: &Host<MAKING>, _job: &JobView) {
        let image = host.0.servers.blueprint(&owner(), "golden").await.unwrap();
        assert_eq!(image.state, BlueprintState::Creating);
    }
}

struct DeletingImage;

impl Scenario<Host<MAKING>> for DeletingImage {
    fn procedure(&self) -> &'static str {
        "servers.delete_blueprint"
    }

    async fn set_up(&self, host: &Host<MAKING>) {
        host.0.add("web", false).await;
        let (_, job) = host
            .0
            .servers
            .create_blueprint(&caller(), "golden", "", "web", false, Vec::new())
            .await
            .unwrap();
        host.0.finish(&job).await;
    }

    async fn submit(&self, host: &Host<MAKING>) -> JobId {
        host.0
            .servers
            .delete_blueprint(&caller(), "golden")
            .await
            .unwrap()
    }

    async fn check(&self, host: &Host<MAKING>, ended: &Ended) {
        let image = host.0.servers.blueprint(&owner(), "golden").await;
        if ended.outcome == Outcome::Applied {
            assert!(image.is_err());
            assert!(host.0.pool().iter().all(|f| f.ends_with("/images")));
        } else {
            let image = image.unwrap();
            assert_eq!(image.state, BlueprintState::Normal);
            assert_eq!(read(&image.file), OLD);
        }
    }
}

#[test]
fn making_survives_everything() {
    let report = Matrix::<Host<MAKING>>::new("matrix::making_survives_everything")
        .scenario(Creating)
        .scenario(Terminating)
        .scenario(Imaging)
        .scenario(DeletingImage)
        .run();
    // 8 steps, 5 undos.
    assert!(report.kills >= 4 * 13, "{report:?}");
}

impl Stage {
    /// Names and kinds of the snapshots of the server, oldest names first, and
    /// that their files, and no others, are there.
    async fn points(&self) -> Vec<(String, SnapshotKind)> {
        let page = Page {
            offset: 0,
            limit: 100,
        };
        let (_, found) = self
            .servers
            .snapshots(&owner(), SnapshotFilter::default(), page)
            .await
            .unwrap();
        let server = self.server("web").await;
        let spec = server.disk.spec();
        let subject = backout_servers::model::Subject::Server(server.id);
        let rows = self
            .store
            .read(move |tx| persistence::points_of(tx, &subject))
            .await
            .unwrap();
        let mut files: Vec<String> = rows.into_iter().map(|(_, p)| p.file).collect();
        files.push("lock".to_owned());
        files.sort();
        let mut there: Vec<String> = std::fs::read_dir(spec.folder())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        there.sort();
        assert_eq!(there, files);
        let mut all: Vec<_> = found.into_iter().map(|(s, _)| (s.name, s.kind)).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }

    /// A running server with a snapshot, and an image.
    async fn resettable(&self) {
        self.add("web", true).await;
        self.snapshot("web", "good").await;
        self.image("base").await;
    }

    async fn submit_reset(&self) -> JobId {
        self.servers
            .reset(&caller(), "web", Some("base"))
            .await
            .unwrap()
    }

    /// Whether the old snapshot fits the disk, and can be gone back to.
    async fn good_fits(&self) -> bool {
        let disk = DiskRef::Of("web".to_owned());
        let proposal = self
            .servers
            .propose_rollback(&owner(), disk, "good")
            .await
            .unwrap();
        proposal.preflight.passed()
    }
}

struct Resetting;

impl Scenario<Host<RESET>> for Resetting {
    fn procedure(&self) -> &'static str {
        "servers.reset"
    }

    async fn set_up(&self, host: &Host<RESET>) {
        host.0.resettable().await;
    }

    async fn submit(&self, host: &Host<RESET>) -> JobId {
        host.0.submit_reset().await
    }

    async fn check(&self, host: &Host<RESET>, ended: &Ended) {
        host.0.is(Power::Running, ended).await;
        let server = host.0.server("web").await;
        let good = ("good".to_owned(), SnapshotKind::User);
        if ended.outcome == Outcome::Applied {
            assert_eq!(read(&server.disk.head), IMAGE);
            let image = host.0.servers.blueprint(&owner(), "base").await.unwrap();
            assert_eq!(server.blueprint, Some(image.id));
            let safety = ("before resetting to base".to_owned(), SnapshotKind::Safety);
            assert_eq!(host.0.points().await, [safety, good]);
            assert!(!host.0.good_fits().await, "it is another disk");
        } else {
            assert_eq!(read(&server.disk.head), OLD);
            assert_eq!(server.blueprint, None);
            assert_eq!(host.0.points().await, [good]);
            assert!(host.0.good_fits().await);
        }
    }
}

/// The undo of a reset is a rollback by which the disk becomes another.
struct Undoing;

impl Scenario<Host<RESET>> for Undoing {
    fn procedure(&self) -> &'static str {
        "servers.apply_snapshot"
    }

    async fn set_up(&self, host: &Host<RESET>) {
        host.0.resettable().await;
        let job = host.0.submit_reset().await;
        host.0.finish(&job).await;
    }

    async fn submit(&self, host: &Host<RESET>) -> JobId {
        let reset = host.0.reset_job().await;
        host.0.servers.undo(&caller(), &reset).await.unwrap()
    }

    async fn check(&self, host: &Host<RESET>, ended: &Ended) {
        host.0.is(Power::Running, ended).await;
        let server = host.0.server("web").await;
        let safeties = host.0.points().await;
        let safeties = safeties
            .iter()
            .filter(|(_, kind)| *kind == SnapshotKind::Safety)
            .count();
        if ended.outcome == Outcome::Applied {
            assert_eq!(read(&server.disk.head), OLD);
            assert_eq!(server.blueprint, None);
            assert_eq!(safeties, 2);
        } else {
            assert_eq!(read(&server.disk.head), IMAGE);
            assert!(server.blueprint.is_some());
            assert_eq!(safeties, 1);
        }
        assert_eq!(host.0.good_fits().await, ended.outcome == Outcome::Applied);
    }
}

impl Stage {
    /// The reset that is to be undone.
    async fn reset_job(&self) -> JobId {
        let filter = backout_jobs::Filter::default();
        let jobs = self.jobs.list(filter, None, 10).await.unwrap();
        let reset = jobs.jobs.iter().find(|j| j.procedure == "servers.reset");
        reset.unwrap().id.clone()
    }
}

#[test]
fn reset_survives_everything() {
    let report = Matrix::<Host<RESET>>::new("matrix::reset_survives_everything")
        .scenario(Resetting)
        .scenario(Undoing)
        .run();
    // 10 steps, 10 undos.
    assert!(report.kills >= 4 * 20, "{report:?}");
}
