"""The output of `nsad collect --dry-run`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from nsad_cli.cli.console import out, print_json

if TYPE_CHECKING:
    from rich.console import Console

    from nsad_cli.collection.quote import Quote


def show_quote(quote: Quote, as_json: bool) -> None:
    """Print a quote as a table with its assumptions, or as one JSON object, in which null means unknown."""
    if as_json:
        print_json(dataclasses.asdict(quote))
    else:
        print_quote(quote, out())


def print_quote(quote: Quote, console: Console) -> None:
    """Print a quote as a table with its assumptions."""
    from nsad_cli.cli.render.tables import new_table

    table = new_table(f"Quote for {quote.teacher}; no request sent", "", "expected", "at most")
    for name, expected, at_most in (
        ("problems", quote.problems, None),
        ("draws", quote.draws, None),
        ("already stored", quote.stored, None),
        ("in open batches", quote.in_batches, None),
        ("to request", quote.to_ask, quote.to_ask_at_most),
        ("requests", quote.requests, None),
        ("prompt tokens", quote.prompt_tokens, quote.prompt_tokens_at_most),
        ("completion tokens", quote.completion_tokens, quote.completion_tokens_at_most),
    ):
        shown = "unknown" if expected is None else f"{expected:,}"
        table.add_row(name, shown, "" if at_most is None else f"{at_most:,}")
    table.add_row("[bold]cost in US dollars", f"[bold]{_money(quote.cost)}", f"[bold]{_money(quote.cost_at_most)}")
    console.print(table)
    for note in _notes(quote):
        console.print(f"  {note}", markup=False)


def _money(cost: float | None) -> str:
    return "unknown" if cost is None else f"{cost:,.4f}" if cost < 1 else f"{cost:,.2f}"


def _notes(quote: Quote) -> list[str]:
    from nsad_cli.collection.budget import HOW_TO_PRICE, MILLION

    if not quote.prompts_by:
        return ["this teacher is local or recorded: no cost"]
    notes = [f"prompts: {quote.prompts_by}", f"completions: {quote.completions_by}"]
    if quote.price is None:
        return [*notes, f"price: unknown; {HOW_TO_PRICE}"]
    rates = f"${quote.price.input * MILLION:g} and ${quote.price.output * MILLION:g} per million tokens in and out"
    return [*notes, f"price: {rates} ({quote.price.source})"]
