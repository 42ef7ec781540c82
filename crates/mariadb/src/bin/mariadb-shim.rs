//! The supervisor that the tests of this crate run beside themselves:
//! `mariadb-shim FOLDER`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    match args.as_slice() {
        [folder] => backout_shim::main(folder.as_ref()),
        _ => ExitCode::from(2),
    }
}
