"""A document as one self-contained HTML page: no scripts, and nothing is loaded from anywhere."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from nsad_cli.report.document import Code, Figure, Fold, Heading, Paragraph, Quote, Table
from nsad_cli.report.style import STYLE
from nsad_cli.report.svg import draw, escaped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nsad_cli.report.document import Block, Document, Section

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""The page's content security policy: the browser runs no script and loads nothing, for any text."""

NO_BREAK = "\N{NO-BREAK SPACE}%"
SHORT = 24
"""Characters of a cell that is not broken over lines."""


def to_html(document: Document) -> str:
    """Render a document as a page; every text in it is escaped."""
    numbers = itertools.count(1)
    links = "".join(f'<a href="#{item.key}">{escaped(item.title)}</a>' for item in document.sections)
    sections = "\n".join(_section(item, numbers) for item in document.sections)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{escaped(document.title)}</title>
<style>
{STYLE}</style>
</head>
<body>
<header>
<h1>{escaped(document.title)}</h1>
<p class="muted">{escaped(document.subtitle)}</p>
<nav aria-label="Sections">{links}</nav>
</header>
<main>
{sections}
</main>
</body>
</html>
"""


def _section(section: Section, numbers: Iterator[int]) -> str:
    body = _blocks(section.blocks, numbers)
    return f'<section id="{section.key}">\n<h2>{escaped(section.title)}</h2>\n{body}\n</section>'


def _blocks(blocks: Sequence[Block], numbers: Iterator[int]) -> str:
    """Render blocks; charts that follow each other share a grid, and tables a row if there is room."""
    parts = []
    for kind, group in itertools.groupby(blocks, key=type):
        found = [_block(block, numbers) for block in group]
        grid = {Figure: "figures", Table: "tables"}.get(kind)
        parts.append("\n".join(found) if grid is None else f'<div class="{grid}">{"".join(found)}</div>')
    return "\n".join(parts)


def _block(block: Block, numbers: Iterator[int]) -> str:
    if isinstance(block, Paragraph):
        return f"<p>{escaped(block.text).replace(' %', NO_BREAK)}</p>"
    if isinstance(block, Heading):
        return f"<h3>{escaped(block.text)}</h3>"
    if isinstance(block, Table):
        return _table(block, f"t{next(numbers)}")
    if isinstance(block, Figure):
        svg = draw(block.chart, f"c{next(numbers)}")
        return f"<figure><figcaption>{escaped(block.chart.title)}</figcaption>{svg}</figure>"
    if isinstance(block, Code):
        return f'<pre class="code" tabindex="0">{escaped(block.text)}</pre>'
    if isinstance(block, Quote):
        return f'<div class="quote"><p class="muted">{escaped(block.label)}</p><pre>{escaped(block.text)}</pre></div>'
    assert isinstance(block, Fold)
    return f"<details><summary>{escaped(block.label)}</summary>\n{_blocks(block.blocks, numbers)}\n</details>"


def _table(table: Table, key: str) -> str:
    def cells(row: Sequence[str], tag: str) -> str:
        return "".join(
            f"<{tag}{_attributes(tag, cell, place < table.left)}>{escaped(cell)}</{tag}>"
            for place, cell in enumerate(row)
        )

    rows = "".join(f"<tr>{cells(row, 'td')}</tr>\n" for row in table.rows)
    return (
        f'<div><p class="caption" id="{key}">{escaped(table.caption)}</p>\n'
        f'<div class="table" role="region" tabindex="0" aria-labelledby="{key}"><table aria-labelledby="{key}">\n'
        f"<thead><tr>{cells(table.columns, 'th')}</tr></thead>\n<tbody>\n{rows}</tbody></table></div></div>"
    )


def _attributes(tag: str, cell: str, is_text: bool) -> str:
    """Return a cell's attributes: numbers are aligned right, and short texts are not broken."""
    scope = ' scope="col"' if tag == "th" else ""
    kind = "k" if is_text and len(cell) <= SHORT else "" if is_text else "n"
    return scope + (f' class="{kind}"' if kind else "")
