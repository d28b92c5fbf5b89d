"""Discovery: who else runs? The built-in drivers and what every driver can build on.

    static, dns          the built-in drivers
    drivers              builds those that the settings choose
    merge                several drivers as one
    polling              turns a driver's `discover()` into its `watch()`
    views                how a driver's findings become a view
    local_address        whether an address belongs to this machine
    health_log           one log line per change of health, none per retry
    clock_bound          by how much the clock may be off, where a platform tells

All of it fails closed: a source that does not answer leaves the instances *unknown*, and no
answer of theirs ever says that an instance is dead unless the platform vouches for it.
"""
