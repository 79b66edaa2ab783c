// Samples of more than 8 bits: exact pictures (FORMAT 5.2), and samples of one depth as those of another. Imports
// errors alone.
import { REFETCH, UPGRADE, refuse } from './errors.js';

export const EIGHT = 8; // bits of a sample that is a byte
export const SIXTEEN = 16; // the most that there are
const [PLAIN, PREDICTED] = [0, 1]; // predictions

/** The greatest sample of so many bits. */
export const mostOf = (depth) => 2 ** depth - 1;

/** Memory for so many samples. */
export const room = (count, depth) => (depth > EIGHT ? new Uint16Array(count) : new Uint8Array(count));

/** Samples of a depth as those of another, rounded as pillow_lic does. */
export function scaled(samples, from, to) {
    if (from === to) return samples;
    const [most, wanted] = [mostOf(from), mostOf(to)];
    const table = room(most + 1, to);
    for (let n = 0; n <= most; n++) table[n] = Math.floor((n * wanted + (most >> 1)) / most);
    const out = room(samples.length, to);
    for (let i = 0; i < out.length; i++) out[i] = table[samples[i]];
    return out;
}

export function checkPrediction(prediction, offset) {
    if (prediction === PLAIN || prediction === PREDICTED) return;
    refuse('LicUnsupportedVersion', `unknown prediction ${prediction} of an overlay`, offset, UPGRADE);
}

/** Samples (height, width, bands) from low and high bytes: a Uint16Array. Refuses those of more bits than there are. */
export function joined({ prediction, offset }, low, high, { width, depth }, bands) {
    const out = new Uint16Array(low.length);
    for (let i = 0; i < out.length; i++) out[i] = low[i] | (high[i] << 8);
    if (prediction === PREDICTED) restore(out, width * bands, bands, mostOf(depth));
    else if (out.some((one) => one > mostOf(depth))) {
        refuse('LicCorruptChunk', `the picture has samples of more than ${depth} bits`, offset, REFETCH);
    }
    return out;
}

/** Numbers, of 16 or 32 bits, to the samples that they tell, in place; row: samples of a row. */
export function restore(u, row, bands, most) {
    for (let at = 0; at < u.length; at += row) {
        for (let n = 0; n < row; n++) {
            const half = u[at + n] >>> 1;
            const e = u[at + n] & 1 ? -half - 1 : half;
            u[at + n] = (expected(u, at, n, row, bands) + e) & most;
        }
    }
    if (bands < 3) return;
    for (let i = 0; i < u.length; i += bands) {
        u[i] = (u[i] + u[i + 1]) & most;
        u[i + 2] = (u[i + 2] + u[i + 1]) & most;
    }
}

/** What sample n of the row that begins at `at` is expected to be. */
function expected(u, at, n, row, bands) {
    if (at === 0) return n < bands ? 0 : u[n - bands];
    const above = u[at - row + n];
    if (n < bands) return above;
    const left = u[at + n - bands];
    const corner = u[at - row + n - bands];
    if (corner >= Math.max(left, above)) return Math.min(left, above);
    return corner <= Math.min(left, above) ? Math.max(left, above) : left + above - corner;
}
