// Lossless WebP (the WebP Lossless Bitstream Specification) without the RIFF header, as overlays hold it (FORMAT 5.2).
// Exact, which a canvas is not where there is alpha. Pixels are 0xAARRGGBB in a Uint32Array. Imports nothing.

const MARK = 0x2f;
const LENGTHS = 256;
const LENGTH_CODES = 24;
const DISTANCE_CODES = 40;
const CODE_LENGTHS_ORDER = [17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
const CODE_BITS_MAX = 15;
const TABLE_BITS = 8;
const BLACK = 0xff000000;
// Where the nearest pixels lie: rows above in the upper four bits, 8 less the columns to the left in the lower.
const NEAR = [
    0x18, 0x07, 0x17, 0x19, 0x28, 0x06, 0x27, 0x29, 0x16, 0x1a, 0x26, 0x2a, 0x38, 0x05, 0x37, 0x39, 0x15, 0x1b, 0x36,
    0x3a, 0x25, 0x2b, 0x48, 0x04, 0x47, 0x49, 0x14, 0x1c, 0x35, 0x3b, 0x46, 0x4a, 0x24, 0x2c, 0x58, 0x45, 0x4b, 0x34,
    0x3c, 0x03, 0x57, 0x59, 0x13, 0x1d, 0x56, 0x5a, 0x23, 0x2d, 0x44, 0x4c, 0x55, 0x5b, 0x33, 0x3d, 0x68, 0x02, 0x67,
    0x69, 0x12, 0x1e, 0x66, 0x6a, 0x22, 0x2e, 0x54, 0x5c, 0x43, 0x4d, 0x65, 0x6b, 0x32, 0x3e, 0x78, 0x01, 0x77, 0x79,
    0x53, 0x5d, 0x11, 0x1f, 0x64, 0x6c, 0x42, 0x4e, 0x76, 0x7a, 0x21, 0x2f, 0x75, 0x7b, 0x31, 0x3f, 0x63, 0x6d, 0x52,
    0x5e, 0x00, 0x74, 0x7c, 0x41, 0x4f, 0x10, 0x20, 0x62, 0x6e, 0x30, 0x73, 0x7d, 0x51, 0x5f, 0x40, 0x72, 0x7e, 0x61,
    0x6f, 0x50, 0x71, 0x7f, 0x60, 0x70,
];

/** What the data state of themselves, or null: {width, height, alpha, version}. */
export function webpStates(bytes) {
    if (bytes.length < 5 || bytes[0] !== MARK) return null;
    const bits = bytes[1] | (bytes[2] << 8) | (bytes[3] << 16) | (bytes[4] << 24);
    return {
        width: (bits & 0x3fff) + 1,
        height: ((bits >>> 14) & 0x3fff) + 1,
        alpha: (bits >>> 28) & 1,
        version: bits >>> 29,
    };
}

/** The pixels of data whose head webpStates has read and its caller has judged. Throws Error for what is damaged. */
export function readWebp(bytes) {
    const { width, height, alpha } = webpStates(bytes);
    const bits = new Bits(bytes, 5);
    const transforms = [];
    let columns = width; // of what is coded: packed pixels make it fewer
    while (bits.read(1)) {
        const transform = readTransform(bits, columns, height);
        if (transforms.some((other) => other.kind === transform.kind)) throw new Error('a transform comes twice');
        transforms.push(transform);
        columns = transform.packed ?? columns;
    }
    let pixels = readPixels(bits, columns, height, true);
    for (const transform of transforms.reverse()) pixels = transform.undo(pixels);
    if (!alpha) for (let i = 0; i < pixels.length; i++) pixels[i] |= BLACK;
    return pixels;
}

class Bits {
    constructor(bytes, at) {
        this.bytes = bytes;
        this.at = at;
        this.held = 0; // bits that are not yet read, of which there are `count`, at most 32
        this.count = 0;
    }

    fill() {
        while (this.count <= 24) {
            // Beyond the end there are zeros, whose reading `skip` refuses.
            this.held |= (this.bytes[this.at++] ?? 0) << this.count;
            this.count += 8;
        }
    }

    /** The next n bits, at most 24, the first the lowest. */
    read(n) {
        this.fill();
        const value = this.held & ((1 << n) - 1);
        this.skip(n);
        return value;
    }

    skip(n) {
        this.held >>>= n;
        this.count -= n;
        if (this.at - (this.count >> 3) > this.bytes.length) throw new Error('the data end too early');
    }
}

// ---- Prefix codes ---------------------------------------------------------------------------------------------------

/** A prefix code of symbols whose lengths are given, 0 for those that there are not. */
class Code {
    constructor(lengths) {
        const count = new Int32Array(CODE_BITS_MAX + 2);
        for (const length of lengths) count[length]++;
        const used = lengths.length - count[0];
        if (used === 0) throw new Error('a code without symbols');
        this.only = used === 1 ? lengths.findIndex((length) => length > 0) : -1; // which takes no bits
        if (this.only >= 0) return;
        // Canonical: codes of a length are consecutive, and symbols ascend. `first` is the first code of each length.
        this.first = new Int32Array(CODE_BITS_MAX + 1);
        this.offset = new Int32Array(CODE_BITS_MAX + 1); // of that code's symbol among `symbols`
        for (let n = 1; n <= CODE_BITS_MAX; n++) {
            this.first[n] = (this.first[n - 1] + (n > 1 ? count[n - 1] : 0)) << 1;
            this.offset[n] = this.offset[n - 1] + (n > 1 ? count[n - 1] : 0);
        }
        if (this.first[CODE_BITS_MAX] + count[CODE_BITS_MAX] !== 1 << CODE_BITS_MAX) {
            throw new Error('a code that is not complete');
        }
        this.count = count;
        this.symbols = new Uint16Array(used);
        const placed = this.offset.slice();
        lengths.forEach((length, symbol) => {
            if (length > 0) this.symbols[placed[length]++] = symbol;
        });
        this.fillTable();
    }

    /** Short codes by the next bits; a table for all of them would let a small file ask for much memory. */
    fillTable() {
        let longest = CODE_BITS_MAX;
        while (this.count[longest] === 0) longest--;
        this.direct = Math.min(longest, TABLE_BITS);
        this.table = new Uint16Array(1 << this.direct); // symbols
        this.bits = new Uint8Array(1 << this.direct); // and their lengths, 0 for those that are longer
        for (let n = 1; n <= this.direct; n++) {
            for (let k = 0; k < this.count[n]; k++) {
                for (let at = reversed(this.first[n] + k, n); at < this.table.length; at += 1 << n) {
                    this.table[at] = this.symbols[this.offset[n] + k];
                    this.bits[at] = n;
                }
            }
        }
    }

    read(bits) {
        if (this.only >= 0) return this.only;
        bits.fill();
        const at = bits.held & (this.table.length - 1);
        if (this.bits[at] > 0) {
            bits.skip(this.bits[at]);
            return this.table[at];
        }
        let code = reversed(at, this.direct);
        for (let n = this.direct + 1; ; n++) {
            code = (code << 1) | ((bits.held >>> (n - 1)) & 1);
            if (code - this.first[n] < this.count[n]) {
                bits.skip(n);
                return this.symbols[this.offset[n] + code - this.first[n]];
            }
        }
    }
}

function reversed(code, length) {
    let out = 0;
    for (let n = 0; n < length; n++) out |= ((code >> n) & 1) << (length - 1 - n);
    return out;
}

function readCode(bits, size) {
    const lengths = Array(size).fill(0);
    if (bits.read(1)) {
        const two = bits.read(1);
        const symbols = [bits.read(bits.read(1) ? 8 : 1)];
        if (two) symbols.push(bits.read(8));
        for (const symbol of symbols) {
            if (symbol >= size) throw new Error('a symbol that there is not');
            lengths[symbol] = 1;
        }
        return new Code(lengths);
    }
    const first = Array(CODE_LENGTHS_ORDER.length).fill(0);
    const count = 4 + bits.read(4);
    for (let n = 0; n < count; n++) first[CODE_LENGTHS_ORDER[n]] = bits.read(3);
    readLengths(bits, new Code(first), lengths);
    return new Code(lengths);
}

function readLengths(bits, code, lengths) {
    let left = lengths.length;
    if (bits.read(1)) {
        left = 2 + bits.read(2 + 2 * bits.read(3));
        if (left > lengths.length) throw new Error('more lengths than symbols');
    }
    let before = 8;
    for (let at = 0; at < lengths.length && left > 0; left--) {
        const length = code.read(bits);
        if (length < 16) {
            lengths[at++] = length;
            before = length || before;
            continue;
        }
        const repeat = length === 16 ? 3 + bits.read(2) : length === 17 ? 3 + bits.read(3) : 11 + bits.read(7);
        if (at + repeat > lengths.length) throw new Error('more lengths than symbols');
        lengths.fill(length === 16 ? before : 0, at, at + repeat);
        at += repeat;
    }
}

// ---- Pixels ---------------------------------------------------------------------------------------------------------

/** An image as it is coded. whole: whether it is the picture itself, which may have several groups of codes. */
function readPixels(bits, width, height, whole) {
    const cacheBits = bits.read(1) ? bits.read(4) : 0;
    if (cacheBits > 11) throw new Error('too large a cache');
    let meta = null;
    let groupBits = 0;
    if (whole && bits.read(1)) {
        groupBits = 2 + bits.read(3);
        meta = readPixels(bits, divided(width, groupBits), divided(height, groupBits), false);
        for (let i = 0; i < meta.length; i++) meta[i] = (meta[i] >>> 8) & 0xffff;
    }
    const groups = [];
    const count = meta ? meta.reduce((most, group) => Math.max(most, group), 0) + 1 : 1;
    const sizes = [LENGTHS + LENGTH_CODES + (cacheBits ? 1 << cacheBits : 0), 256, 256, 256, DISTANCE_CODES];
    for (let n = 0; n < count; n++) groups.push(sizes.map((size) => readCode(bits, size)));
    const pixels = new Uint32Array(width * height);
    const cache = cacheBits ? { shift: 32 - cacheBits, values: new Uint32Array(1 << cacheBits), known: 0 } : null;
    const across = divided(width, groupBits);
    let group = groups[0];
    let at = 0;
    while (at < pixels.length) {
        const x = at % width;
        if (meta) group = groups[meta[(Math.floor(at / width) >> groupBits) * across + (x >> groupBits)]];
        at = readStep(bits, group, pixels, at, width, cache);
    }
    return pixels;
}

function divided(side, bits) {
    return (side + (1 << bits) - 1) >> bits;
}

/** One symbol: a pixel, or a run copied from before. Returns where the next one goes. */
function readStep(bits, [green, red, blue, alpha, distance], pixels, at, width, cache) {
    const symbol = green.read(bits);
    if (symbol < LENGTHS) {
        const r = red.read(bits);
        const b = blue.read(bits);
        pixels[at] = (alpha.read(bits) << 24) | (r << 16) | (symbol << 8) | b;
        return at + 1;
    }
    if (symbol >= LENGTHS + LENGTH_CODES) {
        for (; cache.known < at; cache.known++) cache.values[slot(cache, pixels[cache.known])] = pixels[cache.known];
        pixels[at] = cache.values[symbol - LENGTHS - LENGTH_CODES];
        return at + 1;
    }
    const length = number(bits, symbol - LENGTHS);
    const code = number(bits, distance.read(bits));
    const near = NEAR[code - 1];
    const back = near === undefined ? code - NEAR.length : Math.max((near >> 4) * width + 8 - (near & 15), 1);
    if (back > at || at + length > pixels.length) throw new Error('a copy from nowhere');
    for (const end = at + length; at < end; at++) pixels[at] = pixels[at - back];
    return at;
}

function slot(cache, pixel) {
    return Math.imul(0x1e35a7bd, pixel) >>> cache.shift;
}

/** A length or a distance of a prefix. */
function number(bits, prefix) {
    if (prefix < 4) return prefix + 1;
    const extra = (prefix - 2) >> 1;
    return ((2 + (prefix & 1)) << extra) + bits.read(extra) + 1;
}

// ---- Transforms -----------------------------------------------------------------------------------------------------

/** {kind, undo(pixels) -> pixels, packed: columns of what is coded, where these are fewer}. */
function readTransform(bits, width, height) {
    const kind = bits.read(2);
    if (kind === 2) return { kind, undo: addGreen };
    if (kind === 3) return readPalette(bits, width, height);
    const block = 2 + bits.read(3);
    const across = divided(width, block);
    const data = readPixels(bits, across, divided(height, block), false);
    const of = (x, y) => data[(y >> block) * across + (x >> block)];
    const undo = kind === 0 ? unpredict : uncross;
    return { kind, undo: (pixels) => undo(pixels, width, height, of) };
}

function addGreen(pixels) {
    for (let i = 0; i < pixels.length; i++) {
        const green = (pixels[i] >>> 8) & 0xff;
        pixels[i] = sum(pixels[i], (green << 16) | green);
    }
    return pixels;
}

function readPalette(bits, width, height) {
    const colours = new Uint32Array(256);
    const count = bits.read(8) + 1;
    colours.set(readPixels(bits, count, 1, false));
    for (let i = 1; i < count; i++) colours[i] = sum(colours[i], colours[i - 1]);
    const shift = count <= 2 ? 3 : count <= 4 ? 2 : count <= 16 ? 1 : 0; // log2 of the pixels in one
    const packed = divided(width, shift);
    const depth = 8 >> shift;
    const undo = (pixels) => {
        const out = new Uint32Array(width * height);
        for (let y = 0, i = 0; y < height; y++) {
            for (let x = 0; x < width; x++, i++) {
                const green = (pixels[y * packed + (x >> shift)] >>> 8) & 0xff;
                out[i] = colours[(green >> ((x & ((1 << shift) - 1)) * depth)) & ((1 << depth) - 1)];
            }
        }
        return out;
    };
    return { kind: 3, undo, packed };
}

function uncross(pixels, width, height, of) {
    const delta = (a, b) => (((a << 24) >> 24) * ((b << 24) >> 24)) >> 5;
    for (let y = 0, i = 0; y < height; y++) {
        for (let x = 0; x < width; x++, i++) {
            const by = of(x, y);
            const green = pixels[i] >>> 8;
            const red = ((pixels[i] >>> 16) + delta(by, green)) & 0xff;
            const blue = (pixels[i] + delta(by >>> 8, green) + delta(by >>> 16, red)) & 0xff;
            pixels[i] = (pixels[i] & 0xff00ff00) | (red << 16) | blue;
        }
    }
    return pixels;
}

function unpredict(pixels, width, height, of) {
    pixels[0] = sum(pixels[0], BLACK);
    for (let x = 1; x < width; x++) pixels[x] = sum(pixels[x], pixels[x - 1]);
    for (let y = 1, i = width; y < height; y++) {
        pixels[i] = sum(pixels[i], pixels[i - width]);
        i++;
        for (let x = 1; x < width; x++, i++) {
            const guess = PREDICTORS[(of(x, y) >>> 8) & 15];
            const above = i - width; // whose right neighbour is, at the right edge, the first of this row
            pixels[i] = sum(pixels[i], guess(pixels[i - 1], pixels[above], pixels[above + 1], pixels[above - 1]));
        }
    }
    return pixels;
}

// Of the pixels on the left, above, above to the right, and above to the left.
const PREDICTORS = [
    () => BLACK,
    (l) => l,
    (l, t) => t,
    (l, t, tr) => tr,
    (l, t, tr, tl) => tl,
    (l, t, tr) => mean(mean(l, tr), t),
    (l, t, tr, tl) => mean(l, tl),
    (l, t) => mean(l, t),
    (l, t, tr, tl) => mean(tl, t),
    (l, t, tr) => mean(t, tr),
    (l, t, tr, tl) => mean(mean(l, tl), mean(t, tr)),
    (l, t, tr, tl) => (difference(t, tl) < difference(l, tl) ? l : t),
    (l, t, tr, tl) => eachByte((n) => byte(l, n) + byte(t, n) - byte(tl, n)),
    (l, t, tr, tl) => {
        const m = mean(l, t);
        return eachByte((n) => byte(m, n) + Math.trunc((byte(m, n) - byte(tl, n)) / 2));
    },
    () => BLACK,
    () => BLACK,
];

/** Byte by byte, modulo 256. */
function sum(a, b) {
    const high = ((a >>> 8) & 0xff00ff) + ((b >>> 8) & 0xff00ff); // alpha and green
    const low = (a & 0xff00ff) + (b & 0xff00ff);
    return ((high & 0xff00ff) << 8) | (low & 0xff00ff);
}

function mean(a, b) {
    return (((a ^ b) & 0xfefefefe) >>> 1) + (a & b);
}

function byte(pixel, n) {
    return (pixel >>> (8 * n)) & 0xff;
}

function eachByte(of) {
    let out = 0;
    for (let n = 0; n < 4; n++) out |= Math.min(Math.max(of(n), 0), 255) << (8 * n);
    return out;
}

function difference(a, b) {
    let all = 0;
    for (let n = 0; n < 4; n++) all += Math.abs(byte(a, n) - byte(b, n));
    return all;
}
