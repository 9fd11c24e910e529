"""Rationales out and in again: every format in every kind of file, on real solutions and on what Unicode allows."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import datasets
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsad_cli.config.schema import TEMPLATE
from nsad_cli.config.validation import validate_recipe
from nsad_cli.errors import NsadError, UsageError
from nsad_cli.pipeline.collect_stage import graded_rationales
from nsad_cli.pipeline.pipeline import run_stages
from nsad_cli.runs.run import Run
from nsad_cli.store.rationales import Store
from nsad_cli.store.trl_format import rationales_to_rows, read_rationale_row
from nsad_cli.teachers.recorded import RecordedTeacher
from nsad_cli.types import Problem, Rationale, Verdict, problem_id
from nsad_cli.utils.logs import MAX_LINE_NOTES
from nsad_cli.utils.row_files import read_rows, write_rows
from tests.helpers.notes import recorded_notes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KINDS = ("rows.jsonl", "rows.parquet", "rows")
Sides = tuple[list[Rationale], list[Rationale]]


def rationale(question: str, text: str, right: bool, index: int = 0, answer: str = "1") -> Rationale:
    verdict = Verdict.CORRECT if right else Verdict.WRONG
    return Rationale(Problem(problem_id(question), question, answer, "svamp", "all", subject="s"), text, verdict, index)


def content(items: list[Rationale]) -> Counter[tuple[Problem, str]]:
    """What a side holds, each as often as it is there; a solution does not travel."""
    return Counter(
        (Problem(p.id, p.question, p.answer, p.benchmark, p.split, subject=p.subject), item.text)
        for item in items
        for p in [item.problem]
    )


def collected(path: Path, name: str) -> Run:
    """A run whose teacher is a file, graded."""
    recipe = validate_recipe({"teacher": {"spec": f"jsonl:{path}", "draws": 64}}, "test")
    run = Run.create(name, recipe)
    run_stages(run, ["collect", "grade"])
    return run


@pytest.fixture(scope="module")
def real(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Sides:
    """D+ and D− of real solutions of GSM8K's first problems."""
    os.environ["NSAD_HOME"] = str(tmp_path_factory.mktemp("home"))
    source = {"spec": f"gsm8k-solutions:{data}/gsm8k/example_model_solutions.jsonl", "draws": 4}
    run = Run.create("real", validate_recipe({"teacher": source, "problems": {"limit": 150}}, "test"))
    run_stages(run, ["collect", "grade"])
    return graded_rationales(run)


# --- there and back ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_unpaired_comes_back_as_it_was(real: Sides, kind: str, tmp_path: Path) -> None:
    write_rows(rationales_to_rows(*real, "unpaired", TEMPLATE), tmp_path / kind)
    back = graded_rationales(collected(tmp_path / kind, "back"))
    assert all(len(side) > 150 for side in real)
    assert [content(side) for side in back] == [content(side) for side in real]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", [0, 1])
def test_prompt_completion_carries_one_side(real: Sides, side: int, kind: str, tmp_path: Path) -> None:
    both: tuple[list[Rationale], list[Rationale]] = (real[0], []) if side == 0 else ([], real[1])
    write_rows(rationales_to_rows(*both, "prompt-completion", TEMPLATE), tmp_path / kind)
    back = graded_rationales(collected(tmp_path / kind, "back"))
    assert [content(one) for one in back] == [content(one) for one in both]


@pytest.mark.parametrize("kind", KINDS)
def test_preference_carries_each_text_of_problems_with_both_sides(real: Sides, kind: str, tmp_path: Path) -> None:
    rows = rationales_to_rows(*real, "preference", TEMPLATE)
    write_rows(rows, tmp_path / kind)
    back = graded_rationales(collected(tmp_path / kind, "back"))
    ids = [{item.problem.id for item in side} for side in real]
    expected = [{key for key in content(side) if key[0].id in ids[0] & ids[1]} for side in real]
    assert [set(content(side)) for side in back] == expected
    assert [max(content(side).values()) for side in back] == [1, 1], "a text of several pairs comes once"
    sizes = [Counter(item.problem.id for item in side) for side in real]
    assert len(rows) == sum(max(sizes[0][name], sizes[1][name]) for name in ids[0] & ids[1])


@pytest.mark.parametrize("kind", KINDS)
def test_labels_stand_where_no_gold_answer_is_known(real: Sides, kind: str, tmp_path: Path) -> None:
    rows = [
        {name: row[name] for name in ("prompt", "completion", "label")}
        for row in rationales_to_rows(*real, "unpaired", TEMPLATE)
    ]
    write_rows(rows, tmp_path / kind)
    run = collected(tmp_path / kind, "back")
    texts = [Counter(item.text for item in side) for side in real]
    for force in (False, True):  # a label outlives grading again
        run_stages(run, ["grade"], force=force)
        assert [Counter(i.text for i in side) for side in graded_rationales(run)] == texts


def test_a_gold_answer_goes_before_a_label(tmp_path: Path) -> None:
    row = {"prompt": "1+1?", "completion": "The answer is 2.", "label": False, "answer": 2}
    write_rows([row], tmp_path / "a.jsonl")
    assert [len(side) for side in graded_rationales(collected(tmp_path / "a.jsonl", "a"))] == [1, 0]


def test_a_gold_answer_that_the_store_has_is_kept(tmp_path: Path) -> None:
    row = {"prompt": "1+1?", "completion": "The answer is 2.", "label": False}
    write_rows([row], tmp_path / "labelled.jsonl")
    write_rows([{**row, "answer": "2"}], tmp_path / "gold.jsonl")
    for name in ("gold", "labelled"):
        recipe = validate_recipe({"teacher": {"spec": f"jsonl:{tmp_path / name}.jsonl"}}, "test")
        run = Run.create(name, recipe, store=tmp_path / "shared.sqlite")
        run_stages(run, ["collect", "grade"])
        assert [len(side) for side in graded_rationales(run)] == [1, 0]
    with Store(tmp_path / "shared.sqlite") as store:
        assert [problem.answer for problem in store.problems()] == ["2"]


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
sides = st.lists(
    st.tuples(st.sampled_from(["1+1?", "Wie viel?", "几个?"]), words, st.booleans()), min_size=1, max_size=9
)


@given(sides, st.sampled_from(["chat", TEMPLATE]), st.sampled_from(KINDS[:2]))
def test_any_text_survives(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[tuple[str, str, bool]], template: str, kind: str
) -> None:
    items = [rationale(question, text, right, i) for i, (question, text, right) in enumerate(drawn)]
    positive, negative = (
        [item for item in items if (item.verdict is Verdict.CORRECT) == side] for side in (True, False)
    )
    path = tmp_path_factory.mktemp("any") / kind
    write_rows(rationales_to_rows(positive, negative, "unpaired", template), path)
    entries = [read_rationale_row(row) for _, row in read_rows(path)]
    back = Counter(
        (entry.problem, text, label) for entry in entries for text, label in zip(entry.texts, entry.labels, strict=True)
    )
    assert back == Counter((item.problem, item.text, item.verdict is Verdict.CORRECT) for item in items)
    shutil.rmtree(path.parent)


# --- what others read and write ----------------------------------------------------------------------------------


def test_the_columns_are_trls() -> None:
    right, wrong = [rationale("1+1?", "2", True)], [rationale("1+1?", "3", False, 1)]
    about = {"question": "1+1?", "answer": "1", "benchmark": "svamp", "split": "all", "subject": "s"}
    prompt = "Question: 1+1?\nAnswer:\n"
    assert rationales_to_rows(right, [], "prompt-completion", TEMPLATE) == [
        {"prompt": prompt, "completion": "2", **about}
    ]
    assert rationales_to_rows(right, wrong, "preference", TEMPLATE) == [
        {"prompt": prompt, "chosen": "2", "rejected": "3", **about}
    ]
    assert rationales_to_rows(right, wrong, "unpaired", TEMPLATE) == [
        {"prompt": prompt, "completion": "2", "label": True, **about},
        {"prompt": prompt, "completion": "3", "label": False, **about},
    ]
    (row,) = rationales_to_rows(right, wrong, "preference", "chat")
    assert row["prompt"] == [{"role": "user", "content": "1+1?"}]
    assert row["rejected"] == [{"role": "assistant", "content": "3"}]


def test_datasets_reads_what_is_written(tmp_path: Path) -> None:
    rows = rationales_to_rows([rationale("1+1?", "2", True)], [rationale("1+1?", "3", False, 1)], "unpaired", "chat")
    for kind in KINDS:
        write_rows(rows, tmp_path / "new" / kind)
    assert datasets.load_from_disk(str(tmp_path / "new" / "rows")).to_list() == rows
    assert pyarrow.parquet.read_table(tmp_path / "new" / "rows.parquet").to_pylist() == rows
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(KINDS), "nothing is left beside them"
    umask = os.umask(0)
    os.umask(umask)
    assert {path.stat().st_mode & 0o666 for path in (tmp_path / "new").iterdir()} == {0o666 & ~umask}


@pytest.mark.parametrize(
    ("row", "question", "labels"),
    [
        ({"prompt": "1+1?", "completion": "2", "label": 1}, "1+1?", (True,)),
        ({"prompt": "1+1?", "completion": "2", "answer": 2}, "1+1?", (None,)),
        ({"prompt": "1+1?", "chosen": "2", "rejected": "3"}, "1+1?", (True, False)),
        (
            {
                "prompt": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "1+1?"}],
                "completion": [{"role": "assistant", "content": "2"}],
                "label": False,
            },
            "1+1?",
            (False,),
        ),
        (
            {
                "chosen": [{"role": "user", "content": "1+1?"}, {"role": "assistant", "content": "2"}],
                "rejected": [{"role": "user", "content": "1+1?"}, {"role": "assistant", "content": "3"}],
            },
            "1+1?",
            (True, False),
        ),
        ({"question": "1+1?", "answer": "2", "generated_answer": ["2", "3"]}, "1+1?", (None, None)),
        ({"question": "1+1?", "prompt": "Q: 1+1?\n", "completion": "2", "answer": "2"}, "1+1?", (None,)),
    ],
)
def test_rows_that_are_read(row: dict[str, Any], question: str, labels: tuple[bool | None, ...]) -> None:
    entry = read_rationale_row(row)
    assert (entry.problem.question, entry.labels) == (question, labels)
    assert entry.texts == ("2", "3")[: len(labels)]


@pytest.mark.parametrize(
    ("answer", "gold"),
    [(0.00001, "0.00001"), (1e22, "1" + "0" * 22), (18.0, "18.0"), (-2.5, "-2.5"), (7, "7"), (" 7 ", "7")],
)
def test_numbers_are_gold_answers_without_an_exponent(answer: Any, gold: str) -> None:
    assert read_rationale_row({"prompt": "1+1?", "completion": "2", "answer": answer}).problem.answer == gold


TURN = {"role": "user", "content": "And now?"}


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"text": "1+1?"}, "its columns: text"),
        ({}, "its columns: none"),
        ({"question": "1+1?", "answer": "2"}, "generated_answer"),
        ({"prompt": "1+1?", "completion": "2"}, "neither an `answer`"),
        ({"prompt": "1+1?", "completion": "2", "answer": " "}, "neither an `answer`"),
        ({"prompt": "1+1?", "completion": "2", "label": "yes"}, "neither true nor false"),
        ({"prompt": "1+1?", "completion": None, "label": True}, "`completion` is neither"),
        ({"prompt": "1+1?", "chosen": "2"}, "`rejected` is neither"),
        ({"completion": "2", "label": True}, "needs a `question`"),
        ({"prompt": " ", "completion": "2", "label": True}, "needs a `question`"),
        ({"prompt": [TURN, TURN], "completion": "2", "label": True}, "one user message"),
        ({"prompt": "1+1?", "completion": [TURN], "label": True}, "ends with the assistant"),
        ({"question": "1+1?", "answer": ["2"], "completion": "2"}, "neither text nor a number"),
        ({"question": "1+1?", "answer": "2", "generated_answer": "2"}, "a list"),
        ({"question": "1+1?", "answer": "2", "generated_answer": ["2", None]}, "not a list of texts"),
        ({"question": "1+1?", "answer": "2", "generated_answer": [2]}, "not a list of texts"),
    ],
)
def test_rows_that_are_not(row: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_rationale_row(row)


# --- bad files ---------------------------------------------------------------------------------------------------


def cut_parquet(path: Path) -> Path:
    """A copy that broke off."""
    file = path.with_suffix(".parquet")
    write_rows([{"a": "x" * 99}] * 50, file)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    return file


def folder_without_data(path: Path) -> Path:
    """What `datasets` saved, without its Arrow files."""
    write_rows([{"a": 1}], path)
    for file in path.glob("*.arrow"):
        file.unlink()
    return path


def empty_folder(path: Path) -> Path:
    path.mkdir()
    return path


def text(ending: str, content: str) -> Callable[[Path], Path]:
    """A file of this text."""

    def make(path: Path) -> Path:
        path.with_suffix(ending).write_text(content)
        return path.with_suffix(ending)

    return make


def other_columns(path: Path) -> Path:
    write_rows([{"text": "x"}], path.with_suffix(".parquet"))
    return path.with_suffix(".parquet")


def no_rows(path: Path) -> Path:
    table = pyarrow.table({"prompt": pyarrow.array([], pyarrow.string())})
    pyarrow.parquet.write_table(table, path.with_suffix(".parquet"))
    return path.with_suffix(".parquet")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (text(".parquet", "nonsense"), "not a Parquet file"),
        (cut_parquet, "corrupt"),
        (folder_without_data, "not a folder of the datasets library"),
        (empty_folder, "has no .jsonl or .parquet file"),
        (text(".jsonl", ""), "it is empty"),
        (text(".jsonl", '{"prompt": "1+1?", "compl'), "not JSON"),
        (other_columns, "its columns: text"),
        (no_rows, "it is empty"),
    ],
)
def test_files_that_hold_no_rationales(make: Callable[[Path], Path], words: str, tmp_path: Path) -> None:
    path = make(tmp_path / "bad")
    with pytest.raises(NsadError) as error:
        RecordedTeacher("jsonl", path)
    assert words in error.value.why
    assert error.value.fix


def test_a_few_bad_rows_are_named_and_many_counted(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"label": True, "prompt": "1+1?", "completion": "2"}]
    rows += [{"label": None, "prompt": f"{i}?", "completion": "2"} for i in range(MAX_LINE_NOTES + 4)]
    for kind in KINDS:
        write_rows(rows, tmp_path / kind)
        notes = recorded_notes()
        assert RecordedTeacher("jsonl", tmp_path / kind).max_draws == 1
        assert "2" in notes[0].removeprefix(str(tmp_path))
        assert f"{MAX_LINE_NOTES + 4} rows" in notes[-1]


def test_folders_of_splits_and_of_files(tmp_path: Path) -> None:
    row = {"prompt": "1+1?", "completion": "2", "label": True}
    parts = {name: datasets.Dataset.from_list([{**row, "prompt": name}]) for name in ("train", "test")}
    datasets.disable_progress_bars()
    datasets.DatasetDict(parts).save_to_disk(str(tmp_path / "splits"))
    write_rows([{**row, "prompt": "a"}], tmp_path / "files" / "data" / "a.parquet")
    write_rows([{**row, "prompt": "b"}], tmp_path / "files" / "b.jsonl")
    for name, expected in (("splits", {"train", "test"}), ("files", {"a", "b"})):
        found = {row["prompt"] for _, row in read_rows(tmp_path / name)}
        assert found == expected


def test_nothing_is_overwritten_and_no_part_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = rationales_to_rows([rationale("1+1?", "2", True)], [], "unpaired", TEMPLATE)
    for kind in KINDS:
        write_rows(rows, tmp_path / kind)
        before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        with pytest.raises(NsadError):
            write_rows([*rows, *rows], tmp_path / kind)
        assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    with pytest.raises(UsageError, match=r"unknown format of rows.csv"):
        write_rows(rows, tmp_path / "rows.csv")

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("nsad_cli.utils.row_files.json", SimpleNamespace(dumps=full))
    monkeypatch.setattr(datasets.Dataset, "to_parquet", full)
    monkeypatch.setattr(datasets.Dataset, "save_to_disk", full)
    for kind in KINDS:
        with pytest.raises(NsadError) as error:
            write_rows(rows, tmp_path / "new" / kind)
        assert "disk is full" in error.value.why
    assert list((tmp_path / "new").iterdir()) == []
