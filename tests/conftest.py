"""Hypothesis for all tests: an example may take as long as a busy machine needs for it."""

from __future__ import annotations

import importlib.util

if importlib.util.find_spec("hypothesis"):  # the trainers have an environment of their own, without it
    from hypothesis import HealthCheck, settings

    settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("any machine")
