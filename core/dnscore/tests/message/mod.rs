//! DNS messages built octet by octet, independently of the code under test.
#![allow(dead_code, clippy::unwrap_used)] // every test file uses a part of it

/// A message under construction; the counts follow from what is added.
#[derive(Clone, Debug)]
pub struct Message {
    pub id: u16,
    pub flags: u16,
    pub counts: [u16; 4],
    pub body: Vec<u8>,
}

pub const A: u16 = 1;
pub const NS: u16 = 2;
pub const CNAME: u16 = 5;
pub const SOA: u16 = 6;
pub const MX: u16 = 15;
pub const TXT: u16 = 16;
pub const SIG: u16 = 24;
pub const AAAA: u16 = 28;
pub const OPT: u16 = 41;
pub const RRSIG: u16 = 46;
pub const NSEC: u16 = 47;
pub const HTTPS: u16 = 65;
pub const TSIG: u16 = 250;

pub const QR: u16 = 0x8000;
pub const AA: u16 = 0x0400;
pub const TC: u16 = 0x0200;
pub const RD: u16 = 0x0100;
pub const RA: u16 = 0x0080;
pub const AD: u16 = 0x0020;
pub const CD: u16 = 0x0010;

/// Wire form of a dotted name, case kept.
pub fn name(text: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    for label in text.split('.').filter(|label| !label.is_empty()) {
        wire.push(u8::try_from(label.len()).unwrap());
        wire.extend_from_slice(label.as_bytes());
    }
    wire.push(0);
    wire
}

/// The data of a SOA with this MINIMUM; its names are pointers to the question.
pub fn soa(minimum: u32) -> Vec<u8> {
    let mut data = vec![0xc0, 12, 0xc0, 12];
    for number in [7, 3600, 600, 86400, minimum] {
        data.extend_from_slice(&u32::to_be_bytes(number));
    }
    data
}

impl Message {
    /// A query with RD, without EDNS.
    pub fn query(qname: &str, qtype: u16) -> Message {
        Message { id: 0x1234, flags: RD, counts: [0; 4], body: Vec::new() }.question(&name(qname), qtype, 1)
    }

    /// An answer with RD and RA to that question.
    pub fn answer(qname: &str, qtype: u16) -> Message {
        Message { flags: QR | RD | RA, ..Message::query(qname, qtype) }
    }

    pub fn question(mut self, wire: &[u8], qtype: u16, qclass: u16) -> Message {
        self.counts[0] += 1;
        self.body.extend_from_slice(wire);
        self.body.extend_from_slice(&qtype.to_be_bytes());
        self.body.extend_from_slice(&qclass.to_be_bytes());
        self
    }

    pub fn flags(mut self, flags: u16) -> Message {
        self.flags = flags;
        self
    }

    pub fn id(mut self, id: u16) -> Message {
        self.id = id;
        self
    }

    /// A record in section 1 (answer), 2 (authority) or 3 (additional).
    pub fn record(mut self, section: usize, owner: &[u8], rtype: u16, class: u16, ttl: u32, data: &[u8]) -> Message {
        self.counts[section] += 1;
        self.body.extend_from_slice(owner);
        self.body.extend_from_slice(&rtype.to_be_bytes());
        self.body.extend_from_slice(&class.to_be_bytes());
        self.body.extend_from_slice(&ttl.to_be_bytes());
        self.body.extend_from_slice(&u16::try_from(data.len()).unwrap().to_be_bytes());
        self.body.extend_from_slice(data);
        self
    }

    /// A record of class IN at the question's name.
    pub fn rr(self, section: usize, rtype: u16, ttl: u32, data: &[u8]) -> Message {
        self.record(section, &[0xc0, 12], rtype, 1, ttl, data)
    }

    /// An OPT; `ttl` is extended rcode, version, flags.
    pub fn opt(self, size: u16, ttl: u32, options: &[u8]) -> Message {
        self.record(3, &[0], OPT, size, ttl, options)
    }

    pub fn raw(mut self, bytes: &[u8]) -> Message {
        self.body.extend_from_slice(bytes);
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for word in [self.id, self.flags].into_iter().chain(self.counts) {
            bytes.extend_from_slice(&word.to_be_bytes());
        }
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// An EDNS option.
pub fn option(code: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = code.to_be_bytes().to_vec();
    bytes.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
    bytes.extend_from_slice(value);
    bytes
}

/// An extended DNS error as an option.
pub fn ede(code: u16, text: &str) -> Vec<u8> {
    option(15, &[&code.to_be_bytes()[..], text.as_bytes()].concat())
}

/// The parsed query in a packet that must hold one.
pub fn parsed(packet: &[u8]) -> dnscore::wire::Query {
    match dnscore::wire::parse(packet) {
        dnscore::wire::Parsed::Query(query) => query,
        other => panic!("no query: {other:?}"),
    }
}
