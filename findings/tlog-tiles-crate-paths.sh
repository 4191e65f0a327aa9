#!/usr/bin/env bash
# The Rust crate tlog_tiles names a log's files otherwise than the specification that it implements.
#
# Software:  tlog_tiles 0.2.0 (crates.io), "a Rust implementation of the C2SP tlog-tiles [...] specifications"
# Guess:     `Tile::path` gives the file of a tile as c2sp.org/tlog-tiles has it: tile/0/000, tile/entries/000.p/7.
# Behaviour: it gives the paths of Go's sumdb, from which the crate was ported: the height stands in them, and bundles of
#            leaves are called data: tile/8/0/000, tile/8/data/000.p/7. Hashes, proofs and checkpoints are the same.
# Seen:      2026-11-28
# For DNS blocking: who audits a provider's published log with this crate finds no file at these addresses and may take
#            an honest log for an empty one. Leave the height out, and read entries for data, before asking.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cargo init --quiet --vcs none --name seen .
cargo add --quiet tlog_tiles@=0.2.0
cat > src/main.rs <<'RUST'
fn main() {
    let mut bundle = tlog_tiles::Tile::new(8, 0, 0, 7, false);
    bundle.set_is_data();
    println!("{} {}", tlog_tiles::Tile::new(8, 0, 0, 256, false).path(), bundle.path());
}
RUST
seen=$(cargo run --quiet)
echo "tlog_tiles 0.2.0: $seen"
echo "c2sp.org/tlog-tiles: tile/0/000 tile/entries/000.p/7"
[ "$seen" = "tile/8/0/000 tile/8/data/000.p/7" ] || { echo "this has changed" >&2; exit 1; }
