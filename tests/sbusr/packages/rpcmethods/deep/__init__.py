"""A package in the package."""


def inner_function() -> str:
    return "deep"
