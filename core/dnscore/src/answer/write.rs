//! The common parts of a message: header and question, records, the OPT.

use super::explained::Explained;
use crate::wire::structured::FORGED_ANSWER;
use crate::wire::{Echo, HEADER, OPTION_EDE, Query, UDP_SIZE, flag, rtype, u16_at};

/// Bytes of an OPT without options.
pub(super) const OPT: usize = 11;

/// An extended DNS error to say; the parts of its text are joined.
#[derive(Clone, Copy)]
pub(super) struct Ede<'a> {
    pub code: u16,
    pub text: [&'a [u8]; 3],
    /// What is said instead where that would not fit; empty: nothing.
    pub short: &'a [u8],
}

impl<'a> Ede<'a> {
    /// Of an entry: its reference and where to look it up, or the same for clients that read JSON. `None` for code 0.
    pub fn of_entry(
        code: u16,
        reference: &'a [u8],
        portal: &'a [u8],
        explained: Option<&'a Explained>,
    ) -> Option<Ede<'a>> {
        let (text, short): ([&[u8]; 3], &[u8]) = match explained {
            Some(explained) => ([&explained.long, b"", b""], &explained.short),
            None => ([reference, if reference.is_empty() { b"" } else { b" " }, portal], b""),
        };
        (code != 0).then_some(Ede { code, text, short })
    }
}

/// A message begun: header and question stand, records follow.
pub(super) struct Start<'a> {
    pub out: &'a mut [u8],
    pub at: usize,
    pub edns: Option<crate::wire::Edns>,
}

impl<'a> Start<'a> {
    /// Copies id and question; counts are zero but for the question. `None` where `packet` holds no header or `out` no
    /// such message.
    #[inline]
    pub fn of(packet: &[u8], echo: Echo, out: &'a mut [u8]) -> Option<Start<'a>> {
        let end = usize::from(echo.question_end);
        let question = packet.get(..end)?;
        out.get_mut(..end)?.copy_from_slice(question);
        let header = out.first_chunk_mut::<HEADER>()?;
        header[4..].fill(0);
        header[5] = u8::from(end > HEADER);
        Some(Start { out, at: end, edns: echo.edns })
    }

    /// An answer that is there already, to go on behind the records that end at `end`: only opcode, RD, CD, TC and
    /// RA of its flags stay, and nothing is counted but the question.
    pub fn behind(out: &'a mut [u8], query: &Query, end: usize) -> Start<'a> {
        let mut start = Start { out, at: end, edns: query.edns };
        start.out[6..HEADER].fill(0);
        let truncated = u16_at(start.out, 2).unwrap_or_default() & flag::TC;
        start.flags(flag::RA | truncated);
        start
    }

    /// Bytes so far.
    pub fn at(&self) -> usize {
        self.at
    }

    /// Sets the flags: QR and these, with opcode, RD and CD as the client sent them.
    #[inline]
    pub fn flags(&mut self, flags: u16) {
        let asked = u16::from_be_bytes([self.out[2], self.out[3]]) & (flag::OPCODE | flag::RD | flag::CD);
        self.out[2..4].copy_from_slice(&(flag::QR | asked | flags).to_be_bytes());
    }

    /// Sets the count of a section: 0 answer, 1 authority, 2 additional.
    #[inline]
    pub fn count(&mut self, section: usize, records: u16) {
        self.out[6 + 2 * section..8 + 2 * section].copy_from_slice(&records.to_be_bytes());
    }

    /// Appends bytes; without effect where `out` is full.
    #[inline]
    pub fn put(&mut self, bytes: &[u8]) {
        if let Some(place) = self.out.get_mut(self.at..self.at + bytes.len()) {
            place.copy_from_slice(bytes);
            self.at += bytes.len();
        }
    }

    /// Appends the OPT that answers the client's, with the extended error as far as `limit` lets it.
    #[inline]
    pub fn opt(&mut self, rcode: u16, ede: Option<Ede<'_>>, limit: usize) {
        if self.edns.is_none() {
            return;
        }
        let limit = limit.min(self.out.len());
        let data = self.begin_opt(rcode);
        if let Some(ede) = ede {
            self.ede(ede, limit);
        }
        self.end_opt(data);
    }

    #[inline]
    pub fn begin_opt(&mut self, rcode: u16) -> usize {
        let dnssec_ok = if self.edns.is_some_and(|edns| edns.dnssec_ok) { 0x80 } else { 0 };
        let [size_high, size_low] = UDP_SIZE.to_be_bytes();
        let [_, opt] = rtype::OPT.to_be_bytes();
        self.put(&[0, 0, opt, size_high, size_low, (rcode >> 4) as u8, 0, dnssec_ok, 0, 0, 0]);
        let additionals = u16::from_be_bytes([self.out[10], self.out[11]]) + 1;
        self.count(2, additionals);
        self.at
    }

    pub fn end_opt(&mut self, data: usize) {
        let length = (self.at - data) as u16;
        self.out[data - 2..data].copy_from_slice(&length.to_be_bytes());
    }

    /// An EDE option; where its text would pass `limit` the short one is said, then none, then the option is left out.
    pub fn ede(&mut self, mut ede: Ede<'_>, limit: usize) {
        let mut text: usize = ede.text.iter().map(|part| part.len()).sum();
        if self.at + 6 + text > limit {
            ede.text = [ede.short, b"", b""];
            text = ede.short.len();
        }
        let text = if self.at + 6 + text <= limit { text } else { 0 };
        if self.at + 6 + text > limit {
            return;
        }
        self.put(&OPTION_EDE.to_be_bytes());
        self.put(&(2 + text as u16).to_be_bytes());
        self.put(&ede.code.to_be_bytes());
        if text > 0 {
            ede.text.iter().for_each(|part| self.put(part));
        }
    }

    /// Copies the extended errors among `options`, each whole or not at all. One that is none (RFC 8914, 2: two octets of
    /// INFO-CODE, then UTF-8) is not copied: there are clients that refuse the whole message for it; nor is "Forged Answer"
    /// to a client that reads structured errors.
    pub fn copy_ede(&mut self, options: &[u8], limit: usize) {
        let structured = self.edns.is_some_and(|edns| edns.structured);
        let mut rest = options;
        while let (Some(code), Some(length)) = (u16_at(rest, 0), u16_at(rest, 2)) {
            let Some((option, after)) = rest.split_at_checked(4 + usize::from(length)) else { break };
            let sound = || option.get(6..).is_some_and(|text| std::str::from_utf8(text).is_ok());
            let forged = || structured && u16_at(option, 4) == Some(FORGED_ANSWER);
            if code == OPTION_EDE && self.at + option.len() <= limit && sound() && !forged() {
                self.put(option);
            }
            rest = after;
        }
    }

    /// The length of the message.
    #[inline]
    pub fn finish(self) -> usize {
        self.at
    }
}
