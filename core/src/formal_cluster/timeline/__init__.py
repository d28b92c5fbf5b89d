"""Policies tested on timelines: requests at given times, what is to be decided, and no waiting.

`document` is the file that somebody writes. `clockwork` counts on a clock that only the timeline
moves, with the windows that real counters have. `play` asks the real `Decider` step by step, and
says what was different from what was expected.
"""
