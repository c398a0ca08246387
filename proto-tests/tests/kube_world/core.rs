//! A core that answers what a test wants it to.

use std::sync::{Arc, Mutex};

use redstart_controller::control::{Query, views};
use serde_json::json;
use tokio::sync::{mpsc, watch};

/// What it would answer.
pub struct State {
    pub session: &'static str,
    pub ups: u64,
    pub error: Option<&'static str>,
    /// What follows from objects.
    pub problems: Vec<views::Problem>,
    /// What the node has found out by itself.
    pub found: Vec<views::Problem>,
}

impl State {
    fn status(&self) -> views::Status {
        let up = u64::from(self.session == "Established");
        let problems: Vec<_> = self.found.iter().chain(&self.problems).collect();
        serde_json::from_value(json!({
            "schema": views::SCHEMA, "version": "1.0", "node": "n1", "routerId": "192.0.2.1",
            "localAs": 64512, "started": "2026-01-01T00:00:00Z",
            "configured": "2026-01-01T00:00:01Z", "now": "2026-01-01T00:01:00Z",
            "ready": true, "notReady": [], "listeners": [],
            "peers": {"configured": 1, "established": up}, "prefixes": {}, "originated": 1,
            "kernel": {"installed": 0, "pending": 0, "parked": 0, "stale": 0, "error": null},
            "source": {"description": "", "kinds": []}, "problems": problems,
        }))
        .unwrap()
    }

    fn protocols(&self) -> Vec<views::Protocol> {
        let peer = serde_json::from_value(json!({
            "name": "tor", "role": "router", "object": "BGPPeer/tor", "state": self.session,
            "since": "2026-01-01T00:00:10Z", "remote": "192.0.2.9:179", "local": null,
            "remoteAs": 64999, "localAs": 64512, "remoteRouterId": null,
            "lastError": self.error, "lastReceived": null, "lastSent": null, "families": ["ipv4"],
            "localCapabilities": [], "remoteCapabilities": [], "holdTime": 90,
            "holdRemaining": null, "keepalive": 30, "connectRemaining": null,
            "messages": {"updatesIn": 0, "updatesOut": 0, "totalIn": 0, "totalOut": 0},
            "establishedCount": self.ups,
            "routes": {"imported": 3, "exported": 1, "preferred": 3, "stale": 0}, "refused": {},
        }));
        vec![peer.unwrap()]
    }
}

/// A core with one neighbour, the router `tor`.
pub struct PlayedCore {
    state: Mutex<State>,
    queries: mpsc::Sender<Query>,
    asked: watch::Sender<u64>,
}

impl PlayedCore {
    pub fn start() -> Arc<Self> {
        let (queries, mut asked) = mpsc::channel(4);
        let core = Arc::new(Self {
            state: Mutex::new(State {
                session: "Established",
                ups: 1,
                error: None,
                problems: Vec::new(),
                found: Vec::new(),
            }),
            queries,
            asked: watch::Sender::new(0),
        });
        let answering = Arc::clone(&core);
        tokio::spawn(async move {
            while let Some(query) = asked.recv().await {
                answering.answer(query);
            }
        });
        core
    }

    fn answer(&self, query: Query) {
        let state = self.state.lock().unwrap();
        match query {
            Query::Status(reply) => {
                _ = reply.send(state.status());
                self.asked.send_modify(|asked| *asked += 1);
            }
            Query::Protocols(reply) => _ = reply.send(state.protocols()),
            _ => {}
        }
    }

    /// Where to ask it.
    pub fn queries(&self) -> mpsc::Sender<Query> {
        self.queries.clone()
    }

    pub fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
    }

    /// Waits until it was asked so many times more.
    pub async fn asked_again(&self, times: u64) {
        let mut asked = self.asked.subscribe();
        let wanted = *asked.borrow() + times;
        asked.wait_for(|asked| *asked >= wanted).await.unwrap();
    }
}
