//! What goes to an upstream, and what comes back from it.

use super::body::Body;
use super::rebuild::rebuild;
use super::write::OPT;
use crate::narrow::to_u16;
use crate::wire::{Checked, HEADER, OPTION_PADDING, Query, UDP_SIZE, flag, rtype};

/// Writes the query for the upstream: own id, the client's RD and CD, AD set, the name in lower case or, with `case`,
/// in the random case of those bits (0x20), and an OPT of our own: 1232, the client's DO, no option, so no client subnet.
///
/// AD asks for the AD bit in the answer (RFC 6840, 5.7); the answer is shared by all who ask the same, and each is
/// shown the bit only where its own query asked. Returns the length; the question is `out[12..query.question_end]`.
/// `out` holds at least 512 bytes.
pub fn upstream_query(query: &Query, id: u16, case: Option<u64>, out: &mut [u8]) -> usize {
    let end = usize::from(query.question_end);
    let Some(out) = out.get_mut(..end + OPT) else { return 0 };
    let flags = (query.flags & (flag::RD | flag::CD)) | flag::AD;
    out[..2].copy_from_slice(&id.to_be_bytes());
    out[2..4].copy_from_slice(&flags.to_be_bytes());
    out[4..HEADER].copy_from_slice(&[0, 1, 0, 0, 0, 0, 0, 1]);
    let name = &mut out[HEADER..end - 4];
    name.copy_from_slice(query.qname.wire());
    if let Some(bits) = case {
        for (i, octet) in name.iter_mut().enumerate() {
            // Length octets are below 'a'.
            if octet.is_ascii_lowercase() {
                *octet ^= ((bits >> (i & 63) & 1) as u8) << 5;
            }
        }
    }
    out[end - 4..end - 2].copy_from_slice(&query.qtype.to_be_bytes());
    out[end - 2..end].copy_from_slice(&[0, 1]);
    let dnssec_ok = if query.dnssec_ok() { 0x80 } else { 0 };
    let [size_high, size_low] = UDP_SIZE.to_be_bytes();
    out[end..].copy_from_slice(&[0, 0, rtype::OPT as u8, size_high, size_low, 0, 0, dnssec_ok, 0, 0, 0]);
    end + OPT
}

/// Pads such a query, whose last record is an OPT without options, to whole blocks (RFC 7830).
pub fn pad_query(message: &mut Vec<u8>, block: usize) {
    let zeros = (message.len() + 4).next_multiple_of(block) - message.len() - 4;
    let [high, low] = to_u16(zeros + 4).to_be_bytes();
    let length_at = message.len() - 2;
    message[length_at..].copy_from_slice(&[high, low]);
    message.extend_from_slice(&OPTION_PADDING.to_be_bytes());
    message.extend_from_slice(&to_u16(zeros).to_be_bytes());
    message.resize(message.len() + zeros, 0);
}

/// Takes the OPT off such a query of `length` octets, for a server that does not speak EDNS. Returns the new length.
pub fn without_opt(out: &mut [u8], length: usize) -> usize {
    out[HEADER - 1] = 0;
    length - OPT
}

/// Writes the upstream's answer for this client: its id, its question, its RD and CD, AD only where it asked, TTLs as
/// they came, our own OPT with the upstream's extended errors and rcode; what passes `limit` loses the records that the
/// client can do without or, where that is not enough, becomes an empty answer with TC.
pub fn client_answer(
    packet: &[u8],
    query: &Query,
    answer: &[u8],
    checked: &Checked,
    limit: usize,
    out: &mut [u8],
) -> usize {
    rebuild(packet, query, &Body::of(answer, checked), limit, out).0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_padded_to_whole_blocks_by_one_option_of_zeros() {
        for end in 17..=271usize {
            let mut message = vec![7; end];
            message.extend_from_slice(&[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
            let at = message.len();
            pad_query(&mut message, 128);
            assert_eq!(message.len() % 128, 0);
            assert_eq!(u16::from_be_bytes([message[at - 2], message[at - 1]]), to_u16(message.len() - at));
            assert_eq!(u16::from_be_bytes([message[at + 2], message[at + 3]]), to_u16(message.len() - at - 4));
            assert_eq!(message[at..at + 2], OPTION_PADDING.to_be_bytes());
            assert!(message[at + 4..].iter().all(|octet| *octet == 0));
        }
    }
}
