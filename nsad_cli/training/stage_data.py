"""Training and held-out data of each stage: a run's graded rationales, filtered, sampled and paired."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from nsad_cli.config.stages import LearnsFrom, Stage
from nsad_cli.errors import NsadError
from nsad_cli.training.baselines import human_solutions
from nsad_cli.training.data import encode, filter_by_length, held_out_problems, sample_items
from nsad_cli.training.ranker import Candidates, Encode, Pair, encode_for, make_pairs
from nsad_cli.training.ranker_calibration import Graded
from nsad_cli.types import Problem, Rationale, Verdict
from nsad_cli.utils.hashing import content_key
from nsad_cli.utils.logs import note

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nsad_cli.config.schema import Recipe, StageConfig
    from nsad_cli.inference.session import Session
    from nsad_cli.training.data import Tokenised

CALIBRATION_SHARE = 0.2
"""The fraction of the ranker's problems used for calibration; the others are used for training."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """A run's graded rationales: D+, D−, the ids of the held-out problems, and the problems kept for the ranker."""

    positive: tuple[Rationale, ...]
    negative: tuple[Rationale, ...]
    held_out: frozenset[str]
    for_ranker: tuple[Problem, ...] = ()
    """Problems that no stage but the ranker sees; no rationale is theirs."""

    def problems(self) -> list[Problem]:
        """Return every problem with a right or a wrong rationale, once."""
        return list({item.problem.id: item.problem for item in (*self.positive, *self.negative)}.values())

    @property
    def key(self) -> str:
        """A hash of the content."""
        digest = hashlib.sha256()
        for item in (*self.positive, *self.negative):
            digest.update(f"{item.problem.id}\0{item.verdict}\0{item.text}\0".encode())
        kept = [sorted(problem.id for problem in self.for_ranker)] if self.for_ranker else []
        return content_key(digest.hexdigest(), sorted(self.held_out), *kept)


@dataclass(frozen=True, slots=True)
class StageData:
    """The data of a stage, the ids of its problems (which evaluation excludes), and counts for the stage's result."""

    train: Sequence[Any]
    held_out: Sequence[Any]
    problem_ids: list[str]
    counts: dict[str, int] = field(default_factory=dict)
    graded: Sequence[Graded] = ()
    """Chains that a ranker is calibrated on."""
    unseen: Sequence[Graded] = ()
    """Chains for problems that no stage was trained on; used only to measure the calibration error."""


def make_corpus(positive: Sequence[Rationale], negative: Sequence[Rationale], recipe: Recipe) -> Corpus:
    """Create a corpus; the held-out problems are the same for D+ and D−.

    Args:
        positive: The right rationales.
        negative: The wrong rationales.
        recipe: The recipe: training.held_out is the fraction of problems that is held out; training.ranker.split the
            number of problems that only the ranker sees, chosen by hash, at most a quarter of all; training.max_right
            the number of right rationales to keep beside those of held-out problems.

    Returns:
        The corpus.
    """
    settings, seed = recipe.training, recipe.seed
    problems = list({item.problem.id: item.problem for item in (*positive, *negative)}.values())
    size = min(settings.ranker.split or 0, len(problems) // 4)
    kept = held_out_problems([p.id for p in problems], size / len(problems), seed, salt="ranker") if size else ()
    right, wrong = (tuple(item for item in side if item.problem.id not in kept) for side in (positive, negative))
    held_out = held_out_problems([item.problem.id for item in (*right, *wrong)], settings.held_out, seed)
    if settings.max_right is not None:
        trained = [number for number, item in enumerate(right) if item.problem.id not in held_out]
        dropped = {*trained} - {*sample_items(trained, settings.max_right, seed)}
        right = tuple(item for number, item in enumerate(right) if number not in dropped)
    return Corpus(right, wrong, held_out, tuple(problem for problem in problems if problem.id in kept))


def with_human_solutions(corpus: Corpus) -> Corpus:
    """Return the corpus with the human solution of each of its problems added to D+."""
    solutions = human_solutions([*corpus.positive, *corpus.negative])
    return replace(corpus, positive=(*corpus.positive, *solutions))


def rationales_for(stage: Stage, corpus: Corpus) -> list[Rationale]:
    """Return the rationales that a stage learns from, including those of held-out problems."""
    both = [*corpus.positive, *corpus.negative]
    if stage.learns_from is LearnsFrom.SOLUTIONS:
        return human_solutions(both)
    sides = {LearnsFrom.RIGHT: corpus.positive, LearnsFrom.WRONG: corpus.negative, LearnsFrom.OWN_WRONG: ()}
    return list(sides.get(stage.learns_from, both)) if stage.learns_from is not None else []


def rationale_data(
    session: Session, stage: Stage, settings: StageConfig, rationales: Sequence[Rationale], corpus: Corpus
) -> StageData:
    """Exclude rationales that are too long, sample the others by seed, and tokenise them.

    Raises:
        NsadError: No rationale is left, or only right or only wrong ones for a stage that needs both.
    """
    name = stage.name
    kept = filter_by_length(rationales, settings.max_chars)
    if len(kept) < len(rationales):
        note(
            f"{name}: {len(rationales) - len(kept)} of {len(rationales)} rationales excluded: longer than "
            f"{settings.max_chars} characters with their question"
        )
    train_part = sample_items(
        [item for item in kept if item.problem.id not in corpus.held_out], settings.max_examples, session.recipe.seed
    )
    held_part = sample_items(
        [item for item in kept if item.problem.id in corpus.held_out],
        session.recipe.training.max_held_out,
        session.recipe.seed,
    )
    if not train_part:
        raise _empty(stage, len(rationales), settings.max_chars)
    if stage.learns_from is LearnsFrom.BOTH and len({item.verdict for item in train_part}) < 2:
        raise NsadError(
            f"{name}: it needs right and wrong rationales",
            "only one kind is left to train on",
            "see the counts with `nsad grade`; collect more draws, or raise training.baseline.max_chars",
        )
    if not held_part and session.recipe.training.held_out:
        note(f"{name}: no held-out rationale, so the weights of the last step are used")
    return StageData(
        encode(train_part, session.student, labels=stage.labels),
        encode(held_part, session.student, labels=stage.labels),
        sorted({item.problem.id for item in (*train_part, *held_part)}),
    )


def contrastive_data(session: Session, stage: str, settings: StageConfig, corpus: Corpus) -> StageData:
    """Pair the teacher's rationales, one pair per right rationale: as many as the other baselines have examples.

    Raises:
        NsadError: No problem has both a right and a wrong rationale.
    """
    seed = session.recipe.seed

    def pairs(held_out: bool, limit: int | None) -> list[Pair]:
        made = contrastive_pairs(corpus, session.student, settings.max_chars, seed, held_out)
        return sample_items(made, limit, seed)

    train_pairs = pairs(False, settings.max_examples)
    if not train_pairs:
        raise NsadError(
            f"{stage}: no problem has both a right and a wrong rationale",
            "the method compares the two",
            "collect more draws with a higher --draws or --temperature",
        )
    held_pairs = pairs(True, session.recipe.training.max_held_out)
    both = {item.problem.id for item in _teacher_candidates(corpus) if item.right and item.wrong}
    return StageData(train_pairs, held_pairs, sorted(both))


def contrastive_pairs(corpus: Corpus, student: Tokenised, max_chars: int, seed: int, held_out: bool) -> list[Pair]:
    """Pair right and wrong rationales: a problem has at most as many pairs as right rationales.

    Args:
        corpus: The run's rationales.
        student: The student, or its tokenizer alone.
        max_chars: Rationales that have this many characters or more, including the question, are excluded.
        seed: Chooses the pairs of a problem.
        held_out: Whether to pair those of held-out problems, or those of all others.

    Returns:
        The pairs, by problem.
    """
    encode_text = encode_for(student)
    return [
        pair
        for item in _teacher_candidates(corpus)
        if (item.problem.id in corpus.held_out) == held_out
        for pair in make_pairs([item], encode_text, per_problem=len(item.right), max_chars=max_chars, seed=seed)
    ]


def _require_pairs(train_pairs: Sequence[Any], held_pairs: Sequence[Any], with_teacher: bool) -> None:
    if not train_pairs:
        sources = "neither the student's chains nor the teacher's rationales have both" if with_teacher else None
        more = "" if with_teacher else ", or add the teacher's rationales: training.ranker.teacher_rationales=true"
        raise NsadError(
            "ranker: no pair of a right and a wrong chain",
            f"{sources or 'the student has no right and wrong chain'} for any problem",
            f"sample more chains (training.ranker.samples or .problems){more}",
        )
    if not held_pairs:
        note("ranker: no held-out pair, so the weights of the last step are used")


def ranker_data(session: Session, encode: Encode, own: Sequence[Candidates], corpus: Corpus) -> StageData:
    """Build the ranker's data: training pairs, held-out pairs that select the checkpoint, and chains for calibration.

    Unless problems are kept for the ranker, a fraction, chosen by hash, is reserved for calibration; neither the
    student's chains nor the teacher's rationales for them are trained on. Held-out problems are too few to calibrate
    on, but the student was not trained on them, so they measure the calibration error on new problems.

    Args:
        session: The run's models.
        encode: The ranker's tokenisation.
        own: The student's chains.
        corpus: The run's rationales.

    Returns:
        The data.

    Raises:
        NsadError: No problem has both a right and a wrong chain.
    """
    settings, seed = session.recipe.training.ranker, session.recipe.seed
    sampled = [item.problem.id for item in own if item.problem.id not in corpus.held_out]
    calibration = frozenset[str]()
    if settings.calibrate and not corpus.for_ranker:
        calibration = held_out_problems(sampled, CALIBRATION_SHARE, seed, salt="calibration")

    def pairs(candidates: Sequence[Candidates], held_out: bool) -> list[Any]:
        part = [
            item
            for item in candidates
            if (item.problem.id in corpus.held_out) == held_out and item.problem.id not in calibration
        ]
        fresh = settings.pairs == "fresh" and not held_out
        return make_pairs(
            part,
            encode,
            per_problem=math.ceil(settings.epochs) if fresh else settings.pairs_per_problem,
            max_chars=settings.max_chars,
            seed=seed,
            with_replacement=fresh,
        )

    train_pairs, held_pairs = pairs(own, False), pairs(own, True)
    counts = {"own_pairs": len(train_pairs), "teacher_pairs": 0}
    candidates = list(own)
    if len(train_pairs) < settings.min_pairs:
        note(
            f"ranker: the student's own chains give {len(train_pairs)} pairs, fewer than training.ranker.min_pairs = "
            f"{settings.min_pairs}"
            + (": the teacher's rationales are added" if settings.teacher_rationales else "; it may rank badly")
        )
    if len(train_pairs) < settings.min_pairs and settings.teacher_rationales:
        # Pairs do not mix sources, because the ranker would learn to tell teacher from student.
        teachers = _teacher_candidates(corpus)
        joining = pairs(teachers, False)
        counts["teacher_pairs"] = len(joining)
        train_pairs, held_pairs = train_pairs + joining, held_pairs + pairs(teachers, True)
        candidates += teachers
    _require_pairs(train_pairs, held_pairs, settings.teacher_rationales)
    return StageData(
        sample_items(train_pairs, settings.max_examples, seed),
        sample_items(held_pairs, session.recipe.training.max_held_out, seed),
        sorted({item.problem.id for item in candidates if item.right and item.wrong} | calibration),
        counts,
        _graded([item for item in own if item.problem.id in calibration], encode),
        _graded([item for item in own if item.problem.id in corpus.held_out], encode),
    )


def _graded(candidates: Sequence[Candidates], encode: Encode) -> list[Graded]:
    return [
        Graded(item.problem.id, encode(item.problem.question, text), right)
        for item in candidates
        for texts, right in ((item.right, True), (item.wrong, False))
        for text in texts
        if text.strip()
    ]


def _teacher_candidates(corpus: Corpus) -> list[Candidates]:
    found: dict[str, Candidates] = {}
    for item in (*corpus.positive, *corpus.negative):
        old = found.get(item.problem.id, Candidates(item.problem, (), ()))
        right = item.verdict is Verdict.CORRECT
        found[item.problem.id] = Candidates(
            item.problem,
            (*old.right, item.text) if right else old.right,
            old.wrong if right else (*old.wrong, item.text),
        )
    return list(found.values())


def _empty(stage: Stage, total: int, max_chars: int) -> NsadError:
    name = stage.name
    if stage.learns_from is LearnsFrom.SOLUTIONS and not total:
        return NsadError(
            f"{name}: no problem has a human solution",
            "the benchmark or recording has none",
            "use problems that have one (gsm8k, math), or another baseline",
        )
    sides = {LearnsFrom.WRONG: "D− (wrong rationales)", LearnsFrom.OWN_WRONG: "the student's own wrong chains"}
    side = next((text for learned, text in sides.items() if learned is stage.learns_from), "D+ (right rationales)")
    if total:
        return NsadError(
            f"{name}: no rationale of {side} is left to train on",
            f"all {total} are longer than {max_chars} characters or belong to held-out problems",
            f"raise training.{stage.section}.max_chars, or collect more problems",
        )
    if stage.learns_from is LearnsFrom.OWN_WRONG:
        return NsadError(
            f"{name}: the student has no wrong chain for any training problem",
            f"none of the chains of `{stage.samples_from}` ended with a wrong answer",
            "raise training.negative.own_samples, or take the teacher's: training.negative.source=teacher",
        )
    return NsadError(
        f"{name}: {side} is empty",
        "no graded rationale has that verdict",
        "see the counts with `nsad grade`; collect more draws with a higher --draws or --temperature",
    )
