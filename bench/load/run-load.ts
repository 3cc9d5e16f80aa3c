import type { HeadLoad, Load, LoadResult, SentUpload, UploadLoad } from './load.ts';
import { type Pattern, positionOfUpload } from './pattern.ts';
import { type Body, TusClient } from './tus-client.ts';
import { runWaiting } from './waiting-clients.ts';

/** A HEAD is asked of an upload that is half way: the offset is something that the server must know. */
const HEAD_UPLOAD_BYTES = 1024 * 1024;
const HEAD_OFFSET = 64 * 1024;

/** @param endpoint of tus, absolute */
export async function runLoad(load: Load, endpoint: string, pattern: Pattern): Promise<LoadResult> {
  if (load.kind === 'waiting') return runWaiting(load, endpoint, pattern);
  const client = new TusClient(endpoint, pattern, load.concurrency);
  try {
    return load.kind === 'heads' ? await runHeads(load, client) : await runUploads(load, client);
  } finally {
    client.close();
  }
}

async function runUploads(load: UploadLoad, client: TusClient): Promise<LoadResult> {
  const uploads: SentUpload[] = [];
  const latenciesMs: number[] = [];
  await inParallel(load.uploads, load.concurrency, async (index) => {
    uploads.push(await sendUpload(load, positionOfUpload(index), client, latenciesMs));
  });
  return { uploads, latenciesMs };
}

async function sendUpload(
  { bytes, patchBytes, withCreation, bytesPerSec }: UploadLoad,
  position: number,
  client: TusClient,
  latenciesMs: number[],
): Promise<SentUpload> {
  const bodyAt = (offset: number): Body => ({
    position: position + offset,
    bytes: Math.min(patchBytes, bytes - offset),
    bytesPerSec,
  });
  const first = withCreation ? bodyAt(0) : null;
  const create = () => client.create(bytes, first);
  const url = first === null ? await create() : await timed(latenciesMs, create);
  for (let offset = first?.bytes ?? 0; offset < bytes; offset += patchBytes) {
    await timed(latenciesMs, () => client.patch(url, offset, bodyAt(offset)));
  }
  return { url, bytes, patchBytes, position };
}

async function runHeads(load: HeadLoad, client: TusClient): Promise<LoadResult> {
  const url = await client.create(HEAD_UPLOAD_BYTES, null);
  await client.patch(url, 0, { position: 0, bytes: HEAD_OFFSET, bytesPerSec: null });
  const latenciesMs: number[] = [];
  await inParallel(load.requests, load.concurrency, () => timed(latenciesMs, () => client.head(url, HEAD_OFFSET)));
  return { uploads: [], latenciesMs };
}

async function inParallel(count: number, concurrency: number, work: (index: number) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: Math.min(concurrency, count) }, worker));
}

async function timed<T>(latenciesMs: number[], work: () => Promise<T>): Promise<T> {
  const startedMs = performance.now();
  const result = await work();
  latenciesMs.push(performance.now() - startedMs);
  return result;
}
