"""save → load in a new process gives identical logits."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import torch
from transformers import AutoModelForCausalLM

from nsad_cli.models.nat.adapter_files import save_adapter
from nsad_cli.models.nat.adapters import Adapters
from tests.helpers.nat_models import QV, logits, shake

if TYPE_CHECKING:
    from pathlib import Path

LOAD = """
import sys, torch
from pathlib import Path
from transformers import AutoModelForCausalLM
from nsad_cli.models.nat.adapter_files import load_adapter
from nsad_cli.models.nat.adapters import Adapters
model, folder = sys.argv[1], Path(sys.argv[2])
adapters = Adapters(AutoModelForCausalLM.from_pretrained(model).eval())
load_adapter(adapters, "negative", folder / "negative")
load_adapter(adapters, "nce", folder / "nce")
load_adapter(adapters, "nat", folder / "nat", negative="negative")
found = {}
for name in ("negative", "nat", "nce"):
    with torch.no_grad(), adapters.use(name):
        found[name] = adapters.model(input_ids=torch.arange(1, 13).view(2, 6)).logits
with torch.no_grad():
    found["base"] = adapters.model(input_ids=torch.arange(1, 13).view(2, 6)).logits
torch.save(found, folder / "logits.pt")
"""


def test_a_new_process_computes_identical_logits(tmp_path: Path, tiny_llama: Path) -> None:
    adapters = Adapters(AutoModelForCausalLM.from_pretrained(tiny_llama).eval())
    adapters.add_lora("negative", QV, 0)
    shake(adapters, "negative", 1)
    adapters.add_nat("nat", QV, "negative", 2)
    shake(adapters, "nat", 3)
    adapters.add_lora("nce", QV, 4)
    shake(adapters, "nce", 5)
    storages = {p.data_ptr() for p in adapters.base.parameters()}
    assert len(storages) == len(list(adapters.base.parameters()))  # one copy of everything, the base included
    for name in ("negative", "nat", "nce"):
        save_adapter(adapters, name, tmp_path / name)
    subprocess.run([sys.executable, "-c", LOAD, str(tiny_llama), str(tmp_path)], check=True, timeout=120)
    found = torch.load(tmp_path / "logits.pt")
    for name in ("negative", "nat", "nce"):
        assert torch.equal(found[name], logits(adapters, name)), name
    assert torch.equal(found["base"], logits(adapters, None))
