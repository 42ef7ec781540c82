//! What reaches the caller of a verified call.

use backout_core::time::Timestamp;
use backout_wire::types::lighthouse::{ApplyInstanceSnapshotRequest, DescribeSnapshotsRequest};
use backout_wire::{Call, Fault, Protocol, Rejection, sign};
use serde_json::{Value, json};

use crate::common::{ALIBABA_ID, ALIBABA_SECRET, Owned, TENCENT_ID, TENCENT_SECRET, vector};
use crate::refusals::alibaba;

const NOW: Timestamp = Timestamp(1_700_000_000_000);
const VERSION: &str = "2020-03-24";

fn decoded(id: &str) -> Call {
    let v = vector(id);
    v.request.parsed(v.protocol, |signed| {
        let signed = signed.expect("parses");
        signed.verify(&v.secret, v.clock, &[]).expect("verifies");
        signed.decode().expect("decodes")
    })
}

#[test]
fn vectors_in_full() {
    let call = decoded("tc3-node-post-05");
    assert_eq!(
        call.operation.policy_action(),
        "lighthouse:ApplyInstanceSnapshot"
    );
    assert_eq!(call.region.as_deref(), Some("ap-guangzhou"));
    assert_eq!(call.language.as_deref(), Some("en-US"));
    let typed: ApplyInstanceSnapshotRequest =
        serde_json::from_value(Value::Object(call.params)).expect("typed");
    assert_eq!(typed.instance_id, "lhins-k31c771o");
    assert_eq!(typed.snapshot_id, "lhsnap-nv6aqcv6");

    let call = decoded("tc3-py-post-01");
    assert_eq!(
        call.trace_id.as_deref(),
        Some("11111111-2222-4333-8444-555555555555")
    );

    let call = decoded("v1sha1-py-get-03");
    assert_eq!(
        Value::Object(call.params),
        json!({"Instances": [{
            "InstanceId": "cdb-c1nl9rpv",
            "Strategy": "full",
            "RollbackTime": "2026-01-02 03:04:05",
            "Databases": [
                {"DatabaseName": "db1", "NewDatabaseName": "db1_bak"},
                {"DatabaseName": "\u{8ba2}\u{5355}", "NewDatabaseName": "\u{8ba2}\u{5355}_bak"},
            ],
            "Tables": [{
                "Database": "db2",
                "Table": [{"TableName": "t1", "NewTableName": "t1_bak"}],
            }],
        }]})
    );

    let call = decoded("v1-node-get-01");
    assert_eq!(
        Value::Object(call.params),
        json!({
            "Offset": 0, "Limit": 10, "ExcludePublicEngine": true,
            "Filters": [{"Name": "data-engine-name", "Values": ["a b+c/d?&=~*\u{e9}"]}],
        })
    );

    let call = decoded("roa-core-02");
    assert_eq!(call.region.as_deref(), Some("cn-hangzhou"));
    assert_eq!(call.params.get("BatchWaitTime"), Some(&json!(10)));
    assert_eq!(call.params.get("MinReadyInstanceRatio"), Some(&json!(-1)));
    assert_eq!(call.params.get("RegionId"), None);

    let call = decoded("roa-core-07");
    assert_eq!(call.params.get("ConfigMapMountDesc"), Some(&json!("[]")));
    assert_eq!(call.params.get("PackageVersion"), Some(&json!("1.0.1")));

    let call = decoded("acs3-py-11");
    assert_eq!(
        call.params.get("Labels"),
        Some(&json!({"team": "\u{e9} x", "b": "c&d"}))
    );
    assert_eq!(
        call.params.get("InitContainersConfig"),
        Some(&json!([
            {"Command": "sh", "CommandArgs": "[\"-c\",\"true\"]", "ImageUrl": "r/i:1", "Name": "init"},
            {"Name": "i2"},
        ]))
    );

    let call = decoded("qv2-sha1-04");
    assert_eq!(
        call.operation.policy_action(),
        "cdb:RollbackCdbDatabaseTables"
    );
    assert_eq!(call.region.as_deref(), Some("gz"));
    let instance = &call.params["instances"][0];
    assert_eq!(instance["cdbInstanceId"], "cdb-mo64xu70");
    assert!(
        instance["para"]
            .as_str()
            .is_some_and(|p| p.contains("rollbacktime"))
    );
}

fn tc3(action: &str, content_type: &str, body: &[u8]) -> Result<Call, Rejection> {
    let mut headers = sign::tc3(
        TENCENT_ID,
        TENCENT_SECRET,
        None,
        "POST",
        "/",
        "",
        "h:1",
        content_type,
        body,
        "lighthouse",
        NOW,
    );
    headers.push(("X-TC-Action".into(), action.into()));
    headers.push(("X-TC-Version".into(), VERSION.into()));
    let request = Owned {
        method: "POST".into(),
        path: "/".into(),
        query: String::new(),
        headers: headers
            .into_iter()
            .map(|(k, v)| (k, v.into_bytes()))
            .collect(),
        body: body.to_vec(),
    };
    request.parsed(Protocol::Tc3, |signed| {
        let signed = signed?;
        signed.verify(TENCENT_SECRET, NOW, &[])?;
        signed.decode()
    })
}

#[test]
fn tc3_bodies() {
    let json = "application/json";
    for (action, kind, body, expect) in [
        ("DescribeRegions", json, "", Ok(json!({}))),
        (
            "DescribeRegions",
            "Application/JSON; charset=utf-8",
            "{}",
            Ok(json!({})),
        ),
        ("DescribeRegions", json, "[]", Err(Fault::InvalidParameter)),
        (
            "DescribeRegions",
            json,
            "{\"a\":",
            Err(Fault::InvalidParameter),
        ),
        (
            "DescribeRegions",
            json,
            "{\"a\":1}",
            Err(Fault::UnknownParameter),
        ),
        (
            "DescribeRegions",
            "text/plain",
            "{}",
            Err(Fault::UnsupportedProtocol),
        ),
        (
            "DescribeRegions",
            "application/x-www-form-urlencoded",
            "",
            Err(Fault::UnsupportedProtocol),
        ),
        (
            "DescribeRegions",
            "application/octet-stream",
            "x",
            Err(Fault::UnsupportedProtocol),
        ),
        (
            "ApplyInstanceSnapshot",
            json,
            "{\"InstanceId\":\"a\"}",
            Err(Fault::MissingParameter),
        ),
        (
            "ApplyInstanceSnapshot",
            json,
            "{\"InstanceId\":\"a\",\"SnapshotId\":null}",
            Err(Fault::MissingParameter),
        ),
        (
            "ApplyInstanceSnapshot",
            json,
            "{\"InstanceId\":\"a\",\"InstanceId\":\"b\",\"SnapshotId\":\"s\"}",
            Err(Fault::InvalidParameter),
        ),
        (
            "DescribeSnapshots",
            "multipart/form-data; boundary=b",
            "--b\r\nContent-Disposition: form-data; name=\"Limit\"\r\n\r\n5\r\n--b\r\nContent-Disposition: form-data; name=\"SnapshotIds\"\r\nContent-Type: application/json\r\n\r\n[\"s\"]\r\n--b--\r\n",
            Ok(json!({"Limit": 5, "SnapshotIds": ["s"]})),
        ),
        (
            "DescribeSnapshots",
            "multipart/form-data; boundary=b",
            "--b\r\nContent-Disposition: form-data; name=\"SnapshotIds\"; filename=\"f\"\r\n\r\n[\"s\"]\r\n--b--\r\n",
            Err(Fault::InvalidParameter),
        ),
        (
            "DescribeSnapshots",
            "multipart/form-data; boundary=b",
            "--b\r\nContent-Disposition: form-data; name=\"Limit\"\r\n\r\n5\r\n--b\r\nContent-Disposition: form-data; name=\"Limit\"\r\n\r\n6\r\n--b--\r\n",
            Err(Fault::InvalidParameter),
        ),
        (
            "DescribeSnapshots",
            "multipart/form-data; boundary=b",
            "--b",
            Err(Fault::MalformedBody),
        ),
        (
            "DescribeSnapshots",
            "multipart/form-data",
            "",
            Err(Fault::MalformedBody),
        ),
    ] {
        let got = tc3(action, kind, body.as_bytes())
            .map(|call| Value::Object(call.params))
            .map_err(|e| e.fault);
        assert_eq!(got, expect, "{action} {kind} {body}");
    }
}

#[test]
fn typed_requests() {
    let call = tc3(
        "DescribeSnapshots",
        "application/json",
        br#"{"Filters": [{"Name": "instance-id", "Values": ["a"]}], "Limit": "7"}"#,
    )
    .expect("decodes");
    let typed: DescribeSnapshotsRequest =
        serde_json::from_value(Value::Object(call.params)).expect("typed");
    assert_eq!(typed.limit, Some(7));
    assert_eq!(typed.offset, None);
    assert!(typed.snapshot_ids.is_empty());
    assert_eq!(typed.filters[0].values, ["a"]);
    assert_eq!(
        serde_json::to_value(&typed).expect("json"),
        json!({"Filters": [{"Name": "instance-id", "Values": ["a"]}], "Limit": 7})
    );
}

#[test]
fn secrets_stay_out_of_debug() {
    let body = br#"{"InstanceId": "i", "LoginConfiguration": {"Password": "hunter2"}}"#;
    let call = tc3("ResetInstance", "application/json", body).expect("decodes");
    assert!(!format!("{call:?}").contains("hunter2"));
    let typed: backout_wire::types::lighthouse::ResetInstanceRequest =
        serde_json::from_value(Value::Object(call.params)).expect("typed");
    assert!(!format!("{typed:?}").contains("hunter2"));
    let v = vector("tc3-node-post-05");
    v.request.parsed(v.protocol, |signed| {
        let signed = signed.expect("parses");
        assert_eq!(signed.token(), Some("TOKEN+/="));
        assert!(!format!("{signed:?}").contains("TOKEN"));
    });
}

#[test]
fn sae_query_or_body() {
    let base = sign::AlibabaCall {
        key_id: ALIBABA_ID,
        secret: ALIBABA_SECRET,
        token: None,
        method: "PUT",
        path: "/pop/v1/sam/app/rollbackApplication",
        host: "h:1",
        action: "RollbackApplication",
        version: "2019-05-06",
        query: &[("AppId", "a"), ("RegionId", "r")],
        content_type: Some("application/x-www-form-urlencoded"),
        body: b"VersionId=v+1&BatchWaitTime=3",
        nonce: "n",
        now: NOW,
    };
    let run = |call: &sign::AlibabaCall<'_>, acs3: bool| {
        let (protocol, request) = alibaba(call, acs3);
        request.parsed(protocol, |signed| {
            let signed = signed.map_err(|e| e.fault)?;
            signed
                .verify(ALIBABA_SECRET, NOW, &[])
                .map_err(|e| e.fault)?;
            signed
                .decode()
                .map(|c| (c.region, Value::Object(c.params)))
                .map_err(|e| e.fault)
        })
    };
    let expect = json!({"AppId": "a", "VersionId": "v 1", "BatchWaitTime": 3});
    for acs3 in [true, false] {
        assert_eq!(run(&base, acs3), Ok((Some("r".into()), expect.clone())));
        let call = sign::AlibabaCall {
            content_type: Some("application/json; charset=utf-8"),
            body: br#"{"VersionId": "v 1", "BatchWaitTime": 3}"#,
            ..base
        };
        assert_eq!(run(&call, acs3), Ok((Some("r".into()), expect.clone())));
        for (body, fault) in [
            (&b"AppId=b&VersionId=v"[..], Fault::InvalidParameter),
            (b"VersionId=v&VersionId=v", Fault::InvalidParameter),
            (b"VersionId=v&BatchWaitTime=x", Fault::InvalidParameter),
            (b"VersionId=v&Nope=x", Fault::UnknownParameter),
            (b"BatchWaitTime=1", Fault::MissingParameter),
        ] {
            assert_eq!(run(&sign::AlibabaCall { body, ..base }, acs3), Err(fault));
        }
        let call = sign::AlibabaCall {
            version: "2018-01-01",
            ..base
        };
        assert_eq!(run(&call, acs3), Err(Fault::UnknownVersion));
        let call = sign::AlibabaCall {
            content_type: Some("text/xml"),
            ..base
        };
        assert_eq!(run(&call, acs3), Err(Fault::UnsupportedProtocol));
    }
}

#[test]
fn trace_ids_are_echoed_only_when_fit() {
    for (value, expect) in [
        ("11111111-2222", true),
        ("a b", false),
        ("", false),
        ("\u{e9}", false),
    ] {
        let mut v = vector("tc3-py-post-01");
        v.request.set("X-TC-TraceId", value);
        v.request.parsed(v.protocol, |signed| {
            let signed = signed.expect("parses");
            assert_eq!(signed.trace_id(), expect.then_some(value), "{value:?}");
        });
    }
    let mut v = vector("tc3-py-post-01");
    v.request.set("X-TC-TraceId", &"a".repeat(129));
    v.request.parsed(v.protocol, |s| {
        assert_eq!(s.expect("parses").trace_id(), None)
    });
}
