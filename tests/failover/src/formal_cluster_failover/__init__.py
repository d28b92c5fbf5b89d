"""Real failover scenarios: real instances with real etcds, real kills, real partitions.

    scenarios/     what happens to the cluster, each a short function
    run            what a scenario is given: instances, faults, and waiting for what must follow
    recorder       keeps hitting strict and eventual counters on every instance all along
    history        what it has seen (values)
    judgement      what was wrong with that, and how long it took (pure)
    execute        one scenario from start to verdict
    report         docs/failover-report.md

    service        the platform: a scripted ECS that starts instances and vouches for their death
    instance       one `formal-cluster serve`, its disk, its processes
    beds           where instances live: network namespaces, or loopback addresses
    sandbox        private namespaces for the whole run, so that nothing outlives it

`python -m formal_cluster_failover --help` runs them; `make failover-report` runs all of them.
"""
