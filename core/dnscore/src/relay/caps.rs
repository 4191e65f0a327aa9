//! How much is in flight for a client or under a zone, counted in two small tables.
//!
//! A table of exact counts would have to be searched and grown; here each hash has one counter in either of two rows and
//! the smaller counts (a count-min sketch, Cormode and Muthukrishnan 2005). It can only count too much, and one busy
//! client does so for another with a probability of 1 in 2^24. Hashes are keyed, so nobody can aim.

const ROW: usize = 1 << 12;

/// The counters, all zero at first.
pub struct Caps {
    rows: Box<[[u16; ROW]; 2]>,
    limit: u16,
}

impl Caps {
    /// At most `limit` for each.
    pub fn new(limit: usize) -> Caps {
        Caps { rows: Box::new([[0; ROW]; 2]), limit: u16::try_from(limit).unwrap_or(u16::MAX - 1) }
    }

    #[inline]
    fn places(hash: u64) -> (usize, usize) {
        const MASK: u64 = ROW as u64 - 1;
        ((hash & MASK) as usize, (hash >> 32 & MASK) as usize)
    }

    /// One more would be too many.
    #[inline]
    pub fn is_reached(&self, hash: u64) -> bool {
        let (a, b) = Self::places(hash);
        self.rows[0][a].min(self.rows[1][b]) >= self.limit
    }

    /// One more.
    #[inline]
    pub fn add(&mut self, hash: u64) {
        let (a, b) = Self::places(hash);
        self.rows[0][a] = self.rows[0][a].saturating_add(1);
        self.rows[1][b] = self.rows[1][b].saturating_add(1);
    }

    /// One less; each was added before.
    #[inline]
    pub fn remove(&mut self, hash: u64) {
        let (a, b) = Self::places(hash);
        self.rows[0][a] = self.rows[0][a].saturating_sub(1);
        self.rows[1][b] = self.rows[1][b].saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cap_is_reached_at_its_limit_and_freed_below_it() {
        let mut caps = Caps::new(3);
        for _ in 0..3 {
            assert!(!caps.is_reached(42));
            caps.add(42);
        }
        assert!(caps.is_reached(42));
        assert!(!caps.is_reached(42 + 1));
        caps.remove(42);
        assert!(!caps.is_reached(42));
    }
}
