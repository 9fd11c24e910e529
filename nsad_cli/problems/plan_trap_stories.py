"""The stories of the world `arithmetic:plan-traps`: questions, and solutions that avoid the trap or walk into it.

The templates are those of nsad_cli.problems.wordings. Slots p, q, r are people; t, u things; a a large number, b, c, d
smaller ones, k a factor, n a small count; x, y, z, w results. Calculations are right in every solution: only plans are
wrong.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Story:
    """A kind of question.

    Attributes:
        kind: The kind of trap.
        question: The template of the question.
        right: The template of correct solutions.
        wrong: Templates of solutions that walk into the trap.
    """

    kind: str
    question: str
    right: str
    wrong: tuple[str, ...]


START = "[Start with {a} {t}.|There are {a} {t} at first.|At first: {a} {t}.|{p} has {a} {t}.] "
OWNS = "[{p} has {a} {t}.|{p}: {a} {t}.|Start with the {a} {t} of {p}.] "
TOGETHER = "[Both together.|Now add both.|Together.] "

COMPARISON_REVERSED = (
    Story(
        "comparison reversed",
        "{p} has {a} {t}. [That is {b} fewer than {q} has.|This is {b} fewer {t} than {q} has.] "
        "How many {t} do {p} and {q} have [together|in all]?",
        OWNS + "[{q} has {b} more than {p}.|So {q} has {b} more.] {a} + {b} = {x}. " + TOGETHER + "{a} + {x} = {y}. "
        "The answer is {y}.",
        (
            OWNS
            + "[{q} has {b} fewer than {p}.|So {q} has {b} fewer.] {a} - {b} = {x}. "
            + TOGETHER
            + "{a} + {x} = {y}. "
            "The answer is {y}.",
        ),
    ),
    Story(
        "comparison reversed",
        "{p} has {a} {t}, {b} more than {q} has. {q} [gets|buys|finds] {c} more {t}. "
        "How many {t} does {q} have [now|then]?",
        OWNS + "[{q} has {b} fewer than {p}.|So {q} has {b} fewer.] {a} - {b} = {x}. "
        "[{q} gets {c} more.|Add the {c}.] {x} + {c} = {y}. The answer is {y}.",
        (
            OWNS + "[{q} has {b} more than {p}.|So {q} has {b} more.] {a} + {b} = {x}. "
            "[{q} gets {c} more.|Add the {c}.] {x} + {c} = {y}. The answer is {y}.",
        ),
    ),
    Story(
        "comparison reversed",
        "{p} sold {a} {t}. That was {b} fewer than {q} sold. {r} sold {c} fewer than {q}. "
        "How many {t} did {q} and {r} sell [together|in all]?",
        "{p} sold {a}. [{q} sold {b} more than {p}.|So {q} sold {b} more.] {a} + {b} = {x}. "
        "[{r} sold {c} fewer than {q}.|For {r} take away {c}.] {x} - {c} = {y}. " + TOGETHER + "{x} + {y} = {z}. "
        "The answer is {z}.",
        (
            "{p} sold {a}. [{q} sold {b} fewer than {p}.|So {q} sold {b} fewer.] {a} - {b} = {x}. "
            "[{r} sold {c} fewer than {q}.|For {r} take away {c}.] {x} - {c} = {y}. " + TOGETHER + "{x} + {y} = {z}. "
            "The answer is {z}.",
        ),
    ),
)

DIFFERENCE_AS_AMOUNT = (
    Story(
        "difference as amount",
        "{p} has {a} {t}. {q} has {b} fewer [than|{t} than] {p}. How many {t} do they have [together|in all]?",
        OWNS + "[{q} has {b} fewer.|For {q} take away {b}.] {a} - {b} = {x}. " + TOGETHER + "{a} + {x} = {y}. "
        "The answer is {y}.",
        (OWNS + "[{q} has {b} {t}.|{q}: {b} {t}.] " + TOGETHER + "{a} + {b} = {x}. The answer is {x}.",),
    ),
    Story(
        "difference as amount",
        "{p} reads {a} pages on [Monday|Friday] and {b} pages more [the next day|a day later]. "
        "How many pages does {p} read on both days?",
        "[First day: {a} pages.|Start with {a} pages.] [The second day is {b} more.|The next day has {b} more.] "
        "{a} + {b} = {x}. " + TOGETHER + "{a} + {x} = {y}. The answer is {y}.",
        (
            "[First day: {a} pages.|Start with {a} pages.] [Second day: {b} pages.|The next day has {b} pages.] "
            + TOGETHER
            + "{a} + {b} = {x}. The answer is {x}.",
        ),
    ),
    Story(
        "difference as amount",
        "[One|The first] box holds {a} {t}. [Another|The second] box holds {d} {t} more. "
        "{p} takes {c} {t} out of the [second|other] box. "
        "How many {t} are left in that box?",
        "[The first box holds {a}.|First box: {a} {t}.] [The second box holds {d} more.|Add {d} for the second box.] "
        "{a} + {d} = {x}. [{p} takes {c}.|Take away {c}.] {x} - {c} = {y}. The answer is {y}.",
        (
            "[The second box holds {d} {t}.|Second box: {d} {t}.] [{p} takes {c}.|Take away {c}.] {d} - {c} = {x}. "
            "The answer is {x}.",
        ),
    ),
    Story(
        "difference as amount",
        "{p} picks {d} {t}. {q} picks {b} more than {p}. {r} picks {c} fewer than {q}. "
        "How many {t} do the three pick [together|in all]?",
        "[{p} picks {d}.|{p}: {d} {t}.] [{q} picks {b} more.|Add {b} for {q}.] {d} + {b} = {x}. "
        "[{r} picks {c} fewer than {q}.|For {r} take away {c}.] {x} - {c} = {y}. [Now all three.|Add all.] "
        "{d} + {x} = {z}. {z} + {y} = {w}. The answer is {w}.",
        (
            "[{p} picks {d}.|{p}: {d} {t}.] [{q} picks {b}.|{q}: {b} {t}.] [{r} picks {c}.|{r}: {c} {t}.] "
            "{d} + {b} = {x}. {x} + {c} = {y}. The answer is {y}.",
            "[{p} picks {d}.|{p}: {d} {t}.] [{q} picks {b} more.|Add {b} for {q}.] {d} + {b} = {x}. "
            "[{r} picks {c}.|{r}: {c} {t}.] {d} + {x} = {y}. {y} + {c} = {z}. The answer is {z}.",
        ),
    ),
)

TIMES_AS_MANY = (
    Story(
        "times as many",
        "{p} has {d} {t}. {q} has {k} times as many [as {p}|{t} as {p}]. How many {t} do they have [together|in all]?",
        "[{p} has {d}.|{p}: {d} {t}.] [{q} has {k} times as many.|{q} has {k} for each of them.] {d} * {k} = {x}. "
        + TOGETHER
        + "{d} + {x} = {y}. The answer is {y}.",
        (
            "[{p} has {d}.|{p}: {d} {t}.] [{q} has {k} more.|Add {k} for {q}.] {d} + {k} = {x}. "
            + TOGETHER
            + "{d} + {x} = {y}. The answer is {y}.",
        ),
    ),
    Story(
        "times as many",
        "{p} has {a} {t}. That is {k} times as many as {q} has. {q} [gets|buys|finds] {b} more {t}. "
        "How many {t} does {q} have [now|then]?",
        OWNS + "[Divide by {k} for {q}.|{q} has fewer than {p}.] {a} / {k} = {x}. [{q} gets {b} more.|Add the {b}.] "
        "{x} + {b} = {y}. The answer is {y}.",
        (
            OWNS + "[{q} has {k} times as many.|Multiply by {k} for {q}.] {a} * {k} = {x}. "
            "[{q} gets {b} more.|Add the {b}.] {x} + {b} = {y}. The answer is {y}.",
        ),
    ),
    Story(
        "times as many",
        "{p} has {d} {t}. {q} has {k} times as many {t} as {p}. {q} gives {b} {t} to {r}. "
        "How many {t} does {q} have [left|now]?",
        "[{p} has {d}.|{p}: {d} {t}.] [{q} has {k} times as many.|Multiply by {k} for {q}.] {d} * {k} = {x}. "
        "[{q} gives away {b}.|Take away {b}.] {x} - {b} = {y}. The answer is {y}.",
        (
            "[{p} has {d}.|{p}: {d} {t}.] [{q} has {k} more.|Add {k} for {q}.] {d} + {k} = {x}. "
            "[{q} gives away {b}.|Take away {b}.] {x} - {b} = {y}. The answer is {y}.",
        ),
    ),
    Story(
        "times as many",
        "{p} has {k} times as many {t} as {q}. {q} has {d} {t}. {r} has {b} fewer than {p}. "
        "How many {t} do {q} and {r} have [together|in all]?",
        "[{q} has {d}.|{q}: {d} {t}.] [{p} has {k} times as many.|Multiply by {k} for {p}.] {d} * {k} = {x}. "
        "[{r} has {b} fewer than {p}.|For {r} take away {b}.] {x} - {b} = {y}. " + TOGETHER + "{d} + {y} = {z}. "
        "The answer is {z}.",
        (
            "[{q} has {d}.|{q}: {d} {t}.] [{p} has {k} more.|Add {k} for {p}.] {d} + {k} = {x}. "
            "[{r} has {b} fewer than {p}.|For {r} take away {b}.] {x} - {b} = {y}. " + TOGETHER + "{d} + {y} = {z}. "
            "The answer is {z}.",
        ),
    ),
)

IRRELEVANT_NUMBER = (
    Story(
        "irrelevant number",
        "{p} is {d} years old and has {a} {t}. {p} [gives away|loses|sells] {b} {t} and [buys|gets|finds] {c} more. "
        "How many {t} does {p} have now?",
        START + "{a} - {b} = {x}. {x} + {c} = {y}. The answer is {y}.",
        (
            START
            + "[Add the {d}.|Take the {d} too.] {a} + {d} = {x}. {x} - {b} = {y}. {y} + {c} = {z}. The answer is {z}.",
            START
            + "{a} - {b} = {x}. {x} + {c} = {y}. [Add the {d}.|Take the {d} too.] {y} + {d} = {z}. The answer is {z}.",
        ),
    ),
    Story(
        "irrelevant number",
        "{p} has {a} {t} and {d} {u}. {p} [gives away|loses|sells] {b} {t}. Then {p} [buys|gets|finds] {c} more {t}. "
        "How many {t} does {p} have now?",
        START + "{a} - {b} = {x}. {x} + {c} = {y}. The answer is {y}.",
        (
            START
            + "[Add the {d} {u}.|Then {d} more.] {a} + {d} = {x}. {x} - {b} = {y}. {y} + {c} = {z}. The answer is {z}.",
        ),
    ),
    Story(
        "irrelevant number",
        "A shop is open for {n} hours a day. It has {a} {t} in the morning. It sells {b} {t} before noon and {c} {t} "
        "[after noon|later]. How many {t} are left?",
        "[Start with {a} {t}.|At first: {a} {t}.] {a} - {b} = {x}. {x} - {c} = {y}. The answer is {y}.",
        (
            "[Start with {a} {t}.|At first: {a} {t}.] {a} - {b} = {x}. {x} - {c} = {y}. "
            "[Take away {n}.|Then {n} fewer.] "
            "{y} - {n} = {z}. The answer is {z}.",
            "[Start with {a} {t}.|At first: {a} {t}.] [The shop sells in {n} hours.|In {n} hours.] {b} * {n} = {x}. "
            "{a} - {x} = {y}. {y} - {c} = {z}. The answer is {z}.",
        ),
    ),
    Story(
        "irrelevant number",
        "{n} children stand around {k} boxes with {d} {t} in each box. {p} takes {b} {t}. "
        "How many {t} are left in the boxes?",
        "[All {t} in the boxes.|{k} boxes with {d} {t}.] {d} * {k} = {x}. [{p} takes {b}.|Take away {b}.] "
        "{x} - {b} = {y}. "
        "The answer is {y}.",
        (
            "[All {t} in the boxes.|{k} boxes with {d} {t}.] {d} * {k} = {x}. [{p} takes {b}.|Take away {b}.] "
            "{x} - {b} = {y}. [Each child takes one.|The {n} children take {n}.] {y} - {n} = {z}. The answer is {z}.",
            "[{n} children with {d} {t}.|All {t} of the children.] {d} * {n} = {x}. [{p} takes {b}.|Take away {b}.] "
            "{x} - {b} = {y}. The answer is {y}.",
        ),
    ),
)

OTHER_PERSON = (
    Story(
        "another person's things",
        "{p} has {a} {t}. {p} [buys|gets|finds] {b} more {t}, and {q} [buys|gets|finds] {c} more. "
        "Then {p} [gives away|loses|sells] {d} {t}. How many {t} does {p} have now?",
        START + "{a} + {b} = {x}. [The {c} are not {p}'s.|Take away the {d}.] {x} - {d} = {y}. The answer is {y}.",
        (
            START
            + "{a} + {b} = {x}. [Then {c} more.|Add the {c}.] {x} + {c} = {y}. {y} - {d} = {z}. The answer is {z}.",
        ),
    ),
    Story(
        "another person's things",
        "{p} has {a} {t} and {q} has {d} {t}. {q} [buys|gets|finds] {b} more and then gives {c} {t} to a friend. "
        "How many {t} does {q} have now?",
        "[{q} has {d} {t}.|Start with the {d} of {q}.] {d} + {b} = {x}. {x} - {c} = {y}. The answer is {y}.",
        (
            "[Start with {a} {t}.|At first: {a} {t}.] {a} + {b} = {x}. {x} - {c} = {y}. The answer is {y}.",
            "[Take all {t}.|First add all.] {a} + {d} = {x}. {x} + {b} = {y}. {y} - {c} = {z}. The answer is {z}.",
        ),
    ),
    Story(
        "another person's things",
        "{p} has {a} {t}. {q} gives {b} {t} to {p} and {c} {t} to {r}. Then {p} [gives away|loses|sells] {d} {t}. "
        "How many {t} does {p} have now?",
        START + "{a} + {b} = {x}. [The {c} go to {r}.|Take away the {d}.] {x} - {d} = {y}. The answer is {y}.",
        (
            START
            + "{a} + {b} = {x}. [Then {c} more.|Add the {c}.] {x} + {c} = {y}. {y} - {d} = {z}. The answer is {z}.",
            START + "{a} + {b} = {x}. [Then {c} fewer.|Take away the {c}.] {x} - {c} = {y}. {y} - {d} = {z}. "
            "The answer is {z}.",
        ),
    ),
    Story(
        "another person's things",
        "{p} has {a} {t}. {p} [sells|loses] {b} {t}, and [a neighbour|a friend] [sells|loses] {c}. "
        "Later {p} [buys|gets|finds] {d} more. How many {t} does {p} have now?",
        START + "{a} - {b} = {x}. [The {c} were not {p}'s.|Add {d}.] {x} + {d} = {y}. The answer is {y}.",
        (
            START + "{a} - {b} = {x}. [Then {c} fewer.|Take away the {c}.] {x} - {c} = {y}. {y} + {d} = {z}. "
            "The answer is {z}.",
        ),
    ),
)

EACH = (
    Story(
        "each",
        "{p} has {a} {t}. {p} [buys|gets|finds] {c} more [each|every] day for {n} days. "
        "How many {t} does {p} have then?",
        "[{n} days with {c} {t} each.|All new {t}.] {c} * {n} = {x}. [Add them to {a}.|{p} had {a} before.] "
        "{a} + {x} = {y}. "
        "The answer is {y}.",
        (
            START + "[{p} gets {c} more.|Add the {c}.] {a} + {c} = {x}. The answer is {x}.",
            START + "[Add the {c} and the {n}.|{c} and {n} more.] {c} + {n} = {x}. {a} + {x} = {y}. The answer is {y}.",
        ),
    ),
    Story(
        "each",
        "There are {n} [boxes|bags] with {d} {t} each. {p} takes {c} {t} out of each of them. "
        "How many {t} are left in all?",
        "[Each keeps some.|First one of them.] {d} - {c} = {x}. [There are {n} of them.|Now all {n}.] {x} * {n} = {y}. "
        "The answer is {y}.",
        (
            "[All {t} first.|{n} with {d} {t} each.] {d} * {n} = {x}. [{p} takes {c}.|Take away {c}.] {x} - {c} = {y}. "
            "The answer is {y}.",
            "[There are {d} {t}.|Start with {d} {t}.] [{p} takes {c}.|Take away {c}.] {d} - {c} = {x}. "
            "The answer is {x}.",
        ),
    ),
    Story(
        "each",
        "{p} fills {n} bags with {c} {t} each. {q} fills {k} bags with {b} {t} each. They give {d} {t} to {r}. "
        "How many {t} do {p} and {q} have left?",
        "[The bags of {p}.|First {p}.] {c} * {n} = {x}. [The bags of {q}.|Then {q}.] {b} * {k} = {y}. "
        + TOGETHER
        + "{x} + {y} = {z}. [{r} gets {d}.|Take away {d}.] {z} - {d} = {w}. The answer is {w}.",
        (
            "[All bags first.|Count the bags.] {n} + {k} = {x}. [{c} {t} in each.|Each bag has {c}.] {x} * {c} = {y}. "
            "[{r} gets {d}.|Take away {d}.] {y} - {d} = {z}. The answer is {z}.",
            "[All {t} first.|Count the {t}.] {c} + {b} = {x}. [{r} gets {d}.|Take away {d}.] {x} - {d} = {y}. "
            "The answer is {y}.",
        ),
    ),
    Story(
        "each",
        "{p} has {a} dollars and buys {n} {t}. Each of them costs {k} dollars. Then {p} earns {b} dollars. "
        "How many dollars does {p} have now?",
        "[Pay for {n} {t}.|{n} {t} cost more than one.] {n} * {k} = {x}. {a} - {x} = {y}. [{p} earns {b}.|Add {b}.] "
        "{y} + {b} = {z}. The answer is {z}.",
        (
            "[{p} pays {k} dollars.|The {t} cost {k} dollars.] {a} - {k} = {x}. [{p} earns {b}.|Add {b}.] "
            "{x} + {b} = {y}. "
            "The answer is {y}.",
        ),
    ),
)

PART_OF_THE_REST = (
    Story(
        "part of the rest",
        "{p} has {a} {t}. {p} gives {b} {t} to {q} and then half of the [rest|remaining {t}] to {r}. "
        "How many {t} does {p} have left?",
        START + "[{q} gets {b}.|First take away {b}.] {a} - {b} = {x}. [Half of this is left.|Then halve the rest.] "
        "{x} / 2 = {y}. The answer is {y}.",
        (
            START + "[Halve the {t}.|{r} gets half.] {a} / 2 = {x}. [{q} gets {b}.|Take away {b}.] {x} - {b} = {y}. "
            "The answer is {y}.",
        ),
    ),
    Story(
        "part of the rest",
        "{p} has {a} {t}. {p} gives {b} {t} to {q} and then a third of the [rest|remaining {t}] to {r}. "
        "How many {t} does {p} have left?",
        START
        + "[{q} gets {b}.|First take away {b}.] {a} - {b} = {x}. [{r} gets a third of this.|Take a third of the rest.] "
        "{x} / 3 = {y}. {x} - {y} = {z}. The answer is {z}.",
        (
            START + "[{r} gets a third of the {a}.|A third of the {t}.] {a} / 3 = {x}. [{q} gets {b}.|Take away {b}.] "
            "{a} - {b} = {y}. {y} - {x} = {z}. The answer is {z}.",
        ),
    ),
    Story(
        "part of the rest",
        "{p} has {a} {t}. {p} [loses|sells] {b} {t}, gives half of the [others|remaining {t}] "
        "to {q}, and [buys|gets|finds] "
        "{c} more. How many {t} does {p} have now?",
        START + "{a} - {b} = {x}. [Half of this is left.|Then halve the rest.] {x} / 2 = {y}. {y} + {c} = {z}. "
        "The answer is {z}.",
        (
            START
            + "[Halve the {t}.|{q} gets half.] {a} / 2 = {x}. {x} - {b} = {y}. {y} + {c} = {z}. The answer is {z}.",
        ),
    ),
    Story(
        "part of the rest",
        "There are {a} {t} on a [table|shelf]. {p} takes {b} of them. {q} takes half of the rest. "
        "Then {r} takes {c}, and "
        "{p} puts {d} back. How many {t} are there now?",
        "[Start with {a} {t}.|At first: {a} {t}.] {a} - {b} = {x}. [Half of this is left.|Then halve the rest.] "
        "{x} / 2 = {y}. {y} - {c} = {z}. {z} + {d} = {w}. The answer is {w}.",
        (
            "[Start with {a} {t}.|At first: {a} {t}.] [Halve the {t}.|{q} takes half.] {a} / 2 = {x}. {x} - {b} = {y}. "
            "{y} - {c} = {z}. {z} + {d} = {w}. The answer is {w}.",
        ),
    ),
)

AS_MANY_AS = (
    Story(
        "as many as",
        "{p} has {a} {t}. {q} has {b} {t}. {p} gives away as many {t} as {q} has. [Then|After that] "
        "{p} [buys|gets|finds] "
        "{c} more. How many {t} does {p} have now?",
        START
        + "[{p} gives away {b}.|As many as {q} has go away.] {a} - {b} = {x}. {x} + {c} = {y}. The answer is {y}.",
        (
            "[Now {p} has as many as {q}.|{p} has {b} now, as {q} has.] {b} + {c} = {x}. The answer is {x}.",
            START + "[As many as {q} has come.|Add the {b}.] {a} + {b} = {x}. {x} + {c} = {y}. The answer is {y}.",
        ),
    ),
    Story(
        "as many as",
        "{p} has {a} {t} and sells {b} in the morning. "
        "In the afternoon {p} sells as many as in the morning and {c} more. "
        "How many {t} are left?",
        START
        + "[First the afternoon.|Sold in the afternoon.] {b} + {c} = {x}. [Now the morning.|Sold in the morning.] "
        "{a} - {b} = {y}. {y} - {x} = {z}. The answer is {z}.",
        (
            START + "[Sold in the morning.|{p} sells {b}.] {a} - {b} = {x}. [{c} in the afternoon.|{p} sells {c}.] "
            "{x} - {c} = {y}. The answer is {y}.",
        ),
    ),
    Story(
        "as many as",
        "{p} has {a} {t}. {p} gives away as many {t} as {p} keeps. [Then|After that] {p} [buys|gets|finds] {b} more. "
        "How many {t} does {p} have now?",
        START + "[Half goes and half stays.|{p} keeps half.] {a} / 2 = {x}. {x} + {b} = {y}. The answer is {y}.",
        (START + "[As many go as stay, so it is the same.|This changes nothing.] {a} + {b} = {x}. The answer is {x}.",),
    ),
    Story(
        "as many as",
        "{p} has {d} {t} and {q} has {c}. {r} has as many {t} as {p} and {q} together. How many {t} do all three have?",
        "[{r} has both numbers.|First {p} and {q}.] {d} + {c} = {x}. [{r} has as many again.|{r} has the same.] "
        "{x} + {x} = {y}. The answer is {y}.",
        (
            "[{r} has as many as {p}.|{r} has {d}, as {p} has.] {d} + {d} = {x}. [Add {c} for {q}.|{q} has {c}.] "
            "{x} + {c} = {y}. The answer is {y}.",
            "[First {p} and {q}.|{p} and {q} together.] {d} + {c} = {x}. The answer is {x}.",
        ),
    ),
)

OUT_OF_ORDER = (
    Story(
        "told out of order",
        "{p} [gave away|lost|sold] {b} {t} and then [bought|got|found] {c} more. Now {p} has {a} {t}. "
        "How many {t} did {p} have at first?",
        "[{p} has {a} at the end.|Go back from {a}.] [Before the last {c} came.|Take away the {c}.] {a} - {c} = {x}. "
        "[Put the {b} back.|Add the {b} again.] {x} + {b} = {y}. The answer is {y}.",
        (START + "{a} - {b} = {x}. {x} + {c} = {y}. The answer is {y}.",),
    ),
    Story(
        "told out of order",
        "{p} gives half of the {t} to {q}. Before that, {p} had {a} {t} and [bought|got|found] {b} more. "
        "How many {t} does {p} have left?",
        START + "[The {b} came first.|First add {b}.] {a} + {b} = {x}. [Then half goes.|Then halve.] {x} / 2 = {y}. "
        "The answer is {y}.",
        (
            START + "[Half goes.|First halve.] {a} / 2 = {x}. [Then {b} more.|Then add {b}.] {x} + {b} = {y}. "
            "The answer is {y}.",
        ),
    ),
    Story(
        "told out of order",
        "After selling half of the {t}, {p} [bought|got|found] {b} more and has {a} {t} now. "
        "How many {t} did {p} have at first?",
        "[{p} has {a} at the end.|Go back from {a}.] [Without the {b}.|Take away the {b}.] {a} - {b} = {x}. "
        "[This was one half.|Double it.] {x} * 2 = {y}. The answer is {y}.",
        (
            START + "[Half is sold.|First halve.] {a} / 2 = {x}. [Then {b} more.|Then add {b}.] {x} + {b} = {y}. "
            "The answer is {y}.",
        ),
    ),
    Story(
        "told out of order",
        "At the end of the day {p} has {a} {t}. The last thing that happened: {p} lost {c}. "
        "Before that, {q} gave {b} to {p}. "
        "First of all, {p} gave {d} to {r}. How many {t} did {p} have [at first|in the beginning]?",
        "[{p} has {a} at the end.|Go back from {a}.] [Put {c} back.|Add {c} again.] {a} + {c} = {x}. "
        "[Without the {b} of {q}.|Take away {b}.] {x} - {b} = {y}. [{r} had got {d}.|Add {d} again.] {y} + {d} = {z}. "
        "The answer is {z}.",
        (
            START + "[{p} lost {c}.|Take away {c}.] {a} - {c} = {x}. [{q} gave {b}.|Add {b}.] {x} + {b} = {y}. "
            "[{r} got {d}.|Take away {d}.] {y} - {d} = {z}. The answer is {z}.",
        ),
    ),
)

OTHER_QUESTION = (
    Story(
        "answers another question",
        "{p} has {a} {t}. {p} sells {b} of them on [Monday|Friday] and {k} times as many [the next day|a day later]. "
        "How many {t} does {p} sell on both days?",
        "[First day: {b} {t}.|{p} sells {b} first.] [Second day.|The next day has {k} times as many.] {b} * {k} = {x}. "
        + TOGETHER
        + "{b} + {x} = {y}. The answer is {y}.",
        (
            "[First day: {b} {t}.|{p} sells {b} first.] [Second day.|The next day has {k} times as many.] "
            "{b} * {k} = {x}. "
            + TOGETHER
            + "{b} + {x} = {y}. [Take them from {a}.|{p} had {a}.] {a} - {y} = {z}. The answer is {z}.",
        ),
    ),
    Story(
        "answers another question",
        "{p} has {a} {t} and [buys|gets|finds] {b} more. {q} has {c} {t}. "
        "How many more {t} does {p} have than {q} now?",
        START + "[{p} gets {b}.|Add {b}.] {a} + {b} = {x}. [Now the difference.|Compare with {q}.] {x} - {c} = {y}. "
        "The answer is {y}.",
        (
            START + "[{p} gets {b}.|Add {b}.] {a} + {b} = {x}. [Add the {c} of {q}.|Both together.] {x} + {c} = {y}. "
            "The answer is {y}.",
            START + "[{p} gets {b}.|Add {b}.] {a} + {b} = {x}. The answer is {x}.",
        ),
    ),
    Story(
        "answers another question",
        "{p} has {a} {t}. {p} gives {b} to {q} and {c} to {r} and keeps the rest. "
        "How many more {t} does {p} keep than give away?",
        "[{p} gives away both.|All that goes.] {b} + {c} = {x}. [The rest stays.|{p} keeps the rest.] {a} - {x} = {y}. "
        "[Now the difference.|Compare both.] {y} - {x} = {z}. The answer is {z}.",
        (
            "[{p} gives away both.|All that goes.] {b} + {c} = {x}. [The rest stays.|{p} keeps the rest.] "
            "{a} - {x} = {y}. "
            "The answer is {y}.",
        ),
    ),
    Story(
        "answers another question",
        "{p} has {a} {t}. [In the morning|On Monday] {p} gives away {b}, [in the evening|on Tuesday] {c}, and "
        "{q} gives {d} back. How many fewer {t} does {p} have than at first?",
        "[All that goes.|{p} gives away both.] {b} + {c} = {x}. [{d} come back.|Without the {d}.] {x} - {d} = {y}. "
        "The answer is {y}.",
        (START + "{a} - {b} = {x}. {x} - {c} = {y}. [{d} come back.|Add {d}.] {y} + {d} = {z}. The answer is {z}.",),
    ),
)

WHAT_IS_MISSING = (
    Story(
        "what is missing",
        "{p} wants to have {a} {t}. {p} has {b} {t} and gets {c} more [each|every] week for {n} weeks. "
        "How many {t} are [still missing|missing then]?",
        "[{n} weeks with {c} each.|All new {t}.] {c} * {n} = {x}. [{p} had {b}.|Add the {b}.] {b} + {x} = {y}. "
        "[{a} are wanted.|Compare with {a}.] {a} - {y} = {z}. The answer is {z}.",
        (
            "[{n} weeks with {c} each.|All new {t}.] {c} * {n} = {x}. [{p} had {b}.|Add the {b}.] {b} + {x} = {y}. "
            "The answer is {y}.",
            "[{n} weeks with {c} each.|All new {t}.] {c} * {n} = {x}. [{a} are wanted.|Compare with {a}.] "
            "{a} - {x} = {y}. "
            "The answer is {y}.",
        ),
    ),
    Story(
        "what is missing",
        "A book has {a} pages. {p} reads {b} pages on [Monday|Friday] and {c} pages [the next day|a day later]. "
        "How many pages are left to read?",
        "[Read so far.|Both days.] {b} + {c} = {x}. [The book has {a}.|Take them from {a}.] {a} - {x} = {y}. "
        "The answer is {y}.",
        ("[Read so far.|Both days.] {b} + {c} = {x}. The answer is {x}.",),
    ),
    Story(
        "what is missing",
        "{p} needs {a} dollars. {p} earns {k} dollars an hour for {n} hours and then spends {b} dollars. "
        "How many dollars does {p} still need?",
        "[{n} hours of work.|All that {p} earns.] {k} * {n} = {x}. [{p} spends {b}.|Take away {b}.] {x} - {b} = {y}. "
        "[{a} are needed.|Compare with {a}.] {a} - {y} = {z}. The answer is {z}.",
        (
            "[{n} hours of work.|All that {p} earns.] {k} * {n} = {x}. [{p} spends {b}.|Take away {b}.] "
            "{x} - {b} = {y}. "
            "The answer is {y}.",
            "[{n} hours of work.|All that {p} earns.] {k} * {n} = {x}. [{a} are needed.|Take it from {a}.] "
            "{a} - {x} = {y}. "
            "[{p} spends {b}.|Take away {b}.] {y} - {b} = {z}. The answer is {z}.",
        ),
    ),
)

MOVED_THINGS = (
    Story(
        "moved, not lost",
        "{p} has {a} {t} and {q} has {d} {t}. {p} gives {b} {t} to {q}. "
        "How many more {t} does {p} have than {q} [now|then]?",
        "[{p} gives {b}.|First {p}.] {a} - {b} = {x}. [{q} gets them.|Then {q}.] {d} + {b} = {y}. "
        "[Now the difference.|Compare both.] {x} - {y} = {z}. The answer is {z}.",
        (
            "[{p} gives {b}.|First {p}.] {a} - {b} = {x}. [{q} has {d}.|Compare with {q}.] {x} - {d} = {y}. "
            "The answer is {y}.",
        ),
    ),
    Story(
        "moved, not lost",
        "{p} and {q} have {a} {t} together. {b} of them are {q}'s. {p} gives {c} {t} to {q}. "
        "How many {t} does {p} have left?",
        "[{q}'s are not {p}'s.|Without the {b} of {q}.] {a} - {b} = {x}. [{p} gives {c}.|Take away {c}.] "
        "{x} - {c} = {y}. "
        "The answer is {y}.",
        (
            "[Start with {a} {t}.|At first: {a} {t}.] [{p} gives {c}.|Take away {c}.] {a} - {c} = {x}. "
            "The answer is {x}.",
            "[{q}'s are not {p}'s.|Without the {b} of {q}.] {a} - {b} = {x}. [Then {c} more.|Add {c}.] "
            "{x} + {c} = {y}. "
            "The answer is {y}.",
        ),
    ),
    Story(
        "moved, not lost",
        "{p} has {a} {t} and {q} has {d} {t}. {p} gives {b} {t} to {q}, and {q} gives {c} {t} to {r}. "
        "How many {t} does {q} have [now|then]?",
        "[{q} has {d}.|Start with the {d} of {q}.] [{p} gives {b}.|Add {b}.] {d} + {b} = {x}. "
        "[{r} gets {c}.|Take away {c}.] {x} - {c} = {y}. The answer is {y}.",
        (
            "[{q} has {d}.|Start with the {d} of {q}.] [{r} gets {c}.|Take away {c}.] {d} - {c} = {x}. "
            "The answer is {x}.",
            "[{p} has {a}.|Start with {a}.] [{p} gives {b}.|Take away {b}.] {a} - {b} = {x}. "
            "[{r} gets {c}.|Take away {c}.] {x} - {c} = {y}. The answer is {y}.",
        ),
    ),
    Story(
        "moved, not lost",
        "{p} has {a} {t}. {q} has {d} {t}. {p} puts {b} {t} into the box of {q} and [sells|loses] {c}. "
        "How many {t} do {p} and {q} have together [now|then]?",
        "[Moving {b} changes no total.|First all {t}.] {a} + {d} = {x}. [{c} are gone.|Take away {c}.] "
        "{x} - {c} = {y}. "
        "The answer is {y}.",
        (
            "[First {p}.|{p} has {a}.] {a} - {b} = {x}. {x} - {c} = {y}. [Add {d} for {q}.|{q} has {d}.] "
            "{y} + {d} = {z}. "
            "The answer is {z}.",
        ),
    ),
)

STORIES = (
    *COMPARISON_REVERSED,
    *DIFFERENCE_AS_AMOUNT,
    *TIMES_AS_MANY,
    *IRRELEVANT_NUMBER,
    *OTHER_PERSON,
    *EACH,
    *PART_OF_THE_REST,
    *AS_MANY_AS,
    *OUT_OF_ORDER,
    *OTHER_QUESTION,
    *WHAT_IS_MISSING,
    *MOVED_THINGS,
)
KINDS = tuple(dict.fromkeys(story.kind for story in STORIES))
