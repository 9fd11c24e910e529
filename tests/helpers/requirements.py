"""Reading from a test's code what it needs beyond its own process: a model, or processes that it starts."""

from __future__ import annotations

import ast
import functools
import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType

    import pytest

ROOT = Path(__file__).parent.parent.parent
MODEL_LIBRARIES = {"torch", "transformers", "peft", "safetensors"}
MODEL_NAMES = MODEL_LIBRARIES | {"tiny_llama", "tiny_encoders", "smollm2_folder", "load_student", "run_stages"}
PROCESS_NAMES = {"subprocess", "Popen", "create_subprocess_exec", "pty"}


@functools.cache
def imports_model_libraries(path: Path) -> bool:
    """Whether importing a file imports torch or a library on top of it.

    Args:
        path: A file of tests/ or of the package; only its import statements at the top count, and those of the files
            that these lead to.
    """
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            modules = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        if any(module.partition(".")[0] in MODEL_LIBRARIES for module in modules):
            return True
        files = [ROOT.joinpath(*module.split(".")).with_suffix(".py") for module in modules]
        if any(imports_model_libraries(file) for file in files if file.is_file()):
            return True
    return False


def required_markers(item: pytest.Item) -> set[str]:
    """The markers `model` and `process`, as far as a test needs them.

    Args:
        item: A collected test. Its function, its fixtures, and the functions and classes of tests/ that these name are
            searched for names of libraries, fixtures and functions that load a model or start a process.
    """
    if not hasattr(item, "obj"):
        return set()
    names = set(item.fixturenames)  # type: ignore[attr-defined]
    seen: set[int] = set()
    fixtures = item._fixtureinfo.name2fixturedefs  # type: ignore[attr-defined]
    for function in [item.obj, *(definition.func for found in fixtures.values() for definition in found[-1:])]:
        names.update(_names(function, seen))
    needed = {"model"} if names & MODEL_NAMES else set()
    return needed | ({"process"} if names & PROCESS_NAMES else set())


def _names(function: Any, seen: set[int]) -> Iterator[str]:
    """Global names and attributes in a function's code and in the code of tests/ that it refers to."""
    function = getattr(getattr(function, "hypothesis", None), "inner_test", function)
    function = inspect.unwrap(function)
    if id(function) in seen:
        return
    seen.add(id(function))
    if inspect.isclass(function):
        for member in vars(function).values():
            if inspect.isfunction(member):
                yield from _names(member, seen)
        return
    if not inspect.isfunction(function):
        return
    for name in _names_in_code(function.__code__):
        yield name
        value = function.__globals__.get(name)
        if getattr(value, "__module__", None) and value.__module__.startswith("tests."):
            yield from _names(value, seen)


def _names_in_code(code: CodeType) -> Iterator[str]:
    for name in code.co_names:
        yield from name.split(".")
    for constant in code.co_consts:
        if inspect.iscode(constant):
            yield from _names_in_code(constant)
