//! The arena, and which answers stay in it: S3-FIFO.
//!
//! A new answer enters a small queue, a tenth of the memory. At its end it moves to the main queue if it was used
//! meanwhile (or if there is room, as in the beginning); else it goes, and its hash is remembered: asked for again it enters the main queue at once. At the end of
//! the main queue an answer that was used goes round again, one use less. So a scan of names asked once passes through
//! the small queue alone.

use std::hint::black_box;
use std::io;

use memmap2::MmapMut;

use super::entry::{Entry, Parts, UNIT, write_question};
use super::index::{Index, Key};
use super::memory::memory;
use super::queue::{Popped, Queue};
use crate::answer::Body;
use crate::wire::Query;
use crate::wire::message::record_again;

/// Below this there is no cache.
const MIN_BYTES: usize = 256 << 10;

/// What an entry may take in any cache: 4 KiB of records, and what belongs to them.
const ROOM_FOR_ANY: usize = 5 << 10;

/// The part of the memory that a single answer may take: less than the small queue has.
const PART: usize = 256;

/// Entries that go round the main queue again at most, to make room for one: bounds the work of a packet.
const MAX_ROUNDS: usize = 32;

pub(super) struct Store {
    arena: MmapMut,
    index: Index,
    small: Queue,
    main: Queue,
    /// Hashes that left the small queue unused.
    ghosts: Vec<u32>,
    entries: usize,
    /// The most that one entry takes.
    longest: usize,
    /// An answer is being written: index, queues and arena do not agree.
    writing: bool,
    /// The latest time seen, for judging age when something has to go.
    now: u32,
    /// For how many seconds after its time an answer is still of use.
    pub stale_for: u32,
}

impl Store {
    /// `None` below the smallest size that makes sense. Fails where the system has not that much.
    pub fn new(bytes: usize, stale_for: u32) -> io::Result<Option<Store>> {
        if bytes < MIN_BYTES {
            return Ok(None);
        }
        // A slot for every 48 bytes (answers take 96 to 300): buckets of eight then rarely run over.
        let buckets = bytes / 48 / 9;
        let ghosts = bytes / 512;
        let arena = (bytes - Index::bytes(buckets) - 4 * ghosts).min((u32::MAX as usize - 1) * UNIT) / UNIT * UNIT;
        let small = arena / 10 / UNIT * UNIT;
        Ok(Some(Store {
            arena: memory(arena)?,
            index: Index::new(buckets)?,
            small: Queue::new(0, small),
            main: Queue::new(small, arena - small),
            ghosts: vec![0; ghosts],
            entries: 0,
            longest: ROOM_FOR_ANY.max(bytes / PART),
            writing: false,
            now: 0,
            stale_for,
        }))
    }

    /// Loads what look-ups of these keys will read; the loads do not wait for each other.
    #[inline]
    pub fn touch(&self, keys: &[Key]) {
        let mut sum = 0u32;
        for key in keys {
            sum ^= self.index.first(key.hash);
        }
        for key in keys {
            for place in self.index.candidates(key.hash) {
                let at = offset(place);
                sum ^= u32::from(self.arena[at]) ^ self.arena.get(at + 64).map_or(0, |byte| u32::from(*byte));
            }
        }
        black_box(sum);
    }

    /// The entry of a query, whatever its age.
    #[inline]
    pub fn find(&self, key: &Key, query: &Query) -> Option<(usize, Entry)> {
        self.index.candidates(key.hash).map(offset).find_map(|at| {
            let bytes = &self.arena[at..];
            let entry = Entry::read(bytes)?;
            let same = entry.hash == key.hash
                && entry.qtype == query.qtype
                && (entry.bits, entry.view) == (key.bits, key.view)
                && entry.name(bytes) == query.qname.wire();
            same.then_some((at, entry))
        })
    }

    /// Notes that an entry was of use.
    #[inline]
    pub fn used(&mut self, at: usize, entry: &Entry) {
        if entry.used < 3 {
            self.arena[at + Entry::USED] = entry.used + 1;
        }
    }

    #[inline]
    pub fn parts(&self, at: usize, entry: &Entry) -> Parts<'_> {
        entry.parts(&self.arena[at..])
    }

    /// The entry at a place.
    pub fn at(&self, at: usize) -> Option<Entry> {
        Entry::read(self.arena.get(at..)?)
    }

    /// Writes the head again.
    pub fn rewrite(&mut self, at: usize, entry: &Entry) {
        entry.write(&mut self.arena[at..]);
    }

    /// Keeps an answer in the place of the one that was there. `ttls` are offsets in the records, of all or of the first
    /// of them; `cap` is the offset of a TTL and what it is lowered to. False if it is too long for this cache.
    pub fn put(
        &mut self,
        key: &Key,
        query: &Query,
        entry: Entry,
        body: &Body<'_>,
        ttls: impl ExactSizeIterator<Item = u16>,
        cap: Option<(u16, u32)>,
    ) -> bool {
        self.writing = true;
        let kept = self.write(key, query, entry, body, ttls, cap);
        self.writing = false;
        kept
    }

    #[inline(always)]
    fn write(
        &mut self,
        key: &Key,
        query: &Query,
        mut entry: Entry,
        body: &Body<'_>,
        ttls: impl ExactSizeIterator<Item = u16>,
        cap: Option<(u16, u32)>,
    ) -> bool {
        self.now = entry.stored;
        let options = body.options;
        (entry.options, entry.records) = (options.len() as u16, body.length() as u16);
        (entry.flags, entry.rcode, entry.counts) = (body.flags, body.rcode, body.counts);
        // No more than a message has room for.
        entry.ttls = body.counts.into_iter().sum();
        let need = entry.needs();
        if need > self.longest {
            return false;
        }
        let before = self.find(key, query);
        let at = match before {
            Some((at, old)) if (need..=2 * need).contains(&(old.size as usize)) => {
                (entry.size, entry.used) = (old.size, old.used);
                at
            }
            _ => {
                let known = before.is_some_and(|(at, old)| old.used > 0 || self.main.contains(at));
                let into_main = known || self.take_ghost(key.hash);
                if let Some((at, _)) = before {
                    self.forget(key.hash, at);
                }
                let Some(at) = self.make_room(need, into_main) else { return false };
                entry.size = need as u32;
                self.enter(key.hash, at);
                at
            }
        };
        let bytes = &mut self.arena[at..at + need];
        entry.write(bytes);
        let parts = entry.parts_mut(bytes);
        write_question(query, parts.question);
        body.copy_records(parts.records);
        parts.options.copy_from_slice(options);
        let places = parts.ttls.as_chunks_mut::<2>().0;
        if ttls.len() == places.len() {
            places.iter_mut().zip(ttls).for_each(|(place, ttl)| *place = ttl.to_le_bytes());
        } else {
            find_ttls(parts.records, places);
        }
        if let Some((at, most)) = cap
            && let Some(place) = parts.records.get_mut(usize::from(at)..).and_then(<[u8]>::first_chunk_mut::<4>)
        {
            *place = u32::from_be_bytes(*place).min(most).to_be_bytes();
        }
        true
    }

    /// The last [`Store::put`] did not come to its end.
    pub fn is_half_written(&self) -> bool {
        self.writing
    }

    pub fn entries(&self) -> usize {
        self.entries
    }

    pub fn flush(&mut self) {
        self.index.clear();
        self.small.clear();
        self.main.clear();
        self.ghosts.fill(0);
        self.entries = 0;
        self.writing = false;
    }

    /// Room in a queue; entries go until there is.
    fn make_room(&mut self, need: usize, into_main: bool) -> Option<usize> {
        let mut rounds = MAX_ROUNDS;
        loop {
            let queue = if into_main { &mut self.main } else { &mut self.small };
            if let Some(at) = queue.push(&mut self.arena, need) {
                return Some(at);
            }
            match queue.pop(&self.arena) {
                Popped::Nothing => return None,
                Popped::Filler => {}
                Popped::Entry(at) if into_main => self.leave_main(at, &mut rounds),
                Popped::Entry(at) => self.leave_small(at),
            }
        }
    }

    fn leave_small(&mut self, at: usize) {
        let Some(entry) = self.live(at) else { return };
        let size = entry.size as usize;
        if entry.used == 0 && !self.main.has_room(size) {
            self.forget(entry.hash, at);
            if let Some(place) = self.ghost(entry.hash) {
                self.ghosts[place] = tag(entry.hash);
            }
            return;
        }
        // Room is made in the other queue, so the bytes here stay as they are.
        match self.make_room(size, true) {
            Some(new) => {
                self.arena.copy_within(at..at + size, new);
                self.index.set(entry.hash, place(at), place(new));
            }
            None => self.forget(entry.hash, at),
        }
    }

    fn leave_main(&mut self, at: usize, rounds: &mut usize) {
        let Some(mut entry) = self.live(at) else { return };
        let size = entry.size as usize;
        let worth = entry.used > 0 && *rounds > 0 && self.now < entry.expires.saturating_add(self.stale_for);
        if worth && let Some(new) = self.main.push(&mut self.arena, size) {
            *rounds -= 1;
            entry.used -= 1;
            self.arena.copy_within(at..at + size, new);
            self.rewrite(new, &entry);
            self.index.set(entry.hash, place(at), place(new));
        } else {
            self.forget(entry.hash, at);
        }
    }

    /// The entry at a place that was taken out of its queue, unless a newer one stands for it.
    fn live(&self, at: usize) -> Option<Entry> {
        Entry::read(&self.arena[at..]).filter(|entry| self.index.holds(entry.hash, place(at)))
    }

    /// Enters a place in the index; the least useful of a full bucket goes.
    fn enter(&mut self, hash: u64, at: usize) {
        self.entries += 1;
        if self.index.set(hash, 0, place(at)) {
            return;
        }
        let worst = self.index.places(hash).min_by_key(|held| {
            let at = offset(*held);
            let worth = Entry::read(&self.arena[at..]).map_or((0, 0), |entry| (entry.used, entry.expires));
            (self.main.contains(at), worth)
        });
        if let Some(worst) = worst {
            self.index.remove(hash, worst);
            self.entries -= 1;
        }
        self.index.set(hash, 0, place(at));
    }

    fn forget(&mut self, hash: u64, at: usize) {
        self.index.remove(hash, place(at));
        self.entries -= 1;
    }

    fn ghost(&self, hash: u64) -> Option<usize> {
        (hash as usize).checked_rem(self.ghosts.len())
    }

    fn take_ghost(&mut self, hash: u64) -> bool {
        let Some(place) = self.ghost(hash) else { return false };
        let found = self.ghosts[place] == tag(hash);
        if found {
            self.ghosts[place] = 0;
        }
        found
    }
}

/// The offsets of the TTLs of more records than are noted on the way.
#[cold]
fn find_ttls(records: &[u8], places: &mut [[u8; 2]]) {
    let mut at = 0;
    for place in places {
        let Some(rr) = record_again(records, at) else { return };
        *place = (rr.ttl_at as u16).to_le_bytes();
        at = rr.end;
    }
}

/// What is remembered of a hash that left; never 0.
fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32 | 1
}

#[inline(always)]
fn place(at: usize) -> u32 {
    (at / UNIT + 1) as u32
}

#[inline(always)]
fn offset(place: u32) -> usize {
    (place as usize - 1) * UNIT
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::answer::Behind;
    use crate::cache::index::Hasher;
    use crate::wire::Name;

    #[test]
    fn an_answer_whose_writing_was_broken_off_is_seen_and_leaves_with_all_others() {
        let mut store = Store::new(MIN_BYTES, 0).expect("memory").expect("a store");
        let query = Query { qname: Name::from_text("example.com").expect("a name"), qtype: 1, ..Query::BLANK };
        let key = Hasher::new([1, 2]).key(&query, 0);
        let entry = Entry::new(&key, &query, 1, 60, 0);
        // one record at the root: type A, class IN, TTL 60, four octets
        let record = [0, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1];
        let (counts, behind) = ([1, 0, 0], Behind::default());
        let body = Body { flags: 0, rcode: 0, counts, octets: &record, question: 0, behind, options: &[], ede: None };
        assert!(store.put(&key, &query, entry, &body, [5].into_iter(), None));
        assert!(!store.is_half_written());
        let breaks_off = [5].into_iter().map(|_: u16| -> u16 { panic!("a bug, for the test") });
        let broken = catch_unwind(AssertUnwindSafe(|| store.put(&key, &query, entry, &body, breaks_off, None)));
        assert!(broken.is_err() && store.is_half_written());
        store.flush();
        assert!(!store.is_half_written() && store.entries() == 0 && store.find(&key, &query).is_none());
        assert!(store.put(&key, &query, entry, &body, [5].into_iter(), None));
        let (at, kept) = store.find(&key, &query).expect("kept");
        assert_eq!((store.entries(), store.parts(at, &kept).ttls), (1, &[5, 0][..]));
    }
}
