"""Is `strict` exact? Hits through three real instances under faults, checked against the log.

    plan       the faults, by a seed
    instance   one instance: its process and its files, as the run sees it
    worker     the process itself: etcd, the counters on it, and whoever asks them for accesses
    records    what a worker writes down: answers it was given, and the log as its watch told it
    run        starts three, hits and harms them, and stops
    checker    replays the log exactly and compares; knows nothing of the counters' own code
               but the wire format and the clock's fold
    report     the result as text

`python -m formal_cluster_exactness` runs it; README.md says what is checked.
"""
