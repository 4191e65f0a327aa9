"""The command `stopsign`: one root, each part's commands loaded when they are called.

Enters: the command line. Leaves: results on standard output; everything else on standard error, as `stopsign: error: …`
and `hint: …`; the exit status. Rules: 0 done; 1 checked and found wanting; 2 could not do it (bad input, a port taken,
nobody there, a full disk); 130 interrupted. No part is imported before it is asked for, so that `stopsign --help` and
`stopsign bypass` never wait for a web framework, nor fail because of one.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
from typing import TYPE_CHECKING, NoReturn

import click

from blocklists.errors import BlocklistError, why
from blocklists.text import shown
from resolver.base.errors import ResolverError
from resolver.cli.options import located

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# name -> (where it lives, what it does in one line), in the order in which `--help` shows them.
COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("resolver.cli.demo.command:demo", "Everything on loopback: two signers, a list, a provider, and probes."),
    "run": ("resolver.cli.run:run", "Start the provider's side: DNS, steward, stop page and portal."),
    "check-config": ("resolver.cli.check_config:check_config", "Check a configuration; every mistake in one report."),
    "discovery": ("resolver.cli.discovery:discovery", "How clients find the encrypted resolver: DDR, DHCP, RA, zone."),
    "units": ("resolver.cli.units:units", "What systemd's socket units listen on, made from the configuration."),
    "status": ("resolver.cli.operate:status", "One screen: workers, load, upstreams, lists, log, alarms."),
    "health": ("resolver.cli.operate:health", "Should this host get queries? For anycast and load balancers."),
    "reload": ("resolver.cli.operate:reload", "Apply the configuration: every process or none."),
    "restart": (
        "resolver.cli.operate:restart_program",
        "Restart every process with the installed program; no query is lost.",
    ),
    "take-over": ("resolver.cli.operate:take_over", "Let clients ask DNS that was started beside an old resolver."),
    "workers": ("resolver.cli.operate:workers", "Replace the DNS workers one by one."),
    "cache": ("resolver.cli.operate:cache", "Forget what was cached."),
    "explain": ("resolver.cli.lists:explain", "Why a name is stopped, or why not."),
    "ask": ("resolver.cli.ask:ask", "Ask a name as a browser does: the answer, and the reason of a block."),
    "bypass": ("resolver.cli.bypass:bypass", "The off switch: everything, one list or one name, at once."),
    "lists": ("resolver.cli.lists:lists", "The lists a provider follows: status, refresh, approve, diff."),
    "sealed": ("resolver.cli.sealed:sealed", "The key that opens sealed lists, and its card for issuers."),
    "override": ("resolver.cli.lists:override", "Unblock one name for a time, with a reason."),
    "appeals": ("resolver.cli.appeals:appeals", "The appeals that reached the provider."),
    "audit": ("resolver.cli.audit:audit", "The log: show, verify, prove, cosign."),
    "logs": ("resolver.cli.logs:logs", "The provider's index of its hosts' logs: add, retire, sign."),
    "report": ("resolver.cli.audit:report", "What was blocked, on whose word, from when to when."),
    "rpz": (
        "resolver.cli.rpz:rpz",
        "The lists as response policy zones, for Unbound, BIND, PowerDNS, Knot Resolver.",
    ),
    "issuer": ("blocklists.issuer.command:issuer", "The list maintainer's desk: import, sign, publish."),
}


class Parts(click.Group):
    """A click group whose commands are named here and imported on call."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)  # noqa: S101 - the table above, not input, is what this checks
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in self.list_commands(ctx):
            import difflib

            near = difflib.get_close_matches(args[0], self.list_commands(ctx), n=1)
            wrong = click.UsageError(f"there is no command '{args[0]}'", ctx)
            wrong.hint = f"did you mean 'stopsign {near[0]}'?" if near else "stopsign --help"  # type: ignore[attr-defined]
            raise wrong
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, line) for name, (_, line) in COMMANDS.items()]
        for name in super().list_commands(ctx):
            command = super().get_command(ctx, name)
            if command is not None:
                rows.append((name, command.get_short_help_str(90)))
        with formatter.section("Commands"):
            formatter.write_dl(rows)


@click.group(cls=Parts, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def stopsign() -> None:
    """Signed blocking lists, a DNS forwarder that applies exactly those, a page that says why, a log that shows it."""


@stopsign.command()
@located
def version(path: Path | None, directory: Path | None) -> None:
    """The version of the program, of its core and of Python; and with --config or --dir what the processes run."""
    from resolver.base.version import VERSION

    try:
        from resolver._core import VERSION as CORE
    except ImportError as wrong:  # an installation that is not whole is what one asks for the version of
        _complain(f"the core cannot be loaded ({wrong})", "install it again")
        sys.exit(2)
    click.echo(f"stopsign {VERSION}, core {CORE}, Python {sys.version.split()[0]}")
    if path is not None or directory is not None:
        from resolver.cli.options import legible
        from resolver.cli.status import answers_of

        for name, answer in answers_of(legible(path, directory)).items():
            click.echo(f"{name}: {answer.get('version', answer['state'])}")


def _complain(message: str, hint: str | None = None) -> None:
    """An error, which may have several lines. Of what it quotes nothing controls the terminal."""
    for text in (f"stopsign: error: {message}", hint and f"hint: {hint}"):
        if text:
            click.echo("\n".join(shown(line, most=None) for line in text.split("\n")), err=True)


def _status(arguments: Sequence[str] | None) -> int:
    try:
        outcome = stopsign.main(args=arguments, prog_name="stopsign", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as asked:
        click.echo(asked.format_message(), err=True)
        return 2
    except click.UsageError as wrong:
        usage = f"{wrong.ctx.command_path} --help" if wrong.ctx else None
        _complain(wrong.format_message(), getattr(wrong, "hint", None) or usage)
        return 2
    except click.ClickException as wrong:
        _complain(wrong.format_message())
        return 2
    except (BlocklistError, ResolverError) as wrong:
        _complain(str(wrong), wrong.hint)
        return 2
    except (KeyboardInterrupt, click.Abort):
        return 130
    except BrokenPipeError:
        # `stopsign … | head`: nobody reads on. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as wrong:  # a file that is not there, is another user's, or does not fit on the disk
        _complain(
            why(wrong), "as root, or as the user whose file it is" if isinstance(wrong, PermissionError) else None
        )
        return 2
    return outcome if isinstance(outcome, int) and not isinstance(outcome, bool) else 0


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit: 0 done, 1 found wanting, 2 could not."""
    words = sys.argv[1:] if arguments is None else arguments
    if words[:1] == ["issuer"]:
        # A command of the desk ends soon, and what it makes lives until then: the modules that it loads (8 ms), the
        # millions of small things of an import. To look for garbage among them only takes time.
        gc.disable()
    status = _status(arguments)
    gc.freeze()  # the interpreter looks for garbage once more at its end, in all modules: 15 ms after a desk's command
    sys.exit(status)


if __name__ == "__main__":
    main()
