//! What objects ask for and the kernel of this node may not have. Asked of the kernel once, at start:
//! it gets no other abilities while it runs.

use std::sync::Arc;

use redstart_bgp::net::probe_tcp_ao;

use crate::{
    compile::DesiredState,
    diagnostic::{Diagnostic, Reason},
};

/// What the kernel has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Abilities {
    /// The TCP Authentication Option (RFC 5925).
    tcp_ao: bool,
}

impl Abilities {
    /// Asks the kernel.
    pub(super) fn probe() -> Self {
        // Without a socket nothing is known; the sessions will say what is wrong.
        let lacks_tcp_ao = probe_tcp_ao().is_err_and(|error| error.is_unsupported());
        Self {
            tcp_ao: !lacks_tcp_ao,
        }
    }

    /// What `desired` asks for in vain.
    pub(super) fn lacking(self, desired: &DesiredState) -> Vec<Diagnostic> {
        let peers = desired.peers.values();
        let in_vain = peers.filter(|peer| !self.tcp_ao && !peer.tcp_ao.is_empty());
        let problem = |peer: &Arc<crate::compile::Peer>| {
            Diagnostic::error(
                peer.source.clone(),
                "spec.tcpAO",
                Reason::TcpAoUnsupported,
                "the kernel of this node has no TCP Authentication Option (Linux has it since 6.7, if \
                 built with CONFIG_TCP_AO): there is no session, because it would be unprotected",
            )
        };
        in_vain.map(problem).collect()
    }
}
