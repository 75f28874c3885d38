"""Linear systems of Markov chains, compiled: no pivoting is needed, and the many zeros of a bucket's chain cost nothing.

General solvers lose all digits here (elimination with pivoting on a column of ones grows), or many threads fight over them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from envs._jit import kernel

Array = NDArray[np.float64]


@kernel
def _eliminate(matrix, right, ends):  # type: ignore[no-untyped-def]
    size, columns = right.shape
    for i in range(size):
        ends[i] = i + 1
        for j in range(size):
            if matrix[i, j] != 0.0:
                ends[i] = max(ends[i], j + 1)
    for c in range(size):
        for i in range(c + 1, size):
            if matrix[i, c] != 0.0:
                factor = matrix[i, c] / matrix[c, c]
                for j in range(c + 1, ends[c]):
                    matrix[i, j] -= factor * matrix[c, j]
                for j in range(columns):
                    right[i, j] -= factor * right[c, j]
                ends[i] = max(ends[i], ends[c])
    for i in range(size - 1, -1, -1):
        for c in range(i + 1, ends[i]):
            factor = matrix[i, c]
            if factor != 0.0:
                for j in range(columns):
                    right[i, j] -= factor * right[c, j]
        for j in range(columns):
            right[i, j] /= matrix[i, i]


def solve(matrix: Array, right: Array) -> Array:
    """X ``(S, M)`` of ``matrix @ X = right``, where ``matrix`` ``(S, S)`` is I less a chain that leaks from every class."""
    solved = np.array(right, np.float64, order="C")
    _eliminate(np.array(matrix, np.float64, order="C"), solved, np.empty(len(matrix), np.int64))
    return solved


@kernel
def _censor(chain, shares):  # type: ignore[no-untyped-def]
    first = 0
    for n in range(len(chain) - 1, 0, -1):
        leave = 0.0
        for j in range(n):
            leave += chain[n, j]
        if leave <= 0.0:  # nothing below is ever seen again
            first = n
            break
        for i in range(n):
            if chain[i, n] != 0.0:
                chain[i, n] /= leave
                for j in range(n):
                    chain[i, j] += chain[i, n] * chain[n, j]
    shares[:] = 0.0
    shares[first] = 1.0
    total = 1.0
    for n in range(first + 1, len(chain)):
        for i in range(first, n):
            shares[n] += shares[i] * chain[i, n]
        total += shares[n]
    for n in range(len(chain)):
        shares[n] /= total


def stationary(chain: Array) -> Array:
    """Long-run shares ``(S,)`` of a chain ``(S, S)`` with one closed class, without a subtraction (Grassmann et al., 1985)."""
    shares = np.empty(len(chain))
    _censor(np.array(chain, np.float64, order="C"), shares)
    return shares


def relative_values(chain: Array, reward: Array, time: Array) -> tuple[float, Array]:
    """Gain g and values v ``(S,)`` of v = reward - g * time + chain @ v, with 0 for the most frequent state."""
    shares = stationary(chain)
    gain = float(shares @ reward / (shares @ time))
    system = np.eye(len(chain)) - chain
    home = int(shares.argmax())
    system[:, home] = 0.0
    system[home, home] = 1.0
    # the row of the home state is implied by the others
    system[home, np.arange(len(chain)) != home] = 0.0
    right = reward - gain * time
    right[home] = 0.0
    return gain, solve(system, right[:, None])[:, 0]
