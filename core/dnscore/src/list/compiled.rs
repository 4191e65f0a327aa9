//! Read access to the compiled list (which kind of match covers a name: `types.rs`).

use std::path;

use super::build::{Builder, CLASS_PADDING, Listed, RECORD, RULE, unpack};
use super::digest::KEY;
use super::entry::{check_name, encode_reference};
use super::file::{Content, Section, damaged};
use super::hits::Hits;
use super::key;
use super::names::Names;
use super::policy::{Policies, Terms, Walk};
use super::sealed::Sealed;
use super::types::{Action, Aliases, BATCH, ListError, Matching, Record, Rule};
use super::vector::{self, Lanes, Work};
use crate::sys::wipe_stack;
use crate::wire::Name;

/// One generation of the compiled lists, shared by everything that decides.
#[derive(Debug)]
pub struct CompiledList {
    content: Content,
    names: Names,
    sealed: Sealed,
    path: Path,
    class_width: u32,
    /// Where the rules of each class end in `rules`.
    class_ends: Vec<u32>,
    rules: Vec<Rule>,
    /// Where each basis and category ends in their section.
    kinds: Vec<(u32, u32)>,
}

/// How this processor looks names up: the same work, compiled for what it can do.
#[derive(Clone, Copy, Debug)]
pub(super) enum Path {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2(vector::Avx2),
}

impl Path {
    fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(lanes) = vector::Avx2::detect() {
            return Self::Avx2(lanes);
        }
        Self::Portable
    }

    fn run(self, work: impl Work) {
        match self {
            Self::Portable => work.run(vector::Portable),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(lanes) => vector::with_avx2(lanes, work),
        }
    }
}

/// The look-up of one batch.
struct LookUp<'w> {
    names: &'w Names,
    sealed: &'w Sealed,
    content: &'w Content,
    batch: &'w [&'w Name],
    out: &'w mut Hits,
}

impl Work for LookUp<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        self.names.look_up(lanes, self.content, self.batch, self.out);
        self.sealed.look_up(lanes, self.content, self.batch, self.out);
    }
}

/// The text of a reference: 16 characters of Crockford base32.
#[must_use]
#[inline]
pub fn reference_text(stored: &[u8; 10]) -> [u8; 16] {
    encode_reference(stored)
}

impl CompiledList {
    /// Open a compiled file and check all of it, once.
    ///
    /// # Errors
    /// The file cannot be read, is damaged, or is not one that this version wrote.
    pub fn open(path: &path::Path) -> Result<Self, ListError> {
        Content::open(path)
            .and_then(Self::check)
            .map_err(|error| ListError { reason: format!("{}: {}", path.display(), error.reason), ..error })
    }

    /// The same from memory.
    ///
    /// # Errors
    /// As [`CompiledList::open`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ListError> {
        Self::check(Content::from_bytes(bytes)?)
    }

    /// A list held in memory, for tests and examples: names in presentation form (`example.com`), one rule each;
    /// a name given twice has two rules. References count up from 0 in the order given, basis and category `test`.
    ///
    /// # Errors
    /// A name that no document could hold.
    pub fn from_rules(entries: &[(&str, Rule)]) -> Result<Self, ListError> {
        Self::from_bytes(&Self::bytes_from_rules(entries)?)
    }

    /// Find every listed name at or above each of up to [`BATCH`] names. Names beyond a batch are looked up batch by
    /// batch.
    pub fn look_up(&self, names: &[&Name], out: &mut Hits) {
        out.clear();
        for batch in names.chunks(BATCH) {
            self.look_up_batch(batch, out);
        }
        if self.sealed.is_open() {
            wipe_stack();
        }
    }

    /// In a frame of its own, so that what it leaves of a list's key lies below that of its caller.
    #[inline(never)]
    fn look_up_batch(&self, batch: &[&Name], out: &mut Hits) {
        let (names, sealed, content) = (&self.names, &self.sealed, &self.content);
        self.path.run(LookUp { names, sealed, content, batch, out });
    }

    /// Give a sealed list its key. Until then the list finds nothing. The key is kept in memory of its own, which is locked
    /// and in no core dump.
    ///
    /// # Errors
    /// The list is not a sealed one, the key is not its key, or its memory cannot be locked.
    pub fn unseal(&self, list: u8, key: &[u8; KEY]) -> Result<(), ListError> {
        self.sealed.unseal(list, key)
    }

    /// What the lists say about a row, in the order of the lists; empty for a row that does not exist.
    #[must_use]
    pub fn rules(&self, row: u32) -> &[Rule] {
        if row >= self.content.rows {
            return &[];
        }
        let class = unpack(&self.content.get(Section::Classes)[4..], self.class_width, row) as usize;
        let start = if class == 0 { 0 } else { self.class_ends[class - 1] };
        &self.rules[start as usize..self.class_ends[class] as usize]
    }

    /// What is known about the `rule`th entry of a row.
    #[must_use]
    pub fn record(&self, row: u32, rule: usize) -> Option<Record<'_>> {
        let record = self.record_bytes(row, rule)?;
        let kind = u32::from_le_bytes(record[14..18].try_into().ok()?) as usize;
        let &(middle, end) = self.kinds.get(kind)?;
        let start = if kind == 0 { 0 } else { self.kinds[kind - 1].1 + 1 };
        let text = |range: std::ops::Range<u32>| {
            std::str::from_utf8(&self.content.get(Section::Kinds)[range.start as usize..range.end as usize]).ok()
        };
        Some(Record {
            reference: encode_reference(record[..10].try_into().ok()?),
            issued: u32::from_le_bytes(record[10..14].try_into().ok()?),
            basis: text(start..middle)?,
            category: text(middle + 1..end)?,
        })
    }

    /// The number of the `rule`th entry of a row: entries are numbered in the order of rows, then of lists.
    #[must_use]
    #[inline]
    pub fn number(&self, row: u32, rule: u16) -> u32 {
        row + self.extra_before(row) + u32::from(rule)
    }

    /// The row and rule of an entry, by its number.
    #[must_use]
    pub fn place(&self, entry: u32) -> Option<(u32, u16)> {
        let several = self.content.get(Section::Several);
        let pair = |at: usize| {
            let number = |at: usize| u32::from_le_bytes(several[at..at + 4].try_into().unwrap_or_default());
            (number(8 * at), number(8 * at + 4))
        };
        let (mut low, mut high) = (0, several.len() / 8);
        while low < high {
            let middle = usize::midpoint(low, high);
            let (row, extra) = pair(middle);
            if row + extra < entry { low = middle + 1 } else { high = middle }
        }
        let before = if low == 0 { 0 } else { pair(low - 1).1 };
        let row = if low < several.len() / 8 { pair(low).0.min(entry - before) } else { entry - before };
        let rule = u16::try_from(entry - before - row).ok()?;
        (entry < self.entries()).then_some((row, rule))
    }

    /// The public reference of an entry alone, as it is stored, by its number; [`reference_text`] spells it. It is in a
    /// cold column and is said in every answer, so [`CompiledList::expect`] asks for it before.
    #[must_use]
    #[inline]
    pub fn reference(&self, entry: u32) -> Option<[u8; 10]> {
        self.content.get(Section::Records).get(RECORD * entry as usize..)?.first_chunk().copied()
    }

    /// Asks for the memory that the verdict about a row reads, and the reference of its first entry. Returns that entry's
    /// number.
    #[inline]
    pub fn prefetch(&self, row: u32) -> u32 {
        let entry = self.number(row, 0);
        let (classes, records) = (self.content.get(Section::Classes), self.content.get(Section::Records));
        vector::prefetch(classes, 4 + (u64::from(row) * u64::from(self.class_width) / 8) as usize);
        // ten octets may lie across two lines
        vector::prefetch(records, RECORD * entry as usize);
        vector::prefetch(records, RECORD * entry as usize + 9);
        entry
    }

    /// The record of the `rule`th entry of a row.
    #[inline]
    fn record_bytes(&self, row: u32, rule: usize) -> Option<&[u8]> {
        if rule >= self.rules(row).len() {
            return None;
        }
        let number = row as usize + self.extra_before(row) as usize + rule;
        self.content.get(Section::Records).get(RECORD * number..RECORD * (number + 1))
    }

    /// Is the row a digest of a sealed list?
    #[must_use]
    pub fn is_sealed(&self, row: u32) -> bool {
        self.sealed.list_of(row).is_some()
    }

    /// The listed name of a row in presentation form, without a trailing dot; `None` for a digest of a sealed list.
    #[must_use]
    pub fn name(&self, row: u32) -> Option<String> {
        self.names.key(&self.content, row).map(|key| key::to_name(&key))
    }

    /// Write the rules of a response policy zone to `place`, whole and durable or not at all.
    ///
    /// # Errors
    /// `place` cannot be written.
    pub fn write_policies(&self, place: &path::Path, terms: Terms<'_>) -> Result<Policies, ListError> {
        let mut walk = Walk::create(place, terms)?;
        self.names.each(&self.content, |row, key| walk.row(key, self.rules(row)))?;
        walk.finish()
    }

    /// The steward's own description of this generation, as it was given to the compiler.
    #[must_use]
    pub fn meta(&self) -> &[u8] {
        self.content.get(Section::Meta)
    }

    /// Listed names.
    #[must_use]
    pub fn rows(&self) -> u32 {
        self.content.rows
    }

    /// Entries of all lists.
    #[must_use]
    pub fn entries(&self) -> u32 {
        self.content.records
    }

    /// Octets of each section of the file by name, the hot ones first, and of what is kept in memory beside it.
    #[must_use]
    pub fn sizes(&self) -> Vec<(&'static str, u64)> {
        let mut sizes = self.content.sizes();
        sizes.push(("decoder", self.names.size() as u64));
        sizes.push(("index of digests", self.sealed.size() as u64));
        sizes
    }

    /// Octets of what queries may touch.
    #[must_use]
    pub fn hot_bytes(&self) -> u64 {
        self.content.hot_bytes() + (self.names.size() + self.sealed.size()) as u64
    }

    pub(super) fn bytes_from_rules(entries: &[(&str, Rule)]) -> Result<Vec<u8>, ListError> {
        let mut sorted = Vec::with_capacity(entries.len());
        for (number, (name, rule)) in (0u64..).zip(entries) {
            check_name(name.as_bytes()).map_err(|(kind, reason)| ListError::new(kind, reason))?;
            let mut reversed = Vec::with_capacity(name.len());
            key::from_name(name.as_bytes(), &mut reversed);
            let mut reference = [0; 10];
            reference[2..].copy_from_slice(&number.to_be_bytes());
            sorted.push((reversed, Listed { rule: *rule, reference, issued: 0, basis: b"test", category: b"test" }));
        }
        sorted.sort_by(|one, other| (&one.0, one.1.rule.list).cmp(&(&other.0, other.1.rule.list)));
        let mut builder = Builder::default();
        for row in sorted.chunk_by(|one, other| one.0 == other.0) {
            let listed: Vec<Listed<'_>> = row.iter().map(|(_, listed)| *listed).collect();
            builder.row(&row[0].0, &listed)?;
        }
        Ok(builder.finish(b"")?.to_bytes())
    }

    /// Rules of the rows before this one beyond one each.
    fn extra_before(&self, row: u32) -> u32 {
        let several = self.content.get(Section::Several);
        let (mut low, mut high) = (0, several.len() / 8);
        let number = |at: usize| u32::from_le_bytes(several[at..at + 4].try_into().unwrap_or_default());
        while low < high {
            let middle = usize::midpoint(low, high);
            if number(8 * middle) < row {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        if low == 0 { 0 } else { number(8 * low - 4) }
    }

    fn check(content: Content) -> Result<Self, ListError> {
        let names = Names::open(&content)?;
        let sealed = Sealed::open(&content)?;
        let (class_ends, rules) = read_rules(content.get(Section::Rules)).ok_or_else(|| damaged("rules"))?;
        let classes = content.get(Section::Classes);
        let class_width =
            classes.get(..4).map_or(u32::MAX, |four| u32::from_le_bytes(four.try_into().unwrap_or_default()));
        let bits = u64::from(content.rows) * u64::from(class_width);
        if class_width > 32 || classes.len() as u64 != 4 + bits / 8 + 1 + CLASS_PADDING as u64 {
            return Err(damaged("classes"));
        }
        let several = content.get(Section::Several);
        let mut several = several.chunks_exact(8).map(|pair| {
            let number = |at: usize| u32::from_le_bytes(pair[at..at + 4].try_into().unwrap_or_default());
            (number(0), number(4))
        });
        let mut extra = 0u32;
        for row in 0..content.rows {
            let class = unpack(&classes[4..], class_width, row) as usize;
            let start = if class == 0 { 0 } else { *class_ends.get(class - 1).unwrap_or(&u32::MAX) };
            let count = class_ends.get(class).and_then(|end| end.checked_sub(start)).unwrap_or(0);
            if count == 0 {
                return Err(damaged("a row without a rule"));
            }
            let foreign = |rule: &Rule| sealed.list_of(row).is_some_and(|list| rule.list != list);
            if row >= content.named && rules[start as usize..][..count as usize].iter().any(foreign) {
                return Err(damaged("a digest of another list"));
            }
            extra = extra.checked_add(count - 1).ok_or_else(|| damaged("rules"))?;
            if count > 1 && several.next() != Some((row, extra)) {
                return Err(damaged("rows with several rules"));
            }
        }
        let records = content.rows.checked_add(extra);
        let octets = content.get(Section::Records).len() as u64;
        if several.next().is_some()
            || !content.get(Section::Several).len().is_multiple_of(8)
            || records != Some(content.records)
            || octets != u64::from(content.records) * RECORD as u64
        {
            return Err(damaged("records"));
        }
        let kinds = read_kinds(content.get(Section::Kinds)).ok_or_else(|| damaged("kinds"))?;
        for record in content.get(Section::Records).chunks_exact(RECORD) {
            let kind = u32::from_le_bytes(record[14..].try_into().unwrap_or([0xFF; 4]));
            if kind as usize >= kinds.len() {
                return Err(damaged("a record of no kind"));
            }
        }
        Ok(Self { content, names, sealed, path: Path::best(), class_width, class_ends, rules, kinds })
    }
}

fn read_rules(section: &[u8]) -> Option<(Vec<u32>, Vec<Rule>)> {
    let number = |four: &[u8]| u32::from_le_bytes(four.try_into().unwrap_or_default());
    let (count, rest) = section.split_at_checked(4)?;
    let (ends, rules) = rest.split_at_checked((number(count) as usize).checked_mul(4)?)?;
    let ends: Vec<u32> = ends.chunks_exact(4).map(number).collect();
    if !ends.is_sorted() || rules.len() != *ends.last().unwrap_or(&0) as usize * RULE {
        return None;
    }
    let rules = rules.chunks_exact(RULE).map(|rule| {
        Some(Rule {
            list: rule[0],
            matching: Matching::from_u8(rule[1])?,
            action: Action::from_u8(rule[2])?,
            aliases: Aliases::from_u8(rule[3])?,
            expires: number(&rule[4..8]),
            ede: u16::try_from(number(&rule[8..])).ok()?,
        })
    });
    Some((ends, rules.collect::<Option<_>>()?))
}

/// Ends of basis and category in lines of two.
fn read_kinds(section: &[u8]) -> Option<Vec<(u32, u32)>> {
    if !section.is_ascii() {
        return None;
    }
    let mut ends = section.iter().enumerate().filter(|&(_, &byte)| byte == b'\n').map(|(at, _)| at);
    let mut kinds = Vec::new();
    while let Some(middle) = ends.next() {
        kinds.push((u32::try_from(middle).ok()?, u32::try_from(ends.next()?).ok()?));
    }
    Some(kinds)
}

#[cfg(test)]
impl Path {
    /// Every way that this processor can go.
    pub(super) fn all() -> Vec<Self> {
        let mut all = vec![Self::Portable];
        #[cfg(target_arch = "x86_64")]
        all.extend(vector::Avx2::detect().map(Self::Avx2));
        all
    }
}

#[cfg(test)]
impl CompiledList {
    /// The same list, looked up this way. Shares nothing.
    pub(super) fn with_path(&self, path: Path) -> Self {
        let list = Self::from_bytes(self.content.bytes()).expect("our own");
        Self { path, ..list }
    }
}
