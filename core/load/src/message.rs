//! Messages: the queries of a file, written once; and what is looked for in an answer.

use std::fs::File;
use std::io::{BufRead, BufReader};

use crate::Failure;

const HEADER: usize = 12;
/// An empty OPT record with a payload size of 1232 (RFC 6891).
pub const OPT: [u8; 11] = [0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0];

/// Queries in wire form, packed one behind the other.
pub struct Queries {
    bytes: Vec<u8>,
    ends: Vec<(u32, u16)>,
}

impl Queries {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Query `i`, and where its question ends in it.
    pub fn get(&self, i: usize) -> (&[u8], usize) {
        let start = if i == 0 { 0 } else { self.ends[i - 1].0 as usize };
        let (end, question) = self.ends[i];
        (&self.bytes[start..end as usize], usize::from(question))
    }

    fn push(&mut self, name: &str, qtype: u16, edns: bool) -> bool {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(edns)]);
        for label in name.trim_end_matches('.').split('.') {
            let Some(length) = u8::try_from(label.len()).ok().filter(|length| (1..64).contains(length)) else {
                self.bytes.truncate(start);
                return false;
            };
            self.bytes.push(length);
            self.bytes.extend_from_slice(label.as_bytes());
        }
        self.bytes.push(0);
        self.bytes.extend_from_slice(&qtype.to_be_bytes());
        self.bytes.extend_from_slice(&[0, 1]);
        let question = (self.bytes.len() - start) as u16;
        if edns {
            self.bytes.extend_from_slice(&OPT);
        }
        self.ends.push((self.bytes.len() as u32, question));
        true
    }
}

/// Reads `name TYPE` lines; what is no name is left out.
pub fn read_queries(path: &str, edns: bool) -> Result<Queries, Failure> {
    let file = File::open(path).map_err(|why| format!("{path}: {why}"))?;
    let mut queries = Queries { bytes: Vec::new(), ends: Vec::new() };
    for line in BufReader::new(file).lines() {
        let line = line?;
        let mut words = line.split_whitespace();
        let Some(name) = words.next() else { continue };
        let qtype = match words.next().unwrap_or("A") {
            "A" => 1,
            "AAAA" => 28,
            "HTTPS" => 65,
            "MX" => 15,
            "TXT" => 16,
            other => return Err(format!("{path}: {other}: only A, AAAA, HTTPS, MX and TXT are asked").into()),
        };
        queries.push(name, qtype, edns);
    }
    if queries.len() == 0 {
        return Err(format!("{path}: holds no query").into());
    }
    Ok(queries)
}

/// What became of a query.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum Outcome {
    /// As it should be.
    Good,
    /// The upstream, or the way to it, failed.
    Servfail,
    /// Another question, or not the address that was expected.
    Wrong,
}

/// Holds an answer against its query: the question as it was asked, and, where one is expected, the address.
pub fn judge(answer: &[u8], query: &[u8], question: usize, expect: Option<[u8; 4]>) -> Outcome {
    if answer.len() < question || answer[2] & 0x80 == 0 || answer[HEADER..question] != query[HEADER..question] {
        return Outcome::Wrong;
    }
    if answer[3] & 15 == 2 {
        return Outcome::Servfail;
    }
    let Some([a, b, c, d]) = expect else { return Outcome::Good };
    let found = answer[question..].windows(6).any(|part| part == [0, 4, a, b, c, d]);
    if found { Outcome::Good } else { Outcome::Wrong }
}

/// Where the question of a query ends; None: it is none that one could answer.
pub fn question_end(query: &[u8]) -> Option<usize> {
    let mut at = HEADER;
    loop {
        match *query.get(at)? {
            0 => break,
            length @ 1..=63 => at += 1 + usize::from(length),
            _ => return None,
        }
    }
    (at + 5 <= query.len()).then_some(at + 5)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queries(lines: &[(&str, u16)], edns: bool) -> Queries {
        let mut queries = Queries { bytes: Vec::new(), ends: Vec::new() };
        for (name, qtype) in lines {
            queries.push(name, *qtype, edns);
        }
        queries
    }

    #[test]
    fn queries_are_written_as_the_rfc_says_and_found_again() {
        let made = queries(&[("a.example", 1), ("not..a.name", 1), ("b.example.", 65)], true);
        assert_eq!(made.len(), 2);
        let (first, question) = made.get(0);
        assert_eq!(&first[..question], b"\0\0\x01\0\0\x01\0\0\0\0\0\x01\x01a\x07example\0\0\x01\0\x01");
        assert_eq!(&first[question..], OPT);
        assert_eq!(question_end(first), Some(question));
        assert_eq!(made.get(1).0[12..made.get(1).1], *b"\x01b\x07example\0\0\x41\0\x01");
    }

    #[test]
    fn an_answer_is_good_only_with_its_own_question_and_the_address() {
        let made = queries(&[("a.example", 1)], false);
        let (query, question) = made.get(0);
        let mut answer = query.to_vec();
        assert_eq!(judge(&answer, query, question, None), Outcome::Wrong, "it is a query still");
        answer[2] |= 0x80;
        assert_eq!(judge(&answer, query, question, None), Outcome::Good);
        assert_eq!(judge(&answer, query, question, Some([192, 0, 2, 1])), Outcome::Wrong);
        answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]);
        assert_eq!(judge(&answer, query, question, Some([192, 0, 2, 1])), Outcome::Good);
        answer[3] |= 2;
        assert_eq!(judge(&answer, query, question, Some([192, 0, 2, 1])), Outcome::Servfail);
        answer[13] = b'b';
        assert_eq!(judge(&answer, query, question, None), Outcome::Wrong);
    }

    #[test]
    fn a_query_that_is_cut_short_has_no_end() {
        assert_eq!(question_end(b"\0\0\x01\0\0\x01\0\0\0\0\0\0\x01a\x07exam"), None);
        assert_eq!(question_end(b"\0\0\x01\0\0\x01\0\0\0\0\0\0\xc0\x0c\0\x01\0\x01"), None);
        assert_eq!(question_end(b""), None);
    }
}
