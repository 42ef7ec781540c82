//! The reader against a real server.

mod common;

use common::Server;
use mysql::prelude::Queryable;

#[test]
fn a_server_starts() {
    let server = Server::start(&[]);
    let mut conn = server.conn();
    let n: Option<u32> = conn.query_first("SELECT 1").unwrap();
    assert_eq!(n, Some(1));
    assert_eq!(server.binlogs().len(), 1);
}
