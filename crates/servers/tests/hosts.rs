//! Two hosts on one store: a call may come to the one that has not the disk.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;
use std::time::Duration;

use backout_core::code::Code;
use backout_core::ids::{JobId, OsEntropy, RequestId};
use backout_core::outcome::Outcome;
use backout_core::time::SystemClock;
use backout_disks::DriverKind;
use backout_jobs::{Jobs, Registry, Worker, WorkerConfig};
use backout_servers::model::PowerCommands;
use backout_servers::{AskedBy, Caller, DiskRef, NewServer, Runtime, Servers};
use backout_shim::Shim;
use backout_store::Store;

const OWNER: &str = "acct_aaaaaaaaaaaa";

fn caller() -> Caller {
    Caller {
        account: OWNER.parse().unwrap(),
        owner: OWNER.parse().unwrap(),
        request: RequestId::random(&OsEntropy),
        idempotency: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_that_was_asked_need_not_have_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let migrations = [backout_jobs::MIGRATIONS, backout_servers::MIGRATIONS].concat();
    let store = Store::open_sqlite(&folder.path().join("state.db"), &migrations).unwrap();
    let jobs = Jobs::new(store.clone(), Arc::new(SystemClock), Arc::new(OsEntropy));
    let on = |node: &str| {
        Servers::new(
            store.clone(),
            jobs.clone(),
            Arc::new(SystemClock),
            Arc::new(OsEntropy),
            node.to_owned(),
            Runtime::new(folder.path(), Shim::own(&["shim"])),
        )
    };
    let (here, there) = (on("here"), on("there"));
    let registry = here.register(Registry::new());
    let worker = Worker::start(&jobs, registry, WorkerConfig::new("here"))
        .await
        .unwrap();
    let ended = async |job: &JobId| jobs.wait(job, Duration::from_secs(60)).await.unwrap();

    let disk = folder.path().join("web.img");
    std::fs::write(&disk, vec![1_u8; 1 << 20]).unwrap();
    let new = NewServer {
        format: None,
        name: "web".to_owned(),
        disk: disk.clone(),
        driver: Some(DriverKind::Copy),
        commands: PowerCommands::default(),
        machine: None,
        running: false,
        tags: Vec::new(),
    };
    let (_, job) = here.add(&caller(), new).await.unwrap();
    assert_eq!(ended(&job).await.outcome, Some(Outcome::Applied));

    // Out of sight of the one that is asked.
    let owner = OWNER.parse().unwrap();
    let name = Some("first".to_owned());
    let (_, job) = there
        .create_snapshot(
            &caller(),
            DiskRef::Of("web".into()),
            name,
            Vec::new(),
            AskedBy::Caller,
        )
        .await
        .unwrap();
    assert_eq!(ended(&job).await.outcome, Some(Outcome::Applied));
    std::fs::write(&disk, vec![2_u8; 1 << 20]).unwrap();
    let told = there
        .propose_rollback(&owner, DiskRef::Of("web".into()), "first")
        .await
        .unwrap()
        .preflight;
    assert!(
        told.passed() && told.warnings.iter().any(|w| w.code == Code::Elsewhere),
        "{told:?}"
    );
    let job = there
        .apply_snapshot(&caller(), DiskRef::Of("web".into()), "first")
        .await
        .unwrap();
    assert_eq!(ended(&job).await.outcome, Some(Outcome::Applied));
    assert_eq!(std::fs::read(&disk).unwrap(), vec![1_u8; 1 << 20]);

    // What it could not see, the job sees.
    std::fs::write(&disk, vec![3_u8; 2 << 20]).unwrap();
    let job = there
        .apply_snapshot(&caller(), DiskRef::Of("web".into()), "first")
        .await
        .unwrap();
    let seen = ended(&job).await;
    assert_eq!(seen.outcome, Some(Outcome::Reverted));
    assert_eq!(seen.error.unwrap().code, Code::DiskSizeChanged);
    assert_eq!(std::fs::read(&disk).unwrap(), vec![3_u8; 2 << 20]);
    worker.stop().await;
}
