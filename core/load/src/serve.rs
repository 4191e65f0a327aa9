//! Servers that do next to nothing: the limits that a real one is held against, and an upstream for it.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};

use dnscore::sys::{Endpoint, Listener, Local, Poll, Receiver, Sender, connect};

use crate::message::{OPT, question_end};

const UPSTREAM_SOCKETS: usize = 4;
/// A negative answer's SOA: `.` with everything at 300 seconds.
const SOA: [u8; 33] =
    [0, 0, 6, 0, 1, 0, 0, 1, 44, 0, 22, 0, 0, 0, 0, 0, 1, 0, 0, 1, 44, 0, 0, 1, 44, 0, 0, 1, 44, 0, 0, 1, 44];

/// Every datagram goes back as an answer.
pub fn echo(address: SocketAddr) -> io::Result<()> {
    serve(address, |query, out| {
        out[..query.len()].copy_from_slice(query);
        out[2] |= 0x80;
        Some(query.len())
    })
}

/// Every message over TCP goes back as an answer: one read and one write for what came at once.
pub fn echo_stream(address: SocketAddr) -> io::Result<()> {
    let (listener, mut poll) = (TcpListener::bind(address)?, Poll::new()?);
    poll.add(listener.as_raw_fd(), 0)?;
    listener.set_nonblocking(true)?;
    let mut connections: HashMap<u64, (TcpStream, Vec<u8>)> = HashMap::new();
    let (mut ready, mut next, mut room) = (Vec::new(), 1, vec![0; 1 << 16]);
    loop {
        poll.wait(&mut ready, -1)?;
        for at in &ready {
            if at.token == 0 {
                while let Ok((socket, _)) = listener.accept() {
                    socket.set_nonblocking(true)?;
                    socket.set_nodelay(true)?;
                    poll.add(socket.as_raw_fd(), next)?;
                    connections.insert(next, (socket, Vec::new()));
                    next += 1;
                }
                continue;
            }
            let Some((socket, came)) = connections.get_mut(&at.token) else { continue };
            match socket.read(&mut room) {
                Ok(count @ 1..) => {
                    came.extend_from_slice(&room[..count]);
                    let whole = mark_answers(came);
                    socket.write_all(&came[..whole])?;
                    came.drain(..whole);
                }
                Err(why) if why.kind() == io::ErrorKind::WouldBlock => {}
                Ok(_) | Err(_) => drop(connections.remove(&at.token)),
            }
        }
    }
}

/// Makes answers of the whole messages, each after its length; how many octets these are.
fn mark_answers(octets: &mut [u8]) -> usize {
    let mut at = 0;
    while let Some((length, rest)) = octets[at..].split_first_chunk_mut::<2>() {
        let length = usize::from(u16::from_be_bytes(*length));
        let Some(message) = rest.get_mut(..length) else { break };
        if let Some(flags) = message.get_mut(2) {
            *flags |= 0x80;
        }
        at += 2 + length;
    }
    at
}

/// Every name has this address, and no other data.
pub fn answer(address: SocketAddr, ip: Ipv4Addr) -> io::Result<()> {
    serve(address, |query, out| {
        let question = question_end(query)?;
        let known = query[question - 4..question - 2] == [0, 1];
        let edns = query.len() > question;
        out[..question].copy_from_slice(&query[..question]);
        out[2] = 0x84 | query[2] & 1;
        out[3] = query[3] & 0x10;
        out[6..12].copy_from_slice(&[0, u8::from(known), 0, u8::from(!known), 0, u8::from(edns)]);
        let mut at = question;
        let mut put = |part: &[u8]| {
            out[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        };
        if known {
            put(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4]);
            put(&ip.octets());
        } else {
            put(&SOA);
        }
        if edns {
            put(&OPT);
        }
        Some(at)
    })
}

/// Answers each query by `make`, which writes the answer and says how long it is.
fn serve(address: SocketAddr, make: impl Fn(&[u8], &mut [u8]) -> Option<usize>) -> io::Result<()> {
    let (_socket, listener, mut poll) = listen(address)?;
    let (mut receiver, mut sender, mut ready) = (Receiver::new(1232 + 48), Sender::new(false), Vec::new());
    loop {
        let Some(count) = received(&mut receiver, listener.raw())? else {
            poll.wait(&mut ready, -1)?;
            continue;
        };
        for i in 0..count {
            if sender.is_full() {
                sender.send(listener.raw(), false);
            }
            let query = receiver.datagram(i);
            if query.len() < 12 {
                continue;
            }
            if let Some(length) = make(query, sender.room()) {
                sender.push(length, Some(receiver.source(i)), Local::Bound);
            }
        }
        sender.send(listener.raw(), false);
    }
}

/// Every datagram goes to the upstream under an id of ours, and its answer back.
pub fn relay(address: SocketAddr, upstream: SocketAddr) -> io::Result<()> {
    let (_socket, listener, mut poll) = listen(address)?;
    let mut links: Vec<(UdpSocket, u16)> =
        (0..UPSTREAM_SOCKETS).map(|_| Ok((connect(upstream)?, 0))).collect::<io::Result<_>>()?;
    for (token, (socket, _)) in links.iter().enumerate() {
        poll.add(socket.as_raw_fd(), token as u64 + 1)?;
    }
    let mut asked = vec![(Endpoint::EMPTY, [0u8; 2]); UPSTREAM_SOCKETS << 16];
    let (mut receiver, mut sender, mut ready) = (Receiver::new(1232 + 48), Sender::new(false), Vec::new());
    let mut turn = 0;
    loop {
        poll.wait(&mut ready, -1)?;
        for event in &ready {
            if event.token == 0 {
                while let Some(count) = received(&mut receiver, listener.raw())? {
                    turn = (turn + 1) % UPSTREAM_SOCKETS;
                    let (socket, next) = &mut links[turn];
                    for i in 0..count {
                        let query = receiver.datagram(i);
                        if query.len() < 12 {
                            continue;
                        }
                        asked[turn << 16 | usize::from(*next)] = (*receiver.source(i), [query[0], query[1]]);
                        let room = sender.room();
                        room[..query.len()].copy_from_slice(query);
                        room[..2].copy_from_slice(&next.to_be_bytes());
                        sender.push(query.len(), None, Local::Bound);
                        *next = next.wrapping_add(1);
                        if sender.is_full() {
                            sender.send(socket.as_raw_fd(), true);
                        }
                    }
                    sender.send(socket.as_raw_fd(), true);
                }
            } else {
                let link = event.token as usize - 1;
                while let Some(count) = received(&mut receiver, links[link].0.as_raw_fd())? {
                    for i in 0..count {
                        let answer = receiver.datagram(i);
                        if answer.len() < 12 {
                            continue;
                        }
                        let number = usize::from(u16::from_be_bytes([answer[0], answer[1]]));
                        let (client, id) = asked[link << 16 | number];
                        let room = sender.room();
                        room[..answer.len()].copy_from_slice(answer);
                        room[..2].copy_from_slice(&id);
                        sender.push(answer.len(), Some(&client), Local::Bound);
                        if sender.is_full() {
                            sender.send(listener.raw(), false);
                        }
                    }
                    sender.send(listener.raw(), false);
                }
            }
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<(UdpSocket, Listener, Poll)> {
    let socket = UdpSocket::bind(address)?;
    let listener = Listener::adopt(socket.as_fd())?;
    let poll = Poll::new()?;
    poll.add(listener.raw(), 0)?;
    Ok((socket, listener, poll))
}

/// A batch; None: nothing waits.
fn received(receiver: &mut Receiver, fd: std::os::fd::RawFd) -> io::Result<Option<usize>> {
    match receiver.receive(fd, false) {
        Ok(count) => Ok(Some(count)),
        Err(why) if matches!(why.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::ConnectionRefused) => Ok(None),
        Err(why) => Err(why),
    }
}
