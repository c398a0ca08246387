//! Options of netlink sockets.

use std::{io, os::fd::AsRawFd};

use netlink_sys::Socket;

/// Makes room for `octets` of unread messages: beyond `net.core.rmem_max` if we may, else as much as
/// that allows. Best effort: what overflows is noticed, and costs a dump.
pub(super) fn enlarge_receive_buffer(socket: &Socket, octets: u32) {
    if force_receive_buffer(socket, octets).is_err() {
        // The fallback has no fallback: the default of 208 KiB works too.
        let _ = socket.set_rx_buf_sz(octets);
    }
}

/// `SO_RCVBUFFORCE` needs `CAP_NET_ADMIN`, and no crate offers it.
#[expect(unsafe_code, reason = "setsockopt(SO_RCVBUFFORCE) has no safe wrapper")]
fn force_receive_buffer(socket: &Socket, octets: u32) -> io::Result<()> {
    let value = libc::c_int::try_from(octets).unwrap_or(libc::c_int::MAX);
    let len = libc::socklen_t::try_from(size_of::<libc::c_int>()).unwrap_or(4);
    // SAFETY: the descriptor is open for as long as `socket` is borrowed, and the pointer and the
    // length are those of a live `c_int`, which the kernel only reads.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVBUFFORCE,
            (&raw const value).cast(),
            len,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
