#!/usr/bin/env python
"""The verifying client under the command line of the TUF conformance suite (theupdateframework/tuf-conformance).

    git clone https://github.com/theupdateframework/tuf-conformance && cd tuf-conformance && make dev
    ./env/bin/pytest tuf_conformance --entrypoint ".../.venv/bin/python .../tests/blocklists/tuf_client.py"

Enters: `init`, `refresh` or `download` with the suite's options. Leaves: exit 0, or 1 with the refusal's reason. It is
the client that fetches lists, with its fetcher and its deadline; all 113 cases of suite 2.4.0 pass. The
house's own rules on keys are off, as they are stricter than TUF (two signers at least, no key in an offline and an
online role, Ed25519 and ECDSA alone) and the suite's repositories are signed by one key, share keys between roles, and
use RSA: with them on, `test_keytype_and_scheme[rsa/...]`, `test_static_repository[tuf-on-ci-0.11]` and
`test_non_root_rotations[...]` with a shared key are refused, as they should be.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from blocklists.client import Client, translated
from blocklists.errors import VerifyError
from blocklists.fetch import Deadline, place


def main() -> int:
    """Run one command of the suite."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--metadata-dir", type=Path, required=True)
    parser.add_argument("--metadata-url")
    parser.add_argument("--target-name", action="append", default=[])
    parser.add_argument("--target-base-url")
    parser.add_argument("--target-dir", type=Path)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("init").add_argument("trusted_root", type=Path)
    commands.add_parser("refresh")
    commands.add_parser("download")
    options = parser.parse_args()
    folder: Path = options.metadata_dir
    if options.command == "init":
        shutil.copyfile(options.trusted_root, folder / "root.json")
        return 0
    try:
        with (
            translated("suite"),
            closing(place(options.metadata_url.rstrip("/").removesuffix("/metadata"), Deadline(60))) as where,
        ):
            client = Client(where, (folder / "root.json").read_bytes(), folder, None, datetime.now(UTC))
            client.refresh()
            for name in options.target_name:
                info = client.get_targetinfo(name)
                if info is None:
                    raise VerifyError("missing", name)
                goal = options.target_dir / quote(name, "")
                if client.find_cached_target(info, str(goal)) is None:
                    client.download_target(info, str(goal))
    except VerifyError as refusal:
        sys.stderr.write(f"{refusal.reason}: {refusal}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
