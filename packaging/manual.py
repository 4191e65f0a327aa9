"""The manual's pages, made from the commands' own help: `python -P packaging/manual.py FOLDER`.

Leaves one page a command, named as git names its own (`stopsign-issuer-sign.1`), in man(7)'s language. Rules: what a
page says is what `--help` says; no date, so that the same source makes the same file; a line of the help can never be
read as a request.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from resolver.base.version import VERSION
from resolver.cli.main import stopsign

if TYPE_CHECKING:
    from collections.abc import Iterator

STATUS = (
    ("0", "Done; where something was checked, it is as it should be."),
    ("1", "Checked, and found wanting."),
    ("2", "It could not be done: bad input, a port that is taken, nobody there."),
    ("130", "Interrupted."),
)
_UNWRAPPED = "\b\n"  # how click marks a paragraph whose lines stay as they are


def opened(command: click.Command, parent: click.Context | None = None) -> click.Context:
    return click.Context(command, info_name=command.name, parent=parent, **command.context_settings)


def below(context: click.Context) -> Iterator[click.Context]:
    """The commands of a group, in the order of `--help`."""
    group = context.command
    if not isinstance(group, click.Group):
        return
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is not None and not command.hidden:
            yield opened(command, context)


def all_from(context: click.Context) -> Iterator[click.Context]:
    yield context
    for other in below(context):
        yield from all_from(other)


def title(context: click.Context) -> str:
    return context.command_path.replace(" ", "-")


def escaped(text: str) -> str:
    """Text as roff prints it: a hyphen that can be copied, no escape, and no line that begins as a request does."""
    text = text.replace("\\", r"\e").replace("-", r"\-")
    return re.sub(r"^(?=[.'])", r"\\&", text, flags=re.MULTILINE)


def item(term: str, text: str) -> str:
    return f".TP\n.B {escaped(term)}\n{escaped(text)}\n"


def paragraphs(text: str) -> Iterator[str]:
    for paragraph in text.partition("\f")[0].split("\n\n"):
        if paragraph.startswith(_UNWRAPPED):
            yield f".PP\n.nf\n{escaped(paragraph.removeprefix(_UNWRAPPED))}\n.fi\n"
        else:
            yield f".PP\n{escaped(' '.join(paragraph.split()))}\n"


def page(context: click.Context) -> str:
    command = context.command
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    text = (command.help or "").replace("\r", "")
    summary = " ".join(text.partition("\f")[0].split("\n\n")[0].split()).rstrip(".")
    parts = [
        f'.TH {title(context).upper()} 1 "" "Stopsign {VERSION}" "Stopsign"\n',
        f".SH NAME\n{escaped(title(context))} \\- {escaped(summary)}\n",
        f".SH SYNOPSIS\n.B {escaped(usage)}\n",
        ".SH DESCRIPTION\n",
        *paragraphs(text),
    ]
    options = [parameter for parameter in command.get_params(context) if isinstance(parameter, click.Option)]
    parts += [".SH OPTIONS\n", *(item(*record) for option in options if (record := option.get_help_record(context)))]
    if others := list(below(context)):
        parts.append(".SH COMMANDS\n")
        parts += [item(f"{title(other)}(1)", other.command.get_short_help_str(200)) for other in others]
    parts += [".SH EXIT STATUS\n", *(item(*row) for row in STATUS)]
    above = f".BR {escaped(title(context.parent))} (1),\n" if context.parent else ""
    parts.append(f".SH SEE ALSO\n{above}the guides in /usr/share/doc/stopsign/docs\n")
    return "".join(parts)


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for context in all_from(opened(stopsign)):
        (folder / f"{title(context)}.1").write_text(page(context), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
