"""``python -m agents.timeline``: which frames of a trace each policy of token-bucket offloading sends, as a picture."""

from __future__ import annotations

from typing import Any

from agents.cli import main
from conf.messages import UserError
from conf.token_bucket_schema import TimelineConfig


def run(config: TimelineConfig) -> dict[str, Any]:
    """Draw by ``config``."""
    import torch

    from agents.learned import load_model
    from agents.run_folder import RunFolder
    from agents.token_bucket.baselines import baseline
    from agents.token_bucket.runs import asked_for, frames_of_config, policy_of_run, settings_of
    from agents.token_bucket.timeline import draw_timeline
    from envs.token_bucket.generator import TraceList
    from envs.token_bucket.streams import Streams

    torch.set_num_threads(1)
    folders = [RunFolder.open(path) for path in config.run]
    world = asked_for(config, settings_of(folders[0]) if folders else None)
    frames = frames_of_config(world)
    bucket, generator = frames.buckets[0], frames.generator
    if isinstance(generator, TraceList):
        streams = Streams.of_trace(generator.traces[0], generator.weak_loss)
    else:
        streams = Streams.draw(generator, 1, config.start + config.count, config.seed)
    if config.start >= streams.length:
        raise UserError(f"start is {config.start}, but the trace has {streams.length} decisions, expected fewer")
    count = min(config.count, streams.length - config.start)
    several = len(folders) > 1
    sent = {}
    for folder in folders:
        own = folder.config.agent.name
        name = f"{own} ({folder.path.name})" if several else own
        sent[name] = policy_of_run(folder, load_model(folder.best_model), name).play(streams, bucket)[0]
    for name in config.baselines:
        try:
            sent[name] = baseline(name, generator, bucket, config.seed).play(streams, bucket)[0]
        except ValueError as error:
            raise UserError(str(error)) from error
    title = f"{world.scenario}, {bucket}, frames {config.start:,} to {config.start + count - 1:,}"
    counts = draw_timeline(streams, bucket, sent, config.out, start=config.start, count=count, title=title)
    if config.format == "text":
        print(f"{config.out}: " + ", ".join(f"{name} {number}" for name, number in counts.items()))
    return {"out": config.out, "title": title, "counts": counts}


if __name__ == "__main__":
    raise SystemExit(main("timeline", TimelineConfig, run, ("run", "instance", "out")))
