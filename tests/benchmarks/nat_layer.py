"""The integration unit against plain LoRA and the literal equations: time and saved activations.

    python -m tests.benchmarks.nat_layer [--json] [--rounds 5] [--dropout 0.05] [--layers-only]

The three forms take turns, round after round, in one process; a figure compares the medians. Each form is the same
adapted layer of the same model (PEFT's own forward included); only the adapter that is active, or its variant, differs.
Measured are a forward and a backward pass, to the trained weights and to the layer's input.
Saved activations: bytes of all distinct storages that autograd keeps between the two passes, the layer's input and
whatever is computed from weights included, parameters not.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import sys
import time
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from nsad_cli.errors import NsadError
from nsad_cli.models.device import pick_device
from nsad_cli.models.nat.adapters import Adapters
from nsad_cli.models.nat.config import AdapterSettings
from nsad_cli.models.nat.layer import NatLinear, NatVariant, unit_matrices
from nsad_cli.models.student import load_student
from nsad_cli.training.losses import token_nll
from tests.benchmarks.report import at_most
from tests.helpers.literal_unit import literal_output

if TYPE_CHECKING:
    from collections.abc import Callable

FORMS = ("lora", "literal", "ours")
SHAPES = {  # name: tokens, d_in, d_out, goal for saved activations (a fraction of the literal form's)
    "smollm2_q": (2048, 576, 576, 0.7),
    "smollm2_v": (2048, 576, 192, 0.7),
    "2048": (1024, 2048, 2048, 0.4),
    "4096": (1024, 4096, 4096, 0.4),
}
ADDED_GOAL, STEP_GOAL = 0.5, 1.25
STEP = (2, 192)  # sequences × tokens of a whole step


class LiteralVariant(NatVariant):
    """The design's equations in place of the rearranged form, on the same weights."""

    @staticmethod
    def forward(  # type: ignore[override]  # as NatVariant
        module: NatLinear, active_adapter: str, x: Tensor, result: Tensor, **_: Any
    ) -> Tensor:
        """As NatVariant.forward."""
        s_pos, s_neg = module.scaling[active_adapter], module.scaling[module.nat_negative[active_adapter]]
        dropped = module.lora_dropout[active_adapter](x)
        return literal_output(x, result, unit_matrices(module, active_adapter), s_pos, s_neg, dropped=dropped)


class Bench:
    """One base model with a plain LoRA and a NAT adapter; `choose` makes one of FORMS the one to run and train."""

    def __init__(self, model: Any, targets: tuple[str, ...], dropout: float) -> None:
        self.adapters = Adapters(model)
        settings = AdapterSettings(targets=targets, dropout=dropout)
        for seed, name in enumerate(("negative", "lora")):
            self.adapters.add_lora(name, settings, seed)
        self.adapters.add_nat("nat", settings, "negative", 2)
        torch.manual_seed(3)
        for name in self.adapters.names():
            for _, parameter in self.adapters.parameters_of(name):
                torch.nn.init.normal_(parameter, std=0.02)
        self.model = self.adapters.model.train()
        self.layers = [module for module in self.model.modules() if isinstance(module, NatLinear)]
        self.weights = {p.untyped_storage().data_ptr() for p in [*self.model.parameters(), *self.model.buffers()]}

    def choose(self, form: str) -> None:
        """Activate a form and let gradients reach its weights alone."""
        name = "lora" if form == "lora" else "nat"
        self.adapters.layers.activate(name)
        self.adapters.train_only(name)
        for layer in self.layers:
            layer.lora_variant["nat"] = LiteralVariant() if form == "literal" else NatVariant()
        for parameter in self.model.parameters():
            parameter.grad = None


def autocast(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """bfloat16 on a GPU, as the trainer does; nothing on the CPU."""
    return torch.autocast("cuda", torch.bfloat16) if device.type == "cuda" else contextlib.nullcontext()


def medians(bench: Bench, run: Callable[[], None], rounds: int, device: torch.device) -> dict[str, float]:
    """Median milliseconds of `run` under each form, the forms taking turns; two rounds of warming up do not count."""
    times: dict[str, list[float]] = {form: [] for form in FORMS}
    for number in range(rounds + 2):
        for form in FORMS:
            bench.choose(form)
            start = _now(device)
            run()
            if number >= 2:
                times[form].append(_now(device) - start)
    return {form: round(1000 * statistics.median(values), 3) for form, values in times.items()}


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def saved_bytes(forward: Callable[[], Tensor], weights: set[int]) -> int:
    """Bytes of the distinct storages that a forward pass keeps for its backward pass, weights apart."""
    found: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            found[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = forward()
        del output
    return sum(found.values())


def measure_layer(shape: tuple[int, int, int], rounds: int, dropout: float, device: torch.device) -> dict[str, Any]:
    """Medians and saved bytes of one adapted projection, [tokens, d_in] → [tokens, d_out]."""
    tokens, d_in, d_out = shape
    heads: dict[str, Any] = {"num_attention_heads": d_in // 64, "num_key_value_heads": d_out // 64}
    config = LlamaConfig(vocab_size=8, hidden_size=d_in, intermediate_size=8, num_hidden_layers=1, **heads)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    model = LlamaForCausalLM(config)
    model.to(device, dtype)  # type: ignore[arg-type]  # transformers wraps it, so mypy takes it for a function
    bench = Bench(model, ("v_proj",), dropout)
    (layer,) = bench.layers
    x = torch.randn(1, tokens, d_in, device=device, dtype=dtype, requires_grad=True)
    gradient = torch.randn(1, tokens, d_out, device=device, dtype=dtype)

    def forward() -> Tensor:
        with autocast(device):
            output: Tensor = layer(x)
        return output

    def run() -> None:
        x.grad = None
        forward().backward(gradient)

    milliseconds, saved = medians(bench, run, rounds, device), {}
    for form in FORMS:
        bench.choose(form)
        saved[form] = saved_bytes(forward, bench.weights)
    return {"tokens": tokens, "milliseconds": milliseconds, "saved_bytes": saved}


def measure_step(rounds: int, dropout: float, device: torch.device) -> dict[str, Any]:
    """Medians of a whole training step on SmolLM2 without the optimizer: forward, loss, backward; q and v adapted.

    Raises NsadError where SmolLM2 is not installed.
    """
    student = load_student("smollm2", device=device.type)
    bench = Bench(student.model, ("q_proj", "v_proj"), dropout)
    ids = torch.randint(0, student.model.config.vocab_size, STEP, device=device)

    def run() -> None:
        with autocast(device):
            logits = bench.model(input_ids=ids, use_cache=False).logits
        token_nll(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).mean().backward()

    return {"sequences": STEP[0], "tokens": STEP[0] * STEP[1], "milliseconds": medians(bench, run, rounds, device)}


def measure(rounds: int, dropout: float, step: bool) -> dict[str, Any]:
    """All figures, with the medians and bytes that they come from under `conditions`."""
    device, figures, measured = pick_device(), {}, {}
    load = os.getloadavg()[0]
    for name, (*shape, goal) in SHAPES.items():
        print(f"measuring {name} …", file=sys.stderr)
        found = measured[name] = measure_layer((shape[0], shape[1], shape[2]), rounds, dropout, device)
        ms, saved = found["milliseconds"], found["saved_bytes"]
        share = (ms["ours"] - ms["lora"]) / (ms["literal"] - ms["lora"])
        figures[f"added_time_{name}"] = at_most(share, ADDED_GOAL)
        figures[f"saved_activations_{name}"] = at_most(saved["ours"] / saved["literal"], goal)
    if step:
        print("measuring smollm2_step …", file=sys.stderr)
        ratios: dict[str, float | None] = {"ours": None, "literal": None}
        try:
            found = measured["smollm2_step"] = measure_step(rounds, dropout, device)
            ratios = {form: found["milliseconds"][form] / found["milliseconds"]["lora"] for form in ratios}
        except NsadError as error:
            measured["smollm2_step"] = {"missing": str(error)}
        figures["smollm2_step"] = at_most(ratios["ours"], STEP_GOAL)
        figures["smollm2_step_literal"] = at_most(ratios["literal"], None)
    conditions = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "dtype": "bfloat16 autocast" if device.type == "cuda" else "float32",
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "load_at_start": round(load, 2),
        "rounds": rounds,
        "dropout": dropout,
        "r": AdapterSettings().r,
        "unit_size": AdapterSettings().unit_size,
        "measured": measured,
    }
    return {"figures": figures, "conditions": conditions}


def table(report: dict[str, Any]) -> str:
    """The report for people."""
    conditions = report["conditions"]
    lines = [", ".join(f"{key} {value}" for key, value in conditions.items() if key != "measured"), ""]
    lines.append(f"{'':12} {'tokens':>6}" + "".join(f"{form + ' ms':>12}" for form in FORMS) + "   saved MB, as listed")
    for name, found in conditions["measured"].items():
        if "missing" in found:
            lines.append(f"{name:12} {found['missing']}")
            continue
        saved = " / ".join(f"{found['saved_bytes'][form] / 1e6:.1f}" for form in FORMS if "saved_bytes" in found)
        times = "".join(f"{found['milliseconds'][form]:12.1f}" for form in FORMS)
        lines.append(f"{name:12} {found['tokens']:6}{times}   {saved}")
    lines.append("")
    for name, figure in report["figures"].items():
        value = "not measured" if figure["value"] is None else f"{figure['value']:.3f}"
        goal = f"at most {figure['goal']}: {'met' if figure['met'] else 'NOT met'}" if figure["goal"] else ""
        lines.append(f"{name:30} {value:>12}   {goal}".rstrip())
    return "\n".join(lines)


def main() -> None:
    """Measure, then print a table or, with --json, one JSON object."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.nat_layer", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--rounds", type=int, default=5, help="rounds whose median counts")
    parser.add_argument("--dropout", type=float, default=0.0, help="LoRA's dropout, in all three forms")
    parser.add_argument("--layers-only", action="store_true", help="leave the whole step on SmolLM2 out")
    arguments = parser.parse_args()
    report = measure(arguments.rounds, arguments.dropout, not arguments.layers_only)
    print(json.dumps(report) if arguments.json else table(report))


if __name__ == "__main__":
    main()
