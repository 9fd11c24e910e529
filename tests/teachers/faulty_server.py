"""An OpenAI-compatible server process that misbehaves on purpose, for tests and benchmarks.

python -m tests.teachers.faulty_server PORT_FILE LOG_FILE [--latency S] [--faults SHARE] [--seed N] [--no-n]

A share of its requests meets a fault, drawn in turn from KINDS; the others are answered. Every choice has a text of its
own, which is logged (one JSON line each: kind, question, text) once it has been sent in full.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
from pathlib import Path
from typing import Any

from aiohttp import web

KINDS = ("429", "429 later", "500", "hang", "cut", "malformed", "fewer", "empty", "content_filter", "length")
HANG = 30.0


class Server:
    """Its faults, serial numbers and log."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.latency, self.faults, self.knows_n = arguments.latency, arguments.faults, not arguments.no_n
        self.random = random.Random(arguments.seed)
        self.serial = itertools.count()
        self.log = arguments.log.open("a", buffering=1)

    async def complete(self, request: web.Request) -> web.StreamResponse:
        """Answer one chat completion, or do not."""
        body = await request.json()
        question = body["messages"][-1]["content"]
        asked = body.get("n", 1) if self.knows_n else 1
        kind = self.random.choice(KINDS) if self.random.random() < self.faults else "ok"
        await asyncio.sleep(self.latency)
        if kind.startswith("429"):
            headers = {"Retry-After": "0.2"} if kind == "429 later" else {}
            return web.json_response({"error": {"message": "too fast"}}, status=429, headers=headers)
        if kind == "500":
            return web.json_response({"error": {"message": "oh no"}}, status=500)
        if kind == "hang":
            await asyncio.sleep(HANG)
        if kind == "malformed":
            return web.Response(text='{"choices": [{"index": 0, "mess', content_type="application/json")
        count = max(1, asked // 2) if kind == "fewer" else asked
        choices = [self._choice(kind, question, index) for index in range(count)]
        usage = {"prompt_tokens": 10, "completion_tokens": 5 * count, "total_tokens": 10 + 5 * count}
        reply = json.dumps({"id": "x", "object": "chat.completion", "created": 0, "model": body["model"]} | {
            "choices": choices, "usage": usage})  # fmt: skip
        response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(reply))})
        await response.prepare(request)
        if kind == "cut":
            await response.write(reply[: len(reply) // 2].encode())
            if request.transport is not None:
                request.transport.abort()
            return response
        for choice in choices:  # before the last byte leaves, so that whatever arrives is in the log
            self.log.write(json.dumps([kind, question, choice["message"]["content"]]) + "\n")
        await response.write(reply.encode())
        return response

    def _choice(self, kind: str, question: str, index: int) -> dict[str, Any]:
        text = "" if kind in ("empty", "content_filter") else f"{question} | reply {next(self.serial)}"
        finish = kind if kind in ("content_filter", "length") else "stop"
        return {"index": index, "finish_reason": finish, "message": {"role": "assistant", "content": text}}


async def serve(arguments: argparse.Namespace) -> None:
    """Serve until killed."""
    app = web.Application()
    app.router.add_post("/v1/chat/completions", Server(arguments).complete)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
    await site.start()
    new = arguments.port.with_suffix(".new")
    new.write_text(str(runner.addresses[0][1]))
    new.rename(arguments.port)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=Path)
    parser.add_argument("log", type=Path)
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--faults", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-n", action="store_true", help="give one choice whatever is asked")
    asyncio.run(serve(parser.parse_args()))
