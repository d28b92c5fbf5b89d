"""The demonstration, step by step, as it is told.

The minute of `sensitive-bucket` starts with alice's first read. The checks that need her blocked
are valid until its end: on a machine too slow for them a failed one is not held against the
product, and is not counted as a success either.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from formal_cluster_demo.errors import DemoError
from formal_cluster_demo.instance import Connector
from formal_cluster_demo.polling import poll
from formal_cluster_demo.process_table import is_running, naming
from formal_cluster_demo.report import Report
from formal_cluster_demo.site import Site
from formal_cluster_demo.step import Step

LIMIT = 5
SENSITIVE, SHORT, JOURNAL = "sensitive-bucket", "short-window", "journal"
_SHORT_WINDOW_S = 10.0
_CLOCK_TOLERANCE_S = 0.1


def one_cluster(site: Site, step: Step) -> None:
    """Three instances form one cluster."""
    site.start()
    step.did(f"started moto's S3 server at {site.upstream}")
    for connector in site.connectors:
        step.did(
            f"started {connector.name} at {connector.url}, "
            f"with its own etcd on {connector.address}:2379 and :2380"
        )
    views = poll(lambda: _views(site.connectors), _three_voters, within_s=40)
    step.show_members("now", views[0])
    step.check("states", expected=["clustered"] * 3, seen=_each(views, "state"))
    step.check("voters that each one sees", expected=[3, 3, 3], seen=[_voters(v) for v in views])
    ids = {view.get("cluster_id") for view in views}
    step.check("they name one cluster", expected=True, seen=len(ids) == 1 and None not in ids)
    site.cluster_id = views[0].get("cluster_id")
    if not _three_voters(views):
        why = (f"{v['self']} is {v['state']}: {v['reason']}" for v in views if "self" in v)
        raise DemoError("the cluster did not form; " + "; ".join(why))
    for bucket in (SENSITIVE, SHORT, JOURNAL):
        site.traffic.fill_bucket("admin", site.connectors[0].url, bucket)
    step.did(f"created the buckets {SENSITIVE}, {SHORT} and {JOURNAL} with an object each")


def one_limit(site: Site, step: Step) -> None:
    """Five reads a minute, whichever instances serve them."""
    a, b, c = site.connectors
    site.alice_begins()
    step.did(f"alice reads {SENSITIVE} five times, through alternating instances")
    route = [a, b, c, a, b]
    seen = [_told(x, site.read("alice", x, SENSITIVE).status) for x in route]
    step.check("five reads", expected=[_told(x, 200) for x in route], seen=seen)
    step.did("her sixth read, tried on every instance")
    answers = [site.read("alice", x, SENSITIVE) for x in (c, a, b)]
    step.check(
        "the sixth, everywhere",
        expected=[_told(x, "403 AccessDenied") for x in (c, a, b)],
        seen=[_told(x, f"{y.status} {y.code}") for x, y in zip((c, a, b), answers, strict=True)],
        valid_until=site.block_ends,
    )
    step.check("the message", expected="Blocked by Formal policy.", seen=answers[0].message)
    _check_count_intact(site, step, site.connectors)
    bob = [_told(x, site.read("bob", x, SENSITIVE).status) for x in site.connectors]
    step.check("bob", expected=[_told(x, 200) for x in site.connectors], seen=bob)
    other = [_told(x, site.read("alice", x, JOURNAL).status) for x in site.connectors]
    step.check(f"alice on {JOURNAL}", expected=[_told(x, 200) for x in site.connectors], seen=other)


def one_killed(site: Site, step: Step) -> None:
    """One instance is killed; the others go on with the same counts."""
    before = site.connectors[0].view()
    step.show_members("before", before)
    victim = next((x for x in site.connectors if x.name == before["leader"]), site.connectors[0])
    survivors = [x for x in site.connectors if x is not victim]
    killed = victim.kill()
    site.killed = victim
    started = time.monotonic()
    names = ", ".join(f"{name} (pid {pid})" for pid, name in killed.items())
    step.did(f"SIGKILL to {victim.name}, the leader: {names}")
    step.check("etcd was among them", expected=True, seen="etcd" in killed.values())
    gone = poll(lambda: not any(map(is_running, killed)), bool, within_s=5, every_s=0.01)
    step.check("they are gone", expected=True, seen=gone)
    statuses = [_told(x, site.read("alice", x, SENSITIVE).status) for x in survivors]
    step.check(
        "alice, at once",
        expected=[_told(x, 403) for x in survivors],
        seen=statuses,
        valid_until=site.block_ends,
    )
    seconds = time.monotonic() - started
    step.check("answered within", expected="5 s", seen=f"{seconds:.1f} s", held=seconds <= 5)
    views = poll(lambda: _views(survivors), lambda all_: _have_lost(all_, victim), within_s=20)
    step.show_members("after", views[0])
    step.check(
        f"{victim.name}'s health", expected=[False, False], seen=[_health(v, victim) for v in views]
    )
    step.check("states", expected=["clustered"] * 2, seen=_each(views, "state"))
    _check_count_intact(site, step, survivors)
    step.did(f"carol, seen for the first time, reads {JOURNAL} through the two in turn")
    counts = [site.read("carol", x, JOURNAL).last_minute for x in survivors * 2]
    step.check("her count goes up", expected=[1, 2, 3, 4], seen=counts)


def one_comes_back(site: Site, step: Step) -> None:
    """It comes back with an empty disk, catches up and blocks alice too."""
    returned = site.killed
    if returned is None:
        raise DemoError("nothing was killed, so nothing can come back")
    returned.wipe()
    returned.start(site.processes, site.upstream)
    step.did(f"removed {returned.data_dir} and started {returned.name} again")
    views = poll(lambda: _views(site.connectors), _three_voters, within_s=50)
    step.show_members("now", returned.view())
    step.check("states", expected=["clustered"] * 3, seen=_each(views, "state"))
    step.check("voters that each one sees", expected=[3, 3, 3], seen=[_voters(v) for v in views])
    ids = _each(views, "cluster_id")
    step.check("the cluster is the same one", expected=[site.cluster_id] * 3, seen=ids)
    answer = site.read("alice", returned, SENSITIVE)
    step.check(
        f"alice on {returned.name}",
        expected=403,
        seen=answer.status,
        valid_until=site.block_ends,
    )
    _check_count_intact(site, step, [returned])
    carol = site.read("carol", returned, JOURNAL).last_minute
    step.check(f"carol's count on {returned.name}", expected=5, seen=carol)


def window_passes(site: Site, step: Step) -> None:
    """When the window has passed she may read again."""
    started = time.monotonic()
    step.did(f"alice reads {SHORT} (a limit of five in ten seconds) until she is blocked")
    reads = [site.read("alice", x, SHORT).status for x in [*site.connectors, *site.connectors]]
    step.check(
        "six reads",
        expected=[200] * LIMIT + [403],
        seen=reads,
        valid_until=started + _SHORT_WINDOW_S,
    )
    if reads[-1] != 403:
        return
    step.did("she keeps trying, on alternating instances; denied tries must not count")
    tries: list[int] = []

    def next_try() -> int:
        connector = site.connectors[len(tries) % len(site.connectors)]
        tries.append(site.read("alice", connector, SHORT).status)
        return tries[-1]

    status = poll(next_try, lambda status: status == 200, within_s=20, every_s=0.2)
    waited = time.monotonic() - started
    step.check("she may read again", expected=200, seen=status)
    step.check(
        "seconds after her first read",
        expected="10 to 15",
        seen=f"{waited:.1f}",
        held=_SHORT_WINDOW_S - _CLOCK_TOLERANCE_S <= waited <= _SHORT_WINDOW_S + 5,
    )
    step.check("denied tries until then", expected="≥ 1", seen=len(tries) - 1, held=len(tries) > 1)


def one_alone(site: Site, step: Step) -> None:
    """An instance whose data directory is unusable serves alone and says so."""
    alone, elsewhere = site.connectors[-1], site.connectors[0]
    alone.stop()
    alone.spoil()
    alone.start(site.processes, site.upstream)
    step.did(f"stopped {alone.name}, put a file where its data directory was, started it again")
    ready = poll(alone.ready, lambda it: bool(it["ready"]), within_s=30)
    view = alone.view()
    states = [ready["state"], view["state"]]
    step.check("/-/ready says ready", expected=True, seen=ready["ready"])
    step.check("state in /-/ready, /-/cluster", expected=["standalone"] * 2, seen=states)
    directory = str(alone.data_dir)
    says_why = directory in str(ready["reason"])
    step.check("the reason", expected=f"names {directory}", seen=ready["reason"], held=says_why)
    step.check("/-/cluster names it too", expected=True, seen=directory in str(view["reason"]))
    logged = [line["event"] for line in alone.warnings() if directory in str(line)]
    step.check("a warning in the log names it", expected="≥ 1", seen=logged[:1], held=bool(logged))
    step.did(f"dave reads {SENSITIVE} six times there, once on {elsewhere.name}")
    statuses = [site.read("dave", alone, SENSITIVE).status for _ in range(LIMIT + 1)]
    step.check("local counters", expected=[200] * LIMIT + [403], seen=statuses)
    count = site.read("dave", elsewhere, SENSITIVE).last_minute
    step.check(f"his count on {elsewhere.name}", expected=1, seen=count)


def nothing_left(site: Site, step: Step) -> None:
    """Everything that was started is stopped."""
    site.processes.stop_all()
    left = poll(lambda: naming(site.home), lambda some: not some, within_s=3)
    step.did("SIGTERM to all of them")
    step.check("processes left", expected={}, seen=left)


STEPS: Sequence[Callable[[Site, Step], None]] = (
    one_cluster,
    one_limit,
    one_killed,
    one_comes_back,
    window_passes,
    one_alone,
    nothing_left,
)


def run(site: Site, report: Report) -> list[Step]:
    """Play the steps and report each. When one cannot go on, only the last is still played."""
    steps = [Step(n, (play.__doc__ or "").rstrip(".")) for n, play in enumerate(STEPS, start=1)]
    going_on = True
    for step, play in zip(steps, STEPS, strict=True):
        if not (going_on or play is nothing_left):
            continue
        started = time.monotonic()
        report.begun(step)
        try:
            play(site, step)
        except DemoError as error:
            step.check("can go on", expected="yes", seen=str(error), held=False)
            going_on = False
        step.seconds = time.monotonic() - started
        report.ended(step)
    return steps


def _check_count_intact(site: Site, step: Step, connectors: Sequence[Connector]) -> None:
    """A denied try is counted for the moment of its decision only, so this may need a retry."""
    expected = [LIMIT + 1] * len(connectors)
    counts = poll(
        lambda: [site.read("alice", x, SENSITIVE).last_minute for x in connectors],
        lambda seen: seen == expected,
        within_s=5,
    )
    step.check(
        "alice's count, the denied try included",
        expected=expected,
        seen=counts,
        valid_until=site.block_ends,
    )


def _views(connectors: Sequence[Connector]) -> list[dict[str, Any]]:
    return [connector.view() for connector in connectors]


def _each(views: Sequence[dict[str, Any]], key: str) -> list[Any]:
    return [view.get(key) for view in views]


def _voters(view: dict[str, Any]) -> int:
    return sum(m["role"] == "voter" and m["healthy"] is True for m in view["members"])


def _three_voters(views: Sequence[dict[str, Any]]) -> bool:
    return all(view["state"] == "clustered" and _voters(view) == 3 for view in views)


def _health(view: dict[str, Any], connector: Connector) -> bool | None:
    return next((m["healthy"] for m in view["members"] if m["id"] == connector.name), None)


def _have_lost(views: Sequence[dict[str, Any]], lost: Connector) -> bool:
    return all(
        view["state"] == "clustered"
        and _health(view, lost) is False
        and view["leader"] not in {None, lost.name}
        for view in views
    )


def _told(connector: Connector, what: object) -> str:
    return f"{connector.name}: {what}"
