import pytest

from genre_pipeline.cells import Cell, check_name
from genre_pipeline.errors import ConfigError


def test_a_cell_reads_back_its_own_name():
    cell = Cell("demo", "artist_kfold", "log_mel_256", "net1")
    assert cell.name == "demo.artist_kfold.log_mel_256.net1"
    assert Cell.parse(cell.name) == cell


@pytest.mark.parametrize("name", ["", "demo", "a.b.c", "a.b.c.d.e", "a..b.c"])
def test_what_is_no_cell_is_refused(name):
    with pytest.raises(ConfigError, match="is not a cell: expected dataset.protocol.feature.model"):
        Cell.parse(name)


@pytest.mark.parametrize("name", ["gtzan", "log_mel_128", "a1"])
def test_good_names_pass(name):
    assert check_name(name, kind="feature") == name


@pytest.mark.parametrize("name", ["", "GTZAN", "log-mel", "1st", "a.b", "a__b", "../up", "a b"])
def test_names_that_would_break_paths_or_catalog_names_are_refused(name):
    with pytest.raises(ConfigError, match="The feature name"):
        check_name(name, kind="feature")
