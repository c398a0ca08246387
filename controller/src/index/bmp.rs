//! Monitoring stations, checked.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use redstart_rib::rib::{View, Views};

use super::{observed::Findings, values::range};
use crate::{
    api::{BmpStationSpec, BmpTable},
    diagnostic::Reason,
};

/// What a monitoring station is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BmpStation {
    /// Which tables.
    pub views: Views,
    /// How often it is told numbers, if it is.
    pub statistics: Option<Duration>,
}

/// The stations by where they listen.
pub(super) fn stations(
    list: &[BmpStationSpec],
    findings: &mut Findings,
) -> BTreeMap<SocketAddr, BmpStation> {
    let mut stations = BTreeMap::new();
    for (n, spec) in list.iter().enumerate() {
        let field = |name: &str| format!("spec.bmp[{n}].{name}");
        let address = usable(&spec.address);
        let address = findings.take(&field("address"), Reason::InvalidAddress, address);
        range(&field("port"), &spec.port, 1..=u16::MAX, findings);
        let seconds = &spec.statistics_seconds;
        range(&field("statisticsSeconds"), seconds, 0..=86_400, findings);
        if spec.tables.is_empty() {
            let message = "a station is told at least one table";
            findings.error(field("tables"), Reason::MissingField, message);
        }
        let every = Duration::from_secs((*seconds).into());
        let station = BmpStation {
            views: spec.tables.iter().copied().map(view).collect(),
            statistics: (!every.is_zero()).then_some(every),
        };
        let Some(address) = address else {
            continue;
        };
        let remote = SocketAddr::new(address, spec.port);
        if stations.insert(remote, station).is_some() {
            let message = format!("the station {remote} is named twice");
            findings.error(field("address"), Reason::InvalidValue, message);
        }
    }
    stations
}

/// An address that can be dialled: also one of this host, where a collector may be.
fn usable(text: &str) -> Result<IpAddr, String> {
    let address: IpAddr = text
        .parse()
        .map_err(|_| format!("{text:?} does not look like an IP address"))?;
    let special = match address {
        IpAddr::V4(v4) => v4.is_broadcast(),
        // Nothing says on which link.
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    if special || address.is_unspecified() || address.is_multicast() {
        return Err(format!("{address} cannot be the address of a station"));
    }
    Ok(address)
}

const fn view(table: BmpTable) -> View {
    match table {
        BmpTable::AdjRibInPre => View::AdjRibInPre,
        BmpTable::AdjRibInPost => View::AdjRibInPost,
        BmpTable::LocRib => View::LocRib,
        BmpTable::AdjRibOutPost => View::AdjRibOutPost,
    }
}
