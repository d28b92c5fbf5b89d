"""The HTTP API over a real socket, with the in-memory store behind it."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from formal_cluster import Cluster
from formal_cluster.server.app import build_app

POLICY = """package formal.v2

import future.keywords.if

pre_request := { "action": "block", "type": "block_with_formal_message" } if {
  input.bucket.name == "sensitive-bucket"
  input.bucket.access_count.last_minute > 5
}
"""


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator["Api"]:
    policy = tmp_path / "policy.rego"
    policy.write_text(POLICY)
    settings = {
        "discovery": {"static": {"self": "a", "instances": [{"id": "a", "address": "127.0.0.1"}]}},
        "store": {"driver": "memory"},
        "policy": {"paths": [str(policy)], "reload_seconds": 0.05},
        "server": {"max_body_bytes": 4096, "max_depth": 8},
        "log": {"decisions": str(tmp_path / "decisions.jsonl")},
    }
    async with Cluster.from_settings(settings) as cluster:
        runner = web.AppRunner(build_app(cluster), access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        async with aiohttp.ClientSession(f"http://{host}:{port}") as session:
            yield Api(session, policy, cluster)
        await runner.cleanup()


class Api:
    def __init__(self, session: aiohttp.ClientSession, policy: Path, cluster: Cluster) -> None:
        self.cluster = cluster
        self.session = session
        self.policy = policy

    async def post(self, path: str, body: Any) -> tuple[int, Any]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with self.session.post(path, data=data) as answer:
            return answer.status, await answer.json()

    async def get(self, path: str) -> tuple[int, Any]:
        async with self.session.get(path) as answer:
            return answer.status, await answer.json()

    async def access(self, user: str, bucket: str = "sensitive-bucket") -> Any:
        document = {"user": {"id": user}, "bucket": {"name": bucket}}
        status, body = await self.post("/v1/data/formal/v2/pre_request", {"input": document})
        assert 200 == status
        return body


async def test_the_sixth_access_is_blocked_and_only_for_that_user_and_bucket(api: Api) -> None:
    for _ in range(5):
        assert "result" not in await api.access("alice")
    blocked = await api.access("alice")
    assert {"action": "block", "type": "block_with_formal_message"} == blocked["result"]
    assert "result" not in await api.access("bob")
    assert "result" not in await api.access("alice", "other-bucket")


async def test_each_answer_has_an_id_and_the_decision_log_tells_the_counts(
    api: Api, tmp_path: Path
) -> None:
    ids = {(await api.access("alice"))["decision_id"] for _ in range(6)}
    assert 6 == len(ids)
    log = tmp_path / "decisions.jsonl"
    lines: list[dict[str, Any]] = []
    async for _ in _deadline():
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        if len(lines) == 6:
            break
    assert [1, 2, 3, 4, 5, 6] == [line["counters"][0]["value"] for line in lines]
    assert ids == {line["decision_id"] for line in lines}
    assert ["alice", "sensitive-bucket"] == lines[0]["counters"][0]["subject"]
    assert "block" == lines[-1]["result"]["action"]


async def test_provenance_shows_what_the_policy_saw(api: Api) -> None:
    document = {"user": {"id": "alice"}, "bucket": {"name": "sensitive-bucket"}}
    status, body = await api.post(
        "/v1/data/formal/v2/request?provenance&metrics", {"input": document}
    )
    assert 200 == status
    seen = body["provenance"]["counters"]
    assert [("input.bucket.access_count.last_minute", 1)] == [(c["path"], c["value"]) for c in seen]
    assert [(1, 1, True)] == [(c["lower"], c["upper"], c["exact"]) for c in seen]
    assert body["provenance"]["stale_ms"] >= 0
    assert body["metrics"]["timer_server_handler_ns"] > 0


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/v1/data/formal/v2/pre_requst", b'{"input": {}}', 400, "unknown_stage"),
        ("/v1/data/formal/v2/pre_request", b"not json", 400, "not_json"),
        ("/v1/data/formal/v2/pre_request", b"", 400, "empty_body"),
        ("/v1/data/formal/v2/pre_request", b'{"input": 5}', 400, "input_not_an_object"),
        ("/v1/data/formal/v2/pre_request", b'{"input": ' + b"[" * 40 + b"]" * 40 + b"}", 400, None),
        (
            "/v1/data/formal/v2/pre_request",
            b'{"input": {"x": ' + b"[" * 40 + b"]" * 40 + b"}}",
            400,
            "too_deep",
        ),
        ("/v1/data/formal/v2/pre_request", b" " * 5000, 413, "body_too_large"),
        (
            "/v1/data/formal/v2/pre_request",
            b'{"input": {"bucket": {"name": "sensitive-bucket"}}}',
            400,
            "missing_user",
        ),
        ("/v1/query", b"{}", 404, "not_found"),
    ],
)
async def test_bad_requests_get_a_code_and_the_instance_keeps_working(
    api: Api, path: str, body: bytes, status: int, code: str | None
) -> None:
    seen, answer = await api.post(path, body)
    assert status == seen
    assert answer["message"]
    if code is not None:
        assert code == answer["code"]
    assert "decision_id" in await api.access("carol")


async def test_a_broken_policy_file_is_reported_and_the_last_good_one_stays(api: Api) -> None:
    api.policy.write_text("package formal.v2\npre_request := {\n")
    error = None
    async for _ in _deadline():
        error = (await api.get("/v1/cluster"))[1]["policy_error"]
        if error:
            break
    assert "policy.rego" in error
    for _ in range(5):
        assert "result" not in await api.access("dave")
    assert "block" == (await api.access("dave"))["result"]["action"]


async def test_health_readiness_and_cluster_tell_that_the_instance_is_alone(api: Api) -> None:
    assert (200, {"status": "ok"}) == await api.get("/health")
    status, ready = await api.get("/ready")
    assert 200 == status
    assert "standalone" == ready["state"]
    assert "not shared" in ready["reason"]
    _, cluster = await api.get("/v1/cluster")
    assert "a" == cluster["self"]


async def test_an_instance_that_leaves_is_not_ready_and_still_decides(api: Api) -> None:
    await api.cluster.leave()
    status, ready = await api.get("/ready")
    assert (503, "the instance is leaving") == (status, ready["reason"])
    assert "result" not in await api.access("frank")


async def test_a_store_without_a_journal_shows_an_empty_one(api: Api) -> None:
    assert (200, {"journal": []}) == await api.get("/v1/cluster/journal")


async def test_metrics_count_decisions_by_action(api: Api) -> None:
    for _ in range(6):
        await api.access("erin")
    async with api.session.get("/metrics") as answer:
        text = await answer.text()
    assert 'formal_cluster_decisions_total{action="allow",stage="pre_request"} 5.0' in text
    assert 'formal_cluster_decisions_total{action="block",stage="pre_request"} 1.0' in text
    assert 'formal_cluster_state{state="standalone"} 1.0' in text


async def test_the_wrong_method_is_named(api: Api) -> None:
    status, body = await api.get("/v1/data/formal/v2/pre_request")
    assert (405, "method_not_allowed") == (status, body["code"])


async def _deadline() -> AsyncIterator[None]:
    """Poll, not for ever."""
    import asyncio

    loop = asyncio.get_running_loop()
    end = loop.time() + 50
    while loop.time() < end:
        yield
        await asyncio.sleep(0.02)
    pytest.fail("the awaited condition did not come about within 50 s")
