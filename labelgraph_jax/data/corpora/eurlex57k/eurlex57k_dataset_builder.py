"""The TFDS builder of EURLEX57K."""

from labelgraph_jax.data.corpora import builder, eurlex57k


class Builder(builder.CorpusBuilder):
    """European Union laws with EuroVoc concepts and their taxonomy."""

    SOURCE = eurlex57k.SOURCE
    BUILDER_CONFIGS = builder.configs(SOURCE)
    read = staticmethod(eurlex57k.read)
