"""Side by side with the strongest rival at hand, in one run, on one machine."""
