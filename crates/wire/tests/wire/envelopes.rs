//! Every envelope, byte for byte.

use backout_wire::types::lighthouse::{
    ApplyInstanceSnapshotResponse, DescribeSnapshotsResponse, Snapshot,
};
use backout_wire::{
    Fault, Operation, Protocol, Rejection, Reply, Service, SurfaceError, encode_rejection,
    encode_success, encode_surface_error, find, sae_message,
};
use serde_json::{Value, json};

const ID: &str = "00000000-0000-4000-8000-000000000001";

fn operation(service: Service, name: &str) -> &'static Operation {
    find(service, name).expect("known operation")
}

fn parts(reply: Reply) -> (u16, Vec<(&'static str, String)>, String) {
    let body = String::from_utf8(reply.body).expect("UTF-8");
    let _: Value = serde_json::from_str(&body).expect("JSON");
    (reply.status, reply.headers, body)
}

#[test]
fn tencent_success() {
    let apply = operation(Service::Lighthouse, "ApplyInstanceSnapshot");
    for protocol in [Protocol::Tc3, Protocol::TencentV1] {
        let reply = encode_success(
            protocol,
            apply,
            ID,
            Some("trace-1"),
            &ApplyInstanceSnapshotResponse {},
        );
        assert_eq!(
            parts(reply),
            (
                200,
                vec![
                    ("content-type", "application/json".to_owned()),
                    ("x-tc-traceid", "trace-1".to_owned()),
                ],
                format!("{{\"Response\":{{\"RequestId\":\"{ID}\"}}}}"),
            )
        );
    }
    let describe = operation(Service::Lighthouse, "DescribeSnapshots");
    let response = DescribeSnapshotsResponse {
        total_count: 1,
        snapshot_set: vec![Snapshot {
            snapshot_id: "lhsnap-1".into(),
            snapshot_name: "\"quoted\" \u{6d4b}".into(),
            ..Snapshot::default()
        }],
    };
    let (_, headers, body) = parts(encode_success(Protocol::Tc3, describe, ID, None, &response));
    assert_eq!(headers, [("content-type", "application/json".to_owned())]);
    let body: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(body["Response"]["TotalCount"], 1);
    assert_eq!(body["Response"]["RequestId"], ID);
    let snapshot = &body["Response"]["SnapshotSet"][0];
    assert_eq!(snapshot["SnapshotName"], "\"quoted\" \u{6d4b}");
    assert_eq!(snapshot.get("Tags"), None);
    assert_eq!(snapshot["Percent"], 0);
}

#[test]
fn nullable_members_are_null_and_absent_ones_absent() {
    use backout_wire::types::lighthouse::Instance;
    let value = serde_json::to_value(Instance::default()).expect("JSON");
    assert_eq!(value["IsolatedTime"], Value::Null);
    assert!(
        value
            .as_object()
            .is_some_and(|o| o.contains_key("IsolatedTime"))
    );
    assert_eq!(value.get("LatestOperationStartedTime"), None);
    assert_eq!(value["PublicAddresses"], json!([]));
    assert_eq!(value["CPU"], 0);
}

#[test]
fn legacy_success() {
    for (name, code) in [
        ("GetCdbRollbackJob", "\"0\""),
        ("GetCdbRollbackJobTask", "0"),
    ] {
        let reply = encode_success(
            Protocol::QcloudV2,
            operation(Service::CdbV2, name),
            ID,
            None,
            &json!({"data": {"taskCount": "0"}}),
        );
        assert_eq!(
            parts(reply),
            (
                200,
                vec![("content-type", "application/json".to_owned())],
                format!(
                    "{{\"data\":{{\"taskCount\":\"0\"}},\"code\":{code},\"message\":\"\",\"codeDesc\":\"Success\"}}"
                ),
            )
        );
    }
}

#[test]
fn alibaba_success() {
    let rollback = operation(Service::Sae, "RollbackApplication");
    for protocol in [Protocol::AlibabaRoa, Protocol::Acs3] {
        let result = json!({"Data": {"ChangeOrderId": "c"}});
        let reply = encode_success(protocol, rollback, ID, Some("t1"), &result);
        assert_eq!(
            parts(reply),
            (
                200,
                vec![
                    ("content-type", "application/json;charset=utf-8".to_owned()),
                    ("x-acs-request-id", ID.to_owned()),
                ],
                format!(
                    "{{\"Data\":{{\"ChangeOrderId\":\"c\"}},\"RequestId\":\"{ID}\",\"Message\":\"success\",\"ErrorCode\":\"\",\"Code\":\"200\",\"Success\":true,\"TraceId\":\"t1\"}}"
                ),
            )
        );
    }
    // One operation answers without most of the envelope's members.
    let regions = operation(Service::Sae, "DescribeRegions");
    let (_, _, body) = parts(encode_success(
        Protocol::Acs3,
        regions,
        ID,
        Some("t1"),
        &json!({"Regions": {}}),
    ));
    assert!(
        !body.contains("TraceId") && !body.contains("Success"),
        "{body}"
    );
}

#[test]
fn a_result_that_is_no_object_is_our_fault() {
    let apply = operation(Service::Lighthouse, "ApplyInstanceSnapshot");
    for result in [json!(null), json!([1]), json!("x"), json!("}")] {
        let (status, _, body) = parts(encode_success(Protocol::Tc3, apply, ID, None, &result));
        assert_eq!(status, 200);
        assert!(body.contains("InternalError"), "{body}");
    }
}

fn surface(code: &str, message: &str, status: Option<u16>) -> SurfaceError {
    SurfaceError {
        code: code.into(),
        message: message.into(),
        status,
    }
}

#[test]
fn surface_errors() {
    let error = surface(
        "ResourceNotFound.SnapshotIdNotFound",
        "no \"such\" snapshot",
        Some(404),
    );
    let (status, headers, body) = parts(encode_surface_error(Protocol::Tc3, ID, None, &error));
    assert_eq!(status, 200);
    assert_eq!(headers, [("content-type", "application/json".to_owned())]);
    assert_eq!(
        body,
        format!(
            "{{\"Response\":{{\"Error\":{{\"Code\":\"ResourceNotFound.SnapshotIdNotFound\",\"Message\":\"no \\\"such\\\" snapshot\"}},\"RequestId\":\"{ID}\"}}}}"
        )
    );
    for (code, expect) in [
        (
            "9003",
            "{\"code\":4000,\"message\":\"(9003)m\",\"codeDesc\":\"InvalidParameter\"}",
        ),
        (
            "9590 OperationDenied",
            "{\"code\":5100,\"message\":\"(9590)m\",\"codeDesc\":\"OperationDenied\"}",
        ),
        (
            "11041",
            "{\"code\":5000,\"message\":\"(11041)m\",\"codeDesc\":\"InternalError.CDBNotExist\"}",
        ),
        (
            "9006",
            "{\"code\":6000,\"message\":\"(9006)m\",\"codeDesc\":\"InternalError\"}",
        ),
        (
            "nonsense",
            "{\"code\":6000,\"message\":\"(nonsense)m\",\"codeDesc\":\"InternalError\"}",
        ),
    ] {
        let (status, _, body) = parts(encode_surface_error(
            Protocol::QcloudV2,
            ID,
            None,
            &surface(code, "m", None),
        ));
        assert_eq!((status, body.as_str()), (200, expect));
    }
    for (code, given, expect) in [
        ("InvalidApplication.NotFound", None, 400),
        ("NoSuch.Code", None, 400),
        ("NoSuch.Code", Some(503), 503),
    ] {
        let (status, headers, body) = parts(encode_surface_error(
            Protocol::Acs3,
            ID,
            None,
            &surface(code, "m", given),
        ));
        assert_eq!(status, expect);
        assert_eq!(headers[0].1, "application/json;charset=utf-8");
        assert_eq!(
            body,
            format!(
                "{{\"RequestId\":\"{ID}\",\"HostId\":\"\",\"Code\":\"{code}\",\"Message\":\"m\",\"Recommend\":\"\"}}"
            )
        );
    }
    for (code, fillings, expect) in [
        (
            "InvalidParameter.NotEmpty",
            &["AppId"][..],
            Some("You must specify the parameter AppId."),
        ),
        (
            "InvalidParameter.WithMessage",
            &["Envs", "not a list"],
            Some("The parameter is invalid {Envs}: not a list"),
        ),
        (
            "InvalidParameter.WithMessage",
            &["Envs"],
            Some("The parameter is invalid {Envs}: "),
        ),
        ("rollback.error", &["odd"], Some("Failed to roll back.")),
        ("NoSuch.Code", &[], None),
    ] {
        assert_eq!(sae_message(code, fillings).as_deref(), expect, "{code}");
    }
}

/// Every condition, in the words of every vendor.
#[test]
fn rejections() {
    use Fault as F;
    let table: [(Fault, &str, u32, &str, u16); 29] = [
        (
            F::MalformedAuthorization,
            "AuthFailure.InvalidAuthorization",
            4100,
            "IncompleteSignature",
            400,
        ),
        (
            F::MissingAuthorization,
            "MissingParameter",
            4000,
            "MissingParameter",
            400,
        ),
        (
            F::UnsupportedSignature,
            "AuthFailure.InvalidAuthorization",
            4100,
            "IncompleteSignature",
            400,
        ),
        (
            F::KeyNotFound,
            "AuthFailure.SecretIdNotFound",
            4104,
            "InvalidAccessKeyId.NotFound",
            404,
        ),
        (
            F::KeyInactive,
            "AuthFailure.SecretIdNotFound",
            4104,
            "InvalidAccessKeyId.Inactive",
            403,
        ),
        (
            F::SignatureMismatch,
            "AuthFailure.SignatureFailure",
            4100,
            "SignatureDoesNotMatch",
            400,
        ),
        (
            F::ClockSkew,
            "AuthFailure.SignatureExpire",
            4500,
            "InvalidTimeStamp.Expired",
            400,
        ),
        (
            F::MalformedDate,
            "InvalidParameter",
            4000,
            "InvalidTimeStamp.Format",
            400,
        ),
        (
            F::NonceUsed,
            "AuthFailure.SignatureExpire",
            4500,
            "SignatureNonceUsed",
            400,
        ),
        (
            F::TokenMissing,
            "AuthFailure.TokenFailure",
            4105,
            "InvalidSecurityToken.Malformed",
            400,
        ),
        (
            F::TokenInvalid,
            "AuthFailure.TokenFailure",
            4105,
            "InvalidSecurityToken.MismatchWithAccessKey",
            400,
        ),
        (
            F::TokenExpired,
            "AuthFailure.TokenFailure",
            4105,
            "InvalidSecurityToken.Expired",
            400,
        ),
        (
            F::Denied,
            "AuthFailure.UnauthorizedOperation",
            4101,
            "Forbidden.RAM",
            403,
        ),
        (
            F::Throttled,
            "RequestLimitExceeded",
            4400,
            "Throttling.User",
            429,
        ),
        (
            F::UnknownAction,
            "InvalidAction",
            6100,
            "InvalidAction.NotFound",
            404,
        ),
        (
            F::UnknownPath,
            "InvalidAction",
            6100,
            "InvalidApi.NotFound",
            404,
        ),
        (
            F::UnknownVersion,
            "NoSuchVersion",
            6100,
            "InvalidVersion",
            400,
        ),
        (
            F::NotServed,
            "InvalidAction",
            6100,
            "InvalidAction.NotFound",
            404,
        ),
        (
            F::MethodNotAllowed,
            "UnsupportedProtocol",
            4600,
            "UnsupportedHTTPMethod",
            400,
        ),
        (
            F::UnsupportedProtocol,
            "UnsupportedProtocol",
            4600,
            "InvalidParameter",
            400,
        ),
        (
            F::UnsupportedRegion,
            "UnsupportedRegion",
            4000,
            "InvalidParameter",
            400,
        ),
        (
            F::MalformedBody,
            "InvalidRequest",
            4000,
            "InvalidParameter",
            400,
        ),
        (
            F::MissingParameter,
            "MissingParameter",
            4000,
            "MissingParameter",
            400,
        ),
        (
            F::InvalidParameter,
            "InvalidParameter",
            4000,
            "InvalidParameter",
            400,
        ),
        (
            F::InvalidParameterValue,
            "InvalidParameterValue",
            4000,
            "InvalidParameter",
            400,
        ),
        (
            F::UnknownParameter,
            "UnknownParameter",
            4000,
            "InvalidParameter",
            400,
        ),
        (
            F::TooLarge,
            "RequestSizeLimitExceeded",
            4000,
            "InvalidParameter",
            400,
        ),
        (F::Internal, "InternalError", 6000, "InternalError", 500),
        (
            F::Unavailable,
            "ServiceUnavailable",
            6200,
            "ServiceUnavailable",
            503,
        ),
    ];
    assert_eq!(table.map(|row| row.0), Fault::ALL);
    for (fault, tencent, number, alibaba, http) in table {
        let rejection = Rejection::new(fault, "why");
        for protocol in [Protocol::Tc3, Protocol::TencentV1] {
            let (status, _, body) = parts(encode_rejection(protocol, ID, None, &rejection));
            let body: Value = serde_json::from_str(&body).expect("JSON");
            assert_eq!(status, 200);
            assert_eq!(
                body,
                json!({"Response": {"Error": {"Code": tencent, "Message": "why"}, "RequestId": ID}})
            );
            assert_eq!(fault.code(protocol), tencent);
        }
        let (status, _, body) = parts(encode_rejection(Protocol::QcloudV2, ID, None, &rejection));
        let body: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(status, 200);
        assert_eq!(body["code"], number);
        assert_eq!(body["message"], "why");
        assert!(body["codeDesc"].is_string());
        for protocol in [Protocol::AlibabaRoa, Protocol::Acs3] {
            let (status, headers, body) = parts(encode_rejection(protocol, ID, None, &rejection));
            let body: Value = serde_json::from_str(&body).expect("JSON");
            assert_eq!(status, http, "{fault:?}");
            assert_eq!(body["Code"], alibaba);
            let retry = headers.iter().any(|(name, _)| *name == "x-acs-retry-after");
            assert_eq!(retry, fault == Fault::Throttled);
            if fault == Fault::SignatureMismatch {
                assert!(body["Message"].as_str().is_some_and(|m| m.contains(':')));
            }
        }
    }
}
