import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import sharp from 'sharp';
import { detectType, TYPE_HEAD_BYTES } from '../../src/pipeline/detect-type.ts';
import { cleanFileName } from '../../src/pipeline/file-name.ts';
import { cleanMediaType, essenceOf } from '../../src/pipeline/media-type.ts';
import { canHaveThumbnails } from '../../src/pipeline/thumbnail-types.ts';

test('a file name is the last segment, of either system', () => {
  assert.equal(cleanFileName('photo.jpg'), 'photo.jpg');
  assert.equal(cleanFileName('../../etc/passwd'), 'passwd');
  assert.equal(cleanFileName('C:\\Users\\me\\photo.jpg'), 'photo.jpg');
  assert.equal(cleanFileName('  a b .txt '), 'a b .txt');
});

test('what is no name is none', () => {
  for (const name of [null, '', '  ', '.', '..', '...', 'folder/', 'a/..', '\0\x07', '\u202e']) {
    assert.equal(cleanFileName(name), null, JSON.stringify(name));
  }
});

test('control characters and marks that turn the reading order go; letters are composed', () => {
  assert.equal(cleanFileName('a\r\nb\0c.txt'), 'abc.txt');
  assert.equal(cleanFileName('photo\u202egnp.exe'), 'photognp.exe');
  assert.equal(cleanFileName('u\u0308.txt'), 'ü.txt');
  assert.equal(cleanFileName('half \ud83d.txt'), 'half \ufffd.txt');
});

test('a long name keeps its ending, and no character is cut in two', () => {
  const name = cleanFileName(`${'ü'.repeat(300)}.jpeg`) ?? '';
  assert.ok(name.endsWith('ü.jpeg'));
  assert.ok(Buffer.byteLength(name) > 250 && Buffer.byteLength(name) <= 255);
  const families = cleanFileName('👨‍👩‍👧‍👦'.repeat(40)) ?? '';
  assert.equal(families.replaceAll('👨‍👩‍👧‍👦', ''), '');
  assert.ok(Buffer.byteLength(cleanFileName(`a.${'x'.repeat(400)}`) ?? '') <= 255);
});

test('whatever the name: cleaning it again changes nothing, and it fits', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 400 }), (name) => {
      const clean = cleanFileName(name);
      if (clean === null) return;
      assert.equal(cleanFileName(clean), clean);
      assert.ok(Buffer.byteLength(clean) <= 255);
      assert.doesNotMatch(clean, /[/\\\p{Cc}]/u);
    }),
  );
});

test('a media type comes back in small letters with its parameters as they are', () => {
  assert.equal(cleanMediaType(' Text/HTML; Charset="UTF-8" '), 'text/html; Charset="UTF-8"');
  assert.equal(cleanMediaType('application/vnd.api+json;a=b;c=d'), 'application/vnd.api+json;a=b;c=d');
  assert.equal(essenceOf('Text/HTML ; charset=utf-8'), 'text/html');
});

test('what is no media type is none', () => {
  for (const value of [
    null,
    '',
    'text',
    'text/',
    '/html',
    'text/html;',
    'text/html; charset',
    'a b/c',
    'a/b\r\nX: y',
    'ä/b',
  ]) {
    assert.equal(cleanMediaType(value), null, JSON.stringify(value));
  }
  assert.equal(cleanMediaType(`text/${'x'.repeat(300)}`), null);
});

test('the first bytes tell images from other things, whatever the file is called', async () => {
  const image = sharp({ create: { width: 20, height: 20, channels: 3, background: '#c33' } });
  for (const [format, type] of [
    ['jpeg', 'image/jpeg'],
    ['png', 'image/png'],
    ['webp', 'image/webp'],
    ['gif', 'image/gif'],
    ['tiff', 'image/tiff'],
    ['avif', 'image/avif'],
  ] as const) {
    const detected = await detectType(await image.clone().toFormat(format).toBuffer());
    assert.equal(detected, type);
    assert.equal(canHaveThumbnails(detected), true);
  }
  assert.equal(await detectType(Buffer.from('%PDF-1.7\n%âãÏÓ\n1 0 obj')), 'application/pdf');
  assert.equal(await detectType(Buffer.from('504b030414000000', 'hex')), 'application/zip');
});

test('plain text, an empty file and a single byte say nothing', async () => {
  for (const head of ['just words', '', 'x']) assert.equal(await detectType(Buffer.from(head)), null);
});

test('neither what is no image nor a drawing that is a program gets thumbnails', async () => {
  const svg = await detectType(Buffer.from('<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>'));
  for (const type of [svg, null, 'image/svg+xml', 'image/heic', 'application/pdf', 'video/mp4']) {
    assert.equal(canHaveThumbnails(type), false, String(type));
  }
});

test('whatever the bytes: looking at them never fails', async () => {
  const heads = [
    'ffd8ff',
    '89504e470d0a1a0a',
    '504b0304',
    '1a45dfa3',
    '0000001c66747970',
    '494433',
    '4f676753',
    '25504446',
  ];
  await fc.assert(
    fc.asyncProperty(fc.constantFrom('', ...heads), fc.uint8Array({ maxLength: 300 }), async (head, rest) => {
      const detected = await detectType(Buffer.concat([Buffer.from(head, 'hex'), rest]));
      assert.ok(detected === null || /^[a-z]+\//.test(detected));
    }),
  );
});

test('bytes past the head do not matter', async () => {
  const head = Buffer.alloc(TYPE_HEAD_BYTES, 'x');
  assert.equal(await detectType(head), await detectType(Buffer.concat([head, Buffer.from('ffd8ffe0', 'hex')])));
});
