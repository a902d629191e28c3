"""The page to watch a robot: what it shows of a step, that only browsers of this machine see it, how it looks."""

import http.client
import json
import queue

import numpy as np
import pycolmap
import pytest
from bags_of_others import drive
from pages import assert_a_browser_draws_it, assert_needs_nothing_but_itself
from small_maps import reference_view, write_map
from test_cli import assert_one_line, status_of

from deviloc_ros.maps.store import Map
from deviloc_ros.status import Status
from deviloc_ros.tracking.fix import Fix
from deviloc_ros.tracking.step import Step
from deviloc_ros.view.events import draw_ellipsoid, event_from_status, event_from_step
from deviloc_ros.view.page import make_map_scene, make_view_page
from deviloc_ros.view.server import MAX_KEPT, MAX_WAITING, Broadcast, PageServer, next_message

FIX = Fix(5, pycolmap.Rigid3d(pycolmap.Rotation3d(), np.array([1.0, 2.0, 3.0])), np.diag([1e-4, 4e-4, 9e-4, 1, 1, 1]))


@pytest.fixture
def small_map(tmp_path):
    write_map(tmp_path / "small.map", [reference_view(number) for number in range(3)])
    return Map.open(tmp_path / "small.map")


def events_of(small_map, count=3):
    pixels = np.full((48, 64, 3), 90, np.uint8)
    given = Step(10**18 + 1, Status.ACCEPTED, fix=FIX)
    lost = Step(10**18 + 2, Status.FEW_INLIERS, "too few inliers: 7 </script> of 30")
    return [event_from_step(step, "localized", {"": pixels}, small_map, 0.5) for step in (given, lost, given)[:count]]


def test_a_step_says_where_the_robot_is_and_how_sure(small_map):
    given, lost, _ = events_of(small_map)
    assert given["position"] == [1000, 2000, 3000] and given["axes"][0] == [1000, 2000, 3000, 1500, 2000, 3000]
    assert given["std"].startswith("3.00 cm") and given["picture"].startswith("data:image/jpeg;base64,")
    assert "position" not in lost and (lost["status"], lost["state"]) == ("few_inliers", "localized")
    assert given["time_ns"] == "1000000000000000001"  # all digits


def test_the_ellipsoid_has_three_standard_deviations():
    rng = np.random.default_rng(0)
    root = rng.normal(size=(3, 3))
    covariance = root @ root.T
    for circle in draw_ellipsoid(FIX.map_from_base.translation, covariance):
        offset = circle - FIX.map_from_base.translation
        assert np.allclose(np.einsum("ni,ij,nj->n", offset, np.linalg.inv(covariance), offset), 9.0)
        assert np.allclose(circle[0], circle[-1])


def test_the_words_of_another_version_of_the_node_are_shown_as_they_are():
    assert event_from_status({"reason": "few_inliers"}, 7)["sentence"] == Status.FEW_INLIERS.sentence
    assert event_from_status({"reason": "unheard_of"}, 7)["sentence"] == "unheard_of"
    assert event_from_status({}, 7)["references"] == []


def test_who_listens_gets_the_newest_and_who_is_slow_misses_the_oldest():
    broadcast = Broadcast()
    slow = broadcast.listen()
    for number in range(MAX_KEPT + 50):
        broadcast.send({"number": number})
    assert [event["number"] for event in broadcast.kept()] == list(range(50, MAX_KEPT + 50))
    assert slow.qsize() == MAX_WAITING and slow.get()["number"] == MAX_KEPT + 50 - MAX_WAITING
    broadcast.forget(slow)
    broadcast.send({"number": -1})
    assert slow.qsize() == MAX_WAITING - 1


def test_a_message_of_the_stream():
    waiting = queue.Queue()
    waiting.put({"text": "two\nlines"})
    assert next_message(waiting) == b'data: {"text": "two\\nlines"}\n\n'


def test_the_server_gives_the_page_and_then_events_as_they_come():
    server = PageServer(lambda events: f"page of {len(events)}")
    try:
        server.events.send({"number": 1})
        host = server.url.removeprefix("http://").rstrip("/")
        connection = http.client.HTTPConnection(host, timeout=20)
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"page of 1"
        connection = http.client.HTTPConnection(host, timeout=20)
        connection.request("GET", "/events")
        stream = connection.getresponse()
        server.events.send({"number": 2})
        lines = [stream.fp.readline() for _ in range(4)]
        assert [json.loads(line.removeprefix(b"data: ")) for line in lines[::2]] == [{"number": 1}, {"number": 2}]
        for path, headers, status in (("/", {"Host": "elsewhere.example"}, 403), ("/../etc/passwd", {}, 404)):
            other = http.client.HTTPConnection(host, timeout=20)
            other.request("GET", path, headers=headers)
            assert other.getresponse().status == status
    finally:
        server.close()


@pytest.mark.parametrize("port", ["taken", 70000, -1])
def test_a_port_that_cannot_be_served_is_named(port):
    server = PageServer(lambda events: "")
    port = int(server.url.rstrip("/").rpartition(":")[2]) if port == "taken" else port
    try:
        with pytest.raises(ValueError, match=f"port {port} cannot be served"):
            PageServer(lambda events: "", port)
    finally:
        server.close()


def test_the_page_needs_nothing_but_itself_and_no_text_becomes_code(small_map):
    page = make_view_page(small_map, make_map_scene(small_map), events_of(small_map), live=False)
    assert_needs_nothing_but_itself(page, 1)
    assert page.count("</script>") == 1 and "connect-src 'none'" in page
    assert "connect-src 'self'" in make_view_page(small_map, make_map_scene(small_map), [], live=True)


@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_draws_it(small_map, tmp_path, width):
    page = make_view_page(small_map, make_map_scene(small_map), events_of(small_map), live=False)
    turned = assert_a_browser_draws_it(page, tmp_path, width, 0)
    assert turned["colours"] > 5 and len(set(turned["views"])) > 3


def test_a_map_alone_can_be_viewed_and_flags_that_do_not_fit_are_named(small_map, tmp_path, capsys):
    assert status_of("view", small_map.folder, "--output", tmp_path / "view.html") == 0
    assert "0 images" in capsys.readouterr().out and (tmp_path / "view.html").is_file()
    assert status_of("view", small_map.folder, "--node", "--output", tmp_path / "of_node.html") == 2
    assert_one_line(capsys, "--node")
    assert status_of("view", tmp_path / "nowhere", "--output", tmp_path / "other.html") == 2
    assert_one_line(capsys, "nowhere")


def test_a_recording_is_followed_image_by_image(tmp_path):
    from ros.stand_in import StandInLocalizer

    from deviloc_ros.bags.bag_plan import index_bag
    from deviloc_ros.bags.reader import Recording
    from deviloc_ros.config import TrackingConfig
    from deviloc_ros.evaluation.recordings.bag_run import EvaluationPlan, follow_images

    with Recording(drive(tmp_path / "bag")) as recording:
        indexed = index_bag(recording, EvaluationPlan())
        steps = list(follow_images(indexed, EvaluationPlan(), StandInLocalizer(), TrackingConfig()))
    states = [state for *_, state in steps]
    assert states[:3] == ["unlocalized", "unlocalized", "localized"] and len(steps) == 12
    assert all(set(pixels) == {""} for _, pixels, _, _ in steps)
