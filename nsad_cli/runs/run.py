"""A run's folder: manifest, resolved recipe, event log, stores, adapters and lock."""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nsad_cli.config.ranker_kinds import COMBINED, DEFAULT_SPLIT
from nsad_cli.config.stages import STUDENT
from nsad_cli.errors import NsadError, UsageError, did_you_mean
from nsad_cli.runs.command import command, unfinished_stages
from nsad_cli.runs.event_log import EventLog
from nsad_cli.runs.former_defaults import keep_former_defaults
from nsad_cli.runs.lock import hold_lock, is_locked
from nsad_cli.runs.manifest import FORMAT, read_manifest, versions
from nsad_cli.utils.distributed import any_process, barrier, is_main_process, process_name, world_size
from nsad_cli.utils.files import make_folder, write_atomic
from nsad_cli.utils.hashing import content_key
from nsad_cli.utils.processor import default_dtype, default_engine

if TYPE_CHECKING:  # recipes are slow to import, and listing runs does not need them
    from collections.abc import Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from nsad_cli.config.schema import Recipe

SHARED_HOME = "every machine of a launch needs the runs on a file system that all of them share"


def runs_home() -> Path:
    """Return the folder of all runs: the variable NSAD_HOME, else ./runs."""
    return Path(os.environ.get("NSAD_HOME") or "runs")


class Run:
    """A run's folder; reading never changes it, and writes are atomic or append-only."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name
        self.events = EventLog(path / "events.jsonl")
        self.is_new = False
        """Whether this process has created it."""

    # --- creating and opening -------------------------------------------------------------------------------------

    @classmethod
    def create(cls, name: str, recipe: Recipe, *, store: Path | None = None) -> Run:
        """Create a run, or open it if it exists, and write its resolved recipe.

        Args:
            name: The run's name.
            recipe: Its settings; what it leaves to the machine or to defaults is resolved (see `with_defaults`).
            store: The store of rationales to use; None for the run's own.

        Raises:
            UsageError: The name is not valid, or the run has another store.
            NsadError: Another version of NSAD created the run, or the folder cannot be written.
        """
        check_name(name)
        run = cls(runs_home() / name)
        if (run.path / "manifest.json").exists():
            run.check_store(store)
            run.write_recipe(with_defaults(run, recipe))
        else:
            run.is_new = True
            make_folder(run.path)
            run.write_recipe(with_defaults(run, recipe))  # the manifest comes last: it makes the folder a run
            manifest = {
                "format": FORMAT,
                "name": name,
                "created": time.time(),
                "versions": versions(),
                "store": str(store.resolve()) if store else None,
                "stages": {},
                **_own_command(),
            }
            if is_main_process():
                write_atomic(run.path / "manifest.json", json.dumps(manifest, indent=1))
            barrier()
            _require_shared(run)
        return run

    @classmethod
    def open(cls, name: str | None = None, *, finished: bool = False) -> Run:
        """Open a run.

        Args:
            name: The run's name; None for the default run (`nsad runs use`), else the newest one.
            finished: Prefer the newest run that has a trained student.

        Returns:
            The run.

        Raises:
            UsageError: There is no such run.
            NsadError: Another version of NSAD created it.
        """
        if name is None:
            return _default_run(finished)
        check_name(name)
        run = cls(runs_home() / name)
        if not (run.path / "manifest.json").is_file():
            hint = did_you_mean(name, [other.name for other in list_runs()])
            where = f" on {process_name()}" if world_size() > 1 else ""
            raise UsageError(
                f"no run named `{name}`{where}",
                f"{runs_home()} has no such run" + (f"; {SHARED_HOME}" if where else ""),
                f"{hint + ' ' if hint else ''}list them with `nsad runs`",
            )
        run.manifest()
        return run

    @property
    def identifier(self) -> str:
        """The name with a hash of when the run was created, for trackers that know runs of several folders."""
        return f"{self.name}-{content_key(self.name, self.manifest()['created'])[:8]}"

    # --- manifest and recipe --------------------------------------------------------------------------------------

    def manifest(self) -> dict[str, Any]:
        """Read the manifest.

        Raises:
            NsadError: It is corrupt, or another version of NSAD created it.
        """
        return read_manifest(self.path / "manifest.json", self.name)

    @property
    def recipe(self) -> Recipe:
        """The resolved recipe, with a value for every setting."""
        return self.recipe_with({})

    def recipe_with(self, overrides: Mapping[str, Any]) -> Recipe:
        """The recipe with some settings replaced.

        Args:
            overrides: Values by dotted key; None values are skipped.
        """
        from nsad_cli.config.recipes import load_recipe

        # A plugin that the stored recipe names may be gone, which must not stop commands that do not need it.
        chosen = overrides.get("training.ranker.kind") is not None
        return load_recipe(self.path / "recipe.yaml", overrides, stored=not chosen, of_run=True)

    def write_recipe(self, recipe: Recipe) -> None:
        """Write the resolved recipe if it differs from the stored one.

        Raises:
            NsadError: Another process is writing to the run; the stored recipe is not changed.
        """
        from nsad_cli.config.recipes import recipe_yaml

        path, text = self.path / "recipe.yaml", recipe_yaml(recipe)
        if is_main_process() and (not path.is_file() or path.read_text(encoding="utf-8") != text):
            with self.lock():
                write_atomic(path, text)
        barrier()

    @property
    def store_path(self) -> Path:
        """The store of rationales: the run's own, or a shared one."""
        shared = self.manifest().get("store")
        return Path(shared) if shared else self.path / "store.sqlite"

    def check_store(self, store: Path | None) -> None:
        """Check that the run uses a store of rationales; None accepts any.

        Raises:
            UsageError: It uses another one.
        """
        if store is not None and store.resolve() != self.store_path.resolve():
            raise UsageError(
                f"run `{self.name}` has another store",
                f"its rationales are in {self.store_path}",
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
        """Read the record of each started stage: state (running, finished, failed, interrupted), key, times, result."""
        return dict(self.manifest()["stages"])

    def done(self, stage: str, key: str) -> bool:
        """Return whether the stage has finished with the settings and inputs that `key` hashes."""
        state = self.stages().get(stage, {})
        return state.get("state") == "finished" and state.get("key") == key

    def finished(self) -> bool:
        """Return whether the run has a trained student."""
        try:
            return self.stages().get(STUDENT.name, {}).get("state") == "finished"
        except NsadError:
            return False

    @contextlib.contextmanager
    def stage(self, name: str, key: str) -> Iterator[dict[str, Any]]:
        """Record a stage in the manifest while the body runs it; the body fills the dict with the stage's result.

        The recorded seconds add up over interruptions, except the time of a process that was killed.
        """
        result: dict[str, Any] = {}
        started, start = time.time(), time.monotonic()  # durations must not depend on changes of the clock
        previous = self.stages().get(name, {})
        resumed = previous.get("key") == key and previous.get("state") != "finished"
        earlier_seconds = previous.get("seconds", 0.0) if resumed else 0.0

        def record(state: str, **more: Any) -> dict[str, Any]:
            seconds = earlier_seconds + time.monotonic() - start
            return {"state": state, "key": key, "started": started, "seconds": seconds, **_own_command(), **more}

        self._write_stage(name, record("running"))
        try:
            yield result
        except BaseException as error:
            state = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
            with contextlib.suppress(NsadError):
                self._write_stage(name, record(state, ended=time.time(), error=str(error)[:500]))
            raise
        self._write_stage(name, record("finished", ended=time.time(), result=result))

    def adopt(self, name: str, record: Mapping[str, Any]) -> None:
        """Record a stage that another run has finished; its adapter must be in place already.

        Args:
            name: The stage.
            record: The other run's record of it.
        """
        self._write_stage(name, dict(record))

    def _write_stage(self, name: str, record: dict[str, Any]) -> None:
        if not is_main_process():
            return
        manifest = self.manifest()
        manifest["stages"][name] = record
        manifest["versions"] = versions()
        write_atomic(self.path / "manifest.json", json.dumps(manifest, indent=1))

    # --- lock -----------------------------------------------------------------------------------------------------

    def lock(self) -> AbstractContextManager[None]:
        """Hold the lock of the run's folder, so that no other process writes to it; see `hold_lock`.

        Raises:
            NsadError: Another process holds it.
        """
        return hold_lock(self.path / "lock", self.name)

    def busy(self) -> bool:
        """Return whether a process is writing to the run."""
        return is_locked(self.path / "lock")


def _require_shared(run: Run) -> None:
    """Check, in every process of a launch, that all of them see the folder of a new run.

    Raises:
        NsadError: One does not.
    """
    missing = not (run.path / "manifest.json").is_file()
    if any_process(missing):
        who = process_name() if missing else "another process of this launch"
        why = f"{who} does not see {run.path}, which the first process has created; {SHARED_HOME}"
        raise NsadError("the machines do not share the run's folder", why, "set NSAD_HOME to the same shared folder")


def with_defaults(run: Run, recipe: Recipe) -> Recipe:
    """Return a recipe in which nothing is left to the machine: the run's stored choices, else defaults.

    Chosen are the dtype and the engine in place of `auto` (what the machine does best) and the size of the ranker's
    split. A run of an earlier version has stored `auto`, which stays (float32 on a CPU, and the engine of
    transformers), has no split, and keeps the numbers whose default has changed since.
    """
    stored = _stored_recipe(run)
    if stored is not None:
        recipe = keep_former_defaults(recipe, stored)
    student, training = recipe.student, recipe.training
    chosen: dict[str, str] = {}
    if student.dtype == "auto":
        chosen["dtype"] = stored.student.dtype if stored else default_dtype(student.device)
    if student.engine == "auto":
        supported = "hf" if student.load_in_4bit else default_engine(student.device)
        chosen["engine"] = stored.student.engine if stored else supported
    if training.ranker.split is None:
        split = stored.training.ranker.split if stored else DEFAULT_SPLIT if training.ranker.kind == COMBINED else 0
        training = training.model_copy(update={"ranker": training.ranker.model_copy(update={"split": split})})
    return recipe.model_copy(update={"student": student.model_copy(update=chosen), "training": training})


def _stored_recipe(run: Run) -> Recipe | None:
    """Return a run's stored recipe; None if there is none, or it cannot be read and is about to be replaced."""
    if not (run.path / "recipe.yaml").is_file():
        return None
    with contextlib.suppress(UsageError):
        return run.recipe_with({})
    return None


def display_state(run: Run, stage: str) -> str:
    """Return the state of a stage for display: `stopped` if it is recorded as running, but no process runs it."""
    state = str(run.stages()[stage]["state"])
    return "stopped" if state == "running" and not run.busy() else state


def run_state(run: Run) -> str:
    """Return the state of a whole run for display.

    Returns:
        `empty` (no stage has started), `running`, `failed`, `interrupted`, `stopped` (the process was killed),
        `unfinished` (the last stage has finished, and others of its pipeline are left), or `finished`.
    """
    manifest = run.manifest()
    stages = manifest["stages"]
    if run.busy():
        return "running"
    if not stages:
        return "empty"
    state = display_state(run, max(stages, key=lambda name: stages[name].get("started", 0)))
    if state != "finished":
        return state
    return "unfinished" if unfinished_stages(manifest) else "finished"


def is_valid_name(name: str) -> bool:
    """Return whether a text can be a run's name, which is a single folder's."""
    return re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) is not None


def check_name(name: str) -> None:
    """Check a run's name.

    Raises:
        UsageError: It is not valid.
    """
    if not is_valid_name(name):
        raise UsageError(
            f"`{name}` is not a valid name of a run",
            "a name consists of letters, digits, `.`, `_` and `-`, and starts with a letter or digit",
            "choose another with --run",
        )


def list_runs() -> list[Run]:
    """List all runs, the one with the most recent change of a stage first."""
    home = runs_home()
    if not home.is_dir():
        return []
    paths = [path for path in home.iterdir() if (path / "manifest.json").is_file()]
    return [
        Run(path) for path in sorted(paths, key=lambda path: (path / "manifest.json").stat().st_mtime_ns, reverse=True)
    ]


def _default_run(finished: bool) -> Run:
    """Return the default run, or else the newest one; with `finished`, prefer runs with a trained student."""
    runs = list_runs()
    if not runs:
        raise UsageError(
            "there is no run yet",
            f"{runs_home().resolve()} has none",
            "create one with `nsad demo` or `nsad run RECIPE`, or set NSAD_HOME to the folder of your runs",
        )
    chosen = chosen_run()
    if chosen is not None:
        return chosen
    ready = [run for run in runs if run.finished()] if finished else []
    return ready[0] if ready else newest_started(runs) or runs[0]


def newest_started(runs: Iterable[Run]) -> Run | None:
    """Return the first of the runs that can be read and has started a stage: a damaged or an empty one never counts."""
    for run in runs:
        with contextlib.suppress(NsadError):
            if run.stages():
                return run
    return None


def choose_run(name: str | None) -> None:
    """Set the default run of the commands; None restores the newest run as the default."""
    marker = runs_home() / ".chosen"
    if name is None:
        marker.unlink(missing_ok=True)
    else:
        write_atomic(marker, Run.open(name).name + "\n")


def chosen_run() -> Run | None:
    """Return the default run set by `nsad runs use`, if it still exists."""
    marker = runs_home() / ".chosen"
    if not marker.is_file():
        return None
    name = marker.read_text(encoding="utf-8", errors="replace").strip()
    run = Run(runs_home() / name)
    return run if is_valid_name(name) and (run.path / "manifest.json").is_file() else None


def _own_command() -> dict[str, Any]:
    found = command()
    return {} if found is None else {"command": found}
