"""An execution, or many, as plain data and as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from inference.split.execution import Execution


def as_data(execution: Execution) -> dict[str, Any]:
    """One execution; bytes and multiplications are those of one input.

    ``seen`` and ``parts`` of each device: layer -> input maps that it had whole; layer -> senders whose partial sums of these
    maps it had one by one. A name may occur twice in a fleet, so that devices are told apart by their index, -1 for the source.
    """
    counted, sent = execution.physics.sent_bytes, execution.sent_bytes
    return {
        **summary(execution),
        "network": execution.network.name,
        "inputs": execution.inputs,
        "latency_s": execution.physics.latency_s,
        "devices": _devices(execution),
        "transfers": [
            {
                "layer": execution.network.layers[layer].name,
                "sender": _index(execution, sender),
                "receiver": _index(execution, receiver),
                "sent_bytes": _each(sent[layer, sender, receiver], execution.inputs),
                "predicted_bytes": int(counted[layer, sender, receiver]),
            }
            for layer, sender, receiver in np.argwhere((sent > 0) | (counted > 0))
        ],
    }


def summary(execution: Execution) -> dict[str, Any]:
    """The figures of one execution as a whole."""
    return {
        "bytes_equal": execution.bytes_equal,
        "sent_bytes": _each(execution.sent_bytes.sum(), execution.inputs),
        "predicted_bytes": int(execution.physics.sent_bytes.sum()),
        "messages": execution.messages,
        "devices_used": len(execution.accounts) - 1,
        "output_difference": execution.difference,
        "output_difference_relative": execution.relative_difference,
        "seconds": execution.seconds,
    }


def of_many(executions: Sequence[Mapping[str, Any]], network: str, inputs: int) -> dict[str, Any]:
    """Figures over the ``summary`` of many executions, and each of them."""

    def worst(key: str) -> Any:
        return max(one[key] for one in executions)

    return {
        "network": network,
        "inputs": inputs,
        "bytes_equal": all(one["bytes_equal"] for one in executions),
        "output_difference": worst("output_difference"),
        "output_difference_relative": worst("output_difference_relative"),
        "allocations": list(executions),
    }


def _devices(execution: Execution) -> list[dict[str, Any]]:
    sent, counted = execution.sent_bytes, execution.physics.sent_bytes
    accounts = {account.slot: account for account in execution.accounts}
    rows = []
    for slot, name in enumerate(execution.names):
        account = accounts.get(slot)
        rows.append(
            {
                "device": _index(execution, slot),
                "name": name,
                "layers": 0 if account is None else len(account.segments),
                "segments": 0 if account is None else sum(account.segments.values()),
                "weight_bytes": 0 if account is None else account.weight_bytes,
                "value_bytes": 0 if account is None else account.value_bytes,
                "mults": 0 if account is None else account.mults,
                "sent_bytes": _each(sent[:, slot].sum(), execution.inputs),
                "predicted_bytes": int(counted[:, slot].sum()),
                "received_bytes": _each(sent[:, :, slot].sum(), execution.inputs),
                "seen": {} if account is None else execution.seen[slot],
                "parts": {}
                if account is None
                else {
                    layer: [_index(execution, sender) for sender in senders]
                    for layer, senders in execution.parts[slot].items()
                },
            }
        )
    return rows


def _index(execution: Execution, slot: int) -> int:
    """Of a device; -1 for the source, as in solution files."""
    return -1 if slot == len(execution.names) - 1 else int(slot)


def _each(total: Any, inputs: int) -> int | float:
    """Bytes of one input: whole, unless something is wrong."""
    whole, rest = divmod(int(total), inputs)
    return whole if rest == 0 else int(total) / inputs


def print_one(data: Mapping[str, Any], title: str) -> None:
    """A line for each device, and what the outputs are worth."""
    from rich.text import Text

    table, console = _table(title)
    for heading in ("device", "layers", "segments", "weights B", "sent B", "predicted B", "difference", "received B"):
        table.add_column(heading, justify="left" if heading == "device" else "right")
    for row in data["devices"]:
        difference = row["sent_bytes"] - row["predicted_bytes"]
        numbers = (row["layers"], row["segments"], row["weight_bytes"], row["sent_bytes"], row["predicted_bytes"])
        cells = [f"{number:,}" for number in (*numbers, difference, row["received_bytes"])]
        table.add_row(Text(row["name"]), *cells)  # Text: names of the user's may hold what rich takes for markup
    total = data["sent_bytes"] - data["predicted_bytes"]
    table.add_section()
    table.add_row(
        "all",
        "",
        f"{sum(row['segments'] for row in data['devices']):,}",
        f"{sum(row['weight_bytes'] for row in data['devices']):,}",
        f"{data['sent_bytes']:,}",
        f"{data['predicted_bytes']:,}",
        f"{total:,}",
        f"{sum(row['received_bytes'] for row in data['devices']):,}",
    )
    console.print(table)
    transfers = len(data["transfers"])
    wrong = sum(one["sent_bytes"] != one["predicted_bytes"] for one in data["transfers"])
    console.print(
        Text(
            f"{transfers - wrong:,} of {transfers:,} transfers (layer, sender, receiver) have the bytes of the physics\n"
            f"{_outputs(data)}\n{data['messages']:,} messages in {data['seconds']:.3f} s; bytes are those of one input"
        )
    )


def print_many(data: Mapping[str, Any], title: str) -> None:
    """What all allocations have in common, and the worst of them."""
    from rich.text import Text

    table, console = _table(title)
    for heading in ("", "least", "mean", "most"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, key, form in (
        ("devices used", "devices_used", ",.4g"),
        ("messages", "messages", ",.5g"),
        ("sent B", "sent_bytes", ",.0f"),
        ("predicted B", "predicted_bytes", ",.0f"),
        ("output difference", "output_difference", ".2e"),
        ("seconds", "seconds", ".3f"),
    ):
        values = [one[key] for one in data["allocations"]]
        table.add_row(name, *(format(value, form) for value in (min(values), np.mean(values), max(values))))
    console.print(table)
    equal = sum(one["bytes_equal"] for one in data["allocations"])
    console.print(
        Text(
            f"{equal} of {len(data['allocations'])} allocations have the bytes of the physics, from whom to whom, after each "
            f"layer\nworst of {data['inputs']} inputs each: {_outputs(data)}"
        ),
        soft_wrap=True,
    )


def _outputs(data: Mapping[str, Any]) -> str:
    of_largest = f"{data['output_difference_relative']:.2e} of the largest"
    return f"outputs differ from those of the whole network by at most {data['output_difference']:.2e}, {of_largest}"


def _table(title: str) -> tuple[Any, Any]:
    import sys

    from rich.console import Console
    from rich.table import Table

    # On paper or in a pipe there is no width to keep to: wide enough that rich cuts no number.
    return Table(title=title, title_justify="left"), Console(width=None if sys.stdout.isatty() else 120)
