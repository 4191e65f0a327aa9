//! A tick finer than the kernel's, for the threads that stand behind.
//!
//! A thread that wakes goes before one that stands behind, but only while it is eligible: where it has just run a little
//! more than its share, the kernel picks the other (EEVDF, Linux 6.6 and later). Some microseconds later its turn would
//! have come, yet the kernel looks again at its own tick, after 1 to 4 ms, or when something else wakes on that
//! processor. So while threads work that gave way, one thread more reads their processor clocks every 250 us: for a
//! clock that runs the kernel accounts for the time until now, and lets a thread whose time is over make room (6.12 and
//! later; else it is a clock that was read). That holds within a control group; between groups it is the reading
//! thread's own waking that makes the kernel look. Nobody's share changes by it, only how soon it is heeded.
//!
//! Rules: it sleeps while those threads do. Whatever fails here costs speed and nothing else.

use std::fs;
use std::thread;
use std::time::Duration;

use super::turn::{gave_way, go_first};

const TICK: Duration = Duration::from_micros(250);
/// So many ticks for the threads that were there at the first.
const ROUND: u32 = 40;
/// Of processor time: who uses less of it in a round does not work.
const WORK: Duration = Duration::from_millis(1);

/// Ticks whenever this process works, for those of its threads that gave way, until it ends.
///
/// To be called by a thread that did not.
pub fn tick_when_busy() {
    let begun = thread::Builder::new().name("tick".into()).spawn(|| {
        // SAFETY: it reads and writes no memory; the kernel may be late by a nanosecond instead of by 50 us.
        unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1, 0, 0, 0) };
        go_first();
        while wait_for_work() {
            while round() >= WORK {}
        }
    });
    drop(begun); // no thread, no ticks
}

/// A round of ticks; the processor time that those threads used in it which are still there.
fn round() -> Duration {
    let threads: Vec<_> = behind().into_iter().filter_map(|thread| Some((thread, clock_of(thread)?))).collect();
    for _ in 0..ROUND {
        thread::sleep(TICK);
        for (thread, _) in &threads {
            clock_of(*thread);
        }
    }
    threads.into_iter().filter_map(|(thread, first)| Some(clock_of(thread)?.saturating_sub(first))).sum()
}

/// The threads of this process that gave way.
fn behind() -> Vec<libc::pid_t> {
    let Ok(entries) = fs::read_dir("/proc/self/task") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|&thread| gave_way(thread))
        .collect()
}

/// What a thread of this process has used of a processor; None: it is gone.
fn clock_of(thread: libc::pid_t) -> Option<Duration> {
    // As the kernel numbers the clocks of threads (CPUCLOCK_PERTHREAD_MASK and CPUCLOCK_SCHED in posix-timers.h).
    let clock = (!thread << 3) | 4 | 2;
    let mut used = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `used` is a valid timespec that outlives the call.
    let is_there = unsafe { libc::clock_gettime(clock, &mut used) } == 0;
    is_there.then(|| Duration::new(used.tv_sec as u64, used.tv_nsec as u32))
}

/// Returns when this process has used a little of a processor; false: the kernel does not say.
fn wait_for_work() -> bool {
    let a_little = libc::timespec { tv_sec: 0, tv_nsec: WORK.as_nanos() as libc::c_long };
    // SAFETY: the kernel reads `a_little`, which lives until the call returns; it writes no rest where it is given none.
    let why =
        unsafe { libc::clock_nanosleep(libc::CLOCK_PROCESS_CPUTIME_ID, 0, &raw const a_little, std::ptr::null_mut()) };
    why == 0 || why == libc::EINTR
}
