"""What was measured of networks: kept, added to, and how truly FLOPs rank it."""

import numpy as np
import pytest

from results.latency import (
    by_device,
    device_text,
    flops_agreement,
    latencies,
    misled,
    read_profile,
    said_of,
    write_profile,
)


def row(trial, flops, seconds, **changes):
    known = {
        "trial": trial, "flops": flops, "host": "here", "device": "cpu", "name": "a processor",
        "threads": 1, "compiled": False, "batch_size": 64, "seconds": seconds,
        "low": 0.98 * seconds, "high": 1.02 * seconds, "runs": 9, "images_per_second": 1 / seconds,
        "peak_bytes": 1000,
    }  # fmt: skip
    return known | changes


def test_rows_are_added_and_those_of_the_same_network_replaced(tmp_path):
    write_profile(tmp_path, [row(1, 100, 0.1), row(2, 200, 0.2)])
    write_profile(tmp_path, [row(2, 200, 0.3), row(2, 200, 0.1, compiled=True)])
    rows = read_profile(tmp_path)
    assert [(r["trial"], r["seconds"]) for r in rows] == [(1, 0.1), (2, 0.3), (2, 0.1)]
    assert (tmp_path / "profile.csv").read_text().splitlines()[0].startswith("trial,flops,host")
    assert latencies(rows) == {1: 0.1, 2: 0.3}
    assert latencies(rows, device="cuda:0") == {}


def test_a_broken_file_is_told(tmp_path):
    (tmp_path / "profile.json").write_text('{"rows": [{"trial": 1}]}')
    with pytest.raises(ValueError, match=r"profile.json' must be as .* Remove it and measure"):
        read_profile(tmp_path)
    assert read_profile(tmp_path / "elsewhere") == []


def test_agreement_is_one_where_flops_tell_all_and_covers_zero_where_they_tell_nothing():
    rng = np.random.default_rng(0)
    told = [row(i, 100 + i, 0.001 * (i + 1)) for i in range(20)]
    assert flops_agreement(told).value == 1.0
    nothing = [row(i, 100 + i, float(s)) for i, s in enumerate(rng.permutation(20) + 1.0)]
    found = flops_agreement(nothing)
    assert found.low < 0 < found.high
    assert flops_agreement(told[:11]) is None


def test_a_network_that_is_slower_with_fewer_flops_is_named():
    rows = [row(1, 1000, 0.004), row(2, 2000, 0.001), row(3, 3000, 0.0039)]
    assert [(c["trial"], d["trial"]) for c, d in misled(rows)] == [(1, 2)]
    said = said_of(rows)
    assert "is told of 12 networks or more; these are 3" in said[0]
    assert "trial 1 of 1 kFLOPs takes 4 ms, trial 2 of 2 kFLOPs 1 ms" in said[1].replace(".00", "")


def test_equal_devices_of_several_hosts_count_once_and_others_apart():
    rows = [row(1, 100, 0.1), row(1, 100, 0.1, host="there"), row(2, 200, 0.2)]
    rows += [row(1, 100, 0.3, name="another processor"), row(None, 100, 0.1)]
    groups = by_device(rows)
    assert [[r["seconds"] for r in group] for group in groups] == [[0.1, 0.2], [0.3]]
    assert device_text(rows[0]) == "cpu (a processor, 1 thread)"
