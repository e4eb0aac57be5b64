"""The peer of early stopping: what dominated ranks make a pruner of Optuna's do."""

from optuna.pruners import MedianPruner

from benchmarks.pareto_rank import ParetoRank


def told(rule, trial, flops, accuracies):
    """The epochs that were trained."""
    for epoch, accuracy in enumerate(accuracies, start=1):
        if not rule.report(trial, flops=flops, epoch=epoch, accuracy=accuracy):
            return epoch
    return len(accuracies)


def test_what_the_front_dominates_is_stopped_and_what_joins_it_is_not():
    rule = ParetoRank(MedianPruner(n_startup_trials=3), max_epochs=4)
    for trial, flops in enumerate((10, 20, 30, 40)):  # a front: each dearer and better
        assert told(rule, trial, flops, [0.1 + flops / 100] * 4) == 4
    assert told(rule, 4, 50, [0.05] * 4) == 1
    assert told(rule, 5, 5, [0.05] * 4) == 4
