//! The static tree over the buckets: which bucket a key belongs to.
//!
//! A node has up to 32 children, and for each but the first the next eight octets of its *separator*, the shortest key
//! that is above all before it and not above all in it, after the prefix that all keys from the first child's head to
//! the last one's share. A separator that is longer than that has its rest in the overflow section, looked at only when
//! the eight octets are the same.
//!
//! ```text
//! inner node, 288 octets:  0 prefix length   1 prefix (23)   24 place of overflow + 1, or 0 (u32)   28 free
//!                          32 slices: 32 of eight octets, the first 0, those beyond the last child all ones
//! lowest node, 352 octets: the same; 28 place of the first bucket (u32); 288 distances of its buckets from there (32 u16),
//!                          in eights of octets where the top bit of octet 0 is set: a node of exceptionally long names
//! overflow of a node:      bit c: child c has a long separator (u32), then for each: where it ends (u16), then the octets
//! ```
//!
//! Levels follow each other in the section, the lowest first, each with a node for every 32 of the level below.

use super::key;
use super::vector::Lanes;
use crate::narrow::{to_u8, to_u16, to_u32};

/// Rows of a bucket, buckets of a lowest node, children of an inner one.
pub(crate) const FAN_OUT: usize = 32;
/// Octets of an inner node.
pub(crate) const INNER: usize = 288;
/// Octets of a lowest node.
pub(crate) const LOWEST: usize = 352;
/// Octets of a key with the zeros behind it that slices are read from.
pub(crate) const PADDED: usize = 320;

const MAX_PREFIX: usize = 23;
const SLICE: usize = 8;

/// Where the levels of a tree over so many buckets are in their section.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Levels {
    /// Offset and nodes of each level, the lowest first.
    levels: [(usize, usize); 6],
    pub depth: usize,
}

impl Levels {
    pub fn over(buckets: usize) -> Self {
        let mut levels = Self::default();
        let (mut offset, mut children, mut size) = (0, buckets, LOWEST);
        while children > 0 {
            let nodes = children.div_ceil(FAN_OUT);
            levels.levels[levels.depth] = (offset, nodes);
            levels.depth += 1;
            offset += nodes * size;
            size = INNER;
            children = if nodes == 1 { 0 } else { nodes };
        }
        levels
    }

    pub fn nodes(&self, level: usize) -> usize {
        self.levels[level].1
    }

    /// Octets of all levels.
    pub fn size(&self) -> usize {
        match self.depth {
            0 => 0,
            1 => LOWEST * self.levels[0].1,
            depth => self.levels[depth - 1].0 + INNER * self.levels[depth - 1].1,
        }
    }

    /// Where a node is.
    #[inline(always)]
    pub fn offset(&self, level: usize, node: usize) -> usize {
        self.levels[level].0 + node * if level == 0 { LOWEST } else { INNER }
    }
}

/// The first key of each bucket, and how much of it the key before shares.
#[derive(Default)]
pub(crate) struct Heads {
    keys: Vec<u8>,
    ends: Vec<u32>,
    shared: Vec<u8>,
}

impl Heads {
    pub fn push(&mut self, head: &[u8], shared: usize) {
        self.keys.extend_from_slice(head);
        self.ends.push(to_u32(self.keys.len()));
        self.shared.push(to_u8(shared));
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn get(&self, bucket: usize) -> &[u8] {
        let start = if bucket == 0 { 0 } else { self.ends[bucket - 1] as usize };
        &self.keys[start..self.ends[bucket] as usize]
    }

    /// What the heads of a lowest node share, as far as a node holds it.
    pub fn prefix(&self, lowest: usize) -> &[u8] {
        let last = (lowest * FAN_OUT + FAN_OUT - 1).min(self.len() - 1);
        self.shared_by(lowest * FAN_OUT, last)
    }

    fn shared_by(&self, first: usize, last: usize) -> &[u8] {
        let first = self.get(first);
        &first[..key::common(first, self.get(last)).min(MAX_PREFIX)]
    }

    /// The tree and its overflow, with the places of the buckets; `None` where they are too far apart.
    pub fn tree(&self, places: &[usize]) -> Option<(Vec<u8>, Vec<u8>)> {
        let levels = Levels::over(self.len());
        let (mut tree, mut overflow) = (Vec::with_capacity(levels.size()), Vec::new());
        let mut span = FAN_OUT;
        for level in 0..levels.depth {
            for node in 0..levels.nodes(level) {
                self.node(node * span, span / FAN_OUT, &mut tree, &mut overflow);
                if level == 0 {
                    let of_node = &places[node * FAN_OUT..places.len().min((node + 1) * FAN_OUT)];
                    let base = tree.len() - INNER;
                    let wide = of_node.iter().any(|place| place - of_node[0] > MAX_DISTANCE);
                    tree[base] |= u8::from(wide) << 7;
                    tree[base + 28..base + 32].copy_from_slice(&u32::try_from(of_node[0]).ok()?.to_le_bytes());
                    for slot in 0..FAN_OUT {
                        let distance = of_node.get(slot).map_or(0, |place| place - of_node[0]);
                        let distance = if wide { distance / WIDE } else { distance };
                        tree.extend_from_slice(&u16::try_from(distance).ok()?.to_le_bytes());
                    }
                }
            }
            span *= FAN_OUT;
        }
        Some((tree, overflow))
    }

    /// A node over the buckets from `first` on, `step` a child.
    fn node(&self, first: usize, step: usize, tree: &mut Vec<u8>, overflow: &mut Vec<u8>) {
        let children = (self.len() - first).div_ceil(step).min(FAN_OUT);
        let prefix = self.shared_by(first, first + (children - 1) * step);
        let mut header = [0; 32];
        header[0] = to_u8(prefix.len());
        header[1..=prefix.len()].copy_from_slice(prefix);
        let mut slices = [0xFF; SLICE * FAN_OUT];
        slices[..SLICE].fill(0);
        let (mut long, mut ends, mut octets) = (0u32, Vec::new(), Vec::new());
        for child in 1..children {
            let bucket = first + child * step;
            let separator = &self.get(bucket)[prefix.len()..=usize::from(self.shared[bucket])];
            let mut slice = [0; SLICE];
            let fits = separator.len().min(SLICE);
            slice[..fits].copy_from_slice(&separator[..fits]);
            slice.reverse(); // compared as a number
            slices[SLICE * child..SLICE * (child + 1)].copy_from_slice(&slice);
            if separator.len() > SLICE {
                long |= 1 << child;
                octets.extend_from_slice(&separator[SLICE..]);
                ends.extend_from_slice(&to_u16(octets.len()).to_le_bytes());
            }
        }
        if long != 0 {
            header[24..28].copy_from_slice(&(to_u32(overflow.len()) + 1).to_le_bytes());
            overflow.extend_from_slice(&long.to_le_bytes());
            overflow.append(&mut ends);
            overflow.append(&mut octets);
        }
        tree.extend_from_slice(&header);
        tree.extend_from_slice(&slices);
    }
}

/// The largest distance of a bucket from the first one of its node; beyond, all of them are padded to [`WIDE`].
pub(crate) const MAX_DISTANCE: usize = u16::MAX as usize;
/// Unit of distances in nodes whose buckets are too far apart, in octets.
pub(crate) const WIDE: usize = 8;

/// The prefix of a node.
pub(crate) fn prefix(node: &[u8]) -> &[u8] {
    &node[1..1 + usize::from(node[0] & 31).min(MAX_PREFIX)]
}

/// Where a bucket of a lowest node is.
#[inline(always)]
pub(crate) fn place(node: &[u8; LOWEST], child: usize) -> usize {
    let base = u32::from_le_bytes([node[28], node[29], node[30], node[31]]) as usize;
    let at = INNER + 2 * (child % FAN_OUT);
    let distance = usize::from(u16::from_le_bytes([node[at], node[at + 1]]));
    base + if node[0] & 0x80 == 0 { distance } else { distance * WIDE }
}

/// Where a node's overflow is, if it has any.
#[inline(always)]
pub(crate) fn overflow_at(node: &[u8]) -> Option<usize> {
    let place = node.get(24..28).and_then(|four| four.try_into().ok()).map_or(0, u32::from_le_bytes);
    (place as usize).checked_sub(1)
}

/// How a key compares with the prefix of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prefix {
    /// It starts with the prefix.
    Same { length: usize },
    /// It is below, with so many octets in common.
    Below { shared: usize },
    /// It is above the prefix, or above the first key of the child.
    Above { shared: usize },
}

impl Prefix {
    /// Octets that the key shares with the prefix.
    pub const fn shared(self) -> usize {
        match self {
            Self::Same { length: shared } | Self::Below { shared } | Self::Above { shared } => shared,
        }
    }
}

/// The child of a node that a key belongs to, and how the key compares with the node's prefix. `key` is padded with
/// zeros.
#[inline(always)]
pub(crate) fn child<L: Lanes>(
    lanes: L,
    node: &[u8; INNER],
    children: usize,
    overflow: &[u8],
    key: &[u8; PADDED],
) -> (usize, Prefix) {
    let length = usize::from(node[0] & 31).min(MAX_PREFIX);
    let prefix = &node[1..1 + MAX_PREFIX];
    let shared = common_23(prefix, key).min(length);
    if shared < length {
        if key[shared] < prefix[shared] {
            return (0, Prefix::Below { shared });
        }
        return (children - 1, Prefix::Above { shared });
    }
    let slice = u64::from_be_bytes(eight(&key[length..]));
    let slices: &[u8; 256] = node[32..].try_into().unwrap_or(&[0; 256]);
    let mut at_most = lanes.rank(slices, slice);
    let of_child = |child: usize| u64::from_le_bytes(eight(&slices[SLICE * (child % FAN_OUT)..]));
    if let Some(place) = overflow_at(node)
        && of_child(at_most.max(1) - 1) == slice
    {
        let below = (0..at_most).find(|&child| of_child(child) == slice).unwrap_or(at_most);
        at_most = settle(overflow.get(place..).unwrap_or(&[]), below, at_most, &key[length + SLICE..]);
    }
    let child = at_most.clamp(1, children) - 1;
    // Where the key leaves the child's separator before its end, it lies above all that begins with the separator, so
    // above the child's first key, and shares with that what it shares with the separator: no need to look at the key.
    let separator = of_child(child);
    let same = (separator ^ slice).leading_zeros() as usize / 8;
    if same < SLICE && (separator << (8 * same)) >> 56 != 0 {
        return (child, Prefix::Above { shared: length + same });
    }
    (child, Prefix::Same { length })
}

/// Of the children `below..at_most` with the key's own slice, count those whose whole separator is not above the key.
#[cold]
fn settle(overflow: &[u8], below: usize, at_most: usize, rest: &[u8]) -> usize {
    let Some((children, table)) = overflow.split_first_chunk::<4>() else { return at_most };
    let children = u32::from_le_bytes(*children);
    let octets = table.get(2 * children.count_ones() as usize..).unwrap_or(&[]);
    let of_slice = children & (!0 << below) & !(!0u32).checked_shl(to_u32(at_most)).unwrap_or(0);
    let end = |number: usize| match table.get(2 * number..) {
        Some(&[low, high, ..]) => usize::from(u16::from_le_bytes([low, high])),
        _ => 0,
    };
    let first = (children & !(!0 << below)).count_ones() as usize;
    let mut start = if first == 0 { 0 } else { end(first - 1) };
    let (mut left, mut number) = (of_slice, first);
    while left != 0 {
        let length = end(number).saturating_sub(start);
        if is_above(octets.get(start..).unwrap_or(&[]), length, rest) {
            return left.trailing_zeros() as usize;
        }
        start = end(number);
        number += 1;
        left &= left - 1;
    }
    at_most
}

/// Is a separator's rest, the first `length` of `octets`, above a key's? Eight octets decide for nearly all.
#[inline(always)]
fn is_above(octets: &[u8], length: usize, rest: &[u8]) -> bool {
    if let (Some(own), Some(theirs)) = (octets.first_chunk::<SLICE>(), rest.first_chunk::<SLICE>()) {
        let unused = 8 * to_u32(SLICE.saturating_sub(length));
        let start = |octets: &[u8; SLICE]| u64::from_be_bytes(*octets).checked_shr(unused).unwrap_or(0);
        let (own, theirs) = (start(own), start(theirs));
        if own != theirs || length <= SLICE {
            return own > theirs;
        }
    }
    let separator = octets.get(..length).unwrap_or(&[]);
    rest.get(..length).is_none_or(|rest| rest < separator)
}

/// Octets shared by the first 23 of two texts.
#[inline(always)]
fn common_23(one: &[u8], other: &[u8; PADDED]) -> usize {
    let word = |bytes: &[u8], at: usize| u64::from_le_bytes(eight(&bytes[at..]));
    // of the prefix there are 23 octets: the last word overlaps the one before
    for at in [0, 8, 15] {
        let different = word(one, at) ^ word(other, at);
        if different != 0 {
            return at + different.trailing_zeros() as usize / 8;
        }
    }
    MAX_PREFIX
}

#[inline(always)]
pub(crate) fn eight(bytes: &[u8]) -> [u8; 8] {
    bytes.get(..8).and_then(|eight| eight.try_into().ok()).unwrap_or_default()
}
