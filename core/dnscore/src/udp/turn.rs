//! Whose turn it is on a processor.

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

/// Nanoseconds for which a thread may go on when another one wants its processor: the least that the kernel takes,
/// instead of about three milliseconds.
const SLICE: u64 = 100_000;

/// This thread, and those that it starts from now on, stand behind the threads that answer queries: by `nice` (0 to 19)
/// while both want a processor, and with a slice so short that a query which comes meanwhile hardly waits for its turn.
/// A kernel before Linux 6.12 heeds `nice` alone; where it does not listen nothing changes but speed.
pub fn give_way(nice: i32) {
    const SCHED_OTHER: u32 = 0;
    let attr = SchedAttr {
        size: size_of::<SchedAttr>() as u32,
        policy: SCHED_OTHER,
        flags: 0,
        nice,
        priority: 0,
        runtime: SLICE,
        deadline: 0,
        period: 0,
    };
    // SAFETY: the kernel reads `size` octets of `attr`, which lives until the call returns; 0 is this thread.
    unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attr, 0) };
}
