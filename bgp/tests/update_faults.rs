//! Several faults in one UPDATE (RFC 7606 section 3 (h)), and what is no fault at all.

use redstart_bgp::{
    types::FamilySet,
    wire::{Codec, Disposition, Message, Update},
};

/// 10.0.0.0/8 with ORIGIN, AS_PATH, NEXT_HOP and these attributes, from an external peer; or code and
/// subcode of what is said to it.
fn decode(more: &[&[u8]]) -> Result<Update, (u8, u8)> {
    let attributes = [
        &[0x40, 1, 1, 0, 0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xe9][..],
        &[0x40, 3, 4, 192, 0, 2, 1],
        &more.concat(),
    ]
    .concat();
    let mut message = vec![0xff; 16];
    let len = |octets: usize| u16::try_from(octets).unwrap_or(u16::MAX).to_be_bytes();
    message.extend(len(25 + attributes.len()));
    message.extend([2, 0, 0]);
    message.extend(len(attributes.len()));
    message.extend(attributes);
    message.extend([8, 10]);
    let codec = Codec {
        four_octet_as: true,
        ebgp: true,
        families: FamilySet::ALL,
        ..Codec::default()
    };
    match codec.decode(&message) {
        Ok(Message::Update(update)) => Ok(update),
        Ok(_) => Err((0, 0)),
        Err(notification) => Err((notification.code.code(), notification.code.subcode())),
    }
}

/// ATOMIC_AGGREGATE of one octet, AGGREGATOR of three, COMMUNITIES of three, and an unknown attribute
/// that calls itself well-known.
const DISCARD: &[u8] = &[0x40, 6, 1, 0];
const DISCARD_TOO: &[u8] = &[0xc0, 7, 3, 0, 0, 0];
const WITHDRAW: &[u8] = &[0xc0, 8, 3, 0, 0, 0];
const RESET: &[u8] = &[0x40, 99, 1, 0];

#[test]
fn the_strongest_action_wins() {
    use Disposition::{DiscardAttribute, TreatAsWithdraw};
    let dispositions = |update: &Update| -> Vec<_> {
        update
            .faults
            .iter()
            .map(|fault| fault.disposition)
            .collect()
    };

    let update = decode(&[DISCARD, DISCARD_TOO]).unwrap();
    assert_eq!(dispositions(&update), [DiscardAttribute; 2]);
    assert_eq!((update.reach.len(), update.unreach.len()), (1, 0));

    for order in [[DISCARD, WITHDRAW], [WITHDRAW, DISCARD]] {
        let update = decode(&order).unwrap();
        let mut all = dispositions(&update);
        all.sort();
        assert_eq!(all, [DiscardAttribute, TreatAsWithdraw], "both are told");
        assert_eq!((update.reach.len(), update.unreach.len()), (0, 1));
    }

    for order in [[DISCARD, WITHDRAW, RESET], [RESET, WITHDRAW, DISCARD]] {
        assert_eq!(decode(&order).unwrap_err(), (3, 2));
    }
}

/// RFC 8092 section 6 and RFC 7606 section 7.14: what a community means is no question of syntax.
#[test]
fn communities_are_not_judged() {
    // Large communities of the reserved numbers 0 and 4294967295, and one of them twice.
    let mut large = vec![0xc0, 32, 36];
    large.extend([0; 12]);
    large.extend([0xff; 12]);
    large.extend([0xff; 12]);
    // Extended communities of types that nobody has assigned.
    let extended = [
        0xc0, 16, 16, 0x3f, 0x77, 0, 0, 0, 0, 0, 1, 0x8f, 0xff, 0, 0, 0, 0, 0, 2,
    ];
    let update = decode(&[&large, &extended]).unwrap();
    assert_eq!(update.faults, []);
    let attrs = &update.reach[0].attrs;
    assert_eq!(attrs.large_communities.len(), 2);
    assert_eq!(attrs.extended_communities.len(), 2);
}
