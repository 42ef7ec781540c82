//! The gateway alone, and the supervisor for it, for tests: with `shim DIR` a
//! supervisor, with `gateway --dir DIR` a gateway, as `backout` is.

use std::path::PathBuf;
use std::process::ExitCode;

/// That of `backout`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    let what = args.next().unwrap_or_default();
    let folder = PathBuf::from(args.next_back().unwrap_or_default());
    if what == "shim" {
        backout_shim::main(&folder)
    } else if what == "gateway" {
        backout_gateway::main(&folder)
    } else {
        ExitCode::from(2)
    }
}
