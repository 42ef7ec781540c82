//! The ways back, on a real server.

use backout_mariadb::testing::PrivateServer;
use serde_json::{Value, json};

use crate::cloud::{Cloud, UNKNOWN, moment, rows};

const SHOP: &str = "CREATE DATABASE shop;
CREATE TABLE shop.orders (id INT PRIMARY KEY AUTO_INCREMENT, who VARCHAR(40) NOT NULL, cents INT NOT NULL) ENGINE=InnoDB;
INSERT INTO shop.orders (who, cents) SELECT CONCAT('customer ', seq), seq * 7 FROM shop.seq_1_to_500;
";

fn tables(instance: &str, at: &str, new_name: &str) -> Value {
    json!({"Instances": [{
        "InstanceId": instance,
        "Strategy": "table",
        "RollbackTime": at,
        "Tables": [{"Database": "shop", "Table": [{"TableName": "orders", "NewTableName": new_name}]}],
    }]})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_comes_back_under_a_new_name_and_every_list_tells_of_it() {
    // Times of calls are in this zone.
    let server = PrivateServer::start(&["--default-time-zone=+05:30"]);
    let cloud = Cloud::start().await;
    let shop = cloud.manage("shop", &server).await;
    server.script(SHOP);
    let before = rows(&server, "shop.orders");
    assert_eq!(before.len(), 500);
    let then = moment(&server);
    server.script("UPDATE shop.orders SET cents = 0;\n");
    let after = rows(&server, "shop.orders");
    assert_ne!(before, after);

    let asked = cloud
        .ok("StartBatchRollback", tables(&shop, &then, "orders_then"))
        .await;
    let id = asked["AsyncRequestId"].as_str().unwrap().to_owned();
    let groups: Vec<&str> = id.split('-').collect();
    assert!(
        groups.len() == 4 && groups.iter().all(|g| g.len() == 8),
        "{id}"
    );
    let seen = cloud.settled(&id).await;
    assert_eq!(seen["Status"], "SUCCESS", "{seen}");
    assert_eq!(seen["Info"], "Rollback is successful");
    assert_eq!(rows(&server, "shop.orders_then"), before);
    assert_eq!(rows(&server, "shop.orders"), after, "it is not touched");

    let detail = cloud
        .ok(
            "DescribeRollbackTaskDetail",
            json!({"InstanceId": shop, "Limit": "1"}),
        )
        .await;
    assert_eq!(detail["TotalCount"], 1);
    let row = &detail["Items"][0];
    assert_eq!(
        (&row["Status"], &row["Progress"]),
        (&json!("SUCCESS"), &json!(100))
    );
    assert_eq!(
        row["Detail"],
        tables(&shop, &then, "orders_then")["Instances"],
        "what was asked, in the zone in which it was asked"
    );
    let tasks = cloud
        .ok(
            "DescribeTasks",
            json!({"InstanceId": shop, "TaskTypes": [10], "TaskStatus": [2]}),
        )
        .await;
    assert_eq!(tasks["TotalCount"], 1, "{tasks}");
    let row = &tasks["Items"][0];
    assert_eq!(
        (&row["TaskStatus"], &row["TaskType"], &row["AsyncRequestId"]),
        (&json!("SUCCEED"), &json!("BATCH ROLLBACK"), &json!(id))
    );
    assert_eq!(row["InstanceIds"], json!([shop]));

    let jobs = cloud
        .legacy_ok("GetCdbRollbackJob", &[("cdbInstanceId", &shop)])
        .await;
    let job = &jobs["data"]["taskList"][0];
    for (member, expect) in [
        ("name", "shop.orders"),
        ("newName", "shop.orders_then"),
        ("status", "2"),
        ("taskStatus", "2"),
        ("progress", "100"),
        ("type", "10"),
        ("code", "0"),
        ("message", ""),
        ("taskMessage", "Rollback is successful"),
    ] {
        assert_eq!(job[member], expect, "{member} of {job}");
    }
    assert_eq!(job["taskContext"]["data"]["rollbackTime"], then);
    let number = job["jobId"].as_str().unwrap();
    let task = cloud
        .legacy_ok("GetCdbRollbackJobTask", &[("jobId", number)])
        .await;
    let data = &task["data"];
    assert_eq!(data["jobInfo"]["jobId"].to_string(), number);
    assert_eq!(data["jobInfo"]["status"], 2);
    assert_eq!(data["jobInfo"]["detail"][0]["cdbInstanceName"], "shop");
    assert_eq!(data["taskDetail"][0]["status"], "2");
    assert_eq!(data["taskDetail"][0]["taskInfo"]["rollbackTime"], then);

    // The name is taken now; and what is not there cannot come back.
    cloud
        .refused(&[
            (
                "StartBatchRollback",
                tables(&shop, &then, "orders_then"),
                "InvalidParameter",
            ),
            (
                "StartBatchRollback",
                tables(&shop, "2001-01-01 00:00:00", "older"),
                "InvalidParameter",
            ),
            (
                "StopRollback",
                json!({"InstanceId": shop}),
                "CdbError.TaskError",
            ),
        ])
        .await;
    the_contents(&cloud, &shop, &then).await;
    cloud.stop().await;
}

/// What the server holds.
async fn the_contents(cloud: &Cloud, shop: &str, then: &str) {
    let databases = cloud
        .ok(
            "DescribeDatabases",
            json!({"InstanceId": shop, "DatabaseRegexp": "^SH"}),
        )
        .await;
    assert_eq!(databases["Items"], json!(["shop"]));
    assert_eq!(
        databases["DatabaseList"],
        json!([{"DatabaseName": "shop", "CharacterSet": "utf8mb4"}])
    );
    let found = cloud
        .ok(
            "DescribeTables",
            json!({"InstanceId": shop, "Database": "shop"}),
        )
        .await;
    assert_eq!(found["Items"], json!(["orders", "orders_then"]));
    let odd = "InvalidParameterValue.InvalidParameterValueError";
    let of = |database: &str| json!({"InstanceId": shop, "Database": database});
    cloud
        .refused(&[
            ("DescribeTables", of("nothing"), odd),
            ("DescribeTables", of("SHOP"), odd),
            ("DescribeTables", of(""), odd),
        ])
        .await;
    // The server's own are not listed, but there.
    let found = cloud.ok("DescribeTables", of("mysql")).await;
    assert!(found["TotalCount"].as_i64().unwrap() > 5, "{found}");
    let page = json!({"InstanceId": shop, "Database": "shop", "Offset": 1, "Limit": 1});
    let found = cloud.ok("DescribeTables", page).await;
    assert_eq!(
        (&found["TotalCount"], &found["Items"]),
        (&json!(2), &json!(["orders_then"]))
    );
    let logs = cloud
        .ok("DescribeBinlogs", json!({"InstanceId": shop}))
        .await;
    assert!(logs["TotalCount"].as_i64().unwrap() >= 1, "{logs}");
    assert!(
        logs["Items"][0]["Name"]
            .as_str()
            .unwrap()
            .starts_with("mysql-bin."),
        "{logs}"
    );

    let ranges = cloud
        .ok(
            "DescribeRollbackRangeTime",
            json!({"InstanceIds": [shop, UNKNOWN, "shop"]}),
        )
        .await;
    assert_eq!(ranges["TotalCount"], 3);
    let codes: Vec<i64> = ranges["Items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["Code"].as_i64().unwrap())
        .collect();
    assert_eq!(codes, [0, 1_600_009, 1_600_003]);
    let window = &ranges["Items"][0]["Times"][0];
    let (begin, end) = (
        window["Begin"].as_str().unwrap(),
        window["End"].as_str().unwrap(),
    );
    assert!(begin <= then && then <= end, "{then} in {window}");

    let legacy = cloud
        .legacy_ok("QueryCdbRollbackRangeTime", &[("cdbInstanceIds.0", shop)])
        .await;
    assert_eq!(legacy["data"][0]["code"], 0);
    assert_eq!(legacy["data"][0]["times"][0]["begin"], begin);
    let legacy = cloud
        .legacy_ok("QueryCdbDatabases", &[("cdbInstanceIds.0", shop)])
        .await;
    assert_eq!(legacy["data"][0]["databaseList"], json!(["shop"]));
    let legacy = cloud
        .legacy_ok(
            "QueryCdbDatabaseTables",
            &[
                ("cdbInstanceId", shop),
                ("databases.0", "shop"),
                ("databases.1", "nothing"),
            ],
        )
        .await;
    assert_eq!(
        legacy["data"][0]["tableList"],
        json!(["orders", "orders_then"])
    );
    assert_eq!(legacy["data"][1]["code"], 9003);
}

/// Databases through the legacy call, whose answer is the number of the job.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_comes_back_through_the_legacy_call() {
    let server = PrivateServer::start(&[]);
    let cloud = Cloud::start().await;
    let shop = cloud.manage("shop", &server).await;
    server.script(SHOP);
    let before = rows(&server, "shop.orders");
    let then = moment(&server);
    server.script("DELETE FROM shop.orders WHERE id > 10;\n");
    let para = json!({
        "rollbacktime": then,
        "dbs": [{"dbname": "shop", "newname": "shop_then"}],
    })
    .to_string();
    let started = cloud
        .legacy_ok(
            "RollbackCdbDatabaseTables",
            &[
                ("instances.0.cdbInstanceId", &shop),
                ("instances.0.para", &para),
            ],
        )
        .await;
    let number = started["data"]["jobId"].as_str().unwrap();
    let task = cloud.ok("DescribeTasks", json!({"InstanceId": shop})).await["Items"][0].clone();
    assert_eq!(task["JobId"].to_string(), number);
    assert_eq!(task["TaskType"], "ROLLBACK", "of one database");
    let asked = task["AsyncRequestId"].as_str().unwrap();
    let seen = cloud.settled(asked).await;
    assert_eq!(seen["Status"], "SUCCESS", "{seen}");
    assert_eq!(rows(&server, "shop_then.orders"), before);
    let jobs = cloud
        .legacy_ok("GetCdbRollbackJob", &[("cdbInstanceId", &shop)])
        .await;
    assert_eq!(jobs["data"]["taskList"][0]["type"], "1");
    assert_eq!(
        jobs["data"]["taskList"][0]["taskContext"]["data"]["dbs"],
        json!([{"dbname": "shop", "newname": "shop_then"}])
    );
    cloud.stop().await;
}

/// While it waits, and while it is stopped.
#[tokio::test(flavor = "multi_thread")]
async fn one_rollback_at_a_time_which_can_be_stopped() {
    let server = PrivateServer::start(&[]);
    let mut cloud = Cloud::start().await;
    let shop = cloud.manage("shop", &server).await;
    server.script(SHOP);
    let then = moment(&server);
    server.script("UPDATE shop.orders SET cents = 0;\n");
    cloud.hold_still().await;

    let asked = cloud
        .ok("StartBatchRollback", tables(&shop, &then, "orders_then"))
        .await["AsyncRequestId"]
        .clone();
    let state = |asked: &Value| json!({"AsyncRequestId": asked});
    let info = "DescribeAsyncRequestInfo";
    assert_eq!(cloud.ok(info, state(&asked)).await["Status"], "INITIAL");
    let seen = cloud
        .ok("DescribeDBInstances", json!({"TaskStatus": [6]}))
        .await;
    assert_eq!(seen["Items"][0]["InstanceId"], shop, "it is rolled back");
    let seen = cloud
        .legacy_ok("DescribeCdbInstances", &[("cdbInstanceIds.0", &shop)])
        .await;
    assert_eq!(seen["cdbInstanceSet"][0]["taskStatus"], 6);
    cloud
        .refused(&[(
            "StartBatchRollback",
            tables(&shop, &then, "orders_too"),
            "FailedOperation.StatusConflict",
        )])
        .await;
    let para = json!({
        "rollbacktime": then,
        "tables": [{"db": "shop", "table": [{"tablename": "orders", "newname": "orders_too"}]}],
    })
    .to_string();
    cloud
        .legacy_refused(&[(
            "RollbackCdbDatabaseTables",
            &[
                ("instances.0.cdbInstanceId", &shop),
                ("instances.0.para", &para),
            ],
            "9592",
        )])
        .await;

    let stopped = cloud.ok("StopRollback", json!({"InstanceId": shop})).await;
    let lines = cloud.audited(&stopped).await;
    let tasks = cloud
        .databases
        .tasks_asked(cloud.owner(), asked.as_str().unwrap())
        .await
        .unwrap();
    assert_eq!(
        lines[0].job.as_ref(),
        Some(&tasks[0].job),
        "the one it stops"
    );
    let stopping = stopped["AsyncRequestId"].clone();
    assert_ne!(stopping, asked, "work of its own");
    assert_eq!(cloud.ok(info, state(&stopping)).await["Status"], "RUNNING");
    assert_eq!(cloud.ok(info, state(&asked)).await["Status"], "PAUSED");
    let jobs = cloud
        .legacy_ok("GetCdbRollbackJob", &[("cdbInstanceId", &shop)])
        .await;
    let job = &jobs["data"]["taskList"][0];
    assert_eq!(job["status"], "6", "being stopped");
    assert_eq!(job["endTime"], "0000-00-00 00:00:00");
    cloud.go_on().await;
    let seen = cloud.settled(asked.as_str().unwrap()).await;
    assert_eq!(seen["Status"], "KILLED", "{seen}");
    let seen = cloud.settled(stopping.as_str().unwrap()).await;
    assert_eq!(seen["Status"], "SUCCESS", "{seen}");
    let left = server.value(
        "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_NAME LIKE 'orders_%' OR TABLE_SCHEMA LIKE 'backout%'",
    );
    assert_eq!(left, "0", "nothing is left behind");
    let seen = cloud
        .ok("DescribeDBInstances", json!({"TaskStatus": [0]}))
        .await;
    assert_eq!(seen["TotalCount"], 1, "and it is free again");
    cloud.stop().await;
}

/// Transactions that crossed to what is not chosen.
#[tokio::test(flavor = "multi_thread")]
async fn strategies_refuse_what_they_would_tear() {
    let server = PrivateServer::start(&[]);
    let cloud = Cloud::start().await;
    let shop = cloud.manage("shop", &server).await;
    server.script(SHOP);
    server.script("CREATE TABLE shop.stock (id INT PRIMARY KEY, n INT) ENGINE=InnoDB;\n");
    let then = moment(&server);
    server.script(
        "BEGIN;\nUPDATE shop.orders SET cents = 1 WHERE id = 1;\nINSERT INTO shop.stock VALUES (1, 1);\nCOMMIT;\n",
    );
    cloud
        .refused(&[(
            "StartBatchRollback",
            tables(&shop, &then, "orders_then"),
            "OperationDenied",
        )])
        .await;
    let mut whole = tables(&shop, &then, "orders_then");
    whole["Instances"][0]["Strategy"] = json!("full");
    let asked = cloud.ok("StartBatchRollback", whole).await;
    let seen = cloud
        .settled(asked["AsyncRequestId"].as_str().unwrap())
        .await;
    assert_eq!(seen["Status"], "SUCCESS", "{seen}");
    assert_eq!(
        server.value("SELECT cents FROM shop.orders_then WHERE id = 1"),
        "7"
    );
    cloud.stop().await;
}
