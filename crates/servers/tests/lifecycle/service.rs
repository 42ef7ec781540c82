//! What calls answer: all or none, the same when repeated, refused for the
//! right reason.

use std::fs::File;

use backout_core::ids::{DiskId, InstanceId, OsEntropy, SnapshotId};
use backout_core::outcome::Outcome;
use backout_core::time::Timestamp;
use backout_machines::{Boot, Forward, Spec, Stop};
use backout_servers::model::{
    Blueprint, BlueprintState, OperationKind, OperationState, Power, PowerCommands, Server,
    Snapshot, SnapshotKind, SnapshotState, Subject, Usage,
};
use backout_servers::persistence::{self, BlueprintFilter, Page};
use backout_servers::preflight::{BLUEPRINTS_MAX, SERVERS_MAX, SNAPSHOTS_PER_SERVER_MAX};
use backout_servers::{
    AskedBy, BATCH_MAX, DiskRef, NewBlueprint, NewInstances, NewServer, Quota, Refusal,
};

use crate::stage::{IMAGE, OLD, SIZE_BYTES, Stage, caller, keyed, owner, read, write};

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|n| (*n).to_owned()).collect()
}

fn instances(blueprint: &str) -> NewInstances {
    NewInstances {
        name: Some("fresh".to_owned()),
        count: 1,
        bundle: "bundle_1c512m10".to_owned(),
        blueprint: blueprint.to_owned(),
        tags: Vec::new(),
        forwards: Vec::new(),
    }
}

fn stage() -> (tempfile::TempDir, Stage) {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::plain(folder.path());
    (folder, stage)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_submitted_whole_or_not_at_all() {
    let (_folder, stage) = stage();
    for name in ["a", "b"] {
        stage.add(name, true).await;
    }
    stage.add("off", false).await;
    let servers = &stage.servers;
    let refused = servers
        .stop(&caller(), &names(&["a", "b", "off"]), Stop::Hard)
        .await;
    assert!(
        matches!(
            &refused,
            Err(Refusal::ServerState {
                power: Power::Stopped,
                ..
            })
        ),
        "{refused:?}"
    );
    for name in ["a", "b"] {
        assert_eq!(stage.server(name).await.power, Power::Running);
    }
    let a = stage.server("a").await.id.to_string();
    for bad in [
        names(&["a", "b", &a]),
        Vec::new(),
        vec!["a".to_owned(); BATCH_MAX + 1],
    ] {
        let refused = servers.stop(&caller(), &bad, Stop::Hard).await;
        assert!(matches!(refused, Err(Refusal::Invalid(_))), "{refused:?}");
    }
    let jobs = servers
        .stop(&caller(), &names(&["a", "b"]), Stop::Hard)
        .await
        .unwrap();
    assert_eq!(jobs.len(), 2);
    // Each is held by its own job until that has ended.
    let refused = servers.start(&caller(), &names(&["a"])).await;
    assert!(
        matches!(&refused, Err(Refusal::ServerBusy { job, kind: Some(OperationKind::Stop), .. }) if *job == jobs[0]),
        "{refused:?}"
    );
    for job in &jobs {
        stage.finish(job).await;
    }
    for name in ["a", "b"] {
        let server = stage.server(name).await;
        assert_eq!(server.power, Power::Stopped);
        let latest = server.latest.unwrap();
        assert_eq!(latest.kind, OperationKind::Stop);
        assert_eq!(latest.state, OperationState::Success);
        assert!(!stage.runs(name));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_call_answers_the_same() {
    let (_folder, stage) = stage();
    for name in ["a", "b", "c"] {
        stage.add(name, true).await;
    }
    let servers = &stage.servers;
    let three = names(&["a", "b", "c"]);
    let first = servers
        .stop(&keyed("k", "h"), &three, Stop::Hard)
        .await
        .unwrap();
    let again = servers
        .stop(&keyed("k", "h"), &three, Stop::Hard)
        .await
        .unwrap();
    assert_eq!(first, again);
    let other = servers.stop(&keyed("k", "other"), &three, Stop::Hard).await;
    assert!(matches!(other, Err(Refusal::IdempotencyMismatch)));
    for job in &first {
        stage.finish(job).await;
    }
    let later = servers
        .stop(&keyed("k", "h"), &three, Stop::Hard)
        .await
        .unwrap();
    assert_eq!(first, later, "though they are stopped by now");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_state_allows_what_it_allows() {
    let (_folder, stage) = stage();
    let server = stage.add("web", true).await;
    let web = names(&["web"]);
    let denied = async || -> Vec<&'static str> {
        let all = stage.servers.denied_on_servers(&owner(), &web).await;
        let (id, denied) = all.unwrap().remove(0);
        assert_eq!(id, server.id);
        denied.iter().map(|d| d.action.as_str()).collect()
    };
    // An image of a running server is made: it is stopped meanwhile, unless the
    // call is against that.
    assert_eq!(denied().await, ["start", "terminate"]);
    let jobs = stage.servers.stop(&caller(), &web, Stop::Hard).await;
    let jobs = jobs.unwrap();
    assert_eq!(
        denied().await,
        [
            "start",
            "stop",
            "reboot",
            "isolate",
            "terminate",
            "rename",
            "create_snapshot",
            "create_blueprint",
            "attach",
            "reset"
        ]
    );
    stage.finish(&jobs[0]).await;
    assert_eq!(denied().await, ["stop", "reboot", "terminate"]);
    let jobs = stage.servers.isolate(&caller(), &web, false).await;
    stage.finish(&jobs.unwrap()[0]).await;
    assert_eq!(
        denied().await,
        [
            "start",
            "stop",
            "reboot",
            "isolate",
            "create_snapshot",
            "create_blueprint",
            "attach",
            "reset"
        ]
    );
    stage.servers.rename(&caller(), &web, "gone").await.unwrap();
    let jobs = stage.servers.terminate(&caller(), &names(&["gone"])).await;
    stage.finish(&jobs.unwrap()[0]).await;
    assert!(stage.is_gone("gone").await);
    assert_eq!(read(&stage.disk("web")), OLD, "a user's file stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_s_disk_keeps_its_restore_points_beside_it() {
    let (_folder, stage) = stage();
    stage.add("web", false).await;
    stage.snapshot("web", "kept").await;
    let web = names(&["web"]);
    let jobs = stage.servers.isolate(&caller(), &web, false).await;
    stage.finish(&jobs.unwrap()[0]).await;
    let jobs = stage.servers.terminate(&caller(), &web).await;
    stage.finish(&jobs.unwrap()[0]).await;
    let left: Vec<_> = std::fs::read_dir(stage.folder.join("web.img.backout"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(left.iter().any(|f| f.starts_with("point-")), "{left:?}");
    // And it can come back.
    stage.add("web", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_stands_alone_cannot_be_started() {
    let (_folder, stage) = stage();
    write(&stage.disk("alone"), OLD);
    let new = NewServer {
        format: None,
        name: "alone".to_owned(),
        disk: stage.disk("alone"),
        driver: None,
        commands: PowerCommands::default(),
        machine: None,
        running: false,
        tags: Vec::new(),
    };
    let (_, job) = stage.servers.add(&caller(), new).await.unwrap();
    stage.finish(&job).await;
    let refused = stage.servers.start(&caller(), &names(&["alone"])).await;
    let Err(refused @ Refusal::ServerState { .. }) = refused else {
        unreachable!("{refused:?}");
    };
    assert!(refused.to_string().contains("no start command"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_fails_leaves_the_server_as_it_was() {
    let (_folder, stage) = stage();
    write(&stage.disk("web"), OLD);
    let new = NewServer {
        format: None,
        name: "web".to_owned(),
        disk: stage.disk("web"),
        driver: None,
        commands: PowerCommands {
            start: Some("exit 1".to_owned()),
            stop: Some("true".to_owned()),
        },
        machine: None,
        running: false,
        tags: Vec::new(),
    };
    let (_, job) = stage.servers.add(&caller(), new).await.unwrap();
    stage.finish(&job).await;
    let jobs = stage.servers.start(&caller(), &names(&["web"])).await;
    let worker = stage.worker().await;
    let ended = stage.ended(&jobs.unwrap()[0]).await;
    worker.stop().await;
    assert_eq!(ended.outcome, Some(Outcome::Reverted), "{ended:?}");
    let server = stage.server("web").await;
    assert_eq!(server.power, Power::Stopped);
    assert_eq!(server.latest.unwrap().state, OperationState::Failed);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_commands_are_put_right_while_their_job_is_held() {
    let (_folder, stage) = stage();
    let right = stage.commands("web");
    write(&stage.disk("web"), OLD);
    let new = NewServer {
        format: None,
        name: "web".to_owned(),
        disk: stage.disk("web"),
        driver: None,
        commands: PowerCommands {
            start: Some("exit 3".to_owned()),
            stop: Some("exit 4".to_owned()),
        },
        machine: None,
        running: false,
        tags: Vec::new(),
    };
    let (_, job) = stage.servers.add(&caller(), new).await.unwrap();
    stage.finish(&job).await;
    let servers = &stage.servers;
    let worker = stage.worker().await;
    let job = servers.start(&caller(), &names(&["web"])).await.unwrap()[0].clone();
    let held = stage.ended(&job).await;
    assert_eq!(held.outcome, Some(Outcome::Held), "{held:?}");

    // What is not named stays.
    let set = servers
        .set_commands(&caller(), "web", None, Some(right.stop.clone()))
        .await
        .unwrap();
    assert_eq!(set.commands.start.as_deref(), Some("exit 3"));
    assert_eq!(set.commands.stop, right.stop);
    stage.jobs.retry(&job).await.unwrap();
    let ended = stage.ended(&job).await;
    assert_eq!(ended.outcome, Some(Outcome::Reverted), "{ended:?}");
    assert_eq!(stage.server("web").await.power, Power::Stopped);

    servers
        .set_commands(&caller(), "web", Some(right.start.clone()), None)
        .await
        .unwrap();
    let job = servers.start(&caller(), &names(&["web"])).await.unwrap()[0].clone();
    let ended = stage.ended(&job).await;
    worker.stop().await;
    assert_eq!(ended.outcome, Some(Outcome::Applied), "{ended:?}");
    assert!(stage.runs("web"));

    servers
        .set_commands(&caller(), "web", None, Some(None))
        .await
        .unwrap();
    assert_eq!(
        stage.server("web").await.commands,
        PowerCommands {
            start: right.start,
            stop: None
        }
    );
    let refused = servers
        .stop(&caller(), &names(&["web"]), Stop::Hard)
        .await
        .unwrap_err();
    let hint = "give it one with: backout servers set web --stop-cmd ...";
    assert!(refused.to_string().ends_with(hint), "{refused}");

    let spec = Spec {
        cpus: 1,
        memory_bytes: 256 << 20,
        boot: Boot::Disk,
        forwards: Vec::new(),
    };
    let machine = row(1, Some(spec));
    let (id, row) = (machine.id.clone(), machine);
    let insert = stage
        .store
        .write(move |tx| persistence::insert_server(tx, &row));
    assert!(insert.await.unwrap());
    let refused = servers
        .set_commands(&caller(), id.as_str(), Some(None), None)
        .await
        .unwrap_err();
    assert!(matches!(refused, Refusal::Invalid(_)), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_stay_unique() {
    let (_folder, stage) = stage();
    for name in ["a", "b", "c"] {
        stage.add(name, false).await;
    }
    let servers = &stage.servers;
    let taken = servers.rename(&caller(), &names(&["a"]), "b").await;
    assert!(
        matches!(&taken, Err(Refusal::Taken(n)) if n == "b"),
        "{taken:?}"
    );
    let a = stage.server("a").await.id;
    servers
        .rename(&caller(), &names(&["a"]), "a")
        .await
        .unwrap();
    // Those of a batch are numbered, also when one has the name that another
    // is to get.
    servers
        .rename(&caller(), &names(&["a", "b"]), "web")
        .await
        .unwrap();
    servers
        .rename(&caller(), &names(&["web-2", "web-1"]), "web")
        .await
        .unwrap();
    assert_eq!(stage.server("web-2").await.id, a);
    let latest = stage.server("web-2").await.latest.unwrap();
    assert_eq!(latest.kind, OperationKind::Rename);
    assert_eq!(latest.state, OperationState::Success);
    // All or none.
    servers
        .rename(&caller(), &names(&["c"]), "db-2")
        .await
        .unwrap();
    let taken = servers
        .rename(&caller(), &names(&["web-1", "web-2"]), "db")
        .await;
    assert!(matches!(taken, Err(Refusal::Taken(_))));
    assert_eq!(stage.server("web-2").await.id, a);
    for bad in ["", &"x".repeat(61)] {
        let refused = servers.rename(&caller(), &names(&["c"]), bad).await;
        assert!(matches!(refused, Err(Refusal::Invalid(_))));
    }
    let refused = servers.rename(&caller(), &names(&["nobody"]), "x").await;
    assert!(matches!(refused, Err(Refusal::ServerNotFound(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn making_a_server_is_refused_for_what_is_wrong() {
    let (_folder, stage) = stage();
    stage.add("web", false).await;
    stage.image("base").await;
    let large = stage.folder.join("large.image");
    File::create(&large).unwrap().set_len(11 << 30).unwrap();
    let new = NewBlueprint {
        format: None,
        name: "large".to_owned(),
        description: String::new(),
        file: large,
        boot: Boot::Disk,
        tags: Vec::new(),
    };
    stage.servers.add_blueprint(&caller(), new).await.unwrap();
    type Check = fn(&Refusal) -> bool;
    let forward = Forward {
        host: 2222,
        guest: 22,
    };
    let cases: &[(NewInstances, Check)] = &[
        (
            NewInstances {
                bundle: "bundle_none".to_owned(),
                ..instances("base")
            },
            |r| matches!(r, Refusal::BundleNotFound(_)),
        ),
        (instances("none"), |r| {
            matches!(r, Refusal::BlueprintNotFound(_))
        }),
        (instances("large"), |r| {
            matches!(r, Refusal::Disk(backout_disks::Error::ImageTooLarge { .. }))
        }),
        (
            NewInstances {
                name: Some("web".to_owned()),
                ..instances("base")
            },
            |r| matches!(r, Refusal::Taken(_)),
        ),
        (
            NewInstances {
                name: Some("x".repeat(59)),
                count: 2,
                ..instances("base")
            },
            |r| matches!(r, Refusal::Invalid(_)),
        ),
        (
            NewInstances {
                count: 0,
                ..instances("base")
            },
            |r| matches!(r, Refusal::Invalid(_)),
        ),
        (
            NewInstances {
                count: 2,
                forwards: vec![forward],
                ..instances("base")
            },
            |r| matches!(r, Refusal::Invalid(_)),
        ),
        (
            NewInstances {
                forwards: vec![forward, forward],
                ..instances("base")
            },
            |r| matches!(r, Refusal::Invalid(_)),
        ),
    ];
    for (new, check) in cases {
        let refused = stage.servers.create(&caller(), new.clone()).await;
        assert!(refused.as_ref().is_err_and(check), "{new:?}: {refused:?}");
    }
    let proposal = stage
        .servers
        .propose_create(&owner(), &instances("large"))
        .await;
    let proposal = proposal.unwrap();
    assert!(!proposal.preflight.passed());
    assert_eq!(proposal.plan.procedure, "servers.create");
    assert_eq!(proposal.plan.claims.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_not_deleted_under_a_disk_in_the_making() {
    let (_folder, stage) = stage();
    stage.add("web", false).await;
    let image = stage.image("base").await;
    let servers = &stage.servers;
    let job = servers.reset(&caller(), "web", Some("base")).await.unwrap();
    let refused = servers.delete_blueprint(&caller(), "base").await;
    assert!(
        matches!(&refused, Err(Refusal::BlueprintUsed { job: by, .. }) if *by == job),
        "{refused:?}"
    );
    stage.finish(&job).await;
    let deletion = servers.delete_blueprint(&caller(), "base").await.unwrap();
    // From here on nobody makes a disk of it, or deletes it twice.
    for refused in [
        servers.reset(&caller(), "web", Some("base")).await,
        servers.delete_blueprint(&caller(), "base").await,
    ] {
        let state = BlueprintState::Deleting;
        assert!(
            matches!(&refused, Err(Refusal::BlueprintState { state: s, .. }) if *s == state),
            "{refused:?}"
        );
    }
    stage.finish(&deletion).await;
    assert_eq!(read(&image.file), IMAGE, "a user's file stays");
    // The server was made of it, and it is gone.
    let refused = servers.reset(&caller(), "web", None).await;
    assert!(matches!(refused, Err(Refusal::BlueprintNotFound(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_can_be_undone_and_that_as_well() {
    let (_folder, stage) = stage();
    let before = stage.add("web", false).await;
    stage.snapshot("web", "good").await;
    let image = stage.image("base").await;
    let servers = &stage.servers;
    let refused = servers.reset(&caller(), "web", None).await;
    assert!(matches!(refused, Err(Refusal::Invalid(_))), "made of none");

    let reset = servers.reset(&caller(), "web", Some("base")).await.unwrap();
    stage.finish(&reset).await;
    let after = stage.server("web").await;
    assert_ne!(after.disk.id, before.disk.id);
    assert_eq!(after.blueprint.as_ref(), Some(&image.id));
    assert_eq!(read(&after.disk.head), IMAGE);
    let disk = || DiskRef::Of("web".to_owned());
    let refused = servers.apply_snapshot(&caller(), disk(), "good").await;
    assert!(matches!(refused, Err(Refusal::OtherDisk { .. })));
    stage.snapshot("web", "new").await;

    let undo = servers.undo(&caller(), &reset).await.unwrap();
    stage.finish(&undo).await;
    let undone = stage.server("web").await;
    assert_eq!(undone.disk, before.disk);
    assert_eq!(undone.blueprint, None);
    assert_eq!(read(&undone.disk.head), OLD);
    let refused = servers.apply_snapshot(&caller(), disk(), "new").await;
    assert!(matches!(refused, Err(Refusal::OtherDisk { .. })));
    let back = servers.apply_snapshot(&caller(), disk(), "good").await;
    stage.finish(&back.unwrap()).await;

    let redo = servers.undo(&caller(), &undo).await.unwrap();
    stage.finish(&redo).await;
    let redone = stage.server("web").await;
    assert_eq!(redone.disk.id, after.disk.id);
    assert_eq!(redone.blueprint, after.blueprint);
    assert_eq!(read(&redone.disk.head), IMAGE);
    let back = servers.apply_snapshot(&caller(), disk(), "new").await;
    stage.finish(&back.unwrap()).await;

    // Now it was made of one.
    let reset = servers.reset(&caller(), "web", None).await.unwrap();
    stage.finish(&reset).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn images_of_servers() {
    let (_folder, stage) = stage();
    let server = stage.add("web", true).await;
    let servers = &stage.servers;
    let make = async |force: bool| {
        servers
            .create_blueprint(
                &keyed("k", "h"),
                "golden",
                "words",
                "web",
                force,
                Vec::new(),
            )
            .await
    };
    let refused = make(false).await;
    assert!(
        matches!(
            &refused,
            Err(Refusal::ServerState {
                power: Power::Running,
                ..
            })
        ),
        "{refused:?}"
    );
    let (id, job) = make(true).await.unwrap();
    assert_eq!(make(true).await.unwrap(), (id.clone(), job.clone()));
    let creating = servers.blueprint(&owner(), id.as_str()).await.unwrap();
    assert_eq!(creating.state, BlueprintState::Creating);
    let refused = servers.delete_blueprint(&caller(), id.as_str()).await;
    assert!(matches!(refused, Err(Refusal::BlueprintState { .. })));
    stage.finish(&job).await;
    let page = Page {
        offset: 0,
        limit: 10,
    };
    let (total, images) = servers
        .blueprints(&owner(), BlueprintFilter::default(), page)
        .await
        .unwrap();
    assert_eq!(total, 1);
    assert_eq!(images[0].state, BlueprintState::Normal);
    assert_eq!(images[0].size_bytes, SIZE_BYTES);
    assert!(images[0].made);
    // It does for a reset.
    write(&server.disk.head, IMAGE);
    let reset = servers.reset(&caller(), "web", Some("golden")).await;
    stage.finish(&reset.unwrap()).await;
    assert_eq!(read(&server.disk.head), OLD);
    assert_eq!(stage.server("web").await.power, Power::Running);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_existing_file_becomes_an_image_only_when_it_can_be_one() {
    let (_folder, stage) = stage();
    let add = async |file: &str, boot: Boot| {
        let new = NewBlueprint {
            format: None,
            name: "x".to_owned(),
            description: String::new(),
            file: stage.folder.join(file),
            boot,
            tags: Vec::new(),
        };
        stage.servers.add_blueprint(&caller(), new).await
    };
    let refused = add("none.image", Boot::Disk).await;
    assert!(matches!(refused, Err(Refusal::NoDiskFile(_))));
    std::fs::write(stage.folder.join("foreign"), b"KDMV----").unwrap();
    let refused = add("foreign", Boot::Disk).await;
    assert!(matches!(refused, Err(Refusal::Disk(_))), "{refused:?}");
    write(&stage.folder.join("good"), IMAGE);
    let kernel = Boot::Kernel {
        kernel: stage.folder.join("no-kernel"),
        initrd: None,
        append: String::new(),
    };
    let refused = add("good", kernel).await;
    assert!(matches!(refused, Err(Refusal::Invalid(_))), "{refused:?}");
    // Built on another file, which may change or go.
    let made = std::process::Command::new("qemu-img")
        .args([
            "create",
            "-q",
            "-f",
            "qcow2",
            "-F",
            "raw",
            "-b",
            "good",
            "top.qcow2",
        ])
        .current_dir(&stage.folder)
        .status()
        .unwrap();
    assert!(made.success());
    let refused = add("top.qcow2", Boot::Disk).await;
    assert!(matches!(refused, Err(Refusal::Disk(_))), "{refused:?}");
    let added = add("good", Boot::Disk).await.unwrap();
    assert_eq!(added.size_bytes, SIZE_BYTES);
    assert_eq!(added.state, BlueprintState::Normal);
    assert!(!added.made);
}

/// A server's row, of the `n`th that were added at once.
fn row(n: u64, machine: Option<Spec>) -> Server {
    Server {
        id: InstanceId::random(&OsEntropy),
        owner: owner(),
        name: format!("row-{n}"),
        node: crate::stage::NODE.to_owned(),
        power: Power::Stopped,
        commands: PowerCommands::default(),
        machine,
        disk: backout_servers::model::Volume {
            id: DiskId::random(&OsEntropy),
            head: format!("/nowhere/{n}.img").into(),
            format: backout_disks::Format::Raw,
            driver: backout_disks::DriverKind::Copy,
            size_bytes: SIZE_BYTES,
        },
        made: false,
        bundle: None,
        blueprint: None,
        isolated: None,
        schedule: None,
        latest: None,
        created: Timestamp(1),
        tags: Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_an_end_to_everything() {
    let (_folder, stage) = stage();
    let server = stage.add("web", false).await;
    let image = stage.image("base").await;
    let used = |q: Quota| q.used;
    let quotas = stage.servers.quotas(&owner()).await.unwrap();
    assert_eq!((used(quotas.servers), used(quotas.images)), (1, 1));
    assert_eq!((used(quotas.snapshots), used(quotas.data_disks)), (0, 0));
    assert!(quotas.snapshots.total >= 1_000_000);

    let id = server.id.clone();
    let disk = server.disk.id.clone();
    stage
        .store
        .write(move |tx| {
            for n in 1..SERVERS_MAX {
                assert!(persistence::insert_server(tx, &row(n, None))?);
            }
            for n in 1..BLUEPRINTS_MAX {
                let more = Blueprint {
                    id: backout_core::ids::BlueprintId::random(&OsEntropy),
                    name: format!("image-{n}"),
                    ..image.clone()
                };
                persistence::insert_blueprint(tx, &more)?;
            }
            for n in 0..SNAPSHOTS_PER_SERVER_MAX {
                let snapshot = Snapshot {
                    id: SnapshotId::random(&OsEntropy).into(),
                    owner: owner(),
                    subject: Subject::Server(id.clone()),
                    disk: disk.clone(),
                    kind: SnapshotKind::User,
                    name: format!("s{n}"),
                    state: SnapshotState::Normal,
                    point: None,
                    size_bytes: SIZE_BYTES,
                    latest: None,
                    job: None,
                    created: Timestamp(1),
                    expires: None,
                    tags: Vec::new(),
                };
                persistence::insert_snapshot(tx, &snapshot)?;
            }
            Ok::<_, backout_store::Error>(())
        })
        .await
        .unwrap();
    let quotas = stage.servers.quotas(&owner()).await.unwrap();
    assert_eq!(used(quotas.servers), quotas.servers.total);
    assert_eq!(used(quotas.images), quotas.images.total);
    assert_eq!(used(quotas.snapshots), SNAPSHOTS_PER_SERVER_MAX);

    let refused = |what: &str, refusal: Refusal| {
        assert!(
            matches!(&refusal, Refusal::Quota { what: w, .. } if *w == what),
            "{refusal:?}"
        );
    };
    let servers = &stage.servers;
    refused(
        "servers",
        servers
            .create(&caller(), instances("base"))
            .await
            .unwrap_err(),
    );
    write(&stage.disk("more"), OLD);
    let new = NewServer {
        format: None,
        name: "more".to_owned(),
        disk: stage.disk("more"),
        driver: None,
        commands: PowerCommands::default(),
        machine: None,
        running: false,
        tags: Vec::new(),
    };
    refused("servers", servers.add(&caller(), new).await.unwrap_err());
    let made = servers
        .create_blueprint(&caller(), "more", "", "web", false, Vec::new())
        .await;
    refused("images", made.unwrap_err());
    let new = NewBlueprint {
        format: None,
        name: "more".to_owned(),
        description: String::new(),
        file: stage.disk("more"),
        boot: Boot::Disk,
        tags: Vec::new(),
    };
    refused(
        "images",
        servers.add_blueprint(&caller(), new).await.unwrap_err(),
    );
    let taken = servers
        .create_snapshot(
            &caller(),
            DiskRef::Of("web".to_owned()),
            None,
            Vec::new(),
            AskedBy::Caller,
        )
        .await;
    refused("snapshots of one server", taken.unwrap_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn data_disks_go_free_with_their_server() {
    let (_folder, stage) = stage();
    let server = stage.add("web", false).await;
    stage.data_disk("data", &server).await;
    let web = names(&["web"]);
    let jobs = stage.servers.isolate(&caller(), &web, false).await;
    stage.finish(&jobs.unwrap()[0]).await;
    let disk = stage.servers.disk(&owner(), "data").await.unwrap();
    assert_eq!(disk.server, Some(server.id), "it was not asked for");
    let jobs = stage.servers.terminate(&caller(), &web).await.unwrap();
    // The disk is claimed with its server.
    let claims = stage.jobs.claims_of(&jobs[0]).await.unwrap();
    assert_eq!(claims.len(), 2, "{claims:?}");
    stage.finish(&jobs[0]).await;
    let disk = stage.servers.disk(&owner(), "data").await.unwrap();
    assert_eq!((disk.server, disk.usage), (None, Usage::Data));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_believed_of_a_machine_yields_to_what_is() {
    let (_folder, stage) = stage();
    let machine = Some(Spec {
        cpus: 1,
        memory_bytes: 64 << 20,
        boot: Boot::Disk,
        forwards: Vec::new(),
    });
    write(&stage.disk("web"), OLD);
    let new = NewServer {
        format: None,
        name: "web".to_owned(),
        disk: stage.disk("web"),
        driver: None,
        commands: PowerCommands::default(),
        machine,
        running: false,
        tags: Vec::new(),
    };
    let (server, job) = stage.servers.add(&caller(), new).await.unwrap();
    stage.finish(&job).await;
    assert_eq!(stage.server("web").await.power, Power::Stopped);
    assert_eq!(stage.servers.reconcile_power().await.unwrap(), 0);
    // The guest has shut itself down.
    let id = server.id.clone();
    let believe = async |power: Power| {
        let id = id.clone();
        stage
            .store
            .write(move |tx| persistence::set_power(tx, &id, power))
            .await
            .unwrap();
    };
    believe(Power::Running).await;
    assert_eq!(stage.servers.reconcile_power().await.unwrap(), 1);
    assert_eq!(stage.server("web").await.power, Power::Stopped);
    assert_eq!(stage.servers.reconcile_power().await.unwrap(), 0);
    // What a job has in hand is its affair.
    believe(Power::Running).await;
    let jobs = stage
        .servers
        .stop(&caller(), &names(&["web"]), Stop::Hard)
        .await;
    believe(Power::Running).await;
    assert_eq!(stage.servers.reconcile_power().await.unwrap(), 0);
    assert_eq!(stage.server("web").await.power, Power::Running);
    stage.finish(&jobs.unwrap()[0]).await;
    assert_eq!(stage.server("web").await.power, Power::Stopped);
    // What was given back is not looked at.
    believe(Power::Isolated).await;
    assert_eq!(stage.servers.reconcile_power().await.unwrap(), 0);
}
