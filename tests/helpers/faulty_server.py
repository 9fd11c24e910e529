"""An OpenAI-compatible server process that misbehaves on purpose, for tests and benchmarks.

python -m tests.helpers.faulty_server PORT_FILE LOG_FILE
    [--latency S] [--faults SHARE] [--seed N] [--no-n] [--only KIND] [--fatal KIND --at N [--every]]

A share of its requests meets a fault, drawn in turn from KINDS; the others are answered. Every choice has a text of its
own, which is logged (one JSON line each: kind, question, text) once it has been sent in full. With --only every request
meets one kind, of KINDS or MORE, and is logged as it comes: "came", question, choices asked for. With --fatal the N-th
request, and with --every each one from the N-th on, is refused at once for a reason that concerns all requests.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import logging
import random
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

from aiohttp import web

KINDS = ("429", "429 later", "500", "hang", "cut", "malformed", "fewer", "empty", "content_filter", "length")
SHAPES: dict[str, dict[str, Any]] = {
    "reasoning_content": {"content": None, "reasoning_content": "Let me see."},
    "reasoning": {"content": "It is 4.", "reasoning": "Let me see."},
    "both": {"content": "It is 4.", "reasoning_content": "Let me see.", "reasoning": "Let me see."},
    "tagged": {"content": "<think>Let me see.</think>It is 4.", "reasoning_content": "Let me see."},
    "parts": {"content": [{"type": "text", "text": "It "}, {"type": "text", "text": "is 4."}]},
    "thinking parts": {
        "content": [
            {"type": "thinking", "thinking": [{"type": "text", "text": "Let me see."}]},
            {"type": "text", "text": "It is 4."},
        ]
    },
    "tool call": {"content": None, "tool_calls": [{"id": "1", "type": "function", "function": {"name": "sum"}}]},
    "constant": {"content": "It is 4."},
}
"""Messages as servers return them."""
USAGES: dict[str, str] = {
    "huge usage": '{"prompt_tokens": 10, "completion_tokens": 1' + 30 * "0" + "}",
    "10^15 usage": '{"prompt_tokens": 1000000000000000, "completion_tokens": 5}',
    "10^400 usage": '{"prompt_tokens": 10, "completion_tokens": 1' + 400 * "0" + "}",
    "NaN usage": '{"prompt_tokens": NaN, "completion_tokens": NaN}',
    "infinite usage": '{"prompt_tokens": 10, "completion_tokens": Infinity}',
    "1e300 usage": '{"prompt_tokens": 10, "completion_tokens": 1e300}',
    "text usage": '{"prompt_tokens": "10", "completion_tokens": []}',
    "odd usage": '"many"',
}
"""Usages that no reply can have had, as JSON."""
WAITS = {
    "wait an hour": "3600",
    "wait inf": "inf",
    "wait nan": "nan",
    "wait a year": "31536000",
    "wait negative": "-5",
}
"""Values of Retry-After."""
MORE = (
    *SHAPES,
    *USAGES,
    *WAITS,
    "wait epoch",
    "error 200",
    "quota 200",
    "422",
    "half",
    "no usage",
    "null usage",
    "surrogate",
    "refusal",
    "odd finish",
    "wait until",
)
"""half: half of the choices at the price of all. wait until, wait epoch: 429 with a date, or with it in seconds."""
FATAL = {
    "401": (401, {"error": {"message": "Incorrect API key provided"}}),
    "402": (402, {"error": {"message": "Payment required: no credit left"}}),
    "403": (403, {"error": {"message": "Country, region, or territory not supported"}}),
    "404": (404, {"error": {"message": "The model does not exist"}}),
    "quota": (429, {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}),
}
HANG = 30.0


class Server:
    """Its faults, serial numbers and log."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.latency, self.faults, self.knows_n = arguments.latency, arguments.faults, not arguments.no_n
        self.random = random.Random(arguments.seed)
        self.serial = itertools.count()
        self.only = arguments.only
        self.fatal, self.at, self.every = arguments.fatal, arguments.at, arguments.every
        self.came = 0
        self.log = arguments.log.open("a", buffering=1)

    async def complete(self, request: web.Request) -> web.StreamResponse:
        """Answer one chat completion, or do not."""
        body = await request.json()
        question = body["messages"][-1]["content"]
        self.came += 1
        if self.fatal and (self.came == self.at or (self.every and self.came > self.at)):
            self.log.write(json.dumps(["fatal", question, ""]) + "\n")
            status, value = FATAL[self.fatal]
            return web.json_response(value, status=status)
        asked = body.get("n", 1) if self.knows_n else 1
        kind = self.only or (self.random.choice(KINDS) if self.random.random() < self.faults else "ok")
        if self.only:
            self.log.write(json.dumps(["came", question, asked]) + "\n")
        await asyncio.sleep(self.latency)
        if kind.startswith("429"):
            headers = {"Retry-After": "0.2"} if kind == "429 later" else {}
            return web.json_response({"error": {"message": "too fast"}}, status=429, headers=headers)
        if kind.startswith("wait"):
            until = datetime.now(UTC) + timedelta(seconds=30)
            dates = {"wait until": format_datetime(until, usegmt=True), "wait epoch": f"{until.timestamp():.0f}"}
            headers = {"Retry-After": (WAITS | dates)[kind]}
            return web.json_response({"error": {"message": "too fast"}}, status=429, headers=headers)
        if kind.endswith(" 200"):
            error = {"message": "Provider is down" if kind == "error 200" else "No credit", "code": 502}
            return web.json_response({"error": error | ({"code": "insufficient_quota"} if "quota" in kind else {})})
        if kind == "422":
            detail = [{"loc": ["body", "max_tokens"], "msg": "must be at most 4", "type": "value_error"}]
            return web.json_response({"detail": detail}, status=422)
        if kind == "500":
            return web.json_response({"error": {"message": "oh no"}}, status=500)
        if kind == "hang":
            await asyncio.sleep(HANG)
        if kind == "malformed":
            return web.Response(text='{"choices": [{"index": 0, "mess', content_type="application/json")
        count = max(1, asked // 2) if kind in ("fewer", "half") else asked
        choices = [self._choice(kind, question, index) for index in range(count)]
        usage: Any = {"prompt_tokens": 10, "completion_tokens": 5 * (asked if kind == "half" else count)}
        if kind == "null usage":
            usage = {"prompt_tokens": None, "completion_tokens": None}
        if kind == "no usage":
            usage = None
        if kind in USAGES:
            usage = json.loads(USAGES[kind])
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
        text: str | None = f"{question} | reply {next(self.serial)}"
        if kind in ("empty", "content_filter"):
            text = ""
        message = {"role": "assistant", "content": text}
        message |= SHAPES.get(kind, {})
        if kind == "surrogate":
            message["content"] = "half \ud83d of it"
        if kind == "refusal":
            message |= {"content": None, "refusal": "I will not."}
        finish = kind if kind in ("content_filter", "length") else "max_time" if kind == "odd finish" else "stop"
        return {"index": index, "finish_reason": finish, "message": message}


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
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # clients that were killed are no news
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=Path)
    parser.add_argument("log", type=Path)
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--faults", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=(*KINDS, *MORE))
    parser.add_argument("--fatal", choices=tuple(FATAL))
    parser.add_argument("--at", type=int, default=1)
    parser.add_argument("--every", action="store_true", help="refuse every request from then on")
    parser.add_argument("--no-n", action="store_true", help="give one choice whatever is asked")
    asyncio.run(serve(parser.parse_args()))
