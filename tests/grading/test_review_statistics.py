"""Reviews: a person's verdict holds whatever is graded, touches its own draw alone, and is what estimates rest on."""

from __future__ import annotations

import json
import random
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsad_cli.grading.checker import Checker
from nsad_cli.grading.grade import count_verdicts, grade
from nsad_cli.grading.review_statistics import ReviewSummary, summarise_reviews, unreviewed
from nsad_cli.pipeline.pipeline import Pipeline, run_stages
from nsad_cli.runs.run import Run
from nsad_cli.store.rationales import Store
from nsad_cli.store.records import ReviewedLabel, ReviewSource
from nsad_cli.types import Draw, Problem, Verdict
from tests.helpers.notes import recorded_notes
from tests.helpers.reviewed_stores import fill, regrade
from tests.helpers.tiny_recipes import recipe

REVIEWS = (Verdict.CORRECT, Verdict.WRONG, Verdict.NO_ANSWER, Verdict.BAD_GOLD, None)


def effective(store: Store) -> dict[str, Verdict]:
    """Each problem's verdict, as later stages see it."""
    return {
        item.problem.id: verdict
        for verdict in Verdict
        for item in store.rationales(verdict, teacher="teacher", params="k")
    }


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.sampled_from(list(Verdict)), min_size=1, max_size=8),
    st.dictionaries(st.integers(0, 7), st.sampled_from(REVIEWS)),
    st.data(),
)
def test_a_review_changes_its_own_draw_alone_and_outlives_every_regrading(
    graded: list[Verdict], reviews: dict[int, Verdict | None], data: st.DataObject
) -> None:
    reviews = {place: verdict for place, verdict in reviews.items() if place < len(graded)}
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "store.sqlite") as store:
        keys = list(fill(store, graded))
        for place, verdict in reviews.items():
            store.reviews.record(keys[place], verdict, ReviewSource.DISPUTED)

        def expected(by_grader: list[Verdict]) -> dict[str, Verdict]:
            return {f"p{i}": reviews.get(i) or verdict for i, verdict in enumerate(by_grader)}

        assert effective(store) == expected(graded)
        store.verdicts.clear("k")
        again = data.draw(st.lists(st.sampled_from(list(Verdict)), min_size=len(graded), max_size=len(graded)))
        regrade(store, again, "2")
        assert effective(store) == expected(again)
        counted = count_verdicts(store, "k").by_verdict()
        assert sum(counted.values()) == len(graded)
        assert counted == {v.value: list(expected(again).values()).count(v) for v in expected(again).values()}
        for key in keys:
            store.reviews.remove(key)
        assert effective(store) == {f"p{i}": verdict for i, verdict in enumerate(again)}


def test_a_problem_lacks_what_people_say_it_lacks(tmp_path: Path) -> None:
    with Store(tmp_path / "store.sqlite") as store:
        keys = list(fill(store, [Verdict.CORRECT, Verdict.WRONG, Verdict.WRONG]))
        assert store.needing_draws("teacher", "k", 1, 0) == {"p1", "p2"}
        store.reviews.record(keys[0], Verdict.WRONG, ReviewSource.DISPUTED)
        store.reviews.record(keys[1], Verdict.CORRECT, ReviewSource.SAMPLE)
        store.reviews.record(keys[2], Verdict.BAD_GOLD, ReviewSource.SAMPLE)
        assert store.needing_draws("teacher", "k", 1, 0) == {"p0"}


def test_a_corrected_gold_answer_takes_its_review_with_it(tmp_path: Path) -> None:
    with Store(tmp_path / "store.sqlite") as store:
        for key in fill(store, [Verdict.WRONG, Verdict.WRONG]):
            store.reviews.record(key, Verdict.CORRECT, ReviewSource.SAMPLE)
        store.add_problems([Problem("p1", "What is 1?", "one", "test")])
        regrade(store, [Verdict.WRONG], "1")
        assert effective(store) == {"p0": Verdict.CORRECT, "p1": Verdict.WRONG}


def test_a_store_of_the_format_before_gains_the_column(tmp_path: Path) -> None:
    import sqlite3

    from nsad_cli.store.tables import FORMATS

    path = tmp_path / "store.sqlite"
    db = sqlite3.connect(path)
    for statements in FORMATS[:2]:
        db.executescript(statements)
    db.execute("PRAGMA user_version = 2")
    db.commit()
    db.close()
    with Store(path) as store:
        (key,) = fill(store, [Verdict.WRONG])
        store.reviews.record(key, Verdict.CORRECT, ReviewSource.SAMPLE)
        assert [label.queue for label in store.reviews.labels("k")] == [ReviewSource.SAMPLE]


# --- estimates -----------------------------------------------------------------------------------------------------


def test_the_estimate_against_numbers_worked_by_hand() -> None:
    """3 right of 50 reviewed of 8,440.

    z² = 3.8415; centre (0.06 + 3.8415/100) / (1 + 3.8415/50) = 0.098415/1.07683 = 0.091393;
    half width 1.96/1.07683 · √(0.06·0.94/50 + 3.8415/10000) = 1.82014 · √0.00151215 = 0.070779;
    so 0.020614 … 0.162172 of 8,440: 173.98 … 1368.7, outward 173 … 1369.
    """
    found = ReviewSummary(8440, {"correct": 3, "wrong": 46, "bad_gold": 1}, 0, 0)
    assert found.reviewed == 50
    assert found.right == 3
    assert found.estimate == pytest.approx(506.4)
    assert found.interval == (173, 1369)
    assert found.as_dict()["ci95"] == [173, 1369]
    assert found.as_dict()["estimate"] == 506.4


def test_without_a_review_there_is_no_number() -> None:
    found = ReviewSummary(8440, {}, 2, 0)
    assert found.estimate is None
    assert found.interval is None
    assert found.as_dict()["estimate"] is None
    assert found.as_dict()["ci95"] is None


@given(st.integers(1, 500), st.data())
def test_the_interval_holds_nothing_that_the_reviews_rule_out(draws: int, data: st.DataObject) -> None:
    reviewed = data.draw(st.integers(1, draws))
    right = data.draw(st.integers(0, reviewed))
    found = ReviewSummary(draws, {"correct": right, "wrong": reviewed - right}, 0, 0)
    assert found.interval is not None
    assert found.estimate is not None
    low, high = found.interval
    assert right <= low <= found.estimate + 1e-9
    assert found.estimate - 1e-9 <= high <= draws - (reviewed - right)
    if reviewed == draws:
        assert found.interval == (right, right)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    """1,000 draws, 60 of them right, 80 reviewed in the order of the queue: 400 stores of other draws."""
    covered = 0
    for n in range(400):
        right = set(random.Random(n).sample(range(1000), 60))
        labels = [ReviewedLabel(i, f"{n}:{i}", Verdict.WRONG) for i in range(1000)]
        for label in unreviewed(labels, ReviewSource.SAMPLE, 80):
            verdict = Verdict.CORRECT if label.key in right else Verdict.WRONG
            labels[label.key] = ReviewedLabel(label.key, label.name, Verdict.WRONG, ReviewSource.SAMPLE, verdict)
        low, high = summarise_reviews(labels, ReviewSource.SAMPLE).interval or (0, 0)
        covered += low <= 60 <= high
    assert 0.93 <= covered / 400 <= 1


def test_only_the_random_sample_counts_for_d_minus() -> None:
    """A draw settled while it was disputed, and called wrong by a later grader, is known and no sample of the rest."""
    labels = [
        ReviewedLabel(0, "a", Verdict.WRONG, ReviewSource.SAMPLE, Verdict.WRONG),
        ReviewedLabel(1, "b", Verdict.WRONG, ReviewSource.DISPUTED, Verdict.CORRECT),
        ReviewedLabel(2, "c", Verdict.WRONG, ReviewSource.SAMPLE, None),
        ReviewedLabel(3, "d", Verdict.WRONG),
        ReviewedLabel(4, "e", Verdict.DISPUTED, ReviewSource.DISPUTED, Verdict.CORRECT),
        ReviewedLabel(5, "f", Verdict.DISPUTED),
    ]
    wrong = summarise_reviews(labels, ReviewSource.SAMPLE)
    assert (wrong.draws, wrong.reviewed, wrong.right, wrong.skipped) == (3, 1, 0, 1)
    disputed = summarise_reviews(labels, ReviewSource.DISPUTED)
    assert (disputed.draws, disputed.reviewed, disputed.right) == (2, 1, 1)


def test_the_order_is_fixed_and_what_is_new_comes_first() -> None:
    labels = [ReviewedLabel(i, f"draw {i}", Verdict.WRONG) for i in range(50)]
    order = [label.key for label in unreviewed(labels, ReviewSource.SAMPLE)]
    assert order != sorted(order)
    assert sorted(order) == list(range(50))
    assert [label.key for label in unreviewed(reversed(labels), ReviewSource.SAMPLE, 5)] == order[:5]
    last = order[9]
    seen = [
        ReviewedLabel(label.key, label.name, Verdict.WRONG, ReviewSource.SAMPLE, Verdict.WRONG)
        if label.key in order[:10]
        else label
        for label in labels
    ]
    assert summarise_reviews(seen, ReviewSource.SAMPLE).unseen == 0
    fewer = [ReviewedLabel(i, f"draw {i}", Verdict.WRONG) if i == order[2] else seen[i] for i in range(50)]
    assert summarise_reviews(fewer, ReviewSource.SAMPLE).unseen == 1
    assert unreviewed(fewer, ReviewSource.SAMPLE, 1)[0].key == order[2]
    skipped = [
        ReviewedLabel(i, seen[i].name, Verdict.WRONG, ReviewSource.SAMPLE, None) if i == last else seen[i]
        for i in range(50)
    ]
    assert unreviewed(skipped, ReviewSource.SAMPLE)[-1].key == last


# --- later stages --------------------------------------------------------------------------------------------------


def disputed_run(model: Path, folder: Path) -> Run:
    """A graded run of 8 problems with a right, a wrong and a disputed rationale each."""
    texts = ["The answer is 2.", "The answer is 3.", "The answer is 2. No: the answer is 3."]
    rows = [{"question": f"{i}: 1+1?", "answer": "2", "generated_answer": texts} for i in range(8)]
    path = folder / "mine.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    run = Run.create("mine", recipe(model, problems={}, teacher={"spec": f"jsonl:{path}", "draws": 3}))
    run_stages(run, ["collect", "grade"])
    return run


def test_training_after_a_review_trains_again(tiny_llama: Path, tmp_path: Path) -> None:
    run = disputed_run(tiny_llama, tmp_path)
    params = run.stages()["collect"]["result"]["params"]

    def negative() -> tuple[dict[str, Any], bool]:
        notes = recorded_notes()
        result = run_stages(run, ["grade", "negative"])["negative"]
        return result, "negative: already done with these settings" in notes

    before, _ = negative()
    assert negative()[1]
    with Store(run.store_path) as store:
        first, second, *_ = unreviewed(store.reviews.labels(params), ReviewSource.DISPUTED)
        store.reviews.record(first.key, None, ReviewSource.DISPUTED)
        assert negative()[1], "who skips changes nothing"
        store.reviews.record(second.key, Verdict.WRONG, ReviewSource.DISPUTED)
    after, done = negative()
    assert not done
    assert after["weights"] != before["weights"]
    assert len(Pipeline(run).corpus().negative) == 9
    results = [run_stages(run, ["grade"], force=force)["grade"] for force in (False, True)]
    assert [result["ledger"]["verdicts"] for result in results] == [{"correct": 8, "wrong": 9, "disputed": 7}] * 2


def test_real_grading_leaves_a_review_alone(tmp_path: Path) -> None:
    with Store(tmp_path / "store.sqlite") as store, Checker() as checker:
        store.add_problems([Problem("p", "1+1?", "2", "test")])
        store.add_draws([Draw("p", "teacher", 0, "The answer is 2."), Draw("p", "teacher", 1, "The answer is 3.")], "k")
        assert grade(store, checker).by_verdict() == {"correct": 1, "wrong": 1}
        (label,) = store.reviews.labels("k")
        store.reviews.record(label.key, Verdict.CORRECT, ReviewSource.SAMPLE)
        store.verdicts.clear("k")
        assert grade(store, checker).by_verdict() == {"correct": 2}
