"""A run's models in memory, loaded lazily and only once: student, adapters, samplers, ranker."""

from __future__ import annotations

import dataclasses
import gc
from functools import cached_property
from typing import TYPE_CHECKING

import torch

from nsad_cli.config.engine_spec import parse_engine
from nsad_cli.config.ranker_kinds import NEEDS_STUDENT, STEPS
from nsad_cli.config.stages import RANKER, UNTRAINED, stages
from nsad_cli.generation.hf import HFSampler
from nsad_cli.generation.model_folders import save_nat
from nsad_cli.generation.ray_cluster import RayResources, require_ray
from nsad_cli.generation.ray_sampler import RaySampler
from nsad_cli.generation.server import ServerSampler
from nsad_cli.generation.vllm import VllmSampler
from nsad_cli.inference.current_ranker import is_stale
from nsad_cli.inference.ray_models import PackedModel, pack_model
from nsad_cli.inference.vllm_models import vllm_model
from nsad_cli.models.device import pick_device
from nsad_cli.models.nat.adapter_files import load_adapter
from nsad_cli.models.nat.adapters import Adapters
from nsad_cli.models.nat.config import AdapterSettings
from nsad_cli.models.student import Student, load_student
from nsad_cli.rankers.kinds import is_available
from nsad_cli.rankers.linear_probe import ProbeRanker
from nsad_cli.rankers.metadata import PROBED_MODEL, read_metadata
from nsad_cli.rankers.storage import load_ranker, load_steps
from nsad_cli.runs.base_model import require_intact
from nsad_cli.runs.models import has_model, model_key, prompt_of, require_model
from nsad_cli.utils.logs import logger, note
from nsad_cli.utils.processor import default_dtype

if TYPE_CHECKING:
    from pathlib import Path

    from nsad_cli.config.engine_spec import EngineSpec
    from nsad_cli.config.schema import Recipe
    from nsad_cli.generation.sampler import Sampler
    from nsad_cli.rankers.base import TrainedRanker
    from nsad_cli.rankers.steps import StepsRanker
    from nsad_cli.runs.run import Run


if TYPE_CHECKING:
    RunRanker = TrainedRanker | StepsRanker


class Session:
    """A run's student with its adapters, which share one copy of the base weights."""

    def __init__(self, run: Run, recipe: Recipe | None = None) -> None:
        self.run = run
        self.recipe = recipe or run.recipe
        self._loaded: set[str] = set()

    @cached_property
    def student(self) -> Student:
        """The base model with its tokenizer and prompt."""
        return self._load_student(load_in_4bit=self.recipe.student.load_in_4bit)

    @cached_property
    def reader(self) -> Student:
        """The student without weights (tokenizer, prompt and config), for engines that load the weights themselves."""
        return self._load_student(weights=False)

    def _load_student(self, **more: bool) -> Student:
        settings = self.recipe.student
        older = settings.dtype == "auto"  # newer versions store the resolved dtype
        if older and default_dtype(settings.device) != "float32" and pick_device(settings.device).type == "cpu":
            note(f"run {self.run.name} is of an earlier version and stays in float32; new runs take bfloat16 here")
        return load_student(
            settings.model,
            device=settings.device,
            dtype=settings.dtype,
            template=settings.template,
            **more,
        )

    @cached_property
    def adapters(self) -> Adapters:
        """The adapters on the student's base weights."""
        return Adapters(self.student.model)

    @property
    def adapter_settings(self) -> AdapterSettings:
        """The recipe's adapter section."""
        section = self.recipe.adapter
        targets = section.targets if isinstance(section.targets, str) else tuple(section.targets)
        return AdapterSettings(
            targets=targets,
            r=section.r,
            alpha=section.alpha,
            dropout=section.dropout,
            unit_size=section.unit.size,
            unit_value=section.unit.value,
            unit_gate=section.unit.gate,
            unit_targets=tuple(section.unit.targets) if section.unit.targets is not None else None,
        )

    @property
    def bf16(self) -> bool:
        """Whether training runs under bfloat16 autocast: for a base in 4 bits; others set the dtype of their layers."""
        return self.recipe.student.load_in_4bit and str(self.student.model.dtype) == "torch.bfloat16"

    def model_key(self, name: str) -> str:
        """Return the key of a model's weights in the store of chains; see runs.models.model_key."""
        return model_key(self.run, self.recipe, name)

    def load(self, name: str) -> None:
        """Load a finished adapter, unless already loaded, together with its companion (NAT: the negative adapter).

        Raises:
            NsadError: The run has not trained the adapter.
        """
        if name in self._loaded:
            return
        require_model(self.run, name)
        require_intact(self.run, self.recipe, name)
        companion = stages()[name].companion
        if companion is not None:
            self.load(companion)
            load_adapter(self.adapters, name, self.run.adapter_path(name), negative=companion)
        else:
            load_adapter(self.adapters, name, self.run.adapter_path(name))
        self._loaded.add(name)

    def drop(self, name: str) -> None:
        """Delete an adapter from memory before it is trained again."""
        if "adapters" in self.__dict__ and name in self.adapters.names():
            self.adapters.delete(name)
        self._loaded.discard(name)

    def mark_trained(self, name: str) -> None:
        """Mark an adapter as loaded after training; a ranker is dropped, so that it is reloaded with its head."""
        if name == RANKER.name:
            self.drop(name)
        else:
            self._loaded.add(name)

    def forget_ranker(self) -> None:
        """Load the ranker again when it is used next; adapters in memory stay."""
        self._loaded.discard(RANKER.name)

    def reload(self) -> None:
        """Free the student and all adapters; they are loaded again on next use."""
        for name in ("_ranker", "adapters", "student"):
            self.__dict__.pop(name, None)
        self._loaded.clear()
        gc.collect()  # models contain reference cycles
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def sampler(self, name: str, engine: str | None = None) -> Sampler:
        """Create a sampler for a model.

        If the run's ranker is a probe of this model and the engine is transformers, the sampler also passes hidden
        states to the ranker.

        Args:
            name: base, few-shot, negative, nat, nce or a baseline.
            engine: The engine, see parse_engine; None for the run's.

        Returns:
            The sampler.

        Raises:
            UsageError: The engine is invalid.
            NsadError: The engine cannot load the model.
        """
        chosen = parse_engine(engine or self.recipe.student.sampled_by)
        if chosen.by_ray:
            return self._ray_sampler(name, chosen)
        if chosen.kind == "vllm":
            model = vllm_model(self.run, self.recipe, self.reader, name, self._write_nat)
            return VllmSampler(self.prompter(name), model)
        if chosen.kind == "server":
            require_model(self.run, name)
            served = chosen.served or (self.recipe.student.model if name in UNTRAINED else name)
            return ServerSampler(self.prompter(name), chosen.urls, served)
        adapter = None if name in UNTRAINED else name
        if adapter is not None:
            self.load(adapter)
        batch_size = self.recipe.sampling.batch_size
        sampler = HFSampler(self._prompted(self.student, name), self.adapters, adapter, batch_size=batch_size)
        ranker = self.ranker() if name == PROBED_MODEL else None
        return ranker.scoring_sampler(sampler) if isinstance(ranker, ProbeRanker) else sampler

    def _ray_sampler(self, name: str, chosen: EngineSpec) -> RaySampler:
        require_ray()
        if name not in UNTRAINED:
            require_model(self.run, name)
            require_intact(self.run, self.recipe, name)
        section, on_cpu = self.recipe.ray, self.recipe.student.device == "cpu"
        return RaySampler(
            self.prompter(name),
            PackedModel(self.run, self.recipe, name, chosen.kind, type(self)),
            pack_model(self.run, self.recipe, name),
            chosen.address,
            RayResources(section.cpus, 0 if on_cpu and section.gpus is None else section.gpus),
        )

    def prompter(self, name: str) -> Student:
        """Return the student's tokenizer with the prompts of a model; its weights may be missing."""
        return self._prompted(self.reader, name)

    def _prompted(self, student: Student, name: str) -> Student:
        """Return the student with the prompts of a model."""
        return dataclasses.replace(student, **prompt_of(self.recipe, name))

    def _write_nat(self, name: str, folder: Path) -> None:
        """Write a NAT adapter with its base, from a separate session that is freed afterwards."""
        session = Session(self.run, self.recipe)
        session.load(name)
        save_nat(session.student, session.adapters, name, folder, self.recipe.sampling.max_new_tokens)

    def ranker(self) -> RunRanker | None:
        """Return the run's ranker; None if there is none, or if it is stale (see is_stale)."""
        if not has_model(self.run, RANKER.name):
            return None
        if RANKER.name not in self._loaded:
            self._ranker = self._load_ranker()
            self._loaded.add(RANKER.name)
        return self._ranker

    def _load_ranker(self) -> RunRanker | None:
        self.drop(RANKER.name)
        folder = self.run.adapter_path(RANKER.name)
        if is_stale(self.run, self.recipe):
            note(
                f"the ranker is not used: it was trained on an earlier {PROBED_MODEL} student; "
                "train it again with `nsad train-ranker`"
            )
            return None
        require_intact(self.run, self.recipe, RANKER.name)
        kind = read_metadata(folder)["kind"]
        if not is_available(kind):
            logger.warning("ranker: its kind `%s` comes from a plugin that cannot be loaded; chains get no score", kind)
            return None
        weights = self.recipe.solve.weights
        if kind == STEPS:
            return load_steps(folder, weights)
        if kind in NEEDS_STUDENT:
            self.load(PROBED_MODEL)
        return load_ranker(self.student, self.adapters, folder, weights)
