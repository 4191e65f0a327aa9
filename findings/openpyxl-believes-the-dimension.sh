#!/usr/bin/env bash
# A workbook whose sheet says that it is smaller than it is, read row by row.
#
# Guess: openpyxl's streaming mode gives the rows that are there. <dimension> is optional (ECMA-376 18.3.1.35), and writers that
#        stream write it before they know the size: A1, or the size of the last save.
# Seen:  openpyxl 3.1.5 with read_only=True ends where <dimension> ends, without an error and without a warning; the ordinary mode
#        gives all rows. `reset_dimensions()` of the sheet makes both the same.
# For DNS blocking: a register handed out as a workbook is read as a shorter one, and its last names are not blocked. Nothing breaks off,
#        so no check of the file finds it; a floor on the number of rows does.
# Date:  2026-11-29. Needs Python 3.10 or later with venv and pip.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check openpyxl==3.1.5
env/bin/python - <<'PYTHON'
import re
import sys
import zipfile

import openpyxl

book = openpyxl.Workbook()
for number in range(100):
    book.active.append([f"casino-{number}.example"])
book.save("book.xlsx")
with zipfile.ZipFile("book.xlsx") as old, zipfile.ZipFile("stale.xlsx", "w") as new:
    for name in old.namelist():
        data = old.read(name)
        if name == "xl/worksheets/sheet1.xml":
            data = re.sub(rb'<dimension ref="[^"]*"', b'<dimension ref="A1:A10"', data)
        new.writestr(name, data)


def rows(reset: bool, **how: bool) -> int:
    sheet = openpyxl.load_workbook("stale.xlsx", **how).worksheets[0]
    if reset:
        sheet.reset_dimensions()
    return sum(1 for _ in sheet.iter_rows(values_only=True))


found = {
    "ordinary": rows(False), "read_only": rows(False, read_only=True), "read_only, reset": rows(True, read_only=True),
}
for how, count in found.items():
    print(f"{how}: {count} rows of 100")
sys.exit(list(found.values()) != [100, 10, 100])
PYTHON
