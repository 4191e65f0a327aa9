//! The client over streams: each connection has one question in flight, and its answer is followed by the next question.
//!
//! dnsperf has a window over all its connections and asks round them: some have two questions then, some none, and the
//! second one waits for the answer to the first (Nagle's algorithm) and is sent by the kernel while the server writes, on
//! the server's account. Here no question waits.

use std::io::{self, BufRead, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;

use dnscore::sys::{Poll, monotonic};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use crate::Failure;
use crate::ask::Report;
use crate::message::Queries;

/// Milliseconds without any answer after which those that are due are lost.
const PATIENCE: i32 = 3_000;
/// Octets that are read at once.
const ROOM: usize = 1 << 16;
/// Octets of a message's length.
const PREFIX: usize = 2;

/// How to ask.
pub struct Plan {
    /// Whom.
    pub server: SocketAddr,
    /// On how many connections.
    pub connections: usize,
    /// How many questions.
    pub count: u64,
    /// Over TLS: a file of authorities (PEM), and the name that the certificate must say.
    pub tls: Option<(String, String)>,
    /// The address that every answer must hold.
    pub expect: Option<[u8; 4]>,
}

impl Plan {
    /// 100,000 questions on 500 connections.
    pub fn usual(server: SocketAddr) -> Plan {
        Plan { server, connections: 500, count: 100_000, tls: None, expect: None }
    }
}

struct Connection {
    socket: TcpStream,
    session: Option<ClientConnection>,
    came: Vec<u8>,
    /// When it was asked, and what.
    asked: u64,
    query: usize,
}

impl Connection {
    fn open(server: SocketAddr, tls: Option<(&Arc<ClientConfig>, &ServerName<'static>)>) -> Result<Self, Failure> {
        let mut socket = TcpStream::connect(server)?;
        socket.set_nodelay(true)?;
        let mut session = None;
        if let Some((config, name)) = tls {
            let mut begun = ClientConnection::new(Arc::clone(config), name.clone())?;
            while begun.is_handshaking() {
                begun.complete_io(&mut socket)?;
            }
            session = Some(begun);
        }
        socket.set_nonblocking(true)?;
        Ok(Connection { socket, session, came: Vec::new(), asked: 0, query: 0 })
    }

    /// Asks the query of that number; a socket that has one question in flight has room for it.
    fn ask(&mut self, query: usize, queries: &Queries, now: u64) -> io::Result<()> {
        let (message, _) = queries.get(query);
        let octets = [&(message.len() as u16).to_be_bytes()[..], message].concat();
        (self.asked, self.query) = (now, query);
        match &mut self.session {
            None => self.socket.write_all(&octets),
            Some(session) => {
                session.writer().write_all(&octets)?;
                while session.wants_write() {
                    session.write_tls(&mut self.socket)?;
                }
                Ok(())
            }
        }
    }

    /// Reads once; the whole answer, if it is there now.
    fn hear(&mut self, room: &mut [u8]) -> Result<Option<Vec<u8>>, Failure> {
        let count = match self.socket.read(room) {
            Ok(0) => return Err("the server closed a connection".into()),
            Ok(count) => count,
            Err(why) if why.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(why) => return Err(why.into()),
        };
        match &mut self.session {
            None => self.came.extend_from_slice(&room[..count]),
            Some(session) => {
                let mut sealed = &room[..count];
                while !sealed.is_empty() {
                    session.read_tls(&mut sealed)?;
                    let plain = session.process_new_packets()?.plaintext_bytes_to_read();
                    let start = self.came.len();
                    self.came.resize(start + plain, 0);
                    session.reader().read_exact(&mut self.came[start..])?;
                }
            }
        }
        let Some((length, rest)) = self.came.split_first_chunk::<PREFIX>() else { return Ok(None) };
        let length = usize::from(u16::from_be_bytes(*length));
        if rest.len() < length {
            return Ok(None);
        }
        if rest.len() > length {
            return Err("more came than was asked for".into());
        }
        Ok(Some(std::mem::take(&mut self.came).split_off(PREFIX)))
    }
}

/// Connects, says `ready`, waits for a line of standard input (or its end), asks by the plan.
pub fn ask(plan: &Plan, queries: &Queries) -> Result<Report, Failure> {
    let tls = plan.tls.as_ref().map(|(file, name)| believing(file, name)).transpose()?;
    let mut poll = Poll::new()?;
    let mut connections = Vec::with_capacity(plan.connections);
    for token in 0..plan.connections {
        let one = Connection::open(plan.server, tls.as_ref().map(|(config, name)| (config, name)))?;
        poll.add(one.socket.as_raw_fd(), token as u64)?;
        connections.push(one);
    }
    println!("ready");
    io::stdin().lock().read_line(&mut String::new())?;
    let (mut report, mut ready, mut room) = (Report::new(), Vec::new(), vec![0; ROOM]);
    let start = monotonic();
    for one in &mut connections {
        if report.sent < plan.count {
            one.ask(report.sent as usize % queries.len(), queries, monotonic())?;
            report.sent += 1;
        }
    }
    while report.answered < report.sent {
        poll.wait(&mut ready, PATIENCE)?;
        if ready.is_empty() {
            report.lost = report.sent - report.answered;
            break;
        }
        let now = monotonic();
        for at in &ready {
            let one = &mut connections[at.token as usize];
            let Some(answer) = one.hear(&mut room)? else { continue };
            let (query, question) = queries.get(one.query);
            report.take(&answer, query, question, plan.expect, now - one.asked);
            if report.sent < plan.count {
                one.ask(report.sent as usize % queries.len(), queries, now)?;
                report.sent += 1;
            }
        }
    }
    report.seconds = (monotonic() - start) as f64 / 1e6;
    Ok(report)
}

fn believing(file: &str, name: &str) -> Result<(Arc<ClientConfig>, ServerName<'static>), Failure> {
    let mut roots = RootCertStore::empty();
    for one in CertificateDer::pem_file_iter(file).map_err(|why| format!("{file}: {why}"))? {
        roots.add(one.map_err(|why| format!("{file}: {why}"))?)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"dot".to_vec()];
    Ok((Arc::new(config), ServerName::try_from(name.to_owned())?))
}
