"""What tests share: the data folder, and tiny random models."""

from __future__ import annotations

import gc
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from nsad_cli.utils.logs import logger
from tests.helpers.requirements import imports_model_libraries, required_markers

if TYPE_CHECKING:
    from collections.abc import Iterator

# Tests run beside each other on small machines: one thread each then, and none that spins while it waits.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Nor is one that is slow because its neighbours are busy a failure.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

WORDS = (
    "Question: Answer: Start with There are at first The answer is has gives away gets finds buys loses sells more "
    "then grow times as many How does have now ? . : + - * = 0 1 2 3 4 5 6 7 8 9"
)


def pytest_configure(config: pytest.Config) -> None:
    """Where no model fills memory, look less often for objects in circles: a tenth of the dashboard tests' time."""
    if "not model" in config.option.markexpr:
        gc.set_threshold(50_000, 20, 20)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Without the tests that need a model, no file is imported that imports torch: that alone takes seconds."""
    if "not model" not in config.option.markexpr or not collection_path.match("test_*.py"):
        return None
    return imports_model_libraries(collection_path) or None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a model or starts processes; quick tests first."""
    for item in items:
        for name in required_markers(item):
            item.add_marker(name)
        if imports_model_libraries(item.path):
            item.add_marker("model")
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of raw benchmark files."""
    folder = os.environ.get("NSAD_TEST_DATA")
    if not folder:
        pytest.skip("NSAD_TEST_DATA is not set: no raw benchmark files to read")
    return Path(folder)


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test has runs and user settings of its own."""
    for name in list(os.environ):
        if name.startswith("NSAD_") and name not in ("NSAD_TEST_DATA", "NSAD_CACHE"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("NSAD_HOME", str(tmp_path / "runs"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture(autouse=True)
def _silent_logger() -> Iterator[None]:
    """No test inherits another one's log handlers or level."""
    yield
    logger.handlers.clear()
    logger.setLevel(logging.NOTSET)
    logger.propagate = True


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random Llama (grouped queries) with a byte-level tokenizer, as a model folder."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<pad>", "<bos>", "<eos>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([WORDS] * 3, trainer)
    folder = tmp_path_factory.mktemp("tiny-llama")
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_encoders(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A tiny random T5 encoder, and a BERT classifier of two labels, each a folder with a tokenizer of its own."""
    import torch
    from tokenizers import Tokenizer
    from tokenizers.processors import TemplateProcessing
    from transformers import (
        BertConfig,
        BertForSequenceClassification,
        PreTrainedTokenizerFast,
        T5Config,
        T5EncoderModel,
    )

    torch.manual_seed(0)
    bert = BertConfig(
        vocab_size=400,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=96,
        pad_token_id=0,
        num_labels=2,  # type: ignore[call-arg]  # transformers takes it by **kwargs, which mypy does not see
    )
    t5 = T5Config(vocab_size=400, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, pad_token_id=0)
    made = {
        "bert": (BertForSequenceClassification(bert), "<bos> $A <eos>", "<bos> $A <eos> $B:1 <eos>:1"),
        "t5": (T5EncoderModel(t5), "$A <eos>", "$A <eos> $B:1 <eos>:1"),
    }
    folders = {}
    for name, (model, single, pair) in made.items():
        folders[name] = tmp_path_factory.mktemp(f"tiny-{name}")
        tokenizer = Tokenizer.from_file(str(tiny_llama / "tokenizer.json"))
        tokenizer.post_processor = TemplateProcessing(single, pair, [("<bos>", 1), ("<eos>", 2)])
        inputs = ["input_ids", "attention_mask", *(["token_type_ids"] if name == "bert" else [])]
        PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", model_input_names=inputs
        ).save_pretrained(folders[name])
        model.save_pretrained(folders[name])
    return folders
