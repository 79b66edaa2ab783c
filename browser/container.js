// The container (FORMAT 2 to 6.2): a file's header, alpha, overlay, quality map, EXIF and tile streams, each checked
// and none unpacked that could be large. All reads are bounded by the file's size and by the limits of FORMAT 3.
import { Cursor, crc32, inflate } from './bytes.js';
import { EIGHT, SIXTEEN, mostOf } from './depth.js';
import { DISTRUST, ENDS, LicError, REFETCH, UPGRADE, refuse } from './errors.js';
import { MODELS, WHOLE, seenHeader } from './modes.js';
import { parseNumbers } from './numbers.js';
import { parseOverlay, parsePlanes, pngStates } from './overlay.js';

const SIGNATURE = [0x8d, 0x4c, 0x49, 0x44];
const MAJOR = 0;
const MINOR = 3;
const START = 6; // bytes of signature and version
const CRC = 4;
const KNOWN = 'HxcenpvAOGsT';
const CHUNKS_MAX = 1024;
const HEADER_MAX = 4 * 5 + 1 + 8 + 2 + 16;
const METADATA_MAX = 2 ** 24;
const PIXELS_MAX = 2 ** 30;
const SIDE_MAX = 2 ** 31 - 1;
const STREAM_MIN = 16;
const SHIFT_MAX = 32;

const OTHER = 6; // layout of which a colour model follows
const WHOLE_CODE = 23; // what numbers of 32 bits have in the place of a depth
const LAYOUTS = { 1: 'L', 2: 'LA', 3: 'RGB', 4: 'RGBA' };

/**
 * The parts of a file: {header, alpha, alphaOffset, overlay, planes, values, map, exif, tiles}; alphaOffset is where
 * alpha begins, planes are what overlay is of more than 8 bits.
 *
 * bytes: a Uint8Array. maxPixels: the caller's limit on width times height, a side of less than 16 counted as 16.
 * Every checksum is checked. Throws a LicError.
 */
export async function read(bytes, maxPixels) {
    checkVersion(bytes);
    const first = chunkAt(bytes, START);
    const header = parseHeader(new Cursor(payloadOf(bytes, first), first.offset));
    checkLimits(header, maxPixels);
    const chunks = findChunks(bytes, first, header);
    const payload = new Map();
    for (const chunk of chunks) payload.set(chunk.type, payloadOf(bytes, chunk));
    const at = (type) => chunks.find((chunk) => chunk.type === type)?.offset;
    for (const type of 'xcp') if (payload.has(type)) checkMetadata(type, payload.get(type), at(type));
    if (payload.has('n')) checkCodingPoints(payload.get('n'), at('n'));
    const values = payload.has('v') ? readValues(payload.get('v'), at('v')) : null;
    if (header.depth === WHOLE && !values) checkWhole(payload.has('v'), at('v'));
    const alpha = payload.get('A');
    const found = { header, alpha, alphaOffset: at('A'), overlay: [], planes: null, map: null, exif: null, tiles: [] };
    found.values = values;
    if (alpha) checkAlpha(alpha, at('A'), header);
    if (payload.has('e')) found.exif = await unpackMetadata(payload.get('e'), at('e'));
    if (payload.has('G')) found.map = await unpackMap(payload.get('G'), at('G'), header);
    if (payload.has('O')) {
        const cursor = new Cursor(payload.get('O'), at('O'));
        if (header.depth === WHOLE) found.planes = await parseNumbers(cursor, header);
        else if (header.deep) found.planes = parsePlanes(cursor, header);
        else found.overlay = parseOverlay(cursor, header);
    }
    seenHeader(header); // refuses what is not shown
    if (!header.alone) found.tiles = splitTiles(new Cursor(payload.get('T'), at('T')), header);
    return found;
}

// ---- Chunks (FORMAT 2) ----------------------------------------------------------------------------------------------

function checkVersion(bytes) {
    if (SIGNATURE.some((byte, n) => bytes[n] !== byte)) {
        refuse('LicBadMagic', 'not a .lic image: wrong signature', 0, 'check that this is the file you mean');
    }
    if (bytes.length < START) refuse('LicTruncated', 'no version', bytes.length, ENDS);
    const [major, minor] = bytes.subarray(4, START);
    if (major !== MAJOR) refuse('LicUnsupportedVersion', `format version ${major}.${minor} is not known`, 4, UPGRADE);
    if (minor < MINOR) {
        const advice = 'decode it with the pillow-lic that wrote it, and save it again';
        refuse('LicUnsupportedVersion', `drafts ${major}.${minor} are read no more`, 5, advice);
    }
}

/** The type and place of a chunk, the type judged by FORMAT 2.1: {type, start, offset, length, end}. */
function chunkAt(bytes, start) {
    if (start >= bytes.length) refuse('LicTruncated', 'no chunk', start, ENDS);
    const type = String.fromCharCode(bytes[start]);
    if (start === START && type !== 'H') {
        refuse('LicCorruptChunk', 'the first chunk is not the header', start, REFETCH);
    }
    if (!/[A-Za-z]/.test(type)) {
        refuse('LicCorruptChunk', `chunk type ${bytes[start]} is not a letter`, start, REFETCH);
    }
    if (/[A-Z]/.test(type) && !KNOWN.includes(type)) {
        refuse('LicUnsupportedVersion', `unknown critical chunk '${type}'`, start, UPGRADE);
    }
    const head = new Cursor(bytes.subarray(start + 1, start + 6), start + 1);
    try {
        const length = head.varint();
        return { type, start, offset: head.offset, length, end: head.offset + length + CRC };
    } catch (error) {
        if (head.left === 0 && start + 1 + head.bytes.length === bytes.length) {
            refuse('LicTruncated', `chunk '${type}' has no length`, bytes.length, ENDS);
        }
        throw error;
    }
}

/** A chunk's payload, its checksum checked. */
function payloadOf(bytes, chunk) {
    const { type, start, offset, length, end } = chunk;
    if (type === 'H' && length > HEADER_MAX) refuse('LicCorruptChunk', `header of ${length} bytes`, start, REFETCH);
    if (end > bytes.length) refuse('LicTruncated', `chunk '${type}' ends beyond the data`, bytes.length, ENDS);
    if ('cex'.includes(type) && length > METADATA_MAX + 2 ** 16) {
        refuse('LicLimitExceeded', `metadata chunk of ${length} bytes`, start, DISTRUST);
    }
    const stated = new DataView(bytes.buffer, bytes.byteOffset + end - CRC, CRC).getUint32(0, true);
    if (crc32(bytes.subarray(start === START ? 0 : start, end - CRC)) !== stated) {
        refuse('LicCorruptChunk', `wrong checksum of chunk '${type}'`, start, REFETCH);
    }
    return bytes.subarray(offset, offset + length);
}

/** All chunks, their order and number checked. What follows the last is no part of the file. */
function findChunks(bytes, first, header) {
    const chunks = [first];
    const last = header.alone ? 'O' : 'T';
    while (chunks.at(-1).type !== last) {
        if (chunks.length >= CHUNKS_MAX) {
            refuse('LicLimitExceeded', `more than ${CHUNKS_MAX} chunks`, chunks.at(-1).end, DISTRUST);
        }
        const chunk = chunkAt(bytes, chunks.at(-1).end);
        if (KNOWN.includes(chunk.type) && chunks.some((other) => other.type === chunk.type)) {
            refuse('LicCorruptChunk', `second chunk '${chunk.type}'`, chunk.start, REFETCH);
        }
        if (header.alone && chunk.type === 'T') {
            refuse('LicCorruptChunk', 'tiles in a file whose overlay stands alone', chunk.start, REFETCH);
        }
        chunks.push(chunk);
    }
    if (chunks.some((chunk) => chunk.type === 'A') !== (header.hasAlpha && !header.alone)) {
        const what = `an alpha chunk too many or too few in an image of layout ${header.layout}`;
        refuse('LicCorruptChunk', what, START, REFETCH);
    }
    return chunks;
}

// ---- Header (FORMAT 3) and geometry (FORMAT 6.1) --------------------------------------------------------------------

function parseHeader(cursor) {
    const header = { width: cursor.ranged('width', 1, SIDE_MAX), height: cursor.ranged('height', 1, SIDE_MAX) };
    const layout = cursor.u8();
    header.alone = layout >= 0x80;
    header.depth = ((layout >> 3) & 15) + 8;
    if (header.alone && header.depth === WHOLE_CODE) header.depth = WHOLE;
    header.other = header.alone && (layout & 0x7f) === OTHER ? MODELS[cursor.u8()] : null;
    header.layout = header.other ? header.other.layout : LAYOUTS[layout & 7];
    if (!header.layout || (header.depth > SIXTEEN && header.depth !== WHOLE)) {
        refuse('LicUnsupportedVersion', `unknown colour layout ${layout}`, cursor.offset - 1, UPGRADE);
    }
    header.deep = header.depth > EIGHT;
    header.hasAlpha = !header.other && header.layout.endsWith('A');
    header.bands = header.other?.bands ?? (header.layout.startsWith('L') ? 1 : 3); // of colour, of others all
    if (!header.alone) parseRest(cursor, header);
    if (cursor.left) refuse('LicCorruptChunk', `header has ${cursor.left} bytes too many`, cursor.offset, REFETCH);
    header.latent = [Math.ceil(header.height / 16), Math.ceil(header.width / 16)]; // rows, columns
    header.hyper = header.latent.map((side) => Math.ceil(side / 4));
    return header;
}

function parseRest(cursor, header) {
    header.model = cursor.varint();
    header.hash = Array.from(cursor.take(8), (byte) => byte.toString(16).padStart(2, '0')).join('');
    header.quality = cursor.u16();
    if (header.quality < 100 || header.quality > 10000) {
        refuse('LicCorruptChunk', `quality ${header.quality} is not within 100 to 10000`, cursor.offset, REFETCH);
    }
    header.side = cursor.ranged('tile side', 1, 64);
    const stages = cursor.u8();
    if (stages & 0xe0) refuse('LicUnsupportedVersion', `unknown kind of stages ${stages}`, cursor.offset - 1, UPGRADE);
    header.cut = (stages & 0x10) !== 0;
    header.thresholds = cursor.take(stages & 15);
    if (header.thresholds.some((value, n) => value <= (header.thresholds[n + 1] ?? 0))) {
        refuse('LicCorruptChunk', 'thresholds of stages that do not fall', cursor.offset, REFETCH);
    }
}

function checkLimits(header, maxPixels) {
    const { width, height } = header;
    const size = `${width} x ${height} pixels`;
    if (!(Math.max(width, 16) * Math.max(height, 16) <= maxPixels)) {
        const what = `${size} are more than maxPixels = ${maxPixels}`;
        throw new LicError('LicLimitExceeded', `${what}; raise it, or ${DISTRUST}`);
    }
    if (header.hyper[0] * header.hyper[1] * 4096 > PIXELS_MAX) {
        throw new LicError('LicLimitExceeded', `${size} take more than ${PIXELS_MAX} with padding; ${DISTRUST}`);
    }
}

// ---- Metadata (FORMAT 4) --------------------------------------------------------------------------------------------

/** What can be known of metadata that nobody reads. */
function checkMetadata(type, payload, start) {
    if (type === 'p') return; // a decoder leaves a preview alone
    metadataSize(new Cursor(payload, start));
}

/** Whether it is deflated, and how long it is. */
function metadataSize(cursor) {
    const method = cursor.u8();
    if (method > 1) refuse('LicUnsupportedVersion', `unknown metadata method ${method}`, cursor.start, UPGRADE);
    const size = cursor.varint();
    if (size > METADATA_MAX) refuse('LicLimitExceeded', `metadata of ${size} bytes`, cursor.start, DISTRUST);
    if (method === 0 && cursor.left !== size) {
        refuse('LicCorruptChunk', `metadata of ${cursor.left} bytes instead of ${size}`, cursor.offset, REFETCH);
    }
    return [method === 1, size];
}

async function unpackMetadata(payload, start) {
    const cursor = new Cursor(payload, start);
    const [deflated, size] = metadataSize(cursor);
    const body = cursor.take(cursor.left);
    return deflated ? inflate(body, size, 'metadata', start) : body;
}

/** Colour coding points (FORMAT 4.1): of no consequence here. */
function checkCodingPoints(payload, start) {
    if (payload.length !== 4 || payload[3] > 1) refuse('LicCorruptChunk', 'no colour coding points', start, REFETCH);
}

/** What samples stand for (FORMAT 4.3), {kind, low, high}; null for a kind that is not known. */
function readValues(payload, start) {
    if (payload.length > 0 && (payload[0] < 1 || payload[0] > 2)) return null;
    const bad = () => refuse('LicCorruptChunk', 'it is not stated what samples stand for', start, REFETCH);
    if (payload.length !== 17) bad();
    const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
    const [low, high] = [view.getFloat64(1, true), view.getFloat64(9, true)];
    if (!Number.isFinite(low) || !Number.isFinite(high) || low > high) bad();
    const whole = Number.isInteger(low) && Number.isInteger(high) && low >= -(2 ** 31) && high < 2 ** 31;
    if (payload[0] === 1 && !whole) bad();
    return { kind: payload[0], low, high };
}

/** Refuses numbers of 32 bits of which nobody says what they are (FORMAT 3.1). */
function checkWhole(stated, start) {
    const what = 'what samples of 32 bits stand for';
    if (stated) refuse('LicUnsupportedVersion', `it is not known ${what}`, start, UPGRADE);
    refuse('LicCorruptChunk', `it is not said ${what}`, START, REFETCH);
}

// ---- Alpha (FORMAT 5.1) and quality map (FORMAT 5.3) ----------------------------------------------------------------

/** Where the PNG of an alpha payload begins. */
export function alphaStart(payload, header) {
    return payload[0] === 2 ? 1 + header.bands * sampleBytes(header) : 1;
}

/** Bytes of a sample that stands by itself. */
function sampleBytes(header) {
    return header.deep ? 2 : 1;
}

/** The sample of that number in an alpha chunk's head. */
export function alphaSample(payload, header, number) {
    const at = 1 + number * sampleBytes(header);
    return header.deep ? payload[at] | (payload[at + 1] << 8) : payload[at];
}

function checkAlpha(payload, start, header) {
    if (payload.length === 0) refuse('LicCorruptChunk', 'alpha chunk too short', start, REFETCH);
    if (payload[0] > 2) refuse('LicUnsupportedVersion', `unknown alpha method ${payload[0]}`, start, UPGRADE);
    if (payload[0] === 0) {
        const wanted = 1 + sampleBytes(header);
        if (payload.length !== wanted) {
            const what = `constant alpha of ${payload.length} bytes instead of ${wanted}`;
            refuse('LicCorruptChunk', what, start, REFETCH);
        }
        if (alphaSample(payload, header, 0) > mostOf(header.depth)) {
            refuse('LicCorruptChunk', `constant alpha of more than ${header.depth} bits`, start, REFETCH);
        }
        return;
    }
    const found = pngStates(payload.subarray(alphaStart(payload, header)));
    const bits = header.deep ? SIXTEEN : EIGHT;
    const same = found && found.width === header.width && found.height === header.height;
    if (!same || found.depth !== bits || found.kind) {
        const what = `alpha is not a ${bits}-bit grey PNG of ${header.width} x ${header.height} pixels`;
        refuse('LicCorruptChunk', what, start, REFETCH);
    }
}

async function unpackMap(payload, start, header) {
    const cells = header.hyper[0] * header.hyper[1];
    const rows = new Int8Array((await inflate(payload, cells, 'a quality map', start)).buffer);
    if (rows.some((value) => Math.abs(value) > SHIFT_MAX)) {
        refuse('LicCorruptChunk', `a quality map with values beyond ${SHIFT_MAX}`, start, REFETCH);
    }
    return rows;
}

// ---- Tiles (FORMAT 6.2) ---------------------------------------------------------------------------------------------

/** For each tile its stages, Uint8Arrays. */
function splitTiles(cursor, header) {
    const count = header.hyper.reduce((all, side) => all * Math.ceil(side / header.side), 1);
    const stages = header.thresholds.length + 1;
    const checks = 2 * (stages - 1); // bytes
    if (cursor.left < count * (stages + STREAM_MIN) + checks) {
        refuse('LicCorruptChunk', `tile chunk too short for ${count} tiles`, cursor.offset, REFETCH);
    }
    const lengths = [];
    for (let k = 0; k < stages; k++) {
        for (let tile = 0; tile < count; tile++) {
            lengths.push(cursor.ranged('length of a tile', k === 0 ? STREAM_MIN : 0, SIDE_MAX));
        }
    }
    const total = lengths.reduce((all, length) => all + length, checks);
    if (total !== cursor.left) {
        refuse('LicCorruptChunk', `tiles of ${total} bytes where there are ${cursor.left}`, cursor.offset, REFETCH);
    }
    const tiles = Array.from({ length: count }, () => []);
    for (let k = 0; k < stages; k++) {
        takeStage(cursor, lengths.slice(k * count, (k + 1) * count), tiles, k < stages - 1);
    }
    return tiles;
}

/** A segment of every tile, and the check behind them. */
function takeStage(cursor, lengths, tiles, checked) {
    let crc = 0;
    lengths.forEach((length, tile) => {
        const segment = cursor.take(length);
        if (checked) crc = crc32(segment, crc);
        tiles[tile].push(segment);
    });
    if (checked && cursor.u16() !== (crc & 0xffff)) {
        refuse('LicCorruptChunk', 'wrong check of a stage', cursor.offset, REFETCH);
    }
}
