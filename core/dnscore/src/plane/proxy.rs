//! Clients behind a balancer: who they are stands in a PROXY header before each datagram.
//!
//! Enters: a batch as it was received. Leaves: the same batch without the headers, and whom each datagram is from. Rules:
//! a source that is believed must say for whom it speaks, else it could speak for anybody by leaving it out; from any
//! other source a header is no DNS message. Where nobody is believed, none of this costs anything.

use std::net::{IpAddr, SocketAddr};

use crate::clients::{Clients, Prefix};
use crate::counters::{Counter, Counters};
use crate::sys::{Endpoint, Receiver};
use crate::wire::proxy::{self, Ends, Header, Read};

/// Whom a datagram is from.
#[derive(Clone, Copy, Debug)]
enum From {
    /// Its own source.
    Source,
    /// Somebody behind its source.
    Behind(Ends),
    /// It cannot be said: the datagram is dropped.
    Nobody,
}

/// The balancers that are believed, and what they said of the present batch; empty where there are none.
#[derive(Debug)]
pub(super) struct Balancers {
    believed: Option<Clients>,
    said: Vec<From>,
}

impl Balancers {
    pub fn new(believed: &[Prefix]) -> Balancers {
        let believed = (!believed.is_empty()).then(|| Clients::new(believed, &[]));
        Balancers { believed, said: Vec::new() }
    }

    /// Nothing is said of any batch.
    pub fn forget(&mut self) {
        self.said.clear();
    }

    /// Takes the headers off the datagrams of a batch.
    #[inline]
    pub fn unwrap_batch(&mut self, queries: &mut Receiver, count: usize, counters: &mut Counters) {
        if self.believed.is_some() {
            self.unwrap_each(queries, count, counters);
        }
    }

    #[cold]
    fn unwrap_each(&mut self, queries: &mut Receiver, count: usize, counters: &mut Counters) {
        let Some(believed) = &self.believed else { return };
        self.said.clear();
        for index in 0..count {
            if believed.view(queries.source(index).ip()).is_none() {
                self.said.push(From::Source);
                continue;
            }
            let Read::Header(Header { length, ends }) = proxy::read(queries.datagram(index)) else {
                counters.count(Counter::DroppedProxy);
                self.said.push(From::Nobody);
                continue;
            };
            queries.strip(index, length);
            self.said.push(ends.map_or(From::Source, From::Behind));
        }
    }

    /// The client of a datagram that came from `source`; `None`: it is to be dropped.
    #[inline]
    pub fn client(&self, index: usize, source: IpAddr) -> Option<IpAddr> {
        match self.said.get(index) {
            None | Some(From::Source) => Some(source),
            Some(From::Behind(ends)) => Some(ends.source.ip()),
            Some(From::Nobody) => None,
        }
    }

    /// The same with its port.
    pub fn source(&self, index: usize, source: &Endpoint) -> SocketAddr {
        self.ends(index).map_or_else(|| SocketAddr::from(source), |ends| ends.source)
    }

    /// The ends that a balancer said.
    #[inline]
    pub fn ends(&self, index: usize) -> Option<&Ends> {
        match self.said.get(index) {
            Some(From::Behind(ends)) => Some(ends),
            _ => None,
        }
    }
}
