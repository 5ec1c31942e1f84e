"""The TFDS builder of RCV1-v2."""

from labelgraph_jax.data.corpora import builder, rcv1v2


class Builder(builder.CorpusBuilder):
    """Reuters newswire of 1996 and 1997, stemmed, with 103 topics in a taxonomy."""

    SOURCE = rcv1v2.SOURCE
    BUILDER_CONFIGS = builder.configs(SOURCE)
    read = staticmethod(rcv1v2.read)
