"""The tables of `nsad compare`: no number is cut or broken in narrow terminals."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from nsad_cli.cli.render.comparison import comparison_report, overlap_table, weights_report

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import RenderableType

RANKER = "ranker (combined)"
WIDTHS = (40, 60, 80, 120)
SUBJECTS = ("Counting & Probability", "Intermediate Algebra", "Number Theory", None)


def shown(tables: Iterable[RenderableType], width: int) -> str:
    console = Console(file=io.StringIO(), width=width)
    for table in tables:
        console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def result(run: str, model: str, rule: str | None, group: str | None, by: str | None, **more: Any) -> dict[str, Any]:
    row = {"run": run, "runs": [run], "model": model, "benchmark": "math:test", "rule": rule, "by": by, "group": group}
    numbers = {"n": 5000, "samples": 16 if rule else 1, "accuracy": 0.4375, "ci95": [0.4238, 0.4513]}
    return {**row, **numbers, "seeds": [0], "by_seed": [0.4375], "sd": None, **more}


def size(run: str, model: str) -> dict[str, Any]:
    stages = {"negative": 1_844_052, "nat": 2_135_900, model: 2_135_901}
    return {"run": run, "runs": [run], "model": model, "parameters": 15_713_280, "tokens": 6_115_853, "stages": stages}


def report(results: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    models = [size(run, model) for run, model in dict.fromkeys((row["run"], row["model"]) for row in results)]
    empty: dict[str, Any] = {"a": None, "b": None, "comparison": [], "left_out": [], "overlap": []}
    return {"models": models, "results": results, **empty, **more}


@pytest.mark.parametrize("width", WIDTHS)
def test_accuracies_by_subject_are_never_cut(width: int) -> None:
    rows = [
        result("paper-llama7b-gpt35", model, rule, group, "subject")
        for model in ("nce", "self-distillation")
        for rule in (None, "asc-add2")
        for group in SUBJECTS
    ]
    text = shown(comparison_report(report(rows)), width)
    assert max(len(line.rstrip()) for line in text.splitlines() if "interval:" not in line) <= width
    words = text.split()
    assert words.count("43.8") == words.count("42.4–45.1") == 16
    assert words.count("6.12M") == words.count("15.7M") == 2
    assert "1.84M" in text
    assert "±" not in text


@pytest.mark.parametrize("width", WIDTHS)
def test_seeds_and_benchmarks_are_never_cut(width: int) -> None:
    rows = [
        result(
            "study.cot-kd.*",
            "cot-kd",
            rule,
            None,
            None,
            benchmark=benchmark,
            sd=0.0123,
            seeds=[0, 1, 2],
            runs=list("abc"),
        )
        for rule in (None, "sc")
        for benchmark in ("gsm8k:test", "multiarith")
    ]
    rows += [result("another-run", "nat", None, None, None, benchmark="gsm8k:test", n=1319)]
    text = shown(comparison_report(report(rows)), width)
    assert len(re.findall(r"43\.8 ± 1\.2", text)) == 4
    assert len(re.findall(r"42\.4–45\.1", text)) == 5
    assert "n 1319" in text or "1319" in text.split(), "the rows of a column may have different numbers of problems"
    assert "(3 seeds)" in " ".join(text.split())
    assert "standard deviation over seeds" in text
    dashes = [line for line in text.splitlines() if line.rstrip().endswith("–")]
    assert bool(dashes) == (width >= 60), "what was not evaluated is a dash where benchmarks are columns"


@pytest.mark.parametrize("width", WIDTHS)
def test_the_overlap_is_never_cut(width: int) -> None:
    rows = [
        {"benchmark": "math:test", "rule": None, "by": "subject", "group": group, "n": 1187, "a": 435, "b": 221,
         "both": 104, "either": 552, "iou": 0.18841, "only_a": 331, "only_b": 117, "p": 1e-9}
        for group in SUBJECTS
    ]  # fmt: skip
    text = shown([overlap_table(rows, "run:cot-kd", "run:negative")], width)
    assert text.count("0.188") == text.count("1187") == text.count("<0.001") == 4
    assert {"Intermediate", "Algebra", "Probability", "all"} <= set(text.split()), "names break between words"
    nothing = [{**rows[0], "a": 0, "b": 0, "both": 0, "either": 0, "iou": None, "p": 1.0}]
    assert "–" in shown([overlap_table(nothing, "a", "b")], width)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_ablation_of_weights_is_never_cut(width: int) -> None:
    first = {
        "benchmark": "math:test",
        "run": "paper",
        "model": "nce",
        "n": 5000,
        "samples": 16,
        "ci95": [0.4238, 0.4513],
    }
    paired = {"difference": 0.1234, "difference_ci95": [0.0812, 0.1655], "won": 1234, "lost": 617, "p": 0.0123}
    none = dict.fromkeys(paired)
    weights = [
        {**first, "score": "none", "weights": "one each", "rule": "sc", "accuracy": 0.4375, **none},
        {
            **first,
            "score": "ranker (combined)",
            "weights": "fitted: odds^1.5",
            "rule": "asc",
            "accuracy": 0.4,
            **paired,
        },
    ]
    measured = {"value": 0.8065, "low": 0.75, "high": 0.8642, "pairs": 123_456, "problems": 9}
    ranking = [{**first, "score": "ranker (combined)", "pair_accuracy": measured, "auc": 0.798}]
    ranking += [
        {**first, "score": "step checks", "auc": None, "pair_accuracy": dict.fromkeys(measured, None) | {"pairs": 0}}
    ]
    text = shown(weights_report({"weights": weights, "ranking": ranking, "models": [size("paper", "nce")]}), width)
    for number in ("+12.3", "1234 : 617", "0.012", "43.8", "123456", "80.7%", "75.0–86.4", "0.798"):
        assert len(re.findall(rf"(?<!\S){re.escape(number)}(?!\S)", text)) == 1, (number, text)
    assert ("+8.1 … +16.6" in text) == (width != 80), "a table without intervals goes before rows without a table"


def test_a_single_arm_of_several_seeds_says_so() -> None:
    row = result("kd-*", "nce", None, None, None, sd=0.0123, seeds=[0, 1, 2], runs=["kd-0", "kd-1", "kd-2"])
    assert "kd-* (3 seeds)" in shown(comparison_report(report([row])), 80)
    assert "seeds" not in shown(comparison_report(report([result("kd-0", "nce", None, None, None)])), 80)


def test_names_are_no_markup() -> None:
    text = shown(comparison_report(report([result("a", "nce", None, "[b]\x1b[2J", "subject")])), 80)
    assert "[b]" in text
    assert "\x1b" not in text
