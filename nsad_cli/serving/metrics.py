"""Counters of the server, in the text format of Prometheus."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter

BUCKETS = (0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
"""Upper limits of the histogram of a request's time, in seconds."""


class Metrics:
    """What the server has done; used by one thread."""

    def __init__(self) -> None:
        self.in_flight = 0
        self.chains = self.tokens = 0
        self.requests: Counter[str] = Counter()
        """The number of finished requests by outcome: the HTTP status, or `cancelled`."""
        self._buckets = [0] * (len(BUCKETS) + 1)
        self._seconds = 0.0

    def chain(self, tokens: int) -> None:
        """Count a chain and its tokens."""
        self.chains += 1
        self.tokens += tokens

    def refused(self, outcome: str) -> None:
        """Count a request that was refused at once."""
        self.requests[outcome] += 1

    def finished(self, outcome: str, seconds: float) -> None:
        """Count a request and its time."""
        self.requests[outcome] += 1
        self._buckets[bisect_left(BUCKETS, seconds)] += 1
        self._seconds += seconds

    def text(self) -> str:
        """Return all metrics in the text format of Prometheus, version 0.0.4."""
        lines: list[str] = []

        def add(name: str, kind: str, what: str, *values: tuple[str, int | float]) -> None:
            lines.extend((f"# HELP {name} {what}", f"# TYPE {name} {kind}"))
            lines.extend(f"{name}{labels} {value!r}" for labels, value in values)

        add("nsad_requests_in_flight", "gauge", "Requests that are being answered.", ("", self.in_flight))
        by_outcome = [(f'{{outcome="{outcome}"}}', count) for outcome, count in sorted(self.requests.items())]
        add("nsad_requests_total", "counter", "Finished requests.", *by_outcome)
        add("nsad_chains_total", "counter", "Chains sampled.", ("", self.chains))
        add("nsad_completion_tokens_total", "counter", "Tokens of the chains.", ("", self.tokens))
        total, values = 0, list[tuple[str, int | float]]()
        for limit, count in zip((*map(str, BUCKETS), "+Inf"), self._buckets, strict=True):
            total += count
            values.append((f'_bucket{{le="{limit}"}}', total))
        values += [("_sum", self._seconds), ("_count", total)]
        add("nsad_request_seconds", "histogram", "The time of a request.", *values)
        return "\n".join(lines) + "\n"
