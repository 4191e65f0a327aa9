//! Which clients are served, and which lists hold for each: prefixes, flattened into intervals once.
//!
//! Enters: allowed prefixes and those of views; with each compiled list, which of its lists each view has. Leaves: for an
//! address, `None` (not allowed) or the mask. The most specific prefix decides; an allowed client of no view gets every list.

use std::net::IpAddr;

/// Mask of all lists.
pub const EVERY_LIST: u64 = u64::MAX;

/// A network in CIDR form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    first: u128,
    last: u128,
    length: u8,
    v6: bool,
}

impl Prefix {
    /// 127.0.0.0/8 and ::1.
    pub const LOOPBACK: [Prefix; 2] = [
        Prefix { first: 127 << 24, last: (128 << 24) - 1, length: 8, v6: false },
        Prefix { first: 1, last: 1, length: 128, v6: true },
    ];

    /// From `192.0.2.0/24`, `2001:db8::/32`, or an address alone. Host bits that are set are an error.
    pub fn parse(text: &str) -> Result<Prefix, String> {
        let wrong = |why: &str| format!("{text:?} is not a prefix: {why}");
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let ip: IpAddr = address.parse().map_err(|_| wrong("not an address"))?;
        let (bits, value, v6) = match ip {
            IpAddr::V4(v4) => (32u8, u128::from(v4.to_bits()), false),
            IpAddr::V6(v6) => (128u8, v6.to_bits(), true),
        };
        let length = match length {
            None => bits,
            Some(text) => text.parse().ok().filter(|&n| n <= bits).ok_or_else(|| wrong("its length"))?,
        };
        let host = (1u128 << (bits - length).min(127)) - 1;
        let host = if bits - length == 128 { u128::MAX } else { host };
        if value & host != 0 {
            return Err(wrong("bits are set beyond its length"));
        }
        Ok(Prefix { first: value, last: value | host, length, v6 })
    }
}

/// The look-up.
#[derive(Debug, Default)]
pub struct Clients {
    v4: Intervals<u32>,
    v6: Intervals<u128>,
}

/// Interval `i` is `starts[i]` up to the next start.
#[derive(Debug)]
struct Intervals<T> {
    starts: Vec<T>,
    /// None where nobody is allowed.
    masks: Vec<Option<u64>>,
    /// The number of the view that decides.
    views: Vec<Option<usize>>,
}

impl<T> Default for Intervals<T> {
    fn default() -> Self {
        Intervals { starts: Vec::new(), masks: Vec::new(), views: Vec::new() }
    }
}

impl<T: Copy + Ord> Intervals<T> {
    #[inline]
    fn of(&self, address: T) -> Option<u64> {
        let after = self.starts.partition_point(|start| *start <= address);
        self.masks.get(after.wrapping_sub(1)).copied().flatten()
    }

    fn set_lists(&mut self, lists: &[u64]) {
        for (mask, view) in self.masks.iter_mut().zip(&self.views) {
            *mask = mask.map(|_| view.and_then(|view| lists.get(view).copied()).unwrap_or(EVERY_LIST));
        }
    }
}

impl Clients {
    /// From what the configuration says: which prefixes are served, and each prefix of a view with the view's number.
    /// Until [`Clients::set_lists`] every list holds for all of them.
    pub fn new(allowed: &[Prefix], views: &[(Prefix, usize)]) -> Clients {
        let flatten = |v6: bool| {
            let of_family = |p: &&Prefix| p.v6 == v6;
            let allowed: Vec<&Prefix> = allowed.iter().filter(of_family).collect();
            let views: Vec<&(Prefix, usize)> = views.iter().filter(|(p, _)| p.v6 == v6).collect();
            let mut starts: Vec<u128> = vec![0];
            for prefix in allowed.iter().copied().chain(views.iter().map(|(p, _)| p)) {
                starts.push(prefix.first);
                starts.extend(prefix.last.checked_add(1).filter(|&next| v6 || next <= u128::from(u32::MAX)));
            }
            starts.sort_unstable();
            starts.dedup();
            let decided = starts.iter().map(|&at| {
                let holds = |p: &Prefix| p.first <= at && at <= p.last;
                let view = views.iter().filter(|(p, _)| holds(p)).max_by_key(|(p, _)| p.length);
                (allowed.iter().any(|p| holds(p)).then_some(EVERY_LIST), view.map(|(_, number)| *number))
            });
            let (masks, views) = decided.unzip();
            Intervals { starts, masks, views }
        };
        let Intervals { starts, masks, views } = flatten(false);
        let starts = starts.iter().map(|&s| u32::try_from(s).unwrap_or(u32::MAX)).collect();
        Clients { v4: Intervals { starts, masks, views }, v6: flatten(true) }
    }

    /// The lists that hold for the clients of each view, by its number: bits of the compiled list that is in force.
    pub fn set_lists(&mut self, lists: &[u64]) {
        self.v4.set_lists(lists);
        self.v6.set_lists(lists);
    }

    /// The lists that hold for a client; `None`: it is not served.
    #[inline]
    pub fn view(&self, address: IpAddr) -> Option<u64> {
        match address {
            IpAddr::V4(v4) => self.v4.of(v4.to_bits()),
            IpAddr::V6(v6) => self.v6.of(v6.to_bits()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefixes(texts: &[&str]) -> Vec<Prefix> {
        texts.iter().map(|t| Prefix::parse(t).expect("a test's literal")).collect()
    }

    #[test]
    fn the_most_specific_prefix_decides_and_the_edges_belong_to_it() {
        let views: Vec<(Prefix, usize)> =
            prefixes(&["10.1.0.0/16", "10.1.2.0/24", "2001:db8:1::/48", "192.168.0.0/16"])
                .into_iter()
                .zip(0..)
                .collect();
        let mut clients = Clients::new(&prefixes(&["10.0.0.0/8", "2001:db8::/32", "255.255.255.255", "::1"]), &views);
        assert_eq!(clients.view(IpAddr::from([10, 1, 2, 3])), Some(EVERY_LIST));
        clients.set_lists(&[16, 16, 16, 16]);
        clients.set_lists(&[1, 2, 4, 8]);
        for (address, expected) in [
            ("10.0.0.0", Some(EVERY_LIST)),
            ("9.255.255.255", None),
            ("10.255.255.255", Some(EVERY_LIST)),
            ("11.0.0.0", None),
            ("10.1.0.0", Some(1)),
            ("10.1.1.255", Some(1)),
            ("10.1.2.0", Some(2)),
            ("10.1.2.255", Some(2)),
            ("10.1.3.0", Some(1)),
            ("192.168.1.1", None),
            ("255.255.255.255", Some(EVERY_LIST)),
            ("2001:db8::", Some(EVERY_LIST)),
            ("2001:db8:1::7", Some(4)),
            ("2001:db8:2::", Some(EVERY_LIST)),
            ("2001:db9::", None),
            ("::1", Some(EVERY_LIST)),
            ("::", None),
        ] {
            assert_eq!(clients.view(address.parse().expect("a test's literal")), expected, "{address}");
        }
        assert_eq!(Clients::default().view(IpAddr::from([127, 0, 0, 1])), None);
        let all = Clients::new(&prefixes(&["0.0.0.0/0", "::/0"]), &[]);
        assert_eq!(all.view(IpAddr::from([255, 1, 2, 3])), Some(EVERY_LIST));
        assert_eq!(all.view("ffff::1".parse().expect("a test's literal")), Some(EVERY_LIST));
    }

    #[test]
    fn what_is_no_prefix_is_refused() {
        for text in ["10.0.0.0/33", "10.0.0.1/8", "::/129", "ten", "10.0.0.0/-1", "", "/8", "1.2.3.4/x"] {
            assert!(Prefix::parse(text).is_err(), "{text}");
        }
    }
}
