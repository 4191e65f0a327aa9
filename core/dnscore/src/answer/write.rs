//! The common parts of a message: header and question, records, the OPT.

use super::explained::Explained;
use super::shorten::shortened;
use crate::wire::pointers::pointers;
use crate::wire::structured::FORGED_ANSWER;
use crate::wire::{Checked, Echo, HEADER, OPTION_EDE, Query, UDP_SIZE, flag, rcode, rtype, u16_at};

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
    out: &'a mut [u8],
    at: usize,
    edns: Option<crate::wire::Edns>,
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
    fn begin_opt(&mut self, rcode: u16) -> usize {
        let dnssec_ok = if self.edns.is_some_and(|edns| edns.dnssec_ok) { 0x80 } else { 0 };
        let [size_high, size_low] = UDP_SIZE.to_be_bytes();
        let [_, opt] = rtype::OPT.to_be_bytes();
        self.put(&[0, 0, opt, size_high, size_low, (rcode >> 4) as u8, 0, dnssec_ok, 0, 0, 0]);
        let additionals = u16::from_be_bytes([self.out[10], self.out[11]]) + 1;
        self.count(2, additionals);
        self.at
    }

    fn end_opt(&mut self, data: usize) {
        let length = (self.at - data) as u16;
        self.out[data - 2..data].copy_from_slice(&length.to_be_bytes());
    }

    /// An EDE option; where its text would pass `limit` the short one is said, then none, then the option is left out.
    fn ede(&mut self, mut ede: Ede<'_>, limit: usize) {
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
    fn copy_ede(&mut self, options: &[u8], limit: usize) {
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

/// An upstream's answer, taken apart: from a checked message or out of the cache.
#[derive(Clone, Copy)]
pub(crate) struct Body<'a> {
    /// The upstream's flags.
    pub flags: u16,
    /// Extended rcode.
    pub rcode: u16,
    /// Counts of the three sections, the OPT left out.
    pub counts: [u16; 3],
    /// The question, which is as long as the client's, so that compression pointers hold, and the records.
    pub octets: &'a [u8],
    /// How much of that is the question.
    pub question: usize,
    /// Further records, of the additional section.
    pub behind: Behind<'a>,
    /// EDNS options whose extended errors are passed on.
    pub options: &'a [u8],
    /// An extended error of our own.
    pub ede: Option<u16>,
}

/// Records that stood behind the OPT, which is taken out: they move to where it began, and pointers among them with them.
#[derive(Clone, Copy, Default)]
pub(crate) struct Behind<'a> {
    records: &'a [u8],
    /// Where in the upstream's message they begin.
    from: usize,
    /// By how much they move.
    by: usize,
}

impl<'a> Body<'a> {
    /// The parts of a checked answer.
    pub fn of(answer: &'a [u8], checked: &Checked) -> Body<'a> {
        let [question_end, body_end] = [checked.question_end, checked.body_end].map(usize::from);
        let (from, end) = (usize::from(checked.behind.0), usize::from(checked.behind.1));
        Body {
            flags: checked.flags,
            rcode: checked.rcode,
            counts: [checked.answers, checked.authorities, checked.additionals],
            octets: &answer[HEADER..body_end],
            question: question_end - HEADER,
            behind: Behind { records: &answer[from..end], from, by: from.saturating_sub(body_end) },
            options: &answer[usize::from(checked.ede.0)..usize::from(checked.ede.1)],
            ede: None,
        }
    }

    /// Octets of all records.
    #[inline]
    pub fn length(&self) -> usize {
        self.octets.len() - self.question + self.behind.records.len()
    }

    /// Copies all records to where they belong: `out` is as long as they are.
    #[inline]
    pub fn copy_records(&self, out: &mut [u8]) {
        let (records, rest) = out.split_at_mut(self.octets.len() - self.question);
        records.copy_from_slice(&self.octets[self.question..]);
        if !rest.is_empty() {
            self.behind.copy(rest);
        }
    }
}

impl Behind<'_> {
    #[cold]
    fn copy(&self, out: &mut [u8]) {
        out.copy_from_slice(self.records);
        pointers(self.records, |at, target| {
            if target >= self.from {
                let moved = 0xc000 | (target - self.by) as u16;
                out[at..at + 2].copy_from_slice(&moved.to_be_bytes());
            }
        });
    }
}

/// Writes an upstream's answer as this client asked for it: whole, or without what it can do without, or nothing but TC
/// (see [`shortened`]). Returns the length, and where the records end, which begin at `query.question_end`.
#[inline]
pub(crate) fn rebuild(packet: &[u8], query: &Query, body: &Body<'_>, limit: usize, out: &mut [u8]) -> (usize, usize) {
    let limit = limit.min(out.len());
    let rcode = if body.rcode > flag::RCODE && query.edns.is_none() { rcode::SERVFAIL } else { body.rcode };
    // RFC 6840, 5.8: AD only to a client that showed it knows the bit.
    let kept = flag::AA | flag::TC | flag::RA | if query.wants_ad() { flag::AD } else { 0 };
    let flags = (body.flags & kept) | (rcode & flag::RCODE);
    let question_end = usize::from(query.question_end);
    let opt = if query.edns.is_some() { OPT } else { 0 };
    let room = limit.saturating_sub(question_end + opt);
    let (mut length, mut counts) = (body.length(), body.counts);
    let whole = length <= room;
    if !whole {
        let Some(kept) = shortened(body, query.dnssec_ok(), room) else {
            let Some(mut start) = Start::of(packet, query.echo(), out) else { return (0, question_end) };
            start.flags((flags & !flag::AD) | flag::TC);
            start.opt(rcode, None, limit);
            return (start.finish(), question_end);
        };
        (length, counts) = (kept.length, kept.counts);
    }
    let (Some(id), Some(question)) = (packet.first_chunk::<2>(), packet.get(HEADER..question_end)) else {
        return (0, question_end);
    };
    let records_end = question_end + length;
    let (message, _) = out.split_at_mut(records_end);
    let (head, records) = message.split_at_mut(question_end);
    if whole {
        body.copy_records(records);
    } else {
        records.copy_from_slice(&body.octets[body.question..body.question + length]);
    }
    let (head, name) = head.split_at_mut(HEADER);
    name.copy_from_slice(question);
    let flags = (flag::QR | (query.flags & (flag::OPCODE | flag::RD | flag::CD)) | flags).to_be_bytes();
    let [answers, authorities, additionals] = counts.map(u16::to_be_bytes);
    head.copy_from_slice(&[
        id[0],
        id[1],
        flags[0],
        flags[1],
        0,
        1,
        answers[0],
        answers[1],
        authorities[0],
        authorities[1],
        additionals[0],
        additionals[1],
    ]);
    let mut start = Start { out, at: records_end, edns: query.edns };
    if opt > 0 {
        let data = start.begin_opt(rcode);
        if body.ede.is_some() || !body.options.is_empty() {
            if let Some(code) = body.ede {
                start.ede(Ede { code, text: [b""; 3], short: b"" }, limit);
            }
            start.copy_ede(body.options, limit);
            start.end_opt(data);
        }
    }
    (start.finish(), records_end)
}
