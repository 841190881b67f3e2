"""`edgedeblur presets`: the networks of the family with their parameters and MACs."""

from __future__ import annotations

import argparse
import json

from training.config import MAC_BUDGETS, PRESETS
from training.cost import macs, parameters


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `edgedeblur presets`."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print a line for each preset."""
    rows = [(name, parameters(config), macs(config), MAC_BUDGETS.get(name)) for name, config in PRESETS.items()]
    if arguments.json:
        keys = ("preset", "parameters", "macs_720p", "budget")
        print(json.dumps([dict(zip(keys, row, strict=True)) for row in rows]))
        return 0
    print(f"{'preset':8} {'parameters':>10}  {'GMACs at 1280x720':>17}  {'budget':>6}")
    for name, values, spent, budget in rows:
        print(f"{name:8} {values / 1e6:>9.2f}M  {spent / 1e9:>17.2f}  {f'{budget / 1e9:.0f}' if budget else '-':>6}")
    return 0
