"""Offramp's Gymnasium environments, registered on import: ``gym.make("envs:offramp/DistPrivacy-v0")``."""

from gymnasium.envs.registration import register, registry

ENVIRONMENTS = ("offramp/DistPrivacy-v0",)
"""Ids of all environments of this package."""

if ENVIRONMENTS[0] not in registry:
    register(
        id=ENVIRONMENTS[0],
        entry_point="envs.distprivacy.env:DistPrivacyEnv",
        vector_entry_point="envs.distprivacy.vector:DistPrivacyVectorEnv",
        # the conformance tests check what the passive checker would check on every user's first step
        disable_env_checker=True,
    )
