"""How many examples hypothesis draws: few in every run, more at night.

`pytest` draws the same ten or fewer in every run, so that the programs which they
compile are kept; HYPOTHESIS_PROFILE=nightly (or --hypothesis-profile=nightly) draws as
many as each test asks for, and others each time.
"""

import os

from hypothesis import settings

settings.register_profile("ci", max_examples=10, deadline=None, derandomize=True)
settings.register_profile("nightly", max_examples=150, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def examples(most: int) -> settings:
    """So many examples, or fewer where the profile has fewer."""
    return settings(max_examples=min(most, settings().max_examples))
