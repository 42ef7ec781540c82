//! A container engine of a test's own: with its own folders, socket and bridge,
//! and no rules in the host's firewall.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use backout_workloads::InstanceId;

/// Far more than an engine takes to be there.
const PATIENCE: Duration = Duration::from_secs(60);

/// An image with a shell and what belongs to it.
pub const IMAGE: &str = "busybox:1";

/// What those are made of: linked statically.
const BUSYBOX: &str = "/bin/busybox";

/// Set apart the networks of engines that run at once.
static COUNT: AtomicU32 = AtomicU32::new(0);

pub struct Engine {
    folder: PathBuf,
    bridge: String,
    child: Option<Child>,
    way: Arc<Way>,
}

/// How an answer is spoiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The engine does nothing, and says that it failed.
    Says500,
    /// The engine does it, and nobody hears.
    SaysNothing,
}

/// What spoils answers.
#[derive(Default)]
struct Way {
    /// How many requests it is until the one that is spoiled; 0 is none.
    left: AtomicUsize,
    fault: Mutex<Option<Fault>>,
}

fn runs(program: &str, args: &[&str]) -> bool {
    Command::new(program)
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

impl Engine {
    /// Starts one in a folder; `None` where that cannot be.
    #[expect(clippy::print_stdout, reason = "says why nothing is tested")]
    pub fn start(folder: &Path) -> Option<Self> {
        let uid = Command::new("id").arg("-u").output().ok()?.stdout;
        let there = uid == b"0\n"
            && runs("dockerd", &["--version"])
            && runs("docker", &["--version"])
            && Path::new(BUSYBOX).exists();
        if !there {
            println!("no engine can be had here: root, docker.io and busybox-static are needed");
            return None;
        }
        let folder = folder.join("engine");
        std::fs::create_dir(&folder).unwrap();
        let number = std::process::id() + COUNT.fetch_add(1, Ordering::SeqCst) * 97;
        let bridge = format!("bo{number}");
        let address = format!("10.{}.{}.1/24", 200 + (number >> 8) % 50, number & 255);
        let ip = |args: &[&str]| assert!(runs("ip", args), "ip {args:?}");
        ip(&["link", "add", &bridge, "type", "bridge"]);
        ip(&["addr", "add", &address, "dev", &bridge]);
        ip(&["link", "set", &bridge, "up"]);
        let path = |name: &str| folder.join(name).display().to_string();
        let config = serde_json::json!({
            "data-root": path("data"),
            "exec-root": path("exec"),
            "pidfile": path("pid"),
            "hosts": [format!("unix://{}", path("sock"))],
            "storage-driver": "overlay2",
            "bridge": bridge,
            "iptables": false,
            "ip-forward": false,
            "ip-masq": false,
            "live-restore": true,
        });
        std::fs::write(folder.join("config"), config.to_string()).unwrap();
        let mut engine = Self {
            folder,
            bridge,
            child: None,
            way: Arc::default(),
        };
        engine.again();
        let root = engine.image_folder();
        engine.import(&root, IMAGE, &[]);
        Some(engine)
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.join("sock")
    }

    /// Starts it, and waits until it answers.
    pub fn again(&mut self) {
        let log = std::fs::File::create(self.folder.join("log")).unwrap();
        // One that a killed test leaves ends with it.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "dockerd", "--config-file"])
            .arg(self.folder.join("config"))
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
        let socket = format!("unix://{}", self.socket().display());
        let until = Instant::now() + PATIENCE;
        while !runs("docker", &["-H", &socket, "version"]) {
            assert!(Instant::now() < until, "the engine never answers");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Kills it, and leaves what it runs.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        // What the killed leave, the next takes for somebody's who lives.
        for name in [
            "pid",
            "exec/containerd/containerd.pid",
            "exec/containerd/containerd.sock",
            "exec/containerd/containerd.sock.ttrpc",
        ] {
            let _ = std::fs::remove_file(self.folder.join(name));
        }
    }

    /// Runs the client, and returns what it says.
    pub fn docker(&self, args: &[&str]) -> String {
        let out = Command::new("docker")
            .arg("-H")
            .arg(format!("unix://{}", self.socket().display()))
            .args(args)
            .output()
            .unwrap();
        assert!(
            out.status.success(),
            "{args:?}: {}",
            String::from_utf8_lossy(&out.stderr)
        );
        String::from_utf8(out.stdout).unwrap().trim().to_owned()
    }

    /// The folder that the image is made of.
    pub fn image_folder(&self) -> PathBuf {
        let root = self.folder.join("image");
        if root.exists() {
            return root;
        }
        for name in ["bin", "small", "tmp", "etc", "proc"] {
            std::fs::create_dir_all(root.join(name)).unwrap();
        }
        std::fs::copy(BUSYBOX, root.join("bin/busybox")).unwrap();
        let list = Command::new(BUSYBOX).arg("--list").output().unwrap();
        for name in String::from_utf8(list.stdout).unwrap().lines() {
            if name != "busybox" {
                std::os::unix::fs::symlink("busybox", root.join("bin").join(name)).unwrap();
            }
        }
        root
    }

    /// Makes an image of a folder.
    pub fn import(&self, root: &Path, name: &str, changes: &[&str]) {
        let archive = self.folder.join("image.tar");
        let archive = archive.display().to_string();
        let root = root.display().to_string();
        assert!(runs("tar", &["-C", &root, "-cf", &archive, "."]));
        let mut args = vec!["import"];
        for change in changes {
            args.extend(["--change", change]);
        }
        args.extend([archive.as_str(), name]);
        self.docker(&args);
    }

    /// The ids of all containers of an instance.
    pub fn containers(&self, id: &InstanceId) -> Vec<String> {
        let filter = format!("label=backout.instance={id}");
        let all = self.docker(&["ps", "-aq", "--no-trunc", "--filter", &filter]);
        all.lines().map(str::to_owned).collect()
    }

    pub fn name_of(&self, container: &str) -> String {
        let name = self.docker(&["inspect", "-f", "{{.Name}}", container]);
        name.trim_start_matches('/').to_owned()
    }

    pub fn label(&self, container: &str, label: &str) -> String {
        let format = format!("{{{{index .Config.Labels {label:?}}}}}");
        self.docker(&["inspect", "-f", &format, container])
    }

    /// A second socket of it, on the way to which answers can be spoiled.
    pub fn spoil(&self) -> PathBuf {
        let socket = self.folder.join("spoiled");
        let listener = UnixListener::bind(&socket).unwrap();
        let (way, engine) = (Arc::clone(&self.way), self.socket());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (way, engine) = (Arc::clone(&way), engine.clone());
                std::thread::spawn(move || way.pass(client, &engine));
            }
        });
        socket
    }

    /// Spoils the answer to the `nth` request from now on.
    pub fn fault(&self, fault: Fault, nth: usize) {
        *self.way.fault.lock().unwrap() = Some(fault);
        self.way.left.store(nth, Ordering::SeqCst);
    }

    /// Spoils nothing more; whether something was.
    pub fn no_fault(&self) -> bool {
        self.way.left.swap(0, Ordering::SeqCst) == 0
    }
}

impl Way {
    /// Passes on one connection, which has one request.
    fn pass(&self, mut client: UnixStream, engine: &Path) {
        let count = |left: usize| left.checked_sub(1);
        let before = self
            .left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, count);
        let fault = match before {
            Ok(1) => *self.fault.lock().unwrap(),
            _ => None,
        };
        if fault == Some(Fault::Says500) {
            let mut head = BufReader::new(client.try_clone().unwrap());
            let mut line = String::new();
            while head.read_line(&mut line).is_ok_and(|n| n > 2) {
                line.clear();
            }
            let said = "{\"message\":\"spoiled\"}";
            let _ = write!(
                client,
                "HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\n\
                 Connection: close\r\nContent-Length: {}\r\n\r\n{said}",
                said.len()
            );
            return;
        }
        let Ok(mut server) = UnixStream::connect(engine) else {
            return;
        };
        let mut up = (client.try_clone().unwrap(), server.try_clone().unwrap());
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut up.0, &mut up.1);
            let _ = up.1.shutdown(Shutdown::Write);
        });
        if fault == Some(Fault::SaysNothing) {
            // It was done when the answer begins.
            let _ = server.read(&mut [0]);
            let _ = client.shutdown(Shutdown::Both);
            return;
        }
        let _ = std::io::copy(&mut server, &mut client);
        let _ = client.shutdown(Shutdown::Both);
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let pid = child.id().to_string();
            let _ = runs("kill", &["-TERM", &pid]);
            let _ = child.wait();
        }
        // One that was killed has mounted it once more.
        let data = self.folder.join("data").display().to_string();
        while runs("umount", &[&data]) {}
        let _ = runs("ip", &["link", "del", &self.bridge]);
    }
}
