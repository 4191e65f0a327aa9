//! What a client gets of the cache and of an upstream: an answer, a stale one, or the reason why there is none.

use crate::answer;
use crate::counters::Counter;
use crate::wire::upstream::Kind;
use crate::wire::{Checked, rcode};

use super::stages::{Asked, Chain, Step};

impl Chain {
    /// A fresh answer, if the cache has one.
    #[inline(always)]
    pub fn cached(&mut self, asked: Asked<'_>, out: &mut [u8]) -> Step {
        let Some(key) = asked.key else { return Step::Next };
        match self.cache.get(key, asked.query, asked.packet, asked.now.ms(), asked.limit, out) {
            Some(given) => {
                self.counters.count(Counter::CacheHits);
                Step::Answer(self.given(asked, given, out))
            }
            None => {
                self.counters.count(Counter::CacheMisses);
                Step::Next
            }
        }
    }

    /// What a client gets when no upstream answered: a stale answer if there is one, else SERVFAIL with the reason.
    pub fn failed(&mut self, asked: Asked<'_>, ede: u16, out: &mut [u8]) -> usize {
        match self.stale(asked, out) {
            Some(length) => length,
            None => answer::error(asked.packet, asked.query.echo(), rcode::SERVFAIL, Some((ede, "")), out),
        }
    }

    /// What a client gets of what an upstream said: a stale answer replaces a failure. RFC 8767, 4: "NoError" and
    /// "NXDomain" alone are "considered to have refreshed the data".
    #[inline]
    pub fn relayed(&mut self, asked: Asked<'_>, message: &[u8], checked: &Checked, out: &mut [u8]) -> usize {
        if checked.kind == Kind::Failure
            && let Some(length) = self.stale(asked, out)
        {
            return length;
        }
        let length = answer::client_answer(asked.packet, asked.query, message, checked, asked.limit, out);
        if checked.foreign { self.led_elsewhere(asked, length, out) } else { length }
    }

    /// While no upstream is up: a stale answer if there is one; else, where the upstreams are gone, SERVFAIL with that
    /// reason. It is not kept (RFC 9520): it costs no upstream a query, and is to end when they are back.
    pub fn unserved(&mut self, asked: Asked<'_>, gone: Option<u16>, out: &mut [u8]) -> Option<usize> {
        if let Some(length) = self.stale(asked, out) {
            return Some(length);
        }
        let ede = gone?;
        self.counters.count(Counter::NoUpstream);
        Some(answer::error(asked.packet, asked.query.echo(), rcode::SERVFAIL, Some((ede, "")), out))
    }

    /// A stale answer, if there is one.
    pub fn stale(&mut self, asked: Asked<'_>, out: &mut [u8]) -> Option<usize> {
        let key = asked.key?;
        let given = self.cache.stale(key, asked.query, asked.packet, asked.now.ms(), asked.limit, out)?;
        self.counters.count(Counter::CacheStale);
        Some(self.given(asked, given, out))
    }
}
