"""The driver keeps its contract: one test for each rule of the suite, in its quick form.

`pytest --conformance-full` tries everything, `--conformance-seed` repeats a run's dice.
"""

from __future__ import annotations

from formal_cluster_conformance.pytest_plugin import conformance_of

{% if family == "store" -%}
test_rule = conformance_of("{{ driver }}", "state", "counters", "failover")
{%- else -%}
test_rule = conformance_of("{{ driver }}", "discovery")
{%- endif %}
