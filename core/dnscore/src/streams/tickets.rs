//! What the workers of one host share for TLS and QUIC, and the keys of session tickets.
//!
//! Enters: two secrets of the supervisor, and the time since the machine started, which no clock step moves. Leaves:
//! tickets that any worker opens. Rules:
//!
//! * a secret of tickets holds for one period; the next is derived from it, one way, so every worker reaches the same one
//!   without a word, and nobody who reads its memory later opens what was sealed before;
//! * a ticket of the period before is still opened, an older one is not;
//! * the secret of QUIC stays: connection ids and resets outlive a period. Both are in memory alone.

use std::sync::{Arc, Mutex};

use ring::{aead, hkdf, hmac};
use rustls::server::ProducesTickets;

use crate::sys;

/// Octets of a shared secret.
pub const SECRET: usize = 32;
/// Seconds of a period, for who shares with nobody.
const ALONE: u32 = 6 * 3600;
/// Seconds that a ticket may be said to live (RFC 8446, 4.6.1).
const LONGEST: u32 = 7 * 86_400;
/// Octets of a ticket before what is sealed: period and nonce.
const HEAD: usize = 4 + aead::NONCE_LEN;

/// See the module.
#[derive(Clone)]
pub struct Secrets {
    /// Of session tickets.
    pub(super) tickets: Arc<Tickets>,
    /// Of connection ids, resets and tokens of QUIC.
    pub(super) quic: [u8; SECRET],
}

impl Secrets {
    /// `tickets`: the secret of period number `period`, each of which lasts `rotation` seconds. Who is to open tickets of
    /// the period before is given the secret of that.
    pub fn new(tickets: [u8; SECRET], period: u32, rotation: u32, quic: [u8; SECRET]) -> Secrets {
        let keys = Keys { period, before: None, current: key_of(&tickets), secret: tickets };
        Secrets { tickets: Arc::new(Tickets { rotation: rotation.max(1), keys: Mutex::new(keys) }), quic }
    }

    /// Shared with nobody.
    pub fn random() -> Secrets {
        let (mut tickets, mut quic) = ([0; SECRET], [0; SECRET]);
        sys::fill_random(&mut tickets);
        sys::fill_random(&mut quic);
        Secrets::new(tickets, sys::since_boot() / ALONE, ALONE, quic)
    }
}

/// The secret of tickets so many periods later.
pub fn later_secret(mut secret: [u8; SECRET], periods: u32) -> [u8; SECRET] {
    for _ in 0..periods {
        let next = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), b"stopsign session tickets, next period");
        secret.copy_from_slice(next.as_ref());
    }
    secret
}

fn key_of(secret: &[u8; SECRET]) -> Option<aead::LessSafeKey> {
    let secret = hkdf::Salt::new(hkdf::HKDF_SHA256, b"stopsign session tickets").extract(secret);
    let key = secret.expand(&[], &aead::AES_256_GCM).ok()?;
    Some(aead::LessSafeKey::new(aead::UnboundKey::from(key)))
}

struct Keys {
    period: u32,
    secret: [u8; SECRET],
    current: Option<aead::LessSafeKey>,
    before: Option<aead::LessSafeKey>,
}

impl Keys {
    /// Goes on to that period, never back.
    fn advance(&mut self, period: u32) {
        while self.period < period {
            self.secret = later_secret(self.secret, 1);
            self.before = std::mem::replace(&mut self.current, key_of(&self.secret));
            self.period += 1;
        }
    }

    fn seal(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = [0; aead::NONCE_LEN];
        sys::fill_random(&mut nonce);
        let (period, mut sealed) = (self.period.to_be_bytes(), plain.to_vec());
        self.current
            .as_ref()?
            .seal_in_place_append_tag(aead::Nonce::assume_unique_for_key(nonce), aead::Aad::from(period), &mut sealed)
            .ok()?;
        Some([&period[..], &nonce, &sealed].concat())
    }

    fn open(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (head, sealed) = ticket.split_at_checked(HEAD)?;
        let (period, nonce) = head.split_first_chunk()?;
        let key = match self.period.checked_sub(u32::from_be_bytes(*period))? {
            0 => self.current.as_ref()?,
            1 => self.before.as_ref()?,
            _ => return None,
        };
        let mut plain = sealed.to_vec();
        let nonce = aead::Nonce::try_assume_unique_for_key(nonce).ok()?;
        let length = key.open_in_place(nonce, aead::Aad::from(*period), &mut plain).ok()?.len();
        plain.truncate(length);
        Some(plain)
    }
}

/// Seals tickets with keys that every worker has.
pub(super) struct Tickets {
    /// Seconds.
    rotation: u32,
    keys: Mutex<Keys>,
}

impl std::fmt::Debug for Tickets {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Tickets")
    }
}

impl Tickets {
    fn with<T>(&self, act: impl FnOnce(&Keys) -> Option<T>) -> Option<T> {
        let mut keys = self.keys.lock().ok()?;
        keys.advance(sys::since_boot() / self.rotation);
        act(&keys)
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        self.rotation.min(LONGEST)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.with(|keys| keys.seal(plain))
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.with(|keys| keys.open(ticket))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(secret: [u8; SECRET], period: u32) -> Keys {
        Keys { period, before: None, current: key_of(&secret), secret }
    }

    #[test]
    fn a_ticket_is_opened_by_each_holder_of_the_secret_in_its_period_and_the_next() {
        let ticket = keys([7; SECRET], 1000).seal(b"session").expect("sealed");
        for (secret, now, opened) in [(7, 1000, true), (7, 1001, true), (7, 1002, false), (8, 1000, false)] {
            let mut holder = keys([secret; SECRET], 1000);
            holder.advance(now);
            assert_eq!(holder.open(&ticket), opened.then(|| b"session".to_vec()), "{now}");
        }
        let holder = keys([7; SECRET], 1000);
        for at in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[at] ^= 1;
            assert_eq!(holder.open(&changed), None, "{at}");
            assert_eq!(holder.open(&ticket[..at]), None);
        }
        assert_ne!(holder.seal(b"session"), Some(ticket), "no nonce comes twice");
    }

    #[test]
    fn holders_that_start_in_different_periods_reach_the_same_key_and_none_goes_back() {
        let (mut early, mut late) = (keys([7; SECRET], 10), keys(later_secret([7; SECRET], 3), 13));
        early.advance(14);
        late.advance(14);
        late.advance(12);
        assert_eq!(late.period, 14);
        let ticket = early.seal(b"session").expect("sealed");
        assert_eq!(late.open(&ticket), Some(b"session".to_vec()));
        assert_eq!(keys([7; SECRET], 14).open(&ticket), None, "an earlier secret is not a later one");
    }

    #[test]
    fn the_period_is_counted_from_the_machine_s_start() {
        let now = sys::since_boot();
        let sealed = Secrets::new([7; SECRET], 0, u32::MAX, [0; SECRET]).tickets.encrypt(b"session").expect("sealed");
        assert_eq!(sealed[..4], [0; 4]);
        let each_second = Secrets::new([7; SECRET], now.saturating_sub(2), 1, [0; SECRET]);
        let sealed = each_second.tickets.encrypt(b"session").expect("sealed");
        let period = u32::from_be_bytes([sealed[0], sealed[1], sealed[2], sealed[3]]);
        assert!((now..=sys::since_boot()).contains(&period), "{period}");
    }
}
