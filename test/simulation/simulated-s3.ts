/**
 * An S3 as it is under fire: requests wait on the wire, are carried out in one or two steps, answered, lost, or carried
 * out long after their caller has given up. What the services disagree about are switches of the scenario.
 */
import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import type {
  ObjectHeaders,
  ObjectStorage,
  OpenedObject,
  Payload,
  StoredObject,
  StoredPart,
} from '../../src/s3/object-storage.ts';
import { S3Error } from '../../src/s3/s3-errors.ts';
import type { FaultRates, Scenario } from './scenario.ts';
import type { Scheduler, SimulatedProcess } from './scheduler.ts';

/** A signed request is accepted for 15 minutes, and the longest call takes ten. */
const LATEST_REQUEST_MS = 25 * 60_000;
/** A call that S3 has begun with is over by then. */
const LONGEST_CALL_MS = 10 * 60_000;

/** What another storage would do as well; here it refuses, since nothing tells the relay where such bytes have gone. */
const STORES_OR_DELETES = new Set(['PutObject', 'CreateMultipart', 'DeleteObjects']);

interface SimulatedObject {
  readonly bytes: Buffer;
  readonly etag: string;
  readonly headers: ObjectHeaders;
}

interface SimulatedMultipart {
  readonly key: string;
  readonly headers: ObjectHeaders;
  readonly parts: Map<number, { readonly bytes: Buffer; readonly etag: string }>;
}

type Switches = Pick<
  Scenario,
  'etags' | 'secondComplete' | 'partsSurviveAbort' | 'abortNeverMissing' | 'listPage' | 'hasPartCopy'
>;

/** The bucket, shared by all processes. */
export class SimulatedBucket {
  readonly objects = new Map<string, SimulatedObject>();
  readonly multiparts = new Map<string, SimulatedMultipart>();
  readonly aborted = new Map<string, SimulatedMultipart>();
  readonly completed = new Map<string, { readonly key: string; readonly etag: string }>();
  readonly switches: Switches;
  /** Called after everything that changed the bucket. */
  onChanged: (what: string) => void = () => {};
  /** Called when a writer sends a part, before anything can become of it. */
  onPartSent: (key: string, partNumber: number) => void = () => {};
  /** The endpoint leads to another storage for the time being, which has nothing and takes nothing. */
  isElsewhere = false;
  serial = 0;

  constructor(switches: Switches) {
    this.switches = switches;
  }

  etagOf(bytes: Uint8Array): string {
    this.serial += 1;
    return this.switches.etags === 'opaque'
      ? `"e${this.serial}"`
      : `"${createHash('md5').update(bytes).digest('hex').slice(0, 12)}"`;
  }
}

/** What S3 does: at once, or with a second step after which it is done. */
type Work<T> = () => { readonly result: T } | { readonly finish: () => T; readonly inKill: 'perhaps' | 'kept' };

/** One process's way to the bucket. */
export class SimulatedS3 implements ObjectStorage {
  readonly #bucket: SimulatedBucket;
  readonly #scheduler: Scheduler;
  readonly #process: SimulatedProcess;
  readonly #faults: () => FaultRates;

  constructor(bucket: SimulatedBucket, scheduler: Scheduler, process: SimulatedProcess, faults: () => FaultRates) {
    this.#bucket = bucket;
    this.#scheduler = scheduler;
    this.#process = process;
    this.#faults = faults;
  }

  async putObject(key: string, body: Payload, headers: ObjectHeaders): Promise<{ etag: string }> {
    const bytes = await collect(body);
    return this.#write('PutObject', `${short(key)} ${hex(bytes)}`, () => {
      const etag = this.#bucket.etagOf(bytes);
      this.#bucket.objects.set(key, { bytes, etag, headers });
      return { result: { etag } };
    });
  }

  headObject(key: string): Promise<StoredObject | null> {
    return this.#read('HeadObject', short(key), () => {
      const object = this.#bucket.isElsewhere ? undefined : this.#bucket.objects.get(key);
      return object === undefined ? null : describe(object);
    });
  }

  getObject(key: string, range?: { first: number; last?: number }): Promise<OpenedObject | null> {
    return this.#read('GetObject', short(key), () => {
      const object = this.#bucket.isElsewhere ? undefined : this.#bucket.objects.get(key);
      if (object === undefined) return null;
      const bytes = object.bytes.subarray(range?.first ?? 0, (range?.last ?? object.bytes.length) + 1);
      return { ...describe(object), contentRange: null, body: bodyOf(bytes) };
    });
  }

  deleteObjects(keys: readonly string[]): Promise<{ failedKeys: string[] }> {
    const { random } = this.#scheduler;
    return this.#write('DeleteObjects', keys.map(short).join(' '), () => {
      const failedKeys = keys.filter(() => random.chance(this.#faults().s3DeleteFails));
      for (const key of keys) if (!failedKeys.includes(key)) this.#bucket.objects.delete(key);
      return { result: { failedKeys } };
    });
  }

  listObjects(prefix: string, after = '') {
    const { listPage } = this.#bucket.switches;
    return this.#read('ListObjects', short(prefix), () => {
      if (this.#bucket.isElsewhere) return { objects: [], more: false };
      const keys = [...this.#bucket.objects.keys()].filter((key) => key.startsWith(prefix) && key > after).sort();
      const objects = keys.slice(0, listPage).map((key) => {
        return { key, bytes: this.#bucket.objects.get(key)?.bytes.length ?? 0, lastModified: null };
      });
      return { objects, more: keys.length > listPage };
    });
  }

  createMultipartUpload(key: string, headers: ObjectHeaders): Promise<{ s3UploadId: string }> {
    return this.#write('CreateMultipart', short(key), () => {
      this.#bucket.serial += 1;
      const s3UploadId = `mpu${this.#bucket.serial}`;
      this.#bucket.multiparts.set(s3UploadId, { key, headers, parts: new Map() });
      return { result: { s3UploadId } };
    });
  }

  async uploadPart(key: string, s3UploadId: string, partNumber: number, body: Payload): Promise<{ etag: string }> {
    const bytes = await collect(body);
    this.#bucket.onPartSent(key, partNumber);
    return this.#write('UploadPart', `${s3UploadId} #${partNumber} ${hex(bytes)}`, () => {
      this.#multipart('UploadPart', key, s3UploadId);
      return { inKill: 'perhaps', finish: () => this.#storePart('UploadPart', s3UploadId, partNumber, bytes) };
    });
  }

  uploadPartCopy(key: string, s3UploadId: string, partNumber: number, sourceKey: string): Promise<{ etag: string }> {
    return this.#write('UploadPartCopy', `${s3UploadId} #${partNumber} from ${short(sourceKey)}`, () => {
      if (!this.#bucket.switches.hasPartCopy)
        throw new S3Error('UploadPartCopy', 'NotImplemented', 501, 'unknown', { retryable: false });
      this.#multipart('UploadPartCopy', key, s3UploadId);
      const source = this.#bucket.objects.get(sourceKey);
      if (source === undefined) throw new S3Error('UploadPartCopy', 'NoSuchKey', 404, 'refused');
      return { inKill: 'kept', finish: () => this.#storePart('UploadPartCopy', s3UploadId, partNumber, source.bytes) };
    });
  }

  completeMultipartUpload(
    key: string,
    s3UploadId: string,
    parts: readonly { partNumber: number; etag: string }[],
  ): Promise<{ etag: string }> {
    const operation = 'CompleteMultipart';
    const bucket = this.#bucket;
    const wanted = parts.map(({ partNumber, etag }) => ({ partNumber, etag }));
    const detail = `${s3UploadId} ${wanted.map(({ partNumber, etag }) => `#${partNumber}${etag}`).join(' ')}`;
    return this.#write(operation, detail, () => {
      const before = bucket.isElsewhere ? undefined : bucket.completed.get(s3UploadId);
      if (before?.key === key && bucket.switches.secondComplete === 'answers') return { result: { etag: before.etag } };
      const multipart = this.#multipart(operation, key, s3UploadId);
      if (wanted.length === 0) throw new S3Error(operation, 'MalformedXML', 400, 'refused');
      const chunks = wanted.map(({ partNumber, etag }, place) => {
        if (place > 0 && partNumber <= (wanted[place - 1]?.partNumber ?? 0)) {
          throw new S3Error(operation, 'InvalidPartOrder', 400, 'refused');
        }
        const part = multipart.parts.get(partNumber);
        if (part?.etag !== etag) throw new S3Error(operation, 'InvalidPart', 400, 'refused');
        return part.bytes;
      });
      const bytes = Buffer.concat(chunks);
      // From here on nobody can change it; the object shows when S3 is through.
      bucket.multiparts.delete(s3UploadId);
      return {
        inKill: 'kept',
        finish: () => {
          const etag = `${bucket.etagOf(bytes).slice(0, -1)}-${wanted.length}"`;
          bucket.objects.set(key, { bytes, etag, headers: multipart.headers });
          bucket.completed.set(s3UploadId, { key, etag });
          return { etag };
        },
      };
    });
  }

  abortMultipartUpload(key: string, s3UploadId: string): Promise<'aborted' | 'missing'> {
    return this.#write<'aborted' | 'missing'>('AbortMultipart', s3UploadId, () => {
      if (this.#bucket.isElsewhere) return { result: 'missing' };
      const multipart = this.#bucket.multiparts.get(s3UploadId);
      if (multipart?.key !== key) return { result: this.#bucket.switches.abortNeverMissing ? 'aborted' : 'missing' };
      this.#bucket.multiparts.delete(s3UploadId);
      this.#bucket.aborted.set(s3UploadId, multipart);
      return { result: 'aborted' };
    });
  }

  listParts(key: string, s3UploadId: string): Promise<StoredPart[] | null> {
    return this.#read('ListParts', s3UploadId, () => {
      const multipart = this.#bucket.multiparts.get(s3UploadId);
      if (multipart?.key !== key || this.#bucket.isElsewhere) return null;
      return [...multipart.parts]
        .map(([partNumber, { etag, bytes }]) => ({ partNumber, etag, bytes: bytes.length }))
        .sort((a, b) => a.partNumber - b.partNumber);
    });
  }

  listMultipartUploads(key: string): Promise<{ s3UploadId: string; initiated: Date | null }[]> {
    return this.#read('ListMultiparts', short(key), () =>
      [...this.#bucket.multiparts]
        .filter(([, multipart]) => multipart.key === key && !this.#bucket.isElsewhere)
        .map(([s3UploadId]) => ({ s3UploadId, initiated: null })),
    );
  }

  #multipart(operation: string, key: string, s3UploadId: string): SimulatedMultipart {
    const multipart = this.#bucket.multiparts.get(s3UploadId);
    if (multipart?.key === key && !this.#bucket.isElsewhere) return multipart;
    throw new S3Error(operation, 'NoSuchUpload', 404, 'refused');
  }

  #storePart(operation: string, s3UploadId: string, partNumber: number, bytes: Buffer): { etag: string } {
    const bucket = this.#bucket;
    const aborted = bucket.aborted.get(s3UploadId);
    if (!bucket.multiparts.has(s3UploadId) && aborted !== undefined && bucket.switches.partsSurviveAbort) {
      bucket.multiparts.set(s3UploadId, { ...aborted, parts: new Map() });
    }
    const multipart = bucket.multiparts.get(s3UploadId);
    if (multipart === undefined) throw new S3Error(operation, 'NoSuchUpload', 404, 'refused');
    const etag = bucket.etagOf(bytes);
    multipart.parts.set(partNumber, { bytes, etag });
    return { etag };
  }

  #read<T>(operation: string, detail: string, query: () => T): Promise<T> {
    const { random } = this.#scheduler;
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const label = `S3 ${operation} ${detail}`;
    const fails = random.chance(this.#faults().s3Failed);
    this.#send(`${this.#process.name} → ${label}`, this.#scheduler.nowMs, 'lost', () => {
      const result = fails ? null : query();
      this.#answer(fails ? `${label}: 503` : `${label} = ${shown(result)}`, () => {
        if (fails) reject(new S3Error(operation, 'SlowDown', 503, 'unknown'));
        else resolve(result as T);
      });
    });
    return promise;
  }

  #write<T>(operation: string, detail: string, work: Work<T>): Promise<T> {
    const scheduler = this.#scheduler;
    const { random } = scheduler;
    const faults = this.#faults();
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const label = `S3 ${operation} ${detail}`;
    const fail = (how: string, error: S3Error) => this.#answer(`${label}: ${how}`, () => reject(error));
    if (random.chance(faults.s3Refused)) {
      const passing = random.chance(0.7);
      fail(
        'refused',
        new S3Error(operation, passing ? 'RequestTimeout' : 'AccessDenied', 400, 'refused', { retryable: passing }),
      );
      return promise;
    }
    if (random.chance(faults.s3Failed)) {
      fail('500, not done', new S3Error(operation, 'InternalError', 500, 'unknown'));
      return promise;
    }
    const isLate = random.chance(faults.s3Late);
    const isLost = isLate || random.chance(faults.s3Lost);
    const failsDone = random.chance(faults.s3FailedDone);
    if (isLate) fail('no answer in time', new S3Error(operation, 'ETIMEDOUT', null, 'unknown'));
    const done = (result: T) => {
      this.#bucket.onChanged(label);
      if (isLate) return;
      if (isLost) fail('done, answer lost', new S3Error(operation, 'ECONNRESET', null, 'unknown'));
      else if (failsDone) fail('done, 500', new S3Error(operation, 'InternalError', 500, 'unknown'));
      else this.#answer(`${label} = ${shown(result)}`, () => resolve(result));
    };
    const attempt = (step: () => void) => {
      try {
        step();
      } catch (error) {
        if (!(error instanceof S3Error)) throw error;
        scheduler.say(`  ${label}: ${error.s3Code}${isLate ? ' (late)' : ''}`);
        if (isLate) return;
        if (isLost) fail('answer lost', new S3Error(operation, 'ECONNRESET', null, 'unknown'));
        else fail(error.s3Code, error);
      }
    };
    // The one limit counts from the signature, the other from the beginning of the call: together LATEST_REQUEST_MS.
    const latestStart = LATEST_REQUEST_MS - LONGEST_CALL_MS;
    const startMs = scheduler.nowMs + (isLate ? random.anyMagnitude(1, latestStart) : 0);
    this.#send(`${this.#process.name} → ${label}${isLate ? ' (late)' : ''}`, startMs, 'perhaps', () =>
      attempt(() => {
        if (this.#bucket.isElsewhere && STORES_OR_DELETES.has(operation)) {
          throw new S3Error(operation, 'ServiceUnavailable', 503, 'unknown');
        }
        const outcome = work();
        if ('result' in outcome) return done(outcome.result);
        if (!random.chance(isLate ? 0.5 : faults.s3Slow)) return done(outcome.finish());
        const endMs = scheduler.nowMs + (random.chance(0.5) ? 0 : random.anyMagnitude(1, LONGEST_CALL_MS));
        const finish = () => attempt(() => done(outcome.finish()));
        this.#send(`… ${label}`, endMs, outcome.inKill, finish, scheduler.nowMs + LONGEST_CALL_MS);
      }),
    );
    return promise;
  }

  #send(
    label: string,
    atMs: number,
    inKill: 'lost' | 'perhaps' | 'kept',
    run: () => void,
    deadlineMs = this.#scheduler.nowMs + LATEST_REQUEST_MS - LONGEST_CALL_MS,
  ): void {
    const scheduler = this.#scheduler;
    scheduler.add({
      label,
      atMs,
      owner: null,
      wire: { sender: this.#process, deadlineMs, inKill },
      run: () => {
        scheduler.say(label);
        run();
      },
    });
  }

  #answer(label: string, settle: () => void): void {
    const scheduler = this.#scheduler;
    scheduler.add({
      label,
      atMs: scheduler.nowMs,
      owner: this.#process,
      run: () => {
        scheduler.say(`${this.#process.name} ← ${label}`);
        settle();
      },
    });
  }
}

function describe(object: SimulatedObject): StoredObject {
  return {
    bytes: object.bytes.length,
    etag: object.etag,
    contentType: object.headers.contentType ?? null,
    contentDisposition: object.headers.contentDisposition ?? null,
    lastModified: null,
    metadata: object.headers.metadata ?? {},
  };
}

/** As much of a Readable as the relay's readers use, without a stream's machinery: runs are counted in thousands. */
function bodyOf(bytes: Buffer): Readable {
  const body = {
    async *[Symbol.asyncIterator]() {
      yield bytes;
    },
    destroy() {},
  };
  return body as unknown as Readable;
}

async function collect(body: Payload): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body.read()) chunks.push(Buffer.from(chunk));
  const bytes = Buffer.concat(chunks);
  if (bytes.length !== body.bytes) throw new Error(`the payload says ${body.bytes} bytes and gives ${bytes.length}`);
  return bytes;
}

function shown(result: unknown): string {
  return JSON.stringify(result, (key, value) => (key === 'body' || key === 'metadata' ? undefined : value)) ?? 'done';
}

/** Keys without the part that all of them share. */
export function short(key: string): string {
  return key
    .replace(/^uploads\/public\/\d+\/\d+\/\d+\//, '…/')
    .replace(/([0-9a-f]{4})[0-9a-f]{4}-[0-9a-f-]{27}/g, '$1');
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
