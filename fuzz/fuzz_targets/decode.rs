//! Any bytes as the parameters of any operation: what decodes must fit the
//! contract, and nothing may panic.
//!
//! Input: one byte for the operation, one for the way the parameters travel,
//! the rest is the parameters.

#![no_main]

use backout_core::time::Timestamp;
use backout_wire::{Call, Operation, Protocol, RawRequest, Service, operations, parse, sign};
use libfuzzer_sys::fuzz_target;

const NOW: Timestamp = Timestamp(1_700_000_000_000);

fuzz_target!(|data: &[u8]| {
    let [pick, way, rest @ ..] = data else {
        return;
    };
    let all: Vec<&Operation> = operations().collect();
    let Some(operation) = all.get(usize::from(*pick) % all.len()) else {
        return;
    };
    let tencent = matches!(
        operation.service,
        Service::Lighthouse | Service::Cdb | Service::Dlc
    );
    if tencent {
        let (method, kind) = match way % 3 {
            0 => ("POST", "application/json"),
            1 => ("GET", "application/x-www-form-urlencoded"),
            _ => ("POST", "multipart/form-data; boundary=b"),
        };
        let text = String::from_utf8_lossy(rest);
        let (query, body) = if method == "GET" {
            (text.as_ref(), &b""[..])
        } else {
            ("", rest)
        };
        let mut headers = sign::tc3(
            "id", "secret", None, method, "/", query, "h", kind, body, "s", NOW,
        );
        headers.push(("X-TC-Action".into(), operation.name.into()));
        headers.push(("X-TC-Version".into(), operation.version.into()));
        let lent: Vec<(&str, &[u8])> = headers
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_bytes()))
            .collect();
        let raw = RawRequest {
            method,
            path: "/",
            query,
            headers: &lent,
            body,
        };
        run(Protocol::Tc3, raw);
    } else if operation.service == Service::Sae {
        let kind = if way % 2 == 0 {
            "application/json"
        } else {
            "application/x-www-form-urlencoded"
        };
        let call = sign::AlibabaCall {
            key_id: "id",
            secret: "secret",
            token: None,
            method: operation.method,
            path: operation.path,
            host: "h",
            action: operation.name,
            version: operation.version,
            query: &[],
            content_type: Some(kind),
            body: rest,
            nonce: "n",
            now: NOW,
        };
        let (query, headers) = sign::acs3(&call);
        let lent: Vec<(&str, &[u8])> = headers
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_bytes()))
            .collect();
        let raw = RawRequest {
            method: operation.method,
            path: operation.path,
            query: &query,
            headers: &lent,
            body: rest,
        };
        run(Protocol::Acs3, raw);
    } else {
        let text = String::from_utf8_lossy(rest);
        let params: Vec<(&str, &str)> = text
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .chain([("Action", operation.name)])
            .collect();
        let query = sign::qcloud(&sign::ParamCall {
            key_id: "id",
            secret: "secret",
            token: None,
            sha256: way % 2 == 0,
            method: "GET",
            host: "h",
            nonce: 1,
            now: NOW,
            params: &params,
        });
        let raw = RawRequest {
            method: "GET",
            path: "/v2/index.php",
            query: &query,
            headers: &[("Host", b"h")],
            body: b"",
        };
        run(Protocol::QcloudV2, raw);
    }
});

fn run(protocol: Protocol, raw: RawRequest<'_>) {
    let Ok(signed) = parse(protocol, raw) else {
        return;
    };
    if signed.verify("secret", NOW, &[]).is_err() {
        return;
    }
    if let Ok(call) = signed.decode() {
        fits(&call);
    }
}

/// Every required parameter is there, and every one that is there is known.
fn fits(call: &Call) {
    for param in call.operation.params {
        assert!(!param.required || call.params.contains_key(param.name));
    }
    for (name, value) in &call.params {
        assert!(call.operation.param(name).is_some());
        assert!(!value.is_null());
    }
}
