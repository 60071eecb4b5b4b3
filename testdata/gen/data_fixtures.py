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
    # Half size by the same kind of filter as ours.
    rgb.resize((11, 9), Image.Resampling.BILINEAR).save(path("images", "resized-11x9.png"), optimize=True)
    rgb.save(path("images", "picture.png"), optimize=True)
    rgb.convert("L").save(path("images", "picture-grey.png"), optimize=True)


svhn()
idx()
cifars()
images()
