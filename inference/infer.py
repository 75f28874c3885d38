"""``python -m inference.infer``: answers for the rows of a file, by all exits, or by the exit that is certain enough."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agents.cli import main
from conf.inference_schema import InferConfig

if TYPE_CHECKING:
    from inference.early_exit.checkpoint import TrainedNetwork
    from inference.early_exit.decisions import Decisions
    from inference.early_exit.forward import Scores
    from inference.early_exit.rows import Rows


def run(config: InferConfig) -> dict[str, Any]:
    """Write the answers; returns accuracy and certainty of each exit, and shares of what was decided."""
    import torch

    from agents.progress import bar
    from envs.strict_json import write_text
    from inference.early_exit.checkpoint import load_network
    from inference.early_exit.decisions import decide, summary
    from inference.early_exit.forward import score
    from inference.early_exit.preprocessing import distinct
    from inference.early_exit.results_file import render_results
    from inference.early_exit.rows import load_rows

    torch.set_num_threads(config.threads)
    model = load_network(config.checkpoint)
    thresholds = _thresholds(config, model)
    rows = load_rows(config.data, model.preprocessor.names)
    count = len(distinct(model.preprocessor(rows.features))[0])
    with bar("infer", count, shown=config.progress) as tick:
        scores = score(model, rows.features, tick=tick)
    decisions = None if thresholds is None else decide(scores, thresholds)
    write_text(config.out, render_results(scores, rows.label, decisions))
    result = _result(config, rows, scores)
    if decisions is not None:
        result["decision"] = summary(decisions, rows.label, model.exits)
    if config.format == "text":
        _print(result, decisions)
    return result


def _thresholds(config: InferConfig, model: TrainedNetwork) -> Any:
    from inference.early_exit.decisions import thresholds_from, thresholds_of

    if config.thresholds is not None:
        return thresholds_from(config.thresholds, config.action, model.exits)
    return thresholds_of(config.accept, config.reject, model.exits) if config.accept else None


def _result(config: InferConfig, rows: Rows, scores: Scores) -> dict[str, Any]:
    accuracy = None if rows.label is None else (scores.predicted == rows.label).mean(axis=1).tolist()
    certainty = scores.certainty.mean(axis=1).tolist()
    return {"out": config.out, "rows": len(rows), "accuracy": accuracy, "certainty": certainty}


def _print(result: dict[str, Any], decisions: Decisions | None) -> None:
    for k, certainty in enumerate(result["certainty"]):
        accuracy = "" if result["accuracy"] is None else f"Accuracy: {result['accuracy'][k]:.3f}, "
        print(f"Exit {k + 1}: {accuracy}Avg Certainty: {certainty:.3f}")
    if decisions is not None:
        shares = result["decision"]
        print(f"Rejection: {shares['rejected']:.2%}")
        if shares["accuracy"] is not None:
            print(f"Accuracy of what is accepted: {shares['accuracy']:.2%}")
        print(f"Offloaded: {shares['offloaded']:.2%}")
    print(f"{result['rows']} answers: {result['out']}")


if __name__ == "__main__":
    raise SystemExit(main("inference_infer", InferConfig, run, ("checkpoint", "data", "thresholds", "out")))
