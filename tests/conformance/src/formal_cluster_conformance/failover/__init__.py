"""Profile `failover`: the contract while something is wrong with the backing system."""
