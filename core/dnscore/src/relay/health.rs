//! An upstream's health: what is observed of it, and whether it is to be asked.
//!
//! Enters: answers, time-outs, refusals. Leaves: up, suspect or down. An upstream that is down is not asked for a
//! client's sake; after 1, 2, 4, then every 8 seconds one live query is sent to it *besides* the upstream in use, and
//! one good answer brings it back. Faults count in a row: one good answer forgets them, so that loss on the way or a
//! guesser's noise beside working service never takes an upstream out. What comes from its address and fits no question
//! is no fault, since anybody can forge an address: it only changes the reason of a time-out, to `Lying`.
//!
//! Clients ask for names that nobody answers: their silences alone are no proof, however many of them come from one dead
//! zone. They make an upstream suspect; then the worker asks it something that any resolver has at hand, and only where
//! that is not answered either do three silences take it out. Twenty in a row without one good answer do so all the same,
//! where the names are of many domains: a resolver whose way out is cut still knows the root.
//!
//! SERVFAIL, REFUSED, NOTIMP and FORMERR take none out: they are about the question, and clients choose their questions.
//! The last three make the worker ask for itself within a second; three refusals of *that* in a row, without a good answer
//! to anybody between them, take it out. One that answers most questions so, and names of many domains, *fails*: that is
//! for people to know. It is judged by its last hundred answers, or by those of half a minute where there were fewer.
//!
//! Over TCP the worker asks each upstream that is up for itself, every half minute in which nothing else was answered
//! there. Three such questions in a row without an answer say that TCP is closed, which is for people to know; datagrams
//! go on. What becomes of clients' questions over TCP is no proof of anything.
//!
//! An upstream over TLS has no datagrams: there answers and silences of its connections count as those of datagrams do
//! elsewhere, a connection that ends without an answer is a silence, and one that cannot be opened, or whose other end
//! does not prove who it is, is a fault.

use std::net::SocketAddr;

/// Why an upstream is not trusted with queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No answer in time; a slow one counts as the same until it answers in time again.
    Silent,
    /// ECONNREFUSED: nothing listens there.
    NotListening,
    /// It answers what the worker asks with REFUSED, NOTIMP or FORMERR.
    Refusing,
    /// Answers that do not fit what was asked: eight for one question, or some instead of the one that was due.
    Lying,
    /// No route, or no socket.
    Unreachable,
    /// It does not prove over TLS who it is, or speaks no TLS.
    Unproven,
}

impl Fault {
    /// The word for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Fault::Silent => "silent",
            Fault::NotListening => "not listening",
            Fault::Refusing => "refusing",
            Fault::Lying => "lying",
            Fault::Unreachable => "unreachable",
            Fault::Unproven => "not proven",
        }
    }

    /// Of that word.
    pub fn of_word(word: &str) -> Option<Fault> {
        let all =
            [Fault::Silent, Fault::NotListening, Fault::Refusing, Fault::Lying, Fault::Unreachable, Fault::Unproven];
        all.into_iter().find(|fault| fault.as_str() == word)
    }

    /// How many in a row take it out.
    fn limit(self, loopback: bool) -> u32 {
        match self {
            Fault::NotListening if loopback => 1,
            // No accident on the way makes a wrong certificate.
            Fault::Unproven => 1,
            Fault::NotListening | Fault::Unreachable => 2,
            Fault::Silent | Fault::Lying | Fault::Refusing => 3,
        }
    }

    /// INFO-CODE for a client that gets no answer because of it (RFC 8914: 22 No Reachable Authority, 23 Network Error).
    pub fn ede(self) -> u16 {
        match self {
            Fault::Silent | Fault::Unreachable => 22,
            Fault::NotListening | Fault::Refusing | Fault::Lying | Fault::Unproven => 23,
        }
    }
}

/// Whether it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Yes.
    Up,
    /// Yes, but the last thing seen of it was a fault.
    Suspect(Fault),
    /// Not for a client's sake.
    Down(Fault),
}

/// An upstream and what is known of it.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Distinguishes it from others, also from those of an earlier configuration.
    pub uid: u32,
    /// Where it is.
    pub address: SocketAddr,
    /// On this host: few sockets, no 0x20; who can forge here can do anything.
    pub loopback: bool,
    /// It gets a PROXY header that says who asks.
    pub sends_proxy_header: bool,
    /// It is asked over TLS alone: no datagram, and nothing in clear, ever goes there.
    pub tls: bool,
    /// Whether it is asked.
    pub state: State,
    /// Smoothed time to answer, in microseconds.
    pub rtt_us: u64,
    /// Answers that counted.
    pub answers: u64,
    /// Queries that it did not answer in time.
    pub timeouts: u64,
    /// Datagrams from its address that fit no question.
    pub mismatches: u64,
    /// What was seen of it instead of an answer, and when.
    seen: (Fault, u64),
    faults_in_a_row: u32,
    /// One bit of these for each domain of a silence since its last good answer.
    silent_for: u64,
    /// When the worker asked it what it has not answered yet.
    asked_at: Option<u64>,
    /// Most of what it said of late was SERVFAIL or REFUSED, to names of many domains.
    pub failing: bool,
    /// What it has said since it was last judged.
    lately: Lately,
    /// It did not answer what the worker asked.
    unvouched: bool,
    /// It was unwilling to answer a client's question: the worker is to ask it itself.
    questioned: bool,
    /// Its refusals of the worker's own question in a row.
    refusals: u32,
    backoff_us: u64,
    probe_at: u64,
    tcp: OverTcp,
}

/// What is known of its TCP.
#[derive(Clone, Copy, Debug, Default)]
struct OverTcp {
    /// The worker's own questions in a row without an answer.
    faults: u32,
    /// When the worker asked what is not answered yet.
    asked_at: Option<u64>,
    /// When the worker asks next.
    asks_at: Option<u64>,
}

/// Answers to clients' questions since the first of them.
#[derive(Clone, Copy, Debug, Default)]
struct Lately {
    since: u64,
    answers: u32,
    failures: u32,
    /// One bit of these for each domain of a failure.
    domains: u64,
}

/// After so many answers an upstream is judged, or after so many microseconds.
const ANSWERS_JUDGED: u32 = 100;
const TIME_JUDGED: u64 = 30 * SECOND;
/// Domains for which it must have failed: a broken zone, or a few of them, are not the upstream's fault.
const DOMAINS: u32 = 8;

/// In microseconds.
pub const SECOND: u64 = 1_000_000;
/// Clients' questions in a row without an answer that take out an upstream which answers the worker's own.
const SILENCES: u32 = 20;
/// Questions of the worker's own over TCP without an answer that say it is closed.
const TCP_FAULTS: u32 = 3;
/// Between two of them where the last was answered, and where it was not.
const TCP_RARELY: u64 = 30 * SECOND;
const TCP_OFTEN: u64 = 2 * SECOND;
/// The longest time between two probes.
const RAREST: u64 = 8 * SECOND;

impl Upstream {
    /// One that nothing is known of: up.
    pub fn new(uid: u32, address: SocketAddr) -> Upstream {
        Upstream {
            uid,
            address,
            loopback: address.ip().to_canonical().is_loopback(),
            sends_proxy_header: false,
            tls: false,
            state: State::Up,
            rtt_us: 0,
            answers: 0,
            timeouts: 0,
            mismatches: 0,
            seen: (Fault::Silent, 0),
            faults_in_a_row: 0,
            silent_for: 0,
            asked_at: None,
            failing: false,
            lately: Lately::default(),
            unvouched: false,
            questioned: false,
            refusals: 0,
            backoff_us: SECOND,
            probe_at: 0,
            tcp: OverTcp::default(),
        }
    }

    /// The same, with a PROXY header or without, over TLS or by datagram.
    pub fn reached_by(self, sends_proxy_header: bool, tls: bool) -> Upstream {
        Upstream { sends_proxy_header, tls, ..self }
    }

    /// It is asked for a client's sake.
    #[inline]
    pub fn is_usable(&self) -> bool {
        !matches!(self.state, State::Down(_))
    }

    /// A good answer, `rtt_us` after the question. One beyond `timeout_us` proves that it lives, not that it is fit.
    #[inline]
    pub fn answered(&mut self, rtt_us: u64, timeout_us: u64) {
        self.answers += 1;
        self.rtt_us = if self.rtt_us == 0 { rtt_us } else { (self.rtt_us * 7 + rtt_us) / 8 };
        if rtt_us <= timeout_us {
            self.faults_in_a_row = 0;
            self.silent_for = 0;
            self.unvouched = false;
            self.questioned = false;
            self.refusals = 0;
            self.backoff_us = SECOND;
            self.state = State::Up;
        }
    }

    /// It said REFUSED, NOTIMP or FORMERR to a client's question: it lives, and the worker looks whether it serves.
    pub fn was_unwilling(&mut self, rtt_us: u64, timeout_us: u64) {
        self.answers += 1;
        self.questioned = true;
        if rtt_us <= timeout_us && self.is_usable() {
            self.faults_in_a_row = 0;
            if self.state != State::Suspect(Fault::Refusing) {
                self.state = State::Up;
            }
        }
    }

    /// It refused what the worker asked; true if it went down by it.
    pub fn refused_us(&mut self, now: u64) -> bool {
        self.asked_at = None;
        self.refusals = self.refusals.saturating_add(1);
        let was_usable = self.is_usable();
        if was_usable && self.refusals < Fault::Refusing.limit(self.loopback) {
            self.state = State::Suspect(Fault::Refusing);
            return false;
        }
        self.state = State::Down(Fault::Refusing);
        if was_usable {
            self.probe_at = now + self.backoff_us;
        }
        was_usable
    }

    /// It answered a client's question; `failed`: with an error, to a name of the domain of that hash.
    #[inline]
    pub fn said(&mut self, failed: Option<u64>, now: u64) {
        if self.lately.answers == 0 {
            self.lately.since = now;
        }
        self.lately.answers += 1;
        if let Some(domain) = failed {
            self.lately.failures += 1;
            self.lately.domains |= 1 << (domain % 64);
        }
        self.judge(now);
    }

    /// Judges whether it fails, where it is time. Where it said nothing, nothing changes.
    pub fn judge(&mut self, now: u64) {
        let Lately { since, answers, failures, domains } = self.lately;
        if answers == 0 || (answers < ANSWERS_JUDGED && now < since + TIME_JUDGED) {
            return;
        }
        let most = 2 * failures > answers;
        if most && domains.count_ones() >= DOMAINS {
            self.failing = true;
        } else if !most {
            self.failing = false;
        }
        self.lately = Lately::default();
    }

    /// A datagram from its address that fits no question.
    pub fn unfit(&mut self, now: u64) {
        self.mismatches += 1;
        self.seen = (Fault::Lying, now);
    }

    /// Clients' questions to it were not answered, or refused: the worker is to ask it itself.
    pub fn is_doubted(&self) -> bool {
        let suspect = matches!(self.state, State::Suspect(Fault::Silent | Fault::Lying | Fault::Refusing));
        suspect || (self.questioned && self.is_usable())
    }

    /// The worker asks it something.
    pub fn asked_by_us(&mut self, now: u64) {
        self.asked_at.get_or_insert(now);
    }

    /// It answered what the worker asked: what clients asked is to blame for their silences.
    pub fn vouched(&mut self, rtt_us: u64, timeout_us: u64) {
        if rtt_us <= timeout_us {
            self.asked_at = None;
            self.unvouched = false;
            self.questioned = false;
            self.refusals = 0;
            if self.is_doubted() {
                self.state = State::Up;
            }
        }
    }

    /// Looks whether it has answered the worker in time.
    pub fn look(&mut self, timeout_us: u64, now: u64) {
        self.unvouched |= self.asked_at.take_if(|at| now >= *at + timeout_us).is_some();
    }

    /// The worker is to ask it over TCP now. The first time a second after it was first thought of.
    pub fn wants_tcp(&mut self, now: u64) -> bool {
        !self.tls
            && now >= *self.tcp.asks_at.get_or_insert(now + SECOND)
            && self.is_usable()
            && self.tcp.asked_at.is_none()
    }

    /// The worker asks it over TCP.
    pub fn asked_by_us_over_tcp(&mut self, now: u64) {
        self.tcp.asked_at = Some(now);
    }

    /// It answered over TCP, whomever. A datagram is not proven by that.
    pub fn spoke_over_tcp(&mut self, now: u64) {
        self.answers += 1;
        self.tcp = OverTcp { faults: 0, asked_at: None, asks_at: Some(now + TCP_RARELY) };
    }

    /// What the worker asked over TCP came to nothing.
    pub fn failed_over_tcp(&mut self, now: u64) {
        let faults = self.tcp.faults.saturating_add(1);
        self.tcp = OverTcp { faults, asked_at: None, asks_at: Some(now + TCP_OFTEN) };
    }

    /// Looks whether it has answered the worker in time over TCP.
    pub fn look_over_tcp(&mut self, timeout_us: u64, now: u64) {
        if self.tcp.asked_at.is_some_and(|at| now >= at + timeout_us) {
            self.failed_over_tcp(now);
        }
    }

    /// It answers datagrams, and no TCP.
    pub fn is_tcp_closed(&self) -> bool {
        self.tcp.faults >= TCP_FAULTS && self.is_usable() && self.rtt_us > 0
    }

    /// What was asked for a client at `asked_at`, not for the first time if `again`, a name of the domain of that hash, was
    /// not answered in time; true if it went down by it. While the upstream answers the worker's own questions, repeats
    /// of one question count as one time-out.
    pub fn unanswered(&mut self, again: bool, domain: u64, asked_at: u64, now: u64) -> bool {
        self.timeouts += 1;
        if again && !self.unvouched {
            return false;
        }
        self.silent_for |= 1 << (domain % 64);
        let (seen, at) = self.seen;
        let fault = if at > asked_at { seen } else { Fault::Silent };
        let limit = match self.silent_for.count_ones() {
            _ if self.unvouched => fault.limit(self.loopback),
            DOMAINS.. => SILENCES,
            _ => u32::MAX,
        };
        self.faulty(fault, limit, now)
    }

    /// A fault; true if it went down by it. Of one that is down it only says why by now.
    pub fn failed(&mut self, fault: Fault, now: u64) -> bool {
        self.faulty(fault, fault.limit(self.loopback), now)
    }

    fn faulty(&mut self, fault: Fault, limit: u32, now: u64) -> bool {
        if fault != Fault::Silent {
            self.seen = (fault, now);
        }
        self.faults_in_a_row = self.faults_in_a_row.saturating_add(1);
        if matches!(self.state, State::Down(_)) {
            self.state = State::Down(fault);
            return false;
        }
        if self.faults_in_a_row < limit {
            self.state = State::Suspect(fault);
            return false;
        }
        self.state = State::Down(fault);
        self.probe_at = now + self.backoff_us;
        true
    }

    /// It is down and due for a probe.
    #[inline]
    pub fn wants_probe(&self, now: u64) -> bool {
        !self.is_usable() && now >= self.probe_at
    }

    /// It is down and due for a probe; saying so once counts as sending it.
    #[inline]
    pub fn take_probe(&mut self, now: u64) -> bool {
        if !self.wants_probe(now) {
            return false;
        }
        self.backoff_us = (self.backoff_us * 2).min(RAREST);
        self.probe_at = now + self.backoff_us;
        true
    }

    /// It is down and has long been due for a probe: there are no live queries.
    pub fn lacks_probes(&self, now: u64) -> bool {
        self.wants_probe(now.saturating_sub(RAREST))
    }
}

/// The upstream to ask next: the first usable one that was not tried; else the first that was not tried; else, for a
/// datagram that was lost, the first usable one again, or the first.
pub fn choose(upstreams: &[Upstream], tried: impl Fn(u32) -> bool) -> Option<usize> {
    let first = |fits: &dyn Fn(&Upstream) -> bool| upstreams.iter().position(fits);
    first(&|u| u.is_usable() && !tried(u.uid))
        .or_else(|| first(&|u| !tried(u.uid)))
        .or_else(|| first(&|u| u.is_usable()))
        .or(if upstreams.is_empty() { None } else { Some(0) })
}

#[cfg(test)]
mod tests;
