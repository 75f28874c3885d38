"""Trained policies: load a run folder and act, without Hydra."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch as th
from numpy.typing import NDArray

from agents.checkpoint import UNREADABLE, check_archive, is_of_another_version
from agents.dqn import MaskableDQN
from agents.masking import masked_values, split_mask
from agents.run_folder import RunFolder
from conf.messages import UserError
from conf.schema import DistPrivacyConfig, EarlyExitConfig, TokenBucketConfig, TrainConfig
from envs.distprivacy.env import DistPrivacyEnv
from envs.distprivacy.simulator import Options

if TYPE_CHECKING:
    from agents.early_exit.learned import LearnedExitPolicy
    from agents.search import SearchPolicy
    from agents.token_bucket.learned import LearnedBucketPolicy


class LearnedPolicy:
    """The greedy policy of a trained Q-network.

    ``act`` answers one observation ``(L,)`` with an int, a batch ``(B, L)`` with an int64 array ``(B,)``. A policy with the
    shared device network answers observations of any number of device slots; a flat one only those that it was trained on.
    """

    respects_privacy = True

    def __init__(self, name: str, q_net: Any, options: Options, *, masked: bool, fixed_length: int | None) -> None:
        self.name, self.options = name, options
        self._q_net, self._masked, self._length = q_net, masked, fixed_length

    def act(self, observation: NDArray[np.float32], env: DistPrivacyEnv | None = None) -> Any:
        """Device for the next map; ``env`` is not needed. Raises ``ValueError`` for an observation of another size."""
        observation = np.asarray(observation, np.float32)
        actions = self.values(np.atleast_2d(observation)).argmax(axis=1)
        return actions if observation.ndim == 2 else int(actions[0])

    def values(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Q-values ``(B, D)`` of observations ``(B, L)``, minus infinity where the mask forbids; see ``act``."""
        if self._length is not None and batch.shape[1] != self._length:
            raise ValueError(
                f"policy {self.name} answers observations of {self._length} numbers, expected an environment with the device "
                f"slots of its training, got {batch.shape[1]} numbers"
            )
        with th.no_grad():
            tensor = th.as_tensor(batch, device=self._q_net.device)
            q = self._q_net(tensor)
            mask = split_mask(tensor, q.shape[1])[1] if self._masked else None
            return cast(NDArray[np.float32], masked_values(q, mask).cpu().numpy())


def env_options(config: DistPrivacyConfig) -> Options:
    """How an environment of this config presents itself."""
    names = ("episode", "reward", "observation", "granularity", "inherit", "sigma", "beta", "traffic_price")
    return Options(**{name: getattr(config, name) for name in names})


def policy_of(model: MaskableDQN, config: TrainConfig, name: str | None = None) -> LearnedPolicy:
    """The greedy policy of a model in training or loaded."""
    agent, env = cast(Any, config.agent), cast(DistPrivacyConfig, config.env)
    space = cast(Any, model.observation_space)
    length = None if agent.policy == "device" else int(space.shape[0])
    return LearnedPolicy(name or agent.name, model.q_net, env_options(env), masked=agent.masked, fixed_length=length)


def load_model(path: str | os.PathLike[str], device: str = "auto") -> MaskableDQN:
    """The model in a ``.zip`` of a run folder.

    Raises ``UserError`` when it cannot be read, or was written by a version of offramp with another network.
    """
    if not Path(path).is_file():
        raise UserError(
            f"model {path} does not exist, expected the best_model.zip of a run that has been evaluated once"
        )
    try:
        check_archive(Path(path))
        return MaskableDQN.load(Path(path), device=device)
    except (*UNREADABLE, AssertionError) as error:  # SB3 asserts that the file holds what it needs
        if is_of_another_version(error):
            raise UserError(
                f"model {path} was written by another version of the network, expected one of this version: train again"
            ) from error
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"model {path} cannot be read ({first}), expected a file that agents.train has written"
        ) from error


def load(
    run: str | os.PathLike[str],
    device: str = "auto",
    *,
    samples: int = 1,
    local_search: bool = False,
    seed: int = 0,
) -> LearnedPolicy | SearchPolicy | LearnedBucketPolicy | LearnedExitPolicy:
    """The best policy of a run folder: ``agents.load("runs/...").act(observation)``.

    Of a run of token-bucket offloading it is an ``agents.token_bucket.learned.LearnedBucketPolicy``, of one of early exit an
    ``agents.early_exit.learned.LearnedExitPolicy``; these search nothing.

    ``samples`` > 1: the best of so many placements drawn from it, by ``seed``; ``local_search``: moves of single maps on the
    result. It then plans whole requests (``agents.search``) and acts by ``act(observation, env)``.

    Raises ``UserError`` (a ``ValueError``) for a missing or broken folder or model.
    """
    folder = RunFolder.open(run)
    model = load_model(folder.best_model, device)
    name = f"{folder.config.agent.name} ({folder.path.name})"
    env = folder.config.env
    if isinstance(env, TokenBucketConfig | EarlyExitConfig):
        if samples > 1 or local_search:
            raise UserError(f"run {run} is of {env.id}, where nothing is searched, expected samples=1")
    if isinstance(env, TokenBucketConfig):
        from agents.token_bucket.runs import policy_of_run

        return policy_of_run(folder, model, name)
    if isinstance(env, EarlyExitConfig):
        from agents.early_exit.learned import LearnedExitPolicy

        return LearnedExitPolicy(name, model.q_net)
    policy = policy_of(model, folder.config, name)
    return with_search(policy, samples, local_search, seed)


def with_search(
    policy: LearnedPolicy, samples: int = 1, local_search: bool = False, seed: int = 0
) -> LearnedPolicy | SearchPolicy:
    """``policy`` itself where nothing is searched, else an ``agents.search.SearchPolicy`` on it."""
    if samples == 1 and not local_search:
        return policy
    from agents.search import SearchPolicy

    return SearchPolicy(policy, samples=samples, local_search=local_search, seed=seed)
