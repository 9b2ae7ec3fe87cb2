"""How many examples a property is tried with here: enough to find things, few enough for a suite that runs often."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

FEW = settings(max_examples=25, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
SOME = settings(max_examples=100, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
MANY = settings(max_examples=300, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
