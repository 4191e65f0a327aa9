"""Why something failed, in words."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from typing import TYPE_CHECKING

import pytest

from blocklists.errors import why

if TYPE_CHECKING:
    from pathlib import Path


def test_a_connection_that_asyncio_could_not_open_has_the_system_s_reason() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionRefusedError) as refused:
            asyncio.run(asyncio.open_connection(*deaf.getsockname()))
    assert why(refused.value) == "Connection refused"


def test_several_connections_have_a_reason_each() -> None:
    told = [str(OSError(number, "Connect call failed ('2001:db8::1', 1, 0, 0)")) for number in (111, 113)]
    several = OSError(f"Multiple exceptions: {', '.join(told)}")
    assert why(several) == f"Multiple exceptions: {os.strerror(111)}, {os.strerror(113)}"


def test_the_files_are_named_but_for_the_one_that_the_sentence_names(tmp_path: Path) -> None:
    file, folder = tmp_path / "file", tmp_path / "folder"
    file.touch()
    folder.mkdir()
    with pytest.raises(OSError, match="directory") as wrong:
        file.rename(folder)
    assert why(wrong.value) == f"{os.strerror(errno.EISDIR)}: {file} -> {folder}"
    with pytest.raises(OSError, match="directory") as wrong:
        (folder / "none").read_bytes()
    assert why(wrong.value) == f"{os.strerror(errno.ENOENT)}: {folder / 'none'}"
    assert why(wrong.value, folder / "none") == os.strerror(errno.ENOENT)


def test_what_the_system_did_not_say_is_left_as_it_is() -> None:
    assert why(OSError(errno.EINVAL, "No regular file", "said.json")) == "No regular file: said.json"
    assert why(TimeoutError()) == "TimeoutError"
    assert why(ValueError("[Errno 5] is no error of the system")) == "[Errno 5] is no error of the system"
