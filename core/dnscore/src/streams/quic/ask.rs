//! One question over QUIC, as a strict client asks it: for `stopsign ask`, and no part of a worker.
//!
//! Enters: a message, the server's address, the name that its certificate must say, the authorities to believe. Leaves:
//! the answer, or why there is none. It blocks until then, for as long as it was given.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use quinn_proto::crypto::rustls::QuicClientConfig;
use quinn_proto::{
    ClientConfig, Connection, ConnectionHandle, DatagramEvent, Dir, Endpoint, EndpointConfig, Event, StreamId,
};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::connection::code;
use super::message::PREFIX;

/// Octets of a datagram.
const ROOM: usize = 1500;

/// The answer to `message`. The error is a reason for people.
pub fn ask(message: &[u8], to: SocketAddr, name: &str, pem: &[u8], patience: Duration) -> Result<Vec<u8>, String> {
    let until = Instant::now() + patience;
    let said = |error: std::io::Error| error.to_string();
    let socket = UdpSocket::bind(if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }).map_err(said)?;
    socket.connect(to).map_err(said)?;
    let mut endpoint = Endpoint::new(Arc::new(EndpointConfig::default()), None, false, None);
    let (handle, connection) =
        endpoint.connect(Instant::now(), config(pem)?, to, name).map_err(|error| error.to_string())?;
    let mut asking = Asking { endpoint, handle, connection, message, stream: None, came: Vec::new() };
    let mut datagram = [0; ROOM];
    loop {
        let answer = asking.attend()?;
        if answer.is_some() {
            asking.connection.close(Instant::now(), code::NO_ERROR, Bytes::new());
        }
        let mut octets = Vec::new();
        while let Some(transmit) = asking.connection.poll_transmit(Instant::now(), 1, &mut octets) {
            socket.send(&octets[..transmit.size]).map_err(said)?;
            octets.clear();
        }
        if let Some(answer) = answer {
            return Ok(answer);
        }
        let now = Instant::now();
        let wake = asking.connection.poll_timeout().map_or(until, |at| at.min(until));
        if now >= until {
            return Err(format!("nothing came within {} s", patience.as_secs_f32()));
        }
        let wait = wake.saturating_duration_since(now).max(Duration::from_millis(1));
        socket.set_read_timeout(Some(wait)).map_err(said)?;
        match socket.recv(&mut datagram) {
            Ok(length) => asking.receive(&datagram[..length], to),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                asking.connection.handle_timeout(Instant::now());
            }
            Err(error) => return Err(said(error)),
        }
    }
}

fn config(pem: &[u8]) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    // One among the system's that cannot be read is one that cannot be believed.
    roots.add_parsable_certificates(certificates.map_err(|error| format!("the authorities: {error}"))?);
    let mut tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"doq".to_vec()];
    let crypto = QuicClientConfig::try_from(tls).map_err(|error| error.to_string())?;
    Ok(ClientConfig::new(Arc::new(crypto)))
}

struct Asking<'m> {
    endpoint: Endpoint,
    handle: ConnectionHandle,
    connection: Connection,
    message: &'m [u8],
    stream: Option<StreamId>,
    came: Vec<u8>,
}

impl Asking<'_> {
    fn receive(&mut self, datagram: &[u8], from: SocketAddr) {
        let mut reply = Vec::new();
        let event = self.endpoint.handle(Instant::now(), from, None, None, datagram.into(), &mut reply);
        if let Some(DatagramEvent::ConnectionEvent(_, event)) = event {
            self.connection.handle_event(event);
        }
    }

    /// Takes what happened; the answer, once it has come whole.
    fn attend(&mut self) -> Result<Option<Vec<u8>>, String> {
        while let Some(event) = self.connection.poll_endpoint_events() {
            if let Some(event) = self.endpoint.handle_event(self.handle, event) {
                self.connection.handle_event(event);
            }
        }
        while let Some(event) = self.connection.poll() {
            match event {
                Event::Connected => self.send()?,
                Event::ConnectionLost { reason } => return Err(reason.to_string()),
                _ => {}
            }
        }
        let Some(stream) = self.stream else { return Ok(None) };
        let mut receiving = self.connection.recv_stream(stream);
        let Ok(mut chunks) = receiving.read(true) else { return Ok(None) };
        let has_ended = loop {
            match chunks.next(usize::MAX) {
                Ok(Some(chunk)) => self.came.extend_from_slice(&chunk.bytes),
                Ok(None) => break true,
                Err(quinn_proto::ReadError::Blocked) => break false,
                Err(quinn_proto::ReadError::Reset(why)) => return Err(format!("the question was refused ({why})")),
            }
        };
        // What is due for it goes with the datagrams that follow.
        let _ = chunks.finalize();
        if !has_ended {
            return Ok(None);
        }
        match self.came.split_first_chunk::<PREFIX>() {
            Some((length, answer)) if usize::from(u16::from_be_bytes(*length)) == answer.len() => {
                Ok(Some(answer.to_vec()))
            }
            _ => Err("the stream holds no message".into()),
        }
    }

    fn send(&mut self) -> Result<(), String> {
        let stream = self.connection.streams().open(Dir::Bi).ok_or("the server allows no stream")?;
        let length = u16::try_from(self.message.len()).map_err(|_| "the question is too long")?;
        let octets = [&length.to_be_bytes()[..], self.message].concat();
        let mut sending = self.connection.send_stream(stream);
        let written = sending.write(&octets).map_err(|error| error.to_string())?;
        if written < octets.len() {
            return Err("the server does not take a whole question".into());
        }
        sending.finish().map_err(|error| error.to_string())?;
        self.stream = Some(stream);
        Ok(())
    }
}
