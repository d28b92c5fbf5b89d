"""Profile `discovery`: the contract of `formal_cluster.protocols.Discovery`."""
