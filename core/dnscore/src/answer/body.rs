//! What of an upstream's answer is sent on: its records and what belongs to them, wherever they are held.

use crate::wire::pointers::pointers;
use crate::wire::{Checked, HEADER};

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
    #[inline]
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
