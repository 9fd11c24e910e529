"""Weights & Biases: a run at the server of the user's account, or with WANDB_MODE=offline in the run's folder."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from nsad_cli.runs.trackers.values import sent_recipe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nsad_cli.runs.run import Run

PROJECT = "nsad"
"""The default; the variable WANDB_PROJECT names another one."""
INIT_SECONDS = 30.0
"""The time that the server has to answer before the tracker is given up."""

CLOSE_SECONDS = 120.0
"""The time that it has to take what is left; wandb itself would retry for days."""


class WandbTracker:
    """See trackers.listener.Tracker.

    Only metrics and the recipe are sent: no console output, command line, code, packages, host or load of the machine,
    which wandb would collect itself.
    """

    def __init__(self, run: Run) -> None:
        import wandb

        self._stages: set[str] = set()
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or PROJECT,
            id=run.identifier,
            name=run.name,
            config=sent_recipe(run.recipe),
            resume="allow",
            dir=str(run.path),
            settings=wandb.Settings(
                console="off",
                disable_code=True,
                disable_git=True,
                init_timeout=INIT_SECONDS,
                save_code=False,
                silent=True,
                x_disable_machine_info=True,
                x_disable_meta=True,
                x_disable_stats=True,
                x_save_requirements=False,
            ),
        )

    def log(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        """Queue the values; a process of the package sends them.

        wandb's own step only grows, and each stage counts from 1: a stage's step is a metric, the others' x-axis.
        """
        if stage not in self._stages:
            self._stages.add(stage)
            self._run.define_metric(f"{stage}/step", hidden=True)
            self._run.define_metric(f"{stage}/*", step_metric=f"{stage}/step")
        self._run.log({f"{stage}/step": step, **values})

    def close(self, failed: bool) -> None:
        """Wait until everything is sent, for as long as CLOSE_SECONDS.

        Raises:
            TimeoutError: The server has not taken it in time.
        """
        finishing = threading.Thread(target=self._run.finish, kwargs={"exit_code": int(failed)}, daemon=True)
        finishing.start()
        finishing.join(CLOSE_SECONDS)
        if finishing.is_alive():
            raise TimeoutError(f"the server has not taken everything in {CLOSE_SECONDS:g} s: see `wandb sync`")
