//! The step that brings gathered names onto a list.
//!
//! Enters: names, what each kind of them says, and the document that is in force. Leaves: the step ([`Steps`]): what is in
//! force already under the same name, match and basis stays as it is, a name that was withdrawn comes as a new entry and its
//! old line goes.
//!
//! References are drawn for what comes, in the order in which it was gathered; lines are made when they are written, one after
//! the other. A million names take 30 MB more than they did.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::beside::beside;
use super::change::{Fields, fields};
use super::compile::references;
use super::drawn::{Drawn, Kind};
use super::entry::{Reference, decode_reference};
use super::find::each_line;
use super::frames::Frames;
use super::gather::Names;
use super::key;
use super::steps::Steps;
use super::types::ListError;
use crate::narrow::to_u32;

/// Names that are to come onto a list.
#[derive(Debug)]
pub struct Wanted {
    names: Arc<Names>,
    kinds: Vec<Kind>,
    /// Rows in the order of their keys.
    order: Arc<Vec<u32>>,
    /// By row: it comes.
    comes: Vec<bool>,
    gone: Vec<Vec<u8>>,
}

impl Wanted {
    /// All of them but those that are wanted twice: of these the first.
    ///
    /// # Errors
    /// A thread failed.
    pub fn new(names: Arc<Names>, kinds: Vec<Kind>) -> Result<Self, ListError> {
        let order = Arc::new(sorted(&names)?);
        let mut wanted = Self { comes: vec![true; names.len()], names, kinds, order, gone: Vec::new() };
        let mut at = 0;
        while at < wanted.order.len() {
            wanted.names.ask_for(&wanted.order, at);
            let group = wanted.group(at);
            for later in at + 1..group {
                let twice = |&earlier: &u32| wanted.bond(earlier) == wanted.bond(wanted.order[later]);
                if wanted.order[at..later].iter().any(twice) {
                    wanted.comes[wanted.order[later] as usize] = false;
                }
            }
            at = group;
        }
        Ok(wanted)
    }

    /// Meet the document of a list, of at most `size` octets, of which `withdrawn` is not in force. `replace`: what is not
    /// wanted goes; else no frame is looked at that holds none of the names.
    ///
    /// # Errors
    /// The document cannot be read, or a line is none.
    pub fn meet(&mut self, document: &Path, size: u64, withdrawn: &[String], replace: bool) -> Result<(), ListError> {
        let withdrawn = references(withdrawn)?;
        let mut frames = Frames::open(document, size)?;
        let (mut at, mut key) = (0, Vec::new());
        let names = Arc::clone(&self.names);
        let order = Arc::clone(&self.order);
        let holds = |first: &[u8], next: Option<&[u8]>| {
            let key = |row: u32| names.key(row as usize);
            let from = order.partition_point(|&row| key(row) < first);
            replace || order.get(from).is_some_and(|&row| next.is_none_or(|next| key(row) <= next))
        };
        each_line(&mut frames, holds, |_| true, |line| self.meet_line(line, &mut at, &mut key, &withdrawn, replace))
    }

    fn meet_line(
        &mut self,
        line: &[u8],
        at: &mut usize,
        key: &mut Vec<u8>,
        withdrawn: &HashSet<Reference>,
        replace: bool,
    ) -> Result<(), ListError> {
        let Fields { basis, matching, name, reference } = fields(line)?;
        key.clear();
        key::from_name(name, key);
        while let Some(&row) = self.order.get(*at)
            && self.names.key(row as usize) < key.as_slice()
        {
            *at += 1;
        }
        let group = self.order[*at..].iter().take_while(|&&row| self.names.key(row as usize) == key.as_slice());
        let same = |&&row: &&u32| {
            let (one, other) = self.bond(row);
            self.comes[row as usize] && (one.as_bytes(), other.as_bytes()) == (matching, basis)
        };
        let found = group.copied().find(|row| same(&row));
        let off = !withdrawn.is_empty() && decode_reference(reference).is_some_and(|one| withdrawn.contains(&one));
        match found {
            Some(row) if !off => self.comes[row as usize] = false,
            None if !replace => {}
            _ => self.gone.push([line, b"\n"].concat()),
        }
        Ok(())
    }

    /// How many are left that come: ten random octets each make their references.
    #[must_use]
    pub fn len(&self) -> usize {
        self.comes.iter().filter(|&&comes| comes).count()
    }

    /// Whether none comes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The step, with references made of these octets; and the rows that are no entries, in the order in which they came.
    ///
    /// # Errors
    /// There are fewer octets than references.
    pub fn steps(self, octets: Vec<u8>) -> Result<(Steps, Vec<usize>), ListError> {
        let Self { names, kinds, order, comes, gone } = self;
        let mut order = Arc::unwrap_or_clone(order);
        let (mut ranks, mut rank, mut unfit) = (vec![u32::MAX; comes.len()], 0, Vec::new());
        for (row, _) in comes.iter().enumerate().filter(|(_, comes)| **comes) {
            if kinds.get(names.kind(row)).is_some_and(|kind| kind.form.is_some()) && names.is_sound(row) {
                ranks[row] = rank;
            } else {
                unfit.push(row);
            }
            rank += 1;
        }
        if octets.len() < 10 * rank as usize {
            return Err(ListError::new("reference", "too few random octets"));
        }
        order.retain(|&row| ranks[row as usize] != u32::MAX);
        order.shrink_to_fit();
        Ok((Steps::drawn(gone, Drawn::new(names, kinds, order, ranks, octets)), unfit))
    }

    /// Where the rows end that have the name of the one at this place of the order.
    fn group(&self, at: usize) -> usize {
        let key = |at: usize| self.names.key(self.order[at] as usize);
        let same = (at + 1..self.order.len()).take_while(|&next| key(next) == key(at)).count();
        at + 1 + same
    }

    /// Match and basis.
    fn bond(&self, row: u32) -> (&str, &str) {
        let kind = &self.kinds[self.names.kind(row as usize)];
        (&kind.matching, &kind.basis)
    }
}

/// Rows in the order of their keys; those of one name in the order in which they came.
fn sorted(names: &Names) -> Result<Vec<u32>, ListError> {
    // by their last label first, so that what is compared at once is not `com` a million times
    let mut tops: BTreeMap<&[u8], Vec<u32>> = BTreeMap::new();
    for row in 0..names.len() {
        let key = names.key(row);
        let top = key.split(|&byte| byte == key::SEPARATOR).next().unwrap_or_default();
        tops.entry(top).or_default().push(to_u32(row));
    }
    // a label by each of two threads, the most frequent ones first
    let mut labels: Vec<(&[u8], &mut Vec<u32>)> = tops.iter_mut().map(|(&top, rows)| (top, rows)).collect();
    labels.sort_by_key(|(_, rows)| rows.len());
    let labels = Mutex::new(labels);
    let work = || {
        let next = || labels.lock().unwrap_or_else(PoisonError::into_inner).pop();
        while let Some((top, rows)) = next() {
            sort(names, top.len() + 1, rows);
        }
    };
    let ((), other) = beside("sort", work, work);
    other?;
    let mut order = Vec::with_capacity(names.len());
    tops.into_values().for_each(|rows| order.extend(rows));
    Ok(order)
}

/// Put rows in the order of what their keys have from this octet on.
fn sort(names: &Names, from: usize, rows: &mut [u32]) {
    let rest = |row: u32| names.key(row as usize).get(from..).unwrap_or_default();
    let mut keyed: Vec<([u64; 2], u32)> = rows.iter().map(|&row| (beginning(rest(row)), row)).collect();
    keyed.sort_unstable_by(|&(one, row), &(other, second)| {
        let whole = || rest(row).cmp(rest(second)).then(row.cmp(&second));
        match one.cmp(&other) {
            Ordering::Equal => whole(),
            order => order,
        }
    });
    for (row, (_, sorted)) in rows.iter_mut().zip(keyed) {
        *row = sorted;
    }
}

/// The first sixteen octets, as two numbers of their order.
fn beginning(key: &[u8]) -> [u64; 2] {
    let mut octets = [[0; 8]; 2];
    let length = key.len().min(16);
    octets.as_flattened_mut()[..length].copy_from_slice(&key[..length]);
    octets.map(u64::from_be_bytes)
}
