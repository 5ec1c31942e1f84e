"""The TFDS builder of Slashdot."""

from labelgraph_jax.data.corpora import builder, slashdot


class Builder(builder.CorpusBuilder):
    """Slashdot articles as bags of words, with the site's sections as labels."""

    SOURCE = slashdot.SOURCE
    BUILDER_CONFIGS = builder.configs(SOURCE)
    read = staticmethod(slashdot.read)
