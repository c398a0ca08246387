use super::super::{codec::Codec, error::EncodeError};
use crate::types::{Family, NlriSet, PathAttributes};
use bytes::BytesMut;
pub(crate) fn encode_reach(
    _: &Codec,
    _: &PathAttributes,
    _: &NlriSet,
    _: &mut BytesMut,
) -> Result<usize, EncodeError> {
    Ok(0)
}
pub(crate) fn encode_unreach(_: &Codec, _: &NlriSet, _: &mut BytesMut) -> usize {
    0
}
pub(crate) fn encode_end_of_rib(_: Family, _: &mut BytesMut) {}
