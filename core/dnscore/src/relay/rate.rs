//! A token bucket for each IPv4 address and each IPv6 /56.
//!
//! Enters: a client's address, the time; `dns.rate` of the configuration (off unless it is written). Leaves: whether the
//! query is within the rate. The buckets are a fixed table, so memory is bounded, however many clients ask. Where two
//! clients hash to one place, the newcomer takes the bucket over if it is full again, since a full bucket remembers
//! nothing; else both share it.

use std::net::IpAddr;

use super::hash::Key;

const BUCKETS: usize = 1 << 16;

/// The buckets.
pub struct Rate {
    per_second: f32,
    burst: f32,
    buckets: Box<[Bucket]>,
}

#[derive(Clone, Copy)]
struct Bucket {
    client: u32,
    tokens: f32,
    at_ms: u64,
}

impl Rate {
    /// `per_second` queries in the long run, `burst` at once.
    #[allow(clippy::cast_possible_truncation)] // an f32 is near enough
    pub fn new(per_second: f64, burst: f64) -> Rate {
        let burst = burst.max(1.0) as f32;
        let bucket = Bucket { client: 0, tokens: burst, at_ms: 0 };
        Rate { per_second: per_second as f32, burst, buckets: vec![bucket; BUCKETS].into_boxed_slice() }
    }

    /// Takes a token of the client with that hash; false: there was none.
    #[allow(clippy::cast_possible_truncation)] // below BUCKETS
    pub fn take(&mut self, client: u64, now_ms: u64) -> bool {
        let bucket = &mut self.buckets[(client & (BUCKETS as u64 - 1)) as usize];
        let passed = now_ms.saturating_sub(bucket.at_ms) as f32 / 1000.0;
        bucket.tokens = (bucket.tokens + passed * self.per_second).min(self.burst);
        bucket.at_ms = now_ms;
        let tag = (client >> 32) as u32;
        if bucket.client != tag && bucket.tokens >= self.burst {
            bucket.client = tag;
        }
        if bucket.tokens < 1.0 {
            return false;
        }
        bucket.tokens -= 1.0;
        true
    }
}

/// What counts as one client: an IPv4 address, an IPv6 /56 (what a household gets: RIPE-690).
pub fn client_hash(key: Key, ip: IpAddr) -> u64 {
    match ip {
        IpAddr::V4(v4) => key.hash(&v4.octets(), 4),
        IpAddr::V6(v6) => key.hash(&v6.octets()[..7], 6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_empties_at_its_burst_and_fills_at_its_rate() {
        let mut rate = Rate::new(10.0, 5.0);
        assert_eq!((0..8).filter(|_| rate.take(77, 1000)).count(), 5);
        assert!(!rate.take(77, 1050));
        assert!(rate.take(77, 1101));
        assert!(!rate.take(77, 1102));
        assert_eq!((0..20).filter(|_| rate.take(77, 60_000)).count(), 5);
    }

    #[test]
    fn an_ipv6_household_is_one_client_and_each_ipv4_address_is() {
        let key = Key(3, 5);
        let of = |text: &str| client_hash(key, text.parse().expect("a test's literal"));
        assert_eq!(of("2001:db8:0:1::1"), of("2001:db8:0:ff::2"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:101::1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
