"""Profile `state`: the contract of `formal_cluster.protocols.StateStore`, without faults."""
