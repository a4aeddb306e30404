"""Gradients of the loss against finite differences in float64, with frozen noise, through 1, 2 and all steps."""

import numpy as np
import pytest
import tensorflow as tf

from ebm_tf import losses
from ebm_tf.config import Loss
from ebm_tf.langevin import chain_settings, langevin, langevin_with_tail, row_noise
from ebm_tf.models.architectures import Conv, Dense, Energy, Flatten, Pool, Residual
from ebm_tf.models.energy import EnergyModel
from ebm_tf.training.step import Share, clip_by_global_norm, loss_gradients, total_loss, with_spreads

SHAPE = (4, 4, 4, 1)
STEPS = 4
CHAIN = chain_settings(STEPS, 0.3, 0.1, tf.float64)
NOISE = row_noise(0, SHAPE[0], SHAPE[1:], tf.constant([5, 0]), tf.float64)
SMALL = (Conv(4), Residual(), Pool(), Conv(6), Flatten(), Dense(8), Energy())


@pytest.fixture(scope="module")
def model():
    return EnergyModel(SMALL, SHAPE[1:], seed=2, dtype="float64")


@pytest.fixture(scope="module")
def share():
    random = np.random.default_rng(3)
    real, start = random.random(SHAPE), random.random(SHAPE) * 0.6 + 0.2
    others = random.random((7, *SHAPE[1:]))
    return Share(tf.constant(real), tf.constant(start), tf.constant(others), tf.constant(True))


def gradients(model, share, tail, **coefficients):
    settings = Loss(**{"kl": 0.0, "entropy": 0.0, "regularisation": 0.0, **coefficients})
    weights = model.trainable_variables
    return loss_gradients(model, weights, share, NOISE, CHAIN, tail, settings, SHAPE[0])


def directional(model, gradient, objective, seed, step=1e-6):
    """The slope along a random direction in all weights, as the gradient has it and by central differences."""
    random = np.random.default_rng(seed)
    direction = [random.standard_normal(w.shape) for w in model.trainable_variables]
    before = model.get_weights()
    values = []
    for sign in (1, -1):
        model.set_weights([w + sign * step * d for w, d in zip(before, direction)])
        values.append(float(objective()))
    model.set_weights(before)
    slope = sum(float(tf.reduce_sum(g * d)) for g, d in zip(gradient, direction))
    return slope, (values[0] - values[1]) / (2 * step)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("regularisation", [0.0, 1.0])
def test_gradient_of_the_contrastive_terms(model, share, regularisation, seed):
    result = gradients(model, share, 1, regularisation=regularisation)
    samples = result.samples

    def objective():
        real, sample = model(share.real), model(samples)
        terms = losses.contrastive_divergence(real, sample)
        return tf.reduce_mean(terms + regularisation * losses.regularisation(real, sample))

    slope, difference = directional(model, result.contrastive, objective, seed)
    assert slope == pytest.approx(difference, rel=1e-6, abs=1e-9)
    assert abs(difference) > 1e-4


def frozen(model, images):
    """E_sg(theta): a copy whose weights do not move with the model's."""
    copy = EnergyModel(SMALL, SHAPE[1:], dtype="float64")
    copy.set_weights(model.get_weights())
    return lambda: copy(images())


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("tail", [1, 2, STEPS])
@pytest.mark.parametrize("term", ["kl", "entropy"])
def test_gradient_of_the_kl_terms_through_the_chain(model, share, term, tail, seed):
    result = gradients(model, share, tail, **{term: 1.0})
    head = langevin(model, share.start, NOISE, CHAIN._replace(steps=STEPS - tail))
    settings = CHAIN._replace(steps=tf.constant(tail))

    def samples():
        return langevin_with_tail(model, head, lambda k: NOISE(STEPS - tail + k), settings, tail).images

    energy = frozen(model, samples)

    def objective():
        if term == "kl":
            return tf.reduce_mean(energy())
        return tf.reduce_mean(losses.entropy(samples(), share.others, Loss().entropy_epsilon))

    slope, difference = directional(model, result.kl, objective, seed)
    assert slope == pytest.approx(difference, rel=1e-5, abs=1e-9)
    assert abs(difference) > 1e-5
    np.testing.assert_allclose(result.samples, samples(), rtol=1e-12)


def test_a_sample_without_weight_in_the_contrastive_loss_has_its_gradient_all_the_same():
    weight = tf.Variable(0.5, dtype=tf.float64)
    image = tf.fill([1, 2, 2, 1], tf.constant(0.375, tf.float64))
    chain = chain_settings(1, 0.25, 0.0, tf.float64)  # ends at 0.375 - 0.25 * 0.5, where E = 0.5
    share = Share(image, image, image, tf.constant(False))
    result = loss_gradients(
        lambda images: weight * tf.reduce_sum(images, [1, 2, 3]),
        [weight],
        share,
        lambda step: tf.zeros_like(image),
        chain,
        1,
        Loss(kl=1.0, entropy=0.0, regularisation=1.0),
        1,
    )
    assert float(result.measurements["energy_sample"]) == 0.5  # so that d(E^2 - E)/dE is 0
    assert float(result.kl[0]) == pytest.approx(-0.25 * 4 * 0.5, rel=1e-12)


def test_longer_tails_give_other_gradients(model, share):
    first, all_steps = (gradients(model, share, tail, kl=1.0).kl[0] for tail in (1, STEPS))
    assert not np.allclose(first, all_steps, rtol=1e-2)


def test_without_kl_terms_the_chain_contributes_nothing(model, share):
    result = gradients(model, share, STEPS)
    assert all(float(tf.reduce_max(abs(g))) == 0 for g in result.kl)


def test_without_entropy_no_neighbour_is_looked_for(model, share):
    """So b_j that are no numbers do no harm."""
    nowhere = share._replace(others=tf.fill(share.others.shape, tf.constant(np.nan, tf.float64)))
    result, usual = (gradients(model, each, 2, kl=1.0, regularisation=1.0) for each in (nowhere, share))
    assert float(result.measurements["loss_entropy"]) == 0
    for kind in ("contrastive", "kl"):
        for without, with_them in zip(getattr(result, kind), getattr(usual, kind)):
            np.testing.assert_array_equal(without, with_them)
    assert any(float(tf.reduce_max(abs(g))) > 0 for g in result.kl)
    assert np.isnan(gradients(model, nowhere, 2, entropy=1.0).measurements["loss_entropy"])


@pytest.mark.parametrize("tail", [2, STEPS])
def test_a_graph_has_the_gradients_of_eager_execution(model, share, tail):
    settings = {"kl": 1.0, "entropy": 1.0, "regularisation": 1.0}
    eager = gradients(model, share, tail, **settings)
    graph = tf.function(lambda given: gradients(model, given, tail, **settings))(share)
    np.testing.assert_allclose(graph.samples, eager.samples, rtol=1e-12)
    for kind in ("contrastive", "kl"):
        for one, other in zip(getattr(graph, kind), getattr(eager, kind)):
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)
        assert any(float(tf.reduce_max(abs(g))) > 1e-6 for g in getattr(eager, kind))
    for name, value in eager.measurements.items():
        np.testing.assert_allclose(graph.measurements[name], value, rtol=1e-10, atol=1e-12)


def test_entropy_that_is_not_active_yet_contributes_nothing(model, share):
    result = gradients(model, share._replace(entropy_active=tf.constant(False)), 1, entropy=1.0)
    assert all(float(tf.reduce_max(abs(g))) == 0 for g in result.kl)


def test_shares_of_a_batch_add_up_to_the_whole(model, share):
    settings, weights = Loss(), model.trainable_variables
    whole = loss_gradients(model, weights, share, NOISE, CHAIN, 1, settings, SHAPE[0])
    halves = [
        loss_gradients(
            model,
            weights,
            share._replace(real=share.real[part], start=share.start[part]),
            lambda k, part=part: NOISE(k)[part],
            CHAIN,
            1,
            settings,
            SHAPE[0],
        )
        for part in (slice(0, 2), slice(2, 4))
    ]
    for kind in ("contrastive", "kl"):
        for total, *parts in zip(getattr(whole, kind), *(getattr(half, kind) for half in halves)):
            np.testing.assert_allclose(total, sum(parts), rtol=1e-9, atol=1e-12)
    for name, value in whole.measurements.items():
        np.testing.assert_allclose(value, sum(half.measurements[name] for half in halves), rtol=1e-9)


def test_measurements_are_what_they_are_called(model, share):
    result = gradients(model, share, 1)
    measured = {k: float(v) for k, v in with_spreads(result.measurements).items()}
    real, sample = model(share.real).numpy(), model(result.samples).numpy()
    moved = (result.samples - share.start).numpy().reshape(SHAPE[0], -1)
    assert measured["energy_real"] == pytest.approx(real.mean())
    assert measured["energy_sample_spread"] == pytest.approx(sample.std())
    assert measured["loss_opt"] == pytest.approx(sample.mean())
    assert measured["loss_regularisation"] == pytest.approx((real**2).mean() + (sample**2).mean())
    assert measured["displacement"] == pytest.approx(np.linalg.norm(moved, axis=1).mean())
    assert 0 <= measured["clipped_share"] <= 1


def test_total_loss_weighs_its_terms():
    names = ("loss_cd", "loss_opt", "loss_entropy", "loss_regularisation")
    measured = {name: tf.constant(value) for name, value in zip(names, (1.0, 10.0, 100.0, 1000.0))}
    settings = Loss(kl=2.0, entropy=3.0, regularisation=4.0)
    assert float(total_loss(measured, settings, tf.constant(True))) == 1 + 20 + 300 + 4000
    assert float(total_loss(measured, settings, tf.constant(False))) == 1 + 20 + 4000


def test_gradients_are_clipped_together_and_only_when_too_long():
    gradients = [tf.constant([3.0]), tf.constant([4.0])]
    np.testing.assert_allclose(
        clip_by_global_norm(gradients, tf.constant(5.0), 0.5), [[0.3], [0.4]], rtol=1e-6
    )
    np.testing.assert_allclose(clip_by_global_norm(gradients, tf.constant(5.0), 50.0), [[3.0], [4.0]])
