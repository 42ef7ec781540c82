//! Applications of images, with a container engine of the test's own. Where
//! none can be had, nothing is tested.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;
#[path = "../../workloads/tests/engine/mod.rs"]
#[expect(dead_code, reason = "most of it is for the tests of the driver")]
mod engine;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use common::Running;
use engine::Engine;

/// Says who it is, and ends when it is asked to.
const SERVE: &str = "trap 'exit 0' TERM; echo \"$ANSWER\" >/small/index.html; \
                     httpd -f -p \"$PORT\" -h /small & wait";

fn image(engine: &Engine, name: &str, answer: &str) {
    let command = format!("CMD {:?}", ["sh", "-c", SERVE]);
    let answer = format!("ENV ANSWER={answer}");
    engine.import(&engine.image_folder(), name, &[&command, &answer]);
}

fn asked(port: u16) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let body = answer.rsplit("\r\n").next().unwrap_or_default();
    body.trim().to_owned()
}

#[test]
fn an_application_of_images_goes_to_the_next_and_back() {
    let folder = tempfile::tempdir().unwrap();
    let Some(engine) = Engine::start(folder.path()) else {
        return;
    };
    image(&engine, "shop:1", "one");
    image(&engine, "shop:2", "two");
    let socket = engine.socket();
    let server = Running::start(&["--container-engine", socket.to_str().unwrap()]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let (number, how) = (port.to_string(), ["--replicas", "2", "--health", "/"]);
    let first = [
        "apps", "deploy", "shop", "--image", "shop:1", "--port", &number,
    ];
    let (said, code) = server.json(&[&first[..], &how].concat());
    assert_eq!(code, 0, "{said}\n{}", server.log());
    assert_eq!(asked(port), "one");
    let containers = || {
        let all = engine.docker(&["ps", "-aq"]);
        all.lines().count()
    };
    assert_eq!(containers(), 2);

    let deploy = |image: &str| server.json(&["apps", "deploy", "shop", "--image", image]);
    let (said, code) = deploy("shop:2");
    assert_eq!(code, 0, "{said}\n{}", server.log());
    assert_eq!(asked(port), "two");

    // One that is nowhere: nothing is touched for it.
    let (said, code) = deploy("127.0.0.1:1/none:1");
    assert_ne!(code, 0);
    let said = said.to_string();
    assert!(
        said.contains("BO0088") && said.contains("127.0.0.1:1/none:1"),
        "{said}"
    );
    assert_eq!(asked(port), "two");

    // The name has come to mean another image; the version is what it was.
    image(&engine, "shop:1", "another");
    let back = ["apps", "rollback", "shop", "--to", "1", "--yes"];
    let (said, code) = server.json(&back);
    assert_eq!(code, 0, "{said}\n{}", server.log());
    assert_eq!(asked(port), "one");
    assert_eq!(containers(), 2);
    let out = server.cli(&["apps", "delete", "shop", "--yes"]);
    assert!(out.status.success(), "{out:?}\n{}", server.log());
    assert_eq!(containers(), 0);
}
