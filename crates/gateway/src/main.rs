//! The gateway alone, and its supervisor, for tests and the bench: `shim DIR` is
//! a supervisor, `DIR` a gateway.
fn main() {}
