/** What several parts of the S3 suite ask. */
import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import { type S3Client, S3ServiceException } from '@aws-sdk/client-s3';
import type { OpenTarget } from './s3-suite.ts';
import { freshPrefix, type S3Difference, type S3Target, sdkClient } from './s3-target.ts';

export const MIB = 1024 * 1024;
/** S3's minimum for every part but the last. */
export const PART_BYTES = 5 * MIB;

/** Everything that an object key has to survive; `%2F` and `+` are themselves, not an encoding. */
export const AWKWARD_NAME = "a b/ü-漢-😀/%2F+&=?#;:@,$!*'()[]{}|~^`..txt";

export interface SdkCase {
  target: S3Target;
  client: S3Client;
  bucket: string;
  prefix: string;
}

/** A test with an SDK client and a prefix of its own. @param unless servers with this difference are left out */
export function sdkTest(
  open: OpenTarget,
  what: string,
  run: (it: SdkCase, t: TestContext) => Promise<void>,
  unless?: S3Difference,
): void {
  test(what, async (t) => {
    const target = open();
    if (unless !== undefined && target.profile.has(unless)) return t.skip(`this server differs: ${unless}`);
    const client = sdkClient(target);
    t.after(() => client.destroy());
    await run({ target, client, bucket: target.bucket, prefix: freshPrefix() }, t);
  });
}

/** The call is refused with this status and, when it has a body to say so, with this code of S3. */
export async function refused(call: Promise<unknown>, status: number, code?: string): Promise<void> {
  await assert.rejects(call, (error: unknown) => {
    assert.ok(error instanceof S3ServiceException, `not an answer of S3: ${error}`);
    assert.equal(error.$metadata.httpStatusCode, status, `${error.name}: ${error.message}`);
    if (code !== undefined) assert.equal(error.name, code);
    return true;
  });
}

export async function bodyOf(answer: { Body?: { transformToByteArray(): Promise<Uint8Array> } }): Promise<Buffer> {
  assert.ok(answer.Body, 'the answer has no body');
  return Buffer.from(await answer.Body.transformToByteArray());
}

/** `assert.deepEqual` of megabytes would print them. */
export function sameBytes(actual: Uint8Array, expected: Uint8Array): void {
  assert.equal(actual.length, expected.length);
  assert.ok(Buffer.from(actual).equals(expected), 'other bytes than were stored');
}
