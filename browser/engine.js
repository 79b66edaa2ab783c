// The decoder in WebAssembly (decoder.cpp) with one model: from tiles' streams to samples.
import { room } from './depth.js';
import { LicError, REFETCH, refuse } from './errors.js';
import { damaged, describe, elementOf, identity, isDecoders } from './models.js';

const STRIP = 2 ** 22; // pixels that are made at once, about
const EBADF = 8;
const IMPORTS = {
    // The C++ library's, for a last word that nobody hears.
    wasi_snapshot_preview1: { fd_write: () => EBADF, fd_seek: () => EBADF, fd_close: () => EBADF },
};

export class Engine {
    /**
     * module: the WebAssembly.Module. file: the bytes of model.safetensors. known: {name, identity, integers} of its
     * manifest. Throws LicModelMissing.
     */
    static async make(module, file, known) {
        const engine = new Engine();
        engine.exports = (await WebAssembly.instantiate(module, IMPORTS)).exports;
        engine.exports._initialize();
        await engine.#take(file, known);
        return engine;
    }

    /** Whether it has failed once, after which nothing can be asked of it. */
    broken = false;

    /** Packs the weights. */
    async #take(file, known) {
        const { tensors, body, planes } = describe(file, known.name);
        const data = this.#put(body);
        const joined = planes ? this.#join(tensors, data, body.length, known.name) : data;
        const of = ({ begin, end }) => new Uint8Array(this.exports.memory.buffer, joined + begin, end - begin);
        if (globalThis.crypto?.subtle) {
            // Pages that came without TLS have it not, and could not trust this code either.
            const found = await identity(tensors, of, Object.values(known.integers));
            if (found !== known.identity) damaged(known.name, 'it is another model than its name says');
        }
        for (const { name, type, shape, begin } of tensors.filter((tensor) => isDecoders(tensor.type))) {
            if (begin % elementOf(type)[0]) damaged(known.name, `the tensor ${name} is not aligned`);
            const word = this.#put(new TextEncoder().encode(`${name}\0`));
            const sides = this.#put(Uint32Array.from(shape));
            this.#call('lic_tensor', word, type, sides, shape.length, joined + begin);
            this.#give(word, sides);
        }
        const { latent, hyper, points, rows, skip } = known.integers;
        try {
            this.#call('lic_model', latent, hyper, points, rows, skip);
        } catch (error) {
            damaged(known.name, error.message);
        }
        this.#give(joined);
    }

    #join(tensors, data, size, name) {
        const runs = tensors.flatMap(({ type, begin, end }) => {
            const [bytes, signed] = elementOf(type);
            return [bytes, signed, (end - begin) / bytes];
        });
        const at = this.#put(Uint32Array.from(runs));
        const joined = this.#room(size);
        if (!this.#call('lic_join', at, tensors.length, data, size, joined)) damaged(name, 'its planes do not fit');
        this.#give(at, data);
        return joined;
    }

    /**
     * The samples (height, width, bands) of a picture, a Uint8Array or, drawn with more than 8 bits, a Uint16Array:
     * what container.js has read of its tiles and map. Throws LicCorruptTile, LicCorruptChunk, LicLimitExceeded.
     */
    pixels({ header, tiles, map }, depth) {
        const { width, height, bands, latent, side, quality, thresholds, cut } = header;
        const levels = this.#put(thresholds);
        const shift = map ? this.#put(new Uint8Array(map.buffer)) : 0;
        const wrong = this.#call('lic_begin', ...latent, side, quality, levels, thresholds.length, shift);
        this.#give(levels, shift);
        if (wrong) refuse('LicCorruptChunk', this.#text(wrong), 0, REFETCH);
        try {
            tiles.forEach((stages, number) => this.#tile(number, stages, cut));
            const out = room(width * height * bands, depth);
            const rows = Math.max(Math.floor(STRIP / width / 64), 1) * 64;
            for (let top = 0; top < height; top += rows) {
                this.#strip(top, Math.min(top + rows, height), { width, bands, depth }, out);
            }
            return out;
        } finally {
            if (!this.broken) this.#call('lic_end');
        }
    }

    #tile(number, stages, cut) {
        const ends = stages.map(((end) => (stage) => (end += stage.length))(0));
        const data = this.#room(ends.at(-1));
        stages.forEach((stage, n) => this.#bytes(data + ends[n] - stage.length, stage.length).set(stage));
        const at = this.#put(Uint32Array.from(ends));
        const wrong = this.#call('lic_tile', number, data, at, cut ? 1 : 0);
        this.#give(data, at);
        if (wrong) throw new LicError('LicCorruptTile', `tile ${number}: ${this.#text(wrong)}; ${REFETCH}`);
    }

    #strip(top, bottom, { width, bands, depth }, out) {
        const size = (bottom - top) * width * bands * out.BYTES_PER_ELEMENT;
        const samples = this.#room(size);
        this.#call('lic_render', top, bottom, width, bands, depth, samples);
        const bytes = new Uint8Array(out.buffer);
        bytes.set(this.#bytes(samples, size), top * width * bands * out.BYTES_PER_ELEMENT);
        this.#give(samples);
    }

    // ---- Memory and calls -------------------------------------------------------------------------------------------

    /** Calls what decoder.cpp exports. What that throws, or memory that there is not, ends the instance. */
    #call(name, ...values) {
        try {
            return this.exports[name](...values);
        } catch (error) {
            this.broken = true;
            const why = this.#text(this.exports.lic_message()) || 'it takes more memory than WebAssembly has';
            throw new LicError('LicLimitExceeded', `the picture cannot be decoded: ${why}`, { cause: error });
        }
    }

    /** Memory of so many bytes. Throws LicLimitExceeded. */
    #room(size) {
        const at = this.#call('lic_take', Math.max(size, 1)) >>> 0;
        if (at === 0) throw new LicError('LicLimitExceeded', `there is no memory for ${size} bytes; decode less`);
        return at;
    }

    /** A copy of an array. */
    #put(array) {
        const at = this.#room(array.byteLength);
        this.#bytes(at, array.byteLength).set(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
        return at;
    }

    #give(...places) {
        for (const at of places) this.#call('lic_give', at);
    }

    #bytes(at, size) {
        return new Uint8Array(this.exports.memory.buffer, at >>> 0, size);
    }

    /** The text that ends with a zero. */
    #text(at) {
        const bytes = new Uint8Array(this.exports.memory.buffer, at >>> 0);
        return new TextDecoder().decode(bytes.slice(0, bytes.indexOf(0)));
    }
}
