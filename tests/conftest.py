"""Settings that all tests share."""

from hypothesis import HealthCheck, settings

# Timings belong in benchmarks; a shared machine may pause a test at any moment.
settings.register_profile(
    "foldrec", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("foldrec")
