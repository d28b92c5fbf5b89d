"""This instance's etcd: what it needs, how it is started, watched and ended."""
