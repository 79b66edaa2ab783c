// Exact pictures of 32-bit numbers (FORMAT 5.2): four overlays of bytes, or a table and a picture of indices.
import { Cursor, inflate } from './bytes.js';
import { EIGHT, SIXTEEN, mostOf, restore } from './depth.js';
import { REFETCH, UPGRADE, refuse } from './errors.js';
import { bandsOf, parseOverlay, parsePlanes, pictureOf } from './overlay.js';

const [PREDICTED, TABLE] = [1, 2]; // predictions
const BYTES = 4;
const TABLE_MAX = 65536;
const LENGTH_MAX = 2 ** 31 - 1;

/** {prediction, parts} or {prediction, offset, table, own, indices}; no picture is unpacked. */
export async function parseNumbers(cursor, header) {
    const { offset } = cursor;
    const prediction = cursor.u8();
    if (prediction === TABLE) return { prediction, offset, ...(await parseTable(cursor, header)) };
    if (prediction > TABLE) {
        refuse('LicUnsupportedVersion', `unknown prediction ${prediction} of an overlay`, offset, UPGRADE);
    }
    const eight = { ...header, depth: EIGHT, deep: false };
    const parts = [];
    for (let n = 0; n < BYTES; n++) {
        const length = n < BYTES - 1 ? cursor.ranged('length of an overlay', 1, LENGTH_MAX) : cursor.left;
        const at = cursor.offset;
        parts.push(parseOverlay(new Cursor(cursor.take(length), at), eight));
    }
    return { prediction, parts };
}

async function parseTable(cursor, header) {
    const count = cursor.ranged('entries of a table', 1, TABLE_MAX);
    const length = cursor.ranged('length of a table', 1, LENGTH_MAX);
    const at = cursor.offset;
    const table = await inflate(cursor.take(length), BYTES * count, 'a table', at);
    const own = { ...header, depth: count <= 256 ? EIGHT : SIXTEEN, deep: count > 256 };
    const start = cursor.offset;
    const rest = new Cursor(cursor.take(cursor.left), start);
    const indices = own.deep ? { planes: parsePlanes(rest, own) } : { overlay: parseOverlay(rest, own) };
    return { table, own, indices };
}

/** The numbers (height, width, bands): a Uint32Array. */
export async function numbersOf({ header, planes: numbers }) {
    if (numbers.prediction === TABLE) return lookedUp(numbers);
    const bands = bandsOf(header);
    const out = new Uint32Array(header.width * header.height * bands);
    const eight = { ...header, depth: EIGHT, deep: false };
    for (const [n, overlay] of numbers.parts.entries()) {
        const part = await pictureOf({ header: eight, overlay });
        for (let i = 0; i < out.length; i++) out[i] |= part[i] << (8 * n);
    }
    if (numbers.prediction === PREDICTED) restore(out, header.width * bands, bands, mostOf(header.depth));
    return out;
}

async function lookedUp({ offset, table, own, indices }) {
    const entries = new Uint32Array(table.length / BYTES);
    for (let k = 0, sum = 0; k < entries.length; k++) {
        for (let n = 0; n < BYTES; n++) sum += table[k + n * entries.length] * 2 ** (8 * n);
        entries[k] = sum %= 2 ** 32;
    }
    const found = await pictureOf({ header: own, ...indices });
    if (found.some((one) => one >= entries.length)) {
        refuse('LicCorruptChunk', `indices beyond a table of ${entries.length}`, offset, REFETCH);
    }
    return Uint32Array.from(found, (one) => entries[one]);
}
