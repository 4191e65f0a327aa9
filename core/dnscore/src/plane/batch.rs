//! A batch of queries, and what is known of each on its way through the chain.

use std::net::{IpAddr, Ipv4Addr};

use crate::cache::Key;
use crate::list::Hits;
use crate::sys::BATCH;
use crate::wire::Query;
use crate::wire::proxy::Ends;

/// A query of a batch, as far as the stages have come with it. Made once: a batch of queries is not to be moved about.
pub(super) struct Place {
    /// Whose it is.
    pub client: IpAddr,
    /// The client and the address that it asked, where a balancer or a stream said so.
    pub ends: Option<Ends>,
    pub view: u64,
    pub query: Query,
    pub key: Option<Key>,
    /// It has an answer already, and goes on only to ask an upstream.
    pub answered: bool,
}

/// The queries of a batch, in the places of their datagrams, and what is worked out for all of them at once.
pub(super) struct Batch {
    pub places: Box<[Place]>,
    /// Those that no stage has answered or dropped.
    pub open: Vec<u8>,
    pub found: Found,
    pub keys: Vec<Key>,
}

/// The places of a whole batch.
pub(super) const ALL: [u8; BATCH] = {
    let mut all = [0; BATCH];
    let mut place = 0;
    while place < BATCH {
        all[place] = place as u8;
        place += 1;
    }
    all
};

/// What the look-up of a batch found.
pub(super) struct Found {
    pub hits: Hits,
    /// Where among the hits each place's are.
    pub at: [u8; BATCH],
}

impl Batch {
    pub fn new() -> Batch {
        let client = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let query = Query::BLANK;
        let place = || Place { client, ends: None, view: 0, query, key: None, answered: false };
        Batch {
            places: (0..BATCH).map(|_| place()).collect(),
            open: Vec::with_capacity(BATCH),
            found: Found { hits: Hits::new(), at: [0; BATCH] },
            keys: Vec::with_capacity(BATCH),
        }
    }

    /// Nothing of a batch is left. Each stage writes what it leaves in a place before a later one reads it.
    pub fn forget(&mut self) {
        self.open.clear();
        self.found.hits.clear();
        self.keys.clear();
    }
}
