//! Monitoring stations, as `redc show bmp` shows them.

use redstart_rib::rib::{View, Views};

use crate::{bmp::Status, control::views, speaker::core::Core};

impl Core {
    pub(super) fn bmp_stations(&self) -> Vec<views::BmpStation> {
        let stations = self.stations.iter();
        let view = |(remote, station, status): (&_, &crate::index::BmpStation, Status)| {
            views::BmpStation {
                address: *remote,
                tables: tables(station.views),
                state: state(&status).to_owned(),
                since: status.since,
                last_error: status.last_error.map(str::to_owned),
                last_error_text: status.last_error_text,
                connections: status.connections,
                too_slow: status.too_slow,
                messages: status.messages,
                octets: status.octets,
                unsendable: status.unsendable,
            }
        };
        stations.map(view).collect()
    }
}

const fn state(status: &Status) -> &'static str {
    match (status.connected, status.complete) {
        (false, _) => "connecting",
        (true, false) => "dumping",
        (true, true) => "synchronised",
    }
}

fn tables(views: Views) -> Vec<String> {
    let name = |view: &View| match view {
        View::AdjRibInPre => "AdjRIBInPre",
        View::AdjRibInPost => "AdjRIBInPost",
        View::LocRib => "LocRIB",
        View::AdjRibOutPost => "AdjRIBOutPost",
    };
    let views = View::ALL.iter().filter(|view| views.contains(**view));
    views.map(|view| name(view).to_owned()).collect()
}
