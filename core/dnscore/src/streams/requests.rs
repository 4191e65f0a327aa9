//! What a request for DNS over HTTPS (RFC 8484) is, and for how long its answer is fresh. It decides without I/O;
//! [`super::http`] has the connection.
//!
//! | request | outcome |
//! |---|---|
//! | another path | 404 |
//! | a method other than GET and POST | 405 |
//! | GET without `dns=`, or what is no base64url without padding | 400 |
//! | POST of another media type than application/dns-message | 415 |
//! | POST that announces a body of more than 65,535 octets | 413 |
//! | else | the question, or its body is read |

use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Method, StatusCode, request};

use crate::wire::message::{Header, record_again, skip_name, soa_minimum};
use crate::wire::{HEADER, flag, rcode, rtype};

/// The longest body.
pub const LONGEST: usize = u16::MAX as usize;
/// The media type of a question and of an answer.
pub const MESSAGE: HeaderValue = HeaderValue::from_static("application/dns-message");

/// What is to be done with a request's head.
pub enum Head {
    Answer(Vec<u8>),
    Body,
    Refuse(StatusCode),
}

/// The outcome by the table above.
pub fn judge(head: &request::Parts, path: &str) -> Head {
    if head.uri.path() != path {
        return Head::Refuse(StatusCode::NOT_FOUND);
    }
    if head.method == Method::GET {
        let question = head.uri.query().and_then(|query| query.split('&').find_map(|part| part.strip_prefix("dns=")));
        return question
            .and_then(|text| base64url(text.as_bytes()))
            .map_or(Head::Refuse(StatusCode::BAD_REQUEST), Head::Answer);
    }
    if head.method != Method::POST {
        return Head::Refuse(StatusCode::METHOD_NOT_ALLOWED);
    }
    if head.headers.get(CONTENT_TYPE).is_none_or(|kind| !kind.as_bytes().eq_ignore_ascii_case(MESSAGE.as_bytes())) {
        return Head::Refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    let said = head.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if said.is_some_and(|length| length > LONGEST as u64) {
        return Head::Refuse(StatusCode::PAYLOAD_TOO_LARGE);
    }
    Head::Body
}

/// What the parse table gives an answer to.
pub fn is_question(message: &[u8]) -> bool {
    message.len() <= LONGEST && Header::read(message).is_some_and(|header| header.flags & flag::QR == 0)
}

/// The octets of base64url without padding (RFC 4648, 5); `None` where it is something else.
fn base64url(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() * 3 / 4);
    for group in text.chunks(4) {
        let mut bits = 0u32;
        for octet in group {
            let six = match octet {
                b'A'..=b'Z' => octet - b'A',
                b'a'..=b'z' => octet - b'a' + 26,
                b'0'..=b'9' => octet - b'0' + 52,
                b'-' => 62,
                b'_' => 63,
                _ => return None,
            };
            bits = bits << 6 | u32::from(six);
        }
        let whole = bits << (6 * (4 - group.len()));
        let octets = &whole.to_be_bytes()[1..];
        let (given, rest) = octets.split_at(group.len() * 6 / 8);
        if group.len() == 1 || rest.iter().any(|octet| *octet != 0) {
            return None;
        }
        out.extend_from_slice(given);
    }
    Some(out)
}

/// For how many seconds an answer may be kept; `None`: not at all.
pub fn freshness(answer: &[u8]) -> Option<u32> {
    let header = Header::read(answer)?;
    if !matches!(header.flags & flag::RCODE, rcode::NOERROR | rcode::NXDOMAIN) {
        return None;
    }
    let mut at = HEADER;
    for _ in 0..header.questions {
        at = skip_name(answer, at)? + 4;
    }
    let mut least: Option<u32> = None;
    for _ in 0..header.answers {
        let found = record_again(answer, at)?;
        least = Some(least.map_or(found.ttl, |least| least.min(found.ttl)));
        at = found.end;
    }
    for _ in 0..if least.is_none() { header.authorities } else { 0 } {
        let found = record_again(answer, at)?;
        if found.rtype == rtype::SOA {
            return Some(found.ttl.min(soa_minimum(answer, &found)?));
        }
        at = found.end;
    }
    least
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64url_is_what_it_is_in_one_way_alone() {
        for (text, octets) in
            [("", &b""[..]), ("AA", &[0]), ("AAE", &[0, 1]), ("AAEC", &[0, 1, 2]), ("-_-_", &[251, 255, 191])]
        {
            assert_eq!(base64url(text.as_bytes()).as_deref(), Some(octets), "{text}");
        }
        for text in ["A", "AAAAA", "AB", "AA==", "AA=", "+/", "A A", "AAEC\n", "%41A"] {
            assert_eq!(base64url(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn an_answer_is_fresh_for_the_least_of_its_ttls_and_a_failure_never() {
        let question = b"\x01a\x00\x00\x01\x00\x01";
        let record =
            |ttl: u8| [&b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00"[..], &[ttl], b"\x00\x04\x7f\x00\x00\x01"].concat();
        let soa = [&b"\xc0\x0c\x00\x06\x00\x01\x00\x00\x00\x50\x00\x16\x00\x00"[..], &[0; 16], &[0, 0, 0, 7]].concat();
        let message = |flags: u8, counts: [u8; 2], records: &[&[u8]]| {
            let head = [0, 0, 0x80, flags, 0, 1, 0, counts[0], 0, counts[1], 0, 0];
            [&head[..], question, &records.concat()].concat()
        };
        assert_eq!(freshness(&message(0, [2, 0], &[&record(60), &record(9)])), Some(9));
        assert_eq!(freshness(&message(3, [0, 1], &[&soa])), Some(7));
        assert_eq!(freshness(&message(0, [1, 1], &[&record(60), &soa])), Some(60));
        assert_eq!(freshness(&message(2, [1, 0], &[&record(60)])), None);
        assert_eq!(freshness(&message(0, [0, 0], &[])), None);
        assert_eq!(freshness(&message(0, [3, 0], &[&record(60)])), None);
    }
}
