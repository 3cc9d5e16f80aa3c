import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  contentDisposition,
  declaredTypeOf,
  fileNameOf,
  InvalidMetadataError,
  isSafeInline,
  MAX_METADATA_BYTES,
  metadataOfObject,
  objectHeaders,
  parseStoredMetadata,
  parseUploadMetadata,
} from '../../src/pipeline/upload-metadata.ts';

const base64 = (text: string) => Buffer.from(text).toString('base64');
const headerOf = (entries: Record<string, string>) =>
  Object.entries(entries)
    .map(([key, value]) => `${key} ${base64(value)}`)
    .join(',');

test('keys and values come back in the header’s order, flags with an empty value', () => {
  const metadata = parseUploadMetadata(`filename ${base64('bücher.txt')},is_confidential, relativePath ${base64('')}`);
  assert.deepEqual(
    [...metadata],
    [
      ['filename', 'bücher.txt'],
      ['is_confidential', ''],
      ['relativePath', ''],
    ],
  );
});

test('no header, an empty one and one of spaces are no metadata', () => {
  for (const header of [undefined, null, '', '   ']) assert.equal(parseUploadMetadata(header).size, 0);
});

test('whatever keys and texts: what a client encodes is what we read', () => {
  const key = fc.stringMatching(/^[\x21-\x2b\x2d-\x7e]{1,20}$/);
  const entries = fc.uniqueArray(fc.tuple(key, fc.string({ unit: 'grapheme', maxLength: 40 })), {
    selector: ([name]) => name,
    minLength: 1,
    maxLength: 8,
  });
  fc.assert(
    fc.property(entries, (pairs) => {
      const header = pairs.map(([name, value]) => `${name} ${base64(value)}`).join(',');
      assert.deepEqual([...parseUploadMetadata(header)], pairs);
    }),
  );
});

for (const [name, header] of [
  ['a comma at the end', `a ${base64('1')},`],
  ['two commas', `a ${base64('1')},,b`],
  ['a key twice', `a ${base64('1')},a ${base64('2')}`],
  ['two values', `a ${base64('1')} ${base64('2')}`],
  ['two spaces', `a  ${base64('1')}`],
  ['characters that are not base64', 'a b$d='],
  ['base64 of another alphabet', 'a __-_'],
  ['base64 that is cut short', 'a YWI'],
  ['padding in the middle', 'a YQ==YQ=='],
  ['padding alone', 'a ='],
] as const) {
  test(`${name}: refused with 400`, () => {
    assert.throws(
      () => parseUploadMetadata(header),
      (error) => {
        assert.ok(error instanceof InvalidMetadataError);
        assert.equal(error.status, 400);
        assert.equal(error.code, 'invalid_metadata');
        return true;
      },
    );
    assert.equal(parseStoredMetadata(header).size, 0);
  });
}

test('keys and decoded values together may have 8 KiB and not a byte more', () => {
  const fits = `key ${Buffer.alloc(MAX_METADATA_BYTES - 3, 'x').toString('base64')}`;
  assert.equal(parseUploadMetadata(fits).get('key')?.length, MAX_METADATA_BYTES - 3);
  const tooMuch = `keys ${Buffer.alloc(MAX_METADATA_BYTES - 3, 'x').toString('base64')}`;
  assert.throws(() => parseUploadMetadata(tooMuch), InvalidMetadataError);
});

test('an error shows no more of a stranger’s key than a glance', () => {
  assert.throws(
    () => parseUploadMetadata(`${'k'.repeat(5000)} !`),
    (error) => {
      assert.ok(error instanceof InvalidMetadataError);
      assert.ok(error.message.length < 200);
      return true;
    },
  );
});

test('name and type are found under every key in use, the first that says something', () => {
  assert.equal(fileNameOf(parseUploadMetadata(headerOf({ name: 'b.txt', filename: 'a.txt' }))), 'a.txt');
  assert.equal(fileNameOf(parseUploadMetadata(headerOf({ name: 'b.txt', filename: '' }))), 'b.txt');
  for (const key of ['filetype', 'type', 'contentType']) {
    assert.equal(declaredTypeOf(parseUploadMetadata(headerOf({ [key]: 'Image/PNG' }))), 'image/png');
  }
  assert.equal(fileNameOf(new Map()), null);
  assert.equal(declaredTypeOf(parseUploadMetadata(headerOf({ type: 'nonsense' }))), null);
});

test('an object is stored with the declared type, else the detected one, else as bytes', () => {
  assert.equal(objectHeaders(headerOf({ filetype: 'image/png' }), 'image/jpeg').contentType, 'image/png');
  assert.equal(objectHeaders(null, 'image/jpeg').contentType, 'image/jpeg');
  assert.equal(objectHeaders(null).contentType, 'application/octet-stream');
});

test('what could run under the bucket’s name is downloaded, what cannot is shown', () => {
  for (const type of [
    'text/html',
    'image/svg+xml',
    'application/xhtml+xml',
    'text/javascript',
    'image/x+xml',
    'application/zip',
  ]) {
    assert.equal(isSafeInline(type), false, type);
    assert.match(objectHeaders(headerOf({ filetype: type, filename: 'a' })).contentDisposition ?? '', /^attachment/);
  }
  for (const type of [
    'image/png',
    'video/mp4',
    'audio/ogg',
    'application/pdf',
    'text/plain; charset=utf-8',
    'IMAGE/JPEG',
  ]) {
    assert.equal(isSafeInline(type), true, type);
    assert.match(objectHeaders(headerOf({ filetype: type, filename: 'a' })).contentDisposition ?? '', /^inline/);
  }
});

test('names that are not ASCII, or contain quotes, go into the header as RFC 6266 says', () => {
  assert.equal(contentDisposition('plain.txt', 'text/html'), 'attachment; filename=plain.txt');
  const german = contentDisposition('Grüße „1“.txt', 'text/html');
  assert.match(german, /^[\x20-\x7e]+$/);
  assert.match(german, /filename\*=UTF-8''Gr%C3%BC%C3%9Fe%20%E2%80%9E1%E2%80%9C\.txt/);
  assert.match(contentDisposition('a"b;c.txt', 'text/html'), /filename="a\\"b;c\.txt"/);
  assert.equal(contentDisposition(null, 'image/png'), 'inline');
});

test('whatever the name: the header is ASCII and has one line', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 60 }), (name) => {
      const { contentDisposition: header } = objectHeaders(headerOf({ filename: name }));
      assert.match(header ?? '', /^[\x20-\x7e]*$/);
    }),
  );
});

test('a cache rule of the client is kept only when a header can carry it', () => {
  assert.equal(objectHeaders(headerOf({ cacheControl: ' max-age=60 ' })).cacheControl, 'max-age=60');
  for (const value of ['', 'a\r\nSet-Cookie: x', 'grün', 'x'.repeat(256)]) {
    assert.equal(objectHeaders(headerOf({ cacheControl: value })).cacheControl, undefined);
  }
});

test('an object’s headers give back the name and the type that a file has, whatever they are', () => {
  const headersOf = (header: string | null) => {
    const { contentType = null, contentDisposition: disposition = null } = objectHeaders(header);
    return { contentType, contentDisposition: disposition };
  };
  const name = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 100 });
  const type = fc.constantFrom('image/png', 'text/plain; charset=utf-8', 'Application/PDF', 'no type', '');
  fc.assert(
    fc.property(name, type, (filename, filetype) => {
      const header = headerOf({ filename, filetype, secret: 'not told' });
      const was = parseStoredMetadata(header);
      const is = parseStoredMetadata(metadataOfObject(headersOf(header)));
      assert.deepEqual([fileNameOf(is), declaredTypeOf(is)], [fileNameOf(was), declaredTypeOf(was)]);
      assert.equal(is.has('secret'), false);
    }),
  );
  assert.equal(metadataOfObject(headersOf(null)), null);
  assert.equal(metadataOfObject({ contentType: null, contentDisposition: null }), null);
  assert.equal(metadataOfObject({ contentType: 'x', contentDisposition: ';;=' }), null, 'not one of ours');
});
