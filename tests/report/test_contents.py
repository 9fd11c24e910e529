"""What a report collects from a run's folder, and that a missing or damaged part costs only its section."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from nsad_cli.report.contents import collect_contents
from nsad_cli.report.curves import read_curves
from nsad_cli.report.document import Fold, Paragraph, Table
from nsad_cli.report.html import to_html
from nsad_cli.report.markdown import to_markdown
from nsad_cli.report.run_sections import run_document
from nsad_cli.report.stored_votes import by_number_of_chains
from nsad_cli.runs.event_log import Event
from nsad_cli.runs.run import Run
from nsad_cli.store.chains import ChainStore
from nsad_cli.store.rationales import Store
from nsad_cli.types import Chain, Draw, Problem
from nsad_cli.utils.statistics import pass_at_k
from tests.helpers import run_folders
from tests.helpers.rationale_stores import PARAMS
from tests.helpers.report_runs import make_run
from tests.helpers.vote_run import GREEDY, PROBLEMS, SAMPLED, chains_of

if TYPE_CHECKING:
    from pathlib import Path


def sentences(run: Path) -> dict[str, list[str]]:
    """The paragraphs of each section."""
    document = run_document(collect_contents(Run(run)))
    return {
        section.key: [block.text for block in section.blocks if isinstance(block, Paragraph)]
        for section in document.sections
    }


def test_every_part_of_a_run_is_collected(tmp_path: Path) -> None:
    contents = collect_contents(Run(make_run(tmp_path)))
    assert contents.unreadable == ()
    assert dict(contents.settings)["seed"] == "3"
    assert dict(contents.settings)["adapter.targets"] == "q_proj, v_proj"
    assert contents.problems == 3
    assert sum(row.draws for row in contents.ledger) == 12
    assert sum(row.draws for row in contents.ledger if row.verdict == "correct") == 4, "a review counts"
    assert [row.name for row in contents.stages if row.held_out_loss == 0.065] == ["nat"]
    assert [item.stage for item in contents.curves] == ["negative", "nat", "nce", "ranker"]
    assert {(row.model, row.rule): row.accuracy for row in contents.results}["nce", "asc"] == 0.58
    assert contents.results[0].rule == "greedy"
    assert contents.ranking is not None
    assert [(item.name, item.value, item.low) for item in contents.ranking.scorers] == [
        ("ranker (combined)", 0.88, 0.81),
        ("log-prob. (free)", 0.7, 0.58),
        ("step checks (free)", 0.86, 0.77),
    ]
    assert contents.ranking.weighting == "odds to the power of 2"
    assert contents.ranking.unseen is True
    assert contents.negatives[0].kl == 0.00031


def test_steps_that_a_resumed_stage_repeated_count_once(tmp_path: Path) -> None:
    curves = {item.stage: item for item in collect_contents(Run(make_run(tmp_path))).curves}
    steps = [step for step, _ in curves["nat"].loss]
    assert steps == [float(step) for step in range(1, 34)]
    assert curves["nat"].loss[16][1] == pytest.approx(1.5 / 17 + 0.01), "the later value of step 17"
    assert [step for step, _ in curves["nat"].held_out_loss] == [11, 22, 33]
    assert [step for step, _ in curves["nat"].negative_effect] == [11, 22, 33]
    assert curves["nat"].alpha[9] == pytest.approx((10, -0.01, 0.005, 0.02))
    assert curves["nce"].beta[0] == (1, 0.1, 0.25, 0.4)


def test_a_stage_that_was_trained_again_replaces_its_curve() -> None:
    def event(step: int, loss: float | None) -> Event:
        return Event(0.0, "nat", step, 9, {"loss": loss})

    first = [event(step, 1.0) for step in range(1, 10)]
    again = [event(step, 2.0) for step in range(1, 4)]
    (found,) = read_curves([*first, *again, event(4, None)], ["nat"])
    assert found.loss == ((1.0, 2.0), (2.0, 2.0), (3.0, 2.0))


def group(answers: str, weights: str) -> list[Chain]:
    """Chains with these answers; `r` is the right one."""
    return [
        Chain("p", place, "", letter, answer_class=answers.index(letter), correct=letter == "r", weight=int(weight) / 9)
        for place, (letter, weight) in enumerate(zip(answers, weights, strict=True))
    ]


def test_accuracy_by_number_of_chains_is_the_mean_over_subsets() -> None:
    groups = {"a": group("rwwx", "9111"), "b": group("rrrw", "1119")}
    found = by_number_of_chains("nce", "head", groups)
    sc, asc = found.accuracy["sc"], found.accuracy["asc"]
    assert [k for k, *_ in sc] == [1, 2, 3, 4]
    assert sc[0][1] == asc[0][1] == pytest.approx((pass_at_k(4, 1, 1) + pass_at_k(4, 3, 1)) / 2)
    # Three of rwwx: rww loses, rwx (twice) is a tie that the lowest index wins, wwx loses; of rrrw all win.
    assert sc[2][1] == pytest.approx((2 / 4 + 1) / 2)
    assert (sc[3][1], asc[3][1]) == (0.5, 0.5), "of all chains sc has only b right, asc only a"
    assert sc[3][2] < 0.5 < sc[3][3]
    unscored = {"a": [*groups["a"][:3], Chain("p", 3, "", "x", answer_class=3, correct=False)]}
    assert list(by_number_of_chains("nce", None, unscored).accuracy) == ["sc"]


def test_votes_leave_out_what_the_run_has_seen_and_what_was_only_solved(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    both = [key for key in PROBLEMS if len(chains_of(key)) == 5]
    (item,) = collect_contents(Run(run)).votes.by_number
    assert (item.model, item.problems, max(k for k, *_ in item.accuracy["sc"])) == ("nce", len(both), 5)
    text = (run / "manifest.json").read_text()
    (run / "manifest.json").write_text(text.replace('["p0", "p1", "p2"]', f'["{PROBLEMS["sure"].id}"]'))
    (item,) = collect_contents(Run(run)).votes.by_number
    size = max(k for k, *_ in item.accuracy["sc"])
    assert (item.problems, size) == (4, 3), "a collected problem does not count; most others have 3 chains"
    with ChainStore(run / "chains.sqlite") as store:  # the evaluation has sampled another problem
        key = {**GREEDY, "model": "nce"}
        store.put(PROBLEMS["lost"], chains_of("lost")[:1], **key)
        store._db._connection.execute("UPDATE chains SET number = -1 WHERE sampling = ? AND model = 'nce'", ["9eed"])
    (item,) = collect_contents(Run(run)).votes.by_number
    assert (item.problems, max(k for k, *_ in item.accuracy["sc"])) == (1, 4), (
        "without a greedy chain it was only solved"
    )


def test_chains_of_the_current_weights_are_taken(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    text = (run / "manifest.json").read_text()
    (run / "manifest.json").write_text(text.replace('"best_step": 33, "steps"', '"weights": "4e0c", "steps"'))
    with ChainStore(run / "chains.sqlite") as store:
        for name in ("sure", "split"):
            wrong = [Chain(PROBLEMS[name].id, i, "later", "1", answer_class=0, correct=False) for i in range(5)]
            store.put(PROBLEMS[name], wrong, **{**SAMPLED, "model_key": "later"})
    (item,) = collect_contents(Run(run)).votes.by_number
    assert item.accuracy["sc"][-1][1] == 0.5


def test_examples_show_each_kind_once(tmp_path: Path) -> None:
    examples = collect_contents(Run(make_run(tmp_path))).votes.examples
    assert [(item.why, item.problem.id) for item in examples] == [
        ("A right chain is outvoted under every rule", PROBLEMS["split"].id),
        ("The chains disagree, and the right answer wins", PROBLEMS["sure"].id),
    ]
    assert examples[0].chains[0].text == chains_of("split")[0].text
    assert [result.rule for result in examples[0].results] == ["sc", "asc"]


def test_a_run_without_evaluation_ranker_and_chains_says_so(tmp_path: Path) -> None:
    run = run_folders.make_run(tmp_path, "new", {})
    found = sentences(run)
    assert found["summary"] == ["The run has no evaluation yet, so nothing can be said of its accuracy."]
    assert "no samples" in found["data"][0]
    assert "No stage has started." in found["data"]
    assert found["curves"] == ["No stage has logged a loss yet."]
    assert "no evaluation yet" in found["arms"][0]
    assert "no measured ranker" in found["ranker"][0]
    assert "no votes" in found["chains"][0]
    assert "not measured" in found["negatives"][0]
    assert "no votes" in found["examples"][0]
    assert "<svg" not in to_html(run_document(collect_contents(Run(run))))


def test_damaged_files_cost_their_sections(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    (run / "chains.sqlite").write_bytes(b"no database" * 400)
    (run / "store.sqlite").write_bytes(b"no database" * 400)
    (run / "recipe.yaml").write_text("seed: [")
    with (run / "events.jsonl").open("a") as file:
        file.write('{"time": 1, "stage": "nat", "step": "x", "total": 3, "metrics": {"loss": 1}}\n{"time"\n[]\n')
        for step, loss in (("34", "1" + 400 * "0"), ("1" + 400 * "0", "1"), ("34", "NaN"), ("34", "true")):
            file.write(f'{{"time": 1, "stage": "nat", "step": {step}, "total": 3, "metrics": {{"loss": {loss}}}}}\n')
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["stages"]["eval"]["result"] |= {"results": [{"accuracy": "high"}, 7], "negatives": {}}
    manifest["created"] = manifest["stages"]["nat"]["result"]["tokens"] = 10**400
    manifest["stages"]["nce"]["result"]["problem_ids"] = 7
    manifest["stages"]["ranker"]["result"]["ranking"] = {"measured": []}
    (run / "manifest.json").write_text(json.dumps(manifest))
    contents = collect_contents(Run(run))
    assert [line.split(" could")[0] for line in contents.unreadable] == [
        "The run's recipe", "The run's rationales", "The run's chains"
    ]  # fmt: skip
    assert [row.model for row in contents.results] == ["base"]
    assert contents.ranking is None
    assert len(contents.curves) == 4
    assert max(step for step, _ in contents.curves[1].loss) == 33
    assert contents.created == "at an unknown time"
    document = run_document(contents)
    assert "could not be read" in to_html(document)
    assert "could not be read" in to_markdown(document)


def test_a_refused_ranker_is_named(tmp_path: Path) -> None:
    found = sentences(make_run(tmp_path, refused="it ranks at chance"))
    assert "The ranker is refused, so votes do not use its weights: it ranks at chance." in found["summary"]
    assert "It is refused: it ranks at chance." in found["ranker"][0]


def test_a_long_ledger_is_folded_and_ends(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    (run / "store.sqlite").unlink()
    problems = [Problem(f"q{i}", f"What is {i}?", "1", "made", subject=f"subject {i}") for i in range(600)]
    with Store(run / "store.sqlite") as store:
        store.add_problems(problems)
        store.add_draws([Draw(problem.id, "gpt", 0, "1") for problem in problems], PARAMS)
    section = next(item for item in run_document(collect_contents(Run(run))).sections if item.key == "data")
    (fold,) = [block for block in section.blocks if isinstance(block, Fold)]
    (table,) = fold.blocks
    assert isinstance(table, Table)
    assert len(table.rows) == 500
    assert "the first 500 of 600 subjects" in table.caption
