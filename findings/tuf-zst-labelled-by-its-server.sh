#!/usr/bin/env bash
# A signed list in zstd, which a web server labels with what it is: "Content-Encoding: zstd".
#
# Guess: a TUF client compares length and hash with the file's octets as they came, whatever the label says: python-tuf asks with
#        "Accept-Encoding: identity". Or the label matters, and then it does so always.
# Seen:  python-tuf 7.0.1 takes the list, labelled or not, until the package backports.zstd is there too. Then it decodes what is
#        labelled, and refuses it as too long. It is urllib3 2.8.0 that decodes wherever it finds a decoder, and Python 3.14 brings one.
#        A list in gzip with its label is refused in any case (known: python-tuf issue 2047).
# For DNS blocking: one provider of several stops taking new lists on the day when it updates Python, or installs something that needs
#        zstd: nothing changed at the issuer, and the files are good. What is published goes out without Content-Encoding: look with curl -I.
# Date:  2026-11-29. Needs Python 3.10 to 3.13 with venv and pip.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' || { echo "needs Python 3.10 to 3.13" >&2; exit 2; }
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check tuf==7.0.1 securesystemslib==1.6.0 cryptography==50.0.2 urllib3==2.8.0 zstandard==0.25.0
cat >client.py <<'PYTHON'
"""URL NAME: reads this target; says how it ended."""
import sys, tempfile
from tuf.ngclient import Updater

base, name = sys.argv[1:]
with tempfile.TemporaryDirectory() as folder, open("root.json", "rb") as pinned:
    updater = Updater(folder, f"{base}metadata/", folder, f"{base}targets/", bootstrap=pinned.read())
    try:
        updater.download_target(updater.get_targetinfo(name), f"{folder}/target")
        print("verified")
    except Exception as error:
        print(type(error).__name__)
PYTHON
cat >seen.py <<'PYTHON'
import gzip, subprocess, sys, threading
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import zstandard
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, Root, Snapshot, TargetFile, Targets, Timestamp

names = b"".join(b"site%d.example\n" % number for number in range(1000))
files = {"list.zst": zstandard.compress(names), "list.gz": gzip.compress(names)}
ends = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(days=1)
signer = CryptoSigner.generate_ed25519()
root, targets = Root(expires=ends, consistent_snapshot=False), Targets(expires=ends)
for role in ("root", "targets", "snapshot", "timestamp"):
    root.add_key(signer.public_key, role)
served = {f"/targets/{name}": data for name, data in files.items()}
for name, data in files.items():
    targets.targets[name] = TargetFile.from_data(name, data, ["sha256"])
for file, signed in {"root": root, "targets": targets, "snapshot": Snapshot(expires=ends), "timestamp": Timestamp(expires=ends)}.items():
    metadata = Metadata(signed)
    metadata.sign(signer)
    served[f"/metadata/{file}.json"] = metadata.to_bytes()
with open("root.json", "wb") as file:
    file.write(served["/metadata/root.json"])
label, asked = None, set()


class Server(BaseHTTPRequestHandler):
    def do_GET(self):
        data = served.get(self.path)
        self.send_response(200 if data is not None else 404)
        if self.path.startswith("/targets/"):
            asked.add(self.headers.get("Accept-Encoding"))
            if label:
                self.send_header("Content-Encoding", label)
        self.send_header("Content-Length", str(len(data or b"")))
        self.end_headers()
        self.wfile.write(data or b"")

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
base = f"http://127.0.0.1:{server.server_port}/"
SEEN = {  # target, label: how python-tuf ends without the package, and with it
    ("list.zst", None): ("verified", "verified"),
    ("list.zst", "zstd"): ("verified", "DownloadLengthMismatchError"),
    ("list.gz", None): ("verified", "verified"),
    ("list.gz", "gzip"): ("DownloadLengthMismatchError", "DownloadLengthMismatchError"),
}
found = {one: [] for one in SEEN}
for package in (None, "backports.zstd==1.8.0"):
    if package:
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", package], check=True)
    for one in SEEN:
        name, label = one
        done = subprocess.run([sys.executable, "client.py", base, name], capture_output=True, text=True, timeout=60, check=True)
        found[one].append(done.stdout.strip())
server.shutdown()
print("asked with Accept-Encoding:", *asked)
for (name, label), (without, with_it) in found.items():
    print(f"{name}, {'labelled ' + label if label else 'no label'}: {without}; with backports.zstd: {with_it}")
sys.exit({one: tuple(ends) for one, ends in found.items()} != SEEN or asked != {"identity"})
PYTHON
NO_PROXY=127.0.0.1 no_proxy=127.0.0.1 env/bin/python seen.py || { echo "this has changed" >&2; exit 1; }
