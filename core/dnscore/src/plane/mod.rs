//! The plane: everything that a worker does with datagrams.
//!
//! Enters: wakes ([`Plane::pump`]), time ([`Plane::tick`]), what came of questions over TCP. Leaves: answers and queries,
//! sent; questions over TCP are Python's to ask. A wake takes at most eight batches of up to 64 datagrams, or of what up to
//! 64 connections have: each batch is received at once, goes through the stages of the chain as a batch (so that the
//! look-ups' waits for memory overlap), and is sent at once.

mod aliases;
mod asks;
mod batch;
mod chain;
mod datagrams;
mod entry_counts;
mod kept;
mod local;
mod over_tcp;
mod own;
mod owners;
mod proxy;
mod relaying;
mod replies;
mod sending;
mod settings;
mod shadow;
mod stages;
mod streams;

use std::io;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, RawFd};
use std::path::Path;
use std::sync::Arc;

use crate::answer::Explanation;
use crate::cache::Cache;
use crate::clients::{Clients, Prefix};
use crate::counters::{Counter, Counters};
use crate::list::CompiledList;
use crate::relay::health::Upstream;
use crate::relay::random::Random;
use crate::relay::rate::Rate;
use crate::relay::{Relay, hash};
use crate::streams::Streams;
use crate::sys::{self, BATCH, LARGEST_SENT, LINK, Listener, Poll, Ready, Receiver, Sender};
use crate::tap::Tap;
use crate::verdict::Exceptions;
use crate::wire::Name;

use asks::Lane;
use batch::Batch;
use local::Local;
use owners::Owners;
use proxy::Balancers;
use relaying::Relaying;
use replies::Door;
use stages::{Chain, Now};
use streams::Messages;

pub use asks::TcpAsk;
pub use entry_counts::EntryHits;
pub use local::OwnAnswer;
pub use settings::Settings;
pub use shadow::{Seen, Shadow, ShadowList};

/// Batches in one wake; then the event loop breathes.
const BATCHES_A_WAKE: usize = 8;
/// Bytes for a query: 4,096, and a PROXY header before it; an odd number of cache lines. What is longer is cut (FORMERR).
const QUERY_ROOM: usize = 65 * 64;
/// Bytes for an upstream's answer: more than the 1232 that were asked for, an odd number of cache lines.
const ANSWER_ROOM: usize = 65 * 64;

/// One worker's plane.
pub struct Plane {
    poll: Poll,
    ready: Vec<Ready>,
    queries: Receiver,
    answers: Receiver,
    batch: Batch,
    balancers: Balancers,
    chain: Chain,
    relaying: Relaying,
    streams: Streams,
    messages: Messages,
    clock: Now,
    unix_offset: u64,
    published: u64,
    next_uid: u32,
}

impl Plane {
    /// A plane that listens nowhere yet and knows no upstream.
    pub fn new(settings: Settings) -> io::Result<Plane> {
        let Settings { page, clients, health, cache_bytes, counters_path, rate, limits, remote_sockets, .. } = settings;
        let Settings {
            cache_stale,
            joins,
            proxy_from,
            proxy_to,
            tls_to,
            tap,
            sketch_key,
            seed,
            health_mark,
            own_answers,
            streams: stream_limits,
            https_path,
            ..
        } = settings;
        let balancers = Clients::new(&proxy_from, &[]);
        let mut random = seed.map_or_else(|| Random::new(sys::fill_random), Random::seeded);
        let key = hash::Key(random.u64(), random.u64());
        let sketch_key = sketch_key.map_or_else(|| hash::Key(random.u64(), random.u64()), |(a, b)| hash::Key(a, b));
        let mut plane = Plane {
            poll: Poll::new()?,
            ready: Vec::with_capacity(BATCH),
            queries: Receiver::new(QUERY_ROOM),
            answers: Receiver::new(ANSWER_ROOM),
            batch: Batch::new(),
            balancers: Balancers::new(&proxy_from),
            chain: Chain {
                clients,
                checkers: Clients::new(&[&Prefix::LOOPBACK[..], &proxy_from].concat(), &[]),
                rate: rate.map(|(per_second, burst)| Rate::new(per_second, burst)),
                list: None,
                explanations: Vec::new(),
                exceptions: Exceptions::none(),
                page,
                health,
                health_mark,
                local: Local::new(own_answers),
                cache: Cache::new(cache_bytes, [random.u64(), random.u64()], cache_stale)?,
                counters: counters_path.map_or_else(|| Ok(Counters::new()), |path| Counters::in_file(&path))?,
                hits: EntryHits::default(),
                owners: Owners::new(),
                tap: tap.map(|settings| Box::new(Tap::new(settings))),
                shadow: Shadow::new(sketch_key),
                key,
            },
            relaying: Relaying::new(Relay::new(limits, key), random, remote_sockets, (proxy_to, tls_to), joins),
            streams: Streams::new(stream_limits, balancers, &https_path),
            messages: Messages::default(),
            clock: Now::default(),
            unix_offset: 0,
            published: 0,
            next_uid: 0,
        };
        plane.tick();
        Ok(plane)
    }

    /// The descriptor to watch.
    pub fn fd(&self) -> RawFd {
        self.poll.raw()
    }

    /// Serves a bound UDP socket, which its owner keeps open as long as the plane.
    pub fn listen(&mut self, socket: BorrowedFd<'_>) -> io::Result<()> {
        let listener = Listener::adopt(socket)?;
        self.poll.add(listener.raw(), self.relaying.replies.doors.len() as u64)?;
        self.relaying.replies.doors.push(Door { listener, sender: Sender::new(self.relaying.joins), open: true });
        Ok(())
    }

    /// Takes no more queries; answers still leave.
    pub fn stop_listening(&mut self) -> io::Result<()> {
        for door in &mut self.relaying.replies.doors {
            if std::mem::replace(&mut door.open, false) {
                self.poll.remove(door.listener.raw())?;
            }
        }
        self.read_clock();
        self.streams.drain(&self.poll, self.clock.us);
        self.carry_on();
        Ok(())
    }

    /// From the next query on this list holds. `views`: which of its lists do for the clients of each view; `counters`:
    /// under which number each counts. What it meets by entry is counted once [`Plane::count_in`] says where.
    pub fn set_list(&mut self, list: Option<Arc<CompiledList>>, views: &[u64], counters: &[u8]) {
        self.chain.list = list;
        self.chain.counters.set_lists(counters);
        self.chain.clients.set_lists(views);
        self.chain.explanations = Vec::new();
        self.chain.owners.new_list();
        self.chain.hits = EntryHits::default();
    }

    /// How the lists of the compiled file explain themselves to clients that read structured errors, by their numbers.
    pub fn explain(&mut self, explanations: Vec<Option<Explanation>>) {
        self.chain.explanations = explanations;
    }

    /// These lists of the compiled file are under shadow evaluation from the next query on; to be set again with each file.
    pub fn set_shadow_lists(&mut self, lists: Vec<ShadowList>) {
        self.chain.shadow.set(lists);
    }

    /// What the shadow evaluation has seen so far.
    pub fn shadow_sketches(&self) -> &[Seen] {
        self.chain.shadow.seen()
    }

    /// From the next query on these exceptions hold.
    pub fn set_exceptions(&mut self, exceptions: Exceptions) {
        self.chain.exceptions = exceptions;
    }

    /// The upstreams, in order of preference. One that stays keeps its health and its sockets.
    pub fn set_upstreams(&mut self, addresses: &[SocketAddr]) {
        let Relaying { forwarder, proxy_to, tls_to, .. } = &mut self.relaying;
        forwarder.set_upstreams(addresses, |address| {
            self.next_uid += 1;
            let (sends_proxy_header, tls) = (proxy_to.contains(&address), tls_to.contains(&address));
            Upstream::new(self.next_uid, address).reached_by(sends_proxy_header, tls)
        });
        let by_datagram = forwarder.upstreams.iter().filter(|u| !u.tls);
        let known: Vec<_> = by_datagram.map(|u| (u.uid, u.address, u.loopback)).collect();
        self.relaying.links.set_upstreams(&known, self.relaying.remote_sockets, self.clock.us);
        self.relaying.lanes = addresses.iter().map(|_| Lane::new(self.relaying.joins)).collect();
        self.relaying.open_one_each(&self.poll, self.clock);
    }

    /// What is known of the upstreams.
    pub fn upstreams(&self) -> &[Upstream] {
        &self.relaying.forwarder.upstreams
    }

    /// Questions in flight, late ones included.
    pub fn in_flight(&self) -> usize {
        self.relaying.forwarder.relay.in_flight()
    }

    /// What has been counted.
    pub fn counters(&self) -> &Counters {
        &self.chain.counters
    }

    /// A bug was caught at the border: count it, and drop the batch it happened in, with all that was noted on its way and
    /// would be read with the next one. The cache goes where the bug left it half-written. Questions in flight stay, since
    /// clients wait for them; one that was half-entered ends by its time.
    pub fn recover(&mut self) {
        self.chain.counters.count(Counter::Panics);
        self.batch.forget();
        // Connections would wait for the answers that go with the batch: they end, and their clients ask again.
        let waiting = self.relaying.replies.outlet.waiting().map(|(number, _)| number);
        self.messages.numbers().chain(waiting).for_each(|number| self.streams.close(number, self.clock.us));
        self.messages = Messages::default();
        self.relaying.replies.outlet.clear();
        self.chain.owners.forget();
        self.chain.cache.recover();
        self.chain.tap.iter_mut().for_each(|tap| tap.recover());
        self.relaying.replies.doors.iter_mut().for_each(|door| door.sender.clear());
        self.relaying.lanes.iter_mut().for_each(Lane::clear);
    }

    /// From the next query on what each entry of the list meets is counted in this file, whose totals begin at `at`, and
    /// no more in the one before, whatever becomes of this.
    pub fn count_in(&mut self, path: &Path, at: usize) -> io::Result<()> {
        let entries = self.chain.list.as_ref().map_or(0, |list| list.entries());
        self.chain.hits = EntryHits::default();
        self.chain.hits = EntryHits::in_file(path, at, entries)?;
        Ok(())
    }

    /// The dnstap frames that wait.
    pub fn take_tap(&mut self) -> Vec<u8> {
        self.chain.tap.as_mut().map_or_else(Vec::new, |tap| tap.take())
    }

    /// Whether there is no file descriptor for another connection.
    pub fn note_starved(&mut self, starved: bool) {
        self.chain.counters.set(Counter::StreamsStarvedNow, starved.into());
    }

    /// Forgets all cached answers.
    pub fn flush_cache(&mut self) {
        self.chain.cache.flush();
    }

    fn read_clock(&mut self) {
        let us = sys::monotonic();
        let unix_us = us + self.unix_offset;
        self.clock = Now { us, unix: u32::try_from(unix_us / 1_000_000).unwrap_or(u32::MAX), unix_us };
    }

    /// Takes what waits.
    pub fn pump(&mut self) {
        self.chain.counters.count(Counter::Wakes);
        let (mut budget, mut attended) = (BATCHES_A_WAKE, 0);
        let mut ready = std::mem::take(&mut self.ready);
        while budget > 0 {
            if self.poll.ready(&mut ready).is_err() || ready.is_empty() {
                break;
            }
            // A socket whose batch was full has more: it is read again without asking epoll.
            while budget > 0 && !ready.is_empty() {
                self.read_clock();
                ready.retain(|at| {
                    if budget == 0 {
                        return true;
                    }
                    if at.token & LINK == 0 && Streams::is_theirs(at.token) {
                        attended += 1;
                        budget -= usize::from(attended % BATCH == 0);
                        return self.attend(at);
                    }
                    budget -= 1;
                    self.chain.counters.count(Counter::Batches);
                    if at.token & LINK != 0 { self.hear(at.token) } else { self.serve(at.token as usize) }
                });
                self.relaying.flush(&mut self.chain, &self.poll, self.clock);
                self.carry_on();
            }
        }
        ready.clear();
        self.ready = ready;
        self.publish(false);
    }

    /// A batch from an upstream. True if there may be more.
    fn hear(&mut self, token: u64) -> bool {
        let Some((picked, upstream)) = self.relaying.links.of_token(token) else { return false };
        let count = match self.answers.receive(picked.fd, false) {
            Ok(count) => count,
            Err(error) => {
                self.relaying.trouble(&mut self.chain, &self.poll, picked, upstream, &error, self.clock);
                return false;
            }
        };
        for index in 0..count {
            if self.answers.truncated(index) {
                self.chain.counters.count(Counter::UpstreamMismatches);
                continue;
            }
            let datagram = self.answers.datagram(index);
            self.relaying.heard(&mut self.chain, &self.poll, picked, upstream, datagram, self.clock);
        }
        count == BATCH
    }

    /// Heartbeat, time-outs, retirement of sockets.
    pub fn tick(&mut self) {
        self.unix_offset = (u64::from(sys::unix_time()) * 1_000_000).saturating_sub(sys::monotonic());
        self.read_clock();
        self.relaying.tick(&mut self.chain, &self.poll, self.clock);
        self.streams.sweep(self.clock.us);
        self.streams.leave(self.clock.us);
        self.carry_on();
        self.publish(true);
    }

    /// Shows the counters, ten times a second at most unless it is a tick.
    fn publish(&mut self, tick: bool) {
        if !tick && self.clock.us < self.published + 100_000 {
            return;
        }
        self.published = self.clock.us;
        let counters = &mut self.chain.counters;
        if tick {
            counters.set(Counter::Heartbeat, self.clock.ms());
        }
        counters.set(Counter::StreamsNow, self.streams.connected() as u64);
        counters.set(Counter::StreamsRefused, self.streams.refused());
        counters.set(Counter::InFlightNow, self.relaying.forwarder.relay.in_flight() as u64);
        counters.set(Counter::SocketsNow, self.relaying.links.open_now() as u64);
        counters.set(Counter::SocketsReopened, self.relaying.links.reopened);
        counters.set(Counter::CacheEntriesNow, self.chain.cache.entries() as u64);
        counters.publish();
    }
}

/// Exceptions from names as they stand in the overrides: (name, kind of match, until).
pub fn exceptions<'a>(
    names: impl IntoIterator<Item = (&'a str, &'a str, u32)>,
    bypass_all: bool,
    bypass_lists: u64,
) -> Result<Exceptions, String> {
    use crate::list::Matching;
    let mut parsed = Vec::new();
    for (text, matching, until) in names {
        let name = Name::from_text(text).ok_or_else(|| format!("{text:?} is not a name"))?;
        let kinds = [Matching::Below, Matching::Exact, Matching::Subtree];
        let matching = kinds.into_iter().find(|kind| kind.as_str() == matching);
        let matching = matching.ok_or_else(|| format!("{text}: an exception is exact, subtree or below"))?;
        parsed.push((Name::from_text(&text.to_ascii_lowercase()).unwrap_or(name), matching, until));
    }
    Ok(Exceptions::new(parsed, bypass_all, bypass_lists))
}

#[cfg(test)]
mod tests;

const _: () = assert!(LARGEST_SENT >= 512 && QUERY_ROOM >= LARGEST_SENT);
