//! What a worker counts, in a file that others map and read while it runs.
//!
//! Counted in plain memory and copied to the file now and then: the file is for people and metrics, not for queries. One
//! writer; a reader may see one number older than its neighbour, never half a number (aligned words). The first word of a
//! file is the heartbeat, in every version; the last is a mark of the names, so that the counts of a version that counts
//! other things are not taken for these.

#![allow(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Lists that are counted one by one.
pub const LISTS: usize = 64;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// What is counted. Names that end in `Now` are gauges; all others only grow.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        #[allow(missing_docs)] // the names say it
        pub enum Counter { $($(#[$doc])* $name,)* }

        /// Their names, in order.
        const NAMES: &[&str] = &[$($text,)*];
    };
}

counters! {
    /// CLOCK_MONOTONIC in milliseconds at the last tick.
    Heartbeat = "heartbeat_ms",
    QueriesUdp4 = "queries_udp4",
    QueriesUdp6 = "queries_udp6",
    QueriesTcp = "queries_tcp",
    QueriesTls = "queries_tls",
    QueriesHttps = "queries_https",
    QueriesQuic = "queries_quic",
    DroppedClient = "dropped_client",
    DroppedMalformed = "dropped_malformed",
    DroppedSource = "dropped_source",
    /// A query that came from one of our own sockets: an upstream points back here.
    Loops = "loops",
    /// From a proxy, without a header that says for whom.
    DroppedProxy = "dropped_proxy",
    RateLimited = "rate_limited",
    RefusedByTable = "refused_by_table",
    Blocked = "blocked",
    BlockedStopPage = "blocked_stop_page",
    BlockedNxdomain = "blocked_nxdomain",
    BlockedNodata = "blocked_nodata",
    BlockedRefused = "blocked_refused",
    Monitored = "monitored",
    Excused = "excused",
    /// Answers for other names, in which records of listed ones were left out.
    AliasesTrimmed = "aliases_trimmed",
    /// Answers for other names, answered as the listed ones whose records were in them.
    AliasesStopped = "aliases_stopped",
    TypeA = "type_a",
    TypeAaaa = "type_aaaa",
    TypeHttps = "type_https",
    TypeMx = "type_mx",
    TypeTxt = "type_txt",
    TypeNs = "type_ns",
    TypeSoa = "type_soa",
    TypePtr = "type_ptr",
    TypeSrv = "type_srv",
    TypeAny = "type_any",
    TypeOther = "type_other",
    CacheHits = "cache_hits",
    CacheMisses = "cache_misses",
    CacheStale = "cache_stale",
    CacheEntriesNow = "cache_entries_now",
    Relayed = "relayed",
    Joined = "joined",
    Repeated = "repeated",
    Retried = "retried",
    Probes = "probes",
    OverTcp = "over_tcp",
    StreamsNow = "streams_now",
    StreamsRefused = "streams_refused",
    /// 1 while there is no file descriptor for another connection.
    StreamsStarvedNow = "streams_starved_now",
    UpstreamAnswers = "upstream_answers",
    UpstreamLate = "upstream_late",
    UpstreamTruncated = "upstream_truncated",
    UpstreamServfail = "upstream_servfail",
    UpstreamRefused = "upstream_refused",
    UpstreamTimeouts = "upstream_timeouts",
    UpstreamDown = "upstream_down",
    UpstreamStrays = "upstream_strays",
    UpstreamMismatches = "upstream_mismatches",
    GaveUp = "gave_up",
    NoUpstream = "no_upstream",
    CapWorker = "cap_worker",
    CapClient = "cap_client",
    CapZone = "cap_zone",
    CapWaiters = "cap_waiters",
    InFlightNow = "in_flight_now",
    SocketsNow = "sockets_now",
    SocketsReopened = "sockets_reopened",
    Answered = "answered",
    AnsweredNoerror = "answered_noerror",
    AnsweredNxdomain = "answered_nxdomain",
    AnsweredServfail = "answered_servfail",
    AnsweredRefused = "answered_refused",
    AnsweredOther = "answered_other",
    AnsweredTruncated = "answered_truncated",
    SendDropped = "send_dropped",
    SendFailed = "send_failed",
    TapFrames = "tap_frames",
    TapDropped = "tap_dropped",
    Panics = "panics",
    Batches = "batches",
    Wakes = "wakes",
    RttSumUs = "upstream_rtt_sum_us",
    Rtt1 = "upstream_rtt_le_1ms",
    Rtt2 = "upstream_rtt_le_2ms",
    Rtt5 = "upstream_rtt_le_5ms",
    Rtt10 = "upstream_rtt_le_10ms",
    Rtt20 = "upstream_rtt_le_20ms",
    Rtt50 = "upstream_rtt_le_50ms",
    Rtt100 = "upstream_rtt_le_100ms",
    Rtt200 = "upstream_rtt_le_200ms",
    Rtt500 = "upstream_rtt_le_500ms",
    Rtt1000 = "upstream_rtt_le_1000ms",
    Rtt2000 = "upstream_rtt_le_2000ms",
    RttMore = "upstream_rtt_more",
    WaitSumUs = "wait_sum_us",
    Wait1 = "wait_le_1ms",
    Wait2 = "wait_le_2ms",
    Wait5 = "wait_le_5ms",
    Wait10 = "wait_le_10ms",
    Wait20 = "wait_le_20ms",
    Wait50 = "wait_le_50ms",
    Wait100 = "wait_le_100ms",
    Wait200 = "wait_le_200ms",
    Wait500 = "wait_le_500ms",
    Wait1000 = "wait_le_1000ms",
    Wait2000 = "wait_le_2000ms",
    WaitMore = "wait_more",
}

const FIXED: usize = NAMES.len();
const TOTAL: usize = FIXED + 2 * LISTS;

/// The buckets of the histograms, in microseconds; one more takes what is beyond the last.
const BUCKETS: [u64; 11] =
    [1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000];

/// All names in the order of the file.
pub fn names() -> Vec<String> {
    let fixed = NAMES.iter().map(|name| (*name).to_owned());
    let blocked = (0..LISTS).map(|list| format!("blocked_list_{list}"));
    let monitored = (0..LISTS).map(|list| format!("monitored_list_{list}"));
    fixed.chain(blocked).chain(monitored).collect()
}

/// The last word of a file: FNV-1a over the names.
pub fn mark() -> u64 {
    let names = names().join(" ");
    names.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}

/// The counters.
pub struct Counters {
    values: Box<[u64; TOTAL]>,
    /// The number under which each list of the compiled file counts.
    lists: [u8; LISTS],
    file: Option<memmap2::MmapMut>,
}

impl Counters {
    /// All zero, in memory alone.
    pub fn new() -> Counters {
        Counters { values: Box::new([0; TOTAL]), lists: std::array::from_fn(|list| list as u8), file: None }
    }

    /// All zero, shown in a new file that replaces the one at `path`. A process that maps the old one keeps it. A reader
    /// finds one of the two at any moment: a worker that is being replaced must not look like a dead one.
    pub fn in_file(path: &Path) -> io::Result<Counters> {
        let beside = path.with_extension("new");
        let written = Self::written(&beside).or_else(|_| {
            // On a full file system the old one has the room.
            std::fs::remove_file(path)?;
            Self::written(&beside)
        });
        let renamed = written.and_then(|file| std::fs::rename(&beside, path).map(|()| file));
        let file = renamed.inspect_err(|_| drop(std::fs::remove_file(&beside)))?;
        // SAFETY: the file is new, of full length, writable by us alone (mode 0644 in a directory of ours) and never
        // truncated by us; what readers do cannot invalidate the map.
        let map = unsafe { memmap2::MmapMut::map_mut(&file)? };
        Ok(Counters { file: Some(map), ..Counters::new() })
    }

    /// A new file of zeros at `path`.
    fn written(path: &Path) -> io::Result<File> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o644).open(path)?;
        // Written, not only made long: on a file system that is full a page that is missing would be a SIGBUS later.
        file.write_all(&[0; TOTAL * 8])?;
        file.write_all(&mark().to_le_bytes())?;
        Ok(file)
    }

    /// One more.
    #[inline(always)]
    pub fn count(&mut self, counter: Counter) {
        self.add(counter, 1);
    }

    /// `n` more.
    #[inline(always)]
    pub fn add(&mut self, counter: Counter, n: u64) {
        let value = &mut self.values[counter as usize];
        *value = value.wrapping_add(n);
    }

    /// A gauge's value.
    #[inline]
    pub fn set(&mut self, counter: Counter, value: u64) {
        self.values[counter as usize] = value;
    }

    /// A counter's value.
    pub fn get(&self, counter: Counter) -> u64 {
        self.values[counter as usize]
    }

    /// From now on the lists of the compiled file count under these numbers; those beyond, under their own.
    pub fn set_lists(&mut self, numbers: &[u8]) {
        self.lists = std::array::from_fn(|list| numbers.get(list).copied().unwrap_or(list as u8));
    }

    fn number(&self, list: u8) -> usize {
        usize::from(self.lists[usize::from(list) % LISTS]) % LISTS
    }

    /// A block by that list.
    #[inline]
    pub fn blocked_by(&mut self, list: u8) {
        let value = &mut self.values[FIXED + self.number(list)];
        *value = value.wrapping_add(1);
    }

    /// A match of a list that only counts.
    #[inline]
    pub fn monitored_by(&mut self, list: u8) {
        let value = &mut self.values[FIXED + LISTS + self.number(list)];
        *value = value.wrapping_add(1);
    }

    /// An upstream answered after so many microseconds.
    #[inline]
    pub fn rtt(&mut self, us: u64) {
        self.observe(Counter::RttSumUs, us, 1);
    }

    /// `clients` heard after so many microseconds what was relayed for them.
    #[inline]
    pub fn waited(&mut self, us: u64, clients: u64) {
        self.observe(Counter::WaitSumUs, us, clients);
    }

    /// `times` the same value, in the histogram whose sum is `sum`; its buckets follow it.
    #[inline]
    fn observe(&mut self, sum: Counter, us: u64, times: u64) {
        self.add(sum, us * times);
        let bucket = BUCKETS.iter().position(|&le| us <= le).unwrap_or(BUCKETS.len());
        let value = &mut self.values[sum as usize + 1 + bucket];
        *value = value.wrapping_add(times);
    }

    /// A question of that type.
    #[inline]
    pub fn qtype(&mut self, qtype: u16) {
        self.count(match qtype {
            1 => Counter::TypeA,
            28 => Counter::TypeAaaa,
            65 => Counter::TypeHttps,
            15 => Counter::TypeMx,
            16 => Counter::TypeTxt,
            2 => Counter::TypeNs,
            6 => Counter::TypeSoa,
            12 => Counter::TypePtr,
            33 => Counter::TypeSrv,
            255 => Counter::TypeAny,
            _ => Counter::TypeOther,
        });
    }

    /// An answer that goes to a client.
    #[inline]
    pub fn answer(&mut self, message: &[u8]) {
        let (Some(flags), Some(rcode)) = (message.get(2), message.get(3)) else { return };
        self.count(Counter::Answered);
        if flags & 0x02 != 0 {
            self.count(Counter::AnsweredTruncated);
        }
        self.count(match rcode & 15 {
            0 => Counter::AnsweredNoerror,
            2 => Counter::AnsweredServfail,
            3 => Counter::AnsweredNxdomain,
            5 => Counter::AnsweredRefused,
            _ => Counter::AnsweredOther,
        });
    }

    /// All of them as they are.
    pub fn values(&self) -> &[u64] {
        &self.values[..]
    }

    /// Copies them to the file.
    pub fn publish(&mut self) {
        let Some(map) = &mut self.file else { return };
        let base = map.as_mut_ptr();
        for (i, value) in self.values.iter().enumerate() {
            // SAFETY: the map is page-aligned and TOTAL words long and one (`in_file`), and lives as long as `self`; an atomic
            // store lets readers of other processes see whole words.
            let word = unsafe { AtomicU64::from_ptr(base.add(i * 8).cast()) };
            word.store(value.to_le(), Ordering::Relaxed);
        }
    }
}

impl Default for Counters {
    fn default() -> Counters {
        Counters::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_many_as_counters_and_none_comes_twice() {
        let names = names();
        assert_eq!(names.len(), TOTAL);
        assert_eq!(names[Counter::RttSumUs as usize + 1 + BUCKETS.len()], "upstream_rtt_more");
        assert_eq!(names[Counter::WaitSumUs as usize + 1 + BUCKETS.len()], "wait_more");
        assert_eq!(names[0], "heartbeat_ms");
        let unique: std::collections::HashSet<_> = names.iter().collect();
        assert_eq!(unique.len(), TOTAL);
    }

    #[test]
    fn the_file_shows_what_was_published() {
        let path = std::env::temp_dir().join(format!("counters-{}", std::process::id()));
        let mut counters = Counters::in_file(&path).expect("a writable temporary directory");
        counters.count(Counter::Loops);
        counters.rtt(1_500);
        counters.blocked_by(63);
        counters.publish();
        let bytes = std::fs::read(&path).expect("just written");
        let word = |i: usize| u64::from_le_bytes(bytes[i * 8..i * 8 + 8].try_into().expect("eight bytes"));
        assert_eq!(word(Counter::Loops as usize), 1);
        assert_eq!(word(Counter::Rtt2 as usize), 1);
        assert_eq!(word(FIXED + 63), 1);
        assert_eq!(word(TOTAL), mark());
        assert_eq!(bytes.len(), TOTAL * 8 + 8);
        std::fs::remove_file(&path).expect("still there");
    }

    #[test]
    fn a_reader_finds_the_old_file_or_the_new_one_at_any_moment() {
        let path = std::env::temp_dir().join(format!("replaced-{}.counters", std::process::id()));
        let first = Counters::in_file(&path).expect("a writable temporary directory");
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..200 {
                    Counters::in_file(&path).expect("replaced");
                }
                done.store(true, Ordering::Relaxed);
            });
            while !done.load(Ordering::Relaxed) {
                assert_eq!(std::fs::read(&path).expect("one is there").len(), TOTAL * 8 + 8);
            }
        });
        drop(first);
        assert!(!path.with_extension("new").exists());
        std::fs::remove_file(&path).expect("still there");
    }
}
