#![expect(
    unsafe_code,
    reason = "setsockopt(2) for options that no crate wraps; each call is one line with its own reason"
)]
//! Socket options that socket2 does not have: TCP MD5 signatures (RFC 2385), the TCP Authentication
//! Option (RFC 5925), the minimum TTL of GTSM (RFC 5082) and path MTU discovery.
//!
//! The only `unsafe` of the crate. The kernel copies the option out of the memory that it is given,
//! so a pointer to a live value of the right size is all that is needed.
//!
//! Linux keeps MD5 keys by address: on a listener, the key for whoever connects from there; on a
//! connecting or connected socket, the key for the other end. A segment without the signature, or
//! with another one, is dropped without an answer, so a wrong password looks like a dead host.

use core::mem::{MaybeUninit, size_of, size_of_val, zeroed};
use std::{
    ffi::CString,
    io,
    net::{IpAddr, SocketAddr},
    os::fd::{AsFd as _, AsRawFd, BorrowedFd},
    sync::Arc,
};

use socket2::{Domain, SockAddr, Socket, Type};

use super::transport::{AoKey, Secret};
use crate::types::Prefix;

/// `TCP_MD5SIG_MAXKEYLEN` of linux/tcp.h.
const MAX_KEY: usize = 80;

/// `TCP_MD5SIG_EXT` of linux/tcp.h: `TCP_MD5SIG` that looks at `flags`.
const TCP_MD5SIG_EXT: libc::c_int = 32;

/// `TCP_MD5SIG_FLAG_PREFIX` of linux/tcp.h: the key is for all addresses of a prefix.
const FLAG_PREFIX: u8 = 1;

/// `struct tcp_md5sig` of linux/tcp.h.
#[repr(C)]
struct TcpMd5Sig {
    addr: libc::sockaddr_storage,
    flags: u8,
    prefix_len: u8,
    key_len: u16,
    ifindex: libc::c_int,
    key: [u8; MAX_KEY],
}

const _: () = assert!(
    size_of::<TcpMd5Sig>() == 216,
    "the size of the kernel's struct"
);

/// The kernel did not take a socket option.
#[derive(Clone, Debug, thiserror::Error)]
#[error("socket option {option} refused: {source}")]
pub struct SocketOptionError {
    /// Its name in the C headers.
    pub option: &'static str,
    /// What the kernel said.
    pub source: Arc<io::Error>,
}

impl SocketOptionError {
    pub(super) fn new(option: &'static str, source: io::Error) -> Self {
        let source = Arc::new(source);
        Self { option, source }
    }

    /// The number of what the kernel said; zero if it was not the kernel.
    pub(super) fn errno(&self) -> i32 {
        self.source.raw_os_error().unwrap_or_default()
    }

    /// Whether this kernel does not have the option at all.
    #[must_use]
    pub fn is_unsupported(&self) -> bool {
        self.source.raw_os_error() == Some(libc::ENOPROTOOPT)
    }

    /// The stable identifier.
    #[must_use]
    pub fn id(&self) -> &'static str {
        if self.is_unsupported() {
            "unsupported-by-kernel"
        } else {
            "socket-option-refused"
        }
    }
}

/// `TCP_AO_ADD_KEY` of linux/tcp.h, since Linux 6.7 where the kernel was built with it.
const TCP_AO_ADD_KEY: libc::c_int = 38;

/// `TCP_AO_DEL_KEY` of linux/tcp.h.
const TCP_AO_DEL_KEY: libc::c_int = 39;

/// `set_current` of the bit field in `struct tcp_ao_add`: send with this key (Current_key of RFC 5925
/// section 3.3).
const SET_CURRENT: u32 = if cfg!(target_endian = "little") {
    1
} else {
    1 << 31
};

/// `set_rnext`: ask the neighbour for the key with this RecvID (RNextKeyID).
const SET_RNEXT: u32 = if cfg!(target_endian = "little") {
    2
} else {
    1 << 30
};

/// `struct tcp_ao_add` of linux/tcp.h.
#[repr(C, align(8))]
struct TcpAoAdd {
    addr: libc::sockaddr_storage,
    algorithm: [u8; 64],
    ifindex: i32,
    /// [`SET_CURRENT`], [`SET_RNEXT`]; without them the kernel chooses.
    flags: u32,
    reserved: u16,
    prefix_len: u8,
    send_id: u8,
    receive_id: u8,
    mac_len: u8,
    key_flags: u8,
    key_len: u8,
    key: [u8; MAX_KEY],
}

const _: () = assert!(
    size_of::<TcpAoAdd>() == 288,
    "the size of the kernel's struct"
);

/// `struct tcp_ao_del` of linux/tcp.h.
#[repr(C, align(8))]
struct TcpAoDel {
    addr: libc::sockaddr_storage,
    ifindex: i32,
    flags: u32,
    reserved: u16,
    prefix_len: u8,
    send_id: u8,
    receive_id: u8,
    current_key: u8,
    next_key: u8,
    key_flags: u8,
}

const _: () = assert!(
    size_of::<TcpAoDel>() == 144,
    "the size of the kernel's struct"
);

/// `TCP_AO_INFO` of linux/tcp.h.
const TCP_AO_INFO: libc::c_int = 40;

/// `struct tcp_ao_info_opt` of linux/tcp.h.
#[repr(C, align(8))]
struct TcpAoInfo {
    /// The same two bits as in [`TcpAoAdd`]; the others stay clear.
    flags: u32,
    reserved: u16,
    current_key: u8,
    next_key: u8,
    counters: [u64; 5],
}

const _: () = assert!(
    size_of::<TcpAoInfo>() == 48,
    "the size of the kernel's struct"
);

/// Names the option in an error.
pub(super) fn named<T>(
    option: &'static str,
    result: io::Result<T>,
) -> Result<T, SocketOptionError> {
    result.map_err(|source| SocketOptionError::new(option, source))
}

/// Requires segments to and from `remote` to be signed with `key`; `None` takes the key away.
pub(super) fn set_md5_key(
    socket: BorrowedFd<'_>,
    remote: IpAddr,
    key: Option<&Secret>,
) -> Result<(), SocketOptionError> {
    let option = named("TCP_MD5SIG", md5sig(remote, key))?;
    named(
        "TCP_MD5SIG",
        set(socket, libc::IPPROTO_TCP, libc::TCP_MD5SIG, &option),
    )
}

/// Requires segments from all addresses of `prefix` to be signed with `key`; `None` takes the key
/// away. For listeners: a connection keeps the key of the address that it came from. The longest
/// prefix counts, and an address alone is the longest.
pub(super) fn set_md5_prefix_key(
    socket: BorrowedFd<'_>,
    prefix: Prefix,
    key: Option<&Secret>,
) -> Result<(), SocketOptionError> {
    let mut option = named("TCP_MD5SIG_EXT", md5sig(prefix.addr(), key))?;
    option.flags = FLAG_PREFIX;
    option.prefix_len = prefix.len();
    named(
        "TCP_MD5SIG_EXT",
        set(socket, libc::IPPROTO_TCP, TCP_MD5SIG_EXT, &option),
    )
}

fn md5sig(remote: IpAddr, key: Option<&Secret>) -> io::Result<TcpMd5Sig> {
    let key = key.map_or(&[][..], Secret::as_bytes);
    // SAFETY: all members are integers or arrays of them, for which zero bits are a value.
    let mut option: TcpMd5Sig = unsafe { zeroed() };
    let (Some(slot), Ok(key_len)) = (option.key.get_mut(..key.len()), u16::try_from(key.len()))
    else {
        // A truncated key would be another password than the one that was configured.
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "key longer than 80 octets",
        ));
    };
    slot.copy_from_slice(key);
    option.key_len = key_len;
    (option.addr, _) = host(remote);
    Ok(option)
}

/// Requires segments to and from `remote` to be authenticated with this key, or another one that was
/// added. A key that is there already is no error: accepted connections have those of the listener.
/// `preferred`: the key to send with and to ask the neighbour for, which a listener cannot have.
pub(super) fn add_ao_key(
    socket: BorrowedFd<'_>,
    remote: IpAddr,
    key: &AoKey,
    preferred: bool,
) -> Result<(), SocketOptionError> {
    let option = named("TCP_AO_ADD_KEY", ao_add(remote, key, preferred))?;
    let result = set(socket, libc::IPPROTO_TCP, TCP_AO_ADD_KEY, &option);
    named(
        "TCP_AO_ADD_KEY",
        result.or_else(|error| match error.raw_os_error() {
            Some(libc::EEXIST) if preferred => prefer_ao_key(socket, key),
            Some(libc::EEXIST) => Ok(()),
            _ => Err(error),
        }),
    )
}

/// Sends with a key that the socket has, and asks the neighbour for it (RFC 5925 section 7.5.2).
fn prefer_ao_key(socket: BorrowedFd<'_>, key: &AoKey) -> io::Result<()> {
    let option = TcpAoInfo {
        flags: SET_CURRENT | SET_RNEXT,
        reserved: 0,
        current_key: key.send_id,
        next_key: key.receive_id,
        counters: [0; 5],
    };
    set(socket, libc::IPPROTO_TCP, TCP_AO_INFO, &option)
}

fn ao_add(remote: IpAddr, key: &AoKey, preferred: bool) -> io::Result<TcpAoAdd> {
    // SAFETY: all members are integers or arrays of them, for which zero bits are a value.
    let mut option: TcpAoAdd = unsafe { zeroed() };
    let (secret, name) = (key.secret.as_bytes(), key.algorithm.kernel_name());
    let (Some(slot), Ok(key_len)) = (
        option.key.get_mut(..secret.len()),
        u8::try_from(secret.len()),
    ) else {
        let too_long = io::Error::new(io::ErrorKind::InvalidInput, "key longer than 80 octets");
        return Err(too_long);
    };
    slot.copy_from_slice(secret);
    option.key_len = key_len;
    for (to, from) in option.algorithm.iter_mut().zip(name.bytes()) {
        *to = from;
    }
    (option.send_id, option.receive_id) = (key.send_id, key.receive_id);
    (option.addr, option.prefix_len) = host(remote);
    if preferred {
        option.flags = SET_CURRENT | SET_RNEXT;
    }
    Ok(option)
}

/// Takes a key away.
pub(super) fn remove_ao_key(
    socket: BorrowedFd<'_>,
    remote: IpAddr,
    key: &AoKey,
) -> Result<(), SocketOptionError> {
    // SAFETY: all members are integers or arrays of them, for which zero bits are a value.
    let mut option: TcpAoDel = unsafe { zeroed() };
    (option.send_id, option.receive_id) = (key.send_id, key.receive_id);
    (option.addr, option.prefix_len) = host(remote);
    named(
        "TCP_AO_DEL_KEY",
        set(socket, libc::IPPROTO_TCP, TCP_AO_DEL_KEY, &option),
    )
}

/// Whether the kernel has the TCP Authentication Option (RFC 5925): asked with a key that no kernel
/// would take.
///
/// # Errors
/// It has not: see [`SocketOptionError::is_unsupported`]. Or there is no socket to be had.
pub fn probe_tcp_ao() -> Result<(), SocketOptionError> {
    const OPTION: &str = "TCP_AO_ADD_KEY";
    let socket = named(OPTION, Socket::new(Domain::IPV4, Type::STREAM, None))?;
    // SAFETY: all members are integers or arrays of them, for which zero bits are a value.
    let nothing: TcpAoAdd = unsafe { zeroed() };
    let answer = named(
        OPTION,
        set(socket.as_fd(), libc::IPPROTO_TCP, TCP_AO_ADD_KEY, &nothing),
    );
    match answer {
        Err(error) if error.is_unsupported() => Err(error),
        _ => Ok(()),
    }
}

/// An address alone, as the kernel takes it.
fn host(remote: IpAddr) -> (libc::sockaddr_storage, u8) {
    let addr = SockAddr::from(SocketAddr::new(remote, 0));
    // SAFETY: `as_ptr` of a SockAddr points to a whole C `sockaddr_storage`, initialised.
    let storage = unsafe { core::ptr::read(addr.as_ptr().cast()) };
    (storage, if remote.is_ipv4() { 32 } else { 128 })
}

/// `ICMP6_FILTER` of linux/icmpv6.h.
const ICMP6_FILTER: libc::c_int = 1;

/// Lets a raw ICMPv6 socket have messages of these types and no others.
pub(super) fn set_icmp6_filter(
    socket: BorrowedFd<'_>,
    types: &[u8],
) -> Result<(), SocketOptionError> {
    // `struct icmp6_filter`: a bit for each type, set for those to be kept out.
    let mut blocked = [u32::MAX; 8];
    for kind in types {
        if let Some(word) = blocked.get_mut(usize::from(kind >> 5)) {
            *word &= !(1 << (kind & 31));
        }
    }
    named(
        "ICMP6_FILTER",
        set(socket, libc::IPPROTO_ICMPV6, ICMP6_FILTER, &blocked),
    )
}

/// Memory for the kernel to write octets to. It is never without a value: it starts as zeros.
pub(super) struct Buffer<const N: usize>([MaybeUninit<u8>; N]);

impl<const N: usize> Buffer<N> {
    pub(super) const fn new() -> Self {
        Self([MaybeUninit::new(0); N])
    }

    /// For a system call to write to, and for nobody else.
    pub(super) const fn for_kernel(&mut self) -> &mut [MaybeUninit<u8>] {
        &mut self.0
    }

    /// The first `len` octets, or all if there are not so many.
    pub(super) fn octets(&self, len: usize) -> &[u8] {
        let octets = self.0.get(..len).unwrap_or(&self.0);
        // SAFETY: all octets were zero at first, and the kernel writes octets.
        unsafe { octets.assume_init_ref() }
    }
}

/// Drops what arrives with a smaller TTL or hop limit.
pub(super) fn set_min_ttl(
    socket: BorrowedFd<'_>,
    remote: IpAddr,
    ttl: u8,
) -> Result<(), SocketOptionError> {
    let value = libc::c_int::from(ttl);
    match remote {
        IpAddr::V4(_) => named(
            "IP_MINTTL",
            set(socket, libc::IPPROTO_IP, libc::IP_MINTTL, &value),
        ),
        IpAddr::V6(_) => named(
            "IPV6_MINHOPCOUNT",
            set(socket, libc::IPPROTO_IPV6, libc::IPV6_MINHOPCOUNT, &value),
        ),
    }
}

/// Sends segments with the don't-fragment bit, and heeds what routers say about the size of packets
/// that pass (RFC 1191, RFC 8201). Whatever the host's default is.
pub(super) fn set_path_mtu_discovery(
    socket: BorrowedFd<'_>,
    remote: IpAddr,
) -> Result<(), SocketOptionError> {
    match remote {
        IpAddr::V4(_) => {
            let value = libc::IP_PMTUDISC_WANT;
            named(
                "IP_MTU_DISCOVER",
                set(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, &value),
            )
        }
        IpAddr::V6(_) => {
            let value = libc::IPV6_PMTUDISC_WANT;
            named(
                "IPV6_MTU_DISCOVER",
                set(socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, &value),
            )
        }
    }
}

/// Has the kernel tell the TTL or hop limit of each datagram, or of the segment that completed the
/// handshake of a connection.
pub(super) fn set_receive_ttl(
    socket: BorrowedFd<'_>,
    is_ipv6: bool,
    on: bool,
) -> Result<(), SocketOptionError> {
    let on = libc::c_int::from(on);
    if is_ipv6 {
        let option = libc::IPV6_RECVHOPLIMIT;
        named(
            "IPV6_RECVHOPLIMIT",
            set(socket, libc::IPPROTO_IPV6, option, &on),
        )
    } else {
        named(
            "IP_RECVTTL",
            set(socket, libc::IPPROTO_IP, libc::IP_RECVTTL, &on),
        )
    }
}

/// Has the kernel tell the interface that each datagram came in by, or that segment.
pub(super) fn set_receive_packet_info(
    socket: BorrowedFd<'_>,
    is_ipv6: bool,
    on: bool,
) -> Result<(), SocketOptionError> {
    let on = libc::c_int::from(on);
    if is_ipv6 {
        let option = libc::IPV6_RECVPKTINFO;
        named(
            "IPV6_RECVPKTINFO",
            set(socket, libc::IPPROTO_IPV6, option, &on),
        )
    } else {
        named(
            "IP_PKTINFO",
            set(socket, libc::IPPROTO_IP, libc::IP_PKTINFO, &on),
        )
    }
}

fn set<T>(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    option: libc::c_int,
    value: &T,
) -> io::Result<()> {
    let len = libc::socklen_t::try_from(size_of_val(value)).map_err(io::Error::other)?;
    let pointer = core::ptr::from_ref(value).cast();
    // SAFETY: the descriptor is borrowed, so it is open; the kernel reads `len` octets from
    // `pointer`, which is a live value of that size.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, pointer, len) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// What the kernel has for an option: as many octets as there are, or as fit.
pub(super) fn get_octets<'a, const N: usize>(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    option: libc::c_int,
    buffer: &'a mut Buffer<N>,
) -> io::Result<&'a [u8]> {
    let mut len = libc::socklen_t::try_from(N).map_err(io::Error::other)?;
    let pointer = buffer.for_kernel().as_mut_ptr().cast();
    // SAFETY: the kernel writes at most `len` octets to `pointer`, which is live memory of that size.
    let result =
        unsafe { libc::getsockopt(socket.as_raw_fd(), level, option, pointer, &raw mut len) };
    if result == 0 {
        let len = usize::try_from(len).map_err(io::Error::other)?;
        Ok(buffer.octets(len))
    } else {
        Err(io::Error::last_os_error())
    }
}

/// The index of an interface; `None` if there is none of this name.
pub(super) fn interface_index(name: &str) -> Option<u32> {
    let name = CString::new(name).ok()?;
    // SAFETY: `name` ends with a zero and lives as long as the call.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    (index != 0).then_some(index)
}

/// What the kernel has for an option of type int.
#[cfg(test)]
pub(super) fn get(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    option: libc::c_int,
) -> io::Result<libc::c_int> {
    let mut buffer = Buffer::<4>::new();
    let octets = get_octets(socket, level, option, &mut buffer)?;
    let octets = octets.first_chunk().copied();
    Ok(libc::c_int::from_ne_bytes(
        octets.ok_or(io::ErrorKind::UnexpectedEof)?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn got(socket: &Socket, level: libc::c_int, option: libc::c_int) -> libc::c_int {
        get(socket.as_fd(), level, option).unwrap()
    }

    #[test]
    fn options_reach_the_kernel() {
        let v4 = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let remote = IpAddr::from([127, 0, 0, 1]);
        set_path_mtu_discovery(v4.as_fd(), remote).unwrap();
        set_min_ttl(v4.as_fd(), remote, 254).unwrap();
        let discover = got(&v4, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER);
        assert_eq!(discover, libc::IP_PMTUDISC_WANT);
        assert_eq!(got(&v4, libc::IPPROTO_IP, libc::IP_MINTTL), 254);

        let v6 = Socket::new(Domain::IPV6, Type::STREAM, None).unwrap();
        let remote = IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1_u16]);
        set_path_mtu_discovery(v6.as_fd(), remote).unwrap();
        set_min_ttl(v6.as_fd(), remote, 253).unwrap();
        let discover = got(&v6, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER);
        assert_eq!(discover, libc::IPV6_PMTUDISC_WANT);
        assert_eq!(got(&v6, libc::IPPROTO_IPV6, libc::IPV6_MINHOPCOUNT), 253);
    }

    /// The members where linux/tcp.h has them, whether or not this kernel knows the option.
    #[test]
    fn a_key_of_the_authentication_option_is_laid_out_as_the_kernel_reads_it() {
        use core::mem::offset_of;
        assert_eq!(offset_of!(TcpAoAdd, algorithm), 128);
        assert_eq!(offset_of!(TcpAoAdd, flags), 196);
        assert_eq!(offset_of!(TcpAoAdd, prefix_len), 202);
        assert_eq!(offset_of!(TcpAoAdd, key), 208);
        assert_eq!(offset_of!(TcpAoInfo, current_key), 6);
        assert_eq!(offset_of!(TcpAoDel, current_key), 141);
        let key = AoKey {
            send_id: 1,
            receive_id: 2,
            algorithm: crate::net::AoAlgorithm::AesCmac,
            secret: Secret::from(b"swordfish".to_vec()),
        };
        let option = ao_add(IpAddr::from([192, 0, 2, 1]), &key, true).unwrap();
        assert!(option.algorithm.starts_with(b"cmac(aes128)\0"));
        assert_eq!(
            (option.send_id, option.receive_id, option.prefix_len),
            (1, 2, 32)
        );
        assert_eq!(
            (option.key_len, &option.key[..10]),
            (9, &b"swordfish\0"[..])
        );
        assert_eq!(option.flags, SET_CURRENT | SET_RNEXT);
        let other = ao_add(IpAddr::from([192, 0, 2, 1]), &key, false).unwrap();
        assert_eq!(other.flags, 0);
    }

    #[test]
    fn a_key_is_never_cut() {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let long = Secret::from(vec![b'x'; 81]);
        let remote = IpAddr::from([127, 0, 0, 1]);
        let error = set_md5_key(socket.as_fd(), remote, Some(&long)).unwrap_err();
        assert_eq!(
            (error.option, error.id()),
            ("TCP_MD5SIG", "socket-option-refused")
        );
        let fits = Secret::from(vec![b'x'; 80]);
        set_md5_key(socket.as_fd(), remote, Some(&fits)).unwrap();
    }
}
