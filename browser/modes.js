// Colour models of exact pictures beside grey and RGB (FORMAT 3.1), and numbers of 32 bits, as what they look like.
// Imports errors and depth alone.
import { mostOf, room } from './depth.js';
import { LicError } from './errors.js';

export const WHOLE = 32; // bits of a sample that is a number
const [ALPHA, INTEGERS] = ['A', 1];

/** By number: {layout, bands, seen}; seen is the layout that it is shown in, null where that is not done here. */
export const MODELS = {
    1: { layout: '1', bands: 1, seen: 'L' },
    2: { layout: 'La', bands: 2, seen: 'LA' },
    3: { layout: 'RGBa', bands: 4, seen: 'RGBA' },
    4: { layout: 'RGBX', bands: 4, seen: 'RGB' },
    5: { layout: 'CMYK', bands: 4, seen: 'RGB' },
    6: { layout: 'YCbCr', bands: 3, seen: null },
    7: { layout: 'LAB', bands: 3, seen: null },
    8: { layout: 'HSV', bands: 3, seen: null },
};

/** The header of what is shown. Throws LicUnsupportedVersion. */
export function seenHeader(header) {
    if (!header.other) return header;
    const { layout, seen } = header.other;
    if (!seen) {
        const what = `pictures of ${layout} are not shown by this decoder`;
        throw new LicError('LicUnsupportedVersion', `${what}; decode the file with pillow-lic, or convert it there`);
    }
    return { ...header, layout: seen, bands: seen.startsWith('L') ? 1 : 3, hasAlpha: seen.endsWith(ALPHA) };
}

/** The samples of what is shown, as Pillow converts them, from those of the file (height, width, bands). */
export function seen(samples, { layout }) {
    if (layout === '1') return samples.map((one) => (one < 128 ? 0 : 255));
    if (layout === 'La') return divided(samples, 2);
    if (layout === 'RGBa') return divided(samples, 4);
    return withoutFourth(samples, layout === 'CMYK');
}

/** Colours with which alpha, the last band, was multiplied, without it. */
function divided(samples, bands) {
    const out = Uint8Array.from(samples);
    for (let i = 0; i < out.length; i += bands) {
        const alpha = samples[i + bands - 1];
        if (alpha === 0 || alpha === 255) continue;
        for (let b = 0; b < bands - 1; b++) {
            out[i + b] = Math.min(Math.floor((255 * samples[i + b]) / alpha), 255);
        }
    }
    return out;
}

/** RGB of four bands: the first three, or what is left of light by inks and black. */
function withoutFourth(samples, inks) {
    const out = new Uint8Array((samples.length / 4) * 3);
    for (let i = 0, to = 0; i < samples.length; i += 4, to += 3) {
        const light = 255 - samples[i + 3];
        for (let b = 0; b < 3; b++) {
            const product = samples[i + b] * light + 128;
            out[to + b] = inks ? light - ((product + (product >> 8)) >> 8) : samples[i + b];
        }
    }
    return out;
}

/**
 * Samples of 8 or 16 bits from numbers, a Uint32Array, by what the file states: its low is black, its high is white,
 * NaN is black; alpha is from 0 to 1. As pillow_lic draws them, to the bit.
 */
export function drawnNumbers(bits, { kind, low, high }, bands, depth) {
    const numbers = new (kind === INTEGERS ? Int32Array : Float32Array)(bits.buffer, bits.byteOffset, bits.length);
    const [out, most] = [room(bits.length, depth), mostOf(depth)];
    for (let i = 0; i < out.length; i++) {
        const alpha = bands % 2 === 0 && i % bands === bands - 1;
        const [from, to] = alpha ? [0, 1] : [low, high];
        const found = (numbers[i] - from) * (to > from ? most / (to - from) : 0);
        out[i] = Number.isNaN(found) ? 0 : even(Math.min(Math.max(found, 0), most));
    }
    return out;
}

/** The nearest integer, the even one of two. */
function even(value) {
    const below = Math.floor(value);
    const rest = value - below;
    return rest > 0.5 || (rest === 0.5 && below % 2) ? below + 1 : below;
}
