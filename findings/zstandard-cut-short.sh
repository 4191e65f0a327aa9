#!/usr/bin/env bash
# A compressed block list that breaks off, read by Python's usual readers.
#
# Guess: each raises an error where the data ends within a frame, as `gzip`, `xz` and `zstd -d` do.
# Seen:  gzip, bz2 and lzma of Python raise EOFError. python-zstandard 0.25.0 does not: `stream_reader` and `copy_stream` end
#        without a word at the last whole block, and `decompressobj` says so only by `eof`, which is False. The last line is
#        then a part of a name, which can be another name (`site36251.example.co` of `….com`).
# For DNS blocking: a download that broke off becomes a shorter list, and an automatic update takes the missing names off. A program
#        that reads `.zst` in Python has to follow the frame to its `eof`, or to compare a size or a hash that came by another way.
# Date:  2026-11-28. Needs Python 3.9 or later with venv and pip.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check zstandard==0.25.0
env/bin/python - <<'PYTHON'
import bz2, gzip, io, lzma, sys

import zstandard

TEXT = b"".join(b"site%d.example.com\n" % number for number in range(40_000))
zstd = zstandard.ZstdCompressor().compress(TEXT)
assert zstandard.ZstdDecompressor().stream_reader(zstd).read() == TEXT
cut = zstd[: len(zstd) * 2 // 3]


def stream_reader() -> bytes:
    return zstandard.ZstdDecompressor().stream_reader(io.BytesIO(cut)).read()


def copy_stream() -> bytes:
    out = io.BytesIO()
    zstandard.ZstdDecompressor().copy_stream(io.BytesIO(cut), out)
    return out.getvalue()


silent = True
for read in (stream_reader, copy_stream):
    try:
        got = read()
    except zstandard.ZstdError as error:
        print(f"{read.__name__}: {error}")
        silent = False
    else:
        print(f"{read.__name__}: {len(got):,} of {len(TEXT):,} octets, no error; it ends in {got.splitlines()[-1]!r}")
frame = zstandard.ZstdDecompressor().decompressobj()
frame.decompress(cut)
print(f"decompressobj: eof is {frame.eof}")
raised = 0
for module in (gzip, bz2, lzma):
    whole = module.compress(TEXT)
    try:
        module.open(io.BytesIO(whole[: len(whole) * 2 // 3])).read()
    except EOFError as error:
        raised += 1
        print(f"{module.__name__}: {error}")
sys.exit(0 if silent and not frame.eof and raised == 3 else 1)
PYTHON
