//! `/v1/diff`: what would change if the manifests in the body were applied on top of what there is.
//!
//! Three steps, none of which changes anything: the manifests are read, the task that compiles says what
//! they would come to, the core compares that with what is in force.

use axum::{Json, extract::State};
use tokio::sync::oneshot;

use super::{ANSWER_TIMEOUT, Refusal, ask};
use crate::{
    control::{
        Doors, Preview, Query,
        views::{Diff, ManifestFile},
    },
    index::SourceEvent,
    source::{Batch, manifest},
};

pub(super) async fn diff(
    State(doors): State<Doors>,
    Json(files): Json<Vec<ManifestFile>>,
) -> Result<Json<Diff>, Refusal> {
    let events = events(&files)?;
    let (reply, answer) = oneshot::channel();
    let exchange = async {
        let preview = Preview { events, reply };
        doors.previews.send(preview).await.ok()?;
        answer.await.ok()
    };
    let compiled = tokio::time::timeout(ANSWER_TIMEOUT, exchange).await;
    let compiled = compiled.ok().flatten().ok_or(Refusal::Busy)?;
    let not_yet = || Refusal::NotUnderstood("the objects are not known yet".to_owned());
    let compiled = Box::new(compiled.ok_or_else(not_yet)?);
    let diff = ask(&doors.core, |reply| Query::Diff(compiled, reply)).await;
    diff.map(Json).ok_or(Refusal::Busy)
}

/// The objects of the files, as a source would tell of them. A file that is none is refused whole.
fn events(files: &[ManifestFile]) -> Result<Batch, Refusal> {
    let mut events = Batch::new();
    for ManifestFile { file, text } in files {
        let manifest = manifest::parse(file, text);
        let manifest = manifest.map_err(|problem| {
            Refusal::NotUnderstood(format!("{}: {}", problem.object, problem.message))
        })?;
        if let Some(problem) = manifest.problems.first() {
            let text = format!("{}: {}", problem.object, problem.message);
            return Err(Refusal::NotUnderstood(text));
        }
        events.extend(manifest.objects.into_iter().map(SourceEvent::Applied));
    }
    Ok(events)
}
