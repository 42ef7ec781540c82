//! Reading a body, whole and bounded.

use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Bytes, Incoming};

/// How long a body may take: at the largest limit (10 MB) this is a line of
/// 1.4 Mbit/s.
const READ_WAIT: Duration = Duration::from_secs(60);
/// How much more than the limit is read and thrown away, so that a client that
/// sends all before it listens (they all do) hears the refusal instead of a
/// reset connection.
const LINGER_BYTES: usize = 16 << 20;
/// For how long.
const LINGER_WAIT: Duration = Duration::from_secs(2);

/// What came of reading a body.
#[derive(Debug)]
pub(crate) enum Read {
    /// All of it.
    Whole(Bytes),
    /// The first bytes, up to the limit; there was more.
    TooLarge(Bytes),
    /// It ended too early, or is malformed.
    Broken,
    /// It took too long.
    Slow,
}

/// Reads a body of at most `limit` bytes. `may_wait` says that the client waits
/// for a word before it sends the body (`Expect: 100-continue`).
pub(crate) async fn read(mut body: Incoming, limit: usize, may_wait: bool) -> Read {
    if body.is_end_stream() {
        return Read::Whole(Bytes::new());
    }
    let said = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if may_wait && said > limit {
        return Read::TooLarge(Bytes::new());
    }
    tokio::time::timeout(READ_WAIT, collect(&mut body, limit, said))
        .await
        .unwrap_or(Read::Slow)
}

async fn collect(body: &mut Incoming, limit: usize, said: usize) -> Read {
    let mut first: Option<Bytes> = None;
    let mut rest: Vec<u8> = Vec::new();
    loop {
        let data = match body.frame().await {
            None => break,
            Some(Err(_)) => return Read::Broken,
            // Trailers are not for us.
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => data,
                Err(_) => continue,
            },
        };
        let have = rest.len() + first.as_ref().map_or(0, Bytes::len);
        if data.len() > limit - have {
            let mut kept = first.map_or_else(Vec::new, |b| b.to_vec());
            kept.extend_from_slice(&rest);
            kept.extend_from_slice(&data[..limit - have]);
            linger(body).await;
            return Read::TooLarge(kept.into());
        }
        match first.take() {
            // Nearly always the only one: nothing is copied.
            None if rest.is_empty() => first = Some(data),
            None => rest.extend_from_slice(&data),
            Some(one) => {
                rest.reserve(said.min(limit));
                rest.extend_from_slice(&one);
                rest.extend_from_slice(&data);
            }
        }
    }
    Read::Whole(first.unwrap_or_else(|| rest.into()))
}

async fn linger(body: &mut Incoming) {
    let discard = async {
        let mut left = LINGER_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            if bytes > left {
                return;
            }
            left -= bytes;
        }
    };
    // Whether it came to the end or not, the connection is closed.
    let _ = tokio::time::timeout(LINGER_WAIT, discard).await;
}
