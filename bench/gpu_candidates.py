"""The ways to compute a layer on tensors of PyTorch: PyTorch's own, and this library by its C interface. Nothing here is of CUDA but the
stream that is current, so that a CPU can compute them too."""

import torch

import gpu_library


def same_padding(extent, layer):
    """Zeros before and after, by Keras' rule."""
    reach = (layer["k"] - 1) * layer["d"] + 1
    total = max((-(-extent // layer["s"]) - 1) * layer["s"] + reach - extent, 0)
    return total // 2, total - total // 2


class Arrays:
    """The input on the device and the weights in Keras' layout, float32 with the values of the dtype, on the host."""

    def __init__(self, layer, dtype, device):
        random = torch.Generator().manual_seed(1)
        c, f, k, m = (layer[key] for key in "cfkm")

        def values(*shape):
            return (torch.rand(shape, generator=random) * 2 - 1).to(dtype).float()

        self.input = values(layer.get("n", 1), layer["h"], layer["w"], c).to(device, dtype)  # N,H,W,C
        self.depthwise, self.pointwise, self.bias = values(k, k, c, m), values(1, 1, c * m, f), values(f)


class Candidate:
    """A way to compute a layer.

    @param call    enqueues one call on the current stream
    @param output  the result of the last call, or of the call's own value: N,C,H,W by its strides"""

    def __init__(self, call, output=lambda value: value, close=lambda: None):
        self.call, self.output, self.close = call, output, close


# ---- PyTorch

class Separable(torch.nn.Module):
    def __init__(self, layer, arrays, dtype, device, padding):
        super().__init__()
        c, f, k, m = (layer[key] for key in "cfkm")
        self.depthwise = torch.nn.Conv2d(c, c * m, k, layer["s"], padding, layer["d"], groups=c, bias=False)
        self.pointwise = torch.nn.Conv2d(c * m, f, 1)
        with torch.no_grad():
            self.depthwise.weight.copy_(arrays.depthwise.permute(2, 3, 0, 1).reshape(c * m, 1, k, k))
            self.pointwise.weight.copy_(arrays.pointwise.reshape(c * m, f).T.reshape(f, c * m, 1, 1))
            self.pointwise.bias.copy_(arrays.bias)
        self.to(device, dtype).eval().requires_grad_(False)

    def forward(self, image):
        return torch.relu_(self.pointwise(self.depthwise(image)))


class CudnnFused(Separable):
    """Bias and relu in cuDNN's product."""

    def forward(self, image):
        point = self.pointwise
        return torch.cudnn_convolution_relu(self.depthwise(image), point.weight, point.bias, [1, 1], [0, 0], [1, 1], 1)


class CublasFused(Separable):
    """The product as one of matrices, with bias and relu in cuBLASLt's."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.matrix = self.pointwise.weight.flatten(1).T

    def forward(self, image):
        between = self.depthwise(image).permute(0, 2, 3, 1)
        product = torch._addmm_activation(self.pointwise.bias, between.reshape(-1, between.shape[3]), self.matrix, use_gelu=False)
        return product.reshape(*between.shape[:3], -1).permute(0, 3, 1, 2)


def torch_input(layer, arrays):
    """The image as N,C,H,W, and the padding that the convolution does. Where Keras pads one side more than the other, which it cannot, the
    image comes padded, at no cost."""
    image = arrays.input.permute(0, 3, 1, 2)
    rows, columns = (same_padding(layer[key], layer) for key in "hw")
    if rows[0] == rows[1] and columns[0] == columns[1]:
        return image, (rows[0], columns[0])
    return torch.nn.functional.pad(image, (*columns, *rows)), (0, 0)


def torch_candidates(layer, arrays, compile_mode):
    """Functions that make each, by the column's name."""
    image, padding = torch_input(layer, arrays)
    arguments = (layer, arrays, image.dtype, image.device, padding)
    torch._dynamo.reset()  # the layers before count against the most that it compiles

    def made(kind, memory_format, compiled=False):
        module = kind(*arguments).to(memory_format=memory_format)
        source = image.contiguous(memory_format=memory_format)
        if compiled:
            module = torch.compile(module, fullgraph=True, dynamic=False, mode=compile_mode)
        return Candidate(lambda: module(source))

    last, first = torch.channels_last, torch.contiguous_format
    found = {"PyTorch, channels_last": lambda: made(Separable, last), "PyTorch, channels_first": lambda: made(Separable, first),
             "PyTorch, cuDNN fused": lambda: made(CudnnFused, last), "PyTorch, cuBLASLt fused": lambda: made(CublasFused, last)}
    if compile_mode != "none":
        found |= {"torch.compile, channels_last": lambda: made(Separable, last, True),
                  "torch.compile, channels_first": lambda: made(Separable, first, True)}
    return found


# ---- this library

def our_candidate(library, layer, arrays, data_format, target="cuda"):
    """On the current stream. For a target that is no GPU it runs at once."""
    image = arrays.input if data_format == "channels_last" else arrays.input.permute(0, 3, 1, 2).contiguous()
    dtype = "float16" if image.dtype == torch.float16 else "float32"
    made = gpu_library.Layer(library, layer, data_format, dtype, arrays.depthwise.data_ptr(), arrays.pointwise.data_ptr(),
                             arrays.bias.data_ptr(), target)
    result = torch.empty(list(made.output_shape()), dtype=image.dtype, device=image.device)
    function = "sepconv_layer_enqueue" if target == "cuda" else "sepconv_layer_run"
    calls = {}  # by their stream

    def call():
        stream = torch.cuda.current_stream().cuda_stream if target == "cuda" else None
        if stream not in calls:
            calls[stream] = made.bound(function, image.data_ptr(), result.data_ptr(), stream)
        calls[stream]()

    candidate = Candidate(call, lambda _: result if data_format == "channels_first" else result.permute(0, 3, 1, 2), made.close)
    candidate.plan = made.explain()
    return candidate
