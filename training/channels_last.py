"""A quantized U-shape at half size, rewritten so that its 8-bit features never change their layout.

ONNX's convolutions have channels first; ONNX Runtime's 8-bit kernels for CPUs want them last, and
turn features over where the graph has anything but convolutions and sums between them. Here the
whole network has channels last, in three steps:

* convolutions are those of ONNX Runtime's own operators (`com.microsoft`), channels last;
* pixel shuffles move whole pixels, all channels at once, since the channels that they spread over
  neighbours are put in that order among the kernels of the convolution before (or after) them;
* the first and the last convolution are in 8 bit too. The picture comes in steps of 1/255, as
  8-bit photos have them, and the map beside it in steps of 1/127. What goes out has steps of 1/255
  where it is a correction of the picture, from -128/255 to 127/255, and of 1/8 where it is log
  odds, from -16 to 15.9.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Floats = NDArray[np.float32]

MICROSOFT = "com.microsoft"
#: Step and zero of the picture and of a correction.
STEP, MIDDLE = 1 / 255, 128
#: Step of log odds.
ODDS = 1 / 8
#: The largest weight: 7 of the 8 bits, see `training.quantize`.
MOST = 64


def rewrite(quantized: onnx.ModelProto, model: onnx.ModelProto) -> onnx.ModelProto:
    """The network of a `quantized` file (by operators, all but its first and last convolution) with
    channels last throughout; `model` is the same in float32."""
    graph = _Graph(quantized, model)
    nodes = [*graph.begin(), *graph.middle(), *graph.end()]
    done = helper.make_model(
        helper.make_graph(
            nodes, "channels last", model.graph.input, model.graph.output, graph.tensors
        ),
        opset_imports=quantized.opset_import,
        ir_version=quantized.ir_version,
    )
    _drop_unused(done.graph)
    return done


class _Graph:
    """The quantized graph, and what comes to lie beside it."""

    def __init__(self, quantized: onnx.ModelProto, model: onnx.ModelProto):
        self.nodes = list(quantized.graph.node)
        self.tensors = list(quantized.graph.initializer)
        self._values = {one.name: numpy_helper.to_array(one) for one in self.tensors}
        floats = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
        convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
        self.first, self.last = convolutions[0], convolutions[-1]
        self._floats = floats
        #: The picture, and the map beside it.
        self.inputs = [one.name for one in model.graph.input]
        self.output = model.graph.output[0].name
        #: The network that finds damage gives log odds, all others a correction of the picture.
        self.is_detector = "coarse" in self.inputs
        #: Of what goes out.
        self.channels = len(self._parts(self.last)[1]) // 4

    def _kept(self, name: str, values: NDArray[Any] | np.generic) -> str:
        self.tensors.append(numpy_helper.from_array(np.asarray(values), name))
        self._values[name] = np.asarray(values)
        return name

    def _parts(self, node: onnx.NodeProto) -> tuple[Floats, Floats]:
        """Kernels and biases of a convolution in float32."""
        return self._floats[node.input[1]], self._floats[node.input[2]]

    def _convolution(
        self,
        name: str,
        features: list[str],
        kernels: Floats,
        biases: Floats,
        after: list[str],
        output: str,
        model: onnx.NodeProto,
    ) -> onnx.NodeProto:
        """An 8-bit convolution, channels last. features, after: tensor, scale and zero point; scale
        and zero point."""
        steps = np.abs(kernels).max((1, 2, 3)) / MOST
        steps = np.where(steps > 0, steps, 1).astype(np.float32)
        whole = np.rint(kernels / steps[:, None, None, None]).astype(np.int8)
        scale = float(self._values[features[1]])
        node = helper.make_node(
            "QLinearConv",
            [
                *features,
                self._kept(f"{name}.weight", whole),
                self._kept(f"{name}.scale", steps),
                self._kept(f"{name}.zero", np.zeros(len(steps), np.int8)),
                *after,
                self._kept(f"{name}.bias", np.rint(biases / (scale * steps)).astype(np.int32)),
            ],
            [output], domain=MICROSOFT, channels_last=1,
        )  # fmt: skip
        node.attribute.extend(model.attribute)
        return node

    def begin(self) -> Iterator[onnx.NodeProto]:
        """From the picture and the map beside it to the features of the first convolution."""
        image, other = self.inputs
        self._kept("low", np.float32(MIDDLE / 255))
        self._kept("high", np.float32((255 - MIDDLE) / 255))
        # Beyond the picture's edge is the zero point: mid-grey, and nothing on the map. So the map
        # takes the upper half of the steps, and its kernels make up for it.
        yield helper.make_node("Mul", [other, "high"], ["map scaled"])
        yield helper.make_node("Add", ["map scaled", "low"], ["map"])
        yield helper.make_node("Concat", [image, "map"], ["both"], axis=1)
        self._kept("step", np.float32(STEP))
        self._kept("nothing", np.uint8(0))
        self._kept("middle", np.uint8(MIDDLE))
        yield helper.make_node("QuantizeLinear", ["both", "step", "nothing"], ["planes"])
        yield helper.make_node("Transpose", ["planes"], ["pixels"], perm=[0, 2, 3, 1])
        # Shapes: (N, h, w, 4) to (N, h / 2, 2, w / 2, 2 * 4) to (N, h / 2, w / 2, 4 * 4).
        yield helper.make_node("Shape", ["pixels"], ["size"])
        for name, at in (("N", 0), ("h", 1), ("w", 2)):
            self._kept(f"{name} at", np.array([at], np.int64))
            yield helper.make_node("Gather", ["size", f"{name} at"], [name])
        self._kept("two", np.array([2], np.int64))
        self._kept("eight", np.array([8], np.int64))
        yield helper.make_node("Div", ["h", "two"], ["half h"])
        yield helper.make_node("Div", ["w", "two"], ["half w"])
        parts = ["N", "half h", "two", "half w", "eight"]
        yield helper.make_node("Concat", parts, ["pairs size"], axis=0)
        yield helper.make_node("Reshape", ["pixels", "pairs size"], ["pairs"])
        yield helper.make_node("Transpose", ["pairs"], ["squares"], perm=[0, 1, 3, 2, 4])
        self._kept("flat", np.array([0, 0, 0, 16], np.int64))
        yield helper.make_node("Reshape", ["squares", "flat"], ["picture"])

        kernels, biases = self._parts(self.first)
        count, inputs, *sides = kernels.shape
        kernels = _by_place(kernels.swapaxes(0, 1)).swapaxes(0, 1)
        kernels = kernels.reshape(count, 4, inputs // 4, *sides).copy()
        # The network was given the picture less a half; a step's middle is a little off.
        biases = biases + kernels[:, :, :3].sum((1, 2, 3, 4)) * np.float32(MIDDLE / 255 - 0.5)
        kernels[:, :, 3] *= 255 / (255 - MIDDLE)
        entry = next(
            node for node in self.nodes
            if node.op_type == "QuantizeLinear" and node.input[0] == self.first.output[0]
        )  # fmt: skip
        yield self._convolution(
            "first", ["picture", "step", "middle"], kernels.reshape(count, inputs, *sides),
            biases, list(entry.input[1:]), entry.output[0], self.first,
        )  # fmt: skip

    def middle(self) -> Iterator[onnx.NodeProto]:
        """All that is between the first convolution and the last."""
        for node in self.nodes:
            if node.op_type == "QLinearAdd":
                yield node
            elif node.op_type == "QLinearConv":
                turned = onnx.NodeProto()
                turned.CopyFrom(node)
                turned.domain = MICROSOFT
                turned.attribute.append(helper.make_attribute("channels_last", 1))
                after = self._shuffled_after(node)
                if after is None:
                    yield turned
                else:
                    yield from self._wide(turned, after)

    def _shuffled_after(self, node: onnx.NodeProto) -> onnx.NodeProto | None:
        """What makes 8 bits again of a convolution's features, shuffled; None where the next is no
        pixel shuffle."""
        after: dict[str, onnx.NodeProto] = {
            one.input[0]: one for one in self.nodes if one.op_type != "QLinearAdd"
        }
        float_again = after.get(node.output[0])
        shuffle = after.get(float_again.output[0]) if float_again else None
        if shuffle is None or shuffle.op_type != "DepthToSpace":
            return None
        return after[shuffle.output[0]]

    def _wide(self, turned: onnx.NodeProto, after: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
        """A convolution before a pixel shuffle, and that: (N, h, w, 4 * c) to (N, 2 * h, 2 * w, c).

        after: what makes 8 bits again of it in the graph as it was.
        """
        (output,) = after.output
        wide = f"{output} wide"
        # Shuffled or not, the features have one step and one zero.
        turned.input[6], turned.input[7] = after.input[1], after.input[2]
        for place in (3, 4, 5, 8):
            turned.input[place] = self._regrouped(turned.input[place])
        turned.output[0] = wide
        yield turned
        (add,) = (node for node in self.nodes if output in node.input)
        # It has the shape of what it is added to.
        (like,) = {add.input[0], add.input[3]} - {output}
        fours = self._kept(f"{wide} size", np.array([0, 0, 0, 2, -1], np.int64))
        yield helper.make_node("Reshape", [wide, fours], [f"{wide} in fours"])
        yield helper.make_node(
            "Transpose", [f"{wide} in fours"], [f"{wide} apart"], perm=[0, 1, 3, 2, 4]
        )
        yield helper.make_node("Shape", [like], [f"{wide} shape"])
        yield helper.make_node("Reshape", [f"{wide} apart", f"{wide} shape"], [output])

    def _regrouped(self, name: str) -> str:
        """A convolution's tensor, its output channels by place."""
        values = self._values[name]
        return self._kept(f"{name} grouped", _by_place(values)) if values.ndim else name

    def end(self) -> Iterator[onnx.NodeProto]:
        """From the features before the last convolution to what the network answers."""
        (back,) = (node for node in self.nodes if self.last.input[0] in node.output)
        kernels, biases = self._parts(self.last)
        # By place, and channels of nothing up to four: kernels for whole numbers of 16 are several
        # times as fast.
        room = 16 - 4 * self.channels
        kernels, biases = (_by_place(np.pad(part, [(0, room), *[(0, 0)] * (part.ndim - 1)]))
                           for part in (kernels, biases))  # fmt: skip
        self._kept("out step", np.float32(ODDS if self.is_detector else STEP))
        yield self._convolution(
            "last", list(back.input), kernels, biases, ["out step", "middle"], "squares out",
            self.last,
        )  # fmt: skip
        self._kept("in fours", np.array([0, 0, 0, 2, -1], np.int64))
        yield helper.make_node("Reshape", ["squares out", "in fours"], ["pairs out"])
        yield helper.make_node("Transpose", ["pairs out"], ["rows out"], perm=[0, 1, 3, 2, 4])
        yield helper.make_node("Reshape", ["rows out", "size"], ["pixels out"])
        yield helper.make_node("Transpose", ["pixels out"], ["planes out"], perm=[0, 3, 1, 2])
        for name, value in (("none", 0), ("channels", self.channels), ("one", 1)):
            self._kept(name, np.array([value], np.int64))
        yield helper.make_node("Slice", ["planes out", "none", "channels", "one"], ["out"])
        yield helper.make_node("DequantizeLinear", ["out", "out step", "middle"], ["answer"])
        if self.is_detector:
            yield helper.make_node("Sigmoid", ["answer"], [self.output])
            return
        self._kept("black", np.float32(0))
        self._kept("white", np.float32(1))
        yield helper.make_node("Add", [self.inputs[0], "answer"], ["changed"])
        yield helper.make_node("Clip", ["changed", "black", "white"], [self.output])


def _by_place(values: NDArray[Any]) -> NDArray[Any]:
    """Channels on the first axis: from the four places of each channel to all channels of each
    place, as pixel shuffles take them."""
    grouped = values.reshape(-1, 4, *values.shape[1:]).swapaxes(0, 1)
    return np.ascontiguousarray(grouped).reshape(values.shape)


def _drop_unused(graph: onnx.GraphProto) -> None:
    """Drop the tensors that no node reads, in place."""
    read = {name for node in graph.node for name in node.input}
    kept = [one for one in graph.initializer if one.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)
