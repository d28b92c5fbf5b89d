"""Who comes: the order in which subjects are drawn."""

from __future__ import annotations

import random
from functools import cache
from itertools import accumulate

_DRAWS = 100_000
_ZIPF_SUBJECTS = 100_000
_ZIPF_S = 1.1

LOADS = ("one hot key", "Zipf", "10,000 keys", "1,000,000 keys")


@cache
def draws(load: str, seed: int) -> tuple[str, ...]:
    """100,000 subjects as they come; the same for a seed.

    Args:
        load: One of `LOADS`. Zipf has 100,000 subjects and the exponent 1.1.
        seed: The instance's number: instances see different orders of the same subjects.
    """
    dice = random.Random(seed)
    if load == "one hot key":
        numbers = [0] * _DRAWS
    elif load == "Zipf":
        weights = accumulate(1 / rank**_ZIPF_S for rank in range(1, _ZIPF_SUBJECTS + 1))
        numbers = dice.choices(range(_ZIPF_SUBJECTS), cum_weights=list(weights), k=_DRAWS)
    else:
        numbers = dice.choices(range(int(load.split(maxsplit=1)[0].replace(",", ""))), k=_DRAWS)
    return tuple(f"user{number}" for number in numbers)
