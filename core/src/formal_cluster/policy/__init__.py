"""Policy: load → analyse → enrich → evaluate → merge.

holder = PolicyHolder(settings.policy.paths, settings.counter)
policies = holder.current
touched = plan(document, stage, policies.uses_at(stage))
attempt = counters.attempt(touched.hits)
document, readings = touched.fill(attempt.counts, counters.peek(touched.looks))
outcomes = policies.evaluate(stage, document)
result, reason = merge(outcomes, settings.policy.on_error)
"""

from formal_cluster.policy.enrich import Touched, plan
from formal_cluster.policy.evaluate import PolicySet
from formal_cluster.policy.findings import Finding, PolicySetRefused
from formal_cluster.policy.load import load_policies
from formal_cluster.policy.merge import framework_block, merge
from formal_cluster.policy.reload import PolicyHolder

__all__ = [
    "Finding",
    "PolicyHolder",
    "PolicySet",
    "PolicySetRefused",
    "Touched",
    "framework_block",
    "load_policies",
    "merge",
    "plan",
]
