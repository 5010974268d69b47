"""A module whose dependency is missing."""

import sbusr_test_no_such_module  # type: ignore[import-not-found] # noqa: F401
