//! What passes through a gateway, byte by byte, over real sockets.
#![cfg(feature = "testing")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::net::Shutdown;
use std::sync::atomic::Ordering;
use std::time::Duration;

use backout_gateway::{Backend, Failure, Settings};
use support::{Auto, Gate, Manual, Message, Wire, until};

fn names(message: &Message) -> Vec<&str> {
    let mut names: Vec<&str> = message.fields.iter().map(|(n, _)| n.as_str()).collect();
    names.sort_unstable();
    names
}

#[test]
fn a_request_passes_and_its_answer_comes_back() {
    let gate = Gate::new();
    let backend = Auto::new(|_, wire| {
        wire.send(
            "HTTP/1.1 201 Created\r\nContent-Length: 2\r\nX-End: e\r\nConnection: x-hop\r\n\
             X-Hop: h\r\nKeep-Alive: timeout=1\r\n\r\nhi",
        );
        true
    });
    gate.set(vec![Backend::ready("a", backend.address)]);
    let mut client = gate.connect();
    client.send(
        "POST /p?q=%20 HTTP/1.1\r\nHost: shop.example:81\r\nConnection: keep-alive, X-Own\r\n\
         X-Own: 1\r\nX-Forwarded-For: 10.9.9.9\r\nCookie: c\r\nContent-Length: 4\r\n\r\nbody",
    );
    let answer = client.message().unwrap();
    assert_eq!((answer.status(), answer.text().as_str()), (201, "hi"));
    assert_eq!(names(&answer), ["content-length", "x-end"]);
    let seen = backend.seen().remove(0);
    assert_eq!(seen.start, "POST /p?q=%20 HTTP/1.1");
    assert_eq!(seen.text(), "body");
    assert_eq!(seen.field("host"), Some("shop.example:81"));
    assert_eq!(seen.field("x-forwarded-host"), Some("shop.example:81"));
    assert_eq!(seen.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.field("x-forwarded-proto"), Some("http"));
    let port = gate.address.port().to_string();
    assert_eq!(seen.field("x-forwarded-port"), Some(port.as_str()));
    let own = names(&seen);
    assert!(
        own.contains(&"cookie") && !own.contains(&"x-own"),
        "{own:?}"
    );
    assert!(!own.contains(&"connection"), "{own:?}");
}

#[test]
fn connections_are_kept_on_both_sides() {
    let gate = Gate::new();
    let backend = Auto::named("a");
    gate.set(vec![Backend::ready("a", backend.address)]);
    let mut client = gate.connect();
    for n in 0..50 {
        assert_eq!(client.get(&format!("/{n}")), (200, "a".to_owned()));
    }
    assert_eq!(backend.connections.load(Ordering::SeqCst), 1);
    // Several in one packet are answered in their order.
    let one = |n| format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n");
    client.send(one(50) + &one(51) + &one(52));
    for _ in 0..3 {
        assert_eq!(client.message().unwrap().text(), "a");
    }
    let seen = backend.seen();
    let targets: Vec<&str> = seen
        .iter()
        .map(|m| m.start.split(' ').nth(1).unwrap())
        .collect();
    let expected: Vec<String> = (0..53).map(|n| format!("/{n}")).collect();
    assert_eq!(targets, expected);
    let status = gate.status();
    assert_eq!(status.totals.answered, 53);
    assert_eq!(status.totals.failed(), 0);
    assert_eq!(status.clients, 1);
    let backend = status.backend("a").unwrap();
    assert_eq!((backend.requests, backend.connections), (53, 1));
}

#[test]
fn every_kind_of_body_passes() {
    let gate = Gate::new();
    let backend = Auto::new(|request, wire| {
        let target = request.start.split(' ').nth(1).unwrap_or_default();
        match target {
            "/chunked" => {
                wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
                wire.send("3\r\nabc\r\n");
                wire.send("2\r\nde\r\n0\r\n\r\n");
                true
            }
            "/close" => {
                wire.send("HTTP/1.0 200 OK\r\n\r\nuntil the end");
                false
            }
            "/204" => {
                wire.send("HTTP/1.1 204 No Content\r\n\r\n");
                true
            }
            "/304" => {
                wire.send("HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n");
                true
            }
            "/head" => {
                wire.send("HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n");
                true
            }
            "/early" => {
                wire.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
                wire.reply("late");
                true
            }
            "/both" => {
                wire.send(
                    "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n\
                     3\r\nabc\r\n0\r\n\r\n",
                );
                true
            }
            _ => {
                wire.reply(&request.text());
                true
            }
        }
    });
    gate.set(vec![Backend::ready("a", backend.address)]);
    let mut client = gate.connect();
    assert_eq!(client.get("/chunked"), (200, "abcde".to_owned()));
    assert_eq!(client.get("/close"), (200, "until the end".to_owned()));
    client.send("GET /204 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.head().unwrap().status(), 204);
    client.send("GET /304 HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = client.head().unwrap();
    assert_eq!(
        (answer.status(), answer.field("etag")),
        (304, Some("\"x\""))
    );
    client.send("HEAD /head HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = client.head().unwrap();
    assert_eq!(answer.field("content-length"), Some("77"));
    assert_eq!(client.get("/early"), (200, "late".to_owned()));
    assert_eq!(client.get("/both"), (200, "abc".to_owned()));
    // A body in chunks, with a method that seldom has one.
    for method in ["POST", "GET", "PUT"] {
        client.send(format!(
            "{method} /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        ));
        client.send("4\r\nover\r\n");
        client.send("5\r\n here\r\n0\r\n\r\n");
        assert_eq!(client.message().unwrap().text(), "over here", "{method}");
    }
    // A larger one than any buffer.
    let body = "0123456789abcdef".repeat(64 << 10);
    client.send(format!(
        "PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    assert!(client.message().unwrap().text() == body);
    assert_eq!(gate.status().totals.failed(), 0);
}

#[test]
fn old_clients_are_served() {
    let gate = Gate::new();
    let backend = Auto::new(|_, wire| {
        wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
        true
    });
    gate.set(vec![Backend::ready("a", backend.address)]);
    let mut client = gate.connect();
    client.send("GET / HTTP/1.0\r\n\r\n");
    let answer = client.message().unwrap();
    assert_eq!(answer.field("transfer-encoding"), None);
    assert_eq!(answer.text(), "abc");
    assert_eq!(backend.seen()[0].start, "GET / HTTP/1.1");
    // As a proxy is asked, or a server as a whole.
    let mut client = gate.connect();
    client.send("GET http://named.example/x HTTP/1.1\r\nHost: other\r\n\r\n");
    assert_eq!(client.message().unwrap().status(), 200);
    let seen = backend.seen();
    assert_eq!(seen[1].start, "GET /x HTTP/1.1");
    assert_eq!(seen[1].field("host"), Some("named.example"));
    client.send("OPTIONS * HTTP/1.1\r\nHost: other\r\n\r\n");
    assert_eq!(client.message().unwrap().status(), 200);
    assert_eq!(backend.seen()[2].start, "OPTIONS * HTTP/1.1");
}

#[test]
fn a_client_that_waits_for_leave_to_send_gets_it() {
    let gate = Gate::new();
    let backend = Auto::new(|request, wire| {
        wire.reply(&request.text());
        true
    });
    gate.set(vec![Backend::ready("a", backend.address)]);
    let mut client = gate.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    assert_eq!(client.head().unwrap().status(), 100);
    client.send("body");
    assert_eq!(client.message().unwrap().text(), "body");
    assert_eq!(backend.seen()[0].field("expect"), None);
}

#[test]
fn an_upgraded_connection_passes_bytes_both_ways() {
    let gate = Gate::new();
    let backend = Manual::new();
    gate.set(vec![Backend::ready("a", backend.address)]);
    let mut client = gate.connect();
    client.send(
        "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Key: k\r\n\r\n",
    );
    let mut server = backend.accept();
    let asked = server.head().unwrap();
    assert_eq!(asked.field("connection"), Some("upgrade"));
    assert_eq!(asked.field("upgrade"), Some("websocket"));
    assert_eq!(asked.field("sec-websocket-key"), Some("k"));
    // The first words come with the head.
    server.send(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: s\r\n\r\nhello",
    );
    let answer = client.head().unwrap();
    assert_eq!(answer.status(), 101);
    assert_eq!(answer.field("upgrade"), Some("websocket"));
    assert_eq!(answer.field("sec-websocket-accept"), Some("s"));
    assert_eq!(client.exactly(5), b"hello");
    for n in 0..20_u8 {
        client.send([n; 100]);
        assert_eq!(server.exactly(100), [n; 100]);
        server.send([!n; 50]);
        assert_eq!(client.exactly(50), [!n; 50]);
    }
    // It is under way for as long as it lasts, and goes on while it drains.
    gate.set(vec![Backend::ready("a", backend.address).draining()]);
    let left = gate.wait_drained(&["a"], Duration::ZERO).left;
    assert_eq!((left[0].outstanding, left[0].connections), (1, 1));
    client.send("still");
    assert_eq!(server.exactly(5), b"still");
    client.stream().shutdown(Shutdown::Write).unwrap();
    assert_eq!(server.rest(), b"");
    server.send("bye");
    drop(server);
    assert_eq!(client.rest(), b"bye");
    assert!(gate.wait_drained(&["a"], support::PATIENCE).all());
    assert_eq!(gate.status().totals.failed(), 0);
}

#[test]
fn both_sides_may_speak_at_once() {
    let gate = Gate::new();
    let backend = Manual::new();
    gate.set(vec![Backend::ready("a", backend.address)]);
    for method in ["POST", "PUT"] {
        let mut client = gate.connect();
        client.send(format!(
            "{method} / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        ));
        let mut server = backend.accept();
        assert!(server.head().is_some());
        server.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        assert_eq!(client.head().unwrap().status(), 200);
        for word in ["one", "two", "six"] {
            client.send(format!("3\r\n{word}\r\n"));
            assert_eq!(server.chunk(), word.as_bytes());
            server.send(format!("3\r\n{word}\r\n"));
            assert_eq!(client.chunk(), word.as_bytes());
        }
        client.send("0\r\n\r\n");
        assert_eq!(server.chunk(), b"");
        server.send("0\r\n\r\n");
        assert_eq!(client.chunk(), b"");
    }
    // An answer may end before its request has: then that connection is done.
    let mut client = gate.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc");
    let mut server = backend.accept();
    assert!(server.head().is_some());
    server.send("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno");
    assert_eq!(client.message().unwrap().status(), 413);
    assert_eq!(server.rest(), b"abc");
}

#[test]
fn an_upgrade_that_is_refused_is_an_answer_like_others() {
    let gate = Gate::new();
    let backend = Auto::named("no");
    gate.set(vec![Backend::ready("a", backend.address)]);
    let mut client = gate.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
    assert_eq!(client.message().unwrap().text(), "no");
    assert_eq!(client.get("/"), (200, "no".to_owned()));
    // And one that nobody asked for is none.
    let backend = Auto::new(|_, wire| {
        wire.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n");
        true
    });
    gate.set(vec![Backend::ready("b", backend.address)]);
    assert_eq!(client.get("/").0, 502);
    assert_eq!(gate.status().totals.failures[&Failure::BadAnswer], 1);
}

/// Sends `attack`, and says what the backend saw and the client was told.
fn attacked(gate: &Gate, backend: &Auto, attack: &str) -> (Vec<Message>, Vec<u16>) {
    backend.seen.lock().unwrap().clear();
    let mut client = gate.connect();
    // It may be refused before all of it was sent.
    let _ = client.try_send(attack);
    let _ = client.stream().shutdown(Shutdown::Write);
    let mut told = Vec::new();
    while let Some(answer) = client.message() {
        told.push(answer.status());
    }
    (backend.seen(), told)
}

#[test]
fn no_request_is_smuggled_in_another() {
    let gate = Gate::new();
    let backend = Auto::named("a");
    gate.set(vec![Backend::ready("a", backend.address)]);
    let inner = "GET /admin HTTP/1.1\r\nHost: a\r\n\r\n";
    let long = inner.len();
    let refused = [
        format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n{inner}"
        ),
        format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +{long}\r\n\r\n{inner}"),
        format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {long}, 0\r\n\r\n{inner}"),
        format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n{inner}"),
        format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n{inner}"),
        format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n{inner}"),
        format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n{inner}"),
        format!("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{inner}"),
        // A folded line: what is one header to one is two to another.
        format!("POST / HTTP/1.1\r\nHost: a\r\nX: y\r\n Transfer-Encoding: chunked\r\n\r\n{inner}"),
        format!("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n{inner}"),
        format!("GET / HTTP/1.1\r\n\r\n{inner}"),
        format!("GET / HTTP/1.1\r\nHost: a\r\nX\x00: y\r\n\r\n{inner}"),
        format!("GET / HTTP/1.1\r\nHost: a\r\nX: y\x00z\r\n\r\n{inner}"),
        format!("CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n{inner}"),
    ];
    for attack in refused {
        let (seen, told) = attacked(&gate, &backend, &attack);
        assert_eq!(seen, [], "{attack:?}");
        assert!(told.len() <= 1, "{attack:?}: {told:?}");
        assert!(
            told.iter().all(|status| (400..502).contains(status)),
            "{attack:?}: {told:?}"
        );
    }
    // Two lengths: what counts is the coding, the other does not reach the
    // backend, and nothing on the connection is read as a further request.
    for order in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 4",
    ] {
        let attack =
            format!("POST / HTTP/1.1\r\nHost: a\r\n{order}\r\n\r\n2\r\nhi\r\n0\r\n\r\n{inner}");
        let (seen, told) = attacked(&gate, &backend, &attack);
        assert!(told.len() <= 1, "{order:?}: {told:?}");
        for seen in seen {
            assert_eq!(seen.field("content-length"), None, "{order:?}");
            assert_eq!(
                (seen.text().as_str(), &*seen.start),
                ("hi", "POST / HTTP/1.1")
            );
        }
    }
    // And all that is well still works.
    assert_eq!(gate.get("/"), (200, "a".to_owned()));
}

#[test]
fn a_head_that_is_too_large_is_refused() {
    let gate = Gate::new();
    let backend = Auto::named("a");
    gate.set(vec![Backend::ready("a", backend.address)]);
    let large = "x".repeat(100 << 10);
    let many = "X: y\r\n".repeat(200);
    for attack in [
        format!("GET / HTTP/1.1\r\nHost: a\r\nX: {large}\r\n\r\n"),
        format!("GET /{large} HTTP/1.1\r\nHost: a\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n"),
    ] {
        let (seen, told) = attacked(&gate, &backend, &attack);
        assert_eq!(seen, []);
        assert!(
            told == [431] || told == [414] || told.is_empty(),
            "{told:?}"
        );
    }
    // An answer may not be larger either.
    let backend = Auto::new(move |_, wire| {
        let _ = wire.try_send(format!("HTTP/1.1 200 OK\r\nX: {large}\r\n\r\n"));
        false
    });
    gate.set(vec![Backend::ready("b", backend.address)]);
    assert_eq!(gate.get("/").0, 502);
}

#[test]
fn what_is_no_answer_is_a_bad_gateway() {
    let gate = Gate::new();
    let backend = Auto::new(|_, wire| {
        wire.send("SSH-2.0-what\r\n\r\n");
        true
    });
    gate.set(vec![Backend::ready("a", backend.address)]);
    assert_eq!(gate.get("/").0, 502);
    // It was asked once: it answered, if not as it should.
    assert_eq!(backend.seen().len(), 1);
    assert_eq!(gate.status().totals.failures[&Failure::BadAnswer], 1);
}

#[test]
fn an_answer_that_breaks_off_is_never_taken_for_whole() {
    let gate = Gate::new();
    let backend = Manual::new();
    gate.set(vec![Backend::ready("a", backend.address)]);
    for (field, body) in [
        ("Transfer-Encoding: chunked", "3\r\nabc\r\n"),
        ("Content-Length: 10", "abc"),
    ] {
        let mut client = gate.connect();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut server = backend.accept();
        assert!(server.head().is_some());
        server.send(format!("HTTP/1.1 200 OK\r\n{field}\r\n\r\n{body}"));
        assert_eq!(client.head().unwrap().status(), 200);
        assert_eq!(client.exactly(body.len()), body.as_bytes());
        drop(server);
        assert_eq!(client.rest(), b"", "{field}");
    }
    // Not asked again: a part of it was passed on.
    let status = until("both are counted", || {
        let status = gate.status();
        (status.totals.failures[&Failure::Cut] == 2).then_some(status)
    });
    assert_eq!(status.totals.retries, 0);
    assert_eq!(status.backend("a").unwrap().requests, 2);
}

#[test]
fn a_client_that_dawdles_is_let_go_and_holds_up_nobody() {
    let settings = Settings {
        head_wait_ms: 2000,
        client_idle_ms: 2000,
        exchange_idle_ms: 2000,
        ..Settings::default()
    };
    let gate = Gate::with(settings);
    let backend = Auto::named("a");
    gate.set(vec![Backend::ready("a", backend.address)]);
    // Nothing at all; half a head; a head that grows and grows; half a body;
    // and one that was served, and says no more.
    let mut silent = gate.connect();
    let mut half = gate.connect();
    half.send("GET / HTTP/1.1\r\nHo");
    let mut body = gate.connect();
    body.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    let mut served = gate.connect();
    assert_eq!(served.get("/").0, 200);
    let mut slow = gate.connect();
    slow.send("GET / HTTP/1.1\r\nHost: a\r\n");
    let dripped = until("it is let go", || slow.try_send("X: y\r\n").err());
    assert!(dripped.raw_os_error().is_some());
    assert_eq!(silent.rest(), b"");
    assert_eq!(half.rest(), b"");
    assert_eq!(served.rest(), b"");
    // The backend has an unfinished request, so the client is told.
    assert_eq!(body.message().map(|answer| answer.status()), Some(504));
    assert_eq!(gate.get("/"), (200, "a".to_owned()));
    until("nobody is left", || {
        (gate.status().clients == 0).then_some(())
    });
}

#[test]
fn a_backend_that_is_silent_is_given_up() {
    let settings = Settings {
        exchange_idle_ms: 2000,
        ..Settings::default()
    };
    let gate = Gate::with(settings);
    let backend = Manual::new();
    gate.set(vec![Backend::ready("a", backend.address)]);
    let mut client = gate.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut server = backend.accept();
    assert!(server.head().is_some());
    assert_eq!(client.message().unwrap().status(), 504);
    // Its connection is not used for another request.
    assert_eq!(server.rest(), b"");
    // The client's is.
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut server = backend.accept();
    assert!(server.head().is_some());
    server.reply("now");
    assert_eq!(client.message().unwrap().text(), "now");
    // Once the answer has begun, all that is left is to hang up.
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(server.head().is_some());
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
    assert_eq!(client.head().unwrap().status(), 200);
    assert_eq!(client.rest(), b"abc");
    until("both are counted", || {
        (gate.status().totals.failures[&Failure::Idle] == 2).then_some(())
    });
}

#[test]
fn a_slow_reader_slows_its_backend_down_and_gets_all() {
    const SIZE: usize = 64 << 20;
    let gate = Gate::new();
    let backend = Manual::new();
    gate.set(vec![Backend::ready("a", backend.address)]);
    let mut client = gate.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut server = backend.accept();
    assert!(server.head().is_some());
    server.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n"));
    assert_eq!(client.head().unwrap().status(), 200);
    server.stream().set_nonblocking(true).unwrap();
    // Nobody reads: it is full when, over some looks, no byte goes in.
    let piece = vec![7_u8; 64 << 10];
    let (mut sent, mut still) = (0, 0);
    until("it is full", || {
        use std::io::Write as _;
        match server.stream().write(&piece) {
            Ok(count) => {
                sent += count;
                still = 0;
            }
            Err(_) => still += 1,
        }
        assert!(sent < SIZE / 2, "nothing held the backend back");
        (still > 40).then_some(())
    });
    server.stream().set_nonblocking(false).unwrap();
    let writer = std::thread::spawn(move || {
        while sent < SIZE {
            let count = piece.len().min(SIZE - sent);
            server.send(&piece[..count]);
            sent += count;
        }
        server
    });
    let mut got = 0;
    while got < SIZE {
        let count = (SIZE - got).min(1 << 20);
        assert!(client.exactly(count).iter().all(|byte| *byte == 7));
        got += count;
    }
    drop(writer.join().unwrap());
}

#[test]
fn a_client_that_leaves_takes_its_request_along() {
    let gate = Gate::new();
    let backend = Manual::new();
    gate.set(vec![Backend::ready("a", backend.address)]);
    let mut client = gate.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut server = backend.accept();
    assert!(server.head().is_some());
    drop(client);
    assert_eq!(server.rest(), b"");
    until("nothing is under way", || {
        let status = gate.status();
        let backend = status.backend("a").unwrap();
        (backend.is_drained() && status.clients == 0).then_some(())
    });
    assert_eq!(gate.status().totals.failed(), 0);
}

#[test]
fn a_client_that_closes_its_side_has_left() {
    let gate = Gate::new();
    let backend = Manual::new();
    gate.set(vec![Backend::ready("a", backend.address)]);
    let mut client = gate.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut server = backend.accept();
    assert!(server.head().is_some());
    client.stream().shutdown(Shutdown::Write).unwrap();
    assert_eq!(server.rest(), b"");
    assert_eq!(client.rest(), b"");
    until("it is counted", || {
        (gate.status().clients == 0).then_some(())
    });
    assert_eq!(gate.status().totals.failed(), 0);
}

#[test]
fn requests_are_spread_evenly_and_by_weight() {
    let gate = Gate::new();
    let backends: Vec<Auto> = ["a", "b", "c"].map(Auto::named).into();
    let mut list: Vec<Backend> = backends
        .iter()
        .zip(["a", "b", "c"])
        .map(|(backend, id)| Backend::ready(id, backend.address))
        .collect();
    gate.set(list.clone());
    let mut client = gate.connect();
    for _ in 0..300 {
        assert_eq!(client.get("/").0, 200);
    }
    // One at a time: chance decides, and 300 throws do not miss one by so much.
    for backend in &backends {
        let count = backend.seen().len();
        assert!((50..150).contains(&count), "{count}");
    }
    // Of requests that stay under way, shares are by weight.
    let held: Vec<Manual> = (0..2).map(|_| Manual::new()).collect();
    list = vec![
        Backend::ready("x", held[0].address),
        Backend::ready("y", held[1].address),
    ];
    list[1].weight = 3;
    gate.set(list);
    let mut clients: Vec<Wire> = (0..16).map(|_| gate.connect()).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        until("it is under way", || {
            let status = gate.status();
            let count: u64 = status.backends.iter().map(|b| b.outstanding).sum();
            (count == n as u64 + 1).then_some(())
        });
    }
    let status = gate.status();
    assert_eq!(status.backend("x").unwrap().outstanding, 4);
    assert_eq!(status.backend("y").unwrap().outstanding, 12);
}
