"""What is used of Ray and Tune and not promised by them, looked up in the Ray that is installed."""

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import ray
from command_line import ROOT
from ray import exceptions
from ray._private import parameter, services, state, utils, worker
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.core.generated.common_pb2 import ActorDiedErrorContext
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial

from search import private_names
from search.cluster import quirks
from search.private_names import PrivateName

RAY = Path(ray.__file__).parent


@pytest.mark.parametrize("name", quirks.NAMES, ids=str)
def test_a_private_name_is_there(name):
    name.find()


@pytest.mark.parametrize("sentence", quirks.SENTENCES, ids=lambda sentence: sentence.text)
def test_a_sentence_that_is_looked_for_is_still_said(sentence):
    assert sentence.text.encode() in (RAY / sentence.file).read_bytes(), sentence.without


@pytest.mark.parametrize("variable", [*quirks.ENVIRONMENT, quirks.GIVES_UP[0]])
def test_a_variable_is_still_read(variable):
    name = variable.removeprefix("RAY_" if variable[4].islower() else "").encode()
    files = [f for f in RAY.rglob("*.py") if "tests" not in f.parts]
    assert any(name in f.read_bytes() for f in [*files, RAY / "_raylet.so"])


# ---- the form that is relied on ----------------------------------------------------------------


def test_ray_looks_up_what_is_replaced_in_its_modules_each_time():
    """What replaces a function is seen by its callers only if none has a copy of it."""
    assert "ray._private.utils.set_sigterm_handler(" in inspect.getsource(worker.init)
    assert "    print_to_stdstream(" in inspect.getsource(worker.listen_error_messages)
    assert "process = ConsolePopen(" in inspect.getsource(services.start_ray_process)
    assert utils.detect_fate_sharing_support() in (True, False)
    assert issubclass(services.ConsolePopen, subprocess.Popen)


def test_handlers_and_printers_are_replaced_by_ones_that_take_what_ray_gives_them():
    assert list(inspect.signature(utils.set_sigterm_handler).parameters) == ["sigterm_handler"]
    assert "data" in inspect.signature(worker.print_to_stdstream).parameters


def test_a_raylet_that_starts_slowly_is_waited_for_unless_a_process_of_rays_ended(monkeypatch):
    assert "ray._private.services.get_node(" in inspect.getsource(ray._private.node.Node.__init__)
    answers = [RuntimeError("no such node"), RuntimeError("no such node"), {"labels": {}}]

    def get_node(gcs_address, node_id):
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(services, "get_node", get_node)
    with quirks.patience_with_the_raylet():
        assert services.get_node("127.0.0.1:1", "00") == {"labels": {}}
        services.ConsolePopen([sys.executable, "-c", ""]).wait()
        answers.append(RuntimeError("no such node"))
        with pytest.raises(RuntimeError, match="no such node"):
            services.get_node("127.0.0.1:1", "00")
    assert services.get_node is get_node


def test_the_raylet_is_told_the_ports_that_it_would_wait_for(tmp_path):
    from ray._raylet import DASHBOARD_AGENT_LISTEN_PORT_NAME, wait_for_persisted_port

    assert "ray._private.parameter.RayParams(" in inspect.getsource(worker.init)
    raylet, node = tmp_path / "raylet", "ab" * 28
    raylet.symlink_to("/bin/true")
    with quirks.patience_with_the_raylet():
        told = parameter.RayParams(metrics_export_port=None, num_cpus=1)
        words = [str(raylet), f"--node_id={node}", f"--session_dir={tmp_path}", "word"]
        services.ConsolePopen(words).wait()
    name = DASHBOARD_AGENT_LISTEN_PORT_NAME
    port = wait_for_persisted_port(str(tmp_path), node, name, timeout_ms=0)
    assert port == told.dashboard_agent_listen_port
    ports = [getattr(told, name) for name in quirks.AGENT_PORTS]
    assert len(set(ports)) == 4
    assert all(20_000 <= port < 32_000 for port in ports)
    assert parameter.RayParams(num_cpus=1).metrics_agent_port is None


def test_why_an_actor_died_is_told_in_numbers_that_have_these_names():
    reasons = {"OUT_OF_SCOPE", "REF_DELETED", "NODE_DIED", "WORKER_DIED"}
    assert reasons <= set(ActorDiedErrorContext.Reason.keys())
    assert "actor_id" in inspect.signature(state.actors).parameters


def test_a_lost_actor_is_named_as_it_is_read():
    context = ActorDiedErrorContext(actor_id=bytes(range(16)), class_name="Worker")
    found = quirks.ACTOR.search(str(exceptions.ActorDiedError(context)))
    assert found
    assert found[1] == bytes(range(16)).hex()


def test_an_actor_that_broke_as_it_was_made_could_not_start():
    cause = exceptions.RayTaskError("setup", "a traceback", ValueError("no images"))
    assert quirks.meaning(str(exceptions.ActorDiedError(cause))) == "unstarted"


def test_a_lost_result_means_a_lost_machine():
    lost = exceptions.ObjectLostError("00" * 28, "10.0.0.1:1", "train()")
    assert quirks.meaning(str(lost)) == "machine"


def test_the_first_sentence_that_is_known_counts_and_others_mean_nothing():
    assert quirks.meaning("its node died while it was running low on memory") == "machine"
    assert quirks.meaning("killed: the node was running low on memory") == "memory"
    assert quirks.meaning("The actor is dead because all references to it were removed") is None
    assert quirks.meaning(quirks.REFUSED.text) is None


def test_tune_takes_only_lost_actors_and_failed_tasks_without_ending_the_search(monkeypatch):
    """So a worker killed for its memory is handed on as a lost actor."""
    heard = []
    monkeypatch.setattr(RayActorManager, "_actor_task_failed", lambda *told: heard.append(told[2]))
    quirks.take_all_losses_for_lost_workers()
    quirks.take_all_losses_for_lost_workers()  # the second time changes nothing
    given = [
        exceptions.OutOfMemoryError("running low on memory"),
        exceptions.RayActorError(error_msg="lost"),
        ValueError("no error of Ray's"),
    ]
    for error in given:
        RayActorManager._actor_task_failed(None, None, error)
    assert type(heard[0]) is exceptions.RayActorError
    assert quirks.meaning(str(heard[0])) == "memory"
    assert heard[1:] == given[1:]


def test_the_original_hands_on_nothing_but_lost_actors_and_failed_tasks():
    code = inspect.getsource(RayActorManager._actor_task_failed)
    assert re.findall(r"isinstance\(exception, (\w+)\)", code) == ["RayActorError", "RayTaskError"]
    parameters = list(inspect.signature(RayActorManager._actor_task_failed).parameters)
    assert parameters == ["self", "tracked_actor_task", "exception"]


def test_what_tune_knows_of_trials_has_the_form_that_is_read():
    """By trial its actor; by actor a pair, the handle first."""
    assert "_trial_to_actor: Dict[Trial, TrackedActor]" in inspect.getsource(TuneController)
    code = inspect.getsource(RayActorManager)
    assert re.search(r"_live_actors_to_ray_actors_resources: Dict\[\s*TrackedActor, Tuple\[", code)
    assert Trial.PENDING == "PENDING"


def test_trials_that_wait_and_their_actors_are_read():
    waiting, starting, running = (
        SimpleNamespace(status=status) for status in (Trial.PENDING, Trial.PENDING, "RUNNING")
    )
    controller = SimpleNamespace(
        get_live_trials=lambda: [waiting, starting, running],
        _trial_to_actor=(held := _ById()),
        _actor_manager=SimpleNamespace(
            _live_actors_to_ray_actors_resources={"first": ("handle", "resources")}
        ),
    )
    held.pairs = [(starting, "second"), (running, "first")]
    assert quirks.waiting_trials(controller) == [waiting, starting]
    assert list(quirks.actors_of(controller).values()) == [None, "handle"]


class _ById:
    """Items of a dict whose keys need no hash."""

    def items(self):
        return [(id(key), value) for key, value in self.pairs]


def test_what_tune_keeps_of_a_trial_can_be_emptied(tmp_path):
    trial = Trial("made_up", stub=True)
    trial.update_last_result({"accuracy": 0.5, "training_iteration": 1})
    assert trial.metric_analysis
    quirks.forget_statistics(trial)
    assert not trial.metric_analysis
    assert not trial.metric_n_steps
    assert quirks.actor_of(trial) is None
    assert quirks.error_text(SimpleNamespace(error_file=None)) is None  # as after a good end


def test_an_error_of_rays_own_has_no_number():
    assert quirks.is_of_ray(OSError("the raylet is gone"))
    assert not quirks.is_of_ray(OSError(28, "No space left on device"))
    assert not quirks.is_of_ray(ValueError("no"))


# ---- a Ray that is not known -------------------------------------------------------------------


def test_the_installed_ray_is_known():
    assert quirks.check() == []


@pytest.mark.parametrize("version", ["2.44.1", "2.61.0", "3.0.0.dev0"])
def test_a_version_that_was_never_tried_is_said(version, monkeypatch):
    monkeypatch.setattr(private_names.metadata, "version", lambda name: version)
    (said,) = quirks.check()
    assert f"was tried with ray 2.45 to 2.60, here is {version}" in said


@pytest.mark.parametrize(
    ("name", "within"),
    [
        ("ray._private.utils:no_such_name", None),
        ("ray.no_such_module:name", None),
        ("ray.tune:run", "_no_such_argument"),
    ],
)
def test_a_name_that_is_gone_is_said_with_what_goes_wrong(name, within, monkeypatch):
    gone = PrivateName(name=name, within=within, without="workers are not heard of")
    monkeypatch.setattr(quirks, "NAMES", (gone,))
    (said,) = quirks.check()
    assert f"has no {gone}: workers are not heard of." in said


def test_no_other_file_of_the_cluster_names_what_is_private_to_ray():
    """Underscored names of Ray's, and modules below one, are written in quirks alone."""
    private = {name.name.split(":")[1].split(".")[-1] for name in quirks.NAMES if not name.within}
    private |= {name.within for name in quirks.NAMES if name.within}
    private -= {"run", "__init__"}
    for file in sorted((ROOT / "search").rglob("*.py")):
        if file.name == "quirks.py":
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute):
                assert node.attr not in private, f"{file}: {node.attr}"
            elif isinstance(node, ast.ImportFrom):
                assert not re.search(r"^ray\.(.*\.)?_", node.module or ""), f"{file}: {node.module}"
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    assert not re.search(r"^ray\.(.*\.)?_", alias.name), f"{file}: {alias.name}"


SAYS = """
import sys
from rich.console import Console
from search.cluster import quirks
from search.study import quirks as optuna_quirks
quirks.TRIED, optuna_quirks.TRIED = ("2.45", "2.46"), ("4.0", "4.1")
from search.commands.app import main
main()
"""


@pytest.mark.slow
def test_a_search_says_once_that_its_ray_and_its_optuna_were_never_tried(tmp_path):
    words = (
        "search", "--budget", "1M", "--trials", 1, "--epochs", 1, "--train-samples", 64,
        "--no-baselines", "--workers", 1, "--out", tmp_path / "run",
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", SAYS, *map(str, words)], cwd=ROOT, capture_output=True, text=True,
        timeout=200, check=False,
    )  # fmt: skip
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 0, said
    assert said.count("was tried with ray 2.45 to 2.46") == 1
    assert said.count("was tried with optuna 4.0 to 4.1") == 1
