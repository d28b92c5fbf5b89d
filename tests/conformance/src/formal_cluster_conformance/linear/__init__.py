"""Checks recorded histories of concurrent calls: is there an order in which a correct store could
have executed them one by one? Pure: no I/O, no clock.

`operation` is what is recorded, `register` what one key does, `checker` the search, `shrink` and
`timeline` explain what cannot be, and `whole` checks what concerns several keys.
"""
