"""Whether a measured table has the shape that the problem supposes, and where it has not."""

from __future__ import annotations

import itertools

from inference.inversion.measure import Measurement

LEAST_OF_ALL = 0.9
"""SSIM that all maps of the first layer give at least: with the whole output of a first conv a picture is as good as known."""
SLACK = 0.005
"""SSIM by which a table may go the wrong way unsaid."""


def departures(measured: Measurement) -> list[str]:
    """One sentence for each place where more maps tell less, a deeper layer tells more, or all first maps tell too little.

    A smaller SSIM than that of fewer maps means that an attack was too weak, since it could leave maps unused: such a table
    promises more privacy than there is.
    """
    found = []
    for layer in measured.layers:
        row = measured.of(layer)
        for fewer, more in itertools.pairwise(row):
            if fewer.ssim.mean > more.ssim.mean + SLACK:
                found.append(
                    f"{layer}: {more.cell.maps} maps give {more.ssim.mean:.3f}, less than {fewer.cell.maps} "
                    f"({fewer.ssim.mean:.3f}); more steps would help"
                )
    whole = [(layer, measured.of(layer)[-1]) for layer in measured.layers]
    sizes = {layer.name: layer.outputs for layer in measured.network.layers}
    whole = [(layer, one) for layer, one in whole if one.cell.maps == sizes[layer]]
    for (before, first), (behind, second) in itertools.pairwise(whole):
        if second.ssim.mean > first.ssim.mean + SLACK:
            found.append(
                f"all maps of {behind} give {second.ssim.mean:.3f}, more than those of {before} ({first.ssim.mean:.3f})"
            )
    if whole and whole[0][1].ssim.mean < LEAST_OF_ALL:
        found.append(f"all maps of {whole[0][0]} give {whole[0][1].ssim.mean:.3f}, less than {LEAST_OF_ALL}")
    return found
