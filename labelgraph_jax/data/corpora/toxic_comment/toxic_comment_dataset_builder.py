"""The TFDS builder of the Jigsaw toxic comments."""

from labelgraph_jax.data.corpora import builder, toxic_comment


class Builder(builder.CorpusBuilder):
    """Wikipedia talk page comments with six kinds of toxicity; many are offensive."""

    SOURCE = toxic_comment.SOURCE
    BUILDER_CONFIGS = builder.configs(SOURCE)
    read = staticmethod(toxic_comment.read)
