#!/usr/bin/env bash
# A target of a consistent snapshot, with a folder in its name, read by two TUF clients.
#
# Guess: both fetch `list/head.json` from the same URL; the specification gives the file's name as HASH.FILENAME.EXT.
# Seen:  python-tuf 7.0.1 asks for `list/HASH.head.json`, tough 0.24.0 (Rust) for `HASH.list/head.json`, the slash as it is. Both
#        verify the same metadata before that; where only the other's file is there, each gets a 404 and ends with an error.
#        Both ask for `HASH.list-head.json` for a flat name.
# For DNS blocking: a block list over TUF needs flat target names, or every file at both places. Else clients of one kind refresh
#        well and miss the list: they block nothing, or what an old list said, until that one's time is over.
# Date:  2026-11-28. Needs Python 3.10 or later with pip, and cargo with a C compiler (some minutes).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check tuf==7.0.1 securesystemslib==1.6.0 cryptography==50.0.2 urllib3==2.8.0

mkdir -p rust/src
cat >rust/Cargo.toml <<'TOML'
[package]
name = "finding"
version = "0.0.0"
edition = "2021"

[dependencies]
futures = "=0.3.34"
tokio = { version = "=1.54.1", features = ["rt", "macros"] }
tough = { version = "=0.24.0", features = ["http"] }
url = "=2.5.8"

[profile.dev]
debug = 0

[workspace]
TOML
cat >rust/src/main.rs <<'RUST'
//! ROOT URL NAME: reads this target; exit 1 with the reason where there is none.
use futures::TryStreamExt;
use tough::{RepositoryLoader, TargetName};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    if let Err(error) = read().await {
        let mut why: Option<&dyn std::error::Error> = Some(&*error);
        while let Some(error) = why {
            eprint!("{error}; ");
            why = error.source();
        }
        std::process::exit(1);
    }
}

async fn read() -> Result<(), Box<dyn std::error::Error>> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let base = |part: &str| url::Url::parse(&format!("{}{part}/", given[1]));
    let root = std::fs::read(&given[0])?;
    let repository = RepositoryLoader::new(&root, base("metadata")?, base("targets")?).load().await?;
    let stream = repository.read_target(&TargetName::new(&given[2])?).await?.ok_or("not a target")?;
    stream.try_for_each(|_| async { Ok(()) }).await?;
    Ok(())
}
RUST
CARGO_TARGET_DIR=$folder/target nice -n 15 cargo build --quiet --manifest-path rust/Cargo.toml

cat >python_tuf.py <<'PYTHON'
"""ROOT URL NAME: reads this target; exit 1 with the reason where there is none."""
import sys, tempfile
from tuf.ngclient import Updater

root, base, name = sys.argv[1:]
with tempfile.TemporaryDirectory() as folder, open(root, "rb") as pinned:
    updater = Updater(folder, f"{base}metadata/", folder, f"{base}targets/", bootstrap=pinned.read())
    target = updater.get_targetinfo(name)
    updater.download_target(target, f"{folder}/target")
PYTHON

NO_PROXY=127.0.0.1 no_proxy=127.0.0.1 env/bin/python - <<'PYTHON'
import subprocess, sys, threading
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, Root, Snapshot, TargetFile, Targets, Timestamp

FLAT, NESTED, DATA = "list-head.json", "list/head.json", b'{"version": 1}\n'
ends = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(days=1)
signer = CryptoSigner.generate_ed25519()  # its key id: the SHA-256 of the key in canonical JSON
root, targets = Root(expires=ends, consistent_snapshot=True), Targets(expires=ends)
for role in ("root", "targets", "snapshot", "timestamp"):
    root.add_key(signer.public_key, role)
for name in (FLAT, NESTED):
    targets.targets[name] = TargetFile.from_data(name, DATA, ["sha256"])
digest = targets.targets[FLAT].hashes["sha256"]
served = {}
for file, signed in {"1.root": root, "1.targets": targets, "1.snapshot": Snapshot(expires=ends),
                     "timestamp": Timestamp(expires=ends)}.items():
    metadata = Metadata(signed)
    metadata.sign(signer)
    served[f"/metadata/{file}.json"] = metadata.to_bytes()
with open("root.json", "wb") as file:
    file.write(served["/metadata/1.root.json"])

asked = []

class Server(BaseHTTPRequestHandler):
    def do_GET(self):
        data = served.get(self.path)
        if self.path.startswith("/targets/"):
            asked.append(self.path.removeprefix("/targets/").replace(digest, "HASH"))
        self.send_response(200 if data is not None else 404)
        self.send_header("Content-Length", str(len(data or b"")))
        self.end_headers()
        self.wfile.write(data or b"")

    def log_message(self, *_):
        pass

server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
base = f"http://127.0.0.1:{server.server_port}/"
CLIENTS = {"python-tuf 7.0.1": [sys.executable, "python_tuf.py"], "tough 0.24.0": ["target/debug/finding"]}
SEEN = {  # target, where its file is, client: what it asks for, whether it gets it
    (FLAT, "HASH.list-head.json", "python-tuf 7.0.1"): ("HASH.list-head.json", True),
    (FLAT, "HASH.list-head.json", "tough 0.24.0"): ("HASH.list-head.json", True),
    (NESTED, "list/HASH.head.json", "python-tuf 7.0.1"): ("list/HASH.head.json", True),
    (NESTED, "list/HASH.head.json", "tough 0.24.0"): ("HASH.list/head.json", False),
    (NESTED, "HASH.list/head.json", "python-tuf 7.0.1"): ("list/HASH.head.json", False),
    (NESTED, "HASH.list/head.json", "tough 0.24.0"): ("HASH.list/head.json", True),
}
changed = 0
for (name, place, client), seen in SEEN.items():
    asked.clear()
    path = "/targets/" + place.replace("HASH", digest)
    served[path] = DATA
    done = subprocess.run([*CLIENTS[client], "root.json", base, name], capture_output=True, text=True, timeout=60)
    del served[path]
    now = (" ".join(asked), done.returncode == 0)
    why = "" if now[1] else ": " + (done.stderr.strip().splitlines() or ["-"])[-1].replace(digest, "HASH").replace(base, "/")
    print(f"{name} at {place}: {client} asks for {now[0] or 'nothing'}, {'verified' if now[1] else 'fails'}{why}")
    changed |= now != seen
server.shutdown()
sys.exit(changed)
PYTHON
