"""The store contract on Redis, for tests: a second, very different store keeps core honest."""
