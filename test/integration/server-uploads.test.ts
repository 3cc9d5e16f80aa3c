/** The main job from end to end: the real server, the stock tus client, interruptions on both sides. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { S3 } from '@aws-sdk/client-s3';
import sharp from 'sharp';
import { Upload, type UploadOptions } from 'tus-js-client';
import { eventually } from '../support/eventually.ts';
import { type ServerProcess, startServerProcess } from '../support/server-process.ts';

const MIB = 2 ** 20;
/** `BIG_UPLOAD_MIB=200` for the size that the product promises; smaller by itself, so that the tests stay quick. */
const BIG_BYTES = Number(process.env.BIG_UPLOAD_MIB ?? 40) * MIB;

interface FileJson {
  id: string;
  key: string;
  name: string;
  size: number;
  detectedType: string | null;
  width: number | null;
  height: number | null;
  thumbs: Record<string, string> | null;
}

test('a photo and a big file, each interrupted by the client and by a kill of the server, arrive whole and once', async (t) => {
  const server = await startServerProcess(t, { env: { LOG_LEVEL: 'warn' } });
  const keys = server.printedS3();
  const photo = await makePhoto();
  const big = Buffer.concat([randomBytes(MIB), Buffer.alloc(BIG_BYTES - 2 * MIB, 'tus-relay'), randomBytes(MIB)]);

  const photoUrl = await uploadWithInterruptions(server, photo, { filename: 'rüben 1.jpg', filetype: 'image/jpeg' });
  const bigUrl = await uploadWithInterruptions(server, big, { filename: 'big.bin', filetype: 'application/x-test' });

  const s3After = server.printedS3();
  assert.deepEqual(
    { ...s3After, endpoint: '' },
    { ...keys, endpoint: '' },
    'the keys are the same after every restart',
  );
  const { files } = (await (await fetch(`${server.url}/api/files`)).json()) as { files: FileJson[] };
  assert.deepEqual(files.map(({ name }) => name).toSorted(), ['big.bin', 'rüben 1.jpg']);
  const s3 = openS3(t, server);
  for (const [url, content] of [
    [photoUrl, photo],
    [bigUrl, big],
  ] as const) {
    const file = files.find(({ id }) => url.endsWith(id));
    assert.equal(file?.size, content.length);
    const { Body } = await s3.getObject({ Bucket: s3After.bucket, Key: file?.key ?? '' });
    const stored = (await Body?.transformToByteArray()) ?? Buffer.alloc(0);
    assert.equal(sha256(stored), sha256(content));
  }

  const record = await eventually('thumbnails', async () => {
    const response = await fetch(`${server.url}/api/files/${photoUrl.split('/').at(-1)}`);
    const file = (await response.json()) as FileJson;
    return file.thumbs === null ? undefined : file;
  });
  // Stored lying on its side, with an orientation that says so.
  assert.deepEqual([record.detectedType, record.width, record.height], ['image/jpeg', 2000, 3000]);
  assert.deepEqual(await thumbnail(server, record, 128), { format: 'webp', width: 85, height: 128, exif: undefined });
  assert.deepEqual(await thumbnail(server, record, 512), { format: 'webp', width: 341, height: 512, exif: undefined });

  const expected = [...files.map(({ key }) => key), `${record.key}_thumb_128`, `${record.key}_thumb_512`].toSorted();
  await eventually('an empty bucket but for these', async () => {
    const { Contents = [] } = await s3.listObjectsV2({ Bucket: s3After.bucket, Prefix: 'uploads/public/' });
    return isDeepStrictEqual(
      Contents.map(({ Key }) => Key),
      expected,
    )
      ? true
      : undefined;
  });
  assert.deepEqual(server.loggedErrors(), []);
});

/** A JPEG of about ten megabytes, as from a camera that was held upright. */
async function makePhoto(): Promise<Buffer> {
  const noise = { type: 'gaussian' as const, mean: 128, sigma: 60 };
  const photo = await sharp({ create: { width: 3000, height: 2000, channels: 3, background: 'black', noise } })
    .jpeg({ quality: 98, chromaSubsampling: '4:4:4' })
    .withMetadata({ orientation: 6 })
    .toBuffer();
  assert.ok(photo.length > 8 * MIB, `${photo.length} bytes`);
  return photo;
}

/** Aborted by the client, resumed, then the server is killed and started again under it. @returns the upload's address */
async function uploadWithInterruptions(server: ServerProcess, content: Buffer, metadata: Record<string, string>) {
  const chunkSize = Math.ceil(content.length / 5);
  const options = { endpoint: `${server.url}/files`, metadata, chunkSize, retryDelays: Array(30).fill(500) };
  const url = await uploadSome(content, options, Math.floor(content.length * 0.4));
  let restarted: Promise<void> | null = null;
  await new Promise<void>((resolve, reject) => {
    const upload = new Upload(content, {
      ...options,
      uploadUrl: url,
      // The next PATCH is on its way when the signal comes.
      onChunkComplete(_chunkBytes, acceptedBytes) {
        if (restarted !== null || acceptedBytes < content.length * 0.5) return;
        restarted = server.kill().then(() => server.start());
        restarted.catch(reject);
      },
      onSuccess: () => resolve(),
      onError: reject,
    });
    upload.start();
  });
  assert.ok(restarted !== null, 'the server was killed in mid-upload');
  await restarted;
  return url;
}

async function uploadSome(content: Buffer, options: Partial<UploadOptions>, untilBytes: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const upload = new Upload(content, {
      ...options,
      onChunkComplete(_chunkBytes, acceptedBytes) {
        if (acceptedBytes < untilBytes) return;
        upload.abort().then(() => resolve(upload.url ?? ''), reject);
      },
      onSuccess: () => reject(new Error('it was to be aborted before its end')),
      onError: reject,
    });
    upload.start();
  });
}

function openS3(t: TestContext, server: ServerProcess): S3 {
  const { endpoint, accessKeyId, secretAccessKey } = server.printedS3();
  const credentials = { accessKeyId, secretAccessKey };
  const s3 = new S3({ endpoint, region: 'us-east-1', forcePathStyle: true, credentials });
  t.after(() => s3.destroy());
  return s3;
}

async function thumbnail(server: ServerProcess, { id }: FileJson, size: 128 | 512) {
  const response = await fetch(`${server.url}/api/files/${id}/thumb/${size}`);
  assert.equal(response.headers.get('content-type'), 'image/webp');
  const { format, width, height, exif } = await sharp(await response.arrayBuffer()).metadata();
  return { format, width, height, exif };
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
