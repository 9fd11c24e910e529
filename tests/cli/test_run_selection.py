"""Which run a command without --run resumes."""

from __future__ import annotations

from pathlib import Path

import pytest

from nsad_cli.cli.run_selection import new_or_existing_run, stopped_run
from nsad_cli.runs.run import Run
from tests.helpers.tiny_recipes import recipe

IMPORT = ("collect", "grade")


def test_an_import_that_was_killed_while_it_graded_is_resumed() -> None:
    settings = recipe(Path("student"))
    run = Run.create("first", settings)
    assert stopped_run(settings, IMPORT) is None, "nothing is collected yet"
    with run.stage("collect", "k") as result:
        result["draws"] = 3
        assert stopped_run(settings) == stopped_run(settings, IMPORT) == "first"
    assert stopped_run(settings) is None, "a collection has ended"
    assert stopped_run(settings, IMPORT) == "first", "an import has not"
    assert new_or_existing_run(None, settings.model_dump(), None, IMPORT).name == "first"
    with pytest.raises(KeyboardInterrupt), run.stage("grade", "k"):
        raise KeyboardInterrupt
    assert stopped_run(settings, IMPORT) == "first"
    assert stopped_run(recipe(Path("another")), IMPORT) is None
    with run.stage("grade", "k"):
        pass
    assert stopped_run(settings, IMPORT) is None
