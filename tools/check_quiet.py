"""The quiet rooms stay quiet: what would let two members compute different bytes is found in the source.

Rooms 1 to 5 know no disk, network, clock, chance, thread or environment, no float, and no order that a set happens to
have. The rooms are named in `pyproject.toml` under `tool.salus.quiet_rooms`. This reads syntax only: a set that
travels through two functions before it is iterated is left to review and to the replay tests.
"""

import ast
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


FORBIDDEN_MODULES = _words("""
    asyncio builtins codecs concurrent contextvars ctypes fcntl fileinput getpass glob http httpx importlib io lmdb
    locale logging mmap multiprocessing numpy obstore os pathlib pickle platform queue random requests sched secrets
    select selectors shelve shutil signal socket socketserver sqlalchemy sqlite3 ssl structlog subprocess sys tempfile
    _thread threading time tomllib urllib uuid weakref zoneinfo
""")
FORBIDDEN_CALLS = _words("""
    __import__ breakpoint compile complex eval exec float globals hash id input locals open print vars
""")
FORBIDDEN_ATTRIBUTES = _words("""
    astimezone fromtimestamp getrandbits now perf_counter random today token_bytes urandom utcnow
""")
SET_MAKERS = frozenset(["set", "frozenset"])
SET_METHODS = frozenset(["union", "intersection", "difference", "symmetric_difference"])

# A file may do what is named here, for the reason given. Paths are below `src/salus`.
ALLOWED = {
    ("core/transport.py", "async"): "waits for a channel that it is handed; no rule and no block goes through it",
    ("core/work.py", "async"): "does at once what others may do elsewhere; no rule and no block goes through it",
}


@dataclass(frozen=True, order=True)
class Finding:
    """One place where a quiet room is not quiet; `what` is the word that is forbidden there."""

    path: str
    line: int
    what: str
    why: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.what}: {self.why}"


def check_source(source: str, path: str) -> list[Finding]:
    """All findings in the text of one module, apart from what `ALLOWED` names."""
    tree = ast.parse(source, filename=path)
    found = (Finding(path, line, what, why) for node in ast.walk(tree) for line, what, why in _faults(node))
    return sorted(finding for finding in found if (path, finding.what) not in ALLOWED)


def check_rooms(package: Path, rooms: list[str]) -> list[Finding]:
    """All findings in these rooms of the package, in the order of their paths."""
    findings = []
    for room in rooms:
        for file in sorted((package / room).rglob("*.py")):
            findings += check_source(file.read_text(encoding="utf-8"), file.relative_to(package).as_posix())
    return findings


def folders_without_index(package: Path) -> list[str]:
    """Folders with modules but no `__init__.py`: the check of imports would pass over them."""
    folders = {file.parent for file in package.rglob("*.py")}
    return sorted(f.relative_to(package).as_posix() for f in folders if not (f / "__init__.py").exists())


def quiet_rooms() -> list[str]:
    """The rooms that `pyproject.toml` calls quiet."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        rooms: list[str] = tomllib.load(file)["tool"]["salus"]["quiet_rooms"]
    return rooms


def _faults(node: ast.AST) -> Iterator[tuple[int, str, str]]:
    match node:
        case ast.Import(lineno=line, names=names):
            for name in names:
                yield from _module_fault(line, name.name)
        case ast.ImportFrom(lineno=line, module=str(module), level=0):
            yield from _module_fault(line, module)
        case ast.Call(func=ast.Name(id=name), lineno=line) if name in FORBIDDEN_CALLS:
            yield line, f"{name}()", "reaches outside, makes a float, or differs between processes"
        case ast.Attribute(attr=name, lineno=line) if name in FORBIDDEN_ATTRIBUTES:
            yield line, f".{name}", "reads a clock or draws at random"
        case ast.Constant(value=float() | complex(), lineno=line):
            yield line, "float", "quantities are integers with a unit"
        case ast.BinOp(op=ast.Div(), lineno=line) | ast.AugAssign(op=ast.Div(), lineno=line):
            yield line, "/", "true division makes a float; use //"
        case ast.AsyncFunctionDef(lineno=line, body=body) if not _only_declares(body):
            yield line, "async", "rules wait for nothing"
        case ast.Global(lineno=line):
            yield line, "global", "what a call leaves behind would depend on history"
        case ast.For(iter=iterable) | ast.comprehension(iter=iterable) if _is_set(iterable):
            yield iterable.lineno, "set order", "sort it before iterating"
        case ast.Call(func=ast.Name(id="list" | "tuple" | "enumerate" | "iter" | "map" | "zip"), args=arguments):
            for argument in arguments:
                if _is_set(argument):
                    yield argument.lineno, "set order", "sort it before iterating"
        case ast.Call(func=ast.Attribute(attr="join"), args=[argument]) if _is_set(argument):
            yield argument.lineno, "set order", "sort it before joining"
        case ast.Starred(value=value) if _is_set(value):
            yield value.lineno, "set order", "sort it before unpacking"


def _module_fault(line: int, module: str) -> Iterator[tuple[int, str, str]]:
    if module.split(".")[0] in FORBIDDEN_MODULES:
        yield line, module, "not for a quiet room"


def _only_declares(body: list[ast.stmt]) -> bool:
    """Whether a function is a protocol's: a docstring or an ellipsis and nothing else."""
    return all(isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant) for statement in body)


def _is_set(node: ast.expr) -> bool:
    """Whether this expression is plainly a set: a display, a call that makes one, or an operation on one."""
    match node:
        case ast.Set() | ast.SetComp():
            return True
        case ast.Call(func=ast.Name(id=name)):
            return name in SET_MAKERS
        case ast.Call(func=ast.Attribute(attr=name, value=value)):
            return name in SET_METHODS and (_is_set(value) or not isinstance(value, ast.Constant))
        case ast.BinOp(left=left, right=right, op=ast.BitOr() | ast.BitAnd() | ast.Sub() | ast.BitXor()):
            return _is_set(left) or _is_set(right)
    return False


def main() -> int:
    """Print every finding; the exit code says whether there was one."""
    package = ROOT / "src" / "salus"
    findings = check_rooms(package, quiet_rooms())
    missing = folders_without_index(package)
    for finding in findings:
        print(finding)
    for folder in missing:
        print(f"{folder}: has modules but no __init__.py")
    if not findings and not missing:
        print("quiet rooms: kept")
    return 1 if findings or missing else 0


if __name__ == "__main__":
    sys.exit(main())
