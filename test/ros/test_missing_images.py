"""Where images are when none comes, with a graph of our own."""

import pytest

pytest.importorskip("rclpy")

from deviloc_ros.ros.missing_images import IMAGE_TYPES, explain_missing_images

RAW, COMPRESSED = IMAGE_TYPES


class Graph:
    """What a node sees of others: (publishers, type) by topic."""

    def __init__(self, **topics) -> None:
        self.topics = {"/" + name.replace("__", "/"): seen for name, seen in topics.items()}

    def count_publishers(self, topic):
        return self.topics.get(topic, (0, ""))[0]

    def get_topic_names_and_types(self):
        return [(name, [kind]) for name, (_, kind) in self.topics.items()]

    def get_fully_qualified_name(self):
        return "/deviloc"


@pytest.mark.parametrize(
    "graph, said",
    [
        (Graph(), "nobody publishes images"),
        (Graph(image=(0, RAW), scan=(1, "sensor_msgs/msg/LaserScan")), "nobody publishes images"),
        (Graph(deviloc__matches=(1, RAW)), "nobody publishes images"),
        (Graph(image=(1, RAW)), "1 publishes it, and no image came through"),
        (
            Graph(b=(1, RAW), a__compressed=(2, COMPRESSED)),
            "nobody publishes it; there are images on /a/compressed, /b",
        ),
    ],
)
def test_it_says_who_publishes_what(graph, said):
    assert explain_missing_images(graph, "/image") == said
