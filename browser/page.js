// The page's side: files that are dropped, pasted, chosen, or named behind `?src=` go to a worker, and come back as
// pictures. `window.shown` is the last one's {name, width, height, milliseconds} or {name, error}.
const worker = new Worker(new URL('./worker.js', import.meta.url), { type: 'module' });
const waiting = new Map();
let count = 0;

worker.onmessage = ({ data }) => {
    waiting.get(data.id)(data);
    waiting.delete(data.id);
};

function decoded(bytes) {
    return new Promise((resolve) => {
        waiting.set(++count, resolve);
        worker.postMessage({ id: count, bytes }, [bytes]);
    });
}

async function show(name, bytes) {
    const size = bytes.byteLength;
    say(`${name}: decoding ...`);
    const { image, milliseconds, error } = await decoded(bytes);
    window.shown = error ? { name, error } : { name, width: image.width, height: image.height, milliseconds };
    document.body.classList.toggle('wrong', Boolean(error));
    if (error) return say(`${name}: ${error.name}: ${error.message}`);
    const canvas = document.querySelector('canvas');
    canvas.width = image.width;
    canvas.height = image.height;
    canvas.getContext('2d').putImageData(image, 0, 0);
    const bits = ((8 * size) / (image.width * image.height)).toFixed(3);
    const kilobytes = (size / 1000).toFixed(1);
    const took = `${milliseconds.toFixed(0)} ms`;
    say(`${name}: ${image.width} × ${image.height}, ${kilobytes} kB, ${bits} bits a pixel, ${took}`);
}

function say(text) {
    document.querySelector('output').textContent = text;
}

async function take(files) {
    for (const file of files) await show(file.name, await file.arrayBuffer());
}

document.ondragover = (event) => event.preventDefault();
document.ondrop = (event) => {
    event.preventDefault();
    take(event.dataTransfer.files);
};
document.onpaste = (event) => take(event.clipboardData.files);
document.querySelector('input').onchange = (event) => take(event.target.files);

const source = new URLSearchParams(location.search).get('src');
if (source) {
    fetch(source).then(
        async (answer) => (answer.ok ? show(source, await answer.arrayBuffer()) : say(`${source}: ${answer.status}`)),
        (error) => say(`${source}: ${error.message}`),
    );
}
