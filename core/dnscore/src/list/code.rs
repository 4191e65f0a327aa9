//! Codes for tokens: Huffman codes of at most [`MAX_BITS`] bits, and the text of each token beside its code.
//!
//! Enters: tokens and how often each is used. Leaves: bits for a text, ended at a whole octet; the text for bits.
//!
//! Codes are canonical: in the order of their lengths, so that lengths and texts are all that a file holds. The last
//! code, all ones, is no token: what fills an octet are ones, so that filling never decodes as a token.

use super::alphabet;
use super::train::{MAX_TOKEN, MAX_TOKENS, Tokens};
use super::tree::{PADDED, eight};
use crate::narrow::{to_u8, to_u16, to_u32};

/// Bits of the longest code.
pub(crate) const MAX_BITS: u32 = 12;

/// The lengths of the codes for symbols used so often; no code is longer than [`MAX_BITS`]. At least two symbols.
pub(crate) fn lengths(counts: &[u32]) -> Vec<u32> {
    let mut order: Vec<usize> = (0..counts.len()).collect();
    order.sort_by_key(|&symbol| counts[symbol]);
    // package-merge (Larmore and Hirschberg, 1990): of MAX_BITS coins for each symbol the cheapest 2n-2 pair up
    let leaves: Vec<u64> = order.iter().map(|&symbol| u64::from(counts[symbol].max(1))).collect();
    let mut level = leaves.clone();
    let mut levels = vec![level.clone()];
    for _ in 1..MAX_BITS {
        let packages: Vec<u64> = level.chunks_exact(2).map(|pair| pair[0] + pair[1]).collect();
        let (mut from_leaves, mut from_packages) = (leaves.iter().peekable(), packages.iter().peekable());
        level = Vec::with_capacity(leaves.len() + packages.len());
        loop {
            match (from_leaves.peek(), from_packages.peek()) {
                (Some(&&leaf), Some(&&package)) if leaf <= package => level.extend(from_leaves.next()),
                (_, Some(_)) => level.extend(from_packages.next()),
                (Some(_), None) => level.extend(from_leaves.next()),
                (None, None) => break,
            }
        }
        levels.push(level.clone());
    }
    // walk back: of the coins chosen on a level, those that are packages choose twice as many on the level below
    let mut lengths = vec![0; counts.len()];
    let mut chosen = 2 * counts.len() - 2;
    for depth in (0..levels.len()).rev() {
        let packages: Vec<u64> = match depth {
            0 => Vec::new(),
            _ => levels[depth - 1].chunks_exact(2).map(|pair| pair[0] + pair[1]).collect(),
        };
        let (mut leaf, mut package) = (0, 0);
        for _ in 0..chosen {
            if package >= packages.len() || leaf < leaves.len() && leaves[leaf] <= packages[package] {
                lengths[order[leaf]] += 1;
                leaf += 1;
            } else {
                package += 1;
            }
        }
        chosen = 2 * package;
    }
    lengths
}

/// Spells texts in bits.
pub(crate) struct Coder {
    tokens: Tokens,
    codes: Vec<(u16, u32)>,
    parse: Vec<u16>,
}

impl Coder {
    /// A coder for these tokens, and the section that a decoder reads.
    pub fn new(tokens: Tokens, used: &[u32]) -> (Self, Vec<u8>) {
        let mut counts = used.to_vec();
        counts.push(0); // the code that is no token: the rarest, so among the longest
        let lengths = lengths(&counts);
        // canonical order, the code that is no token last of all
        let mut order: Vec<usize> = (0..tokens.texts.len()).collect();
        order.sort_by_key(|&token| lengths[token]);
        let mut codes = vec![(0, 0); tokens.texts.len()];
        let mut section = to_u32(order.len()).to_le_bytes().to_vec();
        let (mut code, mut last) = (0u32, 0);
        for &token in &order {
            code <<= lengths[token] - last;
            last = lengths[token];
            codes[token] = (to_u16(code as usize), last);
            code += 1;
            section.push(to_u8((last as usize) << 4) | to_u8(tokens.texts[token].len()));
            section.extend_from_slice(&tokens.texts[token]);
        }
        let costs = codes.iter().map(|&(_, bits)| bits).collect();
        let tokens = Tokens::new(tokens.texts, costs);
        (Self { tokens, codes, parse: Vec::new() }, section)
    }

    /// Append the bits of `text`; how many octets.
    pub fn encode(&mut self, text: &[u8], out: &mut Vec<u8>) -> usize {
        let before = out.len();
        let mut parse = std::mem::take(&mut self.parse);
        self.tokens.parse(text, u16::MAX, &mut parse);
        let (mut pending, mut bits) = (0u64, 0);
        for &token in &parse {
            let (code, length) = self.codes[usize::from(token)];
            pending = pending << length | u64::from(code);
            bits += length;
            while bits >= 8 {
                bits -= 8;
                out.push((pending >> bits & 0xff) as u8);
            }
        }
        if bits > 0 {
            out.push((pending << (8 - bits) & 0xff) as u8 | 0xFF >> bits);
        }
        self.parse = parse;
        out.len() - before
    }
}

/// Spells bits in texts.
pub(crate) struct Decoder {
    /// By the next [`MAX_BITS`] bits: bits of the code (lowest four), octets of its text (next four), then the text. One
    /// read a token, from a table that stays in the first-level cache beside the packets.
    table: Box<[u64; 1 << MAX_BITS]>,
    count: usize,
}

/// Octets that a decoder may write beyond the text's end, and read beyond the bits' end.
pub(crate) const SLACK: usize = 16;

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Decoder({} tokens)", self.count)
    }
}

impl Decoder {
    /// A decoder of what [`Coder::new`] described; `None` if it is not a code with "no token" at its end.
    pub fn read(section: &[u8]) -> Option<Self> {
        let (count, mut rest) = section.split_at_checked(4)?;
        let count = u32::from_le_bytes(count.try_into().ok()?) as usize;
        if count > MAX_TOKENS {
            return None;
        }
        // what is no code is one of 15 bits, which no rest of an octet holds, with no text: it ends every loop
        let mut table = vec![15; 1 << MAX_BITS];
        let (mut code, mut last) = (0usize, 0);
        for _ in 0..count {
            let (&lengths, after) = rest.split_first()?;
            let (bits, octets) = (u32::from(lengths >> 4), usize::from(lengths & 15));
            let (text, after) = after.split_at_checked(octets)?;
            rest = after;
            if bits < last || bits == 0 || bits > MAX_BITS || octets == 0 || octets > MAX_TOKEN {
                return None;
            }
            if text.iter().any(|&byte| alphabet::NUMBER[usize::from(byte)] == 0xFF) {
                return None;
            }
            code <<= bits - last;
            last = bits;
            let (start, width) = (code << (MAX_BITS - bits), 1 << (MAX_BITS - bits));
            // strictly inside: the codes of all ones stay free
            if start + width >= table.len() {
                return None;
            }
            let mut entry = [0; 8];
            entry[0] = to_u8(octets << 4) | to_u8(bits as usize);
            entry[1..=octets].copy_from_slice(text);
            table[start..start + width].fill(u64::from_le_bytes(entry));
            code += 1;
        }
        if !rest.is_empty() {
            return None;
        }
        Some(Self { table: table.into_boxed_slice().try_into().ok()?, count })
    }

    /// Octets that decoding touches.
    pub fn size(&self) -> usize {
        8 * self.table.len()
    }

    /// Compare the text that the bits of `area[start..end]` spell with `key` from its octet `from` on, token by token
    /// as they are decoded: as far as the two are the same, and no further. Behind the key are zeros, which no token
    /// holds; where `key` or `area` ends the text does.
    #[inline(always)]
    pub fn compare(&self, area: &[u8], start: usize, end: usize, key: &[u8; PADDED], from: usize) -> Met {
        let octets = end.saturating_sub(start);
        let mut place = from;
        if octets <= 8 {
            let mut window = u64::from_be_bytes(eight(area.get(start..).unwrap_or(&[])));
            let mut left = 8 * to_u32(octets);
            loop {
                let entry = self.table[(window >> (64 - MAX_BITS)) as usize];
                let bits = (entry & 15) as u32;
                if bits > left || place > PADDED - 8 {
                    return Met::Whole(place);
                }
                match differ(entry, key, place) {
                    Ok(same) => place = same,
                    Err(met) => return met,
                }
                left -= bits;
                window <<= bits;
            }
        }
        let (mut bit, last) = (8 * start, 8 * end);
        loop {
            let word = u64::from_be_bytes(eight(area.get(bit / 8..).unwrap_or(&[]))) << (bit % 8);
            let entry = self.table[(word >> (64 - MAX_BITS)) as usize];
            bit += (entry & 15) as usize;
            if bit > last || place > PADDED - 8 {
                return Met::Whole(place);
            }
            match differ(entry, key, place) {
                Ok(same) => place = same,
                Err(met) => return met,
            }
        }
    }

    /// Decode the bits of `area[start..end]` to `out[from..]`; where the text ends. Stops where `out` has less than
    /// [`SLACK`] octets left or `area` less than eight beyond the place being read: what was written by the builder
    /// never comes to either.
    #[inline(always)]
    pub fn decode(&self, area: &[u8], start: usize, end: usize, out: &mut [u8], from: usize) -> usize {
        let mut bit = 8 * start;
        let last = 8 * end;
        let mut place = from;
        while bit < last {
            let Some(eight) = area.get(bit / 8..bit / 8 + 8) else { break };
            let word = u64::from_be_bytes(eight.try_into().unwrap_or_default()) << (bit % 8);
            let entry = self.table[(word >> (64 - MAX_BITS)) as usize];
            bit += (entry & 15) as usize;
            if bit > last {
                break;
            }
            let Some(slot) = out.get_mut(place..place + 8) else { break };
            slot.copy_from_slice(&(entry >> 8).to_le_bytes());
            place += (entry >> 4 & 15) as usize;
        }
        place
    }
}

/// How a text and a key compare, with the octet of the key up to which they are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Met {
    /// The key goes on, or ends, where the text ends.
    Whole(usize),
    /// The key leaves the text for what is below it, or ends within it.
    Before(usize),
    /// The key leaves the text for what is above it.
    Beyond(usize),
}

/// Compare a table entry's token with the key at `place`: the place behind it, or how they differ.
#[inline(always)]
fn differ(entry: u64, key: &[u8; PADDED], place: usize) -> Result<usize, Met> {
    let octets = (entry >> 4 & 15) as usize;
    let (own, theirs) = (entry >> 8, u64::from_le_bytes(eight(&key[place..])));
    let different = (own ^ theirs) & ((1 << (8 * octets % 64)) - 1);
    if different == 0 {
        return Ok(place + octets);
    }
    let at = different.trailing_zeros() & !7;
    let shared = place + at as usize / 8;
    let before = (theirs >> at & 0xFF) < (own >> at & 0xFF);
    Err(if before { Met::Before(shared) } else { Met::Beyond(shared) })
}

/// A token, its length and that of its code fit an entry.
const _: () = assert!(MAX_TOKEN <= 7 && MAX_BITS <= 14 && MAX_TOKENS < 1 << MAX_BITS);

#[cfg(test)]
mod tests {
    use super::super::train::train;
    use super::*;

    #[test]
    fn lengths_make_a_whole_code() {
        for counts in [vec![1, 1], vec![0, 0, 0], vec![5, 1, 1, 100, 3], (0..4000).collect(), vec![1 << 30; 300]] {
            let lengths = lengths(&counts);
            let sum: u64 = lengths.iter().map(|&bits| 1u64 << (MAX_BITS - bits)).sum();
            assert_eq!(sum, 1 << MAX_BITS);
        }
        assert_eq!(lengths(&[8, 4, 2, 1, 1]), [1, 2, 3, 4, 4]);
    }

    #[test]
    fn what_was_encoded_is_decoded() {
        let names =
            ["", "example", "a-1_b\x01com", "casinocasino", "online-casino\x01www", "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"];
        let sample: Vec<&[u8]> = names.iter().cycle().take(600).map(|name| name.as_bytes()).collect();
        for sample in [&sample[..], &sample[..6], &[]] {
            let (tokens, used) = train(sample.iter().copied(), 1);
            let (mut coder, section) = Coder::new(tokens, &used);
            let decoder = Decoder::read(&section).expect("our own");
            for name in names {
                let mut bits = vec![0xAA; 3];
                let length = coder.encode(name.as_bytes(), &mut bits);
                bits.extend([0xFF; SLACK]);
                let mut text = [0; PADDED];
                let end = decoder.decode(&bits, 3, 3 + length, &mut text, 2);
                assert_eq!(&text[2..end], name.as_bytes());
                let mut key = [0; PADDED];
                key[5..5 + name.len()].copy_from_slice(name.as_bytes());
                let compare = |key: &[u8; PADDED]| decoder.compare(&bits, 3, 3 + length, key, 5);
                assert_eq!(compare(&key), Met::Whole(5 + name.len()));
                key[5 + name.len()] = b'a';
                assert_eq!(compare(&key), Met::Whole(5 + name.len()));
                for at in 0..name.len() {
                    let other = |octet: u8| {
                        let mut key = key;
                        key[5 + at] = octet;
                        compare(&key)
                    };
                    assert_eq!(other(0), Met::Before(5 + at), "{name} ends at {at}");
                    assert_eq!(other(name.as_bytes()[at] - 1), Met::Before(5 + at));
                    assert_eq!(other(name.as_bytes()[at] + 1), Met::Beyond(5 + at));
                }
            }
        }
    }
}
