"""A simulator of clusters: the real planners, everything else a model of it.

    command               many schedules, or one again; `make simulate`
    schedule              what happens, drawn from a seed
    trial → shrink        one schedule to its end; a shorter one that fails alike
    faults                the actions: what may happen to instances, links, discovery
    checks                what must hold after each of them, and in the end

    world                 the state of everything
    supervisor → leading  what an instance does, one small step at a time; asks the planners
    watching, probing, viewing
                          what it knows of its cluster, of the others, of the platform
    process, disk         what begins and ends with it, and what a crash leaves
    discovery             what the platform knows, and what it tells
    etcd → raft, contents the cluster: messages, elections, refusals; the log; the keys

    planners, planted     the real planners; others with a bug each, which must be found

docs/simulator.md says what is modelled and what is not.
"""
