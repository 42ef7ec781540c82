//! The driver with real machines: each test boots a guest that counts on its
//! disk.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::os::unix::net::UnixStream;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use backout_core::code::Code;
use backout_core::fence::Fence;
use backout_disks::{Disk, DiskLock, DriverKind, Format, Guard, Name, NoProgress, Progress};
use backout_machines::testing::{COUNTER_AT, Console, Guest, PATIENCE};
use backout_machines::{Boot, Error, Forward, Machine, Machines, State, Stop, Volume};
use backout_shim::{Shim, Signal};
use serde_json::{Value, json};

/// A machine in a folder of its own.
struct Lab {
    folder: tempfile::TempDir,
    runtime: PathBuf,
    machines: Machines,
    machine: Machine,
    guard: Option<Guard>,
}

fn shim() -> Shim {
    Shim {
        program: PathBuf::from(env!("CARGO_BIN_EXE_machines-shim")),
        args: Vec::new(),
    }
}

impl Lab {
    fn new(format: Format, words: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Much longer than the address of a socket may be, and with a comma,
        // which QEMU's options would be split at.
        let runtime = folder.path().join("run, ".repeat(40)).join("time");
        let machines = Machines::new(runtime.clone(), shim()).with_guest_patience(PATIENCE);
        let path = folder.path().canonicalize().unwrap().join("a, disk=x.img");
        image(&path, format);
        let machine = Machine {
            id: "web-1".into(),
            spec: Guest::prepare().unwrap().spec(words),
            volumes: vec![Volume {
                name: "lhdisk-0123abcd".into(),
                path,
                format,
            }],
        };
        let mut lab = Self {
            folder,
            runtime,
            machines,
            machine,
            guard: None,
        };
        lab.guard = Some(lab.lock(7));
        lab
    }

    fn disk(&self) -> Disk {
        Disk {
            head: self.machine.volumes[0].path.clone(),
            format: self.machine.volumes[0].format,
            driver: DriverKind::Copy,
        }
    }

    fn lock(&self, fence: i64) -> Guard {
        DiskLock::acquire(&self.disk(), Fence(fence)).unwrap()
    }

    fn guard(&self) -> &Guard {
        self.guard.as_ref().unwrap()
    }

    fn id(&self) -> &str {
        &self.machine.id
    }

    fn system(&self) -> &Volume {
        &self.machine.volumes[0]
    }

    fn console(&self) -> Console {
        Console::from_now(&self.machines.serial_log(self.id()))
    }

    /// Starts it and waits until it has booted; what counter it found.
    fn boot(&self) -> (Console, u64) {
        let mut console = self.console();
        self.machines.start(self.guard(), &self.machine).unwrap();
        let found = console.number("COUNTER ").unwrap();
        (console, found)
    }

    fn stop(&self, how: Stop) -> Result<(), Error> {
        self.machines
            .stop(self.guard(), self.id(), how, &NoProgress)
    }

    fn state(&self) -> State {
        self.machines.state(self.id()).unwrap()
    }

    fn pid(&self) -> u32 {
        match self.state() {
            State::On { pid, .. } => pid,
            State::Off => unreachable!("it is off"),
        }
    }

    fn paused(&self) -> bool {
        matches!(self.state(), State::On { paused: true, .. })
    }

    /// Tells QEMU something behind the driver's back.
    fn tell(&self, command: &str, arguments: &Value) -> Value {
        // The whole path is too long for a socket.
        let folder = File::open(self.runtime.join(self.id())).unwrap();
        let path = format!("/proc/self/fd/{}/look", folder.as_raw_fd());
        let mut monitor = BufReader::new(UnixStream::connect(path).unwrap());
        for (execute, arguments) in [("qmp_capabilities", &json!({})), (command, arguments)] {
            let request = json!({ "execute": execute, "arguments": arguments });
            let socket = monitor.get_mut();
            socket.write_all(request.to_string().as_bytes()).unwrap();
            loop {
                let mut line = String::new();
                monitor.read_line(&mut line).unwrap();
                let mut answer: Value = serde_json::from_str(&line).unwrap();
                assert!(answer.get("error").is_none(), "{request}: {answer}");
                match answer.get_mut("return") {
                    Some(done) if execute == command => return done.take(),
                    Some(_) => break,
                    // The greeting, or an event.
                    None => {}
                }
            }
        }
        unreachable!("the loop ends with the answer")
    }

    /// A further image.
    fn data(&self, name: &str, format: Format) -> Volume {
        let path = self.folder.path().join(format!("{name}.img"));
        image(&path, format);
        Volume {
            name: name.into(),
            path,
            format,
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // Whatever a failed test left of it.
        let _ = backout_shim::stop(&self.runtime.join(&self.machine.id), Signal::Kill, PATIENCE);
    }
}

fn qemu_img(args: &[&str]) -> String {
    let output = Command::new("qemu-img").args(args).output().unwrap();
    assert!(
        output.status.success(),
        "{args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

fn qemu_io(image: &Path, command: &str) {
    let output = Command::new("qemu-io")
        .args(["-f", "qcow2", "-c", command])
        .arg(image)
        .output()
        .unwrap();
    // What differs from a pattern is said, and no failure.
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && !said.contains("failed"),
        "{said}"
    );
}

fn image(path: &Path, format: Format) {
    qemu_img(&[
        "create",
        "-q",
        "-f",
        format.as_str(),
        path.to_str().unwrap(),
        "64M",
    ]);
}

/// An empty image on `below`.
fn overlay(path: &Path, below: &Path) {
    let (path, below) = (path.to_str().unwrap(), below.to_str().unwrap());
    qemu_img(&[
        "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", below, "-u", path, "64M",
    ]);
}

/// The counter in an image that nobody writes to.
fn counter_in(path: &Path, format: Format) -> u64 {
    let raw = tempfile::NamedTempFile::new().unwrap();
    let to = raw.path().to_str().unwrap();
    let from = path.to_str().unwrap();
    qemu_img(&["convert", "-f", format.as_str(), "-O", "raw", from, to]);
    let mut block = [0; 64];
    File::open(raw.path())
        .unwrap()
        .read_exact_at(&mut block, COUNTER_AT)
        .unwrap();
    let text = String::from_utf8_lossy(&block);
    let text = text.lines().next().unwrap().trim_end_matches('\0');
    text.strip_prefix("counter ")
        .map_or(0, |n| n.parse().unwrap())
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn kill(signal: &str, pid: u32) {
    let status = Command::new("kill")
        .args([signal, &pid.to_string()])
        .status();
    assert!(status.unwrap().success());
}

#[test]
fn a_guest_counts_and_obeys_its_power_button() {
    let lab = Lab::new(Format::Qcow2, "");
    assert_eq!(lab.state(), State::Off);
    let (mut console, found) = lab.boot();
    assert_eq!(found, 0);
    let counted = console.number("AT ").unwrap();
    let pid = lab.pid();
    assert!(!lab.paused());
    // Idempotent.
    lab.machines.start(lab.guard(), &lab.machine).unwrap();
    assert_eq!(lab.pid(), pid);
    lab.stop(Stop::Soft).unwrap();
    console.wait("POWER BUTTON").unwrap();
    assert_eq!(lab.state(), State::Off);
    lab.stop(Stop::Soft).unwrap();
    // Its file is let go, and has what the guest said it wrote.
    assert_eq!(backout_disks::holders(&lab.system().path).unwrap(), []);
    let kept = counter_in(&lab.system().path, Format::Qcow2);
    assert!(kept >= counted, "{kept} {counted}");
    let (_, found) = lab.boot();
    assert_eq!(found, kept);
}

#[test]
fn a_deaf_guest_is_forced_and_a_paused_one_stands_still() {
    let mut lab = Lab::new(Format::Qcow2, "deaf");
    let (mut console, _) = lab.boot();
    console.wait("AT ").unwrap();
    lab.machines = lab
        .machines
        .clone()
        .with_guest_patience(Duration::from_secs(1));
    let error = lab.stop(Stop::Soft).unwrap_err();
    assert_eq!(error.code(), Code::GuestDisobeyed, "{error}");
    let first = lab.pid();

    // Twice each: pausing, and waking.
    assert!(lab.machines.pause(lab.guard(), lab.id()).unwrap());
    assert!(lab.machines.pause(lab.guard(), lab.id()).unwrap());
    assert!(lab.paused());
    let before = std::fs::read(lab.machines.serial_log(lab.id())).unwrap();
    let copy = lab.folder.path().join("copy");
    std::fs::copy(&lab.system().path, &copy).unwrap();
    let kept = counter_in(&copy, Format::Qcow2);
    assert!(kept > 0);
    // It wrote nothing since: neither to its console nor to its disk.
    let now = std::fs::read(lab.machines.serial_log(lab.id())).unwrap();
    assert_eq!(before, now);
    assert_eq!(
        std::fs::read(&copy).unwrap(),
        std::fs::read(&lab.system().path).unwrap()
    );
    lab.machines.resume(lab.guard(), lab.id()).unwrap();
    lab.machines.resume(lab.guard(), lab.id()).unwrap();
    assert!(!lab.paused());
    console.wait("AT ").unwrap();
    // A start wakes a paused one as well.
    lab.machines.pause(lab.guard(), lab.id()).unwrap();
    lab.machines.start(lab.guard(), &lab.machine).unwrap();
    assert!(!lab.paused());
    assert_eq!(lab.pid(), first);

    // A request to stop while the guest is waited for is heard.
    struct Impatient;
    impl Progress for Impatient {
        fn at(&self, _: u64, _: u64) {}
        fn cancelled(&self) -> bool {
            true
        }
    }
    let stopped = lab
        .machines
        .stop(lab.guard(), lab.id(), Stop::SoftFirst, &Impatient);
    assert_eq!(stopped.unwrap_err().code(), Code::Cancelled);

    // Off and on, by force in the end.
    let mut console = lab.console();
    lab.machines
        .reboot(lab.guard(), lab.id(), Stop::SoftFirst, &NoProgress)
        .unwrap();
    assert!(console.number("COUNTER ").unwrap() >= kept);
    assert_ne!(lab.pid(), first);

    // Dead by another hand.
    kill("-9", lab.pid());
    until("it is off", || lab.state() == State::Off);
    assert!(!lab.machines.pause(lab.guard(), lab.id()).unwrap());
    lab.machines.resume(lab.guard(), lab.id()).unwrap();
    lab.stop(Stop::Soft).unwrap();
}

#[test]
fn it_outlives_who_started_it_and_is_found_again() {
    let mut lab = Lab::new(Format::Raw, "");
    // A process that starts it, and is killed with the lock in its hands.
    lab.guard = None;
    let mut console = lab.console();
    let mut starter = Command::new(env!("CARGO_BIN_EXE_machines-shim"))
        .arg("--start")
        .arg(&lab.runtime)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let machine = serde_json::to_vec(&lab.machine).unwrap();
    starter.stdin.take().unwrap().write_all(&machine).unwrap();
    let mut said = String::new();
    BufReader::new(starter.stdout.take().unwrap())
        .read_line(&mut said)
        .unwrap();
    assert_eq!(said, "started\n");
    let pid = lab.pid();
    kill("-9", starter.id());
    starter.wait().unwrap();
    // The lock is free again: the machine did not inherit it.
    lab.guard = Some(lab.lock(9));
    assert_eq!(lab.pid(), pid);
    lab.machines.start(lab.guard(), &lab.machine).unwrap();
    assert_eq!(lab.pid(), pid);
    assert_eq!(console.number("COUNTER ").unwrap(), 0);
    console.wait("AT ").unwrap();

    // There, but silent: told, and not taken for one that is off.
    kill("-STOP", pid);
    let error = lab.machines.state(lab.id()).unwrap_err();
    assert_eq!(error.code(), Code::MachineSilent, "{error}");
    assert!(error.is_passing() && error.to_string().contains(&pid.to_string()));
    kill("-CONT", pid);
    assert_eq!(lab.pid(), pid);
    // And silent for good: force does not need its help.
    kill("-STOP", pid);
    lab.stop(Stop::Hard).unwrap();
    assert_eq!(lab.state(), State::Off);
    assert_eq!(backout_disks::holders(&lab.system().path).unwrap(), []);

    lab.machines.forget(lab.guard(), lab.id()).unwrap();
    assert!(!lab.runtime.join(lab.id()).exists());
    lab.machines.forget(lab.guard(), lab.id()).unwrap();
    assert_eq!(lab.state(), State::Off);
}

/// Stops a long function at its first sign of life.
#[derive(Default)]
struct Stopper {
    calls: AtomicU64,
    stop: AtomicBool,
}

impl Progress for Stopper {
    fn at(&self, done: u64, total: u64) {
        assert!(done <= total, "{done} {total}");
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    fn cancelled(&self) -> bool {
        self.stop.load(Ordering::Relaxed) && self.calls.load(Ordering::Relaxed) > 0
    }
}

/// Ends a long function as the death of its process would.
struct Crash;

impl Progress for Crash {
    fn at(&self, _: u64, _: u64) {
        std::panic::resume_unwind(Box::new(()));
    }

    fn cancelled(&self) -> bool {
        false
    }
}

/// How many files a qcow2 image is made of.
fn layers(path: &Path) -> usize {
    let path = path.to_str().unwrap();
    let info = qemu_img(&["info", "-U", "--backing-chain", "--output=json", path]);
    let info: Value = serde_json::from_str(&info).unwrap();
    info.as_array().unwrap().len()
}

#[test]
fn layers_are_put_under_a_running_guest_and_pulled_up_again() {
    let lab = Lab::new(Format::Qcow2, "");
    let head = lab.system().path.clone();
    // Something to pull up, over two layers.
    qemu_io(&head, "write -P 0x5a 8M 48M");
    let base = lab.folder.path().join("base.qcow2");
    std::fs::rename(&head, &base).unwrap();
    overlay(&head, &base);
    let (mut console, _) = lab.boot();
    let before = console.number("AT ").unwrap();
    let layer = lab.folder.path().join("layer, 1.qcow2");
    let switch = || {
        lab.machines
            .switch_head(lab.guard(), lab.id(), lab.system(), &layer)
    };

    assert!(lab.machines.pause(lab.guard(), lab.id()).unwrap());
    std::fs::rename(&head, &layer).unwrap();
    overlay(&head, &layer);
    // Not while it runs.
    lab.machines.resume(lab.guard(), lab.id()).unwrap();
    assert_eq!(switch().unwrap_err().code(), Code::ServerState);
    lab.machines.pause(lab.guard(), lab.id()).unwrap();
    switch().unwrap();
    switch().unwrap();
    let kept = counter_in(&layer, Format::Qcow2);
    assert!(kept >= before, "{kept} {before}");
    lab.machines.resume(lab.guard(), lab.id()).unwrap();
    // As a repeated step has it.
    switch().unwrap();
    // What was put below is read only, and only ever read.
    let held = backout_disks::holders(&layer).unwrap();
    assert!(
        !held.is_empty() && held.iter().all(|h| !h.writable),
        "{held:?}"
    );
    until("it counts on", || console.number("AT ").unwrap() > kept);
    assert_eq!(counter_in(&layer, Format::Qcow2), kept);
    // Once it runs again, nothing of what it had to do is left.
    switch().unwrap();
    // Another pair of files is none of its own.
    let other = lab.data("other", Format::Qcow2);
    let error = lab
        .machines
        .switch_head(
            lab.guard(),
            lab.id(),
            &Volume {
                path: other.path.clone(),
                ..lab.system().clone()
            },
            &other.path,
        )
        .unwrap_err();
    assert_eq!(error.code(), Code::ServerState, "{error}");

    // Stopped in the middle, the chain is as before; and then to the end.
    let stopper = Stopper::default();
    stopper.stop.store(true, Ordering::Relaxed);
    let stream = |progress: &dyn Progress| {
        lab.machines
            .stream(lab.guard(), lab.id(), lab.system(), progress)
    };
    assert_eq!(stream(&stopper).unwrap_err().code(), Code::Cancelled);
    assert_eq!(layers(&head), 3);
    console.wait("AT ").unwrap();
    // Whoever began it dies, and QEMU goes on; another takes it up.
    let crashed = std::panic::catch_unwind(AssertUnwindSafe(|| stream(&Crash)));
    assert!(crashed.is_err());
    let heir = Machines::new(lab.runtime.clone(), shim());
    stopper.stop.store(false, Ordering::Relaxed);
    heir.stream(lab.guard(), lab.id(), lab.system(), &stopper)
        .unwrap();
    let jobs = lab.tell("query-jobs", &json!({}));
    assert_eq!(jobs, json!([]));
    assert_eq!(layers(&head), 1);
    for below in [&layer, &base] {
        assert_eq!(backout_disks::holders(below).unwrap(), []);
    }
    let then = console.number("AT ").unwrap();
    until("it counts on", || console.number("AT ").unwrap() > then);
    stream(&NoProgress).unwrap();
    let last = console.number("AT ").unwrap();
    lab.stop(Stop::Soft).unwrap();
    assert_eq!(stream(&NoProgress).unwrap_err().code(), Code::ServerState);
    switch().unwrap();
    assert!(counter_in(&head, Format::Qcow2) >= last);
    qemu_img(&["check", "-q", head.to_str().unwrap()]);
    // What only the layer had is in the head, too.
    qemu_io(&head, "read -P 0x5a 8M 48M");
}

/// A number as it is in the name of a block node.
fn base36(number: u64) -> String {
    let digit = char::from_digit(u32::try_from(number % 36).unwrap(), 36).unwrap();
    match number / 36 {
        0 => digit.to_string(),
        rest => base36(rest) + &digit.to_string(),
    }
}

/// Opens the new head as the driver does, and leaves it at that, as a worker
/// does that is killed there.
fn open_only(lab: &Lab) {
    let path = &lab.system().path;
    let facts = path.metadata().unwrap();
    let id = format!("{}-{}", base36(facts.dev()), base36(facts.ino()));
    let (file, image) = (format!("f{id}"), format!("t{id}"));
    let options = json!({ "driver": "file", "node-name": file, "filename": path });
    lab.tell("blockdev-add", &options);
    let options = json!({ "driver": "qcow2", "node-name": image, "file": file, "backing": null });
    lab.tell("blockdev-add", &options);
}

fn is_written_to(path: &Path) -> bool {
    let holders = backout_disks::holders(path).unwrap();
    holders.iter().any(|holder| holder.writable)
}

#[test]
fn a_layer_that_was_taken_back_keeps_no_other_away() {
    let lab = Lab::new(Format::Qcow2, "");
    let disk = Disk {
        driver: DriverKind::Qcow2,
        ..lab.disk()
    };
    let driver = backout_disks::driver(disk.driver);
    let head = &disk.head;
    let name = Name::new("one").unwrap();
    let layer = disk.point_path(&name.point(disk.format)).unwrap();
    let (mut console, _) = lab.boot();
    let pause = || assert!(lab.machines.pause(lab.guard(), lab.id()).unwrap());
    let capture = || {
        pause();
        driver
            .capture_paused(lab.guard(), &disk, &name, &NoProgress)
            .unwrap();
    };
    let switch = || {
        lab.machines
            .switch_head(lab.guard(), lab.id(), lab.system(), &layer)
    };
    let mut refused = || {
        // QEMU opens the file, and does not like it as an image.
        let file = File::options().read(true).write(true).open(head).unwrap();
        let mut header = [0; 4];
        file.read_exact_at(&mut header, 0).unwrap();
        file.write_all_at(b"none", 0).unwrap();
        let error = switch().unwrap_err();
        assert!(matches!(error, Error::Refused { .. }), "{error}");
        file.write_all_at(&header, 0).unwrap();
    };
    let mut killed = || open_only(&lab);
    let stop_short: [&mut dyn FnMut(); 2] = [&mut killed, &mut refused];
    for stop_short in stop_short {
        console.wait("AT ").unwrap();
        let written = head.metadata().unwrap().ino();
        capture();
        stop_short();
        assert!(is_written_to(&layer) && is_written_to(head));
        pause();
        driver.uncapture(lab.guard(), &disk, &name).unwrap();
        lab.machines.resume(lab.guard(), lab.id()).unwrap();
        // The head is again what it writes to, and nothing else is there.
        assert_eq!(head.metadata().unwrap().ino(), written);
        assert!(is_written_to(head) && !layer.exists());
    }
    let before = console.number("AT ").unwrap();
    // The next one goes well; so does one that is repeated and not taken back.
    capture();
    open_only(&lab);
    capture();
    switch().unwrap();
    lab.machines.resume(lab.guard(), lab.id()).unwrap();
    let kept = counter_in(&layer, Format::Qcow2);
    assert!(kept >= before, "{kept} {before}");
    until("it counts on", || console.number("AT ").unwrap() > kept);
    assert!(is_written_to(head) && !is_written_to(&layer));
    assert_eq!(layers(head), 2);
}

/// A small file system that shares blocks.
struct Xfs(tempfile::TempDir);

impl Xfs {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (image, place) = (folder.path().join("xfs"), folder.path().join("mnt"));
        File::create(&image).unwrap().set_len(512 << 20).unwrap();
        std::fs::create_dir(&place).unwrap();
        let run = |program: &str, args: &[&str]| {
            let output = Command::new(program).args(args).output().unwrap();
            assert!(output.status.success(), "{program}: {output:?}");
        };
        run(
            "mkfs.xfs",
            &["-q", "-m", "reflink=1", image.to_str().unwrap()],
        );
        run(
            "mount",
            &[
                "-o",
                "loop",
                image.to_str().unwrap(),
                place.to_str().unwrap(),
            ],
        );
        Self(folder)
    }
}

impl Drop for Xfs {
    fn drop(&mut self) {
        let _ = Command::new("umount")
            .arg(self.0.path().join("mnt"))
            .status();
    }
}

#[test]
fn a_clone_of_a_paused_guests_disk_is_of_one_instant() {
    let xfs = Xfs::new();
    let mut lab = Lab::new(Format::Raw, "");
    let head = xfs.0.path().canonicalize().unwrap().join("mnt/disk");
    image(&head, Format::Raw);
    // A raw disk that looks like a qcow2 image is a raw disk.
    let trap = lab.data("trap", Format::Qcow2);
    let header = std::fs::read(&trap.path).unwrap();
    File::options()
        .write(true)
        .open(&head)
        .unwrap()
        .write_all_at(&header[..4096], 0)
        .unwrap();
    lab.guard = None;
    lab.machine.volumes[0].path.clone_from(&head);
    lab.guard = Some(lab.lock(7));

    let (mut console, _) = lab.boot();
    let before = console.number("AT ").unwrap();
    assert!(lab.machines.pause(lab.guard(), lab.id()).unwrap());
    let clone = head.with_file_name("clone");
    let status = Command::new("cp")
        .arg("--reflink=always")
        .arg(&head)
        .arg(&clone)
        .status();
    assert!(status.unwrap().success());
    lab.machines.resume(lab.guard(), lab.id()).unwrap();
    let kept = counter_in(&clone, Format::Raw);
    assert!(kept >= before, "{kept} {before}");
    until("it counts on", || console.number("AT ").unwrap() > kept);
    lab.stop(Stop::Hard).unwrap();
    assert!(counter_in(&head, Format::Raw) > kept);
}

/// Waits until the guest has exactly these disks.
fn disks(console: &mut Console, want: &str) {
    while console.wait("DISKS ").unwrap() != want {}
}

#[test]
fn disks_are_plugged_and_unplugged() {
    let lab = Lab::new(Format::Raw, "still");
    let (mut console, _) = lab.boot();
    let system = lab.system().name.clone();
    disks(&mut console, &system);
    let data = lab.data("data-1", Format::Qcow2);
    let attach = |volume: &Volume| lab.machines.attach(lab.guard(), lab.id(), volume);
    let detach = |name: &str| lab.machines.detach(lab.guard(), lab.id(), name);
    attach(&data).unwrap();
    attach(&data).unwrap();
    disks(&mut console, &format!("{system} data-1"));
    let other = Volume {
        name: "data-1".into(),
        ..lab.data("other", Format::Raw)
    };
    assert_eq!(attach(&other).unwrap_err().code(), Code::ServerState);
    assert_eq!(backout_disks::holders(&other.path).unwrap(), []);
    let error = attach(&lab.data(&system, Format::Raw)).unwrap_err();
    assert_eq!(error.code(), Code::ServerState, "{error}");
    assert_eq!(detach(&system).unwrap_err().code(), Code::ServerState);
    detach("data-1").unwrap();
    disks(&mut console, &system);
    assert_eq!(backout_disks::holders(&data.path).unwrap(), []);
    detach("data-1").unwrap();
    // What is plugged stays through a reboot, and can be unplugged then.
    attach(&other).unwrap();
    disks(&mut console, &format!("{system} data-1"));
    attach(&lab.data("data-2", Format::Raw)).unwrap();
    let mut console = lab.console();
    lab.machines
        .reboot(lab.guard(), lab.id(), Stop::Soft, &NoProgress)
        .unwrap();
    disks(&mut console, &format!("{system} data-1 data-2"));
    detach("data-1").unwrap();
    disks(&mut console, &format!("{system} data-2"));
    // For one that is off, it holds from the next start on.
    lab.stop(Stop::Hard).unwrap();
    detach("data-2").unwrap();
    attach(&data).unwrap();
    lab.machines
        .reboot(lab.guard(), lab.id(), Stop::Hard, &NoProgress)
        .unwrap();
    assert!(!backout_disks::holders(&data.path).unwrap().is_empty());
}

#[test]
fn a_machine_without_a_system_runs_and_lets_nothing_go() {
    let mut lab = Lab::new(Format::Raw, "");
    lab.machine.spec.boot = Boot::Disk;
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    lab.machine.spec.forwards = vec![Forward {
        host: port,
        guest: 22,
    }];
    lab.machine.spec.cpus = 2;
    lab.machines.start(lab.guard(), &lab.machine).unwrap();
    // The port leads in.
    std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    // A second machine on the same image is refused, by QEMU's own lock.
    let mut second = lab.machine.clone();
    second.id = "web-2".into();
    second.spec.forwards.clear();
    let error = lab.machines.start(lab.guard(), &second).unwrap_err();
    assert!(matches!(error, Error::ImageLocked { .. }), "{error}");
    assert_eq!(error.code(), Code::DiskInUse);
    assert_eq!(lab.machines.state("web-2").unwrap(), State::Off);
    // And one that wants the same port.
    second.volumes = vec![lab.data("second", Format::Raw)];
    second.volumes[0].path = second.volumes[0].path.canonicalize().unwrap();
    second.spec.forwards.clone_from(&lab.machine.spec.forwards);
    let disk = Disk {
        head: second.volumes[0].path.clone(),
        ..lab.disk()
    };
    let lock = DiskLock::acquire(&disk, Fence(1)).unwrap();
    let error = lab.machines.start(&lock, &second).unwrap_err();
    assert_eq!(error.code(), Code::MachineStart);
    assert!(error.to_string().contains(&port.to_string()), "{error}");
    // Nobody in there handles a plug.
    let patient = lab.machines.clone();
    lab.machines = patient.clone().with_guest_patience(Duration::from_secs(1));
    let data = lab.data("data", Format::Raw);
    lab.machines.attach(lab.guard(), lab.id(), &data).unwrap();
    for _ in 0..2 {
        let error = lab
            .machines
            .detach(lab.guard(), lab.id(), "data")
            .unwrap_err();
        assert_eq!(error.code(), Code::GuestDisobeyed, "{error}");
    }
    // What was asked for stays asked for: the next reset does it.
    let plugged = || {
        let devices = lab.tell("qom-list", &json!({ "path": "/machine/peripheral" }));
        let devices = devices.as_array().unwrap();
        devices.iter().any(|device| device["name"] == "disk-data")
    };
    let attach = || patient.attach(lab.guard(), lab.id(), &data);
    attach().unwrap();
    assert!(plugged());
    lab.tell("system_reset", &json!({}));
    until("it is gone", || !plugged());
    for _ in 0..2 {
        attach().unwrap();
        assert!(plugged());
    }
    let error = lab.machines.forget(lab.guard(), lab.id()).unwrap_err();
    assert_eq!(error.code(), Code::ServerState, "{error}");
    // Many at once ask and act, and nobody gets in another's way.
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert!(matches!(patient.state("web-1").unwrap(), State::On { .. })));
        }
        for _ in 0..3 {
            scope.spawn(|| assert!(patient.pause(lab.guard(), "web-1").unwrap()));
        }
    });
}

#[test]
fn what_cannot_be_a_machine_is_refused_with_its_reason() {
    let lab = Lab::new(Format::Raw, "");
    let good = lab.machine.clone();
    type Change = fn(&mut Machine);
    let cases: [(&str, Change); 17] = [
        ("the id", |m| m.id = "../up".into()),
        ("the id", |m| m.id = String::new()),
        ("the id", |m| m.id = "a,b".into()),
        ("the id", |m| m.id = "a".repeat(65)),
        ("CPUs", |m| m.spec.cpus = 0),
        ("CPUs", |m| m.spec.cpus = 256),
        ("memory", |m| m.spec.memory_bytes = 1 << 20),
        ("memory", |m| m.spec.memory_bytes = (128 << 20) + 1),
        ("memory", |m| m.spec.memory_bytes = u64::MAX),
        ("no disk", |m| m.volumes.clear()),
        ("the volume name", |m| m.volumes[0].name = "a,b".into()),
        ("the volume name", |m| m.volumes[0].name = "a".repeat(21)),
        ("absolute path", |m| m.volumes[0].path = "disk".into()),
        ("name each once", |m| m.volumes.push(m.volumes[0].clone())),
        ("port 0", |m| {
            m.spec.forwards = vec![Forward { host: 0, guest: 1 }];
        }),
        ("command line", |m| {
            m.spec.boot = Boot::Kernel {
                kernel: "/k".into(),
                initrd: None,
                append: "a\nb".into(),
            };
        }),
        ("absolute path", |m| {
            m.spec.boot = Boot::Kernel {
                kernel: "-append".into(),
                initrd: None,
                append: String::new(),
            };
        }),
    ];
    for (want, change) in cases {
        let mut machine = good.clone();
        change(&mut machine);
        let error = lab.machines.start(lab.guard(), &machine).unwrap_err();
        assert_eq!(error.code(), Code::BadRequest, "{error}");
        assert!(error.to_string().contains(want), "{want}: {error}");
    }
    assert_eq!(
        lab.machines.state("../up").unwrap_err().code(),
        Code::BadRequest
    );

    // The lock of another disk shows no fence for this one.
    let other = lab.data("other", Format::Raw);
    let disk = Disk {
        head: other.path,
        ..lab.disk()
    };
    let wrong = DiskLock::acquire(&disk, Fence(1)).unwrap();
    let error = lab.machines.start(&wrong, &good).unwrap_err();
    assert!(matches!(error, Error::WrongLock { .. }), "{error}");

    let mut machine = good.clone();
    machine.spec.boot = Boot::Kernel {
        kernel: "/no/such,kernel".into(),
        initrd: None,
        append: String::new(),
    };
    let error = lab.machines.start(lab.guard(), &machine).unwrap_err();
    assert_eq!(error.code(), Code::MachineStart);
    assert!(error.to_string().contains("/no/such,kernel"), "{error}");
    assert_eq!(lab.state(), State::Off);
    std::fs::remove_file(&lab.system().path).unwrap();
    let error = lab.machines.start(lab.guard(), &good).unwrap_err();
    assert_eq!(error.code(), Code::DiskMissing, "{error}");
    let never = lab
        .machines
        .reboot(lab.guard(), "web-9", Stop::Hard, &NoProgress);
    assert_eq!(never.unwrap_err().code(), Code::ServerState);
}
