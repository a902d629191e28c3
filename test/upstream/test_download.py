"""Fetching released weights: shown, checked, converted; from a server on this machine."""

from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
import torch

from deviloc_ros.cli import main
from deviloc_ros.upstream.checkpoints import CheckpointError, expected_shapes, git_blob_id, read_weights
from deviloc_ros.upstream.download import DownloadError, fetch_release
from deviloc_ros.upstream.releases import MATCHER, RELEASES


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


class BreaksOff(Quiet):
    def copyfile(self, source, outputfile):
        outputfile.write(source.read()[:1000])


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """(folder with topicfm.ckpt, the release that describes it)."""
    folder = tmp_path_factory.mktemp("published")
    shapes = {key: shape for key, shape in expected_shapes().items() if key.startswith(MATCHER)}
    torch.save({"state_dict": {key: torch.zeros(shape) for key, shape in shapes.items()}}, folder / "topicfm.ckpt")
    return folder, replace(RELEASES["topicfm"], blob=git_blob_id(folder / "topicfm.ckpt"))


@pytest.fixture(params=[Quiet])
def url(request, published):
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(request.param, directory=published[0])) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/topicfm.ckpt"
        server.shutdown()


def test_a_release_is_downloaded_checked_and_converted(published, url, tmp_path, capfd):
    path = fetch_release(published[1], tmp_path, url)
    assert path == tmp_path / "topicfm.safetensors" and [p.name for p in tmp_path.iterdir()] == [path.name]
    assert len(read_weights(path)) == 191
    assert "topicfm.ckpt" in capfd.readouterr().err  # the progress bar


@pytest.mark.parametrize("url", [BreaksOff], indirect=True)
def test_a_broken_transfer_is_no_file(published, url, tmp_path):
    with pytest.raises(DownloadError, match=r"topicfm.ckpt: .*try again"):
        fetch_release(published[1], tmp_path, url)
    assert not list(tmp_path.iterdir())


def test_another_file_than_the_released_one_is_refused(url, tmp_path):
    with pytest.raises(DownloadError, match="ff027e60ef291e8559674ccf3ba47ce13972652b"):
        fetch_release(RELEASES["topicfm"], tmp_path, url)
    assert not list(tmp_path.iterdir())


def test_a_server_that_is_not_there_is_one_line(tmp_path, capsys):
    with pytest.raises(SystemExit) as exit:
        main(["fetch-weights", "deviloc", "--url", "http://127.0.0.1:9/none.ckpt", "--output", str(tmp_path)])
    error = capsys.readouterr().err
    assert exit.value.code == 2 and "127.0.0.1:9" in error and "--from FILE" in error


def test_a_file_downloaded_before_is_taken(published, tmp_path):
    folder, release = published
    assert fetch_release(release, tmp_path, file=folder / "topicfm.ckpt").is_file()
    assert (folder / "topicfm.ckpt").is_file()
    with pytest.raises(DownloadError, match=r"absent.ckpt: no such file"):
        fetch_release(release, tmp_path, file=folder / "absent.ckpt")
    with pytest.raises(DownloadError, match="not a web address"):
        fetch_release(release, tmp_path, "file:///etc/passwd")


def test_right_bytes_with_wrong_keys_are_refused(tmp_path):
    torch.save({"state_dict": {"other": torch.zeros(1)}}, tmp_path / "a.ckpt")
    release = replace(RELEASES["deviloc"], blob=git_blob_id(tmp_path / "a.ckpt"))
    with pytest.raises(CheckpointError, match="1 key not known"):
        fetch_release(release, tmp_path / "out", file=tmp_path / "a.ckpt")
