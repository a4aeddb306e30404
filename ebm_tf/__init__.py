"""Energy-based image models in TensorFlow: train, sample, judge and ship them.

An implementation of "Improved Contrastive Divergence Training of Energy-Based Models"
(Du, Li, Tenenbaum, Mordatch, ICML 2021, arXiv 2012.01316).
"""

__version__ = "0.1.0"
