"""A thinned sequence is short enough, begins where the whole does, and is spread evenly."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from deviloc_ros.sampling import thin_evenly


@given(st.integers(0, 500), st.integers(1, 60))
def test_at_most_so_many_evenly_spread(count, most):
    few = thin_evenly(list(range(count)), most)
    assert len(few) <= most and few[:1] == list(range(count))[:1]
    assert len(set(np.diff(few))) <= 1
    assert count > most or few == list(range(count))


def test_arrays_and_tensors_are_thinned_along_their_first_axis():
    assert thin_evenly(np.zeros((10, 3)), 5).shape == (5, 3)
    assert thin_evenly(torch.zeros(10, 3), 3).shape == (3, 3)
