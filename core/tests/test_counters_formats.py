"""Records that a later version has written."""

import pytest

from formal_cluster.counters.records import VERSION, Batch, MalformedRecord, decode, encode


def test_a_later_format_is_named_with_the_one_that_is_read_here():
    later = encode(Batch(version=VERSION + 1, epoch=1, seq=1, proposed=0, wall=0))
    expected = (
        f"the counter log holds format {VERSION + 1}, this instance reads those up to {VERSION}; "
        "upgrade it"
    )
    with pytest.raises(MalformedRecord, match=expected):
        decode(later)
