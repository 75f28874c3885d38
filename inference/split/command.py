"""What ``python -m inference.split`` does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from conf.split_schema import SplitConfig
    from envs.distprivacy.types import Instance, Network, RequestSolution
    from inference.split.execution import Execution
    from inference.split.layers import SplitNetwork


def run(config: SplitConfig) -> dict[str, Any]:
    """Run the placement, or many; returns the figures of ``inference.split.report``.

    Raises:
        ValueError: one sentence; a file is missing or wrong, or network, instance and solution do not fit together.
        SplitMismatchError: what was sent, or came out, is not what it should be.
    """
    import torch

    torch.set_num_threads(config.threads)
    return _run_one(config) if config.allocations is None else _run_many(config, config.allocations)


def _run_one(config: SplitConfig) -> dict[str, Any]:
    from agents.progress import bar
    from envs.distprivacy.files import check_fits, load_instance, load_solution
    from envs.distprivacy.warmup import warm_up
    from inference.split.report import as_data, print_one

    instance = load_instance(str(config.instance))
    solution = load_solution(str(config.solution))
    check_fits(solution, instance, str(config.solution))
    network = _network(config, instance)
    placement = solution.requests[config.request]
    if placement.rejected:
        field = f"field 'requests[{config.request}].rejected'"
        raise ValueError(f"{config.solution}: {field} is true, expected a request that is served")
    subject = _Subject(config, network)
    warm_up()
    steps = len(network.layers) + 1
    if config.processes:
        steps = len({device for row in placement.layers.values() for device in row} | {-1})
    with bar("run devices" if config.processes else "run layers", steps, shown=config.progress) as tick:
        execution = subject.execute(instance, placement, tick)
    data = as_data(execution)
    if config.format == "text":
        print_one(data, f"{network.name}, request {config.request} of {config.instance}")
    execution.check()  # after the table, which shows what is wrong
    return data


def _run_many(config: SplitConfig, count: int) -> dict[str, Any]:
    import numpy as np

    from agents.progress import bar
    from envs.distprivacy.warmup import warm_up
    from inference.split.allocations import random_allocation
    from inference.split.execution import SplitMismatchError
    from inference.split.report import of_many, print_many, summary

    rng = np.random.default_rng(config.seed)
    subjects: dict[str, _Subject] = {}
    results = []
    with bar("run allocations", count, shown=config.progress) as tick:
        for number, instance in zip(range(count), _instances(config, rng), strict=False):
            network = _network(config, instance)
            if network.name not in subjects:
                subjects[network.name] = _Subject(config, network)
            warm_up()
            placement = random_allocation(instance, config.request, rng)
            execution = subjects[network.name].execute(instance, placement)
            try:
                execution.check()
            except SplitMismatchError as error:
                raise SplitMismatchError(f"allocation {number} of seed {config.seed}: {error}") from error
            results.append(summary(execution))
            tick(number + 1)
    data = of_many(results, ", ".join(subjects), config.inputs)
    if config.format == "text":
        placed = "random allocation" if count == 1 else "random allocations"
        print_many(data, f"{data['network']}, {count} {placed} of {config.instance or config.scenario}")
    return data


def _instances(config: SplitConfig, rng: Any) -> Iterator[Instance]:
    """The instance again and again, or one of the scenario after the other."""
    from envs.distprivacy.files import load_instance
    from envs.distprivacy.scenarios import scenario

    if config.instance is not None:
        instance = load_instance(config.instance)
        while True:
            yield instance
    generator = scenario(str(config.scenario))
    while True:
        yield generator.sample(rng)


def _network(config: SplitConfig, instance: Instance) -> Network:
    """The network of the request. Raises ``ValueError`` where there is no such request."""
    last = len(instance.requests) - 1
    if config.request > last:
        where = config.instance or f"scenario {config.scenario}"
        raise ValueError(f"request is {config.request}, expected at most {last}, the last one of {where}")
    return instance.task.networks[instance.requests[config.request].network]


class _Subject:
    """The network that is run, with its inputs and what it makes of them."""

    def __init__(self, config: SplitConfig, network: Network) -> None:
        from inference.split.execution import check_layers
        from inference.split.subject import fresh, trained

        self.config = config
        self.split: SplitNetwork
        self.inputs: Tensor
        if config.checkpoint is not None:
            self.split, self.inputs = trained(config.checkpoint, config.inputs, config.seed)
        else:
            spec = config.network or network.name
            self.split, self.inputs = fresh(spec, config.shape, network, config.inputs, config.seed)
        check_layers(self.split.network, network, config.instance or f"scenario {config.scenario}")
        self.expected = self.split.whole(self.inputs)

    def execute(
        self, instance: Instance, placement: RequestSolution, tick: Callable[[int], None] | None = None
    ) -> Execution:
        """Run one placement of the request."""
        from inference.split.execution import execute

        return execute(
            self.split,
            instance,
            placement,
            self.inputs,
            request=self.config.request,
            expected=self.expected,
            processes=self.config.processes,
            timeout_s=self.config.timeout,
            tick=tick,
        )
