//! The arena, and which answers stay in it: S3-FIFO.
//!
//! A new answer enters a small queue, a tenth of the memory. At its end it moves to the main queue if it was used
//! meanwhile (or if there is room, as in the beginning); else it goes, and its hash is remembered: asked for again it enters the main queue at once. At the end of
//! the main queue an answer that was used goes round again, one use less. So a scan of names asked once passes through
//! the small queue alone.

use std::hint::black_box;
use std::io;

use memmap2::{Advice, MmapMut};

use super::MAX_RECORDS;
use super::entry::{Entry, Parts, UNIT};
use super::index::{Index, Key};
use super::queue::{Popped, Queue};
use crate::wire::Query;

/// Below this there is no cache.
const MIN_BYTES: usize = 256 << 10;

/// The largest entry: head, name, TTL offsets, options, records.
const MAX_ENTRY: usize = super::entry::HEAD + 255 + 2 * crate::wire::upstream::MAX_TTLS + 512 + MAX_RECORDS;

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
                && entry.parts(bytes).name == query.qname.wire();
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

    /// Writes the head anew.
    pub fn rewrite(&mut self, at: usize, entry: &Entry) {
        entry.write(&mut self.arena[at..]);
    }

    /// Keeps an answer in the place of the one that was there. `ttls` are offsets in `records`; `cap` is the offset of a
    /// TTL and what it is lowered to.
    #[allow(clippy::too_many_arguments)] // the parts of one entry, laid down side by side
    pub fn put(
        &mut self,
        key: &Key,
        query: &Query,
        mut entry: Entry,
        ttls: impl Iterator<Item = u16>,
        options: &[u8],
        records: &[u8],
        cap: Option<(u16, u32)>,
    ) -> bool {
        self.now = entry.stored;
        let mut offsets = [0u8; 2 * crate::wire::upstream::MAX_TTLS];
        for (place, ttl) in offsets.as_chunks_mut::<2>().0.iter_mut().zip(ttls) {
            *place = ttl.to_le_bytes();
            entry.ttls += 1;
        }
        // Longer extended errors than anyone writes are not worth their room.
        let options = if options.len() <= 512 { options } else { &[] };
        entry.options = options.len() as u16;
        entry.records = records.len() as u16;
        let need = entry.needs();
        debug_assert!(need <= MAX_ENTRY.next_multiple_of(UNIT));
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
        let mut rest = &mut bytes[super::entry::HEAD..];
        for part in [query.qname.wire(), &offsets[..2 * usize::from(entry.ttls)], options, records] {
            let (place, after) = rest.split_at_mut(part.len());
            place.copy_from_slice(part);
            rest = after;
        }
        if let Some((ttl_at, most)) = cap {
            let start = need - rest.len() - records.len() + usize::from(ttl_at);
            if let Some(place) = self.arena[at + start..at + need].first_chunk_mut::<4>() {
                *place = u32::from_be_bytes(*place).min(most).to_be_bytes();
            }
        }
        true
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

/// Zeroed memory that the system hands out as it is touched. In huge pages where it can: look-ups go anywhere in it, and
/// under a hypervisor a page walk costs as much as the memory.
pub(super) fn memory(bytes: usize) -> io::Result<MmapMut> {
    let memory = MmapMut::map_anon(bytes)?;
    // A kernel built without them says no, and small pages it is.
    let _ = memory.advise(Advice::HugePage);
    Ok(memory)
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
