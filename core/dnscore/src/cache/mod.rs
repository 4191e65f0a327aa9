//! The packet cache: upstreams' answers, ready to be sent again, in a fixed piece of memory.
//!
//! Enters: checked answers, and queries. Leaves: answers for those queries. Rules:
//!
//! * The key is the lower-case name, the type, DO, CD and the view; a query with RD=0 has none and passes by.
//! * A hit is a copy with the client's id, question, RD and CD, TTLs lowered by the entry's age, an OPT of our own; AD
//!   only where the query had AD or DO.
//! * Never kept: TTL 0, a negative answer without SOA, an answer that would take more than 5 KiB and more than a 256th of
//!   the cache. A negative answer lives for min(SOA TTL, MINIMUM, 1 hour), a failure for 1, 2, 4, then 5 seconds (RFC 9520),
//!   anything for a day at most.
//! * Of an answer that came with TC nothing is kept but that, for 5 seconds: a client that asks by datagram gets TC at once, and comes by
//!   TCP, who comes by TCP is passed on. It takes the place of no answer that could still be given as stale.
//! * After its time an answer stays for a day, or as long as was said, as *stale*: it is given, with EDE 3 and a TTL of 30, where the caller has
//!   found the upstreams silent, slow or failing ([`Cache::stale`]), and for the few seconds for which their failure is
//!   remembered (RFC 8767). No failure takes its place.
//! * Memory is taken once and touched as it fills; names asked once push out only each other (S3-FIFO). No entry is
//!   allocated for itself. Names are hashed under a secret, and what collides evicts: no name makes a look-up longer.

mod entry;
mod index;
mod memory;
mod queue;
mod store;

pub use index::Key;

use crate::answer::{Behind, Body, rebuild};
use crate::wire::upstream::Kind;
use crate::wire::{Checked, OPTION_EDE, Query, UDP_SIZE, ede, flag, rcode, u16_at};
use entry::{Entry, Parts};
use index::Hasher;
use store::Store;

/// The longest an answer is kept fresh, whatever its TTL: a day.
pub const MAX_TTL: u32 = 86_400;

/// How long after its time an answer can still be given as stale unless something else is said: a day.
pub const STALE_FOR: u32 = 86_400;

/// TTL of the records of a stale answer (RFC 8767, 4).
pub const STALE_TTL: u32 = 30;

/// How long it is remembered that an answer is too long for a datagram, in seconds: as long as a failure at most. An upstream
/// may also say so to a host that asks too much.
pub const TRUNCATED_TTL: u32 = 5;

/// The cache of one worker.
pub struct Cache {
    hasher: Hasher,
    store: Option<Store>,
}

impl Cache {
    /// A cache of `bytes` in all, index included; below 256 KiB there is none and nothing is kept. `seed` is secret. An
    /// answer can be given as stale for `stale_for` seconds after its time; 0: never.
    ///
    /// # Errors
    /// The system has not that much memory.
    pub fn new(bytes: usize, seed: [u64; 2], stale_for: u32) -> std::io::Result<Cache> {
        Ok(Cache { hasher: Hasher::new(seed), store: Store::new(bytes, stale_for)? })
    }

    /// The key of a query; `None` where the cache is passed by. `view` tells apart clients whose upstreams differ.
    #[inline]
    pub fn key(&self, query: &Query, view: u8) -> Option<Key> {
        (query.rd() && self.store.is_some()).then(|| self.hasher.key(query, view))
    }

    /// Brings what a batch of keys needs into the processor's caches, all at once instead of one after the other.
    #[inline]
    pub fn touch(&self, keys: &[Key]) {
        if let Some(store) = &self.store {
            store.touch(keys);
        }
    }

    /// Notes that no owner of an entry's records meets the list of this generation.
    pub fn judged(&mut self, foreign: Foreign, generation: u32) {
        if let Some(store) = self.store.as_mut()
            && let Some(mut entry) = store.at(foreign.at)
        {
            entry.judged = generation;
            store.rewrite(foreign.at, &entry);
        }
    }

    /// Writes the answer to a query, if there is one that still holds. `now_ms` is any clock that only goes forward.
    #[inline]
    pub fn get(
        &mut self,
        key: &Key,
        query: &Query,
        packet: &[u8],
        now_ms: u64,
        limit: usize,
        out: &mut [u8],
    ) -> Option<Given> {
        let store = self.store.as_mut()?;
        let now = seconds(now_ms);
        let (at, entry) = store.find(key, query)?;
        if now < entry.expires {
            // It did not fit what was asked for, and says nothing of what is longer.
            if entry.truncated() && limit > usize::from(UDP_SIZE) {
                return None;
            }
            store.used(at, &entry);
            let age = Age::Of(now.saturating_sub(entry.stored));
            let length = write(store.parts(at, &entry), &entry, age, query, packet, limit, out);
            return Some(Given::of(length, at, &entry, query, out));
        }
        if now < entry.retry_at && entry.stale(now, store.stale_for) {
            let length = write(store.parts(at, &entry), &entry, Age::Stale, query, packet, limit, out);
            return Some(Given::of(length, at, &entry, query, out));
        }
        None
    }

    /// Writes an answer whose time is over, with EDE 3 or 19. Only for when upstreams have failed, or let wait.
    pub fn stale(
        &mut self,
        key: &Key,
        query: &Query,
        packet: &[u8],
        now_ms: u64,
        limit: usize,
        out: &mut [u8],
    ) -> Option<Given> {
        let store = self.store.as_mut()?;
        let now = seconds(now_ms);
        let (at, entry) = store.find(key, query)?;
        let age = if now < entry.expires { Age::Of(now.saturating_sub(entry.stored)) } else { Age::Stale };
        if !entry.stale(now, store.stale_for) {
            return None;
        }
        let length = write(store.parts(at, &entry), &entry, age, query, packet, limit, out);
        Some(Given::of(length, at, &entry, query, out))
    }

    /// Whether [`Cache::stale`] has something to give.
    pub fn has_stale(&self, key: &Key, query: &Query, now_ms: u64) -> bool {
        let Some(store) = &self.store else { return false };
        store.find(key, query).is_some_and(|(_, entry)| entry.stale(seconds(now_ms), store.stale_for))
    }

    /// Whether it is known that the answer is too long for a datagram.
    pub fn is_truncated(&self, key: &Key, query: &Query, now_ms: u64) -> bool {
        let Some(store) = &self.store else { return false };
        store.find(key, query).is_some_and(|(_, entry)| entry.truncated() && seconds(now_ms) < entry.expires)
    }

    /// Keeps an upstream's answer to this query, if the rules let it. Says whether it did.
    pub fn put(&mut self, key: &Key, query: &Query, answer: &[u8], checked: &Checked, now_ms: u64) -> bool {
        let Some(store) = self.store.as_mut() else { return false };
        let now = seconds(now_ms);
        if checked.truncated() {
            return put_truncated(store, key, query, checked, now);
        }
        let (lifetime, strikes) = match checked.kind {
            // "all other response codes" have not refreshed the data (RFC 8767, 4): what there is stays.
            Kind::Failure => match failed(store, key, query, now) {
                Some(kept) => kept,
                None => return false,
            },
            _ => (checked.lifetime.min(MAX_TTL), 0),
        };
        if lifetime == 0 {
            return false;
        }
        let mut entry = Entry::new(key, query, now, now.saturating_add(lifetime), strikes);
        entry.failure = checked.kind == Kind::Failure;
        entry.judged = if checked.foreign { UNJUDGED } else { 0 };
        let question_end = checked.question_end;
        let soa_ttl_at = match checked.kind {
            Kind::Negative => checked.soa_ttl_at.checked_sub(question_end),
            _ => None,
        };
        let ttls = checked.ttls().iter().map(|at| at - question_end);
        store.put(key, query, entry, &Body::of(answer, checked), ttls, soa_ttl_at.map(|at| (at, lifetime)))
    }

    /// Remembers that every upstream was silent (EDE 22) or of no use (EDE 23): for 1 to 5 seconds the next query gets
    /// the stale answer or, where there is none, SERVFAIL with that code.
    pub fn fail(&mut self, key: &Key, query: &Query, code: u16, now_ms: u64) {
        let Some(store) = self.store.as_mut() else { return };
        let now = seconds(now_ms);
        let Some((lifetime, strikes)) = failed(store, key, query, now) else { return };
        let mut entry = Entry::new(key, query, now, now.saturating_add(lifetime), strikes);
        entry.failure = true;
        let [option_high, option_low] = OPTION_EDE.to_be_bytes();
        let [code_high, code_low] = code.to_be_bytes();
        let options = [option_high, option_low, 0, 2, code_high, code_low];
        let body = Body { options: &options, ..empty(flag::RA, rcode::SERVFAIL) };
        store.put(key, query, entry, &body, std::iter::empty(), None);
    }

    /// After a panic that was caught: forgets everything if it came while an answer was being written.
    pub fn recover(&mut self) {
        if let Some(store) = self.store.as_mut().filter(|store| store.is_half_written()) {
            store.flush();
        }
    }

    /// Forgets everything.
    pub fn flush(&mut self) {
        if let Some(store) = self.store.as_mut() {
            store.flush();
        }
    }

    /// Answers held, stale ones included.
    pub fn entries(&self) -> usize {
        self.store.as_ref().map_or(0, Store::entries)
    }
}

/// An answer that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Given {
    /// Its length.
    pub length: usize,
    /// No record was left out for want of room: another client may be given more.
    pub whole: bool,
    /// Where names beside the question's own records in it, what is known of them.
    pub foreign: Option<Foreign>,
}

/// Names that own records in an entry, beside the question's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Foreign {
    at: usize,
    /// The generation of the list that none of them meets an entry of; [`UNJUDGED`]: not known of any.
    pub judged: u32,
}

/// No generation of a list.
pub const UNJUDGED: u32 = 1;

impl Given {
    #[inline]
    fn of(length: usize, at: usize, entry: &Entry, query: &Query, out: &[u8]) -> Given {
        let opt = u16::from(query.edns.is_some());
        let whole = u16_at(out, 6) == Some(entry.counts[0]) && u16_at(out, 10) == Some(entry.counts[2] + opt);
        Given { length, whole, foreign: (entry.judged != 0).then_some(Foreign { at, judged: entry.judged }) }
    }
}

/// How old an answer is shown to be.
enum Age {
    Of(u32),
    Stale,
}

/// Copies an entry out as the answer to this query.
#[inline]
fn write(
    parts: Parts<'_>,
    entry: &Entry,
    age: Age,
    query: &Query,
    packet: &[u8],
    limit: usize,
    out: &mut [u8],
) -> usize {
    let ede = match age {
        Age::Of(_) => None,
        Age::Stale if entry.rcode == rcode::NXDOMAIN => Some(ede::STALE_NXDOMAIN),
        Age::Stale => Some(ede::STALE_ANSWER),
    };
    let body = Body {
        flags: entry.flags,
        rcode: entry.rcode,
        counts: entry.counts,
        octets: parts.octets,
        question: parts.question,
        behind: Behind::default(),
        options: parts.options,
        ede,
    };
    let (length, records_end) = rebuild(packet, query, &body, limit, out);
    let records = &mut out[usize::from(query.question_end)..records_end];
    for at in parts.ttls.as_chunks::<2>().0 {
        let at = usize::from(u16::from_le_bytes(*at));
        // What was left out was left out from the end.
        let Some(place) = records.get_mut(at..at + 4) else { break };
        let ttl = match age {
            Age::Of(seconds) => u32::from_be_bytes([place[0], place[1], place[2], place[3]]).saturating_sub(seconds),
            Age::Stale => STALE_TTL,
        };
        place.copy_from_slice(&ttl.to_be_bytes());
    }
    length
}

/// An answer without records.
fn empty(flags: u16, rcode: u16) -> Body<'static> {
    let flags = flags | (rcode & flag::RCODE);
    Body { flags, rcode, counts: [0; 3], octets: &[], question: 0, behind: Behind::default(), options: &[], ede: None }
}

/// Keeps that an answer was too long for a datagram, unless there is an answer that may still be of use.
fn put_truncated(store: &mut Store, key: &Key, query: &Query, checked: &Checked, now: u32) -> bool {
    let found = store.find(key, query);
    if checked.kind == Kind::Failure || found.is_some_and(|(_, entry)| entry.stale(now, store.stale_for)) {
        return false;
    }
    let entry = Entry::new(key, query, now, now.saturating_add(TRUNCATED_TTL), 0);
    let body = empty(checked.flags & !flag::AD, checked.rcode);
    store.put(key, query, entry, &body, std::iter::empty(), None)
}

/// A failure to refresh: how long it is kept, and the how-manieth in a row it is. `None` where there is an answer that may
/// still be of use: that one is given for as long instead.
fn failed(store: &mut Store, key: &Key, query: &Query, now: u32) -> Option<(u32, u8)> {
    let found = store.find(key, query);
    let (lifetime, strikes) = failure(found.map(|(_, entry)| entry), now);
    if let Some((at, mut entry)) = found.filter(|(_, entry)| entry.stale(now, store.stale_for)) {
        entry.retry_at = now.saturating_add(lifetime);
        entry.strikes = strikes;
        store.rewrite(at, &entry);
        return None;
    }
    Some((lifetime, strikes))
}

/// How long a failure is kept, and the how-manieth in a row it is: 1, 2, 4, then 5 seconds (RFC 9520, 3.2: at least a
/// second, longer when it goes on). After a quarter of a minute without one the count begins again at one.
fn failure(before: Option<Entry>, now: u32) -> (u32, u8) {
    let strikes = before.map_or(0, |entry| {
        let last = if entry.failure { entry.expires } else { entry.retry_at };
        if now < last.saturating_add(15) { entry.strikes } else { 0 }
    });
    let strikes = (strikes + 1).min(4);
    ([1, 2, 4, 5][usize::from(strikes) - 1], strikes)
}

#[inline(always)]
fn seconds(now_ms: u64) -> u32 {
    (now_ms / 1000) as u32
}
