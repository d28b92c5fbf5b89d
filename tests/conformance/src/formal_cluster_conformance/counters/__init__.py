"""Profile `counters`: formal-cluster's own counters on the store, as rate limits rely on them.

What is tried is the store: a counter that loses or invents hits on it is what an operator would
see. Several instances run in one process, each with clocks of its own.
"""
