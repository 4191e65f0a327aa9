//! TLS over a connection (RFC 7858, and below HTTP): octets of records in, plain octets out, and back.
//!
//! Enters: the certificate and its key in PEM, what the workers of one host share. Leaves: an [`Identity`], from which each
//! connection gets its session. Rules:
//!
//! * TLS 1.3, and 1.2 for clients that have nothing else; no early data, since what is replayed would be asked again;
//! * a ticket resumes a session at any worker ([`super::tickets`]);
//! * a connection keeps the identity that it began with, so a new certificate ends none.

use std::io::{self, Read, Write};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::{ServerConfig, ServerConnection};

use super::quic::server_config;
use super::tickets::{SECRET, Secrets};
use super::{Kind, Limits};

/// Plain octets that are sealed at once.
const RECORD: usize = 1 << 14;

/// The certificate and what goes with it, for each kind of connection.
#[derive(Clone)]
pub struct Identity {
    tls: Arc<ServerConfig>,
    https: Arc<ServerConfig>,
    quic: Arc<ServerConfig>,
    secret_of_quic: [u8; SECRET],
}

impl Identity {
    /// From a chain and a key in PEM. The error says what is wrong with them.
    pub fn new(chain: &[u8], key: &[u8], secrets: &Secrets) -> Result<Identity, String> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<_, _>>()
            .map_err(|error| format!("the certificate cannot be read ({error})"))?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| format!("the key cannot be read ({error})"))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|error| format!("certificate and key cannot be used ({error})"))?;
        config.ticketer = Arc::clone(&secrets.tickets) as _;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        // Who speaks HTTP/1.1 alone is to hear a status that people know, not an alert.
        let mut of_https = config.clone();
        of_https.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let mut of_quic = config.clone();
        of_quic.alpn_protocols = vec![b"doq".to_vec()];
        config.alpn_protocols = vec![b"dot".to_vec()];
        let (tls, https, quic) = (Arc::new(config), Arc::new(of_https), Arc::new(of_quic));
        Ok(Identity { tls, https, quic, secret_of_quic: secrets.quic })
    }

    /// What connections over QUIC are made with.
    pub fn quic(&self, limits: &Limits) -> Result<Arc<quinn_proto::ServerConfig>, String> {
        server_config(Arc::clone(&self.quic), &self.secret_of_quic, limits)
    }

    /// What the workers of one host share for QUIC.
    pub(super) fn secret_of_quic(&self) -> &[u8; SECRET] {
        &self.secret_of_quic
    }

    /// A session for a new connection; `None`: of a kind that has none.
    pub fn session(&self, kind: Kind) -> Option<Box<Session>> {
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
pub struct Session {
    inner: ServerConnection,
}

/// What came of octets.
#[derive(Debug, PartialEq, Eq)]
pub enum Came {
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
