"""Settings shared by every test: hypothesis draws the same examples each time and never fails for being slow."""

from hypothesis import HealthCheck, Phase, settings

settings.register_profile(
    "repeatable",
    derandomize=True,
    deadline=None,
    max_examples=25,
    phases=[Phase.explicit, Phase.generate],  # most examples grow from a seed, and seeds do not shrink
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("repeatable")
