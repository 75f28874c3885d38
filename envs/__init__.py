"""Offramp's Gymnasium environments, registered on import: ``gym.make("envs:offramp/DistPrivacy-v0")``.

``offramp/DistPrivacy-v0``: segment allocation with privacy limits, where each feature map of a CNN runs (RL-DistPrivacy).
``offramp/TokenBucket-v0``: token-bucket offloading, when an image is worth sending through a rate-limited network.
``offramp/EarlyExit-v0``: early exit, how sure each exit of a network must be before it answers.
"""

from gymnasium.envs.registration import register, registry

_CLASSES = {
    "offramp/DistPrivacy-v0": ("envs.distprivacy.env:DistPrivacyEnv", "envs.distprivacy.vector:DistPrivacyVectorEnv"),
    "offramp/EarlyExit-v0": ("envs.early_exit.env:EarlyExitEnv", "envs.early_exit.vector:EarlyExitVectorEnv"),
    "offramp/TokenBucket-v0": ("envs.token_bucket.env:TokenBucketEnv", "envs.token_bucket.vector:TokenBucketVectorEnv"),
}

ENVIRONMENTS = tuple(_CLASSES)
"""Ids of all environments of this package."""

for _id, (_entry_point, _vector_entry_point) in _CLASSES.items():
    if _id not in registry:
        register(
            id=_id,
            entry_point=_entry_point,
            vector_entry_point=_vector_entry_point,
            # the conformance tests check what the passive checker would check on every user's first step
            disable_env_checker=True,
        )
