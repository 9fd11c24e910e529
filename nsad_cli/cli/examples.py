"""Examples at the end of each command's `--help`; a test parses all of them."""

from __future__ import annotations

EXAMPLES: dict[str, tuple[str, ...]] = {
    "demo": ("nsad demo", "nsad demo --set seed=1", "nsad demo --json > demo.json"),
    "run": (
        "nsad run gsm8k-solutions-smollm2 --plan",
        "nsad run my.yaml --run first --set training.nat.epochs=2",
        "nsad run paper-llama7b-gpt35 --plan --device-profile h100",
    ),
    "init": (
        "nsad init",
        "nsad init mine.yaml --teacher gpt-4 --problems gsm8k:train --student smollm2",
    ),
    "doctor": ("nsad doctor", "nsad doctor --json"),
    "collect": (
        "nsad collect --teacher gpt-4 --problems gsm8k:train --limit 500 -k 8 --dry-run",
        "nsad collect --teacher my-model --base-url http://localhost:8000/v1 --problems svamp@SVAMP.json",
        "nsad collect --teacher arithmetic --limit 100 -k 4 --run first",
    ),
    "grade": ("nsad grade --run first", "nsad grade --run first --review"),
    "train-nat": ("nsad train-nat --run first", "nsad train-nat --run first --epochs 2 --batch-size 16"),
    "train-nce": ("nsad train-nce --run first", "nsad train-nce --run first --engine vllm"),
    "train-ranker": ("nsad train-ranker --run first", "nsad train-ranker --run first --kind steps"),
    "train-baseline": ("nsad train-baseline cot-kd --run first", "nsad train-baseline cot-kd mix ul --run first"),
    "solve": (
        'nsad solve "Sara has 3 apples and buys 4 more. How many has she?"',
        "nsad solve --file problems.txt --samples 16 --rule asc --json",
        'nsad solve "What is 7 * 8?" --stop-at 0.95 --verbose',
    ),
    "serve": (
        "nsad serve --run first --rule asc --samples 8",
        "NSAD_SERVE_API_KEY=… nsad serve --host 0.0.0.0 --port 8000",
    ),
    "vote": (
        "nsad vote chains.jsonl",
        "nsad vote chains.jsonl --rule asc --ranker steps --json",
        "nsad vote --run first --explain 8f3a",
    ),
    "eval": (
        "nsad eval --run first --problems gsm8k:test --limit 200 --samples 8",
        "nsad eval --run first --model few-shot --model nce",
        "nsad eval --compare first second",
    ),
    "compare": ("nsad compare first", "nsad compare first second --by subject", "nsad compare first --weights"),
    "study": (
        "nsad study demo --arms cot-kd,nat --seeds 3 --equal total-tokens --plan",
        "nsad study negatives-few-right --arms nat-delta,nat-delta-none --control nat-delta-none",
        "nsad study my-study.yaml --launcher slurm --slurm time=2:00:00 --slurm gpus=1",
    ),
    "report": ("nsad report first", "nsad report first -o first.md"),
    "export": (
        "nsad export student",
        "nsad export student-lora --lora --run first",
        "nsad export served --for vllm --model nat",
    ),
    "dashboard": ("nsad dashboard", "nsad dashboard --run first --view votes", "nsad dashboard --demo"),
    "stats": ("nsad stats --run first", "nsad stats --run first --overlap gsm8k:test"),
    "data": (
        "nsad data export rationales.jsonl --run first",
        "nsad data import theirs.parquet --run other",
    ),
    "recipe": (
        "nsad recipe show demo",
        "nsad recipe check mine.yaml",
        "nsad recipe diff demo plan-traps",
        "nsad recipe schema > recipe.schema.json",
    ),
    "config": ("nsad config show", "nsad config show mine.yaml --all"),
    "runs": (
        "nsad runs",
        "nsad runs show first",
        'nsad runs note first "learning rate halved"',
        "nsad runs rm first --yes",
    ),
}
"""Commands with their arguments, by the name of the command."""


def print_examples(name: str) -> None:
    """Print the examples of a command, each on a line, so that it can be copied."""
    from nsad_cli.cli.console import out

    console = out()
    console.print(" Examples:", style="bold")
    for line in EXAMPLES[name]:
        console.print(f"   {line}", style="cyan", markup=False, soft_wrap=True)
