"""Speed and memory measurements, run by hand as `python -m tests.benchmarks.NAME`; no test asserts a time."""
