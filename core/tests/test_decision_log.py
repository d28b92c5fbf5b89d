"""A decision log whose disk is slower than the decisions."""

import os
import threading

import pytest

from formal_cluster.decision_log import DecisionLog
from formal_cluster.model import Decision, Stage


@pytest.mark.slow
def test_decisions_that_find_no_room_are_left_out_and_told(tmp_path, caplog):
    path = tmp_path / "decisions"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    log = DecisionLog(path, "a")
    decided = 0
    while "decisions missing from the log" not in caplog.messages:
        log.append(Decision(str(decided), Stage.PRE_REQUEST, None), {}, 0.0)
        decided += 1

    os.set_blocking(reader, True)
    kept: list[bytes] = []
    with os.fdopen(reader, "rb") as pipe:
        drain = threading.Thread(target=lambda: kept.extend(pipe))
        drain.start()
        log.close()
        drain.join()
    assert decided - 1 == len(kept)
