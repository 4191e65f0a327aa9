//! Whose turn it is on a processor.
//!
//! A thread that wakes gets the processor at once where its slice is shorter than that of the thread which runs (Linux
//! 6.12 and later), and else may wait until the next tick, 4 ms. So threads that answer queries ask for the shortest
//! slice, those that work behind them for a long one. An older kernel heeds nice and policy alone; where none of it is
//! allowed nothing changes but speed.

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
/// More than the usual slice, which is 3 ms at most: whoever asked for nothing goes before these threads too.
const LONG: u64 = 10_000_000;

/// The policy of those behind, by which they are known.
const BEHIND: libc::c_int = libc::SCHED_BATCH;

/// This thread, and those that it starts from now on, answer queries.
pub fn go_first() {
    // SAFETY: it reads and writes no memory; 0 is this thread.
    let nice = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
    set(libc::SCHED_OTHER, nice, SHORT);
}

/// This thread, and those that it starts from now on, stand behind those that answer queries: by `nice` (0 to 19) while
/// both want a processor, and never taking it from another thread when they wake.
pub fn give_way(nice: i32) {
    set(BEHIND, nice, LONG);
}

/// Whether a thread of this process gave way.
pub fn gave_way(thread: libc::pid_t) -> bool {
    // SAFETY: it reads and writes no memory; a thread that is gone is an error, and so no such policy.
    unsafe { libc::sched_getscheduler(thread) == BEHIND }
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
