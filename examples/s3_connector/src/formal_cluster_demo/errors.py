"""What ends the demonstration early."""


class DemoError(Exception):
    """It cannot go on. The message says what happened and where to look."""
