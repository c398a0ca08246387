//! Packets to octets and back.

use core::time::Duration;

use proptest::prelude::*;

use super::from_them;
use crate::bfd::{
    Packet, State,
    packet::{LEN, PacketError},
    state::Diagnostic,
};

/// As tcpdump saw it from another implementation: version 1, no diagnostic, Up, poll, multiplier 3.
const VECTOR: [u8; LEN] = [
    0x20, 0xe0, 0x03, 0x18, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x01, 0x00, 0x04, 0x93, 0xe0,
    0x00, 0x0f, 0x42, 0x40, 0x00, 0x00, 0x00, 0x00,
];

fn vector() -> Packet {
    Packet {
        poll: true,
        required_min_rx: Duration::from_secs(1),
        ..from_them(State::Up)
    }
}

#[test]
fn a_vector_both_ways() {
    assert_eq!(Packet::parse(&VECTOR), Ok(vector()));
    assert_eq!(vector().to_bytes(), VECTOR);
}

#[test]
fn what_must_be_discarded_is() {
    let cases: [(&str, usize, u8, PacketError); 8] = [
        ("version 0", 0, 0x00, PacketError::Version),
        ("version 2", 0, 0x40, PacketError::Version),
        ("length 23", 3, 23, PacketError::Length),
        ("length 25", 3, 25, PacketError::TooShort),
        ("multiplier 0", 2, 0, PacketError::DetectMultiplierZero),
        ("multipoint", 1, 0xe1, PacketError::Multipoint),
        ("my discriminator 0", 7, 0, PacketError::MyDiscriminatorZero),
        (
            "your discriminator 0 and Up",
            11,
            0,
            PacketError::YourDiscriminatorZero,
        ),
    ];
    for (name, at, value, error) in cases {
        let mut octets = VECTOR;
        octets[at] = value;
        assert_eq!(Packet::parse(&octets), Err(error), "{name}");
    }
    for len in 0..LEN {
        assert_eq!(
            Packet::parse(&VECTOR[..len]),
            Err(PacketError::TooShort),
            "{len}"
        );
    }
}

#[test]
fn authentication_is_not_in_use() {
    let mut octets = VECTOR.to_vec();
    octets[1] |= 0b100;
    assert_eq!(
        Packet::parse(&octets),
        Err(PacketError::Length),
        "24 is too short with A set"
    );
    octets.extend([1, 9, 1, b's', b'e', b'c', b'r', b'e', b't']);
    octets[3] = u8::try_from(octets.len()).unwrap();
    assert_eq!(Packet::parse(&octets), Err(PacketError::Authentication));
}

#[test]
fn a_neighbour_that_does_not_know_us_yet_may_be_down_only() {
    for (bits, good) in [(0x00, true), (0x40, true), (0x80, false), (0xc0, false)] {
        let mut octets = VECTOR;
        (octets[1], octets[11]) = (bits, 0);
        assert_eq!(Packet::parse(&octets).is_ok(), good, "{bits:#x}");
    }
}

#[test]
fn octets_after_the_packet_do_not_matter() {
    let mut octets = VECTOR.to_vec();
    octets.extend([0xff; 40]);
    assert_eq!(Packet::parse(&octets), Ok(vector()));
}

proptest! {
    #[test]
    fn any_packet_survives_the_wire(
        (diagnostic, state, flags, detect_multiplier) in (0u8..32, 0u8..4, any::<[bool; 4]>(), 1u8..),
        (my_discriminator, your_discriminator) in (1u32.., 1u32..),
        (tx, rx, echo) in any::<(u32, u32, u32)>(),
    ) {
        let packet = Packet {
            diagnostic: Diagnostic::from_code(diagnostic),
            state: State::from_bits(state),
            poll: flags[0],
            final_: flags[1],
            control_plane_independent: flags[2],
            demand: flags[3],
            detect_multiplier,
            my_discriminator,
            your_discriminator,
            desired_min_tx: Duration::from_micros(tx.into()),
            required_min_rx: Duration::from_micros(rx.into()),
            required_min_echo_rx: Duration::from_micros(echo.into()),
        };
        prop_assert_eq!(Packet::parse(&packet.to_bytes()), Ok(packet));
    }

    #[test]
    fn no_octets_make_it_panic(octets in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = Packet::parse(&octets);
    }
}
