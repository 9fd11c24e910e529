"""A real server process of /v1/completions for tests: a model folder through transformers, one token at a time.

python -m tests.helpers.completions_server MODEL PORT_FILE LOG_FILE serves on a free port until killed and logs every
request's body. The model asked for steers it: `texts` refuses token ids, `strict` fields that OpenAI's
API does not know, `old` both; `penal` has a generation_config.json with a repetition penalty, for who asks for none;
`bare` gives no log-probabilities, `flaky` fails at the first request of a seed, `broken` always, `html` is no API,
`secret` wants the key `sk-right`; `tiny`, `nat` and `nce` behave, and no other model is known.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from nsad_cli.models.student import Student, load_student

if TYPE_CHECKING:
    from collections.abc import Iterator

KNOWN = ("tiny", "nat", "nce", "texts", "strict", "old", "penal", "bare", "flaky", "broken", "html", "secret")
FIELDS = {"model", "prompt", "max_tokens", "temperature", "top_p", "seed", "logprobs", "stop"}
SEEN: set[int] = set()
LOCK = threading.Lock()


@contextlib.contextmanager
def running(model: Path, folder: Path) -> Iterator[tuple[str, Path]]:
    """Run the server on a model folder; its base URL and its log, both in `folder`."""
    port, log = folder / "port", folder / "log"
    port.unlink(missing_ok=True)
    log.touch()
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.helpers.completions_server", str(model), str(port), str(log)]
    )
    try:
        for _ in range(1200):
            if port.exists() or process.poll() is not None:
                break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port.read_text()}/v1", log
    finally:
        process.kill()
        process.wait()


def complete(student: Student, body: dict[str, Any]) -> dict[str, Any]:
    """A choice: the literal loop, without a cache."""
    prompt = body["prompt"]
    ids = prompt if isinstance(prompt, list) else student.tokenizer(prompt)["input_ids"]
    random = torch.Generator().manual_seed(body["seed"])
    tokens: list[int] = []
    logprobs: list[float] = []
    finish, text = "length", ""
    penalty = body.get("repetition_penalty", 1.5 if body["model"] == "penal" else 1.0)
    while finish == "length" and len(tokens) < body["max_tokens"]:
        with torch.no_grad():
            logits = student.model(torch.tensor([[*ids, *tokens]])).logits[0, -1].float()
        for token in {*ids, *tokens}:
            logits[token] = logits[token] / penalty if logits[token] > 0 else logits[token] * penalty
        if body["temperature"]:
            shares = torch.softmax(logits / body["temperature"], -1)
            tokens.append(int(torch.multinomial(shares, 1, generator=random)))
        else:
            tokens.append(int(logits.argmax()))
        logprobs.append(float(torch.log_softmax(logits, -1)[tokens[-1]]))
        text = student.tokenizer.decode(tokens, skip_special_tokens=True)
        stops = [stop for stop in body.get("stop", []) if stop in text]
        if tokens[-1] in student.stop_ids or stops:
            finish, text = "stop", text.partition(stops[0])[0] if stops else text
    told = {"tokens": [student.tokenizer.decode([token]) for token in tokens], "token_logprobs": logprobs}
    lists = None if body["model"] == "bare" or not body.get("logprobs") else told
    return {"index": 0, "text": text, "finish_reason": finish, "logprobs": lists}


class Handler(BaseHTTPRequestHandler):
    """One completion a request."""

    protocol_version = "HTTP/1.1"
    student: Student
    log: Path

    def do_POST(self) -> None:
        """Answer a completion."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        model, key = body["model"], self.headers.get("Authorization", "")
        with LOCK:
            first = body["seed"] not in SEEN
            SEEN.add(body["seed"])
            with self.log.open("a") as log:
                log.write(json.dumps(body) + "\n")
        if self.path != "/v1/completions" or model not in KNOWN:
            return self._send(404, {"error": {"message": f"no model {model}"}})
        if model == "secret" and key != "Bearer sk-right":
            return self._send(401, {"error": {"message": f"wrong key {key}"}})
        if model in ("texts", "old") and isinstance(body["prompt"], list):
            return self._send(400, {"error": {"message": "prompt must be a string"}})
        if model in ("strict", "old") and body.keys() - FIELDS:
            return self._send(422, {"error": {"message": f"unknown fields {body.keys() - FIELDS}"}})
        if model == "html":
            return self._send(200, "<html>not an API</html>")
        if model == "broken" or (model == "flaky" and first):
            return self._send(503, {"error": {"message": "try again"}})
        choice = complete(self.student, body)
        counts = {"prompt_tokens": 1, "completion_tokens": 7, "total_tokens": 8}
        reply = {"id": "x", "object": "text_completion", "created": 0, "model": model, "usage": counts}
        return self._send(200, reply | {"choices": [choice]})

    def _send(self, status: int, value: dict[str, Any] | str) -> None:
        blob = value.encode() if isinstance(value, str) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html" if isinstance(value, str) else "application/json")
        self.send_header("Content-Length", str(len(blob)))
        self.end_headers()
        self.wfile.write(blob)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # http.server's name
        """Stay quiet."""


class QuietServer(ThreadingHTTPServer):
    """A server whose clients may go at any time."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay quiet."""


if __name__ == "__main__":
    torch.set_num_threads(1)
    Handler.student, Handler.log = load_student(sys.argv[1], device="cpu"), Path(sys.argv[3])
    server = QuietServer(("127.0.0.1", 0), Handler)
    port_file = Path(sys.argv[2])
    port_file.with_suffix(".new").write_text(str(server.server_port))
    port_file.with_suffix(".new").rename(port_file)
    server.serve_forever()
