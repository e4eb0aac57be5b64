"""What is used of Optuna that it does not promise: its tables, and private names of its classes.
`check` looks for them when a search starts."""

# The tables are named in `search.study.database`, the other names in `search.study.mirror`, and
# none anywhere else; `tests/search/study/test_study_quirks.py` has a test for each. This file
# imports none of them: `doctor` says which are gone.

from __future__ import annotations

from search.private_names import PrivateName, complaints

TRIED = ("5.0", "5.0")  # the oldest and the newest Optuna

_MODELS = "optuna.storages._rdb.models"
_NO_TRIAL = "no trial can be written to the database, and no search begins"
# Columns by the table's class.
TABLES = {
    "TrialModel": "trial_id study_id number state datetime_start datetime_complete",
    "TrialParamModel": "trial_id param_name param_value distribution_json",
    "TrialValueModel": "trial_id objective value value_type",
    "TrialUserAttributeModel": "trial_id key value_json",
    "TrialSystemAttributeModel": "trial_id key value_json",
    "StudyUserAttributeModel": "study_id key value_json",
}

NAMES = (
    *(
        PrivateName(name=f"{_MODELS}:{table}.{column}", without=_NO_TRIAL)
        for table, columns in TABLES.items()
        for column in columns.split()
    ),
    PrivateName(name=f"{_MODELS}:TrialValueModel.value_to_stored_repr", without=_NO_TRIAL),
    PrivateName(
        name="optuna.storages._rdb.storage:_create_scoped_session",
        without="nothing can be read or written in one transaction, and no search begins",
    ),
    PrivateName(
        name="optuna.storages:RDBStorage.__init__",
        within="scoped_session",
        without="nothing can be read or written in one transaction, and no search begins",
    ),
    PrivateName(
        name="optuna.storages:RDBStorage._get_trials",
        without="a search with trials cannot be gone on with",
    ),
    PrivateName(
        name="optuna.storages:InMemoryStorage._get_trial",
        without="no trial can be written to the database, and a search ends at its first",
    ),
    PrivateName(
        name="optuna.storages:InMemoryStorage._set_trial",
        without="what was written is not held in short, and a search ends at its first trial",
    ),
    PrivateName(
        name="optuna.study:Study.__init__",
        within="_storage",
        without="a search ends at its first trial, whose cost cannot be noted",
    ),
    PrivateName(
        name="optuna.trial:Trial.__init__",
        within="_trial_id",
        without="a search ends at its first trial, whose cost cannot be noted",
    ),
    PrivateName(
        name="optuna.trial:FrozenTrial.__init__",
        within="_trial_id",
        without="a search ends at its first trial, whose row is not known",
    ),
)


def check() -> list[str]:
    """What is to be said of the Optuna that is installed: a sentence if its version was never
    tried, and one for each private name that it does not have."""
    return complaints("optuna", NAMES, TRIED, see="a resumed search has all its trials")
