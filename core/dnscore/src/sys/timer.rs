//! A timer that the poll can watch.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// See the module.
pub struct Timer {
    fd: OwnedFd,
}

impl Timer {
    /// Not set.
    pub fn new() -> io::Result<Timer> {
        // SAFETY: no pointers; a descriptor that is not negative is new and owned by nobody else.
        let fd = unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC | libc::TFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: as above: `fd` is open and ours alone.
        Ok(Timer { fd: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    /// The descriptor, which can be read once the time has come.
    pub fn raw(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Sets it to that time of [`super::monotonic`], or to none.
    pub fn set(&self, at: Option<u64>) {
        // Zero would mean none.
        let at = at.map_or(0, |at| at.max(1));
        let zero = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let once = libc::timespec { tv_sec: (at / 1_000_000) as _, tv_nsec: (at % 1_000_000 * 1000) as _ };
        let wanted = libc::itimerspec { it_interval: zero, it_value: once };
        // SAFETY: `wanted` lives through the call, which only reads it; it wants no old value.
        let r = unsafe {
            libc::timerfd_settime(self.raw(), libc::TFD_TIMER_ABSTIME, &raw const wanted, std::ptr::null_mut())
        };
        debug_assert_eq!(r, 0, "a timer of ours takes every time");
    }

    /// Takes note that the time has come.
    pub fn clear(&self) {
        let mut times = [0u8; 8];
        // SAFETY: pointer and length are those of the live array. Whether it was due at all does not matter.
        unsafe { libc::read(self.raw(), times.as_mut_ptr().cast(), times.len()) };
    }
}
