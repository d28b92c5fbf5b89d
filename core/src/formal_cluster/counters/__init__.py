"""Cluster-wide sliding-window counters on a replicated log.

The data's way: `attempts` → `outbox` → `writer` → (store) → `reader` → `fold` → `windows`. `plugin`
is the entry point, `counters.LogCounters` wires the parts, and `docs/decisions/0004-counter-log.md`
says why it is built so. After a store loss: `loss` notices it, `held` is what is remembered,
`reappend` puts it back, `floors` merges it, `restoration` says who is waited for (decision 0008).
"""
