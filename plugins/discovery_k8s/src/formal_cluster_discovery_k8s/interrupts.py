"""Ends a blocking read from outside of the thread that is blocked in it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

from formal_cluster.errors import DiscoveryUnavailable


class Interrupted(DiscoveryUnavailable):
    """The call was given up by whoever waited for it."""

    def __init__(self) -> None:
        super().__init__("the request to Kubernetes was given up; discovery is being closed")


class Response(Protocol):
    """What `Interrupt` needs of an HTTP response."""

    def shutdown(self) -> None:
        """Make a read that is blocked in another thread return."""


class Interrupt:
    """A request to give up, raised in one thread and obeyed in another.

    A call notices it before it starts, and while it reads a response that it `covers`. A call that
    waits for the response to *begin* cannot notice; its time-out ends it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._raised = False
        self._response: Response | None = None

    def raise_(self) -> None:
        """Give up. From any thread."""
        with self._lock:
            self._raised = True
            if self._response is not None:
                # Too late is fine: what was to be interrupted has ended by itself.
                with suppress(OSError, RuntimeError, ValueError):
                    self._response.shutdown()

    @contextmanager
    def covers(self, response: Response) -> Iterator[None]:
        """Within this context an interrupt ends a read of `response`.

        Raises:
            Interrupted: Instead of whatever an interrupted read raised or returned.
        """
        with self._lock:
            if self._raised:
                raise Interrupted
            self._response = response
        try:
            yield
        finally:
            with self._lock:
                self._response = None
                if self._raised:
                    raise Interrupted

    def check(self) -> None:
        """Notice.

        Raises:
            Interrupted: It was raised.
        """
        if self._raised:
            raise Interrupted
