//! What the kernel tells beside a datagram: control messages, as recvmsg(2) leaves them in memory.
//!
//! `struct cmsghdr` is a length, a level and a type; the value follows, and the next one is aligned to
//! a word.

const WORD: usize = size_of::<usize>();

/// The value of the first control message of this level and type.
pub(super) fn value(mut control: &[u8], level: i32, kind: i32) -> Option<&[u8]> {
    loop {
        let (len, rest) = control.split_first_chunk::<WORD>()?;
        let (its_level, rest) = rest.split_first_chunk::<4>()?;
        let (its_kind, rest) = rest.split_first_chunk::<4>()?;
        // A length of nothing would never end.
        let len = usize::from_ne_bytes(*len).max(WORD + 8);
        let this = (
            i32::from_ne_bytes(*its_level),
            i32::from_ne_bytes(*its_kind),
        );
        if this == (level, kind) {
            return rest.get(..len - WORD - 8);
        }
        control = control.get(len.next_multiple_of(WORD)..)?;
    }
}

/// The int that a value has at an offset.
pub(super) fn int(value: &[u8], offset: usize) -> Option<i32> {
    let octets = value.get(offset..)?.first_chunk::<4>()?;
    Some(i32::from_ne_bytes(*octets))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control(level: i32, kind: i32, value: &[u8]) -> Vec<u8> {
        let len = WORD + 8 + value.len();
        let mut octets = len.to_ne_bytes().to_vec();
        octets.extend(level.to_ne_bytes());
        octets.extend(kind.to_ne_bytes());
        octets.extend(value);
        octets.resize(octets.len().next_multiple_of(WORD), 0);
        octets
    }

    fn hop_limit(control: &[u8]) -> Option<i32> {
        let value = value(control, libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT)?;
        int(value, 0)
    }

    #[test]
    fn a_value_is_found_among_other_control_messages() {
        let other = control(libc::SOL_SOCKET, libc::SO_TIMESTAMP, &[7; 16]);
        let hops = control(
            libc::IPPROTO_IPV6,
            libc::IPV6_HOPLIMIT,
            &255_i32.to_ne_bytes(),
        );
        assert_eq!(
            hop_limit(&[other.clone(), hops.clone()].concat()),
            Some(255)
        );
        assert_eq!(hop_limit(&hops), Some(255));
        assert_eq!(hop_limit(&other), None);
        assert_eq!(hop_limit(&[]), None);
        // Cut short, and of no length.
        assert_eq!(hop_limit(&hops[..WORD + 10]), None);
        assert_eq!(hop_limit(&[0; 64]), None);
    }
}
