//! Clients behind a balancer: who they are stands in a PROXY header before each datagram.
//!
//! Enters: a datagram as it was received. Leaves: the same without the header, and whom it is from. Rules: a trusted proxy
//! must always send a header, since without one it could speak for anybody; from any other source a header is no DNS
//! message. Where no proxy is trusted, this costs one comparison.

use crate::clients::{Clients, Prefix};
use crate::sys::Receiver;
use crate::wire::proxy::{self, Ends, Header, Read};

/// Whom a datagram is from.
pub(super) enum ProxySource {
    /// Its own source.
    Itself,
    /// The client that a proxy names.
    Client(Ends),
    /// It cannot be said: the datagram is dropped.
    Unknown,
}

/// The proxies that are trusted.
pub(super) struct Balancers(Option<Clients>);

impl Balancers {
    pub fn new(trusted: &[Prefix]) -> Balancers {
        Balancers((!trusted.is_empty()).then(|| Clients::new(trusted, &[])))
    }

    /// Takes the header off datagram `index` of the batch.
    #[inline]
    pub fn unwrap(&self, queries: &mut Receiver, index: usize) -> ProxySource {
        match &self.0 {
            None => ProxySource::Itself,
            Some(trusted) => unwrap(trusted, queries, index),
        }
    }
}

#[cold]
fn unwrap(trusted: &Clients, queries: &mut Receiver, index: usize) -> ProxySource {
    if trusted.view(queries.source(index).ip()).is_none() {
        return ProxySource::Itself;
    }
    let Read::Header(Header { length, ends }) = proxy::read(queries.datagram(index)) else {
        return ProxySource::Unknown;
    };
    queries.strip(index, length);
    ends.map_or(ProxySource::Itself, ProxySource::Client)
}
