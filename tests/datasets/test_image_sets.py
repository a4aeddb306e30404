"""Images from anywhere: the same bytes whatever the source and the batches, and one line about what will not do."""

import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from ebm_tf.datasets.image_sets import ArrayImages, open_images
from ebm_tf.errors import MissingInput


def colour_images(count=7, height=5, width=6):
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), np.uint8)


def write_folder(folder, images):
    """Each image a PNG file, in two folders, so that the order of names is the order of images."""
    for index, image in enumerate(images):
        place = folder / ("a" if index < 3 else "b")
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.squeeze()).save(place / f"{index:03}.png")
    return folder


def write_npz(path, save=np.savez, **arrays):
    save(path, **arrays)
    return path


SOURCES = {
    "folder": lambda place, images: write_folder(place / "images", images),
    "npz": lambda place, images: write_npz(place / "some.npz", images=images),
    "compressed": lambda place, images: write_npz(place / "some.npz", np.savez_compressed, images=images),
    "nameless": lambda place, images: write_npz(place / "some.npz", arr_0=images, labels=np.arange(7)),
}


@pytest.mark.parametrize("size", [1, 3, 7, 100])
@pytest.mark.parametrize("source", SOURCES)
def test_every_source_gives_its_images_in_order(source, size, tmp_path):
    images = colour_images()
    found = open_images(SOURCES[source](tmp_path, images))
    assert found.shape == images.shape
    assert len(found) == 7
    batches = list(found.batches(size))
    assert [len(batch) for batch in batches] == [len(images[i : i + size]) for i in range(0, 7, size)]
    assert all(batch.dtype == np.uint8 for batch in batches)
    np.testing.assert_array_equal(np.concatenate(batches), images)


def test_an_npy_is_mapped(tmp_path):
    images = colour_images()
    np.save(tmp_path / "some.npy", images)
    np.testing.assert_array_equal(np.concatenate(list(open_images(tmp_path / "some.npy").batches(4))), images)


def test_grey_files_have_one_channel(tmp_path):
    images = colour_images()[..., :1]
    found = open_images(write_folder(tmp_path / "grey", images))
    assert found.shape == (7, 5, 6, 1)
    np.testing.assert_array_equal(np.concatenate(list(found.batches(4))), images)


@pytest.mark.parametrize(
    ("written", "told"), [("JPEG", "JPEG"), ("MPO", "JPEG"), ("WEBP", "WebP"), ("JPEG2000", "JPEG 2000")]
)
def test_files_of_lossy_formats_are_told_of_whatever_their_name(written, told, tmp_path):
    folder = write_folder(tmp_path / "images", colour_images(2))
    assert open_images(folder).notes == ()
    first, second = map(Image.fromarray, colour_images(2))
    more = {"save_all": True, "append_images": [second]} if written == "MPO" else {}
    first.save(folder / "c.png", format=written, **more)
    (note,) = open_images(folder).notes
    assert note.startswith("1 of the 3 images of ")
    assert f"are {told} files: lossy" in note


def test_png_files_are_not_lossy_whatever_their_name(tmp_path):
    folder = write_folder(tmp_path / "images", colour_images(2))
    Image.fromarray(colour_images(1)[0]).save(folder / "c.jpg", format="PNG")
    assert open_images(folder).notes == ()


def test_lossy_files_of_several_formats_are_told_of_together(tmp_path):
    for written in ("JPEG", "WEBP"):
        Image.fromarray(colour_images(1)[0]).save(tmp_path / written, format=written)
    (note,) = open_images(tmp_path).notes
    assert note.startswith("2 of the 2 images of ")
    assert "are JPEG or WebP files" in note


def refused(place):
    with pytest.raises(MissingInput) as caught:
        list(open_images(place).batches(2))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_not_there(tmp_path):
    assert "is not there; give a folder of images, or an .npz" in refused(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    assert "holds no files" in refused(tmp_path / "empty")
    (tmp_path / "notes.txt").write_text("nothing")
    assert "is no folder, .npz or .npy" in refused(tmp_path / "notes.txt")


def test_images_of_several_sizes_or_colours_are_refused(tmp_path):
    folder = write_folder(tmp_path / "images", colour_images(2))
    Image.fromarray(colour_images(1, 5, 9)[0]).save(folder / "c.png")
    line = refused(folder)
    assert "c.png is 5x9 in colour, 000.png 5x6 in colour; bring them to one size" in line
    Image.fromarray(colour_images(1)[0, ..., 0]).save(folder / "c.png")
    assert "c.png is 5x6 in grey, 000.png 5x6 in colour" in refused(folder)


def test_files_that_are_no_images_are_refused(tmp_path):
    folder = write_folder(tmp_path / "images", colour_images(2))
    (folder / "notes.txt").write_text("nothing")
    assert "notes.txt is no image (no image in a known format); leave it out" in refused(folder)
    (folder / "notes.txt").unlink()
    Image.fromarray(colour_images(1)[0]).save(folder / "c.ppm")
    (folder / "c.ppm").write_bytes((folder / "c.ppm").read_bytes()[:-30])
    assert "cannot read the image" in refused(folder)


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (np.zeros((2, 4, 4, 3), np.float32), "holds float32 of shape (2, 4, 4, 3); images are uint8"),
        (np.full((2, 4, 4, 3), np.nan), "holds float64"),
        (np.zeros((2, 4, 4), np.uint8), "holds uint8 of shape (2, 4, 4)"),
        (np.zeros((2, 4, 4, 2), np.uint8), "c 1 or 3"),
        (np.zeros((0, 4, 4, 3), np.uint8), "n at least 1"),
        (np.asfortranarray(np.zeros((2, 4, 4, 3), np.uint8)), "Fortran order"),
        (np.array([None, {}], dtype=object), "holds object"),
    ],
)
def test_arrays_that_are_no_images_are_refused(array, told, tmp_path):
    assert told in refused(write_npz(tmp_path / "some.npz", images=array))


def test_an_npz_without_images_names_what_it_holds(tmp_path):
    assert "holds mu, sigma; its images are to be called images or arr_0" in refused(
        write_npz(tmp_path / "some.npz", mu=np.zeros(2), sigma=np.eye(2))
    )


def test_of_images_and_a_nameless_array_the_images_are_taken(tmp_path):
    images = colour_images()
    found = open_images(write_npz(tmp_path / "some.npz", arr_0=np.zeros(3), images=images))
    np.testing.assert_array_equal(np.concatenate(list(found.batches(3))), images)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_npz_with_a_damaged_byte_is_refused_or_gives_its_images(save, tmp_path):
    """Wherever the byte is. What the archive says of itself beside sizes, names and checksums may well be damaged."""
    images = np.tile(colour_images(), (3, 2, 2, 1))
    whole = write_npz(tmp_path / "some.npz", save, images=images).read_bytes()
    refusals = 0
    for place in range(0, len(whole), 13):
        damaged = bytearray(whole)
        damaged[place] ^= 0x55
        (tmp_path / "damaged.npz").write_bytes(damaged)
        try:
            received = np.concatenate(list(open_images(tmp_path / "damaged.npz").batches(4)))
        except MissingInput:
            refusals += 1
        else:
            np.testing.assert_array_equal(received, images)
    assert refusals > len(whole) / 13 * 0.9


def test_a_compressed_npz_whose_stream_is_broken_is_refused(tmp_path):
    path = write_npz(tmp_path / "some.npz", np.savez_compressed, images=colour_images())
    damaged = bytearray(path.read_bytes())
    damaged[200:260] = b"\xff" * 60
    path.write_bytes(damaged)
    assert "cannot read the images of" in refused(path)


def test_an_encrypted_npz_is_refused(tmp_path):
    """The first bit of the flags, in the entry and in the directory, says that it is."""
    path = write_npz(tmp_path / "some.npz", images=colour_images())
    whole = bytearray(path.read_bytes())
    whole[6] |= 1
    whole[whole.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(whole)
    assert "encrypted, password required" in refused(path)


def test_a_cut_off_npz_is_refused(tmp_path):
    path = write_npz(tmp_path / "some.npz", images=colour_images())
    path.write_bytes(path.read_bytes()[:300])
    assert "cannot read the images of" in refused(path)


def test_an_npz_whose_array_ends_early_is_refused(tmp_path):
    buffer = io.BytesIO()
    np.save(buffer, colour_images())
    with zipfile.ZipFile(tmp_path / "some.npz", "w") as archive:
        archive.writestr("images.npy", buffer.getvalue()[:-100])
    assert "it ends within image 5 of 7" in refused(tmp_path / "some.npz")


def test_an_array_is_a_source_too():
    images = colour_images()
    found = ArrayImages(images)
    np.testing.assert_array_equal(np.concatenate(list(found.batches(3))), images)
    with pytest.raises(MissingInput, match="samples holds bool"):
        ArrayImages(images > 3, "samples")
