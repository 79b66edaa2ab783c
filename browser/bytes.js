// Bounded reads, checksums and zlib streams: the alphabet of the container (FORMAT 1). Imports errors alone.
import { LicError, REFETCH, refuse } from './errors.js';

const VARINT_MAX = 5; // bytes
const VARINT_LIMIT = 2 ** 31;

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
    for (let k = 0; k < 8; k++) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1;
    return n;
});

/** CRC-32 of ISO 3309 and PNG; `before` is that of what precedes. */
export function crc32(bytes, before = 0) {
    let crc = ~before;
    for (let i = 0; i < bytes.length; i++) crc = (crc >>> 8) ^ CRC_TABLE[(crc ^ bytes[i]) & 0xff];
    return ~crc >>> 0;
}

/** Bounded reads of a chunk's payload, a Uint8Array. `start` is where it begins in the file, for messages. */
export class Cursor {
    constructor(bytes, start) {
        this.bytes = bytes;
        this.start = start;
        this.position = 0;
    }

    /** Where in the file the next byte stands. */
    get offset() {
        return this.start + this.position;
    }

    /** Bytes not yet read. */
    get left() {
        return this.bytes.length - this.position;
    }

    /** The next bytes. Throws LicCorruptChunk where there are fewer. */
    take(count) {
        if (count > this.left) refuse('LicCorruptChunk', 'chunk too short', this.start + this.bytes.length, REFETCH);
        this.position += count;
        return this.bytes.subarray(this.position - count, this.position);
    }

    u8() {
        return this.take(1)[0];
    }

    u16() {
        const [low, high] = this.take(2);
        return low | (high << 8);
    }

    /** FORMAT 1: at most 5 bytes, below 2^31, shortest form. */
    varint() {
        const begin = this.offset;
        for (let n = 0, value = 0; n < VARINT_MAX; n++) {
            const byte = this.u8();
            value += (byte & 0x7f) * 2 ** (7 * n);
            if (byte < 0x80) {
                if (value >= VARINT_LIMIT || (byte === 0 && n > 0)) break;
                return value;
            }
        }
        refuse('LicCorruptChunk', 'integer too large or not in its shortest form', begin, REFETCH);
    }

    /** A varint, if it is within low to high. */
    ranged(name, low, high) {
        const value = this.varint();
        if (value < low || value > high) {
            refuse('LicCorruptChunk', `${name} ${value} is not within ${low} to ${high}`, this.offset, REFETCH);
        }
        return value;
    }
}

/**
 * Unpacks a zlib stream that ends with `bytes` to exactly `size` bytes, and never holds much more.
 * what: what it is, for messages, which begins at byte `start` of the file. Throws LicCorruptChunk.
 */
export async function inflate(bytes, size, what, start) {
    const out = new Uint8Array(size);
    let length = 0;
    try {
        const reader = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate')).getReader();
        for (let part = await reader.read(); !part.done; part = await reader.read()) {
            if (length + part.value.length > size) {
                await reader.cancel();
                throw new Error('it is longer than it should be');
            }
            out.set(part.value, length);
            length += part.value.length;
        }
    } catch (error) {
        refuse('LicCorruptChunk', `${what} cannot be unpacked (${error.message})`, start, REFETCH);
    }
    if (length !== size) refuse('LicCorruptChunk', `${what} of ${length} bytes instead of ${size}`, start, REFETCH);
    return out;
}

/** Bytes of a file as a Uint8Array, whatever holds them. Throws LicBadOption. */
export async function bytesOf(source) {
    if (source instanceof Uint8Array) return source;
    if (source instanceof ArrayBuffer) return new Uint8Array(source);
    if (ArrayBuffer.isView(source)) return new Uint8Array(source.buffer, source.byteOffset, source.byteLength);
    if (typeof source?.arrayBuffer === 'function') return new Uint8Array(await source.arrayBuffer());
    throw new LicError('LicBadOption', 'the source must be bytes: an ArrayBuffer, a view of one, a Blob or a Response');
}
