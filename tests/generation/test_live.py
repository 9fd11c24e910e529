"""Chains of requests that arrive and are cancelled while the transformers engine samples."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from nsad_cli.generation.hf import HFSampler
from nsad_cli.generation.live_requests import LiveRequest, LiveRequests
from nsad_cli.generation.sampler import Sampling, Task
from nsad_cli.models.student import Student, load_student
from nsad_cli.types import Chain

if TYPE_CHECKING:
    from pathlib import Path

SAMPLING = Sampling(0.9, 1.0, 12)
QUESTIONS = ("How many pens?", "Ann has 3 apples and buys 4. How many has she?", "Half of 10?")


@pytest.fixture(scope="module")
def student(tiny_llama: Path) -> Student:
    return load_student(str(tiny_llama), device="cpu")


def request(student: Student, number: int, *, sampling: Sampling = SAMPLING, chains: int = 4) -> LiveRequest:
    question = QUESTIONS[number % len(QUESTIONS)]
    task = Task(f"request-{number}", question, tuple(range(chains)), seeded_by=f"problem-{number % len(QUESTIONS)}")
    return LiveRequest(task, student.prompt_ids(question), sampling, "7")


class Listener(threading.Thread):
    """The engine's thread: keeps every chain."""

    def __init__(self, student: Student, batch_size: int = 5) -> None:
        super().__init__(daemon=True)
        self.requests, self.chains = LiveRequests(), list[Chain]()
        self.sampler = HFSampler(student, None, None, batch_size)
        self.start()

    def run(self) -> None:
        for chain in self.sampler.sample_live(self.requests):
            self.chains.append(chain)

    def end(self) -> dict[tuple[str, int], Chain]:
        self.requests.close()
        self.join(30)
        assert not self.is_alive()
        return {(chain.problem_id, chain.index): chain for chain in self.chains}


def test_a_live_chain_is_the_one_that_a_call_samples(student: Student) -> None:
    listener = Listener(student)
    for number in range(6):
        listener.requests.put(request(student, number))
        time.sleep(0.02)
    found = listener.end()
    tasks = [Task(f"problem-{i}", question, tuple(range(4))) for i, question in enumerate(QUESTIONS)]
    alone = {(c.problem_id, c.index): c for c in HFSampler(student, None, None, 5).sample(tasks, SAMPLING, seed="7")}
    assert len(found) == len(listener.chains) == 24, "each chain once"
    for number in range(6):
        for index in range(4):
            live, plain = found[f"request-{number}", index], alone[f"problem-{number % 3}", index]
            assert (live.text, live.finish) == (plain.text, plain.finish)
            assert live.logprobs == pytest.approx(plain.logprobs, abs=1e-5)


def test_each_request_has_sampling_parameters_of_its_own(student: Student) -> None:
    listener = Listener(student, batch_size=16)
    listener.requests.put(request(student, 0, sampling=Sampling(0.0, 1.0, 12)))
    listener.requests.put(request(student, 1, sampling=Sampling(1.5, 1.0, 3)))
    found = listener.end()
    greedy = [found["request-0", index] for index in range(4)]
    assert len({chain.text for chain in greedy}) == 1
    assert all(len(found["request-1", index].logprobs) <= 3 for index in range(4))
    assert len({found["request-1", index].text for index in range(4)}) > 1


def test_a_cancelled_request_frees_its_rows(student: Student) -> None:
    endless = Sampling(0.9, 1.0, 900)
    listener = Listener(student, batch_size=4)
    listener.requests.put(request(student, 0, sampling=endless, chains=4))
    listener.requests.put(request(student, 1, sampling=endless, chains=4))
    listener.requests.put(request(student, 2, chains=4))
    time.sleep(0.1)
    listener.requests.cancel("request-0")
    listener.requests.cancel("request-1")
    listener.requests.cancel("unknown")
    found = listener.end()
    assert {index for key, index in found if key == "request-2"} == {0, 1, 2, 3}
    long = [chain for (key, _), chain in found.items() if key != "request-2" and len(chain.logprobs) == 900]
    assert not long, "nothing went on after it was cancelled"


def test_an_idle_engine_waits_and_ends_when_it_is_closed(student: Student) -> None:
    listener = Listener(student)
    time.sleep(0.1)
    listener.requests.put(request(student, 0, chains=1))
    time.sleep(0.3)
    assert len(listener.chains) == 1
    assert listener.is_alive()
    assert len(listener.end()) == 1
