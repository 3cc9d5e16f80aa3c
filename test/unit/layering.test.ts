import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const SRC = fileURLToPath(new URL('../../src/', import.meta.url));

/** From the outside in (design section 7): an area may import what stands below it, never beside or above. */
const LAYERS: readonly (readonly string[])[] = [
  ['main', 'commands'],
  ['app'],
  ['http'],
  ['tus', 'direct', 'auth'],
  ['relay'],
  ['pipeline'],
  ['catalog', 's3', 'locks'],
  ['observability'],
  ['config', 'config-checks', 'config-values', 'provider-profiles', 'errors', 'make-folder', 'file-problem'],
];
/** The embedded S3 is a program of its own that happens to run in our process. */
const DEV_S3_MAY_IMPORT = ['observability', 'config', 'config-values', 'errors', 'make-folder', 'file-problem'];

const IMPORT = /(?:^|\n)\s*(?:import|export)\b[^;'"]*?\bfrom\s*['"]([^'"]+)['"]|import\s*\(?\s*['"]([^'"]+)['"]/g;

function sourceFiles(): string[] {
  return readdirSync(SRC, { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('.ts'));
}

/** The folder, or for files beside the folders their name. */
function areaOf(path: string): string {
  return (path.split(sep)[0] ?? '').replace(/\.ts$/, '');
}

function importsOf(path: string): string[] {
  const text = readFileSync(join(SRC, path), 'utf8');
  return [...text.matchAll(IMPORT)].map((match) => match[1] ?? match[2] ?? '');
}

function layerOf(area: string): number {
  const layer = LAYERS.findIndex((areas) => areas.includes(area));
  assert.notEqual(layer, -1, `src/${area} has no place in LAYERS`);
  return layer;
}

function mayImport(from: string, to: string): boolean {
  if (from === to) return true;
  if (from === 'app') return to !== 'main' && to !== 'commands';
  if (to === 'dev-s3') return false;
  if (from === 'dev-s3') return DEV_S3_MAY_IMPORT.includes(to);
  // config and errors are the ground: they may know each other.
  const ground = LAYERS.length - 1;
  return layerOf(from) < layerOf(to) || (layerOf(from) === ground && layerOf(to) === ground);
}

test('imports go one way', () => {
  const wrong: string[] = [];
  for (const path of sourceFiles()) {
    for (const specifier of importsOf(path).filter((it) => it.startsWith('.'))) {
      const target = relative(SRC, resolve(SRC, dirname(path), specifier));
      if (target === join('..', 'package.json')) continue; // belongs to all
      if (!mayImport(areaOf(path), areaOf(target))) wrong.push(`${path} imports ${target}`);
    }
  }
  assert.deepEqual(wrong, []);
});

test('every import names a file as it is, without aliases or ways out of src', () => {
  for (const path of sourceFiles()) {
    for (const specifier of importsOf(path)) {
      if (specifier.startsWith('.')) assert.match(specifier, /\.(ts|json)$/, `${path} imports ${specifier}`);
      else assert.doesNotMatch(specifier, /^[/#]/, `${path} imports ${specifier}`);
      const target = relative(SRC, resolve(SRC, dirname(path), specifier));
      if (specifier.startsWith('.') && !target.endsWith('package.json')) assert.doesNotMatch(target, /^\.\./, path);
    }
  }
});

test('the rule itself tells right from wrong', () => {
  assert.deepEqual(
    importsOf('app.ts').filter((it) => it === './config.ts'),
    ['./config.ts'],
  );
  const cases: [string, string, boolean][] = [
    ['main', 'app', true],
    ['http', 'relay', true],
    ['relay', 'http', false],
    ['catalog', 's3', false],
    ['tus', 'direct', false],
    ['http', 'dev-s3', false],
    ['app', 'dev-s3', true],
    ['dev-s3', 's3', false],
    ['dev-s3', 'errors', true],
    ['errors', 'config', true],
    ['app', 'main', false],
    ['commands', 'app', true],
    ['commands', 'main', false],
    ['app', 'commands', false],
  ];
  for (const [from, to, expected] of cases) assert.equal(mayImport(from, to), expected, `${from} → ${to}`);
});
