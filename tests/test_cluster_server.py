"""A PostgreSQL server on another host that falls silent. Run by `make cluster-test`."""

import sys

import hosts
import pytest
from test_server import binaries

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(hosts.why_not() is not None, reason=str(hosts.why_not())),
    pytest.mark.skipif(binaries() is None, reason="needs PostgreSQL's initdb"),
]
SERVER = """
mkdir /tmp/pg && chown nobody /tmp/pg && cd /tmp/pg &&
exec setpriv --reuid=nobody --regid=$(id -g nobody) --clear-groups bash -c '
{bin}/initdb -D data -U searcher --encoding=UTF8 --locale=C --no-sync &&
echo "host all all 10.77.0.0/24 trust" >> data/pg_hba.conf &&
exec {bin}/postgres -D data -k /tmp/pg -c listen_addresses=* -c fsync=off'
"""
WRITER = """
import sys, time
from pathlib import Path
from test_storage import assert_whole, epoch, settings
from search.study.ledger import Ledger
from search.study.patience import Patience
from search.study.storage import open_study
say = Patience(say=lambda text: print(text, flush=True))
few = settings(trials=60)
ledger = Ledger(open_study(Path("/tmp"), "silent", sys.argv[1], say), few)
while (live := ledger.ask()) is not None:
    ledger.report(live.trial.number, epoch(0.5))
    ledger.complete(live.trial.number)
    print(f"[{len(ledger.finished)}]", flush=True)
    time.sleep(0.2)
assert_whole(Ledger(open_study(Path("/tmp"), "silent", sys.argv[1]), few), 60)
print("whole")
"""


def test_a_server_whose_host_falls_silent_is_waited_for(tmp_path):
    """Nothing is closed and nothing refused: packets vanish, and come through again later."""
    pytest.importorskip("psycopg")
    made = hosts.Hosts()
    try:
        home, driver = made.add(), made.add()
        log, said = tmp_path / "server", tmp_path / "writer"
        server = home.start("bash", "-c", SERVER.format(bin=binaries()), log=log)
        hosts.wait_until(lambda: "is ready to accept" in log.read_text(), 60, log.read_text, server)
        url = f"postgresql+psycopg://searcher@{home.address}/postgres"
        writer = driver.start(
            sys.executable,
            "-c",
            WRITER,
            url,
            log=said,
            PYTHONPATH=hosts.SUPPORT,
        )
        hosts.wait_until(lambda: "[10]" in said.read_text(), 60, said.read_text, writer)
        home.unplug()
        hosts.wait_until(lambda: "does not answer" in said.read_text(), 90, said.read_text, writer)
        home.plug()
        assert writer.wait(timeout=120) == 0, said.read_text()
        assert "answers again" in said.read_text()
        assert said.read_text().endswith("whole\n")
    finally:
        made.close()
