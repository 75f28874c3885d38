"""Loading the kernels that solving needs, so that no time limit pays for their compilation."""

from __future__ import annotations

from functools import lru_cache

from envs._jit import announce_compilation
from envs.distprivacy.generator import toy_instance


@lru_cache(maxsize=1)
def warm_up() -> None:
    """Load the kernels from the disk cache, or compile them; said on standard error if that takes long."""
    from optimal.method import Method
    from optimal.period import solve_period

    with announce_compilation():
        solve_period(toy_instance(), Method())
