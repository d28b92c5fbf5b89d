"""Hot reload: whole sets or none, and the last good one stays."""

import asyncio
import logging
import os

import pytest

from formal_cluster.errors import PolicyLoadError
from formal_cluster.model import Stage
from formal_cluster.policy import PolicyHolder, reload
from formal_cluster.settings import DEFAULT_COUNTER, PolicySettings

GOOD = 'package formal.v2\npre_request := {{"action": "{}"}}\n'


@pytest.fixture
def directory(tmp_path):
    (tmp_path / "p.rego").write_text(GOOD.format("allow"))
    return tmp_path


def hold(directory, reload_seconds=0.01):
    settings = PolicySettings(paths=(directory,), reload_seconds=reload_seconds)
    return PolicyHolder(settings, (DEFAULT_COUNTER,))


def action(holder):
    (outcome,) = holder.current().evaluate(Stage.PRE_REQUEST, {})
    return outcome.result["action"]


def test_a_changed_file_takes_effect(directory):
    holder = hold(directory)
    assert ("allow", 1, False) == (action(holder), holder.current().generation, holder.check())

    (directory / "p.rego").write_text(GOOD.format("block"))

    assert holder.check()
    assert ("block", 2) == (action(holder), holder.current().generation)
    assert not holder.check()


def test_a_change_that_bears_the_time_of_the_one_before_is_noticed(directory, monkeypatch):
    monkeypatch.setattr(reload, "_TICK_NS", 3_600_000_000_000)  # however slow this test is
    stamp = reload._stamp((directory,))
    monkeypatch.setattr(reload, "_stamp", lambda _paths: stamp)
    holder = hold(directory)
    assert not holder.check()

    (directory / "p.rego").write_text(GOOD.format("block"))

    assert holder.check()
    assert "block" == action(holder)


def test_a_set_in_use_stays_as_it_is(directory):
    holder = hold(directory)
    before = holder.current()

    (directory / "p.rego").write_text(GOOD.format("block"))
    holder.check()

    assert {"action": "allow"} == before.evaluate(Stage.PRE_REQUEST, {})[0].result


@pytest.mark.parametrize("damage", ["syntax", "empty", "gone"])
def test_the_last_good_set_stays_in_force_and_the_error_is_told_once(directory, damage, caplog):
    holder = hold(directory)
    file = directory / "p.rego"
    if damage == "syntax":
        file.write_text("package formal.v2\npre_request := {")
    elif damage == "empty":
        file.write_text("")
    else:
        file.unlink()

    with caplog.at_level(logging.ERROR):
        assert not holder.check()
        assert not holder.check()

    assert "allow" == action(holder)
    assert str(directory) in holder.last_error
    assert ["policies refused; the last good set stays in force"] == [
        record.message for record in caplog.records
    ]
    assert holder.last_error == caplog.records[0].error

    file.write_text(GOOD.format("mask"))
    assert holder.check()
    assert ("mask", None, 2) == (action(holder), holder.last_error, holder.current().generation)


def test_a_mend_back_to_what_is_in_force_clears_the_error_only(directory):
    holder = hold(directory)
    file = directory / "p.rego"
    file.write_text("broken")
    holder.check()

    file.write_text(GOOD.format("allow"))

    assert not holder.check()
    assert (None, 1) == (holder.last_error, holder.current().generation)


def test_added_removed_and_replaced_files_are_noticed(directory):
    holder = hold(directory)
    (directory / "q.rego").write_text(GOOD.format("block"))
    assert holder.check()
    (directory / "q.rego").unlink()
    assert holder.check()

    # A rename keeps size and times, as a deployment by symbolic link does.
    other = directory / "other"
    other.write_text(GOOD.format("block"))
    seen = (directory / "p.rego").stat()
    os.utime(other, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    other.rename(directory / "p.rego")
    assert holder.check()
    assert "block" == action(holder)


def test_files_that_cannot_be_used_to_begin_with_are_an_error(tmp_path):
    with pytest.raises(PolicyLoadError, match="holds no"):
        hold(tmp_path)


async def until(condition):
    while not condition():
        await asyncio.sleep(0.01)


async def test_watching_reloads_by_itself_until_it_ends(directory):
    holder = hold(directory)
    seen = []
    async with holder.watching(seen.append):
        (directory / "p.rego").write_text(GOOD.format("block"))
        await asyncio.wait_for(until(lambda: seen == [holder.current()]), 50)
        assert "block" == action(holder)
    assert {asyncio.current_task()} == asyncio.all_tasks()


def test_a_set_tells_the_largest_known_threshold_of_each_counter(directory):
    (directory / "p.rego").write_text(
        "package formal.v2\nimport future.keywords.if\n"
        'pre_request := {"action": "block"} if {\n'
        "  input.bucket.access_count.last_minute > 5\n"
        "  input.bucket.access_count.last_hour >= 300\n"
        "}\n"
        'response := {"action": "allow", "reason": sprintf("%d", '
        "[input.file.access_count.last_minute])} if true\n"
    )

    assert {"bucket.access_count": 299} == hold(directory).current().largest_thresholds


async def test_watching_can_be_switched_off(directory):
    async with hold(directory, reload_seconds=0).watching(print):
        assert {asyncio.current_task()} == asyncio.all_tasks()
