//! What the tests of this crate run beside themselves: the supervisor
//! (`workloads-shim FOLDER`), what works for a container (`--hand ARGS...`), and
//! a caller of a driver that starts the instance that it reads as JSON from
//! stdin, and then ends (`--once ROOT`), or waits to be killed (`--start ROOT`).
//! With the socket of an engine after it, that is the driver for containers.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use backout_core::fence::Fence;
use backout_shim::Shim;
use backout_workloads::docker::{self, Containers};
use backout_workloads::process::{self, Processes};
use backout_workloads::{InstanceSpec, Result, Workloads};

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    match args.as_slice() {
        [flag, rest @ ..] if flag == "--hand" => docker::main(rest),
        [flag, root, rest @ ..] if flag == "--start" || flag == "--once" => {
            let socket = rest.first().map(PathBuf::from);
            start(root.into(), socket, flag == "--start")
        }
        [folder] => backout_shim::main(folder.as_ref()),
        _ => ExitCode::from(2),
    }
}

fn open(root: PathBuf, socket: Option<PathBuf>) -> Result<Box<dyn Workloads>> {
    let shim = Shim::own(&[]);
    Ok(match socket {
        None => Box::new(Processes::open(process::Config::new(root, shim))?),
        Some(socket) => {
            let hand = Shim::own(&["--hand"]);
            let config = docker::Config::new(root, Some(socket), shim, hand);
            Box::new(Containers::open(config)?)
        }
    })
}

fn start(root: PathBuf, socket: Option<PathBuf>, stay: bool) -> ExitCode {
    let done = serde_json::from_reader::<_, InstanceSpec>(std::io::stdin())
        .map_err(|e| e.to_string())
        .and_then(|spec| {
            open(root, socket)
                .and_then(|driver| driver.start(Fence(7), &spec))
                .map_err(|e| format!("{} {e}", e.code().as_str()))
        });
    if let Err(why) = done {
        let _ = writeln!(std::io::stderr(), "{why}");
        return ExitCode::FAILURE;
    }
    let _ = writeln!(std::io::stdout(), "started");
    if !stay {
        return ExitCode::SUCCESS;
    }
    loop {
        std::thread::park();
    }
}
