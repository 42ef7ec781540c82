//! Backends that come, drain, go and are killed, with requests under way.
#![cfg(feature = "testing")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use backout_core::fence::Fence;
use backout_gateway::{Backend, Error, Failure, Settings};
use support::{Auto, Gate, Manual, PATIENCE, Process, Wire, free_port, local, until};

#[test]
fn without_backends_the_port_is_kept_and_says_so() {
    let gate = Gate::new();
    gate.set(vec![]);
    let mut client = gate.connect();
    let (status, text) = client.get("/");
    assert_eq!(
        (status, text.as_str()),
        (503, "503 no instance takes requests now\n")
    );
    let backend = Auto::named("a");
    let entry = Backend::ready("a", backend.address);
    gate.set(vec![entry.clone()]);
    // The same connection, and nothing was started again.
    assert_eq!(client.get("/"), (200, "a".to_owned()));
    gate.set(vec![entry.draining()]);
    assert_eq!(client.get("/").0, 503);
    assert_eq!(gate.status().totals.failures[&Failure::NoBackend], 2);
}

#[test]
fn a_request_may_wait_for_a_backend() {
    let settings = Settings {
        hold_ms: 60_000,
        ..Settings::default()
    };
    let gate = Gate::with(settings);
    gate.set(vec![]);
    let mut client = gate.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    until("it waits", || {
        (gate.status().totals.requests == 1).then_some(())
    });
    let backend = Auto::named("a");
    gate.set(vec![Backend::ready("a", backend.address)]);
    assert_eq!(client.message().unwrap().text(), "a");
}

#[test]
fn what_is_older_or_makes_no_sense_is_refused_and_changes_nothing() {
    let gate = Gate::new();
    let backend = Auto::named("a");
    let mut desired = gate.desired(vec![Backend::ready("a", backend.address)]);
    desired.fence = Fence(7);
    desired.generation = 3;
    let first = gate.apply(&desired).unwrap();
    assert_eq!((first.fence, first.generation), (Fence(7), 3));
    // Again is fine.
    assert_eq!(gate.apply(&desired).unwrap().backends, first.backends);
    let mut other = desired.clone();
    other.backends.clear();
    for (fence, generation) in [(7, 3), (7, 2), (6, 9)] {
        other.fence = Fence(fence);
        other.generation = generation;
        let error = gate.apply(&other).unwrap_err();
        assert!(
            matches!(
                error,
                Error::Stale {
                    fence: Fence(7),
                    generation: 3
                }
            ),
            "{error}"
        );
    }
    // A port that somebody else has.
    let taken = Manual::new();
    other.fence = Fence(8);
    other.listen.push(taken.address);
    let error = gate.apply(&other).unwrap_err();
    assert!(
        matches!(error, Error::Bind { address, .. } if address == taken.address),
        "{error}"
    );
    other.listen.truncate(1);
    other.backends = vec![Backend::ready("a", backend.address); 2];
    let error = gate.apply(&other).unwrap_err();
    assert!(matches!(error, Error::BadDesired { .. }), "{error}");
    assert_eq!(gate.told(), desired);
    assert_eq!(gate.get("/"), (200, "a".to_owned()));
    // A later fence begins to count anew.
    other.backends.truncate(1);
    other.generation = 0;
    gate.apply(&other).unwrap();
}

#[test]
fn changes_at_the_same_time_are_all_made() {
    let gate = Gate::new();
    gate.set(vec![]);
    std::thread::scope(|scope| {
        for n in 0..6 {
            let client = gate.client.clone();
            scope.spawn(move || {
                let entry = Backend::ready(format!("b{n}"), local(9));
                let edit = client.edit(Fence(5), |desired| desired.backends.push(entry.clone()));
                tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap()
                    .block_on(edit)
                    .unwrap();
            });
        }
    });
    let told = gate.told();
    let ids: BTreeSet<&str> = told.backends.iter().map(|b| b.id.as_str()).collect();
    assert_eq!(ids, BTreeSet::from(["b0", "b1", "b2", "b3", "b4", "b5"]));
    assert_eq!((told.fence, told.generation), (Fence(5), 7));
    // What changes nothing is no new generation, and an old fence changes nothing.
    gate.edit(5, |_| {}).unwrap();
    assert_eq!(gate.told(), told);
    let error = gate
        .edit(4, |desired| desired.backends.clear())
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::Stale {
                fence: Fence(5),
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(gate.told(), told);
}

#[test]
fn a_port_that_is_given_up_loses_nobody_who_has_connected() {
    let gate = Gate::new();
    let backend = Auto::named("a");
    gate.set(vec![Backend::ready("a", backend.address)]);
    // Given up and had again, many times, with clients that just connected.
    for _ in 0..50 {
        let mut clients: Vec<Wire> = (0..5).map(|_| gate.connect()).collect();
        gate.edit(1, |desired| desired.listen.clear()).unwrap();
        let address = gate.address;
        gate.edit(1, |desired| desired.listen = vec![address])
            .unwrap();
        for client in &mut clients {
            assert_eq!(client.get("/"), (200, "a".to_owned()));
        }
    }
}

#[test]
fn listeners_come_and_go_without_a_restart() {
    let gate = Gate::new();
    let backend = Auto::named("a");
    let pid = gate.set(vec![Backend::ready("a", backend.address)]).pid;
    let mut old = gate.connect();
    assert_eq!(old.get("/").0, 200);
    let second = local(free_port());
    let mut desired = gate.desired(vec![Backend::ready("a", backend.address)]);
    desired.listen.push(second);
    gate.apply(&desired).unwrap();
    assert_eq!(Wire::connect(second).get("/").0, 200);
    desired.generation += 100;
    desired.listen = vec![second];
    let status = gate.apply(&desired).unwrap();
    assert_eq!((status.pid, status.listen), (pid, vec![second]));
    // Those that were connected stay.
    assert_eq!(old.get("/").0, 200);
    until("nobody listens there", || {
        std::net::TcpStream::connect(gate.address)
            .is_err()
            .then_some(())
    });
}

#[test]
fn what_is_under_way_ends_before_a_backend_is_drained() {
    let gate = Gate::new();
    let old = Manual::new();
    let new = Auto::named("new");
    let (a, b) = (
        Backend::ready("a", old.address),
        Backend::ready("b", new.address),
    );
    gate.set(vec![a.clone()]);
    // One that waits for its answer, one that gets a long one, and a
    // connection that lies idle.
    let mut idle = gate.connect();
    idle.send("GET /idle HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut idle_side = old.accept();
    assert!(idle_side.head().is_some());
    let mut waiting = gate.connect();
    waiting.send("POST /wait HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    let mut waiting_side = old.accept();
    assert_eq!(waiting_side.message().unwrap().text(), "hi");
    let mut stream = gate.connect();
    stream.send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut stream_side = old.accept();
    assert!(stream_side.head().is_some());
    stream_side.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
    assert_eq!(stream.head().unwrap().status(), 200);
    assert_eq!(stream.chunk(), b"one");
    idle_side.reply("idle");
    assert_eq!(idle.message().unwrap().text(), "idle");

    gate.set(vec![a.clone().draining(), b.clone()]);
    // What lay idle is closed at once, and its client does not notice.
    assert_eq!(idle_side.rest(), b"");
    for client in [&mut idle, &mut gate.connect()] {
        assert_eq!(client.get("/"), (200, "new".to_owned()));
    }
    let left = gate.wait_drained(&["a", "b", "gone"], Duration::ZERO).left;
    let a_left = left.iter().find(|backend| backend.id == "a").unwrap();
    assert_eq!((a_left.outstanding, a_left.connections), (2, 2));
    // It may even be taken away: what it has goes on.
    gate.set(vec![b.clone()]);
    let status = gate.status();
    assert!(status.backend("a").unwrap().leaving);
    stream_side.send("3\r\ntwo\r\n");
    assert_eq!(stream.chunk(), b"two");
    waiting_side.reply("waited");
    assert_eq!(waiting.message().unwrap().text(), "waited");
    assert_eq!(waiting_side.rest(), b"");
    let left = gate.wait_drained(&["a"], Duration::ZERO).left;
    assert_eq!((left[0].outstanding, left[0].connections), (1, 1));
    let ended = std::thread::spawn(move || {
        stream_side.send("0\r\n\r\n");
        stream_side.rest()
    });
    assert!(gate.wait_drained(&["a"], PATIENCE).all());
    assert_eq!(stream.chunk(), b"");
    assert_eq!(ended.join().unwrap(), b"");
    assert_eq!(gate.status().backend("a"), None);
    assert_eq!(gate.status().totals.failed(), 0);
}

#[test]
fn nothing_that_may_have_been_carried_out_is_sent_twice() {
    let gate = Gate::new();
    // It takes a request and dies.
    let bad = Auto::new(|_, _| false);
    let good = Auto::new(|request, wire| {
        wire.reply(&format!("{} {}", request.start, request.text()));
        true
    });
    let entries = || {
        vec![
            Backend::ready("bad", bad.address),
            Backend::ready("good", good.address),
        ]
    };
    gate.set(entries());
    let body = |method: &str, text: &str| {
        format!(
            "{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{text}",
            text.len()
        )
    };
    let bare = |method: &str| format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n");
    // Until the bad one was asked, each time: which is asked first is chance.
    let ask = |request: &str| {
        bad.seen.lock().unwrap().clear();
        good.seen.lock().unwrap().clear();
        until("the bad one is asked", || {
            let mut client = gate.connect();
            client.send(request);
            let answer = if request.starts_with("HEAD") {
                client.head().unwrap()
            } else {
                client.message().unwrap()
            };
            let was = bad.seen().len();
            assert!(was <= 1);
            if was == 0 {
                good.seen.lock().unwrap().clear();
            }
            (was == 1).then_some(answer)
        })
    };
    for method in ["GET", "HEAD", "OPTIONS", "DELETE"] {
        let answer = ask(&bare(method));
        assert_eq!(answer.status(), 200, "{method}");
        assert_eq!(good.seen().len(), 1, "{method}");
    }
    let answer = ask(&body("PUT", "whole body"));
    assert_eq!(answer.text(), "PUT / HTTP/1.1 whole body");
    for request in [
        body("POST", "x"),
        bare("POST"),
        body("PATCH", "x"),
        bare("MAKE"),
    ] {
        let answer = ask(&request);
        assert_eq!(answer.status(), 502, "{request}");
        assert_eq!(good.seen().len(), 0, "{request}");
    }
    // More than is kept cannot be sent again.
    let large = "x".repeat(1 << 20);
    let answer = ask(&body("PUT", &large));
    assert_eq!(answer.status(), 502);
    assert_eq!(good.seen().len(), 0);
    let status = gate.status();
    assert_eq!(status.totals.failures[&Failure::Lost], 5);
    assert_eq!(status.backend("bad").unwrap().lost, 10);
    assert_eq!(status.totals.retries, 5);
}

#[test]
fn where_nobody_listens_any_request_goes_elsewhere() {
    let gate = Gate::new();
    let good = Auto::named("good");
    let nobody = local(free_port());
    gate.set(vec![
        Backend::ready("nobody", nobody),
        Backend::ready("good", good.address),
    ]);
    let mut client = gate.connect();
    let asked = until("it was tried in vain", || {
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
        assert_eq!(client.message().unwrap().text(), "good");
        let status = gate.status();
        let nobody = status.backend("nobody").unwrap();
        (nobody.connect_failures > 0).then_some(nobody.clone())
    });
    // It is left alone for a while.
    assert!(asked.ejected_ms > 0, "{asked:?}");
    // And used when it is there, without being told.
    let listener = std::net::TcpListener::bind(nobody).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut wire = Wire::new(stream.unwrap());
            std::thread::spawn(move || {
                while wire.message().is_some() {
                    wire.reply("late");
                }
            });
        }
    });
    until("it is used", || (client.get("/").1 == "late").then_some(()));
    // With nobody at all, that is what is said.
    gate.set(vec![Backend::ready("none", local(free_port()))]);
    assert_eq!(client.get("/").0, 502);
    assert_eq!(gate.status().totals.failures[&Failure::Connect], 1);
}

#[test]
fn an_idle_connection_that_its_backend_closed_fails_no_request() {
    let gate = Gate::new();
    let backend = Manual::new();
    gate.set(vec![Backend::ready("a", backend.address)]);
    let mut client = gate.connect();
    for n in 0..20 {
        let method = if n % 2 == 0 { "POST" } else { "GET" };
        client.send(format!("{method} /{n} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let mut server = backend.accept();
        let asked = server.message().unwrap();
        assert_eq!(asked.start, format!("{method} /{n} HTTP/1.1"));
        server.reply("once");
        assert_eq!(client.message().unwrap().text(), "once");
        // It closes without a word.
        drop(server);
    }
    assert_eq!(gate.status().totals.retries, 0);
}

/// What a load saw.
#[derive(Default)]
struct Load {
    /// Requests that were answered as they should.
    answered: AtomicUsize,
    over: AtomicBool,
}

#[test]
fn no_request_fails_while_backends_are_added_drained_and_removed() {
    const LEAST: usize = 10_000;
    let gate = Gate::new();
    let mut running: Vec<(String, Process)> = (0..3)
        .map(|n| (format!("v{n}"), Process::start(&gate, &format!("v{n}"))))
        .collect();
    let list = |running: &[(String, Process)]| -> Vec<Backend> {
        running
            .iter()
            .map(|(id, process)| Backend::ready(id, process.address))
            .collect()
    };
    gate.set(list(&running));
    let load = Load::default();
    let mut next = 3;
    let mut ids: BTreeMap<String, usize> = BTreeMap::new();
    let mut collect = |process: &Process| {
        for id in process.ids() {
            *ids.entry(id).or_default() += 1;
        }
    };
    let answers = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|n| {
                let (load, address) = (&load, gate.address);
                scope.spawn(move || load_at(load, address, n, LEAST, true))
            })
            .collect();
        while load.answered.load(Ordering::SeqCst) < LEAST {
            // A new one, before the old one goes.
            let id = format!("v{next}");
            next += 1;
            let process = Process::start(&gate, &id);
            running.push((id, process));
            gate.set(list(&running));
            let mut entries = list(&running);
            entries[0] = entries[0].clone().draining();
            gate.set(entries);
            let (old, mut process) = running.remove(0);
            assert!(gate.wait_drained(&[&old], PATIENCE).all());
            // It has nothing, so it can be killed.
            process.kill();
            collect(&process);
            gate.set(list(&running));
        }
        load.over.store(true, Ordering::SeqCst);
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect::<Vec<_>>()
    });
    for (_, process) in &running {
        collect(process);
    }
    assert!(next > 6, "the backends changed {next} times");
    assert!(answers.len() >= LEAST);
    let failed: Vec<_> = answers
        .iter()
        .filter(|(_, status, _)| *status != 200)
        .collect();
    assert!(
        failed.is_empty(),
        "{} failed: {:?}",
        failed.len(),
        failed[0]
    );
    // Each was carried out, and no more than once.
    for (id, _, _) in &answers {
        assert_eq!(ids.get(id), Some(&1), "{id}");
    }
    let totals = gate.status().totals;
    assert_eq!((totals.failed(), totals.retries), (0, 0));
    let used: BTreeSet<&str> = answers.iter().map(|(_, _, name)| name.as_str()).collect();
    assert!(used.len() > 3, "{used:?}");
}

/// Sends requests until it is over, and there were `least`: each has an id of its
/// own, and every second is one that must not be repeated when `post` says so.
/// Returns the ids with the status and the text of the answers.
fn load_at(
    load: &Load,
    address: std::net::SocketAddr,
    thread: usize,
    least: usize,
    post: bool,
) -> Vec<(String, u16, String)> {
    let mut client = Wire::connect(address);
    let mut answers = Vec::new();
    while !load.over.load(Ordering::SeqCst) || load.answered.load(Ordering::SeqCst) < least {
        let n = answers.len();
        let id = format!("{thread}-{n}");
        if post && n % 2 == 0 {
            client.send(format!(
                "POST / HTTP/1.1\r\nHost: a\r\nX-Id: {id}\r\nContent-Length: 3\r\n\r\nabc"
            ));
        } else {
            client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nX-Id: {id}\r\n\r\n"));
        }
        let answer = client.message().unwrap();
        load.answered.fetch_add(1, Ordering::SeqCst);
        answers.push((id, answer.status(), answer.text()));
        if n % 100 == 99 {
            client = Wire::connect(address);
        }
    }
    answers
}

#[test]
fn backends_that_are_killed_fail_no_request_that_may_be_repeated() {
    const KILLS: usize = 12;
    let gate = Gate::new();
    let mut running: Vec<Process> = (0..3)
        .map(|n| Process::start(&gate, &format!("v{n}")))
        .collect();
    let set = |running: &[Process], turn: usize| {
        let list = running
            .iter()
            .enumerate()
            .map(|(n, process)| Backend::ready(format!("{turn}-{n}"), process.address));
        gate.set(list.collect());
    };
    set(&running, 0);
    let load = Load::default();
    let mut began: BTreeMap<String, usize> = BTreeMap::new();
    let answers = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|n| {
                let (load, address) = (&load, gate.address);
                // Half of them only ask what may be repeated.
                scope.spawn(move || load_at(load, address, n, 0, n % 2 == 1))
            })
            .collect();
        for turn in 1..=KILLS {
            let mark = load.answered.load(Ordering::SeqCst);
            until("there is traffic", || {
                (load.answered.load(Ordering::SeqCst) > mark + 200).then_some(())
            });
            // Without a word to the gateway, with requests under way.
            running[0].kill();
            let mark = load.answered.load(Ordering::SeqCst);
            until("there is traffic", || {
                (load.answered.load(Ordering::SeqCst) > mark + 200).then_some(())
            });
            let old =
                std::mem::replace(&mut running[0], Process::start(&gate, &format!("w{turn}")));
            for id in old.ids() {
                *began.entry(id).or_default() += 1;
            }
            running.rotate_left(1);
            set(&running, turn);
        }
        load.over.store(true, Ordering::SeqCst);
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect::<Vec<_>>()
    });
    for process in &running {
        for id in process.ids() {
            *began.entry(id).or_default() += 1;
        }
    }
    let mut lost = 0;
    for (id, status, _) in &answers {
        let (thread, n) = id.split_once('-').unwrap();
        let (thread, n): (usize, usize) = (thread.parse().unwrap(), n.parse().unwrap());
        let posted = thread % 2 == 1 && n % 2 == 0;
        let times = began.get(id).copied().unwrap_or(0);
        if posted {
            // Never twice; and what was answered was carried out.
            assert!(times <= 1, "{id} was carried out {times} times");
            match status {
                200 => assert_eq!(times, 1, "{id}"),
                502 => lost += 1,
                other => unreachable!("{id}: {other}"),
            }
        } else {
            assert_eq!(*status, 200, "{id}");
        }
    }
    let status = gate.status();
    assert_eq!(status.totals.failures[&Failure::Lost], lost);
    assert_eq!(status.totals.failed(), lost);
    // There were requests under way at a kill, or this has shown nothing.
    assert!(status.totals.retries > 0);
}
