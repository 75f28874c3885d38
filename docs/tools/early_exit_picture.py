"""The picture of docs/early_exit.md: an episode of ``mixed`` with a scarce budget, by a policy made on other episodes.

``python docs/tools/early_exit_picture.py`` writes docs/images/early_exit.png.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from envs.early_exit.env import EarlyExitEnv  # noqa: E402
from optimal.early_exit.belief_policy import BeliefPrice  # noqa: E402
from optimal.early_exit.episodes import TUNING_SEED, Episodes  # noqa: E402
from optimal.early_exit.playing import Game, play  # noqa: E402


def main(out: Path, episode: int, decided: int) -> None:
    """Play one episode and draw it after ``decided`` windows."""
    env = EarlyExitEnv("mixed", budget=0.04, render_mode="rgb_array")
    training = Episodes.draw(env.world, 8, TUNING_SEED)
    episodes = Episodes.draw(env.world, episode + 1)
    actions = play(BeliefPrice(training), Game.of(episodes)).actions[episode]
    env.reset(seed=0, options={"frames": episodes.frames[episode]})
    for action in actions[:decided]:
        env.step(int(action))
    Image.fromarray(env.render()).quantize(128, dither=Image.Dither.NONE).save(out, optimize=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images" / "early_exit.png", help="file (.png)")
    parser.add_argument("--episode", type=int, default=3, help="which of the held-out episodes (default: 3)")
    parser.add_argument("--decided", type=int, default=75, help="windows that are decided (default: 75)")
    arguments = parser.parse_args()
    main(arguments.out, arguments.episode, arguments.decided)
