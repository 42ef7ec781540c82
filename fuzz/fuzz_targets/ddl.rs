//! Any text as a statement: nothing may panic, and a comment before it, or
//! white space behind it, changes nothing.
//!
//! Input: one byte for the dialect, the rest is the text.

#![no_main]

use backout_history::ddl::{Dialect, classify_in};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let [how, text @ ..] = data else {
        return;
    };
    let dialect = Dialect {
        // The parts that matter: quotes and escapes.
        sql_mode: u64::from(how & 1) << 2 | u64::from(how >> 1 & 1) << 20,
        charset: if how & 4 == 0 { 33 } else { 8 },
        lower_case_names: how & 8 != 0,
    };
    let kind = classify_in(dialect, "d", text);
    let before = [b"/* a comment */ ", text].concat();
    assert_eq!(classify_in(dialect, "d", &before), kind);
    let behind = [text, b"\n"].concat();
    if !text.ends_with(b"--") {
        assert_eq!(classify_in(dialect, "d", &behind), kind);
    }
});
