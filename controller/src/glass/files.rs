//! The page: files that a browser loads as they are, kept in the program.
//!
//! No framework and no build step: what stands in `page/` is what is served. `app.js` is where to begin to
//! read; each view is a module of its own.

use axum::{Router, http::header, routing::get};

const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const DRAWING: &str = "image/svg+xml";

macro_rules! files {
    ($($path:literal, $kind:ident, $file:literal;)*) => {
        /// Path, media type, content.
        pub(super) const FILES: &[(&str, &str, &str)] =
            &[$(($path, $kind, include_str!(concat!("page/", $file)))),*];
    };
}

files! {
    "/", HTML, "index.html";
    "/style.css", STYLE, "style.css";
    "/map.css", STYLE, "map.css";
    "/icon.svg", DRAWING, "icon.svg";
    "/app.js", SCRIPT, "app.js";
    "/dom.js", SCRIPT, "dom.js";
    "/poll.js", SCRIPT, "poll.js";
    "/keys.js", SCRIPT, "keys.js";
    "/words.js", SCRIPT, "words.js";
    "/states.js", SCRIPT, "states.js";
    "/sessions.js", SCRIPT, "sessions.js";
    "/peer.js", SCRIPT, "peer.js";
    "/map.js", SCRIPT, "map.js";
    "/layout.js", SCRIPT, "layout.js";
    "/search.js", SCRIPT, "search.js";
    "/history.js", SCRIPT, "history.js";
    "/counts.js", SCRIPT, "counts.js";
}

/// Serves them.
pub(super) fn router() -> Router {
    FILES.iter().fold(Router::new(), |app, (path, kind, text)| {
        app.route(
            path,
            get(async move || ([(header::CONTENT_TYPE, *kind)], *text)),
        )
    })
}
