"""Makes examples/crlm-ct-1006 from the whole scan and its masks: a crop, with labels in TotalSegmentator's numbers.

    python3 reference/crop_example.py CT.nii.gz MASKS.nii.gz examples/crlm-ct-1006

Nothing but the standard library. Both files: NIfTI-1, little endian, the same grid; int16 and uint8.
"""
import gzip
import pathlib
import struct
import sys

# Voxels kept (first, one past the last): liver and both kidneys with their surroundings, below 4 MB.
CROP = [(40, 430), (40, 290), (6, 35)]
# Mask values to TotalSegmentator v2 ids: part of the liver, right kidney, left kidney.
LABELS = {0: 0, 1: 5, 2: 2, 3: 3}


def crop(source, target, description, recode=None):
    data = gzip.decompress(pathlib.Path(source).read_bytes())
    head = bytearray(data[:352])
    nx, ny, nz = struct.unpack_from("<3h", head, 42)
    bits = struct.unpack_from("<h", head, 72)[0]
    assert struct.unpack_from("<f", head, 108)[0] == 352 and head[344:347] == b"n+1", source
    struct.pack_into("<3h", head, 42, *[end - start for start, end in CROP])
    # The first voxel kept becomes voxel 0: the origins of sform (rows at 280) and qform (offsets at 268) move.
    for axis in range(3):
        row = list(struct.unpack_from("<4f", head, 280 + 16 * axis))
        row[3] += sum(row[a] * CROP[a][0] for a in range(3))
        struct.pack_into("<4f", head, 280 + 16 * axis, *row)
        struct.pack_into("<f", head, 268 + 4 * axis, row[3])
    head[148:228] = description.encode().ljust(80, b"\0")
    size = bits // 8
    (x0, x1), ys, zs = CROP
    rows = bytearray()
    for z in range(*zs):
        for y in range(*ys):
            start = 352 + ((z * ny + y) * nx + x0) * size
            rows += data[start : start + (x1 - x0) * size]
    if recode:
        rows = rows.translate(bytes(recode.get(v, 0) for v in range(256)))
    # mtime 0: the same bytes each time.
    pathlib.Path(target).write_bytes(gzip.compress(bytes(head) + bytes(rows), 9, mtime=0))


ct, masks, out = sys.argv[1:]
pathlib.Path(out).mkdir(parents=True, exist_ok=True)
crop(ct, f"{out}/ct.nii.gz", "CRLM-CT-1006, CC BY 4.0, doi 10.7937/QXK2-QG03, cropped")
crop(masks, f"{out}/labels.nii.gz", "2 kidney_right 3 kidney_left 5 liver (part), approximate", LABELS)
