"""The TFDS builder of the Arxiv Academic Paper Dataset."""

from labelgraph_jax.data.corpora import aapd, builder


class Builder(builder.CorpusBuilder):
    """Abstracts of computer science papers with arXiv subjects."""

    SOURCE = aapd.SOURCE
    BUILDER_CONFIGS = builder.configs(SOURCE)
    read = staticmethod(aapd.read)
