//! The lock on an instance.

#![cfg(feature = "testing")]
#![expect(clippy::unwrap_used, reason = "helpers of the tests unwrap")]

mod support;

use backout_core::code::Code;
use backout_mariadb::guard::Guard;
use backout_mariadb::testing::PrivateServer;
use support::endpoint;

#[test]
fn the_greater_fence_wins_and_the_lesser_is_cut_off() {
    let server = PrivateServer::start(&[]);
    let endpoint = endpoint(&server);
    let mut old = Guard::take(&endpoint, "cdb-1", 6).unwrap();
    old.check().unwrap();
    let other = Guard::take(&endpoint, "cdb-2", 6).unwrap();
    for fence in [6, 5, 1] {
        let error = Guard::take(&endpoint, "cdb-1", fence).unwrap_err();
        assert_eq!(error.code(), Code::DatabaseState, "{error}");
    }
    old.check().unwrap();
    let mut new = Guard::take(&endpoint, "cdb-1", 1 << 40 | 7).unwrap();
    assert!(old.check().is_err());
    new.check().unwrap();
    assert_eq!((new.fence(), other.fence()), (1 << 40 | 7, 6));
    drop(new);
    // The server notices that the connection is gone in its own time; the
    // lesser fence is let in once it has.
    let mut tries = 0;
    loop {
        match Guard::take(&endpoint, "cdb-1", 1) {
            Ok(mut guard) => break guard.check().unwrap(),
            Err(_) if tries < 1000 => tries += 1,
            Err(e) => std::panic::panic_any(e.to_string()),
        }
    }
}
