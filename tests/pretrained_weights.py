"""Tests that need the weights of musicnn, which are installed by themselves."""

from importlib.util import find_spec

import pytest

HAS_WEIGHTS = find_spec("musicnn") is not None
needs_weights = pytest.mark.skipif(not HAS_WEIGHTS, reason="the weights of musicnn are not installed: make pretrained")
