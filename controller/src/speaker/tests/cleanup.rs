//! `redstart cleanup`, after a speaker that has left its routes.

use std::os::unix::net::UnixListener;

use super::*;
use crate::speaker::{Cleanup, cleanup};

fn options(socket: &std::path::Path, dry_run: bool) -> Cleanup {
    Cleanup {
        dry_run,
        socket: socket.to_owned(),
        table: 254,
        metric: 179.try_into().unwrap(),
        protocol: 186,
    }
}

async fn said(options: &Cleanup) -> String {
    let mut out = Vec::new();
    cleanup(options, &mut out).await.unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_cleanup_removes_what_a_speaker_has_left_and_says_so_before() {
    in_namespace(async {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("redstart.sock");
        // Under marks that only the note beside the socket tells of.
        let core = Running::after(
            Recorded::beside(&socket),
            node(kernel(100, 200), prefixes(2)),
        );
        core.installs(2).await;
        core.stop().await;
        ip("route add blackhole 10.66.0.0/24 proto static");

        let dry = said(&options(&socket, true)).await;
        assert_eq!(
            dry,
            "10.64.0.0/24 table 100 proto bgp metric 200\n\
             10.64.1.0/24 table 100 proto bgp metric 200\n\
             2 routes and 0 nexthop objects would be removed\n"
        );
        assert_eq!(installed(100, 200), 2);

        let done = said(&options(&socket, false)).await;
        assert_eq!(done, "2 routes and 0 nexthop objects were removed\n");
        assert_eq!(prefixes_anywhere(), 1);
        assert!(Recorded::beside(&socket).all().is_empty());
    });
}

#[test]
fn a_cleanup_is_refused_while_a_speaker_runs() {
    in_namespace(async {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("redstart.sock");
        let _speaker = UnixListener::bind(&socket).unwrap();
        let refused = cleanup(&options(&socket, false), &mut Vec::new()).await;
        let error = refused.unwrap_err().to_string();
        assert!(error.starts_with("a speaker answers at"), "{error}");
    });
}
