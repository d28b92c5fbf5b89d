"""A BigQuery reverse proxy on formal-cluster: what was decided for a job holds at every instance.

connector.py         the proxy: decision, answers, start-up
bigquery_request.py  what a request says: who, which job, which statement (pure)
jobs.py              what is remembered of a job, in the shared cache
results.py           what a decision does to the rows of an answer (pure)
forwarding.py        one call of the upstream
errors.py            errors as BigQuery's REST API writes them
local_bigquery.py    a small, strict stand-in for BigQuery, to try it and test it with
site.py              three connectors and the stand-in, as processes
"""
