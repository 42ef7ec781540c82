//! Packages of every kind, each with the real program that it is started with:
//! deployed, asked through the gateway, and taken back.
#![cfg(feature = "testing")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use common::Running;

/// Made of `Answer.java`, which stands beside it.
const ANSWER: &[u8] = include_bytes!("assets/Answer.class");

const MANIFEST: &str = "Manifest-Version: 1.0\r\nMain-Class: Answer\r\n\r\n";

/// A program of Python that answers every request with `answer`.
fn python(answer: &str) -> String {
    format!(
        "import http.server, os\n\
         class Answer(http.server.BaseHTTPRequestHandler):\n\
         \x20   def do_GET(self):\n\
         \x20       self.send_response(200)\n\
         \x20       self.send_header('Content-Length', str(len('{answer}')))\n\
         \x20       self.end_headers()\n\
         \x20       self.wfile.write(b'{answer}')\n\
         port = int(os.environ['PORT'])\n\
         http.server.HTTPServer(('127.0.0.1', port), Answer).serve_forever()\n"
    )
}

/// A program that is called with a web archive, as a container of them is.
const CONTAINER: &str = r#"#!/usr/bin/python3
import functools, http.server, os, sys, zipfile
assert os.access(os.environ["JAVA_HOME"] + "/bin/java", os.X_OK)
zipfile.ZipFile(sys.argv[1]).extractall(os.environ["TMPDIR"])
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=os.environ["TMPDIR"])
port = int(os.environ["PORT"])
http.server.ThreadingHTTPServer(("127.0.0.1", port), handler).serve_forever()
"#;

/// An archive of some files; the folder of one comes with it.
fn archive(folder: &Path, name: &str, files: &[(&str, &[u8])]) -> String {
    let from = folder.join(format!("of-{name}"));
    let mut first = Vec::new();
    for (path, contents) in files {
        let file = from.join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, contents).unwrap();
        first.push(path.split('/').next().unwrap());
    }
    let made = folder.join(name);
    // `zip` need not be there, Python is.
    let zipped = Command::new("/usr/bin/python3")
        .current_dir(&from)
        .args(["-m", "zipfile", "-c"])
        .arg(&made)
        .args(first)
        .status();
    assert!(zipped.unwrap().success());
    made.to_str().unwrap().to_owned()
}

/// A server, with an application that is taken away with it.
struct House {
    server: Running,
    port: u16,
}

impl House {
    fn new(more: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Self {
            server: Running::start(more),
            port: listener.local_addr().unwrap().port(),
        }
    }

    /// What is answered on the port of the application.
    fn asked(&self) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        answer.rsplit("\r\n").next().unwrap().to_owned()
    }

    /// Two versions are deployed, and the first is gone back to.
    fn there_and_back(&self, packages: [&str; 2], answers: [&str; 2], how: &[&str]) {
        let port = self.port.to_string();
        let deploy = |package: &str| {
            let args = ["apps", "deploy", "shop", "--from", package, "--port", &port];
            self.server.ok(&[&args, how].concat());
        };
        deploy(packages[0]);
        assert_eq!(self.asked(), answers[0]);
        deploy(packages[1]);
        assert_eq!(self.asked(), answers[1]);
        // It comes back without where it came from.
        std::fs::remove_file(packages[0]).unwrap();
        self.server.ok(&["apps", "rollback", "shop", "--yes"]);
        assert_eq!(self.asked(), answers[0]);
    }
}

impl Drop for House {
    fn drop(&mut self) {
        // What runs outlives the server: it is taken away while that is there.
        let _ = self.server.cli(&["apps", "abort", "shop"]);
        let _ = self.server.cli(&["apps", "delete", "shop", "--yes"]);
    }
}

/// A Java archive whose program answers with `answer`, and what it is told.
fn jar(folder: &Path, name: &str, answer: &str) -> String {
    let files = [
        ("META-INF/MANIFEST.MF", MANIFEST.as_bytes()),
        ("Answer.class", ANSWER),
        ("answer", answer.as_bytes()),
    ];
    archive(folder, name, &files)
}

#[test]
fn a_java_archive() {
    let house = House::new(&[]);
    let folder = house.server.folder();
    let packages = [jar(folder, "one.jar", "one"), jar(folder, "two.jar", "two")];
    // It says what it needs.
    let args = ["apps", "deploy", "shop", "--from", &packages[0]];
    let (answer, code) = house.server.json(&args);
    assert_eq!(
        (code, answer["error"]["code"].as_str()),
        (3, Some("BO0102"))
    );
    let how = [
        "--component",
        "jdk=default",
        "--component",
        "java_options=-Dmark=! -XX:+UseSerialGC -XX:TieredStopAtLevel=1",
        "--component",
        "java_arguments='a word'",
    ];
    house.there_and_back(
        [&packages[0], &packages[1]],
        ["one!a word", "two!a word"],
        &how,
    );
}

#[test]
fn sources_of_python() {
    let house = House::new(&[]);
    let make = |answer: &str| {
        let files = [("main.py", python(answer))];
        let files = files
            .each_ref()
            .map(|(path, text)| (*path, text.as_bytes()));
        archive(house.server.folder(), &format!("{answer}.zip"), &files)
    };
    let packages = [make("one"), make("two")];
    let args = ["apps", "deploy", "shop", "--from", &packages[0]];
    let kind = ["--kind", "python_zip"];
    // Which of its files is the program nobody knows.
    let (answer, code) = house.server.json(&[&args[..], &kind].concat());
    assert_eq!(
        (code, answer["error"]["code"].as_str()),
        (1, Some("BO0002"))
    );
    let how = [&kind[..], &["--command", "python3 main.py"]].concat();
    house.there_and_back([&packages[0], &packages[1]], ["one", "two"], &how);
}

#[test]
fn sources_of_php() {
    let house = House::new(&[]);
    let make = |answer: &str| {
        let source = format!(
            "<?php $answer = '{answer}' . getenv('MARK');\n\
             header('Content-Length: ' . strlen($answer)); echo $answer;\n"
        );
        let files = [("index.php", source.as_bytes())];
        archive(house.server.folder(), &format!("{answer}.zip"), &files)
    };
    let packages = [make("one"), make("two")];
    let how = ["--kind", "php_zip", "--env", "MARK=!", "--health", "/"];
    house.there_and_back([&packages[0], &packages[1]], ["one!", "two!"], &how);
}

/// What runs Java web archives is for whoever runs the host to say: here a
/// program that unpacks one and serves what is in it.
#[test]
fn a_java_web_archive() {
    let tools = tempfile::tempdir().unwrap();
    let program = tools.path().join("container");
    std::fs::write(&program, CONTAINER).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let named = format!("apache-tomcat-10.1={}", program.display());
    let house = House::new(&["--web-container", &named]);
    let make = |answer: &str| {
        let files = [("index.html", answer.as_bytes())];
        archive(house.server.folder(), &format!("{answer}.war"), &files)
    };
    let packages = [make("one"), make("two")];
    let args = ["apps", "deploy", "shop", "--from", &packages[0]];
    let jdk = ["--component", "jdk=default"];
    let old = ["--component", "web_container=apache-tomcat-9"];
    for (components, expect) in [
        (vec![], "name its jdk"),
        (jdk.to_vec(), "name its web_container"),
        (
            [jdk, old].concat(),
            "web_container \"apache-tomcat-9\": this host has none that fits",
        ),
    ] {
        let (answer, code) = house.server.json(&[&args[..], &components].concat());
        let error = &answer["error"];
        assert_eq!(
            (code, error["code"].as_str()),
            (3, Some("BO0102")),
            "{answer}"
        );
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(expect), "{message}");
    }
    let ours = ["--component", "web_container=Apache Tomcat 10"];
    house.there_and_back(
        [&packages[0], &packages[1]],
        ["one", "two"],
        &[jdk, ours].concat(),
    );
}
