// @ts-check
// Starts Holdline in front of any OpenAI-compatible server. One variable says where that is: HOLDLINE_MODEL_URL. The model is
// the first that the server offers, unless HOLDLINE_MODEL names another.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const url = process.env['HOLDLINE_MODEL_URL'];
if (url === undefined) {
  console.error('set HOLDLINE_MODEL_URL, for example http://127.0.0.1:11434/v1');
  process.exit(64);
}

const holdline = fileURLToPath(new URL('../../dist/main.js', import.meta.url));
const model = process.env['HOLDLINE_MODEL'] ?? (await firstModel(url));
console.log(`holdline: asks ${model} at ${url}`);
const child = spawn(process.execPath, [holdline, 'serve'], {
  stdio: 'inherit',
  env: { ...process.env, HOLDLINE_MODEL: model },
});
for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM'])) process.on(signal, () => child.kill(signal));
child.on('exit', (code) => (process.exitCode = code ?? 1));

/** @param {string} base @returns {Promise<string>} */
async function firstModel(base) {
  const key = process.env['HOLDLINE_MODEL_KEY'];
  const headers = key === undefined ? {} : { authorization: `Bearer ${key}` };
  const answer = await fetch(`${base.replace(/\/$/, '')}/models`, { headers }).catch((error) => {
    throw new Error(`nothing answers at ${base}: is the model server running?`, { cause: error });
  });
  if (!answer.ok) throw new Error(`${base}/models answers ${answer.status}`);
  const { data } = /** @type {{ data: readonly { id: string }[] }} */ (await answer.json());
  const [first] = data;
  if (first === undefined) throw new Error(`${base}/models names no model`);
  return first.id;
}
