"""What is used of Optuna and not promised by it, looked up in the Optuna that is installed."""

import ast
import inspect
import re

import optuna
import pytest
from command_line import ROOT
from optuna.storages import InMemoryStorage, RDBStorage
from optuna.storages._rdb import models
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.study import StudyDirection
from optuna.trial import TrialState
from sqlalchemy import inspect as columns_of

from search import private_names
from search.private_names import PrivateName
from search.study import quirks

HERE = ("database.py", "mirror.py", "quirks.py")  # who may name what is private to Optuna


@pytest.mark.parametrize("name", quirks.NAMES, ids=str)
def test_a_private_name_is_there(name):
    name.find()


# ---- the form that is relied on ----------------------------------------------------------------


@pytest.mark.parametrize("table", quirks.TABLES)
def test_a_table_has_the_columns_that_are_written_and_needs_no_other(table):
    """A column that is neither given nor has a default would be refused by the database."""
    known = set(quirks.TABLES[table].split())
    columns = columns_of(getattr(models, table)).columns
    assert known <= {c.key for c in columns}
    needed = {c.key for c in columns if not c.nullable and not c.primary_key and c.default is None}
    assert needed <= known


def test_a_session_is_one_transaction():
    storage = RDBStorage("sqlite:///:memory:")
    study = storage.create_new_study([StudyDirection.MINIMIZE], "one")

    def write(then):
        with _create_scoped_session(storage.scoped_session) as session:
            session.add(models.TrialModel(study_id=study, number=0, state=TrialState.RUNNING))
            session.flush()
            then()

    def fail():
        raise KeyError

    with pytest.raises(KeyError):
        write(fail)
    assert storage.get_n_trials(study) == 0
    write(dict)
    assert storage.get_n_trials(study) == 1


def test_trials_are_read_by_their_rows():
    storage = RDBStorage("sqlite:///:memory:")
    study = storage.create_new_study([StudyDirection.MINIMIZE], "one")
    rows = [storage.create_new_trial(study) for _ in range(3)]
    found = storage._get_trials(study, None, {rows[0], rows[2]}, 2**31 - 1)
    assert [trial._trial_id for trial in found] == [rows[0], rows[2]]
    parameters = list(inspect.signature(RDBStorage._get_trials).parameters)
    assert parameters == "self study_id states included_trial_ids trial_id_greater_than".split()


def test_a_trial_in_memory_is_replaced_by_another():
    storage = InMemoryStorage()
    study = optuna.create_study(storage=storage)
    number = study.ask()._trial_id
    other = optuna.trial.create_trial(value=1.0)
    other._trial_id = number
    storage._set_trial(number, other)
    assert storage._get_trial(number) is other
    assert study._storage is storage or study._storage._backend is storage


def test_values_are_stored_as_a_number_and_its_kind():
    stored = models.TrialValueModel.value_to_stored_repr
    assert stored(0.5) == (0.5, models.TrialValueModel.TrialValueType.FINITE)
    assert stored(float("inf"))[1] == models.TrialValueModel.TrialValueType.INF_POS


# ---- an Optuna that is not known ---------------------------------------------------------------


def test_the_installed_optuna_is_known():
    assert quirks.check() == []


@pytest.mark.parametrize("version", ["4.9.0", "5.1.0", "6.0.0.dev0"])
def test_a_version_that_was_never_tried_is_said(version, monkeypatch):
    monkeypatch.setattr(private_names.metadata, "version", lambda name: version)
    (said,) = quirks.check()
    assert said == (
        f"This vit-frontier was tried with optuna 5.0, here is {version}: see that a resumed "
        "search has all its trials."
    )


def test_a_name_that_is_gone_is_said_with_what_goes_wrong(monkeypatch):
    gone = PrivateName(name="optuna.storages._rdb.tables:Trial", without="no search begins")
    monkeypatch.setattr(quirks, "NAMES", (gone,))
    (said,) = quirks.check()
    assert said.endswith("has no optuna.storages._rdb.tables:Trial: no search begins.")


# ---- nothing else is used ----------------------------------------------------------------------


def uses(file):
    """Names in a file that Optuna's classes have and do not promise, and its private modules."""
    of_optuna = {
        name
        for kind in (RDBStorage, InMemoryStorage, optuna.Study, optuna.Trial)
        for name in dir(kind)
        if re.match(r"_[a-z]", name)
    } | {"_storage", "_trial_id", "_create_scoped_session"}
    tree = ast.parse(file.read_text(encoding="utf-8"))
    own = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            of_models = getattr(node.value, "id", None) == "models"
            yield from [node.attr] if of_models or node.attr in of_optuna - own else []
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("optuna."):
            yield from (a.name for a in node.names if "._" in f"{node.module}.{a.name}")


def test_no_other_file_names_what_is_private_to_optuna_and_all_that_is_named_is_listed():
    listed = " ".join(f"{name.name} {name.within or ''}" for name in quirks.NAMES)
    words = set(re.findall(r"\w+", listed))
    for file in sorted((ROOT / "search").rglob("*.py")):
        found = set(uses(file))
        if file.parent.name != "study" or file.name not in HERE:
            assert not found, f"{file}: {found}"
        assert found <= words, f"{file}: {found - words} are not listed in quirks.py"
