//! Capabilities as people read them, in the words of `birdc show protocols all`.

use core::fmt;

use super::{AddPathMode, Capability};
use crate::types::{Family, Role};

/// A family by name, or by its numbers where Redstart does not speak it.
fn family(afi: u16, safi: u8) -> String {
    match Family::from_afi_safi(afi, safi) {
        Some(family) => family.to_string(),
        None => format!("{afi}/{safi}"),
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Multiprotocol { afi, safi } => {
                write!(f, "multiprotocol {}", family(*afi, *safi))
            }
            Self::RouteRefresh => f.write_str("route-refresh"),
            Self::ExtendedNextHop(_) => f.write_str("extended-next-hop"),
            Self::ExtendedMessage => f.write_str("extended-message"),
            Self::Role(code) => match Role::from_code(*code) {
                Some(role) => write!(f, "role {role}"),
                None => write!(f, "role {code}"),
            },
            Self::GracefulRestart(gr) => {
                write!(f, "graceful-restart {} s", gr.restart_time)?;
                for entry in &gr.families {
                    let kept = if entry.forwarding_preserved {
                        " kept"
                    } else {
                        ""
                    };
                    write!(f, " {}{kept}", family(entry.afi, entry.safi))?;
                }
                Ok(())
            }
            Self::FourOctetAs(_) => f.write_str("AS4"),
            Self::AddPath(list) => {
                f.write_str("add-path")?;
                list.iter().try_for_each(|(afi, safi, mode)| {
                    let mode = match mode {
                        AddPathMode::Receive => "rx",
                        AddPathMode::Send => "tx",
                        AddPathMode::Both => "rx+tx",
                    };
                    write!(f, " {} {mode}", family(*afi, *safi))
                })
            }
            Self::EnhancedRouteRefresh => f.write_str("enhanced-refresh"),
            Self::LongLivedGracefulRestart(_) => f.write_str("long-lived-graceful-restart"),
            // The name is the neighbour's own: nothing that a terminal would obey.
            Self::Fqdn { host, domain } => {
                write!(f, "hostname {}", host.escape_default())?;
                if domain.is_empty() {
                    Ok(())
                } else {
                    write!(f, ".{}", domain.escape_default())
                }
            }
            Self::Unknown { code, .. } => write!(f, "unknown {code}"),
        }
    }
}
