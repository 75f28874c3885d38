"""``python -m inference.split``: a network cut by a placement, run for real and set beside the physics."""

from __future__ import annotations

if __name__ == "__main__":
    # Here: the process of each device imports this module again, and needs none of it.
    from agents.cli import main
    from conf.split_schema import SplitConfig
    from inference.split.command import run

    paths = ("instance", "solution", "network", "checkpoint")
    raise SystemExit(main("inference_split", SplitConfig, run, paths))
