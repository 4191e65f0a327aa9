#!/usr/bin/env bash
# One repository with a list of its own and three publishers' lists by delegation, of whom one is late.
#
# Guess: a client that reads another list does not notice. The specification searches the delegations for the target that is asked for
#        (5.6.7), and looks at no role that cannot have it.
# Seen:  python-tuf 7.0.1 does so. tough 0.24.0 (Rust) loads every delegated role before anything is read:
#        - a publisher's role that has expired ends it for all lists, the repository's own too ("targets metadata is expired");
#        - a role that is delegated but not yet in the snapshot makes the others' lists vanish, without an error: read_target says None
#          for each delegated target, whether its role stands before the late one or after it. The repository's own list is read.
# For DNS blocking: where a board delegates to several authorities in one repository, such clients get no list at all once one of them
#        forgets to sign again; and when a new one is named before it has signed, the lists of all others look withdrawn. Give each
#        authority a repository of its own, or add a delegation together with the role's first version.
# Date:  2026-11-29. Needs Python 3.10 or later with venv and pip, and cargo with a C compiler (some minutes).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check tuf==7.0.1 securesystemslib==1.6.0 cryptography==50.0.2 urllib3==2.8.0
cargo init --quiet --vcs none --name seen .
printf '%s\n' 'futures = "=0.3.34"' 'tokio = { version = "=1.54.1", features = ["rt", "macros"] }' \
  'tough = { version = "=0.24.0", features = ["http"] }' 'url = "=2.5.8"' '[profile.dev]' 'debug = 0' >>Cargo.toml
cat >src/main.rs <<'RUST'
//! ROOT URL NAME: reads this target; says how it ended.
use futures::TryStreamExt;
use tough::{RepositoryLoader, TargetName};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    println!("{}", read().await.unwrap_or_else(|error| error.to_string()));
}

async fn read() -> Result<String, Box<dyn std::error::Error>> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let base = |part: &str| url::Url::parse(&format!("{}{part}/", given[1]));
    let root = std::fs::read(&given[0])?;
    let repository = RepositoryLoader::new(&root, base("metadata")?, base("targets")?).load().await?;
    let Some(stream) = repository.read_target(&TargetName::new(&given[2])?).await? else {
        return Ok("no such target".into());
    };
    Ok(stream.try_for_each(|_| async { Ok(()) }).await.map(|()| "verified".into())?)
}
RUST
CARGO_TARGET_DIR=$folder/target nice -n 15 cargo build --quiet
NO_PROXY=127.0.0.1 no_proxy=127.0.0.1 env/bin/python - <<'PYTHON' || { echo "this has changed" >&2; exit 1; }
import hashlib, pathlib, subprocess, sys, tempfile, threading
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import DelegatedRole, Delegations, MetaFile, Metadata, Root, Snapshot, TargetFile, Targets, Timestamp
from tuf.ngclient import Updater

ROLES = ("first", "late", "third")
DATA = {name: f"site.{name}.example\n".encode() for name in ("own", *ROLES)}
now = datetime.now(timezone.utc).replace(microsecond=0)
ends, signer = now + timedelta(days=30), CryptoSigner.generate_ed25519()
key = signer.public_key


def repository(late_ends: datetime, in_snapshot: tuple) -> dict[str, bytes]:
    root, own, snapshot = Root(expires=ends), Targets(expires=ends), Snapshot(expires=ends)
    for role in ("root", "targets", "snapshot", "timestamp"):
        root.add_key(key, role)
    signed = {"1.root": root, "1.targets": own, "1.snapshot": snapshot, "timestamp": Timestamp(expires=ends)}
    own.targets["own"] = TargetFile.from_data("own", DATA["own"], ["sha256"])
    own.delegations = Delegations({key.keyid: key}, {role: DelegatedRole(role, [key.keyid], 1, True, [role]) for role in ROLES})
    for role in in_snapshot:
        signed[f"1.{role}"] = Targets(expires=late_ends if role == "late" else ends)
        signed[f"1.{role}"].targets[role] = TargetFile.from_data(role, DATA[role], ["sha256"])
        snapshot.meta[f"{role}.json"] = MetaFile(1)
    files = {f"/targets/{hashlib.sha256(data).hexdigest()}.{name}": data for name, data in DATA.items()}
    for name, one in signed.items():
        metadata = Metadata(one)
        metadata.sign(signer)
        files[f"/metadata/{name}.json"] = metadata.to_bytes()
    pathlib.Path("root.json").write_bytes(files["/metadata/1.root.json"])
    return files


class Server(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path in served else 404)
        self.end_headers()
        self.wfile.write(served.get(self.path, b""))

    def log_message(self, *_):
        pass


def python_tuf(name: str) -> str:
    with tempfile.TemporaryDirectory() as cache:
        updater = Updater(cache, f"{base}metadata/", cache, f"{base}targets/", bootstrap=pathlib.Path("root.json").read_bytes())
        try:
            updater.download_target(updater.get_targetinfo(name), f"{cache}/target")
            return "verified"
        except Exception as error:
            return str(error)


def tough(name: str) -> str:
    return subprocess.check_output(["target/debug/seen", "root.json", base, name], text=True, timeout=60).strip()


server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
base = f"http://127.0.0.1:{server.server_port}/"
OK, EXPIRED, NONE, MISSING = "verified", "targets metadata is expired", "no such target", "Role late was delegated but is not part of snapshot"
same = True
for what, served, seen in (  # what each says of own, first, late, third
    ("all have signed", repository(ends, ROLES), ([OK] * 4, [OK] * 4)),
    ("late has expired", repository(now - timedelta(days=1), ROLES), ([OK, OK, "New late is expired", OK], [EXPIRED] * 4)),
    ("late is not in the snapshot", repository(ends, ("first", "third")), ([OK, OK, MISSING, OK], [OK, NONE, NONE, NONE])),
):
    found = tuple([client(name) for name in DATA] for client in (python_tuf, tough))
    for client, said in zip(("python-tuf 7.0.1", "tough 0.24.0"), found):
        print(f"{what}; {client}: " + "; ".join(f"{name}: {one}" for name, one in zip(DATA, said)))
    same &= found == seen
sys.exit(not same)
PYTHON
