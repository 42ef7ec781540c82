//! A registry of a test's own.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::engine::Engine;

/// A registry with one image, `app:1`.
pub struct Registry {
    port: u16,
}

impl Registry {
    pub fn start(engine: &Engine) -> Self {
        let hash = |bytes: &[u8]| format!("sha256:{}", hex::encode(Sha256::digest(bytes)));
        let mut layer = tar::Builder::new(Vec::new());
        layer.follow_symlinks(false);
        layer.append_dir_all(".", engine.image_folder()).unwrap();
        let layer = layer.into_inner().unwrap();
        let config = serde_json::json!({
            "architecture": "amd64",
            "os": "linux",
            "config": { "Env": ["FROM=registry", "PATH=/bin"] },
            "rootfs": { "type": "layers", "diff_ids": [hash(&layer)] },
        });
        let config = config.to_string().into_bytes();
        let of = |kind: &str, bytes: &[u8]| {
            serde_json::json!({
                "mediaType": kind,
                "size": bytes.len(),
                "digest": hash(bytes),
            })
        };
        let kind = "application/vnd.docker.distribution.manifest.v2+json";
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": kind,
            "config": of("application/vnd.docker.container.image.v1+json", &config),
            "layers": [of("application/vnd.docker.image.rootfs.diff.tar", &layer)],
        });
        let manifest = manifest.to_string().into_bytes();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let octets = "application/octet-stream";
        let found = Arc::new(vec![
            ("/v2/".to_owned(), octets, b"{}".to_vec()),
            ("/v2/app/manifests/1".to_owned(), kind, manifest.clone()),
            (
                format!("/v2/app/manifests/{}", hash(&manifest)),
                kind,
                manifest,
            ),
            (format!("/v2/app/blobs/{}", hash(&config)), octets, config),
            (format!("/v2/app/blobs/{}", hash(&layer)), octets, layer),
        ]);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let found = Arc::clone(&found);
                std::thread::spawn(move || answer(client, &found));
            }
        });
        Self { port }
    }

    pub fn name(&self, image: &str) -> String {
        format!("127.0.0.1:{}/{image}", self.port)
    }
}

fn answer(mut client: TcpStream, found: &[(String, &str, Vec<u8>)]) {
    let mut head = BufReader::new(client.try_clone().unwrap());
    let mut first = String::new();
    let _ = head.read_line(&mut first);
    let mut line = String::new();
    while head.read_line(&mut line).is_ok_and(|n| n > 2) {
        line.clear();
    }
    let mut words = first.split(' ');
    let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let page = found.iter().find(|(at, _, _)| at == path);
    let (status, kind, body) = match page {
        Some((_, kind, body)) => ("200 OK", *kind, body.as_slice()),
        None => ("404 Not Found", "text/plain", &b"none"[..]),
    };
    let digest = hex::encode(Sha256::digest(body));
    let _ = write!(
        client,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
         Docker-Content-Digest: sha256:{digest}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    if method == "GET" {
        let _ = client.write_all(body);
    }
}
