"""Readers for users' own files."""

import numpy as np
import pytest

from lemmata.data import judge_reads, read_array, read_image, read_parquet
from lemmata_checker.errors import Unreadable

image = pytest.importorskip("PIL.Image")
parquet = pytest.importorskip("pyarrow.parquet")


@pytest.fixture
def photo(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png", pixels.reshape(-1, 3) / 255


@pytest.fixture
def table(tmp_path):
    import pyarrow

    columns = {
        "x": [1, 2, 3],
        "y": [0.5, 1.5, 2.5],
        "word": ["a", "b", "c"],
        "gap": [1.0, None, 2.0],
    }
    path = tmp_path / "table.parquet"
    parquet.write_table(pyarrow.table(columns), path)
    return path


def test_picture_is_its_colours_in_reading_order(photo):
    path, colours = photo
    np.testing.assert_array_equal(read_array(path), colours)


def test_some_pixels_are_drawn_once_each_and_repeatably(photo):
    path, colours = photo
    drawn = read_array(f"{path}#colours=7")
    assert drawn.shape == (7, 3)
    np.testing.assert_array_equal(drawn, read_image(path, "colours=7"))
    places = [np.flatnonzero((colours == one).all(axis=1))[0] for one in drawn]
    assert places == sorted(set(places))
    np.testing.assert_array_equal(read_array(f"{path}#colours=20"), colours)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1"])
def test_other_kinds_of_picture_become_three_channels(tmp_path, mode):
    image.new(mode, (2, 3)).save(tmp_path / "p.png")
    colours = read_array(tmp_path / "p.png")
    assert colours.shape == (6, 3)
    assert colours.dtype == np.float64


@pytest.mark.parametrize("part", ["colours=0", "colours=21", "colours=x", "grey"])
def test_parts_that_a_picture_does_not_have(photo, part):
    with pytest.raises(Unreadable, match="photo.png"):
        read_array(f"{photo[0]}#{part}")


def test_sixteen_bits_and_bombs_are_refused(tmp_path, monkeypatch, photo):
    deep = np.zeros((2, 2), dtype=np.uint16)
    image.fromarray(deep).save(tmp_path / "deep.png")
    with pytest.raises(Unreadable, match="8-bit"):
        read_array(tmp_path / "deep.png")
    for limit in (15, 5):  # pillow warns above the limit, and raises above twice that
        monkeypatch.setattr(image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(Unreadable, match="not a readable picture"):
            read_array(photo[0])


def test_parquet_columns(table):
    np.testing.assert_array_equal(
        read_array(f"{table}#y,x"), [[0.5, 1], [1.5, 2], [2.5, 3]]
    )
    np.testing.assert_array_equal(read_parquet(table, "x"), [1, 2, 3])
    assert read_parquet(table, "x").dtype == np.float64


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (None, "'word' holds"),
        ("z", "no column 'z'; it has x, y, word, gap"),
        ("gap", "missing values"),
    ],
)
def test_parquet_columns_that_are_no_numbers(table, columns, message):
    with pytest.raises(Unreadable, match=message):
        read_parquet(table, columns)


@pytest.mark.parametrize("name", ["none.png", "none.parquet", "none.npy"])
def test_missing_files(tmp_path, name):
    with pytest.raises(Unreadable, match=name):
        read_array(tmp_path / name)


def test_who_reads_what(tmp_path):
    assert judge_reads("a.npz#cost")
    assert judge_reads("a.csv")
    assert not judge_reads("a.parquet#x")
    assert not judge_reads("a.PNG#colours=3")


def test_a_file_that_is_called_so_comes_first(tmp_path):
    np.save(tmp_path / "a#b.npy", [1.0])
    np.testing.assert_array_equal(read_array(tmp_path / "a#b.npy"), [1.0])
