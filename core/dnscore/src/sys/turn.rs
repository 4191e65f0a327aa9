//! Scheduling: threads that answer queries are latency sensitive, all others run in the background.
//!
//! A thread that wakes preempts the running one at once if its slice is shorter (Linux 6.12 and later); else it may wait
//! until the next tick, 4 ms. So threads that answer queries ask for the shortest slice, background threads for a long
//! one. An older kernel applies nice and policy only. Where a call is not permitted nothing changes but speed.

/// `struct sched_attr` as the kernel first had it (sched_setattr(2)).
#[repr(C)]
struct SchedAttr {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// Nanoseconds; the least that the kernel takes.
const SHORT: u64 = 100_000;
/// More than the default slice, at most 3 ms: threads that ask for nothing preempt background threads too.
const LONG: u64 = 10_000_000;

/// The policy that marks a background thread.
const BACKGROUND: libc::c_int = libc::SCHED_BATCH;

/// This thread, and those that it starts from now on, answer queries: the shortest slice.
pub fn set_latency_sensitive() {
    // SAFETY: it reads and writes no memory; 0 is this thread.
    let nice = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
    set(libc::SCHED_OTHER, nice, SHORT);
}

/// This thread, and those that it starts from now on, run at lower priority: `nice` (0 to 19), and SCHED_BATCH, by which
/// they preempt no thread when they wake.
pub fn set_background(nice: i32) {
    set(BACKGROUND, nice, LONG);
}

/// Whether a thread of this process called `set_background`.
pub fn is_background(thread: libc::pid_t) -> bool {
    // SAFETY: it reads and writes no memory; a thread that is gone is an error, and so no such policy.
    unsafe { libc::sched_getscheduler(thread) == BACKGROUND }
}

fn set(policy: i32, nice: i32, slice: u64) {
    let attr = SchedAttr {
        size: size_of::<SchedAttr>() as u32,
        policy: policy as u32,
        flags: 0,
        nice,
        priority: 0,
        runtime: slice,
        deadline: 0,
        period: 0,
    };
    // SAFETY: the kernel reads `size` octets of `attr`, which lives until the call returns; 0 is this thread.
    unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attr, 0) };
}
