"""The sections of a run's report on results: accuracies, the ranker, numbers of chains, negatives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nsad_cli.config.stages import NAT, STUDENT, UNTRAINED
from nsad_cli.evaluation.outcomes import ANY, GREEDY, estimated
from nsad_cli.report.charts import ForestPlot, ForestRow, LineChart, Series, percent
from nsad_cli.report.contents import nat_effects
from nsad_cli.report.document import Figure, Fold, Paragraph, Section, Table
from nsad_cli.utils.statistics import wilson

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nsad_cli.report.contents import Contents
    from nsad_cli.report.document import Block
    from nsad_cli.report.results import Ranking, Result
    from nsad_cli.report.stored_votes import ByNumber


def summary(contents: Contents) -> Iterator[Block]:
    """Summarise the accuracies before and after training, and whether their intervals overlap."""
    found = {(item.model, item.rule): item for item in contents.results}
    before, after = found.get((UNTRAINED[0], GREEDY)), found.get((STUDENT.name, GREEDY))
    if not contents.results:
        yield Paragraph("The run has no evaluation yet, so nothing can be said of its accuracy.")
    if before is not None and after is not None and before.benchmark == after.benchmark:
        yield Paragraph(
            f"Greedy answers on {after.benchmark}: {_in_words(before)} right before training, {_in_words(after)} right "
            f"after ({STUDENT.name}). {_overlap(before, after)}"
        )
    voted = [found[STUDENT.name, rule] for rule in ("sc", "asc") if (STUDENT.name, rule) in found]
    if voted:
        listed = ", ".join(f"{item.rule} {_in_words(item)}" for item in voted)
        yield Paragraph(f"Votes over {voted[0].samples} chains of {STUDENT.name}: {listed}.")
    refused = contents.ranking.refused if contents.ranking is not None else None
    if refused:
        yield Paragraph(f"The ranker is refused, so votes do not use its weights: {refused}.")
    if contents.negatives:
        yield Paragraph(f"Effect of the negative branch of {NAT.name}: {contents.negatives[0].summary}.")


def arms_section(contents: Contents) -> Section:
    """Lay out the accuracies by model and rule: a forest plot for each benchmark, and a table."""
    results = contents.results
    blocks: list[Block] = []
    for benchmark in dict.fromkeys(item.benchmark for item in results):
        mine = [item for item in results if item.benchmark == benchmark]
        blocks.append(Figure(_forest(benchmark, [item for item in mine if _plotted(item.rule)])))
        blocks.append(_results_table(benchmark, mine))
    known = {item.model for item in results}
    more = _stored_arms(contents, known)
    if more:
        blocks.append(Figure(ForestPlot("Other models with stored chains", "accuracy", tuple(more))))
        blocks.append(
            Paragraph(
                "These models were evaluated apart from the run (`nsad eval --model`); their accuracies are counted "
                "from the stored chains on problems that the run has not collected."
            )
        )
    if not blocks:
        blocks.append(Paragraph("The run has no evaluation yet; `nsad eval` adds one."))
    else:
        blocks.insert(0, Paragraph("Accuracy by model and rule with Wilson's 95 % interval over problems."))
    return Section("arms", "Accuracy by model and rule", tuple(blocks))


def _plotted(rule: str) -> bool:
    return rule != ANY and not estimated(rule)


def _forest(benchmark: str, rows: Sequence[Result]) -> ForestPlot:
    models = list(dict.fromkeys(item.model for item in rows))
    base = next((item for item in rows if (item.model, item.rule) == (UNTRAINED[0], GREEDY)), None)
    drawn = []
    for item in rows:
        low, high = item.ci95 or (None, None)
        label = f"{item.model} {item.rule}"
        drawn.append(ForestRow(label, item.accuracy, low, high, models.index(item.model)))
    reference = None if base is None else (base.accuracy, "untrained student")
    return ForestPlot(f"Accuracy on {benchmark}", "accuracy", tuple(drawn), reference)


def _results_table(benchmark: str, rows: Sequence[Result]) -> Table:
    marked = any(item.refused for item in rows)
    bound = "; any is an upper bound of votes" if any(item.rule == ANY for item in rows) else ""
    return Table(
        f"Accuracy on {benchmark} in %; k chains per problem{bound}"
        + ("; *: not used, the ranker is refused" if marked else ""),
        ("model", "rule", "n", "k", "accuracy", "95 % interval", "truncated", "tokens"),
        tuple(
            (
                item.model,
                f"{item.rule} *" if item.refused else item.rule,
                f"{item.n:,}",
                str(item.samples),
                f"{100 * item.accuracy:.1f}",
                "–" if item.ci95 is None else f"{100 * item.ci95[0]:.1f} to {100 * item.ci95[1]:.1f}",
                "–" if item.truncated is None else f"{100 * item.truncated:.0f}",
                "–" if item.tokens is None else f"{item.tokens:,.0f}",
            )
            for item in rows
        ),
        left=2,
    )


def _stored_arms(contents: Contents, known: set[str]) -> list[ForestRow]:
    """Accuracies of models whose chains are stored, but that the run's own evaluation does not have."""
    rows, models = [], list[str]()
    for model, (n, right) in (contents.votes.greedy or {}).items():
        if model not in known:
            models += [model] * (model not in models)
            rows.append(ForestRow(f"{model} {GREEDY}", right / n, *wilson(right, n), models.index(model)))
    for item in contents.votes.by_number:
        if item.model not in known:
            models += [item.model] * (item.model not in models)
            for rule, points in item.accuracy.items():
                rows.append(ForestRow(f"{item.model} {rule}", *points[-1][1:], models.index(item.model)))
    return sorted(rows, key=lambda row: row.group)


def ranker_section(contents: Contents) -> Section:
    """Lay out how well the ranker ranks, beside scores that need no training."""
    ranking = contents.ranking
    if ranking is None or not ranking.scorers:
        return Section(
            "ranker",
            "Ranker against free scores",
            (Paragraph("The run has no measured ranker, so there is no figure."),),
        )
    rows = tuple(
        ForestRow(item.name, item.value, item.low, item.high, 0 if place == 0 else 5)
        for place, item in enumerate(ranking.scorers)
    )
    table = Table(
        "Ranking of right chains above wrong ones of the same problem",
        ("score", "pairs", "pair accuracy, %", "95 % interval", "AUC"),
        tuple(
            (
                item.name,
                "–" if item.pairs is None else f"{item.pairs:,}",
                f"{100 * item.value:.1f}",
                "–" if item.low is None or item.high is None else f"{100 * item.low:.1f} to {100 * item.high:.1f}",
                "–" if item.auc is None else f"{item.auc:.3f}",
            )
            for item in ranking.scorers
        ),
    )
    plot = ForestPlot("Pairs of a right and a wrong chain ranked rightly", "pair accuracy", rows, (0.5, "chance"))
    return Section("ranker", "Ranker against free scores", (Paragraph(_ranker_in_words(ranking)), Figure(plot), table))


def _ranker_in_words(ranking: Ranking) -> str:
    parts = [f"The ranker is of kind {ranking.kind}."]
    if ranking.unseen is not None:
        kept = "were kept from" if ranking.unseen else "are those of"
        parts.append(f"The measured chains are of problems that {kept} the student's training.")
    if ranking.ece is not None:
        parts.append(f"Expected calibration error of its probabilities: {ranking.ece:.3f}.")
    if ranking.weighting:
        parts.append(f"Weight of a vote: {ranking.weighting}.")
    if ranking.refused:
        parts.append(f"It is refused: {ranking.refused}.")
    if len(ranking.scorers) < 2:
        parts.append("No free score was measured on the same chains.")
    return " ".join(parts)


def by_number_section(contents: Contents) -> Section:
    """Lay out the accuracy of votes by the number of chains."""
    title, found = "Accuracy by number of chains", contents.votes.by_number
    if not found:
        return Section("chains", title, (Paragraph("The run has no votes on problems that it has not trained on."),))
    blocks: list[Block] = [
        Paragraph(
            "Votes over k of each problem's stored chains: the mean over subsets of k chains (all of them if they are "
            "few, else random ones, the same for both rules). The shaded regions are Wilson's 95 % intervals over "
            "problems. Only problems with a known answer that the run has not collected count."
        )
    ]
    blocks += [Figure(_by_number_chart(item)) for item in found]
    blocks.append(
        Fold("The numbers", tuple(_by_number_table(item) for item in found)),
    )
    return Section("chains", title, tuple(blocks))


def _by_number_chart(item: ByNumber) -> LineChart:
    series = tuple(
        Series(rule, tuple((k, mean) for k, mean, *_ in rows), tuple((k, low, high) for k, _, low, high in rows))
        for rule, rows in item.accuracy.items()
    )
    return LineChart(f"{item.model}: {item.problems:,} problems", "chains", "accuracy", series, percent=True)


def _by_number_table(item: ByNumber) -> Table:
    sizes = [k for k, *_ in next(iter(item.accuracy.values()))]
    rows = tuple(
        (
            str(k),
            *(
                f"{100 * points[place][1]:.1f} ({100 * points[place][2]:.1f} to {100 * points[place][3]:.1f})"
                for points in item.accuracy.values()
            ),
        )
        for place, k in enumerate(sizes)
    )
    scored = f"; asc by ranker {item.ranker}" if "asc" in item.accuracy else ""
    caption = f"{item.model}: accuracy in % and its 95 % interval{scored}"
    return Table(caption, ("chains", *item.accuracy), rows, left=0)


def negatives_section(contents: Contents) -> Section:
    """Lay out the effect of NAT's negative branch."""
    title, checks = "Effect of negatives", nat_effects(contents)
    if not checks and not contents.negatives:
        sentence = "The effect of NAT's negative branch was not measured in this run."
        return Section("negatives", title, (Paragraph(sentence),))
    blocks: list[Block] = [
        Paragraph(
            "What NAT's negative branch changes: the divergence of NAT from the same model with the positive branch in "
            "place of the negative one. If it is near zero, a gain of NAT does not come from negatives."
        )
    ]
    if checks:
        series = Series("KL(NAT ‖ NAT with h− = h+)", checks, dots=len(checks) < 3)
        blocks.append(Figure(LineChart("Effect of the negative branch in training", "step", "nats a token", (series,))))
    if contents.negatives:
        rows = tuple(
            (
                item.model,
                item.benchmark,
                f"{item.n:,}",
                f"{item.kl:.5f}",
                "–" if item.share is None else percent(item.share),
                item.summary.rpartition(": ")[2],
            )
            for item in contents.negatives
        )
        heads = ("model", "benchmark", "greedy chains", "KL, nats a token", "share of the unit's output", "effect")
        blocks.append(Table("Effect of the negative branch in the evaluation", heads, rows, left=2))
    return Section("negatives", title, tuple(blocks))


def _in_words(item: Result) -> str:
    low, high = item.ci95 or (None, None)
    between = "" if low is None or high is None else f"{100 * low:.1f} to {100 * high:.1f}, "
    return f"{percent(item.accuracy)} ({between}n\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{item.n:,})"


def _overlap(before: Result, after: Result) -> str:
    if before.ci95 is None or after.ci95 is None:
        return ""
    if after.ci95[0] > before.ci95[1]:
        return "The 95 % intervals do not overlap: a gain."
    if after.ci95[1] < before.ci95[0]:
        return "The 95 % intervals do not overlap: a loss."
    return "The 95 % intervals overlap: no gain is shown."
