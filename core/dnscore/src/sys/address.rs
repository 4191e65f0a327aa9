//! Socket addresses as the kernel writes them, so that an answer goes back without one being built.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// A `sockaddr_in` or `sockaddr_in6`, byte for byte.
#[repr(C, align(8))]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Endpoint {
    pub(super) raw: [u8; 28],
    pub(super) length: u32,
}

const FAMILY_V4: [u8; 2] = (libc::AF_INET as u16).to_ne_bytes();
const FAMILY_V6: [u8; 2] = (libc::AF_INET6 as u16).to_ne_bytes();

impl Endpoint {
    /// Room for the kernel to write into; no address yet.
    pub const EMPTY: Endpoint = Endpoint { raw: [0; 28], length: 0 };

    /// Source port, host order; 0 for an empty one.
    #[inline]
    pub fn port(&self) -> u16 {
        u16::from_be_bytes([self.raw[2], self.raw[3]])
    }

    /// The IPv4 address, host order, if it is one (or one mapped into IPv6).
    #[inline]
    pub fn v4(&self) -> Option<u32> {
        if self.raw[..2] == FAMILY_V4 {
            return Some(u32::from_be_bytes([self.raw[4], self.raw[5], self.raw[6], self.raw[7]]));
        }
        None
    }

    /// The address, an IPv4 one as itself.
    #[inline]
    pub fn ip(&self) -> IpAddr {
        match self.v4() {
            Some(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4)),
            None => IpAddr::V6(Ipv6Addr::from_bits(self.v6())).to_canonical(),
        }
    }

    /// A number that equal ones share and others mostly do not.
    #[inline]
    pub(super) fn mark(&self) -> u32 {
        const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;
        let words = self.raw.as_chunks::<8>().0;
        let mixed = words.iter().fold(0, |mixed: u64, &word| (mixed ^ u64::from_ne_bytes(word)).wrapping_mul(SPREAD));
        (mixed >> 32) as u32
    }

    #[inline]
    fn v6(&self) -> u128 {
        let mut bytes = [0u8; 16];
        bytes.copy_from_slice(&self.raw[8..24]);
        u128::from_be_bytes(bytes)
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Endpoint {
        let mut raw = [0u8; 28];
        raw[2..4].copy_from_slice(&address.port().to_be_bytes());
        match address {
            SocketAddr::V4(v4) => {
                raw[..2].copy_from_slice(&FAMILY_V4);
                raw[4..8].copy_from_slice(&v4.ip().octets());
                Endpoint { raw, length: 16 }
            }
            SocketAddr::V6(v6) => {
                raw[..2].copy_from_slice(&FAMILY_V6);
                raw[4..8].copy_from_slice(&v6.flowinfo().to_ne_bytes());
                raw[8..24].copy_from_slice(&v6.ip().octets());
                raw[24..28].copy_from_slice(&v6.scope_id().to_ne_bytes());
                Endpoint { raw, length: 28 }
            }
        }
    }
}

impl From<&Endpoint> for SocketAddr {
    fn from(endpoint: &Endpoint) -> SocketAddr {
        match endpoint.v4() {
            Some(v4) => SocketAddr::new(IpAddr::V4(Ipv4Addr::from_bits(v4)), endpoint.port()),
            None => {
                let r = &endpoint.raw;
                let scope = u32::from_ne_bytes([r[24], r[25], r[26], r[27]]);
                SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::from_bits(endpoint.v6()), endpoint.port(), 0, scope))
            }
        }
    }
}

/// The address of ours that a datagram was sent to, where the socket listens on a wildcard: the answer must come from it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Local {
    /// The socket is bound to one address; nothing to say.
    #[default]
    Bound,
    /// `in_pktinfo.ipi_spec_dst`, network order.
    V4([u8; 4]),
    /// `in6_pktinfo`: address, and the interface where the address is link-local, else 0.
    V6([u8; 16], u32),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_survives_the_way_through_its_raw_form() {
        for text in ["192.0.2.7:53", "[2001:db8::7]:5353", "[fe80::1%3]:53", "127.0.0.1:65535", "[::1]:1"] {
            let address: SocketAddr = text.parse().expect("a test's literal");
            let endpoint = Endpoint::from(address);
            assert_eq!(SocketAddr::from(&endpoint), address);
            assert_eq!(endpoint.ip(), address.ip());
            assert_eq!(endpoint.port(), address.port());
        }
    }
}
