//! What a server of DNS over QUIC is made of: the identity, the transport's limits, and keys that outlive a worker.
//!
//! Enters: the TLS configuration, the secret that the workers of one host share, the number of a socket, [`Limits`].
//! Leaves: the two configurations of `quinn-proto`. Rules:
//!
//! * the token of a Retry is sealed with a key of the secret: any worker takes it;
//! * connection ids and the tokens of stateless resets come from the secret *and the socket*. The next worker at that
//!   socket tells the clients of one that died that their connections are gone; a worker at another socket, where a
//!   stranger can send what he saw, cannot (RFC 9000, 21.11);
//! * datagrams of at most 1200 octets, so that none is cut on its way; no early data; nothing but clients' bidirectional
//!   streams.

use std::sync::Arc;
use std::time::Duration;

use quinn_proto::crypto::rustls::QuicServerConfig;
use quinn_proto::{EndpointConfig, HashedConnectionIdGenerator, IdleTimeout, ServerConfig, TransportConfig, VarInt};
use ring::{hkdf, hmac};

use crate::streams::Limits;
use crate::streams::tickets::SECRET;

/// QUIC version 1 (RFC 9000); another one is answered with a version negotiation.
const VERSION: u32 = 1;
/// Octets that a client may send before they are read: more than the longest message, so that a longer one is seen.
const WINDOW: u32 = 1 << 17;
/// Octets that wait in a connection for the client's acknowledgement.
const SENT: u64 = 1 << 17;
/// Octets of TLS messages out of order.
const CRYPTO: usize = 16 << 10;

/// What new connections are made with.
pub(crate) fn server(
    tls: Arc<rustls::ServerConfig>,
    secret: &[u8; SECRET],
    limits: &Limits,
) -> Result<Arc<ServerConfig>, String> {
    let crypto = QuicServerConfig::try_from(tls).map_err(|error| error.to_string())?;
    let tokens = hkdf::Salt::new(hkdf::HKDF_SHA256, b"stopsign address validation").extract(secret);
    let mut config = ServerConfig::new(Arc::new(crypto), Arc::new(tokens));
    config.transport_config(Arc::new(transport(limits)));
    Ok(Arc::new(config))
}

fn transport(limits: &Limits) -> TransportConfig {
    let mut config = TransportConfig::default();
    let idle = VarInt::try_from(limits.idle / 1000).unwrap_or(VarInt::MAX);
    config
        .max_concurrent_bidi_streams(VarInt::try_from(limits.in_flight as u64).unwrap_or(VarInt::MAX))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .max_idle_timeout(Some(IdleTimeout::from(idle)))
        .stream_receive_window(VarInt::from_u32(WINDOW))
        .receive_window(VarInt::from_u32(WINDOW))
        .send_window(SENT)
        .crypto_buffer_size(CRYPTO)
        .datagram_receive_buffer_size(None)
        .mtu_discovery_config(None)
        .enable_segmentation_offload(false)
        .allow_spin(false);
    config
}

/// The endpoint at the socket of that number.
pub(super) fn endpoint(secret: &[u8; SECRET], socket: u64) -> Arc<EndpointConfig> {
    let resets = derived(secret, b"stopsign stateless resets", socket);
    let ids = derived(secret, b"stopsign connection ids", socket);
    let ids = u64::from_be_bytes(*ids.first_chunk().unwrap_or(&[0; 8]));
    let mut config = EndpointConfig::new(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &resets)));
    config
        .supported_versions(vec![VERSION])
        .cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(ids)))
        .min_reset_interval(Duration::from_millis(1));
    Arc::new(config)
}

fn derived(secret: &[u8; SECRET], what: &[u8], socket: u64) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    hmac::sign(&key, &[what, &socket.to_be_bytes()].concat()).as_ref().to_vec()
}
