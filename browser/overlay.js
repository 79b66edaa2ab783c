// Exact rectangles and alpha (FORMAT 5): what they state of themselves, and their samples.
import { Cursor } from './bytes.js';
import { checkPrediction, joined } from './depth.js';
import { LicError, DISTRUST, REFETCH, UPGRADE, refuse } from './errors.js';
import { pngChunks, pngStates, readPng } from './png.js';
import { readWebp, webpStates } from './webp.js';

const RECTANGLES_MAX = 4096;
const [CONSTANT, PNG, WEBP] = [0, 1, 2]; // methods
const SIDE_MAX = 2 ** 31 - 1;
// bands -> colour type -> bit depths of FORMAT 5.2
const PNG_KINDS = {
    1: { 0: [1, 2, 4, 8] },
    2: { 4: [8] },
    3: { 0: [1, 2, 4, 8], 3: [1, 2, 4, 8], 2: [8] },
    4: { 6: [8] },
};

export { pngStates };

/** Bands of a rectangle's samples. */
export function bandsOf(header) {
    return header.bands + (header.alone && header.hasAlpha ? 1 : 0);
}

/** The rectangles of an overlay: {left, top, width, height, method, data, offset}; nothing is unpacked. */
export function parseOverlay(cursor, header) {
    const count = cursor.varint();
    const places = [];
    if (count > RECTANGLES_MAX) refuse('LicLimitExceeded', `${count} rectangles`, cursor.start, DISTRUST);
    if (count === 0) {
        const whole = { left: 0, top: 0, width: header.width, height: header.height, method: cursor.u8() };
        places.push({ ...whole, length: cursor.left });
    }
    for (let n = 0; n < count; n++) places.push(parsePlace(cursor, header));
    if (places.reduce((all, one) => all + one.width * one.height, 0) > header.width * header.height) {
        refuse('LicLimitExceeded', 'rectangles of more pixels than the image has', cursor.start, DISTRUST);
    }
    const rectangles = places.map(({ length, ...place }) => {
        const one = { ...place, offset: cursor.offset, data: cursor.take(length) };
        check(one, bandsOf(header));
        return one;
    });
    if (cursor.left) refuse('LicCorruptChunk', `overlay has ${cursor.left} bytes too many`, cursor.offset, REFETCH);
    return rectangles;
}

/** The two overlays of a picture of more than 8 bits: {prediction, offset, low, high}; nothing is unpacked. */
export function parsePlanes(cursor, header) {
    const { offset } = cursor;
    if (!header.alone) {
        refuse('LicCorruptChunk', `an overlay over samples of ${header.depth} bits`, cursor.start, REFETCH);
    }
    const prediction = cursor.u8();
    checkPrediction(prediction, offset);
    const parts = [cursor.ranged('length of an overlay', 1, SIDE_MAX)];
    parts.push(cursor.left - parts[0]);
    const [low, high] = parts.map((length) => {
        const at = cursor.offset;
        return parseOverlay(new Cursor(cursor.take(length), at), header);
    });
    return { prediction, offset, low, high };
}

function parsePlace(cursor, header) {
    const left = cursor.ranged('left of a rectangle', 0, header.width - 1);
    const top = cursor.ranged('top of a rectangle', 0, header.height - 1);
    const width = cursor.ranged('width of a rectangle', 1, header.width - left);
    const height = cursor.ranged('height of a rectangle', 1, header.height - top);
    const method = cursor.u8();
    return { left, top, width, height, method, length: cursor.ranged('length of data', 1, SIDE_MAX) };
}

/** Refuses data that do not state the rectangle's size and kind. */
function check(one, bands) {
    const { data, method, offset } = one;
    const bad = (what) => refuse('LicCorruptChunk', `an overlay's ${what}`, offset, REFETCH);
    if (method === CONSTANT) {
        if (data.length !== bands) bad(`colour has ${data.length} bytes for ${bands} bands`);
    } else if (method === PNG) {
        const found = pngStates(data);
        if (!found) bad('PNG is none');
        const fits = PNG_KINDS[bands][found.kind]?.includes(found.depth) && found.plain && !found.interlaced;
        if (!fits || found.width !== one.width || found.height !== one.height) bad('PNG is not what it should hold');
        const order = pngChunks(data)?.map(([type]) => type).join(' ').replace(/(IDAT )+/, 'IDAT ');
        const length = pngChunks(data)?.reduce((all, [, part]) => all + part.length + 12, 8);
        const wanted = found.kind === 3 ? 'IHDR PLTE IDAT IEND' : 'IHDR IDAT IEND';
        if (order !== wanted || length !== data.length) bad('PNG has other chunks than it may');
    } else if (method === WEBP) {
        const found = webpStates(data);
        if (!found) bad('WebP is not lossless');
        const fits = found.version === 0 && found.alpha <= (bands % 2 === 0 ? 1 : 0);
        if (!fits || found.width !== one.width || found.height !== one.height) bad('WebP is not what it should hold');
    } else {
        refuse('LicUnsupportedVersion', `unknown overlay method ${method}`, offset, UPGRADE);
    }
}

/** A rectangle's samples over those of the picture. */
export function paint(colour, header, one, exact) {
    const bands = bandsOf(header);
    for (let row = 0; row < one.height; row++) {
        const line = exact.subarray(row * one.width * bands, (row + 1) * one.width * bands);
        colour.set(line, ((one.top + row) * header.width + one.left) * bands);
    }
}

/** The samples (height, width, bands) of rectangles that are the whole picture: a Uint8Array. */
async function whole(rectangles, header) {
    const colour = new Uint8Array(header.width * header.height * bandsOf(header));
    for (const one of rectangles) paint(colour, header, one, await unpack(one, bandsOf(header)));
    return colour;
}

/** The same of a file whose overlay stands alone; of 9 to 16 bits, a Uint16Array. */
export async function pictureOf({ header, overlay, planes }) {
    if (!header.deep) return whole(overlay, header);
    const [low, high] = [await whole(planes.low, header), await whole(planes.high, header)];
    return joined(planes, low, high, header, bandsOf(header));
}

/** The samples (height, width, bands) of a rectangle that parseOverlay has checked: a Uint8Array. */
export async function unpack(one, bands) {
    try {
        if (one.method === CONSTANT) {
            const out = new Uint8Array(one.width * one.height * bands);
            for (let i = 0; i < out.length; i++) out[i] = one.data[i % bands];
            return out;
        }
        if (one.method === WEBP) return fromWebp(readWebp(one.data), bands);
        const values = await readPng(one.data, one.offset);
        return values.length === one.width * one.height * bands ? values : repeated(values, bands);
    } catch (error) {
        if (error instanceof LicError) throw error;
        refuse('LicCorruptChunk', `an overlay cannot be unpacked (${error.message})`, one.offset, REFETCH);
    }
}

/** Grey in all bands. */
function repeated(values, bands) {
    const out = new Uint8Array(values.length * bands);
    for (let i = 0; i < out.length; i++) out[i] = values[Math.floor(i / bands)];
    return out;
}

/** Samples of pixels 0xAARRGGBB; grey is the green one. */
function fromWebp(pixels, bands) {
    const shifts = [[8], [8, 24], [16, 8, 0], [16, 8, 0, 24]][bands - 1];
    const out = new Uint8Array(pixels.length * bands);
    for (let i = 0; i < pixels.length; i++) {
        for (let b = 0; b < bands; b++) out[i * bands + b] = pixels[i] >>> shifts[b];
    }
    return out;
}

/** The alpha plane (height, width) of a method's data, which container.js has checked, its samples at most `most`. */
export async function unpackAlpha(png, offset, most) {
    try {
        const plane = await readPng(png, offset);
        if (plane.some((one) => one > most)) throw new Error(`it has samples above ${most}`);
        return plane;
    } catch (error) {
        if (error instanceof LicError) throw error;
        refuse('LicCorruptChunk', `alpha cannot be unpacked (${error.message})`, offset, REFETCH);
    }
}
