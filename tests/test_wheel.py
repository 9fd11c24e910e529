"""Installed from a wheel, the program finds its shipped recipes from any directory."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, unpacked as an installer would."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, text=True)
    (wheel,) = folder.glob("nsad-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_a_shipped_recipe_is_found_by_name(installed: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(installed), "NSAD_HOME": "runs", "NSAD_DATA": "nowhere"}
    where = subprocess.run(
        [sys.executable, "-c", "import nsad_cli; print(nsad_cli.__file__)"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert where.stdout.startswith(str(installed))
    found = subprocess.run(
        [sys.executable, "-m", "nsad_cli", "run", "gsm8k-solutions-smollm2"],
        check=False,
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert found.returncode == 1, found.stderr
    assert "no data at nowhere/gsm8k" in found.stderr, "the shipped recipe's benchmark is looked for first"
    assert not (tmp_path / "runs").exists()


def test_the_wheel_ships_every_recipe_and_no_tests(installed: Path) -> None:
    shipped, ours = installed / "nsad_cli" / "recipes", ROOT / "recipes"
    found, wanted = ({path.relative_to(folder) for path in folder.rglob("*.yaml")} for folder in (shipped, ours))
    assert found == wanted
    assert Path("launch/fsdp.yaml") in found
    assert not (installed / "tests").exists()


def test_the_wheel_tells_type_checkers_that_it_is_annotated(installed: Path) -> None:
    assert (installed / "nsad_cli" / "py.typed").is_file()


def test_the_wheel_ships_the_recorded_runs(installed: Path, tmp_path: Path) -> None:
    check = (
        "from nsad_cli.dashboard.demo_runs import recorded_runs\nwith recorded_runs() as home: print(*home.iterdir())"
    )
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    found = subprocess.run(
        [sys.executable, "-c", check], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert "demo" in found.stdout
    assert "probe" in found.stdout
