"""How few trainings find the frontier: Syne Tune's and Archai's searchers beside ours, on a table.

    pip install 'syne-tune[botorch]' archai     # in an environment of their own
    python benchmarks/peers.py [--table FILE.json] [--seeds 10] [--searchers NAMES]

As in `search_efficiency`, over-budget and known proposals cost nothing. Each searcher is as
released, with its defaults but for what is said at `SEARCHERS`. A package that is not installed is
named and left out. Prints a table and one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from importlib import metadata
from typing import Any

import numpy as np
from search_efficiency import MACRO, REJECTS, header, load_table, row_of, summarise
from search_efficiency import search as search_by_optuna

from benchmarks.tabular import Table, TableProblem

EVALUATIONS = 100


class Enough(Exception):  # noqa: N818
    """So many networks were trained."""


class Trainings:
    """What a searcher has trained: `rows` of the table in order, and what came out."""

    def __init__(self, table: Table, seed: int) -> None:
        self.table, self._rng = table, np.random.default_rng((seed, 99))
        self.rows: list[int] = []
        self._accuracies: dict[int, float] = {}

    def accuracy(self, row: int) -> float:
        """Of that row, trained now if it was not before. Raises Enough after the last."""
        if row not in self._accuracies:
            runs = self.table.accuracy[row]
            self._accuracies[row] = float(runs[self._rng.integers(len(runs))])
            self.rows.append(row)
            if len(self.rows) == min(EVALUATIONS, len(self.table.fitting)):
                raise Enough
        return self._accuracies[row]

    def log_cost(self, row: int) -> float:
        """How far below the budget, as a negative number."""
        return float(np.log10(self.table.cost[row] / self.table.budget))


def syne_tune(make: Callable[[dict[str, Any], int], Any]) -> Callable[[Trainings, int], None]:
    """A multi-objective scheduler of Syne Tune, which minimises and knows no constraints.

    Its EHVI has the point (2, 2) of what it maximises for a reference, so both objectives are
    shifted to have the true one there; what is over budget is told to have the accuracy of it."""

    def run(trainings: Trainings, seed: int) -> None:
        from syne_tune.config_space import choice, randint
        from syne_tune.optimizer.schedulers.ask_tell_scheduler import AskTellScheduler

        logging.getLogger().setLevel(logging.ERROR)
        table, problem = trainings.table, TableProblem(trainings.table)
        space = {
            name: randint(d.low, d.high) if hasattr(d, "low") else choice(list(d.choices))
            for name, d in problem.distributions.items()
        }
        scheduler = AskTellScheduler(make(space, seed))
        rng, rejected = np.random.default_rng((seed, 98)), 0
        while True:
            trial = scheduler.ask()
            row = problem.decode(trial.config)
            if rejected and rejected % REJECTS == 0:  # as a free trial: these know no other way
                row = int(rng.choice(np.setdiff1d(table.fitting, trainings.rows)))
                trial.config.update(problem.encode(row))
                getattr(scheduler.base_scheduler.searcher, "trial_configs", {}).update(
                    {trial.trial_id: dict(trial.config)}
                )
            known = row in trainings.rows
            fits = problem.fits(row)
            seen = trainings.accuracy(row) if fits else table.reference_accuracy
            rejected = rejected + 1 if known or not fits else 0
            told = {
                "error": -2.0 - (seen - table.reference_accuracy) / (1 - table.reference_accuracy),
                "cost": -2.0 + trainings.log_cost(row),
            }
            scheduler.tell(trial, told)

    return run


def ehvi(space: dict[str, Any], seed: int) -> Any:
    from syne_tune.optimizer.baselines import EHVI

    return EHVI(space, metrics=["error", "cost"], do_minimize=True, random_seed=seed)


def evolution(space: dict[str, Any], seed: int) -> Any:
    from syne_tune.optimizer.schedulers.multiobjective import MultiObjectiveRegularizedEvolution
    from syne_tune.optimizer.schedulers.single_fidelity_scheduler import SingleFidelityScheduler

    searcher = MultiObjectiveRegularizedEvolution(
        space, population_size=20, sample_size=5, random_seed=seed
    )
    return SingleFidelityScheduler(
        space, metrics=["error", "cost"], do_minimize=True, searcher=searcher, random_seed=seed
    )


def overriding(method: Any) -> Any:
    """Marks a method as Archai asks for; its own decorator fails on Python 3.11."""
    method.__override__ = True
    return method


def archai(make: Callable[..., Any]) -> Callable[[Trainings, int], None]:
    """A searcher of Archai. It knows that the cost is cheap and has a bound."""

    def run(trainings: Trainings, seed: int) -> None:
        from archai.discrete_search.api import ArchaiModel, SearchObjectives
        from archai.discrete_search.api.model_evaluator import ModelEvaluator
        from archai.discrete_search.api.search_results import SearchResults
        from archai.discrete_search.api.search_space import (
            BayesOptSearchSpace,
            EvolutionarySearchSpace,
        )

        table, problem = trainings.table, TableProblem(trainings.table)
        rng = np.random.default_rng((seed, 97))
        logging.disable(logging.WARNING)
        # Pictures and files after every round, which nobody looks at.
        SearchResults.save_all_2d_pareto_evolution_plots = lambda *_: None
        SearchResults.save_search_state = lambda *_: None
        SearchResults.save_pareto_frontier_models = lambda *_, **__: None

        def model(row: int) -> Any:
            return ArchaiModel(row, str(row))

        class Space(EvolutionarySearchSpace, BayesOptSearchSpace):
            @overriding
            def random_sample(self) -> Any:
                return model(problem.sample(rng))

            @overriding
            def mutate(self, arch: Any) -> Any:
                return model(problem.mutate(int(arch.archid), rng))

            @overriding
            def crossover(self, arch_list: Any) -> Any:
                return model(problem.crossover(*(int(a.archid) for a in arch_list), rng))

            @overriding
            def encode(self, arch: Any) -> Any:
                return table.features[int(arch.archid)]

            @overriding
            def save_arch(self, model: Any, file_path: str) -> None: ...
            @overriding
            def load_arch(self, file_path: str) -> Any: ...
            @overriding
            def save_model_weights(self, model: Any, file_path: str) -> None: ...
            @overriding
            def load_model_weights(self, model: Any, file_path: str) -> None: ...

        class Accuracy(ModelEvaluator):
            @overriding
            def evaluate(self, arch: Any, budget: Any = None) -> float:
                return trainings.accuracy(int(arch.archid))

        class Cost(ModelEvaluator):
            @overriding
            def evaluate(self, arch: Any, budget: Any = None) -> float:
                return trainings.log_cost(int(arch.archid))

        objectives = SearchObjectives()
        objectives.add_objective("accuracy", Accuracy(), higher_is_better=True)
        objectives.add_objective(
            "cost", Cost(), higher_is_better=False, compute_intensive=False, constraint=(-99, 0)
        )
        with tempfile.TemporaryDirectory() as folder:
            searcher = make(Space(), objectives, folder, num_iters=10 * EVALUATIONS, seed=seed)
            searcher.search()

    return run


def pareto_evolution(*args: Any, **options: Any) -> Any:
    from archai.discrete_search.algos import EvolutionParetoSearch

    return EvolutionParetoSearch(*args, **options)


def bananas(*args: Any, **options: Any) -> Any:
    from archai.discrete_search.algos import MoBananasSearch
    from archai.discrete_search.predictors.dnn_ensemble import PredictiveDNNEnsemble

    surrogate = PredictiveDNNEnsemble(device="cpu")
    return MoBananasSearch(*args, surrogate_model=surrogate, **options)


SEARCHERS: dict[str, tuple[str, Callable[[Trainings, int], None] | str]] = {
    "syne-tune EHVI": ("syne-tune", syne_tune(ehvi)),
    # A population of 20, of which 5 are drawn: with its default of 100, a hundred are random.
    "syne-tune MO-REA": ("syne-tune", syne_tune(evolution)),
    "archai Pareto evolution": ("archai", archai(pareto_evolution)),
    "archai MO-BANANAS": ("archai", archai(bananas)),
    "random": ("optuna", "random"),
    "frontier": ("optuna", "frontier"),
}


def one_search(job: tuple[Table, str, int]) -> list[float]:
    """Share of the best hypervolume after each training."""
    import contextlib
    import io

    import optuna
    import torch

    table, name, seed = job
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    # Syne Tune's EHVI mixes its doubles with torch's default, which BoTorch 0.18 refuses.
    torch.set_default_dtype(torch.float64 if name == "syne-tune EHVI" else torch.float32)
    np.random.seed(seed)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    how = SEARCHERS[name][1]
    if isinstance(how, str):
        rows = search_by_optuna(table, how, seed=seed, workers=1, evaluations=EVALUATIONS)[0]
    else:
        trainings = Trainings(table, seed)
        with contextlib.suppress(Enough), contextlib.redirect_stderr(io.StringIO()):
            how(trainings, seed)
        rows = trainings.rows
    best = table.hypervolume(table.fitting)
    curve = [table.hypervolume(rows[: n + 1]) / best for n in range(len(rows))]
    # One that has nothing more to propose keeps what it has.
    return curve + curve[-1:] * (min(EVALUATIONS, len(table.fitting)) - len(curve))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", default=str(MACRO), help="JSON file, or synthetic:SEED")
    parser.add_argument("--budget", type=float, default=60e6)
    parser.add_argument("--reference", type=float, default=0.85)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--searchers", default=",".join(SEARCHERS))
    options = parser.parse_args()
    table = load_table(options.table, options.budget, options.reference)
    versions: dict[str, str] = {}
    results: dict[str, Any] = {}
    print(f"{table.name}: {len(table.fitting)} of {len(table.items)} items fit the budget")
    print(header())
    with ProcessPoolExecutor(options.processes) as pool:
        for name in options.searchers.split(","):
            package = SEARCHERS[name][0]
            try:
                versions[package] = metadata.version(package)
            except metadata.PackageNotFoundError:
                print(f"{name:24s} left out: {package} is not installed")
                continue
            jobs = [(table, name, seed) for seed in range(options.seeds)]
            results[name] = summarise(np.array(list(pool.map(one_search, jobs))), float("nan"))
            print(row_of(name, results[name]), flush=True)
    kept = {
        n: {k: v for k, v in r.items() if k in ("share", "reached")} for n, r in results.items()
    }
    report = {"benchmark": "peers", "table": table.name, "seeds": options.seeds}
    print(json.dumps(report | {"versions": versions, "searchers": kept}))


if __name__ == "__main__":
    main()
