"""The loss of method.md section 1, term by term:  L = L_CD + kl L_opt + entropy L_ent + regularisation L_reg.

Each function returns one number per image, [B], to be averaged over the global batch (over all devices).

A word on signs. Section C of the paper's supplementary says that L_CD + L_KL has the gradient of the exact
contrastive divergence KL(p_D || p) - KL(q || p). It has not: that gradient is dL_CD *minus* dL_KL. (With
E = theta x^2 / 2, p_D = N(0, 2), one step of size .1 and noise variance .05, at theta = 1: exact .2372,
dL_CD = .1650, dL_KL = -.0722; tests/test_losses.py.) Training still *adds* L_KL, as the paper does: it trains
the sampler towards low energy while it spreads out.
"""

from __future__ import annotations

import tensorflow as tf


def contrastive_divergence(real_energy: tf.Tensor, sample_energy: tf.Tensor) -> tf.Tensor:
    """L_CD = E(x+) - E(sg(x-)) (S eq. 5, 6). The caller has detached the samples."""
    return real_energy - sample_energy


def regularisation(real_energy: tf.Tensor, sample_energy: tf.Tensor) -> tf.Tensor:
    """L_reg = E(x+)^2 + E(x-)^2, which keeps energies bounded."""
    return tf.square(real_energy) + tf.square(sample_energy)


def sampler_energy(samples: tf.Tensor, energy_gradient: tf.Tensor) -> tf.Tensor:
    """L_opt = E_sg(theta)(x-hat) (S eq. 7, first term), as far as its gradient goes.

    With g = sg(dE/dx(x-)) the theta-gradient of sum(g * x-hat) equals that of E_sg(theta)(x-hat), and it needs no
    second network. Its value means nothing; the value of L_opt is E(x-).

    Args:
        samples: x-hat, with the graph through the chain's last steps, [B, H, W, C].
        energy_gradient: dE/dx at x-hat, same shape; treated as a constant.
    """
    return tf.reduce_sum(tf.stop_gradient(energy_gradient) * samples, axis=[1, 2, 3])


def entropy(samples: tf.Tensor, others: tf.Tensor, epsilon: float) -> tf.Tensor:
    """L_ent = -log(min_j |x-hat - b_j| + epsilon) (S eq. 7, second term), by nearest neighbours.

    The neighbour is found by one matrix product, its distance then taken from the difference itself: exact also
    where both are nearly equal. A sample that equals a b_j gives -log(epsilon) and no gradient.

    Args:
        samples: x-hat, [B, H, W, C]; gradients flow through them.
        others: b_j, images of the replay buffer, [N, H, W, C].
        epsilon: keeps the log finite, in pixels (L2).
    """
    flat = tf.reshape(samples, [tf.shape(samples)[0], -1])
    stored = tf.reshape(others, [tf.shape(others)[0], -1])
    nearness = tf.matmul(flat, stored, transpose_b=True) - tf.reduce_sum(stored**2, axis=1) / 2
    nearest = tf.gather(stored, tf.argmax(nearness, axis=1))
    squared = tf.reduce_sum((flat - tf.stop_gradient(nearest)) ** 2, axis=1)
    tiny = tf.constant(1e-12, squared.dtype)  # below it the square root has no usable slope
    return -tf.math.log(tf.sqrt(tf.maximum(squared, tiny)) + epsilon)
