//! What the tests of this crate run beside themselves: the supervisor (`shim
//! DIR`), the process on an endpoint (`gateway DIR`), and an engine that starts
//! at once (`engine PORT NAME [broken | dies MILLISECONDS]`).
//!
//! The engine answers `GET /health`, and `POST /sql` with its name and the
//! parameters that it was given; `sleep MILLISECONDS` is answered that much
//! later. A broken one is not healthy, and one that dies ends that long after it
//! was asked anything.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// The longest statement, in bytes.
const STATEMENT_MAX_BYTES: u64 = 1 << 16;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["shim", folder] => backout_shim::main(&PathBuf::from(folder)),
        ["gateway", folder] => backout_gateway::main(&PathBuf::from(folder)),
        ["engine", port, name, rest @ ..] => {
            let how = match rest {
                ["broken"] => How::Broken,
                ["dies", ms] => How::Dies(Duration::from_millis(ms.parse().unwrap_or(0))),
                _ => How::Well,
            };
            match port.parse().map(|port| serve(port, name, how)) {
                Ok(Ok(())) => ExitCode::SUCCESS,
                _ => ExitCode::FAILURE,
            }
        }
        _ => ExitCode::from(2),
    }
}

/// How an engine does.
#[derive(Clone, Copy)]
enum How {
    Well,
    Broken,
    Dies(Duration),
}

fn serve(port: u16, name: &str, how: How) -> io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    let _ = writeln!(io::stdout(), "{name} listens on port {port}");
    for stream in listener.incoming() {
        let (stream, name) = (stream?, name.to_owned());
        std::thread::spawn(move || answer_all(&stream, &name, how));
    }
    Ok(())
}

fn answer_all(stream: &TcpStream, name: &str, how: How) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut writer = stream;
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first)? == 0 {
            return Ok(());
        }
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let line = line.trim().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let mut body = String::new();
        (&mut reader)
            .take(length.min(STATEMENT_MAX_BYTES))
            .read_to_string(&mut body)?;
        if let Some(ms) = body.strip_prefix("sleep ") {
            std::thread::sleep(Duration::from_millis(ms.trim().parse().unwrap_or(0)));
        }
        let status = match how {
            How::Broken => "503 Service Unavailable",
            How::Well => "200 OK",
            How::Dies(after) => {
                std::thread::spawn(move || {
                    std::thread::sleep(after);
                    std::process::exit(3);
                });
                "200 OK"
            }
        };
        let parameters = std::env::var("ENGINE_PARAMETERS").unwrap_or_default();
        let text = format!("{name} {parameters}");
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n",
            text.len()
        );
        let _ = first;
        writer.write_all(head.as_bytes())?;
        writer.write_all(text.as_bytes())?;
    }
}
