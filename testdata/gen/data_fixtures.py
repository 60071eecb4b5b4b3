#!/usr/bin/python3
"""Makes testdata/data: files of other programs for the readers in pipeline/data.

Run from the repository's root with Debian 12's python3 (NumPy 1.24, SciPy 1.10,
Pillow 9.4):

    /usr/bin/python3 testdata/gen/data_fixtures.py

Everything is a formula, so the tests know each value without reading it here:

    value(i, y, x, c) = (31 i + 5 y + 3 x + 70 c) mod 256
    label(i)          = (7 i + 3) mod classes
"""
import gzip
import io
import os
import struct
import tarfile

import numpy as np
import scipy.io
from PIL import Image

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "data")


def pixels(first, n, h, w, c):
    i, y, x, k = np.meshgrid(np.arange(first, first + n), np.arange(h), np.arange(w), np.arange(c), indexing="ij")
    return ((31 * i + 5 * y + 3 * x + 70 * k) % 256).astype(np.uint8)


def labels(first, n, classes):
    return (7 * np.arange(first, first + n) + 3) % classes


def path(*parts):
    p = os.path.join(OUT, *parts)
    os.makedirs(os.path.dirname(p), exist_ok=True)
    return p


def write(name, b):
    with open(path(name), "wb") as f:
        f.write(b)


def gz(b):
    return gzip.compress(b, mtime=0)


def svhn():
    """X [32,32,3,N], y [N,1] with 10 for the digit 0, as the original files have them."""
    for name, n, compress in (("train", 20, True), ("test", 10, False)):
        y = labels(0, n, 10)
        y[y == 0] = 10
        scipy.io.savemat(
            path("svhn", name + "_32x32.mat"),
            {"X": pixels(0, n, 32, 32, 3).transpose(1, 2, 3, 0), "y": y.reshape(-1, 1).astype(np.uint8)},
            do_compression=compress,
        )
    # The time of writing in the header would make every run different.
    for name in ("train", "test"):
        with open(path("svhn", name + "_32x32.mat"), "r+b") as f:
            f.write(b"MATLAB 5.0 MAT-file, fixture".ljust(116))


def idx():
    for name, n, zipped in (("train", 20, True), ("t10k", 10, False)):
        images = struct.pack(">4B3I", 0, 0, 8, 3, n, 28, 28) + pixels(0, n, 28, 28, 1).tobytes()
        marks = struct.pack(">4BI", 0, 0, 8, 1, n) + labels(0, n, 10).astype(np.uint8).tobytes()
        for what, b in (("images-idx3-ubyte", images), ("labels-idx1-ubyte", marks)):
            if zipped:
                write(f"mnist/{name}-{what}.gz", gz(b))
            else:
                write(f"mnist/{name}-{what}", b)


def cifar(n, classes, label_bytes, first=0):
    out = io.BytesIO()
    px = pixels(first, n, 32, 32, 3).transpose(0, 3, 1, 2)
    for i, fine in enumerate(labels(first, n, classes)):
        out.write(bytes([i % 20] * (label_bytes - 1) + [fine]))
        out.write(px[i].tobytes())
    return out.getvalue()


def tar(name, files):
    b = io.BytesIO()
    with tarfile.open(fileobj=b, mode="w", format=tarfile.USTAR_FORMAT) as t:
        for n, content in files:
            info = tarfile.TarInfo(n)
            info.size = len(content)
            t.addfile(info, io.BytesIO(content))
    write(name, gz(b.getvalue()))


def cifars():
    ten = "airplane automobile bird cat deer dog frog horse ship truck".split()
    tar("cifar-10-binary.tar.gz", [
        ("cifar-10-batches-bin/batches.meta.txt", ("\n".join(ten) + "\n\n").encode()),
        ("cifar-10-batches-bin/data_batch_1.bin", cifar(10, 10, 1)),
        ("cifar-10-batches-bin/data_batch_2.bin", cifar(10, 10, 1, 10)),
        ("cifar-10-batches-bin/readme.html", b"<html></html>"),
        ("cifar-10-batches-bin/test_batch.bin", cifar(10, 10, 1)),
    ])
    names = [f"fine{i:02d}" for i in range(100)]
    tar("cifar-100-binary.tar.gz", [
        ("cifar-100-binary/coarse_label_names.txt", "\n".join(f"coarse{i:02d}" for i in range(20)).encode()),
        ("cifar-100-binary/fine_label_names.txt", "\n".join(names).encode()),
        ("cifar-100-binary/train.bin", cifar(10, 100, 2)),
        ("cifar-100-binary/test.bin", cifar(5, 100, 2)),
    ])


def picture(w=29, h=19):
    """Saturated colours with soft and hard edges: what chroma subsampling shows on."""
    y, x = np.mgrid[0:h, 0:w]
    r = 127 + 120 * np.sin(x / 4.0)
    g = np.where((x // 6 + y // 5) % 2 == 0, 230, 30)
    b = 255 * y / (h - 1)
    return Image.fromarray(np.stack([r, g, b], -1).clip(0, 255).astype(np.uint8), "RGB")


def bmp(bits, compression, pixels, palette=b"", masks=b"", header=40):
    """A BMP file of the kinds that Pillow reads and does not write, of picture()'s size."""
    w, h = picture().size
    start = 14 + header + len(masks) + len(palette)
    head = b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start)
    if header == 12:
        return head + struct.pack("<IHHHH", 12, w, h, 1, bits) + palette + pixels
    info = struct.pack("<IiiHHIIiiII", header, w, h, 1, bits, compression, len(pixels), 2835, 2835, len(palette) // 4, 0)
    return head + info + masks + palette + pixels


def rows(im, pack):
    """The image's rows from the bottom, each padded to four bytes."""
    a = np.asarray(im)[::-1]
    return b"".join((r + b"\0" * (-len(r) % 4)) for r in (pack(row) for row in a))


def runs(row, nibbles):
    """One row of a run-length encoded BMP, with runs, pixels as they are, and a move."""
    out, x = b"", 0
    while x < len(row):
        n = 1
        while x + n < len(row) and row[x + n] == row[x] and n < 255:
            n += 1
        # Pixels as they are come in an odd number of bytes, so that padding follows;
        # Pillow misreads an odd number of half bytes.
        k = 6 if nibbles else 5
        if n == 1 and x + k <= len(row):
            raw = [int(v) for v in row[x : x + k]]
            if nibbles:
                raw = [raw[i] << 4 | raw[i + 1] for i in range(0, k, 2)]
            out += bytes([0, k] + raw) + b"\0"
            x += k
            continue
        v = int(row[x])
        out += bytes([n, v << 4 | v if nibbles else v])
        x += n
    return out + b"\0\0"


def bmps(keep):
    rgb = picture()
    r, g, b = (np.asarray(rgb).astype(np.uint16)[:, :, i] for i in range(3))
    for name, masks, value in (
        ("565.bmp", (0xF800, 0x7E0, 0x1F), (r >> 3) << 11 | (g >> 2) << 5 | b >> 3),
        ("555.bmp", None, (r >> 3) << 10 | (g >> 3) << 5 | b >> 3),
    ):
        body = rows(value.astype("<u2"), lambda row: row.tobytes())
        keep(name, bmp(16, 3, body, masks=struct.pack("<3I", *masks)) if masks else bmp(16, 0, body))
    wide = np.stack([np.zeros_like(r), b, g, r], -1).astype(np.uint8)
    keep("masks32.bmp", bmp(32, 3, rows(wide, lambda row: row.tobytes()), masks=struct.pack("<3I", 0xFF000000, 0xFF0000, 0xFF00)))
    for name, colours, bits, nibbles in (("rle8.bmp", 40, 8, False), ("rle4.bmp", 12, 4, True)):
        few = rgb.quantize(colours, dither=Image.Dither.NONE)
        palette = np.asarray(few.getpalette()[: 3 * colours], np.uint8).reshape(-1, 3)
        quads = b"".join(bytes([p[2], p[1], p[0], 0]) for p in palette)
        body = b"".join(runs(row, nibbles) for row in np.asarray(few)[::-1]) + b"\0\1"
        keep(name, bmp(bits, 2 if nibbles else 1, body, quads))
    few = rgb.quantize(256, dither=Image.Dither.NONE)
    palette = np.asarray(few.getpalette() + [0] * 768, np.uint8)[:768].reshape(-1, 3)
    keep("os2.bmp", bmp(8, 0, rows(few, lambda row: row.tobytes()), b"".join(bytes([p[2], p[1], p[0]]) for p in palette), header=12))


def animations(keep, over_white):
    """Animated WebP files, of which the first frame is shown."""
    rgb = picture()
    turned = rgb.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    b = io.BytesIO()
    rgb.save(b, "WEBP", save_all=True, append_images=[turned], quality=90)
    keep("animated.webp", b.getvalue())
    first = Image.new("RGBA", rgb.size, (0, 0, 0, 0))  # the frame covers a part of the canvas
    part = rgb.convert("RGBA").crop((4, 4, 20, 14))
    part.putalpha(Image.fromarray((255 * np.mgrid[0:10, 0:16][1] / 15).astype(np.uint8), "L"))
    first.paste(part, (8, 6))
    for name, how in (("animated-part.webp", dict(lossless=True, exact=True)), ("animated-part-lossy.webp", dict(quality=90))):
        b = io.BytesIO()
        first.save(b, "WEBP", save_all=True, append_images=[turned.convert("RGBA")], minimize_size=True, **how)
        with open(path("images", name), "wb") as f:
            f.write(b.getvalue())
        over_white(name)


def images():
    """Encoded pictures, each beside what Pillow makes of it as RGB (NAME.png)."""
    rgb = picture()
    alpha = rgb.convert("RGBA")
    ramp = (255 * np.mgrid[0:19, 0:29][1] / 28).astype(np.uint8)
    alpha.putalpha(Image.fromarray(ramp, "L"))
    exif = Image.Exif()
    exif[0x0112] = 6

    def keep(name, im, expected=None, **how):
        im.save(path("images", name), **how)
        back = expected or Image.open(path("images", name)).convert("RGB")
        back.save(path("images", name + ".png"), optimize=True)

    keep("420.jpg", rgb, quality=90, subsampling=2)
    keep("422.jpg", rgb, quality=90, subsampling=1)
    keep("444.jpg", rgb, quality=90, subsampling=0)
    keep("progressive.jpg", rgb, quality=90, subsampling=2, progressive=True)
    keep("grey.jpg", rgb.convert("L"), quality=90)
    keep("cmyk.jpg", rgb.convert("CMYK"), quality=90)
    turned = path("images", "turned.jpg")
    rgb.save(turned, quality=90, subsampling=0, exif=exif)
    keep("turned.jpg", rgb, Image.open(turned).convert("RGB").transpose(Image.Transpose.ROTATE_270),
         quality=90, subsampling=0, exif=exif)
    keep("lossy.webp", rgb, quality=90)
    keep("lossless.webp", rgb, lossless=True)
    # Pillow drops alpha when it converts to RGB; over white is what the reader does.
    for name, how in (("alpha-lossless.webp", dict(lossless=True, exact=True)), ("alpha.png", {})):
        alpha.save(path("images", name), **how)
        back = Image.open(path("images", name)).convert("RGBA")
        white = Image.new("RGBA", back.size, "white")
        white.alpha_composite(back)
        white.convert("RGB").save(path("images", name + ".png"), optimize=True)
    alpha.save(path("images", "alpha-lossy.webp"), quality=90)
    back = Image.open(path("images", "alpha-lossy.webp")).convert("RGBA")
    white = Image.new("RGBA", back.size, "white")
    white.alpha_composite(back)
    white.convert("RGB").save(path("images", "alpha-lossy.webp.png"), optimize=True)

    def keep_bytes(name, b):
        write("images/" + name, b)
        Image.open(path("images", name)).convert("RGB").save(path("images", name + ".png"), optimize=True)

    def over_white(name):
        back = Image.open(path("images", name)).convert("RGBA")
        white = Image.new("RGBA", back.size, "white")
        white.alpha_composite(back)
        white.convert("RGB").save(path("images", name + ".png"), optimize=True)

    bmps(keep_bytes)
    animations(keep_bytes, over_white)
    # Half size by the same kind of filter as ours.
    rgb.resize((11, 9), Image.Resampling.BILINEAR).save(path("images", "resized-11x9.png"), optimize=True)
    rgb.save(path("images", "picture.png"), optimize=True)
    rgb.convert("L").save(path("images", "picture-grey.png"), optimize=True)


svhn()
idx()
cifars()
images()
