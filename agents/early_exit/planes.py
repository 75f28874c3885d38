"""The least of planes at many states, compiled: else it would be most of the work of an update."""

from __future__ import annotations

from envs._jit import kernel


@kernel
def least_plane(first, second, offset, slope, fall, out):  # type: ignore[no-untyped-def]
    """``out[g, s]`` = min over j of ``offset[g, j] + slope[j] * first[g, s] - fall[j] * second[g, s]``, all float32."""
    for g in range(len(offset)):
        a, b, least = first[g], second[g], out[g]
        for s in range(len(least)):
            least[s] = offset[g, 0] + slope[0] * a[s] - fall[0] * b[s]
        for j in range(1, len(slope)):
            c, x, y = offset[g, j], slope[j], fall[j]
            for s in range(len(least)):
                value = c + x * a[s] - y * b[s]
                least[s] = value if value < least[s] else least[s]
