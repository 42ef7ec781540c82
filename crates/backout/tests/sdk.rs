//! The vendors' official clients against the real binary, with nothing changed
//! but the endpoint (PROTOCOL.md section 6).
//!
//! `./run test` installs the clients under `.cache/`.

mod common;

use std::process::Command;

use common::{Running, TlsFiles, cache, node, python, run, script, sha256_line};

#[test]
fn tencent_python_signs_in_every_way() {
    let server = Running::with_server("web", 1);
    let mut command = python("tencent_python.py");
    command.arg("signatures");
    run(&server, command);
}

#[test]
fn tencent_python_raises_the_codes() {
    let server = Running::with_server("web", 1);
    let mut command = python("tencent_python.py");
    command.arg("errors");
    run(&server, command);
}

#[test]
fn tencent_python_is_throttled_and_recovers() {
    let server = Running::start(&[]);
    let mut command = python("tencent_python.py");
    command.arg("throttle");
    run(&server, command);
}

#[test]
fn tencent_python_takes_a_disk_back() {
    let server = Running::with_server("web", 8);
    let mut command = python("tencent_python.py");
    command.arg("story").env("BO_DISK", server.disk("web"));
    run(&server, command);
}

#[test]
fn tencent_python_clones_a_database() {
    let mariadb = backout_mariadb::testing::PrivateServer::start(&[]);
    mariadb.script(
        "CREATE DATABASE shop; CREATE TABLE shop.t (a INT PRIMARY KEY); INSERT INTO shop.t VALUES (1)",
    );
    let server = Running::start(&[]);
    let added = server.ok(&["databases", "add", "shop", "--url", &mariadb.url()]);
    server.ok(&["databases", "backup", "shop"]);
    mariadb.script("INSERT INTO shop.t VALUES (2)");
    let mut command = python("tencent_clone.py");
    command.env("BO_DATABASE", added["id"].as_str().expect("it has an id"));
    run(&server, command);
    let clones = server.ok(&["databases", "list"]);
    let ports = clones
        .as_array()
        .expect("a list")
        .iter()
        .filter(|database| database["kind"] == "managed");
    let rows: Vec<Option<u32>> = ports
        .map(|database| {
            let url = format!("mysql://root@127.0.0.1:{}", database["port"]);
            let endpoint = backout_mariadb::Endpoint::parse(&url).expect("a URL");
            backout_mariadb::Session::open(&endpoint)
                .and_then(|mut session| session.first("look", "SELECT COUNT(*) FROM shop.t"))
                .expect("a clone that answers")
        })
        .collect();
    assert_eq!(rows, [Some(1)], "{clones}");
    server.ok(&["databases", "isolate", "clone-1", "--yes"]);
}

#[test]
fn tencent_clients_take_a_table_back_and_read_of_it() {
    let mariadb = backout_mariadb::testing::PrivateServer::start(&["--default-time-zone=+05:30"]);
    let tls = TlsFiles::make();
    let server = Running::start(&[
        "--tls-listen",
        "127.0.0.1:0",
        "--tls-cert",
        tls.cert(),
        "--tls-key",
        tls.key(),
    ]);
    let added = server.ok(&["databases", "add", "shop", "--url", &mariadb.url()]);
    mariadb.script(
        "CREATE DATABASE shop; CREATE TABLE shop.orders (id INT PRIMARY KEY, cents INT NOT NULL); \
         INSERT INTO shop.orders SELECT seq, seq * 7 FROM shop.seq_1_to_100",
    );
    let rows = |table: &str| mariadb.query(&format!("SELECT * FROM shop.{table} ORDER BY id"));
    let before = rows("orders");
    // Times have whole seconds: all of one passes between what is kept and what
    // is taken back.
    let then = mariadb
        .value("SELECT DATE_FORMAT(NOW() + INTERVAL 1 SECOND + 0 * SLEEP(2), '%Y-%m-%d %H:%i:%s')");
    mariadb.script("UPDATE shop.orders SET cents = 0");
    let mut command = python("tencent_cdb.py");
    command
        .env("SSL_CERT_FILE", tls.ca())
        .env("BO_TLS_ADDR", server.tls_addr())
        .env("BO_THEN", &then)
        .env(
            "BO_DATABASE",
            added["id"].as_str().expect("the instance has an id"),
        );
    run(&server, command);
    assert_eq!(rows("orders_then"), before);
    assert_ne!(rows("orders"), before, "it is not touched");
}

#[test]
fn tccli_takes_a_disk_back() {
    let server = Running::with_server("web", 8);
    let mut command = Command::new("bash");
    command
        .arg(script("tccli.sh"))
        .env("BO_TCCLI", cache().join("venv/bin/tccli"))
        .env("BO_DISK", server.disk("web"))
        .env("BO_DISK_SHA", sha256_line(&server.disk("web")));
    run(&server, command);
}

#[test]
fn tencent_node_signs_in_every_way() {
    let server = Running::with_server("web", 1);
    run(&server, node("tencent_node.cjs"));
}

#[test]
fn the_legacy_client_is_verified_over_tls() {
    let tls = TlsFiles::make();
    let server = Running::start(&[
        "--tls-listen",
        "127.0.0.1:0",
        "--tls-cert",
        tls.cert(),
        "--tls-key",
        tls.key(),
    ]);
    let mut command = python("qcloud_v2.py");
    command
        .env("SSL_CERT_FILE", tls.ca())
        .env("BO_TLS_ADDR", server.tls_addr());
    run(&server, command);
}

fn alibaba_python(story: &str) {
    let server = Running::start(&[]);
    let mut command = python("alibaba_python.py");
    command.arg(story);
    run(&server, command);
}

#[test]
fn alibaba_python_is_verified() {
    alibaba_python("signatures");
}

#[test]
fn alibaba_python_is_throttled() {
    alibaba_python("throttle");
}

#[test]
fn alibaba_python_takes_an_application_back() {
    alibaba_python("story");
}

#[test]
fn aliyun_core_is_verified() {
    let server = Running::start(&[]);
    run(&server, python("aliyun_core.py"));
}

#[test]
fn alibaba_node_is_verified() {
    let server = Running::start(&[]);
    run(&server, node("alibaba_node.cjs"));
}
