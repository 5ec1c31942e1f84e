"""The TFDS builder of Reuters-21578."""

from labelgraph_jax.data.corpora import builder, reuters21578
from labelgraph_jax.data.corpora.reuters21578.sgml import CATEGORY_SETS


class Builder(builder.CorpusBuilder):
    """Newswire stories of 1987 with topics, places, people, orgs and exchanges.

    For research use only; to be called "Reuters-21578, Distribution 1.0".
    """

    SOURCE = reuters21578.SOURCE
    TASKS = CATEGORY_SETS
    BUILDER_CONFIGS = builder.configs(SOURCE)
    read = staticmethod(reuters21578.read)
