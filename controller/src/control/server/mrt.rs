//! `/v1/mrt`: the tables as an MRT file.

use std::io;

use axum::{
    body::Body,
    extract::State,
    http::header,
    response::{IntoResponse as _, Response},
};
use futures_util::stream;
use jiff::Timestamp;

use super::{Core, Refusal};
use crate::control::{
    mrt::{Dump, NoDump},
    select::Busy,
};

pub(super) async fn table(State(core): Core) -> Result<Response, Refusal> {
    let dump = Dump::begin(core, Timestamp::now()).await;
    let dump = dump.map_err(|why| match why {
        NoDump::Busy => Refusal::Busy,
        NoDump::NoIdentity => Refusal::NoIdentity,
    })?;
    let pieces = stream::try_unfold(dump, |mut dump| async move {
        let piece = dump.piece().await;
        let piece = piece.map_err(|Busy| io::Error::other("the speaker is busy"))?;
        Ok::<_, io::Error>(piece.map(|octets| (octets.freeze(), dump)))
    });
    let kind = [(header::CONTENT_TYPE, "application/octet-stream")];
    Ok((kind, Body::from_stream(pieces)).into_response())
}
