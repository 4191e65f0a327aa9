"""The layout of the tree as a rank table: a folder of `resolver/` imports folders of lower rank and nothing else."""

from __future__ import annotations

import ast
import itertools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
RANKS = {
    "cli": 7,
    "dns": 6, "lists": 6, "portal": 6, "rpz": 6,
    "host": 5, "stats": 5,
    "ipc": 4,
    "policy": 3,
    "config": 2, "log": 2,
    "base": 1,
}  # fmt: skip
# What is opened in `run_dir` outside `ipc/` and `policy/`, and why. A new use fails, and so does a line that is no
# longer true.
OPENED = {
    "config/accepted.py": {"last_applied"},  # below `ipc`; the supervisor and its commands alone
    "config/preflight/host.py": {"run_dir"},  # is it on a tmpfs?
    "host/run.py": {"counters"},  # the path of a heartbeat, handed to the process that it is of
    "lists/activate.py": {"current", "generations"},  # the one writer of the live list
    "lists/compile.py": {"generations"},  # an empty document, for the compiler alone
    "lists/soak.py": {"soaking"},  # the steward's own, for as long as the machine runs
    "lists/restore.py": {"current"},  # reads back what its writer wrote
    "rpz/primary.py": {"run_dir"},  # a zone that is being made, read by no other process
    "cli/bypass.py": {"run_dir"},  # does a process run there?
    "cli/status.py": {"run_dir"},  # the room that is left
}
# Who may import what talks to a terminal or to Prometheus.
SAYS = {"str", "info", "warning", "error", "exception"}
SCREENS, METRICS = {"click", "rich"}, {"prometheus_client"}


def imports(path: Path) -> set[str]:
    """Every module that the file imports, at the top or inside a function."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def within(module: str, packages: set[str]) -> bool:
    return any(module == package or module.startswith(package + ".") for package in packages)


def folder_of(path: Path) -> str:
    return path.relative_to(ROOT / "resolver").parts[0]


PRODUCT = [path for path in modules("resolver") if path.parent != ROOT / "resolver"]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", modules("blocklists"), ids=name)
def test_blocklists_never_import_the_provider_s_half(path: Path) -> None:
    """But for the core, which knows neither half."""
    assert not {
        found for found in imports(path) if within(found, {"resolver"}) and not within(found, {"resolver._core"})
    }


def test_every_module_has_a_rank() -> None:
    assert {path.name for path in (ROOT / "resolver").glob("*.py")} <= {"__init__.py", "__main__.py"}
    assert {folder_of(path) for path in PRODUCT} == set(RANKS)


@pytest.mark.parametrize("path", PRODUCT, ids=name)
def test_a_module_imports_lower_ranks_alone(path: Path) -> None:
    own = folder_of(path)
    reached = {
        parts[1] for parts in (found.split(".") for found in imports(path)) if parts[0] == "resolver" and parts[1:]
    }
    others = reached - {own, "_core"}
    assert others <= set(RANKS), "a module that stands in no folder"
    assert {folder for folder in others if RANKS[folder] >= RANKS[own]} == set()


@pytest.mark.parametrize("path", [path for path in PRODUCT if folder_of(path) != "cli"], ids=name)
def test_the_terminal_belongs_to_the_commands(path: Path) -> None:
    assert not {found for found in imports(path) if within(found, SCREENS)}
    prints = {
        node.lineno
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    }
    assert prints == set(), "print"


def said_raw(path: Path) -> list[int]:
    """Lines in which a handler of system errors puts the error itself into a sentence, or hands it to a log."""
    lines: list[int] = []
    for handler in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(handler, ast.ExceptHandler) or handler.name is None or handler.type is None:
            continue
        if "OSError" not in {node.id for node in ast.walk(handler.type) if isinstance(node, ast.Name)}:
            continue
        for node in ast.walk(handler):
            said: list[ast.expr] = []
            if isinstance(node, ast.FormattedValue):
                said = [node.value]
            elif isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in SAYS:
                said = node.args
            lines += [one.lineno for one in said if isinstance(one, ast.Name) and one.id == handler.name]
    return lines


@pytest.mark.parametrize(
    "path", [*modules("blocklists"), *modules("resolver")], ids=lambda path: str(path.relative_to(ROOT))
)
def test_a_system_error_is_said_in_words_without_its_number(path: Path) -> None:
    """`blocklists.errors.why` words it: "[Errno 13]" helps nobody."""
    assert said_raw(path) == []


def test_waits_end_by_asyncio_timeout() -> None:
    """Python 3.11's `asyncio.wait_for` forgets a cancellation that comes together with what it waits for."""
    package = [*modules("blocklists"), *modules("resolver")]
    assert [str(path) for path in package if "wait_for(" in path.read_text(encoding="utf-8")] == []


def test_prometheus_is_known_to_the_host_and_to_one_module_a_process() -> None:
    knowing = {path for path in PRODUCT if any(within(found, METRICS) for found in imports(path))}
    assert knowing
    assert {name(path) for path in knowing if folder_of(path) != "host" and path.name != "metrics.py"} == set()


@pytest.mark.parametrize("path", modules("tests"), ids=name)
def test_what_tests_share_stands_in_rigs(path: Path) -> None:
    """Also in the programs that a test starts with `python -c`."""
    assert not {found for found in imports(path) if re.search(r"(^|\.)test_", found)}
    assert not re.search(r"\bfrom tests(\.\w+)*\.test_|\bimport tests(\.\w+)*\.test_", path.read_text(encoding="utf-8"))


def volatile() -> set[str]:
    """The attributes of `Places` that are paths in `run_dir`: those that are made of it, or of another such."""
    tree = ast.parse((ROOT / "resolver/base/paths.py").read_text(encoding="utf-8"))
    (places,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Places")
    made = {
        method.name: {node.attr for node in ast.walk(method) if isinstance(node, ast.Attribute)}
        for method in places.body
        if isinstance(method, ast.FunctionDef) and ast.unparse(method.returns or method) != "str"  # what it is called
    }
    found = {"run_dir"}
    while more := {method for method, parts in made.items() if parts & found} - found:
        found |= more
    return found


def opened(path: Path, attributes: set[str]) -> set[str]:
    """Which of these the module may open itself. It does not where it hands the path to a function of `ipc/` or
    `policy/`, names it in a message, or only puts a folder or a socket in a table: no method, no path below it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    owners = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
        if within(f"{node.module}.{alias.name}", {"resolver.ipc", "resolver.policy"})
    }
    above = {child: parent for parent in ast.walk(tree) for child in ast.iter_child_nodes(parent)}
    found = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or node.attr not in attributes:
            continue
        if node.attr != "run_dir" and ast.unparse(node.value).rpartition(".")[2].lstrip("_") != "places":
            continue
        used: ast.expr = node
        if isinstance(call := above[node], ast.Call) and call.func is node:  # counters(index)
            used = call
        by = above[used]
        if isinstance(by, ast.Attribute) and by.attr in {"absolute", "name", "parent"}:  # says no more than the path
            continue
        named = node.attr == "run_dir" or node.attr == "workers" or node.attr.endswith("_socket")
        if isinstance(by, ast.Call) and used in by.args:
            to = ast.unparse(by.func)
            if to.partition(".")[0] in owners or to == "Places" or to.startswith(("log.", "say.")):
                continue
        if isinstance(by, ast.FormattedValue) or (named and not isinstance(by, ast.Attribute | ast.BinOp | ast.Call)):
            continue
        found.add(node.attr)
    return found


def test_paths_in_run_dir_are_opened_by_ipc_and_policy_alone_but_for_a_known_few() -> None:
    attributes = volatile()
    assert {"current", "counters", "sketches", "control_socket", "run_dir"} <= attributes
    assert not attributes & {"state_dir", "generation", "log_key", "checkpoint"}
    found = {
        str(path.relative_to(ROOT / "resolver")): opened(path, attributes)
        for path in PRODUCT
        if folder_of(path) not in {"ipc", "policy", "base"}
    }
    assert {path: names for path, names in found.items() if names} == OPENED


DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))


def named_in(document: Path) -> list[str]:
    """The files and folders of the tree that a document names."""
    named = re.findall(r"`([a-z_]+/[a-z_/0-9]+(?:\.[a-z]+)?)`", document.read_text(encoding="utf-8"))
    parts = {"blocklists", "config", "core", "docs", "packaging", "resolver", "systemd", "tests"}
    return [name for name in named if name.partition("/")[0] in parts]


def named_alone(document: Path) -> set[str]:
    """The files that a document names without their folders."""
    return set(re.findall(r"`([a-z_0-9]+\.(?:py|rs|html))`", document.read_text(encoding="utf-8")))


@pytest.mark.parametrize("document", [ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md", *DECISIONS], ids=name)
def test_every_file_that_a_document_for_developers_names_is_there(document: Path) -> None:
    assert [name for name in named_in(document) if not (ROOT / name).exists()] == []
    trees = [ROOT / part for part in ("blocklists", "core/dnscore", "resolver", "tests")]
    names = {path.name for tree in trees for path in tree.rglob("*.*")}
    assert named_alone(document) - names == set()


def test_the_architecture_stays_a_walk_of_both_lives() -> None:
    assert (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").count("\n") <= 250
    steps = {"register", "admit", "guard", "people", "operations", "appeals", "overdue", "compile", "activate"}
    assert {f"resolver/lists/{step}.py" for step in steps} <= set(named_in(ROOT / "ARCHITECTURE.md"))
    assert "core/dnscore/src/plane/chain.rs" in named_in(ROOT / "ARCHITECTURE.md")


def test_the_changelog_has_each_area_once_and_nothing_beside_them() -> None:
    newest = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").split("\n## ")[1].splitlines()[1:]
    outside = list(itertools.takewhile(lambda line: not line.startswith("### "), newest))
    assert [line for line in outside if line] == [], "a line belongs to an area"
    areas = [line.removeprefix("### ") for line in newest if line.startswith("### ")]
    assert areas == ["DNS", "Lists", "Issuer", "Portal", "Log", "Policy zones", "Operating", "Packaging"]


def test_each_decision_has_a_number_of_its_own_and_the_index_names_each_with_its_title() -> None:
    numbers = [int(page.name[:4]) for page in DECISIONS]
    assert len(set(numbers)) == len(numbers)
    titles = {page.name: page.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ") for page in DECISIONS}
    index = (DECISIONS[0].parent / "README.md").read_text(encoding="utf-8")
    assert {file: title for title, file in re.findall(r"^- \[(.+)\]\((.+\.md)\)$", index, re.MULTILINE)} == titles


@pytest.mark.parametrize("page", DECISIONS, ids=name)
def test_a_decision_is_one_page_of_context_decision_and_consequences(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    headings = [line[3:].partition(",")[0] for line in text.splitlines() if line.startswith("## ")]
    assert headings == ["Context", "Decision", "Consequences"]
    assert text.startswith(f"# {int(page.name[:4])}. ")
    assert text.count("\n") <= 60


# Words that say nothing, or several things: write "again", "a client that", "gets", "follows", "is in", "applies".
# `untold` is a key of a file.
SAID_AGAIN = re.compile(
    r"\banew\b|\bwhoever\b|\b(?:is|are) told\b|\bstands? behind\b|\bof what was found\b|\blies (?:in|at)\b|\bbears\b"
    r"|\b(?:takes? up|took up|taken up) (?:a|an|the|its|their|again|what)\b|(?<![`\"])\buntold\b(?![`\"])",
    re.IGNORECASE,
)
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
RUST = sorted(path for path in (ROOT / "core").rglob("*.rs") if "target" not in path.parts)
PROGRAM = [*modules("resolver"), *modules("blocklists"), ROOT / "resolver/_core.pyi", *RUST]


@pytest.mark.parametrize("document", [*DOCUMENTS, *PROGRAM], ids=name)
def test_documents_and_program_are_in_plain_words(document: Path) -> None:
    lines = enumerate(document.read_text(encoding="utf-8").splitlines(), 1)
    assert [f"{number}: {line}" for number, line in lines if SAID_AGAIN.search(line)] == []
