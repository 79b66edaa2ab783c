// node decode.mjs: reads a JSON list of {path, options} from its input, decodes each, and prints a JSON list of
// {width, height, sha256 of the RGBA bytes, depth if it is not 8} or {error, message}. `assets` among the options: a
// folder.
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { stdin } from 'node:process';
import { pathToFileURL } from 'node:url';

import { LicError, decode } from '../../browser/index.js';

let text = '';
for await (const part of stdin) text += part;
const answers = [];
for (const { path, options = {} } of JSON.parse(text)) {
    if (options.assets) options.assets = pathToFileURL(`${options.assets}/`);
    try {
        const { data, width, height, depth } = await decode(await readFile(path), options);
        answers.push({ width, height, depth, sha256: createHash('sha256').update(data).digest('hex') });
    } catch (error) {
        if (!(error instanceof LicError)) throw error;
        answers.push({ error: error.name, message: error.message });
    }
}
console.log(JSON.stringify(answers));
