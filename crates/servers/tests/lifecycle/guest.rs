//! Servers that are real machines.

use backout_core::fence::Fence;
use backout_disks::{DiskLock, NoProgress};
use backout_machines::testing::{Console, Guest, shim};
use backout_machines::{State, Stop};
use backout_servers::model::{Power, Server};
use backout_servers::{NewBlueprint, NewInstances, Refusal};

use crate::stage::{IMAGE, Stage, caller, keyed, owner, write};

/// Switches off what a failed test left running.
struct Off<'a>(&'a Stage, Server);

impl Drop for Off<'_> {
    fn drop(&mut self) {
        // Newer than any fence of the test's own jobs.
        if let Ok(guard) = DiskLock::acquire(&self.1.disk.spec(), Fence(i64::MAX)) {
            let machines = &self.0.runtime.machines;
            let _ = machines.stop(&guard, self.1.id.as_str(), Stop::Hard, &NoProgress);
        }
    }
}

/// An image that the guest of the tests boots from.
async fn guest_image(stage: &Stage) {
    let file = stage.folder.join("guest.image");
    write(&file, IMAGE);
    let new = NewBlueprint {
        format: None,
        name: "guest".to_owned(),
        description: "counts on its disk".to_owned(),
        file,
        boot: Guest::prepare().unwrap().spec("").boot,
        tags: Vec::new(),
    };
    stage.servers.add_blueprint(&caller(), new).await.unwrap();
}

fn instances(name: Option<&str>, count: u32) -> NewInstances {
    NewInstances {
        name: name.map(str::to_owned),
        count,
        bundle: "bundle_1c512m10".to_owned(),
        blueprint: "guest".to_owned(),
        tags: Vec::new(),
        forwards: Vec::new(),
    }
}

async fn wait_for(console: Console, word: &'static str) -> (Console, u64) {
    tokio::task::spawn_blocking(move || {
        let mut console = console;
        let number = console.number(word).unwrap();
        (console, number)
    })
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_lives_its_life() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::open(folder.path(), shim().unwrap());
    guest_image(&stage).await;
    let servers = &stage.servers;
    let made = servers
        .create(&caller(), instances(Some("web"), 1))
        .await
        .unwrap();
    let (id, job) = made.into_iter().next().unwrap();
    let server = stage.server("web").await;
    assert_eq!((&server.id, server.power), (&id, Power::Creating));
    assert!(server.made);
    let refused = servers.start(&caller(), &[id.to_string()]).await;
    assert!(matches!(refused, Err(Refusal::ServerCreating(_))));
    let machines = &stage.runtime.machines;
    let console = Console::from_now(&machines.serial_log(id.as_str()));
    let off = Off(&stage, server.clone());
    stage.finish(&job).await;
    assert_eq!(stage.server("web").await.power, Power::Running);
    let (console, found) = wait_for(console, "COUNTER ").await;
    assert_eq!(found, 0);
    let (_, reached) = wait_for(console, "AT ").await;

    // By the power button; and on again it finds what it wrote.
    let web = [id.to_string()];
    let jobs = servers.stop(&caller(), &web, Stop::Soft).await.unwrap();
    stage.finish(&jobs[0]).await;
    assert_eq!(stage.server("web").await.power, Power::Stopped);
    assert_eq!(machines.state(id.as_str()).unwrap(), State::Off);
    let console = Console::from_now(&machines.serial_log(id.as_str()));
    let jobs = servers.start(&caller(), &web).await.unwrap();
    stage.finish(&jobs[0]).await;
    let (_, found) = wait_for(console, "COUNTER ").await;
    assert!(found >= reached, "{found} after {reached}");

    // Switched off behind our back.
    let guard = DiskLock::acquire(&server.disk.spec(), Fence(i64::MAX)).unwrap();
    machines
        .stop(&guard, id.as_str(), Stop::Hard, &NoProgress)
        .unwrap();
    drop(guard);
    assert_eq!(servers.reconcile_power().await.unwrap(), 1);
    assert_eq!(stage.server("web").await.power, Power::Stopped);
    drop(off);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_is_reset_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::open(folder.path(), shim().unwrap());
    guest_image(&stage).await;
    let servers = &stage.servers;
    let made = servers
        .create(&caller(), instances(Some("web"), 1))
        .await
        .unwrap();
    let (id, job) = made.into_iter().next().unwrap();
    let server = stage.server("web").await;
    let log = stage.runtime.machines.serial_log(id.as_str());
    let off = Off(&stage, server.clone());
    let console = Console::from_now(&log);
    stage.finish(&job).await;
    let (console, _) = wait_for(console, "COUNTER ").await;
    let (_, reached) = wait_for(console, "AT ").await;

    let console = Console::from_now(&log);
    let reset = servers.reset(&caller(), "web", None).await.unwrap();
    stage.finish(&reset).await;
    let (_, found) = wait_for(console, "COUNTER ").await;
    assert_eq!(found, 0, "it is as it was made");
    let after = stage.server("web").await;
    assert_eq!(after.power, Power::Running);
    assert_ne!(after.disk.id, server.disk.id);

    let console = Console::from_now(&log);
    let undo = servers.undo(&caller(), &reset).await.unwrap();
    stage.finish(&undo).await;
    let (_, found) = wait_for(console, "COUNTER ").await;
    assert!(found >= reached, "{found} after {reached}");
    assert_eq!(stage.server("web").await.disk.id, server.disk.id);

    // Given back, and gone with all that was made for it.
    let web = [id.to_string()];
    let jobs = servers.isolate(&caller(), &web, false).await.unwrap();
    stage.finish(&jobs[0]).await;
    assert_eq!(stage.server("web").await.power, Power::Isolated);
    let jobs = servers.terminate(&caller(), &web).await.unwrap();
    stage.finish(&jobs[0]).await;
    assert!(stage.is_gone("web").await);
    assert_eq!(stage.pool(), Vec::<String>::new());
    assert!(!log.exists(), "nothing of the machine is left");
    drop(off);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_call_makes_no_more_machines() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::open(folder.path(), shim().unwrap());
    guest_image(&stage).await;
    let servers = &stage.servers;
    let make = async || {
        servers
            .create(&keyed("token", "h"), instances(Some("web"), 3))
            .await
            .unwrap()
    };
    // Nobody works on them: that they are submitted is what is asked here.
    let (first, again) = tokio::join!(make(), make());
    assert_eq!(first, again);
    assert_eq!(make().await, first);
    for (n, (id, _)) in first.iter().enumerate() {
        let server = stage.server(&format!("web-{}", n + 1)).await;
        assert_eq!(&server.id, id);
    }
    let quotas = servers.quotas(&owner()).await.unwrap();
    assert_eq!(quotas.servers.used, 3);
    // Without a name each gets one of its own.
    let made = servers.create(&caller(), instances(None, 1)).await.unwrap();
    let server = stage.server(made[0].0.as_str()).await;
    assert!(server.name.starts_with("server-"), "{}", server.name);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_does_not_start_leaves_a_row_that_says_so() {
    let folder = tempfile::tempdir().unwrap();
    // Nothing is there that could supervise it.
    let mut shim = shim().unwrap();
    shim.program = folder.path().join("none");
    let stage = Stage::open(folder.path(), shim);
    guest_image(&stage).await;
    let made = stage
        .servers
        .create(&caller(), instances(Some("web"), 1))
        .await
        .unwrap();
    let worker = stage.worker().await;
    let ended = stage.ended(&made[0].1).await;
    worker.stop().await;
    assert_eq!(
        ended.outcome,
        Some(backout_core::outcome::Outcome::Reverted),
        "{ended:?}"
    );
    assert_eq!(stage.server("web").await.power, Power::LaunchFailed);
    assert_eq!(stage.pool(), Vec::<String>::new());
    let jobs = stage
        .servers
        .terminate(&caller(), &["web".to_owned()])
        .await;
    stage.finish(&jobs.unwrap()[0]).await;
    assert!(stage.is_gone("web").await);
}
