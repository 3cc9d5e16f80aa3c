/** Bodies in aws-chunked pieces, signed and not, with and without trailers: made by hand, byte by byte. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import test from 'node:test';
import { crc32 } from 'node:zlib';
import { hmacHex, type RawAnswer, send, sendSigned, sha256, signHeaders } from './s3-signer.ts';
import type { OpenTarget } from './s3-suite.ts';
import { freshPrefix, type S3Target } from './s3-target.ts';

const CHUNK_BYTES = 64 * 1024;
const EMPTY_SHA256 = sha256('');

interface Framing {
  signed: boolean;
  trailer: boolean;
}

/** What is done to the request before it is sent. */
interface Damage {
  /** Changed after it was signed. */
  content?: (content: Buffer) => Buffer;
  body?: (body: Buffer) => Buffer;
  crc?: string;
}

export function awsChunkedContract(open: OpenTarget): void {
  for (const framing of [
    { signed: false, trailer: true },
    { signed: true, trailer: false },
    { signed: true, trailer: true },
  ]) {
    const name = `${framing.signed ? 'signed' : 'unsigned'} chunks ${framing.trailer ? 'with' : 'without'} a trailer`;

    test(`${name} become the object that was in them`, async () => {
      const target = open();
      const path = `/${target.bucket}/${freshPrefix()}k`;
      const content = randomBytes(3 * CHUNK_BYTES + 17);
      const put = await putChunked(target, path, content, framing);
      assert.equal(put.status, 200, put.text);
      assert.equal(put.headers.etag, `"${createHash('md5').update(content).digest('hex')}"`);
      const head = await sendSigned(target, { method: 'HEAD', path });
      assert.equal(head.headers['content-length'], String(content.length));
      const encoding = head.headers['content-encoding'];
      if (!target.profile.has('keeps-aws-chunked')) assert.equal(encoding, undefined);
    });

    test(`${name} may hold nothing`, async () => {
      const target = open();
      const path = `/${target.bucket}/${freshPrefix()}k`;
      assert.equal((await putChunked(target, path, Buffer.alloc(0), framing)).status, 200);
      assert.equal((await sendSigned(target, { method: 'HEAD', path })).headers['content-length'], '0');
    });

    test(`${name} that break off store nothing`, async () => {
      const target = open();
      const path = `/${target.bucket}/${freshPrefix()}k`;
      // Of a right length, but the last chunk is not there.
      const body = (whole: Buffer) => whole.subarray(0, CHUNK_BYTES);
      const answer = await putChunked(target, path, randomBytes(2 * CHUNK_BYTES), framing, { body });
      assert.ok(answer.status >= 400 && answer.status < 500, String(answer.status));
      assert.equal((await sendSigned(target, { method: 'HEAD', path })).status, 404);
    });
  }

  test('a chunk that is not the signed one is refused and not stored', async () => {
    const target = open();
    for (const trailer of [false, true]) {
      const path = `/${target.bucket}/${freshPrefix()}k`;
      const content = (whole: Buffer) => {
        const changed = Buffer.from(whole);
        changed.writeUInt8(changed.readUInt8(CHUNK_BYTES + 5) ^ 1, CHUNK_BYTES + 5);
        return changed;
      };
      const damage = { content };
      const answer = await putChunked(target, path, randomBytes(2 * CHUNK_BYTES), { signed: true, trailer }, damage);
      assert.equal(answer.status, 403);
      assert.equal(answer.code, 'SignatureDoesNotMatch');
      assert.equal((await sendSigned(target, { method: 'HEAD', path })).status, 404);
    }
  });

  test('a checksum in the trailer that does not fit is refused and not stored', async () => {
    const target = open();
    for (const signed of [false, true]) {
      const path = `/${target.bucket}/${freshPrefix()}k`;
      const damage = { crc: 'AAAAAA==' };
      const answer = await putChunked(target, path, randomBytes(100_000), { signed, trailer: true }, damage);
      assert.equal(answer.status, 400);
      assert.match(answer.code, /BadDigest|XAmzContentChecksumMismatch|InvalidDigest|InvalidRequest/);
      assert.equal((await sendSigned(target, { method: 'HEAD', path })).status, 404);
    }
  });
}

function putChunked(
  target: S3Target,
  path: string,
  content: Buffer,
  { signed, trailer }: Framing,
  damage: Damage = {},
): Promise<RawAnswer> {
  const word = signed ? 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD' : 'STREAMING-UNSIGNED-PAYLOAD';
  const request = {
    ...{ method: 'PUT', path, payloadHash: trailer ? `${word}-TRAILER` : word },
    headers: {
      'content-encoding': 'aws-chunked',
      'x-amz-decoded-content-length': String(content.length),
      ...(trailer ? { 'x-amz-trailer': 'x-amz-checksum-crc32' } : {}),
    },
  };
  const { headers, ...chain } = signHeaders(target, request);
  let previous = chain.signature;
  const link = (algorithm: string, rest: string) => {
    previous = hmacHex(chain.key, `${algorithm}\n${chain.amzDate}\n${chain.scope}\n${previous}\n${rest}`);
    return previous;
  };
  const sent = damage.content?.(content) ?? content;
  const pieces: (string | Buffer)[] = [];
  for (let at = 0; at <= content.length; at += CHUNK_BYTES) {
    const size = Math.min(CHUNK_BYTES, content.length - at);
    // The chunk without bytes ends the content, so that there is none for a remainder of nothing.
    if (size === 0) break;
    const hash = sha256(content.subarray(at, at + size));
    const signature = signed ? `;chunk-signature=${link('AWS4-HMAC-SHA256-PAYLOAD', `${EMPTY_SHA256}\n${hash}`)}` : '';
    pieces.push(`${size.toString(16)}${signature}\r\n`, sent.subarray(at, at + size), '\r\n');
  }
  const last = signed ? `;chunk-signature=${link('AWS4-HMAC-SHA256-PAYLOAD', `${EMPTY_SHA256}\n${EMPTY_SHA256}`)}` : '';
  pieces.push(`0${last}\r\n`);
  if (trailer) {
    const line = `x-amz-checksum-crc32:${damage.crc ?? crcOf(content)}`;
    pieces.push(`${line}\r\n`);
    if (signed) pieces.push(`x-amz-trailer-signature:${link('AWS4-HMAC-SHA256-TRAILER', sha256(`${line}\n`))}\r\n`);
  }
  pieces.push('\r\n');
  const whole = Buffer.concat(pieces.map((piece) => Buffer.from(piece)));
  const body = damage.body?.(whole) ?? whole;
  return send(target, { ...request, body, headers: { ...headers, 'content-length': String(body.length) } });
}

function crcOf(content: Buffer): string {
  const digest = Buffer.alloc(4);
  digest.writeUInt32BE(crc32(content));
  return digest.toString('base64');
}
