"""The second checker's process: reads pairs as JSON lines, writes whether it finds each one equal.

Run as `python -m nsad_cli.grading.math_verify_worker MEMORY_BYTES`; the parent keeps the time and kills it on timeout.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import resource
import sys


def main() -> None:
    """Serve until standard input ends."""
    limit = int(sys.argv[1])
    from math_verify import LatexExtractionConfig, parse, verify

    logging.disable(logging.CRITICAL)
    with contextlib.suppress(ValueError, OSError):  # macOS knows the limit and refuses it
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115  nobody reads it from here on: it must not fill up
    sys.set_int_max_str_digits(2000)
    configs = [LatexExtractionConfig()]  # the other one plucks a number out of what it cannot read
    print("ready", flush=True)
    for line in sys.stdin:
        a, b = json.loads(line)
        try:
            x, y = (
                [found for found in parse(f"${text}$", configs, parsing_timeout=None) if not isinstance(found, str)]
                for text in (a, b)
            )
            equal = bool(x and y) and (verify(x, y, timeout_seconds=None) or verify(y, x, timeout_seconds=None))
        except Exception:  # whatever sympy stumbles over is not readable for it
            equal = False
        print(json.dumps(bool(equal)), flush=True)


if __name__ == "__main__":
    main()
