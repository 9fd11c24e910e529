"""The ranker: one prompt for all chains scores as each chain alone does, and a saved one scores the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from nsad_cli.errors import NsadError
from nsad_cli.nat.adapters import Adapters, AdapterSettings
from nsad_cli.packing import Example, pack
from nsad_cli.ranking import ADAPTER, HeadRanker, ScoreHead, load_ranker, pooled_scores, save_ranker
from nsad_cli.students import load_student
from nsad_cli.types import Chain, Problem
from tests.nat.test_layer import shake

PROBLEM = Problem("p", "Ana has 3 cups. How many?", "3", "test")
CHAINS = [Chain("p", i, text, None) for i, text in enumerate(("3 + 4 = 7.", "", "There are at first 3 cups more", "0"))]


def make(folder: Path) -> HeadRanker:
    student = load_student(str(folder), device="cpu")
    adapters = Adapters(student.model)
    adapters.add_lora(ADAPTER, AdapterSettings(dropout=0.0), 0)
    shake(adapters, ADAPTER, 1)
    return HeadRanker(student, adapters, ScoreHead(32, seed=3), "test", tokens=40)


def test_scores_equal_those_of_whole_sequences(tiny_llama: Path) -> None:
    ranker = make(tiny_llama)
    scores = ranker.score(PROBLEM, CHAINS)
    assert scores[1] is None
    prompt = tuple(ranker.student.prompt_ids(PROBLEM.question))
    for chain, score in zip(CHAINS, scores, strict=True):
        if score is not None:
            batch = pack([Example(prompt, tuple(ranker.student.completion_ids(chain.text)))], whole=True)
            with torch.no_grad():
                assert pooled_scores(ranker.adapters, ranker.head, batch).item() == pytest.approx(score, abs=1e-5)
            assert 0 < score < 1
    assert len({round(score, 6) for score in scores if score is not None}) == 3


def test_a_saved_ranker_scores_the_same(tiny_llama: Path, tmp_path: Path) -> None:
    ranker = make(tiny_llama)
    save_ranker(ranker.adapters, ranker.head, tmp_path)
    student = load_student(str(tiny_llama), device="cpu")
    loaded = load_ranker(student, Adapters(student.model), tmp_path)
    loaded.tokens = ranker.tokens
    assert loaded.score(PROBLEM, CHAINS) == ranker.score(PROBLEM, CHAINS)
    (tmp_path / "head.safetensors").unlink()
    with pytest.raises(NsadError, match="holds no ranker"):
        load_ranker(student, Adapters(student.model), tmp_path)
