"""Training recipes (``conf/experiment``) as checked configs, composed as ``agents.train`` composes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig

from conf.compose import Composer, as_object, without_hydra
from conf.schema import TrainConfig


def training_recipe(name: str, overrides: Sequence[str] = ()) -> TrainConfig:
    """What ``python -m agents.train experiment=NAME OVERRIDES...`` would run; also from within another command.

    Raises:
        UserError: one sentence on a recipe that does not exist or is none of training, or an override that does not fit.
    """
    with _own_hydra() as config_dir:
        composer = Composer("train", TrainConfig, config_dir)
        composed = composer.compose([f"experiment={name}", *overrides])
        return as_object(without_hydra(composed), TrainConfig)


@contextmanager
def _own_hydra() -> Iterator[str | None]:
    """Put Hydra's globals aside, and back at the end; the user's own folder of the command under way, if it has one."""
    hydra, config = GlobalHydra.instance().hydra, HydraConfig.instance().cfg
    try:
        yield None if hydra is None else _folder_of(hydra.config_loader.get_search_path().get_path())
    finally:
        GlobalHydra.instance().hydra, HydraConfig.instance().cfg = hydra, config


def _folder_of(sources: Sequence[object]) -> str | None:
    """The folder that the option ``--config-dir`` named."""
    named = [source for source in sources if getattr(source, "provider", None) == "command-line"]
    return str(getattr(named[0], "path", "")).removeprefix("file://") if named else None
