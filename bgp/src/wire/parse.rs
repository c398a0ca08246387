//! The few nom parsers that every message is read with.
//!
//! Input is `&[u8]`, the error is [`ParseError`]. A field with a length is cut first, then parsed
//! to its end: no parser ever sees octets that are not its own.

use nom::{
    IResult, Parser,
    bytes::complete::take,
    combinator::all_consuming,
    multi::length_data,
    number::complete::{be_u8, be_u16, be_u32},
};

use super::error::ParseError;

/// The outcome of a parser on octets.
pub(crate) type PResult<'a, T> = IResult<&'a [u8], T, ParseError>;

pub(crate) fn u8(input: &[u8]) -> PResult<'_, u8> {
    be_u8(input)
}

pub(crate) fn u16(input: &[u8]) -> PResult<'_, u16> {
    be_u16(input)
}

pub(crate) fn u32(input: &[u8]) -> PResult<'_, u32> {
    be_u32(input)
}

/// `n` octets.
pub(crate) fn octets(n: usize) -> impl Fn(&[u8]) -> PResult<'_, &[u8]> {
    move |input| take(n)(input)
}

/// A field that follows its own one-octet length.
pub(crate) fn sized_u8(input: &[u8]) -> PResult<'_, &[u8]> {
    length_data(be_u8).parse(input)
}

/// A field that follows its own two-octet length.
pub(crate) fn sized_u16(input: &[u8]) -> PResult<'_, &[u8]> {
    length_data(be_u16).parse(input)
}

/// A field that follows its own four-octet length.
pub(crate) fn sized_u32(input: &[u8]) -> PResult<'_, &[u8]> {
    length_data(be_u32).parse(input)
}

/// The octets are there and mean nothing.
pub(crate) fn invalid<T>(input: &[u8]) -> PResult<'_, T> {
    Err(nom::Err::Error(ParseError::invalid(input)))
}

/// As many octets as the array has.
pub(crate) fn array<const N: usize>(input: &[u8]) -> PResult<'_, [u8; N]> {
    match input.split_first_chunk() {
        Some((array, rest)) => Ok((rest, *array)),
        None => invalid(input),
    }
}

/// Runs `parser` on the whole of `input`; octets left over are an error like octets missing.
pub(crate) fn whole<'a, T>(
    parser: impl Parser<&'a [u8], Output = T, Error = ParseError>,
    input: &'a [u8],
) -> Result<T, ParseError> {
    match all_consuming(parser).parse(input) {
        Ok((_, value)) => Ok(value),
        Err(error) => Err(error.into()),
    }
}
