"""Each kind of ranker: a batch scores as each chain alone, a saved one scores the same, bad ones are told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import torch
from transformers import BertConfig, BertModel

from nsad_cli.errors import NsadError
from nsad_cli.generation.hf import HFSampler
from nsad_cli.generation.sampler import GREEDY_INDEX, Sampling, Task
from nsad_cli.models.nat.adapters import Adapters
from nsad_cli.models.nat.config import AdapterSettings
from nsad_cli.models.student import Student, load_student
from nsad_cli.rankers.base import ScoreHead, Scorer, TrainedRanker
from nsad_cli.rankers.calibration import Calibration, sigmoid
from nsad_cli.rankers.encoder import EncoderScorer, ResidualHead, open_encoder
from nsad_cli.rankers.head import HeadScorer
from nsad_cli.rankers.implicit_prm import SCALE, ImplicitPrmScorer
from nsad_cli.rankers.linear_probe import ProbeRanker, ProbeScorer
from nsad_cli.rankers.metadata import ADAPTER, PROBED_MODEL, ranker_name, read_metadata
from nsad_cli.rankers.scoring import Scoring
from nsad_cli.rankers.storage import load_ranker, save_ranker
from nsad_cli.types import Chain, Finish, Problem
from tests.helpers.nat_models import shake
from tests.helpers.single_sequences import alone

if TYPE_CHECKING:
    from pathlib import Path

PROBLEM = Problem("p", "Ana has 3 cups. How many?", "3", "test")
CHAINS = [Chain("p", i, text, None) for i, text in enumerate(("3 + 4 = 7.", "", "There are at first 3 cups more", "0"))]
KINDS = ("head", "implicit-prm", "probe", "bert", "t5")
CPU = torch.device("cpu")


def adapted(folder: Path) -> tuple[Student, Adapters]:
    """A student with the LoRAs that head and probe need."""
    student = load_student(str(folder), device="cpu")
    adapters = Adapters(student.model)
    for seed, name in enumerate((ADAPTER, PROBED_MODEL)):
        adapters.add_lora(name, AdapterSettings(dropout=0.0), 0)
        shake(adapters, name, seed)
    return student, adapters


def make(kind: str, tiny_llama: Path, encoders: dict[str, Path]) -> Scorer:
    if kind in encoders:
        return open_encoder(str(encoders[kind]), CPU, seed=3)
    student, adapters = adapted(tiny_llama)
    if kind == "implicit-prm":
        return ImplicitPrmScorer(student, adapters)
    return (HeadScorer if kind == "head" else ProbeScorer)(student, adapters, ScoreHead(32, seed=3))


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_those_of_each_chain_alone(kind: str, tiny_llama: Path, tiny_encoders: dict[str, Path]) -> None:
    scorer = make(kind, tiny_llama, tiny_encoders)
    ranker = TrainedRanker(scorer, Scoring(Calibration(2.0, -0.5)), "test", tokens=200)
    scores = ranker.score(PROBLEM, CHAINS)
    assert scores[1] is None
    for chain, score in zip(CHAINS, scores, strict=True):
        if score is not None:
            example = scorer.example(PROBLEM.question, chain.text)
            with torch.no_grad():
                (alone,) = scorer.logits(scorer.pack([example])).tolist()
            assert score.weight == score.probability == pytest.approx(sigmoid(2 * alone - 0.5), abs=1e-5)
            assert 0 < score.weight < 1
    assert len({round(score.weight, 6) for score in scores if score is not None}) == 3
    assert ranker.score(PROBLEM, []) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_ranker_scores_the_same(
    kind: str, tiny_llama: Path, tiny_encoders: dict[str, Path], tmp_path: Path
) -> None:
    scorer = make(kind, tiny_llama, tiny_encoders)
    folder = tmp_path / "ranker"
    folder.mkdir()
    (folder / "stale.safetensors").touch()
    save_ranker(scorer, Scoring(Calibration(2.0, -0.5)), folder, reads="abc")
    assert not (folder / "stale.safetensors").exists()
    assert {path.suffix for path in folder.iterdir()} <= {".json", ".safetensors"}
    about = read_metadata(folder)
    assert (about["kind"], about["reads"]) == (scorer.kind, "abc")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    save_ranker(scorer, Scoring(Calibration(2.0, -0.5)), folder, reads="abc")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    student, adapters = adapted(tiny_llama)
    adapters.delete(ADAPTER)
    loaded = load_ranker(student, adapters, folder)
    assert loaded.name == ranker_name(folder)
    assert loaded.name.startswith(f"{scorer.kind}-")
    assert loaded.scoring.calibration == Calibration(2.0, -0.5)
    assert loaded.score(PROBLEM, CHAINS) == TrainedRanker(scorer, Scoring(Calibration(2.0, -0.5)), "").score(
        PROBLEM, CHAINS
    )
    if "ranker" in adapters.names():
        adapters.delete(ADAPTER)
    save_ranker(scorer, Scoring(Calibration(2.0, -0.25)), folder)
    assert load_ranker(student, adapters, folder).name != loaded.name, "another calibration gives other scores"


def test_what_is_no_ranker_is_told(tiny_llama: Path, tmp_path: Path) -> None:
    student, adapters = adapted(tiny_llama)
    with pytest.raises(NsadError, match="holds no ranker"):
        load_ranker(student, adapters, tmp_path)
    (tmp_path / "head.safetensors").write_bytes(b"junk")
    with pytest.raises(NsadError, match="holds no ranker") as error:
        load_ranker(student, adapters, tmp_path)
    assert "train-ranker" in error.value.fix


def test_the_implicit_prm_is_a_log_likelihood_ratio(tiny_llama: Path) -> None:
    """0 for a copy of the student; otherwise κ times the difference of the two adapters' summed log-probabilities."""
    student, adapters = adapted(tiny_llama)
    scorer = ImplicitPrmScorer(student, adapters)
    scorer.eval()
    examples = [scorer.example(PROBLEM.question, chain.text) for chain in CHAINS if chain.text]
    with torch.no_grad():
        ours = scorer.logits(scorer.pack(examples))
    for example, found in zip(examples, ours.tolist(), strict=True):
        with torch.no_grad():
            sums = [
                -torch.nn.functional.cross_entropy(
                    alone(adapters, name, example).double(), torch.tensor(example.completion), reduction="sum"
                ).item()
                for name in (ADAPTER, PROBED_MODEL)
            ]
        assert found == pytest.approx(SCALE * (sums[0] - sums[1]), abs=1e-4)
        assert abs(found) > 1e-3
    adapters.copy_weights(PROBED_MODEL, ADAPTER)
    with torch.no_grad():
        assert scorer.logits(scorer.pack(examples)).abs().max() == 0


# --- probe ------------------------------------------------------------------------------------------------------------


def probe_with_chains(student: Student, adapters: Adapters) -> tuple[ProbeRanker, dict[str, list[Chain]], list[Task]]:
    probe = ProbeRanker(ProbeScorer(student, adapters, ScoreHead(32, seed=3)), Scoring(Calibration(1.5, 0.2)), "test")
    questions = ("Ana has 3 cups.", "How many more balls does Ben have now?", "3 + 4")
    tasks = [Task(f"p{i}", question, (GREEDY_INDEX, 0, 1, 2, 3)) for i, question in enumerate(questions)]
    sampler = probe.scoring_sampler(HFSampler(student, adapters, PROBED_MODEL, 6))
    chains: dict[str, list[Chain]] = {}
    for chain in sampler.sample(tasks, Sampling(0.7, 1.0, 12), seed="s"):
        chains.setdefault(chain.problem_id, []).append(chain)
    return probe, chains, tasks


def test_a_chain_cached_scores_as_one_read(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a text gives the very tokens that were sampled: the student writes digits here, which never merge."""
    student, adapters = adapted(tiny_llama)
    allowed = torch.full((student.model.config.vocab_size,), -1e4)
    allowed[student.tokenizer.convert_tokens_to_ids(list("0123456789"))] = 0.0
    allowed[student.eos_id] = 0.5
    student.model.lm_head.register_forward_hook(lambda _, __, logits: logits + allowed)
    probe, chains, tasks = probe_with_chains(student, adapters)
    fresh = ProbeRanker(probe.scorer, probe.scoring, "test")
    finishes = set()
    for task in tasks:
        problem = Problem(task.problem_id, task.question, "", "test")
        mine = [chain for chain in chains[task.problem_id] if chain.index != GREEDY_INDEX]
        read = fresh.score(problem, mine)
        monkeypatch.setattr(ProbeScorer, "pack", never)
        scores = probe.score(problem, mine)
        monkeypatch.undo()
        for chain, score, other in zip(mine, scores, read, strict=True):
            assert (score is None) == (other is None) == (not chain.text)
            if score is not None:
                assert other is not None
                assert score.weight == pytest.approx(other.weight, abs=1e-4)
                finishes.add(chain.finish)
    assert finishes == {Finish.STOP, Finish.LENGTH}


def never(*_: Any) -> None:
    raise AssertionError("a chain that was scored while it was generated is not read again")


def test_a_probe_forgets_what_it_has_scored_and_never_hears_greedy_chains(tiny_llama: Path) -> None:
    student, adapters = adapted(tiny_llama)
    probe, chains, _ = probe_with_chains(student, adapters)
    assert set(probe._cached) == {"p0", "p1", "p2"}
    sampled = {chain.text for chain in chains["p0"] if chain.index != GREEDY_INDEX}
    assert set(probe._cached["p0"]) == sampled
    scores = probe.score(Problem("p0", "Ana has 3 cups.", "", "test"), [*CHAINS, *chains["p0"]])
    assert "p0" not in probe._cached
    assert len(scores) == len(CHAINS) + 5
    assert scores[1] is None


# --- encoder ----------------------------------------------------------------------------------------------------------


def test_an_encoder_reads_question_and_chain_as_a_pair(tiny_encoders: dict[str, Path]) -> None:
    bert, t5 = (open_encoder(str(tiny_encoders[name]), CPU, seed=0) for name in ("bert", "t5"))
    example = bert.example("3 + 4", "7 balls")
    decode = bert.tokenizer.decode
    assert decode(example.prompt) == "<bos>3 + 4<eos>"
    assert decode(example.completion) == "7 balls<eos>"
    example = t5.example("3 + 4", "7 balls")
    assert decode(example.prompt) == "3 + 4<eos>"
    assert decode(example.completion) == "7 balls<eos>"
    long = bert.example("first " * 200, "more " * 300 + "The answer is 7.")
    assert len(long) == 96
    assert decode(long.completion).endswith("The answer is 7.<eos>"), "the end is kept"


def test_a_t5_encoder_is_pooled_over_the_chain_alone(tiny_encoders: dict[str, Path]) -> None:
    scorer = open_encoder(str(tiny_encoders["t5"]), CPU, seed=0)
    scorer.eval()
    example = scorer.example("How many balls?", "3 + 4 = 7")
    assert scorer.head is not None
    with torch.no_grad():
        states = scorer.model(input_ids=torch.tensor([example.prompt + example.completion])).last_hidden_state[0]
        expected = scorer.head(states[len(example.prompt) :].mean(0, keepdim=True)).item()
        assert scorer.logits(scorer.pack([example])).item() == pytest.approx(expected, abs=1e-5)


def test_an_encoders_start_depends_on_its_seed_alone(tiny_encoders: dict[str, Path]) -> None:
    """The classifier of two labels gets a new head of one."""
    heads = [open_encoder(str(tiny_encoders["bert"]), CPU, seed=seed).model.classifier for seed in (0, 0, 1)]
    assert heads[0].weight.shape == (1, 32)
    assert torch.equal(heads[0].weight, heads[1].weight)
    assert not torch.equal(heads[0].weight, heads[2].weight)


def test_encoders_that_cannot_be_used_are_told(
    tiny_encoders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(spec: str) -> NsadError:
        with pytest.raises(NsadError) as error:
            open_encoder(spec, CPU, seed=0)
        return error.value

    assert "not there" in told(str(tmp_path / "none")).what
    (tmp_path / "empty").mkdir()
    assert "cannot load the encoder" in told(str(tmp_path / "empty")).what
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "Hub cannot be reached" in told("google/flan-t5-nowhere").what
    vision = tmp_path / "vision"
    vision.mkdir()
    (vision / "config.json").write_text(json.dumps({"model_type": "vit"}))
    assert "cannot rank" in told(str(vision)).what
    bare = tmp_path / "bare"
    BertModel(BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=1)).save_pretrained(bare)
    assert "without a vocabulary" in told(str(bare)).why
    unpadded = tmp_path / "unpadded"
    scorer = open_encoder(str(tiny_encoders["bert"]), CPU, seed=0)
    assert isinstance(scorer, EncoderScorer)
    scorer.tokenizer.pad_token = None
    scorer.save(unpadded)
    assert "no padding token" in told(str(unpadded)).why


def test_the_residual_head_is_the_references(tiny_encoders: dict[str, Path], tmp_path: Path) -> None:
    """Two residual ELU layers, then a linear one (run_ranker of the reference code); kept with the ranker."""
    scorer = open_encoder(str(tiny_encoders["t5"]), CPU, seed=0, residual=True)
    head = scorer.head
    assert isinstance(head, ResidualHead)
    x = torch.randn(3, head.weight.shape[1], generator=torch.Generator().manual_seed(0))
    expected = x
    for layer in (head.first, head.second):
        expected = expected + torch.nn.functional.elu(expected @ layer.weight.T + layer.bias)
    assert torch.allclose(head(x), (expected @ head.weight.T + head.bias).squeeze(-1), atol=1e-5)
    save_ranker(scorer, Scoring(), tmp_path / "ranker")
    restored = load_ranker(None, _OnCpu, tmp_path / "ranker").scorer  # type: ignore[arg-type]  # its device alone is used
    assert isinstance(restored.head, ResidualHead)
    assert torch.equal(restored.head(x), head(x))


class _OnCpu:
    class model:  # noqa: N801  # stands in for adapters
        device = CPU
