"""--mask, from the command line to the keypoints: what is used, and what is wrong with a mask, said by name."""

import cv2
import numpy as np
import pytest
from PIL import Image

from deviloc_ros.cli import main
from deviloc_ros.imaging import ImageError
from deviloc_ros.masks import MASK_MARGIN_PX, Mask, Masks, paint_hidden

SIZE = (64, 48)


def write(path, pixels) -> Mask:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.asarray(pixels, np.uint8))
    return Mask(path)


def lower_half(value=255):
    pixels = np.zeros(SIZE[::-1])
    pixels[24:] = value
    return pixels


def test_white_is_used_at_a_margin_from_what_is_not(tmp_path):
    used = write(tmp_path / "mask.png", lower_half()).read(SIZE)
    assert used.shape == SIZE[::-1] and used[24 + MASK_MARGIN_PX :].all() and not used[: 24 + MASK_MARGIN_PX].any()


def test_what_was_found_hides_beside_a_file(tmp_path):
    hidden = np.zeros((3, 4), bool)
    hidden[:, 0] = True
    used = Mask(write(tmp_path / "mask.png", lower_half()).file, hidden).read(SIZE)
    assert not used[:, :16].any() and not used[:24].any() and used[40, 40]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (np.zeros(SIZE[::-1]), "black everywhere"),
        (lower_half(120), "black everywhere"),
        (np.full((20, 30), 255), "30 x 20"),
        (None, "no such image"),
        (b"", "not an image|cannot decode"),
        (b"text", "not an image"),
    ],
    ids=["black", "dark", "size", "missing", "empty", "text"],
)
def test_a_mask_that_cannot_be_used_is_named(tmp_path, content, said):
    path = tmp_path / "of the gripper.png"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        write(path, content)
    with pytest.raises(ImageError, match=rf"(?s)of the gripper\.png.*({said})|({said}).*of the gripper\.png"):
        Mask(path).read(SIZE)


@pytest.mark.parametrize("file", ["seq/a.jpg", "seq/a.png", "seq/a.jpg.png"])
def test_masks_of_a_folder_are_found_by_name(tmp_path, file):
    write(tmp_path / file, lower_half())
    assert Masks(tmp_path).find("seq/a.jpg").file == tmp_path / file
    with pytest.raises(ImageError, match=r"seq/b\.jpg"):
        Masks(tmp_path).find("seq/b.jpg")


def test_nothing_is_to_be_seen_where_it_is_hidden():
    gray = np.random.default_rng(0).integers(0, 255, (48, 64)).astype(np.uint8)
    used = lower_half() > 0
    painted = paint_hidden(gray, used)
    assert (painted[used] == gray[used]).all() and len(np.unique(painted[~used])) == 1
    assert paint_hidden(gray, None) is gray


@pytest.mark.parametrize("command", ["build-map", "localize"])
@pytest.mark.parametrize("problem", ["size", "black", "missing", "missing in folder"])
def test_commands_name_the_mask_and_the_image(room, room_folder, tmp_path, capsys, command, problem):
    mask = tmp_path / "mask.png"
    if problem != "missing":
        write(mask, np.zeros((240, 320)) if problem == "black" else np.full((100, 100), 255))
    given = tmp_path if problem == "missing in folder" else mask
    first = room.images[0]
    words = ["localize", str(room_folder), str(first.path), "--mask", str(given)]
    if command == "build-map":
        words = ["build-map", "--colmap", write_model(room, tmp_path / "model"), "--images", str(room.folder)]
        words += ["--output", str(tmp_path / "map"), "--mask", str(given)]
    with pytest.raises(SystemExit) as ended:
        main(words)
    said = capsys.readouterr().err
    assert ended.value.code == 2 and (str(given) in said) and (first.name in said or problem == "missing")


def write_model(room, folder) -> str:
    """The room's images as a COLMAP model without points."""
    from deviloc_ros.sources.colmap import build_reconstruction

    folder.mkdir()
    build_reconstruction(room.images).write_text(str(folder))
    return str(folder)


@pytest.mark.parametrize("erased", [False, True])
@pytest.mark.parametrize("kind", ["RGBA", "LA", "palette", "16 bit", "tif", "webp"])
def test_a_mask_that_hides_by_transparency_is_refused(tmp_path, kind, erased):
    """All of it is white; what is erased would be used."""
    alpha = (255 - 255 * lower_half(1)).astype(np.uint8) if erased else np.full(SIZE[::-1], 255, np.uint8)
    white = Image.new("L", SIZE, 255)
    path = tmp_path / f"mask.{kind if kind in ('tif', 'webp') else 'png'}"
    if kind == "16 bit":
        cv2.imwrite(str(path), np.dstack([np.full((*SIZE[::-1], 3), 65535, np.uint16), 257 * alpha.astype(np.uint16)]))
    elif kind == "palette":
        picture = Image.fromarray((alpha // 255).astype(np.uint8), "P")
        picture.putpalette([255] * 768)
        picture.save(path, **({"transparency": 0} if erased else {}))
    else:
        layers = [white, Image.fromarray(alpha)] if kind == "LA" else [white] * 3 + [Image.fromarray(alpha)]
        Image.merge("LA" if kind == "LA" else "RGBA", layers).save(path)
    if erased:
        with pytest.raises(ImageError, match=rf"mask .*{path.name} has transparent pixels"):
            Mask(path).read(SIZE)
    else:
        assert Mask(path).read(SIZE).all()
