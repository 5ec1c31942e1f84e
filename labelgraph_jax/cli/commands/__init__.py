"""Commands of `labelgraph`: one dataclass per verb, a field per option.

Reading this costs no import that a model needs, so that help comes at once; whatever a
verb needs it imports when it is executed.
"""
