"""A small valid configuration, and a file of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def write(folder: Path, text: str) -> Path:
    path = folder / "stopsign.yaml"
    path.write_text(text, encoding="utf-8")
    return path


LINES = "state_dir: state\nrun_dir: run\n"
GOOD = (
    LINES
    + 'dns: {listen: ["127.0.0.1:0"], upstreams: ["127.0.0.1:5335"], allow_clients: []}\n'
    + 'portal: {url: "https://stop.isp.example"}\n'
)
