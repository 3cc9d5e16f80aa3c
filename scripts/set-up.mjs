/**
 * Runs before the npm scripts, so that a fresh clone needs nothing but `npm start` or `npm test`:
 *
 *   node scripts/set-up.mjs           installs the dependencies that package-lock.json names, when they are not there
 *   node scripts/set-up.mjs --page    and builds the web page, when it was built from other sources
 *
 * Plain JavaScript without dependencies: the first time, it runs on whatever Node the machine has.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { accessSync, constants, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const OLDEST_NODE = 18;
/** Says which sources the page that is there was built from. */
const BUILT_FROM = 'client/dist/.built-from';

if (Number(process.versions.node.split('.')[0]) < OLDEST_NODE) {
  fail(`tus-relay needs Node ${OLDEST_NODE} or newer to set itself up; this is ${process.version}`);
}
if (!isInstalled()) {
  say('installing dependencies (only the first time, and when they have changed) ...');
  install();
}
if (process.argv.includes('--page') && !isPageBuilt()) {
  say('building the web page ...');
  buildPage();
}

/** Is node_modules what package-lock.json says? npm writes down what it has installed at the end of an installation. */
function isInstalled() {
  const wanted = readJson('package-lock.json');
  const installed = readJson('node_modules/.package-lock.json');
  if (wanted === null) fail('package-lock.json is missing or damaged');
  if (installed === null || !existsSync(join(ROOT, nodeBinary()))) return false;
  return Object.entries(wanted.packages).every(([path, entry]) => {
    if (path === '') return true;
    const found = installed.packages[path];
    // What is for other systems is not installed, and nothing is missing for that.
    if (found === undefined) return entry.optional === true || entry.devOptional === true;
    return found.version === entry.version && found.integrity === entry.integrity;
  });
}

/** With the npm and the Node of the machine: those under node_modules are about to be replaced. */
function install() {
  const path = (process.env.PATH ?? '').split(delimiter).filter((folder) => !/node_modules|node-gyp-bin/.test(folder));
  // The page is built with development dependencies, NODE_ENV=production or not.
  // Quiet: npm would warn of packages that want a newer Node than the machine's, and they are run by ours.
  run('npm', ['ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error'], {
    ...process.env,
    PATH: path.join(delimiter),
  });
}

/** By content, not by times: a copy or a checkout changes those. */
function isPageBuilt() {
  const built = readText(BUILT_FROM);
  return built !== null && existsSync(join(ROOT, 'client/dist/index.html')) && built === hashOfSources();
}

/** Of all that the page is made of: its sources, and the versions of what builds it. */
function hashOfSources() {
  const hash = createHash('sha256');
  const folders = ['client'];
  const files = ['package-lock.json'];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    for (const entry of readdirSync(join(ROOT, folder), { withFileTypes: true })) {
      if (entry.name === 'dist' || entry.name === 'node_modules') continue;
      (entry.isDirectory() ? folders : files).push(`${folder}/${entry.name}`);
    }
  }
  for (const file of files.sort())
    hash
      .update(`${file}\0`)
      .update(readFileSync(join(ROOT, file)))
      .update('\0');
  return hash.digest('hex');
}

function buildPage() {
  const sources = hashOfSources();
  if (!isWritable('client')) {
    fail(
      'the web page is not built, or from other sources, and this account may not write to client/dist: ' +
        'run "npm run build" once as the owner of the files',
    );
  }
  run(join(ROOT, nodeBinary()), [join(ROOT, 'node_modules/vite/bin/vite.js'), 'build', 'client', '--logLevel', 'warn']);
  writeFileSync(join(ROOT, BUILT_FROM), sources);
}

function isWritable(folder) {
  try {
    const dist = join(ROOT, folder, 'dist');
    accessSync(existsSync(dist) ? dist : join(ROOT, folder), constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

function nodeBinary() {
  return process.platform === 'win32' ? 'node_modules/node/bin/node.exe' : 'node_modules/node/bin/node';
}

function run(command, args, env = process.env) {
  const shell = process.platform === 'win32' && command === 'npm'; // npm is a .cmd there
  const { status, error, signal } = spawnSync(command, args, { cwd: ROOT, env, stdio: 'inherit', shell });
  if (error) fail(`${command} cannot be run: ${error.message}`);
  if (status !== 0) fail(`"${command} ${args.join(' ')}" ended with ${signal ?? `code ${status}`}`);
}

function readJson(path) {
  try {
    return JSON.parse(readText(path) ?? '');
  } catch {
    return null;
  }
}

function readText(path) {
  try {
    return readFileSync(join(ROOT, path), 'utf8');
  } catch {
    return null;
  }
}

function say(text) {
  console.error(`tus-relay: ${text}`);
}

function fail(text) {
  say(text);
  process.exit(1);
}
