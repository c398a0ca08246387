//! The update log, as `redc show mrt` and the metrics show it.

use crate::{
    control::views,
    index::MrtLog,
    metrics,
    mrt_log::{Counts, Status},
    speaker::core::Core,
};

impl Core {
    pub(super) fn mrt_logs(&self) -> Vec<views::MrtLog> {
        self.logging.view().map(view).into_iter().collect()
    }

    pub(super) fn count_log(&self) -> Option<metrics::UpdateLog> {
        let (_, status, counts) = self.logging.view()?;
        Some(metrics::UpdateLog {
            writing: status.fault.is_none(),
            records: counts.records,
            octets: counts.octets,
            lost: counts.lost,
        })
    }
}

fn view((spec, status, counts): (&MrtLog, Status, Counts)) -> views::MrtLog {
    let state = match status.fault {
        None => "writing",
        Some(_) => "failing",
    };
    let wrong = status.fault.or(status.stuck);
    views::MrtLog {
        directory: spec.directory.display().to_string(),
        state: state.to_owned(),
        since: status.since,
        error: wrong.as_ref().map(|it| it.reason.to_string()),
        error_text: wrong.map(|it| it.message),
        file: status.file,
        files: counts.files,
        records: counts.records,
        octets: counts.octets,
        lost: counts.lost,
    }
}
