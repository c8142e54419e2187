// node ort_texts.mjs f32|int8 THREADS IDS: tokens/s of onnxruntime over the texts of IDS (token ids, a
// text a line), as its user would batch them: sorted by length, padded to the longest. Padding is
// not counted. Several batch sizes; the last line gives the best. Needs $PEERS.
import fs from 'fs';
import { createRequire } from 'module';

const [, , precision, threads, path] = process.argv;
const peers = process.env.PEERS;
const ort = createRequire(peers + '/')('onnxruntime-node');
const name = precision === 'int8' ? 'model_quantized' : 'model';
const session = await ort.InferenceSession.create(`${peers}/models/full/onnx/${name}.onnx`,
  { intraOpNumThreads: +threads, interOpNumThreads: 1, graphOptimizationLevel: 'all' });

const texts = fs.readFileSync(path, 'utf8').trim().split('\n').map(line => line.split(' ').map(Number));
texts.sort((a, b) => a.length - b.length);
const total = texts.reduce((n, t) => n + t.length, 0);

function batchOf(rows) {
  const width = rows[rows.length - 1].length, size = rows.length * width;
  const ids = new BigInt64Array(size), mask = new BigInt64Array(size);
  rows.forEach((row, i) => row.forEach((id, k) => { ids[i * width + k] = BigInt(id); mask[i * width + k] = 1n; }));
  const dims = [rows.length, width];
  return { input_ids: new ort.Tensor('int64', ids, dims), attention_mask: new ort.Tensor('int64', mask, dims) };
}

let best = 0;
for (const size of [8, 16, 32, 64]) {
  const batches = [];
  for (let i = 0; i < texts.length; i += size) batches.push(batchOf(texts.slice(i, i + size)));
  let seconds = Infinity;
  for (let round = 0; round < 2; round++) {
    const start = performance.now();
    for (const batch of batches) await session.run(batch);
    seconds = Math.min(seconds, (performance.now() - start) / 1e3);
  }
  console.log(`batches of ${size}: ${(total / seconds).toFixed(0)} tokens/s`);
  best = Math.max(best, total / seconds);
}
console.log(`sentences 0 ${best.toFixed(0)}`);
