/** The tus protocol on the wire: what each request may say, and what comes back. Core 1.0 and the announced extensions. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Exchange } from '../support/http-exchange.ts';
import { exchange } from '../support/http-exchange.ts';
import { type ServerProcess, startServerProcess } from '../support/server-process.ts';
import { createUpload, head, OFFSET_BODY, patch, post, TUS, terminate } from '../support/tus-client.ts';

const MAX_BYTES = 20_000_000;
const NEVER = '00000000-0000-4000-8000-000000000000';
const HELLO = Buffer.from('hello tus');

/** The server of all tests here, and the address of its endpoint. */
let server: ServerProcess;
let files = '';

test('the tus protocol over HTTP', async (t) => {
  server = await startServerProcess(t, {
    env: { LOG_LEVEL: 'warn', MAX_UPLOAD_BYTES: String(MAX_BYTES), CORS_ORIGINS: '*' },
  });
  files = `${server.url}/files`;

  await t.test('OPTIONS says what the server can do, without a version being asked for', async () => {
    const answer = await exchange(files, { method: 'OPTIONS' });
    assert.equal(answer.status, 204);
    assert.equal(answer.headers['tus-resumable'], '1.0.0');
    assert.equal(answer.headers['tus-version'], '1.0.0');
    assert.equal(answer.headers['tus-max-size'], String(MAX_BYTES));
    const announced = String(answer.headers['tus-extension']).split(',').toSorted();
    // Each of these has tests in this file; what is announced beyond them would be untested.
    assert.deepEqual(announced, [
      'creation',
      'creation-defer-length',
      'creation-with-upload',
      'expiration',
      'termination',
    ]);
  });

  await t.test(
    'core: bytes are appended at the offset, HEAD tells it, and metadata comes back byte for byte',
    async () => {
      const metadata = 'filename d29ybGQudHh0,empty,filetype dGV4dC9wbGFpbg==';
      const created = await post(files, { 'Upload-Length': 9, 'Upload-Metadata': metadata });
      assert.equal(created.status, 201, String(created.body));
      assert.equal(created.headers['upload-offset'], undefined, 'no body, no offset');
      const url = String(created.headers.location);
      assert.match(url, new RegExp(`^${files}/[0-9a-f-]{36}$`));

      const fresh = await head(url);
      assert.deepEqual([fresh.status, fresh.headers['upload-offset'], fresh.headers['upload-length']], [200, '0', '9']);
      assert.equal(fresh.headers['upload-metadata'], metadata);
      assert.equal(fresh.headers['cache-control'], 'no-store');

      const first = await patch(url, 0, HELLO.subarray(0, 4));
      assert.deepEqual([first.status, first.headers['upload-offset'], first.body.length], [204, '4', 0]);
      assert.equal((await head(url)).headers['upload-offset'], '4');
      const last = await patch(url, 4, HELLO.subarray(4));
      assert.deepEqual([last.status, last.headers['upload-offset']], [204, '9']);
      const done = await head(url);
      assert.deepEqual([done.headers['upload-offset'], done.headers['upload-length']], ['9', '9']);
      assert.deepEqual((await exchange(url, { method: 'GET' })).body, HELLO);
    },
  );

  await t.test('another offset than the stored one is 409, and changes nothing', async () => {
    const url = await createUpload(files, 9);
    await patch(url, 0, HELLO.subarray(0, 4));
    for (const offset of [0, 3, 5, 9]) assert.equal((await patch(url, offset, HELLO.subarray(0, 4))).status, 409);
    assert.equal((await head(url)).headers['upload-offset'], '4');
  });

  await t.test('a PATCH of a finished upload: an empty one at its end is fine, bytes are not', async () => {
    const url = await createUpload(files, 9);
    await patch(url, 0, HELLO);
    assert.equal((await patch(url, 9, Buffer.alloc(0))).status, 204);
    assert.equal((await patch(url, 9, HELLO)).status, 413);
    assert.equal((await patch(url, 0, HELLO)).status, 409);
  });

  await t.test('another version, or none, is 412 with the versions that are spoken', async () => {
    const url = await createUpload(files, 9);
    const attempts = [
      exchange(files, { method: 'POST', headers: { 'Upload-Length': 9 } }),
      exchange(url, { method: 'HEAD', headers: { 'Tus-Resumable': '0.2.2' } }),
      exchange(url, { method: 'PATCH', headers: { ...OFFSET_BODY, 'Upload-Offset': 0 }, body: HELLO }),
      exchange(url, { method: 'DELETE', headers: { 'Tus-Resumable': '2.0.0' } }),
    ];
    for (const answer of await Promise.all(attempts)) {
      assert.deepEqual([answer.status, answer.headers['tus-version']], [412, '1.0.0']);
    }
    assert.equal((await head(url)).headers['upload-offset'], '0');
  });

  await t.test('a body of another type is 415', async () => {
    const url = await createUpload(files, 9);
    assert.equal((await patch(url, 0, HELLO, { 'Content-Type': 'application/octet-stream' })).status, 415);
    const none = await exchange(url, { method: 'PATCH', headers: { ...TUS, 'Upload-Offset': 0 }, body: HELLO });
    assert.equal(none.status, 415);
    assert.equal((await head(url)).headers['upload-offset'], '0');
  });

  await t.test('malformed numbers are 400, on POST and on PATCH', async () => {
    const numbers = ['-1', '1.5', '1e3', '0x10', 'abc', ' ', '99999999999999999999', '1,2', '+4'];
    for (const value of numbers) {
      assert.equal((await post(files, { 'Upload-Length': value })).status, 400, `Upload-Length: ${value}`);
    }
    const url = await createUpload(files, 9);
    for (const value of numbers) {
      assert.equal((await patch(url, value, HELLO)).status, 400, `Upload-Offset: ${value}`);
      assert.equal((await patch(url, 0, HELLO, { 'Upload-Length': value })).status, 400, `declared ${value}`);
    }
    const missing = await exchange(url, { method: 'PATCH', headers: { ...TUS, ...OFFSET_BODY }, body: HELLO });
    assert.equal(missing.status, 400);
    assert.equal((await head(url)).headers['upload-offset'], '0');
  });

  await t.test('a length is needed, or the word that it comes later, and not both', async () => {
    assert.equal((await post(files, {})).status, 400);
    assert.equal((await post(files, { 'Upload-Length': 9, 'Upload-Defer-Length': 1 })).status, 400);
    for (const value of ['0', '2', 'true', '']) {
      assert.equal((await post(files, { 'Upload-Defer-Length': value })).status, 400, `Upload-Defer-Length: ${value}`);
    }
  });

  await t.test('metadata that is not what the protocol says, or is above 8 KiB, is 400', async () => {
    const wrong = ['name !!!', 'name d29ybGQ=,name d29ybGQ=', 'a b c', 'name d29yb', ','];
    for (const metadata of wrong) {
      const answer = await post(files, {
        'Upload-Length': 9,
        'Upload-Metadata': metadata,
      });
      assert.equal(answer.status, 400, metadata);
    }
    const ofBytes = (bytes: number) => `note ${Buffer.alloc(bytes, 'x').toString('base64')}`;
    assert.equal((await post(files, { 'Upload-Length': 9, 'Upload-Metadata': ofBytes(8_300) })).status, 400);
    assert.equal((await post(files, { 'Upload-Length': 9, 'Upload-Metadata': ofBytes(30_000) })).status, 400);
    assert.equal((await post(files, { 'Upload-Length': 9, 'Upload-Metadata': ofBytes(8_000) })).status, 201);
  });

  await t.test('more than Tus-Max-Size is 413, told or sent', async () => {
    assert.equal((await post(files, { 'Upload-Length': MAX_BYTES + 1 })).status, 413);
    assert.equal((await post(files, { 'Upload-Length': MAX_BYTES })).status, 201);
    const deferred = await post(files, { 'Upload-Defer-Length': 1 });
    const url = String(deferred.headers.location);
    assert.equal((await patch(url, 0, HELLO, { 'Upload-Length': MAX_BYTES + 1 })).status, 413);
    assert.equal((await patch(url, 0, Buffer.alloc(MAX_BYTES + 1))).status, 413);
  });

  await t.test('more bytes than the length are 413, and none of the request is kept', async () => {
    const url = await createUpload(files, 4);
    assert.equal((await patch(url, 0, HELLO)).status, 413);
    assert.equal((await head(url)).headers['upload-offset'], '0');
    assert.equal((await post(files, { 'Upload-Length': 4, ...OFFSET_BODY }, HELLO)).status, 413);
  });

  await t.test('creation-with-upload: the POST brings the first bytes, or all', async () => {
    const some = await post(files, { 'Upload-Length': 9, ...OFFSET_BODY }, HELLO.subarray(0, 4));
    assert.deepEqual([some.status, some.headers['upload-offset']], [201, '4']);
    const url = String(some.headers.location);
    assert.equal((await patch(url, 4, HELLO.subarray(4))).headers['upload-offset'], '9');
    assert.deepEqual((await exchange(url, { method: 'GET' })).body, HELLO);
    const all = await post(files, { 'Upload-Length': 9, ...OFFSET_BODY }, HELLO);
    assert.deepEqual([all.status, all.headers['upload-offset']], [201, '9']);
    assert.deepEqual((await exchange(String(all.headers.location), { method: 'GET' })).body, HELLO);
  });

  await t.test('creation-defer-length: the length comes with a later PATCH, once', async () => {
    const created = await post(files, { 'Upload-Defer-Length': 1 });
    const url = String(created.headers.location);
    const open = await head(url);
    assert.deepEqual([open.headers['upload-defer-length'], open.headers['upload-length']], ['1', undefined]);
    assert.equal((await patch(url, 0, HELLO)).headers['upload-offset'], '9');
    assert.equal((await head(url)).headers['upload-defer-length'], '1', 'nobody knows yet whether that was all');
    assert.equal((await patch(url, 9, Buffer.alloc(0), { 'Upload-Length': 5 })).status, 400, 'less than is stored');
    assert.equal((await patch(url, 9, HELLO, { 'Upload-Length': 18 })).headers['upload-offset'], '18');
    const done = await head(url);
    assert.deepEqual([done.headers['upload-length'], done.headers['upload-defer-length']], ['18', undefined]);
    assert.deepEqual((await exchange(url, { method: 'GET' })).body, Buffer.concat([HELLO, HELLO]));

    const other = String((await post(files, { 'Upload-Defer-Length': 1 })).headers.location);
    await patch(other, 0, HELLO, { 'Upload-Length': 30 });
    assert.equal((await patch(other, 9, HELLO, { 'Upload-Length': 31 })).status, 400, 'a length is told once');
  });

  await t.test('creation-defer-length: the length may be told when every byte is here already', async () => {
    const url = String((await post(files, { 'Upload-Defer-Length': 1 })).headers.location);
    await patch(url, 0, HELLO);
    const told = await patch(url, 9, Buffer.alloc(0), { 'Upload-Length': 9 });
    assert.deepEqual([told.status, told.headers['upload-offset']], [204, '9']);
    assert.deepEqual((await exchange(url, { method: 'GET' })).body, HELLO);
  });

  await t.test('an empty upload is finished by its creation', async () => {
    const created = await post(files, { 'Upload-Length': 0 });
    const url = String(created.headers.location);
    const done = await head(url);
    assert.deepEqual([done.status, done.headers['upload-offset'], done.headers['upload-length']], [200, '0', '0']);
    const content = await exchange(url, { method: 'GET' });
    assert.deepEqual([content.status, content.body.length], [200, 0]);
  });

  await t.test('expiration: open uploads say until when, in the form that HTTP has for dates', async () => {
    const created = await post(files, { 'Upload-Length': 9 });
    const url = String(created.headers.location);
    const part = await patch(url, 0, HELLO.subarray(0, 4));
    const looked = await head(url);
    for (const { headers } of [created, part, looked]) {
      const expires = String(headers['upload-expires']);
      assert.equal(new Date(expires).toUTCString(), expires);
      assert.ok(Date.parse(expires) > Date.now() + 23 * 3_600_000);
    }
    await patch(url, 4, HELLO.subarray(4));
    assert.equal((await head(url)).headers['upload-expires'], undefined, 'what is finished stays');
  });

  await t.test('termination: open, finished, twice, and what is gone stays gone', async () => {
    for (const sent of [0, 4, 9]) {
      const url = await createUpload(files, 9);
      if (sent > 0) await patch(url, 0, HELLO.subarray(0, sent));
      const ended = await terminate(url);
      assert.deepEqual([ended.status, ended.headers['tus-resumable']], [204, '1.0.0']);
      for (const again of [
        head(url),
        terminate(url),
        patch(url, sent, HELLO.subarray(sent)),
        exchange(url, { method: 'GET' }),
      ]) {
        assert.ok([404, 410].includes((await again).status), `after ${sent} bytes: ${(await again).status}`);
      }
    }
  });

  await t.test('X-HTTP-Method-Override: a POST that means PATCH, HEAD or DELETE', async () => {
    const url = await createUpload(files, 9);
    const override = (method: string, headers: Record<string, string>, body?: Buffer) =>
      post(url, { 'X-HTTP-Method-Override': method, ...headers }, body);
    const patched = await override('PATCH', { ...OFFSET_BODY, 'Upload-Offset': '0' }, HELLO.subarray(0, 4));
    assert.deepEqual([patched.status, patched.headers['upload-offset']], [204, '4']);
    assert.equal((await override('HEAD', {})).headers['upload-offset'], '4');
    assert.equal((await override('DELETE', {})).status, 204);
    assert.ok([404, 410].includes((await head(url)).status));
  });

  await t.test('X-HTTP-Method-Override: whatever the request’s own method is, it is ignored', async () => {
    const overridden = async (method: string, headers: Record<string, string>, body?: Buffer) => {
      const all = { ...TUS, ...headers };
      return exchange(await url, { method, headers: all, ...(body && { body }) });
    };
    let url = createUpload(files, 9);
    const append = { 'X-HTTP-Method-Override': 'PATCH', ...OFFSET_BODY };
    let offset = 0;
    for (const method of ['PUT', 'GET', 'DELETE', 'PATCH', 'OPTIONS', 'PROPFIND']) {
      const sent = HELLO.subarray(offset, offset + 1);
      const answer = await overridden(method, { ...append, 'Upload-Offset': String(offset) }, sent);
      offset += 1;
      assert.deepEqual([answer.status, answer.headers['upload-offset']], [204, String(offset)], method);
    }
    const asked = await overridden('PUT', { 'X-HTTP-Method-Override': 'head' });
    assert.deepEqual([asked.status, asked.headers['upload-offset']], [200, '6']);
    for (const value of ['PUT', 'TRACE', 'nonsense', '', 'PATCH, DELETE', 'POST']) {
      for (const method of ['DELETE', 'PATCH']) {
        const answer = await overridden(method, { 'X-HTTP-Method-Override': value });
        assert.equal(answer.status, 405, `${method} meaning ${JSON.stringify(value)}`);
      }
    }
    assert.equal((await head(await url)).headers['upload-offset'], '6');
    assert.equal((await overridden('GET', { 'X-HTTP-Method-Override': 'DELETE' })).status, 204);
    assert.equal((await head(await url)).status, 410);

    url = Promise.resolve(files);
    const created = await overridden('PUT', { 'X-HTTP-Method-Override': 'POST', 'Upload-Length': '9' });
    assert.equal(created.status, 201);
    // It is no creation, whatever the library makes of a POST.
    const options = await overridden('POST', { 'X-HTTP-Method-Override': 'OPTIONS', 'Upload-Length': '9' });
    assert.deepEqual([options.status, options.headers.location], [204, undefined]);
    assert.equal(options.headers['tus-version'], '1.0.0');
  });

  await t.test('a checksum that nobody would check is refused, and nothing that came with it is stored', async () => {
    const url = await createUpload(files, 9);
    const checksum = 'sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=';
    const trailer = { 'Transfer-Encoding': 'chunked', Trailer: 'X-Other, upload-checksum' };
    for (const headers of [{ 'Upload-Checksum': checksum }, { 'Upload-Checksum': '' }, trailer]) {
      const patched = await patch(url, 0, HELLO, headers);
      assert.equal(patched.status, 400);
      assert.match(String(patched.body), /^ERR_CHECKSUM_UNSUPPORTED: /);
      assert.equal((await post(files, { 'Upload-Length': 9, ...OFFSET_BODY, ...headers }, HELLO)).status, 400);
    }
    assert.equal((await head(url)).headers['upload-offset'], '0');
    assert.equal((await patch(url, 0, HELLO, { ...trailer, Trailer: 'X-Other' })).status, 204);
  });

  await t.test('concatenation is not announced, and asked for all the same it is 400', async () => {
    assert.equal((await post(files, { 'Upload-Length': 9, 'Upload-Concat': 'partial' })).status, 400);
    assert.equal((await post(files, { 'Upload-Concat': 'final;/files/a /files/b' })).status, 400);
  });

  await t.test('uploads that never were, and paths that name none, are 404', async () => {
    const real = new URL(await createUpload(files, 9)).pathname;
    const encoded = real.replace('-', '%2D');
    const paths = [
      `/files/${NEVER}`,
      '/files/..',
      `/files/../files/${NEVER}`,
      '/files/%2e%2e/api/files',
      `${real}%00`,
      `/files/%00`,
      `${real}/..`,
      `${real}/x`,
      `${real}.info`,
      encoded,
      real.toUpperCase().replace('/FILES', '/files'),
      '/files/%',
      '/files/%ff',
      '/files/a\\b',
      '/files//',
      `/files/${'x'.repeat(3_000)}`,
    ];
    for (const path of paths) {
      const url = rawUrl(path);
      for (const method of ['HEAD', 'PATCH', 'DELETE', 'GET']) {
        const body = method === 'PATCH' ? { body: HELLO } : {};
        const headers = { ...TUS, ...(method === 'PATCH' ? { ...OFFSET_BODY, 'Upload-Offset': 0 } : {}) };
        const answer = await exchange(url, { method, headers, ...body });
        assert.equal(answer.status, 404, `${method} ${path.slice(0, 80)}`);
      }
    }
  });

  await t.test('methods that the endpoint does not have are no failure of the server', async () => {
    const url = await createUpload(files, 9);
    for (const method of ['PUT', 'POST']) {
      const answer = await exchange(url, { method, headers: TUS });
      assert.deepEqual([answer.status, answer.headers.allow], [405, 'DELETE, GET, HEAD, OPTIONS, PATCH'], method);
    }
    assert.ok((await exchange(files, { method: 'GET' })).status < 500);
    assert.equal((await exchange(files, { method: 'PATCH', headers: { ...TUS, ...OFFSET_BODY } })).status, 404);
  });

  await t.test('every kind of answer has the same common headers', async () => {
    const url = await createUpload(files, 9);
    const answers: [string, Exchange][] = [
      ['POST', await post(files, { 'Upload-Length': 9 })],
      ['POST with bytes', await post(files, { 'Upload-Length': 9, ...OFFSET_BODY }, HELLO)],
      ['HEAD', await head(url)],
      ['OPTIONS', await exchange(files, { method: 'OPTIONS' })],
      ['400', await post(files, { 'Upload-Length': 'x' })],
      ['404', await head(`${files}/${NEVER}`)],
      ['404 of DELETE', await terminate(`${files}/${NEVER}`)],
      ['409', await patch(url, 5, HELLO)],
      ['412', await exchange(files, { method: 'POST' })],
      ['413', await post(files, { 'Upload-Length': MAX_BYTES + 1 })],
      ['415', await patch(url, 0, HELLO, { 'Content-Type': 'text/plain' })],
      ['PATCH', await patch(url, 0, HELLO.subarray(0, 4))],
      ['last PATCH', await patch(url, 4, HELLO.subarray(4))],
      ['DELETE', await terminate(url)],
    ];
    const exposed = String(answers[0]?.[1].headers['access-control-expose-headers']);
    for (const [name, { headers, status }] of answers) {
      assert.equal(headers['tus-resumable'], '1.0.0', name);
      assert.equal(headers['access-control-allow-origin'], '*', name);
      assert.deepEqual(sortedList(headers['access-control-expose-headers']), sortedList(exposed), name);
      assert.match(String(headers['x-request-id']), /^[\w.-]{8,}$/, name);
      assert.equal(headers['x-powered-by'], undefined, name);
      if (status >= 400 || name === 'HEAD' || name === 'DELETE')
        assert.equal(headers['cache-control'], 'no-store', name);
    }
    const ids = answers.map(([, { headers }]) => headers['x-request-id']);
    assert.equal(new Set(ids).size, ids.length, 'each answer has an id of its own');
  });

  await t.test('errors are plain text: a code and a sentence', async () => {
    const answer = await post(files, { 'Upload-Length': 'x' });
    assert.match(String(answer.headers['content-type']), /^text\/plain/);
    assert.match(String(answer.body), /^ERR_INVALID_UPLOAD_LENGTH: .+\n$/);
  });

  assert.deepEqual(server.loggedErrors(), [], 'bad requests are no errors of the server');
});

/** As it goes over the wire: `new URL` would tidy up what these tests are about. */
function rawUrl(path: string): string {
  return `${server.url}${path}`;
}

function sortedList(header: string | string[] | undefined): string[] {
  return String(header)
    .split(',')
    .map((name) => name.trim().toLowerCase())
    .toSorted();
}
