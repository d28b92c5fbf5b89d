"""Discovery on Kubernetes: the pods of this instance's own controller are the instances."""
