//! What a TCP connection with a neighbour must look like.

use core::{fmt, time::Duration};
use std::{
    net::{IpAddr, SocketAddr},
    os::fd::{AsFd, BorrowedFd},
};

use socket2::SockRef;

use super::sockopt::{
    SocketOptionError, add_ao_key, named, remove_ao_key, set_md5_key, set_min_ttl,
    set_path_mtu_discovery,
};

/// DSCP CS6, network control (RFC 4594 section 3.2): routing must survive congestion.
pub(super) const CS6: u32 = 0xc0;

/// A TCP MD5 key (RFC 2385). `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for Secret {
    fn from(key: Vec<u8>) -> Self {
        Self(key)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// How segments are authenticated by the TCP Authentication Option (RFC 5926).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AoAlgorithm {
    /// HMAC-SHA-1-96.
    HmacSha1,
    /// AES-128-CMAC-96.
    AesCmac,
}

impl AoAlgorithm {
    pub(super) const fn kernel_name(self) -> &'static str {
        match self {
            Self::HmacSha1 => "hmac(sha1)",
            Self::AesCmac => "cmac(aes128)",
        }
    }
}

/// A master key of the TCP Authentication Option (RFC 5925 section 3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AoKey {
    /// SendID: the number that our segments carry.
    pub send_id: u8,
    /// RecvID: the number that the neighbour's segments carry.
    pub receive_id: u8,
    /// How.
    pub algorithm: AoAlgorithm,
    /// The key, at most 80 octets.
    pub secret: Secret,
}

impl AoKey {
    /// Whether this is another key under a number of `old`.
    fn takes_the_place_of(&self, old: &Self) -> bool {
        self != old && (self.send_id == old.send_id || self.receive_id == old.receive_id)
    }
}

/// How far away the neighbour may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ttl {
    /// What we send lives for so many hops; what arrives is not checked. One for a neighbour of
    /// another AS on the same link, more for multihop.
    Hops(u8),
    /// Generalised TTL Security (RFC 5082): we send 255, and drop what passed more than so many
    /// links. One: the neighbour is on the same link.
    Security(u8),
}

impl Ttl {
    const fn sent(self) -> u8 {
        match self {
            Self::Hops(hops) => hops,
            Self::Security(_) => 255,
        }
    }

    /// Zero links make no sense and count as one.
    pub(super) const fn least_accepted(self) -> Option<u8> {
        match self {
            Self::Hops(_) => None,
            Self::Security(links) => Some(255 - links.saturating_sub(1)),
        }
    }
}

/// The TCP side of a neighbour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transport {
    /// Where the neighbour listens. For a link-local address the scope is part of it.
    pub remote: SocketAddr,
    /// Our address, if it is not the kernel's choice.
    pub local: Option<IpAddr>,
    /// The link to use, by name, if it is not the kernel's choice.
    pub interface: Option<String>,
    /// How far away the neighbour may be.
    pub ttl: Ttl,
    /// The TCP MD5 key.
    pub password: Option<Secret>,
    /// The keys of the TCP Authentication Option, the one to send with first: the better alternative to
    /// `password` where both ends have it. A kernel that has not is an error: see
    /// [`super::probe_tcp_ao`].
    pub tcp_ao: Vec<AoKey>,
}

impl Transport {
    /// A connection to `remote` with the kernel's choice of everything.
    #[must_use]
    pub const fn new(remote: SocketAddr) -> Self {
        Self {
            remote,
            local: None,
            interface: None,
            ttl: Ttl::Hops(64),
            password: None,
            tcp_ao: Vec::new(),
        }
    }

    /// Whether `new` is the same but for other keys: the only change that a connection survives.
    ///
    /// To have a key or not is no such change: a connection without one may have been made by anybody.
    /// Nor is a key of the TCP Authentication Option that is another under the same number.
    #[must_use]
    pub fn differs_by_key(&self, new: &Self) -> bool {
        let rotated =
            matches!((&self.password, &new.password), (Some(old), Some(new)) if old != new);
        let keys = |of: &Self| !of.tcp_ao.is_empty();
        let replaced = |old: &AoKey| new.tcp_ao.iter().any(|key| key.takes_the_place_of(old));
        let keys_rotated = keys(self)
            && keys(new)
            && self.tcp_ao != new.tcp_ao
            && !self.tcp_ao.iter().any(replaced);
        let others_stay = *new
            == Self {
                password: new.password.clone(),
                tcp_ao: new.tcp_ao.clone(),
                ..self.clone()
            };
        others_stay
            && (rotated || self.password == new.password)
            && (keys_rotated || self.tcp_ao == new.tcp_ao)
            && (rotated || keys_rotated)
    }

    /// Sets the key of a socket of this neighbour, also while it is connected.
    ///
    /// Linux signs each segment when it leaves, also one that it sends again, with the key of that
    /// moment. So after a change at one end nothing is accepted at the other, which drops segments
    /// with another key, and all of it is sent again and accepted once the other end has changed too.
    /// The session survives if that happens within the hold time.
    ///
    /// With the TCP Authentication Option segments say which key they are made with, so nothing is lost
    /// if both ends get a new key before either prefers it, and lose the old one after that.
    pub(super) fn apply_key(
        &self,
        old: &Self,
        socket: &impl AsFd,
    ) -> Result<(), SocketOptionError> {
        let (socket, remote) = (socket.as_fd(), self.remote.ip());
        if self.password != old.password {
            set_md5_key(socket, remote, self.password.as_ref())?;
        }
        self.add_ao_keys(socket)?;
        let mut gone = old.tcp_ao.iter().filter(|key| !self.tcp_ao.contains(key));
        gone.try_for_each(|key| remove_ao_key(socket, remote, key))
    }

    fn add_ao_keys(&self, socket: BorrowedFd<'_>) -> Result<(), SocketOptionError> {
        let mut keys = self.tcp_ao.iter().enumerate();
        keys.try_for_each(|(i, key)| add_ao_key(socket, self.remote.ip(), key, i == 0))
    }

    /// Sets every option of a socket of this neighbour, ours before it connects or one that was
    /// accepted, and admitted ([`super::arrival`]). `user_timeout`: how long the kernel may try to deliver
    /// before it gives up.
    ///
    /// The key is set on accepted sockets too, although they inherit it: a connection that was made
    /// in the moment before the listener got the key must not go on without one.
    pub(super) fn apply(
        &self,
        socket: &impl AsFd,
        user_timeout: Duration,
    ) -> Result<(), SocketOptionError> {
        let remote = self.remote.ip();
        let sock = SockRef::from(socket);
        let ttl = u32::from(self.ttl.sent());
        if self.remote.is_ipv4() {
            named("IP_TTL", sock.set_ttl_v4(ttl))?;
            named("IP_TOS", sock.set_tos_v4(CS6))?;
        } else {
            named("IPV6_UNICAST_HOPS", sock.set_unicast_hops_v6(ttl))?;
            named("IPV6_TCLASS", sock.set_tclass_v6(CS6))?;
        }
        if let Some(least) = self.ttl.least_accepted() {
            set_min_ttl(socket.as_fd(), remote, least)?;
        }
        if let Some(interface) = &self.interface {
            // The kernel binds a connection from a link-local address itself, and to bind it again
            // takes a privilege.
            if named("SO_BINDTODEVICE", sock.device())?.is_none() {
                let bound = sock.bind_device(Some(interface.as_bytes()));
                named("SO_BINDTODEVICE", bound)?;
            }
        }
        if self.password.is_some() {
            set_md5_key(socket.as_fd(), remote, self.password.as_ref())?;
        }
        self.add_ao_keys(socket.as_fd())?;
        set_path_mtu_discovery(socket.as_fd(), remote)?;
        named("TCP_NODELAY", sock.set_tcp_nodelay(true))?;
        named(
            "TCP_USER_TIMEOUT",
            sock.set_tcp_user_timeout(Some(user_timeout)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ttl_security_counts_links() {
        assert!((0..=255).all(|links| Ttl::Security(links).sent() == 255));
        assert_eq!(Ttl::Security(1).least_accepted(), Some(255));
        assert_eq!(Ttl::Security(3).least_accepted(), Some(253));
        assert_eq!(Ttl::Security(0).least_accepted(), Some(255));
        assert_eq!(Ttl::Security(255).least_accepted(), Some(1));
        assert_eq!(
            (Ttl::Hops(1).sent(), Ttl::Hops(1).least_accepted()),
            (1, None)
        );
    }

    #[test]
    fn keys_are_rotated_by_adding_preferring_and_removing_them() {
        let with = |keys: &[(u8, &str)]| {
            let mut transport = Transport::new(([127, 0, 0, 1], 179).into());
            transport.tcp_ao = keys
                .iter()
                .map(|(id, secret)| AoKey {
                    send_id: *id,
                    receive_id: *id,
                    algorithm: AoAlgorithm::HmacSha1,
                    secret: secret.as_bytes().to_vec().into(),
                })
                .collect();
            transport
        };
        let steps = [
            with(&[(1, "old")]),
            with(&[(1, "old"), (2, "new")]),
            with(&[(2, "new"), (1, "old")]),
            with(&[(2, "new")]),
        ];
        for step in steps.windows(2) {
            assert!(step[0].differs_by_key(&step[1]));
            assert!(!step[0].differs_by_key(&step[0]));
        }
        // Another key under the same number is for another connection; so is none at all.
        assert!(!steps[0].differs_by_key(&with(&[(1, "new")])));
        assert!(!steps[0].differs_by_key(&with(&[])));
        assert!(!with(&[]).differs_by_key(&steps[0]));
        let mut password = steps[1].clone();
        password.password = Some(b"x".to_vec().into());
        assert!(!steps[0].differs_by_key(&password));
    }

    #[test]
    fn every_option_is_set() {
        let socket = |domain| socket2::Socket::new(domain, socket2::Type::STREAM, None).unwrap();
        let v4 = socket(socket2::Domain::IPV4);
        let mut transport = Transport::new(([127, 0, 0, 1], 179).into());
        transport.interface = Some("lo".to_owned());
        transport.ttl = Ttl::Hops(3);
        let user_timeout = Duration::from_secs(99);
        transport.apply(&v4, user_timeout).unwrap();
        assert_eq!(v4.ttl_v4().unwrap(), 3);
        assert_eq!(v4.tos_v4().unwrap(), 0xc0, "DSCP CS6");
        assert_eq!(v4.device().unwrap().as_deref(), Some(&b"lo"[..]));
        assert!(v4.tcp_nodelay().unwrap());
        assert_eq!(v4.tcp_user_timeout().unwrap(), Some(user_timeout));
        let mtu = |level, option| crate::net::sockopt::get(v4.as_fd(), level, option).unwrap();
        assert_eq!(
            mtu(libc::IPPROTO_IP, libc::IP_MTU_DISCOVER),
            libc::IP_PMTUDISC_WANT
        );

        let v6 = socket(socket2::Domain::IPV6);
        let mut transport = Transport::new("[::1]:179".parse().unwrap());
        transport.ttl = Ttl::Security(1);
        transport.apply(&v6, user_timeout).unwrap();
        assert_eq!(v6.unicast_hops_v6().unwrap(), 255);
        assert_eq!(v6.tclass_v6().unwrap(), 0xc0, "DSCP CS6");
        let get = |level, option| crate::net::sockopt::get(v6.as_fd(), level, option).unwrap();
        assert_eq!(get(libc::IPPROTO_IPV6, libc::IPV6_MINHOPCOUNT), 255);
        assert_eq!(
            get(libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER),
            libc::IPV6_PMTUDISC_WANT
        );
    }

    #[test]
    fn secrets_are_not_shown() {
        let mut transport = Transport::new(([127, 0, 0, 1], 179).into());
        transport.password = Some(b"swordfish".to_vec().into());
        let shown = format!("{transport:?}");
        assert!(!shown.contains("fish") && !shown.contains("115"), "{shown}");
    }
}
