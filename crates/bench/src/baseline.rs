//! What the HTTP stack alone costs: the same listener as the server's, around
//! a handler that reads the body and returns bytes that are ready.
//!
//! Keep in step with `crates/server/src/listener.rs`: the settings of hyper,
//! one task a connection, no delay, a place taken for each.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use http::{HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// The word that makes this program the baseline.
pub(crate) const CHILD: &str = "child-baseline";

/// The answer that is given to everything.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Canned {
    /// All but those that hyper adds by itself.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

/// Serves until it is killed.
pub(crate) fn serve(reply: &str) -> anyhow::Result<bool> {
    let canned: Canned = serde_json::from_slice(&std::fs::read(reply)?)?;
    let mut response = Response::new(Full::new(Bytes::from(canned.body)));
    for (name, value) in &canned.headers {
        response.headers_mut().append(
            HeaderName::try_from(name.as_str())?,
            HeaderValue::try_from(value.as_str())?,
        );
    }
    let response = Arc::new(response);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(30))
        .max_buf_size(128 << 10)
        .max_headers(100)
        .pipeline_flush(true);
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(async {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
            println!("ready {}", listener.local_addr()?);
            let room = Arc::new(Semaphore::new(800));
            loop {
                let permit = Arc::clone(&room).acquire_owned().await?;
                let (stream, _) = listener.accept().await.context("accept a connection")?;
                let (http, response) = (http.clone(), Arc::clone(&response));
                tokio::spawn(async move {
                    connection(stream, &http, response).await;
                    drop(permit);
                });
            }
        })
}

async fn connection(
    stream: TcpStream,
    http: &http1::Builder,
    response: Arc<Response<Full<Bytes>>>,
) {
    // As the server does it.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: Request<Incoming>| {
        let response = Arc::clone(&response);
        async move {
            // A body that breaks off ends the connection anyway.
            let read = request.into_body().collect().await.is_ok();
            debug_assert!(read);
            Ok::<_, Infallible>(Response::clone(&response))
        }
    });
    // Ends with an error when the client goes away.
    let _ = http.serve_connection(TokioIo::new(stream), service).await;
}
