"""Views that share landmarks, directly or through others, belong together."""

import numpy as np

from deviloc_ros.maps.retrieval.covisibility import cluster_by_covisibility


def test_chains_are_one_cluster_and_strangers_are_apart():
    ids = [np.array(i) for i in ([1, 2], [7, 8], [2, 3], [3, 4], [], [8, 9])]
    assert cluster_by_covisibility(ids) == [[0, 2, 3], [1, 5], [4]]


def test_no_views_are_no_clusters_and_views_without_landmarks_stand_alone():
    assert cluster_by_covisibility([]) == []
    assert cluster_by_covisibility([np.zeros(0, int), np.zeros(0, int)]) == [[0], [1]]
