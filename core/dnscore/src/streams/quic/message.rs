//! One stream of DNS over QUIC (RFC 9250, 4.2): octets in, one message out.
//!
//! Enters: the octets of a client's half, and that it ended. Leaves: the message after its two octets of length, with what
//! it asks of its connection. Rules: a stream carries one query, and ends with it; what breaks a "MUST" of RFC 9250 (4.3.3)
//! is a [`Violation`], which ends the connection, whatever else is on it:
//!
//! * more octets than the length says, or fewer when the half ends; none at all too;
//! * a message id other than 0 (4.2.1); what is no query by the parse table: too short, or an answer;
//! * edns-tcp-keepalive, since QUIC has an idle time of its own (5.5.2).

pub(super) use crate::streams::frames::PREFIX;
use crate::streams::options::{Wanted, has_keepalive};
use crate::wire::flag;
use crate::wire::message::Header;

/// DOQ_PROTOCOL_ERROR is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation;

/// What has come of a stream.
#[derive(Debug, Default)]
pub struct Coming {
    octets: Vec<u8>,
}

impl Coming {
    /// More octets.
    pub fn push(&mut self, octets: &[u8]) -> Result<(), Violation> {
        self.octets.extend_from_slice(octets);
        match self.length() {
            Some(length) if self.octets.len() > PREFIX + length => Err(Violation),
            _ => Ok(()),
        }
    }

    /// How many wait here.
    pub fn len(&self) -> usize {
        self.octets.len()
    }

    /// None has come.
    pub fn is_empty(&self) -> bool {
        self.octets.is_empty()
    }

    /// The client has ended its half: the message, and what it wants of its connection.
    pub fn finish(mut self) -> Result<(Vec<u8>, Wanted), Violation> {
        if self.length().is_none_or(|length| self.octets.len() != PREFIX + length) {
            return Err(Violation);
        }
        self.octets.drain(..PREFIX);
        let wanted = judge(&self.octets)?;
        Ok((self.octets, wanted))
    }

    fn length(&self) -> Option<usize> {
        Some(usize::from(u16::from_be_bytes(*self.octets.first_chunk::<PREFIX>()?)))
    }
}

fn judge(message: &[u8]) -> Result<Wanted, Violation> {
    let header = Header::read(message).ok_or(Violation)?;
    if header.id != 0 || header.flags & flag::QR != 0 || has_keepalive(message) {
        return Err(Violation);
    }
    Ok(Wanted::by(message, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUERY: &[u8] = b"\0\0\x01\0\0\x01\0\0\0\0\0\0\x01a\0\0\x01\0\x01";

    fn framed(message: &[u8]) -> Vec<u8> {
        [&(message.len() as u16).to_be_bytes()[..], message].concat()
    }

    fn read(octets: &[u8]) -> Result<Vec<u8>, Violation> {
        let mut coming = Coming::default();
        for octet in octets {
            coming.push(std::slice::from_ref(octet))?;
        }
        coming.finish().map(|(message, _)| message)
    }

    #[test]
    fn a_stream_is_one_query_whatever_pieces_it_comes_in() {
        assert_eq!(read(&framed(QUERY)), Ok(QUERY.to_vec()));
        for cut in 0..QUERY.len() + PREFIX {
            assert_eq!(read(&framed(QUERY)[..cut]), Err(Violation), "{cut}");
        }
        assert_eq!(read(&[framed(QUERY), framed(QUERY)].concat()), Err(Violation));
        assert_eq!(read(&[&framed(QUERY)[..], b"x"].concat()), Err(Violation));
    }

    #[test]
    fn an_id_an_answer_and_a_keepalive_are_violations() {
        for (at, octet) in [(0, 1), (1, 1), (2, 0x81)] {
            let mut message = QUERY.to_vec();
            message[at] = octet;
            assert_eq!(read(&framed(&message)), Err(Violation), "{at}");
        }
        for (options, is_one) in [(&[0, 11, 0, 0][..], false), (&[0, 11, 0, 2, 0, 9], false), (&[0, 12, 0, 0], true)] {
            let mut message = QUERY.to_vec();
            message[11] = 1;
            message.extend_from_slice(&[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, options.len() as u8]);
            message.extend_from_slice(options);
            assert_eq!(read(&framed(&message)).is_ok(), is_one, "{options:?}");
        }
        assert_eq!(read(&framed(&QUERY[..11])), Err(Violation));
    }
}
