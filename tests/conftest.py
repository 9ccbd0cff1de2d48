"""For all tests: examples may take as long as a busy machine needs, and children mind Ctrl-C and hang-ups."""

from __future__ import annotations

import importlib.util
import signal

if importlib.util.find_spec("hypothesis"):  # the trainers have an environment of their own, without it
    from hypothesis import HealthCheck, settings

    settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("any machine")

# What is started in the background, or by nohup, ignores these signals, and so would all that the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)
