"""Draws the demo's picture: the photograph beside the feature maps of every separable layer, titled with how far they are from
TensorFlow's."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

MARGIN = 28
SIDEBAR = 256
PANEL = 616  # width of one layer's panel
TITLE = 52  # height of its two lines
GROUND = (250, 250, 247)
INK = (32, 36, 44)
FAINT = (112, 118, 128)
GOOD = (24, 112, 74)
BAD = (190, 30, 45)
BAR = (58, 110, 165)

# Values from a map's least to its greatest, dark to light.
PALETTE = np.array([(13, 22, 56), (38, 68, 120), (45, 125, 143), (109, 178, 123), (231, 210, 102), (255, 247, 214)], np.float64)


def coloured(values):
    """A feature map as an image. Its own range is spread over the palette, without the rarest hundredth at either end."""
    low, high = np.percentile(values, (1, 99))
    place = np.clip((values - low) / (high - low if high > low else 1), 0, 1) * (len(PALETTE) - 1)
    below = np.minimum(place.astype(int), len(PALETTE) - 2)
    part = (place - below)[..., None]
    return Image.fromarray(np.rint(PALETTE[below] * (1 - part) + PALETTE[below + 1] * part).astype(np.uint8))


def maps(output):
    """All maps of a layer, row by row, over the width of a panel."""
    count = output.shape[3]
    columns = {16: 8, 32: 11, 64: 16, 128: 22}.get(count, int(np.ceil(np.sqrt(count * 4))))
    gap = 3 if output.shape[1] > 10 else 2
    pitch = (PANEL + gap) / columns
    side = int(pitch) - gap
    rows = -(-count // columns)
    sheet = Image.new("RGB", (PANEL, round((rows - 1) * pitch) + side), GROUND)
    for i in range(count):
        one = coloured(output[0, :, :, i]).resize((side, side), Image.Resampling.BICUBIC)
        sheet.paste(one, (round((i % columns) * pitch), round((i // columns) * pitch)))
    return sheet


def spell(shape):
    return " x ".join(str(extent) for extent in shape[1:])


def sidebar(picture, photograph, image, scores, top):
    """The photograph, what the model sees of it, and what it says."""
    drawing = ImageDraw.Draw(picture)
    label, small = ImageFont.load_default(17), ImageFont.load_default(14)
    y = top

    def titled(title, content):
        nonlocal y
        drawing.text((MARGIN, y), title, INK, label)
        y += 27
        picture.paste(content.resize((SIDEBAR, SIDEBAR), Image.Resampling.BICUBIC), (MARGIN, y))
        y += SIDEBAR + 24

    titled("The photograph", photograph)
    grey = np.rint((image[0, :, :, 0] + 1) * 127.5).astype(np.uint8)
    titled("What the network sees: 64 x 64", Image.fromarray(grey).convert("RGB"))
    drawing.text((MARGIN, y), "What it says", INK, label)
    y += 30
    for name, score in scores:
        drawing.text((MARGIN, y), name, INK, small)
        length = int(round(float(score) * 110))
        drawing.rectangle((MARGIN + 80, y + 2, MARGIN + 80 + max(length, 1), y + 14), BAR)
        drawing.text((MARGIN + SIDEBAR, y), f"{score:.1%}", INK if score > 0.5 else FAINT, small, anchor="ra")
        y += 23
    return y


def draw(photograph, image, layers, scores, tolerance):
    """The whole picture. `layers` have name, input_shape, output, difference and relative; `scores` are (name, probability)."""
    heading, label, small = ImageFont.load_default(26), ImageFont.load_default(17), ImageFont.load_default(14)
    sheets = [maps(layer.output) for layer in layers]
    left = MARGIN + SIDEBAR + 36
    top = MARGIN + 78
    # Two panels beside each other, as high as the higher one.
    heights = [max(sheet.height for sheet in sheets[i : i + 2]) + TITLE + 26 for i in range(0, len(sheets), 2)]
    width = left + 2 * PANEL + 36 + MARGIN
    height = max(top + sum(heights), top + 2 * (SIDEBAR + 51) + 30 + 23 * len(scores)) + MARGIN // 2
    picture = Image.new("RGB", (width, height), GROUND)
    drawing = ImageDraw.Draw(picture)
    drawing.text((MARGIN, MARGIN - 4), "A photograph through a trained network, its separable convolutions computed by sepconv", INK, heading)
    drawing.text((MARGIN, MARGIN + 34), "Each small square is one output channel of a SeparableConv2D layer, from its least value "
                 "(dark) to its greatest (light).", FAINT, label)  # fmt: skip
    sidebar(picture, photograph, image, scores, top)

    y = top
    for i, (layer, sheet) in enumerate(zip(layers, sheets)):
        x = left + (i % 2) * (PANEL + 36)
        drawing.text((x, y), layer.name, INK, label)
        drawing.text((x + PANEL, y + 2), f"{spell(layer.input_shape)}  to  {spell(layer.output.shape)}", FAINT, small, anchor="ra")
        verdict = (f"largest difference from TensorFlow {layer.difference:.1e}, "
                   f"which is {layer.relative:.1e} of the largest output")  # fmt: skip
        drawing.text((x, y + 24), verdict, GOOD if layer.relative <= tolerance else BAD, small)
        picture.paste(sheet, (x, y + TITLE))
        if i % 2 == 1:
            y += heights[i // 2]
    return picture
