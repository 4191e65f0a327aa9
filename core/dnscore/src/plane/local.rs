//! Names that are answered here, whatever the upstreams say: the resolver's own words about itself.
//!
//! Enters: whole messages, made once from the configuration; queries. Leaves: the message for a query's name
//! and type. Rules:
//!
//! * A message answers one type of its question's name, or every type that has no message of its own.
//! * At and below `resolver.arpa` what has no message has no data (RFC 9462, 6.4): an upstream that designates itself
//!   there would lead clients past the list.
//! * Nothing here is counted as a block, kept in the cache or asked upstream.
//!
//! It is consulted once a cache miss. A handful of names is compared by length and first octets; nothing is hashed.

use crate::answer;
use crate::wire::{Checked, Expected, Name, Query, check_answer};

/// Where clients ask a resolver for its designated, encrypted self.
pub(super) const RESOLVER_ARPA: &[u8] = b"\x08resolver\x04arpa\x00";
const RESOLVER_ARPA_LABELS: u8 = 2;

/// One answer.
#[derive(Debug)]
pub struct OwnAnswer {
    name: Name,
    /// The one type that it answers; none: every type.
    qtype: Option<u16>,
    message: Box<[u8]>,
    checked: Checked,
}

impl OwnAnswer {
    /// Reads a message as an upstream's would be read; `None` where it is not one question and a sound answer. It answers
    /// its question's type, or, with `every_type`, all that have no message of their own.
    pub fn read(message: &[u8], every_type: bool) -> Option<OwnAnswer> {
        let (name, end) = Name::read(message, crate::wire::HEADER).ok()?;
        let id = u16::from_be_bytes(*message.first_chunk()?);
        let question = message.get(crate::wire::HEADER..end + 4)?;
        let qtype = (!every_type).then_some(u16::from_be_bytes([question[end - 12], question[end - 11]]));
        let checked = check_answer(message, &Expected { id, question }).ok()?;
        Some(OwnAnswer { name, qtype, message: message.into(), checked })
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Local {
    answers: Vec<OwnAnswer>,
}

impl Local {
    pub fn new(mut answers: Vec<OwnAnswer>) -> Local {
        answers.sort_by_key(|answer| answer.qtype.is_none());
        Local { answers }
    }

    fn find(&self, query: &Query) -> Option<&OwnAnswer> {
        self.answers.iter().find(|own| {
            own.name.len() == query.qname.len()
                && own.qtype.is_none_or(|qtype| qtype == query.qtype)
                && own.name == query.qname
        })
    }

    /// Is the query answered here?
    #[inline]
    pub fn has(&self, query: &Query) -> bool {
        query.qname.is_at_or_below(RESOLVER_ARPA) || self.find(query).is_some()
    }

    /// The answer to such a query; `None` for any other.
    pub fn answer(&self, packet: &[u8], query: &Query, limit: usize, out: &mut [u8]) -> Option<usize> {
        if let Some(own) = self.find(query) {
            return Some(answer::client_answer(packet, query, &own.message, &own.checked, limit, out));
        }
        query
            .qname
            .is_at_or_below(RESOLVER_ARPA)
            .then(|| answer::nodata(packet, query, RESOLVER_ARPA_LABELS, limit, out))
    }
}
