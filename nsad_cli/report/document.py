"""A report as a document: sections of text, tables, charts, code and quoted model text, in no format yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nsad_cli.report.charts import Chart


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A paragraph of plain text."""

    text: str


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading inside a section."""

    text: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table; its first `left` columns are text, the others numbers."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: int = 1


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart, with its description as the text alternative."""

    chart: Chart


@dataclass(frozen=True, slots=True)
class Code:
    """Commands or a file, verbatim."""

    text: str


@dataclass(frozen=True, slots=True)
class Quote:
    """A text by a model or from a benchmark, verbatim."""

    label: str
    text: str


@dataclass(frozen=True, slots=True)
class Fold:
    """Blocks that are shown on demand."""

    label: str
    blocks: tuple[Block, ...]


Block = Paragraph | Heading | Table | Figure | Code | Quote | Fold


@dataclass(frozen=True, slots=True)
class Section:
    """A section; `key` is its anchor."""

    key: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """A whole report."""

    title: str
    subtitle: str
    sections: tuple[Section, ...]
