"""Decides how long the ticker rests between two claims.

A claim costs the ticker, the store and a worker about the same whether it offers one
event or several. While many events come due, the ticker therefore rests after each
claim, and the next claim offers what has come due meanwhile.
"""

import math

# The ticker rests while more events per second come due than this.
BUSY_PER_S = 400
REST_S = 0.002
# The rate is an average over about this time.
AVERAGED_S = 0.1


class ClaimPace:
    """The rate of the offered events, and the rest that it calls for."""

    def __init__(self) -> None:
        self._recent = 0.0
        self._counted_at_s = 0.0

    def rest_s(self, offered: int, now_s: float) -> float:
        """Count the events that a claim has offered; return how long to rest now.

        Args:
            now_s: the time of the claim, on a monotonic clock.
        """
        elapsed_s = now_s - self._counted_at_s
        self._recent = self._recent * math.exp(-elapsed_s / AVERAGED_S) + offered
        self._counted_at_s = now_s
        return REST_S if self._recent / AVERAGED_S > BUSY_PER_S else 0.0
