//! A batch of datagrams in: `recvmmsg` into buffers and by headers that are made once.

use std::io;
use std::mem;
use std::os::fd::RawFd;
use std::ptr;

use super::buffer::Buffer;
use super::{BATCH, Endpoint, Local};

/// Room for one `in6_pktinfo` (20 bytes) with its header (16), aligned as `cmsghdr` wants it.
pub(super) const CONTROL: usize = 64;

/// Octets of the longest address that the kernel writes.
const NAME: u32 = 28;

#[repr(C, align(16))]
#[derive(Clone, Copy)]
pub(super) struct Control(pub(super) [u8; CONTROL]);

/// Buffers and headers for receiving.
pub struct Receiver {
    stride: usize,
    bytes: Buffer<u8>,
    names: Buffer<Endpoint>,
    controls: Buffer<Control>,
    headers: Box<[libc::mmsghdr]>,
    /// What the headers point to, beside the buffers.
    _parts: Buffer<libc::iovec>,
    count: usize,
    /// So many of the headers the kernel may have written to.
    written: usize,
    told_local: bool,
}

impl Receiver {
    /// `stride` bytes for each datagram; what is longer arrives with [`Receiver::truncated`] set. An odd number of cache
    /// lines keeps the starts of the 64 buffers off one another's cache sets.
    pub fn new(stride: usize) -> Receiver {
        let (bytes, names) = (Buffer::new(0, stride * BATCH), Buffer::new(Endpoint::EMPTY, BATCH));
        let controls = Buffer::new(Control([0; CONTROL]), BATCH);
        let mut parts = Buffer::new(libc::iovec { iov_base: ptr::null_mut(), iov_len: stride }, BATCH);
        let headers = (0..BATCH).map(|i| {
            parts[i].iov_base = bytes.pointer(i * stride).cast();
            // SAFETY: mmsghdr is integers and raw pointers, for which all zeroes is a value.
            let mut header: libc::mmsghdr = unsafe { mem::zeroed() };
            header.msg_hdr.msg_name = names.pointer(i).cast();
            header.msg_hdr.msg_control = controls.pointer(i).cast();
            (header.msg_hdr.msg_iov, header.msg_hdr.msg_iovlen) = (parts.pointer(i), 1);
            header
        });
        let headers = headers.collect();
        let (count, written, told_local) = (0, BATCH, false);
        Receiver { stride, bytes, names, controls, headers, _parts: parts, count, written, told_local }
    }

    /// Receives what waits, at most a batch, without blocking; returns how many. `tells_local`: the socket was set to
    /// say which of our addresses each datagram was sent to.
    pub fn receive(&mut self, fd: RawFd, tells_local: bool) -> io::Result<usize> {
        // Only the lengths are written to: those of headers that were not used are as they were.
        let written = if tells_local == self.told_local { self.written } else { BATCH };
        for header in &mut self.headers[..written] {
            header.msg_hdr.msg_namelen = NAME;
            header.msg_hdr.msg_controllen = if tells_local { CONTROL } else { 0 };
        }
        (self.told_local, self.count, self.written) = (tells_local, 0, BATCH);
        // SAFETY: the headers point into the buffers of `self`, each to a part that is as long as it says, by pointers that
        // hold for as long as the buffers do (see `Buffer`). `self` is borrowed exclusively, so no reference into them is
        // used during the call. A null time-out means none.
        let n = unsafe {
            libc::recvmmsg(fd, self.headers.as_mut_ptr(), BATCH as u32, libc::MSG_DONTWAIT as _, ptr::null_mut())
        };
        let Ok(count) = usize::try_from(n) else { return Err(io::Error::last_os_error()) };
        (self.count, self.written) = (count, BATCH.min(count + 1));
        for (header, name) in self.headers[..count].iter().zip(self.names.iter_mut()) {
            name.length = header.msg_hdr.msg_namelen;
        }
        Ok(count)
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
