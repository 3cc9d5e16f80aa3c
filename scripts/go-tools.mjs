/**
 * Programs written in Go that benchmarks and service tests run against, never the product itself:
 *
 *   node scripts/go-tools.mjs minio    prints the path of the binary, building it first when it is not there
 *
 * Built once, with `go install` into `.tools/` (a few minutes each). One on the PATH or in ~/go/bin is taken as it is.
 * Plain JavaScript without dependencies: a script may need a tool before anything is installed.
 */
import { spawn } from 'node:child_process';
import { accessSync, constants, mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

const TOOLS = fileURLToPath(new URL('../.tools', import.meta.url));

/** Fixed versions: figures of two days are of the same programs. */
const MODULES = {
  minio: 'github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c',
  versitygw: 'github.com/versity/versitygw/cmd/versitygw@v1.8.0',
  tusd: 'github.com/tus/tusd/v2/cmd/tusd@v2.9.1',
};
const BUILD_LIMIT_MS = 20 * 60_000;

if (process.argv[1] === fileURLToPath(import.meta.url)) await main(process.argv[2]);

/** @returns the path of a binary that is there, else null; builds nothing */
export function findGoTool(name) {
  const folders = [TOOLS, ...(process.env.PATH ?? '').split(delimiter), process.env.GOBIN, join(homedir(), 'go/bin')];
  for (const folder of folders.filter(Boolean)) {
    if (isExecutable(join(folder, name))) return join(folder, name);
  }
  return null;
}

/** @returns the path of the binary; null when it is not there and Go is not either, or the build failed (told on stderr) */
export async function goTool(name) {
  if (!(name in MODULES)) throw new Error(`no such tool: ${name}, expected one of ${Object.keys(MODULES).join(', ')}`);
  return findGoTool(name) ?? (await build(name));
}

async function build(name) {
  mkdirSync(TOOLS, { recursive: true });
  say(`building ${name} (only the first time, a few minutes) ...`);
  const problem = await new Promise((resolve) => {
    const go = spawn('go', ['install', MODULES[name]], {
      env: { ...process.env, GOBIN: TOOLS },
      // A failing build says why; its list of downloads is of no use to anybody.
      stdio: ['ignore', 'ignore', 'pipe'],
      timeout: BUILD_LIMIT_MS,
    });
    const errors = [];
    go.stderr.setEncoding('utf8').on('data', (text) => errors.push(text));
    go.once('error', (error) => resolve(error.code === 'ENOENT' ? 'Go is not installed' : error.message));
    go.once('close', (code) => resolve(code === 0 ? null : `go install ended with ${code}: ${lastLines(errors)}`));
  });
  if (problem === null) return join(TOOLS, name);
  say(`${name} cannot be built: ${problem}`);
  return null;
}

function lastLines(texts) {
  const lines = texts.join('').trim().split('\n');
  return lines
    .filter((line) => !line.startsWith('go: downloading'))
    .slice(-5)
    .join('\n');
}

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

async function main(name) {
  const path = name === undefined ? null : await goTool(name);
  if (path === null) process.exitCode = 1;
  else process.stdout.write(`${path}\n`);
}

function say(text) {
  process.stderr.write(`tus-relay: ${text}\n`);
}
