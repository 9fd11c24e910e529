"""The Ray engine: how work is given out, and the chains of a real cluster whose actors and nodes are killed."""

from __future__ import annotations

import importlib.util
import json
import pickle
import random
import signal
from collections import Counter
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsad_cli.config.engine_spec import parse_engine
from nsad_cli.errors import NsadError, UsageError
from nsad_cli.evaluation.measure import evaluate_run
from nsad_cli.generation import ray_cluster
from nsad_cli.generation.ray_cluster import RayResources, fitting_actors, places, require_ray
from nsad_cli.generation.ray_sampler import MAX_PART, RaySampler, WorkQueue
from nsad_cli.generation.sampler import Sampling, Task
from nsad_cli.inference.ray_models import PackedModel, pack_model
from nsad_cli.inference.session import Session
from nsad_cli.pipeline.pipeline import run_stages
from nsad_cli.runs.run import Run
from tests.helpers.nsad_process import run_nsad
from tests.helpers.optional_packages import needs_ray
from tests.helpers.tiny_recipes import recipe

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from nsad_cli.types import Chain

SAMPLING = Sampling(0.8, 1.0, 24)
START_ATTEMPTS = 3
QUICK_DEATHS = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 4}
"""How Ray finds out that a node is dead: within 2 s in place of 15."""


def test_specs() -> None:
    for spec, kind, address in (
        ("ray", "hf", ""),
        ("ray:vllm", "vllm", ""),
        ("ray@head:6379", "hf", "head:6379"),
        ("ray:vllm@auto", "vllm", "auto"),
    ):
        parsed = parse_engine(spec)
        assert (parsed.by_ray, parsed.kind, parsed.address, parsed.spec) == (True, kind, address, spec)
        assert parsed.key("model") == parse_engine(kind).key("model"), "the chains are those of the actors' engine"
        assert parsed.name == kind
    for spec in ("ray:server", "ray@", "rays", "ray@ray://head:10001"):
        with pytest.raises(UsageError, match="unknown engine"):
            parse_engine(spec)


@pytest.mark.parametrize(
    ("cpus", "gpus", "wanted", "actors"),
    [
        (16, 0, RayResources(), [(16, 0)]),
        (16, 0, RayResources(cpus=5), [(5, 0)] * 3),
        (16, 4, RayResources(), [(4, 1)] * 4),
        (2, 4, RayResources(), [(1, 1)] * 2),
        (16, 4, RayResources(gpus=2), [(8, 2)] * 2),
        (16, 4, RayResources(gpus=0.5), [(2, 0.5)] * 8),
        (16, 4, RayResources(cpus=8, gpus=0), [(8, 0)] * 2),
        (16, 0, RayResources(gpus=1), []),
        (0, 0, RayResources(), []),
        (2, 0, RayResources(cpus=4), []),
    ],
)
def test_the_actors_that_fit_on_a_node(
    cpus: float, gpus: float, wanted: RayResources, actors: list[tuple[float, float]]
) -> None:
    assert fitting_actors(cpus, gpus, wanted) == actors


def test_dead_nodes_have_no_room() -> None:
    node = {"NodeID": "a", "NodeName": "10.0.0.1", "NodeManagerAddress": "10.0.0.1", "NodeManagerHostname": "first"}
    nodes = [
        {**node, "Alive": True, "Resources": {"CPU": 2.0}},
        {**node, "NodeID": "b", "Alive": True, "NodeName": "second", "Resources": {"CPU": 2.0}},
        {**node, "NodeID": "c", "Alive": False, "Resources": {}},
    ]
    found = places(nodes, RayResources(cpus=1))
    assert [(place.node, place.name) for place in found] == [("a", "first")] * 2 + [("b", "second")] * 2


TASKS = st.lists(st.integers(1, 600), max_size=30).map(
    lambda sizes: [Task(f"p{i}", "q", tuple(range(size))) for i, size in enumerate(sizes)]
)


@given(TASKS, st.integers(1, 20), st.integers(0, 1000))
def test_every_chain_is_given_out_until_it_is_delivered(tasks: list[Task], actors: int, seed: int) -> None:
    draw, queue, delivered = random.Random(seed), WorkQueue(tasks), Counter[tuple[str, int]]()
    while queue.left:
        part = queue.take(actors)
        assert 0 < sum(len(task.indices) for task in part) <= MAX_PART
        if draw.random() < 0.3:  # the actor is lost after some of its chains
            queue.put_back(Task(task.problem_id, "q", task.indices[1:]) for task in part if task.indices[1:])
            part = [Task(task.problem_id, "q", task.indices[:1]) for task in part]
        delivered.update((task.problem_id, index) for task in part for index in task.indices)
    assert delivered == Counter((task.problem_id, index) for task in tasks for index in task.indices)


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda *_: None)
    with pytest.raises(NsadError) as error:
        require_ray()
    assert error.value.fix == "pip install 'nsad[ray]'"
    assert pickle.loads(pickle.dumps(error.value)).fix == error.value.fix, "actors raise such errors too"


@pytest.mark.parametrize(("address", "attempts"), [("", 3), ("head:6379", 1)])
def test_a_start_is_retried_and_leaves_the_signals(
    address: str, attempts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[dict[str, Any]] = []

    def init(**options: Any) -> None:
        calls.append(options)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Exception("The current node timed out during startup.")

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr("time.sleep", lambda _: None)
    with pytest.raises(NsadError) as error:
        ray_cluster._init(SimpleNamespace(init=init, shutdown=lambda: None), address)
    assert [options["address"] for options in calls] == [address or "local"] * attempts
    assert "timed out" in error.value.why
    assert ("ray start --address=head:6379" if address else "--engine hf") in error.value.fix
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.fixture(scope="module")
def trained(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with a NAT model, in float32."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NSAD_HOME", str(tmp_path_factory.mktemp("ray") / "runs"))
        run = Run.create("tiny", recipe(tiny_llama, sampling={"max_new_tokens": 24, "batch_size": 8}))
        run_stages(run, ["collect", "grade", "negative", "nat"])
    return run


def tasks(count: int, chains: int = 8) -> list[Task]:
    return [Task(f"p{i}", f"Ann has {i} pens. How many?", tuple(range(chains))) for i in range(count)]


def keyed(chains: Iterable[Chain]) -> dict[tuple[str, int], Chain]:
    found: dict[tuple[str, int], Chain] = {}
    for chain in chains:
        key = (chain.problem_id, chain.index)
        assert key not in found, "a chain came twice"
        found[key] = chain
    return found


def assert_equal(found: dict[tuple[str, int], Chain], wanted: dict[tuple[str, int], Chain]) -> None:
    assert found.keys() == wanted.keys()
    for key, chain in wanted.items():
        assert (found[key].text, found[key].finish) == (chain.text, chain.finish)
        assert found[key].logprobs == pytest.approx(chain.logprobs, abs=1e-5)


def test_an_actor_builds_its_model_from_the_bytes_alone(trained: Run) -> None:
    built = PackedModel(trained, trained.recipe, "nat", "hf", Session)(pack_model(trained, trained.recipe, "nat"))
    alone = Session(trained).sampler("nat", "hf")
    assert_equal(keyed(built.sample(tasks(2), SAMPLING, seed="1")), keyed(alone.sample(tasks(2), SAMPLING, seed="1")))


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A cluster of two nodes with one core each; this process is on the first."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'nsad[ray]'")
    import ray
    from ray.cluster_utils import Cluster

    why = ""
    for _ in range(START_ATTEMPTS):
        made = Cluster()
        try:
            made.add_node(num_cpus=1, node_name="first", include_dashboard=False, _system_config=QUICK_DEATHS)
            made.add_node(num_cpus=1, node_name="second")
            break
        except Exception as error:  # Ray raises many kinds
            why = str(error)
            made.shutdown()
    else:
        pytest.skip(f"Ray cannot start: {why}")
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.mark.slow
@needs_ray
def test_lost_actors_and_nodes_lose_no_chain(trained: Run, cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two nodes one dies in mid-run, and so does the other one's actor; a third node joins. All is in float32."""
    import ray

    engine = Session(trained).sampler("nat", f"ray@{cluster.address}")
    assert isinstance(engine, RaySampler)
    arriving = engine.sample(tasks(80), SAMPLING, seed="2")
    before = [next(arriving)]
    pool = engine._pool
    assert pool is not None
    while len(pool._actors) < 2 or not all(actor.delivered for actor in pool._actors):
        before.append(next(arriving))
    killed = set(pool._actors)
    (second,) = cluster.worker_nodes
    cluster.remove_node(second, allow_graceful=False)
    for actor in killed:
        if actor.node != second.node_id:
            ray.kill(actor.handle)
    cluster.add_node(num_cpus=1, node_name="third")
    by_node, wait = Counter[str](), pool.wait

    def counted() -> tuple[str, list[Chain], list[Task]]:
        name, chains, lost = wait()
        by_node[name] += len(chains)
        return name, chains, lost

    monkeypatch.setattr(pool, "wait", counted)
    found = keyed([*before, *arriving])
    assert not killed & set(pool._actors)
    assert by_node["first"], "the killed actor was replaced"
    assert by_node["third"], "the new node is used"
    assert_equal(found, keyed(Session(trained).sampler("nat", "hf").sample(tasks(80), SAMPLING, seed="2")))
    engine.close()
    assert not ray.is_initialized(), "the last sampler disconnects"


@pytest.mark.slow
@needs_ray
def test_the_error_of_an_actor_is_reported_as_it_is(trained: Run, cluster: Any) -> None:
    build = PackedModel(trained, trained.recipe, "base", "hf", Session)
    build._base = "another"
    packed = pack_model(trained, trained.recipe, "base")
    engine = RaySampler(Session(trained).prompter("base"), build, packed, cluster.address, RayResources(cpus=1))
    with pytest.raises(NsadError, match="another fingerprint") as error:
        list(engine.sample(tasks(2), SAMPLING, seed="4"))
    assert "same base" in error.value.fix
    engine.close()
    large = RaySampler(Session(trained).prompter("base"), build, packed, cluster.address, RayResources(cpus=3))
    with pytest.raises(NsadError, match="no node of the Ray cluster has room for an actor: an actor takes 3 cores"):
        list(large.sample(tasks(2), SAMPLING, seed="4"))
    large.close()


@pytest.mark.slow
@needs_ray
def test_a_command_starts_and_ends_a_cluster_of_its_own(trained: Run) -> None:
    home = trained.path.parent.parent
    evaluate = ("eval", "--run", "tiny", "--model", "nat", "--limit", "3", "--samples", "4", "--json")
    result = run_nsad(home, *evaluate, "--engine", "ray")
    if "Ray cannot start" in result.stderr:
        pytest.skip(result.stderr)
    assert result.returncode == 0, result.stderr
    left = [item for item in psutil.process_iter(["environ"]) if (item.info["environ"] or {}).get("HOME") == str(home)]
    assert not psutil.wait_procs(left, timeout=30)[1], "processes of the command are left"
    sampled = trained.chains_path.read_bytes()
    again = evaluate_run(trained, ["arithmetic:test"], ["nat"], limit=3, samples=4, engine="hf", stop_at=0.95, wave=1)
    assert trained.chains_path.read_bytes() == sampled, "the engine hf has the same chains, and samples none again"
    assert [row["accuracy"] for row in again["results"]] == [
        row["accuracy"] for row in json.loads(result.stdout)["results"]
    ]
