"""The result file of a study, read with every key optional."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nsad_cli.errors import NsadError, first_line
from nsad_cli.report.numbers import interval, number
from nsad_cli.runs.run import is_valid_name, runs_home

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Arm:
    """One arm of a study; what its file lacks is None. Fractions are in [0, 1]."""

    name: str
    control: str | None = None
    n: float | None = None
    accuracy: float | None = None
    difference: float | None = None
    ci95: tuple[float, float] | None = None
    p: float | None = None
    p_holm: float | None = None
    tokens: float | None = None
    parameters: float | None = None
    votes: tuple[Vote, ...] = ()


@dataclass(frozen=True, slots=True)
class Vote:
    """A rule of an arm over its seeds; the difference is to the count of votes (sc). Fractions are in [0, 1]."""

    rule: str
    n: float | None
    accuracy: float | None
    difference: float | None
    ci95: tuple[float, float] | None
    p: float | None
    gap_closed: float | None


@dataclass(frozen=True, slots=True)
class Study:
    """A study: its arms, differences being to the control, and its cells as columns and rows of text."""

    name: str
    control: str | None
    arms: tuple[Arm, ...]
    minimal_difference: float | None
    cell_columns: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]


def study_path(name: str) -> Path | None:
    """Return the result file of a study; None if there is none of that name."""
    path = runs_home() / "studies" / name / "study.json"
    return path if is_valid_name(name) and path.is_file() else None


def read_study(path: Path) -> Study:
    """Read a study's results.

    Raises:
        NsadError: The file is not a JSON object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(value, dict):
            raise ValueError("it is not a JSON object")
    except (OSError, ValueError, RecursionError) as error:
        raise NsadError(
            f"the study {path.parent.name} cannot be read", f"{path}: {first_line(error)}", "run the study again"
        ) from error
    arms = tuple(_arm(item) for item in _objects(value.get("arms")))
    cells = _objects(value.get("cells"))
    columns = tuple(dict.fromkeys(key for cell in cells for key, item in cell.items() if _is_scalar(item)))
    control = value.get("control")
    return Study(
        str(value.get("study") or path.parent.name),
        control if isinstance(control, str) else None,
        arms,
        number(least.get("difference") if isinstance(least := value.get("minimal_difference"), dict) else least),
        columns,
        tuple(tuple(_text(cell.get(key)) for key in columns) for cell in cells),
    )


def _arm(item: dict[str, Any]) -> Arm:
    numbers = {
        key: number(item.get(key)) for key in ("n", "accuracy", "difference", "p", "p_holm", "tokens", "parameters")
    }
    control = item.get("control")
    return Arm(
        str(item.get("arm", "unnamed")),
        control if isinstance(control, str) else None,
        ci95=interval(item.get("ci95")),
        votes=tuple(_vote(row) for row in _objects(item.get("votes"))),
        **numbers,
    )


def _vote(row: dict[str, Any]) -> Vote:
    numbers = {key: number(row.get(key)) for key in ("n", "accuracy", "difference", "p", "gap_closed")}
    return Vote(str(row.get("rule") or "greedy"), ci95=interval(row.get("ci95")), **numbers)


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | float | bool)


def _text(value: Any) -> str:
    if value is None or not _is_scalar(value):
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
