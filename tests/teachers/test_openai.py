"""The OpenAI-compatible teacher against a real server process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from nsad_cli.collection.collect import collect
from nsad_cli.config.schema import TeacherConfig
from nsad_cli.errors import NsadError, UsageError
from nsad_cli.store.rationales import Store
from nsad_cli.teachers import make_teacher
from nsad_cli.types import Finish, Problem, problem_id

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass
class Server:
    url: str
    log: Path

    def requests(self) -> list[dict[str, str]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    port, log = tmp_path / "port", tmp_path / "log"
    process = subprocess.Popen([sys.executable, "-m", "tests.helpers.chat_server", str(port), str(log)])
    while not port.exists():
        time.sleep(0.02)
    yield Server(f"http://127.0.0.1:{port.read_text()}/v1", log)
    process.kill()
    process.wait()


def problems(*questions: str) -> list[Problem]:
    return [Problem(problem_id(question), question, "1", "test") for question in questions]


def settings(server: Server, **more: object) -> TeacherConfig:
    return TeacherConfig.model_validate({"base_url": [server.url], "prompt": "{question}", "concurrency": 4, **more})


def test_every_kind_of_reply(server: Server, tmp_path: Path) -> None:
    asked = problems(
        "plain", "please 429 once", "please 500 once", "filter this", "length ends this", "empty", "bad one"
    )
    with Store(tmp_path / "store.sqlite") as store:
        summary = collect(asked, make_teacher("m", settings(server)), 1, store)
        draws = {item.draw.problem_id: item.draw for item in store.verdicts.ungraded("1")}
    by_question = {problem.question: draws.get(problem.id) for problem in asked}
    assert summary.new == 5
    assert len(summary.failures) == 2
    plain = by_question["plain"]
    assert plain is not None
    assert plain.text == "Thinking. The answer is 5."
    assert plain.completion_tokens == 4
    assert by_question["please 429 once"] is not None
    assert by_question["please 500 once"] is not None
    filtered, cut = by_question["filter this"], by_question["length ends this"]
    assert filtered is not None
    assert filtered.finish is Finish.FILTERED
    assert cut is not None
    assert cut.finish is Finish.LENGTH
    assert by_question["empty"] is None
    assert by_question["bad one"] is None


def test_more_draws_pay_for_the_new_ones_alone(server: Server, tmp_path: Path) -> None:
    asked = problems("one", "two", "three")
    with Store(tmp_path / "store.sqlite") as store:
        assert collect(asked, make_teacher("m", settings(server)), 2, store).new == 6
        assert collect(asked, make_teacher("m", settings(server)), 3, store).new == 3
        assert collect(asked, make_teacher("m", settings(server)), 3, store).new == 0
        assert len(server.requests()) == 9
        assert collect(asked, make_teacher("m", settings(server, temperature=0.1)), 1, store).new == 3


def test_no_key_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(NsadError) as error:
        make_teacher("gpt-4", TeacherConfig())
    assert "OPENAI_API_KEY" in error.value.why + error.value.fix


def test_a_refused_key_is_never_repeated(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong-secret")
    with Store(tmp_path / "store.sqlite") as store:
        with pytest.raises(NsadError, match="refused the API key") as error:
            collect(problems("q"), make_teacher("gpt-4", settings(server)), 1, store)
        assert "sk-wrong" not in str(error.value) + error.value.why + error.value.fix
        monkeypatch.setenv("OPENAI_API_KEY", "sk-other-secret")
        summary = collect(problems("bad"), make_teacher("gpt-4", settings(server)), 1, store)
    assert (why := " ".join(summary.failures.values()))
    assert "sk-other" not in why
    assert "***" in why
    assert b"secret" not in (tmp_path / "store.sqlite").read_bytes()


def test_an_unknown_model_and_a_dead_server(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nsad_cli.teachers.openai_failures.MAX_RETRIES", 1)
    with Store(tmp_path / "store.sqlite") as store:
        with pytest.raises(NsadError, match="does not know the model"):
            collect(problems("missing"), make_teacher("m", settings(server)), 1, store)
        dead = TeacherConfig(base_url=["http://127.0.0.1:9/v1"])
        with pytest.raises(NsadError, match=r"cannot reach http://127\.0\.0\.1:9"):
            collect(problems("q"), make_teacher("m", dead), 1, store)


def test_what_a_model_does_not_take(server: Server, tmp_path: Path) -> None:
    with Store(tmp_path / "store.sqlite") as store:
        summary = collect(problems("newer one", "newer two"), make_teacher("m", settings(server)), 2, store)
        assert summary.new == 4
        assert not summary.failures
        with pytest.raises(NsadError, match="does not support this temperature"):
            collect(problems("picky"), make_teacher("m", settings(server)), 1, store)
        assert collect(problems("picky"), make_teacher("m", settings(server, temperature=1)), 1, store).new == 1


def test_what_is_no_api_and_what_is_no_key(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store(tmp_path / "store.sqlite") as store, pytest.raises(NsadError, match="are not chat completions") as error:
        collect(problems("html"), make_teacher("m", settings(server)), 1, store)
    assert "--base-url" in error.value.fix
    for key in ("“sk-curly”", "sk-two\nlines"):
        monkeypatch.setenv("OPENAI_API_KEY", key)
        with pytest.raises(NsadError) as refused:
            make_teacher("gpt-4", TeacherConfig())
        assert "sk-" not in str(refused.value) + refused.value.fix


def test_one_dead_server_of_two_stops_nothing(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nsad_cli.teachers.openai_failures.MAX_RETRIES", 0)
    both = settings(server, base_url=["http://127.0.0.1:9/v1", server.url], concurrency=1)
    asked = problems(*(f"question {i}" for i in range(6)))
    with Store(tmp_path / "store.sqlite") as store:
        first = collect(asked, make_teacher("m", both), 1, store)
        assert first.new == 6
        assert not first.failures
        assert collect(asked, make_teacher("m", settings(server)), 1, store).stored == 6


COLLECT = """
import sys
from pathlib import Path
from nsad_cli.collection.collect import collect
from nsad_cli.config.schema import TeacherConfig
from nsad_cli.store.rationales import Store
from nsad_cli.teachers import make_teacher
from nsad_cli.types import Problem, problem_id
asked = [Problem(problem_id(q), q, "1", "test") for q in (f"slow {i} of many" for i in range(40))]
settings = TeacherConfig(base_url=[sys.argv[1]], prompt="{question}", concurrency=4)
with Store(Path(sys.argv[2])) as store:
    print(collect(asked, make_teacher("m", settings), 1, store).new, flush=True)
"""


def run_collect(server: Server, store: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", COLLECT, server.url, str(store)], stdout=subprocess.PIPE, text=True)


def test_killed_anywhere_it_pays_at_most_for_what_was_in_flight(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    for wait in (0.8, 1.4):
        before = len(server.requests())
        process = run_collect(server, path)
        while len(server.requests()) == before and process.poll() is None:
            time.sleep(0.02)
        time.sleep(wait)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    process = run_collect(server, path)
    assert process.communicate(timeout=60)[0]
    assert process.returncode == 0
    with Store(path) as store:
        assert store.counts()["draws"] == 40
    assert 40 <= len(server.requests()) <= 48  # four requests in flight at each of two kills


def test_two_processes_share_one_store(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    both = [run_collect(server, path), run_collect(server, path)]
    for process in both:
        process.communicate(timeout=120)
        assert process.returncode == 0
    with Store(path) as store:
        assert store.counts() == {"problems": 40, "draws": 40, "verdicts": 0}


def test_a_secret_in_the_address_of_the_environment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    for url in ("https://user:pw@host/v1", "https://host/v1?key=abc"):
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        with pytest.raises(UsageError, match="OPENAI_BASE_URL") as error:
            make_teacher("gpt-4", TeacherConfig())
        assert "pw" not in str(error.value)
        assert "abc" not in str(error.value)
