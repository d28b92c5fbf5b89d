"""Blocking calls beside an event loop: bounded, and ended when nobody waits any more."""

from __future__ import annotations

import asyncio
import socket
import threading
import time

import pytest

from formal_cluster_discovery_k8s.interrupts import Interrupt, Interrupted
from formal_cluster_discovery_k8s.mailbox import Mailbox
from formal_cluster_discovery_k8s.threads import Threads


def ours() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "formal-cluster-k8s"]


async def no_threads_are_left() -> None:
    async with asyncio.timeout(50):
        while ours():
            await asyncio.sleep(0.005)


class Conversation:
    """A response that never comes: a socket that nothing is written to."""

    def __init__(self) -> None:
        self._ours, self._theirs = socket.socketpair()
        self.reading = threading.Event()

    def read(self, interrupt: Interrupt) -> bytes:
        with interrupt.covers(self):
            self.reading.set()
            return self._ours.recv(1)

    def shutdown(self) -> None:
        self._ours.shutdown(socket.SHUT_RD)

    def close(self) -> None:
        self._ours.close()
        self._theirs.close()


@pytest.fixture
def conversation():
    conversation = Conversation()
    yield conversation
    conversation.close()


async def test_a_calls_result_is_awaited():
    assert 42 == await Threads(1).run(lambda _: 42)
    await no_threads_are_left()


async def test_a_calls_error_is_raised_where_it_is_awaited():
    def call(_: Interrupt) -> None:
        raise ValueError("in the thread")

    with pytest.raises(ValueError, match="in the thread"):
        await Threads(1).run(call)


async def test_no_more_calls_run_at_once_than_allowed():
    threads, running, most = Threads(2), set(), []
    lock = threading.Lock()

    def call(_: Interrupt) -> None:
        with lock:
            running.add(threading.current_thread())
            most.append(len(running))
            if len(running) == 2:
                met.set()
        assert met.wait(50)
        time.sleep(0.05)  # so that a third one would be seen
        with lock:
            running.discard(threading.current_thread())

    met = threading.Event()
    await asyncio.gather(*(threads.run(call) for _ in range(8)))
    assert 2 == max(most)


async def test_a_cancelled_call_ends_its_read(conversation):
    threads = Threads(1)
    call = asyncio.create_task(threads.run(conversation.read))
    await asyncio.to_thread(conversation.reading.wait, 50)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await no_threads_are_left()
    assert "next" == await threads.run(lambda _: "next")


async def test_a_call_given_up_keeps_its_place_until_its_thread_has_ended():
    threads, gate = Threads(1), threading.Event()
    stubborn = asyncio.create_task(threads.run(lambda _: gate.wait()))
    await asyncio.sleep(0)
    stubborn.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stubborn
    waiting = asyncio.create_task(threads.run(lambda _: "next"))
    await asyncio.sleep(0)
    assert not waiting.done()
    gate.set()
    assert "next" == await waiting


async def test_closing_ends_all_reads(conversation):
    threads = Threads(1)
    call = asyncio.create_task(threads.run(conversation.read))
    await asyncio.to_thread(conversation.reading.wait, 50)
    await threads.aclose(50)
    with pytest.raises(Interrupted):
        await call
    await no_threads_are_left()


async def test_after_closing_no_call_is_begun():
    threads = Threads(1)
    await threads.aclose(1)
    with pytest.raises(Interrupted):
        await threads.run(lambda _: None)


async def test_closing_does_not_wait_for_long_for_a_call_that_cannot_be_interrupted():
    threads, gate = Threads(1), threading.Event()
    call = asyncio.create_task(threads.run(lambda _: gate.wait()))
    await asyncio.sleep(0)
    async with asyncio.timeout(50):  # and not for ever
        await threads.aclose(0.01)
    gate.set()
    await call


def test_an_interrupt_that_was_raised_before_the_response_came_ends_it_at_once(conversation):
    interrupt = Interrupt()
    interrupt.check()
    interrupt.raise_()
    with pytest.raises(Interrupted):
        interrupt.check()
    with pytest.raises(Interrupted):
        conversation.read(interrupt)
    assert not conversation.reading.is_set()


def test_an_interrupt_after_the_response_was_read_is_too_late(conversation):
    interrupt = Interrupt()
    with interrupt.covers(conversation):
        pass
    interrupt.raise_()
    conversation._theirs.send(b"x")
    assert b"x" == conversation._ours.recv(1)


async def test_values_arrive_in_order_and_in_batches():
    mailbox = Mailbox(10)
    await asyncio.to_thread(lambda: [mailbox.put(number) for number in range(5)])
    await mailbox.wait()
    assert [0, 1, 2, 3, 4] == mailbox.take()
    assert [] == mailbox.take()


async def test_a_full_mailbox_makes_the_thread_wait():
    mailbox, sent = Mailbox(3), []

    def send() -> None:
        for number in range(10):
            mailbox.put(number)
            sent.append(number)

    thread = threading.Thread(target=send)
    thread.start()
    received: list[int] = []
    async with asyncio.timeout(50):
        while len(received) < 10:
            await mailbox.wait()
            assert len(sent) <= len(received) + 3
            received += mailbox.take()
    thread.join()
    assert list(range(10)) == received


async def test_a_closed_mailbox_takes_nothing_and_frees_the_thread_that_waits():
    mailbox, ended = Mailbox(1), threading.Event()

    def send() -> None:
        mailbox.put(1)
        try:
            mailbox.put(2)
        except Interrupted:
            ended.set()

    thread = threading.Thread(target=send)
    thread.start()
    await mailbox.wait()
    mailbox.close()
    assert await asyncio.to_thread(ended.wait, 50)
    thread.join()


async def test_a_wait_can_be_ended_without_a_value():
    mailbox = Mailbox(1)
    mailbox.wake()
    await mailbox.wait()
    assert [] == mailbox.take()
