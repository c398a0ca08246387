//! Optional parameters of OPEN in their two forms (RFC 4271 section 4.2, RFC 9072), as a neighbour
//! sees them: octets in, NOTIFICATION or OPEN out.

use redstart_bgp::wire::{Capability, Codec, Message};

/// The capabilities of an OPEN with these octets after its identifier, or code and subcode of what
/// is said to it.
fn decode(parameters: &[u8]) -> Result<Vec<Capability>, (u8, u8)> {
    let mut message = vec![0xff; 16];
    let len = u16::try_from(28 + parameters.len()).unwrap_or(u16::MAX);
    message.extend(len.to_be_bytes());
    message.extend([1, 4, 0xfd, 0xe9, 0, 90, 192, 0, 2, 1]);
    message.extend(parameters);
    match Codec::default().decode(&message) {
        Ok(Message::Open(open)) => Ok(open.capabilities),
        Ok(_) => Err((0, 0)),
        Err(notification) => Err((notification.code.code(), notification.code.subcode())),
    }
}

/// RFC 9072 section 3: type 255 "MUST NOT be used other than as described"; elsewhere it is a
/// parameter that nobody recognises.
#[test]
fn type_255_counts_in_the_first_place_only() {
    for parameters in [
        // Capabilities, then 255, in the short form and in the long one.
        &[7, 2, 2, 2, 0, 255, 1, 0][..],
        &[255, 255, 0, 9, 2, 0, 2, 2, 0, 255, 0, 1, 0],
        // First in the list of the long form is not first in the message.
        &[255, 255, 0, 3, 255, 0, 0],
    ] {
        assert_eq!(decode(parameters), Err((2, 4)), "{parameters:?}");
    }
    let long = decode(&[255, 255, 0, 5, 2, 0, 2, 2, 0]);
    assert_eq!(long, Ok(vec![Capability::RouteRefresh]));
}

/// RFC 9072 section 2: without parameters there is no type to look at, and a list in the long form
/// may be empty.
#[test]
fn no_parameters_in_either_form() {
    assert_eq!(decode(&[0]), Ok(vec![]));
    assert_eq!(decode(&[255, 255, 0, 0]), Ok(vec![]));
    assert_eq!(decode(&[0, 255, 0, 0]), Err((2, 0)));
}
