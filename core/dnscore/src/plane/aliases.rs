//! Between an answer and its client: names in it that are listed, though the one asked for is not.
//!
//! Enters: an answer that was written for a client, from an upstream or from the cache. Leaves: the same, or without the
//! records of listed names, or the blocked answer, as the list's `aliases` says. Rules:
//!
//! * The owners of records are judged as names asked for are: by the lists of the client's view, exceptions, expiry, and the
//!   order of the lists. A `monitor` match counts and changes nothing. DS and DNSKEY pass, as they pass the list.
//! * It is done when an answer leaves, not when it is kept: a change of a list or of an exception holds from the next query on,
//!   whatever is cached, and clients of different views share what is cached.
//! * An answer in which the question's name owns every record costs a comparison. Of one with others the cache notes that
//!   none of them meets the list of this generation, in whichever view and until whenever: then it costs no more.
//! * What is left out is not counted as a block, since nothing was asked for yet that is stopped; the client's next
//!   question for the target is.

use std::net::SocketAddr;

use crate::answer::{self, MAX_OWNERS, Reason};
use crate::cache::Given;
use crate::counters::Counter;
use crate::list::{Aliases, reference_text};
use crate::relay::slot::ReplyTo;
use crate::verdict::{Stop, verdict};
use crate::wire::Name;

use super::owners::Owners;
use super::stages::{Asked, Chain};

/// An answer after it was looked at.
struct Looked {
    length: usize,
    /// No owner meets any entry of the list.
    clear: bool,
}

impl Chain {
    /// The length of an answer from the cache, after what its lists say of the names in it.
    #[inline]
    pub fn given(&mut self, asked: Asked<'_>, given: Given, out: &mut [u8]) -> usize {
        match given.foreign {
            Some(foreign) if foreign.judged != self.owners.generation => {
                let looked = self.look_at(asked, given.length, out);
                if looked.clear && given.whole {
                    self.cache.judged(foreign, self.owners.generation);
                }
                looked.length
            }
            _ => given.length,
        }
    }

    /// The same for one that was relayed, in which others than the question's name own records.
    pub fn led_elsewhere(&mut self, asked: Asked<'_>, length: usize, out: &mut [u8]) -> usize {
        self.look_at(asked, length, out).length
    }

    fn look_at(&mut self, asked: Asked<'_>, length: usize, out: &mut [u8]) -> Looked {
        let clear = Looked { length, clear: true };
        let Owners { found, met, .. } = &mut self.owners;
        let (Some(list), Some(message)) = (self.list.as_deref(), out.get(..length)) else { return clear };
        if asked.query.asks_for_trust() {
            return clear;
        }
        let mut all = answer::owners(message, asked.query, found);
        let leads = found.len();
        all &= answer::owners_beside(message, asked.query, found);
        let mut names = [&Name::ROOT; MAX_OWNERS];
        names.iter_mut().zip(found.iter()).for_each(|(place, name)| *place = name);
        list.look_up(&names[..found.len().min(MAX_OWNERS)], met);
        if all && met.all().is_empty() {
            return clear;
        }
        Looked { length: self.act(asked, length, all, leads, out), clear: false }
    }

    /// Names in the answer are listed, or there were too many to look at. What comes of it. The first `leads` of the names
    /// own records of the answer section; what only stands beside it stops nothing else.
    #[cold]
    fn act(&mut self, asked: Asked<'_>, length: usize, all: bool, leads: usize, out: &mut [u8]) -> usize {
        let Some(list) = self.list.clone() else { return length };
        let found = std::mem::take(&mut self.owners.found);
        let mut stopped = Vec::new();
        let mut decides: Option<(Stop, &Name)> = None;
        for (index, owner) in found.iter().enumerate() {
            let met = self.owners.met.of(index);
            let judgement = verdict(&list, met, owner, &self.exceptions, asked.view, asked.now.unix);
            if let Some(mut stop) = self.noted(judgement).filter(|stop| stop.aliases != Aliases::Relay) {
                if index >= leads {
                    stop.aliases = Aliases::Trim;
                }
                stopped.push(owner);
                // The first decides, but one that stops the whole before one that trims.
                if decides.is_none_or(|(first, _)| first.aliases < stop.aliases) {
                    decides = Some((stop, owner));
                }
            }
        }
        // What could not be looked at goes as if it were stopped.
        let is_stopped = |name: &Name| stopped.contains(&name) || !(all || found.contains(name));
        let length = match decides {
            None if all => length,
            None => {
                let reason = Reason { ede: 0, reference: b"", portal: b"", explained: None, expires_in: u32::MAX };
                answer::trim(asked.query, is_stopped, &reason, length, asked.limit, out)
            }
            Some((stop, owner)) if stop.aliases == Aliases::Stop => {
                self.counters.count(Counter::AliasesStopped);
                if self.tap.is_some() {
                    self.owners.stopped = Some(Box::new((stop, *owner)));
                }
                // The empty zone that a denial comes from is at the name asked for.
                self.blocked(asked, &Stop { distance: 0, ..stop }, out)
            }
            Some((stop, _)) => {
                self.counters.count(Counter::AliasesTrimmed);
                let entry = list.number(stop.row, stop.rule);
                let reference = list.reference(entry).as_ref().map(reference_text);
                let explained = self.explained(asked.query, &stop);
                let reason = Reason {
                    ede: stop.ede,
                    reference: reference.as_slice().as_flattened(),
                    portal: &self.page.portal,
                    explained: explained.as_ref(),
                    expires_in: stop.expires.saturating_sub(asked.now.unix),
                };
                answer::trim(asked.query, is_stopped, &reason, length, asked.limit, out)
            }
        };
        self.owners.found = found;
        length
    }

    /// Records the answer as a blocked one, where that is asked for and an alias made it one.
    #[inline]
    pub fn record_alias(&mut self, asker: impl FnOnce() -> (SocketAddr, ReplyTo), asked: Asked<'_>, answer: &[u8]) {
        if let Some(stopped) = self.owners.stopped.take() {
            let (stop, owner) = *stopped;
            self.recorded(asker(), asked, &stop, owner.without(stop.distance), answer);
        }
    }
}
