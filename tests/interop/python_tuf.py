"""`python_tuf.py ROOT METADATA TARGETS NAME…`: reads these targets with whatever python-tuf is installed; prints the
SHA-256 and the name of each. It serves the folders to the client from memory, as the fetcher of each version wants it.
"""

from __future__ import annotations

import hashlib
import inspect
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import Updater
from tuf.ngclient.fetcher import FetcherInterface

if TYPE_CHECKING:
    from collections.abc import Iterator


class Folder(FetcherInterface):
    """URLs are paths."""

    def _fetch(self, url: str) -> Iterator[bytes]:
        try:
            return iter([Path(url).read_bytes()])
        except FileNotFoundError:
            raise DownloadHTTPError(f"{url} is not there", 404) from None


def main() -> None:
    """Read what the arguments say."""
    root, metadata, targets, *names = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        options: dict[str, Any] = {"fetcher": Folder()}
        if "bootstrap" in inspect.signature(Updater.__init__).parameters:
            options["bootstrap"] = Path(root).read_bytes()
        else:
            Path(folder, "root.json").write_bytes(Path(root).read_bytes())
        updater = Updater(folder, f"{metadata}/", folder, f"{targets}/", **options)
        updater.refresh()
        for name in names:
            info = updater.get_targetinfo(name)
            if info is None:
                raise SystemExit(f"{name} is not a target of this repository")
            data = Path(updater.download_target(info, f"{folder}/target")).read_bytes()
            sys.stdout.write(f"{hashlib.sha256(data).hexdigest()} {name}\n")


if __name__ == "__main__":
    main()
