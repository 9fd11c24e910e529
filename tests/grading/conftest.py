"""What the tests of grading share: a checker whose worker process is started once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nsad_cli.grading.checker import Checker

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def checker() -> Iterator[Checker]:
    with Checker(seconds=5, workers=1) as made:
        yield made
