"""The last accepted configuration, for the commands of the person on call when the file itself is broken.

Enters: the file that a command would read; `run_dir/taken-up.yaml`, the bytes that the supervisor uses. Leaves: the
configuration in the file, else the accepted one, with a warning to the caller. Rules:

- It is a file on the tmpfs, not an answer of a socket: it is there with every process dead or hung. Its readers are the
  readers of the configuration.
- The supervisor alone writes it, at its start and whenever a configuration is accepted. Without room it deletes the old
  one too, which would be wrong.
- The lines `run_dir:` and `state_dir:` of the broken file say which provider is meant, or the standard folders for the
  standard file without these lines. A copy that names other folders is not trusted: the user that serves strangers'
  packets writes it, and root may read it.
- Commands that put a configuration into force (`run`, `reload`, `restart`, `units`, `check-config`) read the file
  alone.
"""

from __future__ import annotations

import logging
import os
import re
import stat
from typing import TYPE_CHECKING

import yaml

from resolver.base import atomic
from resolver.base.errors import ResolverError
from resolver.base.paths import Places
from resolver.base.timestamps import as_text
from resolver.config.reader import LARGEST
from resolver.config.schema import STANDARD, ConfigError, accept, load, located_at

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from resolver.config.schema import Accepted, Config

_STANDARD_FOLDERS = {"run_dir": "/run/stopsign", "state_dir": "/var/lib/stopsign"}

log = logging.getLogger("stopsign.supervisor")


def legible(config: Path | None, directory: Path | None, warn: Callable[[str], None]) -> Config:
    """The configuration that `--config FILE` or `--dir DIR` names, or the last accepted one where the file is
    broken; `warn` gets a sentence about that. Raises `ConfigError` where neither can be read."""
    file = located_at(config, directory)
    try:
        return load(file)
    except ConfigError as broken:
        try:
            last_applied, when = _last_applied(file)
        except ResolverError as nothing:
            broken.hint = "; ".join(filter(None, (broken.hint, str(nothing))))
            raise broken from nothing
        first, *others = broken.problems
        more = f" (and {len(others)} more: stopsign check-config)" if others else ""
        warn(f"{first}{more}")
        warn(f"going on with the configuration that the running processes applied at {as_text(when)}")
        return last_applied


def keep(accepted: Accepted) -> None:
    """This is what holds from now on."""
    path = accepted.config.places.last_applied
    try:
        atomic.replace(path, accepted.data, mode=_mode(accepted.path))
    except OSError as wrong:  # a full tmpfs: DNS goes on
        log.warning("%s cannot be written (%s)", path, wrong.strerror)
        path.unlink(missing_ok=True)


def folder_named(file: Path, key: str) -> Path | None:
    """A folder that the configuration names, from its one line: the rest of the file may be wrong."""
    try:
        line = re.search(rb"^%s:.*" % key.encode(), file.read_bytes(), flags=re.MULTILINE)
        value = yaml.safe_load(line[0])[key] if line else None
    except (OSError, yaml.YAMLError):
        return None
    return file.absolute().parent / value if isinstance(value, str) else None


def _mode(file: Path) -> int:
    """The mode of the copy in `run_dir`: readable for no user who cannot read the file."""
    status = file.stat()
    ours = status.st_mode & stat.S_IROTH or (status.st_mode & stat.S_IRGRP and status.st_gid == os.getegid())
    return 0o640 if ours else 0o600


def _last_applied(file: Path) -> tuple[Config, float]:
    """The copy in `run_dir`, and its time (Unix). Raises `ResolverError`, which names what is missing."""
    folders = {key: _folder(file, key) for key in _STANDARD_FOLDERS}
    path = Places(folders["state_dir"], folders["run_dir"], folders["state_dir"]).last_applied
    try:
        with atomic.opened(path, LARGEST) as kept:
            data, when = kept.read(LARGEST), os.fstat(kept.fileno()).st_mtime
        config = accept(file, data).config
    except (OSError, ConfigError) as error:
        raise ResolverError(
            f"{path}, which holds the configuration applied last, cannot be used: mend {file}"
        ) from error
    for key, folder in folders.items():
        if folder != getattr(config, key).absolute():
            raise ResolverError(f"{path} is not believed: its {key} is another than the one in {file}")
    return config, when


def _folder(file: Path, key: str) -> Path:
    folder = folder_named(file, key)
    if folder is None and file == STANDARD:
        folder = file.parent / _STANDARD_FOLDERS[key]
    if folder is None:
        raise ResolverError(f"the host of {file} is unknown: a line `{key}: FOLDER` in it would be enough")
    return folder.absolute()
