//! The access log: a line for each request, on stdout, when that is wanted.

use std::io::Write as _;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::time::Instant;

use http::{Request, StatusCode};

use crate::proxy::Client;

/// Lines that wait to be written. When there are more, they are left out: the
/// log never holds up traffic.
const LINES_MAX: usize = 4096;

/// A longer target is cut, in bytes.
const TARGET_MAX_BYTES: usize = 512;

/// Where lines go, if anywhere.
#[derive(Debug)]
pub(crate) struct Access(Option<SyncSender<String>>);

/// A line, as far as it is known when a request begins.
#[derive(Debug)]
pub(crate) struct Line {
    text: String,
    began: Instant,
}

impl Access {
    pub(crate) fn new(wanted: bool) -> Self {
        if !wanted {
            return Self(None);
        }
        let (sender, lines) = sync_channel::<String>(LINES_MAX);
        let write = move || {
            let mut stdout = std::io::stdout();
            for line in lines {
                // Nobody is to be told of a log that cannot be written.
                let _ = stdout.write_all(line.as_bytes());
            }
        };
        let thread = std::thread::Builder::new().name("access".to_owned());
        Self(thread.spawn(write).is_ok().then_some(sender))
    }

    /// The beginning of a line for a request.
    pub(crate) fn line<B>(&self, client: &Client, request: &Request<B>) -> Option<Line> {
        self.0.as_ref()?;
        let target = request.uri().to_string();
        let cut = target.floor_char_boundary(TARGET_MAX_BYTES);
        let (client, method) = (client.origin.ip.to_str().unwrap_or("-"), request.method());
        Some(Line {
            text: format!("{client} {method} {}", &target[..cut]),
            began: Instant::now(),
        })
    }

    /// Writes the line, now that the head of the answer is known.
    pub(crate) fn write(&self, line: Line, status: StatusCode) {
        let Line { text, began } = line;
        let took_ms = began.elapsed().as_millis();
        let line = format!("{text} {} {took_ms}ms\n", status.as_u16());
        match self.0.as_ref().map(|lines| lines.try_send(line)) {
            None | Some(Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_))) => {}
        }
    }
}
