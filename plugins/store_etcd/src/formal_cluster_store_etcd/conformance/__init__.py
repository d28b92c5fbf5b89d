"""What the conformance suite has to know to try this driver; `pip install '…[conformance]'`.

`external` is the one to imitate for a driver of a server that runs elsewhere, `embedded` for one
that runs its server itself.
"""
