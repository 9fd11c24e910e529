"""A real OpenAI-compatible server process for tests; it misbehaves on request.

python -m tests.helpers.chat_server PORT_FILE LOG_FILE: serves on a free port until killed; every request is logged as a
JSON line {key, question}. Questions steer it: `429`, `500` (once each, then answered), `filter`, `length`, `empty`,
`slow`, `missing` (an unknown model), `html`, `newer` (knows no max_tokens), `picky` (takes temperature 1 alone),
`constant` (the same text every time).
"""

from __future__ import annotations

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

LOG = Path(sys.argv[2]) if len(sys.argv) > 2 else Path("log")
LOCK = threading.Lock()
SEEN: dict[str, int] = {}


class Handler(BaseHTTPRequestHandler):
    """One chat completion a request."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Answer a chat completion."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        question = body["messages"][0]["content"]
        key = self.headers.get("Authorization", "")
        with LOCK:
            SEEN[question] = SEEN.get(question, 0) + 1
            times = SEEN[question]
            with LOG.open("a") as log:
                log.write(json.dumps({"key": key, "question": question}) + "\n")
        if key == "Bearer sk-wrong-secret":
            return self._send(401, {"error": {"message": "Incorrect API key provided: sk-wrong-secret"}})
        if "missing" in question:
            return self._send(404, {"error": {"message": "no such model"}})
        if "bad" in question:
            return self._send(400, {"error": {"message": f"bad request with {key}"}})
        if "html" in question:
            return self._send(200, "<html>not an API</html>")
        if "newer" in question and "max_tokens" in body:
            told = {"message": "use max_completion_tokens", "code": "unsupported_parameter", "param": "max_tokens"}
            return self._send(400, {"error": told})
        if "picky" in question and body["temperature"] != 1:
            told = {"message": "only 1", "code": "unsupported_value", "param": "temperature"}
            return self._send(400, {"error": told})
        for status in (429, 500):
            if str(status) in question and times == 1:
                return self._send(status, {"error": {"message": "try again"}}, {"Retry-After": "0"})
        if "slow" in question:
            time.sleep(0.3)
        finish = "length" if "length" in question else "content_filter" if "filter" in question else "stop"
        thinking = "Thinking" if times == 1 or "constant" in question else f"Thinking for the time no. {times}"
        text = "" if "empty" in question or "filter" in question else f"{thinking}. The answer is {len(question)}."
        return self._send(
            200,
            {
                "id": "x",
                "object": "chat.completion",
                "created": 0,
                "model": body["model"],
                "choices": [{"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text}}],
                "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
            },
        )

    def _send(self, status: int, value: dict[str, Any] | str, headers: dict[str, str] | None = None) -> None:
        blob = value.encode() if isinstance(value, str) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html" if isinstance(value, str) else "application/json")
        self.send_header("Content-Length", str(len(blob)))
        for name, text in (headers or {}).items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(blob)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # http.server's name
        """Stay quiet."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    port_file = Path(sys.argv[1])
    port_file.with_suffix(".new").write_text(str(server.server_port))
    port_file.with_suffix(".new").rename(port_file)
    server.serve_forever()
