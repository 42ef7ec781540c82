//! Data engines that are real, of two versions each: DuckDB and Spark. They are
//! switched and taken back while they are asked, with the vendor's own client and
//! the command line.
//!
//! `./run test` installs them under `.cache/engines`.

mod common;
mod engines;

use std::process::Command;
use std::time::Duration;

use common::{Sdk, until};
use engines::{Load, Rig, Slow, answered_by, ask, first_row};
use serde_json::{Value, json};

/// The versions that `./run test` installs.
const DUCKDB: [&str; 2] = ["1.3.2", "1.4.4"];
const SPARK: [&str; 2] = ["4.0.2", "4.1.2"];

/// From one question to the next while Spark starts.
const PAUSE: Duration = Duration::from_millis(400);

/// A server that waits for statements for as long as a busy machine may take.
const PATIENT: [&str; 2] = ["--engines-drain", "300"];

/// What a statement says of itself when it asks for everything that a switch may
/// change.
const ALL: &str = "SELECT version(), sum(n), current_setting('threads'), \
     current_setting('preserve_insertion_order'), current_setting('TimeZone') FROM trips";

/// Parameters of the first version, and of the second, which knows one less and
/// one more.
const PARAMETERS: [&str; 2] = [
    "[cluster_parameters]\n\
     threads = { type = \"integer\", default = 1 }\n\
     preserve_insertion_order = { type = \"boolean\", default = true }\n\
     [session_parameters]\n\
     TimeZone = { default = \"UTC\" }\n",
    "[cluster_parameters]\n\
     threads = { type = \"integer\", default = 1 }\n\
     checkpoint_threshold = { default = \"32MB\" }\n\
     [session_parameters]\n\
     TimeZone = { default = \"UTC\" }\n",
];

/// Both versions in the catalogue, and the engine `e` of the first.
fn light(more: &[&str], set: &[&str]) -> Rig {
    let rig = Rig::start(more);
    for (version, parameters) in DUCKDB.iter().zip(PARAMETERS) {
        rig.add(&rig.duckdb(version, parameters));
    }
    let image = format!("DuckDB {}", DUCKDB[0]);
    let set = set.iter().flat_map(|pair| ["--set", pair]);
    let words = [
        "engines", "create", "e", "--kind", "DuckDB", "--image", &image,
    ];
    rig.server
        .ok(&words.into_iter().chain(set).collect::<Vec<_>>());
    rig
}

/// The row that [`ALL`] answers.
fn says(version: &str, threads: u32, order: bool, zone: &str) -> Value {
    json!([format!("v{version}"), engines::SUM, threads, order, zone])
}

#[test]
fn the_official_clients_switch_an_engine_and_take_it_back() {
    let rig = light(
        &[],
        &[
            "threads=3",
            "preserve_insertion_order=false",
            "TimeZone=Asia/Tokyo",
        ],
    );
    let (server, port) = (&rig.server, rig.port("e"));
    let id = server.ok(&["engines", "show", "e"])["id"].clone();
    let images = server.ok(&["engines", "images"]);
    let new = images.as_array().unwrap().last().unwrap();
    assert_eq!(new["version"], format!("DuckDB {}", DUCKDB[1]));
    let before = says(DUCKDB[0], 3, false, "Asia/Tokyo");
    // The new version knows the first and the last.
    let after = says(DUCKDB[1], 3, true, "Asia/Tokyo");
    assert_eq!(first_row(port, ALL), before);

    let mut sdk = Sdk::start(&server.secret_id, &server.secret_key);
    let mut call = |action: &str, mut parameters: Value| {
        parameters["DataEngineId"] = id.clone();
        sdk.dlc(&server.url, action, &parameters)
    };
    let switched = call(
        "SwitchDataEngineImage",
        json!({"NewImageVersionId": new["id"]}),
    );
    rig.applied(&switched.unwrap());
    assert_eq!(first_row(port, ALL), after);
    let threshold = first_row(port, "SELECT current_setting('checkpoint_threshold')");
    assert_eq!(threshold, json!(["30.5 MiB"]));

    let check = call("CheckDataEngineImageCanBeRollback", json!({})).unwrap();
    let log = server.ok(&["engines", "log", "e"]);
    assert_eq!(check["IsRollback"], true, "{check}");
    assert_eq!(check["FromRecordId"], log[1]["id"], "{check} {log}");
    assert_eq!(check["ToRecordId"], log[0]["id"], "{check} {log}");
    let records = json!({"FromRecordId": check["FromRecordId"], "ToRecordId": check["ToRecordId"]});
    let rolled_back = call("RollbackDataEngineImage", records.clone());
    rig.applied(&rolled_back.unwrap());
    assert_eq!(first_row(port, ALL), before);

    let check = call("CheckDataEngineImageCanBeRollback", json!({})).unwrap();
    assert_eq!(check["IsRollback"], false, "{check}");
    assert_eq!(
        (&check["FromRecordId"], &check["ToRecordId"]),
        (&json!(""), &json!(""))
    );
    let refused = [
        call("RollbackDataEngineImage", records),
        call("SwitchDataEngineImage", json!({"NewImageVersionId": id})),
    ];
    assert_eq!(
        refused.map(Result::unwrap_err),
        [
            "InvalidParameter.DataEngineImageOperateNotMatch",
            "ResourceNotFound.ImageVersionNotFound"
        ]
    );

    // The others of the vendor's clients.
    let said = |mut command: Command| -> Value {
        command.env("BO_ENGINE", id.as_str().unwrap());
        command.env("BO_IMAGE", new["id"].as_str().unwrap());
        serde_json::from_str(&common::run(server, command)).unwrap()
    };
    rig.applied(&said(common::node("tencent_engines.cjs")));
    assert_eq!(first_row(port, ALL), after);
    let mut tccli = Command::new("bash");
    tccli.arg(common::script("tccli_engines.sh"));
    tccli.env("BO_TCCLI", common::cache().join("venv/bin/tccli"));
    rig.applied(&said(tccli));
    assert_eq!(first_row(port, ALL), before);
}

#[test]
fn statements_are_answered_while_versions_change_and_backout_is_killed() {
    let mut rig = light(&PATIENT, &[]);
    let port = rig.port("e");
    let load = Load::start(port);
    load.wait_for(40);

    let slow = Slow::start(port, &rig.fifo("one"));
    let job = rig.begin(&[
        "engines",
        "switch",
        "e",
        "--image",
        &format!("DuckDB {}", DUCKDB[1]),
    ]);
    answered_by(port, DUCKDB[1]);
    load.wait_for(40);
    assert!(!rig.is_over(&job), "it waits for the statement");
    assert_eq!(slow.finish(), json!([format!("v{}", DUCKDB[0]), 6]));
    rig.over(&job);

    // What began before the rollback outlives Backout itself.
    let slow = Slow::start(port, &rig.fifo("two"));
    let job = rig.begin(&["engines", "rollback", "e"]);
    answered_by(port, DUCKDB[0]);
    rig.server.signal("KILL");
    rig.server.wait();
    load.wait_for(40);
    assert_eq!(slow.finish(), json!([format!("v{}", DUCKDB[1]), 6]));
    load.wait_for(40);
    rig.server.restart();
    rig.over(&job);
    load.wait_for(40);
    for seen in load.stop() {
        // Whoever asks one statement after the other sees each version once.
        assert_eq!(
            seen,
            [DUCKDB[0], DUCKDB[1], DUCKDB[0]].map(|v| format!("v{v}"))
        );
    }
    assert_eq!(rig.server.ok(&["engines", "show", "e"])["state"], "running");
    rig.server.ok(&["engines", "delete", "e", "--yes"]);
    assert!(ask(port, "SELECT 1").is_err(), "nobody listens");
}

#[test]
fn a_statement_that_outlives_the_wait_is_told_so_and_can_be_asked_again() {
    let rig = light(&["--engines-drain", "1"], &[]);
    let port = rig.port("e");
    let slow = Slow::start(port, &rig.fifo("one"));
    let image = format!("DuckDB {}", DUCKDB[1]);
    rig.server
        .ok(&["engines", "switch", "e", "--image", &image, "--yes"]);
    let (status, text) = slow.broken_off();
    assert_eq!(
        (status, text.as_str()),
        (502, "502 the instance broke off\n")
    );
    let again = Slow::start(port, &rig.fifo("two"));
    assert_eq!(again.finish(), json!([format!("v{}", DUCKDB[1]), 6]));
}

#[test]
fn a_version_whose_program_is_not_here_is_refused() {
    let rig = Rig::start(&[]);
    rig.add(
        "version = \"Trino 470\"\nkind = \"PrestoSQL\"\nhealth_sql = \"SELECT 1\"\n\
         command = [\"/opt/trino-470/bin/launcher\", \"run\", \"-Dhttp-server.http.port={port}\"]\n",
    );
    let images = rig.server.ok(&["engines", "images"]);
    assert_eq!(
        (&images[0]["driver"], &images[0]["state"]),
        (&json!("trino"), &json!("online"))
    );
    let (said, code) = rig.server.json(&[
        "engines",
        "create",
        "p",
        "--kind",
        "PrestoSQL",
        "--image",
        "Trino 470",
    ]);
    assert_ne!(code, 0, "{said}");
    assert_eq!(said["error"]["code"], "BO0120", "{said}");
    assert!(
        said.to_string().contains("/opt/trino-470/bin/launcher"),
        "{said}"
    );
    assert_eq!(rig.server.ok(&["engines", "list"]), json!([]));
}

/// A parameter of Spark, in the catalogue.
const SHUFFLE: &str = "[cluster_parameters]\n\
     \"spark.sql.shuffle.partitions\" = { type = \"integer\", default = 2 }\n";

/// That Spark answers in this version at a port, that it finds the table, and that
/// it has the parameter that was set.
fn spark_answers(rig: &Rig, port: u16, version: &str) {
    let table = rig.table();
    let sql = format!(
        "SELECT substring_index(version(), ' ', 1), CAST(sum(_c1) AS INT) FROM csv.`{table}`"
    );
    let sum = engines::SUM;
    assert_eq!(engines::thrift(port, &sql), format!("{version}\t{sum}"));
    let set = engines::thrift(port, "SET spark.sql.shuffle.partitions");
    assert_eq!(set, "spark.sql.shuffle.partitions\t3");
}

#[test]
fn spark_is_switched_and_taken_back() {
    let rig = Rig::start(&PATIENT);
    let [old, new] = SPARK;
    let python = format!("Python of {new}");
    rig.add(&rig.spark("Spark 4.0", old, SHUFFLE));
    rig.add("version = \"Spark 4.1\"\nkind = \"SparkSQL\"\n");
    rig.add(&rig.spark(new, new, &format!("parent = \"Spark 4.1\"\n{SHUFFLE}")));
    rig.add(&format!(
        "version = {python:?}\nlevel = \"pyspark\"\nparent = {new:?}\n"
    ));
    rig.server.ok(&[
        "engines",
        "create",
        "s",
        "--kind",
        "SparkSQL",
        "--image",
        "Spark 4.0",
        "--set",
        "spark.sql.shuffle.partitions=3",
    ]);
    let port = rig.port("s");
    spark_answers(&rig, port, old);

    let mut session = engines::Beeline::open(port, old);
    assert_eq!(session.version(), old);
    let job = rig.begin(&["engines", "switch", "s", "--image", &python]);
    until("the new version answers", || {
        let said = engines::thrift(port, "SELECT substring_index(version(), ' ', 1)");
        assert!(SPARK.contains(&said.as_str()), "{said}");
        // Whoever asks all the time takes the processor that it starts on.
        std::thread::sleep(PAUSE);
        (said == new).then_some(())
    });
    assert_eq!(session.version(), old, "it stays with what it began with");
    assert!(!rig.is_over(&job), "it waits for the session");
    drop(session);
    rig.over(&job);
    let shown = rig.server.ok(&["engines", "show", "s"]);
    assert_eq!(
        (&shown["image"], &shown["child"], &shown["python"]),
        (&json!("Spark 4.1"), &json!(new), &json!(python))
    );
    spark_answers(&rig, port, new);

    rig.server.ok(&["engines", "rollback", "s", "--yes"]);
    spark_answers(&rig, port, old);
    let log = rig.server.ok(&["engines", "log", "s"]);
    let did: Vec<_> = log
        .as_array()
        .unwrap()
        .iter()
        .map(|r| &r["operation"])
        .collect();
    assert_eq!(did, ["RollbackImage", "SwitchImage", "InitImage"]);
}
