//! The supervisor that the tests of this crate start: `workloads-shim FOLDER`.

use std::process::ExitCode;

fn main() -> ExitCode {
    match std::env::args_os().nth(1) {
        Some(folder) => backout_shim::main(folder.as_ref()),
        None => ExitCode::from(2),
    }
}
