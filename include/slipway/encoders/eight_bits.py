"""A graph's weights in 8 bits: a vector space of its own, near that of the full numbers.

Each layer's weights are kept as int8 with one scale an output, the largest weight over 127: symmetric quantisation by
channel (Krishnamoorthi, "Quantizing deep convolutional networks for efficient inference", 2018, section 2.2). It needs
no data, so that every machine makes the same weights. They are widened again where they are used: what flows through
the layers stays float32, as some processors would round that and others not, and make another space.
"""

from __future__ import annotations

from typing import Any

import numpy as np

VERSION = 1  # of the weights made here: part of the name of their vector space
LEAST_SIZE = 4_096  # numbers in a matrix that is worth it


def with_weights_in_eight_bits(graph: Any) -> int:
    """Replace the constant float32 matrices of an OpenVINO graph's products by int8 ones. Returns how many."""
    from openvino import op, opset13

    replaced = 0
    for node in graph.get_ordered_ops():
        if node.get_type_name() != "MatMul":
            continue
        source = node.input(1).get_source_output()
        weights = source.get_node()
        if weights.get_type_name() != "Constant" or weights.get_element_type().to_string() != "f32":
            continue
        matrix = weights.data
        if matrix.ndim != 2 or matrix.size < LEAST_SIZE:
            continue
        axis = 1 if node.get_attributes()["transpose_b"] else 0  # what is summed over
        scales = np.maximum(np.abs(matrix).max(axis=axis, keepdims=True) / 127, 1e-12).astype(np.float32)
        bytes_ = op.Constant(np.rint(matrix / scales).astype(np.int8))
        widened = opset13.multiply(opset13.convert(bytes_, "f32"), op.Constant(scales))
        node.input(1).replace_source_output(widened.output(0))
        replaced += 1
    return replaced
