"""The Python API: runs, solving, grading, votes, NAT adapters, training, evaluation.

`nsad_cli` offers every name of this module; importing either loads no torch, which the functions import when they
need it. Notes and progress go to the logger `nsad`, which prints nothing unless the program sets up logging.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from nsad_cli.types import Chain, Finish, Grade, Problem, Verdict
from nsad_cli.voting.rule_results import VoteExplanation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from nsad_cli.inference.solver import ChainCallback, Solution
    from nsad_cli.models.nat.adapters import Adapters
    from nsad_cli.runs.run import Run
    from nsad_cli.types import Ballot

__all__ = [
    "Chain",
    "Grade",
    "Problem",
    "Verdict",
    "VoteExplanation",
    "add_nat",
    "evaluate",
    "explain_vote",
    "grade",
    "load_run",
    "make_chains",
    "solve",
    "solve_all",
    "train",
    "vote",
]


def load_run(name: str | None = None) -> Run:
    """Open a run by name.

    Args:
        name: the run's name in NSAD_HOME (else ./runs); None opens the default run (`nsad runs use`), else the newest
            one that has a trained student.

    Returns:
        The run: its `recipe`, `stages()`, `path`, `events`.

    Raises:
        UsageError: there is no such run.

    Examples:
        >>> run = load_run("recorded")
        >>> run.stages()["nat"]["state"]
        'finished'
    """
    from nsad_cli.runs.run import Run

    return Run.open(name, finished=True)


def solve(
    question: str | Problem,
    run: Run | str | None = None,
    *,
    samples: int | None = None,
    rule: str | None = None,
    stop_at: float | None = None,
    wave: int = 4,
    device: str | None = None,
    engine: str | None = None,
    on_chain: ChainCallback | None = None,
    on_tokens: Callable[[int], None] = lambda _: None,
) -> Solution:
    """Solve a problem with a run's best model: sample chains, score them, vote. The run keeps the chains.

    Args:
        question: the problem's text, or a Problem, whose gold answer then marks each chain right or wrong.
        run: a run or its name; see `load_run`.
        samples: maximum number of chains; the recipe's by default.
        rule: vote rule (`sc`, `wsc`, `asc`, `asc-add`, `asc-add2`, `best`); the recipe's by default. Without a ranker
            the rules that need one become `sc`.
        stop_at: stop sampling once the leading answer is this likely to stay ahead; in (0.5, 1].
        wave: chains sampled at once if `stop_at` is given.
        device: torch device; the recipe's by default.
        engine: `hf`, `vllm`, or `server[:MODEL]@URL`; the run's own by default.
        on_chain: called with the problem and its chains so far whenever one has arrived.
        on_tokens: called with the number of new tokens.

    Returns:
        The solution: `ballot` (answer, share, votes) and `chains`.

    Raises:
        UsageError: the rule, the engine or the run is not known.
        NsadError: the model cannot be loaded.

    Source: sections 2.3 and 3.3 of arXiv 2312.12832.

    Examples:
        >>> solution = solve("Sara has 3 apples and buys 4 more. How many apples does Sara have now?", samples=4)
        >>> len(solution.chains), solution.ballot.rule
        (4, 'asc')
    """
    (solution,) = solve_all(
        [question],
        run,
        samples=samples,
        rule=rule,
        stop_at=stop_at,
        wave=wave,
        device=device,
        engine=engine,
        on_chain=on_chain,
        on_tokens=on_tokens,
    )
    return solution


def solve_all(
    questions: Iterable[str | Problem],
    run: Run | str | None = None,
    *,
    samples: int | None = None,
    rule: str | None = None,
    stop_at: float | None = None,
    wave: int = 4,
    device: str | None = None,
    engine: str | None = None,
    on_chain: ChainCallback | None = None,
    on_tokens: Callable[[int], None] = lambda _: None,
) -> Iterator[Solution]:
    """Solve many problems, in groups that fill the engine's batch.

    Chains are stored as they arrive: the same call after an interruption samples only what is missing.

    Args:
        questions: texts or Problems; repeated ones are solved once.
        run: a run or its name; see `load_run`.
        samples: maximum number of chains per problem; the recipe's by default.
        rule: see `solve`.
        stop_at: see `solve`.
        wave: see `solve`.
        device: torch device; the recipe's by default.
        engine: see `solve`.
        on_chain: see `solve`.
        on_tokens: see `solve`.

    Yields:
        A solution for each problem, in the order in which they are finished.

    Raises:
        UsageError: the rule, the engine or the run is not known.
        NsadError: the model cannot be loaded.

    Examples:
        >>> found = solve_all(["What is 3 + 4?", "What is 5 + 1?"], "recorded", samples=2, rule="sc")
        >>> sorted(solution.problem.question for solution in found)
        ['What is 3 + 4?', 'What is 5 + 1?']
    """
    from nsad_cli.inference.run_solver import open_solver
    from nsad_cli.inference.solver import VoteSettings
    from nsad_cli.problems.question_files import make_problem

    found = (question if isinstance(question, Problem) else make_problem(question) for question in questions)
    problems = list({problem.id: problem for problem in found}.values())
    run = load_run(run) if run is None or isinstance(run, str) else run
    settings = VoteSettings.of(run.recipe.solve, samples, rule, stop_at, wave)
    with open_solver(run, problems, settings, device, engine) as solver:
        for start in range(0, len(problems), solver.together):
            for solution in solver.solver.solve(problems[start : start + solver.together], on_chain, on_tokens):
                solver.keep(solution)
                yield solution


def grade(texts: Sequence[str], golds: Sequence[str]) -> list[Grade]:
    r"""Read the final answer of each text and compare it with its gold answer.

    Args:
        texts: solutions that end in an answer: \boxed{…}, `#### x`, "the answer is x"; or any text with numbers.
        golds: the gold answers, one for each text.

    Returns:
        One Grade for each text: its `verdict`, the `answer` read, and the `reason`. Only what is proved equal is
        `correct`, and only an explicit, different answer is `wrong`.

    Examples:
        >>> [item.verdict.value for item in grade(["So 3 + 4 = 7. The answer is 7.", r"\boxed{8}"], ["7.0", "7"])]
        ['correct', 'wrong']
    """
    from nsad_cli.grading.checker import Checker
    from nsad_cli.grading.verdicts import grade_texts

    with Checker() as checker:
        return grade_texts([(text, gold, Finish.STOP) for text, gold in zip(texts, golds, strict=True)], checker)


def make_chains(
    texts: Sequence[str],
    *,
    weights: Sequence[float | None] | None = None,
    gold: str = "",
) -> list[Chain]:
    """Make the chains of one problem from texts, with equivalent answers in one class.

    Args:
        texts: solutions, or answers alone.
        weights: scores by a ranker, at least 0; None for a chain without one.
        gold: the gold answer, if it is known.

    Returns:
        One chain for each text: `answer`, `answer_class`, `weight`, and `correct` if the gold answer is known.

    Examples:
        >>> [chain.answer_class for chain in make_chains(["The answer is 1/2.", "0.5", "3"])]
        [0, 0, 2]
    """
    from nsad_cli.grading.chains import grade_chains
    from nsad_cli.grading.checker import Checker

    scores = list(weights) if weights is not None else [None] * len(texts)
    chains = [
        Chain("", index, text, None, weight=weight)
        for index, (text, weight) in enumerate(zip(texts, scores, strict=True))
    ]
    with Checker() as checker:
        return grade_chains(chains, gold, checker)


def vote(chains: Sequence[Chain], rule: str = "sc") -> Ballot:
    """Hold a vote among the chains of one problem.

    Args:
        chains: chains of a Solution, or from `make_chains`.
        rule: `sc` counts chains; `wsc` weighs them by exp(mean token log-probability); `asc` by their weights;
            `asc-add` by 1 + weight, `asc-add2` by 1 + 2 · weight; `best` takes the answer of the chain with the
            highest weight.

    Returns:
        The ballot: the winning `answer`, its `share`, and the `votes` from the winner down.

    Raises:
        UsageError: the rule's weights are missing.

    Source: self-consistency (Wang et al. 2023) for `sc`; section 3.3 of arXiv 2312.12832 for `asc`.

    Examples:
        >>> vote(make_chains(["7", "7.0", "8"], weights=[0.1, 0.2, 0.9]), "asc").answer
        '8'
    """
    from nsad_cli.voting.rules import vote as hold

    return hold(chains, rule)


def explain_vote(chains: Sequence[Chain]) -> VoteExplanation:
    """Hold a problem's vote by every rule, and find how close each one is.

    Args:
        chains: chains of one problem, from a Solution or `make_chains`.

    Returns:
        The explanation.

    Examples:
        >>> found = explain_vote(make_chains(["7", "7.0", "8"])).results["sc"]
        >>> found.ballot.answer, found.flip, found.votes_to_overturn
        ('7', (0, 1), 1)
    """
    return VoteExplanation.of(chains)


def add_nat(
    model: Any,
    *,
    targets: Sequence[str] | Literal["all-linear"] = ("q_proj", "v_proj"),
    r: int = 8,
    alpha: float = 16,
    dropout: float = 0.05,
    unit_size: int = 128,
    unit_value: Literal["mlp", "identity", "delta"] = "mlp",
    unit_gate: Literal["learned", "fixed", "positive", "subtract"] = "learned",
    seed: int = 0,
) -> Adapters:
    """Add a negative LoRA and a NAT adapter beside it to a causal language model of transformers.

    An adapted projection W, [d_in → d_out], then computes base + (1 − α)·V(h+) + α·V(h−) for each token, with
    α in [−1/2, 1/2] from the integration unit; see nsad_cli.models.nat.layer.

    Args:
        model: the model, which is changed in place: its base weights are frozen.
        targets: names of linear layers, or `all-linear`.
        r: rank of both LoRAs.
        alpha: lora_alpha; the scale is alpha / r.
        dropout: dropout of the LoRAs' input.
        unit_size: width of Q, K and of V's hidden layer.
        unit_value: V as an MLP, the identity, or an MLP on the adapters' normalised outputs.
        unit_gate: the gate's range: the paper's (learned), 1/2 (fixed), above 0 (positive) or below 0 (subtract).
        seed: seed of the initial weights.

    Returns:
        The adapters `negative` and `nat`: `use(name)` is a context in which the model runs with one of them,
        `train_only(name)` makes its parameters trainable, `parameters_of(name)` lists them.

    Source: section 2.1 of arXiv 2312.12832.

    Examples:
        >>> from transformers import LlamaConfig, LlamaForCausalLM
        >>> shape = dict(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2)
        >>> model = LlamaForCausalLM(LlamaConfig(vocab_size=32, **shape))
        >>> adapters = add_nat(model, r=2, unit_size=4)
        >>> adapters.names()
        ['negative', 'nat']
        >>> with adapters.use("nat"):
        ...     logits = model(model.dummy_inputs["input_ids"]).logits
        >>> logits.shape[-1]
        32
    """
    from nsad_cli.config.stages import NAT, NEGATIVE
    from nsad_cli.models.nat.adapters import Adapters
    from nsad_cli.models.nat.config import AdapterSettings

    settings = AdapterSettings(
        targets=targets if isinstance(targets, str) else tuple(targets),
        r=r,
        alpha=alpha,
        dropout=dropout,
        unit_size=unit_size,
        unit_value=unit_value,
        unit_gate=unit_gate,
    )
    adapters = Adapters(model)
    adapters.add_lora(NEGATIVE.name, settings, seed)
    adapters.add_nat(NAT.name, settings, NEGATIVE.name, seed + 1)
    return adapters


def train(run: Run | str, *stages: str, force: bool = False) -> dict[str, dict[str, Any]]:
    """Run stages of a run's recipe in the order given; one that has finished with these settings is skipped.

    Args:
        run: a run or its name.
        stages: names of stages (`collect`, `grade`, `negative`, `nat`, `nce`, `ranker`, `eval`) or of baselines.
        force: run finished ones again.

    Returns:
        Each stage's result, as the run's manifest records it: `held_out_loss`, `steps`, `tokens`, `weights` and more.

    Raises:
        NsadError: a stage cannot go on; what it had done is kept.

    Examples:
        >>> result = train("recorded", "nat")["nat"]
        >>> result["steps"]
        3
    """
    from nsad_cli.pipeline.pipeline import run_stages

    return run_stages(load_run(run) if isinstance(run, str) else run, stages, force=force)


def evaluate(
    run: Run | str,
    problems: Sequence[str] | None = None,
    *,
    models: Sequence[str] | None = None,
    limit: int | None = None,
    samples: int | None = None,
    engine: str | None = None,
    stop_at: float = 0.95,
    wave: int = 1,
) -> dict[str, list[dict[str, Any]]]:
    """Measure a run's models on benchmarks: greedy answers, and votes by every rule from one set of chains.

    Args:
        run: a run or its name.
        problems: specs `NAME[:SPLIT][@PATH]` of benchmarks; the recipe's by default. Problems that the run was trained
            on are left out.
        models: names of models; by default those of the recipe that the run has.
        limit: maximum number of problems of each benchmark; the recipe's by default.
        samples: chains per problem for the votes; the recipe's by default.
        engine: see `solve`.
        stop_at: probability at which early stopping is simulated.
        wave: chains sampled at once in that simulation.

    Returns:
        `results`, one row per benchmark, model and rule with `accuracy`, `ci95` and `n`; `groups`, the same by subject
        and level; `stopping`, what stopping early would have saved.

    Raises:
        UsageError: no benchmark is named, or one is not known.
        NsadError: a model cannot be loaded, or another process is writing to the run.

    Examples:
        >>> report = evaluate("recorded", ["arithmetic:test"], models=["nce"], limit=2, samples=2)
        >>> [(row["rule"], row["n"]) for row in report["results"]][:2]
        [(None, 2), ('sc', 2)]
    """
    from nsad_cli.evaluation.measure import evaluate_run

    run = load_run(run) if isinstance(run, str) else run
    return evaluate_run(run, problems, models, limit, samples, engine=engine, stop_at=stop_at, wave=wave)
