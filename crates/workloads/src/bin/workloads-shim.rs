//! What the tests of this crate run beside themselves: the supervisor
//! (`workloads-shim FOLDER`), and a caller of the driver that starts the
//! instance that it reads as JSON from stdin, and then ends (`--once ROOT`), or
//! waits to be killed (`--start ROOT`).

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use backout_core::fence::Fence;
use backout_shim::Shim;
use backout_workloads::process::{Config, Processes};
use backout_workloads::{InstanceSpec, Workloads as _};

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    match args.as_slice() {
        [flag, root] if flag == "--start" => start(root.into(), true),
        [flag, root] if flag == "--once" => start(root.into(), false),
        [folder] => backout_shim::main(folder.as_ref()),
        _ => ExitCode::from(2),
    }
}

fn start(root: PathBuf, stay: bool) -> ExitCode {
    let done = serde_json::from_reader::<_, InstanceSpec>(std::io::stdin())
        .map_err(|e| e.to_string())
        .and_then(|spec| {
            Processes::open(Config::new(root, Shim::own(&[])))
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
