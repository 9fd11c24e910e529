"""Worker process of the second checker: reads pairs as JSON lines and prints whether each is proved equal.

math-verify must find the two equal, and the high-precision evaluation of proof.py must confirm it.

Run as `python -m nsad_cli.grading.math_verify_worker MEMORY_BYTES`; the parent enforces the time limit by killing it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import resource
import sys


def main() -> None:
    """Answer pairs until standard input is closed."""
    limit = int(sys.argv[1])
    from math_verify import LatexExtractionConfig, parse, verify

    from nsad_cli.grading.proof import confirmed

    logging.disable(logging.CRITICAL)
    with contextlib.suppress(ValueError, OSError):  # macOS defines the limit but refuses to set it
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115  no longer read by the parent: a full pipe would block
    sys.set_int_max_str_digits(2000)
    configs = [LatexExtractionConfig()]  # the expression config would extract a number from text that it cannot parse
    print("ready", flush=True)
    for line in sys.stdin:
        a, b = json.loads(line)
        try:
            x, y = (
                [found for found in parse(f"${text}$", configs, parsing_timeout=None) if not isinstance(found, str)]
                for text in (a, b)
            )
            equal = bool(x and y) and (verify(x, y, timeout_seconds=None) or verify(y, x, timeout_seconds=None))
            equal = equal and any(confirmed(p, q) for p in x for q in y)
        except Exception:  # an expression that sympy fails on proves nothing
            equal = False
        print(json.dumps(bool(equal)), flush=True)


if __name__ == "__main__":
    main()
