//! Fails, repeats, cancels and kills a procedure at every point of every step.
//!
//! For tests only (feature `harness`). A test says how its server is composed
//! (a [`World`] on a folder) and gives one [`Scenario`] for each procedure; the
//! [`Matrix`] does the rest. For each step it
//!
//! - makes it fail at each of the four moments, and expects Reverted;
//! - cancels the job at each moment, by the call that users have;
//! - performs its effect twice, and makes it ask for another attempt;
//! - kills the process (`SIGKILL`) at each moment, starts another, and expects
//!   Applied;
//!
//! and for each undo, after a failure forced behind it,
//!
//! - makes the undo fail at each moment, expects Held with its claims kept,
//!   retries the job, and expects Reverted;
//! - performs it twice, and makes it ask for another attempt;
//! - kills the process at each moment, starts another, and expects Reverted.
//!
//! After a point of no return ([`Undo::Never`](crate::Undo::Never)) a failure
//! is expected to hold the job, and a retry to end it Applied; undos that can
//! never run are left out.
//!
//! Each case has a folder of its own. After each the harness checks the outcome
//! and that no claim and no worker is left, and then calls
//! [`Scenario::check`]. [`Matrix::run`] panics when a case failed, when a
//! point was never reached, or when a registered procedure has no scenario.
//!
//! The process that is killed is the test binary itself, started again for just
//! this test: so the matrix is told the test's name, and whatever the test does
//! before [`Matrix::run`] happens in each child as well.
//!
//! ```no_run
//! use std::path::Path;
//! use backout_core::ids::JobId;
//! use backout_core::outcome::Outcome;
//! use backout_jobs::harness::{Ended, Matrix, Scenario, World};
//! use backout_jobs::{Jobs, Registry};
//! # struct Product; impl Product {
//! #   async fn open(_: &Path) -> Self { todo!() }
//! #   async fn make_disk(&self) {} async fn apply(&self) -> JobId { todo!() }
//! #   fn disk(&self) -> &'static str { "" } fn leftovers(&self) -> bool { false } }
//!
//! struct Server { product: Product, jobs: Jobs, registry: Registry }
//!
//! impl World for Server {
//!     async fn open(folder: &Path) -> Self {
//!         // As the product's own start-up: store, drivers, services.
//! #       todo!()
//!     }
//!     fn jobs(&self) -> &Jobs { &self.jobs }
//!     fn registry(&self) -> Registry { self.registry.clone() }
//! }
//!
//! struct ApplySnapshot;
//!
//! impl Scenario<Server> for ApplySnapshot {
//!     fn procedure(&self) -> &'static str { "servers.apply_snapshot" }
//!     async fn set_up(&self, server: &Server) { server.product.make_disk().await }
//!     async fn submit(&self, server: &Server) -> JobId { server.product.apply().await }
//!     async fn check(&self, server: &Server, ended: &Ended) {
//!         let expected = match ended.outcome {
//!             Outcome::Applied => "as in the snapshot",
//!             _ => "as before",
//!         };
//!         assert_eq!(server.product.disk(), expected);
//!         assert!(!server.product.leftovers());
//!     }
//! }
//!
//! // #[test]
//! fn survives_everything() {
//!     Matrix::<Server>::new("survives_everything").scenario(ApplySnapshot).run();
//! }
//! ```

use std::fmt;
use std::fs::File;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use backout_core::code::Code;
use backout_core::ids::JobId;
use backout_core::outcome::Outcome;
use backout_store::{Error as StoreError, query_one};
use serde::{Deserialize, Serialize};

use crate::model::JobView;
use crate::procedure::{Moment, Point, Probe, ProbeAction, ProbeFuture, StepError};
use crate::registry::StepLine;
use crate::{Jobs, Registry, Worker, WorkerConfig};

/// Tells a child what it is for.
const CHILD: &str = "BACKOUT_HARNESS_CHILD";

/// How long a job, or a child, may take: generous, since machines that run
/// tests are busy. It bounds a hang; it measures nothing.
const PATIENCE: Duration = Duration::from_secs(120);

/// How a child ends that came to the end of its job alive.
const NOT_REACHED: i32 = 3;

/// How many failed cases are told in full.
const TOLD: usize = 10;

/// A server as the product composes it.
pub trait World: Sized + 'static {
    /// Opens it on `folder`, which is empty the first time. Called again after
    /// each crash, in another process.
    fn open(folder: &Path) -> impl Future<Output = Self>;

    /// Its jobs.
    fn jobs(&self) -> &Jobs;

    /// All its procedures.
    fn registry(&self) -> Registry;

    /// The node it submits jobs for.
    fn node(&self) -> &str {
        "harness"
    }
}

/// One way to run a procedure.
pub trait Scenario<W: World>: 'static {
    /// The name of the procedure.
    fn procedure(&self) -> &'static str;

    /// Makes what the job works on, in a fresh world.
    fn set_up(&self, world: &W) -> impl Future<Output = ()>;

    /// Submits the job, as the product does.
    fn submit(&self, world: &W) -> impl Future<Output = JobId>;

    /// Asserts that the world is as the outcome says (Applied or Reverted) and
    /// that nothing is left over.
    fn check(&self, world: &W, ended: &Ended) -> impl Future<Output = ()>;

    /// Asserts what must hold while the job is Held.
    fn check_held(&self, _world: &W, _job: &JobView) -> impl Future<Output = ()> {
        std::future::ready(())
    }
}

/// A job that has ended, for [`Scenario::check`].
#[derive(Clone, Debug)]
pub struct Ended {
    /// How: Applied or Reverted.
    pub outcome: Outcome,
    /// The job.
    pub job: JobView,
    /// What was done to it, for messages.
    pub case: String,
}

/// What a matrix has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// How many cases were run.
    pub cases: usize,
    /// How many of them killed a process.
    pub kills: usize,
}

type Local<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// A scenario without its type.
trait AnyScenario<W> {
    fn procedure(&self) -> &'static str;
    fn set_up<'a>(&'a self, world: &'a W) -> Local<'a, ()>;
    fn submit<'a>(&'a self, world: &'a W) -> Local<'a, JobId>;
    fn check<'a>(&'a self, world: &'a W, ended: &'a Ended) -> Local<'a, ()>;
    fn check_held<'a>(&'a self, world: &'a W, job: &'a JobView) -> Local<'a, ()>;
}

impl<W: World, S: Scenario<W>> AnyScenario<W> for S {
    fn procedure(&self) -> &'static str {
        Scenario::procedure(self)
    }
    fn set_up<'a>(&'a self, world: &'a W) -> Local<'a, ()> {
        Box::pin(Scenario::set_up(self, world))
    }
    fn submit<'a>(&'a self, world: &'a W) -> Local<'a, JobId> {
        Box::pin(Scenario::submit(self, world))
    }
    fn check<'a>(&'a self, world: &'a W, ended: &'a Ended) -> Local<'a, ()> {
        Box::pin(Scenario::check(self, world, ended))
    }
    fn check_held<'a>(&'a self, world: &'a W, job: &'a JobView) -> Local<'a, ()> {
        Box::pin(Scenario::check_held(self, world, job))
    }
}

/// Whether this process is one that a [`Matrix`] started to be killed: what a
/// test does before [`Matrix::run`], for all cases, is there already then.
#[must_use]
pub fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// All cases of all scenarios.
pub struct Matrix<W> {
    test: &'static str,
    within: Option<PathBuf>,
    sampled: bool,
    scenarios: Vec<Box<dyn AnyScenario<W>>>,
}

impl<W> fmt::Debug for Matrix<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Matrix")
            .field("test", &self.test)
            .finish_non_exhaustive()
    }
}

/// What is done to a job, and where.
#[derive(Clone, Debug)]
struct Case {
    procedure: &'static str,
    /// A failure forced there, so that undos run.
    trigger: Option<Place>,
    act: Option<(Act, Place)>,
    expect: Expect,
}

impl Case {
    fn is_of_sample(&self) -> bool {
        let at = |place: &Place, moment: Moment| place.moment == format!("{moment:?}");
        match &self.act {
            None => true,
            Some((Act::Kill, place)) => at(place, Moment::AfterEffect),
            Some((Act::Cancel, place)) => at(place, Moment::AfterIntent),
            Some(_) => false,
        }
    }
}

/// A point, by names that survive the way to a child.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    step: String,
    undo: bool,
    moment: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Fail,
    Again,
    Cancel,
    Repeat,
    Kill,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    /// This outcome.
    Only(Outcome),
    /// First Held; after a retry, this outcome.
    HeldThen(Outcome),
    /// Applied or Reverted: the step may notice the request or not.
    Either,
}

/// What a child is told.
#[derive(Serialize, Deserialize)]
struct Orders {
    folder: PathBuf,
    job: String,
    kill: Place,
    trigger: Option<Place>,
}

impl Place {
    fn new(step: &str, undo: bool, moment: Moment) -> Self {
        Self {
            step: step.to_owned(),
            undo,
            moment: format!("{moment:?}"),
        }
    }

    fn is(&self, point: &Point<'_>) -> bool {
        self.step == point.step
            && self.undo == point.undo
            && self.moment == format!("{:?}", point.moment)
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((act, place)) = &self.act else {
            return match &self.trigger {
                None => write!(f, "{}: run as it is", self.procedure),
                Some(_) => write!(f, "{}: fail at the end", self.procedure),
            };
        };
        let undo = if place.undo { "undo of " } else { "" };
        write!(
            f,
            "{}: {act:?} at {undo}{} {}",
            self.procedure, place.step, place.moment
        )
    }
}

const MOMENTS: [Moment; 4] = [
    Moment::BeforeIntent,
    Moment::AfterIntent,
    Moment::AfterEffect,
    Moment::AfterRecord,
];

/// Every case of a procedure with these steps.
fn cases(procedure: &'static str, steps: &[StepLine]) -> Vec<Case> {
    let bare = |trigger: Option<&Place>, act, expect| Case {
        procedure,
        trigger: trigger.cloned(),
        act,
        expect,
    };
    let applied = Expect::Only(Outcome::Applied);
    let reverted = Expect::Only(Outcome::Reverted);
    let last = steps.len() - 1;
    let no_return = steps.iter().position(|s| s.no_return);
    let mut all = vec![bare(None, None, applied)];
    for (index, step) in steps.iter().enumerate() {
        for moment in MOMENTS {
            let place = Place::new(step.name, false, moment);
            let past = no_return
                .is_some_and(|n| n < index || n == index && moment != Moment::BeforeIntent);
            let failed = if past {
                Expect::HeldThen(Outcome::Applied)
            } else {
                reverted
            };
            let cancelled = match moment {
                _ if past => applied,
                Moment::AfterIntent if index == last => Expect::Either,
                Moment::AfterEffect | Moment::AfterRecord if index == last => applied,
                _ => reverted,
            };
            all.push(bare(None, Some((Act::Fail, place.clone())), failed));
            all.push(bare(None, Some((Act::Cancel, place.clone())), cancelled));
            all.push(bare(None, Some((Act::Kill, place.clone())), applied));
            if moment == Moment::AfterEffect {
                all.push(bare(None, Some((Act::Repeat, place.clone())), applied));
                all.push(bare(None, Some((Act::Again, place)), applied));
            }
        }
    }
    // Behind every undo that can run, with as much to take back as can be.
    let trigger = no_return.map_or_else(
        || Place::new(steps[last].name, false, Moment::AfterEffect),
        |n| Place::new(steps[n].name, false, Moment::BeforeIntent),
    );
    if no_return.is_none() {
        all.push(bare(Some(&trigger), None, reverted));
    }
    for step in &steps[..no_return.unwrap_or(steps.len())] {
        if step.undo.is_none() {
            continue;
        }
        let trigger = Some(&trigger);
        for moment in MOMENTS {
            let place = Place::new(step.name, true, moment);
            let held = Expect::HeldThen(Outcome::Reverted);
            all.push(bare(trigger, Some((Act::Fail, place.clone())), held));
            all.push(bare(trigger, Some((Act::Kill, place.clone())), reverted));
            if moment == Moment::AfterEffect {
                all.push(bare(trigger, Some((Act::Repeat, place.clone())), reverted));
                all.push(bare(trigger, Some((Act::Again, place)), reverted));
            }
        }
    }
    all
}

impl<W: World> Matrix<W> {
    /// A matrix for the test function `test`, by the name that `cargo test`
    /// lists it under (with its modules: `disks::survives_everything`).
    #[must_use]
    pub fn new(test: &'static str) -> Self {
        Self {
            test,
            within: None,
            sampled: false,
            scenarios: Vec::new(),
        }
    }

    /// Runs only a sample, for procedures whose steps take long: each as it
    /// is, each step cancelled while it works, and each step and undo killed
    /// when its effect is there and its record is not.
    #[must_use]
    pub fn sampled(mut self) -> Self {
        self.sampled = true;
        self
    }

    /// Makes the cases' folders in `folder`, e.g. on the file system that a
    /// driver needs, rather than in the system's temporary folder.
    #[must_use]
    pub fn within(mut self, folder: impl Into<PathBuf>) -> Self {
        self.within = Some(folder.into());
        self
    }

    /// Adds a scenario.
    #[must_use]
    pub fn scenario(mut self, scenario: impl Scenario<W>) -> Self {
        self.scenarios.push(Box::new(scenario));
        self
    }

    /// Runs all cases.
    ///
    /// # Panics
    /// When a case failed, a point was never reached, or a registered procedure
    /// has no scenario.
    pub fn run(self) -> Report {
        if let Ok(orders) = std::env::var(CHILD) {
            be_killed::<W>(&orders);
        }
        let registry = {
            let folder = self.folder();
            runtime().block_on(async { W::open(folder.path()).await.registry() })
        };
        for name in registry.names() {
            assert!(
                self.scenarios.iter().any(|s| s.procedure() == name),
                "procedure {name} has no scenario"
            );
        }
        let mut report = Report { cases: 0, kills: 0 };
        let mut failures = Vec::new();
        for scenario in &self.scenarios {
            let name = scenario.procedure();
            let steps = registry.steps(name);
            assert!(
                steps.is_some(),
                "the scenario for {name} has no registered procedure"
            );
            for case in cases(name, steps.unwrap_or_default()) {
                if self.sampled && !case.is_of_sample() {
                    continue;
                }
                report.cases += 1;
                if matches!(case.act, Some((Act::Kill, _))) {
                    report.kills += 1;
                }
                let ran = catch_unwind(AssertUnwindSafe(|| self.run_case(&**scenario, &case)));
                if let Err(panic) = ran {
                    let why = panic
                        .downcast_ref::<String>()
                        .cloned()
                        .or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()))
                        .unwrap_or_default();
                    failures.push(format!("{case}\n    {why}"));
                }
            }
        }
        assert!(
            failures.is_empty(),
            "{} of {} cases failed, the first of them:\n  {}",
            failures.len(),
            report.cases,
            failures[..failures.len().min(TOLD)].join("\n  ")
        );
        report
    }

    fn folder(&self) -> tempfile::TempDir {
        let mut builder = tempfile::Builder::new();
        builder.prefix("backout-matrix");
        match &self.within {
            Some(within) => builder.tempdir_in(within),
            None => builder.tempdir(),
        }
        .expect("a temporary folder can be made")
    }

    fn run_case(&self, scenario: &dyn AnyScenario<W>, case: &Case) {
        let folder = self.folder();
        let place = folder.path().join("world");
        std::fs::create_dir(&place).expect("a folder in a fresh folder can be made");
        if let Some((Act::Kill, at)) = &case.act {
            let job = runtime().block_on(async {
                let world = W::open(&place).await;
                scenario.set_up(&world).await;
                scenario.submit(&world).await
            });
            let orders = Orders {
                folder: place.clone(),
                job: job.to_string(),
                kill: at.clone(),
                trigger: case.trigger.clone(),
            };
            self.kill_a_child(&orders, &folder.path().join("child.log"));
            runtime().block_on(async {
                let world = W::open(&place).await;
                let probe = Arc::new(Script::default());
                finish(scenario, &world, case, &job, probe).await;
            });
            return;
        }
        runtime().block_on(async {
            let world = W::open(&place).await;
            scenario.set_up(&world).await;
            let job = scenario.submit(&world).await;
            let probe = Arc::new(Script {
                job: Some((world.jobs().clone(), job.clone())),
                trigger: case.trigger.clone(),
                act: case.act.clone(),
                fired: AtomicBool::new(false),
            });
            finish(scenario, &world, case, &job, Arc::clone(&probe)).await;
            assert!(
                case.act.is_none() || probe.fired.load(Ordering::SeqCst),
                "this point was never reached"
            );
        });
    }

    /// Starts this test again as a child that kills itself at the place.
    fn kill_a_child(&self, orders: &Orders, log: &Path) {
        let out = File::create(log).expect("a log can be made");
        let err = out.try_clone().expect("a file can be shared");
        let status = wait_for(
            Command::new(std::env::current_exe().expect("the test binary has a path"))
                .args([self.test, "--exact", "--nocapture", "--test-threads=1"])
                .env(
                    CHILD,
                    serde_json::to_string(orders).expect("orders are plain data"),
                )
                .stdin(Stdio::null())
                .stdout(out)
                .stderr(err),
        );
        let killed = std::os::unix::process::ExitStatusExt::signal(&status)
            == Some(rustix::process::Signal::KILL.as_raw());
        assert!(
            killed,
            "the child was to be killed there and ended with {status} ({NOT_REACHED}: the point was never reached; 0: no test is named {}):\n{}",
            self.test,
            std::fs::read_to_string(log).unwrap_or_default()
        );
    }
}

/// Runs the worker until the job has its outcome, and checks all there is to
/// check.
async fn finish<W: World>(
    scenario: &dyn AnyScenario<W>,
    world: &W,
    case: &Case,
    job: &JobId,
    probe: Arc<Script>,
) {
    let jobs = world.jobs();
    let worker = start(world, probe).await;
    let mut view = jobs
        .wait(job, PATIENCE)
        .await
        .expect("the job can be looked at");
    if let Expect::HeldThen(_) = case.expect {
        assert_eq!(view.outcome, Some(Outcome::Held), "{view:?}");
        let next = format!("backout jobs retry {job}");
        assert_eq!(view.next_command, Some(next), "{view:?}");
        assert!(view.held.is_some(), "{view:?}");
        let kept = jobs.claims_of(job).await.expect("claims can be listed");
        let mut claims = view.plan.claims.clone();
        claims.sort_unstable();
        claims.dedup();
        assert_eq!(kept, claims, "a held job keeps its claims");
        scenario.check_held(world, &view).await;
        jobs.retry(job).await.expect("a held job can be retried");
        view = jobs
            .wait(job, PATIENCE)
            .await
            .expect("the job can be looked at");
    }
    let outcome = view.outcome;
    match case.expect {
        Expect::Only(expected) | Expect::HeldThen(expected) => {
            assert_eq!(outcome, Some(expected), "{view:?}");
        }
        Expect::Either => assert!(
            matches!(outcome, Some(Outcome::Applied | Outcome::Reverted)),
            "{view:?}"
        ),
    }
    let stopped = worker.stop().await;
    assert_eq!(stopped.left_running, 0, "the worker has nothing left");
    let left = jobs.claims_of(job).await.expect("claims can be listed");
    assert!(left.is_empty(), "claims are left: {left:?}");
    let workers: i64 = jobs
        .store()
        .read::<_, StoreError>(|tx| {
            query_one(tx, "SELECT COUNT(*) FROM job_workers", &[])?.map_or(Ok(0), |row| row.get(0))
        })
        .await
        .expect("workers can be counted");
    assert_eq!(workers, 0, "a dead worker is still registered");
    let ended = Ended {
        outcome: view.outcome.unwrap_or(Outcome::Held),
        job: view,
        case: case.to_string(),
    };
    scenario.check(world, &ended).await;
}

async fn start<W: World>(world: &W, probe: Arc<Script>) -> Worker {
    let config = WorkerConfig {
        poll: Duration::from_millis(20),
        probe,
        ..WorkerConfig::new(world.node())
    };
    Worker::start(world.jobs(), world.registry(), config)
        .await
        .expect("a worker starts")
}

/// What happens at which point.
#[derive(Default)]
struct Script {
    /// Whom to cancel.
    job: Option<(Jobs, JobId)>,
    trigger: Option<Place>,
    act: Option<(Act, Place)>,
    fired: AtomicBool,
}

impl Probe for Script {
    fn at<'a>(&'a self, point: Point<'a>) -> ProbeFuture<'a> {
        Box::pin(std::future::ready(self.act(&point)))
    }
}

impl Script {
    fn act(&self, point: &Point<'_>) -> ProbeAction {
        let message = "go on, the test does not let it";
        if let Some((act, place)) = &self.act
            && place.is(point)
            && !self.fired.swap(true, Ordering::SeqCst)
        {
            return match act {
                Act::Fail => ProbeAction::Fail(StepError::failed(Code::Internal, message)),
                Act::Again => ProbeAction::Fail(StepError::again(Code::Internal, message)),
                Act::Repeat => ProbeAction::Repeat,
                Act::Cancel => {
                    self.cancel();
                    ProbeAction::GoOn
                }
                Act::Kill => {
                    // Nothing of this process runs after that.
                    let killed = rustix::process::kill_process(
                        rustix::process::getpid(),
                        rustix::process::Signal::KILL,
                    );
                    assert_eq!(killed, Ok(()));
                    loop {
                        std::thread::park();
                    }
                }
            };
        }
        if self.trigger.as_ref().is_some_and(|place| place.is(point)) {
            return ProbeAction::Fail(StepError::failed(Code::Internal, message));
        }
        ProbeAction::GoOn
    }

    /// By the call that users have, and before the step goes on.
    fn cancel(&self) {
        let Some((jobs, job)) = self.job.clone() else {
            return;
        };
        let asked = std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread()
                .build()
                .expect("a runtime can be made")
                .block_on(jobs.request_cancel(&job))
                .expect("a cancel can be asked for")
        });
        asked.join().expect("asking to cancel does not panic");
    }
}

/// What a child does: works until it kills itself.
fn be_killed<W: World>(orders: &str) -> ! {
    let orders: Orders = serde_json::from_str(orders).expect("orders are from a parent");
    runtime().block_on(async {
        let world = W::open(&orders.folder).await;
        let probe = Arc::new(Script {
            job: None,
            trigger: orders.trigger,
            act: Some((Act::Kill, orders.kill)),
            fired: AtomicBool::new(false),
        });
        let worker = start(&world, probe).await;
        let job = orders.job.parse().expect("orders name a job");
        // Comes back only when the point was not reached.
        drop(world.jobs().wait(&job, PATIENCE / 2).await);
        drop(worker);
    });
    std::process::exit(NOT_REACHED)
}

fn wait_for(command: &mut Command) -> ExitStatus {
    let mut child = command.spawn().expect("the test binary starts again");
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            return status;
        }
        if Instant::now() > until {
            // Ends the loop: a killed child is waited for at once.
            drop(child.kill());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime can be made")
}
