//! Malformed messages in the log, whole: RFC 7606 section 6 wants an operator to be able to find out
//! which routes were lost, and why, from the octets that came.
//!
//! A neighbour that sends nothing else must not fill the disk: one message a minute is logged, the
//! rest are counted and told with the next one. Of a long message the log has the first
//! [`MAX_OCTETS`]: all of it, unless RFC 8654 is in force.

use std::fmt::Write as _;

use redstart_bgp::{time::Instant, types::NlriSet, wire::Malformed};
use tracing::warn;

use super::seldom::Seldom;
use crate::compile::PeerName;

/// How much of a message is logged: the length of the longest without RFC 8654.
const MAX_OCTETS: usize = 4096;

/// How many prefixes are named; all of them are in the octets.
const MAX_PREFIXES: usize = 16;

/// What was logged of one neighbour.
#[derive(Debug, Default)]
pub(super) struct MalformedLog(Seldom);

impl MalformedLog {
    /// An UPDATE that was dealt with without a reset, if something was wrong with it.
    pub(super) fn update(&mut self, now: Instant, name: &PeerName, malformed: Malformed<'_>) {
        let faults = malformed.faults().iter();
        let Some(fault) = faults.max_by_key(|fault| fault.disposition) else {
            return;
        };
        let Some(unlogged) = self.0.turn(now) else {
            return;
        };
        let update = malformed.update();
        warn!(
            peer = %name,
            attribute = fault.code,
            reason = %fault.reason,
            faults = update.faults.len(),
            withdrawn = prefixes(&update.unreach),
            announced = prefixes(update.reach.iter().map(|reach| &reach.nlri)),
            unlogged,
            message = hex(update.malformed.as_deref().unwrap_or_default()),
            "malformed UPDATE: {}",
            fault.disposition,
        );
    }

    /// A message that ended the connection.
    pub(super) fn unreadable(&mut self, now: Instant, name: &PeerName, message: &[u8]) {
        if let Some(unlogged) = self.0.turn(now) {
            warn!(peer = %name, unlogged, message = hex(message), "malformed message: the connection ends");
        }
    }
}

fn hex(message: &[u8]) -> String {
    let shown = &message[..message.len().min(MAX_OCTETS)];
    let mut text = shown.iter().fold(String::new(), |mut text, octet| {
        let _ = write!(text, "{octet:02x}");
        text
    });
    if shown.len() < message.len() {
        let _ = write!(text, "... ({} octets)", message.len());
    }
    text
}

fn prefixes<'a>(sets: impl IntoIterator<Item = &'a NlriSet>) -> String {
    let all = sets.into_iter().flat_map(NlriSet::iter);
    let mut named: Vec<String> = all
        .take(MAX_PREFIXES + 1)
        .map(|nlri| nlri.prefix.to_string())
        .collect();
    if named.len() > MAX_PREFIXES {
        named.truncate(MAX_PREFIXES);
        named.push("...".to_owned());
    }
    named.join(" ")
}

#[cfg(test)]
mod tests {
    use redstart_bgp::types::{Family, Nlri, Prefix};

    use super::*;

    #[test]
    fn a_message_is_logged_whole_up_to_a_bound() {
        assert_eq!(hex(&[0xff, 0x00, 0x0a]), "ff000a");
        assert_eq!(hex(&[0; MAX_OCTETS]).len(), 2 * MAX_OCTETS);
        let long = hex(&[0; MAX_OCTETS + 1]);
        assert!(long.ends_with("00... (4097 octets)"), "{long}");
    }

    #[test]
    fn prefixes_are_named_up_to_a_bound() {
        let mut set = NlriSet::empty(Family::Ipv4Unicast);
        assert_eq!(prefixes([&set]), "");
        for i in 0..20 {
            let prefix = format!("10.{i}.0.0/16").parse().unwrap();
            if let (NlriSet::V4(list), Prefix::V4(prefix)) = (&mut set, prefix) {
                list.push(Nlri::plain(prefix));
            }
        }
        let named = prefixes([&set]);
        assert!(named.starts_with("10.0.0.0/16 10.1.0.0/16 "), "{named}");
        assert!(named.ends_with("10.15.0.0/16 ..."), "{named}");
    }
}
