"""Several processes, started by accelerate's own launcher, learn what one learns."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml

from nsad_cli.models.student import load_student
from nsad_cli.pipeline.pipeline import run_stages
from nsad_cli.runs.run import Run
from tests.helpers.ranker_runs import answer_half_rightly, ranking
from tests.helpers.tiny_recipes import recipe

MULTI_NODE = Path(__file__).parents[2] / "recipes" / "launch" / "multi-node.yaml"
FSDP = Path(__file__).parents[2] / "recipes" / "launch" / "fsdp.yaml"
# With --cpu the launcher would start one process; --multi_gpu starts two, to which NSAD_DEVICE gives CPUs.
LAUNCH = ("-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1")
SHARED_LAUNCH = ("-m", "accelerate.commands.launch", "--config_file", str(FSDP), "--num_processes", "2")

ADAPTER = {"targets": "all-linear", "dropout": 0.0, "unit": {"size": 8, "targets": ["q_proj", "v_proj"]}}


def environment_of(home: Path, runs: Path) -> dict[str, str]:
    """The environment of a process of one thread on CPUs, with its runs in a folder."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("NSAD_")}
    return {**kept, "HOME": str(home), "NSAD_HOME": str(runs), "OMP_NUM_THREADS": "1", "NSAD_DEVICE": "cpu"}


def run_in(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        check=False,
        cwd=home,
        env=environment_of(home, home / "runs"),
        capture_output=True,
        text=True,
        timeout=500,
    )


def kill_in_stage(home: Path, stage: str, *arguments: str) -> None:
    """Run a command, and kill it with all its processes when a stage of its run has a complete checkpoint."""
    with (home / "killed.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, *arguments], cwd=home, env=environment_of(home, home / "runs"), stdout=log, stderr=log
        )
        while not any((home / "runs").glob(f"*/checkpoints/{stage}/checkpoint-*/complete")):
            assert process.poll() is None, (home / "killed.log").read_text()
            time.sleep(0.002)
        launcher = psutil.Process(process.pid)
        family = [*launcher.children(recursive=True), launcher]
        for member in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        process.wait()
        psutil.wait_procs(family, timeout=60)


def curves(home: Path, name: str) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for event in Run(home / "runs" / name).events.read():
        for key in ("loss", "held_out_loss"):
            if key in event.metrics:
                found.setdefault(f"{event.stage} {key}", []).append(event.metrics[key])
    return found


STAGE = {"epochs": 1, "batch_size": 5, "learning_rate": 1e-3, "warmup_steps": 1, "checks": 2, "pack_tokens": 200}
RANKER = {
    **STAGE,
    "kind": "head",
    "problems": 4,
    "samples": 2,
    "min_pairs": 3,
    "teacher_rationales": True,
    "max_examples": 8,
}
TRAINING = {"held_out": 0.1, "negative": STAGE, "nat": STAGE, "nce": {**STAGE, "self_samples": 1}, "ranker": RANKER}


def write_recipe(folder: Path, model: Path) -> None:
    values = recipe(model, adapter=ADAPTER, training=TRAINING).model_dump(mode="json")
    (folder / "tiny.yaml").write_text(yaml.safe_dump(values))


@pytest.fixture(scope="module")
def of_one(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[float]]:
    """The loss curves of one process."""
    folder = tmp_path_factory.mktemp("one")
    write_recipe(folder, tiny_llama)
    one = run_in(folder, "-m", "nsad_cli", "run", "tiny.yaml", "--run", "one", "--json")
    assert one.returncode == 0, one.stderr
    return curves(folder, "one")


def assert_same_curves(found: dict[str, list[float]], expected: dict[str, list[float]]) -> None:
    assert found.keys() == expected.keys()
    assert len(expected) == 8, "loss and held-out loss of negative, NAT, NCE and ranker"
    for key, losses in expected.items():
        assert found[key] == pytest.approx(losses, abs=1e-4), key


@pytest.mark.slow
def test_two_processes_give_the_loss_curve_of_one(
    tiny_llama: Path, tmp_path: Path, of_one: dict[str, list[float]]
) -> None:
    write_recipe(tmp_path, tiny_llama)
    two = run_in(tmp_path, *LAUNCH, "-m", "nsad_cli", "run", "tiny.yaml", "--run", "two", "--json")
    assert two.returncode == 0, two.stderr
    assert_same_curves(curves(tmp_path, "two"), of_one)
    lines = [line for line in two.stdout.splitlines() if line.startswith("{")]
    assert len(lines) == 1
    assert json.loads(lines[0])["run"] == "two", "the leading process speaks for all"
    for name in ("negative", "nat", "nce", "ranker"):
        assert Run(tmp_path / "runs" / "two").stages()[name]["result"]["processes"] == 2, name


@pytest.mark.slow
def test_a_sharded_base_gives_the_loss_curve_of_a_whole_one_though_it_is_killed(
    tiny_llama: Path, tmp_path: Path, of_one: dict[str, list[float]]
) -> None:
    write_recipe(tmp_path, tiny_llama)
    command = (*SHARED_LAUNCH, "-m", "nsad_cli", "run", "tiny.yaml", "--run", "sharded", "--json")
    for stage in ("nat", "nce", "ranker"):
        kill_in_stage(tmp_path, stage, *command)
    sharded = run_in(tmp_path, *command)
    assert sharded.returncode == 0, sharded.stderr
    log = (tmp_path / "killed.log").read_text() + sharded.stderr
    assert re.findall(r"(\w+): resuming at step", log) == ["nce", "ranker"]
    told = re.findall(r"sharded over 2 processes; each holds (.*) of (.*) MB", log)
    assert len(told) == 3, "NCE and ranker, which was killed"
    model = load_student(str(tiny_llama), device="cpu").model
    whole, layers = (sum(p.nbytes for p in part.parameters()) for part in (model, model.model.layers))
    assert {tuple(map(float, pair)) for pair in told} == {(round((whole - layers / 2) / 1e6, 2), round(whole / 1e6, 2))}
    assert_same_curves(curves(tmp_path, "sharded"), of_one)


def test_accelerate_reads_the_shipped_configuration_as_fsdp() -> None:
    from accelerate.commands.config.config_args import load_config_from_file
    from accelerate.utils import DistributedType

    config = load_config_from_file(str(FSDP))
    assert config.distributed_type == DistributedType.FSDP
    assert config.num_processes == 4
    assert config.fsdp_config == {"fsdp_version": 2}


@pytest.mark.slow
def test_two_processes_train_the_rankers_of_one(
    tiny_llama: Path, tiny_encoders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for dropout, which each process draws by itself. The probe also on a base that they share out."""
    monkeypatch.setenv("NSAD_HOME", str(tmp_path / "runs"))
    run = Run.create("taught", ranking(tiny_llama, tiny_encoders, "head", epochs=1))
    run_stages(run, ["collect", "grade", "negative", "nat", "nce"])
    answer_half_rightly(run)
    shutil.copytree(tiny_encoders["t5"], tmp_path / "t5")
    config = json.loads((tmp_path / "t5" / "config.json").read_text())
    (tmp_path / "t5" / "config.json").write_text(json.dumps({**config, "dropout_rate": 0.0}))
    encoder = ("--kind", "encoder", "--model", str(tmp_path / "t5"))
    trained = {}
    for name, launcher, flags in (
        ("encoder-one", (), encoder),
        ("encoder-two", LAUNCH, encoder),
        ("probe-one", (), ("--kind", "probe")),
        ("probe-shared", SHARED_LAUNCH, ("--kind", "probe")),
    ):
        shutil.copytree(run.path, tmp_path / "runs" / name)
        done = run_in(tmp_path, *launcher, "-m", "nsad_cli", "train-ranker", "--run", name, "--json", *flags)
        assert done.returncode == 0, done.stderr
        assert ("sharded over" in done.stderr) == (launcher is SHARED_LAUNCH)
        trained[name] = json.loads(done.stdout)["stages"]["ranker"]
        assert trained[name]["processes"] == (2 if launcher else 1)
    for name, one in (("encoder-two", "encoder-one"), ("probe-shared", "probe-one")):
        first, second = curves(tmp_path, one), curves(tmp_path, name)
        assert first.keys() == second.keys()
        for key, losses in first.items():
            assert second[key] == pytest.approx(losses, abs=1e-4), key
        report, expected = trained[name]["calibration"], trained[one]["calibration"]
        assert report["calibrated"]
        assert report["ranking_accuracy"] == expected["ranking_accuracy"]
        assert report["scale"] == pytest.approx(expected["scale"], rel=0.01)


def machines(tmp_path: Path, model: Path, homes: tuple[Path, Path]) -> list[subprocess.CompletedProcess[str]]:
    """A run by two launchers on loopback, each as a machine with one process and a folder of runs."""
    write_recipe(tmp_path, model)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    started = []
    for rank, home in enumerate(homes):
        where = ("--machine_rank", str(rank), "--main_process_ip", "127.0.0.1", "--main_process_port", str(port))
        command = (sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(MULTI_NODE), *where)
        started.append(
            subprocess.Popen(
                [*command, "--num_processes", "2", "-m", "nsad_cli", "run", "tiny.yaml", "--run", "r", "--json"],
                cwd=tmp_path,
                env=environment_of(tmp_path, home),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    done = []
    for process in started:
        try:
            out, err = process.communicate(timeout=400)
        finally:
            process.kill()
        done.append(subprocess.CompletedProcess(process.args, process.returncode, out, err))
    return done


@pytest.mark.slow
def test_two_machines_give_the_loss_curve_of_one_process(
    tiny_llama: Path, tmp_path: Path, of_one: dict[str, list[float]]
) -> None:
    shared = tmp_path / "runs"
    first, second = machines(tmp_path, tiny_llama, (shared, shared))
    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    assert_same_curves(curves(tmp_path, "r"), of_one)
    assert Run(shared / "r").stages()["nce"]["result"]["processes"] == 2


@pytest.mark.slow
def test_a_machine_that_does_not_see_the_run_ends_with_an_error(tiny_llama: Path, tmp_path: Path) -> None:
    done = machines(tmp_path, tiny_llama, (tmp_path / "runs", tmp_path / "other"))
    assert all(process.returncode != 0 for process in done)
    assert "another process of this launch does not see" in done[0].stderr
    assert "rank 1 on" in done[1].stderr
    assert "the machines do not share the run's folder" in done[1].stderr
