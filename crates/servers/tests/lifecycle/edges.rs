//! What is taken, what is gone, and what is not what it was: the edges at which
//! a call or a job has to say no, or to go on all the same.

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use backout_core::code::Code;
use backout_core::ids::{AccountId, JobId, OsEntropy};
use backout_core::outcome::Outcome;
use backout_core::time::Timestamp;
use backout_disks::{DriverKind, Format};
use backout_machines::{Boot, Spec, Stop};
use backout_servers::model::{
    BlueprintState, Holding, OperationKind, Power, PowerCommands, Server, SnapshotKind,
};
use backout_servers::persistence::{self, Page, SnapshotFilter};
use backout_servers::{
    AskedBy, Caller, DiskRef, NewBlueprint, NewDisk, NewServer, Refusal, Source, preflight,
};

use crate::stage::{OLD, SAFETY_DAYS, SIZE_BYTES, Stage, caller, owner, read, write};

fn stage() -> (tempfile::TempDir, Stage) {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::plain(folder.path());
    (folder, stage)
}

fn spec() -> Spec {
    Spec {
        cpus: 1,
        memory_bytes: 64 << 20,
        boot: Boot::Disk,
        forwards: Vec::new(),
    }
}

/// A server that is a machine, and off.
async fn machine(stage: &Stage, name: &str) -> Server {
    write(&stage.disk(name), OLD);
    let new = NewServer {
        format: None,
        name: name.to_owned(),
        disk: stage.disk(name),
        driver: None,
        commands: PowerCommands::default(),
        machine: Some(spec()),
        running: false,
        tags: Vec::new(),
    };
    let (server, job) = stage.servers.add(&caller(), new).await.unwrap();
    stage.finish(&job).await;
    server
}

/// Another process, which can write to a file for as long as this lives.
struct Other(Child);

impl Other {
    fn with(file: &Path) -> Self {
        let mut child = Command::new("sh")
            .args(["-c", "exec 3>>\"$0\"; echo it is open; exec sleep 600"])
            .arg(file)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let out = child.stdout.take().unwrap();
        BufReader::new(out).read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "it is open");
        Self(child)
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn set_power(stage: &Stage, server: &Server, power: Power) {
    let id = server.id.clone();
    stage
        .store
        .write(move |tx| persistence::set_power(tx, &id, power))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_safety_point_of_a_reset_is_kept_as_long_as_others() {
    let (_folder, stage) = stage();
    stage.add("web", false).await;
    stage.image("base").await;
    let reset = stage.servers.reset(&caller(), "web", Some("base")).await;
    stage.finish(&reset.unwrap()).await;
    let filter = SnapshotFilter {
        safety: Some(true),
        ..SnapshotFilter::default()
    };
    let page = Page {
        offset: 0,
        limit: 10,
    };
    let (_, points) = stage
        .servers
        .snapshots(&owner(), filter, page)
        .await
        .unwrap();
    let [(point, _)] = points.as_slice() else {
        unreachable!("{points:?}");
    };
    assert_eq!(point.kind, SnapshotKind::Safety);
    let keep_ms = i64::from(SAFETY_DAYS) * 24 * 3_600_000;
    assert_eq!(point.expires, Some(Timestamp(point.created.0 + keep_ms)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_creation_waits_for_a_person_and_says_so() {
    let (_folder, stage) = stage();
    let mut server = stage.add("web", false).await;
    server.power = Power::Creating;
    let target =
        |holding: &Holding| preflight::Target::system(server.clone(), Some(holding.clone()));
    for held in [false, true] {
        let holding = Holding {
            job: JobId::random(&OsEntropy),
            kind: Some(OperationKind::Adopt),
            held,
        };
        let facts = preflight::DiskFacts::elsewhere();
        for judged in [
            preflight::start(&server, Some(&holding), None),
            preflight::rename(&server, Some(&holding)),
            preflight::create_snapshot(&target(&holding), facts),
        ] {
            let refusal = judged.clear().unwrap_err();
            match &refusal {
                Refusal::ServerCreating(_) => assert!(!held),
                Refusal::ServerBusy {
                    held: true, job, ..
                } => {
                    assert!(held);
                    assert_eq!(*job, holding.job);
                }
                other => unreachable!("{other:?}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_else_has_the_disk_of_a_machine_open_is_not_stopped_with_it() {
    let (_folder, stage) = stage();
    let server = machine(&stage, "web").await;
    stage.image("base").await;
    let open = Other::with(&server.disk.head);
    let refused = stage.servers.reset(&caller(), "web", Some("base")).await;
    assert!(matches!(refused, Err(Refusal::InUse { .. })), "{refused:?}");
    let make = async || {
        stage
            .servers
            .create_blueprint(&caller(), "golden", "", "web", true, Vec::new())
            .await
    };
    for power in [Power::Stopped, Power::Running] {
        set_power(&stage, &server, power).await;
        let refused = make().await;
        assert!(matches!(refused, Err(Refusal::InUse { .. })), "{refused:?}");
    }
    drop(open);
    make().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_was_made_larger_is_reset_at_that_size() {
    let (_folder, stage) = stage();
    let server = stage.add("web", false).await;
    stage.image("base").await;
    let grown = 3 * SIZE_BYTES;
    let grow = |path: &Path, size_bytes| {
        let file = OpenOptions::new().write(true).open(path).unwrap();
        file.set_len(size_bytes).unwrap();
    };
    grow(&server.disk.head, grown);
    let reset = stage.servers.reset(&caller(), "web", Some("base")).await;
    let reset = reset.unwrap();
    stage.finish(&reset).await;
    assert_eq!(stage.server("web").await.disk.size_bytes, grown);
    assert_eq!(std::fs::metadata(&server.disk.head).unwrap().len(), grown);
    let undo = stage.servers.undo(&caller(), &reset).await.unwrap();
    stage.finish(&undo).await;
    assert_eq!(read(&server.disk.head), OLD);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_image_is_made_of_a_disk_that_somebody_began_to_use() {
    let (_folder, stage) = stage();
    let server = stage.add("web", false).await;
    let made = stage
        .servers
        .create_blueprint(&caller(), "golden", "", "web", false, Vec::new())
        .await;
    let (id, job) = made.unwrap();
    let _open = Other::with(&server.disk.head);
    let worker = stage.worker().await;
    let ended = stage.ended(&job).await;
    worker.stop().await;
    assert_eq!(ended.outcome, Some(Outcome::Reverted), "{ended:?}");
    let image = stage.servers.blueprint(&owner(), id.as_str()).await;
    assert_eq!(image.unwrap().state, BlueprintState::Failed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_runs_under_the_lock_of_the_disk_and_does_not_keep_it() {
    let (_folder, stage) = stage();
    write(&stage.disk("web"), OLD);
    let lock = stage.folder.join("web.img.backout/lock");
    let told = stage.folder.join("told");
    let look = format!(
        "if flock -n '{}' true; then echo free; else echo held; fi >> '{}'",
        lock.display(),
        told.display()
    );
    let new = NewServer {
        format: None,
        name: "web".to_owned(),
        disk: stage.disk("web"),
        driver: None,
        commands: PowerCommands {
            // It leaves a process behind.
            start: Some(format!(
                "{look}; sleep 600 & echo $! > '{}.pid'",
                told.display()
            )),
            stop: Some(format!("{look}; kill $(cat '{}.pid')", told.display())),
        },
        machine: None,
        running: false,
        tags: Vec::new(),
    };
    let (_, job) = stage.servers.add(&caller(), new).await.unwrap();
    stage.finish(&job).await;
    let web = vec!["web".to_owned()];
    let jobs = stage.servers.start(&caller(), &web).await;
    stage.finish(&jobs.unwrap()[0]).await;
    let free = Command::new("flock")
        .arg("-n")
        .arg(&lock)
        .arg("true")
        .status();
    assert!(free.unwrap().success());
    let jobs = stage.servers.stop(&caller(), &web, Stop::Hard).await;
    stage.finish(&jobs.unwrap()[0]).await;
    assert_eq!(std::fs::read_to_string(&told).unwrap(), "held\nheld\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_folder_is_gone_can_be_given_back() {
    let (_folder, stage) = stage();
    let told = stage.folder.join("told");
    for name in ["commands", "machine"] {
        let is_machine = name == "machine";
        let folder = stage.folder.join(name);
        std::fs::create_dir(&folder).unwrap();
        write(&folder.join("disk"), OLD);
        let commands = PowerCommands {
            start: Some("true".to_owned()),
            stop: Some(format!("echo stopped >> '{}'", told.display())),
        };
        let new = NewServer {
            format: None,
            name: name.to_owned(),
            disk: folder.join("disk"),
            driver: None,
            commands: if is_machine {
                PowerCommands::default()
            } else {
                commands
            },
            machine: is_machine.then(spec),
            running: !is_machine,
            tags: Vec::new(),
        };
        let (_, job) = stage.servers.add(&caller(), new).await.unwrap();
        stage.finish(&job).await;
        std::fs::remove_dir_all(&folder).unwrap();
        let named = vec![name.to_owned()];
        let jobs = stage.servers.isolate(&caller(), &named, false).await;
        stage.finish(&jobs.unwrap()[0]).await;
        let jobs = stage.servers.terminate(&caller(), &named).await;
        stage.finish(&jobs.unwrap()[0]).await;
        assert!(stage.is_gone(name).await);
    }
    let told = std::fs::read_to_string(told).unwrap();
    assert!(told.starts_with("stopped"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_beside_which_no_points_can_lie_is_not_taken() {
    let (_folder, stage) = stage();
    write(&stage.disk("web"), OLD);
    let beside = stage.folder.join("web.img.backout");
    std::fs::write(&beside, "in the way").unwrap();
    let new = NewServer {
        format: None,
        name: "web".to_owned(),
        disk: stage.disk("web"),
        driver: None,
        commands: PowerCommands::default(),
        machine: None,
        running: false,
        tags: Vec::new(),
    };
    let refused = stage.servers.add(&caller(), new.clone()).await;
    let Err(refused @ Refusal::Disk(_)) = refused else {
        unreachable!("{refused:?}");
    };
    assert!(refused.to_string().contains("move it away"), "{refused}");
    assert!(stage.is_gone("web").await);
    std::fs::remove_file(&beside).unwrap();
    let (_, job) = stage.servers.add(&caller(), new).await.unwrap();
    stage.finish(&job).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_file_is_a_disk_and_an_image_at_once() {
    let (_folder, stage) = stage();
    let servers = &stage.servers;
    let server = stage.add("web", false).await;
    let made = servers
        .create_blueprint(&caller(), "golden", "", "web", false, Vec::new())
        .await;
    let (made, job) = made.unwrap();
    stage.finish(&job).await;
    let made = servers.blueprint(&owner(), made.as_str()).await.unwrap();
    let existing = stage.image("base").await;
    let link = stage.folder.join("link");
    std::os::unix::fs::symlink(&made.file, &link).unwrap();
    let another: AccountId = "acct_bbbbbbbbbbbb".parse().unwrap();
    let by = |owner: &AccountId| Caller {
        owner: owner.clone(),
        ..caller()
    };
    for (file, taken_by) in [
        (&made.file, &made),
        (&existing.file, &existing),
        (&link, &made),
    ] {
        let new = NewServer {
            format: None,
            name: "other".to_owned(),
            disk: file.clone(),
            driver: None,
            commands: PowerCommands::default(),
            machine: None,
            running: false,
            tags: Vec::new(),
        };
        let refused = servers.add(&caller(), new.clone()).await.unwrap_err();
        let words = refused.to_string();
        assert!(words.contains(&format!("image {}", taken_by.id)), "{words}");
        // Whose it is is nobody else's business.
        let refused = servers.add(&by(&another), new).await.unwrap_err();
        let words = refused.to_string();
        assert!(words.contains("another account's image"), "{words}");
        let new = NewDisk {
            format: None,
            name: "data".to_owned(),
            source: Source::File(file.clone()),
            driver: None,
            tags: Vec::new(),
        };
        let refused = servers.add_disk(&caller(), new).await;
        assert!(
            matches!(refused, Err(Refusal::FileTaken { .. })),
            "{refused:?}"
        );
    }
    let image = |file: &Path| NewBlueprint {
        format: None,
        name: "image".to_owned(),
        description: String::new(),
        file: file.to_owned(),
        boot: Boot::Disk,
        tags: Vec::new(),
    };
    let new = image(&server.disk.head);
    let refused = servers.add_blueprint(&caller(), new).await.unwrap_err();
    assert!(matches!(refused, Refusal::FileTaken { .. }), "{refused:?}");
    assert!(
        refused.to_string().contains(server.id.as_str()),
        "{refused}"
    );
    // It goes when the image is deleted that it was made for.
    let refused = servers.add_blueprint(&caller(), image(&made.file)).await;
    assert!(
        matches!(refused, Err(Refusal::FileTaken { .. })),
        "{refused:?}"
    );
    // One that stays can be several images.
    let added = servers
        .add_blueprint(&caller(), image(&existing.file))
        .await;
    added.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_link_leads_to_is_what_a_blank_disk_is_known_by() {
    let folder = tempfile::tempdir().unwrap();
    let (real, link) = (folder.path().join("real"), folder.path().join("link"));
    std::fs::create_dir(&real).unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let stage = Stage::plain(&link);
    let new = NewDisk {
        format: None,
        name: "data".to_owned(),
        source: Source::Blank {
            size_bytes: SIZE_BYTES,
        },
        driver: Some(DriverKind::Copy),
        tags: Vec::new(),
    };
    let (disk, job) = stage.servers.add_disk(&caller(), new).await.unwrap();
    stage.finish(&job).await;
    let head = disk.volume.head;
    assert_eq!(head, head.canonicalize().unwrap());
    let new = NewDisk {
        format: None,
        name: "again".to_owned(),
        source: Source::File(head),
        driver: None,
        tags: Vec::new(),
    };
    let refused = stage.servers.add_disk(&caller(), new).await;
    assert!(
        matches!(refused, Err(Refusal::FileTaken { .. })),
        "{refused:?}"
    );
}

fn qemu_img(arguments: &[&str], folder: &Path) {
    let mut command = Command::new("qemu-img");
    let made = command.args(arguments).current_dir(folder).status();
    assert!(made.unwrap().success(), "{arguments:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_guest_may_have_written_does_not_say_what_a_file_is() {
    let (_folder, stage) = stage();
    let servers = &stage.servers;
    // As a guest may have written it into its raw disk.
    let secret = stage.folder.join("secret");
    write(&secret, OLD);
    let below = secret.to_str().unwrap();
    let made = ["create", "-q", "-f", "qcow2", "-F", "raw", "-b", below];
    for file in ["web.img", "data.img"] {
        qemu_img(&[&made[..], &[file]].concat(), &stage.folder);
    }
    let server = |format| NewServer {
        name: "web".to_owned(),
        disk: stage.disk("web"),
        format,
        driver: Some(DriverKind::Copy),
        commands: PowerCommands::default(),
        machine: None,
        running: false,
        tags: Vec::new(),
    };
    let disk = |format| NewDisk {
        name: "data".to_owned(),
        source: Source::File(stage.disk("data")),
        format,
        driver: Some(DriverKind::Qcow2),
        tags: Vec::new(),
    };
    let image = |format| NewBlueprint {
        name: "image".to_owned(),
        description: String::new(),
        file: stage.disk("web"),
        format,
        boot: Boot::Disk,
        tags: Vec::new(),
    };
    for refused in [
        servers.add(&caller(), server(None)).await.map(drop),
        servers.add_disk(&caller(), disk(None)).await.map(drop),
        servers
            .add_blueprint(&caller(), image(None))
            .await
            .map(drop),
    ] {
        let refused = refused.unwrap_err();
        assert_eq!(refused.code(), Code::DiskFormat, "{refused}");
        assert!(refused.to_string().contains("--format"), "{refused}");
    }
    // Who says which it is is believed.
    let (added, job) = servers
        .add(&caller(), server(Some(Format::Raw)))
        .await
        .unwrap();
    assert_eq!(added.disk.format, Format::Raw);
    stage.finish(&job).await;
    let (added, job) = servers
        .add_disk(&caller(), disk(Some(Format::Qcow2)))
        .await
        .unwrap();
    assert_eq!(added.volume.format, Format::Qcow2);
    stage.finish(&job).await;

    // Its restore points tell that it was raw, even where it names no file.
    stage.snapshot("web", "raw").await;
    let release = servers.release(&caller(), "web").await.unwrap();
    stage.finish(&release).await;
    qemu_img(
        &["create", "-q", "-f", "qcow2", "web.img", "1M"],
        &stage.folder,
    );
    let refused = servers.add(&caller(), server(None)).await.unwrap_err();
    assert_eq!(refused.code(), Code::DiskFormat, "{refused}");
    let refused = servers.add_blueprint(&caller(), image(None)).await;
    assert_eq!(refused.unwrap_err().code(), Code::DiskFormat);
    servers
        .add(&caller(), server(Some(Format::Raw)))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_several_have_is_not_guessed_at() {
    let (_folder, stage) = stage();
    stage.add("web", false).await;
    let web = || DiskRef::Of("web".into());
    let mut ids = Vec::new();
    for _ in 0..2 {
        let (id, job) = stage
            .servers
            .create_snapshot(
                &caller(),
                web(),
                Some("clean".into()),
                Vec::new(),
                AskedBy::Caller,
            )
            .await
            .unwrap();
        stage.finish(&job).await;
        ids.push(id);
    }
    let refused = stage
        .servers
        .apply_snapshot(&caller(), web(), "clean")
        .await
        .unwrap_err();
    let told = refused.to_string();
    assert!(matches!(refused, Refusal::Ambiguous { .. }), "{told}");
    assert!(ids.iter().all(|id| told.contains(id.as_str())), "{told}");
    let job = stage
        .servers
        .apply_snapshot(&caller(), web(), ids[0].as_str())
        .await
        .unwrap();
    stage.finish(&job).await;
}
