"""Read recordings without ROS: of ROS 1 and 2, mcap and sqlite3, compressed or not, in one or several files."""

from __future__ import annotations

import logging
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from rosbags.highlevel import AnyReader
from rosbags.typesys import Stores, get_typestore

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd  # which rosbags depends on

log = logging.getLogger(__name__)
TYPES = get_typestore(Stores.ROS2_KILTED)
STORAGES = (".mcap", ".db3", ".bag")
COMPRESSED = (".zstd", ".zst")
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
MAX_MESSAGE_BYTES = 1 << 30  # decompressed; sixty kilobytes may become gigabytes
METADATA = "metadata.yaml"
OF_METADATA = (
    METADATA,
    "bag metadata",
    "metadata key",
    "files are missing",
    "codec",
    "Rosbag2 version",
)  # the words of rosbags
REPAIR = {
    ".mcap": "`mcap recover FILE -o NEW_FILE` saves what was recorded",
    ".db3": "`sqlite3 FILE .recover | sqlite3 NEW_FILE` saves what was recorded",
    ".bag": "`rosbag reindex FILE` saves what was recorded",
}


@dataclass(frozen=True, slots=True)
class RecordedMessage:
    """Hold a serialized message of a bag, in CDR or ROS 1's format, and when it was received [ns]."""

    topic: str
    kind: str
    time_ns: int
    data: bytes
    _decode: Callable[[bytes, str], Any] = field(repr=False)

    def message(self) -> Any:
        """Deserialize it; its fields have the names they have in rclpy (or rospy).

        Raises:
            ValueError: the bytes do not match the type.
        """
        try:
            return self._decode(self.data, self.kind)
        except Exception as error:  # any kind: the bytes are indices and lengths
            raise ValueError(f"{self.topic} at {self.time_ns} ns: not a {self.kind}: {error}") from error


class Recording:
    """Open a bag; use it as a context manager.

    Args:
        path: a folder (rosbag2, or one that holds the parts of a split recording) or a file (.mcap, .db3, .bag, or one
            of them compressed with zstd).

    Raises:
        ValueError: no bag there, or unreadable; the message says what may help.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._files = list_storage_files(self.path)
        self._stack = ExitStack()

    def __enter__(self) -> Recording:
        with name_bag_in_errors(self._files), ExitStack() as stack:
            files = [decompress_file(file, stack) for file in self._files]
            self._reader = AnyReader(files, default_typestore=TYPES)
            self._reader.open()
            stack.callback(self._reader.close)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def is_ros1(self) -> bool:
        """Return whether it was recorded by ROS 1."""
        return not self._reader.is2

    @property
    def topics(self) -> dict[str, str]:
        """Return the type of each topic."""
        return {connection.topic: connection.msgtype for connection in self._reader.connections}

    def count(self, topic: str) -> int:
        """Return the number of messages of a topic."""
        return sum(c.msgcount for c in self._reader.connections if c.topic == topic)

    def messages(
        self, topics: tuple[str, ...] | None = None, start_ns: int | None = None, stop_ns: int | None = None
    ) -> Iterator[RecordedMessage]:
        """Yield messages of `topics` (None: all) in order of receipt, from `start_ns` on and before `stop_ns`.

        Raises:
            ValueError: a topic that the bag does not have, or a damaged file.
        """
        wanted = set(self.topics if topics is None else topics)
        if missing := wanted - set(self.topics):
            there = ", ".join(sorted(self.topics)) or "no topics"
            raise ValueError(f"{self.path}: no topic {', '.join(sorted(missing))}; it has {there}")
        chosen = [c for c in self._reader.connections if c.topic in wanted]
        if not chosen:
            return
        silent = {c.topic for c in chosen if c.msgcount} if start_ns is None and stop_ns is None else set()
        with name_bag_in_errors(self._files):
            for connection, time_ns, data in self._reader.messages(chosen, start_ns, stop_ns):
                silent.discard(connection.topic)
                plain = bytes(data) if self.is_ros1 else decompress_message(bytes(data))
                yield RecordedMessage(connection.topic, connection.msgtype, time_ns, plain, self._reader.deserialize)
            if silent:  # rosbags takes topics of another quality of service than that of the metadata for others
                raise ValueError(
                    f"the files lack messages, or describe them otherwise than {METADATA}: {sorted(silent)}"
                )


def decompress_file(file: Path, stack: ExitStack) -> Path:
    """Decompress a zstd file into a temporary folder that the stack deletes; return other files unchanged."""
    if file.suffix not in COMPRESSED:
        return file
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bag_"))
    plain = Path(folder) / file.stem
    with zstd.open(file, "rb") as packed, plain.open("wb") as unpacked:
        shutil.copyfileobj(packed, unpacked)
    return plain


def decompress_message(data: bytes) -> bytes:
    """Decompress a message that begins with zstd's magic number; CDR begins with a zero byte.

    One that is damaged, or that would become larger than any image, is returned unchanged: deserializing it raises.
    """
    if not data.startswith(ZSTD_MAGIC):
        return data
    decompressor = zstd.ZstdDecompressor()
    try:
        plain = decompressor.decompress(data, MAX_MESSAGE_BYTES)
    except zstd.ZstdError:
        return data
    return plain if decompressor.eof else data


def read_messages(path: Path, recorded: Iterable[RecordedMessage]) -> Iterator[tuple[RecordedMessage, Any]]:
    """Yield messages of the bag at `path` with their content; damaged ones are left out, and counted in a warning."""
    damaged, first_errors = Counter[str](), dict[str, str]()
    for each in recorded:
        try:
            message = each.message()
        except ValueError as error:
            damaged[each.topic] += 1
            first_errors.setdefault(each.topic, str(error))
            continue
        yield each, message
    for topic, count in damaged.items():
        log.warning("%s: %d damaged messages on %s, left out; the first: %s", path, count, topic, first_errors[topic])


@contextmanager
def name_bag_in_errors(files: list[Path]) -> Iterator[None]:
    """Turn errors of rosbags about a damaged file into a ValueError that names the bag and a remedy."""
    try:
        yield
    except Exception as error:  # any kind: rosbags has none of its own for many ways in which a file is damaged
        why = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{files[0]}: not a readable bag: {why}{suggest_remedy(files, why)}") from error


def suggest_remedy(files: list[Path], why: str) -> str:
    """Return a possible remedy in brackets; empty if none is known."""
    inside = list(files[0].iterdir()) if files[0].is_dir() else files
    repair = next((REPAIR[storage_suffix(file)] for file in inside if storage_suffix(file)), "")
    if not repair:
        return ""
    if files[0].is_dir() and any(words in why for words in OF_METADATA):
        return f" (move {METADATA} away, then the files beside it are read without it)"
    return f" (if the recorder was stopped hard, {repair})"


def list_storage_files(path: Path) -> list[Path]:
    """Return what to open: the path itself, or the parts in a folder without metadata.yaml.

    The parts are also returned for a folder whose name ends in .bag, which rosbags would take for a ROS 1 bag.

    Raises:
        ValueError: nothing is there, or it is not a bag.
    """
    kinds = ", ".join((*STORAGES, *(f".mcap{suffix}" for suffix in COMPRESSED)))
    if not path.exists():
        raise ValueError(f"{path}: no such bag")
    if path.is_file():
        if not storage_suffix(path):
            raise ValueError(f"{path}: not a bag; a bag is a folder, or a file of {kinds}")
        return [path]
    if (path / METADATA).exists() and path.suffix != ".bag":
        return [path]
    files = sorted(f for f in path.iterdir() if storage_suffix(f))
    files = [f for f in files if f.suffix not in COMPRESSED or f.with_suffix("") not in files]  # stopped in between
    if empty := [f for f in files if not f.stat().st_size]:  # stopped when a part began
        log.warning("%s: %s is empty, skipped", path, ", ".join(f.name for f in empty))
        files = [f for f in files if f not in empty] or files
    if not files:
        inside = ", ".join(sorted(folder.parent.name for folder in path.glob(f"*/{METADATA}")))
        hint = f"; there are bags in it, name them: {inside}" if inside else ""
        raise ValueError(f"{path}: not a bag; the folder has neither {METADATA} nor files of {kinds}{hint}")
    if len({f.suffix == ".bag" for f in files}) > 1:
        raise ValueError(f"{path}: bags of ROS 1 and of ROS 2 in one folder; name one of them")
    return files


def storage_suffix(file: Path) -> str:
    """Return the suffix of a file's storage format, without compression; empty if it is not a bag."""
    suffix = Path(file.stem).suffix if file.suffix in COMPRESSED else file.suffix
    return suffix if suffix in STORAGES else ""
