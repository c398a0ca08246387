//! `/_test/`: the knobs of [`faults`](super::faults) for callers in another process.
//!
//! No token is needed. All but the first are POST:
//!
//! | path | does |
//! |---|---|
//! | `/_test/requests` | the log of requests, as JSON |
//! | `/_test/rule` | adds the [`Rule`] in the body |
//! | `/_test/clear` | nothing goes wrong any more |
//! | `/_test/watches?end=close\|drop\|gone[&plural=nodes]` | ends running watches |
//! | `/_test/bookmarks` | sends a bookmark on every watch |
//! | `/_test/compact` | every older resource version is 410 Gone |
//! | `/_test/outage?millis=2000` | refuses connections for a while, from just after the answer |
//! | `/_test/streaming-lists?how=served\|refused\|ignored` | what becomes of `sendInitialEvents` |
//! | `/_test/rotate-token` | accepts another token, which is the answer |

use std::{sync::Arc, time::Duration};

use http::Method;
use serde_json::{Value, json};

use super::{
    Api,
    faults::{Rule, WatchEnd},
    request::Query,
    status::Refusal,
};

/// How long an outage waits, so that its own answer gets out.
const GRACE: Duration = Duration::from_millis(50);

/// Answers a request below `/_test/`.
///
/// # Errors
/// 400, 404.
pub fn answer(
    api: &Arc<Api>,
    method: &Method,
    knob: &str,
    query: &Query,
    body: &[u8],
) -> Result<Value, Refusal> {
    let faults = &api.faults;
    if *method == Method::GET && knob == "requests" {
        return Ok(json!(faults.requests()));
    }
    if *method != Method::POST {
        return Err(Refusal::method_not_allowed());
    }
    match knob {
        "rule" => {
            let rule: Rule = serde_json::from_slice(body)
                .map_err(|error| Refusal::bad_request(error.to_string()))?;
            faults.add(rule);
        }
        "clear" => faults.clear(),
        "watches" => {
            let end: WatchEnd = serde_json::from_value(json!(query.get("end")))
                .map_err(|error| Refusal::bad_request(error.to_string()))?;
            let plural = Some(query.get("plural")).filter(|it| !it.is_empty());
            faults.end_watches(plural, end);
        }
        "bookmarks" => faults.send_bookmarks(),
        "compact" => api.store.compact(),
        "outage" => {
            let length = Duration::from_millis(query.number("millis")?.unwrap_or(2000));
            let api = Arc::clone(api);
            tokio::spawn(async move {
                tokio::time::sleep(GRACE).await;
                api.faults.outage(length).await;
            });
        }
        "streaming-lists" => {
            let how = serde_json::from_value(json!(query.get("how")))
                .map_err(|error| Refusal::bad_request(error.to_string()))?;
            faults.set_streaming_lists(how);
        }
        "rotate-token" => return Ok(json!({"token": faults.rotate_token()})),
        _ => return Err(Refusal::no_such_path()),
    }
    Ok(json!({}))
}
