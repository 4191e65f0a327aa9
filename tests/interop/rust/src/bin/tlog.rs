//! `tlog LOG VKEY PROOF…`: reads a log's folder and proofs with the crates signed_note and tlog_tiles: the checkpoint's
//! signature, every leaf under its root by the tiles, the beginning of every size under the whole, each proof as it was
//! written. Prints how many leaves and proofs that were.

use std::{error::Error, fs};

use base64::prelude::{Engine, BASE64_STANDARD};
use signed_note::{Note, StandardVerifier, VerifierList};
use tlog_tiles::{check_record, check_tree, prove_record, prove_tree, record_hash, tree_hash, Checkpoint, Hash, Tile, TileHashReader, TileReader};

type Failure = Box<dyn Error>;

struct Folder(String);

impl Folder {
    /// The crate writes paths as Go's sumdb does, with the tile's height; c2sp.org/tlog-tiles leaves it out.
    fn read(&self, path: &str) -> Result<Vec<u8>, tlog_tiles::Error> {
        let place = format!("{}/{}", self.0, path.replacen("tile/8/", "tile/", 1));
        fs::read(&place).map_err(|error| tlog_tiles::Error::InvalidInput(format!("{place}: {error}")))
    }
}

impl TileReader for Folder {
    fn height(&self) -> u8 {
        8
    }
    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        tiles.iter().map(|tile| self.read(&tile.path())).collect()
    }
    fn save_tiles(&self, _: &[Tile], _: &[Vec<u8>]) {}
}

fn opened(note: &[u8], keys: &VerifierList) -> Result<Checkpoint, Failure> {
    let note = Note::from_bytes(note)?;
    note.verify(keys)?;
    Ok(Checkpoint::from_bytes(note.text()).map_err(|_| "not a checkpoint")?)
}

/// The leaves of all bundles: each has its length before it, in two octets.
fn leaves(log: &Folder, size: u64) -> Result<Vec<Vec<u8>>, Failure> {
    let mut found = Vec::new();
    for first in (0..size).step_by(256) {
        let mut tile = Tile::new(8, 0, first / 256, u32::try_from(256.min(size - first))?, false);
        tile.set_is_data();
        let data = log.read(&tile.path().replace("/data/", "/entries/"))?;
        let mut rest = data.as_slice();
        while let [high, low, after @ ..] = rest {
            let (leaf, more) = after.split_at(usize::from(u16::from_be_bytes([*high, *low])));
            found.push(leaf.to_vec());
            rest = more;
        }
    }
    Ok(found)
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [log, vkey, proofs @ ..] = arguments.as_slice() else { return Err("LOG VKEY PROOF…".into()) };
    let keys = VerifierList::new(vec![Box::new(StandardVerifier::new(vkey).map_err(|error| format!("{error:?}"))?)]);
    let log = Folder(log.clone());
    let head = opened(&fs::read(format!("{}/checkpoint", log.0))?, &keys)?;
    let tiles = TileHashReader::new(head.size(), *head.hash(), &log);
    let leaves = leaves(&log, head.size())?;
    if leaves.len() as u64 != head.size() {
        return Err(format!("{} leaves, {} are signed", leaves.len(), head.size()).into());
    }
    for (index, leaf) in (0u64..).zip(&leaves) {
        check_record(&prove_record(head.size(), index, &tiles)?, head.size(), *head.hash(), index, record_hash(leaf))?;
        let before = tree_hash(index + 1, &tiles)?;
        check_tree(&prove_tree(head.size(), index + 1, &tiles)?, head.size(), *head.hash(), index + 1, before)?;
    }
    for proof in proofs {
        let text = fs::read_to_string(proof)?;
        let (lines, note) = text.split_once("\n\n").ok_or("no empty line")?;
        let head = opened(note.as_bytes(), &keys)?;
        let mut lines = lines.lines().skip_while(|line| !line.starts_with("index "));
        let index: u64 = lines.next().ok_or("no index")?["index ".len()..].parse()?;
        let hash = |line: &str| -> Result<Hash, Failure> {
            Ok(Hash(BASE64_STANDARD.decode(line)?.try_into().map_err(|_| "not a hash")?))
        };
        let path = lines.map(hash).collect::<Result<Vec<_>, _>>()?;
        let leaf = leaves.get(usize::try_from(index)?).ok_or("no such leaf")?;
        check_record(&path, head.size(), *head.hash(), index, record_hash(leaf))?;
    }
    println!("{} leaves {} proofs", leaves.len(), proofs.len());
    Ok(())
}
