//! The interfaces as the kernel has them now, for people: more of each than routing needs, asked for
//! once and not followed.

use std::net::IpAddr;

use futures_util::TryStreamExt as _;
use netlink_packet_route::{
    address::{AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressScope},
    link::{LinkAttribute, LinkFlags, LinkMessage},
};

use super::NetlinkError;

/// An interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The kernel's index.
    pub index: u32,
    /// The name.
    pub name: String,
    /// Administratively up.
    pub up: bool,
    /// The other end is there.
    pub carrier: bool,
    /// The loopback interface.
    pub loopback: bool,
    /// It has a broadcast address.
    pub broadcast: bool,
    /// It takes multicast.
    pub multicast: bool,
    /// There is one other end.
    pub point_to_point: bool,
    /// The largest packet, in octets.
    pub mtu: u32,
    /// Its addresses, in the kernel's order.
    pub addresses: Vec<InterfaceAddress>,
}

impl Interface {
    /// Whether packets can go out.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        self.up && self.carrier
    }
}

/// An address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterfaceAddress {
    /// The address.
    pub address: IpAddr,
    /// Length of its subnet's prefix, in bits.
    pub prefix_len: u8,
    /// How far it means something.
    pub scope: Scope,
    /// There is another one in the same subnet that is preferred.
    pub secondary: bool,
}

/// How far an address means something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everywhere.
    Global,
    /// Within a site.
    Site,
    /// On the link.
    Link,
    /// On this host.
    Host,
}

/// Every interface of the network namespace, by index.
///
/// # Errors
/// The kernel's, or that it cannot be asked.
pub async fn list() -> Result<Vec<Interface>, NetlinkError> {
    let (connection, handle, _) = rtnetlink::new_connection().map_err(NetlinkError::Socket)?;
    let task = tokio::spawn(connection);
    let failed = |error: rtnetlink::Error| NetlinkError::Socket(std::io::Error::other(error));
    let links = handle.link().get().execute().try_collect::<Vec<_>>().await;
    let addresses = handle
        .address()
        .get()
        .execute()
        .try_collect::<Vec<_>>()
        .await;
    task.abort();
    let mut list: Vec<Interface> = links.map_err(failed)?.iter().map(interface).collect();
    list.sort_by_key(|interface| interface.index);
    for message in addresses.map_err(failed)? {
        let found = list.iter_mut().find(|i| i.index == message.header.index);
        if let (Some(interface), Some(address)) = (found, address(&message)) {
            interface.addresses.push(address);
        }
    }
    Ok(list)
}

fn interface(message: &LinkMessage) -> Interface {
    let flags = message.header.flags;
    let (mut name, mut mtu) = (String::new(), 0);
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(found) => name.clone_from(found),
            LinkAttribute::Mtu(found) => mtu = *found,
            _ => {}
        }
    }
    Interface {
        index: message.header.index,
        name,
        up: flags.contains(LinkFlags::Up),
        carrier: flags.contains(LinkFlags::LowerUp),
        loopback: flags.contains(LinkFlags::Loopback),
        broadcast: flags.contains(LinkFlags::Broadcast),
        multicast: flags.contains(LinkFlags::Multicast),
        point_to_point: flags.contains(LinkFlags::Pointopoint),
        mtu,
        addresses: Vec::new(),
    }
}

fn address(message: &AddressMessage) -> Option<InterfaceAddress> {
    // IFA_LOCAL is our end where IFA_ADDRESS is the other one; IPv6 has no IFA_LOCAL as a rule.
    let local = message.attributes.iter().find_map(|a| match a {
        AddressAttribute::Local(addr) => Some(*addr),
        _ => None,
    });
    let address = local.or_else(|| {
        message.attributes.iter().find_map(|a| match a {
            AddressAttribute::Address(addr) => Some(*addr),
            _ => None,
        })
    })?;
    let secondary = message.attributes.iter().any(
        |a| matches!(a, AddressAttribute::Flags(flags) if flags.contains(AddressFlags::Secondary)),
    );
    let scope = match message.header.scope {
        AddressScope::Universe => Scope::Global,
        AddressScope::Site => Scope::Site,
        AddressScope::Link => Scope::Link,
        _ => Scope::Host,
    };
    Some(InterfaceAddress {
        address,
        prefix_len: message.header.prefix_len,
        scope,
        secondary: secondary || message.header.flags.contains(AddressHeaderFlags::Secondary),
    })
}
