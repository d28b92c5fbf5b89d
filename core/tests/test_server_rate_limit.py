"""What is left of a limit, for callers: in Python, in the answer, and as HTTP fields."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from formal_cluster import Cluster
from formal_cluster.counters.reset import leaving_ms
from formal_cluster.counters.windows import HitsData
from formal_cluster.server.app import build_app
from formal_cluster.server.rate_limit import Quota, headers

POLICY = """package formal.v2

pre_request := {"action": "block"} if input.bucket.access_count.last_minute > 2

pre_request := {"action": "block"} if input.bucket.access_count.last_hour > 1000
"""
DOCUMENT = {"user": {"id": "alice"}, "bucket": {"name": "b"}}


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    (tmp_path / "policy.rego").write_text(POLICY)
    settings = {
        "discovery": {"static": {"self": "a", "instances": [{"id": "a", "address": "127.0.0.1"}]}},
        "store": {"driver": "memory"},
        "policy": {"paths": [str(tmp_path / "policy.rego")], "reload_seconds": 0},
    }
    async with Cluster.from_settings(settings) as cluster:
        yield cluster


async def test_a_decision_tells_what_is_left_and_when_there_is_more(cluster: Cluster) -> None:
    decisions = [cluster.decide("pre_request", DOCUMENT) for _ in range(3)]

    minutes = [decision.counters[0] for decision in decisions]
    assert [(2, 1), (2, 0), (2, 0)] == [(each.limit, each.remaining) for each in minutes]
    assert "block" == decisions[-1].action
    # Two are in; the first of them has to go.
    reset_ms = cluster.reset_ms(minutes[-1])
    assert reset_ms is not None
    assert 0 < reset_ms <= 60_000
    hour = decisions[0].counters[1]
    assert (1_000, 999) == (hour.limit, hour.remaining)


async def test_the_answer_and_its_header_say_so_when_asked(cluster: Cluster) -> None:
    runner = web.AppRunner(build_app(cluster), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    path = "/v1/data/formal/v2/pre_request"
    async with aiohttp.ClientSession(f"http://{host}:{port}") as session:

        async def ask(query: str) -> tuple[dict[str, str], dict[str, object]]:
            data = json.dumps({"input": DOCUMENT}).encode()
            async with session.post(path + query, data=data) as answer:
                return dict(answer.headers), await answer.json()

        fields, body = await ask("")
        assert ("RateLimit" in fields, "ratelimit" in body) == (False, False)
        fields, body = await ask("?ratelimit")
        name, hour = "bucket.access_count.last_minute", "bucket.access_count.last_hour"
        assert f'"{name}";q=2;w=60, "{hour}";q=1000;w=3600' == fields["RateLimit-Policy"]
        told = re.fullmatch(rf'"{name}";r=0;t=(\d+), "{hour}";r=998;t=(\d+)', fields["RateLimit"])
        assert told is not None
        # From the first access on, which is a moment ago.
        assert 0 < int(told[1]) <= 60
        assert int(told[2]) - int(told[1]) == 3_600 - 60
        assert "Retry-After" not in fields
        fields, body = await ask("?ratelimit")
        assert {"action": "block"} == body["result"]
        assert 0 < int(fields["Retry-After"]) <= int(told[1])
        assert [(name, 2, 0, 60), (hour, 1_000, 997, 3_600)] == [
            (q["name"], q["limit"], q["remaining"], q["window_s"]) for q in body["ratelimit"]
        ]
    await runner.cleanup()


def quota(name: str = "n", *, exceeded: bool = True, reset_ms: int | None = 1_500) -> Quota:
    return Quota(name, 5, 0, exceeded, 60, reset_ms)


def test_retry_after_is_said_only_if_every_limit_exceeded_has_a_time() -> None:
    assert "2" == headers([quota()], blocked=True)["Retry-After"]
    assert "Retry-After" not in headers([quota()], blocked=False)
    assert "Retry-After" not in headers([quota(exceeded=False)], blocked=True)
    assert "Retry-After" not in headers([quota(), quota(reset_ms=None)], blocked=True)
    longest = [quota(), quota(reset_ms=9_000), quota(exceeded=False, reset_ms=99_000)]
    assert "9" == headers(longest, blocked=True)["Retry-After"]


def test_names_are_quoted_as_structured_fields_want_it() -> None:
    assert r'"a\"b\\c";r=0;t=2' == headers([quota('a"b\\c')], blocked=False)["RateLimit"]
    assert {} == headers([quota("ünicode")], blocked=True)
    assert {} == headers([], blocked=True)


@given(
    times=st.lists(st.integers(0, 999), max_size=12),
    pending=st.lists(st.integers(0, 999), max_size=4),
    most=st.integers(-1, 12),
)
def test_after_the_wait_so_many_hits_are_left_and_a_moment_before_more(
    times: list[int], pending: list[int], most: int
) -> None:
    now, other_now, length = 1_000, 5_000, 1_000

    def held(ages: list[int], present: int) -> tuple[HitsData, int]:
        return HitsData([], sorted(present - age for age in ages), [1] * len(ages)), present

    def left(wait: int) -> int:
        return sum(age + wait < length for age in times + pending)

    wait = leaving_ms([held(times, now), held(pending, other_now)], length, most)

    if most < 0:
        assert wait is None
        return
    assert wait is not None
    assert left(wait) <= most
    assert wait == 0 or left(wait - 1) > most
