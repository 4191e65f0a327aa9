//! A batch of datagrams out: written one behind the other into one buffer, sent by `sendmmsg`.
//!
//! Datagrams of a batch that go to one destination are handed over as one, which the kernel cuts apart again
//! (UDP_SEGMENT, udp(7)): what the way through the kernel costs is paid once for all of them. All parts but the last
//! must be equally long, so those of one destination are ordered by length; they leave in that order.

use std::io;
use std::mem;
use std::os::fd::RawFd;

use super::buffer::Buffer;
use super::receive::{CONTROL, Control};
use super::{BATCH, Endpoint, LARGEST_SENT, Local};

/// Messages lie packed, so a batch of small answers stays within the first-level cache; and all of them together are
/// no more than one datagram to be cut apart may have.
const ROOM: usize = 16 * 1024 + LARGEST_SENT;

/// A `cmsghdr` without its data.
const CONTROL_HEADER: usize = 16;

/// Buffers and headers for sending.
pub struct Sender {
    bytes: Buffer<u8>,
    used: usize,
    count: usize,
    names: Buffer<Endpoint>,
    sources: Box<[Local]>,
    parts: Box<[libc::iovec]>,
    /// The messages in the order in which they leave: their number in the lowest octets, below it what they are
    /// ordered by.
    order: [u64; BATCH],
    /// The parts in that order.
    ordered: Buffer<libc::iovec>,
    controls: Buffer<Control>,
    headers: Box<[libc::mmsghdr]>,
    /// May several messages be handed over as one? Until a device says that it cannot.
    joins: bool,
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
    /// ENETUNREACH, EBADF and the like on a connected socket: the caller must open another one.
    pub broken: bool,
}

impl Sender {
    /// An empty batch. `joins`: messages to one destination may be handed over as one.
    pub fn new(joins: bool) -> Sender {
        let none = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        // SAFETY: mmsghdr is integers and raw pointers, for which all zeroes is a value.
        let header = || -> libc::mmsghdr { unsafe { mem::zeroed() } };
        Sender {
            bytes: Buffer::new(0, ROOM),
            used: 0,
            count: 0,
            names: Buffer::new(Endpoint::EMPTY, BATCH),
            sources: vec![Local::Bound; BATCH].into_boxed_slice(),
            parts: vec![none; BATCH].into_boxed_slice(),
            order: [0; BATCH],
            ordered: Buffer::new(none, BATCH),
            controls: Buffer::new(Control([0; CONTROL]), BATCH),
            headers: (0..BATCH).map(|_| header()).collect(),
            joins,
        }
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
        self.parts[i] = libc::iovec { iov_base: self.bytes.pointer(self.used).cast(), iov_len: length };
        self.names[i] = to.copied().unwrap_or(Endpoint::EMPTY);
        self.sources[i] = from;
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
    /// is skipped and the rest goes on. Messages that were joined and cannot be sent so go on one by one.
    pub fn send(&mut self, fd: RawFd, connected: bool) -> Sent {
        let mut result = Sent::default();
        self.arrange();
        let (mut at, mut end) = (0, self.lay_out(0, self.joins));
        let mut retried = false;
        while at < end {
            let rest = &mut self.headers[at..end];
            // SAFETY: the headers point into the buffers of `self`, to parts that are as long as they say: `push` saw to
            // it that a message is no longer than the room it was written to, `lay_out` set the rest. The pointers hold for
            // as long as the buffers do (see `Buffer`), and the kernel only reads by them.
            let n = unsafe { libc::sendmmsg(fd, rest.as_mut_ptr(), rest.len() as u32, libc::MSG_DONTWAIT as _) };
            if n > 0 {
                result.sent += messages(&rest[..n as usize]);
                at += n as usize;
                retried = false;
                continue;
            }
            let (failing, waiting) = (messages(&rest[..1]), messages(rest));
            match io::Error::last_os_error().raw_os_error().unwrap_or(0) {
                libc::EINTR => {}
                why @ (libc::EIO | libc::EOPNOTSUPP | libc::EINVAL | libc::EMSGSIZE) if failing > 1 => {
                    // the device or the kernel cannot; or, the last two, the way to this destination is too narrow
                    self.joins &= matches!(why, libc::EINVAL | libc::EMSGSIZE);
                    (at, end) = (0, self.lay_out(self.count - waiting as usize, false));
                }
                libc::EAGAIN | libc::ENOBUFS => {
                    result.dropped += waiting;
                    break;
                }
                libc::ECONNREFUSED => {
                    // An answer to an earlier datagram, reported and thereby cleared now: this one was not tried yet.
                    result.refused = true;
                    if retried {
                        at += 1;
                        result.failed += failing;
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
                    result.failed += failing;
                    retried = false;
                }
            }
        }
        self.clear();
        result
    }

    /// Decide the order: as they were pushed, or what may be joined side by side, the longest first.
    #[inline]
    fn arrange(&mut self) {
        let order = &mut self.order[..self.count];
        for (i, key) in order.iter_mut().enumerate() {
            *key = i as u64;
            if self.joins {
                let shorter = (LARGEST_SENT - self.parts[i].iov_len) as u64;
                *key |= u64::from(self.names[i].mark()) << 32 | shorter << 8;
            }
        }
        if self.joins {
            order.sort_unstable();
        }
    }

    /// Set the headers for the messages from the `done`th on in their order; how many headers.
    #[inline]
    fn lay_out(&mut self, done: usize, join: bool) -> usize {
        let number = |key: u64| key as usize % BATCH;
        let (mut at, mut runs) = (done, 0);
        while at < self.count {
            let (start, first) = (at, number(self.order[at]));
            let (to, from, octets) = (self.names[first], self.sources[first], self.parts[first].iov_len);
            loop {
                let part = self.parts[number(self.order[at])];
                self.ordered[at] = part;
                at += 1;
                if !join || part.iov_len < octets || at == self.count {
                    break;
                }
                let next = number(self.order[at]);
                if self.names[next] != to || self.sources[next] != from || self.parts[next].iov_len > octets {
                    break;
                }
            }
            let joined = if at - start > 1 { octets } else { 0 };
            let header = &mut self.headers[runs].msg_hdr;
            header.msg_name = self.names.pointer(first).cast();
            header.msg_namelen = to.length;
            header.msg_iov = self.ordered.pointer(start);
            header.msg_iovlen = (at - start) as _;
            header.msg_control = self.controls.pointer(runs).cast();
            header.msg_controllen = write_controls(from, joined, &mut self.controls[runs].0) as _;
            runs += 1;
        }
        runs
    }
}

/// Messages behind these headers.
fn messages(headers: &[libc::mmsghdr]) -> u32 {
    headers.iter().map(|header| header.msg_hdr.msg_iovlen as u32).sum()
}

/// Writes the control messages: which address is the answer's source, and into parts of how many octets the kernel is to
/// cut what it gets (0: it is one); returns their length.
#[inline]
fn write_controls(from: Local, joined: usize, out: &mut [u8; CONTROL]) -> usize {
    let used = match from {
        Local::Bound => 0,
        Local::V4(address) => {
            let mut info = [0; 12];
            info[4..8].copy_from_slice(&address);
            write_control(libc::IPPROTO_IP, libc::IP_PKTINFO, &info, out)
        }
        Local::V6(address, interface) => {
            let mut info = [0; 20];
            info[..16].copy_from_slice(&address);
            info[16..].copy_from_slice(&interface.to_ne_bytes());
            write_control(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info, out)
        }
    };
    match joined {
        0 => used,
        octets => {
            let octets = (octets as u16).to_ne_bytes();
            used + write_control(libc::SOL_UDP, libc::UDP_SEGMENT, &octets, &mut out[used..])
        }
    }
}

/// Writes one `cmsghdr` with its data; returns CMSG_SPACE: the data padded to eight octets.
fn write_control(level: i32, kind: i32, data: &[u8], out: &mut [u8]) -> usize {
    let (header, rest) = out.split_at_mut(CONTROL_HEADER);
    header[..8].copy_from_slice(&(CONTROL_HEADER + data.len()).to_ne_bytes());
    header[8..12].copy_from_slice(&level.to_ne_bytes());
    header[12..].copy_from_slice(&kind.to_ne_bytes());
    let space = data.len().next_multiple_of(8);
    rest[..data.len()].copy_from_slice(data);
    rest[data.len()..space].fill(0);
    CONTROL_HEADER + space
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
        let mut sender = Sender::new(true);
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

    /// Messages of many lengths to three destinations, one behind the other.
    fn mixed(sender: &mut Sender, to: [SocketAddr; 3]) -> [Vec<Vec<u8>>; 3] {
        let mut told = [const { Vec::new() }; 3];
        let mut message = 0u8;
        while !sender.is_full() {
            let (which, length) = (usize::from(message) * 7 % 11 % 3, 12 + usize::from(message) * 37 % 90 / 10 * 10);
            let bytes = vec![message; length];
            put(sender, &bytes, Some(to[which]));
            told[which].push(bytes);
            message += 1;
        }
        told
    }

    fn received(socket: &UdpSocket) -> Vec<Vec<u8>> {
        let mut buffer = [0; 2048];
        let mut all: Vec<_> =
            std::iter::from_fn(|| socket.recv(&mut buffer).ok().map(|n| buffer[..n].to_vec())).collect();
        all.sort_by_key(|message| message[0]);
        all
    }

    #[test]
    fn what_goes_to_one_destination_is_handed_over_as_one_and_arrives_as_it_was() {
        let (ours, theirs) = (socket().0, [socket(), socket(), socket()]);
        for joins in [true, false] {
            let mut sender = Sender::new(joins);
            let told = mixed(&mut sender, theirs.each_ref().map(|(_, address)| *address));
            sender.arrange();
            let headers = sender.lay_out(0, joins);
            assert_eq!(messages(&sender.headers[..headers]), BATCH as u32);
            assert!(if joins { headers <= BATCH / 2 } else { headers == BATCH }, "{headers}");
            assert_eq!(sender.send(ours.as_raw_fd(), false), Sent { sent: BATCH as u32, ..Sent::default() });
            for ((socket, _), told) in theirs.iter().zip(told) {
                assert_eq!(received(socket), told);
            }
        }
    }

    #[test]
    fn what_the_kernel_does_not_cut_apart_goes_on_one_by_one() {
        let (ours, theirs) = (socket().0, [socket(), socket(), socket()]);
        // without a checksum there is nothing to cut apart: EINVAL
        let on: libc::c_int = 1;
        // SAFETY: the value is a live integer of the length given.
        let set = unsafe {
            let value = std::ptr::from_ref(&on).cast();
            libc::setsockopt(ours.as_raw_fd(), libc::SOL_SOCKET, libc::SO_NO_CHECK, value, size_of_val(&on) as _)
        };
        assert_eq!(set, 0);
        let mut sender = Sender::new(true);
        let told = mixed(&mut sender, theirs.each_ref().map(|(_, address)| *address));
        assert_eq!(sender.send(ours.as_raw_fd(), false), Sent { sent: BATCH as u32, ..Sent::default() });
        for ((socket, _), told) in theirs.iter().zip(told) {
            assert_eq!(received(socket), told);
        }
    }

    #[test]
    fn a_refusal_from_before_is_told_and_costs_no_message() {
        let (theirs, address) = socket();
        let ours = super::super::connect(address).expect("loopback");
        drop(theirs);
        ours.send(b"first").expect("not refused yet");
        let mut sender = Sender::new(true);
        put(&mut sender, b"a", None);
        let sent = sender.send(ours.as_raw_fd(), true);
        assert!(sent.refused && sent.sent == 1, "{sent:?}");
    }

    #[test]
    fn a_closed_descriptor_is_a_broken_socket() {
        let (ours, address) = socket();
        let mut sender = Sender::new(true);
        put(&mut sender, b"a", Some(address));
        put(&mut sender, b"b", Some(address));
        let gone = ours.as_raw_fd() + 1000;
        let sent = sender.send(gone, false);
        assert_eq!(sent, Sent { failed: 2, broken: true, ..Sent::default() });
    }

    #[test]
    fn a_batch_is_full_at_its_number_or_its_octets() {
        let (_, address) = socket();
        let mut small = Sender::new(true);
        while !small.is_full() {
            put(&mut small, b"a", Some(address));
        }
        assert_eq!(small.len(), BATCH);
        let mut large = Sender::new(true);
        while !large.is_full() {
            put(&mut large, &[7; LARGEST_SENT], Some(address));
        }
        assert_eq!(large.len(), ROOM / LARGEST_SENT);
    }

    #[test]
    fn a_control_message_names_the_address_to_answer_from() {
        let mut control = [0xff; CONTROL];
        assert_eq!(write_controls(Local::V4([127, 0, 0, 2]), 0, &mut control), 32);
        assert_eq!(control[..8], 28usize.to_ne_bytes());
        assert_eq!(control[20..24], [127, 0, 0, 2]);
        assert_eq!(write_controls(Local::V6([9; 16], 3), 0, &mut control), 40);
        assert_eq!(control[16..32], [9; 16]);
        assert_eq!(write_controls(Local::V6([9; 16], 3), 1232, &mut control), CONTROL);
        assert_eq!(control[56..58], 1232u16.to_ne_bytes());
        assert_eq!(write_controls(Local::Bound, 0, &mut control), 0);
    }
}
