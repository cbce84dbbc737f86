"""What linters cannot see: shape, where a thing may be done, and what no file may say."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ROOT = Path(__file__).resolve().parents[1]

MADE_HERE: Final = re.compile(r"\.(?!ci$).*|__pycache__|.*\.egg-info|build|dist|data|local")

LINES_MAX: Final = 450
FUNCTION_LINES_MAX: Final = 60
# Larger ones, how large they may be at most, and why. The list and its numbers only shrink.
LONG_FILES: Final[dict[str, tuple[int, str]]] = {}
LONG_FUNCTIONS: Final[dict[str, tuple[int, str]]] = {
    "synapse/app/assembly.py:assemble": (66, "the composition root: one part after another"),
}
MAKES_SHARED_TEXT: Final = {
    "synapse/core/wall/release.py": "the wall",
    "synapse/core/node.py": "our own address, which we tell to be dialled",
}
CATCHES_EVERYTHING: Final = {
    "synapse/driver/driver.py": "the top of a task, which logs what nobody expected",
}
CORE_IMPORTS: Final = {
    "__future__", "bisect", "collections", "collections.abc", "dataclasses", "decimal", "enum",
    "functools", "hashlib", "heapq", "ipaddress", "itertools", "json", "math", "operator", "random",
    "re", "types", "typing", "unicodedata", "urllib.parse",
    "cbor2", "crdt_merge", "nacl.exceptions", "nacl.signing",
}  # fmt: skip
FACES_MAY_IMPORT: Final = (
    "synapse.cli", "synapse.web", "synapse.operations", "synapse.replies", "synapse.config",
    "synapse.app",
    "synapse.core.errors", "synapse.core.text", "synapse.core.reasoning.task.TASK_BYTES_MAX",
    "synapse.core.reasoning.task.BUDGET_MAX", "synapse.core.reasoning.task.DEADLINE_MS_MAX",
    "synapse.driver.news", "synapse.transport.client", "synapse.sim", "synapse.__version__",
)  # fmt: skip


def files() -> Iterator[Path]:
    """What a clone holds: nothing that was made or installed here."""
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in sorted(folders) if not MADE_HERE.fullmatch(name)]
        yield from (Path(folder) / name for name in sorted(names) if not name.endswith(".so"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


EVERY_FILE = list(files())
EVERY_MODULE = [path for path in EVERY_FILE if path.suffix == ".py"]
PACKAGE = [path for path in EVERY_MODULE if path.is_relative_to(ROOT / "synapse")]
CORE = [path for path in PACKAGE if path.is_relative_to(ROOT / "synapse/core")]
DOCUMENTS = [path for path in EVERY_FILE if path.suffix == ".md"]


def walk(paths: list[Path], kind: type) -> Iterator[tuple[Path, ast.AST]]:
    for path in paths:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, kind):
                yield path, node


def test_there_is_something_to_look_at() -> None:
    assert len(PACKAGE) > 80
    assert len(CORE) > 30
    assert len(DOCUMENTS) > 5


# Shape


def test_files_are_short_or_have_a_reason() -> None:
    lengths = {name_of(path): len(path.read_text("utf-8").splitlines()) for path in PACKAGE}
    long = {name: length for name, length in lengths.items() if length > LINES_MAX}
    assert {name for name in long if long[name] > LONG_FILES.get(name, (0, ""))[0]} == set()
    assert set(LONG_FILES) <= set(long), "a file became short: take it off the list"


def test_functions_are_short_or_have_a_reason() -> None:
    long = {}
    for path, node in walk(PACKAGE, ast.FunctionDef | ast.AsyncFunctionDef):
        assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        length = (node.end_lineno or node.lineno) - node.lineno + 1
        if length > FUNCTION_LINES_MAX:
            long[f"{name_of(path)}:{node.name}"] = length
    assert {name for name in long if long[name] > LONG_FUNCTIONS.get(name, (0, ""))[0]} == set()
    assert set(LONG_FUNCTIONS) <= set(long), "a function became short: take it off the list"


def test_every_module_says_how_to_think_of_it() -> None:
    silent = [
        name_of(path)
        for path in EVERY_MODULE
        if path.read_text("utf-8").strip() and not ast.get_docstring(tree_of(path))
    ]
    assert silent == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_a_document_has_one_title_and_it_comes_first(path: Path) -> None:
    text = re.sub(r"(?ms)^(```|~~~).*?^\1", "", path.read_text(encoding="utf-8"))
    titles = [line for line in text.splitlines() if line.startswith("# ")]
    assert len(titles) == 1
    assert text.lstrip().startswith(titles[0])


# Places


@pytest.mark.promise("private")
def test_shared_text_is_made_at_the_wall_and_nowhere_else() -> None:
    makers = {
        name_of(path) for path, call in walk(PACKAGE, ast.Call) if called(call) == "SharedText"
    }
    assert makers == set(MAKES_SHARED_TEXT)


def test_nothing_is_swallowed_but_in_one_place() -> None:
    broad = set()
    for path, node in walk(PACKAGE, ast.ExceptHandler):
        assert isinstance(node, ast.ExceptHandler)
        caught = ast.unparse(node.type) if node.type is not None else "everything"
        passed_on = isinstance(node.body[-1], ast.Raise)
        if re.search(r"\b(Base)?Exception\b|everything", caught) and not passed_on:
            broad.add(name_of(path))
    assert broad == set(CATCHES_EVERYTHING)


@pytest.mark.promise("one_verb")
def test_a_face_sees_what_the_operations_say_and_nothing_behind_them() -> None:
    faces = [path for path in PACKAGE if "web" in path.parts and path.name != "gossip.py"]
    faces += [path for path in PACKAGE if "cli" in path.parts]
    beyond = [
        (name_of(path), name)
        for path in faces
        for name in imported(path)
        if name.startswith("synapse.")
        and not any(name == one or name.startswith(f"{one}.") for one in FACES_MAY_IMPORT)
    ]
    assert beyond == []
    behind = ("node", "_node", "ledger", "log", "index", "submit", "exchange")
    reached = [
        (name_of(path), ast.unparse(node))
        for path, node in walk(faces, ast.Attribute)
        if isinstance(node, ast.Attribute)
        and node.attr in behind
        and re.search(r"\b(operations|driver)\b", ast.unparse(node.value))
    ]
    assert reached == []


# The core


def test_the_core_imports_pure_computation_only() -> None:
    foreign = [
        (name_of(path), name)
        for path in CORE
        for name in imported(path)
        if not name.startswith("synapse.core")
        and name not in CORE_IMPORTS
        and name.rpartition(".")[0] not in CORE_IMPORTS
    ]
    assert foreign == []


def test_the_core_is_handed_its_randomness() -> None:
    names = {name for path in CORE for name in imported(path) if name.startswith("random")}
    assert names == {"random.Random"}
    made = [
        (name_of(path), ast.unparse(call))
        for path, call in walk(CORE, ast.Call)
        if called(call) == "Random" and not (isinstance(call, ast.Call) and call.args)
    ]
    assert made == [], "a Random without a seed asks the machine for one"


@pytest.mark.promise("reproducible")
def test_nothing_in_the_core_depends_on_addresses_or_hash_seeds() -> None:
    calls = [
        (name_of(path), ast.unparse(call))
        for path, call in walk(CORE, ast.Call)
        if called(call) in ("hash", "id")
    ]
    assert calls == []


@pytest.mark.promise("reproducible")
def test_nothing_in_the_core_follows_the_order_of_a_set() -> None:
    assert [(name_of(path), site) for path in CORE for site in loops_over_sets(tree_of(path))] == []


def test_the_check_for_sets_sees_what_it_should() -> None:
    bad = """
class A:
    def __init__(self):
        self._seen: set[int] = set()
    def a(self, given: set[int] | None):
        for x in self._seen: ...
        for x in {1, 2} | self._seen: ...
        b = [x for x in given]
        c = list(self._seen)
        d = "".join(set("abc"))
        e = next(iter(frozenset(c)))
        f = dict.fromkeys(given - self._seen)
        g = [*self._seen]
        h = min(x for x in c if x in self._seen)
        i = self._seen.pop()
"""
    good = """
class A:
    def __init__(self):
        self._seen: set[int] = set()
    def a(self, given: set[int]):
        for x in sorted(self._seen): ...
        b = any(x > 1 for x in self._seen) or len(given) or 3 in given
        c = {x for x in given} | self._seen
        d = sorted(x for x in given)
        e = max((x for x in given), default=0)
        f = {}.pop(1)
"""
    assert len(loops_over_sets(ast.parse(bad))) == 9
    assert loops_over_sets(ast.parse(good)) == []


# Words


SUPPRESSIONS: Final = re.compile(r"#\s*(?:noqa|type:\s*ignore|pragma:\s*no ?cover)\b.*")
EXPLAINED: Final = re.compile(
    r"#\s*(?:noqa: [A-Z]+\d+(?:, [A-Z]+\d+)*|type: ignore\[[a-z, -]+\]|pragma: no cover)  # \w.*"
)


def test_what_is_suppressed_carries_a_code_and_a_reason() -> None:
    bare = []
    for path in EVERY_MODULE:
        if path == Path(__file__):
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            found = SUPPRESSIONS.search(line)
            if found is not None and not EXPLAINED.match(found.group()):
                bare.append(f"{name_of(path)}:{number}: {found.group()}")
    assert bare == []


MACHINE: Final = re.compile(
    r"/(?:root|work)/\w|/home/(?!ana)\w\w+|/Users/\w\w+|C:\\\\Users|\.pyenv/"
)


def test_nothing_names_a_folder_of_one_machine() -> None:
    named = [
        f"{name_of(path)}: {found.group()}"
        for path in EVERY_FILE
        if path not in (Path(__file__), ROOT / "config.yaml")
        and path.suffix not in (".lock", ".png", ".ico", ".woff2")
        for found in MACHINE.finditer(path.read_text(encoding="utf-8", errors="replace"))
    ]
    assert named == []


# Helpers


def called(call: ast.AST) -> str:
    """The bare name that is called, empty for anything else."""
    return call.func.id if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) else ""


def imported(path: Path) -> list[str]:
    """Everything a module imports, each name in full."""
    names: list[str] = []
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


_ORDERLESS: Final = ("sorted", "set", "frozenset", "any", "all", "len", "min", "max", "bool")
_ORDERED: Final = ("list", "tuple", "iter", "enumerate", "zip", "map", "filter", "next", "reversed")
_ORDERED_METHODS: Final = ("fromkeys", "join", "extend", "sample", "choice", "choices", "shuffle")
_ALGEBRA: Final = ("union", "intersection", "difference", "symmetric_difference", "copy")


def loops_over_sets(tree: ast.Module) -> list[str]:
    """Where something that is plainly a set is gone through in its own order."""
    sets = _names_of_sets(tree)
    harmless = [
        argument
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and called(call) in _ORDERLESS
        for argument in call.args
    ]
    harmless += [one for node in ast.walk(tree) if isinstance(node, ast.Set) for one in node.elts]
    return [
        f"{source.lineno}: {ast.unparse(source)}"
        for node in ast.walk(tree)
        if node not in harmless
        for source in _gone_through(node)
        if _is_set(source, sets)
    ]


def _gone_through(node: ast.AST) -> list[ast.expr]:
    """What a piece of syntax takes one by one, where the order can be seen."""
    match node:
        case ast.For(iter=source) | ast.AsyncFor(iter=source) | ast.Starred(value=source):
            return [source]
        case ast.ListComp() | ast.GeneratorExp() | ast.DictComp():
            return [one.iter for one in node.generators]
        case ast.Call(func=ast.Name(id=name)) if name in _ORDERED:
            return node.args
        case ast.Call(func=ast.Attribute(attr=name)) if name in _ORDERED_METHODS:
            return node.args
        case ast.Call(func=ast.Attribute(value=owner, attr="pop"), args=[]):
            return [owner]
    return []


def _is_set(node: ast.AST, sets: set[str]) -> bool:
    match node:
        case ast.Set() | ast.SetComp() | ast.Call(func=ast.Name(id="set" | "frozenset")):
            return True
        case ast.Name() | ast.Attribute():
            return ast.unparse(node) in sets
        case ast.BinOp(op=ast.BitOr() | ast.BitAnd() | ast.Sub() | ast.BitXor()):
            return _is_set(node.left, sets) or _is_set(node.right, sets)
        case ast.Call(func=ast.Attribute(value=owner, attr=attribute)):
            return attribute in _ALGEBRA and _is_set(owner, sets)
    return False


def _names_of_sets(tree: ast.Module) -> set[str]:
    """Names and attributes that a module says are sets."""
    names = set()
    for node in ast.walk(tree):
        match node:
            case ast.AnnAssign(target=target, annotation=annotation):
                if re.match(r"(set|frozenset)\b", ast.unparse(annotation)):
                    names.add(ast.unparse(target))
            case ast.arg(arg=name, annotation=ast.AST() as annotation):
                if re.match(r"(set|frozenset)\b", ast.unparse(annotation)):
                    names.add(name)
            case ast.Assign(targets=[target], value=ast.Set() | ast.SetComp()):
                names.add(ast.unparse(target))
            case ast.Assign(targets=[target], value=value) if called(value) in ("set", "frozenset"):
                names.add(ast.unparse(target))
    return names
