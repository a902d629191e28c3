"""Show a page to watch a map, a recording being localized in it, or a running node: `view`."""

from __future__ import annotations

import argparse
import time
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deviloc_ros.commands.flags.common import (
    add_config,
    parse_zero_or_more,
    read_config_for_map,
    set_results,
    take_tracking,
)
from deviloc_ros.commands.flags.recordings import add_robot, add_sampling, add_topics, add_truth, read_plan
from deviloc_ros.io.atomic import write_whole

Send = Callable[[dict[str, Any]], None]
AXIS_SHARE = 0.08  # length of the robot's axes, of the radius of what is drawn


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument("map", type=Path, metavar="MAP", help="the map folder")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--bag", type=Path, metavar="BAG", help="localize this recording and show the progress")
    what.add_argument("--node", action="store_true", help="show what the running node does (needs ROS 2)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the page there instead of serving it")
    parser.add_argument("--port", type=int, default=0, metavar="N", help="default: a free port")
    parser.add_argument("--no-browser", action="store_true", help="only print the address of the page")
    parser.add_argument("--rate", type=parse_zero_or_more, default=0.0, help="playback speed; 0: as fast as possible")
    add_topics(parser)
    add_truth(parser.add_argument_group("ground truth (not shown)"))
    add_robot(parser.add_argument_group("the robot"))
    add_sampling(parser.add_argument_group("which images"))
    add_config(parser, of_map=True)
    set_results(parser, files=["output"])
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the page, or serve it until Ctrl-C."""
    from deviloc_ros.maps.inspect import check_metres
    from deviloc_ros.maps.store import Map
    from deviloc_ros.view.page import make_map_scene, make_view_page

    if options.output and options.node:
        raise ValueError("--output writes a finished page: do not give --node")
    reference_map = Map.open(options.map)
    if options.bag:
        check_metres([reference_map])
    drawn = make_map_scene(reference_map)
    axis_m = AXIS_SHARE * drawn["radius"] / 1000
    if options.output:
        events: list[dict[str, Any]] = []
        if options.bag:
            follow_recording(options, axis_m, events.append)
        write_whole(options.output, make_view_page(reference_map, drawn, events, live=False))
        print(f"{options.output}: {len(events)} images")
        return 0
    serve(options, lambda events: make_view_page(reference_map, drawn, events, live=True), axis_m)
    return 0


def serve(options: argparse.Namespace, page: Callable[[list[dict[str, Any]]], str], axis_m: float) -> None:
    """Serve the page and fill it, until Ctrl-C."""
    from deviloc_ros.view.server import PageServer

    server = PageServer(page, options.port)
    try:
        print(f"{server.url}  (Ctrl-C ends it)", flush=True)
        if not options.no_browser:
            webbrowser.open(server.url)
        if options.bag:
            follow_recording(options, axis_m, server.events.send)
        if options.node:
            from deviloc_ros.ros.tools.node_events import watch_node

            watch_node(axis_m, server.events.send)
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        print()
    finally:
        server.close()


def follow_recording(options: argparse.Namespace, axis_m: float, send: Send) -> None:
    """Localize a recording as the node would, and send an event for each image. Raises ValueError."""
    from deviloc_ros.bags.bag_plan import index_bag
    from deviloc_ros.bags.reader import Recording
    from deviloc_ros.evaluation.recordings.bag_run import follow_images
    from deviloc_ros.localizer import Localizer
    from deviloc_ros.maps.store import Map
    from deviloc_ros.view.events import event_from_step

    plan, tracking, reference_map = read_plan(options), take_tracking(options), Map.open(options.map)
    localizer = Localizer(reference_map, read_config_for_map(options, reference_map.config))
    with Recording(options.bag) as recording:
        bag = index_bag(recording, plan)
        start_s, first_ns = time.monotonic(), None
        for images, pixels, step, state in follow_images(bag, plan, localizer, tracking):
            time_ns = images[-1].received_ns
            first_ns = time_ns if first_ns is None else first_ns
            if options.rate > 0:
                due_s = start_s + (time_ns - first_ns) * 1e-9 / options.rate
                time.sleep(max(0.0, due_s - time.monotonic()))
            send(event_from_step(step, state, pixels, reference_map, axis_m))
