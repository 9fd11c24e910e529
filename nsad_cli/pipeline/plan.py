"""What a run would do and cost, stage by stage, before anything is spent; nothing of the run's folder changes.

All questions are put to a copy of the run's records in a temporary folder.
"""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nsad_cli.config import prompts
from nsad_cli.config.schema import UNTRAINED, RankerConfig, Recipe, StageConfig
from nsad_cli.evaluation.measure import (
    Benchmark,
    demonstrated,
    evaluation_key,
    load_benchmarks,
    seen_problems,
    unseen_problems,
)
from nsad_cli.generation.sampler import GREEDY_INDEX, Sampling
from nsad_cli.inference.sampling import greedy as greedy_of
from nsad_cli.inference.sampling import sampling_key
from nsad_cli.pipeline.dry_run import copy_of_records
from nsad_cli.pipeline.forecast import look_ahead
from nsad_cli.problems import parse_spec
from nsad_cli.problems.decontamination import find_leaks
from nsad_cli.runs.run import Run, check_name, runs_home
from nsad_cli.store.chains import ChainStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nsad_cli.inference.session import Session
    from nsad_cli.models.student import Student
    from nsad_cli.pipeline.memory import EncoderFootprint, Footprint
    from nsad_cli.pipeline.throughput import Speeds
    from nsad_cli.training.stage_data import Corpus
    from nsad_cli.types import Problem
    from nsad_cli.utils.reporting import Note

TRAINING = ("negative", "nat", "nce", "ranker")
KINDS = {"negative": "lora", "nat": "nat", "nce": "nce", "ranker": "lora"}
"""The probe's kind of step that a stage is made of; a ranker's is a LoRA step too."""
BOTH = ("samples", "tokens")
LOOKED_AT = 200
"""Rationales whose tokens are counted for a mean length."""
CHARS_PER_TOKEN = 4
"""Of a teacher whose tokenizer is not here."""
WHOLE = 1.5
"""A step that trains all weights, beside one by LoRA: the gradient of the weights is a third product of matrices."""
ROOM = 1.3
"""How much more than its weights a student needs for the probe."""


@dataclass(frozen=True, slots=True)
class StagePlan:
    """One stage: its size, and what is still to be spent on it. None is unknown, or nothing that the stage has."""

    stage: str
    state: str
    """done, or to do."""
    samples: int
    """Draws, examples, pairs (ranker) or chains (evaluations)."""
    tokens: int | None
    """Tokens trained on or written."""
    lora_parameters: int = 0
    """Trained ones; the ranker's are its head's too, and an encoder's all."""
    unit_parameters: int = 0
    memory_gib: float | None = None
    seconds: float | None = 0.0
    calls: int = 0
    """Requests to the teacher."""
    cost: float | None = 0.0
    reused: int = 0
    """Samples that are kept already."""
    estimated: tuple[str, ...] = ()
    """Which of samples and tokens are estimates; memory and seconds always are."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Every stage of a run, with what the numbers rest on."""

    run: str
    stages: tuple[StagePlan, ...]
    notes: tuple[str, ...]


@dataclass
class _StageDraft:
    """A stage in the making: `work` is in tokens by the probe's kind of step."""

    stage: str
    done: bool
    samples: float
    tokens: float | None
    work: dict[str, float] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)

    def finished(self, speeds: Speeds | None) -> StagePlan:
        """The plan's row, with the time that the probe's speeds give."""
        more = dict(self.more)
        if self.work and not self.done:
            more["seconds"] = (
                round(sum(tokens / getattr(speeds, kind) for kind, tokens in self.work.items()), 1) if speeds else None
            )
        return StagePlan(
            self.stage,
            "done" if self.done else "to do",
            round(self.samples),
            None if self.tokens is None else round(self.tokens),
            **more,
        )


def make_plan(name: str, recipe: Recipe, say: Note, *, force: bool = False) -> Plan:
    """Plan a run of a recipe; what the run of that name has done already counts, unless forced.

    Raises what the run itself would raise before its first stage: a missing file, student or benchmark.
    """
    check_name(name)
    with tempfile.TemporaryDirectory(prefix="nsad-plan-") as folder:
        source = Run(runs_home() / name)
        return _Planner(copy_of_records(source, recipe, Path(folder)), source, say, force).plan()


class _Planner:
    """One plan in the making."""

    def __init__(self, run: Run, source: Run, say: Note, force: bool) -> None:
        self.run, self.source, self.say, self.force = run, source, say, force
        self.recipe = run.recipe
        self.notes: list[str] = []
        self.rows: dict[str, _StageDraft] = {}
        self.ahead = look_ahead(run, say, force=force)
        self.forecast = self.ahead.forecast
        self.leaks = find_leaks(self.recipe, self.ahead.problems)
        if self.leaks.ids:
            self.notes.append(f"training: {self.leaks.told(len(self.ahead.problems))}, and are left out")
        self.corpus: Corpus
        self.student: Student
        self.footprint: Footprint
        self.encoder: EncoderFootprint | None = None
        """The ranker's own model, where it has one."""

    def plan(self) -> Plan:
        """All stages, in the run's order."""
        self._rationales()
        self.say("loading the student's shapes …")
        from nsad_cli.inference.session import Session
        from nsad_cli.pipeline.memory import measure
        from nsad_cli.training.stage_data import make_corpus

        session = Session(self.run, self.recipe, self.say)
        self.student = session.reader
        self.footprint = measure(self.student.model, session.adapter_settings, self.recipe.student.load_in_4bit)
        if self.recipe.training.ranker.kind == "encoder":
            self.encoder = self._measured_encoder()
        left_out = self.leaks.ids
        self.corpus = make_corpus(
            [item for item in self.forecast.positive if item.problem.id not in left_out],
            [item for item in self.forecast.negative if item.problem.id not in left_out],
            share=self.recipe.training.held_out,
            seed=self.recipe.seed,
        )
        self.prompt, self.completion = self._lengths()
        self._evaluation("eval-before", ["base"], 0, session)
        for stage in TRAINING:
            self._training(stage, session)
        models = [name for name in self.recipe.evaluation.models if name != "base"]
        self._evaluation("eval", models, self.recipe.evaluation.samples, session)
        speeds = self._probe(session)
        return Plan(self.run.name, tuple(row.finished(speeds) for row in self.rows.values()), tuple(self.notes))

    def _measured_encoder(self) -> EncoderFootprint:
        import torch

        from nsad_cli.pipeline.memory import measure_encoder
        from nsad_cli.rankers.encoder import open_encoder

        scorer = open_encoder(self.recipe.training.ranker.model, torch.device("meta"), self.recipe.seed)
        return measure_encoder(scorer, scorer.model.config)

    # --- rationales -----------------------------------------------------------------------------------------------

    def _rationales(self) -> None:
        """The rows of collecting and grading."""
        ahead, teacher = self.ahead, self.recipe.teacher
        used = sum(draw.prompt_tokens + draw.completion_tokens for draw in ahead.stored)
        asked = sum(
            len(prompts.text_prompt(teacher.demonstrations, teacher.prompt, problem.question))
            for problem in ahead.problems
        )
        expected = ahead.calls * (asked / max(len(ahead.problems), 1) + ahead.rationale_chars()) / CHARS_PER_TOKEN
        quote = ahead.quote
        self.rows["collect"] = _StageDraft(
            "collect",
            ahead.collected,
            ahead.wanted,
            used + expected or None,
            more={
                "seconds": None if ahead.calls else 0.0,
                "calls": quote.requests if quote else ahead.calls,
                "cost": quote.best_cost if quote else 0.0,
                "reused": len(ahead.stored),
                "estimated": ("tokens",) if ahead.calls else (),
            },
        )
        if not ahead.collected and ahead.stored:
            self.notes.append(f"collect: {len(ahead.stored)} of {ahead.wanted} draws are in the store already")
        if quote is not None and ahead.calls:
            self.notes.append(f"collect: {quote.cost_in_words()}; how fast {teacher.spec} answers is unknown")
        if self.forecast.basis:
            self.notes.append(f"rationales: {self.forecast.basis}")
        seconds = 0.0 if ahead.graded else round(ahead.wanted * self.forecast.grade_seconds, 1)
        self.rows["grade"] = _StageDraft("grade", ahead.graded, ahead.wanted, None, more={"seconds": seconds})

    # --- training -------------------------------------------------------------------------------------------------

    def _training(self, stage: str, session: Session) -> None:
        from nsad_cli.training.stages import BEFORE, stage_key

        key = stage_key(session, stage, self.corpus)
        done = self.rows[BEFORE.get(stage, "grade")].done and not self.force and self.run.done(stage, key)
        settings: StageConfig = getattr(self.recipe.training, stage)
        length = self.prompt + self.completion
        rows = rows_at_once(settings, length) * (2 if stage == "ranker" else 1)
        lora, unit = self.footprint.trained(stage)
        memory = self.footprint.training_gib(stage, rows * length)
        if stage == "ranker":
            lora, memory = self._ranker_size(rows * length)
        more = {"lora_parameters": lora, "unit_parameters": unit, "memory_gib": round(memory, 2)}
        if done:
            result = self.run.stages()[stage]["result"]
            self.rows[stage] = _StageDraft(stage, True, result["examples"], result["tokens"], more=more)
            return
        row = self._ranker_row(session) if stage == "ranker" else self._stage_row(stage, settings)
        if not row.samples:
            self.notes.append(f"{stage}: nothing to train on: the run would stop here")
        self._resume(row, settings, key)
        row.more |= more
        self.rows[stage] = row

    def _stage_row(self, stage: str, settings: StageConfig) -> _StageDraft:
        """A stage that trains on D+ or D−."""
        from nsad_cli.training.data import filter_by_length, sample_items

        seed, scale = self.recipe.seed, self.forecast.scale
        side = self.corpus.negative if stage == "negative" else self.corpus.positive
        kept = filter_by_length(side, settings.max_chars)
        parts = []
        for held, limit in ((False, settings.max_examples), (True, self.recipe.training.max_held_out)):
            part = [item for item in kept if (item.problem.id in self.corpus.held_out) == held]
            chosen = sample_items(part, limit, seed)
            count = min(len(part) * scale, limit or math.inf)
            mean = sum(self._tokens(item.problem.question, item.text) for item in chosen) / max(len(chosen), 1)
            parts.append((count, mean))
        (examples, mean), (held_out, held_mean) = parts
        tokens = settings.tokens or examples * mean * settings.epochs
        passes = 3 if stage == "nce" else 1
        own = self.recipe.training.nce.self_samples if stage == "nce" else 0
        problems = len(self.corpus.problems()) * scale * (1 - self.recipe.training.held_out)
        return _StageDraft(
            stage,
            False,
            examples,
            tokens,
            {
                KINDS[stage]: tokens,
                "sampling": problems * own * self._written("nat"),
                "forward": held_out * held_mean * settings.checks * passes,
            },
            {"estimated": BOTH if self.forecast.estimated else ()},
        )

    def _ranker_size(self, tokens: float) -> tuple[int, float]:
        """Parameters that the ranker trains, and its memory."""
        if self.encoder is not None:
            student = self.footprint.sampling_gib(0, 0)
            return self.encoder.parameters, student + self.encoder.training_gib(tokens)
        if self.recipe.training.ranker.kind == "probe":
            return self.footprint.head, self.footprint.reading_gib(self.recipe.training.ranker.pack_tokens)
        return self.footprint.trained("ranker")[0], self.footprint.training_gib("ranker", tokens)

    def _ranker_row(self, session: Session) -> _StageDraft:
        """The ranker: chains of the student's own, half of them taken to be right, then pairs of them."""
        from nsad_cli.training.data import sample_items
        from nsad_cli.training.stage_data import CALIBRATION_SHARE

        settings, share = self.recipe.training.ranker, 1 - self.recipe.training.held_out
        known = self.corpus.problems()
        problems = min(settings.problems, len(known) * self.forecast.scale)
        calibrating = problems * share * CALIBRATION_SHARE
        pairs = self._ranker_pairs(problems * share, calibrating)
        held_out = min(self.recipe.training.max_held_out, pairs * (1 - share) / share)
        length = self.prompt + self.completion
        probe = settings.kind == "probe"  # it reads every chain once
        tokens = pairs * 2 * length * (1 if probe else settings.epochs)
        tokens = tokens if probe else settings.tokens or tokens
        reads = held_out * 2 * length * (1 if probe else settings.checks) + calibrating * settings.samples * length
        asked = sample_items(known, settings.problems, self.recipe.seed)
        kept = self._kept("nce", asked, range(settings.samples), session)
        written = max(0.0, problems * settings.samples - kept)
        if kept:
            self.notes.append(f"ranker: {kept} of the student's own chains are kept")
        return _StageDraft(
            "ranker",
            False,
            pairs,
            tokens,
            {
                "sampling": written * self._written("nce"),
                "lora": 0.0 if probe else tokens * self._encoder_share() * (WHOLE if self.encoder else 1),
                "forward": written / settings.samples * self.prompt
                + (reads + (tokens if probe else 0)) * self._encoder_share(),
            },
            {"estimated": BOTH},
        )

    def _ranker_pairs(self, problems: float, calibrating: float) -> float:
        """Pairs to learn from: the student's own, and the teacher's where these are few."""
        settings, scale = self.recipe.training.ranker, self.forecast.scale
        pairs = (problems - calibrating) * expected_pairs(settings)
        if pairs < settings.min_pairs:
            texts: dict[str, tuple[set[str], set[str]]] = {}
            for side, items in enumerate((self.corpus.positive, self.corpus.negative)):
                for item in items:
                    texts.setdefault(item.problem.id, (set(), set()))[side].add(item.text)
            found = sum(
                min(settings.pairs_per_problem, len(right) * len(wrong))
                for name, (right, wrong) in texts.items()
                if name not in self.corpus.held_out
            )
            pairs += found * scale * (1 - calibrating / max(len(texts) * scale, 1))
        return min(pairs, settings.max_examples or math.inf)

    def _encoder_share(self) -> float:
        """What a token costs the ranker, in the student's passes."""
        return self.encoder.parameters / self.footprint.base if self.encoder is not None else 1.0

    def _scored(self, model: str) -> float:
        """Passes of the student that scoring one token of a model's chain costs."""
        heard = self.recipe.training.ranker.kind == "probe" and model == "nce"  # chains of its student, as they end
        return 0.0 if heard else self._encoder_share()

    def _resume(self, row: _StageDraft, settings: StageConfig, key: str) -> None:
        """A checkpoint under the same settings saves its part of the training."""
        state = self.run.stages().get(row.stage, {})
        folder = self.source.path / "checkpoints" / row.stage
        steps = [int(path.parent.name.rpartition("-")[2]) for path in folder.glob("checkpoint-*/complete")]
        if self.force or not steps or state.get("key") != key:
            return
        seen = row.samples * settings.epochs
        if settings.tokens and row.tokens:
            seen = settings.tokens / max(self.prompt + self.completion, 1)
        total = math.ceil(seen / settings.batch_size)
        kind = KINDS[row.stage]
        row.work[kind] *= max(0.0, 1 - max(steps) / max(total, 1))
        if row.stage == "ranker":
            row.work["sampling"] = 0.0
        self.notes.append(f"{row.stage}: resumes at step {max(steps)} of {total}")

    # --- evaluation -----------------------------------------------------------------------------------------------

    def _evaluation(self, stage: str, models: Sequence[str], samples: int, session: Session) -> None:
        settings, sampling = self.recipe.evaluation, self.recipe.sampling
        needed = [self.rows["collect"], *(self.rows[name] for name in TRAINING if stage == "eval")]
        benchmarks: list[Benchmark] = []
        if settings.benchmarks and models:
            benchmarks = load_benchmarks(self.run, settings.benchmarks, settings.limit, self.say, self.leaks)
        key = evaluation_key(self.run, stage, models, samples, benchmarks)
        ready = all(row.done for row in needed) and not self.force
        done = (ready and self.run.done(stage, key)) or not settings.benchmarks
        if not done:
            trained = self._trained()
            benchmarks = [
                (parse_spec(spec).label, unseen_problems(spec, trained, settings.limit, lambda _: None))
                for spec in settings.benchmarks
            ]
        problems = [problem for _, found in benchmarks for problem in found]
        chains = len(models) * len(problems) * (1 + samples)
        kept, tokens, work = 0, 0.0, {"sampling": 0.0, "forward": 0.0}
        for model in models if not done else ():
            reused = self._kept(model, problems, (GREEDY_INDEX,), session, greedy=True)
            if samples:
                reused += self._kept(model, problems, range(samples), session)
            written = (len(problems) * (1 + samples) - reused) * self._written(model)
            passes = 2 if samples else 1  # greedy chains and sampled ones read the prompts apart
            work["sampling"] += written
            work["forward"] += passes * len(problems) * self._read(model) if written else 0
            if samples and model not in UNTRAINED:
                work["forward"] += len(problems) * samples * self._written(model) * self._scored(model)
            kept, tokens = kept + reused, tokens + len(problems) * (1 + samples) * self._written(model)
        if done:
            rows = self.run.stages().get(stage, {}).get("result", {}).get("results", [])
            once = {(row["benchmark"], row["model"], bool(row["rule"])): row["tokens"] for row in rows}
            tokens = sum(once.values())
        elif kept:
            self.notes.append(f"{stage}: {kept} of {chains} chains are kept")
        longest = max(map(self._read, models), default=self.prompt) + sampling.max_new_tokens
        memory = self.footprint.sampling_gib(sampling.batch_size, longest)
        self.rows[stage] = _StageDraft(
            stage,
            done,
            chains,
            tokens,
            work,
            {"memory_gib": round(memory, 2), "reused": kept, "estimated": () if done else ("tokens",)},
        )

    def _trained(self) -> set[str]:
        """Ids of the problems that training will have seen when the evaluation begins, or that few-shot shows."""
        ahead = {problem.id for problem in self.ahead.problems} - (self.leaks.ids - self.leaks.own)
        return seen_problems(self.run, self.leaks) | ahead | demonstrated(self.recipe)

    def _kept(
        self,
        model: str,
        problems: Sequence[Problem],
        indices: Sequence[int],
        session: Session,
        *,
        greedy: bool = False,
    ) -> int:
        """Chains that need not be written again: those of a model whose weights stay, problems whole."""
        if model not in UNTRAINED and not (model in self.rows and self.rows[model].done):
            return 0
        sampling = Sampling.of(self.recipe.sampling)
        how = greedy_of(sampling) if greedy else sampling
        key = {
            "model": model,
            "model_key": session.model_key(model),
            "sampling": sampling_key(how, self.recipe.seed),
        }
        with ChainStore(self.run.chains_path) as store:
            return sum(len(store.whole(problem.id, indices, **key)) for problem in problems)

    def _read(self, model: str) -> float:
        """Tokens of one prompt: few-shot's has the demonstrations in it."""
        if model != prompts.FEW_SHOT:
            return self.prompt
        shown = replace(self.student, demonstrations=prompts.few_shot_demonstrations(self.recipe.evaluation))
        return self.prompt + len(shown.prompt_ids("")) - len(self.student.prompt_ids(""))

    def _written(self, model: str) -> float:
        """Tokens of one chain: an untrained student seldom ends by itself, unless shown how; others do as taught."""
        most = self.recipe.sampling.max_new_tokens
        return most if model == "base" else min(self.completion, most)

    # --- lengths and speeds ---------------------------------------------------------------------------------------

    def _lengths(self) -> tuple[float, float]:
        """Mean tokens of a prompt and of a completion."""
        items = (self.corpus.positive or self.corpus.negative)[:LOOKED_AT]
        if not items:
            return 1.0, 1.0
        prompts = sum(len(self.student.prompt_ids(item.problem.question)) for item in items)
        completions = sum(len(self.student.completion_ids(item.text)) for item in items)
        return prompts / len(items), completions / len(items)

    def _tokens(self, question: str, text: str) -> int:
        return len(self.student.prompt_ids(question)) + len(self.student.completion_ids(text))

    def _probe(self, session: Session) -> Speeds | None:
        if not any(row.work and not row.done for row in self.rows.values()):
            return None
        import torch

        from nsad_cli.models.student import pick_device

        device = pick_device(self.recipe.student.device)
        if device.type == "cuda":
            free = torch.cuda.mem_get_info()[0] / 2**30
        else:
            import psutil

            free = psutil.virtual_memory().available / 2**30
        waiting = [row for row in self.rows.values() if not row.done and "memory_gib" in row.more]
        peak = max((row.more["memory_gib"] for row in waiting), default=0.0)
        if peak > free:
            self.notes.append(f"memory: up to {peak:.1f} GiB are needed, {free:.1f} are free here")
        if ROOM * self.footprint.weights_gib() > free:
            self.notes.append("time: unknown, for the student does not fit into this machine's free memory")
            return None
        self.say("timing a few steps of the student on this machine …")
        from nsad_cli.pipeline.throughput import probe

        settings = self.recipe.training.nat
        try:
            speeds = probe(
                session.student,
                session.adapter_settings,
                rows=rows_at_once(settings, self.prompt + self.completion),
                prompt=max(1, round(self.prompt)),
                completion=max(1, round(self.completion)),
                questions=[problem.question for problem in self.ahead.problems[:LOOKED_AT]],
                batch_size=self.recipe.sampling.batch_size,
            )
        except torch.OutOfMemoryError:
            self.notes.append("time: unknown, for one training step does not fit into this machine's free memory")
            return None
        self.notes.append(
            f"time: rough, from {speeds.seconds:.0f} s of steps on this machine ({device.type}): {speeds.lora:.0f} "
            f"tokens/s by LoRA, {speeds.nat:.0f} by NAT, {speeds.nce:.0f} by NCE, {speeds.sampling:.0f} written"
        )
        return speeds


def rows_at_once(settings: StageConfig, length: float) -> int:
    """Sequences of a length that are in memory together: a step's, as far as a pack holds them."""
    return max(1, min(settings.batch_size, int(settings.pack_tokens / length)))


def expected_pairs(settings: RankerConfig) -> float:
    """Pairs that a problem gives on average if each of its chains is right with probability one half.

    Of two chains one is right and one wrong half of the time: 0.5 pairs.
    """
    n, most = settings.samples, settings.pairs_per_problem
    return sum(math.comb(n, right) * min(most, right * (n - right)) for right in range(n + 1)) / 2**n
