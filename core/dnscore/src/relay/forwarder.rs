//! What is done about a question: which upstream it is put to, and what becomes of answers, of faults and of silence.
//!
//! Enters: an answer, a fault, a time that is over. Leaves: an [`Action`]. What changes here is the question's slot, the
//! health of its upstream, and counters; the plane carries the action out, and has the sockets, the cache and the clients.

use std::net::SocketAddr;

use crate::counters::{Counter, Counters};
use crate::wire::{Checked, Query, rcode};

use super::health::{Fault, State, Upstream, choose};
use super::slot::Phase;
use super::{Due, Relay};

/// What is to be done about a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing: what is to come will come.
    Wait,
    /// Put it to the next upstream.
    AskNext,
    /// Put it to that upstream once more, without an OPT.
    AskPlainly(usize),
    /// The answer, cut short, goes to those who wait for a datagram. Those on streams want it whole: from now on it is asked
    /// over TCP, that upstream first.
    GiveTruncated(Option<usize>),
    /// The answer goes to all who wait.
    Give,
    /// So does the answer that was kept for when none says better.
    GiveKept,
    /// A stale answer goes to all who wait, where there is one. The question goes on.
    GiveStale,
    /// All who wait get a stale answer or an error.
    GiveUp,
}

/// An answer's upstream, its time, and the way it came.
#[derive(Clone, Copy, Debug)]
pub struct Heard {
    /// Who answered.
    pub upstream: u32,
    /// After how many microseconds.
    pub rtt: u64,
    /// Over TCP, or over TLS.
    pub over_tcp: bool,
}

impl Heard {
    /// It came over TCP from an upstream whose health is a matter of datagrams.
    fn is_beside(&self, upstream: &Upstream) -> bool {
        self.over_tcp && !upstream.tls
    }
}

/// Everything in flight, and the upstreams that it is put to.
pub struct Forwarder {
    /// What is in flight.
    pub relay: Relay,
    /// In order of preference.
    pub upstreams: Vec<Upstream>,
    /// Since when the worker itself asks the upstreams, of which none is up, without a word from any.
    pub unheard_since: Option<u64>,
}

impl Forwarder {
    /// Nothing in flight, and nobody to ask.
    pub fn new(relay: Relay) -> Forwarder {
        Forwarder { relay, upstreams: Vec::new(), unheard_since: None }
    }

    /// The upstream of that uid.
    #[inline]
    pub fn upstream(&mut self, uid: u32) -> Option<&mut Upstream> {
        self.upstreams.iter_mut().find(|u| u.uid == uid)
    }

    /// The number of the upstream of that uid.
    #[inline]
    pub fn number(&self, uid: u32) -> Option<usize> {
        self.upstreams.iter().position(|u| u.uid == uid)
    }

    /// No upstream is up.
    #[inline]
    pub fn all_down(&self) -> bool {
        !self.upstreams.iter().any(Upstream::is_usable)
    }

    /// No upstream is up, and for as long as a client waits none has said a word: INFO-CODE of the reason.
    pub fn gone(&self, now: u64) -> Option<u16> {
        let since = self.unheard_since.filter(|_| self.all_down())?;
        if now < since + self.relay.limits().patience {
            return None;
        }
        let State::Down(fault) = self.upstreams.first()?.state else { return None };
        Some(fault.ede())
    }

    /// An upstream that is down is due for a probe.
    pub fn wants_probe(&self, now: u64) -> bool {
        self.upstreams.iter().any(|u| u.wants_probe(now))
    }

    /// The upstream that a question is put to next. `None`: there is none.
    #[inline]
    pub fn next(&self, slot: u32) -> Option<usize> {
        choose(&self.upstreams, |uid| self.relay.was_asked(slot, uid))
    }

    /// The first upstream from `from` on that is due for a probe: a question that was put to `asked` is put to it besides,
    /// where it is another one. Health is a matter of datagrams.
    #[inline]
    pub fn take_probe(&mut self, slot: u32, from: usize, asked: usize, now: u64) -> Option<usize> {
        if self.relay.slot(slot).over_tcp {
            return None;
        }
        (from..self.upstreams.len()).find(|number| self.upstreams[*number].take_probe(now) && *number != asked)
    }

    /// A fault of an upstream. Where it goes down by it: `true`, and `waiting` are the questions that wait for it.
    pub fn failed(
        &mut self,
        counters: &mut Counters,
        uid: u32,
        fault: Fault,
        now: u64,
        waiting: &mut Vec<u32>,
    ) -> bool {
        if !self.upstream(uid).is_some_and(|upstream| upstream.failed(fault, now)) {
            return false;
        }
        counters.count(Counter::UpstreamDown);
        self.relay.waiting_on(|ask| ask.upstream == uid, waiting);
        waiting.iter().for_each(|slot| self.relay.slot_mut(*slot).fault_ede = fault.ede());
        true
    }

    /// The answer to a client's question, whichever way it came.
    pub fn answered(
        &mut self,
        counters: &mut Counters,
        slot: u32,
        heard: Heard,
        message: &[u8],
        checked: &Checked,
        now: u64,
    ) -> Action {
        counters.count(Counter::UpstreamAnswers);
        counters.rtt(heard.rtt);
        if checked.lacks_edns()
            && let Some(number) = self.plainly(slot, heard, now)
        {
            return Action::AskPlainly(number);
        }
        if checked.truncated() {
            counters.count(Counter::UpstreamTruncated);
        }
        let unwilling = is_unwilling(checked);
        let failing = unwilling || checked.rcode == rcode::SERVFAIL;
        if unwilling {
            counters.count(Counter::UpstreamRefused);
        }
        self.note_word(slot, heard, unwilling, failing, now);
        if self.relay.slot(slot).phase == Phase::Late {
            counters.count(Counter::UpstreamLate);
        }
        if failing {
            if !unwilling {
                counters.count(Counter::UpstreamServfail);
            }
            if let Some(action) = self.better_than(slot, message) {
                return action;
            }
        }
        if checked.truncated() && self.relay.has_streams(slot) {
            let first = self.number(heard.upstream).filter(|number| self.upstreams[*number].is_usable());
            return Action::GiveTruncated(first);
        }
        Action::Give
    }

    /// Another upstream may know better than one that failed. What this one said is kept for when none does.
    #[cold]
    fn better_than(&mut self, slot: u32, message: &[u8]) -> Option<Action> {
        let held = self.relay.slot_mut(slot);
        let first = held.fallback.is_none() && held.phase == Phase::Asking;
        if first {
            held.fallback = Some(message.into());
            held.fault_ede = Fault::Refusing.ede();
        }
        if first && self.has_another(slot) {
            return Some(Action::AskNext);
        }
        // Another upstream has been asked besides, and may yet answer.
        (self.relay.slot(slot).phase == Phase::Asking && self.is_awaited(slot)).then_some(Action::Wait)
    }

    /// It does not speak EDNS: the same once more, without (RFC 6891, 7). `None` where that has been done already.
    #[cold]
    fn plainly(&mut self, slot: u32, heard: Heard, now: u64) -> Option<usize> {
        let number = self.number(heard.upstream)?;
        let timeout = self.relay.limits().upstream_timeout;
        let held = self.relay.slot_mut(slot);
        if held.phase != Phase::Asking || held.plain || held.is_asked_out() {
            return None;
        }
        held.plain = true;
        let upstream = &mut self.upstreams[number];
        if heard.is_beside(upstream) {
            upstream.spoke_over_tcp(now);
        } else {
            upstream.answered(heard.rtt, timeout);
        }
        Some(number)
    }

    /// What an answer to a client's question says of the upstream.
    #[inline]
    fn note_word(&mut self, slot: u32, heard: Heard, unwilling: bool, failing: bool, now: u64) {
        let Forwarder { relay, upstreams, .. } = self;
        let Some(upstream) = upstreams.iter_mut().find(|u| u.uid == heard.upstream) else { return };
        if !unwilling || is_everyday(&relay.slot(slot).query) {
            upstream.said(failing.then(|| relay.domain(slot)), now);
        }
        let timeout = relay.limits().upstream_timeout;
        if heard.is_beside(upstream) {
            upstream.spoke_over_tcp(now);
        } else if unwilling {
            upstream.was_unwilling(heard.rtt, timeout);
        } else {
            upstream.answered(heard.rtt, timeout);
        }
    }

    /// The answer to a question of the worker's own.
    pub fn answered_us(&mut self, counters: &mut Counters, slot: u32, heard: Heard, checked: &Checked, now: u64) {
        counters.count(Counter::UpstreamAnswers);
        counters.rtt(heard.rtt);
        self.relay.release(slot);
        let timeout = self.relay.limits().upstream_timeout;
        let Some(upstream) = self.upstream(heard.upstream) else { return };
        if heard.is_beside(upstream) {
            upstream.spoke_over_tcp(now);
        } else if is_unwilling(checked) && !checked.lacks_edns() {
            if upstream.refused_us(now) {
                counters.count(Counter::UpstreamDown);
            }
        } else if upstream.lacks_probes(now) {
            upstream.answered(heard.rtt, timeout);
        } else {
            upstream.vouched(heard.rtt, timeout);
        }
    }

    /// An upstream that is up has been asked and may yet answer.
    fn is_awaited(&self, slot: u32) -> bool {
        let mut open = self.relay.slot(slot).asks().iter().filter(|ask| ask.open);
        open.any(|ask| self.upstreams.iter().any(|u| u.uid == ask.upstream && u.is_usable()))
    }

    /// An upstream that is up has not been asked.
    fn has_another(&self, slot: u32) -> bool {
        self.upstreams.iter().any(|u| u.is_usable() && !self.relay.was_asked(slot, u.uid))
    }

    /// No connection brought an answer to what `upstream` was asked. What clients ask is put to the next upstream that is
    /// up; where there is none, it is asked again when its time is over: an upstream that is being restarted costs nobody an
    /// answer. Where all that are up are known to answer no TCP, nobody waits for it.
    pub fn tcp_failed(&mut self, slot: u32, upstream: u32, now: u64) -> Action {
        let held = self.relay.slot_mut(slot);
        held.fault_ede = Fault::NotListening.ede();
        if held.own {
            self.relay.release(slot);
            if let Some(upstream) = self.upstream(upstream).filter(|upstream| !upstream.tls) {
                upstream.failed_over_tcp(now);
            }
            return Action::Wait;
        }
        if held.phase != Phase::Asking {
            return Action::Wait;
        }
        if self.has_another(slot) {
            return Action::AskNext;
        }
        let hopeless = self.upstreams.iter().all(|u| !u.tls && (u.is_tcp_closed() || !u.is_usable()));
        let hopeless = hopeless && !self.is_awaited(slot);
        if hopeless { self.kept_or(slot, Action::GiveUp) } else { Action::Wait }
    }

    /// What time has brought: for which question, and what is to be done; before that, the number of a question over TCP
    /// that was not answered in time.
    pub fn overdue(&mut self, counters: &mut Counters, event: Due, now: u64) -> (u32, Option<u64>, Action) {
        match event {
            Due::Stale(slot) => (slot, None, Action::GiveStale),
            Due::Retry(slot) => {
                let over_tcp = self.note_silence(counters, slot, now);
                (slot, over_tcp, self.kept_or(slot, Action::AskNext))
            }
            Due::GiveUp(slot) => {
                let over_tcp = self.note_silence(counters, slot, now);
                (slot, over_tcp, self.kept_or(slot, Action::GiveUp))
            }
        }
    }

    /// What an unwilling upstream said, if one said something; else `otherwise`.
    fn kept_or(&self, slot: u32, otherwise: Action) -> Action {
        if self.relay.slot(slot).fallback.is_some() { Action::GiveKept } else { otherwise }
    }

    /// Counts the silence of the upstream that a question was last put to, where its time is over. Over TCP nothing is
    /// lost, an answer may still come: that the connection is slow is all there is to say, by the question's number. It is
    /// a silence where the upstream has nothing but connections.
    fn note_silence(&mut self, counters: &mut Counters, slot: u32, now: u64) -> Option<u64> {
        let Forwarder { relay, upstreams, .. } = self;
        let held = relay.slot(slot);
        let timeout = relay.limits().upstream_timeout;
        let last = held.asks().last().filter(|ask| ask.at + timeout <= now && held.phase == Phase::Asking)?;
        counters.count(Counter::UpstreamTimeouts);
        let number = last.tcp_number();
        let again = held.asks().iter().filter(|ask| ask.upstream == last.upstream).count() > 1;
        let domain = relay.domain(slot);
        if let Some(upstream) = upstreams.iter_mut().find(|u| u.uid == last.upstream)
            && (number.is_none() || upstream.tls)
            && upstream.unanswered(again, domain, last.at, now)
        {
            counters.count(Counter::UpstreamDown);
        }
        number
    }

    /// A connection over TLS ended without an answer to that question, as if the upstream were silent.
    pub fn hung_up(&mut self, counters: &mut Counters, slot: u32, uid: u32, asked_at: u64, now: u64) {
        let domain = self.relay.domain(slot);
        let is_own = self.relay.slot(slot).own;
        if let Some(upstream) = self.upstream(uid).filter(|upstream| upstream.tls && !is_own)
            && upstream.unanswered(false, domain, asked_at, now)
        {
            counters.count(Counter::UpstreamDown);
        }
    }

    /// The upstreams, in order of preference. One that stays keeps its health; another one is `new`.
    pub fn set_upstreams(&mut self, addresses: &[SocketAddr], mut new: impl FnMut(SocketAddr) -> Upstream) {
        let old = std::mem::take(&mut self.upstreams);
        self.upstreams = addresses
            .iter()
            .map(|address| {
                let stays = old.iter().find(|u| u.address == *address).cloned();
                stays.unwrap_or_else(|| new(*address))
            })
            .collect();
        self.unheard_since = None;
    }
}

/// It says that it does not answer such questions, or not ours.
fn is_unwilling(checked: &Checked) -> bool {
    matches!(checked.rcode, rcode::REFUSED | rcode::NOTIMP | rcode::FORMERR)
}

/// What devices ask: with recursion, and for a type of data. What else is refused tells nothing of an upstream.
fn is_everyday(query: &Query) -> bool {
    query.rd() && !(128..=255).contains(&query.qtype)
}
