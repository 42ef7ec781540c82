//! Any bytes as a signed call: detection, parsing, canonical forms and
//! decoding must not panic, and must not verify.
//!
//! Input: a request as text. First line `METHOD TARGET`, then header lines,
//! a blank line, and the body.

#![no_main]

use backout_core::time::Timestamp;
use backout_wire::{Protocol, RawRequest, parse};
use libfuzzer_sys::fuzz_target;

const PROTOCOLS: [Protocol; 5] = [
    Protocol::Tc3,
    Protocol::TencentV1,
    Protocol::QcloudV2,
    Protocol::AlibabaRoa,
    Protocol::Acs3,
];

fuzz_target!(|data: &[u8]| {
    let (head, body) = match data.windows(2).position(|w| w == b"\n\n") {
        Some(at) => (&data[..at], &data[at + 2..]),
        None => (data, &b""[..]),
    };
    let mut lines = head.split(|b| *b == b'\n');
    let first = lines
        .next()
        .and_then(|line| std::str::from_utf8(line).ok())
        .unwrap_or("");
    let (method, target) = first.split_once(' ').unwrap_or((first, "/"));
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers: Vec<(&str, &[u8])> = lines
        .filter_map(|line| {
            let at = line.iter().position(|b| *b == b':')?;
            let name = std::str::from_utf8(&line[..at]).ok()?;
            Some((name, line[at + 1..].trim_ascii()))
        })
        .collect();
    let raw = RawRequest {
        method,
        path,
        query,
        headers: &headers,
        body,
    };
    let detected = Protocol::detect(&raw);
    for protocol in PROTOCOLS.into_iter().chain(detected) {
        let Ok(signed) = parse(protocol, raw) else {
            continue;
        };
        let hosts = ["public.example".to_owned()];
        // A secret that no corpus was signed with.
        let done = signed.verify("not the secret", signed.timestamp(), &hosts);
        assert!(done.is_err(), "verified without the secret");
        let far = Timestamp(signed.timestamp().0.saturating_add(10_000_000));
        assert!(signed.verify("not the secret", far, &hosts).is_err());
        let _ = signed.decode();
    }
});
