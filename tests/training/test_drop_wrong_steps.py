"""training.drop_wrong_steps in training: NAT's own chains are filtered too, and keys change only where it matters."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from nsad_cli.config.stages import NCE, TRAINING, stages
from nsad_cli.config.validation import validate_recipe
from nsad_cli.training import self_generated
from nsad_cli.training import stages as training_stages
from nsad_cli.training.self_generated import own_rationales
from nsad_cli.training.stage_data import make_corpus
from nsad_cli.types import Chain, Problem, Rationale, Verdict
from tests.helpers.notes import recorded_notes

PROBLEM = Problem("p", "How many?", "20", "made")
TEXTS = ("5 * 4 = 20. The answer is 20.", "5 * 4 = 24. The answer is 20.")


def session(drop: bool, self_samples: int) -> Any:
    training = {"drop_wrong_steps": drop, "nce": {"self_samples": self_samples}}
    return SimpleNamespace(recipe=validate_recipe({"training": training}, "test"), run=None)


@pytest.mark.parametrize("self_samples", [0, 4])
def test_keys_change_only_where_the_corpus_does_not_show_it(self_samples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_stages, "_shared", lambda _: [])
    monkeypatch.setattr(training_stages, "_weights", lambda *_: None)
    corpus = make_corpus([Rationale(PROBLEM, TEXTS[0], Verdict.CORRECT, 0)], [], validate_recipe({}, "test"))
    changed = {
        stage.name
        for stage in TRAINING
        if len({training_stages.stage_key(session(drop, self_samples), stage, corpus) for drop in (False, True)}) > 1
    }
    assert changed == ({"nce"} if self_samples else set())


def test_own_chains_with_a_wrong_step_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    chains = [Chain("p", i, text, "20", correct=True) for i, text in enumerate(TEXTS)]
    monkeypatch.setattr(self_generated, "sampled_chains", lambda *_: {"p": chains})
    corpus = make_corpus([Rationale(PROBLEM, "The answer is 20.", Verdict.CORRECT, 0)], [], validate_recipe({}, "test"))
    stage, notes = stages()[NCE.name], recorded_notes()
    assert [item.text for item in own_rationales(session(False, 4), stage, corpus)] == list(TEXTS)
    assert not notes
    assert [item.text for item in own_rationales(session(True, 4), stage, corpus)] == [TEXTS[0]]
    assert notes == ["nce: 1 of 2 right chains of the run's own have a wrong step and are left out"]
