/** A refusal. `name` is that of FORMAT appendix A: 'LicTruncated', for example. */
export class LicError extends Error {}

export type Source = ArrayBuffer | ArrayBufferView | Blob | Response;

export interface Options {
    /** Whether the picture is turned as its EXIF says, as browsers do. Default: 'from-image'. */
    imageOrientation?: 'from-image' | 'none';
    /** Width times height beyond which a file is refused. Default: MAX_PIXELS. */
    maxPixels?: number;
    /** The folder that holds lic.wasm and models/. Default: ASSETS. */
    assets?: string | URL;
    /** Bits of a sample: 8, or 16 for as many as the file has. Default: 8. */
    depth?: 8 | 16;
}

/** A picture of 16 bits. */
export interface DeepImage {
    /** RGBA, row by row, alpha not multiplied in: samples of `depth` bits. */
    data: Uint16Array;
    width: number;
    height: number;
    /** 9 to 16: the file's own, of a file of 8 bits 16. */
    depth: number;
    colorSpace: 'srgb';
}

/**
 * Pixels of a `.lic` file, those of pillow_lic.decode to the bit; alpha is not multiplied in. Exact files of other
 * colour models are shown as Pillow converts them; YCbCr, LAB and HSV are refused as LicUnsupportedVersion.
 */
export function decode(source: Source, options: Options & { depth: 16 }): Promise<DeepImage>;
export function decode(source: Source, options?: Options): Promise<ImageData>;

export function decodeToImageBitmap(source: Source, options?: Options): Promise<ImageBitmap>;

export const MAX_PIXELS: number;
export const ASSETS: URL;
