"""A server process that speaks OpenAI's Files and Batch endpoints, for tests.

python -m tests.helpers.batch_server PORT_FILE [--waiting N]

A batch goes one state further at each look at it: validating, in_progress, finalizing, and its end, but never past the
state named by POST /control {"hold": STATE}. {"cut": N} breaks the connections of the next N that make a batch, after
it is made. GET /told says what was asked: batches made, requests in them, and how often each question was answered
(paid). Words in a question steer its request: `bad` (400), and, the first time only, `flaky` (500), `late` (expires,
and the batch with it), `lost` (no line at all), `half` (half of the choices), `doomed` (the whole batch fails);
`newer` knows no max_tokens, `single` no n. With --waiting N a batch of more requests fails for its tokens.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

from aiohttp import web

STATES = ("validating", "in_progress", "finalizing")
Line = dict[str, Any]


class Server:
    """Its files and batches, and what it was asked."""

    def __init__(self, waiting: int) -> None:
        self.waiting, self.hold, self.cut = waiting, "", 0
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, Line] = {}
        self.serial = itertools.count()
        self.seen: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.requests: list[str] = []
        self.texts: list[str] = []

    async def control(self, request: web.Request) -> web.Response:
        """Change what the server does from now on."""
        for name, value in (await request.json()).items():
            setattr(self, name, value)
        return web.json_response({})

    async def told(self, _: web.Request) -> web.Response:
        """What was asked."""
        return web.json_response(
            {
                "batches": list(self.batches.values()),
                "requests": self.requests,
                "answered": self.answered,
                "texts": self.texts,
            }
        )

    async def upload(self, request: web.Request) -> web.Response:
        """POST /v1/files."""
        form = await request.post()
        if form["purpose"] != "batch":
            return _error(400, "not a batch's file")
        name = f"file-{next(self.serial)}"
        part = form["file"]
        assert isinstance(part, web.FileField)
        self.files[name] = part.file.read()
        return web.json_response({"id": name, "object": "file", "purpose": "batch", "bytes": len(self.files[name])})

    async def content(self, request: web.Request) -> web.Response:
        """GET /v1/files/ID/content."""
        blob = self.files.get(request.match_info["id"])
        return _error(404, "no such file") if blob is None else web.Response(body=blob)

    async def create(self, request: web.Request) -> web.StreamResponse:
        """POST /v1/batches."""
        asked = await request.json()
        if asked["endpoint"] != "/v1/chat/completions" or asked["completion_window"] != "24h":
            return _error(400, "no such endpoint or window")
        batch = {
            "id": f"batch-{next(self.serial)}",
            "object": "batch",
            "created_at": int(time.time()),
            "status": "validating",
            "errors": None,
            "output_file_id": None,
            "error_file_id": None,
            "request_counts": {"total": 0, "completed": 0, "failed": 0},
            **asked,
        }
        self.batches[batch["id"]] = batch
        self.requests += [line["custom_id"] for line in self._lines(batch)]
        if self.cut:
            self.cut -= 1
            assert request.transport is not None
            request.transport.abort()
        return web.json_response(batch)

    async def newest_first(self, request: web.Request) -> web.Response:
        """GET /v1/batches: the newest first, in pages of two."""
        names = list(reversed(self.batches))
        after = request.query.get("after")
        start = names.index(after) + 1 if after else 0
        page = [self.batches[name] for name in names[start : start + 2]]
        return web.json_response({"object": "list", "data": page, "has_more": start + 2 < len(names)})

    async def retrieve(self, request: web.Request) -> web.Response:
        """GET /v1/batches/ID: one state further than before."""
        batch = self.batches.get(request.match_info["id"])
        if batch is None:
            return _error(404, "no such batch")
        if batch["status"] in STATES and batch["status"] != self.hold:
            self._go_on(batch)
        return web.json_response(batch)

    def _lines(self, batch: Line) -> list[Line]:
        return [json.loads(raw) for raw in self.files[batch["input_file_id"]].splitlines()]

    def _go_on(self, batch: Line) -> None:
        lines = self._lines(batch)
        batch["request_counts"]["total"] = len(lines)
        if batch["status"] == "validating" and (why := self._refusal(lines)):
            batch |= {"status": "failed", "errors": {"object": "list", "data": [why]}}
        elif batch["status"] != STATES[-1]:
            batch["status"] = STATES[STATES.index(batch["status"]) + 1]
        else:
            self._end(batch, lines)

    def _refusal(self, lines: list[Line]) -> Line | None:
        if self.waiting and len(lines) > self.waiting:
            return {"code": "token_limit_exceeded", "message": "Enqueued token limit reached"}
        doomed = [line for line in lines if "doomed" in _question(line) and self._first(line)]
        return {"code": "invalid_json_line", "message": "doomed"} if doomed else None

    def _first(self, line: Line) -> bool:
        self.seen[line["custom_id"]] += 1
        return self.seen[line["custom_id"]] == 1

    def _end(self, batch: Line, lines: list[Line]) -> None:
        output, errors, status = [], [], "completed"
        for line in lines:
            question, first = _question(line), self._first(line)
            reply = {"id": "x", "custom_id": line["custom_id"], "response": None, "error": None}
            if (refusal := _refused(line)) is not None:
                reply["response"] = {"status_code": 400, "body": {"error": refusal}}
                errors.append(reply)
            elif first and "late" in question:
                status = "expired"
                errors.append(reply | {"error": {"code": "batch_expired", "message": "not in time"}})
            elif first and "flaky" in question:
                errors.append(reply | {"response": {"status_code": 500, "body": {"error": {"message": "oh no"}}}})
            elif not (first and "lost" in question):
                output.append(reply | {"response": {"status_code": 200, "body": self._completion(line, first)}})
        for key, rows in (("output_file_id", output), ("error_file_id", errors)):
            if rows:
                batch[key] = f"file-{next(self.serial)}"
                self.files[batch[key]] = "".join(json.dumps(row) + "\n" for row in rows).encode()
        batch["status"] = status
        batch["request_counts"] |= {"completed": len(output), "failed": len(errors)}

    def _completion(self, line: Line, first: bool) -> Line:
        question, count = _question(line), line["body"].get("n", 1)
        if first and "half" in question:
            count = max(1, count // 2)
        self.answered[question] += count
        texts = [f"{question} | reply {next(self.serial)}" for _ in range(count)]
        self.texts += texts
        return {
            "id": "x",
            "object": "chat.completion",
            "created": 0,
            "model": line["body"]["model"],
            "choices": [
                {"index": i, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
                for i, text in enumerate(texts)
            ],
            "usage": {"prompt_tokens": 10, "completion_tokens": 5 * count, "total_tokens": 10 + 5 * count},
        }


def _question(line: Line) -> str:
    return str(line["body"]["messages"][-1]["content"])


def _refused(line: Line) -> Line | None:
    question, body = _question(line), line["body"]
    if "bad" in question:
        return {"message": "bad request"}
    if "newer" in question and "max_tokens" in body:
        return {"message": "use max_completion_tokens", "code": "unsupported_parameter", "param": "max_tokens"}
    if "single" in question and body.get("n", 1) > 1:
        return {"message": "n must be 1", "code": "invalid_value", "param": "n"}
    return None


def _error(status: int, message: str) -> web.Response:
    return web.json_response({"error": {"message": message}}, status=status)


async def serve(port: Path, waiting: int) -> None:
    """Serve until killed."""
    server, app = Server(waiting), web.Application(client_max_size=2**30)
    app.router.add_post("/control", server.control)
    app.router.add_get("/told", server.told)
    app.router.add_post("/v1/files", server.upload)
    app.router.add_get("/v1/files/{id}/content", server.content)
    app.router.add_post("/v1/batches", server.create)
    app.router.add_get("/v1/batches", server.newest_first)
    app.router.add_get("/v1/batches/{id}", server.retrieve)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    new = port.with_suffix(".new")
    new.write_text(str(runner.addresses[0][1]))
    new.rename(port)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=Path)
    parser.add_argument("--waiting", type=int, default=0)
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.port, arguments.waiting))
