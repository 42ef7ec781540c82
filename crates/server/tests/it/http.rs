//! What belongs to HTTP: targets, heads, bodies, connections.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::house::{Client, ECHO_BODY_MAX, House, Wish};

fn echo() -> House {
    House::with(Wish {
        echo: true,
        ..Wish::default()
    })
}

#[test]
fn a_vendors_call_arrives_as_it_was_sent() {
    let house = echo();
    let mut client = house.connect();
    client.send(
        b"POST //sam%2Fx/../y?b=2&a=%20+&A=1 HTTP/1.1\r\nHost: http://127.0.0.1:7780\r\n\
          X-Twice: one\r\nx-other: \xc3\xa4 z\r\nX-Twice: two\r\nContent-Length: 5\r\n\r\n{\"a\":",
    );
    let told = client.answer().expect(200);
    assert_eq!(told["method"], "POST");
    assert_eq!(told["path"], "//sam%2Fx/../y");
    assert_eq!(told["query"], "b=2&a=%20+&A=1");
    assert_eq!(told["body"], "{\"a\":");
    assert_eq!(told["too_large"], false);
    let headers = told["headers"].as_array().unwrap();
    let of = |name: &str| -> Vec<_> {
        headers
            .iter()
            .filter(|h| h[0] == name)
            .map(|h| h[1].as_str().unwrap())
            .collect()
    };
    assert_eq!(of("host"), ["http://127.0.0.1:7780"]);
    assert_eq!(of("x-twice"), ["one", "two"]);
    assert_eq!(of("x-other"), ["ä z"]);
}

#[test]
fn odd_targets() {
    let house = echo();
    let mut client = house.connect();
    // An absolute target, as a client of a proxy sends it.
    client.send(b"GET http://elsewhere:1/a/b?c=d HTTP/1.1\r\nHost: elsewhere:1\r\n\r\n");
    let told = client.answer().expect(200);
    assert_eq!(
        (&told["path"], &told["query"]),
        (&json!("/a/b"), &json!("c=d"))
    );
    client.send(b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.answer().expect(200)["path"], "*");
    for not_native in [
        "/v1x/servers",
        "/V1/servers",
        "/v10",
        "/healthz/",
        "//v1/servers",
    ] {
        assert_eq!(
            client.request("GET", not_native, &[], b"").expect(200)["path"],
            not_native
        );
    }
    // An absolute target of the native API; it is told by its path.
    client.send(b"GET http://elsewhere:1/v1/version HTTP/1.1\r\nHost: elsewhere:1\r\n\r\n");
    assert_eq!(client.answer().expect(200)["name"], "backout");
    // Nobody's: the connection is spared.
    let message = client
        .request("GET", "/nobody", &[], b"")
        .refused(404, "BO0006");
    assert!(message.contains("/openapi.json"), "{message}");
    // No host is ever connected to.
    let answer = client.request("CONNECT", "a:443", &[], b"");
    assert_eq!(answer.header("connection"), Some("close"));
    answer.refused(405, "BO0002");
    // What could be an authority has no path.
    let mut client = house.connect();
    client.send(b"GET no-slash HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.answer().expect(200)["path"], "");
    let mut client = house.connect();
    client.send(b"GET no slash HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.answer().status, 400);
}

#[test]
fn keep_alive_and_pipelining() {
    let house = echo();
    let mut client = house.connect();
    let one = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n1GET /b HTTP/1.1\r\nHost: x\r\n\r\n";
    client.send(&[&one[..], one, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"].concat());
    for path in ["/a", "/b", "/a", "/b"] {
        assert_eq!(client.answer().expect(200)["path"], path);
    }
    assert_eq!(client.answer().expect(200), json!({ "status": "ok" }));
    // Byte by byte.
    for byte in b"POST /slowly HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n" {
        client.send(&[*byte]);
    }
    assert_eq!(client.answer().expect(200)["body"], "abc");
}

#[test]
fn truncated_requests_end_alone() {
    let house = echo();
    for cut in [
        &b"GET"[..],
        b"GET / HTTP/1.1\r\nHost",
        b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc",
        b"POST /v1/check HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc",
        b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ] {
        let stream = std::net::TcpStream::connect(house.addresses.plain).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let half = stream.try_clone().unwrap();
        let mut client = Client::over(stream, house.addresses.plain);
        client.send(cut);
        half.shutdown(std::net::Shutdown::Write).unwrap();
        // Either nothing or a refusal, and then the end.
        if let Some(answer) = client.head() {
            assert_eq!(answer.status, 400, "{cut:?}");
        }
    }
    assert_eq!(
        house.connect().request("GET", "/healthz", &[], b"").status,
        200
    );
}

#[test]
fn bodies_that_are_too_large() {
    let house = echo();
    let exact = vec![b'x'; ECHO_BODY_MAX];
    let told = house
        .connect()
        .request("POST", "/", &[], &exact)
        .expect(200);
    assert_eq!(
        (&told["too_large"], told["body"].as_str().unwrap().len()),
        (&json!(false), ECHO_BODY_MAX)
    );
    // One byte more, and much more: the handler is told, the connection closed.
    for size in [ECHO_BODY_MAX + 1, 3 << 20] {
        let mut client = house.connect();
        let answer = client.request("POST", "/", &[], &vec![b'x'; size]);
        assert_eq!(answer.header("connection"), Some("close"));
        let told = answer.expect(200);
        assert_eq!(
            (&told["too_large"], told["body"].as_str().unwrap().len()),
            (&json!(true), ECHO_BODY_MAX)
        );
        assert!(client.is_closed());
    }
    // Without a length.
    let mut client = house.connect();
    client.send(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    for _ in 0..3 {
        client.send(format!("1f4\r\n{}\r\n", "y".repeat(500)).as_bytes());
    }
    client.send(b"0\r\n\r\n");
    assert_eq!(client.answer().expect(200)["too_large"], true);
    // A client that asks first is told before it sends anything.
    let mut client = house.connect();
    client.send(
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\nExpect: 100-continue\r\n\r\n",
    );
    assert_eq!(client.answer().expect(200)["too_large"], true);
    let mut client = house.connect();
    client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.head().unwrap().status, 100);
    client.send(b"ab");
    assert_eq!(client.answer().expect(200)["body"], "ab");
    // The native API has a limit of its own.
    let mut client = house.connect();
    let large = vec![b' '; (1 << 20) + 1];
    let message = client
        .request("POST", "/v1/check", &[], &large)
        .refused(413, "BO0002");
    assert!(message.contains("1048576"), "{message}");
}

#[test]
fn heads_that_are_too_large() {
    let house = echo();
    for (bytes, status) in [
        (
            format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(200_000)),
            431,
        ),
        (
            format!(
                "GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n",
                "a".repeat(200_000)
            ),
            431,
        ),
        (
            format!(
                "GET / HTTP/1.1\r\nHost: x\r\n{}\r\n",
                "X: a\r\n".repeat(200)
            ),
            431,
        ),
    ] {
        let mut client = house.connect();
        // It may be closed before all is sent, and the answer lost with it.
        let _ = client.stream.write_all(bytes.as_bytes());
        if let Some(answer) = client.head() {
            assert_eq!(answer.status, status);
        }
    }
    let long = format!("/?{}", "q".repeat(65_533));
    assert_eq!(house.connect().request("GET", &long, &[], b"").status, 414);
    // hyper takes targets of up to 65534 bytes.
    let query = "q".repeat(65_532);
    let told = house
        .connect()
        .request("GET", &format!("/?{query}"), &[], b"")
        .expect(200);
    assert_eq!(told["query"].as_str().unwrap().len(), query.len());
    for bad in [
        "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "GET / HTTP/1.1\r\nHost: x\r\nbad name: 1\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "\0\0\0\0\r\n\r\n",
    ] {
        let mut client = house.connect();
        client.send(bad.as_bytes());
        assert_eq!(client.answer().status, 400, "{bad:?}");
    }
}

#[test]
fn a_panic_spares_the_connection() {
    let house = echo();
    let mut client = house.connect();
    client
        .request("GET", "/panic", &[], b"")
        .refused(500, "BO0001");
    assert_eq!(
        client.request("GET", "/after", &[], b"").expect(200)["path"],
        "/after"
    );
}

#[test]
fn what_is_in_flight_finishes_when_the_server_stops() {
    let mut house = echo();
    let mut idle = house.connect();
    idle.request("GET", "/healthz", &[], b"").expect(200);
    let fresh = house.connect();
    let mut busy = house.connect();
    busy.send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
    std::thread::sleep(Duration::from_millis(200));
    let began = Instant::now();
    house.ask_to_stop();
    assert_eq!(busy.answer().expect(200)["path"], "/slow");
    assert!(idle.is_closed());
    assert_eq!(house.stopped(), 0);
    // Neither the idle nor the fresh one was waited for.
    assert!(began.elapsed() < Duration::from_secs(5));
    drop(fresh);
    assert!(std::net::TcpStream::connect(house.addresses.plain).is_err());
}

#[test]
fn what_does_not_finish_is_cut_at_the_deadline() {
    let mut house = House::with(Wish {
        echo: true,
        drain: Some(Duration::from_millis(300)),
        ..Wish::default()
    });
    let mut stuck = house.connect();
    stuck.send(b"GET /stuck HTTP/1.1\r\nHost: x\r\n\r\n");
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(house.stopped(), 1);
    assert!(stuck.is_closed());
}

#[test]
fn a_vendors_call_is_in_the_request_log() {
    let house = echo();
    house.connect().request("GET", "/x", &[], b"").expect(200);
    let found = house.call("GET", "/v1/requests/echo-1", None).expect(200);
    assert_eq!(found["answer"]["action"], "test:Echo");
    assert_eq!(found["answer"]["surface"], "tc3");
    assert_eq!(found["answer"]["peer"], "127.0.0.1");
    let missing = house.connect().request("GET", "/nobody", &[], b"");
    let id = missing.header("x-request-id").unwrap().to_owned();
    let found = house
        .call("GET", &format!("/v1/requests/{id}"), None)
        .expect(200);
    assert_eq!(found["answer"]["status"], 404);
}
