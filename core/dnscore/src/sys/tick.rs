//! A tick finer than the kernel's, for background threads.
//!
//! A thread that wakes preempts a background thread only while it is eligible: if it has just run a little more than its
//! share, the kernel picks the other (EEVDF, Linux 6.6 and later). It becomes eligible some microseconds later, but the
//! kernel looks again only at its own tick, after 1 to 4 ms, or when another thread wakes on that processor. So while
//! background threads work, one more thread reads their processor clocks every 250 us. To read a running clock the kernel
//! accounts for the time until now, and preempts a thread whose slice is over (6.12 and later; an older kernel only reads
//! the clock). That holds within a control group; between groups the waking of the reading thread makes the kernel look.
//! No thread's share changes, only the delay.
//!
//! Rules: this thread sleeps while background threads do. A failure here costs speed and nothing else.

use std::fs;
use std::thread;
use std::time::Duration;

use super::turn::{is_background, set_latency_sensitive};

const TICK: Duration = Duration::from_micros(250);
/// Ticks before the threads are listed again.
const ROUND: u32 = 40;
/// Processor time of a round; threads that use less do not work.
const WORK: Duration = Duration::from_millis(1);

/// Start the tick for this process. To be called once, by a thread that is not in the background.
pub fn tick_when_busy() {
    let begun = thread::Builder::new().name("tick".into()).spawn(|| {
        // SAFETY: it reads and writes no memory; the kernel may be late by a nanosecond instead of by 50 us.
        unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1, 0, 0, 0) };
        set_latency_sensitive();
        while wait_for_work() {
            while round() >= WORK {}
        }
    });
    drop(begun); // no thread, no ticks
}

/// A round of ticks; the processor time that those threads used in it which are still there.
fn round() -> Duration {
    let threads: Vec<_> = background().into_iter().filter_map(|thread| Some((thread, clock_of(thread)?))).collect();
    for _ in 0..ROUND {
        thread::sleep(TICK);
        for (thread, _) in &threads {
            clock_of(*thread);
        }
    }
    threads.into_iter().filter_map(|(thread, first)| Some(clock_of(thread)?.saturating_sub(first))).sum()
}

/// The background threads of this process.
fn background() -> Vec<libc::pid_t> {
    let Ok(entries) = fs::read_dir("/proc/self/task") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|&thread| is_background(thread))
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
