"""Pages of HTML and Markdown: escaping of hostile text, self-containment, text alternatives, determinism."""

from __future__ import annotations

import os
import re
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from typer.testing import CliRunner

from nsad_cli.cli.main import app
from nsad_cli.cli.report import write_at_end
from nsad_cli.dashboard.demo_runs import recorded_runs
from nsad_cli.errors import NsadError, UsageError
from nsad_cli.report.charts import Bar, BarChart, ForestPlot, ForestRow, LineChart, Series, thinned
from nsad_cli.report.html import POLICY
from nsad_cli.report.markdown import escaped, fenced, paragraph
from nsad_cli.report.svg import WIDTH, draw
from nsad_cli.report.write import write_run_report
from nsad_cli.runs.run import Run
from nsad_cli.store.chains import ChainStore
from nsad_cli.utils.logs import NOTE, logger
from tests.helpers import rationale_stores, vote_run
from tests.helpers.browser import Browser, find_browser
from tests.helpers.report_runs import SCRIPT, make_run, make_study

HOSTILE = (vote_run.EVIL, rationale_stores.EVIL, SCRIPT)


@pytest.fixture
def home() -> Path:
    """The folder of the test's runs, with a whole run whose example votes are hostile, and a study."""
    home = Path(os.environ["NSAD_HOME"])
    run = make_run(home)
    with ChainStore(run / "chains.sqlite") as store:
        database = store._db._connection
        database.execute("UPDATE problems SET question = question || ?, gold = gold || ?", (SCRIPT, SCRIPT))
        database.execute("UPDATE chains SET text = text || ?, answer = answer || ?", (SCRIPT + "\n````\n# x", SCRIPT))
    make_study(home)
    return home


def page(home: Path, name: str = "whole") -> str:
    return write_run_report(Run(home / name)).read_text(encoding="utf-8")


def run_report(*arguments: str) -> str:
    """What `nsad report` prints; its error is raised."""
    result = CliRunner().invoke(app, ["report", *arguments])
    if result.exception is not None:
        raise result.exception
    return result.stdout.strip()


def test_hostile_text_is_escaped_in_html(home: Path) -> None:
    for text in (page(home), Path(run_report("arms")).read_text(encoding="utf-8")):
        assert not set(text) & {"\x00", "\x1b", "\x07", "\u202e"}
        assert "&lt;script&gt;alert(&#x27;1&#x27;)&lt;/script&gt;" in text
        assert "\\x1b[31m" in text
        tags = set(re.findall(r"</?([a-zA-Z][a-zA-Z0-9]*)", text))
        assert not tags & {"script", "img", "iframe", "object", "form", "base"}
        assert not re.search(r"<[^>]*\son[a-z]+=", text)
        assert text.count("<style>") == text.count("</style>") == 1
        assert "<svg" in text
        assert text.count("<svg") == text.count("</svg>")


def test_hostile_text_is_escaped_in_markdown(home: Path) -> None:
    text = Path(run_report("whole", "-o", str(home / "x.md"))).read_text(encoding="utf-8")
    assert not set(text) & {"\x00", "\x1b", "\x07", "\u202e"}
    outside = re.sub(r"^(`{3,})\n.*?\n\1$", "", text, flags=re.MULTILINE | re.DOTALL)
    assert "&lt;script&gt;" in outside
    assert "<" not in outside
    assert "`````\n" in text, "the fence is longer than the one in the text"
    assert all(line.count(" | ") == lines[0].count(" | ") for lines in tables(outside) for line in lines)


def tables(text: str) -> list[list[str]]:
    """The lines of each table, escaped bars removed."""
    blocks = [block.replace("\\|", "").splitlines() for block in text.split("\n\n")]
    return [lines for lines in blocks if lines and lines[0].startswith("|")]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a | b\n# c", "a \\| b \\# c"),
        ("<b>&amp;", "&lt;b&gt;&amp;amp;"),
        ("[x](http://y)", "\\[x\\](htt&#112;://y)"),
        ("_NAME_", "\\_NAME\\_"),
    ],
)
def test_markdown_is_escaped(text: str, shown: str) -> None:
    assert escaped(text) == shown


def test_a_paragraph_starts_no_list() -> None:
    assert paragraph("1. one") == "1\\. one"
    assert paragraph("- one") == "\\- one"
    assert paragraph("one - two 1. three") == "one - two 1. three"


def test_a_fence_is_longer_than_those_inside() -> None:
    assert fenced("a\n```\nb") == "````\na\n```\nb\n````"


def test_a_page_is_self_contained_and_the_same_each_time(home: Path) -> None:
    text = page(home)
    assert text == page(home)
    assert not re.findall(r"""(?:src|href|xlink:href|action|data)\s*=\s*["'](?!#|data:,)""", text)
    assert not re.search(r"url\(|@import|https?://", text)
    assert f'content="{POLICY}"' in text
    copied = shutil.copytree(home / "whole", home / "copied")
    assert page(home, "copied").replace("copied", "whole") == text, "it depends on the run's files alone"
    assert not (copied / "lock").exists(), "and writes nothing else"


def test_every_chart_has_a_title_and_a_description(home: Path) -> None:
    text = page(home)
    drawings = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(drawings) >= 10
    ids: list[str] = []
    for drawing in drawings:
        root = ET.fromstring(drawing)
        assert root.get("role") == "img"
        title, description = root[0], root[1]
        assert (title.tag, description.tag) == ("title", "desc")
        assert root.get("aria-labelledby") == f"{title.get('id')} {description.get('id')}"
        assert title.text
        assert len(description.text or "") > 20
        ids += [str(title.get("id")), str(description.get("id"))]
    assert len(set(ids)) == len(ids)
    every = re.findall(r'\sid="([^"]+)"', text)
    assert len(set(every)) == len(every)


def test_a_description_has_the_numbers() -> None:
    forest = ForestPlot("t", "accuracy", (ForestRow("nat", 0.44, 0.38, 0.5), ForestRow("x", 0.1)), (0.36, "control"))
    assert forest.describe() == (
        "Forest plot of accuracy with 95 % intervals: nat 44.0 (38.0 to 50.0); x 10.0."
        " The dashed line is control, 36.0."
    )
    lines = LineChart("t", "step", "loss", (Series("a", ((1, 2.0), (2, 0.5), (3, 0.75))),))
    assert lines.describe() == "Line chart of loss by step. a: 2 at 1, 0.75 at 3; lowest 0.5, highest 2."
    assert BarChart("t", "votes", (Bar("7", 0.5, "50 %"),)).describe() == "Bar chart of votes: 7 50 %."


@pytest.mark.parametrize(
    "chart",
    [
        LineChart("one point", "x", "y", (Series("a", ((1.0, 0.0),)),)),
        LineChart("level", "x", "y", (Series("a", ((1.0, 3.0), (2.0, 3.0))), Series("b", ((1.0, 1e-9),), dots=True))),
        LineChart("huge", "x", "y", (Series("a", ((0.0, -1e300), (1e9, 1e300))),)),
        ForestPlot("one row", "x", (ForestRow("a" * 400, 0.0, 0.0, 0.0),)),
        ForestPlot("far", "x", (ForestRow("a", -3.0, -5.0, 7.0), ForestRow("b", 1.0)), (0.0, "r" * 300), signed=True),
        BarChart("out of range", "x", (Bar("a\nb", 7.0, "7" * 400), Bar("", -1.0, ""))),
    ],
    ids=lambda chart: str(chart.title),
)
def test_extreme_charts_stay_inside_their_drawing(chart: LineChart | ForestPlot | BarChart) -> None:
    root = ET.fromstring(draw(chart, "k"))
    width, height = map(float, str(root.get("viewBox")).split()[2:])
    assert width == WIDTH
    for item in root:
        places = [float(v) for name in ("x", "x1", "x2", "cx") if (v := item.get(name)) is not None]
        rows = [float(v) for name in ("y", "y1", "y2", "cy") if (v := item.get(name)) is not None]
        for point in (item.get("points") or "").split():
            places.append(float(point.split(",")[0]))
            rows.append(float(point.split(",")[1]))
        places += [places[0] + float(item.get("width") or 0)] if item.tag == "rect" else []
        assert all(-4.5 <= x <= width + 4.5 for x in places), ET.tostring(item)
        assert all(-4.5 <= y <= height for y in rows), ET.tostring(item)


def test_thinned_points_keep_the_last() -> None:
    points = [(float(i), float(i)) for i in range(1001)]
    kept = thinned(points)
    assert 300 < len(kept) <= 402
    assert kept[-1] == points[-1]
    assert thinned(points[:5]) == tuple(points[:5])


def test_the_command_writes_beside_the_run_or_where_it_is_told(home: Path, tmp_path: Path) -> None:
    assert Path(run_report("whole")) == home / "whole" / "report.html"
    assert "Run whole" in (home / "whole" / "report.html").read_text()
    assert '"path"' in run_report("whole", "-o", str(tmp_path / "deep" / "page.htm"), "--json")
    assert (tmp_path / "deep" / "page.htm").is_file()
    assert Path(run_report("arms")) == home / "studies" / "arms" / "report.html"
    for name in ("page.pdf", "page", str(home)):
        with pytest.raises(UsageError):
            run_report("whole", "-o", name)
    with pytest.raises(UsageError, match="no run named `nothing`"):
        run_report("nothing")
    with pytest.raises(UsageError):
        run_report("../studies/arms")


def test_a_study_shows_differences_to_its_control(home: Path) -> None:
    text = Path(run_report("arms", "-o", str(home / "a.md"))).read_text()
    assert "Difference in accuracy to cot-kd" in text
    assert "nat +8.0 (+1.0 to +15.0)" in text
    assert "| cot-kd (control) | 200 | 36.0 | – | – | – | – | 21,359 | 2,442,240 |" in text
    assert "| nat | 200 | 44.0 | +8.0 | +1.0 to +15.0 | 0.026 | 0.052 | 21,359 | 15,713,280 |" in text
    assert "7.0 points" in text
    make_study(home, "whole")
    assert "Study whole" in page(home), "a run's page has the study of its name"


@pytest.mark.parametrize(
    "changes",
    [{"arms": None}, {"arms": [{}, 3, {"arm": 7, "ci95": [1], "accuracy": "x"}]}, {"control": 4, "cells": "none"}],
)
def test_a_study_may_lack_any_key(home: Path, changes: dict[str, object]) -> None:
    make_study(home, "odd", **changes)
    assert "Study odd" in Path(run_report("odd")).read_text()


def test_a_damaged_study_is_an_error(home: Path) -> None:
    (home / "studies" / "arms" / "study.json").write_text("[")
    with pytest.raises(NsadError, match="cannot be read"):
        run_report("arms")


def test_the_end_of_a_run_notes_the_path_or_why_there_is_none(
    home: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    logger.setLevel(NOTE)
    write_at_end(Run(home / "whole"))
    assert caplog.messages == [f"report: {home / 'whole' / 'report.html'}"]

    def fail(*_: object) -> None:
        raise ValueError("a defect")

    monkeypatch.setattr("nsad_cli.report.write.collect_contents", fail)
    write_at_end(Run(home / "whole"))
    assert "could not be written: ValueError: a defect; `nsad report whole`" in caplog.messages[-1]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("command", [["run", "demo", "--run", "new"], ["demo"]], ids=["run", "demo"])
def test_run_and_demo_write_the_report(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    empty: dict[str, dict[str, list[object]]] = {"eval-before": {"results": []}, "eval": {"results": []}}
    monkeypatch.setattr("nsad_cli.pipeline.preflight.preflight", lambda *_: None)
    monkeypatch.setattr("nsad_cli.cli.run_selection.execute", lambda *_, **__: empty)
    monkeypatch.setattr("nsad_cli.cli.solve.solve_with", lambda *_: None)
    monkeypatch.setattr("nsad_cli.inference.solution_json.solution_json", lambda _: None)
    result = CliRunner().invoke(app, [*command, "--json"])
    assert result.exception is None, result.output
    assert "report" not in result.stdout
    (path,) = Path(os.environ["NSAD_HOME"]).glob("*/report.html")
    assert f"report: {path}" in result.stderr
    assert "no evaluation yet" in path.read_text()


def test_the_recorded_runs_have_reports(tmp_path: Path) -> None:
    with recorded_runs() as recorded:
        for folder in recorded.iterdir():
            text = write_run_report(Run(folder), tmp_path / "page.md").read_text()
            assert "arithmetic:test" in text
            assert "nce: 50 problems" in text


OVERFLOW = """[...document.querySelectorAll("body *")].filter(item => {
  const box = item.getBoundingClientRect();
  return box.right > document.documentElement.clientWidth + 1 && !item.closest(".table, pre, svg");
}).map(item => item.outerHTML.slice(0, 200))"""


def test_a_browser_shows_the_page(home: Path, tmp_path: Path) -> None:
    program = find_browser()
    if program is None:
        pytest.skip("no Chromium is installed: the page was not looked at in a browser")
    page(home)
    with Browser(program, tmp_path / "profile") as browser:
        for file in (home / "whole" / "report.html", Path(run_report("arms"))):
            colours = set()
            for width in (400, 1400):
                for dark in (False, True):
                    browser.show(file, width, dark=dark)
                    browser.value("document.querySelectorAll('details').forEach(item => item.open = true)")
                    assert browser.complaints() == []
                    assert browser.requests() == [file.resolve().as_uri()]
                    assert browser.value("document.documentElement.scrollWidth") <= width
                    assert browser.value(OVERFLOW) == []
                    assert browser.value("document.querySelectorAll('svg').length") > 0
                    assert browser.value("document.querySelectorAll('script, img, link[rel=stylesheet]').length") == 0
                    colours.add(browser.value("getComputedStyle(document.body).backgroundColor"))
            assert len(colours) == 2, "the dark scheme has colours of its own"
