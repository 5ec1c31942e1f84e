"""The TFDS builder of GoEmotions."""

from labelgraph_jax.data.corpora import builder, goemotions


class Builder(builder.CorpusBuilder):
    """Reddit comments with 27 emotions and neutral; some are offensive."""

    SOURCE = goemotions.SOURCE
    BUILDER_CONFIGS = builder.configs(SOURCE)
    read = staticmethod(goemotions.read)
