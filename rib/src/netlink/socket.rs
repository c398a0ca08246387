//! Options of netlink sockets.

use core::time::Duration;
use std::{io, os::fd::AsRawFd};

use netlink_sys::Socket;

/// Makes room for `octets` of unread messages: beyond `net.core.rmem_max` if we may, else as much as
/// that allows. Best effort: what overflows is noticed, and costs a dump.
pub(super) fn enlarge_receive_buffer(socket: &Socket, octets: u32) {
    let value = libc::c_int::try_from(octets).unwrap_or(libc::c_int::MAX);
    // Needs `CAP_NET_ADMIN`.
    if set(socket, libc::SO_RCVBUFFORCE, &value).is_err() {
        // The fallback has no fallback: the default of 208 KiB works too.
        let _ = socket.set_rx_buf_sz(octets);
    }
}

/// Reading fails when nothing has come for so long.
pub(super) fn set_receive_timeout(socket: &Socket, timeout: Duration) -> io::Result<()> {
    let value = libc::timeval {
        tv_sec: libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_usec: timeout.subsec_micros().into(),
    };
    set(socket, libc::SO_RCVTIMEO, &value)
}

/// Has the kernel drop, before they cost anything here, the events that were caused by `port`: the
/// echoes of our own operations, a million of them for a million routes. Best effort: what is not
/// dropped there is not passed on either.
pub(super) fn hide_port(socket: &Socket, port: u32) {
    // Port 0 is the kernel itself.
    if port == 0 {
        return;
    }
    // Load the word at `nlmsghdr.nlmsg_pid`, as network order would have it; compare; drop, or take
    // the whole message.
    let port = u32::from_be_bytes(port.to_ne_bytes());
    let statement = |code, k| libc::sock_filter {
        code,
        jt: 0,
        jf: 0,
        k,
    };
    let mut program = [
        statement(LOAD_WORD, 12),
        libc::sock_filter {
            code: JUMP_IF_EQUAL,
            jt: 0,
            jf: 1,
            k: port,
        },
        statement(RETURN, 0),
        statement(RETURN, u32::MAX),
    ];
    let filter = libc::sock_fprog {
        len: 4,
        filter: program.as_mut_ptr(),
    };
    let _ = set(socket, libc::SO_ATTACH_FILTER, &filter);
}

/// `BPF_LD | BPF_W | BPF_ABS`.
const LOAD_WORD: u16 = 0x20;
/// `BPF_JMP | BPF_JEQ | BPF_K`.
const JUMP_IF_EQUAL: u16 = 0x15;
/// `BPF_RET | BPF_K`.
const RETURN: u16 = 0x06;

/// No crate offers these options.
#[expect(unsafe_code, reason = "setsockopt has no safe wrapper for them")]
fn set<T>(socket: &Socket, option: libc::c_int, value: &T) -> io::Result<()> {
    let len = libc::socklen_t::try_from(size_of::<T>()).unwrap_or(0);
    // SAFETY: the descriptor is open for as long as `socket` is borrowed, and the pointer and the
    // length are those of a live value, which the kernel only reads, as it does what a filter
    // points to: a program that lives as long.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            core::ptr::from_ref(value).cast(),
            len,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
