import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Readable } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { Downloads } from '../../src/http/downloads.ts';
import type { DescribedFile, FileJson } from '../../src/http/file-json.ts';
import { type FileRoutesParts, fileRoutes } from '../../src/http/file-routes.ts';
import type { ObjectStorage, OpenedObject } from '../../src/s3/object-storage.ts';
import { eventually } from '../support/eventually.ts';
import { serveApp } from '../support/serve-app.ts';

const ID = '0f8fad5b-d9cb-469f-a165-70867728950e';
const CONTENT = Buffer.from('0123456789');

const photo: DescribedFile = {
  fileId: ID,
  objectKey: 'uploads/public/ä b',
  bytes: CONTENT.length,
  declaredType: 'image/png',
  detectedType: 'image/jpeg',
  fileName: 'Ferien ☀.jpg',
  width: 4000,
  height: 3000,
  problem: null,
  createdAt: new Date('2026-01-02T03:04:05Z'),
  variants: [
    { size: 128, objectKey: 'uploads/public/ä b_thumb_128' },
    { size: 512, objectKey: 'uploads/public/ä b_thumb_512' },
  ],
};

type Wishes = Partial<FileRoutesParts> & {
  storage?: Pick<ObjectStorage, 'getObject' | 'headObject'>;
  maxDownloads?: number;
};

/** One file in a bucket of one object, with what a test wants to be different. */
function serveFile(t: TestContext, file: Partial<DescribedFile> = {}, wishes: Wishes = {}) {
  const served = { ...photo, ...file };
  const { storage, maxDownloads, ...parts } = wishes;
  const bucket: Wishes['storage'] = {
    headObject: async () => stored(CONTENT),
    getObject: async (_key, range) => opened(CONTENT, range),
  };
  const files: FileRoutesParts = {
    files: {
      listFiles: async () => ({ files: [served], next: 'more', total: null }),
      findFile: async (fileId) => (fileId === ID ? served : null),
    },
    downloads: new Downloads(storage ?? bucket, maxDownloads ?? 100, 60_000),
    deleteFile: async () => true,
    publicUrlBase: null,
    ...parts,
  };
  return serveApp(t, { files: fileRoutes(files) });
}

function stored(content: Buffer) {
  return {
    bytes: content.length,
    etag: '"x"',
    contentType: null,
    contentDisposition: null,
    lastModified: null,
    metadata: {},
  };
}

function opened(content: Buffer, range?: { first: number; last?: number }): OpenedObject {
  const part = range === undefined ? content : content.subarray(range.first, (range.last ?? Infinity) + 1);
  return { ...stored(content), contentRange: null, body: Readable.from([part], { objectMode: false }) };
}

function content(url: string, headers: Record<string, string> = {}, method = 'GET') {
  return fetch(`${url}/api/files/${ID}/content`, { headers, method });
}

async function codeOf(response: Response): Promise<string> {
  return ((await response.json()) as { code: string }).code;
}

test('a file is told with the addresses of its content and thumbnails', async (t) => {
  const { url } = await serveFile(t);
  const response = await fetch(`${url}/api/files/${ID}`);
  assert.deepEqual(await response.json(), {
    id: ID,
    uploadId: ID,
    key: 'uploads/public/ä b',
    name: 'Ferien ☀.jpg',
    size: 10,
    contentType: 'image/png',
    detectedType: 'image/jpeg',
    width: 4000,
    height: 3000,
    createdAt: '2026-01-02T03:04:05.000Z',
    url: `/api/files/${ID}/content`,
    thumbs: { '128': `/api/files/${ID}/thumb/128`, '512': `/api/files/${ID}/thumb/512` },
    problem: null,
  });
});

test('with a CDN in front of the bucket, addresses are its own', async (t) => {
  const { url } = await serveFile(t, {}, { publicUrlBase: 'https://cdn.example' });
  const file = (await (await fetch(`${url}/api/files/${ID}`)).json()) as FileJson;
  assert.equal(file.url, 'https://cdn.example/uploads/public/%C3%A4%20b');
  assert.equal(file.thumbs?.['128'], 'https://cdn.example/uploads/public/%C3%A4%20b_thumb_128');
});

test('a file without thumbnails says so', async (t) => {
  const { url } = await serveFile(t, { variants: [], problem: 'the image is damaged' });
  const file = (await (await fetch(`${url}/api/files/${ID}`)).json()) as FileJson;
  assert.equal(file.thumbs, null);
  assert.equal(file.problem, 'the image is damaged');
});

test('the list passes on what is asked, and refuses what they cannot be', async (t) => {
  const asked: object[] = [];
  const { url } = await serveFile(
    t,
    {},
    {
      files: {
        listFiles: async (page) => {
          asked.push(page);
          return { files: [], next: null, total: { count: 0, atLeast: false } };
        },
        findFile: async () => null,
      },
    },
  );
  const first = await (await fetch(`${url}/api/files`)).json();
  assert.deepEqual(first, { files: [], next: null, total: { count: 0, atLeast: false } });
  await fetch(`${url}/api/files?limit=7&cursor=abc`);
  await fetch(`${url}/api/files?sort=size&q=${encodeURIComponent(' Ho\u0308he  2026 ')}&color=blue`);
  assert.deepEqual(asked, [
    { limit: 50, cursor: null, sort: 'newest', words: [] },
    { limit: 7, cursor: 'abc', sort: 'newest', words: [] },
    { limit: 50, cursor: null, sort: 'size', words: ['H\u00f6he', '2026'] },
  ]);
  const wrong = ['limit=0', 'limit=201', 'limit=x', 'limit=1&limit=2', 'cursor=a&cursor=b', 'sort=colour', 'q=a&q=b'];
  for (const query of [...wrong, 'q=%00', `q=${'x'.repeat(201)}`]) {
    const response = await fetch(`${url}/api/files?${query}`);
    assert.equal(response.status, 400, query);
    assert.equal(await codeOf(response), 'invalid_query');
  }
});

for (const id of ['1', `${ID}x`, ID.toUpperCase(), 'a1b2c3d4-0000-4000-8000-000000000000', `${ID}.info`]) {
  test(`there is no file ${id}`, async (t) => {
    const { url } = await serveFile(t);
    for (const path of ['', '/content', '/thumb/128']) {
      const response = await fetch(`${url}/api/files/${id}${path}`);
      assert.equal(response.status, 404);
      assert.equal(await codeOf(response), 'file_not_found');
    }
  });
}

test('a deletion is answered once with 204, then with 404', async (t) => {
  let there = true;
  const { url } = await serveFile(
    t,
    {},
    {
      deleteFile: async () => {
        const was = there;
        there = false;
        return was;
      },
    },
  );
  const remove = () => fetch(`${url}/api/files/${ID}`, { method: 'DELETE' });
  assert.equal((await remove()).status, 204);
  assert.equal((await remove()).status, 404);
});

test('content comes whole, with a name, and not to be guessed about', async (t) => {
  const { url } = await serveFile(t);
  const response = await content(url);
  assert.equal(response.status, 200);
  assert.equal(await response.text(), '0123456789');
  const { headers } = response;
  assert.equal(headers.get('content-type'), 'image/jpeg');
  assert.equal(headers.get('content-length'), '10');
  assert.equal(headers.get('accept-ranges'), 'bytes');
  assert.match(headers.get('content-disposition') ?? '', /^inline; .*filename\*=UTF-8''Ferien%20%E2%98%80\.jpg/);
  assert.equal(headers.get('x-content-type-options'), 'nosniff');
});

test('HEAD tells the same without the bytes', async (t) => {
  const { url } = await serveFile(t);
  const response = await content(url, {}, 'HEAD');
  assert.equal(response.status, 200);
  assert.equal(response.headers.get('content-length'), '10');
});

const ranges: [range: string, status: number, body: string, contentRange: string | null][] = [
  ['bytes=0-0', 206, '0', 'bytes 0-0/10'],
  ['bytes=3-', 206, '3456789', 'bytes 3-9/10'],
  ['bytes=8-99', 206, '89', 'bytes 8-9/10'],
  ['bytes=-4', 206, '6789', 'bytes 6-9/10'],
  ['bytes=0-1,4-5', 200, '0123456789', null],
  ['bytes=b-a', 200, '0123456789', null],
  ['lines=0-1', 200, '0123456789', null],
];
for (const [range, status, body, contentRange] of ranges) {
  test(`Range: ${range} gives ${status} ${body}`, async (t) => {
    const { url } = await serveFile(t);
    const response = await content(url, { Range: range });
    assert.equal(response.status, status);
    assert.equal(await response.text(), body);
    assert.equal(response.headers.get('content-range'), contentRange);
    assert.equal(response.headers.get('content-length'), String(body.length));
  });
}

test('a range past the end is 416 and says how long the file is', async (t) => {
  const { url } = await serveFile(t);
  const response = await content(url, { Range: 'bytes=10-' });
  assert.equal(response.status, 416);
  assert.equal(response.headers.get('content-range'), 'bytes */10');
  assert.equal(response.headers.get('content-disposition'), null);
  assert.equal(await codeOf(response), 'range_not_satisfiable');
});

test('who has the content gets 304 without a look at the storage', async (t) => {
  const unasked = () => assert.fail('asked the storage');
  const { url } = await serveFile(t, {}, { storage: { headObject: unasked, getObject: unasked } });
  const response = await content(url, { 'If-None-Match': `"${ID}"` });
  assert.equal(response.status, 304);
});

test('a range of other content than the client has is answered with the whole', async (t) => {
  const { url } = await serveFile(t);
  assert.equal((await content(url, { Range: 'bytes=0-1', 'If-Range': `"${ID}"` })).status, 206);
  assert.equal((await content(url, { Range: 'bytes=0-1', 'If-Range': '"other"' })).status, 200);
  assert.equal((await content(url, { Range: 'bytes=0-1', 'If-Range': `W/"${ID}"` })).status, 200);
});

const served: [declared: string | null, detected: string | null, type: string, disposition: string][] = [
  ['text/html', null, 'application/octet-stream', 'attachment'],
  ['image/svg+xml', null, 'application/octet-stream', 'attachment'],
  ['image/png', 'application/xml', 'application/octet-stream', 'attachment'],
  ['text/javascript', null, 'application/octet-stream', 'attachment'],
  ['application/zip', null, 'application/zip', 'attachment'],
  ['text/plain; charset=latin1', null, 'text/plain; charset=utf-8', 'inline'],
  ['application/pdf', 'application/pdf', 'application/pdf', 'inline'],
  ['text/html', 'video/mp4', 'video/mp4', 'inline'],
  [null, null, 'application/octet-stream', 'attachment'],
];
for (const [declaredType, detectedType, type, disposition] of served) {
  test(`declared ${declaredType}, detected ${detectedType}: served as ${disposition} ${type}`, async (t) => {
    const { url } = await serveFile(t, { declaredType, detectedType });
    const { headers } = await content(url);
    assert.equal(headers.get('content-type'), type);
    assert.equal(headers.get('content-disposition')?.split(';')[0], disposition);
    assert.equal(headers.get('content-security-policy')?.includes('sandbox') ?? false, disposition === 'attachment');
  });
}

test('a record without its object is 404, without the headers of a file', async (t) => {
  const nothing = async () => null;
  const { url } = await serveFile(t, {}, { storage: { headObject: nothing, getObject: nothing } });
  const response = await content(url, { Range: 'bytes=0-1' });
  assert.equal(response.status, 404);
  assert.equal(await codeOf(response), 'content_missing');
  for (const name of ['content-range', 'content-disposition', 'etag']) assert.equal(response.headers.get(name), null);
});

test('when the client leaves, the read from the storage ends, and nothing is logged as an error', async (t) => {
  const endless = new Readable({ read() {} });
  endless.push('01234');
  const ended = new Promise((resolve) => endless.once('close', resolve));
  endless.on('error', () => {}); // that its reader is gone
  const { url, logs } = await serveFile(
    t,
    {},
    {
      storage: { headObject: async () => null, getObject: async () => ({ ...opened(CONTENT), body: endless }) },
    },
  );
  const leaving = new AbortController();
  const response = await fetch(`${url}/api/files/${ID}/content`, { signal: leaving.signal });
  assert.equal(response.status, 200);
  leaving.abort();
  await ended;
  assert.deepEqual(
    logs.filter((line) => line.level !== 'info' && line.level !== 'debug'),
    [],
  );
});

test('a client that leaves before the storage has answered takes its request along', async (t) => {
  const asked = Promise.withResolvers<AbortSignal>();
  const { url } = await serveFile(
    t,
    {},
    {
      storage: {
        headObject: async () => null,
        getObject: (_key, _range, options) => {
          const signal = options?.signal as AbortSignal;
          asked.resolve(signal);
          return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
        },
      },
    },
  );
  const leaving = new AbortController();
  const call = fetch(`${url}/api/files/${ID}/content`, { signal: leaving.signal });
  const signal = await asked.promise;
  leaving.abort();
  await assert.rejects(call);
  if (!signal.aborted) await once(signal, 'abort');
});

test('with as many downloads open as there may be, the next is told to wait, until one of them leaves', async (t) => {
  const asked: AbortSignal[] = [];
  const { url } = await serveFile(
    t,
    {},
    {
      maxDownloads: 2,
      storage: {
        headObject: async () => stored(CONTENT),
        // The storage hangs: not even the headers of an answer are there.
        getObject: (_key, _range, options) => {
          const signal = options?.signal as AbortSignal;
          asked.push(signal);
          return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
        },
      },
    },
  );
  const leaving = [0, 1].map(() => new AbortController());
  const calls = leaving.map(({ signal }) => fetch(`${url}/api/files/${ID}/content`, { signal }).catch(() => null));
  await eventually('two reads', async () => (asked.length === 2 ? true : undefined));
  for (const path of ['content', 'thumb/128']) {
    const response = await fetch(`${url}/api/files/${ID}/${path}`);
    assert.equal(response.status, 503);
    assert.equal(response.headers.get('retry-after'), '5');
    assert.equal(response.headers.get('cache-control'), 'no-store');
    assert.equal(response.headers.get('content-disposition'), null);
    assert.equal(await codeOf(response), 'downloads_busy');
  }
  assert.equal((await content(url, {}, 'HEAD')).status, 200);
  assert.equal((await content(url, { 'If-None-Match': `"${ID}"` })).status, 304);
  assert.equal(asked.length, 2);
  leaving[0]?.abort();
  await calls[0];
  await eventually('the read of a third', async () => {
    const last = new AbortController();
    t.after(() => last.abort());
    void fetch(`${url}/api/files/${ID}/content`, { signal: last.signal }).catch(() => {});
    return asked.length > 2 ? true : undefined;
  });
  leaving[1]?.abort();
});

test('a file that its client has read, or that is not there, takes no place any more', async (t) => {
  let isThere = false;
  const storage = {
    headObject: async () => null,
    getObject: async () => (isThere ? opened(CONTENT) : null),
  };
  const { url } = await serveFile(t, {}, { maxDownloads: 1, storage });
  for (let n = 0; n < 3; n += 1) assert.equal((await content(url)).status, 404);
  isThere = true;
  for (let n = 0; n < 3; n += 1) assert.equal(await (await content(url)).text(), '0123456789');
});

test('when the storage breaks off, the client cannot take half a file for the whole', async (t) => {
  const broken = Readable.from(
    (async function* () {
      yield Buffer.from('01234');
      throw new Error('ECONNRESET');
    })(),
  );
  const { url, logs } = await serveFile(
    t,
    {},
    {
      storage: { headObject: async () => null, getObject: async () => ({ ...opened(CONTENT), body: broken }) },
    },
  );
  const response = await content(url);
  await assert.rejects(response.text());
  assert.equal(logs.filter((line) => line.level === 'warn').length, 1);
});

test('thumbnails are images for ever; a size that there is not is 404', async (t) => {
  const { url } = await serveFile(t);
  const response = await fetch(`${url}/api/files/${ID}/thumb/128`);
  assert.equal(response.status, 200);
  assert.equal(response.headers.get('content-type'), 'image/webp');
  assert.match(response.headers.get('cache-control') ?? '', /immutable/);
  for (const size of ['256', '0128', '128.5', 'x']) {
    const missing = await fetch(`${url}/api/files/${ID}/thumb/${size}`);
    assert.equal(missing.status, 404);
    assert.equal(await codeOf(missing), 'thumbnail_not_found');
    assert.equal(missing.headers.get('cache-control'), 'no-store');
  }
});
