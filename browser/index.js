// `.lic` pictures in browsers and in node: decode(source) gives an ImageData, decodeToImageBitmap(source) an
// ImageBitmap. Pixels are those of pillow_lic.decode, to the bit. Imports every other file here but worker.js.
import { bytesOf } from './bytes.js';
import { alphaSample, alphaStart, read } from './container.js';
import { EIGHT, SIXTEEN, mostOf, scaled } from './depth.js';
import { Engine } from './engine.js';
import { LicError } from './errors.js';
import { forget, gunzip, load } from './models.js';
import { WHOLE, drawnNumbers, seen, seenHeader } from './modes.js';
import { numbersOf } from './numbers.js';
import { orientationOf, turned } from './orientation.js';
import { bandsOf, paint, pictureOf, unpack, unpackAlpha } from './overlay.js';

export { LicError };

/** Where lic.wasm and models/ lie unless somebody says otherwise. */
export const ASSETS = new URL('./', import.meta.url);

/** What Pillow takes at most, too. */
export const MAX_PIXELS = 178956970;

const made = new Map(); // what is loaded once: promises by URL

function once(key, make) {
    if (!made.has(key)) {
        const promise = make();
        made.set(key, promise);
        promise.catch(() => made.delete(key)); // so that it can be tried again
    }
    return made.get(key);
}

/**
 * The pixels of a `.lic` file: an ImageData, or where there is none (in node) what has its data, width and height.
 *
 * source: an ArrayBuffer, a view of one, a Blob or a Response. Options: imageOrientation, 'from-image' to turn the
 * picture as its EXIF says, or 'none'; maxPixels, beyond which a file is refused; assets, the URL of the folder that
 * holds lic.wasm and models/; depth, 8 or 16. With 16, data are a Uint16Array of RGBA, no ImageData: samples of the
 * file's own depth, which the result's `depth` tells, of a file of 8 bits 0 to 65535. Rejects with a LicError, whose
 * name is that of FORMAT appendix A.
 */
export async function decode(source, options = {}) {
    const { imageOrientation = 'from-image', maxPixels = MAX_PIXELS, assets = ASSETS, depth: bits = EIGHT } = options;
    if (!['from-image', 'none'].includes(imageOrientation)) {
        throw new LicError('LicBadOption', `imageOrientation is '${imageOrientation}', want 'from-image' or 'none'`);
    }
    if (![EIGHT, SIXTEEN].includes(bits)) {
        throw new LicError('LicBadOption', `depth is ${bits}, want ${EIGHT} or ${SIXTEEN}`);
    }
    const file = await read(await bytesOf(source), maxPixels);
    const { header } = file;
    const depth = bits === SIXTEEN && header.deep ? Math.min(header.depth, SIXTEEN) : bits;
    const colour = await samples(file, depth, new URL(assets, ASSETS));
    const rgba = await withAlpha(colour, { ...file, header: seenHeader(header) }, depth);
    const orientation = imageOrientation === 'none' ? 1 : orientationOf(file.exif);
    const { data, width, height } = turned(rgba, header.width, header.height, orientation);
    if (bits === SIXTEEN) return { data, width, height, depth, colorSpace: 'srgb' };
    return globalThis.ImageData ? new ImageData(data, width, height) : { data, width, height, colorSpace: 'srgb' };
}

/** The same of 8 bits as an ImageBitmap. */
export async function decodeToImageBitmap(source, options) {
    return createImageBitmap(await decode(source, { ...options, depth: EIGHT }));
}

/** The samples (height, width, bands) of a picture, but for its alpha chunk, drawn with so many bits. */
async function samples(file, depth, assets) {
    const { header } = file;
    if (header.alone) return exact(file, depth);
    const engine = await engineFor(header, assets);
    let colour;
    try {
        colour = engine.pixels(file, depth);
    } finally {
        if (engine.broken) made.delete(new URL(`#${header.hash}`, assets).href);
    }
    for (const one of file.overlay) {
        paint(colour, header, one, scaled(await unpack(one, bandsOf(header)), header.depth, depth));
    }
    return colour;
}

/** The same of a file whose overlay stands alone. */
async function exact(file, depth) {
    const { header, values } = file;
    if (header.depth === WHOLE) return drawnNumbers(await numbersOf(file), values, bandsOf(header), depth);
    const found = await pictureOf(file);
    return scaled(header.other ? seen(found, header) : found, header.depth, depth);
}

/** The engine with the model that a file names. Throws LicUnknownModel, LicModelMissing. */
async function engineFor(header, assets) {
    const list = new URL('models/index.json', assets);
    const models = await once(list.href, async () => JSON.parse(new TextDecoder().decode(await load(list))));
    const known = Object.hasOwn(models, header.hash) ? models[header.hash] : null;
    if (!known) {
        const what = `model ${header.model} (hash ${header.hash}) is not among those of ${list.href}`;
        throw new LicError('LicUnknownModel', `${what}; decode the file with pillow-lic, or put the model there`);
    }
    if (!known.file) {
        const what = `the model '${known.name}' computes in floating point, which this decoder does not do`;
        throw new LicError('LicEngineMissing', `${what}; decode the file with pillow-lic`);
    }
    return once(new URL(`#${header.hash}`, assets).href, async () => {
        const program = new URL('lic.wasm', assets);
        const weights = new URL(`models/${known.file}`, assets);
        const [module, packed] = await Promise.all([
            once(program.href, async () => WebAssembly.compile(await load(program))),
            load(weights, true),
        ]);
        try {
            return await Engine.make(module, await gunzip(packed, known.name), known);
        } catch (error) {
            await forget(weights);
            throw error;
        }
    });
}

/** RGBA of a picture's samples and its alpha chunk (FORMAT 5.1), drawn with so many bits. */
async function withAlpha(colour, { header, alpha: payload, alphaOffset }, depth) {
    const { width, height, bands } = header;
    const step = bandsOf(header);
    const opaque = mostOf(depth);
    const method = payload?.[0];
    const stated = method === 0 || method === 2 ? heads(payload, header, method === 0 ? 1 : bands, depth) : null;
    const hidden = method === 2 ? stated : null;
    const png = method > 0 ? alphaStart(payload, header) : 0;
    const most = mostOf(header.depth);
    const unpacked = png ? await unpackAlpha(payload.subarray(png), alphaOffset + png, most) : null;
    const plane = unpacked && scaled(unpacked, header.depth, depth);
    const out = new (depth > EIGHT ? Uint16Array : Uint8ClampedArray)(width * height * 4);
    const last = bands - 1; // the band of blue, or grey
    for (let i = 0, from = 0, to = 0; i < width * height; i++, from += step, to += 4) {
        const alpha = plane ? plane[i] : method === 0 ? stated[0] : step > bands ? colour[from + bands] : opaque;
        const source = hidden && alpha === 0 ? hidden : colour;
        const at = source === hidden ? 0 : from;
        out[to] = source[at];
        out[to + 1] = source[at + (last >> 1)];
        out[to + 2] = source[at + last];
        out[to + 3] = alpha;
    }
    return out;
}

/** The first samples of an alpha chunk. Throws LicCorruptChunk for those of more bits than there are. */
function heads(payload, header, count, depth) {
    const found = Array.from({ length: count }, (_, number) => alphaSample(payload, header, number));
    if (found.some((one) => one > mostOf(header.depth))) {
        const what = `a colour of invisible pixels of more than ${header.depth} bits`;
        throw new LicError('LicCorruptChunk', `alpha chunk: ${what}; the file is damaged, fetch it again`);
    }
    return scaled(found, header.depth, depth);
}
