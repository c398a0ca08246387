//! Optional parameters of OPEN in their two forms (RFC 4271 section 4.2, RFC 9072), as a neighbour
//! sees them: octets in, NOTIFICATION or OPEN out.

use redstart_bgp::wire::{Capability, Codec, Message, Notification, Open};

/// An OPEN of AS 65001 with these octets after its identifier.
fn decode(parameters: &[u8]) -> Result<Open, Notification> {
    let mut message = vec![0xff; 16];
    let len = u16::try_from(28 + parameters.len()).unwrap();
    message.extend(len.to_be_bytes());
    message.extend([1, 4, 0xfd, 0xe9, 0, 90, 192, 0, 2, 1]);
    message.extend(parameters);
    Codec::default()
        .decode(&message)
        .map(|message| match message {
            Message::Open(open) => open,
            other => panic!("{other:?} is not an OPEN"),
        })
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
        let refused = decode(parameters).unwrap_err().code;
        assert_eq!(
            (refused.code(), refused.subcode()),
            (2, 4),
            "{parameters:?}"
        );
    }
    let open = decode(&[255, 255, 0, 5, 2, 0, 2, 2, 0]).unwrap();
    assert_eq!(open.capabilities, [Capability::RouteRefresh]);
}

/// RFC 9072 section 2: without parameters there is no type to look at, and a list in the long form
/// may be empty.
#[test]
fn no_parameters_in_either_form() {
    assert_eq!(decode(&[0]).unwrap().capabilities, []);
    assert_eq!(decode(&[255, 255, 0, 0]).unwrap().capabilities, []);
    let refused = decode(&[0, 255, 0, 0]).unwrap_err().code;
    assert_eq!((refused.code(), refused.subcode()), (2, 0));
}
