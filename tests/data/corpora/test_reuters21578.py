"""Reuters-21578: the SGML, the protocols, and the published counts."""

import tarfile
import time

import pytest

from labelgraph_jax.data.corpora import load_corpus, reuters21578
from labelgraph_jax.data.corpora.reuters21578.sgml import read_stories, select
from labelgraph_jax.data.documents import DataError


def _story(number, split="TRAIN", topics=(), used="YES", text=None, places=()):
    text = text or "<TITLE>A TITLE</TITLE><BODY>The body.\n Reuter\n&#3;</BODY>"
    listed = {
        "TOPICS": topics,
        "PLACES": places,
        "PEOPLE": (),
        "ORGS": (),
        "EXCHANGES": (),
    }
    categories = "\n".join(
        f"<{tag}>{''.join(f'<D>{name}</D>' for name in names)}</{tag}>"
        for tag, names in listed.items()
    )
    return (
        f'<REUTERS TOPICS="{used}" LEWISSPLIT="{split}" OLDID="1" NEWID="{number}">\n'
        f"{categories}\n<TEXT>&#2;\n{text}</TEXT>\n</REUTERS>\n"
    )


def _file(*stories):
    return ('<!DOCTYPE lewis SYSTEM "lewis.dtd">\n' + "".join(stories)).encode("latin1")


def _read(*stories):
    return list(read_stories("reut2-000.sgm", _file(*stories)))


def test_text_is_title_and_body_without_the_closing_reuter():
    (story,) = _read(_story(1))
    assert story.text == "A TITLE\nThe body."


def test_entities_are_decoded_and_control_characters_removed():
    raw = "<TITLE>&lt;BP> &amp; CO</TITLE><BODY>A&#5; caf\xe9 &#127;x.&#3;</BODY>"
    (story,) = _read(_story(1, text=raw))
    assert story.text == "<BP> & CO\nA café x."


def test_a_flash_is_its_title_and_unstructured_text_is_kept_whole():
    flash = "******<TITLE>A FLASH</TITLE>Blah blah blah.\n&#3;"
    plain = "WEEKLY REPORT\n    Net 644 vs 1,337\n&#3;"
    first, second = _read(_story(1, text=flash), _story(2, text=plain))
    assert first.text == "A FLASH"
    assert second.text == "WEEKLY REPORT\n    Net 644 vs 1,337"


def test_a_category_listed_twice_counts_once_and_sources_name_lines():
    first, second = _read(
        _story(1, topics=("corn", "corn"), places=("usa",)), _story(2)
    )
    assert first.categories["topics"] == ("corn",)
    assert first.categories["places"] == ("usa",)
    assert first.source == "reut2-000.sgm:2"
    assert second.source == "reut2-000.sgm:13"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"<!DOCTYPE lewis>\n", "must hold <REUTERS> stories"),
        (_file(_story(1), _story(2)[:-12]), "cut off"),
        (_file(_story(1).replace("NEWID", "NUMBER")), "no attribute NEWID"),
        (_file(_story(1).replace("TEXT>", "TEXTS>")), "no TEXT element"),
    ],
)
def test_damaged_sgml_is_an_error_that_names_the_file(data, message):
    with pytest.raises(DataError, match=rf"^reut2-000\.sgm.*{message}"):
        list(read_stories("reut2-000.sgm", data))


def test_topics_are_those_of_both_parts_and_other_stories_are_left_out():
    stories = _read(
        _story(1, topics=("earn", "rare")),
        _story(2, topics=("rare",)),
        _story(3, topics=("earn",), used="NO"),
        _story(4, topics=("earn",), split="NOT-USED"),
        _story(1199, topics=("earn",)),
        _story(5, topics=("earn", "odd"), split="TEST"),
    )
    train, test, topics = select(stories)
    assert [story.id for story in train] == ["1"]
    assert [story.id for story in test] == ["5"]
    assert topics == {"earn"}


@pytest.fixture
def sgml_folder(tmp_path, change_source, monkeypatch):
    """A made collection of 22 files with one story each."""
    change_source("reuters21578", sizes={})
    monkeypatch.setattr(reuters21578, "STORIES", 22)
    folder = tmp_path / "data" / "reuters21578"
    folder.mkdir(parents=True)
    for number, name in enumerate(reuters21578.SGML_FILES):
        split = "TEST" if number % 4 == 0 else "TRAIN"
        story = _story(number, split, topics=("earn",), places=("usa", "peru"))
        (folder / name).write_bytes(_file(story))
    return folder


def _load(folder, **options):
    return load_corpus(
        "reuters21578",
        data_dir=folder.parent,
        cache_dir=folder.parent.parent / "cache",
        **options,
    )


def test_the_published_files_can_be_read_without_an_archive(sgml_folder):
    corpus = _load(sgml_folder)
    assert (len(corpus.train), len(corpus.test)) == (16, 6)
    assert corpus.train[0].labels == ("earn",)
    assert corpus.train[0].tasks == {
        "topics": ("earn",),
        "places": ("usa", "peru"),
        "people": (),
        "orgs": (),
        "exchanges": (),
    }
    random = _load(sgml_folder, protocol="random80")
    assert random.name == "reuters21578/random80"
    assert (len(random.train), len(random.test)) == (18, 4)


def test_missing_or_repeated_stories_are_an_error(sgml_folder):
    (sgml_folder / "reut2-021.sgm").write_bytes(_file(_story(5)))
    with pytest.raises(DataError, match=r"021.sgm:2: story numbers must differ; 5"):
        _load(sgml_folder)
    (sgml_folder / "reut2-021.sgm").write_bytes(_file(_story(21), _story(22)))
    with pytest.raises(DataError, match="must have 22 stories; got 23"):
        _load(sgml_folder)


def test_a_damaged_archive_is_an_error_that_names_it(sgml_folder):
    with tarfile.open(sgml_folder / "reuters21578.tar.gz", "w:gz") as archive:
        for name in reuters21578.SGML_FILES:
            archive.add(sgml_folder / name, arcname=name)
    assert len(_load(sgml_folder).train) == 16
    archive_path = sgml_folder / "reuters21578.tar.gz"
    whole = archive_path.read_bytes()
    for broken in (whole[: len(whole) // 2], b"no archive at all"):
        archive_path.write_bytes(broken)
        with pytest.raises(DataError, match=r"21578.tar.gz: the archive must be whole"):
            _load(sgml_folder)


@pytest.fixture(scope="module")
def real(data_root, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    options = {"data_dir": data_root, "cache_dir": cache}
    return load_corpus("reuters21578", **options), options


def test_modapte_has_the_published_counts(real):
    corpus, _ = real
    assert (len(corpus.train), len(corpus.test)) == (7_769, 3_019)
    labels = [
        {n for d in split for n in d.labels} for split in (corpus.train, corpus.test)
    ]
    assert labels[0] == labels[1]
    assert len(labels[0]) == 90
    assert sum(len(document.labels) for document in corpus.test) == 3_744
    assert corpus.tasks == ("exchanges", "orgs", "people", "places", "topics")
    assert all(document.text for document in corpus.train + corpus.test)


def test_the_prepared_copy_loads_quickly_and_is_the_same(real):
    corpus, options = real
    start = time.process_time()
    assert load_corpus("reuters21578", **options) == corpus
    assert time.process_time() - start < 6  # about 1.3 s on an idle core


def test_the_random_cut_has_magnets_sizes(data_root):
    files = {
        "reuters21578_sgml.tar": data_root / "reuters21578/reuters21578_sgml.tar.xz"
    }
    corpus = reuters21578.read(files, "random80")
    assert (len(corpus.train), len(corpus.test)) == (8_630, 2_158)
