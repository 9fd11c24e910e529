"""An exported student answers as the run's does, with transformers and PEFT alone."""

from __future__ import annotations

import json
import os
import shlex
from typing import TYPE_CHECKING, Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from nsad_cli.errors import NsadError
from nsad_cli.generation.model_folders import max_lora_rank
from nsad_cli.generation.sampler import Sampling, Task
from nsad_cli.generation.server import ServerSampler
from nsad_cli.inference.export import export_for_vllm, export_lora, export_merged
from nsad_cli.inference.session import Session
from nsad_cli.models.nat.adapter_export import merge_adapter
from nsad_cli.models.nat.adapters import Adapters
from nsad_cli.models.nat.config import AdapterSettings
from nsad_cli.models.student import load_student
from nsad_cli.pipeline.pipeline import run_stages
from nsad_cli.problems.arithmetic import problems
from nsad_cli.runs.run import Run
from tests.helpers.tiny_recipes import recipe

if TYPE_CHECKING:
    from pathlib import Path

QUESTIONS = [problem.question for problem in problems("test", 6)]


@pytest.fixture(scope="module")
def trained(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with an NCE student that has learned something."""
    os.environ["NSAD_HOME"] = str(tmp_path_factory.mktemp("home"))
    # Slowly enough that its answers are not all one token, repeated.
    training = recipe(tiny_llama).training.model_dump()
    training["nce"] |= {"learning_rate": 0.01, "epochs": 8}
    run = Run.create("export", recipe(tiny_llama, training=training, sampling={"max_new_tokens": 24}))
    run_stages(run, ["collect", "grade", "negative", "nat", "nce"])
    return run


def with_peft(session: Session, question: str, name: str | None = "nce") -> torch.Tensor:
    """Logits of the run's own model on a question's prompt."""
    if name:
        session.load(name)
    session.adapters.model.eval()
    with torch.no_grad(), session.adapters.use(name):
        logits: torch.Tensor = session.adapters.model(
            input_ids=torch.tensor([session.student.prompt_ids(question)])
        ).logits
    return logits


def greedy(session: Session) -> list[str]:
    """The run's own greedy chains."""
    tasks = [Task(str(i), question, (-1,)) for i, question in enumerate(QUESTIONS)]
    chains = session.sampler("nce").sample(tasks, Sampling(0.0, 1.0, session.recipe.sampling.max_new_tokens), seed="0")
    found = {chain.problem_id: chain.text for chain in chains}
    return [found[task.problem_id] for task in tasks]


def test_the_merged_folder_answers_as_the_run_does_with_transformers_alone(trained: Run, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "student"
    notes = export_merged(Session(trained), folder)
    assert notes == json.loads((folder / "nsad.json").read_text())
    assert notes["run"] == "export"
    assert notes["weights"] == trained.stages()["nce"]["result"]["weights"]
    names = {path.name for path in folder.iterdir()}
    assert {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json"} <= names
    assert folder.stat().st_mode & 0o777 == 0o777 & ~_umask()
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o666 & ~_umask()}

    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    session = Session(trained)
    answers = []
    for question in QUESTIONS:
        ids = tokenizer(notes["template"].replace("{question}", question), return_tensors="pt")["input_ids"]
        assert ids[0].tolist() == session.student.prompt_ids(question)
        with torch.no_grad():
            logits = model(input_ids=ids).logits
        torch.testing.assert_close(logits, with_peft(session, question), rtol=1e-4, atol=1e-4)
        assert (logits - with_peft(session, question, None)).abs().max() > 0.1, "training changed nothing to export"
        made = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids))[0, ids.shape[1] :]
        answers.append(tokenizer.decode(made, skip_special_tokens=True))
    assert answers == greedy(session)


def test_the_folder_is_a_student_of_its_own(trained: Run, tmp_path: Path) -> None:
    export_merged(Session(trained), tmp_path / "student")
    student = {"model": str(tmp_path / "student"), "device": "cpu"}
    again = Session(Run(tmp_path / "none"), trained.recipe.model_copy(update={"student": _student(trained, student)}))
    question = QUESTIONS[0]
    torch.testing.assert_close(
        with_peft(again, question, None), with_peft(Session(trained), question), rtol=1e-4, atol=1e-4
    )


def test_the_lora_folder_loads_with_stock_peft(trained: Run, tiny_llama: Path, tmp_path: Path) -> None:
    notes = export_lora(Session(trained), tmp_path / "lora")
    assert {path.name for path in (tmp_path / "lora").iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "nsad.json",
    }
    assert notes["kind"] == "lora"
    assert notes["student"] == str(tiny_llama)
    base = AutoModelForCausalLM.from_pretrained(tiny_llama)
    model: Any = PeftModel.from_pretrained(base, tmp_path / "lora").eval()
    session = Session(trained)
    ids = torch.tensor([session.student.prompt_ids(QUESTIONS[0])])
    with torch.no_grad():
        torch.testing.assert_close(model(input_ids=ids).logits, with_peft(session, QUESTIONS[0]), rtol=1e-4, atol=1e-4)


def test_nat_becomes_a_folder_for_vllm(trained: Run, tmp_path: Path) -> None:
    """What vLLM makes of it is tried in tests/vllm: here, that base and adapter are in it, whole."""
    session = Session(trained)
    base = {key: value.clone() for key, value in session.student.model.state_dict().items()}
    notes = export_for_vllm(session, tmp_path / "nat", "nat")
    assert (notes["kind"], notes["model"], notes["dtype"]) == ("vllm", "nat", "float32")
    assert notes["weights"] == trained.stages()["nat"]["result"]["weights"]
    options = "--served-model-name nat --dtype float32 --generation-config vllm"
    assert notes["serve"] == f"vllm serve {tmp_path / 'nat'} {options}"
    assert served_names(notes["serve"]) == [asked_for(session, "nat")] == ["nat"]
    config = json.loads((tmp_path / "nat" / "config.json").read_text())
    weights = load_file(tmp_path / "nat" / "model.safetensors")
    adapter = {key for key in weights if ".nsad_" in key}
    assert config["quantization_config"] == {"quant_method": "nsad", "version": 1, "tensors": len(adapter)}
    assert len(adapter) == 58, "in each of two layers seven tensors for q and v, and three for five without a unit"
    assert all(torch.equal(weights[key], base[key]) for key in weights.keys() - adapter)
    assert weights.keys() - adapter == base.keys()
    with pytest.raises(NsadError, match="cannot load the student") as error:
        load_student(str(tmp_path / "nat"), device="cpu")
    assert "vLLM" in error.value.why
    assert {path.name for path in (tmp_path / "nat").iterdir()} >= {
        "tokenizer.json",
        "generation_config.json",
        "nsad.json",
    }


def test_nce_is_an_ordinary_lora_for_vllm(trained: Run, tiny_llama: Path, tmp_path: Path) -> None:
    notes = export_for_vllm(Session(trained), tmp_path / "nce", "nce")
    export_lora(Session(trained), tmp_path / "lora")
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        assert (tmp_path / "nce" / name).read_bytes() == (tmp_path / "lora" / name).read_bytes()
    options = f"--served-model-name {tiny_llama} --dtype float32 --generation-config vllm"
    lora = f"--enable-lora --max-lora-rank 8 --lora-modules nce={tmp_path / 'nce'}"
    assert notes["serve"] == f"vllm serve {tiny_llama} {options} {lora}"
    session = Session(trained)
    assert served_names(notes["serve"]) == [asked_for(session, "base"), asked_for(session, "nce")]


def served_names(command: str) -> list[str]:
    """What the models of a `vllm serve` are called: the base or NAT, then a LoRA."""
    words = shlex.split(command)
    lora = words[words.index("--lora-modules") + 1].partition("=")[0] if "--lora-modules" in words else ""
    return [words[words.index("--served-model-name") + 1], *([lora] if lora else [])]


def asked_for(session: Session, model: str) -> str:
    """What `--engine server@URL` asks the server for."""
    sampler = session.sampler(model, "server@http://127.0.0.1:9/v1")
    assert isinstance(sampler, ServerSampler)
    return sampler.model


def test_vllm_makes_room_for_some_ranks(tmp_path: Path) -> None:
    for rank, room in ((1, 1), (3, 8), (8, 8), (9, 16), (500, 512)):
        (tmp_path / "adapter_config.json").write_text(json.dumps({"r": rank}))
        assert max_lora_rank(tmp_path) == room
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": 513}))
    with pytest.raises(NsadError, match="vLLM cannot serve"):
        max_lora_rank(tmp_path)


def test_a_bfloat16_student_stays_one_and_is_rounded_once(trained: Run, tmp_path: Path) -> None:
    student = {"model": trained.recipe.student.model, "device": "cpu", "dtype": "bfloat16"}
    half = trained.recipe.model_copy(update={"student": _student(trained, student)})
    assert export_merged(Session(trained, half), tmp_path / "half")["dtype"] == "bfloat16"
    export_merged(Session(trained), tmp_path / "full")
    found: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "half")
    full: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "full")
    assert {value.dtype for value in found.parameters()} == {torch.bfloat16}
    base = Session(trained, half).student.model.state_dict()
    delta = {key: value - Session(trained).student.model.state_dict()[key] for key, value in full.state_dict().items()}
    key = "model.layers.0.self_attn.q_proj.weight"
    once = (base[key].float() + delta[key]).bfloat16()
    assert (found.state_dict()[key] != once).float().mean() < 0.01
    assert (found.state_dict()[key] != base[key]).float().mean() > 0.5


def test_what_cannot_be_exported_is_told(trained: Run, tiny_llama: Path, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").write_text("mine")
    for write in (export_merged, export_lora):
        with pytest.raises(NsadError, match="is not empty"):
            write(Session(trained), full)
        with pytest.raises(NsadError, match="is not a folder"):
            write(Session(trained), full / "mine.txt")
    assert [path.name for path in full.iterdir()] == ["mine.txt"]
    os.environ["NSAD_HOME"] = str(tmp_path / "runs")
    early = Run.create("early", recipe(tiny_llama))
    for write in (export_merged, export_lora):
        with pytest.raises(NsadError, match="no nce adapter") as error:
            write(Session(early), tmp_path / "out")
        assert "train-nce" in error.value.fix
        with pytest.raises(NsadError, match="no nat adapter"):
            export_for_vllm(Session(early), tmp_path / "out", "nat")
    assert not (tmp_path / "out").exists()


def test_a_failed_export_leaves_nothing(trained: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("nsad_cli.inference.export._write", full)
    with pytest.raises(NsadError, match="disk is full"):
        export_merged(Session(trained), tmp_path / "out" / "student")
    assert list((tmp_path / "out").iterdir()) == []


def test_what_no_weight_equals_is_not_merged(tiny_llama: Path) -> None:
    config: Any = AutoConfig.from_pretrained(tiny_llama)
    config.tie_word_embeddings = True
    adapters = Adapters(AutoModelForCausalLM.from_config(config))
    adapters.add_lora("head", AdapterSettings(targets=("lm_head",)), 0)
    with pytest.raises(NsadError, match="shares its weight"):
        merge_adapter(adapters, "head")
    adapters = Adapters(AutoModelForCausalLM.from_pretrained(tiny_llama))
    adapters.add_lora("negative", AdapterSettings(), 0)
    adapters.add_nat("nat", AdapterSettings(), "negative", 1)
    with pytest.raises(NsadError, match="depends on the input"):
        merge_adapter(adapters, "nat")


def _student(run: Run, values: dict[str, Any]) -> Any:
    return type(run.recipe.student).model_validate({**run.recipe.student.model_dump(), **values})


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
