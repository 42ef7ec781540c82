//! Every code of the two seeds, produced by its documented cause
//! (`docs/dlc-errors.md`), with the fault switch off but where it says
//! otherwise; and the page itself.

use std::collections::BTreeSet;

use backout_engines::model::{EngineState, Mode, Operation};
use backout_wire::{Service, find};
use serde_json::{Value, json};

use crate::cloud::{Cloud, REGION, UNKNOWN, code_of, text};
use crate::common::pages;

const CHECK: &str = "CheckDataEngineImageCanBeRollback";
const SWITCH: &str = "SwitchDataEngineImage";
const BACK: &str = "RollbackDataEngineImage";

/// The codes that may come from the fault switch.
const SWITCHED: [&str; 3] = [
    "FailedOperation",
    "InternalError",
    "InternalError.InternalSystemException",
];

const NO_CAM: &str = "UnauthorizedOperation.UnauthorizedOperationCode_NoEngineCamPermissions";

/// What was produced, to be compared with what there is.
struct Produced<'a> {
    cloud: &'a Cloud,
    action: &'static str,
    seen: BTreeSet<String>,
}

impl<'a> Produced<'a> {
    fn of(cloud: &'a Cloud, action: &'static str) -> Self {
        Self {
            cloud,
            action,
            seen: BTreeSet::new(),
        }
    }

    async fn by(&mut self, params: Value, code: &str) {
        let answer = Box::pin(self.cloud.call(self.action, &params)).await;
        assert_eq!(code_of(&answer), code, "{} {params}: {answer}", self.action);
        self.seen.insert(code.to_owned());
    }

    async fn by_fault_switch(&mut self, params: Value) {
        for code in SWITCHED {
            let action = format!("dlc:{}", self.action);
            self.cloud.let_fail_once(&action, code).await;
            self.by(params.clone(), code).await;
        }
    }

    /// All codes of the operation were seen, but those of `besides`.
    fn all_but(self, besides: &[&str]) {
        let operation = find(Service::Dlc, self.action).unwrap();
        let missing: Vec<&&str> = operation
            .errors
            .iter()
            .filter(|code| !self.seen.contains(**code) && !besides.contains(*code))
            .collect();
        assert!(missing.is_empty(), "{}: {missing:?}", self.action);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_code_of_the_check() {
    let cloud = Cloud::still().await;
    let mut seen = Produced::of(&cloud, CHECK);
    let of = |engine: &str| json!({"DataEngineId": engine});

    // What is asked.
    for params in [json!({}), of(""), of(" ")] {
        seen.by(params, "InvalidParameter.ParameterNotFoundOrBeNone")
            .await;
    }
    seen.by(json!({"DataEngineId": 7}), "InvalidParameter")
        .await;
    seen.by(of(&"e".repeat(101)), "InvalidParameter").await;
    seen.by(of("DataEngine-\u{1}"), "InvalidParameter.InvalidSQL")
        .await;
    seen.by(of(UNKNOWN), "ResourceNotFound.DataEngineNotFound")
        .await;
    let twin = cloud.moved("twin").await;
    cloud.record(&twin.engine, &twin.now, |_| {}).await;
    seen.by(of(&twin.engine), "ResourceNotFound.DataEngineNotUnique")
        .await;

    // What is recorded of the engine.
    let one = cloud.moved("type").await;
    cloud
        .rows(
            "UPDATE engine_uses SET type = 7 WHERE engine = $1",
            &one.engine,
        )
        .await;
    seen.by(
        of(&one.engine),
        "InvalidParameter.ImageUserRecordsTypeNotMatch",
    )
    .await;
    let one = cloud.moved("operation").await;
    cloud
        .rows(
            "UPDATE engine_log SET operation = 'DropImage' WHERE engine = $1 AND number = 2",
            &one.engine,
        )
        .await;
    seen.by(
        of(&one.engine),
        "InvalidParameter.DataEngineImageOperateNotMatch",
    )
    .await;

    // The version that would be gone back to.
    for (name, kind, more, code) in [
        (
            "public",
            "SparkSQL",
            "public = 3",
            "InvalidParameter.ImageIsPublicNotMatch",
        ),
        (
            "state",
            "SparkSQL",
            "state = 4",
            "InvalidParameter.ImageStateNotMatch",
        ),
        (
            "kind",
            "FlinkSQL",
            "",
            "InvalidParameter.ImageEngineTypeNotMatch",
        ),
        (
            "other",
            "PrestoSQL",
            "",
            "InvalidParameter.ImageEngineTypeNotMatch",
        ),
        (
            "offline",
            "SparkSQL",
            "state = 3",
            "ResourceNotFound.ImageVersionNotActivity",
        ),
        (
            "not-yet",
            "SparkSQL",
            "state = 1",
            "ResourceNotFound.ImageVersionNotActivity",
        ),
    ] {
        let one = cloud.moved(name).await;
        cloud.entry(&format!("{name}-1"), kind, more).await;
        seen.by(of(&one.engine), code).await;
    }
    let one = cloud.moved("twice").await;
    cloud
        .rows(
            "INSERT INTO engine_images SELECT '00000000-0000-4000-8000-000000000000', owner, level, \
             version, parent, text, number + 1000, created_ms, updated_ms FROM engine_images WHERE id = $1",
            &one.before,
        )
        .await;
    seen.by(of(&one.engine), "ResourceNotFound.ImageVersionNotUnique")
        .await;
    let one = cloud.moved("gone").await;
    cloud
        .rows("DELETE FROM engine_images WHERE id = $1", &one.before)
        .await;
    seen.by(of(&one.engine), "ResourceNotFound").await;

    let fine = cloud.moved("fine").await;
    let key = cloud
        .limited("reader", &policy("dlc:DescribeDataEngines", "*"))
        .await;
    let answer = cloud
        .call_by(&key, CHECK, Some(REGION), &of(&fine.engine))
        .await;
    assert_eq!(code_of(&answer), NO_CAM, "{answer}");
    seen.seen.insert(NO_CAM.to_owned());
    seen.by_fault_switch(of(&fine.engine)).await;
    seen.all_but(&[]);
    let answer = cloud.ok(CHECK, of(&fine.engine)).await;
    assert_eq!(
        answer["IsRollback"], true,
        "and all is well without: {answer}"
    );

    for (region, code) in [
        (None, "MissingParameter"),
        (Some("mars"), "UnsupportedRegion"),
    ] {
        let answer = cloud
            .call_by(&cloud.key, CHECK, region, &of(&fine.engine))
            .await;
        assert_eq!(code_of(&answer), code, "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_code_of_the_switch() {
    let cloud = Cloud::still().await;
    let mut seen = Produced::of(&cloud, SWITCH);
    let to =
        |engine: &str, image: &str| json!({"DataEngineId": engine, "NewImageVersionId": image});
    let base = cloud.moved("base").await;

    // What is asked.
    for params in [
        json!({"DataEngineId": base.engine}),
        json!({"NewImageVersionId": base.before}),
        to("", &base.before),
        to(&base.engine, ""),
    ] {
        seen.by(params, "InvalidParameter.ParameterNotFoundOrBeNone")
            .await;
    }
    seen.by(
        to(UNKNOWN, &base.before),
        "ResourceNotFound.DataEngineNotFound",
    )
    .await;
    for image in ["00000000-0000-4000-8000-000000000000", "no such version"] {
        seen.by(
            to(&base.engine, image),
            "ResourceNotFound.ImageVersionNotFound",
        )
        .await;
    }

    // How the engine stands.
    for (name, state) in [
        ("suspended", EngineState::Suspended),
        ("failed", EngineState::Failed),
        ("new", EngineState::Initializing),
        ("leaving", EngineState::Deleting),
    ] {
        let engine = cloud.record(name, &base.now, |e| e.state = state).await;
        seen.by(
            to(&engine, &base.before),
            "ResourceNotFound.DataEngineNotActivity",
        )
        .await;
    }
    let shared = cloud
        .record("shared", &base.now, |e| e.mode = Mode::Shared)
        .await;
    seen.by(
        to(&shared, &base.before),
        "ResourceNotFound.DataEngineNotMultiVersion",
    )
    .await;

    // What is recorded of it.
    let odd = cloud
        .record("odd", &base.now, |e| e.exec_type = "HTTP".to_owned())
        .await;
    seen.by(
        to(&odd, &base.before),
        "InvalidParameter.DataEngineExecTypeNotMatch",
    )
    .await;
    for (name, mode, pay_mode) in [("paid", Mode::PayAsYouGo, 7), ("late", Mode::Monthly, 0)] {
        let engine = cloud
            .record(name, &base.now, |e| (e.mode, e.pay_mode) = (mode, pay_mode))
            .await;
        seen.by(
            to(&engine, &base.before),
            "InvalidParameter.DataEnginePayModeTypeNotMatch",
        )
        .await;
    }
    for (name, sql, code) in [
        (
            "uses",
            "UPDATE engine_uses SET type = 0 WHERE engine = $1",
            "InvalidParameter.ImageUserRecordsTypeNotMatch",
        ),
        (
            "config",
            "DELETE FROM engine_configs WHERE engine = $1",
            "ResourceNotFound.DataEngineConfigInstanceNotFound",
        ),
        (
            "configs",
            "INSERT INTO engine_configs SELECT * FROM engine_configs WHERE engine = $1",
            "ResourceNotFound.DataEngineConfigInstanceNotUnique",
        ),
        (
            "session",
            "DELETE FROM engine_session_configs WHERE engine = $1",
            "ResourceNotFound.ImageSessionConfigNotFound",
        ),
        (
            "sessions",
            "INSERT INTO engine_session_configs SELECT * FROM engine_session_configs WHERE engine = $1",
            "ResourceNotFound.ImageSessionConfigNotUnique",
        ),
    ] {
        let engine = cloud.record(name, &base.now, |_| {}).await;
        cloud.rows(sql, &engine).await;
        seen.by(to(&engine, &base.before), code).await;
    }

    // The version that it is to get.
    for (version, kind, more, code) in [
        (
            "v-state",
            "SparkSQL",
            "state = \"away\"",
            "InvalidParameter.ImageStateNotMatch",
        ),
        (
            "v-public",
            "SparkSQL",
            "public = \"some\"",
            "InvalidParameter.ImageIsPublicNotMatch",
        ),
        (
            "v-kind",
            "FlinkSQL",
            "",
            "InvalidParameter.ImageEngineTypeNotMatch",
        ),
        (
            "v-presto",
            "PrestoSQL",
            "",
            "InvalidParameter.ImageEngineTypeNotMatch",
        ),
        (
            "v-exec",
            "SparkSQL",
            "exec_type = \"HTTP\"",
            "InvalidParameter.DataEngineExecTypeNotMatch",
        ),
        (
            "v-off",
            "SparkSQL",
            "state = \"offline\"",
            "ResourceNotFound.ImageVersionNotActivity",
        ),
        (
            "v-cluster",
            "SparkSQL",
            "cluster_parameters = \"{\"",
            "InvalidParameter.ImageClusterParametersFormatNotJson",
        ),
        (
            "v-session",
            "SparkSQL",
            "session_parameters = \"[\"",
            "InvalidParameter.ImageSessionParametersFormatNotJson",
        ),
        (
            "v-needs",
            "SparkSQL",
            "[cluster_parameters]\nmust = { type = \"integer\" }",
            "InvalidParameter.ImageParameterNotFound",
        ),
    ] {
        let image = cloud.entry(version, kind, more).await;
        seen.by(to(&base.engine, &image), code).await;
    }

    // Who asks.
    let policies = json!({"Version": "1", "Statement": [
        {"Effect": "Allow", "Action": ["dlc:*"], "Resource": ["*"]},
        {"Effect": "Deny", "Action": ["dlc:SwitchDataEngineImage"], "Resource": [format!("engine/{}", base.engine)]},
    ]});
    let key = cloud.limited("operator", &policies).await;
    let no_permission = "FailedOperation.NoPermissionToUseTheDataEngine";
    for name in [base.engine.as_str(), "base", " base "] {
        let params = to(name, &base.before);
        let answer = cloud.call_by(&key, SWITCH, Some(REGION), &params).await;
        assert_eq!(code_of(&answer), no_permission, "{answer}");
    }
    seen.seen.insert(no_permission.to_owned());
    seen.by_fault_switch(to(&base.engine, &base.before)).await;
    // Operations that have both answer the other one.
    seen.all_but(&[NO_CAM]);
    cloud.ok(SWITCH, to(&base.engine, &base.before)).await;
}

fn policy(action: &str, resource: &str) -> Value {
    json!({"Version": "1", "Statement": [
        {"Effect": "Allow", "Action": [action], "Resource": [resource]},
    ]})
}

/// Codes of the rollback and the upgrade that the other two have not.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_of_a_rollback_and_an_upgrade() {
    let cloud = Cloud::still().await;
    let one = cloud.moved("one").await;
    let operate = "InvalidParameter.DataEngineImageOperateNotMatch";
    let check = cloud.ok(CHECK, json!({"DataEngineId": one.engine})).await;
    let (from, to) = (text(&check["FromRecordId"]), text(&check["ToRecordId"]));
    assert!(!from.is_empty() && !to.is_empty() && from != to);
    let fresh = cloud.record("fresh", &one.now, |_| {}).await;
    let back = cloud.moved("back").await;
    cloud
        .moved_to(&back.engine, Operation::RollbackImage, &back.before, 1)
        .await;
    for engine in [&fresh, &back.engine] {
        let check = cloud.ok(CHECK, json!({"DataEngineId": engine})).await;
        assert_eq!(check["IsRollback"], false);
        assert_eq!(
            (&check["FromRecordId"], &check["ToRecordId"]),
            (&json!(""), &json!(""))
        );
    }
    let twin = cloud.moved("twin").await;
    cloud.record(&twin.engine, &twin.now, |_| {}).await;
    cloud
        .refused(&[
            (BACK, json!({"DataEngineId": fresh}), operate),
            (BACK, json!({"DataEngineId": back.engine}), operate),
            (
                BACK,
                json!({"DataEngineId": one.engine, "FromRecordId": to, "ToRecordId": from}),
                operate,
            ),
            (
                BACK,
                json!({"DataEngineId": one.engine, "FromRecordId": "", "ToRecordId": "x"}),
                operate,
            ),
            (
                BACK,
                json!({}),
                "InvalidParameter.ParameterNotFoundOrBeNone",
            ),
            (
                BACK,
                json!({"DataEngineId": twin.engine}),
                "ResourceNotFound.DataEngineNotUnique",
            ),
            (
                "UpgradeDataEngineImage",
                json!({"DataEngineId": one.engine}),
                "ResourceNotFound.ImageVersionNotFound",
            ),
            (
                SWITCH,
                json!({"DataEngineId": one.engine, "NewImageVersionId": one.now}),
                "UnsupportedOperation",
            ),
            (
                BACK,
                json!({"DataEngineId": UNKNOWN}),
                "ResourceNotFound.DataEngineNotFound",
            ),
        ])
        .await;
    // None of that has done anything: with both ids it is let in.
    let params = json!({"DataEngineId": one.engine, "FromRecordId": from, "ToRecordId": to});
    let answer = cloud.ok(BACK, params).await;
    assert_eq!(cloud.audited(&answer).await[0].resource, one.engine);
    // And the job that it made is in the way of everybody else.
    cloud
        .refused(&[
            (
                BACK,
                json!({"DataEngineId": one.engine}),
                "ResourceNotFound.DataEngineNotActivity",
            ),
            (
                SWITCH,
                json!({"DataEngineId": one.engine, "NewImageVersionId": one.before}),
                "ResourceNotFound.DataEngineNotActivity",
            ),
            (
                "DeleteDataEngine",
                json!({"DataEngineNames": ["one"]}),
                "FailedOperation.AnotherProcessRunning",
            ),
            (
                "SuspendResumeDataEngine",
                json!({"DataEngineName": "one", "Operate": "suspend"}),
                "ResourceInUse",
            ),
        ])
        .await;
    assert_eq!(cloud.look("one").await["State"], 0, "a job works on it");
}

/// What belongs to another account is not there.
#[tokio::test(flavor = "multi_thread")]
async fn another_accounts_engine_is_not_there() {
    let cloud = Cloud::still().await;
    let one = cloud.moved("one").await;
    let made = cloud.accounts.create(&cloud.admin, "other", None).await;
    let other = made.unwrap().1;
    for (action, params, code) in [
        (
            CHECK,
            json!({"DataEngineId": one.engine}),
            "ResourceNotFound.DataEngineNotFound",
        ),
        (
            SWITCH,
            json!({"DataEngineId": one.engine, "NewImageVersionId": one.before}),
            "ResourceNotFound.DataEngineNotFound",
        ),
        (
            "DescribeDataEngine",
            json!({"DataEngineName": "one"}),
            "ResourceNotFound.DataEngineNotFound",
        ),
        (
            "RestartDataEngine",
            json!({"DataEngineId": one.engine}),
            "ResourceNotFound",
        ),
        (
            "ModifyDataEngineDescription",
            json!({"DataEngineName": "one", "Message": "mine"}),
            "InvalidParameter.InvalidDataEngineName",
        ),
    ] {
        let answer = cloud.call_by(&other, action, Some(REGION), &params).await;
        assert_eq!(code_of(&answer), code, "{action}: {answer}");
    }
}

#[test]
fn the_page_has_every_code_and_makes_up_none() {
    let page = "docs/dlc-errors.md";
    pages::every_code_is_told(&[Service::Dlc], page);
    pages::no_cause_is_made_up(page, "crates/api/src/dlc/codes.rs", &[]);
}
