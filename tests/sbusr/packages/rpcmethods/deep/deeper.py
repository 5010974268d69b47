"""A module in a package in the package."""

import json


def bottom(a: int) -> str:
    return json.dumps(a)
