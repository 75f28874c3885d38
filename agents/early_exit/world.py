"""Early exit as training sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from agents.counterfactual import CounterfactualReplayBuffer
from agents.curves import LEARNING_COLUMNS
from agents.dqn import MaskableDQN
from agents.early_exit.held_out import check_playable, held_out_episodes, rows_of_config, title_of, tuning_episodes
from agents.early_exit.learned import LearnedExitPolicy
from agents.early_exit.network import ExitPolicy
from agents.early_exit.scores import ExitScores
from agents.early_exit.states import EpisodeStates
from agents.learned import load_model
from agents.masking import MaskedDQNPolicy
from agents.run_folder import RunFolder
from agents.worlds import Score
from conf.messages import UserError
from conf.schema import DqnConfig, EarlyExitConfig, TrainConfig
from envs._jit import announce_compilation
from envs.early_exit.build import World as Rows
from optimal.early_exit.episode_gaps import BEST, compare, references
from optimal.early_exit.episodes import TEST_SEED, Episodes
from optimal.early_exit.playing import Game, Played, Policy, play

NAN = float("nan")
VALIDATION_SEED = 20_262
"""Seed of the held-out episodes of periodic evaluation, of the months of training."""
TOLERATED = 0.05
"""Share of the episodes in which the least acceptance may be missed."""
TIE = 0.02
"""Share of the cost of a row by which a later model may lose to the best one and still takes its place."""

COLUMNS: dict[str, str] = {
    "step": "environment steps so far, over all environments",
    "return": "mean return of the episodes since the last row, in reward units (actions at random)",
    "accepted": "share of their rows that were accepted",
    "sent": "share of their rows that crossed the link",
    "episodes": "episodes so far",
    "eval_cost": "cost of a row of the greedy policy on held-out episodes of the months of training, mean over budgets",
    "eval_errors": "share of wrong answers there",
    "eval_rejected": "share of rows without an answer there",
    "eval_sent": "share of rows that cross the link there",
    "eval_violated": "share of episodes that accept less than they must there",
    "best_cost": "lowest eval_cost so far",
    **LEARNING_COLUMNS,
}
"""Column of metrics.csv -> meaning; the TensorBoard tags are ``offramp/<column>``."""


FEW_MONTHS, MANY_WINDOWS = 0.01, 0.003
"""Differences between windows below that, per row, are left out: where months alone differ, and where windows of a month do."""


def threshold_of(world: Rows) -> float:
    """Which differences between windows an agent leaves out.

    A few months of training show many differences that do not hold in other months (chosen by leaving out some of them,
    docs/early_exit_agent.md). Bursts of attacks and changes of the link are seen many times within each month.
    """
    schedule = world.generator.schedule
    varies = schedule.attack_share is not None or len(schedule.bandwidth.levels) > 1 or len(schedule.load.levels) > 1
    return MANY_WINDOWS if varies else FEW_MONTHS


class EarlyExitWorld:
    """See ``agents.worlds.World``."""

    def policy(self, config: TrainConfig) -> tuple[Any, dict[str, Any]]:
        """See ``World``."""
        agent, env = cast(DqnConfig, config.agent), cast(EarlyExitConfig, config.env)
        if agent.policy not in ("exit", "mlp"):
            raise UserError(f"agent.policy is {agent.policy}, which is not for early exit, expected exit or mlp")
        if agent.policy == "exit" and not (agent.masked and agent.replay == "counterfactual"):
            raise UserError("agent.policy is exit, expected agent.masked=true and agent.replay=counterfactual")
        with announce_compilation():
            check_playable(env, config.baselines)  # what is played after minutes of training
        if agent.policy == "mlp":
            return (MaskedDQNPolicy if agent.masked else "MlpPolicy"), {"net_arch": [agent.hidden] * agent.layers}
        world = rows_of_config(env)
        layout = {name: (place.start, place.stop) for name, place in world.dynamics.observed.layout.items()}
        return ExitPolicy, {
            "layout": layout,
            "windows": env.windows,
            "shortfall": 0.0 if env.constraint == "none" else env.shortfall,
            "threshold": threshold_of(world),
            "hidden": agent.hidden,
        }

    def replay(self, config: TrainConfig, env: Any) -> dict[str, Any]:
        """See ``World``."""
        agent = cast(DqnConfig, config.agent)
        if agent.replay == "recorded":
            return {}
        return {
            "replay_buffer_class": CounterfactualReplayBuffer,
            "replay_buffer_kwargs": {"model": EpisodeStates(env.env.world), "group": agent.group},
            "centred": agent.centred,
        }

    def judge(self, config: TrainConfig, env: Any) -> ExitJudge:
        """See ``World``."""
        return ExitJudge(config, env.env.world)

    def score(self, config: TrainConfig, env: Any, folder: RunFolder) -> ExitScores:
        """See ``World``."""
        model = load_model(folder.best_model, config.device)
        learned = LearnedExitPolicy(config.agent.name, model.q_net)
        scores = score_all([learned], config.baselines, cast(EarlyExitConfig, config.env), config.final_instances)
        scores.folder = Path(folder.path)
        return scores


def score_all(
    learned: Sequence[LearnedExitPolicy],
    baselines: Sequence[str],
    env: EarlyExitConfig,
    episodes: int,
    seed: int = TEST_SEED,
) -> ExitScores:
    """Every policy on the same episodes of the test months, within every budget of the training."""
    with announce_compilation():
        if baselines:
            check_playable(env, baselines)
        test = held_out_episodes(env, episodes, seed)
        others = references(tuning_episodes(env), baselines) if baselines else []
    chosen: list[Policy | Any] = [*learned, *others]
    bounded = BEST not in baselines  # the bound stands in for the optimum where that is not asked for
    compared = [compare(chosen, test, budget, bounded=bounded) for budget in test.world.budgets]
    return ExitScores(title_of(env, test), compared)


class ExitJudge:
    """See ``agents.worlds.Judge``; held-out episodes of the months of training."""

    columns: Mapping[str, str] = COLUMNS

    def __init__(self, config: TrainConfig, world: Rows) -> None:
        self._name = config.agent.name
        self._world = world
        self._episodes = (
            Episodes.draw(world, config.evaluate_instances, VALIDATION_SEED) if config.evaluate_every else None
        )

    def episode(self, info: Mapping[str, Any]) -> tuple[float, ...]:
        """Return, share accepted, share sent."""
        rows = float(self._world.windows * self._world.generator.rows)
        return float(info["episode"]["r"]), float(info["acceptance"]), float(info["episode_sent"]) / rows

    def of_training(self, episodes: Sequence[tuple[float, ...]]) -> dict[str, float]:
        """See ``Judge``."""
        window = np.array(episodes).mean(axis=0) if len(episodes) else np.full(3, NAN)
        return dict(zip(("return", "accepted", "sent"), map(float, window), strict=True))

    def status(self, episodes: Sequence[tuple[float, ...]]) -> str:
        """See ``Judge``."""
        recent = self.of_training(episodes)
        return f"return {recent['return']:.1f}  accepted {100 * recent['accepted']:.0f} %"

    def of_policy(self, model: MaskableDQN | None) -> tuple[dict[str, float], Score]:
        """See ``Judge``; the score: whether acceptance is missed too often in any budget, then the mean cost."""
        if model is None or self._episodes is None:
            return {name: NAN for name in COLUMNS if name.startswith("eval_")}, (float("inf"), float("inf"))
        policy = LearnedExitPolicy(self._name, model.q_net)
        played = [play(policy, Game.of(self._episodes, budget)) for budget in self._world.budgets]

        def mean(name: str) -> float:
            return float(np.mean([np.mean(getattr(one, name)) for one in played]))

        columns = {
            "eval_cost": mean("cost_per_row"),
            "eval_errors": mean("errors"),
            "eval_rejected": mean("rejected"),
            "eval_sent": mean("sent"),
            "eval_violated": mean("violated"),
        }
        return columns, (_missed(played), columns["eval_cost"])

    def prefers(self, score: Score, best: Score) -> bool:
        """See ``Judge``: the later model, unless acceptance is missed more often or a row costs clearly more.

        Steps become small, and what held-out episodes say of two late models is chance: months of training, few of them.
        """
        return (score[0], score[1] * (1 - TIE)) < best

    def of_best(self, score: Score) -> dict[str, float]:
        """See ``Judge``."""
        return {"best_cost": score[1]}


def _missed(played: Sequence[Played]) -> float:
    """By how much the share of episodes that miss the least acceptance is above what is tolerated, at worst."""
    return max(0.0, *(float(one.violated.mean()) - TOLERATED for one in played))
