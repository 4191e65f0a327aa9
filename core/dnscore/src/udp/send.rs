//! A batch of datagrams out: written one behind the other into one buffer, sent by `sendmmsg`.

use std::io;
use std::mem;
use std::os::fd::RawFd;

use super::receive::{CONTROL, Control};
use super::{BATCH, Endpoint, LARGEST_SENT, Local};

/// Messages lie packed, so a batch of small answers stays within the first-level cache.
const ROOM: usize = 16 * 1024 + LARGEST_SENT;

/// Buffers and headers for sending; about them the same holds as about [`super::Receiver`]'s.
pub struct Sender {
    bytes: Box<[u8]>,
    used: usize,
    count: usize,
    names: Box<[Endpoint]>,
    controls: Box<[Control]>,
    parts: Box<[libc::iovec]>,
    headers: Box<[libc::mmsghdr]>,
}

/// What became of a batch.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Handed to the kernel.
    pub sent: u32,
    /// Dropped because the socket's buffer was full (EAGAIN).
    pub dropped: u32,
    /// Skipped for another error.
    pub failed: u32,
    /// ECONNREFUSED was pending: nothing listens at the other end of this connected socket.
    pub refused: bool,
    /// ENETUNREACH, EBADF and the like on a connected socket: it is to be opened anew.
    pub broken: bool,
}

impl Sender {
    /// An empty batch.
    pub fn new() -> Sender {
        let bytes = vec![0u8; ROOM].into_boxed_slice();
        let mut names = vec![Endpoint::EMPTY; BATCH].into_boxed_slice();
        let controls = vec![Control([0; CONTROL]); BATCH].into_boxed_slice();
        let mut parts: Box<[libc::iovec]> =
            (0..BATCH).map(|_| libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }).collect();
        let headers = (0..BATCH)
            .map(|i| {
                // SAFETY: mmsghdr is integers and raw pointers, for which all zeroes is a value.
                let mut header: libc::mmsghdr = unsafe { mem::zeroed() };
                header.msg_hdr.msg_name = names[i].raw.as_mut_ptr().cast();
                header.msg_hdr.msg_iov = &mut parts[i];
                header.msg_hdr.msg_iovlen = 1;
                header
            })
            .collect();
        Sender { bytes, used: 0, count: 0, names, controls, parts, headers }
    }

    /// No further message fits: send first.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.count == BATCH || self.used + LARGEST_SENT > ROOM
    }

    /// How many wait.
    #[inline]
    pub fn len(&self) -> usize {
        self.count
    }

    /// None waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Where the next message is to be written: [`LARGEST_SENT`] bytes. The caller has seen to it that it is not full.
    #[inline]
    pub fn room(&mut self) -> &mut [u8] {
        &mut self.bytes[self.used..self.used + LARGEST_SENT]
    }

    /// The first `length` bytes of [`Sender::room`] are the next message; `to` is None on a connected socket.
    #[inline]
    pub fn push(&mut self, length: usize, to: Option<&Endpoint>, from: Local) {
        assert!(length <= LARGEST_SENT && !self.is_full());
        let i = self.count;
        self.parts[i] =
            libc::iovec { iov_base: self.bytes[self.used..self.used + length].as_mut_ptr().cast(), iov_len: length };
        let header = &mut self.headers[i].msg_hdr;
        match to {
            Some(endpoint) => {
                self.names[i] = *endpoint;
                header.msg_namelen = endpoint.length;
            }
            None => header.msg_namelen = 0,
        }
        match from {
            Local::Bound => header.msg_controllen = 0,
            other => {
                header.msg_control = self.controls[i].0.as_mut_ptr().cast();
                header.msg_controllen = write_control(other, &mut self.controls[i].0);
            }
        }
        self.used += length;
        self.count += 1;
    }

    /// Drops what was not sent.
    pub fn clear(&mut self) {
        self.used = 0;
        self.count = 0;
    }

    /// Sends all; the batch is empty afterwards whatever happened.
    ///
    /// `sendmmsg` stops at the first message that fails and reports its error on the next call, so the failing message
    /// is skipped and the rest goes on.
    pub fn send(&mut self, fd: RawFd, connected: bool) -> Sent {
        let mut result = Sent::default();
        let mut at = 0;
        let mut retried = false;
        while at < self.count {
            let rest = &mut self.headers[at..self.count];
            // SAFETY: the headers point into boxed slices of `self` that outlive the call; names and parts were set by
            // `push` from live slices of those boxes with their own lengths, and the kernel only reads them.
            let n = unsafe { libc::sendmmsg(fd, rest.as_mut_ptr(), rest.len() as u32, libc::MSG_DONTWAIT as _) };
            if n > 0 {
                at += n as usize;
                result.sent += n as u32;
                retried = false;
                continue;
            }
            let waiting = (self.count - at) as u32;
            match io::Error::last_os_error().raw_os_error().unwrap_or(0) {
                libc::EINTR => {}
                libc::EAGAIN | libc::ENOBUFS => {
                    result.dropped += waiting;
                    break;
                }
                libc::ECONNREFUSED => {
                    // An answer to an earlier datagram, reported and thereby cleared now: this one was not tried yet.
                    result.refused = true;
                    if retried {
                        at += 1;
                        result.failed += 1;
                    }
                    retried = !retried;
                }
                libc::ENETUNREACH
                | libc::EHOSTUNREACH
                | libc::ENETDOWN
                | libc::EBADF
                | libc::ENOTCONN
                | libc::EADDRNOTAVAIL
                | libc::EINVAL
                    if connected =>
                {
                    result.broken = true;
                    result.failed += waiting;
                    break;
                }
                libc::EBADF => {
                    result.broken = true;
                    result.failed += waiting;
                    break;
                }
                _ => {
                    at += 1;
                    result.failed += 1;
                    retried = false;
                }
            }
        }
        self.clear();
        result
    }
}

impl Default for Sender {
    fn default() -> Sender {
        Sender::new()
    }
}

/// Writes the control message that makes `local` the answer's source; returns its length.
fn write_control(local: Local, out: &mut [u8; CONTROL]) -> usize {
    const HEADER: usize = 16;
    out.fill(0);
    let (level, kind, length) = match local {
        Local::Bound => return 0,
        Local::V4(address) => {
            out[HEADER + 4..HEADER + 8].copy_from_slice(&address);
            (libc::IPPROTO_IP, libc::IP_PKTINFO, 12)
        }
        Local::V6(address, interface) => {
            out[HEADER..HEADER + 16].copy_from_slice(&address);
            out[HEADER + 16..HEADER + 20].copy_from_slice(&interface.to_ne_bytes());
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, 20)
        }
    };
    out[..8].copy_from_slice(&(HEADER + length).to_ne_bytes());
    out[8..12].copy_from_slice(&level.to_ne_bytes());
    out[12..16].copy_from_slice(&kind.to_ne_bytes());
    // CMSG_SPACE: the data padded to eight bytes.
    HEADER + length.div_ceil(8) * 8
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, UdpSocket};
    use std::os::fd::AsRawFd;

    use super::*;

    fn socket() -> (UdpSocket, SocketAddr) {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback");
        socket.set_nonblocking(true).expect("a socket");
        let address = socket.local_addr().expect("bound");
        (socket, address)
    }

    fn put(sender: &mut Sender, message: &[u8], to: Option<SocketAddr>) {
        sender.room()[..message.len()].copy_from_slice(message);
        sender.push(message.len(), to.map(Endpoint::from).as_ref(), Local::Bound);
    }

    #[test]
    fn a_message_that_cannot_be_sent_is_skipped_and_the_rest_goes_on() {
        let ((ours, _), (theirs, address)) = (socket(), socket());
        let mut sender = Sender::new();
        // Without SO_BROADCAST the kernel answers EACCES.
        let forbidden = SocketAddr::from(([255, 255, 255, 255], 9));
        for (message, to) in [("a", address), ("x", forbidden), ("b", address), ("y", forbidden), ("c", address)] {
            put(&mut sender, message.as_bytes(), Some(to));
        }
        let sent = sender.send(ours.as_raw_fd(), false);
        assert_eq!(sent, Sent { sent: 3, failed: 2, ..Sent::default() });
        let mut got = [0; 3];
        for byte in &mut got {
            theirs.recv(std::slice::from_mut(byte)).expect("sent before");
        }
        assert_eq!(&got, b"abc");
        assert!(sender.is_empty());
    }

    #[test]
    fn a_refusal_from_before_is_told_and_costs_no_message() {
        let (theirs, address) = socket();
        let ours = super::super::connect(address).expect("loopback");
        drop(theirs);
        ours.send(b"first").expect("not refused yet");
        let mut sender = Sender::new();
        put(&mut sender, b"a", None);
        let sent = sender.send(ours.as_raw_fd(), true);
        assert!(sent.refused && sent.sent == 1, "{sent:?}");
    }

    #[test]
    fn a_closed_descriptor_is_a_broken_socket() {
        let (ours, address) = socket();
        let mut sender = Sender::new();
        put(&mut sender, b"a", Some(address));
        put(&mut sender, b"b", Some(address));
        let gone = ours.as_raw_fd() + 1000;
        let sent = sender.send(gone, false);
        assert_eq!(sent, Sent { failed: 2, broken: true, ..Sent::default() });
    }

    #[test]
    fn a_batch_is_full_at_its_number_or_its_octets() {
        let (_, address) = socket();
        let mut small = Sender::new();
        while !small.is_full() {
            put(&mut small, b"a", Some(address));
        }
        assert_eq!(small.len(), BATCH);
        let mut large = Sender::new();
        while !large.is_full() {
            put(&mut large, &[7; LARGEST_SENT], Some(address));
        }
        assert_eq!(large.len(), ROOM / LARGEST_SENT);
    }

    #[test]
    fn a_control_message_names_the_address_to_answer_from() {
        let mut control = [0xff; CONTROL];
        assert_eq!(write_control(Local::V4([127, 0, 0, 2]), &mut control), 32);
        assert_eq!(control[..8], 28usize.to_ne_bytes());
        assert_eq!(control[20..24], [127, 0, 0, 2]);
        assert_eq!(write_control(Local::V6([9; 16], 3), &mut control), 40);
        assert_eq!(control[16..32], [9; 16]);
        assert_eq!(write_control(Local::Bound, &mut control), 0);
    }
}
