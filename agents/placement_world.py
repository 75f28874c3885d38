"""Segment allocation as training sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from agents.baselines import baseline
from agents.curves import LEARNING_COLUMNS
from agents.dqn import MaskableDQN
from agents.evaluation import InstanceSet, evaluate
from agents.learned import load_model, policy_of
from agents.masking import MaskedDQNPolicy
from agents.optimality import gap_summary
from agents.policies import DevicePolicy
from agents.run_folder import RunFolder
from agents.scores import Scores, score_all
from agents.worlds import Score
from conf.messages import UserError
from conf.schema import DistPrivacyConfig, DqnConfig, TrainConfig
from envs.distprivacy.generator import Generator
from envs.distprivacy.vector import DistPrivacyVectorEnv
from optimal.standard_sets import TEST_SEED, VALIDATION_SEED

NAN = float("nan")

COLUMNS: dict[str, str] = {
    "step": "environment steps so far, over all environments",
    "return": "mean return of the episodes since the last row, in reward units",
    "latency_ms": "their mean latency over served requests, milliseconds (with exploration)",
    "rejection_rate": "share of these episodes that ended in a rejection",
    "invalid_rate": "share of these episodes that ended in an action that the mask forbids",
    "episodes": "episodes so far",
    "eval_latency_ms": "mean latency of the greedy policy on held-out instances, over served requests, milliseconds",
    "eval_vs_greedy": "that over the greedy heuristic's on the same instances, minus 1",
    "eval_gap": "mean excess of the greedy policy's latency over a proven lower bound, relative; empty where none is known",
    "eval_gap_p95": "95th percentile of that excess over the held-out instances",
    "eval_optimal_share": "share of the instances with a bound that the greedy policy solved to optimality",
    "eval_rejection_rate": "share of the held-out requests that the greedy policy rejected",
    "eval_violations": "violated constraints of the greedy policy's placements, by replay",
    "best_latency_ms": "lowest eval_latency_ms so far among the evaluations with the fewest rejections",
    **LEARNING_COLUMNS,
}
"""Column of metrics.csv -> meaning; the TensorBoard tags are ``offramp/<column>``."""


class PlacementWorld:
    """See ``agents.worlds.World``."""

    def policy(self, config: TrainConfig) -> tuple[Any, dict[str, Any]]:
        """See ``World``."""
        agent, world = cast(DqnConfig, config.agent), cast(DistPrivacyConfig, config.env)
        if agent.policy == "token" or agent.replay != "recorded":
            wrong = "policy is token" if agent.policy == "token" else f"replay is {agent.replay}"
            raise UserError(f"agent.{wrong}, which is for token-bucket offloading, but the environment is {world.id}")
        if agent.policy == "device" and world.observation != "full":
            raise UserError(
                f"agent.policy is device and env.observation is {world.observation}, expected full or agent.policy=mlp"
            )
        if agent.masked and world.observation != "full":
            raise UserError(f"agent.masked is true and env.observation is {world.observation}, which carries no mask")
        if agent.policy == "device":
            return DevicePolicy, {"hidden": agent.hidden, "layers": agent.layers}
        policy = MaskedDQNPolicy if agent.masked else "MlpPolicy"
        return policy, {"net_arch": [agent.hidden] * agent.layers}

    def replay(self, config: TrainConfig, env: Any) -> dict[str, Any]:
        """See ``World``."""
        return {}

    def judge(self, config: TrainConfig, env: Any) -> PlacementJudge:
        """See ``World``."""
        return PlacementJudge(config, _generator(env))

    def score(self, config: TrainConfig, env: Any, folder: RunFolder) -> Scores:
        """See ``World``."""
        best = policy_of(load_model(folder.best_model, config.device), config)
        instances = InstanceSet.draw(_generator(env), config.final_instances, TEST_SEED).with_shipped_bounds()
        world, count = cast(DistPrivacyConfig, config.env), config.final_instances
        ssim = _generator(env).task.ssim  # a file brings its own
        title = f"{world.scenario}, SSIM {ssim:g}, {count} held-out instance{'s' if count > 1 else ''}"
        policies = [best, *(baseline(name) for name in config.baselines)]
        scores = score_all(policies, instances, title, progress=config.progress)
        scores.folder = Path(folder.path)
        return scores


def _generator(env: Any) -> Generator:
    return cast(DistPrivacyVectorEnv, env.env).generator


class PlacementJudge:
    """See ``agents.worlds.Judge``; held-out instances with shipped bounds, next to the greedy heuristic."""

    columns: Mapping[str, str] = COLUMNS

    def __init__(self, config: TrainConfig, generator: Generator) -> None:
        self._config = config
        self._held_out: InstanceSet | None = None
        self._greedy = NAN
        if config.evaluate_every:
            drawn = InstanceSet.draw(generator, config.evaluate_instances, VALIDATION_SEED)
            self._held_out = drawn.with_shipped_bounds()
            self._greedy = evaluate(baseline("greedy"), self._held_out, check=False).mean_latency_s

    def episode(self, info: Mapping[str, Any]) -> tuple[float, ...]:
        """Return, latency in seconds (nan: rejected), rejected, invalid."""
        latency = NAN if info["rejected"] else float(info["latency_s"])
        return float(info["episode"]["r"]), latency, float(info["rejected"]), float(info["invalid_action"])

    def of_training(self, episodes: Sequence[tuple[float, ...]]) -> dict[str, float]:
        """See ``Judge``."""
        window = np.array(episodes) if len(episodes) else np.full((1, 4), NAN)
        served = window[np.isfinite(window[:, 1]), 1]
        return {
            "return": float(window[:, 0].mean()),
            "latency_ms": 1e3 * float(served.mean()) if len(served) else NAN,
            "rejection_rate": float(window[:, 2].mean()),
            "invalid_rate": float(window[:, 3].mean()),
        }

    def status(self, episodes: Sequence[tuple[float, ...]]) -> str:
        """See ``Judge``."""
        recent = self.of_training(episodes)
        return (
            f"return {recent['return']:.2f}  latency {recent['latency_ms']:.3f} ms  "
            f"rejected {100 * recent['rejection_rate']:.0f} %"
        )

    def of_policy(self, model: MaskableDQN | None) -> tuple[dict[str, float], Score]:
        """See ``Judge``; the score is rejections, then latency in seconds."""
        outcome = None
        if model is not None and self._held_out is not None:
            outcome = evaluate(policy_of(model, self._config), self._held_out)
        proven = gap_summary(outcome.gap, outcome.solved) if outcome and np.isfinite(outcome.gap).any() else None
        latency = outcome.mean_latency_s if outcome else NAN
        columns = {
            "eval_latency_ms": 1e3 * latency,
            "eval_vs_greedy": latency / self._greedy - 1.0,
            "eval_gap": NAN if proven is None else proven["gap_mean"],
            "eval_gap_p95": NAN if proven is None else proven["gap_p95"],
            "eval_optimal_share": NAN if proven is None else proven["optimal_share"],
            "eval_rejection_rate": outcome.rejection_rate if outcome else NAN,
            "eval_violations": float(outcome.violations.sum()) if outcome else NAN,
        }
        return columns, (float(outcome.rejected), latency) if outcome else (np.inf, np.inf)

    def prefers(self, score: Score, best: Score) -> bool:
        """See ``Judge``: a lower score."""
        return score < best

    def of_best(self, score: Score) -> dict[str, float]:
        """See ``Judge``."""
        return {"best_latency_ms": 1e3 * score[1] if len(score) > 1 else float("inf")}
