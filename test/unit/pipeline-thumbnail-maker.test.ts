import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import sharp from 'sharp';
import { makeThumbnails } from '../../src/pipeline/thumbnail.ts';
import { ThumbnailMaker, type ThumbnailMakerLimits } from '../../src/pipeline/thumbnail-maker.ts';
import { ThumbnailWorkerDiedError } from '../../src/pipeline/thumbnail-process.ts';
import { LargeImageError, UnusableImageError } from '../../src/pipeline/thumbnail-terms.ts';
import { bombPng } from '../support/bomb-png.ts';
import { eventually } from '../support/eventually.ts';

const MAKER_MODULE = new URL('../../src/pipeline/thumbnail-maker.ts', import.meta.url).href;
const APP_MODULE = new URL('../../src/app.ts', import.meta.url).href;
const LONG_MS = 600_000;
const NEVER = new AbortController().signal;
const LIMITS: ThumbnailMakerLimits = { idleMs: LONG_MS, makeMs: LONG_MS, processBytes: 192 * 1024 * 1024 };
/** More than any image here takes, unless it is said. */
const UP_TO = 64 * 1024 * 1024;

const photo = await sharp({ create: { width: 900, height: 600, channels: 3, background: '#2a6' } })
  .jpeg()
  .toBuffer();

function openMaker(t: TestContext, limits: Partial<ThumbnailMakerLimits> = {}) {
  const maker = new ThumbnailMaker({ ...LIMITS, ...limits });
  t.after(() => maker.close());
  return maker;
}

/** @param meanwhile called with half of the image on its way */
function imageOf(bytes: Buffer, meanwhile: () => void = () => {}) {
  async function* body() {
    yield bytes.subarray(0, bytes.length / 2);
    meanwhile();
    yield bytes.subarray(bytes.length / 2);
  }
  return { bytes: bytes.length, body: body() };
}

/** A process that is there and does nothing. */
async function pauseOne(maker: ThumbnailMaker): Promise<number> {
  await maker.make(imageOf(photo), UP_TO, NEVER);
  const [pid] = maker.pids;
  assert.ok(pid !== undefined);
  process.kill(pid, 'SIGSTOP');
  return pid;
}

test('the same thumbnails as without a process between, and one process for one after the other', async (t) => {
  const warnings: Error[] = [];
  const onWarning = (warning: Error) => warnings.push(warning);
  process.on('warning', onWarning);
  t.after(() => process.off('warning', onWarning));
  const maker = openMaker(t);
  assert.deepEqual(maker.pids, []);
  const expected = await makeThumbnails(photo, UP_TO);
  const pids = new Set<number>();
  for (let images = 0; images < 15; images += 1) {
    assert.deepEqual(await maker.make(imageOf(photo), UP_TO, NEVER), expected);
    for (const pid of maker.pids) pids.add(pid);
  }
  assert.equal(pids.size, 1);
  assert.deepEqual(warnings, [], 'listeners that nobody takes away');
});

test('images at one time have a process each, and the processes are used again', async (t) => {
  const maker = openMaker(t);
  const two = () => Promise.all([maker.make(imageOf(photo), UP_TO, NEVER), maker.make(imageOf(photo), UP_TO, NEVER)]);
  await two();
  const { pids } = maker;
  assert.equal(pids.length, 2);
  await two();
  assert.deepEqual(maker.pids, pids);
});

test('an image of many megabytes arrives whole', async (t) => {
  const noise = { type: 'gaussian', mean: 128, sigma: 60 } as const;
  const large = await sharp({ create: { width: 2400, height: 2000, channels: 3, background: '#000', noise } })
    .png({ compressionLevel: 0 })
    .toBuffer();
  assert.ok(large.length > 10 * 1024 * 1024);
  assert.deepEqual(await openMaker(t).make(imageOf(large), UP_TO, NEVER), await makeThumbnails(large, UP_TO));
});

test('a broken image is told from trouble, and costs no process', async (t) => {
  const maker = openMaker(t);
  await maker.make(imageOf(photo), UP_TO, NEVER);
  const { pids } = maker;
  const broken = Buffer.from('no image at all, whatever one does');
  await assert.rejects(maker.make(imageOf(broken), UP_TO, NEVER), (error) => {
    assert.ok(error instanceof UnusableImageError);
    assert.match(error.problem, /could not be read/);
    return true;
  });
  await maker.make(imageOf(photo), UP_TO, NEVER);
  assert.deepEqual(maker.pids, pids);
});

for (const signal of ['SIGSEGV', 'SIGKILL'] as const) {
  test(`a process that ends by ${signal} in the middle takes along its own image and no other`, async (t) => {
    const maker = openMaker(t);
    const crash = () => process.kill(maker.pids[0] as number, signal);
    const first = maker.make(imageOf(photo, crash), UP_TO, NEVER);
    const second = maker.make(imageOf(photo), UP_TO, NEVER);
    await assert.rejects(first, (error) => {
      assert.ok(error instanceof ThumbnailWorkerDiedError);
      assert.match(error.message, new RegExp(signal));
      assert.equal(error.end, signal === 'SIGKILL' ? 'memory' : 'crash');
      return true;
    });
    assert.equal((await second).thumbnails.length, 2);
    assert.equal((await maker.make(imageOf(photo), UP_TO, NEVER)).width, 900);
  });
}

test('an image that is large by its header is not decoded, and costs no process', async (t) => {
  const maker = openMaker(t);
  await maker.make(imageOf(photo), UP_TO, NEVER);
  const { pids } = maker;
  const bomb = bombPng({ width: 9_000, height: 9_000 });
  await assert.rejects(maker.make(imageOf(bomb), UP_TO, NEVER), (error) => {
    assert.ok(error instanceof LargeImageError);
    assert.deepEqual(error.size, { width: 9_000, height: 9_000, decodedBytes: 9_000 * 9_000 * 8 });
    return true;
  });
  assert.deepEqual(maker.pids, pids);
});

test('a process whose memory grows past its limit is ended, and the image is named as the reason', {
  skip: process.platform !== 'linux',
}, async (t) => {
  const decodedBytes = 5_792 ** 2 * 8; // 256 MiB
  const bomb = await sharp({ create: { width: 5_792, height: 5_792, channels: 4, background: '#123456' } })
    .toColourspace('rgb16')
    .png({ progressive: true })
    .toBuffer();
  assert.equal((await openMaker(t).make(imageOf(bomb), decodedBytes, NEVER)).width, 5_792);
  const tight = openMaker(t, { processBytes: -decodedBytes });
  const failed = { name: 'ThumbnailWorkerDiedError', end: 'memory', message: /more memory than/ };
  await assert.rejects(tight.make(imageOf(bomb), decodedBytes, NEVER), failed);
  await eventually('it is gone', async () => (tight.pids.length === 0 ? true : undefined));
});

test('after a large image its process ends, so that what it had is given back', async (t) => {
  const maker = openMaker(t);
  assert.equal((await maker.make(imageOf(photo), 2 * UP_TO, NEVER)).width, 900);
  await eventually('the process is gone', async () => (maker.pids.length === 0 ? true : undefined));
});

test('Linux is asked to end the decoder before anything else', { skip: process.platform !== 'linux' }, async (t) => {
  const maker = openMaker(t);
  await maker.make(imageOf(photo), UP_TO, NEVER);
  assert.equal(readFileSync(`/proc/${maker.pids[0]}/oom_score_adj`, 'utf8').trim(), '1000');
});

test('a process that ends while it has nothing to do is not used again', async (t) => {
  const maker = openMaker(t);
  await maker.make(imageOf(photo), UP_TO, NEVER);
  const [pid] = maker.pids;
  process.kill(pid as number, 'SIGKILL');
  await eventually('its end is known', async () => (maker.pids.length === 0 ? true : undefined));
  assert.equal((await maker.make(imageOf(photo), UP_TO, NEVER)).width, 900);
  assert.ok(!maker.pids.includes(pid as number));
});

test('an image that takes for ever is given up with its process', async (t) => {
  const limits = { ...LIMITS };
  const maker = new ThumbnailMaker(limits);
  t.after(() => maker.close());
  const pid = await pauseOne(maker);
  limits.makeMs = 1;
  await assert.rejects(maker.make(imageOf(photo), UP_TO, NEVER), { name: 'ThumbnailWorkerDiedError', end: 'crash' });
  assert.ok(!maker.pids.includes(pid));
});

test('a job that is over ends its process, and what it was reading', async (t) => {
  const maker = openMaker(t);
  await pauseOne(maker);
  const over = new AbortController();
  let isReading = true;
  async function* endless() {
    try {
      for (let chunks = 0; ; chunks += 1) {
        if (chunks === 3) over.abort();
        yield photo;
      }
    } finally {
      isReading = false;
    }
  }
  const image = { bytes: 2 ** 40, body: endless() };
  await assert.rejects(maker.make(image, UP_TO, over.signal), { name: 'AbortError' });
  await eventually('the process is gone', async () => (maker.pids.length === 0 ? true : undefined));
  await eventually('the body is let go', async () => (isReading ? undefined : true));
  await assert.rejects(maker.make(imageOf(photo), UP_TO, over.signal), { name: 'AbortError' });
  assert.deepEqual(maker.pids, []);
});

test('a body that fails is what the caller is told', async (t) => {
  const maker = openMaker(t);
  const failing = imageOf(photo, () => {
    throw new Error('S3 went away');
  });
  await assert.rejects(maker.make(failing, UP_TO, NEVER), /S3 went away/);
  assert.equal((await maker.make(imageOf(photo), UP_TO, NEVER)).width, 900);
});

test('without work the process ends, and the next image has a new one', async (t) => {
  const maker = openMaker(t, { idleMs: 1 });
  for (let times = 0; times < 2; times += 1) {
    assert.equal((await maker.make(imageOf(photo), UP_TO, NEVER)).width, 900);
    await eventually('the process is gone', async () => (maker.pids.length === 0 ? true : undefined));
  }
});

test('closing ends all processes, also one that works', async (t) => {
  const maker = openMaker(t);
  await pauseOne(maker);
  const failed = assert.rejects(maker.make(imageOf(photo), UP_TO, NEVER), { end: 'closed' });
  await maker.close();
  assert.deepEqual(maker.pids, []);
  await failed;
  await assert.rejects(maker.make(imageOf(photo), UP_TO, NEVER), /closing/);
});

test('the process knows no secrets, and ends with its parent, however that ends', {
  skip: process.platform !== 'linux',
}, async (t) => {
  const script = `
    const { ThumbnailMaker } = await import(${JSON.stringify(MAKER_MODULE)});
    const maker = new ThumbnailMaker();
    const image = Buffer.from('${photo.toString('base64')}', 'base64');
    const makeOne = async () => {
      await maker.make({ bytes: image.length, body: [image] }, 2 ** 26, new AbortController().signal);
      console.log(maker.pids[0]);
    };
    process.stdin.on('data', makeOne);
    await makeOne();`;
  const parent = spawn(process.execPath, ['--input-type=module', '--eval', script], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, AWS_SECRET_ACCESS_KEY: 'hunter2' },
  });
  t.after(() => parent.kill('SIGKILL'));
  const [said] = await once(parent.stdout.setEncoding('utf8'), 'data');
  const pid = Number(said);
  assert.ok(pid > 0);
  assert.doesNotMatch(readFileSync(`/proc/${pid}/environ`, 'utf8'), /hunter2/);
  // As a terminal does it: both get the signal, and the parent decides.
  process.kill(pid, 'SIGINT');
  process.kill(pid, 'SIGTERM');
  parent.stdin.write('again');
  const [saidAgain] = await once(parent.stdout, 'data');
  assert.equal(Number(saidAgain), pid);
  parent.kill('SIGKILL');
  await eventually('the process is gone', async () => (isRunning(pid) ? undefined : true));
});

/** Where nobody collects orphans, one that has ended stays as a zombie. */
function isRunning(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) [ZX]/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

test('the server itself never loads the decoder', async (t) => {
  const script = `
    await import(${JSON.stringify(APP_MODULE)});
    console.log(JSON.stringify(process.report.getReport().sharedObjects));`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  let said = '';
  for await (const chunk of child.stdout.setEncoding('utf8')) said += chunk;
  const loaded: string[] = JSON.parse(said);
  assert.ok(loaded.length > 0);
  assert.deepEqual(
    loaded.filter((path) => /sharp|vips/.test(path)),
    [],
  );
});
