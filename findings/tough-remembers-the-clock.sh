#!/usr/bin/env bash
# A host whose clock was wrong for one refresh of a signed list.
#
# Guess: TUF compares the time of day with what the metadata says, at each refresh. A clock that was fast for a while may refuse good
#        lists; once it is right again, the next refresh works. That holds for python-tuf 7.0.1.
# Seen:  tough 0.24.0 (Rust) keeps the latest time that it ever read in the folder of its metadata (latest_known_time.json), and refuses
#        everything ("System time stepped backward") until the clock has passed it: after an hour's error for an hour, after a year's for
#        a year. It keeps the time of a refresh that failed, too. The manual names metadata alone as that folder's content; the project
#        knows of it (tough issue 603).
# For DNS blocking: a box without a clock of its own that started once with a date ahead, or with its clock in local time, never takes
#        a list again, though clock, network and issuer are fine: blocks stay as they were and then expire. Remove that one file; the others
#        keep an old list from coming back. Let updates wait for the time (systemd: time-sync.target).
# Date:  2026-11-29. Needs apt (Debian 12), Python 3.10 or later with venv and pip, and cargo with a C compiler (some minutes). The clocks
#        are libfaketime's, for the clients alone.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get download --quiet=2 -o APT::Sandbox::User=root libfaketime=0.9.10-2.1
dpkg -x libfaketime_*.deb .
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check tuf==7.0.1 securesystemslib==1.6.0 cryptography==50.0.2 urllib3==2.8.0
cargo init --quiet --vcs none --name seen .
printf '%s\n' 'futures = "=0.3.34"' 'tokio = { version = "=1.54.1", features = ["rt", "macros"] }' \
  'tough = { version = "=0.24.0", features = ["http"] }' 'url = "=2.5.8"' '[profile.dev]' 'debug = 0' >>Cargo.toml
cat >src/main.rs <<'RUST'
//! URL FOLDER: refreshes the metadata in FOLDER and reads the list; says how it ended.
use futures::TryStreamExt;
use tough::{RepositoryLoader, TargetName};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    println!("{}", read().await.unwrap_or_else(|error| error.to_string()));
}

async fn read() -> Result<String, Box<dyn std::error::Error>> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let base = |part: &str| url::Url::parse(&format!("{}{part}/", given[0]));
    let root = std::fs::read("root.json")?;
    let loader = RepositoryLoader::new(&root, base("metadata")?, base("targets")?).datastore(&given[1]);
    let stream = loader.load().await?.read_target(&TargetName::new("list")?).await?.ok_or("no such target")?;
    Ok(stream.try_for_each(|_| async { Ok(()) }).await.map(|()| "verified".into())?)
}
RUST
CARGO_TARGET_DIR=$folder/target nice -n 15 cargo build --quiet
cat >client.py <<'PYTHON'
"""URL FOLDER: the same by python-tuf."""
import sys
from tuf.ngclient import Updater

base, folder = sys.argv[1:]
with open("root.json", "rb") as pinned:
    updater = Updater(folder, f"{base}metadata/", folder, f"{base}targets/", bootstrap=pinned.read())
try:
    updater.download_target(updater.get_targetinfo("list"), f"{folder}/list")
    print("verified")
except Exception as error:
    print(error)
PYTHON
NO_PROXY=127.0.0.1 no_proxy=127.0.0.1 env/bin/python - <<'PYTHON' || { echo "this has changed" >&2; exit 1; }
import glob, hashlib, os, pathlib, subprocess, sys, threading
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, Root, Snapshot, TargetFile, Targets, Timestamp

DATA = b"bet.example\n"
ends = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(days=30)
signer = CryptoSigner.generate_ed25519()
root, targets = Root(expires=ends, consistent_snapshot=True), Targets(expires=ends)
for role in ("root", "targets", "snapshot", "timestamp"):
    root.add_key(signer.public_key, role)
targets.targets["list"] = TargetFile.from_data("list", DATA, ["sha256"])
served = {f"/targets/{hashlib.sha256(DATA).hexdigest()}.list": DATA}
for file, signed in {"1.root": root, "1.targets": targets, "1.snapshot": Snapshot(expires=ends), "timestamp": Timestamp(expires=ends)}.items():
    metadata = Metadata(signed)
    metadata.sign(signer)
    served[f"/metadata/{file}.json"] = metadata.to_bytes()
pathlib.Path("root.json").write_bytes(served["/metadata/1.root.json"])


class Server(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path in served else 404)
        self.end_headers()
        self.wfile.write(served.get(self.path, b""))

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
base = f"http://127.0.0.1:{server.server_port}/"
fake = glob.glob(f"{os.getcwd()}/usr/lib/*/faketime/libfaketime.so.1")[0]
OK, BACK, ROOT = "verified", "System time stepped backward", "root metadata is expired"
same = True
for client, command, ended in (
    ("python-tuf 7.0.1", [sys.executable, "client.py"], ([OK] * 4, [OK, "Final root.json is expired", OK])),
    ("tough 0.24.0", ["target/debug/seen"], ([OK, OK, BACK, OK], [OK, ROOT, BACK])),
):
    for clocks, seen in zip((["+0", "+60m", "+0", "+61m"], ["+0", "+400d", "+0"]), ended):
        store = pathlib.Path(f"{client} {len(clocks)}")
        store.mkdir()
        found = []
        for clock in clocks:
            environment = os.environ | {"LD_PRELOAD": fake, "FAKETIME": clock}
            said = subprocess.check_output([*command, base, str(store)], env=environment, text=True, timeout=60)
            found.append(said.strip().split(":")[0])
            print(f"{client}, clock {clock}: {said.strip()}")
        same &= found == seen
(store / "latest_known_time.json").unlink()
said = subprocess.check_output([*command, base, str(store)], text=True, timeout=60).strip()
print(f"{client}, without latest_known_time.json: {said}")
sys.exit(not same or said != OK)
PYTHON
