//! Why a session is as it is (`why-down`), how it came to that (`history`), what goes over it (`capture`),
//! and what it would be with other objects (`diff`).

use std::{fs, net::SocketAddr};

use jiff::Timestamp;
use redstart_bgp::session::State;

use super::texts;
use crate::{
    compile::{self, Compiled, PeerName},
    control::{
        capture::{NoCapture, Tapped},
        views::{Cause, Diff, HistoryEntry, Notice, Problem, WhyDown},
    },
    diagnostic::{Diagnostic, Severity},
    index::Kind,
    speaker::{
        core::Core,
        diff::{Fate, diff},
        drops::TcpCounters,
        history,
        neighbour::Neighbour,
        searches::Unfound,
        translate::{self, Restarted},
        why_down::{Facts, causes},
    },
};

/// What the kernel has counted in this network namespace.
pub(in crate::speaker) fn tcp_counters() -> TcpCounters {
    // That of this thread: the process may have moved. Without /proc there is less to tell.
    let text = fs::read_to_string("/proc/thread-self/net/netstat").unwrap_or_default();
    TcpCounters::parse(&text)
}

/// What there is to say of a name that nobody has been found for.
fn nobody(name: &str, since: Timestamp) -> WhyDown {
    WhyDown {
        peer: name.to_owned(),
        object: String::new(),
        state: State::Idle.to_string(),
        since,
        remote: None,
        causes: Vec::new(),
        last_error: None,
        last_received: None,
        last_sent: None,
        seen: Vec::new(),
        offered: Vec::new(),
        offered_by_peer: Vec::new(),
        agreed: Vec::new(),
    }
}

/// Why an object leads to no neighbour.
fn refused(d: &Diagnostic) -> Cause {
    let field = if d.field.is_empty() {
        String::new()
    } else {
        format!("{}: ", d.field)
    };
    Cause {
        id: d.reason.to_string(),
        says: format!("the object is refused: {field}{}", d.message),
        suggestion: "correct it; the session starts by itself then".to_owned(),
    }
}

impl Core {
    fn neighbour(&self, name: &str) -> Option<(&PeerName, &Neighbour)> {
        self.neighbours.iter().find(|(n, _)| n.0 == name)
    }

    fn unfound_named(&self, name: &str) -> Option<Unfound<'_>> {
        let mut unfound = self.unnumbered.unfound().chain(self.gateways.unfound());
        let found = unfound.find(|(n, _)| n.0 == name);
        found.map(|(_, unfound)| unfound)
    }

    pub(super) fn history(&self, name: Option<&str>) -> Option<Vec<HistoryEntry>> {
        let view = |(name, entry): (&PeerName, &history::Entry)| HistoryEntry {
            peer: name.to_string(),
            at: self.wall(entry.at),
            until: self.wall(entry.until),
            times: entry.times,
            event: entry.what.id().to_owned(),
            text: entry.what.text(),
        };
        let Some(name) = name else {
            let all = self.neighbours.iter().map(|(name, n)| (name, &n.history));
            return Some(history::latest(all).into_iter().map(view).collect());
        };
        let Some((name, neighbour)) = self.neighbour(name) else {
            return self.unfound_named(name).map(|_| Vec::new());
        };
        let entries = neighbour.history.entries().map(|entry| (name, entry));
        Some(entries.map(view).collect())
    }

    pub(super) fn capture(&self, name: &str) -> Result<Tapped, NoCapture> {
        let Some((_, neighbour)) = self.neighbour(name) else {
            let unfound = self.unfound_named(name);
            return Err(unfound.map_or(NoCapture::NoSuchPeer, |_| NoCapture::NotFound));
        };
        let onlooker = neighbour.handle.tap().ok_or(NoCapture::Taken)?;
        let started = self.started;
        Ok(Tapped { onlooker, started })
    }

    pub(super) fn diff(&self, compiled: &Compiled) -> Diff {
        let Some(now) = self.target.as_deref() else {
            return Diff::default();
        };
        let then = &*compiled.desired;
        let fate = |name: &PeerName, spec: &compile::Peer| {
            match (self.neighbour(&name.0), &then.node) {
                (Some((_, neighbour)), Some(node)) => neighbour.fate(spec, node),
                // Nobody has a session with it yet.
                _ => Fate::Same,
            }
        };
        let known = &self.configured.problems;
        let new = compiled.diagnostics.iter().filter(|d| !known.contains(d));
        Diff {
            problems: new.map(Problem::from).collect(),
            ..diff(now, then, fate)
        }
    }

    pub(super) fn why_down(&self, name: &str) -> Option<WhyDown> {
        if let Some((name, neighbour)) = self.neighbour(name) {
            return Some(self.why_neighbour(name, neighbour));
        }
        let Some(unfound) = self.unfound_named(name) else {
            return self.why_absent(name);
        };
        let why = unfound.why.clone();
        let facts = Facts {
            unfound: Some(why.unwrap_or_else(|| "nobody has been found yet".to_owned())),
            ..self.facts(unfound.spec, State::Idle)
        };
        Some(WhyDown {
            object: unfound.spec.source.to_string(),
            causes: causes(&facts),
            offered: self.offered(unfound.spec),
            ..nobody(name, self.wall(unfound.since))
        })
    }

    /// For a name that there is an object of, which is refused.
    fn why_absent(&self, name: &str) -> Option<WhyDown> {
        let problems = self.configured.problems.iter();
        let of_peer = |d: &&Diagnostic| {
            let object = &d.object;
            let named = object.kind == Kind::BgpPeer.as_str() && object.name == name;
            named && d.severity == Severity::Error
        };
        let refusals: Vec<_> = problems.filter(of_peer).collect();
        Some(WhyDown {
            object: refusals.first()?.object.to_string(),
            causes: refusals.into_iter().map(refused).collect(),
            ..nobody(name, self.configured_at?)
        })
    }

    /// Whether the kernel asks for a neighbour in vain: on its link, where only that can be meant.
    fn is_silent(&self, remote: SocketAddr) -> bool {
        let view = self.kernel.view();
        match remote {
            SocketAddr::V6(at) if at.scope_id() != 0 => {
                view.is_silent((*at.ip()).into(), at.scope_id())
            }
            _ => view.is_silent_anywhere(remote.ip()),
        }
    }

    fn why_neighbour(&self, name: &PeerName, n: &Neighbour) -> WhyDown {
        let status = n.handle.status();
        let errors = &status.errors;
        let last_up = n.history.last_up();
        let told = errors.received.as_ref();
        let told = told.filter(|(at, _)| last_up.is_none_or(|up| up <= *at));
        let facts = Facts {
            remote: Some(n.remote.ip()),
            remote_is_ours: self.kernel.view().is_own(n.remote.ip()),
            silent: self.is_silent(n.remote),
            disabled: n.disabled,
            over_limit: n.is_over_limit(),
            link_down: n.is_link_down(),
            down: errors.down.as_ref().map(|(_, reason)| reason.clone()),
            was_up: n.history.ended_a_session(),
            told: told.map(|(_, notification)| notification.clone()),
            ..self.facts(&n.spec, status.state)
        };
        let refused = self.listeners.refused().into_iter();
        let refused = refused.filter(|(_, number)| *number > 0);
        let refused = refused.map(|(why, number)| format!("{number} connections refused: {why}"));
        let session = n.negotiated();
        WhyDown {
            peer: name.to_string(),
            object: n.spec.source.to_string(),
            state: status.state.to_string(),
            since: self.wall(status.state_since),
            remote: Some(n.remote.to_string()),
            causes: causes(&facts),
            last_error: errors.down.as_ref().map(|(at, reason)| Notice {
                at: self.wall(*at),
                text: reason.to_string(),
            }),
            last_received: self.notice(errors.received.as_ref()),
            last_sent: self.notice(errors.sent.as_ref()),
            seen: facts
                .dropped
                .described()
                .into_iter()
                .chain(refused)
                .collect(),
            offered: match session {
                Some(session) => texts(&session.local_capabilities),
                None => self.offered(&n.spec),
            },
            offered_by_peer: session.map_or_else(Vec::new, |s| texts(&s.remote_capabilities)),
            agreed: session.map_or_else(Vec::new, |session| {
                let ours = session.local_capabilities.iter();
                let both = ours.filter(|c| session.remote_capabilities.contains(c));
                both.map(ToString::to_string).collect()
            }),
        }
    }

    /// What is known of a neighbour from the objects, and of this host.
    fn facts(&self, spec: &compile::Peer, state: State) -> Facts {
        let links = self.kernel.view();
        let mut listeners = self.listeners.views().into_iter();
        let (hops, ttl_security) = match spec.ttl {
            compile::Ttl::Hops(hops) => (Some(hops), None),
            compile::Ttl::Security(hops) => (None, Some(hops)),
        };
        Facts {
            state,
            unfound: None,
            remote: None,
            remote_is_ours: false,
            silent: false,
            local: spec.local.map(|local| (local, links.is_own(local))),
            disabled: false,
            over_limit: false,
            link_down: false,
            passive: spec.passive,
            has_password: spec.password.is_some(),
            ttl_security,
            hops,
            down: None,
            was_up: false,
            told: None,
            dropped: self.drops.lately(self.clock.now(), tcp_counters()),
            not_listening: listeners.find_map(|listener| listener.error),
        }
    }

    /// The capabilities that the OPEN to a neighbour has.
    fn offered(&self, spec: &compile::Peer) -> Vec<String> {
        let session = |node| translate::session(spec, node, Restarted::default());
        let session = self.identity().map(session);
        session.map_or_else(Vec::new, |session| texts(&session.offered()))
    }
}
