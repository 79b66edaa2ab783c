// `.lic` pictures in browsers and in node: decode(source) gives an ImageData, decodeToImageBitmap(source) an
// ImageBitmap. Pixels are those of pillow_lic.decode, to the bit. Imports every other file here but worker.js.
import { bytesOf } from './bytes.js';
import { alphaStart, read } from './container.js';
import { Engine } from './engine.js';
import { LicError } from './errors.js';
import { forget, gunzip, load } from './models.js';
import { orientationOf, turned } from './orientation.js';
import { bandsOf, unpack, unpackAlpha } from './overlay.js';

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
 * holds lic.wasm and models/. Rejects with a LicError, whose name is that of FORMAT appendix A.
 */
export async function decode(source, options = {}) {
    const { imageOrientation = 'from-image', maxPixels = MAX_PIXELS, assets = ASSETS } = options;
    if (!['from-image', 'none'].includes(imageOrientation)) {
        throw new LicError('LicBadOption', `imageOrientation is '${imageOrientation}', want 'from-image' or 'none'`);
    }
    const file = await read(await bytesOf(source), maxPixels);
    const { header } = file;
    const colour = await samples(file, new URL(assets, ASSETS));
    for (const one of file.overlay) paint(colour, header, one, await unpack(one, bandsOf(header)));
    const rgba = await withAlpha(colour, file);
    const orientation = imageOrientation === 'none' ? 1 : orientationOf(file.exif);
    const { data, width, height } = turned(rgba, header.width, header.height, orientation);
    return globalThis.ImageData ? new ImageData(data, width, height) : { data, width, height, colorSpace: 'srgb' };
}

/** The same as an ImageBitmap. */
export async function decodeToImageBitmap(source, options) {
    return createImageBitmap(await decode(source, options));
}

/** The samples that the tiles hold; zeros where the overlay is all that there is. */
async function samples(file, assets) {
    const { header } = file;
    if (header.alone) return new Uint8Array(header.width * header.height * bandsOf(header));
    const engine = await engineFor(header, assets);
    try {
        return engine.pixels(file);
    } finally {
        if (engine.broken) made.delete(new URL(`#${header.hash}`, assets).href);
    }
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

/** A rectangle's samples over those of the picture. */
function paint(colour, header, one, exact) {
    const bands = bandsOf(header);
    for (let row = 0; row < one.height; row++) {
        const line = exact.subarray(row * one.width * bands, (row + 1) * one.width * bands);
        colour.set(line, ((one.top + row) * header.width + one.left) * bands);
    }
}

/** RGBA of a picture's samples and its alpha chunk (FORMAT 5.1). */
async function withAlpha(colour, { header, alpha: payload, alphaOffset }) {
    const { width, height, bands } = header;
    const step = bandsOf(header);
    const method = payload?.[0];
    const hidden = method === 2 ? payload.subarray(1, 1 + bands) : null;
    const png = method > 0 ? alphaStart(payload, header) : 0;
    const plane = png ? await unpackAlpha(payload.subarray(png), alphaOffset + png) : null;
    const out = new Uint8ClampedArray(width * height * 4);
    const last = bands - 1; // the band of blue, or grey
    for (let i = 0, from = 0, to = 0; i < width * height; i++, from += step, to += 4) {
        const alpha = plane ? plane[i] : method === 0 ? payload[1] : step > bands ? colour[from + bands] : 255;
        const source = hidden && alpha === 0 ? hidden : colour;
        const at = source === hidden ? 0 : from;
        out[to] = source[at];
        out[to + 1] = source[at + (last >> 1)];
        out[to + 2] = source[at + last];
        out[to + 3] = alpha;
    }
    return out;
}
