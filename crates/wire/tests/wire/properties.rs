//! What must hold of any call.

use backout_core::time::Timestamp;
use backout_wire::{Protocol, parse, sign};
use proptest::prelude::*;

use crate::common::{
    ALIBABA_ID, ALIBABA_SECRET, Owned, TENCENT_ID, TENCENT_SECRET, Vector, all_vectors,
};
use crate::refusals::alibaba;

/// Takes a call all the way down, whatever becomes of it.
fn run_through(request: &Owned, protocol: Protocol, v: &Vector) {
    request.with(|raw| {
        let _ = Protocol::detect(&raw);
        if let Ok(signed) = parse(protocol, raw) {
            let _ = signed.verify(&v.secret, v.clock, &["public.example".to_owned()]);
            let _ = (signed.nonce(), signed.token(), signed.trace_id());
            // Without a good signature too: the decoder must stand on its own.
            let _ = signed.decode();
        }
    });
}

/// Overwrites, inserts or removes at a place that scales with the length.
fn mutate(data: &mut Vec<u8>, at: u16, what: u8, byte: u8) {
    let at = if data.is_empty() {
        0
    } else {
        usize::from(at) % data.len()
    };
    match what % 4 {
        0 if !data.is_empty() => data[at] = byte,
        1 => data.insert(at, byte),
        2 if !data.is_empty() => {
            data.remove(at);
        }
        _ => data.truncate(at),
    }
}

fn mutate_text(text: &mut String, at: u16, what: u8, byte: u8) {
    let mut bytes = std::mem::take(text).into_bytes();
    mutate(&mut bytes, at, what, byte);
    *text = String::from_utf8_lossy(&bytes).into_owned();
}

fn pairs() -> impl Strategy<Value = Vec<(String, String)>> {
    proptest::collection::btree_map("[a-zA-Z][a-zA-Z0-9.]{0,12}_?", ".{0,40}", 0..8)
        .prop_map(|map| map.into_iter().collect())
}

fn lent(list: &[(String, String)]) -> Vec<(&str, &str)> {
    list.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutated_calls_never_panic(
        pick in any::<prop::sample::Index>(),
        other in any::<prop::sample::Index>(),
        changes in proptest::collection::vec((0u8..5, any::<u16>(), any::<u8>(), any::<u8>()), 1..6),
    ) {
        let list = all_vectors();
        let v = &list[pick.index(list.len())];
        let mut request = v.request.clone();
        for (part, at, what, byte) in changes {
            match part {
                0 => mutate_text(&mut request.path, at, what, byte),
                1 => mutate_text(&mut request.query, at, what, byte),
                2 => mutate(&mut request.body, at, what, byte),
                3 => {
                    let n = request.headers.len().max(1);
                    if let Some((_, value)) = request.headers.get_mut(usize::from(at) % n) {
                        mutate(value, at / 16, what, byte);
                    }
                }
                _ => {
                    let n = request.headers.len().max(1);
                    if let Some(header) = request.headers.get(usize::from(at) % n).cloned() {
                        request.headers.push(header);
                    }
                }
            }
        }
        let protocols = [
            Protocol::Tc3, Protocol::TencentV1, Protocol::QcloudV2, Protocol::AlibabaRoa, Protocol::Acs3,
        ];
        run_through(&request, v.protocol, v);
        run_through(&request, protocols[other.index(protocols.len())], v);
    }

    #[test]
    fn tc3_round_trip(
        body in proptest::collection::vec(any::<u8>(), 0..200),
        query in "[a-z0-9=&%+.]{0,40}",
        get in any::<bool>(),
        seconds in 0i64..4_000_000_000,
        host in "[a-z0-9.]{1,20}(:[0-9]{1,5})?",
        service in "[a-z0-9:]{1,10}",
    ) {
        let now = Timestamp(seconds * 1000);
        let method = if get { "GET" } else { "POST" };
        let mut headers = sign::tc3(
            TENCENT_ID, TENCENT_SECRET, Some("tok"), method, "/", &query, &host, "application/json", &body, &service, now,
        );
        headers.push(("X-TC-Action".into(), "DescribeRegions".into()));
        headers.push(("X-TC-Version".into(), "2020-03-24".into()));
        let mut request = Owned {
            method: method.into(),
            path: "/".into(),
            query,
            headers: headers.into_iter().map(|(k, v)| (k, v.into_bytes())).collect(),
            body,
        };
        let verdict = |request: &Owned, secret: &str| request.parsed(Protocol::Tc3, |s| {
            s.expect("parses").verify(secret, now, &[])
        });
        prop_assert_eq!(verdict(&request, TENCENT_SECRET), Ok(()));
        prop_assert!(verdict(&request, "x").is_err());
        request.query.push('!');
        prop_assert!(verdict(&request, TENCENT_SECRET).is_err());
    }

    #[test]
    fn parameter_signatures_round_trip(
        params in pairs(),
        sha256 in any::<bool>(),
        get in any::<bool>(),
        legacy in any::<bool>(),
        nonce in 0u64..=i64::MAX as u64,
        seconds in 0i64..4_000_000_000,
    ) {
        let now = Timestamp(seconds * 1000);
        let mut all = lent(&params);
        all.retain(|(k, _)| !matches!(*k, "Action" | "Version" | "Nonce" | "Timestamp" | "SecretId" | "SignatureMethod" | "Signature" | "Token"));
        all.push(("Action", "DescribeRegions"));
        all.push(("Version", "2020-03-24"));
        let call = sign::ParamCall {
            key_id: TENCENT_ID,
            secret: TENCENT_SECRET,
            token: None,
            sha256,
            method: if get { "GET" } else { "POST" },
            host: "h.example:18080",
            nonce,
            now,
            params: &all,
        };
        let (form, path, protocol) = if legacy {
            (sign::qcloud(&call), "/v2/index.php", Protocol::QcloudV2)
        } else {
            (sign::v1(&call), "/", Protocol::TencentV1)
        };
        let mut request = Owned {
            method: call.method.into(),
            path: path.into(),
            query: if get { form.clone() } else { String::new() },
            headers: vec![
                ("Host".into(), b"h.example:18080".to_vec()),
                ("Content-Type".into(), b"application/x-www-form-urlencoded".to_vec()),
            ],
            body: if get { Vec::new() } else { form.into_bytes() },
        };
        prop_assert_eq!(request.with(|raw| Protocol::detect(&raw)), Some(protocol));
        let verdict = |request: &Owned, secret: &str| request.parsed(protocol, |s| {
            s.expect("parses").verify(secret, now, &[])
        });
        prop_assert_eq!(verdict(&request, TENCENT_SECRET), Ok(()));
        prop_assert!(verdict(&request, "x").is_err());
        request.set("Host", "other.example");
        prop_assert!(verdict(&request, TENCENT_SECRET).is_err());
    }

    #[test]
    fn alibaba_round_trip(
        query in pairs(),
        body in proptest::collection::vec(any::<u8>(), 0..100),
        acs3 in any::<bool>(),
        seconds in 0i64..4_000_000_000,
        nonce in "[0-9a-f]{1,32}",
    ) {
        let now = Timestamp(seconds * 1000);
        let query = lent(&query);
        let call = sign::AlibabaCall {
            key_id: ALIBABA_ID,
            secret: ALIBABA_SECRET,
            token: Some("tok"),
            method: "PUT",
            path: "/pop/v1/sam/app/rollbackApplication",
            host: "h:1",
            action: "RollbackApplication",
            version: "2019-05-06",
            query: &query,
            content_type: Some("application/json"),
            body: &body,
            nonce: &nonce,
            now,
        };
        let (protocol, mut request) = alibaba(&call, acs3);
        prop_assert_eq!(request.with(|raw| Protocol::detect(&raw)), Some(protocol));
        let verdict = |request: &Owned, secret: &str| request.parsed(protocol, |s| {
            let signed = s.expect("parses");
            assert_eq!(signed.nonce(), Some(nonce.as_str()));
            signed.verify(secret, now, &[])
        });
        prop_assert_eq!(verdict(&request, ALIBABA_SECRET), Ok(()));
        prop_assert!(verdict(&request, "x").is_err());
        request.body.push(b'!');
        prop_assert!(verdict(&request, ALIBABA_SECRET).is_err());
    }

    /// A call that verifies was signed by someone with the secret: one changed
    /// bit in what is signed is enough.
    #[test]
    fn a_flipped_bit_is_noticed(pick in any::<prop::sample::Index>(), at in any::<u16>(), bit in 0u8..7) {
        let list: Vec<Vector> = all_vectors().into_iter().filter(|v| !v.request.body.is_empty()).collect();
        let v = &list[pick.index(list.len())];
        // What leaves the body, or this one parameter, out of the signature.
        let open = v.request.get("x-tc-content-sha256") == "UNSIGNED-PAYLOAD"
            || (v.protocol == Protocol::AlibabaRoa && v.request.get("content-md5").is_empty())
            || v.id == "qv2-sha1-07";
        prop_assume!(!open);
        let mut request = v.request.clone();
        let at = usize::from(at) % request.body.len();
        request.body[at] ^= 1 << bit;
        let decodes_alike = matches!(v.protocol, Protocol::TencentV1 | Protocol::QcloudV2)
            && same_form(&request.body, &v.request.body);
        prop_assume!(!decodes_alike);
        let refused = request.parsed(v.protocol, |s| match s {
            Err(_) => true,
            Ok(s) => s.verify(&v.secret, v.clock, &[]).is_err(),
        });
        prop_assert!(refused, "{}", v.id);
    }
}

/// Whether two forms sign alike: the hex digits of an escape have no case, and
/// the form that Python signs has dots where the key has underscores.
fn same_form(a: &[u8], b: &[u8]) -> bool {
    let plain = |raw: &[u8]| {
        String::from_utf8_lossy(raw)
            .to_ascii_lowercase()
            .replace('_', ".")
    };
    plain(a) == plain(b)
}
