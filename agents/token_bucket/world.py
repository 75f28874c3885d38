"""Token-bucket offloading as training sees it."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from agents.counterfactual import CounterfactualReplayBuffer
from agents.curves import LEARNING_COLUMNS
from agents.dqn import MaskableDQN
from agents.learned import load_model
from agents.masking import MaskedDQNPolicy
from agents.run_folder import RunFolder
from agents.token_bucket.baselines import available, baseline
from agents.token_bucket.learned import LearnedBucketPolicy
from agents.token_bucket.levels import TokenLevels
from agents.token_bucket.network import TokenPolicy
from agents.token_bucket.scores import BASE, HEADLINE, BucketOutcome, BucketScores, outcome_of, play, score_of
from agents.worlds import Score
from conf.messages import UserError
from conf.schema import DqnConfig, TokenBucketConfig, TrainConfig
from envs._jit import announce_compilation
from envs.token_bucket.build import World as Frames
from envs.token_bucket.scenarios import rates_and_depths
from envs.token_bucket.streams import TEST_SEED, VALIDATION_SEED, Streams

NAN = float("nan")

COLUMNS: dict[str, str] = {
    "step": "environment steps so far, over all environments",
    "return": "mean return of the episodes since the last row, in reward units (with exploration)",
    "loss_rate": "their mean expected loss of a frame",
    "offload_rate": "share of their frames that were sent",
    "episodes": "episodes so far",
    "eval_loss": "mean expected loss of a frame of the greedy policy on held-out streams",
    "eval_loss_realised": "the same with the answers as they came; empty where they are not known",
    "eval_vs_iid": "eval_loss less that of the i.i.d. policy on the same streams",
    "eval_score": "C: share of the gain of the causal optimum over the i.i.d. policy; empty where there is next to none",
    "eval_offload_rate": "share of the held-out frames that the greedy policy sends",
    "best_loss": "lowest eval_loss so far",
    **LEARNING_COLUMNS,
}
"""Column of metrics.csv -> meaning; the TensorBoard tags are ``offramp/<column>``."""


class TokenBucketWorld:
    """See ``agents.worlds.World``."""

    def policy(self, config: TrainConfig) -> tuple[Any, dict[str, Any]]:
        """See ``World``."""
        agent, world = cast(DqnConfig, config.agent), cast(TokenBucketConfig, config.env)
        if agent.policy == "device":
            raise UserError("agent.policy is device, which is for segment allocation, expected token or mlp")
        if agent.policy == "token":
            if world.include_latent:
                raise UserError("agent.policy is token and env.include_latent is true, expected agent.policy=mlp")
            if not agent.masked:
                raise UserError("agent.masked is false and agent.policy is token, expected agent.policy=mlp")
            scale = {"metric_scale": world.metric_scale}
            return TokenPolicy, {"hidden": agent.hidden, "layers": agent.layers, **scale}
        return (MaskedDQNPolicy if agent.masked else "MlpPolicy"), {"net_arch": [agent.hidden] * agent.layers}

    def replay(self, config: TrainConfig, env: Any) -> dict[str, Any]:
        """See ``World``."""
        agent, frames = cast(DqnConfig, config.agent), frames_of(env)
        if agent.replay == "recorded":
            return {}
        model = TokenLevels(frames.dynamics, frames.buckets)
        return {
            "replay_buffer_class": CounterfactualReplayBuffer,
            "replay_buffer_kwargs": {"model": model, "group": agent.group},
            "centred": agent.centred,
        }

    def judge(self, config: TrainConfig, env: Any) -> BucketJudge:
        """See ``World``."""
        return BucketJudge(config, frames_of(env))

    def score(self, config: TrainConfig, env: Any, folder: RunFolder) -> BucketScores:
        """See ``World``."""
        model = load_model(folder.best_model, config.device)
        policy = learned_policy(model, config, frames_of(env))
        frames, world = frames_of(env), cast(TokenBucketConfig, config.env)
        streams = Streams.draw(frames.generator, config.final_instances, world.evaluation_length, TEST_SEED)
        scores = score_all([policy], config.baselines, frames, streams, title_of(world, streams))
        scores.folder = Path(folder.path)
        return scores


def frames_of(env: Any) -> Frames:
    """Traces, buckets and pure functions of an ``SB3VecEnv`` around the vector environment."""
    return cast(Frames, env.env.world)


def learned_policy(
    model: MaskableDQN, config: TrainConfig, frames: Frames, name: str | None = None
) -> LearnedBucketPolicy:
    """The greedy policy of a model in training or loaded."""
    agent = cast(DqnConfig, config.agent)
    return LearnedBucketPolicy(name or agent.name, model.q_net, frames.dynamics.window, masked=agent.masked)


def title_of(world: TokenBucketConfig, streams: Streams) -> str:
    """What is played, in words."""
    given = {name: getattr(world, name) for name in ("rate", "depth", "rates", "depths")}
    rates, depths = ([float(one) for one in numbers] for numbers in rates_and_depths(world.scenario, **given))
    bucket = f"r {', '.join(f'{r:g}' for r in rates)}, b {', '.join(f'{b:g}' for b in depths)}"
    if world.scenario.endswith(".csv"):
        parts = "the whole trace" if len(streams) == 1 else f"{len(streams)} windows of the trace"
        return f"{world.scenario}, {bucket}, {parts}, {streams.length:,} frames"
    return f"{world.scenario}, {bucket}, {len(streams)} held-out streams of {streams.length:,} frames"


def score_all(
    learned: Sequence[LearnedBucketPolicy], baselines: Sequence[str], frames: Frames, streams: Streams, title: str
) -> BucketScores:
    """Every policy on the same streams and buckets; the references of C are played whether they are asked for or not."""
    with announce_compilation():
        outcomes = [_play_learned(one, streams, frames) for one in learned]
        wanted = available(list(baselines), frames.generator)
        for name in set(baselines) - set(wanted):
            print(
                f"{name} is left out: it must know how the trace came about, or cannot be made for it", file=sys.stderr
            )
        references = available([BASE, HEADLINE], frames.generator)
        played = {}
        for name in dict.fromkeys([*wanted, *references]):
            policies = [baseline(name, frames.generator, bucket) for bucket in frames.buckets]
            played[name] = play(name, policies, streams, frames.buckets)
    means = {name: played[name].mean_loss for name in references}
    return BucketScores(title, outcomes + [played[name] for name in wanted], references=means)


def _play_learned(policy: LearnedBucketPolicy, streams: Streams, frames: Frames) -> BucketOutcome:
    started = time.perf_counter()
    sent = policy.play_all(streams, frames.buckets)
    seconds = time.perf_counter() - started
    return outcome_of(policy.name, policy.kind, sent, streams, frames.buckets, seconds)


class BucketJudge:
    """See ``agents.worlds.Judge``; held-out streams next to the references of C."""

    columns: Mapping[str, str] = COLUMNS

    def __init__(self, config: TrainConfig, frames: Frames) -> None:
        self._config, self._frames = config, frames
        self._streams: Streams | None = None
        self._references: dict[str, float] = {}
        if config.evaluate_every:
            length = cast(TokenBucketConfig, config.env).evaluation_length
            self._streams = Streams.draw(frames.generator, config.evaluate_instances, length, VALIDATION_SEED)
            self._references = score_all([], [], frames, self._streams, "").references

    def episode(self, info: Mapping[str, Any]) -> tuple[float, ...]:
        """Return, mean loss, share sent."""
        return float(info["episode"]["r"]), float(info["loss"]), float(info["offload_rate"])

    def of_training(self, episodes: Sequence[tuple[float, ...]]) -> dict[str, float]:
        """See ``Judge``."""
        window = np.array(episodes).mean(axis=0) if len(episodes) else np.full(3, NAN)
        return dict(zip(("return", "loss_rate", "offload_rate"), map(float, window), strict=True))

    def status(self, episodes: Sequence[tuple[float, ...]]) -> str:
        """See ``Judge``."""
        recent = self.of_training(episodes)
        return (
            f"return {recent['return']:.1f}  loss {recent['loss_rate']:.4f}  sent {100 * recent['offload_rate']:.1f} %"
        )

    def of_policy(self, model: MaskableDQN | None) -> tuple[dict[str, float], Score]:
        """See ``Judge``; the score is the mean loss."""
        if model is None or self._streams is None:
            return {name: NAN for name in COLUMNS if name.startswith("eval_")}, (float("inf"),)
        outcome = _play_learned(learned_policy(model, self._config, self._frames), self._streams, self._frames)
        loss, base = outcome.mean_loss, self._references.get(BASE, NAN)
        columns = {
            "eval_loss": loss,
            "eval_loss_realised": float(outcome.realised.mean()),
            "eval_vs_iid": loss - base,
            "eval_score": score_of(loss, base, self._references.get(HEADLINE, NAN)),
            "eval_offload_rate": float(outcome.sends.mean()),
        }
        return columns, (loss,)

    def prefers(self, score: Score, best: Score) -> bool:
        """See ``Judge``: a lower score."""
        return score < best

    def of_best(self, score: Score) -> dict[str, float]:
        """See ``Judge``."""
        return {"best_loss": score[0]}
