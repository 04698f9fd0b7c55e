"""Neo: a multi-level compiler toolkit that turns trained models into small native programs."""

__version__ = "0.1.0"
