"""A document as Markdown: the same contents, with charts replaced by their descriptions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nsad_cli.report.document import Code, Figure, Fold, Heading, Paragraph, Quote, Table
from nsad_cli.utils.terminal_text import escape_controls

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nsad_cli.report.document import Block, Document

_SPECIAL = re.compile(r"([\\`*_\[\]{}#|~$!])")
"""Characters that start Markdown's own forms."""


def to_markdown(document: Document) -> str:
    """Render a document as Markdown; every text in it is escaped or fenced."""
    parts = [f"# {escaped(document.title)}", paragraph(document.subtitle)]
    for section in document.sections:
        parts += [f"## {escaped(section.title)}", *_blocks(section.blocks)]
    return "\n\n".join(filter(None, parts)) + "\n"


def escaped(text: str) -> str:
    """Escape a text so that it is shown as it is, on one line, without links."""
    line = " ".join(escape_controls(text).split())
    line = _SPECIAL.sub(r"\\\1", line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))
    return re.sub(r"\b(?:https?|ftp)(?=:)|\bwww(?=\.)", lambda found: f"{found[0][:-1]}&#{ord(found[0][-1])};", line)


def paragraph(text: str) -> str:
    """Escape a text that starts a line: `-`, `+`, `=` and `1.` there would start a list or a heading."""
    return re.sub(r"^(\d{0,9})([-+=.)])", r"\1\\\2", escaped(text))


def fenced(text: str) -> str:
    """Put a text into a fence that is longer than any in it."""
    longest = max((len(found) for found in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{escape_controls(text)}\n{fence}"


def _blocks(blocks: Sequence[Block]) -> Iterator[str]:
    for block in blocks:
        if isinstance(block, Paragraph):
            yield paragraph(block.text)
        elif isinstance(block, Heading):
            yield f"### {escaped(block.text)}"
        elif isinstance(block, Table):
            yield f"**{escaped(block.caption)}**"
            yield _table(block)
        elif isinstance(block, Figure):
            yield f"**{escaped(block.chart.title)}.** {escaped(block.chart.describe())}"
        elif isinstance(block, Code):
            yield fenced(block.text)
        elif isinstance(block, Quote):
            yield f"{paragraph(block.label)}:"
            yield fenced(block.text)
        else:
            assert isinstance(block, Fold)
            yield f"**{escaped(block.label)}**"
            yield from _blocks(block.blocks)


def _table(table: Table) -> str:
    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cells)} |"

    marks = ["---" if place < table.left else "---:" for place in range(len(table.columns))]
    rows = [[escaped(cell) for cell in row] for row in (table.columns, *table.rows)]
    return "\n".join([line(rows[0]), line(marks), *(line(row) for row in rows[1:])])
