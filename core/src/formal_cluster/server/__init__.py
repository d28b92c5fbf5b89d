"""The HTTP API: OPA's Data API for decisions, and what an operator looks at."""
