//! Memory for a secret: never swapped, in no core dump, wiped at its end.

use std::io;

/// Sixteen octets in a page of their own, which the kernel keeps in memory and out of core dumps. The first one also makes
/// the process one that no other of its user may read, and that leaves no core dump at all (`PR_SET_DUMPABLE`, prctl(2)).
pub struct Locked {
    page: *mut [u8; 16],
    length: usize,
}

// SAFETY: the page belongs to the value alone and is written only while it is made and while it is dropped
unsafe impl Send for Locked {}
// SAFETY: as above; shared references only read
unsafe impl Sync for Locked {}

impl std::fmt::Debug for Locked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Locked(..)")
    }
}

impl Locked {
    /// A copy of the secret; the caller wipes its own.
    ///
    /// # Errors
    /// The kernel has no page, or must not lock one (RLIMIT_MEMLOCK).
    pub fn new(secret: &[u8; 16]) -> io::Result<Self> {
        // SAFETY: asks for a number
        let length = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).map_err(io::Error::other)?;
        // SAFETY: a new mapping of no file, at a place that the kernel chooses
        let page = unsafe {
            let access = libc::PROT_READ | libc::PROT_WRITE;
            libc::mmap(std::ptr::null_mut(), length, access, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)
        };
        if page == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let locked = Self { page: page.cast(), length };
        // SAFETY: the page was mapped just now, whole; the calls change how the kernel treats it, not what it holds
        let refused = unsafe {
            libc::mlock(page, length) != 0
                || libc::madvise(page, length, libc::MADV_DONTDUMP) != 0
                || libc::madvise(page, length, libc::MADV_WIPEONFORK) != 0
                || libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) != 0
        };
        if refused {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the page is mapped and writable, longer than the secret, and nobody else has it
        unsafe { locked.page.write(*secret) };
        Ok(locked)
    }

    /// The secret.
    #[inline(always)]
    #[must_use]
    pub fn get(&self) -> &[u8; 16] {
        // SAFETY: the page stays mapped as long as the value lives, and nobody writes to it meanwhile
        unsafe { &*self.page }
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // SAFETY: the page is this value's, mapped with this length; volatile, so that the wiping is not left out
        unsafe {
            self.page.write_volatile([0; 16]);
            libc::munmap(self.page.cast(), self.length);
        }
    }
}

/// Overwrite a secret's copy; not left out by the compiler.
pub fn wipe(secret: &mut [u8]) {
    for octet in secret {
        // SAFETY: an exclusive reference may be written through
        unsafe { std::ptr::from_mut(octet).write_volatile(0) };
    }
}

/// Overwrite what calls that ended left of a secret in the 4 KiB of the stack below: copies that the compiler made.
#[inline(never)]
pub fn wipe_stack() {
    std::hint::black_box(&mut [0_u8; 4096]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locked_secret_is_locked_and_left_out_of_dumps() {
        let locked = Locked::new(b"0123456789abcdef").expect("a page may be locked");
        assert_eq!(locked.get(), b"0123456789abcdef");
        let start = format!("{:x}-", locked.page as usize);
        let maps = std::fs::read_to_string("/proc/self/smaps").expect("Linux");
        let flags = maps.lines().skip_while(|line| !line.starts_with(&start)).find(|line| line.starts_with("VmFlags:"));
        let flags: Vec<&str> = flags.expect("the page is mapped").split_whitespace().collect();
        assert!(flags.contains(&"lo") && flags.contains(&"dd") && flags.contains(&"wf"), "{flags:?}");
        // SAFETY: asks for a number
        assert_eq!(unsafe { libc::prctl(libc::PR_GET_DUMPABLE) }, 0);
    }

    #[test]
    fn a_copy_is_wiped() {
        let mut copy = *b"0123456789abcdef";
        wipe(&mut copy);
        assert_eq!(copy, [0; 16]);
    }
}
