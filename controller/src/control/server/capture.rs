//! `/v1/capture`: what goes over a neighbour's connections, for as long as somebody reads.

use std::convert::Infallible;

use axum::{
    body::Body,
    extract::{Query as UrlQuery, State},
    http::header,
    response::{IntoResponse as _, Response},
};
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, stream};

use super::{Core, PeerQuery, Refusal};
use crate::control::{
    Query, ask,
    capture::{NoCapture, Pcap},
};

pub(super) async fn capture(
    State(core): Core,
    UrlQuery(PeerQuery { peer }): UrlQuery<PeerQuery>,
) -> Result<Response, Refusal> {
    let name = peer.clone();
    let tapped = ask(&core, |reply| Query::Capture(name, reply)).await;
    let tapped = tapped.ok_or(Refusal::Busy)?;
    let tapped = tapped.map_err(|why| match why {
        NoCapture::NoSuchPeer => Refusal::NoSuchPeer(peer),
        NoCapture::NotFound => {
            Refusal::NotCaptured("its address is not known yet: there is nothing to capture")
        }
        NoCapture::Taken => Refusal::NotCaptured("it is being captured by somebody else"),
    })?;
    let mut begin = BytesMut::new();
    Pcap::put_header(&mut begin);
    let begin = stream::once(async { Ok::<Bytes, Infallible>(begin.freeze()) });
    let state = (tapped.onlooker, Pcap::new(tapped.started));
    let packets = stream::unfold(state, |(mut onlooker, mut pcap)| async move {
        let passed = onlooker.next().await?;
        let mut out = BytesMut::new();
        pcap.put(&passed, &mut out);
        Some((Ok(out.freeze()), (onlooker, pcap)))
    });
    let kind = [(header::CONTENT_TYPE, "application/vnd.tcpdump.pcap")];
    Ok((kind, Body::from_stream(begin.chain(packets))).into_response())
}
