"""Lines of a batch's input file: requests for draws, each named by a custom id that says which draws it asks for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from nsad_cli.teachers.batch_api import ENDPOINT, MAX_BYTES
from nsad_cli.teachers.openai_chat import MAX_SAMPLES_PER_REQUEST

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nsad_cli.teachers.base import Request
    from nsad_cli.teachers.openai import OpenAITeacher


@dataclass
class BatchLine:
    """One request of a batch, for draws of one problem with consecutive numbers."""

    problem_id: str
    numbers: tuple[int, ...]
    blob: bytes = b""
    """The line as it is submitted; empty for a line that was read back from its custom id."""

    @property
    def custom_id(self) -> str:
        """The id that the API returns with the reply; the API allows 64 characters."""
        return f"{self.problem_id}:{self.numbers[0]}:{len(self.numbers)}"

    @classmethod
    def from_custom_id(cls, custom_id: str) -> BatchLine:
        """Read a line's problem and draws back from its custom id."""
        problem_id, first, count = custom_id.rsplit(":", 2)
        return cls(problem_id, tuple(range(int(first), int(first) + int(count))))


def batch_lines(requests: Iterable[Request], teacher: OpenAITeacher) -> Iterator[BatchLine]:
    """Turn requests into lines of consecutive numbers, each of as many draws as the teacher takes in one request."""
    size = MAX_SAMPLES_PER_REQUEST if teacher.supports_n else 1
    for request in requests:
        for _, group in groupby(enumerate(request.indices), key=lambda item: item[1] - item[0]):
            numbers = tuple(number for _, number in group)
            for start in range(0, len(numbers), size):
                line = BatchLine(request.problem.id, numbers[start : start + size])
                body = teacher.body(request.problem, len(line.numbers))
                value = {"custom_id": line.custom_id, "method": "POST", "url": ENDPOINT, "body": body}
                line.blob = json.dumps(value).encode() + b"\n"
                yield line


def split_into_batches(lines: Iterable[BatchLine], max_requests: int) -> Iterator[list[BatchLine]]:
    """Group lines into batches of at most `max_requests` requests and MAX_BYTES bytes."""
    batch: list[BatchLine] = []
    size = 0
    for line in lines:
        if batch and (len(batch) == max_requests or size + len(line.blob) > MAX_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(line)
        size += len(line.blob)
    if batch:
        yield batch
