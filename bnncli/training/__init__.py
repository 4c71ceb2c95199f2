"""Training: settings, the loop, run directories; ``experiment.py`` ties them together."""
