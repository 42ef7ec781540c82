//! A backend that can be killed, for tests: `gateway-backend ADDRESS NAME LOG`.
//! It answers every request with its name, after a little work, and writes the
//! `X-Id` of each to the log first.

use std::fs::OpenOptions;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

/// What a request takes, so that there is always one under way.
const WORK: Duration = Duration::from_millis(1);

fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let [_, address, name, log] = &args[..] else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let listener = TcpListener::bind(address)?;
    for stream in listener.incoming() {
        let (stream, name, log) = (stream?, name.clone(), log.clone());
        std::thread::spawn(move || serve(stream, &name, &log));
    }
    Ok(())
}

fn serve(mut stream: TcpStream, name: &str, log: &str) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut log = OpenOptions::new().append(true).create(true).open(log)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let (mut length, mut id, mut lines) = (0, String::new(), 0);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            lines += 1;
            let line = line.trim_end();
            if line.is_empty() && lines > 1 {
                break;
            }
            match line.split_once(": ") {
                Some(("content-length", value)) => length = value.parse().unwrap_or(0),
                Some(("x-id", value)) => id = value.to_owned(),
                _ => {}
            }
        }
        io::copy(&mut (&mut reader).take(length), &mut io::sink())?;
        log.write_all(format!("{id}\n").as_bytes())?;
        std::thread::sleep(WORK);
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}",
            name.len()
        );
        stream.write_all(answer.as_bytes())?;
    }
}
