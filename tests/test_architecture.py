"""The architecture: which rooms there are, which way imports point, and what starts without torch."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "nsad_cli"
ROOT_MODULES = {"__init__", "__main__", "api", "errors", "types"}
ORDER = (
    "cli",
    "api",
    "report",
    "study",
    "serving",
    "pipeline",
    "training",
    "evaluation",
    "collection",
    "inference",
    "teachers",
    "dashboard",
    "rankers",
    "generation",
    "runs",
    "grading",
    "voting",
    "models",
    "problems",
    "store",
    "config",
    "utils",
    "types",
    "errors",
)
"""A room may import rooms that come after it, never one before it."""
HEAVY = (
    "torch",
    "transformers",
    "peft",
    "safetensors.torch",
    "accelerate",
    "datasets",
    "pyarrow",
    "trl",
    "vllm",
    "math_verify",
)


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imported(path: Path) -> set[str]:
    """Modules of the package that a file imports: at the top, inside functions, and for the type checker alone."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module in MODULES:
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= whole & MODULES.keys()
            if whole - MODULES.keys():
                found.add(node.module)
    return found


@functools.cache
def graph() -> dict[str, set[str]]:
    """What each module imports of the package."""
    return {name: imported(path) - {name} for name, path in MODULES.items()}


def room(module: str) -> str:
    """The room of a module; the package itself is `nsad_cli`."""
    return module.split(".")[1] if "." in module else module


def test_the_root_holds_rooms_and_four_modules() -> None:
    files = {path.stem for path in PACKAGE.glob("*.py")}
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert files <= ROOT_MODULES
    assert len(rooms) <= 21
    assert rooms <= set(ORDER), "a new room needs a place in ORDER"


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_point_down_the_list_of_rooms(module: str) -> None:
    if room(module) in ("nsad_cli", "__main__"):
        return
    above = {other for other in graph()[module] if room(other) != "nsad_cli"}
    wrong = [other for other in above if ORDER.index(room(other)) < ORDER.index(room(module))]
    assert not wrong


def test_no_module_imports_the_package_itself() -> None:
    """`nsad_cli` offers names of its modules: a module that imports from it would close a cycle."""
    assert not [name for name, others in graph().items() if "nsad_cli" in others and name != "nsad_cli.__main__"]


def test_no_import_cycle() -> None:
    left = {name: set(others) for name, others in graph().items()}
    while free := [name for name, others in left.items() if not others & left.keys()]:
        for name in free:
            del left[name]
    leads_to_one = {name for name in left if not any(name in others for others in left.values())}
    assert not left.keys() - leads_to_one, "modules in a cycle, and what imports them"


def test_utils_are_shared_by_two_rooms() -> None:
    for module in MODULES:
        if room(module) == "utils" and module != "nsad_cli.utils":
            users = {room(name) for name, others in graph().items() if module in others} - {"utils"}
            assert len(users) >= 2, f"{module} is used by {users or 'nothing'}: it belongs there"


@pytest.mark.parametrize(
    "code",
    [
        "import nsad_cli",
        "import nsad_cli.dashboard.app",
        "from nsad_cli.cli.main import main; import sys; sys.argv = ['nsad', '--help']; main()",
        "import nsad_cli.report.write",
        "import nsad_cli.pipeline.plan, nsad_cli.evaluation.report, nsad_cli.collection.collect",
    ],
)
def test_starts_without_heavy_libraries(code: str) -> None:
    check = (
        f"import sys\ntry:\n    {code}\nexcept SystemExit:\n    pass\nprint([m for m in {HEAVY!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", check], check=False, capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines()[-1] == "[]", done.stdout + done.stderr


def modules_of_tests(path: Path) -> set[str]:
    """Modules of tests/ that a file imports, or that code in its strings does."""
    found: set[str] = set()
    package = path.relative_to(TESTS.parent).parent.parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (start, node.module) if part)
            found.update([module, *(f"{module}.{alias.name}" for alias in node.names)])
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.update(re.findall(r"(?:from|import) +(tests\.[\w.]+)", node.value))
    return {module for module in found if module.startswith("tests.")}


def test_no_test_file_is_imported_by_another() -> None:
    """What tests share is in tests/helpers; the programs in tests/benchmarks are for their own tests alone."""
    for path in TESTS.rglob("*.py"):
        for module in modules_of_tests(path):
            parts = module.split(".")
            assert not any(part.startswith("test_") or part == "conftest" for part in parts), f"{path}: {module}"
            inside = path.parent == TESTS / "benchmarks"
            assert inside or parts[1] != "benchmarks", f"{path}: {module}"
