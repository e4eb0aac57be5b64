"""What `flops` says of names."""

import json

from search.commands.look import flops
from space import NAMED, count_flops, count_params


def test_list_counts_every_name_cheapest_first(capsys):
    flops("list")
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines} == set(NAMED)
    counts = [int(line.split()[1].replace(",", "")) for line in lines]
    assert counts == sorted(counts)


def test_list_as_json(capsys):
    flops("list", as_json=True)
    counts = json.loads(capsys.readouterr().out)
    assert counts == {
        name: {"flops": count_flops(a), "params": count_params(a)} for name, a in NAMED.items()
    }
