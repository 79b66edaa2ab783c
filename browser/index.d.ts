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
}

/** Pixels of a `.lic` file, those of pillow_lic.decode to the bit; alpha is not multiplied in. */
export function decode(source: Source, options?: Options): Promise<ImageData>;

export function decodeToImageBitmap(source: Source, options?: Options): Promise<ImageBitmap>;

export const MAX_PIXELS: number;
export const ASSETS: URL;
