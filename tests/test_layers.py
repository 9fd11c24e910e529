"""Arrows point one way, and what must start fast imports nothing heavy."""

from __future__ import annotations

import ast
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "nsad_cli"
HEAVY = {"torch", "transformers", "peft", "safetensors", "accelerate", "datasets", "pyarrow", "vllm", "math_verify"}
LIGHT = (
    "types",
    "errors",
    "likelihoods",
    "files",
    "nearest",
    "config",
    "recipes",
    "prompts",
    "runs",
    "readable",
    "steps",
    "hub",
    "database",
    "store",
    "chains",
    "arithmetic",
    "benchmarks",
    "answers",
    "teachers",
    "owners",
    "money",
    "collect",
    "batches",
    "tokens",
    "quote",
    "grading",
    "reviews",
    "settling",
    "store_pages",
    "voting",
    "votefile",
    "solve",
    "asked",
    "models",
    "stopping",
    "ballots",
    "survey",
    "machine",
    "processes",
    "doctor",
    "cli",
    "dashboard",
    "pipeline",
    "evaluation",
    "forecast",
    "plan",
    "overlap",
    "leaks",
    "exchange",
    "rowfiles",
)
LAYERS = (
    {"types", "errors", "likelihoods", "nearest", "processes", "owners", "readable", "seeds"},
    {"files"},
    {
        "config",
        "engines",
        "answers",
        "losses",
        "voting",
        "hub",
        "database",
        "machine",
        "arithmetic",
        "overlap",
        "rowfiles",
        "steps",
    },
    {"recipes", "benchmarks", "nat", "packing", "stopping", "ballots", "prompts", "exchange"},
    {"runs", "store", "chains", "students", "teachers", "heads"},
    {"money", "tokens", "grading", "store_pages", "generation", "footprint", "leaks", "models", "survey"},
    {"collect", "rankers"},
    {"solve", "batches", "quote", "asked"},
    {"votefile", "evaluation", "session"},
    {"training", "reviews"},
    {"pipeline", "probe", "settling"},
    {"forecast"},
    {"doctor", "export", "plan"},
    {"dashboard"},
    {"cli"},
    {"__main__"},
)


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path, inside: bool) -> set[str]:
    """Modules imported at the top (and inside functions where asked); what is for the type checker alone is not."""
    tree = ast.parse(path.read_text())
    found: set[str] = set()

    def visit(node: ast.AST, top: bool) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            if top or inside:
                if isinstance(child, ast.Import):
                    found.update(alias.name for alias in child.names)
                elif isinstance(child, ast.ImportFrom) and child.module:
                    found.add(child.module)
            visit(child, top and not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef))

    visit(tree, True)
    return found


def test_light_modules_import_nothing_heavy() -> None:
    for path in PACKAGE.rglob("*.py"):
        if part_of(path) in LIGHT and path.name not in ("worker.py", "own_chains.py"):
            assert not {name.split(".")[0] for name in imports(path, inside=False)} & HEAVY, path


def test_arrows_point_one_way() -> None:
    rank = {name: i for i, layer in enumerate(LAYERS) for name in layer}
    for path in PACKAGE.rglob("*.py"):
        part = part_of(path)
        if part == "__init__":
            continue
        for name in imports(path, inside=False):
            if name.startswith("nsad_cli."):
                other = name.split(".")[1]
                assert other == part or rank[other] < rank[part], f"{path}: {part} imports {other}"
