//! Shadow evaluation: how many different clients would meet each new entry, before it acts.
//!
//! Enters: queries that reached the lists. Leaves: for each evaluated list a sketch of all clients for whom it would hold,
//! and one for each entry that was met. Rules: only sketches are kept (see [`crate::sketch`]), by the entry's reference, so
//! that they outlive the compiled file; a client that another list stops anyway does not count for an entry; where no
//! list is evaluated, nothing is done but one look at an empty table.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::list::{CompiledList, Hit, Matching};
use crate::relay::hash::Key;
use crate::relay::rate::client_hash;
use crate::sketch::Sketch;
use crate::wire::Name;

/// A list under evaluation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShadowList {
    /// Its number in the compiled file.
    pub list: u8,
    /// The number of the list that its entries would join: it says for whom they would hold.
    pub of: u8,
    /// What it is called, whatever its number in the next file.
    pub id: String,
}

/// What was seen of one.
#[derive(Debug)]
pub struct Seen {
    /// Which.
    pub list: ShadowList,
    /// Clients for whom it would hold.
    pub everyone: Sketch,
    /// Clients that met an entry, by its reference.
    pub met: HashMap<[u8; 10], Sketch>,
}

/// All of them.
pub struct Shadow {
    key: Key,
    lists: Vec<Seen>,
}

impl Shadow {
    /// None. Workers that share a key can have their sketches joined.
    pub fn new(key: Key) -> Shadow {
        Shadow { key, lists: Vec::new() }
    }

    /// Evaluates these from now on; one with the same id as before goes on.
    pub fn set(&mut self, lists: Vec<ShadowList>) {
        let mut before = std::mem::take(&mut self.lists);
        for list in lists {
            let seen = match before.iter().position(|seen| seen.list.id == list.id) {
                Some(at) => Seen { list, ..before.swap_remove(at) },
                None => Seen { list, everyone: Sketch::default(), met: HashMap::new() },
            };
            self.lists.push(seen);
        }
    }

    /// Whether any list is evaluated.
    #[inline]
    pub fn is_on(&self) -> bool {
        !self.lists.is_empty()
    }

    /// What was seen until now.
    pub fn seen(&self) -> &[Seen] {
        &self.lists
    }

    /// A client asked for this name, which met these rows; none of them where a list that acts stops it.
    pub fn asked(&mut self, ip: IpAddr, qname: &Name, view: u64, list: &CompiledList, hits: &[Hit], now: u32) {
        let (client, service) = (client_hash(self.key, ip), qname.service_labels());
        for Seen { list: under, everyone, met } in &mut self.lists {
            if view.checked_shr(u32::from(under.of)).unwrap_or(0) & 1 == 0 {
                continue;
            }
            everyone.add(client);
            for Hit { row, distance } in hits {
                for (index, rule) in (0u16..).zip(list.rules(*row)) {
                    if rule.list == under.list
                        && rule.applies(Matching::distance(*distance, service), now)
                        && let Some(reference) = list.reference(list.number(*row, index))
                    {
                        met.entry(reference).or_default().add(client);
                    }
                }
            }
        }
    }
}
