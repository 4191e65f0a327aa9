//! How many different ones: an estimate in a fixed room that keeps none of them (HyperLogLog: Flajolet et al. 2007; below
//! two and a half times the room linear counting, Whang et al. 1990).
//!
//! Enters: keyed hashes. Leaves: a number, within 5% as a rule. Rules: a register holds the longest run of zeros among the
//! hashes that fell to it, and nothing else; without the key, which is random and in memory alone, nobody can tell
//! whether an address was among them. Joining takes the larger of each register, so neither order nor repetition counts.

/// Octets of a sketch.
pub const REGISTERS: usize = 512;
const INDEX_BITS: u32 = REGISTERS.trailing_zeros();

/// The registers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sketch(Box<[u8; REGISTERS]>);

impl Default for Sketch {
    fn default() -> Sketch {
        Sketch(Box::new([0; REGISTERS]))
    }
}

impl Sketch {
    /// One whose keyed hash this is: the same hash again changes nothing.
    #[inline]
    pub fn add(&mut self, hash: u64) {
        let hash = spread(hash);
        let run = ((hash << INDEX_BITS).leading_zeros() + 1).min(64 - INDEX_BITS + 1) as u8;
        let register = &mut self.0[(hash >> (64 - INDEX_BITS)) as usize];
        *register = run.max(*register);
    }

    /// From the octets of another process's sketch; `None` where they cannot be one.
    pub fn from_octets(octets: &[u8]) -> Option<Sketch> {
        let registers: [u8; REGISTERS] = octets.try_into().ok()?;
        registers.iter().all(|run| u32::from(*run) <= 64 - INDEX_BITS + 1).then(|| Sketch(Box::new(registers)))
    }

    /// The registers, as `from_octets` takes them.
    pub fn octets(&self) -> &[u8] {
        self.0.as_slice()
    }

    /// What both have seen.
    pub fn join(&mut self, other: &Sketch) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0.iter()) {
            *mine = *theirs.max(mine);
        }
    }

    /// How many different hashes were added, about.
    pub fn estimate(&self) -> f64 {
        let room = REGISTERS as f64;
        let sum: f64 = self.0.iter().map(|run| 2f64.powi(-i32::from(*run))).sum();
        let raw = 0.7213 / (1.0 + 1.079 / room) * room * room / sum;
        let empty = self.0.iter().filter(|run| **run == 0).count();
        if raw <= 2.5 * room && empty > 0 { room * (room / empty as f64).ln() } else { raw }
    }
}

/// Every bit of a hash moves every bit of the result (SplitMix64's last steps): the table's hash is made for its low bits.
#[inline]
fn spread(hash: u64) -> u64 {
    let hash = (hash ^ hash >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ hash >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ hash >> 31
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::hash::Key;
    use crate::relay::rate::client_hash;

    fn sketch(clients: std::ops::Range<u32>, key: Key) -> Sketch {
        let mut sketch = Sketch::default();
        clients.for_each(|n| sketch.add(client_hash(key, std::net::IpAddr::from((0x0a00_0000 + n).to_be_bytes()))));
        sketch
    }

    #[test]
    fn the_estimate_is_near_whatever_the_number_and_the_key() {
        for key in [Key(1, 2), Key(0x5851_f42d_4c95_7f2d, 77), Key(u64::MAX, 0x1405_7b7e_f767_814f)] {
            for number in [0, 1, 10, 100, 1_000, 10_000, 1_000_000] {
                let found = sketch(0..number, key).estimate();
                let error = (found - f64::from(number)).abs();
                assert!(error <= 0.15 * f64::from(number) + 0.1, "{found} for {number}");
            }
        }
    }

    #[test]
    fn who_asks_again_or_at_another_worker_is_counted_once() {
        let key = Key(3, 5);
        let (mut all, half) = (sketch(0..4_000, key), sketch(2_000..6_000, key));
        all.join(&half);
        assert_eq!(all, sketch(0..6_000, key));
        let before = all.clone();
        all.join(&before);
        assert_eq!(all, before);
    }

    #[test]
    fn what_is_no_sketch_is_refused() {
        assert_eq!(Sketch::from_octets(&[0; REGISTERS - 1]), None);
        assert_eq!(Sketch::from_octets(&[57; REGISTERS]), None);
        let some = sketch(0..100, Key(9, 9));
        assert_eq!(Sketch::from_octets(some.octets()), Some(some));
    }
}
