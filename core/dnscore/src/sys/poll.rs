//! One epoll descriptor over all sockets of a plane, so that the event loop has one thing to watch.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// The epoll descriptor.
pub struct Poll {
    fd: OwnedFd,
    events: Vec<libc::epoll_event>,
}

/// A descriptor that has something: the token it was added under.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    /// As given to [`Poll::add`].
    pub token: u64,
    /// An error is pending on the socket (it is cleared by the next send or receive).
    pub error: bool,
    /// It can be read; of a connection also that the other end closed its half.
    pub readable: bool,
    /// It can be read and written no more.
    pub gone: bool,
}

impl Poll {
    /// A new descriptor, closed on exec.
    pub fn new() -> io::Result<Poll> {
        // SAFETY: no pointers; a descriptor that is not negative is new and owned by nobody else.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: as above: `fd` is open and ours alone.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Poll { fd, events: Vec::with_capacity(super::BATCH) })
    }

    /// The descriptor itself.
    pub fn raw(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Watches `fd` for what can be read, level-triggered.
    pub fn add(&self, fd: RawFd, token: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, token, libc::EPOLLIN)
    }

    /// Watches a connection that was added for what is wanted of it from now on; that it is gone is reported in any case.
    pub fn watch(&self, fd: RawFd, token: u64, readable: bool, writable: bool) -> io::Result<()> {
        let wanted = if readable { libc::EPOLLIN } else { 0 } | if writable { libc::EPOLLOUT } else { 0 };
        self.control(libc::EPOLL_CTL_MOD, fd, token, wanted)
    }

    fn control(&self, what: i32, fd: RawFd, token: u64, events: i32) -> io::Result<()> {
        let mut event = libc::epoll_event { events: events as u32, u64: token };
        // SAFETY: `event` outlives the call, and the kernel only reads it.
        let r = unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), what, fd, &mut event) };
        if r < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Watches `fd` no longer.
    pub fn remove(&self, fd: RawFd) -> io::Result<()> {
        // SAFETY: EPOLL_CTL_DEL reads no event.
        let r = unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), libc::EPOLL_CTL_DEL, fd, std::ptr::null_mut()) };
        if r < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// What is ready now, without waiting; `out` is replaced.
    #[inline]
    pub fn ready(&mut self, out: &mut Vec<Ready>) -> io::Result<()> {
        self.wait(out, 0)
    }

    /// What is ready, waiting for it so many milliseconds (-1: for ever); `out` is replaced.
    pub fn wait(&mut self, out: &mut Vec<Ready>, milliseconds: i32) -> io::Result<()> {
        out.clear();
        let room = self.events.capacity();
        // SAFETY: the vector has room for `room` events and is not touched by anyone else during the call.
        let n = unsafe { libc::epoll_wait(self.fd.as_raw_fd(), self.events.as_mut_ptr(), room as i32, milliseconds) };
        if n < 0 {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(error) };
        }
        // SAFETY: the kernel wrote the first `n` events, and `n` is at most the capacity.
        unsafe { self.events.set_len(n as usize) };
        out.extend(self.events.iter().map(|event| {
            let says = |what: i32| event.events & what as u32 != 0;
            let (error, readable, gone) = (says(libc::EPOLLERR), says(libc::EPOLLIN), says(libc::EPOLLHUP));
            Ready { token: event.u64, error, readable, gone }
        }));
        Ok(())
    }
}
