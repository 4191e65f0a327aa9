//! dnstap: each blocked answer as a frame, for who records what was stopped.
//!
//! Enters: blocked answers as they are sent. Leaves: frames (four octets of length, then a `Dnstap` message of type
//! CLIENT_RESPONSE) that wait in a bounded buffer until somebody takes them. Rules: what does not fit is dropped and
//! counted, so that a reader who sleeps costs nobody an answer; the client's address and port are in it only where the
//! operator said so, and the query never is, since its options may name the client too (ECS, cookies). Who calls leaves
//! out what a sealed list stops (`plane/stages.rs`).
//!
//! The message is eleven fields that are only ever written, in the order of their numbers; spelling those out is
//! shorter than a library with a compiler for the schema (github.com/dnstap/dnstap.pb, `dnstap.proto`).

use std::net::{IpAddr, SocketAddr};

use crate::list::Action;

/// Octets that wait at most: a few thousand frames.
pub const WAITING: usize = 1 << 20;

/// How it is filled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Who says it: `Dnstap.identity`.
    pub identity: String,
    /// `Dnstap.version`.
    pub version: String,
    /// The client's address and port are in it.
    pub client_addresses: bool,
}

/// How an answer leaves, by `SocketProtocol`'s numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A datagram.
    Udp = 1,
    /// TCP.
    Tcp = 2,
    /// DNS over TLS.
    Tls = 3,
    /// DNS over HTTPS.
    Https = 4,
    /// DNS over QUIC.
    Quic = 7,
}

/// A blocked answer.
#[derive(Clone, Copy, Debug)]
pub struct Blocked<'a> {
    /// Who asked.
    pub client: SocketAddr,
    /// How the answer leaves.
    pub transport: Transport,
    /// Unix time in microseconds.
    pub unix_us: u64,
    /// The answer.
    pub answer: &'a [u8],
    /// What kind of answer it is.
    pub action: Action,
    /// The public reference of the entry; empty: it has none.
    pub reference: &'a [u8],
    /// The entry's name in wire form.
    pub name: &'a [u8],
}

/// The frames that wait.
#[derive(Debug)]
pub struct Tap {
    settings: Settings,
    frames: Vec<u8>,
    /// Octets of the frames that are whole: all, but for while one is written.
    whole: usize,
    message: Vec<u8>,
}

impl Tap {
    /// None wait.
    pub fn new(settings: Settings) -> Tap {
        Tap { settings, frames: Vec::with_capacity(WAITING), whole: 0, message: Vec::new() }
    }

    /// One more; false: there was no room for it.
    pub fn note(&mut self, blocked: &Blocked<'_>) -> bool {
        self.message.clear();
        write_message(blocked, self.settings.client_addresses, &mut self.message);
        let Settings { identity, version, .. } = &self.settings;
        let length = [identity.len(), version.len(), self.message.len()].into_iter().map(sized).sum::<usize>() + 2;
        if self.frames.len() + 4 + length > WAITING {
            return false;
        }
        self.frames.extend_from_slice(&(length as u32).to_be_bytes());
        let out = &mut self.frames;
        octets(1, identity.as_bytes(), out);
        octets(2, version.as_bytes(), out);
        octets(14, &self.message, out);
        number(15, 1, out); // Dnstap.Type.MESSAGE
        self.whole = self.frames.len();
        true
    }

    /// Removes a frame that a panic left unfinished: with it, a reader would read all later frames wrong.
    pub fn recover(&mut self) {
        self.frames.truncate(self.whole);
    }

    /// All frames that wait, whole ones.
    pub fn take(&mut self) -> Vec<u8> {
        if self.frames.is_empty() {
            return Vec::new();
        }
        self.whole = 0;
        std::mem::replace(&mut self.frames, Vec::with_capacity(WAITING))
    }
}

/// `dnstap.Message`.
fn write_message(blocked: &Blocked<'_>, named: bool, out: &mut Vec<u8>) {
    let (seconds, nanoseconds) = (blocked.unix_us / 1_000_000, (blocked.unix_us % 1_000_000) as u32 * 1000);
    number(1, 6, out); // CLIENT_RESPONSE
    number(2, if blocked.client.is_ipv4() { 1 } else { 2 }, out); // INET, INET6
    number(3, blocked.transport as u64, out);
    if named {
        match blocked.client.ip() {
            IpAddr::V4(v4) => octets(4, &v4.octets(), out),
            IpAddr::V6(v6) => octets(4, &v6.octets(), out),
        }
        number(6, u64::from(blocked.client.port()), out);
    }
    number(8, seconds, out);
    fixed(9, nanoseconds, out);
    number(12, seconds, out);
    fixed(13, nanoseconds, out);
    octets(14, blocked.answer, out);
    let mut policy = Vec::with_capacity(64 + blocked.name.len());
    octets(1, b"stopsign", &mut policy);
    octets(2, blocked.reference, &mut policy);
    let action = match blocked.action {
        Action::Nxdomain => Some(1),
        Action::Nodata => Some(2),
        Action::Monitor => Some(3),  // PASS
        Action::StopPage => Some(6), // LOCAL_DATA
        Action::Refused => None,     // the schema has no word for it
    };
    if let Some(action) = action {
        number(3, action, &mut policy);
    }
    number(4, 1, &mut policy); // QNAME
    octets(5, blocked.name, &mut policy);
    octets(15, &policy, out);
}

/// A field with a varint.
fn number(field: u32, value: u64, out: &mut Vec<u8>) {
    varint(u64::from(field << 3), out);
    varint(value, out);
}

/// A field with four octets, little endian.
fn fixed(field: u32, value: u32, out: &mut Vec<u8>) {
    varint(u64::from(field << 3 | 5), out);
    out.extend_from_slice(&value.to_le_bytes());
}

/// A field with octets, a string or a message.
fn octets(field: u32, value: &[u8], out: &mut Vec<u8>) {
    varint(u64::from(field << 3 | 2), out);
    varint(value.len() as u64, out);
    out.extend_from_slice(value);
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The length of a field of that many octets, with a number below 16.
fn sized(length: usize) -> usize {
    let bits = usize::BITS - (length | 1).leading_zeros();
    1 + bits.div_ceil(7) as usize + length
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocked(answer: &[u8]) -> Blocked<'_> {
        let client = SocketAddr::from(([192, 0, 2, 7], 4711));
        let (reference, name) = (&b"0123456789ABCDEF"[..], &b"\x07example\0"[..]);
        Blocked {
            client,
            transport: Transport::Udp,
            unix_us: 1_700_000_000_000_000,
            answer,
            action: Action::StopPage,
            reference,
            name,
        }
    }

    #[test]
    fn the_length_before_a_frame_is_its_own() {
        for size in [0, 1, 100, 127, 128, 300, 1232] {
            let mut tap = Tap::new(Settings { identity: "host".into(), ..Settings::default() });
            assert!(tap.note(&blocked(&vec![7; size])));
            let frames = tap.take();
            let length = u32::from_be_bytes([frames[0], frames[1], frames[2], frames[3]]);
            assert_eq!(frames.len(), 4 + length as usize, "{size}");
        }
    }

    #[test]
    fn what_finds_no_room_is_dropped_and_what_is_taken_makes_room() {
        let mut tap = Tap::new(Settings::default());
        let mut noted = 0;
        while tap.note(&blocked(&[7; 1000])) {
            noted += 1;
        }
        assert!((900..1048).contains(&noted), "{noted}");
        assert!(tap.take().len() <= WAITING);
        assert!(tap.note(&blocked(&[7; 1000])));
        assert!(!tap.take().is_empty() && tap.take().is_empty());
    }

    #[test]
    fn a_frame_says_how_the_answer_left() {
        for (transport, number) in
            [(Transport::Udp, 1), (Transport::Tcp, 2), (Transport::Tls, 3), (Transport::Https, 4), (Transport::Quic, 7)]
        {
            let mut message = Vec::new();
            write_message(&Blocked { transport, ..blocked(b"answer") }, false, &mut message);
            assert_eq!(message[..6], [8, 6, 16, 1, 24, number]);
        }
    }

    #[test]
    fn a_frame_that_was_not_finished_is_no_frame() {
        let mut tap = Tap::new(Settings::default());
        tap.note(&blocked(b"answer"));
        let whole = tap.frames.clone();
        tap.frames.extend_from_slice(&whole[..whole.len() / 2]);
        tap.recover();
        assert_eq!(tap.take(), whole);
        tap.recover();
        assert!(tap.take().is_empty());
    }

    #[test]
    fn a_client_is_in_it_only_where_the_operator_said_so() {
        for client_addresses in [false, true] {
            let mut tap = Tap::new(Settings { client_addresses, ..Settings::default() });
            tap.note(&blocked(b"answer"));
            let frames = tap.take();
            assert_eq!(frames.windows(4).any(|w| w == [192, 0, 2, 7]), client_addresses);
            assert_eq!(frames.windows(3).any(|w| w == [0x30, 0xe7, 0x24]), client_addresses); // query_port = 4711
        }
    }
}
