// PNG, as far as alpha and overlay hold it (FORMAT 5): grey, grey with alpha, RGB, palette and RGBA of 1 to 8 bits or
// 16, interlaced or not. Exact, which a canvas is not where there is alpha. Imports bytes and errors alone.
import { crc32, inflate } from './bytes.js';

const START = [0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10, 0, 0, 0, 13, 0x49, 0x48, 0x44, 0x52];
const CHUNK = 12; // bytes besides a chunk's data
const CHANNELS = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 }; // of colour types
// Adam7: first column and row, and steps
const PASSES = [
    [0, 0, 8, 8],
    [4, 0, 8, 8],
    [0, 4, 4, 8],
    [2, 0, 4, 4],
    [0, 2, 2, 4],
    [1, 0, 2, 2],
    [0, 1, 1, 2],
];

/** What a PNG states of itself, or null where it is none: {width, height, depth, kind, interlaced, plain}. */
export function pngStates(bytes) {
    if (bytes.length < START.length + 13 || START.some((byte, n) => bytes[n] !== byte)) return null;
    const view = viewOf(bytes);
    const [depth, kind, packed, filtered, interlaced] = bytes.subarray(24, 29);
    const plain = packed === 0 && filtered === 0; // methods that there are
    return { width: view.getUint32(16), height: view.getUint32(20), depth, kind, interlaced, plain };
}

/** The chunks of a PNG: [type, data, whether its checksum is right]; null where they do not fill it exactly. */
export function pngChunks(bytes) {
    const view = viewOf(bytes);
    const chunks = [];
    let at = 8;
    while (at + CHUNK <= bytes.length) {
        const length = view.getUint32(at);
        const end = at + length + CHUNK;
        if (end > bytes.length) return null;
        const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
        const sound = crc32(bytes.subarray(at + 4, end - 4)) === view.getUint32(end - 4);
        chunks.push([type, bytes.subarray(at + 8, end - 4), sound]);
        at = end;
        if (type === 'IEND') break;
    }
    return chunks;
}

/**
 * The samples of a PNG whose head pngStates has read and its caller has judged: a Uint8Array, of 16 bits a
 * Uint16Array, of the channels that its colour type has, of a palette 3. Throws Error, or LicCorruptChunk; `start` is
 * where it begins in the file.
 */
export async function readPng(bytes, start) {
    const { width, height, depth, kind, interlaced, plain } = pngStates(bytes);
    const chunks = pngChunks(bytes);
    if (!plain || interlaced > 1 || !chunks) throw new Error('it is no PNG');
    if (chunks.some(([type, , sound]) => !sound && /^[A-Z]/.test(type))) throw new Error('a checksum is wrong');
    const passes = interlaced ? PASSES : [[0, 0, 1, 1]];
    const parts = passes
        .map(([left, top, dx, dy]) => {
            const columns = Math.ceil((width - left) / dx);
            const rows = Math.ceil((height - top) / dy);
            return { left, top, dx, dy, columns, rows, line: Math.ceil((columns * CHANNELS[kind] * depth) / 8) };
        })
        .filter((part) => part.columns > 0 && part.rows > 0);
    const size = parts.reduce((all, part) => all + part.rows * (part.line + 1), 0);
    const packed = chunks.filter(([type]) => type === 'IDAT').map(([, data]) => data);
    const lines = await inflate(await new Blob(packed).arrayBuffer(), size, 'a PNG', start);
    const values = new (depth === 16 ? Uint16Array : Uint8Array)(width * height * CHANNELS[kind]);
    const step = Math.max((CHANNELS[kind] * depth) / 8, 1);
    let at = 0;
    for (const part of parts) {
        const own = lines.subarray(at, (at += part.rows * (part.line + 1)));
        unfilter(own, part, step);
        spread(own, part, depth, CHANNELS[kind], width, values);
    }
    if (kind === 3) return coloured(values, chunks.find(([type]) => type === 'PLTE')?.[1]);
    if (depth < 8) for (let i = 0; i < values.length; i++) values[i] *= 255 / (2 ** depth - 1);
    return values;
}

function viewOf(bytes) {
    return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Undoes the filters of a pass in place; `step` is the bytes from a value to that of the pixel before. */
function unfilter(lines, { rows, line }, step) {
    for (let y = 0, at = 1; y < rows; y++, at += line + 1) {
        const filter = lines[at - 1];
        const above = y === 0 ? -1 : at - line - 1;
        if (filter > 4) throw new Error('an unknown filter');
        for (let x = 0; x < line; x++) {
            const left = x < step ? 0 : lines[at + x - step];
            const up = above < 0 ? 0 : lines[above + x];
            const corner = above < 0 || x < step ? 0 : lines[above + x - step];
            if (filter === 1) lines[at + x] += left;
            else if (filter === 2) lines[at + x] += up;
            else if (filter === 3) lines[at + x] += (left + up) >> 1;
            else if (filter === 4) lines[at + x] += paeth(left, up, corner);
        }
    }
}

function paeth(left, up, corner) {
    const a = Math.abs(up - corner);
    const b = Math.abs(left - corner);
    const c = Math.abs(left + up - 2 * corner);
    return a <= b && a <= c ? left : b <= c ? up : corner;
}

/** Puts the samples of a pass where they belong, unscaled. */
function spread(lines, { left, top, dx, dy, columns, rows, line }, depth, channels, width, values) {
    const mask = 2 ** depth - 1;
    for (let y = 0; y < rows; y++) {
        const from = y * (line + 1) + 1;
        const to = ((top + y * dy) * width + left) * channels;
        if (depth === 8 && dx === 1) {
            values.set(lines.subarray(from, from + line), to);
            continue;
        }
        for (let x = 0; x < columns; x++) {
            for (let c = 0; c < channels; c++) {
                const bit = (x * channels + c) * depth;
                const at = from + (bit >> 3);
                const byte = depth < 8 ? lines[at] >> (8 - depth - (bit & 7)) : lines[at];
                values[to + x * dx * channels + c] = (depth === 16 ? (byte << 8) | lines[at + 1] : byte) & mask;
            }
        }
    }
}

function coloured(values, palette) {
    if (!palette || palette.length % 3 !== 0) throw new Error('it has no palette');
    const out = new Uint8Array(3 * values.length);
    for (let i = 0; i < values.length; i++) {
        // Indices beyond the palette are black, as in other readers.
        for (let c = 0; c < 3; c++) out[3 * i + c] = palette[3 * values[i] + c] ?? 0;
    }
    return out;
}
