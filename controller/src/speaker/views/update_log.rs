//! The update log, as `redc show mrt` and the metrics show it.

use crate::{control::views, index::MrtLog, metrics, mrt_log::Status, speaker::core::Core};

impl Core {
    pub(super) fn mrt_logs(&self) -> Vec<views::MrtLog> {
        self.logging.view().map(view).into_iter().collect()
    }

    pub(super) fn count_log(&self) -> Option<metrics::UpdateLog> {
        let (_, status, lost) = self.logging.view()?;
        Some(metrics::UpdateLog {
            writing: status.fault.is_none(),
            records: status.records,
            octets: status.octets,
            lost,
        })
    }
}

fn view((spec, status, lost): (&MrtLog, Status, u64)) -> views::MrtLog {
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
        files: status.files,
        records: status.records,
        octets: status.octets,
        lost,
    }
}
