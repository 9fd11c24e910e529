"""The vLLM subprocess of generation/vllm_process.py: reads requests and writes replies as JSON lines.

Run as `python -m nsad_cli.generation.vllm_worker`, in a session of its own. In: first {"model", "revision", "device",
"dtype", "lora" (a PEFT folder, or null), "lora_rank", "memory_share"}, then a line per request: {"key", "prompt"
(token ids), "sampling" (fields of SamplingParams)}, or {"abort": key} to drop one. Out: {} when the model is loaded,
then a line per request as it finishes:
{"key", "text", "finish", "tokens" (ids), "logprobs" (one per token; if logprobs=0 and flat_logprobs were requested)};
or {"error"} in place of either. It exits when standard input ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from queue import Empty, SimpleQueue
from typing import Any, TextIO

from nsad_cli.errors import first_line
from nsad_cli.generation.vllm_logprobs import SAMPLED_ONLY

ON_CPU: dict[str, Any] = {
    "enforce_eager": True,  # compiling SmolLM2 alone takes two and a half minutes, at every start
    "enable_chunked_prefill": False,  # a seeded request whose prompt is cut in two kills vLLM's engine on CPUs
    "kv_cache_memory_bytes": 2 * 2**30,  # instead of nearly all memory; VLLM_CPU_KVCACHE_SPACE takes precedence
}
SHUTDOWN_TIMEOUT_SECONDS = 20.0
"""Time limit for vLLM to exit on its own."""
Lines = SimpleQueue[str]
"""Input lines; an empty one marks the end."""


def main() -> None:
    """Serve until standard input ends."""
    # Messages use duplicated descriptors, so that output of vLLM and its processes cannot mix with them.
    incoming, replies = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    lines: Lines = SimpleQueue()
    started = threading.Event()
    threading.Thread(target=_forward_lines, args=(incoming, lines, started), daemon=True).start()
    settings = json.loads(lines.get())
    try:
        engine = _start(settings)
    except Exception as error:  # vLLM and its dependencies raise arbitrary exceptions
        sys.stdout.flush()  # what it printed explains the error, and the parent process may end this one now
        _write(replies, {"error": " ".join(str(error).split())[:300] or type(error).__name__})
        return
    started.set()
    _write(replies, {})
    try:
        _serve(engine, _lora(settings), lines, replies)
    except Exception as error:
        sys.exit(first_line(error))
    finally:
        engine.engine_core.shutdown()


def _forward_lines(incoming: TextIO, lines: Lines, started: threading.Event) -> None:
    """Forward lines; when they end, terminate the whole process group."""
    for line in incoming:
        lines.put(line)
    lines.put("")
    if started.is_set():
        time.sleep(SHUTDOWN_TIMEOUT_SECONDS)
        os.killpg(0, signal.SIGKILL)
    os.killpg(0, signal.SIGTERM)


def _start(settings: dict[str, Any]) -> Any:
    os.environ.setdefault("VLLM_WORKER_MULTIPROCESSING_METHOD", "spawn")  # fork is unsafe with our input thread
    os.environ[SAMPLED_ONLY] = "1"
    from vllm import LLM
    from vllm.platforms import current_platform

    device = current_platform.device_type
    if settings["device"] not in ("auto", device):
        raise ValueError(
            f"the device is set to {settings['device']}, but this vLLM build supports {device or 'no device here'}"
        )
    model, revision, more = settings["model"], settings["revision"], dict(ON_CPU if device == "cpu" else {})
    if settings["lora"]:
        more |= {"enable_lora": True, "max_lora_rank": settings["lora_rank"]}
    if settings["memory_share"] is not None:
        more["gpu_memory_utilization"] = settings["memory_share"]
    options = {"revision": revision, "tokenizer_revision": revision, "dtype": settings["dtype"]}
    return LLM(model, **options, use_tqdm_on_load=False, **more).llm_engine


def _lora(settings: dict[str, Any]) -> Any:
    from vllm.lora.request import LoRARequest

    return LoRARequest("lora", 1, settings["lora"]) if settings["lora"] else None


def _serve(engine: Any, lora: Any, lines: Lines, replies: TextIO) -> None:
    from vllm import SamplingParams
    from vllm.exceptions import VLLMClientError
    from vllm.sampling_params import RequestOutputKind

    while True:
        idle = not engine.has_unfinished_requests()
        try:
            line = lines.get(block=idle)
            if not line:
                return
            request = json.loads(line)
            if "abort" in request:
                with contextlib.suppress(ValueError, KeyError):  # it has finished
                    engine.abort_request([request["abort"]])
                continue
            params = SamplingParams(**request["sampling"], output_kind=RequestOutputKind.FINAL_ONLY)
            engine.add_request(request["key"], {"prompt_token_ids": request["prompt"]}, params, lora_request=lora)
            continue
        except Empty:
            pass
        except (ValueError, VLLMClientError) as error:  # a prompt longer than the model's context, and the like
            _write(replies, {"key": request["key"], "error": first_line(error)})
            continue
        for reply in engine.step():
            output = reply.outputs[0]
            tokens = list(output.token_ids)
            ended = {"key": reply.request_id, "text": output.text, "finish": output.finish_reason, "tokens": tokens}
            if output.logprobs is not None:
                ended["logprobs"] = output.logprobs.logprobs
            _write(replies, ended)


def _write(replies: TextIO, value: dict[str, Any]) -> None:
    replies.write(json.dumps(value) + "\n")
    replies.flush()


if __name__ == "__main__":
    main()
