/**
 * Ways to break the store, each of which the simulation must notice: those in which existing stores fail (design
 * section 8), and every rule of its section 4 taken away. A text that is not found exactly once fails the run, so that
 * no mutant can quietly come to mean nothing.
 */
import { readFileSync } from 'node:fs';

export interface Mutant {
  readonly name: string;
  /** From the root of the repository. SQL conditions are taken out of the stand-in that mirrors them. */
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

const CATALOG = 'test/support/memory-upload-catalog.ts';
const DISCARDS = 'test/support/memory-discard-catalog.ts';
const EXPIRY = 'test/support/memory-expiry-catalog.ts';

export const MUTANTS: readonly Mutant[] = [
  {
    name: 'bytes are acknowledged before S3 has them',
    file: 'src/relay/upload-tail.ts',
    find: 'await storeUnnamed(this.#ledger, retry, (options) => storage.putObject(segment.objectKey, payload, {}, options));',
    replace:
      'void storeUnnamed(this.#ledger, retry, (options) => storage.putObject(segment.objectKey, payload, {}, options)).catch(() => {});',
  },
  {
    name: 'the tail is discarded before the commit that takes it up',
    file: CATALOG,
    find: '      (row) => ({\n        ...this.#seen(),\n        s3UploadId: step.s3UploadId,',
    replace:
      '      (row, tables) => ({\n        ...(this.#discardTail(tables, row), this.#seen()),\n        s3UploadId: step.s3UploadId,',
  },
  {
    name: 'a part lets the count of segments begin anew',
    file: 'src/relay/upload-tail.ts',
    find: 'const sequence = this.#lastSequence + 1;',
    replace: 'const sequence = (this.#segments.at(-1)?.sequence ?? 0) + 1;',
  },
  {
    name: 'a merged segment is stored under the key of the first one that it replaces',
    file: 'src/relay/upload-tail.ts',
    find: 'objectKey: segmentKey(objectKey, this.#ledger.token, sequence),',
    replace: 'objectKey: merged[0]?.objectKey ?? segmentKey(objectKey, this.#ledger.token, sequence),',
  },
  {
    name: 'segments are deleted before the commit that replaces them',
    file: 'src/relay/upload-tail.ts',
    find: 'await this.#ledger.commitTail(segment, merged, isEnd);',
    replace:
      'if (merged.length > 0) await storage.deleteObjects(merged.map((it) => it.objectKey));\nawait this.#ledger.commitTail(segment, merged, isEnd);',
  },
  {
    name: 'segments are merged in the wrong order',
    file: 'src/relay/upload-tail.ts',
    find: 'payload = joinPayloads([...front, rest]);',
    replace: 'payload = joinPayloads([rest, ...front]);',
  },
  {
    name: 'a merge replaces one segment more than it has taken up',
    file: 'src/relay/upload-ledger.ts',
    find: 'const replacesFrom = replaced[0]?.sequence ?? null;',
    replace: 'const replacesFrom = replaced[0] === undefined ? null : replaced[0].sequence - 1;',
  },
  {
    name: 'a merge that replaces the last segments keeps their rows',
    file: CATALOG,
    find: 'if (step.replacesFrom !== null) this.#discardTail',
    replace: 'if (step.replacesFrom === 1) this.#discardTail',
  },
  {
    name: 'segments that a merge replaces are forgotten, not discarded',
    file: CATALOG,
    find: 'for (const segment of tail.filter(({ sequence }) => sequence >= from)) {',
    replace: 'for (const segment of tail.filter(({ sequence }) => sequence >= from && from === 0)) {',
  },
  {
    name: 'a tail’s segments are overwritten by the next writer’s',
    file: 'src/relay/tail.ts',
    find: 'token}/',
    replace: 'token.length}/',
  },
  {
    name: 'a remembered tail is used although it is not the row’s',
    file: 'src/relay/tail-memory.ts',
    find: 'return segmentKeys.map((key) => {',
    replace:
      "return segmentKeys.map((own) => {\nconst key = [...(segments?.keys() ?? [])].find((it) => it.split('/').at(-1) === own.split('/').at(-1)) ?? own;",
  },
  {
    name: 'completing is answered like finished',
    file: 'src/relay/upload-relay.ts',
    find: "    if (upload.state !== 'completing') return upload;\n    return this.#complete(upload);",
    replace: '    return upload;',
  },
  {
    name: 'an event tells the whole length before there is an object',
    file: 'src/relay/upload-relay.ts',
    find: "    if (upload.state === 'completing') return;\n",
    replace: '',
  },
  {
    name: 'a Complete that failed is taken for done',
    file: 'src/relay/complete-upload.ts',
    find: '      else throw error;\n    }\n  }\n\n  #sendComplete',
    replace: '    }\n  }\n\n  #sendComplete',
  },
  {
    name: 'a multipart upload that is gone is taken for completed',
    file: 'src/relay/complete-upload.ts',
    find: 'if (!isOurs) throw new CompletionMissingError(upload.uploadId);',
    replace: 'void isOurs;',
  },
  {
    name: 'missing once is lost',
    file: 'src/relay/completion-job.ts',
    find: 'missingSecs >= LONGEST_COMPLETE_SECS',
    replace: 'missingSecs >= 0',
  },
  {
    name: 'an open upload is lost without evidence that the storage is ours',
    file: 'src/relay/lost-upload.ts',
    find: '    await retry.run((options) => evidence.demand(0, options));\n',
    replace: '',
  },
  {
    name: 'parts are committed as they come',
    file: 'src/relay/part-uploader.ts',
    find: '      await before;\n',
    replace: '      before.catch(() => {});\n',
  },
  {
    name: 'the end does not wait for the parts before it',
    file: 'src/relay/append-upload.ts',
    find: '  async end(): Promise<void> {\n    await this.#uploader.committed();\n',
    replace: '  async end(): Promise<void> {\n',
  },
  {
    name: 'a claim without its offset',
    file: CATALOG,
    find: '      row.offsetBytes === claim.offsetBytes &&\n',
    replace: '',
  },
  {
    name: 'a claim of what is not open',
    file: CATALOG,
    find: "      row.state === 'open' &&\n      row.expiresAtMs",
    replace: '      row.expiresAtMs',
  },
  {
    name: 'a commit that does not demand its token',
    file: CATALOG,
    find: 'return row.writer === step.token && ',
    replace: 'return ',
  },
  {
    name: 'the multipart upload’s id is committed without the token',
    file: CATALOG,
    find: "row.writer === step.token && row.state === 'open' && row.s3UploadId === null",
    replace: "row.state === 'open' && row.s3UploadId === null",
  },
  {
    name: 'a release without the token',
    file: CATALOG,
    find: "      (row) => row.writer === step.token && row.state === 'open',\n      (row) => letGo",
    replace: "      (row) => row.state === 'open',\n      (row) => letGo",
  },
  {
    name: 'one token for all claims',
    file: 'src/relay/upload-ledger.ts',
    find: 'return randomUUID();',
    replace: "return '22222222-2222-4222-8222-222222222222';",
  },
  {
    name: 'no copy of a contested part',
    file: 'src/relay/part-uploader.ts',
    find: 'if (partNumber <= contestedTo) {',
    replace: 'if (partNumber < 0 * contestedTo) {',
  },
  {
    name: 'copies under a key that other writers use, too',
    file: 'src/relay/part-uploader.ts',
    find: 'this.#ledger.token}/',
    replace: 'this.#ledger.token.length}/',
  },
  {
    name: 'a takeover contests nothing',
    file: CATALOG,
    find: 'takesOver ? Math.max(old.contestedTo, old.sentUpTo) : old.contestedTo',
    replace: 'old.contestedTo',
  },
  {
    name: 'a clean end lowers contested_to',
    file: CATALOG,
    find: 'return { writer: null, sentUpTo };',
    replace: 'return { writer: null, sentUpTo, contestedTo: 0 };',
  },
  {
    name: 'parts are sent beyond sent_up_to',
    file: 'src/relay/part-uploader.ts',
    find: 'this.#inFlight.size >= PARTS_AHEAD || partNumber > this.#ledger.upload.sentUpTo) {',
    replace: 'this.#inFlight.size >= 3 * PARTS_AHEAD) {',
  },
  {
    name: 'a claim does not raise sent_up_to',
    file: CATALOG,
    find: ': Math.max(old.sentUpTo, Math.floor(old.offsetBytes / old.partBytes) + claim.partsAhead)',
    replace: ': old.sentUpTo',
  },
  {
    name: 'a takeover keeps the key',
    file: CATALOG,
    find: 'const takesFreshKey = takesOver && old.s3UploadId === null;',
    replace: 'const takesFreshKey = false;',
  },
  {
    name: 'a takeover is not remembered as dirty',
    file: CATALOG,
    find: 'dirty: old.dirty || takesOver,',
    replace: 'dirty: old.dirty,',
  },
  {
    name: 'an answer that was lost is taken for a definite one',
    file: 'src/relay/s3-retry.ts',
    find: "if (!(error instanceof S3Error) || error.outcome === 'unknown') hooks.onUnknownOutcome?.(error);",
    replace: '',
  },
  {
    name: 'an unclean end lets go of the row',
    file: 'src/relay/upload-ledger.ts',
    find: 'const clean = this.clean && !this.#ended;',
    replace: 'const clean = !this.#ended;',
  },
  {
    name: 'what was stored and never named is forgotten',
    file: 'src/relay/upload-ledger.ts',
    find: 'return this.#clean && this.#unnamed === unnamed;',
    replace: 'return this.#clean && unnamed >= 0;',
  },
  {
    name: 'an overwritten part is not repaired',
    file: 'src/relay/complete-upload.ts',
    find: "error.s3Code === 'InvalidPart' && run.repairs",
    replace: "error.s3Code === 'InvalidPart' && run.unclean === null",
  },
  {
    name: 'an overwritten part is taken as it is',
    file: 'src/relay/repair.ts',
    find: 'found?.etag === part.etag ? part.etag : await restore(part, found)',
    replace: 'found?.etag ?? (await restore(part, found))',
  },
  {
    name: 'a service without UploadPartCopy is not thought of',
    file: 'src/relay/repair.ts',
    find: 'error.httpStatus === 501 ||',
    replace: '',
  },
  {
    name: 'a sweep takes a stranger’s object with the same beginning for its own',
    file: 'src/relay/discard-worker.ts',
    find: '}.`, listed.at(-1)',
    replace: '}`, listed.at(-1)',
  },
  {
    name: 'more bytes than the length are taken in',
    file: 'src/relay/append-upload.ts',
    find: 'this.#position + chunk.length > limit',
    replace: 'this.#position > limit + chunk.length',
  },
  {
    name: 'finished twice',
    file: CATALOG,
    find: "if (old === undefined || old.state !== 'completing') return null;",
    replace: "if (old === undefined || !['completing', 'finished'].includes(old.state)) return null;",
  },
  {
    name: 'no end-of-life sweep of what became a file',
    file: CATALOG,
    find: 'if (row.dirty) this.#discard(tables, row.uploadId, row.objectKey, {',
    replace: 'if (row.dirty === null) this.#discard(tables, row.uploadId, row.objectKey, {',
  },
  {
    name: 'no end-of-life sweep of what was given up',
    file: CATALOG,
    find: "scope: lateRequests ? 'key' : 'object',",
    replace: "scope: 'object',",
  },
  {
    name: 'nothing is looked at once more',
    file: CATALOG,
    find: 'recheckAtMs: what.recheck ? this.#recheck : null,',
    replace: 'recheckAtMs: null,',
  },
  {
    name: 'a recheck that comes too soon',
    file: CATALOG,
    find: 'return this.#now + this.#settings.discardRecheckSecs * 1000;',
    replace: 'return this.#now + this.#settings.discardRecheckSecs * 10;',
  },
  {
    name: 'a sweep does not ask what is still needed',
    file: DISCARDS,
    find: '...(tables.tails.get(uploadId) ?? []).map((segment) => segment.objectKey),',
    replace: '',
  },
  {
    name: 'a sweep does not look for multipart uploads',
    file: 'src/relay/discard-worker.ts',
    find: "if (scope === 'key' || scope === 'leftovers') {",
    replace: "if (scope === 'multipart') {",
  },
  {
    name: 'a writer that slept sends on without a look',
    file: 'src/relay/upload-ledger.ts',
    find: 'this.sinceLookMs >= LOOK_AGAIN_MS',
    replace: 'this.sinceLookMs < 0',
  },
  {
    name: 'a machine that slept takes the time for none',
    file: 'src/relay/clock.ts',
    find: 'if (leapMs >= SLEPT_MS) sleptMs += leapMs;',
    replace: 'void sleptMs;',
  },
  {
    name: 'what S3 did not delete is taken for deleted',
    file: 'src/relay/discard-worker.ts',
    find: 'const failed = new Set(failedKeys);',
    replace: 'const failed = new Set<string>();',
  },
  {
    name: 'what could not be removed is dropped instead of postponed',
    file: 'src/relay/discard-worker.ts',
    find: 'await this.#discards.postpone(left);',
    replace: 'await this.#discards.drop(left);',
  },
  {
    name: 'a terminated upload keeps its multipart upload',
    file: CATALOG,
    find: "s3UploadId: row.state === 'finished' ? null : s3UploadId,",
    replace: 's3UploadId: row.state === null ? s3UploadId : null,',
  },
  {
    name: 'no end-of-life sweep of what expired',
    file: EXPIRY,
    find: 'const late = row.writer !== null || row.dirty;',
    replace: 'const late = row.dirty === null;',
  },
];

/** @throws Error when the text is not there exactly once */
export function mutate(mutant: Mutant, source: string): string {
  const places = source.split(mutant.find).length - 1;
  if (places !== 1) {
    throw new Error(
      `mutant "${mutant.name}": its text is in ${mutant.file} ${places} times, not once:\n${mutant.find}`,
    );
  }
  return source.replace(mutant.find, () => mutant.replace);
}

/** @throws Error when a mutant does not fit the sources any more */
export function checkMutants(root: URL): void {
  for (const mutant of MUTANTS) mutate(mutant, readFileSync(new URL(mutant.file, root), 'utf8'));
}
