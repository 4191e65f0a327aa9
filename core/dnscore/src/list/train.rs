//! The choice of tokens: strings of a list's own names for which one code each saves most.
//!
//! Enters: a sample of suffixes. Leaves: up to [`MAX_TOKENS`] strings and how often each is used in the cheapest parse.
//!
//! Rounds of: parse the sample with the tokens there are, each at the cost of its code; count tokens and neighbours;
//! keep the strings that save most, among the tokens and the joined neighbours. A token saves what the next best
//! spelling of its string would cost more. The last rounds only drop and count, so that what is kept is in use.

use std::collections::{HashMap, HashSet};

use super::alphabet;
use crate::narrow::to_u16;

/// Tokens at most, beside the one that means "no more".
pub(crate) const MAX_TOKENS: usize = 2048;
/// Octets of the longest token.
pub(crate) const MAX_TOKEN: usize = 7;

const GROWING: usize = 7;
const SETTLING: usize = 2;
/// Costs are counted in 256ths of a bit.
const BIT: f32 = 256.0;
const NONE: u16 = 0xFFFF;

/// The tokens of a list as they are used for parsing.
pub(crate) struct Tokens {
    pub texts: Vec<Vec<u8>>,
    pub costs: Vec<u32>,
    nodes: Vec<Node>,
    best: Vec<u32>,
    from: Vec<u16>,
}

/// Where a text that tokens begin with leads.
#[derive(Clone, Copy)]
struct Node {
    children: [u16; alphabet::SIZE],
    /// Token that ends here.
    token: u16,
}

const NOTHING: Node = Node { children: [NONE; alphabet::SIZE], token: NONE };

impl Tokens {
    pub fn new(texts: Vec<Vec<u8>>, costs: Vec<u32>) -> Self {
        let mut tokens = Self { texts: Vec::new(), costs, nodes: vec![NOTHING], best: Vec::new(), from: Vec::new() };
        for (token, text) in texts.iter().enumerate() {
            let mut node = 0;
            for &byte in text {
                let number = usize::from(alphabet::NUMBER[usize::from(byte)]);
                if tokens.nodes[node].children[number] == NONE {
                    tokens.nodes[node].children[number] = to_u16(tokens.nodes.len());
                    tokens.nodes.push(NOTHING);
                }
                node = usize::from(tokens.nodes[node].children[number]);
            }
            tokens.nodes[node].token = to_u16(token);
        }
        tokens.texts = texts;
        tokens
    }

    /// The cheapest way to spell `text`, token by token into `parse`; without `barred` if there is another way.
    pub fn parse(&mut self, text: &[u8], barred: u16, parse: &mut Vec<u16>) -> u32 {
        let end = text.len();
        self.best.clear();
        self.best.resize(end + 1, u32::MAX);
        self.from.resize(self.from.len().max(end + 1), 0);
        self.best[0] = 0;
        for start in 0..end {
            let so_far = self.best[start];
            let mut node = &self.nodes[0];
            for (length, &byte) in (1..).zip(&text[start..]) {
                let next = node.children[usize::from(alphabet::NUMBER[usize::from(byte)])];
                if next == NONE {
                    break;
                }
                node = &self.nodes[usize::from(next)];
                let token = node.token;
                if token != NONE && token != barred {
                    let cost = so_far + self.costs[usize::from(token)];
                    let place: usize = start + length;
                    if cost < self.best[place] {
                        self.best[place] = cost;
                        self.from[place] = token;
                    }
                }
            }
        }
        parse.clear();
        let mut place = end;
        while place > 0 {
            let token = self.from[place];
            parse.push(token);
            place -= self.texts[usize::from(token)].len();
        }
        parse.reverse();
        self.best[end]
    }
}

/// Choose tokens for texts of which `sample` is one part in `share`.
pub(crate) fn train<'a>(sample: impl Iterator<Item = &'a [u8]> + Clone, share: usize) -> (Tokens, Vec<u32>) {
    let mut counts = vec![1u32; alphabet::SIZE];
    sample.clone().flatten().for_each(|&byte| counts[usize::from(alphabet::NUMBER[usize::from(byte)])] += 1);
    let texts = alphabet::BYTE.iter().map(|&byte| vec![byte]).collect();
    let mut tokens = Tokens::new(texts, costs(&counts));
    let mut parse = Vec::new();
    // what a token costs in the file, seen from the sample
    let entry = 8.0 * 8.0 * BIT / share as f32;
    for round in 0..GROWING + SETTLING {
        let mut used = vec![0u32; tokens.texts.len()];
        let mut pairs: HashMap<u32, u32, BuildMix> = HashMap::default();
        let grows = round < GROWING;
        for text in sample.clone() {
            tokens.parse(text, NONE, &mut parse);
            parse.iter().for_each(|&token| used[usize::from(token)] += 1);
            if grows {
                for pair in parse.windows(2) {
                    *pairs.entry(u32::from(pair[0]) << 16 | u32::from(pair[1])).or_default() += 1;
                }
            }
        }
        let total = used.iter().sum::<u32>().max(1) as f32;
        let own_cost = |count: u32| (total / count as f32).log2() * BIT;
        let mut scored: Vec<(f32, Vec<u8>, u32)> = Vec::new();
        for (token, &count) in used.iter().enumerate().skip(alphabet::SIZE).filter(|&(_, &count)| count > 1) {
            let text = tokens.texts[token].clone();
            let other = tokens.parse(&text, to_u16(token), &mut parse) as f32;
            scored.push((count as f32 * (other - own_cost(count)), text, count));
        }
        for (&pair, &count) in &pairs {
            let (left, right) = ((pair >> 16) as usize, (pair & 0xFFFF) as usize);
            if count > 1 && tokens.texts[left].len() + tokens.texts[right].len() <= MAX_TOKEN {
                let apart = (tokens.costs[left] + tokens.costs[right]) as f32;
                let saved = count as f32 * (apart - own_cost(count));
                if saved > entry {
                    scored.push((saved, [tokens.texts[left].as_slice(), &tokens.texts[right]].concat(), count));
                }
            }
        }
        scored.retain(|(saved, ..)| *saved > entry);
        scored.sort_unstable_by(|one, other| other.0.total_cmp(&one.0).then_with(|| one.1.cmp(&other.1)));
        let mut texts: Vec<Vec<u8>> = alphabet::BYTE.iter().map(|&byte| vec![byte]).collect();
        let mut counts: Vec<u32> = used[..alphabet::SIZE].iter().map(|&count| count.max(1)).collect();
        let mut taken = HashSet::new();
        for (_, text, count) in scored {
            if texts.len() == MAX_TOKENS {
                break;
            }
            if taken.insert(text.clone()) {
                texts.push(text);
                counts.push(count);
            }
        }
        tokens = Tokens::new(texts, costs(&counts));
    }
    let mut used = vec![0u32; tokens.texts.len()];
    for text in sample {
        tokens.parse(text, NONE, &mut parse);
        parse.iter().for_each(|&token| used[usize::from(token)] += 1);
    }
    (tokens, used)
}

#[allow(clippy::cast_possible_truncation)] // a fraction of an eighth of a bit is of no account
fn costs(counts: &[u32]) -> Vec<u32> {
    let total = counts.iter().map(|&count| count.max(1)).sum::<u32>() as f32;
    counts.iter().map(|&count| ((total / count.max(1) as f32).log2() * BIT) as u32).collect()
}

/// Mixing that is enough for keys of our own making.
#[derive(Clone, Copy, Default)]
struct Mix(u64);

type BuildMix = std::hash::BuildHasherDefault<Mix>;

impl std::hash::Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u32(u32::from(byte)));
    }

    fn write_u32(&mut self, number: u32) {
        let mixed = (self.0 ^ u64::from(number)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = mixed ^ mixed >> 32;
    }
}
