"""etcd's log lines on their way into Python's logging."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formal_cluster_store_etcd.member.etcd_log import LineSplitter, LogForwarder, parse


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("debug", logging.DEBUG),
        ("info", logging.DEBUG),
        ("warn", logging.WARNING),
        ("error", logging.ERROR),
        ("panic", logging.CRITICAL),
        ("fatal", logging.CRITICAL),
    ],
)
def test_levels_are_mapped(level, expected):
    assert expected == parse(f'{{"level":"{level}","msg":"x"}}'.encode()).level


def test_fields_are_kept_but_for_the_time_and_the_trace():
    line = parse(
        b'{"level":"warn","ts":"2026","caller":"a/b.go:1","msg":"slow","took":"1s","stacktrace":"t"}'
    )
    assert "slow" == line.message
    assert {"caller": "a/b.go:1", "took": "1s"} == line.fields


def test_the_error_is_part_of_the_text_that_explains_an_end():
    assert "no: disk" == str(parse(b'{"level":"fatal","msg":"no","error":"disk"}'))


@pytest.mark.parametrize(
    ("line", "level"),
    [
        (b"panic: failed to open database", logging.ERROR),
        (b'["no", "object"]', logging.ERROR),
        (b"WARNING: 2026/11/22 16:53:51 [core] grpc: transport is closing", logging.INFO),
        (b"\xff\xfe", logging.ERROR),
    ],
)
def test_what_is_no_json_object_is_kept_as_text(line, level):
    parsed = parse(line)
    assert (level, line.decode(errors="replace")) == (parsed.level, parsed.message)


def test_connections_that_come_and_go_are_not_worth_a_warning():
    line = b'{"level":"warn","caller":"rafthttp/stream.go:1","msg":"established TCP streaming"}'
    assert logging.INFO == parse(line).level


@given(st.lists(st.binary(max_size=30).filter(lambda b: b"\n" not in b)), st.data())
def test_lines_come_out_whole_however_the_stream_is_cut(lines, data):
    stream = b"\n".join(lines)
    splitter, out = LineSplitter(longest=10), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        out.extend(splitter.feed(stream[:size]))
        stream = stream[size:]
    out.extend(splitter.end())
    assert [line[:10] for line in lines if line.strip()] == [o for o in out if o.strip()]


def test_a_line_without_an_end_takes_no_more_room_than_a_long_one():
    splitter = LineSplitter(longest=100)
    for _ in range(1_000):
        assert [] == list(splitter.feed(b"x" * 1_000))
    assert [b"x" * 100] == list(splitter.end())


def test_a_flood_is_cut_off_and_counted(caplog):
    now = [0.0]
    forwarder = LogForwarder(logging.getLogger("flood"), clock=lambda: now[0])
    for n in range(80):
        forwarder.accept(b'{"level":"warn","msg":"%d"}' % n)
    assert 50 == len(caplog.records)
    now[0] = 1.5
    forwarder.accept(b'{"level":"error","msg":"after"}')
    assert ["left out lines of etcd's log", "etcd says"] == [r.message for r in caplog.records[50:]]
    assert 30 == caplog.records[50].lines
    assert {"message": "after"} == caplog.records[51].etcd
    assert ("78", "79", "after") == forwarder.complaints[-3:]


def test_the_trace_of_a_panic_does_not_push_out_its_cause():
    forwarder = LogForwarder(logging.getLogger("panic"))
    forwarder.accept(b'{"level":"panic","msg":"failed to create WAL","error":"no space left"}')
    forwarder.accept(b"panic: failed to create WAL")
    forwarder.accept(b"goroutine 1 [running]:")
    for n in range(50):
        forwarder.accept(b"\tgo.etcd.io/etcd/main.go:%d" % n)
    expected = ("failed to create WAL: no space left", "panic: failed to create WAL")
    assert expected == forwarder.complaints
