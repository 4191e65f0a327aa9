"""Every key of the configuration is read by some code: one that nobody reads promises what nobody does.

The product's modules are read as syntax trees. An expression's type is followed from annotations and from
`Config` down: `config.dns.cache.stale`, `dns = config.dns; dns.cache`, `for view in config.views: view.clients`,
parameters and attributes that are annotated with a node of the tree. A key counts as read where such an expression
reaches it, or where its node is dumped as a whole for other purposes than the digest; of what templates are given,
where one of them names it.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
import types
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resolver.config import schema, schema_dns, schema_lists, schema_portal, schema_rpz, schema_upstreams
from resolver.config.values import Part

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parents[2] / "resolver"
TREE = (schema, schema_dns, schema_lists, schema_portal, schema_rpz, schema_upstreams)
NODES = {
    name: one
    for module in TREE
    for name, one in vars(module).items()
    if isinstance(one, type) and issubclass(one, Part)
}
# Nothing is done with these but to check that they are said: without them the configuration is refused.
CONSENTS = {("RpzSecondary", "unsigned")}
# In the templates, by the variable that stands for them there.
IN_TEMPLATES = {"line": "HelpLine"}
DEFINED = {Path(inspect.getfile(module)) for module in TREE}


def nodes_in(hint: Any) -> set[str]:
    """The nodes of the tree in a type: itself, or what a list or a union of it holds."""
    if isinstance(hint, type) and issubclass(hint, Part):
        return {hint.__name__}
    if typing.get_origin(hint) is not None or isinstance(hint, types.UnionType):
        return {name for part in typing.get_args(hint) for name in nodes_in(part)}
    return set()


KEYS: dict[str, dict[str, set[str]]] = {
    name: {key: nodes_in(hint) for key, hint in typing.get_type_hints(node).items() if key in node.model_fields}
    for name, node in NODES.items()
    if name != "Part"
}


class Reads(ast.NodeVisitor):
    """What one module reads. `names`: of variables and attributes, by name, which nodes they may hold."""

    def __init__(self, attributes: Mapping[str, set[str]]) -> None:
        self.found: set[tuple[str, str]] = set()
        self.names = {name: set(held) for name, held in attributes.items()}

    def note(self, target: ast.expr, held: set[str]) -> None:
        if isinstance(target, ast.Tuple | ast.List):
            for part in target.elts:
                self.note(part, held)
        elif isinstance(target, ast.Name | ast.Attribute):
            name = target.id if isinstance(target, ast.Name) else target.attr
            self.names.setdefault(name, set()).update(held)

    def held(self, node: ast.expr) -> set[str]:
        """The nodes that an expression may stand for, or hold."""
        if isinstance(node, ast.Name):
            return self.names.get(node.id, set())
        if isinstance(node, ast.Attribute):
            below = {name for one in self.held(node.value) for name in KEYS[one].get(node.attr, ())}
            return below or self.names.get(node.attr, set())
        inside = [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]
        return {name for child in inside for name in self.held(child)}

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for argument in (*node.args.args, *node.args.kwonlyargs):
            self.note(ast.Name(argument.arg), nodes_of(argument.annotation))
        # A property or a function that hands a node out.
        self.note(ast.Name(node.name), nodes_of(node.returns))
        self.generic_visit(node)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815 - ast's own name

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.note(node.target, nodes_of(node.annotation))
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        self.generic_visit(node)
        for target in node.targets:
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                for one, value in zip(target.elts, node.value.elts, strict=True):
                    self.note(one, self.held(value))
            else:
                self.note(target, self.held(node.value))

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.note(node.target, self.held(node.value))
        self.generic_visit(node)

    def visit_For(self, node: ast.For) -> None:
        self.note(node.target, self.held(node.iter))
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        self.note(node.target, self.held(node.iter))
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        for one in self.held(node.value):
            if node.attr in KEYS[one]:
                self.found.add((one, node.attr))
            elif node.attr in ("model_dump", "model_dump_json"):
                self.found |= {(one, key) for key in KEYS[one]}
        self.generic_visit(node)


def nodes_of(annotation: ast.expr | None) -> set[str]:
    text = "" if annotation is None else ast.unparse(annotation)
    return {name for name in KEYS if re.search(rf"\b{name}\b", text)}


def annotated(source: str) -> dict[str, set[str]]:
    """The attributes of a module's classes that are nodes, as a dataclass says them."""
    bodies = [one.body for one in ast.parse(source).body if isinstance(one, ast.ClassDef)]
    fields = [one for body in bodies for one in body if isinstance(one, ast.AnnAssign)]
    return {
        one.target.id: held for one in fields if isinstance(one.target, ast.Name) and (held := nodes_of(one.annotation))
    }


def read_in(source: str, attributes: Mapping[str, set[str]] = types.MappingProxyType({})) -> set[tuple[str, str]]:
    """(node, key) of everything that a module reads."""
    reads, parsed = Reads(attributes), ast.parse(source)
    before = -1
    while before != (before := sum(map(len, reads.names.values()))):
        reads.visit(parsed)  # again, until no name is found to hold more
    return reads.found


def test_every_key_of_the_schema_is_read_by_some_code() -> None:
    modules = [path.read_text(encoding="utf-8") for path in ROOT.rglob("*.py") if path not in DEFINED]
    attributes: dict[str, set[str]] = {"config": {"Config"}}
    for source in modules:
        for name, held in annotated(source).items():
            attributes.setdefault(name, set()).update(held)
    # What the tree's own methods and properties hand out, and read: `require_dns`, `log_origin`, `provider_name`, …
    config = next(
        one for one in ast.parse(Path(inspect.getfile(schema)).read_text()).body if getattr(one, "name", "") == "Config"
    )
    assert isinstance(config, ast.ClassDef)
    own = [one for one in config.body if isinstance(one, ast.FunctionDef) and one.name != "digest"]
    attributes |= {one.name: held for one in own if (held := nodes_of(one.returns))}
    found = CONSENTS.union(*(read_in(source, attributes) for source in modules))
    pages = "".join(path.read_text(encoding="utf-8") for path in ROOT.rglob("*.html"))
    for variable, node in IN_TEMPLATES.items():
        found |= {(node, key) for key in KEYS[node] if re.search(rf"\b{variable}\.{key}\b", pages)}
    found |= read_in("\n".join(ast.unparse(one).replace("(self", "(self: Config", 1) for one in own))
    proof = textwrap.dedent(inspect.getsource(vars(schema_upstreams.UpstreamTls)["proof"].fget))
    found |= read_in(proof.replace("(self", "(self: UpstreamTls", 1))
    if "brand.model_fields_set" in inspect.getsource(schema_portal.Provider.branded):
        found |= {("Brand", key) for key in KEYS["Brand"]}  # each comes in the place of the provider's
    assert len(found) > 100
    unread = {(node, key) for node, keys in KEYS.items() for key in keys} - found
    assert sorted(f"{node}.{key}" for node, key in unread) == []


def test_a_key_that_is_read_nowhere_is_found() -> None:
    text = "def f(config: Config) -> None:\n    cache = config.dns.cache\n    print(cache.size)\n"
    assert read_in(text) == {("Config", "dns"), ("Dns", "cache"), ("Cache", "size")}
    text = "def f(config: Config) -> None:\n    for view in config.views:\n        print(view.name, stale.stale)\n"
    assert read_in(text) == {("Config", "views"), ("View", "name")}
