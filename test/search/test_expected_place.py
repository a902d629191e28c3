"""Views near a prior that look most alike may be of a double: where the camera is expected is searched all the same."""

from types import SimpleNamespace

import numpy as np
import pycolmap
import pytest

from deviloc_ros.config import Config
from deviloc_ros.geometry import isotropic_covariance
from deviloc_ros.io.units import Unit
from deviloc_ros.search.places import PlaceSearch
from deviloc_ros.status import Status
from deviloc_ros.stopwatch import Stopwatch
from deviloc_ros.types import Correspondences, Evidence, Localized, Lost, Prior


def at(x: float) -> pycolmap.Rigid3d:
    return pycolmap.Rigid3d(pycolmap.Rotation3d(), np.array([-x, 0.0, 0.0]))


def look(view, inliers: int):
    """What an image gives with the views of one place."""
    evidence = Evidence(
        correspondences(inliers),
        np.ones(inliers, bool),
        cam_from_world=at(view.x),
        references=(view.name,),
    )
    if inliers < 30:
        return Lost(Status.FEW_INLIERS, evidence=evidence)
    return Localized(at(view.x), isotropic_covariance(0.01, 0.01), evidence)


def correspondences(count: int) -> Correspondences:
    points, ones = np.zeros((count, 3)), np.ones(count)
    return Correspondences(points[:, :2], points, ones, ones, np.zeros(count, int), points)


@pytest.mark.parametrize("unit", Unit)
@pytest.mark.parametrize(("alike", "here"), [(500, 400), (400, 500), (500, 20), (20, 500)])
def test_the_place_where_the_camera_is_expected_is_searched_beside_its_double(alike, here, unit):
    expected, double = SimpleNamespace(name="here", x=0.0), SimpleNamespace(name="double", x=4.0)
    tried = []

    def localize(views, query, least_inliers=0):
        tried.append(views[0].name)
        return look(views[0], {"here": here, "double": alike}[views[0].name])

    reference_map = SimpleNamespace(
        nearby_views=lambda *_: [double],
        views_by_pose=lambda *_: [expected],
        shown_from=lambda views, *_: np.ones((1, 12)),
        unit=unit,
    )
    search = PlaceSearch(reference_map, Config(), localize, localize)
    query = SimpleNamespace(features=None, camera=None, watch=Stopwatch())
    result = search.search(query, Prior(at(0.0)), np.zeros((2, 2), np.uint8))
    assert tried == ["double", "here"]
    found = [round(float(place.cam_from_world.inverse().translation[0])) for place in result.evidence.places]
    assert found == [x for _, x in sorted([(-alike, 4), (-here, 0)]) if {4: alike, 0: here}[x] >= 30]
    assert result.reason is Status.AMBIGUOUS if len(found) > 1 else isinstance(result, Localized)
    assert all(f") {unit.symbol}, as view" in str(place) for place in result.evidence.places)


def test_where_the_camera_is_found_as_expected_nothing_else_is_searched():
    expected = SimpleNamespace(name="here", x=0.0)
    tried = []

    def localize(views, query, least_inliers=0):
        tried.append(views[0].name)
        return look(views[0], 400)

    reference_map = SimpleNamespace(
        nearby_views=lambda *_: [expected], shown_from=lambda views, *_: np.ones((1, 12)), unit=Unit.METRE
    )
    search = PlaceSearch(reference_map, Config(), localize, localize)
    query = SimpleNamespace(features=None, camera=None, watch=Stopwatch())
    assert isinstance(search.search(query, Prior(at(0.1)), np.zeros((2, 2), np.uint8)), Localized)
    assert tried == ["here"]
