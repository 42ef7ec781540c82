//! `backout`: see the library of the same name.

use std::process::ExitCode;

/// Calls are many small allocations on several threads, for which the C
/// library's allocator takes a third of the time (docs/figures.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    backout::main()
}
