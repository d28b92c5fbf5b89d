"""The etcd client: the store contract over several endpoints, and calls to one given member."""
