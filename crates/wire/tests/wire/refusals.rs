//! Calls that must be refused, each with its condition.

use backout_core::time::Timestamp;
use backout_wire::{Fault, Protocol, sign};

use crate::common::{
    ALIBABA_ID, ALIBABA_SECRET, Owned, TENCENT_ID, TENCENT_SECRET, Vector, vector,
};

const NOW: Timestamp = Timestamp(1_700_000_000_000);

/// What becomes of a call: parse, verify, decode.
fn outcome(protocol: Protocol, request: &Owned, secret: &str) -> Result<(), Fault> {
    request.parsed(protocol, |signed| {
        let signed = signed.map_err(|e| e.fault)?;
        signed.verify(secret, NOW, &[]).map_err(|e| e.fault)?;
        signed.decode().map(|_| ()).map_err(|e| e.fault)
    })
}

fn check(base: &Vector, what: &str, change: impl FnOnce(&mut Owned), expect: Result<(), Fault>) {
    let mut request = base.request.clone();
    change(&mut request);
    assert_eq!(
        outcome(base.protocol, &request, &base.secret),
        expect,
        "{what}"
    );
}

#[test]
fn tc3_authorizations() {
    let base = vector("tc3-py-post-01");
    let good = base.request.get("authorization");
    let (head, signature) = good.split_once("Signature=").expect("a signature");
    let (_, rest) = good.split_once(' ').expect("a word");
    let long = "A".repeat(200);
    let many = (0..100).map(|i| format!(";h{i}")).collect::<String>();
    for bad in [
        "".to_owned(),
        "SKIP".into(),
        "TC3-HMAC-SHA256".into(),
        "TC3-HMAC-SHA256 ".into(),
        "TC3-HMAC-SHA256 nonsense".into(),
        format!("TC3-HMAC-SM3 {rest}"),
        format!("{head}Signature="),
        format!("{head}Signature={}", &signature[..63]),
        format!("{head}Signature={signature}0"),
        format!("{head}Signature={}", signature.replace('9', "g")),
        format!("{good}, Extra=1"),
        format!("{good}, Signature={signature}"),
        format!("{good},"),
        good.replace("SignedHeaders=content-type;host, ", ""),
        good.replace("content-type;host", "content-type"),
        good.replace("content-type;host", "host"),
        good.replace("content-type;host", "content-type;host;"),
        good.replace("content-type;host", "content-type;host;host"),
        good.replace("content-type;host", "Content-Type;Host"),
        good.replace("content-type;host", "content-type;host;x-absent"),
        good.replace("content-type;host", &format!("content-type;host{many}")),
        good.replace("/dlc/", "/"),
        good.replace("/dlc/", "//"),
        good.replace("tc3_request", "tc4_request"),
        good.replace("2023-11-14", "2023-11-15"),
        good.replace("2023-11-14", ""),
        good.replace(TENCENT_ID, ""),
        good.replace(TENCENT_ID, &long),
        good.replace(TENCENT_ID, "a b"),
    ] {
        check(
            &base,
            &bad,
            |r| r.set("Authorization", &bad),
            Err(Fault::MalformedAuthorization),
        );
    }
    check(
        &base,
        "upper-case hex is the same signature",
        |r| {
            let upper = format!("{head}Signature={}", signature.to_uppercase());
            r.set("Authorization", &upper);
        },
        Ok(()),
    );
    let spaces = good.replace(", ", ",");
    check(
        &base,
        "no blanks",
        |r| r.set("Authorization", &spaces),
        Ok(()),
    );
}

#[test]
fn tc3_headers() {
    use Fault::{
        InvalidParameter, MalformedAuthorization, MalformedDate, MethodNotAllowed,
        MissingAuthorization, SignatureMismatch, UnknownAction, UnknownVersion,
    };
    let base = vector("tc3-py-post-01");
    for name in [
        "Authorization",
        "X-TC-Timestamp",
        "X-TC-Action",
        "X-TC-Version",
    ] {
        check(&base, name, |r| r.remove(name), Err(MissingAuthorization));
    }
    for name in ["Host", "Content-Type"] {
        check(&base, name, |r| r.remove(name), Err(MalformedAuthorization));
    }
    for name in [
        "Authorization",
        "x-tc-action",
        "X-TC-Version",
        "X-TC-Region",
        "X-TC-Token",
        "host",
        "content-type",
    ] {
        check(
            &base,
            &format!("{name} twice"),
            |r| {
                r.headers.push((name.into(), b"x".to_vec()));
                r.headers.push((name.into(), b"x".to_vec()));
            },
            Err(MalformedAuthorization),
        );
    }
    for name in ["Authorization", "X-TC-Action", "X-TC-Token", "Host"] {
        check(
            &base,
            &format!("{name} not UTF-8"),
            |r| {
                r.remove(name);
                r.headers.push((name.into(), vec![0xff, 0xfe]));
            },
            Err(MalformedAuthorization),
        );
    }
    for (name, value, fault) in [
        ("X-TC-Timestamp", "soon", MalformedDate),
        ("X-TC-Timestamp", "-1", MalformedDate),
        ("X-TC-Timestamp", "99999999999999", MalformedDate),
        ("X-TC-Timestamp", "999999999999", MalformedAuthorization),
        ("X-TC-Timestamp", "1700000001", SignatureMismatch),
        ("X-TC-Version", "1999-01-01", UnknownVersion),
        ("X-TC-Version", "2019-05-06", UnknownVersion),
        ("X-TC-Action", "NoSuchAction", UnknownAction),
        // The action is not signed, so another version's action reaches the
        // lookup; it must not be found there.
        ("X-TC-Action", "ApplyInstanceSnapshot", UnknownAction),
        (
            "Content-Type",
            "application/json; charset=utf-8",
            SignatureMismatch,
        ),
        ("Host", "evil.example", SignatureMismatch),
    ] {
        check(&base, value, |r| r.set(name, value), Err(fault));
    }
    for method in ["PUT", "DELETE", "HEAD", "post", ""] {
        check(
            &base,
            method,
            |r| r.method = method.into(),
            Err(MethodNotAllowed),
        );
    }
    check(
        &base,
        "unsigned payload leaves the body open",
        |r| r.set("X-TC-Content-SHA256", "UNSIGNED-PAYLOAD"),
        Err(SignatureMismatch),
    );
    let unsigned = vector("tc3-py-post-11");
    check(
        &unsigned,
        "an unsigned body may change, but must fit",
        |r| r.body = b"[]".to_vec(),
        Err(InvalidParameter),
    );
}

#[test]
fn tc3_signed_headers_as_documented() {
    // The documentation signs x-tc-action too, its value in lower case
    // (section 1.2).
    let base = vector("tc3-py-post-01");
    let at = "content-type;host;x-tc-action";
    for lower in [true, false] {
        let action = "CheckDataEngineImageCanBeRollback";
        let value = if lower {
            action.to_lowercase()
        } else {
            action.into()
        };
        let payload = sha256(&base.request.body);
        let canonical = format!(
            "POST\n/\n\ncontent-type:application/json\nhost:127.0.0.1:18080\nx-tc-action:{value}\n\n{at}\n{payload}"
        );
        let text = format!(
            "TC3-HMAC-SHA256\n1700000000\n2023-11-14/dlc/tc3_request\n{}",
            sha256(canonical.as_bytes())
        );
        let mut key = format!("TC3{TENCENT_SECRET}").into_bytes();
        for part in ["2023-11-14", "dlc", "tc3_request", &text] {
            key = hmac(&key, part.as_bytes());
        }
        let header = format!(
            "TC3-HMAC-SHA256 Credential={TENCENT_ID}/2023-11-14/dlc/tc3_request, SignedHeaders={at}, Signature={}",
            hex::encode(key)
        );
        check(
            &base,
            "documented",
            |r| r.set("Authorization", &header),
            Ok(()),
        );
        check(
            &base,
            "a signed action cannot be exchanged",
            |r| {
                r.set("Authorization", &header);
                r.set("X-TC-Action", "CheckDataEngineImageCanBeUpgrade");
            },
            Err(Fault::SignatureMismatch),
        );
    }
}

fn sha256(data: &[u8]) -> String {
    use sha2::Digest as _;
    hex::encode(sha2::Sha256::digest(data))
}

fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    use hmac::{KeyInit as _, Mac as _};
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(key).expect("any length");
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

#[test]
fn public_hosts() {
    let base = vector("tc3-py-post-02");
    let mut request = base.request.clone();
    let public = request.get("host");
    request.set("Host", "10.0.0.7:8080");
    request.parsed(base.protocol, |signed| {
        let signed = signed.expect("parses");
        assert!(signed.verify(&base.secret, NOW, &[]).is_err());
        assert_eq!(signed.verify(&base.secret, NOW, &[public]), Ok(()));
    });
}

#[test]
fn too_large() {
    let tc3 = vector("tc3-py-post-01");
    let v1 = vector("v1sha1-py-post-01");
    for (base, bytes) in [(&tc3, 10 << 20), (&v1, 1 << 20)] {
        assert_eq!(base.protocol.body_limit("POST"), bytes);
        check(
            base,
            "body",
            |r| r.body = vec![b'a'; bytes + 1],
            Err(Fault::TooLarge),
        );
    }
    for id in [
        "tc3-py-get-01",
        "v1sha1-py-get-01",
        "qv2-sha1-01",
        "acs3-py-01",
        "roa-tea-01",
    ] {
        let base = vector(id);
        let limit = base.protocol.body_limit("GET");
        check(
            &base,
            id,
            |r| r.query = "a".repeat(limit + 1),
            Err(Fault::TooLarge),
        );
    }
    check(
        &v1,
        "many pairs",
        |r| r.body = "&a".repeat(20_000).into_bytes(),
        Err(Fault::TooLarge),
    );
}

#[test]
fn v1_and_v2_parameters() {
    use Fault::{
        InvalidParameter, MalformedDate, MethodNotAllowed, MissingAuthorization, SignatureMismatch,
        UnsupportedProtocol, UnsupportedSignature,
    };
    for (get, post) in [
        ("v1sha1-py-get-01", "v1sha1-py-post-01"),
        ("qv2-sha1-01", "qv2-sha1-02"),
    ] {
        let mut get = vector(get);
        let mut post = vector(post);
        // The legacy vectors have a clock of their own.
        let shift = |v: &mut Vector| v.clock == NOW;
        let at_now = shift(&mut get) && shift(&mut post);
        for key in ["Action", "Timestamp", "Nonce", "SecretId", "Signature"] {
            check(
                &get,
                key,
                |r| r.query = r.query.replace(&format!("{key}="), "Other="),
                Err(MissingAuthorization),
            );
        }
        for (change, fault) in [
            ("&Nonce=1", InvalidParameter),
            ("&a=1&a=1", InvalidParameter),
            ("&a=%ff", InvalidParameter),
        ] {
            check(&get, change, |r| r.query.push_str(change), Err(fault));
        }
        for (from, to, fault) in [
            ("Nonce=", "Nonce=-", InvalidParameter),
            ("Nonce=", "Nonce=999999999999999999999", InvalidParameter),
            ("Timestamp=", "Timestamp=x", MalformedDate),
            ("HmacSHA1", "HmacMD5", UnsupportedSignature),
            ("HmacSHA1", "", UnsupportedSignature),
        ] {
            check(
                &get,
                to,
                |r| r.query = r.query.replace(from, to),
                Err(fault),
            );
        }
        if at_now {
            check(
                &get,
                "signature that is not base64",
                |r| r.query = r.query.replace("Signature=", "Signature=!"),
                Err(SignatureMismatch),
            );
        }
        for kind in ["application/json", "multipart/form-data", "text/plain"] {
            check(
                &post,
                kind,
                |r| r.set("Content-Type", kind),
                Err(UnsupportedProtocol),
            );
        }
        check(
            &get,
            "PUT",
            |r| r.method = "PUT".into(),
            Err(MethodNotAllowed),
        );
        check(
            &get,
            "host twice",
            |r| r.headers.push(("HOST".into(), b"x".to_vec())),
            Err(Fault::MalformedAuthorization),
        );
        check(
            &get,
            "no host",
            |r| r.remove("host"),
            Err(MissingAuthorization),
        );
    }
    let get = vector("v1sha1-py-get-01");
    check(
        &get,
        "no version",
        |r| r.query = r.query.replace("Version=2020-03-24&", ""),
        Err(MissingAuthorization),
    );
    assert_eq!(
        vector("v1sha1-py-get-01")
            .request
            .parsed(Protocol::TencentV1, |s| s
                .expect("parses")
                .nonce()
                .map(str::to_owned)),
        Some("1234567890123456789".into())
    );
}

#[test]
fn roa() {
    use Fault::{
        InvalidParameter, MalformedAuthorization, MalformedDate, MethodNotAllowed,
        MissingAuthorization, SignatureMismatch, UnsupportedSignature,
    };
    let base = vector("roa-tea-01");
    for (name, value, fault) in [
        ("authorization", "acs ", MalformedAuthorization),
        ("authorization", "acs nocolon", MalformedAuthorization),
        ("authorization", "acs :sig", MalformedAuthorization),
        ("authorization", "basic x:y", MalformedAuthorization),
        (
            "authorization",
            "acs LTAIEXAMPLEXXXXXXXXXXXXX:???",
            SignatureMismatch,
        ),
        ("date", "yesterday", MalformedDate),
        ("date", "2023-11-14T22:13:20Z", MalformedDate),
        (
            "x-acs-signature-method",
            "HMAC-SHA256",
            UnsupportedSignature,
        ),
        ("x-acs-signature-version", "2.0", UnsupportedSignature),
        ("x-acs-action", "ListAppVersions", SignatureMismatch),
        ("x-acs-extra", "1", SignatureMismatch),
        ("accept", "text/xml", SignatureMismatch),
        ("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg==", SignatureMismatch),
    ] {
        check(&base, value, |r| r.set(name, value), Err(fault));
    }
    for name in ["authorization", "date"] {
        check(&base, name, |r| r.remove(name), Err(MissingAuthorization));
    }
    for name in ["Date", "X-Acs-Version", "Accept"] {
        check(
            &base,
            name,
            |r| r.headers.push((name.into(), b"x".to_vec())),
            Err(MalformedAuthorization),
        );
    }
    check(
        &base,
        "not UTF-8",
        |r| r.headers.push(("x-acs-odd".into(), vec![0xff])),
        Err(MalformedAuthorization),
    );
    check(
        &base,
        "twice",
        |r| r.query.push_str("&AppId=2"),
        Err(InvalidParameter),
    );
    check(
        &base,
        "GET",
        |r| r.method = "GET".into(),
        Err(SignatureMismatch),
    );
    let body = vector("roa-core-07");
    check(
        &body,
        "a body that does not fit its digest",
        |r| r.body.push(b'x'),
        Err(SignatureMismatch),
    );
    // Signed rightly, but not an operation.
    for (method, path, action, fault) in [
        (
            "POST",
            "/pop/v1/sam/app/rollbackApplication",
            "RollbackApplication",
            MethodNotAllowed,
        ),
        (
            "PUT",
            "/pop/v1/sam/nothing",
            "RollbackApplication",
            Fault::UnknownPath,
        ),
        (
            "PUT",
            "/pop/v1/sam/nothing",
            "Nothing",
            Fault::UnknownAction,
        ),
        (
            "PUT",
            "/pop/v1/sam/app/rollbackApplication",
            "ListAppVersions",
            Fault::UnknownAction,
        ),
        (
            "PUT",
            "//pop/v1//sam/app/rollbackApplication",
            "RollbackApplication",
            Fault::MissingParameter,
        ),
    ] {
        for acs3 in [false, true] {
            let call = sign::AlibabaCall {
                key_id: ALIBABA_ID,
                secret: ALIBABA_SECRET,
                token: None,
                method,
                path,
                host: "h:1",
                action,
                version: "2019-05-06",
                query: &[],
                content_type: None,
                body: b"",
                nonce: "n1",
                now: NOW,
            };
            let (protocol, request) = alibaba(&call, acs3);
            assert_eq!(
                outcome(protocol, &request, ALIBABA_SECRET),
                Err(fault),
                "{path} {action}"
            );
        }
    }
}

/// A signed Alibaba call as a request.
pub fn alibaba(call: &sign::AlibabaCall<'_>, acs3: bool) -> (Protocol, Owned) {
    let (query, headers) = if acs3 {
        sign::acs3(call)
    } else {
        sign::roa(call)
    };
    let protocol = if acs3 {
        Protocol::Acs3
    } else {
        Protocol::AlibabaRoa
    };
    let request = Owned {
        method: call.method.into(),
        path: call.path.into(),
        query,
        headers: headers
            .into_iter()
            .map(|(k, v)| (k, v.into_bytes()))
            .collect(),
        body: call.body.to_vec(),
    };
    (protocol, request)
}

#[test]
fn acs3() {
    use Fault::{
        InvalidParameter, MalformedAuthorization, MalformedDate, MissingAuthorization,
        SignatureMismatch, UnsupportedSignature,
    };
    let base = vector("acs3-py-01");
    let good = base.request.get("authorization");
    let (_, rest) = good.split_once(' ').expect("a word");
    for (bad, fault) in [
        ("ACS3-HMAC-SHA256".to_owned(), MalformedAuthorization),
        (format!("ACS3-HMAC-SM3 {rest}"), UnsupportedSignature),
        (format!("ACS3-RSA-SHA256 {rest}"), UnsupportedSignature),
        (good.replace(";x-acs-version", ""), MalformedAuthorization),
        (
            good.replace("accept;", "accept;accept;"),
            MalformedAuthorization,
        ),
        (good.replace("host;", ""), MalformedAuthorization),
        (
            good.replace("x-acs-credentials-provider;", ""),
            MalformedAuthorization,
        ),
        (
            good.replace("SignedHeaders=", "Signed="),
            MalformedAuthorization,
        ),
        (good.replace("accept;", ""), SignatureMismatch),
    ] {
        check(&base, &bad, |r| r.set("Authorization", &bad), Err(fault));
    }
    for name in [
        "Authorization",
        "x-acs-action",
        "x-acs-content-sha256",
        "x-acs-date",
        "x-acs-signature-nonce",
        "x-acs-version",
        "host",
    ] {
        check(&base, name, |r| r.remove(name), Err(MissingAuthorization));
    }
    for (name, value, fault) in [
        ("x-acs-date", "2023-11-14", MalformedDate),
        ("x-acs-date", "2023-11-14T23:13:20+01:00", MalformedDate),
        ("x-acs-date", "Tue, 14 Nov 2023 22:13:20 GMT", MalformedDate),
        ("x-acs-signature-nonce", "a b", MalformedAuthorization),
        ("x-acs-signature-nonce", "other", SignatureMismatch),
        ("x-acs-security-token", "unsigned", MalformedAuthorization),
        ("x-acs-signature-type", "BEARERTOKEN", UnsupportedSignature),
    ] {
        check(&base, value, |r| r.set(name, value), Err(fault));
    }
    check(
        &base,
        "twice",
        |r| r.query.push_str("&AppId=2"),
        Err(InvalidParameter),
    );
    check(&base, "body", |r| r.body.push(b'x'), Err(SignatureMismatch));
    check(
        &base,
        "the query in another order and encoding is the same query",
        |r| {
            let mut parts: Vec<&str> = r.query.split('&').collect();
            parts.reverse();
            r.query = parts.join("&").replace('-', "%2D");
        },
        Ok(()),
    );
}

#[test]
fn detection() {
    let headers = |list: &[(&str, &str)]| -> Vec<(String, Vec<u8>)> {
        list.iter()
            .map(|(k, v)| ((*k).to_owned(), v.as_bytes().to_vec()))
            .collect()
    };
    for (method, path, query, list, body, expect) in [
        ("GET", "/", "", headers(&[]), "", None),
        (
            "GET",
            "/healthz",
            "Action=a&Signature=b&Version=c",
            headers(&[]),
            "",
            None,
        ),
        (
            "POST",
            "/",
            "",
            headers(&[]),
            "Action=A&SecretId=b",
            Some(Protocol::TencentV1),
        ),
        (
            "GET",
            "/",
            "Action=A&Signature=b",
            headers(&[]),
            "",
            Some(Protocol::TencentV1),
        ),
        ("GET", "/", "", headers(&[]), "Action=A&Signature=b", None),
        (
            "GET",
            "/v2/index.php",
            "",
            headers(&[]),
            "",
            Some(Protocol::QcloudV2),
        ),
        (
            "POST",
            "/",
            "",
            headers(&[("authorization", "SKIP")]),
            "",
            None,
        ),
        (
            "POST",
            "/",
            "",
            headers(&[("authorization", "SKIP"), ("x-tc-action", "A")]),
            "",
            Some(Protocol::Tc3),
        ),
        (
            "POST",
            "/",
            "",
            headers(&[("X-TC-Action", "A")]),
            "",
            Some(Protocol::Tc3),
        ),
        (
            "POST",
            "/x",
            "",
            headers(&[("AUTHORIZATION", "TC3-HMAC-SHA256 x")]),
            "",
            Some(Protocol::Tc3),
        ),
        (
            "PUT",
            "/x",
            "",
            headers(&[("x-acs-signature-type", "BEARERTOKEN")]),
            "",
            Some(Protocol::Acs3),
        ),
        (
            "PUT",
            "/x",
            "",
            headers(&[("x-acs-action", "A")]),
            "",
            Some(Protocol::Acs3),
        ),
        (
            "PUT",
            "/x",
            "",
            headers(&[("Authorization", "ACS3-HMAC-SM3 x")]),
            "",
            Some(Protocol::Acs3),
        ),
        (
            "PUT",
            "/x",
            "",
            headers(&[("Authorization", "acs a:b")]),
            "",
            Some(Protocol::AlibabaRoa),
        ),
        (
            "PUT",
            "/x",
            "",
            headers(&[("Authorization", "Bearer t")]),
            "",
            None,
        ),
    ] {
        let request = Owned {
            method: method.into(),
            path: path.into(),
            query: query.into(),
            headers: list,
            body: body.as_bytes().to_vec(),
        };
        assert_eq!(
            request.with(|raw| Protocol::detect(&raw)),
            expect,
            "{request:?}"
        );
    }
}
