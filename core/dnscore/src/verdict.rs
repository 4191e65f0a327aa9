//! The verdict: what the lists and the operator together say about one name.
//!
//! Enters: the rows met by a name, the operator's exceptions, the lists of the client's view, the time. Leaves:
//! [`Judgement`]. Rules: an operator's exception comes first; then the order of the lists; then, within a list, the most
//! specific entry. A name at which browsers ask about a host's port (`_8443._https.host`) is judged as the
//! host. A `monitor` match never hides a block. An expired entry never matches. A list that is bypassed or
//! not of the view is as if it were not there.

use std::collections::HashMap;

use crate::list::{Action, Aliases, CompiledList, Hit, Matching, Rule, Standing};
use crate::narrow::to_u16;
use crate::wire::Name;

/// What is to happen to a query. Nothing set: it passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// The entry that stops it.
    pub stop: Option<Stop>,
    /// The first entry, by the same order, of a list that only counts.
    pub monitored: Option<Match>,
    /// An exception of the operator's let it through where an entry would have counted or stopped it.
    pub excused: bool,
}

/// An entry that stops a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// The row of its name.
    pub row: u32,
    /// Which of the row's rules.
    pub rule: u16,
    /// Labels from the name asked for up to the entry's.
    pub distance: u8,
    /// The list it is of.
    pub list: u8,
    /// What to answer.
    pub action: Action,
    /// What becomes of answers for other names that lead here.
    pub aliases: Aliases,
    /// The extended error's code; 0: none.
    pub ede: u16,
    /// First second (Unix time) at which it no longer holds.
    pub expires: u32,
}

/// An entry that met a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match {
    /// The row of its name.
    pub row: u32,
    /// Which of the row's rules.
    pub rule: u16,
    /// The list it is of.
    pub list: u8,
}

/// Judges one name. `view` has bit `n` set for every list `n` that holds for the client, `now` is Unix time.
#[inline]
pub fn verdict(
    list: &CompiledList,
    hits: &[Hit],
    qname: &Name,
    exceptions: &Exceptions,
    view: u64,
    now: u32,
) -> Judgement {
    let mut judgement = Judgement::default();
    if hits.is_empty() {
        return judgement;
    }
    let (bypassed, service) = (exceptions.bypassed(), qname.service_labels());
    for Hit { row, distance } in hits.iter().copied() {
        for (index, rule) in list.rules(row).iter().enumerate() {
            // Rows come the most specific first: only a list that stands before replaces what was found.
            match rule.standing(Matching::distance(distance, service), view, bypassed, now) {
                Standing::Monitors if rule.comes_before(judgement.monitored.map(|found| found.list)) => {
                    judgement.monitored = Some(Match { row, rule: to_u16(index), list: rule.list });
                }
                Standing::Stops if rule.comes_before(judgement.stop.map(|found| found.list)) => {
                    let (Rule { list, action, aliases, ede, expires, .. }, rule) = (*rule, to_u16(index));
                    judgement.stop = Some(Stop { row, rule, distance, list, action, aliases, ede, expires });
                }
                _ => {}
            }
        }
    }
    if (judgement.stop.is_some() || judgement.monitored.is_some()) && exceptions.excuse(qname, now) {
        return Judgement { excused: true, ..Judgement::default() };
    }
    judgement
}

/// What each entry that covers the name does to it, in the verdict's order: by list, then the most specific first. Of
/// those that stop it the first is the judgement's, unless the name is excused. For people.
pub fn standings(
    list: &CompiledList,
    hits: &[Hit],
    qname: &Name,
    exceptions: &Exceptions,
    view: u64,
    now: u32,
) -> Vec<(Hit, u16, Standing)> {
    let mut found = Vec::new();
    let service = qname.service_labels();
    for hit in hits {
        for (index, rule) in (0u16..).zip(list.rules(hit.row)) {
            let distance = Matching::distance(hit.distance, service);
            let standing = rule.standing(distance, view, exceptions.bypassed(), now);
            if standing != Standing::Uncovered {
                found.push((rule.list, (*hit, index, standing)));
            }
        }
    }
    found.sort_by_key(|(list, _)| *list);
    found.into_iter().map(|(_, standing)| standing).collect()
}

/// What an operator lets pass whatever the lists say: overrides for names, lists and everything bypassed.
///
/// Asked only about names that met an entry, so that it costs other queries nothing.
#[derive(Clone, Debug, Default)]
pub struct Exceptions {
    bypass_all: bool,
    bypass_lists: u64,
    /// By lower-case wire name: the first second at which the exception no longer holds, by kind of match.
    names: HashMap<Box<[u8]>, [u32; 3]>,
    /// Bit `n`: some name has `n` labels. Others need not be looked for.
    depths: u128,
}

impl Exceptions {
    /// None: what a list stops is stopped.
    pub fn none() -> Exceptions {
        Exceptions::default()
    }

    /// Exceptions for names (until, exclusively, a Unix time), and which lists are switched off: all, or those of a mask.
    pub fn new(
        names: impl IntoIterator<Item = (Name, Matching, u32)>,
        bypass_all: bool,
        bypass_lists: u64,
    ) -> Exceptions {
        let mut exceptions = Exceptions { bypass_all, bypass_lists, ..Exceptions::default() };
        for (name, matching, until) in names {
            let held = exceptions.names.entry(name.wire().into()).or_default();
            let held = &mut held[matching as usize];
            *held = until.max(*held);
            exceptions.depths |= 1 << name.labels();
        }
        exceptions
    }

    /// The mask of the lists that are bypassed.
    fn bypassed(&self) -> u64 {
        if self.bypass_all { u64::MAX } else { self.bypass_lists }
    }

    /// Whether an exception that holds `now` covers the name.
    pub fn excuse(&self, qname: &Name, now: u32) -> bool {
        if self.names.is_empty() {
            return false;
        }
        let mut at = 0;
        let service = qname.service_labels();
        for distance in 0..=qname.labels() {
            if self.depths >> (qname.labels() - distance) & 1 != 0
                && let Some(until) = self.names.get(&qname.wire()[at..])
                && [Matching::Below, Matching::Exact, Matching::Subtree].into_iter().any(|matching| {
                    matching.covers(Matching::distance(distance, service)) && now < until[matching as usize]
                })
            {
                return true;
            }
            at += 1 + usize::from(qname.wire()[at]);
        }
        false
    }
}
