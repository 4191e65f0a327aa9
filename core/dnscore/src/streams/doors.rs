//! The listening TCP sockets, and what is spoken on each. (QUIC has datagrams: `quic/mod.rs`.)
//!
//! Enters: descriptors that the supervisor holds. Leaves: accepted sockets that never block. Rules: one spare descriptor is
//! kept open. When the process has no free descriptor, the spare is closed, the waiting connection is accepted and closed
//! at once, and the spare is opened again. So the client hears at once that there is no place, and the poll does not report
//! the same connection for ever.

use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use crate::sys;

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// DNS over TCP (RFC 7766).
    Tcp,
    /// DNS over TLS (RFC 7858).
    Tls,
    /// DNS over HTTPS (RFC 8484).
    Https,
}

impl Kind {
    /// Every kind, at the index of its own number: `table.rs` reads the kind out of a connection's number by it. A new
    /// kind is added here too.
    pub(super) const ALL: [Kind; 3] = [Kind::Tcp, Kind::Tls, Kind::Https];
}

struct Door {
    listener: TcpListener,
    address: SocketAddr,
    kind: Kind,
}

/// A connection that was accepted.
pub(super) struct Accepted {
    pub socket: TcpStream,
    pub kind: Kind,
    /// The client.
    pub peer: SocketAddr,
    /// The address of ours that it asked.
    pub asked: SocketAddr,
}

/// See the module.
#[derive(Default)]
pub(super) struct Doors {
    doors: Vec<Door>,
    spare: Option<File>,
}

impl Doors {
    /// Accepts at a socket through a descriptor of its own; the owner's stays open.
    pub fn adopt(&mut self, socket: BorrowedFd<'_>, kind: Kind) -> io::Result<usize> {
        let listener = TcpListener::from(socket.try_clone_to_owned()?);
        listener.set_nonblocking(true)?;
        sys::send_at_once(&listener)?;
        let address = listener.local_addr()?;
        self.doors.push(Door { listener, address, kind });
        self.keep_spare();
        Ok(self.doors.len() - 1)
    }

    pub fn len(&self) -> usize {
        self.doors.len()
    }

    pub fn raw(&self, index: usize) -> RawFd {
        self.doors.get(index).map_or(-1, |door| door.listener.as_raw_fd())
    }

    /// Accepts nothing any more.
    pub fn close(&mut self) {
        self.doors.clear();
    }

    /// The next connection. `None`: none waits.
    pub fn accept(&mut self, index: usize) -> Option<Accepted> {
        let door = self.doors.get(index)?;
        loop {
            match door.listener.accept() {
                Ok((socket, peer)) => {
                    let asked = if door.address.ip().is_unspecified() { socket.local_addr().ok() } else { None };
                    if socket.set_nonblocking(true).is_ok() {
                        let asked = asked.unwrap_or(door.address);
                        return Some(Accepted { socket, kind: door.kind, peer, asked });
                    }
                }
                Err(error) if sys::is_out_of_descriptors(&error) => {
                    self.spare.take()?;
                    drop(door.listener.accept());
                    self.keep_spare();
                    return None;
                }
                // One that went before it was accepted says nothing of the others.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(_) => return None,
            }
        }
    }

    fn keep_spare(&mut self) {
        if self.spare.is_none() {
            self.spare = File::open("/dev/null").ok();
        }
    }
}
