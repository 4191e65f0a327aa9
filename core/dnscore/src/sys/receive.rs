//! A batch of datagrams in: `recvmmsg` into buffers that are made once, by headers that are set up for each call.

use std::io;
use std::mem;
use std::os::fd::RawFd;
use std::ptr;

use super::{BATCH, Endpoint, Local};

/// Room for one `in6_pktinfo` (20 bytes) with its header (16), aligned as `cmsghdr` wants it.
pub(super) const CONTROL: usize = 64;

/// Octets of the longest address that the kernel writes.
const NAME: u32 = 28;

#[repr(C, align(16))]
#[derive(Clone, Copy)]
pub(super) struct Control(pub(super) [u8; CONTROL]);

/// Buffers and headers for receiving.
///
/// The headers point into the boxed slices beside them, yet no pointer is kept from one call to the next: each call of
/// [`Receiver::receive`] takes them from its own exclusive borrow, so none outlives a move of the value or a reference that
/// somebody had to the buffers meanwhile.
pub struct Receiver {
    stride: usize,
    bytes: Box<[u8]>,
    names: Box<[Endpoint]>,
    controls: Box<[Control]>,
    headers: Box<[libc::mmsghdr]>,
    parts: Box<[libc::iovec]>,
    count: usize,
    told_local: bool,
}

impl Receiver {
    /// `stride` bytes for each datagram; what is longer arrives with [`Receiver::truncated`] set. An odd number of cache
    /// lines keeps the starts of the 64 buffers off one another's cache sets.
    pub fn new(stride: usize) -> Receiver {
        let part = || libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 };
        // SAFETY: mmsghdr is integers and raw pointers, for which all zeroes is a value.
        let header = || -> libc::mmsghdr { unsafe { mem::zeroed() } };
        Receiver {
            stride,
            bytes: vec![0u8; stride * BATCH].into_boxed_slice(),
            names: vec![Endpoint::EMPTY; BATCH].into_boxed_slice(),
            controls: vec![Control([0; CONTROL]); BATCH].into_boxed_slice(),
            headers: (0..BATCH).map(|_| header()).collect(),
            parts: (0..BATCH).map(|_| part()).collect(),
            count: 0,
            told_local: false,
        }
    }

    /// Receives what waits, at most a batch, without blocking; returns how many. `tells_local`: the socket was set to
    /// say which of our addresses each datagram was sent to.
    pub fn receive(&mut self, fd: RawFd, tells_local: bool) -> io::Result<usize> {
        let Receiver { stride, bytes, names, controls, headers, parts, .. } = self;
        let rooms = bytes.chunks_exact_mut(*stride).zip(&mut names[..]).zip(&mut controls[..]);
        for (((room, name), control), (header, part)) in rooms.zip(headers.iter_mut().zip(&mut parts[..])) {
            *part = libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() };
            let header = &mut header.msg_hdr;
            (header.msg_name, header.msg_namelen) = (name.raw.as_mut_ptr().cast(), NAME);
            (header.msg_iov, header.msg_iovlen) = (part, 1);
            header.msg_control = control.0.as_mut_ptr().cast();
            header.msg_controllen = if tells_local { CONTROL } else { 0 };
        }
        self.told_local = tells_local;
        self.count = 0;
        // SAFETY: the pointers were made just now from exclusive borrows of boxed slices that live as long as `self`, with
        // lengths that are those slices' own; `self` is borrowed exclusively until the call is over, and no reference into
        // the slices was made since. A null time-out means none.
        let n = unsafe {
            libc::recvmmsg(fd, self.headers.as_mut_ptr(), BATCH as u32, libc::MSG_DONTWAIT as _, ptr::null_mut())
        };
        if n < 0 {
            return Err(io::Error::last_os_error());
        }
        self.count = n as usize;
        for (header, name) in self.headers[..self.count].iter().zip(self.names.iter_mut()) {
            name.length = header.msg_hdr.msg_namelen;
        }
        Ok(self.count)
    }

    /// Datagram `i` of the last batch.
    #[inline]
    pub fn datagram(&self, i: usize) -> &[u8] {
        let start = i * self.stride;
        let length = (self.headers[i].msg_len as usize).min(self.stride);
        &self.bytes[start..start + length]
    }

    /// Takes the first `length` octets off datagram `i`; the rest moves to its beginning.
    pub fn strip(&mut self, i: usize, length: usize) {
        let whole = self.datagram(i).len();
        let length = length.min(whole);
        let start = i * self.stride;
        self.bytes.copy_within(start + length..start + whole, start);
        self.headers[i].msg_len = (whole - length) as u32;
    }

    /// Who sent it (meaningless on a connected socket that does not ask).
    #[inline]
    pub fn source(&self, i: usize) -> &Endpoint {
        &self.names[i]
    }

    /// It was longer than the stride.
    #[inline]
    pub fn truncated(&self, i: usize) -> bool {
        self.headers[i].msg_hdr.msg_flags & libc::MSG_TRUNC != 0
    }

    /// Which of our addresses it was sent to.
    pub fn local(&self, i: usize) -> Local {
        if !self.told_local {
            return Local::Bound;
        }
        let length = self.headers[i].msg_hdr.msg_controllen.min(CONTROL);
        parse_control(&self.controls[i].0[..length])
    }
}

/// Reads the one control message that is asked for. `cmsghdr` is length (usize), level (i32), type (i32), then data.
fn parse_control(control: &[u8]) -> Local {
    const HEADER: usize = 16;
    if control.len() < HEADER {
        return Local::Bound;
    }
    let word = |at: usize| i32::from_ne_bytes([control[at], control[at + 1], control[at + 2], control[at + 3]]);
    let data = &control[HEADER..];
    match (word(8), word(12)) {
        (libc::IPPROTO_IP, libc::IP_PKTINFO) if data.len() >= 12 => Local::V4([data[4], data[5], data[6], data[7]]),
        (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) if data.len() >= 20 => {
            let mut address = [0; 16];
            address.copy_from_slice(&data[..16]);
            let link_local = address[0] == 0xfe && address[1] & 0xc0 == 0x80;
            let interface = u32::from_ne_bytes([data[16], data[17], data[18], data[19]]);
            Local::V6(address, if link_local { interface } else { 0 })
        }
        _ => Local::Bound,
    }
}
