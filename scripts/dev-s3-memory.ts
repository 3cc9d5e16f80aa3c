/**
 * `npm run dev-s3:memory`: an object of 5 GiB goes into a dev-s3 process in parts, and once more in a single PUT, and
 * comes back by GET. Fails when the memory of that process grows by 64 MiB or more over what it needs idle.
 *
 * Needs twice the size on the disk; another size: `npm run dev-s3:memory -- --mib 512`.
 */
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { parseArgs } from 'node:util';
import {
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { type DevS3Process, startDevS3Process } from '../test/support/dev-s3-process.ts';

const MIB = 1024 * 1024;
const PART_MIB = 64;
const CHUNK_BYTES = 256 * 1024;
const LIMIT_MIB = 64;
const SAMPLE_MS = 50;
const Bucket = 'memory';

const { values } = parseArgs({ options: { mib: { type: 'string', default: '5120' } } });
await main(Number(values.mib));

async function main(totalMib: number): Promise<void> {
  const dataDir = mkdtempSync(join(tmpdir(), 'dev-s3-memory-'));
  const server = await startDevS3Process({ dataDir, bucket: Bucket });
  const client = new S3Client({
    ...{ endpoint: server.url, region: server.region, credentials: server.credentials },
    ...{ forcePathStyle: true, requestChecksumCalculation: 'WHEN_REQUIRED' },
  });
  let failed = false;
  try {
    await put(client, 'warm-up', MIB); // loads what is loaded with the first request
    const idleMib = rssMib(server);
    say(`idle: ${idleMib.toFixed(0)} MiB`);
    const watch = async (what: string, work: () => Promise<unknown>) => {
      const before = performance.now();
      const grown = (await highestRss(server, work)) - idleMib;
      const secs = (performance.now() - before) / 1_000;
      say(`${what}: +${grown.toFixed(0)} MiB, ${totalMib} MiB in ${secs.toFixed(0)} s`);
      failed ||= grown >= LIMIT_MIB;
    };
    await watch(`multipart, 4 parts of ${PART_MIB} MiB at a time`, () => putInParts(client, 'parts', totalMib));
    await watch('GET of the parts', () => readBack(client, 'parts', totalMib));
    await watch('one PUT', () => put(client, 'one', totalMib * MIB));
    await watch('GET of the one', () => readBack(client, 'one', totalMib));
  } finally {
    client.destroy();
    await server.end('SIGTERM');
    rmSync(dataDir, { recursive: true, force: true });
  }
  if (failed) {
    say(`FAILED: it may grow by less than ${LIMIT_MIB} MiB`);
    process.exitCode = 1;
  }
}

async function putInParts(client: S3Client, Key: string, totalMib: number): Promise<void> {
  const where = { Bucket, Key };
  const { UploadId } = await client.send(new CreateMultipartUploadCommand(where));
  const numbers = Array.from({ length: Math.ceil(totalMib / PART_MIB) }, (_, index) => index + 1);
  const queue = numbers.values();
  const Parts: { PartNumber: number; ETag: string | undefined }[] = [];
  const work = async () => {
    for (const PartNumber of queue) {
      const bytes = Math.min(PART_MIB, totalMib - (PartNumber - 1) * PART_MIB) * MIB;
      const Body = content((PartNumber - 1) * PART_MIB * MIB, bytes);
      const part = { ...where, UploadId, PartNumber, Body, ContentLength: bytes };
      const { ETag } = await client.send(new UploadPartCommand(part));
      Parts.push({ PartNumber, ETag });
    }
  };
  await Promise.all([work(), work(), work(), work()]);
  Parts.sort((a, b) => a.PartNumber - b.PartNumber);
  await client.send(new CompleteMultipartUploadCommand({ ...where, UploadId, MultipartUpload: { Parts } }));
}

async function put(client: S3Client, Key: string, bytes: number): Promise<void> {
  await client.send(new PutObjectCommand({ Bucket, Key, Body: content(0, bytes), ContentLength: bytes }));
}

async function readBack(client: S3Client, Key: string, totalMib: number): Promise<void> {
  const { Body } = await client.send(new GetObjectCommand({ Bucket, Key }));
  const got = createHash('sha1');
  for await (const chunk of Body as AsyncIterable<Buffer>) got.update(chunk);
  const expected = createHash('sha1');
  for await (const chunk of content(0, totalMib * MIB)) expected.update(chunk);
  if (got.digest('hex') !== expected.digest('hex')) throw new Error(`${Key} came back with other bytes`);
}

/** A stretch of an endless content in which no two chunks are the same. */
function content(firstByte: number, bytes: number): Readable {
  function* chunks() {
    for (let at = 0; at < bytes; at += CHUNK_BYTES) {
      const chunk = Buffer.alloc(Math.min(CHUNK_BYTES, bytes - at), 0x5a);
      chunk.writeDoubleBE(firstByte + at);
      yield chunk;
    }
  }
  return Readable.from(chunks(), { objectMode: false });
}

/** @returns MiB */
async function highestRss(server: DevS3Process, work: () => Promise<unknown>): Promise<number> {
  let highest = rssMib(server);
  const timer = setInterval(() => {
    highest = Math.max(highest, rssMib(server));
  }, SAMPLE_MS);
  try {
    await work();
  } finally {
    clearInterval(timer);
  }
  return Math.max(highest, rssMib(server));
}

/** Linux only: `/proc`. */
function rssMib({ pid }: DevS3Process): number {
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kib) / 1024;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
