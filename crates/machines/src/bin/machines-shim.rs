//! What the tests of this crate run beside themselves: the supervisor
//! (`machines-shim FOLDER`), and a caller of the driver that can be killed
//! (`machines-shim --start RUNTIME`, the machine as JSON on stdin).

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use backout_core::fence::Fence;
use backout_disks::{Disk, DiskLock, DriverKind};
use backout_machines::{Machine, Machines};
use backout_shim::Shim;

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    match args.as_slice() {
        [flag, runtime] if flag == "--start" => match start(runtime.into()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(e) => {
                let _ = writeln!(std::io::stderr(), "{e}");
                ExitCode::FAILURE
            }
        },
        [folder] => backout_shim::main(folder.as_ref()),
        _ => ExitCode::from(2),
    }
}

/// Starts the machine, says so, and waits to be killed, with the lock in hand.
fn start(runtime: PathBuf) -> Result<(), Box<dyn std::error::Error>> {
    let machine: Machine = serde_json::from_reader(std::io::stdin())?;
    let system = machine.volumes.first().ok_or("no disk")?;
    let disk = Disk {
        head: system.path.clone(),
        format: system.format,
        driver: DriverKind::Copy,
    };
    let guard = DiskLock::acquire(&disk, Fence(8))?;
    Machines::new(runtime, Shim::own(&[])).start(&guard, &machine)?;
    writeln!(std::io::stdout(), "started")?;
    loop {
        std::thread::park();
    }
}
