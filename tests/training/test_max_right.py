"""training.max_right: few right rationales, the same in every stage; wrong and held-out ones stay."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nsad_cli.config.stages import stages
from nsad_cli.config.validation import validate_recipe
from nsad_cli.training.stage_data import make_corpus, rationales_for
from nsad_cli.types import Problem, Rationale, Verdict

PROBLEMS = [Problem(f"p{i}", f"How many {i}?", "20", "made") for i in range(30)]
RIGHT = [Rationale(problem, f"{i} The answer is 20.", Verdict.CORRECT, i) for problem in PROBLEMS for i in range(3)]
WRONG = [Rationale(problem, "The answer is 3.", Verdict.WRONG, 3) for problem in PROBLEMS]


@given(st.integers(1, 100), st.integers(0, 3))
def test_few_right_rationales_are_the_same_in_every_stage(limit: int, seed: int) -> None:
    recipe = validate_recipe({"seed": seed, "training": {"max_right": limit, "held_out": 0.2}}, "test")
    corpus = make_corpus(RIGHT, WRONG, recipe)
    whole = make_corpus(RIGHT, WRONG, validate_recipe({"seed": seed, "training": {"held_out": 0.2}}, "test"))
    assert corpus.held_out == whole.held_out
    assert corpus.negative == whole.negative
    trained = [item for item in corpus.positive if item.problem.id not in corpus.held_out]
    everything = [item for item in whole.positive if item.problem.id not in corpus.held_out]
    assert len(trained) == min(limit, len(everything))
    assert set(trained) <= set(everything)
    assert [item for item in corpus.positive if item.problem.id in corpus.held_out] == [
        item for item in whole.positive if item.problem.id in corpus.held_out
    ]
    for name in ("nat", "cot-kd"):
        assert rationales_for(stages()[name], corpus) == list(corpus.positive)
    assert (corpus.key == whole.key) == (len(trained) == len(everything))
