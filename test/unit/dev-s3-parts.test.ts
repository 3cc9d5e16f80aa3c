/** The small pieces of dev-s3: keys, CORS, XML, targets, ranges, fault rules. */
import assert from 'node:assert/strict';
import { readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { parseRange } from '../../src/dev-s3/byte-range.ts';
import { corsHeaders, readCorsXml } from '../../src/dev-s3/cors.ts';
import { loadOrCreateCredentials } from '../../src/dev-s3/credentials.ts';
import { Faults } from '../../src/dev-s3/faults.ts';
import { operationOf } from '../../src/dev-s3/operation.ts';
import { parseTarget } from '../../src/dev-s3/request-target.ts';
import { childText, readXml, writeXml } from '../../src/dev-s3/xml.ts';
import { StartError } from '../../src/errors.ts';
import { temporaryFolder } from '../support/dev-s3.ts';

test('the keys are made once, at random, for their owner alone', async (t) => {
  const folder = join(await temporaryFolder(t), 'not', 'yet', 'there');
  const first = loadOrCreateCredentials(folder);
  assert.deepEqual(loadOrCreateCredentials(folder), first);
  assert.notDeepEqual(loadOrCreateCredentials(await temporaryFolder(t)), first);
  assert.match(first.accessKeyId, /^[A-Z2-7]{20}$/);
  assert.equal(first.secretAccessKey.length, 40);
  const files = readdirSync(folder);
  assert.deepEqual(files, ['credentials.json']); // nothing temporary is left
  assert.equal(statSync(join(folder, 'credentials.json')).mode & 0o777, 0o600);
});

test('a file that does not hold the keys any more is not replaced', async (t) => {
  const folder = await temporaryFolder(t);
  writeFileSync(join(folder, 'credentials.json'), '{"accessKeyId":""}');
  assert.throws(() => loadOrCreateCredentials(folder), StartError);
  assert.throws(() => loadOrCreateCredentials('/dev/null/s3'), StartError);
});

test('XML that is written is read as it was, whatever the text', () => {
  const text = fc
    .string({ unit: 'grapheme' })
    .filter((it) => !/[\ud800-\udfff]/.test(it.replace(/[\ud800-\udbff][\udc00-\udfff]/g, '')));
  fc.assert(
    fc.property(text, (value) => {
      assert.equal(childText(readXml(writeXml('Root', { Key: value, Other: [1, 2] })), 'Key'), value);
    }),
  );
});

test('what is not well formed is MalformedXML, and nothing worse', () => {
  for (const text of [
    '',
    'text',
    '<a>',
    '<a></b>',
    '<a/><b/>',
    '<a>&#xffffffff;</a>',
    '<a'.repeat(50),
    '<a>'.repeat(50),
  ]) {
    assert.throws(() => readXml(text), { code: 'MalformedXML' }, text.slice(0, 20));
  }
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom('<', '>', '/', '&', ';', '#', 'x', '!', '-', '[', ']', 'a', ' ') }),
      (text) => {
        try {
          readXml(text);
        } catch (error) {
          assert.equal((error as { code?: string }).code, 'MalformedXML');
        }
      },
    ),
  );
});

test('a key is what the path says, dots, slashes and all', () => {
  const keys: [string, string | null][] = [
    ['/b/a/../c', 'a/../c'],
    ['/b//x', '/x'],
    ['/b/a%2Fb', 'a/b'],
    ['/b/a+b', 'a+b'],
    ['/b/%E6%BC%A2?x-id=GetObject', '漢'],
    ['/b/', null],
    ['/b', null],
  ];
  for (const [path, key] of keys) assert.equal(parseTarget(path).key, key, path);
  assert.throws(() => parseTarget('/b/%ff'), { code: 'InvalidURI' });
  assert.throws(() => parseTarget('http://b/k'), { code: 'InvalidURI' });
  assert.throws(() => parseTarget(`/b/${encodeURIComponent('ü'.repeat(513))}`), { code: 'KeyTooLongError' });
});

test('an operation that is not there is never taken for another', () => {
  const operation = (method: string, path: string, headers = {}) => operationOf(method, parseTarget(path), headers);
  assert.equal(operation('PUT', '/b/k?x-id=PutObject'), 'PutObject');
  assert.equal(operation('PUT', '/b/k', { 'x-amz-copy-source': '/a/k' }), 'CopyObject');
  assert.equal(operation('PUT', '/b/k?partNumber=1&uploadId=u', { 'x-amz-copy-source': '/a/k' }), 'UploadPartCopy');
  assert.equal(operation('GET', '/b/k?partNumber=1'), 'GetObject');
  for (const path of ['/b/k?acl', '/b/k?tagging', '/b/k?retention', '/b?policy', '/b/k?acl&uploadId=u']) {
    assert.throws(() => operation('PUT', path), { code: 'NotImplemented' }, path);
  }
  assert.throws(() => operation('PATCH', '/b/k'), { code: 'MethodNotAllowed' });
});

test('a range is within the object, or it is refused', () => {
  fc.assert(
    fc.property(fc.nat(2_000), fc.option(fc.nat(2_500)), fc.option(fc.nat(2_500)), (bytes, from, to) => {
      try {
        const range = parseRange(`bytes=${from ?? ''}-${to ?? ''}`, bytes);
        if (range === null) return;
        assert.ok(range.first >= 0 && range.first <= range.last && range.last < bytes);
        if (from !== null) assert.equal(range.first, from);
        else assert.equal(range.last - range.first + 1, Math.min(to ?? 0, bytes));
      } catch (error) {
        assert.equal((error as { code?: string }).code, 'InvalidRange');
        assert.ok(from === null ? to === 0 || bytes === 0 : from >= bytes);
      }
    }),
  );
});

test('CORS rules allow what one of them allows as a whole', () => {
  const rules = readCorsXml(
    `<CORSConfiguration><CORSRule><AllowedOrigin>http://*.a</AllowedOrigin><AllowedMethod>GET</AllowedMethod></CORSRule>
     <CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>PUT</AllowedMethod><AllowedHeader>X-*</AllowedHeader>
     <ExposeHeader>ETag</ExposeHeader></CORSRule></CORSConfiguration>`,
  );
  const origin = 'http://b.a';
  assert.equal(corsHeaders(rules, { origin, method: 'GET', headers: [] })?.['access-control-allow-origin'], origin);
  assert.equal(corsHeaders(rules, { origin, method: 'GET', headers: ['x-a'] }), null); // that is in the other rule
  const put = corsHeaders(rules, { origin: 'null', method: 'PUT', headers: ['x-a'] });
  assert.equal(put?.['access-control-allow-origin'], '*');
  assert.equal(put?.['access-control-expose-headers'], 'ETag');
  assert.equal(corsHeaders(rules, { origin, method: 'DELETE', headers: [] }), null);
  const rule = (inner: string) => readCorsXml(`<CORSConfiguration><CORSRule>${inner}</CORSRule></CORSConfiguration>`);
  assert.throws(() => rule('<AllowedMethod>GET</AllowedMethod>'), { code: 'MalformedXML' });
  assert.throws(() => rule('<AllowedOrigin>*</AllowedOrigin><AllowedMethod>PATCH</AllowedMethod>'), {
    code: 'InvalidRequest',
  });
});

test('fault rules: the first that fits and is not used up decides', () => {
  const faults = new Faults(
    () => 0,
    () => {},
  );
  faults.add({ operation: 'PutObject', skip: 1, times: 1, action: { kind: 'drop-reply' } });
  faults.add({ operation: '*', keyPart: 'b', action: { kind: 'hang', when: 'start' } });
  const kinds = ['a', 'a', 'b', 'a'].map((key) => faults.take('PutObject', key)?.kind ?? null);
  assert.deepEqual(kinds, [null, 'drop-reply', 'hang', null]);
  assert.equal(faults.take('Preflight', 'b'), null);
  assert.deepEqual(faults.counts(), { PutObject: 4, Preflight: 1 });
});

test('a rule with a probability hits the same requests for the same seed', () => {
  const hits = (seed: number) => {
    const faults = new Faults(
      () => 0,
      () => {},
    );
    faults.add({ operation: '*', probability: 0.3, seed, action: { kind: 'drop-reply' } });
    return Array.from({ length: 1_000 }, () => faults.take('PutObject', '') !== null);
  };
  assert.deepEqual(hits(7), hits(7));
  assert.notDeepEqual(hits(7), hits(8));
  const count = hits(7).filter(Boolean).length;
  assert.ok(count > 240 && count < 360, `${count} of 1,000`);
});

test('an outage ends by itself when its time is over', () => {
  let nowMs = 1_000;
  let cuts = 0;
  const faults = new Faults(
    () => nowMs,
    () => cuts++,
  );
  faults.startOutage('busy', 500);
  assert.equal(faults.outage(), 'busy');
  nowMs = 1_500;
  assert.equal(faults.outage(), null);
  faults.startOutage('cut');
  assert.equal(cuts, 1);
  nowMs = Number.MAX_SAFE_INTEGER;
  assert.equal(faults.outage(), 'cut');
  faults.clear();
  assert.equal(faults.outage(), null);
});
