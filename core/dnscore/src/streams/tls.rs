//! TLS over a connection (RFC 7858, and below HTTP): octets of records in, plain octets out, and back.
//!
//! Enters: the certificate and its key in PEM, the secret that the workers of one host share. Leaves: an [`Identity`], from
//! which each connection gets its session. Rules:
//!
//! * TLS 1.3, and 1.2 for clients that have nothing else; no early data, since what is replayed would be asked again;
//! * a ticket resumes a session at any worker: its key is derived from the shared secret and the time, and changes every
//!   [`EPOCH`]; a ticket of the epoch before is still taken. The secret is in memory alone;
//! * a connection keeps the identity that it began with, so a new certificate ends none.

use std::io::{self, Read, Write};
use std::sync::Arc;

use ring::{aead, hkdf};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, ProducesTickets};
use rustls::{ServerConfig, ServerConnection};

use super::quic::server_config;
use super::{Kind, Limits};
use crate::sys;

/// Seconds for which one key makes tickets.
const EPOCH: u32 = 6 * 3600;
/// Octets of the shared secret.
pub const SECRET: usize = 32;
/// Octets of a ticket before what is sealed: epoch and nonce.
const HEAD: usize = 4 + aead::NONCE_LEN;
/// Plain octets that are sealed at once.
const RECORD: usize = 1 << 14;

/// The certificate and what goes with it, for each kind of connection.
#[derive(Clone)]
pub struct Identity {
    tls: Arc<ServerConfig>,
    https: Arc<ServerConfig>,
    quic: Arc<ServerConfig>,
    secret: [u8; SECRET],
}

impl Identity {
    /// From a chain and a key in PEM. The error says what is wrong with them.
    pub fn new(chain: &[u8], key: &[u8], secret: [u8; SECRET]) -> Result<Identity, String> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<_, _>>()
            .map_err(|error| format!("the certificate cannot be read ({error})"))?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| format!("the key cannot be read ({error})"))?;
        let tickets = Arc::new(Tickets { secret });
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|error| format!("certificate and key cannot be used ({error})"))?;
        config.ticketer = tickets;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        // Who speaks HTTP/1.1 alone is to hear a status that people know, not an alert.
        let mut of_https = config.clone();
        of_https.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let mut of_quic = config.clone();
        of_quic.alpn_protocols = vec![b"doq".to_vec()];
        config.alpn_protocols = vec![b"dot".to_vec()];
        let (tls, https, quic) = (Arc::new(config), Arc::new(of_https), Arc::new(of_quic));
        Ok(Identity { tls, https, quic, secret })
    }

    /// What connections over QUIC are made with.
    pub fn quic(&self, limits: &Limits) -> Result<Arc<quinn_proto::ServerConfig>, String> {
        server_config(Arc::clone(&self.quic), &self.secret, limits)
    }

    /// What the workers of one host share.
    pub(super) fn secret(&self) -> &[u8; SECRET] {
        &self.secret
    }

    /// A session for a new connection; `None`: of a kind that has none.
    pub(super) fn session(&self, kind: Kind) -> Option<Box<Session>> {
        let config = match kind {
            Kind::Tcp => return None,
            Kind::Tls => &self.tls,
            Kind::Https => &self.https,
        };
        let mut inner = ServerConnection::new(Arc::clone(config)).ok()?;
        inner.set_buffer_limit(None); // what waits is bounded before it comes here
        Some(Box::new(Session { inner }))
    }
}

/// One connection's.
pub(super) struct Session {
    inner: ServerConnection,
}

/// What came of octets.
pub(super) enum Came {
    /// More may come.
    Open,
    /// The client said that no more will come.
    Closed,
    /// It is no TLS, or wrong; an alert waits to be written.
    Broken,
}

impl Session {
    /// Opens the records in `octets`; what was in them is appended to `out`.
    pub fn receive(&mut self, mut octets: &[u8], out: &mut Vec<u8>) -> Came {
        while !octets.is_empty() {
            if self.inner.read_tls(&mut octets).is_err() {
                return Came::Broken;
            }
            let Ok(state) = self.inner.process_new_packets() else { return Came::Broken };
            let plain = state.plaintext_bytes_to_read();
            if plain > 0 {
                let start = out.len();
                out.resize(start + plain, 0);
                if self.inner.reader().read_exact(&mut out[start..]).is_err() {
                    return Came::Broken;
                }
            }
            if state.peer_has_closed() {
                return Came::Closed;
            }
        }
        Came::Open
    }

    /// Records wait to be written.
    pub fn has_unwritten(&self) -> bool {
        self.inner.wants_write()
    }

    /// Seals a part of `plain`; returns its length.
    pub fn seal(&mut self, plain: &[u8]) -> usize {
        self.inner.writer().write(&plain[..plain.len().min(RECORD)]).unwrap_or(plain.len())
    }

    /// Writes what was sealed.
    pub fn write(&mut self, out: &mut impl Write) -> io::Result<usize> {
        self.inner.write_tls(out)
    }

    /// Says that no more will come.
    pub fn close(&mut self) {
        self.inner.send_close_notify();
    }
}

/// Seals tickets with keys that every worker can derive.
struct Tickets {
    secret: [u8; SECRET],
}

impl std::fmt::Debug for Tickets {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Tickets")
    }
}

impl Tickets {
    fn key(&self, epoch: u32) -> Option<aead::LessSafeKey> {
        let secret = hkdf::Salt::new(hkdf::HKDF_SHA256, b"stopsign session tickets").extract(&self.secret);
        let epoch = epoch.to_be_bytes();
        let info = [&epoch[..]];
        let key = secret.expand(&info, &aead::AES_256_GCM).ok()?;
        Some(aead::LessSafeKey::new(aead::UnboundKey::from(key)))
    }

    fn seal(&self, epoch: u32, plain: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = [0; aead::NONCE_LEN];
        sys::fill_random(&mut nonce);
        let mut sealed = plain.to_vec();
        let (epoch, key) = (epoch.to_be_bytes(), self.key(epoch)?);
        key.seal_in_place_append_tag(aead::Nonce::assume_unique_for_key(nonce), aead::Aad::from(epoch), &mut sealed)
            .ok()?;
        Some([&epoch[..], &nonce, &sealed].concat())
    }

    fn open(&self, epoch_now: u32, ticket: &[u8]) -> Option<Vec<u8>> {
        let (head, sealed) = ticket.split_at_checked(HEAD)?;
        let (epoch, nonce) = head.split_first_chunk()?;
        let number = u32::from_be_bytes(*epoch);
        if number != epoch_now && number.checked_add(1) != Some(epoch_now) {
            return None;
        }
        let mut plain = sealed.to_vec();
        let nonce = aead::Nonce::try_assume_unique_for_key(nonce).ok()?;
        let length = self.key(number)?.open_in_place(nonce, aead::Aad::from(*epoch), &mut plain).ok()?.len();
        plain.truncate(length);
        Some(plain)
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        EPOCH
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.seal(sys::unix_time() / EPOCH, plain)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.open(sys::unix_time() / EPOCH, ticket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_opened_by_each_holder_of_the_secret_for_this_epoch_and_the_next() {
        let (one, same, other) =
            (Tickets { secret: [7; SECRET] }, Tickets { secret: [7; SECRET] }, Tickets { secret: [8; SECRET] });
        let ticket = one.seal(1000, b"session").expect("sealed");
        for (tickets, now, opened) in
            [(&same, 1000, true), (&same, 1001, true), (&same, 1002, false), (&same, 999, false), (&other, 1000, false)]
        {
            assert_eq!(tickets.open(now, &ticket), opened.then(|| b"session".to_vec()), "{now}");
        }
        for at in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[at] ^= 1;
            assert_eq!(same.open(1000, &changed), None, "{at}");
            assert_eq!(same.open(1000, &ticket[..at]), None);
        }
        assert_ne!(one.seal(1000, b"session"), Some(ticket), "no nonce comes twice");
    }
}
