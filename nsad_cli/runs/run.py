"""A run's folder: manifest, resolved recipe, event log, artifacts, lock."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import platform
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nsad_cli.errors import NsadError, UsageError, did_you_mean
from nsad_cli.runs.event_log import EventLog
from nsad_cli.runs.lock import hold_lock, is_locked
from nsad_cli.utils.distributed import barrier, is_main_process
from nsad_cli.utils.files import write_atomic
from nsad_cli.utils.version import __version__

if TYPE_CHECKING:  # recipes take long to import, and who lists runs needs none
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from nsad_cli.config.schema import Recipe

FORMAT = 2
"""Version of the folder's layout; a run of another one is refused, never misread."""
STAGES = ("collect", "grade", "eval-before", "negative", "nat", "nce", "ranker", "eval")
LIBRARIES = ("torch", "transformers", "peft", "accelerate")


def runs_home() -> Path:
    """Where runs live: NSAD_HOME, else ./runs."""
    return Path(os.environ.get("NSAD_HOME") or "runs")


class Run:
    """A run's folder; reads never change it, writes are atomic or append-only."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name
        self.events = EventLog(path / "events.jsonl")

    # --- finding and making ---------------------------------------------------------------------------------------

    @classmethod
    def create(cls, name: str, recipe: Recipe, *, store: Path | None = None) -> Run:
        """Make a run's folder, or open it where it exists, and write its resolved recipe.

        Raises NsadError where the folder belongs to another version or cannot be written.
        """
        check_name(name)
        run = cls(runs_home() / name)
        if (run.path / "manifest.json").exists():
            run.check_store(store)
        else:
            manifest = {
                "format": FORMAT,
                "name": name,
                "created": time.time(),
                "versions": _versions(),
                "store": str(store.resolve()) if store else None,
                "stages": {},
            }
            if is_main_process():
                write_atomic(run.path / "manifest.json", json.dumps(manifest, indent=1))
        run.write_recipe(recipe)
        return run

    @classmethod
    def open(cls, name: str | None = None, *, finished: bool = False) -> Run:
        """Open a run by name; without one the chosen one (`nsad runs use`), else the newest.

        finished: what has a student to answer with goes before what is newer and has none.

        Raises UsageError where there is none, NsadError where another version made it.
        """
        runs = list_runs()
        if name is not None:
            run = cls(runs_home() / name)
            if not (run.path / "manifest.json").is_file():
                hint = did_you_mean(name, [other.name for other in runs])
                raise UsageError(
                    f"no run named `{name}`",
                    f"{runs_home()} has no such run",
                    f"{hint + ' ' if hint else ''}list them with `nsad runs`",
                )
            run.manifest()
            return run
        if not runs:
            raise UsageError(
                "there is no run yet",
                f"{runs_home().resolve()} has none",
                "make one with `nsad demo` or `nsad run RECIPE`, or point NSAD_HOME at your runs",
            )
        chosen = chosen_run()
        if chosen is not None:
            return chosen
        ready = [run for run in runs if run.finished()] if finished else []
        return (ready or runs)[0]

    # --- manifest and recipe --------------------------------------------------------------------------------------

    def manifest(self) -> dict[str, Any]:
        """Read the manifest.

        Raises NsadError where it is damaged or another version of NSAD made it.
        """
        path = self.path / "manifest.json"
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
            version = manifest["format"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise NsadError(
                f"run `{self.name}` cannot be read",
                f"{path}: {error}",
                "restore the file, or start again under another name with --run",
            ) from error
        if version != FORMAT:
            maker = manifest.get("versions", {}).get("nsad", "unknown")
            raise NsadError(
                f"run `{self.name}` has format {version}, this version reads {FORMAT}",
                f"NSAD {maker} made it, this is {__version__}",
                f"use NSAD {maker} for it, or start a new run with --run NAME",
            )
        return dict(manifest)

    @property
    def recipe(self) -> Recipe:
        """The resolved recipe, every setting written out."""
        from nsad_cli.config.recipes import load_recipe

        return load_recipe(self.path / "recipe.yaml")

    def write_recipe(self, recipe: Recipe) -> None:
        """Write the resolved recipe, where it says something new.

        Raises NsadError where another process is at work on the run: its settings stay as they are.
        """
        from nsad_cli.config.recipes import recipe_yaml

        path, text = self.path / "recipe.yaml", recipe_yaml(recipe)
        if is_main_process() and (not path.is_file() or path.read_text(encoding="utf-8") != text):
            with self.lock():
                write_atomic(path, text)
        barrier()

    @property
    def store_path(self) -> Path:
        """The store of problems, draws and verdicts: the run's own, or a shared one."""
        shared = self.manifest().get("store")
        return Path(shared) if shared else self.path / "store.sqlite"

    def check_store(self, store: Path | None) -> None:
        """Raise UsageError where the run keeps its rationales in another store; None is any."""
        if store is not None and store.resolve() != self.store_path.resolve():
            raise UsageError(
                f"run `{self.name}` has another store",
                f"it keeps its rationales in {self.store_path}",
                "use another --run",
            )
        self.manifest()

    @property
    def chains_path(self) -> Path:
        """The store of candidate chains."""
        return self.path / "chains.sqlite"

    def adapter_path(self, name: str) -> Path:
        """The folder of an adapter: negative, nat, nce or ranker."""
        return self.path / "adapters" / name

    # --- stages ---------------------------------------------------------------------------------------------------

    def stages(self) -> dict[str, dict[str, Any]]:
        """Each stage that was started: its state (running, finished, failed, interrupted), key, times and result."""
        return dict(self.manifest()["stages"])

    def shown_state(self, stage: str) -> str:
        """A stage's state for people: one that says running without a process behind it was stopped."""
        state = str(self.stages()[stage]["state"])
        return "stopped" if state == "running" and not self.busy() else state

    def done(self, stage: str, key: str) -> bool:
        """Whether the stage has finished with these settings and inputs."""
        state = self.stages().get(stage, {})
        return state.get("state") == "finished" and state.get("key") == key

    def finished(self) -> bool:
        """Whether the run has a student to solve with."""
        try:
            return self.stages().get("nce", {}).get("state") == "finished"
        except NsadError:
            return False

    @contextlib.contextmanager
    def stage(self, name: str, key: str) -> Iterator[dict[str, Any]]:
        """Run a stage: its state goes to the manifest; what the body puts in the dict is its result.

        Its seconds add up over interruptions, but for what a killed process spent.
        """
        result: dict[str, Any] = {}
        started, began = time.time(), time.monotonic()  # a clock that is set meanwhile changes no length of time
        before = self.stages().get(name, {})
        resumed = before.get("key") == key and before.get("state") != "finished"
        earlier = before.get("seconds", 0.0) if resumed else 0.0

        def told(state: str, **more: Any) -> dict[str, Any]:
            seconds = earlier + time.monotonic() - began
            return {"state": state, "key": key, "started": started, "seconds": seconds, **more}

        self._set_stage(name, told("running"))
        try:
            yield result
        except BaseException as error:
            state = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
            with contextlib.suppress(NsadError):
                self._set_stage(name, told(state, ended=time.time(), error=str(error)[:500]))
            raise
        self._set_stage(name, told("finished", ended=time.time(), result=result))

    def _set_stage(self, name: str, state: dict[str, Any]) -> None:
        if not is_main_process():
            return
        manifest = self.manifest()
        manifest["stages"][name] = state
        manifest["versions"] = _versions()
        write_atomic(self.path / "manifest.json", json.dumps(manifest, indent=1))

    # --- lock -----------------------------------------------------------------------------------------------------

    def lock(self) -> AbstractContextManager[None]:
        """Hold the run's folder against other writers; see `hold_lock`.

        Raises:
            NsadError: Another process holds it.
        """
        return hold_lock(self.path / "lock", self.name)

    def busy(self) -> bool:
        """Whether a process is writing to the run."""
        return is_locked(self.path / "lock")


def check_name(name: str) -> None:
    """Raise UsageError for what cannot name a run."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise UsageError(
            f"`{name}` cannot name a run",
            "a name is letters, digits, `.`, `_` and `-`",
            "choose another with --run",
        )


def list_runs() -> list[Run]:
    """Every run here, the most recently started stage first."""
    home = runs_home()
    if not home.is_dir():
        return []
    paths = [path for path in home.iterdir() if (path / "manifest.json").is_file()]
    return [
        Run(path) for path in sorted(paths, key=lambda path: (path / "manifest.json").stat().st_mtime_ns, reverse=True)
    ]


def choose_run(name: str | None) -> None:
    """Make a run the default of `solve` and the others; None goes back to the newest finished one."""
    marker = runs_home() / ".chosen"
    if name is None:
        marker.unlink(missing_ok=True)
    else:
        write_atomic(marker, Run.open(name).name + "\n")


def chosen_run() -> Run | None:
    """The run set by `nsad runs use`, if it is still there."""
    marker = runs_home() / ".chosen"
    if not marker.is_file():
        return None
    run = Run(runs_home() / marker.read_text(encoding="utf-8").strip())
    return run if (run.path / "manifest.json").is_file() else None


def _versions() -> dict[str, str]:
    versions = {"nsad": __version__, "python": platform.python_version()}
    for library in LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[library] = importlib.metadata.version(library)
    return versions
