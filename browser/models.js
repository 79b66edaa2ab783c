// A model's weights: fetched once, unpacked, checked to be what files name (FORMAT 9.1, 9.2). Imports errors alone.
import { LicError } from './errors.js';

const CACHE = 'lic-models';
// The types of FORMAT 9.2 with their bytes; those that a decoder takes come first, in the order of decoder.cpp.
const TYPES = { U8: 1, I8: 1, U16: 2, I16: 2, U32: 4, I32: 4, I64: 8, F16: 2, F32: 4 };
export const TYPE_NAMES = Object.keys(TYPES);
const DECODERS = TYPE_NAMES.indexOf('F16'); // how many they are

/** The bytes at a URL. kept: whether they never change, and are worth keeping. Throws LicModelMissing. */
export async function load(url, kept = false) {
    if (url.protocol === 'file:') {
        const { readFile } = await import(/* @vite-ignore */ /* webpackIgnore: true */ 'node:fs/promises');
        return readFile(url).catch((error) => missing(url, error.message));
    }
    const store = kept && globalThis.caches ? await caches.open(CACHE).catch(() => null) : null;
    const found = await store?.match(url.href);
    const answer = found ?? (await fetch(url).catch((error) => missing(url, error.message)));
    if (!answer.ok) missing(url, `status ${answer.status}`);
    if (!found) await store?.put(url.href, answer.clone()).catch(() => undefined); // without room it goes unkept
    return new Uint8Array(await answer.arrayBuffer());
}

/** Forgets what `load` has kept. */
export async function forget(url) {
    if (globalThis.caches) await (await caches.open(CACHE).catch(() => null))?.delete(url.href);
}

function missing(url, why) {
    throw new LicError('LicModelMissing', `${url.href} cannot be read (${why}); say where it is by the option assets`);
}

/** What a gzip stream unpacks to. Throws LicModelMissing. */
export async function gunzip(bytes, what) {
    try {
        const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
        return new Uint8Array(await new Response(stream).arrayBuffer());
    } catch (error) {
        return damaged(what, error.message);
    }
}

/**
 * The description of a safetensors file: {tensors: [{name, type, shape, begin, end}], body, planes}, the tensors
 * covering the body without a gap. `type` counts in TYPE_NAMES; planes: whether bytes stand in planes. Throws
 * LicModelMissing.
 */
export function describe(bytes, what) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const length = bytes.length < 8 ? -1 : Number(view.getBigUint64(0, true));
    if (length < 0 || length > bytes.length - 8) damaged(what, 'its description does not fit');
    let described;
    try {
        described = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
    } catch (error) {
        damaged(what, error.message);
    }
    const { __metadata__: metadata, ...rest } = described;
    const body = bytes.subarray(8 + length);
    const tensors = Object.entries(rest).map(([name, { dtype, shape, data_offsets: [begin, end] }]) => {
        return { name, type: TYPE_NAMES.indexOf(dtype), shape, begin, end };
    });
    tensors.sort((a, b) => a.begin - b.begin);
    let at = 0;
    for (const { name, type, shape, begin, end } of tensors) {
        const size = shape.reduce((all, side) => all * side, TYPES[TYPE_NAMES[type]]);
        if (begin !== at || end - begin !== size || !(size > 0)) damaged(what, `the tensor ${name} lies wrongly`);
        at = end;
    }
    if (at !== body.length) damaged(what, 'its tensors do not cover it');
    return { tensors, body, planes: metadata?.layout === 'planes' };
}

/** Whether a decoder takes tensors of that type. */
export function isDecoders(type) {
    return type < DECODERS;
}

/** Bytes of an element, and whether its type is signed, as decoder.cpp joins planes. */
export function elementOf(type) {
    const name = TYPE_NAMES[type];
    return [TYPES[name], name[0] === 'I' ? 1 : 0];
}

/** What a model is known by (FORMAT 9.1), in hexadecimal. of(tensor): its bytes; integers: in the order of 9.1. */
export async function identity(tensors, of, integers) {
    const parts = [];
    const byName = tensors.filter(({ name }) => !name.startsWith('unit.')).sort((a, b) => (a.name < b.name ? -1 : 1));
    for (const tensor of byName) {
        parts.push(new TextEncoder().encode(`${tensor.name} ${TYPE_NAMES[tensor.type]} ${tensor.shape.join(',')}\n`));
        parts.push(of(tensor));
    }
    parts.push(new Uint8Array(Uint32Array.from(integers).buffer));
    const digest = await crypto.subtle.digest('SHA-256', await new Blob(parts).arrayBuffer());
    return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Throws LicModelMissing. */
export function damaged(what, why) {
    throw new LicError('LicModelMissing', `${what} is not intact: ${why}; build or install it again`);
}
