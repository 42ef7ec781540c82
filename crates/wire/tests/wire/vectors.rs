//! Every vector and every recorded call of the official clients.

use backout_core::time::Timestamp;
use backout_wire::{Fault, Protocol};

use crate::common::{
    ALIBABA_SECRET, FILES, TENCENT_SECRET, all_vectors, captures, negatives, vectors,
};

#[test]
fn every_vector_is_detected_and_verifies_at_its_clock() {
    for (file, protocol, count) in FILES {
        let list = vectors(file, protocol);
        assert_eq!(list.len(), count, "{file}");
        for v in list {
            assert_eq!(
                v.request.with(|raw| Protocol::detect(&raw)),
                Some(protocol),
                "{}",
                v.id
            );
            v.request.parsed(protocol, |signed| {
                if file == "acs3_hmac_sm3" {
                    let why = signed.expect_err("SM3 is not served");
                    assert_eq!(why.fault, Fault::UnsupportedSignature);
                    return;
                }
                let signed = signed.unwrap_or_else(|e| panic!("{}: {e}", v.id));
                assert_eq!(signed.timestamp(), v.clock, "{}", v.id);
                assert!(signed.key_id().contains("EXAMPLE"));
                if let Some(token) = &v.token {
                    assert_eq!(signed.token(), Some(token.as_str()), "{}", v.id);
                }
                for off in [0, protocol.clock_window_s(), -protocol.clock_window_s()] {
                    let now = v.clock.plus_ms(off * 1000);
                    let done = signed.verify(&v.secret, now, &[]);
                    assert_eq!(done, Ok(()), "{} at {off}", v.id);
                }
                for off in [
                    protocol.clock_window_s() + 1,
                    -protocol.clock_window_s() - 1,
                ] {
                    let now = v.clock.plus_ms(off * 1000);
                    let why = signed.verify(&v.secret, now, &[]).expect_err("skewed");
                    assert_eq!(why.fault, Fault::ClockSkew, "{}", v.id);
                }
                let why = signed
                    .verify("another secret", v.clock, &[])
                    .expect_err("wrong secret");
                assert_eq!(why.fault, Fault::SignatureMismatch, "{}", v.id);
            });
        }
    }
}

/// The vectors whose parameters do not fit their operation, and why. All
/// others decode.
const UNFIT: &[(&str, Fault, &str)] = &[
    (
        "tc3-py-octet-01",
        Fault::UnsupportedProtocol,
        "CheckDataEngineImageCanBeRollback takes no raw body; send application/json",
    ),
    (
        "tc3-py-multipart-01",
        Fault::UnknownParameter,
        "parameter `Extra` is not known",
    ),
    (
        "v1sha1-py-post-03",
        Fault::UnknownParameter,
        "parameter `New_Image` is not known",
    ),
    (
        "v1sha256-py-post-03",
        Fault::UnknownParameter,
        "parameter `New_Image` is not known",
    ),
    (
        "qv2-sha1-08",
        Fault::UnknownParameter,
        "parameter `task_type` is not known",
    ),
    (
        "acs3-node-02",
        Fault::UnknownParameter,
        "parameter `N` is not known",
    ),
];

#[test]
fn every_vector_decodes_to_its_operation() {
    let mut unfit = Vec::new();
    for v in all_vectors() {
        v.request.parsed(v.protocol, |signed| {
            let signed = signed.unwrap_or_else(|e| panic!("{}: {e}", v.id));
            match signed.decode() {
                Ok(call) => {
                    assert!(
                        call.operation.name.eq_ignore_ascii_case(&v.operation),
                        "{}: {}",
                        v.id,
                        call.operation.name
                    );
                    assert_eq!(call.protocol, v.protocol);
                }
                Err(why) => unfit.push((v.id.clone(), why.fault, why.message)),
            }
        });
    }
    let unfit: Vec<(&str, Fault, &str)> = unfit
        .iter()
        .map(|(id, fault, message)| (id.as_str(), *fault, message.as_str()))
        .collect();
    assert_eq!(unfit, UNFIT);
}

#[test]
fn every_mutation_is_refused() {
    let list = negatives();
    assert_eq!(list.len(), 53);
    for v in list {
        v.request.parsed(v.protocol, |signed| {
            let why = match signed {
                Err(why) => why,
                Ok(signed) => signed
                    .verify(&v.secret, v.clock, &[])
                    .expect_err("a mutation must not verify"),
            };
            let allowed = why.fault == Fault::SignatureMismatch
                // The parameters are no longer where the method puts them.
                || (v.id.ends_with("method-changed") && why.fault == Fault::MethodNotAllowed);
            assert!(allowed, "{}: {:?} {why}", v.id, why.fault);
        });
    }
}

#[test]
fn every_recorded_call_verifies_and_decodes() {
    let mut signed_count = 0;
    let mut other = Vec::new();
    for (name, request) in captures() {
        let Some(protocol) = request.with(|raw| Protocol::detect(&raw)) else {
            other.push(name);
            continue;
        };
        request.parsed(protocol, |signed| {
            let signed = match signed {
                Ok(signed) => signed,
                Err(why) => {
                    assert_eq!(why.fault, Fault::UnsupportedSignature, "{name}: {why}");
                    other.push(name.clone());
                    return;
                }
            };
            signed_count += 1;
            let secret = if protocol.is_alibaba() {
                ALIBABA_SECRET
            } else {
                TENCENT_SECRET
            };
            let done = signed.verify(secret, signed.timestamp(), &[]);
            assert_eq!(done, Ok(()), "{name}");
            let late = Timestamp(signed.timestamp().0 + 901_000);
            assert!(signed.verify(secret, late, &[]).is_err(), "{name}");
            let call = signed.decode().unwrap_or_else(|e| panic!("{name}: {e}"));
            assert!(
                name.contains(call.operation.name)
                    || !["Rollback", "Apply", "Switch", "Check", "Deploy"]
                        .iter()
                        .any(|w| name.contains(w)),
                "{name}: {}",
                call.operation.name
            );
        });
    }
    assert_eq!(signed_count, 53);
    assert_eq!(
        other,
        [
            "alibaba_py_sae_RollbackApplication_bearer",
            "qcloudapi_py_cdb_GetCdbRollbackJob_module_cdb_ignores_endpoint_via_https_proxy",
            "tccli_https_proxy_connect",
        ]
    );
}
