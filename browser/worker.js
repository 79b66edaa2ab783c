// Decodes where the page need not wait: {id, bytes, options} in, {id, image, milliseconds} or {id, error} out.
import { decode } from './index.js';

self.onmessage = async ({ data: { id, bytes, options } }) => {
    const start = performance.now();
    try {
        const image = await decode(bytes, options);
        self.postMessage({ id, image, milliseconds: performance.now() - start }, [image.data.buffer]);
    } catch (error) {
        self.postMessage({ id, error: { name: error.name, message: error.message } });
    }
};
