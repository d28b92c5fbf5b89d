"""A state store for formal-cluster on NATS JetStream. See the README for what it promises."""
