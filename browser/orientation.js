// EXIF's orientation, the only thing of a file's metadata that browsers look at: how a picture is to be turned.
// Imports nothing.

const TAG = 0x112;
const SHORT = 3;
// For the orientations 2 to 8: whether rows and columns change places, and whether those that result are mirrored.
const TURNS = {
    2: [false, true, false],
    3: [false, true, true],
    4: [false, false, true],
    5: [true, false, false],
    6: [true, true, false],
    7: [true, true, true],
    8: [true, false, true],
};

/** 1 to 8, of a TIFF structure (a Uint8Array) or null; 1 where it states none. */
export function orientationOf(exif) {
    if (!exif || exif.length < 8) return 1;
    const view = new DataView(exif.buffer, exif.byteOffset, exif.byteLength);
    const little = view.getUint16(0) === 0x4949;
    if (!little && view.getUint16(0) !== 0x4d4d) return 1;
    const at = view.getUint32(4, little);
    if (at + 2 > exif.length) return 1;
    const count = view.getUint16(at, little);
    for (let n = 0, entry = at + 2; n < count && entry + 12 <= exif.length; n++, entry += 12) {
        if (view.getUint16(entry, little) !== TAG) continue;
        if (view.getUint16(entry + 2, little) !== SHORT) return 1;
        const value = view.getUint16(entry + 8, little);
        return value in TURNS ? value : 1;
    }
    return 1;
}

/** RGBA pixels turned: {data, width, height}. pixels: a Uint8ClampedArray or a Uint16Array. */
export function turned(pixels, width, height, orientation) {
    if (orientation === 1) return { data: pixels, width, height };
    const [swapped, mirrored, flipped] = TURNS[orientation];
    const [columns, rows] = swapped ? [height, width] : [width, height];
    const Pixels = pixels.BYTES_PER_ELEMENT === 2 ? BigUint64Array : Uint32Array;
    const from = new Pixels(pixels.buffer);
    const to = new Pixels(from.length);
    for (let y = 0, i = 0; y < rows; y++) {
        const v = flipped ? rows - 1 - y : y;
        for (let x = 0; x < columns; x++, i++) {
            const u = mirrored ? columns - 1 - x : x;
            to[i] = swapped ? from[u * width + v] : from[v * width + u];
        }
    }
    return { data: new pixels.constructor(to.buffer), width: columns, height: rows };
}
