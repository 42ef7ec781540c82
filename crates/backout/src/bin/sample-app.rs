//! An instance of an application, for tests: as small as can be, since a hundred
//! of them run at once. It listens on `PORT` of loopback, answers every request
//! with `NAME`, and `/ready` with `ready`. More of its environment:
//!
//! | variable | what it does |
//! |---|---|
//! | `REGISTRY` | a folder where it leaves a file `PORT-PID-NAME` before it listens |
//! | `START_MS` | it waits so long before it listens |
//! | `STATUS` | what it answers with instead of 200 |
//! | `CRASH_START` | when that file is there, it takes it away and ends before it listens |
//! | `CRASH_SERVE` | when that file is there, it takes it away and ends with requests under way; `crashed-PORT-PID` in `REGISTRY` tells so |
//! | `CRASH_ALWAYS` | it ends before it listens |
#![expect(clippy::print_stdout, reason = "what it says is its log")]

use std::io::{self, BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Of a thread that serves a connection: it calls little.
const STACK_BYTES: usize = 64 << 10;

/// The longest head of a request, and the longest body.
const REQUEST_MAX_BYTES: u64 = 1 << 20;

/// What it ends with when it is told to crash.
const CRASHED: i32 = 70;

struct App {
    answer: Vec<u8>,
    crash: Option<PathBuf>,
    /// Where it tells that it crashes.
    mark: Option<PathBuf>,
}

fn main() -> io::Result<()> {
    let get = |name: &str| std::env::var(name).ok();
    let number = |name: &str| get(name).and_then(|text| text.parse::<u16>().ok());
    let port = number("PORT").ok_or(ErrorKind::InvalidInput)?;
    let name = get("NAME").unwrap_or_default();
    let taken = |token: Option<String>| token.is_some_and(|t| std::fs::remove_file(t).is_ok());
    if get("CRASH_ALWAYS").is_some() || taken(get("CRASH_START")) {
        println!("told to crash");
        std::process::exit(CRASHED);
    }
    std::thread::sleep(Duration::from_millis(
        number("START_MS").unwrap_or(0).into(),
    ));
    let registry = get("REGISTRY");
    let place = registry.as_ref().map(Path::new);
    let pid = std::process::id();
    if let Some(place) = place {
        std::fs::write(place.join(format!("{port}-{pid}-{name}")), "")?;
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    let app = Arc::new(App {
        answer: message(number("STATUS").unwrap_or(200), &name),
        crash: get("CRASH_SERVE").map(PathBuf::from),
        mark: place.map(|place| place.join(format!("crashed-{port}-{pid}"))),
    });
    println!("{name} listens on {port}");
    for stream in listener.incoming() {
        let (stream, app) = (stream?, Arc::clone(&app));
        std::thread::Builder::new()
            .stack_size(STACK_BYTES)
            .spawn(move || app.serve(stream))?;
    }
    Ok(())
}

fn message(status: u16, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status} Sample\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
}

impl App {
    fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let ready = message(200, "ready");
        let mut reader = BufReader::with_capacity(1 << 10, stream.try_clone()?);
        let mut line = String::new();
        loop {
            let (mut length, mut lines, mut asks_ready) = (0, 0, false);
            loop {
                line.clear();
                if (&mut reader).take(REQUEST_MAX_BYTES).read_line(&mut line)? == 0 {
                    return Ok(());
                }
                let line = line.trim_end();
                if line.is_empty() {
                    break;
                }
                if lines == 0 {
                    asks_ready = line.starts_with("GET /ready ");
                } else if let Some((name, value)) = line.split_once(':')
                    && name.eq_ignore_ascii_case("content-length")
                {
                    length = value.trim().parse().unwrap_or(0);
                }
                lines += 1;
            }
            if length > REQUEST_MAX_BYTES {
                return Err(ErrorKind::InvalidData.into());
            }
            io::copy(&mut (&mut reader).take(length), &mut io::sink())?;
            if asks_ready {
                stream.write_all(&ready)?;
                continue;
            }
            self.may_crash();
            stream.write_all(&self.answer)?;
        }
    }

    fn may_crash(&self) {
        let Some(token) = &self.crash else {
            return;
        };
        if std::fs::remove_file(token).is_ok() {
            // Whoever sees that it is gone finds the mark.
            let marked = self.mark.as_ref().map(|mark| std::fs::write(mark, ""));
            drop(marked);
            std::process::exit(CRASHED);
        }
    }
}
