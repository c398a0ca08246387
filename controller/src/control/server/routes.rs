//! `/v1/routes`: the routing table, or what is asked for of it, one JSON value a line.
//!
//! The query is a choice of `for`, `prefix` or `in`, with `protocol` (a name, with wildcards), `export`
//! or `noexport` (a neighbour), `where` ([`Condition`]) and `paths`. A page is asked for when the
//! reader has taken the one before: one that stops reading stops the walk, and nothing else.

use std::{io, net::IpAddr};

use axum::{
    Json,
    body::Body,
    extract::{Query as UrlQuery, State},
    http::header,
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use futures_util::stream;
use redstart_bgp::types::Prefix;
use serde::Deserialize;

use super::{Core, Refusal};
use crate::control::{
    PeerPattern,
    condition::Condition,
    select::{self, Busy, Net, Paths, Routes, Selection, Told},
    views,
};

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RoutesQuery {
    r#for: Option<IpAddr>,
    prefix: Option<String>,
    r#in: Option<String>,
    protocol: Option<String>,
    export: Option<String>,
    noexport: Option<String>,
    r#where: Option<String>,
    /// `accepted`, `primary`, `filtered`, `all`.
    paths: Option<Paths>,
}

impl RoutesQuery {
    fn selection(self, paths: Paths) -> Result<Selection, Refusal> {
        let prefix = |text: String| {
            let parsed = text.parse::<Prefix>();
            parsed.map_err(|e| Refusal::NotUnderstood(e.to_string()))
        };
        let net = match (self.r#for, self.prefix, self.r#in) {
            (Some(addr), _, _) => Net::For(addr),
            (None, Some(text), _) => Net::Exact(prefix(text)?),
            (None, None, Some(text)) => Net::In(prefix(text)?),
            (None, None, None) => Net::All,
        };
        let condition = self.r#where.map(|text| Condition::parse(&text)).transpose();
        Ok(Selection {
            family: None,
            net,
            from: self.protocol.map(PeerPattern::Like),
            told: self
                .export
                .map(Told::Export)
                .or(self.noexport.map(Told::NoExport)),
            paths: self.paths.unwrap_or(paths),
            condition: condition.map_err(|e| Refusal::NotUnderstood(e.to_string()))?,
        })
    }
}

pub(super) async fn routes(
    State(core): Core,
    UrlQuery(query): UrlQuery<RoutesQuery>,
) -> Result<Response, Refusal> {
    let found = Routes::select(core, query.selection(Paths::All)?).await?;
    Ok(ndjson(Body::from_stream(pages(found))))
}

/// Counts what was not refused, unless it is said which paths.
pub(super) async fn count(
    State(core): Core,
    UrlQuery(query): UrlQuery<RoutesQuery>,
) -> Result<Json<Vec<views::Count>>, Refusal> {
    let counts = select::count(core, query.selection(Paths::Accepted)?).await?;
    Ok(Json(counts))
}

fn ndjson(body: Body) -> Response {
    ([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response()
}

/// One page after the other, each asked for when the reader has taken the one before.
fn pages(found: Routes) -> impl stream::Stream<Item = io::Result<Bytes>> {
    stream::try_unfold(found, |mut found| async move {
        let page = found.page().await;
        let page = page.map_err(|Busy| io::Error::other("the speaker is busy"))?;
        Ok(page.map(|routes| (Bytes::from(json_lines(&routes)), found)))
    })
}

fn json_lines(routes: &[views::Route]) -> Vec<u8> {
    let mut out = Vec::new();
    for route in routes {
        // Writing plain strings and numbers to memory cannot fail.
        if serde_json::to_writer(&mut out, route).is_ok() {
            out.push(b'\n');
        }
    }
    out
}
