//! What a plane is made from.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::answer::StopPage;
use crate::cache::STALE_FOR;
use crate::clients::{Clients, Prefix};
use crate::relay::Limits;
use crate::streams;
use crate::tap;
use crate::wire::Name;

use super::local::OwnAnswer;

/// The settings of one worker's plane.
#[derive(Debug)]
pub struct Settings {
    /// Where blocked clients are sent.
    pub page: StopPage,
    /// Who is served, and which lists hold for whom.
    pub clients: Clients,
    /// The name that says whether this host should be asked; none: there is no such name.
    pub health: Option<Name>,
    /// What TXT of that name answers, at most 255 octets; empty: nothing.
    pub health_mark: Vec<u8>,
    /// What this resolver says of itself.
    pub own_answers: Vec<OwnAnswer>,
    /// This worker's share of the cache.
    pub cache_bytes: usize,
    /// For how many seconds after its time an answer may be given when upstreams fail.
    pub cache_stale: u32,
    /// Where the counters are shown; none: nowhere.
    pub counters_path: Option<PathBuf>,
    /// Queries a second and burst of each client; none: no limit.
    pub rate: Option<(f64, f64)>,
    /// Times and caps of the relay.
    pub limits: Limits,
    /// Sockets towards each upstream that is not on loopback.
    pub remote_sockets: usize,
    /// May datagrams of a batch to one destination be handed to the kernel as one?
    pub joins: bool,
    /// Whose PROXY headers are believed; theirs must have one.
    pub proxy_from: Vec<Prefix>,
    /// Upstreams that get a PROXY header which says who asks.
    pub proxy_to: Vec<SocketAddr>,
    /// Upstreams that are asked over TLS alone.
    pub tls_to: Vec<SocketAddr>,
    /// Blocked answers as dnstap frames; none: not recorded.
    pub tap: Option<tap::Settings>,
    /// Of the sketches of clients, shared by the workers that are to be joined; none: a random one.
    pub sketch_key: Option<(u64, u64)>,
    /// What clients' connections may cost.
    pub streams: streams::Limits,
    /// Where DNS over HTTPS is asked for.
    pub https_path: String,
    /// For tests: where the random numbers begin.
    pub seed: Option<u64>,
}

impl Settings {
    /// The defaults for these clients.
    pub fn new(clients: Clients) -> Settings {
        Settings {
            page: StopPage::default(),
            clients,
            health: None,
            health_mark: Vec::new(),
            own_answers: Vec::new(),
            cache_bytes: 32 << 20,
            cache_stale: STALE_FOR,
            counters_path: None,
            rate: None,
            limits: Limits {
                patience: 4_000_000,
                upstream_timeout: 1_000_000,
                in_flight: 16_384,
                per_client: 1_024,
                per_zone: 2_048,
            },
            remote_sockets: 256,
            joins: true,
            proxy_from: Vec::new(),
            proxy_to: Vec::new(),
            tls_to: Vec::new(),
            tap: None,
            sketch_key: None,
            streams: streams::Limits::default(),
            https_path: String::new(),
            seed: None,
        }
    }
}
