"""The contrast by overlap against loops, and where it pulls."""

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings

import labelgraph_jax as lg

F = lg.functional


def overlap(one, two, kind):
    shared, either = (one & two).sum(), (one | two).sum()
    size = either if kind == "jaccard" else one.sum()
    return shared / size if size else 0.0


def by_loops(vectors, sets, kind, temperature, keys=(), key_sets=(), labels=()):
    others = [*vectors, *keys, *labels]
    each_label = np.eye(sets.shape[1], dtype=bool) if len(labels) else ()
    other_sets = [*sets, *key_sets, *each_label]
    total, count = 0.0, 0
    for i, z in enumerate(vectors):
        score, weight = [], []
        for j, other in enumerate(others):
            if j == i:
                continue
            cosine = z @ other / np.linalg.norm(z) / np.linalg.norm(other)
            score.append(cosine / temperature)
            weight.append(overlap(sets[i], other_sets[j], kind))
        if sum(weight) > 0:
            count += 1
            share = np.log(np.sum(np.exp(score)))
            total -= sum(
                w * (s - share) for w, s in zip(weight, score, strict=True)
            ) / sum(weight)
    return total, count


@settings(max_examples=20)
@given(st.integers(0, 2**31 - 1), st.booleans())
def test_the_contrast_is_that_of_loops(seed, more):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(5, 3)).astype(np.float32)
    sets = rng.random((5, 4)) < 0.4
    for kind in ("jaccard", "proportional"):
        further = {}
        if more and kind == "jaccard":
            further = {
                "keys": rng.normal(size=(3, 3)).astype(np.float32),
                "key_targets": rng.random((3, 4)) < 0.4,
                "label_vectors": rng.normal(size=(4, 3)).astype(np.float32),
            }
        found = F.overlap_contrast(vectors, sets, temperature=0.5, kind=kind, **further)
        wanted = by_loops(vectors, sets, kind, 0.5, *further.values())
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


def test_the_gradient_pulls_a_pair_together_the_more_the_larger_its_overlap():
    # Document 0 is as near to all others, which share 3, 2, 1 and 0 of its 3 labels.
    sets = np.zeros((5, 12), bool)
    sets[0, :3] = True
    for other, shared in enumerate((3, 2, 1, 0), 1):
        sets[other, :shared] = True
        sets[other, 3 * other : 3 * other + 3 - shared] = True
    vectors = np.eye(5, 6, dtype=np.float32)

    def loss(direction):
        # The cosine of documents 0 and j moves with direction[j - 1] alone.
        moved = jnp.asarray(vectors).at[0, 1:5].add(direction)
        own = jnp.zeros(12, bool).at[:3].set(True)
        return F.overlap_contrast(
            moved[:1], own[None], keys=moved[1:], key_targets=sets[1:]
        )[0]

    pull = -jax.grad(loss)(jnp.zeros(4))
    assert (np.diff(pull) < 0).all()
    assert pull[0] > 0 > pull[3]


def test_a_document_is_drawn_to_its_labels():
    vectors, labels = jnp.array([[1.0, 1.0]]), jnp.eye(2)

    def loss(vectors):
        return F.overlap_contrast(
            vectors, jnp.array([[1, 0]]), label_vectors=labels, temperature=1.0
        )[0]

    down = -jax.grad(loss)(vectors)[0]
    assert down[0] > 0 > down[1]


def test_products_that_are_there_are_taken():
    rng = np.random.default_rng(0)
    vectors, labels = rng.normal(size=(4, 3)), rng.normal(size=(6, 3))
    sets, real = rng.random((4, 6)) < 0.4, np.array([True, True, True, False])
    given = {"label_vectors": labels, "example_mask": real}
    vectors[3] = np.nan  # padding
    wanted = F.overlap_contrast(vectors, sets, **given)
    found = F.overlap_contrast(
        vectors, sets, **given, label_products=vectors @ labels.T
    )
    np.testing.assert_allclose(found, wanted, rtol=1e-4)


def test_another_order_of_the_documents_changes_nothing():
    rng = np.random.default_rng(0)
    vectors, sets = rng.normal(size=(6, 4)), rng.random((6, 3)) < 0.5
    order = rng.permutation(6)
    np.testing.assert_allclose(
        F.overlap_contrast(vectors[order], sets[order]),
        F.overlap_contrast(vectors, sets),
        rtol=1e-5,
    )


@pytest.mark.parametrize("count", [1, 3])
def test_documents_without_labels_or_without_others_count_nothing(count):
    empty = np.zeros((count, 3), bool)
    sets = np.eye(count, 3, dtype=bool)
    vectors = jnp.zeros((count, 2))
    for targets in (empty, sets):
        run = jax.value_and_grad(lambda x, t=targets: F.overlap_contrast(x, t)[0])
        value, gradient = run(vectors)
        assert value == 0 and not gradient.any()


def test_padding_takes_no_part():
    rng = np.random.default_rng(1)
    vectors, sets = rng.normal(size=(4, 3)), np.ones((4, 2))
    real = np.array([True, True, True, False])
    padded = F.overlap_contrast(
        np.where(real[:, None], vectors, np.nan), sets, example_mask=real
    )
    np.testing.assert_allclose(
        padded, F.overlap_contrast(vectors[:3], sets[:3]), rtol=1e-5
    )
    # Nor do further documents that are not there.
    keys, there = rng.normal(size=(3, 3)), np.array([False, True, False])
    masked = F.overlap_contrast(
        vectors,
        sets,
        keys=np.where(there[:, None], keys, np.nan),
        key_targets=sets[:3],
        key_mask=there,
    )
    wanted = F.overlap_contrast(vectors, sets, keys=keys[1:2], key_targets=sets[:1])
    np.testing.assert_allclose(masked, wanted, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0}, "temperature must be above 0, got 0"),
        ({"keys": jnp.zeros((1, 2))}, "must be given together"),
        ({"key_mask": jnp.ones(1, bool)}, "key_mask must be given with keys"),
        ({"label_products": jnp.zeros((2, 3))}, "must be given with label_vectors"),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        F.overlap_contrast(jnp.zeros((2, 2)), jnp.ones((2, 3)), **options)
