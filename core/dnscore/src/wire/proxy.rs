//! The PROXY protocol, version 2: who really asks, said by a balancer in front of us, or by us to a resolver behind.
//!
//! Enters: the octets before a message (HAProxy, "The PROXY protocol", section 2.2). Leaves: the two [`Ends`] of the
//! client's connection, or the octets that say them. Rules: version 1 (text) is not spoken, since UDP has none; what is
//! reserved is refused, as the specification demands; type-length-values are skipped.

use std::net::{IpAddr, SocketAddr};

use crate::narrow::to_u8;

/// What every header begins with: no DNS message does (its second word would be opcode 1).
pub const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family and transport, length.
const HEAD: usize = 16;
/// The longest header that [`write`] writes: two IPv6 addresses and ports.
pub const LONGEST: usize = HEAD + 36;

const VERSION: u8 = 0x20;
const LOCAL: u8 = 0;
const PROXY: u8 = 1;
const INET: u8 = 1;
const INET6: u8 = 2;

/// Where the client is, and the address that it asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The client.
    pub source: SocketAddr,
    /// Whom it asked.
    pub destination: SocketAddr,
}

/// A header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its octets; the message follows.
    pub length: usize,
    /// `None`: its sender speaks for itself (a health check), so the connection's own ends count.
    pub ends: Option<Ends>,
}

/// What was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// A header.
    Header(Header),
    /// The beginning of one: more is to come. In a datagram it is none.
    Begun,
    /// None, or one that must not be believed.
    Refused,
}

/// Reads the header at the beginning of `bytes`.
pub fn read(bytes: &[u8]) -> Read {
    let known = bytes.len().min(SIGNATURE.len());
    if bytes[..known] != SIGNATURE[..known] {
        return Read::Refused;
    }
    let Some((head, rest)) = bytes.split_at_checked(HEAD) else { return Read::Begun };
    if head[12] & 0xf0 != VERSION || head[12] & 0x0f > PROXY {
        return Read::Refused;
    }
    let length = usize::from(u16::from_be_bytes([head[14], head[15]]));
    let Some(block) = rest.get(..length) else { return Read::Begun };
    let length = HEAD + length;
    // "must use the real connection endpoints and must discard the protocol block" (2.2, LOCAL); the same where the
    // family is unspecified.
    if head[12] & 0x0f == LOCAL || head[13] >> 4 == 0 {
        return Read::Header(Header { length, ends: None });
    }
    let ends = match (head[13] >> 4, head[13] & 0x0f) {
        (INET, 0..=2) => ends(block, 4, |octets| octets.first_chunk::<4>().map(|a| IpAddr::from(*a))),
        (INET6, 0..=2) => ends(block, 16, |octets| octets.first_chunk::<16>().map(|a| IpAddr::from(*a))),
        _ => None,
    };
    ends.map_or(Read::Refused, |ends| Read::Header(Header { length, ends: Some(ends) }))
}

fn ends(block: &[u8], size: usize, address: impl Fn(&[u8]) -> Option<IpAddr>) -> Option<Ends> {
    let (addresses, ports) = block.get(..2 * size + 4)?.split_at(2 * size);
    let port = |at: usize| u16::from_be_bytes([ports[at], ports[at + 1]]);
    Some(Ends {
        source: SocketAddr::new(address(&addresses[..size])?.to_canonical(), port(0)),
        destination: SocketAddr::new(address(&addresses[size..])?.to_canonical(), port(2)),
    })
}

/// Writes a header for a datagram or a stream; returns its length, at most [`LONGEST`]. Without ends, or with ends of
/// two families, it says that we speak for ourselves.
pub fn write(ends: Option<&Ends>, datagram: bool, out: &mut [u8]) -> usize {
    out[..12].copy_from_slice(&SIGNATURE);
    let transport = if datagram { 2 } else { 1 };
    let (command, family, length) = match ends {
        Some(Ends { source: SocketAddr::V4(source), destination: SocketAddr::V4(destination) }) => {
            out[HEAD..HEAD + 4].copy_from_slice(&source.ip().octets());
            out[HEAD + 4..HEAD + 8].copy_from_slice(&destination.ip().octets());
            (PROXY, INET << 4 | transport, 12)
        }
        Some(Ends { source: SocketAddr::V6(source), destination: SocketAddr::V6(destination) }) => {
            out[HEAD..HEAD + 16].copy_from_slice(&source.ip().octets());
            out[HEAD + 16..HEAD + 32].copy_from_slice(&destination.ip().octets());
            (PROXY, INET6 << 4 | transport, 36)
        }
        _ => (LOCAL, 0, 0),
    };
    if let (PROXY, Some(ends)) = (command, ends) {
        let ports = HEAD + length - 4;
        out[ports..ports + 2].copy_from_slice(&ends.source.port().to_be_bytes());
        out[ports + 2..ports + 4].copy_from_slice(&ends.destination.port().to_be_bytes());
    }
    out[12..HEAD].copy_from_slice(&[VERSION | command, family, 0, to_u8(length)]);
    HEAD + length
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(source: &str, destination: &str) -> Ends {
        let parse = |text: &str| text.parse().expect("a test's literal");
        Ends { source: parse(source), destination: parse(destination) }
    }

    #[test]
    fn what_is_written_is_read_and_what_follows_is_the_message() {
        for ends in [both("192.0.2.7:4711", "198.51.100.1:53"), both("[2001:db8::7]:4711", "[2001:db8::1]:53")] {
            for datagram in [true, false] {
                let mut bytes = [0xaa; LONGEST + 8];
                let length = write(Some(&ends), datagram, &mut bytes);
                assert_eq!(read(&bytes), Read::Header(Header { length, ends: Some(ends) }));
                assert_eq!(bytes[13] & 15, if datagram { 2 } else { 1 });
                for cut in 0..length {
                    assert_eq!(read(&bytes[..cut]), Read::Begun, "{cut}");
                }
            }
        }
    }

    #[test]
    fn the_octets_are_those_of_the_specification() {
        let mut bytes = [0; LONGEST];
        let length = write(Some(&both("192.0.2.7:4711", "198.51.100.1:53")), true, &mut bytes);
        assert_eq!(
            bytes[..length],
            *b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a\x21\x12\x00\x0c\xc0\x00\x02\x07\xc6\x33\x64\x01\x12\x67\x00\x35"
        );
        assert_eq!(write(None, true, &mut bytes), 16);
        assert_eq!(read(&bytes[..16]), Read::Header(Header { length: 16, ends: None }));
    }

    #[test]
    fn values_that_follow_the_addresses_are_skipped_and_what_is_reserved_is_refused() {
        let mut bytes = [0; 64];
        write(Some(&both("192.0.2.7:1", "192.0.2.8:2")), false, &mut bytes);
        bytes[15] += 7;
        assert!(matches!(read(&bytes), Read::Header(Header { length: 35, ends: Some(_) })));
        for (at, wrong) in [(0, 0x0e), (12, 0x11), (12, 0x22), (13, 0x13), (13, 0x31), (13, 0x41), (15, 11)] {
            let mut changed = bytes;
            changed[at] = wrong;
            assert_eq!(read(&changed), Read::Refused, "{at}: {wrong}");
        }
        assert_eq!(read(b"\x12\x34\x01\x00"), Read::Refused);
        assert_eq!(read(b""), Read::Begun);
    }
}
