"""A model of a run as bytes for Ray's object store, and the engine that an actor builds from them.

The bytes are a run folder with the recipe, the manifest and the adapters of one model, without rationales and chains.
The base is loaded by its name on each node: smollm2, a Hub id, or a folder that all nodes have under the same path.
"""

from __future__ import annotations

import io
import json
import shutil
import socket
import tarfile
import tempfile
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nsad_cli.config.recipes import recipe_yaml
from nsad_cli.config.stages import UNTRAINED, stages
from nsad_cli.errors import NsadError
from nsad_cli.runs.base_model import FILE, base_fingerprint
from nsad_cli.runs.run import Run
from nsad_cli.utils.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

    from nsad_cli.config.schema import Recipe
    from nsad_cli.generation.sampler import Sampler


def pack_model(run: Run, recipe: Recipe, name: str) -> bytes:
    """Pack a model of a run.

    Args:
        run: The run.
        recipe: Its recipe, with the settings that are in effect.
        name: The model.
    """
    adapters = [] if name in UNTRAINED else [name, *filter(None, [stages()[name].companion])]
    manifest = run.manifest()
    manifest["stages"] = {stage: record for stage, record in manifest["stages"].items() if stage in adapters}
    # Ray makes an actor's GPU the only visible one, whose index is then 0
    student = recipe.student.model_copy(update={"device": recipe.student.device.partition(":")[0]})
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        _add(archive, "recipe.yaml", recipe_yaml(recipe.model_copy(update={"student": student})))
        _add(archive, "manifest.json", json.dumps(manifest))
        if (run.path / FILE).is_file():
            archive.add(run.path / FILE, FILE)
        for adapter in adapters:
            archive.add(run.adapter_path(adapter), f"adapters/{adapter}")
    return buffer.getvalue()


def _add(archive: tarfile.TarFile, name: str, text: str) -> None:
    content = text.encode()
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))


class PackedModel:
    """Builds an actor's engine from a packed model.

    Args:
        run: The run, whose base the actors must have too.
        recipe: Its recipe.
        name: The model.
        engine: The actor's engine, hf or vllm.
        open_session: Opens an unpacked run: inference.session.Session.
    """

    def __init__(self, run: Run, recipe: Recipe, name: str, engine: str, open_session: Callable[[Run], Any]) -> None:
        self._name, self._engine, self._open_session = name, engine, open_session
        self._version, self._base = __version__, base_fingerprint(run, recipe)

    def __call__(self, packed: bytes) -> Sampler:
        """Unpack the model and return its sampler.

        Raises:
            NsadError: The base cannot be loaded on this node, or the node has another base or version of nsad.
        """
        if __version__ != self._version:
            raise _differs(f"it has nsad {__version__}, and this process {self._version}", "install the same version")
        folder = Path(tempfile.mkdtemp(prefix="nsad-model-"))
        remove = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        run = Run(folder / "run")
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            archive.extractall(run.path, filter="data")
        sampler: Sampler = self._open_session(run).sampler(self._name, self._engine)
        recipe = run.recipe
        if base_fingerprint(run, recipe) != self._base:
            why = f"the weights of `{recipe.student.model}` have another fingerprint there"
            raise _differs(why, "give all nodes the same base under this name")
        if self._engine == "hf":  # vLLM reads the folder with the first chain
            remove()
        return sampler


def _differs(why: str, fix: str) -> NsadError:
    return NsadError(f"the node {socket.gethostname()} cannot sample for this one", why, fix)
