//! What an operator has done to sessions by hand.
//!
//! Nothing of it lasts: the objects say what there is to be, and a speaker that is started anew does
//! as they say.

use redstart_bgp::{
    session::{Negotiated, StopReason},
    types::Family,
};
use redstart_rib::Rib;

use super::{core::Core, history::What, neighbour::Neighbour};
use crate::control::{Operated, Operation, PeerPattern};

/// What the neighbour's operator is told (RFC 9003).
const BY_HAND: &str = "by the operator";

impl Core {
    /// Does it to every neighbour that is meant; names them with what became of it.
    pub(super) fn operate(
        &mut self,
        what: Operation,
        whom: &PeerPattern,
    ) -> Vec<(String, Operated)> {
        let now = self.clock.now();
        let Self {
            neighbours, rib, ..
        } = self;
        let mut done = Vec::new();
        for (name, neighbour) in neighbours.iter_mut() {
            if !whom.matches(&name.0) {
                continue;
            }
            let became = neighbour.operate(what, rib);
            neighbour.history.note(now, What::Operated(what));
            tracing::info!(peer = %name, operation = ?what, outcome = ?became, "operator");
            done.push((name.to_string(), became));
        }
        done
    }
}

impl Neighbour {
    fn operate(&mut self, what: Operation, rib: &mut Rib) -> Operated {
        match what {
            Operation::Disable if self.disabled => Operated::Already,
            Operation::Disable => {
                self.disabled = true;
                self.handle.stop(StopReason::Shutdown(BY_HAND.to_owned()));
                Operated::Done
            }
            Operation::Enable if self.enable() => Operated::Done,
            Operation::Enable => Operated::Already,
            Operation::Restart if self.disabled => Operated::NotPossible,
            Operation::Restart => {
                self.handle.restart(StopReason::Reset(BY_HAND.to_owned()));
                Operated::Done
            }
            Operation::Reload => {
                self.operate(Operation::ReloadOut, rib);
                self.operate(Operation::ReloadIn, rib)
            }
            Operation::ReloadIn => {
                self.reload(|session| session.route_refresh, |f| self.handle.refresh(f))
            }
            Operation::ReloadOut => self.reload(|_| true, |f| _ = rib.refresh_out(self.id, f)),
        }
    }

    /// Has routes told again in each family of the session, if there is one that allows it.
    fn reload(
        &self,
        allows: impl FnOnce(&Negotiated) -> bool,
        again: impl FnMut(Family),
    ) -> Operated {
        match self.negotiated() {
            Some(session) if allows(session) => {
                session.families.iter().for_each(again);
                Operated::Done
            }
            _ => Operated::NotPossible,
        }
    }
}
