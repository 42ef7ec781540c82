//! The TLS listener, with a certificate of our own making.

use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::house::{Client, House, Wish};

fn over_tls(
    house: &House,
    cert: &rcgen::Certificate,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> Client {
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let address = house.addresses.tls.unwrap();
    let stream = TcpStream::connect(address).unwrap();
    Client::over(StreamOwned::new(connection, stream), address)
}

#[test]
fn both_listeners_serve_the_same() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = (
        folder.path().join("cert.pem"),
        folder.path().join("key.pem"),
    );
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let mut house = House::with(Wish {
        tls: Some((cert, key)),
        ..Wish::default()
    });
    for versions in [&[&rustls::version::TLS13][..], &[&rustls::version::TLS12]] {
        let mut client = over_tls(&house, &made.cert, versions);
        client.request("GET", "/healthz", &[], b"").expect(200);
        let basic = house.basic();
        let answer = client.request("GET", "/v1/servers", &[("Authorization", &basic)], b"");
        assert_eq!(answer.expect(200)["items"].as_array().unwrap().len(), 0);
    }
    // Somebody who does not speak TLS there is nobody's problem.
    let mut plain = Client::to(house.addresses.tls.unwrap());
    plain.send(b"GET / HTTP/1.1\r\n\r\n");
    house
        .connect()
        .request("GET", "/healthz", &[], b"")
        .expect(200);
    assert_eq!(house.stopped(), 0);
}

#[test]
fn a_bad_certificate_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cert.pem");
    let bind = |cert: &std::path::Path| {
        let config = backout_server::Config {
            listen: "127.0.0.1:0".parse().unwrap(),
            tls: Some(backout_server::Tls {
                listen: "127.0.0.1:0".parse().unwrap(),
                cert: cert.to_owned(),
                key: cert.to_owned(),
            }),
            drain: std::time::Duration::ZERO,
        };
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            backout_server::Server::bind(&config)
                .unwrap_err()
                .to_string()
        })
    };
    assert!(bind(&path).contains("cert.pem"));
    std::fs::write(&path, "nothing").unwrap();
    assert!(bind(&path).contains("there is none in it"));
}
